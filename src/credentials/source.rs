//! Where credentials come from, and how they are fetched there.
//!
//! The kinds and their requests are those of the official SDKs' default chain
//! (alibabacloud-credentials 1.0.12 for Python, credentials-go); on AWS, the function's own
//! identity takes the place of a key.

use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_sts::config::{BehaviorVersion, Region};
use aws_sdk_sts::error::ProvideErrorMetadata as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Method;
use url::Url;

use super::{Credentials, CredentialsError, Expiring, Secret, answer};
use crate::clock::{Clock, iso_second};
use crate::ecs::nonce;
use crate::ecs::request::{RpcCall, Stamp, sign};
use crate::ecs::signature::SignatureVersion;

/// Version of the STS API.
const STS_VERSION: &str = "2015-04-01";
/// How long a role's credentials are good, in seconds. Shorter is refused below 900.
const ROLE_SECONDS: &str = "3600";
/// As the SDKs wait for STS.
const STS_TIMEOUT: Duration = Duration::from_secs(10);
/// The metadata service is on the same machine: what takes longer is not there.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a metadata token is good, in seconds.
const METADATA_TOKEN_SECONDS: &str = "21600";
/// Longest OIDC token STS takes.
const MAX_TOKEN_BYTES: usize = 20_000;
/// Answers are a few kilobytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// These.
    Static(Credentials),
    /// A role, for whoever has the credentials of `base`: also in another account.
    AssumeRole {
        /// Signs the request.
        base: Box<Source>,
        /// Is assumed.
        role: Role,
    },
    /// A role, for whoever has a token of an OIDC provider it trusts. No key is needed.
    Oidc {
        /// ARN of the provider.
        provider_arn: String,
        /// Where its tokens come from.
        token: OidcToken,
        /// Is assumed.
        role: Role,
    },
    /// The role of the ECS instance this runs on.
    Metadata {
        /// `http://100.100.100.200`.
        endpoint: Url,
        /// Its name; asked for without it.
        role_name: Option<String>,
        /// Whether requests without a token may be made where the service gives none.
        allows_v1: bool,
    },
    /// An address that answers with credentials.
    Uri(Url),
    /// The first of these that has any.
    Chain(Vec<Source>),
}

/// A RAM role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// `acs:ram::{account}:role/{name}`.
    pub arn: String,
    /// Names the session in the account's audit.
    pub session_name: String,
    /// Narrows what the session may do: the policy, as JSON.
    pub session_policy: Option<String>,
    /// What the role's owner asks for, so that nobody else's function assumes it.
    pub external_id: Option<String>,
    /// Where STS is.
    pub sts: Url,
}

/// Where tokens of an OIDC provider come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OidcToken {
    /// A file that is written anew before its token ends, as in a Kubernetes pod.
    File(PathBuf),
    /// AWS STS, about the AWS identity this runs with.
    Aws(AwsIdentity),
}

/// An AWS identity that can be told to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsIdentity {
    /// Signs the request; on AWS Lambda the role's.
    pub credentials: Credentials,
    /// Regional endpoints only have the operation.
    pub region: String,
    /// Address of AWS STS, where it is not AWS's own.
    pub endpoint_url: Option<String>,
    /// Whom the token is for, as the OIDC provider's client ID says it.
    pub audience: String,
}

