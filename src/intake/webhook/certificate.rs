//! EventBridge's certificates: their addresses, and the check of a signature.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use num_bigint::BigUint;
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents};
use sha1::Sha1;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, DecodePem as _, Reader as _, SliceReader};

use super::Refused;
use crate::model::ids::RegionId;

/// Regions with EventBridge. In each, Alibaba Cloud owns the bucket `{region}-eventbridge`.
/// Customers can create buckets with similar names, so a pattern cannot replace this list.
///
/// Source: "Service regions and features" of EventBridge's help pages (document 609691).
const REGIONS: [&str; 25] = [
    "cn-hangzhou",
    "cn-shanghai",
    "cn-qingdao",
    "cn-beijing",
    "cn-zhangjiakou",
    "cn-huhehaote",
    "cn-wulanchabu",
    "cn-shenzhen",
    "cn-heyuan",
    "cn-guangzhou",
    "cn-chengdu",
    "cn-hongkong",
    "cn-shanghai-finance-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ap-south-1",
    "eu-central-1",
    "eu-west-1",
    "us-west-1",
    "us-east-1",
];

/// Hosts from which OSS serves EventBridge's buckets.
const OSS_HOSTS: [&str; 2] = [
    "-eventbridge.oss-accelerate.aliyuncs.com",
    "-eventbridge.oss-cn-hangzhou.aliyuncs.com",
];

/// Longest name of a certificate's file. It limits the memory for cached names.
const MAX_NAME_BYTES: usize = 64;

/// Shortest RSA key that is accepted, in bits. EventBridge's first certificates have this length.
const MIN_KEY_BITS: u64 = 1024;
/// Longest RSA key that is accepted, in bits. It limits the time for a signature.
const MAX_KEY_BITS: u64 = 4096;
/// Longest exponent of a public key, in bits, as `ring` has it. It limits the time, too.
const MAX_EXPONENT_BITS: u64 = 33;
/// `rsaEncryption` (RFC 8017, appendix A.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The address of one of EventBridge's certificates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateUrl(String);

impl CertificateUrl {
    /// Checks an address exactly as it was sent. No URL parser is involved, because parsers repair
    /// their input: `\`, tabs, other digits, `..`. `region` is the configured one, in case it is
    /// newer than the list.
    pub fn parse(text: &str, region: Option<&RegionId>) -> Option<Self> {
        let (host, path) = text.strip_prefix("https://")?.split_once('/')?;
        let bucket_region = OSS_HOSTS.iter().find_map(|oss| host.strip_suffix(oss))?;
        let is_configured = region.is_some_and(|region| region.as_str() == bucket_region);
        let name = path
            .strip_prefix("x509_public_certificate_")?
            .strip_suffix(".pem")?;
        let is_word = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_word);
        ((is_configured || REGIONS.contains(&bucket_region)) && is_name)
            .then(|| Self(text.to_owned()))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A certificate of EventBridge.
///
/// Its dates are not checked. Its address, fetched over TLS, proves whose it is. It is unknown
/// whether EventBridge renews its certificates in time, and rejecting an expired one would reject
/// every push. Alibaba Cloud's SDK and public verifiers do not check the dates either.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    modulus: BigUint,
    exponent: BigUint,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RSA, {} bits", self.modulus.bits())
    }
}

/// The bytes are not a certificate that can have signed a push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an X.509 certificate with an RSA key of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits")]
pub struct InvalidCertificate;

