//! What the archive has ⇄ what the catalog says, a part of both at a time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::catalog::spool::Spool;
use crate::archive::catalog::{Row, TemporaryError};
use crate::archive::key::ConsoleDigest;
use crate::store::Entry;

/// So many parts: of a million rows, each has 16 thousand.
const PARTS: u64 = 64;

/// What a row says of its object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Said {
    pub captured_at: Timestamp,
    /// When the object was pruned, if it was not captured again since.
    pub pruned_at: Option<Timestamp>,
    pub gzip_bytes: Option<u64>,
    pub sha256: Option<ConsoleDigest>,
}

/// A listed object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listed {
    pub bytes: u64,
    pub stored_at: Timestamp,
}

/// All that is known of a record or marker.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the catalog.
    pub said: Option<Said>,
    /// By the listing.
    pub listed: Option<Listed>,
    /// Keys of verdicts on it.
    pub verdicts: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Fact {
    Said(Said),
    Listed(Listed),
    Verdict(String),
}

/// What the catalog and the listing say, by the objects' keys.
#[derive(Default)]
pub(super) struct Facts(Spool<u64>);

impl Facts {
    fn add(&mut self, key: &str, fact: &Fact) -> Result<(), TemporaryError> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        // Serializing plain values to memory does not fail.
        let mut line = serde_json::to_string(&(key, fact)).unwrap_or_default();
        line.push('\n');
        self.0.add(hasher.finish() % PARTS, &line)
    }

    pub fn said(&mut self, row: &Row) -> Result<(), TemporaryError> {
        let said = Said {
            captured_at: row.captured_at,
            pruned_at: row.pruned_at.filter(|_| row.is_pruned()),
            gzip_bytes: row.gzip_bytes,
            sha256: row.sha256,
        };
        self.add(&row.subject.key(), &Fact::Said(said))
    }

    pub fn listed(&mut self, entry: &Entry) -> Result<(), TemporaryError> {
        let listed = Listed {
            bytes: entry.bytes,
            stored_at: entry.stored_at,
        };
        self.add(&entry.key, &Fact::Listed(listed))
    }

    /// A verdict on the record with this key.
    pub fn verdict(&mut self, record: &str, key: &str) -> Result<(), TemporaryError> {
        self.add(record, &Fact::Verdict(key.to_owned()))
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
            Fact::Verdict(key) => self.verdicts.push(key),
            // A record may have a row on several days. It was pruned if all of them say so.
            Fact::Said(said) => {
                self.said = Some(match self.said.take() {
                    None => said,
                    Some(known) => Said {
                        pruned_at: known
                            .pruned_at
                            .max(said.pruned_at)
                            .filter(|_| known.pruned_at.is_some() && said.pruned_at.is_some()),
                        ..known
                    },
                });
            }
        }
    }
}
