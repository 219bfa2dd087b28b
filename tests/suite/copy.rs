//! `copy`: the other archive gets every object with its bytes, media type and metadata; nothing is replaced;
//! again is cheap; and the other archive is valid wherever a copy ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ecs_console_archiver::archive::catalog::compact::compact;
use ecs_console_archiver::archive::catalog::key::COMPLETE_KEY;
use ecs_console_archiver::archive::catalog::{CatalogKey, Row, day};
use ecs_console_archiver::archive::copy::{self, Request};
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::capture::Archiver;
use ecs_console_archiver::clock::{WallClock, whole_second};
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::store::Object;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

use crate::support::archived::{
    self, Archived, Objects, assert_valid, objects, of_folder, put_into_folder,
};
use crate::support::fakes::{self, FakeFleet, instance};
use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::memory::paused_runtime;
use crate::support::raced::{Actor, World};
use crate::support::s3_server::{Fault, Profile, Quirk, REAL_PAGE, S3Server, SECRET_ACCESS_KEY};
use crate::support::*;

/// Below it are the objects of a bucket.
const PREFIX: &str = "kept/here/";

fn url(folder: &Path) -> String {
    url::Url::from_file_path(folder).unwrap().to_string()
}

/// The settings of a bucket as a file for `--to-settings`, and its address.
fn settings_file(bucket: &Bucket) -> (tempfile::NamedTempFile, String) {
    let mut text = "# The other cloud\n\n".to_owned();
    let mut address = String::new();
    for (name, value) in &bucket.settings {
        match name.as_str() {
            "ARCHIVE_URL" => address = value.clone(),
            name => text += &format!("{name}={value}\n"),
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    (file, address)
}

fn in_bucket(server: &S3Server) -> Objects {
    let mut all = server.objects();
    all.extend(server.catalog());
    objects(PREFIX, all)
}

#[track_caller]
fn assert_same(found: &Objects, expected: &Objects) {
    let keys = |objects: &Objects| objects.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(found), keys(expected));
    for (key, object) in found {
        assert!(*object == expected[key], "{key} differs");
    }
}

async fn copy_to(settings: &Settings, to: &str, options: &[&str]) -> std::process::Output {
    cli(settings, &[&["copy", "--to", to], options].concat()).await
}

/// What is printed as JSON: the lines, and the summary.
async fn copied(settings: &Settings, to: &str, options: &[&str]) -> (Vec<Value>, Value) {
    let options = [options, &["--output", "json"]].concat();
    let output = copy_to(settings, to, &options).await;
    let lines = text(&output.stdout);
    let mut lines: Vec<Value> = (lines.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines
        .pop()
        .unwrap_or_else(|| panic!("{}", text(&output.stderr)));
    assert_eq!(summary["type"], "summary");
    let is_none = |name: &str| summary[name] == 0;
    let code = match summary["problems"] != 0 || summary["is_partial"] == true {
        true => 1,
        false if is_none("copied") && is_none("there") => 3,
        false => 0,
    };
    assert_eq!(output.status.code(), Some(code), "{summary}");
    (lines, summary)
}

/// Each cloud has keys of its own.
#[tokio::test]
async fn a_folder_goes_to_s3_and_on_to_oss_and_back_unchanged() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let (first, last) = (folders.path().join("first"), folders.path().join("last"));
    put_into_folder(&first, &objects).await;
    let s3 = Bucket::start(Profile::Aws).await;
    let oss = Bucket::start(Profile::Oss { versioned: false }).await;
    let (s3_file, s3_url) = settings_file(&s3);
    let (oss_file, oss_url) = settings_file(&oss);
    let file = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let with = |path: &str| ["--to-settings".to_owned(), path.to_owned()];
    for (settings, to, options) in [
        (
            folder_settings(&first),
            &s3_url,
            with(&file(&s3_file)).to_vec(),
        ),
        (
            s3.settings.clone(),
            &oss_url,
            with(&file(&oss_file)).to_vec(),
        ),
        (oss.settings.clone(), &url(&last), Vec::new()),
    ] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (lines, summary) = copied(&settings, to, &options).await;
        assert_eq!(summary["copied"], objects.len(), "{to}: {summary}");
        assert_eq!(lines.len(), objects.len());
        assert_eq!(summary["is_catalog_complete"], true, "{summary}");
        let (lines, again) = copied(&settings, to, &options).await;
        assert_eq!((lines.len(), &again["copied"]), (0, &0.into()), "{again}");
        assert_eq!(again["is_catalog_complete"], true, "{again}");
        assert_eq!(again["there"], objects.len(), "{again}");
    }
    assert_same(&in_bucket(&s3.server), &objects);
    assert_same(&in_bucket(&oss.server), &objects);
    assert_same(&of_folder(&last).await, &objects);
    // What reads one archive reads the other.
    for command in [
        &["list", "--output", "json"][..],
        &["boots", "i-a1"],
        &["show", "i-a2"],
    ] {
        let here = cli(&folder_settings(&first), command).await;
        let there = cli(&folder_settings(&last), command).await;
        assert!(here.status.success(), "{command:?}: {}", text(&here.stderr));
        let there = text(&there.stdout).replace(&url(&last), &url(&first));
        assert_eq!(there, text(&here.stdout), "{command:?}");
    }
}

