//! Errors that end a command say which address or file they are about, and what to do.

use crate::support::s3_server::{Denied, Profile};
use crate::support::*;

/// Nothing listens there.
const CLOSED: &str = "http://127.0.0.1:1";

fn set(settings: &Settings, name: &str, value: &str) -> Settings {
    let mut settings = settings.clone();
    settings.retain(|(other, _)| other != name);
    settings.push((name.to_owned(), value.to_owned()));
    settings
}

#[track_caller]
fn check(output: &std::process::Output, code: i32, told: &[&str]) {
    let all = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for told in told {
        assert_eq!(all.matches(told).count(), 1, "{told:?} once in {all}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_named_with_its_setting() {
    let bucket = Bucket::start(Profile::Aws).await;
    let short = ["--timeout", "1"];
    let no_ecs = set(&bucket.settings, "ECS_ENDPOINT_URL", CLOSED);
    let told = [
        "Connection refused",
        "asked 127.0.0.1:1",
        "check ECS_ENDPOINT_URL: that address must answer",
    ];
    let capture = [&["capture", "i-a1"], &short[..]].concat();
    check(&cli(&no_ecs, &capture).await, 1, &told);
    let flags = [&capture[..], &["--ecs-endpoint-url", CLOSED]].concat();
    check(&cli(&bucket.settings, &flags).await, 1, &told);
    let no_bucket = set(&bucket.settings, "AWS_ENDPOINT_URL_S3", CLOSED);
    for command in [&["list"][..], &["get", "i-a1"], &["redrive", "--dry-run"]] {
        let told = [
            "got no answer from http://127.0.0.1:1",
            ": that address must answer to this machine",
        ];
        check(
            &cli(&no_bucket, &[command, &short].concat()).await,
            1,
            &told,
        );
    }
    let queue = format!("{CLOSED}/1/queue");
    let redrive = [&["redrive", "--queue-url", &queue], &short[..]].concat();
    let told = ["check --queue-url: 127.0.0.1:1 must answer"];
    check(&cli(&bucket.settings, &redrive).await, 1, &told);
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_for_what_was_asked() {
    let bucket = Bucket::start(Profile::Aws).await;
    let id = "i-bp1panicnoroot00001";
    let capture = ["capture", id];
    check(&cli(&bucket.settings, &capture).await, 0, &[]);
    bucket.server.deny(&[Denied::Get]);
    check(
        &cli(&bucket.settings, &["get", id]).await,
        1,
        &["allow this key s3:GetObject"],
    );
    bucket.server.deny(&[Denied::List]);
    check(
        &cli(&bucket.settings, &["list"]).await,
        1,
        &["allow this key s3:ListBucket"],
    );
    bucket.server.deny(&[Denied::Put]);
    let other = ["capture", "i-bp1oomkill000000001"];
    check(
        &cli(&bucket.settings, &other).await,
        1,
        &["allow this key s3:PutObject"],
    );
}

#[tokio::test]
async fn what_to_do_is_said_once() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    let wrong = set(&settings, "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong");
    let told = ["check ALIBABA_CLOUD_ACCESS_KEY_SECRET"];
    check(&cli(&wrong, &["capture", "i-a1"]).await, 1, &told);
    let settings = set(&settings, "ARCHIVE_URL", "nowhere");
    let told = [
        "ARCHIVE_URL: \"nowhere\" has no scheme",
        "s3://bucket/prefix",
    ];
    check(&cli(&settings, &["list"]).await, 2, &told);
    let missing = folder.path().join("missing");
    let settings = set(
        &settings,
        "ARCHIVE_URL",
        folder_settings(&missing)[0].1.as_str(),
    );
    for command in [
        &["list"][..],
        &["get", "i-a1"],
        &["redrive", "--dry-run"],
        &["redrive"],
    ] {
        let told = [missing.to_str().unwrap(), "or ARCHIVE_URL is wrong"];
        check(&cli(&settings, command).await, 2, &told);
    }
}

#[tokio::test]
async fn an_event_that_fails_says_what_to_do_about_it_once() {
    let bucket = Bucket::start(Profile::Aws).await;
    let no_ecs = set(&bucket.settings, "ECS_ENDPOINT_URL", CLOSED);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.json");
    let events = format!("[{}, {}]", starting("i-a1"), starting("i-a2"));
    std::fs::write(&file, events).unwrap();
    let invoke = ["invoke", file.to_str().unwrap(), "--timeout", "1"];
    let told = ["check ECS_ENDPOINT_URL: that address must answer"];
    check(&cli(&no_ecs, &invoke).await, 1, &told);
    bucket.server.deny(&[Denied::Put]);
    let other = ["invoke", "events/eventbridge-instance-failure-reboot.json"];
    let told = ["allow this key s3:PutObject"];
    check(&cli(&bucket.settings, &other).await, 1, &told);
}

#[tokio::test]
async fn what_only_reads_needs_no_settings_of_ecs() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder_settings(folder.path());
    for command in [&["list"][..], &["get", "i-a1"], &["redrive", "--dry-run"]] {
        check(&cli(&settings, command).await, 3, &["no "]);
    }
}

#[tokio::test]
async fn an_argument_that_is_wrong_is_answered_with_what_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "").unwrap();
    let left = path("missing/left.json");
    let pages = path("file/pages");
    let simulator = simulator().await;
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    for (arguments, code, told) in [
        (
            &["sweep", "--resume", &left][..],
            2,
            "left.json: cannot be written: No such file or directory",
        ),
        (
            &["sweep", "--resume", &left],
            2,
            "; name a file in another folder",
        ),
        (
            &["get", "i-a1", "--tail", "x"],
            2,
            "expected a number such as 20",
        ),
        (
            &["simulate", "--consoles", ".", "--listen", "8580"],
            2,
            "such as 127.0.0.1:8580",
        ),
        (
            &["list", "--archive-url", "s3://b/x"],
            2,
            "which has 3 to 63 lower-case letters",
        ),
        (
            &["man", "--folder", &pages],
            1,
            "; give another folder with --folder",
        ),
    ] {
        check(&cli(&settings, arguments).await, code, &[told]);
    }
}

#[tokio::test]
async fn get_says_which_record_is_the_oldest_where_there_is_none_of_that_time() {
    let simulator = bare_simulator(ecs_credentials()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    for (plain, time) in [(b"a", "2024-03-22 10:04:57"), (b"b", "2024-03-23 10:04:57")] {
        set_console(&simulator, "i-a1", plain, time);
        check(&cli(&settings, &["capture", "i-a1"]).await, 0, &[]);
    }
    let told = [
        "the oldest is 20240322T100457-",
        ", of 2024-03-22 02:04:57Z?; `console-archive list i-a1` shows all",
    ];
    for selector in [&["--at", "2024-03-21"][..], &["--previous=2"]] {
        let get = [&["get", "i-a1"], selector].concat();
        check(&cli(&settings, &get).await, 3, &told);
    }
}

#[tokio::test]
async fn the_simulator_says_which_argument_it_cannot_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let consoles = consoles();
    let consoles = consoles.to_str().unwrap();
    let simulate = ["simulate", "--listen", &address, "--consoles"];
    let used = cli(&Settings::new(), &[&simulate[..], &[consoles]].concat()).await;
    check(&used, 1, &[&address, "give another address with --listen"]);
    let missing = tempfile::tempdir().unwrap().path().join("missing");
    let missing = missing.to_str().unwrap();
    let nowhere = cli(&Settings::new(), &[&simulate[..], &[missing]].concat()).await;
    let told = format!("--consoles: {missing} is not a folder");
    check(&nowhere, 2, &[&told]);
}
