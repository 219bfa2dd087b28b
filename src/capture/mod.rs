//! The use case: one event in, one [`Outcome`] out. Start reading here.

mod idle; // work for the time in which a service is waited for
pub mod follow; // what ECS returned so far, and when to ask again (pure)
pub mod memory; // what a process remembers from one invocation to the next
pub mod room; // how much may be followed in memory
mod screenshots; // a picture of the screen beside it
pub mod sweep; // the same for every instance of whole regions
pub mod told; // what the log and metrics are told of a console (pure)

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::archive::catalog::Row;
use crate::archive::catalog::compact::CompactError;
use crate::archive::key::{ConsoleDigest, RecordKey};
use crate::archive::record::{Marker, Record, Verdict};
use crate::capture::follow::{Absent, Change, Follow, FollowMessage, Judged, Keeping, Kept, Plan};
use crate::capture::idle::meanwhile;
use crate::capture::memory::Memory;
use crate::capture::room::{Place, Room};
use crate::capture::sweep::NoProgress;
use crate::capture::told::{Fact, Tell, Told};
use crate::clock::WallClock;
use crate::credentials::{CredentialsError, Owner};
use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::event::{Cause, InstanceEvent};
use crate::model::finding::Finding;
use crate::model::freshness::Freshness;
use crate::model::ids::RegionId;
use crate::model::outcome::{ErrorType, Outcome, Stored, StoredRecord};
use crate::model::screenshot::Screenshots;
use crate::model::update_time::{UpdateTime, UpdatedAt};
use crate::notify::notice::{Captured, Sighting};
use crate::notify::{self, Notifier};
use crate::queue::{Queue, QueueError};
use crate::reading::ending::boot_facts;
use crate::reading::findings::{self, Rules, secrets};
use crate::retry::{self, Deadline, RetryAdvice, Retryable as _, Retrying, retry};
use crate::source::ecs::response::EcsError;
use crate::source::{ConsoleSource, Fleet};
use crate::store::{Store, StoreError};

/// Time for a capture whose sender waits for an HTTP answer. Senders wait 2 s or more, CloudMonitor
/// 5 s. An event that is not captured by then goes to the follow queue, or the answer asks the
/// sender to send it again.
pub(crate) const HTTP_CAPTURE_TIME: Duration = Duration::from_millis(1500);

/// By then an HTTP request is answered, whatever it holds and whoever does not answer. What is
/// neither captured nor in the queue is told as a failure that the sender sends again.
pub(crate) const HTTP_ANSWER_TIME: Duration = Duration::from_millis(1900);

/// Part of an invocation's time that the last poll and the storing of its console need.
const POLL_RESERVE: Duration = Duration::from_secs(5);

/// Delay before the follow queue brings back an event that could not be captured at once.
const DEFER_PAUSE: Duration = Duration::from_secs(5);

/// Part of an invocation's time for storing consoles in memory and failed events, in case ECS never
/// answers.
const KEEP_RESERVE: Duration = Duration::from_secs(2);

/// A message that comes earlier than this before it is due shows that the queue does not honour delays.
/// Clocks of machines differ by less.
const EARLY: Duration = Duration::from_secs(5);

/// A console that a sweep finds stored already gets a row only if ECS updated it within this time: after it,
/// an earlier sweep has most likely written one. [`reindex`](crate::archive::catalog::reindex) writes the others.
const SWEPT_IS_NEW: SignedDuration = SignedDuration::from_hours(48);

/// Captures consoles: it asks a source and writes to a store.
#[derive(Debug, Clone)]
pub struct Archiver<C, S> {
    /// Where consoles come from.
    pub source: C,
    /// Where they are stored.
    pub store: S,
    /// Whether each record and marker gets a row in the catalog.
    pub has_catalog: bool,
    /// Whether secrets of a console are masked before anything is made of it: its digest and its key, too.
    pub masks_secrets: bool,
    /// Which screenshots are taken.
    pub screenshots: Screenshots,
    /// Region for events that name none.
    pub default_region: Option<RegionId>,
    /// How long a console is followed after its event. Zero: store what ECS has now, and stop.
    pub follow_budget: Duration,
    /// Brings an event back later to follow it further. Without a queue the process itself waits.
    pub follow_queue: Option<Arc<dyn Queue>>,
    /// Cancelled when the process is about to end and cannot follow any longer. Each followed event
    /// then stores what it has, and ends.
    pub ending: CancellationToken,
    /// For consoles that are only in memory. One without a place there is stored at once.
    pub room: Room,
    /// What this process has stored and served just before.
    pub memory: Memory,
    /// Tells whoever watches what a console shows, and whether its boot came to its login prompt.
    pub tell: Tell,
    /// Tells people of findings, where that is set.
    pub notifier: Option<Notifier>,
    /// The time of day. Following is timed by it.
    pub clock: WallClock,
}

