//! What the log and metrics are told of a console: what it shows, when it is stored, and whether its boot came to its
//! login prompt, when it has settled.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::event::InstanceEvent;
use crate::model::finding::Finding;
use crate::model::ids::RegionId;

/// What is told of a console. A delivery that finds it stored already tells nothing.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The event.
    pub event: &'a InstanceEvent,
    /// The instance's region.
    pub region_id: &'a RegionId,
    /// Address of the record.
    pub url: &'a str,
    /// What is said of it.
    pub fact: Fact<'a>,
    /// When the console was captured.
    pub at: Timestamp,
}

/// One thing that is told.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// It shows this.
    Finding(&'a Finding),
    /// The boot that the event began has printed all it had, and this is whether its login prompt is among that.
    Login {
        /// Whether it is.
        is_reached: bool,
    },
}

/// Who is told, and how.
#[derive(Clone)]
pub struct Tell(Arc<dyn Fn(&Told<'_>) + Send + Sync>);

impl Tell {
    /// Calls this for each fact.
    pub fn new(tell: impl Fn(&Told<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells of a fact.
    pub(super) fn of(&self, told: &Told<'_>) {
        (self.0)(told);
    }
}

/// Tells nobody.
impl Default for Tell {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}
