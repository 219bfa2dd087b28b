//! What a million reboots cost: requests counted by running the real policy of following, and the real
//! decisions what to store, through a reboot, by a clock of its own, and multiplied by list prices. Both
//! clouds follow through messages; Function Compute also as it must where it does not honour the delay. The
//! catalog is joined once a day (`ScheduledCompaction`), and its rows have the sizes that the program gives them.
//!
//! usage: make costs

use std::collections::BTreeSet;
use std::time::Duration;

use ecs_console_archiver::archive::catalog::day::Rows;
use ecs_console_archiver::archive::catalog::{Day, Row};
use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::archive::record::{Record, pack};
use ecs_console_archiver::capture::follow::{Change, Follow, Keeping, Kept};
use ecs_console_archiver::capture::memory::Memory;
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::outcome::StoredRecord;
use ecs_console_archiver::reading::ending::boot_facts;
use jiff::{SignedDuration, Timestamp};

const REBOOTS: u32 = 10_000;
/// How long a console is followed, as the templates have it.
const FOLLOW: Duration = Duration::from_secs(300);
/// For comparison.
const SHORTER: Duration = Duration::from_secs(180);
/// The events of a reboot, by seconds since the first.
const EVENTS: [(&str, i64); 3] = [("Stopping", 0), ("Starting", 25), ("Running", 40)];
/// ECS shows the console of the boot before until here, then a new one that grows every 20 s, and
/// from here on one that ends with a login prompt. Its cache lags a minute behind.
const NEW_FROM: i64 = 100;
const SETTLED_FROM: i64 = 160;
/// What one poll takes of the function's time, with the requests it makes: an assumption.
const POLL_SECONDS: f64 = 0.3;
/// What an invocation of 60 s can wait for a message that came early.
const WAIT_SECONDS: f64 = 57.5;
/// Log lines of an invocation, with those of the platform.
const LOG_BYTES: f64 = 1000.0;
/// How long a record is kept, as the templates have it.
const MONTHS: f64 = 12.0;
/// What a row takes of the function's time when it is joined, on a seventh of a processor: it is read, which is a
/// request of about 0.6 million instructions, and one request removes a thousand. An assumption.
const JOIN_SECONDS: f64 = 0.0035;
/// How long a versioned bucket keeps what was removed, as the templates of AWS have it.
const NONCURRENT_MONTHS: f64 = 1.0;
/// Rows of a day that a joined one is measured by.
const ROWS_OF_A_DAY: usize = 1000;

// List prices in US dollars. AWS: us-east-1.
const LAMBDA_INVOCATION: f64 = 0.20e-6;
const LAMBDA_GB_SECOND: f64 = 16.6667e-6;
const LAMBDA_GB: f64 = 0.25;
const S3_PUT: f64 = 5e-6;
const S3_GET: f64 = 0.4e-6;
/// A request lists a thousand keys. Removing is free.
const S3_LIST_KEY: f64 = 5e-6 / 1000.0;
const S3_GB_MONTH: f64 = 0.023;
const SQS_REQUEST: f64 = 0.40e-6;
const LOGS_GB: f64 = 0.50;
// Alibaba Cloud: Function Compute counts in CU, whose factors its price page gives. An asynchronous
// invocation is billed as any other ("Configure a retry mechanism", 2026-04: "billed per invocation"),
// and neither page has a price for its time in the queue.
const CU: f64 = 20e-6;
const CU_INVOCATION: f64 = 75.0 / 10_000.0;
/// 0.1 vCPU, 0.125 GB of memory and 0.5 GB of disk, as the templates have it.
const CU_SECOND: f64 = 0.1 * 1.0 + 0.125 * 0.15 + 0.5 * 0.05;
const OSS_GB_MONTH: f64 = 0.0173;

/// How reboots are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through messages, by one process, as where reboots come one by one: it remembers what it has
    /// stored.
    OneProcess,
    /// Through messages, each served by another process, as where very many reboots come at once: none
    /// remembers anything.
    ManyProcesses,
    /// Through messages whose delay is not honoured, by one process: each waits within its invocation,
    /// and is sent again when the invocation's time ends.
    Early,
    /// Within the invocation, which is paid for while it waits. A console may stay in memory.
    Waiting,
}

/// Behind each object of an event stands its row of the catalog.
const ROW: u64 = 1;

