//! The message that brings an event back to follow it further: the event, and when it is due. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Follow, MESSAGE_VERSION, Shots};

/// How often a message may be sent again because it came early. Then it is served at once. The longest
/// pause of a plan is less than seven minutes, and an invocation of the templates waits for most of one.
const MAX_EARLY: u8 = 8;

/// A message that is due later than this was written by another clock than this machine's. The longest
/// pause of a plan is less.
const MAX_PAUSE: SignedDuration = SignedDuration::from_mins(7);

/// A follow message.
///
/// Version 0 has no version, and versions before this one have no moment. They ignore both members. A
/// message without a moment is due when it comes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FollowMessage {
    /// The event, and what is known of it.
    pub follow: Follow,
    /// Nothing is to be done before. A queue may deliver a message early, or not know delays at all.
    #[serde(default)]
    pub due_at: Option<Timestamp>,
    /// How often it came early so far, and was sent again.
    #[serde(default)]
    early: u8,
    /// What is known of the event's screenshots. Versions before it do not know it, and take none.
    #[serde(default)]
    shots: Shots,
}

#[derive(Serialize)]
struct Members<'a> {
    version: u32,
    follow: &'a Follow,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_zero")]
    early: u8,
    #[serde(skip_serializing_if = "Shots::is_default")]
    shots: &'a Shots,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl FollowMessage {
    /// A message that is due at this moment.
    pub fn new(follow: Follow, due_at: Timestamp) -> Self {
        Self {
            shots: follow.shots.clone(),
            follow,
            due_at: Some(due_at),
            early: 0,
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If it is none.
    pub fn read<'a, D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let mut message = Self::deserialize(from)?;
        message.follow.shots = message.shots.clone();
        Ok(message)
    }

    /// When it is due, if that is later than now and it may be waited for or sent again.
    pub fn early_until(&self, now: Timestamp) -> Option<Timestamp> {
        let is_early =
            |due_at: &Timestamp| *due_at > now && due_at.duration_since(now) <= MAX_PAUSE;
        self.due_at
            .filter(is_early)
            .filter(|_| self.early < MAX_EARLY)
    }

    /// The same message, to be sent again because it came early.
    pub fn again(self) -> Self {
        Self {
            early: self.early.saturating_add(1),
            ..self
        }
    }

    /// What tells it from the other messages of this event and of other events. A copy has the same
    /// name.
    pub fn name(&self) -> String {
        let Follow {
            event,
            began_at,
            polls,
            ..
        } = &self.follow;
        let event_id = event.event_id.as_deref().unwrap_or_default();
        let (id, cause, early) = (&event.instance_id, &event.cause, self.early);
        format!("{id} {began_at} {polls} {early} {cause} {event_id}")
    }

    /// The body of the message.
    pub fn to_json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(Members {
            version: MESSAGE_VERSION,
            follow: &self.follow,
            due_at: self.due_at,
            early: self.early,
            shots: &self.shots,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::follow::Judged;
    use crate::model::event::{Cause, InstanceEvent};
    use crate::model::ids::InstanceId;

    fn follow() -> Follow {
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-a1").unwrap(),
            region_id: None,
            account_id: None,
            cause: Cause::StateChange("Running".into()),
            event_id: None,
            occurred_at: None,
        };
        Follow::begin(event, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_known_of_screenshots_goes_along_beside_the_event() {
        let mut follow = follow();
        let key = "i-a1/20240322Z-5891b5b522d5.jpg".to_owned();
        follow.shots.note(key, true);
        follow.shots.judged = Some(Judged {
            has_failed: true,
            is_over: false,
        });
        let json = FollowMessage::new(follow.clone(), Timestamp::UNIX_EPOCH)
            .to_json()
            .unwrap();
        assert!(
            json["follow"].get("shots").is_none(),
            "version 0 refuses it: {json}"
        );
        let read = FollowMessage::read(&json).unwrap();
        assert_eq!(read.follow, follow);
        assert_eq!(read.again().to_json().unwrap()["shots"], json["shots"]);
    }

    #[test]
    fn a_message_of_an_earlier_version_knows_no_screenshots() {
        let mut json = FollowMessage::new(follow(), Timestamp::UNIX_EPOCH)
            .to_json()
            .unwrap();
        assert!(json.get("shots").is_none(), "nothing to say: {json}");
        json["shots"] = serde_json::json!({});
        assert_eq!(FollowMessage::read(&json).unwrap().follow, follow());
    }
}
