//! What a receiver's answer means. Pure.
//!
//! Sources: "Standard Webhooks", section "Deliverability and reliability"; Slack, "Handling errors" of incoming
//! webhooks; DingTalk, "Custom robots", section "Error codes"; Feishu, "Use custom bots in a group"; AWS, "Publish" of
//! the Amazon SNS API reference and "Common error types".

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use serde::Deserialize;

use super::target::Kind;
use crate::clock::http_date;
use crate::printable::one_line;
use crate::retry::{self, RetryAdvice, Retryable};

/// Most characters of a receiver's message that are told.
const MAX_TOLD: usize = 200;

/// Why a receiver has not taken a notice. It has no secret part of the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many messages. Retry, not before this time if the receiver gave one.
    #[error("{told}")]
    Throttled {
        /// What the receiver said.
        told: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It failed or did not answer. Retry.
    #[error("{0}")]
    Unavailable(String),
    /// It refused. Someone must fix the address, the secret or a permission.
    #[error("{0}")]
    Refused(String),
}

impl Retryable for SendError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Throttled { retry_after, .. } => RetryAdvice::WaitThrottled(*retry_after),
            Self::Unavailable(_) => RetryAdvice::Wait,
            Self::Refused(_) => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

/// Chats answer 200 and say in the body whether they took the message. DingTalk has `errcode` and `errmsg`, Feishu
/// `code` and `msg`, and older bots of it `StatusCode` and `StatusMessage`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    #[serde(alias = "code", alias = "StatusCode")]
    errcode: Option<i64>,
    #[serde(alias = "msg", alias = "StatusMessage")]
    errmsg: String,
}

/// Codes of DingTalk and Feishu for too many messages: 20 a minute, or 100 a minute and 5 a second.
const THROTTLED: [i64; 4] = [130_101, 410_100, 9499, 11_232];
/// DingTalk's code for "the system is busy".
const BUSY: i64 = -1;

/// Judges an answer.
///
/// # Errors
/// [`SendError`] says what to do next.
pub fn judge(
    kind: &Kind,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SendError> {
    let told = |detail: &str| {
        let detail: String = detail.chars().take(MAX_TOLD).collect();
        let colon = if detail.is_empty() { "" } else { ": " };
        format!("it answered {status}{colon}{}", one_line(&detail))
    };
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match status {
        200..300 => {}
        429 => {
            return Err(SendError::Throttled {
                told: told(text),
                retry_after: retry_after(headers, now),
            });
        }
        300..400 => {
            return Err(SendError::Refused(told(
                "it sends on to another address, which is not followed",
            )));
        }
        408 | 500.. => return Err(SendError::Unavailable(told(text))),
        _ if matches!(kind, Kind::Sns { .. }) => return Err(of_sns(text, told)),
        _ => return Err(SendError::Refused(told(text))),
    }
    if !matches!(kind, Kind::DingTalk { .. } | Kind::Feishu { .. }) {
        return Ok(());
    }
    let said: Said = serde_json::from_slice(&first_codes(body)).unwrap_or_default();
    let told = |code: i64| told(&format!("{code} {}", said.errmsg));
    match said.errcode {
        Some(0) => Ok(()),
        Some(code) if THROTTLED.contains(&code) => Err(SendError::Throttled {
            told: told(code),
            retry_after: None,
        }),
        Some(BUSY) => Err(SendError::Unavailable(told(BUSY))),
        Some(code) => Err(SendError::Refused(told(code))),
        // A page of a portal, or of a proxy.
        None => Err(SendError::Unavailable(format!(
            "it answered {status}, and not as such a robot does"
        ))),
    }
}

/// A success of Feishu has both `code` and `StatusCode`, which would be one member twice.
fn first_codes(body: &[u8]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Vec::new();
    };
    if let Some(members) = value.as_object_mut()
        && members.contains_key("code")
    {
        members.remove("StatusCode");
        members.remove("StatusMessage");
    }
    value.to_string().into_bytes()
}

