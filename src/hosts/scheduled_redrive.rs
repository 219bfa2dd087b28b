//! Serves failed events again when a schedule asks for it, with bounds, so that an event that can
//! never succeed is not tried for ever.
//!
//! Of an event that fails again, the archive first gets an object that counts one attempt more, and
//! then loses the one before. So a process that is killed in between loses nothing, and two
//! redrives at once write the same object.
//!
//! If the archive refuses to lose an event, it gets a note about that. The next redrive removes what
//! notes name before it serves anything. So what cannot be removed is not served each time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    BOOKKEEPING_TIME, Ended, InvalidEvents, Left, Place, RedriveError, Redriven, Rest, Why,
};
use crate::hosts::reply::InvocationError;
use crate::intake::MAX_EVENT_BYTES;
use crate::intake::delivery::Delivery;
use crate::intake::event::Request;
use crate::intake::redrive::Redrive;
use crate::model::event::Origin;
use crate::model::ids::{AccountId, RegionId};
use crate::model::outcome::{ErrorType, Outcome, RedriveTally};
use crate::queue::QueueError;
use crate::queue::sqs::{Received, SqsQueue};
use crate::retry::{Deadline, Retrying, retry};
use crate::source::{ConsoleSource, Fleet};
use crate::store::{Entry, Store, StoreError, list_all};

/// Events tried at once. Their captures share ECS's quota with those of new events.
const AT_ONCE: usize = 4;
/// Time for one event. It is not followed for longer where there is no follow queue: what it was
/// about is over.
const EVENT_TIME: Duration = Duration::from_secs(20);
/// No event is begun with less time than this.
const LEAST_TIME: Duration = Duration::from_secs(2);
/// Part of an invocation's time to store what is left, and to answer.
const RESERVE: Duration = Duration::from_secs(5);
/// Longest object that is read. JSON text is at most twice as long in a JSON string. What is longer was
/// not JSON when it came, or is not of this program.
const MAX_OBJECT_BYTES: u64 = 2 * MAX_EVENT_BYTES as u64 + 1024;
/// Most bytes that are read at once, but for one object that is longer.
const MAX_BYTES_AT_ONCE: u64 = 1 << 20;
/// When the process is about to end, what has begun gets so much time to end by itself. The server waits
/// 10 s for its answers.
const ENDING_TIME: Duration = Duration::from_secs(5);
/// For at least so long nobody else receives a message that this redrive has received, also where
/// its own time is shorter.
const INVISIBLE: Duration = Duration::from_secs(600);
/// After so many failures in a row of a kind that passes by itself, in one region and account, the
/// redrive tries no other event of them: ECS does not answer there, and would not answer for the others
/// either.
const MAX_TRANSIENT: u64 = 4;

/// An event of the archive that is to be tried.
struct Waiting {
    key: FailedKey,
    bytes: u64,
}

/// How many of the first are tried at once.
fn fitting(waiting: &VecDeque<Waiting>) -> usize {
    let mut bytes: u64 = 0;
    let fits = |one: &&Waiting| {
        bytes = bytes.saturating_add(one.bytes);
        bytes <= MAX_BYTES_AT_ONCE
    };
    let fitting = waiting.iter().take(AT_ONCE).take_while(fits).count();
    fitting.max(1).min(waiting.len())
}

/// How many events may be tried at once, after these.
fn at_once(asked: &Redrive, done: &RedriveTally) -> usize {
    let tried = done.served + done.failed + done.given_up;
    let left = asked.max_events.saturating_sub(tried);
    usize::try_from(left).map_or(AT_ONCE, |left| left.min(AT_ONCE))
}

/// What became of one event, or of a part of it.
enum Tried {
    Served,
    Failed,
    GivenUp,
    /// It failed in a way that passes by itself, and stays as it is.
    Transient,
    /// The archive has no place for what is to replace it. It stays as it is.
    Stuck,
    /// There was no time to try it.
    Left,
    /// Another redrive has removed it, or this one has tried it.
    Skipped,
}

