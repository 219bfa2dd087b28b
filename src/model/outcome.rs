//! What became of an event: the answer to its sender and the line in the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::console::NoConsole;
use super::freshness::Freshness;
use super::ids::InstanceId;

/// An event that is done with. It need not be delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A console that was not in the archive is now.
    Stored(Stored),
    /// The archive had this very console: the event came again, or nothing was printed since.
    AlreadyStored(Stored),
    /// What ECS had is stored, and the console is asked for again later: after the answer, or
    /// through the follow queue.
    Following {
        /// The instance.
        instance_id: InstanceId,
        /// When, in seconds from now.
        follow_in_seconds: u64,
        /// Where what ECS had is kept; none where it had nothing yet.
        urls: Vec<String>,
    },
    /// The instance has no console output to keep.
    NoConsole {
        /// The instance.
        instance_id: InstanceId,
        /// Why, as a word that stays the same between versions.
        reason: NoConsole,
        /// ECS's error code, where it gave one.
        #[serde(skip_serializing_if = "String::is_empty")]
        code: String,
        /// The same for a person.
        message: &'static str,
        /// Where that is kept.
        marker_url: String,
    },
    /// A fleet was swept, or a part of it.
    Swept {
        /// What was done, with what was done before it.
        #[serde(flatten)]
        done: Tally,
        /// The event that does what is left: sent to the follow queue where there is one, else
        /// for the sender to send.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<serde_json::Value>,
    },
    /// The event asks for nothing.
    Ignored {
        /// Why, as a word that stays the same between versions.
        reason: &'static str,
        /// The same for a person.
        message: String,
    },
}

impl Outcome {
    /// Whether nothing is left for its sender to do: no instance of a sweep failed, and what a
    /// sweep did not get to is in the follow queue, where there is one (`is_sent_on`).
    pub fn leaves_nothing(&self, is_sent_on: bool) -> bool {
        match self {
            Self::Swept { done, resume } => done.failed == 0 && (is_sent_on || resume.is_none()),
            _ => true,
        }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Regions that were listed to their end.
    pub regions: u64,
    /// Instances that were asked for.
    pub instances: u64,
    /// Consoles that were not in the archive and now are.
    pub stored: u64,
    /// Consoles the archive had.
    pub already_stored: u64,
    /// Instances without a console.
    pub no_console: u64,
    /// Instances and regions that failed.
    pub failed: u64,
    /// The first of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// How an event failed, as a word that stays the same between versions: alarms and the names of
/// kept events are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The event cannot be understood. Delivering it again changes nothing.
    InvalidEvent,
    /// The event names no region and none is configured.
    NoRegion,
    /// ECS throttled.
    EcsThrottled,
    /// ECS did not answer, or not in a form that can be read.
    EcsUnavailable,
    /// ECS refused access.
    EcsDenied,
    /// ECS refused the request.
    EcsRejected,
    /// ECS does not find the instance, which may be of another account than the credentials.
    OtherAccount,
    /// The archive did not answer.
    ArchiveUnavailable,
    /// The archive refused access.
    ArchiveDenied,
    /// The archive refused the request.
    ArchiveRejected,
    /// The follow queue did not answer.
    QueueUnavailable,
    /// The follow queue refused the message.
    QueueRefused,
    /// The source of the credentials did not answer.
    CredentialsUnavailable,
    /// There are no credentials, or they were refused.
    CredentialsRefused,
    /// A sweep made no progress in the time of its invocation.
    TimeoutTooShort,
    /// A fault of this program or its machine.
    Internal,
}

impl ErrorType {
    /// Its word.
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
            Self::QueueUnavailable => "QueueUnavailable",
            Self::QueueRefused => "QueueRefused",
            Self::CredentialsUnavailable => "CredentialsUnavailable",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::TimeoutTooShort => "TimeoutTooShort",
            Self::Internal => "Internal",
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is kept of an event: the console that came last, and those before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The console that came last.
    #[serde(flatten)]
    pub record: StoredRecord,
    /// What it shows of the event; `None` where it was captured for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// Addresses of the consoles that were kept before it, as the ring rolled or the instance
    /// started anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
}

/// Where a console output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// The instance.
    pub instance_id: InstanceId,
    /// Below the archive's prefix.
    pub key: String,
    /// The same with the archive's address.
    pub url: String,
    /// As ECS reported it; empty where it was missing.
    pub last_update_time: String,
    /// Length before compression.
    pub console_bytes: usize,
    /// Length as stored.
    pub gzip_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_begins_with_the_outcome() {
        let reason = NoConsole::NotSupported;
        let outcome = Outcome::NoConsole {
            instance_id: InstanceId::parse("i-a1").unwrap(),
            reason,
            code: "NotSupported".into(),
            message: reason.message(),
            marker_url: "file:///a".into(),
        };
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            r#"{"outcome":"no_console","instance_id":"i-a1","reason":"not_supported","code":"NotSupported","message":"ECS keeps no console output for this type of instance","marker_url":"file:///a"}"#
        );
    }
}
