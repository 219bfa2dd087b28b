//! Times for people: one clock for all of them, and each says its zone.

use std::str::FromStr;

use anyhow::Result;
use ecs_console_archiver::archive::reader::Selector;
use ecs_console_archiver::model::moment::{self, InvalidMoment, Moment};
use ecs_console_archiver::model::update_time::UpdatedAt;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, ZonedDateTime};

/// `2018-03-22 02:04:57Z`, or `2018-03-22 10:04:57+08:00`.
pub fn shown(time: Timestamp, zone: &TimeZone) -> String {
    shown_as(time, zone, "%Y-%m-%d %H:%M:%S")
}

/// `2018-03-22 02:04:57.123Z`.
pub fn shown_to_millis(time: Timestamp, zone: &TimeZone) -> String {
    shown_as(time, zone, "%Y-%m-%d %H:%M:%S.%3f")
}

fn shown_as(time: Timestamp, zone: &TimeZone, format: &str) -> String {
    let time = ZonedDateTime::new(time, zone.clone());
    let of_zone = if *zone == TimeZone::UTC { "Z" } else { "%:z" };
    time.strftime(&format!("{format}{of_zone}")).to_string()
}

/// Characters of a time that [`shown`] shows.
pub fn width(zone: &TimeZone) -> usize {
    shown(Timestamp::UNIX_EPOCH, zone).len()
}

/// With a question mark where the zone is that of ECS's documents and not proven.
pub fn shown_update(time: UpdatedAt, zone: &TimeZone) -> String {
    let mark = if time.is_certain { "" } else { "?" };
    shown(time.time, zone) + mark
}

/// What `--time-zone` takes: a zone, or `local` for that of this machine.
pub fn parse_zone(text: &str) -> Result<TimeZone, Box<dyn std::error::Error + Send + Sync>> {
    match text {
        "local" => Ok(TimeZone::try_system()?),
        zone => Ok(moment::parse_zone(zone)?),
    }
}

/// What `--at` takes.
#[derive(Debug, Clone)]
pub enum AtArgument {
    Name(Selector),
    Time(Bound),
}

impl FromStr for AtArgument {
    type Err = InvalidAt;

    fn from_str(text: &str) -> Result<Self, InvalidAt> {
        match Selector::name(text) {
            Some(name) => Ok(Self::Name(name)),
            None => Ok(Self::Time(text.parse()?)),
        }
    }
}

/// What `--since` and `--until` take: a moment, or one by its distance from now.
#[derive(Debug, Clone)]
pub enum Bound {
    Moment(Moment),
    /// `now`, `-1h`, `+5m`, `7d` for so long ago.
    FromNow(Span),
    /// `today`, `yesterday`, `tomorrow`: by so many days from today.
    Day(i64),
    /// A time of today.
    TimeOfDay(Time, Unit),
}

impl FromStr for Bound {
    type Err = InvalidBound;

    fn from_str(text: &str) -> Result<Self, InvalidBound> {
        let text = text.trim();
        match text {
            "now" => return Ok(Self::FromNow(Span::new())),
            "yesterday" => return Ok(Self::Day(-1)),
            "today" => return Ok(Self::Day(0)),
            "tomorrow" => return Ok(Self::Day(1)),
            _ => {}
        }
        for (format, unit) in [("%H:%M:%S", Unit::Second), ("%H:%M", Unit::Minute)] {
            if let Ok(time) = Time::strptime(format, text) {
                return Ok(Self::TimeOfDay(time, unit));
            }
        }
        if text.starts_with(['-', '+']) || text.ends_with(" ago") {
            let span = text
                .parse()
                .map_err(|_| InvalidBound::Distance(text.to_owned()));
            return Self::from_now(span?, text);
        }
        // As `--keep-within` takes it.
        let is_span = text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_alphabetic());
        match text.parse() {
            Ok(moment) => Ok(Self::Moment(moment)),
            Err(error) => match text.parse::<Span>() {
                Ok(span) if is_span => Self::from_now(-span, text),
                _ => Err(error.into()),
            },
        }
    }
}

/// Neither a moment nor a distance from now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidBound {
    #[error("{0}, or 10:04, today, yesterday, now or -1h")]
    NotATime(InvalidMoment),
    #[error("{0:?} is not a distance from now; expected one such as -1h or -90m")]
    Distance(String),
    #[error("{0:?} leads out of the years 1 to 9998; expected one such as -1h or -90m")]
    OutOfRange(String),
    #[error(transparent)]
    Other(InvalidMoment),
}

impl From<InvalidMoment> for InvalidBound {
    fn from(error: InvalidMoment) -> Self {
        match error {
            InvalidMoment::NotATime => Self::NotATime(error),
            error => Self::Other(error),
        }
    }
}

/// A distance from now leads to one of these. No clock says others, and what is reckoned from them stays a time.
const YEARS: std::ops::RangeInclusive<i16> = 1..=9998;

impl Bound {
    fn from_now(span: Span, text: &str) -> Result<Self, InvalidBound> {
        let then = ZonedDateTime::new(Timestamp::now(), TimeZone::UTC).checked_add(span);
        match then {
            Ok(then) if YEARS.contains(&then.year()) => Ok(Self::FromNow(span)),
            _ => Err(InvalidBound::OutOfRange(text.to_owned())),
        }
    }

    /// Its first nanosecond. `zone` applies to what names no zone.
    pub fn first(&self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        self.ends(now, zone)
            .map_or(Timestamp::MIN, |(first, _)| first)
    }

