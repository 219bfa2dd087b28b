//! Why an event cannot be understood.

use crate::model::ids::InvalidId;

/// An event that cannot be understood. It is reported, never dropped: the sender or the
/// configuration needs a look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are neither UTF-8 nor UTF-16.
    #[error("the event is not text in UTF-8")]
    NotText,
    /// The text is not JSON.
    #[error("the event is not JSON: {0}")]
    NotJson(String),
    /// There is nothing inside an envelope.
    #[error("there is no event: it is empty")]
    Empty,
    /// Longer than any sender's limit.
    #[error("the event has {bytes} bytes; at most {max} are read", max = super::MAX_EVENT_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// More events than any sender hands over at once.
    #[error("there are more than {0} events in one delivery: send fewer at once")]
    TooMany(usize),
    /// More than any batch of events is made of.
    #[error("the event has more than {0} JSON values")]
    TooManyValues(usize),
    /// Envelopes within envelopes, deeper than any sender nests them.
    #[error("the event is wrapped in more than {0} envelopes")]
    TooDeep(usize),
    /// What is wrong inside an envelope.
    #[error("{error} (in {place})")]
    Inside {
        /// Which member of which envelopes, from the inside out.
        place: String,
        /// What is wrong.
        error: Box<EventError>,
    },
    /// JSON, but neither an object nor, where one may stand, an array.
    #[error("the event is {0}, not a JSON object")]
    NotAnObject(&'static str),
    /// An object in no form known here.
    #[error(
        "the event is in no known form: expected a CloudEvent from acs.ecs, a CloudMonitor \
         notification, {{\"instance_id\": \"i-…\", \"region_id\": \"…\"}}, or \
         {{\"sweep\": {{\"regions\": [\"…\"]}}}}; {0}"
    )]
    UnknownForm(String),
    /// A change of state that does not say to which.
    #[error("the event is a change of an instance's state and has no member state")]
    NoState,
    /// SNS asks whether the subscription is wanted. The address it is confirmed at is a secret.
    #[error(
        "this is not an event: SNS asks to confirm a subscription. Confirm it with \
         aws sns confirm-subscription and the message's Token, or subscribe the function or its \
         queue in place of an HTTP address"
    )]
    SubscriptionUnconfirmed,
    /// The manual form with a member it does not have, most likely a misspelt one.
    #[error(
        "the manual event has an unknown member {0:?}: it takes instance_id, region_id and account_id"
    )]
    UnknownMember(String),
    /// A follow message in an HTTP request. It says what is stored already, so only this program may
    /// say it, through its queue.
    #[error(
        "a follow message comes through the follow queue only: send the event itself over HTTP"
    )]
    FollowOverHttp,
    /// A message this program sent to itself and cannot read.
    #[error("the follow message cannot be read: {0}")]
    BadFollow(String),
    /// A sweep with a wrong member.
    #[error("the sweep cannot be read: {0}")]
    BadSweep(String),
    /// A member that must be text is something else.
    #[error("{member} in the event is {found}, not text")]
    WrongType {
        /// Its name.
        member: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// The event names no instance.
    #[error("the event names no instance")]
    NoInstance,
    /// The event's instance or region is not a possible one.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// What should be Base64 cannot be decoded.
    #[error("it is not Base64")]
    InvalidBase64,
}
