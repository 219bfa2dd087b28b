//! Records → catalog.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tracing::warn;

use super::compact::{self, CompactError, Objects};
use super::day::{self, Rows};
use super::described::Described;
use super::key::{COMPLETE_KEY, DAYS_PREFIX, Day, DayKey, ROWS_PREFIX};
use super::name::CatalogKey;
use super::row::{Row, Subject};
use crate::archive::key::{RecordKey, ScreenshotKey, hash};
use crate::archive::reader::verdicts;
use crate::archive::record::{self, CheckedObject};
use crate::archive::screenshot;
use crate::clock::whole_second;
use crate::model::freshness::Freshness;
use crate::model::ids::InstanceId;
use crate::reading::ending::boot_facts;
use crate::reading::findings::{self, Rules};
use crate::store::lookup::Lookup;
use crate::store::past_refused::PastRefused;
use crate::store::spool::{Spool, TemporaryError};
use crate::store::{Entry, Object, Pages, Store, StoreError};

/// Records read at once.
const AT_ONCE: usize = 32;

/// Keys of what is gone that are handed out, and addresses of what is damaged.
const MAX_NAMED: usize = 100;

/// By how much the clock of the machine that captured may be ahead of the store's.
const CLOCKS: SignedDuration = SignedDuration::from_hours(24);

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reindexed {
    /// Days that the catalog has now.
    pub days: u64,
    /// Rows in them.
    pub rows: u64,
    /// Objects of the old catalog that were removed.
    pub removed: u64,
    /// Objects of the old catalog that may not be removed.
    pub left: u64,
    /// Records that are damaged or cannot be read. Their rows say nothing of their boots.
    pub damaged_count: u64,
    /// The addresses of the first of them.
    pub damaged: Vec<String>,
    /// Records and screenshots whose metadata do not say when they were captured. Their rows have when they were stored.
    pub untimed: u64,
    /// Records and markers of which the old catalog had a row, and that are gone. `prune` did not remove them.
    pub lost: u64,
    /// The keys of the first of them.
    pub lost_keys: Vec<String>,
    /// Days that could not be written, by the addresses of their folders, and why: something else has their place. What
    /// the old catalog says of them is still there.
    pub unwritten: BTreeMap<String, String>,
    /// Whether a part of the archive could not be listed. Then nothing of the old catalog was removed, and the
    /// catalog does not count as complete.
    pub is_partial: bool,
}

impl Reindexed {
    /// Whether there was neither a record or a marker nor an old catalog, as below a prefix that nobody writes to.
    pub fn is_nothing(&self) -> bool {
        let found = self.rows + self.removed + self.left + self.lost + self.damaged_count;
        found == 0 && !self.is_partial && self.unwritten.is_empty()
    }
}

