//! A deployed function, which is asked from outside what it says of itself. Only the command line
//! does that.

mod answer; // a function's answer → what it says of itself (pure)
mod function_compute; // Function Compute
mod lambda; // AWS Lambda
pub mod name; // which function (pure)

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::credentials::CredentialsError;
use crate::http::bounded::Unread;
use crate::model::check::{Doctor, Examination};
use crate::refusal::Refusal;
use crate::retry::{self, Deadline, RetryAdvice, Retryable, retry};
use answer::MAX_ANSWER_BYTES;

pub use function_compute::FunctionComputeFunction;
pub use lambda::LambdaFunction;

/// A deployed function, where its platform is, and who asks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployedFunction {
    /// On AWS Lambda.
    Lambda(LambdaFunction),
    /// On Function Compute.
    FunctionCompute(FunctionComputeFunction),
}

/// Why a deployed function said nothing of itself. Each variant is what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The platform failed or did not answer. Retry.
    #[error("{0}")]
    Unavailable(String),
    /// The platform throttled the invocation. Retry after a long pause.
    #[error("{0}")]
    Throttled(String),
    /// The signature's time or token is not valid any more. Retry with fresh ones.
    #[error("{0}")]
    StaleSignature(String),
    /// There are no credentials for the call.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The platform refused: the function does not exist, or a permission is missing. Someone must fix
    /// it.
    #[error("{0}")]
    Refused(Refusal),
    /// The function was cut off by its time-out. Someone must look at its log.
    #[error("{0}")]
    OutOfTime(String),
    /// The function failed. Someone must look at its log.
    #[error("{0}")]
    Failed(String),
    /// The function is of a version that does not know the question. Someone must upgrade it.
    #[error("{0}")]
    Earlier(String),
    /// The function is of a version whose answer is unknown here. Someone must upgrade this program.
    #[error("{0}")]
    Later(String),
    /// Another program answered. Someone must name the right function.
    #[error("{0}")]
    Foreign(String),
}

impl Retryable for InvokeError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Unavailable(_) | Self::Credentials(CredentialsError::Unavailable(_)) => {
                RetryAdvice::Wait
            }
            Self::Throttled(_) => RetryAdvice::WaitThrottled(None),
            Self::StaleSignature(_) => RetryAdvice::SignAgain,
            Self::Credentials(CredentialsError::Refused(_) | CredentialsError::Unusable(_))
            | Self::Refused(_)
            | Self::OutOfTime(_)
            | Self::Failed(_)
            | Self::Earlier(_)
            | Self::Later(_)
            | Self::Foreign(_) => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

impl fmt::Display for DeployedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lambda(function) => function.name.fmt(f),
            Self::FunctionCompute(function) => function.name.fmt(f),
        }
    }
}

impl DeployedFunction {
    /// Asks the function what it says of itself. `http` must wait as long as the function may take.
    ///
    /// # Errors
    /// [`InvokeError`] says what to do next.
    pub async fn examine(
        &self,
        asked: &Doctor,
        http: &reqwest::Client,
        deadline: Deadline,
    ) -> Result<Examination, InvokeError> {
        let question = json!({ "doctor": asked }).to_string();
        match self {
            Self::Lambda(function) => {
                let caller = function.caller(http);
                retry(deadline, "the invocation", || caller.examine(&question)).await
            }
            Self::FunctionCompute(function) => {
                let caller = function.caller(http);
                retry(deadline, "the invocation", || caller.examine(&question)).await
            }
        }
    }
}

/// Why a platform gave no whole answer.
fn unread(platform: &str, unread: Unread) -> InvokeError {
    match unread {
        Unread::NoAnswer(cause) => {
            InvokeError::Unavailable(format!("{platform} does not answer: {cause}"))
        }
        Unread::TooLong => InvokeError::Foreign(format!(
            "the answer has more than {MAX_ANSWER_BYTES} bytes, so it is not read"
        )),
    }
}
