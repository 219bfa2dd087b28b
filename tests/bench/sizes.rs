//! What each family of crates costs in the function: bytes of its program, and instructions of a start.
//!
//! usage: make sizes

use std::collections::BTreeMap;
use std::process::Command;

use super::beside::write;
use super::counts;
use super::support::text;

const USAGE: &str = "usage: cargo bench --bench bench -- sizes FUNCTION FOLDER

FUNCTION  the function as it is released, but with the names of its functions
FOLDER    where the table goes";

/// Families, and how the names of their crates begin. The first that fits counts.
const FAMILIES: [(&str, &[&str]); 15] = [
    ("this project", &["ecs_console_archiver", "bootstrap"]),
    (
        "checksums of `aws-sdk-s3`: `src/crc-fast`, with small tables",
        &["crc_fast"],
    ),
    (
        "`aws-sdk-s3` and what it alone needs: smithy, sigv4, regex-lite, xmlparser",
        &[
            "aws_",
            "regex_lite",
            "xmlparser",
            "arc_swap",
            "lru",
            "bytes_utils",
            "md5",
            "uuid",
            "libm",
        ],
    ),
    (
        "TLS: `rustls`, `ring`, `webpki`, Mozilla's roots",
        &[
            "rustls",
            "ring",
            "webpki",
            "ecp_nistz256",
            "untrusted",
            "tokio_rustls",
            "hyper_rustls",
            "p256",
            "p384",
        ],
    ),
    (
        "HTTP: `reqwest`, `hyper`, `http`, `tower`",
        &[
            "reqwest",
            "hyper",
            "http",
            "tower",
            "want",
            "ipnet",
            "form_urlencoded",
            "percent_encoding",
        ],
    ),
    (
        "addresses: `url`, `idna`, ICU",
        &[
            "url",
            "idna",
            "icu",
            "utf8_iter",
            "zerovec",
            "zerotrie",
            "yoke",
            "potential_utf",
        ],
    ),
    ("`lambda_runtime`", &["lambda_"]),
    (
        "`tokio`, futures",
        &["tokio", "mio", "futures", "socket2", "signal_hook"],
    ),
    (
        "JSON and other texts: `serde_json`, `base64`, `ryu`",
        &["serde", "base64", "itoa", "ryu", "hex", "configparser"],
    ),
    ("XML: `quick-xml`", &["quick_xml"]),
    (
        "gzip and its checksum: `zlib-rs`, `crc32fast`",
        &["zlib_rs", "flate2", "crc32fast"],
    ),
    (
        "digests: `sha2`, `sha1`, `hmac`",
        &["sha1", "sha2", "hmac", "digest", "block_buffer"],
    ),
    (
        "time: `jiff`, `time`",
        &["jiff", "time", "chrono", "httpdate"],
    ),
    (
        "certificates of senders: `x509-cert`, `num-bigint`",
        &["x509_cert", "der", "spki", "num_", "const_oid"],
    ),
    (
        "logs: `tracing`",
        &["tracing", "log", "sharded_slab", "thread_local"],
    ),
];
const STANDARD: &str =
    "the standard library, with what prints backtraces, and instances of its generic code";
/// Crates of the standard library, and words that are no crate. In a name of theirs, the first other crate
/// is what they are an instance for.
const GENERIC: [&str; 12] = [
    "core",
    "alloc",
    "std",
    "hashbrown",
    "T",
    "as",
    "dyn",
    "impl",
    "mut",
    "for",
    "const",
    "F",
];

#[derive(Default)]
struct Cost {
    bytes: u64,
    instructions: u64,
}

pub fn run(arguments: &[String]) {
    let [function, folder] = arguments else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let mut costs: BTreeMap<&str, Cost> = BTreeMap::new();
    let symbols = Command::new("nm")
        .args(["--print-size", "--demangle", function])
        .output()
        .unwrap();
    assert!(symbols.status.success(), "{}", text(&symbols.stderr));
    let mut named = 0;
    for line in text(&symbols.stdout).lines() {
        // `0000000000123456 0000000000000040 t core::fmt::write`
        let mut words = line.splitn(4, ' ');
        let (_, size) = (words.next(), words.next());
        let (Some(size), Some(_), Some(name)) = (size, words.next(), words.next()) else {
            continue;
        };
        let Ok(bytes) = u64::from_str_radix(size, 16) else {
            continue;
        };
        costs.entry(family(name)).or_default().bytes += bytes;
        named += bytes;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(counts::each_cost_of_start(function, |cost| {
        if cost.object == function {
            costs.entry(family(cost.function)).or_default().instructions += cost.instructions;
        }
    }));
    let table = table(&costs, shipped_bytes(function), named);
    print!("{table}");
    write(folder, "sizes.md", &table);
}

/// Of the file without the names of its functions, as it is released.
fn shipped_bytes(function: &str) -> u64 {
    let stripped = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strip")
        .arg("-o")
        .args([stripped.path().as_os_str(), function.as_ref()])
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::metadata(stripped.path()).unwrap().len()
}

fn family(name: &str) -> &'static str {
    let crates = name
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    // Of a name without a path, as in assembly and C, there is only the name.
    let first = crates
        .clone()
        .find(|word| !GENERIC.contains(word) && is_known(word));
    let is_standard = GENERIC.contains(&crates.clone().next().unwrap_or_default());
    match (first, is_standard || name.starts_with('<')) {
        (Some(word), true) => of_crate(word),
        _ => of_crate(crates.clone().next().unwrap_or_default()),
    }
}

fn is_known(word: &str) -> bool {
    of_crate(word) != STANDARD
}

fn of_crate(name: &str) -> &'static str {
    let fits = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let known = FAMILIES.iter().find(|(_, starts)| fits(starts));
    known.map_or(STANDARD, |(family, _)| family)
}

fn table(costs: &BTreeMap<&str, Cost>, shipped: u64, named: u64) -> String {
    let mut rows: Vec<_> = costs.iter().collect();
    rows.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.bytes));
    let mut table =
        "| Part | KB | instructions of a start, thousands |\n|---|---|---|\n".to_owned();
    for (
        family,
        Cost {
            bytes,
            instructions,
        },
    ) in rows
    {
        let (bytes, thousands) = (bytes / 1000, instructions / 1000);
        table += &format!("| {family} | {bytes} | {thousands} |\n");
    }
    let rest = shipped.saturating_sub(named) / 1000;
    table += &format!("| texts, tables for unwinding, addresses for the loader | {rest} | |\n");
    table + &format!("| all | {} | |\n", shipped / 1000)
}
