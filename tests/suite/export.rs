//! `export`: files that other programs open, the same bytes each time, and an export that was killed goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::archived::{self, Archived, Objects, of_folder, put_into_folder};
use crate::support::kept::{Kept, Place};
use crate::support::printed::checked;
use crate::support::s3_server::{Denied, Profile, REAL_PAGE};
use crate::support::*;

const PREFIX: &str = "kept/here/";

async fn export(settings: &Settings, to: &Path, options: &[&str]) -> Output {
    let to = to.to_str().unwrap();
    cli(settings, &[&["export", "-o", to], options].concat()).await
}

#[track_caller]
fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// The files of an archive, unpacked by another program.
fn unpacked(unpacker: &str, archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut plain = tempfile::NamedTempFile::new().unwrap();
    let mut file = std::fs::File::open(archive).unwrap();
    if archive.extension().is_some_and(|end| end == "zst") && unpacker == "tar" {
        // GNU tar calls a program that may not be there.
        zstd::stream::copy_decode(file, &mut plain).unwrap();
    } else {
        std::io::copy(&mut file, &mut plain).unwrap();
    }
    let mut command = Command::new(unpacker);
    command
        .arg("-xf")
        .arg(plain.path())
        .arg("-C")
        .arg(folder.path());
    let output = checked(command.output().unwrap());
    assert!(output.status.success(), "{unpacker} {archive:?}");
    files_in(folder.path()).into_iter().collect()
}

