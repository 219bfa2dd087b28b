//! `prune`: what no rule keeps goes, as a whole, and what stays is as before.

use std::collections::BTreeSet;

use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::model::ids::InstanceId;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::s3_server::{Denied, Profile, Quirk};
use crate::support::*;

/// A boot's console: so much of it as was captured at its first, second and third capture.
pub fn console(boot: usize, captures: usize) -> String {
    let mut console = format!("[    0.000000] Linux version 6.1.{boot}\r\n");
    for part in 0..captures {
        for line in 0..20 {
            console += &format!(
                "[    {part}.{line:02}{boot:04}] boot {boot} says line {line} of part {part}\r\n"
            );
        }
    }
    console
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An instance with boots of these ages in days, the oldest first, each captured three times within an hour; every
/// third one panics. What each has in the archive.
fn boots(kept: &mut Kept, id: &InstanceId, ages: &[i64], now: Timestamp) -> Vec<BTreeSet<String>> {
    let mut all = Vec::new();
    for (boot, days) in ages.iter().enumerate() {
        let mut keys = BTreeSet::new();
        for capture in 0..3 {
            let mut console = console(boot, capture + 1);
            if boot % 3 == 1 && capture == 2 {
                console += "[    9.000000] Kernel panic - not syncing: as told\r\n";
            }
            let at = now - DAY * (*days as i32) + SignedDuration::from_mins(20 * capture as i64);
            let record = kept.record(id, console.as_bytes(), at);
            if capture == 1 {
                keys.insert(kept.verdict(&record, at));
            }
            keys.insert(record.to_string());
        }
        all.push(keys);
    }
    all
}

async fn pruned(placed: &Placed, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = cli(&placed.settings, &[&["prune"], arguments].concat()).await;
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What the archive has but for its catalog.
fn objects(placed: &Placed) -> BTreeSet<String> {
    let keys = placed.keys().into_iter();
    keys.filter(|key| !key.starts_with("catalog/")).collect()
}

fn all<'a>(boots: impl IntoIterator<Item = &'a BTreeSet<String>>) -> BTreeSet<String> {
    boots.into_iter().flatten().cloned().collect()
}

#[tokio::test]
async fn what_no_rule_keeps_goes_with_all_that_belongs_to_it() {
    for place in Place::ALL {
        let now = Timestamp::now();
        let mut kept = Kept::default();
        let one = boots(&mut kept, &instance_id(1), &[200, 150, 100, 50, 2], now);
        let other = boots(&mut kept, &instance_id(10), &[300], now);
        let placed = kept.with_catalog().place(place).await;
        let before = placed.keys();
        let rules = ["--keep-within", "60d", "--keep-ending", "panic"];
        let (code, shown, told) = pruned(&placed, &rules).await;
        assert_eq!((code, &*told), (Some(0), ""), "{place:?}");
        let lines: Vec<_> = shown.lines().collect();
        let actions: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("i-kept"))
            .map(|line| {
                let cells: Vec<_> = line
                    .split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect();
                cells[cells.len() - 2..].join(": ")
            })
            .collect();
        let expected = [
            "REMOVE: no rule keeps it",
            "keep: ending panic",
            "REMOVE: no rule keeps it",
            "keep: within",
            // The second and the fifth panic.
            "keep: newest, within, ending panic",
            "keep: newest",
        ];
        assert_eq!(actions, expected, "{shown}");
        let end = "\n2 boots would go and 4 stay: 8 objects with ";
        assert!(shown.contains(end), "{shown}");
        let is_bucket = place != Place::Folder;
        assert_eq!(shown.contains("if the bucket keeps versions"), is_bucket);
        assert_eq!(placed.keys(), before, "nothing is removed without --apply");
        if let Some(bucket) = &placed.bucket {
            assert!(
                bucket
                    .server
                    .methods()
                    .iter()
                    .all(|method| ["GET", "HEAD"].contains(&&**method))
            );
        }
        // The same plan, and it is done.
        let (code, applied, told) = pruned(&placed, &[&rules[..], &["--apply"]].concat()).await;
        assert_eq!((code, &*told), (Some(0), ""), "{place:?}");
        let plan = |shown: &str| -> Vec<String> {
            let lines = shown.lines().filter(|line| line.contains("i-kept"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(plan(&applied), plan(&shown));
        let end = "\n2 boots went and 4 stay: removed 8 objects with ";
        assert!(applied.contains(end), "{applied}");
        let stay = all([&one[1], &one[3], &one[4], &other[0]]);
        assert_eq!(objects(&placed), stay, "{place:?}");
        // A listing of the fleet shows what is there, and what was pruned if one asks for it.
        let listed = cli(
            &placed.settings,
            &["list", "--since", "-400d", "--output", "json"],
        )
        .await;
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let listed: BTreeSet<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap().to_owned())
            .collect();
        let records: BTreeSet<_> = stay
            .into_iter()
            .filter(|key| key.ends_with(".log.gz"))
            .collect();
        assert_eq!(listed, records);
        let gone = cli(
            &placed.settings,
            &["list", "--since", "-400d", "--outcome", "pruned", "--count"],
        )
        .await;
        assert_eq!(text(&gone.stdout), "6\n");
        let gone = ["list", "--since", "-400d", "--outcome", "pruned"];
        let gone = text(&cli(&placed.settings, &gone).await.stdout);
        for key in one[0].iter().filter(|key| key.ends_with(".log.gz")) {
            let (_, name) = key.split_once('/').unwrap();
            let named = format!("  {}, pruned at 20", name.trim_end_matches(".log.gz"));
            assert!(gone.contains(&named), "{named}: {gone}");
        }
        let verified = cli(&placed.settings, &["verify"]).await;
        assert_eq!(
            verified.status.code(),
            Some(0),
            "{}",
            text(&verified.stdout)
        );
        // Again there is nothing to do.
        let (code, again, _) = pruned(&placed, &[&rules[..], &["--apply"]].concat()).await;
        assert_eq!(code, Some(0));
        assert!(
            again.ends_with("removed 0 objects with 0 bytes\n"),
            "{again}"
        );
    }
}

/// The panic may be in the part that is damaged.
#[tokio::test]
async fn of_an_instance_with_a_damaged_record_nothing_goes() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let one = boots(&mut kept, &instance_id(1), &[200, 150, 100, 2], now);
    let other = boots(&mut kept, &instance_id(2), &[200, 150, 2], now);
    let last = one[1].iter().rfind(|key| key.ends_with(".log.gz"));
    kept.change(last.unwrap(), |object| object.body.truncate(40));
    let placed = kept.with_catalog().place(Place::Folder).await;
    let rules = ["--keep-ending", "panic", "--max-remove", "100", "--apply"];
    let (code, shown, told) = pruned(&placed, &rules).await;
    assert_eq!(code, Some(1));
    assert!(
        told.contains("1 record damaged or not readable, and stays"),
        "{told}"
    );
    assert!(
        shown.contains("a record of the instance is damaged"),
        "{shown}"
    );
    assert_eq!(objects(&placed), all(one.iter().chain(&other[1..])));
}

/// Changed beside the console: by it, the record would be of another time, or its boot of another place among the others.
#[tokio::test]
async fn of_an_instance_with_a_record_whose_metadata_cannot_be_so_nothing_goes() {
    let now = Timestamp::now();
    let early = "1970-01-01T00:05:00Z".to_owned();
    let cases = [
        (
            "captured-at",
            early.clone(),
            "is long before the time in its key",
        ),
        ("captured-at", "soon".to_owned(), "is not a time"),
        (
            "captured-at",
            (now - DAY).to_string(),
            "and it was stored at",
        ),
        ("event-time", "yesterday".to_owned(), "is not a time"),
        (
            "last-update-time",
            "2024-03-22 10:04:57".to_owned(),
            "is not that of its key",
        ),
        ("undated", early, "is before any console was captured"),
    ];
    for (name, value, why) in cases {
        let mut kept = Kept::default();
        let (id, other) = (instance_id(1), instance_id(2));
        boots(&mut kept, &id, &[200, 150, 5], now);
        let old = kept.marker(&id, now - DAY * 250);
        let of_other = boots(&mut kept, &other, &[200, 150, 5], now);
        // The last record of the last boot.
        let mut key = kept
            .records()
            .into_iter()
            .rfind(|key| key.starts_with("i-kept0001/"));
        let mut metadata = name;
        if name == "undated" {
            let digest = key.as_ref().unwrap().rsplit_once('-').unwrap().1;
            let undated = format!("{id}/undated-{digest}");
            let (mut object, at) = kept.objects.remove(key.as_ref().unwrap()).unwrap();
            object.metadata.remove("last-update-time");
            kept.put(&undated, object, at);
            (key, metadata) = (Some(undated), "captured-at");
        }
        let key = key.unwrap();
        kept.change(&key, |object| {
            let before = object.metadata.insert(metadata.to_owned(), value.clone());
            assert!(before.is_some(), "{name}");
        });
        let placed = kept.with_catalog().place(Place::Folder).await;
        let before = objects(&placed);
        let rules = ["--keep-within", "10d", "--max-remove", "100", "--apply"];
        let (code, shown, told) = pruned(&placed, &rules).await;
        assert_eq!(code, Some(1), "{name} {value}: {shown}{told}");
        let stays = format!("stays: {} (its metadata says {metadata} ", placed.url(&key));
        assert!(
            told.contains(&stays) && told.contains(why),
            "{name} {value}: {told}"
        );
        let lines = shown.lines().filter(|line| line.contains(id.as_str()));
        for line in lines {
            let (_, reason) = line.split_once("  keep    ").unwrap_or_default();
            assert!(!reason.is_empty(), "{name} {value}: {line}");
        }
        let left: BTreeSet<_> = &before - &all(&of_other[..2]);
        assert_eq!(objects(&placed), left, "{name} {value}");
        assert!(left.contains(&old));
        // It is what verify calls damaged.
        let verified = cli(&placed.settings, &["verify"]).await;
        let fault = format!("{key}\tmetadata\t");
        assert!(text(&verified.stdout).contains(&fault), "{name} {value}");
    }
}

/// A disk that was restored, or a tar file without times, has files that are older than what they say.
#[tokio::test]
async fn the_time_of_storing_alone_lets_nothing_go() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let marker = kept.marker(&id, now - DAY);
    let updated_at = (now - DAY * 10).strftime("%Y%m%dT%H%M%S");
    let undecoded = format!("{id}/{updated_at}-5891b5b522d5-undecoded.log.gz");
    let of_boots = boots(&mut kept, &id, &[300, 20], now);
    let record = kept.records().remove(0);
    let (mut object, _) = kept.objects[&record].clone();
    object.body = ecs_console_archiver::archive::record::pack(b"hello\n").unwrap();
    kept.put(&undecoded, object, now);
    for key in [&marker, &undecoded] {
        kept.objects.get_mut(key).unwrap().1 = Timestamp::UNIX_EPOCH;
    }
    let placed = kept.with_catalog().place(Place::Folder).await;
    let rules = ["--keep-last", "1", "--max-remove", "100", "--apply"];
    let (code, shown, told) = pruned(&placed, &rules).await;
    assert_eq!(code, Some(0), "{shown}{told}");
    let mut stay = of_boots[1].clone();
    stay.extend([marker, undecoded]);
    assert_eq!(objects(&placed), stay, "{shown}");
}

