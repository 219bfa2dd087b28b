//! AWS STS: a token that proves the AWS identity of this process to Alibaba Cloud's STS.

use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::ProvideErrorMetadata as _;

use super::{CredentialsError, for_aws};
use crate::clock::Clock;
use crate::http::answer::Expected;
use crate::model::credentials::{Credentials, Secret};

/// Parameters of a token request.
pub(super) struct TokenRequest<'a> {
    /// Region of the STS endpoint. Only regional endpoints have this operation.
    pub(super) region: &'a str,
    /// Address of AWS STS. `None` for AWS's own.
    pub(super) endpoint_url: Option<&'a str>,
    /// Audience of the token: the client ID of the OIDC provider.
    pub(super) audience: &'a str,
}

/// Gets a token for the identity of these credentials. Makes one attempt.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn web_identity_token(
    request: TokenRequest<'_>,
    credentials: &Credentials,
    http: &reqwest::Client,
) -> Result<Secret, CredentialsError> {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(request.region.to_owned()))
        .credentials_provider(for_aws(credentials))
        .http_client(crate::http::sdk_client(
            http.clone(),
            Clock::default(),
            |_| Expected::Any,
        ))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .timeout_config(aws_sdk_sts::config::timeout::TimeoutConfig::disabled());
    let config = match request.endpoint_url {
        Some(url) => config.endpoint_url(url),
        None => config,
    };
    let call = aws_sdk_sts::Client::from_conf(config.build())
        .get_web_identity_token()
        .audience(request.audience)
        .signing_algorithm("RS256")
        .duration_seconds(300);
    match call.send().await {
        Ok(answer) => match answer.web_identity_token {
            Some(token) => Ok(Secret::new(token)),
            None => Err(CredentialsError::Unavailable(
                "AWS STS answered without a token".into(),
            )),
        },
        Err(error) => {
            let Some(response) = error.raw_response() else {
                let cause = crate::http::innermost(&error);
                return Err(CredentialsError::Unavailable(format!("AWS STS: {cause}")));
            };
            let status = response.status().as_u16();
            let code = error.code().unwrap_or("no code");
            let advice = match code {
                "OutboundWebIdentityFederationDisabled"
                | "OutboundWebIdentityFederationDisabledException" => {
                    "; enable outbound web identity federation in the AWS account"
                }
                "AccessDenied" => "; the function's role must allow sts:GetWebIdentityToken",
                _ => "",
            };
            let message = error.message().unwrap_or_default().escape_debug();
            let text = format!("AWS STS answered {status} {code}: {message}{advice}");
            if status >= 500 || status == 429 || code.starts_with("Throttling") {
                Err(CredentialsError::Unavailable(text))
            } else {
                Err(CredentialsError::Refused(text))
            }
        }
    }
}