impl Source {
    /// Fetches credentials; one attempt.
    ///
    /// # Errors
    /// [`CredentialsError`] by what to do next.
    pub fn fetch<'a>(
        &'a self,
        http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<Expiring, CredentialsError>> {
        async move {
            match self {
                Self::Static(credentials) => Ok(Expiring {
                    credentials: credentials.clone(),
                    expires_at: None,
                }),
                Self::AssumeRole { base, role } => {
                    let base = base.fetch(http).await?.credentials;
                    assume_role(http, role, &base).await
                }
                Self::Oidc {
                    provider_arn,
                    token,
                    role,
                } => {
                    let token = token.fetch(http).await?;
                    assume_role_with_oidc(http, role, provider_arn, &token).await
                }
                Self::Metadata {
                    endpoint,
                    role_name,
                    allows_v1,
                } => match metadata(http, endpoint, role_name.as_deref(), *allows_v1).await {
                    // Nobody said that this is an ECS instance, so it most likely is none.
                    Err(CredentialsError::Unavailable(error)) if role_name.is_none() => {
                        Err(CredentialsError::Refused(format!("{error}; {NOTHING_SET}")))
                    }
                    fetched => fetched,
                },
                Self::Uri(uri) => {
                    let request = http.get(uri.clone()).timeout(STS_TIMEOUT);
                    let (status, body) = answer_of(request, "the credentials URI").await?;
                    answer::metadata("the credentials URI", status, &body)
                }
                Self::Chain(sources) => first(http, sources).await,
            }
        }
        .boxed()
    }
}

async fn first(http: &reqwest::Client, sources: &[Source]) -> Result<Expiring, CredentialsError> {
    if sources.is_empty() {
        let text = "the host hands over none: give the function a role";
        return Err(CredentialsError::Refused(text.to_owned()));
    }
    let mut errors = Vec::new();
    let mut may_pass = false;
    for source in sources {
        match source.fetch(http).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => {
                may_pass |= matches!(error, CredentialsError::Unavailable(_));
                errors.push(error.to_string());
            }
        }
    }
    let text = errors.join("; ");
    Err(if may_pass {
        CredentialsError::Unavailable(text)
    } else {
        CredentialsError::Refused(text)
    })
}

async fn assume_role(
    http: &reqwest::Client,
    role: &Role,
    base: &Credentials,
) -> Result<Expiring, CredentialsError> {
    let mut parameters = vec![
        ("DurationSeconds".to_owned(), ROLE_SECONDS.to_owned()),
        ("RoleArn".to_owned(), role.arn.clone()),
        ("RoleSessionName".to_owned(), role.session_name.clone()),
    ];
    let optional = [
        ("Policy", &role.session_policy),
        ("ExternalId", &role.external_id),
    ];
    for (name, value) in optional {
        parameters.extend(value.clone().map(|value| (name.to_owned(), value)));
    }
    let call = RpcCall {
        action: "AssumeRole",
        version: STS_VERSION,
        parameters,
    };
    let stamp = Stamp {
        now: Timestamp::now(),
        nonce: nonce().map_err(|error| CredentialsError::Unavailable(error.to_string()))?,
    };
    let signed = sign(&call, &role.sts, SignatureVersion::Acs3, base, &stamp);
    let mut request = http.post(signed.url).header("content-length", "0");
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let (status, body) = answer_of(request.timeout(STS_TIMEOUT), "STS").await?;
    answer::role(status, &body)
}

/// Not signed: the token says who asks. It goes into the body, for addresses end up in logs.
async fn assume_role_with_oidc(
    http: &reqwest::Client,
    role: &Role,
    provider_arn: &str,
    token: &Secret,
) -> Result<Expiring, CredentialsError> {
    let mut url = role.sts.clone();
    url.query_pairs_mut()
        .append_pair("Action", "AssumeRoleWithOIDC")
        .append_pair("Version", STS_VERSION)
        .append_pair("Format", "JSON")
        .append_pair("Timestamp", &iso_second(Timestamp::now()));
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(oidc_form(role, provider_arn, token))
        .timeout(STS_TIMEOUT);
    let (status, body) = answer_of(request, "STS").await?;
    answer::role(status, &body)
}

fn oidc_form(role: &Role, provider_arn: &str, token: &Secret) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("DurationSeconds", ROLE_SECONDS)
        .append_pair("OIDCProviderArn", provider_arn)
        .append_pair("OIDCToken", token.expose())
        .append_pair("RoleArn", &role.arn)
        .append_pair("RoleSessionName", &role.session_name);
    if let Some(policy) = &role.session_policy {
        form.append_pair("Policy", policy);
    }
    form.finish()
}

