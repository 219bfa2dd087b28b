//! How a boot ended, as a mark: each has a shape and a colour of its own.

use ecs_console_archiver::model::ending::Ending;
use maud::{Markup, html};

use crate::boots::ending_in_words;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Ended(Ending),
    /// A console of which it is not known.
    Unknown,
    /// ECS had no console.
    NoConsole,
    Screenshot,
}

impl Mark {
    pub fn of(ending: Option<Ending>) -> Self {
        ending.map_or(Self::Unknown, Self::Ended)
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Ended(ending) => ending_in_words(ending),
            Self::Unknown => "not known",
            Self::NoConsole => "no console",
            Self::Screenshot => "screenshot",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ended(ending) => ending.as_str(),
            Self::Unknown => "unknown",
            Self::NoConsole => "none",
            Self::Screenshot => "screenshot",
        }
    }

    /// The mark alone. What it says must stand beside it.
    pub fn shape(self) -> Markup {
        html! {
            svg class={ "mark m-" (self.name()) } viewBox="0 0 16 16" aria-hidden="true" focusable="false" {
                @match self {
                    Self::Ended(Ending::Clean) => { circle cx="8" cy="8" r="5" {} }
                    Self::Ended(Ending::Running) => { path d="M4 2.5 13.5 8 4 13.5z" {} }
                    Self::Ended(Ending::Panic) => { path d="M3 3 13 13M13 3 3 13" {} }
                    Self::Ended(Ending::OutOfMemory) => { path d="M8 1.5 14.5 8 8 14.5 1.5 8z" {} }
                    Self::Ended(Ending::Emergency) => { path d="M8 2 15 14H1z" {} }
                    Self::Ended(Ending::Silence) => { rect x="3" y="3" width="10" height="10" {} }
                    Self::Unknown => { circle cx="8" cy="8" r="2.5" {} }
                    Self::NoConsole => { path d="M3 8H13" {} }
                    Self::Screenshot => { path d="M2 3H14V11H2zM6 13H10" {} }
                }
            }
        }
    }

    /// With what it says.
    pub fn with_words(self) -> Markup {
        html! { span.ended { (self.shape()) " " (self.words()) } }
    }
}
