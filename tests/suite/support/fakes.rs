//! A fleet and a store in memory, for paused clocks: their calls take a time of the clock, and are
//! counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecs_console_archiver::capture::Archiver;
use ecs_console_archiver::clock::WallClock;
use ecs_console_archiver::config::FailedEvents;
use ecs_console_archiver::credentials::Owner;
use ecs_console_archiver::hosts::dispatch::Dispatcher;
use ecs_console_archiver::intake::triggers::Triggers;
use ecs_console_archiver::intake::webhook::{Headers, UrlPath, WebhookRequest};
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::screenshot::Screenshot;
use ecs_console_archiver::queue::{Queue, QueueError};
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::source::{ConsoleSource, Fleet, InstancesPage};
use ecs_console_archiver::store::{Entry, Object, Page, PutOutcome, Store, StoreError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

/// Instances of one region, in pages.
#[derive(Clone)]
pub struct FakeFleet {
    pub state: Arc<Mutex<FleetState>>,
    began: Instant,
}

impl Default for FakeFleet {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            began: Instant::now(),
        }
    }
}

pub struct FleetState {
    pub pages: Vec<Vec<InstanceId>>,
    /// What each call takes.
    pub call_time: Duration,
    /// Consoles of these are never answered.
    pub hanging: BTreeSet<InstanceId>,
    /// ECS fails for these with an error code each.
    pub failing: BTreeMap<InstanceId, &'static str>,
    /// By so many bytes a console is longer each time it is asked for.
    pub grows_by: usize,
    /// ECS refuses every token of a page, as when it is too old.
    pub refuses_tokens: bool,
    /// The token of each page is that of the page itself, as CloudWatch's was (boto/boto3#1584) and ElastiCache's in a
    /// simulator (getmoto/moto#7466).
    pub repeats_token: bool,
    /// The last page's token is that of the second one. Clients that only compare a token with the one before follow
    /// such tokens for ever (boto/botocore#3778).
    pub goes_round: bool,
    /// IDs of another form, on the first page. ECS is not known to list such; Cloud Assistant lists machines elsewhere
    /// with IDs such as `mi-hz018jrc1o0xxxx`, and those of 2012 to 2014 were another form once.
    pub unknown_ids: Vec<String>,
    /// How often each was asked for.
    pub asked: BTreeMap<InstanceId, usize>,
    pub listed: usize,
    /// Calls that go on, and the most of them at once.
    pub calls: usize,
    pub most_calls: usize,
    /// How many calls for consoles ECS takes in a minute, if it limits them.
    pub quota: Option<Quota>,
}

/// ECS counts the calls of each minute. Whoever is throttled in one minute may call again in the next
/// ("Throttling" in the ECS API reference: "the API operation cannot be called until the next minute").
#[derive(Default)]
pub struct Quota {
    pub per_minute: usize,
    /// The minute that is counted, and its calls.
    minute: u64,
    used: usize,
    /// How many calls were throttled in all.
    pub throttled: usize,
}

impl Quota {
    pub fn of(per_minute: usize) -> Self {
        Self {
            per_minute,
            ..Self::default()
        }
    }

    /// Counts a call, and says whether ECS serves it. `at`: since the first minute began.
    fn takes(&mut self, at: Duration) -> bool {
        let minute = at.as_secs() / 60;
        if std::mem::replace(&mut self.minute, minute) != minute {
            self.used = 0;
        }
        self.used += 1;
        let takes = self.used <= self.per_minute;
        self.throttled += usize::from(!takes);
        takes
    }
}

impl Default for FleetState {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            call_time: Duration::from_millis(50),
            hanging: BTreeSet::new(),
            failing: BTreeMap::new(),
            grows_by: 0,
            refuses_tokens: false,
            repeats_token: false,
            goes_round: false,
            unknown_ids: Vec::new(),
            asked: BTreeMap::new(),
            listed: 0,
            calls: 0,
            most_calls: 0,
            quota: None,
        }
    }
}

