//! Bytes → what they ask for, and who may send them. Everything here is pure but the gate, which
//! fetches certificates.

pub mod delivery; // payload → messages with their events
mod envelope; // what platforms wrap around events
pub mod event; // event JSON → what it asks for
pub(crate) mod json_text; // bytes → text → JSON, bounded
pub mod redact; // what is kept of a failed event: no request headers
pub mod triggers; // which events lead to a capture
pub mod webhook; // who may push events over HTTP