#[tokio::test]
async fn without_a_rule_or_with_too_much_nothing_goes() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    boots(&mut kept, &instance_id(1), &[200, 150, 100, 2], now);
    let placed = kept.with_catalog().place(Place::Bucket(Profile::Aws)).await;
    let before = placed.keys();
    for none in [&["--apply"][..], &["--keep-last", "0", "--apply"]] {
        let (code, _, told) = pruned(&placed, none).await;
        assert_eq!(code, Some(2));
        assert!(told.contains("no rule keeps anything"), "{told}");
    }
    for wrong in [
        ["--keep-within", "-90d"],
        ["--keep-within", "0d"],
        ["--keep-within", "0h"],
        ["--keep-ending", "oom"],
        ["--keep-last", "x"],
    ] {
        assert_eq!(pruned(&placed, &wrong).await.0, Some(2), "{wrong:?}");
    }
    // Nor with another rule beside it.
    let (code, _, told) = pruned(&placed, &["--keep-within", "0d", "--keep-last", "1"]).await;
    assert_eq!(code, Some(2));
    assert!(
        told.contains("a time of 0 keeps nothing: give one such as 90d"),
        "{told}"
    );
    let most = ["--keep-last", "1", "--apply"];
    let (code, _, told) = pruned(&placed, &most).await;
    assert_eq!(code, Some(1));
    assert!(
        told.contains(
            "refused: 9 of 12 records would go, more than --max-remove 50 allows: nothing was removed"
        ),
        "{told}"
    );
    // The plan says what it would need.
    let (code, shown, told) = pruned(&placed, &most[..2]).await;
    assert_eq!((code, &*told), (Some(0), ""));
    assert!(
        shown.contains("; --apply needs --max-remove 75 to remove them\n"),
        "{shown}"
    );
    assert_eq!(placed.keys(), before);
    let (code, ..) = pruned(&placed, &[&most[..], &["--max-remove", "75"]].concat()).await;
    assert_eq!((code, objects(&placed).len()), (Some(0), 4));
    // Of another instance there is nothing, although its ID begins like this one's.
    let (code, _, told) = pruned(&placed, &["--keep-last", "1", "--instance", "i-kept000"]).await;
    assert_eq!(code, Some(3), "{told}");
}

