//! Events that failed for good, served again: those the archive keeps, or a dead-letter queue's.

use serde_json::Value;

use crate::archive;
use crate::capture::Archiver;
use crate::ecs::{ConsoleSource, Fleet};
use crate::handler::Payload;
use crate::key::{FAILED_PREFIX, FailedKey};
use crate::queue::{Queue, QueueError, Received};
use crate::record::FailedEvent;
use crate::reply::InvocationError;
use crate::retry::{Deadline, Remediable as _, Remedy, Retrying, retry};
use crate::store::{Store, StoreError};

/// Why an event could not be served again or taken off its list.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// It failed again, and stays.
    #[error("{0}")]
    Failed(InvocationError),
    /// It cannot be read or removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be removed from its queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// It is no event that was kept here.
    #[error("{0} is no failed event of this program")]
    Damaged(String),
}

impl RedriveError {
    /// Whether the same event may succeed a little later, with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_transient,
            Self::Store(error) => error.is_transient(),
            Self::Queue(error) => error.remedy() != Remedy::GiveUp,
            Self::Damaged(_) => false,
        }
    }
}

/// The failed events an archive keeps, in the order of their keys.
///
/// # Errors
/// [`StoreError`] when the store cannot be listed.
pub async fn failed_events(store: &impl Store) -> Result<Vec<FailedKey>, StoreError> {
    let entries = archive::entries(store, FAILED_PREFIX).await?;
    let keys = entries
        .iter()
        .filter_map(|entry| FailedKey::parse(&entry.key));
    Ok(keys.collect())
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Serves a failed event of the archive again, and removes it when that succeeds.
    ///
    /// # Errors
    /// [`RedriveError`]; the event stays then.
    pub async fn redrive(
        &self,
        key: &FailedKey,
        deadline: Deadline,
    ) -> Result<Value, RedriveError> {
        let key = key.to_string();
        let store = Retrying::new(&self.store, deadline);
        let Some(object) = store.get(&key).await? else {
            return Ok(Value::Null); // Somebody else was faster.
        };
        let event = FailedEvent::read(&object.body)
            .map_err(|_| RedriveError::Damaged(self.store.url(&key)))?;
        let reply = self.serve_again(&event, deadline).await?;
        store.delete(&key).await?;
        Ok(reply)
    }

    /// Serves a message of a dead-letter queue again, and deletes it when that succeeds.
    ///
    /// # Errors
    /// [`RedriveError`]; the message stays then, and shows up again after its visibility timeout.
    pub async fn redrive_message(
        &self,
        queue: &Queue,
        message: &Received,
        deadline: Deadline,
    ) -> Result<Value, RedriveError> {
        let reply = self.serve_again(&message.body, deadline).await?;
        retry(deadline, "DeleteMessage", || queue.delete(message)).await?;
        Ok(reply)
    }

    /// The answer to an event of which everything succeeded.
    async fn serve_again(&self, event: &str, deadline: Deadline) -> Result<Value, RedriveError> {
        let reply = self
            .dispatch(Payload::Replay(event.as_bytes()), deadline)
            .await;
        match reply.failure() {
            Some(failure) => Err(RedriveError::Failed(failure)),
            None => reply.to_json().map_err(RedriveError::Failed),
        }
    }
}
