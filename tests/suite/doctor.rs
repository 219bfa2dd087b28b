//! `console-archive doctor`: every fault of a set-up is found, and the advice names its setting.

use ecs_console_archiver::archive::probe::PROBE_KEY;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::queue::PROBE as QUEUE_PROBE;
use ecs_console_archiver::simulator::{Console, Screen, Simulator};
use jiff::SignedDuration;
use serde_json::Value;

use crate::support::s3_server::{
    ACCESS_KEY_ID, BUCKET, Denied, Fault, Hosting, Profile, Quirk, S3Server, SECRET_ACCESS_KEY,
    authority,
};
use crate::support::sqs_server::{Sent, SqsServer};
use crate::support::*;

/// Nothing listens on this port.
const CLOSED: &str = "http://127.0.0.1:1";

/// What was printed, and the exit code.
struct Seen {
    code: Option<i32>,
    diagnosis: Value,
    printed: String,
}

async fn doctor(settings: &Settings, more: &[&str]) -> Seen {
    let mut arguments = vec!["doctor", "--timeout", "2", "--output", "json"];
    arguments.extend(more);
    let output = cli(settings, &arguments).await;
    let printed = text(&output.stdout) + &text(&output.stderr);
    Seen {
        code: output.status.code(),
        diagnosis: serde_json::from_slice(&output.stdout).unwrap(),
        printed,
    }
}

impl Seen {
    fn all(&self) -> impl Iterator<Item = &Value> {
        self.diagnosis["checks"].as_array().unwrap().iter()
    }

    /// The check is there with this verdict, and this is in what was found or in the advice.
    #[track_caller]
    fn check(&self, name: &str, verdict: &str, said: &str) -> &Self {
        let found = self.all().any(|check| {
            let member = |name: &str| check[name].as_str().unwrap_or_default();
            (member("name"), member("verdict")) == (name, verdict)
                && (member("found").contains(said) || member("advice").contains(said))
        });
        assert!(found, "{name} {verdict} {said:?}: {}", self.printed);
        self
    }

    /// Nothing but these has failed.
    #[track_caller]
    fn only_failed(&self, names: &[&str]) -> &Self {
        let failed = self.all().filter(|check| check["verdict"] == "failed");
        let failed: Vec<_> = failed.map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(failed, names, "{}", self.printed);
        self
    }

    #[track_caller]
    fn ends_with(&self, code: i32, verdict: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.printed);
        assert_eq!(self.diagnosis["verdict"], verdict, "{}", self.printed);
        self
    }
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    settings.retain(|(known, _)| known != name);
    settings.push((name.into(), value.into()));
}

/// Where the settings name no region.
const REGION: [&str; 2] = ["--region", "cn-hangzhou"];

async fn on_aws() -> Bucket {
    Bucket::start(Profile::Aws).await
}

async fn in_folder() -> (Simulator, tempfile::TempDir, Settings) {
    let simulator = simulator().await;
    let (folder, settings) = archive_folder(&simulator);
    (simulator, folder, settings)
}

