//! What cannot be read or listed is told, keeps no command from the rest, and never looks like nothing.

use std::path::Path;
use std::process::Output;

use ecs_console_archiver::archive::catalog::Day;
use ecs_console_archiver::store::MAX_OBJECT_BYTES;
use jiff::{SignedDuration, Timestamp};

use crate::prune::console;
use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::s3_server::{BUCKET, Denied, Profile, Quirk};
use crate::support::{cataloged, *};

/// Three machines with three boots each, of which the last is two days old, and their catalog.
fn fleet() -> Kept {
    let mut kept = Kept::default();
    let now = Timestamp::now();
    for number in 1..=3 {
        for (boot, days) in [200, 150, 2].into_iter().enumerate() {
            let at = now - SignedDuration::from_hours(24 * days);
            kept.record(&instance_id(number), console(boot, 2).as_bytes(), at);
        }
    }
    kept.with_days()
}

/// An object of a machine's that is too large to be read.
async fn with_large_object(place: Place, key: &str) -> Placed {
    let placed = fleet().place(place).await;
    make_large(&placed, key);
    placed
}

const RULES: [&str; 4] = ["--keep-last", "1", "--max-remove", "90"];

#[tokio::test]
async fn an_object_that_cannot_be_read_keeps_no_command_from_the_others() {
    let large = "i-kept0002/20240101T000000-0123456789ab.log.gz";
    for place in Place::ALL {
        let out = tempfile::tempdir().unwrap();
        let file = |name: &str| out.path().join(name).display().to_string();
        let to = format!("file://{}", file("copy"));
        let tar = file("export.tar");
        let commands: [(&[&str], &str); 4] = [
            (&["prune", "--keep-last", "1"], "i-kept0003"),
            (&["reindex"], "10 rows"),
            (&["export", "-o", &tar], "exported 9 logs of 3 instances"),
            (&["copy", "--to", &to], "1 not copied"),
        ];
        for (command, done) in commands {
            let placed = with_large_object(place, large).await;
            let output = cli(&placed.settings, command).await;
            let (shown, told) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(1), "{command:?}: {shown}{told}");
            assert!(shown.contains(done), "{place:?} {command:?}: {shown}{told}");
        }
        // A row of one day keeps those of another.
        let mut kept = Kept::default();
        let now = Timestamp::now();
        for days in [9, 5] {
            let at = now - SignedDuration::from_hours(24 * days);
            kept.record(&instance_id(1), console(days as usize, 1).as_bytes(), at);
        }
        let [first, second] = [0, 1].map(|index| kept.rows[index].packed().0);
        let placed = kept.clone().with_rows().place(place).await;
        make_large(&placed, &first);
        let output = cli(&placed.settings, &["compact"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("is too large"), "{told}");
        let keys = placed.keys();
        assert!(keys.contains(&first) && !keys.contains(&second), "{keys:?}");
    }
}

/// A policy may deny single objects, and the answer is the same as to a key that may do nothing.
#[tokio::test]
async fn an_object_that_is_denied_keeps_no_command_from_the_others() {
    for place in [Place::ALL[1], Place::ALL[2]] {
        let out = tempfile::tempdir().unwrap();
        let file = |name: &str| out.path().join(name).display().to_string();
        let to = format!("file://{}", file("copy"));
        let (tar, stored) = (file("export.tar"), file("stored.tar"));
        let apply = [&["prune"], &RULES[..], &["--apply"]].concat();
        let commands: [(&[&str], &str); 6] = [
            (&["prune", "--keep-last", "1"], "i-kept0003"),
            (&apply, "4 boots went and 4 stay"),
            (&["reindex"], "9 rows"),
            (&["export", "-o", &tar], "exported 8 logs of 3 instances"),
            (
                &["export", "-o", &stored, "--as-stored"],
                "exported 8 objects of 3 instances",
            ),
            (&["copy", "--to", &to], "1 not copied"),
        ];
        for (command, done) in commands {
            let kept = fleet();
            let denied = kept.records()[4].clone();
            let placed = kept.place(place).await;
            let server = &placed.bucket.as_ref().unwrap().server;
            server.make_unreadable(&format!("kept/here/{denied}"), 403, "AccessDenied");
            let before = cli(&placed.settings, &["list", "--output", "json"])
                .await
                .stdout;
            let output = cli(&placed.settings, command).await;
            let (shown, told) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(1), "{command:?}: {shown}{told}");
            assert!(shown.contains(done), "{place:?} {command:?}: {shown}{told}");
            assert!(told.contains(&denied), "{command:?}: {told}");
            // It is there, and its row says what it said.
            assert!(placed.keys().contains(&denied), "{command:?}");
            if command == ["reindex"] {
                let after = cli(&placed.settings, &["list", "--output", "json"])
                    .await
                    .stdout;
                assert_eq!(text(&after), text(&before));
            }
        }
    }
}