impl Certificate {
    /// Parses a certificate in PEM.
    ///
    /// # Errors
    /// [`InvalidCertificate`] for anything else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidCertificate> {
        Self::read(pem).ok_or(InvalidCertificate)
    }

    fn read(pem: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_pem(pem).ok()?;
        let contents = certificate.tbs_certificate();
        let info = contents.subject_public_key_info();
        if info.algorithm.oid != RSA_ENCRYPTION {
            return None;
        }
        // RFC 8017, appendix A.1.1: a sequence of the modulus and the exponent.
        let mut reader = SliceReader::new(info.subject_public_key.as_bytes()?).ok()?;
        let numbers = reader.sequence(|reader| {
            Ok::<_, x509_cert::der::Error>((UintRef::decode(reader)?, UintRef::decode(reader)?))
        });
        let (modulus, exponent) = numbers.ok()?;
        reader.finish().ok()?;
        let [modulus, exponent] =
            [modulus, exponent].map(|number| BigUint::from_bytes_be(number.as_bytes()));
        let is_accepted = (MIN_KEY_BITS..=MAX_KEY_BITS).contains(&modulus.bits())
            && (2..=MAX_EXPONENT_BITS).contains(&exponent.bits())
            && [&modulus, &exponent].iter().all(|number| number.bit(0));
        is_accepted.then_some(Self { modulus, exponent })
    }

    pub(super) fn verify_v2(&self, text: &[u8], signature: &str) -> Result<(), Refused> {
        let bad = Refused::BadSignature("it does not match");
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| bad.clone())?;
        let key = RsaPublicKeyComponents {
            n: self.modulus.to_bytes_be(),
            e: self.exponent.to_bytes_be(),
        };
        let kind = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
        // Some implementations leave out the last line feed. The documents show it.
        let without_end = text.strip_suffix(b"\n").unwrap_or(text);
        let is_good = [without_end, text]
            .iter()
            .any(|text| key.verify(kind, text, &signature).is_ok());
        if is_good { Ok(()) } else { Err(bad) }
    }

    pub(super) fn verify_v1(
        &self,
        text: &[u8],
        secret: &str,
        signature: &str,
    ) -> Result<(), Refused> {
        let bad = |why| Refused::BadSignature(why);
        let signature = BASE64_STANDARD
            .decode(signature)
            .map_err(|_| bad("it is not Base64"))?;
        let key = self
            .open_secret(secret)
            .ok_or(bad("its secret is not EventBridge's"))?;
        let mut hmac = Hmac::<Sha1>::new_from_slice(&key).map_err(|_| bad("it has no key"))?;
        hmac.update(text);
        hmac.verify_slice(&signature)
            .map_err(|_| bad("it does not match"))
    }

    /// Recovers the secret that was encrypted with the private key: PKCS #1 v1.5, block type 1.
    fn open_secret(&self, secret: &str) -> Option<Vec<u8>> {
        let encrypted = BASE64_STANDARD.decode(secret).ok()?;
        let number = BigUint::from_bytes_be(&encrypted);
        if number >= self.modulus {
            return None;
        }
        // Nothing in it is secret, so its time may depend on its numbers.
        let opened = number.modpow(&self.exponent, &self.modulus).to_bytes_be();
        // The block begins with 0 and 1. The number of so many bytes begins with the 1.
        let size = self.modulus.bits().div_ceil(8) as usize;
        let padded = opened.strip_prefix(&[1])?;
        if opened.len() + 1 != size {
            return None;
        }
        let end = padded.iter().position(|byte| *byte != 0xff)?;
        (end >= 8 && padded[end] == 0).then(|| padded[end + 1..].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "https://cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com/\
        x509_public_certificate_2021012101.pem";

    #[test]
    fn certificates_of_every_region_of_eventbridge_are_at_two_hosts() {
        for region in REGIONS {
            for oss in OSS_HOSTS {
                for name in ["2021012101", "test", "v2.1_a-b"] {
                    let url = format!("https://{region}{oss}/x509_public_certificate_{name}.pem");
                    let parsed = CertificateUrl::parse(&url, None);
                    assert_eq!(parsed.unwrap().as_str(), url);
                }
            }
        }
    }

    #[test]
    fn a_region_that_is_configured_is_known_before_the_list_has_it() {
        let url = GOOD.replace("https://cn-hangzhou", "https://xx-new-1");
        let region = RegionId::parse("xx-new-1").unwrap();
        assert_eq!(CertificateUrl::parse(&url, None), None);
        assert!(CertificateUrl::parse(&url, Some(&region)).is_some());
        assert!(CertificateUrl::parse(GOOD, Some(&region)).is_some());
    }

    #[test]
    fn an_address_that_is_not_eventbridges_letter_by_letter_is_refused() {
        let host = "cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com";
        let file = "x509_public_certificate_2021012101.pem";
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for url in [
            // Any customer can create buckets and files with these names.
            format!("https://anybody-eventbridge.oss-cn-hangzhou.aliyuncs.com/{file}"),
            format!("https://evil-cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com/{file}"),
            format!("https://ap-southeast-2-eventbridge.oss-cn-hangzhou.aliyuncs.com/{file}"),
            format!("https://-eventbridge.oss-cn-hangzhou.aliyuncs.com/{file}"),
            format!("https://cn-hangzhou-eventbridge.oss-cn-beijing.aliyuncs.com/{file}"),
            format!("https://cn-hangzhou-eventbridge.oss-cn-hangzhou-internal.aliyuncs.com/{file}"),
            format!("https://evil.cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com/{file}"),
            format!("https://evil.oss-cn-hangzhou.aliyuncs.com/{host}/{file}"),
            format!("https://{host}.evil.example/{file}"),
            format!("https://evil.example/{file}"),
            format!("https://evil.example/{host}/{file}"),
            // A URL parser would drop or repair these parts.
            format!("http://{host}/{file}"),
            format!("HTTPS://{host}/{file}"),
            format!("https:{host}/{file}"),
            format!("https:/{host}/{file}"),
            format!("https:\\\\{host}\\{file}"),
            format!("//{host}/{file}"),
            format!(" https://{host}/{file}"),
            format!("https://{host}/{file} "),
            format!("https://{host}/{file}\n"),
            format!("https://\t{host}/{file}"),
            format!("https://{host}:443/{file}"),
            format!("https://{host}:8443/{file}"),
            format!("https://{host}:/{file}"),
            format!("https://{host}./{file}"),
            format!("https://{}/{file}", host.to_uppercase()),
            format!("https://{}/{file}", host.replace('.', "\u{3002}")),
            format!("https://{}/{file}", host.replace("cn-", "\u{441}n-")),
            format!(
                "https://{}/{file}",
                host.replace("aliyuncs", "aliyuncs%2ecom")
            ),
            format!("https://user@{host}/{file}"),
            format!("https://user:password@{host}/{file}"),
            format!("https://{host}@evil.example/{file}"),
            format!("https://{host}%2f@evil.example/{file}"),
            format!("https://evil.example\\@{host}/{file}"),
            format!("https://evil.example#{host}/{file}"),
            format!("https://evil.example?{host}/{file}"),
            // Other paths than the expected one.
            format!("https://{host}/own.pem"),
            format!("https://{host}/{file}?x-oss-process=style"),
            format!("https://{host}/{file}?"),
            format!("https://{host}/{file}#fragment"),
            format!("https://{host}//{file}"),
            format!("https://{host}/a/{file}"),
            format!("https://{host}/a/../{file}"),
            format!("https://{host}/../{file}"),
            format!("https://{host}/./{file}"),
            format!("https://{host}/%78509_public_certificate_2021012101.pem"),
            format!("https://{host}/x509_public_certificate_a%2fb.pem"),
            format!("https://{host}/x509_public_certificate_a/b.pem"),
            format!("https://{host}/x509_public_certificate_../../b.pem"),
            format!("https://{host}/x509_public_certificate_.pem"),
            format!("https://{host}/x509_public_certificate_{long}.pem"),
            format!("https://{host}/x509_public_certificate_1.pem.exe"),
            format!("https://{host}/X509_public_certificate_1.pem"),
            format!("https://{host}/x509_public_certificate_\u{664}.pem"),
            format!("https://{host}"),
            format!("https://{host}/"),
            "file:///etc/passwd".to_owned(),
            "https://".to_owned(),
            String::new(),
        ] {
            assert_eq!(CertificateUrl::parse(&url, None), None, "{url:?}");
        }
    }

    #[test]
    fn only_a_certificate_with_a_strong_rsa_key_is_read() {
        let key = include_bytes!("../../../tests/fixtures/webhook/private-key.pem");
        let short = include_bytes!("../../../tests/fixtures/webhook/short-key-certificate.pem");
        let elliptic = include_bytes!("../../../tests/fixtures/webhook/elliptic-certificate.pem");
        for pem in [
            &b""[..],
            b"-----BEGIN CERTIFICATE-----",
            b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            b"<html>not found</html>",
            key,
            short,
            elliptic,
            &[0xff; 100],
        ] {
            assert_eq!(Certificate::from_pem(pem), Err(InvalidCertificate));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_never_a_certificate_and_never_panic(pem: Vec<u8>) {
            proptest::prop_assert!(Certificate::from_pem(&pem).is_err());
        }

        #[test]
        fn whatever_is_taken_is_an_address_at_these_hosts(text in ".{0,90}") {
            proptest::prop_assert_eq!(CertificateUrl::parse(&text, None), None);
        }
    }
}
