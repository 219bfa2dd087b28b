//! Captures of a machine → its boots, each as one log in which every byte stands once.
//!
//! A chain is what captures join without a loss. It ends where nothing proves that a capture continues the
//! one before. A chain is split into boots where firmware, a boot loader or a kernel begins. A boot goes on
//! behind a gap if nothing says that the machine has started again in between, and it was not over: behind a
//! panic, or the last words of a shutdown, the next boot has begun, whether its beginning is there or not.

mod lookup;

use std::cmp::Ordering;
use std::ops::Range;

use jiff::Timestamp;

use super::ending::{Ending, is_over};
use super::overlap::{Certainty, MIN_OVERLAP_BYTES, Overlap, Relation, relate_if};
use super::stamp::{Stamp, first_stamp, last_stamp, says_moment};
use super::start::{Start, begins_with_start, boot_starts, start_of, starts};
use crate::model::update_time::UpdateTime;
use lookup::Lookup;

/// A record's console and what is known of it.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The record's name, such as `20180322T100457-b4a2cd4d9aed`.
    pub name: String,
    /// When it was captured, by the clocks of the function and the store.
    pub captured_at: Timestamp,
    /// When ECS last updated the console, as ECS reported it.
    pub updated_at: Option<UpdateTime>,
    /// When the machine was started, if the event that led to the capture says so.
    pub started_at: Option<Timestamp>,
    /// The event that led to the capture.
    pub event_id: Option<String>,
    /// The console output, as the guest wrote it.
    pub plain: Vec<u8>,
}

/// One boot of a machine, as far as its captures show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Names the boot: the name of the first record with a part of it. The second boot that this record shows
    /// has `.2` behind it, also if another record shows the first one before. So neither captures that come later
    /// nor those of earlier boots that are gone change it.
    pub id: String,
    /// All bytes that are known of it, each once, in order.
    pub log: Vec<u8>,
    /// Which capture each byte is from; in order, without a space between.
    pub pieces: Vec<Piece>,
    /// What is missing or unsure, in order.
    pub marks: Vec<Mark>,
    /// What it began with, at the beginning of the log. `None` if its beginning is missing.
    pub start: Option<Start>,
    /// The captures with a part of it, in order.
    pub captures: Vec<CaptureOf>,
    /// Whether the next boot is the kernel that saves its memory: it crashed, whatever it printed.
    pub has_crashed: bool,
}

/// A capture that a boot's log is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureOf {
    /// The record's name.
    pub name: String,
    /// When it was captured.
    pub captured_at: Timestamp,
}

/// Bytes of a log that stand together in one capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they are in the log.
    pub range: Range<usize>,
    /// The capture: an index of [`Boot::captures`].
    pub capture: usize,
    /// Where they begin in the capture.
    pub offset: usize,
}

/// A place of a log where something is missing, or unsure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Before this byte of the log.
    pub at: usize,
    /// What is to be known of it.
    pub kind: MarkKind,
}

/// What is missing or unsure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkKind {
    /// The captures do not meet: output in between is lost. `cut` bytes behind the mark are the rest of a
    /// line that the ring has cut.
    Gap {
        /// Bytes of the cut line.
        cut: usize,
    },
    /// At the end of a boot: the next capture begins with a boot, and does not meet this one. Last words, and
    /// whole boots, may be missing.
    EndUnknown,
    /// The captures share so few bytes, or bytes that every boot prints, that they may not belong together.
    Unsure {
        /// The number of bytes.
        shared: usize,
    },
    /// The console repeats itself here.
    Repeats {
        /// How many bytes between the captures may be missing.
        missing: usize,
    },
}

/// A chain with more bytes gives its finished boots away, as no capture can reach back to them. More than
/// the largest answer that is read of ECS.
const MAX_CHAIN_BYTES: usize = 16 * 1024 * 1024;
/// What is kept of such a chain, to find the next capture in it.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// So many lines may be shown otherwise where a capture ends within a secret: of a key, the last ones are short.
const MAX_LINES_OF_CUT_SECRET: usize = 4;

/// Joins the captures of one machine.
///
/// The result depends neither on the order of `captures` nor on copies among them.
pub fn stitch(mut captures: Vec<Capture>) -> Vec<Boot> {
    sort(&mut captures);
    let mut stitcher = Stitcher::default();
    let mut boots: Vec<_> = captures
        .into_iter()
        .flat_map(|capture| stitcher.push(capture))
        .collect();
    boots.extend(stitcher.finish());
    boots
}

