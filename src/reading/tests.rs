//! Histories of machines, sampled as ECS shows them, against what the machines printed.

use jiff::{SignedDuration, Timestamp};

use super::findings::secrets;
use super::stamp;
use super::stitch::{Boot, Capture, Mark, MarkKind, stitch};

#[path = "../../tests/histories/mod.rs"]
mod histories;
#[allow(dead_code)] // The suite uses the rest.
#[path = "../../tests/suite/support/recording.rs"]
mod recording;

use histories::*;

/// How captures were joined.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// Pairs of captures, each with the next.
    pairs: usize,
    /// Places where the captures do not meet, with a mark.
    losses: usize,
    /// Marks where nothing is missing.
    unsure: usize,
    /// Places where the captures do not meet, without a mark: what a reader would believe.
    wrong: usize,
    /// Bytes of captures that no log has.
    dropped: usize,
}

impl Counts {
    /// Compares what was stitched with what the machine printed.
    fn add(&mut self, boots: &[Boot], captures: &[Capture], begins: &[usize]) {
        self.pairs += captures.len() - 1;
        let end = begins[begins.len() - 1] + captures[captures.len() - 1].plain.len();
        let mut is_known = vec![false; end];
        let (mut expected, mut marks_before) = (begins[0], 0);
        for boot in boots {
            let mut marks = boot.marks.iter().map(|mark| mark.at).peekable();
            for piece in &boot.pieces {
                // Marks at other places than between captures would say nothing.
                while marks.next_if(|&at| at <= piece.range.start).is_some() {
                    marks_before += 1;
                }
                let capture = captures
                    .iter()
                    .find(|capture| capture.name == boot.captures[piece.capture].name);
                let capture = capture.expect("a piece has a capture");
                let index: usize = capture.name.parse().unwrap();
                let shown = &capture.plain[piece.offset..][..piece.range.len()];
                assert!(
                    boot.log[piece.range.clone()] == *shown,
                    "a piece has the bytes of its capture"
                );
                let place = begins[index] + piece.offset;
                is_known[place..][..shown.len()].fill(true);
                match (place == expected, marks_before) {
                    (true, 0) => {}
                    (true, _) => self.unsure += 1,
                    (false, 0) => self.wrong += 1,
                    (false, 1) => self.losses += 1,
                    (false, _) => panic!("a loss is marked once, not {marks_before} times"),
                }
                marks_before = 0;
                expected = place + shown.len();
            }
            marks_before += marks.count();
        }
        for (capture, &begin) in captures.iter().zip(begins) {
            let shown = &is_known[begin..begin + capture.plain.len()];
            self.dropped += shown.iter().filter(|is_known| !**is_known).count();
        }
    }

    fn of(ring: Ring, step: usize, history: impl Fn(&mut fastrand::Rng) -> History) -> Self {
        let (mut counts, mut rng) = (Self::default(), fastrand::Rng::with_seed(7));
        while counts.pairs < 1_000 {
            let history = history(&mut rng);
            let (captures, begins) = sample(&history, ring, step, &mut rng);
            counts.add(&stitch(captures.clone()), &captures, &begins);
        }
        println!("{counts:?}");
        counts
    }
}

#[test]
fn what_a_large_ring_shows_is_joined_as_it_was_printed() {
    let counts = Counts::of(LARGE, 9_000, any_boots);
    assert_eq!((counts.wrong, counts.losses, counts.dropped), (0, 0, 0));
    assert!(counts.unsure * 100 <= counts.pairs, "{counts:?}");
}

#[test]
fn what_a_small_ring_loses_is_marked_where_it_is_lost() {
    for step in [2_000, 9_000, 30_000] {
        for history in [any_boots as fn(&mut fastrand::Rng) -> History, reboot_loop] {
            let counts = Counts::of(SMALL, step, history);
            assert_eq!(counts.wrong, 0, "{counts:?}");
        }
    }
}

