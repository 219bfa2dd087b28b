//! What it takes to verify, prune and export an archive: by the real program, of a folder and of a bucket that is 20
//! ms away, and how memory grows with the archive.
//!
//! usage: make bench-keeping [RECORDS=10000]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ecs_console_archiver::model::ids::InstanceId;
use jiff::{SignedDuration, Timestamp};

use crate::beside::write;
use crate::searching::{Run, jittered};
use crate::statistics::{Spread, short};
use crate::support::kept::{Kept, Place, Placed};
use crate::support::s3_server::Profile;
use crate::support::{Settings, fixture, folder_settings, program};

const ROUNDS: usize = 3;
const LATENCY: Duration = Duration::from_millis(20);
/// Records of an instance. Each is a boot.
const RECORDS_EACH: usize = 100;
/// Over so many days they were captured; prune removes those of the first half.
const DAYS: i64 = 60;
/// The system counts CPU time in steps of so many seconds.
const CPU_CLOCK: f64 = 0.01;
/// How many times as many records the largest archive has.
const COPIES: usize = 10;

/// What is done, and its arguments. `FILE` stands for a file that is not there.
const WORK: [(&str, &[&str]); 7] = [
    ("verify", &["verify"]),
    ("verify --quick", &["verify", "--quick"]),
    ("reindex", &["reindex"]),
    (
        "export",
        &["export", "-o", "FILE.tar.zst", "--format", "tar.zst"],
    ),
    (
        "export --as-stored",
        &["export", "-o", "FILE.tar", "--as-stored"],
    ),
    (
        "prune --keep-finding error",
        &["prune", "--keep-within", "30d", "--keep-finding", "error"],
    ),
    // The last, because it changes the archive.
    (
        "prune --apply",
        &[
            "prune",
            "--keep-within",
            "30d",
            "--max-remove",
            "100",
            "--apply",
        ],
    ),
];

/// `keeping OUTPUT [RECORDS]`
pub fn run(arguments: &[String]) {
    let measured = &arguments[0];
    let count = crate::records(arguments.get(1));
    let runtime = crate::runtime();
    let of_folders = folders(&runtime, count);
    println!("{of_folders}");
    write(measured, "keeping.md", &of_folders);
    let of_buckets = buckets(&runtime, count);
    println!("{of_buckets}");
    write(measured, "keeping-bucket.md", &of_buckets);
}

