//! What a log says went wrong: a boot that cannot go on, a fault of the kernel, a disk that fails.
//!
//! [`Rules`] are data: a file for each family, each rule with examples. A [`Scanner`] reads a log line by line.
//! One pass over a line finds the words of all rules; only rules whose words are there try their regular
//! expressions, which take linear time.
//!
//! A finding has a signature: what stays of it when stamps, addresses, process IDs and the like are taken away.
//! The same fault has the same signature on every machine.

mod hosts; // the name of the machine (pure)
mod progress; // what a boot went on to (pure)
mod prefix; // what stands in front of a message (pure)
pub mod endings; // what no line says: how boots ended (pure)
mod gbk; // what a secret stands beside in GBK (pure)
mod pieces; // a line → the pieces of text on it (pure)
mod rules; // which rule fits a line (pure)
pub mod own; // a file with rules of one's own (pure)
pub mod secrets; // where a console shows a secret (pure)
mod words; // the words of the rules in a line (pure)
mod work; // what a log costs (pure)

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::LazyLock;
use std::vec::IntoIter;

use regex_lite::{Captures, Regex};
use serde_json::{Value, json};

use super::masks;
use super::stamp::stamps;
use super::start::begins_with_start;
use crate::model::console::NoConsole;
use crate::model::finding;
pub use crate::model::finding::{Severe, Severity, worst, worst_first};
use hosts::Hosts;
use pieces::pieces;
use prefix::without_prefix;
use progress::Progress;
#[cfg(feature = "cli")]
pub use rules::Note;
pub use rules::{Rule, Rules};
use secrets::Secret;
use work::Work;

#[cfg(feature = "cli")]
use super::encoding::EncodingChoice;
#[cfg(feature = "cli")]
use super::log::{Log, Part};
#[cfg(feature = "cli")]
use super::stitch::Boot;

/// How far behind its first line a fault names the function in which it happened. Linux prints modules and
/// registers before it.
const LOOKS_AHEAD: usize = 60;
/// How long the kernel takes to print a fault at the most: so many lines take five seconds at 9600 baud.
const REPORT_MICROS: u64 = 10_000_000;
/// Lines between the first ones of a report, where no stamps say when they were printed: on ARM, the kernel says how the
/// memory looked before it says `Internal error`.
const REPORT_LINES: usize = 20;
/// Most bytes of a detail: a signature is read by people.
const MAX_DETAIL: usize = 120;
/// Most bytes of the evidence that is kept.
const MAX_EVIDENCE: usize = 400;
/// Most bytes of a message that are looked at. Linux prints less than a thousand (`PRINTKRB_RECORD_MAX`).
const MAX_MESSAGE: usize = 2048;
/// Most findings of one log. Of a log with more, those that are least severe give way to worse ones, and what
/// finds no place is not told.
const MAX_FINDINGS: usize = 100;
/// Most texts of findings that are remembered to save work.
const MAX_KNOWN: usize = 1000;
/// Bytes before and behind a detail's beginning that say what of it differs from one time to the next.
const MASKED_BEFORE: usize = 64;
const MASKED_BEHIND: usize = 256;
/// The family of the kernel's own faults, which it reports in several lines.
const KERNEL: &str = "kernel";
/// What begins the line with which a kernel dies, and the one that ends what it says of it.
const PANIC: &str = "Kernel panic";
const END_OF_REPORT: &str = "---[ end ";
/// The family whose details are names of modules. cloud-init writes them with a hyphen or with an underscore.
const CLOUD_INIT: &str = "cloud-init";
/// What stands for a detail that is not UTF-8: what it says depends on the reader.
const OTHER_TEXT: &str = "<text>";

/// What a log says went wrong, once or several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'r> {
    /// What it is.
    pub rule: &'r Rule,
    /// How bad it is: as its rule says, or less if the boot went on.
    pub severity: Severity,
    /// What it is about, without what differs from one time to the next: a device, a unit, a function.
    pub detail: Option<String>,
    /// How often the log says it.
    pub count: usize,
    /// Number of the line that says it first, from 1 on.
    pub line: usize,
    /// That line's bytes in the log.
    pub bytes: Range<usize>,
    /// What that line says, without its stamp.
    pub evidence: String,
}

impl Finding<'_> {
    /// Shows of the line what is masked where it was found.
    #[cfg(feature = "cli")]
    fn show_evidence(&mut self, masked: &str, stored: &str) {
        let shown = masked.find(&self.evidence).and_then(|at| {
            let shown = stored.get(at..at + self.evidence.len())?;
            Some(shown.to_owned())
        });
        if let Some(shown) = shown {
            self.evidence = shown;
        }
    }

    /// What the same fault has in common on every machine: `kernel-null-dereference:ext4_readdir`.
    pub fn signature(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}:{detail}", self.rule.id),
            None => self.rule.id.to_owned(),
        }
    }

    /// As answers and log lines say it.
    pub fn in_short(&self) -> finding::Finding {
        finding::Finding {
            id: self.rule.id.to_owned(),
            severity: self.severity,
            title: self.rule.title.to_owned(),
            signature: self.signature(),
            count: self.count,
        }
    }

    /// As the catalog says it. Not what the guest wrote: the record has that.
    pub fn in_catalog(&self) -> Value {
        json!({
            "id": self.rule.id,
            "family": self.rule.family,
            "severity": self.severity,
            "title": self.rule.title,
            "signature": self.signature(),
            "count": self.count,
            "line": self.line,
            "bytes": [self.bytes.start, self.bytes.end],
        })
    }
}

/// The rule for a screenshot that stands in the place of a console.
const NO_CONSOLE: &str = "no-console-output";

/// What a screenshot says that stands in the place of a console: why there is none.
pub fn of_screenshot(no_console: Option<NoConsole>) -> Vec<Finding<'static>> {
    let rules = Rules::current();
    let found = no_console
        .zip(rules.get(NO_CONSOLE))
        .map(|(reason, rule)| Finding {
            rule,
            severity: rule.severity,
            detail: Some(reason.as_str().to_owned()),
            count: 1,
            line: 0,
            bytes: 0..0,
            evidence: String::new(),
        });
    let is_told = |one: &Finding<'_>| !rules.silences(one.rule.id, || one.signature());
    found.filter(is_told).into_iter().collect()
}

impl Severe for Finding<'_> {
    fn severity(&self) -> Severity {
        self.severity
    }
}

/// A fault whose function the lines behind it name.
#[derive(Debug)]
struct Waiting<'r> {
    /// Its place among the findings.
    order: usize,
    finding: Finding<'r>,
    /// Its stamp, in microseconds.
    at: Option<u64>,
    /// The last line to look at.
    last: usize,
    /// Whether the call trace is looked at: the function is one that many faults call, and its caller says more, or
    /// the kernel prints no registers of such a fault.
    in_trace: bool,
}

impl Waiting<'_> {
    /// Whether a message is too late to be of its report.
    fn is_over(&self, number: usize, at: Option<u64>) -> bool {
        let is_late = |(first, now): (u64, u64)| now.abs_diff(first) > REPORT_MICROS;
        number > self.last || self.at.zip(at).is_some_and(is_late)
    }

    /// Whether a message that says a fault is of its report.
    fn is_of_report(&self, number: usize, at: Option<u64>) -> bool {
        let has_times = self.at.is_some() && at.is_some();
        !self.is_over(number, at) && (has_times || number <= self.finding.line + REPORT_LINES)
    }
}

/// What was found, and what may become of it.
#[derive(Debug)]
struct Found<'r> {
    /// How many findings the log said before.
    order: usize,
    finding: Finding<'r>,
    /// A boot that comes so far did without, if this one does.
    until: Option<Progress>,
    /// An earlier boot ended with it.
    is_final: bool,
    /// What followed tells more.
    is_left_out: bool,
}

impl<'r> Found<'r> {
    fn new(order: usize, finding: Finding<'r>) -> Self {
        let until = finding.rule.until;
        Self {
            order,
            finding,
            until,
            is_final: false,
            is_left_out: false,
        }
    }

    /// The log says it again, maybe in another boot.
    fn add(&mut self, count: usize) {
        self.finding.count += count;
        self.finding.severity = self.finding.rule.severity;
        self.until = (self.finding.rule.until).filter(|_| !self.is_final);
        self.is_left_out = false;
    }

    /// Another boot began.
    fn end(&mut self) {
        self.is_final = true;
        self.until = None;
    }

    /// The boot went on. What was no more than a warning says nothing then: that the firmware tried the network before
    /// the disk.
    fn lower(&mut self) {
        let until = self.until.take();
        if matches!(until, Some(Progress::Killed | Progress::Shell))
            || self.finding.severity <= Severity::Warning
        {
            self.is_left_out = true;
            return;
        }
        let lower = match until {
            Some(Progress::Login) => Severity::Error,
            // By a chip, or by a key from the network; and what was waited for came.
            Some(Progress::Unlocked | Progress::Root | Progress::Job) => Severity::Info,
            _ => Severity::Warning,
        };
        self.finding.severity = self.finding.severity.min(lower);
    }
}

/// What became of a text that was found before.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// It is a finding, with this index.
    At(usize),
    Silenced,
}

