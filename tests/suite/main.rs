//! The real program over real sockets: one binary, so that it is linked once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

mod answers;
mod accounts;
mod at_once;
mod cli;
mod config;
mod crash_points;
mod credentials;
mod deployed;
mod docs;
mod doctor;
mod doctor_deployed;
mod door;
mod errors;
mod events;
mod follow;
mod function;
mod host;
mod infra;
mod interleavings;
mod interrupts;
mod key_refresh;
mod last_words;
mod layers;
mod layout;
mod misuse;
mod origins;
mod proxies;
mod readme;
mod reading;
mod recordings;
mod redrive;
mod scheduled_redrive;
mod self_invocation;
mod secrets;
mod shells;
mod simulator;
mod stores;
mod strange_answers;
mod sweep;
mod sweep_time;
mod tables;
mod unchanged;
mod wire_faults;
