//! Rows by day, in temporary files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};

use super::day::Rows;
use super::key::Day;
use super::row::Row;

/// Rows by day, in temporary files: only one day at a time is in memory.
#[derive(Default)]
pub(super) struct Spool {
    days: BTreeMap<Day, Vec<u8>>,
    written: BTreeMap<Day, File>,
    bytes: usize,
}

/// What is in memory before it is written to files.
const MAX_SPOOLED_BYTES: usize = 16 << 20;
/// Files that are open at most. Days beyond them stay in memory.
const MAX_FILES: usize = 128;

impl Spool {
    pub fn add(&mut self, row: &Row) -> std::io::Result<()> {
        let line = row.line();
        self.bytes += line.len();
        self.days
            .entry(row.day())
            .or_default()
            .extend_from_slice(line.as_bytes());
        if self.bytes > MAX_SPOOLED_BYTES {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> std::io::Result<()> {
        for (day, lines) in &mut self.days {
            let count = self.written.len();
            let file = match self.written.get_mut(day) {
                Some(file) => file,
                None if count < MAX_FILES => {
                    self.written.entry(*day).or_insert(tempfile::tempfile()?)
                }
                None => continue,
            };
            file.write_all(lines)?;
            self.bytes -= lines.len();
            lines.clear();
        }
        Ok(())
    }

    pub fn days(&self) -> BTreeSet<Day> {
        self.days
            .keys()
            .chain(self.written.keys())
            .copied()
            .collect()
    }

    pub fn rows(&mut self, day: Day) -> std::io::Result<Rows> {
        let mut rows = Rows::default();
        let mut add = |line: &[u8]| {
            // The lines are this program's own, of just before.
            if let Ok(row) = Row::parse(line) {
                rows.add(row);
            }
        };
        if let Some(mut file) = self.written.remove(&day) {
            file.rewind()?;
            for line in BufReader::new(file).split(b'\n') {
                add(&line?);
            }
        }
        let lines = self.days.remove(&day).unwrap_or_default();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(add);
        Ok(rows)
    }
}
