//! What the search for findings and secrets meets: a console of which a guest wrote every byte.
#![no_main]

use std::time::{Duration, Instant};

use ecs_console_archiver::reading::findings::{Rules, of_console, secrets};
use libfuzzer_sys::fuzz_target;

/// A console, and one that is four times as long.
const LENGTHS: [usize; 2] = [16 << 10, 64 << 10];
/// Four times the bytes may take so many times the time: quadratic work would take 16 times.
const MOST_GROWTH: u32 = 9;
/// Shorter times say little.
const NOISE: Duration = Duration::from_millis(4);
/// The machine may be busy with something else, so a slow run is tried again.
const TRIES: usize = 30;

fuzz_target!(|bytes: &[u8]| {
    let found = secrets::find(bytes);
    let masked = secrets::masked(bytes, &found);
    assert_eq!(masked.len(), bytes.len(), "a mask is as long as its secret");
    assert_eq!(
        signatures(&masked),
        signatures(bytes),
        "what is masked hides no finding"
    );
    for secret in &found {
        assert!(secret.bytes.iter().all(|place| place.end <= bytes.len()));
    }
    for finding in of_console(bytes, Rules::built_in()) {
        assert!(finding.count > 0 && finding.line > 0);
        assert!(finding.bytes.start <= finding.bytes.end && finding.bytes.end <= bytes.len());
        let signature = finding.signature();
        assert!(!signature.contains(char::is_control), "{signature:?}");
    }
    check_growth(bytes);
    // As one line.
    let line: Vec<_> = bytes
        .iter()
        .map(|byte| if *byte == b'\n' { b' ' } else { *byte })
        .collect();
    check_growth(&line);
});

fn signatures(console: &[u8]) -> Vec<String> {
    let found = of_console(console, Rules::built_in());
    found.iter().map(|finding| finding.signature()).collect()
}

/// A console that is four times as long takes about four times the time.
fn check_growth(bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let consoles = LENGTHS.map(|length| {
        bytes
            .iter()
            .copied()
            .cycle()
            .take(length)
            .collect::<Vec<_>>()
    });
    let mut best = [Duration::MAX; 2];
    for _ in 0..TRIES {
        for (console, best) in consoles.iter().zip(&mut best) {
            let begin = Instant::now();
            of_console(console, Rules::built_in());
            *best = begin.elapsed().min(*best);
        }
        if best[1] <= NOISE + best[0] * MOST_GROWTH {
            return;
        }
    }
    panic!(
        "{} bytes take {:?}, and {} take {:?}",
        LENGTHS[0], best[0], LENGTHS[1], best[1]
    );
}