/// What became of one event of the archive.
#[derive(Default)]
struct Attempt {
    /// Of each of its parts.
    tried: Vec<Tried>,
    /// What answers for it.
    services: BTreeSet<Service>,
    /// The event for what there was no time for.
    rest: Option<Waiting>,
    /// Whether a part of it is done, or was parted from it.
    is_smaller: bool,
}

impl From<Tried> for Attempt {
    fn from(tried: Tried) -> Self {
        Self {
            tried: vec![tried],
            ..Self::default()
        }
    }
}

/// What answers for an event: a region, with the account that owns the instance. Without either, the
/// defaults of this function.
type Service = (Option<RegionId>, Option<AccountId>);

/// The services that answer for an event.
fn services(event: &str, origin: Origin) -> BTreeSet<Service> {
    let mut services = BTreeSet::new();
    let messages = Delivery::of_replay(event, origin).messages.into_iter();
    for request in messages.flat_map(|message| message.requests).flatten() {
        match request {
            Request::Instance(event) => services.extend([(event.region_id, event.account_id)]),
            Request::Follow(message) => {
                let event = message.follow.event;
                services.extend([(event.region_id, event.account_id)]);
            }
            Request::Sweep(_) | Request::Redrive(_) | Request::Doctor(_) | Request::Other(_) => {}
        }
    }
    services
}

/// Whether nothing of an event was begun, or only late. That says nothing about any service.
fn is_time_over(failure: &InvocationError) -> bool {
    failure.is_transient && failure.error_type == ErrorType::TimeoutTooShort
}

/// What became of one message of the queue.
struct TriedMessage {
    tried: Tried,
    services: BTreeSet<Service>,
    /// The messages for what failed of it, which this redrive does not try.
    failed: Vec<String>,
}

/// What one invocation did.
#[derive(Default)]
struct Part {
    tally: RedriveTally,
    /// Failures in a row of a kind that passes by itself.
    transient: BTreeMap<Service, u64>,
    /// All of these.
    transient_failures: u64,
    /// Whether an event was removed or replaced, so that less is left to do.
    has_progressed: bool,
}

impl Part {
    fn count(&mut self, tried: &Tried, services: &BTreeSet<Service>) {
        match tried {
            Tried::Served => self.tally.served += 1,
            Tried::Failed | Tried::Stuck => self.tally.failed += 1,
            Tried::GivenUp => self.tally.given_up += 1,
            Tried::Transient => {
                self.tally.failed += 1;
                self.transient_failures += 1;
                for service in services {
                    *self.transient.entry(service.clone()).or_default() += 1;
                }
            }
            Tried::Left => self.tally.left += 1,
            Tried::Skipped => {}
        }
        if matches!(tried, Tried::Served | Tried::Failed | Tried::GivenUp) {
            self.has_progressed = true;
            self.transient.retain(|one, _| !services.contains(one));
        }
    }

    /// The same without the events that this invocation left as they are: the next one tries them
    /// again, and counts them then.
    fn without_transient(&self, before: &RedriveTally) -> RedriveTally {
        let done = self.after(before);
        RedriveTally {
            failed: done.failed.saturating_sub(self.transient_failures),
            left: done.left.saturating_add(self.transient_failures),
            ..done
        }
    }

    /// Whether no service of an event answers.
    fn is_hopeless(&self, services: &BTreeSet<Service>) -> bool {
        let transient = |one| self.transient.get(one).copied().unwrap_or_default();
        let is_down = |one| transient(one) >= MAX_TRANSIENT;
        !services.is_empty() && services.iter().all(is_down)
    }

