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
    BOOKKEEPING_TIME, Ended, InvalidEvents, Left, Place, RedriveError, Redriven, Rest, Why,
};
use crate::hosts::reply::InvocationError;
use crate::hosts::turns::{About, Part, Round, Rounds, Service, Transient, Tried};
use crate::intake::MAX_EVENT_BYTES;
use crate::intake::redrive::Redrive;
use crate::model::event::Origin;
use crate::model::outcome::{ErrorType, Outcome, RedriveTally};
use crate::queue::QueueError;
use crate::queue::sqs::{Received, SqsQueue};
use crate::retry::{Deadline, Retrying, retry};
use crate::source::{ConsoleSource, Fleet};
use crate::store::{Entry, Store, StoreError, list_all};

/// Events tried at once. Their captures share ECS's quota with those of new events.
const AT_ONCE: usize = 4;
/// No event is begun with less time than this.
const LEAST_TIME: Duration = Duration::from_secs(2);
/// Part of an invocation's time to store what is left, and to answer.
const RESERVE: Duration = Duration::from_secs(5);
/// Longest object that is read. JSON text is at most twice as long in a JSON string. What is longer was
/// not JSON when it came, or is not of this program.
const MAX_OBJECT_BYTES: u64 = 2 * MAX_EVENT_BYTES as u64 + 1024;
/// Most bytes that are read at once, but for one object that is longer.
const MAX_BYTES_AT_ONCE: u64 = 1 << 20;
/// Time to read an event.
const READ_TIME: Duration = Duration::from_secs(6);
/// After so many events in a row that cannot be read, no other is tried: the cause is not one object.
const MAX_UNREADABLE: usize = 4;
/// When the process is about to end, what has begun gets so much time to end by itself. The server waits
/// 10 s for its answers.
const ENDING_TIME: Duration = Duration::from_secs(5);
/// For at least so long nobody else receives a message that this redrive has received, also where
/// its own time is shorter.
const INVISIBLE: Duration = Duration::from_secs(600);
/// Most bytes of messages that wait for others.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// An event of the archive that is to be tried.
struct Waiting {
    key: FailedKey,
    bytes: u64,
    /// Nothing until it is read.
    about: About,
}

