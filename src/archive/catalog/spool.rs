//! Lines by a key, in temporary files: an archive may have more of them than fit in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::path::PathBuf;

use super::day::Rows;
use super::key::Day;
use super::row::Row;

/// What is in memory before it is written to files.
const MAX_SPOOLED_BYTES: usize = 16 << 20;
/// Files that are open at most. Keys beyond them stay in memory.
const MAX_FILES: usize = 128;

/// A temporary file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("a temporary file in {} fails: {cause}; set TMPDIR to a folder with space", folder.display())]
pub struct TemporaryError {
    /// The folder for temporary files.
    folder: PathBuf,
    /// The error of the operating system.
    cause: std::io::Error,
}

impl From<std::io::Error> for TemporaryError {
    fn from(cause: std::io::Error) -> Self {
        Self {
            folder: tempfile::env::temp_dir(),
            cause,
        }
    }
}

/// Lines by a key. Only those of one key at a time are in memory, and a few more.
pub(in crate::archive) struct Spool<K> {
    lines: BTreeMap<K, Vec<u8>>,
    written: BTreeMap<K, File>,
    bytes: usize,
}

impl<K> Default for Spool<K> {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            written: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<K: Ord + Copy> Spool<K> {
    /// Adds a line, which ends in a line feed and has no other.
    pub fn add(&mut self, key: K, line: &str) -> Result<(), TemporaryError> {
        self.bytes += line.len();
        let lines = self.lines.entry(key).or_default();
        lines.extend_from_slice(line.as_bytes());
        if self.bytes > MAX_SPOOLED_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), TemporaryError> {
        for (key, lines) in &mut self.lines {
            let count = self.written.len();
            let file = match self.written.get_mut(key) {
                Some(file) => file,
                None if count < MAX_FILES => {
                    self.written.entry(*key).or_insert(tempfile::tempfile()?)
                }
                None => continue,
            };
            file.write_all(lines)?;
            self.bytes -= lines.len();
            lines.clear();
        }
        Ok(())
    }

    /// The keys that have lines.
    pub fn keys(&self) -> BTreeSet<K> {
        self.lines
            .keys()
            .chain(self.written.keys())
            .copied()
            .collect()
    }

    /// Takes the lines of a key out, in the order in which they were added.
    pub fn take(&mut self, key: K, mut each: impl FnMut(&[u8])) -> Result<(), TemporaryError> {
        if let Some(mut file) = self.written.remove(&key) {
            file.rewind()?;
            for line in BufReader::new(file).split(b'\n') {
                each(&line?);
            }
        }
        let lines = self.lines.remove(&key).unwrap_or_default();
        self.bytes -= lines.len();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(each);
        Ok(())
    }
}

impl Spool<Day> {
    /// Adds a row to its day.
    pub fn add_row(&mut self, row: &Row) -> Result<(), TemporaryError> {
        self.add(row.day(), &row.line())
    }

    /// Takes a day's rows out.
    pub fn rows(&mut self, day: Day) -> Result<Rows, TemporaryError> {
        let mut rows = Rows::default();
        // The lines are this program's own, of just before.
        self.take(day, |line| {
            if let Ok(row) = Row::parse(line) {
                rows.add(row);
            }
        })?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_in_memory_comes_back_in_order() {
        let mut spool = Spool::default();
        let line = |number: usize| format!("{number} {}\n", "x".repeat(1 << 20));
        for number in 0..40 {
            spool.add(number % 2, &line(number)).unwrap();
            assert!(spool.bytes <= MAX_SPOOLED_BYTES);
        }
        assert_eq!(spool.keys(), [0, 1].into());
        for key in [0, 1] {
            let mut numbers = Vec::new();
            let take = |line: &[u8]| {
                let line = std::str::from_utf8(line).unwrap();
                numbers.push(line.split_once(' ').unwrap().0.parse::<usize>().unwrap());
            };
            spool.take(key, take).unwrap();
            assert_eq!(numbers, (key..40).step_by(2).collect::<Vec<_>>());
        }
        assert_eq!((spool.keys(), spool.bytes), (BTreeSet::new(), 0));
    }
}
