//! The one door: what is kept of failures, limits of a push, and what goes on after the answer.

use std::time::Duration;

use ecs_console_archiver::hosts::dispatch::{Dispatcher, Payload};
use ecs_console_archiver::hosts::reply::Reply;
use ecs_console_archiver::intake::webhook::{Headers, WebhookRequest};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::Console;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fakes::{FakeFleet, MemoryStore, dispatcher, instance};
use crate::support::runtime_api::Function;
use crate::support::s3_server::Profile;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

fn denied(bucket: &Bucket) {
    let id = InstanceId::parse(ID).unwrap();
    let code = "Forbidden.RAM".to_owned();
    bucket
        .simulator
        .set_console(&id, Console::Error { status: 403, code });
}

/// Bodies of the failed events that the archive keeps.
fn failed(bucket: &Bucket) -> Vec<String> {
    let objects = bucket.server.objects().into_iter();
    let failed = objects.filter(|(key, _)| key.contains("/failed/"));
    failed.map(|(_, object)| text(&object.body)).collect()
}

fn typos() -> Vec<Value> {
    vec![
        json!({"instance_id": "i-bp1/../x"}),
        json!({"instance_id": "I-BP1"}),
        json!({"instance_id": ""}),
        json!({"instance_id": 5}),
        json!({"instance_id": ID, "region": "cn-hangzhou"}),
        json!({"instance_id": ID, "region_id": "evil.example/"}),
        json!({"instance_id": ID}), // Right, and refused.
        json!([{"instance_id": ID}, {"instance_id": "x y"}]),
    ]
}

fn over_http(body: &str) -> Value {
    json!({"version": "2.0", "body": body, "requestContext": {"http": {"method": "POST"}}})
}

async fn keeping_bucket() -> Bucket {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let own = [
        ("FAILED_EVENTS", "archive"),
        ("WEBHOOK_ALLOW_UNSIGNED", "true"),
    ];
    bucket.settings.extend(settings(&own));
    denied(&bucket);
    bucket
}

#[tokio::test]
async fn what_is_invoked_by_hand_and_fails_is_told_and_not_kept() {
    let bucket = keeping_bucket().await;
    let function = Function::start(&bucket.settings).await;
    for typo in typos() {
        let (_, message) = function.failure_of(typo.to_string().as_bytes()).await;
        assert!(!message.is_empty());
        let pushed = over_http(&typo.to_string()).to_string();
        let reply = function.result_of(pushed.as_bytes()).await;
        assert!(reply["statusCode"].as_u64() >= Some(400), "{reply}");
    }
    assert_eq!(failed(&bucket), [""; 0]);
    // A queue's sender reads no answer.
    let records: Vec<_> = typos()
        .iter()
        .map(|typo| json!({"eventSource": "aws:sqs", "messageId": "m", "body": typo.to_string()}))
        .collect();
    let batch = json!({ "Records": records }).to_string();
    function.result_of(batch.as_bytes()).await;
    assert_eq!(failed(&bucket).len(), typos().len());
}

#[tokio::test]
async fn a_file_on_the_command_line_that_is_not_an_event_is_told_and_not_kept() {
    let bucket = keeping_bucket().await;
    let folder = tempfile::tempdir().unwrap();
    let others = ["{ no event", "", "5", "{}", r#"{"source":"acs.ecs"}"#];
    let others = others.map(str::to_owned).into_iter();
    let files = typos()
        .into_iter()
        .map(|typo| typo.to_string())
        .chain(others);
    for (index, file) in files.enumerate() {
        let path = folder.path().join(format!("{index}.json"));
        std::fs::write(&path, &file).unwrap();
        let output = cli(&bucket.settings, &["invoke", path.to_str().unwrap()]).await;
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "{file}: {code:?}");
        assert!(!output.stdout.is_empty(), "{file}");
    }
    assert_eq!(failed(&bucket), [""; 0]);
    // A true event that fails is kept, as everywhere.
    let path = folder.path().join("true.json");
    std::fs::write(&path, starting(ID)).unwrap();
    cli(&bucket.settings, &["invoke", path.to_str().unwrap()]).await;
    assert_eq!(failed(&bucket).len(), 1);
}

