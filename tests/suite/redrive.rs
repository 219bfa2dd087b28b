//! Events that failed for good, kept and served again.

use ecs_console_archiver::ids::InstanceId;
use ecs_console_archiver::simulator::Console;
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
    let console = Console::Error {
        status: 403,
        code: "Forbidden.RAM".into(),
    };
    let id = InstanceId::parse(ID).unwrap();
    bucket.simulator.set_console(&id, console);
}

fn mended(bucket: &Bucket) {
    set_console(&bucket.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
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

#[tokio::test]
async fn in_a_folder_they_are_files() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{ no event").unwrap();
    let output = cli(&settings, &["invoke", broken.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(2));
    let kept = folder.path().join("failed");
    let names = names_in(&kept, ".json");
    let name = names.iter().find(|name| !name.ends_with(".meta")).unwrap();
    let text = std::fs::read_to_string(kept.join(format!("{name}.json"))).unwrap();
    assert!(
        text.contains("{ no event") && text.contains("InvalidEvent"),
        "{text}"
    );
    // It is listed as no console, and stays until someone removes it.
    assert_eq!(cli(&settings, &["list"]).await.status.code(), Some(3));
    assert_eq!(cli(&settings, &["redrive"]).await.status.code(), Some(1));
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
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
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
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(
        sqs.left(),
        (1, 2),
        "the broken one stays, and was seen twice"
    );
    assert_eq!(bucket.server.records().len(), 1);
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
