//! What is known of each record and marker, a part of the archive at a time: an archive has more than fits in memory.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rows::{Compared, Said, Says};
use crate::archive::catalog::spool::Spool;
use crate::archive::catalog::{Row, TemporaryError};
use crate::archive::key::{VerdictKey, hash};
use crate::model::freshness::Freshness;
use crate::store::Entry;

/// So many parts: of a million rows, each has 16 thousand.
const PARTS: u64 = 64;

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
#[derive(Default)]
pub(super) struct Facts(Spool<u64>);

impl Facts {
    fn add(&mut self, key: &str, fact: &Fact) -> Result<(), TemporaryError> {
        // Serializing plain values to memory does not fail.
        let mut line = serde_json::to_string(&(key, fact)).unwrap_or_default();
        line.push('\n');
        self.0.add(hash(key) % PARTS, &line)
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
        let Some(part) = self.0.keys().first().copied() else {
            return Ok(None);
        };
        let mut all: BTreeMap<String, Known> = BTreeMap::new();
        self.0.take(part, |line| {
            // The lines are this program's own, of just before.
            if let Ok((key, fact)) = serde_json::from_slice::<(String, Fact)>(line) {
                all.entry(key).or_default().add(fact);
            }
        })?;
        Ok(Some(all))
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
