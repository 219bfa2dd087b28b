//! A service's refusal, in the forms of AWS's JSON protocols. Pure.
//!
//! Sources: AWS, "Common error types"; smithy.io, "AWS JSON 1.1 protocol" and "AWS restJson1
//! protocol", sections "Operation error serialization".

use http::HeaderMap;
use serde::Deserialize;

/// Most characters that are kept of a code or a message.
const MAX_CHARACTERS: usize = 300;

/// What a service said that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// Error code, such as `AccessDeniedException`. Empty if there was none.
    pub code: String,
    /// The service's message. Empty if there was none.
    pub message: String,
    /// ID of the request. Empty if there was none.
    pub request_id: String,
}

/// Services write `message` or `Message`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    #[serde(rename = "__type")]
    kind: String,
    message: String,
    #[serde(rename = "Message")]
    message_in_capitals: String,
}

impl Refused {
    /// Reads an answer that is not a success. Its texts are truncated and escaped, because they come
    /// from outside.
    pub fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        // "com.amazonaws.secretsmanager#ResourceNotFoundException" in the body,
        // "ResourceNotFoundException:http://internal.amazon.com/coral/…" in the header.
        let code = match body.kind.as_str() {
            "" => header("x-amzn-errortype"),
            kind => kind,
        };
        let code = code.split(':').next().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        let message = match body.message.as_str() {
            "" => &body.message_in_capitals,
            message => message,
        };
        Self {
            status,
            code: short(code),
            message: short(message),
            request_id: short(header("x-amzn-requestid")),
        }
    }

    /// Whether the time of the signature is wrong, so that another one may help.
    pub fn is_about_time(&self) -> bool {
        match self.code.as_str() {
            "RequestExpired" | "RequestTimeTooSkewed" => true,
            "InvalidSignatureException" => {
                self.message.starts_with("Signature expired")
                    || self.message.starts_with("Signature not yet")
            }
            _ => false,
        }
    }

    /// Whether the service throttled the request.
    pub fn is_throttled(&self) -> bool {
        self.status == 429
            || [
                "ThrottlingException",
                "Throttling",
                "TooManyRequestsException",
                "RequestLimitExceeded",
            ]
            .contains(&self.code.as_str())
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        self.status >= 500
            || self.is_throttled()
            || [
                "InternalServiceError",
                "InternalServiceErrorException",
                "InternalServerError",
                "ServiceUnavailable",
            ]
            .contains(&self.code.as_str())
    }
}

/// Truncates a text to 300 characters, and escapes it, because it comes from outside.
pub fn short(text: &str) -> String {
    let text = text.chars().take(MAX_CHARACTERS);
    text.flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, error_type: &str, body: &str, code: &str, message: &str) -> Refused {
        let mut headers = HeaderMap::new();
        if !error_type.is_empty() {
            headers.insert("x-amzn-errortype", error_type.parse().unwrap());
        }
        headers.insert("x-amzn-requestid", "r-1".parse().unwrap());
        let refused = Refused::read(status, &headers, body.as_bytes());
        assert_eq!((&*refused.code, &*refused.message), (code, message));
        assert_eq!(refused.request_id, "r-1");
        refused
    }

    /// In the first form of Secrets Manager, in the second of SQS, in the third of Lambda.
    #[test]
    fn code_and_message_are_read_in_every_form() {
        check(
            400,
            "",
            r#"{"__type":"ResourceNotFoundException","Message":"no such secret"}"#,
            "ResourceNotFoundException",
            "no such secret",
        );
        check(
            400,
            "",
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"m\u001b"}"#,
            "QueueDoesNotExist",
            "m\\u{1b}",
        );
        check(
            404,
            "ResourceNotFoundException:http://internal.amazon.com/coral/",
            r#"{"Type":"User","Message":"Function not found: f"}"#,
            "ResourceNotFoundException",
            "Function not found: f",
        );
        check(502, "", "<html>portal</html>", "", "");
    }

    #[test]
    fn each_refusal_says_whether_to_ask_again() {
        let throttled = check(
            429,
            "TooManyRequestsException",
            "",
            "TooManyRequestsException",
            "",
        );
        assert!(throttled.is_throttled() && throttled.is_transient());
        let failed = check(500, "ServiceException", "{}", "ServiceException", "");
        assert!(failed.is_transient() && !failed.is_throttled());
        let denied = check(
            403,
            "AccessDeniedException",
            "[]",
            "AccessDeniedException",
            "",
        );
        assert!(!denied.is_transient() && !denied.is_about_time());
        for (message, is_about_time) in [
            (
                "Signature expired: 20200101T000000Z is now earlier than",
                true,
            ),
            ("Signature not yet current: 20300101T000000Z", true),
            ("The request signature we calculated does not match", false),
        ] {
            let body = format!(r#"{{"message":"{message}"}}"#);
            let code = "InvalidSignatureException";
            let refused = check(403, code, &body, code, message);
            assert_eq!(refused.is_about_time(), is_about_time);
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>) {
            let refused = Refused::read(status, &HeaderMap::new(), &body);
            proptest::prop_assert!(!refused.message.contains(char::is_control));
        }
    }
}
