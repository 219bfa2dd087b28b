//! Sends messages to a later invocation on Function Compute: the function invokes itself
//! asynchronously, with a delay. Function Compute keeps such an invocation in its own queue.
//!
//! Sources, none of them tried on a live account: "Asynchronous invocations" and "Deferred invocation" of
//! Function Compute's pages for limits, delay and at-least-once delivery; the SDK
//! alibabacloud-fc20230330 4.8.3 for request and endpoints; "error codes" (2026-09) for the
//! errors, whose members the page spells `errorCode`, the service's older tools `ErrorCode`, and the
//! SDKs `Code`.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use url::Url;

use crate::alibaba::nonce;
use crate::alibaba::request::{RoaCall, SigningContext};
use crate::clock::{Clock, http_date};
use crate::credentials::CredentialsProvider;
use crate::model::ids::{AccountId, RegionId};
use crate::queue::{Queue, QueueError, whole_seconds};
use crate::refusal::Refusal;

/// Longest delay of an asynchronous invocation: an hour.
const MAX_DELAY: Duration = Duration::from_secs(3600);
/// Longest payload of an asynchronous invocation.
const MAX_BODY_BYTES: usize = 128 << 10;
/// Most bytes that are read of an answer. Answers have less than a kilobyte.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Name of the operation.
const OPERATION: &str = "InvokeFunction";

/// Regions whose API is not at `fcv3.{region}.aliyuncs.com`.
///
/// Source: `_endpoint_map` of the SDK alibabacloud-fc20230330 4.8.3.
const EXCEPTIONS: [&str; 4] = [
    "cn-hangzhou-finance",
    "cn-heyuan-acdr-1",
    "cn-shanghai-finance-1",
    "me-central-1",
];

/// The function itself, and where its API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfInvocationConfig {
    /// Name of the function.
    pub function_name: String,
    /// Its region.
    pub region_id: RegionId,
    /// Its account, if it is known. Only messages name it.
    pub account_id: Option<AccountId>,
    /// Address of Function Compute's API.
    pub endpoint: Url,
}

impl SelfInvocationConfig {
    /// Address of the public endpoint of a region. The function reaches ECS by its public endpoint, too.
    pub fn public_endpoint(region_id: &RegionId) -> String {
        let region = region_id.as_str();
        if EXCEPTIONS.contains(&region) {
            format!("https://{region}.fc.aliyuncs.com")
        } else {
            format!("https://fcv3.{region}.aliyuncs.com")
        }
    }
}

/// The function's invocations of itself.
#[derive(Debug, Clone)]
pub struct SelfInvocation {
    config: SelfInvocationConfig,
    http: reqwest::Client,
    credentials: CredentialsProvider,
    clock: Clock,
}

impl SelfInvocation {
    /// `credentials`: those of the function's own role, which may invoke the function.
    pub fn new(
        config: SelfInvocationConfig,
        http: reqwest::Client,
        credentials: CredentialsProvider,
    ) -> Self {
        Self {
            config,
            http,
            credentials,
            clock: Clock::default(),
        }
    }

    async fn send_once(&self, body: &str, delay: Duration) -> Result<String, QueueError> {
        let SelfInvocationConfig {
            function_name,
            endpoint,
            ..
        } = &self.config;
        let seconds = whole_seconds(delay, MAX_DELAY);
        let call = RoaCall::invoke_function_later(function_name, seconds, body.as_bytes());
        let used = self.credentials.get().await?;
        let context = SigningContext {
            now: self.clock.now(),
            nonce: nonce()
                .map_err(|error| QueueError::Unavailable(format!("no nonce: {error}")))?,
        };
        let signed = call.sign(endpoint, &used, &context);
        let mut request = self.http.post(signed.url).body(body.to_owned());
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        let unanswered = |error: reqwest::Error| {
            let host = endpoint.authority(); // No setting has a user in it.
            let cause = crate::http::cause(error);
            QueueError::Unavailable(format!("{OPERATION} got no answer: {cause} (asked {host})"))
        };
        let mut response = request.send().await.map_err(unanswered)?;
        let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let request_id = header("x-fc-request-id").or_else(|| header("x-acs-request-id"));
        let date = header("date").as_deref().and_then(http_date);
        let status = response.status().as_u16();
        self.clock.note(date);
        // Another service may answer 200, such as a captive portal.
        let is_accepted = status == 202 || status == 200 && request_id.is_some();
        let mut body = Vec::new();
        while let Some(piece) = match response.chunk().await {
            // The head says that the message is accepted.
            Err(_) if is_accepted => None,
            piece => piece.map_err(unanswered)?,
        } {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                break;
            }
            body.extend_from_slice(&piece);
        }
        if is_accepted {
            return Ok(request_id.unwrap_or_default());
        }
        let body = used.left_out_of(&String::from_utf8_lossy(&body));
        let failure = Failure::read(status, request_id, body.as_bytes());
        let error = failure.to_error(&self.config);
        if failure.refuses_key() {
            let has_others = self.credentials.replace(&used).await;
            return Err(if has_others {
                error
            } else {
                failure.refused(&self.config)
            });
        }
        if let (QueueError::StaleSignature(_), Some(date)) = (&error, date) {
            self.clock.set(date);
        }
        Err(error)
    }
}

