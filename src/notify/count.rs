//! A finding → a notice that this process sends.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::OnceCell;

use super::deliver::Unsent;
use super::ladder::{self, Reached};
use super::notice::{MORE, Sighting};
use super::{
    Event, MAX_PAGES, MAX_PENDING, Memory, Notifier, TELL_TIME, empty, is_same, json_object,
};
use crate::archive::catalog::Day;
use crate::archive::key::ShortDigest;
use crate::archive::notice::{
    NoticeId, NoticeKey, levels_prefix, levels_since, seen_prefix, signature_digest, told_prefix,
};
use crate::clock::is_within;
use crate::lock::lock;
use crate::model::finding::worst_first;
use crate::model::ids::InstanceId;
use crate::retry::{Deadline, Retrying};
use crate::store::{Pages, PutOutcome, Store, StoreError};

/// Findings that are counted at once.
const COUNTED_AT_ONCE: usize = 8;
/// Longest time for asking a secrets manager for names of targets, while an event waits.
const ASK_TIME: Duration = Duration::from_secs(2);
/// A secrets manager that did not answer is not asked for names again for so long.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_mins(1);

/// What is counted at once shares this.
struct Turn {
    now: Timestamp,
    work: Deadline,
    /// Names of the targets, found once for all notices.
    names: OnceCell<Vec<String>>,
}

/// Who sends a notice.
enum Claimed {
    /// This process.
    Here,
    /// Another one.
    Elsewhere,
    /// Nobody: enough was told on that day.
    HeldBack,
}

/// How many notices were told on a day.
struct ToldOn {
    all: u32,
    of_instance: u32,
}

/// A notice that is about to be claimed. If that fails, it may be claimed again.
struct Claiming<'a> {
    memory: &'a Mutex<Memory>,
    id: String,
    is_done: bool,
}

impl<'a> Claiming<'a> {
    /// `None` if this process has claimed it before, or is about to.
    fn begin(memory: &'a Mutex<Memory>, id: &NoticeId) -> Option<Self> {
        let id = id.to_string();
        let is_new = lock(memory).claims.insert(id.clone());
        is_new.then(|| Self {
            memory,
            id,
            is_done: false,
        })
    }

    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            lock(self.memory).claims.remove(&self.id);
        }
    }
}

impl Notifier {
    /// Counts what was noted, by whichever event, and claims notices of it. Sends nothing. When it returns before the
    /// deadline, nothing is pending that was so when it began. What there is no time for stays noted.
    pub async fn count_pending<S: Store>(&self, store: &S, now: Timestamp, deadline: Deadline) {
        let work = deadline.or_earlier(Deadline::after(TELL_TIME));
        let own = tokio::time::timeout(work.remaining(), self.shared.counting.lock());
        let Ok(_own) = own.await else {
            return;
        };
        let (mut sightings, dropped) = {
            let mut pending = lock(&self.shared.pending);
            (
                pending.sightings.clone(),
                std::mem::take(&mut pending.dropped),
            )
        };
        if dropped > 0 {
            let what = format!("a part of what was found ({dropped} findings)");
            let why = format!(
                "more than {MAX_PENDING} waited to be counted, and the least severe had no place"
            );
            (self.report)(&Event::Lost(&what, &why));
        }
        worst_first(&mut sightings);
        let turn = Turn {
            now,
            work,
            names: OnceCell::new(),
        };
        let count = async |sighting: Sighting| {
            let store = Retrying::new(store, work);
            match self.count(&store, &sighting, &turn).await {
                Ok(()) => {}
                // The next event goes on.
                Err(error) if error.is_transient() && work.remaining().is_zero() => return,
                Err(error) => {
                    let finding = &sighting.finding.signature;
                    let what = format!("{finding} of {}", sighting.instance_id);
                    (self.report)(&Event::Lost(&what, &error.to_string()));
                }
            }
            // Only now: who is cut off here has lost nothing.
            let mut pending = lock(&self.shared.pending);
            pending.sightings.retain(|one| !is_same(one, &sighting));
        };
        stream::iter(sightings)
            .for_each_concurrent(COUNTED_AT_ONCE, count)
            .await;
    }