/// A store answers 500 for one object however often it is asked (s3backer#233 at Wasabi), and that must not end the
/// work on all others (owncloud/client#133, #5088). Each is tried for many seconds, so all of this is done at the same
/// time.
#[tokio::test]
async fn an_object_that_fails_for_ever_keeps_no_command_from_the_others() {
    let out = tempfile::tempdir().unwrap();
    let file = |name: &str| out.path().join(name).display().to_string();
    let to = format!("file://{}", file("copy"));
    let (tar, stored) = (file("export.tar"), file("stored.tar"));
    let apply = [&["prune"], &RULES[..], &["--apply"]].concat();
    let kept = fleet();
    let record = || kept.records()[4].clone();
    let is_day = |key: &&String| key.ends_with(".jsonl.gz");
    let day = || kept.objects.keys().rfind(is_day).unwrap().clone();
    // What fails, the command, and what it does all the same.
    let commands: [(String, &[&str], &str); 13] = [
        (record(), &["prune", "--keep-last", "1"], "i-kept0003"),
        (record(), &apply, "4 boots went and 4 stay"),
        (record(), &["reindex"], "9 rows"),
        (
            record(),
            &["export", "-o", &tar],
            "exported 8 logs of 3 instances",
        ),
        (
            record(),
            &["export", "-o", &stored, "--as-stored"],
            "exported 8 objects of 3 instances",
        ),
        (record(), &["copy", "--to", &to], "1 not copied"),
        (record(), &["verify"], "1 damaged"),
        (
            record(),
            &["list", "i-kept0002", "--output", "json"],
            "Stopping",
        ),
        (record(), &["grep", "boot 2 says", "--count"], "i-kept0003"),
        (
            record(),
            &["boots", "i-kept0002", "--output", "json"],
            "boot_id",
        ),
        (day(), &["list", "--count"], "9\n"),
        (day(), &["findings", "--output", "json"], "["),
        (
            day(),
            &["copy", "--to", &file("other").replacen('/', "file:///", 1)],
            "1 not copied",
        ),
    ];
    let run = async |failing: &str, command: &[&str], done: &str| {
        let placed = kept.place(Place::Bucket(Profile::Aws)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        server.make_unreadable(&format!("kept/here/{failing}"), 500, "InternalError");
        let output = cli(&placed.settings, command).await;
        let (shown, told) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{command:?}: {shown}{told}");
        assert!(shown.contains(done), "{command:?}: {shown}{told}");
        assert!((shown + &told).contains(failing), "{command:?}: {told}");
        assert!(placed.keys().contains(&failing.to_owned()), "{command:?}");
    };
    let runs = commands
        .iter()
        .map(|(failing, command, done)| run(failing, command, done));
    futures_util::future::join_all(runs).await;
}

/// What the other archive's catalog hides is not known then.
#[tokio::test]
async fn a_copy_names_what_it_cannot_read_of_the_other_catalog() {
    let kept = fleet();
    let source = kept.place(Place::Folder).await;
    let to = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &to.bucket.as_ref().unwrap().server;
    let is_day = |key: &&String| key.ends_with(".jsonl.gz");
    let day = kept.objects.keys().rfind(is_day).unwrap();
    server.make_unreadable(&format!("kept/here/{day}"), 403, "AccessDenied");
    server.remove(&format!("kept/here/{}", kept.records()[4]));
    let arguments = [
        "copy",
        "--archive-url",
        &source.url(""),
        "--to",
        &to.url(""),
    ];
    let output = cli(&to.settings, &arguments).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&format!("not copied: {day}: it cannot be read there")),
        "{told}"
    );
    assert!(text(&output.stdout).contains("copied 1 object "), "{told}");
}

