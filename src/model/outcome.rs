//! The final result of an event: the answer to its sender, and a line in the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::Examination;
use super::console::NoConsole;
use super::finding::Finding;
use super::freshness::Freshness;
use super::ids::InstanceId;

/// The result of an event that is done. The event need not be delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The archive now has a console that it did not have before.
    Stored(Stored),
    /// The archive had this console already: the event was delivered again, or the guest wrote
    /// nothing new.
    AlreadyStored(Stored),
    /// What ECS had is stored, and ECS is asked again later: by this process after the answer, or
    /// by an invocation through the follow queue.
    Following {
        /// The instance.
        instance_id: InstanceId,
        /// Time until ECS is asked again, in seconds.
        follow_in_seconds: u64,
        /// Addresses of the records stored so far. Empty if ECS had no console yet.
        urls: Vec<String>,
        /// What these records show.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        findings: Vec<Finding>,
        /// Addresses of the screenshots stored so far.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        screenshots: Vec<String>,
    },
    /// The instance has no console output to keep.
    NoConsole {
        /// The instance.
        instance_id: InstanceId,
        /// Why there is none. Its word stays the same between versions.
        reason: NoConsole,
        /// ECS's error code, if there was one.
        #[serde(skip_serializing_if = "String::is_empty")]
        code: String,
        /// The reason as a sentence.
        message: &'static str,
        /// Address of the marker that says so. `None` if this event stored a screenshot in its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        marker_url: Option<String>,
        /// Addresses of the screenshots of this event, oldest first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        screenshots: Vec<String>,
    },
    /// A sweep captured a fleet, or a part of it.
    Swept {
        /// What the sweep did so far, including earlier invocations.
        #[serde(flatten)]
        done: Tally,
        /// The event that does the rest. It was sent to the follow queue if there is one. Otherwise
        /// the sender must send it.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<serde_json::Value>,
    },
    /// A redrive served failed events again, or a part of them.
    Redriven {
        /// What the redrive did so far, including earlier invocations.
        #[serde(flatten)]
        done: RedriveTally,
        /// The event that does the rest, which was sent to the follow queue.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<serde_json::Value>,
    },
    /// The catalog's rows of days that are over were joined.
    Compacted(Compacted),
    /// A deployed function checked itself.
    Examined(Box<Examination>),
    /// The event asks for no capture.
    Ignored {
        /// Why, as a word that stays the same between versions.
        reason: &'static str,
        /// The reason as a sentence.
        message: String,
    },
}

impl Outcome {
    /// Whether the sender has nothing left to do: no instance of a sweep failed, and the rest of a
    /// sweep is in the follow queue (`is_sent_on`).
    pub fn leaves_nothing(&self, is_sent_on: bool) -> bool {
        match self {
            Self::Swept { done, resume } => done.failed == 0 && (is_sent_on || resume.is_none()),
            Self::Redriven { done, resume } => {
                done.failed == 0 && done.given_up == 0 && (done.left == 0 || resume.is_some())
            }
            Self::Compacted(done) => !done.is_cut_short,
            _ => true,
        }
    }
}

/// What a sweep did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Regions that were listed completely.
    pub regions: u64,
    /// Instances that ECS was asked for.
    pub instances: u64,
    /// Consoles that were added to the archive.
    pub stored: u64,
    /// Consoles that the archive had already.
    pub already_stored: u64,
    /// Instances without a console.
    pub no_console: u64,
    /// Instances and regions that failed.
    pub failed: u64,
    /// Consoles that were added and show a fatal finding.
    #[serde(default)]
    pub with_fatal: u64,
    /// Consoles that were added and show an error, and nothing worse.
    #[serde(default)]
    pub with_error: u64,
    /// Instances of which a screenshot was taken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub with_screenshot: u64,
    /// Messages of the first failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    /// All that it counts.
    pub fn counts(&self) -> [u64; 9] {
        let Self {
            regions,
            instances,
            stored,
            already_stored,
            no_console,
            failed,
            with_fatal,
            with_error,
            with_screenshot,
            failures: _,
        } = self;
        let counts = [
            regions,
            instances,
            stored,
            already_stored,
            no_console,
            failed,
            with_fatal,
            with_error,
            with_screenshot,
        ];
        counts.map(|count| *count)
    }
}

/// What a redrive did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedriveTally {
    /// Events of which everything succeeded. They were removed.
    pub served: u64,
    /// Events that failed again. A later redrive tries them.
    pub failed: u64,
    /// Events that are not tried any more: they can never succeed, or were tried often enough. They
    /// stay for a person.
    pub given_up: u64,
    /// Events that were not tried, as far as their number is known.
    pub left: u64,
}

