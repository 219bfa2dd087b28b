//! Events that failed for good, kept and served again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ecs_console_archiver::archive::record::FailedEvent;
use ecs_console_archiver::hosts::redrive::{InvalidEvents, Place, Redriven, Why};
use ecs_console_archiver::model::event::Origin;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::{Console, Simulator};
use ecs_console_archiver::store::Store as _;
use serde_json::json;

use crate::support::fakes::{FakeFleet, MemoryStore, dispatcher, instance};
use crate::support::runtime_api::Function;
use crate::support::s3_server::{ACCESS_KEY_ID, Profile, S3Server, SECRET_ACCESS_KEY};
use crate::support::sqs_server::SqsServer;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

fn failed(server: &S3Server) -> Vec<String> {
    let keys = server.objects().into_keys();
    keys.filter(|key| key.contains("/failed/")).collect()
}

fn denied(bucket: &Bucket) {
    denied_by(&bucket.simulator);
}

fn denied_by(simulator: &Simulator) {
    let id = InstanceId::parse(ID).unwrap();
    let code = "Forbidden.RAM".to_owned();
    simulator.set_console(&id, Console::Error { status: 403, code });
}

fn mended(bucket: &Bucket) {
    set_console(&bucket.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
}

/// Writes a failed event as the archive in a folder keeps it; its file.
fn keep(archive: &Path, error_type: &str, event: &str) -> PathBuf {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let failed = FailedEvent::new(event, Origin::Invocation, error_type, at).unwrap();
    let file = archive.join(failed.key.to_string());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &failed.object.body).unwrap();
    let metadata = json!({"content_type": failed.object.content_type, "metadata": {}});
    std::fs::write(
        format!("{}.meta.json", file.display()),
        metadata.to_string(),
    )
    .unwrap();
    file
}

/// Keys for a queue, where the archive is a folder.
fn queue_keys() -> Settings {
    settings(&[
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_REGION", "us-east-1"),
    ])
}

const EVENT: &str = "events/eventbridge-instance-failure-reboot.json";

