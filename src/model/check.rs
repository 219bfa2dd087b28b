//! The checks of a set-up: what was checked, and what was found. `doctor` makes them on a person's
//! machine, and a deployed function of itself.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::ids::{InstanceId, RegionId};

/// Names of the checks that both make. They stay the same between versions.
pub mod name {
    /// The console of an instance can be read.
    pub const ECS_CONSOLE: &str = "ecs: console";
    /// Pictures of screens can be taken.
    pub const ECS_SCREENSHOT: &str = "ecs: screenshot";
    /// Instances can be listed.
    pub const ECS_INSTANCES: &str = "ecs: instances";
    /// What is asked of ECS.
    pub const OF_ECS: [&str; 3] = [ECS_CONSOLE, ECS_SCREENSHOT, ECS_INSTANCES];
    /// Objects can be stored.
    pub const WRITE: &str = "archive: write";
    /// Objects are never replaced.
    pub const CREATE_ONLY: &str = "archive: create only";
    /// Messages can be sent to a later invocation.
    pub const FOLLOW_QUEUE: &str = "follow queue";
    /// People are told of findings.
    pub const NOTICES: &str = "notices";
}

/// The result of a check, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything works.
    Ok,
    /// Not tried, because of another problem. Another check reports that problem.
    Skipped,
    /// The essential part works, and something else does not.
    Warning,
    /// Consoles would be lost.
    Failed,
}

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked. The text stays the same between versions.
    pub name: Cow<'static, str>,
    /// The result.
    pub verdict: Verdict,
    /// What was found. It may quote a service.
    pub found: String,
    /// The type of the error in `found`, where a function reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<Cow<'static, str>>,
    /// What to do. `None` if there is nothing to do.
    #[serde(default)]
    pub advice: Option<String>,
}

impl Check {
    /// A check with this result.
    pub fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            name: Cow::Borrowed(name),
            verdict,
            found: found.into(),
            error_type: None,
            advice: None,
        }
    }

    /// Everything works.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found)
    }

    /// It was not tried. `found` says why.
    pub fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Skipped, found)
    }

    /// The same, and not worse than this.
    pub fn at_most(self, worst: Verdict) -> Self {
        let verdict = self.verdict.min(worst);
        Self { verdict, ..self }
    }

    /// The same, with what to do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same, with the type of the error.
    pub fn of_type(mut self, error_type: &'static str) -> Self {
        self.error_type = Some(Cow::Borrowed(error_type));
        self
    }
}

/// What a sender asks a deployed function to check.
///
/// Members that it does not know are ignored, because a later version of the command line may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// Region in which ECS is asked, where the function has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
    /// Instance whose console is requested. Without it, an ID that does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// Whether a test notice is sent to everybody who is told of findings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub send_test_notice: bool,
}

/// What a deployed function says about itself. It has no secret, and of settings only the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Version of the program that runs there.
    pub version: Cow<'static, str>,
    /// Names of the settings that are set.
    pub settings: Vec<Cow<'static, str>>,
    /// The checks that it made.
    pub checks: Vec<Check>,
}