/// Reads a log line by line.
#[derive(Debug)]
pub struct Scanner<'r> {
    rules: &'r Rules,
    found: Vec<Found<'r>>,
    /// Whether a boot that goes on may lower something that was found.
    may_lower: bool,
    /// How many findings were begun.
    begun: usize,
    /// Of what was found, by the rule's ID and what the line says of it. To mask a text takes longer than all else,
    /// and a disk that fails says the same a thousand times.
    known: HashMap<(&'static str, String), Known>,
    waiting: Option<Waiting<'r>>,
    /// The machine's own names.
    hosts: Hosts,
    /// The secrets of the lines that are still to be read.
    secrets: Peekable<IntoIter<Secret>>,
    /// Whether the log said the beginning of a panic.
    has_panicked: bool,
    work: Work,
    /// Whether the lines were UTF-8 before they were decoded.
    is_utf8: bool,
}

impl<'r> Scanner<'r> {
    /// A scanner that has read nothing of this log. `secrets` are those of it.
    pub fn new(rules: &'r Rules, log: &[u8], secrets: Vec<Secret>) -> Self {
        Self {
            rules,
            hosts: Hosts::of(log),
            secrets: secrets.into_iter().peekable(),
            found: Vec::new(),
            may_lower: false,
            begun: 0,
            known: HashMap::new(),
            waiting: None,
            has_panicked: false,
            work: Work::default(),
            is_utf8: true,
        }
    }

    /// Reads the next line: its number from 1 on, its place in the log, and its bytes. What was written over on it
    /// counts as well.
    pub fn read(&mut self, number: usize, place: Range<usize>, line: &[u8]) {
        while let Some(secret) = self.secrets.next_if(|secret| secret.line < place.end) {
            self.add_secret(secret.rule, number, &place, line);
        }
        pieces(line, |piece| {
            let candidates = self.rules.candidates(piece);
            // Nearly all lines are done here.
            if candidates.is_empty() && self.waiting.is_none() && !self.may_lower {
                return;
            }
            if self.may_lower {
                self.follow(piece);
            }
            for message in messages(piece) {
                self.read_message(number, &place, message, &candidates, piece.len());
            }
        });
    }

    /// Lowers what a boot did without that goes on with this piece, and leaves what an earlier boot ended with.
    fn follow(&mut self, piece: &str) {
        let first = messages(piece).next().map_or("", |message| message.text);
        let is_stamped = stamps(piece.as_bytes()).next().is_some();
        self.may_lower = false;
        // Each kind is looked for once, however many findings wait for it.
        for until in Progress::ALL {
            let is_open = |found: &&mut Found| found.until == Some(until);
            let mut open = self.found.iter_mut().filter(is_open).peekable();
            if open.peek().is_none() {
                continue;
            }
            if until.is_said(piece, is_stamped) {
                open.for_each(Found::lower);
            } else if until.is_begun_anew(first) {
                open.for_each(Found::end);
            } else {
                self.may_lower = true;
            }
        }
    }

    /// `candidates` are the rules that have a word in a piece of so many bytes, of which the message is a part.
    fn read_message(
        &mut self,
        number: usize,
        place: &Range<usize>,
        Message { at, text }: Message,
        candidates: &[usize],
        piece: usize,
    ) {
        let text = cut(text, MAX_MESSAGE);
        self.look_for_function(number, at, text);
        if candidates.is_empty() || is_quoted(text) {
            return;
        }
        let text = match end_of_panic(text) {
            Some(_) if self.has_panicked => return,
            Some(panic) => panic, // The ring has dropped its beginning.
            None => text,
        };
        // A long line of many messages has words of many rules, and each message has a few.
        let candidates: Cow<[usize]> = match piece > MAX_MESSAGE {
            true => self.rules.candidates(text).into(),
            false => candidates.into(),
        };
        let Some((rule, detail)) = self.rules.find(text, &candidates, &mut self.work) else {
            return;
        };
        self.has_panicked |= text.starts_with(PANIC);
        if self.is_same_report(rule, number, at) {
            return;
        }
        if rule.function || rule.severity == Severity::Fatal {
            self.end_waiting();
        }
        let raw = detail.clone().map_or("", |detail| &text[detail]);
        if !rule.function && self.count_known(rule, raw) {
            return;
        }
        let finding = Finding {
            rule,
            severity: rule.severity,
            detail: detail.and_then(|detail| self.detail(rule, text, detail)),
            count: 1,
            line: number,
            bytes: place.clone(),
            evidence: cut(text, MAX_EVIDENCE).to_owned(),
        };
        let order = self.next_order();
        if rule.function {
            self.waiting = Some(Waiting {
                order,
                finding,
                at,
                last: number + LOOKS_AHEAD,
                in_trace: rule.trace,
            });
        } else {
            self.add_known(order, finding, raw);
        }
    }

    /// Whether a line is of the report that the fault before it began. The kernel says one fault in several lines,
    /// the most telling one first. That it panics is never a part of another report.
    fn is_same_report(&self, rule: &Rule, number: usize, at: Option<u64>) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| {
            rule.family == KERNEL
                && waiting.is_of_report(number, at)
                && (rule.general || rule.function)
                && (rule.severity < Severity::Fatal || rule == waiting.finding.rule)
        })
    }

    /// What a finding is about, without what differs from one time to the next.
    fn detail(&mut self, rule: &Rule, text: &str, detail: Range<usize>) -> Option<String> {
        // The host's name first: to mask the numbers in it would hide it.
        let (text, detail) = match self.hosts.is_empty() {
            true => (Cow::Borrowed(text), detail),
            false => self.without_host(text, detail),
        };
        let (text, raw) = (&*text, &text[detail.clone()]);
        let detail =
            if raw.contains(char::REPLACEMENT_CHARACTER) || !(self.is_utf8 || raw.is_ascii()) {
                OTHER_TEXT.to_owned()
            } else if raw.bytes().any(|byte| byte.is_ascii_digit()) || has_id(raw) {
                masked(text, detail, &mut self.work)
            } else {
                raw.to_owned() // What differs has a digit, but an ID, and most details have none.
            };
        let detail = match rule.family {
            KERNEL => BUILDER.replace(&detail, "${1}${2}"),
            CLOUD_INIT => Cow::Owned(detail.replace('_', "-")),
            _ => Cow::Borrowed(&*detail),
        };
        let detail = cut(&detail, MAX_DETAIL).trim();
        // A tab, say: signatures stand in log lines, metrics and messages to people.
        (!detail.is_empty()).then(|| detail.replace(char::is_control, " "))
    }

    /// A detail without the host's name, and what stands near it.
    fn without_host<'t>(
        &mut self,
        text: &'t str,
        detail: Range<usize>,
    ) -> (Cow<'t, str>, Range<usize>) {
        let before = near_before(text, detail.start)..detail.start;
        let raw = cut(&text[detail.clone()], MASKED_BEHIND);
        let behind = cut(&text[detail.end..], MASKED_BEHIND);
        self.work
            .spend_on_masks(before.len() + raw.len() + behind.len());
        let parts = [&text[before], raw, behind].map(|part| self.hosts.without(part));
        let detail = parts[0].len()..parts[0].len() + parts[1].len();
        (Cow::Owned(parts.concat()), detail)
    }

    fn next_order(&mut self) -> usize {
        self.begun += 1;
        self.begun
    }

    /// Counts what was found before, if this is.
    fn count_known(&mut self, rule: &Rule, raw: &str) -> bool {
        match self.known.get(&(rule.id, raw.to_owned())) {
            Some(Known::Silenced) => true,
            Some(Known::At(index)) => {
                let known = self.found.get_mut(*index);
                self.may_lower |= rule.until.is_some();
                known.map(|known| known.add(1)).is_some()
            }
            None => false,
        }
    }

    fn add_known(&mut self, order: usize, finding: Finding<'r>, raw: &str) {
        let id = finding.rule.id;
        let known = self.add(order, finding);
        if let Some(known) = known.filter(|_| self.known.len() < MAX_KNOWN) {
            self.known.insert((id, raw.to_owned()), known);
        }
    }

    /// Adds a finding to those with its signature, or as a new one, unless it is silenced. `None` if there is no place for
    /// it.
    fn add(&mut self, order: usize, finding: Finding<'r>) -> Option<Known> {
        if (self.rules).silences(finding.rule.id, || finding.signature()) {
            return Some(Known::Silenced);
        }
        self.may_lower |= finding.rule.until.is_some();
        let is_same =
            |other: &Finding| other.rule == finding.rule && other.detail == finding.detail;
        let mut found = self.found.iter_mut().enumerate();
        if let Some((index, same)) = found.find(|(_, found)| is_same(&found.finding)) {
            same.add(finding.count);
            return Some(Known::At(index));
        }
        let new = Found::new(order, finding);
        if self.found.len() < MAX_FINDINGS {
            self.found.push(new);
            return Some(Known::At(self.found.len() - 1));
        }
        let found = self.found.iter().enumerate();
        let (index, least) =
            found.min_by_key(|(_, found)| (found.finding.severity, Reverse(found.order)))?;
        if least.finding.severity >= new.finding.severity {
            return None;
        }
        (self.known).retain(|_, known| !matches!(known, Known::At(at) if *at == index));
        self.found[index] = new;
        Some(Known::At(index))
    }

    fn add_secret(
        &mut self,
        rule: &'static Rule,
        number: usize,
        place: &Range<usize>,
        line: &[u8],
    ) {
        if self.count_known(rule, "") {
            return;
        }
        let mut evidence = String::new();
        pieces(line, |piece| evidence.push_str(piece));
        let finding = Finding {
            rule,
            severity: rule.severity,
            detail: None,
            count: 1,
            line: number,
            bytes: place.clone(),
            evidence: cut(evidence.trim(), MAX_EVIDENCE).to_owned(),
        };
        let order = self.next_order();
        self.add_known(order, finding, "");
    }

    /// Names the function of a fault, from the registers that follow it.
    fn look_for_function(&mut self, number: usize, at: Option<u64>, text: &str) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let is_over = waiting.is_over(number, at)
            || text.starts_with(END_OF_REPORT)
            || begins_with_start(text.as_bytes());
        let function = match (is_over, waiting.in_trace) {
            (true, _) => None,
            (false, false) => stopped_at(text),
            (false, true) => frame(text).or_else(|| told_place(text)),
        };
        if let Some(function) = function {
            waiting.finding.detail = Some(cut(function, MAX_DETAIL).to_owned());
            waiting.in_trace |= is_common(function);
        }
        if is_over || function.is_some_and(|function| !is_common(function)) {
            self.end_waiting();
        }
    }

    fn end_waiting(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.add(waiting.order, waiting.finding);
        }
    }

    /// The findings, in the order in which the log says them first, each signature once.
    pub fn finish(mut self) -> Vec<Finding<'r>> {
        self.end_waiting();
        self.found.sort_by_key(|found| found.order);
        let told = self.found.into_iter().filter(|found| !found.is_left_out);
        told.map(|found| found.finding).collect()
    }
}

