//! Following consoles after their events. How it goes on for minutes: the real `Archiver` in the test's
//! process, by a paused clock. That the function does so after its answer and through a queue: the
//! real `bootstrap`, with guests whose clock the test moves, and messages that it ages.

use std::time::Duration;

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Cache, Guest, Reports};
use serde_json::{Value, json};

use crate::support::memory::{self, AtomicStore, Ecs};
use crate::support::runtime_api::Function;
use crate::support::s3_server::{self, Profile};
use crate::support::sqs_server::{Sent, SqsServer};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
fn event() -> Vec<u8> {
    starting(ID).into_bytes()
}

/// A bucket, and this guest on the instance. Its clock stands still, long enough after its beginning
/// that the cache has what it wrote then.
async fn bucket(follow_seconds: &str, guest: Guest) -> Bucket {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let follow = settings(&[("FOLLOW_SECONDS", follow_seconds)]);
    bucket.settings.extend(follow);
    bucket.simulator.set_guest(&instance_id(), guest);
    bucket.simulator.set_guest_time(s(EVENT_AT));
    bucket
}

fn instance_id() -> InstanceId {
    InstanceId::parse(ID).unwrap()
}

/// When the event happens, in seconds after the guest's beginning.
const EVENT_AT: u64 = 100;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// As ECS caches it: a minute behind.
fn lagging() -> Guest {
    Guest::new(Cache::lagging(s(60)))
}

/// The same, where ECS says no time of it: messages are aged, and so would the time be.
fn undated() -> Guest {
    Guest::new(Cache {
        reports: Reports::Nothing,
        ..Cache::lagging(s(60))
    })
}