/// Markers go once every boot that is kept is newer, and verdicts whose record is gone go, too.
#[tokio::test]
async fn what_belongs_to_no_boot_goes_with_the_old() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let of_boots = boots(&mut kept, &id, &[200, 2], now);
    let old = kept.marker(&id, now - DAY * 150);
    let new = kept.marker(&id, now - DAY);
    let mut lost = Kept::default();
    let record = lost.record(&id, b"lost\r\n", now - DAY * 90);
    let orphan = kept.verdict(&record, now - DAY * 90);
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (code, shown, _) = pruned(&placed, &["--keep-last", "1", "--apply"]).await;
    assert_eq!(code, Some(0));
    assert!(
        shown.contains("older than everything that is kept: 1 marker"),
        "{shown}"
    );
    let there = objects(&placed);
    assert!(
        !there.contains(&old) && !there.contains(&orphan),
        "{there:?}"
    );
    let mut stay = of_boots[1].clone();
    stay.insert(new);
    assert_eq!(there, stay);
}

/// A record in which one boot ends and the next begins stays as long as either does.
#[tokio::test]
async fn a_record_that_two_boots_share_stays_with_either() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let at = |days: i32| now - DAY * days;
    let first = kept.record(&id, console(0, 1).as_bytes(), at(200));
    let both = format!(
        "{}[    9.000000] reboot: Restarting system\r\n{}",
        console(0, 2),
        console(1, 1)
    );
    let shared = kept.record(&id, both.as_bytes(), at(100));
    let last = kept.record(&id, console(2, 2).as_bytes(), at(2));
    let placed = kept.with_catalog().place(Place::Folder).await;
    let ids = async || -> Vec<String> {
        let output = cli(
            &placed.settings,
            &["boots", id.as_str(), "--output", "json"],
        )
        .await;
        let boots: Value = serde_json::from_slice(&output.stdout).unwrap();
        let boots = boots.as_array().unwrap().iter();
        boots
            .map(|boot| boot["boot_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let second = format!("{}.2", shared.name());
    assert_eq!(ids().await, [first.name(), second.clone(), last.name()]);
    let arguments = ["--keep-last", "2", "--apply"];
    let (code, shown, _) = pruned(&placed, &arguments).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("no rule keeps it; 1 record stays, which a boot that is kept shares"),
        "{shown}"
    );
    let stay: BTreeSet<_> = [shared.to_string(), last.to_string()].into();
    assert_eq!(objects(&placed), stay, "without {first}");
    // What the record has of the first boot is a boot of its own, and the names of the others stay theirs.
    assert_eq!(ids().await, [shared.name(), second, last.name()]);
    let (_, shown, _) = pruned(&placed, &arguments).await;
    assert!(
        shown.contains("a boot that is kept shares its records"),
        "{shown}"
    );
    assert_eq!(objects(&placed), stay);
}

/// One of its records goes with the boot before, and the other one stays with the boot behind.
#[tokio::test]
async fn a_boot_that_loses_a_record_with_the_boot_before_it_is_told_to_go() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let restart = "[    9.000000] reboot: Restarting system\r\n";
    let at = |days: i32| now - DAY * days;
    let first = format!("{}{restart}{}", console(0, 2), console(1, 1));
    let first = kept.record(&id, first.as_bytes(), at(200));
    let shared = format!("{}{restart}{}", console(1, 2), console(2, 1));
    let shared = kept.record(&id, shared.as_bytes(), at(2));
    let placed = kept.with_catalog().place(Place::Folder).await;
    let arguments = ["--keep-last", "1"];
    let (code, shown, told) = pruned(&placed, &arguments).await;
    assert_eq!((code, &*told), (Some(0), ""), "{shown}");
    assert!(
        shown
            .contains("REMOVE  no rule keeps it; 1 record stays, which a boot that is kept shares"),
        "{shown}"
    );
    assert!(
        shown.contains("\n2 boots would go and 1 stays: 1 object with "),
        "{shown}"
    );
    let json = [&arguments[..], &["--output", "json"]].concat();
    let (_, lines, _) = pruned(&placed, &json).await;
    let actions: Vec<_> = (lines.lines())
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone())
        .collect();
    assert_eq!(
        actions,
        ["remove".into(), "remove".into(), "keep".into(), Value::Null]
    );
    let apply = [&arguments[..], &["--apply"]].concat();
    let (code, shown, _) = pruned(&placed, &apply).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("\n2 boots went and 1 stays: removed 1 object with "),
        "{shown}"
    );
    assert_eq!(
        objects(&placed),
        [shared.to_string()].into(),
        "without {first}"
    );
}

