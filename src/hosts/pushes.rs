//! What this process remembers of events that came over HTTP: which it follows, and which succeeded
//! in a push that failed in part. Another delivery of such an event is answered from here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::capture::room::Place;
use crate::lock::lock;
use crate::model::console::NoConsole;
use crate::model::event::InstanceEvent;
use crate::model::outcome::Outcome;

/// Most events whose success is remembered, at about 1 KiB each. Further ones replace the oldest.
const MAX_REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How long a success is remembered. EventBridge sends a failed push again within minutes.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What all deliveries of one event have in common, and no other event has: all that is read of it,
/// with an ID or a time. An instance does not enter a state twice in one moment.
///
/// The ID alone is not enough. Whoever sends another event with it, for example of another region,
/// must not have the answer to that one given to this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EventName(Arc<str>);

impl EventName {
    /// `None` for an event with neither an ID nor a time, such as one by hand: each delivery of it
    /// asks anew.
    pub(super) fn of(event: &InstanceEvent) -> Option<Self> {
        if event.event_id.is_none() && event.occurred_at.is_none() {
            return None;
        }
        Some(Self(serde_json::to_string(event).ok()?.into()))
    }
}

/// The memory of pushes. All copies of a dispatcher share it.
#[derive(Debug)]
pub struct Pushes {
    /// What the sender of each was answered.
    followed: Mutex<HashMap<EventName, Outcome>>,
    /// Those of pushes that failed in part, and when.
    succeeded: Mutex<LruCache<EventName, (Instant, Outcome)>>,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            followed: Mutex::default(),
            succeeded: Mutex::new(LruCache::new(MAX_REMEMBERED)),
        }
    }
}

/// Held while an event is followed after its answer.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) _event: Place,
    /// All events of a message share its text.
    pub(super) _text: Arc<Place>,
    pub(super) _name: Followed,
}

/// Until it is dropped, an event is one that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pushes: Arc<Pushes>,
    name: Option<EventName>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            lock(&self.pushes.followed).remove(name);
        }
    }
}

impl Pushes {
    /// What another delivery of an event is answered, without asking ECS: an event that is followed
    /// is `following`, and one that succeeded in a push that failed in part has its outcome.
    pub(super) fn answer(&self, name: &EventName) -> Option<Outcome> {
        if let Some(outcome) = lock(&self.followed).get(name) {
            return Some(outcome.clone());
        }
        let succeeded = lock(&self.succeeded);
        let (at, outcome) = succeeded.peek(name)?;
        (at.elapsed() < REMEMBERED).then(|| outcome.clone())
    }

    /// Makes an event one that is followed. `None` if another delivery of it is followed already.
    pub(super) fn follow(
        self: &Arc<Self>,
        name: Option<EventName>,
        answer: &Outcome,
    ) -> Option<Followed> {
        if let Some(name) = &name {
            match lock(&self.followed).entry(name.clone()) {
                Entry::Occupied(_) => return None,
                Entry::Vacant(place) => place.insert(answer.clone()),
            };
        }
        Some(Followed {
            pushes: self.clone(),
            name,
        })
    }

    /// Remembers the outcomes of a push that failed in part, if ECS would give no other soon. Its
    /// sender sends it again, and then the time is for the events that failed.
    pub(super) fn remember(&self, outcomes: impl IntoIterator<Item = (EventName, Outcome)>) {
        let now = Instant::now();
        let mut succeeded = lock(&self.succeeded);
        for (name, outcome) in outcomes
            .into_iter()
            .filter(|(_, outcome)| is_lasting(outcome))
        {
            succeeded.put(name, (now, outcome));
        }
    }
}

/// Whether another delivery of the event would have the same outcome. An instance that is not found
/// or not running may be so moments later. What is followed is in [`Pushes::followed`].
fn is_lasting(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stored(_) | Outcome::AlreadyStored(_) | Outcome::Ignored { .. } => true,
        Outcome::NoConsole { reason, .. } => *reason == NoConsole::NotSupported,
        Outcome::Following { .. }
        | Outcome::Swept { .. }
        | Outcome::Redriven { .. }
        | Outcome::Compacted(_)
        | Outcome::Examined(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(index: usize) -> EventName {
        EventName(index.to_string().into())
    }

    fn remember(pushes: &Pushes, indices: impl IntoIterator<Item = usize>) {
        let outcome = || Outcome::Ignored {
            reason: "not_a_trigger",
            message: String::new(),
        };
        pushes.remember(indices.into_iter().map(|index| (name(index), outcome())));
    }

    #[test]
    fn beyond_the_bound_the_oldest_success_is_forgotten() {
        let pushes = Pushes::default();
        let bound = MAX_REMEMBERED.get();
        remember(&pushes, 0..bound);
        remember(&pushes, [0, bound]);
        assert_eq!(lock(&pushes.succeeded).len(), bound);
        let forgotten: Vec<_> = (0..=bound)
            .filter(|index| pushes.answer(&name(*index)).is_none())
            .collect();
        assert_eq!(forgotten, [1], "0 succeeded again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_is_remembered_for_ten_minutes() {
        let pushes = Pushes::default();
        remember(&pushes, [0]);
        tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
        assert!(pushes.answer(&name(0)).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pushes.answer(&name(0)).is_none());
    }
}
