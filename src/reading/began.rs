//! When a boot began, if its kernel has printed the time of its clock.

use jiff::{SignedDuration, Timestamp};

use super::stamp::{Stamp, stamps};
use super::start::boot_starts;

/// A clock that differs by more from the time of the capture is wrong. A machine may run for long before
/// its console is captured, but then the line with the clock is no longer in the console's ring.
pub(super) const MAX_DIFFERENCE: SignedDuration = SignedDuration::from_hours(24);

/// When the boot began that a console shows at this byte. `None` if its kernel does not say, or if it says a time that
/// is more than a day away from when the console was captured.
pub fn boot_began(console: &[u8], at: usize, captured_at: Timestamp) -> Option<Timestamp> {
    let starts = boot_starts(console);
    // A crash kernel is a part of the boot that it buries.
    let mut starts = starts.iter().filter(|start| !start.is_crash_kernel);
    let next = starts.clone().find(|start| start.line > at);
    let begin = starts.rfind(|start| start.line <= at);
    let begin = begin.map_or(0, |start| start.line);
    let end = next.map_or(console.len(), |start| start.line);
    let began = kernel_clock(&console[begin..end])?;
    (began.duration_until(captured_at).abs() <= MAX_DIFFERENCE).then_some(began)
}

/// `[    2.346539] rtc_cmos 00:05: setting system clock to 2026-11-23T09:50:15 UTC (1795427415)`. The text of
/// the date has changed with the kernel; the seconds in parentheses have not (Linux `drivers/rtc/class.c`,
/// before 4.20 `drivers/rtc/hctosys.c`).
pub(super) fn kernel_clock(log: &[u8]) -> Option<Timestamp> {
    const WORDS: &[u8] = b"setting system clock to ";
    memchr::memmem::find_iter(log, WORDS).find_map(|at| {
        let rest = line_from(log, at);
        let open = memchr::memchr(b'(', rest)?;
        let close = memchr::memchr(b')', &rest[open..])?;
        let seconds = std::str::from_utf8(&rest[open + 1..open + close])
            .ok()?
            .parse()
            .ok()?;
        zero(
            Timestamp::from_second(seconds).ok()?,
            stamp_before(log, at)?.micros,
        )
    })
}

pub(super) fn zero(time: Timestamp, micros: u64) -> Option<Timestamp> {
    time.checked_sub(SignedDuration::from_micros(i64::try_from(micros).ok()?))
        .ok()
}

/// The rest of a line.
pub(super) fn line_from(log: &[u8], at: usize) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', &log[at..]).map_or(log.len(), |end| at + end);
    &log[at..end]
}

/// The stamp of the line that has the byte at `at`.
fn stamp_before(log: &[u8], at: usize) -> Option<Stamp> {
    let line = memchr::memrchr(b'\n', &log[..at]).map_or(0, |end| end + 1);
    stamps(&log[line..at]).last().map(|(_, stamp)| stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_boot_of_a_console_has_its_own_beginning() {
        let boot = |time: &str, seconds: i64| {
            format!(
                "[    0.000000] Linux version 6.1.0 (a@b) #1\n\
                 [    1.000000] rtc_cmos 00:05: setting system clock to {time} UTC ({seconds})\n\
                 [    2.000000] Kernel panic - not syncing: x\n"
            )
        };
        let first = boot("2026-11-23T09:50:15", 1_795_427_415);
        let console = format!("{first}{}", boot("2026-11-23T10:50:15", 1_795_431_015));
        let captured_at = at("2026-11-23T11:00:00Z");
        let began = |byte| boot_began(console.as_bytes(), byte, captured_at);
        assert_eq!(began(first.len() - 5), Some(at("2026-11-23T09:50:14Z")));
        assert_eq!(began(console.len() - 5), Some(at("2026-11-23T10:50:14Z")));
        let much_later = at("2026-11-26T11:00:00Z");
        assert_eq!(boot_began(console.as_bytes(), 5, much_later), None);
        assert_eq!(boot_began(b"login: ", 3, captured_at), None);
    }
}