/// What a listing by GNU tar says of each file: mode, owner, time, name.
fn listed(archive: &Path) -> Vec<String> {
    let mut command = Command::new("tar");
    command.args([
        "--list",
        "--verbose",
        "--numeric-owner",
        "--utc",
        "--full-time",
        "-f",
    ]);
    let output = checked(command.arg(archive).output().unwrap());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

fn manifest(files: &BTreeMap<String, Vec<u8>>, id: &str) -> Vec<Value> {
    lines_of(files, &format!("{id}/MANIFEST.jsonl"))
}

fn lines_of(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Value> {
    let lines = text(&files[name]);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn the_logs_of_boots_are_files_that_other_programs_open() {
    let now = Timestamp::now();
    let objects = archived::small(now);
    let folders = tempfile::tempdir().unwrap();
    let archive = folders.path().join("archive");
    put_into_folder(&archive, &objects).await;
    let settings = folder_settings(&archive);
    let mut all = Vec::new();
    for name in ["logs.tar.zst", "logs.tar", "logs"] {
        let to = folders.path().join(name);
        assert_done(&export(&settings, &to, &[]).await);
        all.push(match name {
            "logs" => files_in(&to).into_iter().collect(),
            _ => unpacked("tar", &to),
        });
        if name != "logs" {
            all.push(unpacked("bsdtar", &to));
        }
    }
    for files in &all[1..] {
        assert!(*files == all[0], "{:?} {:?}", files.keys(), all[0].keys());
    }
    let files = &all[0];
    let mut ids = 0;
    for id in ["i-a1", "i-a2", "i-b1"] {
        let lines = manifest(files, id);
        for line in &lines {
            let member = line["member"].as_str().unwrap();
            let log = &files[member];
            let boot = line["boot_id"].as_str().unwrap();
            let shown = cli(&settings, &["show", id, "--raw", "-b", boot]).await;
            assert!(shown.stdout == *log, "{member}");
            assert_eq!(line["bytes"], log.len());
            assert_eq!(line["sha256"], hex::encode(Sha256::digest(log)));
            assert!(objects.contains_key(line["records"][0]["key"].as_str().unwrap()));
            ids += 1;
        }
    }
    // Each log is in a manifest; a machine without a console has neither.
    assert_eq!(files.len(), ids + 3, "{:?}", files.keys());
    assert!(!files.keys().any(|name| name.starts_with("i-b2")));
    // The manifest stands before the logs that it is about, and nothing tells who exported.
    let lines = listed(&folders.path().join("logs.tar"));
    assert!(lines[0].ends_with("i-a1/MANIFEST.jsonl"), "{lines:?}");
    for line in &lines {
        assert!(line.starts_with("-rw------- 0/0 "), "{line}");
    }
    let last = manifest(files, "i-b1").pop().unwrap();
    let last_time: Timestamp = last["captured_at"].as_str().unwrap().parse().unwrap();
    let time = last_time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let line = lines
        .iter()
        .find(|line| line.ends_with(last["member"].as_str().unwrap()));
    assert!(line.unwrap().contains(&time), "{line:?} {time}");
}

#[tokio::test]
async fn the_same_archive_gives_the_same_bytes() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    for options in [&[][..], &["--as-stored"]] {
        for end in ["tar", "tar.zst"] {
            let [one, other] =
                ["one", "other"].map(|name| folders.path().join(format!("{name}.{end}")));
            assert_done(&export(&bucket.settings, &one, options).await);
            assert_done(&export(&bucket.settings, &other, options).await);
            let to_pipe = [options, &["--format", end]].concat();
            let piped = export(&bucket.settings, Path::new("-"), &to_pipe).await;
            assert_done(&piped);
            let [one, other] = [one, other].map(|path| {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::remove_file(path).unwrap();
                bytes
            });
            assert!(one == other && one == piped.stdout, "{options:?} {end}");
            assert!(
                text(&piped.stderr).contains("exported "),
                "{}",
                text(&piped.stderr)
            );
        }
    }
    assert_eq!(
        std::fs::read_dir(folders.path()).unwrap().count(),
        0,
        "nothing is left beside"
    );
}

/// A fleet whose machines run one image.
fn fleet(machines: usize, now: Timestamp) -> Objects {
    let console = fixture("i-bp1normalreboot0001");
    let mut archived = Archived::of([]);
    for number in 0..machines {
        let mut console = console.clone();
        console.extend_from_slice(format!("machine {number}\n").as_bytes());
        let ago = SignedDuration::from_hours(100 + number as i64);
        archived.capture(&format!("i-fleet{number:03}"), &console, now - ago);
    }
    archived.objects
}

/// Wherever an export is killed, the same command goes on, gives the same bytes, and reads at most the instances
/// that are missing.
#[tokio::test]
async fn an_export_that_was_killed_goes_on_to_the_same_bytes() {
    let objects = fleet(24, Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    let whole = folders.path().join("whole.tar.zst");
    assert_done(&export(&bucket.settings, &whole, &[]).await);
    let whole = std::fs::read(whole).unwrap();
    // What an export leaves behind that fails at its last instance.
    let to = folders.path().join("consoles.tar.zst");
    let beside = |end: &str| folders.path().join(format!("consoles.tar.zst{end}"));
    let (part, progress) = (beside(".part"), beside(".part.jsonl"));
    let last = objects
        .keys()
        .rfind(|key| key.ends_with(".log.gz"))
        .unwrap();
    bucket
        .server
        .make_unreadable(&format!("{PREFIX}{last}"), 403, "SignatureDoesNotMatch");
    let failed = export(&bucket.settings, &to, &[]).await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(!to.exists());
    bucket.server.allow_all();
    let lines: Vec<_> = text(&std::fs::read(&progress).unwrap())
        .split_inclusive('\n')
        .map(str::to_owned)
        .collect();
    // What was asked for, the selection, and its digest.
    let head = lines
        .iter()
        .position(|line| line.contains("\"end\":"))
        .unwrap();
    let (head, lines) = lines.split_at(head);
    assert_eq!((head.len(), lines.len()), (26, 23));
    let ends: Vec<usize> = (lines.iter())
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["end"]
                .as_u64()
                .unwrap() as usize
        })
        .collect();
    assert!(std::fs::read(&part).unwrap() == whole[..*ends.last().unwrap()]);
    let mut points = 0;
    for (index, end) in ends.iter().enumerate() {
        // Behind a frame, before and in the middle of its line; and in the middle of the next frame.
        let next = ends.get(index + 1).copied().unwrap_or(whole.len());
        let half = &lines[index][..lines[index].len() / 2];
        for (cut, noted, rest) in [
            (*end, index, ""),
            (*end, index, half),
            ((end + next) / 2, index + 1, ""),
        ] {
            if (index + points) % 3 != 0 && index > 6 {
                continue;
            }
            std::fs::write(&part, &whole[..cut]).unwrap();
            std::fs::write(&progress, head.concat() + &lines[..noted].concat() + rest).unwrap();
            let reads = bucket.server.reads();
            let done = export(&bucket.settings, &to, &[]).await;
            assert_done(&done);
            assert!(std::fs::read(&to).unwrap() == whole, "cut at {cut}");
            let reads = bucket.server.reads() - reads;
            assert_eq!(reads, 24 - noted, "reads after {noted} instances");
            std::fs::remove_file(&to).unwrap();
            assert!(!part.exists() && !progress.exists());
            points += 1;
        }
    }
    assert!(points >= 20, "{points}");
    // Killed while it selected: nothing was written.
    for cut in [0, head[0].len(), head.concat().len() - 20] {
        std::fs::write(&progress, &head.concat()[..cut]).unwrap();
        assert_done(&export(&bucket.settings, &to, &[]).await);
        assert!(std::fs::read(&to).unwrap() == whole);
        std::fs::remove_file(&to).unwrap();
    }
    // After a power cut the line may be on the disk, and of the frame only a part, or its length alone.
    let broken: [(&str, Vec<u8>); 4] = [
        ("cut", whole[..ends[2] - 10].to_vec()),
        (
            "zeros",
            [&whole[..ends[1]], &vec![0; ends[9] - ends[1]]].concat(),
        ),
        ("changed", {
            let mut changed = whole[..ends[8]].to_vec();
            changed[ends[1] + 5] ^= 1;
            changed
        }),
        ("gone", Vec::new()),
    ];
    for (what, bytes) in broken {
        std::fs::write(&part, bytes).unwrap();
        std::fs::write(&progress, head.concat() + &lines[..9].concat()).unwrap();
        let reads = bucket.server.reads();
        let done = export(&bucket.settings, &to, &[]).await;
        assert_done(&done);
        assert!(std::fs::read(&to).unwrap() == whole, "{what}");
        let again = bucket.server.reads() - reads;
        let (kept, told) = match what {
            "gone" => (
                0,
                "behind the first 0 instances; the 9 behind it are exported again",
            ),
            _ => (
                2,
                "behind the first 2 instances; the 7 behind it are exported again",
            ),
        };
        assert_eq!(again, 24 - kept, "{what}");
        let shown = text(&done.stderr);
        assert!(
            shown.contains("is not what was written") && shown.contains(told),
            "{shown}"
        );
        std::fs::remove_file(&to).unwrap();
    }
}

/// Killed for real, while it waits for an answer.
#[tokio::test]
async fn a_folder_that_was_killed_goes_on_too() {
    let objects = fleet(12, Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    let whole = folders.path().join("whole");
    assert_done(&export(&bucket.settings, &whole, &[]).await);
    let to = folders.path().join("logs");
    // The sixth instance is not answered.
    let sixth = objects
        .keys()
        .filter(|key| key.ends_with(".log.gz"))
        .nth(5)
        .unwrap();
    bucket
        .server
        .make_unreadable(&format!("{PREFIX}{sixth}"), 403, "SignatureDoesNotMatch");
    assert_eq!(
        export(&bucket.settings, &to, &[]).await.status.code(),
        Some(1)
    );
    assert!(!to.exists() && folders.path().join("logs.part").is_dir());
    bucket.server.allow_all();
    // A power cut left zeros in a file of the fourth.
    let part = folders.path().join("logs.part");
    let (name, log) = (files_in(&part).into_iter())
        .find(|(name, _)| name.starts_with("i-fleet003/") && name.ends_with(".log"))
        .unwrap();
    std::fs::write(part.join(name), vec![0; log.len()]).unwrap();
    let reads = bucket.server.reads();
    let done = export(&bucket.settings, &to, &[]).await;
    assert_done(&done);
    assert_eq!(bucket.server.reads() - reads, 9);
    assert!(text(&done.stderr).contains("behind the first 3 instances"));
    assert!(files_in(&to) == files_in(&whole));
}

/// An export of six instances of which the last could not be read.
async fn interrupted(bucket: &Bucket, to: &Path) -> Objects {
    let objects = fleet(6, Timestamp::now());
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    let last = record_of(&objects, 5);
    bucket
        .server
        .make_unreadable(&format!("{PREFIX}{last}"), 403, "SignatureDoesNotMatch");
    let failed = export(&bucket.settings, to, &[]).await;
    assert_eq!(failed.status.code(), Some(1));
    bucket.server.allow_all();
    objects
}

fn record_of(objects: &Objects, number: usize) -> String {
    let mut records = objects.keys().filter(|key| key.ends_with(".log.gz"));
    records.nth(number).unwrap().clone()
}

/// It is what was there when the export began: a state that the archive had, and that one alone.
#[tokio::test]
async fn an_export_that_goes_on_has_what_was_there_when_it_began() {
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    let to = folders.path().join("logs.tar");
    let objects = interrupted(&bucket, &to).await;
    let whole = folders.path().join("whole.tar");
    assert_done(&export(&bucket.settings, &whole, &[]).await);
    // Meanwhile an instance came before all others, one behind them, and more of one; and an old one went.
    let mut archived = Archived::of([]);
    let now = Timestamp::now();
    for id in ["i-a", "i-fleet005", "i-z"] {
        archived.capture(id, b"[    0.000000] Linux version 6.2.0\nnew\n", now);
    }
    let mut new = archived.objects;
    new.retain(|key, _| key.ends_with(".log.gz"));
    bucket.server.put_all(archived::stored(PREFIX, &new));
    let old = record_of(&objects, 0);
    bucket.server.remove(&format!("{PREFIX}{old}"));
    let done = export(&bucket.settings, &to, &["--output", "json"]).await;
    assert_done(&done);
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&summary["resumed_instances"], &summary["came_since"]),
        (&5.into(), &3.into())
    );
    let told = text(&done.stderr);
    assert!(
        told.contains("3 objects came since the export began"),
        "{told}"
    );
    assert!(std::fs::read(&to).unwrap() == std::fs::read(&whole).unwrap());
}

