//! Where credentials come from, and how they are fetched.
//!
//! The kinds and their requests are the same as in the default chain of the official SDKs
//! (alibabacloud-credentials 1.0.12 for Python, credentials-go). On AWS, the function's own
//! identity can replace a key.

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use url::Url;

pub use super::command::Command;
use super::fetch::{STS_TIMEOUT, answer_of};
pub use super::sts::{ROLE_SECONDS, Role};
use super::{CredentialsError, Expiring, ManagedSecret, answer, aws, metadata, sts};
use crate::model::credentials::{Credentials, Secret};
use crate::model::ids::AccountId;

/// Longest OIDC token that STS accepts, in bytes.
const MAX_TOKEN_BYTES: usize = 20_000;
/// Credentials that cannot be renewed must be valid for at least this long.
pub(super) const SPARE: SignedDuration = SignedDuration::from_secs(30);

/// How long the value of a secret is used before it is read again.
const SECRET_KEPT_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Keys in the environment.
    Static(Credentials),
    /// Keys in a file.
    File {
        /// The keys.
        keys: Credentials,
        /// The file and the part of it that has the keys, for messages.
        place: String,
    },
    /// The host passes credentials with each request. Function Compute passes those of the
    /// function's role.
    Host,
    /// Another tool fetched keys, and stored them in a file.
    Cached {
        /// The keys, with their expiration.
        keys: Expiring,
        /// Which session it is and how to renew it, for messages.
        renewal: String,
    },
    /// A role that the credentials of `base` may assume. It may be in another account.
    AssumeRole {
        /// Credentials that sign the request.
        base: Box<Source>,
        /// The role to assume.
        role: Role,
    },
    /// A role that trusts an OIDC provider. It is assumed with a token of that provider, without a
    /// key.
    Oidc {
        /// ARN of the provider.
        provider_arn: String,
        /// Where the tokens come from.
        token: OidcToken,
        /// The role to assume.
        role: Role,
    },
    /// The role of the ECS instance that this process runs on.
    Metadata {
        /// Address of the metadata service: `http://100.100.100.200`.
        endpoint: Url,
        /// Name of the role. Without it, the metadata service is asked.
        role_name: Option<String>,
        /// Whether requests without a token are allowed if the service issues none.
        allows_v1: bool,
    },
    /// An address that returns credentials.
    Uri(Url),
    /// A program that prints credentials.
    Command(Command),
    /// A secrets manager keeps the keys.
    Managed(Box<ManagedSecret>),
    /// The first of these places that has credentials.
    Chain(Vec<Place>),
    /// The AWS credentials of a person.
    #[cfg(feature = "cli")]
    AwsChain(super::aws_chain::AwsChain),
}

/// A place in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing is there. Holds the place and the reason, for messages.
    Empty(String),
    /// Credentials are configured there.
    Set(Source),
    /// Credentials may be there, though nothing is configured. If it does not answer, it counts as
    /// empty.
    Guess(Source),
}

impl Place {
    /// Why nothing is there. `None` if something may be.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Empty(why) => Some(why),
            Self::Set(_) | Self::Guess(_) => None,
        }
    }
}

/// Where the tokens of an OIDC provider come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OidcToken {
    /// A file. It is rewritten before its token expires, as in a Kubernetes pod.
    File(PathBuf),
    /// AWS STS issues it for this AWS identity.
    Aws(AwsIdentity),
}

/// An AWS identity for which AWS STS issues tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsIdentity {
    /// Credentials that sign the request. On AWS Lambda, those of the function's role.
    pub credentials: Box<Source>,
    /// Region of the STS endpoint. Only regional endpoints have this operation.
    pub region: String,
    /// Address of AWS STS. `None` for AWS's own.
    pub endpoint_url: Option<String>,
    /// Audience of the token: the client ID of the OIDC provider.
    pub audience: String,
}

