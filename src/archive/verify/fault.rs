//! What can be wrong with an archive, in words for programs and people.

use jiff::tz::Offset;

use crate::archive::catalog::key::{COMPLETE_KEY, DayKey};
use crate::archive::catalog::name::RowKey;
use crate::archive::catalog::row::SCHEMA;
use crate::archive::catalog::{CatalogKey, Row};
use crate::archive::catalog::{day, reindex};
use crate::archive::key::{
    ConsoleDigest, FailedKey, MarkerKey, RecordKey, ScreenshotKey, ShortDigest, VerdictKey,
};
use crate::archive::notice::NoticeKey;
use crate::archive::probe::{self, PROBE_KEY};
use crate::archive::record::facts::{CAPTURED_AT, UPDATED_AT, contradiction};
use crate::archive::record::{self, CheckedObject, GZIP_BYTES, GZIP_HEADER, Unpacker};
use crate::archive::screenshot::{self, NO_CONSOLE};
use crate::model::console::NoConsole;
use crate::model::ids::InstanceId;
use crate::store::Object;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The object is not a whole gzip file.
    Gzip,
    /// It is not a whole picture of a screen.
    Image,
    /// Its bytes are not those that its key names.
    Digest,
    /// Its metadata does not describe its bytes, or is lost.
    Metadata,
    /// It cannot be read: the store refuses or fails, it is too large, or something else has its place.
    Unreadable,
    /// What the catalog says of it is not so.
    Row,
    /// The catalog says that it is there, and it is not.
    Missing,
    /// It is there, and the catalog does not say so.
    NoRow,
    /// It was pruned, and is still there.
    Pruned,
    /// A verdict on a record that is not there, or metadata of an object that is not there.
    Orphan,
    /// A file that a killed writer left.
    Leftover,
    /// Its key is none of this program.
    Foreign,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Gzip,
        Self::Image,
        Self::Digest,
        Self::Metadata,
        Self::Unreadable,
        Self::Row,
        Self::Missing,
        Self::NoRow,
        Self::Pruned,
        Self::Orphan,
        Self::Leftover,
        Self::Foreign,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Image => "image",
            Self::Digest => "digest",
            Self::Metadata => "metadata",
            Self::Unreadable => "unreadable",
            Self::Row => "row",
            Self::Missing => "missing",
            Self::NoRow => "no_row",
            Self::Pruned => "pruned",
            Self::Orphan => "orphan",
            Self::Leftover => "leftover",
            Self::Foreign => "foreign",
        }
    }

    /// Whether bytes are damaged, or what describes them.
    pub fn is_damage(self) -> bool {
        matches!(
            self,
            Self::Gzip | Self::Image | Self::Digest | Self::Metadata | Self::Unreadable | Self::Row
        )
    }
}

/// A fault of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object's key. Somebody else may have chosen it.
    pub key: String,
    /// What kind of fault it is. The first one, if the object has several.
    pub fault: Fault,
    /// What is wrong, and what to do. It may quote the object's metadata.
    pub detail: String,
}

/// What a key says that its object is.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// A console.
    Record(RecordKey),
    /// That there was no console.
    Marker(MarkerKey),
    /// A screenshot.
    Screenshot(ScreenshotKey),
    /// How much of its event a record shows.
    Verdict(VerdictKey),
    /// A failed event.
    Failed(FailedKey),
    /// That a failed event could not be removed.
    Note(FailedKey),
    /// What notifications remember.
    Notice(NoticeKey),
    /// A row of the catalog.
    Row(Box<RowKey>),
    /// A day of the catalog.
    Day(DayKey),
    /// That the catalog is complete, or the probe of `doctor`: always the same bytes.
    Fixed(&'static str),
}

