//! Who may push events over HTTP. It needs EventBridge's signature, a shared token, or a platform
//! that has authenticated the sender. The caller passes in time and certificates.
//!
//! Sources: aliyun/alibabacloud-eventbridge-sdk (version 1: an HMAC whose key is encrypted with
//! EventBridge's private key), and EventBridge's documents on HTTP targets (version 2: an RSA
//! signature).

mod accounts; // accounts of the events in a body
pub mod authorizer; // whether a platform has identified the sender
mod certificate; // EventBridge's certificates and signatures
mod certificates; // cache of certificates
pub mod gate; // authorizes pushes; fetches certificates
mod headers; // headers of a request
mod held_tokens; // tokens that a secrets manager keeps, as long as they are current
pub mod tokens; // the text of tokens (pure)
mod url_path; // path of a request's URL, which may end with the token

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

pub use certificate::{Certificate, CertificateUrl, InvalidCertificate};
pub use headers::Headers;
pub use url_path::UrlPath;

use crate::model::credentials::Secret;
use crate::model::ids::RegionId;

/// Most difference between the signature's time and now, the same as in EventBridge's documents. A
/// push outside of it may be a replay.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Longest body of a push, in bytes. An event of EventBridge has at most 64 KB. Anyone may send, so
/// this limits the memory that unknown senders can use.
pub const MAX_PUSH_BYTES: usize = 1 << 20;

/// Which pushes are served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhookPolicy {
    /// If this is not empty, `x-eventbridge-signature-token` or the last segment of the URL's path
    /// must be one of these. Two are useful while a token is being replaced.
    pub tokens: Vec<Secret>,
    /// The exact address of this receiver in EventBridge's settings. If it is set, signatures for
    /// this address are required. It is secret because it may end with the token.
    pub url: Option<Secret>,
    /// Accounts whose events are accepted with a signature. Empty accepts any account; the settings
    /// allow that only together with a token.
    pub accounts: BTreeSet<String>,
    /// A region of EventBridge besides the known ones.
    pub region: Option<RegionId>,
    /// Whether pushes without token and signature are served. It only applies if neither is
    /// configured.
    pub allows_unsigned: bool,
}

/// The relevant parts of an HTTP request.
pub struct WebhookRequest<'a> {
    /// Headers as the sender sent them.
    pub headers: &'a Headers,
    /// Path of the URL.
    pub path: &'a UrlPath,
    /// Decoded body.
    pub body: &'a [u8],
    /// Whether the platform has authenticated the sender, and names it.
    pub is_authenticated: bool,
}

