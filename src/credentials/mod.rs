//! Access keys whose secret parts no log, error or `Debug` can show, and where they come from.

use std::fmt;
use std::sync::Arc;

use aws_credential_types::provider::{
    self, ProvideCredentials, error::CredentialsError as AwsError,
};
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tracing::warn;

pub mod answer; // answers of token services (pure)
pub mod files; // the CLI's and the SDKs' files (pure)
pub mod source; // where keys come from

use source::Source;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a request is signed with, for Alibaba Cloud and for AWS alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The public part.
    pub access_key_id: String,
    /// The key of the HMAC.
    pub access_key_secret: Secret,
    /// Comes with temporary keys from a security token service (STS).
    pub security_token: Option<Secret>,
}

/// Credentials and when they end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// What to sign with.
    pub credentials: Credentials,
    /// `None` for keys that do not end, or whose end is not known.
    pub expires_at: Option<Timestamp>,
}

/// Why there are no credentials; the variants are what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The service that gives them is out of reach, throttled or failing. Try again.
    #[error("credentials cannot be fetched: {0}")]
    Unavailable(String),
    /// The service refuses, or a file is not usable. Someone must mend it.
    #[error("there are no credentials: {0}")]
    Refused(String),
}

/// How long before their end credentials are fetched anew.
const RENEWAL: SignedDuration = SignedDuration::from_mins(5);
/// What credentials must be good for at the least, when they cannot be renewed.
const SPARE: SignedDuration = SignedDuration::from_secs(30);

/// Gives credentials that are good now: fetched when they are first needed, kept, and fetched anew
/// before they end. Copies share what one of them fetched.
#[derive(Clone)]
pub struct CredentialsProvider(Arc<Shared>);

struct Shared {
    source: Source,
    http: reqwest::Client,
    kept: Mutex<Option<Expiring>>,
}

impl fmt::Debug for CredentialsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.fmt(f)
    }
}

impl CredentialsProvider {
    /// Credentials from `source`, fetched with `http` where that takes requests.
    pub fn new(source: Source, http: reqwest::Client) -> Self {
        let kept = Mutex::default();
        Self(Arc::new(Shared { source, http, kept }))
    }

    /// Where they come from.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// Credentials that are good now.
    ///
    /// # Errors
    /// [`CredentialsError`] when there are none.
    pub async fn get(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.0.kept.lock().await;
        let now = Timestamp::now();
        let lasts = |kept: &Expiring, spare| kept.expires_at.is_none_or(|end| end > now + spare);
        if let Some(kept) = kept.as_ref().filter(|kept| lasts(kept, RENEWAL)) {
            return Ok(kept.credentials.clone());
        }
        match self.0.source.fetch(&self.0.http).await {
            Ok(fresh) => Ok(kept.insert(fresh).credentials.clone()),
            Err(error) => match kept.as_ref().filter(|kept| lasts(kept, SPARE)) {
                Some(kept) => {
                    warn!("credentials that end soon are used once more: {error}");
                    Ok(kept.credentials.clone())
                }
                None => Err(error),
            },
        }
    }

    /// Puts credentials in place of those that are kept: a host hands over fresh ones.
    pub async fn put(&self, credentials: Credentials) {
        *self.0.kept.lock().await = Some(Expiring {
            credentials,
            expires_at: None,
        });
    }

    /// Forgets what a service no longer takes, so that the next request gets fresh ones.
    pub async fn forget(&self, refused: &Credentials) {
        let mut kept = self.0.kept.lock().await;
        // Another request may have fetched fresh ones since.
        if kept
            .as_ref()
            .is_some_and(|kept| kept.credentials == *refused)
        {
            *kept = None;
        }
    }
}

/// For the AWS SDK, which signs requests to OSS.
impl ProvideCredentials for CredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let credentials = self.get().map(|credentials| match credentials {
            Ok(credentials) => Ok(credentials.for_aws()),
            Err(error) => Err(AwsError::provider_error(error)),
        });
        provider::future::ProvideCredentials::new(credentials)
    }
}

impl Credentials {
    /// The same, as the AWS SDK wants it.
    pub fn for_aws(&self) -> aws_credential_types::Credentials {
        let token = self.security_token.as_ref();
        aws_credential_types::Credentials::new(
            &self.access_key_id,
            self.access_key_secret.expose(),
            token.map(|token| token.expose().to_owned()),
            None,
            "environment",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_secret_nor_token() {
        let credentials = Credentials {
            access_key_id: "testid".into(),
            access_key_secret: Secret::new("hush-secret"),
            security_token: Some(Secret::new("hush-token")),
        };
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(
            shown.contains("testid") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