#[test]
fn the_boots_of_a_console_that_restarts_empty_are_not_mixed() {
    for step in [2_000, 9_000, 30_000] {
        for history in [any_boots as fn(&mut fastrand::Rng) -> History, reboot_loop] {
            let counts = Counts::of(CLEARED, step, history);
            assert_eq!((counts.wrong, counts.dropped), (0, 0), "{counts:?}");
            assert!(counts.unsure * 1000 <= counts.pairs, "{counts:?}");
        }
    }
}

#[test]
fn captures_of_recordings_are_joined_as_they_were_printed() {
    for step in [2_000, 9_000] {
        let large = Counts::of(LARGE, step, recordings);
        assert_eq!((large.wrong, large.losses, large.dropped), (0, 0, 0));
        let small = Counts::of(SMALL, step, recordings);
        assert_eq!(small.wrong, 0);
        let cleared = Counts::of(CLEARED, step, recordings);
        assert_eq!((cleared.wrong, cleared.dropped), (0, 0));
        for counts in [large, cleared] {
            assert!(counts.unsure * 50 <= counts.pairs, "{counts:?}");
        }
        // Half a ring farther, little is left that both captures share, often a kernel's first lines alone.
        let least = if step * 4 > SMALL.bytes { 10 } else { 50 };
        assert!(small.unsure * least <= small.pairs, "{small:?}");
    }
}

#[test]
fn a_prompt_that_repeats_is_not_joined_without_a_mark() {
    for ring in [LARGE, SMALL, CLEARED] {
        let counts = Counts::of(ring, 9_000, prompts);
        assert_eq!(counts.wrong, 0, "{counts:?}");
    }
}

/// Captures of a boot with an event, as far as a test needs.
fn capture(index: usize, plain: &[u8]) -> Capture {
    Capture {
        name: format!("{index:08}"),
        captured_at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60 * index as i64),
        updated_at: None,
        started_at: None,
        event_id: None,
        plain: plain.to_vec(),
    }
}

#[test]
fn copies_and_the_order_of_arrival_change_nothing() {
    let mut rng = fastrand::Rng::with_seed(3);
    for ring in [LARGE, SMALL, CLEARED] {
        let history = any_boots(&mut rng);
        let (captures, _) = sample(&history, ring, 9_000, &mut rng);
        let expected = stitch(captures.clone());
        let mut mixed = [captures.clone(), captures].concat();
        rng.shuffle(&mut mixed);
        assert_eq!(stitch(mixed), expected);
    }
}

#[test]
fn later_captures_change_no_name_of_a_boot() {
    let mut rng = fastrand::Rng::with_seed(4);
    for ring in [LARGE, SMALL, CLEARED] {
        let history = any_boots(&mut rng);
        let (captures, _) = sample(&history, ring, 9_000, &mut rng);
        let names = |captures: &[Capture]| -> Vec<_> {
            stitch(captures.to_vec())
                .into_iter()
                .map(|boot| boot.id)
                .collect()
        };
        let mut known = Vec::new();
        for count in (1..=captures.len()).step_by(7) {
            let now = names(&captures[..count]);
            assert_eq!(now[..known.len()], known, "after {count} captures");
            known = now;
        }
    }
}

/// As `prune` and lifecycle rules leave an archive: each capture with a part of a boot that stays is there.
#[test]
fn captures_that_are_gone_change_no_name_and_no_log_of_later_boots() {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut shared = 0;
    for ring in [LARGE, SMALL, CLEARED] {
        let history = any_boots(&mut rng);
        let (captures, _) = sample(&history, ring, 9_000, &mut rng);
        let boots = stitch(captures.clone());
        for oldest in 1..boots.len() {
            let (go, stay) = boots.split_at(oldest);
            let has = |boots: &[Boot], name: &str| {
                let mut captures = boots.iter().flat_map(|boot| &boot.captures);
                captures.any(|capture| capture.name == name)
            };
            let mut left = captures.clone();
            left.retain(|capture| has(stay, &capture.name));
            shared += usize::from(left.iter().any(|capture| has(go, &capture.name)));
            let left = stitch(left);
            let of_left = &left[left.len() - stay.len()..];
            for (boot, before) in of_left.iter().zip(stay) {
                assert_eq!(boot.id, before.id, "without the first {oldest}");
                assert!(boot.log == before.log, "{}", boot.id);
            }
        }
    }
    assert!(shared > 10, "{shared}");
}

