//! Which events of an instance lead to a capture.

use std::fmt;

use crate::model::event::Cause;

/// In these states ECS can return the console, and may overwrite it afterwards. A stopped or
/// released instance has no console (`IncorrectInstanceStatus`).
const DEFAULT_STATES: [&str; 3] = ["Starting", "Running", "Stopping"];

/// System events after which the console of the previous boot is gone, by their names in
/// EventBridge: reboots, and interruptions of spot instances, which are released five minutes
/// later. The rules in `infra` forward these.
pub const DEFAULT_SYSTEM_EVENTS: [&str; 6] = [
    "InstanceFailure.Reboot",
    "PreemptibleInstanceInterruption",
    "SystemFailure.Reboot",
    "SystemMaintenance.Reboot",
    "SystemMaintenance.RebootAndIsolateErrorDisk",
    "SystemMaintenance.RebootAndReInitErrorDisk",
];

/// CloudMonitor's page on subscriptions of 2025-12 uses `InstanceRestart:StartedDueToInstanceError`
/// for a reboot after a failure.
const CLOUDMONITOR_RESTART: &str = "InstanceRestart";

/// The instance states in the documents, as `TRIGGER_STATES` accepts them.
const STATES: [&str; 7] = [
    "Created", "Pending", "Starting", "Running", "Stopping", "Stopped", "Deleted",
];

/// Most edits between a misspelled word and the state that is suggested.
const MAX_EDITS: usize = 2;

/// The configured states and system events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggers(Vec<String>);

/// A word in `TRIGGER_STATES` is neither a state nor the name of a system event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownTrigger {
    word: String,
}

impl std::error::Error for UnknownTrigger {}

impl fmt::Display for UnknownTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word } = self;
        if let Some(state) = nearest_state(word) {
            return write!(
                f,
                "{word:?} is not an instance state: did you mean {state}?"
            );
        }
        write!(
            f,
            "{word:?} is neither an instance state ({states}) nor a system event such as \
             SystemFailure.Reboot, with or without a status (SystemFailure.Reboot:Executing)",
            states = STATES.join(", ")
        )
    }
}

impl Default for Triggers {
    /// The states and system events around which a console would be lost. System events count with
    /// any status: an additional capture costs a request, and the same console is stored once.
    fn default() -> Self {
        let events = DEFAULT_SYSTEM_EVENTS.into_iter();
        let words = DEFAULT_STATES.into_iter().chain(events);
        let words = words.chain([CLOUDMONITOR_RESTART]);
        Self(words.map(str::to_owned).collect())
    }
}

impl Triggers {
    /// Parses a comma-separated list of states and system events. Alibaba Cloud adds events over
    /// time, so any name in their form is accepted, with or without `ecs:Instance:` before it.
    ///
    /// # Errors
    /// [`UnknownTrigger`] for a word that cannot match, and for an empty list.
    pub fn parse(list: &str) -> Result<Self, UnknownTrigger> {
        let word = |word: &str| {
            let word = word.trim();
            let name = word.strip_prefix("ecs:").unwrap_or(word);
            let name = name.strip_prefix("Instance:").unwrap_or(name);
            if STATES.contains(&name) || is_system_event(name) {
                return Ok(name.to_owned());
            }
            Err(UnknownTrigger {
                word: word.to_owned(),
            })
        };
        list.split(',')
            .map(word)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an event of this cause leads to a capture. Manual captures and sweeps always do.
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

/// Whether a text has the form of a system event's name: `SystemFailure.Reboot`,
/// `PreemptibleInstanceInterruption` or `CloudAssistant:FirstHeartbeat`. A single capitalized word,
/// such as `Restarted`, is a misspelled state.
fn is_system_event(name: &str) -> bool {
    let (event, status) = match name.split_once(':') {
        Some((event, status)) => (event, Some(status)),
        None => (name, None),
    };
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let is_hump = |pair: &&[u8]| pair[0].is_ascii_uppercase() && pair[1].is_ascii_lowercase();
    let humps = event.as_bytes().windows(2).filter(is_hump).count();
    event.split('.').all(is_word)
        && humps > 1
        && status.is_none_or(is_word)
        && event != "StateChange" // The states themselves are in the list.
}

/// The state that a misspelled word probably means, in any case.
fn nearest_state(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let edits = |state: &str| edits(&word, &state.to_ascii_lowercase());
    let (distance, state) = STATES.iter().map(|state| (edits(state), *state)).min()?;
    (distance <= MAX_EDITS).then_some(state)
}

/// The Levenshtein distance: the number of letters to insert, remove or replace.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
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
            system_event("PreemptibleInstanceInterruption", None),
            system_event("InstanceRestart", Some("StartedDueToInstanceError")),
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
    fn any_event_type_can_be_named() {
        for (list, event_type, status) in [
            (
                "PreemptibleInstanceInterruption",
                "PreemptibleInstanceInterruption",
                None,
            ),
            (
                "SystemMaintenance.ReInitErrorDisk",
                "SystemMaintenance.ReInitErrorDisk",
                Some("Executing"),
            ),
            (
                "Security.TpmAlert:Executing",
                "Security.TpmAlert",
                Some("Executing"),
            ),
            (
                "CloudAssistant:FirstHeartbeat",
                "CloudAssistant",
                Some("FirstHeartbeat"),
            ),
            ("A.New.Event", "A.New.Event", None),
            (
                "ecs:Instance:SystemFailure.Stop",
                "SystemFailure.Stop",
                None,
            ),
            (
                "Instance:LiveMigrationAcrossDDH",
                "LiveMigrationAcrossDDH",
                None,
            ),
        ] {
            let triggers = Triggers::parse(list).unwrap();
            assert!(
                triggers.include(&system_event(event_type, status)),
                "{list}"
            );
        }
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
            "SystemFailure.Reboot:executed",
            "systemfailure.reboot",
            "SystemFailure..Reboot",
            "SystemFailure.Reboot:Executing:Now",
            "Instance:StateChange",
            "System Failure",
            "ÄÖ",
        ] {
            assert!(Triggers::parse(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn a_misspelt_state_is_answered_with_the_right_one() {
        for (word, state) in [
            ("running", "did you mean Running?"),
            ("Runing", "did you mean Running?"),
            ("STOPPED", "did you mean Stopped?"),
            ("Stoped", "did you mean Stopped?"),
            ("Restarted", "neither an instance state (Created, Pending"),
        ] {
            let message = Triggers::parse(word).unwrap_err().to_string();
            assert!(message.contains(state), "{message}");
        }
    }
}
