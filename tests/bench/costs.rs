//! What a million reboots cost: requests counted by running the real policy of following, and the real
//! decisions what to store, through a reboot, by a clock of its own, and multiplied by list prices.
//!
//! usage: cargo bench --bench costs
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::capture::follow::{Change, Follow, Keeping, Kept};
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::model::outcome::StoredRecord;
use jiff::{SignedDuration, Timestamp};

const REBOOTS: u32 = 10_000;
const FOLLOW: Duration = Duration::from_secs(300);
/// The events of a reboot, by seconds since the first.
const EVENTS: [(&str, i64); 3] = [("Stopping", 0), ("Starting", 25), ("Running", 40)];
/// ECS shows the console of the boot before until here, then a new one that grows every 20 s, and
/// from here on one that ends with a login prompt. Its cache lags a minute behind.
const NEW_FROM: i64 = 100;
const SETTLED_FROM: i64 = 160;
/// What one poll takes of the function's time, with the requests it makes: an assumption.
const POLL_SECONDS: f64 = 0.3;
/// Log lines of an invocation, with those of the platform.
const LOG_BYTES: f64 = 1000.0;
/// How long a record is kept, as the templates have it.
const MONTHS: f64 = 12.0;

// List prices in US dollars. AWS: us-east-1.
const LAMBDA_INVOCATION: f64 = 0.20e-6;
const LAMBDA_GB_SECOND: f64 = 16.6667e-6;
const LAMBDA_GB: f64 = 0.25;
const S3_PUT: f64 = 5e-6;
const S3_GB_MONTH: f64 = 0.023;
const SQS_REQUEST: f64 = 0.40e-6;
const LOGS_GB: f64 = 0.50;
// Alibaba Cloud: Function Compute counts in CU, whose factors its price page gives.
const CU: f64 = 20e-6;
const CU_INVOCATION: f64 = 75.0 / 10_000.0;
/// 0.1 vCPU, 0.125 GB of memory and 0.5 GB of disk, as the templates have it.
const CU_SECOND: f64 = 0.1 * 1.0 + 0.125 * 0.15 + 0.5 * 0.05;
const OSS_GB_MONTH: f64 = 0.0173;

/// What one way of following takes, over all reboots.
#[derive(Default)]
struct Counts {
    polls: u64,
    puts: u64,
    /// Objects that were not there before.
    created: u64,
    waited_seconds: f64,
}

/// A deployment, in numbers of one reboot.
struct Reboot {
    invocations: f64,
    polls: f64,
    /// Messages of the follow queue.
    messages: f64,
    puts: f64,
    records: f64,
    /// That the function is paid for.
    seconds: f64,
    /// From each event's first look to its last, together.
    waited_seconds: f64,
}

fn main() {
    let events = EVENTS.len() as f64;
    let mean = |count: u64| count as f64 / f64::from(REBOOTS);
    let counts = reboots(false);
    let polls = mean(counts.polls);
    let with_queue = Reboot {
        invocations: polls,
        polls,
        messages: polls - events,
        puts: mean(counts.puts),
        records: mean(counts.created),
        seconds: polls * POLL_SECONDS,
        waited_seconds: counts.waited_seconds / f64::from(REBOOTS),
    };
    let counts = reboots(true);
    let polls = mean(counts.polls);
    let waited_seconds = counts.waited_seconds / f64::from(REBOOTS);
    let in_memory = Reboot {
        invocations: events,
        polls,
        messages: 0.0,
        puts: mean(counts.puts),
        records: mean(counts.created),
        seconds: waited_seconds + polls * POLL_SECONDS,
        waited_seconds,
    };
    let not_followed = Reboot {
        invocations: events,
        polls: events,
        messages: 0.0,
        puts: events,
        records: 1.0,
        seconds: events * POLL_SECONDS,
        waited_seconds: 0.0,
    };
    let gzip_bytes = mean_gzip_bytes();
    println!(
        "{REBOOTS} reboots of {} events, by a record of {gzip_bytes:.0} bytes",
        EVENTS.len()
    );
    table("AWS", [&with_queue, &not_followed], |r| aws(r, gzip_bytes));
    table("Function Compute", [&in_memory, &not_followed], |r| {
        function_compute(r, gzip_bytes)
    });
}

