//! What changed from one log to another.
//!
//! Lines are compared by their [keys](super::masks), so that stamps, addresses and the like count for
//! nothing, and shown as they are. Myers's algorithm finds the shortest way from one log to the other; a
//! line that is left out here and stands there with an equal key has only moved, as the order of what runs
//! in parallel differs at each boot. Where output of one log is lost, what the other has there is unseen:
//! nobody knows whether it is new.
//!
//! The result for the logs in the other order is the same, with the sides exchanged.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::encoding::EncodingChoice;
use super::log::{LineStamp, Log, Part, Place};
use super::masks::Masks;
use super::pattern::Pattern;
use super::phase::{Phase, Phases};
use super::stamp::stamps;
use super::stitch::{Boot, Mark, MarkKind};
use crate::terminal::Line;

/// How logs are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner<'p> {
    /// Lines count as they are: nothing is masked, nothing has moved.
    pub is_raw: bool,
    /// Lines with a match count for nothing.
    pub ignored: &'p [Pattern],
}

/// A log, read for a comparison.
#[derive(Debug, Clone, Default)]
pub struct Side {
    lines: Vec<SideLine>,
    /// The texts of all lines.
    text: String,
    /// The keys of all lines that count.
    keys: String,
    /// Where output is lost: before the line with this index.
    gaps: Vec<usize>,
}

#[derive(Debug, Clone)]
struct SideLine {
    number: usize,
    phase: Phase,
    /// In the log.
    bytes: Range<usize>,
    text: Range<usize>,
    /// `None` if the line does not count.
    key: Option<Range<usize>>,
}

impl Side {
    /// Reads a boot's log.
    pub fn read(boot: &Boot, encoding: EncodingChoice, manner: Manner) -> Self {
        let log = Log::new(boot, encoding);
        let (mut parts, mut line) = (log.parts(), Line::default());
        let mut phases = Phases::of(&boot.log);
        let mut masks = Masks::default();
        let mut side = Self::default();
        // Before this byte of the log stands the rest of a line that the ring has cut.
        let mut cut_until = 0;
        // The number of the last line, if its end has not come.
        let mut open_line = None;
        while let Some(part) = parts.read(&mut line) {
            match part {
                Part::Mark(mark) => {
                    if let MarkKind::Gap { cut } = mark.kind {
                        cut_until = mark.at + cut;
                        side.leave_out_open_line(open_line);
                    }
                    side.note(mark);
                }
                Part::Line(place) => {
                    open_line = (!place.is_ended).then_some(place.number);
                    let phase = phases.next(line.text(), place.bytes.end);
                    let counts = place.bytes.end > cut_until;
                    // What was written over is still a line: it hides nothing.
                    for rewrite in line.rewrites().filter(|rewrite| !rewrite.is_progress) {
                        side.push(rewrite.text, &place, phase, counts, manner, &mut masks);
                    }
                    let mut rest = line.text();
                    // The kernel's messages come in the middle of lines that programs print.
                    while !manner.is_raw
                        && let Some(at) = message_within(rest)
                    {
                        side.push(&rest[..at], &place, phase, counts, manner, &mut masks);
                        rest = &rest[at..];
                    }
                    side.push(rest, &place, phase, counts, manner, &mut masks);
                }
            }
        }
        side
    }

    /// The rest of the line with this number is lost.
    fn leave_out_open_line(&mut self, number: Option<usize>) {
        let lines = self.lines.iter_mut().rev();
        let open = lines.take_while(|line| Some(line.number) == number);
        open.for_each(|line| line.key = None);
    }

    fn note(&mut self, mark: Mark) {
        match mark.kind {
            MarkKind::Gap { .. } | MarkKind::Repeats { .. } => self.gaps.push(self.lines.len()),
            // Nearly every boot but the newest has it, and what the other printed last is worth reading.
            MarkKind::EndUnknown | MarkKind::Unsure { .. } => {}
        }
    }

    fn push(
        &mut self,
        line: &str,
        place: &Place,
        phase: Phase,
        counts: bool,
        manner: Manner,
        masks: &mut Masks,
    ) {
        let begin = self.text.len();
        self.text.push_str(line);
        let key_begin = self.keys.len();
        let key = if !counts || manner.ignored.iter().any(|pattern| pattern.is_match(line)) {
            None
        } else if manner.is_raw {
            self.keys.push_str(line);
            Some(key_begin..self.keys.len())
        } else {
            let stamp = LineStamp::of(line).map_or(0, |stamp| stamp.length);
            masks.mask(line[stamp..].trim_end(), &mut self.keys);
            // A line without a word says nothing, and would be equal to any other such line.
            let key = key_begin..self.keys.len();
            self.keys[key.clone()]
                .contains(char::is_alphanumeric)
                .then_some(key)
        };
        self.lines.push(SideLine {
            number: place.number,
            phase,
            bytes: place.bytes.clone(),
            text: begin..self.text.len(),
            key,
        });
    }

