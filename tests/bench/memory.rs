//! Peak memory of the function as it is released, by the size of what ECS answers.
//!
//! usage: make bench-memory

use ecs_console_archiver::source::ecs::MAX_ANSWER_BYTES;

use super::beside::{peak_mib, write};
use super::statistics::short;
use super::support::runtime_api::{Answer, Function, TIMEOUT};
use super::support::s3_server::Profile;
use super::support::*;
use super::{CONSOLE, instance};

const USAGE: &str = "usage: cargo bench --bench bench -- memory FUNCTION FOLDER

FUNCTION  the function as it is released
FOLDER    where the table goes";

/// More than what an answer holds besides the console, in bytes.
const REST_OF_ANSWER: usize = 4096;

pub fn run(arguments: &[String]) {
    let [function, folder] = arguments else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let recorded = fixture(CONSOLE);
    // Base64 has four characters for three bytes.
    let longest = (MAX_ANSWER_BYTES - REST_OF_ANSWER) / 4 * 3;
    let mut random = vec![0; longest];
    fastrand::Rng::with_seed(1).fill(&mut random);
    let repeated: Vec<_> = recorded.iter().copied().cycle().take(longest).collect();
    let mut table =
        "| The console | bytes | becomes | peak memory, MiB |\n|---|---|---|---|\n".to_owned();
    for (name, plain, outcome) in [
        ("none", None, "no_console"),
        ("a recorded one", Some(&recorded[..]), "stored"),
        (
            "1 MiB of recorded ones",
            Some(&repeated[..1 << 20]),
            "stored",
        ),
        (
            "the longest that is read, of recorded ones",
            Some(&repeated[..]),
            "stored",
        ),
        (
            "the longest that is read, of random bytes",
            Some(&random[..]),
            "stored",
        ),
        (
            "too long",
            Some(&[&random[..], &random[..]].concat()[..]),
            "failed",
        ),
    ] {
        let peak = runtime.block_on(peak(function, plain, outcome));
        let bytes = plain.map_or(0, <[u8]>::len);
        table += &format!("| {name} | {bytes} | {outcome} | {} |\n", short(peak));
    }
    print!("{table}");
    write(folder, "memory.md", &table);
}

/// Of a process that serves one event.
async fn peak(function: &str, plain: Option<&[u8]>, outcome: &str) -> f64 {
    let bucket = Bucket::start(Profile::Aws).await;
    if let Some(plain) = plain {
        set_console(
            &bucket.simulator,
            &instance(0),
            plain,
            "2024-03-22 10:04:57",
        );
    }
    let function = Function::start_command(&[function.into()], &bucket.settings).await;
    let answer = function
        .invoke(starting(&instance(0)).as_bytes(), TIMEOUT)
        .await;
    match &answer {
        Answer::Response(value) => assert_eq!(value["outcome"], outcome, "{value}"),
        Answer::Error { .. } => assert_eq!(outcome, "failed", "{answer:?}"),
    }
    let peak = peak_mib(function.process().id);
    function.stop().await;
    peak
}
