//! The screenshots of one event: whether another one is to be taken. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::ending::{BootFacts, Ending};
use crate::model::finding::Severity;
use crate::model::screenshot::SCREENSHOTS_APART;
use crate::reading::findings::Finding;

/// What is known of an event's screenshots. A message has it beside the [`Follow`](super::Follow).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shots {
    /// Keys of those that are stored, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// Whether this event created one of them, and did not only find it stored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// When ECS was last asked for one. One that failed may have been one for ECS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// What the latest console shows, if it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// The one at the event is still to be taken: ECS did not answer in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_due: bool,
    /// ECS has refused one, and would again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_refused: bool,
}

/// What a console shows of its last boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// It failed, and a person must see to it.
    pub has_failed: bool,
    /// It came to its login prompt, or was shut down.
    pub is_over: bool,
}

impl Judged {
    /// By how the last boot ended. A fatal finding is of the last boot where the console shows no other.
    pub fn of(facts: &BootFacts, found: &[Finding<'_>]) -> Self {
        let is_fatal = |finding: &Finding<'_>| finding.severity == Severity::Fatal;
        let has_ended_badly = matches!(
            facts.ending,
            Ending::Panic | Ending::OutOfMemory | Ending::Emergency
        );
        Self {
            has_failed: has_ended_badly || facts.boots == 1 && found.iter().any(is_fatal),
            is_over: facts.has_login || facts.ending == Ending::Clean,
        }
    }
}

impl Shots {
    /// Whether there is none, and nothing that a message must say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Time until ECS takes another one. Zero if that is over.
    pub fn wait(&self, now: Timestamp) -> Duration {
        let since = |last: Timestamp| now.duration_since(last).unsigned_abs();
        let wait = |last| SCREENSHOTS_APART.saturating_sub(since(last));
        self.last_at.map_or(Duration::ZERO, wait)
    }

    /// A screenshot is stored. `created`: by this event.
    pub fn note(&mut self, key: String, created: bool) {
        self.created |= created;
        self.is_due = false;
        if !self.kept.contains(&key) {
            self.kept.push(key);
        }
    }
}
