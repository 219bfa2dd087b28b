//! Notices that this process claimed → receivers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::notice::Notice;
use super::target::Target;
use super::{Event, Notifier, empty, is_for, ladder};
use crate::archive::key::ShortDigest;
use crate::archive::notice::{NoticeId, NoticeKey};
use crate::clock::is_within;
use crate::lock::lock;
use crate::model::finding::{Severe, Severity, worst_first};
use crate::retry::{Deadline, Retrying, retry};
use crate::store::Store;

/// Longest time for one notice and one receiver, with what is sent again.
const SEND_TIME: Duration = Duration::from_secs(10);
/// No notice is sent in less time. Receivers take longer, and would get it twice.
const LEAST_TIME: Duration = Duration::from_millis(250);
/// Part of the time for noting that a receiver took a notice.
const NOTE_RESERVE: Duration = Duration::from_secs(1);
/// Notices that one receiver is sent at once.
const SENT_AT_ONCE: usize = 4;
/// A part of [`ladder::FIRST_WAIT`] that is left when this process sends for the last time without asking who else does.
const OTHERS_RESERVE: SignedDuration = SignedDuration::from_mins(1);

/// A notice that this process has claimed, for one of its targets or for all.
pub(super) struct Unsent {
    /// As it is in the outbox.
    id: NoticeId,
    notice: Arc<Notice>,
    only: Option<ShortDigest>,
    claimed_at: Timestamp,
}

impl Unsent {
    /// For all of its targets.
    pub(super) fn new(id: NoticeId, notice: Notice, claimed_at: Timestamp) -> Self {
        Self {
            id,
            notice: Arc::new(notice),
            only: None,
            claimed_at,
        }
    }

    /// Whether no other process sends it yet.
    fn is_own(&self, now: Timestamp) -> bool {
        is_within(ladder::FIRST_WAIT - OTHERS_RESERVE, self.claimed_at, now)
    }
}

impl Severe for Unsent {
    fn severity(&self) -> Severity {
        self.notice.sighting.severity()
    }
}

impl Notifier {
    /// Whether something was claimed and can be sent now.
    pub(super) fn has_unsent(&self, now: Timestamp) -> bool {
        let mut unsent = lock(&self.shared.unsent);
        unsent.retain(|one| one.is_own(now));
        let rests = |target: &ShortDigest| self.rests(target, now);
        unsent
            .iter()
            .any(|one| !one.only.as_ref().is_some_and(rests))
    }

    /// Sends what was claimed, the worst first. What there is no time for, and what a receiver that rests misses, stays.
    pub(super) async fn send_unsent<S: Store>(&self, store: &S, now: Timestamp, work: Deadline) {
        let mut unsent = std::mem::take(&mut *lock(&self.shared.unsent));
        unsent.retain(|one| one.is_own(now));
        if unsent.is_empty() {
            return;
        }
        worst_first(&mut unsent);
        // Who is known does not wait for who is not.
        let known = self.send_each(store, &unsent, &self.targets, now, work);
        let managed = async {
            let managed = self.known_managed(work).await;
            self.send_each(store, &unsent, &managed, now, work).await;
        };
        join(known, managed).await;
    }

    async fn send_each<S: Store>(
        &self,
        store: &S,
        unsent: &[Unsent],
        targets: &[Target],
        now: Timestamp,
        work: Deadline,
    ) {
        let sends = targets
            .iter()
            .map(|target| self.send_to(store, unsent, target, now, work));
        join_all(sends).await;
    }

    async fn send_to<S: Store>(
        &self,
        store: &S,
        unsent: &[Unsent],
        target: &Target,
        now: Timestamp,
        work: Deadline,
    ) {
        let is_due = |one: &&Unsent| {
            one.only.as_ref().is_none_or(|only| *only == target.id) && is_for(&one.notice, target)
        };
        let mut sends = Vec::new();
        for one in unsent.iter().filter(is_due) {
            sends.push(self.send_one(store, one, target, now, work));
        }
        stream::iter(sends)
            .buffer_unordered(SENT_AT_ONCE)
            .collect::<()>()
            .await;
    }

    /// Sends a notice to a target, or keeps it for that one.
    async fn send_one<S: Store>(
        &self,
        store: &S,
        one: &Unsent,
        target: &Target,
        now: Timestamp,
        work: Deadline,
    ) {
        let rests = self.rests(&target.id, now);
        if !rests && work.remaining() >= LEAST_TIME {
            return (self.send(store, &one.id, &one.notice, target, now, work)).await;
        }
        lock(&self.shared.unsent).push(Unsent {
            id: one.id.clone(),
            notice: one.notice.clone(),
            only: Some(target.id.clone()),
            claimed_at: one.claimed_at,
        });
        if rests {
            self.say_it_waits(&one.notice, target);
        }
    }

    /// Says once, as long as a target rests, that a notice waits for that.
    pub(super) fn say_it_waits(&self, notice: &Notice, target: &Target) {
        let mut memory = lock(&self.shared.memory);
        let failed = memory.failed_at.get_mut(&target.id);
        let was_said = failed.is_none_or(|(_, is_said)| std::mem::replace(is_said, true));
        drop(memory);
        if !was_said {
            (self.report)(&Event::Waits(&notice.id, target));
        }
    }

    /// Sends a notice to a target, and notes that it has it. `id`: as it is in the outbox.
    pub(super) async fn send<S: Store>(
        &self,
        store: &S,
        id: &NoticeId,
        notice: &Notice,
        target: &Target,
        now: Timestamp,
        deadline: Deadline,
    ) {
        let time = deadline.with_reserve(NOTE_RESERVE);
        let time = time.or_earlier(Deadline::after(SEND_TIME));
        let attempt = || self.sender.send(target, notice, now);
        if let Err(error) = retry(time, "the receiver", attempt).await {
            if error.is_of_receiver() {
                let mut memory = lock(&self.shared.memory);
                memory.failed_at.insert(target.id.clone(), (now, false));
            }
            return (self.report)(&Event::Failed(&notice.id, target, &error));
        }
        (self.report)(&Event::Sent(&notice.id, target));
        let key = NoticeKey::Sent(id.clone(), target.id.clone()).to_string();
        let store = Retrying::new(store, deadline);
        if let Err(error) = store.put_if_absent(&key, &empty()).await {
            let what = format!("that {target} has {id}, so that it may get it twice");
            (self.report)(&Event::Lost(&what, &error.to_string()));
        }
    }
}
