//! What happened to an instance, and why a console is captured.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, InstanceId, RegionId};

/// Longest text taken over from an event into outcomes, logs and metadata, in characters.
pub const MAX_TEXT_CHARS: usize = 128;

/// Something happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEvent {
    /// The instance it happened to.
    pub instance_id: InstanceId,
    /// The instance's region, where the event names it.
    pub region_id: Option<RegionId>,
    /// The account that owns the instance, where the event names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<AccountId>,
    /// What happened.
    pub cause: Cause,
    /// The sender's ID of the event, equal at each delivery of it; at most [`MAX_TEXT_CHARS`].
    pub event_id: Option<String>,
    /// When it happened, where the event says it in a form that is understood.
    pub occurred_at: Option<Timestamp>,
}

/// What made the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The instance entered this state: `Starting`, `Running`, `Stopping`, `Stopped` and so on.
    StateChange(String),
    /// A system event such as `SystemFailure.Reboot`, with its status such as `Executing`.
    SystemEvent {
        /// Type without the `Instance:` before it.
        event_type: String,
        /// Status, where the event says one.
        status: Option<String>,
    },
    /// A person or a program asked for it.
    Manual,
    /// It was the instance's turn in a sweep over a fleet.
    Sweep,
}

/// `Stopping`, `SystemFailure.Reboot:Executing`, `manual` or `sweep`: the first two are the words `TRIGGER_STATES` takes.
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
