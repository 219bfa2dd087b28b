//! Rows of days that are over → one object a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tracing::warn;

use super::day::{self, DayError, Rows};
use super::key::{DAYS_PREFIX, Day, DayKey, ROWS_PREFIX};
use super::name::CatalogKey;
use super::row::Row;
use crate::archive::key::ConsoleDigest;
use crate::archive::record;
use crate::model::outcome::Compacted;
use crate::store::past_refused::PastRefused;
use crate::store::{self, Object, Pages, PutOutcome, Store, StoreError, list_all};

/// How long after a day a row of it may still come without being late: an invocation's longest time, and an
/// hour for clocks and queues. A later one is joined by a later run.
pub const CLOSES_AFTER: Duration = Duration::from_secs(75 * 60);
/// Rows that are joined in one go, at first. More of one day are joined one part after the other, so that a run that
/// is cut off in a day of very many has got further.
const FIRST_PART: usize = 2000;
/// Objects read or removed at once.
const AT_ONCE: usize = 32;

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
    /// The store does not hand an object of the catalog out. The same.
    #[error("{url} cannot be read: {cause}; its day is not joined")]
    Unreadable {
        /// Its address.
        url: String,
        /// Why.
        cause: StoreError,
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

impl CompactError {
    /// Whether other days do not depend on it.
    pub fn is_of_day(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Unreadable { .. } | Self::Changed { .. } => true,
            Self::Store(error) => error.is_of_object(),
            Self::Pack(..) => false,
        }
    }
}

/// Joins the rows of each day that is over at `now`, and removes what the joined object makes needless. Any
/// number of runs may do so at once, and each may be cut off at any point. It begins nothing more once
/// `may_begin` is false.
///
/// It needs memory for the rows of one day, whatever the number of days, if the store sorts its listings.
///
/// # Errors
/// [`CompactError`] of the first day that fails. The others are joined all the same, unless the store failed.
pub async fn compact(
    store: &impl Store,
    now: Timestamp,
    may_begin: impl Fn() -> bool,
) -> Result<Compacted, CompactError> {
    let store = &PastRefused::new(store);
    let done = compact_past_refused(store, now, may_begin).await?;
    match done {
        Ok(done) => Ok(done),
        // That the store refuses everything says more than that it refuses the first object.
        Err(error) => store.check().map_err(Into::into).and(Err(error)),
    }
}

/// The same. Within, the error of the first day that fails.
async fn compact_past_refused(
    store: &impl Store,
    now: Timestamp,
    may_begin: impl Fn() -> bool,
) -> Result<Result<Compacted, CompactError>, CompactError> {
    let mut run = Run {
        store,
        may_begin,
        latest: None,
        failed: BTreeMap::new(),
        joined_before: None,
        put_off: BTreeSet::new(),
        may_remove: true,
        done: Compacted::default(),
    };
    let mut waiting: BTreeMap<Day, Vec<String>> = BTreeMap::new();
    let mut pages = Pages::of(store, ROWS_PREFIX);
    while let Some(page) = pages.next_page().await? {
        let mut last = None;
        for entry in page {
            if let Some(CatalogKey::Row(key)) = CatalogKey::parse(&entry.key) {
                let day = key.row.day();
                last = Some(day).filter(|_| store.sorts());
                if is_over(day, now) {
                    waiting.entry(day).or_default().push(entry.key);
                }
            }
        }
        // A day is listed whole when a later one comes.
        while let Some((day, rows)) = waiting.pop_first() {
            if rows.len() < run.part_of(day) && last.is_none_or(|last| day >= last) {
                waiting.insert(day, rows);
                break;
            }
            run.join(day, rows).await?;
        }
        if run.done.is_cut_short || last.is_some_and(|last| !is_over(last, now)) {
            break;
        }
    }
    for (day, rows) in waiting {
        run.join(day, rows).await?;
    }
    run.join_again().await?;
    if !run.done.is_cut_short {
        run.join_days(now).await?;
    }
    let mut failed = run.failed.into_values();
    let Some(first) = failed.next() else {
        return Ok(Ok(run.done));
    };
    failed.for_each(|error| warn!("not joined: {error}"));
    Ok(Err(first))
}

fn is_over(day: Day, now: Timestamp) -> bool {
    day.end()
        .checked_add(CLOSES_AFTER)
        .is_ok_and(|closed_at| closed_at <= now)
}

