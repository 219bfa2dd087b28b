//! The pages of `console-archive serve` in headless Chromium, whose driver the environment may name in `CHROMEDRIVER`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)] // The suite uses the rest.
#[path = "../suite/support/mod.rs"]
mod support;

mod browser;
mod hostile;
mod keys;
mod live;
mod pages;
mod world;
