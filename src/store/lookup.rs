//! Numbers by a hash, most of them in a temporary file: an archive may have more of them than fit in memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};

use super::spool::TemporaryError;

/// What is in memory before it is written to a file.
const MAX_RECENT_BYTES: usize = 4 << 20;
/// Entries in memory that are not sorted yet.
const MAX_UNSORTED: usize = 1024;
/// Entries that are read at once. The first of each so many is in memory.
const BLOCK: usize = 512;

/// Entries of `N` numbers, each found by its first one, a hash. The same entry counts once.
///
/// What is added last is in memory. The rest stands in files, each sorted. As a file is merged with those that are not
/// larger, there are few of them.
#[derive(Debug)]
pub struct Lookup<const N: usize> {
    recent: Recent<N>,
    runs: Vec<Run<N>>,
    max_recent_bytes: usize,
}

impl<const N: usize> Default for Lookup<N> {
    fn default() -> Self {
        Self {
            recent: Recent::default(),
            runs: Vec::new(),
            max_recent_bytes: MAX_RECENT_BYTES,
        }
    }
}

type Entry<const N: usize> = [u64; N];

/// Entries in memory, in one piece: many small ones would keep the memory around them from being used again.
#[derive(Debug, Default)]
struct Recent<const N: usize> {
    /// The first of them are in order.
    entries: Vec<Entry<N>>,
    sorted: usize,
}

impl<const N: usize> Recent<N> {
    fn add(&mut self, entry: Entry<N>) {
        self.entries.push(entry);
        if self.entries.len() - self.sorted >= MAX_UNSORTED {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.entries.sort(); // Two parts that are in order are merged.
        self.entries.dedup();
        self.sorted = self.entries.len();
    }

    fn find(&self, hash: u64) -> impl Iterator<Item = &Entry<N>> {
        let (sorted, others) = self.entries.split_at(self.sorted);
        let first = sorted.partition_point(|entry| entry[0] < hash);
        let sorted = sorted[first..].iter();
        let sorted = sorted.take_while(move |entry| entry[0] == hash);
        sorted.chain(others.iter().filter(move |entry| entry[0] == hash))
    }
}

/// Entries in order, in a file that nobody else can open, and that is gone with this process.
#[derive(Debug)]
struct Run<const N: usize> {
    file: File,
    entries: usize,
    /// The hash of the first entry of each block.
    firsts: Vec<u64>,
}

impl<const N: usize> Lookup<N> {
    const ENTRY_BYTES: usize = N * size_of::<u64>();

    /// Adds an entry.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn add(&mut self, entry: [u64; N]) -> Result<(), TemporaryError> {
        self.recent.add(entry);
        if self.recent.entries.len() * Self::ENTRY_BYTES < self.max_recent_bytes {
            return Ok(());
        }
        self.recent.sort();
        let mut recent = std::mem::take(&mut self.recent);
        let mut run = Run::of(recent.entries.drain(..).map(Ok))?;
        while let Some(last) = self.runs.pop_if(|last| last.entries <= run.entries * 2) {
            let both = Run::of(merged(last.read()?, run.read()?))?;
            run = both;
        }
        self.runs.push(run);
        Ok(())
    }

    /// The entries with this hash.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn find(&self, hash: u64) -> Result<Vec<[u64; N]>, TemporaryError> {
        let mut found: Vec<_> = self.recent.find(hash).copied().collect();
        for run in &self.runs {
            run.find(hash, &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether there is an entry with this hash.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn has(&self, hash: u64) -> Result<bool, TemporaryError> {
        Ok(!self.find(hash)?.is_empty())
    }

    /// All entries in order.
    ///
    /// # Errors
    /// [`TemporaryError`], also of each entry.
    pub fn in_order(mut self) -> Result<impl Iterator<Item = Read<N>>, TemporaryError> {
        self.recent.sort();
        let mut all = None;
        for run in std::mem::take(&mut self.runs) {
            all = Some(match all {
                Some(all) => Run::of(merged(Run::read(&all)?, run.read()?))?,
                None => run,
            });
        }
        let written = all.map(Run::into_entries).transpose()?;
        let recent = self.recent.entries.into_iter().map(Ok);
        Ok(merged(written.into_iter().flatten(), recent))
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.recent.entries.is_empty() && self.runs.is_empty()
    }
}

impl Lookup<1> {
    /// Adds a hash. Returns whether it is new.
    ///
    /// # Errors
    /// [`TemporaryError`]
    pub fn is_new(&mut self, hash: u64) -> Result<bool, TemporaryError> {
        let is_new = !self.has(hash)?;
        if is_new {
            self.add([hash])?;
        }
        Ok(is_new)
    }
}

type Read<const N: usize> = Result<Entry<N>, TemporaryError>;

/// So many entries of a file.
fn entries_of<const N: usize>(
    mut file: impl io::Read + io::Seek,
    count: usize,
) -> Result<impl Iterator<Item = Read<N>>, TemporaryError> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    Ok((0..count).map(move |_| {
        let mut entry = [0; N];
        for number in &mut entry {
            let mut bytes = [0; size_of::<u64>()];
            reader.read_exact(&mut bytes)?;
            *number = u64::from_le_bytes(bytes);
        }
        Ok(entry)
    }))
}

/// Entries of two files in order.
fn merged<const N: usize>(
    one: impl Iterator<Item = Read<N>>,
    other: impl Iterator<Item = Read<N>>,
) -> impl Iterator<Item = Read<N>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(Ok(first)), Some(Ok(second))) if first == second => {
            other.next();
            one.next()
        }
        (Some(Ok(first)), Some(Ok(second))) if second < first => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}

