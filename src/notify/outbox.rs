//! What others have left: they were killed, or a receiver did not take it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::notice::Notice;
use super::target::Target;
use super::{Event, MAX_PAGES, Notifier, TELL_TIME, is_for, ladder};
use crate::archive::catalog::Day;
use crate::archive::key::ShortDigest;
use crate::archive::notice::{NoticeId, NoticeKey, OUTBOX_PREFIX, outbox_prefix, outbox_since};
use crate::clock::is_within;
use crate::lock::lock;
use crate::model::finding::Severe as _;
use crate::retry::{Deadline, Retrying};
use crate::store::{Entry, Pages, Store, StoreError};

/// How often a process looks.
const LOOKS_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// A notice that is older is not sent any more.
const SENT_FOR: SignedDuration = SignedDuration::from_hours(3 * 24);
/// Days whose notices are looked at. Behind them, the bucket's lifecycle rule removes them.
const OUTBOX_DAYS: i32 = 8;
/// No notice of another process is claimed in less time: its receiver may be slow, and an attempt would be lost.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// Most notices of others that one receiver is sent in one look.
const MAX_TAKEN_OVER: usize = 10;
/// Most notices that are read in one look: those of four days, if each day has as many as it may.
const MAX_READ: usize = 128;
/// Most bytes of a notice. Twenty lines of 200 characters, spelled out, are less.
const MAX_BYTES: usize = 128 << 10;
/// Notices that are read at once, and the longest time for one.
const READ_AT_ONCE: usize = 8;
const READ_TIME: Duration = Duration::from_secs(3);

/// What a listing says of one notice.
struct Left {
    id: NoticeId,
    created_at: Timestamp,
    states: BTreeMap<ShortDigest, State>,
}

/// What a listing says of one notice and one target.
#[derive(Default)]
struct State {
    is_over: bool,
    attempts: u32,
    last_at: Option<Timestamp>,
}

/// A notice that is due for some targets, by their names, with the number of attempts after the first.
struct Due {
    id: NoticeId,
    attempts: BTreeMap<ShortDigest, u32>,
}

