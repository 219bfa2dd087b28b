//! What the real `Archiver` runs between in the test's own process: guests with ECS's lagging cache,
//! and a store that is truly atomic and fails as stores do. Time is tokio's paused clock, so waiting
//! costs nothing and every run can be had again.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecs_console_archiver::archive::key::{RecordKey, VerdictKey};
use ecs_console_archiver::archive::record::unpack;
use ecs_console_archiver::capture::Archiver;
use ecs_console_archiver::clock::WallClock;
use ecs_console_archiver::config::FailedEvents;
use ecs_console_archiver::credentials::Owner;
use ecs_console_archiver::hosts::dispatch::{Dispatcher, Payload};
use ecs_console_archiver::intake::triggers::Triggers;
use ecs_console_archiver::model::console::{ConsoleOutput, NoConsole};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::screenshot::{Image, Screenshot};
use ecs_console_archiver::refusal::Refusal;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::{self, Guest};
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::source::{ConsoleSource, Fleet, InstancesPage};
use ecs_console_archiver::store::{Object, Page, PutOutcome, Store, StoreError};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::gate::Fault;

/// How long a console is followed, as the templates have it.
pub const FOLLOW_BUDGET: Duration = Duration::from_secs(300);
/// An invocation's time; a whole budget fits.
pub const TIMEOUT: Duration = Duration::from_secs(330);

/// PUTs after which none is refused.
const MOST_REFUSALS: usize = 20;

/// When every guest began.
pub fn began_at() -> Timestamp {
    "2024-03-22T02:00:00Z".parse().unwrap()
}

pub fn paused_runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// What a store does with a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
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
pub struct AtomicStore {
    pub objects: Mutex<BTreeMap<String, Vec<Object>>>,
    /// What the next PUTs meet, over and over.
    pub habits: Vec<Habit>,
    pub ignores_conditions: bool,
    /// What every PUT of a picture meets in place of `habits`: a policy may let logs and markers be stored, and no
    /// pictures.
    pub of_pictures: Option<Habit>,
    /// The same for the catalog's rows.
    pub of_rows: Option<Habit>,
    pub puts: Mutex<usize>,
    /// How long a PUT takes before and after its effect, in milliseconds, over and over. Less
    /// than what a capture keeps of its time for storing.
    pub latencies: Vec<(u64, u64)>,
}