    /// Counts an instance. The notice, if this is the process that sends it, is unsent then.
    async fn count<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        sighting: &Sighting,
        turn: &Turn,
    ) -> Result<(), StoreError> {
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
            return Ok(());
        }
        let (reached, first_level_at) = levels(store, &signature, day, turn.now).await?;
        if reached.on(day) >= ladder::TOP {
            lock(&self.shared.memory).note(top);
            return Ok(());
        }
        let seen = NoticeKey::Seen {
            signature: signature.clone(),
            day,
            instance_id: instance_id.clone(),
        };
        store.put_if_absent(&seen.to_string(), &empty()).await?;
        let (instances, first_seen_at) = seen_on(store, &signature, day).await?;
        let instances = instances.max(1);
        let level = ladder::level(instances);
        if level > reached.on(day) {
            let mut claimed = Claimed::Elsewhere;
            if reached.is_risen_to(level) {
                let id = NoticeId {
                    day,
                    signature: signature.clone(),
                    level,
                };
                let since = [first_level_at, first_seen_at].into_iter().flatten().min();
                let since = since.unwrap_or(turn.now);
                let is_new = reached.is_new();
                let count = (is_new, instances, since);
                let claim = self.claim_notice(store, sighting, &id, count, turn);
                claimed = claim.await?;
            }
            let key = NoticeKey::Level {
                signature,
                day,
                level,
            };
            // Of what is held back no level is noted, so that it is told on another day.
            if !matches!(claimed, Claimed::HeldBack) {
                let noted = store.put_if_absent(&key.to_string(), &empty()).await;
                // Who has a notice to send sends it. The next instance notes the level.
                if matches!(claimed, Claimed::Elsewhere) {
                    noted?;
                }
            }
        }
        lock(&self.shared.memory).note(counted);
        Ok(())
    }

    /// Puts a notice into the outbox, if not too many were told today. `count`: whether the signature is new, how many
    /// instances show it, and since when.
    async fn claim_notice<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        sighting: &Sighting,
        id: &NoticeId,
        (is_new, instances, since): (bool, u32, Timestamp),
        turn: &Turn,
    ) -> Result<Claimed, StoreError> {
        let today = Day::of(turn.now).0;
        let most = ladder::most_told(sighting.finding.severity, id.level);
        let hold_back = || self.hold_back(store, sighting, turn);
        if self.knows_enough_told(today, most) {
            hold_back().await?;
            return Ok(Claimed::HeldBack);
        }
        let numbering = self.shared.numbering.lock().await;
        let told = told_on(store, today, &sighting.instance_id).await?;
        lock(&self.shared.memory).told_on = Some((today, told.all));
        let is_of_one = id.level == ladder::LEVELS[0];
        if told.all >= most || (is_of_one && told.of_instance >= ladder::MOST_OF_INSTANCE) {
            drop(numbering);
            hold_back().await?;
            return Ok(Claimed::HeldBack);
        }
        let Some(claiming) = Claiming::begin(&self.shared.memory, id) else {
            return Ok(Claimed::Elsewhere);
        };
        let targets = self.names(turn).await;
        let claim = self.claim().to_owned();
        let notice = (sighting.clone()).notice(id, is_new, instances, since, targets, claim);
        let object = json_object(serde_json::to_vec(&notice).unwrap_or_default());
        let key = NoticeKey::Notice(id.clone()).to_string();
        if !self.claims(store, &key, &object).await? {
            return Ok(Claimed::Elsewhere);
        }
        claiming.done();
        if !self.number(store, sighting, today, told.all, most).await {
            // Others were told meanwhile. If this fails, it is sent as one too many.
            let key = NoticeKey::HeldBack(id.clone()).to_string();
            let _ = store.put_if_absent(&key, &empty()).await;
            drop(numbering);
            hold_back().await?;
            return Ok(Claimed::HeldBack);
        }
        if notice.is_new {
            (self.report)(&Event::NewSignature(&notice));
        }
        lock(&self.shared.unsent).push(Unsent::new(id.clone(), notice, turn.now));
        Ok(Claimed::Here)
    }

    /// Takes a number of the day for a notice. Whether there is one. A failure of the archive keeps no notice.
    async fn number<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        sighting: &Sighting,
        day: Date,
        told: u32,
        most: u32,
    ) -> bool {
        for number in told + 1..=most {
            let key = NoticeKey::Told { day, number }.to_string();
            match store.put_if_absent(&key, &empty()).await {
                Ok(PutOutcome::Exists) => continue,
                Ok(PutOutcome::Created) => {
                    lock(&self.shared.memory).told_on = Some((day, number));
                    let instance_id = sighting.instance_id.clone();
                    let of = NoticeKey::ToldOf {
                        day,
                        instance_id,
                        number,
                    };
                    let _ = store.put_if_absent(&of.to_string(), &empty()).await;
                }
                Err(_) => {}
            }
            return true;
        }
        lock(&self.shared.memory).told_on = Some((day, most));
        false
    }

    /// Says, once a day, that more was found than is told.
    async fn hold_back<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        sighting: &Sighting,
        turn: &Turn,
    ) -> Result<(), StoreError> {
        let day = Day::of(turn.now).0;
        let said = format!("{day} has more");
        if lock(&self.shared.memory).knows(&said) {
            return Ok(());
        }
        let id = NoticeId {
            day,
            signature: signature_digest(MORE),
            level: ladder::LEVELS[0],
        };
        let Some(claiming) = Claiming::begin(&self.shared.memory, &id) else {
            return Ok(());
        };
        let targets = self.names(turn).await;
        let notice = (sighting.clone()).of_more(&id, targets, self.claim().to_owned());
        let object = json_object(serde_json::to_vec(&notice).unwrap_or_default());
        let key = NoticeKey::Notice(id.clone()).to_string();
        let is_here = self.claims(store, &key, &object).await?;
        claiming.done();
        lock(&self.shared.memory).note(said);
        let what = format!("{} of {}", sighting.finding.signature, sighting.instance_id);
        let why =
            "enough was told today; console-archive report has it, and what is not told after it";
        (self.report)(&Event::Lost(&what, why));
        if is_here {
            lock(&self.shared.unsent).push(Unsent::new(id, notice, turn.now));
        }
        Ok(())
    }

    fn knows_enough_told(&self, day: Date, most: u32) -> bool {
        let told_on = lock(&self.shared.memory).told_on;
        told_on.is_some_and(|(of, told)| of == day && told >= most)
    }

    /// Names of the targets. None if not all of them are known, so that the notice is for everybody.
    async fn names(&self, turn: &Turn) -> Vec<String> {
        let ask = || self.ask_for_names(turn.now, turn.work);
        turn.names.get_or_init(ask).await.clone()
    }

    async fn ask_for_names(&self, now: Timestamp, work: Deadline) -> Vec<String> {
        let unknown_at = lock(&self.shared.memory).unknown_at;
        if unknown_at.is_some_and(|at| is_within(UNKNOWN_FOR, at, now)) {
            return Vec::new();
        }
        let most = ASK_TIME.min(work.remaining() / 2);
        match self.managed(Some(most)).await {
            Ok(managed) => {
                let targets = self.targets.iter().chain(&managed);
                targets.map(|target| target.id.to_string()).collect()
            }
            // It is reported when it is asked to whom this is sent.
            Err(_) => {
                lock(&self.shared.memory).unknown_at = Some(now);
                Vec::new()
            }
        }
    }

    /// What an object says that this process alone may create.
    pub(super) fn claim_object(&self) -> crate::store::Object {
        json_object(json!({"claim": self.claim()}).to_string().into_bytes())
    }
}

