//! Requests to AWS Secrets Manager and to Parameter Store: the protocol AWS JSON 1.1, signed with
//! Signature Version 4.
//!
//! Sources: AWS, "GetSecretValue" of Secrets Manager and "GetParameter" of Systems Manager;
//! smithy.io, "AWS JSON 1.1 protocol".

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use jiff::Timestamp;
use serde_json::json;
use url::Url;

use super::arn::{Manager, SecretArn};
use crate::model::credentials::Credentials;

/// A signed request for the current version of a secret.
///
/// # Errors
/// If it cannot be signed.
pub(super) fn request(
    http: &reqwest::Client,
    arn: &SecretArn,
    endpoint: &Url,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<reqwest::RequestBuilder, String> {
    let (service, target, body) = match arn.manager() {
        // Parameter Store takes the ARN of a parameter as its name. It must, for one of another
        // account, and a name alone does not say whether it begins with a slash.
        Manager::ParameterStore => (
            "ssm",
            "AmazonSSM.GetParameter",
            json!({"Name": arn.as_str(), "WithDecryption": true}),
        ),
        _ => (
            "secretsmanager",
            "secretsmanager.GetSecretValue",
            json!({"SecretId": arn.as_str()}),
        ),
    };
    let body = body.to_string();
    let failed = |error: &dyn std::error::Error| format!("the request cannot be signed: {error}");
    let token = credentials.security_token.as_ref();
    let identity = aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        credentials.access_key_secret.expose(),
        token.map(|token| token.expose().to_owned()),
        None,
        "environment",
    )
    .into();
    let since_1970 = Duration::from_secs(now.as_second().try_into().unwrap_or_default());
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(arn.region())
        .name(service)
        .time(SystemTime::UNIX_EPOCH + since_1970)
        .settings(settings)
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target),
    ];
    let signable = SignableRequest::new(
        "POST",
        endpoint.as_str(),
        headers.into_iter(),
        SignableBody::Bytes(body.as_bytes()),
    )
    .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(signable, &parameters)
        .map_err(|error| failed(&error))?
        .into_parts();
    let mut request = http.post(endpoint.clone());
    for (name, value) in headers.into_iter().chain(instructions.headers()) {
        request = request.header(name, value);
    }
    Ok(request.body(body))
}
