//! Every call of a capture fails, loses its answer, or is the last thing the function does. Then
//! the event comes again, as platforms deliver it, until it is acknowledged.
//!
//! The cases are generated: a run without faults counts its calls, and each of them meets each
//! fault, on every kind of store. The real function runs, over sockets; and, to be followed for as
//! long as a reboot takes, its archiver in the test's process, by a paused clock.
//!
//! Guests write by a clock that the test moves, and ECS's cache lags behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::archive::record::unpack;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Cache, Console, Guest, Reports, Screen};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::support::gate::{Calls, Fault, Gate, Service};
use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::Profile;
use crate::support::sqs_server::SqsServer;
use crate::support::{memory, *};

const ID: &str = "i-bp1panicnoroot00001";
/// When the event happens, after the guest's beginning.
const EVENT_AT: Duration = Duration::from_secs(100);

/// Cases that run at once: most of their time they wait for pauses and processes.
const AT_ONCE: usize = 10;
/// A case has one fault, so no event needs more deliveries than this.
const MAX_DELIVERIES: usize = 3;

const PROFILES: [Profile; 4] = [
    Profile::Aws,
    Profile::Oss { versioned: false },
    Profile::Oss { versioned: true },
    Profile::IgnoresConditions,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scenario {
    /// What ECS has is kept, and no more.
    Plain,
    /// A reboot that is followed within the invocation.
    Followed,
    /// A reboot that is followed through the queue.
    Queued,
    /// A reboot that is followed by invocations of the function by itself.
    SelfInvoked,
    /// An instance that has no console, ever.
    NoConsole,
    /// The same with a screen, of which a picture is taken.
    Screenshot,
}

impl Scenario {
    const ALL: [Self; 6] = [
        Self::Plain,
        Self::Followed,
        Self::Queued,
        Self::SelfInvoked,
        Self::NoConsole,
        Self::Screenshot,
    ];

    /// The kinds of store that it runs on. Function Compute has OSS beside it.
    fn profiles(self) -> &'static [Profile] {
        match self {
            Self::SelfInvoked => &[Profile::Oss { versioned: false }],
            _ => &PROFILES,
        }
    }

    fn has_messages(self) -> bool {
        matches!(self, Self::Queued | Self::SelfInvoked)
    }

    /// Its last words until 100 s, and a boot after that, which ECS shows a minute later. An
    /// instance without a console has none ever.
    fn guest(self) -> Option<Guest> {
        let seconds = Duration::from_secs;
        // Without a time: where messages are aged, so would it be, and a console has one key.
        let cache = Cache {
            reports: Reports::Nothing,
            ..Cache::lagging(seconds(60))
        };
        let guest = Guest::new(cache).writes(seconds(0), "last words\n");
        let boot = guest.clone().clears(seconds(100));
        match self {
            Self::Plain => Some(guest),
            // Its end is the end of what it is followed for.
            Self::Followed => Some(boot.writes(seconds(101), "boot\n")),
            // It settles in silence, so a verdict is written beside what was stored before.
            Self::Queued | Self::SelfInvoked => Some(boot.writes(seconds(101), "boot\n")),
            Self::NoConsole | Self::Screenshot => None,
        }
    }

    /// Every console that ECS gives, the last one last.
    fn consoles(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["last words\n"],
            Self::Followed | Self::Queued | Self::SelfInvoked => &["last words\n", "boot\n"],
            Self::NoConsole | Self::Screenshot => &[],
        }
    }

    fn follow_seconds(self) -> &'static str {
        match self {
            Self::Plain | Self::NoConsole | Self::Screenshot => "0",
            // The looks are at once and at its end.
            Self::Followed => "1",
            Self::Queued | Self::SelfInvoked => "300",
        }
    }

    /// Calls to ECS, objects stored and messages sent where nothing fails. The enumeration itself
    /// counts; this is here so that an enumeration that misses calls is noticed.
    fn calls(self) -> [usize; 3] {
        match self {
            // Behind each object is its row of the catalog.
            Self::Plain | Self::NoConsole => [1, 2, 0],
            // The console, and then the picture.
            Self::Screenshot => [2, 2, 0],
            Self::Followed => [2, 4, 0],
            // Looks at the beginning, after the lag, and when it was quiet for long enough; the
            // third object is the verdict.
            Self::Queued | Self::SelfInvoked => [3, 6, 2],
        }
    }
}

/// A store that ignores conditions is looked into before each object.
fn calls_expected(scenario: Scenario, profile: Profile) -> usize {
    let [asked, stored, sent] = scenario.calls();
    let looks_first = profile == Profile::IgnoresConditions;
    asked + stored * if looks_first { 2 } else { 1 } + sent
}

