//! The function as it is released, with and without its catalog, beside a plain Python function with the
//! official SDKs, and beside two floors: the least that keeps a console, and an empty function. They take turns
//! in one run, through the same Runtime API, ECS and S3, with the same recorded console: over plain HTTP, and
//! over TLS to both services.
//!
//! usage: make bench

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::chart::{self, Group};
use super::statistics::{Spread, quantile, short, sorted};
use super::support::runtime_api::{Answer, Function, TIMEOUT};
use super::support::s3_server::{BUCKET, Hosting, Profile, S3Server, authority, is_of_catalog};
use super::support::*;
use super::tls_front::TlsFront;
use super::{CONSOLE, instance};

const USAGE: &str =
    "usage: cargo bench --bench bench -- beside FUNCTION BARE FLOOR PYTHON FOLDER STARTS EVENTS

FUNCTION  the function as it is released
BARE      the least that keeps a console, built like it
FLOOR     the empty function, built like it
PYTHON    a Python with the packages of tests/bench/peer/requirements.txt
FOLDER    where the table and the chart go
STARTS    how often each program starts
EVENTS    how many events each serves after its first";

struct Program {
    name: &'static str,
    command: Vec<OsString>,
    /// Besides those of the services and the archive.
    settings: &'static [(&'static str, &'static str)],
    stores: bool,
    megabytes: f64,
}

/// What one process took.
struct Run {
    ready_ms: f64,
    first_ms: f64,
    warm_p50_ms: f64,
    warm_p99_ms: f64,
    cpu_ms: f64,
    peak_mib: f64,
}

/// A row of the table, of `Run`s.
struct Figure {
    name: &'static str,
    unit: &'static str,
    of: fn(&Run) -> f64,
    in_chart: bool,
}

const FIGURES: [Figure; 6] = [
    Figure {
        name: "start to the first request for an event",
        unit: "ms",
        of: |run| run.ready_ms,
        in_chart: false,
    },
    Figure {
        name: "start to the first stored console",
        unit: "ms",
        of: |run| run.first_ms,
        in_chart: true,
    },
    Figure {
        name: "event when warm, median",
        unit: "ms",
        of: |run| run.warm_p50_ms,
        in_chart: true,
    },
    Figure {
        name: "event when warm, 99 of 100 within",
        unit: "ms",
        of: |run| run.warm_p99_ms,
        in_chart: false,
    },
    Figure {
        name: "CPU time of an event when warm",
        unit: "ms",
        of: |run| run.cpu_ms,
        in_chart: true,
    },
    Figure {
        name: "peak memory",
        unit: "MiB",
        of: |run| run.peak_mib,
        in_chart: true,
    },
];

/// Which programs the table divides, by their places among them.
const RATIOS: [(usize, usize); 4] = [(2, 0), (2, 1), (0, 3), (0, 4)];

pub fn run(arguments: &[String]) {
    let [function, bare, floor, python, folder, starts, events] = arguments else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let programs = [
        Program {
            name: "the function",
            command: vec![function.into()],
            settings: &[],
            stores: true,
            megabytes: megabytes(Path::new(function)),
        },
        // It sends as many requests as the Python function.
        Program {
            name: "without a catalog",
            command: vec![function.into()],
            settings: &[("CATALOG", "off")],
            stores: true,
            megabytes: megabytes(Path::new(function)),
        },
        Program {
            name: "Python, official SDKs",
            command: vec![
                python.into(),
                root().join("tests/bench/peer/runtime.py").into(),
                "handler.handler".into(),
            ],
            settings: &[],
            stores: true,
            megabytes: packages(python).iter().map(|path| megabytes(path)).sum(),
        },
        Program {
            name: "bare function",
            command: vec![bare.into()],
            settings: &[],
            stores: true,
            megabytes: megabytes(Path::new(bare)),
        },
        Program {
            name: "empty function",
            command: vec![floor.into()],
            settings: &[],
            stores: false,
            megabytes: megabytes(Path::new(floor)),
        },
    ];
    let (starts, events) = (starts.parse().unwrap(), events.parse().unwrap());
    let mut table = format!("{}\n", conditions(python, starts, events));
    // One core for the doubles, so that the program has another.
    let runtime = crate::runtime();
    for has_tls in [false, true] {
        let runs = runtime.block_on(measure(&programs, has_tls, starts, events));
        let wire = if has_tls { "TLS" } else { "plain HTTP" };
        table += &rows(wire, &programs, &runs);
        if has_tls {
            let chart = chart(&programs, &runs);
            write(folder, "beside.svg", &chart);
        }
    }
    print!("{table}");
    write(folder, "beside.md", &table);
}