/// Sorts captures as [`Stitcher`] takes them, and drops copies.
fn sort(captures: &mut Vec<Capture>) {
    captures.sort_by(order);
    captures.dedup_by(|a, b| a.name == b.name);
}

/// The order in which [`Stitcher`] takes captures: by when they were captured. A guest's clock and ECS's time
/// decide nothing, since both have been wrong.
pub fn order(a: &Capture, b: &Capture) -> Ordering {
    let times = |capture: &Capture| (capture.captured_at, capture.updated_at);
    times(a).cmp(&times(b)).then_with(|| a.name.cmp(&b.name))
}

/// Joins the captures of one machine as they come, in their [`order`]. It holds one boot at a time,
/// and a few MiB of what came before it.
#[derive(Debug, Clone, Default)]
pub struct Stitcher {
    chain: Chain,
    /// The last boot of the chains before. It may go on behind a gap.
    open: Option<Boot>,
    /// The machine was started at this time, and no capture has shown the boot since.
    started_at: Option<Timestamp>,
    /// The capture before.
    last: Option<Last>,
}

#[derive(Debug, Clone)]
struct Last {
    captured_at: Timestamp,
    event_id: Option<String>,
}

/// What captures join without a loss.
#[derive(Debug, Clone, Default)]
struct Chain {
    bytes: Vec<u8>,
    /// The boots of so many bytes have been given away.
    given: usize,
    /// Where the boots begin that were taken from it.
    begun: Vec<usize>,
    pieces: Vec<Piece>,
    /// The captures, with the bytes of the chain that each has.
    captures: Vec<(CaptureOf, Range<usize>)>,
    marks: Vec<Mark>,
    /// Whether the machine was started between the chain before and this one.
    is_restarted: bool,
    /// What is remembered of the bytes.
    lookup: Lookup,
}

impl Stitcher {
    /// Adds the next capture. Returns the boots that no later capture can change.
    pub fn push(&mut self, mut capture: Capture) -> Vec<Boot> {
        if capture.plain.is_empty() {
            return Vec::new(); // It says nothing of what was before it.
        }
        self.note_start(&capture);
        let mut finished = Vec::new();
        if !self.chain.add(
            &capture,
            self.started_at.is_some(),
            self.is_same_event(&capture),
        ) {
            finished = self.close_chain();
            self.chain = Chain::of(&mut capture, self.started_at.take().is_some());
        } else if self.started_at.is_some() && self.chain.has_begun_anew() {
            self.started_at = None;
        }
        if self.chain.bytes.len() > MAX_CHAIN_BYTES {
            finished.extend(self.give_away());
        }
        self.last = Some(Last {
            captured_at: capture.captured_at,
            event_id: capture.event_id,
        });
        finished
    }

    /// Returns the boots that are left.
    pub fn finish(mut self) -> Vec<Boot> {
        let mut boots = self.close_chain();
        boots.extend(self.open);
        boots
    }

    /// Remembers a start of the machine since the capture before.
    fn note_start(&mut self, capture: &Capture) {
        let last = self.last.as_ref().map(|last| last.captured_at);
        let is_since = |at: &Timestamp| last.is_some_and(|last| last < *at);
        self.started_at = capture.started_at.filter(is_since).or(self.started_at);
    }

    fn is_same_event(&self, capture: &Capture) -> bool {
        let last = self.last.as_ref().and_then(|last| last.event_id.as_ref());
        last.is_some() && last == capture.event_id.as_ref()
    }

    /// Ends the chain: all of its boots but the last are finished.
    fn close_chain(&mut self) -> Vec<Boot> {
        let mut finished = self.give_away();
        let mut chain = std::mem::take(&mut self.chain);
        let range = chain.given..chain.bytes.len();
        if !range.is_empty() {
            let mut log = std::mem::take(&mut chain.bytes);
            log.drain(..range.start);
            chain.begun.push(range.start);
            finished.extend(self.take(&chain, range, log));
        }
        finished
    }

