//! What questions about a fleet take by the catalog, beside a listing of the whole bucket: requests, seconds and
//! bytes. The archive has a million records over 365 days, a day of 10 000, and rows of today that are not joined
//! yet. A store on loopback answers at once, or so much later as a bucket in the region does.
//!
//! The same days stand in a folder for DuckDB, which reads them by the table that the documentation has for it.
//!
//! usage: make bench-cataloging

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ecs_console_archiver::archive::catalog::Day;
use ecs_console_archiver::archive::key::ConsoleDigest;
use jiff::{SignedDuration, ToSpan as _};

use crate::beside::write;
use crate::searching::Run;
use crate::statistics::{Spread, short};
use crate::support::cataloged::{put_catalog, put_day, stored};
use crate::support::s3_server::{Profile, REAL_PAGE, StoredObject};
use crate::support::{Bucket, cli, text};

const DAYS: i64 = 365;
const OF_A_DAY: usize = 2740;
const OF_A_BUSY_DAY: usize = 10_000;
const OF_TODAY: usize = 2000;
const RUNS: usize = 5;
const LATENCY: Duration = Duration::from_millis(20);
const BELOW: &str = "kept/here";

/// Asks what the last argument says. Prints how many rows that has, and how long the question alone took.
const ASK_DUCKDB: &str = "
import sys, time, duckdb
database = duckdb.connect()
database.execute(open(sys.argv[1]).read())
begun = time.perf_counter()
rows = database.execute(sys.argv[2]).fetchall()
print(time.perf_counter() - begun, file=sys.stderr)
print(rows[0][0] if len(rows) == 1 else len(rows))
";

/// A question, and how often it is asked.
struct Question<'a> {
    words: &'a str,
    arguments: Vec<&'a str>,
    runs: usize,
}

/// `cataloging OUTPUT PROGRAM PYTHON`
pub fn run(arguments: &[String]) {
    let [output, program, python] = arguments else {
        panic!("usage: make bench-cataloging");
    };
    let runtime = crate::runtime();
    let (table, catalog) = runtime.block_on(measure());
    println!("{table}");
    write(output, "cataloging.md", &table);
    let table = beside_duckdb(Path::new(program), Path::new(python), &catalog);
    println!("{table}");
    write(output, "cataloging-duckdb.md", &table);
}

/// The table, and the catalog as it stands in the bucket.
async fn measure() -> (String, BTreeMap<String, StoredObject>) {
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
    bucket.server.take_below(&format!("{BELOW}/catalog"));
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
    (table, catalog)
}

/// Asks the same of both, in turn, in a folder with the days that are joined.
fn beside_duckdb(
    program: &Path,
    python: &Path,
    catalog: &BTreeMap<String, StoredObject>,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    // Rows that are not joined are no part of DuckDB's table.
    for (key, object) in catalog {
        let key = key.strip_prefix(BELOW).unwrap().trim_start_matches('/');
        if key.starts_with("catalog/days/") {
            let path = folder.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &object.body).unwrap();
        }
    }
    let month = Day::of(jiff::Timestamp::now()).0.first_of_month();
    let last = month.checked_sub(1.month()).unwrap();
    let (since, until) = (format!("{last}T00:00:00Z"), format!("{month}T00:00:00Z"));
    let glob = last.strftime("%Y-%m-*").to_string();
    let archive = folder.path().display();
    let of_month = format!("FROM records('{archive}', days := '{glob}') WHERE");
    let questions = [
        (
            "panics of last month",
            vec![
                "list", "--since", &since, "--until", &until, "--ending", "panic",
            ],
            format!("SELECT key, captured_at, ending {of_month} ending = 'panic'"),
        ),
        (
            "one instance of last month",
            vec![
                "list",
                "--since",
                &since,
                "--until",
                &until,
                "--instance",
                "i-bp1fleet0001",
            ],
            format!("SELECT key, captured_at, ending {of_month} instance_id = 'i-bp1fleet0001'"),
        ),
        (
            "everything, counted",
            vec!["list", "--count"],
            format!("SELECT count(*) FROM records('{archive}')"),
        ),
    ];
    let mut table = "| Question | Rows | `console-archive`, s | Peak memory, MiB | DuckDB, s | its question alone, s | Peak memory, MiB |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let output = folder.path().with_extension("out");
    let printed = || std::fs::read_to_string(&output).unwrap();
    for (words, arguments, sql) in questions {
        let mut command = Command::new(program);
        command.env_clear().args(&arguments);
        command.env("ARCHIVE_URL", format!("file://{archive}"));
        let mut duckdb = Command::new(python);
        duckdb.args(["-c", ASK_DUCKDB, "infra/sql/duckdb.sql", &sql]);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let run = Run::of(&command, &output);
            let rows = match arguments.contains(&"--count") {
                true => printed().trim().to_owned(),
                false => (printed().lines().count() - 1).to_string(),
            };
            ours.push(run);
            theirs.push(Run::of(&duckdb, &output));
            assert_eq!(printed().trim(), rows, "{words}: both find the same rows");
        }
        let spread = |runs: &[Run], of: &dyn Fn(&Run) -> f64| {
            Spread::of(runs.iter().map(of).collect::<Vec<_>>()).text()
        };
        let alone = |run: &Run| run.told.trim().parse().unwrap();
        table.push_str(&format!(
            "| {words} | {} | {} | {} | {} | {} | {} |\n",
            printed().trim(),
            spread(&ours, &|run| run.seconds),
            spread(&ours, &|run| run.peak_mib),
            spread(&theirs, &|run| run.seconds),
            spread(&theirs, &alone),
            spread(&theirs, &|run| run.peak_mib),
        ));
    }
    let _ = std::fs::remove_file(output);
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