impl AtomicStore {
    async fn put(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let number = {
            let mut puts = self.puts.lock().unwrap();
            *puts += 1;
            *puts - 1
        };
        let of_kind = match key {
            _ if key.starts_with("catalog/") => self.of_rows,
            _ if key.ends_with(".jpg") => self.of_pictures,
            _ => None,
        };
        let habit = *self
            .habits
            .get(number % self.habits.len().max(1))
            // Someone mends at some time what refuses: a rhythm of refusals must not meet the same
            // PUT of every delivery.
            .filter(|habit| **habit != Habit::Refuses || number < MOST_REFUSALS)
            .unwrap_or(&Habit::Honours);
        let habit = of_kind.unwrap_or(habit);
        let (before, after) = self
            .latencies
            .get(number % self.latencies.len().max(1))
            .copied()
            .unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(before)).await;
        let unavailable = |text: &str| Err(StoreError::Unavailable(text.to_owned()));
        match habit {
            Habit::Conflicts => return unavailable("409 ConditionalRequestConflict"),
            Habit::Refuses => return Err(denied()),
            Habit::Honours | Habit::LosesAnswer => {}
        }
        let exists = {
            let mut objects = self.objects.lock().unwrap();
            let bodies = objects.entry(key.to_owned()).or_default();
            let exists = !bodies.is_empty();
            if !exists || self.ignores_conditions {
                bodies.push(object.clone());
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

    /// Each console with its key. Panics if a key ever had two bodies, or a console two keys, or if a
    /// verdict is about no record.
    pub fn consoles(&self) -> BTreeMap<Console, String> {
        let mut consoles = BTreeMap::new();
        let objects = self.objects.lock().unwrap();
        for (key, bodies) in &*objects {
            assert!(
                bodies.windows(2).all(|pair| pair[0].body == pair[1].body),
                "{key} was overwritten"
            );
            assert!(
                self.ignores_conditions || bodies.len() == 1,
                "{key} was written twice"
            );
            if let Some(verdict) = VerdictKey::parse(key) {
                assert!(objects.contains_key(&verdict.record.to_string()), "{key}");
            }
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
                time: last_update_time.map_or(String::new(), |time| time.to_string()),
                plain: String::from_utf8(unpack(&bodies[0].body).unwrap()).unwrap(),
            };
            assert_eq!(
                consoles.insert(console, key.clone()),
                None,
                "{key} repeats a console"
            );
        }
        consoles
    }

    /// The consoles, and what a reader finds about the freshness of each: in metadata, or in a verdict
    /// beside it.
    pub fn readable(&self) -> Vec<(String, String)> {
        let objects = self.objects.lock().unwrap();
        let verdict = |record: &str| {
            let mut verdicts = objects.keys().filter_map(|key| VerdictKey::parse(key));
            verdicts.find(|verdict| verdict.record.to_string() == record)
        };
        let records = objects
            .iter()
            .filter(|(key, _)| RecordKey::parse(key).is_some());
        let read = |(key, bodies): (&String, &Vec<Object>)| {
            let plain = String::from_utf8(unpack(&bodies[0].body).unwrap()).unwrap();
            let said = bodies[0].metadata.get("freshness").cloned();
            let said = verdict(key).map_or(said, |verdict| Some(verdict.freshness.to_string()));
            (plain, said.unwrap_or_default())
        };
        records.map(read).collect()
    }

    pub fn markers(&self, instance: &str) -> usize {
        let objects = self.objects.lock().unwrap();
        let is_marker =
            |key: &&String| key.starts_with(&format!("{instance}/")) && key.ends_with(".none.json");
        objects.keys().filter(is_marker).count()
    }
}

/// The calls of a capture, and the one fault that waits there.
#[derive(Default)]
pub struct Calls {
    count: AtomicUsize,
    /// Number of a call, from 1 on.
    fault: Option<(usize, Fault)>,
    killed: Notify,
}

impl Calls {
    pub fn with(fault: Option<(usize, Fault)>) -> Arc<Self> {
        Arc::new(Self {
            fault,
            ..Self::default()
        })
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn arrive(&self) -> Option<Fault> {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.fault.filter(|(at, _)| *at == number);
        fault.map(|(_, fault)| fault)
    }

    /// Tells the test to drop the function, which learns nothing more.
    async fn kill(&self) -> Infallible {
        self.killed.notify_one();
        pending().await
    }

    /// Returns when the function is to be dropped.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }
}

/// The store, as one delivery uses it.
#[derive(Clone)]
pub struct Used<'a> {
    pub store: &'a AtomicStore,
    pub has_failed: Arc<AtomicBool>,
    pub calls: Arc<Calls>,
}

impl<'a> Used<'a> {
    pub fn new(store: &'a AtomicStore) -> Self {
        Self {
            store,
            has_failed: Arc::default(),
            calls: Arc::default(),
        }
    }

    async fn put(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let unavailable = |text: &str| Err(StoreError::Unavailable(text.to_owned()));
        match self.calls.arrive() {
            None => self.store.put(key, object).await,
            Some(Fault::Drop) => unavailable("no answer"),
            Some(Fault::Unavailable) => unavailable("503 SlowDown"),
            Some(Fault::Deny) => Err(denied()),
            Some(Fault::KillBefore) => match self.calls.kill().await {},
            Some(Fault::KillAfter) => {
                self.store.put(key, object).await?;
                match self.calls.kill().await {}
            }
            Some(Fault::LoseAnswer) => {
                self.store.put(key, object).await?;
                unavailable("no answer")
            }
        }
    }
}

fn denied() -> StoreError {
    StoreError::Denied(Refusal {
        status: 403,
        code: "AccessDenied".to_owned(),
        account: "403 AccessDenied".to_owned(),
    })
}

impl Store for Used<'_> {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let put = self.put(key, object).await;
        self.has_failed.fetch_or(put.is_err(), Ordering::Relaxed);
        put
    }

    async fn get(&self, _: &str) -> Result<Option<Object>, StoreError> {
        panic!("a capture reads nothing back")
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        panic!("a capture deletes nothing")
    }

    async fn list(&self, _: &str, _: Option<&str>, _: Option<&str>) -> Result<Page, StoreError> {
        panic!("a capture lists nothing")
    }

    fn sorts(&self) -> bool {
        true
    }

    fn url(&self, key: &str) -> String {
        key.to_owned()
    }
}