fn event() -> Vec<u8> {
    starting(ID).into_bytes()
}

#[derive(Debug, Clone, Copy)]
struct Case {
    scenario: Scenario,
    profile: Profile,
    fault: Option<(usize, Fault)>,
}

/// One function between gated services, and what it owes.
struct World {
    case: Case,
    bucket: Arc<Bucket>,
    sqs: SqsServer,
    /// How long ago the guest began.
    guest_time: Duration,
    calls: Arc<Calls>,
    _gates: [Gate; 3],
    function: Function,
    /// Consoles that came in deliveries which must have kept them.
    owed: BTreeSet<Vec<u8>>,
    deliveries: usize,
}

impl World {
    async fn start(case: Case) -> Self {
        let [mut ecs, mut store, mut queue] =
            [Gate::shut().await, Gate::shut().await, Gate::shut().await];
        let mut bucket = Bucket::start_behind(case.profile, Some(store.port)).await;
        let instance_id = InstanceId::parse(ID).unwrap();
        match case.scenario.guest() {
            Some(guest) => bucket.simulator.set_guest(&instance_id, guest),
            None => bucket.simulator.set_console(&instance_id, not_supported()),
        }
        bucket.simulator.set_guest_time(EVENT_AT);
        let when = match case.scenario {
            Scenario::Screenshot => {
                let screen = Screen::Picture(picture("stop.jpg"));
                bucket.simulator.set_screen(&instance_id, screen);
                "auto"
            }
            _ => "never",
        };
        bucket.settings.extend(settings(&[("SCREENSHOTS", when)]));
        let sqs = SqsServer::start().await;
        let calls = Arc::new(Calls::default());
        ecs.open(
            Service::Ecs,
            port_of(&bucket.simulator.endpoint_url()),
            calls.clone(),
        );
        store.open(Service::Store, bucket.server.own_port, calls.clone());
        let queue_port = match case.scenario {
            Scenario::SelfInvoked => port_of(&bucket.simulator.endpoint_url()),
            _ => port_of(&sqs.queue_url()),
        };
        queue.open(Service::Queue, queue_port, calls.clone());
        let ecs_url = format!("http://127.0.0.1:{}", ecs.port);
        bucket.settings.extend(settings(&[
            ("ECS_ENDPOINT_URL", &ecs_url), // The later one counts.
            ("FOLLOW_SECONDS", case.scenario.follow_seconds()),
        ]));
        if case.scenario == Scenario::Queued {
            let queue_url = format!("http://127.0.0.1:{}/123456789012/follow", queue.port);
            bucket.settings.extend(settings(&[
                ("FOLLOW_QUEUE_URL", &queue_url),
                ("AWS_ACCESS_KEY_ID", s3_server::ACCESS_KEY_ID),
                ("AWS_SECRET_ACCESS_KEY", s3_server::SECRET_ACCESS_KEY),
                ("AWS_REGION", "us-east-1"),
            ]));
        }
        if case.scenario == Scenario::SelfInvoked {
            let api = format!("http://127.0.0.1:{}", queue.port);
            bucket.settings.extend(settings(&[
                ("FC_FUNCTION_NAME", "archiver"),
                ("FC_REGION", "cn-hangzhou"),
                ("FOLLOW_QUEUE_URL", "fc://self"),
                ("FUNCTION_COMPUTE_ENDPOINT_URL", &api),
            ]));
        }
        if let Some((number, fault)) = case.fault {
            calls.fault_at(number, fault);
        }
        let bucket = Arc::new(bucket);
        if case.scenario == Scenario::Followed {
            // Who asks again has stored the first console, and waited until long after the boot.
            let bucket = bucket.clone();
            calls.before_ecs(move || {
                if !bucket.server.records().is_empty() {
                    bucket.simulator.set_guest_time(EVENT_AT * 4);
                }
            });
        }
        if case.scenario == Scenario::Screenshot {
            // Platforms deliver again after a minute, and pictures may be taken 10 s apart.
            let bucket = bucket.clone();
            calls.before_ecs(move || bucket.simulator.forget_pictures());
        }
        let function = start(&bucket, &calls).await;
        Self {
            case,
            bucket,
            sqs,
            guest_time: EVENT_AT,
            calls,
            _gates: [ecs, store, queue],
            function,
            owed: BTreeSet::new(),
            deliveries: 0,
        }
    }

