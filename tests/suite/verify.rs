//! `verify`: what is wrong with an archive is found, each of it, and nothing else; also what is not there.

use std::collections::BTreeSet;

use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::archive::record::pack;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::s3_server::{Profile, Quirk};
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
        self.records.nth(20).unwrap()
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
    let mut kept = Kept::of(1000);
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
    let whole = Kept::of(1000).with_catalog();
    let (kept, expected) = damaged();
    let count = |fault: &str| expected.iter().filter(|(_, found)| found == fault).count();
    let damage = count("gzip") + count("digest") + count("metadata");
    for place in Place::ALL {
        let placed = whole.place(place).await;
        let (code, faults, last) = verified(&placed, &[]).await;
        assert_eq!((code, faults), (0, Faults::new()), "{place:?}");
        let objects = whole.objects.len();
        assert_eq!(
            last,
            format!(
                "{},{:03} checked, 0 damaged, 0 missing",
                objects / 1000,
                objects % 1000
            )
        );

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
    let mut kept = Kept::of(300).with_catalog();
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
    let expected = [(&records[7], "metadata"), (&records[9], "missing")];
    let expected = expected.map(|(key, fault)| (key.clone(), fault.to_owned()));
    assert_eq!((code, faults), (1, expected.into()));
    // Each day is read for its rows, and once more to see whether it is whole; the missing record's also to be sure.
    let reads = placed.bucket.as_ref().unwrap().server.reads();
    assert!(reads <= 2 * days + 1, "{reads} reads for {days} days");
}

/// Seven nights read every object once, and each night finds what is missing.
#[tokio::test]
async fn parts_are_the_whole_together() {
    let mut kept = Kept::of(200).with_catalog();
    let records = kept.records();
    kept.objects.remove(&records[100]);
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
        assert!(faults.contains(&(records[100].clone(), "missing".to_owned())));
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
    let day = kept
        .objects
        .keys()
        .find(|key| key.ends_with(".jsonl.gz"))
        .unwrap()
        .clone();
    kept.change(&day, |object| object.body.truncate(40));
    let placed = kept.place(Place::Folder).await;
    let (_, faults, _) = verified(&placed, &[]).await;
    assert_eq!(faults, [(day, "gzip".to_owned())].into());
}

/// A store that throttles is asked less, and one that refuses an object does not hide the others.
#[tokio::test]
async fn a_store_that_throttles_or_refuses_changes_nothing() {
    let kept = Kept::of(120).with_catalog();
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::ThrottlesReads]);
    assert_eq!(verified(&placed, &[]).await.0, 0);
    server.behave(&[Quirk::OutOfOrder, Quirk::EncodesKeys, Quirk::EmptyPages]);
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