/// What became of an event so far.
#[derive(Debug)]
pub enum Progress {
    /// It has ended.
    Done(Outcome),
    /// What ECS had is stored, and this process asks for the console again.
    Following(Box<Following>),
}

/// An event between two polls. Only [`Archiver::finish`] ends it without losing a console.
#[derive(Debug)]
pub struct Following {
    follow: Follow,
    /// The latest console, if it extends what is stored.
    held: Option<PendingConsole>,
    /// Times the event while this process follows it.
    clock: WallClock,
    next: Next,
}

/// What an event does next.
#[derive(Debug)]
enum Next {
    /// It asks for the console again after this pause.
    Poll(Duration),
    /// It is a message that came before this moment, at which it is due after this pause.
    Message(Box<FollowMessage>, Timestamp, Duration),
    /// What it has is stored, and it asks for a picture. No place of those who ask for consoles is needed for it, nor for
    /// what follows it.
    Screen(Moment, Option<Turn>),
}

/// When a picture is taken.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Following goes on after it. ECS was asked for the console at this time.
    Event { polled_at: Timestamp },
    /// Following has ended.
    End,
}

/// The turn of a message whose copies wait until it is served.
type Turn = tokio::sync::OwnedMutexGuard<bool>;

impl Following {
    fn pause(&self) -> Duration {
        match self.next {
            Next::Poll(pause) | Next::Message(_, _, pause) => pause,
            Next::Screen(..) => Duration::ZERO,
        }
    }
}

/// A console that is only in memory so far.
struct PendingConsole {
    console: ConsoleOutput,
    digest: ConsoleDigest,
    freshness: Option<Freshness>,
    /// `None` while it is on its way to the store.
    place: Option<Place>,
}

impl PendingConsole {
    fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }
}

impl std::fmt::Debug for PendingConsole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.console.plain.len())
    }
}

/// Why an event was not captured. The platform must deliver it again, or keep it for a person.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The event names no region and none is configured.
    #[error("the event names no region: set ALIBABA_CLOUD_REGION_ID to the instances' region")]
    NoRegion,
    /// A sweep did nothing yet, and ECS lists neither the region it continues in nor a later one.
    #[error(
        "the sweep continues in {0}, but ECS lists neither this region nor a later one: start the sweep again"
    )]
    RegionGone(RegionId),
    /// ECS gave neither a console output nor a final reason.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// The archive did not store it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The follow queue did not accept the message.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A sweep made no progress.
    #[error(transparent)]
    NoProgress(#[from] NoProgress),
    /// Others took all the time. It holds that time.
    #[error(
        "the time ran out after {} s, before this event was served; it must be delivered again",
        retry::in_seconds(*.0)
    )]
    TimeOver(Duration),
    /// Compressing failed.
    #[error("the console cannot be compressed: {0}")]
    Pack(std::io::Error),
    /// The catalog's rows of a day cannot be joined.
    #[error(transparent)]
    Catalog(CompactError),
}

impl From<CompactError> for CaptureError {
    fn from(error: CompactError) -> Self {
        match error {
            CompactError::Store(StoreError::OfObject(error)) => Self::Store(*error),
            CompactError::Store(error) => Self::Store(error),
            error => Self::Catalog(error),
        }
    }
}

