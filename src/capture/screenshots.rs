//! A picture of the screen, where the console says nothing or says that the machine failed: once at the event, and once
//! when following ends.

use std::time::Duration;

use tracing::warn;

use super::follow::Follow;
use super::{Archiver, CaptureError, HTTP_ANSWER_TIME, KEEP_RESERVE, Plan, owner};
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
    /// Whether an event is to have its picture now, while it is followed: there is none, and ECS would take one.
    pub(super) fn asks_at_event(&self, follow: &Follow) -> bool {
        let shots = &follow.shots;
        let may_take = !shots.is_refused && shots.wait(self.clock.now()).is_zero();
        let is_wanted = || follow.calls_for_screenshot(self.screenshots.when, false);
        shots.kept.is_empty() && may_take && !self.ending.is_cancelled() && is_wanted()
    }

    /// Whether an event is to have a picture when following ends. A process that ends has no time for one.
    pub(super) fn asks_at_end(&self, follow: &Follow) -> bool {
        let shots = &follow.shots;
        // One that failed is tried again as soon as ECS takes another one.
        let has_just_one = !shots.kept.is_empty() && !shots.wait(self.clock.now()).is_zero();
        let may_take = !shots.is_refused && !has_just_one && !self.ending.is_cancelled();
        may_take && follow.calls_for_screenshot(self.screenshots.when, true)
    }

    /// Takes the picture at the event. What stands in its way now may be gone with the next poll: it must not stop what is
    /// followed.
    pub(super) async fn take_at_event(&self, follow: &mut Follow, deadline: Deadline) {
        let by = screenshot_by(deadline).or_earlier(Deadline::after(AT_EVENT_TIME));
        match self.take_unless_ending(follow, by).await {
            Err(CaptureError::Ecs(error)) => {
                let is_told = self.note_refusal(follow, &error);
                let may_come = error.is_transient() || matches!(error, EcsError::NotAScreenshot(_));
                follow.shots.is_due = !is_told && may_come;
            }
            Err(error) => {
                let instance_id = &follow.event.instance_id;
                warn!("no screenshot of {instance_id} for now: {error}");
            }
            Ok(()) => {}
        }
    }

    /// Takes the picture when following ends.
    ///
    /// # Errors
    /// Without a console, a picture and a marker, the event must come again if ECS may take one then. Not while a sender
    /// waits for an answer: a picture may take longer than that each time, and a queue alone brings such an event back with
    /// more time.
    pub(super) async fn take_at_end(
        &self,
        follow: &mut Follow,
        deadline: Deadline,
    ) -> Result<(), CaptureError> {
        let has_any = !follow.kept.is_empty() || !follow.shots.kept.is_empty() || follow.has_marker;
        let may_come_again = self.follow_queue.is_some() || !is_answered_first(deadline);
        let taken = self.take_unless_ending(follow, screenshot_by(deadline));
        let Err(error) = taken.await else {
            return Ok(());
        };
        let is_told = match &error {
            CaptureError::Ecs(error) => self.note_refusal(follow, error),
            _ => false,
        };
        // What the archive does not store now, it may store as a marker.
        let is_of_ecs = matches!(error, CaptureError::Ecs(_) | CaptureError::TimeOver(_));
        let must_come_again = is_of_ecs && error.is_transient() && !has_any && may_come_again;
        if !is_told && must_come_again {
            return Err(error);
        }
        if !is_told {
            warn!("no screenshot of {}: {error}", follow.event.instance_id);
        }
        Ok(())
    }

    /// Takes a picture. A process that ends does not wait for it: then there is none.
    async fn take_unless_ending(
        &self,
        follow: &mut Follow,
        by: Deadline,
    ) -> Result<(), CaptureError> {
        let take = self.take(follow, by);
        let taken = self.ending.run_until_cancelled(take).await;
        taken.unwrap_or(Ok(()))
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
        let wait = follow.shots.wait(self.clock.now());
        if wait >= deadline.remaining() {
            return Err(CaptureError::TimeOver(deadline.whole()));
        }
        tokio::time::sleep(wait).await;
        let event = &follow.event;
        let (region_id, instance_id) = (self.region_id(event)?, &event.instance_id);
        // Its turn lasts until the picture is stored.
        let limited = self.room.limit(&self.source);
        let source = Retrying::new(&limited, deadline);
        let wakes_up = self.screenshots.wakes_up;
        let taken = source.screenshot(owner(event), region_id, instance_id, wakes_up);
        let taken = taken.await;
        let now = self.clock.now();
        follow.shots.last_at = Some(now);
        let taken = taken?;
        if taken.names_another_than(instance_id) {
            warn!(%instance_id, "ECS answered for another instance ID; kept under the one asked for");
        }
        let absent = follow.absent.as_ref().filter(|_| follow.kept.is_empty());
        let no_console = absent.map(|absent| absent.reason);
        let record = ScreenshotRecord::new(event, region_id, taken, now, no_console);
        let key = record.key.to_string();
        if follow.shots.kept.contains(&key) {
            return Ok(());
        }
        // As of consoles.
        let remembers = self.follow_queue.is_some() && Plan::of(&event.cause).is_some();
        let is_known = remembers && self.memory.has_stored(&key, now);
        let created = match is_known {
            true => false,
            false => {
                let store = Retrying::new(&self.store, deadline);
                store.creates(&key, &record.object).await?
            }
        };
        self.memory.note_stored(&key, now);
        follow.shots.note(key.clone(), created);
        let row = || Row::of_screenshot(&follow.event, region_id, &record, now);
        if let Err(error) = self.keep_row(row, deadline).await {
            warn!(
                "{} is stored, but it is not in the catalog: {error}. console-archive reindex adds it",
                self.store.url(&key)
            );
        }
        Ok(())
    }

    /// Addresses of the event's screenshots, oldest first.
    pub(super) fn screenshots_of(&self, follow: &Follow) -> Vec<String> {
        let kept = follow.shots.kept.iter();
        kept.map(|key| self.store.url(key)).collect()
    }
}

/// Whether a sender waits for the answer over HTTP.
pub(super) fn is_answered_first(deadline: Deadline) -> bool {
    deadline.whole() <= HTTP_ANSWER_TIME
}

/// When a picture must be stored: then there is time left for a marker.
fn screenshot_by(deadline: Deadline) -> Deadline {
    deadline.earlier_by(KEEP_RESERVE.min(deadline.remaining() / 2))
}
