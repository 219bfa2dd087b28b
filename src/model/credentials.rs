//! An access key whose secret parts no log, error or `Debug` can show.

use std::fmt;

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
