//! A time as a person writes it: a date or a part of one, a time of day, a time zone.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

/// A year, month, day, hour, minute or second. It has a time zone if the text names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    start: DateTime,
    unit: Unit,
    zone: Option<TimeZone>,
}

/// The smallest field that the text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// A text is not a [`Moment`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoment {
    /// The text is something else, or names a day or an hour that does not exist.
    #[error(
        "expected a moment such as 2018-03-22, \"2018-03-22 10:04\", 2018-03-22T10:04:57Z or \
         2018-03-22T10:04:57+08:00"
    )]
    NotATime,
    /// The text is the beginning of a record's name. Its time zone is not the one a person expects.
    #[error(
        "{0} is how a record's name begins, in the time zone of ECS: give the whole name, or a time \
         such as 2018-03-22T10:04:57Z"
    )]
    FrontOfName(String),
    /// The text after the time is not a time zone.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
}

/// A text is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time zone; expected UTC, an offset such as +08:00, or a name such as Asia/Shanghai"
)]
pub struct UnknownZone(String);

/// Parses a time zone: a name, an offset, `UTC` or `Z`.
///
/// # Errors
/// [`UnknownZone`] for other text.
pub fn parse_zone(text: &str) -> Result<TimeZone, UnknownZone> {
    let unknown = || UnknownZone(text.to_owned());
    match text {
        "Z" | "z" => Ok(TimeZone::UTC),
        _ if text.eq_ignore_ascii_case("utc") => Ok(TimeZone::UTC),
        _ if text.starts_with(['+', '-']) => {
            let offset = offset(text).ok_or_else(unknown)?;
            Ok(TimeZone::fixed(offset))
        }
        _ => TimeZone::get(text).map_err(|_| unknown()),
    }
}

/// Parses `+08:00`, `+0800` or `+08`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at(1);
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "00"),
    };
    let number = |text: &str, most: i32| {
        let is_good = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i32>().ok().filter(|n| is_good && *n <= most)
    };
    let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

/// The part of a text that is not parsed yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Parses a number of exactly this many digits.
    fn number(&mut self, digits: usize) -> Option<i16> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let is_number = number.bytes().all(|b| b.is_ascii_digit());
        if !is_number {
            return None;
        }
        self.0 = rest;
        number.parse().ok()
    }

    /// Parses one of these characters, if a digit follows.
    fn separator(&mut self, any_of: &[char]) -> bool {
        let rest = self.0.strip_prefix(any_of);
        match rest.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    /// Parses a year and as many smaller fields as there are, then the time zone. Also accepts
    /// times as this program shows them, with a question mark after an assumed time zone.
    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let wrong = InvalidMoment::NotATime;
        let text = text.trim();
        let text = text.strip_suffix('?').unwrap_or(text);
        let mut rest = Rest(text);
        let is_compact = text.len() >= 8 && text.bytes().take(8).all(|b| b.is_ascii_digit());
        let (mut fields, mut unit) = ([0, 1, 1, 0, 0, 0], Unit::Year);
        let all = [
            (Unit::Year, 4, &[][..]),
            (Unit::Month, 2, &['-']),
            (Unit::Day, 2, &['-']),
            (Unit::Hour, 2, &['T', 't', ' ']),
            (Unit::Minute, 2, &[':']),
            (Unit::Second, 2, &[':']),
        ];
        for (index, (field, digits, separators)) in all.into_iter().enumerate() {
            let has_separator = !is_compact || field == Unit::Hour;
            let goes_on = match index {
                0 => true,
                _ if has_separator => rest.separator(separators),
                _ => rest.0.starts_with(|c: char| c.is_ascii_digit()),
            };
            if !goes_on {
                break;
            }
            fields[index] = rest.number(digits).ok_or_else(|| wrong.clone())?;
            unit = field;
        }
        // What starts otherwise is a field that no time has, as in 2018/03/22.
        let is_zone = |c: char| c.is_ascii_alphabetic() || "+-[".contains(c);
        let zone = match rest.0.trim_start_matches(['T', 't', ' ']) {
            _ if rest.0.is_empty() => None,
            zone if !zone.starts_with(is_zone) => return Err(wrong),
            _ => Some(parse_zone(rest.0.trim().trim_matches(['[', ']']))?),
        };
        if is_compact && zone.is_none() {
            return Err(InvalidMoment::FrontOfName(text.to_owned()));
        }
        let [year, month, day, hour, minute, second] = fields;
        let small = |field: i16| i8::try_from(field).unwrap_or(i8::MAX);
        let (month, day) = (small(month), small(day));
        let (hour, minute, second) = (small(hour), small(minute), small(second));
        let start = DateTime::new(year, month, day, hour, minute, second, 0);
        Ok(Self {
            start: start.map_err(|_| wrong)?,
            unit,
            zone,
        })
    }
}

impl Moment {
    /// Returns its first nanosecond. `zone` applies if the text names no time zone.
    pub fn first(&self, zone: &TimeZone) -> Timestamp {
        self.at(self.start, zone).unwrap_or(Timestamp::MIN)
    }

