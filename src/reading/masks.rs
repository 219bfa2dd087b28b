//! What differs between two boots although nothing has changed: stamps, addresses, process IDs, durations.
//!
//! [`RULES`] is the table of it. A line in which each such value has become the name of its kind, its key, is
//! equal in both boots. Numbers that matter stay: error numbers, units, counts of processors, sizes of disks.
//! What the table does not know stays, too, so a new kind of value is shown rather than hidden.
//!
//! One pass over a line finds all rules at once, in linear time: no rule looks far ahead for its end. A key's
//! key is the key itself.

mod rules;

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::meta::{Cache, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

pub use rules::{RULES, Rule};

static ENGINE: LazyLock<Regex> = LazyLock::new(|| {
    let patterns: Vec<_> = RULES.iter().map(|rule| rule.pattern).collect();
    // Console text is UTF-8, and the patterns are ASCII: what they match begins and ends with it.
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    match Regex::builder().syntax(syntax).build_many(&patterns) {
        Ok(engine) => engine,
        Err(error) => unreachable!("the table is constant, and tested: {error}"),
    }
});

/// Turns lines into their keys.
#[derive(Debug)]
pub struct Masks {
    cache: Cache,
    captures: Captures,
}

impl Default for Masks {
    fn default() -> Self {
        Self {
            cache: ENGINE.create_cache(),
            captures: ENGINE.create_captures(),
        }
    }
}

impl Masks {
    /// Appends the key of a line to `key`. A stamp at the line's beginning is masked as elsewhere: leave it
    /// out to compare lines with and without stamps.
    pub fn mask(&mut self, line: &str, key: &mut String) {
        let mut copied = 0;
        self.find(line, |place, kind| {
            key.push_str(&line[copied..place.start]);
            key.extend(["<", kind, ">"]);
            copied = place.end;
        });
        key.push_str(&line[copied..]);
    }

    /// Finds what is masked in a line, from left to right, and of which kind it is.
    pub fn find(&mut self, line: &str, mut found: impl FnMut(Range<usize>, &'static str)) {
        let mut from = 0;
        while from <= line.len() {
            let input = Input::new(line).range(from..);
            let Some(whole) = ENGINE.search_with(&mut self.cache, &input) else {
                return;
            };
            from = whole.end();
            let Some(kind) = RULES[whole.pattern().as_usize()].kind else {
                continue;
            };
            // Half of the rules have no groups, and groups take as long to find as the match.
            if ENGINE.group_info().group_len(whole.pattern()) == 1 {
                found(whole.range(), kind);
                continue;
            }
            let input = input
                .range(whole.range())
                .anchored(Anchored::Pattern(whole.pattern()));
            ENGINE.search_captures_with(&mut self.cache, &input, &mut self.captures);
            let mut groups = self.captures.iter().skip(1).flatten().peekable();
            if groups.peek().is_none() {
                found(whole.range(), kind);
            }
            for group in groups {
                from = group.end; // What stands behind it may be another rule's.
                found(group.start..group.end, kind);
            }
        }
    }
}

/// The key of one line.
pub fn masked(line: &str) -> String {
    let mut key = String::with_capacity(line.len());
    Masks::default().mask(line, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_masks_its_examples_and_leaves_what_looks_alike() {
        for rule in RULES {
            for (line, key) in rule.masked {
                assert_eq!(masked(line), *key, "{}", rule.pattern);
                assert!(
                    rule.kind
                        .is_some_and(|kind| key.contains(&format!("<{kind}>"))),
                    "{key}"
                );
            }
            for line in rule.kept {
                assert_eq!(masked(line), *line, "{}", rule.pattern);
            }
            assert!(!rule.kept.is_empty() && (rule.kind.is_none() || !rule.masked.is_empty()));
        }
    }

    #[test]
    fn each_rule_is_needed_for_one_of_its_examples() {
        for (index, rule) in RULES.iter().enumerate() {
            let alone = Regex::builder()
                .syntax(syntax::Config::new().unicode(false).utf8(false))
                .build(rule.pattern)
                .unwrap();
            let examples = rule.masked.iter().map(|(line, _)| line).chain(rule.kept);
            assert!(
                examples.into_iter().any(|line| alone.is_match(line)),
                "{index}: {}",
                rule.pattern
            );
        }
    }

    #[test]
    fn numbers_that_matter_stay() {
        for (a, b) in [
            (
                "virtio_blk: probe of virtio2 failed with error -6",
                "virtio_blk: probe of virtio2 failed with error -2",
            ),
            ("EXT4-fs (vda1): mounted", "EXT4-fs (vdb1): mounted"),
            (
                "smp: Brought up 1 node, 2 CPUs",
                "smp: Brought up 1 node, 4 CPUs",
            ),
            (
                "Command line: ro console=ttyS0 panic=1",
                "Command line: ro console=ttyS0 panic=30",
            ),
            (
                "Command line: root=UUID=0a1b2c3d-0000-4000-8000-00000000feed",
                "Command line: root=UUID=0a1b2c3d-0000-4000-8000-00000000dead",
            ),
            (
                "ata3.00: failed command: READ",
                "ata4.00: failed command: READ",
            ),
            (
                "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
                "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b",
            ),
            (
                "[vda] 67108864 512-byte logical blocks",
                "[vda] 134217728 512-byte logical blocks",
            ),
            (
                "Memory: 260860K/523756K available (1K, 2K reserved",
                "Memory: 260860K/1048044K available (1K, 2K reserved",
            ),
            (
                "Linux version 6.1.0-57 (gcc) #1 2026-10-02",
                "Linux version 6.1.0-57 (gcc) #1 2026-11-02",
            ),
            (
                "eth0: Link is Up - 1000Mbps/Full",
                "eth0: Link is Up - 100Mbps/Full",
            ),
            (
                "main process exited, status=1/FAILURE",
                "main process exited, status=2/FAILURE",
            ),
        ] {
            assert_ne!(masked(a), masked(b), "{a}");
        }
    }

    /// Pieces of which lines are made that rules look for.
    const PIECES: &[&str] = &[
        "pid=",
        "94",
        "[",
        "]",
        ":",
        "0x",
        "0a1b2c3d",
        "-0000",
        "-4000-8000-",
        "00000000feed",
        " ",
        "1.5",
        "s",
        "ms",
        "+",
        "/",
        "2026-11-29",
        "T10:55:07",
        "Z",
        "Nov ",
        "29 ",
        "Command line: ",
        "error ",
        "=",
        "CPU: ",
        "1 PID: ",
        "Memory: ",
        "K",
        "K available (",
        ", ",
        " reserved",
        "MHz",
        "é",
        "<",
        ">",
        "[    1.500000]",
        "[T1]",
        "(",
        ")",
        "audit(",
        "1795949699.084:1",
        "_",
        "\\x2d",
        "Job",
        " of ",
        "veth",
        "enx",
        "lpj=",
        "HPET: ",
    ];

    proptest::proptest! {
        #[test]
        fn a_key_is_its_own_key(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12)) {
            let key = masked(&pieces.concat());
            proptest::prop_assert_eq!(masked(&key), key);
        }

        #[test]
        fn any_text_has_a_key_that_is_its_own(line in "\\PC*|[0-9a-fx:. +/\\[\\]-]{0,60}") {
            let key = masked(&line);
            proptest::prop_assert_eq!(masked(&key), key);
        }
    }
}
