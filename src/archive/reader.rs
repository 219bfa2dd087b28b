//! Reading the archive back: which records there are, which one is meant, what it says.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::archive::key::{MarkerKey, RecordKey, VerdictKey};
use crate::archive::record::{self, Contents, Fault};
use crate::model::freshness::Freshness;
use crate::model::ids::InstanceId;
use crate::model::update_time::{UpdateTime, UpdatedAt};
use crate::store::{self, Entry, Object, Store, StoreError};

/// A record as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: RecordKey,
    /// Length as stored, in bytes.
    pub gzip_bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// What it shows of an event as of the end, where a verdict beside it says so. Its metadata says
    /// what was known when it was stored.
    pub verdict: Option<Freshness>,
}

/// A marker as a listing shows it: there was no console output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMarker {
    /// Its key.
    pub key: MarkerKey,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// What the archive has of one instance or of all, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Consoles.
    pub records: Vec<Listed>,
    /// Where there were none.
    pub markers: Vec<ListedMarker>,
}

/// A record, read back.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the guest wrote.
    pub plain: Vec<u8>,
    /// The object it was stored as.
    pub object: Object,
    /// Metadata that would vouch for it, and is gone.
    pub missing_metadata: Vec<&'static str>,
}

/// Why a record cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was there a moment ago.
    #[error("{0} is no longer there")]
    Gone(String),
    /// What is stored is not the record that its key names.
    #[error("{0} is damaged: {faults}", faults = .0.told())]
    Damaged(Box<Damaged>),
}

/// What stands where a record should.
pub struct Damaged {
    /// Its address.
    pub url: String,
    /// In what it is wrong; at least one.
    pub faults: Vec<Fault>,
    /// What can be read of it. It may be anybody's.
    pub salvaged: Opened,
}

impl Damaged {
    /// The faults, for a person.
    pub fn told(&self) -> String {
        let faults: Vec<_> = self.faults.iter().map(Fault::to_string).collect();
        faults.join("; ")
    }
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

impl std::fmt::Debug for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.url, self.told()) // Not what a guest wrote.
    }
}

/// Which record of an instance is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The one with the greatest update time.
    Latest,
    /// The newest whose update time is not after this.
    NotAfter(Timestamp),
    /// The one with this name, `20180322T100457-0123456789ab`.
    Name(String),
}

impl At {
    /// Reads the name of a record; `None` for other text.
    pub fn name(text: &str) -> Option<Self> {
        let object_key = format!("i-0/{text}{}", crate::archive::key::LOG_SUFFIX);
        RecordKey::parse(&object_key).map(|_| Self::Name(text.to_owned()))
    }

    fn includes(&self, record: &Listed) -> bool {
        match self {
            Self::Latest => true,
            Self::Name(name) => record.key.name() == *name,
            Self::NotAfter(last) => record.updated_at().is_some_and(|at| at.time <= *last),
        }
    }
}

impl Listed {
    /// When the console was last updated; `None` where ECS said no time that can be read.
    pub fn updated_at(&self) -> Option<UpdatedAt> {
        UpdatedAt::of(self.key.last_update_time?, self.stored_at)
    }

    /// Without a time, before those with one. Of one time, the one that was stored last.
    fn order(&self) -> (Option<UpdateTime>, Timestamp) {
        (self.key.last_update_time, self.stored_at)
    }
}

/// What there is of one instance or of all, in the order of the keys: by instance, then by time.
///
/// # Errors
/// [`StoreError`] when the store cannot be listed.
pub async fn list(
    store: &impl Store,
    instance_id: Option<&InstanceId>,
) -> Result<Listing, StoreError> {
    let prefix = instance_id
        .map(RecordKey::instance_prefix)
        .unwrap_or_default();
    let (mut listing, mut verdicts) = (Listing::default(), BTreeMap::new());
    for Entry {
        key,
        bytes,
        stored_at,
    } in entries(store, &prefix).await?
    {
        if let Some(key) = RecordKey::parse(&key) {
            listing.records.push(Listed {
                key,
                gzip_bytes: bytes,
                stored_at,
                verdict: None,
            });
        } else if let Some(key) = MarkerKey::parse(&key) {
            listing.markers.push(ListedMarker { key, stored_at });
        } else if let Some(key) = VerdictKey::parse(&key) {
            // Of several events' the last one counts.
            let verdict = verdicts
                .entry(key.record)
                .or_insert((stored_at, key.freshness));
            if verdict.0 <= stored_at {
                *verdict = (stored_at, key.freshness);
            }
        }
    }
    for record in &mut listing.records {
        record.verdict = verdicts.get(&record.key).map(|(_, freshness)| *freshness);
    }
    Ok(listing)
}

