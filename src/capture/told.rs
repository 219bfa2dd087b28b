//! What the log and metrics are told of a finding, when its console is stored.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::event::InstanceEvent;
use crate::model::finding::Finding;
use crate::model::ids::RegionId;

/// What is told of a finding. A delivery that finds the console stored already tells nothing.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The event.
    pub event: &'a InstanceEvent,
    /// The instance's region.
    pub region_id: &'a RegionId,
    /// Address of the record.
    pub url: &'a str,
    /// What it shows.
    pub finding: &'a Finding,
    /// When the console was captured.
    pub at: Timestamp,
}

/// Who is told, and how.
#[derive(Clone)]
pub struct Tell(Arc<dyn Fn(&Told<'_>) + Send + Sync>);

impl Tell {
    /// Calls this for each finding.
    pub fn new(tell: impl Fn(&Told<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells of a finding.
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