    /// How many lines the log has.
    pub fn number_of_lines(&self) -> usize {
        self.lines.last().map_or(0, |line| line.number)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// At how many places output is lost.
    pub fn gaps(&self) -> usize {
        self.gaps.len()
    }

    /// The line with this index.
    pub fn line(&self, index: usize) -> LineOf<'_> {
        let line = &self.lines[index];
        LineOf {
            number: line.number,
            phase: line.phase,
            bytes: line.bytes.clone(),
            text: &self.text[line.text.clone()],
            key: line.key.clone().map(|key| &self.keys[key]),
        }
    }

    /// Indices of the lines that count, and their keys.
    fn counted(&self) -> impl Iterator<Item = (usize, &str)> {
        let keys = self.lines.iter().enumerate();
        keys.filter_map(|(index, line)| Some((index, &self.keys[line.key.clone()?])))
    }
}

/// Where within a line the kernel's next message begins.
fn message_within(line: &str) -> Option<usize> {
    let own = LineStamp::of(line).map_or(0, |stamp| stamp.length);
    let (place, _) = stamps(&line.as_bytes()[own..]).find(|(place, _)| own + place.start > 0)?;
    Some(own + place.start)
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOf<'s> {
    /// Its number in the log, from 1 on.
    pub number: usize,
    /// How far the boot had come.
    pub phase: Phase,
    /// Its bytes in the log.
    pub bytes: Range<usize>,
    /// What it shows.
    pub text: &'s str,
    /// By what it is compared. `None` if it counts for nothing.
    pub key: Option<&'s str>,
}

/// What is to be said of lines that count. Lines are indices in their sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Both have it.
    Same {
        /// In the first log.
        a: usize,
        /// In the second.
        b: usize,
    },
    /// Only the first has it.
    Removed {
        /// In the first log.
        a: usize,
    },
    /// Only the second has it.
    Added {
        /// In the second log.
        b: usize,
    },
    /// The first has it here, the second elsewhere.
    MovedFrom {
        /// In the first log.
        a: usize,
        /// In the second.
        b: usize,
    },
    /// The second has it here, the first elsewhere.
    MovedTo {
        /// In the first log.
        a: usize,
        /// In the second.
        b: usize,
    },
    /// The first has it; output of the second is lost here.
    UnseenInB {
        /// In the first log.
        a: usize,
    },
    /// The second has it; output of the first is lost here.
    UnseenInA {
        /// In the second log.
        b: usize,
    },
}

impl Entry {
    /// The same with the sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Self::Same { a, b } => Self::Same { a: b, b: a },
            Self::Removed { a } => Self::Added { b: a },
            Self::Added { b } => Self::Removed { a: b },
            Self::MovedFrom { a, b } => Self::MovedTo { a: b, b: a },
            Self::MovedTo { a, b } => Self::MovedFrom { a: b, b: a },
            Self::UnseenInB { a } => Self::UnseenInA { b: a },
            Self::UnseenInA { b } => Self::UnseenInB { a: b },
        }
    }

    fn is_of_a(self) -> bool {
        matches!(
            self,
            Self::Removed { .. } | Self::MovedFrom { .. } | Self::UnseenInB { .. }
        )
    }
}

/// Two logs, and what is to be said of each of their lines that count.
#[derive(Debug)]
pub struct Comparison {
    /// The first.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// In the order of both. Between equal lines, those of the first stand before those of the second.
    pub entries: Vec<Entry>,
}

/// How many lines differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Only the first log has them.
    pub removed: usize,
    /// Only the second has them.
    pub added: usize,
    /// They stand elsewhere in the second. Each counts once.
    pub moved: usize,
    /// Output of the other log is lost where they stand.
    pub unseen: usize,
}

/// The same for each phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhaseCounts([Counts; Phase::ALL.len()]);

impl PhaseCounts {
    /// The phases with lines that differ, in order.
    pub fn by_phase(&self) -> impl Iterator<Item = (Phase, Counts)> {
        let counts = Phase::ALL.into_iter().zip(self.0);
        counts.filter(|(_, counts)| *counts != Counts::default())
    }

