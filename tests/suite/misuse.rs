//! What a person gets wrong at the command line: it is refused before any work, with the file or the
//! setting and the reason, and one mistake hides no other.

use std::path::PathBuf;
use std::process::Output;

use ecs_console_archiver::simulator::Simulator;
use serde_json::{Value, json};

use crate::support::kept::{Kept, Place};
use crate::support::printed::checked;
use crate::support::*;

const TIME: &str = "2024-03-22 10:04:57";

struct World {
    simulator: Simulator,
    folder: tempfile::TempDir,
    settings: Settings,
}

/// A folder as the archive, and an ECS with some instances.
async fn world(instances: usize) -> World {
    let simulator = bare_simulator(ecs_credentials()).await;
    for index in 0..instances {
        set_console(&simulator, &format!("i-a{index}"), b"text\n", TIME);
    }
    let (folder, settings) = archive_folder(&simulator);
    World {
        simulator,
        folder,
        settings,
    }
}

impl World {
    async fn run(&self, arguments: &[&str]) -> Output {
        cli(&self.settings, arguments).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text_of(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.text_of(name)
    }

    fn fifo(&self, name: &str) -> String {
        let mut mkfifo = std::process::Command::new("mkfifo");
        let made = checked(mkfifo.arg(self.path(name)).output().unwrap());
        assert!(made.status.success());
        self.text_of(name)
    }

    fn stored(&self) -> usize {
        let archive = self.path("archive");
        if !archive.exists() {
            return 0;
        }
        let names = names_in(&archive, "");
        names.iter().filter(|name| name.starts_with("i-")).count()
    }
}

/// How it ended, and what it said.
#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(out.contains(stdout), "{stdout:?} in {out}");
    assert!(err.contains(stderr), "{stderr:?} in {err}");
    assert!(!err.contains("panicked"), "{err}");
}

const FAST: [&str; 5] = ["sweep", "--per-second", "1000", "--timeout", "20"];

fn sweep<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&FAST, arguments].concat()
}

fn left(sweep: &Value) -> String {
    json!({ "sweep": sweep }).to_string()
}

#[tokio::test]
async fn a_file_that_no_sweep_left_is_refused_by_name_with_its_line_and_stays() {
    let world = world(1).await;
    let huge = u64::MAX;
    let done = |count: u64| {
        json!({"regions": count, "instances": 1, "stored": 1, "already_stored": 0,
               "no_console": 0, "failed": 0})
    };
    let of_hangzhou = |more: Value| {
        let mut sweep = json!({"regions": ["cn-hangzhou"], "version": 1});
        sweep
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        left(&sweep)
    };
    let cases = [
        (String::new(), "line 1"),
        ("[]".into(), "line 1"),
        ("5".into(), "line 1"),
        ("\"x\"".into(), "line 1"),
        ("true".into(), "line 1"),
        ("null".into(), "line 1"),
        ("junk".into(), "line 1"),
        ("{".into(), "at line 1 column 1"),
        ("{}".into(), "missing field `sweep` at line 1 column 2"),
        (
            "{\n\"sweep\": []}".into(),
            "expected a JSON object at line 2",
        ),
        (
            "{\n\"sweep\": 5}".into(),
            "expected a JSON object at line 2",
        ),
        (
            "{\n\"sweep\": null}".into(),
            "expected a JSON object at line 2",
        ),
        ("{\"sweep\": {\"regions\": 7}}".into(), "at line 1"),
        ("[".repeat(100_000), "line 1"),
        (format!("{{\"sweep\": {}", "[".repeat(100_000)), "at line 1"),
        (
            of_hangzhou(json!({"done": done(huge)})),
            "18446744073709551615",
        ),
        (
            of_hangzhou(json!({"resume": {"region_id": "zz-zz"}})),
            "zz-zz, which is not among its regions",
        ),
        (
            format!("{{{}}}", " ".repeat(2 << 20)),
            "more than 1048576 bytes",
        ),
    ];
    for (content, reason) in cases {
        let file = world.write("left.json", &content);
        for region in [&[][..], &["--region", "cn-hangzhou"]] {
            let output = world
                .run(&sweep(&[region, &["--resume", &file]].concat()))
                .await;
            check(
                &output,
                2,
                "",
                &format!("{file}: not what `sweep --resume` writes"),
            );
            check(&output, 2, "", reason);
        }
        assert_eq!(std::fs::read(&file).unwrap(), content.as_bytes());
    }
    assert!(world.simulator.answered().is_empty());
}

