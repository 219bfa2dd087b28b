//! Sweeps of whole fleets by the function as it is released, through an ECS and an S3 that take 50 ms for
//! each answer, and a burst of events on each platform, which is simulated.
//!
//! usage: make bench-fleet

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::beside::{cpu_time, peak_mib, write};
use super::chart::{self, Group};
use super::statistics::short;
use super::support::burst::{Platform, burst};
use super::support::runtime_api::{Answer, Function};
use super::support::s3_server::Profile;
use super::support::*;
use super::{CONSOLE, instance};

const USAGE: &str = "usage: cargo bench --bench bench -- fleet FUNCTION FOLDER

FUNCTION  the function as it is released
FOLDER    where the tables and the chart go";

const FLEETS: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// What ECS and the store take for an answer.
const LATENCY: Duration = Duration::from_millis(50);
/// Instances that a sweep asks for in a second, and at once. Each takes one call to ECS and one to the
/// store, which is 0.1 s, so 20 at once would be enough.
const PER_SECOND: usize = 200;
const AT_ONCE: usize = 64;
/// More than any of the sweeps takes.
const TIME: Duration = Duration::from_secs(3600);

const EVENTS: usize = 1000;
const CALLS_PER_MINUTE: [usize; 3] = [6000, 600, 300];

struct Swept {
    instances: usize,
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

pub fn run(arguments: &[String]) {
    let [function, folder] = arguments else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let bursts = bursts();
    print!("{bursts}");
    write(folder, "burst.md", &bursts);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let swept: Vec<_> = FLEETS
        .iter()
        .map(|instances| {
            let swept = runtime.block_on(sweep(function, *instances));
            println!("{} instances in {:.1} s", swept.instances, swept.seconds);
            swept
        })
        .collect();
    let table = table(&swept);
    print!("{table}");
    write(folder, "fleet.md", &table);
    write(folder, "fleet.svg", &picture(&swept));
}

async fn sweep(function: &str, instances: usize) -> Swept {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let plain = fixture(CONSOLE);
    for index in 0..instances {
        // Each has a console of its own, so that each is stored.
        set_console(
            &bucket.simulator,
            &instance(index),
            &plain,
            "2024-03-22 10:04:57",
        );
    }
    let mut fronts = Vec::new();
    for (name, value) in &mut bucket.settings {
        if [
            "ECS_ENDPOINT_URL",
            "ARCHIVE_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
        ]
        .contains(&name.as_str())
        {
            let front = SlowFront::before(value).await;
            *value = front.url(value);
            fronts.push(front);
        }
    }
    assert_eq!(fronts.len(), 2, "{:?}", bucket.settings);
    let function = Function::start_command(&[function.into()], &bucket.settings).await;
    function.asked_at(1).await;
    let process = function.process().id;
    let (cpu_before, began) = (cpu_time(process), Instant::now());
    let request = json!({"sweep": {
        "regions": ["cn-hangzhou"], "per_second": PER_SECOND, "concurrency": AT_ONCE,
    }});
    let answer = function.invoke(request.to_string().as_bytes(), TIME).await;
    let seconds = began.elapsed().as_secs_f64();
    let Answer::Response(value) = &answer else {
        panic!("{answer:?}");
    };
    let known = instances + usize::try_from(value["no_console"].as_u64().unwrap()).unwrap();
    assert!(
        value["stored"].as_u64().unwrap() >= instances as u64,
        "{value}, {known}"
    );
    let swept = Swept {
        instances: usize::try_from(value["stored"].as_u64().unwrap()).unwrap(),
        seconds,
        cpu_seconds: (cpu_time(process) - cpu_before).as_secs_f64(),
        peak_mib: peak_mib(process),
    };
    function.stop().await;
    swept
}

/// Passes on each piece of an answer so much later.
struct SlowFront {
    port: u16,
    server: JoinHandle<()>,
}

impl SlowFront {
    async fn before(url: &str) -> Self {
        let upstream = url::Url::parse(url).unwrap();
        let upstream = ("127.0.0.1", upstream.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(upstream).await.unwrap();
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                }
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                connections.spawn(pass_on(from_near, to_far, Duration::ZERO));
                connections.spawn(pass_on(from_far, to_near, LATENCY));
            }
        });
        Self { port, server }
    }

    fn url(&self, of: &str) -> String {
        let mut url = url::Url::parse(of).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.as_str().trim_end_matches('/').to_owned()
    }
}

impl Drop for SlowFront {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    later: Duration,
) {
    let (sender, mut pieces) = mpsc::unbounded_channel::<(Instant, Bytes)>();
    let read = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            let piece = Bytes::copy_from_slice(&buffer[..bytes]);
            if sender.send((Instant::now() + later, piece)).is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}

fn table(swept: &[Swept]) -> String {
    let mut table = format!(
        "At most {PER_SECOND} instances a second and {AT_ONCE} at once. ECS and the store answer after {} ms.\n\n\
         | instances | s | instances a second | CPU of the function, s | CPU for an instance, ms | busy | \
         peak memory, MiB |\n|---|---|---|---|---|---|---|\n",
        LATENCY.as_millis()
    );
    for Swept {
        instances,
        seconds,
        cpu_seconds,
        peak_mib,
    } in swept
    {
        table += &format!(
            "| {instances} | {} | {} | {} | {} | {:.0} % | {} |\n",
            short(*seconds),
            short(*instances as f64 / seconds),
            short(*cpu_seconds),
            short(cpu_seconds / *instances as f64 * 1e3),
            cpu_seconds / seconds * 100.0,
            short(*peak_mib),
        );
    }
    table
}

fn picture(swept: &[Swept]) -> String {
    let each = |name: &str, unit: &'static str, of: &dyn Fn(&Swept) -> f64| Group {
        name: name.to_owned(),
        unit,
        values: swept.iter().map(of).collect(),
    };
    let names: Vec<_> = swept
        .iter()
        .map(|swept| format!("{} instances", swept.instances))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let groups = [
        each("time for 1000 instances", "s", &|s| {
            s.seconds / s.instances as f64 * 1e3
        }),
        each("CPU for 1000 instances", "s", &|s| {
            s.cpu_seconds / s.instances as f64 * 1e3
        }),
        each("peak memory", "MiB", &|s| s.peak_mib),
    ];
    chart::bars("A sweep, by the size of the fleet", &names, &groups)
}

fn bursts() -> String {
    let mut table = format!(
        "| {EVENTS} events at once, on | ECS answers in a minute | until the last is stored, s | deliveries | \
         throttled calls | stored | given up by the platform | lost |\n|---|---|---|---|---|---|---|---|\n"
    );
    for (name, platform) in [
        ("AWS Lambda", Platform::Lambda),
        ("Function Compute", Platform::FunctionCompute),
        ("the receiver", Platform::Receiver),
    ] {
        for calls in CALLS_PER_MINUTE {
            // The time in it is simulated.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let after = runtime.block_on(burst(platform, EVENTS, calls));
            table += &format!(
                "| {name} | {calls} | {} | {} | {} | {} | {} | {} |\n",
                short(after.last_stored_after.as_secs_f64()),
                after.deliveries,
                after.throttled,
                after.stored,
                after.given_up,
                after.lost
            );
        }
    }
    table
}
