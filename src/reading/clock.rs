//! Real times of a boot's lines, as far as the guest printed its clock.

use std::ops::Range;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::began::{MAX_DIFFERENCE, kernel_clock, line_from, zero};
use super::stamp::Stamp;
use super::stitch::Boot;

/// The real time at which a kernel's stamps were zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    zero: Timestamp,
}

/// What a guest's clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestClock {
    /// Lines with stamps have real times, to about a second.
    Right(Clock),
    /// The clock is more than a day away from when the console was captured. It is not used.
    Wrong {
        /// The time that the guest printed.
        said: Timestamp,
    },
    /// The guest has not printed it.
    Unknown,
}

/// When a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTime {
    /// About then, by the guest's clock. A line without a stamp has the time of the one before.
    About(Timestamp),
    /// Then or before: when the capture was made that shows it.
    NotAfter(Timestamp),
}

impl LineTime {
    /// The time itself.
    pub fn time(self) -> Timestamp {
        match self {
            Self::About(time) | Self::NotAfter(time) => time,
        }
    }
}

/// Tells when each line of a boot was printed; for lines in their order.
#[derive(Debug)]
pub struct LineTimes<'a> {
    boot: &'a Boot,
    clock: Option<Clock>,
    last: Stamp,
}

impl<'a> LineTimes<'a> {
    /// For the lines of a boot, whose guest's clock this is.
    pub fn new(boot: &'a Boot, clock: GuestClock) -> Self {
        let clock = match clock {
            GuestClock::Right(clock) => Some(clock),
            GuestClock::Wrong { .. } | GuestClock::Unknown => None,
        };
        Self {
            boot,
            clock,
            last: Stamp { micros: 0 },
        }
    }

    /// When the line was printed that stands at these bytes of the log. `None` if nothing is known.
    pub fn of(&mut self, stamp: Option<Stamp>, bytes: &Range<usize>) -> Option<LineTime> {
        self.last = stamp.unwrap_or(self.last);
        let about = self.clock.and_then(|clock| clock.at(self.last));
        about.map(LineTime::About).or_else(|| {
            let (capture, _) = self.boot.origin(bytes.end.checked_sub(1)?)?;
            Some(LineTime::NotAfter(capture.captured_at))
        })
    }
}

impl Clock {
    /// The real time of a stamp. `None` if it is out of range.
    pub fn at(self, stamp: Stamp) -> Option<Timestamp> {
        let since = SignedDuration::from_micros(i64::try_from(stamp.micros).ok()?);
        self.zero.checked_add(since).ok()
    }
}

impl GuestClock {
    /// Finds the clock of a boot in its log. `captured_at` is when the boot was first captured.
    ///
    /// The kernel's own line counts before cloud-init's.
    pub fn of(log: &[u8], captured_at: Timestamp) -> Self {
        let Some(zero) = kernel_clock(log).or_else(|| cloud_init_clock(log)) else {
            return Self::Unknown;
        };
        match zero.duration_until(captured_at).abs() > MAX_DIFFERENCE {
            true => Self::Wrong { said: zero },
            false => Self::Right(Clock { zero }),
        }
    }
}

/// `cloud-init[199]: Cloud-init v. 22.4.2 running 'init' at Mon, 23 Nov 2026 09:50:47 +0000. Up 34.53 seconds.`
/// (cloud-init's `cloudinit/cmd/main.py`, `welcome_format`).
fn cloud_init_clock(log: &[u8]) -> Option<Timestamp> {
    memchr::memmem::find_iter(log, b"Cloud-init v. ").find_map(|at| {
        let line = std::str::from_utf8(line_from(log, at)).ok()?;
        let (_, rest) = line.split_once(" at ")?;
        let (date, rest) = rest.split_once(" +0000. Up ")?;
        let (up, _) = rest.split_once(" seconds")?;
        let (_, date) = date.split_once(", ")?;
        let time = DateTime::strptime("%d %b %Y %H:%M:%S", date).ok()?;
        let (seconds, fraction) = up.split_once('.')?;
        let fraction: u64 = fraction.get(..2)?.parse().ok()?;
        let micros = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)? + fraction * 10_000;
        zero(Offset::UTC.to_timestamp(time).ok()?, micros)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOUD_INIT: &[u8] =
        include_bytes!("../../tests/fixtures/consoles/i-bp1cloudinit0000001.log");

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn begin(log: &[u8], captured_at: &str) -> GuestClock {
        GuestClock::of(log, at(captured_at))
    }

    #[test]
    fn a_kernel_says_when_it_began() {
        let GuestClock::Right(clock) = begin(CLOUD_INIT, "2026-11-23T09:55:00Z") else {
            panic!("the clock is right");
        };
        assert_eq!(
            clock.at(Stamp { micros: 2_346_539 }),
            Some(at("2026-11-23T09:50:15Z"))
        );
        let old = b"[    1.500000] rtc_cmos 00:00: setting system clock to 2018-03-22 02:04:57 UTC (1521684297)\r\n";
        let GuestClock::Right(clock) = begin(old, "2018-03-22T02:06:00Z") else {
            panic!("the clock is right");
        };
        assert_eq!(
            clock.at(Stamp { micros: 0 }),
            Some(at("2018-03-22T02:04:55.5Z"))
        );
    }

    #[test]
    fn cloud_init_says_it_where_the_kernel_does_not() {
        let (_, rest) =
            CLOUD_INIT.split_at(memchr::memmem::find(CLOUD_INIT, b"setting system").unwrap() + 9);
        let GuestClock::Right(clock) = begin(rest, "2026-11-23T09:55:00Z") else {
            panic!("the clock is right");
        };
        assert_eq!(
            clock.at(Stamp { micros: 34_530_000 }),
            Some(at("2026-11-23T09:50:47Z"))
        );
    }

    #[test]
    fn a_clock_that_is_a_day_away_is_wrong() {
        let dead = b"[    1.000000] rtc_cmos 00:05: setting system clock to 1970-01-01T00:00:10 UTC (10)\r\n";
        let said = at("1970-01-01T00:00:09Z");
        assert_eq!(
            begin(dead, "2026-11-23T09:55:00Z"),
            GuestClock::Wrong { said }
        );
        assert!(matches!(
            begin(CLOUD_INIT, "2026-11-25T00:00:00Z"),
            GuestClock::Wrong { .. }
        ));
    }

    #[test]
    fn text_that_only_looks_like_a_clock_is_none() {
        for log in [
            &b"[    1.000000] setting system clock to never\r\n"[..],
            b"[    1.000000] setting system clock to x (12\r\n",
            b"[    1.000000] setting system clock to x (99999999999999999999)\r\n",
            b"setting system clock to 2026 (1795427415)\r\n",
            b"Cloud-init v. 22 running 'x' at Mon, 99 Nov 2026 09:50:47 +0000. Up 34.53 seconds.\r\n",
            b"Cloud-init v. 22 running 'x' at \xff\r\n",
        ] {
            assert_eq!(begin(log, "2026-11-23T09:55:00Z"), GuestClock::Unknown, "{}", log.escape_ascii());
        }
    }
}
