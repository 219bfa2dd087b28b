//! Time stamps that Linux prints in front of its messages: `[   12.345678]`, seconds since the kernel
//! began.

use std::ops::Range;

/// A stamp of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Microseconds since the kernel began.
    pub micros: u64,
}

/// Digits behind the point. Linux prints six (`print_time` in `kernel/printk/printk.c`).
const FRACTION_DIGITS: usize = 6;
/// Digits before the point that are read. A machine that runs for 30 years needs nine.
const MAX_SECOND_DIGITS: usize = 10;
/// Linux pads the seconds to five characters with spaces.
const MAX_PADDING: usize = 5;

/// Bytes of the longest stamp that is read.
#[cfg(feature = "cli")]
pub(super) const MAX_STAMP_BYTES: usize =
    1 + MAX_PADDING + MAX_SECOND_DIGITS + 1 + FRACTION_DIGITS + 1;
/// Bytes of a stamp with five characters before the point.
const USUAL_BYTES: usize = 14;

/// The least by which a kernel's clock goes back when another boot begins. Messages of several processors
/// are out of order by less.
const CLOCK_BACK_MICROS: u64 = 1_000_000;

impl Stamp {
    /// Whether a kernel that printed `last` before cannot have printed this one, unless another boot began.
    pub fn is_far_before(self, last: Self) -> bool {
        self.micros + CLOCK_BACK_MICROS < last.micros
    }

    /// Whether hardly another boot has it. Until a kernel has set up its clock, all boots print zero, or
    /// multiples of the clock's tick, such as 4 ms.
    pub fn is_distinctive(self) -> bool {
        !self.micros.is_multiple_of(1000)
    }

    /// Reads the stamp at the beginning of `text`, and where it ends. `None` if there is none.
    pub fn parse(text: &[u8]) -> Option<(Self, usize)> {
        if let Some(usual) = text.first_chunk().and_then(Self::parse_usual) {
            return Some((usual, USUAL_BYTES));
        }
        Self::parse_any(text)
    }

    fn parse_any(text: &[u8]) -> Option<(Self, usize)> {
        let inner = text.strip_prefix(b"[")?;
        let padding = inner
            .iter()
            .take(MAX_PADDING)
            .take_while(|&&byte| byte == b' ')
            .count();
        let seconds = digits(&inner[padding..], MAX_SECOND_DIGITS);
        let fraction_at = padding + seconds + 1;
        if seconds == 0 || inner.get(padding + seconds) != Some(&b'.') {
            return None;
        }
        let fraction = inner.get(fraction_at..fraction_at + FRACTION_DIGITS)?;
        let is_closed = inner.get(fraction_at + FRACTION_DIGITS) == Some(&b']');
        if !is_closed || digits(fraction, FRACTION_DIGITS) < FRACTION_DIGITS {
            return None;
        }
        let micros = number(&inner[padding..padding + seconds]) * 1_000_000 + number(fraction);
        Some((Self { micros }, 1 + fraction_at + FRACTION_DIGITS + 1))
    }

    /// A stamp of the first day of a kernel, as nearly all are: `[    1.234567]`. `None` says nothing. There is one in
    /// each line, so no byte decides how it goes on.
    fn parse_usual(text: &[u8; USUAL_BYTES]) -> Option<Self> {
        let [b'[', s0, s1, s2, s3, s4, b'.', f0, f1, f2, f3, f4, f5, b']'] = *text else {
            return None;
        };
        let (mut micros, mut has_digit, mut is_stamp) = (0, false, true);
        for byte in [s0, s1, s2, s3, s4] {
            let digit = byte.wrapping_sub(b'0');
            let is_digit = digit < 10;
            is_stamp &= is_digit | ((byte == b' ') & !has_digit);
            has_digit |= is_digit;
            micros = micros * 10 + u64::from(digit) * u64::from(is_digit);
        }
        for byte in [f0, f1, f2, f3, f4, f5] {
            let digit = byte.wrapping_sub(b'0');
            is_stamp &= digit < 10;
            micros = micros * 10 + u64::from(digit);
        }
        (is_stamp & has_digit).then_some(Self { micros })
    }
}

/// The stamps in `text` from its beginning, wherever in a line they stand: lines of several CPUs and of
/// programs may run into each other.
pub fn stamps(text: &[u8]) -> impl Iterator<Item = (Range<usize>, Stamp)> + '_ {
    memchr::memchr_iter(b'[', text).filter_map(|at| {
        // Most of what stands in brackets is none, and begins otherwise.
        let Some(b' ' | b'0'..=b'9') = text.get(at + 1) else {
            return None;
        };
        let (stamp, length) = Stamp::parse(&text[at..])?;
        Some((at..at + length, stamp))
    })
}

