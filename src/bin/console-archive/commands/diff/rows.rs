//! A comparison → what stands on each line of the output.

use std::ops::Range;

use anstyle::{AnsiColor, Style};
use ecs_console_archiver::reading::compare::{Comparison, Entry, Side};
use ecs_console_archiver::reading::masks::Masks;
use ecs_console_archiver::reading::words::{self, Words};

use super::printer::Form;

/// A longer block of lines that the second log lacks, or that only one log can have, is folded: what is gone is
/// read less than what is new.
const FOLDED_FROM: usize = 12;
/// Lines that are left at the beginning and at the end of a folded block.
const LEFT: (usize, usize) = (5, 3);

/// A line of the output.
pub enum Row {
    /// A line of a log, with what differs in it, and how often it comes.
    Line {
        sign: Sign,
        index: usize,
        different: Vec<Range<usize>>,
        count: usize,
    },
    /// Lines that are not shown.
    Folded { sign: Sign, lines: usize },
}

impl Row {
    pub fn sign(&self) -> Sign {
        match self {
            Self::Line { sign, .. } | Self::Folded { sign, .. } => *sign,
        }
    }

    /// Of its line, in its log.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Line { index, .. } => Some(*index),
            Self::Folded { .. } => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Removed,
    Added,
    MovedFrom,
    MovedTo,
    UnseenInB,
    UnseenInA,
}

impl Sign {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "-",
            Self::Added => "+",
            Self::MovedFrom => "<",
            Self::MovedTo => ">",
            Self::UnseenInB => "?-",
            Self::UnseenInA => "?+",
        }
    }

    pub fn is_of_a(self) -> bool {
        matches!(self, Self::Removed | Self::MovedFrom | Self::UnseenInB)
    }

    /// The log that has the line.
    pub fn side(self, compared: &Comparison) -> &Side {
        match self.is_of_a() {
            true => &compared.a,
            false => &compared.b,
        }
    }

    pub fn style(self) -> Style {
        match self {
            Self::Removed => AnsiColor::Red.on_default(),
            Self::Added => AnsiColor::Green.on_default(),
            _ => Style::new().dimmed(),
        }
    }
}

/// A part of the output: an equal line, or the rows between equal lines.
pub enum Item {
    Equal { a: usize, b: usize },
    Rows(Vec<Row>),
}

impl Item {
    fn is_changed(&self) -> bool {
        matches!(self, Self::Rows(_))
    }
}

/// The items that stand together: changes, and so many equal lines around each. Changes whose surroundings meet are one
/// part.
pub fn hunks(items: &[Item], context: usize) -> impl Iterator<Item = Range<usize>> {
    let changed = |from: usize, to: usize| {
        let found = items.get(from..to)?.iter().position(Item::is_changed)?;
        Some(from + found)
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = changed(at, items.len())?;
        let begin = first.saturating_sub(context).max(at);
        let mut end = first + 1;
        while let Some(next) = changed(end, items.len())
            && next - end <= 2 * context
        {
            end = next + 1;
        }
        let last = (end + context).min(items.len());
        at = changed(end, last).unwrap_or(last);
        Some(begin..at)
    })
}

/// Lays out what is shown.
pub struct Layout<'c> {
    pub compared: &'c Comparison,
    pub form: &'c Form,
    pub masks: Masks,
}