#[tokio::test]
async fn no_header_of_a_request_is_kept_with_a_failed_event() {
    let bucket = keeping_bucket().await;
    let function = Function::start(&bucket.settings).await;
    let request = |body: &str| {
        let mut request = over_http(body);
        for member in ["headers", "multiValueHeaders", "queryStringParameters"] {
            request[member] = json!({"x-eventbridge-signature-token": "hush"});
        }
        request["cookies"] = json!(["a=hush"]);
        request["rawQueryString"] = json!("t=hush");
        request["requestContext"]["authorizer"] = json!({"lambda": {"token": "hush"}});
        request
    };
    let sqs = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": body}]});
    let event = starting(ID);
    let whole = request(&event).to_string();
    let payloads = [
        request(&event),
        request(&whole),
        sqs(&whole),
        sqs(&whole[..whole.len() - 1]), // It cannot be read.
        json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": request(&event)}),
    ];
    for payload in payloads {
        function
            .invoke(payload.to_string().as_bytes(), Duration::from_secs(20))
            .await;
    }
    let kept = failed(&bucket);
    assert!(kept.len() >= 3, "{kept:?}");
    for kept in kept {
        assert!(!kept.contains("hush"), "{kept}");
    }
    // Without the headers it is still the event.
    set_console(&bucket.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    cli(&bucket.settings, &["redrive"]).await;
    let left = failed(&bucket);
    assert!(left.len() == 1 && left[0].contains("cut"), "{left:?}");
}

/// An extension that never asks for more holds the environment until its time-out.
#[tokio::test]
async fn an_invocation_that_the_runtime_answers_itself_does_not_hold_the_extension() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let follows = settings(&[("FOLLOW_SECONDS", "2"), ("WEBHOOK_ALLOW_UNSIGNED", "true")]);
    bucket.settings.extend(follows);
    let function = Function::start(&bucket.settings).await;
    for _ in 0..3 {
        // The program never sees what is not JSON.
        let (_, message) = function.failure_of(b"{").await;
        assert!(message.contains("deserialize"), "{message}");
        let manual = json!({"instance_id": ID, "region_id": "cn-hangzhou"}).to_string();
        function.result_of(manual.as_bytes()).await;
        // And what is deferred is still followed by the extension that was released.
        let pushed = over_http(&starting(ID)).to_string();
        let reply = function.result_of(pushed.as_bytes()).await;
        assert_eq!(reply["statusCode"], 200, "{reply}");
    }
    assert_eq!(bucket.server.records().len(), 1);
}

fn stopping(index: usize) -> Value {
    json!({"source": "acs.ecs", "type": "ecs:Instance:StateChange", "id": format!("E-{index}"),
           "aliyunregionid": "cn-hangzhou", "time": "2024-03-22T10:04:41+08:00",
           "data": {"resourceId": instance(index).as_str(), "state": "Starting"}})
}

/// The answer to so many events in one push.
async fn push(fleet: &FakeFleet, store: &MemoryStore, events: usize, follow: Duration) -> Reply {
    let mut dispatcher = dispatcher(fleet, store);
    dispatcher.archiver.follow_budget = follow;
    push_to(&dispatcher, 0..events).await
}

/// The answer to these events in one push.
async fn push_to(
    dispatcher: &Dispatcher<FakeFleet, MemoryStore>,
    events: std::ops::Range<usize>,
) -> Reply {
    let body = Value::Array(events.map(stopping).collect()).to_string();
    let headers = Headers::default();
    let push = WebhookRequest {
        headers: &headers,
        body: body.as_bytes(),
        is_authenticated: false,
    };
    let deadline = Deadline::after(Duration::from_secs(60));
    let started = Instant::now();
    let reply = dispatcher.dispatch(Payload::Http(&push), deadline).await;
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    reply
}

