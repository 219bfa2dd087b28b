//! Which of an instance's events lead to a capture.

use crate::event::Cause;

/// States at which ECS can answer and after which the cached output may be overwritten. A stopped
/// or released instance has none to give (`IncorrectInstanceStatus`).
const DEFAULT_STATES: [&str; 3] = ["Starting", "Running", "Stopping"];

/// The states and system events the documents name, as `TRIGGER_STATES` takes them.
const STATES: [&str; 7] = [
    "Created", "Pending", "Starting", "Running", "Stopping", "Stopped", "Deleted",
];
const SYSTEM_EVENTS: [&str; 12] = [
    "InstanceFailure.Reboot",
    "SystemFailure.Reboot",
    "SystemMaintenance.Reboot",
    "SystemMaintenance.RebootAndIsolateErrorDisk",
    "SystemMaintenance.RebootAndReInitErrorDisk",
    "SystemMaintenance.IsolateErrorDisk",
    "SystemMaintenance.Redeploy",
    "SystemMaintenance.Stop",
    "SystemFailure.Redeploy",
    "SystemFailure.Stop",
    "SystemFailure.Delete",
    "AutoReactivateCompleted",
];

/// The configured list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggers(Vec<String>);

/// A word in `TRIGGER_STATES` that names no state and no system event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{word:?} is neither an instance state ({states}) nor a system event such as \
     SystemFailure.Reboot, with or without a status (SystemFailure.Reboot:Executing)",
    states = STATES.join(", ")
)]
pub struct UnknownTrigger {
    word: String,
}

impl Default for Triggers {
    /// The states at which bytes would otherwise be lost, and the reboot system events at every
    /// status: capturing once too often costs a request, and the same console is stored once.
    fn default() -> Self {
        let reboots = SYSTEM_EVENTS
            .into_iter()
            .filter(|event| event.contains(".Reboot"));
        Self(
            DEFAULT_STATES
                .into_iter()
                .chain(reboots)
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl Triggers {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// [`UnknownTrigger`] for a word that could never match, and for an empty list.
    pub fn parse(list: &str) -> Result<Self, UnknownTrigger> {
        let word = |word: &str| {
            let word = word.trim();
            let (event, status) = match word.split_once(':') {
                Some((event, status)) => (event, Some(status)),
                None => (word, None),
            };
            let known = SYSTEM_EVENTS.contains(&event) && status != Some("")
                || status.is_none() && STATES.contains(&event);
            if known {
                Ok(word.to_owned())
            } else {
                Err(UnknownTrigger {
                    word: word.to_owned(),
                })
            }
        };
        list.split(',')
            .map(word)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an event of this cause leads to a capture. What was asked for always does.
    pub fn include(&self, cause: &Cause) -> bool {
        let listed = |word: &str| self.0.iter().any(|listed| listed == word);
        match cause {
            Cause::Manual | Cause::Sweep => true,
            Cause::StateChange(state) => listed(state),
            Cause::SystemEvent { event_type, .. } => {
                listed(event_type) || listed(&cause.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(state: &str) -> Cause {
        Cause::StateChange(state.into())
    }

    fn system_event(event_type: &str, status: Option<&str>) -> Cause {
        Cause::SystemEvent {
            event_type: event_type.into(),
            status: status.map(Into::into),
        }
    }

    #[test]
    fn the_default_is_where_bytes_would_be_lost() {
        let triggers = Triggers::default();
        for included in [
            state("Starting"),
            state("Running"),
            state("Stopping"),
            Cause::Manual,
            system_event("SystemMaintenance.Reboot", Some("Scheduled")),
            system_event("InstanceFailure.Reboot", None),
            system_event(
                "SystemMaintenance.RebootAndReInitErrorDisk",
                Some("Executing"),
            ),
        ] {
            assert!(triggers.include(&included), "{included}");
        }
        for excluded in [
            state("Stopped"),
            state("Deleted"),
            state("Created"),
            state("Hibernating"),
            system_event("PerformanceModeChange", None),
            system_event("SystemFailure.Delete", None),
        ] {
            assert!(!triggers.include(&excluded), "{excluded}");
        }
    }

    #[test]
    fn a_list_replaces_the_default_and_may_name_a_status() {
        let triggers = Triggers::parse("Stopped, SystemFailure.Redeploy:Executed").unwrap();
        assert!(triggers.include(&state("Stopped")));
        assert!(!triggers.include(&state("Running")));
        assert!(triggers.include(&system_event("SystemFailure.Redeploy", Some("Executed"))));
        assert!(!triggers.include(&system_event("SystemFailure.Redeploy", Some("Executing"))));
    }

    #[test]
    fn words_that_could_never_match_are_refused() {
        for list in [
            "",
            "Running,",
            "running",
            "Restarted",
            "Running:Executed",
            "SystemFailure.Reboot:",
        ] {
            assert!(Triggers::parse(list).is_err(), "{list:?}");
        }
    }
}
