//! What a start and an event take, counted in place of timed: instructions, allocations, system calls,
//! files and connections. Counts are the same on a busy machine, so `make counts` holds them to limits.
//!
//! Instructions are counted by valgrind's callgrind. It runs a program on a processor of its own
//! description, without what newer ones have (AVX-512, SHA extensions), so the code that libraries
//! choose at run time does not depend on the machine, if it has AVX2: without it, the description is
//! another one. The C library's share is counted by itself, because it comes from the machine.
//!
//! usage: make counts

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use ecs_console_archiver::reading::stitch::{Capture, stitch};
use jiff::{SignedDuration, Timestamp};

use super::support::runtime_api::{Answer, Function, TIMEOUT};
use super::support::s3_server::Profile;
use super::support::*;
use super::{CONSOLE, instance};

const USAGE: &str = "usage: cargo bench --bench bench -- counts FUNCTION KERNELS LIMITS FOLDER

FUNCTION  the function as it is released
KERNELS   the parts of its work, built like it
LIMITS    the file with the limits, such as tests/bench/limits.txt
FOLDER    where the counts go, as such a file";

/// Events before those that are counted. The first ones fill caches and pools.
pub const BEFORE: usize = 5;
pub const EVENTS: usize = 20;
/// Runs of a kernel that are counted.
const KERNEL_RUNS: usize = 10;
const KERNELS: [&str; 5] = [
    "parse_event",
    "sign_call",
    "read_answer",
    "pack_record",
    "scan_console",
];
/// The captures that `stitch_boot` joins, and how many of their bytes the next one repeats.
const CAPTURES: usize = 4;
const REPEATED: usize = 8_000;

/// A count's name, its number, and by how many percent it may grow.
type Count = (String, u64, u64);

