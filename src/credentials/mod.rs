//! Access keys, and where they come from. Logs, errors and `Debug` cannot show their secret parts.

use std::time::Duration;

use jiff::Timestamp;

pub mod answer; // answers of token services (pure)
mod aws; // AWS STS: who this is on AWS, and proof of it
#[cfg(feature = "cli")]
pub mod aws_chain; // AWS keys of a person
mod caller; // who this process is on AWS
mod command; // a program that prints keys
mod fetch; // one request and its answer, bounded
pub mod files; // the SDKs' file (pure)
mod managed; // keys that a secrets manager keeps
mod metadata; // the role of an ECS instance
pub mod profile; // the CLI's file (pure)
mod provider; // caches and renews keys
pub mod source; // where keys come from
mod sts; // Alibaba Cloud's STS

use crate::model::credentials::Credentials;
use crate::retry::{self, RetryAdvice, Retryable};

pub use caller::AwsCaller;
pub use managed::{ManagedSecret, access_key};
pub use provider::{CredentialsProvider, Identity, Owner};

/// Credentials with their expiration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// The credentials.
    pub credentials: Credentials,
    /// When they expire. `None` if they do not expire, or if it is unknown.
    pub expires_at: Option<Timestamp>,
}

/// Why there are no usable credentials. Each variant is what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The service that issues credentials throttled, failed or did not answer. Retry.
    #[error("credentials cannot be fetched: {0}")]
    Unavailable(String),
    /// The service refuses, or a file is not usable. Someone must fix it.
    #[error("there are no credentials: {0}")]
    Refused(String),
    /// The credentials contain characters that cannot be sent. Someone must fix them at their
    /// source.
    #[error("the credentials cannot be used: {0}")]
    Unusable(String),
}

impl CredentialsError {
    /// The reason, without the introduction.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason) | Self::Refused(reason) | Self::Unusable(reason) => reason,
        }
    }
}

impl Retryable for CredentialsError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Unavailable(_) => RetryAdvice::Wait,
            Self::Refused(_) | Self::Unusable(_) => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

impl Expiring {
    /// Checks that a request can carry the credentials. `from` names their source in errors.
    ///
    /// # Errors
    /// [`CredentialsError::Unusable`] names the part that cannot be sent.
    fn usable(self, from: &str) -> Result<Self, CredentialsError> {
        match self.credentials.check() {
            Ok(()) => Ok(self),
            Err((part, error)) => Err(CredentialsError::Unusable(format!(
                "the {part} that {from} gave: {error}"
            ))),
        }
    }
}
