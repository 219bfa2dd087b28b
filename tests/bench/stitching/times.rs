//! How long it takes to join captures: a pair of them, on real text and on text that repeats itself, and all of
//! one long boot. Each is joined several times and its fastest counts, so that other work on the machine and the
//! first use of memory are left out.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ecs_console_archiver::reading::stitch::{Capture, Stitcher, stitch};

use super::histories::{CONSOLES, History, LARGE, Ring, sample};
use super::{CASES, STEP};
use crate::beside::write;
use crate::statistics::{quantile, short, sorted};

/// How often each is joined.
const RUNS: usize = 5;
/// Pairs of each kind, about.
const PAIRS: usize = 300;
/// Captures of one boot.
const CAPTURES: [usize; 3] = [10, 100, 1000];

/// A name, and what is printed again and again.
type Part = (&'static str, fn() -> Vec<u8>);

/// What a machine may print again and again.
const PERIODIC: [Part; 9] = [
    ("a prompt", || prompt().to_vec()),
    ("a prompt, another in each 40 KB", || {
        [&prompt().repeat(820)[..], b"iz-rig login: root\r\n"].concat()
    }),
    ("one letter", || b"a".to_vec()),
    ("one letter, another in each 40 KB", || {
        [&b"a".repeat(40_000)[..], b"b"].concat()
    }),
    ("line ends", || b"\r\n".to_vec()),
    ("a Fibonacci word", || fibonacci(30_000)),
    ("one line with the same stamp", || {
        b"[    1.234567] random: crng is not ready\r\n".to_vec()
    }),
    ("4 KB without a stamp", || without_stamps(4_000)),
    ("3 KB without a stamp", || without_stamps(3_000)),
];

fn prompt() -> &'static [u8] {
    b"\r\nDebian GNU/Linux 12 iz-rig ttyS0\r\n\r\niz-rig login: "
}

/// Text that searches for text take longest with: it is nearly periodic in many ways.
fn fibonacci(bytes: usize) -> Vec<u8> {
    let (mut shorter, mut longer) = (b"a".to_vec(), b"ab".to_vec());
    while longer.len() < bytes {
        let next = [&longer[..], &shorter].concat();
        shorter = std::mem::replace(&mut longer, next);
    }
    longer
}

fn without_stamps(bytes: usize) -> Vec<u8> {
    let lines = CONSOLES[0].split_inclusive(|byte| *byte == b'\n');
    let plain = lines.filter(|line| !line.contains(&b'['));
    plain.flatten().copied().cycle().take(bytes).collect()
}

/// `[ 12.345678] message`, or without the stamp. `bytes` of one boot.
fn one_boot(bytes: usize, has_stamps: bool) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    let lines: Vec<_> = CONSOLES[2].split_inclusive(|byte| *byte == b'\n').collect();
    let mut text = b"[    0.000000] Linux version 6.1.0-18-amd64\r\n".to_vec();
    let mut micros = 0;
    while text.len() < bytes {
        micros += random.u64(1..50_000);
        if has_stamps {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            text.extend(format!("[{seconds:5}.{rest:06}]").bytes());
        }
        text.extend(format!(" unit {}", random.u32(..)).bytes());
        let message = random.choice(&lines).unwrap().rsplit(|byte| *byte == b']');
        text.extend(message.into_iter().next().unwrap());
    }
    text
}

/// Writes the tables.
pub fn run(folder: &str) {
    let table = pairs();
    println!("\n{table}");
    write(folder, "stitching-times.md", &table);
    let table = growth();
    println!("{table}");
    write(folder, "stitching-growth.md", &table);
}

fn pairs() -> String {
    let mut table = "| Captures | Pairs | To join: median, µs | 99 of 100 within | With its boots: median, µs | 99 of 100 within |\n\
                     |---|---|---|---|---|---|\n"
        .to_owned();
    let mut random = fastrand::Rng::with_seed(7);
    for (name, ring, history) in CASES.iter().filter(|case| !case.0.contains("prompt")) {
        let mut pairs = Vec::new();
        while pairs.len() < super::PAIRS {
            pairs.extend(sampled(&history(&mut random), *ring, &mut random));
        }
        row(&mut table, name, &pairs);
    }
    for (name, part) in PERIODIC {
        let part = part();
        let bytes = LARGE.bytes + PAIRS * STEP;
        let history = History {
            text: part.iter().copied().cycle().take(bytes).collect(),
            boots: vec![0],
        };
        let mut pairs = sampled(&history, LARGE, &mut random);
        pairs.retain(|(first, _)| first.plain.len() == LARGE.bytes);
        row(&mut table, &format!("64 KiB of {name}"), &pairs);
    }
    table
}

fn sampled(history: &History, ring: Ring, random: &mut fastrand::Rng) -> Vec<(Capture, Capture)> {
    let (captures, _) = sample(history, ring, STEP, random);
    let pairs = captures
        .windows(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()));
    pairs.collect()
}

fn row(table: &mut String, name: &str, pairs: &[(Capture, Capture)]) {
    let joined = pairs.iter().map(|(first, second)| {
        fastest(|| {
            let mut stitcher = Stitcher::default();
            stitcher.push(first.clone());
            let second = second.clone();
            timed(|| stitcher.push(second))
        })
    });
    let joined = sorted(joined.map(micros));
    let stitched = pairs.iter().map(|(first, second)| {
        fastest(|| {
            let captures = vec![first.clone(), second.clone()];
            timed(|| stitch(captures))
        })
    });
    let stitched = sorted(stitched.map(micros));
    let figures = [&joined, &stitched].map(|times| {
        let within = |part| short(quantile(times, part));
        format!("{} | {}", within(0.5), within(0.99))
    });
    let count = pairs.len();
    table.push_str(&format!("| {name} | {count} | {} |\n", figures.join(" | ")));
}

fn growth() -> String {
    let columns = CAPTURES.map(|count| format!("{count}: ms | µs each"));
    let mut table = format!("| Captures of one boot | {} |\n", columns.join(" | "));
    table.push_str(&format!("|---{}|\n", "|---".repeat(2 * CAPTURES.len())));
    let bytes = CAPTURES[CAPTURES.len() - 1] * STEP * 2;
    for (name, text) in [
        ("with stamps", one_boot(bytes, true)),
        ("without stamps", one_boot(bytes, false)),
        ("a prompt", prompt().repeat(bytes / prompt().len())),
    ] {
        let history = History {
            text,
            boots: vec![0],
        };
        let mut random = fastrand::Rng::with_seed(11);
        let (captures, _) = sample(&history, LARGE, STEP, &mut random);
        let figures = CAPTURES.map(|count| {
            let time = fastest(|| {
                let captures = captures[..count].to_vec();
                timed(|| stitch(captures))
            });
            let each = micros(time) / count as f64;
            format!("{} | {}", short(micros(time) / 1e3), short(each))
        });
        table.push_str(&format!("| {name} | {} |\n", figures.join(" | ")));
    }
    table
}

fn fastest(run: impl Fn() -> Duration) -> Duration {
    (0..RUNS).map(|_| run()).min().unwrap()
}

/// Without what it takes to drop the result.
fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    let result = black_box(run());
    let time = begun.elapsed();
    drop(result);
    time
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
