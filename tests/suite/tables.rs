//! What one sees of the archive: tables at every width of a terminal, times by one clock, the same
//! names in the JSON of every command.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::printed::checked;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
const PLAIN: &[u8] = b"[    0.0] Linux version\r\n[    1.0] one\r\n[    2.0] two\r\n";

/// An archive with a console of an event and one by hand, a marker and a failed event.
struct World {
    simulator: ecs_console_archiver::simulator::Simulator,
    _folder: tempfile::TempDir,
    settings: Settings,
}

async fn world() -> World {
    let simulator = bare_simulator(ecs_credentials()).await;
    let (folder, settings) = archive_folder(&simulator);
    let event = folder.path().join("event.json");
    let invoke = async |event_text: String| {
        std::fs::write(&event, event_text).unwrap();
        let arguments = ["invoke", event.to_str().unwrap(), "--timeout", "1"];
        cli(&settings, &arguments).await.status.code()
    };
    // The event is of 02:04:41Z.
    set_console(&simulator, ID, PLAIN, "2024-03-22 10:04:57");
    assert_eq!(invoke(starting(ID)).await, Some(0));
    set_console(&simulator, ID, b"by hand\n", "2024-03-23T02:00:00+08:00");
    let capture = cli(&settings, &["capture", ID]).await;
    assert_eq!(capture.status.code(), Some(0));
    set_console(&simulator, "i-a2", b"", "2024-03-22 10:04:57");
    assert_eq!(invoke(starting("i-a2")).await, Some(0));
    simulator.plan_faults(&"fail*1000".parse().unwrap());
    assert_eq!(invoke(starting("i-a3")).await, Some(1));
    simulator.clear_faults();
    World {
        simulator,
        _folder: folder,
        settings,
    }
}

impl World {
    async fn run(&self, arguments: &[&str]) -> Output {
        cli(&self.settings, arguments).await
    }

    async fn text(&self, arguments: &[&str]) -> String {
        text(&self.run(arguments).await.stdout)
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_slice(&self.run(&arguments).await.stdout).unwrap()
    }

    /// On a terminal with so many columns; with 0 it does not say how many it has.
    async fn on_a_terminal(&self, columns: usize, arguments: &str) -> String {
        let program = program("console-archive");
        let command = format!(
            "stty cols {columns} rows 50; {} {arguments}",
            program.display()
        );
        let mut script = Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .env_clear()
            .envs(self.settings.iter().cloned())
            .env("PATH", std::env::var("PATH").unwrap())
            .env("TERM", "xterm")
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || script.output().unwrap()).await;
        text(&checked(output.unwrap()).stdout).replace("\r\n", "\n")
    }
}

/// Without the colours, and what a progress bar showed and took away again.
fn plain(shown: &str) -> String {
    let line = |line: &str| {
        let line = line.rsplit('\r').next().unwrap();
        let mut plain = String::new();
        let mut rest = line;
        while let Some((before, sequence)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            rest = &sequence[end + 1..];
        }
        plain + rest
    };
    shown.lines().map(|shown| line(shown) + "\n").collect()
}

#[tokio::test]
async fn at_every_width_every_word_is_whole_and_no_line_is_wider_than_the_terminal() {
    let world = world().await;
    for command in [
        "list",
        &format!("list {ID}"),
        &format!("boots {ID}"),
        "doctor",
        "redrive --dry-run",
        "sweep --region cn-hangzhou",
        "explain --no-pager",
        "explain root-not-mounted --no-pager",
        &format!("findings {ID} --no-pager"),
    ] {
        let arguments: Vec<_> = command.split(' ').collect();
        let piped = world.text(&arguments).await;
        for columns in [40, 80, 120] {
            let shown = plain(&world.on_a_terminal(columns, command).await);
            for word in piped.split_whitespace().filter(|word| *word != "-") {
                let is_left_out = ["INSTANCE", ID, "TO", "DO", "LOGIN", "FINDINGS"].contains(&word);
                let is_whole = shown.split_whitespace().any(|shown| shown == word);
                assert!(is_whole || is_left_out, "{columns}: {word} in\n{shown}");
            }
            for line in shown.lines() {
                let is_a_word = line.split_whitespace().count() == 1;
                assert!(
                    line.chars().count() <= columns || is_a_word,
                    "{columns}: {line:?}\n{shown}"
                );
            }
        }
        let shown = plain(&world.on_a_terminal(0, command).await);
        assert_eq!(shown, piped, "{command}: without a width, as in a pipe");
    }
}