    /// Delivers until it is acknowledged, each time to a function that runs.
    async fn deliver(&mut self, payload: &[u8]) {
        for _ in 0..MAX_DELIVERIES {
            self.deliveries += 1;
            let before = self.calls.count();
            let answer = self.function.try_invoke(payload, TIMEOUT).await;
            let calls = self.calls.since(before);
            let asked = calls.iter().filter(|call| call.service == Service::Ecs);
            let asked = asked.count();
            let mut received = calls
                .iter()
                .filter_map(|call| console(call.answer.as_ref()?));
            match answer {
                Err(_) => {
                    // The last words of a crash are stored before anything else is waited for:
                    // who asked again had the first console in the store.
                    if asked > 1 {
                        self.owed.extend(received.next());
                    }
                    self.function = start(&self.bucket, &self.calls).await;
                }
                Ok(answer) if is_acknowledged(&answer) => {
                    self.owed.extend(received);
                    return;
                }
                // What came before ECS or the queue failed is kept, too. What the store refused
                // is not there to be kept.
                Ok(_) if self.calls.faulted() != Some(Service::Store) => {
                    self.owed.extend(received);
                }
                Ok(_) => {}
            }
        }
        panic!("{:?} is never acknowledged", self.case);
    }

    /// Delivers the event and what it sends to the queue, until nothing is left to deliver.
    async fn deliver_all(&mut self) {
        self.deliver(&event()).await;
        while let Some((delay_seconds, body)) = self.take_sent() {
            self.guest_time += Duration::from_secs(delay_seconds);
            self.bucket.simulator.set_guest_time(self.guest_time);
            let body = aged(&body, delay_seconds);
            let records = json!([{"eventSource": "aws:sqs", "messageId": "m1", "body": body}]);
            let payload = match self.case.scenario {
                Scenario::SelfInvoked => body,
                _ => json!({ "Records": records }).to_string(),
            };
            self.deliver(payload.as_bytes()).await;
        }
    }

    /// Delay and body of what the function has sent.
    fn take_sent(&self) -> Option<(u64, String)> {
        if self.case.scenario == Scenario::SelfInvoked {
            let sent = self.bucket.simulator.take_invocation()?;
            return Some((sent.delay_seconds, sent.body));
        }
        let sent = self.sqs.take_sent()?;
        Some((sent.delay_seconds, sent.body))
    }

    fn assert_promise(&self) {
        let case = self.case;
        let server = &self.bucket.server;
        server.assert_nothing_was_overwritten();
        let (records, markers) = (server.records(), server.markers());
        let mut screenshots = server.objects();
        screenshots.retain(|key, _| key.ends_with(".jpg"));
        let mut stored: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
        for (key, record) in &records {
            let twice = stored.insert(unpack(&record.body).unwrap(), key);
            assert_eq!(twice, None, "{case:?}: a console is stored under two keys");
        }
        let given = case.scenario.consoles();
        for console in stored.keys() {
            let was_given = given.iter().any(|given| given.as_bytes() == console);
            assert!(was_given, "{case:?}: {console:?} never was");
        }
        for console in &self.owed {
            assert!(
                stored.keys().any(|stored| stored.starts_with(console)),
                "{case:?}: {:?} is lost; there is {:?}",
                String::from_utf8_lossy(console),
                stored.values(),
            );
        }
        if case.scenario == Scenario::NoConsole {
            assert_eq!((records.len(), markers.len()), (0, 1), "{case:?}");
        } else if case.scenario == Scenario::Screenshot {
            let there = (records.len(), screenshots.len());
            assert_eq!(there, (0, 1), "{case:?}");
            // A delivery that finds the picture does not know that it is of its own event, and leaves a marker.
            assert!(
                markers.len() < self.deliveries.min(2),
                "{case:?}: {markers:?}"
            );
        } else {
            assert!(markers.is_empty(), "{case:?}: {markers:?}");
            let last = given.last().unwrap().as_bytes();
            assert!(stored.contains_key(last), "{case:?}: the last is not there");
        }
        // Every record and marker is listed, and nothing else. Only if a delivery was cut short between a
        // record and its row, and the next one found another console, that record has no row.
        let listed: BTreeSet<_> = rows_of(server)
            .iter()
            .map(|row| row.subject.key())
            .collect();
        let there = records
            .keys()
            .chain(markers.keys())
            .chain(screenshots.keys());
        let there: BTreeSet<_> = there.map(|key| below_prefix(key).to_owned()).collect();
        let unlisted: Vec<_> = there.difference(&listed).collect();
        assert!(listed.is_subset(&there), "{case:?}: {listed:?}");
        let may_lack_one = case.fault.is_some() && given.len() > 1;
        assert!(
            unlisted.len() <= usize::from(may_lack_one),
            "{case:?}: {unlisted:?}"
        );
        for key in unlisted {
            let console = unpack(&records[&format!("kept/here/{key}")].body).unwrap();
            assert_ne!(console, given.last().unwrap().as_bytes(), "{case:?}");
        }
        let verdicts = server.verdicts();
        let expected = usize::from(case.scenario.has_messages());
        assert_eq!(verdicts.len(), expected, "{case:?}: {verdicts:?}");
        let all = records.keys().chain(markers.keys()).chain(&verdicts);
        for key in all.chain(screenshots.keys()) {
            // Nothing forbids a version in a versioned bucket: a delivery makes one each time, and
            // an answer that is lost one more.
            let most = match case.profile {
                Profile::Oss { versioned: true } => self.deliveries + 1,
                _ => 1,
            };
            let writes = server.writes(key);
            assert!((1..=most).contains(&writes), "{case:?}: {writes} × {key}");
        }
    }
}

