//! Searches the log of a boot, or a capture, line by line, with ripgrep's engine.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use encoding_rs::UTF_8;
use grep_searcher::{
    BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkContextKind, SinkMatch,
};

use super::encoding::EncodingChoice;
use super::log::{LineStamp, Log, Part};
use super::pattern::Pattern;
use super::stamp::Stamp;
use super::stitch::Boot;
use crate::terminal::Line;

/// What is searched: the lines of a log, and where each stands.
#[derive(Debug)]
pub struct Text<'l> {
    log: &'l [u8],
    bytes: Cow<'l, [u8]>,
    runs: Vec<Run>,
    /// Whether masks of secrets in the log change nothing of the text but what is masked.
    is_even: bool,
    /// Whether it is the log as it stands there.
    is_raw: bool,
    /// Whether a carriage return may stand before the end of a line. It is no part of the line.
    has_returns: bool,
}

/// Lines of a [`Text`] that stand together in the log.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The first of them, by its index in the text.
    index: usize,
    /// Its number in the log.
    number: usize,
    /// Where it begins in the log.
    begin: usize,
    /// Where it ends, if it is no line of the log as it stands there: it was rendered.
    end: Option<usize>,
    is_rewrite: bool,
}

/// A line of a [`Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLine {
    /// Its index in the text.
    pub index: usize,
    /// Its number in the log, from 1 on, as [`super::log::Place`] has it.
    pub number: usize,
    /// It is a state of the line that was written over.
    pub is_rewrite: bool,
}

/// Memory of a [`Text`], to be used again.
#[derive(Debug, Clone, Default)]
pub struct Buffers {
    bytes: Vec<u8>,
    runs: Vec<Run>,
}

impl<'l> Text<'l> {
    /// The lines of a log as a person reads them. What was written over stands before its line.
    pub fn rendered(boot: &'l Boot, encoding: EncodingChoice, buffers: Buffers) -> Self {
        Self::of(boot, encoding, false, buffers)
    }

    /// The same for one search. Carriage returns before line feeds stay in the text where that changes nothing for the
    /// search, which takes a fraction of the time.
    pub fn rendered_for(
        search: &Search,
        boot: &'l Boot,
        encoding: EncodingChoice,
        buffers: Buffers,
    ) -> Self {
        let keeps_returns = search.pattern.passes_over_returns();
        Self::of(boot, encoding, keeps_returns, buffers)
    }

    fn of(boot: &'l Boot, encoding: EncodingChoice, keeps_returns: bool, buffers: Buffers) -> Self {
        let Buffers {
            mut bytes,
            mut runs,
        } = buffers;
        bytes.clear();
        runs.clear();
        let log = Log::new(boot, encoding);
        let (mut parts, mut line, mut index) = (log.parts(), Line::default(), 0);
        let (mut long, mut long_begin) = (String::new(), None);
        let mut is_even = log.encoding == UTF_8;
        loop {
            // Nearly all lines are text alone, which only needs to be copied.
            if long_begin.is_none()
                && let Some(plain) = parts.read_plain_lines(keeps_returns, &mut bytes)
            {
                runs.push(Run {
                    index,
                    number: plain.number,
                    begin: plain.begin,
                    end: None,
                    is_rewrite: false,
                });
                index += plain.count;
                continue;
            }
            let place = match parts.read(&mut line) {
                Some(Part::Line(place)) => place,
                Some(Part::Mark(_)) => continue,
                None => break,
            };
            is_even = is_even && is_even_line(&boot.log[place.bytes.clone()]);
            let mut push = |text: &str, (number, begin), end, is_rewrite| {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(b'\n');
                runs.push(Run {
                    index,
                    number,
                    begin,
                    end: Some(end),
                    is_rewrite,
                });
                index += 1;
            };
            let here = (place.number, place.bytes.start);
            for rewrite in line.rewrites() {
                push(rewrite.text, here, place.bytes.end, true);
            }
            // A line that is too long to be held comes in parts, and is searched whole.
            let begin = *long_begin.get_or_insert(here);
            if line.continues {
                long.push_str(line.text());
                continue;
            }
            long_begin = None;
            if long.is_empty() {
                push(line.text(), begin, place.bytes.end, false);
            } else {
                long.push_str(line.text());
                push(&long, begin, place.bytes.end, false);
                long.clear();
            }
        }
        Self {
            log: &boot.log,
            bytes: bytes.into(),
            runs,
            is_even,
            is_raw: false,
            has_returns: keeps_returns,
        }
    }

