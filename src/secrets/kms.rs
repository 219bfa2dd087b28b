//! Requests to Alibaba Cloud KMS: an RPC-style call, signed with ACS3-HMAC-SHA256.
//!
//! Source: `GetSecretValue` of KMS, version 2016-01-20. Its shared gateways, and the gateway of an
//! instance, take the same request ("Alibaba Cloud SDK" of KMS).

use jiff::Timestamp;
use url::Url;

use super::arn::SecretArn;
use crate::alibaba::nonce;
use crate::alibaba::request::{RpcCall, SigningContext, sign};
use crate::alibaba::signature::SignatureVersion;
use crate::model::credentials::Credentials;

/// Version of the KMS API.
const KMS_VERSION: &str = "2016-01-20";

/// A signed request for the current version of a secret.
///
/// # Errors
/// If the system returns no random bytes for the nonce.
pub(super) fn request(
    http: &reqwest::Client,
    arn: &SecretArn,
    endpoint: &Url,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<reqwest::RequestBuilder, String> {
    let call = RpcCall {
        action: "GetSecretValue",
        version: KMS_VERSION,
        // A secret of another account can only be named by its ARN.
        parameters: vec![("SecretName".to_owned(), arn.as_str().to_owned())],
    };
    let context = SigningContext {
        now,
        nonce: nonce().map_err(|error| format!("no nonce: {error}"))?,
    };
    let signed = sign(
        &call,
        endpoint,
        SignatureVersion::Acs3,
        credentials,
        &context,
    );
    let mut request = http.post(signed.url).header("content-length", "0");
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    Ok(request)
}