pub fn run(arguments: &[String]) {
    let [function, kernels, limits, folder] = arguments else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    if !has_avx2() {
        eprintln!("the limits are those of x86_64 with AVX2, which this machine is not or lacks");
        std::process::exit(2);
    }
    for tool in ["valgrind", "strace"] {
        if let Err(error) = Command::new(tool).arg("--version").output() {
            eprintln!(
                "{tool} does not run ({error}); install it, such as with `apt-get install {tool}`"
            );
            std::process::exit(2);
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut counts = vec![("program_bytes".to_owned(), size(function), 3)];
    counts.extend(runtime.block_on(of_function(function)));
    let kernel = |name: &&str| of_kernel(name, &[kernels, name]);
    counts.extend(KERNELS.iter().flat_map(kernel));
    let own = std::env::current_exe().unwrap();
    counts.extend(of_kernel("stitch_boot", &[own.to_str().unwrap(), "stitch"]));
    write(folder, &counts);
    let limits = read(limits);
    if !is_within(&counts, &limits) {
        std::process::exit(1);
    }
}

/// Only x86_64 names the flag.
fn has_avx2() -> bool {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processor.split_whitespace().any(|flag| flag == "avx2")
}

async fn of_function(function: &str) -> Vec<Count> {
    let start = instructions(function, 0).await;
    let before = instructions(function, BEFORE).await;
    let after = instructions(function, BEFORE + EVENTS).await;
    let event = after.since(&before).each(EVENTS as u64);
    let calls = system_calls(function, 0).await;
    let calls_before = system_calls(function, BEFORE).await.all;
    let calls_after = system_calls(function, BEFORE + EVENTS).await.all;
    let mut counts = start.counts("start");
    counts.extend([
        ("start_system_calls".to_owned(), calls.all, 5),
        ("start_files_opened".to_owned(), calls.files.len() as u64, 0),
        ("start_connections".to_owned(), calls.connections, 0),
    ]);
    for file in &calls.files {
        println!("opened at the start: {file}");
    }
    counts.extend(event.counts("event"));
    let each = (calls_after - calls_before) / EVENTS as u64;
    counts.push(("event_system_calls".to_owned(), each, 10));
    counts
}

fn size(program: &str) -> u64 {
    std::fs::metadata(program).unwrap().len()
}

/// A part of the work, by a program that does it as often as its last argument says.
fn of_kernel(name: &str, [program, argument]: &[&str; 2]) -> Vec<Count> {
    let count = |times: usize| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let command = callgrind(file.path(), program);
        let mut command = command.iter();
        let output = Command::new(command.next().unwrap())
            .args(command)
            .args([*argument, &times.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Instructions::read(file.path(), program)
    };
    let counted = count(1 + KERNEL_RUNS).since(&count(1));
    counted.each(KERNEL_RUNS as u64).counts(name)
}

/// `stitch TIMES`: captures of one boot are joined, so often. Only the command line joins them, so the function's
/// kernels cannot.
pub fn stitch_captures(arguments: &[String]) {
    let [times] = arguments else {
        eprintln!("usage: cargo bench --bench bench -- stitch TIMES");
        std::process::exit(2);
    };
    let console = fixture(CONSOLE);
    let length = (console.len() + (CAPTURES - 1) * REPEATED).div_ceil(CAPTURES);
    let captures: Vec<Capture> = (0..CAPTURES)
        .map(|index| {
            let begin = index * (length - REPEATED);
            let end = (begin + length).min(console.len());
            Capture {
                name: format!("{index:08}"),
                captured_at: Timestamp::UNIX_EPOCH + SignedDuration::from_mins(index as i64),
                updated_at: None,
                started_at: None,
                event_id: None,
                plain: console[begin..end].to_vec(),
            }
        })
        .collect();
    for _ in 0..times.parse().unwrap() {
        let boots = stitch(black_box(captures.clone()));
        assert_eq!(boots[0].log.len(), console.len());
        drop(black_box(boots));
    }
}

/// Runs a program until it has served so many events.
pub async fn serve(command: &[OsString], events: usize) {
    let bucket = Bucket::start(Profile::Aws).await;
    for event in 0..events {
        let plain = fixture(CONSOLE);
        set_console(
            &bucket.simulator,
            &instance(event),
            &plain,
            "2024-03-22 10:04:57",
        );
    }
    let function = Function::start_command(command, &bucket.settings).await;
    function.asked_at(1).await;
    for event in 0..events {
        let answer = function
            .invoke(starting(&instance(event)).as_bytes(), TIMEOUT)
            .await;
        let is_stored = matches!(&answer, Answer::Response(value) if value["outcome"] == "stored");
        assert!(is_stored, "{answer:?}");
    }
    // What it does until it asks for the next one is part of the last one.
    function.asked_at(1 + events).await;
    let process = function.process();
    // strace starts it as a child, and ends when that has ended; valgrind is the process itself.
    let children = format!("/proc/{0}/task/{0}/children", process.id);
    let children = std::fs::read_to_string(children).unwrap();
    let own = process.id.to_string();
    let target = children.split_whitespace().next().unwrap_or(&own);
    let status = Command::new("kill").arg(target).status().unwrap();
    assert!(status.success(), "kill {target}: {status}");
    process.ended().await;
}

/// What callgrind counts.
#[derive(Default)]
struct Instructions {
    /// Of the program's own file.
    program: u64,
    /// Of the C library and the loader.
    library: u64,
    /// Calls for memory.
    allocations: u64,
}

impl Instructions {
    fn since(&self, before: &Self) -> Self {
        Self {
            program: self.program - before.program,
            library: self.library - before.library,
            allocations: self.allocations - before.allocations,
        }
    }

    fn each(&self, of: u64) -> Self {
        Self {
            program: self.program / of,
            library: self.library / of,
            allocations: self.allocations / of,
        }
    }

    fn counts(&self, name: &str) -> Vec<Count> {
        vec![
            (format!("{name}_instructions"), self.program, 3),
            (
                format!("{name}_instructions_of_c_library"),
                self.library,
                20,
            ),
            (format!("{name}_allocations"), self.allocations, 3),
        ]
    }

    fn read(path: &Path, program: &str) -> Self {
        let mut read = Self::default();
        let allocate = ["malloc", "calloc", "realloc", "posix_memalign"];
        costs(path, |cost| {
            read.allocations += if allocate.contains(&cost.called) {
                cost.calls
            } else {
                0
            };
            if cost.object == program {
                read.program += cost.instructions;
            } else {
                read.library += cost.instructions;
            }
        });
        assert!(
            read.program > 0 && read.library > 0,
            "{program} is not in {path:?}"
        );
        read
    }
}

/// What a function took on one of its lines, or how often it called another there.
#[derive(Default)]
pub struct Cost<'a> {
    /// The file that the function is in: a program or a library.
    pub object: &'a str,
    pub function: &'a str,
    /// Its own, without those of what it called.
    pub instructions: u64,
    called: &'a str,
    calls: u64,
}

/// Reads callgrind's file ("Callgrind Format Specification"). A line of costs belongs to the function
/// and the object above it. The one after `calls=` repeats those of the called function.
pub fn costs(path: &Path, mut take: impl FnMut(Cost<'_>)) {
    let (mut objects, mut functions) = (BTreeMap::new(), BTreeMap::new());
    let (mut object, mut function) = (String::new(), String::new());
    let (mut called, mut is_call) = (String::new(), false);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = whole(name, &mut objects);
        } else if let Some(name) = line.strip_prefix("cob=") {
            whole(name, &mut objects);
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = whole(name, &mut functions);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = whole(name, &mut functions);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            is_call = true;
            take(Cost {
                called: &called,
                calls: calls.split(' ').next().unwrap().parse().unwrap(),
                ..Cost::default()
            });
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c))
            && !std::mem::take(&mut is_call)
        {
            take(Cost {
                object: &object,
                function: &function,
                instructions: line.split(' ').nth(1).unwrap().parse().unwrap(),
                ..Cost::default()
            });
        }
    }
}

/// A name as `(7) name`, and later as `(7)` alone.
fn whole(name: &str, known: &mut BTreeMap<String, String>) -> String {
    let (number, rest) = name.split_once(')').unwrap();
    if rest.is_empty() {
        return known[number].clone();
    }
    let name = rest.trim_start().to_owned();
    known.insert(number.to_owned(), name.clone());
    name
}