/// Why the catalog was not rebuilt. The old one is still there then, at least in part.
#[derive(Debug, thiserror::Error)]
pub enum ReindexError {
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A day could not be written.
    #[error(transparent)]
    Write(#[from] CompactError),
    /// Rows are kept in files meanwhile.
    #[error(transparent)]
    Temporary(#[from] TemporaryError),
}

/// Builds the catalog anew from the records, markers and verdicts, from the day of `since` on. It reads each
/// record once. `each` is told of progress: records and markers so far.
///
/// Events may be served meanwhile: their rows stay. Where there [is nothing](Reindexed::is_nothing), it writes nothing.
///
/// # Errors
/// [`ReindexError`]. A second run finishes the work.
pub async fn reindex(
    store: &impl Store,
    since: Option<Timestamp>,
    mut each: impl FnMut(u64),
) -> Result<Reindexed, ReindexError> {
    // A record that is refused keeps no other out of the catalog.
    let store = &PastRefused::new(store);
    let since = since.map(Day::of);
    let is_asked_for = |day: Day| since.is_none_or(|since| day >= since);
    // Before the records: so each row of the old catalog that is not found among them is of one that is gone.
    let mut old = Old::list(store, is_asked_for).await?;
    let mut run = Run {
        store,
        since,
        days: Spool::default(),
        unreadable: Lookup::default(),
        done: Reindexed::default(),
    };
    let (mut count, mut there) = (0, Lookup::default());
    for prefix in InstanceId::PREFIXES {
        let mut listing = Pages::of(store, prefix);
        let mut of_instance: Vec<Entry> = Vec::new();
        while let Some(page) = listing.next_page().await? {
            for entry in page {
                if Subject::parse(&entry.key).is_some() {
                    there.add([hash(&entry.key)])?;
                }
                let instance = entry.key.split('/').next();
                let last = of_instance.last();
                let is_next = last.is_some_and(|last| last.key.split('/').next() != instance);
                if is_next {
                    count += run.rows_of(&of_instance).await?;
                    each(count);
                    of_instance.clear();
                }
                of_instance.push(entry);
            }
        }
        count += run.rows_of(&of_instance).await?;
        each(count);
        run.done.is_partial |= listing.is_partial;
    }
    // Rows of what nobody may read say less than the old ones.
    store.check()?;
    let mut failed = None;
    let days: BTreeSet<_> = run.days.keys().into_iter().chain(old.days()).collect();
    for day in days {
        let objects = old.take(day)?;
        match run.write(day, objects, &there).await {
            Ok(()) => {}
            // The others do not depend on it.
            Err(ReindexError::Write(CompactError::Store(error))) if error.is_of_object() => {
                let folder = store.url(&day.days_prefix());
                run.done.unwritten.insert(folder, error.to_string());
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    let done = run.done;
    if let Some(error) = failed.filter(|_| done.days == 0) {
        return Err(error.into());
    }
    if since.is_none() && !done.is_partial && done.unwritten.is_empty() && !done.is_nothing() {
        store.put_if_absent(COMPLETE_KEY, &complete()).await?;
    }
    Ok(done)
}

/// The old catalog's objects by day. An archive may have more rows that are not joined than fit in memory.
#[derive(Default)]
pub(super) struct Old {
    /// Their keys, each as a text in JSON: a file may have any name.
    rows: Spool<Day>,
    joined: BTreeMap<Day, BTreeSet<DayKey>>,
}

impl Old {
    pub(super) async fn list(
        store: &impl Store,
        is_asked_for: impl Fn(Day) -> bool,
    ) -> Result<Self, ReindexError> {
        let mut old = Self::default();
        // In this order: a row that is joined meanwhile is seen twice rather than not at all.
        let mut listing = Pages::of(store, ROWS_PREFIX);
        while let Some(page) = listing.next_page().await? {
            for entry in page {
                if let Some(CatalogKey::Row(key)) = CatalogKey::parse(&entry.key)
                    && is_asked_for(key.row.day())
                {
                    let line = format!("{}\n", Value::from(entry.key));
                    old.rows.add(key.row.day(), &line)?;
                }
            }
        }
        old.joined = compact::joined_days(store, DAYS_PREFIX).await?;
        old.joined.retain(|day, _| is_asked_for(*day));
        Ok(old)
    }

    pub(super) fn days(&self) -> BTreeSet<Day> {
        let joined = self.joined.keys().copied();
        joined.chain(self.rows.keys()).collect()
    }

    /// Takes a day's objects out.
    pub(super) fn take(&mut self, day: Day) -> Result<Objects, TemporaryError> {
        let mut rows = BTreeSet::new(); // Pages of some stores overlap.
        self.rows.take(day, |line| {
            rows.extend(serde_json::from_slice::<String>(line).ok());
            Ok(())
        })?;
        Ok(Objects {
            rows: rows.into_iter().collect(),
            joined: self.joined.remove(&day).unwrap_or_default(),
        })
    }
}

/// Says that the catalog has everything that was stored before.
pub fn complete() -> Object {
    Object {
        body: b"{\"schema\":1}\n".to_vec(),
        content_type: "application/json".to_owned(),
        metadata: BTreeMap::new(),
    }
}

/// The rows of these objects, as far as they can be read: the catalog is built anew because it may be damaged.
async fn old_rows(store: &impl Store, objects: &Objects) -> Result<Vec<Row>, StoreError> {
    let of_names = objects.rows.iter().filter_map(|key| CatalogKey::parse(key));
    let mut rows: Vec<_> = of_names
        .filter_map(|key| match key {
            CatalogKey::Row(key) => Some(key.row),
            _ => None,
        })
        .collect();
    for key in &objects.joined {
        match store.get(&key.to_string()).await {
            Ok(Some(object)) => {
                day::unpack_as_far_as_possible(&object.body, |row| rows.push(row));
            }
            Ok(None) => {}
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

/// A run on its way.
struct Run<'a, S> {
    store: &'a S,
    since: Option<Day>,
    /// The new rows.
    days: Spool<Day>,
    /// Hashes of records and markers that cannot be read.
    unreadable: Lookup<1>,
    done: Reindexed,
}

impl<S: Store> Run<'_, S> {
    /// Writes the new rows of a day, and removes its old objects.
    async fn write(
        &mut self,
        day: Day,
        old: Objects,
        there: &Lookup<1>,
    ) -> Result<(), ReindexError> {
        let mut rows = Rows::default();
        self.days.take(day, |line| {
            // The lines are this program's own, of just before.
            Row::parse(line).into_iter().for_each(|row| rows.add(row));
            Ok(())
        })?;
        if !self.unreadable.is_empty() {
            self.known(&old)
                .await?
                .into_iter()
                .for_each(|row| rows.add(row));
        }
        let mut written = BTreeSet::new();
        if !rows.is_empty() {
            let count = rows.len() as u64;
            written = compact::write(self.store, day, rows, true).await?;
            self.done.days += 1;
            self.done.rows += count;
        }
        // What could not be listed may be there: its rows stay.
        if self.done.is_partial {
            return Ok(());
        }
        let Objects { rows, joined } = old;
        let joined: BTreeSet<_> = joined.difference(&written).cloned().collect();
        self.remove(Objects { rows, joined }, there).await
    }

    /// What the old catalog says of objects that cannot be read.
    async fn known(&self, old: &Objects) -> Result<Vec<Row>, StoreError> {
        let is_unread = |row: &Row| match row.is_pruned() {
            true => Ok(false),
            false => self.unreadable.has(hash(&row.subject.key())),
        };
        let joined = Objects {
            rows: Vec::new(),
            joined: old.joined.clone(),
        };
        let mut known = Vec::new();
        for row in old_rows(self.store, &joined).await? {
            if is_unread(&row)? {
                known.push(row);
            }
        }
        for key in &old.rows {
            let Some(CatalogKey::Row(of_name)) = CatalogKey::parse(key) else {
                continue;
            };
            if !is_unread(&of_name.row)? {
                continue;
            }
            known.push(match self.store.get(key).await {
                Ok(object) => {
                    let row = object.and_then(|object| Row::parse(&object.body).ok());
                    row.unwrap_or(of_name.row)
                }
                Err(error) if error.is_of_object() => of_name.row,
                Err(error) => return Err(error),
            });
        }
        Ok(known)
    }

    /// Removes objects of the old catalog. First it notes which of their rows name an object that is gone.
    async fn remove(&mut self, objects: Objects, there: &Lookup<1>) -> Result<(), ReindexError> {
        let old = old_rows(self.store, &objects).await?;
        let pruned = old.iter().filter(|row| row.is_pruned());
        let pruned: BTreeSet<_> = pruned.map(|row| row.subject.key()).collect();
        let mut gone = BTreeSet::new();
        for key in old.iter().map(|row| row.subject.key()) {
            if !pruned.contains(&key) && !there.has(hash(&key))? {
                gone.insert(key);
            }
        }
        let done = &mut self.done;
        done.lost += gone.len() as u64;
        let room = MAX_NAMED.saturating_sub(done.lost_keys.len());
        done.lost_keys.extend(gone.into_iter().take(room));
        let Objects { rows, joined } = objects;
        let joined = joined.iter().map(DayKey::to_string);
        let (removed, left) = compact::remove(self.store, joined.chain(rows).collect()).await?;
        done.removed += removed;
        done.left += left;
        Ok(())
    }

    /// Reads the records, markers and screenshots of one instance, and adds a row for each; how many.
    async fn rows_of(&mut self, entries: &[Entry]) -> Result<u64, ReindexError> {
        let (store, since) = (self.store, self.since);
        let verdicts = verdicts(entries);
        // Stored on this day or later, so captured at most a day before.
        let may_be_asked_for = |entry: &&Entry| {
            // Clocks of machines and of the store differ.
            let latest = entry
                .stored_at
                .checked_add(CLOCKS)
                .unwrap_or(Timestamp::MAX);
            since.is_none_or(|since| Day::of(latest) >= since)
        };
        let subjects = entries.iter().filter(may_be_asked_for);
        let subjects = subjects.filter_map(|entry| Some((Subject::parse(&entry.key)?, entry)));
        let read = subjects.map(async |(subject, entry)| {
            let object = match crate::store::get_listed(store, &entry.key).await {
                Ok(None) => return Ok(None), // It was removed meanwhile.
                Ok(object) => object,
                // One object must not keep the others out of the catalog.
                Err(error) if error.is_of_object() => {
                    let key = &entry.key;
                    warn!("{key} is in the catalog by what is known without reading it: {error}");
                    None
                }
                Err(error) => return Err(error),
            };
            Ok(Some((subject, entry, object)))
        });
        let mut read = stream::iter(read).buffered(AT_ONCE);
        let mut count = 0;
        while let Some(found) = read.try_next().await? {
            let Some((subject, entry, object)) = found else {
                continue;
            };
            count += 1;
            let (row, is_damaged) = match (subject, object) {
                (Subject::Record(key), Some(object)) => {
                    let verdict = verdicts.get(&key).copied();
                    let (described, is_damaged) = of_record(key, entry, &object, verdict);
                    self.done.untimed += u64::from(!described.is_timed);
                    (described.row, is_damaged)
                }
                (Subject::Screenshot(key), Some(object)) => {
                    let (described, is_damaged) = of_screenshot(key, entry, &object);
                    self.done.untimed += u64::from(!described.is_timed);
                    (described.row, is_damaged)
                }
                (Subject::Marker(key), Some(object)) => {
                    let at = key.captured_at(entry.stored_at);
                    let listed = Row::listed(Subject::Marker(key), at, None, None);
                    (Described::of_marker(listed, &object.body).row, false)
                }
                (subject, None) => {
                    self.unreadable.add([hash(&entry.key)])?;
                    let bytes = Some(entry.bytes);
                    (Row::listed(subject, entry.stored_at, bytes, None), true)
                }
            };
            if is_damaged {
                self.done.damaged_count += 1;
                if self.done.damaged.len() < MAX_NAMED {
                    self.done.damaged.push(store.url(&entry.key));
                }
            }
            if since.is_none_or(|since| row.day() >= since) {
                self.days.add(row.day(), &row.line())?;
            }
        }
        Ok(count)
    }
}

/// The row of a stored record, by its metadata and its bytes, and whether the record is damaged.
fn of_record(
    key: RecordKey,
    entry: &Entry,
    object: &Object,
    verdict: Option<(Timestamp, Freshness)>,
) -> (Described, bool) {
    let CheckedObject { plain, faults, .. } = record::read(&key, object);
    let listed = Row::listed(
        Subject::Record(key),
        entry.stored_at,
        Some(entry.bytes),
        None,
    );
    let Described { mut row, is_timed } = Described::of(listed, &object.metadata);
    if let Some((stored_at, freshness)) = verdict {
        row = Row {
            freshness: Some(freshness),
            freshness_at: Some(whole_second(stored_at)),
            freshness_is_final: true,
            ..row
        };
    }
    if faults.is_empty() {
        let found = findings::of_console(&plain, Rules::current());
        row = row.with_facts(boot_facts(&plain)).with_findings(&found);
    }
    (Described { row, is_timed }, !faults.is_empty())
}

/// The row of a stored screenshot, and whether it is damaged.
fn of_screenshot(key: ScreenshotKey, entry: &Entry, object: &Object) -> (Described, bool) {
    let is_damaged = !screenshot::faults(&key, object).is_empty();
    let taken_at = key.taken_at(entry.stored_at);
    let listed = Row::listed(Subject::Screenshot(key), taken_at, Some(entry.bytes), None);
    let Described { row, is_timed } = Described::of(listed, &object.metadata);
    // Nobody is shown a damaged one.
    let found = match is_damaged {
        true => Vec::new(),
        false => findings::of_screenshot(row.reason),
    };
    let row = row.with_findings(&found);
    (Described { row, is_timed }, is_damaged)
}