/// Bytes that are stored.
#[derive(Clone, Copy)]
struct Sizes {
    /// A record.
    gzip: f64,
    /// A row by itself, which lasts until its day is joined.
    row: f64,
    /// A row in the object of its day.
    joined_row: f64,
}

impl Sizes {
    /// Of the consoles of the tests.
    fn measured() -> Self {
        let consoles = consoles();
        let gzip_bytes = consoles.iter().map(|plain| pack(plain).unwrap().len());
        let rows: Vec<_> = (0..ROWS_OF_A_DAY)
            .map(|number| row(&consoles[number % consoles.len()], number))
            .collect();
        let row_bytes = rows.iter().map(|row| row.packed().1.body.len());
        let (gzip_bytes, row_bytes): (usize, usize) = (gzip_bytes.sum(), row_bytes.sum());
        let day = Day::of(rows[0].captured_at);
        let joined = Rows::from_iter(rows).packed(day).unwrap();
        let joined_bytes: usize = joined.iter().map(|(_, object)| object.body.len()).sum();
        Self {
            gzip: gzip_bytes as f64 / consoles.len() as f64,
            row: row_bytes as f64 / ROWS_OF_A_DAY as f64,
            joined_row: joined_bytes as f64 / ROWS_OF_A_DAY as f64,
        }
    }
}

/// A row as an event gives it, of an instance and a console of its own.
fn row(console: &[u8], number: usize) -> Row {
    let text = ConsoleDigest::of(&number.to_le_bytes()).to_string();
    let captured_at: Timestamp = "2024-03-22T02:00:00Z".parse().unwrap();
    let captured_at = captured_at + SignedDuration::from_secs(60 * number as i64 % 86_400);
    let region_id = RegionId::parse("cn-hangzhou").unwrap();
    let event = InstanceEvent {
        instance_id: InstanceId::parse(&format!("i-bp1{}", &text[..17])).unwrap(),
        region_id: Some(region_id.clone()),
        account_id: None,
        cause: Cause::StateChange("Stopping".to_owned()),
        // As EventBridge has it, a UUID.
        event_id: Some(text[17..53].to_owned()),
        occurred_at: Some(captured_at),
    };
    let plain = [text.as_bytes(), console].concat();
    let update_time = captured_at + SignedDuration::from_hours(8);
    let console = ConsoleOutput {
        last_update_time: update_time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        plain,
        request_id: String::new(),
        reported_instance_id: None,
        is_undecoded: false,
    };
    let freshness = Some(Freshness::Fresh);
    let record = Record::new(&event, &region_id, &console, captured_at, freshness).unwrap();
    let digest = ConsoleDigest::of(&console.plain);
    let facts = boot_facts(&console.plain);
    Row::of_record(&event, &region_id, &record, digest, facts, captured_at)
        .with_freshness(freshness)
        .with_update_time(&console.last_update_time)
}

/// What one way of following takes, over all reboots.
#[derive(Default)]
struct Counts {
    polls: u64,
    /// Messages that came early and were sent again.
    sent_again: u64,
    puts: u64,
    /// Objects that were not there before.
    created: u64,
    waited_seconds: f64,
}

/// A deployment, in numbers of one reboot.
struct Reboot {
    name: String,
    invocations: f64,
    polls: f64,
    /// Messages of the follow queue.
    messages: f64,
    puts: f64,
    records: f64,
    /// Of the catalog.
    rows: f64,
    /// That the function is paid for.
    seconds: f64,
    /// From each event's first look to its last, together.
    waited_seconds: f64,
}

impl Reboot {
    fn followed(way: Way, budget: Duration, name: &str) -> Self {
        let events = EVENTS.len() as f64;
        let counts = reboots(way, budget);
        let mean = |count: u64| count as f64 / f64::from(REBOOTS);
        let (polls, sent_again) = (mean(counts.polls), mean(counts.sent_again));
        let waited_seconds = counts.waited_seconds / f64::from(REBOOTS);
        let is_waiting = way == Way::Waiting;
        let is_paid_to_wait = matches!(way, Way::Waiting | Way::Early);
        Self {
            name: name.to_owned(),
            invocations: if is_waiting {
                events
            } else {
                polls + sent_again
            },
            polls,
            messages: if is_waiting {
                0.0
            } else {
                polls - events + sent_again
            },
            puts: mean(counts.puts),
            records: mean(counts.created),
            rows: mean(counts.puts * ROW / (1 + ROW)),
            seconds: polls * POLL_SECONDS + if is_paid_to_wait { waited_seconds } else { 0.0 },
            waited_seconds,
        }
    }

