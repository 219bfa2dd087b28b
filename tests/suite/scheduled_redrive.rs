//! Failed events, served again when a schedule asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ecs_console_archiver::archive::record::{FailedEvent, KeptEvent};
use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::model::event::Origin;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::Console;
use ecs_console_archiver::store::{Object, Store as _};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fakes::{FakeFleet, MemoryStore, SentMessages, dispatcher, instance};
use crate::support::gate::{Calls, Fault, Gate, Service};
use crate::support::receiver;
use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::{ACCESS_KEY_ID, Denied, Profile, SECRET_ACCESS_KEY};
use crate::support::sqs_server::SqsServer;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

/// On AWS Lambda, where the archive keeps failed events.
pub(crate) async fn keeping(profile: Profile) -> Bucket {
    let mut bucket = Bucket::start(profile).await;
    bucket
        .settings
        .extend(settings(&[("FAILED_EVENTS", "archive")]));
    bucket
}

fn denied(bucket: &Bucket) {
    let code = "Forbidden.RAM".to_owned();
    let id = InstanceId::parse(ID).unwrap();
    bucket
        .simulator
        .set_console(&id, Console::Error { status: 403, code });
}

fn mended(bucket: &Bucket) {
    set_console(&bucket.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
}

/// The failed events of a bucket, by their keys.
fn failed(bucket: &Bucket) -> BTreeMap<String, KeptEvent> {
    let objects = bucket.server.objects().into_iter();
    let failed = objects.filter(|(key, _)| key.contains("/failed/") && !is_note(key));
    let kept = |object: s3_server::StoredObject| {
        let object = Object {
            body: object.body,
            content_type: String::new(),
            metadata: object.metadata,
        };
        KeptEvent::read(&object).unwrap()
    };
    failed.map(|(key, object)| (key, kept(object))).collect()
}

fn is_note(key: &str) -> bool {
    key.contains("/failed/not-removed/")
}

fn notes(bucket: &Bucket) -> Vec<String> {
    let keys = bucket.server.objects().into_keys();
    keys.filter(|key| is_note(key)).collect()
}

pub(crate) async fn redrive(function: &Function, event: Value) -> Value {
    function.result_of(event.to_string().as_bytes()).await
}

pub(crate) fn counts(outcome: &Value) -> [u64; 4] {
    assert_eq!(outcome["outcome"], "redriven", "{outcome}");
    ["served", "failed", "given_up", "left"].map(|name| outcome[name].as_u64().unwrap())
}

#[tokio::test]
async fn what_fails_each_time_is_tried_so_often_and_then_left_to_a_person() {
    for profile in [
        Profile::Aws,
        Profile::Oss { versioned: false },
        Profile::Oss { versioned: true },
        Profile::IgnoresConditions,
    ] {
        let bucket = keeping(profile).await;
        denied(&bucket);
        let function = Function::start(&bucket.settings).await;
        function.failure_of(starting(ID).as_bytes()).await;
        let (first, kept) = failed(&bucket).pop_first().unwrap();
        assert_eq!((kept.attempts, kept.tried_at), (0, None));
        let event = json!({"redrive": {"max_attempts": 3}});
        for attempts in 1..=3 {
            let outcome = redrive(&function, event.clone()).await;
            let expected = if attempts < 3 {
                [0, 1, 0, 0]
            } else {
                [0, 0, 1, 0]
            };
            assert_eq!(counts(&outcome), expected, "{outcome}");
            let (key, again) = failed(&bucket).pop_first().unwrap();
            assert_eq!(failed(&bucket).len(), 1);
            assert_ne!(key, first);
            assert_eq!(key.contains("/failed/given-up/EcsDenied-"), attempts == 3);
            assert_eq!(
                (&again.event, again.attempts, again.failed_at),
                (&kept.event, attempts, kept.failed_at)
            );
        }
        // From now on nobody tries it but a person.
        let asked = bucket.simulator.answered().len();
        assert_eq!(counts(&redrive(&function, event.clone()).await), [0; 4]);
        assert_eq!(bucket.simulator.answered().len(), asked);
        let list = cli(&bucket.settings, &["redrive", "--dry-run"]).await;
        assert!(text(&list.stdout).contains("/failed/given-up/EcsDenied-"));
        mended(&bucket);
        let by_hand = cli(&bucket.settings, &["redrive"]).await;
        assert_eq!(by_hand.status.code(), Some(0), "{}", text(&by_hand.stderr));
        assert_eq!(
            (failed(&bucket).len(), bucket.server.records().len()),
            (0, 1)
        );
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn what_succeeds_is_removed_and_what_can_never_succeed_is_given_up_at_once() {
    let bucket = keeping(Profile::Aws).await;
    denied(&bucket);
    let function = Function::start(&bucket.settings).await;
    function.failure_of(starting(ID).as_bytes()).await;
    let sqs = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": body}]});
    let invalid = sqs("{ no event").to_string();
    function.result_of(invalid.as_bytes()).await;
    assert_eq!(failed(&bucket).len(), 2);
    mended(&bucket);
    // As the timers of Function Compute hand it over.
    let timer = json!({"triggerTime": "2024-03-22T02:04:45Z", "triggerName": "redrive",
                       "payload": r#"{"redrive": {}}"#});
    assert_eq!(counts(&redrive(&function, timer).await), [1, 0, 1, 0]);
    let (key, _) = failed(&bucket).pop_first().unwrap();
    assert!(key.contains("/failed/given-up/InvalidEvent-"), "{key}");
    assert_eq!(bucket.server.records().len(), 1);
}

#[tokio::test]
async fn a_redrive_over_http_is_refused_and_one_within_a_redrive_does_nothing() {
    let mut bucket = keeping(Profile::Aws).await;
    bucket
        .settings
        .extend(settings(&[("WEBHOOK_ALLOW_UNSIGNED", "true")]));
    let function = Function::start(&bucket.settings).await;
    let body = json!({"redrive": {}}).to_string();
    let pushed =
        json!({"version": "2.0", "body": body, "requestContext": {"http": {"method": "POST"}}});
    let reply = function.result_of(pushed.to_string().as_bytes()).await;
    assert_eq!(reply["statusCode"], 400, "{reply}");
    assert!(
        reply["body"].as_str().unwrap().contains("not over HTTP"),
        "{reply}"
    );
    assert!(failed(&bucket).is_empty());
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let mut all = ecs_settings(&simulator);
    all.extend(folder_settings(folder.path()));
    let at = jiff::Timestamp::UNIX_EPOCH;
    let nested = FailedEvent::new(&body, Origin::Invocation, "ArchiveDenied", at).unwrap();
    let file = folder.path().join(nested.key.to_string());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &nested.object.body).unwrap();
    let event = folder.path().join("redrive.json");
    std::fs::write(&event, &body).unwrap();
    let output = cli(&all, &["invoke", event.to_str().unwrap()]).await;
    let told = text(&output.stdout);
    assert!(
        told.contains("1 served, 0 failed again, 0 given up, 0 left"),
        "{told}"
    );
    assert!(output.status.success() && !file.exists());
}

#[tokio::test]
async fn a_receivers_timer_invokes_it_by_hand_and_learns_what_is_left() {
    let server = receiver::function_compute(&[]).await;
    let id = InstanceId::parse(ID).unwrap();
    let code = "Forbidden.RAM".to_owned();
    server
        .simulator
        .set_console(&id, Console::Error { status: 403, code });
    let failed = server.invoke(starting(ID)).send().await.unwrap();
    assert_eq!(failed.status(), 404);
    let event = json!({"redrive": {}}).to_string();
    let answer = server.invoke(event.clone()).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(counts(&answer), [0, 1, 0, 0]);
    let mut all = ecs_settings(&server.simulator);
    all.extend(folder_settings(server.folder.path()));
    let file = server.folder.path().join("event.json");
    std::fs::write(&file, event).unwrap();
    for (outcome, code) in [("1 failed again", 1), ("1 served", 0), ("0 served", 0)] {
        let output = cli(&all, &["invoke", file.to_str().unwrap()]).await;
        let told = text(&output.stdout);
        assert!(told.contains(outcome), "{told}");
        assert_eq!(output.status.code(), Some(code), "{told}");
        set_console(&server.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    }
}

#[tokio::test]
async fn what_cannot_be_removed_is_served_once_until_it_can_be() {
    let states = ["Starting", "Stopping", "Running"];
    for (succeeds, copies) in [(true, 0), (false, 1)] {
        let bucket = keeping(Profile::Aws).await;
        denied(&bucket);
        let function = Function::start(&bucket.settings).await;
        for state in states {
            let event = starting(ID).replace("Starting", state);
            function.failure_of(event.as_bytes()).await;
        }
        if succeeds {
            mended(&bucket);
        }
        bucket.server.deny(&[Denied::Delete]);
        let event = json!({"redrive": {}}).to_string();
        for round in 0..12 {
            let asked = bucket.simulator.answered().len();
            let answer = function.invoke(event.as_bytes(), TIMEOUT).await;
            let Answer::Error {
                error_type,
                error_message,
            } = answer
            else {
                panic!("{answer:?}");
            };
            assert_eq!(error_type, "ArchiveDenied");
            assert!(error_message.contains("AccessDenied"), "{error_message}");
            let asked = bucket.simulator.answered().len() - asked;
            assert_eq!(asked, usize::from(round == 0), "{round}");
            assert_eq!(failed(&bucket).len(), states.len() + copies, "{round}");
            assert_eq!(notes(&bucket).len(), 1, "{round}");
        }
        bucket.server.allow_all();
        mended(&bucket);
        let outcome = redrive(&function, json!({"redrive": {}})).await;
        // The one that was served is only removed. If it had failed, its copy is served.
        let left = if succeeds { 2 } else { 3 };
        assert_eq!(counts(&outcome), [left, 0, 0, 0], "{outcome}");
        assert_eq!((failed(&bucket).len(), notes(&bucket).len()), (0, 0));
        assert_eq!(bucket.server.records().len(), 1);
    }
}

#[tokio::test]
async fn two_redrives_at_once_count_one_attempt_and_lose_nothing() {
    let bucket = keeping(Profile::Aws).await;
    denied(&bucket);
    let (one, other) = (
        Function::start(&bucket.settings).await,
        Function::start(&bucket.settings).await,
    );
    one.failure_of(starting(ID).as_bytes()).await;
    let event = json!({"redrive": {"max_attempts": 9}});
    for round in 1..=4 {
        let both = tokio::join!(redrive(&one, event.clone()), redrive(&other, event.clone()));
        assert_eq!(counts(&both.0)[0] + counts(&both.1)[0], 0);
        let kept = failed(&bucket);
        assert!((1..=2).contains(&kept.len()), "{kept:?}");
        assert!(
            kept.values().all(|kept| kept.attempts <= 2 * round),
            "{kept:?}"
        );
    }
    mended(&bucket);
    tokio::join!(redrive(&one, event.clone()), redrive(&other, event.clone()));
    redrive(&one, event).await;
    assert_eq!(
        (failed(&bucket).len(), bucket.server.records().len()),
        (0, 1)
    );
}

/// Each call of a redrive meets each fault: nothing is lost, and the next redrives clean up.
#[tokio::test]
async fn whatever_call_of_a_redrive_fails_or_is_the_last_no_event_is_lost() {
    for (profile, succeeds) in [
        (Profile::Aws, true),
        (Profile::Aws, false),
        (Profile::IgnoresConditions, false),
    ] {
        let whole = crash(profile, succeeds, None).await;
        // A listing, a read, ECS, what is stored and the removal.
        assert!(whole >= 5, "{whole}");
        for number in 1..=whole {
            for fault in Fault::ALL {
                crash(profile, succeeds, Some((number, fault))).await;
            }
        }
    }
}

/// A function behind gates, and an archive that keeps one failed event of it.
struct Gated {
    bucket: Bucket,
    calls: Arc<Calls>,
    _gates: [Gate; 2],
    function: Function,
    kept: KeptEvent,
}

impl Gated {
    async fn start(profile: Profile) -> Self {
        let [mut ecs, mut store] = [Gate::shut().await, Gate::shut().await];
        let mut bucket = Bucket::start_behind(profile, Some(store.port)).await;
        let calls = Arc::new(Calls::default());
        let upstream = port_of(&bucket.simulator.endpoint_url());
        ecs.open(Service::Ecs, upstream, calls.clone());
        store.open(Service::Store, bucket.server.own_port, calls.clone());
        bucket.settings.extend(settings(&[
            ("FAILED_EVENTS", "archive"),
            (
                "ECS_ENDPOINT_URL",
                &format!("http://127.0.0.1:{}", ecs.port),
            ),
        ]));
        denied(&bucket);
        let function = started(&bucket.settings, &calls).await;
        function.failure_of(starting(ID).as_bytes()).await;
        let kept = failed(&bucket).pop_first().unwrap().1;
        Self {
            bucket,
            calls,
            _gates: [ecs, store],
            function,
            kept,
        }
    }

    /// A redrive whose `number`-th call meets this fault; how many calls there were, and whether it
    /// was answered.
    async fn redrive_with(&self, fault: Option<(usize, Fault)>) -> (usize, bool) {
        let before = self.calls.count();
        if let Some((number, fault)) = fault {
            self.calls.fault_at(before + number, fault);
        }
        let event = json!({"redrive": {}}).to_string();
        let answer = self.function.try_invoke(event.as_bytes(), TIMEOUT).await;
        (self.calls.count() - before, answer.is_ok())
    }

    async fn restart(&mut self) {
        self.function = started(&self.bucket.settings, &self.calls).await;
    }

    /// The copies of the event that are left, and whether it is stored, if it is not lost.
    fn assert_not_lost(&self, case: &str) -> usize {
        let left = failed(&self.bucket);
        let is_done = self.bucket.server.records().len() == 1;
        assert!(is_done || !left.is_empty(), "{case}: the event is lost");
        assert!(
            left.values().all(|left| left.event == self.kept.event),
            "{case}"
        );
        left.len()
    }

    /// After the cause is mended, one redrive serves what is left, whatever happened before.
    async fn assert_mendable(&self, case: &str) {
        mended(&self.bucket);
        let last = redrive(&self.function, json!({"redrive": {}})).await;
        assert_eq!(counts(&last)[1..], [0; 3], "{case}: {last}");
        let left = failed(&self.bucket);
        assert!(left.is_empty(), "{case}: {left:?}");
        assert_eq!(notes(&self.bucket), [""; 0], "{case}");
        assert_eq!(self.bucket.server.records().len(), 1, "{case}");
        self.bucket.server.assert_nothing_was_overwritten();
    }
}

fn port_of(url: &str) -> u16 {
    url::Url::parse(url).unwrap().port().unwrap()
}

async fn started(settings: &Settings, calls: &Calls) -> Function {
    let function = Function::start(settings).await;
    calls.set_process(function.process());
    function
}

/// One redrive of one event with a fault, and redrives until nothing is left; the calls of the first.
async fn crash(profile: Profile, succeeds: bool, fault: Option<(usize, Fault)>) -> usize {
    let case = format!("{profile:?} {succeeds} {fault:?}");
    let mut gated = Gated::start(profile).await;
    if succeeds {
        mended(&gated.bucket);
    }
    let (count, is_answered) = gated.redrive_with(fault).await;
    assert!(fault.is_none() || gated.calls.faulted().is_some(), "{case}");
    assert!(gated.assert_not_lost(&case) <= 2, "{case}");
    let left = failed(&gated.bucket);
    assert!(left.values().all(|left| left.attempts <= 1), "{case}");
    if !is_answered {
        gated.restart().await;
    }
    gated.assert_mendable(&case).await;
    count
}

/// Killed after the same call each time, whatever that call is: a loop of kills leaves one copy of the
/// event more for each of them at most.
#[tokio::test]
async fn each_kill_of_a_redrive_leaves_one_copy_more_at_most() {
    const KILLS: usize = 4;
    let mut most = 0;
    for succeeds in [true, false] {
        let gated = Gated::start(Profile::Aws).await;
        let (whole, _) = gated.redrive_with(None).await;
        for number in 1..=whole {
            let case = format!("{succeeds} {number}");
            let mut gated = Gated::start(Profile::Aws).await;
            if succeeds {
                mended(&gated.bucket);
            }
            for kills in 1..=KILLS {
                let fault = Some((number, Fault::KillAfter));
                let (calls, is_answered) = gated.redrive_with(fault).await;
                // After a removal, the next one may have less to do.
                assert!(!is_answered || calls < number, "{case}");
                let copies = gated.assert_not_lost(&case);
                assert!(copies <= 1 + kills, "{case}: {copies} after {kills} kills");
                most = most.max(copies);
                gated.restart().await;
            }
            gated.calls.fault_at(0, Fault::KillAfter); // No call has this number.
            gated.assert_mendable(&case).await;
        }
    }
    assert!(most >= 2, "no kill left a copy");
}

/// The last part of a sweep of which an instance failed in a part before, so that it begins anew: the
/// queue gets the whole sweep, and then loses this message.
fn last_part() -> String {
    let done = json!({"regions": 0, "instances": 3, "stored": 2, "already_stored": 0,
                      "no_console": 0, "failed": 1, "failures": ["i-swept00: ECS refused access"]});
    let ids = ["i-swept00", "i-swept01", "i-swept02"];
    let cursor = json!({"region_id": "cn-hangzhou", "done": ids});
    json!({"sweep": {"version": 1, "regions": ["cn-hangzhou"], "concurrency": 8,
                     "per_second": 100, "resume": cursor, "done": done}})
    .to_string()
}

/// The same for a queue of failed events, where SQS keeps a message until it is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_of_a_redrive_of_a_queue_fails_or_is_the_last_no_event_is_lost() {
    let mut cases = Vec::new();
    for (event, consoles, least) in [(starting("i-swept01"), 1, 4), (last_part(), 4, 5)] {
        let whole = crash_of_queue(&event, consoles, None).await;
        // To receive, to ask ECS, to remove and to receive nothing; a sweep is sent again, too.
        assert!(whole >= least, "{whole}");
        for number in 1..=whole {
            cases.extend(Fault::ALL.map(|fault| (event.clone(), consoles, (number, fault))));
        }
    }
    let cases = stream::iter(cases).map(|(event, consoles, fault)| {
        let case = async move { crash_of_queue(&event, consoles, Some(fault)).await };
        tokio::spawn(case)
    });
    let ran: Vec<_> = cases.buffer_unordered(8).collect().await;
    assert!(ran.into_iter().all(|case| case.is_ok()));
}

/// One redrive of a queue with one message and a fault, and redrives until nothing is left; the calls
/// of the first.
async fn crash_of_queue(event: &str, consoles: usize, fault: Option<(usize, Fault)>) -> usize {
    let case = format!("{event} {fault:?}");
    let simulator = bare_simulator(ecs_credentials()).await;
    for index in 0..4 {
        let id = format!("i-swept{index:02}");
        set_console(&simulator, &id, id.as_bytes(), "2024-03-22 10:04:57");
    }
    let (sqs, folder) = (SqsServer::start().await, tempfile::tempdir().unwrap());
    sqs.deliver_what_is_sent();
    sqs.put(event);
    let [mut ecs, mut queue] = [Gate::shut().await, Gate::shut().await];
    let calls = Arc::new(Calls::default());
    ecs.open(
        Service::Ecs,
        port_of(&simulator.endpoint_url()),
        calls.clone(),
    );
    queue.open(Service::Queue, port_of(&sqs.queue_url()), calls.clone());
    let mut all = ecs_settings(&simulator);
    all.extend(folder_settings(folder.path()));
    all.extend(settings(&[
        (
            "ECS_ENDPOINT_URL",
            &format!("http://127.0.0.1:{}", ecs.port),
        ),
        (
            "FAILED_QUEUE_URL",
            &format!("http://127.0.0.1:{}/123456789012/follow", queue.port),
        ),
        ("FOLLOW_SECONDS", "0"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_REGION", "us-east-1"),
    ]));
    if let Some((number, fault)) = fault {
        calls.fault_at(number, fault);
    }
    let mut function = started(&all, &calls).await;
    let redrive = json!({"redrive": {}}).to_string();
    let answer = function.try_invoke(redrive.as_bytes(), TIMEOUT).await;
    let count = calls.count();
    assert!(fault.is_none() || calls.faulted().is_some(), "{case}");
    let stored = || {
        let folders = names_in(folder.path(), "").into_iter();
        let folders = folders.filter(|name| name.starts_with("i-"));
        folders
            .map(|name| names_in(&folder.path().join(name), ".log.gz").len())
            .sum::<usize>()
    };
    let (waiting, in_flight) = sqs.left();
    assert!(waiting + in_flight <= 2, "{case}: {:?}", sqs.left());
    assert!(
        waiting + in_flight > 0 || stored() == consoles,
        "{case}: the event is lost"
    );
    if answer.is_err() {
        function = started(&all, &calls).await;
    }
    // The message, and the sweep that begins anew.
    for _ in 0..2 {
        sqs.make_visible();
        function.result_of(redrive.as_bytes()).await;
    }
    assert_eq!((sqs.left(), stored()), ((0, 0), consoles), "{case}");
    count
}

/// A role that may receive and not delete: the queue counts, so that the redrive ends.
#[tokio::test]
async fn a_queue_that_deletes_nothing_ends_each_redrive_and_gets_no_copy() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let (sqs, mut queue) = (SqsServer::start().await, Gate::shut().await);
    let calls = Arc::new(Calls::default());
    queue.open(Service::Queue, port_of(&sqs.queue_url()), calls.clone());
    let url = format!("http://127.0.0.1:{}/123456789012/follow", queue.port);
    bucket
        .settings
        .extend(settings(&[("FAILED_QUEUE_URL", &url)]));
    mended(&bucket);
    let function = Function::start(&bucket.settings).await;
    sqs.put(&starting(ID));
    let event = json!({"redrive": {"max_attempts": 3}}).to_string();
    for round in 1..=6 {
        let is_refused = round <= 5;
        if is_refused {
            // It receives, and then deletes. What came too often waits until the queue has no other.
            let deletes = if round <= 3 { 2 } else { 3 };
            calls.fault_at(calls.count() + deletes, Fault::Deny);
        }
        let asked = bucket.simulator.answered().len();
        let answer = function.invoke(event.as_bytes(), TIMEOUT).await;
        let asked = bucket.simulator.answered().len() - asked;
        assert_eq!(asked, 1, "{round}: {answer:?}");
        let is_told =
            matches!(&answer, Answer::Error { error_type, .. } if error_type == "QueueRefused");
        assert_eq!(is_told, is_refused, "{round}: {answer:?}");
        assert_eq!(sqs.left(), (0, usize::from(is_refused)), "{round}");
        sqs.make_visible();
    }
    assert_eq!(bucket.server.records().len(), 1);
}

#[tokio::test]
async fn of_a_queue_what_succeeds_is_removed_and_what_was_received_too_often_is_given_up() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    bucket
        .settings
        .extend(settings(&[("FAILED_QUEUE_URL", &sqs.queue_url())]));
    denied(&bucket);
    let function = Function::start(&bucket.settings).await;
    sqs.put(&starting(ID));
    sqs.put("{ no event");
    sqs.put(&json!({"redrive": {}}).to_string());
    let event = json!({"redrive": {"max_attempts": 3}});
    assert_eq!(
        counts(&redrive(&function, event.clone()).await),
        [1, 1, 1, 0]
    );
    assert_eq!(sqs.left(), (0, 2));
    for attempt in 2..=5 {
        sqs.make_visible();
        let asked = bucket.simulator.answered().len();
        let outcome = redrive(&function, event.clone()).await;
        let expected = if attempt < 3 {
            [0, 1, 1, 0]
        } else {
            [0, 0, 2, 0]
        };
        assert_eq!(counts(&outcome), expected, "{attempt}");
        assert_eq!(bucket.simulator.answered().len() - asked, 1);
    }
    // A person still finds both.
    sqs.make_visible();
    mended(&bucket);
    let by_hand = cli(
        &bucket.settings,
        &["redrive", "--queue-url", &sqs.queue_url()],
    )
    .await;
    assert_eq!(by_hand.status.code(), Some(2), "{}", text(&by_hand.stderr));
    assert_eq!((sqs.left(), bucket.server.records().len()), ((0, 1), 1));
    // A queue that refuses is told.
    sqs.fault_next(403, "AccessDenied");
    let answer = function.invoke(event.to_string().as_bytes(), TIMEOUT).await;
    let Answer::Error { error_type, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(error_type, "QueueRefused");
    // Each time, an alarm can see which were given up: the invalid one five times, the other three.
    let log = function.stop().await;
    let given_up = log
        .lines()
        .filter(|line| line.contains("given up: message"));
    let given_up: Vec<_> = given_up.collect();
    assert_eq!(given_up.len(), 8, "{log}");
    assert!(given_up.iter().all(|line| line.contains("ERROR")), "{log}");
}

#[tokio::test]
async fn an_outage_gives_up_no_message_of_a_queue() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    bucket.settings.extend(settings(&[
        ("FAILED_QUEUE_URL", &sqs.queue_url()),
        // Nobody listens there.
        ("ECS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ]));
    for number in 0..6 {
        sqs.put(&starting(&format!("i-queued{number}")));
    }
    let event = json!({"redrive": {"max_attempts": 1}});
    for _ in 0..2 {
        let function = Function::start(&bucket.settings).await;
        let (event, time) = (event.to_string(), Duration::from_secs(9));
        let Answer::Response(outcome) = function.invoke(event.as_bytes(), time).await else {
            panic!("the redrive failed");
        };
        let [served, failed, given_up, left] = counts(&outcome);
        // How many are received in its time depends on the pauses between attempts.
        let (waiting, received) = sqs.left();
        assert_eq!((served, given_up), (0, 0), "{outcome}");
        assert_eq!(
            (waiting + received, failed + left),
            (6, received as u64),
            "{outcome}"
        );
        sqs.make_visible();
    }
    let mended = {
        let mut mended = bucket.settings.clone();
        let endpoint = bucket.simulator.endpoint_url();
        mended.extend(settings(&[("ECS_ENDPOINT_URL", &endpoint)]));
        mended
    };
    for number in 0..6 {
        let id = format!("i-queued{number}");
        set_console(&bucket.simulator, &id, b"hello\n", "2024-03-22 10:04:57");
    }
    let function = Function::start(&mended).await;
    assert_eq!(counts(&redrive(&function, event).await), [6, 0, 0, 0]);
    assert_eq!(sqs.left(), (0, 0));
}

/// Puts failed events of so many instances into a store.
pub(crate) async fn keep(store: &MemoryStore, instances: usize, failed_at: &str) {
    for index in 0..instances {
        let event = starting(instance(index).as_str());
        let at = failed_at.parse().unwrap();
        let failed = FailedEvent::new(&event, Origin::Invocation, "EcsUnavailable", at);
        let failed = failed.unwrap();
        let key = failed.key.to_string();
        store.put_if_absent(&key, &failed.object).await.unwrap();
    }
}

fn kept_in(store: &MemoryStore) -> Vec<String> {
    let objects = store.objects.lock().unwrap();
    let keys = objects.keys().filter(|key| key.starts_with("failed/"));
    keys.cloned().collect()
}

pub(crate) async fn redrive_in(
    fleet: &FakeFleet,
    store: &MemoryStore,
    event: &Value,
    seconds: u64,
) -> Result<Value, String> {
    let time = Duration::from_secs(seconds);
    let (text, started) = (event.to_string(), Instant::now());
    let dispatcher = dispatcher(fleet, store);
    let payload = Payload::Invocation(text.as_bytes());
    let reply = dispatcher.dispatch(payload, Deadline::after(time)).await;
    assert!(started.elapsed() <= time, "{:?}", started.elapsed());
    reply
        .to_json()
        .map_err(|error| error.error_type.to_string())
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_the_redrive_and_counts_as_no_attempt_until_the_events_are_old() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().hanging = (0..100).map(instance).collect();
    keep(&store, 100, "2024-03-21T00:00:00Z").await;
    let before = kept_in(&store);
    let event = json!({"redrive": {"max_attempts": 1}});
    for _ in 0..3 {
        let outcome = redrive_in(&fleet, &store, &event, 60).await.unwrap();
        assert_eq!(counts(&outcome), [0, 41, 0, 59]);
        assert_eq!(kept_in(&store), before);
    }
    // The last of them failed 15 days ago.
    let event = json!({"redrive": {"max_age_days": 0}});
    let outcome = redrive_in(&fleet, &store, &event, 60).await.unwrap();
    assert!(counts(&outcome)[2] >= 4, "{outcome}");
    let given_up = kept_in(&store);
    let given_up = given_up
        .iter()
        .filter(|key| key.starts_with("failed/given-up/"));
    assert_eq!(given_up.count() as u64, counts(&outcome)[2]);
    assert_eq!(kept_in(&store).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_ends_within_its_time_and_at_its_limit_and_goes_on_the_next_time() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_secs(2);
    keep(&store, 100, "2024-03-21T00:00:00Z").await;
    let mut served = 0;
    for _ in 0..3 {
        let outcome = redrive_in(&fleet, &store, &json!({"redrive": {}}), 20).await;
        let [done, failed, given_up, left] = counts(&outcome.unwrap());
        assert!(done > 8, "{done}");
        served += done;
        assert_eq!((failed, given_up, left), (0, 0, 100 - served));
        assert_eq!(kept_in(&store).len() as u64, 100 - served);
    }
    for most in [1, 6] {
        let event = json!({"redrive": {"max_events": most}});
        let outcome = redrive_in(&fleet, &store, &event, 600).await.unwrap();
        served += most;
        assert_eq!(counts(&outcome), [most, 0, 0, 100 - served]);
    }
    // Without time for one, it is an error, which names the time.
    let event = json!({"redrive": {}});
    let outcome = redrive_in(&fleet, &store, &event, 3).await;
    assert_eq!(outcome, Err("TimeoutTooShort".to_owned()));
}

/// Keeps one push of these instances' events; the events that stay of it.
pub(crate) async fn keep_push(store: &MemoryStore, events: &[Value]) {
    let failed_at = "2024-03-21T00:00:00Z".parse().unwrap();
    let failed = FailedEvent::new(
        &json!(events).to_string(),
        Origin::Invocation,
        "EcsUnavailable",
        failed_at,
    )
    .unwrap();
    let key = failed.key.to_string();
    store.put_if_absent(&key, &failed.object).await.unwrap();
}

pub(crate) fn starting_in(index: usize) -> Value {
    serde_json::from_str(&starting(instance(index).as_str())).unwrap()
}

fn events_in(store: &MemoryStore) -> Vec<(KeptEvent, Value)> {
    let objects = store.objects.lock().unwrap();
    let failed = objects.iter().filter(|(key, _)| key.starts_with("failed/"));
    let kept = failed.map(|(_, object)| KeptEvent::read(object).unwrap());
    kept.map(|kept| (kept.clone(), serde_json::from_str(&kept.event).unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_redrive_of_a_large_push_serves_what_those_before_had_no_time_for() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_millis(250);
    // The first of them hang, and take all the time of the first part.
    fleet.state().hanging = (0..4).map(instance).collect();
    let events: Vec<_> = (0..1000).map(starting_in).collect();
    keep_push(&store, &events).await;
    let event = json!({"redrive": {"max_attempts": 1}});
    let mut redrives = 0;
    while (4..1000).any(|index| store.records(&instance(index)) == 0) {
        let outcome = redrive_in(&fleet, &store, &event, 60).await.unwrap();
        assert_eq!(counts(&outcome)[2], 0, "{outcome}");
        redrives += 1;
        assert!(redrives <= 3, "{outcome}");
    }
    // What hangs stays, and no attempt counts. The others were asked for once, but for those that
    // the end of a part cut off.
    let left = events_in(&store);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].0.attempts, &left[0].1), (0, &json!(&events[..4])));
    let asked: usize = (4..1000)
        .map(|index| fleet.state().asked[&instance(index)])
        .sum();
    // Near the end of its time, a part begins four rounds of four events without time enough for them.
    assert!(asked < 996 + 4 * 4 * 4 * redrives, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_region_that_does_not_answer_holds_up_no_other() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let of = |region: &str, index: usize| {
        let mut event = starting_in(index);
        event["aliyunregionid"] = json!(region);
        json!([event])
    };
    // A region that is down, and one in which only some instances hang.
    fleet.state().hanging = (0..40).chain(100..102).map(instance).collect();
    for index in 0..40 {
        keep_push(&store, of("cn-beijing", index).as_array().unwrap()).await;
    }
    for index in 100..140 {
        keep_push(&store, of("cn-hangzhou", index).as_array().unwrap()).await;
    }
    let event = json!({"redrive": {}});
    // In this time, about 33 that hang can be tried.
    let outcome = redrive_in(&fleet, &store, &event, 60).await.unwrap();
    let [served, failed, given_up, left] = counts(&outcome);
    assert_eq!((served, given_up, failed + left), (38, 0, 42), "{outcome}");
}

#[tokio::test]
async fn what_is_too_large_to_be_an_event_is_neither_read_nor_in_the_way() {
    let server = receiver::function_compute(&[]).await;
    let folder = server.folder.path().join("failed");
    std::fs::create_dir(&folder).unwrap();
    // A little longer than the longest event, and longer than the longest object.
    for (name, bytes) in [
        ("aaaaaaaaaaaa", (16 << 20) + 2000),
        ("bbbbbbbbbbbb", 66 << 20),
    ] {
        let file = std::fs::File::create(folder.join(format!("EcsDenied-{name}.json"))).unwrap();
        file.set_len(bytes).unwrap();
    }
    let id = InstanceId::parse(ID).unwrap();
    let code = "Forbidden.RAM".to_owned();
    let denied = Console::Error { status: 403, code };
    server.simulator.set_console(&id, denied);
    server.invoke(starting(ID)).send().await.unwrap();
    set_console(&server.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    // Where events are given up, a link leads elsewhere. What is to be given up stays.
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.join("given-up")).unwrap();
    let invalid = FailedEvent::new(
        "{ no event",
        Origin::Http,
        "InvalidEvent",
        jiff::Timestamp::UNIX_EPOCH,
    );
    let invalid = invalid.unwrap();
    let file = server.folder.path().join(invalid.key.to_string());
    std::fs::write(&file, &invalid.object.body).unwrap();
    for served in [1, 0] {
        let event = json!({"redrive": {}}).to_string();
        let answer = server.invoke(event).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(counts(&answer), [served, 1, 0, 0]);
        assert!(file.exists() && names_in(elsewhere.path(), "").is_empty());
    }
    let (_, log) = server.terminate().await;
    for bytes in ["16779216 bytes", "69206016 bytes"] {
        assert_eq!(log.matches(bytes).count(), 2, "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_about_to_end_begins_nothing_and_says_what_is_left() {
    // The event of the second case hangs, and is in its second and longer turn.
    for (hanging, kept, ends_at, expected) in [
        (0..0, 60, 1500, [5, 0, 0, 55]),
        (0..1, 1, 5500, [0, 1, 0, 0]),
    ] {
        let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
        fleet.state().call_time = Duration::from_secs(1);
        fleet.state().hanging = hanging.map(instance).collect();
        keep(&store, kept, "2024-03-21T00:00:00Z").await;
        let dispatcher = dispatcher(&fleet, &store);
        let event = json!({"redrive": {}}).to_string();
        let payload = Payload::Invocation(event.as_bytes());
        let redrive = dispatcher.dispatch(payload, Deadline::after(Duration::from_secs(60)));
        let end = async {
            tokio::time::sleep(Duration::from_millis(ends_at)).await;
            dispatcher.archiver.ending.cancel();
            Instant::now()
        };
        let (reply, told) = tokio::join!(redrive, end);
        assert!(told.elapsed() < Duration::from_secs(6));
        let outcome = reply.to_json().unwrap();
        assert_eq!(counts(&outcome), expected, "{outcome}");
        assert_eq!(kept_in(&store).len() as u64, kept as u64 - expected[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_inside_its_envelopes_is_not_served_without_them() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().hanging = [instance(1)].into();
    let deep = (0..9).fold(starting_in(2), |inside, _| json!([inside]));
    let events = [starting_in(0), starting_in(1), deep];
    keep_push(&store, &events).await;
    let before = kept_in(&store);
    redrive_in(&fleet, &store, &json!({"redrive": {}}), 60)
        .await
        .unwrap();
    assert_eq!(kept_in(&store), before);
    assert_eq!(store.records(&instance(0)), 1);
    assert!(!fleet.state().asked.contains_key(&instance(2)));
}

#[tokio::test]
async fn of_a_push_only_what_fails_is_tried_again_and_given_up() {
    let bucket = keeping(Profile::Aws).await;
    denied(&bucket);
    let function = Function::start(&bucket.settings).await;
    let good = ["i-bp1cloudinit0000001", "i-bp1panicwithroot001"];
    for id in good {
        set_console(&bucket.simulator, id, b"hello\n", "2024-03-22 10:04:57");
    }
    let event = |id| serde_json::from_str::<Value>(&starting(id)).unwrap();
    let push = json!([event(good[0]), event(ID), event(good[1])]);
    function.failure_of(push.to_string().as_bytes()).await;
    assert_eq!(failed(&bucket).len(), 1);
    let redriven = json!({"redrive": {"max_attempts": 2}});
    for (asked, expected) in [(3, [0, 1, 0, 0]), (1, [0, 0, 1, 0])] {
        let before = bucket.simulator.answered().len();
        let outcome = redrive(&function, redriven.clone()).await;
        assert_eq!(counts(&outcome), expected, "{outcome}");
        assert_eq!(bucket.simulator.answered().len() - before, asked);
        let (_, left) = failed(&bucket).pop_first().unwrap();
        assert_eq!(failed(&bucket).len(), 1);
        let left: Value = serde_json::from_str(&left.event).unwrap();
        assert_eq!(left, event(ID));
    }
    assert_eq!(bucket.server.records().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_of_a_service_that_is_down_does_not_call_itself_again_and_again() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().hanging = (0..4).map(instance).collect();
    keep(&store, 5, "2024-03-21T00:00:00Z").await;
    let queue = Arc::new(SentMessages::default());
    let dispatcher = {
        let mut dispatcher = dispatcher(&fleet, &store);
        dispatcher.archiver.follow_queue = Some(queue.clone());
        dispatcher
    };
    let (mut next, mut redrives) = (Some(json!({"redrive": {}}).to_string()), 0);
    while let Some(event) = next.take() {
        let payload = Payload::Invocation(event.as_bytes());
        let deadline = Deadline::after(Duration::from_secs(9));
        let reply = dispatcher.dispatch(payload, deadline).await;
        let outcome = reply.to_json().unwrap();
        let [served, failed, given_up, left] = counts(&outcome);
        assert_eq!(served + failed + given_up + left, 5, "{outcome}");
        next = queue.0.lock().unwrap().pop_front().map(|(body, _)| body);
        assert_eq!(outcome.get("resume").is_some(), next.is_some());
        redrives += 1;
    }
    // At most, one of them served the one that could be.
    assert!(redrives <= 2, "{redrives}");
}

#[tokio::test]
async fn a_redrive_goes_on_by_a_message_and_tries_no_event_twice() {
    let mut bucket = keeping(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    bucket.settings.extend(settings(&[
        ("FOLLOW_QUEUE_URL", &sqs.queue_url()),
        ("FOLLOW_SECONDS", "0"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ]));
    denied(&bucket);
    let function = Function::start(&bucket.settings).await;
    let event = |number: usize| starting(ID).replace("Starting", ["Starting", "Stopping"][number]);
    for number in 0..2 {
        function.failure_of(event(number).as_bytes()).await;
    }
    // The message of an invocation that began before the first try, and whose time was over.
    let began_at = jiff::Timestamp::now().to_string();
    let message = json!({"redrive": {"version": 1, "began_at": began_at,
                                     "done": {"served": 5, "left": 2}}});
    let batch = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m",
                                    "body": message.to_string()}]});
    for expected in [2, 0] {
        let asked = bucket.simulator.answered().len();
        let reply = function.result_of(batch.to_string().as_bytes()).await;
        assert_eq!(reply["batchItemFailures"], json!([]));
        assert_eq!(bucket.simulator.answered().len() - asked, expected);
    }
    assert!(failed(&bucket).values().all(|kept| kept.attempts == 1));
    let log = function.stop().await;
    assert!(
        log.contains("served=5") || log.contains(r#""served":5"#),
        "{log}"
    );
}
