//! Searches the log of a boot, or a capture, line by line, with ripgrep's engine.

use std::io;
use std::ops::Range;

use grep_searcher::{
    BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkContextKind, SinkMatch,
};

use super::log::{LineStamp, Log, Part};
use super::pattern::Pattern;
use super::stamp::Stamp;
use crate::terminal::Line;

/// What is searched: lines, and where each stands.
#[derive(Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    lines: Vec<TextLine>,
}

/// A line of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextLine {
    /// Its number in the log, from 1 on, as [`super::log::Place`] has it.
    pub number: usize,
    /// Its bytes in the log.
    pub bytes: Range<usize>,
    /// It is a state of the line that was written over.
    pub is_rewrite: bool,
}

impl Text {
    /// The lines of a log as a person reads them. What was written over stands before its line.
    pub fn rendered(log: &Log) -> Self {
        let mut text = Self::default();
        let (mut parts, mut line) = (log.parts(), Line::default());
        while let Some(part) = parts.read(&mut line) {
            let Part::Line(place) = part else {
                continue;
            };
            for rewrite in line.rewrites() {
                text.push(rewrite.text.as_bytes(), place.number, &place.bytes, true);
            }
            text.push(line.text().as_bytes(), place.number, &place.bytes, false);
        }
        text
    }

    /// The bytes as the guest wrote them, up to each line feed.
    pub fn raw(log: &[u8]) -> Self {
        let mut text = Self::default();
        let mut begin = 0;
        for (index, line) in log.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let end = begin + line.len();
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            text.push(content, index + 1, &(begin..end), false);
            begin = end;
        }
        text
    }

    fn push(&mut self, line: &[u8], number: usize, bytes: &Range<usize>, is_rewrite: bool) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.lines.push(TextLine {
            number,
            bytes: bytes.clone(),
            is_rewrite,
        });
    }

    /// How many bytes are searched.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to search.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Tells the kernel's last stamp at each line, for lines in their order.
    pub fn stamps(&self) -> Stamps<'_> {
        Stamps {
            rest: &self.bytes,
            read: 0,
            last: None,
        }
    }
}

/// See [`Text::stamps`].
#[derive(Debug)]
pub struct Stamps<'t> {
    rest: &'t [u8],
    /// How many lines were read.
    read: usize,
    last: Option<Stamp>,
}

impl Stamps<'_> {
    /// The stamp of the line at this index, or of the last line before it that has one. Indices must not
    /// fall.
    pub fn at(&mut self, index: usize) -> Option<Stamp> {
        while self.read <= index {
            let end = memchr::memchr(b'\n', self.rest)?;
            let line = std::str::from_utf8(&self.rest[..end]).ok();
            let stamp = line.and_then(LineStamp::of).map(|stamp| stamp.stamp);
            self.last = stamp.or(self.last);
            self.rest = &self.rest[end + 1..];
            self.read += 1;
        }
        self.last
    }
}

/// Which lines are told, beside those that match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Around {
    /// Lines before each match.
    pub before: usize,
    /// Lines behind each match.
    pub after: usize,
    /// Lines that do not match are told in place of those that do.
    pub is_inverted: bool,
    /// No more matches than these.
    pub most: Option<u64>,
}

/// What a search tells.
#[derive(Debug)]
pub enum Told<'t> {
    /// A line that matches.
    Match(&'t TextLine, &'t [u8], usize),
    /// A line before or behind one.
    Context(&'t TextLine, &'t [u8], usize),
    /// Lines are left out here.
    Break,
}

/// Searches texts one after the other.
#[derive(Debug, Clone)]
pub struct Search {
    pattern: Pattern,
    searcher: Searcher,
}

impl Search {
    /// A search for a pattern.
    pub fn new(pattern: Pattern, around: Around) -> Self {
        let searcher = SearcherBuilder::new()
            .line_number(true)
            .binary_detection(BinaryDetection::none()) // A NUL must not hide what follows.
            .before_context(around.before)
            .after_context(around.after)
            .invert_match(around.is_inverted)
            .max_matches(around.most)
            .build();
        Self { pattern, searcher }
    }

    /// Tells lines in order, with what is searched for, until `tell` returns false.
    pub fn run<'t>(&mut self, text: &'t Text, mut tell: impl FnMut(Told<'t>, &Pattern) -> bool) {
        let pattern = &self.pattern;
        let tell = |told| tell(told, pattern);
        let mut telling = Telling { text, tell };
        // Neither the engine nor the sink can fail over bytes in memory.
        let _ = self
            .searcher
            .search_slice(pattern.matcher(), &text.bytes, &mut telling);
    }
}

struct Telling<'t, F> {
    text: &'t Text,
    tell: F,
}

impl<'t, F: FnMut(Told<'t>) -> bool> Telling<'t, F> {
    /// The line at an offset of the text, by its number among all of its lines.
    fn line(
        &self,
        number: Option<u64>,
        offset: u64,
        length: usize,
    ) -> (&'t TextLine, &'t [u8], usize) {
        let index = number.map_or(0, |number| number as usize - 1);
        let begin = offset as usize;
        let line = &self.text.bytes[begin..begin + length];
        (
            &self.text.lines[index],
            line.strip_suffix(b"\n").unwrap_or(line),
            index,
        )
    }
}