/// The rows of the catalog, each as the program wrote it.
fn rows_of(server: &s3_server::S3Server) -> Vec<Row> {
    let rows = server.catalog();
    let rows = rows.iter().map(|(key, object)| {
        let row = Row::parse(&object.body).unwrap();
        assert_eq!(row.packed().0.to_string(), below_prefix(key));
        row
    });
    rows.collect()
}

fn below_prefix(key: &str) -> &str {
    key.strip_prefix("kept/here/").unwrap()
}

fn not_supported() -> Console {
    Console::Error {
        status: 403,
        code: "NotSupported".into(),
    }
}

async fn start(bucket: &Bucket, calls: &Calls) -> Function {
    let function = Function::start(&bucket.settings).await;
    calls.set_process(function.process());
    function
}

fn port_of(url: &str) -> u16 {
    url::Url::parse(url).unwrap().port().unwrap()
}

fn is_acknowledged(answer: &Answer) -> bool {
    match answer {
        Answer::Response(reply) => {
            let failed = reply["batchItemFailures"].as_array();
            failed.is_none_or(Vec::is_empty)
        }
        Answer::Error { .. } => false,
    }
}

/// The console in an answer of ECS.
fn console(answer: &bytes::Bytes) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let base64 = answer["ConsoleOutput"].as_str()?;
    Some(BASE64_STANDARD.decode(base64).unwrap())
}

