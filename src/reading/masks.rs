//! What differs between two boots although nothing has changed: stamps, addresses, process IDs, durations.
//!
//! [`RULES`] is the table of it. A line in which each such value has become the name of its kind, its key, is
//! equal in both boots. Numbers that matter stay: error numbers, units, counts of processors, sizes of disks.
//! What the table does not know stays, too, so a new kind of value is shown rather than hidden.
//!
//! One pass over a line finds all rules, in linear time: no rule looks far ahead for its end. A key's key is the key
//! itself.

mod rules;

#[cfg(feature = "cli")]
mod many; // for many lines (pure)

use std::ops::Range;
use std::sync::LazyLock;

use regex_lite::Regex;

#[cfg(feature = "cli")]
pub use many::{Masks, masked};
pub use rules::{RULES, Rule};

/// All rules in one expression, each in a group of its own; and for each group of the expression the rule that it is
/// the whole of, or `None` if it is a group within a rule.
struct One {
    regex: Regex,
    groups: Vec<Option<usize>>,
}

static ONE: LazyLock<One> = LazyLock::new(|| {
    let groups = RULES.iter().enumerate();
    let groups: Vec<_> = groups
        .map(|(index, rule)| format!("(?<rule{index}>{})", rule.pattern))
        .collect();
    let regex = Regex::new(&groups.join("|"))
        .unwrap_or_else(|error| unreachable!("the table is constant, and tested: {error}"));
    let names = regex.capture_names().skip(1);
    let groups = names.map(|name| name?.strip_prefix("rule")?.parse().ok());
    let groups = groups.collect();
    One { regex, groups }
});

/// Finds what is masked in a line, from left to right, and of which kind it is. In little code, which the function
/// has, too: for the few lines that say what went wrong.
pub fn find_in_few(line: &str, mut found: impl FnMut(Range<usize>, &'static str)) {
    let One { regex, groups } = &*ONE;
    let mut from = 0;
    while let Some(captures) = regex.captures_at(line, from) {
        let Some(whole) = captures.get(0) else {
            return;
        };
        from = whole.end();
        let matched = captures.iter().skip(1).zip(groups);
        let matched = matched.filter_map(|(group, of)| Some((group?, of)));
        let mut rule = None;
        let mut within = Vec::new();
        for (group, of) in matched {
            match of {
                Some(_) => rule = *of,
                None => within.push(group.range()),
            }
        }
        let Some(kind) = rule.and_then(|rule| RULES[rule].kind) else {
            continue;
        };
        if within.is_empty() {
            within.push(whole.range());
        } else {
            from = within[within.len() - 1].end; // What stands behind it may be another rule's.
        }
        within.into_iter().for_each(|place| found(place, kind));
    }
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;
    use regex_automata::util::syntax;

    use super::*;

    /// What both ways of finding say of a line: the plain one, and the fast one when it first sees such a line, and
    /// when it knows the bytes.
    fn found(line: &str) -> [Vec<(Range<usize>, &'static str)>; 3] {
        let (mut few, mut first, mut again) = (Vec::new(), Vec::new(), Vec::new());
        find_in_few(line, |place, kind| few.push((place, kind)));
        let mut masks = Masks::default();
        masks.find(line, |place, kind| first.push((place, kind)));
        masks.find(line, |place, kind| again.push((place, kind)));
        [few, first, again]
    }

    #[test]
    fn both_ways_find_the_same_in_the_examples() {
        for rule in RULES {
            let masked = rule.masked.iter().map(|(line, _)| line);
            for line in masked.chain(rule.kept) {
                let [few, first, again] = found(line);
                assert_eq!((&first, &again), (&few, &few), "{line}");
            }
        }
    }

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
            assert!(!alone.is_match(""), "{index}: {}", rule.pattern);
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
        "a[",
        "tgid=",
        "task ",
        "PROCESS ",
        "00:16:3e:",
        "system clock to ",
        "Error: ",
        " callbacks suppressed",
        " urandom warning(s) missed",
    ];

    proptest::proptest! {
        #[test]
        fn a_key_is_its_own_key(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..12)) {
            let line = pieces.concat();
            let key = masked(&line);
            proptest::prop_assert_eq!(masked(&key), key);
            let [few, first, again] = found(&line);
            proptest::prop_assert_eq!((&first, &again), (&few, &few));
        }

        #[test]
        fn any_text_has_a_key_that_is_its_own(line in "\\PC*|[0-9a-fx:. +/\\[\\]-]{0,60}|[0-9a-f:_ pidt\\[]{0,60}") {
            let key = masked(&line);
            proptest::prop_assert_eq!(masked(&key), key);
            let [few, first, again] = found(&line);
            proptest::prop_assert_eq!((&first, &again), (&few, &few));
        }
    }
}