/// The boot behind it shows that its end is not known. Behind the one after that, nothing would.
#[tokio::test]
async fn what_is_told_to_be_missing_of_a_boot_that_is_kept_stays_told() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let at = |days: i32| now - DAY * days;
    let panic = "[    9.000000] Kernel panic - not syncing: as told\r\n";
    let first = format!("{}{panic}", console(0, 2));
    let first = kept.record(&id, first.as_bytes(), at(200));
    let restart = "[    9.000000] reboot: Restarting system\r\n";
    let second = format!("{}{restart}", console(1, 2));
    let second = kept.record(&id, second.as_bytes(), at(100));
    // Its beginning is lost.
    let last = console(2, 3).replace(&console(2, 1), "");
    let last = kept.record(&id, last.as_bytes(), at(2));
    let placed = kept.with_catalog().place(Place::Folder).await;
    let marks = async || -> Value {
        let arguments = ["boots", id.as_str(), "--output", "json"];
        let output = cli(&placed.settings, &arguments).await;
        let boots: Value = serde_json::from_slice(&output.stdout).unwrap();
        boots[0]["marks"].clone()
    };
    let before = marks().await;
    assert_eq!(before[0]["kind"], "end_unknown", "{before}");
    let rules = ["--keep-ending", "panic", "--apply"];
    let (code, shown, _) = pruned(&placed, &rules).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("needed to tell other boots apart"),
        "{shown}"
    );
    assert_eq!(marks().await, before);
    let all = [first, second, last].map(|key| key.to_string());
    assert_eq!(objects(&placed), all.into());
}