/// What was left out before the interruption is missing in the whole.
#[tokio::test]
async fn an_export_that_goes_on_fails_for_what_it_left_out_before() {
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    let objects = fleet(6, Timestamp::now());
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    let (damaged, last) = (record_of(&objects, 0), record_of(&objects, 5));
    bucket
        .server
        .tamper(&format!("{PREFIX}{damaged}"), |object| {
            object.body.truncate(30);
        });
    let to = folders.path().join("records.tar");
    for refused in [true, false] {
        if refused {
            bucket
                .server
                .make_unreadable(&format!("{PREFIX}{last}"), 403, "SignatureDoesNotMatch");
        }
        let output = export(&bucket.settings, &to, &["--as-stored"]).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert_eq!(to.exists(), !refused);
        bucket.server.allow_all();
    }
}

#[tokio::test]
async fn what_was_removed_before_it_was_exported_is_named_and_nothing_is_mixed() {
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    let to = folders.path().join("logs.tar");
    let objects = interrupted(&bucket, &to).await;
    let last = record_of(&objects, 5);
    bucket.server.remove(&format!("{PREFIX}{last}"));
    let reads = bucket.server.reads();
    let failed = export(&bucket.settings, &to, &[]).await;
    let told = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{told}");
    let part = to.with_extension("tar.part");
    for expected in [
        format!("{last} was removed since the export began; "),
        format!(
            "remove {0} and {0}.jsonl, and run the command again",
            part.display()
        ),
    ] {
        assert!(told.contains(&expected), "{told}");
    }
    assert_eq!(
        bucket.server.reads(),
        reads,
        "it is told before anything is read"
    );
    assert!(part.exists() && !to.exists());
    // Begun anew, it has what is there.
    std::fs::remove_file(&part).unwrap();
    std::fs::remove_file(folders.path().join("logs.tar.part.jsonl")).unwrap();
    assert_done(&export(&bucket.settings, &to, &[]).await);
    assert!(
        !unpacked("tar", &to)
            .keys()
            .any(|name| name.starts_with("i-fleet005"))
    );
}

