//! A console output, or why an instance has none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::InstanceId;

/// Longest text that is kept of an answer besides the console, in bytes. It goes into metadata,
/// logs and queue messages.
pub const MAX_WORD_BYTES: usize = 256;

/// The console output ECS has cached for an instance.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsoleOutput {
    /// What the guest wrote, as bytes. No encoding is guaranteed. May be empty.
    pub plain: Vec<u8>,
    /// Whether `plain` is the text of `ConsoleOutput` as it came, because it is not Base64.
    pub is_undecoded: bool,
    /// `LastUpdateTime` as received, at most [`MAX_WORD_BYTES`] of it. Empty if it was missing.
    pub last_update_time: String,
    /// ECS's ID of the request. Empty if it was missing.
    pub request_id: String,
    /// The instance that ECS says it answers for. The sample in the documents names another one
    /// than was asked for, so a difference only leads to a warning.
    pub reported_instance_id: Option<String>,
}

/// Logs must not show what a guest wrote.
impl fmt::Debug for ConsoleOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsoleOutput of {} bytes", self.plain.len())
    }
}

impl ConsoleOutput {
    /// Whether ECS says it answers for another instance than was asked for.
    pub fn names_another_than(&self, instance_id: &InstanceId) -> bool {
        self.reported_instance_id
            .as_deref()
            .is_some_and(|reported| reported != instance_id.as_str())
    }
}

/// Why an instance has no console output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoConsole {
    /// The instance is being created, starting, stopped or being released.
    NotRunning,
    /// ECS keeps no console for this type of instance: a retired type, or Windows.
    NotSupported,
    /// The instance does not exist, or does not exist any more.
    NotFound,
    /// ECS answered with an empty console.
    Empty,
}

impl NoConsole {
    const ALL: [Self; 4] = [
        Self::NotRunning,
        Self::NotSupported,
        Self::NotFound,
        Self::Empty,
    ];

    /// The word in keys and outcomes. It stays the same between versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::NotSupported => "not_supported",
            Self::NotFound => "not_found",
            Self::Empty => "empty",
        }
    }

    /// The reason as a sentence.
    pub fn message(self) -> &'static str {
        match self {
            Self::NotRunning => "the instance is not running now",
            Self::NotSupported => "ECS keeps no console output for this type of instance",
            Self::NotFound => "there is no such instance in this region",
            Self::Empty => "the console is empty: a guest writes to it with console=ttyS0",
        }
    }

    /// Whether a console may still appear, when the instance starts or the guest begins to write.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::NotRunning | Self::Empty)
    }
}

/// The text is not one of the words of [`NoConsole`].
#[derive(Debug, thiserror::Error)]
#[error("expected not_running, not_supported, not_found or empty")]
pub struct InvalidReason;

impl FromStr for NoConsole {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let mut all = Self::ALL.into_iter();
        all.find(|reason| reason.as_str() == text)
            .ok_or(InvalidReason)
    }
}