    /// The bytes as the guest wrote them, up to each line feed.
    pub fn raw(log: &'l [u8]) -> Self {
        let run = Run {
            index: 0,
            number: 1,
            begin: 0,
            end: None,
            is_rewrite: false,
        };
        Self {
            log,
            bytes: log.into(),
            runs: vec![run],
            is_even: true,
            is_raw: true,
            has_returns: false,
        }
    }

    /// All parts of the log that may have other bytes than printable ASCII, tabs and line ends, in order.
    pub fn odd(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let all = self.is_raw.then_some(0..self.log.len());
        let rendered = |run: &Run| Some(run.begin..run.end?);
        all.into_iter().chain(self.runs.iter().filter_map(rendered))
    }

    /// Gives its memory back.
    pub fn into_buffers(self) -> Buffers {
        Buffers {
            bytes: match self.bytes {
                Cow::Owned(bytes) => bytes,
                Cow::Borrowed(_) => Vec::new(),
            },
            runs: self.runs,
        }
    }

    fn run(&self, index: usize) -> &Run {
        let behind = self.runs.partition_point(|run| run.index <= index);
        &self.runs[behind - 1] // The first begins with the text.
    }

    fn line(&self, index: usize) -> TextLine {
        let run = self.run(index);
        TextLine {
            index,
            number: run.number + index - run.index,
            is_rewrite: run.is_rewrite,
        }
    }

    /// Tells where lines stand in the log, for lines in their order.
    pub fn places(&self) -> Places<'_> {
        Places {
            text: self,
            at: (0, 0),
        }
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

/// See [`Text::places`].
#[derive(Debug)]
pub struct Places<'t> {
    text: &'t Text<'t>,
    /// A line, and where it begins in the log.
    at: (usize, usize),
}

impl Places<'_> {
    /// The bytes in the log of the line at this index. Indices must not fall.
    pub fn of(&mut self, index: usize) -> Range<usize> {
        let run = self.text.run(index);
        if let Some(end) = run.end {
            return run.begin..end;
        }
        let (mut line, mut begin) = self.at.max((run.index, run.begin));
        loop {
            let rest = &self.text.log[begin..];
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            if line >= index {
                self.at = (line, begin);
                return begin..begin + end;
            }
            (line, begin) = (line + 1, begin + end);
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
            let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
            let line = std::str::from_utf8(&self.rest[..end]).ok();
            let stamp = line.and_then(LineStamp::of).map(|stamp| stamp.stamp);
            self.last = stamp.or(self.last);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
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
    Match(TextLine, &'t [u8]),
    /// A line before one.
    Before(TextLine, &'t [u8]),
    /// A line behind one.
    After(TextLine, &'t [u8]),
    /// Lines are left out here.
    Break,
}

impl Told<'_> {
    fn line(&self) -> Option<TextLine> {
        match *self {
            Self::Match(line, _) | Self::Before(line, _) | Self::After(line, _) => Some(line),
            Self::Break => None,
        }
    }
}

/// Searches texts one after the other.
#[derive(Debug, Clone)]
pub struct Search {
    pattern: Pattern,
    searcher: Searcher,
    /// The lines that the last run told, by their indices.
    told: Vec<usize>,
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
        Self {
            pattern,
            searcher,
            told: Vec::new(),
        }
    }

    /// Whether masks change nothing of what a run tells, unless they stand on a line that it tells. This does not
    /// depend on the secrets.
    pub fn is_same_beside_masks(&self, text: &Text<'_>) -> bool {
        !self.searcher.invert_match() && text.is_even && self.pattern.is_beside_masks()
    }

    /// Where the lines stand in the log that the last run told of this text.
    pub fn told<'t>(&'t self, text: &'t Text<'_>) -> impl Iterator<Item = Range<usize>> + 't {
        let mut places = text.places();
        self.told.iter().map(move |index| places.of(*index))
    }

    /// Whether a line of the text may be told once its secrets are masked. Where it says that none is, none is,
    /// whatever the secrets are.
    pub fn may_match_masked(&self, text: &Text<'_>) -> bool {
        let tells_others = self.searcher.invert_match();
        tells_others || !text.is_even || self.pattern.may_match_masked(&text.bytes)
    }

    /// Tells lines in order, with what is searched for, until `tell` returns false.
    pub fn run<'t>(
        &mut self,
        text: &'t Text<'t>,
        mut tell: impl FnMut(Told<'t>, &Pattern) -> bool,
    ) {
        let (pattern, lines) = (&self.pattern, &mut self.told);
        lines.clear();
        let tell = |told: Told<'t>| {
            lines.extend(told.line().map(|line| line.index));
            tell(told, pattern)
        };
        let mut telling = Telling { text, tell };
        // Neither the engine nor the sink can fail over bytes in memory.
        let _ = self
            .searcher
            .search_slice(pattern.matcher(), &text.bytes, &mut telling);
    }
}

