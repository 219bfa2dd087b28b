//! What questions about a fleet take by the catalog, beside a listing of the whole bucket: requests, seconds and
//! bytes. The archive has a million records over 365 days, a day of 10 000, and rows of today that are not joined
//! yet. A store on loopback answers at once, or so much later as a bucket in the region does.
//!
//! usage: make bench-cataloging

use std::time::{Duration, Instant};

use ecs_console_archiver::archive::catalog::Day;
use ecs_console_archiver::archive::key::ConsoleDigest;
use jiff::SignedDuration;

use crate::beside::write;
use crate::statistics::{Spread, short};
use crate::support::cataloged::{put_catalog, put_day, stored};
use crate::support::s3_server::{Profile, REAL_PAGE};
use crate::support::{Bucket, cli, text};

const DAYS: i64 = 365;
const OF_A_DAY: usize = 2740;
const OF_A_BUSY_DAY: usize = 10_000;
const OF_TODAY: usize = 2000;
const RUNS: usize = 5;
const LATENCY: Duration = Duration::from_millis(20);

/// A question, and how often it is asked.
struct Question<'a> {
    words: &'a str,
    arguments: Vec<&'a str>,
    runs: usize,
}

/// `cataloging OUTPUT`
pub fn run(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let table = runtime.block_on(measure());
    println!("{table}");
    write(&arguments[0], "cataloging.md", &table);
}

async fn measure() -> String {
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    let today = put_catalog(&bucket.server, DAYS, OF_A_DAY, OF_TODAY);
    let ago = |days: i64| today.begin() - SignedDuration::from_hours(24 * days);
    let busy = Day::of(ago(DAYS + 35));
    put_day(&bucket.server, busy, OF_A_BUSY_DAY);
    let catalog = bucket.server.catalog();
    let joined = |day: Option<Day>| -> Vec<_> {
        (catalog.iter())
            .filter(|(key, _)| key.ends_with(".jsonl.gz"))
            .filter(|(key, _)| day.is_none_or(|day| key.contains(&day.to_string())))
            .map(|(_, object)| object.body.len())
            .collect()
    };
    let records = DAYS as usize * OF_A_DAY + OF_A_BUSY_DAY;
    let (all, busiest) = (joined(None), joined(Some(busy)));
    let mut table = format!(
        "{records} records. The {} joined days have {:.0} MB, {:.0} bytes a row; the day of {OF_A_BUSY_DAY} has {:.0} KB.\n\n\
         | Question | Requests | Bytes received | s | s, if each answer takes 20 ms more | Rows |\n\
         |---|---|---|---|---|---|\n",
        all.len(),
        all.iter().sum::<usize>() as f64 / 1e6,
        all.iter().sum::<usize>() as f64 / records as f64,
        busiest.iter().sum::<usize>() as f64 / 1e3,
    );
    let day_of = |day: Day| (day.begin().to_string(), day.end().to_string());
    let (busy_begin, busy_end) = day_of(busy);
    let (yesterday, week, month) = (ago(1), ago(7), ago(30));
    let [yesterday, week, month] = [yesterday, week, month].map(|time| time.to_string());
    for (words, arguments) in [
        (
            "what was captured since yesterday",
            vec!["list", "--since", &yesterday],
        ),
        (
            "the same, counted",
            vec!["list", "--since", &yesterday, "--count"],
        ),
        (
            "panics of the last 7 days",
            vec!["list", "--since", &week, "--ending", "panic"],
        ),
        (
            "one instance in the last 30 days",
            vec!["list", "--since", &month, "--instance", "i-bp1fleet0001"],
        ),
        (
            "a day of 10 000",
            vec!["list", "--since", &busy_begin, "--until", &busy_end],
        ),
        ("everything, counted", vec!["list", "--count"]),
    ] {
        let runs = RUNS;
        let question = Question {
            words,
            arguments,
            runs,
        };
        table.push_str(&answered(&bucket, &question).await);
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
    let question = Question {
        words: "any of them without a catalog: the bucket is listed",
        arguments: vec!["list", "--until", "now", "--count"],
        runs: 1, // It takes so long that once says enough.
    };
    table.push_str(&answered(&bucket, &question).await);
    table
}

/// Asks a question several times, and once of a store that is not near. The line of the table.
async fn answered(bucket: &Bucket, question: &Question<'_>) -> String {
    let Question {
        words, arguments, ..
    } = question;
    let (mut seconds, mut requests, mut bytes, mut rows) = (Vec::new(), 0, 0, String::new());
    let arguments = [arguments, &["--timeout", "3600"][..]].concat();
    for run in 0..=question.runs {
        let is_far = run == question.runs;
        let latency = if is_far { LATENCY } else { Duration::ZERO };
        bucket.server.set_latency(latency);
        let before = (bucket.server.methods().len(), bucket.server.sent());
        let begun = Instant::now();
        let output = cli(&bucket.settings, &arguments).await;
        seconds.push(begun.elapsed().as_secs_f64());
        assert!(output.status.success(), "{}", text(&output.stderr));
        requests = bucket.server.methods().len() - before.0;
        bytes = bucket.server.sent() - before.1;
        let shown = text(&output.stdout);
        rows = match arguments.contains(&"--count") {
            true => shown.trim().to_owned(),
            false => (shown.lines().count() - 1).to_string(),
        };
    }
    let far = seconds.pop().unwrap();
    let near = Spread::of(seconds).text();
    let line = format!(
        "| {words} | {requests} | {:.2} MB | {near} | {} | {rows} |\n",
        bytes as f64 / 1e6,
        short(far)
    );
    print!("{line}");
    line
}
