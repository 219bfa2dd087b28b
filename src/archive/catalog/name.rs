//! The names of rows, which hold what a listing shows.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::key::{Day, DayKey, ROWS_PREFIX};
use super::row::{Row, Subject};
use crate::archive::key::{ConsoleDigest, ShortDigest};
use crate::model::ids::RegionId;
use crate::store::Object;

const ROW_SUFFIX: &str = ".json";
/// Between the parts of a row's name.
const SEPARATOR: char = '~';
/// Stands for a part that is not known.
const UNKNOWN: &str = "-";
/// Before a freshness that was written when following had ended.
const FINAL: &str = "final.";
/// In place of the freshness, before the time at which the object was removed.
const PRUNED: &str = "pruned.";
/// The same, before a later time at which it was found to be there.
const THERE: &str = "there.";
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// What stays in a part of a name. `%` and what follows it survive stores that encode keys in listings.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
/// Longest cause in a name, in bytes: a file's name has at most 255. The row itself has the whole cause.
const MAX_CAUSE_BYTES: usize = 64;

/// Key of a row: `catalog/rows/dt={day}/{captured_at}~{instance_id}~{region_id}~{object}~{cause}~`
/// `{freshness}~{ending}~{console_bytes}~{gzip_bytes}~{digest}.json`.
///
/// `object` is the name of the record's or marker's file below its instance. A listing of these names is
/// enough to show and to filter what was captured: a thousand rows a request. The digest is of the row's own
/// bytes, so different rows never have the same key.
#[derive(Debug, Clone, PartialEq)]
pub struct RowKey {
    /// The row as far as the name tells it.
    pub row: Row,
    /// Digest of the row's bytes.
    pub digest: ShortDigest,
}

impl RowKey {
    fn parse(name: &str, day: Day) -> Option<Self> {
        let mut parts = name.strip_suffix(ROW_SUFFIX)?.split(SEPARATOR);
        let mut next = || parts.next();
        let captured_at = parse_time(next()?)?;
        let (instance_id, region_id) = (next()?, next()?);
        let subject = Subject::parse(&format!("{instance_id}/{}", next()?))?;
        // A cut may be in the middle of a character.
        let cause = percent_decode_str(next()?).decode_utf8_lossy().into_owned();
        let (freshness, ending, console_bytes, gzip_bytes) = (next()?, next()?, next()?, next()?);
        let digest = ShortDigest::parse(next()?)?;
        let known = |part: &str| (part != UNKNOWN).then(|| part.to_owned());
        let row = Row {
            region_id: known(region_id).and_then(|id| RegionId::parse(&id).ok()),
            cause,
            ending: known(ending).and_then(|word| word.parse().ok()),
            console_bytes: known(console_bytes).and_then(|bytes| bytes.parse().ok()),
            gzip_bytes: known(gzip_bytes).and_then(|bytes| bytes.parse().ok()),
            ..Row::new(subject, captured_at)
        };
        if let Some(time) = freshness.strip_prefix(PRUNED) {
            let row = Row {
                pruned_at: Some(parse_time(time)?),
                ..row
            };
            let row = row.clone().join(row);
            return (parts.next().is_none() && row.day() == day).then_some(Self { row, digest });
        }
        if let Some(time) = freshness.strip_prefix(THERE) {
            let row = Row {
                last_captured_at: Some(parse_time(time)?),
                ..row
            };
            return (parts.next().is_none() && row.day() == day).then_some(Self { row, digest });
        }
        let word = freshness.strip_prefix(FINAL);
        let is_final = word.is_some();
        let row = row.with_freshness(word.unwrap_or(freshness).parse().ok());
        let row = Row {
            freshness_is_final: is_final,
            ..row
        };
        (parts.next().is_none() && row.day() == day).then_some(Self { row, digest })
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(TIME, text).ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

/// The key of a row whose bytes have this digest.
fn key_of(row: &Row, digest: &ShortDigest) -> String {
    let key = row.subject.key();
    let object = key.split_once('/').map_or("", |(_, object)| object);
    let mut cause = utf8_percent_encode(&row.cause, PLAIN).to_string();
    if cause.len() > MAX_CAUSE_BYTES {
        cause.truncate(MAX_CAUSE_BYTES);
        // Not in the middle of an encoded byte.
        let cut = cause[MAX_CAUSE_BYTES - 2..].find('%');
        cause.truncate(cut.map_or(MAX_CAUSE_BYTES, |at| MAX_CAUSE_BYTES - 2 + at));
    }
    let or_unknown = |part: Option<String>| part.unwrap_or_else(|| UNKNOWN.to_owned());
    let freshness = match (row.pruned_at, row.freshness) {
        (Some(time), _) => Some(format!("{PRUNED}{}", time.strftime(TIME))),
        (None, Some(freshness)) if row.freshness_is_final => Some(format!("{FINAL}{freshness}")),
        (None, Some(freshness)) => Some(freshness.to_string()),
        (None, None) => {
            let there = row.last_captured_at.filter(|last| *last > row.captured_at);
            there.map(|time| format!("{THERE}{}", time.strftime(TIME)))
        }
    };
    let parts = [
        row.captured_at.strftime(TIME).to_string(),
        row.instance_id.to_string(),
        or_unknown(row.region_id.as_ref().map(ToString::to_string)),
        object.to_owned(),
        cause,
        or_unknown(freshness),
        or_unknown(row.ending.map(|ending| ending.to_string())),
        or_unknown(row.console_bytes.map(|bytes| bytes.to_string())),
        or_unknown(row.gzip_bytes.map(|bytes| bytes.to_string())),
        digest.to_string(),
    ];
    let name = parts.join(&SEPARATOR.to_string());
    format!("{}{name}{ROW_SUFFIX}", row.day().rows_prefix())
}

impl Row {
    /// The object to store, and its key.
    pub fn packed(&self) -> (String, Object) {
        let body = self.line().into_bytes();
        let key = key_of(self, &ConsoleDigest::of(&body).short());
        let object = Object {
            body,
            content_type: "application/json".to_owned(),
            metadata: Default::default(),
        };
        (key, object)
    }
}

/// A key of one of the catalog's objects.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogKey {
    /// A single row.
    Row(Box<RowKey>),
    /// A day's joined rows.
    Day(DayKey),
}

impl CatalogKey {
    /// Parses an object key. `None` for other keys: other tools may put files there, too.
    pub fn parse(object_key: &str) -> Option<Self> {
        if let Some(rest) = object_key.strip_prefix(ROWS_PREFIX) {
            let (day, name) = rest.split_once('/')?;
            let key = RowKey::parse(name, Day::parse(day)?)?;
            return Some(Self::Row(Box::new(key)));
        }
        DayKey::parse(object_key).map(Self::Day)
    }
}
