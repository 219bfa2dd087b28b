//! How fast an archive in a folder is searched, beside what people use for folders of gzip files: ugrep,
//! ripgrep and zgrep. All in turn in one run; output goes to files, since some stop early otherwise.
//!
//! usage: make bench-searching [RECORDS=10000]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::ids::InstanceId;
use serde_json::json;

use crate::statistics::Spread;
use crate::support::fixture;

/// Records of an instance.
const RECORDS_EACH: usize = 100;
/// Rounds, each of all programs.
const ROUNDS: usize = 5;
/// A message of a kernel, and words of any program.
const PATTERNS: [&str; 3] = ["Kernel panic", "reboot: Restarting", "error|fail|BUG:"];

/// A way to search, and what it runs.
type Way = (&'static str, fn(&Path, &Path, &str) -> Command);

const WAYS: [Way; 5] = [
    ("console-archive grep", |program, folder, pattern| {
        ours(program, folder, &["-c", pattern])
    }),
    (
        "console-archive grep --captures",
        |program, folder, pattern| ours(program, folder, &["--captures", "-c", pattern]),
    ),
    ("ugrep -z", |_, folder, pattern| {
        let mut command = Command::new("ugrep");
        command.args(["-z", "-r", "-c", "-m1,", "--include=*.log.gz", pattern]);
        command.arg(folder);
        command
    }),
    ("rg -z", |_, folder, pattern| {
        let mut command = Command::new("rg");
        command
            .args(["-z", "-a", "-c", "-g", "*.log.gz", pattern])
            .arg(folder);
        command
    }),
    ("zgrep", |_, folder, pattern| {
        let mut command = Command::new("bash");
        let script =
            "find \"$0\" -name '*.log.gz' -print0 | xargs -0 zgrep -a -E -c \"$1\" | grep -v ':0$'";
        command.args(["-c", script]).arg(folder).arg(pattern);
        command
    }),
];

fn ours(program: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("ARCHIVE_URL", format!("file://{}", folder.display()))
        .arg("grep")
        .args(arguments);
    command
}

/// `searching PROGRAM [RECORDS]`
pub fn run(arguments: &[String]) {
    let program = PathBuf::from(&arguments[0]);
    let count = arguments
        .get(1)
        .map_or(10_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let bytes = fill(folder.path(), count);
    println!(
        "{count} records of {} instances, {:.0} MB of consoles; medians of {ROUNDS} (least to most), in seconds\n",
        count.div_ceil(RECORDS_EACH),
        bytes as f64 / 1e6
    );
    let output = folder.path().with_extension("out");
    println!(
        "{:<34}{}",
        "",
        PATTERNS.map(|pattern| format!("{pattern:>26}")).concat()
    );
    let mut all = vec![vec![Vec::new(); PATTERNS.len()]; WAYS.len()];
    let mut found = vec![vec![0; PATTERNS.len()]; WAYS.len()];
    for round in 0..ROUNDS {
        for (way, (name, command)) in WAYS.iter().enumerate() {
            // Forty times slower; once says enough.
            if *name == "zgrep" && round > 0 {
                continue;
            }
            for (index, pattern) in PATTERNS.iter().enumerate() {
                let mut command = command(&program, folder.path(), pattern);
                command
                    .stdout(File::create(&output).unwrap())
                    .stdin(Stdio::null());
                let begun = Instant::now();
                let status = command.status();
                all[way][index].push(begun.elapsed().as_secs_f64());
                assert!(status.is_ok(), "{name} is not installed");
                found[way][index] = sum(&std::fs::read_to_string(&output).unwrap());
            }
        }
    }
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let times = all[way]
            .iter()
            .map(|times| Spread::of(times.iter().copied()).text());
        println!(
            "{name:<34}{}",
            times.map(|time| format!("{time:>26}")).collect::<String>()
        );
    }
    println!("\nlines found:");
    for (way, (name, _)) in WAYS.iter().enumerate() {
        println!(
            "{name:<34}{}",
            found[way]
                .iter()
                .map(|count| format!("{count:>26}"))
                .collect::<String>()
        );
    }
    let _ = std::fs::remove_file(output);
}

/// The counts at the ends of the lines, added up.
fn sum(printed: &str) -> u64 {
    let counts = printed.lines().filter_map(|line| line.rsplit_once(':'));
    counts
        .filter_map(|(_, count)| count.parse::<u64>().ok())
        .sum()
}

/// Writes records as the archive has them. Each has the stamps of a boot of its own. Returns the bytes of
/// their consoles.
fn fill(folder: &Path, count: usize) -> usize {
    let console = String::from_utf8(fixture(crate::CONSOLE)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = 0;
    for index in 0..count {
        let id = InstanceId::parse(&crate::instance(index / RECORDS_EACH)).unwrap();
        let minutes = index % RECORDS_EACH;
        let output = ConsoleOutput {
            plain: jittered(&console, &mut random).into_bytes(),
            is_undecoded: false,
            last_update_time: format!(
                "2026-11-{:02} {:02}:{:02}:57",
                1 + minutes / 24 / 60,
                minutes / 60,
                minutes % 60
            ),
            request_id: String::new(),
            reported_instance_id: None,
        };
        bytes += output.plain.len();
        let path = folder.join(RecordKey::of(&id, &output).to_string());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let body = pack(&output.plain).unwrap();
        let metadata = json!({
            "content_type": "application/gzip",
            "metadata": {
                "captured-at": format!("2026-11-01T{:02}:{:02}:59Z", minutes / 60, minutes % 60),
                "console-bytes": output.plain.len().to_string(),
                "console-sha256": ConsoleDigest::of(&output.plain).to_string(),
                "gzip-bytes": body.len().to_string(),
            },
        });
        let mut beside = path.clone().into_os_string();
        beside.push(".meta.json");
        std::fs::write(beside, metadata.to_string()).unwrap();
        std::fs::write(path, body).unwrap();
    }
    bytes
}

/// With other microseconds in each stamp of the kernel.
fn jittered(console: &str, random: &mut fastrand::Rng) -> String {
    let mut jittered = String::with_capacity(console.len());
    for line in console.split_inclusive('\n') {
        match line.split_once('.') {
            Some((seconds, rest))
                if seconds.starts_with("[ ") && rest.as_bytes().get(6) == Some(&b']') =>
            {
                let micros = random.u32(0..1_000_000);
                jittered.push_str(&format!("{seconds}.{micros:06}{}", &rest[6..]));
            }
            _ => jittered.push_str(line),
        }
    }
    jittered
}
