//! How fast an archive in a bucket is searched: by the real program, from the suite's S3 server over loopback, which
//! answers at once, or so much later as a bucket in the region does, or first refuses each read.
//!
//! usage: make bench-searching-bucket [RECORDS=10000]

use std::process::Command;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::beside::{cpu_time, write};
use crate::searching::{Filled, Run, records};
use crate::statistics::{Spread, short};
use crate::support::s3_server::{Profile, Quirk, REAL_PAGE, StoredObject};
use crate::support::{Bucket, program};

const ROUNDS: usize = 5;
const LATENCY: Duration = Duration::from_millis(20);
/// Each console has it.
const PATTERN: &str = "reboot: Restarting";

/// How the store answers.
struct Store {
    name: &'static str,
    latency: Duration,
    throttles: bool,
    rounds: usize,
}

const STORES: [Store; 3] = [
    Store {
        name: "answers at once",
        latency: Duration::ZERO,
        throttles: false,
        rounds: ROUNDS,
    },
    Store {
        name: "answers after 20 ms",
        latency: LATENCY,
        throttles: false,
        rounds: ROUNDS,
    },
    // It takes minutes; once says enough.
    Store {
        name: "answers after 20 ms, and the first read of each record with 503",
        latency: LATENCY,
        throttles: true,
        rounds: 1,
    },
];

/// What a search took, and what the store saw of it.
struct Searched {
    run: Run,
    store_cpu: f64,
    reads: usize,
    most_at_once: usize,
    tried_again: usize,
}

/// `searching-bucket OUTPUT [RECORDS]`
pub fn run(arguments: &[String]) {
    let measured = &arguments[0];
    let count = crate::records(arguments.get(1));
    let runtime = crate::runtime();
    let bucket = runtime.block_on(Bucket::start(Profile::Aws));
    bucket.server.set_page(REAL_PAGE);
    bucket.server.put_all(records(count).map(stored));
    let mut all: Vec<Vec<Searched>> = STORES.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for (store, searched) in STORES.iter().zip(&mut all) {
            if round < store.rounds {
                searched.push(search(&bucket, store));
            }
        }
    }
    let mut table = format!(
        "| {count} records in a bucket that | Searched | s | Records a second | Reads | Most at once | Tried again | CPU time of `grep`, s | of the store, s | Peak memory, MiB |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for (store, searched) in STORES.iter().zip(&all) {
        let spread = |of: fn(&Searched) -> f64| Spread::of(searched.iter().map(of)).text();
        let most = |of: fn(&Searched) -> usize| searched.iter().map(of).max().unwrap();
        // The pattern is in each record once. A search that fails has not come to all of them.
        let searched_records = searched
            .iter()
            .map(|searched| searched.run.lines)
            .min()
            .unwrap();
        let seconds = Spread::of(searched.iter().map(|searched| searched.run.seconds));
        table.push_str(&format!(
            "| {} | {searched_records} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            store.name,
            seconds.text(),
            short(searched_records as f64 / seconds.median),
            most(|searched| searched.reads),
            most(|searched| searched.most_at_once),
            most(|searched| searched.tried_again),
            spread(|searched| searched.run.cpu),
            spread(|searched| searched.store_cpu),
            spread(|searched| searched.run.peak_mib),
        ));
    }
    println!("{table}");
    write(measured, "searching-bucket.md", &table);
}

pub fn stored(record: Filled) -> (String, StoredObject) {
    let since_epoch = record.captured_at.duration_since(Timestamp::UNIX_EPOCH);
    let since_epoch = since_epoch.unsigned_abs();
    let object = StoredObject {
        body: record.object.body,
        content_type: Some(record.object.content_type),
        content_encoding: None,
        metadata: record.object.metadata,
        encryption: Default::default(),
        stored_at: SystemTime::UNIX_EPOCH + since_epoch,
    };
    (format!("kept/here/{}", record.key), object)
}

fn search(bucket: &Bucket, store: &Store) -> Searched {
    let quirks: &[_] = if store.throttles {
        &[Quirk::ThrottlesReads]
    } else {
        &[]
    };
    let server = &bucket.server;
    server.behave(quirks);
    server.set_latency(store.latency);
    server.forget_reads();
    let requests = || server.methods().len() - server.listings();
    let before = requests();
    let store_cpu = cpu_time(std::process::id());
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(program("console-archive"));
    command
        .env_clear()
        .envs(bucket.settings.iter().cloned())
        .args(["grep", "-c", PATTERN, "--stats"]);
    let run = Run::of(&command, output.path());
    let searched = Searched {
        store_cpu: (cpu_time(std::process::id()) - store_cpu).as_secs_f64(),
        reads: requests() - before,
        most_at_once: server.most_reading(),
        tried_again: tried_again(&run.told),
        run,
    };
    assert!(searched.run.lines > 0, "{}", searched.run.told);
    println!(
        "{}: {:.2} s, {} reads, {} lines",
        store.name, searched.run.seconds, searched.reads, searched.run.lines
    );
    searched
}

/// What it says of itself, such as "12 reads tried again".
fn tried_again(told: &str) -> usize {
    let words: Vec<_> = told.split_whitespace().collect();
    let mut places = words.windows(4);
    let found = places.find(|words| words[1..] == ["reads", "tried", "again"]);
    found.map_or(0, |words| words[0].parse().unwrap())
}
