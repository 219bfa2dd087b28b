//! A row of the catalog ⇄ the record, marker or screenshot that it is about.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Named;
use crate::archive::catalog::Row;
use crate::archive::key::{ConsoleDigest, RecordKey};
use crate::archive::record::facts::earlier;
use crate::archive::record::metadata_value;
use crate::archive::screenshot::SCREENSHOT_SHA256;
use crate::model::freshness::Freshness;
use crate::model::ids::{AccountId, RegionId};
use crate::model::update_time::UpdateTime;
use crate::store::Object;

/// How much later than its capture the first row of a record may say that it was captured. A function that was killed
/// before it wrote the row writes it when the event comes again, with the time of then.
const DELIVERED_AGAIN: SignedDuration = SignedDuration::from_hours(24);
/// How long after its capture a record is stored at most: the function holds a console while it follows it.
const STORED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// What led to a capture, as metadata have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Event {
    id: String,
    cause: String,
    time: Option<Timestamp>,
}

/// What a row says of its object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Said {
    pub captured_at: Timestamp,
    last_captured_at: Timestamp,
    /// When the object was pruned, if it was not captured again since.
    pub pruned_at: Option<Timestamp>,
    pub gzip_bytes: Option<u64>,
    console_bytes: Option<u64>,
    sha256: Option<ConsoleDigest>,
    /// As ECS reported it.
    last_update_time: String,
    region_id: Option<RegionId>,
    account_id: Option<AccountId>,
    freshness: Option<Freshness>,
    freshness_at: Option<Timestamp>,
    freshness_is_final: bool,
    event: Option<Event>,
}

/// What a record, marker or screenshot says of itself: all but a marker by their metadata, which were compared with its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Says {
    /// A marker does not say it.
    pub captured_at: Option<Timestamp>,
    console_bytes: Option<u64>,
    sha256: Option<ConsoleDigest>,
    region_id: Option<RegionId>,
    account_id: Option<AccountId>,
    freshness: Option<Freshness>,
    event: Option<Event>,
}

impl Said {
    pub fn of(row: &Row) -> Self {
        Self {
            captured_at: row.captured_at,
            last_captured_at: row.last_captured_at.unwrap_or(row.captured_at),
            pruned_at: row.pruned_at.filter(|_| row.is_pruned()),
            gzip_bytes: row.gzip_bytes,
            console_bytes: row.console_bytes,
            sha256: row.sha256,
            last_update_time: row.last_update_time.clone(),
            region_id: row.region_id.clone(),
            account_id: row.account_id.clone(),
            freshness: row.freshness,
            freshness_at: row.freshness_at,
            freshness_is_final: row.freshness_is_final,
            event: row.event_id.as_ref().map(|id| Event {
                id: metadata_value(id),
                cause: metadata_value(&row.cause),
                time: row.event_time,
            }),
        }
    }
}

impl Says {
    /// Only of records, markers and screenshots.
    pub fn of(named: &Named, object: &Object) -> Option<Self> {
        match named {
            Named::Record(_) => Some(Self::of_metadata(object, "console-sha256")),
            Named::Screenshot(_) => Some(Self::of_metadata(object, SCREENSHOT_SHA256)),
            Named::Marker(_) => Some(Self::of_marker(object)),
            _ => None,
        }
    }

    /// `sha256`: the name of the metadata with the digest.
    fn of_metadata(object: &Object, sha256: &str) -> Self {
        let text = |name: &str| object.metadata.get(name).map(String::as_str);
        Self {
            captured_at: text("captured-at").and_then(|time| time.parse().ok()),
            console_bytes: text("console-bytes").and_then(|bytes| bytes.parse().ok()),
            sha256: text(sha256).and_then(|digest| digest.to_owned().try_into().ok()),
            region_id: text("region-id").and_then(|id| RegionId::parse(id).ok()),
            account_id: text("account-id").and_then(|id| AccountId::parse(id).ok()),
            freshness: text("freshness").and_then(|word| word.parse().ok()),
            event: text("event-id").map(|id| Event {
                id: id.to_owned(),
                cause: text("event-cause").unwrap_or_default().to_owned(),
                time: text("event-time").and_then(|time| time.parse().ok()),
            }),
        }
    }

    fn of_marker(object: &Object) -> Self {
        let json: Value = serde_json::from_slice(&object.body).unwrap_or_default();
        let text = |name: &str| json[name].as_str();
        Self {
            captured_at: None,
            console_bytes: None,
            sha256: None,
            region_id: text("region_id").and_then(|id| RegionId::parse(id).ok()),
            account_id: text("account_id").and_then(|id| AccountId::parse(id).ok()),
            freshness: None,
            // Its time is the day of the capture, if the event has none.
            event: text("event_id").map(|id| Event {
                id: metadata_value(id),
                cause: metadata_value(text("event_cause").unwrap_or_default()),
                time: None,
            }),
        }
    }
}

/// An object that was read, and the rows that say that it is there.
pub(super) struct Compared<'a> {
    pub rows: Vec<&'a Said>,
    pub says: Option<&'a Says>,
    pub stored_at: Timestamp,
    /// What verdicts on it say.
    pub verdicts: Vec<Freshness>,
    /// Whether a row of its capture would have been read.
    pub knows_capture: bool,
}

