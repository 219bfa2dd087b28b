//! Events that are followed while somebody sets the clock of the machine.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ecs_console_archiver::capture::follow::FollowMessage;
use ecs_console_archiver::clock::WallClock;
use ecs_console_archiver::hosts::dispatch::{Dispatcher, Payload};
use ecs_console_archiver::retry::Deadline;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fakes::{FakeFleet, MemoryStore, SentMessages, dispatcher, instance};
use crate::support::starting;

/// Far more than any event is followed for.
const DAY: i64 = 86_400;

struct World {
    fleet: FakeFleet,
    store: MemoryStore,
    dispatcher: Dispatcher<FakeFleet, MemoryStore>,
    /// How far the clock was set forward, in seconds.
    ahead_seconds: &'static AtomicI64,
}

fn world() -> World {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().grows_by = 1;
    let mut dispatcher = dispatcher(&fleet, &store);
    let ahead_seconds: &AtomicI64 = Box::leak(Box::default());
    dispatcher.archiver.clock = WallClock::Set {
        time: "2024-03-22T02:04:45Z".parse().unwrap(),
        instant: Instant::now(),
        ahead_seconds,
    };
    dispatcher.archiver.follow_budget = Duration::from_secs(300);
    World {
        fleet,
        store,
        dispatcher,
        ahead_seconds,
    }
}

impl World {
    async fn serve(&self, event: &str) -> Value {
        let deadline = Deadline::after(Duration::from_secs(900));
        let payload = Payload::Invocation(event.as_bytes());
        let reply = self.dispatcher.dispatch(payload, deadline).await;
        reply.to_json().unwrap()
    }

    fn polls(&self) -> usize {
        self.fleet.state().asked[&instance(0)]
    }
}

fn running() -> String {
    starting(instance(0).as_str()).replace("Starting", "Running")
}

/// Polls and seconds of an event in whose following the clock is set after 40 s.
async fn followed_while(ahead_seconds: i64) -> (usize, u64) {
    let world = world();
    let (event, began) = (running(), Instant::now());
    let set = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        world.ahead_seconds.store(ahead_seconds, Ordering::Relaxed);
    };
    let (outcome, ()) = tokio::join!(world.serve(&event), set);
    assert_eq!(outcome["outcome"], "stored", "{outcome}");
    // The first console at once, and the last, which contains those between.
    assert_eq!(world.store.records(&instance(0)), 2);
    (world.polls(), began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn an_event_is_followed_as_long_however_the_clock_is_set() {
    let expected = followed_while(0).await;
    assert_eq!(expected.1, 300);
    for ahead_seconds in [-DAY, -3600, -30, 30, 3600, DAY] {
        let seen = followed_while(ahead_seconds).await;
        assert_eq!(seen, expected, "{ahead_seconds}");
    }
}

/// A machine whose clock is wrong would wait for a moment that is far away by its clock.
#[tokio::test(start_paused = true)]
async fn a_message_of_a_machine_whose_clock_is_far_ahead_is_served_at_once() {
    let mut world = world();
    let queue = std::sync::Arc::new(SentMessages::default());
    world.dispatcher.archiver.follow_queue = Some(queue.clone());
    world.serve(&running()).await;
    let (message, _) = queue.0.lock().unwrap().pop_front().unwrap();
    for (behind_seconds, waits) in [(DAY, false), (3600, false), (60, true)] {
        let parsed: FollowMessage = serde_json::from_str(&message).unwrap();
        let due_at = parsed.due_at.unwrap() + Duration::from_secs(behind_seconds as u64);
        let mut message: Value = serde_json::from_str(&message).unwrap();
        message["due_at"] = json!(due_at);
        let began = Instant::now();
        world.serve(&message.to_string()).await;
        let waited = began.elapsed() > Duration::from_secs(30);
        assert_eq!(waited, waits, "{behind_seconds}: {:?}", began.elapsed());
    }
}
