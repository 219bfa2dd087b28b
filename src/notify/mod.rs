//! Findings → people: once for what is new, and again when ten times as many instances show it.
//!
//! What must be remembered stands in the archive, in objects that are created once ([`crate::archive::notice`]). A
//! finding of an instance goes through these steps, each of which a process may be killed behind:
//!
//! 1. The levels that its signature reached in the last week are listed.
//! 2. `seen`: the instance counts on that day. Then the instances of the day are counted. For what several events found
//!    meanwhile, both listings are asked for once.
//! 3. Where the day reaches a level that no day of the week before reached, the notice is put into the outbox, if not too
//!    many were told that day. Who creates it there sends it. What a notice of the same console names needs none.
//! 4. The level is noted, so that the next one need not ask.
//! 5. The notice is sent to each target, and `sent` is put beside it for each that took it.
//!
//! Who was killed before step 3 has told nobody, and the next instance goes on where that one stopped. Behind it, the
//! next finding or sweep finds a notice that was not sent, and sends it. Steps 1 to 4 come before the event's answer, and
//! step 5, which waits for others, behind it where a host has time then.

pub mod answer; // what a receiver's answer means (pure)
pub mod check; // whether people can be told
mod count; // a finding → a notice that this process sends
mod deliver; // notices that this process claimed → receivers
pub mod ladder; // when a signature is worth a notice (pure)
pub mod notice; // what a notice says (pure)
mod outbox; // what others have left
pub mod payload; // a notice → what each kind of receiver takes (pure)
pub mod send; // one notice to one receiver
pub mod sign; // how messages are signed (pure)
pub mod target; // who is told (pure)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::archive::key::ShortDigest;
use crate::clock::is_within;
use crate::lock::lock;
use crate::model::finding::Severity;
use crate::retry::{Deadline, Retrying};
use crate::store::{Object, PutOutcome, Store, StoreError};
use answer::SendError;
use notice::{Notice, Sighting};
use send::Sender;
use target::Target;

