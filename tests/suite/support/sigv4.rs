//! Signature Version 4, as the AWS documents describe it, for the doubles of AWS services.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// Whether a `POST` is signed for a service in us-east-1 with the key the doubles know. `target`: path
/// and query, as they were sent. Services other than S3 sign the path encoded once more.
pub fn is_good(service: &str, headers: &HeaderMap, target: &str, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = header("authorization") else {
        return false;
    };
    let part = |name: &str| {
        let rest = authorization.split(&format!("{name}=")).nth(1)?;
        rest.split(',').next()
    };
    let (Some(credential), Some(names), Some(signature)) =
        (part("Credential"), part("SignedHeaders"), part("Signature"))
    else {
        return false;
    };
    let Some((access_key_id, scope)) = credential.split_once('/') else {
        return false;
    };
    let canonical_headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name).unwrap_or_default().trim()))
        .collect();
    let payload = hex::encode(Sha256::digest(body));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.replace('%', "%25");
    let mut query: Vec<_> = query.split('&').collect();
    query.sort_unstable();
    let query = query.join("&");
    let canonical = format!("POST\n{path}\n{query}\n{canonical_headers}\n{names}\n{payload}");
    let time = header("x-amz-date").unwrap_or_default();
    let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
    let string_to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let mut key = format!("AWS4{SECRET_ACCESS_KEY}").into_bytes();
    for word in scope.split('/') {
        key = hmac(&key, word);
    }
    let signs_host = names.split(';').any(|name| name == "host");
    access_key_id == ACCESS_KEY_ID
        && signs_host
        && scope.ends_with(&format!("/us-east-1/{service}/aws4_request"))
        && hex::encode(hmac(&key, &string_to_sign)) == signature
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