/// So many records, each with the stamps of a boot of its own, and their catalog.
fn archive(count: usize) -> Kept {
    let console = String::from_utf8(fixture(crate::CONSOLE)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let begin = Timestamp::now() - SignedDuration::from_hours(24 * DAYS);
    let mut kept = Kept::default();
    for number in 0..count {
        let id = InstanceId::parse(&crate::instance(number / RECORDS_EACH)).unwrap();
        let boot = (number % RECORDS_EACH) as i64;
        let apart = SignedDuration::from_hours(24 * DAYS) / RECORDS_EACH as i32;
        let at = begin + apart * boot as i32 + SignedDuration::from_secs(number as i64 % 3000);
        kept.record(&id, jittered(&console, &mut random).as_bytes(), at);
    }
    kept.with_days()
}

fn command(settings: &Settings, arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(program("console-archive"));
    command.env_clear().envs(settings.iter().cloned());
    for argument in arguments {
        command.arg(argument.replace("FILE", &file.display().to_string()));
    }
    command
}

/// The same work for archives in folders: of a tenth of the records, of all, and of ten times as many.
fn folders(runtime: &tokio::runtime::Runtime, count: usize) -> String {
    let mut table = "| What | Records | s | Records a second of CPU time | Peak memory, MiB |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    let place = |kept: Kept| runtime.block_on(kept.place(Place::Folder));
    let (few, all) = (place(archive(count / 10)), place(archive(count)));
    let many = tempfile::tempdir().unwrap();
    let folder_of = |placed: &Placed| placed.folder.as_ref().unwrap().path().to_owned();
    for copy in 0..COPIES {
        link(&folder_of(&all), many.path(), &copy.to_string());
    }
    let archives = [
        (folder_of(&few), count / 10, ROUNDS),
        (folder_of(&all), count, ROUNDS),
        (many.path().to_owned(), count * COPIES, 1),
    ];
    // Those that were linked have no catalog.
    let out = tempfile::tempdir().unwrap();
    let of_many = folder_settings(many.path());
    let indexed = command(&of_many, &["reindex"], out.path()).output();
    assert!(indexed.unwrap().status.success());
    for (name, arguments) in WORK {
        for (folder, records, rounds) in &archives {
            let mut runs = Vec::new();
            for round in 0..*rounds {
                let out = tempfile::tempdir().unwrap();
                let file = out.path().join("export");
                let copy = out.path().join("archive");
                let removes = arguments.contains(&"--apply");
                let folder = match removes {
                    // Each time another copy is pruned.
                    true => {
                        link(folder, &copy, "");
                        &copy
                    }
                    false => folder,
                };
                let command = command(&folder_settings(folder), arguments, &file);
                let run = Run::of(&command, &out.path().join("out"));
                assert!(run.is_done, "{name}: {}", run.told);
                println!(
                    "{name}: {records} records, round {round}: {:.2} s",
                    run.seconds
                );
                runs.push(run);
            }
            let spread = |of: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(of));
            table.push_str(&format!(
                "| `{name}` | {records} | {} | {} | {} |\n",
                spread(&|run| run.seconds).text(),
                spread(&|run| (*records as f64 / run.cpu.max(CPU_CLOCK)).round()).text(),
                spread(&|run| run.peak_mib).text(),
            ));
        }
    }
    table
}

/// Makes the same archive elsewhere, of the same files: with this in the IDs of its instances, and without a catalog;
/// or with nothing in them, and with it.
fn link(from: &Path, to: &Path, mark: &str) {
    for folder in fs::read_dir(from).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let into = match name.strip_prefix("i-") {
            Some(id) => to.join(format!("i-{mark}{id}")),
            None if mark.is_empty() => to.join(&name),
            None => continue,
        };
        link_all(&folder.path(), &into);
    }
}

fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for child in fs::read_dir(from).unwrap() {
        let child = child.unwrap();
        let to = to.join(child.file_name());
        match child.file_type().unwrap().is_dir() {
            true => link_all(&child.path(), &to),
            false => fs::hard_link(child.path(), to).unwrap(),
        }
    }
}

/// The same work for an archive in a bucket that is far away, once each.
fn buckets(runtime: &tokio::runtime::Runtime, count: usize) -> String {
    let mut table = format!(
        "| {count} records in a bucket 20 ms away | s | Requests | to list | to read | to write | to remove | Peak memory, MiB |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    let placed = runtime.block_on(archive(count).place(Place::Bucket(Profile::Aws)));
    let server = &placed.bucket.as_ref().unwrap().server;
    server.set_latency(LATENCY);
    for (name, arguments) in WORK {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("export");
        let (before, listings) = (server.methods().len(), server.listings());
        let run = Run::of(
            &command(&placed.settings, arguments, &file),
            &out.path().join("out"),
        );
        assert!(run.is_done, "{name}: {}", run.told);
        let methods = server.methods().split_off(before);
        let lists = server.listings() - listings;
        let count = |named: &[&str]| {
            let methods = methods.iter().map(String::as_str);
            methods.filter(|method| named.contains(method)).count()
        };
        table.push_str(&format!(
            "| `{name}` | {} | {} | {lists} | {} | {} | {} | {} |\n",
            short(run.seconds),
            methods.len(),
            count(&["GET", "HEAD"]) - lists,
            count(&["PUT"]),
            count(&["DELETE", "POST"]),
            short(run.peak_mib),
        ));
        println!("{name}: {:.2} s, {} requests", run.seconds, methods.len());
    }
    table
}
