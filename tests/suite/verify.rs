//! `verify`: what is wrong with an archive is found, each of it, and nothing else; also what is not there.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use ecs_console_archiver::archive::catalog::key::COMPLETE_KEY;
use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::archive::record::{self, pack};
use ecs_console_archiver::archive::verify::{self, Fault, Scope, Told, VerifyError};
use ecs_console_archiver::hand_over;
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::store::directory::DirectoryStore;
use ecs_console_archiver::store::{Object, Page, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::printed::checked;
use crate::support::s3_server::{Denied, Profile, Quirk};
use crate::support::*;

/// A fault, by its key and its word.
type Faults = BTreeSet<(String, String)>;

/// The exit code, the faults that are told, and the last line.
async fn verified(placed: &Placed, arguments: &[&str]) -> (i32, Faults, String) {
    let output = cli(&placed.settings, &[&["verify"], arguments].concat()).await;
    let told = text(&output.stdout);
    let mut lines: Vec<_> = told.lines().collect();
    let last = lines.pop().unwrap_or_default().to_owned();
    let faults = lines.iter().map(|line| {
        let cells: Vec<_> = line.split('\t').collect();
        let [key, fault, detail] = cells[..] else {
            panic!("{line:?}");
        };
        assert!(!detail.is_empty(), "{line:?}");
        (key.to_owned(), fault.to_owned())
    });
    let code = output.status.code().unwrap();
    assert!([0, 1, 3].contains(&code), "{}", text(&output.stderr));
    (code, faults.collect(), last)
}

/// Something that happens to an archive, and what is to be found of it.
struct Damage<'a> {
    kept: &'a mut Kept,
    /// Records that nothing has happened to yet.
    records: std::vec::IntoIter<String>,
    expected: Faults,
}

impl Damage<'_> {
    /// A record somewhere in the archive, away from those before.
    fn record(&mut self) -> String {
        self.records.nth(5).unwrap()
    }

    fn expect(&mut self, key: &str, fault: &str) {
        self.expected.insert((key.to_owned(), fault.to_owned()));
    }

    /// Changes the bytes of a record.
    fn bytes(&mut self, fault: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let key = self.record();
        self.kept.change(&key, |object| change(&mut object.body));
        self.expect(&key, fault);
    }

    /// With it, verdicts lose their record.
    fn remove(&mut self, key: &str) {
        self.kept.objects.remove(key).unwrap();
        self.expect(key, "missing");
        let stem = format!("{}.", key.strip_suffix(".log.gz").unwrap_or(key));
        let is_verdict =
            |other: &&String| other.starts_with(&stem) && other.ends_with(".verdict.json");
        let verdicts = self.kept.objects.keys().filter(is_verdict).cloned();
        for verdict in verdicts.collect::<Vec<_>>() {
            self.expect(&verdict, "orphan");
        }
    }

    fn all(&mut self) {
        // Its bytes.
        self.bytes("gzip", |bytes| bytes[5] ^= 1); // The header's time, which no reader looks at.
        self.bytes("gzip", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        });
        self.bytes("gzip", |bytes| {
            let checksum = bytes.len() - 6;
            bytes[checksum] ^= 0x80;
        });
        self.bytes("gzip", |bytes| bytes.truncate(bytes.len() - 20));
        self.bytes("gzip", |bytes| bytes.clear());
        self.bytes("gzip", |bytes| bytes.extend(pack(b"more").unwrap()));
        self.bytes("digest", |bytes| *bytes = pack(b"all is well\n").unwrap());
        // Two bodies that have changed places.
        let (one, other) = (self.record(), self.record());
        let body = self.kept.objects[&one].0.body.clone();
        let with = self.kept.objects[&other].0.body.clone();
        self.kept.change(&one, |object| object.body = with);
        self.kept.change(&other, |object| object.body = body);
        self.expect(&one, "digest");
        self.expect(&other, "digest");
        // What describes them.
        let key = self.record();
        self.kept.change(&key, |object| {
            object.metadata.insert("console-bytes".into(), "1".into());
        });
        self.expect(&key, "metadata");
        let key = self.record();
        self.kept.change(&key, |object| object.metadata.clear());
        self.expect(&key, "metadata");
        // What is not there, one and two neighbours.
        let gone = self.record();
        self.remove(&gone);
        for _ in 0..2 {
            let neighbour = self.records.next().unwrap();
            self.remove(&neighbour);
        }
        let mut marker = self
            .kept
            .objects
            .keys()
            .filter(|key| key.ends_with(".none.json"));
        let marker = marker.next_back().unwrap().clone();
        self.remove(&marker);
        // A record under another instance's name, and one that is none any more.
        let key = self.record();
        let (object, at) = self.kept.objects[&key].clone();
        self.remove(&key);
        let (_, name) = key.split_once('/').unwrap();
        let moved = format!("i-moved/{name}");
        self.kept.put(&moved, object.clone(), at);
        self.expect(&moved, "no_row");
        let renamed = format!("{key}.bak");
        self.kept.put(&renamed, object.clone(), at);
        self.expect(&renamed, "foreign");
        self.kept.put("README.md", object.clone(), at);
        self.expect("README.md", "foreign");
        self.kept
            .put("catalog/days/dt=2026-11-24/part\t0.parquet", object, at);
        self.expect("catalog/days/dt=2026-11-24/part\\t0.parquet", "foreign");
        // What stands beside records.
        let keys: Vec<_> = self.kept.objects.keys().cloned().collect();
        let one_of = |end: &str| keys.iter().find(|key| key.ends_with(end)).unwrap().clone();
        for key in [
            one_of(".none.json"),
            one_of(".verdict.json"),
            one_of("probe.txt"),
        ] {
            self.kept.change(&key, |object| object.body[0] = b' ');
            self.expect(&key, "digest");
        }
        for key in keys.iter().filter(|key| key.starts_with("failed/")) {
            self.kept.change(key, |object| object.body.push(b'\n'));
            self.expect(key, "digest");
        }
        let at = Timestamp::now() - SignedDuration::from_hours(99);
        let key = self.record();
        let record = Subject::parse(&key).unwrap();
        let Subject::Record(record) = record else {
            unreachable!();
        };
        let verdict = self.kept.verdict(&record, at);
        self.remove(&key);
        assert!(self.expected.contains(&(verdict, "orphan".to_owned())));
        // What the catalog says.
        let key = self.record();
        self.kept.rows.retain(|row| row.subject.key() != key);
        self.expect(&key, "no_row");
        let key = self.record();
        let row = self
            .kept
            .rows
            .iter()
            .find(|row| row.subject.key() == key)
            .unwrap();
        let row = Row::pruned(row.subject.clone(), row.captured_at, at);
        self.kept.rows.push(row);
        self.expect(&key, "pruned");
    }
}

