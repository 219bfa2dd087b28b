//! Reading the archive back: which records there are, which one is meant, what it says.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::archive::key::{MarkerKey, RecordKey, VerdictKey};
use crate::archive::record::{self, Contents, Fault};
use crate::model::freshness::Freshness;
use crate::model::ids::InstanceId;
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
    /// The newest whose update time is not after this moment, given as leading digits: a day
    /// means all of it.
    Moment(String),
    /// The one with this name, `20180322T100457-0123456789ab`.
    Name(String),
}

/// A text that is neither a moment nor a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a moment such as 2018-03-22, 2018-03-22T10:04 or \"2018-03-22 10:04:57\", or a \
     record's name such as 20180322T100457-0123456789ab"
)]
pub struct InvalidMoment;

impl At {
    /// Reads a moment or a name.
    ///
    /// # Errors
    /// [`InvalidMoment`].
    pub fn parse(text: &str) -> Result<Self, InvalidMoment> {
        let object_key = format!("i-0/{text}{}", crate::archive::key::LOG_SUFFIX);
        if RecordKey::parse(&object_key).is_some() {
            return Ok(Self::Name(text.to_owned()));
        }
        let (date, clock) = match text.trim().split_once(['T', ' ']) {
            Some((date, clock)) => (date, Some(clock.trim_end_matches('Z'))),
            None => (text.trim(), None),
        };
        let digits = |text: &str, separator: char| text.replace(separator, "");
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let date = digits(date, '-');
        let clock = clock.map(|clock| digits(clock, ':'));
        let date_is_good = all_digits(&date) && matches!(date.len(), 4 | 6 | 8);
        let clock_is_good = clock.as_ref().is_none_or(|clock| {
            date.len() == 8 && all_digits(clock) && matches!(clock.len(), 2 | 4 | 6)
        });
        match (date_is_good && clock_is_good, clock) {
            (true, Some(clock)) => Ok(Self::Moment(format!("{date}T{clock}"))),
            (true, None) => Ok(Self::Moment(date)),
            (false, _) => Err(InvalidMoment),
        }
    }

    fn choose(&self, mut records: Vec<Listed>) -> Option<Listed> {
        records.retain(|record| match self {
            Self::Latest => true,
            Self::Name(name) => record.key.name() == *name,
            Self::Moment(moment) => record.key.last_update_time.is_some_and(|time| {
                let time = time.to_string();
                time[..time.len().min(moment.len())] <= moment[..]
            }),
        });
        // Without a time, before those with one. Of one time, the one that was stored last.
        records
            .into_iter()
            .max_by_key(|record| (record.key.last_update_time, record.stored_at))
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
    /// The record that is meant, if there is one.
    pub fn find(self, at: &At) -> Option<Listed> {
        at.choose(self.records)
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

    #[track_caller]
    fn check(at: &str, name: Option<&str>) {
        let records = vec![
            listed(MORNING, 1),
            listed(NOON_LONG, 3),
            listed(NOON_SHORT, 2),
            listed(NEXT_DAY, 4),
            listed(UNDATED, 5),
        ];
        let at = if at.is_empty() {
            At::Latest
        } else {
            At::parse(at).unwrap()
        };
        assert_eq!(
            at.choose(records).map(|r| r.key.name()).as_deref(),
            name,
            "{at:?}"
        );
    }

    #[test]
    fn the_latest_has_the_greatest_update_time() {
        check("", Some(NEXT_DAY));
    }

    #[test]
    fn a_moment_means_the_newest_not_after_it() {
        check("2018-03-22 12:00:00", Some(NOON_LONG));
        check("2018-03-22T12:00", Some(NOON_LONG));
        check("2018-03-22T11:59:59Z", Some(MORNING));
        check("20180322T08", Some(MORNING));
        check("2018-03-22", Some(NOON_LONG));
        check("2018-03", Some(NEXT_DAY));
        check("2017", None);
    }

    #[test]
    fn a_name_means_that_record_and_no_other() {
        check(NOON_SHORT, Some(NOON_SHORT));
        check(UNDATED, Some(UNDATED));
        check("20180322T120000-0000000000aa", None);
    }

    #[test]
    fn other_text_is_neither() {
        for text in [
            "",
            "now",
            "2018-3-22",
            "2018-03-22 1",
            "2018-03 10:00",
            "22.03.2018",
            "T10:00",
        ] {
            assert_eq!(At::parse(text), Err(InvalidMoment), "{text:?}");
        }
    }
}
