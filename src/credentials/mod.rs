//! Access keys whose secret parts no log, error or `Debug` can show, and where they come from.

use jiff::Timestamp;

pub mod answer; // answers of token services (pure)
mod aws; // AWS STS, about an AWS identity
#[cfg(feature = "cli")]
pub mod aws_chain; // AWS keys as people have them
mod command; // a program that prints keys
mod fetch; // one request and its answer, bounded
pub mod files; // the SDKs' file (pure)
mod metadata; // the role of an ECS instance
pub mod profile; // the CLI's file (pure)
mod provider; // keeps and renews them
pub mod source; // where keys come from
mod sts; // Alibaba Cloud's STS

use crate::model::credentials::Credentials;

pub use provider::{CredentialsProvider, Identity, Owner};

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
    /// They came, and go into no request. Someone must mend where they come from.
    #[error("the credentials cannot be used: {0}")]
    Unusable(String),
}

impl CredentialsError {
    /// Why, without the words that say what for.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason) | Self::Refused(reason) | Self::Unusable(reason) => reason,
        }
    }
}

impl Expiring {
    /// The same, where it goes into a request; `from` says where it comes from.
    ///
    /// # Errors
    /// [`CredentialsError::Unusable`] with the part that does not.
    fn usable(self, from: &str) -> Result<Self, CredentialsError> {
        match self.credentials.check() {
            Ok(()) => Ok(self),
            Err((part, error)) => Err(CredentialsError::Unusable(format!(
                "the {part} that {from} gave: {error}"
            ))),
        }
    }
}

/// Credentials as the AWS SDK takes them.
fn for_aws(credentials: &Credentials) -> aws_credential_types::Credentials {
    let token = credentials.security_token.as_ref();
    aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        credentials.access_key_secret.expose(),
        token.map(|token| token.expose().to_owned()),
        None,
        "environment",
    )
}
