//! Deliveries of the same reboots, duplicated, reordered and at once, against a reference model.
//!
//! The real [`Archiver`] runs in process, between a source whose consoles grow, roll and are
//! replaced, and a store that is truly atomic and fails as stores do. Time is tokio's paused
//! clock, so pauses cost nothing and every interleaving can be had again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecs_console_archiver::capture::{Archiver, FailedEvents};
use ecs_console_archiver::credentials::Owner;
use ecs_console_archiver::ecs::response::{ConsoleOutput, EcsError, InstancesPage, NoConsole};
use ecs_console_archiver::ecs::{ConsoleSource, Fleet};
use ecs_console_archiver::handler::Payload;
use ecs_console_archiver::ids::{InstanceId, RegionId};
use ecs_console_archiver::key::RecordKey;
use ecs_console_archiver::outcome::ErrorType;
use ecs_console_archiver::record::unpack;
use ecs_console_archiver::refusal::Refusal;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::store::{Object, Page, PutOutcome, Store, StoreError};
use ecs_console_archiver::triggers::Triggers;
use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::json;

const OLDER: &str = "2024-03-22 10:00:00";
const NEWER: &str = "2024-03-22 10:04:57";

/// An invocation's time; the pauses of a whole budget fit.
const TIMEOUT: Duration = Duration::from_secs(200);
const FOLLOW_BUDGET: Duration = Duration::from_secs(180);
/// Platforms give up at some time. No script fails so often.
const MAX_DELIVERIES: usize = 40;

/// What a store does with a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Creates, or says that the object exists.
    Honours,
    /// Creates nothing and asks to try again, as S3 does with 409 `ConditionalRequestConflict`.
    Conflicts,
    /// Creates, and its answer is lost.
    LosesAnswer,
    /// Creates nothing and refuses, which no other attempt changes.
    Refuses,
}

/// Objects behind one lock, with every body each key ever had.
#[derive(Default)]
struct AtomicStore {
    objects: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
    /// What the next PUTs meet, over and over.
    habits: Vec<Habit>,
    ignores_conditions: bool,
    puts: Mutex<usize>,
    /// How long a PUT takes before and after its effect, in milliseconds, over and over. Less
    /// than what a capture keeps of its time for storing.
    latencies: Vec<(u64, u64)>,
}

impl AtomicStore {
    async fn put(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let number = {
            let mut puts = self.puts.lock().unwrap();
            *puts += 1;
            *puts - 1
        };
        let habit = *self
            .habits
            .get(number % self.habits.len().max(1))
            .unwrap_or(&Habit::Honours);
        let (before, after) = self
            .latencies
            .get(number % self.latencies.len().max(1))
            .copied()
            .unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(before)).await;
        let unavailable = |text: &str| Err(StoreError::Unavailable(text.to_owned()));
        match habit {
            Habit::Conflicts => return unavailable("409 ConditionalRequestConflict"),
            Habit::Refuses => {
                return Err(StoreError::Denied(Refusal {
                    status: 403,
                    code: "AccessDenied".to_owned(),
                    account: "403 AccessDenied".to_owned(),
                }));
            }
            Habit::Honours | Habit::LosesAnswer => {}
        }
        let exists = {
            let mut objects = self.objects.lock().unwrap();
            let bodies = objects.entry(key.to_owned()).or_default();
            let exists = !bodies.is_empty();
            if !exists || self.ignores_conditions {
                bodies.push(object.body.clone());
            }
            exists
        };
        tokio::time::sleep(Duration::from_millis(after)).await;
        match habit {
            Habit::LosesAnswer => unavailable("no answer"),
            _ if exists && !self.ignores_conditions => Ok(PutOutcome::Exists),
            _ => Ok(PutOutcome::Created),
        }
    }

    /// Each key with its console. Panics if a key ever had two bodies, or a console two keys.
    fn consoles(&self) -> BTreeMap<Console, String> {
        let mut consoles = BTreeMap::new();
        for (key, bodies) in &*self.objects.lock().unwrap() {
            assert!(
                bodies.windows(2).all(|pair| pair[0] == pair[1]),
                "{key} was overwritten"
            );
            assert!(
                self.ignores_conditions || bodies.len() == 1,
                "{key} was written twice"
            );
            let Some(RecordKey {
                instance_id,
                last_update_time,
                ..
            }) = RecordKey::parse(key)
            else {
                continue;
            };
            let console = Console {
                instance: instance_id.to_string(),
                time: last_update_time.unwrap().to_string(),
                plain: String::from_utf8(unpack(&bodies[0]).unwrap()).unwrap(),
            };
            assert_eq!(
                consoles.insert(console, key.clone()),
                None,
                "{key} repeats a console"
            );
        }
        consoles
    }

    fn markers(&self, instance: &str) -> usize {
        let objects = self.objects.lock().unwrap();
        let is_marker =
            |key: &&String| key.starts_with(&format!("{instance}/")) && key.ends_with(".none.json");
        objects.keys().filter(is_marker).count()
    }
}