impl CaptureError {
    /// Whether the same event may succeed later without anyone fixing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Ecs(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Queue(error) => error.retry_advice() != RetryAdvice::GiveUp,
            Self::TimeOver(_) => true,
            Self::NoRegion
            | Self::RegionGone(_)
            | Self::NoProgress(_)
            | Self::Pack(_)
            | Self::Catalog(_) => false,
        }
    }

    /// A name for alarms. It stays the same between versions.
    pub fn error_type(&self) -> ErrorType {
        match self {
            Self::NoRegion | Self::RegionGone(_) => ErrorType::NoRegion,
            Self::Ecs(EcsError::Throttled { .. } | EcsError::TooSoon { .. }) => {
                ErrorType::EcsThrottled
            }
            Self::Ecs(EcsError::Denied { .. }) => ErrorType::EcsDenied,
            Self::Ecs(
                EcsError::Rejected { .. } | EcsError::NoConsole { .. } | EcsError::TooLong,
            ) => ErrorType::EcsRejected,
            Self::Ecs(EcsError::OtherAccount { .. } | EcsError::UnknownAccount { .. }) => {
                ErrorType::OtherAccount
            }
            Self::Ecs(EcsError::Credentials(error))
            | Self::Store(StoreError::Credentials(error))
            | Self::Queue(QueueError::Credentials(error)) => match error {
                CredentialsError::Refused(_) | CredentialsError::Unusable(_) => {
                    ErrorType::CredentialsRefused
                }
                CredentialsError::Unavailable(_) => ErrorType::CredentialsUnavailable,
            },
            Self::Ecs(_) => ErrorType::EcsUnavailable,
            Self::Store(StoreError::Denied(_)) => ErrorType::ArchiveDenied,
            Self::Store(StoreError::Rejected(_)) => ErrorType::ArchiveRejected,
            Self::Store(_) => ErrorType::ArchiveUnavailable,
            Self::Queue(QueueError::Refused(_) | QueueError::TooLarge { .. }) => {
                ErrorType::QueueRefused
            }
            Self::Queue(_) => ErrorType::QueueUnavailable,
            Self::NoProgress(_) | Self::TimeOver(_) => ErrorType::TimeoutTooShort,
            Self::Catalog(
                CompactError::Damaged { .. }
                | CompactError::Unreadable { .. }
                | CompactError::Changed { .. },
            ) => ErrorType::CatalogDamaged,
            Self::Catalog(_) | Self::Pack(_) => ErrorType::Internal,
        }
    }
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Serves an event for the first time, up to the first wait. Transient errors are retried until
    /// the deadline.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn begin(
        &self,
        event: InstanceEvent,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let clock = self.clock.steady();
        let follow = Follow::begin(event, clock.now());
        self.poll(follow, None, clock, deadline).await
    }

    /// Continues an event from a follow message, up to the next wait. The message may come early: then
    /// that wait is the first.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn resume(
        &self,
        mut message: FollowMessage,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let Follow { event, kept, .. } = &mut message.follow;
        for Kept { record, .. } in kept {
            // A message names records by their keys. This archive knows their addresses.
            record.url = self.store.url(&record.key);
            record.instance_id = event.instance_id.clone();
        }
        let clock = self.clock.steady();
        let now = clock.now();
        let Some(due_at) = message.early_until(now) else {
            return self.resume_due(message, deadline).await;
        };
        let pause = until(due_at, now);
        if pause > EARLY && self.memory.tells_early() {
            let operation = (self.follow_queue.as_deref()).map_or("the queue", Queue::operation);
            let seconds = pause.as_secs();
            warn!(
                "a follow message came {seconds} s before it is due: the delay that {operation} was \
                 asked for was not honoured. Such messages wait within their invocations, which are \
                 paid for meanwhile. This process says it once"
            );
        }
        Ok(Progress::Following(Box::new(Following {
            follow: message.follow.clone(),
            held: None,
            clock,
            next: Next::Message(Box::new(message), due_at, pause),
        })))
    }

    async fn resume_due(
        &self,
        message: FollowMessage,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let name = message.name();
        let poll = self.poll(message.follow, None, self.clock.steady(), deadline);
        self.once(&name, deadline, poll).await
    }

    /// Serves a message of the queue, unless this process has served a copy of it. Queues deliver at
    /// least once, and every copy that is served sends a message of its own: copies of copies would
    /// have no end. Copies that come to other processes are served; each event has a most of polls.
    pub(crate) async fn once(
        &self,
        name: &str,
        deadline: Deadline,
        work: impl Future<Output = Result<Progress, CaptureError>>,
    ) -> Result<Progress, CaptureError> {
        let turn = self.memory.turn_of(name, self.clock.now());
        // A copy that is being served may fail, so this one waits for its end.
        let turn = tokio::time::timeout(deadline.remaining(), turn.lock_owned()).await;
        let is_served = turn.map_err(|_| CaptureError::TimeOver(deadline.whole()))?;
        if *is_served {
            return Ok(Progress::Done(Outcome::Ignored {
                reason: "repeated",
                message: "this message of the follow queue came twice, and the first was served"
                    .to_owned(),
            }));
        }
        let mut progress = work.await?;
        hand_on(is_served, &mut progress);
        Ok(progress)
    }

    /// Waits within the invocation until a message is due that came early, and serves it. If the
    /// invocation ends before, sends the message again.
    async fn wait_until_due(
        &self,
        message: FollowMessage,
        due_at: Timestamp,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let left = deadline.remaining().saturating_sub(POLL_RESERVE);
        let due_in = until(due_at, self.clock.now());
        let has_time = due_in <= left || self.follow_queue.is_none();
        let wait = if has_time {
            due_in.min(left)
        } else {
            deadline.with_reserve(KEEP_RESERVE).remaining()
        };
        let is_ending = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = self.ending.cancelled() => true,
        };
        let queue = self.follow_queue.as_deref();
        let Some(queue) = queue.filter(|_| is_ending || !has_time) else {
            return self.resume_due(message, deadline).await;
        };
        let name = message.name();
        let again = message.again();
        let pause = until(due_at, self.clock.now());
        let send = async {
            send(queue, &json_of(&again)?, pause, deadline).await?;
            Ok(Progress::Done(self.following_outcome(&again.follow, pause)))
        };
        self.once(&name, deadline, send).await
    }

    /// Stores the console output that ECS has now, and follows it as the cause requires.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn capture(
        &self,
        event: InstanceEvent,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        match self.begin(event, deadline).await? {
            Progress::Done(outcome) => Ok(outcome),
            Progress::Following(following) => self.finish(following, deadline).await,
        }
    }

    /// Follows an event until its console has settled or the time is over.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn finish(
        &self,
        mut following: Box<Following>,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        loop {
            let progress = if let Next::Screen(..) = following.next {
                self.look(*following, deadline).await?
            } else {
                self.wait_and_poll(*following, deadline).await?
            };
            match progress {
                Progress::Done(outcome) => return Ok(outcome),
                Progress::Following(next) => following = next,
            }
        }
    }

    /// Takes the picture that an event asks for now, if any, up to the next wait. So it is in the outcome to answer before
    /// the event is followed.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn take_screenshot(
        &self,
        mut following: Box<Following>,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        while let Next::Screen(..) = following.next {
            match self.look(*following, deadline).await? {
                Progress::Following(next) => following = next,
                done => return Ok(done),
            }
        }
        Ok(Progress::Following(following))
    }

    async fn wait_and_poll(
        &self,
        following: Following,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let pause = following.pause();
        let Following {
            follow,
            held,
            clock,
            next,
        } = following;
        if let Next::Message(message, due_at, _) = next {
            return self.wait_until_due(*message, due_at, deadline).await;
        }
        let left = deadline.remaining().saturating_sub(POLL_RESERVE);
        if left < pause / 4 {
            return self.settle(follow, held, clock, deadline).await;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.min(left)) => {}
            () = self.ending.cancelled() => {
                return self.settle(follow, held, clock, deadline).await;
            }
        }
        self.poll(follow, held, clock, deadline).await
    }

    /// Takes a picture, and goes on.
    async fn look(
        &self,
        following: Following,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let Following {
            mut follow,
            held,
            clock,
            next,
        } = following;
        let Next::Screen(moment, turn) = next else {
            return Ok(Progress::Following(Box::new(Following {
                follow,
                held,
                clock,
                next,
            })));
        };
        let mut progress = match moment {
            Moment::Event { polled_at } => {
                self.take_at_event(&mut follow, deadline).await;
                let pause = follow.next_pause(self.follow_budget, polled_at, fastrand::f64());
                match pause {
                    Some(pause) => {
                        // The picture makes no console late.
                        let took = until(clock.now(), polled_at);
                        let pause = pause.saturating_sub(took);
                        self.poll_after(follow, held, pause, clock, deadline)
                            .await?
                    }
                    None => self.settle(follow, held, clock, deadline).await?,
                }
            }
            Moment::End => {
                let has_none = follow.kept.is_empty();
                let tell_by = deadline.with_reserve(KEEP_RESERVE);
                // People do not wait for a picture, and no sender waits for people.
                let tell = async {
                    if !has_none && !screenshots::is_answered_first(deadline) {
                        self.tell_people(tell_by).await;
                    }
                };
                let (taken, ()) = join(self.take_at_end(&mut follow, deadline), tell).await;
                taken?;
                Progress::Done(self.conclude(follow, deadline).await?)
            }
        };
        if let Some(turn) = turn {
            hand_on(turn, &mut progress);
        }
        Ok(progress)
    }

    /// The outcome to answer before an event is followed. After an answer the sender does not deliver
    /// the event again, so a marker is stored if there was no console yet.
    ///
    /// # Errors
    /// [`CaptureError`] when the event must come again.
    pub async fn answer_first(
        &self,
        following: &mut Following,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let pause = following.pause();
        let follow = &mut following.follow;
        if let (true, Some(absent)) = (follow.needs_marker(), &follow.absent) {
            self.keep_marker(follow, absent, deadline).await?;
            follow.has_marker = true;
        }
        Ok(self.following_outcome(follow, pause))
    }

    /// Sends an event to the follow queue that could not be captured while its sender waits.
    ///
    /// # Errors
    /// `error`, the reason for the failed capture, if there is no queue. Else the error of the queue.
    pub async fn defer_to_queue(
        &self,
        event: InstanceEvent,
        error: CaptureError,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let Some(queue) = self.follow_queue.as_deref() else {
            return Err(error);
        };
        warn!(instance_id = %event.instance_id, "goes to the follow queue, for now: {error}");
        let follow = Follow::begin(event, self.clock.now());
        self.send_follow(queue, &follow, DEFER_PAUSE, deadline)
            .await?;
        Ok(self.following_outcome(&follow, DEFER_PAUSE))
    }

    /// Asks ECS for the console once, and stores what must not be lost before the next poll. It ends before a picture: those
    /// who ask for consoles have few places, and ECS may take long for a picture.
    async fn poll(
        &self,
        mut follow: Follow,
        mut held: Option<PendingConsole>,
        clock: WallClock,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        let source = self.room.limit(&self.source);
        let source = Retrying::new(&source, deadline.with_reserve(KEEP_RESERVE));
        let (region_id, instance_id) = (self.region_id(&follow.event)?, &follow.event.instance_id);
        let answer = if instance_id.is_first_generation() {
            // ECS keeps no console of first-generation instances.
            Err(EcsError::NoConsole {
                code: String::new(),
                reason: NoConsole::NotSupported,
                request_id: String::new(),
            })
        } else {
            let owner = owner(&follow.event);
            let answer = source.console_output(owner, region_id, instance_id);
            let prepare = || self.store.prepare();
            let prepare = (!self.store.is_prepared()).then_some(prepare);
            meanwhile(answer, prepare).await.0
        };
        let now = clock.now();
        let answer = answer.map(|mut console| {
            if self.masks_secrets {
                let secrets = secrets::find(&console.plain);
                secrets::mask(&mut console.plain, &secrets);
            }
            console
        });
        match answer {
            Ok(console) if console.plain.is_empty() => {
                follow.record_absence(NoConsole::Empty, String::new());
            }
            Err(EcsError::NoConsole { code, reason, .. }) => follow.record_absence(reason, code),
            Ok(console) => {
                let digest = ConsoleDigest::of(&console.plain);
                let change = follow.record_digested_poll(&console, digest, now);
                if change == Change::Replaced {
                    self.keep(&mut follow, held.take(), deadline).await?;
                }
                let freshness = follow.freshness();
                let latest = PendingConsole {
                    console,
                    digest,
                    freshness,
                    place: None,
                };
                match change.keeping(self.follow_queue.is_none()) {
                    Keeping::Nothing => held = held.map(|held| latest.at(held.place)),
                    Keeping::InMemory => {
                        held = None; // The latest contains it.
                        match self.room.for_bytes(latest.console.plain.len()) {
                            Some(place) => held = Some(latest.at(Some(place))),
                            None => self.keep(&mut follow, Some(latest), deadline).await?,
                        }
                    }
                    Keeping::Store => self.keep(&mut follow, Some(latest), deadline).await?,
                }
            }
            Err(error) => {
                self.keep(&mut follow, held, deadline).await?;
                return Err(error.into());
            }
        }
        let may_go_on =
            self.follow_budget > Duration::ZERO && Plan::of(&follow.event.cause).is_some();
        let is_asked_for = may_go_on && self.asks_at_event(&follow);
        if is_asked_for {
            follow.shots.is_due = true;
        }
        match follow.next_pause(self.follow_budget, now, fastrand::f64()) {
            // The last picture is taken then, and no other one just before it.
            None => self.settle(follow, held, clock, deadline).await,
            Some(_) if is_asked_for => {
                self.keep(&mut follow, held, deadline).await?;
                let moment = Moment::Event { polled_at: now };
                Ok(Progress::Following(Box::new(Following {
                    follow,
                    held: None,
                    clock,
                    next: Next::Screen(moment, None),
                })))
            }
            Some(pause) => self.poll_after(follow, held, pause, clock, deadline).await,
        }
    }

    /// Asks for the console again after this pause: in this process, or in a later invocation.
    async fn poll_after(
        &self,
        follow: Follow,
        held: Option<PendingConsole>,
        pause: Duration,
        clock: WallClock,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        if let Some(queue) = self.follow_queue.as_deref() {
            self.send_follow(queue, &follow, pause, deadline).await?;
            return Ok(Progress::Done(self.following_outcome(&follow, pause)));
        }
        Ok(Progress::Following(Box::new(Following {
            follow,
            held,
            clock,
            next: Next::Poll(pause),
        })))
    }

    /// Sends an event to the queue, to be followed further after this pause.
    async fn send_follow(
        &self,
        queue: &dyn Queue,
        follow: &Follow,
        pause: Duration,
        deadline: Deadline,
    ) -> Result<(), CaptureError> {
        let pause = pause.min(queue.greatest_delay());
        let now = self.clock.now();
        let due_at = now.checked_add(pause).unwrap_or(now);
        let message = FollowMessage::new(follow.clone(), due_at);
        Ok(send(queue, &json_of(&message)?, pause, deadline).await?)
    }

    /// Stores what is still in memory when following ends. The last picture comes after it.
    async fn settle(
        &self,
        mut follow: Follow,
        held: Option<PendingConsole>,
        clock: WallClock,
        deadline: Deadline,
    ) -> Result<Progress, CaptureError> {
        self.keep(&mut follow, held, deadline).await?;
        self.keep_verdict(&follow, deadline).await?;
        self.tell_login(&follow)?;
        if self.asks_at_end(&follow) {
            return Ok(Progress::Following(Box::new(Following {
                follow,
                held: None,
                clock,
                next: Next::Screen(Moment::End, None),
            })));
        }
        Ok(Progress::Done(self.conclude(follow, deadline).await?))
    }

    /// The outcome of an event that has ended.
    async fn conclude(&self, follow: Follow, deadline: Deadline) -> Result<Outcome, CaptureError> {
        let screenshots = self.screenshots_of(&follow);
        let freshness = follow.freshness();
        if let Some(Kept { record, .. }) = follow.kept.last() {
            let earlier = &follow.kept[..follow.kept.len() - 1];
            let stored = Stored {
                record: record.clone(),
                freshness,
                earlier: earlier.iter().map(|kept| kept.record.url.clone()).collect(),
                findings: follow.all_findings(),
                screenshots,
            };
            // Events are delivered at least once, and the console may be the same each time.
            return Ok(if follow.kept.iter().any(|kept| kept.created) {
                Outcome::Stored(stored)
            } else {
                Outcome::AlreadyStored(stored)
            });
        }
        // Nothing was stored, so the last poll returned no console, and `absent` has the reason.
        let absent = follow.absent.clone().unwrap_or(Absent {
            reason: NoConsole::Empty,
            code: String::new(),
        });
        // What the screen showed says more than that there was no console.
        let marker_url = match follow.needs_marker() {
            true => Some(self.keep_marker(&follow, &absent, deadline).await?),
            false => None,
        };
        Ok(Outcome::NoConsole {
            instance_id: follow.event.instance_id,
            message: absent.reason.message(),
            reason: absent.reason,
            code: absent.code,
            marker_url,
            screenshots,
        })
    }

    /// Tells whoever watches whether the boot came to its login prompt.
    fn tell_login(&self, follow: &Follow) -> Result<(), CaptureError> {
        if let (Some(is_reached), Some(last)) = (follow.reached_login(), follow.kept.last()) {
            self.tell.of(&Told {
                event: &follow.event,
                region_id: self.region_id(&follow.event)?,
                url: &last.record.url,
                fact: Fact::Login { is_reached },
                at: last.captured_at.unwrap_or_else(|| self.clock.now()),
            });
        }
        Ok(())
    }

    async fn keep(
        &self,
        follow: &mut Follow,
        held: Option<PendingConsole>,
        deadline: Deadline,
    ) -> Result<(), CaptureError> {
        let Some(PendingConsole {
            console,
            digest,
            freshness,
            ..
        }) = held
        else {
            return Ok(());
        };
        let instance_id = &follow.event.instance_id;
        let key = RecordKey::with_digest(instance_id, &console, &digest).to_string();
        if follow.already_kept(&key) {
            return Ok(());
        }
        let event = &follow.event;
        let (region_id, instance_id) = (self.region_id(event)?, &event.instance_id);
        if console.names_another_than(instance_id) {
            warn!(%instance_id, "ECS answered for another instance ID; kept under the one asked for");
        }
        if console.is_undecoded {
            warn!(%instance_id, "what ECS sent is not Base64; kept as it came");
        }
        if UpdateTime::parse(&console.last_update_time).is_err() {
            let last_update_time = console.last_update_time.escape_debug().to_string();
            warn!(%instance_id, last_update_time, "LastUpdateTime is unreadable; kept as undated");
        }
        let now = self.clock.now();
        let record = Record::with_digest(event, region_id, &console, &digest, now, freshness)
            .map_err(CaptureError::Pack)?;
        // The events of one reboot find the same consoles. Who follows through a queue pays for each object
        // put. A person who captures by hand may have removed the record, and a sweep asks once.
        let remembers = self.follow_queue.is_some() && Plan::of(&event.cause).is_some();
        let is_known = remembers && self.memory.has_stored(&key, now);
        let (mut created, mut findings) = (false, Vec::new());
        let (mut reached_login, mut judged) = (None, self.memory.judged(&key, now));
        if !is_known {
            let store = Retrying::new(&self.store, deadline);
            let put = store.creates(&key, &record.object);
            // A row that an earlier delivery could not write any more is written now.
            let may_lack_row = self.may_lack_row(event, &console, now);
            let look = || {
                let found = findings::of_console(&console.plain, Rules::current());
                (boot_facts(&console.plain), found)
            };
            let (put, seen) = meanwhile(put, may_lack_row.then_some(look)).await;
            created = put?;
            if created || may_lack_row {
                let (facts, found) = seen.unwrap_or_else(look);
                judged = Some(Judged::of(&facts, &found));
                reached_login = created.then_some(facts.has_login);
                let in_short = found.iter().map(|finding| finding.in_short());
                findings = follow.new_findings(in_short.collect());
                // Before the row: if that fails, the event comes again, and finds the console stored.
                for finding in findings.iter().filter(|_| created) {
                    let url = &self.store.url(&key);
                    self.tell.of(&Told {
                        event,
                        region_id,
                        url,
                        fact: Fact::Finding(finding),
                        at: now,
                    });
                }
                let row = || {
                    Row::of_record(event, region_id, &record, digest, facts, now)
                        .with_update_time(&console.last_update_time)
                        .with_freshness(freshness.filter(|_| created))
                        .with_findings(&found)
                };
                self.keep_row(row, deadline).await?;
                if let Some(notifier) = &self.notifier {
                    let updated_at = UpdatedAt::parse(&console.last_update_time, now);
                    let captured = Captured {
                        event,
                        region_id,
                        record: &self.store.url(&key),
                        at: now,
                        updated_at: updated_at.map(|at| at.time),
                    };
                    note_worst(notifier, captured, &console.plain, &found, &findings);
                }
            }
        }
        let url = self.store.url(&key);
        self.memory.note_stored(&key, now);
        if let Some(judged) = judged {
            self.memory.note_judged(&key, now, judged);
        }
        let record = StoredRecord {
            instance_id: instance_id.clone(),
            url,
            key,
            last_update_time: console.last_update_time,
            console_bytes: record.plain_bytes,
            gzip_bytes: record.object.body.len(),
        };
        follow.kept.push(Kept {
            record,
            created,
            freshness: freshness.filter(|_| created),
            captured_at: Some(now),
            findings,
            reached_login,
        });
        follow.shots.judged = judged;
        Ok(())
    }

    /// Tells people of what was found, if there is anything to tell. A failure is none of the events.
    pub async fn tell_people(&self, deadline: Deadline) {
        if let Some(notifier) = &self.notifier
            && self.has_to_tell()
        {
            let tell = notifier.tell(&self.store, self.clock.now(), deadline);
            tell.boxed().await;
        }
    }

    /// Counts what was found, if anything was, so that whoever is told is told of it, and sends nothing. It does not
    /// wait for receivers.
    pub async fn claim_findings(&self, deadline: Deadline) {
        if let Some(notifier) = &self.notifier
            && self.has_to_tell()
        {
            let count = notifier.count_pending(&self.store, self.clock.now(), deadline);
            count.boxed().await;
        }
    }

    /// Whether people are to be told of something now.
    pub fn has_to_tell(&self) -> bool {
        let notifier = self.notifier.as_ref();
        notifier.is_some_and(|notifier| notifier.has_work(self.clock.now()))
    }

    /// Sends what other processes have left.
    pub async fn tell_what_is_left(&self, deadline: Deadline) {
        if let Some(notifier) = &self.notifier {
            let tell = notifier.take_over(&self.store, self.clock.now(), deadline);
            tell.boxed().await;
        }
    }

    /// Whether a console that the archive had already may lack its row, because the process that stored it
    /// was killed before it wrote one. A sweep finds the same consoles day after day, and does not write a
    /// row for each of them each time: only while the console is new.
    fn may_lack_row(&self, event: &InstanceEvent, console: &ConsoleOutput, now: Timestamp) -> bool {
        if event.cause != Cause::Sweep {
            return true;
        }
        let updated_at = UpdatedAt::parse(&console.last_update_time, now);
        updated_at.is_none_or(|at| now.duration_since(at.time) <= SWEPT_IS_NEW)
    }

    /// Writes a row of the catalog, if there is one.
    async fn keep_row(
        &self,
        row: impl FnOnce() -> Row,
        deadline: Deadline,
    ) -> Result<(), CaptureError> {
        if !self.has_catalog {
            return Ok(());
        }
        let (key, object) = row().packed();
        let store = Retrying::new(&self.store, deadline);
        store.put_if_absent(&key, &object).await?;
        Ok(())
    }

    /// Stores a verdict beside the last record if its metadata does not say the final freshness.
    async fn keep_verdict(&self, follow: &Follow, deadline: Deadline) -> Result<(), CaptureError> {
        let (Some(freshness), Some(last)) = (follow.verdict(), follow.kept.last()) else {
            return Ok(());
        };
        let Some(record) = RecordKey::parse(&last.record.key) else {
            return Ok(()); // No version of this program stored such a key.
        };
        let verdict = Verdict::new(&follow.event, record.clone(), freshness);
        let store = Retrying::new(&self.store, deadline);
        let key = verdict.key.to_string();
        store.put_if_absent(&key, &verdict.object).await?;
        let (event, region_id) = (&follow.event, self.region_id(&follow.event)?);
        // It joins the row of the record, which is of that day.
        let captured_at = last.captured_at.unwrap_or_else(|| self.clock.now());
        let row = || Row::of_verdict(event, region_id, record, freshness, captured_at);
        self.keep_row(row, deadline).await
    }

    /// Stores a marker that there was no console, and returns its address.
    async fn keep_marker(
        &self,
        follow: &Follow,
        absent: &Absent,
        deadline: Deadline,
    ) -> Result<String, CaptureError> {
        let Follow {
            event, began_at, ..
        } = follow;
        let region_id = self.region_id(event)?;
        let marker = Marker::new(event, region_id, absent.reason, &absent.code, *began_at);
        let key = marker.key.to_string();
        let store = Retrying::new(&self.store, deadline);
        store.put_if_absent(&key, &marker.object).await?;
        let row = || Row::of_marker(event, region_id, &marker, self.clock.now());
        self.keep_row(row, deadline).await?;
        Ok(self.store.url(&key))
    }

    fn following_outcome(&self, follow: &Follow, pause: Duration) -> Outcome {
        Outcome::Following {
            instance_id: follow.event.instance_id.clone(),
            follow_in_seconds: pause.as_secs_f64().ceil() as u64,
            urls: follow
                .kept
                .iter()
                .map(|kept| kept.record.url.clone())
                .collect(),
            findings: follow.all_findings(),
            screenshots: self.screenshots_of(follow),
        }
    }

    fn region_id<'a>(&'a self, event: &'a InstanceEvent) -> Result<&'a RegionId, CaptureError> {
        event
            .region_id
            .as_ref()
            .or(self.default_region.as_ref())
            .ok_or(CaptureError::NoRegion)
    }
}

