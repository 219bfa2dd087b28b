//! [`RecordKey`] ⇄ object key. The only file that knows the layout.

use std::fmt;

#[cfg(feature = "cli")]
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Date;
#[cfg(feature = "cli")]
use jiff::civil::Time;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::freshness::Freshness;
use crate::model::ids::InstanceId;
use crate::model::screenshot::ImageFormat;
use crate::model::update_time::UpdateTime;

/// End of every record's key.
pub const LOG_SUFFIX: &str = ".log.gz";

/// Replaces the time in a key if ECS reported no readable one. It sorts after every time. It is
/// constant, because with the time of capture, a redelivered event would be stored twice.
pub(super) const UNDATED: &str = "undated";

/// End of every marker's key.
pub(super) const MARKER_SUFFIX: &str = ".none.json";

/// End of every verdict's key.
const VERDICT_SUFFIX: &str = ".verdict.json";

/// SHA-256 of the uncompressed console, or of the bytes of a screenshot, marker, verdict or failed event.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ConsoleDigest([u8; 32]);

/// The text is not a SHA-256 in lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("expected the 64 hexadecimal digits of a SHA-256")]
pub struct InvalidDigest;

impl From<ConsoleDigest> for String {
    fn from(digest: ConsoleDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for ConsoleDigest {
    type Error = InvalidDigest;

    fn try_from(hex: String) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        if !hex.bytes().all(is_lower_hex) {
            return Err(InvalidDigest);
        }
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| InvalidDigest)?;
        Ok(Self(bytes))
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

impl ConsoleDigest {
    /// Computes the digest of these bytes.
    pub fn of(plain: &[u8]) -> Self {
        Self(Sha256::digest(plain).into())
    }

    /// The first 12 hexadecimal digits (48 bits), as used in keys. Two different consoles of one
    /// instance and one update time have the same ones with a probability of one in 2.8 × 10¹⁴.
    pub fn short(&self) -> ShortDigest {
        let mut hex = self.to_string();
        hex.truncate(ShortDigest::LEN);
        ShortDigest(hex)
    }
}

impl fmt::Display for ConsoleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ConsoleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first 12 lower-case hexadecimal digits of a [`ConsoleDigest`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortDigest(String);

impl ShortDigest {
    const LEN: usize = 12;

    /// Parses the digits. `None` if they are not such a digest.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == Self::LEN && text.bytes().all(is_lower_hex)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for ShortDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// End of the name of an undecoded record: ECS sent a text that is not Base64, and the record keeps
/// that text. The suffix keeps it apart from a console with the same bytes.
const UNDECODED: &str = "-undecoded";

/// Key of a record: `{instance_id}/{last_update_time}-{digest}.log.gz`, below the archive's prefix.
/// `-undecoded` follows the digest if the console could not be decoded.
///
/// ECS can return more bytes with the same update time, so the digest is part of the key. The same
/// console always gets the same key, and different consoles never do. So no conditional write is
/// needed. The keys of one instance sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey {
    /// The instance whose console it is.
    pub instance_id: InstanceId,
    /// `LastUpdateTime` as reported. `None` if it was missing or unreadable.
    pub last_update_time: Option<UpdateTime>,
    /// Digest of the uncompressed bytes.
    pub digest: ShortDigest,
    /// Whether the bytes are the text that ECS sent because it is not Base64.
    pub is_undecoded: bool,
}

impl RecordKey {
    /// The key for a console.
    pub fn of(instance_id: &InstanceId, console: &ConsoleOutput) -> Self {
        Self::with_digest(instance_id, console, &ConsoleDigest::of(&console.plain))
    }

    /// The key for a console whose digest is known. To compute it takes longer than anything else here.
    pub fn with_digest(
        instance_id: &InstanceId,
        console: &ConsoleOutput,
        digest: &ConsoleDigest,
    ) -> Self {
        Self {
            instance_id: instance_id.clone(),
            last_update_time: UpdateTime::parse(&console.last_update_time).ok(),
            digest: digest.short(),
            is_undecoded: console.is_undecoded,
        }
    }

    /// Parses an object key. `None` if it is not a record's key: an archive may hold other objects.
    pub fn parse(object_key: &str) -> Option<Self> {
        let (instance_id, name) = object_key.split_once('/')?;
        let name = name.strip_suffix(LOG_SUFFIX)?;
        let decoded_name = name.strip_suffix(UNDECODED);
        let (time, digest) = decoded_name.unwrap_or(name).rsplit_once('-')?;
        let last_update_time = match time {
            UNDATED => None,
            _ => Some(UpdateTime::parse(time).ok()?),
        };
        let key = Self {
            instance_id: InstanceId::parse(instance_id).ok()?,
            last_update_time,
            digest: ShortDigest::parse(digest)?,
            is_undecoded: decoded_name.is_some(),
        };
        (key.to_string() == object_key).then_some(key)
    }

    /// Prefix of all keys of one instance.
    pub fn instance_prefix(instance_id: &InstanceId) -> String {
        format!("{instance_id}/")
    }

    /// The part after the instance ID, such as `20180322T100457-0123456789ab`. Unique within an
    /// instance.
    pub fn name(&self) -> String {
        let end = if self.is_undecoded { UNDECODED } else { "" };
        match self.last_update_time {
            Some(time) => format!("{time}-{}{end}", self.digest),
            None => format!("{UNDATED}-{}{end}", self.digest),
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{LOG_SUFFIX}", self.instance_id, self.name())
    }
}

/// Key of a marker: `{instance_id}/{time}-{reason}-{digest}.none.json`. A marker says that an
/// instance had no console output.
///
/// The time is the time of the event, in UTC, and ends in `Z`. (Records have the wall clock of
/// ECS.) The digest is of the marker's own bytes. So each delivery of an event gives the same
/// marker, and different markers never have the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkerKey {
    /// The instance that had no console output.
    pub instance_id: InstanceId,
    /// Time of the event, to the second.
    pub time: Timestamp,
    /// Why there was no console output.
    pub reason: NoConsole,
    /// Digest of the marker's bytes.
    pub digest: ShortDigest,
}

impl MarkerKey {
    /// When ECS was asked, as far as a listing tells it: when the marker was stored, if that is within a day behind its
    /// event. What was stored later is a copy.
    #[cfg(feature = "cli")]
    pub fn captured_at(&self, stored_at: Timestamp) -> Timestamp {
        match stored_at.duration_since(self.time) <= SignedDuration::from_hours(24) {
            true => stored_at,
            false => self.time,
        }
    }

    /// Parses an object key. `None` if it is not a marker's key.
    pub fn parse(object_key: &str) -> Option<Self> {
        let (instance_id, name) = object_key.split_once('/')?;
        let mut parts = name.strip_suffix(MARKER_SUFFIX)?.split('-');
        let key = Self {
            instance_id: InstanceId::parse(instance_id).ok()?,
            time: parts.next()?.parse().ok()?,
            reason: parts.next()?.parse().ok()?,
            digest: ShortDigest::parse(parts.next()?)?,
        };
        (key.to_string() == object_key).then_some(key)
    }

    /// The part after the instance ID. Unique within an instance.
    pub fn name(&self) -> String {
        let time = self.time.strftime("%Y%m%dT%H%M%SZ");
        format!("{time}-{}-{}", self.reason.as_str(), self.digest)
    }
}

impl fmt::Display for MarkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{MARKER_SUFFIX}", self.instance_id, self.name())
    }
}

/// Key of a screenshot: `{instance_id}/{day}Z-{digest}.jpg`, or `.png`, by its bytes.
///
/// The day is the UTC day of the capture. A screen may look the same for weeks, and the function may not list what is
/// stored. So the key has no more of the time: the same picture has the same key all day, whoever takes it, and is
/// stored once. When it was taken first is in its metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScreenshotKey {
    /// The instance whose screen it shows.
    pub instance_id: InstanceId,
    /// The UTC day on which it was taken.
    pub day: Date,
    /// Digest of its bytes.
    pub digest: ShortDigest,
    /// What it is stored as.
    pub format: ImageFormat,
}