/// A part of a message, masked as the text around it is: what stands before a number says whether it matters.
fn masked(text: &str, part: Range<usize>, work: &mut Work) -> String {
    let behind = cut(&text[part.start..], MASKED_BEHIND);
    let begin = near_before(text, part.start);
    let near = &text[begin..part.start + behind.len()];
    work.spend_on_masks(near.len());
    let part = part.start - begin..near.len().min(part.end - begin);
    let (mut detail, mut copied) = (String::new(), part.start);
    masks::find_in_few(near, |place, kind| {
        let masked = place.start.max(copied)..place.end.min(part.end);
        if !masked.is_empty() {
            detail.push_str(&near[copied..masked.start]);
            detail.extend(["<", kind, ">"]);
            copied = masked.end;
        }
    });
    detail.push_str(&near[copied..part.end]);
    let named = |found: &Captures| match (found.get(1), found.get(2)) {
        (Some(disk), _) => format!("{}<serial>", disk.as_str()),
        (_, path) => format!("{}<path>", path.map_or("", |path| path.as_str())),
    };
    let detail = SERIALS.replace_all(&detail, named);
    let numbered = |found: &Captures| {
        let kept = found.iter().skip(1).flatten().next();
        format!("{}<n>", kept.map_or("", |kept| kept.as_str()))
    };
    NUMBERS.replace_all(&detail, numbered).into_owned()
}

/// Where what stands near a place begins.
fn near_before(text: &str, at: usize) -> usize {
    let mut begin = at.saturating_sub(MASKED_BEFORE);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    begin
}

/// The findings of one console by itself. What they say of it has no secret.
pub fn of_console<'r>(console: &[u8], rules: &'r Rules) -> Vec<Finding<'r>> {
    let secrets = secrets::find(console);
    let console = match secrets.is_empty() {
        true => Cow::Borrowed(console),
        false => Cow::Owned(secrets::masked(console, &secrets)),
    };
    let mut scanner = Scanner::new(rules, &console, secrets);
    let (mut begin, mut number) = (0, 0);
    let ends = memchr::memchr_iter(b'\n', &console).map(|at| at + 1);
    for end in ends.chain([console.len()]) {
        number += 1;
        scanner.read(number, begin..end, &console[begin..end]);
        begin = end;
    }
    let mut found = scanner.finish();
    endings::add_of_text(&mut found, &console, rules, |at| {
        let number = memchr::memchr_iter(b'\n', &console[..at]).count() + 1;
        let begin = memchr::memrchr(b'\n', &console[..at]).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', &console[at..]).map_or(console.len(), |end| at + end + 1);
        (number, begin..end)
    });
    found
}

/// What a line of a console says as plain text: without colours, and without what moves a cursor.
pub fn plain_line(line: &[u8]) -> String {
    let mut plain = String::new();
    pieces(line, |piece| {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(piece.trim_end());
    });
    plain
}

/// The findings of a log that has no captures, such as a file's. It may show several boots.
#[cfg(feature = "cli")]
pub fn of_log<'r>(log: &Boot, encoding: EncodingChoice, rules: &'r Rules) -> Vec<Finding<'r>> {
    let (mut found, lines) = of_lines(log, encoding, rules);
    let place = |at| place(&lines, at);
    endings::add_of_text(&mut found, &log.log, rules, place);
    found
}

/// The findings of one of a machine's boots: what its log says, and how it ended.
#[cfg(feature = "cli")]
pub fn of_boots<'r>(
    boots: &[Boot],
    index: usize,
    encoding: EncodingChoice,
    rules: &'r Rules,
) -> Vec<Finding<'r>> {
    of_boot(
        &boots[index],
        &endings::of_boots(boots, index),
        encoding,
        rules,
    )
}

/// The findings of a boot's log, with the numbers that its lines have in `show`. Their evidence is as the log
/// has it: secrets are masked if they are masked there. `told` is what is known of its end.
#[cfg(feature = "cli")]
pub fn of_boot<'r>(
    boot: &Boot,
    told: &[endings::Told],
    encoding: EncodingChoice,
    rules: &'r Rules,
) -> Vec<Finding<'r>> {
    let (mut found, lines) = of_lines(boot, encoding, rules);
    let place = |at| place(&lines, at);
    endings::add_of_boot(&mut found, &boot.log, told, rules, place);
    found
}

/// The number and the bytes of the line that has the byte at `at`.
#[cfg(feature = "cli")]
fn place(lines: &[Range<usize>], at: usize) -> (usize, Range<usize>) {
    let number = lines.partition_point(|line| line.start <= at);
    let line = number.checked_sub(1).and_then(|index| lines.get(index));
    (number.max(1), line.cloned().unwrap_or(0..0))
}

/// What the lines of a log say, and where each line stands.
#[cfg(feature = "cli")]
fn of_lines<'r>(
    boot: &Boot,
    encoding: EncodingChoice,
    rules: &'r Rules,
) -> (Vec<Finding<'r>>, Vec<Range<usize>>) {
    let log = Log::new(boot, encoding);
    let secrets = secrets::find(&boot.log);
    // Rules see the same of a log wherever they are applied, whether it is shown with its secrets or not.
    let masked = match secrets.is_empty() {
        true => Cow::Borrowed(&boot.log),
        false => Cow::Owned(secrets::masked(&boot.log, &secrets)),
    };
    let mut scanner = Scanner::new(rules, &masked, secrets);
    scanner.is_utf8 = log.encoding == encoding_rs::UTF_8;
    let (mut parts, mut line) = (log.parts(), crate::terminal::Line::default());
    let mut lines = Vec::new();
    while let Some(part) = parts.read(&mut line) {
        if let Part::Line(place) = part {
            lines.push(place.bytes.clone());
            let written = &masked[place.bytes.clone()];
            let decoded = log.encoding.decode_without_bom_handling(written).0;
            scanner.read(place.number, place.bytes, decoded.as_bytes());
        }
    }
    let mut found = scanner.finish();
    if *masked != boot.log {
        for finding in &mut found {
            let [masked, stored] = [&*masked, &boot.log].map(|log_bytes| {
                let line = &log_bytes[finding.bytes.clone()];
                log.encoding.decode_without_bom_handling(line).0
            });
            finding.show_evidence(&masked, &stored);
        }
    }
    (found, lines)
}

/// What one writer wrote of a line.
#[derive(Debug, Clone, Copy)]
struct Message<'t> {
    /// Its stamp, in microseconds.
    at: Option<u64>,
    /// What it says, without what stands in front of it.
    text: &'t str,
}

/// The messages of a line: those of the kernel run into prompts and into each other, each with its stamp.
fn messages(text: &str) -> impl Iterator<Item = Message<'_>> {
    let mut begin = Some((0, None));
    let mut stamps = stamps(text.as_bytes());
    let cuts = std::iter::from_fn(move || {
        let (from, at) = begin.take()?;
        let next = stamps.next();
        begin = (next.as_ref()).map(|(place, stamp)| (place.end, Some(stamp.micros)));
        let text = &text[from..next.map_or(text.len(), |(place, _)| place.start)];
        Some(Message {
            at,
            text: without_prefix(text),
        })
    });
    cuts.filter(|message| !message.text.is_empty())
}

/// Whether a text names a disk, a file system or a partition by its ID, such as `UUID=ABCD-EF01` of FAT.
fn has_id(text: &str) -> bool {
    const IDS: [&str; 6] = [
        "uuid",
        "UUID",
        "by-id",
        r"by\x2did",
        "by-path",
        r"by\x2dpath",
    ];
    IDS.iter().any(|id| text.contains(id))
}