/// The same of what is to be removed.
#[tokio::test]
async fn an_object_that_cannot_be_removed_keeps_no_command_from_the_others() {
    let mut kept = Kept::default();
    let now = Timestamp::now();
    for days in [9, 5] {
        let at = now - SignedDuration::from_hours(24 * days);
        kept.record(&instance_id(1), console(days as usize, 1).as_bytes(), at);
    }
    let row = kept.rows[0].packed().0;
    let apply = [&["prune"], &RULES[..], &["--apply"]].concat();
    let run = async |kept: Kept, key: String, command: &[&str], done: &str| {
        let placed = kept.place(Place::Bucket(Profile::Aws)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        server.make_unremovable(&format!("kept/here/{key}"));
        let output = cli(&placed.settings, command).await;
        let (shown, told) = (text(&output.stdout), text(&output.stderr));
        assert!(shown.contains(done), "{command:?}: {shown}{told}");
        assert!(placed.keys().contains(&key), "{command:?}");
        (output.status.code(), told, placed)
    };
    let fleet = fleet();
    let first = fleet.records()[0].clone();
    let (pruned, compacted) = tokio::join!(
        run(fleet, first.clone(), &apply, "removed 5 objects"),
        run(kept.with_rows(), row, &["compact"], "2 days"),
    );
    let (code, told, placed) = pruned;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&first), "{told}");
    // It is listed again.
    let listed = cli(&placed.settings, &["list", "--count"]).await;
    assert_eq!(text(&listed.stdout), "4\n");
    assert_eq!(compacted.0, Some(0), "{}", compacted.1);
}

