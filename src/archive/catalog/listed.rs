//! What a listing of the archive shows, for what the catalog does not reach: records, markers and screenshots, and when
//! they were captured.
//!
//! A listing says when each was stored. For a copy that is when it was copied. So the catalog says when a record was
//! captured, and else the record's own metadata do.

use std::ops::RangeInclusive;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::described::Described;
use super::row::{Row, Subject};
use crate::archive::key::{VerdictKey, hash};
use crate::model::freshness::Freshness;
use crate::model::update_time::UpdatedAt;
use crate::store::lookup::Lookup;
use crate::store::spool::{Spool, TemporaryError};
use crate::store::{self, Entry, Pages, Store, StoreError};

/// Records that are asked at once when they were captured.
const AT_ONCE: usize = 32;

/// By how much the clock of the machine that captured may be ahead of the store's, and by how much the zone of a time
/// in a key may be another.
const CLOCKS: SignedDuration = SignedDuration::from_hours(24);

/// What was stored so soon after ECS had updated the console was captured then.
const SOON: SignedDuration = SignedDuration::from_hours(1);
/// ECS names no zone: its times are in UTC+8, or in UTC.
const ZONE: SignedDuration = SignedDuration::from_hours(8);

/// The objects of a listing. They are kept in temporary files, so there may be more of them than fit in memory.
#[derive(Debug, Default)]
pub struct Listed {
    there: Lookup<1>,
    /// Key, length and time of storing of each, as an array in JSON.
    entries: Spool<()>,
    /// For a record by its hash, when the verdict was stored, and which.
    verdicts: Lookup<3>,
    /// Requests that it took.
    pub requests: usize,
}

impl Listed {
    /// Lists what is below these prefixes of keys.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    pub async fn below(store: &impl Store, prefixes: Vec<String>) -> Result<Self, StoreError> {
        let mut listed = Self::default();
        for prefix in prefixes {
            let mut pages = Pages::of(store, &prefix);
            while let Some(page) = pages.next_page().await? {
                for entry in &page {
                    listed.add(entry)?;
                }
            }
            listed.requests += pages.requests;
        }
        Ok(listed)
    }

    fn add(&mut self, entry: &Entry) -> Result<(), TemporaryError> {
        if let Some(verdict) = VerdictKey::parse(&entry.key) {
            let record = hash(&verdict.record.to_string());
            let stored_at = in_order(entry.stored_at);
            return self
                .verdicts
                .add([record, stored_at, verdict.freshness.number()]);
        }
        if Subject::parse(&entry.key).is_none() || !self.there.is_new(hash(&entry.key))? {
            return Ok(());
        }
        let line = json!([entry.key, entry.bytes, entry.stored_at]);
        self.entries.add((), &format!("{line}\n"))
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn has(&self, subject: &Subject) -> Result<bool, TemporaryError> {
        self.there.has(hash(&subject.key()))
    }

    /// Hands over what is there and not known, each as the row that the listing tells.
    ///
    /// # Errors
    /// [`TemporaryError`], also of `each`.
    pub fn take_unknown(
        &mut self,
        known: &Lookup<1>,
        mut each: impl FnMut(Row) -> Result<(), TemporaryError>,
    ) -> Result<(), TemporaryError> {
        let verdicts = &self.verdicts;
        self.entries.take((), |line| {
            // The lines are this program's own, of just before.
            let Ok((key, bytes, stored_at)) =
                serde_json::from_slice::<(String, u64, Timestamp)>(line)
            else {
                return Ok(());
            };
            let hash = hash(&key);
            let Some(subject) = Subject::parse(&key) else {
                return Ok(());
            };
            if known.has(hash)? {
                return Ok(());
            }
            // Several events can judge one record: the newest verdict counts.
            let verdict = verdicts.find(hash)?.last().copied();
            let verdict = verdict.and_then(|[_, _, number]| Freshness::of_number(number));
            let (captured_at, bytes) = match &subject {
                Subject::Record(_) => (stored_at, Some(bytes)),
                Subject::Marker(key) => (key.captured_at(stored_at), None),
                Subject::Screenshot(key) => (key.taken_at(stored_at), Some(bytes)),
            };
            each(Row::listed(subject, captured_at, bytes, verdict))
        })
    }
}

