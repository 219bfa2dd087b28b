//! A record as people and programs see it: the same words and names in every command.

use std::collections::BTreeMap;
use std::time::Duration;

use ecs_console_archiver::archive::reader::RecordEntry;
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::update_time::UpdatedAt;
use ecs_console_archiver::store::Store;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A capture this long after its event, or sooner, was taken at once. Events are on the way for
/// some seconds.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(60);
/// Nothing is followed for longer. A later capture was taken at once, too: the event came late.
const MAX_FOLLOW: SignedDuration = SignedDuration::from_hours(1);

/// How a console was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// At its event; ECS was not asked again.
    AtOnce,
    /// While ECS was asked again after its event.
    Following,
}

impl Taken {
    /// With this `FOLLOW_SECONDS`.
    pub fn within(follow_budget: Duration) -> Self {
        match follow_budget {
            Duration::ZERO => Self::AtOnce,
            _ => Self::Following,
        }
    }

    /// What the freshness of such a console means.
    pub fn meaning(self, freshness: Freshness) -> &'static str {
        match (freshness, self) {
            (Freshness::Fresh, _) => "complete",
            (Freshness::Stale, _) => "from before the event",
            (Freshness::Partial, Self::AtOnce) => "taken at once, not followed",
            (Freshness::Partial, Self::Following) => "a part, more may have come",
        }
    }
}

/// A record with its metadata, as far as those were read.
pub struct Described<'a> {
    pub listed: &'a RecordEntry,
    pub metadata: Option<&'a BTreeMap<String, String>>,
}

impl Described<'_> {
    fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata?.get(name).map(String::as_str)
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.metadata(name)?.parse().ok()
    }

    /// When the console was last updated. The text that ECS sent may name a zone.
    pub fn updated_at(&self) -> Option<UpdatedAt> {
        let seen_at = self.time("captured-at").unwrap_or(self.listed.stored_at);
        let reported = self.metadata("last-update-time");
        let reported = reported.and_then(|text| UpdatedAt::parse(text, seen_at));
        reported.or_else(|| self.listed.updated_at())
    }

    /// What led to the capture.
    pub fn cause(&self) -> Option<&str> {
        self.metadata("event-cause")
    }

    /// Length of the console, in bytes.
    pub fn console_bytes(&self) -> Option<u64> {
        self.metadata("console-bytes")?.parse().ok()
    }

    /// How much of its event it shows: what a verdict says in the end, else what was known when it
    /// was stored.
    pub fn freshness(&self) -> Option<Freshness> {
        let stored = self
            .metadata("freshness")
            .and_then(|word| word.parse().ok());
        self.listed.verdict.or(stored)
    }

    /// The same in words.
    pub fn freshness_in_words(&self) -> Option<&'static str> {
        self.freshness()
            .map(|freshness| self.taken().meaning(freshness))
    }

    fn taken(&self) -> Taken {
        let after = || {
            let captured_at = self.time("captured-at")?;
            Some(captured_at.duration_since(self.time("event-time")?))
        };
        let is_at_once = |after| after <= AT_ONCE || after > MAX_FOLLOW + AT_ONCE;
        if self.listed.verdict.is_none() && after().is_none_or(is_at_once) {
            Taken::AtOnce
        } else {
            Taken::Following
        }
    }

    /// With the names that the function's answers have, too.
    pub fn json(&self, store: &impl Store) -> Value {
        let key = &self.listed.key;
        let mut json = json!({
            "instance_id": key.instance_id,
            "name": key.name(),
            "key": key.to_string(),
            "url": store.url(&key.to_string()),
            "gzip_bytes": self.listed.gzip_bytes,
            "stored_at": self.listed.stored_at.to_string(),
            "updated_at": self.updated_at().map(|at| at.time.to_string()),
            "is_undecoded": key.is_undecoded,
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                json[name] = value;
            }
        };
        let is_certain = self.updated_at().map(|at| json!(at.is_certain));
        add("is_updated_at_certain", is_certain);
        add(
            "freshness",
            self.freshness().map(|freshness| json!(freshness)),
        );
        add(
            "console_bytes",
            self.console_bytes().map(|bytes| json!(bytes)),
        );
        for (name, metadata) in [
            ("last_update_time", "last-update-time"),
            ("captured_at", "captured-at"),
            ("event_cause", "event-cause"),
            ("event_id", "event-id"),
            ("event_time", "event-time"),
            ("region_id", "region-id"),
            ("account_id", "account-id"),
        ] {
            add(name, self.metadata(metadata).map(|text| json!(text)));
        }
        json
    }
}