/// Whether `text` says a moment that hardly another boot says: in a stamp, or by the guest's clock.
pub fn says_moment(text: &[u8]) -> bool {
    stamps(text).any(|(_, stamp)| stamp.is_distinctive()) || has_epoch(text)
}

/// Words in front of seconds since 1970: of an audit record (Linux `kernel/audit.c`, "audit(%llu.%03lu:%u): "),
/// and of the line that sets the clock (`drivers/rtc/class.c`, "to %ptR UTC (%lld)").
const EPOCHS: [&[u8]; 2] = [b"audit(", b" UTC ("];
/// Since 2001. A clock that nobody has set begins in 1970, at each boot.
const EPOCH_DIGITS: usize = 10;

fn has_epoch(text: &[u8]) -> bool {
    EPOCHS.iter().any(|words| {
        let is_epoch = |at| digits(&text[at + words.len()..], EPOCH_DIGITS + 1) == EPOCH_DIGITS;
        memchr::memmem::find_iter(text, words).any(is_epoch)
    })
}

/// The last stamp in `text`.
pub fn last_stamp(text: &[u8]) -> Option<Stamp> {
    memchr::memrchr_iter(b'[', text).find_map(|at| Some(Stamp::parse(&text[at..])?.0))
}

/// The first stamp in `text`.
pub fn first_stamp(text: &[u8]) -> Option<Stamp> {
    stamps(text).next().map(|(_, stamp)| stamp)
}

/// How many digits `text` begins with, at most `most`.
fn digits(text: &[u8], most: usize) -> usize {
    text.iter()
        .take(most)
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// The value of at most [`MAX_SECOND_DIGITS`] digits.
fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<u64> {
        Stamp::parse(text.as_bytes()).map(|(stamp, _)| stamp.micros)
    }

    #[test]
    fn stamps_of_all_widths_are_read() {
        assert_eq!(micros("[    0.000000] Linux version"), Some(0));
        assert_eq!(micros("[   12.345678] x"), Some(12_345_678));
        assert_eq!(micros("[123456.000001]"), Some(123_456_000_001));
        assert_eq!(micros("[    0.000000][    T0] Linux"), Some(0));
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_none() {
        for text in [
            "",
            "[",
            "[ ]",
            "[1.5]",
            "[1.1234567]",
            "[1.12345",
            "[T0]",
            "[ .123456]",
            "1.123456]",
            "[99999999999.123456]",
            "[       1.123456]",
            "[\u{1b}1.123456]",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_usual_stamp_says_what_any_stamp_says(
            bytes in proptest::collection::vec(proptest::sample::select(&b" 0123456789.]["[..]), USUAL_BYTES),
            seconds in 0u32..100_000,
            micros in 0u32..1_000_000,
            at in 0..USUAL_BYTES,
        ) {
            let printed = format!("[{seconds:5}.{micros:06}]").into_bytes();
            let mut changed = printed.clone();
            changed[at] = bytes[at];
            for text in [bytes, printed, changed] {
                let usual = Stamp::parse_usual(text.first_chunk().unwrap());
                let any = Stamp::parse_any(&text);
                let any = any.filter(|(_, length)| *length == USUAL_BYTES).map(|(stamp, _)| stamp);
                proptest::prop_assert_eq!(usual, any);
            }
        }
    }

    #[test]
    fn a_moment_is_a_stamp_of_microseconds_or_a_clock_that_is_set() {
        for (text, expected) in [
            ("[    1.234567] eth0: up", true),
            ("[    0.004000] Console: colour", false),
            (
                "audit: type=2000 audit(1795971918.772:1): state=initialized",
                true,
            ),
            ("audit: type=2000 audit(2.772:1): state=initialized", false),
            (
                "rtc_cmos 00:03: setting system clock to 2026-11-29T17:05:19 UTC (1795971919)",
                true,
            ),
            (
                "rtc_cmos 00:03: setting system clock to 1970-01-01T00:00:10 UTC (10)",
                false,
            ),
            ("audit(179597191877): UTC (", false),
            ("", false),
        ] {
            assert_eq!(says_moment(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn stamps_are_found_within_lines_from_both_ends() {
        let text = b"x[    1.000000] a[    2.500000] b\n[bad] [    3.000000";
        assert_eq!(first_stamp(text), Some(Stamp { micros: 1_000_000 }));
        assert_eq!(last_stamp(text), Some(Stamp { micros: 2_500_000 }));
        let places: Vec<_> = stamps(text).map(|(place, _)| place).collect();
        assert_eq!(places, [1..15, 17..31]);
    }
}