/// A store of which each object fails is given up soon, whatever the archive has.
#[tokio::test]
async fn a_store_that_fails_at_every_object_is_given_up() {
    let mut kept = Kept::default();
    let now = Timestamp::now();
    for number in 0..600 {
        let at = now - SignedDuration::from_hours(24 * 9) + SignedDuration::from_mins(number);
        kept.record(&instance_id(1), console(number as usize, 1).as_bytes(), at);
    }
    let kept = kept.with_days();
    let out = tempfile::tempdir().unwrap();
    let to = format!("file://{}", out.path().join("copy").display());
    let commands: [&[&str]; 3] = [&["verify"], &["reindex"], &["copy", "--to", &to]];
    let run = async |command: &[&str]| {
        let placed = kept.place(Place::Bucket(Profile::Aws)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        for key in kept.records() {
            server.make_unreadable(&format!("kept/here/{key}"), 503, "ServiceUnavailable");
        }
        let output = cli(&placed.settings, command).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
        assert!(
            told.contains("the archive is unavailable"),
            "{command:?}: {told}"
        );
        // Each was tried eight times.
        let reads = server.reads();
        assert!(reads < 1500, "{command:?}: {reads} reads");
    };
    futures_util::future::join_all(commands.map(run)).await;
}

/// A row that is denied keeps its day from being joined, and no other. So does a file in the place of a day's folder.
#[tokio::test]
async fn a_day_that_cannot_be_joined_or_written_keeps_no_other() {
    let mut kept = Kept::default();
    let now = Timestamp::now();
    for days in [9, 5] {
        let at = now - SignedDuration::from_hours(24 * days);
        kept.record(&instance_id(1), console(days as usize, 1).as_bytes(), at);
    }
    let [first, second] = [0, 1].map(|index| kept.rows[index].packed().0);
    let day = kept.rows[0].day();
    for place in Place::ALL {
        let placed = kept.clone().with_rows().place(place).await;
        let folder = day.days_prefix();
        let folder = folder.trim_end_matches('/');
        let named = match (&placed.folder, &placed.bucket) {
            (Some(archive), _) => {
                let path = archive.path().join(folder);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "in its place").unwrap();
                folder
            }
            (_, bucket) => {
                let server = &bucket.as_ref().unwrap().server;
                server.make_unreadable(&format!("kept/here/{first}"), 403, "AccessDenied");
                first.as_str()
            }
        };
        let output = cli(&placed.settings, &["compact"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{place:?}: {told}");
        assert!(told.contains(named), "{place:?}: {told}");
        let keys = placed.keys();
        assert!(keys.contains(&first) && !keys.contains(&second), "{keys:?}");
        let joined = kept.rows[1].day().days_prefix();
        assert!(keys.iter().any(|key| key.starts_with(&joined)), "{keys:?}");
        if place == Place::Folder {
            // Its copy lacks the rows of that day, and says so.
            let to = tempfile::tempdir().unwrap();
            let to = format!("file://{}", to.path().display());
            let output = cli(&placed.settings, &["copy", "--to", &to]).await;
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains(&format!("not copied: {folder}: ")), "{told}");
            let output = cli(&placed.settings, &["reindex"]).await;
            let (shown, told) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(1), "{shown}{told}");
            assert!(
                told.contains(&format!("not written: {}", placed.url(folder))),
                "{told}"
            );
            assert!(shown.contains("1 row of 1 day"), "{shown}");
            assert!(placed.keys().contains(&first));
        }
    }
}

/// Somebody else's object has the place of this one.
fn make_large(placed: &Placed, key: &str) {
    match (&placed.folder, &placed.bucket) {
        (Some(folder), _) => {
            let path = folder.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = std::fs::File::create(path).unwrap();
            file.set_len(MAX_OBJECT_BYTES + 1).unwrap();
        }
        (_, Some(bucket)) => {
            let key = format!("kept/here/{key}");
            bucket
                .server
                .put_foreign(&key, Some(MAX_OBJECT_BYTES + (1 << 16)));
        }
        _ => unreachable!("it is somewhere"),
    }
}

/// The folder with the joined rows of the newest day.
fn newest_day(placed: &Placed) -> String {
    let days = placed.keys().into_iter();
    let days = days.filter(|key| key.ends_with(".jsonl.gz"));
    days.max().unwrap().rsplit_once('/').unwrap().0.to_owned()
}

#[track_caller]
fn assert_partial(output: &Output) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let says = "a part of the archive could not be listed, and is not in this result";
    assert!(told.contains(says), "{told}");
}

#[tokio::test]
async fn what_cannot_be_listed_is_no_success() {
    let placed = fleet().place(Place::Folder).await;
    let day = newest_day(&placed);
    for command in [&["list", "--count"][..], &["compact"]] {
        assert_partial(&placed.cli_without(&day, command).await);
    }
    let out = tempfile::tempdir().unwrap();
    std::fs::set_permissions(out.path(), open_to_all()).unwrap();
    let tar = out.path().join("export.tar").display().to_string();
    for command in [
        &["export", "-o", &tar][..],
        &["prune", "--keep-last", "1"],
        &["grep", "boot 2 says"],
    ] {
        assert_partial(&placed.cli_without("i-kept0002", command).await);
    }
    // With all of it, each is one.
    assert!(
        cli(&placed.settings, &["list", "--count"])
            .await
            .status
            .success()
    );
}

fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o777)
}

