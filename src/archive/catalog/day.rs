//! Rows ⇄ one object: JSON lines, compressed.

use std::collections::{BTreeMap, BTreeSet};

use super::key::{Day, DayKey};
use super::row::Row;
use crate::archive::key::{ConsoleDigest, ShortDigest};
use crate::archive::record::{self, CONTENT_TYPE, Fault};
use crate::store::Object;

/// Bytes of the lines in one object. A day of more has several. Half of what [`record::unpack`] reads.
const MAX_BYTES: usize = record::MAX_PLAIN_BYTES / 2;

/// Why an object is not a day's joined rows.
#[derive(Debug, thiserror::Error)]
pub enum DayError {
    /// It cannot be decompressed.
    #[error(transparent)]
    Gzip(#[from] Fault),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A folder has its rows, and something else has the place of that folder.
    #[error("it is a file in the place of a folder: move it away")]
    NotAFolder,
    /// A line is not a row.
    #[error("its line {line} is not a row of the catalog: {cause}")]
    Line {
        /// Number of the line, from 1 on.
        line: usize,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// Rows by the object that they are about, each joined from all that is known of it.
///
/// A day may have hundreds of thousands of rows. Each is boxed, so that the map's spare places take little memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows(BTreeMap<String, Box<Row>>);

impl Rows {
    /// Adds what another row says.
    pub fn add(&mut self, row: Row) {
        let key = row.subject.key();
        let joined = match self.0.remove(&key) {
            Some(known) => known.join(row),
            None => row,
        };
        self.0.insert(key, Box::new(joined));
    }

    /// Whether nothing of `other` is missing here.
    pub fn contain(&self, other: &Row) -> bool {
        let known = self.0.get(&other.subject.key());
        known.is_some_and(|known| Row::clone(known).join(other.clone()) == **known)
    }

    /// The objects that they are about, each with the digest of its row's bytes: that of the name of a single row with the
    /// same bytes.
    pub fn digests(&self) -> BTreeSet<(String, ShortDigest)> {
        let rows = self.0.iter();
        let digest = |row: &Row| ConsoleDigest::of(row.line().as_bytes()).short();
        rows.map(|(key, row)| (key.clone(), digest(row))).collect()
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
        self.each_in_order().collect()
    }

    fn each_in_order(self) -> impl Iterator<Item = Row> {
        let mut rows: Vec<_> = self.0.into_values().collect();
        rows.sort_by_key(|row| row.captured_at); // Stable: the keys are in order.
        rows.into_iter().map(|row| *row)
    }

    /// Packs them into objects of this day. The same rows always give the same objects.
    ///
    /// # Errors
    /// If compressing fails.
    pub fn packed(self, day: Day) -> std::io::Result<Vec<(DayKey, Object)>> {
        let mut objects = vec![String::new()];
        for line in self.each_in_order().map(|row| row.line()) {
            let is_full =
                (objects.last()).is_some_and(|lines| lines.len() + line.len() > MAX_BYTES);
            if is_full {
                objects.push(String::new());
            }
            if let Some(lines) = objects.last_mut() {
                lines.push_str(&line);
            }
        }
        let pack = |lines: String| {
            let digest = ConsoleDigest::of(lines.as_bytes()).short();
            let object = Object {
                body: record::pack(lines.as_bytes())?,
                content_type: CONTENT_TYPE.to_owned(),
                metadata: BTreeMap::new(),
            };
            Ok((DayKey { day, digest }, object))
        };
        let objects = objects.into_iter().filter(|lines| !lines.is_empty());
        objects.map(pack).collect()
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
    let mut rows = Vec::new();
    match unpack_as_far_as_possible(gzip, |row| rows.push(row)) {
        None => Ok(rows),
        Some(error) => Err(error),
    }
}

/// The same for a reader, who wants the other rows even if a line is none: `each` gets them, and the first error is
/// returned. A later version may have written words that this one does not know.
pub fn unpack_as_far_as_possible(gzip: &[u8], each: impl FnMut(Row)) -> Option<DayError> {
    match record::unpack(gzip) {
        Ok(lines) => rows(&lines, each),
        Err(fault) => Some(fault.into()),
    }
}

/// Hands over the rows in a day's lines. Returns the first error.
pub fn rows(lines: &[u8], mut each: impl FnMut(Row)) -> Option<DayError> {
    let mut error = None;
    for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        match Row::parse(line) {
            Ok(row) => each(row),
            Err(_) if line.is_empty() => {}
            Err(cause) => {
                error.get_or_insert(DayError::Line {
                    line: index + 1,
                    cause,
                });
            }
        }
    }
    error
}