/// What the kernel died of, from the line behind all that it says of it.
fn end_of_panic(text: &str) -> Option<&str> {
    let panic = text.strip_prefix(END_OF_REPORT)?;
    let panic = panic.trim_end().trim_end_matches("]---").trim_end();
    panic.starts_with(PANIC).then_some(panic)
}

/// Whether a line only quotes what others write: the kernel's command line, and records of the audit.
fn is_quoted(text: &str) -> bool {
    const QUOTES: [&str; 4] = ["Command line:", "Kernel command line:", "audit:", "audit("];
    QUOTES.iter().any(|begin| text.starts_with(begin))
}

/// Numbers that differ from one machine to the next, in the detail of a finding: what is left of an ID whose beginning
/// was cut, long hexadecimal numbers, versions of kernels, numbers of devices, sessions, users and processors. What
/// `diff` compares has other ones.
static NUMBERS: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"(…)(?:<[a-z]+>|[0-9A-Fa-f]*(?:-|\\x2d))*(?:<[a-z]+>|[0-9A-Fa-f]+\b)|((?i:uuid)(?:=|/|\\x2d|-))[0-9A-Fa-f]{4,16}(?:(?:-|\\x2d)[0-9A-Fa-f]{2,4})?\b|\b[0-9a-f]{12,}\b|(\bsshd@)[0-9][0-9a-f:.-]*[0-9a-f]|\b[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9_.-]*|(\brun-)(?:p[0-9]+-i[0-9]+|[pu]?[0-9]+|r[0-9a-f]{16,})\b|((?:\bsnap-[a-z0-9-]+-)|(?:/snap/[a-z0-9-]+/))[0-9]+\b|(@)[0-9]+(?:[-:][0-9]+)*\b|([-@ ])c?(?:[0-9]+:[0-9]+|[0-9]{3,})\b|(\b(?i:session|uid|user)[ @-])c?[0-9]+\b|(\b(?:kworker|ksoftirqd|migration|swapper|cpuhp|irq|jbd2|kjournald2?|xfsaild|xfs-[a-z]+|kdmflush|dmcrypt_write)/)[A-Za-z0-9_:+.<>-]+|\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}(?:-[0-9A-Fa-f]{4})*\b|\b[0-9A-F]{4}-[0-9A-F]{4}\b|(\b(?:[dims]|vol)(?:-|\\x2d))[a-z0-9]{15,}\b|(\b(?i:thread|worker|pool|queue)-)[0-9]+\b|(-)(?:[0-9][0-9a-f]{5,}|[0-9a-f][0-9][0-9a-f]{4,}|[0-9a-f]{2}[0-9][0-9a-f]{3,}|[0-9a-f]{3}[0-9][0-9a-f]{2,}|[0-9a-f]{4}[0-9][0-9a-f]+|[0-9a-f]{5,}[0-9][0-9a-f]*)\b",
    )
});
/// What udev names a disk by (`rules.d/60-persistent-storage.rules`): its maker and model, and behind them its serial; or
/// its place on the bus. In names of units, hyphens are `\x2d`.
static SERIALS: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"(\bby(?:-|\\x2d)id(?:/|-|\\x2d)(?:virtio|scsi|ata|usb|wwn|nvme|google|(?:dm|md|lvm(?:-|\\x2d)pv)(?:-|\\x2d)uuid)(?:-|\\x2d)(?:[A-Za-z]+_)*)(?:[A-Za-z0-9_+<>\\-]|\.[0-9<])+|(\bby(?:-|\\x2d)path(?:/|-|\\x2d))(?:[A-Za-z0-9_:+<>\\-]|\.[0-9<])+",
    )
});
/// The folder in which a kernel was built, before the one of its source.
static BUILDER: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"(^| in )(?:\./|/\S*?/)((?:arch|block|certs|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|security|sound|virt)/)",
    )
});
static STOPPED_AT: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:RIP: [0-9a-f]{4}:(?:\[<[0-9a-f]+>\] +){0,2}|pc : |PC is at |NIP \[[0-9a-f]+\] |epc : )(?:__pfx_)?([A-Za-z_][A-Za-z0-9_]*)|^R?IP:? +(?:\[<[0-9a-f]+>\] +)?([A-Za-z_][A-Za-z0-9_]*)[A-Za-z0-9_.]*\+0x",
    )
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:\[<[0-9a-f]+>\] )?(?:__pfx_)?([A-Za-z_][A-Za-z0-9_]*)[A-Za-z0-9_.]*\+0x[0-9a-f]+/0x",
    )
});
/// What the kernel's lock checker tells of before any trace: where a lock is taken, and the line that broke a rule. Locks
/// that are held already begin with `#`.
static TOLD_PLACE: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:(?:[0-9a-f]{8,16} )?\(.*\}(?:-\{[0-9:]+\})?, at: (?:\[<[0-9a-f]+>\] )?([A-Za-z_][A-Za-z0-9_]*)|(?:\./)?([A-Za-z0-9_./-]+:[0-9]+) suspicious )",
    )
});
/// Functions that check, wait, or report: where they stop says nothing of the fault.
static COMMON: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^_*(?:warn_|refcount_|list_(?:add|del)|native_|delay_|const_udelay|udelay|panic|dump_stack|show_|asm_|exc_|error_entry|do_error_trap|do_trap|report_bug|handle_bug|die|oops_|smp_call|queued_|pv_|raw_spin|mutex_|down_|rwsem|schedule|io_schedule|kasan|kfence|print_|mem(?:cpy|set|move)|copy_|rep_|fortify_|ubsan|slab_|object_err|check_|bad_page|lockdep|debug_|dump_backtrace|stack_trace|might_(?:sleep|resched|fault)|spin_(?:dump|bug)|do_raw_|lock_(?:acquire|release)|register_lock|assign_lock|kmem_cache_|kmalloc|kvmalloc|kfree|fixup_bug|do_invalid_op|invalid_op)",
    )
});

/// The function in which a fault happened: of x86 `RIP: 0010:ext4_readdir+0x1a/0x3f0`, of ARM `pc : …`.
fn stopped_at(text: &str) -> Option<&str> {
    first_group(&STOPPED_AT, text)
}

/// A function of a call trace. Those with a question mark may be of an earlier call.
fn frame(text: &str) -> Option<&str> {
    first_group(&FRAME, text)
}

/// Where the lock checker says that it happened.
fn told_place(text: &str) -> Option<&str> {
    first_group(&TOLD_PLACE, text)
}

fn is_common(function: &str) -> bool {
    COMMON.is_match(function)
}

fn first_group<'t>(regex: &Regex, text: &'t str) -> Option<&'t str> {
    let found = regex.captures(text)?;
    let group = found.iter().skip(1).flatten().next()?;
    Some(group.as_str())
}

