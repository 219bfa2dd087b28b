//! Console bytes ⇄ gzip file with metadata. Also markers, verdicts and failed events.

#[cfg(feature = "cli")]
pub mod facts; // what a record's metadata say of it, and what of that cannot be so (pure)
mod reading;

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use percent_encoding::percent_encode_byte;
use serde::{Deserialize, Serialize};

use crate::archive::key::{
    ConsoleDigest, FailedKey, MarkerKey, RecordKey, ShortDigest, VerdictKey,
};
use crate::clock::iso_second;
use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::event::{Cause, InstanceEvent, Origin};
use crate::model::freshness::Freshness;
use crate::model::ids::{AccountId, RegionId};
use crate::store::Object;
#[cfg(feature = "cli")]
pub use reading::Unpacker;
pub use reading::{CheckedObject, Fault, GZIP_BYTES, MAX_PLAIN_BYTES, read, unpack};

/// Media type of a record. There is no `Content-Encoding`, so no client decompresses the object
/// without being asked.
pub const CONTENT_TYPE: &str = "application/gzip";

// Level 9 makes a serial console less than 1 % smaller and takes more than twice as long.
const LEVEL: Compression = Compression::new(6);
/// "Unknown" in RFC 1952. So the header is the same for each build of this program.
const OS_UNKNOWN: u8 = 255;
/// What every record begins with that this program packs (RFC 1952, 2.3): deflated, with no flags, no time, and no word on
/// the level.
#[cfg(feature = "cli")]
pub const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, OS_UNKNOWN];

/// Longest metadata value as stored, in bytes. S3 allows 2 KB for all values together.
const MAX_METADATA_VALUE_BYTES: usize = 256;

/// Metadata `console-encoding` of a record whose console could not be decoded.
pub const UNDECODED: &str = "base64-undecoded";

/// A console output ready to be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The object's key.
    pub key: RecordKey,
    /// The object to store.
    pub object: Object,
    /// Length of the console before compression, in bytes.
    pub plain_bytes: usize,
}

impl Record {
    /// Packs a console output, with everything known about it as metadata.
    pub fn new(
        event: &InstanceEvent,
        region_id: &RegionId,
        console: &ConsoleOutput,
        captured_at: Timestamp,
        freshness: Option<Freshness>,
    ) -> std::io::Result<Self> {
        let digest = ConsoleDigest::of(&console.plain);
        Self::with_digest(event, region_id, console, &digest, captured_at, freshness)
    }

    /// Packs a console output whose digest is known.
    pub fn with_digest(
        event: &InstanceEvent,
        region_id: &RegionId,
        console: &ConsoleOutput,
        digest: &ConsoleDigest,
        captured_at: Timestamp,
        freshness: Option<Freshness>,
    ) -> std::io::Result<Self> {
        let gzip = pack(&console.plain)?;
        let key = RecordKey::with_digest(&event.instance_id, console, digest);
        let mut metadata = of_event(event, region_id, captured_at);
        let mut note = |name: &str, value: &str| note(&mut metadata, name, value);
        note("console-bytes", &console.plain.len().to_string());
        if console.is_undecoded {
            note("console-encoding", UNDECODED);
        }
        note("console-sha256", &digest.to_string());
        note(
            "freshness",
            &freshness.map(|f| f.to_string()).unwrap_or_default(),
        );
        note("gzip-bytes", &gzip.len().to_string());
        note("last-update-time", &console.last_update_time);
        note("request-id", &console.request_id);
        let plain_bytes = console.plain.len();
        let object = Object {
            body: gzip,
            content_type: CONTENT_TYPE.to_owned(),
            metadata,
        };
        Ok(Self {
            key,
            object,
            plain_bytes,
        })
    }
}

/// Metadata of whatever is captured: when, where, and the event that led to it.
pub(super) fn of_event(
    event: &InstanceEvent,
    region_id: &RegionId,
    captured_at: Timestamp,
) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    let mut note = |name: &str, value: &str| note(&mut metadata, name, value);
    let account_id = event.account_id.as_ref().map(AccountId::as_str);
    note("account-id", account_id.unwrap_or_default());
    note("captured-at", &iso_second(captured_at));
    note("event-cause", &event.cause.to_string());
    note("event-id", event.event_id.as_deref().unwrap_or_default());
    note(
        "event-time",
        &event.occurred_at.map(iso_second).unwrap_or_default(),
    );
    note("region-id", region_id.as_str());
    metadata
}

