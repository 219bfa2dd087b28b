//! The rows of a range of time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::day::{self, DayError, Rows};
use super::key::{COMPLETE_KEY, CatalogFolder, DAYS_PREFIX, Day, DayKey, ROWS_PREFIX};
use super::name::CatalogKey;
use super::row::Row;
use crate::store::spool::Spool;
use crate::store::{self, Pages, Store, StoreError};

/// Days whose objects are read at once.
const AT_ONCE: usize = 8;
/// Rows of a day that are read at the same time, each with a request of its own.
const ROWS_AT_ONCE: usize = 32;
/// How often a day is listed anew because its objects were joined and removed meanwhile.
const MAX_LOOKS: usize = 4;

/// From when on the catalog knows everything that was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// The archive has no catalog.
    Nothing,
    /// From the day after this one on. It may have begun in the middle of this day.
    After(Day),
    /// Everything: it was built from the records.
    Everything,
}

impl Coverage {
    /// Whether the catalog has everything since this moment.
    pub fn includes(self, since: Timestamp) -> bool {
        match self {
            Self::Nothing => false,
            Self::After(day) => since >= day.end(),
            Self::Everything => true,
        }
    }
}

/// The part of the catalog that is about a range of time. [`open`](Self::open) lists its objects, and
/// [`read`](Self::read) reads one day after the other.
pub struct Catalog<'a, S> {
    store: &'a S,
    range: RangeInclusive<Timestamp>,
    /// From when on it is complete.
    pub coverage: Coverage,
    /// The first day of which there is anything, by what it is called. In a copy, the coverage begins when it was
    /// copied, and only this says when the catalog did.
    pub begin: Option<Day>,
    /// Days whose folder is missing because a file has its place, by the key of that file. Nobody knows what was in the folder.
    pub taken: BTreeMap<String, Day>,
    /// Whether a part of it could not be listed.
    pub is_partial: bool,
    /// Keys of its rows, each as a text in JSON: a file may have any name. There may be more than fit in memory.
    rows: Spool<Day>,
    /// Its objects with joined rows.
    joined: BTreeMap<Day, BTreeSet<DayKey>>,
    unread_rows: usize,
    passes_unreadable: bool,
    /// Whether rows are read that are not joined yet.
    is_whole: bool,
}

/// The objects of a day.
#[derive(Default)]
struct OfDay {
    /// As far as their names tell them.
    rows: Vec<Row>,
    /// Keys of rows of which more is asked for than their names tell.
    unread: Vec<String>,
    joined: BTreeSet<DayKey>,
}

/// A day's rows.
pub struct ReadDay {
    /// Its rows within the range, in the order of capture.
    pub rows: Vec<Row>,
    /// Objects that are damaged. What they say is missing.
    pub damaged: Vec<(String, DayError)>,
}