#[tokio::test]
async fn what_a_count_of_changes_says_of_the_logs_fits_the_terminal() {
    let world = world().await;
    let write = |name: &str, release: &str| {
        let path = world._folder.path().join(name);
        let line = format!("[    0.000000] Linux version {release} (a@b) (gcc) #1 SMP\r\n");
        std::fs::write(&path, line).unwrap();
        path.display().to_string()
    };
    let (a, b) = (
        write("a.log", "6.1.0-13-cloud-amd64"),
        write("b.log", "6.8.0-40-generic"),
    );
    let command = format!("diff {a} {b} --stat --no-pager");
    let shown = plain(&world.on_a_terminal(40, &command).await);
    let notes: Vec<_> = (shown.lines())
        .filter_map(|line| line.strip_prefix("# "))
        .collect();
    let told = "the kernels differ: 6.1.0-13-cloud-amd64 and 6.8.0-40-generic";
    assert!(notes.join(" ").contains(told), "{shown}");
    for note in notes {
        assert!(note.chars().count() <= 38, "{note:?}\n{shown}");
    }
}

/// A row of a fleet's findings has too many columns for most terminals.
#[tokio::test]
async fn on_a_narrow_terminal_a_finding_of_the_fleet_is_told_in_three_lines() {
    let world = world().await;
    for (at, log) in [
        (
            "2024-03-24 10:04:57",
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n",
        ),
        (
            "2024-03-25 10:04:57",
            "[FAILED] Failed to start nginx.service - A web server.\n",
        ),
    ] {
        set_console(&world.simulator, ID, log.as_bytes(), at);
        assert!(world.run(&["capture", ID]).await.status.success());
    }
    let since = ["findings", "--since", "-1d"];
    let shown = plain(&world.on_a_terminal(80, &since.join(" ")).await);
    // What is said to the standard error stands before it.
    let shown = &shown[shown.find("fatal").unwrap()..];
    let blocks: Vec<_> = shown.split("\n\n").collect();
    let is_whole = |block: &&str| {
        let lines: Vec<_> = block.trim_end().lines().collect();
        lines.len() == 3 && lines.iter().all(|line| line.chars().count() <= 80)
    };
    assert!(blocks.len() == 2 && blocks.iter().all(is_whole), "{shown}");
    let first =
        "fatal      The kernel cannot mount its root file system\n           root-not-mounted";
    assert!(shown.starts_with(first), "{shown}");
    let piped = world.text(&since).await;
    assert_eq!(piped.lines().count(), blocks.len() + 1, "{piped}");
}

#[tokio::test]
async fn a_verdict_has_its_colour_where_colours_are_asked_for() {
    let world = world().await;
    let green = "\x1b[32mok\x1b[0m";
    assert!(world.on_a_terminal(120, "doctor").await.contains(green));
    for arguments in ["doctor --color never", "--color never doctor"] {
        let shown = world.on_a_terminal(120, arguments).await;
        assert!(
            !shown.contains('\x1b') && shown.contains("  ok  "),
            "{shown}"
        );
    }
    let always = world.text(&["doctor", "--color", "always"]).await;
    assert!(always.contains(green), "{always}");
    let mut without = World { ..world };
    without.settings.push(("NO_COLOR".into(), "1".into()));
    let shown = without.on_a_terminal(120, "doctor").await;
    assert!(!shown.contains('\x1b'), "{shown}");
    let always = without.text(&["doctor", "--color", "always"]).await;
    assert!(always.contains(green), "the option counts more: {always}");
}