    /// Takes all boots but the last from the chain.
    fn give_away(&mut self) -> Vec<Boot> {
        let mut chain = std::mem::take(&mut self.chain);
        let mut finished = Vec::new();
        let ends: Vec<_> = chain.beginnings().into_iter().skip(1).collect();
        let mut begin = chain.given;
        for end in ends {
            let log = chain.bytes[begin..end].to_vec();
            chain.begun.push(begin);
            finished.extend(self.take(&chain, begin..end, log));
            begin = end;
        }
        self.chain = chain;
        self.chain.given = begin;
        self.chain.forget(begin.saturating_sub(KEPT_BYTES));
        finished
    }

    /// Takes one boot from a chain: it becomes the open one, or goes on with it. Returns the one that was
    /// open, if it is finished by that.
    fn take(&mut self, chain: &Chain, range: Range<usize>, log: Vec<u8>) -> Option<Boot> {
        let mut boot = chain.boot(range.clone(), log);
        let is_behind_loss = range.start == 0;
        if is_behind_loss && boot.start.is_none() {
            let open = self.open.take();
            match open {
                Some(mut open)
                    if !chain.is_restarted
                        && !is_over(&open.log)
                        && is_possible(last_stamp(&open.log), &boot.log) =>
                {
                    open.go_on_with(boot);
                    self.open = Some(open);
                    return None;
                }
                open => {
                    mark(
                        &mut boot.marks,
                        0,
                        MarkKind::Gap {
                            cut: cut(&boot.log),
                        },
                    );
                    self.open = Some(boot);
                    return open;
                }
            }
        }
        let is_crash_kernel = boot.start.is_some_and(|start| start.is_crash_kernel);
        let mut before = self.open.replace(boot)?;
        if is_behind_loss {
            mark(&mut before.marks, before.log.len(), MarkKind::EndUnknown);
        } else {
            before.has_crashed = is_crash_kernel;
        }
        Some(before)
    }
}

/// Whether `later` may be of the same boot as what ends with the stamp `last`, by the kernel's clock.
fn is_possible(last: Option<Stamp>, later: &[u8]) -> bool {
    match (last, first_stamp(later)) {
        (Some(last), Some(first)) => !first.is_far_before(last),
        _ => true,
    }
}

/// The first place where a text may show a masked secret.
fn find_mask(text: &[u8]) -> Option<usize> {
    // Nearly no console has the second byte of it, and one byte is searched for faster than two.
    memchr::memchr_iter(b'*', text).find_map(|at| {
        let before = at.checked_sub(1)?;
        (text[before] == b'<').then_some(before)
    })
}

/// Whether the rest of a console is what another shows there, but for what one of them masks: a mask has as many bytes
/// as what it hides.
fn is_same_but_for_masks(rest: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while let (Some(a), Some(b)) = (rest.get(at), other.get(at)) {
        if a == b {
            at += 1;
            continue;
        }
        let end = mask_end(rest, at).max(mask_end(other, at));
        if end <= at {
            return false;
        }
        at = end;
    }
    at >= rest.len()
}

/// The end of the mask that a byte is a part of; zero if it is of none.
fn mask_end(text: &[u8], at: usize) -> usize {
    let stars = text[..at]
        .iter()
        .rev()
        .take_while(|byte| **byte == b'*')
        .count();
    let begins = match text[at] {
        b'<' => text.get(at + 1) == Some(&b'*'),
        // What stands before the text may have begun it.
        b'*' | b'>' => stars > 0 || text[at] == b'*' || at == 0,
        _ => false,
    };
    if !begins {
        return 0;
    }
    let first = at + usize::from(text[at] == b'<');
    let behind = text[first..]
        .iter()
        .take_while(|byte| **byte == b'*')
        .count();
    let end = first + behind;
    end + usize::from(text.get(end) == Some(&b'>'))
}

/// Bytes of a line whose beginning a ring has cut, if it is one.
fn cut(log: &[u8]) -> usize {
    memchr::memchr(b'\n', log).map_or(0, |end| end + 1)
}

/// Marks a place, unless it has a mark that says more.
fn mark(marks: &mut Vec<Mark>, at: usize, kind: MarkKind) {
    let place = marks.partition_point(|mark| mark.at < at);
    match marks.get_mut(place) {
        Some(mark) if mark.at == at => mark.kind = mark.kind.or(kind),
        _ => marks.insert(place, Mark { at, kind }),
    }
}