    /// Of all phases.
    pub fn all(&self) -> Counts {
        self.0.iter().fold(Counts::default(), |all, of| Counts {
            removed: all.removed + of.removed,
            added: all.added + of.added,
            moved: all.moved + of.moved,
            unseen: all.unseen + of.unseen,
        })
    }
}

impl Comparison {
    /// Compares two logs that were read in the same manner.
    ///
    /// Behind the deadline it goes on coarsely: the result is still true, but may call lines removed and
    /// added that a finer comparison finds equal.
    pub fn new(a: Side, b: Side, manner: Manner, deadline: Option<Instant>) -> Self {
        let entries = compare(&a, &b, manner, deadline);
        Self { a, b, entries }
    }

    /// Whether the logs differ by more than the order of lines, as far as both are known.
    pub fn has_differences(&self) -> bool {
        let is_one = |entry: &Entry| matches!(entry, Entry::Removed { .. } | Entry::Added { .. });
        self.entries.iter().any(is_one)
    }

    /// How many lines differ in each phase.
    pub fn counts(&self) -> PhaseCounts {
        let mut counts = PhaseCounts::default();
        for entry in &self.entries {
            let (phase, is_counted): (_, fn(&mut Counts) -> &mut usize) = match *entry {
                Entry::Same { .. } | Entry::MovedFrom { .. } => continue,
                Entry::Removed { a } => (self.a.lines[a].phase, |counts| &mut counts.removed),
                Entry::Added { b } => (self.b.lines[b].phase, |counts| &mut counts.added),
                Entry::MovedTo { b, .. } => (self.b.lines[b].phase, |counts| &mut counts.moved),
                Entry::UnseenInB { a } => (self.a.lines[a].phase, |counts| &mut counts.unseen),
                Entry::UnseenInA { b } => (self.b.lines[b].phase, |counts| &mut counts.unseen),
            };
            *is_counted(&mut counts.0[phase as usize]) += 1;
        }
        counts
    }
}

fn compare(a: &Side, b: &Side, manner: Manner, deadline: Option<Instant>) -> Vec<Entry> {
    // The algorithm takes one of equally short ways. Whatever the order of the sides, it takes the same.
    let count = |side: &Side| side.counted().count();
    let keys = |side| Side::counted(side).map(|(_, key)| key);
    let order = count(a).cmp(&count(b));
    if order.then_with(|| keys(a).cmp(keys(b))).is_gt() {
        let mut entries = compare_in_order(b, a, manner, deadline);
        for entry in &mut entries {
            *entry = entry.mirrored();
        }
        for run in entries.chunk_by_mut(|a, b| is_same(a) == is_same(b)) {
            run.sort_by_key(|entry| !entry.is_of_a());
        }
        return entries;
    }
    compare_in_order(a, b, manner, deadline)
}

fn is_same(entry: &Entry) -> bool {
    matches!(entry, Entry::Same { .. })
}

fn compare_in_order(a: &Side, b: &Side, manner: Manner, deadline: Option<Instant>) -> Vec<Entry> {
    let mut numbers = HashMap::new();
    let mut numbered = |side| {
        let (mut lines, mut keys) = (Vec::new(), Vec::new());
        for (index, key) in Side::counted(side) {
            let next = numbers.len() as u32;
            lines.push(index);
            keys.push(*numbers.entry(key).or_insert(next));
        }
        (lines, keys)
    };
    let ((a_lines, a_keys), (b_lines, b_keys)) = (numbered(a), numbered(b));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &a_keys, &b_keys, deadline);
    let moved = match manner.is_raw {
        true => Moved::default(),
        false => Moved::find(&ops, (a, &a_lines, &a_keys), (b, &b_lines, &b_keys)),
    };
    let mut entries = Vec::with_capacity(a_lines.len().max(b_lines.len()));
    let mut run = Run::default();
    for op in ops {
        if let DiffOp::Equal {
            old_index,
            new_index,
            len,
        } = op
        {
            let (first_a, first_b) = (a_lines[old_index], b_lines[new_index]);
            run.close((a, first_a), (b, first_b), &mut entries);
            let pairs = a_lines[old_index..][..len]
                .iter()
                .zip(&b_lines[new_index..][..len]);
            entries.extend(pairs.map(|(&a, &b)| Entry::Same { a, b }));
            run.begin = (
                a_lines[old_index + len - 1] + 1,
                b_lines[new_index + len - 1] + 1,
            );
            continue;
        }
        run.of_a
            .extend(op.old_range().map(|at| match moved.of_a.get(&at) {
                Some(to) => Entry::MovedFrom {
                    a: a_lines[at],
                    b: b_lines[*to],
                },
                None => Entry::Removed { a: a_lines[at] },
            }));
        run.of_b
            .extend(op.new_range().map(|at| match moved.of_b.get(&at) {
                Some(from) => Entry::MovedTo {
                    a: a_lines[*from],
                    b: b_lines[at],
                },
                None => Entry::Added { b: b_lines[at] },
            }));
    }
    run.close((a, a.lines.len()), (b, b.lines.len()), &mut entries);
    entries
}