/// A machine that is stopped at the event, and boots.
fn reboot(guest: Guest) -> Guest {
    guest
        .writes(s(0), "last words\n")
        .stops(s(101))
        .starts(s(110))
        .clears(s(111))
        .writes(s(112), "boot\n")
        .writes(s(150), "more\n")
        .writes(s(168), "all\n")
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

/// What came of an event that was followed in memory.
struct Followed {
    reply: Value,
    store: AtomicStore,
    /// How often ECS was asked.
    asked: usize,
    /// How long it took, in seconds.
    seconds: u64,
}

impl Followed {
    /// What a reader finds: consoles and what is said of their freshness, by key.
    #[track_caller]
    fn keeps(&self, consoles: &[(&str, &str)]) -> &Self {
        let mut expected = expected(consoles);
        let mut found = self.store.readable();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        self
    }

    /// The outcome, and the freshness as of the end.
    #[track_caller]
    fn says(&self, outcome: &str, freshness: &str) -> &Self {
        let said = (&self.reply["outcome"], &self.reply["freshness"]);
        assert_eq!(said, (&json!(outcome), &json!(freshness)), "{}", self.reply);
        self
    }
}

fn follow_for(guest: Guest, what: &str, requests: Vec<Ecs>, timeout: Duration) -> Followed {
    let store = AtomicStore::default();
    let (reply, asked, seconds) = memory::paused_runtime().block_on(async {
        let ecs = memory::Guests::begin([(ID.to_owned(), guest)]);
        ecs.plan(ID, requests);
        tokio::time::sleep(s(EVENT_AT)).await;
        let began = tokio::time::Instant::now();
        let dispatcher = memory::dispatcher(memory::Asked::new(&ecs), memory::Used::new(&store));
        let payload = memory::event(ID, what, s(EVENT_AT));
        let answer = memory::deliver(&dispatcher, &payload, timeout).await;
        let reply = answer.unwrap_or_else(|error_type| json!({ "outcome": error_type }));
        (reply, *ecs.asked.lock().unwrap(), began.elapsed().as_secs())
    });
    Followed {
        reply,
        store,
        asked,
        seconds,
    }
}

fn follow(guest: Guest, what: &str) -> Followed {
    follow_for(guest, what, Vec::new(), memory::TIMEOUT)
}

#[test]
fn a_reboot_is_followed_until_the_new_console_has_settled() {
    for guest in [lagging(), undated()] {
        let followed = follow(reboot(guest), "Running");
        followed.says("stored", "fresh");
        assert_eq!(followed.reply["earlier"].as_array().unwrap().len(), 1);
        // Of what extends the console before, only the last is stored.
        followed.keeps(&[("last words\n", "stale"), ("boot\nmore\nall\n", "fresh")]);
    }
}

#[test]
fn a_panic_after_a_minute_of_silence_is_kept_at_every_cause() {
    let panics = || {
        let boot = lagging().writes(s(0), "old\n").clears(s(100));
        boot.writes(s(101), "boot\n")
            .writes(s(161), "Kernel panic\n")
    };
    for what in ["Starting", "Running", "InstanceFailure.Reboot"] {
        let followed = follow(panics(), what);
        let kept = followed.store.readable();
        let is_kept = kept
            .iter()
            .any(|(plain, _)| plain.ends_with("Kernel panic\n"));
        assert!(is_kept, "{what}: {kept:?}");
        assert!(
            followed.reply["freshness"] == "fresh" || what == "Starting",
            "{what}"
        );
    }
}

/// As recorded: a kernel waits for devices for 11 s, and for a file system for 18 s.
#[test]
fn the_silences_of_a_boot_are_not_its_end() {
    let mut guest = lagging().clears(s(100));
    for (line, at) in [101, 112, 130, 141, 159, 170, 188, 218]
        .into_iter()
        .enumerate()
    {
        guest = guest.writes(s(at), format!("{line}\n"));
    }
    let followed = follow(guest, "Running");
    followed.says("stored", "fresh");
    let kept = followed.store.readable();
    assert!(
        kept.iter()
            .any(|(plain, _)| plain == "0\n1\n2\n3\n4\n5\n6\n7\n")
    );
}

#[test]
fn the_last_words_of_a_shutdown_are_kept_although_the_cache_lags() {
    let guest = lagging()
        .writes(s(0), "host login: ")
        .writes(s(105), "\nStopped all.\n")
        .writes(s(118), "reboot: Restarting system\n")
        .clears(s(145))
        .writes(s(146), "boot\n");
    let followed = follow(guest, "Stopping");
    let kept = followed.store.readable();
    let words = "host login: \nStopped all.\nreboot: Restarting system\n";
    assert!(kept.iter().any(|(plain, _)| plain == words), "{kept:?}");
    assert_eq!(followed.asked, 6);
    assert!(followed.seconds <= 100);
}

#[test]
fn what_a_rolling_ring_would_lose_is_stored() {
    let cache = Cache {
        ring_bytes: 8,
        ..Cache::lagging(s(60))
    };
    let guest = Guest::new(cache)
        .writes(s(30), "one\n")
        .writes(s(65), "two\n")
        .writes(s(95), "three\n")
        .writes(s(125), "a login: ");
    let followed = follow(guest, "Running");
    followed.says("stored", "fresh");
    followed.keeps(&[
        ("one\n", "stale"),
        ("one\ntwo\n", "partial"),
        ("o\nthree\n", "partial"),
        (" login: ", "fresh"),
    ]);
}

#[test]
fn a_login_prompt_ends_it_at_once() {
    let guest = Guest::new(Cache::lagging(Duration::ZERO)).writes(s(EVENT_AT), "host login: ");
    let followed = follow(guest, "Running");
    followed
        .says("stored", "fresh")
        .keeps(&[("host login: ", "fresh")]);
    assert_eq!(followed.asked, 1);
}

#[test]
fn the_budget_ends_it_and_what_is_stored_says_so() {
    let followed = follow(lagging().writes(s(0), "last words\n"), "Running");
    followed
        .says("stored", "stale")
        .keeps(&[("last words\n", "stale")]);
    assert_eq!((followed.asked, followed.seconds), (7, 300));
}

#[test]
fn a_deadline_that_nears_ends_it() {
    let guest = Guest::new(Cache::lagging(Duration::ZERO)).writes(s(EVENT_AT), "boot\n");
    let followed = follow_for(guest, "Running", Vec::new(), s(6));
    followed
        .says("stored", "partial")
        .keeps(&[("boot\n", "partial")]);
    assert_eq!(followed.asked, 1);
}

#[test]
fn an_instance_that_never_starts_leaves_a_marker() {
    let followed = follow(lagging().stops(s(90)), "Starting");
    assert_eq!(followed.reply["outcome"], "no_console");
    assert_eq!(followed.reply["reason"], "not_running");
    assert_eq!((followed.asked, followed.store.markers(ID)), (4, 1));
}

#[test]
fn an_ecs_that_fails_on_the_way_loses_nothing_it_gave_before() {
    let guest = Guest::new(Cache::lagging(Duration::ZERO))
        .writes(s(EVENT_AT), "one\n")
        .writes(s(EVENT_AT + 20), "two\n");
    let requests = vec![Ecs::Answers, Ecs::Answers, Ecs::Denies];
    let followed = follow_for(guest, "Running", requests, memory::TIMEOUT);
    assert_eq!(followed.reply["outcome"], "EcsDenied");
    followed.keeps(&[("one\n", "partial"), ("one\ntwo\n", "partial")]);
}

/// What failed once does not count as a look.
#[test]
fn a_storm_on_the_way_is_ridden_out() {
    let requests = [Ecs::Fails, Ecs::Fails, Ecs::Answers].repeat(20);
    let followed = follow_for(reboot(lagging()), "Running", requests, memory::TIMEOUT);
    followed.says("stored", "fresh");
    followed.keeps(&[("last words\n", "stale"), ("boot\nmore\nall\n", "fresh")]);
}

/// A console that is stored before it has settled says so in its metadata for ever; what it turned out
/// to be stands beside it.
#[test]
fn the_verdict_at_the_end_is_found_beside_what_was_stored_before() {
    let guest = Guest::new(Cache::lagging(Duration::ZERO)).writes(s(EVENT_AT), "boot\n");
    let followed = follow(guest, "Running");
    followed
        .says("stored", "fresh")
        .keeps(&[("boot\n", "fresh")]);
    // A record and a verdict, and a row of the catalog behind each.
    assert_eq!(followed.store.objects.lock().unwrap().len(), 4);
    assert!(followed.asked <= 5, "{}", followed.asked);
}

#[tokio::test]
async fn every_event_of_a_batch_is_captured_before_any_is_followed() {
    let bucket = bucket("1", lagging().writes(s(0), "boot\n")).await;
    let other = InstanceId::parse("i-other").unwrap();
    let stale = lagging().writes(s(0), "other\n");
    bucket.simulator.set_guest(&other, stale);
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
    let bucket = bucket("1", reboot(lagging())).await;
    let function = Function::start(&bucket.settings).await;
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert_eq!(reply["urls"].as_array().unwrap().len(), 1, "{reply}");
    bucket.simulator.set_guest_time(s(400));
    // As on Lambda, the next event is delivered when what follows the answer is done.
    function.result_of(br#"{"source":"acs.rds"}"#).await;
    // A later look might have found more.
    let all = [
        ("last words\n", "partial"),
        ("boot\nmore\nall\n", "partial"),
    ];
    assert_eq!(kept(&bucket), expected(&all));
}

#[tokio::test]
async fn over_http_that_there_is_no_console_yet_is_kept_before_the_answer() {
    let bucket = bucket("1", lagging().stops(s(0))).await;
    let function = Function::start(&bucket.settings).await;
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert_eq!(bucket.server.markers().len(), 1);
    function.result_of(br#"{"source":"acs.rds"}"#).await;
    assert_eq!(bucket.server.markers().len(), 1);
}

/// As SQS delivers it to the function after its delay.
fn delivered(sent: &Sent) -> Vec<u8> {
    let body = aged(&sent.body, sent.delay_seconds);
    json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m1", "body": body}]})
        .to_string()
        .into_bytes()
}

async fn queued(follow_seconds: &str, guest: Guest) -> (Bucket, SqsServer) {
    let mut bucket = bucket(follow_seconds, guest).await;
    let sqs = SqsServer::start().await;
    let queue = settings(&[("FOLLOW_QUEUE_URL", &sqs.queue_url())]);
    bucket.settings.extend(queue);
    (bucket, sqs)
}

/// An event of this state and what it sends to the queue, until nothing is left to deliver; the
/// delays.
async fn follow_queued(
    function: &Function,
    bucket: &Bucket,
    sqs: &SqsServer,
    state: &str,
) -> Vec<u64> {
    let event = text(&event()).replace("Starting", state);
    let reply = function.result_of(event.as_bytes()).await;
    assert_eq!(reply["outcome"], "following", "{reply}");
    let (mut delays, mut now) = (Vec::new(), EVENT_AT);
    while let Some(sent) = sqs.take_sent() {
        delays.push(sent.delay_seconds);
        now += sent.delay_seconds;
        bucket.simulator.set_guest_time(s(now));
        let reply = function.result_of(&delivered(&sent)).await;
        assert_eq!(reply["batchItemFailures"], json!([]));
    }
    delays
}

#[tokio::test]
async fn through_a_queue_it_is_followed_without_waiting_and_its_verdict_is_read_back() {
    let (bucket, sqs) = queued("300", reboot(undated())).await;
    let function = Function::start(&bucket.settings).await;
    let delays = follow_queued(&function, &bucket, &sqs, "Running").await;
    // Four looks until the boot is over, and one more at the end of its silence and the cache's lag.
    assert!(
        delays.len() == 6 && delays.iter().all(|d| *d > 20),
        "{delays:?}"
    );
    // A message cannot carry a console, so each that changed is stored, and says what was known then.
    let all = [
        ("last words\n", "stale"),
        ("boot\n", "partial"),
        ("boot\nmore\nall\n", "partial"),
    ];
    assert_eq!(kept(&bucket), expected(&all));
    // What is known at the end stands beside the last one, once.
    let [verdict] = &bucket.server.verdicts()[..] else {
        panic!("{:?}", bucket.server.verdicts());
    };
    assert_eq!(bucket.server.writes(verdict), 1);
    let records: Vec<Value> = {
        let output = cli(&bucket.settings, &["list", ID, "--output", "json"]).await;
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(records.len(), 3);
    let settled: Vec<_> = records
        .iter()
        .filter(|r| r["freshness"] == "fresh")
        .collect();
    let [settled] = settled[..] else {
        panic!("{records:?}");
    };
    let name = settled["name"].as_str().unwrap();
    let arguments = ["get", ID, "--at", name, "--output", "json"];
    let output = cli(&bucket.settings, &arguments).await;
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["console"], "boot\nmore\nall\n", "{read}");
    assert_eq!(
        (&read["freshness"], &read["metadata"]["freshness"]),
        (&json!("fresh"), &json!("partial"))
    );
    let table = text(&cli(&bucket.settings, &["list", ID]).await.stdout);
    assert!(
        table
            .lines()
            .any(|line| line.contains(name) && line.contains("  complete  ")),
        "{table}"
    );
    let log = function.stop().await;
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("stored s3://") && last.contains("fresh"),
        "{log}"
    );
    assert!(last.contains("E-1") && last.contains("Running"), "{log}");
}

/// What a message says of a console counts when it has settled, invocations later.
#[tokio::test]
async fn through_a_queue_it_is_told_once_whether_a_boot_came_to_its_login_prompt() {
    for (end, reached) in [("all\n", 0), ("host login: ", 1)] {
        let guest = undated().writes(s(0), "host login: ").stops(s(101));
        let guest = guest.starts(s(110)).clears(s(111));
        let guest = guest.writes(s(112), "boot\n").writes(s(168), end);
        let (bucket, sqs) = queued("300", guest).await;
        let function = Function::start(&bucket.settings).await;
        follow_queued(&function, &bucket, &sqs, "Running").await;
        let log = function.stop().await;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let told: Vec<_> = lines
            .filter(|line: &Value| line["login"].is_string())
            .map(|line| {
                (
                    line["LoginsReached"].clone(),
                    line["LoginsNotReached"].clone(),
                )
            })
            .collect();
        assert_eq!(told, [(json!(reached), json!(1 - reached))], "{log}");
    }
}

#[tokio::test]
async fn what_a_message_knows_to_be_stored_is_not_put_again() {
    // Replicas of the cache that are not of one age: the console goes back and forth.
    let flips = undated()
        .writes(s(0), "one\n")
        .clears(s(60))
        .writes(s(60), "two\n")
        .clears(s(90))
        .writes(s(90), "one\n");
    let (bucket, sqs) = queued("300", flips).await;
    let function = Function::start(&bucket.settings).await;
    follow_queued(&function, &bucket, &sqs, "Running").await;
    assert_eq!(bucket.server.records().len(), 2);
    assert_eq!(bucket.server.puts(), 2 + bucket.server.verdicts().len());
}

/// The events of a reboot do not know of each other's records; the process that serves them does.
#[tokio::test]
async fn a_console_that_another_event_has_stored_is_not_put_again_by_the_same_process() {
    let (bucket, _sqs) = queued("300", undated().writes(s(0), "last words\n")).await;
    let function = Function::start(&bucket.settings).await;
    for (state, event_id) in [("Stopping", "E-1"), ("Starting", "E-2"), ("Running", "E-3")] {
        let event = text(&event())
            .replace("Starting", state)
            .replace("E-1", event_id);
        let reply = function.result_of(event.as_bytes()).await;
        assert_eq!(reply["outcome"], "following", "{reply}");
        assert_eq!(reply["urls"].as_array().unwrap().len(), 1, "{reply}");
    }
    assert_eq!(
        (bucket.server.puts(), bucket.server.records().len()),
        (1, 1)
    );
    // Whoever captures by hand may have removed it.
    let by_hand = json!({"instance_id": ID, "region_id": "cn-hangzhou"}).to_string();
    let reply = function.result_of(by_hand.as_bytes()).await;
    assert_eq!(reply["outcome"], "already_stored", "{reply}");
    assert_eq!(bucket.server.puts(), 2);
    // Another process does not know it, and loses nothing.
    let other = Function::start(&bucket.settings).await;
    other.result_of(&event()).await;
    assert_eq!(
        (bucket.server.puts(), bucket.server.records().len()),
        (3, 1)
    );
}

#[tokio::test]
async fn a_message_of_the_version_before_and_one_of_a_later_version_are_followed() {
    let (bucket, sqs) = queued("300", undated().writes(s(0), "boot\n")).await;
    let function = Function::start(&bucket.settings).await;
    function.result_of(&event()).await;
    let sent = sqs.take_sent().unwrap();
    let message: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(message["version"], 1, "{message}");
    let mut before = message.clone();
    before.as_object_mut().unwrap().remove("version");
    before.as_object_mut().unwrap().remove("due_at");
    let seen = before.pointer_mut("/follow/seen").unwrap();
    seen.as_object_mut()
        .unwrap()
        .retain(|name, _| !["same_since", "is_quiet"].contains(&name.as_str()));
    let kept = before.pointer_mut("/follow/kept/0").unwrap();
    kept.as_object_mut().unwrap().remove("freshness");
    let mut later = message.clone();
    later["version"] = json!(2);
    later["follow"]["event"]["event_id"] = json!("E-2"); // Or it is a copy.
    later["of_a_later_version"] = json!({"a": 1});
    for place in [
        "/follow",
        "/follow/event",
        "/follow/seen",
        "/follow/kept/0",
        "/follow/kept/0/record",
    ] {
        later.pointer_mut(place).unwrap()["of_a_later_version"] = json!([1]);
    }
    for message in [before, later] {
        let message = aged(&message.to_string(), sent.delay_seconds);
        let reply = function.result_of(message.as_bytes()).await;
        assert_eq!(reply["outcome"], "following", "{reply}");
        assert!(sqs.take_sent().is_some());
    }
}

/// As a function URL does not wait for what ECS does not give: nothing is acknowledged that is
/// neither kept nor queued.
#[tokio::test]
async fn over_http_what_cannot_be_captured_at_once_is_queued_or_refused() {
    let stall = "stall".parse().unwrap();
    // Its event is long past, so the prompt is newer.
    let prompt = || lagging().writes(s(0), "boot\nhost login: ");
    let (queued, sqs) = queued("60", prompt()).await;
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
    queued
        .simulator
        .plan_faults(&"expire-token*10".parse().unwrap());
    let reply = body(&function.result_of(&over_http(&event())).await);
    assert_eq!(reply["outcome"], "following", "{reply}");
    let reply = function
        .result_of(&delivered(&sqs.take_sent().unwrap()))
        .await;
    assert_eq!(reply["batchItemFailures"].as_array().unwrap().len(), 1);

    let alone = bucket("60", prompt()).await;
    let function = Function::start(&alone.settings).await;
    alone.simulator.plan_faults(&stall);
    let reply = function.result_of(&over_http(&event())).await;
    assert_eq!(reply["statusCode"], 503, "{reply}");
}

#[tokio::test]
async fn a_follow_message_that_comes_twice_stores_nothing_twice() {
    let (bucket, sqs) = queued("300", reboot(undated())).await;
    let function = Function::start(&bucket.settings).await;
    function.result_of(&event()).await;
    let sent = sqs.take_sent().unwrap();
    bucket.simulator.set_guest_time(s(300));
    for _ in 0..3 {
        function.result_of(&delivered(&sent)).await;
    }
    let keys = bucket.server.records();
    assert_eq!(keys.len(), 2);
    assert!(keys.keys().all(|key| bucket.server.writes(key) == 1));
}

#[tokio::test]
async fn a_queue_that_fails_is_a_failure_that_another_delivery_mends() {
    let (bucket, sqs) = queued("60", lagging().writes(s(0), "boot\n")).await;
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
    let (bucket, sqs) = queued("60", lagging().writes(s(0), "boot\n")).await;
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
