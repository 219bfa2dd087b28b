//! AWS STS: a token about the AWS identity this runs with, for Alibaba Cloud's STS.

use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::ProvideErrorMetadata as _;

use super::source::Source;
use super::{CredentialsError, CredentialsProvider, for_aws};
use crate::clock::Clock;
use crate::model::credentials::Secret;

/// An AWS identity that can be told to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsIdentity {
    /// Signs the request; on AWS Lambda the role's.
    pub credentials: Box<Source>,
    /// Regional endpoints only have the operation.
    pub region: String,
    /// Address of AWS STS, where it is not AWS's own.
    pub endpoint_url: Option<String>,
    /// Whom the token is for, as the OIDC provider's client ID says it.
    pub audience: String,
}

impl AwsIdentity {
    /// A token about it; one attempt.
    ///
    /// # Errors
    /// [`CredentialsError`] by what to do next.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Secret, CredentialsError> {
        let provider = CredentialsProvider::new((*self.credentials).clone(), http.clone());
        let credentials = provider.get().await?;
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(for_aws(&credentials))
            .http_client(crate::http::sdk_client(http.clone(), Clock::default()))
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
            .timeout_config(aws_sdk_sts::config::timeout::TimeoutConfig::disabled());
        let config = match &self.endpoint_url {
            Some(url) => config.endpoint_url(url),
            None => config,
        };
        let request = aws_sdk_sts::Client::from_conf(config.build())
            .get_web_identity_token()
            .audience(&self.audience)
            .signing_algorithm("RS256")
            .duration_seconds(300);
        match request.send().await {
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
                let text = format!("AWS STS gave {status} {code}: {message}{advice}");
                if status >= 500 || status == 429 || code.starts_with("Throttling") {
                    Err(CredentialsError::Unavailable(text))
                } else {
                    Err(CredentialsError::Refused(text))
                }
            }
        }
    }
}
