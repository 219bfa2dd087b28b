//! A finding → a notice that this process sends.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::OnceCell;

use super::deliver::Unsent;
use super::ladder::{self, Reached, Share};
use super::notice::{MORE, Notice, Sighting};
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
use crate::model::finding::{Severe, Severity, worst_first};
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
    /// This process, with the notice of something worse on the same console.
    With,
    /// Another one.
    Elsewhere,
    /// Nobody: enough was told on that day.
    HeldBack,
}

/// What was noted of one signature and one day.
struct Counting {
    id: SignatureOn,
    sightings: Vec<Sighting>,
    reached: Reached,
    first_level_at: Option<Timestamp>,
}

/// What is counted: a signature on a day.
#[derive(Clone, PartialEq, Eq)]
struct SignatureOn {
    signature: ShortDigest,
    day: Date,
}

impl fmt::Display for SignatureOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.signature, self.day)
    }
}

/// A signature that reached a level, of which nobody was told yet. Of its sightings the first is told.
struct Risen {
    counting: Counting,
    level: u32,
    is_new: bool,
    instances: u32,
    since: Timestamp,
}

impl Risen {
    fn sighting(&self) -> &Sighting {
        &self.counting.sightings[0]
    }

    fn notice_id(&self) -> NoticeId {
        let SignatureOn { signature, day } = self.counting.id.clone();
        NoticeId {
            day,
            signature,
            level: self.level,
        }
    }

    fn notice(&self, targets: Vec<String>, claim: String) -> Notice {
        let (id, sighting) = (self.notice_id(), self.sighting().clone());
        sighting.notice(&id, self.is_new, self.instances, self.since, targets, claim)
    }

    /// Whether the notice of another one names it: it is on the same console, and has not risen further.
    fn is_told_with(&self, other: &Self) -> bool {
        let signature = &self.sighting().finding.signature;
        let mut also = other.sighting().also.iter();
        self.level <= other.level && also.any(|one| one.signature == *signature)
    }
}

impl Severe for Risen {
    fn severity(&self) -> Severity {
        self.sighting().finding.severity
    }
}