/// To the catalog's own objects, once they are there.
fn damage_catalog(kept: &mut Kept, expected: &mut Faults) {
    let keys: Vec<_> = kept.objects.keys().cloned().collect();
    let mut days = keys.iter().filter(|key| key.ends_with(".jsonl.gz"));
    let mut expect = |key: &str, fault: &str| expected.insert((key.to_owned(), fault.to_owned()));
    // Its rows are whole, and its name is another's.
    let day = days.nth(2).unwrap();
    let (object, at) = kept.objects.remove(day).unwrap();
    let (folder, _) = day.rsplit_once('/').unwrap();
    let other = format!("{folder}/0123456789ab.jsonl.gz");
    kept.put(&other, object, at);
    expect(&other, "digest");
    let row = keys
        .iter()
        .find(|key| key.starts_with("catalog/rows/"))
        .unwrap();
    kept.change(row, |object| object.body.push(b'\n'));
    expect(row, "digest");
}

fn damaged() -> (Kept, Faults) {
    let mut kept = Kept::of(200);
    let records = kept.records().into_iter();
    let mut damage = Damage {
        kept: &mut kept,
        records,
        expected: Faults::new(),
    };
    damage.all();
    let mut expected = damage.expected;
    let mut kept = kept.with_catalog();
    damage_catalog(&mut kept, &mut expected);
    (kept, expected)
}

/// More than twelve kinds of damage, to bytes of each zone, names, metadata, neighbours and the catalog.
#[tokio::test]
async fn each_kind_of_damage_is_found_and_none_is_invented() {
    let whole = Kept::of(200).with_catalog();
    let (kept, expected) = damaged();
    let count = |fault: &str| expected.iter().filter(|(_, found)| found == fault).count();
    let damage = count("gzip") + count("digest") + count("metadata");
    for place in Place::ALL {
        let placed = whole.place(place).await;
        let (code, faults, last) = verified(&placed, &[]).await;
        assert_eq!((code, faults), (0, Faults::new()), "{place:?}");
        let objects = whole.objects.len();
        assert_eq!(last, format!("{objects} checked, 0 damaged, 0 missing"));

        let placed = kept.place(place).await;
        let (code, faults, last) = verified(&placed, &[]).await;
        let unexpected: Vec<_> = faults.difference(&expected).collect();
        let not_found: Vec<_> = expected.difference(&faults).collect();
        assert!(
            unexpected.is_empty() && not_found.is_empty(),
            "{place:?}: invented {unexpected:?}, not found {not_found:?}"
        );
        assert_eq!(code, 1);
        let end = format!(
            " checked, {damage} damaged, {} missing, {} not in the catalog, 1 pruned and still there, {} without \
             their record, 3 foreign",
            count("missing"),
            count("no_row"),
            count("orphan"),
        );
        assert!(last.ends_with(&end), "{last}");
    }
}

/// Without reading records, a request for each thousand objects and one for each day; what is cut is found by its
/// length, and what is missing by the catalog.
#[tokio::test]
async fn a_quick_run_reads_no_records() {
    let mut kept = Kept::of(60).with_catalog();
    let records = kept.records();
    let days = kept
        .objects
        .keys()
        .filter(|key| key.ends_with(".jsonl.gz"))
        .count();
    kept.change(&records[7], |object| object.body.truncate(30));
    kept.change(&records[8], |object| object.body[20] ^= 1);
    kept.objects.remove(&records[9]);
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let (code, faults, _) = verified(&placed, &["--quick"]).await;
    let expected = [(&records[7], "gzip"), (&records[9], "missing")];
    let expected = expected.map(|(key, fault)| (key.clone(), fault.to_owned()));
    assert_eq!((code, faults), (1, expected.into()));
    // Each day is read for its rows, and once more to see whether it is whole; the missing record's also to be sure; and
    // the one record of another length.
    let reads = placed.bucket.as_ref().unwrap().server.reads();
    assert!(reads <= 2 * days + 2, "{reads} reads for {days} days");
}