    fn has_done_nothing(&self) -> bool {
        let RedriveTally {
            served,
            failed,
            given_up,
            left: _,
        } = self.tally;
        served + failed + given_up == 0 && !self.has_progressed
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
        let mut waiting = self.waiting(&entries);
        for key in entries.iter().filter_map(|e| FailedKey::of_note(&e.key)) {
            self.remove_noted(&key, work).await?;
            waiting.retain(|other| other.key != key);
        }
        // Otherwise the same events would be tried first each time, and those behind them never if
        // these take all the time.
        fastrand::shuffle(&mut waiting);
        let (mut part, mut waiting) = (Part::default(), VecDeque::from(waiting));
        // The first is tried alone, so that no other is served if it cannot be removed.
        let mut is_first = true;
        let before = asked.done;
        while self.may_begin(work) {
            let most = if is_first { 1 } else { fitting(&waiting) };
            let most = most.min(at_once(&asked, &part.after(&before)));
            let most = most.min(waiting.len());
            let some: Vec<_> = waiting.drain(..most).collect();
            if some.is_empty() {
                break;
            }
            let tries = some
                .iter()
                .map(|Waiting { key, .. }| self.try_again(key, &part, &asked, continues, work));
            for attempt in join_all(tries).await {
                let Attempt {
                    tried,
                    services,
                    rest,
                    is_smaller,
                } = attempt?;
                tried.iter().for_each(|tried| part.count(tried, &services));
                // It got further, and so this ends. The others come first.
                part.has_progressed |= is_smaller;
                waiting.extend(rest);
            }
            is_first = false;
        }
        part.tally.left += waiting.len() as u64;
        let done = part.after(&before);
        let is_cut_short = !self.may_begin(work) && part.tally.left > 0;
        if work.remaining() < LEAST_TIME && is_cut_short && part.has_done_nothing() {
            return Err(CaptureError::TimeOver(deadline.whole()));
        }
        let resume = match &self.archiver.follow_queue {
            // Without progress, the next invocation would get no further. So each one leaves less.
            Some(queue) if is_cut_short && part.has_progressed => {
                asked.done = part.without_transient(&before);
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

    /// Whether there is time for another event. There is none when the process is about to end.
    fn may_begin(&self, work: Deadline) -> bool {
        work.remaining() >= LEAST_TIME && !self.archiver.ending.is_cancelled()
    }

    /// Does this, unless the process is about to end and it takes too long. It may be dropped anywhere:
    /// an event is removed last.
    async fn unless_ending<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let ending = async {
            self.archiver.ending.cancelled().await;
            tokio::time::sleep(ENDING_TIME).await;
        };
        tokio::select! {
            done = work => Some(done),
            () = ending => None,
        }
    }

    /// The events in a listing that may be tried.
    fn waiting(&self, entries: &[Entry]) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for Entry { key, bytes, .. } in entries {
            let Some(parsed) = FailedKey::parse(key).filter(|key| !key.is_given_up) else {
                continue;
            };
            if *bytes > MAX_OBJECT_BYTES {
                let url = self.archiver.store.url(key);
                warn!("{url} is too large to be an event: it has {bytes} bytes");
                continue;
            }
            waiting.push(Waiting {
                key: parsed,
                bytes: *bytes,
            });
        }
        waiting
    }

    /// Serves one event of the archive again, and stores what became of it. `continues`: when an
    /// earlier invocation of the same redrive began.
    async fn try_again(
        &self,
        key: &FailedKey,
        part: &Part,
        asked: &Redrive,
        continues: Option<Timestamp>,
        deadline: Deadline,
    ) -> Result<Attempt, StoreError> {
        let object_key = key.to_string();
        let after = Deadline::after(deadline.remaining() + BOOKKEEPING_TIME);
        let store = Retrying::new(&self.archiver.store, after);
        let url = self.archiver.store.url(&object_key);
        let object = match store.get(&object_key).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Tried::Skipped.into()),
            // It has grown since it was listed.
            Err(error @ StoreError::TooLarge { .. }) => {
                warn!("{error}");
                return Ok(Tried::Skipped.into());
            }
            Err(error) => return Err(error),
        };
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
        let services = services(&kept.event, kept.origin);
        if part.is_hopeless(&services) {
            return Ok(Tried::Left.into());
        }
        let time = deadline.or_earlier(Deadline::after(EVENT_TIME));
        let serve = self.serve_again(&kept.event, kept.origin, InvalidEvents::Keep, time);
        let Some(served) = self.unless_ending(serve).await else {
            return Ok(Tried::Left.into());
        };
        let attempt = self.settle(&store, key, &kept, served, asked).await?;
        Ok(Attempt {
            services,
            ..attempt
        })
    }

    /// Stores what became of an event.
    async fn settle(
        &self,
        store: &impl Store,
        key: &FailedKey,
        kept: &KeptEvent,
        served: Result<Ended, RedriveError>,
        asked: &Redrive,
    ) -> Result<Attempt, StoreError> {
        let object_key = key.to_string();
        let (error_type, can_succeed) = match served {
            Ok(Ended::Whole(_)) => {
                self.remove(store, key).await?;
                return Ok(Tried::Served.into());
            }
            Ok(Ended::Partly { left, .. }) => {
                return self.replace(store, key, kept, left, asked).await;
            }
            Err(RedriveError::Failed(failure)) if is_time_over(&failure) => {
                return Ok(Tried::Left.into());
            }
            Err(RedriveError::Failed(failure))
                if failure.is_transient && !self.is_old(kept, asked) =>
            {
                return Ok(Tried::Transient.into());
            }
            Err(RedriveError::Failed(failure)) => (failure.error_type.to_string(), true),
            Err(RedriveError::Invalid(failure)) => (failure.error_type.to_string(), false),
            Err(RedriveError::Store(error)) => return Err(error),
            Err(error @ (RedriveError::Queue(_) | RedriveError::Damaged(_))) => {
                let url = self.archiver.store.url(&object_key);
                warn!("{url} stays: {error}");
                return Ok(Tried::Transient.into());
            }
        };
        let tried = self.count_attempt(store, kept, &error_type, can_succeed, asked);
        let tried = tried.await?;
        if !matches!(tried, Tried::Stuck) {
            self.remove(store, key).await?;
        }
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
                let tried = tried.await?;
                is_same |= matches!(tried, Tried::Stuck);
                attempt.tried.push(tried);
                continue;
            }
            let Ok(rest) = kept.rest(&part.event, error_type) else {
                is_same = true;
                continue; // Not every text is JSON text, and this one was read from it.
            };
            let rest_key = rest.key.to_string();
            store.put_if_absent(&rest_key, &rest.object).await?;
            is_same |= rest.key == *key;
            match left.why {
                Why::TimeOver => {
                    attempt.rest = Some(Waiting {
                        bytes: rest.object.body.len() as u64,
                        key: rest.key,
                    });
                }
                _ => attempt.tried.push(Tried::Transient),
            }
        }
        if !is_same {
            self.remove(store, key).await?;
            attempt.is_smaller = true;
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
            return Ok(Tried::Stuck); // Not every text is JSON text, and this one was read from it.
        };
        let new_key = replaced.key.to_string();
        let url = self.archiver.store.url(&new_key);
        match store.put_if_absent(&new_key, &replaced.object).await {
            // A link, say, in place of the folder. That holds up no other event.
            Err(StoreError::Rejected(refusal)) if is_given_up => {
                error!(attempts, error_type, "cannot be given up: {url}: {refusal}");
                return Ok(Tried::Stuck);
            }
            stored => stored?,
        };
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

    /// The queue itself counts how often a message was received, also when a service did not answer. So
    /// what was received too often is tried last, and only a failure of another kind gives it up. The
    /// queue removes it after its retention.
    ///
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
        let (mut last, mut is_empty) = (VecDeque::new(), false);
        while self.may_begin(work) {
            // What is received and not tried would count as an attempt.
            let most = at_once(asked, &part.after(&asked.done));
            if most == 0 {
                break;
            }
            let some: Vec<Received> = if is_empty {
                last.drain(..most.min(last.len())).collect()
            } else {
                let invisible = INVISIBLE.max(deadline.remaining() + BOOKKEEPING_TIME);
                let receive = || queue.receive_for(invisible, most);
                let mut received = retry(work, "ReceiveMessage", receive).await?;
                received.retain(|message| seen.insert(message.id.clone()));
                is_empty = received.is_empty();
                let (often, others) = received
                    .into_iter()
                    .partition(|message| message.receive_count > asked.max_attempts);
                last.extend::<Vec<_>>(often);
                others
            };
            if some.is_empty() && is_empty && last.is_empty() {
                break;
            }
            let tries = some
                .iter()
                .map(|message| self.try_message(queue, message, &part, asked, work));
            for attempt in join_all(tries).await {
                let TriedMessage {
                    tried,
                    services,
                    failed,
                } = attempt?;
                part.count(&tried, &services);
                seen.extend(failed);
            }
        }
        part.tally.left += last.len() as u64;
        let done = part.after(&asked.done);
        Ok(Outcome::Redriven { done, resume: None })
    }

    /// Serves one message of the queue again.
    async fn try_message(
        &self,
        queue: &SqsQueue,
        message: &Received,
        part: &Part,
        asked: &Redrive,
        deadline: Deadline,
    ) -> Result<TriedMessage, QueueError> {
        let services = services(&message.body, Origin::Invocation);
        let (mut tried, mut failed) = (Tried::Left, Vec::new());
        if !part.is_hopeless(&services) {
            let time = deadline.or_earlier(Deadline::after(EVENT_TIME));
            let redrive = self.redrive_message(queue, message, InvalidEvents::Keep, time);
            if let Some(redriven) = self.unless_ending(redrive).await {
                (tried, failed) = self.settle_message(message, redriven, asked)?;
            }
        }
        Ok(TriedMessage {
            tried,
            services,
            failed,
        })
    }

    /// What became of a message, and the messages for what failed of it.
    fn settle_message(
        &self,
        message: &Received,
        redriven: Result<Redriven, RedriveError>,
        asked: &Redrive,
    ) -> Result<(Tried, Vec<String>), QueueError> {
        let Received {
            id, receive_count, ..
        } = message;
        let give_up = |why: &str| {
            error!(
                receive_count,
                "given up: message {id} of FAILED_QUEUE_URL: {why}; console-archive redrive \
                 --queue-url serves it again"
            );
            Tried::GivenUp
        };
        let is_last = *receive_count >= asked.max_attempts;
        let mut failed = Vec::new();
        let tried = match redriven {
            Ok(Redriven::Left(part)) => {
                let is_stuck = part.is_stuck();
                let (mut is_left, mut stays) = (true, false);
                for Rest { why, place, .. } in part.rests {
                    if matches!(why, Why::TimeOver) {
                        continue;
                    }
                    is_left = false;
                    match place {
                        Place::Message(id) => failed.push(id),
                        Place::Same | Place::Key(_) => stays = true,
                    }
                }
                if is_left {
                    Tried::Left
                } else if is_stuck {
                    Tried::Transient
                } else if stays && is_last {
                    give_up("instances or regions of its sweep failed")
                } else {
                    Tried::Failed
                }
            }
            Ok(_) => Tried::Served,
            Err(RedriveError::Queue(error)) => return Err(error),
            Err(RedriveError::Invalid(why)) => give_up(&why.message),
            Err(RedriveError::Failed(why)) if is_time_over(&why) => Tried::Left,
            Err(error) if error.is_transient() => Tried::Transient,
            Err(why) if is_last => give_up(&why.to_string()),
            Err(_) => Tried::Failed,
        };
        Ok((tried, failed))
    }
}
