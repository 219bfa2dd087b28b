//! Rows of days that are over → one object a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::day::{self, DayError, Rows};
use super::key::{DAYS_PREFIX, Day, DayKey, ROWS_PREFIX};
use super::name::CatalogKey;
use super::row::Row;
use crate::archive::key::ConsoleDigest;
use crate::archive::record;
use crate::store::{PutOutcome, Store, StoreError, list_all};

/// How long after a day a row of it may still come without being late: an invocation's longest time, and an
/// hour for clocks and queues. A later one is joined by a later run.
pub const CLOSES_AFTER: Duration = Duration::from_secs(75 * 60);
/// Objects read or removed at once.
const AT_ONCE: usize = 32;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Days whose rows were joined.
    pub days: u64,
    /// Rows in them.
    pub rows: u64,
    /// Objects that were removed, because a day's object has all that they said.
    pub removed: u64,
    /// Objects that may not be removed. They cost a part of a request when the catalog is read.
    pub left: u64,
}

/// Why a day was not joined.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object of the catalog is damaged. Its rows must not be lost by joining the others.
    #[error("{url} is damaged: {cause}; build the catalog anew with console-archive reindex")]
    Damaged {
        /// Its address.
        url: String,
        /// What is wrong with it.
        cause: DayError,
    },
    /// The object that was read back differs from the one that was written.
    #[error(
        "{url} does not have the bytes that were written there; check what else writes below it"
    )]
    Changed {
        /// The object's address.
        url: String,
    },
    /// The rows cannot be compressed.
    #[error("the rows of {0} cannot be compressed: {1}")]
    Pack(Day, std::io::Error),
}