/// Whoever unpacks records and packs them again has the same consoles. GNU gzip writes a name, a time and its system.
#[tokio::test]
async fn a_record_that_another_program_packed_anew_is_whole() {
    let mut kept = Kept::of(40).with_catalog();
    let records = kept.records();
    let plain = |object: &Object| record::unpack(&object.body).unwrap();
    let mut packed = 0;
    for (key, level) in records.iter().step_by(4).zip(0..=9) {
        kept.change(key, |object| {
            let before = object.body.len();
            let header = flate2::GzBuilder::new()
                .filename("console.log")
                .mtime(1_700_000_000)
                .operating_system(3);
            let mut encoder = header.write(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(&plain(object)).unwrap();
            object.body = encoder.finish().unwrap();
            packed += usize::from(object.body.len() != before);
        });
    }
    assert_eq!(packed, 10);
    for place in Place::ALL {
        let placed = kept.place(place).await;
        for options in [&[][..], &["--quick"]] {
            let (code, faults, _) = verified(&placed, options).await;
            assert_eq!((code, faults), (0, Faults::new()), "{place:?} {options:?}");
        }
    }
    // Its metadata still prove the console.
    let placed = kept.place(Place::Folder).await;
    let (id, name) = records[0].split_once('/').unwrap();
    let name = name.trim_end_matches(".log.gz");
    let got = cli(&placed.settings, &["get", id, "--at", name]).await;
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    let (mut kept, key) = (kept, records[0].clone());
    kept.change(&key, |object| {
        drop(object.metadata.remove("console-sha256"));
    });
    let placed = kept.place(Place::Folder).await;
    let (_, faults, _) = verified(&placed, &[]).await;
    assert_eq!(faults, [(key, "metadata".to_owned())].into());
}

/// Seven nights read every object once, and each night finds what is missing.
#[tokio::test]
async fn parts_are_the_whole_together() {
    let mut kept = Kept::of(70).with_catalog();
    let records = kept.records();
    kept.objects.remove(&records[50]);
    kept.change(&records[3], |object| object.body.truncate(30));
    let placed = kept.place(Place::Folder).await;
    let of_days = kept
        .objects
        .keys()
        .filter(|key| key.ends_with(".jsonl.gz"))
        .count();
    let (mut checked, mut damaged) = (0, 0);
    for part in 1..=7 {
        let (code, faults, last) = verified(&placed, &["--subset", &format!("{part}/7")]).await;
        assert_eq!(code, 1);
        assert!(faults.contains(&(records[50].clone(), "missing".to_owned())));
        damaged += faults.len() - 1;
        // Days are read in each.
        checked += last.split(' ').next().unwrap().parse::<usize>().unwrap() - of_days;
    }
    assert_eq!((checked, damaged), (kept.objects.len() - of_days, 1));
    for wrong in ["0/7", "8/7", "7", "1/0", "a/b"] {
        let output = cli(&placed.settings, &["verify", "--subset", wrong]).await;
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

/// For cron: nothing is printed where all is well, and the exit code says what was found.
#[tokio::test]
async fn exit_codes_and_silence_are_for_cron() {
    let kept = Kept::of(40).with_catalog();
    let placed = kept.place(Place::Folder).await;
    let output = cli(&placed.settings, &["verify", "--quiet"]).await;
    let printed = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        (output.status.code(), printed),
        (Some(0), Default::default())
    );
    let mut damaged = kept.clone();
    let record = kept.records()[5].clone();
    damaged.change(&record, |object| object.body.clear());
    let placed = damaged.place(Place::Folder).await;
    let output = cli(&placed.settings, &["verify", "--quiet"]).await;
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stdout);
    assert!(
        printed.starts_with(&format!("{record}\tgzip\t")),
        "{printed}"
    );
    assert!(
        printed.ends_with(" checked, 1 damaged, 0 missing\n"),
        "{printed}"
    );
    let empty = Kept::default().place(Place::Bucket(Profile::Aws)).await;
    let output = cli(&empty.settings, &["verify", "--quiet"]).await;
    assert_eq!(output.status.code(), Some(3));
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let newest = kept.objects.values().map(|(_, stored_at)| *stored_at).max();
    let later = newest.unwrap() + SignedDuration::from_hours(12);
    let later = later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let output = cli(&placed.settings, &["verify", "--since", &later]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("nothing was stored since then in"), "{told}");
}

#[tokio::test]
async fn a_part_of_the_time_or_of_the_fleet_is_verified_alone() {
    let mut kept = Kept::of(200).with_catalog();
    let records = kept.records();
    let of = |number: usize| {
        let prefix = format!("{}/", instance_id(number));
        let mut of = records
            .iter()
            .filter(|key| key.starts_with(&prefix))
            .cloned();
        [of.next().unwrap(), of.next_back().unwrap()]
    };
    let ([first, last], [other, _]) = (of(4), of(5));
    for key in [&first, &last, &other] {
        kept.objects.remove(key);
    }
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let missing = |keys: &[&String]| -> Faults {
        keys.iter()
            .map(|key| ((*key).clone(), "missing".to_owned()))
            .collect()
    };
    let id = instance_id(4).to_string();
    for glob in [id.as_str(), "*4"] {
        let (code, faults, _) = verified(&placed, &["--instance", glob]).await;
        let of_glob: Faults = missing(&[&first, &last, &other]);
        let of_glob = of_glob.into_iter().filter(|(key, _)| key.contains("4/"));
        assert_eq!((code, faults), (1, of_glob.collect()), "{glob}");
    }
    // Of instance 4, the first of four was captured on the first day, and the last on the eighth.
    let (_, faults, _) = verified(&placed, &["--since", "-25d"]).await;
    assert_eq!(faults, missing(&[&last]));
    // What a lifecycle rule has removed is not missing, if one says how long it keeps.
    let output = cli(&placed.settings, &["verify", "--retention-days", "25"]).await;
    assert!(text(&output.stdout).contains(&last) && !text(&output.stdout).contains(&first));
}

/// Lifecycle rules remove what is old. In a copy, everything was stored today.
#[tokio::test]
async fn only_what_is_older_than_the_rest_may_be_for_a_lifecycle_rule() {
    const ADVICE: &str = "older than every record there is";
    let copied_at = Timestamp::now() - SignedDuration::from_hours(2);
    for (is_oldest, is_copy) in [(true, false), (false, false), (true, true), (false, true)] {
        let kept = Kept::of(40);
        let mut rows = kept.rows.clone();
        rows.sort_by_key(|row| row.captured_at);
        let mut kept = kept.with_catalog();
        let lost = if is_oldest { 0 } else { rows.len() / 2 };
        kept.objects.remove(&rows[lost].subject.key());
        if is_copy {
            kept.objects
                .values_mut()
                .for_each(|(_, at)| *at = copied_at);
        }
        let placed = kept.place(Place::Folder).await;
        let output = cli(&placed.settings, &["verify", "--quick"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(told.contains(ADVICE), is_oldest, "{is_copy}: {told}");
    }
}

/// An archive without a catalog has no rows that could be missing.
#[tokio::test]
async fn without_a_catalog_nothing_is_said_of_rows() {
    let mut kept = Kept::of(60);
    kept.rows.clear();
    kept.objects.retain(|key, _| !key.starts_with("catalog/"));
    let placed = kept.place(Place::Folder).await;
    let output = cli(&placed.settings, &["verify"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let told = text(&output.stderr);
    assert!(told.contains("there is no catalog"), "{told}");
    // One that was switched off says nothing of later records.
    let mut kept = Kept::of(60);
    kept.rows.truncate(10);
    let mut placed = kept.with_catalog().place(Place::Folder).await;
    let (code, faults, _) = verified(&placed, &[]).await;
    assert_eq!(
        (code, faults.len()),
        (1, 53),
        "50 records and 3 markers have no row"
    );
    placed.settings.push(("CATALOG".into(), "off".into()));
    assert_eq!(verified(&placed, &[]).await.0, 0);
}

/// An event stores a record, and then its row; and rows of a damaged day are not known.
#[tokio::test]
async fn what_is_not_known_is_not_told() {
    let mut kept = Kept::of(60);
    let at = Timestamp::now();
    let key = kept.record(&instance_id(1), b"just now\r\n", at);
    kept.rows.pop();
    let mut kept = kept.with_catalog();
    let placed = kept.place(Place::Folder).await;
    assert_eq!(verified(&placed, &[]).await.1, Faults::new(), "{key}");
    only_a_cut_day_is_told(&mut kept, "catalog/days/").await;
    // Only the row of a later capture is known, of another event that found the same console.
    let mut kept = Kept::of(20);
    let key = kept.records()[3].clone();
    let row = kept.row(&key).clone();
    let later = row.captured_at + SignedDuration::from_hours(120);
    kept.rows.push(Row {
        captured_at: later,
        last_captured_at: Some(later),
        freshness: None,
        freshness_at: None,
        ..row.clone()
    });
    let mut kept = kept.with_days();
    let of_capture = row.day().days_prefix();
    only_a_cut_day_is_told(&mut kept, &of_capture).await;
}

/// Cuts the first joined day whose key begins with this.
async fn only_a_cut_day_is_told(kept: &mut Kept, prefix: &str) {
    let is_day = |key: &&String| key.starts_with(prefix) && key.ends_with(".jsonl.gz");
    let day = kept.objects.keys().find(is_day).unwrap().clone();
    kept.change(&day, |object| object.body.truncate(40));
    let placed = kept.place(Place::Folder).await;
    let (_, faults, _) = verified(&placed, &[]).await;
    assert_eq!(faults, [(day, "gzip".to_owned())].into());
}

/// A store that throttles is asked less, and one that refuses an object does not hide the others.
#[tokio::test]
async fn a_store_that_throttles_or_refuses_changes_nothing() {
    let kept = Kept::of(60).with_catalog();
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::ThrottlesReads]);
    assert_eq!(verified(&placed, &[]).await.0, 0);
    server.behave(&[Quirk::OutOfOrder, Quirk::EncodesNothing, Quirk::EmptyPages]);
    assert_eq!(verified(&placed, &[]).await.0, 0);
    server.behave(&[]);
    let cold = kept.records()[9].clone();
    server.make_unreadable(&format!("kept/here/{cold}"), 403, "InvalidObjectState");
    let (code, faults, _) = verified(&placed, &[]).await;
    assert_eq!(
        (code, faults),
        (1, [(cold, "unreadable".to_owned())].into())
    );
}

/// A store whose pages overlap lists a key twice; it is one object.
#[tokio::test]
async fn what_two_pages_list_is_counted_once() {
    let kept = Kept::of(60).with_catalog();
    for profile in [Profile::Aws, Profile::IgnoresConditions] {
        let placed = kept.place(Place::Bucket(profile)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        server.set_page(10);
        server.behave(&[Quirk::PagesOverlap]);
        let output = cli(&placed.settings, &["verify", "--output", "json"]).await;
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["checked"], kept.objects.len(), "{profile:?}");
    }
}

#[tokio::test]
async fn programs_get_a_line_for_each_fault_and_a_summary() {
    let mut kept = Kept::of(30).with_catalog();
    let record = kept.records()[5].clone();
    kept.change(&record, |object| object.body.clear());
    let placed = kept.place(Place::Folder).await;
    let output = cli(&placed.settings, &["verify", "--output", "json"]).await;
    let printed = text(&output.stdout);
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [fault, summary] = &lines[..] else {
        panic!("{printed}");
    };
    assert_eq!(
        (&fault["key"], &fault["fault"]),
        (&record.into(), &"gzip".into())
    );
    assert_eq!(
        (&summary["damaged"], &summary["faults"]["gzip"]),
        (&1.into(), &1.into())
    );
    assert_eq!(summary["checked"], kept.objects.len());
}

/// Puts a pipe there.
fn pipe(path: &Path) {
    let mut command = std::process::Command::new("mkfifo");
    let made = checked(command.arg(path).output().unwrap());
    assert!(made.status.success());
}

/// What is no file cannot be listed as an object, and nobody may wait for a pipe.
#[tokio::test]
async fn what_has_the_place_of_an_object_is_told_and_hides_no_other_fault() {
    let mut kept = Kept::of(60).with_catalog();
    let records = kept.records();
    kept.objects.remove(&records[50]);
    let of = |end: &str| kept.objects.keys().find(|key| key.ends_with(end)).unwrap();
    let (marker, verdict) = (of(".none.json").clone(), of(".verdict.json").clone());
    let moved = records[30].split_once('/').unwrap().0.to_owned();
    let placed = kept.place(Place::Folder).await;
    let folder = placed.folder.as_ref().unwrap().path();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut expected: Faults = [(records[50].clone(), "missing".to_owned())].into();
    // A name that is no text is no key. The disks of macOS have none.
    #[cfg(not(target_os = "macos"))]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(b"i-kept0000\xff.log.gz");
        std::fs::write(folder.join(name), "").unwrap();
        expected.insert(("i-kept0000\u{fffd}.log.gz".to_owned(), "foreign".to_owned()));
    }
    let mut taken = |key: &str, take: &dyn Fn(&Path)| {
        let path = folder.join(key);
        std::fs::remove_file(&path).unwrap();
        take(&path);
        expected.insert((key.to_owned(), "unreadable".to_owned()));
    };
    taken(&records[0], &|path| std::fs::create_dir(path).unwrap());
    taken(&records[5], &|path| pipe(path));
    taken(&records[10], &|path| {
        symlink(folder.join(&records[11]), path).unwrap()
    });
    taken(&records[15], &|path| symlink("nowhere", path).unwrap());
    taken(&records[20], &|path| symlink(path, path).unwrap());
    // On macOS the path of a socket is shorter than that of a record.
    #[cfg(not(target_os = "macos"))]
    taken(&records[25], &|path| {
        std::os::unix::net::UnixListener::bind(path)
            .map(drop)
            .unwrap();
    });
    taken(&marker, &|path| std::fs::create_dir(path).unwrap());
    taken(&verdict, &|path| pipe(path));
    // A whole instance that a link leads out of the archive.
    std::fs::rename(folder.join(&moved), elsewhere.path().join("moved")).unwrap();
    symlink(elsewhere.path().join("moved"), folder.join(&moved)).unwrap();
    expected.retain(|(key, _)| !key.starts_with(&format!("{moved}/")));
    expected.insert((moved.clone(), "foreign".to_owned()));
    for key in kept
        .objects
        .keys()
        .filter(|key| key.starts_with(&format!("{moved}/")))
    {
        if Subject::parse(key).is_some() {
            expected.insert((key.clone(), "unreadable".to_owned()));
        }
    }
    for options in [&[][..], &["--quick"], &["--subset", "1/7"]] {
        let (code, faults, last) = verified(&placed, options).await;
        let unexpected: Vec<_> = faults.difference(&expected).collect();
        let not_found: Vec<_> = expected.difference(&faults).collect();
        assert_eq!(code, 1);
        assert!(
            unexpected.is_empty() && not_found.is_empty(),
            "{options:?}: invented {unexpected:?}, not found {not_found:?}"
        );
        let damaged = expected
            .iter()
            .filter(|(_, fault)| fault == "unreadable")
            .count();
        assert!(
            last.contains(&format!(" {damaged} damaged, 1 missing")),
            "{last}"
        );
    }
    // A file in place of the catalog's folder: what is below it is not there.
    std::fs::remove_dir_all(folder.join("catalog")).unwrap();
    std::fs::write(folder.join("catalog"), "").unwrap();
    let (code, faults, _) = verified(&placed, &[]).await;
    assert!(
        code == 1 && faults.contains(&("catalog".to_owned(), "foreign".to_owned())),
        "{faults:?}"
    );
    assert!(
        faults.contains(&(records[5].clone(), "unreadable".to_owned())),
        "{faults:?}"
    );
    // Of the catalog too: what its day said is not known, and not told to be missing there.
    let day = kept
        .objects
        .keys()
        .find(|key| key.ends_with(".jsonl.gz"))
        .unwrap();
    let placed = kept.place(Place::Folder).await;
    let path = placed.folder.as_ref().unwrap().path().join(day);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let (_, faults, _) = verified(&placed, &[]).await;
    let is_there = faults.contains(&(day.clone(), "unreadable".to_owned()));
    assert!(
        is_there && faults.iter().all(|(_, fault)| fault != "no_row"),
        "{faults:?}"
    );
}

/// What is refused or fails of one object is a fault of that object, in whichever way it is asked for.
#[tokio::test]
async fn an_error_of_one_object_hides_no_other_fault() {
    let mut kept = Kept::of(60).with_catalog();
    let records = kept.records();
    kept.objects.remove(&records[50]);
    kept.change(&records[40], |object| object.body.clear());
    let of = |end: &str| kept.objects.keys().find(|key| key.ends_with(end)).unwrap();
    let refused = [
        (records[0].clone(), 403, "AccessDenied"),
        (records[5].clone(), 403, "InvalidObjectState"),
        (records[10].clone(), 400, "KMS.DisabledException"),
        (records[15].clone(), 400, "InvalidArgument"),
        (of(".jsonl.gz").clone(), 403, "AccessDenied"),
        (of(".none.json").clone(), 404, "NoSuchVersion"),
    ];
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    let mut expected: Faults = [
        (records[50].clone(), "missing".to_owned()),
        (records[40].clone(), "gzip".to_owned()),
    ]
    .into();
    for (key, status, code) in refused {
        server.make_unreadable(&format!("kept/here/{key}"), status, code);
        expected.insert((key, "unreadable".to_owned()));
    }
    let (code, faults, last) = verified(&placed, &[]).await;
    assert_eq!((code, &faults), (1, &expected), "{last}");
    // What is wrong with the whole archive ends it.
    server.deny(&[Denied::List]);
    let output = cli(&placed.settings, &["verify"]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("allow this key s3:ListBucket"), "{told}");
}

/// A folder of which one object fails each time that it is read.
struct Failing {
    folder: DirectoryStore,
    key: String,
    has_list: bool,
}

impl Failing {
    fn fail<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Unavailable("GetObject returned 500".to_owned()))
    }
}