/// What goes is marked in the catalog first. So nothing goes where a part of the catalog cannot be seen.
#[tokio::test]
async fn nothing_is_pruned_that_could_not_be_marked() {
    let apply = [&["prune"], &RULES[..], &["--apply"]].concat();
    let damages: [&dyn Fn(&Path); 3] = [
        &|day| {
            std::fs::remove_dir_all(day).unwrap();
            std::fs::write(day, "").unwrap();
        },
        &|day| {
            for file in std::fs::read_dir(day).unwrap() {
                let file = file.unwrap().path();
                std::fs::write(file, "no gzip").unwrap();
            }
        },
        &|_| {},
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let placed = fleet().place(Place::Folder).await;
        let day = newest_day(&placed);
        damage(&placed.folder.as_ref().unwrap().path().join(&day));
        let before = placed.keys();
        let output = match number {
            2 => placed.cli_without(&day, &apply).await,
            _ => cli(&placed.settings, &apply).await,
        };
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let says =
            "refused: a part of the catalog cannot be read, so it could not say what was removed";
        assert!(told.contains(says), "{number}: {told}");
        assert!(number == 2 || told.contains(&placed.url(&day)), "{told}");
        assert_eq!(placed.keys(), before);
        // The plan is shown all the same.
        assert!(text(&output.stdout).contains("6 boots would go and 3 stay"));
    }
}

/// It hides the rows of the day. Nobody says that records have none, or that there are fewer captures.
#[tokio::test]
async fn a_file_in_the_place_of_a_day_is_told() {
    let placed = fleet().place(Place::Folder).await;
    let day = newest_day(&placed);
    let path = placed.folder.as_ref().unwrap().path().join(&day);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    for command in [
        &["list", "--count"][..],
        &["list", "--since", "-5d"],
        &["list", "--since", "-5d", "--instance", "i-kept0001"],
    ] {
        let output = cli(&placed.settings, command).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
        let says = format!(
            "damaged: {} (it is a file in the place of a folder",
            placed.url(&day)
        );
        assert!(told.contains(&says), "{told}");
    }
    for scope in [
        &[][..],
        &["--instance", "i-kept*"],
        &["--instance", "i-kept0001", "--quick"],
    ] {
        let output = cli(&placed.settings, &[&["verify"], scope].concat()).await;
        let shown = text(&output.stdout);
        let faults: Vec<_> = shown.lines().filter(|line| line.contains('\t')).collect();
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(
            faults.len() == 1 && faults[0].starts_with(&day),
            "{scope:?}: {shown}"
        );
    }
    // Of all days.
    for folder in ["catalog/days", "catalog"] {
        let placed = fleet().place(Place::Folder).await;
        let path = placed.folder.as_ref().unwrap().path().join(folder);
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let listed = cli(&placed.settings, &["list", "--count"]).await;
        assert_eq!(text(&listed.stdout), "9\n");
        assert_partial(&listed);
        for scope in [&[][..], &["--instance", "i-kept*"]] {
            let output = cli(&placed.settings, &[&["verify"], scope].concat()).await;
            let (shown, told) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(1), "{shown}{told}");
            assert!(
                shown.starts_with(&format!("{folder}\tforeign\t")),
                "{scope:?}: {shown}"
            );
            let says = "the catalog cannot be read, so what is missing is not known";
            assert!(told.contains(says), "{told}");
        }
    }
}