/// A thousand objects a request on both sides, and nothing else.
#[tokio::test]
async fn again_takes_two_listings() {
    let now = Timestamp::now();
    let ids: Vec<_> = (0..1201).map(|number| format!("i-a{number:04}")).collect();
    let hours = |ago| now - SignedDuration::from_hours(ago);
    let captures = ids.iter().map(|id| (id.as_str(), id.as_bytes(), hours(90)));
    let objects = Archived::of(captures).cataloged(hours(24));
    let (source, to) = (
        Bucket::start(Profile::Aws).await,
        Bucket::start(Profile::Aws).await,
    );
    for bucket in [&source, &to] {
        bucket.server.set_page(REAL_PAGE);
        bucket.server.put_all(archived::stored(PREFIX, &objects));
    }
    let (file, address) = settings_file(&to);
    let options = ["--to-settings", file.path().to_str().unwrap()];
    let (_, summary) = copied(&source.settings, &address, &options).await;
    assert_eq!(summary["there"], 2404, "{summary}");
    for server in [&source.server, &to.server] {
        // 2402 objects of instances are three pages; one page for each of three families more.
        assert_eq!(server.methods(), ["GET"; 6]);
        assert_eq!(server.listings(), 6);
    }
}

#[tokio::test]
async fn another_object_under_the_same_key_is_told_and_stays() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let (from, to) = (folders.path().join("from"), folders.path().join("to"));
    put_into_folder(&from, &objects).await;
    let records: Vec<_> = objects
        .keys()
        .filter(|key| key.ends_with(".log.gz"))
        .collect();
    let mut there = Objects::new();
    // Another console, and the same console as another compressor packs it.
    let other = Object {
        body: pack(b"something else").unwrap(),
        ..objects[records[0]].clone()
    };
    there.insert(records[0].clone(), other);
    let mut packed = gzip_stored(&gunzip(&objects[records[2]].body));
    let same = Object {
        body: std::mem::take(&mut packed),
        ..objects[records[2]].clone()
    };
    there.insert(records[2].clone(), same);
    put_into_folder(&to, &there).await;
    let settings = folder_settings(&from);
    let (lines, summary) = copied(&settings, &url(&to), &[]).await;
    let problems: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "problem")
        .collect();
    assert_eq!(problems.len(), 1, "{lines:?}");
    assert_eq!(problems[0]["key"].as_str(), Some(records[0].as_str()));
    assert_eq!(
        (&problems[0]["problem"], &summary["problems"]),
        (&"conflict".into(), &1.into())
    );
    assert_eq!(summary["is_catalog_complete"], false);
    let found = of_folder(&to).await;
    for (key, object) in &there {
        assert!(found[key] == *object, "{key} was changed");
    }
    let told = text(&copy_to(&settings, &url(&to), &[]).await.stderr);
    assert!(
        told.contains(&format!(
            "not copied: {}: the destination has another object",
            records[0]
        )),
        "{told}"
    );
    // With the same bytes, other metadata are told only if they are asked for.
    let mut other = objects.clone();
    let metadata = &mut other.get_mut(records[1]).unwrap().metadata;
    metadata.insert("event-id".into(), "another".into());
    let third = folders.path().join("third");
    put_into_folder(&third, &other).await;
    let (_, summary) = copied(&settings, &url(&third), &[]).await;
    assert_eq!(summary["problems"], 0, "{summary}");
    let (lines, summary) = copied(&settings, &url(&third), &["--metadata"]).await;
    assert_eq!(
        (lines.len(), &summary["problems"]),
        (1, &1.into()),
        "{summary}"
    );
    assert_eq!(lines[0]["problem"], "metadata");
    assert_eq!(
        lines[0]["message"],
        "the destination has other metadata: event-id"
    );
}