#[tokio::test]
async fn colours_are_asked_for_apart_from_the_form() {
    let simulator = bare_simulator(ecs_credentials()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    let red = "\x1b[31mred\x1b[0m\x1b]0;title\x07\r\n";
    set_console(&simulator, ID, red.as_bytes(), "2024-03-22 10:04:57");
    assert_eq!(
        cli(&settings, &["capture", ID]).await.status.code(),
        Some(0)
    );
    for (form, printed) in [
        (&[][..], red),
        (&["--color", "always"], red),
        (&["--raw", "--color", "never"], red),
        (&["--rendered"], "red\n"),
        (&["--rendered", "--color", "always"], "\x1b[31mred\x1b[0m\n"),
    ] {
        let output = cli(&settings, &[&["get", ID], form].concat()).await;
        assert_eq!(text(&output.stdout), printed, "{form:?}");
    }
}

#[tokio::test]
async fn every_time_says_its_zone_and_all_of_them_the_same() {
    let world = world().await;
    let row = |table: &str, of: &str| {
        let line = table.lines().find(|line| line.contains(of)).unwrap();
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect::<Vec<_>>()
    };
    let list = world.text(&["list", ID]).await;
    // ECS named no zone, and the time could be one of UTC.
    assert_eq!(row(&list, "20240322T100457-")[2], "2024-03-22 02:04:57Z?");
    // ECS named the zone, in what only the metadata have.
    assert_eq!(row(&list, "20240323T020000-")[2], "2024-03-22 18:00:00Z");
    assert!(row(&list, "20240323T020000-")[3].ends_with('Z'));
    let shanghai = world
        .text(&["list", ID, "--time-zone", "Asia/Shanghai"])
        .await;
    assert_eq!(
        row(&shanghai, "20240322T100457-")[2],
        "2024-03-22 10:04:57+08:00?"
    );
    assert!(row(&shanghai, "20240323T020000-")[3].ends_with("+08:00"));
    let all = world.text(&["list", "--time-zone", "-05:00"]).await;
    assert!(row(&all, "i-a2")[1].ends_with("-05:00"));
    let failed = world.text(&["redrive", "--dry-run"]).await;
    assert!(
        row(&failed, "/failed/EcsUnavailable-")[1].ends_with('Z'),
        "{failed}"
    );
    let unknown = world.run(&["list", "--time-zone", "Mars/Olympus"]).await;
    let told = text(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        told.contains("not a time zone") && told.contains("Asia/Shanghai"),
        "{told}"
    );
    // ECS's own text stays in JSON.
    let json = world.json(&["list", ID]).await;
    assert_eq!(json[0]["last_update_time"], "2024-03-22 10:04:57");
    assert_eq!(json[0]["updated_at"], "2024-03-22T02:04:57Z");
    assert_eq!(json[0]["is_updated_at_certain"], false);
    assert_eq!(json[1]["last_update_time"], "2024-03-23T02:00:00+08:00");
    assert_eq!(json[1]["is_updated_at_certain"], true);
}

#[tokio::test]
async fn a_time_that_could_not_be_utc_has_no_question_mark() {
    let world = world().await;
    let in_beijing = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(8);
    let reported = in_beijing.strftime("%Y-%m-%d %H:%M:%S").to_string();
    set_console(&world.simulator, "i-a4", b"now\n", &reported);
    world.run(&["capture", "i-a4"]).await;
    let list = world.text(&["list", "i-a4"]).await;
    let line = list.lines().find(|line| line.contains("i-a4")).unwrap();
    assert!(!line.contains('?'), "{line}");
}

#[tokio::test]
async fn a_listing_of_an_instance_says_why_how_good_and_how_long() {
    let world = world().await;
    let list = world.text(&["list", ID]).await;
    let heading = list.lines().next().unwrap();
    for column in ["CAUSE", "FRESHNESS", "CONSOLE BYTES"] {
        assert!(heading.contains(column), "{heading}");
    }
    let line = |name: &str| {
        list.lines()
            .find(|line| line.contains(name))
            .unwrap()
            .to_owned()
    };
    let of_an_event = line("20240322T100457-");
    let size = format!(
        "  Starting  taken at once, not followed  {:>13}",
        PLAIN.len()
    );
    assert!(of_an_event.ends_with(&size), "{of_an_event:?}");
    assert!(
        line("20240323T020000-").contains("  manual    -  "),
        "{list}"
    );
    let markers = world.text(&["list", "i-a2"]).await;
    assert!(
        markers.contains("none: empty") && markers.contains("  Starting  "),
        "{markers}"
    );
    let all = world.text(&["list"]).await;
    let of_fleet = "CAPTURED CAUSE ENDED FRESHNESS CONSOLE BYTES RECORD";
    let heading: Vec<_> = all.lines().next().unwrap().split_whitespace().collect();
    assert!(heading.join(" ").ends_with(of_fleet), "{all}");
    let json = world.json(&["list", ID]).await;
    for (name, value) in [
        ("event_cause", json!("Starting")),
        ("freshness", json!("partial")),
        ("console_bytes", json!(PLAIN.len())),
        ("region_id", json!("cn-hangzhou")),
        ("event_time", json!("2024-03-22T02:04:41Z")),
    ] {
        assert_eq!(json[0][name], value, "{name}");
    }
    let marker = &world.json(&["list", "i-a2"]).await[0];
    assert_eq!(
        (&marker["reason"], &marker["event_cause"]),
        (&json!("empty"), &json!("Starting"))
    );
}

#[tokio::test]
async fn a_listing_is_cut_to_the_time_that_is_asked_for() {
    let world = world().await;
    for (arguments, rows) in [
        (&["--since", "2024-03-22"][..], 2),
        (&["--until", "2024-03-22"], 2),
        (&["--since", "2024-03-22 02:04:57Z"], 2),
        (&["--since", "2024-03-22 02:04:58Z"], 1),
        (&["--until", "2024-03-22 02:04"], 1),
        (&["--until", "2024-03-22 10:04", "--time-zone", "+08:00"], 1),
        (&["--since", "2024-03-23", "--time-zone", "+08:00"], 1),
        (
            &[
                "--since",
                "2024-03-22 02:04:50Z",
                "--until",
                "2024-03-22 03Z",
            ],
            1,
        ),
        (&["--since", "2025"], 0),
    ] {
        let listed = world.json(&[&["list", ID], arguments].concat()).await;
        assert_eq!(
            listed.as_array().unwrap().len(),
            rows,
            "{arguments:?} {listed:#}"
        );
    }
    let wrong = world
        .run(&["list", "--since", "2025", "--until", "2024"])
        .await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("--until is before --since"));
    let none = world.run(&["list", ID, "--since", "2025"]).await;
    let told = text(&none.stderr);
    assert_eq!(none.status.code(), Some(3));
    let expected = format!("no records of {ID} in that time; there are 2 outside of it");
    assert!(told.contains(&expected), "{told}");
}

