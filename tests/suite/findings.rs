//! What `findings` says of recorded consoles, of records, and of any log.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::captured::{self, Captured};
use crate::support::printed::checked;
use crate::support::recording::Recording;
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

/// Each recording, and what it shows, by signatures: the words are the machine's, and what happened is in the label
/// of the recording.
const RECORDINGS: &[(&str, &[&str])] = &[
    ("bookworm-clean", &[]),
    // Its third boot ends by the reset button.
    ("bookworm-reboots", &["boot-silent:login"]),
    ("busybox-clean", &[]),
    ("busybox-without-stamps", &[]),
    ("cloud-init-clean", &[]),
    (
        "cloud-init-no-metadata",
        &[
            "cloud-init-metadata-unreachable",
            "cloud-init-module-minor:locale",
        ],
    ),
    (
        "disk-full",
        &[
            "unit-failed:Load/Save Random Seed",
            "unit-failed:systemd-ma…it a transient machine-id on disk",
            "unit-failed:systemd-up…cord System Boot/Shutdown in UTMP",
            "dependency-failed:Record Runlevel Change in UTMP",
            "unit-failed:User Login Management",
        ],
    ),
    (
        "emergency",
        &[
            "device-timeout:/dev/vdz1",
            "dependency-failed:/srv",
            "dependency-failed:Local File Systems",
            "dependency-failed:File System Check on /dev/vdz1",
            "emergency-mode",
            "maintenance-prompt",
        ],
    ),
    (
        "fsck-wants-a-person",
        &[
            "fsck-failed:Root Device",
            "emergency-mode",
            "maintenance-prompt",
        ],
    ),
    ("grub-menu", &[]),
    (
        "grub-missing-file",
        &[
            "loader-file-missing:/boot/vmlinuz-gone",
            "loader-kernel-not-loaded",
            "loader-entries-failed",
        ],
    ),
    (
        "hung-task",
        &["hung-task:touch", "hung-task:systemd-journal"],
    ),
    (
        "initramfs-shell",
        &["initramfs-shell", "root-device-missing:UUID=<uuid>"],
    ),
    ("kdump", &["kernel-panic-sysrq"]),
    ("kernel-bug", &["kernel-bug:faults_init"]),
    ("kernel-divide", &["kernel-protection-fault:faults_divide"]),
    (
        "kernel-null",
        &[
            "kernel-null-dereference:faults_write",
            "kernel-panic:Fatal exception",
        ],
    ),
    (
        "kernel-protection",
        &[
            "kernel-protection-fault:faults_write",
            "kernel-panic:Fatal exception",
        ],
    ),
    ("kernel-rcu-stall", &["rcu-stall:rcu_preempt"]),
    ("kernel-refcount", &["refcount:faults_refcount"]),
    ("kernel-soft-lockup", &["soft-lockup:faults_spin"]),
    (
        "kernel-stack",
        &[
            "stack-overflow:faults_recurse",
            "kernel-panic:Fatal exception in interrupt",
        ],
    ),
    ("kernel-warning", &["kernel-warning:faults_init"]),
    ("kexec", &[]),
    ("login-respawns", &[]),
    ("luks-asks", &["luks-locked:data"]),
    (
        "lvm-no-root",
        &[
            "initramfs-shell",
            "root-device-missing:/dev/mapper/vg0-root",
        ],
    ),
    ("memory-limit", &["oom-kill-cgroup:tail"]),
    (
        "no-bootable-device",
        &[
            "firmware-boot-entry-failed",
            "loader-network-boot",
            "firmware-no-bootable-device",
        ],
    ),
    ("oom-kill", &["oom-kill:tail"]),
    ("oom-panic", &["oom-nothing-to-kill"]),
    ("panic-init-killed", &["init-died:0x00000100"]),
    ("panic-no-root", &["root-not-mounted"]),
    ("panic-reboots", &["kernel-panic-sysrq"]),
    ("panic-stays", &["kernel-panic-sysrq"]),
    ("quiet", &[]),
    ("reboot-loop", &["root-not-mounted", "reboot-loop:kernel"]),
    ("rescue", &["rescue-mode", "maintenance-prompt"]),
    ("sid-runit-clean", &[]),
    ("slow-boot", &["unit-failed:Web application"]),
    ("sysvinit-reboots", &[]),
    ("trixie-dracut-clean", &[]),
    ("trixie-sysvinit-clean", &[]),
    ("uefi-grub", &[]),
    (
        "uefi-no-bootable-device",
        &[
            "loader-network-boot",
            "firmware-boot-entry-failed",
            "firmware-shell",
        ],
    ),
    // No boot is known behind it: it may still be at work.
    ("silence-console-removed", &[]),
    ("silence-hang", &["boot-silent:kernel"]),
    ("watchdog-reset", &["boot-silent:login"]),
];

