//! What goes wrong on the wire, on both sides of the function: each fault by itself, and thousands
//! of events through a mix of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use ecs_console_archiver::archive::record::unpack;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::FaultPlan;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::runtime_api::{Answer, Function, SHORT_TIMEOUT, TIMEOUT};
use crate::support::s3_server::{Fault, Profile};
use crate::support::*;

const TIME: &str = "2024-03-22 10:04:57";

const PROFILES: [Profile; 4] = [
    Profile::Aws,
    Profile::Oss { versioned: false },
    Profile::Oss { versioned: true },
    Profile::IgnoresConditions,
];

/// Every fault the simulator knows by name.
fn ecs_faults() -> Vec<String> {
    let refused = "no fault".parse::<FaultPlan>().unwrap_err().to_string();
    let names = refused.strip_prefix("expected one of ").unwrap();
    let (names, _) = names.split_once(", with or without").unwrap();
    names.split(", ").map(str::to_owned).collect()
}

fn store_faults() -> Vec<Vec<Fault>> {
    let storm = |fault| vec![fault; 3];
    [
        Fault::Status(503, "SlowDown"),
        Fault::Status(500, "InternalError"),
        Fault::Status(429, "TooManyRequests"),
        Fault::Status(409, "ConditionalRequestConflict"),
        Fault::Status(400, "ExpiredToken"),
        Fault::LoseReply,
        Fault::Drop,
        Fault::Reset,
        Fault::Stall,
        Fault::HalfError,
        Fault::SlowError,
        Fault::ErrorPage,
        Fault::WrongContentType,
    ]
    .into_iter()
    .map(|fault| vec![fault])
    .chain([
        storm(Fault::Status(503, "SlowDown")),
        storm(Fault::Status(429, "TooManyRequests")),
    ])
    .collect()
}

fn manual(instance_id: &str) -> Value {
    json!({"instance_id": instance_id, "region_id": "cn-hangzhou"})
}

/// Delivers an event to an instance with a console of its own; it is stored after this many
/// deliveries.
async fn stored_after(bucket: &Bucket, function: &Function, id: &str, stalls: bool) -> usize {
    let payload = manual(id).to_string().into_bytes();
    let mut deliveries = 0;
    // A stall takes all the time a delivery has.
    if stalls {
        deliveries += 1;
        let answer = function.invoke(&payload, SHORT_TIMEOUT).await;
        assert!(matches!(answer, Answer::Error { .. }), "{id}: {answer:?}");
    }
    deliveries += 1;
    let reply = function.result_of(&payload).await;
    let outcome = reply["outcome"].as_str();
    assert!(
        matches!(outcome, Some("stored" | "already_stored")),
        "{id}: {reply}"
    );
    let mut records = bucket.server.records();
    records.retain(|key, _| key.contains(&format!("/{id}/")));
    let [(key, record)] = &records.iter().collect::<Vec<_>>()[..] else {
        panic!("{id}: {:?}", records.keys());
    };
    assert_eq!(text(&unpack(&record.body).unwrap()), console(id, 0));
    let is_versioned = bucket.server.profile() == (Profile::Oss { versioned: true });
    assert!(bucket.server.writes(key) == 1 || is_versioned, "{key}");
    deliveries
}

fn console(instance_id: &str, state: usize) -> String {
    let line = |line| format!("[{line:>5}.0] {instance_id} writes line {line}\n");
    (state..state + 50).map(line).collect()
}

#[tokio::test]
async fn every_fault_of_ecs_ends_in_a_stored_console() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let storms = ["fail*5", "throttle*2", "reset*3"].map(str::to_owned);
    let faults: Vec<_> = ecs_faults().into_iter().chain(storms).collect();
    for (number, fault) in faults.iter().enumerate() {
        let id = format!("i-ecs{number}");
        set_console(&bucket.simulator, &id, console(&id, 0).as_bytes(), TIME);
        bucket.simulator.plan_faults(&fault.parse().unwrap());
        let before = bucket.simulator.answered().len();
        stored_after(&bucket, &function, &id, fault == "stall").await;
        let name = fault.split('*').next().unwrap();
        let answered = &bucket.simulator.answered()[before..];
        let was_met = answered.iter().any(|answer| answer.answer == name);
        assert!(was_met || name == "none", "{fault}: {answered:?}");
    }
    bucket.server.assert_nothing_was_overwritten();
    println!("wire faults of ECS, one by one: {}", faults.len());
    assert_eq!(faults.len(), 17);
}

