//! What the catalog says of one record, marker or screenshot.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::key::Day;
use crate::archive::key::{
    ConsoleDigest, LOG_SUFFIX, MARKER_SUFFIX, MarkerKey, RecordKey, ScreenshotKey,
};
use crate::archive::record::{Marker, Record};
use crate::archive::screenshot::ScreenshotRecord;
use crate::clock::whole_second;
use crate::model::console::NoConsole;
use crate::model::ending::{BootFacts, Ending};
use crate::model::event::InstanceEvent;
use crate::model::freshness::Freshness;
use crate::model::ids::{AccountId, InstanceId, RegionId};
use crate::reading::findings::{self, Finding, worst_first};

/// Version of the rows that this program writes. A reader takes what it knows of a later one, and a compactor
/// keeps the rest.
pub const SCHEMA: u32 = 1;

/// Most findings of one row. A compactor holds the rows of a day in memory.
const MAX_FINDINGS: usize = 20;

/// The object that a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Subject {
    /// A stored console.
    Record(RecordKey),
    /// That there was no console.
    Marker(MarkerKey),
    /// A stored screenshot.
    Screenshot(ScreenshotKey),
}

/// A key in a row that is none of a record, a marker or a screenshot.
#[derive(Debug, thiserror::Error)]
#[error("expected the key of a record, a marker or a screenshot")]
pub struct InvalidSubject;

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.key()
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidSubject;

    fn try_from(key: String) -> Result<Self, InvalidSubject> {
        Self::parse(&key).ok_or(InvalidSubject)
    }
}

impl Subject {
    /// Parses an object key. `None` if it is none of a record, a marker or a screenshot.
    pub fn parse(object_key: &str) -> Option<Self> {
        if object_key.ends_with(LOG_SUFFIX) {
            RecordKey::parse(object_key).map(Self::Record)
        } else if object_key.ends_with(MARKER_SUFFIX) {
            MarkerKey::parse(object_key).map(Self::Marker)
        } else {
            ScreenshotKey::parse(object_key).map(Self::Screenshot)
        }
    }

    /// The object's key.
    pub fn key(&self) -> String {
        match self {
            Self::Record(key) => key.to_string(),
            Self::Marker(key) => key.to_string(),
            Self::Screenshot(key) => key.to_string(),
        }
    }

    /// The name by which people select it. Unique within an instance.
    pub fn name(&self) -> String {
        match self {
            Self::Record(key) => key.name(),
            Self::Marker(key) => key.name(),
            Self::Screenshot(key) => key.name(),
        }
    }

    /// The instance that it is about.
    pub fn instance_id(&self) -> &InstanceId {
        match self {
            Self::Record(key) => &key.instance_id,
            Self::Marker(key) => &key.instance_id,
            Self::Screenshot(key) => &key.instance_id,
        }
    }
}

/// What became of what was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// There is a record.
    Stored,
    /// There was no console, and a marker says so.
    NoConsole,
    /// There is a screenshot.
    Screenshot,
    /// There was one of these, and `prune` removed it.
    Pruned,
}

impl RowOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Stored,
        Self::NoConsole,
        Self::Screenshot,
        Self::Pruned,
    ];

    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::NoConsole => "no_console",
            Self::Screenshot => "screenshot",
            Self::Pruned => "pruned",
        }
    }
}