/// By its ID, its family, or how bad it is.
#[tokio::test]
async fn boots_that_show_a_finding_are_kept() {
    let now = Timestamp::now();
    let lines = [
        "",
        "[    8.000000] EXT4-fs error (device vda1): ext4_lookup:1855: inode #2: comm ls: deleted inode referenced: 12\r\n",
        "/dev/vda1: ***** FILE SYSTEM WAS MODIFIED *****\r\n",
        "[    8.000000] VFS: Cannot open root device \"vda1\" or unknown-block(0,0): error -6\r\n",
        "",
    ];
    let mut kept = Kept::default();
    let id = instance_id(1);
    for (boot, line) in lines.into_iter().enumerate() {
        let at = now - DAY * (100 - 10 * boot as i32);
        let console = format!("{}{line}", console(boot, 2));
        kept.record(&id, console.as_bytes(), at);
    }
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (error, warning, fatal) = (
        Some("finding ext4-error"),
        Some("finding fsck-repaired"),
        Some("finding root-not-mounted"),
    );
    for (asked, expected) in [
        ("ext4-error", [error, None, None]),
        ("filesystem", [error, warning, None]),
        ("error", [error, None, fatal]),
        ("warning", [error, warning, fatal]),
        ("root,fsck-repaired", [None, warning, fatal]),
    ] {
        let arguments = [
            "--keep-finding",
            asked,
            "--max-remove",
            "100",
            "--output",
            "json",
        ];
        let (code, shown, told) = pruned(&placed, &arguments).await;
        assert_eq!(code, Some(0), "{told}");
        let boots: Vec<Value> = (shown.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let reasons: Vec<_> = (boots[..5].iter())
            .map(|boot| boot["reasons"][0].as_str())
            .collect();
        let [one, two, three] = expected;
        assert_eq!(reasons, [None, one, two, three, Some("newest")], "{asked}");
    }
    let (code, _, told) = pruned(&placed, &["--keep-finding", "bad-luck"]).await;
    assert_eq!(code, Some(2));
    assert!(
        told.contains("there is no such finding: give an ID"),
        "{told}"
    );
}

/// A rule of one's own is found as the others are, by its ID and by the family of all of them.
#[tokio::test]
async fn findings_of_rules_of_ones_own_keep_boots_too() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.json");
    let own = r#"{"rules": [{"id": "own-tea-is-cold", "severity": "warning", "title": "The tea is cold",
        "advice": "Make some more.", "words": ["tea is cold"], "pattern": "tea is cold", "yes": ["tea is cold"]}]}"#;
    std::fs::write(&rules, own).unwrap();
    let (mut kept, now) = (Kept::default(), Timestamp::now());
    for (boot, days) in [200, 150, 2].into_iter().enumerate() {
        let at = now - SignedDuration::from_hours(24 * days);
        let said = if boot == 0 {
            "tea is cold"
        } else {
            "all is well"
        };
        let console =
            format!("[    0.000000] Linux version 6.1.{boot}\r\n[    1.{boot:06}] {said}\r\n");
        kept.record(&instance_id(1), console.as_bytes(), at);
    }
    let mut placed = kept.with_catalog().place(Place::Folder).await;
    let rules_of = ["--max-remove", "100", "--keep-finding"];
    for asked in ["own", "own-tea-is-cold"] {
        let asked = [&rules_of[..], &[asked]].concat();
        let (code, _, told) = pruned(&placed, &asked).await;
        assert_eq!(code, Some(2), "{told}");
        let address = rules.display().to_string();
        placed.settings.push(("FINDINGS_RULES".to_owned(), address));
        let (code, shown, told) = pruned(&placed, &asked).await;
        assert_eq!(code, Some(0), "{told}");
        assert!(shown.contains("finding own-tea-is-cold"), "{shown}");
        assert!(shown.contains("1 boot would go and 2 stay"), "{shown}");
        placed.settings.pop();
    }
}

