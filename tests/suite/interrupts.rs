//! Ctrl-C, and readers that have seen enough: nothing is left half done, and nothing is said about
//! it that does not help.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use ecs_console_archiver::simulator::Simulator;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::kept::{Kept, Place, instance_id};
use crate::support::printed::{Printed, checked};
use crate::support::relay::Relay;
use crate::support::s3_server::Profile;
use crate::support::*;

const TIME: &str = "2024-03-22 10:04:57";
const SIGINT: i32 = 2;

struct World {
    simulator: Simulator,
    folder: tempfile::TempDir,
    settings: Settings,
}

async fn world() -> World {
    let simulator = bare_simulator(ecs_credentials()).await;
    for id in ["i-a1", "i-a2", "i-a3"] {
        set_console(&simulator, id, b"Kernel panic\n", TIME);
    }
    let (folder, settings) = archive_folder(&simulator);
    World {
        simulator,
        folder,
        settings,
    }
}

impl World {
    /// With ECS behind a relay.
    async fn held(&mut self) -> Relay {
        let relay = Relay::before(&self.simulator.endpoint_url()).await;
        set(&mut self.settings, "ECS_ENDPOINT_URL", &relay.url());
        relay
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Files of the archive, without those of their metadata.
    fn stored(&self, instance_id: &str) -> Vec<String> {
        let folder = self.folder.path().join("archive").join(instance_id);
        if folder.exists() {
            names_in(&folder, ".log.gz")
        } else {
            Vec::new()
        }
    }
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    settings.retain(|(other, _)| other != name);
    settings.push((name.to_owned(), value.to_owned()));
}

/// A program that runs, and what it says on standard error.
struct Running {
    child: tokio::process::Child,
    told: UnboundedReceiver<String>,
    printed: Printed,
}

fn start(settings: &Settings, arguments: &[&str]) -> Running {
    start_in(&root(), settings, arguments)
}

fn start_in(folder: &Path, settings: &Settings, arguments: &[&str]) -> Running {
    let mut command = tokio::process::Command::new(program("console-archive"));
    command
        .env_clear()
        .envs(settings.iter().cloned())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    run(command)
}

fn run(mut command: tokio::process::Command) -> Running {
    let printed = Printed::new();
    let mut child = command
        .stdout(printed.stdio())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pipe = child.stderr.take().unwrap().into_owned_fd().unwrap();
    let (told, _) = printed.take_lines(std::fs::File::from(pipe));
    Running {
        child,
        told,
        printed,
    }
}

impl Running {
    /// Ctrl-C.
    fn interrupt(&self) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for a line on standard error that has this in it.
    async fn tells(&mut self, what: &str) {
        while let Some(line) = self.told.recv().await {
            if line.contains(what) {
                return;
            }
        }
        panic!("{what:?} is not in {}", self.printed.text());
    }

    async fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().await.unwrap();
        while self.told.recv().await.is_some() {}
        status
    }

    /// It ended as Ctrl-C ends a program that does not handle it, so that loops of a shell end too.
    async fn dies_of_it(&mut self) -> String {
        let status = self.ended().await;
        let printed = self.printed.text();
        assert_eq!(status.signal(), Some(SIGINT), "{status} {printed}");
        printed
    }
}

#[tokio::test]
async fn a_capture_that_is_interrupted_is_finished_first() {
    let mut world = world().await;
    let mut relay = world.held().await;
    let mut capture = start(&world.settings, &["capture", "i-a1"]);
    relay.connected().await;
    capture.interrupt();
    capture
        .tells("interrupted: the capture is finished first")
        .await;
    relay.open();
    let printed = capture.dies_of_it().await;
    assert!(printed.contains("stored file:///"), "{printed}");
    assert_eq!(world.stored("i-a1").len(), 1);
}

#[tokio::test]
async fn a_second_interruption_ends_it_at_once() {
    let mut world = world().await;
    let mut relay = world.held().await;
    let mut capture = start(&world.settings, &["capture", "i-a1"]);
    relay.connected().await;
    capture.interrupt();
    capture.tells("Ctrl-C again ends it at once").await;
    capture.interrupt();
    capture.dies_of_it().await;
    assert_eq!(world.stored("i-a1"), [""; 0]);
}

#[tokio::test]
async fn an_invoke_that_waits_for_a_person_to_type_ends_at_once() {
    let world = world().await;
    // A terminal of its own, as a person has it. What it shows goes to standard error, too.
    let command = format!("{} invoke -", program("console-archive").display());
    let mut script = tokio::process::Command::new("script");
    script
        .args(["-qefc", &command, "/dev/stderr"])
        .env_clear()
        .envs(world.settings.iter().cloned())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::piped());
    let mut invoke = run(script);
    invoke.tells("end it with Ctrl-D").await;
    let mut keyboard = invoke.child.stdin.take().unwrap();
    keyboard.write_all(b"\x03").await.unwrap();
    let status = invoke.ended().await;
    let shown = invoke.printed.text();
    assert!(shown.contains("interrupted: not served: -"), "{shown}");
    assert_eq!(status.code(), Some(128 + SIGINT), "{shown}");
}