/// Every entry below a prefix.
///
/// # Errors
/// [`StoreError`] when the store cannot be listed.
pub async fn entries(store: &impl Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    store::list_all(store, prefix).await
}

impl Listing {
    /// The record that is meant, or the one so many before it, if there is one.
    pub fn find(mut self, at: &At, back: usize) -> Option<Listed> {
        self.records.sort_by_key(Listed::order);
        let found = self.records.iter().rposition(|record| at.includes(record));
        let index = found?.checked_sub(back)?;
        Some(self.records.swap_remove(index))
    }
}

/// Reads a record back, and holds it against its key and its metadata.
///
/// # Errors
/// [`ReadError`] when it is gone, damaged or out of reach.
pub async fn open(store: &impl Store, key: &RecordKey) -> Result<Opened, ReadError> {
    let object_key = key.to_string();
    let object = store
        .get(&object_key)
        .await?
        .ok_or_else(|| ReadError::Gone(store.url(&object_key)))?;
    let Contents {
        plain,
        faults,
        missing,
    } = record::read(key, &object);
    let opened = Opened {
        plain,
        object,
        missing_metadata: missing,
    };
    if faults.is_empty() {
        return Ok(opened);
    }
    Err(ReadError::Damaged(Box::new(Damaged {
        url: store.url(&object_key),
        faults,
        salvaged: opened,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, stored_at: i64) -> Listed {
        Listed {
            key: RecordKey::parse(&format!("i-a1/{name}.log.gz")).unwrap(),
            gzip_bytes: 1,
            stored_at: Timestamp::from_second(stored_at).unwrap(),
            verdict: None,
        }
    }

    const UNDATED: &str = "undated-000000000009";
    const MORNING: &str = "20180322T080000-000000000001";
    const NOON_SHORT: &str = "20180322T120000-0000000000ff";
    const NOON_LONG: &str = "20180322T120000-000000000002";
    const NEXT_DAY: &str = "20180323T000000-000000000003";

    fn names(at: &At, back: usize) -> Option<String> {
        let listing = Listing {
            records: vec![
                listed(MORNING, 1),
                listed(NOON_LONG, 3),
                listed(NOON_SHORT, 2),
                listed(NEXT_DAY, 4),
                listed(UNDATED, 5),
            ],
            markers: Vec::new(),
        };
        listing.find(at, back).map(|found| found.key.name())
    }

    #[track_caller]
    fn check(at: &At, name: Option<&str>) {
        assert_eq!(names(at, 0).as_deref(), name, "{at:?}");
    }

    #[test]
    fn the_latest_has_the_greatest_update_time() {
        check(&At::Latest, Some(NEXT_DAY));
    }

    /// The names have UTC+8.
    #[test]
    fn a_moment_means_the_newest_not_after_it() {
        let not_after = |time: &str| At::NotAfter(time.parse().unwrap());
        check(&not_after("2018-03-22T04:00:00Z"), Some(NOON_LONG));
        check(&not_after("2018-03-22T03:59:59Z"), Some(MORNING));
        check(&not_after("2018-03-22T00:00:00Z"), Some(MORNING));
        check(&not_after("2018-03-21T23:59:59Z"), None);
        check(&not_after("2018-03-22T15:59:59Z"), Some(NOON_LONG));
        check(&not_after("2030-01-01T00:00:00Z"), Some(NEXT_DAY));
    }

    #[test]
    fn a_name_means_that_record_and_no_other() {
        for name in [NOON_SHORT, UNDATED] {
            check(&At::name(name).unwrap(), Some(name));
        }
        check(&At::name("20180322T120000-0000000000aa").unwrap(), None);
        for text in ["", "20180322T120000", "latest", "../x-000000000001"] {
            assert_eq!(At::name(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_one_before_is_the_one_with_the_next_smaller_time() {
        let before: Vec<_> = (0..6).map(|back| names(&At::Latest, back)).collect();
        let expected = [NEXT_DAY, NOON_LONG, NOON_SHORT, MORNING, UNDATED];
        let mut expected: Vec<_> = expected.map(|name| Some(name.to_owned())).into();
        expected.push(None);
        assert_eq!(before, expected);
        let noon = At::name(NOON_SHORT).unwrap();
        assert_eq!(names(&noon, 1).as_deref(), Some(MORNING));
    }
}