    /// Returns its last nanosecond. `zone` applies if the text names no time zone.
    pub fn last(&self, zone: &TimeZone) -> Timestamp {
        let length = match self.unit {
            Unit::Year => Span::new().years(1),
            Unit::Month => Span::new().months(1),
            Unit::Day => Span::new().days(1),
            Unit::Hour => Span::new().hours(1),
            Unit::Minute => Span::new().minutes(1),
            Unit::Second => Span::new().seconds(1),
        };
        let end = self.start.checked_add(length).ok();
        let end = end.and_then(|end| self.at(end, zone));
        end.and_then(|end| end.checked_sub(Span::new().nanoseconds(1)).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// Where clocks are set back, a local time occurs twice. The earlier one counts.
    fn at(&self, time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        zone.to_timestamp(time).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, first: &str, last: &str) {
        let moment: Moment = text.parse().unwrap();
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let shown = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let both = (shown(moment.first(&zone)), shown(moment.last(&zone)));
        assert_eq!(both, (first.to_owned(), last.to_owned()), "{text}");
    }

    #[test]
    fn a_part_of_a_date_is_all_of_it_in_the_zone_that_is_asked_for() {
        check("2018", "2017-12-31T16:00:00", "2018-12-31T15:59:59");
        check("2018-02", "2018-01-31T16:00:00", "2018-02-28T15:59:59");
        check("2018-03-22", "2018-03-21T16:00:00", "2018-03-22T15:59:59");
        check(
            "2018-03-22T10",
            "2018-03-22T02:00:00",
            "2018-03-22T02:59:59",
        );
        check(
            "2018-03-22 10:04",
            "2018-03-22T02:04:00",
            "2018-03-22T02:04:59",
        );
        check(
            "2018-03-22 10:04:57",
            "2018-03-22T02:04:57",
            "2018-03-22T02:04:57",
        );
    }

    #[test]
    fn a_zone_that_is_named_counts() {
        for text in [
            "2018-03-22T10:04:57Z",
            "2018-03-22 10:04:57Z",
            "2018-03-22 10:04:57Z?",
            "2018-03-22 10:04:57 UTC",
            "2018-03-22 11:04:57+01:00",
            "2018-03-22T11:04:57+0100",
            "2018-03-22T05:04:57-05",
            "2018-03-22T19:04:57[Asia/Tokyo]",
            "2018-03-22 19:04:57 Asia/Tokyo",
            "20180322T100457Z",
        ] {
            check(text, "2018-03-22T10:04:57", "2018-03-22T10:04:57");
        }
        check("2018-03-22Z", "2018-03-22T00:00:00", "2018-03-22T23:59:59");
        check(
            "2018-03-22+01:00",
            "2018-03-21T23:00:00",
            "2018-03-22T22:59:59",
        );
        check("20180322Z", "2018-03-22T00:00:00", "2018-03-22T23:59:59");
    }

    #[test]
    fn a_zone_is_a_name_or_an_offset_and_nothing_near_it() {
        let seconds = |text| {
            let zone = parse_zone(text).ok()?;
            Some(zone.to_offset(Timestamp::UNIX_EPOCH).seconds())
        };
        for (text, expected) in [
            ("utc", Some(0)),
            ("Z", Some(0)),
            ("+08", Some(28_800)),
            ("+0800", Some(28_800)),
            ("-05:30", Some(-19_800)),
            ("+00:59", Some(3540)),
            ("Asia/Tokyo", Some(32_400)),
            ("+8", None),
            ("+080", None),
            ("+080000", None),
            ("+24:00", None),
            ("+08:60", None),
            ("+08:0", None),
            ("+", None),
            ("Asia/Nowhere", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for text in [
            "",
            "now",
            "2018-3-22",
            "2018-03-22 1",
            "2018-03-22 10:4",
            "2018-03 10:00",
            "22.03.2018",
            "2018/03/22",
            "2018-03-22_10",
            "T10:00",
            "2018-02-30",
            "2018-03-22T24:00",
            "2018-03-22T10:04:57.5",
            "201",
            "20189",
            "2018-03-22T10:04:5",
            "2018-03-22T10:04:577",
            "2018-13",
        ] {
            let read = text.parse::<Moment>();
            assert_eq!(read, Err(InvalidMoment::NotATime), "{text:?}");
        }
        for text in ["20180322", "20180322T10", "20180322T100457"] {
            let read = text.parse::<Moment>();
            assert_eq!(read, Err(InvalidMoment::FrontOfName(text.into())));
        }
        for text in [
            "2018-03-22 PRC8",
            "2018-03-22T10:04+8",
            "2018-03-22T10:04+24:00",
            "2018 -x",
        ] {
            let read = text.parse::<Moment>();
            assert!(
                matches!(read, Err(InvalidMoment::Zone(_))),
                "{text} {read:?}"
            );
        }
    }

    #[test]
    fn times_at_the_ends_of_the_calendar_are_no_panic() {
        for text in [
            "9999",
            "0000",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:00",
        ] {
            let moment: Moment = text.parse().unwrap();
            assert!(
                moment.first(&TimeZone::UTC) <= moment.last(&TimeZone::UTC),
                "{text}"
            );
        }
    }
}