#[tokio::test]
async fn where_nothing_matches_it_does_not_say_that_nothing_is_there() {
    let world = world().await;
    for (filter, of) in [
        (
            &["--instance", "i-xx*"][..],
            "none of the 3 captures in file:///",
        ),
        (
            &["--cause", "Stopping"],
            "none of the 3 captures in file:///",
        ),
        (
            &["--outcome", "pruned"],
            "none of the 3 captures in file:///",
        ),
        (
            &["--ending", "panic", "--since", "-1h"],
            "none of the 3 captures of that time in file:///",
        ),
        (&["--until", "2020"], "no records of that time in file:///"),
    ] {
        let none = world.run(&[&["list"], filter].concat()).await;
        let told = text(&none.stderr);
        assert_eq!(none.status.code(), Some(3), "{told}");
        assert!(told.contains(of), "{filter:?}: {told}");
    }
    let count = async |filter: &[&str]| world.text(&[&["list", "--count"], filter].concat()).await;
    assert_eq!(count(&["--cause", "starting"]).await, "2\n", "in any case");
    assert_eq!(count(&["--outcome", "stored,no_console"]).await, "3\n");
    assert_eq!(count(&["--since", "1h"]).await, "3\n", "an hour ago");
}

/// A line that a terminal breaks cannot be pasted.
#[tokio::test]
async fn examples_of_the_help_fit_80_columns() {
    let world = world().await;
    let examples = |help: &str| {
        let (_, examples) = help.split_once("Examples:\n")?;
        let examples = examples.lines().take_while(|line| !line.is_empty());
        Some(examples.map(str::to_owned).collect::<Vec<_>>())
    };
    let help = world.text(&["--help"]).await;
    let (_, commands) = help.split_once("Read consoles back:\n").unwrap();
    let (commands, _) = commands.split_once("Options:\n").unwrap();
    let commands = commands.lines().filter(|line| line.starts_with("  "));
    let commands = commands.map(|line| line.split_whitespace().next().unwrap());
    let mut count = 0;
    for command in commands {
        let wide = examples(&world.text(&[command, "--help"]).await);
        let narrow = world.on_a_terminal(80, &format!("{command} --help")).await;
        assert_eq!(examples(&plain(&narrow)), wide, "{command}");
        count += usize::from(wide.is_some());
        for line in wide.into_iter().flatten() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
    assert!(count > 15, "{count} commands have examples");
}

#[tokio::test]
async fn get_takes_the_times_and_names_that_list_shows() {
    let world = world().await;
    for (at, name) in [
        ("yesterday", "20240323T020000-"),
        ("-1h", "20240323T020000-"),
    ] {
        let got = world.json(&["get", ID, "--at", at]).await;
        assert!(got["name"].as_str().unwrap().starts_with(name), "{got}");
    }
    let listed = world.text(&["list", ID]).await;
    for line in listed.lines().skip(1) {
        let cells: Vec<_> = line.split("  ").filter(|cell| !cell.is_empty()).collect();
        let by_name = world.json(&["get", ID, "--at", cells[1].trim()]).await;
        let by_time = world.json(&["get", ID, "--at", cells[2].trim()]).await;
        assert_eq!(by_name, by_time, "{cells:?}");
        assert_eq!(by_name["name"], cells[1].trim());
    }
}

#[tokio::test]
async fn get_prints_the_last_lines_only_where_it_is_asked_to() {
    let world = world().await;
    let tail = world.run(&["get", ID, "--previous", "--tail", "2"]).await;
    assert_eq!(text(&tail.stdout), "[    1.0] one\r\n[    2.0] two\r\n");
    let json = world.json(&["get", ID, "--previous", "--tail", "1"]).await;
    assert_eq!(json["console"], "[    2.0] two\r\n");
    assert_eq!(json["console_bytes"], PLAIN.len(), "of the whole");
    let shown = world
        .on_a_terminal(80, &format!("get {ID} --previous --tail 1"))
        .await;
    let (heading, console) = shown.split_once("\n[").unwrap();
    assert!(
        heading.lines().all(|line| line.starts_with("# ")),
        "{heading}"
    );
    let heading = heading.replace("\n# ", " ");
    for word in [
        "2024-03-22 02:04:57Z?",
        "Starting",
        "taken at once, not followed",
    ] {
        assert!(heading.contains(word), "{heading}");
    }
    assert_eq!(console, "    2.0] two\n");
}

/// The function's answers, listings, consoles and failed events.
#[tokio::test]
async fn in_json_one_thing_has_one_name_in_every_command() {
    let world = world().await;
    let answer = world.json(&["capture", ID]).await;
    let listed = &world.json(&["list", ID]).await[1];
    let of_all = world.json(&["list"]).await;
    let of_all = of_all
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["key"] == answer["key"]);
    let of_all = of_all.unwrap();
    let got = world.json(&["get", ID]).await;
    let failed = &world.json(&["redrive", "--dry-run"]).await[0];
    for name in [
        "instance_id",
        "key",
        "url",
        "last_update_time",
        "console_bytes",
        "gzip_bytes",
    ] {
        assert!(!answer[name].is_null(), "{name}: {answer}");
        assert_eq!(
            (&listed[name], &got[name]),
            (&answer[name], &answer[name]),
            "{name}"
        );
    }
    for name in [
        "instance_id",
        "name",
        "key",
        "url",
        "gzip_bytes",
        "console_bytes",
        "event_cause",
        "updated_at",
    ] {
        assert_eq!(
            (&of_all[name], &got[name]),
            (&listed[name], &listed[name]),
            "{name}"
        );
    }
    for name in ["key", "url", "stored_at", "error_type"] {
        assert!(failed[name].is_string(), "{name}: {failed}");
    }
    for old in ["none", "verdict"] {
        assert!(listed.get(old).is_none() && got.get(old).is_none(), "{old}");
    }
}

