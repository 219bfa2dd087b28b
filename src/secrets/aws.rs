//! Requests to AWS Secrets Manager and to Parameter Store: the protocol AWS JSON 1.1.
//!
//! Sources: AWS, "GetSecretValue" of Secrets Manager and "GetParameter" of Systems Manager;
//! smithy.io, "AWS JSON 1.1 protocol".

use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use url::Url;

use super::arn::{Manager, SecretArn};
use crate::aws::AwsCall;
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
    let call = AwsCall {
        service,
        region: arn.region(),
        endpoint,
        method: Method::POST,
        path: "/",
        query: "",
        headers: &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
        ],
        body: body.as_bytes(),
    };
    call.request(http, credentials, now)
}
