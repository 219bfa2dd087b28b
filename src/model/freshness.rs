//! How much of its event a console shows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of its event a console shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// All of it: ECS updated the console after the event, and the console has settled.
    Fresh,
    /// Nothing of it: ECS did not update the console after the event.
    Stale,
    /// A part of it: ECS updated the console after the event, and more output may have followed.
    Partial,
}

impl Freshness {
    const ALL: [Self; 3] = [Self::Fresh, Self::Stale, Self::Partial];

    /// A number for it, where only numbers are kept.
    #[cfg(feature = "cli")]
    pub fn number(self) -> u64 {
        self as u64
    }

    /// The one with this number.
    #[cfg(feature = "cli")]
    pub fn of_number(number: u64) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|freshness| freshness.number() == number)
    }

    /// The word in metadata, keys and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not a freshness.
#[derive(Debug, thiserror::Error)]
#[error("expected fresh, stale or partial")]
pub struct InvalidFreshness;

impl FromStr for Freshness {
    type Err = InvalidFreshness;

    fn from_str(text: &str) -> Result<Self, InvalidFreshness> {
        let mut all = Self::ALL.into_iter();
        all.find(|freshness| freshness.as_str() == text)
            .ok_or(InvalidFreshness)
    }
}
