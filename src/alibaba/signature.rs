//! Canonical query → string to sign → signature, for both schemes that Alibaba Cloud accepts.
//!
//! The caller passes time and nonce. Tests check each step against the vectors in
//! `tests/fixtures/signing-vectors.json`, which the official Python SDKs made.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::Hmac;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::model::credentials::Secret;

/// Name and value of a query parameter, not encoded.
pub type Parameter = (String, String);

/// All characters except letters, digits and `-_.~`, as RFC 3986 §2.3 and the signature documents
/// say.
// A form encoder would write a space as `+` and keep `*`, and the signature would not match.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The signature scheme of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureVersion {
    /// ACS3-HMAC-SHA256, with the signature in the `Authorization` header. The official SDKs use
    /// it.
    #[default]
    Acs3,
    /// HMAC-SHA1 with `SignatureVersion=1.0`, with the signature in the query.
    V1,
}

/// Percent-encodes everything except the unreserved characters of RFC 3986, with upper-case
/// hexadecimal digits.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Sorts the parameters by name, encodes them, and joins them with `=` and `&`.
pub fn canonical_query(parameters: &[Parameter]) -> String {
    let mut sorted: Vec<_> = parameters.iter().collect();
    sorted.sort();
    let pairs: Vec<_> = sorted
        .into_iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect();
    pairs.join("&")
}

/// HMAC-SHA1 scheme.
pub mod v1 {
    use super::*;

    /// `METHOD&%2F&`, and then the canonical query, encoded once more.
    pub fn string_to_sign(method: &str, canonical_query: &str) -> String {
        format!(
            "{method}&{}&{}",
            percent_encode("/"),
            percent_encode(canonical_query)
        )
    }

    /// Base64 of the HMAC-SHA1. Its key is the secret, followed by `&`.
    pub fn signature(secret: &Secret, string_to_sign: &str) -> String {
        let key = format!("{}&", secret.expose());
        BASE64_STANDARD.encode(hmac::<Hmac<Sha1>>(key.as_bytes(), string_to_sign))
    }
}

/// ACS3-HMAC-SHA256 scheme.
pub mod acs3 {
    use super::*;

    /// Name of the scheme in the `Authorization` header.
    pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";

    /// Method, path, query, headers, their names and the payload's digest, each on its own line.
    ///
    /// `path` is `/` for RPC-style APIs, and the path as it is sent for ROA-style ones. `headers` are
    /// names in lower case, and values. All of them are signed.
    pub fn canonical_request(
        method: &str,
        path: &str,
        canonical_query: &str,
        headers: &[Parameter],
        payload_sha256: &str,
    ) -> String {
        let mut sorted: Vec<_> = headers.iter().collect();
        sorted.sort();
        let lines: String = sorted
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let names = signed_headers(headers);
        format!("{method}\n{path}\n{canonical_query}\n{lines}\n{names}\n{payload_sha256}")
    }

    /// Names of the headers, sorted and joined with `;`.
    pub fn signed_headers(headers: &[Parameter]) -> String {
        let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.join(";")
    }

    /// Name of the scheme, and digest of the canonical request.
    pub fn string_to_sign(canonical_request: &str) -> String {
        format!("{ALGORITHM}\n{}", sha256_hex(canonical_request.as_bytes()))
    }

    /// HMAC-SHA256 in lower-case hexadecimal. Its key is the secret.
    pub fn signature(secret: &Secret, string_to_sign: &str) -> String {
        hex::encode(hmac::<Hmac<Sha256>>(
            secret.expose().as_bytes(),
            string_to_sign,
        ))
    }

