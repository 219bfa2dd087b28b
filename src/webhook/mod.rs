//! Who may push events over HTTP: EventBridge's signature, a shared token, or a host that has
//! already checked. Time and certificates are passed in.
//!
//! Sources: aliyun/alibabacloud-eventbridge-sdk (version 1: an HMAC whose key comes encrypted with
//! EventBridge's private key), and EventBridge's documents on HTTP targets (version 2: an RSA
//! signature).

pub mod gate; // lets pushes in or keeps them out; fetches certificates

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use rsa::BoxedUint;
use rsa::hazmat::rsa_encrypt;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;
use rsa::traits::PublicKeyParts as _;
use sha1::Sha1;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};
use url::Url;
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};

use crate::credentials::Secret;

/// EventBridge's own bound: what is older or newer may be a recording.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Which pushes are served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookPolicy {
    /// `x-eventbridge-signature-token` must be one of these, where there is one: two while a token
    /// is replaced by another.
    pub tokens: Vec<Secret>,
    /// Signatures are verified, for pushes to this address, letter by letter as EventBridge is
    /// configured with it.
    pub url: Option<String>,
    /// Pushes with neither are served, too.
    pub allows_unsigned: bool,
}

/// An HTTP request, as far as it matters.
pub struct Push<'a> {
    /// Names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// As it was sent.
    pub body: &'a [u8],
    /// Whether the host has authenticated the sender.
    pub is_authenticated: bool,
}

/// Why a push is not served. The sender learns no more than that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing says who sent it.
    #[error(
        "the request is not signed: set WEBHOOK_TOKEN or WEBHOOK_URL to what EventBridge is \
         configured with, or WEBHOOK_ALLOW_UNSIGNED=true where something in front authenticates"
    )]
    Unsigned,
    /// The token is another.
    #[error("x-eventbridge-signature-token is not WEBHOOK_TOKEN")]
    WrongToken,
    /// The signature does not match, or a part of it is missing.
    #[error("the signature is not good: {0}")]
    BadSignature(&'static str),
    /// It was signed too long ago, or a clock is wrong.
    #[error("the signature's time is more than {} s off", MAX_SKEW.as_secs())]
    Stale,
    /// The certificate is not from where EventBridge keeps its own.
    #[error("the signature's certificate is not at an address of EventBridge")]
    ForeignCertificate,
}

/// What is left to be done about a push.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Served,
    /// Serve it if [`WebhookPolicy::verify`] finds its signature good with the certificate at this address.
    NeedsCertificate(Url),
}

const TIMESTAMP: &str = "x-eventbridge-signature-timestamp";
const METHOD: &str = "x-eventbridge-signature-method";
const HASH_METHOD: &str = "x-eventbridge-hash-method";
const VERSION: &str = "x-eventbridge-signature-version";
const CERTIFICATE: &str = "x-eventbridge-signature-url";
const TOKEN: &str = "x-eventbridge-signature-token";
const SECRET: &str = "x-eventbridge-signature-secret";
const SIGNATURE_1: &str = "x-eventbridge-signature";
const SIGNATURE_2: &str = "x-eventbridge-signature-v2";

