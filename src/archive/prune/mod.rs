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
//!
//! What stays shows the boots that stay as they were: with their names, their logs and their endings. A boot without
//! which it would not stays, too.

mod apply; // a plan → what is gone
mod history; // what is decided about: boots, by all records of an instance
mod plan; // what becomes of an instance's boots
pub mod policy; // which boots are kept, and why (pure)

use std::cell::Cell;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::catalog::hidden::Hidden;
use super::instances::Instances;
use super::key::{RecordKey, hash};
use super::reader;
use crate::model::ids::InstanceId;
use crate::store::lookup::Lookup;
use crate::store::past_refused::PastRefused;
use crate::store::spool::{Spool, TemporaryError};
use crate::store::{self, Store, StoreError};
use apply::{apply, known_of, write_left};
use plan::plan;
pub use plan::{Because, Plan, Planned, Removal, Sum};
use policy::Rules;

/// Instances that are read at once, and objects of each.
const INSTANCES_AT_ONCE: usize = 8;
/// Objects of an instance that are read or written at once.
const AT_ONCE: usize = 16;
/// Records that go between two looks at the catalog, unless one instance has more.
const MAX_BATCH: u64 = 200_000;
/// Keys that are in memory at once.
const KEYS_AT_ONCE: u64 = 10_000;
/// So many refusals without a single removal, and no more is tried.
const MAX_REFUSALS: u64 = 10;
/// So long after the store refused to remove an object it is tried again. A retention policy lasts days or years.
pub const TRIED_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

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
    /// Whether what the store refused to remove is tried again, however long ago that was.
    pub retries_locked: bool,
    /// Asked before each instance: whether to stop.
    pub stops: &'a dyn Fn() -> bool,
    /// The time at which something is marked as pruned.
    pub clock: &'a dyn Fn() -> Timestamp,
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
    /// Those of them that went: nothing of them is left but what a boot that is kept shares.
    pub went: u64,
    /// All records, and those that go.
    pub records: u64,
    /// See `records`.
    pub records_going: u64,
    /// All objects that go.
    pub planned: Sum,
    /// Objects that were removed.
    pub removed: Sum,
    /// Removed objects that the bucket keeps as earlier versions.
    pub versions: u64,
    /// Objects that may not be removed.
    pub locked: u64,
    /// Those of them that were not tried, because the store refused to remove them not long ago.
    pub waiting: u64,
    /// Records that are damaged or cannot be read. They stay.
    pub damaged: u64,
    /// Records that something else removed while they were read.
    pub gone: u64,
    /// Records and markers that were marked as pruned, stay, and are listed again.
    pub listed_again: u64,
    /// Rows of the catalog that a full disk did not take: they say that something is pruned that was removed.
    pub unwritten: u64,
    /// Nothing was removed, because too much would be.
    pub is_too_much: bool,
    /// Nothing was removed, because a part of the catalog cannot be read: what goes could not be marked there.
    pub is_catalog_damaged: bool,
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
    /// An object of the catalog cannot be read: its key, and why.
    Damaged(&'a str, &'a str),
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
    // A record that is refused stays, and keeps no other.
    let store = &PastRefused::new(store);
    let mut done = Pruned::default();
    let rules = &options.rules;
    let prefixes = options.instances.key_prefixes();
    let instances = reader::instances(store, prefixes.into_iter().collect());
    let instances = instances
        .try_filter(|instance| std::future::ready((options.instances.includes)(&instance.id)));
    let plans = instances.map_ok(|instance| async move {
        plan(store, &instance.id, instance.entries, rules, now).await
    });
    let mut plans = std::pin::pin!(plans.try_buffered(INSTANCES_AT_ONCE));
    // What goes of which instance, and what stays: the archive may have more of both than fit in memory.
    let (mut going, mut staying) = (Going::default(), Lookup::default());
    while let Some(plan) = plans.try_next().await? {
        if (options.stops)() {
            done.is_cut_short = true;
            return Ok(done);
        }
        told(Told::Plan(&plan))?;
        done.count(&plan);
        if !options.applies {
            continue;
        }
        for key in &plan.staying {
            staying.add([hash(key)]).map_err(StoreError::from)?;
        }
        if plan.sum() != Sum::default() {
            going.add(&plan).map_err(StoreError::from)?;
        }
    }
    store.check()?;
    done.is_too_much = done.records_going * 100 > u64::from(options.most_percent) * done.records;
    if !options.applies || done.is_too_much {
        return Ok(done);
    }
    let mut marked = Marked::default();
    let hidden = Hidden::read(store, |key| {
        let stays = staying.has(hash(key))?;
        if stays {
            marked.add(key)?;
        }
        Ok(stays)
    });
    let hidden = hidden.await?;
    drop(staying);
    if hidden.may_lack_rows() && !going.is_empty() {
        for (key, why) in hidden.damaged() {
            told(Told::Damaged(key, why))?;
        }
        done.is_catalog_damaged = true;
        return Ok(done);
    }
    done.listed_again = list_again(store, &hidden, marked).await?;
    drop(hidden);
    let refused_since = match options.retries_locked {
        true => Timestamp::MAX,
        false => now.checked_sub(TRIED_AGAIN_AFTER).unwrap_or(Timestamp::MIN),
    };
    let mut unwritten = Vec::new();
    while let Some(batch) = going.next_batch().map_err(StoreError::from)? {
        let ids = batch.iter().map(|(id, _)| id);
        let (known, unreadable) = known_of(store, ids.collect()).await?;
        if !unreadable.is_empty() {
            for (key, why) in &unreadable {
                told(Told::Damaged(key, why))?;
            }
            done.is_cut_short = true;
            break;
        }
        // An instance that has begun is finished. Else its rows would call records pruned that are still there.
        let ends = Cell::new(false);
        let applied = batch.iter().map(async |(id, planned)| {
            if ends.get() {
                return Ok(None);
            }
            let listed = store::list_all(store, &RecordKey::instance_prefix(id)).await?;
            let plan = plan(store, id, listed, rules, now).await?;
            if ends.get() {
                return Ok(None);
            }
            let applied = apply(store, &plan, &known, refused_since, options.clock).await?;
            Ok::<_, StoreError>(Some((plan, *planned, applied)))
        });
        let mut applied = stream::iter(applied).buffered(INSTANCES_AT_ONCE);
        while let Some(applied) = applied.try_next().await? {
            let Some((plan, planned, applied)) = applied else {
                continue;
            };
            if plan.fingerprint() != planned {
                told(Told::Changed(&plan))?;
            }
            done.removed += applied.removed;
            done.locked += applied.locked.len() as u64;
            done.waiting += applied.waiting;
            let stayed = applied.locked.iter().map(|(key, _)| key.as_str()).collect();
            done.went += plan.went(&stayed);
            done.gone += plan.gone.len() as u64;
            done.versions += applied.versions;
            unwritten.extend(applied.unwritten);
            for (key, why) in &applied.locked {
                told(Told::Locked(key, why))?;
            }
            let refused = done.locked - done.waiting;
            // Where others were refused before, one more is enough.
            let most = if done.waiting > 0 { 1 } else { MAX_REFUSALS };
            let is_refused = done.removed == Sum::default() && refused >= most;
            if is_refused || (options.stops)() {
                ends.set(true);
            }
        }
        if ends.get() {
            done.is_cut_short = true;
            break;
        }
    }
    // What others removed meanwhile may have made space.
    done.unwritten = write_left(store, &unwritten).await?;
    Ok(done)
}

