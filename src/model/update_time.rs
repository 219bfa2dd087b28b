//! `LastUpdateTime` as ECS reports it → the digits of a key, and a moment.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// Second (or minute) at which ECS last updated the console output it caches.
///
/// Unit: wall clock, as reported. Zone: none claimed. The sources disagree: the model comments of
/// the Python SDK (7.11.8) say UTC+8 and the last printed kernel line, older API pages say UTC and
/// the last start. Every sample seen is like `2018-03-22 10:04:57`. So the digits are kept as they
/// came. The record's metadata has the whole text, so that it can be read better later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateTime {
    wall_clock: DateTime,
    has_seconds: bool,
}

/// The text has no known form of `LastUpdateTime`. The caller keeps the record as undated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time in any form ECS is known to use")]
pub struct InvalidTime;

impl UpdateTime {
    /// Parses the forms that occur in documents, SDKs and events: a date and a time of day,
    /// separated by a space or `T`. Seconds are optional, and so is the punctuation. A fraction and
    /// a time zone (`Z`, `PRC`, `+08:00`, `+0800`) may follow, and are dropped.
    ///
    /// # Errors
    /// [`InvalidTime`] for other text, and for days and times that do not exist.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        Self::parse_with_zone(text).map(|(time, _)| time)
    }

    /// Parses the time. Returns it with the rest of the text, which is empty or a time zone.
    fn parse_with_zone(text: &str) -> Result<(Self, &str), InvalidTime> {
        let text = text.trim();
        let (date, rest) = text.split_once(['T', ' ']).ok_or(InvalidTime)?;
        let clock_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != ':')
            .unwrap_or(rest.len());
        let (clock, tail) = rest.split_at(clock_end);
        let zone = zone(tail).ok_or(InvalidTime)?;
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
        let time = Self {
            wall_clock,
            has_seconds,
        };
        Ok((time, zone))
    }

    /// Whether a console updated at `text` can show what happened at `event`. `None` if the text is
    /// unreadable. `now` is when the text was received.
    ///
    /// The newest documents read a time without a zone as UTC+8, and older ones as UTC. One of them
    /// says that a time that ends in `Z` is in UTC+8. So it is read as UTC+8. It is read as UTC
    /// instead if the console was then updated soon after the event, and not in the future.
    pub fn can_show(text: &str, event: Timestamp, now: Timestamp) -> Option<bool> {
        let (time, zone) = Self::parse_with_zone(text).ok()?;
        // The time is rounded down to its second or minute, so its last moment counts.
        let rounded = SignedDuration::from_secs(if time.has_seconds { 1 } else { 60 });
        let read = |offset: Offset| {
            let start = offset.to_timestamp(time.wall_clock).ok()?;
            Some(later(start, rounded))
        };
        let said = match zone {
            "" | "Z" | "PRC" => BEIJING,
            _ => offset(zone)?,
        };
        let is_utc = matches!(zone, "" | "Z")
            && read(Offset::UTC).is_some_and(|end| {
                let soonest = later(event, MAX_FOLLOW).min(now);
                end > event && end <= later(soonest, MAX_CLOCK_SKEW)
            });
        Some(is_utc || read(said).is_some_and(|end| end > event))
    }
}

/// When a console was last updated, as a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdatedAt {
    /// Read as UTC+8 if ECS named no zone, as the newest documents say.
    pub time: Timestamp,
    /// Whether no other zone is possible. ECS names none, and older documents say UTC. But a time
    /// that in UTC is later than the capture is not in UTC.
    pub is_certain: bool,
}

impl UpdatedAt {
    /// Reads the time in a record's key, which has no zone. `seen_at` is when the console was
    /// captured or stored. `None` for times outside of the representable range.
    pub fn of(reported: UpdateTime, seen_at: Timestamp) -> Option<Self> {
        let time = BEIJING.to_timestamp(reported.wall_clock).ok()?;
        let as_utc = Offset::UTC.to_timestamp(reported.wall_clock).ok();
        let is_later = |time: Timestamp| time > later(seen_at, MAX_CLOCK_SKEW);
        Some(Self {
            time,
            is_certain: as_utc.is_none_or(is_later) && !is_later(time),
        })
    }

    /// Reads the text that ECS sent. A zone in it counts, except `Z`: one document says that a time
    /// that ends in `Z` is in UTC+8.
    pub fn parse(text: &str, seen_at: Timestamp) -> Option<Self> {
        let (reported, zone) = UpdateTime::parse_with_zone(text).ok()?;
        match zone {
            "" | "Z" => Self::of(reported, seen_at),
            zone => {
                let offset = if zone == "PRC" {
                    BEIJING
                } else {
                    offset(zone)?
                };
                let time = offset.to_timestamp(reported.wall_clock).ok()?;
                Some(Self {
                    time,
                    is_certain: true,
                })
            }
        }
    }
}

/// UTC+8, the time zone of `LastUpdateTime` in the newest documents.
const BEIJING: Offset = Offset::constant(8);

/// Longest time for which an event is followed.
const MAX_FOLLOW: SignedDuration = SignedDuration::from_hours(1);
/// Assumed limit of the difference between the clocks of ECS and of this machine. A time less than
/// this ahead is not in the future.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// Adds, and stops at the end of the range. An event or an answer may name any time.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The form in keys: `20180322T100457`, or `20180322T1004` if ECS reported no seconds.
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

