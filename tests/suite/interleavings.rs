//! Deliveries of the same events, duplicated, reordered, killed and at once, against a reference
//! model.
//!
//! The real `Archiver` runs in process, between guests whose consoles reach a lagging cache, and a
//! store that is truly atomic and fails as stores do. Time is tokio's paused clock, so pauses cost
//! nothing and every interleaving can be had again.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ecs_console_archiver::config::FailedEvents;
use ecs_console_archiver::hosts::dispatch::Dispatcher;
use ecs_console_archiver::simulator::{Cache, Guest, Reports};
use futures_util::future::join_all;
use proptest::prelude::*;

use crate::support::memory::*;

/// Platforms give up at some time. No script fails so often.
const MAX_DELIVERIES: usize = 40;

/// What a guest or its instance does, one after the other.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The guest writes a line.
    Writes,
    /// The guest asks for a login.
    Prompts,
    /// A new boot begins, on an empty console.
    Restarts,
    /// The instance is stopped until the next act.
    Stops,
}

/// One guest, and how ECS caches its console.
#[derive(Debug, Clone)]
struct Life {
    /// What it does, each so many seconds after the one before.
    acts: Vec<(u64, Act)>,
    lag_seconds: u64,
    ring_bytes: usize,
    flushes_at_stop: bool,
    reports: Reports,
}

impl Life {
    fn guest(&self) -> Guest {
        let mut guest = Guest::new(Cache {
            lag: Duration::from_secs(self.lag_seconds),
            ring_bytes: self.ring_bytes,
            flushes_at_stop: self.flushes_at_stop,
            reports: self.reports,
        });
        let mut now = Duration::ZERO;
        for (number, (gap, act)) in self.acts.iter().enumerate() {
            now += Duration::from_secs(*gap);
            let at = now;
            guest = guest.starts(at);
            guest = match act {
                Act::Writes => guest.writes(at, format!("line {number}\n")),
                Act::Prompts => guest.writes(at, format!("host{number} login: ")),
                Act::Restarts => guest.clears(at).writes(at, format!("boot {number}\n")),
                Act::Stops => guest.stops(at),
            };
        }
        guest
    }
}

/// A whole run: which instances there are, what ECS and the store do, and who delivers what when.
#[derive(Debug, Clone)]
struct Script {
    lives: Vec<Life>,
    /// What the first requests to ECS for each instance meet.
    requests: Vec<Ecs>,
    deliveries: Vec<Delivery>,
    habits: Vec<Habit>,
    latencies: Vec<(u64, u64)>,
    ignores_conditions: bool,
    follows: bool,
    /// Of the jitter in pauses.
    seed: u64,
}

/// An event, delivered until it is acknowledged.
#[derive(Debug, Clone)]
struct Delivery {
    instance: usize,
    state: &'static str,
    /// When, in milliseconds since the guests began.
    start_ms: u64,
    /// The function is killed so many milliseconds after it was delivered first.
    killed_after_ms: Option<u64>,
}

fn instance(number: usize) -> String {
    format!("i-{number}")
}

impl Script {
    fn store(&self) -> AtomicStore {
        AtomicStore {
            habits: self.habits.clone(),
            latencies: self.latencies.clone(),
            ignores_conditions: self.ignores_conditions,
            ..AtomicStore::default()
        }
    }

    /// Delivers everything, each event again until it is acknowledged; what came of each delivery.
    async fn run(&self, store: &AtomicStore) -> Vec<Delivered> {
        fastrand::seed(self.seed);
        let guests = self.lives.iter().enumerate();
        let ecs = Guests::begin(guests.map(|(number, life)| (instance(number), life.guest())));
        for number in 0..self.lives.len() {
            ecs.plan(&instance(number), self.requests.clone());
        }
        let deliver_all = async |delivery: &Delivery| {
            let start = Duration::from_millis(delivery.start_ms);
            tokio::time::sleep(start).await;
            let instance = instance(delivery.instance % self.lives.len());
            let payload = event(&instance, delivery.state, start);
            let mut kill = delivery.killed_after_ms.map(Duration::from_millis);
            let mut delivered = Vec::new();
            for _ in 0..MAX_DELIVERIES {
                let (source, used) = (Asked::new(&ecs), Used::new(store));
                let (given, requests) = (source.given.clone(), source.requests.clone());
                let mut dispatcher = dispatcher(source, used.clone());
                if !self.follows {
                    dispatcher.archiver.follow_budget = Duration::ZERO;
                }
                let handled = deliver(&dispatcher, &payload, TIMEOUT);
                let handled = match kill.take() {
                    Some(kill) => tokio::time::timeout(kill, handled).await.ok(),
                    None => Some(handled.await),
                };
                let killed_after = handled.is_none().then(|| *requests.lock().unwrap());
                let error_type = match handled {
                    Some(handled) => handled.err(),
                    None => Some("killed"),
                };
                delivered.push(Delivered {
                    instance: instance.clone(),
                    given: given.lock().unwrap().clone(),
                    error_type,
                    store_failed: used.has_failed.load(Ordering::Relaxed),
                    killed_after,
                });
                if error_type.is_none() {
                    return delivered;
                }
            }
            panic!("{instance} is never acknowledged");
        };
        let delivered = join_all(self.deliveries.iter().map(deliver_all)).await;
        delivered.into_iter().flatten().collect()
    }

