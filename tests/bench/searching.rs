//! How fast an archive in a folder is searched, beside what people use for folders of gzip files: ugrep,
//! ripgrep and zgrep. All in turn in one run; output goes to files, since some stop early otherwise.
//!
//! usage: make bench-searching [RECORDS=10000]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::store::Object;
use jiff::Timestamp;
use serde_json::json;

use crate::beside::write;
use crate::statistics::{Spread, short};
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

/// `searching PROGRAM OUTPUT [RECORDS]`
pub fn run(arguments: &[String]) {
    let (program, measured) = (PathBuf::from(&arguments[0]), &arguments[1]);
    let count = crate::records(arguments.get(2));
    let folder = tempfile::tempdir().unwrap();
    let bytes = fill(folder.path(), count);
    let output = folder.path().with_extension("out");
    let mut all = vec![vec![Vec::new(); PATTERNS.len()]; WAYS.len()];
    for round in 0..ROUNDS {
        for (way, (name, command)) in WAYS.iter().enumerate() {
            for (index, pattern) in PATTERNS.iter().enumerate() {
                // It takes a minute each time; once says enough.
                if *name == "zgrep" && (round > 0 || index > 0) {
                    continue;
                }
                let command = command(&program, folder.path(), pattern);
                all[way][index].push(Run::of(&command, &output));
            }
        }
    }
    let mut table = format!(
        "| {count} records, {:.0} MB of consoles | {} | CPU time, s | Peak memory, MiB |\n|---|---|---|---|---|---|\n",
        bytes as f64 / 1e6,
        PATTERNS
            .map(|pattern| format!("`{}`, s", pattern.replace('|', "\\|")))
            .join(" | ")
    );
    for (way, (name, _)) in WAYS.iter().enumerate() {
        let seconds = all[way].iter().map(|runs| match runs.len() {
            0 => "-".to_owned(),
            _ => Spread::of(runs.iter().map(|run| run.seconds)).text(),
        });
        let runs = || all[way].iter().flatten();
        table.push_str(&format!(
            "| `{name}` | {} | {} | {:.0} |\n",
            seconds.collect::<Vec<_>>().join(" | "),
            Spread::of(runs().map(|run| run.cpu)).text(),
            runs().map(|run| run.peak_mib).fold(0.0, f64::max),
        ));
    }
    let least = |way: usize| Spread::of(all[way].iter().flatten().map(|run| run.seconds)).median;
    let lines = |way: usize| {
        all[way]
            .iter()
            .map(|runs| runs.last().map_or(0, |run| run.lines))
    };
    println!("lines found:");
    for (way, (name, _)) in WAYS.iter().enumerate() {
        println!("{name:<34}{:?}", lines(way).collect::<Vec<_>>());
    }
    println!("times as long as `{}`, of all patterns:", WAYS[0].0);
    for (way, (name, _)) in WAYS.iter().enumerate() {
        println!("{name:<34}{:.1}", least(way) / least(0));
    }
    println!("\n{table}");
    write(measured, "searching.md", &table);
    let sizes = reading(&program, folder.path(), &output);
    println!("{sizes}");
    write(measured, "searching-sizes.md", &sizes);
    let _ = std::fs::remove_file(output);
}

/// What a program took.
#[derive(Clone)]
pub struct Run {
    pub seconds: f64,
    pub cpu: f64,
    pub peak_mib: f64,
    /// The counts that it printed, added up.
    pub lines: u64,
    /// What it printed besides.
    pub told: String,
    /// Whether its exit code was 0.
    pub is_done: bool,
}

impl Run {
    /// `output` is a file that may be replaced.
    pub fn of(command: &Command, output: &Path) -> Self {
        let times = output.with_extension("time");
        let mut timed = Command::new("/usr/bin/time");
        timed.args(["-q", "-f", "%U %S %M", "-o"]).arg(&times);
        timed.arg(command.get_program()).args(command.get_args());
        timed.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        timed
            .stdout(File::create(output).unwrap())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        let begun = Instant::now();
        let timed = timed.output().unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        let told = String::from_utf8_lossy(&timed.stderr).into_owned();
        eprint!("{told}");
        let times = std::fs::read_to_string(times).unwrap();
        let numbers: Vec<f64> = times
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        Self {
            seconds,
            cpu: numbers[0] + numbers[1],
            peak_mib: numbers[2] / 1024.0,
            lines: sum(&std::fs::read_to_string(output).unwrap_or_default()),
            told,
            is_done: timed.status.success(),
        }
    }
}

