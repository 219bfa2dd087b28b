//! What a log says went wrong: a boot that cannot go on, a fault of the kernel, a disk that fails.
//!
//! [`Rules`] are data: a file for each family, each rule with examples. A [`Scanner`] reads a log line by line.
//! One pass over a line finds the words of all rules; only rules whose words are there try their regular
//! expressions, which take linear time.
//!
//! A finding has a signature: what stays of it when stamps, addresses, process IDs and the like are taken away.
//! The same fault has the same signature on every machine.

mod pieces; // a line → the pieces of text on it (pure)
mod rules; // which rule fits a line (pure)
pub mod secrets; // where a console shows a secret (pure)
mod words; // the words of the rules in a line (pure)

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::LazyLock;
use std::vec::IntoIter;

use regex_lite::Regex;
use serde_json::{Value, json};

use super::masks;
use super::stamp::stamps;
use crate::model::finding;
pub use crate::model::finding::Severity;
use pieces::pieces;
#[cfg(feature = "cli")]
pub use rules::{Family, Note};
pub use rules::{Rule, Rules};
use secrets::Secret;

#[cfg(feature = "cli")]
use super::encoding::EncodingChoice;
#[cfg(feature = "cli")]
use super::log::{Log, Part};
#[cfg(feature = "cli")]
use super::stitch::Boot;

/// How far behind its first line a fault names the function in which it happened. Linux prints modules and
/// registers before it.
const LOOKS_AHEAD: usize = 60;
/// Most bytes of a detail: a signature is read by people.
const MAX_DETAIL: usize = 120;
/// Most bytes of the evidence that is kept.
const MAX_EVIDENCE: usize = 400;
/// Most bytes of a message that are looked at. Linux prints less than a thousand (`PRINTKRB_RECORD_MAX`).
const MAX_MESSAGE: usize = 2048;
/// Most findings of one log. A log with more has them counted, but not named.
const MAX_FINDINGS: usize = 100;

/// What a log says went wrong, once or several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'r> {
    /// What it is.
    pub rule: &'r Rule,
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
            severity: self.rule.severity,
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
            "severity": self.rule.severity,
            "title": self.rule.title,
            "signature": self.signature(),
            "count": self.count,
            "line": self.line,
            "bytes": [self.bytes.start, self.bytes.end],
        })
    }
}

/// A fault whose function the lines behind it name.
#[derive(Debug)]
struct Waiting {
    /// Its index among the findings.
    index: usize,
    /// The last line to look at.
    last: usize,
    /// Whether the function is one that many faults call. Then its caller says more.
    is_common: bool,
}

/// Reads a log line by line.
#[derive(Debug)]
pub struct Scanner<'r> {
    rules: &'r Rules,
    found: Vec<Finding<'r>>,
    /// Of what was found, by the rule's ID and what the line says of it: its index. To mask a text takes longer
    /// than all else, and a disk that fails says the same a thousand times.
    known: HashMap<(&'static str, String), usize>,
    waiting: Option<Waiting>,
    /// The secrets of the lines that are still to be read.
    secrets: Peekable<IntoIter<Secret>>,
}

impl<'r> Scanner<'r> {
    /// A scanner that has read nothing. `secrets` are those of the log that it will read.
    pub fn new(rules: &'r Rules, secrets: Vec<Secret>) -> Self {
        Self {
            rules,
            secrets: secrets.into_iter().peekable(),
            found: Vec::new(),
            known: HashMap::new(),
            waiting: None,
        }
    }

    /// Reads the next line: its number from 1 on, its place in the log, and its bytes. What was written over on it
    /// counts as well.
    pub fn read(&mut self, number: usize, place: Range<usize>, line: &[u8]) {
        while let Some(secret) = self.secrets.next_if(|secret| secret.line < place.end) {
            self.add_secret(secret.rule, number, &place, line);
        }
        pieces(line, |piece| {
            // Nearly all lines are done here.
            if self.waiting.is_none() && !self.rules.may_find(piece) {
                return;
            }
            for message in messages(piece) {
                self.read_message(number, &place, cut(message, MAX_MESSAGE));
            }
        });
    }

