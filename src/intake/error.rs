//! Why an event is invalid.

use crate::model::ids::InvalidId;

/// An event is invalid. It is reported and never dropped, because the sender or the settings may be
/// wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are neither UTF-8 nor UTF-16.
    #[error("the event is not text in UTF-8")]
    NotText,
    /// The text is not JSON.
    #[error("the event is not JSON: {0}")]
    NotJson(String),
    /// An envelope is empty.
    #[error("the event is empty")]
    Empty,
    /// The event is longer than the limit of any sender.
    #[error("the event has {bytes} bytes; at most {max} are read", max = super::MAX_EVENT_BYTES)]
    TooLarge {
        /// Length of the event, in bytes.
        bytes: usize,
    },
    /// The payload has more events than any sender delivers at once. Holds the limit.
    #[error("there are more than {0} events in one delivery: send fewer at once")]
    TooMany(usize),
    /// The payload has more JSON values than any batch of events. Holds the limit.
    #[error("the event has more than {0} JSON values")]
    TooManyValues(usize),
    /// The envelopes are nested deeper than any sender nests them. Holds the limit.
    #[error("the event is wrapped in more than {0} envelopes")]
    TooDeep(usize),
    /// The inside of an envelope is invalid.
    #[error("{error} (in {place})")]
    Inside {
        /// The members that contain it, from the inside out.
        place: String,
        /// Why the inside is invalid.
        error: Box<EventError>,
    },
    /// The event is JSON, but it is not an object. Holds its type.
    #[error("the event is {0}, not a JSON object")]
    NotAnObject(&'static str),
    /// The object does not have the form of any known event. Holds the members that it has.
    #[error(
        "unrecognized event format: expected a CloudEvent from acs.ecs, a CloudMonitor \
         notification, {{\"instance_id\": \"i-…\", \"region_id\": \"…\"}}, or \
         {{\"sweep\": {{\"regions\": [\"…\"]}}}}; {0}"
    )]
    UnknownForm(String),
    /// The event is a change of state without the new state.
    #[error("the event is a change of state, but has no member state")]
    NoState,
    /// SNS asks to confirm a subscription. The address in this message is a secret.
    #[error(
        "this is not an event: SNS asks to confirm a subscription. Confirm it with \
         aws sns confirm-subscription and the message's Token, or subscribe the function or its \
         queue in place of an HTTP address"
    )]
    SubscriptionUnconfirmed,
    /// A manual event has an unknown member, which is probably misspelled. Holds its name.
    #[error(
        "the manual event has an unknown member {0:?}: it takes instance_id, region_id and account_id"
    )]
    UnknownMember(String),
    /// A follow message arrived over HTTP. Follow messages say what is already stored, so only the
    /// follow queue may deliver them.
    #[error(
        "follow messages are accepted from the follow queue only: send the event itself over HTTP"
    )]
    FollowOverHttp,
    /// A message of this program is invalid.
    #[error("the follow message cannot be read: {0}")]
    BadFollow(String),
    /// A sweep has an invalid member.
    #[error("the sweep cannot be read: {0}")]
    BadSweep(String),
    /// A redrive has an invalid member.
    #[error("the redrive cannot be read: {0}")]
    BadRedrive(String),
    /// A compact event has a member.
    #[error("the compact event is not {{\"compact\": {{}}}}: it takes no members")]
    BadCompact,
    /// A doctor event has an invalid member.
    #[error("the doctor event cannot be read: {0}")]
    BadDoctor(String),
    /// A doctor event came over HTTP. Only the owner of the deployment may read the answer.
    #[error(
        "a doctor event is accepted from a direct invocation of the function only, not over HTTP"
    )]
    DoctorOverHttp,
    /// The event came over HTTP, and only an invocation may ask for what it asks for. Holds its name.
    #[error("a {0} is accepted from an invocation or a schedule only, not over HTTP")]
    OverHttp(&'static str),
    /// A member is not text.
    #[error("{member} in the event is {found}, not text")]
    WrongType {
        /// Name of the member.
        member: &'static str,
        /// Type of its value.
        found: &'static str,
    },
    /// The event has no instance ID.
    #[error("the event names no instance")]
    NoInstance,
    /// The instance ID or region ID is invalid.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// A value that should be Base64 cannot be decoded.
    #[error("it is not Base64")]
    InvalidBase64,
}
