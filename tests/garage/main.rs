//! The real program on a real S3 server, Garage, which the environment names in `GARAGE`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)] // The suite uses the rest.
#[path = "../suite/support/mod.rs"]
mod support;

mod catalog;
mod contract;
mod copy;
mod kills;
mod notices;
mod prune;
mod reading;
mod relay;
mod serve;
mod server;