/// Prints a table: what one reboot takes, and what a million cost, both followed and not.
fn table(host: &str, kinds: [&Reboot; 2], dollars: impl Fn(&Reboot) -> Vec<(&'static str, f64)>) {
    println!(
        "\n| {host} | followed for {} s | `FOLLOW_SECONDS=0` |",
        FOLLOW.as_secs()
    );
    println!("|---|---|---|");
    let row = |name: &str, of: fn(&Reboot) -> f64| {
        println!("| {name} | {:.1} | {:.1} |", of(kinds[0]), of(kinds[1]));
    };
    row("a reboot: invocations", |r| r.invocations);
    row("requests to ECS", |r| r.polls);
    row("objects put", |r| r.puts);
    row("of them new", |r| r.records);
    row(
        "seconds from first to last look, of its events together",
        |r| r.waited_seconds,
    );
    row("seconds of the function", |r| r.seconds);
    let costs = kinds.map(&dollars);
    let line = |name: &str, value: [f64; 2]| {
        println!("| {name} | ${:.2} | ${:.2} |", value[0], value[1]);
    };
    for (index, (part, _)) in costs[0].iter().enumerate() {
        line(part, [costs[0][index].1, costs[1][index].1]);
    }
    let sum = |parts: &[(&str, f64)]| parts.iter().map(|(_, cost)| cost).sum();
    line("together", [sum(&costs[0]), sum(&costs[1])]);
}

fn aws(r: &Reboot, gzip_bytes: f64) -> Vec<(&'static str, f64)> {
    let function = r.invocations * LAMBDA_INVOCATION + r.seconds * LAMBDA_GB * LAMBDA_GB_SECOND;
    let storage = r.records * gzip_bytes / 1e9 * S3_GB_MONTH * MONTHS;
    vec![
        ("a million reboots: the function", 1e6 * function),
        // A message is sent, received and deleted.
        ("queue", 1e6 * r.messages * 3.0 * SQS_REQUEST),
        ("objects put", 1e6 * r.puts * S3_PUT),
        ("a year of storage", 1e6 * storage),
        ("logs", 1e6 * r.invocations * LOG_BYTES / 1e9 * LOGS_GB),
    ]
}

fn function_compute(r: &Reboot, gzip_bytes: f64) -> Vec<(&'static str, f64)> {
    let function = (r.invocations * CU_INVOCATION + r.seconds * CU_SECOND) * CU;
    let storage = r.records * gzip_bytes / 1e9 * OSS_GB_MONTH * MONTHS;
    vec![
        ("a million reboots: the function", 1e6 * function),
        ("a year of storage", 1e6 * storage),
    ]
}

/// Counts through all reboots. `in_memory`: the function waits, and a console may stay in memory.
fn reboots(in_memory: bool) -> Counts {
    fastrand::seed(1); // The same table each time.
    let mut counts = Counts::default();
    for _ in 0..REBOOTS {
        reboot(in_memory, &mut counts);
    }
    counts
}

/// Three events, each followed by itself, as separate invocations are.
fn reboot(in_memory: bool, counts: &mut Counts) {
    let began: Timestamp = "2024-03-22T02:00:00Z".parse().unwrap();
    let at = |seconds: f64| began + SignedDuration::from_secs_f64(seconds);
    let mut archive = BTreeSet::new();
    for (state, second) in EVENTS {
        let mut now = second as f64;
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-bp1panicnoroot00001").unwrap(),
            region_id: None,
            account_id: None,
            cause: Cause::StateChange(state.to_owned()),
            event_id: None,
            occurred_at: Some(at(now)),
        };
        let mut follow = Follow::begin(event, at(now));
        let mut held = None;
        let mut keep = |follow: &mut Follow, console: ConsoleOutput, freshness| {
            let kept = kept(&console, freshness);
            if !follow.already_kept(&kept.record.key) {
                counts.puts += 1;
                let created = archive.insert(kept.record.key.clone());
                follow.kept.push(Kept { created, ..kept });
            }
        };
        loop {
            let console = console_at(now, began);
            counts.polls += 1;
            let change = follow.record_poll(&console, at(now));
            let freshness = follow.freshness();
            if let Some((before, freshness)) = held.take_if(|_| change == Change::Replaced) {
                keep(&mut follow, before, freshness);
            }
            match change.keeping(in_memory) {
                Keeping::Nothing => held = held.map(|_| (console, freshness)),
                Keeping::InMemory => held = Some((console, freshness)),
                Keeping::Store => keep(&mut follow, console, freshness),
            }
            let Some(pause) = follow.next_pause(FOLLOW, at(now), fastrand::f64()) else {
                break;
            };
            now += pause.as_secs_f64();
        }
        if let Some((last, freshness)) = held {
            keep(&mut follow, last, freshness);
        }
        if follow.verdict().is_some() {
            counts.puts += 1;
            counts.created += 1;
        }
        counts.waited_seconds += now - second as f64;
    }
    counts.created += archive.len() as u64;
}

/// A console as it is stored.
fn kept(console: &ConsoleOutput, freshness: Option<Freshness>) -> Kept {
    let instance_id = InstanceId::parse("i-bp1panicnoroot00001").unwrap();
    let key = RecordKey::of(&instance_id, console).to_string();
    let record = StoredRecord {
        instance_id,
        url: key.clone(),
        key,
        last_update_time: console.last_update_time.clone(),
        console_bytes: console.plain.len(),
        gzip_bytes: 0,
    };
    Kept {
        record,
        created: true,
        freshness,
    }
}

/// What ECS shows so many seconds after a reboot's first event.
fn console_at(second: f64, began: Timestamp) -> ConsoleOutput {
    let second = second as i64;
    let (text, updated) = match second {
        ..NEW_FROM => ("the boot before\n".to_owned(), -3600),
        NEW_FROM..SETTLED_FROM => (
            "line\n".repeat(1 + (second - NEW_FROM) as usize / 20),
            NEW_FROM,
        ),
        _ => ("line\n".repeat(5) + "host login: ", SETTLED_FROM),
    };
    // As ECS writes it, UTC+8.
    let updated = began + SignedDuration::from_secs(updated) + SignedDuration::from_hours(8);
    ConsoleOutput {
        plain: text.into_bytes(),
        last_update_time: updated.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        request_id: String::new(),
        reported_instance_id: None,
        is_undecoded: false,
    }
}

fn mean_gzip_bytes() -> f64 {
    let files = std::fs::read_dir("tests/fixtures/consoles").unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let sizes: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .map(|path| pack(&std::fs::read(path).unwrap()).unwrap().len())
        .collect();
    sizes.iter().sum::<usize>() as f64 / sizes.len() as f64
}
