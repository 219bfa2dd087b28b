//! Whole fleets: by the command line, and by an event to the function.

use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::simulator::{Console, Simulator};
use serde_json::{Value, json};

use crate::support::printed::Printed;
use crate::support::runtime_api::{Answer, Function};
use crate::support::s3_server::Profile;
use crate::support::sqs_server::SqsServer;
use crate::support::*;

const TIME: &str = "2024-03-22 10:04:57";

/// A folder, and a simulator whose fleet is only what a test adds.
struct Fleet {
    simulator: Simulator,
    folder: tempfile::TempDir,
    settings: Settings,
}

async fn fleet(instances: usize) -> Fleet {
    let simulator = bare_simulator(ecs_credentials()).await;
    let (folder, settings) = archive_folder(&simulator);
    add(&simulator, instances);
    Fleet {
        simulator,
        folder,
        settings,
    }
}

fn id(index: usize) -> InstanceId {
    InstanceId::parse(&format!("i-fleet{index:04}")).unwrap()
}

fn add(simulator: &Simulator, instances: usize) {
    for index in 0..instances {
        let plain = format!("console of {index}\n");
        simulator.set_console(&id(index), output(plain.as_bytes(), TIME));
    }
}

fn error(status: u16, code: &str) -> Console {
    Console::Error {
        status,
        code: code.to_owned(),
    }
}

async fn sweep(fleet: &Fleet, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut all = vec!["sweep", "--per-second", "1000", "--output", "json"];
    all.extend(arguments);
    let output = cli(&fleet.settings, &all).await;
    let summary = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), summary)
}

fn stored(fleet: &Fleet) -> Vec<String> {
    let folders = names_in(&fleet.folder.path().join("archive"), "");
    folders
        .into_iter()
        .filter(|name| name.starts_with("i-"))
        .collect()
}

#[tokio::test]
async fn every_instance_of_every_page_is_captured_once() {
    let fleet = fleet(45).await;
    fleet.simulator.set_page_size(10);
    let (code, summary) = sweep(&fleet, &["--region", "cn-hangzhou"]).await;
    let expected = |stored, already_stored| {
        json!({"regions": 1, "instances": 45, "stored": stored, "already_stored": already_stored,
               "no_console": 0, "failed": 0, "with_fatal": 0, "with_error": 0})
    };
    assert_eq!((code, summary), (Some(0), expected(45, 0)));
    assert_eq!(stored(&fleet).len(), 45);
    let (code, summary) = sweep(&fleet, &["--region", "cn-hangzhou"]).await;
    assert_eq!((code, summary), (Some(0), expected(0, 45)));
}

