//! The keys of what notifications remember: who showed a signature, how many that were, what is to be told, and what
//! was told to whom.
//!
//! Each object is created once, and never replaced or removed by this program. So any number of functions write them
//! at once, and the first to create a notice is the one that sends it.

use std::fmt;

use jiff::civil::Date;

use crate::archive::key::{ConsoleDigest, ShortDigest};
use crate::model::ids::InstanceId;

/// Prefix of all of them. It is not a valid instance ID.
pub const NOTICES_PREFIX: &str = "notices/";
/// Prefix of the notices themselves, and of what became of them.
pub const OUTBOX_PREFIX: &str = "notices/outbox/";
const SEEN_PREFIX: &str = "notices/seen/";
const TOLD_PREFIX: &str = "notices/told/";
const LEVELS_PREFIX: &str = "notices/levels/";
const SUFFIX: &str = ".json";

/// Names one notice: the day and the signature it is about, and how many instances had shown it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoticeId {
    /// UTC day on which the instances showed it.
    pub day: Date,
    /// Digest of the signature.
    pub signature: ShortDigest,
    /// The number of instances that it was told for: 1, 10, 100 or 1000.
    pub level: u32,
}

/// As receivers know it, for each attempt to send it: `notice_20261201_0123456789ab_0010`.
impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.day.strftime("%Y%m%d");
        write!(f, "notice_{day}_{}_{:04}", self.signature, self.level)
    }
}

/// What an object below [`NOTICES_PREFIX`] says by being there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKey {
    /// `notices/seen/{signature}/{day}/{instance_id}.json`: an instance showed a signature on that day.
    Seen {
        /// Digest of the signature.
        signature: ShortDigest,
        /// UTC day.
        day: Date,
        /// The instance.
        instance_id: InstanceId,
    },
    /// `notices/levels/{signature}/{day}-{level}.json`: so many instances showed it on that day.
    Level {
        /// Digest of the signature.
        signature: ShortDigest,
        /// UTC day.
        day: Date,
        /// 1, 10, 100 or 1000.
        level: u32,
    },
    /// `notices/outbox/{day}/{signature}-{level}.json`: what is to be told. Who creates it sends it.
    Notice(NoticeId),
    /// `….{target}.sent.json`: a receiver has it.
    Sent(NoticeId, ShortDigest),
    /// `….{target}.try-{number}.json`: somebody sends it once more. Who creates it does.
    Attempt(NoticeId, ShortDigest, u32),
    /// `….{target}.given-up.json`: nobody sends it any more.
    GivenUp(NoticeId, ShortDigest),
    /// `….held-back.json`: nobody sends it, because others were told that day already.
    HeldBack(NoticeId),
    /// `notices/told/{day}/{number}.json`: so many notices were told on that day.
    Told {
        /// UTC day on which they were told.
        day: Date,
        /// 1 for the first.
        number: u32,
    },
    /// `notices/told/{day}/{instance_id}-{number}.json`: the one with this number is of this instance.
    ToldOf {
        /// UTC day on which it was told.
        day: Date,
        /// The instance.
        instance_id: InstanceId,
        /// That of [`Told`](Self::Told).
        number: u32,
    },
}

/// Digest of a signature, for keys: signatures have characters that keys do not.
pub fn signature_digest(signature: &str) -> ShortDigest {
    ConsoleDigest::of(signature.as_bytes()).short()
}

/// Prefix of the keys of the instances that showed a signature on a day.
pub fn seen_prefix(signature: &ShortDigest, day: Date) -> String {
    format!("{SEEN_PREFIX}{signature}/{day}/")
}

/// Prefix of the keys of a signature's levels.
pub fn levels_prefix(signature: &ShortDigest) -> String {
    format!("{LEVELS_PREFIX}{signature}/")
}

/// Sorts before all levels of a signature since this day.
pub fn levels_since(signature: &ShortDigest, day: Date) -> String {
    format!("{LEVELS_PREFIX}{signature}/{day}")
}

/// Prefix of the keys that say how many notices were told on a day, and of which instances.
pub fn told_prefix(day: Date) -> String {
    format!("{TOLD_PREFIX}{day}/")
}

/// Prefix of the notices of a day, and of what became of them.
pub fn outbox_prefix(day: Date) -> String {
    format!("{OUTBOX_PREFIX}{day}/")
}

/// Sorts before all notices since this day.
pub fn outbox_since(day: Date) -> String {
    format!("{OUTBOX_PREFIX}{day}")
}

impl NoticeKey {
    /// Parses an object key. `None` if it is none of these.
    pub fn parse(object_key: &str) -> Option<Self> {
        let key = Self::parse_loosely(object_key.strip_suffix(SUFFIX)?)?;
        (key.to_string() == object_key).then_some(key)
    }