    /// `FOLLOW_SECONDS=0`, by one process.
    fn not_followed() -> Self {
        let name = "`FOLLOW_SECONDS=0`";
        Self::followed(Way::OneProcess, Duration::ZERO, name)
    }
}

pub fn run(_: &[String]) {
    let sizes = Sizes::measured();
    println!(
        "{REBOOTS} reboots of {} events, by a record of {:.0} bytes, a row of {:.0}, and of {:.0} when joined",
        EVENTS.len(),
        sizes.gzip,
        sizes.row,
        sizes.joined_row
    );
    let (long, short) = (FOLLOW.as_secs(), SHORTER.as_secs());
    let through_messages = |many: &str| {
        vec![
            Reboot::followed(Way::OneProcess, FOLLOW, &format!("followed for {long} s")),
            Reboot::followed(Way::ManyProcesses, FOLLOW, &format!("the same, {many}")),
            Reboot::followed(Way::OneProcess, SHORTER, &format!("followed for {short} s")),
            Reboot::not_followed(),
        ]
    };
    let kinds = through_messages("very many at once");
    table("AWS", &kinds, |r| aws(r, sizes));
    let mut kinds = through_messages("very many at once");
    let name = format!("followed for {long} s, without the delay");
    kinds.push(Reboot::followed(Way::Early, FOLLOW, &name));
    table("Function Compute", &kinds, |r| function_compute(r, sizes));
    let kinds = [
        Reboot::followed(Way::OneProcess, FOLLOW, "with the queue"),
        Reboot::followed(Way::Waiting, FOLLOW, "within the invocation"),
    ];
    table("For comparison", &kinds, |_| Vec::new());
}