/// A console as it is told from others: the same bytes with another time are another record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Console {
    pub instance: String,
    /// As in a key; empty where there is none.
    pub time: String,
    pub plain: String,
}

impl Console {
    /// Nothing is lost with a console that a stored one begins with.
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.instance == other.instance && other.plain.starts_with(self.plain.as_str())
    }
}

/// What ECS does with one request, whatever the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecs {
    /// Answers.
    Answers,
    /// Fails, and may be asked again.
    Fails,
    /// Refuses, which no other attempt changes; or sends what is not a picture.
    Denies,
    /// Never answers.
    Hangs,
}

/// ECS with all its guests.
pub struct Guests {
    pub guests: BTreeMap<String, Guest>,
    /// What the next requests for each instance meet.
    pub requests: Mutex<BTreeMap<String, std::vec::IntoIter<Ecs>>>,
    /// How often it was asked.
    pub asked: Mutex<usize>,
    /// What the screens of instances show; see [`simulator::Screen`].
    pub screens: Mutex<BTreeMap<String, Vec<u8>>>,
    /// When each picture was taken, after the beginning.
    pub pictured: Mutex<Vec<(String, Duration)>>,
    /// What the next requests for each instance's picture meet.
    pub plans_of_pictures: Mutex<BTreeMap<String, std::vec::IntoIter<Ecs>>>,
    /// No picture ever comes.
    pub has_hanging_screens: AtomicBool,
    /// When a console was asked for, and when a picture, after the beginning.
    pub times: Mutex<[Vec<Duration>; 2]>,
    /// How often a picture was asked for too early.
    pub too_early: Mutex<usize>,
    began: Instant,
}

impl Guests {
    /// They begin now, by tokio's clock.
    pub fn begin(guests: impl IntoIterator<Item = (String, Guest)>) -> Arc<Self> {
        Arc::new(Self {
            guests: guests.into_iter().collect(),
            requests: Mutex::default(),
            asked: Mutex::default(),
            screens: Mutex::default(),
            pictured: Mutex::default(),
            plans_of_pictures: Mutex::default(),
            has_hanging_screens: AtomicBool::default(),
            times: Mutex::default(),
            too_early: Mutex::default(),
            began: Instant::now(),
        })
    }

    /// The time of day that passes with the guests'.
    pub fn clock(&self) -> WallClock {
        WallClock::Tokio {
            time: began_at(),
            instant: self.began,
        }
    }

    pub fn plan(&self, instance: &str, requests: Vec<Ecs>) {
        let mut plans = self.requests.lock().unwrap();
        plans.insert(instance.to_owned(), requests.into_iter());
    }
}

/// ECS, as one delivery asks it.
#[derive(Clone)]
pub struct Asked {
    pub ecs: Arc<Guests>,
    /// What this delivery was given, in order.
    pub given: Arc<Mutex<Vec<Console>>>,
    /// How often this delivery asked.
    pub requests: Arc<Mutex<usize>>,
    pub calls: Arc<Calls>,
}

impl Asked {
    pub fn new(ecs: &Arc<Guests>) -> Self {
        Self {
            ecs: ecs.clone(),
            given: Arc::default(),
            requests: Arc::default(),
            calls: Arc::default(),
        }
    }
}

