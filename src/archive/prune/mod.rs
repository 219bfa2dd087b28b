//! Old boots of instances go, as a whole and with all that belongs to them.
//!
//! ```text
//! listing ─▶ consoles ─▶ boots ─▶ policy: why each is kept ─▶ plan
//!                                                              │
//!                          for each boot that goes:            ▼
//!                          1. a row for each of its records says that it is pruned
//!                          2. its records, the oldest first, each with its verdicts
//! ```
//!
//! The catalog comes first. So whoever is killed in between leaves records that no listing of the fleet shows, and
//! no row without its record that does not say so. The oldest record has the beginning of the boot, so a boot of
//! which a part is left does not look whole. Another run finishes the work: it plans anew by what is there.
//!
//! Nothing is removed by what was seen long before: each instance is listed, read and decided about once more right
//! before.

pub mod policy; // which boots are kept, and why (pure)

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::catalog::read::Catalog;
use super::catalog::{Row, Subject};
use super::instances::Instances;
use super::key::{MarkerKey, RecordKey, VerdictKey};
use super::reader::{self, Console, Listing, ReadError, RecordEntry};
use crate::clock::whole_second;
use crate::model::ids::InstanceId;
use crate::reading::stitch::{Boot, Stitcher};
use crate::store::{self, Entry, Pages, Store, StoreError};
use policy::{Facts, Reason, Rules, decide, may_go};

/// Instances that are read at once, and objects of each.
const INSTANCES_AT_ONCE: usize = 8;
/// Objects of an instance that are read or written at once.
const AT_ONCE: usize = 16;
/// Records whose rows are in memory at once.
const MAX_BATCH: u64 = 50_000;
/// So many refusals without a single removal, and no more is tried.
const MAX_REFUSALS: u64 = 10;

/// What is removed, and when.
pub struct Options<'a> {
    /// What is kept.
    pub rules: Rules,
    /// Only these instances.
    pub instances: Instances<'a>,
    /// Whether anything is removed. Otherwise it is only planned.
    pub applies: bool,
    /// Nothing is removed if more than so many of a hundred records would be.
    pub most_percent: u8,
    /// Asked before each instance: whether to stop.
    pub stops: &'a dyn Fn() -> bool,
}

/// Objects, and their length in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub objects: u64,
    /// Their length.
    pub bytes: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// A record or marker that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What it is.
    pub subject: Subject,
    bytes: u64,
    /// Verdicts on it.
    beside: Vec<Entry>,
}

/// A boot, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub id: String,
    /// When its last part was captured, and how it ended.
    pub facts: Facts,
    /// Records with a part of it.
    pub records: usize,
    /// Length of these records, in bytes.
    pub bytes: u64,
    /// Why it is kept. It goes if there is no reason.
    pub reasons: Vec<Reason>,
    /// Its records that go, the oldest first.
    pub removals: Vec<Removal>,
    /// Its records that stay although it goes, because a boot that is kept shares them.
    pub shared: usize,
}

/// What becomes of an instance's boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The instance.
    pub instance_id: InstanceId,
    /// Its boots, the oldest first.
    pub boots: Vec<Planned>,
    /// What belongs to no boot and goes: markers, and what ECS sent in place of a console.
    pub others: Vec<Removal>,
    /// Verdicts on records that are gone.
    pub orphans: Vec<Entry>,
    /// Records that are damaged or cannot be read. They stay: nobody knows what they are.
    pub damaged: Vec<RecordKey>,
    /// All of its records.
    pub records: u64,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Instances that were looked at.
    pub instances: u64,
    /// Boots that stay.
    pub kept: u64,
    /// Boots that go.
    pub going: u64,
    /// All records, and those that go.
    pub records: u64,
    /// See `records`.
    pub records_going: u64,
    /// All objects that go.
    pub planned: Sum,
    /// Objects that were removed.
    pub removed: Sum,
    /// Objects that may not be removed.
    pub locked: u64,
    /// Records that are damaged or cannot be read. They stay.
    pub damaged: u64,
    /// Nothing was removed, because too much would be.
    pub is_too_much: bool,
    /// It ended before all was done: it was stopped, or the store refuses everything.
    pub is_cut_short: bool,
}

