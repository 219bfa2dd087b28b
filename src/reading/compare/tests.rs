use super::*;
use crate::reading::encoding::EncodingChoice;
use crate::reading::pattern::{Case, Meaning, Pattern};
use crate::reading::stitch::{Boot, Mark, MarkKind};
use proptest::collection::vec;
use proptest::sample::select;

fn boot(log: &[u8], marks: &[(usize, MarkKind)]) -> Boot {
    let marks = marks.iter().map(|&(at, kind)| Mark { at, kind }).collect();
    Boot {
        marks,
        ..Boot::of_log(log.to_vec())
    }
}

fn side(boot: &Boot, manner: Manner) -> Side {
    Side::read(boot, EncodingChoice::Auto, manner)
}

fn shown_of(a: &Boot, b: &Boot, manner: Manner) -> Vec<String> {
    let (a, b) = (side(a, manner), side(b, manner));
    let text = |side: &Side, index| side.line(index).text.to_owned();
    let entries = compare(&a, &b, manner, None).into_iter();
    let shown = entries.filter_map(|entry| {
        Some(match entry {
            Entry::Same { .. } => return None,
            Entry::Removed { a: at } => format!("-{}", text(&a, at)),
            Entry::Added { b: at } => format!("+{}", text(&b, at)),
            Entry::MovedFrom { a: at, .. } => format!("<{}", text(&a, at)),
            Entry::MovedTo { b: at, .. } => format!(">{}", text(&b, at)),
            Entry::UnseenInB { a: at } => format!("?-{}", text(&a, at)),
            Entry::UnseenInA { b: at } => format!("?+{}", text(&b, at)),
        })
    });
    shown.collect()
}

fn shown(a: &str, b: &str) -> Vec<String> {
    let (a, b) = (boot(a.as_bytes(), &[]), boot(b.as_bytes(), &[]));
    shown_of(&a, &b, Manner::default())
}

#[test]
fn what_differs_at_each_boot_is_equal_and_what_matters_is_shown() {
    let before = "[    1.000000] journald[167]: up at 0x12345678\n[    2.000000] vda: error -6\n";
    let after = "[    1.700000] journald[168]: up at 0x87654321\n\n[    2.500000] vda: error -2\n";
    assert_eq!(
        shown(before, after),
        [
            "-[    2.000000] vda: error -6",
            "+[    2.500000] vda: error -2"
        ]
    );
    let raw = Manner {
        is_raw: true,
        ..Manner::default()
    };
    let (before, after) = (boot(before.as_bytes(), &[]), boot(after.as_bytes(), &[]));
    assert_eq!(shown_of(&before, &after, raw).len(), 5);
}

#[test]
fn lines_in_another_order_have_moved_within_their_phase() {
    let kernel = "[    0.000000] Linux version 6.1\n";
    let (a, b) = (format!("{kernel}a\nb\nc\n"), format!("{kernel}b\nc\na\n"));
    assert_eq!(shown(&a, &b), ["<a", ">a"]);
    let halt = "[  OK  ] Stopped target multi-user.target\n";
    let down = |text: &str| format!("{kernel}INIT: version 3\n{text}x\ny\n");
    assert_eq!(
        shown(&down(&format!("a\n{halt}")), &down(&format!("{halt}a\n"))),
        ["-a", "+a"]
    );
}

#[test]
fn a_message_within_a_line_is_a_line() {
    let within = "root@machine:~# [    9.000000] sysrq: Crash\n";
    assert_eq!(
        shown("root@machine:~# \n[    8.000000] sysrq: Crash\n", within),
        Vec::<String>::new()
    );
    assert!(
        shown(within, "root@machine:~# \n").contains(&"-[    9.000000] sysrq: Crash".to_owned())
    );
}

#[test]
fn what_was_written_over_is_compared_too() {
    let hidden = "eth0: 00 errors\r\x1b[Kall is well\n";
    assert_eq!(shown("all is well\n", hidden), ["+eth0: 00 errors"]);
}

#[test]
fn where_output_is_lost_nothing_is_new() {
    let whole = boot(b"a\nb\nc\nd\n", &[]);
    let with_gap = boot(b"a\nt of b\nd\n", &[(2, MarkKind::Gap { cut: 7 })]);
    let manner = Manner::default();
    assert_eq!(shown_of(&with_gap, &whole, manner), ["?+b", "?+c"]);
    assert_eq!(shown_of(&whole, &with_gap, manner), ["?-b", "?-c"]);
    let cut_front = boot(b"d\n", &[(0, MarkKind::Gap { cut: 0 })]);
    assert_eq!(shown_of(&whole, &cut_front, manner), ["?-a", "?-b", "?-c"]);
    // A boot that stops early, and one of which nobody knows whether it did.
    for marks in [&[][..], &[(2, MarkKind::EndUnknown)]] {
        let ends = boot(b"a\n", marks);
        assert_eq!(shown_of(&whole, &ends, manner), ["-b", "-c", "-d"]);
    }
    let cut_end = boot(b"a\nb and m", &[(9, MarkKind::Gap { cut: 0 })]);
    assert_eq!(shown_of(&whole, &cut_end, manner), ["?-b", "?-c", "?-d"]);
    // Elsewhere than at the gap, a line is new.
    let more = boot(b"a\nb\nc\nd\ne\n", &[]);
    assert_eq!(shown_of(&with_gap, &more, manner), ["?+b", "?+c", "+e"]);
}

#[test]
fn lines_that_a_person_ignores_count_for_nothing() {
    let meaning = Meaning {
        case: Case::Sensitive,
        is_literal: false,
        is_word: false,
        is_line: false,
    };
    let ignored = [Pattern::new(&["^audit"], meaning).unwrap()];
    let manner = Manner {
        ignored: &ignored,
        ..Manner::default()
    };
    let (a, b) = (boot(b"audit: x\na\n", &[]), boot(b"audit: y\nb\n", &[]));
    assert_eq!(shown_of(&a, &b, manner), ["-a", "+b"]);
}

