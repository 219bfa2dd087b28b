//! Archives every console output of Alibaba Cloud ECS instances.
//!
//! Start reading at [`capture`]. The folders, in the order in which data flows through them:

pub mod hosts; // who calls us, and the one door
pub mod intake; // bytes → what they ask for, and who may send them
pub mod capture; // the use case: one event in, one Outcome out
pub mod source; // where consoles come from
pub mod reading; // consoles → boots; with the feature `cli`, each joined into one log (pure)
pub mod archive; // the stored form
pub mod notify; // findings → people
pub mod store; // where bytes go: bucket or folder
pub mod queue; // messages to a later invocation

pub mod model; // the words of the domain (pure)
pub mod alibaba; // a signed call (pure, except the nonce)
pub mod aws; // a signed call to AWS, and its refusals (pure, except the client)
pub mod secrets; // secrets that a secrets manager keeps
pub mod credentials; // access keys that never show their secret
pub mod config; // environment → plain settings; the only folder that reads it
mod setup; // settings → working parts; the only file that knows them all

pub mod clock; // a service's clock, as far as its answers show it
pub mod http; // the one HTTP client, and its proxies
pub mod lock; // mutexes that a panic elsewhere does not close
pub mod log; // log lines
pub mod printable; // text from outside, safe to show (pure)
pub mod refusal; // a service's refusal
pub mod retry; // when to retry, and when to stop

// Only with the feature `cli`: checks, the simulator, and what a terminal shows.
#[cfg(feature = "cli")]
pub mod deployed; // a deployed function, asked what it says of itself
#[cfg(feature = "cli")]
pub mod doctor; // checks of the whole set-up
#[cfg(feature = "cli")]
pub mod simulator; // an ECS API on loopback
#[cfg(feature = "cli")]
pub mod terminal; // guests' bytes → readable lines (pure)
