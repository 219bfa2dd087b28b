//! Cold start, first capture, peak memory and size of a built function, as whole processes.
//!
//! usage: cargo bench --bench cold_start -- PATH_OF_BOOTSTRAP
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ecs_console_archiver::model::credentials::{Credentials, Secret};
use ecs_console_archiver::simulator::{Simulator, SimulatorConfig};

const RUNS: usize = 21;
const EVENT: &str = r#"{"instance_id":"i-bp1panicnoroot00001","region_id":"cn-hangzhou"}"#;

struct Run {
    ready: Duration,
    captured: Duration,
    peak_kib: u64,
}

fn main() {
    let Some(function) = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"))
    else {
        eprintln!("usage: cargo bench --bench cold_start -- PATH_OF_BOOTSTRAP");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let simulator = runtime
        .block_on(Simulator::start(SimulatorConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            consoles: Some("tests/fixtures/consoles".into()),
            credentials: Credentials {
                access_key_id: "simulator".into(),
                access_key_secret: Secret::new("simulator-secret"),
                security_token: None,
            },
        }))
        .unwrap();
    run_once(&function, &simulator.endpoint_url()); // Into the page cache.
    let runs: Vec<_> = (0..RUNS)
        .map(|_| run_once(&function, &simulator.endpoint_url()))
        .collect();
    let size = std::fs::metadata(&function).unwrap().len();
    println!("of {RUNS} starts: median (least to most)");
    row(
        "process start to first request for work, ms",
        runs.iter().map(|r| millis(r.ready)),
    );
    row(
        "process start to first console kept in a folder, ms",
        runs.iter().map(|r| millis(r.captured)),
    );
    row(
        "peak memory, MiB",
        runs.iter().map(|r| r.peak_kib as f64 / 1024.0),
    );
    println!("size of the program, MiB: {:.1}", size as f64 / 1048576.0);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn row(name: &str, values: impl Iterator<Item = f64>) {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    );
    println!("{name}: {median:.1} ({least:.1} to {most:.1})");
}

/// Starts the function, gives it one event, and waits for the answer.
fn run_once(function: &str, endpoint_url: &str) -> Run {
    let archive = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let mut process = Command::new(function)
        .env_clear()
        .env(
            "AWS_LAMBDA_RUNTIME_API",
            listener.local_addr().unwrap().to_string(),
        )
        .env("AWS_LAMBDA_FUNCTION_NAME", "f")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env(
            "ARCHIVE_URL",
            url::Url::from_file_path(archive.path()).unwrap().as_str(),
        )
        .env("ECS_ENDPOINT_URL", endpoint_url)
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "simulator")
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "simulator-secret")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    read_request(&mut reader);
    let ready = start.elapsed();
    let head = format!(
        "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: 99999999999999\r\n\
         lambda-runtime-invoked-function-arn: a\r\ncontent-length: {}\r\n\r\n{EVENT}",
        EVENT.len()
    );
    reader.get_mut().write_all(head.as_bytes()).unwrap();
    let body = read_request(&mut reader);
    let captured = start.elapsed();
    assert!(body.contains("\"outcome\":\"stored\""), "{body}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak_kib = peak.trim().trim_end_matches(" kB").parse().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    Run {
        ready,
        captured,
        peak_kib,
    }
}

/// The body of the next request; the function keeps to `content-length`.
fn read_request(reader: &mut BufReader<TcpStream>) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}