impl Queue for SelfInvocation {
    fn send<'a>(
        &'a self,
        body: &'a str,
        delay: Duration,
    ) -> BoxFuture<'a, Result<String, QueueError>> {
        self.send_once(body, delay).boxed()
    }

    fn greatest_delay(&self) -> Duration {
        MAX_DELAY
    }

    fn greatest_body_bytes(&self) -> usize {
        MAX_BODY_BYTES
    }

    fn operation(&self) -> &'static str {
        OPERATION
    }
}

/// An answer that did not accept the message.
#[derive(Debug)]
struct Failure {
    status: u16,
    /// Empty if there was none.
    code: String,
    /// Empty if there was none.
    message: String,
    request_id: Option<String>,
}

impl Failure {
    fn read(status: u16, request_id: Option<String>, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| body[*name].as_str());
            values.next().map(|text| text.escape_debug().to_string())
        };
        Self {
            status,
            code: member(&["Code", "code", "ErrorCode", "errorCode"]).unwrap_or_default(),
            message: member(&["Message", "message", "ErrorMessage", "errorMessage"])
                .unwrap_or_default(),
            request_id: request_id.or_else(|| member(&["RequestId", "requestId"])),
        }
    }

    /// Whether the key or its token is unknown or has expired, so that another one may do.
    fn refuses_key(&self) -> bool {
        [
            "InvalidSecurityToken",
            "SecurityTokenExpired",
            "InvalidAccessKeyI",
        ]
        .iter()
        .any(|start| self.code.starts_with(start))
    }

    fn to_error(&self, config: &SelfInvocationConfig) -> QueueError {
        let code = self.code.as_str();
        if self.refuses_key()
            || code.starts_with("InvalidTimeStamp")
            || code == "SignatureNonceUsed"
        {
            return QueueError::StaleSignature(self.text(config, ""));
        }
        let is_throttled = self.status == 429
            || code.starts_with("Throttling")
            || ["ResourceExhausted", "ResourceThrottled"].contains(&code);
        match self.status {
            _ if is_throttled => QueueError::Throttled(self.text(config, "")),
            // No success is without a request ID, so another service answered.
            408 | 500.. | 200..400 => QueueError::Unavailable(self.text(config, "")),
            _ => self.refused(config),
        }
    }

    fn refused(&self, config: &SelfInvocationConfig) -> QueueError {
        QueueError::Refused(Refusal {
            status: self.status,
            code: self.code.clone(),
            account: self.text(config, &self.advice(config)),
        })
    }

    /// What to do. Empty if it is not known.
    fn advice(&self, config: &SelfInvocationConfig) -> String {
        let SelfInvocationConfig {
            function_name: name,
            region_id,
            account_id,
            endpoint,
        } = config;
        let account = account_id.as_ref().map_or("*", AccountId::as_str);
        let region = region_id.as_str();
        match (self.status, self.code.as_str()) {
            (413, _) | (_, "EntityTooLarge") => {
                "; report this: no message should be that long".to_owned()
            }
            (_, "SignatureNotMatch" | "SignatureDoesNotMatch") => {
                "; check that nothing between changes the request, such as a proxy".to_owned()
            }
            (_, code) if self.refuses_key() || code == "InvalidAccessKeyId" => {
                "; give the function a role, and remove keys of others from its settings".to_owned()
            }
            (404, _) | (_, "FunctionNotFound") => format!(
                "; check that {} is the API of {region}, where the function is",
                endpoint.authority()
            ),
            (401 | 403, _) => format!(
                "; allow the function's role fc:InvokeFunction on \
                 acs:fc:{region}:{account}:functions/{name} and on \
                 acs:fc:{region}:{account}:functions/{name}/*"
            ),
            _ => String::new(),
        }
    }

    /// What happened, and `advice`.
    fn text(&self, config: &SelfInvocationConfig, advice: &str) -> String {
        let Self {
            status,
            code,
            message,
            request_id,
        } = self;
        let code = if code.is_empty() { "no code" } else { code };
        let name = &config.function_name;
        let mut text = format!("{OPERATION} of {name} returned {status} {code}");
        if !message.is_empty() {
            text.push_str(&format!(": {message}"));
        }
        if let Some(request_id) = request_id {
            text.push_str(&format!(" (request {})", request_id.escape_debug()));
        }
        text + advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SelfInvocationConfig {
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        SelfInvocationConfig {
            function_name: "archiver".into(),
            endpoint: SelfInvocationConfig::public_endpoint(&region_id)
                .parse()
                .unwrap(),
            region_id,
            account_id: Some(AccountId::parse("1690700000000030").unwrap()),
        }
    }

    /// The error's kind, and its text.
    #[track_caller]
    fn check(status: u16, body: &str, kind: &str, texts: &[&str]) {
        let failure = Failure::read(status, Some("1-abc".into()), body.as_bytes());
        let error = failure.to_error(&config());
        let found = format!("{error:?}");
        assert!(found.starts_with(kind), "{found}");
        let text = error.to_string();
        for part in texts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\n'));
    }

    #[test]
    fn the_public_endpoint_is_that_of_the_sdk() {
        for (region, host) in [
            ("cn-hangzhou", "https://fcv3.cn-hangzhou.aliyuncs.com"),
            ("us-east-1", "https://fcv3.us-east-1.aliyuncs.com"),
            ("me-central-1", "https://me-central-1.fc.aliyuncs.com"),
            (
                "cn-shanghai-finance-1",
                "https://cn-shanghai-finance-1.fc.aliyuncs.com",
            ),
        ] {
            let region_id = RegionId::parse(region).unwrap();
            assert_eq!(SelfInvocationConfig::public_endpoint(&region_id), host);
        }
    }

    /// The page's spelling, that of alibaba/funcraft#86, and that of the SDKs.
    #[test]
    fn a_refusal_is_read_in_every_spelling_and_says_what_to_allow() {
        let allow = "allow the function's role fc:InvokeFunction on \
                     acs:fc:cn-hangzhou:1690700000000030:functions/archiver and on \
                     acs:fc:cn-hangzhou:1690700000000030:functions/archiver/*";
        for body in [
            r#"{"errorCode": "AccessDenied", "errorMessage": "the caller is not authorized"}"#,
            r#"{"ErrorCode": "AccessDenied", "ErrorMessage": "the caller is not authorized"}"#,
            r#"{"Code": "AccessDenied", "Message": "the caller is not authorized", "RequestId": "r"}"#,
        ] {
            let said = "InvokeFunction of archiver returned 403 AccessDenied: the caller is not \
                        authorized (request 1-abc); ";
            check(403, body, "Refused", &[said, allow]);
        }
    }

    #[test]
    fn each_answer_is_what_the_caller_does_next() {
        let code = |code: &str| format!(r#"{{"Code": "{code}", "Message": "m\nn"}}"#);
        let of_region = ["fcv3.cn-hangzhou.aliyuncs.com is the API of cn-hangzhou"];
        check(404, &code("FunctionNotFound"), "Refused", &of_region);
        check(413, "<html>", "Refused", &["413 no code", "report this"]);
        check(400, &code("EntityTooLarge"), "Refused", &["report this"]);
        check(
            400,
            &code("InvalidArgument"),
            "Refused",
            &["InvalidArgument"],
        );
        check(403, &code("SignatureNotMatch"), "Refused", &["proxy"]);
        check(429, &code("ResourceExhausted"), "Throttled", &["429"]);
        check(503, &code("ResourceThrottled"), "Throttled", &[]);
        check(400, &code("Throttling.User"), "Throttled", &[]);
        check(500, &code("InternalServerError"), "Unavailable", &["500"]);
        check(503, "", "Unavailable", &["503 no code"]);
        check(200, "<html>portal", "Unavailable", &["200 no code"]);
        check(302, "", "Unavailable", &[]);
        for stale in [
            "InvalidTimeStamp.Expired",
            "SignatureNonceUsed",
            "InvalidSecurityToken.Expired",
            "InvalidAccessKeyID",
            "InvalidAccessKeyId.NotFound",
        ] {
            check(403, &code(stale), "StaleSignature", &[stale]);
        }
    }
}