/// Another one under the same key is another state of the archive, if only its metadata differ.
#[tokio::test]
async fn what_was_replaced_before_it_was_exported_is_named() {
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    let to = folders.path().join("logs.tar");
    let objects = interrupted(&bucket, &to).await;
    let last = record_of(&objects, 5);
    let key = format!("{PREFIX}{last}");
    bucket.server.tamper(&key, |object| {
        let at = "1970-01-02T00:00:00Z".to_owned();
        object.metadata.insert("captured-at".to_owned(), at);
        object.stored_at += std::time::Duration::from_secs(5);
    });
    let failed = export(&bucket.settings, &to, &[]).await;
    let told = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{told}");
    let expected = format!("{last} was replaced since the export began; ");
    assert!(told.contains(&expected), "{told}");
    assert!(!to.exists());
}

/// It would be handed on with the logs.
#[tokio::test]
async fn a_file_that_is_not_of_the_export_does_not_go_along() {
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    let to = folders.path().join("logs");
    interrupted(&bucket, &to).await;
    let part = folders.path().join("logs.part");
    for foreign in ["passwords.txt", "i-fleet001/notes"] {
        let foreign = part.join(foreign);
        std::fs::write(&foreign, "secret").unwrap();
        let failed = export(&bucket.settings, &to, &[]).await;
        let told = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(2), "{told}");
        let expected = format!("{} is not of this export; move it away", foreign.display());
        assert!(told.contains(&expected), "{told}");
        assert!(!to.exists());
        std::fs::remove_file(&foreign).unwrap();
    }
    assert_done(&export(&bucket.settings, &to, &[]).await);
}