/// The store, as one delivery uses it.
#[derive(Clone)]
struct Used<'a> {
    store: &'a AtomicStore,
    has_failed: Arc<AtomicBool>,
}

impl Store for Used<'_> {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let put = self.store.put(key, object).await;
        self.has_failed.fetch_or(put.is_err(), Ordering::Relaxed);
        put
    }

    async fn get(&self, _: &str) -> Result<Option<Object>, StoreError> {
        panic!("a capture reads nothing back")
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        panic!("a capture deletes nothing")
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Page, StoreError> {
        panic!("a capture lists nothing")
    }

    fn url(&self, key: &str) -> String {
        key.to_owned()
    }
}

/// A console as it is told from others: the same bytes with another time are another record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Console {
    instance: String,
    /// As in a key.
    time: String,
    plain: String,
}

impl Console {
    /// Nothing is lost with a console that a stored one begins with.
    fn is_part_of(&self, other: &Self) -> bool {
        self.instance == other.instance && other.plain.starts_with(self.plain.as_str())
    }
}

/// What the cache of an instance does between two asks.
#[derive(Debug, Clone, Copy)]
enum Step {
    Stays,
    Grows,
    /// The ring is full: the first line goes, and one comes.
    Rolls,
    /// A new boot begins.
    Restarts,
    /// The guest asks for a login.
    Prompts,
    /// For this ask there is none.
    IsNotRunning,
    /// For this ask there is an answer with nothing in it.
    IsEmpty,
    /// This ask fails and may be tried again.
    Fails,
    /// This ask is refused for good.
    Denies,
    /// This ask is never answered.
    Hangs,
}

/// One instance: each ask takes a step.
struct Timeline {
    steps: Vec<Step>,
    asks: usize,
    lines: Vec<String>,
    written: usize,
    time: &'static str,
}

impl Timeline {
    fn new(steps: Vec<Step>, has_console: bool) -> Self {
        let lines = if has_console {
            vec!["last words".to_owned()]
        } else {
            Vec::new()
        };
        Self {
            steps,
            asks: 0,
            lines,
            written: 0,
            time: OLDER,
        }
    }

    /// The script's step, and after its end the cache stays.
    fn step(&mut self) -> Step {
        let step = self.steps.get(self.asks).copied().unwrap_or(Step::Stays);
        self.asks += 1;
        let line = format!("line {}", self.written);
        match step {
            Step::Stays
            | Step::IsNotRunning
            | Step::IsEmpty
            | Step::Fails
            | Step::Denies
            | Step::Hangs => return step,
            Step::Grows => self.lines.push(line),
            Step::Rolls => {
                self.lines.push(line);
                self.lines.remove(0);
            }
            Step::Restarts => self.lines = vec![format!("boot {}", self.written)],
            Step::Prompts => self.lines.push(format!("host{} login: ", self.written)),
        }
        self.written += 1;
        self.time = NEWER;
        step
    }
}

/// The cache of all instances, as one delivery asks it.
#[derive(Clone)]
struct Asked {
    timelines: Arc<Mutex<BTreeMap<String, Timeline>>>,
    /// What this delivery was given, in order.
    given: Arc<Mutex<Vec<Console>>>,
}

impl ConsoleSource for Asked {
    async fn console_output(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        instance_id: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        // An answer takes a moment, so that others come between.
        tokio::time::sleep(Duration::from_millis(7)).await;
        let answer = {
            let mut timelines = self.timelines.lock().unwrap();
            let timeline = timelines.get_mut(instance_id.as_str()).unwrap();
            let step = timeline.step();
            let plain = timeline.lines.join("\n"); // A prompt ends no line.
            (step, plain, timeline.time)
        };
        let request_id = "R".to_owned();
        let code = "as told".to_owned();
        let (plain, time) = match answer {
            (Step::Hangs, ..) => pending().await,
            (Step::Fails, ..) => {
                return Err(EcsError::Unavailable {
                    status: 503,
                    code,
                    request_id,
                });
            }
            (Step::Denies, ..) => {
                return Err(EcsError::Denied {
                    code,
                    request_id,
                    advice: "",
                });
            }
            (Step::IsNotRunning, ..) => {
                let reason = NoConsole::NotRunning;
                return Err(EcsError::NoConsole {
                    code,
                    reason,
                    request_id,
                });
            }
            (Step::IsEmpty, _, time) => (String::new(), time),
            (_, plain, time) => (plain, time),
        };
        if !plain.is_empty() {
            self.given.lock().unwrap().push(Console {
                instance: instance_id.to_string(),
                time: time.replace(['-', ':'], "").replace(' ', "T"),
                plain: plain.clone(),
            });
        }
        Ok(ConsoleOutput {
            plain: plain.into_bytes(),
            last_update_time: time.to_owned(),
            request_id,
            reported_instance_id: None,
        })
    }
}