/// Where the catalog does not reach back, the archive itself is listed. What it shows is there.
#[tokio::test]
async fn what_a_listing_of_the_archive_shows_is_not_hidden_by_its_row() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let of_boots = boots(&mut kept, &instance_id(1), &[200, 2], now);
    let pruned: Vec<_> = (kept.rows.iter())
        .map(|row| Row::pruned(row.subject.clone(), row.captured_at, now))
        .collect();
    kept.rows.extend(pruned);
    let placed = kept.with_catalog().place(Place::Folder).await;
    let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
    let records = all(&of_boots);
    let records = records.iter().filter(|key| key.ends_with(".log.gz"));
    assert_eq!(text(&listed.stdout), format!("{}\n", records.count()));
}

/// What may not be removed is told, stays listed, and costs no other boot its place.
#[tokio::test]
async fn what_is_locked_is_told_and_stays_listed() {
    for profile in [Profile::Aws, Profile::Oss { versioned: false }] {
        let now = Timestamp::now();
        let mut kept = Kept::default();
        let one = boots(&mut kept, &instance_id(1), &[200, 150, 2], now);
        let placed = kept.with_catalog().place(Place::Bucket(profile)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        // The second record of the oldest boot.
        let locked = one[0]
            .iter()
            .filter(|key| key.ends_with(".log.gz"))
            .nth(1)
            .unwrap()
            .clone();
        server.lock(&format!("kept/here/{locked}"));
        let arguments = ["--keep-last", "1", "--max-remove", "90", "--apply"];
        let (code, _, told) = pruned(&placed, &arguments).await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("2 objects may not be removed from"), "{told}");
        assert!(
            told.contains(&format!("locked: {}", placed.url(&locked))),
            "{told}"
        );
        let records =
            |keys: &BTreeSet<String>| keys.iter().filter(|key| key.ends_with(".log.gz")).count();
        let there = objects(&placed);
        assert_eq!(records(&there), 2 + 3, "{there:?}");
        assert!(all([&one[2]]).is_subset(&there) && there.contains(&locked));
        let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
        assert_eq!(text(&listed.stdout), "5\n", "{profile:?}");
        // Once joined, it is the same.
        assert!(cli(&placed.settings, &["compact"]).await.status.success());
        let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
        assert_eq!(text(&listed.stdout), "5\n", "{profile:?}");
    }
}