#[tokio::test]
async fn what_fails_is_kept_once_and_served_again_when_it_is_mended() {
    for profile in [
        Profile::Aws,
        Profile::Oss { versioned: false },
        Profile::IgnoresConditions,
    ] {
        let bucket = Bucket::start(profile).await;
        denied(&bucket);
        for _ in 0..2 {
            let output = cli(&bucket.settings, &["invoke", EVENT]).await;
            assert_eq!(output.status.code(), Some(1));
            assert!(
                text(&output.stderr).contains("redrive"),
                "{}",
                text(&output.stderr)
            );
        }
        assert_eq!(failed(&bucket.server).len(), 1);
        let shown = cli(&bucket.settings, &["redrive", "--dry-run"]).await;
        assert!(
            text(&shown.stdout).contains("/failed/EcsDenied-"),
            "{}",
            text(&shown.stdout)
        );
        let again = cli(&bucket.settings, &["redrive"]).await;
        assert_eq!(again.status.code(), Some(1));
        assert!(
            text(&again.stderr).contains("stays"),
            "{}",
            text(&again.stderr)
        );
        assert_eq!(failed(&bucket.server).len(), 1);
        mended(&bucket);
        let again = cli(&bucket.settings, &["redrive"]).await;
        assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
        assert!(failed(&bucket.server).is_empty());
        assert_eq!(bucket.server.records().len(), 1);
        assert_eq!(
            cli(&bucket.settings, &["redrive"]).await.status.code(),
            Some(3)
        );
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn on_lambda_the_platform_keeps_them_unless_told_otherwise() {
    for (setting, kept) in [("", 0), ("platform", 0), ("archive", 1)] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket
            .settings
            .extend(settings(&[("FAILED_EVENTS", setting)]));
        denied(&bucket);
        let function = Function::start(&bucket.settings).await;
        let event = std::fs::read(root().join(EVENT)).unwrap();
        function.failure_of(&event).await;
        assert_eq!(failed(&bucket.server).len(), kept, "{setting:?}");
    }
}

/// Events that are none, whatever is mended.
const INVALID: [&str; 6] = [
    "{ no event",
    "[]{",
    r#"{"instance_id": "../etc"}"#,
    r#"{"eventName": "unheard of", "resources": []}"#,
    r#"{"source": "acs.ecs", "type": "ecs:Instance:StateChange", "data": {"state": "Starting"}}"#,
    r#"{"sweep": {"region": "cn-hangzhou"}}"#,
];

#[tokio::test]
async fn in_a_folder_what_can_never_succeed_is_named_and_dropped_when_asked_for() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    let files = INVALID.map(|event| keep(folder.path(), "InvalidEvent", event));
    // It is listed as no console, and stays until someone removes it.
    assert_eq!(cli(&settings, &["list"]).await.status.code(), Some(3));
    for _ in 0..2 {
        let output = cli(&settings, &["redrive"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.matches("can never succeed: ").count(), INVALID.len());
        assert!(told.contains("6 of the events") && told.contains("--drop-invalid"));
        assert!(files.iter().all(|file| file.exists()));
    }
    // A threshold alarm was kept before it was known; now it asks for nothing.
    let alarm = r#"{"alertName": "cpu", "alertState": "ALERT", "expression": "$Average>90"}"#;
    let alarm = keep(folder.path(), "InvalidEvent", alarm);
    cli(&settings, &["redrive"]).await;
    assert!(!alarm.exists());
    // What fails for another reason is not dropped, and is the exit code.
    denied_by(&simulator);
    let event = std::fs::read_to_string(root().join(EVENT)).unwrap();
    let failing = keep(folder.path(), "EcsDenied", &event);
    let mixed = keep(folder.path(), "EcsDenied", &format!("[{event},{{}}]"));
    let output = cli(&settings, &["redrive", "--drop-invalid"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("dropped: "));
    assert!(!files.iter().any(|file| file.exists()));
    assert!(failing.exists() && mixed.exists());
    // What is good in it is stored before the rest is dropped.
    set_console(&simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    let output = cli(&settings, &["redrive", "--drop-invalid"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!failing.exists() && !mixed.exists());
    assert_eq!(names_in(&folder.path().join(ID), ".log.gz").len(), 1);
}

#[tokio::test]
async fn of_a_queue_what_can_never_succeed_stays_until_it_is_dropped() {
    let bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    sqs.give_again();
    INVALID.iter().for_each(|event| sqs.put(event));
    let queue_url = sqs.queue_url();
    let redrive = ["redrive", "--queue-url", &queue_url];
    let output = cli(&bucket.settings, &redrive).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(sqs.left().0, INVALID.len());
    let dropping = [&redrive[..], &["--drop-invalid"]].concat();
    let output = cli(&bucket.settings, &dropping).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(sqs.left().0, 0);
    let output = cli(
        &bucket.settings,
        &["redrive", "--dry-run", "--drop-invalid"],
    )
    .await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_message_that_comes_twice_is_served_once_and_leaves_nothing() {
    let bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    sqs.put_twice(&std::fs::read_to_string(root().join(EVENT)).unwrap());
    let arguments = ["redrive", "--queue-url", &sqs.queue_url()];
    let output = cli(&bucket.settings, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).matches("stored ").count(), 1);
    assert_eq!(sqs.left(), (0, 0));
}

#[tokio::test]
async fn a_queue_that_gives_nothing_or_refuses_is_told() {
    let bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    let arguments = ["redrive", "--queue-url", &sqs.queue_url()];
    let output = cli(&bucket.settings, &arguments).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    sqs.put(&std::fs::read_to_string(root().join(EVENT)).unwrap());
    sqs.fault_next(403, "AccessDenied");
    let output = cli(&bucket.settings, &arguments).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("AccessDenied"));
    assert_eq!(sqs.left(), (1, 0));
}

#[tokio::test]
async fn a_dead_letter_queue_is_emptied_of_what_succeeds() {
    let bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    let event = std::fs::read_to_string(root().join(EVENT)).unwrap();
    // As a function's dead-letter queue, a queue's, and a destination for failures have them.
    sqs.put(&event);
    sqs.put(&json!({"source": "acs.rds", "type": "x"}).to_string());
    let requested: serde_json::Value = serde_json::from_str(&event).unwrap();
    let destination = json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": requested, "responsePayload": {"errorType": "EcsDenied"}});
    sqs.put(&destination.to_string());
    sqs.put("{ no event");
    let arguments = ["redrive", "--queue-url", &sqs.queue_url()];
    let output = cli(&bucket.settings, &arguments).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(sqs.left(), (0, 1), "the broken one stays");
    let id = "i-bp1panicnoroot00001";
    let keys: Vec<_> = bucket.server.records().into_keys().collect();
    assert!(keys.len() == 1 && keys[0].contains(id), "{keys:?}");
    assert_eq!(
        cli(&bucket.settings, &arguments).await.status.code(),
        Some(3)
    );
}

#[tokio::test]
async fn a_queue_whose_failures_come_back_is_left_at_last() {
    let bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    sqs.give_again();
    sqs.put("{ no event");
    sqs.put(&std::fs::read_to_string(root().join(EVENT)).unwrap());
    let arguments = ["redrive", "--queue-url", &sqs.queue_url()];
    let output = cli(&bucket.settings, &arguments).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(
        sqs.left(),
        (1, 2),
        "the broken one stays, and was seen twice"
    );
    assert_eq!(bucket.server.records().len(), 1);
}

/// An HTTP request as a function URL passes it on, of an asynchronous invocation.
fn in_http_envelope(event: &str) -> String {
    json!({"version": "2.0", "requestContext": {"http": {"method": "POST"}}, "headers": {},
           "isBase64Encoded": false, "body": event})
    .to_string()
}

#[tokio::test]
async fn an_event_that_fails_again_inside_any_envelope_stays() {
    let bucket = Bucket::start(Profile::Aws).await;
    let event = std::fs::read_to_string(root().join(EVENT)).unwrap();
    let unrelated = json!({"source": "acs.rds", "type": "x"}).to_string();
    let sqs_batch = |bodies: &[&str]| {
        let record =
            |body: &&str| json!({"eventSource": "aws:sqs", "messageId": "m", "body": body});
        json!({"Records": bodies.iter().map(record).collect::<Vec<_>>()}).to_string()
    };
    let envelopes = [
        event.clone(),
        in_http_envelope(&event),
        in_http_envelope(&in_http_envelope(&event)),
        in_http_envelope(&format!("[{unrelated},{event}]")),
        sqs_batch(&[&unrelated, &event]),
        sqs_batch(&[&in_http_envelope(&event)]),
        json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
               "requestPayload": {"requestContext": {"http": {}}, "body": event}})
        .to_string(),
    ];
    let redrive = async |envelope: &str| {
        let sqs = SqsServer::start().await;
        sqs.deliver_what_is_sent();
        sqs.put(envelope);
        let arguments = ["redrive", "--queue-url", &sqs.queue_url()];
        let output = cli(&bucket.settings, &arguments).await;
        (output.status.code(), sqs.left(), text(&output.stderr))
    };
    for envelope in &envelopes {
        denied(&bucket);
        let (code, left, told) = redrive(envelope).await;
        assert_eq!((code, left), (Some(1), (0, 1)), "{envelope}");
        // Beside another event, it stays without that one.
        assert!(
            told.contains("stays") || told.contains("is replaced by another message"),
            "{envelope}: {told}"
        );
        mended(&bucket);
        let (code, left, told) = redrive(envelope).await;
        assert_eq!((code, left), (Some(0), (0, 0)), "{envelope}: {told}");
    }
}

#[tokio::test]
async fn an_event_of_the_archive_that_fails_again_inside_an_http_envelope_stays() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    denied_by(&simulator);
    let event = std::fs::read_to_string(root().join(EVENT)).unwrap();
    let file = keep(folder.path(), "EcsDenied", &in_http_envelope(&event));
    assert_eq!(cli(&settings, &["redrive"]).await.status.code(), Some(1));
    assert!(file.exists());
    set_console(&simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    assert_eq!(cli(&settings, &["redrive"]).await.status.code(), Some(0));
    assert!(!file.exists());
}

#[tokio::test]
async fn of_an_array_only_what_failed_is_served_again() {
    let bucket = Bucket::start(Profile::Aws).await;
    denied(&bucket);
    let good = "i-bp1cloudinit0000001";
    set_console(&bucket.simulator, good, b"hello\n", "2024-03-22 10:04:57");
    let event = |id| serde_json::from_str::<serde_json::Value>(&starting(id)).unwrap();
    let push = json!([event(good), event(ID)]).to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &push).unwrap();
    cli(&bucket.settings, &["invoke", file.path().to_str().unwrap()]).await;
    let sqs = SqsServer::start().await;
    sqs.deliver_what_is_sent();
    sqs.put(&push);
    let url = sqs.queue_url();
    for redrive in [&["redrive"][..], &["redrive", "--queue-url", &url]] {
        let before = failed(&bucket.server);
        let output = cli(&bucket.settings, redrive).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let place = match redrive {
            ["redrive"] => "is replaced by failed/EcsDenied-",
            _ => "is replaced by another message in the queue",
        };
        assert!(
            told.contains(place) && told.contains(": 1 of 2 events failed, such as: ECS refused"),
            "{told}"
        );
        if redrive.len() == 1 {
            assert_ne!(failed(&bucket.server), before);
            assert_eq!(failed(&bucket.server).len(), 1);
            let asked = bucket.simulator.answered().len();
            let output = cli(&bucket.settings, redrive).await;
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(bucket.simulator.answered().len() - asked, 1);
        }
    }
    let sent = sqs.take_sent().unwrap();
    assert_eq!(sent.body, event(ID).to_string());
    mended(&bucket);
    let output = cli(&bucket.settings, &["redrive"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(failed(&bucket.server).is_empty());
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_large_array_goes_on_where_its_time_was_over() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_millis(250);
    let event = |index| starting(instance(index).as_str());
    let events: Vec<_> = (0..500).map(event).collect();
    let events = format!("[{}]", events.join(","));
    let kept = FailedEvent::new(
        &events,
        Origin::Http,
        "EcsUnavailable",
        jiff::Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    let key = kept.key.to_string();
    store.put_if_absent(&key, &kept.object).await.unwrap();
    let dispatcher = dispatcher(&fleet, &store);
    let (mut next, mut parts) = (Some(kept.key), 0);
    while let Some(key) = next.take() {
        let time = Deadline::after(Duration::from_secs(20));
        let redriven = dispatcher.redrive(&key, InvalidEvents::Keep, time).await;
        match redriven.unwrap() {
            Redriven::Left(mut part) => {
                assert!(!part.is_stuck());
                let rest = part.rests.remove(0);
                assert!(part.rests.is_empty() && matches!(rest.why, Why::TimeOver));
                let Place::Key(key) = rest.place else {
                    panic!("{:?}", rest.place)
                };
                next = Some(key);
            }
            Redriven::Served(_) => {}
            other => panic!("{other:?}"),
        }
        parts += 1;
    }
    assert_eq!(parts, 2);
    assert!((0..500).all(|index| store.records(&instance(index)) == 1));
    let objects = store.objects.lock().unwrap();
    assert!(!objects.keys().any(|key| key.starts_with("failed/")));
}

#[tokio::test]
async fn a_wrong_queue_is_named() {
    let bucket = Bucket::start(Profile::Aws).await;
    let output = cli(&bucket.settings, &["redrive", "--queue-url", "sqs://x"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--queue-url"),
        "{}",
        text(&output.stderr)
    );
}

/// A region with instances that are not in the fixtures; a failed sweep over it in a folder.
struct Swept {
    simulator: Simulator,
    archive: tempfile::TempDir,
    settings: Settings,
}

impl Swept {
    async fn of(instances: usize) -> Self {
        let simulator = bare_simulator(ecs_credentials()).await;
        let archive = tempfile::tempdir().unwrap();
        let mut settings = ecs_settings(&simulator);
        settings.extend(folder_settings(archive.path()));
        for index in 0..instances {
            let id = format!("i-swept{index:02}");
            set_console(&simulator, &id, id.as_bytes(), "2024-03-22 10:04:57");
        }
        Self {
            simulator,
            archive,
            settings,
        }
    }

    fn refuse(&self, instance_id: &str) {
        let id = InstanceId::parse(instance_id).unwrap();
        let code = "Forbidden.RAM".to_owned();
        self.simulator
            .set_console(&id, Console::Error { status: 403, code });
    }

    fn allow(&self, instance_id: &str) {
        set_console(&self.simulator, instance_id, b"now", "2024-03-22 10:04:57");
    }

    /// The events that the archive keeps.
    fn kept(&self) -> Vec<String> {
        let folder = self.archive.path().join("failed");
        let names = names_in(&folder, ".json");
        let names = names.iter().filter(|name| !name.ends_with(".meta"));
        let read = |name: &String| std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let json = |name| serde_json::from_slice::<serde_json::Value>(&read(name)).unwrap();
        names
            .map(|name| json(name)["event"].as_str().unwrap().to_owned())
            .collect()
    }

    fn consoles(&self) -> usize {
        let folders = names_in(self.archive.path(), "");
        let folders = folders.iter().filter(|name| name.starts_with("i-"));
        folders
            .map(|name| names_in(&self.archive.path().join(name), ".log.gz").len())
            .sum()
    }
}

fn sweep_event(per_second: u16) -> String {
    json!({"sweep": {"regions": ["cn-hangzhou"], "per_second": per_second}}).to_string()
}

#[tokio::test]
async fn of_a_sweep_that_gets_to_no_end_in_its_time_what_is_left_is_kept_and_served() {
    let swept = Swept::of(12).await;
    let first = keep(swept.archive.path(), "TimeoutTooShort", &sweep_event(2));
    let output = cli(&swept.settings, &["redrive", "--timeout", "4"]).await;
    let (told, shown) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{told}{shown}");
    // What is left is kept before the event is removed, and shown.
    let left = r#"is replaced by failed/TimeoutTooShort-"#;
    assert!(
        told.contains(left) && told.contains(r#"left: {"sweep":{"#),
        "{told}"
    );
    assert!(shown.contains("more is left: {"), "{shown}");
    assert!(!first.exists());
    assert_eq!(swept.kept(), [""; 0], "{told}");
    assert_eq!(swept.consoles(), 12);
}

#[tokio::test]
async fn a_sweep_in_which_an_instance_failed_stays_until_all_succeed() {
    let swept = Swept::of(4).await;
    swept.refuse("i-swept01");
    let event = sweep_event(100);
    keep(swept.archive.path(), "EcsDenied", &event);
    for _ in 0..2 {
        let output = cli(&swept.settings, &["redrive"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("stays: 1 instance or region failed")
                && told.contains("see what `console-archive doctor` says, then redrive again"),
            "{told}"
        );
        assert_eq!(swept.kept(), [event.as_str()]);
    }
    swept.allow("i-swept01");
    let output = cli(&swept.settings, &["redrive"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!((swept.kept().len(), swept.consoles()), (0, 4));
}

/// The last part of a sweep of which an instance failed in a part before.
fn last_part() -> String {
    let done = json!({"regions": 0, "instances": 3, "stored": 2, "already_stored": 0,
                      "no_console": 0, "failed": 1, "failures": ["i-swept00: ECS refused access"]});
    let ids = ["i-swept00", "i-swept01", "i-swept02"];
    let cursor = json!({"region_id": "cn-hangzhou", "done": ids});
    json!({"sweep": {"version": 1, "regions": ["cn-hangzhou"], "concurrency": 8,
                     "per_second": 100, "resume": cursor, "done": done}})
    .to_string()
}

#[tokio::test]
async fn failures_of_the_parts_before_make_a_sweep_begin_anew() {
    let swept = Swept::of(4).await;
    keep(swept.archive.path(), "EcsDenied", &last_part());
    let output = cli(&swept.settings, &["redrive"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let kept = swept.kept();
    assert!(kept.len() == 1 && !kept[0].contains("resume"), "{kept:?}");
    assert_eq!(swept.consoles(), 1);
    let output = cli(&swept.settings, &["redrive"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!((swept.kept().len(), swept.consoles()), (0, 4));
}

#[tokio::test]
async fn of_a_sweep_in_a_queue_nothing_is_lost_either() {
    let swept = Swept::of(12).await;
    let mut settings = swept.settings.clone();
    settings.extend(queue_keys());
    let sqs = SqsServer::start().await;
    sqs.deliver_what_is_sent();
    let url = sqs.queue_url();
    let redrive = ["redrive", "--timeout", "4", "--queue-url", &url];
    sqs.put(&sweep_event(2));
    let output = cli(&settings, &redrive).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("another message in the queue"), "{told}");
    assert_eq!((sqs.left(), swept.consoles()), ((0, 0), 12));
    // One fails: the message stays as it is, or begins anew and is not served again at once.
    swept.refuse("i-swept00");
    let whole = sweep_event(100);
    for (event, left) in [(whole.clone(), (0, 1)), (last_part(), (0, 1))] {
        let sqs = SqsServer::start().await;
        sqs.deliver_what_is_sent();
        sqs.put(&event);
        let url = sqs.queue_url();
        let output = cli(&settings, &["redrive", "--queue-url", &url]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(sqs.left(), left, "{told}");
        let sent = sqs.take_sent();
        assert_eq!(sent.is_some(), event != whole);
        assert!(sent.is_none_or(|sent| !sent.body.contains("resume")));
    }
}

#[tokio::test]
async fn invoke_shows_what_a_sweep_left_and_exits_with_1() {
    let swept = Swept::of(12).await;
    let file = swept.archive.path().join("sweep-event.json");
    std::fs::write(&file, sweep_event(2)).unwrap();
    let invoke = ["invoke", "--timeout", "4", file.to_str().unwrap()];
    let output = cli(&swept.settings, &invoke).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains(r#"more is left: {"sweep":{"#), "{shown}");
    // An instance that fails.
    swept.refuse("i-swept01");
    std::fs::write(&file, sweep_event(100)).unwrap();
    let output = cli(&swept.settings, &invoke).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("1 failed") && !shown.contains("more is left"),
        "{shown}"
    );
    swept.allow("i-swept01");
    let output = cli(&swept.settings, &invoke).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}
