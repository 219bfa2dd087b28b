//! Access keys whose secret parts no log, error or `Debug` can show, and where they come from.

use std::fmt;

use jiff::Timestamp;

pub mod answer; // answers of token services (pure)
mod aws; // AWS STS, about an AWS identity
#[cfg(feature = "cli")]
pub mod aws_chain; // AWS keys as people have them
mod command; // a program that prints keys
pub mod files; // the SDKs' file (pure)
mod metadata; // the role of an ECS instance
pub mod profile; // the CLI's file (pure)
mod provider; // keeps and renews them
pub mod source; // where keys come from
mod sts; // Alibaba Cloud's STS

pub use provider::{CredentialsProvider, Identity, Owner};

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

impl CredentialsError {
    /// Why, without the words that say what for.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unavailable(reason) | Self::Refused(reason) => reason,
        }
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