fn event(world: &World, id: &str) -> String {
    let path = world.path(&format!("{id}.json"));
    std::fs::write(&path, json!({"instance_id": id}).to_string()).unwrap();
    path
}

#[tokio::test]
async fn invoke_finishes_its_file_and_names_those_it_leaves() {
    let mut world = world().await;
    let files = ["i-a1", "i-a2", "i-a3"].map(|id| event(&world, id));
    let files = files.each_ref().map(String::as_str);
    let mut relay = world.held().await;
    let mut invoke = start(&world.settings, &[&["invoke"], &files[..]].concat());
    relay.connected().await;
    invoke.interrupt();
    invoke
        .tells(&format!("interrupted: {} is finished first", files[0]))
        .await;
    relay.open();
    let printed = invoke.dies_of_it().await;
    let left = format!("interrupted: not served: {}, {}", files[1], files[2]);
    assert!(printed.contains(&left), "{printed}");
    assert_eq!(world.stored("i-a1").len(), 1);
    assert_eq!(world.stored("i-a2"), [""; 0]);
}

#[tokio::test]
async fn redrive_finishes_its_event_and_counts_those_that_stay() {
    let mut world = world().await;
    set(&mut world.settings, "FAILED_EVENTS", "archive");
    for id in ["i-a1", "i-a2"] {
        world.simulator.plan_faults(&"fail*1000".parse().unwrap());
        let path = world.path("starting.json");
        std::fs::write(&path, starting(id)).unwrap();
        let failed = cli(&world.settings, &["invoke", &path, "--timeout", "1"]).await;
        assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
        world.simulator.clear_faults();
    }
    let failed = world.folder.path().join("archive/failed");
    assert_eq!(
        names_in(&failed, ".json").len(),
        4,
        "two, with their metadata"
    );
    let mut relay = world.held().await;
    let mut redrive = start(&world.settings, &["redrive"]);
    relay.connected().await;
    redrive.interrupt();
    redrive.tells("is finished first").await;
    relay.open();
    let printed = redrive.dies_of_it().await;
    assert!(
        printed.contains("1 failed event was not served, and stays"),
        "{printed}"
    );
    assert_eq!(
        names_in(&failed, ".json").len(),
        2,
        "the one that was served is gone"
    );
}

#[tokio::test]
async fn a_sweep_finishes_what_it_began_and_the_file_goes_on() {
    let world = world().await;
    for index in 0..60 {
        set_console(&world.simulator, &format!("i-b{index}"), b"text\n", TIME);
    }
    let file = world.path("left.json");
    let arguments = ["sweep", "--region", "cn-hangzhou", "--resume", &file];
    let slow = [&arguments[..], &["--per-second", "1"]].concat();
    let mut sweep = start(&world.settings, &slow);
    let asked = |answered: &ecs_console_archiver::simulator::Answered| {
        answered.action == "GetInstanceConsoleOutput"
    };
    while !world.simulator.answered().iter().any(asked) {
        tokio::task::yield_now().await;
    }
    sweep.interrupt();
    let printed = sweep.dies_of_it().await;
    let command = format!("console-archive sweep --region cn-hangzhou --resume {file}");
    assert!(printed.contains("interrupted: go on with"), "{printed}");
    assert!(printed.contains(&command), "{printed}");
    let left: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let done = left["sweep"]["done"]["stored"].as_u64().unwrap();
    let stored = || {
        let ids = names_in(&world.folder.path().join("archive"), "");
        ids.iter().filter(|id| id.starts_with("i-")).count()
    };
    assert!((1..63).contains(&done), "{left:#}");
    assert_eq!(stored() as u64, done, "what it began is whole, and counted");
    let fast = [&arguments[..], &["--per-second", "1000"]].concat();
    let output = cli(&world.settings, &fast).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("63 stored, 0 already stored"));
    assert_eq!(stored(), 63);
}

#[tokio::test]
async fn without_a_file_an_interrupted_sweep_writes_one_and_names_it() {
    let world = world().await;
    for index in 0..60 {
        set_console(&world.simulator, &format!("i-b{index}"), b"text\n", TIME);
    }
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("sweep-left.json"), "another's").unwrap();
    let arguments = ["sweep", "--region", "cn-hangzhou", "--per-second", "1"];
    let mut sweep = start_in(here.path(), &world.settings, &arguments);
    while world.simulator.answered().len() < 2 {
        tokio::task::yield_now().await;
    }
    sweep.interrupt();
    let told = sweep.dies_of_it().await;
    assert!(told.contains("--resume sweep-left-2.json"), "{told}");
    let left = std::fs::read(here.path().join("sweep-left-2.json")).unwrap();
    let left: Value = serde_json::from_slice(&left).unwrap();
    assert_eq!(left["sweep"]["regions"], json!(["cn-hangzhou"]));
    let other = std::fs::read(here.path().join("sweep-left.json")).unwrap();
    assert_eq!(other, b"another's");
}