impl ScreenshotKey {
    /// The key for a picture with this digest that was taken at this time.
    pub fn of(
        instance_id: &InstanceId,
        taken_at: Timestamp,
        digest: &ConsoleDigest,
        format: ImageFormat,
    ) -> Self {
        Self {
            instance_id: instance_id.clone(),
            day: Offset::UTC.to_datetime(taken_at).date(),
            digest: digest.short(),
            format,
        }
    }

    /// When it was taken, as far as a listing tells it: when it was stored, within its day. A copy was stored later.
    #[cfg(feature = "cli")]
    pub fn taken_at(&self, stored_at: Timestamp) -> Timestamp {
        let midnight = self.day.to_datetime(Time::midnight());
        let Ok(begin) = Offset::UTC.to_timestamp(midnight) else {
            return stored_at;
        };
        let last = begin.saturating_add(SignedDuration::from_secs(86_399));
        stored_at.clamp(begin, last.unwrap_or(begin))
    }

    /// Parses an object key. `None` if it is not a screenshot's key.
    pub fn parse(object_key: &str) -> Option<Self> {
        let (instance_id, file) = object_key.split_once('/')?;
        let (name, extension) = file.rsplit_once('.')?;
        let (day, digest) = name.split_once("Z-")?;
        let mut formats = ImageFormat::ALL.into_iter();
        let key = Self {
            instance_id: InstanceId::parse(instance_id).ok()?,
            day: Date::strptime("%Y%m%d", day).ok()?,
            digest: ShortDigest::parse(digest)?,
            format: formats.find(|format| format.extension() == extension)?,
        };
        (key.to_string() == object_key).then_some(key)
    }

