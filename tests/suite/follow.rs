//! The real `bootstrap` following consoles after their events: by waiting, after the answer, and
//! through a queue.

use std::time::Duration;

use ecs_console_archiver::ids::InstanceId;
use ecs_console_archiver::simulator::Console;
use serde_json::{Value, json};

use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::{self, Profile};
use crate::support::sqs_server::{Sent, SqsServer};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
const OLDER: &str = "2024-03-22 10:00:00";
const NEWER: &str = "2024-03-22 10:04:57";

fn event() -> Vec<u8> {
    starting(ID).into_bytes()
}

fn not_running() -> Console {
    Console::Error {
        status: 405,
        code: "IncorrectInstanceStatus".into(),
    }
}

async fn bucket(follow_seconds: &str, consoles: Vec<Console>) -> Bucket {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let follow = settings(&[("FOLLOW_SECONDS", follow_seconds)]);
    bucket.settings.extend(follow);
    let instance_id = InstanceId::parse(ID).unwrap();
    bucket.simulator.set_consoles(&instance_id, consoles);
    bucket
}

/// Each record's console and what it says of its freshness, by time of storing.
fn kept(bucket: &Bucket) -> Vec<(String, String)> {
    let mut records: Vec<_> = bucket.server.records().into_values().collect();
    records.sort_by_key(|record| record.stored_at);
    let console = |record: &s3_server::StoredObject| {
        let freshness = record.metadata["freshness"].clone();
        (text(&gunzip(&record.body)), freshness)
    };
    bucket.server.assert_nothing_was_overwritten();
    records.iter().map(console).collect()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    pairs.iter().map(owned).collect()
}

/// A console of the boot before, then the new one as it grows.
fn reboot() -> Vec<Console> {
    vec![
        output(b"last words\n", OLDER),
        not_running(),
        output(b"boot\n", NEWER),
        output(b"boot\nmore\n", NEWER),
        output(b"boot\nmore\nall\n", NEWER),
    ]
}

