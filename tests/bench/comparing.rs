//! What a comparison shows of two boots of one image, and how long it takes: beside GNU diff on the same
//! logs, in the same run. The fastest of several runs counts.
//!
//! usage: make bench-comparing

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ecs_console_archiver::reading::compare::{Comparison, Manner, Side};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::stitch::Boot;

use super::support::recorded_boots;

/// Lines of each log.
const LINES: usize = 100_000;
const RUNS: usize = 7;

pub fn run(_: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    println!("Pairs of recorded boots, up to the login prompt; lines that differ:");
    println!("{:<48} {:>8} {:>8} {:>8}", "", "GNU diff", "shown", "moved");
    for (a, b) in recorded_boots::pairs() {
        let differing = gnu_diff(
            &folder.path().join("a"),
            &a.log,
            &folder.path().join("b"),
            &b.log,
        )
        .0;
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
    let (a, b) = (long(&lines, 1), long(&lines, 2));
    let of = |times: Vec<Duration>| times.into_iter().min().unwrap().as_secs_f64() * 1e3;
    let (mut ours, mut theirs, mut differing) = (Vec::new(), Vec::new(), (0, 0));
    for _ in 0..RUNS {
        let begin = Instant::now();
        let counts = compared(&a, &b).counts().all();
        ours.push(begin.elapsed());
        let (count, time) = gnu_diff(&folder.path().join("a"), &a, &folder.path().join("b"), &b);
        theirs.push(time);
        differing = (counts.removed + counts.added, count);
    }
    println!(
        "\nTwo logs of {LINES} lines, {} and {} bytes:",
        a.len(),
        b.len()
    );
    println!("{:<20} {:>8} {:>10}", "", "ms", "differing");
    println!(
        "{:<20} {:>8.0} {:>10}",
        "console-archive",
        of(ours),
        differing.0
    );
    println!("{:<20} {:>8.0} {:>10}", "diff -u", of(theirs), differing.1);
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
    Comparison::new(a, b, manner, None)
}

/// How many lines differ, and how long it takes.
fn gnu_diff(path_a: &Path, a: &[u8], path_b: &Path, b: &[u8]) -> (usize, Duration) {
    fs::write(path_a, a).unwrap();
    fs::write(path_b, b).unwrap();
    let begin = Instant::now();
    let output = Command::new("diff")
        .args(["-a", "-u"])
        .args([path_a, path_b])
        .output()
        .unwrap();
    let time = begin.elapsed();
    let lines = output.stdout.split(|byte| *byte == b'\n').skip(2);
    let differing = lines
        .filter(|line| matches!(line.first(), Some(b'-' | b'+')))
        .count();
    (differing, time)
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