pub fn instance(index: usize) -> InstanceId {
    InstanceId::parse(&format!("i-fleet{index:05}")).unwrap()
}

impl FakeFleet {
    pub fn new(instances: usize, page: usize) -> Self {
        let all: Vec<_> = (0..instances).map(instance).collect();
        let fleet = Self::default();
        fleet.state().pages = all.chunks(page).map(<[_]>::to_vec).collect();
        fleet
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, FleetState> {
        self.state.lock().unwrap()
    }

    async fn call(&self) {
        let time = self.state().call_time;
        tokio::time::sleep(time).await;
    }
}

/// A call that is counted among those at the same time, until it ends or is given up.
struct Counted<'a>(&'a FakeFleet);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.state().calls -= 1;
    }
}

impl ConsoleSource for FakeFleet {
    async fn console_output(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        instance_id: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        let (hangs, failure, grown) = {
            let mut state = self.state();
            let asked = state.asked.entry(instance_id.clone()).or_default();
            *asked += 1;
            let grown = "+".repeat(*asked * state.grows_by);
            state.calls += 1;
            state.most_calls = state.most_calls.max(state.calls);
            let failure = state.failing.get(instance_id).copied();
            (state.hanging.contains(instance_id), failure, grown)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let counted = Counted(self);
        self.call().await;
        drop(counted);
        match failure {
            None => {}
            Some(code) if code.starts_with("Throttling") => {
                return Err(EcsError::Throttled {
                    code: code.into(),
                    request_id: String::new(),
                    retry_after_ms: Some(60_000),
                });
            }
            Some(code) => {
                return Err(EcsError::Unavailable {
                    status: 503,
                    code: code.into(),
                    request_id: String::new(),
                });
            }
        }
        if let Some(quota) = &mut self.state().quota
            && !quota.takes(self.began.elapsed())
        {
            return Err(EcsError::Throttled {
                code: "Throttling.User".into(),
                request_id: "R".into(),
                retry_after_ms: None,
            });
        }
        Ok(ConsoleOutput {
            plain: format!("console of {instance_id}\n{grown}").into_bytes(),
            last_update_time: "2024-03-22 10:00:00".into(),
            is_undecoded: false,
            request_id: String::new(),
            reported_instance_id: None,
        })
    }

    async fn screenshot(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        _: &InstanceId,
        _: bool,
    ) -> Result<Screenshot, EcsError> {
        panic!("these tests take none")
    }
}

impl Fleet for FakeFleet {
    async fn regions(&self, asked_in: &RegionId) -> Result<Vec<RegionId>, EcsError> {
        Ok(vec![asked_in.clone()])
    }

    async fn instances(
        &self,
        _: &RegionId,
        next_token: Option<&str>,
    ) -> Result<InstancesPage, EcsError> {
        self.call().await;
        let mut state = self.state();
        state.listed += 1;
        if state.refuses_tokens && next_token.is_some() {
            return Err(EcsError::Rejected {
                status: 400,
                code: "InvalidParameter.NextToken".into(),
                request_id: String::new(),
            });
        }
        let index: usize = next_token.map_or(0, |token| token.parse().unwrap());
        let next = (index + 1 < state.pages.len()).then(|| (index + 1).to_string());
        let next = next.or_else(|| state.goes_round.then(|| "1".to_owned()));
        let next = if state.repeats_token && next_token.is_some() {
            next_token.map(str::to_owned)
        } else {
            next
        };
        Ok(InstancesPage {
            instance_ids: state.pages.get(index).cloned().unwrap_or_default(),
            unknown_ids: match index {
                0 => state.unknown_ids.clone(),
                _ => Vec::new(),
            },
            next_token: next,
            total: None,
        })
    }
}

/// Objects by key.
#[derive(Clone, Default)]
pub struct MemoryStore {
    pub objects: Arc<Mutex<BTreeMap<String, Object>>>,
    /// Every write hangs.
    pub hangs: bool,
    /// What each write takes.
    pub write_time: Duration,
    /// When every object was stored, as listings say.
    pub stored_at: jiff::Timestamp,
}

impl MemoryStore {
    /// Records of this instance.
    pub fn records(&self, instance_id: &InstanceId) -> usize {
        let folder = format!("{instance_id}/");
        let objects = self.objects.lock().unwrap();
        let is_record = |key: &&String| key.starts_with(&folder) && key.ends_with(".log.gz");
        objects.keys().filter(is_record).count()
    }
}

impl Store for MemoryStore {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.write_time).await;
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(key) {
            return Ok(PutOutcome::Exists);
        }
        objects.insert(key.to_owned(), object.clone());
        Ok(PutOutcome::Created)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        Ok(self.objects.lock().unwrap().get(key).cloned())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().remove(key);
        Ok(())
    }

    async fn list(
        &self,
        prefix: &str,
        _: Option<&str>,
        _: Option<&str>,
    ) -> Result<Page, StoreError> {
        let objects = self.objects.lock().unwrap();
        let below = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let entries = below.map(|(key, object)| Entry {
            key: key.clone(),
            bytes: object.body.len() as u64,
            stored_at: self.stored_at,
        });
        Ok(Page {
            entries: entries.collect(),
            next: None,
            is_partial: false,
        })
    }

    fn sorts(&self) -> bool {
        true
    }

    fn url(&self, key: &str) -> String {
        format!("memory:///{key}")
    }
}

