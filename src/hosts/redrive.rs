//! Replays events that failed permanently, from the archive or from a dead-letter queue.

use std::time::Duration;

use serde_json::{Value, json};

use crate::archive::key::{FAILED_PREFIX, FailedKey};
use crate::archive::record::KeptEvent;
use crate::hosts::dispatch::{Dispatcher, Payload, failed_event};
use crate::hosts::reply::{InvocationError, Reply};
use crate::hosts::served::ServeError;
use crate::intake::delivery::Delivery;
use crate::intake::event::Request;
use crate::model::event::Origin;
use crate::model::outcome::{ErrorType, Outcome};
use crate::queue::sqs::{Received, SqsQueue};
use crate::queue::{Queue as _, QueueError};
use crate::retry::{Deadline, RetryAdvice, Retryable as _, Retrying, retry};
use crate::source::{ConsoleSource, Fleet};
use crate::store::{Store, StoreError, list_all};

/// Time to store the rest of an event and to remove it, after serving has used all its time.
pub(super) const BOOKKEEPING_TIME: Duration = Duration::from_secs(10);

/// What to do with a payload that is not a valid event, so that it can never succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidEvents {
    /// Keep it.
    Keep,
    /// Remove it.
    Drop,
}

/// The result for an event that was removed or replaced.
#[derive(Debug)]
pub enum Redriven {
    /// Everything in it succeeded. Holds the answer.
    Served(Value),
    /// Sweeps in it are unfinished. An event for the rest has replaced it.
    Left(Part),
    /// It can never succeed, and was removed. Holds the reason.
    Dropped(InvocationError),
    /// Another process has removed it already.
    Gone,
}

/// What was done of an event, and what is left.
#[derive(Debug)]
pub struct Part {
    /// The answer for what was done.
    pub answer: Value,
    /// The event that does the rest.
    pub left: Value,
    /// Where that event is stored.
    pub place: Place,
    /// Number of instances and regions that failed. If there are any, the rest is the whole sweep
    /// again. Otherwise the rest continues the sweep.
    pub failed: u64,
}

/// Where the event for the rest is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The event is unchanged, because it asks for the rest.
    Same,
    /// In the archive, under this key.
    Key(FailedKey),
    /// In the queue, as the message with this ID.
    Message(String),
}

/// Why an event was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// An event in it failed again.
    #[error("{0}")]
    Failed(InvocationError),
    /// It can never succeed. Everything else in it has succeeded.
    #[error("it can never succeed: {0}")]
    Invalid(InvocationError),
    /// It cannot be read from or removed from the archive.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be removed from its queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The object is not a failed event of this program. Holds its key.
    #[error("{0} is not a failed event of this program")]
    Damaged(String),
}

impl RedriveError {
    /// Whether the same event may succeed later without anyone fixing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failed(error) => error.is_transient,
            Self::Store(error) => error.is_transient(),
            Self::Queue(error) => error.retry_advice() != RetryAdvice::GiveUp,
            Self::Invalid(_) | Self::Damaged(_) => false,
        }
    }
}

/// Lists the failed events in an archive, sorted by key.
///
/// # Errors
/// [`StoreError`] if the store cannot be listed.
pub async fn failed_events(store: &impl Store) -> Result<Vec<FailedKey>, StoreError> {
    let entries = list_all(store, FAILED_PREFIX).await?;
    let keys = entries
        .iter()
        .filter_map(|entry| FailedKey::parse(&entry.key));
    Ok(keys.collect())
}

/// The result of serving an event.
pub(super) enum Ended {
    /// Nothing is left.
    Whole(Redriven),
    Partly {
        answer: Value,
        left: Left,
    },
}

/// The rest of the sweeps in an event.
pub(super) struct Left {
    pub(super) event: Value,
    /// As in [`Part`].
    pub(super) failed: u64,
    /// The event that was served asks for the same.
    is_same: bool,
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Serves a failed event from the archive again. Removes it if everything in it succeeds. If a
    /// sweep is unfinished, the rest is stored before the event is removed.
    ///
    /// # Errors
    /// [`RedriveError`]. The event is not removed then.
    pub async fn redrive(
        &self,
        key: &FailedKey,
        invalid: InvalidEvents,
        deadline: Deadline,
    ) -> Result<Redriven, RedriveError> {
        let object_key = key.to_string();
        let store = Retrying::new(&self.archiver.store, deadline);
        let Some(object) = store.get(&object_key).await? else {
            return Ok(Redriven::Gone);
        };
        let damaged = |_| RedriveError::Damaged(self.archiver.store.url(&object_key));
        let KeptEvent { event, origin, .. } = KeptEvent::read(&object).map_err(damaged)?;
        // A sweep may use all its time, and its rest must still be stored.
        let after = Deadline::after(deadline.remaining() + BOOKKEEPING_TIME);
        let store = Retrying::new(&self.archiver.store, after);
        let served = self.serve_again(&event, origin, invalid, deadline).await?;
        let redriven = match served {
            Ended::Whole(redriven) => redriven,
            Ended::Partly { answer, left } => {
                let kept = failed_event(&left.event.to_string(), origin, &key.error_type);
                let kept = kept.map_err(damaged)?;
                if left.is_same || kept.key == *key {
                    return Ok(left.of(answer, Place::Same));
                }
                store
                    .put_if_absent(&kept.key.to_string(), &kept.object)
                    .await?;
                left.of(answer, Place::Key(kept.key))
            }
        };
        store.delete(&object_key).await?;
        Ok(redriven)
    }