/// Whether a line of a log shows its characters one behind the other, whatever stands in place of some of them, and
/// changes no other line: it has none of the sequences that move the cursor to a row or column.
fn is_even_line(line: &[u8]) -> bool {
    let is_ascii = line.is_ascii();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.trim_ascii_end();
    let mut rest = line.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b' '..=b'~' | 0x80.. => {}
            // Columns of what is written over stay where they are if each byte has one.
            b'\t' | b'\r' if is_ascii => {}
            0x1b => match rest.as_slice() {
                [0x80..=0xff, ..] | [b'[', 0x80..=0xff, ..] => {} // Cut; what comes then is text.
                [b'c', ..] if is_ascii => {}
                [b'[', sequence @ ..] => {
                    let is_parameter = |byte: &&u8| matches!(byte, b'0'..=b'9' | b';' | b'?');
                    let length = sequence.iter().take_while(is_parameter).count();
                    match sequence.get(length) {
                        Some(b'm') => {}
                        Some(b'K' | b'J' | b'h' | b'l') if is_ascii => {}
                        _ => return false,
                    }
                    rest = sequence[length + 1..].iter();
                }
                _ => return false,
            },
            _ => return false,
        }
    }
    true
}

struct Telling<'t, F> {
    text: &'t Text<'t>,
    tell: F,
}

impl<'t, F: FnMut(Told<'t>) -> bool> Telling<'t, F> {
    /// The line at an offset of the text, by its number among all of its lines.
    fn line(&self, number: Option<u64>, offset: u64, length: usize) -> (TextLine, &'t [u8]) {
        let index = number.map_or(0, |number| number as usize - 1);
        let begin = offset as usize;
        let line = &self.text.bytes[begin..begin + length];
        let mut line = line.strip_suffix(b"\n").unwrap_or(line);
        if self.text.has_returns {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        (self.text.line(index), line)
    }
}