impl Named {
    /// Parses an object key. `None` if it is none of this program.
    pub fn parse(key: &str) -> Option<Self> {
        let of_instance = || {
            RecordKey::parse(key)
                .map(Self::Record)
                .or_else(|| MarkerKey::parse(key).map(Self::Marker))
                .or_else(|| VerdictKey::parse(key).map(Self::Verdict))
                .or_else(|| ScreenshotKey::parse(key).map(Self::Screenshot))
        };
        let of_failed = || {
            FailedKey::of_note(key)
                .map(Self::Note)
                .or_else(|| FailedKey::parse(key).map(Self::Failed))
        };
        match key {
            COMPLETE_KEY => Some(Self::Fixed(COMPLETE_KEY)),
            PROBE_KEY => Some(Self::Fixed(PROBE_KEY)),
            _ => match CatalogKey::parse(key) {
                Some(CatalogKey::Row(key)) => Some(Self::Row(key)),
                Some(CatalogKey::Day(key)) => Some(Self::Day(key)),
                None => of_instance()
                    .or_else(of_failed)
                    .or_else(|| NoticeKey::parse(key).map(Self::Notice)),
            },
        }
    }

    /// The instance that it is about.
    pub fn instance_id(&self) -> Option<&InstanceId> {
        match self {
            Self::Record(RecordKey { instance_id, .. })
            | Self::Marker(MarkerKey { instance_id, .. })
            | Self::Screenshot(ScreenshotKey { instance_id, .. }) => Some(instance_id),
            Self::Verdict(key) => Some(&key.record.instance_id),
            _ => None,
        }
    }

    /// What is wrong with its bytes and metadata. `None` if they are as they should be.
    pub fn fault(
        &self,
        key: &str,
        object: &Object,
        unpacker: &mut Unpacker,
    ) -> Option<(Fault, String)> {
        match self {
            Self::Record(key) => of_record(key, unpacker.read(key, object), object),
            Self::Screenshot(key) => of_screenshot(key, object),
            Self::Marker(MarkerKey { digest, .. })
            | Self::Verdict(VerdictKey { digest, .. })
            | Self::Failed(FailedKey { digest, .. }) => of_digest(&object.body, digest),
            Self::Row(row) => {
                of_digest(&object.body, &row.digest).or_else(|| of_row(key, &object.body))
            }
            Self::Day(day) => of_day(day, &object.body),
            Self::Note(event) => of_bytes(&object.body, &record::not_removed(event).body),
            Self::Notice(_) => of_json(&object.body),
            Self::Fixed(PROBE_KEY) => of_bytes(&object.body, &probe::probe().body),
            Self::Fixed(_) => of_complete(&object.body),
        }
    }
}

/// Of an object whose key says it all: any process may have written it.
fn of_json(body: &[u8]) -> Option<(Fault, String)> {
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(body);
    let error = json.err()?;
    Some((Fault::Unreadable, format!("it is not JSON: {error}")))
}