fn findings(log: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(program("console-archive"));
    command.env_clear().arg("findings").arg(log).args(options);
    checked(command.output().unwrap())
}

fn found(log: &Path, options: &[&str]) -> Vec<Value> {
    let output = findings(log, &[&["--output", "json"], options].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    json_page::check(&["findings", "--output", "json"], &output.stdout);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signatures(found: &[Value]) -> Vec<&str> {
    let all = found.iter();
    all.map(|one| one["signature"].as_str().unwrap()).collect()
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn recordings_show_what_happened_in_them_and_clean_ones_nothing() {
    for (name, expected) in RECORDINGS {
        let log = file(&Recording::named(name).bytes());
        let found = found(log.path(), &[]);
        assert_eq!(signatures(&found), *expected, "{name}");
        if name.ends_with("-clean") {
            assert!(found.is_empty(), "{name}");
        }
    }
}

#[test]
fn every_recording_has_its_findings_here() {
    let folder = root().join("tests/fixtures/recordings");
    let recorded = std::fs::read_dir(folder).unwrap();
    let names = recorded.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter_map(|name| Some(name.strip_suffix(".jsonl.gz")?.to_owned()))
        // Its units' names are cut where the width of its terminal ends.
        .filter(|name| name != "dracut-shell")
        .collect();
    names.sort();
    let mut known: Vec<_> = RECORDINGS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(names, known);
}

#[test]
fn dracut_ends_in_its_shell() {
    let log = file(&Recording::named("dracut-shell").bytes());
    let found = found(log.path(), &["--severity", "fatal"]);
    assert_eq!(
        signatures(&found),
        ["root-mount-failed", "dracut-shell", "maintenance-prompt"]
    );
}

#[test]
fn a_finding_says_where_it_stands_and_what_to_do() {
    let before = "[    0.000000] Linux version 6.1\r\n\x1b[31mred\x1b[0m\r\n";
    let line = "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n";
    let log = file(format!("{before}{line}{line}").as_bytes());
    let found = found(log.path(), &[]);
    let [one] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(one["id"], "root-not-mounted");
    assert_eq!(
        (&one["family"], &one["severity"]),
        (&json!("root"), &json!("fatal"))
    );
    assert_eq!((&one["count"], &one["line"]), (&json!(2), &json!(3)));
    let bytes = json!([before.len(), before.len() + line.len()]);
    assert_eq!(one["bytes"], bytes);
    assert!(one["advice"].as_str().unwrap().contains("initramfs"));
    let shown = text(&findings(log.path(), &[]).stdout);
    assert!(
        shown.contains("fatal") && shown.contains("2 times") && shown.contains("line 3"),
        "{shown}"
    );
    let shown = text(&findings(log.path(), &["--color", "always"]).stdout);
    assert!(shown.contains("\x1b["), "{shown:?}");
}

#[test]
fn what_a_guest_writes_does_not_act_on_a_terminal() {
    let log =
        file(b"[FAILED] Failed to start \x1b]0;title\x07\x1b[2Jx\x9b31m\xe2\x80\xae.service.\r\n");
    let output = findings(log.path(), &["--color", "never"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("unit-failed:"), "{shown}");
    let acts = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
    assert!(!shown.contains(acts), "{shown:?}");
}

#[tokio::test]
async fn of_an_instance_the_newest_boot_counts_unless_another_is_chosen() {
    let simulator = simulator().await;
    let (_folder, settings) = archive_folder(&simulator);
    assert!(cli(&settings, &["capture", ID]).await.status.success());
    let next = "[    0.000000] Linux version 6.1.0-1 (gcc)\r\n[    1.234567] a\r\nhost login: ";
    set_console(&simulator, ID, next.as_bytes(), "2030-03-22 10:04:57");
    assert!(cli(&settings, &["capture", ID]).await.status.success());
    let printed = async |arguments: &[&str]| {
        let output = cli(
            &settings,
            &[&["findings", ID, "--output", "json"], arguments].concat(),
        )
        .await;
        let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        found
    };
    assert!(printed(&[]).await.is_empty());
    let before = printed(&["-b", "previous"]).await;
    assert_eq!(signatures(&before), ["root-not-mounted"]);
    assert_eq!(
        (&before[0]["instance_id"], &before[0]["boot"]),
        (&json!(ID), &json!(-1))
    );
    assert_eq!(printed(&["--all"]).await, before);
    let shown = text(&cli(&settings, &["findings", ID, "--all"]).await.stdout);
    assert!(
        shown.contains("boot -1") && shown.contains("no findings"),
        "{shown}"
    );
    let none = cli(&settings, &["findings", "i-gone"]).await;
    assert_eq!(none.status.code(), Some(3));
    let none = cli(&settings, &["findings", ID, "-b", "-7"]).await;
    assert_eq!(none.status.code(), Some(3));
    let file = cli(&settings, &["findings", "Cargo.toml", "--all"]).await;
    assert_eq!(file.status.code(), Some(2));
}

/// A fleet in a folder: two instances with one fault, and one without.
async fn fleet() -> (tempfile::TempDir, Settings) {
    let simulator = bare_simulator(ecs_credentials()).await;
    let (folder, settings) = archive_folder(&simulator);
    for (id, console) in [
        ("i-a1", ID),
        ("i-a2", ID),
        ("i-b1", "i-bp1normalreboot0001"),
    ] {
        set_console(&simulator, id, &fixture(console), "2024-03-22 10:04:57");
        assert!(cli(&settings, &["capture", id]).await.status.success());
    }
    (folder, settings)
}

#[tokio::test]
async fn of_a_fleet_each_signature_is_told_with_its_instances() {
    let (_folder, settings) = fleet().await;
    let printed = async |options: &[&str]| -> Vec<Value> {
        let arguments = [&["findings", "--output", "json"], options].concat();
        let output = cli(&settings, &arguments).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        json_page::check(&["findings", "--output", "json"], &output.stdout);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let all = printed(&[]).await;
    let of_root = all
        .iter()
        .find(|one| one["signature"] == "root-not-mounted");
    let of_root = of_root.unwrap_or_else(|| panic!("{all:#?}"));
    assert_eq!(
        (&of_root["instances"], &of_root["records"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        (&of_root["severity"], &of_root["family"]),
        (&json!("fatal"), &json!("root"))
    );
    let example = of_root["example"]["instance_id"].as_str().unwrap();
    assert!(["i-a1", "i-a2"].contains(&example), "{of_root:#}");
    assert_eq!(of_root["example"]["line"], 320, "of the record alone");
    assert!(of_root["first_captured_at"].as_str() <= of_root["last_captured_at"].as_str());
    assert_eq!(
        printed(&["--family", "root", "--severity", "fatal"]).await,
        std::slice::from_ref(of_root)
    );
    assert_eq!(
        printed(&["--signature", "root-not-mounted"]).await,
        std::slice::from_ref(of_root)
    );
    assert!(printed(&["--signature", "init-died"]).await.is_empty());
    assert!(printed(&["--family", "kdump,hardware"]).await.is_empty());
    assert_eq!(
        printed(&["--instance", "*1", "--since", "-1h"]).await[0]["instances"],
        1
    );
    let none = cli(&settings, &["findings", "--until", "yesterday"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(
        text(&none.stderr).contains("no records of that time"),
        "{}",
        text(&none.stderr)
    );
    // Of other instances, it says what `list` says.
    let others = ["findings", "list"].map(|command| [command, "--instance", "i-zz*"]);
    let [told, listed] = [
        cli(&settings, &others[0]).await,
        cli(&settings, &others[1]).await,
    ];
    assert_eq!(told.status.code(), Some(3));
    assert!(
        text(&told.stderr).contains("captures"),
        "{}",
        text(&told.stderr)
    );
    let last = |stderr: &[u8]| text(stderr).lines().last().map(str::to_owned);
    assert_eq!(last(&told.stderr), last(&listed.stderr));
    let table = text(&cli(&settings, &["findings"]).await.stdout);
    let row = table
        .lines()
        .find(|row| row.contains("root-not-mounted"))
        .unwrap();
    assert!(
        table.starts_with("SEVERITY") && row.starts_with("fatal"),
        "{table}"
    );
    assert!(
        row.contains("  2  ") && row.ends_with("mount its root file system"),
        "{table}"
    );
    // What is behind `--boot` is of an instance.
    let wrong = cli(&settings, &["findings", "--all"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    // Of an instance, the same filters.
    let of_one = printed(&["i-a1", "--since", "-1h", "--family", "root"]).await;
    assert_eq!(signatures(&of_one), ["root-not-mounted"]);
    let none = cli(&settings, &["findings", "i-a1", "--until", "yesterday"]).await;
    assert_eq!(none.status.code(), Some(3));
}

#[tokio::test]
async fn a_row_without_findings_is_told_until_it_is_built_anew() {
    let (folder, settings) = fleet().await;
    assert!(cli(&settings, &["reindex"]).await.status.success());
    let all = cli(&settings, &["findings"]).await;
    assert_eq!(
        (all.status.code(), text(&all.stderr)),
        (Some(0), String::new())
    );
    // As of a version that knew no findings.
    let days = files_in(&folder.path().join("archive/catalog/days"));
    let (name, day) = days
        .iter()
        .find(|(name, _)| name.ends_with(".jsonl.gz"))
        .unwrap();
    let old: String = text(&gunzip(day))
        .lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            if row["instance_id"] == "i-a1" {
                row.as_object_mut().unwrap().remove("findings");
            }
            row.to_string() + "\n"
        })
        .collect();
    let packed = ecs_console_archiver::archive::record::pack(old.as_bytes()).unwrap();
    std::fs::write(
        folder.path().join("archive/catalog/days").join(name),
        packed,
    )
    .unwrap();
    let all = cli(&settings, &["findings", "--output", "json"]).await;
    assert_eq!(all.status.code(), Some(1));
    let told = text(&all.stderr);
    assert!(
        told.contains("not counted: 1 record,") && told.contains("reindex"),
        "{told}"
    );
    let found: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(found[0]["instances"], 1);
    assert!(cli(&settings, &["reindex"]).await.status.success());
    let all = cli(&settings, &["findings", "--output", "json"]).await;
    let found: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(
        (all.status.code(), &found[0]["instances"]),
        (Some(0), &json!(2))
    );
}

/// What `rescan` says, as JSON, and how it ends.
async fn rescanned(settings: &Settings, options: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["rescan", "--output", "json"], options].concat();
    let output = cli(settings, &arguments).await;
    json_page::check(&["rescan", "--output", "json"], &output.stdout);
    let said = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), said)
}

#[tokio::test]
async fn a_rescan_says_what_new_rules_find_and_writes_it_if_it_is_told_to() {
    let (folder, settings) = fleet().await;
    let rules = folder.path().join("rules.json");
    let own = json!({
        "silence": ["root-not-mounted"],
        "rules": [{
            "id": "own-restart", "severity": "warning", "title": "It restarts", "advice": "Wait.",
            "words": ["Restarting system"], "pattern": "reboot: Restarting system",
            "yes": ["reboot: Restarting system"], "no": ["reboot: Power down"],
        }],
    });
    std::fs::write(&rules, own.to_string()).unwrap();
    let with_own = [
        settings.clone(),
        vec![(
            "FINDINGS_RULES".to_owned(),
            rules.to_str().unwrap().to_owned(),
        )],
    ]
    .concat();
    let archive = folder.path().join("archive");
    let before = files_in(&archive);
    // Nothing is new by the rules of the capture.
    let (code, said) = rescanned(&settings, &["--apply"]).await;
    assert_eq!(
        (code, &said["records"], &said["changed"]),
        (Some(0), &json!(3), &json!(0))
    );
    let (code, said) = rescanned(&with_own, &[]).await;
    assert_eq!(
        (code, &said["changed"], &said["is_applied"]),
        (Some(0), &json!(3), &json!(false))
    );
    let of = |said: &Value| -> Vec<(String, Vec<String>, Vec<String>)> {
        let signatures = |all: &Value| -> Vec<String> {
            let all = all.as_array().unwrap().iter();
            all.map(|one| one["signature"].as_str().unwrap().to_owned())
                .collect()
        };
        let instances = said["instances"].as_array().unwrap().iter();
        let each = instances.map(|one| {
            let id = one["instance_id"].as_str().unwrap().to_owned();
            (id, signatures(&one["new"]), signatures(&one["gone"]))
        });
        each.collect()
    };
    let own = |of: &str| vec![of.to_owned()];
    let expected = vec![
        ("i-a1".to_owned(), vec![], own("root-not-mounted")),
        ("i-a2".to_owned(), vec![], own("root-not-mounted")),
        ("i-b1".to_owned(), own("own-restart"), vec![]),
    ];
    assert_eq!(of(&said), expected);
    assert!(
        files_in(&archive) == before,
        "without --apply nothing is written"
    );
    // Of some instances alone.
    let (_, said) = rescanned(&with_own, &["--instance", "i-b*", "--apply"]).await;
    assert_eq!(of(&said), expected[2..]);
    let (_, said) = rescanned(&with_own, &[]).await;
    assert_eq!(of(&said), expected[..2]);
    let shown = cli(&with_own, &["rescan"]).await;
    assert_eq!(
        text(&shown.stderr),
        "console-archive: 3 records looked at: the rows of 2 records of 2 instances would say something else; --apply writes it\n"
    );
    let first = text(&shown.stdout);
    let first: Vec<&str> = first.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(first[..4], ["i-a1", "gone", "fatal", "root-not-mounted"]);
    let (code, said) = rescanned(&with_own, &["--apply"]).await;
    assert_eq!(
        (code, &said["changed"], &said["days"]),
        (Some(0), &json!(2), &json!(1))
    );
    let (_, said) = rescanned(&with_own, &[]).await;
    assert_eq!(said["changed"], 0);
    let all = cli(&settings, &["findings", "--output", "json"]).await;
    let found: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(signatures(&found), ["own-restart"]);
    // The records are as they were, and the catalog is whole.
    let is_record = |name: &str| name.starts_with("i-");
    let records = |files: Vec<(String, Vec<u8>)>| -> Vec<(String, Vec<u8>)> {
        files
            .into_iter()
            .filter(|(name, _)| is_record(name))
            .collect()
    };
    assert!(records(files_in(&archive)) == records(before));
    assert!(cli(&settings, &["verify"]).await.status.success());
    let others = cli(&settings, &["rescan", "--instance", "i-zz*"]).await;
    let told = text(&others.stderr);
    assert_eq!(others.status.code(), Some(3), "{told}");
    assert!(told.contains(" of the catalog in "), "{told}");
    assert!(
        told.contains("match") && !told.contains("reindex"),
        "{told}"
    );
    let none = cli(&settings, &["rescan", "--until", "2001-01-01"]).await;
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
}

#[tokio::test]
async fn a_rescan_leaves_the_row_of_a_record_that_it_cannot_read() {
    let (folder, settings) = fleet().await;
    let archive = folder.path().join("archive");
    let names = files_in(&archive).into_iter().map(|(name, _)| name);
    let record = names
        .into_iter()
        .find(|name| name.starts_with("i-a1/") && name.ends_with(".log.gz"));
    std::fs::write(archive.join(record.unwrap()), "no gzip").unwrap();
    let (code, said) = rescanned(&settings, &["--apply"]).await;
    assert_eq!((code, &said["changed"]), (Some(1), &json!(0)));
    assert_eq!(said["unread"].as_object().unwrap().len(), 1);
    let of_root = async || {
        let all = cli(&settings, &["findings", "--output", "json"]).await;
        let found: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
        let of_root = found.iter().find(|one| one["id"] == "root-not-mounted");
        of_root.unwrap()["instances"].clone()
    };
    assert_eq!(of_root().await, 2);
    // Also where other rows of that day are rewritten.
    let rules = folder.path().join("rules.json");
    std::fs::write(&rules, r#"{"silence": ["root-not-mounted"]}"#).unwrap();
    let silent = [
        settings.clone(),
        vec![(
            "FINDINGS_RULES".to_owned(),
            rules.to_str().unwrap().to_owned(),
        )],
    ];
    let (code, said) = rescanned(&silent.concat(), &["--apply"]).await;
    assert_eq!((code, &said["changed"]), (Some(1), &json!(1)));
    assert_eq!(of_root().await, 1);
}

#[tokio::test]
async fn each_finding_is_explained() {
    let all = cli(&Vec::new(), &["explain", "--output", "json"]).await;
    let all: Vec<Value> = serde_json::from_slice(&all.stdout).unwrap();
    assert!(all.len() > 100, "{}", all.len());
    let list = text(&cli(&Vec::new(), &["explain"]).await.stdout);
    for rule in &all {
        let id = rule["id"].as_str().unwrap();
        assert!(list.contains(&format!("  {id} ")), "{id}");
    }
    let explained = cli(
        &Vec::new(),
        &["explain", "kernel-null-dereference:ext4_readdir"],
    )
    .await;
    let explained = text(&explained.stdout);
    assert!(
        explained.contains("null pointer") && explained.contains("Sources: Linux"),
        "{explained}"
    );
    let ending = cli(&Vec::new(), &["explain", "boot-silent:login"]).await;
    let ending = text(&ending.stdout);
    assert!(
        ending.contains("No line says it. The next boot begins") && !ending.contains("such as"),
        "{ending}"
    );
    let family = text(&cli(&Vec::new(), &["explain", "kdump"]).await.stdout);
    assert!(
        family.starts_with("kdump\n") && !family.contains("oom-kill"),
        "{family}"
    );
    let unknown = cli(&Vec::new(), &["explain", "kernel-sad"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("kernel-sad"));
}

/// After a crash and a reboot, what one looks for is in the boot before.
#[tokio::test]
async fn where_the_newest_boot_has_none_it_is_said_which_has() {
    let world = Captured::with(&[&fixture(ID), &fixture("i-bp1normalreboot0001")]).await;
    let newest = cli(&world.settings, &["findings", captured::ID]).await;
    assert!(text(&newest.stdout).contains("no findings"));
    let told = text(&newest.stderr);
    assert!(
        told.contains("boot -1 has 1 finding; -b -1 shows them"),
        "{told}"
    );
    let before = cli(&world.settings, &["findings", captured::ID, "-b", "-1"]).await;
    assert!(text(&before.stdout).contains("root-not-mounted"));
    assert!(before.stderr.is_empty(), "{}", text(&before.stderr));
}