/// Adds metadata, unless there is nothing to say.
pub(super) fn note(metadata: &mut BTreeMap<String, String>, name: &str, value: &str) {
    if !value.is_empty() {
        metadata.insert(name.to_owned(), metadata_value(value));
    }
}

/// An object that says why an instance had no console output. Without it, "no output" would look
/// like "never asked". It contains no bytes of the guest.
#[derive(Clone, PartialEq, Eq)]
pub struct Marker {
    /// The object's key.
    pub key: MarkerKey,
    /// The object to store.
    pub object: Object,
}

impl Marker {
    /// Builds the marker for an event. Each delivery of an event gives the same bytes. `now` is
    /// used only if the event has no time: its day if the event has an ID, otherwise its second.
    pub fn new(
        event: &InstanceEvent,
        region_id: &RegionId,
        reason: NoConsole,
        code: &str,
        now: Timestamp,
    ) -> Self {
        let time = match (event.occurred_at, &event.cause) {
            // A key's time has no sign, but an event may claim a time before 1970.
            (Some(time), _) => time.max(Timestamp::UNIX_EPOCH),
            // An event can be delivered more than once, and sweeps repeat. One marker a day is
            // enough.
            (None, Cause::Sweep) => start_of_day(now),
            (None, _) if event.event_id.is_some() => start_of_day(now),
            // ECS does not know this instance. Asking again the same day says nothing new.
            (None, Cause::Manual) if reason == NoConsole::NotFound => start_of_day(now),
            (None, _) => now,
        };
        let mut json = serde_json::json!({
            "instance_id": event.instance_id,
            "region_id": region_id,
            "reason": reason,
            "message": reason.message(),
            "code": code,
            "event_cause": event.cause.to_string(),
            "event_id": event.event_id,
            "event_time": iso_second(time),
        });
        if let Some(account_id) = &event.account_id {
            json["account_id"] = account_id.as_str().into();
        }
        let (object, digest) = json_object(&json);
        let key = MarkerKey {
            instance_id: event.instance_id.clone(),
            time,
            reason,
            digest,
        };
        Self { key, object }
    }
}

/// An object that gives a record's final freshness for an event, if the record's metadata does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The object's key.
    pub key: VerdictKey,
    /// The object to store.
    pub object: Object,
}

impl Verdict {
    /// Builds the verdict on `record` for an event. Each delivery of an event gives the same bytes.
    pub fn new(event: &InstanceEvent, record: RecordKey, freshness: Freshness) -> Self {
        let json = serde_json::json!({
            "record": record.to_string(),
            "freshness": freshness,
            "event_cause": event.cause.to_string(),
            "event_id": event.event_id,
            "event_time": event.occurred_at.map(iso_second),
        });
        let (object, digest) = json_object(&json);
        let key = VerdictKey {
            record,
            freshness,
            digest,
        };
        Self { key, object }
    }
}

/// JSON as an object without metadata, and the digest of its bytes for its key.
fn json_object(json: &serde_json::Value) -> (Object, ShortDigest) {
    let body = format!("{json:#}\n").into_bytes();
    let digest = ConsoleDigest::of(&body).short();
    let object = Object {
        body,
        content_type: "application/json".to_owned(),
        metadata: BTreeMap::new(),
    };
    (object, digest)
}

/// Builds the note that a failed event could not be removed. Its key is [`FailedKey::note`].
pub fn not_removed(event: &FailedKey) -> Object {
    json_object(&serde_json::json!({ "not_removed": event.to_string() })).0
}

/// An event that failed permanently, kept so that it can be replayed.
#[derive(Clone, PartialEq, Eq)]
pub struct FailedEvent {
    /// The object's key.
    pub key: FailedKey,
    /// The object to store.
    pub object: Object,
}

#[derive(Serialize, Deserialize)]
struct FailedJson {
    error_type: String,
    event: String,
    /// It is part of the bytes, and so of the digest in the key: each attempt has an object of its
    /// own, so that the next can be stored before this one is removed.
    #[serde(default, skip_serializing_if = "is_zero")]
    attempts: u32,
    /// Earlier versions do not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over_http: Option<bool>,
}

