//! Replays events that failed permanently, from the archive or from a dead-letter queue.

use std::time::Duration;

use serde_json::{Value, json};

use crate::archive::key::{FAILED_PREFIX, FailedKey};
use crate::archive::record::KeptEvent;
use crate::capture::CaptureError;
use crate::hosts::dispatch::{Dispatcher, Payload};
use crate::hosts::reply::{InvocationError, Reply};
use crate::hosts::served::{ServeError, Served};
use crate::intake::delivery::Delivery;
use crate::intake::error::EventError;
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
    /// A part of it is done. Events for the rest have replaced it.
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
    /// What is left, at least one. Each is an event of its own, so that what succeeded is not served
    /// again, and what had no time does not wait for what fails.
    pub rests: Vec<Rest>,
}

impl Part {
    /// Whether serving the rest now would most likely lead no further: nothing succeeded, and what
    /// failed may succeed later.
    pub fn is_stuck(&self) -> bool {
        self.stuck().is_some()
    }

    /// What failed, if serving the rest now would most likely lead no further.
    pub(super) fn stuck(&self) -> Option<&InvocationError> {
        let has_done_nothing = self.answer.as_array().is_some_and(Vec::is_empty);
        let transient = self.rests.iter().find_map(|rest| match &rest.why {
            Why::Failed(why) if why.is_transient => Some(why),
            _ => None,
        });
        transient.filter(|_| has_done_nothing)
    }
}

/// What is left of an event, for one reason.
#[derive(Debug)]
pub struct Rest {
    /// The event that does it.
    pub event: Value,
    /// Why it is left.
    pub why: Why,
    /// Where that event is stored.
    pub place: Place,
}

/// Why something of an event is left.
#[derive(Debug)]
pub enum Why {
    /// There was no time for it. It is what was not begun, and the rest of a sweep.
    TimeOver,
    /// These events failed.
    Failed(InvocationError),
    /// So many instances and regions of sweeps failed. It is the whole sweeps again, because the
    /// rest of a sweep would leave them out.
    FailedInSweeps(u64),
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
        left: Vec<Left>,
    },
}

/// What is left of an event, for one reason.
pub(super) struct Left {
    pub(super) event: Value,
    pub(super) why: Why,
    /// The event that was served asks for the same.
    is_same: bool,
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Serves a failed event from the archive again. Removes it if everything in it succeeds. If a
    /// part of it is done, the rest is stored before the event is removed.
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
        let kept = KeptEvent::read(&object).map_err(damaged)?;
        // An event may use all its time, and its rest must still be stored.
        let after = Deadline::after(deadline.remaining() + BOOKKEEPING_TIME);
        let store = Retrying::new(&self.archiver.store, after);
        let served = self.serve_again(&kept.event, kept.origin, invalid, deadline);
        let (answer, left) = match served.await? {
            Ended::Whole(redriven) => {
                store.delete(&object_key).await?;
                return Ok(redriven);
            }
            Ended::Partly { answer, left } => (answer, left),
        };
        let mut rests = Vec::new();
        for left in left {
            let error_type = left.error_type(key);
            let mut rest = kept
                .rest(&left.event.to_string(), error_type)
                .map_err(damaged)?;
            rest.key.is_given_up = key.is_given_up;
            let place = if left.is_same || rest.key == *key {
                Place::Same
            } else {
                store
                    .put_if_absent(&rest.key.to_string(), &rest.object)
                    .await?;
                Place::Key(rest.key)
            };
            rests.push(left.at(place));
        }
        if rests.iter().all(|rest| rest.place != Place::Same) {
            store.delete(&object_key).await?;
        }
        Ok(Redriven::Left(Part { answer, rests }))
    }

    /// Serves a message of a dead-letter queue again. Deletes it if everything in it succeeds. If a
    /// part of it is done, the rest is sent to the queue before the message is deleted.
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
            Ended::Partly { answer, left } => {
                let (mut rests, is_same) = (Vec::new(), left.iter().any(|left| left.is_same));
                for left in left {
                    let place = if left.is_same {
                        Place::Same
                    } else {
                        let text = left.event.to_string();
                        let send = || queue.send(&text, Duration::ZERO);
                        Place::Message(retry(after, "SendMessage", send).await?)
                    };
                    rests.push(left.at(place));
                }
                let redriven = Redriven::Left(Part { answer, rests });
                if is_same {
                    return Ok(redriven);
                }
                redriven
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
        let is_sent_on = self.archiver.follow_queue.is_some();
        let Some(failure) = reply.failure() else {
            let answer = reply.to_json().map_err(RedriveError::Failed)?;
            let left = Left::by(event, origin, &reply, is_sent_on);
            return Ok(match left.filter(|left| !left.is_empty()) {
                Some(left) => Ended::Partly { answer, left },
                None => Ended::Whole(Redriven::Served(answer)),
            });
        };
        let is_invalid = |failure: &ServeError| failure.error_type() == ErrorType::InvalidEvent;
        match invalid {
            _ if !reply.failures().all(is_invalid) => {
                let answer = reply.events().flatten().map(|outcome| json!(outcome));
                let answer = answer.collect();
                match Left::by(event, origin, &reply, is_sent_on) {
                    Some(left) => Ok(Ended::Partly { answer, left }),
                    None => Err(RedriveError::Failed(failure)),
                }
            }
            InvalidEvents::Keep => Err(RedriveError::Invalid(failure)),
            InvalidEvents::Drop => Ok(Ended::Whole(Redriven::Dropped(failure))),
        }
    }
}

