//! Room in memory for what is followed, and for the answers of ECS that are being read. Its bounds hold
//! over all senders together, because nobody limits how many of them there are.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use crate::credentials::Owner;
use crate::lock::lock;
use crate::model::console::ConsoleOutput;
use crate::model::ids::{InstanceId, RegionId};
use crate::model::screenshot::Screenshot;
use crate::source::ConsoleSource;
use crate::source::ecs::response::EcsError;

/// Most events that are followed after their answers.
pub const MAX_EVENTS: usize = 1000;
/// Most bytes of their messages and of consoles that are not stored yet. ECS keeps 64 KiB or so of a
/// console, so this is one of each event.
pub const MAX_BYTES: usize = 64 << 20;

/// Most answers of ECS that are read at once. Events that are followed mostly wait, and any number of
/// them may be due at the same moment.
pub const MAX_ANSWERS: usize = 64;
/// Most of their pictures. They have turns of their own: ECS takes longer for a picture, and consoles must not wait for
/// pictures. A turn lasts until the picture is stored, because it is in memory until then.
pub(super) const MAX_SCREENSHOTS: usize = 8;

/// The room of one process. Clones share it.
#[derive(Debug, Clone)]
pub struct Room {
    used: Arc<Mutex<Used>>,
    answers: Arc<Semaphore>,
    screenshots: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            used: Arc::default(),
            answers: Arc::new(Semaphore::new(MAX_ANSWERS)),
            screenshots: Arc::new(Semaphore::new(MAX_SCREENSHOTS)),
        }
    }
}

#[derive(Debug, Default)]
struct Used {
    events: usize,
    bytes: usize,
    /// The log says that there is no room. It says so again only after half of it was free.
    is_told: bool,
}

/// A part of the room. Dropping it frees that part.
#[derive(Debug)]
pub struct Place {
    room: Room,
    events: usize,
    bytes: usize,
}

impl Room {
    /// A place for one event. `None` if there is none, which the log tells.
    pub fn for_event(&self) -> Option<Place> {
        self.take(1, 0)
    }

    /// A place for a text or a console. `None` if there is none, which the log tells.
    pub fn for_bytes(&self, bytes: usize) -> Option<Place> {
        self.take(0, bytes)
    }

    fn take(&self, events: usize, bytes: usize) -> Option<Place> {
        let mut used = self.used();
        if events > MAX_EVENTS - used.events || bytes > MAX_BYTES - used.bytes {
            if let Some(refusal) = used.refusal() {
                warn!("{refusal}");
            }
            return None;
        }
        used.events += events;
        used.bytes += bytes;
        Some(Place {
            room: self.clone(),
            events,
            bytes,
        })
    }

    /// The same source, which reads only so many answers at once.
    pub(super) fn limit<'a, C>(&'a self, source: &'a C) -> Limited<'a, C> {
        let turn = Mutex::default();
        Limited {
            source,
            room: self,
            turn,
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        lock(&self.used)
    }
}

/// See [`Room::limit`].
pub(super) struct Limited<'a, C> {
    source: &'a C,
    room: &'a Room,
    /// Of a picture that came. It lasts as long as this.
    turn: Mutex<Option<SemaphorePermit<'a>>>,
}

impl<C: ConsoleSource + Sync> ConsoleSource for Limited<'_, C> {
    async fn console_output(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        let _turn = self.room.answers.acquire().await; // Nobody closes it, so this is a turn.
        let answer = self.source.console_output(owner, region_id, instance_id);
        answer.await
    }

    async fn screenshot(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
        wakes_up: bool,
    ) -> Result<Screenshot, EcsError> {
        let turn = self.room.screenshots.acquire().await; // As above.
        let answer = self
            .source
            .screenshot(owner, region_id, instance_id, wakes_up);
        let answer = answer.await?;
        *lock(&self.turn) = turn.ok();
        Ok(answer)
    }
}