impl<'c> Layout<'c> {
    /// All items, in order.
    pub fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let is_same = |entry: &Entry| matches!(entry, Entry::Same { .. });
        for run in self
            .compared
            .entries
            .chunk_by(|a, b| is_same(a) == is_same(b))
        {
            if is_same(&run[0]) {
                items.extend(run.iter().filter_map(|entry| match *entry {
                    Entry::Same { a, b } => Some(Item::Equal { a, b }),
                    _ => None,
                }));
                continue;
            }
            let rows = self.rows(run);
            if !rows.is_empty() {
                items.push(Item::Rows(rows));
            }
        }
        items
    }

    /// The rows of what stands between equal lines.
    fn rows(&mut self, run: &[Entry]) -> Vec<Row> {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let (mut unseen_in_b, mut unseen_in_a) = (Vec::new(), Vec::new());
        for entry in run {
            match *entry {
                Entry::Removed { a } => removed.push((Sign::Removed, a)),
                Entry::Added { b } => added.push((Sign::Added, b)),
                Entry::MovedFrom { a, .. } if self.form.is_moved_shown => {
                    removed.push((Sign::MovedFrom, a));
                }
                Entry::MovedTo { b, .. } if self.form.is_moved_shown => {
                    added.push((Sign::MovedTo, b))
                }
                Entry::UnseenInB { a } => unseen_in_b.push((Sign::UnseenInB, a)),
                Entry::UnseenInA { b } => unseen_in_a.push((Sign::UnseenInA, b)),
                Entry::Same { .. } | Entry::MovedFrom { .. } | Entry::MovedTo { .. } => {}
            }
        }
        let mut rows = Vec::new();
        for unseen in [unseen_in_b, unseen_in_a] {
            self.push_block(&unseen, &mut rows);
        }
        let compared: &'c Comparison = self.compared;
        let (a, b) = (&compared.a, &compared.b);
        let (mut from_a, mut from_b) = (0, 0);
        // Of one line here and one there, the order is the same if they are a pair. Without colours, so is all else.
        let is_plain = !self.form.colours && removed.len().max(added.len()) == 1;
        if !is_plain && words::are_paired(removed.len(), added.len()) {
            let masks = &mut self.masks;
            let mut words = |side: &'c Side, lines: &[(Sign, usize)]| -> Vec<Words<'c>> {
                let lines = lines.iter().map(|(_, index)| side.line(*index).text);
                lines.map(|line| Words::of(line, masks)).collect()
            };
            let (of_a, of_b) = (words(a, &removed), words(b, &added));
            for (to_a, to_b) in words::pairs(&of_a, &of_b) {
                self.push_block(&removed[from_a..to_a], &mut rows);
                self.push_block(&added[from_b..to_b], &mut rows);
                let (in_a, in_b) = match self.form.colours {
                    true => words::different(&of_a[to_a], &of_b[to_b]),
                    false => Default::default(),
                };
                for ((sign, index), different) in [(removed[to_a], in_a), (added[to_b], in_b)] {
                    rows.push(Row::Line {
                        sign,
                        index,
                        different,
                        count: 1,
                    });
                }
                (from_a, from_b) = (to_a + 1, to_b + 1);
            }
        }
        self.push_block(&removed[from_a..], &mut rows);
        self.push_block(&added[from_b..], &mut rows);
        rows
    }

    /// Lines of one side: what repeats is one row, and a long block of what is not new is folded.
    fn push_block(&self, lines: &[(Sign, usize)], rows: &mut Vec<Row>) {
        let key = |&(sign, index): &(Sign, usize)| (sign, sign.side(self.compared).line(index).key);
        let is_repeated = |a: &(Sign, usize), b: &(Sign, usize)| {
            let (a, b) = (key(a), key(b));
            !self.form.is_unfolded && a.0 == b.0 && a.1 == b.1
        };
        let repeats: Vec<_> = lines.chunk_by(is_repeated).collect();
        let row = |lines: &&[(Sign, usize)]| Row::Line {
            sign: lines[0].0,
            index: lines[0].1,
            different: Vec::new(),
            count: lines.len(),
        };
        let is_new = |(sign, _): &(Sign, usize)| {
            !matches!(sign, Sign::Removed | Sign::UnseenInB | Sign::UnseenInA)
        };
        if self.form.is_unfolded || repeats.len() <= FOLDED_FROM || lines.iter().any(is_new) {
            rows.extend(repeats.iter().map(row));
            return;
        }
        let (front, rest) = repeats.split_at(LEFT.0);
        let (folded, back) = rest.split_at(rest.len() - LEFT.1);
        rows.extend(front.iter().map(row));
        rows.push(Row::Folded {
            sign: lines[0].0,
            lines: folded.iter().map(|lines| lines.len()).sum(),
        });
        rows.extend(back.iter().map(row));
    }
}

/// A number of lines, for people.
pub fn lines(count: usize) -> String {
    crate::output::count(count as u64, "line")
}