#[test]
fn a_stitcher_gives_boots_away_without_changing_them() {
    // More than a chain holds: 20 MiB in boots of 50 KiB.
    let mut rng = fastrand::Rng::with_seed(5);
    let history = History::of((0..420).map(|_| boot(CONSOLES[0], &mut rng)));
    let (captures, begins) = sample(&history, LARGE, 30_000, &mut rng);
    let mut counts = Counts::default();
    let boots = stitch(captures.clone());
    counts.add(&boots, &captures, &begins);
    assert_eq!(
        (counts.wrong, counts.losses, counts.dropped, boots.len()),
        (0, 0, 0, 420)
    );
}

#[test]
fn a_login_prompt_after_an_older_console_is_not_lost() {
    let console = CONSOLES[0];
    let boots = stitch(vec![
        capture(0, &console[..20_000]),
        capture(1, console),
        capture(2, &console[..30_000]), // An older console, from a cache that lags.
        capture(3, console),
    ]);
    assert_eq!(boots.len(), 1);
    assert!(boots[0].log == console);
    assert_eq!((boots[0].marks.len(), boots[0].captures.len()), (0, 4));
}

#[test]
fn words_that_only_look_like_a_start_begin_no_boot() {
    let console = &CONSOLES[0][..40_000];
    for words in [
        "# cat /proc/version\r\nLinux version 6.1.0-56-cloud-amd64 (debian) #1 SMP\r\n",
        "[    0.000000] Linux version 6.1.0-56-cloud-amd64\r\n[    0.000000] Command line: quiet\r\n",
        "Nov 23 09:50:15 host kernel: [    0.000000] Linux version 6.1.0\r\n",
        "GNU GRUB must be reinstalled: run grub-install\r\n",
        "iPXE is a network boot firmware\r\n",
        "U-Boot 2020 package installed\r\n",
    ] {
        let printed = [
            console,
            b"\r\n",
            words.as_bytes(),
            b"[  999.500001] and on it goes\r\n",
        ]
        .concat();
        let boots = stitch(vec![capture(0, &printed)]);
        assert_eq!(boots.len(), 1, "{words}");
    }
    // The kernel says nothing more, and programs say much.
    let version =
        &b"# cat /proc/version\r\nLinux version 6.1.0-56-cloud-amd64 (debian) #1 SMP\r\n"[..];
    let lines = "app: a request took 7 ms\r\n".repeat(400);
    let count = |behind: &[u8]| {
        let printed = [console, b"\r\n", version, behind, lines.as_bytes()].concat();
        stitch(vec![capture(0, &printed)]).len()
    };
    assert_eq!(count(b""), 1);
    assert_eq!(count(b"Command line: console=ttyS0 printk.time=0\r\n"), 2);
}

#[test]
fn a_boot_that_only_its_menu_shows_is_a_boot_although_a_kernel_s_clock_seems_to_go_on() {
    let menu = "\x1b[H\x1b[J\x1b[2;24HGNU GRUB  version 2.06\r\n\r\n";
    let stamped = |at: u32| format!("{menu}[    {at}.400001] reboot: Restarting system\r\n");
    let prompt = format!("{menu}host login: root\r\n");
    for printed in [
        [stamped(5), stamped(6), stamped(8)],
        [prompt.clone(), prompt.clone(), prompt.clone()],
        [prompt, stamped(5), stamped(6)],
    ] {
        let boots = stitch(vec![capture(0, printed.concat().as_bytes())]);
        let logs = boots.iter().map(|boot| &boot.log[..]);
        assert!(logs.eq(printed.iter().map(String::as_bytes)), "{boots:?}");
    }
}

