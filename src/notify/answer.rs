//! What a receiver's answer means. Pure.
//!
//! Sources: "Standard Webhooks", section "Deliverability and reliability"; Slack, "Handling errors" of incoming
//! webhooks; DingTalk, "Custom robots", section "Error codes"; Feishu, "Use custom bots in a group"; AWS, "Publish" of
//! the Amazon SNS API reference and "Common error types".

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use serde_json::Value;

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
    /// It refused the sender. Someone must fix the address, the secret or a permission.
    #[error("{0}")]
    Refused(String),
    /// It refused this message, for what it says. It may take another: guests write a part of what it says.
    #[error("{0}")]
    MessageRefused(String),
}

impl SendError {
    /// Whether the receiver would not take another message either.
    pub fn is_of_receiver(&self) -> bool {
        !matches!(self, Self::MessageRefused(_))
    }
}

impl Retryable for SendError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Throttled { retry_after, .. } => RetryAdvice::WaitThrottled(*retry_after),
            Self::Unavailable(_) => RetryAdvice::Wait,
            Self::Refused(_) | Self::MessageRefused(_) => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

/// What the body of a chat says. DingTalk has `errcode` and `errmsg`, Feishu `code` and `msg`, and older bots of it
/// `StatusCode` and `StatusMessage`; a success of Feishu has the last four.
struct Said {
    /// 0 for a success.
    code: i64,
    message: String,
}

impl Said {
    fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let codes = ["errcode", "code", "StatusCode"].map(|name| value.get(name)?.as_i64());
        let codes = codes.into_iter().flatten();
        // Which is the one that counts nobody says: it is a success if all of them are.
        let code = codes.reduce(|first, other| if first == 0 { other } else { first })?;
        let messages = ["errmsg", "msg", "StatusMessage"].map(|name| value.get(name)?.as_str());
        let message = messages.into_iter().flatten().next().unwrap_or_default();
        let message = message.to_owned();
        Some(Self { code, message })
    }

    fn is_throttled(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        match self.code {
            // Feishu has this code for a request that is wrong, too.
            9499 => says(&["too many", "frequen", "limit"]),
            code => THROTTLED.contains(&code),
        }
    }

    /// Whether it is about who sends and not about what is sent.
    fn is_of_sender(&self) -> bool {
        match self.code {
            // DingTalk: a signature, an address that may not send, or a keyword that is not there.
            310_000 => !KEYWORD.iter().any(|word| self.message.contains(word)),
            code => OF_SENDER.contains(&code),
        }
    }
}

/// In what DingTalk says where a message lacks a robot's keyword, of which newer answers are in Chinese.
const KEYWORD: [&str; 2] = ["keyword", "关键词"];
/// Codes of DingTalk and Feishu for too many messages: 20 a minute, or 100 a minute and 5 a second; 90030 (`webhook over
/// limit`) is the end of what an organization may send in a month.
const THROTTLED: [i64; 4] = [130_101, 410_100, 90_030, 11_232];
/// DingTalk's code for "the system is busy".
const BUSY: i64 = -1;
/// Codes of DingTalk and Feishu for a token, a signature, an address or a robot that is not in order. All others are
/// about the message: 430101 to 430104 of DingTalk, for example, are links and words that it does not take.
const OF_SENDER: [i64; 10] = [
    300_001, 300_005, 400_013, 400_101, 400_102, 400_106, 19_001, 19_007, 19_021, 19_022,
];

