//! What of an archive is verified: which instances, since when, which part of the bytes.

use jiff::{SignedDuration, Timestamp};

use crate::archive::instances::Instances;
use crate::archive::record::facts::earlier;
use crate::model::ids::InstanceId;

/// One of so many parts of the archive, by its objects' keys. All parts together are the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 1 on.
    number: u32,
    of: u32,
}

/// Not a part of a whole.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a part; expected one such as 1/7")]
pub struct InvalidPart(String);

impl std::str::FromStr for Part {
    type Err = InvalidPart;

    fn from_str(text: &str) -> Result<Self, InvalidPart> {
        let invalid = || InvalidPart(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(invalid)?;
        let parse = |text: &str| text.parse().map_err(|_| invalid());
        let (number, of) = (parse(number)?, parse(of)?);
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(invalid()),
        }
    }
}

impl Part {
    pub(super) fn includes(self, key: &str) -> bool {
        let mut crc = flate2::Crc::new();
        crc.update(key.as_bytes());
        crc.sum() % self.of == self.number - 1
    }
}

/// What is verified.
#[derive(Default)]
pub struct Scope<'a> {
    /// Only what was captured or stored since.
    pub since: Option<Timestamp>,
    /// Only of these instances, and nothing that is of none.
    pub instances: Option<Instances<'a>>,
    /// Only the bytes of this part are read. What is missing is found all the same.
    pub part: Option<Part>,
    /// No bytes are read but those of the catalog's days.
    pub is_quick: bool,
    /// Older records may be gone: a lifecycle rule removes them.
    pub retention: Option<SignedDuration>,
    /// Nothing is compared with the catalog.
    pub ignores_catalog: bool,
}

impl Scope<'_> {
    pub(super) fn includes(&self, id: Option<&InstanceId>) -> bool {
        match (&self.instances, id) {
            (None, _) => true,
            (Some(instances), Some(id)) => (instances.includes)(id),
            (Some(_), None) => false,
        }
    }

    /// Whether something of this time is asked for. `margin`: or a little earlier.
    pub(super) fn is_since(&self, time: Timestamp, margin: SignedDuration) -> bool {
        let since = self.since.map(|since| earlier(since, margin));
        since.is_none_or(|since| time >= since)
    }

    /// Whether a lifecycle rule may have removed what was stored then.
    pub(super) fn may_have_expired(&self, time: Timestamp, now: Timestamp) -> bool {
        let retention = self.retention;
        retention.is_some_and(|retention| time < earlier(now, retention))
    }
}