/// Why a push is unauthorized. The log shows it. The sender only learns that the push is
/// unauthorized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing identifies the sender.
    #[error(
        "the request has neither the token, in a header or at the end of its URL, nor a signature: \
         set WEBHOOK_TOKEN or WEBHOOK_URL to what EventBridge is configured with"
    )]
    Unsigned,
    /// The token is not one of the configured ones.
    #[error("x-eventbridge-signature-token is not WEBHOOK_TOKEN")]
    WrongToken,
    /// A header of the signature occurs more than once. Holds its name.
    #[error("{0} was sent more than once")]
    Repeated(&'static str),
    /// The signature does not match, or a part of it is missing. Holds the reason.
    #[error("the signature is invalid: {0}")]
    BadSignature(&'static str),
    /// It was signed too long ago, or a clock is wrong.
    #[error("the signature's time is more than {} s off", MAX_SKEW.as_secs())]
    Stale,
    /// The certificate's address is not one of EventBridge's.
    #[error("the signature's certificate is not at an address of EventBridge")]
    ForeignCertificate,
    /// EventBridge signed for a customer that is not expected. Holds what the body names.
    #[error("{0} is not among WEBHOOK_ACCOUNTS")]
    ForeignAccount(String),
}

/// What to do with a push after its headers were checked.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Serve it.
    Authorized,
    /// Serve it if [`WebhookPolicy::expects`] accepts its body, and [`WebhookPolicy::verify`]
    /// accepts its signature with the certificate at this address.
    NeedsSignature(CertificateUrl),
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

/// Lengths of RSA signatures with keys of 1024 to 4096 bits, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 128..=512;
const SHA1_BYTES: usize = 20;

impl WebhookPolicy {
    /// Says whose requests are served, without a part of a token.
    pub fn describe(&self) -> String {
        let tokens = match self.tokens.len() {
            0 => None,
            1 => Some("1 token".to_owned()),
            count => Some(format!("{count} tokens")),
        };
        let signature = self
            .url
            .as_ref()
            .map(|_| "a signature for WEBHOOK_URL".to_owned());
        match (tokens, signature) {
            (Some(tokens), Some(signature)) => format!("{tokens}, and {signature}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) if self.allows_unsigned => "anyone: WEBHOOK_ALLOW_UNSIGNED".to_owned(),
            (None, None) => "nobody but whom the platform has authenticated".to_owned(),
        }
    }

    /// Checks the headers. A configured token or signature is always required, even if the platform
    /// has authenticated the sender. The platform may know more senders than this receiver should
    /// accept.
    ///
    /// # Errors
    /// [`Refused`] if the push must not be served.
    pub fn judge(
        &self,
        headers: &Headers,
        path: &UrlPath,
        is_authenticated: bool,
        now: Timestamp,
    ) -> Result<Verdict, Refused> {
        if !self.tokens.is_empty() {
            self.check_token(headers, path)?;
        }
        if self.url.is_some() {
            return self
                .judge_signature(headers, now)
                .map(Verdict::NeedsSignature);
        }
        if !self.tokens.is_empty() || is_authenticated || self.allows_unsigned {
            return Ok(Verdict::Authorized);
        }
        Err(Refused::Unsigned)
    }

    /// The token may be in the header or in the path, because EventBridge may send no header for a
    /// target that is configured with a token. Either is enough.
    fn check_token(&self, headers: &Headers, path: &UrlPath) -> Result<(), Refused> {
        let of_header = one(headers, TOKEN)?;
        let of_path = path.last_segment().into_iter().flatten();
        let given = of_header.map(|token| hash(token.as_bytes())).into_iter();
        let given: Vec<_> = given.chain(of_path.map(|segment| hash(&segment))).collect();
        // Compares digests, each with every token. So the time reveals neither content nor length,
        // nor which token matched.
        let is_equal = self.tokens.iter().fold(Choice::from(0), |found, token| {
            let token = hash(token.expose().as_bytes());
            (given.iter()).fold(found, |found, given| found | given.ct_eq(&token))
        });
        match (bool::from(is_equal), of_header) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(Refused::WrongToken),
            // Most paths have segments that were never meant as a token.
            (false, None) => Err(Refused::Unsigned),
        }
    }

    /// Returns the address of the certificate if everything else about the signature is valid.
    /// Nothing is fetched for a signature that cannot be valid.
    fn judge_signature(
        &self,
        headers: &Headers,
        now: Timestamp,
    ) -> Result<CertificateUrl, Refused> {
        for name in [TIMESTAMP, METHOD, HASH_METHOD, VERSION, TOKEN] {
            one(headers, name)?;
        }
        // The signature does not cover these headers, and they would change the event.
        if self.tokens.is_empty() && headers.names().any(|name| name.starts_with("ce-")) {
            return Err(Refused::BadSignature(
                "it does not cover the headers of a CloudEvent",
            ));
        }
        let v1 = one(headers, SIGNATURE_1)?;
        let v2 = one(headers, SIGNATURE_2)?;
        let secret = one(headers, SECRET)?;
        let bytes = |text: &str| BASE64_STANDARD.decode(text).unwrap_or_default().len();
        let is_rsa = |text: &str| RSA_BYTES.contains(&bytes(text));
        let has_form = match (v2, v1) {
            (Some(signature), _) => is_rsa(signature),
            (None, Some(hmac)) => bytes(hmac) == SHA1_BYTES && secret.is_some_and(is_rsa),
            (None, None) => return Err(Refused::Unsigned),
        };
        if !has_form {
            return Err(Refused::BadSignature("it has another form"));
        }
        let millis = one(headers, TIMESTAMP)?.and_then(|text| text.parse().ok());
        let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let time = time.ok_or(Refused::BadSignature("it has no readable time"))?;
        if time.duration_since(now).abs() > MAX_SKEW {
            return Err(Refused::Stale);
        }
        one(headers, CERTIFICATE)?
            .and_then(|text| CertificateUrl::parse(text, self.region.as_ref()))
            .ok_or(Refused::ForeignCertificate)
    }

    /// Checks that every event in the body names an account whose events are expected.
    ///
    /// # Errors
    /// [`Refused::ForeignAccount`] if one does not.
    pub fn expects(&self, body: &[u8]) -> Result<(), Refused> {
        if self.accounts.is_empty() {
            return Ok(());
        }
        accounts::check(body, &self.accounts).map_err(Refused::ForeignAccount)
    }

    /// Verifies the signature with the certificate at the address that [`judge`](Self::judge)
    /// returned.
    ///
    /// # Errors
    /// [`Refused`] if the push must not be served.
    pub fn verify(
        &self,
        headers: &Headers,
        body: &[u8],
        certificate: &Certificate,
    ) -> Result<(), Refused> {
        let url = self.url.as_ref().ok_or(Refused::Unsigned)?;
        let url = url.expose();
        if let Some(signature) = one(headers, SIGNATURE_2)? {
            let names = [TIMESTAMP, HASH_METHOD, VERSION, CERTIFICATE, TOKEN];
            let text = string_to_sign(url, headers, body, &names)?;
            return certificate.verify_v2(&text, signature);
        }
        let names = [TIMESTAMP, METHOD, VERSION, CERTIFICATE, TOKEN];
        let text = string_to_sign(url, headers, body, &names)?;
        let secret = one(headers, SECRET)?.ok_or(Refused::BadSignature("it has no secret"))?;
        let signature = one(headers, SIGNATURE_1)?.ok_or(Refused::Unsigned)?;
        certificate.verify_v1(&text, secret, signature)
    }
}

fn one<'a>(headers: &'a Headers, name: &'static str) -> Result<Option<&'a str>, Refused> {
    headers.one(name).map_err(|_| Refused::Repeated(name))
}

/// Address, headers and body, each on its own line. Version 1 includes the last line's end.
fn string_to_sign(
    url: &str,
    headers: &Headers,
    body: &[u8],
    names: &[&'static str],
) -> Result<Vec<u8>, Refused> {
    let mut text = format!("{url}\n").into_bytes();
    for name in names {
        if let Some(value) = one(headers, name)? {
            text.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
    }
    text.extend_from_slice(body);
    text.push(b'\n');
    Ok(text)
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use ring::rand::SystemRandom;
    use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
    use sha1::Sha1;

    use super::*;

    const MILLIS: &str = "1798761600000";
    const NOW: &str = "2027-01-01T00:00:00Z";
    pub(super) const URL: &str = "http://127.0.0.1:8080/cloudevents";
    pub(super) const ACCOUNT: &str = "1000000000000001";
    pub(super) const BODY: &[u8] = br#"{"aliyunaccountid":"1000000000000001","type":"t"}"#;
    const PEM_ADDRESS: &str = "https://cn-hangzhou-eventbridge.oss-cn-hangzhou.aliyuncs.com/\
        x509_public_certificate_2021012101.pem";

    /// `printf 'one-time secret' | openssl pkeyutl -sign -inkey private-key.pem | base64 -w0`
    const ENCRYPTED_SECRET: &str = "mnVHDQhDzory/e1AKg/GBg+poAJ2LHZEBOrp+2WV/Lqp24mfRARdpd+8Ir7cr\
        8AUTU2BVZvu5rZoNxO5oJwfHMILjP72PiSVSmvFHG6uC5PwIOI5m3/+t1/qYhvhpZ/mrwRNS/k+5qevIy3Xg31LSQ6\
        ii0ViKkLb46UTr7zgrZ5QWfL+qOF972gOyquZWic0n7TTKUSk71adRoIz55rkG9GYZ9G7nffDSmPPFSdMfG5CGQVou\
        8c/oLCwcA3+04dJH+ixO2w5qbat3nLINrkN486/a1ux6lVsjDo/9K9oJisMxOVKF0jazjO7HXwmxwl04j1bokRHvaC\
        ViIVkVrPORA==";

    fn private_key() -> RsaKeyPair {
        let pem = include_bytes!("../../../tests/fixtures/webhook/private-key.pem");
        let (_, der) = x509_cert::der::pem::decode_vec(pem).unwrap();
        RsaKeyPair::from_pkcs8(&der).unwrap()
    }

    fn certificate() -> Certificate {
        let pem = include_bytes!("../../../tests/fixtures/webhook/certificate.pem");
        Certificate::from_pem(pem).unwrap()
    }

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().copied().collect()
    }

    /// The same headers, with one of them replaced.
    fn with(headers: &Headers, name: &str, value: &str) -> Headers {
        let mut changed: Headers = [(name, value)].into_iter().collect();
        for other in headers.names().filter(|other| *other != name) {
            changed.add(other, headers.one(other).unwrap().unwrap());
        }
        changed
    }

    fn policy(token: Option<&str>, url: Option<&str>) -> WebhookPolicy {
        WebhookPolicy {
            tokens: token.map(Secret::new).into_iter().collect(),
            url: url.map(Secret::new),
            ..WebhookPolicy::default()
        }
    }

    /// Signs like EventBridge, with the key of the test double.
    fn signed_v1(token: &[(&str, &str)]) -> Headers {
        let mut headers = headers(&[
            (TIMESTAMP, MILLIS),
            (METHOD, "HMAC-SHA1"),
            (VERSION, "1.0"),
            (CERTIFICATE, PEM_ADDRESS),
        ]);
        for (name, value) in token {
            headers.add(name, *value);
        }
        let names = [TIMESTAMP, METHOD, VERSION, CERTIFICATE, TOKEN];
        let text = string_to_sign(URL, &headers, BODY, &names).unwrap();
        let mut hmac = Hmac::<Sha1>::new_from_slice(b"one-time secret").unwrap();
        hmac.update(&text);
        let signature = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
        headers.add(SECRET, ENCRYPTED_SECRET);
        headers.add(SIGNATURE_1, signature);
        headers
    }

    fn signed_v2_at(millis: &str, body: &[u8], last_line_end: bool) -> Headers {
        let mut headers = headers(&[
            (TIMESTAMP, millis),
            (HASH_METHOD, "SHA256"),
            (VERSION, "2.0"),
            (CERTIFICATE, PEM_ADDRESS),
            (TOKEN, "t"),
        ]);
        let names = [TIMESTAMP, HASH_METHOD, VERSION, CERTIFICATE, TOKEN];
        let mut text = string_to_sign(URL, &headers, body, &names).unwrap();
        if !last_line_end {
            text.pop();
        }
        let key = private_key();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &text,
            &mut signature,
        )
        .unwrap();
        headers.add(SIGNATURE_2, BASE64_STANDARD.encode(signature));
        headers
    }

    fn signed_v2(last_line_end: bool) -> Headers {
        signed_v2_at(MILLIS, BODY, last_line_end)
    }

    pub(super) fn signed_now(body: &[u8]) -> Headers {
        let millis = Timestamp::now().as_millisecond().to_string();
        signed_v2_at(&millis, body, false)
    }

    fn judge(policy: &WebhookPolicy, headers: &Headers) -> Result<Verdict, Refused> {
        policy.judge(headers, &UrlPath::default(), false, now())
    }

    /// The test vector of the official SDK. Its text is available, and its certificate is not.
    #[test]
    fn the_text_of_version_1_is_the_official_one() {
        let headers = headers(&[
            (TIMESTAMP, "1612167546574"),
            (METHOD, "HMAC-SHA1"),
            (VERSION, "1.0"),
            (CERTIFICATE, PEM_ADDRESS),
        ]);
        let names = [TIMESTAMP, METHOD, VERSION, CERTIFICATE, TOKEN];
        let body = b"Data is data1, constant is Please deal with it timely.";
        let text = string_to_sign(URL, &headers, body, &names).unwrap();
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
        let address = CertificateUrl::parse(PEM_ADDRESS, None).unwrap();
        for headers in [
            signed_v1(&[]),
            signed_v1(&[(TOKEN, "t")]),
            signed_v2(true),
            signed_v2(false),
        ] {
            let policy = policy(None, Some(URL));
            let verdict = judge(&policy, &headers);
            assert_eq!(verdict, Ok(Verdict::NeedsSignature(address.clone())));
            let verified = policy.verify(&headers, BODY, &certificate());
            assert_eq!(verified, Ok(()));
        }
    }

    #[test]
    fn the_dates_of_a_certificate_do_not_matter() {
        let pem = include_bytes!("../../../tests/fixtures/webhook/old-certificate.pem");
        let old = Certificate::from_pem(pem).unwrap();
        let policy = policy(None, Some(URL));
        assert_eq!(policy.verify(&signed_v2(false), BODY, &old), Ok(()));
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        for original in [signed_v1(&[(TOKEN, "t")]), signed_v2(false)] {
            let signed = policy(None, Some(URL));
            let elsewhere = policy(None, Some("http://127.0.0.1:8080/other"));
            let bad = |policy: &WebhookPolicy, headers: &Headers, body: &[u8]| {
                let verdict = policy.verify(headers, body, &certificate());
                matches!(verdict, Err(Refused::BadSignature(_)))
            };
            assert!(!bad(&signed, &original, BODY));
            assert!(bad(&elsewhere, &original, BODY), "the address");
            assert!(bad(&signed, &original, b"other"), "the body");
            for name in original.names() {
                let value = original.one(name).unwrap().unwrap();
                let changed = with(&original, name, &format!("A{}", &value[1..]));
                assert!(bad(&signed, &changed, BODY), "{name}");
            }
        }
    }

    #[test]
    fn what_has_another_length_than_a_signature_is_refused_before_a_certificate_is_fetched() {
        let policy = policy(None, Some(URL));
        let short = BASE64_STANDARD.encode([0; 16]);
        for changed in [
            with(&signed_v1(&[]), SIGNATURE_1, &short),
            with(&signed_v1(&[]), SECRET, &short),
            with(&signed_v2(false), SIGNATURE_2, &short),
        ] {
            let another_form = Refused::BadSignature("it has another form");
            assert_eq!(judge(&policy, &changed), Err(another_form));
        }
    }

    #[test]
    fn a_recording_is_refused() {
        let (headers, policy) = (signed_v2(false), policy(None, Some(URL)));
        for (now, is_served) in [
            ("2027-01-01T00:01:00Z", true),
            ("2027-01-01T00:01:01Z", false),
            ("2026-12-31T23:59:00Z", true),
            ("2026-12-31T23:58:59Z", false),
        ] {
            let verdict = policy.judge(&headers, &UrlPath::default(), false, now.parse().unwrap());
            assert_eq!(verdict.is_ok(), is_served, "{now}: {verdict:?}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let policy = policy(None, Some(URL));
        for (time, refused) in [
            ("", None),
            ("now", None),
            ("1798761600000.5", None),
            ("NaN", None),
            ("9223372036854775807", None),
            ("-9223372036854775808", None),
            ("99999999999999999999999999", None),
            ("0", Some(Refused::Stale)),
            ("-1", Some(Refused::Stale)),
            ("1798761600", Some(Refused::Stale)),
            ("253402207199999", Some(Refused::Stale)),
        ] {
            let unreadable = Refused::BadSignature("it has no readable time");
            let verdict = judge(&policy, &with(&signed_v2(false), TIMESTAMP, time));
            assert_eq!(verdict, Err(refused.unwrap_or(unreadable)), "{time}");
        }
    }

    #[test]
    fn certificates_of_others_are_not_fetched() {
        for address in [
            "https://anybody-eventbridge.oss-cn-hangzhou.aliyuncs.com/own.pem",
            "https://evil.example/x509_public_certificate_1.pem",
            "",
        ] {
            let headers = with(&signed_v2(false), CERTIFICATE, address);
            let verdict = judge(&policy(None, Some(URL)), &headers);
            assert_eq!(verdict, Err(Refused::ForeignCertificate), "{address}");
        }
    }

    #[test]
    fn events_of_other_customers_are_refused_although_eventbridge_signed_them() {
        let mut policy = policy(None, Some(URL));
        let foreign = br#"{"aliyunaccountid":"9","type":"t"}"#;
        assert_eq!(policy.expects(foreign), Ok(()));
        policy.accounts.insert(ACCOUNT.to_owned());
        assert_eq!(policy.expects(BODY), Ok(()));
        let why = Refused::ForeignAccount("account 9".to_owned());
        assert_eq!(policy.expects(foreign), Err(why));
    }

    #[test]
    fn a_token_is_enough_where_only_a_token_is_set() {
        let good = headers(&[(TOKEN, "shared")]);
        let token = policy(Some("shared"), None);
        assert_eq!(judge(&token, &good), Ok(Verdict::Authorized));
        for wrong in ["", "Shared", "shared ", "share", "shared,shared", "sharedd"] {
            let headers = headers(&[(TOKEN, wrong)]);
            assert_eq!(judge(&token, &headers), Err(Refused::WrongToken));
        }
        assert_eq!(judge(&token, &headers(&[])), Err(Refused::Unsigned));
        let both = policy(Some("shared"), Some(URL));
        assert_eq!(judge(&both, &good), Err(Refused::Unsigned));
    }

    #[test]
    fn a_token_at_the_end_of_the_url_is_as_good_as_in_the_header() {
        let token = policy(Some("shared/\u{e9}"), None);
        let judge =
            |headers: &Headers, path: &str| token.judge(headers, &UrlPath::new(path), false, now());
        let none = headers(&[]);
        for path in [
            "/shared%2F%C3%A9",
            "/shared%2f%c3%a9/",
            "/stage/base/shared%2F\u{e9}",
        ] {
            assert_eq!(judge(&none, path), Ok(Verdict::Authorized), "{path}");
            // A header that EventBridge sends for itself does not matter.
            for other in ["", "another"] {
                let verdict = judge(&headers(&[(TOKEN, other)]), path);
                assert_eq!(verdict, Ok(Verdict::Authorized), "{path}");
            }
            let twice: Headers = [(TOKEN, "a"), (TOKEN, "a")].into_iter().collect();
            assert_eq!(judge(&twice, path), Err(Refused::Repeated(TOKEN)), "{path}");
        }
        for path in [
            "",
            "/",
            "/shared%2F%C3%A9/more",
            "/shared%2F%C3%A",
            "/Shared%2F%C3%A9",
            "/shared/\u{e9}",
            "/shared%252F%25C3%25A9",
            "/x?shared%2F%C3%A9",
        ] {
            assert_eq!(judge(&none, path), Err(Refused::Unsigned), "{path}");
            let wrong = headers(&[(TOKEN, "wrong")]);
            assert_eq!(judge(&wrong, path), Err(Refused::WrongToken), "{path}");
        }
    }

    #[test]
    fn the_token_of_a_url_that_is_signed_for_is_not_shown() {
        let signed = policy(Some("hush-hush"), Some("https://a.example/hush-hush"));
        assert!(!format!("{signed:?}").contains("hush"), "{signed:?}");
    }

    #[test]
    fn a_header_that_was_sent_twice_is_refused_whichever_value_is_good() {
        let token = policy(Some("shared"), None);
        for pair in [
            ["shared", "wrong"],
            ["wrong", "shared"],
            ["shared", "shared"],
        ] {
            let twice: Headers = pair.map(|value| (TOKEN, value)).into_iter().collect();
            assert_eq!(judge(&token, &twice), Err(Refused::Repeated(TOKEN)));
        }
        let signed = policy(None, Some(URL));
        for original in [signed_v1(&[(TOKEN, "t")]), signed_v2(false)] {
            let names: Vec<_> = original.names().map(str::to_owned).collect();
            for name in names {
                let mut twice = original.clone();
                twice.add(&name, "0");
                let verdict = judge(&signed, &twice);
                assert!(matches!(verdict, Err(Refused::Repeated(_))), "{name}");
            }
        }
    }

    #[test]
    fn a_signature_alone_is_not_good_for_an_event_in_headers_it_does_not_cover() {
        let mut headers = signed_v2(false);
        headers.add("ce-aliyunaccountid", "9");
        let verdict = judge(&policy(None, Some(URL)), &headers);
        assert!(
            matches!(verdict, Err(Refused::BadSignature(_))),
            "{verdict:?}"
        );
        assert!(judge(&policy(Some("t"), Some(URL)), &headers).is_ok());
    }

    #[test]
    fn while_a_token_is_replaced_both_are_good() {
        let mut both = policy(Some("new"), None);
        both.tokens.push(Secret::new("old"));
        for (given, verdict) in [
            ("new", Ok(Verdict::Authorized)),
            ("old", Ok(Verdict::Authorized)),
            ("new,old", Err(Refused::WrongToken)),
            ("", Err(Refused::WrongToken)),
        ] {
            let headers = headers(&[(TOKEN, given)]);
            assert_eq!(judge(&both, &headers), verdict, "{given}");
        }
    }

    #[test]
    fn unsigned_pushes_are_refused_unless_allowed_or_authenticated_before() {
        let none = headers(&[]);
        let nothing = policy(None, None);
        assert_eq!(judge(&nothing, &none), Err(Refused::Unsigned));
        let authenticated = nothing.judge(&none, &UrlPath::default(), true, now());
        assert_eq!(authenticated, Ok(Verdict::Authorized));
        let open = WebhookPolicy {
            allows_unsigned: true,
            ..nothing
        };
        assert_eq!(judge(&open, &none), Ok(Verdict::Authorized));
    }

    #[test]
    fn what_is_configured_is_asked_for_also_where_the_platform_authenticated_the_sender() {
        for policy in [policy(Some("shared"), None), policy(None, Some(URL))] {
            let open = WebhookPolicy {
                allows_unsigned: true,
                ..policy.clone()
            };
            for policy in [policy, open] {
                let verdict = policy.judge(&headers(&[]), &UrlPath::default(), true, now());
                assert_eq!(verdict, Err(Refused::Unsigned));
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn arbitrary_secrets_and_signatures_never_panic(secret: Vec<u8>, signature: Vec<u8>) {
            let headers = with(&signed_v1(&[]), SECRET, &BASE64_STANDARD.encode(secret));
            let headers = with(&headers, SIGNATURE_1, &BASE64_STANDARD.encode(&signature));
            let policy = policy(None, Some(URL));
            assert!(policy.verify(&headers, BODY, &certificate()).is_err());
            let headers = with(&headers, SIGNATURE_2, &BASE64_STANDARD.encode(signature));
            assert!(policy.verify(&headers, BODY, &certificate()).is_err());
        }
    }
}