pub fn callgrind(file: &Path, program: &str) -> Vec<OsString> {
    let mut to_file = OsString::from("--callgrind-out-file=");
    to_file.push(file);
    let tool = ["valgrind", "--quiet", "--tool=callgrind"].map(OsString::from);
    [&tool[..], &[to_file, program.into()]].concat()
}

/// What each function takes until the program asks for its first event.
pub async fn each_cost_of_start(function: &str, take: impl FnMut(Cost<'_>)) {
    let file = tempfile::NamedTempFile::new().unwrap();
    serve(&callgrind(file.path(), function), 0).await;
    costs(file.path(), take);
}

async fn instructions(function: &str, events: usize) -> Instructions {
    let file = tempfile::NamedTempFile::new().unwrap();
    serve(&callgrind(file.path(), function), events).await;
    Instructions::read(file.path(), function)
}

struct SystemCalls {
    all: u64,
    files: Vec<String>,
    connections: u64,
}

async fn system_calls(function: &str, events: usize) -> SystemCalls {
    let file = tempfile::NamedTempFile::new().unwrap();
    let to_file = ["strace", "--follow-forks", "--quiet=all", "-o"].map(OsString::from);
    let command = [&to_file[..], &[file.path().into(), function.into()]].concat();
    serve(&command, events).await;
    let lines = std::fs::read_to_string(file.path()).unwrap();
    // `1234  openat(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3`
    let calls = lines.lines().filter_map(|line| line.split_once(' '));
    let calls: Vec<_> = calls.map(|(_, call)| call.trim_start()).collect();
    let is_new = |call: &&&str| {
        // How often it waits depends on the machine, and how often it wakes itself from that; a call that is cut into
        // two lines is one.
        let waits = ["epoll_wait(", "futex(", "restart_syscall("];
        let wakes = call.starts_with("write(") && call.contains(r#", "\1\0\0\0\0\0\0\0", 8)"#);
        let is_wait = wakes || waits.iter().any(|wait| call.starts_with(wait));
        !is_wait && !call.starts_with(['<', '-', '+'])
    };
    let opened = calls.iter().filter(|call| call.starts_with("openat("));
    let opened = opened.filter(|call| !call.contains(" = -1 "));
    let connected = calls.iter().filter(|call| call.starts_with("connect("));
    SystemCalls {
        all: calls.iter().filter(is_new).count() as u64,
        files: opened
            .map(|call| call.split('"').nth(1).unwrap().to_owned())
            .collect(),
        connections: connected.count() as u64,
    }
}

/// `name number percent`, and comments.
fn read(path: &str) -> Vec<Count> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let count = |line: &str| {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_else(|| panic!("{path}: {line}"));
        let name = word().to_owned();
        let number = word().replace('_', "").parse().unwrap();
        let percent = word().trim_end_matches('%').parse().unwrap();
        (name, number, percent)
    };
    lines.map(count).collect()
}

const HEAD: &str = "\
# What a start and an event of the function take, and by how much each count may grow. A change that
# costs more changes the number here, with `make accept-counts`, and its commit says why.
#
# Counted by `make counts`, in the function as it is released for x86_64, over plain HTTP, with a
# recorded console of 24 KB. `start` ends where the function asks for its first event. `event` is one
# that is stored when warm. The others are parts of its work. `stitch_boot` is the command line's, joins four captures,
# and is not optimized. Allocations are calls of malloc, calloc, realloc and posix_memalign. The C library is
# Debian 12's, and another one takes other instructions.

";

fn write(folder: &str, counts: &[Count]) {
    let mut text = HEAD.to_owned();
    for (name, number, percent) in counts {
        let number = grouped(*number, '_');
        text += &format!("{name:<40} {number:>12} {percent:>3}%\n");
    }
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(Path::new(folder).join("limits.txt"), text).unwrap();
}

/// A number with a mark before every three digits.
pub fn grouped(number: u64, mark: char) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(mark);
        }
        grouped.push(digit);
    }
    grouped
}

/// Prints each count beside its limit.
fn is_within(counts: &[Count], limits: &[Count]) -> bool {
    let mut is_within = true;
    for (name, number, _) in counts {
        let Some((_, recorded, percent)) = limits.iter().find(|(known, ..)| known == name) else {
            println!("{name:<40} {number:>12}, and no limit");
            is_within = false;
            continue;
        };
        let limit = recorded + recorded * percent / 100;
        let is_more = *number > limit;
        let growth = 100.0 * (*number as f64 / (*recorded).max(1) as f64 - 1.0);
        let verdict = if is_more { "TOO MUCH" } else { "" };
        println!("{name:<40} {number:>12} {growth:>+6.1} % of {recorded:>12} {verdict}");
        is_within &= !is_more;
    }
    for (name, ..) in limits {
        if !counts.iter().any(|(known, ..)| known == name) {
            println!("{name} has a limit and was not counted");
            is_within = false;
        }
    }
    if !is_within {
        println!(
            "Something takes more than its limit in tests/bench/limits.txt. Find out what, or record the \
             new number with `make accept-counts`, and say in the commit why it is worth it."
        );
    }
    is_within
}