impl MarkKind {
    /// Of two marks at one place, the one that says more: what is certain before what is unsure.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gap { .. } | Self::EndUnknown, _) => self,
            (_, Self::Gap { .. } | Self::EndUnknown) => other,
            (Self::Repeats { missing: a }, Self::Repeats { missing: b }) => {
                Self::Repeats { missing: a.max(b) }
            }
            (Self::Repeats { .. }, _) => self,
            (_, Self::Repeats { .. }) => other,
            (Self::Unsure { shared: a }, Self::Unsure { shared: b }) => {
                Self::Unsure { shared: a.min(b) }
            }
        }
    }
}

impl Boot {
    /// A log whose captures are not known, such as a file's.
    pub fn of_log(log: Vec<u8>) -> Self {
        Self {
            id: String::new(),
            log,
            pieces: Vec::new(),
            marks: Vec::new(),
            start: None,
            captures: Vec::new(),
            has_crashed: false,
        }
    }

    /// How it ended. `is_newest` if no later boot is known.
    pub fn ending(&self, is_newest: bool) -> Ending {
        Ending::of_log(&self.log, self.has_crashed, is_newest)
    }

    /// Adds what a later chain has of the boot, behind a gap.
    fn go_on_with(&mut self, later: Boot) {
        let (end, known) = (self.log.len(), self.captures.len());
        mark(
            &mut self.marks,
            end,
            MarkKind::Gap {
                cut: cut(&later.log),
            },
        );
        self.marks.extend(later.marks.into_iter().map(|mark| Mark {
            at: mark.at + end,
            ..mark
        }));
        self.pieces
            .extend(later.pieces.into_iter().map(|piece| Piece {
                range: piece.range.start + end..piece.range.end + end,
                capture: piece.capture + known,
                ..piece
            }));
        self.captures.extend(later.captures);
        self.log.extend_from_slice(&later.log);
    }

    /// Which capture the byte at `at` is from, and where it is there. `None` past the end.
    pub fn origin(&self, at: usize) -> Option<(&CaptureOf, usize)> {
        let index = self.pieces.partition_point(|piece| piece.range.end <= at);
        let piece = self.pieces.get(index)?;
        Some((
            &self.captures[piece.capture],
            piece.offset + at - piece.range.start,
        ))
    }
}

impl Chain {
    /// Takes the capture's bytes.
    fn of(capture: &mut Capture, is_restarted: bool) -> Self {
        let bytes = std::mem::take(&mut capture.plain);
        let range = 0..bytes.len();
        Self {
            pieces: vec![Piece {
                range: range.clone(),
                capture: 0,
                offset: 0,
            }],
            captures: vec![((&*capture).into(), range)],
            bytes,
            is_restarted,
            ..Self::default()
        }
    }

    /// Adds a capture, if it belongs to the chain.
    fn add(&mut self, capture: &Capture, is_restarted: bool, is_same_event: bool) -> bool {
        let new = &capture.plain;
        let begins_boot = || begins_with_start(new);
        let end = self.bytes.len();
        let may_be_within = || self.lookup.may_have(new, &self.bytes);
        match relate_if(&self.bytes, new, may_be_within) {
            Relation::Continues(overlap) => {
                let kind = match overlap.certainty {
                    Certainty::Sure => None,
                    _ if is_restarted && begins_boot() => return false,
                    _ if !self.is_possible(new, overlap) => return false,
                    Certainty::Unsure if is_same_event && overlap.length == end => None,
                    Certainty::Unsure => Some(MarkKind::Unsure {
                        shared: overlap.length,
                    }),
                    Certainty::Repeats { missing } => Some(MarkKind::Repeats { missing }),
                };
                self.append(capture, overlap.cut, overlap.length);
                if let Some(kind) = kind {
                    mark(&mut self.marks, end, kind);
                }
            }
            // A few bytes may be anything's.
            Relation::Returns { .. }
                if is_restarted && (begins_boot() || new.len() < MIN_OVERLAP_BYTES) =>
            {
                return false;
            }
            Relation::Returns { is_dated } => {
                self.captures.push((capture.into(), end..end));
                if !is_dated && !is_same_event {
                    mark(&mut self.marks, end, MarkKind::Unsure { shared: new.len() });
                }
            }
            Relation::Encloses { before } if self.given == 0 => self.enclose(capture, before),
            Relation::Encloses { .. } => return false,
            Relation::Apart => return self.add_beside_secret(capture, is_restarted),
        }
        true
    }