/// A number that is greater for a later time.
pub fn in_order(time: Timestamp) -> u64 {
    (time.as_second() as u64) ^ (1 << 63)
}

/// Whether what a listing has shown may have been captured in this range: not after it was stored, and not before ECS
/// last updated the console.
pub fn may_be_of(listed: &Row, range: &RangeInclusive<Timestamp>) -> bool {
    let stored_at = listed.captured_at;
    let earliest = match &listed.subject {
        Subject::Record(key) => key
            .last_update_time
            .and_then(|time| UpdatedAt::of(time, stored_at))
            .map(|at| at.time),
        Subject::Marker(_) => Some(stored_at),
        Subject::Screenshot(key) => Some(key.taken_at(Timestamp::MIN)),
    };
    let latest = match &listed.subject {
        Subject::Record(_) | Subject::Marker(_) => stored_at,
        Subject::Screenshot(key) => key.taken_at(Timestamp::MAX),
    };
    let is_late_enough = latest
        .saturating_add(CLOCKS)
        .is_ok_and(|at| at >= *range.start());
    let earliest = earliest.and_then(|at| at.saturating_sub(CLOCKS).ok());
    is_late_enough && earliest.is_none_or(|at| at <= *range.end())
}

/// Whether an object was stored within an hour of its capture, for certain: ECS had updated the console so short a time
/// before. Of a copy that was made later, nobody knows.
pub fn was_stored_at_once(listed: &Row) -> bool {
    let stored_at = listed.captured_at;
    match &listed.subject {
        Subject::Record(key) => {
            let updated_at = key.last_update_time;
            let updated_at = updated_at.and_then(|time| UpdatedAt::of(time, stored_at));
            updated_at.is_some_and(|at| {
                let age = stored_at.duration_since(at.time);
                let of_zone = age - ZONE;
                let is_soon = |age: SignedDuration| (SignedDuration::ZERO..=SOON).contains(&age);
                is_soon(age) || !at.is_certain && is_soon(of_zone)
            })
        }
        Subject::Marker(_) => true,
        Subject::Screenshot(key) => stored_at != key.taken_at(Timestamp::MAX),
    }
}

/// Asks objects for what they say of themselves: when they were captured, and what led to it. Where one cannot be asked,
/// hands over its error.
///
/// # Errors
/// [`StoreError`] if the store fails as a whole.
pub async fn described(
    store: &impl Store,
    listed: Vec<Row>,
) -> Result<Vec<(Described, Option<StoreError>)>, StoreError> {
    let asked = listed.into_iter().map(async |row| {
        let key = row.subject.key();
        let is_marker = matches!(row.subject, Subject::Marker(_));
        let said = match is_marker {
            true => store::get_listed(store, &key).await.map(|object| {
                let body = object?.body;
                Some(Described::of_marker(row.clone(), &body))
            }),
            false => store::metadata_listed(store, &key).await.map(|metadata| {
                let metadata = metadata?;
                Some(Described::of(row.clone(), &metadata))
            }),
        };
        match said {
            // None, if somebody has removed it since.
            Ok(said) => Ok(said.map(|said| (said, None))),
            Err(error) if error.is_of_object() || matches!(error, StoreError::Denied(_)) => {
                let is_timed = is_marker;
                Ok(Some((Described { row, is_timed }, Some(error))))
            }
            Err(error) => Err(error),
        }
    });
    let mut asked = stream::iter(asked).buffered(AT_ONCE);
    let mut all = Vec::new();
    while let Some(one) = asked.next().await {
        all.extend(one?);
    }
    Ok(all)
}