/// A run on its way through the days.
struct Run<'a, S, F> {
    store: &'a S,
    may_begin: F,
    /// The day that was joined last: its objects, and how many rows they have.
    latest: Option<(Day, BTreeSet<DayKey>, u64)>,
    failed: BTreeMap<Day, CompactError>,
    /// Days that had been joined when the run began. Listed once a day is to be joined.
    joined_before: Option<BTreeSet<Day>>,
    /// Those of them that have rows: late ones, or rows that may not be removed. They come behind the others.
    put_off: BTreeSet<Day>,
    /// Whether it is tried to remove what is joined already. Not once that was refused.
    may_remove: bool,
    done: Compacted,
}

impl<S: Store, F: Fn() -> bool> Run<'_, S, F> {
    /// How many rows of a day are joined next. Each part writes those before it once more, so parts double.
    fn part_of(&self, day: Day) -> usize {
        let joined = match &self.latest {
            Some((latest, _, rows)) if *latest == day => *rows,
            _ => 0,
        };
        usize::try_from(joined).map_or(FIRST_PART, |joined| joined.max(FIRST_PART))
    }

    /// Joins rows of a day with what was joined of it before.
    async fn join(&mut self, day: Day, rows: Vec<String>) -> Result<(), CompactError> {
        if self.put_off.contains(&day) || self.is_joined_before(day).await? {
            self.put_off.insert(day);
            return Ok(());
        }
        self.join_part(day, rows).await
    }

    async fn is_joined_before(&mut self, day: Day) -> Result<bool, StoreError> {
        if matches!(&self.latest, Some((latest, ..)) if *latest == day) {
            return Ok(false); // A part of it, by this run.
        }
        let before = match self.joined_before.take() {
            Some(before) => before,
            None => joined_days(self.store, DAYS_PREFIX)
                .await?
                .into_keys()
                .collect(),
        };
        let is_joined = before.contains(&day);
        self.joined_before = Some(before);
        Ok(is_joined)
    }

    /// Joins what has come since to days that were joined before, the latest day first: late rows are of the last days.
    /// Where rows may not be removed, each day with records has some, and nothing to join.
    async fn join_again(&mut self) -> Result<(), CompactError> {
        while let Some(day) = self.put_off.pop_last() {
            if self.done.is_cut_short {
                break;
            }
            if !self.may_remove && !(self.may_begin)() {
                break; // What is left was most likely joined, and is looked at by the next run.
            }
            let listed = list_all(self.store, &day.rows_prefix()).await?.into_iter();
            let keys = listed.map(|entry| entry.key);
            let rows =
                keys.filter(|key| matches!(CatalogKey::parse(key), Some(CatalogKey::Row(_))));
            let mut rows: Vec<_> = rows.collect();
            while !rows.is_empty() && !self.done.is_cut_short && !self.failed.contains_key(&day) {
                let rest = rows.split_off(self.part_of(day).min(rows.len()));
                self.join_part(day, rows).await?;
                rows = rest;
            }
        }
        Ok(())
    }

    async fn join_part(&mut self, day: Day, rows: Vec<String>) -> Result<(), CompactError> {
        if !self.may_join(day) {
            return Ok(());
        }
        // Behind the rows: one that another run joins meanwhile is seen twice rather than not at all.
        let joined = match &self.latest {
            Some((latest, joined, _)) if *latest == day => joined.clone(),
            _ => joined_days(self.store, &day.days_prefix())
                .await?
                .remove(&day)
                .unwrap_or_default(),
        };
        self.join_all(day, Objects { rows, joined }).await
    }

    /// Joins the objects of days that have several: runs at once left them.
    async fn join_days(&mut self, now: Timestamp) -> Result<(), CompactError> {
        for (day, joined) in joined_days(self.store, DAYS_PREFIX).await? {
            if joined.len() > 1 && is_over(day, now) && self.may_join(day) {
                let rows = Vec::new();
                self.join_all(day, Objects { rows, joined }).await?;
            }
        }
        Ok(())
    }

    /// Whether there is time, and the day has not failed before. Asked before anything is listed for it.
    fn may_join(&mut self, day: Day) -> bool {
        if self.failed.contains_key(&day) {
            return false;
        }
        self.done.is_cut_short = self.done.is_cut_short || !(self.may_begin)();
        !self.done.is_cut_short
    }

    async fn join_all(&mut self, day: Day, objects: Objects) -> Result<(), CompactError> {
        match join(self.store, day, objects, self.may_remove).await {
            Ok(None) => {}
            Ok(Some(joined)) if joined.is_known => {
                self.done.removed += joined.removed;
                self.may_remove &= joined.left == 0;
                self.latest = Some((day, joined.written, joined.rows));
            }
            Ok(Some(joined)) => {
                let counted = match &self.latest {
                    Some((latest, _, rows)) if *latest == day => *rows,
                    _ => {
                        self.done.days += 1;
                        0
                    }
                };
                self.done.rows += joined.rows.saturating_sub(counted);
                self.done.removed += joined.removed;
                self.done.left += joined.left;
                self.latest = Some((day, joined.written, joined.rows));
            }
            // The others do not depend on it.
            Err(error) if error.is_of_day() => {
                self.failed.insert(day, error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The joined objects by day.
pub(super) async fn joined_days(
    store: &impl Store,
    prefix: &str,
) -> Result<BTreeMap<Day, BTreeSet<DayKey>>, StoreError> {
    let mut days: BTreeMap<Day, BTreeSet<DayKey>> = BTreeMap::new();
    for entry in list_all(store, prefix).await? {
        if let Some(CatalogKey::Day(key)) = CatalogKey::parse(&entry.key) {
            days.entry(key.day).or_default().insert(key);
        }
    }
    Ok(days)
}

/// The catalog's objects of a day.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub rows: Vec<String>,
    pub joined: BTreeSet<DayKey>,
}

/// What became of a day's objects.
pub(super) struct Joined {
    /// The objects that have all rows now.
    written: BTreeSet<DayKey>,
    /// How many rows.
    rows: u64,
    removed: u64,
    /// Objects that may not be removed.
    pub left: u64,
    /// Whether nothing was written: one of the day's objects had all rows already.
    is_known: bool,
}

/// Joins a day's objects into one. `None` if there is nothing to do. `may_remove`: whether it is tried to remove what
/// was joined before.
async fn join(
    store: &impl Store,
    day: Day,
    objects: Objects,
    may_remove: bool,
) -> Result<Option<Joined>, CompactError> {
    if objects.rows.is_empty() && objects.joined.len() <= 1 {
        return Ok(None);
    }
    // What is gone was joined by another run, which has its rows.
    let all = read_new(store, day, &objects).await?;
    if all.is_empty() {
        return Ok(None);
    }
    let rows = all.len() as u64;
    let packed = pack(day, all)?;
    let written: BTreeSet<_> = packed.iter().map(|(key, _)| key.clone()).collect();
    if !written.is_subset(&objects.joined) {
        let written = write_packed(store, packed, false).await?;
        let (removed, left) = remove(store, needless(objects, &written)).await?;
        return Ok(Some(Joined {
            written,
            rows,
            removed,
            left,
            is_known: false,
        }));
    }
    // They were just read, and are whole.
    let needless = needless(objects, &written);
    let (removed, left) = match may_remove {
        true => remove_unless_refused(store, needless).await?,
        false => (0, 0),
    };
    Ok(Some(Joined {
        written,
        rows,
        removed,
        left,
        is_known: true,
    }))
}

/// The rows of a day's objects. The joined ones are read first: a row that is among them, byte by byte, is not read. Its
/// name has the digest of its bytes.
async fn read_new(store: &impl Store, day: Day, objects: &Objects) -> Result<Rows, CompactError> {
    let joined = Objects {
        rows: Vec::new(),
        joined: objects.joined.clone(),
    };
    let mut all = read(store, day, &joined).await?;
    let known = all.digests();
    let is_new = |key: &&String| match CatalogKey::parse(key) {
        Some(CatalogKey::Row(key)) => !known.contains(&(key.row.subject.key(), key.digest.clone())),
        _ => false,
    };
    let rows = objects.rows.iter().filter(is_new).cloned().collect();
    let new = Objects {
        rows,
        joined: BTreeSet::new(),
    };
    let new = read(store, day, &new).await?;
    new.in_order().into_iter().for_each(|row| all.add(row));
    Ok(all)
}

fn pack(day: Day, rows: Rows) -> Result<Vec<(DayKey, Object)>, CompactError> {
    let packed = rows.packed(day);
    packed.map_err(|error| CompactError::Pack(day, error))
}

/// The keys of a day's objects that have nothing that these do not have.
fn needless(objects: Objects, written: &BTreeSet<DayKey>) -> Vec<String> {
    let days = objects
        .joined
        .into_iter()
        .filter(|key| !written.contains(key));
    let days = days.map(|key| key.to_string());
    days.chain(objects.rows).collect()
}

/// Writes a day's rows, and removes the objects that they take the place of. `heals` as for [`write()`].
#[cfg(feature = "cli")]
pub(super) async fn replace(
    store: &impl Store,
    day: Day,
    objects: Objects,
    all: Rows,
    heals: bool,
) -> Result<Joined, CompactError> {
    let rows = all.len() as u64;
    let written = write(store, day, all, heals).await?;
    let (removed, left) = remove(store, needless(objects, &written)).await?;
    Ok(Joined {
        written,
        rows,
        removed,
        left,
        is_known: false,
    })
}

/// The rows of these objects of a day, but for those that are gone.
pub(super) async fn read(
    store: &impl Store,
    day: Day,
    objects: &Objects,
) -> Result<Rows, CompactError> {
    let joined = objects.joined.iter().map(DayKey::to_string);
    let keys: Vec<_> = joined.chain(objects.rows.iter().cloned()).collect();
    let read = keys.into_iter().map(|key| read_one(store, key));
    let mut read = stream::iter(read).buffer_unordered(AT_ONCE);
    let (mut rows, mut gone) = (Rows::default(), Vec::new());
    while let Some((key, object)) = read.try_next().await? {
        let Some(object) = object else {
            gone.push(key);
            continue;
        };
        let error = match key.starts_with(DAYS_PREFIX) {
            true => day::unpack_as_far_as_possible(&object, |row| rows.add(row)),
            false => match Row::parse(&object) {
                Ok(row) => {
                    rows.add(row);
                    None
                }
                Err(cause) => Some(DayError::Line { line: 1, cause }),
            },
        };
        if let Some(cause) = error {
            let url = store.url(&key);
            return Err(CompactError::Damaged { url, cause });
        }
    }
    // One that is listed still was not joined by another run. What it says would be lost with it.
    for prefix in [day.rows_prefix(), day.days_prefix()] {
        let absent = gone.iter().filter(|key| key.starts_with(&prefix));
        let absent: Vec<_> = absent.map(String::as_str).collect();
        if let Some(key) = store::only_listed(store, &prefix, &absent)
            .await?
            .pop_first()
        {
            let (url, cause) = (store.url(&key), StoreError::OnlyListed);
            return Err(CompactError::Unreadable { url, cause });
        }
    }
    Ok(rows)
}

/// One object's key and bytes. No bytes if it is gone.
async fn read_one(
    store: &impl Store,
    key: String,
) -> Result<(String, Option<Vec<u8>>), CompactError> {
    match store.get(&key).await {
        Ok(object) => Ok((key, object.map(|object| object.body))),
        // The other days do not depend on it.
        Err(error) if error.is_of_object() => {
            let url = store.url(&key);
            Err(CompactError::Unreadable { url, cause: error })
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a day's rows, and reads them back before anything else is removed for them. `heals`: an object with
/// other bytes in its place is removed first.
#[cfg(feature = "cli")]
pub(super) async fn write(
    store: &impl Store,
    day: Day,
    rows: Rows,
    heals: bool,
) -> Result<BTreeSet<DayKey>, CompactError> {
    write_packed(store, pack(day, rows)?, heals).await
}

async fn write_packed(
    store: &impl Store,
    packed: Vec<(DayKey, Object)>,
    heals: bool,
) -> Result<BTreeSet<DayKey>, CompactError> {
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

/// Removes objects, as [`remove`] does, but first one of them. If that may not be removed, the others are not tried.
async fn remove_unless_refused(
    store: &impl Store,
    mut keys: Vec<String>,
) -> Result<(u64, u64), StoreError> {
    let rest = keys.split_off(1.min(keys.len()));
    let (removed, left) = remove(store, keys).await?;
    if removed == 0 && left > 0 {
        return Ok((0, left));
    }
    let (others, _) = remove(store, rest).await?;
    // Where some may be removed, those of other days may be, too.
    Ok((removed + others, 0))
}

/// Removes objects; how many were removed, and how many may not be.
pub(super) async fn remove(
    store: &impl Store,
    keys: Vec<String>,
) -> Result<(u64, u64), StoreError> {
    let together = store.removes_at_once().max(1);
    let parts: Vec<_> = keys.chunks(together).map(<[String]>::to_vec).collect();
    let removals = parts
        .into_iter()
        .map(async |keys| store.delete_all(&keys).await);
    let mut removals = stream::iter(removals).buffer_unordered((AT_ONCE / together).max(1));
    let (mut removed, mut left) = (0, 0);
    while let Some(each) = removals.try_next().await? {
        for one in each {
            match one {
                Ok(_) => removed += 1,
                Err(error) if error.is_lock() => left += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok((removed, left))
}