/// What fetching needs besides the source.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) http: &'a reqwest::Client,
    /// The latest credentials that the host passed.
    pub(super) handed: Option<&'a Credentials>,
}

impl Source {
    /// Fetches credentials. Makes one attempt.
    ///
    /// # Errors
    /// [`CredentialsError`] says what to do next.
    pub(super) fn fetch<'a>(
        &'a self,
        means: Means<'a>,
    ) -> BoxFuture<'a, Result<Expiring, CredentialsError>> {
        let lasting = |credentials: &Credentials| Expiring {
            credentials: credentials.clone(),
            expires_at: None,
        };
        async move {
            match self {
                Self::Static(credentials)
                | Self::File {
                    keys: credentials, ..
                } => Ok(lasting(credentials)),
                Self::Host => means.handed.map(lasting).ok_or_else(|| {
                    let text = "the host hands over no credentials: give the function a role";
                    CredentialsError::Refused(text.to_owned())
                }),
                Self::Cached { keys, renewal } => cached(keys, renewal),
                Self::AssumeRole { base, role } => {
                    let base = base.fetch(means).await?.credentials;
                    sts::assume_role(means.http, role, &base).await
                }
                Self::Oidc {
                    provider_arn,
                    token,
                    role,
                } => {
                    let token = token.fetch(means.http).await?;
                    sts::assume_role_with_oidc(means.http, role, provider_arn, &token).await
                }
                Self::Metadata {
                    endpoint,
                    role_name,
                    allows_v1,
                } => {
                    let role_name = role_name.as_deref();
                    metadata::credentials(means.http, endpoint, role_name, *allows_v1).await
                }
                Self::Uri(uri) => {
                    let request = means.http.get(uri.clone()).timeout(STS_TIMEOUT);
                    let (status, body) = answer_of(request, CREDENTIALS_URI).await?;
                    answer::metadata(CREDENTIALS_URI, status, &body)
                }
                Self::Command(command) => command.run().await,
                Self::Managed(secret) => secret.access_key(means).await,
                Self::Chain(places) => first(means, places).await,
                #[cfg(feature = "cli")]
                Self::AwsChain(chain) => chain.fetch(means.http).await,
            }
        }
        .boxed()
    }

    /// Adds the part of a file, such as a section, to the place of its keys.
    pub(super) fn of_part(self, part: &str) -> Self {
        match self {
            Self::Static(keys) => Self::File {
                keys,
                place: part.to_owned(),
            },
            Self::AssumeRole { base, role } => Self::AssumeRole {
                base: Box::new(base.of_part(part)),
                role,
            },
            other => other,
        }
    }

    /// Adds the path of the file to the place of its keys.
    pub fn of_file(self, path: &Path) -> Self {
        match self {
            Self::File { keys, place } => Self::File {
                keys,
                place: format!("{place} in {}", path.display()),
            },
            Self::AssumeRole { base, role } => Self::AssumeRole {
                base: Box::new(base.of_file(path)),
                role,
            },
            other => other,
        }
    }

    /// Describes the place that the keys come from, so that a person can fix them. `static_keys`
    /// are the names of the settings in the environment.
    pub fn place(&self, static_keys: &str) -> String {
        match self {
            Self::Static(_) => static_keys.to_owned(),
            Self::File { place, .. } => place.clone(),
            Self::Host => "the role of the function".to_owned(),
            Self::Cached { renewal, .. } => renewal.clone(),
            Self::AssumeRole { role, .. } | Self::Oidc { role, .. } => {
                format!("the session of the role {}", role.arn)
            }
            Self::Metadata { .. } => "the role of the ECS instance".to_owned(),
            Self::Uri(_) => CREDENTIALS_URI.to_owned(),
            Self::Command(command) => command.to_string(),
            Self::Managed(secret) => format!("the secret {}", secret.address.arn),
            Self::Chain(places) => {
                let sources = places.iter().filter_map(|place| match place {
                    Place::Empty(_) => None,
                    Place::Set(source) | Place::Guess(source) => Some(source.place(static_keys)),
                });
                sources.collect::<Vec<_>>().join(" or ")
            }
            #[cfg(feature = "cli")]
            Self::AwsChain(chain) => format!("the AWS profile {:?} or its chain", chain.profile),
        }
    }

    /// The secret of a secrets manager that has the keys, or the keys that assume the role.
    pub fn managed(&self) -> Option<&ManagedSecret> {
        match self {
            Self::Managed(secret) => Some(secret),
            Self::AssumeRole { base, .. } => base.managed(),
            _ => None,
        }
    }

    /// How long credentials are used before they are fetched again, even if they do not expire.
    /// `None` if they are used until they expire or are refused.
    pub(super) fn kept_for(&self) -> Option<SignedDuration> {
        match self {
            Self::Managed(_) => Some(SECRET_KEPT_FOR),
            _ => None,
        }
    }

    /// Whether fetching again may return other credentials than the refused ones.
    pub(super) fn is_renewable(&self, is_handed: bool) -> bool {
        match self {
            // Only the host or the other tool can renew these.
            Self::Static(_) | Self::File { .. } | Self::Host | Self::Cached { .. } => false,
            Self::AssumeRole { .. }
            | Self::Oidc { .. }
            | Self::Metadata { .. }
            | Self::Uri(_)
            | Self::Command(_)
            | Self::Managed(_) => true,
            #[cfg(feature = "cli")]
            Self::AwsChain(_) => true,
            Self::Chain(places) => {
                let mut used = places.iter().filter_map(|place| match place {
                    Place::Empty(_) | Place::Set(Self::Host) if !is_handed => None,
                    Place::Empty(_) => None,
                    Place::Set(source) | Place::Guess(source) => Some(source),
                });
                used.next()
                    .is_some_and(|source| source.is_renewable(is_handed))
            }
        }
    }

    /// The account of the role to assume. `None` if there is no role, or one for each account.
    pub(super) fn account(&self) -> Option<AccountId> {
        match self {
            Self::AssumeRole { role, .. } | Self::Oidc { role, .. } => account_of(&role.arn),
            _ => None,
        }
        .or_else(|| match self {
            // The roles that trust a provider are in the provider's account.
            Self::Oidc { provider_arn, .. } => account_of(provider_arn),
            _ => None,
        })
    }

    /// Whether each account has its own role: the ARN contains `{account}`.
    pub fn needs_account(&self) -> bool {
        match self {
            Self::AssumeRole { role, .. } | Self::Oidc { role, .. } => role.arn.contains(ACCOUNT),
            _ => false,
        }
    }

    /// The same source, with the role of this account.
    pub fn of_account(&self, account_id: &AccountId) -> Self {
        let mut source = self.clone();
        match &mut source {
            Self::AssumeRole { role, .. } => role.arn = filled(&role.arn, account_id),
            Self::Oidc {
                role, provider_arn, ..
            } => {
                role.arn = filled(&role.arn, account_id);
                *provider_arn = filled(provider_arn, account_id);
            }
            _ => {}
        }
        source
    }

    /// Whether there are credentials besides those that the host passes.
    pub(super) fn has_more_than_host(&self) -> bool {
        let is_more = |place: &Place| match place {
            Place::Empty(_) => false,
            Place::Set(source) | Place::Guess(source) => *source != Self::Host,
        };
        matches!(self, Self::Chain(places) if places.iter().any(is_more))
    }

    /// The credentials of a function's own role, as its host passes them: with each request, and in the
    /// environment at its start. Never those of a role that the function assumes.
    pub(super) fn own_of_function(&self) -> Self {
        let mut own = vec![Place::Set(Self::Host)];
        let base = match self {
            Self::AssumeRole { base, .. } => base,
            source => source,
        };
        if let Self::Chain(places) = base {
            let is_key = |place: &&Place| matches!(place, Place::Set(Self::Static(_)));
            own.extend(places.iter().filter(is_key).cloned());
        }
        Self::Chain(own)
    }

    /// Whether the credentials of the host sign requests directly.
    pub(super) fn is_handed(&self) -> bool {
        match self {
            Self::Host => true,
            Self::Chain(places) => matches!(places.first(), Some(Place::Set(Self::Host))),
            _ => false,
        }
    }
}