/// The digits of `text`. Its fields have these `widths`, and are separated by `separator`
/// everywhere or nowhere.
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

/// The zone in the text after the time of day. That is empty, a fraction, a zone, or both.
fn zone(tail: &str) -> Option<&str> {
    let zone = match tail.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return None;
            }
            zone
        }
        None => tail,
    };
    let known = match zone {
        "" | "Z" | "PRC" => true,
        _ => zone
            .strip_prefix(['+', '-'])
            .is_some_and(|offset| digits(offset, &[2, 2], ':').is_ok()),
    };
    known.then_some(zone)
}

/// Parses `+08:00` or `+0800`.
fn offset(zone: &str) -> Option<Offset> {
    let digits = digits(zone.get(1..)?, &[2, 2], ':').ok()?;
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits[2..].parse().ok()?;
    let seconds = hours * 3600 + minutes * 60;
    Offset::from_seconds(if zone.starts_with('-') {
        -seconds
    } else {
        seconds
    })
    .ok()
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

    #[track_caller]
    fn check_shows(reported: &str, event: &str, shows: Option<bool>) {
        let now = "2018-03-22T02:20:00Z".parse().unwrap();
        let given = UpdateTime::can_show(reported, event.parse().unwrap(), now);
        assert_eq!(given, shows, "{reported} {event}");
    }

    #[test]
    fn a_console_shows_what_happened_before_it_was_updated() {
        let event = "2018-03-22T02:04:57.9Z";
        for reported in [
            "2018-03-22 10:04:57",
            "2018-03-22 10:05:00",
            "2018-03-22T10:04:57Z",
            "2018-03-22T10:04Z",
            "2018-03-22T02:05:00Z",
            "2018-03-22 02:05:00",
            "2018-03-22T10:05:00PRC",
            "2018-03-22T10:05:00.5+08:00",
            "2018-03-21T21:05:00-0500",
        ] {
            check_shows(reported, event, Some(true));
        }
        for reported in [
            "2018-03-22 10:04:56",
            "2018-03-22T10:03Z",
            "2018-03-22T02:04:56Z",
            "2018-03-22T02:05:00PRC",
            "2018-03-22T02:05:00+08:00",
        ] {
            check_shows(reported, event, Some(false));
        }
        check_shows("", event, None);
        check_shows("yesterday", event, None);
    }

    #[test]
    fn a_reading_in_the_future_does_not_count() {
        // In UTC it is 7 hours ahead of now; in UTC+8 it is before the event.
        check_shows("2018-03-22 09:20:00", "2018-03-22T01:30:00Z", Some(false));
        check_shows("2018-03-22 09:40:00", "2018-03-22T01:30:00Z", Some(true));
    }

    #[test]
    fn of_an_event_long_past_a_reading_in_utc_does_not_count() {
        check_shows("2018-03-21 20:00:00", "2018-03-21T12:10:00Z", Some(false));
        check_shows("2018-03-21 20:20:00", "2018-03-21T12:10:00Z", Some(true));
        check_shows("2018-03-21 12:20:00", "2018-03-21T12:10:00Z", Some(true));
    }

    #[test]
    fn the_end_of_time_is_a_time_like_any_other() {
        let end = &Timestamp::MAX.to_string();
        check_shows("2018-03-22 10:04:57", end, Some(false));
        check_shows("9999-12-30 22:00:00", end, Some(false));
        check_shows("9999-12-31T06:00:00", end, Some(false));
        check_shows("9999-12-31T05:59:59", "2018-03-22T02:04:57Z", Some(true));
        check_shows("9999-12-31T06:00+08:00", "2018-03-22T02:04:57Z", Some(true));
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

    #[test]
    fn a_time_is_certain_where_no_other_zone_can_be_meant() {
        for (text, seen_at, time, is_certain) in [
            // As a time of UTC it would be later than it was seen.
            ("2018-03-22 10:04:57", "02:06:00", "02:04:57", true),
            ("2018-03-22 10:04:57", "09:49:56", "02:04:57", true),
            // Clocks differ by minutes.
            ("2018-03-22 10:04:57", "09:49:57", "02:04:57", false),
            ("2018-03-22 10:04:57", "23:00:00", "02:04:57", false),
            ("2018-03-22T10:04:57Z", "23:00:00", "02:04:57", false),
            // It is later than it was seen by either.
            ("2018-03-22 10:04:57", "01:00:00", "02:04:57", false),
            // A zone that is named counts.
            ("2018-03-22T10:04:57+01:30", "23:00:00", "08:34:57", true),
            ("2018-03-22T10:04:57-0100", "23:00:00", "11:04:57", true),
            ("2018-03-22T10:04:57PRC", "23:00:00", "02:04:57", true),
        ] {
            let moment = |time| format!("2018-03-22T{time}Z").parse().unwrap();
            let time = moment(time);
            let expected = Some(UpdatedAt { time, is_certain });
            let read = UpdatedAt::parse(text, moment(seen_at));
            assert_eq!(read, expected, "{text} at {seen_at}");
        }
        assert_eq!(UpdatedAt::parse("yesterday", Timestamp::UNIX_EPOCH), None);
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
                let now = Timestamp::UNIX_EPOCH;
                proptest::prop_assert!(UpdateTime::can_show(&text, now, now).is_some());
            }
        }
    }
}