/// `list` is asked right after, so that both are about the same record.
#[tokio::test]
async fn a_freshness_has_the_same_words_where_it_is_stored_and_where_it_is_listed() {
    for (follow_seconds, updated, words) in [
        (
            "0",
            "2024-03-22 10:05:00",
            "partial: taken at once, not followed",
        ),
        ("0", "2024-03-22 10:00:00", "stale: from before the event"),
        ("1", "2024-03-22 10:00:00", "stale: from before the event"),
    ] {
        let simulator = bare_simulator(ecs_credentials()).await;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = ecs_settings(&simulator);
        settings.extend(folder_settings(folder.path()));
        settings.push(("FOLLOW_SECONDS".into(), follow_seconds.into()));
        set_console(&simulator, ID, b"words\n", updated);
        let event = folder.path().join("event.json");
        std::fs::write(&event, starting(ID)).unwrap();
        let served = cli(&settings, &["invoke", event.to_str().unwrap()]).await;
        let told = text(&served.stdout);
        assert!(told.contains(&format!("({words})")), "{told}");
        let listed = cli(&settings, &["list", ID]).await;
        let (_, meaning) = words.split_once(": ").unwrap();
        let listed = text(&listed.stdout);
        assert!(listed.contains(meaning), "{meaning:?} in {listed}");
    }
}
