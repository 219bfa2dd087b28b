//! How a boot ended, and what one console shows of its boots.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a boot ended, by what it printed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was shut down, halted or restarted on purpose.
    Clean,
    /// The kernel panicked, or another one saved the memory of its crash.
    Panic,
    /// Memory ran out: the kernel panicked for that, or ended a program, and the console shows nothing decisive
    /// after it.
    OutOfMemory,
    /// It waits for a person: emergency or rescue mode, the shell of an initramfs, the passphrase of a disk, the
    /// prompt of a boot loader, firmware that found nothing to boot.
    Emergency,
    /// Another boot came, and nothing says why.
    Silence,
    /// It is the newest boot, and nothing says that it ended.
    Running,
}

impl Ending {
    /// All endings.
    pub const ALL: [Self; 6] = [
        Self::Clean,
        Self::Panic,
        Self::OutOfMemory,
        Self::Emergency,
        Self::Silence,
        Self::Running,
    ];

    /// The word for it, in tables, keys and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Panic => "panic",
            Self::OutOfMemory => "out_of_memory",
            Self::Emergency => "emergency",
            Self::Silence => "silence",
            Self::Running => "running",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is not an ending.
#[derive(Debug, thiserror::Error)]
#[error("expected clean, panic, out_of_memory, emergency, silence or running")]
pub struct InvalidEnding;

impl FromStr for Ending {
    type Err = InvalidEnding;

    fn from_str(text: &str) -> Result<Self, InvalidEnding> {
        let mut all = Self::ALL.into_iter();
        all.find(|ending| ending.as_str() == text)
            .ok_or(InvalidEnding)
    }
}

/// What one console shows of its boots by itself, without the captures before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// Boots of which it has at least a part. At least one.
    pub boots: usize,
    /// How the last one ended.
    pub ending: Ending,
    /// Whether the last one came as far as its login prompt.
    pub has_login: bool,
    /// The release of the last one's kernel, if its first line is there.
    pub kernel: Option<String>,
}