impl Store for Failing {
    hand_over!(self, self.folder; put_if_absent, delete, sorts, url);

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        match key == self.key {
            true => self.fail(),
            false => self.folder.get(key).await,
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        match prefix == self.key && !self.has_list {
            true => self.fail(),
            false => self.folder.list(prefix, after, next).await,
        }
    }
}

/// A store that has lost an object's disk answers 500 for it for ever; one that is down answers nothing.
#[tokio::test]
async fn an_object_that_fails_each_time_is_told_if_the_archive_answers() {
    let kept = Kept::of(20).with_catalog();
    let placed = kept.place(Place::Folder).await;
    let key = kept.records()[7].clone();
    let folder = placed.folder.as_ref().unwrap().path().to_owned();
    for has_list in [true, false] {
        let store = Failing {
            folder: DirectoryStore::new(folder.clone()),
            key: key.clone(),
            has_list,
        };
        let mut found = Vec::new();
        let told = |told: Told| {
            if let Told::Found(finding) = told {
                found.push((finding.key.clone(), finding.fault));
            }
            Ok::<_, VerifyError>(())
        };
        let done = verify::verify(&store, &Scope::default(), Timestamp::now(), told).await;
        match has_list {
            true => {
                assert!(done.is_ok());
                assert_eq!(found, [(key.clone(), Fault::Unreadable)]);
            }
            false => assert!(matches!(
                done,
                Err(VerifyError::Store(StoreError::Unavailable(_)))
            )),
        }
    }
}