/// A wrong archive, or one that does not answer, leaves nothing that is in the way of the right one.
#[tokio::test]
async fn an_export_that_listed_nothing_leaves_nothing() {
    let folders = tempfile::tempdir().unwrap();
    let archive = folders.path().join("archive");
    put_into_folder(&archive, &fleet(2, Timestamp::now())).await;
    let made = folders.path().join("made");
    std::fs::create_dir(&made).unwrap();
    let wrong = folder_settings(&folders.path().join("wrong"));
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.deny(&[Denied::List]);
    for (name, settings, code) in [
        ("a.tar", &wrong, 2),
        ("b", &wrong, 2),
        ("c.tar", &bucket.settings, 1),
    ] {
        let to = made.join(name);
        let failed = export(settings, &to, &[]).await;
        let told = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(code), "{told}");
        let left: Vec<_> = std::fs::read_dir(&made).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert_done(&export(&folder_settings(&archive), &to, &[]).await);
        match to.is_dir() {
            true => std::fs::remove_dir_all(&to).unwrap(),
            false => std::fs::remove_file(&to).unwrap(),
        }
    }
}

/// What is written into is of this command, and in its place.
#[tokio::test]
async fn no_link_leads_an_export_elsewhere() {
    use std::os::unix::fs::symlink;
    let folders = tempfile::tempdir().unwrap();
    let archive = folders.path().join("archive");
    put_into_folder(&archive, &fleet(2, Timestamp::now())).await;
    let precious = folders.path().join("precious");
    let elsewhere = folders.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for (to, link) in [
        ("a.tar", "a.tar.part"),
        ("b.tar", "b.tar.part.jsonl"),
        ("c", "c.part.jsonl"),
    ] {
        std::fs::write(&precious, "precious").unwrap();
        symlink(&precious, folders.path().join(link)).unwrap();
        let output = export(&folder_settings(&archive), &folders.path().join(to), &[]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {told}");
        assert!(told.contains("is not a file; remove it"), "{told}");
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    }
    symlink(&elsewhere, folders.path().join("d.part")).unwrap();
    // What is there is of no export that is known.
    let unknown = folders.path().join("e.part");
    std::fs::create_dir(&unknown).unwrap();
    std::fs::write(unknown.join("there"), "of somebody").unwrap();
    std::fs::hard_link(&precious, folders.path().join("f.tar.part")).unwrap();
    std::fs::write(folders.path().join("g.tar.part"), "of somebody").unwrap();
    for (to, expected) in [
        ("d", "is not a folder; remove it"),
        ("e", "does not say of which export it is; remove both"),
        ("f.tar", "has another name, too; remove it"),
        ("g.tar", "does not say of which export"),
    ] {
        let output = export(&folder_settings(&archive), &folders.path().join(to), &[]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{to}: {told}");
        assert!(told.contains(expected), "{told}");
    }
    assert!(files_in(&elsewhere).is_empty());
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
}

/// As of a run that another umask or a person had made readable for everybody.
#[cfg(unix)]
#[tokio::test]
async fn only_its_user_may_read_what_an_export_writes() {
    use std::os::unix::fs::PermissionsExt as _;
    let folders = tempfile::tempdir().unwrap();
    let archive = folders.path().join("archive");
    put_into_folder(&archive, &fleet(2, Timestamp::now())).await;
    let mode = |name: &str| {
        let found = folders.path().join(name).metadata().unwrap();
        found.permissions().mode() & 0o777
    };
    let part = folders.path().join("a.tar.part");
    std::fs::write(&part, "").unwrap();
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o666)).unwrap();
    for to in ["a.tar", "b.tar.zst"] {
        assert_done(&export(&folder_settings(&archive), &folders.path().join(to), &[]).await);
        assert_eq!(mode(to), 0o600, "{to}");
    }
}