    fn parse_loosely(name: &str) -> Option<Self> {
        if let Some(name) = name.strip_prefix(SEEN_PREFIX) {
            let mut parts = name.splitn(3, '/');
            return Some(Self::Seen {
                signature: ShortDigest::parse(parts.next()?)?,
                day: parts.next()?.parse().ok()?,
                instance_id: InstanceId::parse(parts.next()?).ok()?,
            });
        }
        if let Some(name) = name.strip_prefix(LEVELS_PREFIX) {
            let (signature, name) = name.split_once('/')?;
            let (day, level) = name.rsplit_once('-')?;
            return Some(Self::Level {
                signature: ShortDigest::parse(signature)?,
                day: day.parse().ok()?,
                level: level.parse().ok()?,
            });
        }
        if let Some(name) = name.strip_prefix(TOLD_PREFIX) {
            let (day, name) = name.split_once('/')?;
            let day = day.parse().ok()?;
            return Some(match name.rsplit_once('-') {
                None => Self::Told {
                    day,
                    number: name.parse().ok()?,
                },
                Some((instance_id, number)) => Self::ToldOf {
                    day,
                    instance_id: InstanceId::parse(instance_id).ok()?,
                    number: number.parse().ok()?,
                },
            });
        }
        let (day, name) = name.strip_prefix(OUTBOX_PREFIX)?.split_once('/')?;
        let mut parts = name.split('.');
        let (signature, level) = parts.next()?.split_once('-')?;
        let id = NoticeId {
            day: day.parse().ok()?,
            signature: ShortDigest::parse(signature)?,
            level: level.parse().ok()?,
        };
        let Some(target) = parts.next() else {
            return Some(Self::Notice(id));
        };
        if target == "held-back" && parts.next().is_none() {
            return Some(Self::HeldBack(id));
        }
        let target = ShortDigest::parse(target)?;
        match (parts.next()?, parts.next()) {
            ("sent", None) => Some(Self::Sent(id, target)),
            ("given-up", None) => Some(Self::GivenUp(id, target)),
            (attempt, None) => {
                let number = attempt.strip_prefix("try-")?.parse().ok()?;
                Some(Self::Attempt(id, target, number))
            }
            _ => None,
        }
    }
}

impl fmt::Display for NoticeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_notice = |f: &mut fmt::Formatter<'_>, id: &NoticeId| {
            let NoticeId {
                day,
                signature,
                level,
            } = id;
            write!(f, "{OUTBOX_PREFIX}{day}/{signature}-{level:04}")
        };
        match self {
            Self::Seen {
                signature,
                day,
                instance_id,
            } => write!(f, "{SEEN_PREFIX}{signature}/{day}/{instance_id}")?,
            Self::Level {
                signature,
                day,
                level,
            } => write!(f, "{LEVELS_PREFIX}{signature}/{day}-{level:04}")?,
            Self::Notice(id) => of_notice(f, id)?,
            Self::Sent(id, target) => {
                of_notice(f, id)?;
                write!(f, ".{target}.sent")?;
            }
            Self::Attempt(id, target, number) => {
                of_notice(f, id)?;
                write!(f, ".{target}.try-{number}")?;
            }
            Self::GivenUp(id, target) => {
                of_notice(f, id)?;
                write!(f, ".{target}.given-up")?;
            }
            Self::HeldBack(id) => {
                of_notice(f, id)?;
                f.write_str(".held-back")?;
            }
            Self::Told { day, number } => write!(f, "{TOLD_PREFIX}{day}/{number:04}")?,
            Self::ToldOf {
                day,
                instance_id,
                number,
            } => write!(f, "{TOLD_PREFIX}{day}/{instance_id}-{number:04}")?,
        }
        f.write_str(SUFFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_read_as_it_is_written() {
        for key in [
            "notices/seen/0123456789ab/2026-12-01/i-a1.json",
            "notices/levels/0123456789ab/2026-12-01-0001.json",
            "notices/outbox/2026-12-01/0123456789ab-1000.json",
            "notices/outbox/2026-12-01/0123456789ab-0010.ba9876543210.sent.json",
            "notices/outbox/2026-12-01/0123456789ab-0010.ba9876543210.try-2.json",
            "notices/outbox/2026-12-01/0123456789ab-0010.ba9876543210.given-up.json",
            "notices/outbox/2026-12-01/0123456789ab-0010.held-back.json",
            "notices/told/2026-12-01/0007.json",
            "notices/told/2026-12-01/i-a1-0007.json",
        ] {
            let parsed = NoticeKey::parse(key).unwrap_or_else(|| panic!("{key}"));
            assert_eq!(parsed.to_string(), key);
        }
    }

    #[test]
    fn other_keys_are_none() {
        for key in [
            "",
            "notices/",
            "notices/seen/0123456789ab/2026-12-01/x/y.json",
            "notices/seen/0123456789ab/2026-13-01/i-a1.json",
            "notices/levels/0123456789ab/2026-12-01-1.json",
            "notices/outbox/2026-12-01/0123456789ab-0001.ba9876543210.json",
            "notices/outbox/2026-12-01/0123456789ab-0001.ba9876543210.sent.x.json",
            "notices/outbox/2026-12-01/0123456789ab-0001.ba9876543210.try-02.json",
            "notices/outbox/2026-12-01/0123456789ab-0001.held-back.x.json",
            "notices/told/2026-12-01/7.json",
            "notices/told/2026-12-01/-0007.json",
            "i-a1/20180322T100457-5891b5b522d5.log.gz",
        ] {
            assert_eq!(NoticeKey::parse(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_before_a_day_sorts_before_its_keys_and_behind_those_of_the_day_before() {
        let (signature, day) = (signature_digest("a"), jiff::civil::date(2026, 12, 1));
        let level = |day| {
            NoticeKey::Level {
                signature: signature.clone(),
                day,
                level: 1,
            }
            .to_string()
        };
        let since = levels_since(&signature, day);
        assert!(since < level(day) && since > level(day.yesterday().unwrap()));
        assert!(since.starts_with(&levels_prefix(&signature)));
    }
}