/// What `prune` and listings go by: changed beside the record, or in its row.
#[tokio::test]
async fn a_record_and_its_row_say_the_same() {
    let mut kept = Kept::of(120);
    let mut records = kept.records().into_iter().step_by(4);
    let mut expected = Faults::new();
    let metadata = [
        ("captured-at", Some("2001-01-01T00:00:00Z")),
        ("captured-at", Some("ten hours before")),
        ("captured-at", Some("2999-01-01T00:00:00Z")),
        ("captured-at", Some("soon")),
        ("captured-at", None),
        ("freshness", Some("stale")),
        ("freshness", Some("stinking")),
        ("last-update-time", Some("2024-03-22 10:04:57")),
        ("event-time", Some("yesterday")),
        ("event-time", Some("2001-01-01T00:00:00Z")),
        ("event-cause", Some("Sweep")),
        ("region-id", Some("cn-beijing")),
        ("console-encoding", Some("base64-undecoded")),
    ];
    for (name, value) in metadata {
        let key = records.next().unwrap();
        let before = kept.row(&key).captured_at - SignedDuration::from_hours(10);
        let before = before.to_string();
        let is_before = value == Some("ten hours before");
        let value = if is_before {
            Some(before.as_str())
        } else {
            value
        };
        kept.change(&key, |object| match value {
            Some(value) => {
                object.metadata.insert(name.to_owned(), value.to_owned());
            }
            None => {
                object.metadata.remove(name).unwrap();
            }
        });
        // What contradicts the object itself, and what contradicts the catalog.
        let is_of_object = match (name, value) {
            ("captured-at", _) => !is_before,
            ("freshness", value) => value == Some("stinking"),
            ("event-time", value) => value == Some("yesterday"),
            ("last-update-time" | "console-encoding", _) => true,
            _ => false,
        };
        let fault = if is_of_object { "metadata" } else { "row" };
        expected.insert((key, fault.to_owned()));
    }
    let rows: [fn(&mut Row); 6] = [
        |row| row.freshness = Some(Freshness::Stale),
        |row| row.console_bytes = Some(1),
        |row| row.last_update_time = "2024-03-22 10:04:57".to_owned(),
        |row| row.region_id = RegionId::parse("cn-beijing").ok(),
        |row| row.event_time = Some(Timestamp::UNIX_EPOCH),
        |row| {
            let late = row.captured_at + SignedDuration::from_hours(49);
            (row.captured_at, row.last_captured_at) = (late, Some(late));
        },
    ];
    for change in rows {
        let key = records.next().unwrap();
        change(kept.row(&key));
        expected.insert((key, "row".to_owned()));
    }
    // No fault: another event found the same console later, or a verdict says more than the capture.
    let key = records.next().unwrap();
    let row = kept.row(&key).clone();
    let later = row.captured_at + SignedDuration::from_hours(49);
    kept.rows.push(Row {
        captured_at: later,
        last_captured_at: Some(later),
        event_id: Some("E-another".to_owned()),
        freshness: None,
        freshness_at: None,
        cause: "Sweep".to_owned(),
        ..row
    });
    // The function was killed before it wrote the row, and wrote it when the event came again.
    let row = kept.row(&records.next().unwrap());
    let again = row.captured_at + SignedDuration::from_hours(5);
    (row.captured_at, row.last_captured_at) = (again, Some(again));
    let Subject::Record(key) = Subject::parse(&records.next().unwrap()).unwrap() else {
        unreachable!();
    };
    kept.verdict(&key, Timestamp::now() - SignedDuration::from_hours(99));
    let row = kept.row(&key.to_string());
    (row.freshness, row.freshness_is_final) = (Some(Freshness::Partial), true);
    // Every row is in a day: a single row's name has not all of it.
    let kept = kept.with_days();
    let placed = kept.place(Place::Folder).await;
    let (code, faults, _) = verified(&placed, &[]).await;
    let unexpected: Vec<_> = faults.difference(&expected).collect();
    let not_found: Vec<_> = expected.difference(&faults).collect();
    assert_eq!(code, 1);
    assert!(
        unexpected.is_empty() && not_found.is_empty(),
        "invented {unexpected:?}, not found {not_found:?}"
    );
}