/// Ends the turn of a message, or lets it last for the picture: after that it may send a message of its own. What this
/// process still follows otherwise may fail, and then comes again.
fn hand_on(mut is_served: Turn, progress: &mut Progress) {
    match progress {
        Progress::Done(_) => *is_served = true,
        Progress::Following(following) => {
            if let Next::Screen(_, turn) = &mut following.next {
                *turn = Some(is_served);
            }
        }
    }
}

/// Notes what is bad enough to be told of a console, whether or not it was stored just now: the archive remembers what
/// was told.
fn note_worst(
    notifier: &Notifier,
    captured: Captured<'_>,
    console: &[u8],
    found: &[findings::Finding<'_>],
    new: &[Finding],
) {
    let is_new = |one: &&findings::Finding<'_>| {
        let signature = one.signature();
        new.iter().any(|new| new.signature == signature)
    };
    let is_told = |one: &&findings::Finding<'_>| notifier.is_told_of(one.severity);
    let mut worst: Vec<_> = found.iter().filter(is_told).filter(is_new).collect();
    findings::worst_first(&mut worst);
    worst.truncate(notify::MAX_OF_CONSOLE);
    if worst.is_empty() {
        return;
    }
    let shown = match notifier.masks_secrets() {
        true => Cow::Owned(secrets::masked(console, &secrets::find(console))),
        false => Cow::Borrowed(console),
    };
    let in_short: Vec<_> = (worst.iter())
        .map(|one| notify::notice::in_short(one))
        .collect();
    for (index, one) in worst.into_iter().enumerate() {
        let mut also = in_short.clone();
        also.remove(index);
        notifier.note(Sighting::new(captured, console, &shown, one, also));
    }
}