#[tokio::test]
async fn a_good_set_up_is_good_on_every_store_and_one_object_stays() {
    for profile in [
        Profile::Aws,
        Profile::Oss { versioned: false },
        Profile::IgnoresConditions,
    ] {
        let bucket = Bucket::start(profile).await;
        for _ in 0..2 {
            let seen = doctor(&bucket.settings, &REGION).await;
            seen.ends_with(0, "ok").only_failed(&[]);
            assert!(
                seen.all().all(|check| check["verdict"] == "ok"),
                "{profile:?}"
            );
            seen.check("ecs: console", "ok", "InvalidInstanceId.NotFound");
            seen.check("archive: write", "ok", PROBE_KEY);
            seen.check("archive: read", "ok", "read back");
        }
        let keys: Vec<_> = bucket.server.objects().into_keys().collect();
        assert_eq!(keys, [format!("kept/here/{PROBE_KEY}")]);
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn a_folder_is_written_to_at_each_time() {
    let (_simulator, folder, mut settings) = in_folder().await;
    for _ in 0..2 {
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(0, "ok")
            .check("archive: create only", "ok", "not replaced");
    }
    // A file in the folder's place; to deny a folder would not hold for every user of the tests.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    settings.extend(folder_settings(&file));
    let seen = doctor(&settings, &[]).await;
    seen.ends_with(1, "failed");
    seen.check("archive: write", "failed", "the folder in ARCHIVE_URL");
    seen.check("archive: create only", "skipped", "nothing can be written");
    seen.check("ecs: console", "ok", "");
}

#[tokio::test]
async fn people_get_a_table() {
    let (_simulator, _folder, mut settings) = in_folder().await;
    let output = cli(&settings, &["doctor"]).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("CHECK") && lines[0].ends_with("WHAT TO DO"));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("ecs: clock") && line.contains(" ok "))
    );
    set(&mut settings, "ECS_ENDPOINT_URL", CLOSED);
    let output = cli(&settings, &["doctor", "--timeout", "1"]).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("FAILED") && shown.contains("check ECS_ENDPOINT_URL"),
        "{shown}"
    );
}

#[tokio::test]
async fn wrong_settings_are_named_and_the_rest_is_tried() {
    let seen = doctor(&no_instance(), &[]).await;
    seen.ends_with(2, "failed");
    for name in [
        "ARCHIVE_URL",
        "CLOUD_ACCESS_KEY_ID",
        "CLOUD_ACCESS_KEY_SECRET",
    ] {
        seen.check("settings", "failed", name);
    }
    seen.check("ecs: console", "skipped", "settings");
    seen.check("archive: write", "skipped", "settings");

    let bucket = on_aws().await;
    let mut settings = bucket.settings.clone();
    set(&mut settings, "ECS_SIGNATURE_VERSION", "3");
    let seen = doctor(&settings, &[]).await;
    seen.ends_with(2, "failed").only_failed(&["settings"]);
    seen.check("settings", "failed", "ECS_SIGNATURE_VERSION");
    seen.check("ecs: console", "skipped", "settings");
    seen.check("archive: read", "ok", "");

    let mut settings = bucket.settings.clone();
    set(&mut settings, "AWS_REGION", "");
    let seen = doctor(&settings, &[]).await;
    seen.ends_with(2, "failed").only_failed(&["settings"]);
    seen.check("settings", "failed", "AWS_REGION");
    seen.check("archive: write", "skipped", "settings");
    seen.check("ecs: console", "ok", "");

    let mut settings = bucket.settings.clone();
    set(&mut settings, "ALIBABA_CLOUD_REGION_ID", "");
    let seen = doctor(&settings, &[]).await;
    seen.ends_with(2, "failed")
        .check("settings", "failed", "give --region");
    seen.check("archive: write", "ok", "");
    doctor(&settings, &REGION).await.ends_with(0, "ok");
}

