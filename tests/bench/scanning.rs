//! How fast a console is searched for what went wrong, beside what searches for the same regular expressions: GNU
//! grep, a set of regular expressions that become one automaton, and a loop over them. All in one run on one core; the
//! fastest run counts.
//!
//! The others do less: they say which lines match. They name no rule, take no stamps off, and look for no secrets.
//!
//! usage: make bench-scanning

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use ecs_console_archiver::reading::findings::{self, Rule, Rules};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use crate::beside::write;
use crate::statistics::short;
use crate::support::recorded_boots;

/// The most that ECS returns of a console.
const CONSOLE_BYTES: usize = 64 * 1024;
/// So long that starting a program takes no part of it.
const LONG_BYTES: usize = 16 << 20;
/// So long each console is searched over and over.
const TIME: Duration = Duration::from_millis(500);
const LINES: &str = include_str!("../fixtures/findings/lines.tsv");

/// `scanning OUTPUT`
pub fn run(arguments: &[String]) {
    let rules = Rules::built_in();
    let is_fault = |rule: &&Rule| rule.is_of_line() && !rule.is_secret();
    let all = rules.all().iter().filter(is_fault);
    let patterns: Vec<_> = all.map(|rule| anywhere(rule.pattern)).collect();
    let mut table = "| Text | Searched by | ms for 64 KiB | MB/s | Lines or findings |\n|---|---|---|---|---|\n"
        .to_owned();
    let clean = recorded_boots::all().into_iter().map(|boot| boot.log);
    let clean: Vec<u8> = clean.flatten().collect();
    let labelled = LINES.lines().filter(|line| !line.starts_with('#'));
    let faults: Vec<_> = labelled
        .filter_map(|line| line.split('\t').nth(3))
        .collect();
    let faults = format!("{}\n", faults.join("\n")).into_bytes();
    let sets = Sets::of(&patterns);
    for (name, bytes) in [
        ("recorded boots", clean),
        ("nothing but faults, one of each kind after another", faults),
    ] {
        rows(&mut table, name, &bytes, rules, &patterns, &sets);
    }
    println!("{} regular expressions.\n\n{table}", patterns.len());
    write(&arguments[0], "scanning.md", &table);
}

/// The regular expressions, as one and each by itself.
struct Sets {
    together: Regex,
    each: Vec<Regex>,
}

impl Sets {
    fn of(patterns: &[String]) -> Self {
        // As the rules are read: a word has ASCII letters, and lines are bytes.
        let bytes = syntax::Config::new().unicode(false).utf8(false);
        let config = Regex::config()
            .utf8_empty(false)
            .hybrid_cache_capacity(64 << 20);
        let built = |patterns: &[&String]| {
            let mut builder = Regex::builder();
            builder.syntax(bytes).configure(config.clone());
            builder.build_many(patterns).unwrap()
        };
        Self {
            together: built(&patterns.iter().collect::<Vec<_>>()),
            each: patterns.iter().map(|pattern| built(&[pattern])).collect(),
        }
    }
}

fn rows(
    table: &mut String,
    name: &str,
    text: &[u8],
    rules: &Rules,
    patterns: &[String],
    sets: &Sets,
) {
    let repeated = |bytes| text.iter().copied().cycle().take(bytes).collect::<Vec<_>>();
    let (console, long) = (repeated(CONSOLE_BYTES), repeated(LONG_BYTES));
    let lines = |is_match: &dyn Fn(&[u8]) -> bool| {
        let lines = console.split(|byte| *byte == b'\n');
        lines.filter(|line| is_match(line)).count()
    };
    let mut row = |by: &str, time: Duration, bytes: usize, found: usize| {
        let seconds = time.as_secs_f64();
        let (of_console, speed) = (
            seconds * 1e3 * CONSOLE_BYTES as f64 / bytes as f64,
            bytes as f64 / 1e6 / seconds,
        );
        table.push_str(&format!(
            "| {name} | {by} | {} | {} | {found} |\n",
            short(of_console),
            short(speed)
        ));
    };
    let (time, found) = fastest(|| findings::of_console(black_box(&console), rules).len());
    row("this program", time, console.len(), found);
    let (time, found) = fastest(|| lines(&|line| sets.together.is_match(line)));
    row("regex-automata, one automaton", time, console.len(), found);
    let is_any = |line: &[u8]| sets.each.iter().any(|one| one.is_match(line));
    let (time, found) = fastest(|| lines(&is_any));
    row("regex-automata, one by one", time, console.len(), found);

    let folder = tempfile::tempdir().unwrap();
    let [file, list] = ["console.log", "patterns"].map(|name| folder.path().join(name));
    let extended: Vec<_> = patterns.iter().map(|pattern| extended(pattern)).collect();
    std::fs::write(&list, extended.join("\n")).unwrap();
    let mut grep = Command::new("grep");
    grep.env("LC_ALL", "C").args(["-E", "-a", "-c", "-f"]);
    grep.args([&list, &file]);
    let mut count = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let begin = Instant::now();
        let output = grep.output().unwrap();
        let time = begin.elapsed();
        assert!(output.status.code() < Some(2), "{output:?}");
        let counted = String::from_utf8(output.stdout).unwrap();
        (time, counted.trim().parse().unwrap())
    };
    let (_, found) = count(&console);
    let (time, _) = count(&long);
    row("GNU grep -E", time, long.len(), found);
}

