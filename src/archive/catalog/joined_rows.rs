//! What the joined rows of the catalog say of some objects, where that takes fewer requests than to ask each of them.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::day;
use super::key::{DAYS_PREFIX, Day, DayKey};
use super::row::Row;
use crate::archive::record::note;
use crate::store::{Entry, Pages, Store, StoreError};

/// Days that are read at once.
const AT_ONCE: usize = 8;
/// So many bytes of a day take as long as a request.
const BYTES_OF_A_REQUEST: u64 = 64 << 10;
/// A row is written right after its object. One that was captured longer before that is not of this object's writing: it
/// was copied.
const STORED_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// The rows of objects that were stored at these times, by their keys. Those of which it knows no row, or not all, are
/// left out, and so is everything where it would not be faster.
///
/// # Errors
/// [`StoreError`] if the store fails. Where the catalog may not be read, there are no rows.
pub async fn joined_rows(
    store: &impl Store,
    objects: &BTreeMap<String, Timestamp>,
) -> Result<BTreeMap<String, Row>, StoreError> {
    let mut of_days = BTreeMap::<Day, u64>::new();
    for stored_at in objects.values() {
        *of_days.entry(Day::of(*stored_at)).or_default() += 1;
    }
    // A listing, and a read for each day.
    if objects.len() <= 1 + of_days.len() {
        return Ok(BTreeMap::new());
    }
    let days = match listed(store, &of_days, objects.len()).await {
        // The objects are there without a catalog, too.
        Err(error) if !error.is_transient() => return Ok(BTreeMap::new()),
        days => days?,
    };
    let reads = days.into_iter().filter_map(|(day, listed)| {
        let requests = listed.iter();
        let requests = requests.map(|entry| 1 + entry.bytes / BYTES_OF_A_REQUEST);
        let is_worth_it = requests.sum::<u64>() < *of_days.get(&day)?;
        is_worth_it.then_some(listed)
    });
    let reads = reads.flatten().map(async |entry| {
        let read = store.get(&entry.key).await;
        match read {
            Err(error) if error.is_of_object() || matches!(error, StoreError::Denied(_)) => {
                Ok(None)
            }
            read => read,
        }
    });
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    let (mut rows, mut damaged) = (BTreeMap::<String, Row>::new(), false);
    while let Some(read) = reads.next().await {
        let Some(object) = read? else {
            continue; // It was joined with others, and removed.
        };
        let error = day::unpack_as_far_as_possible(&object.body, |row| {
            let key = row.subject.key();
            if !objects.contains_key(&key) {
                return;
            }
            let joined = match rows.remove(&key) {
                Some(other) => other.join(row),
                None => row,
            };
            rows.insert(key, joined);
        });
        damaged |= error.is_some();
    }
    // What a damaged day does not say may be what counts.
    if damaged {
        return Ok(BTreeMap::new());
    }
    rows.retain(|key, row| {
        let stored_at = objects.get(key);
        stored_at.is_some_and(|at| says_all(row, *at))
    });
    Ok(rows)
}

/// The joined rows of these days. None, if it takes so many requests.
async fn listed(
    store: &impl Store,
    of_days: &BTreeMap<Day, u64>,
    max_requests: usize,
) -> Result<BTreeMap<Day, Vec<Entry>>, StoreError> {
    let (Some((first, _)), Some((last, _))) = (of_days.first_key_value(), of_days.last_key_value())
    else {
        return Ok(BTreeMap::new());
    };
    let mut days = BTreeMap::<Day, Vec<Entry>>::new();
    let mut pages = Pages::of(store, DAYS_PREFIX).after(&first.days_prefix());
    'pages: while let Some(page) = pages.next_page().await? {
        if pages.requests >= max_requests && !pages.is_over() {
            return Ok(BTreeMap::new());
        }
        for entry in page {
            let Some(key) = DayKey::parse(&entry.key) else {
                continue;
            };
            if key.day > *last && store.sorts() {
                break 'pages;
            }
            if of_days.contains_key(&key.day) {
                days.entry(key.day).or_default().push(entry);
            }
        }
    }
    Ok(days)
}

/// Whether a row says what the object's metadata say.
fn says_all(row: &Row, stored_at: Timestamp) -> bool {
    let age = stored_at.duration_since(row.captured_at);
    // A later capture may have found another freshness.
    let is_first =
        row.freshness_is_final || row.freshness_at.is_none_or(|at| at == row.captured_at);
    let is_known = row.sha256.is_some() || row.reason.is_some();
    age.abs() <= STORED_WITHIN && is_first && is_known && row.pruned_at.is_none()
}

/// What the object's metadata say, by its row.
pub fn metadata(row: &Row) -> BTreeMap<String, String> {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    // In the end, a verdict says it.
    let freshness = row.freshness.filter(|_| !row.freshness_is_final);
    let mut metadata = BTreeMap::new();
    for (name, value) in [
        (
            "account-id",
            row.account_id.as_ref().map(ToString::to_string),
        ),
        ("captured-at", time(Some(row.captured_at))),
        (
            "console-bytes",
            row.console_bytes.map(|bytes| bytes.to_string()),
        ),
        ("event-cause", Some(row.cause.clone())),
        ("event-id", row.event_id.clone()),
        ("event-time", time(row.event_time)),
        (
            "freshness",
            freshness.map(|freshness| freshness.to_string()),
        ),
        ("last-update-time", Some(row.last_update_time.clone())),
        ("region-id", row.region_id.as_ref().map(ToString::to_string)),
    ] {
        note(&mut metadata, name, &value.unwrap_or_default());
    }
    metadata
}