#[test]
fn a_clock_that_goes_back_where_a_boot_begins_begins_no_other() {
    let printed = b"[    9.500001] a\r\nb\rSeaBIOS (version 1) [    7.000001] [    2.000001] c\r\n";
    let boots = stitch(vec![capture(0, printed)]);
    let logs: Vec<_> = boots.iter().map(|boot| boot.log.len()).collect();
    assert_eq!(logs, [20, printed.len() - 20]);
}

#[test]
fn behind_a_loss_a_boot_that_was_over_does_not_go_on() {
    let later =
        b"[  900.000001] app: a machine that runs for a while\r\n[  901.000001] app: and on\r\n";
    for (end, count) in [
        (
            "[   99.000001] Kernel panic - not syncing: sysrq\r\n[   99.000002] Rebooting in 2 seconds..",
            2,
        ),
        (
            "host login: [   99.000001] reboot: Restarting system\r\n",
            2,
        ),
        ("host login: ", 1),
        (
            "Jan 01 kernel: Kernel panic - not syncing: sysrq\r\n[   99.000001] a\r\n",
            1,
        ),
    ] {
        let first = [CONSOLES[0], end.as_bytes()].concat();
        let boots = stitch(vec![capture(0, &first), capture(1, later)]);
        assert_eq!(boots.len(), count, "{end}");
        let last = &boots[count - 1];
        let at = last.log.len() - later.len();
        assert_eq!(last.marks.len(), 1, "{end}");
        let kind = MarkKind::Gap {
            cut: later.iter().position(|byte| *byte == b'\n').unwrap() + 1,
        };
        assert_eq!(last.marks[0], Mark { at, kind }, "{end}");
    }
}

#[test]
fn a_kernel_begins_right_behind_a_prompt_too() {
    let kernel = |rest: &str| {
        format!(
            "[    0.000000] Linux version 6.1.0-9 (x) #1\r\n[    0.000000] Command line: console=ttyS0 {rest}\r\n[    0.500001] a\r\n"
        )
    };
    // A kernel that is quiet has no clock that goes back.
    for (prompt, stamped) in [
        ("host login: ", ""),
        ("Password: ", "[    9.000001] b\r\n"),
        ("root@host:~# ", ""),
        ("[    9.000001] Rebooting in 2 seconds..", ""),
    ] {
        let first = format!(
            "{}{stamped}{prompt}",
            kernel("quiet").replace("0.500001", "0.700001")
        );
        let printed = first.clone() + &kernel("elfcorehdr=0x1");
        let boots = stitch(vec![capture(0, printed.as_bytes())]);
        let logs: Vec<_> = boots.iter().map(|boot| boot.log.len()).collect();
        assert_eq!(logs, [first.len(), printed.len() - first.len()], "{prompt}");
        assert!(boots[0].has_crashed && boots[1].start.is_some(), "{prompt}");
    }
    // A host that shows the console of its guest, and what is only like a prompt.
    for words in [
        "vm: [    0.000000] Linux version 6.1\r\n",
        "# Linux version 6.1\r\n",
        "# [    1.000000] Linux version 6.1\r\n",
    ] {
        let printed = [
            CONSOLES[0],
            b"\r\n",
            words.as_bytes(),
            b"[  999.500001] on\r\n",
        ]
        .concat();
        assert_eq!(stitch(vec![capture(0, &printed)]).len(), 1, "{words}");
    }
}

