//! Why there is no console output, by what the caller does next.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::codes::{NONCE_USED, stale_advice};
use crate::credentials::CredentialsError;
use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::ids::AccountId;
use crate::retry::{self, RetryAdvice, Retryable};
use crate::source::ecs::MAX_ANSWER_BYTES;

/// Why there is no console output; the variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// Too many calls in this minute. Try again, after `retry_after_ms` where ECS says it.
    #[error("ECS throttled the request ({code}, request {request_id})")]
    Throttled {
        /// Begins with `Throttling`.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// `x-acs-retry-after`, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// ECS failed on its side. Try again.
    #[error("ECS failed with status {status} ({code}, request {request_id})")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// Its error code; empty where the answer was not ECS's own.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// There are no credentials to ask with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No whole answer came. Try again.
    #[error("no whole answer came from ECS: {0}")]
    Transport(String),
    /// A console came that is not Base64. Try again, and keep it as it came where that does not help.
    #[error("the ConsoleOutput of ECS is not Base64")]
    Undecoded(Arc<ConsoleOutput>),
    /// An answer came and makes no sense: a proxy's page, a cut body. Try again.
    #[error("the answer of ECS cannot be read: {reason} (status {status})")]
    Unreadable {
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// More than any console has came. Trying again would bring the same.
    #[error("the answer of ECS is longer than {} bytes", MAX_ANSWER_BYTES)]
    TooLong,
    /// The signature's time, nonce or token is no longer good. Try again with fresh ones.
    #[error(
        "ECS asks for a fresh signature ({code}, request {request_id}){}",
        stale_advice(code)
    )]
    StaleSignature {
        /// Its error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// This instance has no console output now. Done; record why.
    #[error("there is no console output ({code}, request {request_id})")]
    NoConsole {
        /// Its error code.
        code: String,
        /// Why.
        reason: NoConsole,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// ECS does not find the instance, and the event says it is another account's. Someone must
    /// give the credentials of that account.
    #[error(
        "ECS does not find the instance: the event names account {account_id}, and the credentials \
         are of account {own}; set ALIBABA_CLOUD_ROLE_ARN to a role of account {account_id}, or to \
         acs:ram::{{account}}:role/NAME for the role NAME of each event's account"
    )]
    OtherAccount {
        /// Of the event.
        account_id: AccountId,
        /// Of the credentials.
        own: AccountId,
    },
    /// The same, and nobody says which account the credentials are of. The instance may be there.
    #[error(
        "ECS does not find the instance: the event names account {account_id}, and it is not known \
         whether the credentials are of that account ({}); let STS answer (STS_ENDPOINT_URL), or \
         set ALIBABA_CLOUD_ROLE_ARN to a role of that account",
        cause.reason()
    )]
    UnknownAccount {
        /// Of the event.
        account_id: AccountId,
        /// Why it is not known.
        cause: CredentialsError,
    },
    /// A key, a permission, money or a lock stands in the way. Someone must mend it; the event must
    /// come again.
    #[error("ECS refused access ({code}, request {request_id}): {advice}")]
    Denied {
        /// Its error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// What to mend.
        advice: Cow<'static, str>,
    },
    /// ECS does not accept the request, and trying again would not change that.
    #[error("ECS rejected the request with status {status} ({code}, request {request_id})")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// Its error code; empty where the answer was not ECS's own.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
}

impl EcsError {
    /// Whether ECS says that there is no such instance.
    pub(in crate::source::ecs) fn is_not_found(&self) -> bool {
        let reason = NoConsole::NotFound;
        matches!(self, Self::NoConsole { reason: found, .. } if *found == reason)
    }

    /// Whether the same call may succeed a little later, with nobody mending anything.
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
            // Each request has a nonce of its own, so the next one's is good.
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
}