/// Only what went counts. What was refused costs rows once, and no more until it is tried again.
#[tokio::test]
async fn what_was_refused_is_counted_as_there_and_written_about_once() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    for number in 1..=2 {
        boots(&mut kept, &instance_id(number), &[200, 150, 2], now);
    }
    let placed = kept.with_catalog().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.deny(&[Denied::Delete]);
    let arguments = ["--keep-last", "1", "--max-remove", "90", "--apply"];
    let run = async |more: &[&str]| {
        let before = server.methods().len();
        let (code, shown, told) = pruned(&placed, &[&arguments[..], more].concat()).await;
        let methods = server.methods()[before..].to_vec();
        let changes = methods
            .iter()
            .filter(|method| !["GET", "HEAD"].contains(&method.as_str()));
        (code, shown, told, changes.count())
    };
    let (code, shown, told, changes) = run(&[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        shown.contains("\n0 boots went and 6 stay: removed 0 objects"),
        "{shown}"
    );
    assert!(told.contains("12 objects may not be removed"), "{told}");
    assert!(
        changes > 12,
        "a row for each, and one that takes it back: {changes}"
    );
    for _ in 0..2 {
        let (code, shown, told, changes) = run(&[]).await;
        assert_eq!((code, changes), (Some(1), 0), "{told}");
        assert!(
            shown.contains("\n0 boots went and 6 stay: removed 0 objects"),
            "{shown}"
        );
        assert!(
            told.contains("; 12 of them were refused in the last 7 days and not tried, which --retry-locked does"),
            "{told}"
        );
        assert!(told.contains("(its removal was refused at 20"), "{told}");
        // Joined, they are known as well.
        assert!(cli(&placed.settings, &["compact"]).await.status.success());
    }
    let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
    assert_eq!(text(&listed.stdout), "18\n");
    let (_, summary, _, _) = run(&["--output", "json"]).await;
    let summary: Value = serde_json::from_str(summary.lines().last().unwrap()).unwrap();
    assert_eq!(
        [
            &summary["boots_removed"],
            &summary["boots_kept"],
            &summary["locked"],
            &summary["waiting"]
        ],
        [0, 6, 12, 12]
    );
    // Another key may, and says that it tries.
    server.allow_all();
    let (code, shown, told, _) = run(&["--retry-locked"]).await;
    assert_eq!((code, &*told), (Some(0), ""), "{shown}");
    assert!(
        shown.contains("\n4 boots went and 2 stay: removed 16 objects"),
        "{shown}"
    );
    let verified = cli(&placed.settings, &["verify"]).await;
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

/// All that goes of an instance goes in few requests, whatever the store says of single objects.
#[tokio::test]
async fn what_goes_goes_in_few_requests_and_each_object_has_its_own_result() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let ages = (0..20)
        .map(|boot| 200 - boot)
        .chain([2])
        .collect::<Vec<_>>();
    let one = boots(&mut kept, &instance_id(1), &ages, now);
    let kept = kept.with_catalog();
    let stay = all([&one[20]]);
    let cases: [(Profile, &[Quirk], bool); 7] = [
        (Profile::Aws, &[], true),
        (Profile::Oss { versioned: false }, &[], true),
        (Profile::IgnoresConditions, &[], true),
        (Profile::Aws, &[Quirk::RemovesAtSecondTry], true),
        (Profile::Aws, &[Quirk::SaysNothingOfRemovals], false),
        (Profile::Aws, &[Quirk::NoDeleteObjects], false),
        (Profile::Aws, &[Quirk::DeniesDeleteObjects], false),
    ];
    for (profile, quirks, is_together) in cases {
        let placed = kept.place(Place::Bucket(profile)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        server.behave(quirks);
        let (code, shown, told) = pruned(
            &placed,
            &["--keep-last", "1", "--max-remove", "99", "--apply"],
        )
        .await;
        assert_eq!(code, Some(0), "{profile:?} {quirks:?}: {shown}{told}");
        assert_eq!(objects(&placed), stay, "{profile:?} {quirks:?}");
        // Three records of each boot, and a verdict.
        assert!(shown.contains("removed 80 objects with"), "{shown}");
        let together = server.removed_together();
        let methods = server.methods();
        let singly = methods.iter().filter(|method| *method == "DELETE").count();
        if is_together {
            assert_eq!(singly, 0, "{profile:?} {quirks:?}");
            assert_eq!(
                together[0], 20,
                "the first record of each boot: {together:?}"
            );
            assert!(together.len() <= 8, "{together:?}");
        } else {
            assert!(singly > 70, "{singly}");
        }
        let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
        assert_eq!(text(&listed.stdout), "3\n", "{profile:?} {quirks:?}");
    }
}

/// What a versioned bucket keeps is told beforehand, and counted afterwards. Nothing that was removed is listed.
#[tokio::test]
async fn what_a_versioned_bucket_keeps_is_told() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    boots(&mut kept, &instance_id(1), &[200, 2], now);
    let kept = kept.with_catalog();
    let rules = ["--keep-last", "1", "--max-remove", "90"];
    let if_kept = "if the bucket keeps versions, theirs stay until a lifecycle rule removes them";
    for keeps in [true, false] {
        let placed = kept.place(Place::Bucket(Profile::Aws)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        server.behave(if keeps { &[Quirk::KeepsVersions] } else { &[] });
        let (_, shown, _) = pruned(&placed, &rules).await;
        assert!(shown.contains(if_kept), "{shown}");
        let (code, shown, _) = pruned(&placed, &[&rules[..], &["--apply"]].concat()).await;
        assert_eq!(code, Some(0), "{shown}");
        let told = "the bucket keeps versions: what was removed is 4 earlier versions now";
        assert_eq!(shown.contains(told), keeps, "{shown}");
        assert!(!shown.contains(if_kept), "S3 says what it did: {shown}");
        assert_eq!(server.versions().len(), if keeps { 4 } else { 0 });
        let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
        assert_eq!(text(&listed.stdout), "3\n");
        let verified = cli(&placed.settings, &["verify"]).await;
        assert!(verified.status.success(), "{}", text(&verified.stdout));
        let (_, shown, _) = pruned(&placed, &[&rules[..], &["--apply"]].concat()).await;
        assert!(shown.contains("0 boots went"), "{shown}");
    }
}

/// Keys that may not remove see the plan. Where everything is refused, it ends soon, and all stays listed.
#[tokio::test]
async fn keys_that_may_not_remove_see_the_plan_and_change_no_listing() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    for number in 0..40 {
        boots(&mut kept, &instance_id(number), &[200, 2], now);
    }
    let placed = kept.with_catalog().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.deny(&[Denied::Delete]);
    let (code, shown, _) = pruned(&placed, &["--keep-last", "1"]).await;
    assert_eq!(code, Some(0));
    assert!(shown.contains("40 boots would go and 40 stay"), "{shown}");
    let before = objects(&placed);
    let (code, _, told) = pruned(&placed, &["--keep-last", "1", "--apply"]).await;
    assert_eq!((code, objects(&placed)), (Some(1), before));
    assert!(told.contains("may not be removed"), "{told}");
    let methods = server.methods();
    let removals = methods
        .iter()
        .filter(|method| ["DELETE", "POST"].contains(&method.as_str()));
    // Sixteen refusals end it, and eight instances at once may have begun theirs.
    assert!(removals.count() < 80, "of 160");
    let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
    assert_eq!(text(&listed.stdout), "240\n");
}