/// Runs a case to its end; how many calls it took until all was acknowledged, and how many
/// deliveries.
async fn run(case: Case) -> (usize, usize) {
    let mut world = World::start(case).await;
    world.deliver_all().await;
    let (calls, deliveries) = (world.calls.count(), world.deliveries);
    if let Some((_, fault)) = case.fault
        && !case.scenario.has_messages()
    {
        // A fault that ends a delivery really did, and one that passes did not. Where the store
        // refuses a look, the profile basic writes.
        let ends_it = match fault {
            Fault::Deny => !world.calls.faulted_a_look(),
            Fault::KillBefore | Fault::KillAfter => true,
            _ => false,
        };
        assert_eq!(deliveries, if ends_it { 2 } else { 1 }, "{case:?}");
    }
    if let Some((number, _)) = case.fault {
        assert!(calls >= number, "{case:?} never met its fault");
    }
    world.assert_promise();
    // An event that was acknowledged may come once more all the same.
    let stored = |world: &World| -> Vec<String> {
        let keys = world.bucket.server.objects().into_keys();
        let is_promised =
            |key: &String| case.scenario != Scenario::Screenshot || !key.ends_with(".none.json");
        keys.filter(is_promised).collect()
    };
    let before = stored(&world);
    world.deliver_all().await;
    let after = stored(&world);
    assert_eq!(before, after, "{case:?}: one delivery more stored more");
    world.assert_promise();
    (calls, deliveries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_capture_is_cut_short_the_next_delivery_completes_it() {
    let mut cases = Vec::new();
    let mut expected = 0;
    for scenario in Scenario::ALL {
        for &profile in scenario.profiles() {
            let undisturbed = Case {
                scenario,
                profile,
                fault: None,
            };
            let (calls, _) = run(undisturbed).await;
            assert_eq!(calls, calls_expected(scenario, profile), "{undisturbed:?}");
            expected += calls_expected(scenario, profile) * Fault::ALL.len();
            for number in 1..=calls {
                cases.extend(Fault::ALL.map(|fault| Case {
                    fault: Some((number, fault)),
                    ..undisturbed
                }));
            }
            // A function that may not take a picture, or not store one, ends with a marker; and one that may not write its row
            // warns. That is no fault.
            if scenario == Scenario::Screenshot {
                let is_refused = |case: &Case| {
                    case.scenario == scenario && matches!(case.fault, Some((2.., Fault::Deny)))
                };
                expected -= cases.extract_if(.., |case| is_refused(case)).count();
            }
        }
    }
    let outcomes: Vec<(Case, usize)> = stream::iter(cases)
        .map(|case| async move {
            let ran = tokio::spawn(run(case)).await;
            (
                case,
                ran.unwrap_or_else(|error| panic!("{case:?}: {error}")).1,
            )
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    assert_eq!(outcomes.len(), expected);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (case, _) in &outcomes {
        let (_, fault) = case.fault.unwrap();
        for name in [
            format!("fault    {fault:?}"),
            format!("profile  {:?}", case.profile),
            format!("scenario {:?}", case.scenario),
        ] {
            *counts.entry(name).or_default() += 1;
        }
    }
    println!("crash points: {} cases", outcomes.len());
    for (name, count) in counts {
        println!("{count:>5}  {name}");
    }
}

/// A reboot as the function follows it in memory, by a paused clock: its ring rolls, and it panics
/// after a minute of silence.
fn rebooting() -> Guest {
    let seconds = Duration::from_secs;
    let cache = Cache {
        ring_bytes: 24,
        ..Cache::lagging(seconds(60))
    };
    Guest::new(cache)
        .writes(seconds(0), "old boot\n")
        .writes(seconds(105), "last words\n")
        .clears(seconds(140))
        .writes(seconds(141), "new boot\n")
        .writes(seconds(150), "more of it\n")
        .writes(seconds(168), "and more\n")
        .writes(seconds(228), "Kernel panic\n")
}

/// A run of one event with a fault; its deliveries, and how many calls they made.
fn run_in_memory(state: &str, fault: Option<(usize, Fault)>) -> (Vec<memory::Delivered>, usize) {
    let store = memory::AtomicStore::default();
    let calls = memory::Calls::with(fault);
    fastrand::seed(1); // Each run of a state makes the same calls.
    let delivered = memory::paused_runtime().block_on(async {
        let ecs = memory::Guests::begin([(ID.to_owned(), rebooting())]);
        tokio::time::sleep(EVENT_AT).await;
        let mut delivered = Vec::new();
        for _ in 0..MAX_DELIVERIES {
            let mut source = memory::Asked::new(&ecs);
            let mut used = memory::Used::new(&store);
            (source.calls, used.calls) = (calls.clone(), calls.clone());
            let (given, requests) = (source.given.clone(), source.requests.clone());
            let dispatcher = memory::dispatcher(source, used.clone());
            let payload = memory::event(ID, state, EVENT_AT);
            let handled = tokio::select! {
                handled = memory::deliver(&dispatcher, &payload, memory::TIMEOUT) => Some(handled),
                () = calls.killed() => None,
            };
            let error_type = match &handled {
                Some(handled) => handled.as_ref().err().copied(),
                None => Some("killed"),
            };
            delivered.push(memory::Delivered {
                instance: ID.to_owned(),
                given: given.lock().unwrap().clone(),
                error_type,
                store_failed: used.has_failed.load(std::sync::atomic::Ordering::Relaxed),
                killed_after: handled.is_none().then(|| *requests.lock().unwrap()),
            });
            if error_type.is_none() {
                return delivered;
            }
        }
        panic!("{state} {fault:?} is never acknowledged");
    });
    let stored: BTreeSet<_> = store.consoles().into_keys().collect();
    for delivery in &delivered {
        let owed = match delivery.is_bound() {
            true => delivery.owes(),
            false => delivery.owes_first().into_iter().collect(),
        };
        assert!(
            owed.is_subset(&stored),
            "{state} {fault:?} lost {:?}",
            &owed - &stored
        );
    }
    (delivered, calls.count())
}

#[test]
fn wherever_a_reboot_is_cut_short_in_memory_the_next_delivery_completes_it() {
    let mut cases = 0;
    for state in ["Stopping", "Starting", "Running", "InstanceFailure.Reboot"] {
        let (delivered, calls) = run_in_memory(state, None);
        assert_eq!(delivered.len(), 1);
        assert!(calls >= 6, "{state}: {calls}");
        for number in 1..=calls {
            for fault in Fault::ALL {
                let (delivered, calls) = run_in_memory(state, Some((number, fault)));
                assert!(calls >= number, "{state} {number} {fault:?} was never met");
                let ends_it = matches!(fault, Fault::Deny | Fault::KillBefore | Fault::KillAfter);
                let deliveries = if ends_it { 2 } else { 1 };
                assert_eq!(delivered.len(), deliveries, "{state} {number} {fault:?}");
                cases += 1;
            }
        }
    }
    println!("crash points in memory: {cases} cases");
}