/// Joins the rows of each day that is over at `now`, and removes what the joined object makes needless. Any
/// number of runs may do so at once, and each may be cut off at any point.
///
/// # Errors
/// [`CompactError`] of the first day that fails. The others are joined all the same, unless the store failed.
pub async fn compact(store: &impl Store, now: Timestamp) -> Result<Compacted, CompactError> {
    let (mut done, mut failed) = (Compacted::default(), None);
    for (day, objects) in objects(store, |day| is_over(day, now)).await? {
        match join(store, day, objects).await {
            Ok(joined) => done.add(joined),
            // The others do not depend on it.
            Err(error @ (CompactError::Damaged { .. } | CompactError::Changed { .. })) => {
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

fn is_over(day: Day, now: Timestamp) -> bool {
    day.end()
        .checked_add(CLOSES_AFTER)
        .is_ok_and(|closed_at| closed_at <= now)
}

impl Compacted {
    fn add(&mut self, other: Self) {
        self.days += other.days;
        self.rows += other.rows;
        self.removed += other.removed;
        self.left += other.left;
    }
}

/// The catalog's objects of a day.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub rows: Vec<String>,
    pub joined: BTreeSet<DayKey>,
}

/// The catalog's objects by day.
pub(super) async fn objects(
    store: &impl Store,
    is_asked_for: impl Fn(Day) -> bool,
) -> Result<BTreeMap<Day, Objects>, StoreError> {
    let mut days: BTreeMap<Day, Objects> = BTreeMap::new();
    // In this order: a row that is joined meanwhile is seen twice rather than not at all.
    for prefix in [ROWS_PREFIX, DAYS_PREFIX] {
        for entry in list_all(store, prefix).await? {
            match CatalogKey::parse(&entry.key) {
                Some(CatalogKey::Row(key)) if is_asked_for(key.row.day()) => {
                    days.entry(key.row.day()).or_default().rows.push(entry.key);
                }
                Some(CatalogKey::Day(key)) if is_asked_for(key.day) => {
                    days.entry(key.day).or_default().joined.insert(key);
                }
                _ => {}
            }
        }
    }
    Ok(days)
}

/// Joins a day's objects into one.
async fn join(store: &impl Store, day: Day, objects: Objects) -> Result<Compacted, CompactError> {
    if objects.rows.is_empty() && objects.joined.len() <= 1 {
        return Ok(Compacted::default());
    }
    // What is gone was joined by another run, which has its rows.
    let rows: Rows = read(store, &objects).await?.into_iter().collect();
    if rows.is_empty() {
        return Ok(Compacted::default());
    }
    let count = rows.len() as u64;
    let written = write(store, day, rows, false).await?;
    let needless = objects.joined.iter().filter(|key| !written.contains(key));
    let needless = needless.map(DayKey::to_string).chain(objects.rows);
    let (removed, left) = remove(store, needless).await?;
    Ok(Compacted {
        days: 1,
        rows: count,
        removed,
        left,
    })
}

/// The rows of these objects, but for those that are gone.
pub(super) async fn read(store: &impl Store, objects: &Objects) -> Result<Vec<Row>, CompactError> {
    let joined = objects.joined.iter().map(DayKey::to_string);
    let keys = joined.chain(objects.rows.iter().cloned());
    let read = keys.map(async |key| {
        let Some(object) = store.get(&key).await? else {
            return Ok::<_, CompactError>(Vec::new());
        };
        let url = || store.url(&key);
        let rows = match key.starts_with(DAYS_PREFIX) {
            true => day::unpack(&object.body),
            false => Row::parse(&object.body)
                .map(|row| vec![row])
                .map_err(|cause| DayError::Line { line: 1, cause }),
        };
        rows.map_err(|cause| CompactError::Damaged { url: url(), cause })
    });
    let read = stream::iter(read).buffer_unordered(AT_ONCE);
    let read: Vec<_> = read.try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

/// Writes a day's rows, and reads them back before anything else is removed for them. `heals`: an object with
/// other bytes in its place is removed first.
pub(super) async fn write(
    store: &impl Store,
    day: Day,
    rows: Rows,
    heals: bool,
) -> Result<BTreeSet<DayKey>, CompactError> {
    let packed = rows
        .packed(day)
        .map_err(|error| CompactError::Pack(day, error))?;
    let mut written = BTreeSet::new();
    for (key, object) in packed {
        let name = key.to_string();
        let put = store.put_if_absent(&name, &object).await?;
        let mut is_whole = is_whole(store, &key).await?;
        if heals && !is_whole && put == PutOutcome::Exists {
            store.delete(&name).await?;
            store.put_if_absent(&name, &object).await?;
            is_whole = self::is_whole(store, &key).await?;
        }
        if !is_whole {
            let url = store.url(&name);
            return Err(CompactError::Changed { url });
        }
        written.insert(key);
    }
    Ok(written)
}

/// Whether an object has the lines that its key says. Another build of the compressor may have written it, so
/// its bytes do not decide.
async fn is_whole(store: &impl Store, key: &DayKey) -> Result<bool, StoreError> {
    let found = store.get(&key.to_string()).await?;
    let lines = found.and_then(|found| record::unpack(&found.body).ok());
    Ok(lines.is_some_and(|lines| ConsoleDigest::of(&lines).short() == key.digest))
}

/// Removes objects; how many were removed, and how many may not be.
pub(super) async fn remove(
    store: &impl Store,
    keys: impl Iterator<Item = String>,
) -> Result<(u64, u64), StoreError> {
    let removals = keys.map(async |key| match store.delete(&key).await {
        Ok(()) => Ok(true),
        // Object Lock, or keys that may not remove.
        Err(StoreError::Denied(_) | StoreError::Io { .. }) => Ok(false),
        Err(error) => Err(error),
    });
    let mut removals = stream::iter(removals).buffer_unordered(AT_ONCE);
    let (mut removed, mut left) = (0, 0);
    while let Some(is_removed) = removals.try_next().await? {
        *(if is_removed { &mut removed } else { &mut left }) += 1;
    }
    Ok((removed, left))
}
