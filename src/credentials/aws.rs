//! AWS STS: who this process is on AWS, and a token that proves it to Alibaba Cloud's STS.

use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::CredentialsError;
use crate::aws::for_sdk;
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
    let call = client(request.region, request.endpoint_url, credentials, http)
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
        Err(error) => Err(failed(&error, "sts:GetWebIdentityToken", credentials)),
    }
}

/// Asks AWS STS whose credentials these are: the ARN of the user, or of the role's session. The
/// operation needs no permission ("GetCallerIdentity"). Makes one attempt.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn caller(
    region: &str,
    endpoint_url: Option<&str>,
    credentials: &Credentials,
    http: &reqwest::Client,
) -> Result<String, CredentialsError> {
    let call = client(region, endpoint_url, credentials, http).get_caller_identity();
    match call.send().await {
        Ok(answer) => answer
            .arn
            .ok_or_else(|| CredentialsError::Unavailable("AWS STS answered without an ARN".into())),
        Err(error) => Err(failed(&error, "sts:GetCallerIdentity", credentials)),
    }
}

fn client(
    region: &str,
    endpoint_url: Option<&str>,
    credentials: &Credentials,
    http: &reqwest::Client,
) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(for_sdk(credentials))
        .http_client(crate::http::sdk_client(
            http.clone(),
            Clock::default(),
            |_| Expected::Any,
        ))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .timeout_config(aws_sdk_sts::config::timeout::TimeoutConfig::disabled());
    let config = match endpoint_url {
        Some(url) => config.endpoint_url(url),
        None => config,
    };
    aws_sdk_sts::Client::from_conf(config.build())
}

/// `action`: what the identity must be allowed.
fn failed<E>(
    error: &SdkError<E, HttpResponse>,
    action: &str,
    used: &Credentials,
) -> CredentialsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(response) = error.raw_response() else {
        let cause = crate::http::innermost(error);
        return CredentialsError::Unavailable(format!("AWS STS: {cause}"));
    };
    let status = response.status().as_u16();
    let code = error.code().unwrap_or("no code");
    let advice = match code {
        "OutboundWebIdentityFederationDisabled"
        | "OutboundWebIdentityFederationDisabledException" => {
            "; enable outbound web identity federation in the AWS account"
        }
        "AccessDenied" => &format!("; the function's role must allow {action}"),
        _ => "",
    };
    let message = used.left_out_of(error.message().unwrap_or_default());
    let message = message.escape_debug();
    let text = format!("AWS STS answered {status} {code}: {message}{advice}");
    // A success that says nothing is not from STS.
    let is_transient = status >= 500 || status == 429 || (200..300).contains(&status);
    if is_transient || code.starts_with("Throttling") {
        CredentialsError::Unavailable(text)
    } else {
        CredentialsError::Refused(text)
    }
}
