//! Messages to a later invocation of the function.

pub mod function_compute; // the function invokes itself
pub mod sqs; // Amazon SQS

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::credentials::CredentialsError;
use crate::refusal::Refusal;
use crate::retry::{self, RetryAdvice, Retryable};

/// A message that the function ignores, because it looks like another product's event. It proves
/// that a queue takes messages.
pub const PROBE: &str = r#"{"source":"ecs-console-archiver","type":"doctor"}"#;

/// Delivers a message to a later invocation of the function.
///
/// Delivery is at least once: a message may come twice. It may also come early: the message itself says
/// when it is due.
pub trait Queue: fmt::Debug + Send + Sync {
    /// Sends a message that is delivered after `delay`, rounded up to whole seconds. A longer delay than
    /// [`greatest_delay`](Self::greatest_delay) counts as that one. Returns the service's ID of the
    /// message or the request. Makes one attempt.
    ///
    /// # Errors
    /// [`QueueError`]. The message may or may not have been sent then.
    fn send<'a>(
        &'a self,
        body: &'a str,
        delay: Duration,
    ) -> BoxFuture<'a, Result<String, QueueError>>;

    /// Longest delay of a message.
    fn greatest_delay(&self) -> Duration;

    /// Longest body of a message, in bytes.
    fn greatest_body_bytes(&self) -> usize;

    /// Name of the operation that sends, for errors.
    fn operation(&self) -> &'static str;
}

/// Why a call to the queue failed. Each variant is what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The service failed or did not answer. Retry.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// The service throttled the request. Retry after a long pause.
    #[error("the queue throttled the request: {0}")]
    Throttled(String),
    /// The signature's time or token is not valid any more. Retry with fresh ones.
    #[error("the queue asks for a fresh signature: {0}")]
    StaleSignature(String),
    /// There are no credentials for the call.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Keys, permissions or the queue's address are wrong. Someone must fix them.
    #[error("the queue refused the request: {0}")]
    Refused(Refusal),
    /// No queue of this kind takes a message of this length. It was not sent.
    #[error("the message has {bytes} bytes, and the queue takes at most {greatest}")]
    TooLarge {
        /// Length of the message.
        bytes: usize,
        /// The limit.
        greatest: usize,
    },
}

impl Retryable for QueueError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Unavailable(_) | Self::Credentials(CredentialsError::Unavailable(_)) => {
                RetryAdvice::Wait
            }
            Self::Throttled(_) => RetryAdvice::WaitThrottled(None),
            Self::StaleSignature(_) => RetryAdvice::SignAgain,
            Self::Credentials(CredentialsError::Refused(_) | CredentialsError::Unusable(_))
            | Self::Refused(_)
            | Self::TooLarge { .. } => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

/// The whole seconds of a delay that a queue is asked for.
fn whole_seconds(delay: Duration, greatest: Duration) -> u64 {
    delay.min(greatest).as_secs_f64().ceil() as u64
}