fn fastest(run: impl Fn() -> usize) -> (Duration, usize) {
    let (begin, found) = (Instant::now(), run());
    let mut best = begin.elapsed();
    while begin.elapsed() < TIME {
        let begin = Instant::now();
        black_box(run());
        best = best.min(begin.elapsed());
    }
    (best, found)
}

/// Rules look at messages without their stamps; here a message may begin anywhere in its line.
fn anywhere(pattern: &str) -> String {
    let pattern = pattern.replace("(?:^", "(?:").replace("|^", "|");
    pattern.strip_prefix('^').unwrap_or(&pattern).to_owned()
}

/// The same in the syntax of `grep -E`, which has no lazy repetitions, no names of groups, no `\d`, and no parts in which
/// case does not count. Which part of a line matches is another question than whether it does.
fn extended(pattern: &str) -> String {
    let (mut text, mut rest) = (String::new(), pattern);
    // Of each open group, whether case counts for nothing.
    let mut groups = vec![false];
    while let Some(c) = rest.chars().next() {
        let ignores_case = *groups.last().unwrap();
        let (length, shown) = match c {
            '\\' => match class(&rest[1..2]) {
                Some(class) => (2, format!("[{class}]")),
                None => (2, rest[..2].to_owned()),
            },
            '[' => set(rest),
            '(' => {
                let length = match &rest[..rest.len().min(3)] {
                    "(?:" => 3,
                    "(?i" => 4,
                    "(?<" => rest.find('>').unwrap() + 1,
                    _ => 1,
                };
                groups.push(ignores_case || rest.starts_with("(?i"));
                (length, "(".to_owned())
            }
            ')' => {
                groups.pop();
                (1, ")".to_owned())
            }
            '*' | '+' if rest[1..].starts_with('?') => (2, c.to_string()),
            _ if ignores_case && c.is_ascii_alphabetic() => {
                let (lower, upper) = (c.to_ascii_lowercase(), c.to_ascii_uppercase());
                (1, format!("[{lower}{upper}]"))
            }
            _ => (c.len_utf8(), c.to_string()),
        };
        text.push_str(&shown);
        rest = &rest[length..];
    }
    text
}

fn class(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "d" => "0-9",
        "w" => "[:alnum:]_",
        "s" => "[:space:]",
        "S" => "^[:space:]",
        _ => return None,
    })
}

/// The set that a text begins with, and how long it is there. In a set of `grep -E` a backslash is a member, and a
/// bracket that is one stands first.
fn set(text: &str) -> (usize, String) {
    let (mut members, mut has_bracket) = (String::new(), false);
    let start = if text.starts_with("[^") { 2 } else { 1 };
    let mut at = start;
    while !text[at..].starts_with(']') {
        let is_escaped = text[at..].starts_with('\\');
        let from = at + usize::from(is_escaped);
        let c = text[from..].chars().next().unwrap();
        at = from + c.len_utf8();
        match (is_escaped, class(&text[from..at])) {
            (true, Some(class)) => members.push_str(class),
            (true, None) if c == ']' => has_bracket = true,
            _ => members.push(c),
        }
    }
    let bracket = if has_bracket { "]" } else { "" };
    (at + 1, format!("{}{bracket}{members}]", &text[..start]))
}
