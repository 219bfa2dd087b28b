//! What an object says of itself, as a row: a record or a screenshot in its metadata, a marker in its text.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::row::{Row, Subject};
use crate::archive::record;
use crate::archive::screenshot::{NO_CONSOLE, SCREENSHOT_SHA256};
use crate::clock::whole_second;
use crate::model::ids::{AccountId, RegionId};

/// A record, screenshot or marker, by what it says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// What they say. Of the boots in a console they say nothing.
    pub row: Row,
    /// Whether they say when it was captured. If not, the row has the time at which it was stored: of a copy, the time
    /// at which it was copied.
    pub is_timed: bool,
}

impl Described {
    /// What these metadata say of what a listing has shown.
    pub fn of(listed: Row, metadata: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| Some(record::metadata_text(metadata.get(name)?));
        let time = |name: &str| text(name)?.parse::<Timestamp>().ok();
        let captured_at = time("captured-at").map(whole_second);
        let at = captured_at.unwrap_or(listed.captured_at);
        let row = Row {
            captured_at: at,
            last_captured_at: Some(at),
            region_id: text("region-id").and_then(|id| RegionId::parse(&id).ok()),
            account_id: text("account-id").and_then(|id| AccountId::parse(&id).ok()),
            cause: text("event-cause").unwrap_or_default(),
            event_id: text("event-id"),
            event_time: time("event-time"),
            ..listed
        };
        let row = match row.subject {
            Subject::Record(_) => {
                let known = row.freshness;
                let row = Row {
                    sha256: text("console-sha256").and_then(|digest| digest.try_into().ok()),
                    console_bytes: text("console-bytes").and_then(|bytes| bytes.parse().ok()),
                    ..row.with_update_time(&text("last-update-time").unwrap_or_default())
                };
                let stored = text("freshness").and_then(|word| word.parse().ok());
                row.with_freshness(known.or(stored))
            }
            Subject::Screenshot(_) => Row {
                reason: text(NO_CONSOLE).and_then(|word| word.parse().ok()),
                sha256: text(SCREENSHOT_SHA256).and_then(|digest| digest.try_into().ok()),
                ..row
            },
            Subject::Marker(_) => row,
        };
        Self {
            row,
            is_timed: captured_at.is_some(),
        }
    }

    /// What this text says of a marker that a listing has shown. The listing tells when it was.
    pub fn of_marker(listed: Row, body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let row = Row {
            region_id: text("region_id").and_then(|id| RegionId::parse(&id).ok()),
            account_id: text("account_id").and_then(|id| AccountId::parse(&id).ok()),
            cause: text("event_cause").unwrap_or_default(),
            event_id: text("event_id"),
            event_time: text("event_time").and_then(|time| time.parse().ok()),
            ..listed
        };
        Self {
            row,
            is_timed: true,
        }
    }
}
