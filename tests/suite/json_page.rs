//! What `docs/json.md` promises to programs is printed. The reverse is checked wherever a test of this
//! suite asks the command line for JSON: see `support::json_page`.

use std::collections::BTreeSet;

use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::doctor::{Check, Deployed, Diagnosis, Verdict};
use ecs_console_archiver::model::check::Examination;
use ecs_console_archiver::model::console::NoConsole;
use ecs_console_archiver::model::finding::{Finding, Severity};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::model::outcome::{
    Compacted, Outcome, RedriveTally, Stored, StoredRecord, Tally,
};
use ecs_console_archiver::simulator::{Console, Screen};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::archived;
use crate::support::captured::{Captured, ID};
use crate::support::json_page::{members, members_of, printed};
use crate::support::kept::{Kept, Place, instance_id};
use crate::support::recording::Recording;
use crate::support::s3_server::Profile;
use crate::support::*;

/// Every member of the page is among those that were seen.
#[track_caller]
fn check(command: &str, seen: &BTreeSet<String>) {
    let unseen: Vec<_> = members(command).difference(seen).cloned().collect();
    assert!(unseen.is_empty(), "{command} printed none of {unseen:?}");
}

/// What a command prints as JSON.
async fn seen(settings: &Settings, arguments: &[&str]) -> BTreeSet<String> {
    let arguments = [arguments, &["--output", "json"]].concat();
    printed(arguments[0], &cli(settings, &arguments).await.stdout)
}

/// Serves an event, which may fail.
async fn invoke(settings: &Settings, event: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), event).unwrap();
    let path = file.path().to_str().unwrap();
    cli(settings, &["invoke", path, "--timeout", "1"]).await;
}

/// Puts a screenshot of an instance into the archive.
async fn put_screenshot(world: &Captured, id: &str) {
    let mut kept = Kept::default();
    let (id, none) = (InstanceId::parse(id).unwrap(), NoConsole::NotSupported);
    kept.screenshot(&id, &picture("stop.jpg"), Timestamp::now(), Some(none));
    let objects = kept.with_rows().objects.into_iter();
    let objects = objects.map(|(key, (object, _))| (key, object)).collect();
    archived::put_into_folder(&world.folder.path().join("archive"), &objects).await;
}

/// With an account.
fn event(instance_id: &str) -> String {
    let mut event: Value = serde_json::from_str(&starting(instance_id)).unwrap();
    event["aliyunaccountid"] = json!("1234567890123456");
    event.to_string()
}