fn of_record(key: &RecordKey, checked: CheckedObject, object: &Object) -> Option<(Fault, String)> {
    let kind = |fault: &record::Fault| match fault {
        record::Fault::Gzip { .. } | record::Fault::Trailing(_) | record::Fault::TooLarge => {
            Fault::Gzip
        }
        record::Fault::Key { .. } => Fault::Digest,
        record::Fault::Metadata { .. } => Fault::Metadata,
    };
    let CheckedObject {
        faults,
        mut missing,
        ..
    } = checked;
    let mut found: Vec<_> = faults.iter().map(|f| (kind(f), f.to_string())).collect();
    if found.is_empty() && has_flipped_header(object) {
        let told = "a bit of its gzip header is not as it was written".to_owned();
        found.push((Fault::Gzip, told));
    }
    let contradiction = contradiction(key, &object.metadata);
    found.extend(contradiction.map(|told| (Fault::Metadata, told)));
    // Every version has written the first, and `prune` goes by it; the other, if ECS said it.
    let is_dated = key.last_update_time.is_some();
    for (name, is_written) in [(CAPTURED_AT, true), (UPDATED_AT, is_dated)] {
        if is_written && !object.metadata.contains_key(name) {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        let told = format!("it lacks the metadata {}", missing.join(", "));
        found.push((Fault::Metadata, told));
    }
    in_one(found)
}

/// Whether one bit of the header differs from what this program writes, although the file has the length that its
/// metadata say. The bit does not change the console, but a disk or a copy did change it. Another program that has
/// packed the console anew writes another header, and a file of another length: that is no damage.
fn has_flipped_header(object: &Object) -> bool {
    let said = object.metadata.get(GZIP_BYTES);
    let is_as_written = said.is_some_and(|said| *said == object.body.len().to_string());
    let bits = GZIP_HEADER.iter().zip(&object.body);
    let differing: u32 = bits.map(|(ours, found)| (ours ^ found).count_ones()).sum();
    is_as_written && differing == 1
}

fn of_screenshot(key: &ScreenshotKey, object: &Object) -> Option<(Fault, String)> {
    use screenshot::Fault::{Format, Image, Key, Metadata};
    let kind = |fault: &screenshot::Fault| match fault {
        Image(_) | Format { .. } => Fault::Image,
        Key { .. } => Fault::Digest,
        Metadata { .. } => Fault::Metadata,
    };
    let faults = screenshot::faults(key, object);
    let mut found: Vec<_> = faults.iter().map(|f| (kind(f), f.to_string())).collect();
    let captured_at = object.metadata.get(CAPTURED_AT);
    let day = |time: &String| Some(Offset::UTC.to_datetime(time.parse().ok()?).date());
    if let Some(time) = captured_at.filter(|time| day(time) != Some(key.day)) {
        let told =
            format!("its metadata says {CAPTURED_AT} {time:?}, which is not on its key's day");
        found.push((Fault::Metadata, told));
    }
    if let Some(word) = object.metadata.get(NO_CONSOLE)
        && word.parse::<NoConsole>().is_err()
    {
        let told = format!("its metadata says {NO_CONSOLE} {word:?}, which is not a reason");
        found.push((Fault::Metadata, told));
    }
    let missing = screenshot::missing(object);
    if !missing.is_empty() {
        let told = format!("it lacks the metadata {}", missing.join(", "));
        found.push((Fault::Metadata, told));
    }
    in_one(found)
}

/// Several faults as one: of the kind of the first.
fn in_one(found: Vec<(Fault, String)>) -> Option<(Fault, String)> {
    let (kind, _) = *found.first()?;
    let told: Vec<_> = found.into_iter().map(|(_, told)| told).collect();
    Some((kind, told.join("; ")))
}

fn of_digest(bytes: &[u8], said: &ShortDigest) -> Option<(Fault, String)> {
    let found = ConsoleDigest::of(bytes).short();
    let told = || format!("its SHA-256 begins with {found}, and its key says {said}");
    (found != *said).then(|| (Fault::Digest, told()))
}

fn of_bytes(bytes: &[u8], expected: &[u8]) -> Option<(Fault, String)> {
    let told = "it does not have the bytes that this program writes there";
    (bytes != expected).then(|| (Fault::Digest, told.to_owned()))
}

/// A later version may say more there.
fn of_complete(bytes: &[u8]) -> Option<(Fault, String)> {
    let json: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let schema = json.and_then(|json| json.get("schema")?.as_u64());
    let told = "it is not what console-archive reindex writes there; remove it, and reindex";
    let is_written = bytes == reindex::complete().body || schema > Some(SCHEMA.into());
    (!is_written).then(|| (Fault::Digest, told.to_owned()))
}

fn of_row(key: &str, bytes: &[u8]) -> Option<(Fault, String)> {
    let told = match Row::parse(bytes) {
        Ok(row) if row.schema > SCHEMA || row.packed().0 == key => return None,
        Ok(_) => "its name and its bytes do not say the same".to_owned(),
        Err(error) => format!("it is not a row of the catalog: {error}"),
    };
    Some((Fault::Row, told))
}

fn of_day(key: &DayKey, gzip: &[u8]) -> Option<(Fault, String)> {
    let lines = match record::unpack(gzip) {
        Ok(lines) => lines,
        Err(fault) => return Some((Fault::Gzip, fault.to_string())),
    };
    of_digest(&lines, &key.digest).or_else(|| {
        let mut other = None;
        let error = day::rows(&lines, |row| {
            other = other.or(Some(row.day()).filter(|day| *day != key.day));
        });
        let told = match error {
            Some(error) => error.to_string(),
            None => format!("it has a row of {}", other?),
        };
        Some((Fault::Row, told))
    })
}
