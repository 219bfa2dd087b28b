//! Serves failed events again when a schedule asks for it, with bounds, so that an event that can
//! never succeed is not tried for ever.
//!
//! Of an event that fails again, the archive first gets an object that counts one attempt more, and
//! then loses the one before. So a process that is killed in between loses nothing, and two
//! redrives at once write the same object.
//!
//! If the archive refuses to lose an event, it gets a note about that. The next redrive removes what
//! notes name before it serves anything. So what cannot be removed is not served each time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tracing::{error, info, warn};

use crate::archive::key::{FAILED_PREFIX, FailedKey};
use crate::archive::record::{KeptEvent, not_removed};
use crate::capture::{self, CaptureError};
use crate::hosts::dispatch::Dispatcher;
use crate::hosts::redrive::{
    BOOKKEEPING_TIME, Ended, InvalidEvents, Left, RedriveError, Redriven, Rest, Why,
};
use crate::intake::redrive::Redrive;
use crate::model::outcome::{ErrorType, Outcome, RedriveTally};
use crate::queue::sqs::SqsQueue;
use crate::retry::{Deadline, Retrying, retry};
use crate::source::{ConsoleSource, Fleet};
use crate::store::{Store, StoreError, list_all};

/// Events tried at once. Their captures share ECS's quota with those of new events.
const AT_ONCE: usize = 4;
/// Time for one event. It is not followed for longer where there is no follow queue: what it was
/// about is over.
const EVENT_TIME: Duration = Duration::from_secs(20);
/// No event is begun with less time than this.
const LEAST_TIME: Duration = Duration::from_secs(2);
/// Part of an invocation's time to store what is left, and to answer.
const RESERVE: Duration = Duration::from_secs(5);
/// For at least so long nobody else receives a message that this redrive has received, also where
/// its own time is shorter.
const INVISIBLE: Duration = Duration::from_secs(600);
/// After so many failures of a kind that passes by itself, the redrive ends: a service does not
/// answer, and would not answer for the others either.
const MAX_TRANSIENT: u64 = 4;

/// What became of one event, or of a part of it.
enum Tried {
    Served,
    Failed,
    GivenUp,
    /// It failed in a way that passes by itself, and stays as it is.
    Transient,
    /// There was no time to try it.
    Left,
    /// Another redrive has removed it, or this one has tried it.
    Skipped,
}

/// What became of one event of the archive.
struct Attempt {
    /// Of each of its parts.
    tried: Vec<Tried>,
    /// The event for what there was no time for.
    rest: Option<FailedKey>,
}

impl From<Tried> for Attempt {
    fn from(tried: Tried) -> Self {
        Self {
            tried: vec![tried],
            rest: None,
        }
    }
}

/// What one invocation did.
#[derive(Default)]
struct Part {
    tally: RedriveTally,
    transient: u64,
    /// Whether an event was removed or replaced, so that less is left to do.
    has_progressed: bool,
}

impl Part {
    fn count(&mut self, tried: &Tried) {
        match tried {
            Tried::Served => self.tally.served += 1,
            Tried::Failed => self.tally.failed += 1,
            Tried::GivenUp => self.tally.given_up += 1,
            Tried::Transient => {
                self.tally.failed += 1;
                self.transient += 1;
            }
            Tried::Left => self.tally.left += 1,
            Tried::Skipped => {}
        }
    }

    fn tried(&self) -> u64 {
        self.tally.served + self.tally.failed + self.tally.given_up
    }