impl Fleet for Asked {
    async fn regions(&self, _: &RegionId) -> Result<Vec<RegionId>, EcsError> {
        panic!("no sweep")
    }

    async fn instances(&self, _: &RegionId, _: Option<&str>) -> Result<InstancesPage, EcsError> {
        panic!("no sweep")
    }
}

fn archiver(source: Asked, store: Used<'_>, follows: bool) -> Archiver<Asked, Used<'_>> {
    Archiver {
        source,
        store,
        triggers: Triggers::default(),
        default_region: None,
        follow_budget: if follows {
            FOLLOW_BUDGET
        } else {
            Duration::ZERO
        },
        follow_queue: None,
        failed_events: FailedEvents::Platform,
        gate: None,
    }
}

/// An event of 2024-03-22T10:04:41+08:00.
fn event(instance: &str) -> Vec<u8> {
    json!({
        "id": format!("E-{instance}"), "source": "acs.ecs", "type": "ecs:Instance:StateChange",
        "time": "2024-03-22T10:04:41+08:00", "aliyunregionid": "cn-hangzhou",
        "data": {"resourceId": instance, "state": "Starting"},
    })
    .to_string()
    .into_bytes()
}

/// What came of one delivery.
#[derive(Debug)]
struct Delivered {
    instance: String,
    given: Vec<Console>,
    /// `None` when it is acknowledged.
    error_type: Option<ErrorType>,
    store_failed: bool,
}

impl Delivered {
    /// The reference model: what a delivery must have stored of what it was given. The first
    /// console, for it may be the last words of a crash; each that the next one does not extend;
    /// and the last. One that was only extended may stay in memory.
    fn owes(&self) -> BTreeSet<Console> {
        let is_owed = |(index, console): &(usize, &Console)| {
            let next = self.given.get(index + 1);
            *index == 0 || next.is_none_or(|next| !console.is_part_of(next))
        };
        let given = self.given.iter().enumerate();
        given
            .filter(is_owed)
            .map(|(_, console)| console.clone())
            .collect()
    }

    /// It was acknowledged, or failed with a store that always worked: what came before ECS
    /// failed is kept.
    fn is_bound(&self) -> bool {
        self.error_type.is_none() || !self.store_failed
    }
}

/// A whole run: which instances there are, what the store does, and who delivers what when.
#[derive(Debug, Clone)]
struct Script {
    /// Steps, and whether there is a console before them.
    timelines: Vec<(Vec<Step>, bool)>,
    /// An instance's number, and when its event is delivered first, in milliseconds.
    deliveries: Vec<(usize, u64)>,
    habits: Vec<Habit>,
    latencies: Vec<(u64, u64)>,
    ignores_conditions: bool,
    follows: bool,
    /// Of the jitter in pauses.
    seed: u64,
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
        let timeline = |(number, (steps, has_console)): (usize, &(Vec<Step>, bool))| {
            (instance(number), Timeline::new(steps.clone(), *has_console))
        };
        let timelines = self.timelines.iter().enumerate().map(timeline).collect();
        let timelines = Arc::new(Mutex::new(timelines));
        let deliver = async |(number, start): &(usize, u64)| {
            tokio::time::sleep(Duration::from_millis(*start)).await;
            let instance = instance(number % self.timelines.len());
            let mut delivered = Vec::new();
            for _ in 0..MAX_DELIVERIES {
                let source = Asked {
                    timelines: timelines.clone(),
                    given: Arc::default(),
                };
                let given = source.given.clone();
                let used = Used {
                    store,
                    has_failed: Arc::default(),
                };
                let archiver = archiver(source, used.clone(), self.follows);
                let deadline = Deadline::after(TIMEOUT);
                let reply = archiver
                    .dispatch(Payload::Invocation(&event(&instance)), deadline)
                    .await;
                let error_type = reply.failure().map(|error| error.error_type);
                delivered.push(Delivered {
                    instance: instance.clone(),
                    given: given.lock().unwrap().clone(),
                    error_type,
                    store_failed: used.has_failed.load(Ordering::Relaxed),
                });
                if error_type.is_none() {
                    return delivered;
                }
            }
            panic!("{instance} is never acknowledged");
        };
        let delivered = join_all(self.deliveries.iter().map(deliver)).await;
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
                markers <= 2,
                "not running and empty are all the reasons there are"
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

fn paused_runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[derive(Debug, Default)]
struct Counts {
    deliveries: usize,
    failed: usize,
    stored: usize,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Stays),
        5 => Just(Step::Grows),
        3 => Just(Step::Rolls),
        3 => Just(Step::Restarts),
        1 => Just(Step::Prompts),
        2 => Just(Step::IsNotRunning),
        1 => Just(Step::IsEmpty),
        2 => Just(Step::Fails),
        1 => Just(Step::Denies),
        1 => Just(Step::Hangs),
    ]
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
    let timeline = (
        prop::collection::vec(step(), 0..16),
        prop::bool::weighted(0.8),
    );
    (
        prop::collection::vec(timeline, 1..3),
        prop::collection::vec((0_usize..2, 0_u64..300_000), 1..7),
        prop::collection::vec(habit(), 0..6),
        prop::collection::vec((0_u64..500, 0_u64..500), 0..5),
        any::<bool>(),
        prop::bool::weighted(0.8),
        any::<u64>(),
    )
        .prop_map(
            |(timelines, deliveries, mut habits, latencies, ignores_conditions, follows, seed)| {
                habits.push(Habit::Honours); // A store that never works acknowledges nothing.
                Script {
                    timelines,
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

fn at_once(step: Step, ignores_conditions: bool) -> Script {
    Script {
        timelines: vec![(vec![step; AT_ONCE], true)],
        deliveries: vec![(0, 0); AT_ONCE],
        habits: Vec::new(),
        latencies: vec![(5, 3), (1, 0), (5, 9)],
        ignores_conditions,
        follows: false,
        seed: 1,
    }
}

#[test]
fn writers_of_the_same_console_at_once_store_one() {
    for ignores_conditions in [false, true] {
        let counts = at_once(Step::Stays, ignores_conditions).check();
        assert_eq!((counts.deliveries, counts.stored), (AT_ONCE, 1));
    }
}

#[test]
fn writers_of_different_consoles_at_once_store_each() {
    for ignores_conditions in [false, true] {
        let counts = at_once(Step::Restarts, ignores_conditions).check();
        assert_eq!((counts.deliveries, counts.stored), (AT_ONCE, AT_ONCE));
    }
}

/// One delivery on an undisturbed store; what came of it.
fn once(steps: &[Step], failed_events: FailedEvents) -> (Delivered, AtomicStore) {
    let store = AtomicStore {
        latencies: vec![(5, 5)],
        ..AtomicStore::default()
    };
    let timeline = Timeline::new(steps.to_vec(), true);
    let timelines = BTreeMap::from([(instance(0), timeline)]);
    let source = Asked {
        timelines: Arc::new(Mutex::new(timelines)),
        given: Arc::default(),
    };
    let given = source.given.clone();
    let used = Used {
        store: &store,
        has_failed: Arc::default(),
    };
    let archiver = Archiver {
        failed_events,
        ..archiver(source, used, true)
    };
    let payload = event(&instance(0));
    let runtime = paused_runtime();
    let reply = runtime.block_on(async {
        let deadline = Deadline::after(TIMEOUT);
        archiver
            .dispatch(Payload::Invocation(&payload), deadline)
            .await
    });
    let delivered = Delivered {
        instance: instance(0),
        given: given.lock().unwrap().clone(),
        error_type: reply.failure().map(|error| error.error_type),
        store_failed: false,
    };
    drop(archiver);
    (delivered, store)
}

#[test]
fn an_ecs_that_hangs_until_the_deadline_loses_nothing_it_gave_before() {
    let (delivered, store) = once(
        &[Step::Stays, Step::Grows, Step::Hangs],
        FailedEvents::Platform,
    );
    assert_eq!(delivered.error_type, Some(ErrorType::EcsUnavailable));
    assert_eq!(delivered.given.len(), 2);
    assert_eq!(
        store.consoles().into_keys().collect::<BTreeSet<_>>(),
        delivered.owes()
    );
}

#[test]
fn an_ecs_that_hangs_until_the_deadline_leaves_time_to_keep_the_event() {
    let (delivered, store) = once(&[Step::Hangs], FailedEvents::Archive);
    assert_eq!(delivered.error_type, Some(ErrorType::EcsUnavailable));
    let objects = store.objects.lock().unwrap();
    let keys: Vec<_> = objects.keys().collect();
    assert!(
        matches!(&keys[..], [key] if key.starts_with("failed/")),
        "{keys:?}"
    );
}