    /// Adds a capture that shows otherwise what is known of a secret. Stored with its secrets masked, a capture ends
    /// otherwise than the next one has it: a mask ends with its capture, and a few letters are no secret yet. And a ring
    /// that has dropped what says that a secret follows shows it.
    fn add_beside_secret(&mut self, capture: &Capture, is_restarted: bool) -> bool {
        let new = &capture.plain;
        let shared = self.bytes.len().saturating_sub(new.len());
        if find_mask(new)
            .or_else(|| find_mask(&self.bytes[shared..]))
            .is_none()
        {
            return false;
        }
        let lines = |text| memchr::memrchr_iter(b'\n', text).map(|at| at + 1);
        for end in lines(&self.bytes).chain([0]).take(MAX_LINES_OF_CUT_SECRET) {
            if end < self.given.max(1) {
                break;
            }
            // What is joined here is sure, or not joined at all.
            let Relation::Continues(Overlap {
                cut,
                length,
                certainty: Certainty::Sure,
            }) = relate_if(&self.bytes[..end], new, || false)
            else {
                continue;
            };
            if is_same_but_for_masks(&self.bytes[end..], &new[cut + length..]) {
                self.forget_behind(end);
                self.append(capture, cut, length);
                return true;
            }
        }
        // A ring begins within a secret, or behind the line that says what it is.
        for begin in memchr::memchr_iter(b'\n', new).take(MAX_LINES_OF_CUT_SECRET) {
            let begin = begin + 1;
            if let Relation::Continues(Overlap {
                cut: 0,
                length,
                certainty: Certainty::Sure,
            }) = relate_if(&self.bytes, &new[begin..], || false)
                && let Some(at) = self.bytes.len().checked_sub(length + begin)
                && is_same_but_for_masks(&new[..begin], &self.bytes[at..])
            {
                self.append(capture, begin, length);
                return true;
            }
        }
        // ECS returned an older console.
        for end in lines(new).take(MAX_LINES_OF_CUT_SECRET) {
            if !is_restarted
                && says_moment(&new[..end])
                && let Some(at) = memchr::memmem::rfind(&self.bytes, &new[..end])
                && is_same_but_for_masks(&new[end..], &self.bytes[at + end..])
            {
                let end = self.bytes.len();
                self.captures.push((capture.into(), end..end));
                return true;
            }
        }
        false
    }

    /// Forgets the bytes from `end` on.
    fn forget_behind(&mut self, end: usize) {
        self.bytes.truncate(end);
        self.lookup = Lookup::default();
        let clip = |range: &mut Range<usize>| *range = range.start.min(end)..range.end.min(end);
        self.pieces
            .iter_mut()
            .for_each(|piece| clip(&mut piece.range));
        self.pieces.retain(|piece| !piece.range.is_empty());
        self.captures.iter_mut().for_each(|(_, range)| clip(range));
        self.marks
            .iter_mut()
            .for_each(|mark| mark.at = mark.at.min(end));
    }

    /// Whether the kernel's clock allows what comes behind an overlap, unless a boot begins there.
    fn is_possible(&mut self, new: &[u8], overlap: Overlap) -> bool {
        let added = &new[overlap.cut + overlap.length..];
        let last = self.lookup.last_stamp(&self.bytes);
        is_possible(last, added) || !starts(added).is_empty()
    }

    /// Adds the bytes of a capture behind its first `cut` and the `shared` ones.
    fn append(&mut self, capture: &Capture, cut: usize, shared: usize) {
        let (end, offset) = (self.bytes.len(), cut + shared);
        let added = &capture.plain[offset..];
        self.bytes.extend_from_slice(added);
        if !added.is_empty() {
            let (range, capture) = (end..end + added.len(), self.captures.len());
            self.pieces.push(Piece {
                range,
                capture,
                offset,
            });
        }
        self.captures
            .push((capture.into(), end - shared..self.bytes.len()));
    }

    /// Adds what a capture has before and behind all bytes of the chain.
    fn enclose(&mut self, capture: &Capture, before: usize) {
        self.lookup = Lookup::default();
        self.bytes
            .splice(..0, capture.plain[..before].iter().copied());
        let shift = |range: &mut Range<usize>| *range = range.start + before..range.end + before;
        self.pieces
            .iter_mut()
            .for_each(|piece| shift(&mut piece.range));
        self.captures.iter_mut().for_each(|(_, range)| shift(range));
        self.marks.iter_mut().for_each(|mark| mark.at += before);
        let index = self.captures.len();
        self.pieces.insert(
            0,
            Piece {
                range: 0..before,
                capture: index,
                offset: 0,
            },
        );
        self.append(capture, 0, self.bytes.len());
    }
}

