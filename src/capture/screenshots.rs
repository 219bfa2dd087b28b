//! A picture of the screen, where the console says nothing or says that the machine failed: once at the event, and once
//! when following ends.

use std::time::Duration;

use tracing::warn;

use super::follow::Follow;
use super::{Archiver, CaptureError, HTTP_CAPTURE_TIME, KEEP_RESERVE, Plan, owner};
use crate::archive::catalog::Row;
use crate::archive::screenshot::ScreenshotRecord;
use crate::model::console::NoConsole;
use crate::retry::{Deadline, Retrying};
use crate::source::ecs::response::EcsError;
use crate::source::{ConsoleSource, Fleet};
use crate::store::Store;

/// Time for a picture while an event is followed. One that is not taken by then is tried again with the next poll.
const AT_EVENT_TIME: Duration = Duration::from_secs(5);

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Takes the picture at the event, unless there is one. What stands in its way now may be gone with the next poll: it
    /// must not stop what is followed, nor cost a console that is in memory only.
    pub(super) async fn take_at_event(&self, follow: &mut Follow, deadline: Deadline) {
        let is_taken = !follow.shots.kept.is_empty();
        if is_taken || !follow.calls_for_screenshot(self.screenshots.when, false) {
            return;
        }
        let deadline = deadline
            .with_reserve(KEEP_RESERVE)
            .or_earlier(Deadline::after(AT_EVENT_TIME));
        match self.take(follow, deadline).await {
            Err(CaptureError::Ecs(error)) => {
                let is_told = self.note_refusal(follow, &error);
                follow.shots.is_due = !is_told && error.is_transient();
            }
            Err(error) => {
                let instance_id = &follow.event.instance_id;
                warn!("no screenshot of {instance_id} for now: {error}");
                follow.shots.is_due = true;
            }
            Ok(()) => {}
        }
    }

    /// Takes the picture when following ends.
    ///
    /// # Errors
    /// Without a console and a picture, the event must come again if ECS may take one then. Not while a sender waits for an
    /// answer: a picture may take longer than that each time, and a queue alone brings such an event back with more time.
    pub(super) async fn take_at_end(
        &self,
        follow: &mut Follow,
        deadline: Deadline,
    ) -> Result<(), CaptureError> {
        let has_any = !follow.kept.is_empty() || !follow.shots.kept.is_empty();
        let may_come_again = self.follow_queue.is_some() || deadline.whole() > HTTP_CAPTURE_TIME;
        // A process that ends has no time for a second one.
        let is_in_a_hurry = has_any && self.ending.is_cancelled();
        if is_in_a_hurry || !follow.calls_for_screenshot(self.screenshots.when, true) {
            return Ok(());
        }
        match self.take(follow, deadline.with_reserve(KEEP_RESERVE)).await {
            Err(CaptureError::Ecs(error)) => {
                let is_told = self.note_refusal(follow, &error);
                let instance_id = &follow.event.instance_id;
                match error {
                    EcsError::NotAScreenshot(_) => warn!("no screenshot of {instance_id}: {error}"),
                    error if !is_told && error.is_transient() => {
                        if !has_any && may_come_again {
                            return Err(error.into());
                        }
                        warn!("no screenshot of {instance_id}: {error}");
                    }
                    _ => {}
                }
                Ok(())
            }
            // It is no better stored when the event comes again.
            Err(error) if has_any => {
                warn!("no screenshot of {}: {error}", follow.event.instance_id);
                Ok(())
            }
            taken => taken,
        }
    }

    /// Notes that ECS would refuse another one, too, and says why, if anything is wrong. Returns whether it is so.
    fn note_refusal(&self, follow: &mut Follow, error: &EcsError) -> bool {
        let instance_id = &follow.event.instance_id;
        match error {
            EcsError::NotAScreenshot(_) => return false,
            // It may run when following ends.
            EcsError::NoConsole {
                reason: NoConsole::NotRunning,
                ..
            } => return true,
            // It has no screen, or is gone.
            EcsError::NoConsole { .. } => {}
            error if error.lacks_permission() => {
                if self.memory.tells_no_permission() {
                    warn!(
                        "no screenshot of {instance_id}: the RAM policy must allow \
                         ecs:GetInstanceScreenshot on it; set SCREENSHOTS=never to do without. \
                         Everything else works. This process says it once"
                    );
                }
            }
            error if error.is_transient() => return false,
            error => warn!("no screenshot of {instance_id}: {error}"),
        }
        follow.shots.is_refused = true;
        true
    }

    async fn take(&self, follow: &mut Follow, deadline: Deadline) -> Result<(), CaptureError> {
        if !follow.shots.may_take(self.clock.now()) {
            return Ok(());
        }
        let event = &follow.event;
        let (region_id, instance_id) = (self.region_id(event)?, &event.instance_id);
        let source = self.room.limit(&self.source);
        let source = Retrying::new(&source, deadline);
        let wakes_up = self.screenshots.wakes_up;
        let taken = source.screenshot(owner(event), region_id, instance_id, wakes_up);
        let taken = taken.await?;
        if taken.names_another_than(instance_id) {
            warn!(%instance_id, "ECS answered for another instance ID; kept under the one asked for");
        }
        let now = self.clock.now();
        let absent = follow.absent.as_ref().filter(|_| follow.kept.is_empty());
        let no_console = absent.map(|absent| absent.reason);
        let record = ScreenshotRecord::new(event, region_id, taken, now, no_console);
        let key = record.key.to_string();
        // As of consoles.
        let remembers = self.follow_queue.is_some() && Plan::of(&event.cause).is_some();
        if !(remembers && self.memory.has_stored(&key, now)) {
            let store = Retrying::new(&self.store, deadline);
            store.put_if_absent(&key, &record.object).await?;
            let row = || Row::of_screenshot(event, region_id, &record, now);
            self.keep_row(row, deadline).await?;
            self.memory.note_stored(&key, now);
        }
        follow.shots.note(key, now);
        Ok(())
    }

    /// Addresses of the event's screenshots, oldest first.
    pub(super) fn screenshots_of(&self, follow: &Follow) -> Vec<String> {
        let kept = follow.shots.kept.iter();
        kept.map(|key| self.store.url(key)).collect()
    }
}
