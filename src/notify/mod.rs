//! Findings → people: once for what is new, and again when ten times as many instances show it.
//!
//! What must be remembered stands in the archive, in objects that are created once ([`crate::archive::notice`]). A
//! finding of an instance goes through these steps, each of which a process may be killed behind:
//!
//! 1. The levels that its signature reached in the last week are listed.
//! 2. `seen`: the instance counts on that day. Then the instances of the day are counted.
//! 3. Where the day reaches a level that no day of the week before reached, the notice is put into the outbox. Who
//!    creates it there sends it.
//! 4. The level is noted, so that the next one need not ask.
//! 5. The notice is sent to each target, and `sent` is put beside it for each that took it.
//!
//! Who was killed before step 3 has told nobody, and the next instance goes on where that one stopped. Behind it, the
//! next finding or sweep finds a notice that was not sent, and sends it.

pub mod answer; // what a receiver's answer means (pure)
pub mod check; // whether people can be told
pub mod ladder; // when a signature is worth a notice (pure)
pub mod notice; // what a notice says (pure)
pub mod payload; // a notice → what each kind of receiver takes (pure)
pub mod send; // one notice to one receiver
pub mod sign; // how messages are signed (pure)
pub mod target; // who is told (pure)

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{StreamExt as _, stream};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::archive::catalog::Day;
use crate::archive::key::ShortDigest;
use crate::archive::notice::{
    NoticeId, NoticeKey, OUTBOX_PREFIX, levels_prefix, levels_since, outbox_since, seen_prefix,
    signature_digest,
};
use crate::clock::is_within;
use crate::lock::lock;
use crate::model::finding::Severity;
use crate::retry::{Deadline, Retrying, retry};
use crate::store::{Object, Pages, PutOutcome, Store, StoreError};
use answer::SendError;
use ladder::Reached;
use notice::{Notice, Sighting};
use send::Sender;
use target::Target;

/// Most findings of one console that are told. The worst ones.
pub const MAX_OF_CONSOLE: usize = 5;
/// Most findings that wait in memory to be counted. Those that came first give way.
const MAX_PENDING: usize = 256;
/// Longest time for counting and sending what one event has found, or several that are served at once.
const TELL_TIME: Duration = Duration::from_secs(20);
/// Longest time for one notice and one receiver, with what is sent again.
const SEND_TIME: Duration = Duration::from_secs(10);
/// Findings that are counted at once.
const COUNTED_AT_ONCE: usize = 8;
/// How often a process looks for notices of others that were not sent.
const LOOKS_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// Days whose notices are looked at.
const OUTBOX_DAYS: i32 = 3;
/// Most pages of a listing that are looked at: of the outbox, and of the instances of a day, of which one page has as
/// many as count.
const MAX_PAGES: usize = 5;
/// Most notices of others that are sent at once.
const MAX_TAKEN_OVER: usize = 10;
/// A receiver that has failed is not asked again for so long by the same process. What it missed is sent later.
const RESTS_FOR: SignedDuration = SignedDuration::from_mins(1);
/// Names that a process remembers to save requests. Then it begins anew.
const MAX_KNOWN: usize = 10_000;

/// What is to be told, and to whom, by the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Findings from here on.
    pub severity: Severity,
    /// Whether secrets are masked in the lines of the console.
    pub masks_secrets: bool,
}

/// Finds out who is told, where a secrets manager keeps it.
pub type ReadTargets =
    dyn Fn() -> BoxFuture<'static, Result<Vec<Target>, String>> + Send + Sync + 'static;

/// What happened, for the log and for metrics.
#[derive(Debug)]
pub enum Event<'a> {
    /// A signature that no instance has shown in the week before.
    NewSignature(&'a Notice),
    /// A receiver took a notice.
    Sent(&'a str, &'a Target),
    /// A receiver did not take it. It is sent again later.
    Failed(&'a str, &'a Target, &'a SendError),
    /// It is not sent any more.
    GivenUp(&'a str, &'a Target),
    /// A finding could not be counted, or nobody knows who is told. What, and why.
    Lost(&'a str, &'a str),
}

/// Who is told what happened.
type Report = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Tells people. Clones share what is pending.
#[derive(Clone)]
pub struct Notifier {
    told: Told,
    targets: Vec<Target>,
    read_targets: Option<Arc<ReadTargets>>,
    sender: Sender,
    report: Report,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<VecDeque<Sighting>>,
    memory: Mutex<Memory>,
}

/// What a process remembers. It only saves work.
#[derive(Default)]
struct Memory {
    /// Instances that were counted, and days that reached the top.
    known: BTreeSet<String>,
    looked_at: Option<Timestamp>,
    /// Targets that have failed lately.
    failed_at: BTreeMap<ShortDigest, Timestamp>,
    /// Notices that are not for these targets.
    not_for: BTreeSet<(NoticeId, ShortDigest)>,
}

impl Memory {
    fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    fn note(&mut self, name: String) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(name);
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.targets)
    }
}