impl Compared<'_> {
    /// How what the catalog says differs from the object with this key. `None` if it does not.
    ///
    /// Two events may find the same console at once. Then the row is of one of them and the record of the other, so
    /// what is of an event is compared only if both name the same one. What a row says of boots is not compared:
    /// another version may see them otherwise.
    pub fn difference(&self, key: &str) -> Option<String> {
        let record = RecordKey::parse(key);
        let of_row = self.rows.iter().find_map(|said| {
            let of_key = record.as_ref().and_then(|record| said.differs_from(record));
            of_key.or_else(|| said.differs(self.says?))
        });
        of_row
            .or_else(|| self.times_differ(self.says?))
            .or_else(|| self.freshness_differs(self.says?))
    }

    /// Of all rows together.
    fn times_differ(&self, says: &Says) -> Option<String> {
        let rows = || self.rows.iter();
        let first = rows().map(|said| said.captured_at).min()?;
        let last = rows().map(|said| said.last_captured_at).max()?;
        if !self.knows_capture && !rows().any(|said| said.is_of_storing(self.stored_at)) {
            return None;
        }
        // Of a record whose row came late, the time of storing tells when it was captured.
        let may_be_late = |captured_at: Timestamp| {
            captured_at >= earlier(first, DELIVERED_AGAIN)
                && captured_at >= earlier(self.stored_at, STORED_WITHIN)
        };
        let is_so = |captured_at: &Timestamp| {
            (first..=last).contains(captured_at)
                || *captured_at < first && may_be_late(*captured_at)
        };
        let wrong = says.captured_at.filter(|captured_at| !is_so(captured_at))?;
        Some(catalog_says("captured_at", &first, &wrong))
    }

    fn freshness_differs(&self, says: &Says) -> Option<String> {
        let judged = self.rows.iter().filter(|said| said.freshness.is_some());
        let latest = judged.max_by_key(|said| (said.freshness_at, said.freshness_is_final));
        let Some(said) = latest.and_then(|said| said.freshness) else {
            // A later event that finds the same console does not know what the record says.
            let is_of_capture = |said: &&Said| Some(said.captured_at) == says.captured_at;
            let found = says
                .freshness
                .filter(|_| self.rows.iter().any(is_of_capture))?;
            return Some(catalog_says("freshness", &"none", &found));
        };
        let is_so = says.freshness == Some(said) || self.verdicts.contains(&said);
        let found = says.freshness.map_or("none", Freshness::as_str);
        (!is_so).then(|| catalog_says("freshness", &said, &found))
    }
}

fn catalog_says(name: &str, said: &dyn std::fmt::Display, found: &dyn std::fmt::Display) -> String {
    format!("the catalog says {name} {said}, and the object {found}; {REINDEX}")
}

const REINDEX: &str = "if the object is right, console-archive reindex takes that over";

/// That two differ which both are known.
fn differ<T: PartialEq + std::fmt::Display>(
    name: &str,
    said: Option<&T>,
    found: Option<&T>,
) -> Option<String> {
    let (said, found) = said.zip(found)?;
    (said != found).then(|| catalog_says(name, said, found))
}

impl Said {
    /// Whether it is of the capture that stored the object, and of no later one.
    fn is_of_storing(&self, stored_at: Timestamp) -> bool {
        let began = earlier(stored_at, STORED_WITHIN);
        self.last_captured_at >= began && earlier(self.captured_at, STORED_WITHIN) <= stored_at
    }

    /// Whether all of its captures were long before this time.
    pub fn was_long_before(&self, stored_at: Timestamp) -> bool {
        self.last_captured_at < earlier(stored_at, STORED_WITHIN)
    }

    fn differs_from(&self, record: &RecordKey) -> Option<String> {
        let digest = self.sha256.map(|digest| digest.short());
        let updated = &self.last_update_time;
        let has_other_time =
            !updated.is_empty() && UpdateTime::parse(updated).ok() != record.last_update_time;
        let name = record.name();
        differ("sha256", digest.as_ref(), Some(&record.digest))
            .or_else(|| has_other_time.then(|| catalog_says("last_update_time", updated, &name)))
    }

    fn differs(&self, says: &Says) -> Option<String> {
        let (region, account) = (says.region_id.as_ref(), says.account_id.as_ref());
        differ("sha256", self.sha256.as_ref(), says.sha256.as_ref())
            .or_else(|| {
                let bytes = says.console_bytes.as_ref();
                differ("console_bytes", self.console_bytes.as_ref(), bytes)
            })
            .or_else(|| differ("region_id", self.region_id.as_ref(), region))
            .or_else(|| differ("account_id", self.account_id.as_ref(), account))
            .or_else(|| {
                let (said, found) = self.event.as_ref().zip(says.event.as_ref())?;
                if said.id != found.id {
                    return None;
                }
                let times = differ("event_time", said.time.as_ref(), found.time.as_ref());
                times.or_else(|| differ("cause", Some(&said.cause), Some(&found.cause)))
            })
    }
}