    /// The part after the instance ID, such as `20180322Z-0123456789ab.jpg`. Unique within an instance.
    pub fn name(&self) -> String {
        let (day, extension) = (self.day.strftime("%Y%m%d"), self.format.extension());
        format!("{day}Z-{}.{extension}", self.digest)
    }
}

impl fmt::Display for ScreenshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.instance_id, self.name())
    }
}

/// Key of a verdict: `{instance_id}/{record's name}.{freshness}-{digest}.verdict.json`. A verdict
/// gives a record's final freshness for an event, if the record's metadata does not.
///
/// A record is never replaced, so what becomes known later is stored beside it. The key contains
/// the freshness, so that a listing need not read the object. The digest is of the verdict's own
/// bytes: each delivery of an event gives the same verdict, and different verdicts never have the
/// same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictKey {
    /// The record that is judged.
    pub record: RecordKey,
    /// The record's final freshness.
    pub freshness: Freshness,
    /// Digest of the verdict's bytes.
    pub digest: ShortDigest,
}

impl VerdictKey {
    /// Parses an object key. `None` if it is not a verdict's key.
    pub fn parse(object_key: &str) -> Option<Self> {
        let (record, verdict) = object_key.strip_suffix(VERDICT_SUFFIX)?.rsplit_once('.')?;
        let (freshness, digest) = verdict.split_once('-')?;
        Some(Self {
            record: RecordKey::parse(&format!("{record}{LOG_SUFFIX}"))?,
            freshness: freshness.parse().ok()?,
            digest: ShortDigest::parse(digest)?,
        })
    }
}

impl fmt::Display for VerdictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            record,
            freshness,
            digest,
        } = self;
        let (instance_id, name) = (&record.instance_id, record.name());
        write!(
            f,
            "{instance_id}/{name}.{freshness}-{digest}{VERDICT_SUFFIX}"
        )
    }
}

/// Prefix of the keys of all failed events. It is not a valid instance ID.
pub const FAILED_PREFIX: &str = "failed/";

/// Part of the key, after [`FAILED_PREFIX`], of events that the schedule does not try any more.
const GIVEN_UP: &str = "given-up/";
/// Part of the key, after [`FAILED_PREFIX`], of the note that a failed event could not be removed.
const NOT_REMOVED: &str = "not-removed/";

/// Key of a failed event: `failed/{error_type}-{digest}.json`, or
/// `failed/given-up/{error_type}-{digest}.json`. The digest is of the object's own bytes, so an
/// event that fails again in the same way is kept once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedKey {
    /// The error type, as in logs and alarms.
    pub error_type: String,
    /// Digest of the object's bytes.
    pub digest: ShortDigest,
    /// Whether a scheduled redrive has tried it often enough, and leaves it to a person.
    pub is_given_up: bool,
}

impl FailedKey {
    /// Parses an object key. `None` if it is not a failed event's key.
    pub fn parse(object_key: &str) -> Option<Self> {
        let name = object_key.strip_prefix(FAILED_PREFIX)?;
        let given_up = name.strip_prefix(GIVEN_UP);
        let (is_given_up, name) = (given_up.is_some(), given_up.unwrap_or(name));
        let (error_type, digest) = name.strip_suffix(".json")?.split_once('-')?;
        let is_word = !error_type.is_empty() && error_type.bytes().all(|b| b.is_ascii_alphabetic());
        Some(Self {
            error_type: is_word.then(|| error_type.to_owned())?,
            digest: ShortDigest::parse(digest)?,
            is_given_up,
        })
    }