#[tokio::test]
async fn what_only_reads_ends_at_once() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let mut relay = Relay::before(&bucket.server.endpoint_url()).await;
    set(&mut bucket.settings, "AWS_ENDPOINT_URL_S3", &relay.url());
    for arguments in [
        &["list"][..],
        &["get", "i-a1"],
        &["redrive", "--dry-run"],
        &["doctor"],
    ] {
        let mut reading = start(&bucket.settings, arguments);
        relay.connected().await;
        reading.interrupt();
        let printed = reading.dies_of_it().await;
        assert_eq!(printed, "", "{arguments:?}");
    }
}

/// With standard output closed before the first byte.
async fn unread(settings: &Settings, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(program("console-archive"));
    command.env_clear().envs(settings.iter().cloned());
    command
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer).stderr(Stdio::piped());
        checked(command.output().unwrap())
    });
    output.await.unwrap()
}

/// The exit code is for who started it, and says what was found until then. What was to be done is done.
#[tokio::test]
async fn a_reader_that_stops_early_hides_no_fault_and_keeps_nothing_from_being_done() {
    let (mut kept, now) = (Kept::default(), Timestamp::now());
    for (number, days) in [(1, 200), (1, 150), (1, 2), (2, 2)] {
        let at = now - SignedDuration::from_hours(24 * days);
        let console = format!("[    0.000000] Linux version 6.1.{days}\r\n");
        kept.record(&instance_id(number), console.as_bytes(), at);
    }
    let kept = kept.with_days();
    let whole = kept.place(Place::Folder).await;
    let mut damaged = kept.clone();
    damaged.change(&kept.records()[3], |object| object.body.truncate(30));
    let damaged = damaged.place(Place::Folder).await;
    let prune = ["prune", "--keep-last", "1", "--max-remove", "100"];
    let commands: [&[&str]; 5] = [
        &["verify"],
        &["verify", "--output", "json"],
        &["verify", "--quick"],
        &["reindex"],
        &prune,
    ];
    for arguments in commands {
        for (placed, code) in [(&whole, 0), (&damaged, 1)] {
            let output = unread(&placed.settings, arguments).await;
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        }
    }
    let before = whole.keys().len();
    let apply = [&prune[..], &["--apply"]].concat();
    let output = unread(&whole.settings, &apply).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let records = whole.keys().into_iter();
    let records: Vec<_> = records.filter(|key| key.ends_with(".log.gz")).collect();
    assert_eq!(records, kept.records()[2..], "of {before}");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error_of_any_command() {
    let world = world().await;
    let capture = cli(&world.settings, &["capture", "i-a1"]).await;
    assert!(capture.status.success());
    let files = ["i-a1", "i-a2", "i-a3"].map(|id| event(&world, id));
    let files = files.each_ref().map(String::as_str);
    let fast = ["sweep", "--region", "cn-hangzhou", "--per-second", "1000"];
    let commands: Vec<(i32, Vec<&str>)> = vec![
        (0, vec!["list"]),
        (0, vec!["list", "--output", "json"]),
        (0, vec!["list", "i-a1"]),
        (0, vec!["get", "i-a1"]),
        (0, vec!["get", "i-a1", "--output", "json"]),
        (0, vec!["get", "i-a1", "--color", "always"]),
        (0, vec!["doctor"]),
        (0, vec!["doctor", "--output", "json"]),
        (0, vec!["capture", "i-a1"]),
        (0, [&["invoke"], &files[..]].concat()),
        (0, fast.to_vec()),
        (0, [&fast[..], &["--output", "json"]].concat()),
        (3, vec!["redrive"]),
        (3, vec!["redrive", "--dry-run"]),
        (0, vec!["completions", "bash"]),
        (0, vec!["man"]),
        (0, vec!["--help"]),
        (0, vec!["get", "--help"]),
        (0, vec!["--version"]),
    ];
    for (code, arguments) in commands {
        let output = unread(&world.settings, &arguments).await;
        let told = text(&output.stderr);
        let told: Vec<_> = told
            .lines()
            .filter(|line| !line.contains(" INFO "))
            .collect();
        let expected: &[&str] = if code == 3 {
            &["console-archive: no failed events"]
        } else {
            &[]
        };
        assert_eq!(
            (output.status.code(), &told[..]),
            (Some(code), expected),
            "{arguments:?}"
        );
    }
    for id in ["i-a1", "i-a2", "i-a3"] {
        assert_eq!(
            world.stored(id).len(),
            1,
            "{id}: its work was done all the same"
        );
    }
}