impl<'a, S: Store> Catalog<'a, S> {
    /// Lists what the catalog has of this range.
    ///
    /// It takes a request for each thousand rows that are not joined yet, and one for each thousand days.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn open(store: &'a S, range: RangeInclusive<Timestamp>) -> Result<Self, StoreError> {
        Self::open_as(store, range, false).await
    }

    /// The same for what the names of rows do not tell: [`read`](Self::read) takes a request for each row of a record
    /// that is not joined yet.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_whole(
        store: &'a S,
        range: RangeInclusive<Timestamp>,
    ) -> Result<Self, StoreError> {
        Self::open_as(store, range, true).await
    }

    async fn open_as(
        store: &'a S,
        range: RangeInclusive<Timestamp>,
        is_whole: bool,
    ) -> Result<Self, StoreError> {
        let (first, last) = (Day::of(*range.start()), Day::of(*range.end()));
        let mut catalog = Self {
            store,
            range,
            coverage: Coverage::Nothing,
            begin: None,
            taken: BTreeMap::new(),
            is_partial: false,
            rows: Spool::default(),
            joined: BTreeMap::new(),
            unread_rows: 0,
            passes_unreadable: false,
            is_whole,
        };
        // Rows before days: one that is joined meanwhile is seen twice rather than not at all.
        let mut listing = Pages::of(store, ROWS_PREFIX).after(&first.rows_prefix());
        'pages: while let Some(page) = listing.next_page().await? {
            for entry in page {
                if let Some(CatalogKey::Row(key)) = CatalogKey::parse(&entry.key) {
                    if key.row.day() > last {
                        if store.sorts() {
                            break 'pages;
                        }
                        continue;
                    }
                    catalog.begins(key.row.day());
                    catalog.add(&entry.key, &key.row)?;
                }
                catalog.note_taken(&entry.key, first..=last);
            }
        }
        catalog.is_partial |= listing.is_partial;
        let mut begin = None;
        let mut listing = Pages::of(store, DAYS_PREFIX);
        while let Some(page) = listing.next_page().await? {
            for entry in page {
                if entry.key == COMPLETE_KEY {
                    catalog.coverage = Coverage::Everything;
                }
                if let Some(CatalogKey::Day(key)) = CatalogKey::parse(&entry.key) {
                    catalog.begins(key.day);
                    let written_on = key.day.max(Day::of(entry.stored_at));
                    begin = Some(begin.unwrap_or(written_on).min(written_on));
                    if (first..=last).contains(&key.day) {
                        catalog.joined.entry(key.day).or_default().insert(key);
                    }
                }
                catalog.note_taken(&entry.key, first..=last);
            }
        }
        catalog.is_partial |= listing.is_partial;
        if catalog.coverage == Coverage::Nothing {
            begin = match begin {
                Some(begin) if begin < first => Some(begin),
                begin => catalog.first_row().await?.into_iter().chain(begin).min(),
            };
            catalog.coverage = begin.map_or(Coverage::Nothing, Coverage::After);
        }
        Ok(catalog)
    }

    /// The same without the days within this range: what is known of them is read already. Of its first and its last day
    /// everything is read.
    pub fn around(mut self, range: &RangeInclusive<Timestamp>) -> Result<Self, StoreError> {
        let (first, last) = (Day::of(*range.start()), Day::of(*range.end()));
        let is_within = |day: &Day| first < *day && *day < last;
        let days: BTreeSet<_> = self.joined.keys().copied().collect();
        for day in days.into_iter().chain(self.rows.keys()).filter(is_within) {
            self.take(day)?;
        }
        self.taken.retain(|_, day| !is_within(day));
        Ok(self)
    }

    /// The same, but an object that cannot be read counts as damaged, and does not end the reading.
    pub fn past_unreadable(self) -> Self {
        Self {
            passes_unreadable: true,
            ..self
        }
    }

    /// Notes a file that has the place of a day's folder. In a bucket it takes no place, but nobody put it there for that.
    fn note_taken(&mut self, key: &str, days: RangeInclusive<Day>) {
        if let Some(CatalogFolder::Of(day)) = CatalogFolder::parse(key)
            && days.contains(&day)
        {
            self.taken.insert(key.to_owned(), day);
        }
    }

    fn begins(&mut self, day: Day) {
        self.begin = Some(self.begin.map_or(day, |begin| begin.min(day)));
    }

    fn add(&mut self, key: &str, row: &Row) -> Result<(), StoreError> {
        match self.is_read(row) {
            true if self.range.contains(&row.captured_at) => self.unread_rows += 1,
            true => return Ok(()),
            false => {}
        }
        let line = format!("{}\n", Value::from(key));
        Ok(self.rows.add(row.day(), &line)?)
    }

    /// Whether more is asked for than the name of this row tells. Only a row behind a record says more than its name,
    /// and only it tells a length.
    fn is_read(&self, row: &Row) -> bool {
        self.is_whole && row.gzip_bytes.is_some()
    }

    /// How many rows are read one by one.
    pub fn unread_rows(&self) -> usize {
        self.unread_rows
    }

    /// Takes the objects of a day out.
    fn take(&mut self, day: Day) -> Result<OfDay, StoreError> {
        let mut objects = OfDay {
            joined: self.joined.remove(&day).unwrap_or_default(),
            ..OfDay::default()
        };
        let mut rows = std::mem::take(&mut self.rows);
        rows.take(day, |line| {
            // The lines are this program's own, of just before.
            let key = serde_json::from_slice(line).unwrap_or_else(|_| String::new());
            if let Some(CatalogKey::Row(row)) = CatalogKey::parse(&key) {
                match self.is_read(&row.row) {
                    true => objects.unread.push(key),
                    false => objects.rows.push(row.row),
                }
            }
            Ok(())
        })?;
        self.rows = rows;
        Ok(objects)
    }

    /// The day of the first row that is not joined.
    async fn first_row(&self) -> Result<Option<Day>, StoreError> {
        let mut listing = Pages::of(self.store, ROWS_PREFIX);
        let mut first = None;
        while let (None, Some(page)) = (first, listing.next_page().await?) {
            // By the store's clock: a machine's may be behind, and its row of a day long ago proves nothing.
            let days = page
                .iter()
                .filter_map(|entry| match CatalogKey::parse(&entry.key)? {
                    CatalogKey::Row(key) => Some(key.row.day().max(Day::of(entry.stored_at))),
                    CatalogKey::Day(_) => None,
                });
            first = days.min();
        }
        Ok(first)
    }

    /// Reads the days in order, a few ahead, and hands over each.
    ///
    /// # Errors
    /// [`StoreError`] if an object cannot be read, or the error of `each`.
    pub async fn read<E: From<StoreError>>(
        mut self,
        mut each: impl FnMut(ReadDay) -> Result<(), E>,
    ) -> Result<(), E> {
        let (store, range) = (self.store, self.range.clone());
        let passes_unreadable = self.passes_unreadable;
        if !self.taken.is_empty() {
            let taken = std::mem::take(&mut self.taken).into_keys();
            each(ReadDay {
                rows: Vec::new(),
                damaged: taken.map(|key| (key, DayError::NotAFolder)).collect(),
            })?;
        }
        let days: BTreeSet<_> = (self.joined.keys().copied())
            .chain(self.rows.keys())
            .collect();
        let range = &range;
        let days = days.into_iter().map(|day| {
            let objects = self.take(day);
            async move {
                let mut read = read_day(store, day, objects?, passes_unreadable).await?;
                read.rows.retain(|row| range.contains(&row.captured_at));
                Ok::<_, StoreError>(read)
            }
        });
        let mut days = stream::iter(days).buffered(AT_ONCE);
        while let Some(day) = days.next().await {
            each(day?)?;
        }
        Ok(())
    }
}