/// `regex-lite` is small, and looks at few lines.
fn constant(pattern: &str) -> Regex {
    Regex::new(pattern)
        .unwrap_or_else(|error| unreachable!("{pattern} is constant, and tested: {error}"))
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(log: &str) -> Vec<Finding<'static>> {
        let boot = Boot::of_log(log.as_bytes().to_vec());
        of_log(&boot, EncodingChoice::Auto, Rules::built_in())
    }

    fn signatures(log: &str) -> Vec<String> {
        let found = scan(log);
        found.iter().map(Finding::signature).collect()
    }

    #[test]
    fn each_rule_finds_its_examples_and_leaves_what_looks_alike() {
        let mut wrong = Vec::new();
        for rule in Rules::built_in()
            .all()
            .iter()
            .filter(|rule| rule.is_of_line() && !rule.is_secret())
        {
            let note = rule.note();
            assert!(!note.yes.is_empty() && !note.no.is_empty(), "{}", rule.id);
            for (line, is_found) in (note.yes.iter().map(|line| (line, true)))
                .chain(note.no.iter().map(|line| (line, false)))
            {
                let log = format!("[    1.234567] {line}\n");
                let found = scan(&log);
                let ids: Vec<_> = found.iter().map(|one| one.rule.id).collect();
                let is_right = match is_found {
                    true => ids == [rule.id],
                    false => !ids.contains(&rule.id),
                };
                if !is_right {
                    wrong.push(format!("{}: {line:?}: {ids:?}", rule.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_stands_around_a_message_does_not_hide_it() {
        let panic = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b";
        for line in [
            panic.to_owned(),
            format!("[    1.234567] {panic}\r"),
            format!("[    1.234567][    T1] {panic}"),
            format!("<0>[    1.234567] {panic}"),
            format!("\u{1b}[31m[    1.234567] {panic}\u{1b}[0m"),
            format!("[    1.234567] [    1.234567] {panic}"),
            format!("root@machine:~# [  217.653587] {panic}"),
            format!("{panic}\rall is well"),
            format!("[    1.000001] usb 1-1: new[    1.234567] {panic}"),
            format!("[Mon Nov 30 10:00:00 2026] {panic}"),
            format!("[2026-11-30 10:00:00] {panic}"),
            format!("kern  :emerg : [    1.234567] {panic}"),
            format!("Nov 30 10:00:00 host kernel: {panic}"),
            format!("Nov 30 10:00:00 host kernel: [    1.234567] {panic}"),
            format!("2026-11-30T10:00:00.123456+08:00 host kernel: {panic}"),
            format!("host login: {panic}"),
        ] {
            let found = signatures(&format!("{line}\nnext\n"));
            assert_eq!(found, ["init-died:0x0000000b"], "{line:?}");
        }
    }

    #[test]
    fn a_quiet_log_has_no_findings() {
        for line in [
            "Kernel command line: root=/dev/vda1 panic=30 oops=panic",
            "Command line: BOOT_IMAGE=/vmlinuz Kernel panic - not syncing: no",
            "RAS: Correctable Errors collector initialized.",
            "systemd[1]: Started Kernel panic watcher.",
            "audit: type=1130 audit(1.1:2): pid=1 msg='unit=a comm=\"Failed to start b\" res=failed'",
            "ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0], AE_NOT_FOUND",
            "debug-host-BUG login: ",
        ] {
            assert_eq!(
                signatures(&format!("[    1.234567] {line}\n")),
                [""; 0],
                "{line}"
            );
        }
    }

    #[test]
    fn the_same_fault_has_one_signature_wherever_it_happens() {
        let oops = |address: &str, cpu: u32, pid: u32, function: &str| {
            format!(
                "[   12.000001] BUG: kernel NULL pointer dereference, address: {address}\n\
                 [   12.000002] #PF: supervisor write access in kernel mode\n\
                 [   12.000003] Oops: 0002 [#1] PREEMPT SMP PTI\n\
                 [   12.000004] CPU: {cpu} PID: {pid} Comm: ls Not tainted 6.1.0\n\
                 [   12.000005] RIP: 0010:{function}+0x1a/0x3f0 [ext4]\n\
                 [   12.000006] ---[ end trace 0000000000000000 ]---\n"
            )
        };
        let first = signatures(&oops("0000000000000000", 1, 222, "ext4_readdir"));
        assert_eq!(first, ["kernel-null-dereference:ext4_readdir"]);
        assert_eq!(
            signatures(&oops("0000000000000008", 3, 999, "ext4_readdir")),
            first
        );
        assert_ne!(
            signatures(&oops("0000000000000000", 1, 222, "xfs_readdir")),
            first
        );
    }

    /// How many findings a log has that says `line` with each number, and `last` behind.
    fn crowded(line: impl Fn(usize) -> String, last: &str) -> Vec<(Severity, String, usize)> {
        let lines: String = (0..120).map(line).collect();
        let found = scan(&format!("{lines}{last}\n"));
        let each = found.iter();
        each.map(|one| (one.severity, one.signature(), one.count))
            .collect()
    }

    #[test]
    fn what_is_worse_has_a_place_in_a_log_of_many_findings() {
        let name = |number: usize| {
            let letter = |number: usize| char::from(b'a' + u8::try_from(number % 26).unwrap());
            format!("{}{}", letter(number / 26), letter(number))
        };
        let crashed = |number| format!("{}[9]: segfault at 0 ip 0\n", name(number));
        let failed = |number| format!("[FAILED] Failed to start {}.\n", name(number));
        let panic = "Kernel panic - not syncing: Fatal exception";
        let found = crowded(crashed, panic);
        assert_eq!(found.len(), MAX_FINDINGS);
        let last = found.last().unwrap();
        assert_eq!(
            (last.0, &*last.1),
            (Severity::Fatal, "kernel-panic:Fatal exception")
        );
        // The first ones stay: they are often the cause.
        assert_eq!(
            found[MAX_FINDINGS - 2].1,
            format!("process-crashed:{}", name(98))
        );
        let found = crowded(failed, "You are in emergency mode");
        assert_eq!(found.last().unwrap().1, "emergency-mode");
    }

    #[test]
    fn a_fault_that_returns_is_one_finding_that_is_counted() {
        let lockup = |number| {
            format!(
                "watchdog: BUG: soft lockup - CPU#1 stuck for {}s! [java:123]\n\
                 RIP: 0010:ext4_readdir+0x1/0x2\n\
                 Call Trace:\n",
                22 + number
            )
        };
        let found = crowded(lockup, "You are in emergency mode");
        let expected = [
            (Severity::Error, "soft-lockup:ext4_readdir".to_owned(), 120),
            (Severity::Fatal, "emergency-mode".to_owned(), 1),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_fault_hides_nothing_that_is_not_its_own() {
        for (log, expected) in [
            (
                "refcount_t: underflow; use-after-free.\n\
                 Modules linked in:\n\
                 [FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.\n\
                 [FAILED] Failed to mount data.mount - /data.\n\
                 Kernel panic - not syncing: Attempted to kill the idle task!\n",
                &[
                    "refcount:underflow; use-after-free",
                    "unit-failed:OpenBSD Secure Shell server",
                    "mount-failed:/data",
                    "kernel-panic:Attempted to kill the idle task!",
                ][..],
            ),
            (
                "Kernel panic - not syncing: Fatal exception\n\
                 Linux version 6.1.0\n\
                 Kernel panic - not syncing: Attempted to kill the idle task!\n\
                 SeaBIOS (version 1.16)\n\
                 WARNING: CPU: 1 PID: 222 at kernel/fork.c:123 dup_mm+0x12/0x34\n",
                &[
                    "kernel-panic:Fatal exception",
                    "kernel-panic:Attempted to kill the idle task!",
                    "kernel-warning:dup_mm",
                ],
            ),
            (
                "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kworker/1:2:123]\n\
                 RIP: 0010:native_queued_spin_lock_slowpath+0x12/0x34\n\
                 Kernel panic - not syncing: softlockup: hung tasks\n",
                &[
                    "soft-lockup:native_queued_spin_lock_slowpath",
                    "kernel-panic:softlockup",
                ],
            ),
            (
                "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010\n\
                 Internal error: Oops: 0000000096000004 [#1] SMP\n\
                 pc : __memcpy+0x1/0x2\n\
                 Kernel panic - not syncing: Oops: Fatal exception in interrupt\n",
                &[
                    "kernel-null-dereference:__memcpy",
                    "kernel-panic:Fatal exception in interrupt",
                ],
            ),
            (
                "Insufficient stack space to handle exception!\n\
                 Kernel panic - not syncing: kernel stack overflow\n",
                &["stack-overflow"],
            ),
        ] {
            assert_eq!(signatures(log), expected, "{log}");
        }
    }

    #[test]
    fn a_fault_without_a_trace_hides_no_later_one() {
        let atomic = "BUG: scheduling while atomic: java/7/0x00000002";
        let lockup = "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [java:7]";
        let both = [
            "scheduling-while-atomic:scheduling while atomic",
            "soft-lockup:java",
        ];
        let apart = format!("[   10.000001] {atomic}\n[  400.000001] {lockup}\n");
        assert_eq!(signatures(&apart), both);
        let others = "eth0: link up\n".repeat(30);
        assert_eq!(signatures(&format!("{atomic}\n{others}{lockup}\n")), both);
        // The trace of a later fault is not that of an earlier one.
        let trace = "[  400.000002] Call Trace:\n[  400.000003]  load_it+0x1/0x2\n";
        assert_eq!(
            signatures(&format!("[   10.000001] {atomic}\n{trace}")),
            both[..1]
        );
        // One that returns is counted.
        let again =
            format!("[   10.000001] {lockup}\n[   38.000001] {lockup}\n[   66.000001] {lockup}\n");
        assert_eq!(scan(&again)[0].count, 3);
    }

    #[test]
    fn a_report_of_many_lines_is_one_finding() {
        let memory: String = (0..14)
            .map(|line| format!("[    5.{line:06}]   ESR = 0x{line}\n[  OK  ] Started a.\n"))
            .collect();
        let log = format!(
            "[    5.000000] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010\n\
             {memory}\
             [    5.300000] Internal error: Oops: 0000000096000004 [#1] SMP\n\
             [    5.400000] pc : load_it+0x1/0x2\n"
        );
        assert_eq!(signatures(&log), ["kernel-null-dereference:load_it"]);
    }

    #[test]
    fn what_a_boot_did_without_is_a_warning() {
        let kernel = "[    0.000000] Linux version 6.1.0\n";
        let no_disk = "ALERT!  UUID=0a1b2c3d-0000-4000-8000-00000000feed does not exist.  Dropping to a shell!\n";
        let rescue = "error: no such device: root.\ngrub rescue> \n";
        let waits = "Please enter passphrase for disk vda3 (root): \n";
        let fsck = "/dev/vdb1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n";
        let no_lease = "dhclient[400]: No DHCPOFFERS received.\n";
        let no_group = "  Volume group \"vg0\" not found\n  Cannot process volume group vg0\n";
        let emergency =
            "[  OK  ] Started Emergency Shell.\n[  OK  ] Reached target Emergency Mode.\n";
        let no_metadata = "url_helper.py[WARNING]: Calling 'http://100.100.100.200/latest' failed [0/50s]: timed out\n";
        let no_root = "[    1.2] Waiting for root device /dev/vda1...\n";
        let job = "[  *** ] A start job is running for X (9min 12s / no limit)";
        let tried = "[    1.2] XFS (vda1): Invalid superblock magic number\n";
        let initramfs =
            "[    0.9] Initramfs unpacking failed: invalid magic at start of compressed archive\n";
        for (log, expected) in [
            (rescue.to_owned(), vec![Severity::Fatal; 2]),
            (format!("{rescue}{kernel}"), vec![Severity::Warning; 2]),
            (
                "Boot failed: could not read the boot disk\n".to_owned(),
                vec![Severity::Warning],
            ),
            (
                format!("Boot failed: could not read the boot disk\n{kernel}"),
                vec![],
            ),
            (
                format!("{rescue}[    1.000001] eth0: up\n"),
                vec![Severity::Warning; 2],
            ),
            (
                format!("{rescue}\nhost login: \n"),
                vec![Severity::Warning; 2],
            ),
            // Another boot, which came further.
            (
                format!("{rescue}SeaBIOS (version 1.16)\n{kernel}"),
                vec![Severity::Fatal; 2],
            ),
            (
                format!("{rescue}SeaBIOS (version 1.16)\n{rescue}{kernel}"),
                vec![Severity::Fatal; 2],
            ),
            // One that came less far.
            (
                format!("{rescue}{kernel}SeaBIOS (version 1.16)\n{rescue}"),
                vec![Severity::Fatal; 2],
            ),
            // Another device of the firmware.
            (
                format!("start_image() returned Not Found\nBdsDxe: starting Boot0002\n{kernel}"),
                vec![Severity::Warning],
            ),
            (format!("{kernel}{no_disk}"), vec![Severity::Fatal]),
            (
                format!("{no_disk}[   40.000001] systemd[1]: Switching root.\n"),
                vec![Severity::Warning],
            ),
            (
                format!("{no_disk}Welcome to Debian GNU/Linux 12 (bookworm)!\n"),
                vec![Severity::Warning],
            ),
            (
                format!(
                    "{no_disk}Welcome to Fedora CoreOS dracut-059 (Initramfs)!\n[   40.000001] systemd[1]: Startup finished in 2min.\n"
                ),
                vec![Severity::Fatal],
            ),
            (
                format!("{no_disk}{kernel}Welcome to Debian GNU/Linux 12 (bookworm)!\n"),
                vec![Severity::Fatal],
            ),
            (
                format!("{initramfs}Welcome to Ubuntu 22.04 LTS!\n"),
                vec![Severity::Warning],
            ),
            (waits.to_owned(), vec![Severity::Fatal]),
            (
                format!("{waits}[  OK  ] Finished Cryptography Setup for root.\n"),
                vec![Severity::Info],
            ),
            (
                format!("{waits}[    9.000001] EXT4-fs (dm-0): mounted filesystem\n"),
                vec![Severity::Info],
            ),
            (
                format!("{waits}[DEPEND] Dependency failed for Local Encrypted Volumes.\n"),
                vec![Severity::Fatal, Severity::Error],
            ),
            (format!("{fsck}host login: "), vec![Severity::Error]),
            (format!("{fsck}Last login: today\n"), vec![Severity::Fatal]),
            (
                "java invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0\n".to_owned(),
                vec![Severity::Warning],
            ),
            (
                "java invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0\n\
                 Out of memory: Killed process 94 (dd) total-vm:12345kB\n"
                    .to_owned(),
                vec![Severity::Error],
            ),
            (no_lease.to_owned(), vec![Severity::Error]),
            (emergency.to_owned(), vec![Severity::Fatal]),
            (
                format!("{emergency}You are in emergency mode. After logging in, type\n"),
                vec![Severity::Fatal],
            ),
            (format!("{emergency}\nhost login: \n"), vec![]),
            (no_group.to_owned(), vec![Severity::Error]),
            (
                format!("{no_group}  0 logical volume(s) in volume group \"vg0\" now active\n"),
                vec![Severity::Error],
            ),
            (
                format!("{no_group}  2 logical volume(s) in volume group \"vg0\" now active\n"),
                vec![Severity::Warning],
            ),
            (no_metadata.to_owned(), vec![Severity::Error]),
            (
                format!("{no_metadata}Datasource DataSourceNone.  Up 3 seconds\n"),
                vec![Severity::Error; 2],
            ),
            (
                format!("{no_metadata}Datasource DataSourceAliYun.  Up 3 seconds\n"),
                vec![Severity::Warning],
            ),
            (no_root.to_owned(), vec![Severity::Error]),
            (
                format!(
                    "{no_root}[    1.3] VFS: Mounted root (ext4 filesystem) on device 254:1.\n"
                ),
                vec![Severity::Info],
            ),
            (format!("{job}\r{job}\n"), vec![Severity::Error]),
            (
                format!("{job}\n[  OK  ] Started X.\n"),
                vec![Severity::Info],
            ),
            (
                format!("{job}\n[  OK  ] Started X.\n{job}\n"),
                vec![Severity::Error],
            ),
            (
                format!("{tried}[   40.000001] systemd[1]: Switching root.\n"),
                vec![Severity::Warning],
            ),
            (
                format!(
                    "{no_lease}Trying recorded lease 10.0.0.5\nbound: renewal in 1000 seconds.\n"
                ),
                vec![Severity::Warning],
            ),
        ] {
            let severities: Vec<_> = scan(&log).iter().map(|one| one.severity).collect();
            assert_eq!(severities, expected, "{log}");
            let of_console: Vec<_> = of_console(log.as_bytes(), Rules::built_in())
                .iter()
                .map(|one| one.in_short().severity)
                .collect();
            assert_eq!(of_console, expected, "{log}");
        }
    }

    #[test]
    fn what_the_lock_checker_tells_is_named_by_its_place() {
        for (log, expected) in [
            (
                "WARNING: possible circular locking dependency detected\n\
                 4.15.0-rc2+ #209 Not tainted\n\
                 a/16108 is trying to acquire lock:\n \
                 (console_lock){+.+.}, at: [<00000000ec170b5b>] vcs_write+0x14d/0xca0\n\
                 but task is already holding lock:\n \
                 (&pipe->mutex/1){+.+.}, at: [<0000000040ee4d01>] pipe_lock+0x56/0x70\n",
                "lock-debug:vcs_write",
            ),
            (
                "[ BUG: Invalid wait context ]\n\
                 swapper/0/1 is trying to lock:\n\
                 ffff888100a0b0c0 (&c->lock){....}-{3:3}, at: ___slab_alloc_of+0x1/0x2\n",
                "lock-debug:___slab_alloc_of",
            ),
            (
                "WARNING: suspicious RCU usage\n\
                 net/tipc/bearer.c:177 suspicious rcu_dereference_protected() usage!\n \
                 #0:  (cb_lock){++++}, at: [<00000000173fa719>] genl_rcv+0x19/0x40\n",
                "lock-debug:net/tipc/bearer.c:177",
            ),
            (
                "BUG: sleeping function called from invalid context at mm/slab.h:420\n\
                 2 locks held by a/1:\n \
                 #0:  (cb_lock){++++}, at: [<00000000173fa719>] genl_rcv+0x19/0x40\n\
                 Call Trace:\n dump_stack+0x1/0x2\n ___might_sleep+0x1/0x2\n ? gone+0x1/0x2\n kmem_cache_alloc+0x1/0x2\n load_it+0x1/0x2\n",
                "scheduling-while-atomic:load_it",
            ),
            (
                "BUG: spinlock recursion on CPU#0, a/5032\n\
                 Call Trace:\n \
                 [<ffffffff834c3ae9>] dump_stack+0x2ee/0x3f5\n \
                 [<ffffffff81576cd2>] spin_dump+0x152/0x280\n \
                 [<ffffffff814b7615>] __task_rq_lock+0xf5/0x330\n",
                "lock-debug:__task_rq_lock",
            ),
            (
                "BUG: spinlock lockup on CPU#0, a/5032\n",
                "lock-debug:spinlock lockup",
            ),
        ] {
            assert_eq!(signatures(log), [expected], "{log}");
        }
    }

    #[test]
    fn registers_of_older_kernels_name_the_function() {
        for register in [
            "IP: [<ffffffff8148e81d>] read_it+0x2bd/0x3410",
            "IP: read_it.part.23+0x258/0x470",
            "RIP: 0010:[<ffffffff83408ca0>]  [<ffffffff83408ca0>] read_it+0x190/0x290",
            "RIP  [<ffffffff83408ca0>] read_it+0x190/0x290",
            "RIP: 0010:read_it+0x190/0x290",
            "PC is at read_it.constprop.9+0x184/0x2b0",
        ] {
            let log = format!(
                "BUG: unable to handle kernel NULL pointer dereference at 0000058c\n\
                 IP: inlined include/linux/nodemask.h:405 [inline]\n{register}\n"
            );
            assert_eq!(
                signatures(&log),
                ["kernel-null-dereference:read_it"],
                "{log}"
            );
        }
    }

    #[test]
    fn every_panic_is_fatal() {
        for why in [
            "Hard LOCKUP",
            "hung_task: blocked tasks",
            "softlockup: hung tasks",
            "BUG: unable to handle kernel NULL pointer dereference",
            "Fatal exception",
            "stack-protector: Kernel stack is corrupted in: ext4_readdir+0x3f0/0x3f0",
            "VFS: Unable to mount root fs on unknown-block(0,0)",
            "UBSAN: panic_on_warn set ...",
            "",
            "(null)",
        ] {
            let found = scan(&format!(
                "[    1.234567] Kernel panic - not syncing: {why}\n"
            ));
            let severities: Vec<_> = found.iter().map(|one| one.severity).collect();
            assert_eq!(severities, [Severity::Fatal], "{why}");
        }
    }

    /// Lines that machines say, and what they have in common. `{n}` is a number, `{x}` an address, `{p}` a process,
    /// `{c}` a processor, `{u}` the ID of a disk, `{h}` the ID of a container.
    const FAULTS: &[(&str, &str)] = &[
        (
            "BUG: kernel NULL pointer dereference, address: {x}\nOops: 0002 [#1] PREEMPT SMP PTI\nCPU: {c} PID: {p} Comm: ls Not tainted 6.1.0\nRIP: 0010:ext4_readdir+0x1a/0x3f0 [ext4]\nRSP: 0018:{x} EFLAGS: 00010246\n---[ end trace {x} ]---",
            "kernel-null-dereference:ext4_readdir",
        ),
        (
            "BUG: kernel NULL pointer dereference, address: {x}\nOops: 0002 [#1] PREEMPT SMP PTI\nCPU: {c} PID: {p} Comm: ls Not tainted 6.1.0\nRIP: 0010:xfs_readdir+0x1a/0x3f0 [xfs]\n---[ end trace {x} ]---",
            "kernel-null-dereference:xfs_readdir",
        ),
        (
            "watchdog: BUG: soft lockup - CPU#{c} stuck for {n}s! [kworker/{c}:2:{p}]",
            "soft-lockup:kworker/<n>",
        ),
        (
            "INFO: task kworker/{c}:2:{p} blocked for more than {n} seconds.",
            "hung-task:kworker/<n>",
        ),
        (
            "[FAILED] Failed to mount /mnt/{u}.",
            "mount-failed:/mnt/<uuid>",
        ),
        (
            "[ TIME ] Timed out waiting for device dev-disk-by\\x2duuid-{u}.device - /dev/disk/by-uuid/{u}.",
            "device-timeout:/dev/disk/by-uuid/<uuid>",
        ),
        (
            "[ TIME ] Timed out waiting for device dev-d…{h12}-1111-4000-8000-{h12}.",
            "device-timeout:dev-d…<n>",
        ),
        (
            "[FAILED] Failed to start docker-{h}.scope.",
            "unit-failed:docker-<n>.scope",
        ),
        (
            "[FAILED] Failed to start Session {n} of User bob.",
            "unit-failed:Session <n> of User bob",
        ),
        (
            "[FAILED] Failed to start user@{n}.service - User Manager for UID {n}.",
            "unit-failed:User Manager for UID <n>",
        ),
        (
            "[FAILED] Failed to start lvm2-pvscan@253:{c}.service - LVM event activation on device 253:{c}.",
            "unit-failed:LVM event activation on device <n>",
        ),
        (
            "app-{p}[{p}]: segfault at {x} ip {x} sp {x} error 4 in libc.so.6",
            "process-crashed:app-<n>",
        ),
        (
            "ALERT!  PARTUUID={h8}-0{c} does not exist.  Dropping to a shell!",
            "root-device-missing:PARTUUID=<n>",
        ),
        (
            "ALERT!  UUID={f} does not exist.  Dropping to a shell!",
            "root-device-missing:UUID=<n>",
        ),
        (
            "[FAILED] Failed to start File System Check on /dev/disk/by-uuid/{f}.",
            "fsck-failed:/dev/disk/by-uuid/<n>",
        ),
        (
            r"dev-disk-by\x2dpartuuid-{h8}\x2d01.device: Job dev-disk-by\x2dpartuuid-{h8}\x2d01.device/start timed out.",
            r"device-timeout:dev-disk-by\x2dpartuuid-<n>",
        ),
        (
            "run-u{n}.service: Failed with result 'exit-code'.",
            "service-failed:run-<n>.service",
        ),
        (
            "run-r{h}.scope: Failed with result 'timeout'.",
            "service-failed:run-<n>.scope",
        ),
        (
            "run-p{p}-i{n}.service: Failed with result 'exit-code'.",
            "service-failed:run-<n>.service",
        ),
        (
            "session-{c}.scope: Failed with result 'timeout'.",
            "service-failed:session-<n>.scope",
        ),
        (
            "user-runtime-dir@{c}.service: Failed with result 'exit-code'.",
            "service-failed:user-runtime-dir@<n>.service",
        ),
        (
            "sshd@{c}-10.0.{c}.5:22-203.0.113.{c}:{n}.service: Failed with result 'exit-code'.",
            "service-failed:sshd@<n>.service",
        ),
        (
            "systemd-coredump@{c}-{p}-0.service: Failed with result 'timeout'.",
            "service-failed:systemd-coredump@<n>.service",
        ),
        (
            "[FAILED] Failed to mount Mount unit for core20, revision {n}.",
            "mount-failed:Mount unit for core20, revision <n>",
        ),
        (
            "[FAILED] Failed to mount snap-lxd-{n}.mount - /snap/lxd/{c}.",
            "mount-failed:/snap/lxd/<n>",
        ),
        (
            "Kernel panic - not syncing: EXT4-fs (device vda{c}): panic forced after error",
            "kernel-panic:EXT4-fs",
        ),
        (
            "Kernel panic - not syncing: Fatal exception 0x{n}",
            "kernel-panic:Fatal exception",
        ),
        (
            "error: file `/boot/vmlinuz-6.1.{n}-13-amd64' not found.",
            "loader-file-missing:/boot/vmlinuz-<n>",
        ),
        (
            "Please enter passphrase for disk data: ",
            "luks-locked:data",
        ),
        (
            "BUG: KASAN: slab-use-after-free in ext4_readdir.isra.{c}+0x1a2/0x3f0",
            "kasan:KASAN: slab-use-after-free in ext4_readdir",
        ),
        (
            "Out of memory: Killed process {p} (java) total-vm:{n}kB, anon-rss:{n}kB",
            "oom-kill:java",
        ),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
            "init-died:0x00000100",
        ),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b",
            "init-died:0x0000000b",
        ),
        (
            r"[ TIME ] Timed out waiting for device dev-disk-by\x2did-virtio\x2dbp1{h12}xy.device.",
            r"device-timeout:dev-disk-by\x2did-virtio\x2d<serial>.device",
        ),
        (
            "[ TIME ] Timed out waiting for device /dev/disk/by-id/nvme-Alibaba_Cloud_Elastic_Block_Storage_bp1{h12}.",
            "device-timeout:/dev/disk/by-id/nvme-Alibaba_Cloud_Elastic_Block_Storage_<serial>",
        ),
        (
            "[ TIME ] Timed out waiting for device /dev/disk/by-id/scsi-3600{h12}{c}-part1.",
            "device-timeout:/dev/disk/by-id/scsi-<serial>",
        ),
        (
            "[ TIME ] Timed out waiting for device /dev/disk/by-id/wwn-0x{h12}.",
            "device-timeout:/dev/disk/by-id/wwn-<serial>",
        ),
        (
            "[ TIME ] Timed out waiting for device /dev/disk/by-path/pci-0000:00:{c}.0.",
            "device-timeout:/dev/disk/by-path/<path>",
        ),
        (
            "error: no such device: {h8}-{h4}.",
            "loader-device-missing:<n>",
        ),
        (
            "[FAILED] Failed to start agent@i-bp1{h12}0k{c}.service.",
            "unit-failed:agent@i-<n>.service",
        ),
        (
            "watchdog: BUG: soft lockup - CPU#{c} stuck for 22s! [conmon-1{h8}:{p}]",
            "soft-lockup:conmon-<n>",
        ),
        (
            "INFO: task jbd2/nvme{c}n1p1-8:{p} blocked for more than 120 seconds.",
            "hung-task:jbd2/<n>",
        ),
        (
            "INFO: task xfsaild/dm-{c}:{p} blocked for more than 120 seconds.",
            "hung-task:xfsaild/<n>",
        ),
        (
            "INFO: task Thread-{c}:{p} blocked for more than 120 seconds.",
            "hung-task:Thread-<n>",
        ),
        (
            "[FAILED] Failed to mount /mnt/nas-4{h8}.",
            "mount-failed:/mnt/nas-<n>",
        ),
        (
            "UBSAN: shift-out-of-bounds in /build/linux-aws-{h8}/linux-6.5.{c}/drivers/net/x.c:12:5",
            "ubsan:shift-out-of-bounds in drivers/net/x.c:12",
        ),
        (
            "kernel BUG at /build/linux-{h8}/linux-5.4.{c}/fs/ext4/inode.c:2721!",
            "kernel-bug:fs/ext4/inode.c:2721",
        ),
        (
            "I/O error, dev vda, sector {n} op 0x0:(READ)",
            "disk-io-error:vda",
        ),
        (
            "I/O error, dev vdb, sector {n} op 0x0:(READ)",
            "disk-io-error:vdb",
        ),
    ];

    #[test]
    fn one_fault_has_one_signature_however_programs_write_it() {
        for forms in [
            &[
                "WARNING: CPU: 1 PID: 234 at kernel/workqueue.c:1234 __queue_work+0x3a0/0x3d0",
                "WARNING: CPU: 3 PID: 99 at /build/linux-abc/linux-5.4/kernel/workqueue.c:1501 __queue_work.isra.0+0x3a0/0x3d0 [mod]",
                "WARNING: kernel/workqueue.c:1234 at __queue_work+0x3a0/0x3d0, CPU#1: kworker/1:2/234",
            ][..],
            &[
                "cloud-init[900]: cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in /var/lib/cloud/instance/scripts)",
                "2026-11-29 10:55:07,123 - cc_scripts_user.py[WARNING]: failed",
                "cloud-init[900]: util.py[WARNING]: Running module scripts_user (<module 'x'>) failed",
            ],
            &[
                "Volume group \"vg0\" not found",
                "Cannot process volume group vg0",
            ],
            &[
                "nginx.service: main process exited, code=exited, status=1/FAILURE",
                "Unit nginx.service entered failed state.",
                "nginx.service failed.",
                "nginx.service: Failed with result 'exit-code'.",
            ],
            &[
                "Kernel panic - not syncing: Fatal exception in interrupt",
                "---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---",
                "---[ end Kernel panic - not syncing: Fatal exception in interrupt",
            ],
        ] {
            let each: std::collections::BTreeSet<_> = (forms.iter())
                .map(|line| signatures(&format!("[    1.234567] {line}\n")))
                .collect();
            assert!(
                each.len() == 1 && each.iter().all(|one| one.len() == 1),
                "{each:?}"
            );
        }
        let other =
            "WARNING: kernel/workqueue.c:1234 at flush_work+0x3a0/0x3d0, CPU#1: kworker/1:2/234\n";
        assert_eq!(signatures(other), ["kernel-warning:flush_work"]);
    }

    #[test]
    fn a_panic_and_its_end_are_one_panic() {
        let panic = "[    9.000001] Kernel panic - not syncing: Fatal exception\n";
        let end = "[    9.000009] ---[ end Kernel panic - not syncing: Fatal exception ]---\n";
        let found = scan(&format!(
            "{panic}[    9.000002] RIP: 0010:die_hard+0x1/0x2\n{end}"
        ));
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.signature(), one.count))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1, 1);
        let root = "---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\n";
        assert_eq!(signatures(root), ["root-not-mounted"]);
    }

    #[test]
    fn different_faults_have_different_signatures() {
        let each: std::collections::BTreeSet<_> = FAULTS.iter().map(|(_, one)| one).collect();
        // A unit of `systemd-run` has one of two names.
        assert_eq!(each.len(), FAULTS.len() - 1);
    }

    /// What two machines say of one fault, where names have the host's in them, as installers and mdadm give them.
    fn of_host(host: &str, is_set_first: bool) -> String {
        let (mapper, unit) = (host.replace('-', "--"), host.replace('-', r"\x2d"));
        let named = match is_set_first {
            true => format!("[    2.1] systemd[1]: Hostname set to <{host}.example.com>.\n"),
            false => String::new(),
        };
        format!(
            "{named}\
             [    3.1] dracut-initqueue[300]: Warning: /dev/mapper/{mapper}--vg-root does not exist\n\
             [    3.2] mdadm: failed to start array /dev/md/{host}:0: Input/output error\n\
             [FAILED] Failed to mount /srv/{host}.\n\
             [ TIME ] Timed out waiting for device /dev/mapper/{mapper}--vg-swap.\n\
             [    9.1] systemd[1]: dev-disk-by\\x2dlabel-{unit}.device: Job dev-disk-by\\x2dlabel-{unit}.device/start timed out.\n\
             [FAILED] Failed to start backup-{host}.service - Backup of {host}.\n\
             Mar 14 03:10:44 {host} kernel: EXT4-fs error (device dm-1): ext4_lookup:1:\n\
             \r\n{host} login: \n"
        )
    }

    proptest::proptest! {
        #[test]
        fn the_name_of_a_host_is_in_no_signature(
            a in "[a-z]{3,8}(-[a-z0-9]{1,5}){0,2}[0-9]{1,4}",
            b in "[a-zA-Z][a-z0-9]{4,20}",
            is_set_first: bool,
        ) {
            let (one, other) = (signatures(&of_host(&a, is_set_first)), signatures(&of_host(&b, false)));
            proptest::prop_assert_eq!(&one, &other);
            proptest::prop_assert!(one.iter().filter(|one| one.contains("<host>")).count() >= 5, "{:?}", one);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(100))]
        #[test]
        fn a_signature_is_the_same_on_every_machine(
            index in 0..FAULTS.len(),
            number in 100u32..100_000,
            address in 0u64..,
            process in 100u32..4_000_000,
            processor in 0u32..64,
            id in 0u128..,
            second in 0u32..90_000,
            end in proptest::sample::select(&["\n", "\r\n"][..]),
            beside in proptest::sample::select(&["", "eth0: link up", "systemd[1]: Started a.service."][..]),
        ) {
            let (lines, expected) = FAULTS[index];
            let hex = format!("{id:032x}");
            let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            let said = lines
                .replace("{n}", &number.to_string())
                .replace("{x}", &format!("{address:016x}"))
                .replace("{p}", &process.to_string())
                .replace("{c}", &processor.to_string())
                .replace("{u}", &uuid)
                .replace("{h12}", &hex[20..])
                .replace("{h8}", &hex[..8])
                .replace("{h4}", &hex[8..12])
                .replace("{f}", &format!("{}-{}", &hex[..4], &hex[4..8]).to_uppercase())
                .replace("{h}", &format!("{hex}{hex}"));
            let stamp = |at: usize| format!("[{second:5}.{at:06}] ");
            let mut log = String::new();
            for (at, line) in said.lines().enumerate() {
                log += &format!("{}{line}{end}", stamp(at));
                if !beside.is_empty() {
                    log += &format!("{}{beside}{end}", stamp(at));
                }
            }
            proptest::prop_assert_eq!(signatures(&log), [expected], "{}", log);
            let of_console = of_console(log.as_bytes(), Rules::built_in());
            proptest::prop_assert_eq!(&of_console, &scan(&log));
        }
    }

    #[test]
    fn a_console_in_another_encoding_has_the_same_signatures_for_all_readers() {
        let said = "[FAILED] Failed to start 服务器启动 - 系统服务.\n[FAILED] Failed to mount /数据盘.\n[FAILED] Failed to start ssh.\n".repeat(9);
        let (console, ..) = encoding_rs::GB18030.encode(&said);
        let boot = Boot::of_log(console.to_vec());
        let read = of_log(&boot, EncodingChoice::Auto, Rules::built_in());
        let read: Vec<_> = read.iter().map(Finding::signature).collect();
        let captured = of_console(&console, Rules::built_in());
        let captured: Vec<_> = captured.iter().map(Finding::signature).collect();
        assert_eq!(captured, read);
        assert_eq!(
            read,
            [
                "unit-failed:<text>",
                "mount-failed:<text>",
                "unit-failed:ssh"
            ]
        );
    }

    /// What a log cost, and what it has at its end.
    fn cost(log: &str) -> (usize, Vec<String>) {
        let mut scanner = Scanner::new(Rules::built_in(), b"", Vec::new());
        for (number, line) in log.lines().enumerate() {
            scanner.read(number + 1, 0..line.len(), line.as_bytes());
        }
        let spent = scanner.work.spent;
        let found = scanner.finish();
        (spent, found.iter().map(Finding::signature).collect())
    }

    #[test]
    fn a_signature_has_no_control_characters() {
        let found = signatures("[FAILED] Failed to start tab\there\u{85}and.service.\n");
        assert_eq!(found, ["unit-failed:tab here and.service"]);
    }

    #[test]
    fn what_a_log_costs_is_bounded_whatever_it_says() {
        let rules = Rules::built_in();
        let words: Vec<_> = rules.all().iter().flat_map(Rule::words).copied().collect();
        let mut all_words = String::new();
        for (at, word) in words.iter().cycle().take(words.len() * 2).enumerate() {
            all_words += word;
            all_words.push(if at % 100 == 99 { '\n' } else { ' ' });
        }
        let numbers: String = (0..300)
            .map(|number| {
                let more = "0x1f 12:34:56 ".repeat(20);
                format!("[FAILED] Failed to start a{number} {number} {more}.\n")
            })
            .collect();
        let panic = "[    9.000001] Kernel panic - not syncing: Fatal exception\nYou are in emergency mode\n";
        for hostile in [all_words, numbers] {
            let [one, four] = [1, 4].map(|times| {
                let log = hostile.repeat(times) + panic;
                let (spent, found) = cost(&log);
                assert!(found.contains(&"kernel-panic:Fatal exception".to_owned()));
                assert!(found.contains(&"emergency-mode".to_owned()), "{found:?}");
                assert!(spent <= Work::most(rules.all().len(), log.len()), "{spent}");
                spent
            });
            assert!(four <= 5 * one, "{one}, {four}");
        }
        // A boot in which all is well costs nearly nothing.
        let quiet = "[    1.234567] eth0: link up\n".repeat(1000);
        assert_eq!(cost(&quiet).0, 0);
    }
}
