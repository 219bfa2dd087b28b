//! Joins the catalog's rows when a schedule asks for it.

use std::time::Duration;

use crate::archive::catalog::compact::compact;
use crate::capture::CaptureError;
use crate::hosts::dispatch::Dispatcher;
use crate::model::outcome::Compacted;
use crate::retry::{Deadline, Retrying};
use crate::source::{ConsoleSource, Fleet};
use crate::store::Store;

/// Part of an invocation's time to end what has begun, and to answer.
const RESERVE: Duration = Duration::from_secs(10);

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Joins the rows of the days that are over. What there is no time for is left to the next run.
    ///
    /// # Errors
    /// [`CaptureError`] if the archive fails or refuses, or if there was no time for anything.
    pub(super) async fn compact_catalog(
        &self,
        deadline: Deadline,
    ) -> Result<Compacted, CaptureError> {
        let store = Retrying::new(&self.archiver.store, deadline);
        let work = deadline.earlier_by(RESERVE);
        let done = compact(&store, self.archiver.clock.now(), || self.may_begin(work)).await?;
        if done.is_cut_short && done.days == 0 {
            return Err(CaptureError::TimeOver(deadline.whole()));
        }
        Ok(done)
    }
}
