//! The real `console-archive`: what people and programs see, and the exit codes.

use ecs_console_archiver::simulator::Fault;
use serde_json::Value;

use crate::support::printed::checked;
use crate::support::s3_server::Profile;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[track_caller]
fn check(output: &std::process::Output, code: i32, stdout: &str, stderr: &str) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        text(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(out.contains(stdout), "{stdout:?} in {out}");
    assert!(err.contains(stderr), "{stderr:?} in {err}");
}

struct Folder {
    simulator: ecs_console_archiver::simulator::Simulator,
    settings: Settings,
    folder: tempfile::TempDir,
}

async fn folder() -> Folder {
    let simulator = simulator().await;
    let (folder, settings) = archive_folder(&simulator);
    Folder {
        simulator,
        settings,
        folder,
    }
}

#[tokio::test]
async fn captured_consoles_are_listed_and_printed_byte_for_byte() {
    for profile in [Profile::Aws, Profile::Oss { versioned: false }] {
        let bucket = Bucket::start(profile).await;
        for id in instances() {
            let output = cli(
                &bucket.settings,
                &["capture", &id, "--region", "cn-hangzhou"],
            )
            .await;
            check(&output, 0, "stored ", "");
        }
        let listed = cli(&bucket.settings, &["list", "--output", "json"]).await;
        let listed = json(&listed.stdout);
        let ids: Vec<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["instance_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids, instances(), "over several pages, in order");
        for id in instances() {
            let got = cli(&bucket.settings, &["get", &id]).await;
            assert!(got.status.success() && got.stdout == fixture(&id), "{id}");
        }
    }
}

#[tokio::test]
async fn in_a_folder_the_same_commands_do_the_same() {
    let world = folder().await;
    check(
        &cli(&world.settings, &["capture", ID]).await,
        0,
        "stored file:///",
        "",
    );
    check(
        &cli(&world.settings, &["capture", ID]).await,
        0,
        "already stored file:///",
        "",
    );
    check(&cli(&world.settings, &["list"]).await, 0, ID, "");
    check(
        &cli(&world.settings, &["list", ID]).await,
        0,
        "INSTANCE",
        "",
    );
    assert!(cli(&world.settings, &["get", ID]).await.stdout == fixture(ID));
}

#[tokio::test]
async fn get_at_a_time_prints_the_newest_not_after_it() {
    let world = folder().await;
    for (plain, time) in [
        ("morning", "2018-03-22 08:00:00"),
        ("noon", "2018-03-22T12:00:00Z"),
        ("later", "2018-03-23 00:00:00"),
    ] {
        set_console(&world.simulator, "i-a1", plain.as_bytes(), time);
        check(
            &cli(&world.settings, &["capture", "i-a1"]).await,
            0,
            "stored",
            "",
        );
    }
    // ECS said UTC+8; a time without a zone is in UTC, or in the zone that was asked for.
    for (more, console) in [
        (&["--at", "2018-03-22 03:59"][..], "morning"),
        (&["--at", "2018-03-22 11:59+08:00"], "morning"),
        (
            &["--at", "2018-03-22 11:59", "--time-zone", "Asia/Shanghai"],
            "morning",
        ),
        (&["--at", "2018-03-22 04"], "noon"),
        (&["--at", "2018-03-22", "--time-zone", "+08:00"], "noon"),
        (&["--at", "2018-03-22T15:59:59Z"], "noon"),
        (&["--at", "2018-03-22 16:00:00Z?"], "later"),
        (&["--at", "2018-03-22"], "later"),
        (&["--at", "2018"], "later"),
        (&["--previous"], "noon"),
        (&["--previous=2"], "morning"),
        (&["--at", "2018-03-22 15:59", "--previous"], "morning"),
    ] {
        let arguments = [&["get", "i-a1"], more].concat();
        let output = cli(&world.settings, &arguments).await;
        assert_eq!(
            text(&output.stdout),
            console,
            "{more:?} {}",
            text(&output.stderr)
        );
    }
    assert_eq!(
        text(&cli(&world.settings, &["get", "i-a1"]).await.stdout),
        "later"
    );
    let listed = json(
        &cli(&world.settings, &["list", "i-a1", "--output", "json"])
            .await
            .stdout,
    );
    let name = listed[0]["name"].as_str().unwrap();
    assert_eq!(
        text(
            &cli(&world.settings, &["get", "i-a1", "--at", name])
                .await
                .stdout
        ),
        "morning"
    );
    check(
        &cli(&world.settings, &["get", "i-a1", "--at", "2017"]).await,
        3,
        "",
        "i-a1 has no record of that time or before it",
    );
    let before = cli(&world.settings, &["get", "i-a1", "--previous=3"]).await;
    check(&before, 3, "", "i-a1 has no record before that one");
    let front = cli(&world.settings, &["get", "i-a1", "--at", "20180322T120000"]).await;
    check(&front, 2, "", "is how a record's name begins");
}

#[tokio::test]
async fn json_output_has_the_text_and_its_metadata() {
    let world = folder().await;
    set_console(&world.simulator, "i-a1", b"caf\xe9", "2018-03-22 08:00:00");
    cli(&world.settings, &["capture", "i-a1"]).await;
    let got = json(
        &cli(&world.settings, &["get", "i-a1", "--output", "json"])
            .await
            .stdout,
    );
    assert_eq!(got["console"], "caf\u{fffd}");
    assert_eq!(got["is_utf8"], false);
    assert_eq!(got["metadata"]["last-update-time"], "2018-03-22 08:00:00");
    let raw = cli(&world.settings, &["get", "i-a1", "--raw"]).await;
    assert_eq!(raw.stdout, b"caf\xe9");
}

#[tokio::test]
async fn a_file_with_a_byte_order_mark_is_invoked_as_the_event_that_it_is() {
    let world = folder().await;
    for (name, outcome) in [
        ("powershell-utf-8", "stored"),
        ("powershell-utf-16", "already_stored"),
    ] {
        let file = format!("tests/fixtures/payloads/{name}.json");
        let output = cli(&world.settings, &["invoke", &file, "--output", "json"]).await;
        assert_eq!(json(&output.stdout)["outcome"], outcome, "{name}");
    }
}

#[tokio::test]
async fn a_subscription_to_confirm_is_an_error_that_says_how() {
    let world = folder().await;
    let file = "tests/fixtures/payloads/sns-subscription-confirmation.json";
    let output = cli(&world.settings, &["invoke", file]).await;
    check(&output, 2, "", "aws sns confirm-subscription");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("2336412f37fb"));
}

