//! `console-archive grep`: searches the logs of boots, of one instance, of some, or of all.

pub(super) mod fleet;
pub(super) mod form;

use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal as _, Write as _, stdout};
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Result;
use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};
use ecs_console_archiver::archive::reader::{self, RecordEntry};
use ecs_console_archiver::log;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::ending::Ending;
use ecs_console_archiver::reading::pattern::{Case, Meaning, Pattern};
use ecs_console_archiver::reading::search::{Around, Buffers, Search};
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use globset::{Glob, GlobBuilder, GlobMatcher};
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};
use crate::pace::Pace;
use crate::time::{Bound, Period};
use fleet::{Found, Job, Task};
use form::{Form, Kind};

/// Search the logs of boots
///
/// The captures of a boot are joined first, so that a line that was captured five times is found once.
/// Lines are searched as a person reads them, without colours. PATTERN is a regular expression.
///
/// It prints INSTANCE_ID/BOOT_ID:LINE:TEXT, in the order of instances and boots. Unlike with grep, the exit
/// code is 3 if nothing is found, and 1 if something failed or a record is damaged.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive grep 'Kernel panic'
  console-archive grep -i 'i/o error' i-bp1panicnoroot00001
  console-archive grep -l 'emergency mode' --since yesterday
  console-archive grep -A 5 'BUG:' --instance 'i-bp1*' --boot latest
  console-archive grep -c 'oom-kill' --output json")]
pub struct Arguments {
    /// The pattern, unless -e or -f gives it; then the instances. Without an instance: all
    #[arg(value_name = "PATTERN", allow_hyphen_values = false)]
    words: Vec<String>,
    /// A pattern, also one that begins with a hyphen; more than one may be given
    #[arg(short = 'e', long, value_name = "PATTERN", allow_hyphen_values = true)]
    regexp: Vec<String>,
    /// Patterns from this file, one a line; - reads them from standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Vec<String>,
    /// Only instances whose ID matches: * stands for any characters, ? for one
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    instance: Vec<GlobMatcher>,
    /// Only this boot of each instance; see `show`
    #[arg(
        long,
        value_name = "BOOT",
        allow_hyphen_values = true,
        conflicts_with = "captures"
    )]
    boot: Option<Selection>,
    /// Only boots that ended so; several may be given, with commas between them. The newest boot of an instance is
    /// `running` without an end
    #[arg(long, value_parser = ending(), value_delimiter = ',', value_name = "ENDING")]
    #[arg(conflicts_with_all = ["captures", "boot"])]
    ending: Vec<Ending>,
    /// Only lines from then on; see `show`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Only lines until then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Bound>,
    /// Small letters match capitals
    #[arg(short, long)]
    ignore_case: bool,
    /// The same, unless the pattern has a capital
    #[arg(short = 'S', long, conflicts_with = "ignore_case")]
    smart_case: bool,
    /// Only whole words match
    #[arg(short, long)]
    word_regexp: bool,
    /// Only whole lines match
    #[arg(short = 'x', long)]
    line_regexp: bool,
    /// The pattern is text, not a regular expression
    #[arg(short = 'F', long)]
    fixed_strings: bool,
    /// Print lines that do not match
    #[arg(short = 'v', long)]
    invert_match: bool,
    /// Print so many lines behind each match
    #[arg(short = 'A', long, value_name = "LINES")]
    after_context: Option<usize>,
    /// Print so many lines before each match
    #[arg(short = 'B', long, value_name = "LINES")]
    before_context: Option<usize>,
    /// Print so many lines before and behind each match
    #[arg(short = 'C', long, value_name = "LINES")]
    context: Option<usize>,
    /// Print only how many lines match, of each boot. Of -c, --count-matches, -l and -L, the last one counts
    #[arg(short, long, overrides_with_all = ["count_matches", "files_with_matches", "files_without_match"])]
    count: bool,
    /// Print only how many matches there are
    #[arg(long, overrides_with_all = ["count", "files_with_matches", "files_without_match"])]
    count_matches: bool,
    /// Print only the names of boots with a match
    #[arg(short = 'l', long, overrides_with_all = ["count", "count_matches", "files_without_match"])]
    files_with_matches: bool,
    /// Print only the names of boots without a match
    #[arg(short = 'L', long, overrides_with_all = ["count", "count_matches", "files_with_matches"])]
    files_without_match: bool,
    /// Print only what matches, a line for each match; with -c, count matches
    #[arg(short, long)]
    only_matching: bool,
    /// Print nothing; the exit code says whether there is a match
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,
    /// At most so many lines of each boot
    #[arg(short, long, value_name = "LINES")]
    max_count: Option<u64>,
    /// Print line numbers; they are printed by default
    #[arg(short = 'n', long, overrides_with = "no_line_number")]
    line_number: bool,
    /// Print no line numbers
    #[arg(short = 'N', long)]
    no_line_number: bool,
    /// Print at most so many characters of a line; 0 prints all
    #[arg(long, value_name = "COLUMNS")]
    max_columns: Option<usize>,
    /// Search each record by itself, as a search of the files does
    #[arg(long)]
    captures: bool,
    /// Search the bytes as the guest wrote them, with escape sequences
    #[arg(long)]
    bytes: bool,
    /// What consoles are written in; see `show`
    #[arg(long, value_name = "NAME", default_value = "auto")]
    encoding: EncodingChoice,
    /// Sort boots by instance, or by when they were captured, once all have been searched
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    sort: Order,
    /// Say at the end how much was searched and found
    #[arg(long)]
    stats: bool,
}