/// A policy allows listings of some instances alone, and the store answers 403 for what is absent.
#[tokio::test]
async fn a_key_that_may_list_some_instances_alone_reads_those() {
    let placed = fleet().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::ListsOnly("kept/here/i-kept0002")]);
    let output = cli(
        &placed.settings,
        &["list", "--instance", "i-kept0002", "--count"],
    )
    .await;
    let told = text(&output.stderr);
    assert_eq!(
        (text(&output.stdout).as_str(), output.status.code()),
        ("3\n", Some(0)),
        "{told}"
    );
    assert!(told.contains("the catalog may not be listed"), "{told}");
    let output = cli(&placed.settings, &["list", "--count"]).await;
    assert_eq!(output.status.code(), Some(1));
    // How boots ended is in the catalog alone.
    for (option, value, code) in [("--cause", "Stopping", 0), ("--ending", "clean", 1)] {
        let asked = ["list", "--instance", "i-kept0002", option, value];
        let output = cli(&placed.settings, &asked).await;
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    }
    let output = cli(&placed.settings, &["verify", "--instance", "i-kept0002"]).await;
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(shown.starts_with("catalog/\tunreadable\t"), "{shown}");
    assert!(shown.contains("3 checked, 1 damaged, 0 missing"), "{shown}");
    assert!(told.contains("what is missing is not known"), "{told}");
    let plan = ["prune", "--keep-last", "1", "--instance", "i-kept0002"];
    let output = cli(&placed.settings, &plan).await;
    assert!(text(&output.stdout).contains("2 boots would go and 1 stays"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let before = placed.keys();
    let apply = [&plan[..], &["--max-remove", "90", "--apply"]].concat();
    assert_eq!(cli(&placed.settings, &apply).await.status.code(), Some(1));
    assert_eq!(placed.keys(), before);
    let out = tempfile::tempdir().unwrap();
    // The records of some instances are copied, and then their rows are missed.
    let to = format!("file://{}", out.path().join("copy").display());
    let output = cli(
        &placed.settings,
        &["copy", "--to", &to, "--instance", "i-kept0002"],
    )
    .await;
    let told = text(&output.stderr);
    assert!(
        told.contains("ListObjectsV2 on bucket") && output.status.code() == Some(1),
        "{told}"
    );
    let copied = files_in(&out.path().join("copy")).into_iter();
    let copied = copied.filter(|(name, _)| name.ends_with(".log.gz"));
    assert_eq!(copied.count(), 3);
    let tar = out.path().join("export.tar").display().to_string();
    let output = cli(&placed.settings, &["export", "-o", &tar, "i-kept0002"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// Where listings of the archive are allowed by its prefix alone, a store may answer 403 for what is absent.
#[tokio::test]
async fn what_is_absent_is_missing_and_not_refused() {
    let kept = fleet();
    let lost = kept.records()[1].clone();
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::ListsOnly("kept/here/")]);
    server.remove(&format!("kept/here/{lost}"));
    let output = cli(&placed.settings, &["verify"]).await;
    let shown = text(&output.stdout);
    assert!(shown.contains(&format!("{lost}\tmissing\t")), "{shown}");
    assert!(shown.contains("0 damaged, 1 missing"), "{shown}");
    // What may not be read is refused all the same.
    server.deny(&[Denied::Get]);
    let output = cli(&placed.settings, &["prune", "--keep-last", "1"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("the archive refused access: GetObject"),
        "{told}"
    );
}

/// A record whose bytes are lost, and which the store lists still, is not one that somebody has removed.
#[tokio::test]
async fn a_record_that_is_only_listed_is_told_and_stays_in_the_catalog() {
    let placed = fleet().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::LostBodies("/kept/here/i-kept0002/")]);
    let out = tempfile::tempdir().unwrap();
    let to = format!("file://{}", out.path().join("copy").display());
    let output = cli(&placed.settings, &["copy", "--to", &to]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("it is listed, and cannot be read"), "{told}");
    let output = cli(&placed.settings, &["reindex"]).await;
    let told = text(&output.stderr);
    assert!(told.contains("it is listed, and cannot be read"), "{told}");
    let output = cli(&placed.settings, &["list", "--count"]).await;
    assert_eq!(text(&output.stdout), "9\n", "{}", text(&output.stderr));
}

/// The same of what other commands read after a listing named it.
#[tokio::test]
async fn what_is_only_listed_is_no_commands_to_pass_over() {
    let placed = fleet().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::LostBodies("/kept/here/i-kept0002/2")]);
    let out = tempfile::tempdir().unwrap();
    let tar = out.path().join("export.tar").display().to_string();
    let commands: [&[&str]; 5] = [
        &["export", "-o", &tar],
        &["prune", "--keep-last", "1"],
        &["boots", "i-kept0002"],
        &["grep", "Linux version", "i-kept0002"],
        &["get", "i-kept0002"],
    ];
    for arguments in commands {
        let output = cli(&placed.settings, arguments).await;
        let told = text(&output.stderr);
        let why = "it is listed, and cannot be read";
        assert!(told.contains(why), "{arguments:?}: {told}");
    }
    assert!(Path::new(&tar).exists(), "the others are exported");
    // Nobody knows which of its boots is the newest.
    let apply = [&["prune"], &RULES[..], &["--apply"]].concat();
    let output = cli(&placed.settings, &apply).await;
    assert_eq!(output.status.code(), Some(1));
    let left = placed.keys();
    let of = |id: &str| left.iter().filter(|key| key.starts_with(id)).count();
    assert_eq!(
        (of("i-kept0001/"), of("i-kept0002/"), of("i-kept0003/")),
        (1, 3, 1)
    );
}

