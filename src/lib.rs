//! Keeps every console output of every Alibaba Cloud ECS instance.
//!
//! Start reading at [`capture`]. The modules, in the order data flows through them:

pub mod lambda; // runtime request → payload
pub mod host; // HTTP server: Function Compute, or plain webhooks
pub mod handler; // one payload in, one typed Reply out: the only door
pub mod reply; // what became of a payload → the answer its sender expects (pure)
pub mod redact; // what is kept of a failed event: no request headers (pure)
pub mod delivery; // payload → events, envelopes taken off (pure)
pub mod webhook; // who may push events over HTTP (pure)
mod envelope; // what platforms wrap around events (pure)
mod json_text; // bytes → text → JSON, bounded (pure)
pub mod event; // event JSON → Notice (pure)
pub mod ids; // instance and region IDs, checked (pure)
pub mod triggers; // which events lead to a capture (pure)
pub mod capture; // one event in, one Outcome out
pub mod sweep; // the same for every instance of whole regions
pub mod sweep_message; // what a sweep is to do, and where it goes on (pure)
pub mod follow; // what was seen of a console, and when to look again (pure)
pub mod queue; // messages to a later invocation
pub mod retry; // when to try again, and when to stop
pub mod ecs; // GetInstanceConsoleOutput, signed
pub mod update_time; // LastUpdateTime → digits (pure)
pub mod key; // RecordKey ⇄ object key (pure)
pub mod record; // console bytes ⇄ gzip, metadata (pure)
pub mod store; // bucket or folder
pub mod outcome; // what became of an event (pure)

pub mod config; // environment → Config; the only file that reads it
pub mod clock; // a service's clock, as far as it is known
pub mod credentials; // access keys that never show their secret
pub mod http; // the one HTTP client, and its proxies
pub mod log; // log lines
pub mod printable; // others' text, safe to show (pure)
pub mod refusal; // a service's no

// Only with the feature `cli`: reading back, checks, and the simulator.
#[cfg(feature = "cli")]
pub mod archive; // list, find, open
#[cfg(feature = "cli")]
pub mod doctor; // checks of the whole set-up
#[cfg(feature = "cli")]
pub mod redrive; // failed events, served again
#[cfg(feature = "cli")]
pub mod simulator; // an ECS API on loopback
#[cfg(feature = "cli")]
pub mod terminal; // guests' bytes → readable lines (pure)
