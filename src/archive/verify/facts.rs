//! What is known of each record and marker, a part of the archive at a time: an archive has more than fits in memory.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rows::{Compared, Said, Says};
use crate::archive::catalog::Row;
use crate::archive::key::{VerdictKey, hash};
use crate::model::freshness::Freshness;
use crate::store::Entry;
use crate::store::spool::{Spool, TemporaryError};

/// Into so many parts facts are split, and a part that is too long into so many again.
const PARTS: u64 = 64;
/// Length of the lines of a part at most: it is in memory as a whole.
const MAX_PART_BYTES: usize = 1 << 20;
/// So often a part is split at most: no archive has more than parts of parts of parts.
const MAX_SPLITS: usize = 4;
/// Digits of the hash that a line begins with.
const HASH_DIGITS: usize = 16;

/// A listed object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listed {
    pub bytes: u64,
    pub stored_at: Timestamp,
    /// If it was read, and is whole.
    pub says: Option<Box<Says>>,
}

/// All that is known of a record or marker.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the catalog: a row for each day that has one.
    pub said: Vec<Said>,
    /// By the listing.
    pub listed: Option<Listed>,
    /// Verdicts on it: their keys, and what they say.
    pub verdicts: Vec<(String, Freshness)>,
}

#[derive(Serialize, Deserialize)]
enum Fact {
    Said(Box<Said>),
    Listed(Listed),
    Verdict(String, Freshness),
}

/// What the catalog and the listing say, by the objects' keys.
///
/// The last spool has the parts of a part of the one before it.
pub(super) struct Facts {
    parts: Vec<Spool<u64>>,
    max_part_bytes: usize,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            parts: vec![Spool::default()],
            max_part_bytes: MAX_PART_BYTES,
        }
    }
}

/// The number of the part for this hash, of a part that was split so often.
fn part_of(hash: u64, splits: usize) -> u64 {
    (0..splits).fold(hash, |hash, _| hash / PARTS) % PARTS
}

impl Facts {
    fn add(&mut self, key: &str, fact: &Fact) -> Result<(), TemporaryError> {
        let hash = hash(key);
        // Serializing plain values to memory does not fail.
        let json = serde_json::to_string(&(key, fact)).unwrap_or_default();
        let line = format!("{hash:0HASH_DIGITS$x}{json}\n");
        self.parts[0].add(part_of(hash, 0), &line)
    }

    pub fn said(&mut self, row: &Row) -> Result<(), TemporaryError> {
        self.add(&row.subject.key(), &Fact::Said(Box::new(Said::of(row))))
    }

    pub fn listed(&mut self, entry: &Entry, says: Option<Box<Says>>) -> Result<(), TemporaryError> {
        let listed = Listed {
            bytes: entry.bytes,
            stored_at: entry.stored_at,
            says,
        };
        self.add(&entry.key, &Fact::Listed(listed))
    }

    pub fn verdict(&mut self, key: &VerdictKey) -> Result<(), TemporaryError> {
        let fact = Fact::Verdict(key.to_string(), key.freshness);
        self.add(&key.record.to_string(), &fact)
    }

    /// The next part, by the objects' keys. `None` once all were taken.
    pub fn next_part(&mut self) -> Result<Option<BTreeMap<String, Known>>, TemporaryError> {
        loop {
            let splits = self.parts.len();
            let Some(spool) = self.parts.last_mut() else {
                return Ok(None);
            };
            let Some(part) = spool.first_key() else {
                self.parts.pop();
                continue;
            };
            if spool.bytes_of(part) > self.max_part_bytes && splits <= MAX_SPLITS {
                let mut parts = Spool::default();
                spool.take(part, |line| {
                    // The lines are this program's own, of just before.
                    let line = String::from_utf8_lossy(line);
                    let hash = line.get(..HASH_DIGITS).unwrap_or_default();
                    let hash = u64::from_str_radix(hash, 16).unwrap_or_default();
                    parts.add(part_of(hash, splits), &format!("{line}\n"))
                })?;
                self.parts.push(parts);
                continue;
            }
            let mut all: BTreeMap<String, Known> = BTreeMap::new();
            spool.take(part, |line| {
                let json = line.get(HASH_DIGITS..).unwrap_or_default();
                if let Ok((key, fact)) = serde_json::from_slice::<(String, Fact)>(json) {
                    all.entry(key).or_default().add(fact);
                }
                Ok(())
            })?;
            return Ok(Some(all));
        }
    }
}

impl Known {
    fn add(&mut self, fact: Fact) {
        match fact {
            Fact::Listed(listed) => self.listed = Some(listed),
            Fact::Verdict(key, freshness) => self.verdicts.push((key, freshness)),
            Fact::Said(said) => self.said.push(*said),
        }
    }

    /// When it was pruned: all of its rows say so.
    pub fn pruned_at(&self) -> Option<Timestamp> {
        match self.said.iter().all(|said| said.pruned_at.is_some()) {
            true => self.said.iter().filter_map(|said| said.pruned_at).max(),
            false => None,
        }
    }

    /// The rows that say that it is there.
    pub fn there(&self) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(|said| said.pruned_at.is_none())
    }

    /// Whether it was copied: it was stored long after each capture of which there is a row.
    pub fn is_copy(&self) -> bool {
        let stored_at = self.listed.as_ref().map(|listed| listed.stored_at);
        stored_at.is_some_and(|at| self.said.iter().all(|said| said.was_long_before(at)))
    }

    /// How what the catalog says differs from the object with this key. `knows_capture`: whether a row of its capture
    /// would have been read.
    pub fn difference(&self, key: &str, knows_capture: bool) -> Option<String> {
        let listed = self.listed.as_ref()?;
        let compared = Compared {
            rows: self.there().collect(),
            says: listed.says.as_deref(),
            stored_at: listed.stored_at,
            verdicts: self.verdicts.iter().map(|(_, said)| *said).collect(),
            knows_capture,
        };
        compared.difference(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many there are, each comes once, with all that is known of it, and no part is much longer than it may be.
    #[test]
    fn parts_are_split_until_they_are_short() {
        let entry = |number: usize| Entry {
            key: format!("i-a1/{number}"),
            bytes: number as u64,
            stored_at: Timestamp::UNIX_EPOCH,
        };
        let (count, mut facts) = (20_000, Facts::default());
        facts.max_part_bytes = 4 << 10;
        for number in (0..count).chain(0..10) {
            facts.listed(&entry(number), None).unwrap();
        }
        let (mut seen, mut longest) = (0, 0);
        while let Some(part) = facts.next_part().unwrap() {
            longest = longest.max(part.len());
            for (key, known) in part {
                let number = known.listed.unwrap().bytes as usize;
                assert_eq!(key, entry(number).key);
                seen += 1;
            }
        }
        assert_eq!(seen, count);
        assert!(longest < 64, "{longest}"); // Without a split it is 312.
    }
}
