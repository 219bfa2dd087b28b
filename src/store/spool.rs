//! Lines by a key, in a temporary file: an archive may have more of them than fit in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

/// What is in memory before it is written to the file.
const MAX_SPOOLED_BYTES: usize = 4 << 20;

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

/// Lines of one key that stand together in the file.
#[derive(Debug, Clone, Copy)]
struct Piece {
    begin: u64,
    bytes: usize,
}

/// Lines by a key. Only those of one key at a time are in memory, and a few more.
#[derive(Debug)]
pub struct Spool<K> {
    lines: BTreeMap<K, Vec<u8>>,
    /// Length of the lines that are in memory.
    bytes: usize,
    /// Nobody else can open it, and it is gone with this process.
    file: Option<File>,
    /// Length of the file.
    end: u64,
    written: BTreeMap<K, Vec<Piece>>,
}

impl<K> Default for Spool<K> {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            bytes: 0,
            file: None,
            end: 0,
            written: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Spool<K> {
    /// Adds a line, which ends in a line feed and has no other.
    ///
    /// # Errors
    /// [`TemporaryError`]
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
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let mut writer = BufWriter::new(file);
        writer.seek(SeekFrom::Start(self.end))?;
        for (key, lines) in std::mem::take(&mut self.lines) {
            writer.write_all(&lines)?;
            let (begin, bytes) = (self.end, lines.len());
            self.written
                .entry(key)
                .or_default()
                .push(Piece { begin, bytes });
            self.end += bytes as u64;
        }
        self.bytes = 0;
        let file = writer.into_inner().map_err(std::io::Error::from)?;
        self.file = Some(file);
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

    /// The first key that has lines.
    pub fn first_key(&self) -> Option<K> {
        let firsts = [self.lines.keys().next(), self.written.keys().next()];
        firsts.into_iter().flatten().min().copied()
    }

    /// The length of the lines of a key.
    pub fn bytes_of(&self, key: K) -> usize {
        let pieces = self.written.get(&key).into_iter().flatten();
        let written: usize = pieces.map(|piece| piece.bytes).sum();
        written + self.lines.get(&key).map_or(0, Vec::len)
    }

    /// Takes the lines of a key out, in the order in which they were added.
    ///
    /// # Errors
    /// [`TemporaryError`], or an error of `each`.
    pub fn take(
        &mut self,
        key: K,
        mut each: impl FnMut(&[u8]) -> Result<(), TemporaryError>,
    ) -> Result<(), TemporaryError> {
        let mut all = |lines: &[u8]| {
            let mut lines = lines.split(|byte| *byte == b'\n');
            lines.try_for_each(|line| match line.is_empty() {
                true => Ok(()),
                false => each(line),
            })
        };
        let mut read = Vec::new();
        for piece in self.written.remove(&key).unwrap_or_default() {
            let Some(file) = &mut self.file else { break }; // A piece has a file.
            read.resize(piece.bytes, 0);
            file.seek(SeekFrom::Start(piece.begin))?;
            file.read_exact(&mut read)?;
            all(&read)?;
        }
        let lines = self.lines.remove(&key).unwrap_or_default();
        self.bytes -= lines.len();
        all(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds so many lines of 4 KiB to so many keys, one after the other, and takes them out.
    #[track_caller]
    fn check(keys: usize, lines: usize) {
        let mut spool = Spool::default();
        let line = |number: usize| format!("{number} {}\n", "x".repeat(4 << 10));
        for number in 0..lines {
            spool.add(number % keys, &line(number)).unwrap();
            let in_memory: usize = spool.lines.values().map(Vec::len).sum();
            assert!(in_memory <= MAX_SPOOLED_BYTES + line(lines).len());
        }
        assert_eq!(spool.keys(), (0..keys).collect());
        for key in 0..keys {
            assert_eq!(spool.first_key(), Some(key));
            let expected: Vec<_> = (key..lines).step_by(keys).collect();
            let bytes: usize = expected.iter().map(|number| line(*number).len()).sum();
            assert_eq!(spool.bytes_of(key), bytes);
            let mut numbers = Vec::new();
            let take = |line: &[u8]| {
                let line = std::str::from_utf8(line).unwrap();
                numbers.push(line.split_once(' ').unwrap().0.parse::<usize>().unwrap());
                Ok(())
            };
            spool.take(key, take).unwrap();
            assert_eq!(numbers, expected);
        }
        assert_eq!((spool.keys(), spool.bytes), (BTreeSet::new(), 0));
    }

    #[test]
    fn what_does_not_fit_in_memory_comes_back_in_order() {
        check(2, 10);
        check(2, 5000);
    }

    /// A catalog has a key for each of its days.
    #[test]
    fn any_number_of_keys_needs_no_more_memory() {
        check(1500, 5000);
    }
}