#[tokio::test]
async fn bytes_that_are_no_text_are_no_resume_file() {
    let world = world(0).await;
    let file = world.write("left.json", b"\x1f\x8b\x08\x00\xff\xfe");
    let output = world.run(&sweep(&["--resume", &file])).await;
    check(&output, 2, "", &format!("{file}: not what"));
}

#[tokio::test]
async fn a_resume_file_that_cannot_be_written_is_refused_before_any_request() {
    let world = world(1).await;
    let fifo = world.fifo("fifo");
    std::fs::create_dir(world.path("folder")).unwrap();
    std::fs::write(world.path("file"), "").unwrap();
    let cases = [
        (world.text_of("nowhere/left.json"), "cannot be written: "),
        (world.text_of("file/left.json"), "cannot be written: "),
        (fifo, "it is a FIFO, not a file"),
        (world.text_of("folder"), "it is a folder, not a file"),
        ("/dev/null".to_owned(), "it is a device, not a file"),
    ];
    for (file, reason) in cases {
        let arguments = sweep(&["--region", "cn-hangzhou", "--resume", &file]);
        let output = world.run(&arguments).await;
        check(&output, 2, "", &format!("{file}: {reason}"));
    }
    assert!(world.simulator.answered().is_empty());
    assert_eq!(
        names_in(world.folder.path(), "").len(),
        3,
        "nothing is left behind"
    );
}

#[tokio::test]
async fn a_resume_file_suffices_where_it_names_its_regions() {
    let mut world = world(3).await;
    world
        .settings
        .retain(|(name, _)| name != "ALIBABA_CLOUD_REGION_ID");
    let file = world.write(
        "left.json",
        left(&json!({"regions": ["cn-hangzhou"], "version": 1})),
    );
    let output = world.run(&sweep(&["--resume", &file])).await;
    check(&output, 0, "swept 3 instances in 1 region: 3 stored", "");
    assert!(!world.path("left.json").exists(), "it is done");
    // Without a file there is nothing that names a region.
    let output = world.run(&sweep(&["--resume", &file])).await;
    check(&output, 2, "", "no region: give --region");
    let output = world
        .run(&sweep(&["--region", "cn-hangzhou,cn-beijing"]))
        .await;
    check(&output, 0, " in 2 regions: ", "");
}

#[tokio::test]
async fn the_file_of_another_region_than_the_environments_goes_on_with_its_own() {
    let world = world(1).await;
    let file = world.write(
        "left.json",
        left(&json!({"regions": ["cn-beijing"], "version": 1})),
    );
    let output = world.run(&sweep(&["--resume", &file])).await;
    check(&output, 0, "in 1 region", "");
    assert_eq!(world.stored(), 0, "the instance is in cn-hangzhou");
    let file = world.write(
        "left.json",
        left(&json!({"regions": ["cn-beijing"], "version": 1})),
    );
    let output = world
        .run(&sweep(&["--resume", &file, "--region", "cn-hangzhou"]))
        .await;
    check(&output, 2, "", "it is of a sweep over other regions");
}

#[tokio::test]
async fn a_sweep_past_all_regions_swept_nothing_and_says_so() {
    let world = world(1).await;
    let resume = json!({"region_id": "zz-zz", "next_token": "t"});
    let event = left(&json!({"all_regions": true, "version": 1, "resume": resume}));
    let file = world.write("left.json", &event);
    let output = world
        .run(&sweep(&["--all-regions", "--resume", &file]))
        .await;
    check(&output, 1, "", "nothing was swept");
    check(&output, 1, "", &format!("remove {file} to begin anew"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), event, "it stays");
}

#[tokio::test]
async fn what_an_unfinished_sweep_did_is_not_told_as_regions_that_are_done() {
    let world = world(20).await;
    let file = world.text_of("left.json");
    let slow = [
        "sweep",
        "--per-second",
        "2",
        "--timeout",
        "2",
        "--resume",
        &file,
    ];
    let output = world.run(&slow).await;
    check(
        &output,
        1,
        " so far, 0 regions completely: ",
        "timed out after 2 s",
    );
    assert!(!text(&output.stdout).contains("in 0 regions"));
}

