//! Failed events ask for no more when they are served again than when they came: a sender over HTTP
//! may report events, and a follow message says what is stored already.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::archive::key::FailedKey;
use ecs_console_archiver::archive::record::FailedEvent;
use ecs_console_archiver::hosts::redrive::{InvalidEvents, RedriveError, Redriven};
use ecs_console_archiver::intake::MAX_PUSH_EVENTS;
use ecs_console_archiver::model::event::Origin;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::Console;
use ecs_console_archiver::store::Store as _;
use serde_json::{Value, json};

use crate::support::fakes::{FakeFleet, MemoryStore, dispatcher, instance};
use crate::support::receiver::{self, Server};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

/// A follow message that claims this record of its instance.
fn follow(id: &str, record: &str) -> Value {
    json!({"version": 1, "follow": {
        "event": {"instance_id": id, "region_id": "cn-hangzhou",
                  "cause": {"state_change": "Stopping"}, "event_id": "E-1", "occurred_at": null},
        "began_at": "2024-03-22T02:04:45Z", "polls": 59,
        "kept": [{"record": {"instance_id": id, "key": format!("{id}/{record}"),
                             "url": "file:///etc/passwd", "last_update_time": "x",
                             "console_bytes": 1, "gzip_bytes": 1},
                  "created": true, "freshness": "fresh"}],
    }})
}

const RECORD: &str = "20180322T100457-5891b5b522d5.log.gz";

/// A message of a topic, in Function Compute's form.
fn topic(message: &Value) -> Value {
    json!({"TopicOwner": "1", "Message": message.to_string()})
}

/// Bodies of pushes that cannot be read whole when they come, with a follow message in them that can
/// be read within other limits.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let follow = follow(ID, RECORD);
    let with = |others: usize| {
        let mut events = vec![json!({"resourceId": "i-a", "state": "Created"}); others];
        events.insert(0, follow.clone());
        json!(events)
    };
    let mut broken = follow.to_string().into_bytes();
    broken.pop();
    broken.extend(b",\"x\":\"\xff\"}");
    let sqs = |events: &Value| json!({"eventSource": "aws:sqs", "body": events.to_string()});
    let (many, half) = (with(MAX_PUSH_EVENTS), with(MAX_PUSH_EVENTS * 6 / 10));
    let in_topics = (0..8).fold(follow.clone(), |inside, _| topic(&inside));
    let in_arrays = (0..8).fold(follow.clone(), |inside, _| json!([inside]));
    let in_texts = (0..8).fold(follow.clone(), |inside, _| json!(inside.to_string()));
    let bodies = [
        ("too many", many.clone()),
        ("too many in a topic", topic(&many)),
        (
            "too many in two topics",
            json!([topic(&half), topic(&half)]),
        ),
        (
            "too many in a batch",
            json!({"Records": [sqs(&half), sqs(&half)]}),
        ),
        ("too many topics", in_topics),
        ("too many arrays", in_arrays),
        ("too many texts", in_texts),
    ];
    let bodies = bodies.map(|(name, body)| (name, body.to_string().into_bytes()));
    bodies.into_iter().chain([("not text", broken)]).collect()
}

/// Files of failed events that the archive keeps, and what is in them.
fn kept(server: &Server) -> Vec<(String, Value)> {
    let folder = server.folder.path().join("failed");
    if !folder.exists() {
        return Vec::new();
    }
    let files = files_in(&folder);
    let is_event = |name: &str| name.ends_with(".json") && !name.ends_with(".meta.json");
    let events = files.into_iter().filter(|(name, _)| is_event(name));
    events
        .map(|(name, body)| (name, serde_json::from_slice(&body).unwrap()))
        .collect()
}

async fn server() -> Server {
    let own = [("WEBHOOK_ALLOW_UNSIGNED", "true"), ("FOLLOW_SECONDS", "0")];
    receiver::function_compute(&own).await
}