fn is_zero(attempts: &u32) -> bool {
    *attempts == 0
}

/// A failed event, as read from the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvent {
    /// The event's text.
    pub event: String,
    /// How it came. Served again, it may ask for no more than when it came.
    pub origin: Origin,
    /// How often a scheduled redrive has tried it, and it failed.
    pub attempts: u32,
    /// When it failed first. `None` if the metadata is lost.
    pub failed_at: Option<Timestamp>,
    /// When a scheduled redrive tried it last.
    pub tried_at: Option<Timestamp>,
}

const FAILED_AT: &str = "failed-at";
const TRIED_AT: &str = "tried-at";

impl KeptEvent {
    /// Reads a stored object.
    ///
    /// # Errors
    /// If its body was not written by this program.
    pub fn read(object: &Object) -> serde_json::Result<Self> {
        let FailedJson {
            event,
            attempts,
            over_http,
            ..
        } = serde_json::from_slice(&object.body)?;
        let origin = match over_http {
            Some(true) => Origin::Http,
            Some(false) => Origin::Invocation,
            None => Origin::Unknown,
        };
        let time = |name: &str| object.metadata.get(name)?.parse().ok();
        Ok(Self {
            event,
            origin,
            attempts,
            failed_at: time(FAILED_AT),
            tried_at: time(TRIED_AT),
        })
    }

    /// The object for the rest of its sweep, with as many attempts as before.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn rest(&self, event: &str, error_type: &str) -> serde_json::Result<FailedEvent> {
        let failed_at = self.failed_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let mut rest =
            FailedEvent::packed(event, self.origin, error_type, self.attempts, failed_at)?;
        if self.failed_at.is_none() {
            rest.object.metadata.remove(FAILED_AT);
        }
        Ok(rest)
    }

    /// The object that replaces it after another attempt that failed in this way.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn after_attempt(
        &self,
        error_type: &str,
        tried_at: Timestamp,
        is_given_up: bool,
    ) -> serde_json::Result<FailedEvent> {
        let attempts = self.attempts.saturating_add(1);
        let failed_at = self.failed_at.unwrap_or(tried_at);
        let mut failed =
            FailedEvent::packed(&self.event, self.origin, error_type, attempts, failed_at)?;
        failed.key.is_given_up = is_given_up;
        let tried_at = (TRIED_AT.to_owned(), iso_second(tried_at));
        failed.object.metadata.extend([tried_at]);
        Ok(failed)
    }
}

impl FailedEvent {
    /// Packs an event's text, how it came, and the type of its error.
    pub fn new(
        event: &str,
        origin: Origin,
        error_type: &str,
        failed_at: Timestamp,
    ) -> serde_json::Result<Self> {
        Self::packed(event, origin, error_type, 0, failed_at)
    }

    fn packed(
        event: &str,
        origin: Origin,
        error_type: &str,
        attempts: u32,
        failed_at: Timestamp,
    ) -> serde_json::Result<Self> {
        let mut body = serde_json::to_vec_pretty(&FailedJson {
            error_type: error_type.to_owned(),
            event: event.to_owned(),
            attempts,
            over_http: match origin {
                Origin::Http => Some(true),
                Origin::Invocation => Some(false),
                Origin::Unknown => None,
            },
        })?;
        body.push(b'\n');
        let key = FailedKey {
            error_type: error_type.to_owned(),
            digest: ConsoleDigest::of(&body).short(),
            is_given_up: false,
        };
        let metadata = BTreeMap::from([(FAILED_AT.to_owned(), iso_second(failed_at))]);
        let object = Object {
            body,
            content_type: "application/json".to_owned(),
            metadata,
        };
        Ok(Self { key, object })
    }
}

fn start_of_day(time: Timestamp) -> Timestamp {
    let seconds = time.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(86_400)).unwrap_or(time)
}