impl Chain {
    /// Whether the capture that came last shows the beginning of a boot among its new bytes.
    fn has_begun_anew(&self) -> bool {
        let last = self.pieces.last().map(|piece| piece.range.clone());
        last.is_some_and(|range| !starts(&self.bytes[range]).is_empty())
    }

    /// Where boots begin, among the bytes that are not given away. The first is where these begin.
    fn beginnings(&self) -> Vec<usize> {
        let bytes = &self.bytes[self.given..];
        let starts = boot_starts(bytes)
            .into_iter()
            .map(|start| self.given + start.line);
        std::iter::once(self.given)
            .chain(starts.filter(|&at| at > self.given))
            .collect()
    }

    /// The name of a boot that begins at `begin`, and of which this capture is the first.
    fn name(&self, begin: usize, (first, shown): &(CaptureOf, Range<usize>)) -> String {
        let begun = self.begun.iter();
        let before = begun.filter(|&&at| shown.start < at && at <= begin).count();
        match before {
            0 => first.name.clone(),
            before => format!("{}.{}", first.name, before + 1),
        }
    }

    /// The boot at `range`, of which these are the bytes.
    fn boot(&self, range: Range<usize>, log: Vec<u8>) -> Boot {
        // A capture counts for each boot that it shows a part of, or that it found unchanged.
        let is_in = |of: &Range<usize>| of.start < range.end && range.start < of.end;
        let is_at_end =
            |of: &Range<usize>| of.is_empty() && range.contains(&of.start.saturating_sub(1));
        let shown = self
            .captures
            .iter()
            .enumerate()
            .filter(|(_, (_, of))| is_in(of) || is_at_end(of));
        let indices: Vec<_> = shown.map(|(index, _)| index).collect();
        let pieces = self.pieces.iter().filter(|piece| is_in(&piece.range));
        let pieces = pieces.map(|piece| {
            let (start, end) = (
                piece.range.start.max(range.start),
                piece.range.end.min(range.end),
            );
            Piece {
                range: start - range.start..end - range.start,
                capture: indices.partition_point(|&index| index < piece.capture),
                offset: piece.offset + start - piece.range.start,
            }
        });
        // What is unsure between two boots stands at the end of the first.
        let marks = self
            .marks
            .iter()
            .filter(|mark| range.start < mark.at && mark.at <= range.end);
        let start = start_of(&log);
        let first = indices.first().map(|&index| &self.captures[index]);
        let id = first.map(|first| self.name(range.start, first));
        Boot {
            id: id.unwrap_or_default(), // Every byte is from a capture.
            pieces: pieces.collect(),
            marks: marks
                .map(|mark| Mark {
                    at: mark.at - range.start,
                    ..*mark
                })
                .collect(),
            start,
            captures: indices
                .iter()
                .map(|&index| self.captures[index].0.clone())
                .collect(),
            has_crashed: false,
            log,
        }
    }

    /// Forgets the first `count` bytes.
    fn forget(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.bytes.drain(..count);
        self.lookup = Lookup::default();
        self.given -= count;
        self.begun.retain(|at| *at > count);
        self.begun.iter_mut().for_each(|at| *at -= count);
        let shift = |range: &mut Range<usize>| {
            *range = range.start.saturating_sub(count)..range.end.saturating_sub(count);
        };
        self.captures.iter_mut().for_each(|(_, range)| shift(range));
        self.marks.retain(|mark| mark.at > count);
        self.marks.iter_mut().for_each(|mark| mark.at -= count);
        self.pieces.retain(|piece| piece.range.end > count);
        for piece in &mut self.pieces {
            piece.offset += count.saturating_sub(piece.range.start);
            shift(&mut piece.range);
        }
        let first = self.captures.partition_point(|(_, range)| range.end == 0);
        self.captures.drain(..first);
        self.pieces
            .iter_mut()
            .for_each(|piece| piece.capture -= first);
    }
}

impl From<&Capture> for CaptureOf {
    fn from(capture: &Capture) -> Self {
        Self {
            name: capture.name.clone(),
            captured_at: capture.captured_at,
        }
    }
}
