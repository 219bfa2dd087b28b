//! Rows ⇄ one object: JSON lines, compressed.

use std::collections::BTreeMap;

use super::key::{Day, DayKey};
use super::row::Row;
use crate::archive::key::ConsoleDigest;
use crate::archive::record::{self, CONTENT_TYPE, Fault};
use crate::store::Object;

/// Rows in one object. A day of more has several.
const MAX_ROWS: usize = 100_000;

/// Why an object is not a day's joined rows.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// It cannot be decompressed.
    #[error(transparent)]
    Gzip(#[from] Fault),
    /// A line is no row.
    #[error("its line {line} is not a row of the catalog: {cause}")]
    Line {
        /// Number of the line, from 1 on.
        line: usize,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// Rows by the object that they are about, each joined from all that is known of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows(BTreeMap<String, Row>);

impl Rows {
    /// Adds what another row says.
    pub fn add(&mut self, row: Row) {
        let key = row.subject.key();
        let joined = match self.0.remove(&key) {
            Some(known) => known.join(row),
            None => row,
        };
        self.0.insert(key, joined);
    }

    /// Whether nothing of `other` is missing here.
    pub fn contain(&self, other: &Row) -> bool {
        let known = self.0.get(&other.subject.key());
        known.is_some_and(|known| known.clone().join(other.clone()) == *known)
    }

    /// How many objects they are about.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of capture, then of their keys.
    pub fn in_order(self) -> Vec<Row> {
        let mut rows: Vec<_> = self.0.into_values().collect();
        rows.sort_by_key(|row| row.captured_at); // Stable: the keys are in order.
        rows
    }

    /// Packs them into objects of this day. The same rows always give the same objects.
    ///
    /// # Errors
    /// If compressing fails.
    pub fn packed(self, day: Day) -> std::io::Result<Vec<(DayKey, Object)>> {
        let rows = self.in_order();
        let pack = |rows: &[Row]| {
            let lines: String = rows.iter().map(Row::line).collect();
            let digest = ConsoleDigest::of(lines.as_bytes()).short();
            let object = Object {
                body: record::pack(lines.as_bytes())?,
                content_type: CONTENT_TYPE.to_owned(),
                metadata: BTreeMap::new(),
            };
            Ok((DayKey { day, digest }, object))
        };
        rows.chunks(MAX_ROWS).map(pack).collect()
    }
}

impl FromIterator<Row> for Rows {
    fn from_iter<T: IntoIterator<Item = Row>>(all: T) -> Self {
        let mut rows = Self::default();
        all.into_iter().for_each(|row| rows.add(row));
        rows
    }
}

/// Reads a day's joined rows.
///
/// # Errors
/// [`DayError`] if a part of it cannot be read.
pub fn unpack(gzip: &[u8]) -> Result<Vec<Row>, DayError> {
    let lines = record::unpack(gzip)?;
    let lines = lines.split(|byte| *byte == b'\n').enumerate();
    let rows = lines.filter(|(_, line)| !line.is_empty());
    rows.map(|(index, line)| {
        Row::parse(line).map_err(|cause| DayError::Line {
            line: index + 1,
            cause,
        })
    })
    .collect()
}