/// What is told while it runs.
pub enum Told<'a> {
    /// What is planned for an instance.
    Plan(&'a Plan),
    /// Something has changed, and this is what is done.
    Changed(&'a Plan),
    /// An object may not be removed: its key, and why.
    Locked(&'a str, &'a str),
}

impl Removal {
    fn sum(&self) -> Sum {
        let beside: u64 = self.beside.iter().map(|entry| entry.bytes).sum();
        Sum {
            objects: 1 + self.beside.len() as u64,
            bytes: self.bytes + beside,
        }
    }
}

impl Planned {
    /// Whether it stays: for a reason, or because nothing of it may go.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty() || (self.shared > 0 && self.removals.is_empty())
    }
}

impl Plan {
    /// What goes, in the order in which it does: boot by boot, and what belongs to none.
    fn groups(&self) -> impl Iterator<Item = &[Removal]> {
        let boots = self.boots.iter().map(|boot| boot.removals.as_slice());
        boots.chain(self.others.chunks(1))
    }

    fn records_going(&self) -> u64 {
        let all = self.groups().flatten();
        all.filter(|removal| matches!(removal.subject, Subject::Record(_)))
            .count() as u64
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.groups()
            .flatten()
            .for_each(|removal| sum += removal.sum());
        for orphan in &self.orphans {
            sum += Sum {
                objects: 1,
                bytes: orphan.bytes,
            };
        }
        sum
    }

