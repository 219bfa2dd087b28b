//! What a console says went wrong, in a few words.

use std::cmp::Reverse;

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

/// What is as bad as its severity says.
pub trait Severe {
    /// How bad it is.
    fn severity(&self) -> Severity;
}

impl Severe for Finding {
    fn severity(&self) -> Severity {
        self.severity
    }
}

impl<T: Severe> Severe for &T {
    fn severity(&self) -> Severity {
        T::severity(self)
    }
}

/// The worst of them; of those that are as bad, the first.
pub fn worst<T: Severe>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let worse = |worst: T, one: T| match one.severity() > worst.severity() {
        true => one,
        false => worst,
    };
    all.into_iter().reduce(worse)
}

/// Puts the worst first. Those that are as bad stay in their order.
pub fn worst_first<T: Severe>(all: &mut [T]) {
    all.sort_by_key(|one| Reverse(one.severity()));
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Severe for (Severity, u8) {
        fn severity(&self) -> Severity {
            self.0
        }
    }

    #[test]
    fn of_those_that_are_as_bad_the_first_is_the_worst() {
        use Severity::{Error, Fatal, Info};
        let mut all = [(Info, 1), (Fatal, 2), (Error, 3), (Fatal, 4)];
        assert_eq!(worst(&all), Some(&(Fatal, 2)));
        assert_eq!(worst(&all[..1]), Some(&(Info, 1)));
        assert_eq!(worst(&all[..0]), None);
        worst_first(&mut all);
        assert_eq!(all, [(Fatal, 2), (Fatal, 4), (Error, 3), (Info, 1)]);
    }
}