pub(super) fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(Glob::new(text)?.compile_matcher())
}

pub(super) fn glob_of_any_case(text: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(text).case_insensitive(true).build();
    Ok(glob?.compile_matcher())
}

/// What the IDs that the only glob matches begin with, so that nothing else is listed.
pub(super) fn literal_prefix(globs: &[GlobMatcher]) -> String {
    let [glob] = globs else {
        return String::new();
    };
    let glob = glob.glob().glob();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match glob.split_once(|c| !is_plain(c)) {
        None => format!("{glob}/"),
        Some((literal, _)) => literal.to_owned(),
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Order {
    #[default]
    Instance,
    Time,
}

/// Takes the words that `boots --output json` prints.
pub(super) fn ending() -> impl TypedValueParser<Value = Ending> {
    super::word(&Ending::ALL, Ending::as_str)
}

pub async fn run(mut arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let begun = Instant::now();
    let patterns = arguments.patterns()?;
    let job = arguments.job(&patterns, context)?;
    let store = context.store()?;
    let tasks = tasks(&store, &arguments, job.form.period.since, context).await?;
    if tasks.is_empty() {
        return Ok(Exit::Nothing);
    }
    context.reads();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // A connection ends with the thread that opened it, so threads do not share any.
    let stores: Result<Vec<_>> = (0..threads.min(tasks.len()))
        .map(|_| context.store())
        .collect();
    let pace = Pace::new();
    let mut results = fleet::start(stores?, tasks, &job, &pace);
    let mut stdout = BufWriter::new(stdout());
    let (mut all, mut sorted) = (Found::default(), Vec::new());
    let mut failure = None;
    while let Some(found) = results.next().await {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        for damage in &found.damaged {
            output::error(damage);
        }
        all.add(&found);
        match arguments.sort {
            Order::Time => sorted.extend(found.printed),
            Order::Instance => {
                for printed in found.printed {
                    stdout.write_all(&printed.text)?;
                }
                if !results.is_ready() {
                    stdout.flush()?; // Whoever waits sees what there is.
                }
            }
        }
        if arguments.quiet && all.counts.lines > 0 {
            break;
        }
    }
    sorted.sort_by_key(|printed| printed.captured_at);
    for printed in sorted {
        stdout.write_all(&printed.text)?;
    }
    if context.output == Output::Json {
        let stats = all.stats(begun, pace.retries.load(Ordering::Relaxed));
        let summary = json!({"type": "summary", "data": {"stats": stats}});
        stdout.write_all(output::json_text(&summary).as_bytes())?;
    }
    stdout.flush()?;
    if arguments.stats && context.output == Output::Text {
        all.tell(begun, pace.retries.load(Ordering::Relaxed));
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let is_found = match job.form.kind {
        Kind::NamesWithout => all.logs > all.logs_with_match,
        _ => all.counts.lines > 0,
    };
    Ok(match (is_found, all.damaged.is_empty()) {
        (_, false) => Exit::Failed,
        (true, true) => Exit::Done,
        (false, true) => Exit::Nothing,
    })
}

/// The instances to search, in order, with their records. Tells which of those that were named have none, and if there
/// is none at all.
async fn tasks(
    store: &impl Store,
    arguments: &Arguments,
    since: Option<Timestamp>,
    context: &Context,
) -> Result<Vec<Task>> {
    let store = Retrying::new(store, Deadline::after(context.time()));
    let mut records: Vec<RecordEntry> = Vec::new();
    if arguments.words.is_empty() {
        records = reader::list(&store, None).await?.records;
    } else {
        for word in &arguments.words {
            let instance_id =
                InstanceId::parse(word).map_err(|error| WrongInput(error.to_string()))?;
            let listed = reader::list(&store, Some(&instance_id)).await?.records;
            if listed.is_empty() {
                let archive = store.url("");
                output::error(format_args!("{instance_id} has no record in {archive}"));
            }
            records.extend(listed);
        }
    }
    let (count, is_told) = (records.len() as u64, !arguments.words.is_empty());
    let mut tasks = BTreeMap::<InstanceId, Vec<RecordEntry>>::new();
    for record in records {
        let id = record.key.instance_id.as_str();
        let is_named = arguments.instance.is_empty()
            || arguments.instance.iter().any(|glob| glob.is_match(id));
        // What was captured before shows nothing that was printed since.
        if is_named && since.is_none_or(|since| since <= record.stored_at) {
            tasks
                .entry(record.key.instance_id.clone())
                .or_default()
                .push(record);
        }
    }
    if tasks.is_empty() {
        let url = store.url("");
        match count {
            0 if is_told => {}
            0 => output::error(format_args!("no records in {url}")),
            _ if is_told && arguments.instance.is_empty() => {
                output::error(format_args!("no records of that time in {url}"));
            }
            _ => output::no_match(count, "record", &format!(" in {url}")),
        }
    }
    Ok(tasks.into_iter().collect())
}

impl Arguments {
    /// Takes the patterns. What is left of the words are instances.
    fn patterns(&mut self) -> Result<Vec<String>> {
        let mut patterns = std::mem::take(&mut self.regexp);
        for file in &self.file {
            let text = match file.as_str() {
                "-" => std::io::read_to_string(std::io::stdin()),
                path => std::fs::read_to_string(path),
            };
            let text = text.map_err(|error| WrongInput(format!("{file}: {error}")))?;
            patterns.extend(text.lines().map(str::to_owned));
        }
        if patterns.is_empty() && self.file.is_empty() && !self.words.is_empty() {
            patterns.push(self.words.remove(0));
        }
        if patterns.is_empty() {
            return Err(WrongInput("give a pattern to search for".into()).into());
        }
        Ok(patterns)
    }

    fn job(&self, patterns: &[String], context: &Context) -> Result<Job> {
        let meaning = Meaning {
            case: match (self.ignore_case, self.smart_case) {
                (true, _) => Case::Insensitive,
                (_, true) => Case::Smart,
                _ => Case::Sensitive,
            },
            is_literal: self.fixed_strings,
            is_word: self.word_regexp,
            is_line: self.line_regexp,
        };
        let pattern = Pattern::new(patterns, meaning);
        let pattern =
            pattern.map_err(|error| WrongInput(format!("a pattern cannot be used: {error}")))?;
        let period = Period::of(self.since.as_ref(), self.until.as_ref(), &context.time_zone);
        let kind = self.kind();
        let is_quick = matches!(kind, Kind::Names | Kind::NamesWithout | Kind::Nothing);
        let around = self.context.unwrap_or_default();
        let has_around = kind == Kind::Lines;
        let has_times = period.is_bounded();
        Ok(Job {
            redact: context.redact()?,
            search: Search::new(
                pattern,
                Around {
                    before: if has_around {
                        self.before_context.unwrap_or(around)
                    } else {
                        0
                    },
                    after: if has_around {
                        self.after_context.unwrap_or(around)
                    } else {
                        0
                    },
                    is_inverted: self.invert_match,
                    // Lines of another time do not count.
                    most: self.max_count.filter(|_| !has_times),
                },
            ),
            form: Form {
                kind,
                is_json: context.output == Output::Json,
                has_numbers: !self.no_line_number,
                has_headings: stdout().is_terminal() && matches!(kind, Kind::Lines | Kind::Matches),
                colours: context.has_colors() && !is_quick,
                max_columns: self.max_columns.filter(|most| *most > 0),
                most: self.max_count.filter(|_| has_times).unwrap_or(u64::MAX),
                is_raw: self.bytes,
                period,
                max_matches: form::MAX_MATCHES,
                excerpt: None,
                cancelled: CancellationToken::new(),
            },
            encoding: self.encoding,
            is_by_capture: self.captures,
            boot: self.boot.clone(),
            endings: self.ending.clone(),
            is_by_time: self.sort == Order::Time,
            time: context.time(),
            buffers: Buffers::default(),
            max_bytes: None,
            turn: None,
        })
    }

    fn kind(&self) -> Kind {
        // As ripgrep has them, where several are given.
        let kinds = [
            (self.quiet, Kind::Nothing),
            (self.count && self.only_matching, Kind::MatchCount),
            (self.count, Kind::LineCount),
            (self.count_matches, Kind::MatchCount),
            (self.files_with_matches, Kind::Names),
            (self.files_without_match, Kind::NamesWithout),
            (self.only_matching, Kind::Matches),
        ];
        let kind = kinds.into_iter().find(|(is_asked_for, _)| *is_asked_for);
        kind.map_or(Kind::Lines, |(_, kind)| kind)
    }
}

impl Found {
    fn add(&mut self, other: &Self) {
        self.counts.lines += other.counts.lines;
        self.counts.matches += other.counts.matches;
        self.logs += other.logs;
        self.logs_with_match += other.logs_with_match;
        self.records += other.records;
        self.bytes += other.bytes;
        self.damaged.extend_from_slice(&other.damaged);
    }

    fn stats(&self, begun: Instant, retries: u64) -> serde_json::Value {
        json!({
            "elapsed_seconds": begun.elapsed().as_secs_f64(),
            "searches": self.logs,
            "searches_with_match": self.logs_with_match,
            "records": self.records,
            "bytes_searched": self.bytes,
            "matched_lines": self.counts.lines,
            "matches": self.counts.matches,
            "damaged": self.damaged.len(),
            "retries": retries,
        })
    }

    fn tell(&self, begun: Instant, retries: u64) {
        let retries = match retries {
            0 => String::new(),
            count => format!(", {} tried again", output::count(count, "read")),
        };
        output::error(format_args!(
            "matches: {} in {} of {}; {}, {} in {:.2} s{retries}",
            output::count(self.counts.lines, "line"),
            output::grouped(self.logs_with_match),
            output::count(self.logs, "log"),
            output::count(self.records, "record"),
            output::count(self.bytes, "byte"),
            begun.elapsed().as_secs_f64(),
        ));
    }
}
