//! Bytes → what they ask for, and who may send them. Everything here is pure but the gate, which
//! fetches certificates.

pub mod delivery; // payload → messages with their events
mod envelope; // what platforms wrap around events
pub mod error; // why an event cannot be understood
pub mod event; // event JSON → what it asks for
pub mod http_request; // an HTTP request that a platform passes on → the event in it
pub(crate) mod json_text; // bytes → text → JSON, bounded
pub mod redact; // what is kept of a failed event: no request headers
pub mod triggers; // which events lead to a capture
pub mod webhook; // who may push events over HTTP

/// Most bytes of one invocation's payload that are read. AWS Lambda passes at most 6 MB.
pub const MAX_EVENT_BYTES: usize = 8 << 20;

/// Most events of one payload. SQS hands over at most 10 000 messages at once, and so do the
/// batches of EventBridge's streams and of Function Compute's triggers.
pub const MAX_EVENTS: usize = 10_000;

/// Most events of one HTTP request. EventBridge and CloudMonitor push one event, or a batch, and
/// wait 2 to 5 s for the answer; a thousand are read in a fraction of that.
pub const MAX_PUSH_EVENTS: usize = 1_000;