fn event(world: &World, index: usize) -> String {
    let event = json!({"instance_id": format!("i-a{index}")});
    world.write(&format!("event{index}.json"), event.to_string())
}

#[tokio::test]
async fn a_file_that_is_not_there_does_not_keep_the_others_from_being_served() {
    let world = world(3).await;
    let (first, second, third) = (event(&world, 0), event(&world, 1), event(&world, 2));
    let (missing, folder) = (world.text_of("missing.json"), world.text_of(""));
    let fifo = world.fifo("fifo");
    let bad = world.write("bad.json", "# not an event");
    let files = [
        "invoke",
        &first,
        &missing,
        &second,
        &folder,
        &fifo,
        &bad,
        "/dev/zero",
        &third,
    ];
    let output = world.run(&files).await;
    check(
        &output,
        2,
        "InvalidEvent",
        &format!("{missing}: No such file"),
    );
    check(
        &output,
        2,
        &third,
        &format!("{folder}: it is a folder, not a file"),
    );
    check(
        &output,
        2,
        &third,
        &format!("{fifo}: it is a FIFO, not a file"),
    );
    check(&output, 2, &third, "/dev/zero: it is a device, not a file");
    assert_eq!(world.stored(), 3);
}

#[tokio::test]
async fn what_a_shell_substitutes_for_a_file_is_read() {
    let world = world(1).await;
    let program = program("console-archive").display().to_string();
    let script = format!("{program} invoke <(echo '{{\"instance_id\": \"i-a0\"}}')");
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &script])
        .env_clear()
        .envs(world.settings.iter().cloned());
    bash.env("PATH", std::env::var("PATH").unwrap());
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await;
    let output = checked(output.unwrap());
    check(&output, 0, "stored file:///", "");
}

/// With nobody who reads what it prints, on standard error either.
async fn unread(world: &World, arguments: &[&str]) -> Option<i32> {
    let mut command = std::process::Command::new(program("console-archive"));
    command.env_clear().envs(world.settings.iter().cloned());
    command.args(arguments).stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        checked(command.output().unwrap())
    });
    output.await.unwrap().status.code()
}

#[tokio::test]
async fn work_that_nobody_reads_about_is_done_to_its_end_and_its_code_says_how() {
    let mut world = world(3).await;
    world
        .settings
        .extend(settings(&[("FAILED_EVENTS", "archive")]));
    let files = [event(&world, 0), event(&world, 1), event(&world, 2)];
    let bad = world.write("bad.json", "# not an event");
    let invoke = [
        "invoke",
        &files[0],
        &bad,
        &files[1],
        "no-such-file",
        &files[2],
    ];
    assert_eq!(unread(&world, &invoke).await, Some(2), "an event is wrong");
    assert_eq!(world.stored(), 3);
    // An instance that fails, among some that do not.
    let refused = ecs_console_archiver::simulator::Console::Error {
        status: 403,
        code: "Forbidden.RAM".to_owned(),
    };
    for (index, console) in [(3, refused), (4, output(b"text\n", TIME))] {
        let id = ecs_console_archiver::model::ids::InstanceId::parse(&format!("i-a{index}"));
        world.simulator.set_console(&id.unwrap(), console);
    }
    assert_eq!(unread(&world, &["capture", "i-a3"]).await, Some(1));
    let region = ["--region", "cn-hangzhou"];
    assert_eq!(
        unread(&world, &sweep(&region)).await,
        Some(1),
        "an instance failed"
    );
    assert_eq!(world.stored(), 4);
    // Failed events, of which one fails again.
    let failing: Vec<_> = [3, 5, 6]
        .map(|index| {
            let path = format!("failing{index}.json");
            world.write(&path, starting(&format!("i-a{index}")))
        })
        .into();
    for file in &failing {
        world.simulator.plan_faults(&"fail*1000".parse().unwrap());
        let arguments = ["invoke", file, "--timeout", "1"];
        assert_eq!(unread(&world, &arguments).await, Some(1));
        world.simulator.clear_faults();
    }
    let failed = || names_in(&world.path("archive/failed"), ".json.meta.json").len();
    assert_eq!(failed(), 3);
    for index in [5, 6] {
        set_console(&world.simulator, &format!("i-a{index}"), b"text\n", TIME);
    }
    assert_eq!(
        unread(&world, &["redrive"]).await,
        Some(1),
        "one failed again"
    );
    assert_eq!((world.stored(), failed()), (6, 1));
}