impl ConsoleSource for Asked {
    async fn console_output(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        instance_id: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        *self.ecs.asked.lock().unwrap() += 1;
        *self.requests.lock().unwrap() += 1;
        self.ecs.times.lock().unwrap()[0].push(self.ecs.began.elapsed());
        // An answer takes a moment, so that others come between.
        tokio::time::sleep(Duration::from_millis(7)).await;
        let (request_id, code) = ("R".to_owned(), "as told".to_owned());
        let planned = {
            let mut requests = self.ecs.requests.lock().unwrap();
            let planned = requests.get_mut(instance_id.as_str());
            planned.and_then(Iterator::next).unwrap_or(Ecs::Answers)
        };
        let request = match self.calls.arrive() {
            None => planned,
            Some(Fault::Drop | Fault::Unavailable | Fault::LoseAnswer) => Ecs::Fails,
            Some(Fault::Deny) => Ecs::Denies,
            Some(Fault::KillBefore | Fault::KillAfter) => match self.calls.kill().await {},
        };
        match request {
            Ecs::Answers => {}
            Ecs::Fails => {
                return Err(EcsError::Unavailable {
                    status: 503,
                    code,
                    request_id,
                });
            }
            Ecs::Denies => {
                return Err(EcsError::Denied {
                    code,
                    request_id,
                    advice: "".into(),
                });
            }
            Ecs::Hangs => pending().await,
        }
        let Some(guest) = self.ecs.guests.get(instance_id.as_str()) else {
            return Err(EcsError::NoConsole {
                code: "NotSupported".to_owned(),
                reason: NoConsole::NotSupported,
                request_id,
            });
        };
        match guest.answer(self.ecs.began.elapsed(), began_at()) {
            simulator::Console::Error { code, .. } => Err(EcsError::NoConsole {
                code,
                reason: NoConsole::NotRunning,
                request_id,
            }),
            simulator::Console::Output {
                plain,
                last_update_time,
            } => {
                let last_update_time = last_update_time.unwrap_or_default();
                if !plain.is_empty() {
                    self.given.lock().unwrap().push(Console {
                        instance: instance_id.to_string(),
                        time: last_update_time.replace(['-', ':'], "").replace(' ', "T"),
                        plain: String::from_utf8(plain.clone()).unwrap(),
                    });
                }
                Ok(ConsoleOutput {
                    plain,
                    last_update_time,
                    request_id,
                    reported_instance_id: None,
                    is_undecoded: false,
                })
            }
            simulator::Console::Answer { .. } => panic!("a guest writes consoles"),
        }
    }

