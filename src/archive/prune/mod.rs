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
use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::catalog::hidden::Hidden;
use super::instances::Instances;
use crate::model::ids::InstanceId;
use crate::store::past_refused::PastRefused;
use crate::store::{Pages, Store, StoreError};
use apply::{apply, rows_of, write_left};
use plan::plan;
pub use plan::{Plan, Planned, Removal, Sum};
use policy::Rules;

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
    let ids = instances(store, &options.instances).await?;
    let plans = ids
        .into_iter()
        .map(|id| async move { plan(store, &id, rules, now).await });
    let mut plans = stream::iter(plans).buffered(INSTANCES_AT_ONCE);
    // What goes of each instance, and hashes of what stays, so that nothing else need be in memory.
    let (mut going, mut staying) = (Vec::new(), Staying::default());
    while let Some(plan) = plans.try_next().await? {
        if (options.stops)() {
            done.is_cut_short = true;
            return Ok(done);
        }
        told(Told::Plan(&plan))?;
        done.count(&plan);
        if options.applies {
            staying.add(&plan);
        }
        if plan.sum() != Sum::default() {
            let records = plan.records_going().max(1);
            going.push((plan.instance_id.clone(), records, plan.fingerprint()));
        }
    }
    drop(plans);
    store.check()?;
    done.is_too_much = done.records_going * 100 > u64::from(options.most_percent) * done.records;
    if !options.applies || done.is_too_much {
        return Ok(done);
    }
    let hidden = Hidden::read(store, |key| staying.has(key)).await?;
    drop(staying);
    if hidden.may_lack_rows() && !going.is_empty() {
        for (key, why) in hidden.damaged() {
            told(Told::Damaged(key, why))?;
        }
        done.is_catalog_damaged = true;
        return Ok(done);
    }
    done.listed_again = list_again(store, &hidden).await?;
    drop(hidden);
    let mut unwritten = Vec::new();
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
        let (rows, unreadable) = rows_of(store, batch.iter().map(|(id, ..)| id).collect()).await?;
        if !unreadable.is_empty() {
            for (key, why) in &unreadable {
                told(Told::Damaged(key, why))?;
            }
            done.is_cut_short = true;
            break;
        }
        // An instance that has begun is finished. Else its rows would call records pruned that are still there.
        let ends = Cell::new(false);
        let applied = batch.iter().map(async |(id, _, planned)| {
            if ends.get() {
                return Ok(None);
            }
            let plan = plan(store, id, rules, now).await?;
            if ends.get() {
                return Ok(None);
            }
            let applied = apply(store, &plan, &rows, options.clock).await?;
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
            done.gone += plan.gone.len() as u64;
            done.versions += applied.versions;
            unwritten.extend(applied.unwritten);
            for (key, why) in &applied.locked {
                told(Told::Locked(key, why))?;
            }
            let is_refused = done.removed == Sum::default() && done.locked >= MAX_REFUSALS;
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

/// Records and markers that stay, as hashes.
#[derive(Default)]
struct Staying {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Staying {
    fn add(&mut self, plan: &Plan) {
        let hashes = plan.staying.iter().map(|key| self.hasher.hash_one(key));
        self.hashes.extend(hashes);
    }

    fn has(&self, key: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(key))
    }
}

/// Lists again what stays and was marked as pruned: a run with other rules was killed before it removed it. Returns how
/// many objects they are.
async fn list_again(store: &impl Store, hidden: &Hidden) -> Result<u64, StoreError> {
    let mut count = 0;
    for key in hidden.keys() {
        let is_there = match store.metadata(key).await {
            Ok(found) => found.is_some(),
            // It was listed.
            Err(error) if error.is_of_object() => true,
            Err(error) => return Err(error),
        };
        if is_there {
            hidden.list_again(store, key).await?;
            count += 1;
        }
    }
    Ok(count)
}