#[tokio::test]
async fn every_fault_of_a_store_ends_in_a_stored_console() {
    let on = async |profile| {
        let bucket = Bucket::start(profile).await;
        let function = Function::start(&bucket.settings).await;
        for (number, faults) in store_faults().into_iter().enumerate() {
            let id = format!("i-store{number}");
            set_console(&bucket.simulator, &id, console(&id, 0).as_bytes(), TIME);
            for fault in &faults {
                bucket.server.fault_next_put(*fault);
            }
            stored_after(&bucket, &function, &id, faults == [Fault::Stall]).await;
            assert_eq!(bucket.server.faults_left(), 0, "{faults:?}");
        }
        bucket.server.assert_nothing_was_overwritten();
        store_faults().len()
    };
    let counts = join_all(PROFILES.map(on)).await;
    println!("wire faults of stores, one by one: {counts:?}");
    assert_eq!(counts, [15; 4]);
}

#[tokio::test]
async fn the_help_names_every_fault() {
    let help = cli(&Settings::new(), &["simulate", "--help"]).await;
    let help = text(&help.stdout);
    let words: BTreeSet<_> = help
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .collect();
    for fault in ecs_faults() {
        assert!(words.contains(fault.as_str()), "{fault} is not in {help}");
    }
}

/// Instances whose console stays, and as many whose console is another at each ask.
const INSTANCES: usize = 150;
const EVENTS_PER_INSTANCE: usize = 10;
const BATCH: usize = 10;
/// Of 100 calls, so many meet a fault, on each side.
const FAULTS_PER_CENT: u32 = 8;
/// Functions that take batches at once, as Lambda starts them.
const FUNCTIONS: usize = 4;
/// Most memory of a function, in KiB; Lambda gives it 128 MiB.
const MAX_PEAK_KIB: u64 = 64 << 10;
const SEED: u64 = 20_240_322;
/// In the middle of the run, ECS refuses the token so many times in a row. Signing again once does
/// not help then, so events fail and must come again.
const TOKEN_EXPIRES: usize = 60;

/// A message of the queue: its ID and its event.
type Message = (String, Value);

/// A queue that delivers at least once: what fails comes again, and some of the rest, too.
struct Deliveries {
    batches: Mutex<VecDeque<Vec<Message>>>,
}

impl Deliveries {
    async fn serve(&self, function: &Function) -> (usize, usize) {
        let (mut delivered, mut failed) = (0, 0);
        loop {
            let Some(batch) = self.batches.lock().unwrap().pop_front() else {
                return (delivered, failed);
            };
            let record = |(message_id, event): &Message| json!({"eventSource": "aws:sqs", "messageId": message_id, "body": event.to_string()});
            let records: Vec<_> = batch.iter().map(record).collect();
            let payload = json!({ "Records": records }).to_string();
            let reply = match function.invoke(payload.as_bytes(), TIMEOUT).await {
                Answer::Response(reply) => reply,
                error => panic!("{error:?}"),
            };
            let failures: Vec<_> = reply["batchItemFailures"]
                .as_array()
                .unwrap()
                .iter()
                .collect();
            let failures: BTreeSet<_> = failures
                .iter()
                .map(|failure| failure["itemIdentifier"].as_str().unwrap())
                .collect();
            delivered += batch.len();
            failed += failures.len();
            let again: Vec<_> = batch
                .into_iter()
                .filter(|(message_id, _)| failures.contains(message_id.as_str()))
                .collect();
            if !again.is_empty() {
                self.batches.lock().unwrap().push_back(again);
            }
        }
    }
}

/// `/proc` calls it the high water mark of the resident set.
fn peak_kib(process_id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse().unwrap()
}

