//! What `report` says of a fleet: as text, as JSON, and as a page.

use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::io::Write as _;

use crate::support::recording::Recording;
use crate::support::*;

/// A row of the catalog: hours ago, on this instance, with these findings as severity and signature.
fn row(hours: i64, instance_id: &str, found: &[(&str, &str)]) -> (Timestamp, Value) {
    let at = Timestamp::now() - SignedDuration::from_hours(hours);
    let second = Timestamp::from_second(at.as_second()).unwrap();
    let findings = found.iter().map(|(severity, signature)| {
        json!({"id": "unit-failed", "family": "init", "severity": severity, "title": "A unit <b>failed</b>",
               "signature": signature, "count": 1, "line": 3, "bytes": [1, 2]})
    });
    let is_well = found.is_empty();
    let name = second.strftime("%Y%m%dT%H%M%S");
    let row = json!({
        "key": format!("{instance_id}/{name}-0123456789ab.log.gz"),
        "instance_id": instance_id, "region_id": "cn-hangzhou", "captured_at": second.to_string(),
        "outcome": "stored", "event_cause": "Rebooted", "freshness": "fresh", "freshness_is_final": true,
        "ending": if is_well { "running" } else { "emergency" }, "boots": 1, "reached_login": is_well,
        "console_bytes": 24000, "gzip_bytes": 6000, "findings": findings.collect::<Vec<_>>(), "schema": 1,
    });
    (second, row)
}

/// Puts rows into the catalog of a folder, joined by their days.
fn join(folder: &Path, rows: &[(Timestamp, Value)]) {
    let mut days = std::collections::BTreeMap::<String, String>::new();
    for (at, row) in rows {
        let day = days.entry(at.strftime("%Y-%m-%d").to_string()).or_default();
        day.push_str(&format!("{row}\n"));
    }
    for (number, (day, lines)) in days.into_iter().enumerate() {
        let folder = folder.join(format!("catalog/days/dt={day}"));
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join(format!("{number:012x}.jsonl.gz"))).unwrap();
        let mut gzip = GzEncoder::new(file, Compression::fast());
        gzip.write_all(lines.as_bytes()).unwrap();
        gzip.finish().unwrap();
    }
}

const SCRIPT: &str = "unit-failed:<script>alert(1)</script>";

/// Two instances with one fault, of which one was there three weeks ago; and one that is well.
fn fleet() -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder_settings(folder.path());
    join(
        folder.path(),
        &[
            row(21 * 24, "i-old", &[("error", "unit-failed:a")]),
            row(50, "i-a1", &[("error", "unit-failed:a")]),
            row(26, "i-a2", &[("error", "unit-failed:a"), ("fatal", SCRIPT)]),
            row(25, "i-b1", &[("fatal", SCRIPT)]),
            row(2, "i-b1", &[]),
        ],
    );
    (folder, settings)
}

/// As in `serve`: whatever a catalog says that has just begun would be new.
#[tokio::test]
async fn on_a_young_archive_nothing_is_called_new() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder_settings(folder.path());
    join(
        folder.path(),
        &[row(2, "i-a1", &[("error", "unit-failed:a")])],
    );
    let output = cli(&settings, &["report", "--output", "json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"][0]["is_new"], json!(false), "{report}");
    let told = "no capture from before is known, so nothing is called new";
    assert!(text(&output.stderr).contains(told), "{output:?}");
    let page = cli(&settings, &["report", "--html", "-"]).await;
    assert!(text(&page.stdout).contains(told), "{page:?}");
    // What another instance had before says how far the catalog reaches.
    let old = tempfile::tempdir().unwrap();
    let settings = folder_settings(old.path());
    join(
        old.path(),
        &[
            row(20 * 24, "i-b1", &[]),
            row(2, "i-a1", &[("error", "unit-failed:a")]),
        ],
    );
    let only = ["report", "--instance", "i-a*", "--output", "json"];
    let output = cli(&settings, &only).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"][0]["is_new"], json!(true), "{report}");
    assert!(!text(&output.stderr).contains(told), "{output:?}");
    let shown = text(&cli(&settings, &["report"]).await.stdout);
    assert!(!shown.contains("NEW  new"), "{shown}");
}