impl<const N: usize> Run<N> {
    fn of(entries: impl Iterator<Item = Read<N>>) -> Result<Self, TemporaryError> {
        let mut writer = BufWriter::new(tempfile::tempfile()?);
        let (mut count, mut firsts) = (0, Vec::new());
        for entry in entries {
            let entry = entry?;
            if count % BLOCK == 0 {
                firsts.push(entry[0]);
            }
            for number in entry {
                writer.write_all(&number.to_le_bytes())?;
            }
            count += 1;
        }
        let file = writer.into_inner().map_err(std::io::Error::from)?;
        Ok(Self {
            file,
            entries: count,
            firsts,
        })
    }

    /// All entries in order.
    fn read(&self) -> Result<impl Iterator<Item = Read<N>>, TemporaryError> {
        entries_of(&self.file, self.entries)
    }

    /// The same, for who needs nothing else of it.
    fn into_entries(self) -> Result<impl Iterator<Item = Read<N>>, TemporaryError> {
        entries_of(self.file, self.entries)
    }

    /// Adds the entries with this hash.
    fn find(&self, hash: u64, found: &mut Vec<Entry<N>>) -> Result<(), TemporaryError> {
        let behind = self.firsts.partition_point(|first| *first < hash);
        // The block before may end with some of them.
        for block in behind.saturating_sub(1)..self.firsts.len() {
            if self.firsts[block] > hash {
                break;
            }
            let begin = block * BLOCK;
            let entries = BLOCK.min(self.entries - begin);
            let entry_bytes = Lookup::<N>::ENTRY_BYTES;
            let mut bytes = vec![0; entries * entry_bytes];
            let mut file = &self.file;
            file.seek(SeekFrom::Start((begin * entry_bytes) as u64))?;
            file.read_exact(&mut bytes)?;
            for entry in bytes.chunks_exact(entry_bytes) {
                let mut numbers = entry.chunks_exact(size_of::<u64>()).map(|number| {
                    let mut bytes = [0; size_of::<u64>()];
                    bytes.copy_from_slice(number);
                    u64::from_le_bytes(bytes)
                });
                let entry: Entry<N> = std::array::from_fn(|_| numbers.next().unwrap_or_default());
                if entry[0] == hash {
                    found.push(entry);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use super::*;

    /// What is in memory before it is written to a file.
    const MAX_BYTES: usize = 64 << 10;

    fn small<const N: usize>() -> Lookup<N> {
        Lookup {
            max_recent_bytes: MAX_BYTES,
            ..Lookup::default()
        }
    }

    #[test]
    fn what_does_not_fit_in_memory_is_found_like_the_rest() {
        let (mut lookup, mut model) = (small(), HashSet::new());
        let mut random = fastrand::Rng::with_seed(1);
        let most = 9 * MAX_BYTES / size_of::<u64>();
        for number in 0..most {
            // Some come again.
            let hash = (random.u64(..) >> 40 << 40) | (number as u64 % 3);
            assert_eq!(lookup.is_new(hash).unwrap(), model.insert(hash));
            assert!(lookup.recent.entries.len() * size_of::<u64>() < MAX_BYTES);
            assert!(lookup.runs.len() < 8);
        }
        assert!(!lookup.runs.is_empty());
        for hash in model.iter().take(10_000) {
            assert!(lookup.has(*hash).unwrap());
            assert_eq!(lookup.has(hash + 5).unwrap(), model.contains(&(hash + 5)));
        }
        assert!(!lookup.has(u64::MAX).unwrap() && !lookup.has(4).unwrap());
    }

    /// More of one hash than a block has, too.
    #[test]
    fn all_entries_of_a_hash_are_found() {
        let (mut lookup, mut model) = (small::<2>(), BTreeMap::<_, BTreeSet<_>>::new());
        let mut random = fastrand::Rng::with_seed(1);
        let most = 9 * MAX_BYTES / Lookup::<2>::ENTRY_BYTES;
        for number in 0..most {
            let hash = match number % 100 {
                0..10 => 7,
                _ => random.u64(..1000) << 30,
            };
            let value = random.u64(..10_000);
            lookup.add([hash, value]).unwrap();
            model.entry(hash).or_default().insert(value);
        }
        assert!(!lookup.runs.is_empty());
        for hash in [7, 8, 0, u64::MAX].iter().chain(model.keys().take(2000)) {
            let values: BTreeSet<_> = lookup
                .find(*hash)
                .unwrap()
                .iter()
                .map(|one| one[1])
                .collect();
            assert_eq!(values, model.get(hash).cloned().unwrap_or_default());
        }
        assert!(model[&7].len() > 4 * BLOCK);
    }
}
