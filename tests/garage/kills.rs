//! Hundreds of events while one side is killed again and again. Events are delivered as SQS does
//! it: what is not acknowledged comes again, in other company.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::time::{Duration, Instant};

use ecs_console_archiver::archive::catalog::CatalogKey;
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::simulator::Simulator;
use ecs_console_archiver::store::{Entry, Store as _};
use futures_util::future::{self, Either};
use serde_json::json;

use crate::relay::{Moments, Relay};
use crate::server::Garage;
use crate::support::runtime_api::{Answer, Function, SHORT_TIMEOUT, TIMEOUT};
use crate::support::*;

const CONSOLES: usize = 400;
const BATCH: usize = 10;
const WORKERS: usize = 2;

/// Consoles, and the events that say they are there.
struct Load {
    simulator: Simulator,
    consoles: BTreeMap<String, Vec<u8>>,
    /// Instances whose event is not acknowledged and not being served.
    queue: RefCell<VecDeque<String>>,
    deliveries: Cell<usize>,
    /// Each time messages come back to the queue.
    returned: Moments,
}

impl Load {
    async fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let simulator = bare_simulator(ecs_credentials()).await;
        let mut console = |index: usize| {
            let id = format!("i-kill{index:04}");
            // Garage keeps short ones in its database and long ones in files.
            let length = random.usize(1..20_000);
            let plain: Vec<u8> = (0..length).map(|_| random.u8(b' '..=b'~')).collect();
            set_console(&simulator, &id, &plain, "2024-03-22 10:04:57");
            (id, plain)
        };
        let consoles: BTreeMap<_, _> = (0..CONSOLES).map(&mut console).collect();
        Self {
            queue: RefCell::new(consoles.keys().cloned().collect()),
            simulator,
            consoles,
            deliveries: Cell::new(0),
            returned: Moments::default(),
        }
    }

    fn settings(&self, garage: &Garage) -> Settings {
        [garage.settings(), ecs_settings(&self.simulator)].concat()
    }

    fn take_batch(&self) -> Vec<String> {
        let mut queue = self.queue.borrow_mut();
        let count = queue.len().min(BATCH);
        self.deliveries.set(self.deliveries.get() + count);
        queue.drain(..count).collect()
    }

    fn put_back(&self, ids: impl IntoIterator<Item = String>) {
        let mut queue = self.queue.borrow_mut();
        let before = queue.len();
        queue.extend(ids);
        if queue.len() > before {
            self.returned.pass();
        }
    }

    /// One instance of the function under load, and its successors, until all is acknowledged.
    async fn work(&self, settings: &Settings, timeout: Duration, moments: Moments, kills: &Kills) {
        let (settings, _relays) = through_relays(settings, &moments).await;
        let mut function = None;
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                return;
            }
            let running = match function.take() {
                Some(running) => running,
                None => Function::start(&settings).await,
            };
            let kill = kills.plan();
            let moment = async {
                match kill {
                    Some(count) => moments.more(count).await,
                    None => future::pending().await,
                }
            };
            let payload = sqs_batch(&batch);
            match invoke_until(&running, &payload, timeout, moment).await {
                Some(answer) => {
                    kills.not_done(kill);
                    self.put_back(not_acknowledged(&answer, batch));
                    function = Some(running);
                }
                None => {
                    self.put_back(batch);
                }
            }
        }
    }

    async fn check_kept(&self, garage: &Garage) {
        let store = garage.store();
        let entries = reader::entries(&store, "").await.unwrap();
        let (of_catalog, records): (Vec<_>, Vec<_>) =
            (entries.into_iter()).partition(|entry| CatalogKey::parse(&entry.key).is_some());
        let mut kept = BTreeMap::new();
        for entry in &records {
            let object = store.get(&entry.key).await.unwrap().unwrap();
            assert_eq!(entry.bytes, object.body.len() as u64);
            assert_eq!(object.content_type, "application/gzip");
            let (id, name) = entry.key.split_once('/').unwrap();
            assert!(name.starts_with("20240322T100457-"), "{name}");
            assert!(object.metadata["console-sha256"].starts_with(&name[16..28]));
            kept.insert(id.to_owned(), gunzip(&object.body));
        }
        assert_eq!(records.len(), CONSOLES, "something is lost or kept twice");
        assert!(kept == self.consoles, "a console has other bytes");
        // An event that comes again may find its console stored, and then its row has another name.
        let of_record = |entry: Entry| match CatalogKey::parse(&entry.key) {
            Some(CatalogKey::Row(key)) => key.row.subject.key(),
            key => panic!("{key:?}"),
        };
        let in_catalog: BTreeSet<_> = of_catalog.into_iter().map(of_record).collect();
        let stored: BTreeSet<_> = records.into_iter().map(|entry| entry.key).collect();
        assert_eq!(in_catalog, stored, "an acknowledged event has no row");
    }
}