#[tokio::test]
async fn what_doctor_finds_is_in_its_exit_code_though_nobody_reads_it() {
    let mut world = world(0).await;
    let secret = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
    world.settings.retain(|(name, _)| name != secret);
    world
        .settings
        .extend(settings(&[(secret, "wrong-and-must-not-show")]));
    for output in ["text", "json"] {
        let arguments = ["doctor", "--output", output];
        assert_eq!(unread(&world, &arguments).await, Some(1), "{output}");
    }
}

#[tokio::test]
async fn a_path_in_place_of_the_archives_address_is_answered_with_the_address() {
    for (written, told) in [
        (
            "/tmp/my archive",
            "\"/tmp/my archive\" has no scheme; write file:///tmp/my%20archive for",
        ),
        (
            "archive",
            "\"archive\" has no scheme; expected s3://bucket/prefix",
        ),
        ("./archive", "file:///folder, with the whole path"),
        (
            "s3://[",
            "\"s3://[\" is not an address (invalid IPv6 address); expected",
        ),
    ] {
        let output = cli(&settings(&[("ARCHIVE_URL", written)]), &["list"]).await;
        check(&output, 2, "", told);
        let output = cli(&Settings::new(), &["list", "--archive-url", written]).await;
        check(&output, 2, "", told);
    }
}

#[tokio::test]
async fn an_instance_that_ecs_does_not_know_is_warned_of_and_leaves_one_marker_a_day() {
    let world = world(0).await;
    for arguments in [&[][..], &["--region", "cn-beijing"]] {
        let region = arguments.last().unwrap_or(&"cn-hangzhou");
        let warning = format!("warning: ECS knows no such instance in {region}: check the ID");
        let output = world
            .run(&[&["capture", "i-typo"], arguments].concat())
            .await;
        check(&output, 3, "no console of i-typo", &warning);
    }
    for _ in 0..3 {
        let output = world.run(&["capture", "i-typo"]).await;
        check(&output, 3, "", "i-typo/");
    }
    let markers = names_in(&world.path("archive/i-typo"), ".none.json");
    assert!(
        markers
            .iter()
            .all(|name| name.contains("T000000Z-not_found-")),
        "{markers:?}"
    );
    let days: std::collections::BTreeSet<_> = markers.iter().map(|name| &name[..8]).collect();
    // One for each region, on each of the days that this test ran on.
    assert!(markers.len() <= 2 * days.len(), "{markers:?}");
}

#[tokio::test]
async fn doctor_warns_where_the_instance_that_was_named_is_not_there() {
    let world = world(1).await;
    let json = ["--output", "json"];
    for (arguments, verdict, found) in [
        (
            &["--instance-id", "i-typo"][..],
            "warning",
            "ECS knows no instance i-typo in cn-hangzhou",
        ),
        (&["--instance-id", "i-a0"], "ok", "5 bytes of i-a0"),
        (&[], "ok", "ECS accepts the key and the signature"),
    ] {
        let output = world.run(&[&["doctor"], arguments, &json].concat()).await;
        check(&output, 0, found, "");
        let diagnosis: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(diagnosis["verdict"], verdict, "{diagnosis:#}");
    }
}

/// What a guest may write: it erases the screen, sets titles, turns wrapping off, goes back, hides
/// text, and writes over its own.
const HOSTILE: &[u8] = b"\x1bc\x1b[?7l\x1b[2J\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07first\r\n\
    \x9b31mraw\x9b0m \xc2\x9b2J\r\n\x1b[8mhidden\x1b[0m \xe2\x80\xaereversed\r\n\
    \x1b[31mKernel panic - not syncing\x1b[0m\r\n10%\r20%\r30%\r\n\x00\x00\xff\x7f\x1bP1$r\x1b\\last\r\n";

