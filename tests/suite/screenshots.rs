//! Screenshots in an archive: every command knows them, in every kind of store.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::model::console::NoConsole;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::printed::checked;
use crate::support::served::Served;
use crate::support::*;

const STOP: &str = "stop.jpg";
const MENU: &str = "boot-menu.png";
const HTML: &[u8] = b"<!DOCTYPE html><script>alert(1)</script>";

/// A machine with a console and screenshots beside it, and one that has screenshots alone; and their keys.
struct Archive {
    kept: Kept,
    /// The newest is the last.
    windows: Vec<String>,
    beside: String,
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

fn archive() -> Archive {
    let mut kept = Kept::of(0);
    let (linux, windows) = (instance_id(1), instance_id(2));
    let console =
        b"[    0.000000] Linux version 6.1.0\r\n[    2.0] Kernel panic - not syncing: x\r\n";
    kept.record(&linux, console, days_ago(20));
    let beside = kept.screenshot(&linux, &picture(MENU), days_ago(20), None);
    let none = Some(NoConsole::NotSupported);
    let of_windows = [
        kept.screenshot(&windows, &picture(STOP), days_ago(9), none),
        kept.screenshot(&windows, &picture(MENU), days_ago(8), none),
        kept.screenshot(&windows, &picture(STOP), days_ago(7), none),
    ];
    kept.marker(&instance_id(3), days_ago(6));
    Archive {
        kept,
        windows: of_windows.to_vec(),
        beside,
    }
}

async fn run(placed: &Placed, arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let output = cli(&placed.settings, arguments).await;
    (output.status.code(), output.stdout, text(&output.stderr))
}

#[track_caller]
fn json(code: Option<i32>, stdout: &[u8], stderr: &str) -> Value {
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_slice(stdout).unwrap()
}

async fn listed(placed: &Placed, arguments: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = run(placed, &[arguments, &["--output", "json"]].concat()).await;
    json(code, &stdout, &stderr).as_array().unwrap().clone()
}

fn names(listed: &[Value]) -> Vec<&str> {
    let names = listed.iter().map(|one| one["name"].as_str());
    names.map(Option::unwrap_or_default).collect()
}

fn name(key: &str) -> &str {
    key.split_once('/').unwrap().1
}

#[tokio::test]
async fn listings_show_them_where_they_belong_in_every_store() {
    let archive = archive();
    let of_windows: Vec<_> = archive.windows.iter().map(|key| name(key)).collect();
    for kept in [
        archive.kept.clone().with_rows(),
        archive.kept.clone().with_days(),
    ] {
        for place in Place::ALL {
            let placed = kept.place(place).await;
            let of_instance = listed(&placed, &["list", "i-kept0002"]).await;
            assert_eq!(names(&of_instance), of_windows, "{place:?}");
            assert_eq!(of_instance[0]["pixels"], "800x600");
            assert_eq!(of_instance[0]["reason"], "not_supported");
            let of_fleet = listed(&placed, &["list", "--outcome", "screenshot"]).await;
            let mut expected = vec![name(&archive.beside)];
            expected.extend(&of_windows);
            assert_eq!(names(&of_fleet), expected, "{place:?}");
            assert_eq!(of_fleet[0]["outcome"], "screenshot");
            let boots = listed(&placed, &["boots", "i-kept0001"]).await;
            assert_eq!(boots.len(), 2, "the boot, and the picture beside it");
            assert_eq!(boots[1]["name"], name(&archive.beside));
            let (code, stdout, stderr) = run(&placed, &["boots", "i-kept0002"]).await;
            assert_eq!(code, Some(0), "{stderr}");
            assert!(text(&stdout).contains(of_windows[2]), "{}", text(&stdout));
            let (code, _, told) = run(&placed, &["get", "i-kept0002"]).await;
            assert_eq!(code, Some(3));
            let advice = "console-archive get i-kept0002 --screenshot";
            assert!(
                told.contains("it has 3 screenshots") && told.contains(advice),
                "{told}"
            );
        }
    }
}

#[tokio::test]
async fn the_picture_comes_back_as_it_came_and_into_no_terminal_or_file_that_is_there() {
    let archive = archive();
    let folder = tempfile::tempdir().unwrap();
    for place in Place::ALL {
        let placed = archive.kept.clone().with_days().place(place).await;
        let get = ["get", "i-kept0002", "--screenshot"];
        let got = async |more: &[&str]| run(&placed, &[&get, more].concat()).await;
        let (code, stdout, stderr) = got(&[]).await;
        assert!(code == Some(0) && stdout == picture(STOP), "{stderr}");
        let (_, stdout, _) = got(&["--previous"]).await;
        assert!(stdout == picture(MENU));
        let (_, stdout, _) = got(&["--at", name(&archive.windows[1])]).await;
        assert!(stdout == picture(MENU));
        let day = days_ago(8).strftime("%Y-%m-%d").to_string();
        let (_, stdout, _) = got(&["--at", &day]).await;
        assert!(stdout == picture(MENU));
        for more in [&["--previous=3"][..], &["--at", "2018-03-22"]] {
            let (code, stdout, stderr) = got(more).await;
            assert_eq!((code, stdout.len()), (Some(3), 0), "{stderr}");
            assert!(
                stderr.contains("no such screenshot, and 3 screenshots"),
                "{stderr}"
            );
        }
        let path = folder.path().join(format!("{place:?}").replace(' ', "_"));
        let path = path.to_str().unwrap();
        let (code, stdout, stderr) = got(&["-o", path]).await;
        assert_eq!((code, stdout.len()), (Some(0), 0), "{stderr}");
        assert!(std::fs::read(path).unwrap() == picture(STOP));
        let (code, _, stderr) = got(&["-o", path, "--previous"]).await;
        assert_eq!(code, Some(2));
        assert!(stderr.contains("is there already"), "{stderr}");
        assert!(std::fs::read(path).unwrap() == picture(STOP));
        // A limit of the size of files does what a full disk does: nothing is left that is cut.
        let cut = format!("{path}.cut");
        let limited =
            "ulimit -f 1; trap '' XFSZ; exec \"$0\" get i-kept0002 --screenshot -o \"$1\"";
        let mut command = Command::new("bash");
        command
            .args(["-c", limited])
            .arg(program("console-archive"))
            .arg(&cut)
            .env_clear()
            .envs(placed.settings.iter().cloned());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
        let output = checked(output.unwrap());
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(!std::path::Path::new(&cut).exists());
        let (_, page, _) = run(&placed, &["report", "--since", "-30d", "--html", "-"]).await;
        let counted = "<dt>instances</dt><dd>3</dd>";
        assert!(text(&page).contains(counted), "{}", text(&page));
        let (code, stdout, stderr) = got(&["--output", "json"]).await;
        let json = json(code, &stdout, &stderr);
        assert_eq!(json["metadata"]["screenshot-pixels"], "800x600");
        assert!(
            json["image"].as_str().unwrap().starts_with("/9j/"),
            "Base64 of a JPEG"
        );
    }
}

/// What `verify` says of each key.
async fn faults(placed: &Placed, options: &[&str]) -> Vec<(String, String)> {
    let arguments = [&["verify", "--output", "json"], options].concat();
    let (_, stdout, stderr) = run(placed, &arguments).await;
    let lines = text(&stdout);
    let lines = lines.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}{stderr}"))
    });
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let of_objects = lines.filter(|line| line["key"].is_string());
    let faults = of_objects.map(|line| (word(&line, "key"), word(&line, "fault")));
    faults.collect()
}