#[tokio::test(start_paused = true)]
async fn a_push_is_answered_in_time_however_many_events_it_holds_and_whoever_hangs() {
    for hangs in [false, true] {
        let fleet = FakeFleet::new(0, 100);
        fleet.state().call_time = Duration::from_millis(400);
        if hangs {
            fleet.state().hanging = (0..1000).map(instance).collect();
        }
        let store = MemoryStore {
            hangs,
            ..MemoryStore::default()
        };
        let reply = push(&fleet, &store, 1000, Duration::ZERO).await;
        assert_eq!(reply.to_http().0, 503);
        let asked = fleet.state().asked.len();
        assert!(asked <= 40, "{asked} were asked for in 1.5 s");
    }
}

#[tokio::test(start_paused = true)]
async fn followed_events_of_one_push_share_its_text() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_millis(1);
    let reply = push(&fleet, &store, 150, Duration::from_secs(180)).await;
    assert_eq!(
        (reply.to_http().0.as_u16(), reply.deferred.len()),
        (200, 150)
    );
    let texts: std::collections::BTreeSet<_> = reply
        .deferred
        .iter()
        .map(|deferred| deferred.text().as_ptr())
        .collect();
    assert_eq!(texts.len(), 1, "of one message there is one text");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_events_are_followed_at_once() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_millis(1);
    let reply = push(&fleet, &store, 150, Duration::from_secs(180)).await;
    assert!(
        fleet.state().most_calls <= 4,
        "{}",
        fleet.state().most_calls
    );
    fleet.state().call_time = Duration::from_secs(2);
    let mut dispatcher = dispatcher(&fleet, &store);
    dispatcher.archiver.follow_budget = Duration::from_secs(180);
    let deadline = Deadline::after(Duration::from_secs(600));
    let ended = dispatcher.finish_deferred(reply.deferred, deadline).await;
    assert_eq!(ended.len(), 150);
    assert!(
        fleet.state().most_calls <= 32,
        "{}",
        fleet.state().most_calls
    );
}