/// Prints a table: what one reboot takes, and what a million cost.
fn table(host: &str, kinds: &[Reboot], dollars: impl Fn(&Reboot) -> Vec<(&'static str, f64)>) {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    println!("\n| {host} | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(kinds.len()));
    let row = |name: &str, of: fn(&Reboot) -> f64| {
        let cells: Vec<_> = kinds
            .iter()
            .map(|kind| format!("{:.1}", of(kind)))
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    row("a reboot: invocations", |r| r.invocations);
    row("requests to ECS", |r| r.polls);
    row("objects put, with rows of the catalog", |r| r.puts);
    row("of them new", |r| r.records);
    row("rows of the catalog to join", |r| r.rows);
    row(
        "seconds from first to last look, of its events together",
        |r| r.waited_seconds,
    );
    row("seconds of the function", |r| r.seconds);
    let costs: Vec<_> = kinds.iter().map(&dollars).collect();
    let line = |name: &str, values: Vec<f64>| {
        let cells: Vec<_> = values.iter().map(|value| format!("${value:.2}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    for (index, (part, _)) in costs[0].iter().enumerate() {
        line(part, costs.iter().map(|parts| parts[index].1).collect());
    }
    if costs.iter().all(Vec::is_empty) {
        return;
    }
    let sum = |parts: &Vec<(&str, f64)>| parts.iter().map(|(_, cost)| cost).sum();
    line("together", costs.iter().map(sum).collect());
}

fn aws(r: &Reboot, sizes: Sizes) -> Vec<(&'static str, f64)> {
    let function = r.invocations * LAMBDA_INVOCATION + r.seconds * LAMBDA_GB * LAMBDA_GB_SECOND;
    let removed = r.rows * sizes.row * NONCURRENT_MONTHS;
    let storage = (stored(r, sizes) * MONTHS + removed) / 1e9 * S3_GB_MONTH;
    let join = JOIN_SECONDS * LAMBDA_GB * LAMBDA_GB_SECOND + S3_GET + S3_LIST_KEY;
    vec![
        ("a million reboots: the function", 1e6 * function),
        // A message is sent, received and deleted.
        ("queue", 1e6 * r.messages * 3.0 * SQS_REQUEST),
        ("objects put", 1e6 * r.puts * S3_PUT),
        ("the catalog joined", 1e6 * r.rows * join),
        ("a year of storage", 1e6 * storage),
        ("logs", 1e6 * r.invocations * LOG_BYTES / 1e9 * LOGS_GB),
    ]
}

fn function_compute(r: &Reboot, sizes: Sizes) -> Vec<(&'static str, f64)> {
    let function = (r.invocations * CU_INVOCATION + r.seconds * CU_SECOND) * CU;
    let storage = stored(r, sizes) / 1e9 * OSS_GB_MONTH * MONTHS;
    vec![
        ("a million reboots: the function", 1e6 * function),
        (
            "the catalog joined",
            1e6 * r.rows * JOIN_SECONDS * CU_SECOND * CU,
        ),
        ("a year of storage", 1e6 * storage),
    ]
}

/// Bytes that stay of a reboot.
fn stored(r: &Reboot, sizes: Sizes) -> f64 {
    // All rows of a record become one.
    r.records * (sizes.gzip + sizes.joined_row)
}

/// Counts through all reboots.
fn reboots(way: Way, budget: Duration) -> Counts {
    fastrand::seed(1); // The same table each time.
    let mut counts = Counts::default();
    for _ in 0..REBOOTS {
        reboot(way, budget, &mut counts);
    }
    counts
}

/// An event between two looks.
struct Followed {
    follow: Follow,
    /// Seconds since the first event.
    next: f64,
    held: Option<(ConsoleOutput, Option<Freshness>)>,
}

/// Three events, each followed by itself, in the order in which their looks come.
fn reboot(way: Way, budget: Duration, counts: &mut Counts) {
    let began: Timestamp = "2024-03-22T02:00:00Z".parse().unwrap();
    let at = |seconds: f64| began + SignedDuration::from_secs_f64(seconds);
    let mut archive = BTreeSet::new();
    let memory = Memory::default();
    let begin = |(state, second): (&str, i64)| {
        let next = second as f64;
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-bp1panicnoroot00001").unwrap(),
            region_id: None,
            account_id: None,
            cause: Cause::StateChange(state.to_owned()),
            event_id: None,
            occurred_at: Some(at(next)),
        };
        Followed {
            follow: Follow::begin(event, at(next)),
            next,
            held: None,
        }
    };
    let mut followed: Vec<_> = EVENTS.into_iter().map(begin).collect();
    let mut keep = |follow: &mut Follow, console: &ConsoleOutput, freshness, now| {
        let kept = kept(console, freshness);
        let key = kept.record.key.clone();
        if follow.already_kept(&key) {
            return;
        }
        if !memory.has_stored(&key, now) {
            counts.puts += 1 + ROW;
        }
        // Without a queue, the function does not use what it remembers.
        if matches!(way, Way::OneProcess | Way::Early) {
            memory.note_stored(&key, now);
        }
        let created = archive.insert(key);
        follow.kept.push(Kept { created, ..kept });
    };
    let (mut verdicts, mut polls, mut sent_again) = (0, 0, 0);
    while let Some(index) =
        (0..followed.len()).min_by(|a, b| followed[*a].next.total_cmp(&followed[*b].next))
    {
        let Followed { follow, next, held } = &mut followed[index];
        let now = at(*next);
        let console = console_at(*next, began);
        polls += 1;
        let change = follow.record_poll(&console, now);
        let freshness = follow.freshness();
        if let Some((before, freshness)) = held.take_if(|_| change == Change::Replaced) {
            keep(follow, &before, freshness, now);
        }
        match change.keeping(way == Way::Waiting) {
            Keeping::Nothing => *held = held.take().map(|_| (console, freshness)),
            Keeping::InMemory => *held = Some((console, freshness)),
            Keeping::Store => keep(follow, &console, freshness, now),
        }
        if let Some(pause) = follow.next_pause(budget, now, fastrand::f64()) {
            *next += pause.as_secs_f64();
            if way == Way::Early {
                sent_again += (pause.as_secs_f64() / WAIT_SECONDS) as u64;
            }
            continue;
        }
        if let Some((last, freshness)) = held.take() {
            keep(follow, &last, freshness, now);
        }
        verdicts += u64::from(follow.verdict().is_some());
        counts.waited_seconds += now.duration_since(follow.began_at).as_secs_f64();
        followed.remove(index);
    }
    counts.polls += polls;
    counts.sent_again += sent_again;
    counts.puts += verdicts * (1 + ROW);
    counts.created += archive.len() as u64 + verdicts;
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
        captured_at: None,
        findings: Vec::new(),
        reached_login: Some(true),
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

fn consoles() -> Vec<Vec<u8>> {
    let files = std::fs::read_dir("tests/fixtures/consoles").unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort(); // The same table each time.
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}
