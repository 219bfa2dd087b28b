//! The recorded consoles and their labels fit together.

use crate::support::recording::{Cause, Ended, Recording, Stage, Then, folder};
use crate::support::root;

#[test]
fn the_chunks_of_a_recording_are_its_bytes_in_order_of_time() {
    let recordings = Recording::all();
    assert!(!recordings.is_empty());
    for Recording {
        name,
        label,
        chunks,
    } in &recordings
    {
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert_eq!(bytes, label.bytes, "{name}");
        assert!(chunks.iter().all(|chunk| !chunk.bytes.is_empty()), "{name}");
        assert!(chunks.is_sorted_by_key(|chunk| chunk.us), "{name}");
        assert!(
            chunks.iter().all(|chunk| chunk.us <= label.total_us),
            "{name}"
        );
    }
}

#[test]
fn the_boots_of_a_label_lie_within_the_recording_and_follow_one_another() {
    for Recording { name, label, .. } in Recording::all() {
        assert_eq!(label.boots[0].start, 0, "{name}");
        assert_eq!(label.boots[0].cause, Cause::PowerOn, "{name}");
        for (number, boot) in label.boots.iter().enumerate() {
            let next = label.boots.get(number + 1);
            let end = next.map_or(label.bytes, |next| next.start);
            let end_us = next.map_or(label.total_us, |next| next.start_us);
            assert!(
                boot.start <= end && boot.start_us <= end_us,
                "{name}: boot {number}"
            );
            let caused = next.map(|next| next.cause);
            let then = match boot.then {
                Then::Reboot => Some(Cause::Reset),
                Then::Kexec => Some(Cause::Kexec),
                Then::CrashKernel => Some(Cause::Crash),
                Then::Off | Then::Nothing => None,
            };
            assert_eq!(caused, then, "{name}: boot {number}");
            assert!(!boot.by.is_empty(), "{name}: boot {number}");
            // Only the last boot can be at work when the recording ends.
            assert!(
                boot.ended != Ended::Running || boot.then == Then::Nothing,
                "{name}: boot {number}"
            );
        }
        for event in &label.events {
            assert!(
                event.offset <= label.bytes && event.us <= label.total_us,
                "{name}: {}",
                event.what
            );
        }
    }
}

#[test]
fn a_label_that_names_a_kernel_and_a_login_prompt_finds_them_in_its_boot() {
    for recording in Recording::all() {
        let (name, label, bytes) = (&recording.name, &recording.label, recording.bytes());
        for (number, boot) in label.boots.iter().enumerate() {
            let end = label
                .boots
                .get(number + 1)
                .map_or(bytes.len(), |next| next.start);
            assert_eq!(
                boot.login.is_some(),
                boot.stage == Stage::Login,
                "{name}: boot {number}"
            );
            assert_eq!(
                boot.login.is_some(),
                boot.login_us.is_some(),
                "{name}: boot {number}"
            );
            if let Some(login) = boot.login {
                assert!((boot.start..end).contains(&login), "{name}: boot {number}");
                assert!(
                    bytes[login..].starts_with(b"login: "),
                    "{name}: boot {number}"
                );
            }
            if let Some(kernel) = &boot.kernel {
                let banner = format!("Linux version {kernel} ");
                let text = String::from_utf8_lossy(&bytes[boot.start..end]);
                assert!(text.contains(&banner), "{name}: boot {number}");
            }
        }
    }
}

#[test]
fn the_host_s_clock_of_a_chunk_agrees_with_the_time_that_the_guest_prints() {
    let line = regex_lite::Regex::new(r"setting system clock to \S+ UTC \((\d+)\)").unwrap();
    let mut compared = 0;
    for recording in Recording::all() {
        let text = String::from_utf8_lossy(&recording.bytes()).into_owned();
        let printed = line.captures_iter(&text);
        // A chunk may hold more than this line, and the line more than one chunk.
        for printed in printed.map(|found| found[1].parse::<u64>().unwrap()) {
            let needle = printed.to_string();
            let chunk = recording
                .chunks
                .iter()
                .find(|chunk| String::from_utf8_lossy(&chunk.bytes).contains(&needle));
            let Some(chunk) = chunk else { continue };
            let host_us = recording.label.started_us + chunk.us;
            // The guest prints whole seconds, and its clock was read before.
            let difference = host_us.abs_diff(printed * 1_000_000);
            assert!(
                difference <= 2_000_000,
                "{}: {difference} us",
                recording.name
            );
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn the_page_of_recordings_has_what_each_label_says() {
    let page = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let (_, rows) = page
        .split_once("| Recording | What happens |\n|---|---|\n")
        .unwrap();
    let labels: Vec<_> = Recording::all()
        .into_iter()
        .map(|Recording { name, label, .. }| {
            format!("| `{name}` | {} |", label.what.trim_end_matches('.'))
        })
        .collect();
    assert_eq!(rows.lines().collect::<Vec<_>>(), labels);
}

#[test]
fn a_label_names_the_disk_and_the_versions_that_it_was_made_with() {
    let images = std::fs::read_to_string(root().join("tests/record/image.sh")).unwrap();
    for Recording { name, label, .. } in Recording::all() {
        assert!(
            images.contains(&format!("\n{})", label.image)),
            "{name}: {}",
            label.image
        );
        assert!(
            label.machine.starts_with("QEMU emulator version "),
            "{name}: {}",
            label.machine
        );
        let has_kernel = label
            .packages
            .iter()
            .any(|package| package.starts_with("linux-image-"));
        assert!(has_kernel, "{name}: {:?}", label.packages);
    }
}
