//! Times for people: one clock for all of them, and each says its zone.

use std::str::FromStr;

use anyhow::Result;
use ecs_console_archiver::archive::reader::Selector;
use ecs_console_archiver::model::moment::{self, InvalidMoment, Moment};
use ecs_console_archiver::model::update_time::UpdatedAt;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// `2018-03-22 02:04:57Z`, or `2018-03-22 10:04:57+08:00`.
pub fn shown(time: Timestamp, zone: &TimeZone) -> String {
    let time = ZonedDateTime::new(time, zone.clone());
    let format = match *zone == TimeZone::UTC {
        true => "%Y-%m-%d %H:%M:%SZ",
        false => "%Y-%m-%d %H:%M:%S%:z",
    };
    time.strftime(format).to_string()
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
    Moment(Moment),
}

impl FromStr for AtArgument {
    type Err = InvalidAt;

    fn from_str(text: &str) -> Result<Self, InvalidAt> {
        match Selector::name(text) {
            Some(name) => Ok(Self::Name(name)),
            None => Ok(Self::Moment(text.parse()?)),
        }
    }
}

/// Neither a name nor a moment.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidAt {
    #[error("{0}, or a record's name such as 20180322T100457-0123456789ab")]
    NotATime(InvalidMoment),
    #[error(transparent)]
    Other(InvalidMoment),
}

impl From<InvalidMoment> for InvalidAt {
    fn from(error: InvalidMoment) -> Self {
        match error {
            InvalidMoment::NotATime => Self::NotATime(error),
            error => Self::Other(error),
        }
    }
}

impl AtArgument {
    pub fn at(&self, zone: &TimeZone) -> Selector {
        match self {
            Self::Name(name) => name.clone(),
            Self::Moment(moment) => Selector::NotAfter(moment.last(zone)),
        }
    }
}