    fn read_message(&mut self, number: usize, place: &Range<usize>, text: &str) {
        self.look_for_function(number, text);
        if is_quoted(text) {
            return;
        }
        let Some((rule, detail)) = self.rules.find(text) else {
            return;
        };
        // The kernel says one fault in several lines, the most telling one first.
        if (rule.general || rule.function) && self.waiting.is_some() {
            return;
        }
        let raw = detail.clone().map_or("", |detail| &text[detail]).to_owned();
        let known = (!rule.function).then(|| self.known.get(&(rule.id, raw.clone())));
        if let Some(&index) = known.flatten() {
            self.found[index].count += 1;
            return;
        }
        if self.found.len() >= MAX_FINDINGS {
            return;
        }
        let index = self.found.len();
        self.found.push(Finding {
            rule,
            detail: detail.map(|detail| masked(text, detail)),
            count: 1,
            line: number,
            bytes: place.clone(),
            evidence: cut(text, MAX_EVIDENCE).to_owned(),
        });
        match rule.function {
            true => {
                self.waiting = Some(Waiting {
                    index,
                    last: number + LOOKS_AHEAD,
                    is_common: false,
                });
            }
            false => drop(self.known.insert((rule.id, raw), index)),
        }
    }

    fn add_secret(
        &mut self,
        rule: &'static Rule,
        number: usize,
        place: &Range<usize>,
        line: &[u8],
    ) {
        let index = *(self.known)
            .entry((rule.id, String::new()))
            .or_insert(self.found.len());
        if let Some(finding) = self.found.get_mut(index) {
            finding.count += 1;
            return;
        }
        let mut evidence = String::new();
        pieces(line, |piece| evidence.push_str(piece));
        self.found.push(Finding {
            rule,
            detail: None,
            count: 1,
            line: number,
            bytes: place.clone(),
            evidence: cut(evidence.trim(), MAX_EVIDENCE).to_owned(),
        });
    }

    /// Names the function of a fault, from the registers that follow it.
    fn look_for_function(&mut self, number: usize, text: &str) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let is_over = number > waiting.last || text.starts_with("---[ end ");
        let function = match (is_over, waiting.is_common) {
            (true, _) => None,
            (false, false) => stopped_at(text),
            (false, true) => frame(text),
        };
        if let Some(function) = function {
            self.found[waiting.index].detail = Some(function.to_owned());
            waiting.is_common = is_common(function);
        }
        if is_over || function.is_some_and(|function| !is_common(function)) {
            self.waiting = None;
        }
    }

    /// The findings, in the order in which the log says them first, each signature once.
    pub fn finish(self) -> Vec<Finding<'r>> {
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut findings: Vec<Finding<'r>> = Vec::new();
        for finding in self.found {
            match known.get(&finding.signature()) {
                Some(&index) => findings[index].count += finding.count,
                None => {
                    known.insert(finding.signature(), findings.len());
                    findings.push(finding);
                }
            }
        }
        findings
    }
}

/// A part of a message, masked as the whole of it is: what stands before a number says whether it matters.
fn masked(text: &str, part: Range<usize>) -> String {
    // What differs has a digit, and most details have none.
    if !text[part.clone()].bytes().any(|byte| byte.is_ascii_digit()) {
        return cut(&text[part], MAX_DETAIL).trim().to_owned();
    }
    let (mut detail, mut copied) = (String::new(), part.start);
    masks::find_in_few(text, |place, kind| {
        let masked = place.start.max(copied)..place.end.min(part.end);
        if !masked.is_empty() {
            detail.push_str(&text[copied..masked.start]);
            detail.extend(["<", kind, ">"]);
            copied = masked.end;
        }
    });
    detail.push_str(&text[copied..part.end]);
    cut(&detail, MAX_DETAIL).trim().to_owned()
}

/// The findings of one console by itself. What they say of it has no secret.
pub fn of_console<'r>(console: &[u8], rules: &'r Rules) -> Vec<Finding<'r>> {
    let secrets = secrets::find(console);
    let console = match secrets.is_empty() {
        true => Cow::Borrowed(console),
        false => Cow::Owned(secrets::masked(console, &secrets)),
    };
    let mut scanner = Scanner::new(rules, secrets);
    let (mut begin, mut number) = (0, 0);
    let ends = memchr::memchr_iter(b'\n', &console).map(|at| at + 1);
    for end in ends.chain([console.len()]) {
        number += 1;
        scanner.read(number, begin..end, &console[begin..end]);
        begin = end;
    }
    scanner.finish()
}

