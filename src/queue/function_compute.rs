//! Sends messages to a later invocation on Function Compute: the function invokes itself
//! asynchronously, with a delay. Function Compute keeps such an invocation in its own queue.
//!
//! Sources, none of them tried on a live account: "Asynchronous invocations" and "Deferred invocation" of
//! Function Compute's pages for limits, delay and at-least-once delivery.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use url::Url;

use crate::alibaba::function_compute::{Failure, INVOKE_FUNCTION};
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
            QueueError::Unavailable(format!(
                "{INVOKE_FUNCTION} got no answer: {cause} (asked {host})"
            ))
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
        let error = self.config.error(&failure);
        if failure.refuses_key() {
            let has_others = self.credentials.replace(&used).await;
            return Err(if has_others {
                error
            } else {
                self.config.refused(&failure)
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
        INVOKE_FUNCTION
    }
}

impl SelfInvocationConfig {
    /// The error of an answer that did not accept the message.
    fn error(&self, failure: &Failure) -> QueueError {
        let text = || failure.text(&self.function_name);
        if failure.refuses_key() || failure.is_about_time() {
            return QueueError::StaleSignature(text());
        }
        if failure.is_throttled() {
            return QueueError::Throttled(text());
        }
        if failure.is_transient() {
            return QueueError::Unavailable(text());
        }
        self.refused(failure)
    }

    fn refused(&self, failure: &Failure) -> QueueError {
        QueueError::Refused(Refusal {
            status: failure.status,
            code: failure.code.clone(),
            account: failure.text(&self.function_name) + &self.advice(failure),
        })
    }

    /// What to do. Empty if it is not known.
    fn advice(&self, failure: &Failure) -> String {
        let Self {
            function_name: name,
            region_id,
            account_id,
            endpoint,
        } = self;
        let account = account_id.as_ref().map_or("*", AccountId::as_str);
        let region = region_id.as_str();
        match (failure.status, failure.code.as_str()) {
            (413, _) | (_, "EntityTooLarge") => {
                "; report this: no message should be that long".to_owned()
            }
            (_, "SignatureNotMatch" | "SignatureDoesNotMatch") => {
                "; check that nothing between changes the request, such as a proxy".to_owned()
            }
            (_, code) if failure.refuses_key() || code == "InvalidAccessKeyId" => {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::function_compute::public_endpoint;

    fn config() -> SelfInvocationConfig {
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        SelfInvocationConfig {
            function_name: "archiver".into(),
            endpoint: public_endpoint(&region_id).parse().unwrap(),
            region_id,
            account_id: Some(AccountId::parse("1690700000000030").unwrap()),
        }
    }

    /// The error's kind, and its text.
    #[track_caller]
    fn check(status: u16, body: &str, kind: &str, texts: &[&str]) {
        let failure = Failure::read(status, Some("1-abc".into()), body.as_bytes());
        let error = config().error(&failure);
        let found = format!("{error:?}");
        assert!(found.starts_with(kind), "{found}");
        let text = error.to_string();
        for part in texts {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\n'));
    }

    #[test]
    fn a_refusal_says_what_to_allow() {
        let allow = "; allow the function's role fc:InvokeFunction on \
                     acs:fc:cn-hangzhou:1690700000000030:functions/archiver and on \
                     acs:fc:cn-hangzhou:1690700000000030:functions/archiver/*";
        let body = r#"{"Code": "AccessDenied", "Message": "the caller is not authorized"}"#;
        let said = "InvokeFunction of archiver returned 403 AccessDenied: the caller is not \
                    authorized (request 1-abc)";
        check(403, body, "Refused", &[said, allow]);
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