#[tokio::test]
async fn a_report_says_what_went_wrong_what_is_new_and_what_hangs() {
    let (_folder, settings) = fleet();
    let output = cli(&settings, &["report", "--output", "json"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    json_page::check(&["report", "--output", "json"], &output.stdout);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["records"], &report["instances"]),
        (&json!(4), &json!(3))
    );
    let signatures: Vec<_> = report["findings"].as_array().unwrap().iter().collect();
    let told = |one: &&Value| {
        (
            one["signature"].clone(),
            one["instances"].clone(),
            one["is_new"].clone(),
        )
    };
    assert_eq!(
        signatures.iter().map(told).collect::<Vec<_>>(),
        [
            (json!(SCRIPT), json!(2), json!(true)),
            (json!("unit-failed:a"), json!(2), json!(false)),
        ],
        "the worst first"
    );
    // The instance that came up since is no more among those that hang.
    let stuck: Vec<_> = report["not_at_login"].as_array().unwrap().iter().collect();
    let ids = stuck.iter().map(|one| one["instance_id"].as_str().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), ["i-a2", "i-a1"]);
    assert_eq!(stuck[0]["finding"], SCRIPT);
    let days = report["days"].as_array().unwrap();
    let sum = |member: &str| {
        days.iter()
            .map(|day| day[member].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        (
            sum("records"),
            sum("reached_login"),
            sum("not_reached_login")
        ),
        (4, 1, 3)
    );
    let shown = text(&cli(&settings, &["report"]).await.stdout);
    for told in [
        "3 instances: 4 consoles, and 0 captures without one",
        "2 signatures, 1 of them new",
        SCRIPT,
        "i-a1",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let one = cli(
        &settings,
        &["report", "--instance", "i-b*", "--output", "json"],
    )
    .await;
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(
        (&one["instances"], &one["not_at_login"]),
        (&json!(1), &json!([]))
    );
}

#[tokio::test]
async fn the_page_loads_nothing_and_has_nothing_of_a_guest_that_acts() {
    let (folder, settings) = fleet();
    let file = folder.path().join("report.html");
    let arguments = ["report", "--html", file.to_str().unwrap()];
    let output = cli(&settings, &arguments).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains(&format!(" is in {}", file.display())),
        "{}",
        text(&output.stderr)
    );
    let page = std::fs::read_to_string(&file).unwrap();
    let again = cli(&settings, &arguments).await;
    let told = text(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{told}");
    assert!(
        told.contains("is there already, and nothing is replaced"),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), page);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(
        page.contains("unit-failed:&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    assert!(page.contains("A unit &lt;b&gt;failed&lt;/b&gt;"), "{page}");
    for acts in [
        "<script",
        "<b>",
        "src=",
        "url(",
        "@import",
        "http://",
        "javascript:",
    ] {
        assert!(!page.contains(acts), "{acts}: {page}");
    }
    assert!(page.contains(r#"content="default-src 'none'; style-src 'unsafe-inline'""#));
    assert_eq!(page.matches("<svg").count(), 2);
    let printed = cli(&settings, &["report", "--html", "-"]).await;
    assert!(text(&printed.stdout).starts_with("<!DOCTYPE html>"));
}

/// The boots of a recording, as its label says.
fn boots_of(name: &str) -> Vec<Vec<u8>> {
    let recording = Recording::named(name);
    let bytes = recording.bytes();
    let starts: Vec<_> = recording
        .label
        .boots
        .iter()
        .map(|boot| boot.start)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let ranges = starts.iter().zip(ends);
    ranges
        .map(|(start, end)| bytes[*start..end].to_vec())
        .collect()
}

/// One instance whose boots come to their prompt but for one, one that shows none and is well, and one that panics.
async fn booted() -> (tempfile::TempDir, Settings) {
    let simulator = bare_simulator(ecs_credentials()).await;
    let (folder, settings) = archive_folder(&simulator);
    let slow = &boots_of("slow-boot")[0];
    let hang = Recording::named("silence-hang").bytes();
    let without = String::from_utf8_lossy(&boots_of("busybox-clean")[0]).replace("login: ", "");
    let panic = fixture("i-bp1panicnoroot00001");
    for (id, console) in [
        ("i-a1", &slow[..]),
        ("i-a1", &hang),
        ("i-b1", without.as_bytes()),
        ("i-c1", &panic),
    ] {
        set_console(&simulator, id, console, "2024-03-22 10:04:57");
        assert!(cli(&settings, &["capture", id]).await.status.success());
    }
    (folder, settings)
}

#[tokio::test]
async fn boots_that_never_came_to_their_prompt_and_slow_ones_are_told_by_stage() {
    let (_folder, settings) = booted().await;
    let output = cli(&settings, &["report", "--boots", "--output", "json"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    json_page::check(&["report", "--boots", "--output", "json"], &output.stdout);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let boots = &report["boots"];
    assert_eq!(
        (
            &boots["reached_login"],
            &boots["without_prompt"],
            &boots["not_known"]
        ),
        (&json!(2), &json!(1), &json!(0))
    );
    let never = boots["never_reached_login"].as_array().unwrap().iter();
    let mut never: Vec<_> = never
        .map(|one| {
            [
                &one["instance_id"],
                &one["ending"],
                &one["phase"],
                &one["finding"],
            ]
        })
        .map(|told| told.map(|word| word.as_str().unwrap().to_owned()))
        .collect();
    never.sort();
    assert_eq!(
        never,
        [
            ["i-a1", "silence", "kernel", "boot-silent:kernel"],
            ["i-c1", "panic", "kernel", "root-not-mounted"],
        ]
    );
    let slowest = boots["slowest"].as_array().unwrap();
    let seconds = |member: &str| slowest[0]["seconds"][member].as_f64().unwrap();
    assert_eq!(
        (slowest.len(), &slowest[0]["instance_id"]),
        (2, &json!("i-a1"))
    );
    assert!(seconds("services") > 10.0, "{slowest:?}");
    let stages = seconds("kernel") + seconds("initrd") + seconds("services");
    assert!((seconds("login") - stages).abs() < 0.5, "{slowest:?}");
    let shown = text(&cli(&settings, &["report", "--boots"]).await.stdout);
    for told in [
        "LOGIN and NO LOGIN count consoles",
        "2 boots reached the login prompt, 2 never did; 1 of instances that show a prompt in no boot do not count",
        "Slowest boots, by stage, in seconds",
        "median",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let page = text(
        &cli(&settings, &["report", "--boots", "--html", "-"])
            .await
            .stdout,
    );
    assert!(page.contains("never reached their login prompt") && page.contains("Slowest boots"));
    assert_eq!(page.matches("<svg").count(), 3);
}

#[tokio::test]
async fn that_no_boot_can_be_timed_is_told() {
    let (_folder, settings) = booted().await;
    for form in [&[][..], &["--html", "-"]] {
        let arguments = [&["report", "--boots", "--instance", "i-c*"], form].concat();
        let shown = text(&cli(&settings, &arguments).await.stdout);
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("so none is timed"), "{shown}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_by_a_report_of_boots() {
    let (folder, settings) = booted().await;
    let archive = folder.path().join("archive");
    let names = files_in(&archive).into_iter().map(|(name, _)| name);
    let record = names
        .into_iter()
        .find(|name| name.starts_with("i-c1/") && name.ends_with(".log.gz"));
    std::fs::write(archive.join(record.unwrap()), "no gzip").unwrap();
    let output = cli(&settings, &["report", "--boots"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("left out") && told.contains("not counted: 1 record"),
        "{told}"
    );
}

#[tokio::test]
async fn a_report_of_nothing_says_so() {
    let (_folder, settings) = fleet();
    let none = cli(&settings, &["report", "--until", "-400d"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(
        text(&none.stderr).contains("nothing was captured"),
        "{}",
        text(&none.stderr)
    );
    let wrong = cli(
        &settings,
        &["report", "--since", "today", "--until", "yesterday"],
    )
    .await;
    assert_eq!(wrong.status.code(), Some(2));
    let unwritable = cli(&settings, &["report", "--html", "/no/such/folder/r.html"]).await;
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(text(&unwritable.stderr).contains("/no/such/folder/r.html"));
}

/// A boot of a kernel, with stamps that no other one has, and what follows its first lines.
fn kernel(number: u32, options: &str, lines: &str) -> String {
    format!(
        "[    0.000000] Linux version 6.1.{number} (a@b) #1\r\n\
         [    0.{number:06}] Command line: console=ttyS0{options}\r\n\
         [    2.{number:06}] Run /init as init process\r\n\
         [    3.{number:06}] systemd[1]: systemd 252 running in system mode (+PAM)\r\n{lines}"
    )
}

#[tokio::test]
async fn boots_that_may_go_on_crash_kernels_and_boots_without_a_start_are_counted_as_what_they_are()
{
    let simulator = bare_simulator(ecs_credentials()).await;
    let (_folder, settings) = archive_folder(&simulator);
    let restart = "reboot: Restarting system\r\n";
    let all = [
        kernel(
            1,
            "",
            &format!("[    4.000001] a\r\nhost login: \r\n[   60.000001] {restart}"),
        ),
        kernel(
            2,
            "",
            &format!("[   70.000002] systemd-shutdown[1]: Rebooting.\r\n[   70.100002] {restart}"),
        ),
        kernel(
            3,
            "",
            "[    5.000003] Kernel panic - not syncing: Fatal exception\r\n",
        ),
        // It saves the memory of the one before.
        kernel(
            4,
            " elfcorehdr=0x7000000 irqpoll",
            "[   11.000004] kdump[300]: saving vmcore complete\r\n",
        ),
        kernel(
            5,
            "",
            &format!("[   30.000005] b\r\nhost login: \r\n[   90.000001] {restart}"),
        ),
        // It may still come to its prompt.
        kernel(6, "", "[    4.000006] a\r\n"),
    ];
    // Its first lines are lost, so nobody knows how long it took.
    let rest = "[   50.000001] x\r\nhost login: \r\n".to_owned();
    for (id, console) in [("i-x1", all.concat()), ("i-x2", rest)] {
        set_console(&simulator, id, console.as_bytes(), "2024-03-22 10:04:57");
        assert!(cli(&settings, &["capture", id]).await.status.success());
    }
    let output = cli(&settings, &["report", "--boots", "--output", "json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let boots = &report["boots"];
    assert_eq!(
        (&boots["reached_login"], &boots["not_known"]),
        (&json!(3), &json!(1)),
        "{boots}"
    );
    let never = boots["never_reached_login"].as_array().unwrap().iter();
    let never: Vec<_> = never.map(|one| [&one["ending"], &one["phase"]]).collect();
    let expected = [["panic", "services"], ["clean", "services"]];
    assert_eq!(json!(never), json!(expected), "{boots}");
    let slowest = boots["slowest"].as_array().unwrap().iter();
    let slowest: Vec<_> = slowest.map(|one| &one["seconds"]["login"]).collect();
    assert_eq!(json!(slowest), json!([30.000005, 4.000001]), "{boots}");
    assert_eq!(
        boots["median_seconds"]["login"], 30.000005,
        "the upper one of two"
    );
}
