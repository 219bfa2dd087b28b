//! What this process remembers of HTTP pushes: which events of a failed push succeeded, and which
//! events it follows after their answers. Everything is bounded, because senders are strangers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::model::event::InstanceEvent;
use crate::model::outcome::Outcome;

/// Upper limit of events that are followed after their answers, over all pushes.
const MAX_FOLLOWED: usize = 1000;
/// Upper limit of the texts that these events hold, in KiB.
const MAX_FOLLOWED_KIB: usize = 16 << 10;
/// Upper limit of events whose outcome is remembered.
const MAX_REMEMBERED: usize = 10_000;
/// How long an outcome is remembered. EventBridge sends a failed push again within minutes.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Names an event. It is the same at each delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventName(String);

impl EventName {
    /// `None` for an event without an ID, because each delivery of it may be another event.
    pub(super) fn of(event: &InstanceEvent) -> Option<Self> {
        let event_id = event.event_id.as_deref()?;
        let InstanceEvent {
            instance_id,
            cause,
            occurred_at,
            ..
        } = event;
        Some(Self(format!(
            "{instance_id} {cause} {occurred_at:?} {event_id}"
        )))
    }
}

/// The memory of pushes. All copies of a dispatcher share it.
#[derive(Debug)]
pub struct Pushes {
    done: Mutex<HashMap<EventName, (Instant, Outcome)>>,
    followed: Mutex<HashSet<EventName>>,
    places: Arc<Semaphore>,
    kib: Arc<Semaphore>,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            done: Mutex::default(),
            followed: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_FOLLOWED)),
            kib: Arc::new(Semaphore::new(MAX_FOLLOWED_KIB)),
        }
    }
}

/// An event's place among those that are followed after their answers. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    pushes: Arc<Pushes>,
    name: Option<EventName>,
    _permit: OwnedSemaphorePermit,
    _text: Arc<TextRoom>,
}

/// Room for the text of one message. Its events share the text, and so its room.
#[derive(Debug)]
pub(super) struct TextRoom(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            lock(&self.pushes.followed).remove(name);
        }
    }
}

impl Pushes {
    /// Remembers the outcomes of a push that failed in part. Its sender sends it again, and then the
    /// time is for the events that failed.
    pub(super) fn remember(&self, succeeded: Vec<(EventName, Outcome)>) {
        let now = Instant::now();
        let mut done = lock(&self.done);
        done.retain(|_, (at, _)| now.duration_since(*at) < REMEMBERED);
        for (name, outcome) in succeeded {
            if done.len() < MAX_REMEMBERED {
                done.insert(name, (now, outcome));
            }
        }
    }

    /// The outcome of an event that succeeded in a push that failed in part.
    pub(super) fn remembered(&self, name: &EventName) -> Option<Outcome> {
        let done = lock(&self.done);
        let (at, outcome) = done.get(name)?;
        (at.elapsed() < REMEMBERED).then(|| outcome.clone())
    }

    /// Room for the text of a message while its events are followed. `None` if there is none.
    pub(super) fn text_room(&self, text: &str) -> Option<Arc<TextRoom>> {
        let kib = u32::try_from(text.len().div_ceil(1024)).ok()?;
        let permit = self.kib.clone().try_acquire_many_owned(kib).ok()?;
        Some(Arc::new(TextRoom(permit)))
    }

    /// A place for an event to be followed after its answer. `None` if there is no room, or if the
    /// same event is followed already.
    pub(super) fn place(
        self: &Arc<Self>,
        event: &InstanceEvent,
        text: Arc<TextRoom>,
    ) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let name = EventName::of(event);
        if let Some(name) = &name
            && !lock(&self.followed).insert(name.clone())
        {
            return None;
        }
        Some(Place {
            pushes: self.clone(),
            name,
            _permit: permit,
            _text: text,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves a value that is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