/// A follow message that claims a record, as an event's text.
fn follow_message(instance_id: &str, key: &str) -> String {
    json!({"version": 1, "follow": {
        "event": {"instance_id": instance_id, "region_id": "cn-hangzhou",
                  "cause": {"state_change": "Stopping"}, "event_id": "E-1", "occurred_at": null},
        "began_at": "2024-03-22T02:04:45Z", "polls": 59,
        "kept": [{"record": {"instance_id": instance_id, "key": key, "url": "file:///etc/passwd",
                             "last_update_time": "x", "console_bytes": 1, "gzip_bytes": 1},
                  "created": true, "freshness": "fresh"}],
    }})
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn a_follow_message_over_http_is_refused() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let key = "i-0/20180322T100457-5891b5b522d5.log.gz";
    let body = follow_message("i-0", key);
    let headers = Headers::default();
    let push = WebhookRequest {
        headers: &headers,
        body: body.as_bytes(),
        is_authenticated: false,
    };
    let function_url = json!({"requestContext": {"http": {"method": "POST"}}, "headers": {},
                              "body": body, "isBase64Encoded": false});
    let function_url = function_url.to_string();
    for payload in [
        Payload::Http(&push),
        Payload::Invocation(function_url.as_bytes()),
    ] {
        let dispatcher = dispatcher(&fleet, &store);
        let reply = dispatcher
            .dispatch(payload, Deadline::after(Duration::from_secs(9)))
            .await;
        assert_eq!(reply.to_http().0, 400);
        assert!(fleet.state().asked.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_follow_message_names_records_of_its_own_instance_where_this_archive_has_them() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = dispatcher(&fleet, &store);
    let key = "i-0/20180322T100457-5891b5b522d5.log.gz";
    let foreign = follow_message("i-1", key);
    for text in [foreign, follow_message("i-0", "i-0/../x.log.gz")] {
        let payload = Payload::Invocation(text.as_bytes());
        let reply = dispatcher
            .dispatch(payload, Deadline::after(Duration::from_secs(9)))
            .await;
        let error = reply.failure().unwrap();
        assert_eq!(error.error_type.as_str(), "InvalidEvent");
        assert!(
            error.message.contains("is not the key of a record of"),
            "{error}"
        );
    }
    assert!(fleet.state().asked.is_empty());
    let own = follow_message("i-0", key);
    let payload = Payload::Invocation(own.as_bytes());
    let reply = dispatcher
        .dispatch(payload, Deadline::after(Duration::from_secs(9)))
        .await;
    let answer = reply.to_json().unwrap().to_string();
    assert!(
        answer.contains("memory:///i-0/") && !answer.contains("passwd"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_id_that_is_refused_is_told_once() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = dispatcher(&fleet, &store);
    for event in [
        json!({"instance_id": "i-../../etc"}),
        json!({"instance_id": "i-a", "region_id": "i-../../etc"}),
        json!({"instance_id": "i-a", "account_id": "i-../../etc"}),
    ] {
        let text = event.to_string();
        let payload = Payload::Invocation(text.as_bytes());
        let reply = dispatcher
            .dispatch(payload, Deadline::after(Duration::from_secs(9)))
            .await;
        let message = reply.failure().unwrap().message;
        assert_eq!(message.matches("i-../../etc").count(), 1, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_sent_again_serves_what_failed_before() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_millis(100);
    let dispatcher = dispatcher(&fleet, &store);
    let mut pushes = 0;
    loop {
        pushes += 1;
        let reply = push_to(&dispatcher, 0..150).await;
        if reply.is_success() {
            break;
        }
        assert_eq!(reply.to_http().0, 503);
        assert!(pushes < 6, "no end after {pushes} pushes");
    }
    assert!(
        pushes > 1,
        "150 calls of 100 ms, 4 at once, take longer than an answer may"
    );
    let consoles = store.objects.lock().unwrap();
    let consoles = consoles
        .keys()
        .filter(|key| key.ends_with(".log.gz"))
        .count();
    assert_eq!(consoles, 150);
    // What was cut off at the end of a push is asked for again, and nothing else.
    let asked = fleet.state().asked.len();
    assert!(
        asked <= 150 + 4 * pushes,
        "{asked} requests in {pushes} pushes"
    );
}

#[tokio::test(start_paused = true)]
async fn pushes_hold_a_bounded_number_of_events_after_their_answers() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_millis(1);
    let mut dispatcher = dispatcher(&fleet, &store);
    dispatcher.archiver.follow_budget = Duration::from_secs(180);
    let first = push_to(&dispatcher, 0..600).await;
    assert_eq!(first.deferred.len(), 600);
    // Delivered again while it is followed.
    let again = push_to(&dispatcher, 0..600).await;
    assert!(again.is_success());
    assert_eq!(again.deferred.len(), 0);
    // Beyond the bound an event is stored and answered, and not followed.
    let second = push_to(&dispatcher, 600..1200).await;
    assert!(second.is_success());
    assert_eq!(second.deferred.len(), 400);
    let consoles = store
        .objects
        .lock()
        .unwrap()
        .keys()
        .filter(|key| key.ends_with(".log.gz"))
        .count();
    assert_eq!(consoles, 1200);
    drop(first.deferred);
    assert_eq!(push_to(&dispatcher, 1200..1300).await.deferred.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_stores_what_it_follows_and_answers() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let mut dispatcher = dispatcher(&fleet, &store);
    dispatcher.archiver.follow_budget = Duration::from_secs(180);
    let ending = dispatcher.archiver.ending.clone();
    let text = stopping(0).to_string();
    let payload = Payload::Invocation(text.as_bytes());
    let started = Instant::now();
    let end = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ending.cancel();
    };
    let serve = dispatcher.dispatch(payload, Deadline::after(Duration::from_secs(600)));
    let (reply, ()) = tokio::join!(serve, end);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let answer = reply.to_json().unwrap();
    assert_eq!(answer["outcome"], "stored");
    assert_eq!(store.objects.lock().unwrap().len(), 1);
}