/// How memory and times grow with the archive: 10 records, those that are there, and ten times as many.
fn reading(program: &Path, folder: &Path, output: &Path) -> String {
    let few = tempfile::tempdir().unwrap();
    fill(few.path(), 10);
    let many = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
    let mut records = 0;
    for copy in 0..10 {
        for instance in std::fs::read_dir(folder).unwrap() {
            let instance = instance.unwrap().path();
            let name = instance.file_name().unwrap().to_str().unwrap();
            let into = many.path().join(format!("i-{copy}{}", &name[3..]));
            std::fs::create_dir(&into).unwrap();
            for file in std::fs::read_dir(&instance).unwrap() {
                let file = file.unwrap();
                std::fs::hard_link(file.path(), into.join(file.file_name())).unwrap();
                records += 1;
            }
        }
    }
    let mut table = "| Records | `grep`, s | Peak memory, MiB | `grep '' \\| head -1` ends after, ms | `show -b previous`, ms |\n\
                     |---|---|---|---|---|\n".to_owned();
    let count = |folder: &Path| match folder {
        folder if folder == few.path() => 10,
        folder if folder == many.path() => records / 2,
        _ => records / 20,
    };
    for folder in [few.path(), folder, many.path()] {
        let run = Run::of(&ours(program, folder, &["-c", PATTERNS[2]]), output);
        let heads = (0..ROUNDS).map(|_| ends_behind_a_line(program, folder) * 1e3);
        let instance = std::fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .file_name();
        let shows = (0..ROUNDS).map(|_| {
            let mut show = Command::new(program);
            show.env_clear()
                .env("ARCHIVE_URL", format!("file://{}", folder.display()))
                .args(["show", "-b", "previous"])
                .arg(&instance);
            Run::of(&show, output).seconds * 1e3
        });
        table.push_str(&format!(
            "| {} | {} | {:.0} | {} | {} |\n",
            count(folder),
            short(run.seconds),
            run.peak_mib,
            Spread::of(heads.collect::<Vec<_>>()).text(),
            Spread::of(shows.collect::<Vec<_>>()).text(),
        ));
    }
    table
}

/// Seconds from the first line of a search to its end, if nobody reads on.
fn ends_behind_a_line(program: &Path, folder: &Path) -> f64 {
    let mut child = ours(program, folder, &[""])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let begun = Instant::now();
    child.wait().unwrap();
    begun.elapsed().as_secs_f64()
}

/// The counts at the ends of the lines, added up.
fn sum(printed: &str) -> u64 {
    let counts = printed.lines().filter_map(|line| line.rsplit_once(':'));
    counts
        .filter_map(|(_, count)| count.parse::<u64>().ok())
        .sum()
}

/// Writes records into a folder. Returns the bytes of their consoles.
fn fill(folder: &Path, count: usize) -> usize {
    let mut bytes = 0;
    for record in records(count) {
        bytes += record.console_bytes;
        let path = folder.join(record.key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let object = record.object;
        let beside = json!({"content_type": object.content_type, "metadata": object.metadata});
        std::fs::write(format!("{}.meta.json", path.display()), beside.to_string()).unwrap();
        std::fs::write(path, object.body).unwrap();
    }
    bytes
}

/// A record as the archive has it.
pub struct Filled {
    pub key: String,
    pub object: Object,
    pub captured_at: Timestamp,
    pub console_bytes: usize,
}

/// So many records. Each has the stamps of a boot of its own.
pub fn records(count: usize) -> impl Iterator<Item = Filled> {
    let console = String::from_utf8(fixture(crate::CONSOLE)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    (0..count).map(move |index| {
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
        let captured_at = format!("2026-11-01T{:02}:{:02}:59Z", minutes / 60, minutes % 60);
        let body = pack(&output.plain).unwrap();
        let metadata = [
            ("captured-at", captured_at.clone()),
            ("console-bytes", output.plain.len().to_string()),
            (
                "console-sha256",
                ConsoleDigest::of(&output.plain).to_string(),
            ),
            ("gzip-bytes", body.len().to_string()),
        ];
        Filled {
            key: RecordKey::of(&id, &output).to_string(),
            object: Object {
                body,
                content_type: "application/gzip".to_owned(),
                metadata: metadata
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
            },
            captured_at: captured_at.parse().unwrap(),
            console_bytes: output.plain.len(),
        }
    })
}

/// With other microseconds in each stamp of the kernel.
pub fn jittered(console: &str, random: &mut fastrand::Rng) -> String {
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