/// So many calls, some of which meet one of these.
fn mix<T: Copy>(random: &mut fastrand::Rng, faults: &[T], none: T, calls: usize) -> Vec<T> {
    let one = |_| {
        if random.u32(..100) < FAULTS_PER_CENT {
            faults[random.usize(..faults.len())]
        } else {
            none
        }
    };
    (0..calls).map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_events_none_is_lost_and_none_stored_twice() {
    let bucket = Bucket::start(Profile::Aws).await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut events = Vec::new();
    for number in 0..2 * INSTANCES {
        let id = format!("i-load{number}");
        let states = if number < INSTANCES {
            1
        } else {
            EVENTS_PER_INSTANCE
        };
        let consoles: Vec<_> = (0..states).map(|state| console(&id, state)).collect();
        bucket.simulator.set_consoles(
            &InstanceId::parse(&id).unwrap(),
            consoles.iter().map(|plain| output(plain.as_bytes(), TIME)),
        );
        events.extend((0..EVENTS_PER_INSTANCE).map(|event| (format!("{id}-{event}"), manual(&id))));
        expected.insert(id, consoles.into_iter().collect());
    }
    let count = events.len();
    random.shuffle(&mut events);
    let mut batches: VecDeque<_> = events.chunks(BATCH).map(<[_]>::to_vec).collect();
    let twice: Vec<_> = batches.iter().step_by(10).cloned().collect();
    batches.extend(twice);

    // What stalls costs a client's read timeout, during which the others go on.
    let stalls = ["stall"].repeat(2);
    let ecs = [
        "throttle",
        "fail",
        "fail",
        "truncate",
        "garbage",
        "bad-base64",
        "reset",
        "broken-json",
        "expire-token",
        "slow-body",
        "wrong-content-type",
        "cut-chunk",
        "redirect",
    ];
    let before = mix(&mut random, &ecs, "none", count / 2);
    let after = mix(&mut random, &ecs, "none", 2 * count);
    let expired = ["expire-token"].repeat(TOKEN_EXPIRES);
    for fault in [stalls, before, expired, after].concat() {
        bucket.simulator.plan_faults(&fault.parse().unwrap());
    }
    let store = [
        Fault::Status(503, "SlowDown"),
        Fault::Status(500, "InternalError"),
        Fault::Status(429, "TooManyRequests"),
        Fault::Status(409, "ConditionalRequestConflict"),
        Fault::LoseReply,
        Fault::Drop,
        Fault::Reset,
        Fault::HalfError,
        Fault::SlowError,
        Fault::ErrorPage,
        Fault::WrongContentType,
    ];
    for fault in mix(&mut random, &store, Fault::None, 2 * count) {
        bucket.server.fault_next_put(fault);
    }

    let deliveries = Arc::new(Deliveries {
        batches: Mutex::new(batches),
    });
    let serve = async |_| {
        let function = Function::start(&bucket.settings).await;
        let served = deliveries.serve(&function).await;
        (served, peak_kib(function.process().id))
    };
    let served = join_all((0..FUNCTIONS).map(serve)).await;

    let mut stored: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let records = bucket.server.records();
    for (key, record) in &records {
        let id = key.rsplit('/').nth(1).unwrap().to_owned();
        let is_new = stored
            .entry(id)
            .or_default()
            .insert(text(&unpack(&record.body).unwrap()));
        assert!(is_new, "{key} has a console that another key has, too");
        assert_eq!(bucket.server.writes(key), 1, "{key} was written twice");
    }
    assert!(stored == expected, "lost, or never given out");
    bucket.server.assert_nothing_was_overwritten();
    let delivered: usize = served.iter().map(|((delivered, _), _)| delivered).sum();
    let failed: usize = served.iter().map(|((_, failed), _)| failed).sum();
    let peak_kib = served.iter().map(|(_, peak)| *peak).max().unwrap();
    let answered = bucket.simulator.answered();
    let ecs_faults = answered
        .iter()
        .filter(|answer| !answer.answer.starts_with("200"))
        .count();
    println!(
        "wire faults under load: {count} events, {delivered} deliveries of which {failed} failed, \
         {ecs_faults} faults of {} calls to ECS, {} consoles stored, peak {peak_kib} KiB",
        answered.len(),
        records.len(),
    );
    assert_eq!(count, 3000);
    assert_eq!(
        delivered - failed,
        count + count / 10,
        "each is acknowledged each time"
    );
    assert!(ecs_faults > 100, "{ecs_faults} faults prove little");
    // Each failure takes two refusals, but for those at the edges that the next try got past.
    assert!(
        (TOKEN_EXPIRES / 4..=TOKEN_EXPIRES).contains(&failed),
        "{failed} deliveries failed while the token was refused"
    );
    assert!(peak_kib < MAX_PEAK_KIB, "{peak_kib} KiB");
}