    fn check(&self) -> Counts {
        let runtime = paused_runtime();
        let store = self.store();
        let delivered = runtime.block_on(self.run(&store));
        let stored: BTreeSet<Console> = store.consoles().into_keys().collect();
        let (mut owed, mut may) = (BTreeSet::new(), BTreeSet::new());
        for delivery in &delivered {
            if delivery.is_bound() {
                owed.extend(delivery.owes());
                may.extend(delivery.owes());
            } else {
                owed.extend(delivery.owes_first());
                may.extend(delivery.given.iter().cloned());
            }
        }
        assert!(owed.is_subset(&stored), "lost: {:?}", &owed - &stored);
        assert!(stored.is_subset(&may), "too much: {:?}", &stored - &may);
        for delivery in delivered.iter().filter(|delivery| delivery.is_bound()) {
            for console in &delivery.given {
                let is_kept = stored.iter().any(|stored| console.is_part_of(stored));
                assert!(is_kept, "bytes of {console:?} are lost");
            }
            let markers = store.markers(&delivery.instance);
            let has_reason =
                !delivery.given.is_empty() || delivery.error_type.is_some() || markers > 0;
            assert!(
                has_reason,
                "{} has neither a console nor a reason",
                delivery.instance
            );
            assert!(
                markers <= 2 * self.deliveries.len(),
                "not running and empty are all the reasons there are, for each event"
            );
        }
        Counts {
            deliveries: delivered.len(),
            failed: delivered
                .iter()
                .filter(|delivery| delivery.error_type.is_some())
                .count(),
            stored: stored.len(),
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    deliveries: usize,
    failed: usize,
    stored: usize,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => Just(Act::Writes),
        1 => Just(Act::Prompts),
        3 => Just(Act::Restarts),
        2 => Just(Act::Stops),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let reports = prop_oneof![
        4 => Just(Reports::LastWrite),
        1 => Just(Reports::LastStart),
        1 => Just(Reports::Nothing),
    ];
    (
        prop::collection::vec((0_u64..60, act()), 0..20),
        0_u64..=60,
        prop_oneof![Just(usize::MAX), 10_usize..100],
        any::<bool>(),
        reports,
    )
        .prop_map(
            |(acts, lag_seconds, ring_bytes, flushes_at_stop, reports)| Life {
                acts,
                lag_seconds,
                ring_bytes,
                flushes_at_stop,
                reports,
            },
        )
}

fn request() -> impl Strategy<Value = Ecs> {
    prop_oneof![
        16 => Just(Ecs::Answers),
        2 => Just(Ecs::Fails),
        1 => Just(Ecs::Denies),
        1 => Just(Ecs::Hangs),
    ]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let state = prop::sample::select(vec![
        "Stopping",
        "Starting",
        "Running",
        "InstanceFailure.Reboot",
    ]);
    let killed_after_ms = prop::option::weighted(0.3, 0_u64..120_000);
    (0_usize..2, state, 0_u64..400_000, killed_after_ms).prop_map(
        |(instance, state, start_ms, killed_after_ms)| Delivery {
            instance,
            state,
            start_ms,
            killed_after_ms,
        },
    )
}

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        4 => Just(Habit::Honours),
        2 => Just(Habit::Conflicts),
        2 => Just(Habit::LosesAnswer),
        1 => Just(Habit::Refuses),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    (
        prop::collection::vec(life(), 1..3),
        prop::collection::vec(request(), 0..16),
        prop::collection::vec(delivery(), 1..7),
        prop::collection::vec(habit(), 0..6),
        prop::collection::vec((0_u64..500, 0_u64..500), 0..5),
        any::<bool>(),
        prop::bool::weighted(0.8),
        any::<u64>(),
    )
        .prop_map(
            |(
                lives,
                requests,
                deliveries,
                mut habits,
                latencies,
                ignores_conditions,
                follows,
                seed,
            )| {
                habits.push(Habit::Honours); // A store that never works acknowledges nothing.
                Script {
                    lives,
                    requests,
                    deliveries,
                    habits,
                    latencies,
                    ignores_conditions,
                    follows,
                    seed,
                }
            },
        )
}

#[test]
fn in_every_interleaving_what_is_owed_is_stored_once_and_nothing_more() {
    let total = Mutex::new((0, Counts::default()));
    let config = ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(script in script())| {
        let counts = script.check();
        let mut total = total.lock().unwrap();
        total.0 += 1;
        total.1.deliveries += counts.deliveries;
        total.1.failed += counts.failed;
        total.1.stored += counts.stored;
    });
    let (scripts, counts) = total.into_inner().unwrap();
    println!("interleavings: {scripts} scripts, {counts:?}");
    // A generator that no longer makes failures or consoles proves nothing.
    assert!(
        counts.failed > scripts / 10 && counts.stored > scripts,
        "{counts:?}"
    );
}

