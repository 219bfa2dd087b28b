//! What changed from one log to another.
//!
//! Lines are compared by their [keys](super::masks), so that stamps, addresses and the like count for
//! nothing, and shown as they are. Myers's algorithm finds the shortest way from one log to the other; a
//! line that is left out here and stands there with an equal key has only moved, as the order of what runs
//! in parallel differs at each boot. Where output of one log is lost, what the other has there is unseen:
//! nobody knows whether it is new.
//!
//! The result for the logs in the other order is the same, with the sides exchanged.

mod side;

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::findings::Finding;
use super::phase::Phase;
use side::Known;
pub use side::{LineOf, Manner, Side};

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

    /// What only the first log says went wrong.
    pub fn findings_gone(&self) -> Vec<&Finding<'static>> {
        of_one(self.a.findings(), self.b.findings())
    }

    /// What only the second log says went wrong.
    pub fn findings_new(&self) -> Vec<&Finding<'static>> {
        of_one(self.b.findings(), self.a.findings())
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

/// The findings whose signatures the others do not have.
fn of_one<'f>(
    findings: &'f [Finding<'static>],
    others: &[Finding<'static>],
) -> Vec<&'f Finding<'static>> {
    let others: HashSet<_> = others.iter().map(Finding::signature).collect();
    let is_of_one = |finding: &&Finding| !others.contains(&finding.signature());
    findings.iter().filter(is_of_one).collect()
}

fn compare(a: &Side, b: &Side, manner: Manner, deadline: Option<Instant>) -> Vec<Entry> {
    // The algorithm takes one of equally short ways. Whatever the order of the sides, it takes the same.
    let count = |side: &Side| side.counted().count();
    let keys = |side| Side::counted(side).map(|(_, key)| key.text);
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
    let mut numbers: HashMap<_, u32, BuildHasherDefault<Known>> = HashMap::default();
    numbers.reserve(a.lines.len());
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
        false => {
            let count = numbers.len();
            Moved::find(&ops, (a, &a_lines, &a_keys), (b, &b_lines, &b_keys), count)
        }
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
    /// The keys are numbers below `count`.
    fn find(ops: &[DiffOp], a: Counted, b: Counted, count: usize) -> Self {
        let differing = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
        // Most lines that differ are on one side alone.
        let mut sides_with = vec![[false; 2]; count];
        for op in differing.clone() {
            let of_a = a.2[op.old_range()].iter().map(|key| (0, key));
            let of_b = b.2[op.new_range()].iter().map(|key| (1, key));
            of_a.chain(of_b)
                .for_each(|(side, key)| sides_with[*key as usize][side] = true);
        }
        let mut by_key: HashMap<u32, [ByPhase; 2]> = HashMap::new();
        for op in differing {
            for (side, (of, lines, keys), range) in [(0, a, op.old_range()), (1, b, op.new_range())]
            {
                for at in range.filter(|at| sides_with[keys[*at] as usize] == [true; 2]) {
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
mod tests;