/// Most findings of one console that are told. The worst ones.
pub const MAX_OF_CONSOLE: usize = 5;
/// Most findings that wait in memory to be counted: those of 64 consoles, as many as a receiver of webhooks serves at
/// once. Those that are less severe give way.
const MAX_PENDING: usize = 64 * MAX_OF_CONSOLE;
/// Longest time for counting what one event has found, or several that are served at once, and again for sending it.
const TELL_TIME: Duration = Duration::from_secs(20);
/// Longest time for asking a secrets manager who is told.
const ASK_TIME: Duration = Duration::from_secs(5);
/// Most pages of a listing that are looked at: of a day of the outbox, and of the instances of a day, of which one page
/// has as many as count.
const MAX_PAGES: usize = 5;
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
    NewSignature(&'a Sighting),
    /// A receiver took a notice.
    Sent(&'a str, &'a Target),
    /// A receiver did not take it. It is sent again later.
    Failed(&'a str, &'a Target, &'a SendError),
    /// A receiver has failed just before, so that this one, and maybe others, wait.
    Waits(&'a str, &'a Target),
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
    pending: Mutex<Pending>,
    /// Who counts what is pending. Others wait, because it may be theirs.
    counting: tokio::sync::Mutex<()>,
    /// Who numbers a notice of the day.
    numbering: tokio::sync::Mutex<()>,
    /// Notices that this process has claimed and not sent yet.
    unsent: Mutex<Vec<deliver::Unsent>>,
    memory: Mutex<Memory>,
    /// Names this process in what it claims.
    claim: OnceLock<String>,
}

/// Findings that wait to be counted.
#[derive(Default)]
struct Pending {
    sightings: Vec<Sighting>,
    /// How many had no place.
    dropped: usize,
}

/// What a process remembers.
#[derive(Default)]
struct Memory {
    /// Saves work: instances that were counted, days that reached the top, and notices of others that cannot be sent.
    known: BTreeSet<String>,
    /// Notices that this process has claimed, or is about to. Each is claimed once.
    claims: BTreeSet<String>,
    looked_at: Option<Timestamp>,
    /// Targets that have failed lately, and whether it was said that others wait for that.
    failed_at: BTreeMap<ShortDigest, (Timestamp, bool)>,
    /// When a secrets manager did not say who is told.
    unknown_at: Option<Timestamp>,
    /// How many notices of a share were told on a day, at least. By the first number of the share.
    told_on: BTreeMap<u32, (Date, u32)>,
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
        if pending
            .sightings
            .iter()
            .any(|other| is_same(other, &sighting))
        {
            return;
        }
        if pending.sightings.len() < MAX_PENDING {
            return pending.sightings.push(sighting);
        }
        pending.dropped += 1;
        // The last of the least severe ones.
        let all = pending.sightings.iter().enumerate().rev();
        let least = all.min_by_key(|(_, one)| one.finding.severity);
        if let Some((index, one)) = least
            && one.finding.severity < sighting.finding.severity
        {
            pending.sightings.remove(index);
            pending.sightings.push(sighting);
        }
    }

    /// Whether there is something to count or to send.
    pub fn has_work(&self, now: Timestamp) -> bool {
        !lock(&self.shared.pending).sightings.is_empty() || self.has_unsent(now)
    }

    /// Tells what was noted, if there is anything, and what others have left. What there is no time for stays noted.
    /// Failures are reported, and are none of the event.
    pub async fn tell<S: Store>(&self, store: &S, now: Timestamp, deadline: Deadline) {
        if !self.has_work(now) {
            return;
        }
        self.count_pending(store, now, deadline).await;
        let work = deadline.or_earlier(Deadline::after(TELL_TIME));
        // At once: where each event has something new, what is old is sent, too.
        let send = self.send_unsent(store, now, work);
        join(send, self.take_over(store, now, deadline)).await;
    }

    /// Sends a notice that says that notices arrive, once to each target; beside them, why others are not known.
    pub async fn test(
        &self,
        notice: &Notice,
        now: Timestamp,
    ) -> (Vec<(Target, Result<(), SendError>)>, Option<String>) {
        let (targets, unknown) = self.all_targets().await;
        let sent = targets.into_iter().map(|target| async move {
            let sent = self.sender.send(&target, notice, now).await;
            (target, sent)
        });
        (join_all(sent).await, unknown)
    }

    /// Everybody who is told; beside them, why others are not known.
    pub async fn all_targets(&self) -> (Vec<Target>, Option<String>) {
        let managed = self.managed(None).await;
        let (managed, unknown) = match managed {
            Ok(managed) => (managed, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        (
            self.targets.iter().cloned().chain(managed).collect(),
            unknown,
        )
    }

    /// Who else is told, by what a secrets manager keeps.
    async fn managed(&self, most: Option<Duration>) -> Result<Vec<Target>, String> {
        let Some(read) = &self.read_targets else {
            return Ok(Vec::new());
        };
        let mut targets = match most {
            None => read().await?,
            Some(most) => {
                let read = tokio::time::timeout(most, read()).await;
                read.map_err(|_| "the secret was not read in time")??
            }
        };
        targets.retain(|target| !self.targets.iter().any(|other| other.id == target.id));
        Ok(targets)
    }

    /// Who else is told, for sending. Reports if nobody knows.
    async fn known_managed(&self, deadline: Deadline) -> Vec<Target> {
        let managed = self.managed(Some(deadline.remaining().min(ASK_TIME))).await;
        managed.unwrap_or_else(|why| {
            (self.report)(&Event::Lost("who is told", &why));
            Vec::new()
        })
    }

    /// Whether a target has failed just before.
    fn rests(&self, target: &ShortDigest, now: Timestamp) -> bool {
        let memory = lock(&self.shared.memory);
        let failed = memory.failed_at.get(target);
        failed.is_some_and(|(at, _)| is_within(RESTS_FOR, *at, now))
    }

    /// What names this process in an object that it claims.
    fn claim(&self) -> &str {
        self.shared.claim.get_or_init(|| {
            // It only has to differ from that of other processes.
            let number = getrandom::u64().unwrap_or_else(|_| fastrand::u64(..));
            format!("{number:016x}")
        })
    }

    /// Creates an object that says by its creator who does something. Whether that is this process: where the answer
    /// to its PUT was lost, the object is there at the next.
    async fn claims<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        key: &str,
        object: &Object,
    ) -> Result<bool, StoreError> {
        if store.put_if_absent(key, object).await? == PutOutcome::Created {
            return Ok(true);
        }
        let body = store.body(key).await?;
        let value: Option<serde_json::Value> =
            body.and_then(|body| serde_json::from_slice(&body).ok());
        Ok(value.is_some_and(|value| value["claim"] == self.claim()))
    }
}

/// Whether two sightings count once.
fn is_same(one: &Sighting, other: &Sighting) -> bool {
    other.finding.signature == one.finding.signature
        && other.instance_id == one.instance_id
        && other.day == one.day
}

/// Whether a target was there when the notice was made. Without any name in it, nobody knew them.
fn is_for(notice: &Notice, target: &Target) -> bool {
    let id = target.id.to_string();
    notice.targets.is_empty() || notice.targets.contains(&id)
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