/// A message of the queue that is to be tried.
struct Message {
    received: Received,
    about: About,
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
fn at_once(asked: &Redrive, done: &RedriveTally, round: Round) -> usize {
    if round == Round::Unanswered {
        return AT_ONCE; // They are counted already.
    }
    let tried = done.served + done.failed + done.given_up;
    let left = asked.max_events.saturating_sub(tried);
    usize::try_from(left).map_or(AT_ONCE, |left| left.min(AT_ONCE))
}

/// What became of one event of the archive.
enum Attempt {
    /// Of the whole event.
    Whole(Tried, About),
    /// Others come first.
    PutOff(About),
    /// The archive does not return the object. It stays.
    Unreadable(StoreError),
    /// Events for its parts replace it.
    Parted(Parted),
}

/// What became of the parts of an event.
#[derive(Default)]
struct Parted {
    tried: Vec<(Tried, BTreeSet<Service>)>,
    /// The event for what there was no time for.
    rest: Option<Waiting>,
    /// Whether a part of it is done, or was parted from it.
    is_smaller: bool,
}

impl From<Tried> for Attempt {
    fn from(tried: Tried) -> Self {
        Self::Whole(tried, About::default())
    }
}

/// Has a message wait for others. Returns whether there is room for it.
fn put_off(rounds: &mut Rounds<Message>, message: Message) -> bool {
    let waiting = rounds.put_off.iter().chain(&rounds.unanswered);
    let bytes: usize = waiting.map(|one| one.received.body.len()).sum();
    let has_room = bytes + message.received.body.len() <= MAX_WAITING_BYTES;
    if has_room {
        rounds.put_off.push_back(message);
    }
    has_room
}

/// Whether nothing of an event was begun, or only late. That says nothing about any service.
fn is_time_over(failure: &InvocationError) -> bool {
    failure.is_transient && failure.error_type == ErrorType::TimeoutTooShort
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
        let (mut part, mut rounds) = (Part::default(), Rounds::new(waiting));
        // The first is tried alone, so that no other is served if it cannot be removed.
        let mut is_first = true;
        let (mut unreadable, mut unreadable_in_row, mut has_read) = (None, 0, false);
        let before = asked.done;
        while self.may_begin(work) && !part.is_all_down() {
            let (round, waiting) = rounds.next();
            let most = if is_first { 1 } else { fitting(waiting) };
            let most = most.min(at_once(&asked, &part.after(&before), round));
            let most = most.min(waiting.len());
            let some: Vec<_> = waiting.drain(..most).collect();
            if some.is_empty() {
                break;
            }
            let part_before = &part;
            let tries = some.iter().map(|waiting| {
                self.try_again(waiting, round, part_before, &asked, continues, work)
            });
            let attempts = join_all(tries).await;
            for (waiting, attempt) in some.into_iter().zip(attempts) {
                let attempt = attempt?;
                match &attempt {
                    Attempt::Unreadable(error) if error.is_of_object() => {}
                    Attempt::Unreadable(_) => unreadable_in_row += 1,
                    _ => (unreadable_in_row, has_read) = (0, true),
                }
                match attempt {
                    Attempt::Unreadable(error) => {
                        part.count_unreadable(round);
                        unreadable = Some(error);
                    }
                    Attempt::Whole(tried, about) => {
                        if part.takes_turn(tried, &about.services, round) {
                            rounds.unanswered.push_back(Waiting { about, ..waiting });
                        }
                    }
                    Attempt::PutOff(about) => {
                        rounds.put_off.push_back(Waiting { about, ..waiting });
                    }
                    Attempt::Parted(parted) => {
                        if round == Round::Unanswered {
                            part.tries_again();
                        }
                        for (tried, services) in &parted.tried {
                            part.count(*tried, services);
                        }
                        // It got further, and so this ends. The others come first.
                        part.has_progressed |= parted.is_smaller;
                        rounds.first.extend(parted.rest);
                    }
                }
            }
            is_first = false;
            if unreadable_in_row >= MAX_UNREADABLE {
                break;
            }
        }
        if (unreadable_in_row >= MAX_UNREADABLE || !has_read)
            && let Some(error) = unreadable
        {
            return Err(error.into());
        }
        part.tally.left += rounds.untried();
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
    pub(super) fn may_begin(&self, work: Deadline) -> bool {
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
                about: About::default(),
            });
        }
        waiting
    }

    /// Serves one event of the archive again, and stores what became of it. `continues`: when an
    /// earlier invocation of the same redrive began.
    async fn try_again(
        &self,
        waiting: &Waiting,
        round: Round,
        part: &Part,
        asked: &Redrive,
        continues: Option<Timestamp>,
        deadline: Deadline,
    ) -> Result<Attempt, StoreError> {
        if part.is_hopeless(&waiting.about.services) {
            return Ok(Tried::Left.into());
        }
        let key = &waiting.key;
        let object_key = key.to_string();
        let after = Deadline::after(deadline.remaining() + BOOKKEEPING_TIME);
        let store = Retrying::new(&self.archiver.store, after);
        let url = self.archiver.store.url(&object_key);
        let reading = deadline.or_earlier(Deadline::after(READ_TIME));
        let reader = Retrying::new(&self.archiver.store, reading);
        let object = match reader.get(&object_key).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Tried::Skipped.into()),
            // It has grown since it was listed.
            Err(error @ StoreError::TooLarge { .. }) => {
                warn!("{error}");
                return Ok(Tried::Skipped.into());
            }
            Err(error) => {
                warn!("{url} cannot be read, and stays: {error}");
                return Ok(Attempt::Unreadable(error));
            }
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
        let about = About::of(&kept.event, kept.origin);
        if part.is_hopeless(&about.services) {
            return Ok(Tried::Left.into());
        }
        if round == Round::First && part.is_doubtful(&about.services) {
            return Ok(Attempt::PutOff(about));
        }
        let time = deadline.or_earlier(Deadline::after(about.time_in(round)));
        let serve = self.serve_again(&kept.event, kept.origin, InvalidEvents::Keep, time);
        let Some(served) = self.unless_ending(serve).await else {
            return Ok(Tried::Left.into());
        };
        self.settle(&store, key, &kept, about, served, asked).await
    }

    /// Stores what became of an event.
    async fn settle(
        &self,
        store: &impl Store,
        key: &FailedKey,
        kept: &KeptEvent,
        about: About,
        served: Result<Ended, RedriveError>,
        asked: &Redrive,
    ) -> Result<Attempt, StoreError> {
        let object_key = key.to_string();
        let (error_type, can_succeed) = match served {
            Ok(Ended::Whole(_)) => {
                self.remove(store, key).await?;
                return Ok(Attempt::Whole(Tried::Served, about));
            }
            Ok(Ended::Partly { left, .. }) => {
                let parted = self.replace(store, key, kept, left, asked).await?;
                return Ok(Attempt::Parted(parted));
            }
            Err(RedriveError::Failed(failure)) if is_time_over(&failure) => {
                return Ok(Tried::Left.into());
            }
            Err(RedriveError::Failed(failure))
                if failure.is_transient && !self.is_old(kept, asked) =>
            {
                let tried = Tried::Transient(Transient::from(&failure));
                return Ok(Attempt::Whole(tried, about));
            }
            Err(RedriveError::Failed(failure)) => (failure.error_type.to_string(), true),
            Err(RedriveError::Invalid(failure)) => (failure.error_type.to_string(), false),
            Err(RedriveError::Store(error)) => return Err(error),
            Err(error @ (RedriveError::Queue(_) | RedriveError::Damaged(_))) => {
                let url = self.archiver.store.url(&object_key);
                warn!("{url} stays: {error}");
                return Ok(Tried::Transient(Transient::OfAll).into());
            }
        };
        let tried = self.count_attempt(store, kept, &error_type, can_succeed, asked);
        let tried = tried.await?;
        if !matches!(tried, Tried::Stuck) {
            self.remove(store, key).await?;
        }
        Ok(Attempt::Whole(tried, about))
    }

    /// Stores an event for each part that is left, and then removes the event.
    async fn replace(
        &self,
        store: &impl Store,
        key: &FailedKey,
        kept: &KeptEvent,
        left: Vec<Left>,
        asked: &Redrive,
    ) -> Result<Parted, StoreError> {
        let (mut parted, mut is_same) = (Parted::default(), false);
        for left in left {
            let error_type = left.error_type(key);
            let part = KeptEvent {
                event: left.event.to_string(),
                ..kept.clone()
            };
            let about = About::of(&part.event, part.origin);
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
                parted.tried.push((tried, about.services));
                continue;
            }
            let Ok(rest) = kept.rest(&part.event, error_type) else {
                is_same = true;
                continue; // Not every text is JSON text, and this one was read from it.
            };
            let rest_key = rest.key.to_string();
            store.put_if_absent(&rest_key, &rest.object).await?;
            is_same |= rest.key == *key;
            if let Why::Failed(failure) = left.why {
                let tried = Tried::Transient(Transient::from(&failure));
                parted.tried.push((tried, about.services));
            } else {
                parted.rest = Some(Waiting {
                    bytes: rest.object.body.len() as u64,
                    key: rest.key,
                    about,
                });
            }
        }
        if !is_same {
            self.remove(store, key).await?;
            parted.is_smaller = true;
        }
        Ok(parted)
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
        let (mut rounds, mut is_empty) = (Rounds::new([]), false);
        while self.may_begin(work) && !part.is_all_down() {
            // What is received and not tried would count as an attempt.
            let most = at_once(asked, &part.after(&asked.done), Round::First);
            if most == 0 {
                break;
            }
            if !is_empty {
                let invisible = INVISIBLE.max(deadline.remaining() + BOOKKEEPING_TIME);
                let receive = || queue.receive_for(invisible, most);
                let mut received = retry(work, "ReceiveMessage", receive).await?;
                received.retain(|message| seen.insert(message.id.clone()));
                is_empty = received.is_empty();
                for received in received {
                    let about = About::of(&received.body, Origin::Invocation);
                    let is_late = received.receive_count > asked.max_attempts
                        || part.is_doubtful(&about.services);
                    let message = Message { received, about };
                    if part.is_hopeless(&message.about.services) {
                        part.tally.left += 1;
                    } else if !is_late {
                        rounds.first.push_back(message);
                    } else if !put_off(&mut rounds, message) {
                        part.tally.left += 1;
                    }
                }
            }
            let (round, waiting) = rounds.next();
            if round != Round::First && !is_empty {
                continue; // Others may be in the queue.
            }
            let some: Vec<_> = waiting.drain(..most.min(waiting.len())).collect();
            if some.is_empty() {
                break;
            }
            let part_before = &part;
            let tries = some
                .iter()
                .map(|message| self.try_message(queue, message, round, part_before, asked, work));
            let attempts = join_all(tries).await;
            for (message, attempt) in some.into_iter().zip(attempts) {
                let (tried, failed) = attempt?;
                let has_turn = part.takes_turn(tried, &message.about.services, round);
                // Messages for its parts have replaced one that got further.
                if has_turn && failed.is_empty() {
                    rounds.unanswered.push_back(message);
                }
                seen.extend(failed);
            }
        }
        part.tally.left += rounds.untried();
        let done = part.after(&asked.done);
        Ok(Outcome::Redriven { done, resume: None })
    }

    /// Serves one message of the queue again. Returns what became of it, and the messages for what failed
    /// of it, which this redrive does not try.
    async fn try_message(
        &self,
        queue: &SqsQueue,
        message: &Message,
        round: Round,
        part: &Part,
        asked: &Redrive,
        deadline: Deadline,
    ) -> Result<(Tried, Vec<String>), QueueError> {
        if part.is_hopeless(&message.about.services) {
            return Ok((Tried::Left, Vec::new()));
        }
        let time = deadline.or_earlier(Deadline::after(message.about.time_in(round)));
        let redrive = self.redrive_message(queue, &message.received, InvalidEvents::Keep, time);
        match self.unless_ending(redrive).await {
            Some(redriven) => self.settle_message(&message.received, redriven, asked),
            None => Ok((Tried::Left, Vec::new())),
        }
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
                let stuck = part.stuck().map(Transient::from);
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
                } else if let Some(transient) = stuck {
                    Tried::Transient(transient)
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
            Err(RedriveError::Failed(why)) if why.is_transient => {
                Tried::Transient(Transient::from(&why))
            }
            Err(error) if error.is_transient() => Tried::Transient(Transient::OfAll),
            Err(why) if is_last => give_up(&why.to_string()),
            Err(_) => Tried::Failed,
        };
        Ok((tried, failed))
    }
}