/// What is left of killed writers and removals in a folder: nobody else finds it.
#[tokio::test]
async fn leftovers_of_a_folder_are_told_once_they_are_old() {
    let kept = Kept::of(20).with_catalog();
    let placed = kept.place(Place::Folder).await;
    let folder = placed.folder.as_ref().unwrap().path();
    let records = kept.records();
    let id = records[3].split_once('/').unwrap().0;
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    let file = |name: String, time: SystemTime| {
        let file = std::fs::File::create(folder.join(&name)).unwrap();
        file.set_modified(time).unwrap();
        name
    };
    let left = file(format!("{id}/.writing-abc123"), old);
    let left_above = file(".writing-def456".to_owned(), old);
    let alone = file(
        format!("{id}/20240322T100457-0123456789ab.log.gz.meta.json"),
        old,
    );
    // Somebody writes these just now.
    file(format!("{id}/.writing-now"), SystemTime::now());
    file(
        format!("{id}/20240322T100458-0123456789ab.log.gz.meta.json"),
        SystemTime::now(),
    );
    let (code, faults, last) = verified(&placed, &[]).await;
    let fault = |key: &String, fault: &str| (key.clone(), fault.to_owned());
    let of_instance: Faults = [fault(&left, "leftover"), fault(&alone, "orphan")].into();
    let mut all = of_instance.clone();
    all.insert(fault(&left_above, "leftover"));
    assert_eq!((code, &faults), (1, &all));
    assert!(
        last.ends_with("0 damaged, 0 missing, 1 without their record, 2 left over"),
        "{last}"
    );
    // The fault says what it is, and what to do.
    let output = cli(&placed.settings, &["verify", "--instance", id]).await;
    let told = text(&output.stdout);
    assert!(
        told.contains("harmless") && told.contains("remove it"),
        "{told}"
    );
    assert_eq!(verified(&placed, &["--instance", id]).await.1, of_instance);
}