impl WebhookPolicy {
    /// All that can be said without a certificate.
    ///
    /// # Errors
    /// [`Refused`] when it is not to be served.
    pub fn judge(&self, push: &Push<'_>, now: Timestamp) -> Result<Verdict, Refused> {
        if push.is_authenticated || self.allows_unsigned {
            return Ok(Verdict::Served);
        }
        let header = |name: &str| push.headers.get(name).map(String::as_str);
        if !self.tokens.is_empty() {
            let given = hash(header(TOKEN).ok_or(Refused::Unsigned)?.as_bytes());
            // Digests, and each token compared: neither content nor length nor which one shows in
            // how long it takes.
            let is_equal = self.tokens.iter().fold(Choice::from(0), |found, token| {
                found | given.ct_eq(&hash(token.expose().as_bytes()))
            });
            if !bool::from(is_equal) {
                return Err(Refused::WrongToken);
            }
        }
        match &self.url {
            None if self.tokens.is_empty() => Err(Refused::Unsigned),
            None => Ok(Verdict::Served),
            Some(_) => {
                if header(SIGNATURE_1).or(header(SIGNATURE_2)).is_none() {
                    return Err(Refused::Unsigned);
                }
                let millis = header(TIMESTAMP).and_then(|text| text.parse().ok());
                let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
                let time = time.ok_or(Refused::BadSignature("it has no readable time"))?;
                if time.duration_since(now).abs() > MAX_SKEW {
                    return Err(Refused::Stale);
                }
                let url = header(CERTIFICATE).and_then(|text| Url::parse(text).ok());
                let url = url
                    .filter(is_eventbridges)
                    .ok_or(Refused::ForeignCertificate)?;
                Ok(Verdict::NeedsCertificate(url))
            }
        }
    }

    /// Whether the signature is good, by the certificate at the address that
    /// [`judge`](Self::judge) gave.
    ///
    /// # Errors
    /// [`Refused`] when it is not to be served.
    pub fn verify(&self, push: &Push<'_>, certificate: &PublicKey) -> Result<(), Refused> {
        let url = self.url.as_ref().ok_or(Refused::Unsigned)?;
        let header = |name: &str| push.headers.get(name).map(String::as_str);
        if let Some(signature) = header(SIGNATURE_2) {
            let names = [TIMESTAMP, HASH_METHOD, VERSION, CERTIFICATE, TOKEN];
            let text = string_to_sign(url, push, &names);
            return certificate.verify_v2(&text, signature);
        }
        let names = [TIMESTAMP, METHOD, VERSION, CERTIFICATE, TOKEN];
        let text = string_to_sign(url, push, &names);
        let secret = header(SECRET).ok_or(Refused::BadSignature("it has no secret"))?;
        let signature = header(SIGNATURE_1).ok_or(Refused::Unsigned)?;
        certificate.verify_v1(&text, secret, signature)
    }
}

/// Address, headers and body, a line each. The last line's end is part of version 1.
fn string_to_sign(url: &str, push: &Push<'_>, names: &[&str]) -> Vec<u8> {
    let mut text = format!("{url}\n").into_bytes();
    for name in names {
        if let Some(value) = push.headers.get(*name) {
            text.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
    }
    text.extend_from_slice(push.body);
    text.push(b'\n');
    text
}

/// `https://{region}-eventbridge.oss-cn-hangzhou.aliyuncs.com/…` or its accelerated twin: a
/// certificate from anywhere else would be the sender's own.
fn is_eventbridges(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bucket = ["oss-cn-hangzhou", "oss-accelerate"]
        .iter()
        .find_map(|oss| host.strip_suffix(&format!("-eventbridge.{oss}.aliyuncs.com")));
    let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && bucket.is_some_and(|bucket| !bucket.is_empty() && bucket.bytes().all(is_word))
}

/// The key in EventBridge's certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(rsa::PublicKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RSA, {} bits", self.0.n().bit_width())
    }
}

/// What is no certificate with an RSA key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate with an RSA key")]
pub struct InvalidCertificate;

impl PublicKey {
    /// Reads a certificate in PEM. Whose it is, its address says.
    ///
    /// # Errors
    /// [`InvalidCertificate`].
    pub fn from_certificate(pem: &[u8]) -> Result<Self, InvalidCertificate> {
        let certificate = Certificate::from_pem(pem).map_err(|_| InvalidCertificate)?;
        let info = certificate.tbs_certificate().subject_public_key_info();
        let der = info.to_der().map_err(|_| InvalidCertificate)?;
        let key = rsa::PublicKey::from_public_key_der(&der).map_err(|_| InvalidCertificate)?;
        Ok(Self(key))
    }