/// Compresses with gzip. The same bytes give the same file on every machine: the header has no
/// time, name or operating system.
pub fn pack(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(OS_UNKNOWN)
        .write(Vec::new(), LEVEL);
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Encodes a text for a header: printable ASCII stays, everything else and `%` is percent-encoded.
pub(super) fn metadata_value(text: &str) -> String {
    let mut value = String::new();
    for byte in text.bytes() {
        if value.len() + 3 > MAX_METADATA_VALUE_BYTES {
            break;
        }
        match byte {
            b'!'..=b'~' if byte != b'%' => value.push(char::from(byte)),
            b' ' if !value.is_empty() => value.push(' '),
            _ => value.push_str(percent_encode_byte(byte)),
        }
    }
    value
}

/// The text that a metadata value was encoded from.
#[cfg(feature = "cli")]
pub fn metadata_text(value: &str) -> String {
    percent_encoding::percent_decode_str(value)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Cause;
    use crate::model::ids::InstanceId;

    fn record(plain: &[u8], last_update_time: &str, event_id: &str) -> Record {
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-bp1abc").unwrap(),
            region_id: None,
            account_id: Some(AccountId::parse("1690700000000030").unwrap()),
            cause: Cause::Manual,
            event_id: Some(event_id.to_owned()),
            occurred_at: Some("2024-01-02T03:00:00.1Z".parse().unwrap()),
        };
        let console = ConsoleOutput {
            plain: plain.to_vec(),
            last_update_time: last_update_time.to_owned(),
            request_id: "R-1".to_owned(),
            reported_instance_id: None,
            is_undecoded: false,
        };
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        Record::new(
            &event,
            &region_id,
            &console,
            "2024-01-02T03:04:05.6Z".parse().unwrap(),
            Some(Freshness::Stale),
        )
        .unwrap()
    }

    #[test]
    fn everything_known_is_in_the_metadata() {
        let record = record(b"hello\n", "2018-03-22 10:04:57", "E 1\n");
        let metadata: Vec<_> = record
            .object
            .metadata
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            metadata,
            [
                ("account-id", "1690700000000030"),
                ("captured-at", "2024-01-02T03:04:05Z"),
                ("console-bytes", "6"),
                (
                    "console-sha256",
                    "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
                ),
                ("event-cause", "manual"),
                ("event-id", "E 1%0A"),
                ("event-time", "2024-01-02T03:00:00Z"),
                ("freshness", "stale"),
                ("gzip-bytes", "26"),
                ("last-update-time", "2018-03-22 10:04:57"),
                ("region-id", "cn-hangzhou"),
                ("request-id", "R-1"),
            ]
        );
    }

    #[test]
    fn what_could_not_be_decoded_is_marked_in_key_and_metadata() {
        let event = InstanceEvent::new(InstanceId::parse("i-bp1abc").unwrap(), Cause::Manual);
        let record = |is_undecoded| {
            let console = ConsoleOutput {
                plain: b"hello\n".to_vec(),
                is_undecoded,
                last_update_time: "2018-03-22 10:04:57".to_owned(),
                request_id: String::new(),
                reported_instance_id: None,
            };
            let region_id = RegionId::parse("cn-hangzhou").unwrap();
            Record::new(&event, &region_id, &console, Timestamp::UNIX_EPOCH, None).unwrap()
        };
        let (decoded, undecoded) = (record(false), record(true));
        assert_eq!(
            undecoded.key.to_string(),
            "i-bp1abc/20180322T100457-5891b5b522d5-undecoded.log.gz"
        );
        let encoding = |record: &Record| record.object.metadata.get("console-encoding").cloned();
        assert_eq!(encoding(&undecoded).as_deref(), Some(UNDECODED));
        assert_eq!(encoding(&decoded), None);
        assert_eq!(undecoded.object.body, decoded.object.body);
        assert!(undecoded.key != decoded.key);
    }

    #[test]
    fn an_unreadable_time_loses_no_log() {
        let record = record(b"hello\n", "vor einer Stunde, früh", "");
        assert_eq!(
            record.key.to_string(),
            "i-bp1abc/undated-5891b5b522d5.log.gz"
        );
        assert_eq!(
            record.object.metadata["last-update-time"],
            "vor einer Stunde, fr%C3%BCh"
        );
        assert_eq!(unpack(&record.object.body).unwrap(), b"hello\n");
    }

    #[test]
    fn one_event_leaves_one_marker_and_a_sweep_one_a_day() {
        let marker = |occurred_at: Option<&str>, cause: Cause, now: &str| {
            let event = InstanceEvent {
                instance_id: InstanceId::parse("i-bp1abc").unwrap(),
                region_id: None,
                account_id: None,
                cause,
                event_id: None,
                occurred_at: occurred_at.map(|time| time.parse().unwrap()),
            };
            let region_id = RegionId::parse("cn-hangzhou").unwrap();
            let reason = NoConsole::NotSupported;
            Marker::new(
                &event,
                &region_id,
                reason,
                "NotSupported",
                now.parse().unwrap(),
            )
        };
        let (morning, evening) = ("2024-01-02T03:04:05Z", "2024-01-02T20:00:00Z");
        let event_time = Some("2024-01-02T03:00:00Z");
        let stopping = || Cause::StateChange("Stopping".into());
        let first = marker(event_time, stopping(), morning);
        assert!(first == marker(event_time, stopping(), evening));
        assert!(marker(None, Cause::Sweep, morning) == marker(None, Cause::Sweep, evening));
        let by_hand = marker(None, Cause::Manual, morning);
        assert!(by_hand.key != marker(None, Cause::Manual, evening).key);
        // An event with an ID and without a time, delivered twice.
        let delivered = |now: &str| {
            let event = InstanceEvent {
                instance_id: InstanceId::parse("i-bp1abc").unwrap(),
                region_id: None,
                account_id: None,
                cause: stopping(),
                event_id: Some("E-1".into()),
                occurred_at: None,
            };
            let region_id = RegionId::parse("cn-hangzhou").unwrap();
            let now = now.parse().unwrap();
            Marker::new(&event, &region_id, NoConsole::NotSupported, "", now)
        };
        assert!(delivered(morning) == delivered(evening));
        for (account_id, is_named) in [(None, false), (Some("1690700000000030"), true)] {
            let event = InstanceEvent {
                instance_id: InstanceId::parse("i-bp1abc").unwrap(),
                region_id: None,
                account_id: account_id.map(|id| AccountId::parse(id).unwrap()),
                cause: stopping(),
                event_id: None,
                occurred_at: None,
            };
            let region_id = RegionId::parse("cn-hangzhou").unwrap();
            let now = morning.parse().unwrap();
            let marker = Marker::new(&event, &region_id, NoConsole::NotSupported, "", now);
            let body = String::from_utf8(marker.object.body).unwrap();
            assert_eq!(
                body.contains(r#""account_id": "1690700000000030""#),
                is_named
            );
        }
        for hostile in ["-000100-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
            let key = marker(Some(hostile), stopping(), morning).key.to_string();
            assert!(MarkerKey::parse(&key).is_some(), "{key}");
        }
        assert_eq!(
            String::from_utf8(first.object.body).unwrap(),
            r#"{
  "code": "NotSupported",
  "event_cause": "Stopping",
  "event_id": null,
  "event_time": "2024-01-02T03:00:00Z",
  "instance_id": "i-bp1abc",
  "message": "ECS keeps no console output for this type of instance",
  "reason": "not_supported",
  "region_id": "cn-hangzhou"
}
"#
        );
    }

    #[test]
    fn one_event_leaves_one_verdict_beside_a_record() {
        let event = |event_id: &str| InstanceEvent {
            instance_id: InstanceId::parse("i-bp1abc").unwrap(),
            region_id: None,
            account_id: None,
            cause: Cause::StateChange("Running".into()),
            event_id: Some(event_id.to_owned()),
            occurred_at: Some("2024-01-02T03:00:00.1Z".parse().unwrap()),
        };
        let key = record(b"hello\n", "2018-03-22 10:04:57", "").key;
        let verdict = |id| Verdict::new(&event(id), key.clone(), Freshness::Fresh);
        let first = verdict("E-1");
        assert!(first == verdict("E-1") && first.key != verdict("E-2").key);
        assert_eq!(VerdictKey::parse(&first.key.to_string()), Some(first.key));
        assert_eq!(
            String::from_utf8(first.object.body).unwrap(),
            r#"{
  "event_cause": "Running",
  "event_id": "E-1",
  "event_time": "2024-01-02T03:00:00Z",
  "freshness": "fresh",
  "record": "i-bp1abc/20180322T100457-5891b5b522d5.log.gz"
}
"#
        );
    }

    #[test]
    fn a_failed_event_is_read_back_and_kept_once_however_often_it_fails() {
        let text = "{\"a\": \"ü\\n\"}";
        let kept = |origin, at: &str| {
            FailedEvent::new(text, origin, "EcsDenied", at.parse().unwrap()).unwrap()
        };
        for origin in [Origin::Http, Origin::Invocation, Origin::Unknown] {
            let first = kept(origin, "2024-01-02T03:04:05Z");
            let second = kept(origin, "2025-01-02T03:04:05Z");
            assert!(first.key == second.key && first.object.body == second.object.body);
            let read = KeptEvent::read(&first.object).unwrap();
            assert_eq!((read.event.as_str(), read.origin), (text, origin));
            let at = Timestamp::UNIX_EPOCH;
            for next in [
                read.rest("{}", "EcsDenied").unwrap(),
                read.after_attempt("EcsDenied", at, true).unwrap(),
            ] {
                assert_eq!(KeptEvent::read(&next.object).unwrap().origin, origin);
            }
        }
        let mut empty = kept(Origin::Unknown, "2024-01-02T03:04:05Z").object;
        empty.body = b"{}".to_vec();
        assert!(KeptEvent::read(&empty).is_err());
    }

    #[test]
    fn each_attempt_at_an_event_has_an_object_of_its_own_and_loses_nothing() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (failed_at, tried_at) = (at("2024-01-02T03:04:05Z"), at("2024-01-03T03:04:05Z"));
        let first = FailedEvent::new("{}", Origin::Http, "EcsDenied", failed_at).unwrap();
        let kept = KeptEvent::read(&first.object).unwrap();
        assert_eq!((kept.attempts, kept.tried_at), (0, None));
        let second = kept.after_attempt("EcsDenied", tried_at, false).unwrap();
        assert_ne!(second.key, first.key);
        let again = KeptEvent::read(&second.object).unwrap();
        assert_eq!(
            (
                again.event.as_str(),
                again.attempts,
                again.failed_at,
                again.tried_at
            ),
            ("{}", 1, Some(failed_at), Some(tried_at))
        );
        // Two at once write the same object.
        let other = kept.after_attempt("EcsDenied", at("2024-01-03T03:05:00Z"), false);
        assert_eq!(other.unwrap().key, second.key);
        let given_up = again.after_attempt("EcsDenied", tried_at, true).unwrap();
        assert!(
            given_up
                .key
                .to_string()
                .starts_with("failed/given-up/EcsDenied-")
        );
    }

    // If a new version of the compressor changes these bytes, stores that cannot refuse an
    // overwrite would store every console a second time.
    #[test]
    fn the_same_console_gives_the_same_object_bytes_in_every_version() {
        for (plain, sha256) in [
            (
                &b""[..],
                "ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83",
            ),
            (
                include_bytes!("../../tests/fixtures/consoles/i-bp1panicnoroot00001.log"),
                "d788c8d0f41b94f18f1557a659aad41b8a9c3a1cacef077283b4a93e0b351183",
            ),
            (
                include_bytes!("../../tests/fixtures/consoles/i-bp1cloudinit0000001.log"),
                "441019dde09d14e55b901cca2cefdf62214ae952d44680b4b9230ac9f0b249db",
            ),
        ] {
            assert_eq!(ConsoleDigest::of(&pack(plain).unwrap()).to_string(), sha256);
        }
    }

    #[test]
    fn metadata_keeps_spaces_but_the_first_and_encodes_what_headers_do_not_carry() {
        assert_eq!(metadata_value(" a  b"), "%20a  b");
        assert_eq!(metadata_value("100 %\tü~"), "100 %25%09%C3%BC~");
    }

    proptest::proptest! {
        #[test]
        fn metadata_is_bounded_printable_ascii(text in ".*") {
            let value = metadata_value(&text);
            proptest::prop_assert!(value.len() <= MAX_METADATA_VALUE_BYTES);
            proptest::prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)));
            proptest::prop_assert!(!value.starts_with(' '));
        }
    }
}
