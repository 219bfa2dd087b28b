//! `LastUpdateTime` as ECS reports it → the digits that go into a key.

use std::fmt;

use jiff::civil::DateTime;

/// Second (or minute) at which ECS says the console output it caches was last updated.
///
/// Unit: wall clock, as reported. Zone: none claimed. Sources disagree: the model comments of the
/// Python SDK (7.11.8) say UTC+8 and the last printed kernel line, older API pages say UTC and the
/// last start; every sample seen is `2018-03-22 10:04:57`. So the digits are kept as they came,
/// and the text itself goes into the record's metadata for a later, better reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateTime {
    wall_clock: DateTime,
    has_seconds: bool,
}

/// A text no known form of `LastUpdateTime` matches. The caller keeps the record as undated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time in any form ECS is known to use")]
pub struct InvalidTime;

impl UpdateTime {
    /// Reads the forms found in documents, SDKs and events: a date and a time of day separated by
    /// a space or `T`, seconds optional, the punctuation of both optional, then optionally a
    /// fraction and a zone (`Z`, `PRC`, `+08:00`, `+0800`). Fraction and zone are dropped.
    ///
    /// # Errors
    /// [`InvalidTime`] for other text and for days and times no calendar has.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        let text = text.trim();
        let (date, rest) = text.split_once(['T', ' ']).ok_or(InvalidTime)?;
        let clock_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != ':')
            .unwrap_or(rest.len());
        let (clock, tail) = rest.split_at(clock_end);
        if !is_fraction_and_zone(tail) {
            return Err(InvalidTime);
        }
        let date = digits(date, &[4, 2, 2], '-')?;
        let (clock, has_seconds) = match digits(clock, &[2, 2, 2], ':') {
            Ok(clock) => (clock, true),
            Err(InvalidTime) => (digits(clock, &[2, 2], ':')?, false),
        };
        let number = |range: &str| range.parse::<i16>().map_err(|_| InvalidTime);
        let small = |range: &str| range.parse::<i8>().map_err(|_| InvalidTime);
        let wall_clock = DateTime::new(
            number(&date[..4])?,
            small(&date[4..6])?,
            small(&date[6..8])?,
            small(&clock[..2])?,
            small(&clock[2..4])?,
            if has_seconds { small(&clock[4..6])? } else { 0 },
            0,
        )
        .map_err(|_| InvalidTime)?;
        Ok(Self {
            wall_clock,
            has_seconds,
        })
    }
}

/// The compact form used in keys: `20180322T100457`, or `20180322T1004` where no seconds came.
impl fmt::Display for UpdateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.has_seconds {
            "%Y%m%dT%H%M%S"
        } else {
            "%Y%m%dT%H%M"
        };
        write!(f, "{}", self.wall_clock.strftime(format))
    }
}

/// The digits of `text`, whose fields have these `widths` and are separated by `separator`
/// throughout or not at all.
fn digits(text: &str, widths: &[usize], separator: char) -> Result<String, InvalidTime> {
    let compact: String = text.chars().filter(|c| *c != separator).collect();
    let total: usize = widths.iter().sum();
    if compact.len() != total || !compact.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidTime);
    }
    let separated = text
        .split(separator)
        .map(str::len)
        .eq(widths.iter().copied());
    if text == compact || separated {
        Ok(compact)
    } else {
        Err(InvalidTime)
    }
}

fn is_fraction_and_zone(tail: &str) -> bool {
    let zone = match tail.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => tail,
    };
    match zone {
        "" | "Z" | "PRC" => true,
        _ => zone
            .strip_prefix(['+', '-'])
            .is_some_and(|offset| digits(offset, &[2, 2], ':').is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reported: &str, digits: &str) {
        let time = UpdateTime::parse(reported).map(|time| time.to_string());
        assert_eq!(time.as_deref(), Ok(digits), "{reported:?}");
    }

    #[test]
    fn spellings_of_one_second_give_one_key() {
        check("2018-03-22 10:04:57", "20180322T100457");
        check("2018-03-22T10:04:57Z", "20180322T100457");
        check("2018-03-22T10:04:57", "20180322T100457");
        check("20180322T100457", "20180322T100457");
        check(" 2018-03-22 10:04:57\n", "20180322T100457");
    }

    #[test]
    fn a_zone_is_dropped_and_never_applied() {
        check("2018-03-22T10:04:57+08:00", "20180322T100457");
        check("20181226T220114.058+0800", "20181226T220114");
        check("2020-11-19T21:04:42.179PRC", "20201119T210442");
        check("2018-03-22T10:04:57-11:30", "20180322T100457");
    }

    #[test]
    fn seconds_that_did_not_come_are_not_invented() {
        check("2018-03-22T10:04Z", "20180322T1004");
        check("2018-03-22 10:04", "20180322T1004");
    }

    #[test]
    fn a_time_without_seconds_sorts_before_those_of_its_minute() {
        assert!("20180322T1004-" < "20180322T100400-");
    }

    #[test]
    fn text_that_is_no_time_is_refused() {
        for text in [
            "",
            "T",
            "yesterday",
            "2018-03-22",
            "10:04:57",
            "2018-02-30 10:04:57",
            "2018-03-22 24:04:57",
            "2018-03-22 10:60:57",
            "2018-0322 10:04:57",
            "2018-03-22 1:04:57",
            "2018-03-22 10:04:57 or so",
            "2018-03-22 10:04:57.",
            "2018-03-22 10:04:57+8",
            "../2018-03-22 10:04:57",
            "２０１８-03-22 10:04:57",
            "1521684297",
        ] {
            assert_eq!(UpdateTime::parse(text), Err(InvalidTime), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_key_safe_digits_or_an_error(text in ".*") {
            if let Ok(time) = UpdateTime::parse(&text) {
                let shown = time.to_string();
                proptest::prop_assert!(
                    shown.bytes().all(|b| b.is_ascii_digit() || b == b'T'), "{shown}"
                );
                proptest::prop_assert_eq!(UpdateTime::parse(&shown), Ok(time));
            }
        }
    }
}