#[tokio::test]
async fn verify_knows_whole_ones_and_finds_what_is_wrong_with_others() {
    let archive = archive();
    let [first, second, third] = &archive.windows[..] else {
        unreachable!("there are three")
    };
    for place in Place::ALL {
        let placed = archive.kept.clone().with_catalog().place(place).await;
        assert_eq!(faults(&placed, &[]).await, [], "{place:?}");
        assert_eq!(faults(&placed, &["--quick"]).await, [], "{place:?}");
        let mut kept = archive.kept.clone();
        kept.change(first, |object| object.body = HTML.to_vec());
        kept.change(second, |object| {
            object
                .metadata
                .insert("screenshot-pixels".into(), "1x1".into());
        });
        kept.objects.remove(third);
        let mut kept = kept.with_catalog();
        let mut other = archive.kept.objects[&archive.beside].clone();
        other.0.metadata.remove("captured-at");
        kept.objects
            .insert("i-kept0009/20240322Z-000000000000.png".into(), other);
        let placed = kept.place(place).await;
        let found = faults(&placed, &[]).await;
        let expected = [
            (first.as_str(), "image"),
            (second, "metadata"),
            (third, "missing"),
            ("i-kept0009/20240322Z-000000000000.png", "digest"),
            ("i-kept0009/20240322Z-000000000000.png", "no_row"),
        ];
        let expected: BTreeSet<_> = expected
            .map(|(key, fault)| (key.to_owned(), fault.to_owned()))
            .into();
        assert_eq!(
            found.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "{place:?}"
        );
        // Whoever reads it gets nothing of it.
        let get = ["get", "i-kept0002", "--screenshot", "--at", name(first)];
        let (code, stdout, stderr) = run(&placed, &get).await;
        assert_eq!((code, stdout.len()), (Some(1), 0), "{stderr}");
        assert!(
            stderr.contains("begins as neither a JPEG nor a PNG"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_copy_and_an_export_have_them_and_nothing_that_is_none() {
    let archive = archive();
    for place in Place::ALL {
        let mut kept = archive.kept.clone();
        kept.change(&archive.windows[0], |object| object.body = HTML.to_vec());
        let placed = kept.with_catalog().place(place).await;
        let to = tempfile::tempdir().unwrap();
        let url = url::Url::from_file_path(to.path()).unwrap().to_string();
        let (code, stdout, stderr) = run(&placed, &["copy", "--to", &url]).await;
        assert_eq!(code, Some(1), "one is left out: {}{stderr}", text(&stdout));
        let has = |key: &String| to.path().join(key).exists();
        assert!(!has(&archive.windows[0]), "{place:?}");
        for key in &archive.windows[1..] {
            assert!(
                has(key) && has(&format!("{key}.meta.json")),
                "{key} {place:?}"
            );
        }
        let copy = folder_settings(to.path());
        let got = cli(&copy, &["get", "i-kept0002", "--screenshot"]).await;
        assert!(got.stdout == picture(STOP), "{}", text(&got.stderr));
        for (options, path) in [
            (&[][..], archive.windows[2].clone()),
            (&["--as-stored"], archive.windows[2].clone()),
        ] {
            let out = tempfile::tempdir().unwrap();
            let out = out.path().join("out");
            let out = out.to_str().unwrap();
            let arguments = [&["export", "-o", out, "i-kept0002"], options].concat();
            let (code, stdout, stderr) = run(&placed, &arguments).await;
            assert_eq!(code, Some(1), "one is damaged: {stderr}");
            let (fate, count) = match options.is_empty() {
                true => ("left out: ", "exported 2 screenshots of 1 instance"),
                false => ("exported as it is: ", "exported 3 objects of 1 instance"),
            };
            assert!(stderr.contains(&format!("warning: {fate}")), "{stderr}");
            assert!(text(&stdout).starts_with(count), "{}", text(&stdout));
            let exported = std::path::Path::new(out).join(path);
            assert!(
                std::fs::read(exported).unwrap() == picture(STOP),
                "{options:?}"
            );
        }
    }
}

#[tokio::test]
async fn of_a_damaged_picture_the_catalog_does_not_say_that_it_is_kept() {
    let archive = archive();
    for is_damaged in [false, true] {
        let mut kept = archive.kept.clone();
        for key in archive.windows.iter().filter(|_| is_damaged) {
            kept.change(key, |object| object.body = HTML.to_vec());
        }
        let placed = kept.place(Place::Folder).await;
        run(&placed, &["reindex"]).await;
        let of_instance = ["findings", "--instance", "i-kept0002", "--output", "json"];
        let (_, stdout, stderr) = run(&placed, &of_instance).await;
        let is_told = text(&stdout).contains("no-console-output");
        assert_eq!(is_told, !is_damaged, "{}{stderr}", text(&stdout));
    }
}

#[tokio::test]
async fn the_catalog_is_built_anew_with_them_and_joined() {
    let archive = archive();
    for place in Place::ALL {
        let placed = archive.kept.clone().with_catalog().place(place).await;
        let shown = ["list", "--since", "-30d"];
        let before = listed(&placed, &shown).await;
        for command in ["reindex", "compact"] {
            let (code, _, stderr) = run(&placed, &[command]).await;
            assert_eq!(code, Some(0), "{command}: {stderr}");
        }
        let key_and_facts = |listed: &[Value]| {
            let mut all: Vec<_> = (listed.iter())
                .map(|one| {
                    let names = [
                        "key",
                        "outcome",
                        "reason",
                        "captured_at",
                        "sha256",
                        "gzip_bytes",
                    ];
                    names.map(|name| one[name].to_string())
                })
                .collect();
            all.sort();
            all
        };
        let anew = listed(&placed, &shown).await;
        assert_eq!(before.len(), 6);
        let screenshots = |listed: Vec<Value>| -> Vec<Value> {
            let of_kind = |one: &Value| one["outcome"] == "screenshot";
            listed.into_iter().filter(of_kind).collect()
        };
        let joined = archive.kept.clone().with_days().place(place).await;
        let joined = screenshots(listed(&joined, &shown).await);
        assert_eq!(
            key_and_facts(&screenshots(anew)),
            key_and_facts(&joined),
            "{place:?}"
        );
        assert_eq!(faults(&placed, &[]).await, [], "{place:?}");
    }
}

#[tokio::test]
async fn prune_takes_those_that_are_older_than_all_that_stays() {
    let archive = archive();
    for place in Place::ALL {
        let placed = archive.kept.clone().with_catalog().place(place).await;
        let keep = [
            "prune",
            "--keep-within",
            "8d 12h",
            "--apply",
            "--max-remove",
            "100",
        ];
        let (code, stdout, stderr) = run(&placed, &keep).await;
        assert_eq!(code, Some(0), "{}{stderr}", text(&stdout));
        assert!(
            text(&stdout).contains("1 screenshot"),
            "{}{stderr}",
            text(&stdout)
        );
        let keys = placed.keys();
        assert!(!keys.contains(&archive.windows[0]), "{place:?}");
        assert!(keys.contains(&archive.windows[1]) && keys.contains(&archive.windows[2]));
        assert_eq!(faults(&placed, &[]).await, [], "{place:?}");
        let pruned = listed(&placed, &["list", "--outcome", "pruned"]).await;
        assert!(
            names(&pruned).contains(&name(&archive.windows[0])),
            "{pruned:?}"
        );
    }
}

/// A day with pictures counts as a boot where there is none, and goes with its boots where there are some.
#[tokio::test]
async fn rules_by_count_prune_pictures_as_they_prune_boots() {
    let mut kept = Kept::of(0);
    let (linux, windows) = (instance_id(1), instance_id(2));
    let none = Some(NoConsole::NotSupported);
    let mut of_windows = Vec::new();
    for days in [90, 60, 30, 29, 2] {
        of_windows.push(kept.screenshot(&windows, &picture(STOP), days_ago(days), none));
    }
    let marker = kept.marker(&windows, days_ago(95));
    // The first and the third boot panic. Something was seen on the day of each, which is the last one of the boot before
    // it; of the second after some days; and before the first.
    let mut of_linux = Vec::new();
    for (boot, days) in [80, 50, 40, 3].into_iter().enumerate() {
        let end = if boot % 2 == 0 {
            "Kernel panic - not syncing: x"
        } else {
            "reboot: Restarting system"
        };
        let console =
            format!("[    0.000000] Linux version 6.1.{boot}\r\n[    2.{boot:06}] {end}\r\n");
        kept.record(&linux, console.as_bytes(), days_ago(days));
        of_linux.push(kept.screenshot(&linux, &picture(MENU), days_ago(days), None));
    }
    of_linux.push(kept.screenshot(&linux, &picture(STOP), days_ago(45), None));
    of_linux.push(kept.screenshot(&linux, &picture(STOP), days_ago(85), None));
    let cases: [(&[&str], &[usize], &[usize]); 4] = [
        (&["--keep-last", "2"], &[3, 4], &[2, 3]),
        (
            &["--keep-last", "1", "--keep-within", "35d"],
            &[2, 3, 4],
            &[3],
        ),
        // What is said of logs alone says nothing of a machine that has none.
        (&["--keep-ending", "panic"], &[0, 1, 2, 3, 4], &[0, 1, 2, 3]),
        (
            &["--keep-last", "1", "--keep-ending", "panic"],
            &[4],
            &[0, 1, 2, 3],
        ),
    ];
    for (rules, windows_stay, linux_stay) in cases {
        let placed = kept.clone().with_catalog().place(Place::Folder).await;
        let options = ["prune", "--max-remove", "100", "--apply"];
        let (code, stdout, stderr) = run(&placed, &[&options[..], rules].concat()).await;
        let shown = text(&stdout);
        assert_eq!(code, Some(0), "{shown}{stderr}");
        let keys = placed.keys();
        let there = |all: &[String]| -> Vec<usize> {
            let there = all.iter().enumerate().filter(|(_, key)| keys.contains(key));
            there.map(|(place, _)| place).collect()
        };
        assert_eq!(there(&of_windows), windows_stay, "{rules:?}: {shown}");
        assert_eq!(there(&of_linux), linux_stay, "{rules:?}: {shown}");
        assert_eq!(keys.contains(&marker), windows_stay.len() == 5, "{rules:?}");
        let is_told = |what: &str| shown.lines().any(|line| line.contains(what));
        assert_eq!(
            is_told("REMOVE  of days that no rule keeps: "),
            windows_stay.len() < 5,
            "{shown}"
        );
        assert_eq!(faults(&placed, &[]).await, [], "{rules:?}");
    }
}

/// What `serve` answers: the picture beside the log, and nothing that is none.
#[tokio::test]
async fn serve_shows_them_beside_the_log_as_pictures_and_nothing_else() {
    let archive = archive();
    let mut kept = archive.kept.clone();
    kept.change(&archive.windows[0], |object| object.body = HTML.to_vec());
    let placed = kept.with_catalog().place(Place::Folder).await;
    let served = Served::entered(&placed.settings, &[]).await;
    let address = |key: &str| {
        let (id, name) = key.split_once('/').unwrap();
        format!("/i/{id}/s/{name}")
    };
    for (key, media_type, bytes) in [
        (&archive.windows[2], "image/jpeg", picture(STOP)),
        (&archive.beside, "image/png", picture(MENU)),
    ] {
        let got = served.get(&address(key)).await;
        assert!(got.status == 200 && got.body == bytes, "{}", got.head);
        assert_eq!(got.header("content-type"), media_type);
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        let policy = got.header("content-security-policy");
        assert!(
            policy.contains("sandbox") && policy.starts_with("default-src 'none'"),
            "{policy}"
        );
        let (id, name) = key.split_once('/').unwrap();
        let page = served.page(&format!("/i/{id}")).await;
        assert!(
            page.contains(&format!("<img src=\"{}\"", address(key))),
            "{page}"
        );
        assert!(
            served.page("/?since=-30d").await.contains("m-screenshot"),
            "{name}"
        );
    }
    let of_windows = served.page("/i/i-kept0002").await;
    let why = "There is no console: ECS keeps no console output for this type of instance.";
    assert!(of_windows.contains(why), "{of_windows}");
    assert!(
        !served
            .page("/i/i-kept0001")
            .await
            .contains("There is no console")
    );
    // Beside the log of its boot.
    let latest = served.get("/i/i-kept0001/b/latest").await;
    let boot = served.page(&latest.header("location")).await;
    assert!(boot.contains("What the screen showed"), "{boot}");
    assert!(boot.contains(&address(&archive.beside)));
    let damaged = served.get(&address(&archive.windows[0])).await;
    assert_eq!(
        (damaged.status, damaged.header("content-type").as_str()),
        (502, "text/html; charset=utf-8")
    );
    assert!(!damaged.text().contains("alert(1)"));
    for nothing in [
        "20240322Z-000000000000.jpg",
        "20240322Z-000000000000.svg",
        "..%2fa.jpg",
    ] {
        assert_eq!(
            served
                .get(&format!("/i/i-kept0002/s/{nothing}"))
                .await
                .status,
            404,
            "{nothing}"
        );
    }
}

#[tokio::test]
async fn on_a_terminal_it_is_drawn_by_the_protocol_that_is_asked_for() {
    let placed = archive().kept.with_days().place(Place::Folder).await;
    for (protocol, begins) in [
        ("kitty", "\x1b_Ga=T,f=100"),
        ("iterm2", "\x1b]1337;File=inline=1"),
        ("sixel", "\x1bP"),
    ] {
        let arguments = ["get", "i-kept0002", "--screenshot", "--inline", protocol];
        let (code, stdout, stderr) = run(&placed, &arguments).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert!(text(&stdout).starts_with(begins), "{protocol}");
    }
}

#[tokio::test]
async fn a_machine_that_has_only_pictures_has_a_finding_of_its_own() {
    for place in Place::ALL {
        let placed = archive().kept.with_catalog().place(place).await;
        let shown = ["findings", "--since", "-30d", "--output", "json"];
        let found = async |placed: &Placed| {
            let (_, stdout, _) = run(placed, &shown).await;
            let found: Value = serde_json::from_slice(&stdout).unwrap();
            let all = found["findings"]
                .as_array()
                .or(found.as_array())
                .unwrap()
                .clone();
            let of_rule = |one: &Value| one["id"] == "no-console-output";
            all.into_iter()
                .find(of_rule)
                .unwrap_or_else(|| panic!("{found}"))
        };
        let one = found(&placed).await;
        assert_eq!(one["signature"], "no-console-output:not_supported");
        assert_eq!(
            (&one["severity"], &one["instances"]),
            (&"info".into(), &1.into()),
            "{one}"
        );
        let (code, _, stderr) = run(&placed, &["reindex"]).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(
            found(&placed).await["signature"],
            "no-console-output:not_supported"
        );
    }
}

/// A page in a file, and how the command ended that wrote it.
async fn page_of(placed: &Placed, options: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let arguments = [&["export", "--html", file.to_str().unwrap()], options].concat();
    let (code, _, stderr) = run(placed, &arguments).await;
    let page = std::fs::read_to_string(&file).unwrap_or_default();
    (code, page, stderr)
}

fn in_itself(media_type: &str, picture: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(picture);
    format!("<img src=\"data:{media_type};base64,{base64}\"")
}

/// What a file with pictures may load, and one without.
const OWN_PICTURES: &str = "form-action 'none'; img-src data:\">";
const NOTHING: &str = "form-action 'none'\">";

#[tokio::test]
async fn a_page_for_a_ticket_has_its_pictures_in_itself_and_loads_no_other() {
    let mut archive = archive();
    let linux = instance_id(1);
    let console = b"[    0.000000] Linux version 6.1.0\r\n[    1.0] systemd[1]: x\r\n";
    archive.kept.record(&linux, console, days_ago(19));
    archive
        .kept
        .screenshot(&linux, &picture(STOP), days_ago(19), None);
    let (stop, menu) = (picture(STOP), picture(MENU));
    let (stop, menu) = (
        in_itself("image/jpeg", &stop),
        in_itself("image/png", &menu),
    );
    for place in Place::ALL {
        let placed = archive.kept.clone().with_days().place(place).await;
        for (options, pictures) in [
            (&["i-kept0001"][..], vec![&stop]),
            (&["i-kept0001", "--boot", "-1"], vec![&menu]),
            (
                &["i-kept0001", "--diff", "--baseline", "previous"],
                vec![&menu, &stop],
            ),
            // It has no console at all.
            (&["i-kept0002"], vec![&stop, &menu, &stop]),
        ] {
            let (code, page, stderr) = page_of(&placed, options).await;
            assert_eq!(code, Some(0), "{options:?}: {stderr}");
            assert_eq!(page.matches("<img").count(), pictures.len(), "{options:?}");
            for picture in pictures {
                assert!(page.contains(picture.as_str()), "{options:?}");
            }
            assert!(page.contains(OWN_PICTURES), "{options:?}");
            for never in ["src=\"/", "href=\"/", "<script", "<form"] {
                assert!(!page.contains(never), "{options:?}: {never}");
            }
        }
        let (_, page, _) = page_of(&placed, &["i-kept0002"]).await;
        let why = "There is no console: ECS keeps no console output for this type of instance.";
        assert!(page.contains(why), "{page}");
        for (options, code) in [
            (&["i-kept0002", "--boot", "-1"][..], 3),
            (&["i-kept0002", "--diff"], 3),
            (&["i-kept0003"], 3),
        ] {
            let (ended, page, stderr) = page_of(&placed, options).await;
            assert_eq!(
                (ended, page.as_str()),
                (Some(code), ""),
                "{options:?}: {stderr}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_for_a_ticket_says_which_picture_it_does_not_have() {
    let mut archive = archive();
    let key = archive.beside.clone();
    archive
        .kept
        .change(&key, |object| object.body = HTML.to_vec());
    // Padding makes them long, and they are other pictures then.
    let full = instance_id(4);
    let long = |more: usize| [picture(STOP), vec![0; (5 << 20) + more]].concat();
    let keys: Vec<_> = (0..4)
        .map(|day| {
            archive
                .kept
                .screenshot(&full, &long(day), days_ago(9 - day as i64), None)
        })
        .collect();
    let placed = archive.kept.with_days().place(Place::Folder).await;
    let (code, page, stderr) = page_of(&placed, &["i-kept0001"]).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("left out") && stderr.contains(&key),
        "{stderr}"
    );
    assert!(
        page.contains("it begins as neither a JPEG nor a PNG does"),
        "{page}"
    );
    assert!(page.contains("Kernel panic") && page.contains(NOTHING));
    assert!(!page.contains("<img") && !page.contains("alert(1)"));
    let (code, page, stderr) = page_of(&placed, &["i-kept0004"]).await;
    assert_eq!(
        (code, page.matches("<img").count()),
        (Some(0), 3),
        "{stderr}"
    );
    let command = format!(
        "console-archive get i-kept0004 --screenshot --at {} -o FILE",
        name(&keys[0])
    );
    assert!(page.contains(&command), "the oldest is left out");
}

#[tokio::test]
async fn numbers_are_the_same_wherever_a_fleet_is_counted() {
    let placed = archive().kept.with_catalog().place(Place::Folder).await;
    let (code, _, stderr) = run(&placed, &["reindex"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    let since = ["--since", "-30d"];
    let json = ["--output", "json"];
    let (code, stdout, stderr) = run(&placed, &[&["report"][..], &since, &json].concat()).await;
    let report = self::json(code, &stdout, &stderr);
    assert_eq!(
        (&report["instances_captured"], &report["instances"]),
        (&3.into(), &1.into())
    );
    let (code, stdout, stderr) = run(&placed, &[&["findings"][..], &since, &json].concat()).await;
    let findings = self::json(code, &stdout, &stderr);
    let signatures = |of: &Value| -> Vec<(String, u64)> {
        let all = of["findings"].as_array().or(of.as_array()).unwrap().iter();
        let mut all: Vec<_> = all
            .map(|one| {
                (
                    one["signature"].as_str().unwrap().to_owned(),
                    one["instances"].as_u64().unwrap(),
                )
            })
            .collect();
        all.sort();
        all
    };
    let there = signatures(&report);
    assert!(
        there.contains(&("no-console-output:not_supported".to_owned(), 1)),
        "{report}"
    );
    assert_eq!(there, signatures(&findings));
    let (_, stdout, _) = run(&placed, &[&["report"][..], &since].concat()).await;
    let told = text(&stdout).replace('\n', " ");
    assert!(
        told.contains("3 instances: 1 console, and 4 captures without one"),
        "{told}"
    );
    assert!(
        told.contains(&format!("{} signatures", there.len())),
        "{told}"
    );
    let served = Served::entered(&placed.settings, &[]).await;
    let fleet = served.page("/?since=-30d").await;
    assert!(fleet.contains("<dt>instances</dt><dd>3</dd>"), "{fleet}");
    assert!(
        fleet.contains("<dt>without a console</dt><dd>4</dd>"),
        "{fleet}"
    );
    for (signature, _) in there {
        assert!(fleet.contains(&signature), "{signature}");
    }
}