/// What a run did that joined rows of the catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Days whose rows were joined.
    pub days: u64,
    /// Rows in them.
    pub rows: u64,
    /// Objects that were removed, because a day's object has all that they said.
    pub removed: u64,
    /// Objects that may not be removed. They cost a part of a request when the catalog is read.
    pub left: u64,
    /// Whether the time ran out. The next run does the rest.
    pub is_cut_short: bool,
}

/// How an event failed, as a word that stays the same between versions. Alarms and the keys of
/// failed events use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The event cannot be parsed. Another delivery would fail in the same way.
    InvalidEvent,
    /// The event names no region and none is configured.
    NoRegion,
    /// ECS throttled the requests.
    EcsThrottled,
    /// ECS did not answer, or its answer was unreadable.
    EcsUnavailable,
    /// ECS refused access.
    EcsDenied,
    /// ECS rejected the request.
    EcsRejected,
    /// ECS does not find the instance. The credentials may be of another account.
    OtherAccount,
    /// The archive did not answer.
    ArchiveUnavailable,
    /// The archive refused access.
    ArchiveDenied,
    /// The archive rejected the request.
    ArchiveRejected,
    /// An object of the catalog is damaged.
    CatalogDamaged,
    /// The follow queue did not answer.
    QueueUnavailable,
    /// The follow queue refused the message.
    QueueRefused,
    /// The source of the credentials did not answer.
    CredentialsUnavailable,
    /// There are no credentials, or they were refused.
    CredentialsRefused,
    /// The time was too short: a sweep made no progress in it, or it was over before an event was
    /// served.
    TimeoutTooShort,
    /// This process follows as many events as it may.
    TooManyRequests,
    /// A fault of this program or its machine.
    Internal,
}

impl ErrorType {
    /// The word in logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidEvent => "InvalidEvent",
            Self::NoRegion => "NoRegion",
            Self::EcsThrottled => "EcsThrottled",
            Self::EcsUnavailable => "EcsUnavailable",
            Self::EcsDenied => "EcsDenied",
            Self::EcsRejected => "EcsRejected",
            Self::OtherAccount => "OtherAccount",
            Self::ArchiveUnavailable => "ArchiveUnavailable",
            Self::ArchiveDenied => "ArchiveDenied",
            Self::ArchiveRejected => "ArchiveRejected",
            Self::CatalogDamaged => "CatalogDamaged",
            Self::QueueUnavailable => "QueueUnavailable",
            Self::QueueRefused => "QueueRefused",
            Self::CredentialsUnavailable => "CredentialsUnavailable",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::TimeoutTooShort => "TimeoutTooShort",
            Self::TooManyRequests => "TooManyRequests",
            Self::Internal => "Internal",
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The records of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The record with the latest console.
    #[serde(flatten)]
    pub record: StoredRecord,
    /// How much of the event it shows. `None` for a cause without a moment, such as a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// Addresses of earlier records of this event. There are some if the console's ring buffer
    /// rolled, or if the instance started again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// What the records of this event show: each signature once, the worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Addresses of the screenshots of this event, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub screenshots: Vec<String>,
}

/// A record in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// The instance.
    pub instance_id: InstanceId,
    /// Key of the record, below the archive's prefix.
    pub key: String,
    /// Address of the record.
    pub url: String,
    /// `LastUpdateTime` as ECS reported it. Empty if it was missing.
    pub last_update_time: String,
    /// Length of the console, in bytes.
    pub console_bytes: usize,
    /// Length of the stored gzip file, in bytes.
    pub gzip_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_of_a_sweep_that_failed_in_part_or_was_not_sent_on() {
        let swept = |failed, resume: Option<&str>| Outcome::Swept {
            done: Tally {
                failed,
                ..Tally::default()
            },
            resume: resume.map(serde_json::Value::from),
        };
        for (outcome, is_sent_on, leaves_nothing) in [
            (swept(0, None), false, true),
            (swept(0, None), true, true),
            (swept(0, Some("the rest")), false, false),
            (swept(0, Some("the rest")), true, true),
            (swept(1, None), false, false),
            (swept(1, Some("the rest")), true, false),
        ] {
            let left = outcome.leaves_nothing(is_sent_on);
            assert_eq!(left, leaves_nothing, "{outcome:?} {is_sent_on}");
        }
    }

    #[test]
    fn the_answer_begins_with_the_outcome() {
        let reason = NoConsole::NotSupported;
        let outcome = Outcome::NoConsole {
            instance_id: InstanceId::parse("i-a1").unwrap(),
            reason,
            code: "NotSupported".into(),
            message: reason.message(),
            marker_url: Some("file:///a".into()),
            screenshots: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            r#"{"outcome":"no_console","instance_id":"i-a1","reason":"not_supported","code":"NotSupported","message":"ECS keeps no console output for this type of instance","marker_url":"file:///a"}"#
        );
    }
}