impl Pruned {
    /// Whether nothing was removed that was asked for.
    pub fn is_refused(&self) -> bool {
        self.is_too_much || self.is_catalog_damaged
    }

    fn count(&mut self, plan: &Plan) {
        let kept = plan.boots.iter().filter(|boot| boot.is_kept()).count() as u64;
        self.instances += 1;
        self.kept += kept;
        self.going += plan.boots.len() as u64 - kept;
        self.records += plan.records;
        self.records_going += plan.records_going();
        self.planned += plan.sum();
        self.damaged += plan.damaged.len() as u64;
        self.gone += plan.gone.len() as u64;
    }
}

/// The instances of which something goes, in batches, each with a number by which a change is seen.
#[derive(Default)]
struct Going {
    /// A line for each.
    batches: Spool<u64>,
    /// The last batch, and how many records go in it.
    last: u64,
    records: u64,
}

impl Going {
    fn add(&mut self, plan: &Plan) -> Result<(), TemporaryError> {
        let records = plan.records_going().max(1);
        self.records += records;
        if self.records > MAX_BATCH {
            (self.last, self.records) = (self.last + 1, records);
        }
        let line = format!("{} {}\n", plan.instance_id, plan.fingerprint());
        self.batches.add(self.last, &line)
    }

    fn is_empty(&self) -> bool {
        self.batches.first_key().is_none()
    }

    fn next_batch(&mut self) -> Result<Option<Vec<(InstanceId, u64)>>, TemporaryError> {
        let Some(number) = self.batches.first_key() else {
            return Ok(None);
        };
        let mut batch = Vec::new();
        self.batches.take(number, |line| {
            // The lines are this program's own, of just before.
            let line = String::from_utf8_lossy(line);
            let (id, fingerprint) = line.split_once(' ').unwrap_or_default();
            let id = InstanceId::parse(id).ok();
            batch.extend(id.zip(fingerprint.parse().ok()));
            Ok(())
        })?;
        Ok(Some(batch))
    }
}

/// Keys of what stays and is marked as pruned: a run with other rules was killed before it removed it.
#[derive(Default)]
struct Marked {
    /// A line for each.
    keys: Spool<u64>,
    count: u64,
    /// One may be marked on two days.
    known: Lookup<1>,
}

impl Marked {
    fn add(&mut self, key: &str) -> Result<(), TemporaryError> {
        if self.known.is_new(hash(key))? {
            let part = self.count / KEYS_AT_ONCE;
            self.keys.add(part, &format!("{key}\n"))?;
            self.count += 1;
        }
        Ok(())
    }
}

/// Lists again what stays and was marked as pruned. Returns how many objects they are.
async fn list_again(
    store: &impl Store,
    hidden: &Hidden,
    mut marked: Marked,
) -> Result<u64, StoreError> {
    let mut count = 0;
    while let Some(part) = marked.keys.first_key() {
        let mut keys = Vec::new();
        marked.keys.take(part, |key| {
            keys.push(String::from_utf8_lossy(key).into_owned());
            Ok(())
        })?;
        for key in keys {
            // It was listed.
            let is_there = match store::metadata_listed(store, &key).await {
                Ok(found) => found.is_some(),
                Err(error) if error.is_of_object() => true,
                Err(error) => return Err(error),
            };
            if is_there {
                hidden.list_again(store, &key).await?;
                count += 1;
            }
        }
    }
    Ok(count)
}