async fn redrive(server: &Server) -> Value {
    let event = json!({"redrive": {}}).to_string();
    let answer = server.invoke(event).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn what_was_refused_over_http_is_refused_when_it_is_served_again() {
    let server = server().await;
    for (name, body) in refused() {
        let before = kept(&server).len();
        let pushed = server.post("/", body.clone()).send().await.unwrap();
        assert_eq!(pushed.status(), 400, "{name}");
        // The same body as a function URL or an API passes it on.
        let request = json!({"version": "2.0", "requestContext": {"http": {"method": "POST"}},
                             "body": BASE64_STANDARD.encode(&body), "isBase64Encoded": true});
        let passed_on = server.invoke(request.to_string()).send().await.unwrap();
        let answer = passed_on.bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["statusCode"], 400, "{name}: {answer}");
        // Its sender gives up, so that nobody else has it.
        assert!(kept(&server).len() > before, "{name} is lost");
    }
    let all = kept(&server);
    let outcome = redrive(&server).await;
    assert_eq!(
        (&outcome["served"], &outcome["given_up"]),
        (&json!(0), &json!(all.len())),
        "{outcome}"
    );
    let mut settings = ecs_settings(&server.simulator);
    settings.extend(folder_settings(server.folder.path()));
    let by_hand = cli(&settings, &["redrive"]).await;
    assert_eq!(by_hand.status.code(), Some(2), "{}", text(&by_hand.stdout));
    assert_eq!(kept(&server).len(), all.len());
    assert!(server.simulator.answered().is_empty());
}

#[tokio::test]
async fn what_came_over_http_and_failed_is_served_again_and_says_how_it_came() {
    let server = server().await;
    let (id, code) = (InstanceId::parse(ID).unwrap(), "Forbidden.RAM".to_owned());
    let denied = Console::Error { status: 403, code };
    server.simulator.set_console(&id, denied);
    let pushed = server.post("/", starting(ID)).send().await.unwrap();
    assert_eq!(pushed.status(), 500);
    let invoked = starting(ID).replace("E-1", "E-2");
    let invoked = server.invoke(invoked).send().await.unwrap();
    assert_eq!(invoked.status(), 404);
    let origins = || {
        let kept = kept(&server).into_iter();
        let mut origins: Vec<_> = kept.map(|(_, json)| json["over_http"].clone()).collect();
        origins.sort_by_key(Value::to_string);
        origins
    };
    assert_eq!(origins(), [false, true]);
    // Also after an attempt that fails.
    assert_eq!(redrive(&server).await["failed"], 2);
    assert_eq!(origins(), [false, true]);
    set_console(&server.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    assert_eq!(redrive(&server).await["served"], 2);
    assert!(kept(&server).is_empty());
}

/// What an earlier version kept of a forged follow message looks like what it kept of a true one.
#[tokio::test(start_paused = true)]
async fn a_follow_message_of_unknown_origin_is_served_as_the_event_that_it_is_about() {
    let id = instance(0);
    let event = follow(id.as_str(), RECORD).to_string();
    let serve = async |origin| {
        let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
        let at = jiff::Timestamp::UNIX_EPOCH;
        let failed = FailedEvent::new(&event, origin, "EcsDenied", at).unwrap();
        let key: FailedKey = failed.key;
        store
            .put_if_absent(&key.to_string(), &failed.object)
            .await
            .unwrap();
        let dispatcher = dispatcher(&fleet, &store);
        let deadline = Deadline::after(Duration::from_secs(60));
        let redriven = dispatcher
            .redrive(&key, InvalidEvents::Keep, deadline)
            .await;
        let asked = fleet.state().asked.get(&id).copied().unwrap_or_default();
        let is_kept = store.objects.lock().unwrap().contains_key(&key.to_string());
        (redriven, asked, is_kept)
    };
    let (redriven, asked, is_kept) = serve(Origin::Unknown).await;
    let Ok(Redriven::Served(answer)) = redriven else {
        panic!("{redriven:?}");
    };
    assert_eq!(
        (&answer["outcome"], asked, is_kept),
        (&json!("stored"), 1, false)
    );
    assert!(!answer.to_string().contains(RECORD), "{answer}");
    // A true one goes on where it was.
    let (redriven, asked, is_kept) = serve(Origin::Invocation).await;
    let Ok(Redriven::Served(answer)) = redriven else {
        panic!("{redriven:?}");
    };
    assert_eq!((asked, is_kept), (1, false));
    assert!(answer.to_string().contains(RECORD), "{answer}");
    let (redriven, asked, is_kept) = serve(Origin::Http).await;
    assert!(
        matches!(redriven, Err(RedriveError::Invalid(_))),
        "{redriven:?}"
    );
    assert_eq!((asked, is_kept), (0, true));
}
