//! The event that starts a redrive, which is also the message from one invocation to the next. Pure.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::model::outcome::RedriveTally;

/// Version of the messages that this program writes. A reader ignores unknown members of a message
/// that has one, so that a roll-out loses no message.
const VERSION: u32 = 1;
/// Members that a person may write. Only this program writes the others.
const TYPED: [&str; 3] = ["max_attempts", "max_age_days", "max_events"];

/// Which failed events to serve again, and when to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redrive {
    version: u32,
    /// An event that failed in so many attempts is given up. Failures of a kind that passes by
    /// itself do not count.
    pub max_attempts: u32,
    /// An event that fails, and failed first before so many days, is given up.
    pub max_age_days: u32,
    /// Most events that one redrive tries, over all its invocations.
    pub max_events: u64,
    /// When the first invocation began. Events that were tried since then are not tried again. `None`
    /// in the event that starts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// What earlier invocations did.
    pub done: RedriveTally,
}

/// The members of a message of any version.
#[derive(Deserialize)]
#[serde(default)]
struct Members {
    max_attempts: u32,
    max_age_days: u32,
    max_events: u64,
    began_at: Option<Timestamp>,
    done: RedriveTally,
}

impl Default for Members {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            // As long as the queue of the templates keeps failed events.
            max_age_days: 14,
            max_events: 1000,
            began_at: None,
            done: RedriveTally::default(),
        }
    }
}

impl<'de> Deserialize<'de> for Redrive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Value::Object(object) = &value else {
            return Err(D::Error::custom("expected a JSON object"));
        };
        // A misspelt member would silently try events more often than its writer wants.
        let unknown = object.keys().find(|name| !TYPED.contains(&name.as_str()));
        if let (false, Some(unknown)) = (object.contains_key("version"), unknown) {
            return Err(D::Error::unknown_field(unknown, &TYPED));
        }
        let Members {
            max_attempts,
            max_age_days,
            max_events,
            began_at,
            done,
        } = Members::deserialize(value).map_err(D::Error::custom)?;
        if max_attempts == 0 || max_events == 0 {
            let why = "max_attempts and max_events must be at least 1";
            return Err(D::Error::custom(why));
        }
        Ok(Self {
            version: VERSION,
            max_attempts,
            max_age_days,
            max_events,
            began_at,
            done,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Redrive, String> {
        Redrive::deserialize(value).map_err(|error| error.to_string())
    }

    #[test]
    fn members_have_defaults_and_a_misspelt_one_is_told() {
        let redrive = read(json!({})).unwrap();
        assert_eq!(
            (
                redrive.max_attempts,
                redrive.max_age_days,
                redrive.max_events
            ),
            (10, 14, 1000)
        );
        assert_eq!(read(json!({"max_attempts": 3})).unwrap().max_attempts, 3);
        for (wrong, why) in [
            (json!({"max_atempts": 3}), "max_atempts"),
            (json!({"done": {"served": 1}}), "done"),
            (json!({"max_attempts": 0}), "at least 1"),
            (json!({"max_events": 0}), "at least 1"),
            (json!({"max_attempts": -1}), "-1"),
            (json!([]), "expected a JSON object"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_message_reads_back_and_may_have_members_of_a_later_version() {
        let mut redrive = read(json!({"max_events": 5})).unwrap();
        redrive.began_at = "2024-03-22T02:04:45Z".parse().ok();
        redrive.done.served = 3;
        let mut message = serde_json::to_value(&redrive).unwrap();
        message["later"] = json!(true);
        assert_eq!(read(message).unwrap(), redrive);
    }
}