    /// Serves a message of a dead-letter queue again. Deletes it if everything in it succeeds. If a
    /// sweep is unfinished, the rest is sent to the queue before the message is deleted.
    ///
    /// # Errors
    /// [`RedriveError`]. The message is not deleted then, and is visible again after its visibility
    /// timeout.
    pub async fn redrive_message(
        &self,
        queue: &SqsQueue,
        message: &Received,
        invalid: InvalidEvents,
        deadline: Deadline,
    ) -> Result<Redriven, RedriveError> {
        let after = Deadline::after(deadline.remaining() + BOOKKEEPING_TIME);
        // Nobody sends to this queue over HTTP, and follow messages come here from the follow queue.
        let origin = Origin::Invocation;
        let served = self.serve_again(&message.body, origin, invalid, deadline);
        let redriven = match served.await? {
            Ended::Whole(redriven) => redriven,
            Ended::Partly { answer, left } if left.is_same => {
                return Ok(left.of(answer, Place::Same));
            }
            Ended::Partly { answer, left } => {
                let text = left.event.to_string();
                let send = || queue.send(&text, Duration::ZERO);
                let id = retry(after, "SendMessage", send).await?;
                left.of(answer, Place::Message(id))
            }
        };
        retry(after, "DeleteMessage", || queue.delete(message)).await?;
        Ok(redriven)
    }

    /// Serves an event, and returns a result with which it can be removed.
    pub(super) async fn serve_again(
        &self,
        event: &str,
        origin: Origin,
        invalid: InvalidEvents,
        deadline: Deadline,
    ) -> Result<Ended, RedriveError> {
        let payload = Payload::Replay(event, origin);
        let reply = self.dispatch(payload, deadline).await;
        let Some(failure) = reply.failure() else {
            let answer = reply.to_json().map_err(RedriveError::Failed)?;
            let is_sent_on = self.archiver.follow_queue.is_some();
            return Ok(match Left::by(event, origin, &reply, is_sent_on) {
                Some(left) => Ended::Partly { answer, left },
                None => Ended::Whole(Redriven::Served(answer)),
            });
        };
        let is_invalid = |failure: &ServeError| failure.error_type() == ErrorType::InvalidEvent;
        match invalid {
            _ if !reply.failures().all(is_invalid) => Err(RedriveError::Failed(failure)),
            InvalidEvents::Keep => Err(RedriveError::Invalid(failure)),
            InvalidEvents::Drop => Ok(Ended::Whole(Redriven::Dropped(failure))),
        }
    }
}

impl Left {
    /// The rest of an event's sweeps, if all its events succeeded. `None` if nothing is left. If
    /// there is a follow queue (`is_sent_on`), it has what is unfinished.
    fn by(event: &str, origin: Origin, reply: &Reply, is_sent_on: bool) -> Option<Self> {
        let messages = Delivery::of_replay(event, origin).messages.into_iter();
        let requests: Vec<_> = messages.flat_map(|message| message.requests).collect();
        let is_alone = requests.len() == 1;
        let (mut events, mut failed_of_all, mut is_same) = (Vec::new(), 0_u64, is_alone);
        for (request, served) in requests.into_iter().zip(reply.events()) {
            let (Ok(Request::Sweep(sweep)), Ok(Outcome::Swept { done, resume })) =
                (request, served)
            else {
                continue;
            };
            match resume {
                Some(resume) if !is_sent_on => {
                    is_same = false;
                    events.push(resume.clone());
                }
                _ if done.failed > 0 => {
                    // The sweep starts again: continuing at its end would do nothing, and would
                    // count the same failures twice.
                    let anew = sweep.anew();
                    is_same &= anew == *sweep;
                    failed_of_all = done.failed.saturating_add(failed_of_all);
                    events.push(json!({ "sweep": anew }));
                }
                _ => {}
            }
        }
        let event = match events.len() {
            0 => return None,
            1 => events.remove(0),
            _ => Value::Array(events),
        };
        Some(Self {
            event,
            failed: failed_of_all,
            is_same,
        })
    }

    fn of(self, answer: Value, place: Place) -> Redriven {
        Redriven::Left(Part {
            answer,
            left: self.event,
            place,
            failed: self.failed,
        })
    }
}
