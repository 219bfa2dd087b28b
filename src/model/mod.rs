//! The words of the domain. Pure: this folder imports nothing of ours.

pub mod check; // checks of a set-up
pub mod console; // a console output, or why there is none
pub mod credentials; // an access key that never shows its secret
pub mod ending; // how a boot ended
pub mod event; // what happened to an instance
pub mod finding; // what a console says went wrong
pub mod freshness; // how much of its event a console shows
pub mod ids; // instance, region and account IDs, checked
#[cfg(feature = "cli")]
pub mod moment; // a time as a person writes it
pub mod outcome; // what became of an event
pub mod screenshot; // a picture of an instance's screen, checked
pub mod update_time; // LastUpdateTime → digits and a moment