#[tokio::test]
async fn what_is_wrong_at_ecs_names_its_setting() {
    let (_simulator, _folder, good) = in_folder().await;
    for (name, value, advice) in [
        (
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "other",
            "check ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        (
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "other",
            "check ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ),
        (
            "ALIBABA_CLOUD_SECURITY_TOKEN",
            "other",
            "check ALIBABA_CLOUD_SECURITY_TOKEN",
        ),
        (
            "ECS_ENDPOINT_URL",
            CLOSED,
            "check ECS_ENDPOINT_URL: that address must answer", // The finding names it.
        ),
    ] {
        let mut settings = good.clone();
        set(&mut settings, name, value);
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(1, "failed");
        seen.check("ecs: console", "failed", advice);
        if name == "ECS_ENDPOINT_URL" {
            seen.only_failed(&["ecs: console", "ecs: instances"]);
        } else {
            // Which key is refused is said once.
            seen.only_failed(&["ecs: console"]);
            seen.check("ecs: instances", "skipped", "ecs: console");
        }
        seen.check("archive: write", "ok", "");
    }
    // What answers there is no ECS.
    let other = S3Server::start(Profile::Aws, None).await;
    let mut settings = good.clone();
    set(&mut settings, "ECS_ENDPOINT_URL", &other.endpoint_url());
    let seen = doctor(&settings, &[]).await;
    seen.ends_with(1, "failed")
        .check("ecs: console", "failed", "ECS");
}

#[tokio::test]
async fn an_instance_that_is_named_is_asked_for() {
    let (simulator, _folder, settings) = in_folder().await;
    let id = "i-a1";
    let arguments = ["--instance-id", id];
    doctor(&settings, &arguments)
        .await
        .ends_with(0, "warning")
        .check("ecs: console", "warning", "ECS knows no instance i-a1");
    set_console(&simulator, id, b"hello", "2024-03-22 10:04:57");
    doctor(&settings, &arguments)
        .await
        .check("ecs: console", "ok", "5 bytes of i-a1");
    let answers = |status, code: &str| {
        let code = code.to_owned();
        let id = InstanceId::parse(id).unwrap();
        simulator.set_console(&id, Console::Error { status, code });
    };
    for code in ["IncorrectInstanceStatus", "NotSupported"] {
        answers(405, code);
        doctor(&settings, &arguments)
            .await
            .check("ecs: console", "ok", code);
    }
    answers(403, "Forbidden.RAM");
    let seen = doctor(&settings, &arguments).await;
    seen.ends_with(1, "failed").only_failed(&["ecs: console"]);
    seen.check("ecs: console", "failed", "ecs:GetInstanceConsoleOutput");
}

#[tokio::test]
async fn the_permission_for_screenshots_is_checked_and_wakes_no_display() {
    let (simulator, _folder, mut settings) = in_folder().await;
    let id = InstanceId::parse("i-a1").unwrap();
    let arguments = ["--instance-id", id.as_str()];
    set(&mut settings, "SCREENSHOTS_WAKE_UP", "on");
    let unnamed = doctor(&settings, &[]).await;
    unnamed.ends_with(0, "ok");
    unnamed.check("ecs: screenshot", "ok", "InvalidInstanceId.NotFound");
    set_console(&simulator, id.as_str(), b"hello", "2024-03-22 10:04:57");
    simulator.set_screen(&id, Screen::Picture(picture("stop.jpg")));
    let seen = doctor(&settings, &arguments).await;
    seen.ends_with(0, "ok");
    seen.check(
        "ecs: screenshot",
        "ok",
        "800×600 pixels of i-a1, in 14820 bytes",
    );
    assert!(simulator.woken().is_empty());
    // One just after it proves nothing, and harms nothing.
    let seen = doctor(&settings, &arguments).await;
    seen.ends_with(0, "ok");
    seen.check(
        "ecs: screenshot",
        "skipped",
        "one picture of an instance in 10 s",
    );
    simulator.forget_pictures();
    let fails = |status, code: &str| {
        let code = code.to_owned();
        simulator.set_screen(&id, Screen::Error { status, code });
    };
    fails(405, "NotSupported");
    let seen = doctor(&settings, &arguments).await;
    seen.ends_with(0, "ok")
        .check("ecs: screenshot", "ok", "NotSupported");
    for code in ["Forbidden.RAM", "NoPermission"] {
        fails(403, code);
        let seen = doctor(&settings, &arguments).await;
        // Consoles are stored without it.
        seen.ends_with(0, "warning").only_failed(&[]);
        seen.check("ecs: screenshot", "warning", code);
        seen.check(
            "ecs: screenshot",
            "warning",
            "allow ecs:GetInstanceScreenshot",
        );
        seen.check("ecs: screenshot", "warning", "SCREENSHOTS=never");
    }
    fails(400, "InvalidAction.NotFound");
    let seen = doctor(&settings, &arguments).await;
    seen.ends_with(0, "warning").only_failed(&[]);
    // Who takes none needs no permission for it.
    for (name, value) in [("SCREENSHOTS", "never"), ("REDACT", "store")] {
        let mut settings = settings.clone();
        set(&mut settings, name, value);
        let seen = doctor(&settings, &arguments).await;
        seen.ends_with(0, "ok");
        seen.check("ecs: screenshot", "skipped", "SCREENSHOTS or REDACT");
    }
    set(&mut settings, "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong");
    let seen = doctor(&settings, &arguments).await;
    seen.check("ecs: screenshot", "skipped", "see ecs: console");
}

#[tokio::test]
async fn a_clock_that_is_off_is_reported_though_requests_succeed() {
    let bucket = on_aws().await;
    bucket
        .simulator
        .set_clock_ahead(SignedDuration::from_mins(20));
    bucket.server.set_clock_ahead(SignedDuration::from_mins(-5));
    let seen = doctor(&bucket.settings, &[]).await;
    seen.ends_with(1, "failed").only_failed(&["ecs: clock"]);
    seen.check("ecs: clock", "failed", "behind that of ECS");
    seen.check("ecs: console", "ok", "");
    seen.check("archive: clock", "warning", "ahead of that of the store");
    bucket.simulator.set_clock_ahead(SignedDuration::ZERO);
    doctor(&bucket.settings, &[]).await.ends_with(0, "warning");
}

#[tokio::test]
async fn what_is_wrong_at_the_archive_names_its_setting() {
    let bucket = on_aws().await;
    for (name, value, advice) in [
        ("AWS_ACCESS_KEY_ID", "other", "check AWS_ACCESS_KEY_ID"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "other",
            "check AWS_SECRET_ACCESS_KEY",
        ),
        (
            "ARCHIVE_URL",
            "s3://others",
            "there is no bucket \"others\"",
        ),
        ("AWS_ENDPOINT_URL_S3", CLOSED, "check AWS_ENDPOINT_URL_S3"),
    ] {
        let mut settings = bucket.settings.clone();
        set(&mut settings, name, value);
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(1, "failed");
        seen.check("archive: create only", "skipped", "");
        seen.check("archive: write", "failed", advice);
        if name.ends_with("KEY_ID") || name.ends_with("ACCESS_KEY") {
            // Every request meets it, and it is said once.
            seen.only_failed(&["archive: write"]);
            seen.check("archive: read", "skipped", "archive: write");
            continue;
        }
        let broken = ["archive: write", "archive: read", "archive: list"];
        seen.only_failed(&broken);
        for check in broken {
            seen.check(check, "failed", advice);
        }
    }
    for (status, code, advice) in [
        (301, "PermanentRedirect", "set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "set AWS_REGION"),
        (
            403,
            "AccessDenied",
            "allow this key s3:PutObject on arn:aws:s3:::consoles/kept/here/*",
        ),
    ] {
        bucket.server.fault_next_put(Fault::Status(status, code));
        let seen = doctor(&bucket.settings, &[]).await;
        seen.ends_with(1, "failed").only_failed(&["archive: write"]);
        seen.check("archive: write", "failed", advice);
    }
}

#[tokio::test]
async fn the_accounts_own_key_is_named_where_the_archive_is_on_oss() {
    let bucket = Bucket::start(Profile::Oss { versioned: false }).await;
    let mut settings = bucket.settings.clone();
    set(&mut settings, "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "other");
    let seen = doctor(&settings, &REGION).await;
    seen.check(
        "archive: write",
        "failed",
        "check ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    );
    bucket
        .server
        .fault_next_put(Fault::Status(403, "AccessDenied"));
    let seen = doctor(&bucket.settings, &REGION).await;
    seen.check(
        "archive: write",
        "failed",
        "oss:PutObject on acs:oss:*:*:consoles/kept/here/*",
    );
    // Addressed as any other S3-compatible service, buckets go into the path, which OSS refuses.
    let mut settings = bucket.settings.clone();
    set(&mut settings, "ARCHIVE_URL", &format!("s3://{BUCKET}"));
    settings.extend(self::settings(&[
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_REGION", "cn-hangzhou"),
    ]));
    let seen = doctor(&settings, &REGION).await;
    seen.check(
        "archive: write",
        "failed",
        "set AWS_S3_ADDRESSING_STYLE=virtual",
    );
}

#[tokio::test]
async fn the_profile_is_compared_with_what_the_store_does() {
    let ignores = Profile::IgnoresConditions;
    let versioned = Profile::Oss { versioned: true };
    let oss = Profile::Oss { versioned: false };
    for (store, profile, check, verdict, said) in [
        (Profile::Aws, "aws", "create only", "ok", "honoured"),
        (
            Profile::Aws,
            "basic",
            "create only",
            "ok",
            "ARCHIVE_PROFILE=aws",
        ),
        (
            Profile::Aws,
            "oss",
            "create only",
            "warning",
            "ARCHIVE_PROFILE=aws",
        ),
        (
            ignores,
            "aws",
            "create only",
            "failed",
            "ARCHIVE_PROFILE=basic",
        ),
        (
            ignores,
            "basic",
            "create only",
            "ok",
            "looks before it writes",
        ),
        (oss, "oss", "create only", "ok", "honoured"),
        (oss, "aws", "write", "failed", "ARCHIVE_PROFILE=oss"),
        (oss, "basic", "create only", "ok", "ARCHIVE_PROFILE=oss"),
        (versioned, "oss", "create only", "warning", "versioned"),
    ] {
        let bucket = Bucket::start(store).await;
        let mut settings = bucket.settings.clone();
        set(&mut settings, "ARCHIVE_PROFILE", profile);
        let seen = doctor(&settings, &REGION).await;
        seen.check(&format!("archive: {check}"), verdict, said);
        assert_eq!(
            seen.code,
            Some(i32::from(verdict == "failed")),
            "{}",
            seen.printed
        );
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn who_only_writes_is_warned() {
    for (profile, advice) in [
        (Profile::Aws, "s3:ListBucket on arn:aws:s3:::consoles"),
        (
            Profile::Oss { versioned: false },
            "oss:ListObjects on acs:oss:*:*:consoles",
        ),
    ] {
        let bucket = Bucket::start(profile).await;
        bucket.server.deny(&[Denied::Get, Denied::List]);
        let seen = doctor(&bucket.settings, &REGION).await;
        seen.ends_with(0, "warning");
        seen.check("archive: write", "ok", "")
            .check("archive: create only", "ok", "honoured");
        seen.check("archive: read", "warning", "only get and redrive need it");
        seen.check("archive: list", "warning", advice);
    }
    let bucket = Bucket::start(Profile::IgnoresConditions).await;
    bucket.server.deny(&[Denied::Get, Denied::List]);
    let seen = doctor(&bucket.settings, &[]).await;
    seen.ends_with(0, "warning").only_failed(&[]);
    seen.check("archive: write", "ok", "");
    seen.check("archive: read", "warning", "s3:GetObject");
    seen.check("archive: read", "warning", "look before it writes");
    let bucket = on_aws().await;
    bucket.server.deny(&[Denied::Put]);
    let seen = doctor(&bucket.settings, &[]).await;
    seen.ends_with(1, "failed").only_failed(&["archive: write"]);
    seen.check("archive: write", "failed", "s3:PutObject");
}

/// A person may have the settings of a function on Function Compute, and cannot do as it does.
#[tokio::test]
async fn that_a_function_invokes_itself_is_not_tried_elsewhere() {
    let bucket = on_aws().await;
    let mut settings = bucket.settings.clone();
    set(&mut settings, "FOLLOW_SECONDS", "300");
    set(&mut settings, "FOLLOW_QUEUE_URL", "fc://self");
    doctor(&settings, &[]).await.ends_with(0, "ok").check(
        "follow queue",
        "skipped",
        "only the function itself",
    );
}

#[tokio::test]
async fn the_follow_queue_gets_a_message_that_is_ignored() {
    let (bucket, sqs) = (on_aws().await, SqsServer::start().await);
    let mut settings = bucket.settings.clone();
    set(&mut settings, "FOLLOW_SECONDS", "60");
    set(&mut settings, "FOLLOW_QUEUE_URL", &sqs.queue_url());
    doctor(&settings, &[])
        .await
        .ends_with(0, "ok")
        .check("follow queue", "ok", "ignores");
    let sent = Sent {
        body: QUEUE_PROBE.into(),
        delay_seconds: 0,
    };
    assert_eq!(sqs.take_sent(), Some(sent));
    for (status, code, advice) in [
        (403, "AccessDenied", "sqs:SendMessage"),
        (400, "QueueDoesNotExist", "check FOLLOW_QUEUE_URL"),
        (
            400,
            "AWS.SimpleQueueService.NonExistentQueue",
            "check FOLLOW_QUEUE_URL",
        ),
    ] {
        sqs.fault_next(status, code);
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(1, "failed").only_failed(&["follow queue"]);
        seen.check("follow queue", "failed", advice);
    }
    set(
        &mut settings,
        "FOLLOW_QUEUE_URL",
        &format!("{CLOSED}/1/queue"),
    );
    let seen = doctor(&settings, &[]).await;
    seen.only_failed(&["follow queue"]);
    seen.check(
        "follow queue",
        "failed",
        "check FOLLOW_QUEUE_URL: 127.0.0.1:1",
    );
    set(&mut settings, "FOLLOW_SECONDS", "");
    doctor(&settings, &[]).await.ends_with(2, "failed").check(
        "settings",
        "failed",
        "FOLLOW_SECONDS",
    );
}

#[tokio::test]
async fn another_way_to_address_the_bucket_is_found_and_named() {
    for (hosting, told, style) in [
        (Hosting::VirtualOnly, "path", "virtual"),
        (Hosting::OwnDomain, "path", "domain"),
        (Hosting::OwnDomain, "virtual", "domain"),
        (Hosting::ByProfile, "domain", "path"),
    ] {
        let server = S3Server::start_at(Profile::Aws, None, hosting, false).await;
        let bucket = Bucket::of(server).await;
        let mut settings = bucket.settings.clone();
        set(&mut settings, "AWS_S3_ADDRESSING_STYLE", told);
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(1, "failed");
        let advice = format!("set AWS_S3_ADDRESSING_STYLE={style}");
        assert!(seen.printed.contains(&advice), "{told}: {}", seen.printed);
        set(&mut settings, "AWS_S3_ADDRESSING_STYLE", style);
        doctor(&settings, &[]).await.ends_with(0, "ok");
    }
}

#[tokio::test]
async fn a_private_authority_is_asked_for_by_every_client() {
    let server = S3Server::start_at(Profile::Aws, None, Hosting::ByProfile, true).await;
    let endpoint = server.endpoint_url();
    let bucket = Bucket::of(server).await;
    let mut settings = bucket.settings.clone();
    let advice = "set AWS_CA_BUNDLE or SSL_CERT_FILE";
    let seen = doctor(&settings, &[]).await;
    seen.check("archive: write", "failed", advice);
    let with_authority = |settings: &mut Settings| {
        set(settings, "SSL_CERT_FILE", authority().to_str().unwrap());
    };
    with_authority(&mut settings);
    doctor(&settings, &[]).await.ends_with(0, "ok");
    // What answers there is neither ECS nor a queue, and that is learned over TLS.
    let mut settings = bucket.settings.clone();
    set(&mut settings, "ECS_ENDPOINT_URL", &endpoint);
    set(&mut settings, "FOLLOW_SECONDS", "60");
    set(
        &mut settings,
        "FOLLOW_QUEUE_URL",
        &format!("{endpoint}/1/queue"),
    );
    let seen = doctor(&settings, &[]).await;
    for check in ["ecs: console", "archive: write", "follow queue"] {
        seen.check(check, "failed", advice);
    }
    with_authority(&mut settings);
    let seen = doctor(&settings, &[]).await;
    assert!(!seen.printed.contains(advice), "{}", seen.printed);
}

#[tokio::test]
async fn a_policy_that_demands_encryption_is_named_with_what_meets_it() {
    for (quirk, method) in [
        (Quirk::DemandsEncryption, "AES256"),
        (Quirk::DemandsKms, "aws:kms"),
    ] {
        let bucket = on_aws().await;
        bucket.server.behave(&[quirk]);
        let seen = doctor(&bucket.settings, &[]).await;
        seen.ends_with(1, "failed");
        let advice = format!("set AWS_SERVER_SIDE_ENCRYPTION={method}:");
        seen.check("archive: write", "failed", &advice);
        let mut settings = bucket.settings.clone();
        set(&mut settings, "AWS_SERVER_SIDE_ENCRYPTION", method);
        doctor(&settings, &[]).await.ends_with(0, "ok");
    }
}

#[tokio::test]
async fn a_key_that_may_not_list_is_told_what_it_misses() {
    for (profile, said) in [
        ("aws", "s3:ListBucket"),
        ("basic", "that an object is missing"),
    ] {
        let bucket = on_aws().await;
        bucket.server.behave(&[Quirk::NoListBucket]);
        let mut settings = bucket.settings.clone();
        set(&mut settings, "ARCHIVE_PROFILE", profile);
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(0, "warning");
        seen.check("archive: write", "ok", "");
        seen.check(
            "archive: list",
            "warning",
            "s3:ListBucket on arn:aws:s3:::consoles",
        );
        assert!(seen.printed.contains(said), "{}", seen.printed);
    }
}

#[tokio::test]
async fn what_a_store_does_in_its_own_way_is_known() {
    let bucket = on_aws().await;
    bucket.server.behave(&[Quirk::TruncatedWithoutToken]);
    let seen = doctor(&bucket.settings, &[]).await;
    seen.ends_with(1, "failed").only_failed(&["archive: list"]);
    seen.check("archive: list", "failed", "no token");
    bucket.server.behave(&[Quirk::NotModified]);
    let seen = doctor(&bucket.settings, &[]).await;
    seen.ends_with(0, "ok");
    seen.check("archive: create only", "ok", "honoured");
    for (status, code) in [(501, "NotImplemented"), (400, "InvalidArgument"), (400, "")] {
        let bucket = on_aws().await;
        bucket
            .server
            .behave(&[Quirk::RefusesConditions(status, code)]);
        let seen = doctor(&bucket.settings, &[]).await;
        seen.ends_with(1, "failed").only_failed(&["archive: write"]);
        seen.check("archive: write", "failed", "set ARCHIVE_PROFILE=basic");
        let mut settings = bucket.settings.clone();
        set(&mut settings, "ARCHIVE_PROFILE", "basic");
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(0, "ok");
        seen.check("archive: create only", "ok", "refuses If-None-Match");
    }
}

#[tokio::test]
async fn a_token_that_has_ended_or_is_another_keys_is_named_once() {
    let bucket = on_aws().await;
    bucket.server.expect_token("first");
    bucket.server.expect_token("second");
    let mut settings = bucket.settings.clone();
    for (token, advice) in [
        ("first", "renew AWS_SESSION_TOKEN"),
        ("another", "check AWS_SESSION_TOKEN"),
    ] {
        set(&mut settings, "AWS_SESSION_TOKEN", token);
        let seen = doctor(&settings, &[]).await;
        seen.ends_with(1, "failed").only_failed(&["archive: write"]);
        seen.check("archive: write", "failed", advice);
        seen.check("archive: list", "skipped", "archive: write");
    }
    set(&mut settings, "AWS_SESSION_TOKEN", "second");
    doctor(&settings, &[]).await.ends_with(0, "ok");
}