/// Wherever a capture ends, and whatever a mask there hides. The whole console is as the next capture has it.
#[test]
fn a_capture_that_ends_within_a_masked_secret_is_continued() {
    let line = |at: usize| {
        format!("[    {at}.123456] systemd[1]: Started unit number {at} of the system\r\n")
    };
    let before: String = (1..9).map(line).collect();
    let behind: String = (21..29).map(line).collect();
    let after = line(31);
    let stored = |bytes: &[u8]| secrets::masked(bytes, &secrets::find(bytes));
    const KEPT_SECRETS: [&str; 3] = [
        "cloud-init[8]: password=hunter22hunter22 for root\r\n",
        "Set the following 'random' passwords\r\nubuntu:hT3bq9XkzPaW\r\nroot:kd82ncSxqTTw\r\n",
        "-----BEGIN RSA PRIVATE KEY-----\r\n\
         MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0cJm8l2nJt5d6k9w3y7x1v0s4r\r\n\
         q8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3j2k1l0z9x8c7v6b5n4m3q2w1e0r9t8y7\r\n\
         Zm9v\r\n\
         -----END RSA PRIVATE KEY-----\r\n",
    ];
    for secrets in KEPT_SECRETS {
        let console = [&before, secrets, &behind].concat().into_bytes();
        let whole = stored(&console);
        for end in before.len()..=before.len() + secrets.len() {
            for begin in [0, 100] {
                let captures = [stored(&console[..end]), whole[begin..].to_vec()];
                let captures = (0..)
                    .zip(&captures)
                    .map(|(index, plain)| capture(index, plain));
                let boots = stitch(captures.collect());
                assert_eq!(
                    boots.len(),
                    1,
                    "cut at {end}: {}",
                    String::from_utf8_lossy(&console[..end])
                );
                assert!(boots[0].log == whole, "cut at {end}");
                assert!(
                    boots[0].marks.iter().all(|mark| mark.at == 0),
                    "cut at {end}: {:?}",
                    boots[0].marks
                );
                let pieces = boots[0].pieces.iter();
                let bytes: usize = pieces.map(|piece| piece.range.len()).sum();
                assert_eq!(bytes, whole.len());
            }
        }
    }
    // A ring that begins within a secret.
    for secrets in KEPT_SECRETS {
        let console = [&before, secrets, &behind].concat().into_bytes();
        let whole = stored(&console);
        for begin in before.len()..=before.len() + secrets.len() {
            let captures = [
                whole.clone(),
                [&stored(&console[begin..])[..], after.as_bytes()].concat(),
            ];
            let captures = (0..)
                .zip(&captures)
                .map(|(index, plain)| capture(index, plain));
            let boots = stitch(captures.collect());
            let from = String::from_utf8_lossy(&console[begin..]);
            assert_eq!(boots.len(), 1, "begun at {begin}: {from}");
            assert!(
                boots[0].log == [&whole[..], after.as_bytes()].concat(),
                "begun at {begin}"
            );
            assert!(
                boots[0].marks.iter().all(|mark| mark.at == 0),
                "begun at {begin}"
            );
        }
    }
    // What differs in more than a mask is no end of it.
    let of = |line: &str| [&before, line, &behind].concat().into_bytes();
    let (a, b) = (of("password=<******> x\r\n"), of("password=<******> y\r\n"));
    let captures = [&a[..before.len() + 19], &b[..]];
    let captures = (0..)
        .zip(captures)
        .map(|(index, plain)| capture(index, plain));
    let boots = stitch(captures.collect());
    assert!(boots.len() > 1 || !boots[0].marks.is_empty());
}

#[test]
fn an_empty_capture_changes_nothing() {
    let console = CONSOLES[0];
    let captures = |middle: &[u8]| {
        vec![
            capture(0, &console[..20_000]),
            capture(1, middle),
            capture(2, console),
        ]
    };
    let boots = stitch(captures(b""));
    assert_eq!(boots.len(), 1);
    assert!(boots[0].log == console);
    assert!(stitch(vec![capture(0, b"")]).is_empty());
}
