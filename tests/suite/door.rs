//! The one door: what is kept of failures, limits of a push, and what goes on after the answer.

use std::time::Duration;

use ecs_console_archiver::capture::room::{MAX_ANSWERS, MAX_BYTES, MAX_EVENTS};
use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::hosts::reply::Reply;
use ecs_console_archiver::hosts::served::Served;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::model::outcome::Outcome;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::Console;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fakes::{
    FakeDispatcher, FakeFleet, MemoryStore, dispatcher, instance, unsigned,
};
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

/// One whose calls take no time worth mentioning, and that follows.
fn follower(fleet: &FakeFleet, store: &MemoryStore) -> FakeDispatcher {
    fleet.state().call_time = Duration::from_millis(1);
    let mut dispatcher = dispatcher(fleet, store);
    dispatcher.archiver.follow_budget = Duration::from_secs(180);
    dispatcher
}

/// The answer to the events of these instances in one push.
async fn push_to(dispatcher: &FakeDispatcher, events: std::ops::Range<usize>) -> Reply {
    push_all(dispatcher, events.map(stopping)).await
}

/// The answer to these events in one push.
async fn push_all(dispatcher: &FakeDispatcher, events: impl IntoIterator<Item = Value>) -> Reply {
    let body = Value::from_iter(events).to_string();
    let (headers, path) = Default::default();
    let push = unsigned(&headers, &path, &body);
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
async fn only_so_many_followed_events_ask_ecs_at_once() {
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
    assert_eq!(fleet.state().most_calls, MAX_ANSWERS);
}

/// A console that waits for its turn is overwritten meanwhile.
#[tokio::test(start_paused = true)]
async fn every_event_of_a_payload_is_followed_from_its_begin() {
    let times_asked = |fleet: &FakeFleet| -> Vec<_> {
        let state = fleet.state();
        (0..300)
            .map(|index| state.asked[&instance(index)])
            .collect()
    };
    let fleets = [FakeFleet::default(), FakeFleet::default()];
    let store = MemoryStore::default();
    // One push, followed after its answer.
    let dispatcher = follower(&fleets[0], &store);
    let reply = push_to(&dispatcher, 0..300).await;
    let deadline = || Deadline::after(Duration::from_secs(60));
    dispatcher.finish_deferred(reply.deferred, deadline()).await;
    // One batch of a queue, followed before its answer.
    let batch = batch((0..300).map(stopping));
    let dispatcher = follower(&fleets[1], &store);
    let payload = Payload::Invocation(batch.as_bytes());
    dispatcher.dispatch(payload, deadline()).await;
    for fleet in &fleets {
        let asked = times_asked(fleet);
        assert!(asked[0] > 1, "{asked:?}");
        assert!(asked.iter().all(|times| *times == asked[0]), "{asked:?}");
    }
}

/// A batch of a queue, as AWS Lambda hands it over.
fn batch(events: impl IntoIterator<Item = Value>) -> String {
    let record = |(index, event): (usize, Value)| {
        json!({"eventSource": "aws:sqs", "messageId": index.to_string(),
               "body": event.to_string()})
    };
    let records: Vec<_> = events.into_iter().enumerate().map(record).collect();
    json!({ "Records": records }).to_string()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_hangs_holds_up_neither_the_asking_nor_the_following_of_others() {
    let batch = batch((0..10).map(stopping));
    let serve = async |hanging: &[InstanceId]| {
        let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
        fleet.state().hanging = hanging.iter().cloned().collect();
        let dispatcher = follower(&fleet, &store);
        let payload = Payload::Invocation(batch.as_bytes());
        let deadline = Deadline::after(Duration::from_secs(240));
        let reply = dispatcher.dispatch(payload, deadline).await;
        let times = |index| fleet.state().asked[&instance(index)];
        let asked: Vec<_> = (1..10).map(times).collect();
        (reply.to_json().unwrap(), asked)
    };
    let (_, asked) = serve(&[]).await;
    let failed = json!({"batchItemFailures": [{"itemIdentifier": "0"}]});
    assert_eq!(serve(&[instance(0)]).await, (failed, asked));

    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().hanging = [instance(0)].into();
    let reply = push_to(&follower(&fleet, &store), 0..300).await;
    assert_eq!((reply.failures().count(), reply.deferred.len()), (1, 299));
    assert!(reply.events().next().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_order_of_the_events_whichever_is_served_first() {
    let (fleet, store) = (FakeFleet::new(3, 3), MemoryStore::default());
    let dispatcher = dispatcher(&fleet, &store);
    let sweep = json!({"sweep": {"regions": ["cn-hangzhou"]}});
    let events =
        json!([sweep, stopping(7), {"redrive": {}}, stopping(8), {"garbage": 1}, stopping(9)]);
    let text = events.to_string();
    let payload = Payload::Invocation(text.as_bytes());
    let deadline = Deadline::after(Duration::from_secs(60));
    let reply = dispatcher.dispatch(payload, deadline).await;
    let answer = |served: &Served| match served {
        Ok(Outcome::Stored(stored)) => stored.record.instance_id.to_string(),
        Ok(outcome) => json!(outcome)["outcome"].as_str().unwrap().to_owned(),
        Err(error) => error.error_type().as_str().to_owned(),
    };
    let answers: Vec<_> = reply.events().map(answer).collect();
    let [seven, eight, nine] = [7, 8, 9].map(|index| instance(index).to_string());
    let expected = ["swept", &seven, "redriven", &eight, "InvalidEvent", &nine];
    assert_eq!(answers, expected);
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
async fn a_push_with_a_follow_message_is_refused_whole_and_not_kept_for_a_redrive() {
    let follow = follow_message("i-0", "i-0/20180322T100457-5891b5b522d5.log.gz");
    let follow: Value = serde_json::from_str(&follow).unwrap();
    let genuine = json!({"instance_id": "i-1"});
    for body in [
        follow.clone(),
        json!([follow, genuine]),
        json!([genuine, follow]),
        json!([follow, {"redrive": {}}]),
    ] {
        let body = body.to_string();
        let (headers, path) = Default::default();
        let push = unsigned(&headers, &path, &body);
        let function_url = over_http(&body).to_string();
        for payload in [
            Payload::Http(&push),
            Payload::Invocation(function_url.as_bytes()),
            Payload::File(function_url.as_bytes()),
        ] {
            let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
            let dispatcher = dispatcher(&fleet, &store);
            let reply = dispatcher
                .dispatch(payload, Deadline::after(Duration::from_secs(9)))
                .await;
            assert_eq!(reply.to_http().0, 400, "{body}");
            assert!(fleet.state().asked.is_empty(), "{body}");
            assert!(store.objects.lock().unwrap().is_empty(), "{body}");
        }
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

fn outcomes(reply: &Reply) -> Vec<String> {
    let word = |outcome: &Outcome| json!(outcome)["outcome"].as_str().unwrap().to_owned();
    reply.events().flatten().map(word).collect()
}

#[tokio::test(start_paused = true)]
async fn pushes_hold_a_bounded_number_of_events_after_their_answers() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = follower(&fleet, &store);
    let first = push_to(&dispatcher, 0..600).await;
    assert_eq!(first.deferred.len(), 600);
    // An event beyond the bound is stored, and must come again to be followed.
    let second = push_to(&dispatcher, 600..1200).await;
    assert_eq!(second.deferred.len(), MAX_EVENTS - 600);
    let (status, body) = second.to_http();
    assert_eq!(
        (status.as_u16(), &body["errorType"]),
        (503, &json!("TooManyRequests"))
    );
    assert_eq!(second.failures().count(), 200);
    assert!((0..1200).all(|index| store.records(&instance(index)) == 1));
    // What ends makes room.
    drop(first.deferred);
    let again = push_to(&dispatcher, 600..1200).await;
    assert_eq!(outcomes(&again), vec!["following"; 600]);
    assert_eq!(again.deferred.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn texts_of_followed_events_are_bounded_over_all_pushes() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = follower(&fleet, &store);
    let mut held = Vec::new();
    let refused = loop {
        let mut event = stopping(held.len());
        event["data"]["padding"] = "a".repeat(1_000_000).into();
        let reply = push_all(&dispatcher, [event]).await;
        if !reply.is_success() {
            break reply;
        }
        held.extend(reply.deferred);
    };
    assert_eq!(refused.to_http().0, 503);
    let bytes: usize = held.iter().map(|deferred| deferred.text().len()).sum();
    assert!(
        (MAX_BYTES - 1_001_000..=MAX_BYTES).contains(&bytes),
        "{bytes}"
    );
}

/// A console that grows is held in memory and stored at the end, where there is room. Where there is
/// none, each of its lengths is stored at once, and it is followed all the same.
#[tokio::test(start_paused = true)]
async fn consoles_in_memory_take_room_and_are_stored_at_once_where_there_is_none() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().grows_by = 10_000;
    let dispatcher = follower(&fleet, &store);
    let running = |index| {
        let mut event = stopping(index);
        event["data"]["state"] = "Running".into();
        event
    };
    let follow = async |index| {
        let deferred = push_all(&dispatcher, [running(index)]).await.deferred;
        let deadline = Deadline::after(Duration::from_secs(300));
        let ended = dispatcher.finish_deferred(deferred, deadline).await;
        assert!(matches!(ended[..], [Ok(Outcome::Stored(_))]), "{ended:?}");
        let asked = fleet.state().asked[&instance(index)];
        assert!(asked > 3, "{asked}");
        (store.records(&instance(index)), asked)
    };
    let (records, _) = follow(0).await;
    assert_eq!(records, 2, "the first and the last");
    let text = 1_000;
    let others = dispatcher
        .archiver
        .room
        .for_bytes(MAX_BYTES - 10_000 - text);
    let (records, asked) = follow(1).await;
    assert_eq!(records, asked);
    drop(others);
    // All that was taken came back.
    assert!(dispatcher.archiver.room.for_bytes(MAX_BYTES).is_some());
}

#[tokio::test(start_paused = true)]
async fn copies_of_an_event_in_one_push_are_served_once_and_have_its_answer() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = follower(&fleet, &store);
    let copies = || (0..200).map(|index| stopping(usize::from(index == 7)));
    let reply = push_all(&dispatcher, copies()).await;
    assert_eq!(outcomes(&reply), vec!["following"; 200]);
    assert_eq!(reply.deferred.len(), 2);
    let (_, answers) = reply.to_http();
    for (index, answer) in answers.as_array().unwrap().iter().enumerate() {
        let of = instance(usize::from(index == 7));
        assert_eq!(answer["instance_id"], of.as_str(), "{index}");
    }
    assert!(fleet.state().asked.values().all(|asked| *asked == 1));
    drop(reply);
    // A failure is that of each copy, too.
    fleet.state().hanging = [instance(0)].into();
    let reply = push_all(&dispatcher, copies()).await;
    let failures: Vec<_> = reply.failures().map(ToString::to_string).collect();
    assert_eq!((failures.len(), reply.deferred.len()), (199, 1));
    for failure in &failures {
        assert_eq!(
            failure,
            "ECS sent no complete answer: GetInstanceConsoleOutput timed out after 1.1 s"
        );
    }
    assert_eq!(reply.to_http().0, 503);
    assert!(fleet.state().asked.values().all(|asked| *asked == 2));
}

#[tokio::test(start_paused = true)]
async fn an_event_without_an_id_is_known_by_what_happened_and_when() {
    let event = |state: &str, time: &str, id: Value| {
        json!({"source": "acs.ecs", "type": "ecs:Instance:StateChange", "id": id,
               "aliyunregionid": "cn-hangzhou", "time": time,
               "data": {"resourceId": instance(0).as_str(), "state": state}})
    };
    let (at, later) = ("2024-03-22T10:04:41+08:00", "2024-03-22T10:05:00+08:00");
    let first = event("Starting", at, Value::Null);
    let by_hand = json!({"instance_id": instance(0).as_str()});
    for (other, served) in [
        (first.clone(), 1),
        (event("Starting", "2024-03-22T02:04:41Z", Value::Null), 1),
        (event("Starting", later, Value::Null), 2),
        (event("Running", at, Value::Null), 2),
        (event("Starting", at, json!("E-1")), 2),
    ] {
        let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
        let dispatcher = follower(&fleet, &store);
        let reply = push_all(&dispatcher, [first.clone(), other.clone()]).await;
        assert_eq!(outcomes(&reply), ["following"; 2]);
        assert_eq!(fleet.state().asked[&instance(0)], served, "{other}");
        assert_eq!(reply.deferred.len(), served, "{other}");
    }
    // Who asks by hand means now, each time.
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    push_all(&follower(&fleet, &store), [by_hand.clone(), by_hand]).await;
    assert_eq!(fleet.state().asked[&instance(0)], 2);
}

/// A push that fails in part comes again. What is remembered of it answers that event only.
#[tokio::test(start_paused = true)]
async fn what_a_failed_push_leaves_in_memory_answers_no_other_event_and_nothing_that_may_change() {
    let event = |region: &str| {
        json!({"source": "acs.ecs", "type": "ecs:Instance:StateChange", "id": "E-1",
               "aliyunregionid": region, "time": "2024-03-22T10:04:41+08:00",
               "data": {"resourceId": instance(0).as_str(), "state": "Stopping"}})
    };
    let no_event = || json!({"garbage": 1});
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let without_following = dispatcher(&fleet, &store);
    let first = push_all(&without_following, [event("cn-hangzhou"), no_event()]).await;
    assert_eq!(
        (outcomes(&first), first.failures().count()),
        (vec!["stored".to_owned()], 1)
    );
    let asked = || fleet.state().asked[&instance(0)];
    push_all(&without_following, [event("cn-hangzhou"), no_event()]).await;
    assert_eq!(asked(), 1, "it is the same event");
    push_all(&without_following, [event("cn-beijing")]).await;
    assert_eq!(asked(), 2, "it is another event with the same ID");

    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let following = follower(&fleet, &store);
    let first = push_all(&following, [event("cn-hangzhou"), no_event()]).await;
    assert_eq!(outcomes(&first), ["following"]);
    drop(first); // Its following has failed.
    let second = push_all(&following, [event("cn-hangzhou")]).await;
    assert_eq!(second.deferred.len(), 1, "it is followed again");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_again_while_it_is_followed_is_answered_following() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = follower(&fleet, &store);
    let first = push_to(&dispatcher, 0..1).await;
    let (objects, answer) = (store.objects.lock().unwrap().len(), first.to_http());
    for _ in 0..3 {
        let again = push_to(&dispatcher, 0..1).await;
        assert_eq!(outcomes(&again), ["following"]);
        assert_eq!((again.to_http(), again.deferred.len()), (answer.clone(), 0));
    }
    // No verdict was written, and ECS was not asked.
    assert_eq!(store.objects.lock().unwrap().len(), objects);
    assert_eq!(fleet.state().asked[&instance(0)], 1);
    // When the following has ended, another delivery is followed.
    drop(first);
    assert_eq!(push_to(&dispatcher, 0..1).await.deferred.len(), 1);
}

/// Two senders, or two rules of one sender, push it in the same moment.
#[tokio::test(start_paused = true)]
async fn an_event_that_comes_twice_at_once_is_followed_once() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let dispatcher = follower(&fleet, &store);
    let push = || push_to(&dispatcher, 0..1);
    let (one, other) = tokio::join!(push(), push());
    assert_eq!([outcomes(&one), outcomes(&other)], [["following"]; 2]);
    assert_eq!(one.deferred.len() + other.deferred.len(), 1);
    assert_eq!(fleet.state().asked[&instance(0)], 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_time_of_a_push_was_too_short_for_is_told_so() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    // Four at once, three times. What begins after that is cut off.
    fleet.state().call_time = Duration::from_millis(400);
    let reply = push(&fleet, &store, 100, Duration::ZERO).await;
    let failures: Vec<_> = reply.failures().map(ToString::to_string).collect();
    assert_eq!(failures.len(), 100 - 12);
    for failure in &failures {
        assert_eq!(
            failure,
            "the time ran out after 1.5 s, before this event was served; it must be delivered again"
        );
    }
    let (status, body) = reply.to_http();
    assert_eq!(
        (status.as_u16(), &body["errorType"]),
        (503, &json!("TimeoutTooShort"))
    );
    // Of those that ECS does not answer in all the time, it is told.
    fleet.state().hanging = (0..4).map(instance).collect();
    let reply = push(&fleet, &store, 5, Duration::ZERO).await;
    let failures: Vec<_> = reply.failures().map(ToString::to_string).collect();
    let (hanging, late) = failures.split_at(4);
    assert!(
        hanging
            .iter()
            .all(|text| text.contains("GetInstanceConsoleOutput timed out")),
        "{hanging:?}"
    );
    assert!(
        matches!(late, [text] if text.starts_with("the time ran out")),
        "{late:?}"
    );
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