#[tokio::test]
async fn invoke_answers_as_the_function_does() {
    let world = folder().await;
    let output = cli(
        &world.settings,
        &["invoke", "events/manual.json", "--output", "json"],
    )
    .await;
    assert_eq!(json(&output.stdout)["outcome"], "stored");
    check(
        &cli(
            &world.settings,
            &["invoke", "events/eventbridge-disk-ignored.json"],
        )
        .await,
        0,
        "ignored:",
        "",
    );
    world.simulator.plan_faults(&Fault::Throttle.into());
    check(
        &cli(
            &world.settings,
            &["invoke", "--timeout", "1", "events/manual.json"],
        )
        .await,
        1,
        "EcsThrottled",
        "",
    );
    world.simulator.plan_faults(&Fault::Throttle.into());
    check(
        &cli(
            &world.settings,
            &["invoke", "--timeout", "1", "events/aws-function-url.json"],
        )
        .await,
        1,
        "503",
        "",
    );
    let bad = world.folder.path().join("bad.json");
    std::fs::write(&bad, "{").unwrap();
    check(
        &cli(&world.settings, &["invoke", bad.to_str().unwrap()]).await,
        2,
        "InvalidEvent",
        "",
    );
    std::fs::write(&bad, vec![b'['; 10 << 20]).unwrap();
    check(
        &cli(&world.settings, &["invoke", bad.to_str().unwrap()]).await,
        2,
        "at most 8388608",
        "",
    );
    check(
        &cli(&world.settings, &["invoke", "no-such-file"]).await,
        2,
        "",
        "no-such-file",
    );
}