/// What a copy was stored at says nothing. Its rows do, from the day after the first of them on.
#[tokio::test]
async fn a_changed_time_of_capture_is_found_in_a_copy_whose_catalog_may_lack_rows() {
    let copied_at = Timestamp::now() - SignedDuration::from_hours(2);
    for change in [-10, 10, 0] {
        let mut kept = Kept::of(60);
        let mut rows = kept.rows.clone();
        rows.sort_by_key(|row| row.captured_at);
        let changed = rows[40].clone();
        let key = changed.subject.key();
        let time = changed.captured_at + SignedDuration::from_hours(change);
        kept.change(&key, |object| {
            let name = "captured-at".to_owned();
            object.metadata.insert(name, time.to_string());
        });
        // No fault: of what was captured before the catalog began, only a later row is known.
        let early = rows[0].subject.key();
        let later = kept.row(&early).captured_at + SignedDuration::from_hours(49);
        let row = kept.row(&early);
        (row.captured_at, row.last_captured_at) = (later, Some(later));
        let mut kept = kept.with_days();
        kept.objects.remove(COMPLETE_KEY);
        kept.objects
            .values_mut()
            .for_each(|(_, at)| *at = copied_at);
        let placed = kept.place(Place::Folder).await;
        let (_, faults, _) = verified(&placed, &[]).await;
        let expected = (change != 0).then(|| (key, "row".to_owned()));
        assert_eq!(faults, expected.into_iter().collect(), "{change} hours");
    }
}

/// Captures by hand and sweeps have none, and what an event's capture had is in its row.
#[tokio::test]
async fn a_freshness_that_was_added_is_found() {
    let mut kept = Kept::of(60);
    let mut records = kept.records().into_iter().step_by(7);
    let mut expected = Faults::new();
    for cause in ["manual", "sweep"] {
        let key = records.next().unwrap();
        kept.change(&key, |object| {
            object.metadata.remove("event-id");
            object.metadata.insert("event-cause".into(), cause.into());
        });
        let row = kept.row(&key);
        row.event_id = None;
        row.cause = cause.to_owned();
        (row.freshness, row.freshness_at) = (None, None);
        expected.insert((key, "metadata".to_owned()));
    }
    let key = records.next().unwrap();
    let row = kept.row(&key);
    (row.freshness, row.freshness_at) = (None, None);
    expected.insert((key, "row".to_owned()));
    // No fault: the function was killed before it wrote the row, and when the event came again, the record was there.
    let row = kept.row(&records.next().unwrap());
    let again = row.captured_at + SignedDuration::from_hours(5);
    (row.captured_at, row.last_captured_at) = (again, Some(again));
    (row.freshness, row.freshness_at) = (None, None);
    let placed = kept.with_days().place(Place::Folder).await;
    assert_eq!(verified(&placed, &[]).await.1, expected);
}

/// Runs `verify` as somebody who may not look into this folder of the archive.
async fn verified_without(placed: &Placed, folder: &str, arguments: &[&str]) -> (Faults, String) {
    let arguments = [&["verify"], arguments].concat();
    let output = placed.cli_without(folder, &arguments).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let lines = text(&output.stdout);
    let faults = lines.lines().filter_map(|line| {
        let (key, told) = line.split_once('\t')?;
        let (fault, detail) = told.split_once('\t')?;
        let is_advice = key != folder || detail.contains("let the user of this process read");
        assert!(is_advice, "{detail}");
        Some((key.to_owned(), fault.to_owned()))
    });
    (faults.collect(), told)
}