#[tokio::test]
async fn all_regions_are_those_ecs_names() {
    let fleet = fleet(3).await;
    let beijing = RegionId::parse("cn-beijing").unwrap();
    fleet.simulator.set_region(&id(1), &beijing);
    let (_, summary) = sweep(&fleet, &["--region", "cn-hangzhou"]).await;
    assert_eq!(summary["instances"], 2);
    let (code, summary) = sweep(&fleet, &["--all-regions"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(
        (&summary["regions"], &summary["instances"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(stored(&fleet).len(), 3);
}

#[tokio::test]
async fn instances_that_fail_or_have_none_do_not_end_it() {
    let fleet = fleet(6).await;
    fleet
        .simulator
        .set_console(&id(0), error(403, "Forbidden.RAM"));
    fleet
        .simulator
        .set_console(&id(1), error(405, "NotSupported"));
    fleet
        .simulator
        .set_console(&id(2), error(405, "IncorrectInstanceStatus"));
    let (code, summary) = sweep(&fleet, &["--region", "cn-hangzhou"]).await;
    assert_eq!(code, Some(1));
    let failures = summary["failures"].as_array().unwrap();
    assert!(
        failures[0]
            .as_str()
            .unwrap()
            .starts_with("i-fleet0000: ECS refused"),
        "{failures:?}"
    );
    let counts = ["stored", "no_console", "failed"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [3, 2, 1]);
    let listed = cli(&fleet.settings, &["list"]).await;
    let listed = text(&listed.stdout);
    assert!(
        listed.contains("none: not_supported") && listed.contains("none: not_running"),
        "{listed}"
    );
}

#[tokio::test]
async fn an_interrupted_sweep_goes_on_where_it_was() {
    let fleet = fleet(30).await;
    fleet.simulator.set_page_size(10);
    let file = fleet.folder.path().join("left.json");
    let file = file.to_str().unwrap();
    // The state an interruption after two pages leaves.
    let cursor = json!({"region_id": "cn-hangzhou", "next_token": id(19).as_str()});
    let done = json!({"regions": 0, "instances": 20, "stored": 20, "already_stored": 0,
                      "no_console": 0, "failed": 0});
    let left = json!({"sweep": {"regions": ["cn-hangzhou"], "resume": cursor, "done": done}});
    std::fs::write(file, left.to_string()).unwrap();
    let other = ["--region", "cn-beijing", "--resume", file];
    assert_eq!(
        sweep(&fleet, &other).await.0,
        Some(2),
        "it is another sweep's"
    );
    let same = ["--region", "cn-hangzhou", "--resume", file];
    let (code, summary) = sweep(&fleet, &same).await;
    assert_eq!((code, &summary["instances"]), (Some(0), &json!(30)));
    assert_eq!(stored(&fleet).len(), 10, "only the last page was asked for");
    assert!(!std::path::Path::new(file).exists(), "it is done");
}

#[tokio::test]
async fn after_each_page_the_file_says_what_is_left() {
    let fleet = fleet(20).await;
    fleet.simulator.set_page_size(10);
    // No instance of the second page is captured, which is swept with the first one.
    for index in 10..20 {
        let unavailable = error(503, "ServiceUnavailable");
        fleet.simulator.set_console(&id(index), unavailable);
    }
    let file = fleet.folder.path().join("left.json");
    let printed = Printed::new();
    let mut sweep = tokio::process::Command::new(program("console-archive"))
        .env_clear()
        .envs(fleet.settings.iter().cloned())
        .args([
            "sweep",
            "--per-second",
            "1000",
            "--region",
            "cn-hangzhou",
            "--resume",
        ])
        .arg(&file)
        .stdout(printed.stdio())
        .stderr(printed.stdio())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while !file.exists() {
        tokio::task::yield_now().await;
    }
    sweep.kill().await.unwrap();
    let left: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let left = &left["sweep"];
    assert_eq!(left["resume"]["next_token"], id(9).as_str());
    assert_eq!(left["done"]["stored"], 10);
}

#[tokio::test]
async fn a_region_that_cannot_be_listed_is_named_and_fails() {
    let fleet = fleet(1).await;
    let mut settings = fleet.settings.clone();
    settings.retain(|(name, _)| name != "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    settings.push(("ALIBABA_CLOUD_ACCESS_KEY_SECRET".into(), "wrong".into()));
    let output = cli(&settings, &["sweep", "--region", "cn-hangzhou"]).await;
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.contains("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
        "{message}"
    );
}

#[tokio::test]
async fn throttling_on_the_way_is_ridden_out() {
    let fleet = fleet(12).await;
    for plan in ["fail*2", "reset", "truncate", "garbage", "fail"] {
        fleet.simulator.plan_faults(&plan.parse().unwrap());
    }
    let (code, summary) = sweep(&fleet, &["--region", "cn-hangzhou"]).await;
    assert_eq!((code, &summary["stored"]), (Some(0), &json!(12)));
}

fn event(sweep: &Value) -> Vec<u8> {
    json!({ "sweep": sweep }).to_string().into_bytes()
}

#[tokio::test]
async fn a_scheduled_event_sweeps_from_the_function() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let request = json!({"regions": ["cn-hangzhou"], "per_second": 1000});
    let reply = function.result_of(&event(&request)).await;
    assert_eq!(reply["outcome"], "swept", "{reply}");
    assert_eq!(reply["stored"], instances().len());
    assert_eq!(reply["no_console"], 1, "Windows: {reply}");
    assert_eq!(bucket.server.records().len(), instances().len());
}

#[tokio::test]
async fn a_sweep_that_runs_out_of_time_goes_on_through_the_queue() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    let queue = [
        ("FOLLOW_SECONDS", "60"),
        ("FOLLOW_QUEUE_URL", &sqs.queue_url()),
    ];
    bucket.settings.extend(settings(&queue));
    let function = Function::start(&bucket.settings).await;
    // Less than the page takes.
    let short = std::time::Duration::from_secs(2);
    let request = event(&json!({"regions": ["cn-hangzhou"], "per_second": 2}));
    let Answer::Response(reply) = function.invoke(&request, short).await else {
        panic!("it failed");
    };
    assert_eq!(reply["outcome"], "swept");
    let done = reply["instances"].as_u64().unwrap() as usize;
    assert!((1..instances().len()).contains(&done), "{reply}");
    let sent = sqs.take_sent().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&sent.body).unwrap(),
        reply["resume"]
    );
    let reply = function.result_of(sent.body.as_bytes()).await;
    assert_eq!(reply["stored"], instances().len());
    assert_eq!(reply.get("resume"), None);
    assert_eq!(sqs.take_sent(), None);
}

#[tokio::test]
async fn a_sweep_that_can_do_nothing_in_its_time_fails_and_sends_itself_nowhere() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    let queue = [
        ("FOLLOW_SECONDS", "60"),
        ("FOLLOW_QUEUE_URL", &sqs.queue_url()),
    ];
    bucket.settings.extend(settings(&queue));
    bucket.simulator.plan_faults(&"stall*100".parse().unwrap());
    let function = Function::start(&bucket.settings).await;
    let request = event(&json!({"regions": ["cn-hangzhou"]}));
    let (error_type, message) = function.failure_of(&request).await;
    assert_eq!(error_type, "TimeoutTooShort", "{message}");
    assert!(message.contains("time-out of 60 s"), "{message}");
    assert_eq!(sqs.take_sent(), None);
}

#[tokio::test]
async fn a_message_of_the_version_before_is_swept_on() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let done = json!({"regions": 0, "instances": 3, "stored": 2, "already_stored": 1,
                      "no_console": 0, "failed": 0});
    let message = json!({"regions": ["cn-hangzhou"], "concurrency": 8, "per_second": 1000,
                         "resume": {"region_id": "cn-hangzhou"}, "done": done});
    let reply = function.result_of(&event(&message)).await;
    assert_eq!(reply["stored"], 2 + instances().len(), "{reply}");
}

