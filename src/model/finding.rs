//! What a console says went wrong, in a few words.

use serde::{Deserialize, Serialize};

/// How bad a finding is. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is not as it should be, and the machine works.
    Warning,
    /// Something failed.
    Error,
    /// The machine cannot go on without a person, or did not.
    Fatal,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Fatal];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

/// A finding as the answer to an event says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// ID of the rule that found it.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, in a few words.
    pub title: String,
    /// What the same fault has in common on every machine.
    pub signature: String,
    /// How often the console says it.
    pub count: usize,
}
