//! What questions about a fleet take by the catalog, beside a listing of the whole bucket: requests, seconds and
//! bytes. The archive has a million records over 365 days, and rows of today that are not joined yet. A store on
//! loopback answers, so seconds are those of the programs; a real one takes tens of milliseconds a request on top.
//!
//! usage: make bench-cataloging

use std::time::Instant;

use ecs_console_archiver::archive::key::ConsoleDigest;
use jiff::SignedDuration;

use super::support::cataloged::{put_catalog, stored};
use super::support::s3_server::{Profile, REAL_PAGE};
use super::support::*;

const DAYS: i64 = 365;
const OF_A_DAY: usize = 2740;
const OF_TODAY: usize = 2000;
const RUNS: usize = 5;

pub fn run(_: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    let today = put_catalog(&bucket.server, DAYS, OF_A_DAY, OF_TODAY);
    let catalog = bucket.server.catalog();
    let joined: Vec<_> = (catalog.iter())
        .filter(|(key, _)| key.ends_with(".jsonl.gz"))
        .map(|(_, object)| object.body.len())
        .collect();
    let records = DAYS as usize * OF_A_DAY;
    println!(
        "{records} records of {DAYS} days, and {OF_TODAY} rows of today. The days are {} objects of {:.0} MB: {:.0} bytes \
         a row, at most {:.0} KB a day.\n",
        joined.len(),
        joined.iter().sum::<usize>() as f64 / 1e6,
        joined.iter().sum::<usize>() as f64 / records as f64,
        *joined.iter().max().unwrap() as f64 / 1e3,
    );
    let ago = |days: i64| (today.begin() - SignedDuration::from_hours(24 * days)).to_string();
    let (day, week, month) = (ago(1), ago(7), ago(30));
    println!("| Question | Requests | ms | Rows |\n|---|---|---|---|");
    for (question, arguments) in [
        (
            "what was captured since yesterday",
            vec!["list", "--since", &day],
        ),
        (
            "the same, counted",
            vec!["list", "--since", &day, "--count"],
        ),
        (
            "panics of the last 7 days",
            vec!["list", "--since", &week, "--ending", "panic"],
        ),
        (
            "one instance in the last 30 days",
            vec!["list", "--since", &month, "--instance", "i-bp1fleet0001"],
        ),
        ("the whole year, counted", vec!["list", "--count"]),
    ] {
        print(&bucket, question, &arguments).await;
    }
    // Without the catalog the bucket has the records alone, and all of them are listed.
    bucket.server.take_below("kept/here/catalog");
    let objects = (0..records).map(|number| {
        let digest = ConsoleDigest::of(number.to_string().as_bytes()).short();
        let key = format!(
            "kept/here/i-bp1fleet{:05}/20261101T000000-{digest}.log.gz",
            number % 20_000
        );
        (key, stored(Vec::new()))
    });
    bucket.server.put_all(objects);
    print(
        &bucket,
        "any of them without a catalog: the bucket is listed",
        &["list", "--until", "now", "--count"],
    )
    .await;
}

/// The fastest of several runs, and the requests of one.
async fn print(bucket: &Bucket, question: &str, arguments: &[&str]) {
    let mut fastest = f64::INFINITY;
    let (mut requests, mut rows) = (0, String::new());
    let runs = if question.contains("without") {
        1
    } else {
        RUNS
    };
    for _ in 0..runs {
        let before = bucket.server.methods().len();
        let begun = Instant::now();
        let arguments = [arguments, &["--timeout", "3600"]].concat();
        let output = cli(&bucket.settings, &arguments).await;
        fastest = fastest.min(begun.elapsed().as_secs_f64() * 1e3);
        assert!(output.status.success(), "{}", text(&output.stderr));
        requests = bucket.server.methods().len() - before;
        let shown = text(&output.stdout);
        rows = match arguments.contains(&"--count") {
            true => shown.trim().to_owned(),
            false => (shown.lines().count() - 1).to_string(),
        };
    }
    println!("| {question} | {requests} | {fastest:.0} | {rows} |");
}
