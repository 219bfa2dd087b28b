//! What a record's metadata say of the record, and what of that cannot be so. Nobody needs its console for that.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{UNDECODED, metadata_text};
use crate::archive::key::RecordKey;
use crate::model::event::Cause;
use crate::model::freshness::Freshness;
use crate::model::update_time::{UpdateTime, UpdatedAt};

/// Metadata with the time of capture.
pub const CAPTURED_AT: &str = "captured-at";
/// Metadata with `LastUpdateTime` as ECS reported it.
pub const UPDATED_AT: &str = "last-update-time";

/// By how much clocks of machines, of ECS and of the store differ at most.
pub const CLOCKS: SignedDuration = SignedDuration::from_hours(24);

/// 2018-01-01. The oldest documents of `GetInstanceConsoleOutput` are of 2018, so nobody captured a console before.
const FIRST_CONSOLES: Timestamp = Timestamp::constant(1_514_764_800, 0);

/// What metadata say that no record with this key says of itself, whatever its bytes are, and whenever it was stored.
/// `None` if all of it may be so.
pub fn contradiction(key: &RecordKey, metadata: &BTreeMap<String, String>) -> Option<String> {
    let text = |name: &str| metadata.get(name).map(|value| metadata_text(value));
    let told = |name: &str, why: &str| {
        let said = text(name).unwrap_or_default();
        format!("its metadata says {name} {said:?}, which {why}")
    };
    let is_no_time = |name: &&str| text(name).is_some_and(|time| !is_time(&time));
    if let Some(name) = [CAPTURED_AT, "event-time"].into_iter().find(is_no_time) {
        return Some(told(name, "is not a time"));
    }
    if text("freshness").is_some_and(|word| word.parse::<Freshness>().is_err()) {
        return Some(told("freshness", "is not one"));
    }
    if let (Some(word), Some(cause)) = (text("freshness"), text("event-cause")) {
        let has_none = [Cause::Manual, Cause::Sweep].map(|cause| cause.to_string());
        if has_none.contains(&cause) {
            return Some(format!(
                "its metadata says freshness {word:?}, and a capture of cause {cause} has none"
            ));
        }
    }
    // Both are times of services, but for the zone of the second, which nobody knows.
    let is_much_later = |captured_at: Timestamp| {
        let updated_at = key.last_update_time?;
        let updated_at = UpdatedAt::of(updated_at, captured_at)?.time;
        Some(earlier(updated_at, CLOCKS) > captured_at)
    };
    let captured_at: Option<Timestamp> = text(CAPTURED_AT).and_then(|time| time.parse().ok());
    if captured_at.and_then(is_much_later) == Some(true) {
        return Some(told(CAPTURED_AT, "is long before the time in its key"));
    }
    // A record without a time in its key has nothing else to compare with: a copy is stored at any time later.
    if captured_at.is_some_and(|at| at < FIRST_CONSOLES) {
        return Some(told(CAPTURED_AT, "is before any console was captured"));
    }
    let is_other = |updated: String| UpdateTime::parse(&updated).ok() != key.last_update_time;
    if text(UPDATED_AT).is_some_and(is_other) {
        return Some(told(UPDATED_AT, "is not that of its key"));
    }
    let encoding = text("console-encoding");
    let is_undecoded = encoding.as_deref() == Some(UNDECODED);
    (is_undecoded != key.is_undecoded).then(|| told("console-encoding", "is not that of its key"))
}

/// That an object says that it was captured long after it was stored. A store has the same clock for years.
pub fn captured_after_storing(captured_at: Timestamp, stored_at: Timestamp) -> Option<String> {
    let told = || {
        format!("its metadata says {CAPTURED_AT} {captured_at}, and it was stored at {stored_at}")
    };
    (earlier(captured_at, CLOCKS) > stored_at).then(told)
}

fn is_time(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok()
}

/// So much before this time.
pub fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}