pub fn write(folder: &str, name: &str, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(Path::new(folder).join(name), text).unwrap();
}

/// Starts each program in turn, again and again; the runs of each.
async fn measure(
    programs: &[Program],
    has_tls: bool,
    starts: usize,
    events: usize,
) -> Vec<Vec<Run>> {
    let server = S3Server::start_at(Profile::Aws, None, Hosting::ByProfile, has_tls).await;
    let mut bucket = Bucket::of(server).await;
    let plain = fixture(CONSOLE);
    for event in 0..=events {
        let time = "2024-03-22 10:04:57";
        set_console(&bucket.simulator, &instance(event), &plain, time);
    }
    let front = TlsFront::before(&bucket.simulator.endpoint_url()).await;
    if has_tls {
        let ecs = ("ECS_ENDPOINT_URL".to_owned(), front.url());
        bucket.settings.retain(|(name, _)| *name != ecs.0);
        bucket.settings.push(ecs);
        let authority = authority();
        for name in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
            let file = authority.to_str().unwrap().to_owned();
            bucket.settings.push((name.to_owned(), file));
        }
    }
    let mut runs: Vec<_> = programs.iter().map(|_| Vec::new()).collect();
    // The first start brings the files into memory, and does not count.
    for turn in 0..=starts {
        for (program, runs) in programs.iter().zip(&mut runs) {
            let run = run_once(program, &bucket, turn, events).await;
            if turn > 0 {
                runs.push(run);
            }
        }
    }
    runs
}