#[tokio::test]
async fn on_the_command_line_a_time_out_ends_it_and_the_file_goes_on() {
    let fleet = fleet(20).await;
    let file = fleet.folder.path().join("left.json");
    let file = file.to_str().unwrap();
    // The region is that of ALIBABA_CLOUD_REGION_ID.
    let arguments = ["sweep", "--resume", file];
    let slow = [&arguments[..], &["--per-second", "2", "--timeout", "2"]].concat();
    let output = cli(&fleet.settings, &slow).await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains(
            "timed out after 2 s: go on with `console-archive sweep --region cn-hangzhou --resume"
        ),
        "{told}"
    );
    let first = stored(&fleet).len();
    assert!((1..20).contains(&first), "{first}");
    let fast = [&arguments[..], &["--per-second", "1000"]].concat();
    let output = cli(&fleet.settings, &fast).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("20 stored, 0 already stored"));
    assert!(!std::path::Path::new(file).exists());
    // ECS never answers.
    fleet.simulator.plan_faults(&"stall*100".parse().unwrap());
    let output = cli(
        &fleet.settings,
        &["sweep", "--region", "cn-hangzhou", "--timeout", "1"],
    )
    .await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("timed out after 1 s"), "{told}");
}

#[tokio::test]
async fn a_wrong_sweep_is_a_clear_error_before_any_request() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for (request, message) in [
        (json!({"regions": ["evil.example/"]}), "not a region ID"),
        (json!({"region": "cn-hangzhou"}), "unknown field"),
        (json!(5), "the sweep cannot be read"),
    ] {
        let (error_type, text) = function.failure_of(&event(&request)).await;
        assert_eq!(error_type, "InvalidEvent");
        assert!(text.contains(message), "{text}");
    }
    assert!(bucket.simulator.answered().is_empty());
}
