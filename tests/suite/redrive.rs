//! Events that failed for good, kept and served again.

use std::path::{Path, PathBuf};

use ecs_console_archiver::archive::record::FailedEvent;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Console, Simulator};
use serde_json::json;

use crate::support::runtime_api::Function;
use crate::support::s3_server::{Profile, S3Server};
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
    let failed = FailedEvent::new(event, error_type, jiff::Timestamp::UNIX_EPOCH).unwrap();
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
        sqs.put(envelope);
        let arguments = ["redrive", "--queue-url", &sqs.queue_url()];
        let output = cli(&bucket.settings, &arguments).await;
        (output.status.code(), sqs.left(), text(&output.stderr))
    };
    for envelope in &envelopes {
        denied(&bucket);
        let (code, left, told) = redrive(envelope).await;
        assert_eq!((code, left), (Some(1), (0, 1)), "{envelope}");
        assert!(told.contains("stays"), "{envelope}: {told}");
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
