//! What happened to an instance, and why its console is captured.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, InstanceId, RegionId};

/// Longest text taken over from an event into outcomes, logs and metadata, in characters.
pub const MAX_TEXT_CHARS: usize = 128;

/// An event of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEvent {
    /// The instance it happened to.
    pub instance_id: InstanceId,
    /// The instance's region, if the event names it.
    pub region_id: Option<RegionId>,
    /// The account that owns the instance, if the event names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// What happened.
    pub cause: Cause,
    /// The sender's ID of the event, at most [`MAX_TEXT_CHARS`] long. It is the same at each
    /// delivery.
    pub event_id: Option<String>,
    /// When it happened, if the event gives a readable time.
    pub occurred_at: Option<Timestamp>,
}

impl InstanceEvent {
    /// What is known where nobody but this program says that something happened.
    pub fn new(instance_id: InstanceId, cause: Cause) -> Self {
        Self {
            instance_id,
            region_id: None,
            account_id: None,
            cause,
            event_id: None,
            occurred_at: None,
        }
    }
}

/// How an event came to this program, which says what it may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In an HTTP request. Whoever sends it may report events and ask for sweeps, and nothing else.
    Http,
    /// In another invocation, in a message of a queue, or in a file.
    Invocation,
    /// It failed and was kept by a version that did not keep its origin.
    Unknown,
}

/// What caused the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The instance entered this state, such as `Starting`, `Running`, `Stopping` or `Stopped`.
    StateChange(String),
    /// A system event such as `SystemFailure.Reboot`, with its status such as `Executing`.
    SystemEvent {
        /// Type of the system event, without the leading `Instance:`.
        event_type: String,
        /// Status of the system event, if it has one.
        status: Option<String>,
    },
    /// A person or a program asked for the capture.
    Manual,
    /// A sweep reached the instance.
    Sweep,
}

/// `Stopping`, `SystemFailure.Reboot:Executing`, `manual` or `sweep`. `TRIGGER_STATES` takes words
/// like the first two.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateChange(state) => f.write_str(state),
            Self::SystemEvent {
                event_type,
                status: Some(status),
            } => {
                write!(f, "{event_type}:{status}")
            }
            Self::SystemEvent {
                event_type,
                status: None,
            } => f.write_str(event_type),
            Self::Manual => f.write_str("manual"),
            Self::Sweep => f.write_str("sweep"),
        }
    }
}