/// Times of the store say nothing in an archive that was copied, and what has no time or a later one stays.
#[tokio::test]
async fn the_order_is_that_of_captures_and_what_has_no_time_stays() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let of_boots = boots(&mut kept, &id, &[200, 150, 100, 50, 2], now);
    let mut later = boots(&mut kept, &id, &[-3], now);
    // Copied in the opposite order. The clocks of the last ones were ahead.
    let count = kept.objects.len() as i64;
    let copied = kept.objects.values_mut().filter(|(_, at)| *at <= now);
    for (number, (_, at)) in copied.enumerate() {
        *at = now + SignedDuration::from_secs(count - number as i64 - 1000);
    }
    // And of one boot, the metadata are lost.
    for key in of_boots[1].iter().filter(|key| key.ends_with(".log.gz")) {
        kept.change(key, |object| drop(object.metadata.remove("captured-at")));
    }
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (code, shown, told) = pruned(
        &placed,
        &["--keep-last", "1", "--max-remove", "90", "--apply"],
    )
    .await;
    assert_eq!(code, Some(0), "{shown}{told}");
    assert!(
        shown.contains("undated") && shown.contains("future-dated"),
        "{shown}"
    );
    let stay = all([&of_boots[1], &of_boots[4], &later.pop().unwrap()]);
    assert_eq!(objects(&placed), stay, "{shown}");
}

#[tokio::test]
async fn programs_get_a_line_for_each_boot_and_a_summary() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    boots(&mut kept, &instance_id(1), &[200, 2], now);
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (_, shown, _) = pruned(&placed, &["--keep-last", "1", "--output", "json"]).await;
    let lines: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str()).collect();
    assert_eq!(actions, [Some("remove"), Some("keep"), None]);
    assert_eq!(lines[1]["reasons"], serde_json::json!(["newest", "last"]));
    assert_eq!(
        (&lines[2]["objects"], &lines[2]["is_applied"]),
        (&4.into(), &false.into())
    );
}