impl<'t, F: FnMut(Told<'t>) -> bool> Sink for Telling<'t, F> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        let (mut number, mut offset) = (found.line_number(), found.absolute_byte_offset());
        for line in found.lines() {
            let (at, bytes) = self.line(number, offset, line.len());
            if !(self.tell)(Told::Match(at, bytes)) {
                return Ok(false);
            }
            number = number.map(|number| number + 1);
            offset += line.len() as u64;
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, found: &SinkContext<'_>) -> Result<bool, io::Error> {
        let length = found.bytes().len();
        let (at, bytes) = self.line(found.line_number(), found.absolute_byte_offset(), length);
        Ok((self.tell)(match found.kind() {
            SinkContextKind::Before => Told::Before(at, bytes),
            _ => Told::After(at, bytes),
        }))
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        Ok((self.tell)(Told::Break))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::findings::secrets;
    use crate::reading::pattern::{Case, Meaning};
    use crate::reading::stitch::{Mark, MarkKind};

    fn boot(log: &[u8]) -> Boot {
        Boot {
            marks: vec![Mark {
                at: 0,
                kind: MarkKind::Gap { cut: 0 },
            }],
            ..Boot::of_log(log.to_vec())
        }
    }

    fn rendered(boot: &Boot) -> Text<'_> {
        Text::rendered(boot, EncodingChoice::Auto, Buffers::default())
    }

    fn told(text: &Text<'_>, pattern: &str, around: Around) -> Vec<String> {
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
                Told::Match(at, line) => {
                    format!("{}:{}", at.number, String::from_utf8_lossy(line))
                }
                Told::Before(at, line) | Told::After(at, line) => {
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
        let text = rendered(&boot);
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
        let mut places = text.places();
        let all: Vec<_> = (0..6)
            .flat_map(|index| LOG[places.of(index)].to_vec())
            .collect();
        assert_eq!(all, LOG);
    }

    #[test]
    fn a_search_ends_when_nobody_wants_more() {
        let boot = boot(LOG);
        let text = rendered(&boot);
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
        let text = rendered(&boot);
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
    /// The lines of a log one by one, as `show` reads them: text, number, bytes, and whether it is a rewrite.
    fn one_by_one(
        boot: &Boot,
        encoding: EncodingChoice,
    ) -> Vec<(String, usize, Range<usize>, bool)> {
        let log = Log::new(boot, encoding);
        let (mut parts, mut line, mut all) = (log.parts(), Line::default(), Vec::new());
        let mut long: Option<(String, usize, usize)> = None;
        while let Some(part) = parts.read(&mut line) {
            let Part::Line(place) = part else { continue };
            for rewrite in line.rewrites() {
                all.push((
                    rewrite.text.to_owned(),
                    place.number,
                    place.bytes.clone(),
                    true,
                ));
            }
            let (text, number, begin) =
                long.get_or_insert((String::new(), place.number, place.bytes.start));
            text.push_str(line.text());
            if !line.continues {
                all.push((
                    std::mem::take(text),
                    *number,
                    *begin..place.bytes.end,
                    false,
                ));
                long = None;
            }
        }
        assert!(long.is_none());
        all
    }

    fn at_once(boot: &Boot, encoding: EncodingChoice) -> Vec<(String, usize, Range<usize>, bool)> {
        let text = Text::rendered(boot, encoding, Buffers::default());
        let mut places = text.places();
        let lines = text
            .bytes
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate();
        let lines = lines.map(|(index, line)| {
            let (at, line) = (text.line(index), &line[..line.len() - 1]);
            let line = String::from_utf8(line.to_vec()).unwrap();
            (line, at.number, places.of(index), at.is_rewrite)
        });
        lines.collect()
    }

    #[test]
    fn very_long_lines_are_the_same_at_once_as_one_by_one() {
        for length in [65_534, 65_535, 65_536, 65_537, 200_000] {
            let long = "x".repeat(length);
            let log = format!("a\n{long}\r\nb\n\n{long}\nc\r\n{long}");
            let boot = boot(log.as_bytes());
            let auto = EncodingChoice::Auto;
            assert!(at_once(&boot, auto) == one_by_one(&boot, auto), "{length}");
        }
    }

    /// A search of it, for tests of what masks change.
    fn search_of(pattern: &str, is_word: bool) -> Search {
        let meaning = Meaning {
            case: if is_word {
                Case::Smart
            } else {
                Case::Sensitive
            },
            is_literal: false,
            is_word,
            is_line: false,
        };
        Search::new(
            Pattern::new(&[pattern], meaning).unwrap(),
            Around::default(),
        )
    }

    #[test]
    fn most_patterns_need_no_look_for_secrets() {
        let boot = boot(b"\x1bc\x1b[?7l\x1b[2J[    1.5] a\r\n[\x1b[0;32m  OK  \x1b[0m] b\xe2\x80\xa6 password=hunter22\r\r\n 1%\r 2%\n");
        let text = rendered(&boot);
        for pattern in [
            "Kernel panic",
            "error|fail|BUG:",
            "(?i)i/o +error",
            "^\\w+d\\d$",
            "Failed to start .*",
            "oops: [^x]+",
            ".*[.]service",
        ] {
            assert!(
                !search_of(pattern, false).may_match_masked(&text),
                "{pattern}"
            );
        }
        assert!(!search_of("oom", true).may_match_masked(&text), "a word");
        for pattern in ["hunter", "=<", "=.", "[^a]", "x*", "\\bh", "OK", "="] {
            assert!(
                search_of(pattern, false).may_match_masked(&text),
                "{pattern}"
            );
        }
        let around = Around {
            is_inverted: true,
            ..Around::default()
        };
        let inverted = Search::new(search_of("Kernel panic", false).pattern, around);
        assert!(inverted.may_match_masked(&text));
    }

    const TAILS: &[&[u8]] = &[
        b"",
        b"\xd5\xfd\xd4\xda\xc6\xf4\xb6\xaf Windows\r\nx\r\n",
        b"\xff",
    ];

    proptest::proptest! {
        /// Whatever a guest writes: what a search of the log itself leaves out, one of the masked log does not find.
        #[test]
        fn what_masks_cannot_bring_out_is_nowhere(
            pieces in proptest::collection::vec(proptest::sample::select(&[
                "password=", "hunter22", "ab", "token: ", "AKIAIOSFODNN7EXAMPLE", "b", "x", " ", "=", "<", "\n", "\r\n", "\r", "\t",
                "-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
                "\x1b[31m", "\x1b[5;9H", "\x1b[9G", "\x1b[2C", "\x1b[K", "\x1bc", "\x08", "\x1b]0;", "\x07", "\x1b[", "\0", "\u{e9}", "\u{301}", "\u{6b63}", "\x0c",
            ][..]), 0..24),
            pattern in proptest::sample::select(&[
                "ab", "b x", "hunter", "[a-h]+b", "=<", "=.", "a.*b", "x*b", "\\bab", "b$", "^ab", "\\s{2}x", "(?i)B", "\u{e9}", "A+b|K", "b\\B", "[^a]b", "b{2}",
            ][..]),
            is_word: bool,
            tail in proptest::sample::select(TAILS),
        ) {
            let log = [pieces.concat().as_bytes(), tail].concat();
            let masked = Boot::of_log(secrets::masked(&log, &secrets::find(&log)));
            let boot = Boot::of_log(log);
            let mut search = search_of(pattern, is_word);
            for (text, masked) in [(rendered(&boot), rendered(&masked)), (Text::raw(&boot.log), Text::raw(&masked.log))] {
                if !search.may_match_masked(&text) {
                    let mut found = Vec::new();
                    search.run(&masked, |told, _| { found.push(format!("{told:?}")); true });
                    proptest::prop_assert!(found.is_empty(), "{:?}", found);
                }
            }
        }

        /// Whatever a guest writes: if no line that is told may show a secret, the same is told of the masked log. And
        /// carriage returns that are kept change nothing.
        #[test]
        fn what_is_told_beside_masks_is_told_of_the_masked_log(
            pieces in proptest::collection::vec(proptest::sample::select(&[
                "password=", "hunter22", "ab", "token: ", "AKIAIOSFODNN7EXAMPLE", "b", "x", " ", "=", "\n", "\r\n", "\r\n", "\r\r\n", "\r", "\t",
                "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEG", "IN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
                "\x1b[31m", "\x1b[9G", "\x1b[K", "\x08", "\x1b]0;", "\x07", "\0", "\u{e9}",
            ][..]), 0..24),
            pattern in proptest::sample::select(&["ab", "b x", "hunter|x", "[a-h]+b", "^ab", "b$", "a.*b", "\\s", "(?i)B", "b{2}", "A"][..]),
            context in 0usize..2,
            tail in proptest::sample::select(TAILS),
        ) {
            let log = [pieces.concat().as_bytes(), tail].concat();
            let masked = Boot::of_log(secrets::masked(&log, &secrets::find(&log)));
            let boot = Boot::of_log(log);
            let around = Around { before: context, after: context, ..Around::default() };
            let mut search = Search::new(search_of(pattern, false).pattern, around);
            let mut run = |text: &Text<'_>| {
                let mut all = Vec::new();
                search.run(text, |told, _| { all.push(format!("{told:?}")); true });
                let told: Vec<_> = search.told(text).collect();
                (all, told, search.is_same_beside_masks(text))
            };
            let of_masked = run(&rendered(&masked)).0;
            let raw = (Text::raw(&boot.log), run(&Text::raw(&masked.log)).0);
            for (text, of_masked) in [(rendered(&boot), of_masked), raw] {
                let (all, told, is_same) = run(&text);
                if is_same && !secrets::may_be_on(&boot.log, told, text.odd()) {
                    proptest::prop_assert_eq!(all, of_masked);
                }
            }
            let all = run(&rendered(&boot)).0;
            let kept = Text::rendered_for(&search_of(pattern, false), &boot, EncodingChoice::Auto, Buffers::default());
            proptest::prop_assert_eq!(run(&kept).0, all);
        }

        /// Whatever a guest writes and wherever marks stand.
        #[test]
        fn lines_are_the_same_at_once_as_one_by_one(
            pieces in proptest::collection::vec(proptest::sample::select(&[
                "plain text\r\n", "[    1.000000] x\n", "\n", "\r\n", "\r", "\r\r\n", "a", "\t", "0123456789 0123456789 0123456789 01234567\r\n",
                "\x1b[31m", "\x1b[5;9H", "\x1b[K", "\x08", "\x1b]0;", "\x07", "\x1b[", "\0\0", "\u{e9}", "\u{301}", "\u{202e}", "\x0b", "\x0c",
            ][..]), 0..60),
            tail in proptest::sample::select(TAILS),
            places in proptest::collection::btree_set(0usize..400, 0..4),
        ) {
            let log = [pieces.concat().as_bytes(), tail].concat();
            let marks = places.into_iter().filter(|at| *at <= log.len())
                .map(|at| Mark { at, kind: MarkKind::Unsure { shared: 9 } }).collect();
            let boot = Boot { marks, ..Boot::of_log(log) };
            for encoding in [EncodingChoice::Auto, "gb18030".parse().unwrap()] {
                proptest::prop_assert_eq!(at_once(&boot, encoding), one_by_one(&boot, encoding));
            }
        }
    }
}
