//! ACS3-HMAC-SHA256, as "V3 request body & signature mechanism" describes it, for the doubles of Alibaba
//! Cloud's services.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::ECS_SECRET;

/// Whether a `POST` is signed with the key of the tests. `query` as it was sent: in canonical order.
pub fn is_good(headers: &HeaderMap, path: &str, query: &str, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization").unwrap_or_default();
    let part = |name: &str| {
        let rest = authorization.split(&format!("{name}=")).nth(1)?;
        rest.split(',').next()
    };
    let names = part("SignedHeaders").unwrap_or_default();
    let canonical_headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", header(name).unwrap_or_default().trim()))
        .collect();
    let payload = hex::encode(Sha256::digest(body));
    let canonical = format!("POST\n{path}\n{query}\n{canonical_headers}\n{names}\n{payload}");
    let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(ECS_SECRET.as_bytes()).unwrap();
    mac.update(format!("ACS3-HMAC-SHA256\n{hash}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    [
        "host",
        "x-acs-action",
        "x-acs-date",
        "x-acs-signature-nonce",
    ]
    .iter()
    .all(|name| names.split(';').any(|signed| signed == *name))
        && header("x-acs-content-sha256") == Some(&payload)
        && part("Credential") == Some("ecs-key")
        && part("Signature") == Some(&signature)
}