    fn verify_v2(&self, text: &[u8], signature: &str) -> Result<(), Refused> {
        let bad = Refused::BadSignature("it does not match");
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| bad.clone())?;
        let signature = Signature::try_from(&signature[..]).map_err(|_| bad.clone())?;
        let key = VerifyingKey::<Sha256>::new(self.0.clone());
        // Implementations in the field leave the last line's end out; the documents show it.
        let without_end = &text[..text.len() - 1];
        let is_good = [without_end, text]
            .iter()
            .any(|text| key.verify(text, &signature).is_ok());
        if is_good { Ok(()) } else { Err(bad) }
    }

    fn verify_v1(&self, text: &[u8], secret: &str, signature: &str) -> Result<(), Refused> {
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

    /// What was encrypted with the private key: PKCS #1 v1.5, block type 1.
    fn open_secret(&self, secret: &str) -> Option<Vec<u8>> {
        let encrypted = BASE64_STANDARD.decode(secret).ok()?;
        let bits = self.0.n().bits_precision();
        let number = BoxedUint::from_be_slice(&encrypted, bits).ok()?;
        let opened = rsa_encrypt(&self.0, &number).ok()?.to_be_bytes();
        let size = self.0.size();
        let block = opened.get(opened.len().checked_sub(size)?..)?;
        let padded = block.strip_prefix(&[0, 1])?;
        let end = padded.iter().position(|byte| *byte != 0xff)?;
        (end >= 8 && padded[end] == 0).then(|| padded[end + 1..].to_vec())
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use rsa::pkcs1v15::{Pkcs1v15Sign, SigningKey};
    use rsa::pkcs8::DecodePrivateKey as _;
    use rsa::signature::{SignatureEncoding as _, Signer as _};

    use super::*;

    const NOW: &str = "2021-02-01T08:19:06Z";
    const URL: &str = "http://127.0.0.1:8080/cloudevents";
    const BODY: &[u8] = b"Data is data1, constant is Please deal with it timely.";
    const PEM_ADDRESS: &str = "https://cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com/\
        x509_public_certificate_2021012101.pem";

    fn private_key() -> rsa::PrivateKey {
        let pem = include_str!("../../tests/fixtures/webhook/private-key.pem");
        rsa::PrivateKey::from_pkcs8_pem(pem).unwrap()
    }

    fn certificate() -> PublicKey {
        let pem = include_bytes!("../../tests/fixtures/webhook/certificate.pem");
        PublicKey::from_certificate(pem).unwrap()
    }

    type Headers = BTreeMap<String, String>;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn policy(token: Option<&str>, url: Option<&str>) -> WebhookPolicy {
        WebhookPolicy {
            tokens: token.map(Secret::new).into_iter().collect(),
            url: url.map(str::to_owned),
            allows_unsigned: false,
        }
    }

    fn push<'a>(headers: &'a Headers, body: &'a [u8]) -> Push<'a> {
        Push {
            headers,
            body,
            is_authenticated: false,
        }
    }

    /// As EventBridge signs it, with the double's key.
    fn signed_v1(token: &[(&str, &str)]) -> Headers {
        let mut headers = headers(&[
            (TIMESTAMP, "1612167546574"),
            (METHOD, "HMAC-SHA1"),
            (VERSION, "1.0"),
            (CERTIFICATE, PEM_ADDRESS),
        ]);
        headers.extend(self::headers(token));
        let names = [TIMESTAMP, METHOD, VERSION, CERTIFICATE, TOKEN];
        let text = string_to_sign(URL, &push(&headers, BODY), &names);
        let mut hmac = Hmac::<Sha1>::new_from_slice(b"one-time secret").unwrap();
        hmac.update(&text);
        let signature = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
        let secret = private_key().sign(Pkcs1v15Sign::new_unprefixed(), b"one-time secret");
        headers.insert(SECRET.into(), BASE64_STANDARD.encode(secret.unwrap()));
        headers.insert(SIGNATURE_1.into(), signature);
        headers
    }

    fn signed_v2(last_line_end: bool) -> Headers {
        let mut headers = headers(&[
            (TIMESTAMP, "1612167546574"),
            (HASH_METHOD, "SHA256"),
            (VERSION, "2.0"),
            (CERTIFICATE, PEM_ADDRESS),
            (TOKEN, "t"),
        ]);
        let names = [TIMESTAMP, HASH_METHOD, VERSION, CERTIFICATE, TOKEN];
        let mut text = string_to_sign(URL, &push(&headers, BODY), &names);
        if !last_line_end {
            text.pop();
        }
        let signature = SigningKey::<Sha256>::new(private_key()).sign(&text);
        headers.insert(
            SIGNATURE_2.into(),
            BASE64_STANDARD.encode(signature.to_bytes()),
        );
        headers
    }

    /// The test vector of the official SDK; its certificate is not at hand, its text is.
    #[test]
    fn the_text_of_version_1_is_the_official_one() {
        let headers = signed_v1(&[]);
        let names = [TIMESTAMP, METHOD, VERSION, CERTIFICATE, TOKEN];
        let text = string_to_sign(URL, &push(&headers, BODY), &names);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!(
                "{URL}\n{TIMESTAMP}: 1612167546574\n{METHOD}: HMAC-SHA1\n{VERSION}: 1.0\n\
                 {CERTIFICATE}: {PEM_ADDRESS}\n\
                 Data is data1, constant is Please deal with it timely.\n"
            )
        );
    }

    #[test]
    fn good_signatures_of_both_versions_are_served() {
        let address = Url::parse(PEM_ADDRESS).unwrap();
        for headers in [
            signed_v1(&[]),
            signed_v1(&[(TOKEN, "t")]),
            signed_v2(true),
            signed_v2(false),
        ] {
            let (policy, push) = (policy(None, Some(URL)), push(&headers, BODY));
            let verdict = policy.judge(&push, NOW.parse().unwrap());
            assert_eq!(verdict, Ok(Verdict::NeedsCertificate(address.clone())));
            assert_eq!(policy.verify(&push, &certificate()), Ok(()));
        }
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        for original in [signed_v1(&[(TOKEN, "t")]), signed_v2(false)] {
            let signed = policy(None, Some(URL));
            let elsewhere = policy(None, Some("http://127.0.0.1:8080/other"));
            let bad = |policy: &WebhookPolicy, headers: &Headers, body: &[u8]| {
                let verdict = policy.verify(&push(headers, body), &certificate());
                matches!(verdict, Err(Refused::BadSignature(_)))
            };
            assert!(!bad(&signed, &original, BODY));
            assert!(bad(&elsewhere, &original, BODY), "the address");
            assert!(bad(&signed, &original, b"other"), "the body");
            for (name, value) in &original {
                let mut changed = original.clone();
                let other = format!("A{}", &value[1..]);
                changed.insert(name.clone(), other);
                assert!(bad(&signed, &changed, BODY), "{name}");
            }
        }
    }

    #[test]
    fn a_recording_is_refused() {
        let (headers, policy) = (signed_v2(false), policy(None, Some(URL)));
        for (now, is_served) in [
            ("2021-02-01T08:20:06Z", true),
            ("2021-02-01T08:20:07Z", false),
            ("2021-02-01T08:18:07Z", true),
            ("2021-02-01T08:18:06Z", false),
        ] {
            let verdict = policy.judge(&push(&headers, BODY), now.parse().unwrap());
            assert_eq!(verdict.is_ok(), is_served, "{now}: {verdict:?}");
        }
    }

    #[test]
    fn certificates_of_others_are_not_fetched() {
        for address in [
            "http://cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com/x.pem",
            "https://evil.example/x.pem",
            "https://evil.example/cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com",
            "https://a-eventbridge.oss-cn-hangzhou.aliyuncs.com.evil.example/x.pem",
            "https://a-eventbridge.oss-cn-hangzhou.aliyuncs.com@evil.example/x.pem",
            "https://a-eventbridge.oss-cn-hangzhou.aliyuncs.com:8443/x.pem",
            "https://evil.example#-eventbridge.oss-cn-hangzhou.aliyuncs.com",
            "https://x.evil-eventbridge.oss-cn-hangzhou.aliyuncs.com/x.pem",
            "https://-eventbridge.oss-cn-beijing.aliyuncs.com/x.pem",
            "file:///etc/passwd",
            "",
        ] {
            let mut headers = signed_v2(false);
            headers.insert(CERTIFICATE.into(), address.into());
            let verdict =
                policy(None, Some(URL)).judge(&push(&headers, BODY), NOW.parse().unwrap());
            assert_eq!(verdict, Err(Refused::ForeignCertificate), "{address}");
        }
    }

    #[test]
    fn a_token_is_enough_where_only_a_token_is_set() {
        let now = NOW.parse().unwrap();
        let good = headers(&[(TOKEN, "shared")]);
        let token = policy(Some("shared"), None);
        assert_eq!(token.judge(&push(&good, BODY), now), Ok(Verdict::Served));
        for wrong in ["", "Shared", "shared ", "share"] {
            let headers = headers(&[(TOKEN, wrong)]);
            assert_eq!(
                token.judge(&push(&headers, BODY), now),
                Err(Refused::WrongToken)
            );
        }
        assert_eq!(
            token.judge(&push(&headers(&[]), BODY), now),
            Err(Refused::Unsigned)
        );
        let both = policy(Some("shared"), Some(URL));
        assert_eq!(both.judge(&push(&good, BODY), now), Err(Refused::Unsigned));
    }

    #[test]
    fn while_a_token_is_replaced_both_are_good() {
        let now = NOW.parse().unwrap();
        let mut both = policy(Some("new"), None);
        both.tokens.push(Secret::new("old"));
        for (given, verdict) in [
            ("new", Ok(Verdict::Served)),
            ("old", Ok(Verdict::Served)),
            ("new,old", Err(Refused::WrongToken)),
            ("", Err(Refused::WrongToken)),
        ] {
            let headers = headers(&[(TOKEN, given)]);
            assert_eq!(both.judge(&push(&headers, BODY), now), verdict, "{given}");
        }
    }

    #[test]
    fn unsigned_pushes_are_refused_unless_allowed_or_authenticated_before() {
        let now = NOW.parse().unwrap();
        let none = headers(&[]);
        let nothing = policy(None, None);
        assert_eq!(
            nothing.judge(&push(&none, BODY), now),
            Err(Refused::Unsigned)
        );
        let authenticated = Push {
            is_authenticated: true,
            ..push(&none, BODY)
        };
        assert_eq!(nothing.judge(&authenticated, now), Ok(Verdict::Served));
        let open = WebhookPolicy {
            allows_unsigned: true,
            ..nothing
        };
        assert_eq!(open.judge(&push(&none, BODY), now), Ok(Verdict::Served));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let key = include_bytes!("../../tests/fixtures/webhook/private-key.pem");
        for pem in [&b""[..], b"-----BEGIN CERTIFICATE-----", key, &[0xff; 100]] {
            assert_eq!(PublicKey::from_certificate(pem), Err(InvalidCertificate));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn arbitrary_secrets_and_signatures_never_panic(secret: Vec<u8>, signature: Vec<u8>) {
            let mut headers = signed_v1(&[]);
            headers.insert(SECRET.into(), BASE64_STANDARD.encode(secret));
            headers.insert(SIGNATURE_1.into(), BASE64_STANDARD.encode(&signature));
            let policy = policy(None, Some(URL));
            assert!(policy.verify(&push(&headers, BODY), &certificate()).is_err());
            headers.insert(SIGNATURE_2.into(), BASE64_STANDARD.encode(signature));
            assert!(policy.verify(&push(&headers, BODY), &certificate()).is_err());
        }
    }
}