/// What a listing says of one notice and one target.
#[derive(Debug, Clone, Default)]
struct State {
    is_over: bool,
    attempts: u32,
    last_at: Option<Timestamp>,
}

impl Notifier {
    /// Tells these targets, and those that `read_targets` finds.
    pub fn new(
        told: Told,
        targets: Vec<Target>,
        read_targets: Option<Arc<ReadTargets>>,
        sender: Sender,
        report: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            told,
            targets,
            read_targets,
            sender,
            report: Arc::new(report),
            shared: Arc::default(),
        }
    }

    /// The same, which tells somebody else what happened.
    pub fn reporting(self, report: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self {
            report: Arc::new(report),
            ..self
        }
    }

    /// Whether a finding is bad enough.
    pub fn is_told_of(&self, severity: Severity) -> bool {
        severity >= self.told.severity
    }

    /// Whether secrets are masked in the lines of the console.
    pub fn masks_secrets(&self) -> bool {
        self.told.masks_secrets
    }

    /// Notes a finding, to be told by [`tell`](Self::tell). Sends nothing.
    pub fn note(&self, sighting: Sighting) {
        let mut pending = lock(&self.shared.pending);
        let is_there = |other: &Sighting| {
            other.finding.signature == sighting.finding.signature
                && other.instance_id == sighting.instance_id
                && other.day == sighting.day
        };
        if pending.iter().any(is_there) {
            return;
        }
        if pending.len() == MAX_PENDING {
            pending.pop_front();
        }
        pending.push_back(sighting);
    }

    /// Whether there is something to tell.
    pub fn has_pending(&self) -> bool {
        !lock(&self.shared.pending).is_empty()
    }

    /// Tells what was noted, if there is anything, and what others have left. What there is no time for stays noted.
    /// Failures are reported, and are none of the event.
    pub async fn tell<S: Store>(&self, store: &S, now: Timestamp, deadline: Deadline) {
        if !self.has_pending() {
            return;
        }
        let work = deadline.or_earlier(Deadline::after(TELL_TIME));
        let sightings = std::mem::take(&mut *lock(&self.shared.pending));
        let count = async |sighting: Sighting| {
            let store = Retrying::new(store, work);
            match self.count(&store, &sighting, now).await {
                Ok(notice) => notice,
                // The next event goes on.
                Err(error) if error.is_transient() && work.remaining().is_zero() => {
                    self.note(sighting);
                    None
                }
                Err(error) => {
                    let finding = &sighting.finding.signature;
                    let what = format!("{finding} of {}", sighting.instance_id);
                    (self.report)(&Event::Lost(&what, &error.to_string()));
                    None
                }
            }
        };
        let notices: Vec<Notice> = stream::iter(sightings)
            .map(count)
            .buffer_unordered(COUNTED_AT_ONCE)
            .filter_map(async |notice| notice)
            .collect()
            .await;
        if !notices.is_empty()
            && let Some(targets) = self.known_targets(work).await
        {
            let sends = notices.iter().map(|notice| {
                let targets = targets.iter().filter(|target| is_for(notice, target));
                self.send_to_all(store, notice, targets.collect(), now, work)
            });
            join_all(sends).await;
        }
        self.take_over(store, now, work).await;
    }

    /// Sends what others have left: they were killed, or a receiver did not take it. Looks for it at most every five
    /// minutes.
    pub async fn take_over<S: Store>(&self, store: &S, now: Timestamp, deadline: Deadline) {
        if deadline.remaining().is_zero() {
            return; // The next event looks.
        }
        {
            let mut memory = lock(&self.shared.memory);
            let looked = memory.looked_at;
            if looked.is_some_and(|at| is_within(LOOKS_EVERY, at, now)) {
                return;
            }
            memory.looked_at = Some(now);
        }
        let work = deadline.or_earlier(Deadline::after(TELL_TIME));
        let left = self.left(&Retrying::new(store, work), now).await;
        let left = match left {
            Ok(left) if left.is_empty() => return,
            Ok(left) => left,
            Err(_) if work.remaining().is_zero() => return,
            Err(error) => {
                return (self.report)(&Event::Lost("what was left", &error.to_string()));
            }
        };
        let Some(targets) = self.known_targets(work).await else {
            return;
        };
        let mut taken = 0;
        for (id, (created_at, states)) in left {
            for target in &targets {
                if taken == MAX_TAKEN_OVER || work.remaining().is_zero() {
                    return;
                }
                let state = states.get(&target.id).cloned().unwrap_or_default();
                let last_at = state.last_at.unwrap_or(created_at);
                let is_due = ladder::is_due(state.attempts, now.duration_since(last_at));
                let is_known = lock(&self.shared.memory)
                    .not_for
                    .contains(&(id.clone(), target.id.clone()));
                if state.is_over || is_known || !is_due || self.rests(target, now) {
                    continue;
                }
                let retrying = Retrying::new(store, work);
                let attempt = self.attempt(&retrying, &id, target, state.attempts);
                match attempt.await {
                    Ok(None) => {}
                    Ok(Some(notice)) => {
                        taken += 1;
                        self.send_to_all(store, &notice, vec![target], now, work)
                            .await;
                    }
                    Err(error) => {
                        let id = id.to_string();
                        return (self.report)(&Event::Lost(&id, &error.to_string()));
                    }
                }
            }
        }
    }

    /// Sends a notice that says that notices arrive, once to each target.
    ///
    /// # Errors
    /// Why nobody knows who is told.
    pub async fn test(
        &self,
        notice: &Notice,
        now: Timestamp,
    ) -> Result<Vec<(Target, Result<(), SendError>)>, String> {
        let targets = self.all_targets().await?;
        let sent = targets.into_iter().map(|target| async move {
            let sent = self.sender.send(&target, notice, now).await;
            (target, sent)
        });
        Ok(join_all(sent).await)
    }

    /// Everybody who is told.
    ///
    /// # Errors
    /// Why nobody knows who is told.
    pub async fn all_targets(&self) -> Result<Vec<Target>, String> {
        let mut targets = self.targets.clone();
        if let Some(read) = &self.read_targets {
            let read = read().await?.into_iter();
            let new: Vec<_> = read
                .filter(|target| !targets.iter().any(|other| other.id == target.id))
                .collect();
            targets.extend(new);
        }
        Ok(targets)
    }

    /// Whether a target has failed just before.
    fn rests(&self, target: &Target, now: Timestamp) -> bool {
        let memory = lock(&self.shared.memory);
        let failed_at = memory.failed_at.get(&target.id);
        failed_at.is_some_and(|at| is_within(RESTS_FOR, *at, now))
    }

    async fn known_targets(&self, deadline: Deadline) -> Option<Vec<Target>> {
        let targets = tokio::time::timeout(deadline.remaining(), self.all_targets()).await;
        let targets = targets.unwrap_or_else(|_| Err("the secret was not read in time".into()));
        match targets {
            Ok(targets) => Some(targets),
            Err(why) => {
                (self.report)(&Event::Lost("who is told", &why));
                None
            }
        }
    }

    /// Counts an instance. Returns the notice if this is the process that sends it.
    async fn count<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        sighting: &Sighting,
        now: Timestamp,
    ) -> Result<Option<Notice>, StoreError> {
        let Sighting {
            day, instance_id, ..
        } = sighting;
        let day = *day;
        let signature = signature_digest(&sighting.finding.signature);
        let top = format!("{signature} {day}");
        let counted = format!("{top} {instance_id}");
        let is_known = {
            let memory = lock(&self.shared.memory);
            memory.knows(&top) || memory.knows(&counted)
        };
        if is_known {
            return Ok(None);
        }
        let (reached, first_level_at) = levels(store, &signature, day).await?;
        if reached.on(day) >= ladder::TOP {
            lock(&self.shared.memory).note(top);
            return Ok(None);
        }
        let seen = NoticeKey::Seen {
            signature: signature.clone(),
            day,
            instance_id: instance_id.clone(),
        };
        store.put_if_absent(&seen.to_string(), &empty()).await?;
        let (instances, first_seen_at) = seen_on(store, &signature, day).await?;
        let level = ladder::level(instances.max(1));
        let mut notice = None;
        if level > reached.on(day) {
            if reached.is_risen_to(level) {
                let id = NoticeId {
                    day,
                    signature: signature.clone(),
                    level,
                };
                let since = [first_level_at, first_seen_at].into_iter().flatten().min();
                let since = since.unwrap_or(now);
                let targets = self.known_ids().await;
                let told = sighting.clone();
                let told = told.notice(&id, reached.is_new(), instances.max(1), since, targets);
                let object = json_object(serde_json::to_vec(&told).unwrap_or_default());
                let key = NoticeKey::Notice(id).to_string();
                if store.put_if_absent(&key, &object).await? == PutOutcome::Created {
                    if told.is_new {
                        (self.report)(&Event::NewSignature(&told));
                    }
                    notice = Some(told);
                }
            }
            let key = NoticeKey::Level {
                signature,
                day,
                level,
            };
            let noted = store.put_if_absent(&key.to_string(), &empty()).await;
            // Who has a notice to send sends it. The next instance notes the level.
            if notice.is_none() {
                noted?;
            }
        }
        lock(&self.shared.memory).note(counted);
        Ok(notice)
    }

    /// Names of the targets as far as they are known without a secrets manager; none if it is to be asked.
    async fn known_ids(&self) -> Vec<String> {
        let targets = self.all_targets().await.unwrap_or_default();
        targets.iter().map(|target| target.id.to_string()).collect()
    }

    async fn send_to_all<S: Store>(
        &self,
        store: &S,
        notice: &Notice,
        targets: Vec<&Target>,
        now: Timestamp,
        deadline: Deadline,
    ) {
        let sends = targets.into_iter().map(|target| async move {
            if !self.rests(target, now) {
                self.send(store, notice, target, now, deadline).await;
            }
        });
        join_all(sends).await;
    }

    async fn send<S: Store>(
        &self,
        store: &S,
        notice: &Notice,
        target: &Target,
        now: Timestamp,
        deadline: Deadline,
    ) {
        let time = deadline.or_earlier(Deadline::after(SEND_TIME));
        let attempt = || self.sender.send(target, notice, now);
        let id = &notice.id;
        if let Err(error) = retry(time, "the receiver", attempt).await {
            let mut memory = lock(&self.shared.memory);
            memory.failed_at.insert(target.id.clone(), now);
            drop(memory);
            return (self.report)(&Event::Failed(id, target, &error));
        }
        (self.report)(&Event::Sent(id, target));
        let Some(key) = id_of(notice) else {
            return;
        };
        let key = NoticeKey::Sent(key, target.id.clone()).to_string();
        let store = Retrying::new(store, deadline);
        if let Err(error) = store.put_if_absent(&key, &empty()).await {
            let what = format!("that {target} has {id}, so that it may get it twice");
            (self.report)(&Event::Lost(&what, &error.to_string()));
        }
    }

    /// The notices of the last days, each with what became of it for each target.
    async fn left<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        now: Timestamp,
    ) -> Result<BTreeMap<NoticeId, (Timestamp, BTreeMap<ShortDigest, State>)>, StoreError> {
        let today = Day::of(now).0;
        let first = today.checked_sub(OUTBOX_DAYS.days()).unwrap_or(Date::MIN);
        let mut created = BTreeMap::new();
        let mut states: BTreeMap<(NoticeId, ShortDigest), State> = BTreeMap::new();
        let mut pages = Pages::of(store, OUTBOX_PREFIX).after(&outbox_since(first));
        while pages.requests < MAX_PAGES
            && let Some(page) = pages.next_page().await?
        {
            for entry in page {
                let key = NoticeKey::parse(&entry.key);
                let (id, target, attempt) = match key {
                    Some(NoticeKey::Notice(id)) => {
                        created.insert(id, (entry.stored_at, BTreeMap::new()));
                        continue;
                    }
                    Some(NoticeKey::Sent(id, target) | NoticeKey::GivenUp(id, target)) => {
                        (id, target, None)
                    }
                    Some(NoticeKey::Attempt(id, target, number)) => (id, target, Some(number)),
                    _ => continue,
                };
                let state = states.entry((id, target)).or_default();
                state.is_over |= attempt.is_none();
                if let Some(number) = attempt {
                    state.attempts = state.attempts.max(number);
                    state.last_at = state.last_at.max(Some(entry.stored_at));
                }
            }
        }
        for ((id, target), state) in states {
            if let Some((_, states)) = created.get_mut(&id) {
                states.insert(target, state);
            }
        }
        Ok(created)
    }

    /// Claims another attempt. Returns the notice if this is the process that makes it.
    async fn attempt<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        id: &NoticeId,
        target: &Target,
        attempts: u32,
    ) -> Result<Option<Notice>, StoreError> {
        let key = NoticeKey::Notice(id.clone()).to_string();
        let body = store.body(&key).await?;
        let notice = body.and_then(|body| read(&body));
        // Who was added since is not told of it.
        let Some(notice) = notice.filter(|notice| is_for(notice, target)) else {
            let mut memory = lock(&self.shared.memory);
            if memory.not_for.len() >= MAX_KNOWN {
                memory.not_for.clear();
            }
            memory.not_for.insert((id.clone(), target.id.clone()));
            return Ok(None);
        };
        let is_last = attempts >= ladder::MOST_ATTEMPTS;
        let (id, of) = (id.clone(), target.id.clone());
        let key = match is_last {
            true => NoticeKey::GivenUp(id, of),
            false => NoticeKey::Attempt(id, of, attempts + 1),
        };
        let put = store.put_if_absent(&key.to_string(), &empty()).await?;
        match (put, is_last) {
            (PutOutcome::Exists, _) => Ok(None),
            (PutOutcome::Created, true) => {
                (self.report)(&Event::GivenUp(&notice.id, target));
                Ok(None)
            }
            (PutOutcome::Created, false) => Ok(Some(notice)),
        }
    }
}

