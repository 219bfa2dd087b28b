//! Records → what today's rules say of them, in the rows that the catalog has.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::compact::{self, CompactError, Objects};
use super::day::Rows;
use super::key::Day;
use super::reindex::{Old, ReindexError};
use super::row::{Row, RowOutcome, Subject};
use crate::archive::key::RecordKey;
use crate::archive::reader::{self, ReadError};
use crate::model::ids::InstanceId;
use crate::reading::ending::boot_facts;
use crate::reading::findings::{self, Rules};
use crate::store::past_refused::PastRefused;
use crate::store::{Store, StoreError};

/// Records read at once.
const AT_ONCE: usize = 32;

/// What a run is about.
pub struct Asked<'a> {
    /// When it was captured.
    pub range: RangeInclusive<Timestamp>,
    /// Which rows are looked at.
    pub includes: &'a dyn Fn(&Row) -> bool,
    /// Whether rows are rewritten. Without it, it is only told what would change.
    pub applies: bool,
}

/// A record of which today's rules say something else than its row.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Its instance.
    pub instance_id: InstanceId,
    /// What it says that its row does not, as the catalog has findings.
    pub new: Vec<Value>,
    /// What its row says, and it does not any more.
    pub gone: Vec<Value>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rescanned {
    /// Records that were read.
    pub records: u64,
    /// Records whose rows say something else now, or would.
    pub changed: u64,
    /// Days of the catalog that were rewritten.
    pub days: u64,
    /// Addresses of records that are damaged or cannot be read, and why. Their rows stay.
    pub unread: BTreeMap<String, String>,
    /// Days that could not be rewritten, by the addresses of their folders, and why.
    pub unwritten: BTreeMap<String, String>,
    /// Objects of the catalog that may not be removed: what they said before may still be read.
    pub left: u64,
}

/// Reads the records of the rows that are asked for, and says what today's rules find in them. The rows of a day are
/// in memory together. `each` is told of progress: records so far; `tell` of each record that is not as its row says.
///
/// Events may be served meanwhile: their rows stay.
///
/// # Errors
/// [`ReindexError`] if the store fails. A second run finishes the work.
pub async fn rescan(
    store: &impl Store,
    asked: &Asked<'_>,
    mut each: impl FnMut(u64),
    mut tell: impl FnMut(Changed),
) -> Result<Rescanned, ReindexError> {
    let store = &PastRefused::new(store);
    let (first, last) = (Day::of(*asked.range.start()), Day::of(*asked.range.end()));
    let mut old = Old::list(store, |day| (first..=last).contains(&day)).await?;
    let mut done = Rescanned::default();
    for day in old.days() {
        let objects = old.take(day)?;
        match of_day(store, asked, day, objects, &mut done, &mut tell).await {
            Ok(()) => {}
            // The others do not depend on it.
            Err(CompactError::Store(error)) if !error.is_of_object() => return Err(error.into()),
            Err(error) if error.is_of_day() => {
                let folder = store.url(&day.days_prefix());
                done.unwritten.insert(folder, error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        each(done.records);
    }
    store.check()?;
    Ok(done)
}

async fn of_day(
    store: &impl Store,
    asked: &Asked<'_>,
    day: Day,
    objects: Objects,
    done: &mut Rescanned,
    tell: &mut impl FnMut(Changed),
) -> Result<(), CompactError> {
    let all = compact::read(store, day, &objects).await?;
    let looked_at = all.in_order().into_iter().map(async |row| {
        let is_asked_for = row.outcome == RowOutcome::Stored
            && asked.range.contains(&row.captured_at)
            && (asked.includes)(&row);
        match (&row.subject, is_asked_for) {
            // A row that only says how fresh a record was in the end says nothing of its console.
            (Subject::Record(key), true) if row.sha256.is_some() => {
                let read = look_at(store, key, &row).await?;
                Ok::<_, StoreError>((row, Some(read)))
            }
            _ => Ok((row, None)),
        }
    });
    let mut looked_at = stream::iter(looked_at).buffered(AT_ONCE);
    let (mut rows, mut is_changed) = (Rows::default(), false);
    while let Some(looked_at) = looked_at.next().await {
        let (row, read) = looked_at?;
        done.records += u64::from(read.is_some());
        match read {
            Some(Ok(today)) if today != row => {
                tell(Changed::of(&row, &today));
                done.changed += 1;
                is_changed = true;
                rows.add(today);
            }
            Some(Err(why)) => {
                let url = store.url(&row.subject.key());
                done.unread.insert(url, why);
                rows.add(row);
            }
            _ => rows.add(row),
        }
    }
    if !is_changed || !asked.applies {
        return Ok(());
    }
    let replaced = compact::replace(store, day, objects, rows, true).await?;
    done.days += 1;
    done.left += replaced.left;
    Ok(())
}

/// The row by today's rules, or why the record cannot be read.
async fn look_at(
    store: &impl Store,
    key: &RecordKey,
    row: &Row,
) -> Result<Result<Row, String>, StoreError> {
    match reader::open(store, key).await {
        Ok(opened) => {
            let plain = &opened.plain;
            let found = findings::of_console(plain, Rules::current());
            let row = row.clone().with_facts(boot_facts(plain));
            Ok(Ok(row.with_findings(&found)))
        }
        Err(ReadError::Store(error)) if !error.is_of_object() => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

impl Changed {
    fn of(row: &Row, today: &Row) -> Self {
        let without = |all: &Option<Vec<Value>>, others: &Option<Vec<Value>>| {
            let mut all: Vec<Value> = all.clone().unwrap_or_default();
            let signature = |one: &Value| one["signature"].clone();
            let others = others.iter().flatten().map(signature);
            let others: Vec<_> = others.collect();
            all.retain(|one| !others.contains(&signature(one)));
            all
        };
        Self {
            instance_id: row.instance_id.clone(),
            new: without(&today.findings, &row.findings),
            gone: without(&row.findings, &today.findings),
        }
    }
}