#[tokio::test]
async fn records_markers_and_failed_events_have_the_members_of_the_page() {
    let world = Captured::new().await;
    set_console(&world.simulator, ID, b"hello\n", "2024-03-22 10:04:57");
    set_console(&world.simulator, "i-a2", b"", "2024-03-22 10:04:57");
    let not_running = Console::Error {
        status: 403,
        code: "IncorrectInstanceStatus".to_owned(),
    };
    let id = InstanceId::parse("i-a3").unwrap();
    world.simulator.set_console(&id, not_running);
    for instance_id in [ID, "i-a2", "i-a3"] {
        invoke(&world.settings, &event(instance_id)).await;
    }
    put_screenshot(&world, "i-a6").await;
    let mut list = seen(&world.settings, &["list", ID]).await;
    for instance_id in ["i-a2", "i-a3"] {
        list.extend(seen(&world.settings, &["list", instance_id]).await);
    }
    // Of the fleet: once days are joined, and where something was pruned.
    let kernel = "i-bp1panicnoroot00001";
    set_console(
        &world.simulator,
        "i-a5",
        &fixture(kernel),
        "2024-03-22 10:04:57",
    );
    invoke(&world.settings, &event("i-a5")).await;
    check("reindex", &seen(&world.settings, &["reindex"]).await);
    list.extend(seen(&world.settings, &["list"]).await);
    list.extend(seen(&world.settings, &["list", "--count"]).await);
    let gone = format!("{ID}/20240322T100457-0123456789ab.log.gz");
    let row = Row::pruned(
        Subject::parse(&gone).unwrap(),
        Timestamp::now(),
        Timestamp::now(),
    );
    let (key, object) = row.packed();
    let file = world.folder.path().join("archive").join(&key);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, object.body).unwrap();
    list.extend(seen(&world.settings, &["list", "--outcome", "pruned"]).await);
    check("compact", &seen(&world.settings, &["compact"]).await);
    list.extend(seen(&world.settings, &["list", "i-a6"]).await);
    check("list", &list);
    std::fs::write(world.folder.path().join("archive/README.md"), "foreign").unwrap();
    check("verify", &seen(&world.settings, &["verify"]).await);

    let records = world.folder.path().join("archive").join(ID);
    let name = names_in(&records, ".log.gz").pop().unwrap();
    let forged = pack(b"forged\n").unwrap();
    std::fs::write(records.join(format!("{name}.log.gz")), forged).unwrap();
    let mut get = seen(&world.settings, &["get", ID, "--damaged"]).await;
    get.extend(seen(&world.settings, &["get", "i-a6", "--screenshot"]).await);
    check("get", &get);

    let denied = Console::Error {
        status: 403,
        code: "Forbidden.RAM".to_owned(),
    };
    let id = InstanceId::parse("i-a4").unwrap();
    world.simulator.set_console(&id, denied);
    let silent = InstanceId::parse("i-a2").unwrap();
    let screen = Screen::Picture(picture("stop.jpg"));
    world.simulator.set_screen(&silent, screen);
    let region = ["sweep", "--region", "cn-hangzhou", "--per-second", "1000"];
    check("sweep", &seen(&world.settings, &region).await);
    invoke(&world.settings, &event("i-a4")).await;
    let failed = seen(&world.settings, &["redrive", "--dry-run"]).await;
    let expected = ["error_type", "key", "stored_at", "url"];
    assert_eq!(failed, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn what_is_pruned_has_the_members_of_the_page() {
    let (now, day) = (Timestamp::now(), jiff::SignedDuration::from_hours(24));
    let mut kept = Kept::default();
    let id = instance_id(1);
    for (age, console) in [(90, "old\r\n"), (2, "[    0.000000] Linux version 6.1\r\n")] {
        kept.record(&id, console.as_bytes(), now - day * age);
    }
    kept.marker(&id, now - day * 60);
    let placed = kept.with_catalog().place(Place::Bucket(Profile::Aws)).await;
    let old = placed
        .keys()
        .into_iter()
        .find(|key| key.ends_with(".log.gz"));
    let server = &placed.bucket.as_ref().unwrap().server;
    server.lock(&format!("kept/here/{}", old.unwrap()));
    let arguments = ["prune", "--keep-last", "1", "--apply"];
    check("prune", &seen(&placed.settings, &arguments).await);
}

#[tokio::test]
async fn boots_and_their_lines_have_the_members_of_the_page() {
    let now = Timestamp::now().as_second();
    let with_clock = |clock: i64| {
        format!(
            "[    0.000000] Linux version 6.1\r\n[    1.000100] rtc: setting system clock to now \
             UTC ({clock})\r\n 10%\r100%\r\n[    8.250001] systemd[1]: Started.\r\nhost login: "
        )
    };
    let console = fixture("i-bp1cloudinit0000001");
    let shared = "a line that both captures have, with no stamp in it, and nothing else\r\n";
    let prompt = "host login, and nobody comes to log in\r\n";
    let numbered = |from: usize| -> String {
        (from..from + 90)
            .map(|n| format!("line {n} of a service\r\n"))
            .collect()
    };
    let (mut boots, mut lines, mut found) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for captures in [
        vec![with_clock(now).into_bytes()],
        vec![with_clock(now - 900_000_000).into_bytes()],
        vec![console[..16_384].to_vec(), console[30_000..46_384].to_vec()],
        vec![Recording::named("kdump").bytes()],
        vec![
            format!("{}{shared}", numbered(0)).into_bytes(),
            format!("{shared}{}", numbered(500)).into_bytes(),
        ],
        vec![
            format!("{}{}", numbered(0), prompt.repeat(60)).into_bytes(),
            prompt.repeat(90).into_bytes(),
        ],
    ] {
        let captures: Vec<_> = captures.iter().map(Vec::as_slice).collect();
        let world = Captured::with(&captures).await;
        boots.extend(seen(&world.settings, &["boots", ID]).await);
        lines.extend(seen(&world.settings, &["show", ID]).await);
        found.extend(seen(&world.settings, &["grep", "-C", "1", "[0-9]%|login"]).await);
    }
    let many = Captured::with(&[&b"Q".repeat(1001)]).await;
    found.extend(seen(&many.settings, &["grep", "Q"]).await);
    let world = Captured::new().await;
    set_console(&world.simulator, ID, b"", "2024-03-22 10:04:57");
    cli(&world.settings, &["capture", ID]).await;
    put_screenshot(&world, ID).await;
    boots.extend(seen(&world.settings, &["boots", ID]).await);
    check("boots", &boots);
    check("show", &lines);
    check("grep", &found);
}

#[tokio::test]
async fn what_differs_has_the_members_of_the_page() {
    let (panic, next) = (
        fixture("i-bp1panicnoroot00001"),
        fixture("i-bp1cloudinit0000001"),
    );
    let world = Captured::with(&[&panic, &next]).await;
    let mut diff = seen(&world.settings, &["diff", ID, "-1", "0"]).await;
    let [a, b] = ["one\ntwo\n", "two\none\nthree\n"].map(|log| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), log).unwrap();
        file
    });
    let files = [&a, &b].map(|file| file.path().to_str().unwrap());
    diff.extend(seen(&world.settings, &["diff", files[0], files[1]]).await);
    check("diff", &diff);
}

