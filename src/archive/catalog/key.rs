//! The catalog's days, and the keys of their joined rows.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

use crate::archive::key::ShortDigest;

/// Prefix of the keys of single rows.
pub const ROWS_PREFIX: &str = "catalog/rows/";
/// Prefix of the keys of whole days.
pub const DAYS_PREFIX: &str = "catalog/days/";

/// An object that says that the catalog has everything that was stored before it: it was rebuilt. It sorts
/// before all days.
pub const COMPLETE_KEY: &str = "catalog/days/complete.json";

/// Before the day: the form in which engines of SQL know partitions.
const DAY_IS: &str = "dt=";
const DAY_SUFFIX: &str = ".jsonl.gz";

/// A folder of the catalog.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogFolder {
    /// All of it, or all of its rows or days.
    Whole,
    /// The rows of this day, or its joined rows.
    Of(Day),
}

#[cfg(feature = "cli")]
impl CatalogFolder {
    /// Parses the path of a folder, below the archive's prefix. `None` if it is none of the catalog.
    pub fn parse(path: &str) -> Option<Self> {
        let below = path.strip_prefix("catalog")?;
        match below {
            "" | "/rows" | "/days" => Some(Self::Whole),
            _ => {
                let of_day = path.strip_prefix(ROWS_PREFIX);
                let of_day = of_day.or_else(|| path.strip_prefix(DAYS_PREFIX))?;
                Day::parse(of_day).map(Self::Of)
            }
        }
    }
}

/// A UTC day of capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub Date);

impl Day {
    /// The day in which this moment is.
    pub fn of(time: Timestamp) -> Self {
        Self(Offset::UTC.to_datetime(time).date())
    }

    /// Its first moment.
    pub fn begin(self) -> Timestamp {
        let begin = self.0.to_datetime(Time::midnight());
        Offset::UTC.to_timestamp(begin).unwrap_or(Timestamp::MAX)
    }

    /// The first moment of the next day.
    pub fn end(self) -> Timestamp {
        self.0
            .tomorrow()
            .map_or(Timestamp::MAX, |next| Self(next).begin())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let day = Self(text.strip_prefix(DAY_IS)?.parse().ok()?);
        (day.to_string() == text).then_some(day)
    }

    /// Prefix of the keys of this day's rows.
    pub fn rows_prefix(self) -> String {
        format!("{ROWS_PREFIX}{self}/")
    }

    /// Prefix of the keys of this day's joined rows.
    pub fn days_prefix(self) -> String {
        format!("{DAYS_PREFIX}{self}/")
    }
}

/// As in keys: `dt=2026-11-25`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DAY_IS}{}", self.0)
    }
}

/// Key of a day's joined rows: `catalog/days/dt={day}/{digest}.jsonl.gz`. The digest is of the uncompressed
/// lines, so the same rows always have the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayKey {
    /// The day.
    pub day: Day,
    /// Digest of the lines.
    pub digest: ShortDigest,
}

impl fmt::Display for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{DAY_SUFFIX}", self.day.days_prefix(), self.digest)
    }
}

impl DayKey {
    pub(super) fn parse(object_key: &str) -> Option<Self> {
        let (day, name) = object_key.strip_prefix(DAYS_PREFIX)?.split_once('/')?;
        Some(Self {
            day: Day::parse(day)?,
            digest: ShortDigest::parse(name.strip_suffix(DAY_SUFFIX)?)?,
        })
    }
}