/// A cut archive is readable as far as it goes.
#[tokio::test]
async fn a_cut_archive_is_readable_up_to_the_cut() {
    let objects = fleet(6, Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(&folders.path().join("archive"), &objects).await;
    let settings = folder_settings(&folders.path().join("archive"));
    let to = folders.path().join("all.tar.zst");
    assert_done(&export(&settings, &to, &[]).await);
    let whole = std::fs::read(&to).unwrap();
    // Small for a fleet of one image: the logs are compressed together.
    let gzip: usize = (objects.iter().filter(|(key, _)| key.ends_with(".log.gz")))
        .map(|(_, object)| object.body.len())
        .sum();
    println!("{} bytes of records as {} bytes", gzip, whole.len());
    let cut = &whole[..whole.len() / 2];
    let mut plain = Vec::new();
    let mut decoder = zstd::Decoder::new(cut).unwrap();
    let cut = std::io::copy(&mut decoder, &mut plain);
    assert!(cut.is_err(), "it is cut");
    let names = ["i-fleet000/MANIFEST.jsonl", "i-fleet001/"];
    for name in names {
        assert!(
            plain
                .windows(name.len())
                .any(|bytes| bytes == name.as_bytes()),
            "{name}"
        );
    }
}

/// Once unpacked, it is an archive in a folder.
#[tokio::test]
async fn records_as_stored_are_an_archive_again() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    let to = folders.path().join("records.tar.zst");
    assert_done(&export(&bucket.settings, &to, &["--as-stored"]).await);
    let unpacked_to = folders.path().join("again");
    std::fs::create_dir(&unpacked_to).unwrap();
    let mut command = Command::new("bsdtar");
    command
        .args(["-x", "-f"])
        .arg(&to)
        .arg("-C")
        .arg(&unpacked_to);
    assert!(checked(command.output().unwrap()).status.success());
    let found = of_folder(&unpacked_to).await;
    let mut expected = objects;
    expected.retain(|key, _| key.starts_with("i-"));
    assert!(
        found == expected,
        "{:?}\n{:?}",
        found.keys(),
        expected.keys()
    );
    for command in [
        &["boots", "i-a1", "--output", "json"][..],
        &["list", "i-a2", "--output", "json"],
    ] {
        let there = cli(&bucket.settings, command).await;
        let here = cli(&folder_settings(&unpacked_to), command).await;
        let url = url::Url::from_file_path(&unpacked_to).unwrap();
        let here = text(&here.stdout).replace(&format!("{url}/"), "s3://consoles/kept/here/");
        assert_eq!(
            here,
            text(&there.stdout),
            "{command:?}: times of storing are kept, too"
        );
    }
}

/// Instances whose IDs differ in their case alone. The disks of macOS do not tell them apart.
#[cfg(not(target_os = "macos"))]
fn of_three_cases(captured_at: Timestamp) -> Archived {
    Archived::of([
        ("i-abc", &b"small\n"[..], captured_at),
        ("i-ABC", b"large\n", captured_at),
        ("i-aBc", b"mixed\n", captured_at),
    ])
}

/// Nothing of it is foreign to an archive, and each name is as it was.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn records_as_stored_are_an_archive_that_verify_finds_whole() {
    let now = Timestamp::now() - SignedDuration::from_hours(100);
    let archived = of_three_cases(now);
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(&folders.path().join("archive"), &archived.objects).await;
    let settings = folder_settings(&folders.path().join("archive"));
    let to = folders.path().join("records");
    assert_done(&export(&settings, &to, &["--as-stored"]).await);
    let mut expected = archived.objects;
    expected.retain(|key, _| key.starts_with("i-"));
    assert!(of_folder(&to).await == expected);
    let settings = folder_settings(&to);
    for command in [&["verify"][..], &["reindex"], &["verify"]] {
        let output = cli(&settings, command).await;
        assert_eq!(
            output.status.code(),
            Some(0),
            "{command:?}: {}",
            text(&output.stdout)
        );
    }
    let listed = cli(&settings, &["list", "--count"]).await;
    assert_eq!(text(&listed.stdout), "3\n");
}