/// Judges an answer. Of a webhook, Slack and SNS the status alone counts. `masked`: a text of the receiver without
/// secrets.
///
/// # Errors
/// [`SendError`] says what to do next.
pub fn judge(
    kind: &Kind,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    masked: impl Fn(&str) -> String,
) -> Result<(), SendError> {
    // Masked before it is cut: a half of a secret is not found.
    let told = |detail: &str| {
        let detail: String = masked(detail).chars().take(MAX_TOLD).collect();
        let colon = if detail.is_empty() { "" } else { ": " };
        format!("it answered {status}{colon}{}", one_line(&detail))
    };
    let is_chat = matches!(kind, Kind::DingTalk { .. } | Kind::Feishu { .. });
    if is_chat
        && matches!(status, 200..300 | 400)
        && let Some(said) = Said::read(body)
    {
        return of_chat(status, &said, told);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    Err(match status {
        // A page of a portal, or of a proxy.
        200..300 if is_chat => SendError::Unavailable(format!(
            "it answered {status}, and not as such a robot does"
        )),
        200..300 => return Ok(()),
        429 => SendError::Throttled {
            told: told(text),
            retry_after: retry_after(headers, now),
        },
        300..=399 => SendError::Refused(told(
            "it sends on to another address, which is not followed",
        )),
        408 | 500.. => SendError::Unavailable(told(text)),
        _ if matches!(kind, Kind::Sns { .. }) => of_sns(text, told),
        401 | 404 | 405 | 407 | 410 => SendError::Refused(told(text)),
        // 403, too: that is how a firewall for web applications refuses what it takes for an attack.
        _ => SendError::MessageRefused(told(text)),
    })
}

fn of_chat(status: u16, said: &Said, told: impl Fn(&str) -> String) -> Result<(), SendError> {
    let told = || told(&format!("{} {}", said.code, said.message));
    match said.code {
        0 if status < 300 => Ok(()),
        _ if said.is_throttled() => Err(SendError::Throttled {
            told: told(),
            retry_after: None,
        }),
        BUSY => Err(SendError::Unavailable(told())),
        _ if said.is_of_sender() => Err(SendError::Refused(told())),
        _ => Err(SendError::MessageRefused(told())),
    }
}

/// `<ErrorResponse><Error><Code>Throttling</Code><Message>…`. Both are told; a text is found without a parser of XML.
fn of_sns(text: &str, told: impl Fn(&str) -> String) -> SendError {
    // "InvalidParameter" is the one of "Publish" that is about the message, unless it is about the topic.
    const OF_MESSAGE: &str = "InvalidParameter";
    const OF_TOPIC: &str = "Topic";
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0)
    };
    let code = element("Code").unwrap_or("no code");
    let message = element("Message").unwrap_or_default();
    let told = told(&format!("{code}: {message}"));
    // Also "KMSThrottling", of the key that encrypts a topic.
    match code.contains("Throttl") {
        true => SendError::Throttled {
            told,
            retry_after: None,
        },
        false if code.starts_with(OF_MESSAGE) && !message.contains(OF_TOPIC) => {
            SendError::MessageRefused(told)
        }
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
        judge(
            kind,
            status,
            &HeaderMap::new(),
            body.as_bytes(),
            now,
            str::to_owned,
        )
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
            r#"{"code":0,"errcode":0}"#,
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
            (
                &DINGTALK,
                r#"{"errcode":90030,"errmsg":"webhook over limit"}"#,
            ),
            (&FEISHU, r#"{"code":9499,"msg":"too many request"}"#),
            (&FEISHU, r#"{"code":11232,"msg":"frequency limited psm"}"#),
        ] {
            for status in [200, 400] {
                assert!(matches!(
                    judged(kind, status, body),
                    Err(SendError::Throttled { .. })
                ));
            }
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

    /// Codes of "Custom robots" and "Use custom bots in a group".
    #[test]
    fn what_is_refused_for_its_words_is_no_fault_of_the_receiver() {
        for (kind, status, body, is_of_receiver) in [
            (
                &DINGTALK,
                200,
                r#"{"errcode":430101,"errmsg":"unsafe link"}"#,
                false,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":430104,"errmsg":"unsafe text"}"#,
                false,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
                false,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":310000,"errmsg":"description:关键词不匹配;solution:…"}"#,
                false,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":310000,"errmsg":"description:机器人发送签名不匹配;solution:…"}"#,
                true,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":460101,"errmsg":"message too long, exceed 20000 bytes"}"#,
                false,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":310000,"errmsg":"sign not match"}"#,
                true,
            ),
            (
                &DINGTALK,
                200,
                r#"{"errcode":300001,"errmsg":"token is not exist"}"#,
                true,
            ),
            (
                &FEISHU,
                200,
                r#"{"code":9499,"msg":"Bad Request","data":{}}"#,
                false,
            ),
            (
                &FEISHU,
                400,
                r#"{"code":9499,"msg":"Bad Request","data":{}}"#,
                false,
            ),
            (
                &FEISHU,
                200,
                r#"{"code":19024,"msg":"Key Words Not Found"}"#,
                false,
            ),
            (
                &FEISHU,
                200,
                r#"{"code":19021,"msg":"sign match fail"}"#,
                true,
            ),
            (&SLACK, 400, "invalid_blocks", false),
            (&SLACK, 403, "<html>blocked by a firewall</html>", false),
            (&SLACK, 413, "", false),
            (&SLACK, 404, "no_team", true),
            (&SLACK, 401, "", true),
            (&SLACK, 302, "", true),
        ] {
            let error = judged(kind, status, body).unwrap_err();
            assert_eq!(error.is_of_receiver(), is_of_receiver, "{status} {body}");
            assert_eq!(error.retry_advice(), RetryAdvice::GiveUp, "{status} {body}");
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
        for code in ["Throttling", "ThrottledException", "KMSThrottling"] {
            let throttled = judged(&sns, 400, &body(code)).unwrap_err();
            assert!(matches!(throttled, SendError::Throttled { .. }), "{code}");
        }
        for (message, is_of_receiver) in [
            ("Invalid parameter: Message too long", false),
            ("Invalid parameter: TopicArn", true),
            ("Invalid parameter: Topic Name", true),
        ] {
            let refused = body("InvalidParameter").replace("m\u{7}", message);
            let refused = judged(&sns, 400, &refused).unwrap_err();
            assert_eq!(refused.is_of_receiver(), is_of_receiver, "{message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>) {
            let now = "2026-12-01T10:00:00Z".parse().unwrap();
            for kind in [SLACK, DINGTALK, FEISHU] {
                let judged = judge(&kind, status, &HeaderMap::new(), &body, now, str::to_owned);
                if let Err(error) = judged {
                    proptest::prop_assert!(!error.to_string().contains(char::is_control));
                }
            }
        }
    }
}