/// What stands between equal lines.
#[derive(Default)]
struct Run {
    /// The first line of each side behind the last equal one.
    begin: (usize, usize),
    of_a: Vec<Entry>,
    of_b: Vec<Entry>,
}

impl Run {
    /// Ends it before these lines.
    fn close(&mut self, a: (&Side, usize), b: (&Side, usize), entries: &mut Vec<Entry>) {
        let has_gap = |(side, end): (&Side, usize), begin| {
            let from = side.gaps.partition_point(|at| *at < begin);
            side.gaps.get(from).is_some_and(|at| *at <= end)
        };
        let (gap_in_a, gap_in_b) = (has_gap(a, self.begin.0), has_gap(b, self.begin.1));
        entries.extend(self.of_a.drain(..).map(|entry| match entry {
            Entry::Removed { a } if gap_in_b => Entry::UnseenInB { a },
            entry => entry,
        }));
        entries.extend(self.of_b.drain(..).map(|entry| match entry {
            Entry::Added { b } if gap_in_a => Entry::UnseenInA { b },
            entry => entry,
        }));
    }
}

/// Lines that were left out on one side and stand elsewhere on the other: indices of counted lines.
#[derive(Default)]
struct Moved {
    of_a: HashMap<usize, usize>,
    of_b: HashMap<usize, usize>,
}

/// A side, its counted lines, and their keys.
type Counted<'s> = (&'s Side, &'s [usize], &'s [u32]);

impl Moved {
    fn find(ops: &[DiffOp], a: Counted, b: Counted) -> Self {
        let mut by_key: HashMap<u32, [ByPhase; 2]> = HashMap::new();
        for op in ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. })) {
            for (side, (of, lines, keys), range) in [(0, a, op.old_range()), (1, b, op.new_range())]
            {
                for at in range {
                    let phase = of.lines[lines[at]].phase;
                    by_key.entry(keys[at]).or_default()[side][phase as usize].push(at);
                }
            }
        }
        let mut moved = Self::default();
        for [of_a, of_b] in by_key.values_mut() {
            let mut pair = |a: Phase, b: Phase| {
                let (from, to) = (&mut of_a[a as usize], &mut of_b[b as usize]);
                let count = from.len().min(to.len());
                for (from, to) in from.drain(..count).zip(to.drain(..count)) {
                    moved.of_a.insert(from, to);
                    moved.of_b.insert(to, from);
                }
            };
            Phase::ALL.iter().for_each(|phase| pair(*phase, *phase));
            let all = Phase::ALL
                .iter()
                .flat_map(|a| Phase::ALL.iter().map(move |b| (*a, *b)));
            all.filter(|(a, b)| a.runs_beside(*b))
                .for_each(|(a, b)| pair(a, b));
        }
        moved
    }
}

/// Counted lines of each phase, in order.
type ByPhase = [Vec<usize>; Phase::ALL.len()];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::pattern::{Case, Meaning};
    use proptest::collection::vec;
    use proptest::sample::select;

    fn boot(log: &[u8], marks: &[(usize, MarkKind)]) -> Boot {
        let marks = marks.iter().map(|&(at, kind)| Mark { at, kind }).collect();
        Boot {
            id: String::new(),
            log: log.to_vec(),
            pieces: Vec::new(),
            marks,
            start: None,
            captures: Vec::new(),
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
        let before =
            "[    1.000000] journald[167]: up at 0x12345678\n[    2.000000] vda: error -6\n";
        let after =
            "[    1.700000] journald[168]: up at 0x87654321\n\n[    2.500000] vda: error -2\n";
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
            shown(within, "root@machine:~# \n")
                .contains(&"-[    9.000000] sysrq: Crash".to_owned())
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

        #[test]
        fn each_line_that_counts_is_told_once_in_order_and_pairs_are_equal(a in logs(), b in logs()) {
            let (a, b) = (side(&boot_of(&a), Manner::default()), side(&boot_of(&b), Manner::default()));
            let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
            for entry in compare(&a, &b, Manner::default(), None) {
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
}
