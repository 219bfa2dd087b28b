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

/// A part of a key that goes into no request: a header takes visible ASCII and spaces (RFC 9110
/// §5.5), and no service gives keys with anything else. The text is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its character {position} of {count} is U+{code:04X}, which no key has; copy the key again, \
     without line breaks"
)]
pub struct UnusableKey {
    position: usize,
    count: usize,
    code: u32,
}

/// Holds the ID of a key, its secret or its token against what a request can carry.
///
/// # Errors
/// [`UnusableKey`] for the first character that is in no key.
pub fn check_key(text: &str) -> Result<(), UnusableKey> {
    let is_wrong = |c: &char| !matches!(c, ' '..='~');
    let mut wrong = text.chars().zip(1..).filter(|(c, _)| is_wrong(c));
    match wrong.next() {
        Some((c, position)) => Err(UnusableKey {
            position,
            count: text.chars().count(),
            code: c.into(),
        }),
        None => Ok(()),
    }
}

impl Credentials {
    /// Which part of the key goes into no request, and why.
    ///
    /// # Errors
    /// The part's name, as a person reads it, and [`UnusableKey`].
    pub fn check(&self) -> Result<(), (&'static str, UnusableKey)> {
        let token = self.security_token.as_ref().map_or("", Secret::expose);
        for (part, text) in [
            ("access key ID", self.access_key_id.as_str()),
            ("access key secret", self.access_key_secret.expose()),
            ("security token", token),
        ] {
            check_key(text).map_err(|error| (part, error))?;
        }
        Ok(())
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
    fn a_key_with_a_character_that_no_header_takes_is_told_and_not_quoted() {
        for good in ["", "LTAI5t", "a+/=~* b", "!~"] {
            assert_eq!(check_key(good), Ok(()));
        }
        for (wrong, code) in [
            ("hush\nx", "5 of 6 is U+000A"),
            ("hush\r", "5 of 5 is U+000D"),
            ("\thush", "1 of 5 is U+0009"),
            ("hush\u{7f}", "5 of 5 is U+007F"),
            ("hush\u{200b}x", "5 of 6 is U+200B"),
            ("hüsh", "2 of 4 is U+00FC"),
        ] {
            let shown = check_key(wrong).unwrap_err().to_string();
            assert!(shown.contains(code) && !shown.contains("hush"), "{shown}");
        }
    }

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
