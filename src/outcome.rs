//! What became of an event: the answer to its sender and the line in the log.

use serde::Serialize;

use crate::ecs::response::NoConsole;
use crate::ids::InstanceId;

/// An event that is done with. It need not be delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A console that was not in the archive is now.
    Stored(StoredRecord),
    /// The archive had this very console: the event came again, or nothing was printed since.
    AlreadyStored(StoredRecord),
    /// The instance has no console output to keep.
    NoConsole {
        /// The instance.
        instance_id: InstanceId,
        /// Why, as a word that stays the same between versions.
        reason: &'static str,
        /// ECS's error code, where it gave one.
        #[serde(skip_serializing_if = "str::is_empty")]
        code: String,
        /// The same for a person.
        message: &'static str,
    },
    /// The event asks for nothing.
    Ignored {
        /// Why, as a word that stays the same between versions.
        reason: &'static str,
        /// The same for a person.
        message: String,
    },
}

/// Where a console output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

impl Outcome {
    /// An instance's answer that holds no console.
    pub fn no_console(instance_id: InstanceId, reason: NoConsole, code: String) -> Self {
        let (reason, message) = match reason {
            NoConsole::NotRunning => ("not_running", "the instance is not running now"),
            NoConsole::NotSupported => (
                "not_supported",
                "ECS keeps no console output for this type of instance",
            ),
            NoConsole::NotFound => ("not_found", "there is no such instance in this region"),
            NoConsole::Empty => (
                "empty",
                "the console is empty: a guest writes to it with console=ttyS0",
            ),
        };
        Self::NoConsole {
            instance_id,
            reason,
            code,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_begins_with_the_outcome() {
        let id = InstanceId::parse("i-a1").unwrap();
        let outcome = Outcome::no_console(id, NoConsole::NotSupported, "NotSupported".into());
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            r#"{"outcome":"no_console","instance_id":"i-a1","reason":"not_supported","code":"NotSupported","message":"ECS keeps no console output for this type of instance"}"#
        );
    }
}