#[tokio::test]
async fn a_check_has_the_members_of_the_page() {
    let world = Captured::new().await;
    let mut doctor = seen(&world.settings, &["doctor", "--timeout", "2"]).await;
    // Only a deployed function names these.
    let diagnosis = Diagnosis {
        verdict: Verdict::Failed,
        deployed: Some(Deployed {
            function: "archiver".to_owned(),
            version: "0.1.0".to_owned(),
            settings: Vec::new(),
        }),
        checks: vec![Check::new("archive", Verdict::Failed, "refused").of_type("ArchiveDenied")],
    };
    doctor.extend(members_of("doctor", &json!(diagnosis)));
    check("doctor", &doctor);
}

fn finding() -> Finding {
    Finding {
        id: String::new(),
        severity: Severity::Fatal,
        title: String::new(),
        signature: String::new(),
        count: 1,
    }
}

/// Every outcome that there is, with all that it can have.
fn outcomes() -> Vec<Outcome> {
    let instance_id = InstanceId::parse(ID).unwrap();
    let resume = Some(json!({"sweep": {}}));
    let stored = Stored {
        record: StoredRecord {
            instance_id: instance_id.clone(),
            key: String::new(),
            url: String::new(),
            last_update_time: String::new(),
            console_bytes: 1,
            gzip_bytes: 1,
        },
        freshness: Some(Freshness::Fresh),
        earlier: vec![String::new()],
        findings: vec![finding()],
        screenshots: vec![String::new()],
    };
    vec![
        Outcome::Stored(stored.clone()),
        Outcome::AlreadyStored(stored),
        Outcome::Following {
            instance_id: instance_id.clone(),
            follow_in_seconds: 45,
            urls: Vec::new(),
            findings: vec![finding()],
            screenshots: Vec::new(),
        },
        Outcome::NoConsole {
            instance_id,
            reason: NoConsole::NotRunning,
            code: "IncorrectInstanceStatus".to_owned(),
            message: "",
            marker_url: Some(String::new()),
            screenshots: Vec::new(),
        },
        Outcome::Swept {
            done: Tally {
                failures: vec![String::new()],
                with_screenshot: 1,
                ..Tally::default()
            },
            resume: resume.clone(),
        },
        Outcome::Redriven {
            done: RedriveTally::default(),
            resume,
        },
        Outcome::Compacted(Compacted::default()),
        Outcome::Examined(Box::new(Examination {
            version: "0.1.0".into(),
            settings: Vec::new(),
            checks: vec![Check::new("archive", Verdict::Failed, "").of_type("ArchiveDenied")],
        })),
        Outcome::Ignored {
            reason: "not_a_trigger",
            message: String::new(),
        },
    ]
}

#[tokio::test]
async fn outcomes_have_the_members_of_the_page() {
    let mut all = BTreeSet::new();
    for outcome in outcomes() {
        all.extend(members_of("invoke", &json!(outcome)));
    }
    // What stands in place of an outcome, from the recorded results of the real program.
    let recorded = root().join("tests/fixtures/unchanged/commands.txt");
    let recorded = std::fs::read_to_string(recorded).unwrap();
    let invoked = recorded
        .split("\n== console-archive ")
        .filter(|part| part.starts_with("invoke"));
    for line in invoked.flat_map(|part| part.lines().filter_map(|line| line.strip_prefix("> "))) {
        all.extend(printed("invoke", line.as_bytes()));
    }
    let dropped = json!({"dropped": "", "error": {"errorType": "", "errorMessage": ""}});
    all.extend(members_of("redrive", &dropped));
    check("capture", &all);
    all.extend(["error_type", "key", "stored_at", "url"].map(str::to_owned));
    check("redrive", &all);
}

#[tokio::test]
async fn a_copy_has_the_members_of_the_page() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let (from, to) = (folders.path().join("from"), folders.path().join("to"));
    archived::put_into_folder(&from, &objects).await;
    let mut other = objects.clone();
    other.retain(|key, _| key.ends_with(".log.gz"));
    for object in other.values_mut().take(1) {
        object.metadata.clear();
    }
    archived::put_into_folder(&to, &other).await;
    let to = url::Url::from_file_path(&to).unwrap();
    let arguments = ["copy", "--to", to.as_str(), "--metadata"];
    check("copy", &seen(&folder_settings(&from), &arguments).await);
}

#[tokio::test]
async fn an_export_has_the_members_of_the_page() {
    let folders = tempfile::tempdir().unwrap();
    let from = folders.path().join("from");
    archived::put_into_folder(&from, &archived::small(Timestamp::now())).await;
    let to = folders.path().join("logs.tar");
    let arguments = ["export", "-o", to.to_str().unwrap()];
    check("export", &seen(&folder_settings(&from), &arguments).await);
}