impl OidcToken {
    async fn fetch(&self, http: &reqwest::Client) -> Result<Secret, CredentialsError> {
        let token = match self {
            Self::File(path) => {
                let token = tokio::fs::read_to_string(path).await.map_err(|error| {
                    let path = path.display();
                    CredentialsError::Refused(format!(
                        "ALIBABA_CLOUD_OIDC_TOKEN_FILE {path}: {error}"
                    ))
                })?;
                Secret::new(token.trim())
            }
            Self::Aws(identity) => identity.token(http).boxed().await?,
        };
        if token.expose().is_empty() || token.expose().len() > MAX_TOKEN_BYTES {
            let text = format!("the OIDC token has not 1 to {MAX_TOKEN_BYTES} bytes");
            return Err(CredentialsError::Refused(text));
        }
        Ok(token)
    }
}

impl AwsIdentity {
    async fn token(&self, http: &reqwest::Client) -> Result<Secret, CredentialsError> {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.for_aws())
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

const NOTHING_SET: &str = "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or \
                            another source of credentials";
const METADATA: &str = "the ECS metadata service";

async fn metadata(
    http: &reqwest::Client,
    endpoint: &Url,
    role_name: Option<&str>,
    allows_v1: bool,
) -> Result<Expiring, CredentialsError> {
    let token = metadata_token(http, endpoint).await;
    let token = match token {
        Ok(token) => Some(token),
        Err(_) if allows_v1 => None,
        Err(error) => return Err(error),
    };
    let get = |path: String| {
        let request = metadata_request(http, endpoint, Method::GET, &path)?;
        Ok(match &token {
            Some(token) => request.header("x-aliyun-ecs-metadata-token", token.expose()),
            None => request,
        })
    };
    let folder = "/latest/meta-data/ram/security-credentials/";
    let role_name = match role_name {
        Some(name) => name.to_owned(),
        None => {
            let (status, body) = answer_of(get(folder.to_owned())?, METADATA).await?;
            let name = String::from_utf8_lossy(&body).trim().to_owned();
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if status != 200 || name.is_empty() || !name.chars().all(is_name) {
                let text = format!("{METADATA} names no role of this instance (status {status})");
                return Err(CredentialsError::Refused(text));
            }
            name
        }
    };
    let (status, body) = answer_of(get(format!("{folder}{role_name}"))?, METADATA).await?;
    answer::metadata(METADATA, status, &body)
}

async fn metadata_token(
    http: &reqwest::Client,
    endpoint: &Url,
) -> Result<Secret, CredentialsError> {
    let request = metadata_request(http, endpoint, Method::PUT, "/latest/api/token")?.header(
        "x-aliyun-ecs-metadata-token-ttl-seconds",
        METADATA_TOKEN_SECONDS,
    );
    match answer_of(request, METADATA).await? {
        (200, body) => Ok(Secret::new(String::from_utf8_lossy(&body).trim())),
        (status, _) => Err(CredentialsError::Refused(format!(
            "{METADATA} gives no token (status {status})"
        ))),
    }
}

fn metadata_request(
    http: &reqwest::Client,
    endpoint: &Url,
    method: Method,
    path: &str,
) -> Result<reqwest::RequestBuilder, CredentialsError> {
    let url = endpoint.join(path);
    let url = url.map_err(|error| CredentialsError::Refused(format!("{METADATA}: {error}")))?;
    Ok(http.request(method, url).timeout(METADATA_TIMEOUT))
}

/// Status and body of an answer. The address is in no error: it may carry what must not be shown.
async fn answer_of(
    request: reqwest::RequestBuilder,
    from: &str,
) -> Result<(u16, Vec<u8>), CredentialsError> {
    let failed = |error: reqwest::Error| {
        let cause = crate::http::innermost(&error.without_url());
        CredentialsError::Unavailable(format!("{from} does not answer: {cause}"))
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            let text = format!("the answer of {from} is too long");
            return Err(CredentialsError::Refused(text));
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, body))
}
