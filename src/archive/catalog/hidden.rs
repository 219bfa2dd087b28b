//! Objects that the catalog calls pruned, although they are there: a run was killed before it removed them, or a copy
//! brought them back. No listing of the fleet shows them until a row says that they are there.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::read::Catalog;
use super::row::{Row, Subject};
use crate::archive::key::hash;
use crate::clock::whole_second;
use crate::store::lookup::Lookup;
use crate::store::spool::TemporaryError;
use crate::store::{Store, StoreError};

/// Objects of which rows say that they are pruned, by hashes of their keys: of each of these rows, when its object was
/// captured and pruned.
#[derive(Default)]
pub struct Hidden {
    rows: TwoTimes,
    /// Objects of the catalog that cannot be read, and why.
    damaged: BTreeMap<String, String>,
    is_partial: bool,
}

impl Hidden {
    /// Reads it from the whole catalog, for the keys that are asked for. There may be more than fit in memory.
    ///
    /// # Errors
    /// [`StoreError`] if the catalog cannot be read.
    pub async fn read(
        store: &impl Store,
        mut is_asked_for: impl FnMut(&str) -> Result<bool, TemporaryError>,
    ) -> Result<Self, StoreError> {
        let mut hidden = Self::default();
        let catalog = Catalog::open(store, Timestamp::MIN..=Timestamp::MAX).await?;
        hidden.is_partial = catalog.is_partial;
        let read = catalog.read(|day| {
            let damaged = day.damaged.into_iter();
            hidden
                .damaged
                .extend(damaged.map(|(key, why)| (key, why.to_string())));
            for row in day.rows.iter().filter(|row| row.is_pruned()) {
                let key = row.subject.key();
                if let Some(pruned_at) = row.pruned_at
                    && is_asked_for(&key)?
                {
                    hidden.rows.add(&key, row.captured_at, pruned_at)?;
                }
            }
            Ok::<_, StoreError>(())
        });
        read.await?;
        Ok(hidden)
    }

    /// Objects of the catalog that cannot be read, and why.
    pub fn damaged(&self) -> impl Iterator<Item = (&str, &str)> {
        let damaged = self.damaged.iter();
        damaged.map(|(key, why)| (key.as_str(), why.as_str()))
    }

    /// Whether the catalog may have rows that were not read.
    pub fn may_lack_rows(&self) -> bool {
        self.is_partial || !self.damaged.is_empty()
    }

    /// Lists an object again that is there: writes the rows that take back that it is pruned. Whoever does it at the
    /// same time writes the same rows.
    ///
    /// # Errors
    /// [`StoreError`] if a row cannot be stored.
    pub async fn list_again(&self, store: &impl Store, key: &str) -> Result<(), StoreError> {
        let Some(subject) = Subject::parse(key) else {
            return Ok(());
        };
        for (captured_at, pruned_at) in self.rows.of(key)? {
            if let Some(row) = still_there(subject.clone(), captured_at, pruned_at) {
                let (key, object) = row.packed();
                store.put_if_absent(&key, &object).await?;
            }
        }
        Ok(())
    }
}

/// Pairs of times by an object's key. There may be more than fit in memory.
#[derive(Default)]
pub struct TwoTimes(Lookup<5>);

impl TwoTimes {
    /// Adds a pair.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn add(
        &mut self,
        key: &str,
        first: Timestamp,
        second: Timestamp,
    ) -> Result<(), TemporaryError> {
        let of = |time: Timestamp| {
            [
                time.as_second().cast_unsigned(),
                u64::from(time.subsec_nanosecond().cast_unsigned()),
            ]
        };
        let ([second_of_first, rest_of_first], [second_of_second, rest_of_second]) =
            (of(first), of(second));
        self.0.add([
            hash(key),
            second_of_first,
            rest_of_first,
            second_of_second,
            rest_of_second,
        ])
    }

    /// The pairs of this object.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn of(&self, key: &str) -> Result<Vec<(Timestamp, Timestamp)>, TemporaryError> {
        let time = |seconds: u64, rest: u64| {
            let rest = u32::try_from(rest).unwrap_or_default().cast_signed();
            // As it was taken apart before.
            Timestamp::new(seconds.cast_signed(), rest).unwrap_or_default()
        };
        let found = self.0.find(hash(key))?.into_iter();
        let times = found.map(|[_, first, rest, second, rest_of_second]| {
            (time(first, rest), time(second, rest_of_second))
        });
        Ok(times.collect())
    }
}

/// How long after a removal the row says that the object is there that takes the removal back.
const TAKEN_BACK: SignedDuration = SignedDuration::from_secs(1);
/// The same where the store refused to remove it. Only this tells it from what was listed again for another reason.
const REFUSED: SignedDuration = SignedDuration::from_secs(2);

/// The row that takes back that an object was pruned at this time. `None` if that is the end of time.
pub fn still_there(subject: Subject, captured_at: Timestamp, pruned_at: Timestamp) -> Option<Row> {
    there(subject, captured_at, pruned_at, TAKEN_BACK)
}

/// The same of an object that the store refused to remove.
pub fn refused(subject: Subject, captured_at: Timestamp, pruned_at: Timestamp) -> Option<Row> {
    there(subject, captured_at, pruned_at, REFUSED)
}

fn there(
    subject: Subject,
    captured_at: Timestamp,
    pruned_at: Timestamp,
    after: SignedDuration,
) -> Option<Row> {
    let after = whole_second(pruned_at).checked_add(after).ok()?;
    Some(Row::still_there(subject, captured_at, after))
}

/// When the store refused to remove the object of this row, if nothing has been known of it since.
pub fn refused_at(row: &Row) -> Option<Timestamp> {
    let (pruned_at, last) = row.pruned_at.zip(row.last_captured_at)?;
    let is_refused = pruned_at.checked_add(REFUSED).ok()? == last;
    is_refused.then_some(pruned_at)
}