/// Some disks do not tell `i-abc` from `i-ABC`.
#[cfg(not(target_os = "macos"))]
#[tokio::test]
async fn names_that_differ_in_their_case_alone_are_kept_apart() {
    let now = Timestamp::now();
    let archived = of_three_cases(now);
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(&folders.path().join("archive"), &archived.objects).await;
    let settings = folder_settings(&folders.path().join("archive"));
    let to = folders.path().join("logs.tar");
    assert_done(&export(&settings, &to, &[]).await);
    let files = unpacked("tar", &to);
    let mut folders: Vec<_> = files
        .keys()
        .map(|name| name.split('/').next().unwrap())
        .collect();
    folders.dedup();
    assert_eq!(folders, ["i-_a_b_c", "i-a_bc", "i-abc"]);
    assert_eq!(manifest(&files, "i-_a_b_c")[0]["instance_id"], "i-ABC");
    for name in files.keys() {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
        assert!(
            name.bytes().all(plain) && !name.contains("..") && !name.starts_with('/'),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_part_of_the_fleet_and_of_the_time_is_exported() {
    let now = Timestamp::now();
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(&folders.path().join("archive"), &archived::small(now)).await;
    let settings = folder_settings(&folders.path().join("archive"));
    let check = async |options: &[&str], expected: &[&str]| {
        let to = folders.path().join("part.tar");
        assert_done(&export(&settings, &to, options).await);
        let files = unpacked("tar", &to);
        let logs = files.keys().filter(|name| name.ends_with(".log"));
        let logs: Vec<_> = logs.map(|name| name.split('/').next().unwrap()).collect();
        assert_eq!(logs, expected, "{options:?}");
        std::fs::remove_file(to).unwrap();
    };
    check(&["i-a2"], &["i-a2"]).await;
    check(&["--instance", "i-a*"], &["i-a1", "i-a1", "i-a2"]).await;
    // An empty console is no boot.
    check(&["--since", "-10h"], &["i-a1"]).await;
    check(
        &["--until", "-10h", "--instance", "i-[ab]1"],
        &["i-a1", "i-b1"],
    )
    .await;
    let to = folders.path().join("none.tar");
    for (options, expected) in [
        (&["i-none"][..], "i-none has no record in file:///"),
        (
            &["i-a1", "--since", "2999-01-01"],
            "i-a1 has nothing to export",
        ),
        (&["--instance", "i-none"], "in file:///"),
        (&["--since", "2999-01-01"], "none of the "),
    ] {
        let none = export(&settings, &to, options).await;
        let told = text(&none.stderr);
        assert_eq!(none.status.code(), Some(3), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(expected), "{told}");
    }
    // One that is not there hides nothing of the others, and is named.
    let some = export(&settings, &to, &["i-a2", "i-none"]).await;
    assert_done(&some);
    assert!(text(&some.stderr).contains("i-none has no record in file:///"));
    std::fs::remove_file(to).unwrap();
    let nowhere = folders.path().join("nowhere/logs.tar");
    let wrong = export(&settings, &nowhere, &[]).await;
    let told = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    assert!(
        told.contains("nowhere/logs.tar: there is no folder "),
        "{told}"
    );
    let wrong = cli(&settings, &["export", "--output", "logs.tar"]).await;
    let told = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        told.contains("tip: to write the file logs.tar, give -o logs.tar"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(folders.path()).unwrap().count(),
        1,
        "nothing is left"
    );
}

/// What else the archive has is not even listed.
#[tokio::test]
async fn of_one_instance_only_its_own_objects_are_listed() {
    let kept = Kept::of(1_200);
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("one.tar");
    let output = export(&placed.settings, &to, &["--instance", "i-kept0007"]).await;
    assert_done(&output);
    assert_eq!(server.listings(), 1);
}

#[tokio::test]
async fn what_is_damaged_is_told_and_left_out() {
    let objects = archived::small(Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.put_all(archived::stored(PREFIX, &objects));
    let record = objects.keys().find(|key| key.ends_with(".log.gz")).unwrap();
    bucket
        .server
        .tamper(&format!("{PREFIX}{record}"), |object| {
            object.body.truncate(30)
        });
    let to = folders.path().join("logs.tar");
    let output = export(&bucket.settings, &to, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("left out: ") && told.contains(record.as_str()),
        "{told}"
    );
    assert_eq!(told.matches("left out: ").count(), 1, "{told}");
    let lines = manifest(&unpacked("tar", &to), "i-a1");
    assert!(
        lines.iter().any(|line| line["type"] == "left_out"),
        "{lines:?}"
    );
    // As it is stored, it is exported with what is wrong.
    let to = folders.path().join("records.tar");
    let output = export(&bucket.settings, &to, &["--as-stored"]).await;
    assert_eq!(output.status.code(), Some(1));
    let files = unpacked("tar", &to);
    assert_eq!(files[record].len(), 30);
    // A hidden file is none of the archive that it is.
    let lines = lines_of(&files, "i-a1/.MANIFEST.jsonl");
    let line = lines
        .iter()
        .find(|line| line["key"] == record.as_str())
        .unwrap();
    assert!(line["faults"][0].is_string(), "{line}");
}

/// A disk that has no space fails the export, which goes on when it has.
#[tokio::test]
async fn a_full_disk_is_told_and_the_export_goes_on_later() {
    let objects = fleet(24, Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(&folders.path().join("archive"), &objects).await;
    let settings = folder_settings(&folders.path().join("archive"));
    let whole = folders.path().join("whole.tar");
    assert_done(&export(&settings, &whole, &[]).await);
    let to = folders.path().join("logs.tar");
    // A limit of the size of files does what a full disk does.
    let mut command = Command::new("bash");
    command.args([
        "-c",
        "ulimit -f 300; trap '' XFSZ; exec \"$0\" export -o \"$1\"",
    ]);
    command
        .arg(program("console-archive"))
        .arg(&to)
        .env_clear()
        .envs(settings.iter().cloned());
    let output = checked(command.output().unwrap());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("run the same command again to go on from there"),
        "{told}"
    );
    assert!(!to.exists());
    assert_done(&export(&settings, &to, &[]).await);
    assert!(std::fs::read(&to).unwrap() == std::fs::read(&whole).unwrap());
}

/// Whoever read the pipe has less than the whole.
#[tokio::test]
async fn a_pipe_that_closes_is_no_success() {
    let objects = fleet(24, Timestamp::now());
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(&folders.path().join("archive"), &objects).await;
    let settings = folder_settings(&folders.path().join("archive"));
    let mut command = Command::new("bash");
    let piped = "\"$0\" export -o - --format tar | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}";
    command.args(["-c", piped]).arg(program("console-archive"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(settings.iter().cloned());
    let output = checked(command.output().unwrap());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("the pipe was closed before the export was whole"),
        "{told}"
    );
}

/// A file on a full disk is no pipe that was closed.
#[tokio::test]
async fn where_standard_output_goes_to_a_full_disk_it_is_told() {
    let folders = tempfile::tempdir().unwrap();
    let archive = folders.path().join("archive");
    put_into_folder(&archive, &archived::small(Timestamp::now())).await;
    let mut command = Command::new(program("console-archive"));
    command
        .args(["export", "-o", "-", "--format", "tar"])
        .env_clear()
        .envs(folder_settings(&archive))
        .stdout(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        );
    let output = checked(command.output().unwrap());
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("standard output took no more before the export was whole: No space left"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_told_and_not_replaced() {
    let folders = tempfile::tempdir().unwrap();
    put_into_folder(
        &folders.path().join("archive"),
        &archived::small(Timestamp::now()),
    )
    .await;
    let settings = folder_settings(&folders.path().join("archive"));
    let check = async |to: &str, options: &[&str], expected: &str| {
        let output = export(&settings, &folders.path().join(to), options).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    };
    std::fs::write(folders.path().join("there.tar"), "precious").unwrap();
    check("there.tar", &[], "is there already").await;
    assert_eq!(
        std::fs::read(folders.path().join("there.tar")).unwrap(),
        b"precious"
    );
    check("archive", &[], "is there already").await;
    check("logs.zip", &[], "the name says no form").await;
    check("logs.tar", &["not an id"], "").await;
    let json = cli(&settings, &["export", "-o", "-", "--output", "json"]).await;
    assert_eq!(json.status.code(), Some(2));
    let folder = cli(&settings, &["export", "-o", "-", "--format", "folder"]).await;
    assert!(text(&folder.stderr).contains("a pipe takes no folder"));
    // An export that was asked for something else began there.
    let bucket = Bucket::start(Profile::Aws).await;
    bucket
        .server
        .put_all(archived::stored(PREFIX, &archived::small(Timestamp::now())));
    bucket.server.deny(&[Denied::Get]);
    let to = folders.path().join("begun.tar");
    assert_eq!(
        export(&bucket.settings, &to, &["--since", "-99h"])
            .await
            .status
            .code(),
        Some(1)
    );
    bucket.server.allow_all();
    let other = export(&bucket.settings, &to, &["--since", "-98h"]).await;
    assert_eq!(other.status.code(), Some(2));
    assert!(
        text(&other.stderr).contains("asked for something else"),
        "{}",
        text(&other.stderr)
    );
    assert_done(&export(&bucket.settings, &to, &["--since", "-99h"]).await);
}