    /// Value of the `Authorization` header.
    pub fn authorization(access_key_id: &str, signed_headers: &str, signature: &str) -> String {
        format!(
            "{ALGORITHM} Credential={access_key_id},SignedHeaders={signed_headers},\
             Signature={signature}"
        )
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac<M: hmac::Mac + hmac::KeyInit>(key: &[u8], message: &str) -> Vec<u8> {
    // HMAC accepts keys of any length. The trait's error is for other algorithms.
    #[allow(clippy::expect_used)]
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        method: String,
        pathname: String,
        body: String,
        query: BTreeMap<String, String>,
        headers: BTreeMap<String, String>,
        canonicalized_query: Option<String>,
        canonical_request: Option<String>,
        string_to_sign: String,
        signature: String,
        authorization: Option<String>,
    }

    fn vectors(prefix: &str, count: usize) -> Vec<Vector> {
        let all: Vec<Vector> =
            serde_json::from_str(include_str!("../../tests/fixtures/signing-vectors.json"))
                .unwrap();
        let found: Vec<_> = all
            .into_iter()
            .filter(|v| v.name.starts_with(prefix))
            .collect();
        assert_eq!(found.len(), count, "{prefix}");
        found
    }

    fn secret() -> Secret {
        Secret::new("testsecret")
    }

    fn pairs(map: &BTreeMap<String, String>, but: &str) -> Vec<Parameter> {
        map.iter()
            .filter(|(k, _)| *k != but)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    #[test]
    fn v1_equals_the_sdk_step_by_step() {
        for vector in vectors("v1-", 4) {
            let query = canonical_query(&pairs(&vector.query, "Signature"));
            assert_eq!(
                Some(&query),
                vector.canonicalized_query.as_ref(),
                "{}",
                vector.name
            );
            let string_to_sign = v1::string_to_sign(&vector.method, &query);
            assert_eq!(string_to_sign, vector.string_to_sign, "{}", vector.name);
            assert_eq!(
                v1::signature(&secret(), &string_to_sign),
                vector.signature,
                "{}",
                vector.name
            );
        }
    }

    #[test]
    fn acs3_equals_the_sdk_step_by_step() {
        let rpc = vectors("v3-", 4).into_iter();
        for vector in rpc.chain(vectors("roa-", 2)) {
            let headers = pairs(&vector.headers, "Authorization");
            let query = canonical_query(&pairs(&vector.query, ""));
            let payload_sha256 = sha256_hex(vector.body.as_bytes());
            let (method, path) = (&vector.method, &vector.pathname);
            let request = acs3::canonical_request(method, path, &query, &headers, &payload_sha256);
            assert_eq!(
                Some(&request),
                vector.canonical_request.as_ref(),
                "{}",
                vector.name
            );
            let string_to_sign = acs3::string_to_sign(&request);
            assert_eq!(string_to_sign, vector.string_to_sign, "{}", vector.name);
            let signature = acs3::signature(&secret(), &string_to_sign);
            assert_eq!(signature, vector.signature, "{}", vector.name);
            let authorization =
                acs3::authorization("testid", &acs3::signed_headers(&headers), &signature);
            assert_eq!(
                Some(&authorization),
                vector.authorization.as_ref(),
                "{}",
                vector.name
            );
        }
    }

    #[track_caller]
    fn check_v1(method: &str, query: &str, signature: &str) {
        assert_eq!(
            v1::signature(&secret(), &v1::string_to_sign(method, query)),
            signature
        );
    }

    // The worked examples of the documents' signature pages.
    #[test]
    fn v1_equals_the_documents_examples() {
        check_v1(
            "GET",
            "AccessKeyId=testid&Action=DescribeRegions&Format=XML&SignatureMethod=HMAC-SHA1\
             &SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&SignatureVersion=1.0\
             &Timestamp=2016-02-23T12%3A46%3A24Z&Version=2014-05-26",
            "OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
        );
        check_v1(
            "GET",
            "AccessKeyId=testid&Action=DescribeDedicatedHosts&Format=JSON&RegionId=cn-beijing\
             &SignatureMethod=HMAC-SHA1&SignatureNonce=edb2b34af0af9a6d14deaf7c1a5315eb\
             &SignatureVersion=1.0&Timestamp=2023-03-13T08%3A34%3A30Z&Version=2014-05-26",
            "9NaGiOspFP5UPcwX8Iwt2YJXXuk=",
        );
    }

    #[test]
    fn acs3_equals_the_documents_example() {
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", &sha256_hex(b"")),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let query =
            "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai";
        let request = acs3::canonical_request("POST", "/", query, &headers, &sha256_hex(b""));
        let string_to_sign = acs3::string_to_sign(&request);
        assert!(
            string_to_sign
                .ends_with("7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259")
        );
        assert_eq!(
            acs3::signature(&Secret::new("YourAccessKeySecret"), &string_to_sign),
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    proptest::proptest! {
        #[test]
        fn encoding_leaves_unreserved_text_and_decodes_to_what_went_in(text in ".*") {
            let encoded = percent_encode(&text);
            let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
            proptest::prop_assert_eq!(&*decoded, &text);
            let kept = |b: u8| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b);
            proptest::prop_assert!(encoded.bytes().all(kept), "{encoded}");
            proptest::prop_assert!(!encoded.contains(|c: char| c.is_ascii_lowercase())
                || text.contains(|c: char| c.is_ascii_lowercase()));
        }

        #[test]
        fn the_order_parameters_are_given_in_does_not_matter(
            mut parameters in proptest::collection::vec((".{0,3}", ".{0,3}"), 0..6)
        ) {
            let forward = canonical_query(&parameters);
            parameters.reverse();
            proptest::prop_assert_eq!(forward, canonical_query(&parameters));
        }
    }
}