/// The objects that a day's rows are joined in by now.
async fn joined_now(store: &impl Store, day: Day) -> Result<Vec<DayKey>, StoreError> {
    let listed = store::list_all(store, &day.days_prefix()).await?;
    let keys = listed
        .iter()
        .filter_map(|entry| CatalogKey::parse(&entry.key));
    let days = keys.filter_map(|key| match key {
        CatalogKey::Day(key) => Some(key),
        CatalogKey::Row(_) => None,
    });
    Ok(days.collect())
}

async fn read_day(
    store: &impl Store,
    day: Day,
    objects: OfDay,
    passes_unreadable: bool,
) -> Result<ReadDay, StoreError> {
    let mut rows: Rows = objects.rows.into_iter().collect();
    let mut damaged = Vec::new();
    let (mut read, mut looks) = (BTreeSet::new(), 0);
    let mut keys: VecDeque<DayKey> = objects.joined.into_iter().collect();
    let unread = objects.unread.into_iter().map(async |key| {
        let found = store.get(&key).await;
        (key, found)
    });
    let mut unread = stream::iter(unread).buffered(ROWS_AT_ONCE);
    let mut gone = Vec::new();
    let is_passed =
        |error: &StoreError| error.is_of_object() || passes_unreadable && error.may_be_of_object();
    while let Some((name, found)) = unread.next().await {
        match found {
            Err(error) if is_passed(&error) => {
                damaged.push((name, DayError::Unreadable(error.to_string())));
            }
            Err(error) => return Err(error),
            Ok(Some(object)) => match Row::parse(&object.body) {
                Ok(row) => rows.add(row),
                Err(cause) => damaged.push((name, DayError::Line { line: 1, cause })),
            },
            // It was joined, and removed; or it is lost.
            Ok(None) => gone.push(name),
        }
    }
    if !gone.is_empty() {
        let absent: Vec<_> = gone.iter().map(String::as_str).collect();
        let lost = store::only_listed(store, &day.rows_prefix(), &absent).await?;
        let why = || DayError::Unreadable(StoreError::OnlyListed.to_string());
        damaged.extend(lost.into_iter().map(|name| (name, why())));
        keys.extend(joined_now(store, day).await?);
    }
    while let Some(key) = keys.pop_front() {
        if !read.insert(key.clone()) {
            continue;
        }
        let name = key.to_string();
        let found = match store::get_listed(store, &name).await {
            Err(error) if is_passed(&error) => {
                damaged.push((name, DayError::Unreadable(error.to_string())));
                continue;
            }
            found => found?,
        };
        match found {
            Some(object) => {
                let error = day::unpack_as_far_as_possible(&object.body, |row| rows.add(row));
                damaged.extend(error.map(|error| (name, error)));
            }
            // It was joined with others, and removed.
            None if looks < MAX_LOOKS => {
                looks += 1;
                keys.extend(joined_now(store, day).await?);
            }
            None => {}
        }
    }
    Ok(ReadDay {
        rows: rows.in_order(),
        damaged,
    })
}