/// It is one fault, and what cannot be seen is not told to be missing.
#[tokio::test]
async fn a_folder_of_the_catalog_that_cannot_be_listed_hides_no_other_fault() {
    let kept = Kept::of(60);
    let first = kept.rows.iter().min_by_key(|row| row.captured_at).unwrap();
    let lost = first.subject.key();
    let mut kept = kept.with_catalog();
    let records = kept.records();
    kept.change(&records[40], |object| object.body.clear());
    let days = kept.objects.keys();
    let day = days
        .filter(|key| key.ends_with(".jsonl.gz"))
        .nth(3)
        .unwrap();
    let day = day.rsplit_once('/').unwrap().0.to_owned();
    let mut rows = kept.objects.keys();
    let rows = rows.find(|key| key.starts_with("catalog/rows/")).unwrap();
    let rows = rows.rsplit_once('/').unwrap().0.to_owned();
    let fault = |key: &str, fault: &str| (key.to_owned(), fault.to_owned());
    let instance = records[40].split_once('/').unwrap().0;
    for folder in ["catalog", "catalog/rows", "catalog/days", &day, &rows] {
        for arguments in [&[][..], &["--instance", instance]] {
            let placed = kept.place(Place::Folder).await;
            let (faults, told) = verified_without(&placed, folder, arguments).await;
            let expected = [fault(&records[40], "gzip"), fault(folder, "unreadable")];
            assert_eq!(faults, expected.into(), "{arguments:?}: {told}");
            let is_hidden = !folder.contains("dt=");
            let says = told.contains("the catalog cannot be read, so what is missing is not known");
            assert_eq!(says, is_hidden, "{folder}: {told}");
        }
    }
    // Something else has the place of a day's folder.
    let take: [&dyn Fn(&Path); 3] = [
        &|path| symlink("nowhere", path).unwrap(),
        &|path| std::fs::write(path, "").unwrap(),
        &|path| pipe(path),
    ];
    for take in take {
        let placed = kept.place(Place::Folder).await;
        let path = placed.folder.as_ref().unwrap().path().join(&day);
        std::fs::remove_dir_all(&path).unwrap();
        take(&path);
        let expected = [fault(&records[40], "gzip"), fault(&day, "foreign")];
        assert_eq!(verified(&placed, &[]).await.1, expected.into());
    }
    // What is missing elsewhere is found all the same.
    kept.objects.remove(&lost).unwrap();
    let placed = kept.place(Place::Folder).await;
    let (faults, _) = verified_without(&placed, &day, &[]).await;
    assert!(faults.contains(&fault(&lost, "missing")), "{faults:?}");
}

/// What its records are is not known, and each that has a row is told.
#[tokio::test]
async fn a_folder_of_an_instance_that_cannot_be_listed_is_told() {
    let kept = Kept::of(60).with_catalog();
    let placed = kept.place(Place::Folder).await;
    let instance = kept.records()[0].split_once('/').unwrap().0.to_owned();
    let below = format!("{instance}/");
    let of_instance = kept.objects.keys().filter(|key| key.starts_with(&below));
    let of_instance = of_instance.filter(|key| Subject::parse(key).is_some());
    let mut expected: Faults = of_instance
        .map(|key| (key.clone(), "unreadable".to_owned()))
        .collect();
    expected.insert((instance.clone(), "unreadable".to_owned()));
    let (faults, _) = verified_without(&placed, &instance, &[]).await;
    assert_eq!(faults, expected);
}

/// The catalog counts as complete as soon as it is there. A later version may write more into it.
#[tokio::test]
async fn an_object_that_calls_the_catalog_complete_is_as_reindex_writes_it() {
    for (body, is_fault) in [
        (&b""[..], true),
        (b"{}", true),
        (b"{\"schema\":1}\n", false),
        (b"{\"schema\":2,\"more\":true}\n", false),
    ] {
        let mut kept = Kept::of(20).with_catalog();
        kept.change(COMPLETE_KEY, |object| object.body = body.to_vec());
        let placed = kept.place(Place::Folder).await;
        let expected = is_fault.then(|| (COMPLETE_KEY.to_owned(), "digest".to_owned()));
        let (_, faults, _) = verified(&placed, &[]).await;
        assert_eq!(faults, expected.into_iter().collect(), "{}", text(body));
    }
}

/// Neither an object nor its metadata, and no writer made it.
#[tokio::test]
async fn what_has_the_place_of_metadata_or_the_name_of_a_writer_is_told() {
    let kept = Kept::of(20).with_catalog();
    let placed = kept.place(Place::Folder).await;
    let folder = placed.folder.as_ref().unwrap().path();
    let records = kept.records();
    let mut expected = Faults::new();
    let takes: [&dyn Fn(&Path); 3] = [
        &|path| std::fs::create_dir(path).unwrap(),
        &|path| pipe(path),
        &|path| symlink("nowhere", path).unwrap(),
    ];
    for (record, take) in records.iter().step_by(3).zip(takes) {
        let beside = format!("{record}.meta.json");
        std::fs::remove_file(folder.join(&beside)).unwrap();
        take(&folder.join(&beside));
        // The record lacks what it should say.
        for key in [record, &beside] {
            expected.insert((key.clone(), "metadata".to_owned()));
        }
    }
    let id = records[0].split_once('/').unwrap().0;
    let left = format!("{id}/.writing-x");
    std::fs::create_dir(folder.join(&left)).unwrap();
    expected.insert((left, "foreign".to_owned()));
    assert_eq!(verified(&placed, &[]).await.1, expected);
}
