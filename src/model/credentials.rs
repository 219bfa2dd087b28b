//! An access key. Logs, errors and `Debug` cannot show its secret parts.

use std::fmt;

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret text, for signing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A key has a character that cannot be sent: a header accepts visible ASCII and spaces (RFC 9110
/// §5.5), and no service issues keys with other characters. The message does not quote the key.
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

/// Checks whether a request can carry this key ID, secret or token.
///
/// # Errors
/// [`UnusableKey`] for the first unusable character.
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
    /// Checks all parts of the key.
    ///
    /// # Errors
    /// The name of the first unusable part, and [`UnusableKey`].
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

    /// A service's message without the secrets of this key. A service that cannot verify a request
    /// says what it was to sign, which has the token in it.
    pub fn left_out_of(&self, message: &str) -> String {
        let secrets = [Some(&self.access_key_secret), self.security_token.as_ref()];
        let secrets = secrets.into_iter().flatten().map(Secret::expose);
        secrets
            .filter(|secret| !secret.is_empty())
            .fold(message.to_owned(), |text, secret| {
                text.replace(secret, "[secret]")
            })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Signs requests to Alibaba Cloud and AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// ID of the access key. Not secret.
    pub access_key_id: String,
    /// Secret of the access key: the key of the HMAC.
    pub access_key_secret: Secret,
    /// Token of temporary keys, from a security token service (STS).
    pub security_token: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_repeats_of_a_request_has_no_secrets() {
        let key = Credentials {
            access_key_id: "id".into(),
            access_key_secret: Secret::new("hush"),
            security_token: Some(Secret::new("to/ken==")),
        };
        let message = "canonical: x-acs-security-token:to/ken==\nx-acs-action:A hush";
        let said = "canonical: x-acs-security-token:[secret]\nx-acs-action:A [secret]";
        assert_eq!(key.left_out_of(message), said);
        let security_token = Some(Secret::new(""));
        let key = Credentials {
            security_token,
            ..key
        };
        assert_eq!(key.left_out_of("abc"), "abc");
    }

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