impl Notifier {
    /// Sends what others have left, the worst first. Looks for it at most every five minutes, and only if there is time
    /// to send it.
    pub async fn take_over<S: Store>(&self, store: &S, now: Timestamp, deadline: Deadline) {
        let work = deadline.or_earlier(Deadline::after(TELL_TIME));
        if work.remaining() < LEAST_TIME {
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
        let left = left(&Retrying::new(store, work), now).await;
        let left = match left {
            Ok(left) => left,
            Err(_) if work.remaining().is_zero() => return,
            Err(error) => {
                return (self.report)(&Event::Lost("what was left", &error.to_string()));
            }
        };
        let is_old = |left: &Left| ladder::is_due(0, now.duration_since(left.created_at));
        if !left.iter().any(is_old) {
            return;
        }
        let managed = self.known_managed(work).await;
        let targets: Vec<_> = self.targets.iter().chain(&managed).collect();
        let due = left
            .into_iter()
            .filter_map(|left| self.due(left, &targets, now));
        let due: Vec<_> = due.take(MAX_READ).collect();
        let read = async |due: Due| Some((self.read(store, &due.id, work).await?, due));
        let notices: Vec<_> = stream::iter(due)
            .map(read)
            .buffer_unordered(READ_AT_ONCE)
            .filter_map(async |read| read)
            .collect()
            .await;
        let mut notices: Vec<(Notice, Due)> = notices;
        notices.sort_by_key(|(notice, due)| {
            Reverse((notice.sighting.severity(), due.id.level, due.id.day))
        });
        let sends = targets
            .iter()
            .map(|target| self.send_what_is_due(store, &notices, target, now, work));
        join_all(sends).await;
    }

    /// For whom a notice is due, if for anybody.
    fn due(&self, left: Left, targets: &[&Target], now: Timestamp) -> Option<Due> {
        let Left {
            id,
            created_at,
            states,
        } = left;
        let is_old = now.duration_since(created_at) > SENT_FOR;
        let is_due = |target: &&Target| {
            let none = State::default();
            let state = states.get(&target.id).unwrap_or(&none);
            let last_at = state.last_at.unwrap_or(created_at);
            let is_due = ladder::is_due(state.attempts, now.duration_since(last_at));
            let is_known = lock(&self.shared.memory).knows(&not_for(&id, target));
            if state.is_over || is_known || !(is_due || is_old) {
                return None;
            }
            let attempts = if is_old {
                ladder::MOST_ATTEMPTS
            } else {
                state.attempts
            };
            Some((target.id.clone(), attempts))
        };
        let attempts: BTreeMap<_, _> = targets.iter().filter_map(is_due).collect();
        let is_readable = !lock(&self.shared.memory).knows(&unreadable(&id));
        (is_readable && !attempts.is_empty()).then_some(Due { id, attempts })
    }

    /// Reads a notice. One that cannot be read is named, and keeps no other.
    async fn read<S: Store>(&self, store: &S, id: &NoticeId, work: Deadline) -> Option<Notice> {
        let time = work.or_earlier(Deadline::after(READ_TIME));
        let key = NoticeKey::Notice(id.clone()).to_string();
        let why = match Retrying::new(store, time).body(&key).await {
            Ok(None) => return None, // It was removed meanwhile.
            Ok(Some(body)) => match notice_of(id, &body) {
                Some(notice) => return Some(notice),
                None => {
                    lock(&self.shared.memory).note(unreadable(id));
                    "its object in the outbox is none of this program's".to_owned()
                }
            },
            Err(_) if work.remaining().is_zero() => return None,
            Err(error) => {
                if !error.is_transient() {
                    lock(&self.shared.memory).note(unreadable(id));
                }
                error.to_string()
            }
        };
        (self.report)(&Event::Lost(&id.to_string(), &why));
        None
    }

    async fn send_what_is_due<S: Store>(
        &self,
        store: &S,
        notices: &[(Notice, Due)],
        target: &Target,
        now: Timestamp,
        work: Deadline,
    ) {
        let mut taken = 0;
        for (notice, Due { id, attempts }) in notices {
            let Some(attempts) = attempts.get(&target.id) else {
                continue;
            };
            // Who was added since is not told of it.
            if !is_for(notice, target) {
                lock(&self.shared.memory).note(not_for(id, target));
                continue;
            }
            let is_last = *attempts >= ladder::MOST_ATTEMPTS;
            if !is_last && self.rests(&target.id, now) {
                self.say_it_waits(notice, target);
                continue;
            }
            if taken == MAX_TAKEN_OVER || work.remaining() < LEAST_TIME {
                return;
            }
            let of = (id.clone(), target.id.clone());
            let key = match is_last {
                true => NoticeKey::GivenUp(of.0, of.1),
                false => NoticeKey::Attempt(of.0, of.1, attempts + 1),
            };
            let (store, object) = (Retrying::new(store, work), self.claim_object());
            match self.claims(&store, &key.to_string(), &object).await {
                Ok(false) => {}
                Ok(true) if is_last => (self.report)(&Event::GivenUp(&notice.id, target)),
                Ok(true) => {
                    taken += 1;
                    self.send(store.inner, id, notice, target, now, work).await;
                }
                Err(error) => (self.report)(&Event::Lost(&notice.id, &error.to_string())),
            }
        }
    }
}

/// What an object says, if it is one of this program's. Its ID goes into headers, so that of the key must be it.
fn notice_of(id: &NoticeId, body: &[u8]) -> Option<Notice> {
    if body.len() > MAX_BYTES {
        return None;
    }
    let notice: Notice = serde_json::from_slice(body).ok()?;
    (notice.id == id.to_string()).then_some(notice)
}

fn not_for(id: &NoticeId, target: &Target) -> String {
    format!("{id} is not for {}", target.id)
}

fn unreadable(id: &NoticeId) -> String {
    format!("{id} cannot be read")
}

/// The notices of the last days, each with what became of it for each target, the newest days first. What is held back
/// is left out.
async fn left<S: Store>(store: &Retrying<'_, S>, now: Timestamp) -> Result<Vec<Left>, StoreError> {
    let today = Day::of(now).0;
    let first = today.checked_sub(OUTBOX_DAYS.days()).unwrap_or(Date::MIN);
    let mut pages = Pages::of(store, OUTBOX_PREFIX).after(&outbox_since(first));
    let mut all = Entries::default();
    all.add(pages.next_page().await?.unwrap_or_default());
    if !pages.is_over() {
        // There is more than one page, so the days of which many are left must not keep the others.
        all = Entries::default();
        for day in (0..=OUTBOX_DAYS).filter_map(|days| today.checked_sub(days.days()).ok()) {
            let mut pages = Pages::of(store, &outbox_prefix(day));
            while pages.requests < MAX_PAGES
                && let Some(page) = pages.next_page().await?
            {
                all.add(page);
            }
        }
    }
    Ok(all.left(today))
}

/// Entries of the outbox.
#[derive(Default)]
struct Entries {
    created: BTreeMap<NoticeId, Timestamp>,
    states: BTreeMap<NoticeId, BTreeMap<ShortDigest, State>>,
    held_back: BTreeSet<NoticeId>,
}

impl Entries {
    fn add(&mut self, page: Vec<Entry>) {
        for entry in page {
            let (id, target, attempt) = match NoticeKey::parse(&entry.key) {
                Some(NoticeKey::Notice(id)) => {
                    self.created.insert(id, entry.stored_at);
                    continue;
                }
                Some(NoticeKey::HeldBack(id)) => {
                    self.held_back.insert(id);
                    continue;
                }
                Some(NoticeKey::Sent(id, target) | NoticeKey::GivenUp(id, target)) => {
                    (id, target, None)
                }
                Some(NoticeKey::Attempt(id, target, number)) => (id, target, Some(number)),
                _ => continue,
            };
            let state = self
                .states
                .entry(id)
                .or_default()
                .entry(target)
                .or_default();
            state.is_over |= attempt.is_none();
            if let Some(number) = attempt {
                state.attempts = state.attempts.max(number);
                state.last_at = state.last_at.max(Some(entry.stored_at));
            }
        }
    }

    fn left(self, today: Date) -> Vec<Left> {
        let Self {
            created,
            mut states,
            held_back,
        } = self;
        let tomorrow = today.tomorrow().unwrap_or(Date::MAX);
        let created = created.into_iter().rev(); // By day, the latest first.
        let is_left = |(id, _): &(NoticeId, _)| id.day <= tomorrow && !held_back.contains(id);
        let left = created.filter(is_left).map(|(id, created_at)| Left {
            states: states.remove(&id).unwrap_or_default(),
            id,
            created_at,
        });
        left.collect()
    }
}