#[tokio::test]
async fn rendered_through_a_pipe_no_byte_of_the_guest_acts_and_no_text_is_lost() {
    let world = world(0).await;
    set_console(&world.simulator, "i-a0", HOSTILE, TIME);
    check(&world.run(&["capture", "i-a0"]).await, 0, "stored", "");
    let raw = world.run(&["get", "i-a0"]).await;
    assert_eq!(
        raw.stdout, HOSTILE,
        "a pipe gets the guest's bytes unless asked otherwise"
    );
    let rendered = world.run(&["get", "i-a0", "--rendered"]).await;
    check(&rendered, 0, "Kernel panic - not syncing\n", "");
    let shown = text(&rendered.stdout);
    let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!shown.contains(acts), "{shown:?}");
    for part in ["first\n", "raw", "hidden", "reversed", "30%", "last\n"] {
        assert!(shown.contains(part), "{part:?} in {shown:?}");
    }
    // Its colours are the program's own.
    let colored = ["get", "i-a0", "--rendered", "--color", "always"];
    let colored = text(&world.run(&colored).await.stdout);
    assert!(colored.contains("\x1b[31mKernel panic"), "{colored:?}");
    for sequence in colored.split('\x1b').skip(1) {
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        assert!(
            sequence.starts_with('[') && sequence[end..].starts_with('m'),
            "{sequence:?}"
        );
    }
    for other in [&["--raw"][..], &["--output", "json"]] {
        let output = world
            .run(&[&["get", "i-a0", "--rendered"], other].concat())
            .await;
        check(&output, 2, "", "cannot be used with");
    }
}

#[tokio::test]
async fn a_pager_a_search_and_a_tail_take_what_is_rendered() {
    let world = world(0).await;
    set_console(&world.simulator, "i-a0", HOSTILE, TIME);
    check(&world.run(&["capture", "i-a0"]).await, 0, "stored", "");
    let get = format!(
        "{} get i-a0 --rendered",
        program("console-archive").display()
    );
    for (command, expected) in [
        ("grep -c 'Kernel panic'", "1\n"),
        ("head -n 1", "first\n"),
        ("tail -n 1 | grep -o last", "last\n"),
        ("grep -n first", "1:first\n"),
    ] {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-o", "pipefail", "-c", &format!("{get} | {command}")]);
        bash.env_clear().envs(world.settings.iter().cloned());
        bash.env("PATH", std::env::var("PATH").unwrap());
        let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await;
        let output = checked(output.unwrap());
        check(&output, 0, expected, "");
        assert_eq!(text(&output.stdout), expected, "{command}");
    }
}

/// What a person sees in a terminal, of both streams; lines may be wrapped, so all is on one.
async fn on_a_terminal(settings: &Settings, arguments: &str) -> (Option<i32>, String) {
    let command = format!("{} {arguments}", program("console-archive").display());
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]);
    script.env_clear().envs(settings.iter().cloned());
    script.env("PATH", std::env::var("PATH").unwrap());
    script.stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || script.output().unwrap()).await;
    let output = checked(output.unwrap());
    let shown = text(&output.stdout);
    let words: Vec<_> = shown.split_whitespace().collect();
    (output.status.code(), words.join(" "))
}

/// Where a command works for long, it says how far it has come, in numbers that somebody can read at a glance.
#[tokio::test]
async fn on_a_terminal_progress_is_told_in_whole_numbers() {
    let mut placed = Kept::of(60).with_catalog().place(Place::Folder).await;
    placed
        .settings
        .push(("TERM".to_owned(), "xterm".to_owned()));
    for (command, counted) in [
        ("verify", "objects checked"),
        ("reindex", "records and markers"),
        (
            "copy --to file:///nowhere/at/all --dry-run",
            "objects compared, 0 B copied",
        ),
    ] {
        let (_, shown) = on_a_terminal(&placed.settings, command).await;
        let rates: Vec<_> = shown
            .split(&format!("{counted}, "))
            .skip(1)
            .filter_map(|after| after.split_once("/s"))
            .collect();
        assert!(!rates.is_empty(), "{command}: {shown}");
        let is_whole = |rate: &str| {
            rate.bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b',')
        };
        assert!(
            rates.iter().all(|(rate, _)| is_whole(rate)),
            "{command}: {shown}"
        );
    }
}