/// A row that is lost must not be removed as one that was joined, nor be passed over.
#[tokio::test]
async fn a_row_that_is_only_listed_is_told_and_stays() {
    let (mut kept, now) = (Kept::default(), Timestamp::now());
    for number in 1..=3 {
        let at = now - SignedDuration::from_hours(24 * 9) + SignedDuration::from_mins(number);
        kept.record(
            &instance_id(number as usize),
            console(number as usize, 1).as_bytes(),
            at,
        );
    }
    let lost = kept.rows[1].packed().0;
    let placed = kept.with_rows().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::LostBodies("~i-kept0002~")]);
    let output = cli(&placed.settings, &["compact"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("it is listed, and cannot be read; its day is not joined"),
        "{told}"
    );
    assert!(placed.keys().contains(&lost));
    let output = cli(&placed.settings, &["findings", "--since", "-30d"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("it is listed, and cannot be read"), "{told}");
}

/// Of the archive that is copied to: what stands there is not what is copied, and nobody knows what it is.
#[tokio::test]
async fn what_the_destination_only_lists_is_not_taken_for_gone() {
    let kept = fleet();
    let placed = kept.place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    let (key, there) = (&kept.records()[1], "kept/there/");
    let to = format!("s3://{BUCKET}/{there}");
    let other = b"something else".to_vec();
    server.put_all([(format!("{there}{key}"), cataloged::stored(other))]);
    server.behave(&[Quirk::LostBodies("/kept/there/")]);
    for options in [&[][..], &["--metadata"]] {
        let output = cli(
            &placed.settings,
            &[&["copy", "--to", &to], options].concat(),
        )
        .await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let why = "it is listed, and cannot be read";
        assert!(told.contains(key.as_str()) && told.contains(why), "{told}");
    }
}

/// The same of a joined day: what it had may be anywhere, so nothing is removed.
#[tokio::test]
async fn a_day_that_is_only_listed_is_told_and_lets_nothing_go() {
    let placed = fleet().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::LostBodies("/catalog/days/")]);
    let output = cli(&placed.settings, &["list", "--count"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("it is listed, and cannot be read"), "{told}");
    let before = placed.keys();
    let apply = ["prune", "--keep-last", "1", "--max-remove", "90", "--apply"];
    let output = cli(&placed.settings, &apply).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(placed.keys(), before);
}

/// Two runs at once: what one removes meanwhile, the other finds absent. A folder of rows is joined by the day.
#[tokio::test]
async fn rows_that_another_run_joins_meanwhile_are_absent_and_not_refused() {
    let mut kept = Kept::default();
    let day = Day::of(Timestamp::now() - SignedDuration::from_hours(24 * 5));
    for number in 0..40 {
        let at = day.begin() + SignedDuration::from_mins(number);
        kept.record(&instance_id(1), console(number as usize, 1).as_bytes(), at);
    }
    let placed = kept.with_rows().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.behave(&[Quirk::ListsOnly("kept/here/catalog/")]);
    let runs = (0..4).map(|_| cli(&placed.settings, &["compact"]));
    for output in futures_util::future::join_all(runs).await {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}