impl<'t, F: FnMut(Told<'t>) -> bool> Sink for Telling<'t, F> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        let (mut number, mut offset) = (found.line_number(), found.absolute_byte_offset());
        for line in found.lines() {
            let (at, bytes, index) = self.line(number, offset, line.len());
            if !(self.tell)(Told::Match(at, bytes, index)) {
                return Ok(false);
            }
            number = number.map(|number| number + 1);
            offset += line.len() as u64;
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, found: &SinkContext<'_>) -> Result<bool, io::Error> {
        debug_assert!(*found.kind() != SinkContextKind::Other);
        let length = found.bytes().len();
        let (at, bytes, index) =
            self.line(found.line_number(), found.absolute_byte_offset(), length);
        Ok((self.tell)(Told::Context(at, bytes, index)))
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        Ok((self.tell)(Told::Break))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::encoding::EncodingChoice;
    use crate::reading::pattern::{Case, Meaning};
    use crate::reading::stitch::{Boot, Mark, MarkKind};

    fn boot(log: &[u8]) -> Boot {
        Boot {
            marks: vec![Mark {
                at: 0,
                kind: MarkKind::Gap { cut: 0 },
            }],
            ..Boot::of_log(log.to_vec())
        }
    }

    fn told(text: &Text, pattern: &str, around: Around) -> Vec<String> {
        let meaning = Meaning {
            case: Case::Sensitive,
            is_literal: false,
            is_word: false,
            is_line: false,
        };
        let mut search = Search::new(Pattern::new(&[pattern], meaning).unwrap(), around);
        let mut told = Vec::new();
        search.run(text, |line, _| {
            told.push(match line {
                Told::Match(at, line, _) => {
                    format!("{}:{}", at.number, String::from_utf8_lossy(line))
                }
                Told::Context(at, line, _) => {
                    format!("{}-{}", at.number, String::from_utf8_lossy(line))
                }
                Told::Break => "--".to_owned(),
            });
            true
        });
        told
    }

    const LOG: &[u8] =
        b"one\r\nt\x1b[31mw\x1b[0mo\r\nthree\0two\r\nfour\r\n  0%\r 50%\r100% two\r\nlogin: ";

    #[test]
    fn lines_are_searched_as_they_are_read() {
        let boot = boot(LOG);
        let text = Text::rendered(&Log::new(&boot, EncodingChoice::Auto));
        assert_eq!(
            told(&text, "two", Around::default()),
            ["2:two", "3:three⟨1 NUL⟩two", "5:100% two"]
        );
        let around = Around {
            before: 1,
            after: 1,
            ..Around::default()
        };
        assert_eq!(
            told(&text, "^one|^login", around),
            ["1:one", "2-two", "--", "5-100% two", "6:login: "]
        );
        let inverted = Around {
            is_inverted: true,
            most: Some(2),
            ..Around::default()
        };
        assert_eq!(told(&text, "two", inverted), ["1:one", "4:four"]);
        assert_eq!(
            told(&text, "50%", Around::default()),
            ["5: 50%"],
            "a state that was written over"
        );
    }

    #[test]
    fn bytes_are_searched_as_the_guest_wrote_them() {
        let text = Text::raw(LOG);
        assert_eq!(
            told(&text, "two", Around::default()),
            ["3:three\0two\r", "5:  0%\r 50%\r100% two\r"]
        );
        assert_eq!(told(&text, "login: $", Around::default()), ["6:login: "]);
        let all: Vec<_> = text
            .lines
            .iter()
            .flat_map(|line| LOG[line.bytes.clone()].to_vec())
            .collect();
        assert_eq!(all, LOG);
    }

    #[test]
    fn a_search_ends_when_nobody_wants_more() {
        let boot = boot(LOG);
        let text = Text::rendered(&Log::new(&boot, EncodingChoice::Auto));
        let meaning = Meaning {
            case: Case::Smart,
            is_literal: false,
            is_word: false,
            is_line: false,
        };
        let mut search = Search::new(Pattern::new(&["two"], meaning).unwrap(), Around::default());
        let mut count = 0;
        search.run(&text, |_, _| {
            count += 1;
            false
        });
        assert_eq!(count, 1);
    }

    #[test]
    fn a_line_has_the_stamp_of_the_one_before() {
        let boot = boot(b"[    1.500000] a\r\nb\r\n[    2.500000] c\r\n");
        let text = Text::rendered(&Log::new(&boot, EncodingChoice::Auto));
        let mut stamps = text.stamps();
        let micros = [0, 1, 1, 2].map(|index| stamps.at(index).map(|stamp| stamp.micros));
        assert_eq!(
            micros,
            [
                Some(1_500_000),
                Some(1_500_000),
                Some(1_500_000),
                Some(2_500_000)
            ]
        );
    }
}
