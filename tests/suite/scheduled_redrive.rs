//! Failed events, served again when a schedule asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ecs_console_archiver::archive::record::{FailedEvent, KeptEvent};
use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::Console;
use ecs_console_archiver::store::{Object, Store as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fakes::{FakeFleet, MemoryStore, dispatcher, instance};
use crate::support::gate::{Calls, Fault, Gate, Service};
use crate::support::receiver;
use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::{ACCESS_KEY_ID, Denied, Profile, SECRET_ACCESS_KEY};
use crate::support::sqs_server::SqsServer;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

/// On AWS Lambda, where the archive keeps failed events.
async fn keeping(profile: Profile) -> Bucket {
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
    let failed = objects.filter(|(key, _)| key.contains("/failed/"));
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

async fn redrive(function: &Function, event: Value) -> Value {
    function.result_of(event.to_string().as_bytes()).await
}

fn counts(outcome: &Value) -> [u64; 4] {
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
    let nested = FailedEvent::new(&body, "ArchiveDenied", jiff::Timestamp::UNIX_EPOCH).unwrap();
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
async fn a_missing_permission_to_remove_is_told_once_and_leads_to_no_loop() {
    let bucket = keeping(Profile::Aws).await;
    mended(&bucket);
    let function = Function::start(&bucket.settings).await;
    denied(&bucket);
    let other = starting(ID).replace(ID, "i-bp1cloudinit0000001");
    let code = "Forbidden.RAM".to_owned();
    let id = InstanceId::parse("i-bp1cloudinit0000001").unwrap();
    bucket
        .simulator
        .set_console(&id, Console::Error { status: 403, code });
    function.failure_of(starting(ID).as_bytes()).await;
    function.failure_of(other.as_bytes()).await;
    bucket.server.deny(&[Denied::Delete]);
    let event = json!({"redrive": {"max_attempts": 2}}).to_string();
    for _ in 0..8 {
        let asked = bucket.simulator.answered().len();
        let answer = function.invoke(event.as_bytes(), TIMEOUT).await;
        let all_given_up = failed(&bucket).keys().all(|key| key.contains("given-up"));
        assert!(!all_given_up);
        let Answer::Error {
            error_type,
            error_message,
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(error_type, "ArchiveDenied");
        assert!(error_message.contains("AccessDenied"), "{error_message}");
        assert!(bucket.simulator.answered().len() - asked <= 4);
    }
    // Two events, each with no attempt, one and two.
    assert!(failed(&bucket).len() <= 6, "{:?}", failed(&bucket).keys());
    bucket.server.allow_all();
    mended(&bucket);
    let id = ["hello\n", "2024-03-22 10:04:57"];
    set_console(
        &bucket.simulator,
        "i-bp1cloudinit0000001",
        id[0].as_bytes(),
        id[1],
    );
    redrive(&function, json!({"redrive": {}})).await;
    assert!(failed(&bucket).keys().all(|key| key.contains("given-up")));
    assert_eq!(bucket.server.records().len(), 2);
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

/// One redrive of one event with a fault, and redrives until nothing is left; the calls of the first.
async fn crash(profile: Profile, succeeds: bool, fault: Option<(usize, Fault)>) -> usize {
    let case = format!("{profile:?} {succeeds} {fault:?}");
    let [mut ecs, mut store] = [Gate::shut().await, Gate::shut().await];
    let mut bucket = Bucket::start_behind(profile, Some(store.port)).await;
    let calls = Arc::new(Calls::default());
    let port_of = |url: &str| url::Url::parse(url).unwrap().port().unwrap();
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
    let mut function = Function::start(&bucket.settings).await;
    function.failure_of(starting(ID).as_bytes()).await;
    let kept = failed(&bucket).pop_first().unwrap().1;
    if succeeds {
        mended(&bucket);
    }
    let before = calls.count();
    if let Some((number, fault)) = fault {
        calls.fault_at(before + number, fault);
    }
    calls.set_process(function.process());
    let event = json!({"redrive": {}}).to_string();
    let answer = function.try_invoke(event.as_bytes(), TIMEOUT).await;
    let count = calls.count() - before;
    assert!(fault.is_none() || calls.faulted().is_some(), "{case}");
    let left = failed(&bucket);
    let is_done = succeeds && bucket.server.records().len() == 1;
    assert!(is_done || !left.is_empty(), "{case}: the event is lost");
    assert!(left.values().all(|left| left.event == kept.event), "{case}");
    assert!(left.values().all(|left| left.attempts <= 1), "{case}");
    mended(&bucket);
    if answer.is_err() {
        function = Function::start(&bucket.settings).await;
        calls.set_process(function.process());
    }
    let last = redrive(&function, json!({"redrive": {}})).await;
    assert_eq!(counts(&last)[1..], [0; 3], "{case}: {last}");
    assert!(failed(&bucket).is_empty(), "{case}: {:?}", failed(&bucket));
    assert_eq!(bucket.server.records().len(), 1, "{case}");
    bucket.server.assert_nothing_was_overwritten();
    count
}

#[tokio::test]
async fn of_a_queue_what_succeeds_is_removed_and_what_was_received_too_often_is_left_alone() {
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
        let tries = attempt <= 3;
        let expected = if tries { [0, 1, 1, 0] } else { [0, 0, 2, 0] };
        assert_eq!(counts(&outcome), expected, "{attempt}");
        assert_eq!(
            bucket.simulator.answered().len() - asked,
            usize::from(tries)
        );
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
}

/// Puts failed events of so many instances into a store.
async fn keep(store: &MemoryStore, instances: usize, failed_at: &str) {
    for index in 0..instances {
        let event = starting(instance(index).as_str());
        let failed = FailedEvent::new(&event, "EcsUnavailable", failed_at.parse().unwrap());
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

async fn redrive_in(
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
        assert_eq!(counts(&outcome), [0, 4, 0, 96]);
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
    let event = json!({"redrive": {"max_events": 4}});
    let outcome = redrive_in(&fleet, &store, &event, 600).await.unwrap();
    assert_eq!(counts(&outcome), [4, 0, 0, 96 - served]);
    // Without time for one, it is an error, which names the time.
    let outcome = redrive_in(&fleet, &store, &event, 3).await;
    assert_eq!(outcome, Err("TimeoutTooShort".to_owned()));
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