#[test]
fn findings_of_one_log_are_new_or_gone() {
    let oom = "[    3.000000] Out of memory: Killed process 94 (dd) total-vm:1kB\n";
    let root =
        "[    1.000000] VFS: Cannot open root device \"vda1\" or unknown-block(0,0): error -6\n";
    let (before, after) = (
        boot(oom.as_bytes(), &[]),
        boot(format!("a\n{root}").as_bytes(), &[]),
    );
    let found = |manner| {
        let [a, b] = [&before, &after].map(|boot| side(boot, manner));
        let compared = Comparison::new(a, b, manner, None);
        let signatures = |found: Vec<&Finding>| -> Vec<_> {
            found.iter().map(|of| (of.rule.family, of.line)).collect()
        };
        [compared.findings_gone(), compared.findings_new()].map(signatures)
    };
    assert_eq!(
        found(Manner::default()),
        [vec![("memory", 1)], vec![("root", 2)]]
    );
    let meaning = Meaning {
        case: Case::Sensitive,
        is_literal: false,
        is_word: false,
        is_line: false,
    };
    let ignored = [Pattern::new(&["^.{15}VFS"], meaning).unwrap()];
    let manner = Manner {
        ignored: &ignored,
        ..Manner::default()
    };
    assert_eq!(found(manner), [vec![("memory", 1)], vec![]], "ignored");
    // The same fault with other numbers is neither.
    let again = boot(oom.replace("94", "95").as_bytes(), &[]);
    let [a, b] = [&before, &again].map(|boot| side(boot, Manner::default()));
    let compared = Comparison::new(a, b, Manner::default(), None);
    assert!(compared.findings_gone().is_empty() && compared.findings_new().is_empty());
}

#[test]
fn one_side_may_be_empty() {
    assert_eq!(shown("", "a\n"), ["+a"]);
    assert_eq!(shown("a\n", ""), ["-a"]);
    assert!(shown("", "\n").is_empty());
}

const LINES: &[&str] = &[
    "a\n",
    "b\n",
    "c\n",
    "\n",
    "error -6\n",
    "error -2\n",
    "[    1.000000] x[12]: a\n",
    "[    2.000000] x[13]: a\n",
    "x [    3.000000] y\n",
    "[    0.000000] Linux version 6.1\n",
    "INIT: version 3\n",
    "[  OK  ] Stopped target multi-user.target\n",
    "\x1b[31mb\x1b[0m\r\n",
    "b\rc\n",
    "\u{202e}你\n",
];

fn logs() -> impl proptest::strategy::Strategy<Value = (Vec<&'static str>, Vec<usize>)> {
    (vec(select(LINES), 0..30), vec(0usize..30, 0..3))
}

fn boot_of((lines, gaps): &(Vec<&str>, Vec<usize>)) -> Boot {
    let mut gaps: Vec<_> = gaps.iter().map(|at| (*at).min(lines.len())).collect();
    gaps.sort_unstable();
    gaps.dedup();
    let at = |line: usize| lines[..line].concat().len();
    let marks: Vec<_> = gaps
        .iter()
        .map(|line| (at(*line), MarkKind::Gap { cut: 0 }))
        .collect();
    boot(lines.concat().as_bytes(), &marks)
}

proptest::proptest! {
    #[test]
    fn a_log_does_not_differ_from_itself(log in logs()) {
        let side = side(&boot_of(&log), Manner::default());
        let entries = compare(&side, &side, Manner::default(), None);
        proptest::prop_assert!(entries.iter().all(is_same));
    }

    #[test]
    fn the_other_order_gives_the_same_with_the_sides_exchanged(a in logs(), b in logs(), is_raw: bool) {
        let manner = Manner { is_raw, ..Manner::default() };
        let (a, b) = (side(&boot_of(&a), manner), side(&boot_of(&b), manner));
        let mut back = compare(&b, &a, manner, None);
        back.iter_mut().for_each(|entry| *entry = entry.mirrored());
        for run in back.chunk_by_mut(|a, b| is_same(a) == is_same(b)) {
            run.sort_by_key(|entry| !entry.is_of_a());
        }
        proptest::prop_assert_eq!(compare(&a, &b, manner, None), back);
    }

    /// Behind the deadline, too, where the comparison is coarse.
    #[test]
    fn each_line_that_counts_is_told_once_in_order_and_pairs_are_equal(
        a in logs(), b in logs(), is_late: bool,
    ) {
        let deadline = is_late.then(Instant::now);
        let (a, b) = (side(&boot_of(&a), Manner::default()), side(&boot_of(&b), Manner::default()));
        let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
        for entry in compare(&a, &b, Manner::default(), deadline) {
            match entry {
                Entry::Same { a, b } => { of_a.push(a); of_b.push(b); }
                Entry::Removed { a } | Entry::MovedFrom { a, .. } | Entry::UnseenInB { a } => of_a.push(a),
                Entry::Added { b } | Entry::MovedTo { b, .. } | Entry::UnseenInA { b } => of_b.push(b),
            }
            if let Entry::Same { a: at_a, b: at_b } | Entry::MovedFrom { a: at_a, b: at_b }
                | Entry::MovedTo { a: at_a, b: at_b } = entry {
                proptest::prop_assert_eq!(a.line(at_a).key, b.line(at_b).key);
            }
        }
        proptest::prop_assert!(of_a.into_iter().eq(a.counted().map(|(index, _)| index)));
        proptest::prop_assert!(of_b.into_iter().eq(b.counted().map(|(index, _)| index)));
    }
}