impl Used {
    /// What to log when there is no room, the first time.
    fn refusal(&mut self) -> Option<String> {
        let is_told = std::mem::replace(&mut self.is_told, true);
        (!is_told).then(|| {
            format!(
                "no room to follow more: {} of {MAX_EVENTS} events and {} of {} MiB of memory are taken; further events get status 503 and must come again, further consoles are stored sooner. Set FOLLOW_QUEUE_URL, or run more receivers",
                self.events,
                self.bytes >> 20,
                MAX_BYTES >> 20
            )
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = self.room.used();
        used.events -= self.events;
        used.bytes -= self.bytes;
        used.is_told &= used.events > MAX_EVENTS / 2 || used.bytes > MAX_BYTES / 2;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::screenshot::Image;
    use crate::source::Fake;

    #[tokio::test]
    async fn consoles_do_not_wait_for_pictures() {
        let room = Room::default();
        let hanging = Fake {
            console: async || {
                Ok(ConsoleOutput {
                    plain: b"here".to_vec(),
                    last_update_time: String::new(),
                    request_id: String::new(),
                    reported_instance_id: None,
                    is_undecoded: false,
                })
            },
            picture: std::future::pending,
        };
        let source = room.limit(&hanging);
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        let instance_id = InstanceId::parse("i-1").unwrap();
        let shots = (0..2 * MAX_ANSWERS)
            .map(|_| source.screenshot(Owner::Own, &region_id, &instance_id, false));
        let shots = futures_util::future::join_all(shots);
        let console = source.console_output(Owner::Own, &region_id, &instance_id);
        tokio::select! {
            biased;
            _ = shots => panic!("no picture comes"),
            console = console => assert_eq!(console.unwrap().plain, b"here"),
        }
    }

    #[tokio::test]
    async fn only_so_many_pictures_are_in_memory_until_they_are_stored() {
        let room = Room::default();
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        let instance_id = InstanceId::parse("i-1").unwrap();
        let instant = Fake {
            console: async || unreachable!("nobody asks for a console here"),
            picture: async || {
                let bytes = include_bytes!("../../tests/fixtures/screenshots/stop.jpg").to_vec();
                Ok(Screenshot {
                    image: Image::of(&bytes).unwrap(),
                    bytes,
                    request_id: String::new(),
                    reported_instance_id: None,
                })
            },
        };
        let mut sources: Vec<_> = (0..=MAX_SCREENSHOTS)
            .map(|_| room.limit(&instant))
            .collect();
        let last = sources.pop().unwrap();
        for source in &sources {
            let taken = source.screenshot(Owner::Own, &region_id, &instance_id, false);
            taken.await.unwrap();
        }
        let mut taken = pin!(last.screenshot(Owner::Own, &region_id, &instance_id, false));
        assert!(taken.as_mut().now_or_never().is_none(), "all are in memory");
        sources.pop();
        assert!(taken.now_or_never().unwrap().is_ok(), "one is stored");
    }

    #[test]
    fn what_is_taken_is_bounded_and_comes_back() {
        let room = Room::default();
        let console = room.for_bytes(MAX_BYTES - 1).unwrap();
        assert!(room.for_bytes(2).is_none());
        assert!(room.for_bytes(usize::MAX).is_none());
        let byte = room.for_bytes(1).unwrap();
        drop(console);
        assert!(room.clone().for_bytes(MAX_BYTES).is_none());
        drop(byte);
        assert!(room.for_bytes(MAX_BYTES).is_some());
        let events: Vec<_> = (0..MAX_EVENTS).map_while(|_| room.for_event()).collect();
        assert_eq!(events.len(), MAX_EVENTS);
        assert!(room.for_event().is_none());
        drop(events);
        assert!(room.for_event().is_some());
    }

    #[test]
    fn that_there_is_no_room_is_told_once_with_what_is_taken_and_what_helps() {
        let room = Room::default();
        let text = room.for_bytes(3 << 20).unwrap();
        let mut events: Vec<_> = (0..MAX_EVENTS).map_while(|_| room.for_event()).collect();
        let told = room.used().refusal().unwrap();
        for part in ["1000 of 1000 events", "3 of 64 MiB", "FOLLOW_QUEUE_URL"] {
            assert!(told.contains(part), "{told}");
        }
        // A place that comes and goes is not worth another line.
        events.pop();
        events.extend(room.for_event());
        assert_eq!(room.used().refusal(), None);
        events.truncate(MAX_EVENTS / 2);
        assert!(room.used().refusal().is_some());
        // Memory that is full is told, too, and half of it must be free before it is told again.
        drop(events);
        let console = room.for_bytes(MAX_BYTES / 2).unwrap();
        assert!(room.for_bytes(MAX_BYTES / 2).is_none());
        drop(text);
        assert!(room.used().refusal().is_some());
        let _more = room.for_bytes(1);
        drop(room.for_bytes(1));
        assert_eq!(room.used().refusal(), None);
        drop(console);
        assert!(room.used().refusal().is_some());
    }
}