    /// What would be removed, as a number by which a change is seen.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for removal in self.groups().flatten() {
            removal.subject.key().hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Plans, and removes if it is asked for. `told` is told of each instance, in their order, and of each object that
/// may not be removed.
///
/// # Errors
/// [`StoreError`] if the store fails, or the error of `told`. Another run finishes the work.
pub async fn prune<E: From<StoreError>>(
    store: &impl Store,
    options: &Options<'_>,
    now: Timestamp,
    mut told: impl FnMut(Told) -> Result<(), E>,
) -> Result<Pruned, E> {
    let mut done = Pruned::default();
    let rules = &options.rules;
    let ids = instances(store, &options.instances).await?;
    let plans = ids
        .into_iter()
        .map(|id| async move { plan(store, &id, rules, now).await });
    let mut plans = stream::iter(plans).buffered(INSTANCES_AT_ONCE);
    // What goes of each instance, so that nothing else need be in memory.
    let mut going = Vec::new();
    while let Some(plan) = plans.try_next().await? {
        if (options.stops)() {
            done.is_cut_short = true;
            return Ok(done);
        }
        told(Told::Plan(&plan))?;
        done.count(&plan);
        if plan.sum() != Sum::default() {
            let records = plan.records_going().max(1);
            going.push((plan.instance_id.clone(), records, plan.fingerprint()));
        }
    }
    drop(plans);
    done.is_too_much = done.records_going * 100 > u64::from(options.most_percent) * done.records;
    if !options.applies || done.is_too_much {
        return Ok(done);
    }
    let mut left = going.as_slice();
    while !left.is_empty() {
        let mut records = 0;
        let is_in_batch = |(_, more, _): &&(InstanceId, u64, u64)| {
            records += more;
            records <= MAX_BATCH
        };
        let count = left.iter().take_while(is_in_batch).count().max(1);
        let (batch, rest) = left.split_at(count);
        left = rest;
        let rows = rows_of(store, batch.iter().map(|(id, ..)| id).collect()).await?;
        let applied = batch.iter().map(async |(id, _, planned)| {
            let plan = plan(store, id, rules, now).await?;
            let applied = apply(store, &plan, &rows, now).await?;
            Ok::<_, StoreError>((plan, *planned, applied))
        });
        let mut applied = stream::iter(applied).buffered(INSTANCES_AT_ONCE);
        while let Some((plan, planned, applied)) = applied.try_next().await? {
            if plan.fingerprint() != planned {
                told(Told::Changed(&plan))?;
            }
            done.removed += applied.removed;
            done.locked += applied.locked.len() as u64;
            for (key, why) in &applied.locked {
                told(Told::Locked(key, why))?;
            }
            let is_refused = done.removed == Sum::default() && done.locked >= MAX_REFUSALS;
            if is_refused || (options.stops)() {
                done.is_cut_short = true;
                return Ok(done);
            }
        }
    }
    Ok(done)
}

impl Pruned {
    fn count(&mut self, plan: &Plan) {
        let kept = plan.boots.iter().filter(|boot| boot.is_kept()).count() as u64;
        self.instances += 1;
        self.kept += kept;
        self.going += plan.boots.len() as u64 - kept;
        self.records += plan.records;
        self.records_going += plan.records_going();
        self.planned += plan.sum();
        self.damaged += plan.damaged.len() as u64;
    }
}

/// The instances that have anything in the archive.
async fn instances(
    store: &impl Store,
    asked_for: &Instances<'_>,
) -> Result<BTreeSet<InstanceId>, StoreError> {
    let mut ids = BTreeSet::new();
    for prefix in asked_for.key_prefixes() {
        let mut listing = Pages::of(store, &prefix);
        while let Some(page) = listing.next_page().await? {
            let found = page.iter().filter_map(|entry| entry.key.split_once('/'));
            let found = found.filter_map(|(id, _)| InstanceId::parse(id).ok());
            ids.extend(found.filter(|id| (asked_for.includes)(id)));
        }
    }
    Ok(ids)
}

/// Decides what becomes of an instance's boots, by what the archive has of it now.
async fn plan(
    store: &impl Store,
    instance_id: &InstanceId,
    rules: &Rules,
    now: Timestamp,
) -> Result<Plan, StoreError> {
    let entries = store::list_all(store, &RecordKey::instance_prefix(instance_id)).await?;
    let mut verdicts: BTreeMap<RecordKey, Vec<Entry>> = BTreeMap::new();
    for entry in &entries {
        if let Some(key) = VerdictKey::parse(&entry.key) {
            verdicts.entry(key.record).or_default().push(entry.clone());
        }
    }
    let bytes: BTreeMap<String, u64> = (entries.iter())
        .filter(|entry| MarkerKey::parse(&entry.key).is_some())
        .map(|entry| (entry.key.clone(), entry.bytes))
        .collect();
    let Listing { records, markers } = reader::sorted_out(entries);
    let read = read(store, &records).await?;
    let by_name: BTreeMap<String, &RecordEntry> = records
        .iter()
        .map(|record| (record.key.name(), record))
        .collect();
    let facts: Vec<_> = read.boots.iter().map(|boot| boot.facts).collect();
    let mut reasons = decide(&facts, rules, now);
    if !read.damaged.is_empty() {
        for none in reasons.iter_mut().filter(|reasons| reasons.is_empty()) {
            none.push(Reason::Damaged);
        }
    }
    let is_kept = |(_, reasons): &(&ReadBoot, &Vec<Reason>)| !reasons.is_empty();
    let kept = read
        .boots
        .iter()
        .zip(&reasons)
        .filter(is_kept)
        .map(|(boot, _)| boot);
    let oldest_kept = kept.clone().map(|boot| boot.first).min();
    let kept_names: BTreeSet<&String> = kept.flat_map(|boot| &boot.captures).collect();
    let mut removal = |record: &RecordEntry| Removal {
        subject: Subject::Record(record.key.clone()),
        bytes: record.gzip_bytes,
        beside: verdicts.remove(&record.key).unwrap_or_default(),
    };
    let mut gone = BTreeSet::new();
    let mut boots = Vec::new();
    for (boot, reasons) in read.boots.iter().zip(reasons) {
        let of_boot = boot
            .captures
            .iter()
            .filter_map(|name| by_name.get(name).copied());
        let of_boot: Vec<_> = of_boot.collect();
        let mut removals = Vec::new();
        let mut shared = 0;
        if reasons.is_empty() {
            for record in &of_boot {
                let name = record.key.name();
                if kept_names.contains(&name) {
                    shared += 1;
                } else if gone.insert(name) {
                    removals.push(removal(record));
                }
            }
        }
        boots.push(Planned {
            id: boot.id.clone(),
            facts: boot.facts,
            records: of_boot.len(),
            bytes: of_boot.iter().map(|record| record.gzip_bytes).sum(),
            reasons,
            removals,
            shared,
        });
    }
    let of_boots: BTreeSet<&String> = read.boots.iter().flat_map(|boot| &boot.captures).collect();
    let mut others = Vec::new();
    for record in &records {
        let is_of_none =
            !of_boots.contains(&record.key.name()) && !read.damaged.contains(&record.key);
        if is_of_none && may_go(record.stored_at, oldest_kept, rules) {
            others.push(removal(record));
        }
    }
    let old = markers
        .into_iter()
        .filter(|marker| may_go(marker.stored_at, oldest_kept, rules));
    others.extend(old.map(|marker| {
        Removal {
            bytes: bytes
                .get(&marker.key.to_string())
                .copied()
                .unwrap_or_default(),
            subject: Subject::Marker(marker.key),
            beside: Vec::new(),
        }
    }));
    let is_there = |record: &RecordKey| by_name.contains_key(&record.name());
    let orphans = verdicts.into_iter().filter(|(record, _)| !is_there(record));
    Ok(Plan {
        instance_id: instance_id.clone(),
        orphans: orphans.flat_map(|(_, verdicts)| verdicts).collect(),
        boots,
        others,
        damaged: read.damaged,
        records: records.len() as u64,
    })
}

/// A boot, as far as a decision needs it.
struct ReadBoot {
    id: String,
    facts: Facts,
    /// When its first part was captured.
    first: Timestamp,
    /// Names of its records, the oldest first.
    captures: Vec<String>,
}

/// What was read of an instance.
#[derive(Default)]
struct Read {
    boots: Vec<ReadBoot>,
    damaged: Vec<RecordKey>,
    /// Names of records that do not say when they were captured.
    undated: BTreeSet<String>,
    /// The last boot, which another may follow.
    last: Option<Boot>,
}

/// Reads the boots of an instance, one capture after the other.
async fn read(store: &impl Store, records: &[RecordEntry]) -> Result<Read, StoreError> {
    // They are nearly always stored in the order in which they were captured.
    let mut records: Vec<_> = records
        .iter()
        .filter(|record| !record.key.is_undecoded)
        .collect();
    records.sort_by_key(|record| record.stored_at);
    if let Some(read) = read_in_order(store, &records).await? {
        return Ok(read);
    }
    // Not in an archive that was copied, nor where one was followed for longer than another.
    let captured_at = records.iter().map(async |record| {
        let metadata = store.metadata(&record.key.to_string()).await?;
        Ok::<_, StoreError>(metadata.and_then(|metadata| captured_at(&metadata)))
    });
    let captured_at = stream::iter(captured_at).buffered(AT_ONCE);
    let captured_at: Vec<_> = captured_at.try_collect().await?;
    let mut records: Vec<_> = records.into_iter().zip(captured_at).collect();
    records.sort_by_key(|(record, captured_at)| {
        let captured_at = captured_at.unwrap_or(record.stored_at);
        (captured_at, record.key.last_update_time, record.key.name())
    });
    let records: Vec<_> = records.into_iter().map(|(record, _)| record).collect();
    let read = read_in_order(store, &records).await?;
    let told = "the times of records change while they are read".to_owned();
    read.ok_or(StoreError::Unavailable(told))
}

fn captured_at(metadata: &BTreeMap<String, String>) -> Option<Timestamp> {
    metadata.get("captured-at")?.parse().ok()
}

/// The same of records in this order. `None` if they were not captured in it.
async fn read_in_order(
    store: &impl Store,
    records: &[&RecordEntry],
) -> Result<Option<Read>, StoreError> {
    let mut read = Read::default();
    let mut stitcher = Stitcher::default();
    let mut before = None;
    let opened = records.iter().map(async |record| {
        let opened = reader::open(store, &record.key).await;
        (*record, opened)
    });
    let mut opened = stream::iter(opened).buffered(AT_ONCE);
    while let Some((record, opened)) = opened.next().await {
        let contents = match opened {
            Ok(contents) => contents,
            Err(ReadError::Store(error)) if !error.is_of_object() => return Err(error),
            Err(_) => {
                read.damaged.push(record.key.clone());
                continue;
            }
        };
        let (plain, metadata) = (contents.plain, contents.object.metadata);
        if captured_at(&metadata).is_none() {
            read.undated.insert(record.key.name());
        }
        let capture = Console { plain, metadata }.into_capture(record);
        let order = (
            capture.captured_at,
            capture.updated_at,
            capture.name.clone(),
        );
        if before.as_ref().is_some_and(|before| *before > order) {
            return Ok(None);
        }
        before = Some(order);
        for boot in stitcher.push(capture) {
            read.boot(boot);
        }
    }
    for boot in stitcher.finish() {
        read.boot(boot);
    }
    if let Some(last) = read.last.take() {
        read.decided(&last, true);
    }
    Ok(Some(read))
}

impl Read {
    fn boot(&mut self, boot: Boot) {
        if let Some(before) = self.last.replace(boot) {
            self.decided(&before, false);
        }
    }