/// The levels of a signature in the week before a day and since, and when the first was noted. Of days to come, as a
/// clock that is wrong notes them, none count.
async fn levels<S: Store>(
    store: &Retrying<'_, S>,
    signature: &ShortDigest,
    day: Date,
    now: Timestamp,
) -> Result<(Reached, Option<Timestamp>), StoreError> {
    let tomorrow = Day::of(now).0.tomorrow().unwrap_or(Date::MAX);
    let since = levels_since(signature, ladder::known_since(day));
    let mut pages = Pages::of(store, &levels_prefix(signature)).after(&since);
    let (mut reached, mut first_at) = (Reached::default(), None);
    while pages.requests < MAX_PAGES
        && let Some(page) = pages.next_page().await?
    {
        for entry in page {
            if let Some(NoticeKey::Level { day, level, .. }) = NoticeKey::parse(&entry.key)
                && day <= tomorrow
            {
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

/// How many notices were told on a day, and how many of this instance.
async fn told_on<S: Store>(
    store: &Retrying<'_, S>,
    day: Date,
    of: &InstanceId,
) -> Result<ToldOn, StoreError> {
    let mut told = ToldOn {
        all: 0,
        of_instance: 0,
    };
    let mut pages = Pages::of(store, &told_prefix(day));
    while pages.requests < MAX_PAGES
        && let Some(page) = pages.next_page().await?
    {
        for entry in page {
            match NoticeKey::parse(&entry.key) {
                Some(NoticeKey::Told { .. }) => told.all += 1,
                Some(NoticeKey::ToldOf { instance_id, .. }) if instance_id == *of => {
                    told.of_instance += 1;
                }
                _ => {}
            }
        }
    }
    Ok(told)
}
