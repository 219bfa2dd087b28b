//! Why a call to ECS failed. The variants say what the caller does next.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::codes::{NONCE_USED, goes_on_from, is_of_instance, stale_advice};
use crate::credentials::CredentialsError;
use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::ids::AccountId;
use crate::model::screenshot::{InvalidImage, SCREENSHOTS_APART};
use crate::retry::{self, RetryAdvice, Retryable};
use crate::source::ecs::MAX_ANSWER_BYTES;

/// Why a call to ECS failed. Each variant is what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// Too many calls in this minute. Retry, after `retry_after_ms` if ECS gives it.
    #[error("ECS throttled the request ({code}, request {request_id})")]
    Throttled {
        /// ECS's error code. Contains `Throttling`, or the status is 429.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// Value of the header `x-acs-retry-after`, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// ECS takes pictures of one instance 10 s apart, and has just taken one. Retry after that time.
    #[error(
        "ECS gives one picture of an instance in 10 s, and gave one just before (request {request_id}): try again in 10 s"
    )]
    TooSoon {
        /// ECS's ID of the request.
        request_id: String,
    },
    /// ECS failed on its side. Retry.
    #[error("ECS failed with status {status} ({code}, request {request_id})")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// ECS's error code. Empty if a proxy or gateway answered.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// There are no credentials for the call.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The answer did not arrive, or only a part of it. Retry.
    #[error("ECS sent no complete answer: {0}")]
    Transport(String),
    /// The console is not Base64. Retry. If that does not help, keep the text as it came.
    #[error("the ConsoleOutput of ECS is not Base64")]
    Undecoded(Arc<ConsoleOutput>),
    /// The screenshot is not a picture of a screen, or not a whole one. ECS takes no other one within 10 s.
    #[error("ECS sent no screenshot: {0}")]
    NotAScreenshot(InvalidImage),
    /// The answer is not one of ECS: a proxy's page, a truncated body. Retry.
    #[error("the answer of ECS cannot be read: {reason} (status {status})")]
    Unreadable {
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is longer than any console. A retry would get the same.
    #[error("the answer of ECS is longer than {} bytes", MAX_ANSWER_BYTES)]
    TooLong,
    /// The signature's time, nonce or token is not valid any more. Retry with fresh ones.
    #[error(
        "ECS asks for a fresh signature ({code}, request {request_id}){}",
        stale_advice(code)
    )]
    StaleSignature {
        /// ECS's error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// The instance has no console output now. The event is done; store the reason.
    #[error("there is no console output ({code}, request {request_id})")]
    NoConsole {
        /// ECS's error code.
        code: String,
        /// Why there is no console output.
        reason: NoConsole,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// ECS does not find the instance, and the event names another account than the one of the
    /// credentials. Someone must configure credentials of that account.
    #[error(
        "ECS does not find the instance: the event names account {account_id}, and the credentials \
         are of account {own}; set ALIBABA_CLOUD_ROLE_ARN to a role of account {account_id}, or to \
         acs:ram::{{account}}:role/NAME for the role NAME of each event's account"
    )]
    OtherAccount {
        /// Account in the event.
        account_id: AccountId,
        /// Account of the credentials.
        own: AccountId,
    },
    /// ECS does not find the instance, and the account of the credentials is unknown. The instance
    /// may exist.
    #[error(
        "ECS does not find the instance: the event names account {account_id}, and it is not known \
         whether the credentials are of that account ({}); let STS answer (STS_ENDPOINT_URL), or \
         set ALIBABA_CLOUD_ROLE_ARN to a role of that account",
        cause.reason()
    )]
    UnknownAccount {
        /// Account in the event.
        account_id: AccountId,
        /// Why the account of the credentials is unknown.
        cause: CredentialsError,
    },
    /// A key, a permission, a bill or a lock prevents the call. Someone must fix the cause, and the
    /// event must be delivered again.
    #[error("ECS refused access ({code}, request {request_id}): {advice}")]
    Denied {
        /// ECS's error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// How to fix it.
        advice: Cow<'static, str>,
    },
    /// ECS does not accept the request. A retry would get the same answer.
    #[error("ECS rejected the request with status {status} ({code}, request {request_id})")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// ECS's error code. Empty if a proxy or gateway answered.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
}

impl EcsError {
    /// Whether ECS says that the instance does not exist.
    pub(in crate::source::ecs) fn is_not_found(&self) -> bool {
        let reason = NoConsole::NotFound;
        matches!(self, Self::NoConsole { reason: found, .. } if *found == reason)
    }

    /// Whether ECS is busy with this instance, or has just taken a picture of it, and may answer for the others.
    pub fn is_of_instance(&self) -> bool {
        match self {
            Self::TooSoon { .. } => true,
            Self::Unavailable { code, .. } => is_of_instance(code),
            _ => false,
        }
    }

    /// Whether ECS accepts the key, but a permission is missing.
    pub fn lacks_permission(&self) -> bool {
        let words = ["NoPermission", "Forbidden", "AccessDenied"];
        let is_of = |code: &str| words.iter().any(|word| goes_on_from(code, word));
        matches!(self, Self::Denied { code, .. }
            if is_of(code) && !goes_on_from(code, "Forbidden.RiskControl"))
    }

    /// Whether the same call may succeed later without anyone fixing anything.
    pub fn is_transient(&self) -> bool {
        self.retry_advice() != RetryAdvice::GiveUp
    }
}

impl Retryable for EcsError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Throttled { retry_after_ms, .. } => {
                RetryAdvice::WaitThrottled(retry_after_ms.map(Duration::from_millis))
            }
            Self::TooSoon { .. } => RetryAdvice::WaitThrottled(Some(SCREENSHOTS_APART)),
            // Each request has a fresh nonce, so the next one is accepted.
            Self::StaleSignature { code, .. } if code == NONCE_USED => RetryAdvice::Wait,
            Self::StaleSignature { .. } => RetryAdvice::SignAgain,
            Self::Unavailable { .. }
            | Self::Transport(_)
            | Self::Unreadable { .. }
            | Self::Undecoded(_)
            | Self::Credentials(CredentialsError::Unavailable(_))
            | Self::UnknownAccount {
                cause: CredentialsError::Unavailable(_),
                ..
            } => RetryAdvice::Wait,
            Self::NoConsole { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::Credentials(CredentialsError::Refused(_) | CredentialsError::Unusable(_))
            | Self::OtherAccount { .. }
            | Self::UnknownAccount { .. }
            | Self::NotAScreenshot(_)
            | Self::TooLong => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Transport(retry::timed_out(call, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_answer_one_is_worth_another_try() {
        assert_eq!(
            EcsError::Transport("reset".into()).retry_advice(),
            RetryAdvice::Wait
        );
        assert_eq!(EcsError::TooLong.retry_advice(), RetryAdvice::GiveUp);
    }

    #[test]
    fn a_conflict_is_of_the_instance_and_what_ecs_lacks_is_not() {
        let failure = |status, code: &str| EcsError::Unavailable {
            status,
            code: code.into(),
            request_id: String::new(),
        };
        assert!(failure(403, "OperationDenied.InstanceOperationInProgress").is_of_instance());
        assert!(failure(403, "InvalidOperation.Conflict").is_of_instance());
        let request_id = String::new();
        assert!(EcsError::TooSoon { request_id }.is_of_instance());
        assert!(!failure(503, "ServiceUnavailable").is_of_instance());
        assert!(!failure(502, "").is_of_instance());
        assert!(!EcsError::Transport("reset".into()).is_of_instance());
    }
}
