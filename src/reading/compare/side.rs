//! A log, read line by line for a comparison.

use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::ops::Range;
use std::sync::LazyLock;

use crate::reading::encoding::EncodingChoice;
use crate::reading::findings::secrets::{self, Secret};
use crate::reading::findings::{Finding, Rules, Scanner};
use crate::reading::log::{LineStamp, Log, Part, Place};
use crate::reading::masks::Masks;
use crate::reading::pattern::Pattern;
use crate::reading::phase::{Phase, Phases};
use crate::reading::stamp::stamps;
use crate::reading::stitch::{Boot, Mark, MarkKind};
use crate::terminal::Line;

/// How logs are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner<'p> {
    /// Lines count as they are: nothing is masked, nothing has moved.
    pub is_raw: bool,
    /// Lines with a match count for nothing.
    pub ignored: &'p [Pattern],
}

impl Manner<'_> {
    fn ignores(&self, line: &str) -> bool {
        self.ignored.iter().any(|pattern| pattern.is_match(line))
    }
}

/// A log, read for a comparison.
#[derive(Debug, Clone, Default)]
pub struct Side {
    pub(super) lines: Vec<SideLine>,
    /// The texts of all lines.
    text: String,
    /// The keys of all lines that count.
    keys: String,
    /// Where output is lost: before the line with this index.
    pub(super) gaps: Vec<usize>,
    /// What the lines say went wrong, but for those that are ignored.
    findings: Vec<Finding<'static>>,
}

#[derive(Debug, Clone)]
pub(super) struct SideLine {
    number: usize,
    pub(super) phase: Phase,
    /// In the log.
    bytes: Range<usize>,
    text: Range<usize>,
    /// `None` if the line does not count.
    key: Option<Range<usize>>,
    /// Of the key.
    hash: u64,
}

/// Hashes keys. A guest that could foresee the hashes could make comparisons slow.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Side {
    /// Reads a boot's log.
    pub fn read(boot: &Boot, encoding: EncodingChoice, manner: Manner) -> Self {
        Self::read_with(boot, encoding, manner, secrets::find(&boot.log))
    }

    /// The same, for who has found its secrets already: they are findings, too.
    pub fn read_with(
        boot: &Boot,
        encoding: EncodingChoice,
        manner: Manner,
        secrets: Vec<Secret>,
    ) -> Self {
        let log = Log::new(boot, encoding);
        let (mut parts, mut line) = (log.parts(), Line::default());
        let mut phases = Phases::of(&boot.log);
        let mut masks = Masks::default();
        // Most of them at once: to move megabytes again and again takes long.
        let mut side = Self {
            lines: Vec::with_capacity(memchr::memchr_iter(b'\n', &boot.log).count()),
            text: String::with_capacity(boot.log.len()),
            keys: String::with_capacity(boot.log.len()),
            gaps: Vec::new(),
            findings: Vec::new(),
        };
        // As everywhere, rules see no secret.
        let masked = secrets::masked(&boot.log, &secrets);
        let mut scanner = Scanner::new(Rules::current(), &masked, secrets);
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
                    if !manner.ignores(line.text()) {
                        let written = &masked[place.bytes.clone()];
                        let decoded = log.encoding.decode_without_bom_handling(written).0;
                        scanner.read(place.number, place.bytes.clone(), decoded.as_bytes());
                    }
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
        side.findings = scanner.finish();
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
        let key = if !counts || manner.ignores(line) {
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
        let hash = key
            .clone()
            .map_or(0, |key| HASHES.hash_one(&self.keys[key]));
        self.lines.push(SideLine {
            hash,
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

    /// What it says went wrong, in the order in which it says it first.
    pub fn findings(&self) -> &[Finding<'static>] {
        &self.findings
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
    pub(super) fn counted(&self) -> impl Iterator<Item = (usize, Key<'_>)> {
        let lines = self.lines.iter().enumerate();
        lines.filter_map(|(index, line)| {
            let (text, hash) = (&self.keys[line.key.clone()?], line.hash);
            Some((index, Key { text, hash }))
        })
    }
}

/// A line's key, with its hash, which was calculated when the line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<'s> {
    pub(super) text: &'s str,
    hash: u64,
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

/// Takes the hash of a [`Key`] as it is.
#[derive(Debug, Default)]
pub(super) struct Known(u64);

impl Hasher for Known {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
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
