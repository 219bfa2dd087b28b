//! How captures of one machine are joined, beside the two public ways to join consoles of a cloud, each
//! written anew: on the same pairs of captures, at random moments of consoles that the tests have recorded. And how
//! long it takes.
//!
//! usage: make bench-stitching

use std::time::{Duration, Instant};

use ecs_console_archiver::reading::stamp;
use ecs_console_archiver::reading::stitch::{Capture, stitch};
use memchr::memmem;

use crate::statistics::Spread;
use crate::support::recording;

#[path = "../histories/mod.rs"]
mod histories;
mod times;

use histories::{
    CLEARED, History, LARGE, Ring, SMALL, any_boots, prompts, reboot_loop, recordings, sample,
};

/// Captures are about so many bytes apart.
const STEP: usize = 9_000;
/// Pairs of captures of each case, at least.
const PAIRS: usize = 4_000;

type Case = (&'static str, Ring, fn(&mut fastrand::Rng) -> History);

const CASES: [Case; 7] = [
    ("a ring of 64 KiB runs on across boots", LARGE, any_boots),
    ("a ring of 16 KiB", SMALL, any_boots),
    ("a restart empties the console", CLEARED, any_boots),
    ("one image boots again and again", CLEARED, reboot_loop),
    ("a prompt 3000 times", LARGE, prompts),
    ("recorded machines, 64 KiB", LARGE, recordings),
    ("recorded machines, emptied", CLEARED, recordings),
];

/// What a way makes of two captures in succession.
enum Joined {
    /// The second continues the first after this many of its bytes.
    After(usize),
    /// The same, and the reader is told that it is unsure.
    Unsure,
    /// They do not meet, and the reader is told.
    Gap,
}

/// Given the bytes of both, and the second with what is known beside them.
type Way = (&'static str, fn(&Capture, &Capture) -> Joined);

const WAYS: [Way; 3] = [
    ("this project", ours),
    ("mantle", mantle),
    ("lines counted", lines_counted),
];

fn ours(first: &Capture, second: &Capture) -> Joined {
    let boots = stitch(vec![first.clone(), second.clone()]);
    let known = boots.iter().map(|boot| boot.log.len()).sum::<usize>();
    let begins_unknown = |at: usize, index: usize| index == 0 && at == 0;
    let is_marked = boots.iter().enumerate().any(|(index, boot)| {
        let mut marks = boot.marks.iter();
        marks.any(|mark| !begins_unknown(mark.at, index))
    });
    let shared = (first.plain.len() + second.plain.len()).saturating_sub(known);
    match (is_marked, shared) {
        (true, 0) => Joined::Gap,
        (true, _) => Joined::Unsure,
        (false, shared) => Joined::After(shared),
    }
}

/// coreos mantle, `platform/machine/aws/machine.go`: where the first 100 bytes of the second stand last in
/// the first, the first is cut and the second appended.
fn mantle(first: &Capture, second: &Capture) -> Joined {
    let head = &second.plain[..second.plain.len().min(100)];
    match memmem::rfind(&first.plain, head) {
        Some(at) => Joined::After(first.plain.len() - at),
        None => Joined::Gap,
    }
}

/// GreptimeDB's tests of a cloud: lines that were printed are counted and skipped; a console with fewer lines
/// is printed from its beginning.
fn lines_counted(first: &Capture, second: &Capture) -> Joined {
    let lines = first.plain.iter().filter(|byte| **byte == b'\n').count();
    let mut ends = memchr::memchr_iter(b'\n', &second.plain);
    match lines {
        0 => Joined::After(0),
        _ => Joined::After(ends.nth(lines - 1).map_or(0, |end| end + 1)),
    }
}

#[derive(Default, Clone)]
struct Counts {
    right: usize,
    marked: usize,
    wrong: usize,
    lost: usize,
    doubled: usize,
    time: Duration,
}

impl Counts {
    /// `shared`: how many bytes both captures really share; `None` if output between them is lost.
    fn add(&mut self, joined: &Joined, shared: Option<usize>, cut: usize) {
        match (joined, shared) {
            (Joined::After(said), Some(shared)) if *said == shared => self.right += 1,
            (Joined::Gap, None) => self.right += 1,
            (Joined::Gap | Joined::Unsure, _) => self.marked += 1,
            (Joined::After(said), shared) => {
                self.wrong += 1;
                let shared = shared.unwrap_or(0);
                self.lost += said.saturating_sub(shared).min(cut);
                self.doubled += shared.saturating_sub(*said);
            }
        }
    }
}

/// `stitching OUTPUT`
pub fn run(arguments: &[String]) {
    println!(
        "{:<40}{:>7}  {:<14}{:>8}{:>8}{:>8}{:>10}{:>10}{:>10}",
        "", "pairs", "", "right", "marked", "wrong", "lost KB", "doubled", "us a pair"
    );
    for (name, ring, history) in CASES {
        let mut counts = vec![Counts::default(); WAYS.len()];
        let (mut pairs, mut random) = (0, fastrand::Rng::with_seed(7));
        while pairs < PAIRS {
            let history = history(&mut random);
            let (captures, begins) = sample(&history, ring, STEP, &mut random);
            for (pair, begins) in captures.windows(2).zip(begins.windows(2)) {
                let [first, second] = pair else { continue };
                pairs += 1;
                let end = begins[0] + first.plain.len();
                let shared = end.checked_sub(begins[1]);
                for (way, counts) in WAYS.iter().zip(&mut counts) {
                    let begun = Instant::now();
                    let joined = way.1(first, second);
                    counts.time += begun.elapsed();
                    counts.add(&joined, shared, first.plain.len());
                }
            }
        }
        for ((way, _), counts) in WAYS.iter().zip(&counts) {
            let time = Spread::exactly(counts.time.as_secs_f64() * 1e6 / pairs as f64).text();
            println!(
                "{name:<40}{pairs:>7}  {way:<14}{:>8}{:>8}{:>8}{:>10}{:>10}{time:>10}",
                counts.right,
                counts.marked,
                counts.wrong,
                counts.lost / 1000,
                counts.doubled / 1000,
            );
        }
    }
    times::run(&arguments[0]);
}