/// A gzip file without compression.
fn gzip_stored(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let none = flate2::Compression::none();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), none);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// It would keep the right object out of the other archive, and its row would be about nothing.
#[tokio::test]
async fn what_is_damaged_or_refused_is_told_and_the_others_are_copied() {
    let objects = archived::small(Timestamp::now());
    let source = Bucket::start(Profile::Aws).await;
    source.server.put_all(archived::stored(PREFIX, &objects));
    let records: Vec<_> = objects
        .keys()
        .filter(|key| key.ends_with(".log.gz"))
        .collect();
    let marker = objects
        .keys()
        .find(|key| key.ends_with(".none.json"))
        .unwrap();
    source
        .server
        .tamper(&format!("{PREFIX}{}", records[0]), |object| {
            object.body.truncate(30);
        });
    source
        .server
        .tamper(&format!("{PREFIX}{marker}"), |object| {
            object.body[5] = b'X';
        });
    let frozen = format!("{PREFIX}{}", records[2]);
    source
        .server
        .make_unreadable(&frozen, 403, "InvalidObjectState");
    let folders = tempfile::tempdir().unwrap();
    let to = folders.path().join("to");
    let (lines, summary) = copied(&source.settings, &url(&to), &[]).await;
    let problems: BTreeMap<_, _> = (lines.iter())
        .filter(|line| line["type"] == "problem")
        .map(|line| {
            (
                line["key"].as_str().unwrap(),
                line["problem"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (records[0], "damaged"),
        (marker, "damaged"),
        (records[2], "unreadable"),
    ];
    let expected = expected.map(|(key, word)| (key.as_str(), word));
    assert_eq!(problems, BTreeMap::from(expected));
    assert_eq!(summary["is_catalog_complete"], false);
    let found = of_folder(&to).await;
    assert_valid(&found);
    assert_eq!(
        found.keys().filter(|key| key.ends_with(".log.gz")).count(),
        4
    );
    // Once that is mended, the rest comes, with the rows.
    source.server.allow_all();
    source.server.put_all(archived::stored(PREFIX, &objects));
    let (_, summary) = copied(&source.settings, &url(&to), &[]).await;
    assert_eq!(
        (&summary["problems"], &summary["is_catalog_complete"]),
        (&0.into(), &true.into())
    );
    let found = of_folder(&to).await;
    assert_valid(&found);
    for (key, object) in &objects {
        assert!(found[key] == *object, "{key}");
    }
}

/// Somebody who may write into a folder may write anything there.
#[tokio::test]
async fn metadata_that_are_no_headers_are_told() {
    let mut objects = archived::small(Timestamp::now());
    let bad: Vec<_> = objects
        .keys()
        .filter(|key| key.ends_with(".log.gz"))
        .cloned()
        .collect();
    let change = |key: &str, objects: &mut Objects, name: &str, value: &str| {
        let metadata = &mut objects.get_mut(key).unwrap().metadata;
        metadata.insert(name.to_owned(), value.to_owned());
    };
    change(
        &bad[0],
        &mut objects,
        "event-id",
        "a\nx-amz-acl: public-read",
    );
    change(&bad[1], &mut objects, "event\r\nid", "a");
    change(&bad[2], &mut objects, "event-id", "é");
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(folders.path(), &objects).await;
    let bucket = Bucket::start(Profile::Aws).await;
    let (file, address) = settings_file(&bucket);
    let options = ["--to-settings", file.path().to_str().unwrap()];
    let (_, summary) = copied(&folder_settings(folders.path()), &address, &options).await;
    assert_eq!(summary["problems"], 3, "{summary}");
    assert_valid(&in_bucket(&bucket.server));
}

#[tokio::test]
async fn a_part_of_the_fleet_comes_with_its_part_of_the_catalog() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let from = folders.path().join("from");
    put_into_folder(&from, &objects).await;
    let settings = folder_settings(&from);
    let to = folders.path().join("one");
    let none = copy_to(&settings, &url(&to), &["--instance", "i-zz*"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(
        text(&none.stderr).contains("from matches"),
        "{}",
        text(&none.stderr)
    );
    let (_, summary) = copied(&settings, &url(&to), &["--instance", "i-a*"]).await;
    assert_eq!(
        (&summary["problems"], &summary["is_catalog_complete"]),
        (&0.into(), &false.into())
    );
    let found = of_folder(&to).await;
    assert_valid(&found);
    let of_instances = |objects: &Objects| {
        let keys = objects.keys().filter(|key| key.starts_with("i-"));
        keys.cloned().collect::<Vec<_>>()
    };
    let expected = of_instances(&objects)
        .into_iter()
        .filter(|key| key.starts_with("i-a"));
    assert_eq!(of_instances(&found), expected.collect::<Vec<_>>());
    assert_eq!(rows(&found).len(), 4, "each record has its row");
    // Of others there is nothing, although the destination has a catalog.
    let whole = folders.path().join("whole");
    copied(&settings, &url(&whole), &[]).await;
    let none = copy_to(&settings, &url(&whole), &["--instance", "i-zz*"]).await;
    let told = text(&none.stderr);
    assert_eq!(none.status.code(), Some(3), "{told}");
    assert!(told.contains("from matches"), "{told}");
    // What was stored since, by the store's clock: nothing of it is older than this test.
    let to = folders.path().join("none");
    let (_, summary) = copied(&settings, &url(&to), &["--since", "+2h"]).await;
    assert_eq!(summary["copied"], 0, "{summary}");
    assert!(!to.exists());
    let to = folders.path().join("all");
    let (_, summary) = copied(&settings, &url(&to), &["--since", "-1h"]).await;
    assert_eq!(summary["problems"], 0, "{summary}");
    assert_eq!(of_instances(&of_folder(&to).await), of_instances(&objects));
    assert_valid(&of_folder(&to).await);
}

/// What else the archives have is not even listed.
#[tokio::test]
async fn of_one_instance_only_its_own_objects_are_listed() {
    let kept = Kept::of(1_200).with_days();
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    let to = tempfile::tempdir().unwrap();
    let to = url(&to.path().join("to"));
    let options = ["--instance", "i-kept0007"];
    let (_, summary) = copied(&placed.settings, &to, &options).await;
    assert_eq!(summary["problems"], 0, "{summary}");
    // Of the instance, of rows, and of days.
    assert_eq!(server.listings(), 3);
}

/// The rows of what was pruned, joined or not, stay where its records are not.
#[tokio::test]
async fn an_archive_that_was_pruned_is_copied_without_the_rows_of_what_is_gone() {
    let kept = Kept::of(100).with_catalog();
    let placed = kept.place(Place::Folder).await;
    let run = async |arguments: &[&str]| {
        let output = cli(&placed.settings, arguments).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    };
    let folders = tempfile::tempdir().unwrap();
    // Copied before, so that one copy has what is pruned then.
    let before = url(&folders.path().join("before"));
    run(&["copy", "--to", &before]).await;
    run(&["prune", "--keep-last", "1", "--apply"]).await;
    let single = url(&folders.path().join("single"));
    run(&["copy", "--to", &single]).await;
    let (_, summary) = copied(&placed.settings, &single, &[]).await;
    assert_eq!(summary["copied"], 0, "{summary}");
    run(&["compact"]).await;
    let joined = url(&folders.path().join("joined"));
    run(&["copy", "--to", &joined]).await;
    run(&["copy", "--to", &before]).await;
    for copy in [&before, &single, &joined] {
        // All rows that there are: a record without one would be told, too.
        run(&["verify", "--archive-url", copy]).await;
    }
    let found = of_folder(&folders.path().join("single")).await;
    assert!(rows(&found).iter().all(|key| found.contains_key(key)));
}

/// A copy hides no loss.
#[tokio::test]
async fn what_the_source_has_lost_is_missing_in_its_copy_too() {
    let mut kept = Kept::of(40).with_catalog();
    let lost = kept.records()[7].clone();
    kept.objects.remove(&lost);
    let placed = kept.place(Place::Folder).await;
    let folders = tempfile::tempdir().unwrap();
    let to = url(&folders.path().join("to"));
    copied(&placed.settings, &to, &[]).await;
    let output = cli(&placed.settings, &["verify", "--archive-url", &to]).await;
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.starts_with(&format!("{lost}\tmissing\t")), "{told}");
}

/// Nothing is lost by that. But who believes to have a backup has none.
#[tokio::test]
async fn one_bucket_by_two_addresses_is_told_and_stays_as_it_is() {
    let objects = archived::small(Timestamp::now());
    let bucket = Bucket::start(Profile::Aws).await;
    let mut stored = archived::stored(PREFIX, &objects);
    let hour = std::time::Duration::from_secs(3600);
    stored
        .iter_mut()
        .for_each(|(_, object)| object.stored_at -= hour);
    bucket.server.put_all(stored);
    let other = tempfile::NamedTempFile::new().unwrap();
    let (file, to) = settings_file(&bucket);
    let settings = std::fs::read_to_string(file.path()).unwrap();
    assert!(settings.contains("//127.0.0.1:"), "{settings}");
    std::fs::write(
        other.path(),
        settings.replace("//127.0.0.1:", "//localhost:"),
    )
    .unwrap();
    let before = in_bucket(&bucket.server);
    let options = ["--to-settings", other.path().to_str().unwrap()];
    let output = copy_to(&bucket.settings, &to, &options).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let warning =
        "have the same objects, stored at the same times; if these are two addresses of one bucket";
    assert!(told.contains(warning), "{told}");
    assert_same(&in_bucket(&bucket.server), &before);
    assert!(bucket.server.methods().iter().all(|method| method == "GET"));
    // A copy is stored later.
    let real = Bucket::start(Profile::Aws).await;
    for _ in 0..2 {
        let (file, to) = settings_file(&real);
        let options = ["--to-settings", file.path().to_str().unwrap()];
        let output = copy_to(&bucket.settings, &to, &options).await;
        assert!(!text(&output.stderr).contains("warning"));
    }
}

/// A link, or another path to the same folder, leads back into the archive.
#[tokio::test]
async fn an_archive_is_not_copied_into_itself_by_any_path() {
    let folders = tempfile::tempdir().unwrap();
    let from = folders.path().join("from");
    put_into_folder(&from, &archived::small(Timestamp::now())).await;
    let link = folders.path().join("link");
    let above = folders.path().join("above");
    std::os::unix::fs::symlink(&from, &link).unwrap();
    std::os::unix::fs::symlink(folders.path(), &above).unwrap();
    let names = || files_in(&from).into_iter().map(|(name, _)| name);
    let before: Vec<_> = names().collect();
    for (from, to) in [
        (&from, link.clone()),
        (&from, link.join("below/it")),
        (&from, above.join("from")),
        (&from, above.clone()),
        (&link, from.clone()),
        (&link, above.join("link")),
    ] {
        let output = copy_to(&folder_settings(from), &url(&to), &[]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to:?}: {told}");
        let is_same = told.contains("is the archive that is copied");
        assert!(is_same || told.contains("are in each other"), "{told}");
    }
    assert_eq!(names().collect::<Vec<_>>(), before);
    // A folder beside it whose name begins alike is another one.
    let beside = url(&folders.path().join("from-2"));
    let output = copy_to(&folder_settings(&from), &beside, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// The address of the destination is in no setting.
#[tokio::test]
async fn what_is_wrong_with_the_destination_names_its_option() {
    let folders = tempfile::tempdir().unwrap();
    let from = folders.path().join("from");
    put_into_folder(&from, &archived::small(Timestamp::now())).await;
    std::fs::write(folders.path().join("file"), "a file").unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    let (settings, _) = settings_file(&bucket);
    let options = ["--to-settings", settings.path().to_str().unwrap()];
    let of_folder = url(&folders.path().join("file/below"));
    for (to, options) in [
        (of_folder.as_str(), &[][..]),
        ("s3://no-such-bucket/console/", &options),
        ("nowhere", &[]),
        ("s3://", &options),
    ] {
        let output = copy_to(&folder_settings(&from), to, options).await;
        let told = text(&output.stderr);
        assert!(!output.status.success());
        let is_of_its_address = told.contains("console-archive: --to: ");
        assert!(
            is_of_its_address || told.contains("the destination: ") && told.contains("--to"),
            "{told}"
        );
        assert!(!told.contains("ARCHIVE_URL"), "{told}");
    }
}

/// The records and markers that rows of a catalog are about.
fn rows(objects: &Objects) -> BTreeSet<String> {
    let mut subjects = BTreeSet::new();
    for (key, object) in objects {
        match CatalogKey::parse(key) {
            Some(CatalogKey::Row(row)) => {
                subjects.insert(row.row.subject.key());
            }
            Some(CatalogKey::Day(_)) => {
                let rows = day::unpack(&object.body).unwrap();
                subjects.extend(rows.iter().map(|row| row.subject.key()));
            }
            None => {}
        }
    }
    subjects
}

/// The other archive has records of its own without rows, which `complete.json` would hide.
#[tokio::test]
async fn the_catalog_claims_no_more_than_it_has() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let (from, to) = (folders.path().join("from"), folders.path().join("to"));
    put_into_folder(&from, &objects).await;
    let own = Archived::of([("i-own", &b"of its own\n"[..], Timestamp::now())]);
    put_into_folder(&to, &own.objects).await;
    let (_, summary) = copied(&folder_settings(&from), &url(&to), &[]).await;
    assert_eq!(summary["is_catalog_complete"], false, "{summary}");
    let told = text(
        &copy_to(&folder_settings(&from), &url(&to), &[])
            .await
            .stderr,
    );
    assert!(
        told.contains("console-archive reindex --archive-url 'file:///"),
        "{told}"
    );
    let listed = cli(&folder_settings(&to), &["list", "--count"]).await;
    assert_eq!(text(&listed.stdout), "8\n", "nothing is hidden");
    assert!(
        cli(&folder_settings(&to), &["reindex"])
            .await
            .status
            .success()
    );
    let (_, summary) = copied(&folder_settings(&from), &url(&to), &[]).await;
    assert_eq!(summary["is_catalog_complete"], true, "{summary}");
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_stores_nothing() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(folders.path(), &objects).await;
    let settings = folder_settings(folders.path());
    let bucket = Bucket::start(Profile::Aws).await;
    let (file, address) = settings_file(&bucket);
    let options = ["--to-settings", file.path().to_str().unwrap()];
    let dry = copy_to(
        &settings,
        &address,
        &[&options[..], &["--dry-run"]].concat(),
    )
    .await;
    let dry = text(&dry.stdout);
    let (mut keys, summary): (Vec<_>, Vec<_>) = dry.lines().partition(|line| !line.contains(' '));
    let methods = bucket.server.methods();
    assert!(
        methods
            .iter()
            .all(|method| ["GET", "HEAD"].contains(&method.as_str()))
    );
    assert!(in_bucket(&bucket.server).is_empty());
    let (lines, done) = copied(&settings, &address, &options).await;
    let mut copied: Vec<_> = lines
        .iter()
        .map(|line| line["key"].as_str().unwrap())
        .collect();
    keys.sort();
    copied.sort();
    assert_eq!(keys, copied);
    let expected = format!(
        "would copy {} objects of {} bytes; 0 there already, 0 not copied",
        keys.len(),
        done["copied_bytes"]
    );
    let without_commas = |text: &str| text.replace(',', "");
    assert_eq!(summary.len(), 1);
    assert_eq!(without_commas(summary[0]), without_commas(&expected));
}

/// A busy store is asked again, and less at once.
/// Of a day of which something was pruned, the copy has another object than the source.
#[tokio::test]
async fn a_dry_run_tells_nothing_of_archives_that_are_in_sync() {
    let mut kept = Kept::default();
    let at = Timestamp::now() - SignedDuration::from_hours(24 * 5);
    let keys = [1, 2].map(|number| {
        let console = format!("[    0.000000] Linux version 6.1.{number}\r\n");
        kept.record(&instance_id(number), console.as_bytes(), at)
            .to_string()
    });
    let row = kept.row(&keys[0]);
    *row = row.clone().join(Row::pruned(row.subject.clone(), at, at));
    kept.objects.remove(&keys[0]);
    for place in Place::ALL {
        let placed = kept.clone().with_days().place(place).await;
        let folder = tempfile::tempdir().unwrap();
        let to = url(folder.path());
        let (lines, planned) = copied(&placed.settings, &to, &["--dry-run"]).await;
        assert_eq!(
            (lines.len(), &planned["copied"]),
            (2, &2.into()),
            "{planned}"
        );
        let (_, done) = copied(&placed.settings, &to, &[]).await;
        assert_eq!(done["copied"], 2, "{done}");
        let (lines, again) = copied(&placed.settings, &to, &["--dry-run"]).await;
        assert_eq!(
            (lines.len(), &again["copied"]),
            (0, &0.into()),
            "{place:?}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_throttles_gets_all_in_the_end() {
    let objects = archived::small(Timestamp::now());
    let (source, to) = (
        Bucket::start(Profile::Aws).await,
        Bucket::start(Profile::IgnoresConditions).await,
    );
    source.server.put_all(archived::stored(PREFIX, &objects));
    source.server.behave(&[Quirk::ThrottlesReads]);
    for _ in 0..8 {
        to.server.fault_next_put(Fault::Status(503, "SlowDown"));
    }
    to.server.fault_next_put(Fault::LoseReply);
    let (file, address) = settings_file(&to);
    let options = ["--to-settings", file.path().to_str().unwrap()];
    let (_, summary) = copied(&source.settings, &address, &options).await;
    assert_eq!(summary["problems"], 0, "{summary}");
    assert_same(&in_bucket(&to.server), &objects);
    to.server.assert_nothing_was_overwritten();
    assert_eq!(to.server.faults_left(), 0);
}

#[tokio::test]
async fn wrong_settings_are_told_by_their_side_and_no_secret_is_shown() {
    let folders = tempfile::tempdir().unwrap();
    let settings = folder_settings(&folders.path().join("from"));
    let check = async |to: &str, file: Option<&str>, expected: &str| {
        let path = folders.path().join("backup.env");
        let mut options = Vec::new();
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
            options.extend(["--to-settings", path.to_str().unwrap()]);
        }
        let output = copy_to(&settings, to, &options).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
        assert!(
            !told.contains(SECRET_ACCESS_KEY) && !told.contains("hunter2"),
            "{told}"
        );
    };
    let s3 = "s3://backup/console";
    check("nowhere", None, "console-archive: --to: \"nowhere\"").await;
    check(s3, Some(""), "the destination: AWS_ACCESS_KEY_ID: not set").await;
    check(
        s3,
        Some("AWS_SECRET_ACCESS_KEY hunter2"),
        "backup.env: line 1: expected NAME=value",
    )
    .await;
    let unknown = "# a comment\nAWS_SECRET_ACESS_KEY=hunter2";
    check(
        s3,
        Some(unknown),
        "backup.env: line 2: AWS_SECRET_ACESS_KEY is not the name of a setting",
    )
    .await;
    // What may be a key is not shown.
    check(
        s3,
        Some("hunter2=="),
        "backup.env: line 1: its name is not the name of a setting",
    )
    .await;
    check(
        &url(&folders.path().join("from/x")),
        None,
        "are in each other",
    )
    .await;
    check(
        &url(&folders.path().join("from")),
        None,
        "is the archive that is copied",
    )
    .await;
    std::fs::remove_file(folders.path().join("backup.env")).unwrap();
    let missing = folders.path().join("backup.env");
    let options = ["--to-settings", missing.to_str().unwrap()];
    let output = copy_to(&settings, s3, &options).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("backup.env"));
}

/// Keys of this archive's cloud are no keys of the other's.
#[tokio::test]
async fn with_a_settings_file_no_setting_of_this_archive_counts_for_the_other() {
    let source = Bucket::start(Profile::Aws).await;
    let told = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        told.path(),
        "AWS_REGION=us-east-1\nAWS_ACCESS_KEY_ID='quoted'\n",
    )
    .unwrap();
    let options = ["--to-settings", told.path().to_str().unwrap()];
    let output = copy_to(&source.settings, "s3://backup/console", &options).await;
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.contains("the destination: AWS_SECRET_ACCESS_KEY: not set"),
        "{told}"
    );
    assert!(source.server.methods().is_empty());
}

// ---- Killed anywhere, beside others ----

fn began() -> Timestamp {
    "2026-11-29T20:00:00Z".parse().unwrap()
}

fn request(began_at: Timestamp) -> Request<'static> {
    Request {
        instances: None,
        since: None,
        compares_metadata: false,
        is_dry_run: false,
        began_at,
    }
}

fn world_objects(world: &World) -> Objects {
    let keys = world.keys().into_iter();
    keys.map(|key| (key.clone(), world.object(&key))).collect()
}

async fn copy_world(source: &World, to: &World) -> copy::Copied {
    let (reader, writer) = (Actor::new(source, None), Actor::new(to, None));
    let done = copy::copy(&reader, &writer, &request(source.now()), |_| {}).await;
    done.unwrap()
}

#[test]
fn wherever_a_copy_is_killed_the_other_archive_is_valid_and_the_next_one_finishes() {
    let objects = archived::small(began());
    let mut deaths = 0;
    for kills_writer in [false, true] {
        for call in 1.. {
            let mut died = false;
            for has_effect in [false, true] {
                fastrand::seed(call as u64);
                paused_runtime().block_on(async {
                    let (source, to) = (World::begin(began()), World::begin(began()));
                    for (key, object) in &objects {
                        source.put(key, object.clone());
                    }
                    let dies = Some((call, has_effect));
                    let reader = Actor::new(&source, dies.filter(|_| !kills_writer));
                    let writer = Actor::new(&to, dies.filter(|_| kills_writer));
                    let request = request(source.now());
                    let copy = copy::copy(&reader, &writer, &request, |_| {});
                    died = reader.run(writer.run(copy)).await.flatten().is_none();
                    assert_valid(&world_objects(&to));
                    let done = copy_world(&source, &to).await;
                    assert!(done.problems == 0 && done.is_catalog_complete, "{done:?}");
                    assert_same(&world_objects(&to), &objects);
                });
                deaths += usize::from(died);
            }
            if !died {
                break;
            }
        }
    }
    assert!(deaths > 80, "{deaths}");
    println!("killed at {deaths} places");
}

/// The archive is captured into, and its days are joined, while it is copied; two copies run at once.
#[test]
fn what_is_captured_meanwhile_comes_with_its_row_or_with_the_next_copy() {
    let captures = async |world: &World| {
        let fleet = FakeFleet::default();
        fleet.state().grows_by = 1;
        for number in 0..6 {
            let actor = Actor::new(world, None);
            let archiver = Archiver {
                has_catalog: true,
                clock: WallClock::Tokio {
                    time: world.now(),
                    instant: Instant::now(),
                },
                ..fakes::archiver(&fleet, &actor)
            };
            let event = InstanceEvent {
                instance_id: instance(number % 3),
                region_id: None,
                account_id: None,
                cause: Cause::Manual,
                event_id: None,
                occurred_at: Some(world.now()),
            };
            let deadline = Deadline::after(Duration::from_secs(300));
            archiver.capture(event, deadline).await.unwrap();
        }
    };
    let mut late = 0;
    for seed in 0..40 {
        fastrand::seed(seed);
        paused_runtime().block_on(async {
            let (source, to) = (World::begin(began()), World::begin(began()));
            for (key, object) in archived::small(began()) {
                source.put(&key, object);
            }
            let compactor = Actor::new(&source, None);
            let now = began() + SignedDuration::from_hours(if seed % 2 == 0 { 30 } else { 0 });
            let (_, _, one, other) = tokio::join!(
                captures(&source),
                compact(&compactor, now, || true),
                copy_world(&source, &to),
                copy_world(&source, &to),
            );
            assert_eq!((one.problems, other.problems), (0, 0));
            assert_eq!(to.differing(), Vec::<String>::new());
            let (found, all) = (world_objects(&to), world_objects(&source));
            assert_valid(&found);
            late += usize::from(found.len() < all.len());
            copy_world(&source, &to).await;
            let found = world_objects(&to);
            assert_valid(&found);
            for (key, object) in &all {
                assert!(found[key] == *object, "{key}");
            }
            assert_eq!(rows(&found), rows(&all));
        });
    }
    assert!(late > 0, "captures and copies never met");
}

/// Of several verdicts the newest counts, by when the store got it.
#[test]
fn verdicts_keep_their_order() {
    use ecs_console_archiver::archive::key::{RecordKey, VerdictKey};
    use ecs_console_archiver::archive::reader;
    use ecs_console_archiver::archive::record::Verdict;
    use ecs_console_archiver::model::freshness::Freshness;
    for newest in [Freshness::Fresh, Freshness::Stale, Freshness::Partial] {
        paused_runtime().block_on(async {
            let (source, to) = (World::begin(began()), World::begin(began()));
            let archived = Archived::of([("i-a1", &b"one\n"[..], began())]);
            let record = archived
                .objects
                .keys()
                .find_map(|key| RecordKey::parse(key))
                .unwrap();
            for (key, object) in &archived.objects {
                if VerdictKey::parse(key).is_none() {
                    source.put(key, object.clone());
                }
            }
            let event = |id: &str| InstanceEvent {
                instance_id: record.instance_id.clone(),
                region_id: None,
                account_id: None,
                cause: Cause::Manual,
                event_id: Some(id.to_owned()),
                occurred_at: Some(began()),
            };
            let all = [Freshness::Fresh, Freshness::Stale, Freshness::Partial];
            let older = all.into_iter().filter(|one| *one != newest);
            for (number, freshness) in older.chain([newest]).enumerate() {
                tokio::time::sleep(Duration::from_secs(60)).await;
                let verdict = Verdict::new(&event(&number.to_string()), record.clone(), freshness);
                source.put(&verdict.key.to_string(), verdict.object);
            }
            copy_world(&source, &to).await;
            for world in [&source, &to] {
                let listed = reader::list(&Actor::new(world, None), None).await.unwrap();
                assert_eq!(listed.records[0].verdict, Some(newest));
            }
        });
    }
}

/// In a copy, the time of storing says nothing of the order of captures. Here the keys do not, either: a guest
/// that runs for long has the same update time all along.
#[tokio::test]
async fn the_captures_of_a_boot_are_joined_in_order_in_a_copy_too() {
    let now = Timestamp::now();
    let mut log = b"[    0.000000] Linux version 6.1.0\n".to_vec();
    let mut consoles = Vec::new();
    for number in 0..12 {
        log.extend_from_slice(
            format!("[    {number}.000000] line {number} of the boot\n").as_bytes(),
        );
        // ECS has the end alone.
        consoles.push(log[log.len().saturating_sub(200)..].to_vec());
    }
    let mut archived = Archived::of([]);
    for (number, console) in consoles.iter().enumerate() {
        let captured_at = now - SignedDuration::from_hours(1000 - 5 * number as i64);
        archived.capture_updated(
            "i-a1",
            console,
            captured_at,
            now - SignedDuration::from_hours(1001),
        );
    }
    let folders = tempfile::tempdir().unwrap();
    let (from, to) = (folders.path().join("from"), folders.path().join("to"));
    put_into_folder(&from, &archived.objects).await;
    let (_, summary) = copied(&folder_settings(&from), &url(&to), &[]).await;
    assert_eq!(summary["problems"], 0, "{summary}");
    let settings = folder_settings(&to);
    let shown = cli(&settings, &["show", "i-a1", "--raw"]).await;
    assert_eq!(text(&shown.stdout), text(&log), "{}", text(&shown.stderr));
    let found = cli(&settings, &["grep", "of the boot", "--count"]).await;
    assert!(
        text(&found.stdout).trim_end().ends_with(":12"),
        "{}",
        text(&found.stdout)
    );
    // One that came to the copy by itself, before it was copied into.
    let to = folders.path().join("merged");
    let mut newest = Archived::of([]);
    log.extend_from_slice(b"[   13.000000] line 13 of the boot\n");
    let updated = now - SignedDuration::from_hours(1001);
    newest.capture_updated("i-a1", &log[log.len() - 200..], now, updated);
    put_into_folder(&to, &newest.objects).await;
    copied(&folder_settings(&from), &url(&to), &[]).await;
    let shown = cli(&folder_settings(&to), &["show", "i-a1", "--raw"]).await;
    assert_eq!(text(&shown.stdout), text(&log), "{}", text(&shown.stderr));
    let found = cli(&folder_settings(&to), &["grep", "of the boot", "--count"]).await;
    assert!(
        text(&found.stdout).trim_end().ends_with(":13"),
        "{}",
        text(&found.stdout)
    );
}

/// A row of a listing, as far as a record says it of itself.
fn told(listed: &Value) -> (String, String, String) {
    let text = |name: &str| listed[name].as_str().unwrap_or_default().to_owned();
    let is_marker = listed["outcome"] == "no_console";
    let cause = if is_marker {
        String::new()
    } else {
        text("event_cause")
    };
    (text("captured_at"), text("key"), cause)
}

async fn listed(
    placed: &Placed,
    options: &[&str],
) -> (i32, BTreeSet<(String, String, String)>, String) {
    let arguments = [&["list", "--output", "json"], options].concat();
    let output = cli(&placed.settings, &arguments).await;
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let code = output.status.code().unwrap();
    (code, rows.iter().map(told).collect(), text(&output.stderr))
}

/// Whatever copied it, and however far it came: when a record was captured is not when it was copied.
#[tokio::test]
async fn a_copy_by_another_tool_lists_what_was_captured_when_it_was_captured() {
    let kept = Kept::of(60);
    let ago = |days: i64| whole_second(Timestamp::now() - SignedDuration::from_hours(days * 24));
    let (since, until) = (ago(26).to_string(), ago(23).to_string());
    let range = ["--since", &since, "--until", &until];
    let original = kept.clone().with_catalog().place(Place::Folder).await;
    let (_, expected, _) = listed(&original, &range).await;
    assert!(expected.len() > 10, "{expected:?}");
    let left_out: [fn(&str) -> bool; 4] = [
        |key| key == COMPLETE_KEY,
        |key| key.starts_with("catalog/"),
        |key| key.starts_with("catalog/rows/") || key == COMPLETE_KEY,
        // It was interrupted within the days.
        |key| {
            key.starts_with("catalog/")
                && !key.ends_with("1.jsonl.gz")
                && !key.ends_with("7.jsonl.gz")
        },
    ];
    for (index, is_left_out) in left_out.into_iter().enumerate() {
        for place in [
            Place::Folder,
            Place::Bucket(Profile::Aws),
            Place::Bucket(Profile::IgnoresConditions),
        ] {
            let copied = kept.clone().with_catalog().copied(is_left_out);
            let placed = copied.place(place).await;
            let (code, found, told) = listed(&placed, &range).await;
            assert_eq!(
                (code, found),
                (0, expected.clone()),
                "{index} {place:?}: {told}"
            );
            let (code, found, told) = listed(&placed, &["--since", "-7d"]).await;
            assert_eq!((code, found.len()), (3, 0), "{index} {place:?}: {told}");
            let count = cli(&placed.settings, &["list", "--since", "-7d", "--count"]).await;
            assert_eq!(
                (count.status.code(), text(&count.stdout)),
                (Some(3), "0\n".into())
            );
            let done = cli(&placed.settings, &["reindex"]).await;
            assert!(done.status.success(), "{}", text(&done.stderr));
            let (code, found, told) = listed(&placed, &range).await;
            assert_eq!(
                (code, found),
                (0, expected.clone()),
                "{index} {place:?}: {told}"
            );
        }
    }
}

/// The cause of each is known then, and how its boot ended is not.
#[tokio::test]
async fn what_metadata_do_not_say_is_told() {
    let kept = Kept::of(20).copied(|key| key.starts_with("catalog/"));
    let placed = kept.place(Place::Folder).await;
    let (code, found, told) = listed(&placed, &["--cause", "Stop*"]).await;
    assert_eq!((code, found.len()), (0, 21), "{told}");
    let (code, _, told) = listed(&placed, &["--ending", "panic"]).await;
    assert_eq!(code, 1);
    assert!(told.contains("of 20 records are not known"), "{told}");
}

#[tokio::test]
async fn where_nothing_says_when_a_record_was_captured_it_is_told() {
    // More than are asked. Where it is no copy, each was stored when it was captured.
    let mut original = Kept::of(1100);
    original
        .objects
        .retain(|key, _| !key.starts_with("catalog/"));
    let placed = original.place(Place::Folder).await;
    let (code, found, told) = listed(&placed, &["--since", "-40d", "--outcome", "stored"]).await;
    assert_eq!((code, found.len()), (0, 1100), "{told}");
    assert!(!told.contains("is not known"), "{told}");
    let many = Kept::of(1100).copied(|key| key.starts_with("catalog/"));
    let records = many.records().len();
    let placed = many.place(Place::Bucket(Profile::Aws)).await;
    let before = placed.bucket.as_ref().unwrap().server.methods().len();
    let (code, found, told) = listed(&placed, &["--since", "-7d"]).await;
    assert_eq!((code, found.len()), (1, records), "{told}");
    let is_told = |told: &str, count: &str, advice: &str| {
        let lines = told.lines().filter(|line| {
            line.contains(&format!("when {count} were captured is not known"))
                && line.contains("when it was copied")
                && line.contains(advice)
        });
        lines.count() == 1
    };
    assert!(
        is_told(&told, "1,100 records", "console-archive reindex"),
        "{told}"
    );
    let requests = placed.bucket.as_ref().unwrap().server.methods().len() - before;
    assert!(requests < 20, "none is asked: {requests}");
    let done = cli(&placed.settings, &["reindex"]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(listed(&placed, &["--since", "-7d"]).await.0, 3);
    // It was copied without metadata.
    let mut bare = Kept::of(5).copied(|key| key.starts_with("catalog/"));
    let record = bare.records()[2].clone();
    bare.change(&record, |object| object.metadata.clear());
    let placed = bare.place(Place::Folder).await;
    let (code, found, told) = listed(&placed, &["--since", "-7d"]).await;
    assert_eq!((code, found.len()), (1, 1), "{told}");
    assert!(
        is_told(&told, "1 record", "console-archive verify"),
        "{told}"
    );
    let done = cli(&placed.settings, &["reindex", "--output", "json"]).await;
    let printed: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(printed["untimed"], 1);
    assert!(text(&done.stderr).contains("do not say when they were captured"));
}