#[tokio::test]
async fn exit_codes_are_those_of_the_help() {
    let world = folder().await;
    let missing = "does not exist: nothing was stored there yet, or ARCHIVE_URL is wrong";
    for command in ["list", "compact", "reindex", "rescan", "verify"] {
        check(&cli(&world.settings, &[command]).await, 2, "", missing);
    }
    std::fs::create_dir(world.folder.path().join("archive")).unwrap();
    let folder = world.folder.path().join("archive");
    let place = format!("in {}", url::Url::from_file_path(folder).unwrap());
    let none = format!("no records {place}");
    check(&cli(&world.settings, &["list"]).await, 3, "", &none);
    let none = format!("{ID} has no record {place}");
    check(&cli(&world.settings, &["get", ID]).await, 3, "", &none);
    check(
        &cli(&world.settings, &["capture", "i-bp1windows000000001"]).await,
        3,
        "keeps no console output",
        "",
    );
    check(
        &cli(&world.settings, &["capture", "../etc"]).await,
        2,
        "",
        "not an instance ID",
    );
    check(&cli(&world.settings, &["capture"]).await, 2, "", "Usage");
    check(
        &cli(&world.settings, &["get", ID, "--at", "noon"]).await,
        2,
        "",
        "expected a moment",
    );
    check(
        &cli(&Settings::new(), &["list"]).await,
        2,
        "",
        "ARCHIVE_URL: not set",
    );
    check(
        &cli(&no_instance(), &["capture", ID]).await,
        2,
        "",
        "ALIBABA_CLOUD_ACCESS_KEY_ID: not set",
    );
    world.simulator.plan_faults(&"fail*1000".parse().unwrap());
    check(
        &cli(&world.settings, &["capture", ID, "--timeout", "1"]).await,
        1,
        "",
        "ServiceUnavailable",
    );
    let help = cli(&Settings::new(), &["--help"]).await;
    check(&help, 0, "Exit codes:", "");
    for command in ["invoke", "capture", "list", "get", "doctor", "simulate"] {
        check(&help, 0, command, "");
        check(
            &cli(&Settings::new(), &[command, "--help"]).await,
            0,
            "Usage:",
            "",
        );
    }
}

#[tokio::test]
async fn a_missing_region_is_named() {
    let mut world = folder().await;
    world
        .settings
        .retain(|(name, _)| name != "ALIBABA_CLOUD_REGION_ID");
    check(
        &cli(&world.settings, &["capture", ID]).await,
        2,
        "",
        "ALIBABA_CLOUD_REGION_ID",
    );
    check(
        &cli(&world.settings, &["capture", ID, "--region", "cn-beijing"]).await,
        0,
        "stored",
        "",
    );
}

#[tokio::test]
async fn a_damaged_record_is_reported_and_not_printed() {
    let world = folder().await;
    let reply = cli(&world.settings, &["capture", ID, "--output", "json"]).await;
    let url = json(&reply.stdout)["url"].as_str().unwrap().to_owned();
    let path = url::Url::parse(&url).unwrap().to_file_path().unwrap();
    let gzip = std::fs::read(&path).unwrap();
    std::fs::write(&path, &gzip[..gzip.len() - 9]).unwrap();
    let got = cli(&world.settings, &["get", ID]).await;
    check(&got, 1, "", "is damaged");
    assert!(got.stdout.is_empty());
}

#[tokio::test]
async fn on_a_terminal_escape_sequences_of_the_guest_are_left_out() {
    let world = folder().await;
    set_console(
        &world.simulator,
        "i-a1",
        b"\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m\r\n",
        "2018-03-22 08:00:00",
    );
    cli(&world.settings, &["capture", "i-a1"]).await;
    let piped = cli(&world.settings, &["get", "i-a1"]).await;
    assert!(
        piped.stdout.starts_with(b"\x1b[2J"),
        "a pipe gets what the guest wrote"
    );
    let command = format!("{} get i-a1", program("console-archive").display());
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env_clear()
        .envs(world.settings.iter().cloned());
    script
        .env("PATH", std::env::var("PATH").unwrap())
        .stdin(std::process::Stdio::null());
    let shown = tokio::task::spawn_blocking(move || script.output().unwrap()).await;
    let shown = text(&checked(shown.unwrap()).stdout);
    assert!(
        shown.contains("red") && !shown.contains('\x1b') && !shown.contains("owned"),
        "{shown:?}"
    );
}