/// A setting or a profile contains the address.
const CREDENTIALS_URI: &str = "the credentials URI";

/// Placeholder for an event's account in the ARN of a role.
const ACCOUNT: &str = "{account}";

fn filled(arn: &str, account_id: &AccountId) -> String {
    arn.replace(ACCOUNT, account_id.as_str())
}

/// The account in `acs:ram::{account}:{resource}`.
fn account_of(arn: &str) -> Option<AccountId> {
    AccountId::parse(arn.split(':').nth(3)?).ok()
}

fn cached(keys: &Expiring, renewal: &str) -> Result<Expiring, CredentialsError> {
    match keys.expires_at {
        Some(end) if end <= Timestamp::now() + SPARE => {
            let end = crate::clock::iso_second(end);
            Err(CredentialsError::Refused(format!(
                "{renewal} (it expired at {end})"
            )))
        }
        _ => Ok(keys.clone()),
    }
}

/// Advice if no credentials are configured.
pub const NOTHING_SET: &str = "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, \
                               or another source of credentials";

async fn first(means: Means<'_>, places: &[Place]) -> Result<Expiring, CredentialsError> {
    let mut looked_at = Vec::new();
    let mut is_transient = false;
    for place in places {
        let (source, is_guess) = match place {
            Place::Empty(why) => {
                looked_at.push(why.clone());
                continue;
            }
            Place::Set(source) => (source, false),
            Place::Guess(source) => (source, true),
        };
        match source.fetch(means).await {
            Ok(fetched) => return Ok(fetched),
            // Someone configured these credentials on purpose.
            Err(error @ CredentialsError::Unusable(_)) => return Err(error),
            Err(error) => {
                is_transient |= matches!(error, CredentialsError::Unavailable(_)) && !is_guess;
                looked_at.push(error.reason().to_owned());
            }
        }
    }
    let looked_at = looked_at.iter().zip(1..);
    let looked_at: Vec<_> = looked_at.map(|(why, n)| format!("({n}) {why}")).collect();
    let text = format!("looked at {}; {NOTHING_SET}", looked_at.join(", "));
    Err(if is_transient {
        CredentialsError::Unavailable(text)
    } else {
        CredentialsError::Refused(text)
    })
}

impl AwsIdentity {
    /// Gets a token for the identity. Makes one attempt.
    async fn token(&self, http: &reqwest::Client) -> Result<Secret, CredentialsError> {
        let means = Means { http, handed: None };
        let credentials = self.credentials.fetch(means).await?.credentials;
        let request = aws::TokenRequest {
            region: &self.region,
            endpoint_url: self.endpoint_url.as_deref(),
            audience: &self.audience,
        };
        aws::web_identity_token(request, &credentials, http).await
    }
}

impl OidcToken {
    async fn fetch(&self, http: &reqwest::Client) -> Result<Secret, CredentialsError> {
        let token = match self {
            Self::File(path) => {
                let token = tokio::fs::read_to_string(path).await.map_err(|error| {
                    let path = path.display();
                    CredentialsError::Refused(format!("the OIDC token file {path}: {error}"))
                })?;
                Secret::new(token.trim())
            }
            Self::Aws(identity) => identity.token(http).await?,
        };
        if token.expose().is_empty() || token.expose().len() > MAX_TOKEN_BYTES {
            let text = format!("the OIDC token must have 1 to {MAX_TOKEN_BYTES} bytes");
            return Err(CredentialsError::Refused(text));
        }
        Ok(token)
    }
}