    /// Key of the note that this event could not be removed, although it was served again:
    /// `failed/not-removed/{error_type}-{digest}.json`.
    pub fn note(&self) -> String {
        let (error_type, digest) = (&self.error_type, &self.digest);
        format!("{FAILED_PREFIX}{NOT_REMOVED}{error_type}-{digest}.json")
    }

    /// The event that such a note is about. `None` if it is not a note's key.
    pub fn of_note(object_key: &str) -> Option<Self> {
        let name = object_key
            .strip_prefix(FAILED_PREFIX)?
            .strip_prefix(NOT_REMOVED)?;
        let key = Self::parse(&format!("{FAILED_PREFIX}{name}"))?;
        (!key.is_given_up).then_some(key)
    }
}

impl fmt::Display for FailedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given_up = if self.is_given_up { GIVEN_UP } else { "" };
        let (error_type, digest) = (&self.error_type, &self.digest);
        write!(f, "{FAILED_PREFIX}{given_up}{error_type}-{digest}.json")
    }
}

/// A hash of an object's key. A set of them needs little memory, whatever the archive has.
#[cfg(feature = "cli")]
pub fn hash(object_key: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    object_key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(instance_id: &str, reported: &str, plain: &[u8]) -> RecordKey {
        RecordKey {
            instance_id: InstanceId::parse(instance_id).unwrap(),
            last_update_time: UpdateTime::parse(reported).ok(),
            digest: ConsoleDigest::of(plain).short(),
            is_undecoded: false,
        }
    }

    #[track_caller]
    fn check(reported: &str, object_key: &str) {
        assert_eq!(
            key("i-bp1abc", reported, b"hello\n").to_string(),
            object_key
        );
    }

    // `printf 'hello\n' | sha256sum` begins with 5891b5b522d5.
    #[test]
    fn spellings_of_one_second_give_one_key() {
        check(
            "2018-03-22 10:04:57",
            "i-bp1abc/20180322T100457-5891b5b522d5.log.gz",
        );
        check(
            "2018-03-22T10:04:57Z",
            "i-bp1abc/20180322T100457-5891b5b522d5.log.gz",
        );
    }

    #[test]
    fn a_missing_or_unreadable_time_gives_one_key_per_console() {
        check("", "i-bp1abc/undated-5891b5b522d5.log.gz");
        check("last Tuesday", "i-bp1abc/undated-5891b5b522d5.log.gz");
    }

    #[test]
    fn what_could_not_be_decoded_has_a_key_of_its_own() {
        let decoded = key("i-bp1abc", "2018-03-22 10:04:57", b"hello\n");
        let undecoded = RecordKey {
            is_undecoded: true,
            ..decoded.clone()
        };
        let text = "i-bp1abc/20180322T100457-5891b5b522d5-undecoded.log.gz";
        assert_eq!(undecoded.to_string(), text);
        assert_eq!(RecordKey::parse(text), Some(undecoded));
        assert_ne!(decoded.to_string(), text);
    }

    #[test]
    fn other_object_keys_are_not_records() {
        for other in [
            "",
            "i-bp1abc",
            "i-bp1abc/",
            "i-bp1abc/20180322T100457-5891b5b522d5.log.gz.json",
            "i-bp1abc/2018-03-22T10:04:57-5891b5b522d5.log.gz",
            "i-bp1abc/20180322T100457-5891B5B522D5.log.gz",
            "i-bp1abc/-5891b5b522d5.log.gz",
            "x/i-bp1abc/20180322T100457-5891b5b522d5.log.gz",
            "i-bp1abc/20180322T100457-5891b5b522d.log.gz",
            "i-bp1abc/20180322T100457-5891b5b522d5-undecoded-undecoded.log.gz",
            "i-bp1abc/20180322T100457-5891b5b522d5-decoded.log.gz",
            "i-bp1abc/20180322T100457-undecoded.log.gz",
            "../20180322T100457-5891b5b522d5.log.gz",
        ] {
            assert_eq!(RecordKey::parse(other), None, "{other:?}");
        }
    }

    fn keys() -> impl Strategy<Value = RecordKey> {
        let time =
            proptest::option::of((1970..2100i16, 1..=12i8, 1..=28i8, 0..24i8, 0..60i8, 0..60i8));
        let parts = ("i-[a-z0-9]{1,22}", time, any::<Vec<u8>>(), any::<bool>());
        parts.prop_map(|(id, time, plain, is_undecoded)| {
            let reported = time.map_or(String::new(), |(y, mo, d, h, mi, s)| {
                format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}")
            });
            RecordKey {
                is_undecoded,
                ..key(&id, &reported, &plain)
            }
        })
    }

    #[test]
    fn a_marker_reads_back_and_is_no_record() {
        let key = MarkerKey {
            instance_id: InstanceId::parse("i-bp1abc").unwrap(),
            time: "2024-03-22T02:01:14.058Z".parse().unwrap(),
            reason: NoConsole::NotSupported,
            digest: ConsoleDigest::of(b"hello\n").short(),
        };
        let text = "i-bp1abc/20240322T020114Z-not_supported-5891b5b522d5.none.json";
        assert_eq!(key.to_string(), text);
        assert_eq!(RecordKey::parse(text), None);
        let read = MarkerKey::parse(text).unwrap();
        assert_eq!(read.time, "2024-03-22T02:01:14Z".parse().unwrap());
        assert_eq!(
            MarkerKey::parse("i-bp1abc/20240322T020114Z-gone-5891b5b522d5.none.json"),
            None
        );
    }

    #[test]
    fn a_verdict_reads_back_and_is_neither_record_nor_marker() {
        for name in ["20180322T100457-b4a2cd4d9aed", "undated-b4a2cd4d9aed"] {
            let text = format!("i-bp1abc/{name}.fresh-5891b5b522d5.verdict.json");
            let key = VerdictKey::parse(&text).unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(
                (key.record.name(), key.freshness),
                (name.to_owned(), Freshness::Fresh)
            );
            assert_eq!(
                (RecordKey::parse(&text), MarkerKey::parse(&text)),
                (None, None)
            );
            for other in ["good-", "fresh", "Fresh-", ""] {
                let text = text.replace("fresh-", other);
                assert_eq!(VerdictKey::parse(&text), None, "{text}");
            }
        }
        assert_eq!(
            VerdictKey::parse("../x.fresh-5891b5b522d5.verdict.json"),
            None
        );
    }

    #[test]
    fn a_failed_event_reads_back_and_is_neither_record_nor_marker() {
        for (text, is_given_up) in [
            ("failed/EcsDenied-5891b5b522d5.json", false),
            ("failed/given-up/EcsDenied-5891b5b522d5.json", true),
        ] {
            let key = FailedKey::parse(text).unwrap();
            assert_eq!(
                (key.to_string().as_str(), key.is_given_up),
                (text, is_given_up)
            );
            assert_eq!(
                (RecordKey::parse(text), MarkerKey::parse(text)),
                (None, None)
            );
            assert_eq!(FailedKey::of_note(text), None);
        }
        let key = FailedKey::parse("failed/EcsDenied-5891b5b522d5.json").unwrap();
        let note = key.note();
        assert_eq!(note, "failed/not-removed/EcsDenied-5891b5b522d5.json");
        assert_eq!(FailedKey::parse(&note), None);
        assert_eq!(FailedKey::of_note(&note), Some(key));
        for other in [
            "failed/not-removed/given-up/EcsDenied-5891b5b522d5.json",
            "failed/not-removed/x.json",
            "not-removed/EcsDenied-5891b5b522d5.json",
        ] {
            assert_eq!(FailedKey::of_note(other), None, "{other}");
        }
        for other in [
            "failed/-5891b5b522d5.json",
            "failed/../x-5891b5b522d5.json",
            "failed/x.json",
            "failed/given-up/given-up/x-5891b5b522d5.json",
        ] {
            assert_eq!(FailedKey::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_digest_is_read_back_or_refused() {
        let digest = ConsoleDigest::of(b"hello\n");
        assert_eq!(
            ConsoleDigest::try_from(digest.to_string()).ok(),
            Some(digest)
        );
        for text in ["", "58", &"g".repeat(64), &"é".repeat(32), &"A".repeat(64)] {
            assert!(
                ConsoleDigest::try_from((*text).to_owned()).is_err(),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_key_reads_back_as_itself(key in keys()) {
            prop_assert_eq!(RecordKey::parse(&key.to_string()), Some(key));
        }

        #[test]
        fn different_records_have_different_keys(a in keys(), b in keys()) {
            prop_assert_eq!(a == b, a.to_string() == b.to_string());
        }

        #[test]
        fn a_key_is_safe_in_paths_and_addresses(key in keys()) {
            let text = key.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b)));
            prop_assert_eq!(text.matches('/').count(), 1);
            prop_assert!(!text.contains(".."));
        }

        #[test]
        fn any_object_key_parses_or_is_none(text in ".*") {
            if let Some(key) = RecordKey::parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
