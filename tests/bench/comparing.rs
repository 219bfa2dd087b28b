//! What a comparison shows of two boots of one image, and how long it takes: beside GNU diff on the same
//! logs, in turns in one run.
//!
//! usage: make bench-comparing

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ecs_console_archiver::reading::compare::{Comparison, Manner, Side};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::stitch::Boot;

use crate::beside::write;
use crate::searching::Run;
use crate::statistics::Spread;
use crate::support::{program, recorded_boots};

/// Lines of each log.
const LINES: usize = 100_000;
const RUNS: usize = 7;
/// The command's own: a comparison that takes longer goes on coarsely.
const TIME: Duration = Duration::from_secs(5);

/// `comparing OUTPUT`
pub fn run(arguments: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    println!("Pairs of recorded boots, up to the login prompt; lines that differ:");
    println!("{:<48} {:>8} {:>8} {:>8}", "", "GNU diff", "shown", "moved");
    for (a, b) in recorded_boots::pairs() {
        let differing = gnu_diff(
            &folder.path().join("a"),
            &a.log,
            &folder.path().join("b"),
            &b.log,
        );
        let counts = compared(&a.log, &b.log).counts().all();
        let pair = format!("{}, {}", a.name, b.name);
        println!(
            "{pair:<48} {differing:>8} {:>8} {:>8}",
            counts.removed + counts.added,
            counts.moved
        );
    }
    let boots = recorded_boots::all();
    let lines: Vec<&[u8]> = boots[0]
        .log
        .split_inclusive(|byte| *byte == b'\n')
        .collect();
    let mut table = "| Two logs | Program | Lines that differ | ms | CPU time, ms | Peak memory, MiB | Becomes coarse |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let logs = [1, 2].map(|boot| long(&lines, boot));
    rows(&mut table, "100 000 lines of one image", &logs, RUNS, true);
    let logs = [1, 2].map(|boot| shuffled(boot, LINES));
    rows(&mut table, "100 000 lines in any order", &logs, 1, true);
    // It takes GNU diff more than a minute.
    let logs = [1, 2].map(|boot| shuffled(boot, 5 * LINES));
    rows(&mut table, "500 000 lines in any order", &logs, 1, false);
    println!("\n{table}");
    write(&arguments[0], "comparing.md", &table);
}

/// The command, and GNU diff in turns with it. The medians.
fn rows(table: &mut String, name: &str, logs: &[Vec<u8>; 2], runs: usize, has_gnu: bool) {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, output] = ["a", "b", "output"].map(|name| folder.path().join(name));
    fs::write(&a, &logs[0]).unwrap();
    fs::write(&b, &logs[1]).unwrap();
    let mut ours = Command::new(program("console-archive"));
    ours.env_clear().arg("diff").args([&a, &b]);
    let mut gnu = Command::new("diff");
    gnu.args(["-a", "-u"]).args([&a, &b]);
    let (mut of_ours, mut of_gnu, mut is_coarse) = (Vec::new(), Vec::new(), false);
    for _ in 0..runs {
        of_ours.push(Run::of(&ours, &output));
        let shown = fs::read(&output).unwrap();
        is_coarse |= memchr::memmem::find(&shown, b"the comparison became coarse").is_some();
        if has_gnu {
            of_gnu.push(Run::of(&gnu, &output));
        }
    }
    let name = format!("{name}, {:.1} MB each", logs[0].len() as f64 / 1e6);
    let mut row = |program: &str, differing: usize, runs: &[Run], coarse: &str| {
        let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(of)).text();
        table.push_str(&format!(
            "| {name} | `{program}` | {differing} | {} | {} | {} | {coarse} |\n",
            spread(|run| run.seconds * 1e3),
            spread(|run| run.cpu * 1e3),
            spread(|run| run.peak_mib),
        ));
    };
    let coarse = if is_coarse { "yes, and says so" } else { "no" };
    row(
        "console-archive diff",
        differing(&logs[0], &logs[1]),
        &of_ours,
        coarse,
    );
    if has_gnu {
        row(
            "diff -u",
            gnu_diff(&a, &logs[0], &b, &logs[1]),
            &of_gnu,
            "-",
        );
    }
}

fn differing(a: &[u8], b: &[u8]) -> usize {
    let counts = compared(a, b).counts().all();
    counts.removed + counts.added
}

/// Reads both logs at once, as the command does, and compares them.
fn compared(a: &[u8], b: &[u8]) -> Comparison {
    let manner = Manner::default();
    let read = |log: &[u8]| {
        let boot = Boot::of_log(log.to_vec());
        Side::read(&boot, EncodingChoice::Auto, manner)
    };
    let (a, b) = std::thread::scope(|scope| {
        let b = scope.spawn(|| read(b));
        (read(a), b.join().unwrap())
    });
    Comparison::new(a, b, manner, Some(Instant::now() + TIME))
}

/// How many lines differ. The logs are written to these files.
fn gnu_diff(path_a: &Path, a: &[u8], path_b: &Path, b: &[u8]) -> usize {
    fs::write(path_a, a).unwrap();
    fs::write(path_b, b).unwrap();
    let output = Command::new("diff")
        .args(["-a", "-u"])
        .args([path_a, path_b])
        .output()
        .unwrap();
    let lines = output.stdout.split(|byte| *byte == b'\n').skip(2);
    let differs = |line: &&[u8]| matches!(line.first(), Some(b'-' | b'+'));
    lines.filter(differs).count()
}

/// A log in the order of one shuffle, in which one line in twelve is another for each `boot`, and the stamps
/// of all lines are.
fn long(lines: &[&[u8]], boot: u64) -> Vec<u8> {
    let (mut shared, mut own) = (fastrand::Rng::with_seed(7), fastrand::Rng::with_seed(boot));
    let (mut log, mut micros) = (Vec::new(), 0);
    for _ in 0..LINES {
        let line = shared.choice(lines).unwrap();
        let tag = shared.u32(..1_000_000);
        let message = line
            .split(|byte| *byte == b']')
            .next_back()
            .unwrap_or_default();
        micros += own.u64(..20_000);
        log.extend(format!("[{:5}.{:06}] ", micros / 1_000_000, micros % 1_000_000).bytes());
        if own.u8(..12) == 0 {
            log.extend(format!("attempt {} ", own.u16(..)).bytes());
        }
        log.extend(format!("unit {tag} pid {} at 0x{:08x}", own.u16(2..), own.u32(..)).bytes());
        log.extend(message);
    }
    log
}

/// A log of few lines, each of them often, in an order of its own. The shortest way between two such logs is long.
fn shuffled(boot: u64, lines: usize) -> Vec<u8> {
    let mut own = fastrand::Rng::with_seed(boot);
    let lines =
        (0..lines).map(|_| format!("service number {} has failed again\r\n", own.u16(..2000)));
    lines.collect::<String>().into_bytes()
}
