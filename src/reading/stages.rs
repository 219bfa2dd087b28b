//! How long the parts of a boot took.

use std::time::Duration;

use super::encoding::EncodingChoice;
use super::log::{Log, Part};
use super::phase::{Phase, Phases};
use super::stamp::Stamp;
use super::stitch::Boot;
use crate::terminal::Line;

/// Lines of a boot that stand together in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// The phase.
    pub phase: Phase,
    /// Number of its first line.
    pub line: usize,
    /// How many lines it has.
    pub lines: usize,
    /// Its first stamp. Firmware and boot loaders print none.
    pub began: Option<Stamp>,
    /// The first stamp of what comes behind it; of the last stage, its last stamp.
    pub ended: Option<Stamp>,
}

impl Stage {
    /// How long it took. `None` if its lines have no stamps, or the stamps went back.
    pub fn duration(&self) -> Option<Duration> {
        let micros = self.ended?.micros.checked_sub(self.began?.micros)?;
        Some(Duration::from_micros(micros))
    }
}

/// The stages of a boot, in order.
pub fn of_boot(boot: &Boot, encoding: EncodingChoice) -> Vec<Stage> {
    let log = Log::new(boot, encoding);
    let (mut parts, mut line) = (log.parts(), Line::default());
    let mut phases = Phases::of(&boot.log);
    let (mut stages, mut last) = (Vec::<Stage>::new(), None);
    while let Some(part) = parts.read(&mut line) {
        let Part::Line(place) = part else { continue };
        let phase = phases.next(line.text(), place.bytes.end);
        if stages.last().is_none_or(|stage| stage.phase != phase) {
            stages.push(Stage {
                phase,
                line: place.number,
                lines: 0,
                began: None,
                ended: None,
            });
        }
        let stamp = place.stamp.map(|stamp| stamp.stamp);
        last = stamp.or(last);
        if let Some(stage) = stages.last_mut() {
            stage.lines += 1;
            stage.began = stage.began.or(stamp);
        }
    }
    // From behind: what has no stamp of its own takes no time of the one before.
    let mut next = last;
    for stage in stages.iter_mut().rev() {
        if stage.began.is_some() {
            stage.ended = next;
            next = stage.began;
        }
    }
    stages
}

/// When cloud-init was through with its last part, since the kernel's start.
///
/// Source: cloud-init `cloudinit/config/cc_final_message.py`, `FINAL_MESSAGE_DEF`: "Cloud-init v. $version finished at
/// $timestamp. Datasource $datasource.  Up $uptime seconds".
pub fn cloud_init(log: &[u8]) -> Option<Stamp> {
    memchr::memmem::find_iter(log, b"Cloud-init v. ")
        .filter_map(|at| {
            let end = memchr::memchr2(b'\r', b'\n', &log[at..]).map_or(log.len(), |end| at + end);
            let line = str::from_utf8(&log[at..end]).ok()?;
            let (_, said) = line.split_once(" finished at ")?;
            let (_, uptime) = said.rsplit_once("Up ")?;
            let seconds: f64 = uptime.split_once(" seconds")?.0.parse().ok()?;
            // A machine that is up for longer than a century is not.
            let is_likely = (0.0..4e9).contains(&seconds);
            is_likely.then_some(Stamp {
                micros: (seconds * 1e6) as u64,
            })
        })
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, expected: &[(&str, usize, Option<f64>)]) {
        let boot = Boot::of_log(log.as_bytes().to_vec());
        let found: Vec<_> = of_boot(&boot, EncodingChoice::Auto)
            .iter()
            .map(|stage| {
                let seconds = stage.duration().map(|time| time.as_secs_f64());
                (stage.phase.as_str(), stage.line, seconds)
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stage_lasts_until_the_next_begins() {
        check(
            "SeaBIOS (version 1)\n[    0.000000] Linux version 6.1\n[    1.500000] Run /init as init process\n\
             Loading, please wait...\n[    2.000000] systemd[1]: systemd 252 running in system mode (+PAM)\n\
             [    9.500000] up\nlogin: ",
            &[
                ("firmware", 1, None),
                ("kernel", 2, Some(1.5)),
                ("initrd", 3, Some(0.5)),
                ("services", 5, Some(7.5)),
            ],
        );
    }

    #[test]
    fn what_has_no_stamps_has_no_length() {
        check("a\nb\n", &[("kernel", 1, None)]);
        check("", &[]);
        let back = "[    5.000000] a\n[    6.000000] Run /init as init process\n[    1.000000] b\n";
        check(back, &[("kernel", 1, Some(1.0)), ("initrd", 2, None)]);
    }

    #[test]
    fn cloud_init_says_when_it_was_through() {
        let log = b"Cloud-init v. 22.4.2 running 'init' at Mon, 23 Nov 2026 09:50:47 +0000. Up 34.53 seconds.\r\n\
            Cloud-init v. 22.4.2 finished at Mon, 23 Nov 2026 09:50:57 +0000. Datasource DataSourceNone.  Up 44.25 seconds\r\n";
        assert_eq!(cloud_init(log), Some(Stamp { micros: 44_250_000 }));
        for other in [
            &b"Cloud-init v. 1 finished at noon. Up never seconds"[..],
            b"Cloud-init v. 1 finished at noon. Up -1 seconds",
            b"Cloud-init v. 1 finished at noon. Up 1e300 seconds",
            b"Cloud-init v. 1 finished at noon.",
        ] {
            assert_eq!(cloud_init(other), None, "{}", other.escape_ascii());
        }
    }
}
