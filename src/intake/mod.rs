//! Bytes → what they ask for, and who may send them. All of it is pure except the gate, which
//! fetches certificates.

pub mod delivery; // payload → messages with their events
mod envelope; // what platforms wrap around events
pub mod error; // why an event is invalid
pub mod event; // event JSON → what it asks for
pub mod http_request; // an HTTP request that a platform passes on → the event in it
pub(crate) mod json_text; // bytes → text → JSON, bounded
pub mod redact; // the text to keep of a failed event, without request headers
pub mod redrive; // the event that starts a redrive
pub mod triggers; // which events lead to a capture
pub mod webhook; // who may push events over HTTP

/// Longest payload of an invocation that is read, in bytes. AWS Lambda's limit is 6 MB.
pub const MAX_EVENT_BYTES: usize = 8 << 20;

/// Most events of one payload. SQS delivers at most 10 000 messages at once. The batches of
/// EventBridge's streams and of Function Compute's triggers have the same limit.
pub const MAX_EVENTS: usize = 10_000;

/// Most events of one HTTP request. EventBridge and CloudMonitor push one event or a batch, and
/// wait 2 to 5 s for the answer. A thousand events are parsed in a fraction of that time.
pub const MAX_PUSH_EVENTS: usize = 1_000;