    fn decided(&mut self, boot: &Boot, is_newest: bool) {
        let is_dated = |name: &String| !self.undated.contains(name);
        let captures: Vec<_> = boot
            .captures
            .iter()
            .map(|capture| capture.name.clone())
            .collect();
        let last = boot
            .captures
            .iter()
            .map(|capture| capture.captured_at)
            .max();
        let first = boot
            .captures
            .iter()
            .map(|capture| capture.captured_at)
            .min();
        self.boots.push(ReadBoot {
            id: boot.id.clone(),
            facts: Facts {
                time: last.filter(|_| captures.iter().all(is_dated)),
                ending: boot.ending(is_newest),
            },
            first: first.unwrap_or(Timestamp::MIN),
            captures,
        });
    }
}

/// When the rows of a record or marker say that it was captured, first and last: one for each day that has a row.
type RowTimes = BTreeMap<String, Vec<(Timestamp, Timestamp)>>;

/// The rows of these instances that do not say yet that their objects are pruned.
async fn rows_of(store: &impl Store, ids: BTreeSet<&InstanceId>) -> Result<RowTimes, StoreError> {
    let mut times = RowTimes::new();
    let catalog = Catalog::open(store, Timestamp::MIN..=Timestamp::MAX).await?;
    let read = catalog.read(|day| {
        let rows = day.rows.into_iter();
        for row in rows.filter(|row| ids.contains(&row.instance_id) && !row.is_pruned()) {
            let last = row.last_captured_at.unwrap_or(row.captured_at);
            let times = times.entry(row.subject.key()).or_default();
            times.push((row.captured_at, last.max(row.captured_at)));
        }
        Ok::<_, StoreError>(())
    });
    read.await?;
    Ok(times)
}

/// What was done to an instance.
#[derive(Default)]
struct Applied {
    removed: Sum,
    /// Keys of objects that may not be removed, and why.
    locked: Vec<(String, String)>,
}

async fn apply(
    store: &impl Store,
    plan: &Plan,
    rows: &RowTimes,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    for group in plan.groups() {
        let pruned: Vec<_> = group
            .iter()
            .flat_map(|removal| pruned_rows(removal, rows, now))
            .collect();
        put(store, &pruned).await?;
        for (index, removal) in group.iter().enumerate() {
            let key = removal.subject.key();
            if let Some(why) = remove(store, &key).await? {
                // The rest of the boot stays with it, and is listed again.
                let left = &group[index..];
                let there = pruned
                    .iter()
                    .filter(|row| left.iter().any(|one| one.subject == row.subject));
                let there: Vec<_> = there.filter_map(still_there).collect();
                put(store, &there).await?;
                applied
                    .locked
                    .extend(left.iter().map(|one| (one.subject.key(), why.clone())));
                break;
            }
            applied.removed += Sum {
                objects: 1,
                bytes: removal.bytes,
            };
            applied.remove_entries(store, &removal.beside).await?;
        }
    }
    applied.remove_entries(store, &plan.orphans).await?;
    Ok(applied)
}

impl Applied {
    async fn remove_entries(
        &mut self,
        store: &impl Store,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        for entry in entries {
            match remove(store, &entry.key).await? {
                None => {
                    self.removed += Sum {
                        objects: 1,
                        bytes: entry.bytes,
                    }
                }
                Some(why) => self.locked.push((entry.key.clone(), why)),
            }
        }
        Ok(())
    }
}

/// Removes an object; why it may not be removed, if that is so.
async fn remove(store: &impl Store, key: &str) -> Result<Option<String>, StoreError> {
    match store.delete(key).await {
        Ok(()) => Ok(None),
        Err(error) if error.is_lock() => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The rows that say that an object was pruned: one for each day that has a row of it.
fn pruned_rows(removal: &Removal, rows: &RowTimes, now: Timestamp) -> Vec<Row> {
    let times = rows.get(&removal.subject.key());
    let times = times.into_iter().flatten();
    let row = |(captured_at, last): &(Timestamp, Timestamp)| {
        // A machine's clock may have been ahead of this one's.
        Row::pruned(removal.subject.clone(), *captured_at, now.max(*last))
    };
    times.map(row).collect()
}

/// The row that takes back that an object was pruned.
fn still_there(pruned: &Row) -> Option<Row> {
    let after = whole_second(pruned.pruned_at?)
        .checked_add(SignedDuration::from_secs(1))
        .ok()?;
    Some(Row::still_there(
        pruned.subject.clone(),
        pruned.captured_at,
        after,
    ))
}

async fn put(store: &impl Store, rows: &[Row]) -> Result<(), StoreError> {
    let puts = rows.iter().map(async |row| {
        let (key, object) = row.packed();
        store.put_if_absent(&key, &object).await.map(drop)
    });
    stream::iter(puts)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