#[tokio::test]
async fn on_a_terminal_each_result_is_told_once() {
    let world = world(1).await;
    let good = event(&world, 0);
    let bad = world.write("bad.json", "# not an event");
    let (code, shown) = on_a_terminal(&world.settings, &format!("invoke {good} {bad}")).await;
    assert_eq!(code, Some(2), "{shown}");
    for once in ["stored file:///", "the event is not JSON"] {
        assert_eq!(shown.matches(once).count(), 1, "{once:?} in {shown}");
    }
    // What is no result is told as ever.
    set_console(&world.simulator, "i-a0", b"other\n", "an hour ago");
    let (_, shown) = on_a_terminal(&world.settings, &format!("invoke {good}")).await;
    assert!(shown.contains("LastUpdateTime is unreadable"), "{shown}");
}

#[tokio::test]
async fn on_a_terminal_what_followed_an_answer_is_told_once() {
    let mut world = world(1).await;
    world
        .settings
        .extend(settings(&[("FOLLOW_SECONDS", "3600")]));
    let push = json!({
        "version": "2.0", "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": starting("i-a0"), "isBase64Encoded": false,
    });
    let file = world.write("push.json", push.to_string());
    let arguments = format!("invoke {file} --timeout 3");
    let (code, shown) = on_a_terminal(&world.settings, &arguments).await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(shown.matches(" stored file:///").count(), 1, "{shown}");
}

#[tokio::test]
async fn a_log_line_has_no_empty_values() {
    let world = world(1).await;
    let output = world.run(&["invoke", &event(&world, 0)]).await;
    check(&output, 0, "stored", " INFO stored file:///");
    let told = text(&output.stderr);
    assert!(
        told.contains("cause=manual") && !told.contains("event_id="),
        "{told}"
    );
}

#[tokio::test]
async fn what_lambda_would_set_and_did_not_is_named_at_the_start_without_a_panic() {
    let world = world(0).await;
    let aws = ["API", "NAME", "VERSION", "MEMORY"];
    let set = |values: [&str; 4]| {
        let names = [
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        ];
        let given = std::iter::zip(names, values).filter(|(_, value)| !aws.contains(value));
        let mut all = world.settings.clone();
        all.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
        all
    };
    let here = "127.0.0.1:1";
    for (values, told) in [
        (
            [here, "NAME", "1", "128"],
            "AWS_LAMBDA_FUNCTION_NAME: not set; AWS Lambda sets it",
        ),
        (
            [here, "f", "VERSION", "128"],
            "AWS_LAMBDA_FUNCTION_VERSION: not set; AWS Lambda sets it",
        ),
        (
            [here, "f", "1", "MEMORY"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE: not set; AWS Lambda sets it",
        ),
        (
            [here, "f", "1", "a lot"],
            "\"a lot\" is not a number of MiB",
        ),
        (
            ["not an address", "f", "1", "128"],
            "\"not an address\" is not an address such as",
        ),
        (
            ["/2018-06-01", "f", "1", "128"],
            "\"/2018-06-01\" is not an address such as",
        ),
        (
            [":::", "f", "1", "128"],
            "\":::\" is not an address such as",
        ),
    ] {
        let mut bootstrap = std::process::Command::new(program("bootstrap"));
        bootstrap.env_clear().envs(set(values));
        let output = tokio::task::spawn_blocking(move || bootstrap.output().unwrap()).await;
        let output = checked(output.unwrap());
        check(&output, 1, "", "cannot start: ");
        check(&output, 1, "", told);
    }
}

#[tokio::test]
async fn the_help_of_a_command_has_no_option_that_means_nothing_to_it() {
    for (command, has_any) in [
        ("simulate", false),
        ("completions", false),
        ("man", false),
        ("list", true),
        ("capture", true),
    ] {
        for help in [
            &[command, "--help"][..],
            &[command, "-h"],
            &["help", command],
        ] {
            let output = cli(&Settings::new(), help).await;
            check(&output, 0, "Usage: ", "");
            let shown = text(&output.stdout);
            for option in ["--archive-url", "--output", "--timeout"] {
                assert_eq!(shown.contains(option), has_any, "{option} in {shown}");
            }
        }
    }
    for command in ["capture", "doctor"] {
        let shown = text(&cli(&Settings::new(), &[command, "--help"]).await.stdout);
        assert!(!shown.contains("where the event names none"), "{shown}");
    }
}