/// The settings for a function whose talk with ECS and the store is counted.
async fn through_relays(settings: &Settings, moments: &Moments) -> (Settings, Vec<Relay>) {
    let (mut settings, mut relays) = (settings.clone(), Vec::new());
    for (name, value) in &mut settings {
        if ["ECS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"].contains(&name.as_str()) {
            let relay = Relay::start(value.strip_prefix("http://").unwrap(), moments).await;
            *value = format!("http://{}", relay.address());
            relays.push(relay);
        }
    }
    assert_eq!(relays.len(), 2);
    (settings, relays)
}

/// As SQS delivers it to the function.
fn sqs_batch(ids: &[String]) -> Vec<u8> {
    let record = |id: &String| {
        let event = json!({
            "id": format!("E-{id}"), "source": "acs.ecs", "type": "ecs:Instance:StateChange",
            "time": "2024-03-22T10:04:41+08:00", "aliyunregionid": "cn-hangzhou",
            "data": {"resourceId": id, "state": "Stopping"},
        });
        json!({"eventSource": "aws:sqs", "messageId": id, "body": event.to_string()})
    };
    let records: Vec<_> = ids.iter().map(record).collect();
    json!({ "Records": records }).to_string().into_bytes()
}

fn not_acknowledged(answer: &Answer, batch: Vec<String>) -> Vec<String> {
    let Answer::Response(reply) = answer else {
        return batch;
    };
    let failures = reply["batchItemFailures"].as_array().unwrap();
    let id = |failure: &serde_json::Value| failure["itemIdentifier"].as_str().unwrap().to_owned();
    failures.iter().map(id).collect()
}

/// How many runs are still to be killed, and at which moment.
struct Kills {
    left: Cell<usize>,
    random: RefCell<fastrand::Rng>,
}

impl Kills {
    /// A whole batch has about 80 moments, one that was stored before 60.
    const MOMENTS: u64 = 70;

    fn new(count: usize, seed: u64) -> Self {
        Self {
            left: Cell::new(count),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    fn plan(&self) -> Option<u64> {
        self.left.set(self.left.get().checked_sub(1)?);
        Some(self.random.borrow_mut().u64(1..=Self::MOMENTS))
    }

    /// The answer was faster.
    fn not_done(&self, plan: Option<u64>) {
        self.left.set(self.left.get() + usize::from(plan.is_some()));
    }
}

#[tokio::test]
async fn fifty_kills_of_the_function_lose_nothing_and_store_nothing_twice() {
    const KILLS: usize = 50;
    let begun = Instant::now();
    let garage = Garage::start().await;
    let load = Load::new(1).await;
    let kills = Kills::new(KILLS, 2);
    let settings = load.settings(&garage);
    let worker = |_| load.work(&settings, TIMEOUT, Moments::default(), &kills);
    future::join_all((0..WORKERS).map(worker)).await;
    assert_eq!(kills.left.get(), 0, "the load was over before the kills");
    load.check_kept(&garage).await;
    println!(
        "function: {KILLS} kills, {CONSOLES} consoles in {} deliveries, ECS asked {} times; each \
         kept once, in {:.0?}",
        load.deliveries.get(),
        load.simulator.answered().len(),
        begun.elapsed()
    );
}

#[tokio::test]
async fn ten_kills_of_the_store_lose_nothing_and_store_nothing_twice() {
    const KILLS: usize = 10;
    let begun = Instant::now();
    let mut garage = Garage::start().await;
    let load = Load::new(3).await;
    let (settings, moments) = (load.settings(&garage), Moments::default());
    let no_kills = Kills::new(0, 0);
    let worker = |_| load.work(&settings, SHORT_TIMEOUT, moments.clone(), &no_kills);
    let work = future::join_all((0..WORKERS).map(worker));
    let outages = async {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..KILLS {
            moments.more(random.u64(1..=200)).await;
            garage.kill().await;
            // It is away until messages come back.
            load.returned.more(1).await;
            garage.restart().await;
        }
    };
    match future::select(pin!(outages), pin!(work)).await {
        Either::Left(((), work)) => work.await,
        Either::Right(_) => panic!("the load was over before the kills"),
    };
    load.check_kept(&garage).await;
    println!(
        "store: {KILLS} kills, {CONSOLES} consoles in {} deliveries, ECS asked {} times; each kept \
         once, in {:.0?}",
        load.deliveries.get(),
        load.simulator.answered().len(),
        begun.elapsed()
    );
}

/// The answer, unless `moment` comes before it: the function is killed then.
async fn invoke_until(
    function: &Function,
    payload: &[u8],
    timeout: Duration,
    moment: impl Future<Output = ()>,
) -> Option<Answer> {
    tokio::select! {
        biased;
        answer = function.try_invoke(payload, timeout) => {
            Some(answer.unwrap_or_else(|status| panic!("it ended by itself: {status}")))
        }
        () = moment => {
            function.process().kill().await;
            None
        }
    }
}