    async fn screenshot(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        instance_id: &InstanceId,
        _: bool,
    ) -> Result<Screenshot, EcsError> {
        let (id, now) = (instance_id.to_string(), self.ecs.began.elapsed());
        let request_id = "R".to_owned();
        self.ecs.times.lock().unwrap()[1].push(now);
        if self.ecs.has_hanging_screens.load(Ordering::Relaxed) {
            return pending().await;
        }
        let planned = {
            let mut plans = self.ecs.plans_of_pictures.lock().unwrap();
            let planned = plans.get_mut(instance_id.as_str());
            planned.and_then(Iterator::next)
        };
        match planned {
            None | Some(Ecs::Answers) => {}
            Some(Ecs::Fails) => {
                return Err(EcsError::Unavailable {
                    status: 503,
                    code: "ServiceUnavailable".to_owned(),
                    request_id,
                });
            }
            Some(Ecs::Denies) => {
                let image = Image::of(b"<html>").unwrap_err();
                return Err(EcsError::NotAScreenshot(image));
            }
            Some(Ecs::Hangs) => return pending().await,
        }
        let mut pictured = self.ecs.pictured.lock().unwrap();
        let last = pictured.iter().rev().find(|(one, _)| *one == id);
        if last.is_some_and(|(_, at)| now - *at < Duration::from_secs(10)) {
            *self.ecs.too_early.lock().unwrap() += 1;
            return Err(EcsError::TooSoon { request_id });
        }
        let Some(bytes) = self.ecs.screens.lock().unwrap().get(&id).cloned() else {
            return Err(EcsError::NoConsole {
                code: "NotSupported".to_owned(),
                reason: NoConsole::NotSupported,
                request_id,
            });
        };
        pictured.push((id, now));
        Ok(Screenshot {
            image: Image::of(&bytes).unwrap(),
            bytes,
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
        let screens = self.ecs.screens.lock().unwrap();
        let ids = self.ecs.guests.keys().chain(screens.keys());
        Ok(InstancesPage {
            instance_ids: ids.map(|id| InstanceId::parse(id).unwrap()).collect(),
            unknown_ids: Vec::new(),
            next_token: None,
            total: None,
        })
    }
}

/// What came of one delivery.
#[derive(Debug)]
pub struct Delivered {
    pub instance: String,
    pub given: Vec<Console>,
    /// `None` when it is acknowledged.
    pub error_type: Option<&'static str>,
    pub store_failed: bool,
    /// The function was killed before it answered, after so many requests to ECS.
    pub killed_after: Option<usize>,
}

impl Delivered {
    /// The reference model: what a delivery must have stored of what it was given. The first
    /// console, for it may be the last words of a crash; each that the next one does not extend;
    /// and the last. One that was only extended may stay in memory.
    pub fn owes(&self) -> BTreeSet<Console> {
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
    pub fn is_bound(&self) -> bool {
        self.killed_after.is_none() && (self.error_type.is_none() || !self.store_failed)
    }

    /// Who was killed after it asked again had stored the first console before: the last words of a
    /// crash.
    pub fn owes_first(&self) -> Option<Console> {
        let asked_again = self.killed_after.is_some_and(|requests| requests > 1);
        let first = self
            .given
            .first()
            .filter(|_| asked_again && self.given.len() > 1);
        first.cloned()
    }
}

/// A dispatcher that follows for [`FOLLOW_BUDGET`] within an invocation.
pub fn dispatcher<'a>(source: Asked, store: Used<'a>) -> Dispatcher<Asked, Used<'a>> {
    Dispatcher {
        archiver: Archiver {
            clock: source.ecs.clock(),
            source,
            store,
            default_region: None,
            has_catalog: true,
            masks_secrets: false,
            screenshots: Default::default(),
            follow_budget: FOLLOW_BUDGET,
            follow_queue: None,
            ending: Default::default(),
            room: Default::default(),
            memory: Default::default(),
            tell: Default::default(),
            notifier: None,
        },
        triggers: Triggers::default(),
        failed_events: FailedEvents::Platform,
        failed_queue: None,
        gate: None,
        pushes: Default::default(),
        deployment: Default::default(),
        credentials: None,
    }
}

/// Delivers a payload; its answer, or the error's type.
pub async fn deliver(
    dispatcher: &Dispatcher<Asked, Used<'_>>,
    payload: &[u8],
    timeout: Duration,
) -> Result<Value, &'static str> {
    let deadline = Deadline::after(timeout);
    let reply = dispatcher
        .dispatch(Payload::Invocation(payload), deadline)
        .await;
    reply.to_json().map_err(|error| error.error_type.as_str())
}

/// An instance's event of so long after the guests' beginning: a state, or a system event with the
/// status `Executing`.
pub fn event(instance: &str, what: &str, at: Duration) -> Vec<u8> {
    let time = began_at() + at;
    let mut data = json!({ "resourceId": instance });
    let event_type = if what.contains('.') {
        data["eventStatus"] = "Executing".into();
        what
    } else {
        data["state"] = what.into();
        "StateChange"
    };
    json!({
        "id": format!("E-{instance}-{what}-{}", at.as_millis()), "source": "acs.ecs",
        "type": format!("ecs:Instance:{event_type}"), "time": time.to_string(),
        "aliyunregionid": "cn-hangzhou", "data": data,
    })
    .to_string()
    .into_bytes()
}