/// Whether a target was there when the notice was made. Without any name in it, nobody knew them.
fn is_for(notice: &Notice, target: &Target) -> bool {
    let id = target.id.to_string();
    notice.targets.is_empty() || notice.targets.contains(&id)
}

fn id_of(notice: &Notice) -> Option<NoticeId> {
    let signature = signature_digest(&notice.sighting.finding.signature);
    let level = notice.id.rsplit('_').next()?.parse().ok()?;
    Some(NoticeId {
        day: notice.sighting.day,
        signature,
        level,
    })
}

/// Reads a notice. `None` if somebody else wrote something there.
fn read(body: &[u8]) -> Option<Notice> {
    serde_json::from_slice(body).ok()
}

/// The levels of a signature in the week before a day and since, and when the first was noted.
async fn levels<S: Store>(
    store: &Retrying<'_, S>,
    signature: &ShortDigest,
    day: Date,
) -> Result<(Reached, Option<Timestamp>), StoreError> {
    let since = levels_since(signature, ladder::known_since(day));
    let mut pages = Pages::of(store, &levels_prefix(signature)).after(&since);
    let (mut reached, mut first_at) = (Reached::default(), None);
    while pages.requests < MAX_PAGES
        && let Some(page) = pages.next_page().await?
    {
        for entry in page {
            if let Some(NoticeKey::Level { day, level, .. }) = NoticeKey::parse(&entry.key) {
                reached.note(day, level);
                first_at = Some(first_at.unwrap_or(entry.stored_at).min(entry.stored_at));
            }
        }
    }
    Ok((reached, first_at))
}

/// How many instances showed a signature on a day, up to the highest level, and when the first of them was noted.
async fn seen_on<S: Store>(
    store: &Retrying<'_, S>,
    signature: &ShortDigest,
    day: Date,
) -> Result<(u32, Option<Timestamp>), StoreError> {
    let mut pages = Pages::of(store, &seen_prefix(signature, day));
    let (mut instances, mut first_at) = (0, None);
    while instances < ladder::TOP
        && pages.requests < MAX_PAGES
        && let Some(page) = pages.next_page().await?
    {
        for entry in page {
            instances += 1;
            first_at = Some(first_at.unwrap_or(entry.stored_at).min(entry.stored_at));
        }
    }
    Ok((instances.min(ladder::TOP), first_at))
}

/// What says something by being there. Some stores take no object without bytes.
fn empty() -> Object {
    json_object(b"{}\n".to_vec())
}

fn json_object(body: Vec<u8>) -> Object {
    Object {
        body,
        content_type: "application/json".to_owned(),
        metadata: BTreeMap::new(),
    }
}
