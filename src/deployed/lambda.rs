//! Invokes a function of AWS Lambda, and waits for its answer.
//!
//! Sources: AWS Lambda, "Invoke" (request, answer, errors) and "Understanding retry behavior in Lambda".

use reqwest::Method;
use reqwest::header::{DATE, HeaderMap};
use url::Url;

use super::InvokeError;
use super::answer::{self, MAX_ANSWER_BYTES};
use super::name::LambdaName;
use crate::alibaba::signature::percent_encode;
use crate::aws::AwsCall;
use crate::aws::refused::Refused;
use crate::clock::{Clock, http_date};
use crate::credentials::source::Source;
use crate::credentials::{CredentialsError, CredentialsProvider};
use crate::http::bounded::read;
use crate::model::check::Examination;
use crate::model::credentials::Credentials;
use crate::refusal::Refusal;

/// Name of the service in messages.
const LAMBDA: &str = "AWS Lambda";

/// Errors with a status of 500 or above that stay until someone corrects the function.
///
/// Source: "Invoke", section "Errors".
const LASTING: [&str; 9] = [
    "EC2AccessDeniedException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
];

/// Errors of credentials that have expired or are unknown.
///
/// Source: "Common error types".
const NOT_CURRENT: [&str; 4] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
];

/// A function of AWS Lambda, and who invokes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaFunction {
    /// The function.
    pub name: LambdaName,
    /// Its region.
    pub region: String,
    /// Address of AWS Lambda.
    pub endpoint: Url,
    /// Credentials that may invoke it.
    pub credentials: Source,
}

/// Who invokes it, with the clock of the service.
pub(super) struct Caller<'a> {
    function: &'a LambdaFunction,
    http: &'a reqwest::Client,
    credentials: CredentialsProvider,
    clock: Clock,
}

impl LambdaFunction {
    pub(super) fn caller<'a>(&'a self, http: &'a reqwest::Client) -> Caller<'a> {
        Caller {
            function: self,
            http,
            credentials: CredentialsProvider::new(self.credentials.clone(), http.clone()),
            clock: Clock::default(),
        }
    }
}

impl Caller<'_> {
    /// Makes one attempt.
    ///
    /// # Errors
    /// [`InvokeError`] says what to do next.
    pub(super) async fn examine(&self, question: &str) -> Result<Examination, InvokeError> {
        let LambdaFunction {
            name,
            region,
            endpoint,
            ..
        } = self.function;
        let path = percent_encode(&name.function);
        let qualifier = name.qualifier.as_deref();
        let query = qualifier.map(|qualifier| format!("Qualifier={}", percent_encode(qualifier)));
        let call = AwsCall {
            service: "lambda",
            region,
            endpoint,
            method: Method::POST,
            path: &format!("/2015-03-31/functions/{path}/invocations"),
            query: query.as_deref().unwrap_or_default(),
            headers: &[
                ("content-type", "application/json"),
                ("x-amz-invocation-type", "RequestResponse"),
            ],
            body: question.as_bytes(),
        };
        let used = self.credentials.get().await?;
        let request = call.request(self.http, &used, self.clock.now());
        let request = request.map_err(CredentialsError::Unusable)?;
        let answer = read(request, LAMBDA, MAX_ANSWER_BYTES).await;
        let answer = answer.map_err(|unread| super::unread(LAMBDA, unread))?;
        let (headers, body) = (&answer.headers, &answer.body);
        match answer.status {
            200 if headers.contains_key("x-amz-function-error") => Err(answer::failure(body)),
            200 => answer::examination(body),
            status => {
                let refused = Refused::read(status, headers, body);
                Err(self.refused(&refused, headers, &used).await)
            }
        }
    }

    async fn refused(
        &self,
        refused: &Refused,
        headers: &HeaderMap,
        used: &Credentials,
    ) -> InvokeError {
        let Refused {
            status,
            code,
            message,
            request_id,
        } = refused;
        let name = &self.function.name;
        let shown = if code.is_empty() { "no code" } else { code };
        let mut text = format!("invoking {name} returned {status} {shown}");
        for (before, part, after) in [(": ", message, ""), (" (request ", request_id, ")")] {
            if !part.is_empty() {
                text.push_str(&format!("{before}{part}{after}"));
            }
        }
        let text = used.left_out_of(&text);
        if refused.is_about_time() {
            let date = headers.get(DATE).and_then(|date| date.to_str().ok());
            if let Some(date) = date.and_then(http_date) {
                self.clock.set(date);
            }
            return InvokeError::StaleSignature(text);
        }
        if NOT_CURRENT.contains(&code.as_str()) && self.credentials.replace(used).await {
            return InvokeError::StaleSignature(text);
        }
        let is_lasting = LASTING.contains(&code.as_str());
        match status {
            _ if refused.is_throttled() => InvokeError::Throttled(text),
            _ if refused.is_transient() && !is_lasting => InvokeError::Unavailable(text),
            // No error of Lambda's has such a status, so another service answered.
            200..400 => InvokeError::Unavailable(text),
            _ => InvokeError::Refused(Refusal {
                status: *status,
                code: code.clone(),
                account: text,
            }),
        }
    }
}