    /// Its last nanosecond: a day, an hour or a minute counts to its end.
    pub fn last(&self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        self.ends(now, zone)
            .map_or(Timestamp::MAX, |(_, last)| last)
    }

    fn ends(&self, now: Timestamp, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let now = ZonedDateTime::new(now, zone.clone());
        let (begin, length) = match self {
            Self::Moment(moment) => return Some((moment.first(zone), moment.last(zone))),
            Self::FromNow(span) => {
                let time = now.checked_add(*span).ok()?.timestamp();
                return Some((time, time));
            }
            Self::Day(days) => (
                now.start_of_day()
                    .ok()?
                    .checked_add(Span::new().days(*days))
                    .ok()?,
                Span::new().days(1),
            ),
            Self::TimeOfDay(time, unit) => {
                let length = match unit {
                    Unit::Minute => Span::new().minutes(1),
                    _ => Span::new().seconds(1),
                };
                (
                    ZonedDateTime::new(
                        zone.to_timestamp(now.date().to_datetime(*time)).ok()?,
                        zone.clone(),
                    ),
                    length,
                )
            }
        };
        let end = begin.checked_add(length).ok()?;
        Some((
            begin.timestamp(),
            end.timestamp()
                .checked_sub(Span::new().nanoseconds(1))
                .ok()?,
        ))
    }
}

/// The times from `--since` to `--until`.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Period {
    pub fn of(since: Option<&Bound>, until: Option<&Bound>, zone: &TimeZone) -> Self {
        let now = Timestamp::now();
        Self {
            since: since.map(|bound| bound.first(now, zone)),
            until: until.map(|bound| bound.last(now, zone)),
        }
    }

    /// Whether it ends before it begins.
    pub fn is_empty(self) -> bool {
        let both = self.since.zip(self.until);
        both.is_some_and(|(since, until)| since > until)
    }

    /// Whether any time is left out.
    pub fn is_bounded(self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    pub fn contains(self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time <= until)
    }
}

/// Neither a name nor a time.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidAt {
    #[error("{0}, or a record's name such as 20180322T100457-0123456789ab")]
    NotATime(InvalidBound),
    #[error(transparent)]
    Other(InvalidBound),
}

impl From<InvalidBound> for InvalidAt {
    fn from(error: InvalidBound) -> Self {
        match error {
            InvalidBound::NotATime(_) => Self::NotATime(error),
            error => Self::Other(error),
        }
    }
}

impl AtArgument {
    pub fn at(&self, zone: &TimeZone) -> Selector {
        match self {
            Self::Name(name) => name.clone(),
            Self::Time(time) => Selector::NotAfter(time.last(Timestamp::now(), zone)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From and to, at half past noon of a Thursday in Shanghai.
    fn ends(text: &str) -> (String, String) {
        let bound: Bound = text.parse().unwrap();
        let (now, zone) = (
            "2018-03-22T04:30:15Z".parse().unwrap(),
            parse_zone("+08:00").unwrap(),
        );
        let shown = |time: Timestamp| shown(time, &zone).replace("+08:00", "");
        (
            shown(bound.first(now, &zone)),
            shown(bound.last(now, &zone)),
        )
    }

    #[test]
    fn bounds_are_what_journalctl_takes() {
        for (text, first, last) in [
            ("now", "2018-03-22 12:30:15", "2018-03-22 12:30:15"),
            ("-1h", "2018-03-22 11:30:15", "2018-03-22 11:30:15"),
            ("+90m", "2018-03-22 14:00:15", "2018-03-22 14:00:15"),
            ("2 days ago", "2018-03-20 12:30:15", "2018-03-20 12:30:15"),
            ("2d", "2018-03-20 12:30:15", "2018-03-20 12:30:15"),
            ("90m", "2018-03-22 11:00:15", "2018-03-22 11:00:15"),
            ("yesterday", "2018-03-21 00:00:00", "2018-03-21 23:59:59"),
            ("today", "2018-03-22 00:00:00", "2018-03-22 23:59:59"),
            ("tomorrow", "2018-03-23 00:00:00", "2018-03-23 23:59:59"),
            ("10:04", "2018-03-22 10:04:00", "2018-03-22 10:04:59"),
            ("10:04:57", "2018-03-22 10:04:57", "2018-03-22 10:04:57"),
            ("2018-03-01", "2018-03-01 00:00:00", "2018-03-01 23:59:59"),
            (
                "2018-03-22 10:04Z",
                "2018-03-22 18:04:00",
                "2018-03-22 18:04:59",
            ),
        ] {
            assert_eq!(ends(text), (first.to_owned(), last.to_owned()), "{text}");
        }
        for text in [
            "", "-", "-1", "+x", "25:00", "ago", "noon", "7", "7x", "P7D",
        ] {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }

    #[test]
    fn distances_that_lead_out_of_all_times_are_refused() {
        for text in [
            "-4392369d",
            "-4392360d",
            "4392369d",
            "+2920000d",
            "-9999y",
            "9000 years ago",
        ] {
            let refused = text.parse::<Bound>().map(|_| ()).unwrap_err();
            assert!(
                matches!(refused, InvalidBound::OutOfRange(_)),
                "{text}: {refused}"
            );
        }
        for text in ["-2000y", "+7900y", "0000-01-01", "9999-12-31"] {
            text.parse::<Bound>().unwrap();
        }
    }
}