/// A queue as a test sees it.
#[derive(Debug, Default)]
pub struct SentMessages(pub Mutex<VecDeque<(String, Duration)>>);

impl Queue for SentMessages {
    fn send<'a>(
        &'a self,
        body: &'a str,
        delay: Duration,
    ) -> BoxFuture<'a, Result<String, QueueError>> {
        async move {
            self.0.lock().unwrap().push_back((body.to_owned(), delay));
            Ok("id".to_owned())
        }
        .boxed()
    }

    fn greatest_delay(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn greatest_body_bytes(&self) -> usize {
        128 << 10
    }

    fn operation(&self) -> &'static str {
        "InvokeFunction"
    }
}

/// A queue that never answers.
#[derive(Debug)]
pub struct HangingQueue;

impl Queue for HangingQueue {
    fn send<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<String, QueueError>> {
        std::future::pending().boxed()
    }

    fn greatest_delay(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn greatest_body_bytes(&self) -> usize {
        128 << 10
    }

    fn operation(&self) -> &'static str {
        "InvokeFunction"
    }
}

/// With no queue.
pub fn archiver<S: Store + Clone>(fleet: &FakeFleet, store: &S) -> Archiver<FakeFleet, S> {
    Archiver {
        source: fleet.clone(),
        store: store.clone(),
        default_region: RegionId::parse("cn-hangzhou").ok(),
        has_catalog: false,
        masks_secrets: false,
        screenshots: Default::default(),
        follow_budget: Duration::ZERO,
        follow_queue: None,
        ending: Default::default(),
        room: Default::default(),
        memory: Default::default(),
        tell: Default::default(),
        notifier: None,
        clock: WallClock::Tokio {
            time: "2024-03-22T02:04:45Z".parse().unwrap(),
            instant: Instant::now(),
        },
    }
}

/// With no queue and no gate; the archive keeps what fails.
pub type FakeDispatcher = Dispatcher<FakeFleet, MemoryStore>;

pub fn dispatcher(fleet: &FakeFleet, store: &MemoryStore) -> FakeDispatcher {
    Dispatcher {
        archiver: archiver(fleet, store),
        triggers: Triggers::default(),
        failed_events: FailedEvents::Archive,
        failed_queue: None,
        gate: None,
        pushes: Default::default(),
        deployment: Default::default(),
        credentials: None,
    }
}

/// A push that nobody has signed.
pub fn unsigned<'a>(headers: &'a Headers, path: &'a UrlPath, body: &'a str) -> WebhookRequest<'a> {
    WebhookRequest {
        headers,
        path,
        body: body.as_bytes(),
        is_authenticated: false,
    }
}