/// Whose instance the event is about. Captures by hand and sweeps mean the own account.
fn owner(event: &InstanceEvent) -> Owner<'_> {
    match (&event.account_id, &event.cause) {
        (Some(account_id), _) => Owner::Account(account_id),
        (None, Cause::Manual | Cause::Sweep) => Owner::Own,
        (None, _) => Owner::Unknown,
    }
}

fn json_of(message: &FollowMessage) -> Result<Value, CaptureError> {
    let failed = |error: serde_json::Error| CaptureError::Pack(error.into());
    message.to_json().map_err(failed)
}

/// Time from `now` until `due_at`. Zero if that is over.
fn until(due_at: Timestamp, now: Timestamp) -> Duration {
    due_at.duration_since(now).try_into().unwrap_or_default()
}

/// Sends a message to a later invocation.
pub(crate) async fn send(
    queue: &dyn Queue,
    message: &Value,
    pause: Duration,
    deadline: Deadline,
) -> Result<(), QueueError> {
    let message = message.to_string();
    let (bytes, greatest) = (message.len(), queue.greatest_body_bytes());
    if bytes > greatest {
        return Err(QueueError::TooLarge { bytes, greatest });
    }
    let send = || queue.send(&message, pause);
    // If the queue never answers, there is still time to keep the event as failed.
    let deadline = deadline.with_reserve(KEEP_RESERVE);
    retry(deadline, queue.operation(), send).await.map(drop)
}