/// So many deliveries of one instance at the very same moment.
const AT_ONCE: usize = 50;

/// `every_ms`: the guest writes a line so often, and each is asked for after it.
fn at_once(acts: Vec<(u64, Act)>, every_ms: u64, ignores_conditions: bool) -> Script {
    let delivery = |number| Delivery {
        instance: 0,
        state: "Starting",
        start_ms: 5000 + number * every_ms,
        killed_after_ms: None,
    };
    Script {
        lives: vec![Life {
            acts,
            lag_seconds: 5,
            ring_bytes: usize::MAX,
            flushes_at_stop: false,
            reports: Reports::LastWrite,
        }],
        requests: Vec::new(),
        deliveries: (0..AT_ONCE as u64).map(delivery).collect(),
        habits: Vec::new(),
        // So slow that all are under way at the same time.
        latencies: vec![(AT_ONCE as u64 * 1000, 3), (AT_ONCE as u64 * 1000, 9)],
        ignores_conditions,
        follows: false,
        seed: 1,
    }
}

#[test]
fn writers_of_the_same_console_at_once_store_one() {
    for ignores_conditions in [false, true] {
        let acts = vec![(0, Act::Writes)];
        let counts = at_once(acts, 0, ignores_conditions).check();
        assert_eq!((counts.deliveries, counts.stored), (AT_ONCE, 1));
    }
}

#[test]
fn writers_of_different_consoles_at_once_store_each() {
    for ignores_conditions in [false, true] {
        let mut acts = vec![(1, Act::Restarts); AT_ONCE];
        acts[0].0 = 0;
        let counts = at_once(acts, 1000, ignores_conditions).check();
        assert_eq!((counts.deliveries, counts.stored), (AT_ONCE, AT_ONCE));
    }
}

/// One delivery on an undisturbed store, to a guest that writes a line every 20 s; what came of it.
fn once(requests: Vec<Ecs>, failed_events: FailedEvents) -> (Delivered, AtomicStore) {
    let store = AtomicStore {
        latencies: vec![(5, 5)],
        ..AtomicStore::default()
    };
    let runtime = paused_runtime();
    let delivered = runtime.block_on(async {
        let mut guest = Guest::new(Cache::lagging(Duration::ZERO));
        for line in 0..15 {
            guest = guest.writes(Duration::from_secs(20 * line), format!("line {line}\n"));
        }
        let ecs = Guests::begin([(instance(0), guest)]);
        ecs.plan(&instance(0), requests);
        let source = Asked::new(&ecs);
        let given = source.given.clone();
        let dispatcher = Dispatcher {
            failed_events,
            ..dispatcher(source, Used::new(&store))
        };
        let payload = event(&instance(0), "Running", Duration::ZERO);
        let handled = deliver(&dispatcher, &payload, TIMEOUT).await;
        let given = given.lock().unwrap().clone();
        Delivered {
            instance: instance(0),
            given,
            error_type: handled.err(),
            store_failed: false,
            killed_after: None,
        }
    });
    (delivered, store)
}

#[test]
fn an_ecs_that_hangs_until_the_deadline_loses_nothing_it_gave_before() {
    let requests = vec![Ecs::Answers, Ecs::Answers, Ecs::Hangs];
    let (delivered, store) = once(requests, FailedEvents::Platform);
    assert_eq!(delivered.error_type, Some("EcsUnavailable"));
    assert_eq!(delivered.given.len(), 2);
    assert_eq!(
        store.consoles().into_keys().collect::<BTreeSet<_>>(),
        delivered.owes()
    );
}

#[test]
fn an_ecs_that_hangs_until_the_deadline_leaves_time_to_keep_the_event() {
    let (delivered, store) = once(vec![Ecs::Hangs], FailedEvents::Archive);
    assert_eq!(delivered.error_type, Some("EcsUnavailable"));
    let objects = store.objects.lock().unwrap();
    let keys: Vec<_> = objects.keys().collect();
    assert!(
        matches!(&keys[..], [key] if key.starts_with("failed/")),
        "{keys:?}"
    );
}
