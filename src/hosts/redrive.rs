//! Events that failed for good, served again: those the archive keeps, or a dead-letter queue's.

use serde_json::Value;

use crate::archive::key::{FAILED_PREFIX, FailedKey};
use crate::archive::reader;
use crate::archive::record::FailedEvent;
use crate::hosts::dispatch::{Dispatcher, Payload};
use crate::hosts::reply::InvocationError;
use crate::hosts::served::ServeError;
use crate::model::outcome::ErrorType;
use crate::queue::sqs::{Queue, QueueError, Received};
use crate::retry::{Deadline, RetryAdvice, Retryable as _, Retrying, retry};
use crate::source::{ConsoleSource, Fleet};
use crate::store::{Store, StoreError};

/// What is done about an event that can never succeed: one that is not an event, whatever is
/// mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidEvents {
    /// It stays.
    Keep,
    /// It is removed.
    Drop,
}

/// What became of an event that is no longer on its list.
#[derive(Debug)]
pub enum Redriven {
    /// Everything in it succeeded; the answer.
    Served(Value),
    /// It can never succeed, for this reason, and was removed.
    Dropped(InvocationError),
    /// Somebody else was faster.
    Gone,
}

/// Why an event stays on its list.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// Something in it failed again.
    #[error("{0}")]
    Failed(InvocationError),
    /// It can never succeed; everything else in it has succeeded.
    #[error("it can never succeed: {0}")]
    Invalid(InvocationError),
    /// It cannot be read or removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be removed from its queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// It is not an event that was kept here.
    #[error("{0} is not a failed event of this program")]
    Damaged(String),
}

impl RedriveError {
    /// Whether the same event may succeed a little later, with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_transient,
            Self::Store(error) => error.is_transient(),
            Self::Queue(error) => error.retry_advice() != RetryAdvice::GiveUp,
            Self::Invalid(_) | Self::Damaged(_) => false,
        }
    }
}

/// The failed events an archive keeps, in the order of their keys.
///
/// # Errors
/// [`StoreError`] when the store cannot be listed.
pub async fn failed_events(store: &impl Store) -> Result<Vec<FailedKey>, StoreError> {
    let entries = reader::entries(store, FAILED_PREFIX).await?;
    let keys = entries
        .iter()
        .filter_map(|entry| FailedKey::parse(&entry.key));
    Ok(keys.collect())
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Serves a failed event of the archive again, and removes it when everything in it succeeds.
    ///
    /// # Errors
    /// [`RedriveError`]; the event stays then.
    pub async fn redrive(
        &self,
        key: &FailedKey,
        invalid: InvalidEvents,
        deadline: Deadline,
    ) -> Result<Redriven, RedriveError> {
        let key = key.to_string();
        let store = Retrying::new(&self.archiver.store, deadline);
        let Some(object) = store.get(&key).await? else {
            return Ok(Redriven::Gone);
        };
        let event = FailedEvent::read(&object.body)
            .map_err(|_| RedriveError::Damaged(self.archiver.store.url(&key)))?;
        let redriven = self.serve_again(&event, invalid, deadline).await?;
        store.delete(&key).await?;
        Ok(redriven)
    }

    /// Serves a message of a dead-letter queue again, and deletes it when everything in it
    /// succeeds.
    ///
    /// # Errors
    /// [`RedriveError`]; the message stays then, and shows up again after its visibility timeout.
    pub async fn redrive_message(
        &self,
        queue: &Queue,
        message: &Received,
        invalid: InvalidEvents,
        deadline: Deadline,
    ) -> Result<Redriven, RedriveError> {
        let redriven = self.serve_again(&message.body, invalid, deadline).await?;
        retry(deadline, "DeleteMessage", || queue.delete(message)).await?;
        Ok(redriven)
    }

    /// What an event ended in that can be removed.
    async fn serve_again(
        &self,
        event: &str,
        invalid: InvalidEvents,
        deadline: Deadline,
    ) -> Result<Redriven, RedriveError> {
        let payload = Payload::Replay(event.as_bytes());
        let reply = self.dispatch(payload, deadline).await;
        let Some(failure) = reply.failure() else {
            let answer = reply.to_json().map_err(RedriveError::Failed)?;
            return Ok(Redriven::Served(answer));
        };
        let is_invalid = |failure: &ServeError| failure.error_type() == ErrorType::InvalidEvent;
        match invalid {
            _ if !reply.failures().all(is_invalid) => Err(RedriveError::Failed(failure)),
            InvalidEvents::Keep => Err(RedriveError::Invalid(failure)),
            InvalidEvents::Drop => Ok(Redriven::Dropped(failure)),
        }
    }
}
