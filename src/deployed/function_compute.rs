//! Invokes a function of Function Compute, and waits for its answer.
//!
//! Sources: "InvokeFunction" of Function Compute (headers); "Event handlers" of its custom runtimes; the
//! plug-in of kestra.io for Function Compute, which takes a status of 200 with the header
//! `x-fc-error-type` for a failure of the function.

use reqwest::header::{DATE, HeaderMap};
use url::Url;

use super::InvokeError;
use super::answer::{self, MAX_ANSWER_BYTES};
use super::name::FunctionComputeName;
use crate::alibaba::function_compute::{Failure, LATEST};
use crate::alibaba::nonce;
use crate::alibaba::request::{RoaCall, SigningContext};
use crate::clock::{Clock, http_date};
use crate::credentials::CredentialsProvider;
use crate::credentials::source::Source;
use crate::http::bounded::read;
use crate::model::check::Examination;
use crate::model::credentials::Credentials;
use crate::refusal::Refusal;

/// Name of the service in messages.
const FUNCTION_COMPUTE: &str = "Function Compute";

/// A function of Function Compute, and who invokes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionComputeFunction {
    /// The function.
    pub name: FunctionComputeName,
    /// Address of Function Compute's API.
    pub endpoint: Url,
    /// Credentials that may invoke it.
    pub credentials: Source,
}

/// Who invokes it, with the clock of the service.
pub(super) struct Caller<'a> {
    function: &'a FunctionComputeFunction,
    http: &'a reqwest::Client,
    credentials: CredentialsProvider,
    clock: Clock,
}

impl FunctionComputeFunction {
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
        let FunctionComputeFunction { name, endpoint, .. } = self.function;
        let qualifier = name.qualifier.as_deref().unwrap_or(LATEST);
        let call = RoaCall::invoke_function(&name.function, qualifier, question.as_bytes());
        let used = self.credentials.get().await?;
        let context = SigningContext {
            now: self.clock.now(),
            nonce: nonce()
                .map_err(|error| InvokeError::Unavailable(format!("no nonce: {error}")))?,
        };
        let signed = call.sign(endpoint, &used, &context);
        let mut request = self.http.post(signed.url).body(question.to_owned());
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        let answer = read(request, FUNCTION_COMPUTE, MAX_ANSWER_BYTES).await;
        let answer = answer.map_err(|unread| super::unread(FUNCTION_COMPUTE, unread))?;
        let (headers, body) = (&answer.headers, &answer.body);
        match answer.status {
            200 if headers.contains_key("x-fc-error-type") => Err(answer::failure(body)),
            200 => answer::examination(body),
            status => Err(self.refused(status, headers, body, &used).await),
        }
    }

    async fn refused(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        used: &Credentials,
    ) -> InvokeError {
        let header = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let request_id = header("x-fc-request-id").or_else(|| header("x-acs-request-id"));
        let body = used.left_out_of(&String::from_utf8_lossy(body));
        let failure = Failure::read(status, request_id, body.as_bytes());
        let text = failure.text(&self.function.name.function);
        if failure.refuses_key() && self.credentials.replace(used).await {
            return InvokeError::StaleSignature(text);
        }
        if failure.is_about_time() {
            if let Some(date) = header(DATE.as_str()).as_deref().and_then(http_date) {
                self.clock.set(date);
            }
            return InvokeError::StaleSignature(text);
        }
        if failure.is_throttled() {
            return InvokeError::Throttled(text);
        }
        if failure.is_transient() {
            return InvokeError::Unavailable(text);
        }
        InvokeError::Refused(Refusal {
            status,
            code: failure.code,
            account: text,
        })
    }
}