/// `<ErrorResponse><Error><Code>Throttling</Code><Message>…`. Both are told; a text is found without a parser of XML.
fn of_sns(text: &str, told: impl Fn(&str) -> String) -> SendError {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0)
    };
    let code = element("Code").unwrap_or("no code");
    let message = element("Message").unwrap_or_default();
    let told = told(&format!("{code}: {message}"));
    match code.starts_with("Throttl") {
        true => SendError::Throttled {
            told,
            retry_after: None,
        },
        false => SendError::Refused(told),
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    http_date(text)?.duration_since(now).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: &Kind, status: u16, body: &str) -> Result<(), SendError> {
        let now = "2026-12-01T10:00:00Z".parse().unwrap();
        judge(kind, status, &HeaderMap::new(), body.as_bytes(), now)
    }

    const SLACK: Kind = Kind::Slack;
    const DINGTALK: Kind = Kind::DingTalk { secret: None };
    const FEISHU: Kind = Kind::Feishu { secret: None };

    #[test]
    fn a_success_is_one_only_where_the_body_says_so() {
        // Samples of each service's page.
        assert_eq!(judged(&SLACK, 200, "ok"), Ok(()));
        let good = r#"{"errcode":0,"errmsg":"ok"}"#;
        assert_eq!(judged(&DINGTALK, 200, good), Ok(()));
        for good in [
            r#"{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}"#,
            r#"{"code":0,"msg":"success","data":{}}"#,
            r#"{"Extra":null,"StatusCode":0,"StatusMessage":"success"}"#,
        ] {
            assert_eq!(judged(&FEISHU, 200, good), Ok(()));
        }
        for (kind, body) in [
            (&DINGTALK, r#"{"errcode":310000,"errmsg":"sign not match"}"#),
            (
                &FEISHU,
                r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}"#,
            ),
        ] {
            let error = judged(kind, 200, body).unwrap_err();
            assert!(
                matches!(&error, SendError::Refused(told) if told.contains("sign")),
                "{error}"
            );
        }
        for (kind, body) in [
            (
                &DINGTALK,
                r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#,
            ),
            (&FEISHU, r#"{"code":9499,"msg":"too many request"}"#),
        ] {
            assert!(matches!(
                judged(kind, 200, body),
                Err(SendError::Throttled { .. })
            ));
        }
        for body in [
            "<html>log in</html>",
            "",
            "[]",
            r#"{"errcode":-1,"errmsg":"busy"}"#,
        ] {
            assert!(
                matches!(judged(&DINGTALK, 200, body), Err(SendError::Unavailable(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn each_status_says_whether_to_send_again() {
        for (status, advice) in [
            (500, RetryAdvice::Wait),
            (503, RetryAdvice::Wait),
            (408, RetryAdvice::Wait),
            (302, RetryAdvice::GiveUp),
            (404, RetryAdvice::GiveUp),
            (410, RetryAdvice::GiveUp),
            (429, RetryAdvice::WaitThrottled(None)),
        ] {
            let error = judged(&SLACK, status, "no_service").unwrap_err();
            assert_eq!(error.retry_advice(), advice, "{status}");
        }
    }

    #[test]
    fn a_receiver_says_in_seconds_or_by_a_date_when_to_come_again() {
        let now = "2026-12-01T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("30", Some(30)),
            ("Tue, 01 Dec 2026 10:02:00 GMT", Some(120)),
            ("Tue, 01 Dec 2026 09:00:00 GMT", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{text}");
        }
    }

    /// The form of the Query API's errors, in "Common error types" and in moto's answers.
    #[test]
    fn sns_says_why_in_xml() {
        let sns = Kind::Sns {
            region: "us-east-1".into(),
            endpoint: "https://sns.us-east-1.amazonaws.com".parse().unwrap(),
        };
        let body = |code: &str| {
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m\u{7}</Message></Error></ErrorResponse>"
            )
        };
        let refused = judged(&sns, 403, &body("AuthorizationError")).unwrap_err();
        let told = "it answered 403: AuthorizationError: m\\u{7}";
        assert_eq!(refused, SendError::Refused(told.into()));
        let throttled = judged(&sns, 400, &body("Throttling")).unwrap_err();
        assert!(matches!(throttled, SendError::Throttled { .. }));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>) {
            let now = "2026-12-01T10:00:00Z".parse().unwrap();
            for kind in [SLACK, DINGTALK, FEISHU] {
                if let Err(error) = judge(&kind, status, &HeaderMap::new(), &body, now) {
                    proptest::prop_assert!(!error.to_string().contains(char::is_control));
                }
            }
        }
    }
}
