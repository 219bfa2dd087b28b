//! The recorded consoles, as ECS would show them, against their labels: what was done, and when.

use std::collections::HashSet;

use ecs_console_archiver::reading::clock::GuestClock;
use ecs_console_archiver::reading::ending::Ending;
use ecs_console_archiver::reading::log::LineStamp;
use ecs_console_archiver::reading::masks::{self, Masks};
use ecs_console_archiver::reading::stamp::{self, stamps};
use ecs_console_archiver::reading::stitch::{Boot, Capture, stitch};
use ecs_console_archiver::terminal;
use jiff::Timestamp;

use crate::support::recording::{self, Cause, Ended, Recording};

#[allow(dead_code)] // The tests of stitching use the rest.
#[path = "../histories/mod.rs"]
mod histories;

use histories::{LARGE, recorded, sample};

/// One capture, when the recording ends.
fn at_the_end(recording: &Recording) -> Vec<Capture> {
    vec![Capture {
        name: "00000000".to_owned(),
        captured_at: at(recording, recording.label.total_us),
        updated_at: None,
        started_at: None,
        event_id: None,
        plain: recording.bytes(),
    }]
}

fn at(recording: &Recording, us: u64) -> Timestamp {
    let micros = i64::try_from(recording.label.started_us + us).unwrap();
    Timestamp::from_microsecond(micros).unwrap()
}

/// The boots of a recording, and where each begins in it. Nothing of it is lost.
fn boots_of(captures: Vec<Capture>) -> Vec<(usize, Boot)> {
    let mut begin = 0;
    let boots = stitch(captures).into_iter().map(|boot| {
        begin += boot.log.len();
        (begin - boot.log.len(), boot)
    });
    boots.collect()
}

#[test]
fn each_boot_of_a_recording_is_found_where_it_begins() {
    for recording in Recording::all() {
        let label = &recording.label.boots;
        let expected: Vec<_> = label
            .iter()
            .map(|boot| (boot.start, boot.cause == Cause::Crash))
            .collect();
        let mut rng = fastrand::Rng::with_seed(11);
        let mut samples = vec![at_the_end(&recording)];
        for step in [500, 2_000, 9_000] {
            samples.push(sample(&recorded(&recording), LARGE, step, &mut rng).0);
        }
        for captures in samples {
            let count = captures.len();
            let is_crash_kernel =
                |boot: &Boot| boot.start.is_some_and(|start| start.is_crash_kernel);
            let found: Vec<_> = boots_of(captures)
                .iter()
                .map(|(begin, boot)| (*begin, is_crash_kernel(boot)))
                .collect();
            assert_eq!(found, expected, "{}, {count} captures", recording.name);
        }
    }
}

#[test]
fn each_boot_of_a_recording_ended_as_its_label_says() {
    for recording in Recording::all() {
        let boots: Vec<_> = stitch(at_the_end(&recording));
        for (number, label) in recording.label.boots.iter().enumerate() {
            let is_newest = number + 1 == boots.len();
            let expected = match label.ended {
                Ended::Clean => Ending::Clean,
                Ended::Panic => Ending::Panic,
                Ended::Oom => Ending::OutOfMemory,
                Ended::Emergency => Ending::Emergency,
                // As long as no other boot comes, nobody knows.
                Ended::Silence if is_newest => Ending::Running,
                Ended::Silence => Ending::Silence,
                Ended::Running => Ending::Running,
            };
            let ending = boots[number].ending(is_newest);
            assert_eq!(ending, expected, "{}: boot {number}", recording.name);
        }
    }
}

#[test]
fn a_line_was_printed_when_the_host_s_clock_says_within_two_seconds() {
    let mut compared = 0;
    for recording in Recording::all() {
        let mut ends = Vec::new();
        for chunk in &recording.chunks {
            ends.push(ends.last().unwrap_or(&0) + chunk.bytes.len());
        }
        for (begin, boot) in boots_of(at_the_end(&recording)) {
            let captured_at = at(&recording, recording.label.total_us);
            let GuestClock::Right(clock) = GuestClock::of(&boot.log, captured_at) else {
                continue;
            };
            for (place, stamp) in stamps(&boot.log) {
                let chunk = ends.partition_point(|end| *end <= begin + place.start);
                let host = at(&recording, recording.chunks[chunk].us);
                let difference = clock.at(stamp).unwrap().duration_until(host).abs();
                assert!(
                    difference.as_millis() <= 2_000,
                    "{}: byte {}: {difference:?}",
                    recording.name,
                    begin + place.start
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 5_000, "{compared}");
}

#[test]
fn both_ways_to_mask_find_the_same_in_each_line() {
    let (mut seen, mut masks) = (HashSet::new(), Masks::default());
    for recording in Recording::all() {
        for line in terminal::lines(&recording.bytes()) {
            let stamp = LineStamp::of(line.text()).map_or(0, |stamp| stamp.length);
            let text = &line.text()[stamp..];
            if !seen.insert(text.to_owned()) {
                continue;
            }
            let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
            masks.find(text, |place, kind| of_many.push((place, kind)));
            masks::find_in_few(text, |place, kind| of_few.push((place, kind)));
            assert_eq!(of_many, of_few, "{}: {text}", recording.name);
        }
    }
    assert!(seen.len() > 1000);
}
