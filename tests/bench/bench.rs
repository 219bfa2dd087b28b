//! What this project costs: measured beside others, or calculated. A benchmark is one file here, and
//! a line in `BENCHMARKS`.
//!
//! usage: cargo bench --bench bench -- NAME [ARGUMENT...]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)] // The suite uses the rest.
#[path = "../suite/support/mod.rs"]
mod support;

#[allow(dead_code)] // The browser's tests use the rest.
#[path = "../browser/browser.rs"]
mod browser;

mod beside;
mod cataloging;
mod chart;
mod comparing;
mod costs;
mod counts;
mod flame;
mod fleet;
mod keeping;
mod memory;
mod rendering;
mod scanning;
mod searching;
mod searching_bucket;
mod serving;
mod sizes;
mod statistics;
mod stitching;
mod tls_front;

/// The recorded console of every instance: 24 KB, a plain reboot.
const CONSOLE: &str = "i-bp1normalreboot0001";

/// An instance for each event, so that each is stored.
fn instance(event: usize) -> String {
    format!("i-bp1{event:017}")
}

/// How many records an archive has, by an argument that may be missing.
fn records(argument: Option<&String>) -> usize {
    argument.map_or(10_000, |count| count.parse().unwrap())
}

/// Runs the doubles on a thread of their own, beside what is measured.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A benchmark's name and what runs it, given its arguments.
type Benchmark = (&'static str, fn(&[String]));

const BENCHMARKS: &[Benchmark] = &[
    ("beside", beside::run),
    ("cataloging", cataloging::run),
    ("comparing", comparing::run),
    ("costs", costs::run),
    ("counts", counts::run),
    ("flame", flame::run),
    ("fleet", fleet::run),
    ("keeping", keeping::run),
    ("memory", memory::run),
    ("rendering", rendering::run),
    ("scanning", scanning::run),
    ("searching", searching::run),
    ("searching-bucket", searching_bucket::run),
    ("serving", serving::run),
    ("sizes", sizes::run),
    ("stitch", counts::stitch_captures),
    ("stitching", stitching::run),
];

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let named = arguments.first().and_then(|name| {
        let mut all = BENCHMARKS.iter();
        all.find(|(known, _)| known == name)
    });
    let Some((_, run)) = named else {
        let names: Vec<_> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
        let names = names.join("|");
        eprintln!("usage: cargo bench --bench bench -- {names} [ARGUMENT...]");
        std::process::exit(2);
    };
    run(&arguments[1..]);
}