/// The findings of a boot's log, with the numbers that its lines have in `show`. Their evidence is as the log
/// has it: secrets are masked if they are masked there.
#[cfg(feature = "cli")]
pub fn of_boot<'r>(boot: &Boot, encoding: EncodingChoice, rules: &'r Rules) -> Vec<Finding<'r>> {
    let log = Log::new(boot, encoding);
    let mut scanner = Scanner::new(rules, secrets::find(&boot.log));
    let (mut parts, mut line) = (log.parts(), crate::terminal::Line::default());
    while let Some(part) = parts.read(&mut line) {
        if let Part::Line(place) = part {
            let written = &boot.log[place.bytes.clone()];
            let decoded = log.encoding.decode_without_bom_handling(written).0;
            scanner.read(place.number, place.bytes, decoded.as_bytes());
        }
    }
    scanner.finish()
}

/// What one writer wrote of a line: kernel messages run into prompts and into each other, each with its stamp.
fn messages(text: &str) -> impl Iterator<Item = &str> {
    let mut begin = 0;
    let mut stamps = stamps(text.as_bytes());
    let mut is_over = false;
    let cuts = std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let part = match stamps.next() {
            Some((stamp, _)) => {
                let part = begin..stamp.start;
                begin = stamp.end;
                part
            }
            None => {
                is_over = true;
                begin..text.len()
            }
        };
        Some(part)
    });
    cuts.map(|part| content(&text[part]))
        .filter(|part| !part.is_empty())
}

/// Without what stands in front of a message: a level, the caller (`CONFIG_PRINTK_CALLER`), the name of init.
fn content(text: &str) -> &str {
    let mut text = text.trim_start();
    if let [b'<', b'0'..=b'7', b'>', ..] = text.as_bytes() {
        text = text[3..].trim_start();
    }
    let caller = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    if let Some((caller, rest)) = caller {
        let id = caller.trim_start();
        let is_caller = id.strip_prefix(['T', 'C']).is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
        });
        if is_caller {
            text = rest.trim_start();
        }
    }
    text.strip_prefix("systemd[1]: ").unwrap_or(text)
}

/// Whether a line only quotes what others write: the kernel's command line, and records of the audit.
fn is_quoted(text: &str) -> bool {
    const QUOTES: [&str; 4] = ["Command line:", "Kernel command line:", "audit:", "audit("];
    QUOTES.iter().any(|begin| text.starts_with(begin))
}

static STOPPED_AT: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:RIP: [0-9a-f]{4}:|pc : |PC is at |NIP \[[0-9a-f]+\] |epc : )(?:__pfx_)?([A-Za-z_][A-Za-z0-9_]*)",
    )
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:\[<[0-9a-f]+>\] )?(?:__pfx_)?([A-Za-z_][A-Za-z0-9_]*)[A-Za-z0-9_.]*\+0x[0-9a-f]+/0x",
    )
});
/// Functions that check, wait, or report: where they stop says nothing of the fault.
static COMMON: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^_*(?:warn_|refcount_|list_(?:add|del)|native_|delay_|const_udelay|udelay|panic|dump_stack|show_|asm_|exc_|error_entry|do_error_trap|do_trap|report_bug|handle_bug|die|oops_|smp_call|queued_|pv_|raw_spin|mutex_|down_|rwsem|schedule|io_schedule|kasan|kfence|print_|mem(?:cpy|set|move)|copy_|rep_|fortify_|ubsan|slab_|object_err|check_|bad_page|lockdep|debug_)",
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

fn is_common(function: &str) -> bool {
    COMMON.is_match(function)
}

fn first_group<'t>(regex: &Regex, text: &'t str) -> Option<&'t str> {
    Some(regex.captures(text)?.get(1)?.as_str())
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
        of_boot(&boot, EncodingChoice::Auto, Rules::built_in())
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
            .filter(|rule| !rule.is_secret())
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
}
