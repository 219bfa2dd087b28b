//! Lines in the order of a number, most of them in a temporary file: an archive may have more of them than fit in memory.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use tempfile::SpooledTempFile;

use super::lookup::Lookup;
use super::spool::TemporaryError;

/// Lines that are in memory before they are written to a file.
const MAX_BYTES: usize = 4 << 20;

/// Lines, each with a number. They come back in the order of their numbers, and those of one number as they were added.
#[derive(Debug)]
pub struct Ordered {
    lines: SpooledTempFile,
    end: u64,
    /// Number, place and length of each line.
    places: Lookup<3>,
}

impl Default for Ordered {
    fn default() -> Self {
        Self {
            lines: tempfile::spooled_tempfile(MAX_BYTES),
            end: 0,
            places: Lookup::default(),
        }
    }
}

impl Ordered {
    /// Adds a line.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn add(&mut self, number: u64, line: &str) -> Result<(), TemporaryError> {
        self.lines.write_all(line.as_bytes())?;
        self.places.add([number, self.end, line.len() as u64])?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// All lines in order.
    ///
    /// # Errors
    /// [`TemporaryError`], also of each line.
    pub fn in_order(
        self,
    ) -> Result<impl Iterator<Item = Result<Vec<u8>, TemporaryError>>, TemporaryError> {
        let mut lines = self.lines;
        Ok(self.places.in_order()?.map(move |place| {
            let [_, begin, bytes] = place?;
            let mut line = vec![0; usize::try_from(bytes).unwrap_or_default()];
            lines.seek(SeekFrom::Start(begin))?;
            lines.read_exact(&mut line)?;
            Ok(line)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: u64, padding: usize) {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut ordered, mut expected) = (Ordered::default(), Vec::new());
        for index in 0..count {
            let number = random.u64(..count / 3 + 1);
            let line = format!("{number} {index} {}\n", "x".repeat(padding));
            ordered.add(number, &line).unwrap();
            expected.push((number, line));
        }
        expected.sort_by_key(|(number, _)| *number);
        let lines = ordered.in_order().unwrap();
        let lines: Vec<_> = lines
            .map(|line| String::from_utf8(line.unwrap()).unwrap())
            .collect();
        assert!(lines.iter().eq(expected.iter().map(|(_, line)| line)));
    }

    #[test]
    fn lines_come_in_the_order_of_their_numbers_however_many_there_are() {
        check(0, 0);
        check(100, 10);
        // More than is in memory, of both: 12 MiB of lines, and 9 MiB of places.
        check(2000, 6 << 10);
        check(400_000, 0);
    }
}