#[tokio::test]
async fn a_reboot_is_followed_until_the_new_console_has_settled() {
    let bucket = bucket("3", reboot()).await;
    let function = Function::start(&bucket.settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    assert_eq!(reply["freshness"], "fresh", "{reply}");
    assert_eq!(reply["earlier"].as_array().unwrap().len(), 1, "{reply}");
    // Of what extends the console before, only the last is stored.
    let all = [("last words\n", "stale"), ("boot\nmore\nall\n", "fresh")];
    assert_eq!(kept(&bucket), expected(&all));
    assert_eq!(bucket.simulator.answered().len(), 6);
}

#[tokio::test]
async fn what_a_rolling_ring_would_lose_is_stored() {
    let consoles = vec![
        output(b"one\n", NEWER),
        output(b"one\ntwo\n", NEWER),
        output(b"two\nthree\n", NEWER),
        output(b"two\nthree\nhost login: ", NEWER),
    ];
    let bucket = bucket("2", consoles).await;
    let function = Function::start(&bucket.settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["freshness"], "fresh", "{reply}");
    let all = [
        ("one\n", "partial"),
        ("one\ntwo\n", "partial"),
        ("two\nthree\nhost login: ", "fresh"),
    ];
    assert_eq!(kept(&bucket), expected(&all));
}

#[tokio::test]
async fn a_login_prompt_ends_it_at_once() {
    let bucket = bucket("3600", vec![output(b"boot\nhost login: ", NEWER)]).await;
    let function = Function::start(&bucket.settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["freshness"], "fresh", "{reply}");
    assert_eq!(bucket.simulator.answered().len(), 1);
}

#[tokio::test]
async fn the_budget_ends_it_and_what_is_stored_says_so() {
    let bucket = bucket("1", vec![output(b"last words\n", OLDER)]).await;
    let function = Function::start(&bucket.settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    assert_eq!(reply["freshness"], "stale", "{reply}");
    assert!(bucket.simulator.answered().len() >= 4);
    assert_eq!(kept(&bucket), expected(&[("last words\n", "stale")]));
}

#[tokio::test]
async fn a_deadline_that_nears_ends_it() {
    let bucket = bucket("3600", vec![output(b"boot\n", NEWER)]).await;
    let function = Function::start(&bucket.settings).await;
    let answer = function.invoke(&event(), Duration::from_secs(6)).await;
    let Answer::Response(reply) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(reply["freshness"], "partial", "{reply}");
    assert_eq!(bucket.simulator.answered().len(), 1);
}

#[tokio::test]
async fn an_instance_that_never_starts_leaves_a_marker() {
    let bucket = bucket("1", vec![not_running()]).await;
    let function = Function::start(&bucket.settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["outcome"], "no_console", "{reply}");
    assert_eq!(reply["reason"], "not_running");
    assert!(bucket.simulator.answered().len() >= 4);
    assert_eq!(bucket.server.markers().len(), 1);
}

#[tokio::test]
async fn an_ecs_that_fails_on_the_way_loses_nothing_it_gave_before() {
    let consoles = vec![
        output(b"one\n", NEWER),
        output(b"one\ntwo\n", NEWER),
        Console::Error {
            status: 403,
            code: "Forbidden.RAM".into(),
        },
    ];
    let bucket = bucket("2", consoles).await;
    let function = Function::start(&bucket.settings).await;
    let answer = function.invoke(&event(), TIMEOUT).await;
    let Answer::Error { error_type, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(error_type, "EcsDenied");
    let all = [("one\n", "partial"), ("one\ntwo\n", "partial")];
    assert_eq!(kept(&bucket), expected(&all));
}

#[tokio::test]
async fn every_event_of_a_batch_is_captured_before_any_is_followed() {
    let bucket = bucket("1", vec![output(b"boot\n", OLDER)]).await;
    let other = InstanceId::parse("i-other").unwrap();
    let stale = output(b"other\n", OLDER);
    bucket.simulator.set_consoles(&other, [stale]);
    let function = Function::start(&bucket.settings).await;
    let first = text(&event());
    let batch = format!("[{first},{}]", first.replace(ID, "i-other"));
    function.result_of(batch.as_bytes()).await;
    let asked: Vec<_> = bucket.simulator.answered();
    let mut first_two: Vec<_> = asked[..2].iter().map(|a| a.instance_id.as_str()).collect();
    first_two.sort_unstable();
    assert_eq!(first_two, [ID, "i-other"]);
}

fn over_http(body: &[u8]) -> Vec<u8> {
    json!({"version": "2.0", "body": text(body),
           "requestContext": {"http": {"method": "POST"}, "authorizer": {"iam": {"userId": "pusher"}}}})
    .to_string()
    .into_bytes()
}

fn body(reply: &Value) -> Value {
    assert_eq!(reply["statusCode"], 200, "{reply}");
    serde_json::from_str(reply["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn over_http_the_answer_comes_before_the_console_is_followed() {
    let bucket = bucket("2", reboot()).await;
    let function = Function::start(&bucket.settings).await;
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert_eq!(reply["urls"].as_array().unwrap().len(), 1, "{reply}");
    // As on Lambda, the next event is delivered when what follows the answer is done.
    function.result_of(br#"{"source":"acs.rds"}"#).await;
    let all = [("last words\n", "stale"), ("boot\nmore\nall\n", "fresh")];
    assert_eq!(kept(&bucket), expected(&all));
}

#[tokio::test]
async fn over_http_that_there_is_no_console_yet_is_kept_before_the_answer() {
    let bucket = bucket("1", vec![not_running()]).await;
    let function = Function::start(&bucket.settings).await;
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert_eq!(bucket.server.markers().len(), 1);
    function.result_of(br#"{"source":"acs.rds"}"#).await;
    assert_eq!(bucket.server.markers().len(), 1);
}

/// As SQS delivers it to the function.
fn delivered(sent: &Sent) -> Vec<u8> {
    json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m1", "body": sent.body}]})
        .to_string()
        .into_bytes()
}

async fn queued(follow_seconds: &str, consoles: Vec<Console>) -> (Bucket, SqsServer) {
    let mut bucket = bucket(follow_seconds, consoles).await;
    let sqs = SqsServer::start().await;
    let queue = settings(&[("FOLLOW_QUEUE_URL", &sqs.queue_url())]);
    bucket.settings.extend(queue);
    (bucket, sqs)
}

#[tokio::test]
async fn through_a_queue_it_is_followed_without_waiting() {
    let (bucket, sqs) = queued("3600", reboot()).await;
    let function = Function::start(&bucket.settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["outcome"], "following", "{reply}");
    let mut delays = Vec::new();
    while let Some(sent) = sqs.take_sent() {
        delays.push(sent.delay_seconds);
        let reply = function.result_of(&delivered(&sent)).await;
        assert_eq!(reply["batchItemFailures"], json!([]));
    }
    assert!(
        delays.len() == 5 && delays.iter().all(|d| *d > 5),
        "{delays:?}"
    );
    // A message cannot carry a console, so each that changed is stored.
    let all = [
        ("last words\n", "stale"),
        ("boot\n", "partial"),
        ("boot\nmore\n", "partial"),
        ("boot\nmore\nall\n", "partial"),
    ];
    assert_eq!(kept(&bucket), expected(&all));
    let log = function.stop().await;
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("stored s3://") && last.contains("fresh"),
        "{log}"
    );
    assert!(last.contains("E-1") && last.contains("Starting"), "{log}");
}

/// As a function URL does not wait for what ECS does not give: nothing is acknowledged that is
/// neither kept nor queued.
#[tokio::test]
async fn over_http_what_cannot_be_captured_at_once_is_queued_or_refused() {
    let stall = "stall".parse().unwrap();
    let (queued, sqs) = queued("60", vec![output(b"boot\nhost login: ", NEWER)]).await;
    let function = Function::start(&queued.settings).await;
    queued.simulator.plan_faults(&stall);
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert!(queued.server.objects().is_empty());
    let sent = sqs.take_sent().unwrap();
    function.result_of(&delivered(&sent)).await;
    let all = [("boot\nhost login: ", "fresh")];
    assert_eq!(kept(&queued), expected(&all));

    // So is what trying again does not mend: the queue has dead letters, and an alarm for them.
    queued.simulator.set_consoles(
        &InstanceId::parse(ID).unwrap(),
        vec![Console::Error {
            status: 403,
            code: "Forbidden.RAM".into(),
        }],
    );
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    let reply = function
        .result_of(&delivered(&sqs.take_sent().unwrap()))
        .await;
    assert_eq!(reply["batchItemFailures"].as_array().unwrap().len(), 1);

    let alone = bucket("60", vec![output(b"boot\n", NEWER)]).await;
    let function = Function::start(&alone.settings).await;
    alone.simulator.plan_faults(&stall);
    let reply = function.result_of(&over_http(&event())).await;
    assert_eq!(reply["statusCode"], 503, "{reply}");
}

#[tokio::test]
async fn a_follow_message_that_comes_twice_stores_nothing_twice() {
    let (bucket, sqs) = queued("3600", reboot()).await;
    let function = Function::start(&bucket.settings).await;
    function.result_of(&event()).await;
    let sent = sqs.take_sent().unwrap();
    for _ in 0..3 {
        function.result_of(&delivered(&sent)).await;
    }
    let keys = bucket.server.records();
    assert!(keys.keys().all(|key| bucket.server.writes(key) == 1));
}

#[tokio::test]
async fn a_queue_that_fails_is_a_failure_that_another_delivery_mends() {
    let (bucket, sqs) = queued("60", vec![output(b"boot\n", NEWER)]).await;
    let function = Function::start(&bucket.settings).await;
    sqs.fault_next(403, "AccessDenied");
    let (error_type, message) = function.failure_of(&event()).await;
    assert_eq!(error_type, "QueueRefused", "{message}");
    assert!(message.contains("AccessDenied"), "{message}");
    assert_eq!(kept(&bucket).len(), 1);
    sqs.fault_next(503, "ServiceUnavailable");
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert!(sqs.take_sent().is_some());
}

#[tokio::test]
async fn a_hostile_follow_message_is_refused_before_any_request() {
    let (bucket, sqs) = queued("60", vec![output(b"boot\n", NEWER)]).await;
    let function = Function::start(&bucket.settings).await;
    function.result_of(&event()).await;
    let sent = sqs.take_sent().unwrap();
    let asked = bucket.simulator.answered().len();
    for (from, to) in [
        (ID, "../../etc"),
        ("cn-hangzhou", "evil.example/"),
        ("\"polls\":1", "\"polls\":-1"),
        ("\"follow\":", "\"follow\":5,\"x\":"),
    ] {
        let message = sent.body.replace(from, to);
        assert_ne!(message, sent.body);
        let (error_type, _) = function.failure_of(message.as_bytes()).await;
        assert_eq!(error_type, "InvalidEvent", "{message}");
    }
    assert_eq!(bucket.simulator.answered().len(), asked);
}

#[tokio::test]
async fn a_storm_on_the_way_is_ridden_out() {
    let bucket = bucket("2", reboot()).await;
    let function = Function::start(&bucket.settings).await;
    for fault in ["fail*3", "truncate", "reset", "garbage"] {
        bucket.simulator.plan_faults(&fault.parse().unwrap());
    }
    // What fails once does not count against the next poll, so the console is the first one.
    for _ in 0..3 {
        bucket
            .server
            .fault_next_put(s3_server::Fault::Status(503, "SlowDown"));
    }
    let answer = function.invoke(&event(), TIMEOUT).await;
    let Answer::Response(reply) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(reply["outcome"], "stored", "{reply}");
    let consoles: Vec<_> = kept(&bucket)
        .into_iter()
        .map(|(console, _)| console)
        .collect();
    assert_eq!(consoles[0], "last words\n");
}