/// A row: one JSON line of the catalog. Its name in the archive holds a part of it; see [`RowKey`](super::name::RowKey).
///
/// All members are always written, so that engines of SQL see the same columns everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The object.
    #[serde(rename = "key")]
    pub subject: Subject,
    /// The instance. The key has it, too; SQL asks for it by itself.
    pub instance_id: InstanceId,
    /// The instance's region.
    pub region_id: Option<RegionId>,
    /// The account that owns the instance, where events name it.
    #[serde(default)]
    pub account_id: Option<AccountId>,
    /// When it was captured first, to the second.
    pub captured_at: Timestamp,
    /// What became of it.
    pub outcome: RowOutcome,
    /// Why there was no console: of a marker, and of a screenshot that stands in its place.
    #[serde(default)]
    pub reason: Option<NoConsole>,
    /// What led to the capture, as in metadata.
    #[serde(rename = "event_cause", default)]
    pub cause: String,
    /// The sender's ID of the event.
    #[serde(default)]
    pub event_id: Option<String>,
    /// When the event was.
    #[serde(default)]
    pub event_time: Option<Timestamp>,
    /// `LastUpdateTime` as ECS reported it. Empty if it was missing, and for markers.
    #[serde(default)]
    pub last_update_time: String,
    /// How much of its event the console shows, as far as is known in the end.
    pub freshness: Option<Freshness>,
    /// The capture that `freshness` is from.
    #[serde(default)]
    pub freshness_at: Option<Timestamp>,
    /// Whether it was written when following had ended.
    #[serde(default)]
    pub freshness_is_final: bool,
    /// How the console's last boot ended.
    pub ending: Option<Ending>,
    /// Boots of which the console has at least a part.
    #[serde(default)]
    pub boots: Option<usize>,
    /// Whether the last boot came as far as its login prompt.
    #[serde(default)]
    pub reached_login: Option<bool>,
    /// The release of the last boot's kernel.
    #[serde(default)]
    pub kernel: Option<String>,
    /// SHA-256 of the console, or of the screenshot.
    #[serde(default)]
    pub sha256: Option<ConsoleDigest>,
    /// Length of the console, in bytes.
    pub console_bytes: Option<u64>,
    /// Length of the stored file, in bytes.
    pub gzip_bytes: Option<u64>,
    /// What the console says went wrong: each signature once, the worst first. A rule of a later version may say more of
    /// a finding than this program knows. `None` if nobody has looked for it.
    #[serde(default)]
    pub findings: Option<Vec<Value>>,
    /// The latest capture that found the same console.
    #[serde(default)]
    pub last_captured_at: Option<Timestamp>,
    /// When `prune` removed the object. A later capture brings it back.
    #[serde(default)]
    pub pruned_at: Option<Timestamp>,
    /// [`SCHEMA`], or a later one.
    pub schema: u32,
    /// Members that only a later schema knows.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Row {
    /// A row that says nothing else yet.
    pub(super) fn new(subject: Subject, captured_at: Timestamp) -> Self {
        let captured_at = whole_second(captured_at);
        let (outcome, reason) = match &subject {
            Subject::Record(_) => (RowOutcome::Stored, None),
            Subject::Marker(key) => (RowOutcome::NoConsole, Some(key.reason)),
            Subject::Screenshot(_) => (RowOutcome::Screenshot, None),
        };
        Self {
            instance_id: subject.instance_id().clone(),
            subject,
            region_id: None,
            account_id: None,
            captured_at,
            outcome,
            reason,
            cause: String::new(),
            event_id: None,
            event_time: None,
            last_update_time: String::new(),
            freshness: None,
            freshness_at: None,
            freshness_is_final: false,
            ending: None,
            boots: None,
            reached_login: None,
            kernel: None,
            sha256: None,
            console_bytes: None,
            gzip_bytes: None,
            findings: None,
            last_captured_at: Some(captured_at),
            pruned_at: None,
            schema: SCHEMA,
            rest: Map::new(),
        }
    }

    fn of_event(self, event: &InstanceEvent, region_id: &RegionId) -> Self {
        Self {
            region_id: Some(region_id.clone()),
            account_id: event.account_id.clone(),
            cause: event.cause.to_string(),
            event_id: event.event_id.clone(),
            event_time: event.occurred_at.map(whole_second),
            ..self
        }
    }

    /// The row behind a record that an event stored, or found stored.
    pub fn of_record(
        event: &InstanceEvent,
        region_id: &RegionId,
        record: &Record,
        digest: ConsoleDigest,
        facts: BootFacts,
        captured_at: Timestamp,
    ) -> Self {
        let row = Self::new(Subject::Record(record.key.clone()), captured_at);
        Self {
            sha256: Some(digest),
            console_bytes: Some(record.plain_bytes as u64),
            gzip_bytes: Some(record.object.body.len() as u64),
            ..row.of_event(event, region_id).with_facts(facts)
        }
    }

    /// The row behind a marker.
    pub fn of_marker(
        event: &InstanceEvent,
        region_id: &RegionId,
        marker: &Marker,
        captured_at: Timestamp,
    ) -> Self {
        Self::new(Subject::Marker(marker.key.clone()), captured_at).of_event(event, region_id)
    }

    /// The row behind a screenshot that an event stored, or found stored.
    pub fn of_screenshot(
        event: &InstanceEvent,
        region_id: &RegionId,
        record: &ScreenshotRecord,
        captured_at: Timestamp,
    ) -> Self {
        let subject = Subject::Screenshot(record.key.clone());
        Self {
            reason: record.no_console,
            sha256: Some(record.digest),
            gzip_bytes: Some(record.object.body.len() as u64),
            ..Self::new(subject, captured_at).of_event(event, region_id)
        }
        .with_findings(&findings::of_screenshot(record.no_console))
    }

    /// The row behind a verdict: a record's freshness in the end.
    pub fn of_verdict(
        event: &InstanceEvent,
        region_id: &RegionId,
        record: RecordKey,
        freshness: Freshness,
        captured_at: Timestamp,
    ) -> Self {
        let row = Self::new(Subject::Record(record), captured_at);
        let row = row.of_event(event, region_id).with_freshness(freshness);
        Self {
            freshness_is_final: true,
            ..row
        }
    }

    /// The same, with what the console shows of its boots.
    pub fn with_facts(self, facts: BootFacts) -> Self {
        Self {
            ending: Some(facts.ending),
            boots: Some(facts.boots),
            reached_login: Some(facts.has_login),
            kernel: facts.kernel,
            ..self
        }
    }

    /// The same, with what the console says went wrong, as far as there is room.
    pub fn with_findings(self, found: &[Finding]) -> Self {
        let mut found: Vec<_> = found.iter().collect();
        worst_first(&mut found);
        found.truncate(MAX_FINDINGS);
        let findings = found.into_iter().map(Finding::in_catalog).collect();
        Self {
            findings: Some(findings),
            ..self
        }
    }

    /// The same, with the freshness that the capture gave the console, if it gave one.
    pub fn with_freshness(self, freshness: impl Into<Option<Freshness>>) -> Self {
        let freshness = freshness.into();
        Self {
            freshness,
            freshness_at: freshness.map(|_| self.captured_at),
            ..self
        }
    }

    /// The same with the time at which ECS last updated the console, as it reported it.
    pub fn with_update_time(self, last_update_time: &str) -> Self {
        Self {
            last_update_time: last_update_time.to_owned(),
            ..self
        }
    }

    /// The day that it belongs to.
    pub fn day(&self) -> Day {
        Day::of(self.captured_at)
    }

    /// Whether `prune` has removed the object, and no capture has brought it back since.
    pub fn is_pruned(&self) -> bool {
        self.pruned_at
            .is_some_and(|pruned_at| self.last_captured_at.is_none_or(|last| pruned_at >= last))
    }

    /// What both rows say of their object together: the facts of the first capture that knows them, the
    /// latest freshness, the latest capture, the latest removal. In whatever order rows are joined, and
    /// however often, the result is the same.
    pub fn join(self, other: Self) -> Self {
        debug_assert_eq!(self.subject, other.subject);
        let judged = |row: &Self| {
            let word = row.freshness.map(Freshness::as_str);
            (row.freshness_at, row.freshness_is_final, word)
        };
        let last_captured_at = self.last_captured_at.max(other.last_captured_at);
        let pruned_at = self.pruned_at.max(other.pruned_at);
        let (freshness_at, freshness_is_final, freshness) = match judged(&self) >= judged(&other) {
            true => (self.freshness_at, self.freshness_is_final, self.freshness),
            false => (
                other.freshness_at,
                other.freshness_is_final,
                other.freshness,
            ),
        };
        let first = if self.comes_before(&other) {
            self
        } else {
            other
        };
        let joined = Self {
            freshness,
            freshness_at,
            freshness_is_final,
            last_captured_at,
            pruned_at,
            ..first
        };
        let outcome = match (joined.is_pruned(), &joined.subject) {
            (true, _) => RowOutcome::Pruned,
            (false, Subject::Record(_)) => RowOutcome::Stored,
            (false, Subject::Marker(_)) => RowOutcome::NoConsole,
            (false, Subject::Screenshot(_)) => RowOutcome::Screenshot,
        };
        Self { outcome, ..joined }
    }

    /// Whether this row's facts count, and not the other's: it knows what the object is, and is earlier.
    fn comes_before(&self, other: &Self) -> bool {
        let order = |row: &Self| {
            let knows = match (row.sha256, row.gzip_bytes) {
                (Some(_), _) => 0,
                // What a name or a listing tells is a part of the row.
                (None, Some(_)) => 1,
                // A verdict's row says nothing of the console but its freshness.
                (None, None) => 2,
            };
            (knows, row.captured_at)
        };
        let facts = |row: &Self| {
            let mut row = row.clone();
            (row.freshness, row.freshness_at, row.freshness_is_final) = (None, None, false);
            (row.last_captured_at, row.pruned_at) = (None, None);
            row.outcome = RowOutcome::Stored;
            row.line()
        };
        match order(self).cmp(&order(other)) {
            std::cmp::Ordering::Equal => facts(self) <= facts(other),
            unequal => unequal.is_lt(),
        }
    }

    /// The row as a line of JSON, with its end.
    pub fn line(&self) -> String {
        // Serializing a struct of plain values to memory does not fail.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Reads a row.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let row: Self = serde_json::from_slice(line)?;
        if row.instance_id != *row.subject.instance_id() {
            return Err(serde_json::Error::custom("its key is of another instance"));
        }
        Ok(row)
    }

    /// The row that says that an object was removed on purpose. It hides the row of its capture, if it is of
    /// the same day.
    #[cfg(feature = "cli")]
    pub fn pruned(subject: Subject, captured_at: Timestamp, pruned_at: Timestamp) -> Self {
        let row = Self {
            pruned_at: Some(whole_second(pruned_at)),
            ..Self::new(subject, captured_at)
        };
        row.clone().join(row)
    }

    /// The row that takes [`pruned`](Self::pruned) back: the object was found to be there at this time, which is
    /// later.
    #[cfg(feature = "cli")]
    pub fn still_there(subject: Subject, captured_at: Timestamp, at: Timestamp) -> Self {
        Self {
            last_captured_at: Some(whole_second(at)),
            ..Self::new(subject, captured_at)
        }
    }

    /// The row that a listing of the archive itself tells.
    #[cfg(feature = "cli")]
    pub fn listed(
        subject: Subject,
        stored_at: Timestamp,
        gzip_bytes: Option<u64>,
        verdict: Option<Freshness>,
    ) -> Self {
        let row = Self {
            gzip_bytes,
            ..Self::new(subject, stored_at)
        };
        row.with_freshness(verdict)
    }
}