    /// With what earlier invocations did.
    fn after(&self, before: &RedriveTally) -> RedriveTally {
        RedriveTally {
            served: before.served.saturating_add(self.tally.served),
            failed: before.failed.saturating_add(self.tally.failed),
            given_up: before.given_up.saturating_add(self.tally.given_up),
            left: self.tally.left,
        }
    }
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Serves failed events again: those of the queue of failed events if it is set, else those of
    /// the archive.
    ///
    /// The future is boxed because an event is served by what calls this.
    ///
    /// # Errors
    /// [`CaptureError`] if the events cannot be listed, received, stored or removed. Then no other
    /// event is tried, so that a missing permission is told once.
    pub(super) fn redrive_failed(
        &self,
        asked: Redrive,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Outcome, CaptureError>> {
        async move {
            if deadline.earlier_by(RESERVE).remaining() < LEAST_TIME {
                return Err(CaptureError::TimeOver(deadline.whole()));
            }
            match &self.failed_queue {
                Some(queue) => self.redrive_queue(queue, &asked, deadline).await,
                None => self.redrive_archive(asked, deadline).await,
            }
        }
        .boxed()
    }

    async fn redrive_archive(
        &self,
        mut asked: Redrive,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let continues = asked.began_at;
        asked.began_at.get_or_insert(self.archiver.clock.now());
        let work = deadline.earlier_by(RESERVE);
        let entries = list_all(&Retrying::new(&self.archiver.store, work), FAILED_PREFIX).await?;
        let mut keys: Vec<_> = entries
            .iter()
            .filter_map(|entry| FailedKey::parse(&entry.key))
            .filter(|key| !key.is_given_up)
            .collect();
        for key in entries.iter().filter_map(|e| FailedKey::of_note(&e.key)) {
            self.remove_noted(&key, work).await?;
            keys.retain(|other| *other != key);
        }
        // Otherwise the same events would be tried first each time, and those behind them never if
        // these take all the time.
        fastrand::shuffle(&mut keys);
        let (mut part, mut keys) = (Part::default(), VecDeque::from(keys));
        // The first is tried alone, so that no other is served if it cannot be removed.
        let mut at_once = 1;
        let before = asked.done;
        let may_try = |part: &Part| {
            let tried = part.after(&before);
            let tried = tried.served + tried.failed + tried.given_up;
            work.remaining() >= LEAST_TIME
                && part.transient < MAX_TRANSIENT
                && tried < asked.max_events
        };
        while may_try(&part) && !keys.is_empty() {
            let some: Vec<_> = keys.drain(..keys.len().min(at_once)).collect();
            let tries = some
                .iter()
                .map(|key| self.try_again(key, &asked, continues, work));
            for attempt in join_all(tries).await {
                let Attempt { tried, rest } = attempt?;
                tried.iter().for_each(|tried| part.count(tried));
                // It got further, and so this ends. The others come first.
                part.has_progressed |= rest.is_some();
                keys.extend(rest);
            }
            at_once = AT_ONCE;
        }
        part.tally.left += keys.len() as u64;
        let done = part.after(&before);
        let is_cut_short = work.remaining() < LEAST_TIME;
        if is_cut_short && part.tried() == 0 && !part.has_progressed && part.tally.left > 0 {
            return Err(CaptureError::TimeOver(deadline.whole()));
        }
        let resume = match &self.archiver.follow_queue {
            Some(queue) if is_cut_short && part.tally.left > 0 => {
                asked.done = done;
                let event = json!({ "redrive": asked });
                capture::send(queue.as_ref(), &event, Duration::ZERO, deadline).await?;
                Some(event)
            }
            _ => None,
        };
        Ok(Outcome::Redriven { done, resume })
    }

    /// Removes a failed event that is done, or has been replaced. If the archive refuses that, it gets a
    /// note for the next redrive.
    async fn remove(&self, store: &impl Store, key: &FailedKey) -> Result<(), StoreError> {
        let Err(refused) = store.delete(&key.to_string()).await else {
            return Ok(());
        };
        if !refused.is_transient() {
            store.put_if_absent(&key.note(), &not_removed(key)).await?;
        }
        Err(refused)
    }

    /// Removes an event that an earlier redrive could not remove, and then the note about it.
    async fn remove_noted(&self, key: &FailedKey, deadline: Deadline) -> Result<(), StoreError> {
        let store = Retrying::new(&self.archiver.store, deadline);
        if let Err(error) = store.delete(&key.to_string()).await {
            let url = self.archiver.store.url(&key.to_string());
            warn!("{url} was served and cannot be removed, so nothing else is served: {error}");
            return Err(error);
        }
        store.delete(&key.note()).await
    }

    /// Serves one event of the archive again, and stores what became of it. `continues`: when an
    /// earlier invocation of the same redrive began.
    async fn try_again(
        &self,
        key: &FailedKey,
        asked: &Redrive,
        continues: Option<Timestamp>,
        deadline: Deadline,
    ) -> Result<Attempt, StoreError> {
        let object_key = key.to_string();
        let after = Deadline::after(deadline.remaining() + BOOKKEEPING_TIME);
        let store = Retrying::new(&self.archiver.store, after);
        let Some(object) = store.get(&object_key).await? else {
            return Ok(Tried::Skipped.into());
        };
        let url = self.archiver.store.url(&object_key);
        let Ok(kept) = KeptEvent::read(&object) else {
            warn!("{url} is not a failed event of this program");
            return Ok(Tried::Skipped.into());
        };
        // This program's clock wrote both, in whole seconds.
        if let (Some(began_at), Some(tried_at)) = (continues, kept.tried_at)
            && tried_at.as_second() >= began_at.as_second()
        {
            return Ok(Tried::Skipped.into());
        }
        let time = deadline.or_earlier(Deadline::after(EVENT_TIME));
        let served = self
            .serve_again(&kept.event, kept.origin, InvalidEvents::Keep, time)
            .await;
        let (error_type, can_succeed) = match served {
            Ok(Ended::Whole(_)) => {
                self.remove(&store, key).await?;
                return Ok(Tried::Served.into());
            }
            Ok(Ended::Partly { left, .. }) => {
                return self.replace(&store, key, &kept, left, asked).await;
            }
            Err(RedriveError::Failed(failure))
                if failure.is_transient && !self.is_old(&kept, asked) =>
            {
                // Nothing in it was begun, or late: that says nothing about any service.
                return Ok(match failure.error_type {
                    ErrorType::TimeoutTooShort => Tried::Left.into(),
                    _ => Tried::Transient.into(),
                });
            }
            Err(RedriveError::Failed(failure)) => (failure.error_type.to_string(), true),
            Err(RedriveError::Invalid(failure)) => (failure.error_type.to_string(), false),
            Err(RedriveError::Store(error)) => return Err(error),
            Err(error @ (RedriveError::Queue(_) | RedriveError::Damaged(_))) => {
                warn!("{url} stays: {error}");
                return Ok(Tried::Transient.into());
            }
        };
        let tried = self.count_attempt(&store, &kept, &error_type, can_succeed, asked);
        let tried = tried.await?;
        self.remove(&store, key).await?;
        Ok(tried.into())
    }

    /// Stores an event for each part that is left, and then removes the event.
    async fn replace(
        &self,
        store: &impl Store,
        key: &FailedKey,
        kept: &KeptEvent,
        left: Vec<Left>,
        asked: &Redrive,
    ) -> Result<Attempt, StoreError> {
        let (mut attempt, mut is_same) = (Attempt::from(Tried::Skipped), false);
        for left in left {
            let error_type = left.error_type(key);
            let part = KeptEvent {
                event: left.event.to_string(),
                ..kept.clone()
            };
            let (is_transient, can_succeed) = match &left.why {
                Why::TimeOver => (true, true),
                Why::Failed(failure) => (
                    failure.is_transient && !self.is_old(kept, asked),
                    failure.error_type != ErrorType::InvalidEvent,
                ),
                Why::FailedInSweeps(_) => (false, true),
            };
            if !is_transient {
                let tried = self.count_attempt(store, &part, error_type, can_succeed, asked);
                attempt.tried.push(tried.await?);
                continue;
            }
            let Ok(rest) = kept.rest(&part.event, error_type) else {
                continue; // Not every text is JSON text, and this one was read from it.
            };
            let rest_key = rest.key.to_string();
            store.put_if_absent(&rest_key, &rest.object).await?;
            is_same |= rest.key == *key;
            match left.why {
                Why::TimeOver => attempt.rest = Some(rest.key),
                _ => attempt.tried.push(Tried::Transient),
            }
        }
        if !is_same {
            self.remove(store, key).await?;
        }
        Ok(attempt)
    }

    /// Stores an event that failed again, with one attempt more. The caller removes the one before.
    async fn count_attempt(
        &self,
        store: &impl Store,
        kept: &KeptEvent,
        error_type: &str,
        can_succeed: bool,
        asked: &Redrive,
    ) -> Result<Tried, StoreError> {
        let attempts = kept.attempts.saturating_add(1);
        let is_given_up =
            !can_succeed || attempts >= asked.max_attempts || self.is_old(kept, asked);
        let replaced = kept.after_attempt(error_type, self.archiver.clock.now(), is_given_up);
        let Ok(replaced) = replaced else {
            return Ok(Tried::Failed); // Not every text is JSON text, and this one was read from it.
        };
        let new_key = replaced.key.to_string();
        store.put_if_absent(&new_key, &replaced.object).await?;
        let url = self.archiver.store.url(&new_key);
        if is_given_up {
            error!(
                attempts,
                error_type, "given up: {url}; console-archive redrive serves it again"
            );
            return Ok(Tried::GivenUp);
        }
        info!(attempts, error_type, "failed again: {url}");
        Ok(Tried::Failed)
    }

    /// Whether an event failed first so long ago that it is not tried for longer.
    fn is_old(&self, kept: &KeptEvent, asked: &Redrive) -> bool {
        let most = SignedDuration::from_hours(24 * i64::from(asked.max_age_days));
        let age = |at| self.archiver.clock.now().duration_since(at);
        kept.failed_at.is_some_and(|at| age(at) > most)
    }

    /// The queue itself counts how often a message was received, and removes it after its retention.
    /// The next redrive goes on where the time was over, because until then the messages that failed
    /// are invisible.
    async fn redrive_queue(
        &self,
        queue: &SqsQueue,
        asked: &Redrive,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let work = deadline.earlier_by(RESERVE);
        let (mut part, mut seen) = (Part::default(), BTreeSet::new());
        let may_try = |part: &Part| {
            work.remaining() >= LEAST_TIME
                && part.transient < MAX_TRANSIENT
                && part.tried() < asked.max_events
        };
        while may_try(&part) {
            let invisible = INVISIBLE.max(deadline.remaining() + BOOKKEEPING_TIME);
            let receive = || queue.receive_for(invisible);
            let mut received = retry(work, "ReceiveMessage", receive).await?;
            received.retain(|message| seen.insert(message.id.clone()));
            if received.is_empty() {
                break;
            }
            let (given_up, received): (Vec<_>, Vec<_>) = received
                .into_iter()
                .partition(|message| message.receive_count > asked.max_attempts);
            part.tally.given_up += given_up.len() as u64;
            let mut tries = received.chunks(AT_ONCE);
            while may_try(&part)
                && let Some(some) = tries.next()
            {
                let redrive = some.iter().map(|message| {
                    let time = work.or_earlier(Deadline::after(EVENT_TIME));
                    self.redrive_message(queue, message, InvalidEvents::Keep, time)
                });
                for redriven in join_all(redrive).await {
                    let tried = match redriven {
                        Ok(Redriven::Left(part)) if part.is_stuck() => Tried::Transient,
                        Ok(Redriven::Left(part)) => {
                            let is_left = |rest: &Rest| matches!(rest.why, Why::TimeOver);
                            if part.rests.iter().all(is_left) {
                                Tried::Left
                            } else {
                                Tried::Failed
                            }
                        }
                        Ok(_) => Tried::Served,
                        Err(RedriveError::Queue(error)) => return Err(error.into()),
                        Err(RedriveError::Invalid(_)) => Tried::GivenUp,
                        Err(error) if error.is_transient() => Tried::Transient,
                        Err(_) => Tried::Failed,
                    };
                    part.count(&tried);
                }
            }
            part.tally.left += tries.flatten().count() as u64;
        }
        let done = part.after(&asked.done);
        Ok(Outcome::Redriven { done, resume: None })
    }
}