/// Events of a message, and what they ask for.
#[derive(Default)]
struct Events {
    values: Vec<Value>,
    requests: Vec<Result<Request, EventError>>,
}

impl Events {
    fn push(&mut self, value: Value, request: Result<Request, EventError>) {
        self.values.push(value);
        self.requests.push(request);
    }

    /// The event that asks for all of them. `None` if there is none that asks for the same. That is so if
    /// one was too deep in envelopes: without them, it would be served.
    fn together(mut self, origin: Origin) -> Option<Value> {
        let event = match self.values.len() {
            1 => self.values.remove(0),
            _ => Value::Array(self.values),
        };
        let again = Delivery::of_replay(&event.to_string(), origin);
        let again = again.messages.into_iter().flat_map(|one| one.requests);
        again
            .map(Result::ok)
            .eq(self.requests.into_iter().map(Result::ok))
            .then_some(event)
    }
}

fn is_time_over(failure: &ServeError) -> bool {
    matches!(failure, ServeError::Capture(CaptureError::TimeOver(_)))
}

impl Left {
    /// What is left of an event. `None` if it must stay as it is: nothing in it got any further. If
    /// there is a follow queue (`is_sent_on`), it has what is unfinished of sweeps.
    fn by(event: &str, origin: Origin, reply: &Reply, is_sent_on: bool) -> Option<Vec<Self>> {
        let is_whole = |served: &Served| matches!(served, Ok(outcome) if !matches!(outcome, Outcome::Swept { .. }));
        if reply.events().all(is_whole) {
            return Some(Vec::new());
        }
        let count = reply.events().count();
        let failures = reply.failures().count();
        let is_over = reply.failures().all(is_time_over);
        if failures == count && (is_over || !reply.failures().any(is_time_over)) {
            return None;
        }
        let messages = Delivery::of_replay_with_values(event, origin).messages;
        // Of what is refused as a whole, no event's JSON is known.
        if messages
            .iter()
            .any(|one| one.requests.len() != one.values.len())
        {
            return None;
        }
        let asked = messages.into_iter();
        let asked = asked.flat_map(|one| one.requests.into_iter().zip(one.values));
        let (mut unserved, mut failed) = (Events::default(), Events::default());
        let (mut resumed, mut anew, mut failed_in_sweeps) = (Vec::new(), Vec::new(), 0_u64);
        let mut is_same = count == 1;
        for ((request, value), served) in asked.zip(reply.events()) {
            match (request, served) {
                (request, Err(failure)) if is_time_over(failure) => unserved.push(value, request),
                (request, Err(_)) => failed.push(value, request),
                (Ok(Request::Sweep(sweep)), Ok(Outcome::Swept { done, resume })) => match resume {
                    Some(resume) if !is_sent_on => resumed.push(resume.clone()),
                    _ if done.failed > 0 => {
                        // The sweep starts again: continuing at its end would do nothing, and would
                        // count the same failures twice.
                        let whole = sweep.anew();
                        is_same &= whole == *sweep;
                        failed_in_sweeps = done.failed.saturating_add(failed_in_sweeps);
                        anew.push(json!({ "sweep": whole }));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        let mut left = Vec::new();
        let mut leave = |event, why, is_same| {
            left.push(Self {
                event,
                why,
                is_same,
            });
        };
        let own_failure = reply.failure_among(|failure| !is_time_over(failure));
        if !unserved.values.is_empty() {
            resumed.insert(0, unserved.together(origin)?);
        }
        match resumed.len() {
            0 => {}
            1 => leave(resumed.remove(0), Why::TimeOver, false),
            _ => leave(Value::Array(resumed), Why::TimeOver, false),
        }
        if let Some(failure) = own_failure {
            leave(failed.together(origin)?, Why::Failed(failure), false);
        }
        if !anew.is_empty() {
            let event = match anew.len() {
                1 => anew.remove(0),
                _ => Value::Array(anew),
            };
            leave(event, Why::FailedInSweeps(failed_in_sweeps), is_same);
        }
        Some(left)
    }

    /// The error type in the key of the object that replaces this one.
    pub(super) fn error_type<'a>(&self, before: &'a FailedKey) -> &'a str {
        match &self.why {
            Why::Failed(failure) => failure.error_type.as_str(),
            Why::TimeOver | Why::FailedInSweeps(_) => &before.error_type,
        }
    }

    fn at(self, place: Place) -> Rest {
        Rest {
            event: self.event,
            why: self.why,
            place,
        }
    }
}