/// How many notices were told on a day.
struct ToldOn {
    /// Of a share of the day's notices.
    of_share: u32,
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
        let store = Retrying::new(store, work);
        let counted = self.counted(&store, sightings, &turn).await;
        let mut risen = self.risen(&store, counted, &turn).await;
        worst_first(&mut risen);
        let mut told: Vec<Risen> = Vec::new();
        for one in risen {
            let tells = self.tell_risen(&store, &one, &told, &turn).await;
            let Counting { id, sightings, .. } = &one.counting;
            match tells {
                Ok(claimed) => {
                    self.is_counted(id, sightings);
                    if matches!(claimed, Claimed::Here) {
                        told.push(one);
                    }
                }
                Err(error) => self.is_not_counted(sightings, &error, work),
            }
        }
    }

    /// Notes each instance in the archive, and returns what is above it, by signature and day. What is known to be
    /// counted is left out.
    async fn counted<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        sightings: Vec<Sighting>,
        turn: &Turn,
    ) -> Vec<Counting> {
        let mut groups: Vec<(SignatureOn, Vec<Sighting>)> = Vec::new();
        for sighting in sightings {
            let signature = signature_digest(&sighting.finding.signature);
            let day = sighting.day;
            let id = SignatureOn { signature, day };
            match groups.iter_mut().find(|(other, _)| *other == id) {
                Some((_, group)) => group.push(sighting),
                None => groups.push((id, vec![sighting])),
            }
        }
        let levels = async |(id, sightings): (SignatureOn, Vec<Sighting>)| {
            let (known, new): (Vec<_>, Vec<_>) =
                sightings.into_iter().partition(|one| self.knows(&id, one));
            self.is_counted(&id, &known);
            if new.is_empty() {
                return None;
            }
            let (reached, first_level_at) = match levels(store, &id, turn.now).await {
                Ok(levels) => levels,
                Err(error) => {
                    self.is_not_counted(&new, &error, turn.work);
                    return None;
                }
            };
            if reached.on(id.day) >= ladder::TOP {
                lock(&self.shared.memory).note(id.to_string());
                self.is_counted(&id, &new);
                return None;
            }
            Some(Counting {
                id,
                sightings: new,
                reached,
                first_level_at,
            })
        };
        let groups = stream::iter(groups).map(levels);
        let groups = groups.buffered(COUNTED_AT_ONCE).collect::<Vec<_>>().await;
        let mut groups: Vec<_> = groups.into_iter().flatten().collect();
        let mut all = Vec::new();
        for (index, group) in groups.iter_mut().enumerate() {
            let sightings = std::mem::take(&mut group.sightings);
            all.extend(sightings.into_iter().map(|sighting| (index, sighting)));
        }
        let note = async |(group, sighting): (usize, Sighting)| {
            let SignatureOn { signature, day } = groups[group].id.clone();
            let seen = NoticeKey::Seen {
                signature,
                day,
                instance_id: sighting.instance_id.clone(),
            };
            let noted = store.put_if_absent(&seen.to_string(), &empty()).await;
            match noted {
                Ok(_) => Some((group, sighting)),
                Err(error) => {
                    self.is_not_counted(std::slice::from_ref(&sighting), &error, turn.work);
                    None
                }
            }
        };
        let noted = stream::iter(all).map(note).buffered(COUNTED_AT_ONCE);
        let noted = noted.collect::<Vec<_>>().await;
        for (group, sighting) in noted.into_iter().flatten() {
            groups[group].sightings.push(sighting);
        }
        groups.retain(|group| !group.sightings.is_empty());
        groups
    }

    /// What has reached a level. The rest is done.
    async fn risen<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        counted: Vec<Counting>,
        turn: &Turn,
    ) -> Vec<Risen> {
        let look = async |counting: Counting| {
            let Counting { id, sightings, .. } = &counting;
            let (instances, first_seen_at) = match seen_on(store, id).await {
                Ok(seen) => seen,
                Err(error) => {
                    self.is_not_counted(sightings, &error, turn.work);
                    return None;
                }
            };
            let instances = instances.max(1);
            let level = ladder::level(instances);
            if level <= counting.reached.on(id.day) {
                self.is_counted(id, sightings);
                return None;
            }
            let since = [counting.first_level_at, first_seen_at];
            Some(Risen {
                level,
                is_new: counting.reached.is_new(),
                instances,
                since: since.into_iter().flatten().min().unwrap_or(turn.now),
                counting,
            })
        };
        let risen = stream::iter(counted).map(look).buffered(COUNTED_AT_ONCE);
        let risen = risen.collect::<Vec<_>>().await;
        risen.into_iter().flatten().collect()
    }

    /// Claims the notice of what has reached a level, unless one of these names it, and notes the level. The notice, if
    /// this is the process that sends it, is unsent then.
    async fn tell_risen<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        risen: &Risen,
        told: &[Risen],
        turn: &Turn,
    ) -> Result<Claimed, StoreError> {
        let SignatureOn { signature, day } = risen.counting.id.clone();
        let claimed = if !risen.counting.reached.is_risen_to(risen.level) {
            Claimed::Elsewhere
        } else if told.iter().any(|other| risen.is_told_with(other)) {
            Claimed::With
        } else {
            self.claim_notice(store, risen, turn).await?
        };
        // Of what is held back no level is noted, so that it is told on another day.
        if !matches!(claimed, Claimed::HeldBack) {
            let key = NoticeKey::Level {
                signature,
                day,
                level: risen.level,
            };
            let noted = store.put_if_absent(&key.to_string(), &empty()).await;
            match (noted, &claimed) {
                // Who has a notice to send sends it. The next instance notes the level.
                (noted, Claimed::Elsewhere) => drop(noted?),
                (noted, Claimed::With) => {
                    if noted? == PutOutcome::Created && risen.is_new {
                        (self.report)(&Event::NewSignature(risen.sighting()));
                    }
                }
                (_, Claimed::Here | Claimed::HeldBack) => {}
            }
        }
        Ok(claimed)
    }

    /// These are counted, and told if they are to be.
    fn is_counted(&self, id: &SignatureOn, sightings: &[Sighting]) {
        for one in sightings {
            lock(&self.shared.memory).note(counted_as(id, one));
        }
        self.forget(sightings);
    }

    /// These are lost, and that is told. What there was no time for is not: it stays pending, and the next event goes on.
    fn is_not_counted(&self, sightings: &[Sighting], error: &StoreError, work: Deadline) {
        if error.is_transient() && work.remaining().is_zero() {
            return;
        }
        for one in sightings {
            let what = format!("{} of {}", one.finding.signature, one.instance_id);
            (self.report)(&Event::Lost(&what, &error.to_string()));
        }
        self.forget(sightings);
    }

    /// Takes out of what is pending. Only at the end: who is cut off before has lost nothing.
    fn forget(&self, sightings: &[Sighting]) {
        let is_done = |pending: &Sighting| sightings.iter().any(|one| is_same(pending, one));
        let mut pending = lock(&self.shared.pending);
        pending.sightings.retain(|one| !is_done(one));
    }

    /// Whether this process knows that an instance is counted, or that nobody needs to be.
    fn knows(&self, id: &SignatureOn, sighting: &Sighting) -> bool {
        let memory = lock(&self.shared.memory);
        memory.knows(&id.to_string()) || memory.knows(&counted_as(id, sighting))
    }

    /// Puts a notice into the outbox, if not too many were told today.
    async fn claim_notice<S: Store>(
        &self,
        store: &Retrying<'_, S>,
        risen: &Risen,
        turn: &Turn,
    ) -> Result<Claimed, StoreError> {
        let (sighting, id) = (risen.sighting(), &risen.notice_id());
        let today = Day::of(turn.now).0;
        let share = ladder::share(sighting.finding.severity, id.level);
        let hold_back = || self.hold_back(store, sighting, turn);
        if self.knows_enough_told(today, share) {
            hold_back().await?;
            return Ok(Claimed::HeldBack);
        }
        let numbering = self.shared.numbering.lock().await;
        let told = told_on(store, today, share, &sighting.instance_id).await?;
        self.note_told(today, share, told.of_share);
        let is_of_one = id.level == ladder::LEVELS[0];
        if told.of_share >= share.most
            || (is_of_one && told.of_instance >= ladder::MOST_OF_INSTANCE)
        {
            drop(numbering);
            hold_back().await?;
            return Ok(Claimed::HeldBack);
        }
        let Some(claiming) = Claiming::begin(&self.shared.memory, id) else {
            return Ok(Claimed::Elsewhere);
        };
        let targets = self.names(turn).await;
        let claim = self.claim().to_owned();
        let notice = risen.notice(targets, claim);
        let object = json_object(serde_json::to_vec(&notice).unwrap_or_default());
        let key = NoticeKey::Notice(id.clone()).to_string();
        if !self.claims(store, &key, &object).await? {
            return Ok(Claimed::Elsewhere);
        }
        claiming.done();
        if !(self.number(store, sighting, today, told.of_share, share)).await {
            // Others were told meanwhile. If this fails, it is sent as one too many.
            let key = NoticeKey::HeldBack(id.clone()).to_string();
            let _ = store.put_if_absent(&key, &empty()).await;
            drop(numbering);
            hold_back().await?;
            return Ok(Claimed::HeldBack);
        }
        if notice.is_new {
            (self.report)(&Event::NewSignature(&notice.sighting));
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
        share: Share,
    ) -> bool {
        for taken in told..share.most {
            let number = share.first + taken;
            let key = NoticeKey::Told { day, number }.to_string();
            match store.put_if_absent(&key, &empty()).await {
                Ok(PutOutcome::Exists) => continue,
                Ok(PutOutcome::Created) => {
                    self.note_told(day, share, taken + 1);
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
        self.note_told(day, share, share.most);
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

    fn note_told(&self, day: Date, share: Share, told: u32) {
        let mut memory = lock(&self.shared.memory);
        memory.told_on.insert(share.first, (day, told));
    }

    fn knows_enough_told(&self, day: Date, share: Share) -> bool {
        let memory = lock(&self.shared.memory);
        let told_on = memory.told_on.get(&share.first);
        told_on.is_some_and(|(of, told)| *of == day && *told >= share.most)
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
    of: &SignatureOn,
    now: Timestamp,
) -> Result<(Reached, Option<Timestamp>), StoreError> {
    let tomorrow = Day::of(now).0.tomorrow().unwrap_or(Date::MAX);
    let since = levels_since(&of.signature, ladder::known_since(of.day));
    let mut pages = Pages::of(store, &levels_prefix(&of.signature)).after(&since);
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

/// What a process remembers of an instance that is counted.
fn counted_as(id: &SignatureOn, sighting: &Sighting) -> String {
    format!("{id} {}", sighting.instance_id)
}

/// How many instances showed a signature on a day, up to the highest level, and when the first of them was noted.
async fn seen_on<S: Store>(
    store: &Retrying<'_, S>,
    of: &SignatureOn,
) -> Result<(u32, Option<Timestamp>), StoreError> {
    let mut pages = Pages::of(store, &seen_prefix(&of.signature, of.day));
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

/// How many notices of a share were told on a day, and how many of this instance.
async fn told_on<S: Store>(
    store: &Retrying<'_, S>,
    day: Date,
    share: Share,
    of: &InstanceId,
) -> Result<ToldOn, StoreError> {
    let mut told = ToldOn {
        of_share: 0,
        of_instance: 0,
    };
    let mut pages = Pages::of(store, &told_prefix(day));
    while pages.requests < MAX_PAGES
        && let Some(page) = pages.next_page().await?
    {
        for entry in page {
            match NoticeKey::parse(&entry.key) {
                Some(NoticeKey::Told { number, .. }) if share.includes(number) => {
                    told.of_share += 1;
                }
                Some(NoticeKey::ToldOf { instance_id, .. }) if instance_id == *of => {
                    told.of_instance += 1;
                }
                _ => {}
            }
        }
    }
    Ok(told)
}