/// Starts a program, gives it all events, one by one, and looks whether all consoles are stored.
async fn run_once(program: &Program, bucket: &Bucket, turn: usize, events: usize) -> Run {
    let prefix = format!("{}/{turn}", program.name.replace([' ', ','], "-"));
    let mut settings = bucket.settings.clone();
    settings.retain(|(name, _)| name != "ARCHIVE_URL");
    settings.push(("ARCHIVE_URL".into(), format!("s3://{BUCKET}/{prefix}")));
    let own = program.settings.iter();
    settings.extend(own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let function = Function::start_command(&program.command, &settings).await;
    serve(&function, program, 0).await;
    let first = function.started_at().elapsed();
    let ready = function.asked_at(1).await - function.started_at();
    let process = function.process().id;
    let cpu_before = cpu_time(process);
    let mut warm_ms = Vec::new();
    for event in 1..=events {
        let began = Instant::now();
        serve(&function, program, event).await;
        warm_ms.push(millis(began.elapsed()));
    }
    let cpu = cpu_time(process) - cpu_before;
    let peak_mib = peak_mib(process);
    function.stop().await;
    if program.stores {
        let mut stored = bucket.server.take_below(&prefix);
        stored.retain(|key, _| !is_of_catalog(key));
        assert_eq!(stored.len(), 1 + events, "{}", program.name);
        for object in stored.values().take(3) {
            assert!(gunzip(&object.body) == fixture(CONSOLE), "{}", program.name);
        }
    }
    let warm_ms = sorted(warm_ms);
    Run {
        ready_ms: millis(ready),
        first_ms: millis(first),
        warm_p50_ms: quantile(&warm_ms, 0.5),
        warm_p99_ms: quantile(&warm_ms, 0.99),
        cpu_ms: millis(cpu) / events as f64,
        peak_mib,
    }
}

async fn serve(function: &Function, program: &Program, event: usize) {
    let payload = json!({"instance_id": instance(event), "region_id": "cn-hangzhou"});
    let answer = function
        .invoke(payload.to_string().as_bytes(), TIMEOUT)
        .await;
    let expected = if program.stores { "stored" } else { "nothing" };
    let is_good = matches!(&answer, Answer::Response(value) if value["outcome"] == expected);
    assert!(is_good, "{}: {answer:?}", program.name);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What all threads of a process have run so far. Unlike in `/proc/PID/stat`, in nanoseconds.
pub fn cpu_time(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanos = threads.map(|thread| {
        let times = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        times.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

pub fn peak_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024.0
}

/// Of a file, or of everything below a folder.
fn megabytes(path: &Path) -> f64 {
    let bytes = if path.is_dir() {
        files_in(path).iter().map(|(_, bytes)| bytes.len()).sum()
    } else {
        std::fs::metadata(path).unwrap().len() as usize
    };
    bytes as f64 / 1e6
}

/// The peer's packages: what one would put into the zip file. That is all of the environment but
/// what installs packages.
fn packages(python: &str) -> Vec<PathBuf> {
    let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let folder = printed_by(python, &["-c", script]);
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let tools = ["pip", "setuptools", "pkg_resources", "_distutils_hack"];
    let is_tool = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        tools.iter().any(|tool| name.starts_with(tool))
    };
    paths.filter(|path| !is_tool(path)).collect()
}

fn printed_by(program: &str, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(program);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    text(&output.stdout).trim().to_owned()
}

/// On what, and beside what, this runs.
fn conditions(python: &str, starts: usize, events: usize) -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find(|line| line.starts_with("model name"));
    let model = model.map_or("an unnamed processor", |line| {
        line.split_once(": ").unwrap().1
    });
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{} {}, {cores} cores of {model}, {}. {starts} starts of each program, {events} events \
         after each. Median of the starts (smallest to largest). The load of the machine before was \
         {load}.",
        std::env::consts::OS,
        std::env::consts::ARCH,
        printed_by(python, &["--version"]),
    )
}

fn rows(wire: &str, programs: &[Program], runs: &[Vec<Run>]) -> String {
    let names: Vec<_> = programs.iter().map(|program| program.name).collect();
    let ratios = RATIOS.map(|(over, under)| format!("{} ÷ {}", names[over], names[under]));
    let columns = names.len() + ratios.len();
    let mut table = format!(
        "\n| {wire} | {} | {} |\n|---|{}\n",
        names.join(" | "),
        ratios.join(" | "),
        "---|".repeat(columns)
    );
    let mut row = |name: &str, values: Vec<Spread>| {
        let ratio = |(over, under): (usize, usize)| values[over].median / values[under].median;
        let ratios = RATIOS.map(|pair| short(ratio(pair)));
        let values: Vec<_> = values.iter().map(Spread::text).collect();
        let (values, ratios) = (values.join(" | "), ratios.join(" | "));
        table += &format!("| {name} | {values} | {ratios} |\n");
    };
    for figure in &FIGURES {
        let spreads = runs
            .iter()
            .map(|runs| Spread::of(runs.iter().map(figure.of)));
        let name = format!("{}, {}", figure.name, figure.unit);
        row(&name, spreads.collect());
    }
    let sizes = programs
        .iter()
        .map(|program| Spread::exactly(program.megabytes));
    row("size of what is deployed, MB", sizes.collect());
    table
}

fn chart(programs: &[Program], runs: &[Vec<Run>]) -> String {
    let measured = FIGURES.iter().filter(|figure| figure.in_chart);
    let measured = measured.map(|figure| Group {
        name: figure.name.to_owned(),
        unit: figure.unit,
        values: (runs.iter())
            .map(|runs| Spread::of(runs.iter().map(figure.of)).median)
            .collect(),
    });
    let size = Group {
        name: "size of what is deployed".to_owned(),
        unit: "MB",
        values: programs.iter().map(|program| program.megabytes).collect(),
    };
    let groups: Vec<_> = measured.chain([size]).collect();
    let names: Vec<_> = programs.iter().map(|program| program.name).collect();
    chart::bars(
        "From an event to a stored console, over TLS",
        &names,
        &groups,
    )
}
