//! A boot's log as a person reads it: line by line, with what is missing between them.

use std::iter::Peekable;
use std::ops::Range;

use encoding_rs::Encoding;

use super::encoding::{Decoded, EncodingChoice};
use super::stamp::Stamp;
use super::stitch::{Boot, Mark, MarkKind};
use crate::terminal::{self, Line};

/// A boot's log, decoded, in the parts between its gaps.
#[derive(Debug)]
pub struct Log<'a> {
    /// What it is written in.
    pub encoding: &'static Encoding,
    segments: Vec<Segment<'a>>,
    /// What is unsure, in order. No line ends there: the captures are joined.
    unsure: Vec<Mark>,
}

/// What stands between two gaps.
#[derive(Debug)]
struct Segment<'a> {
    /// The gap before it.
    mark: Option<Mark>,
    /// Where it begins and ends in the log.
    begin: usize,
    end: usize,
    text: Decoded<'a>,
}

/// What comes next in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Something is missing or unsure here.
    Mark(Mark),
    /// A line.
    Line(Place),
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its number in the log, from 1 on; a line that is too long to be held comes in parts, which have one number.
    /// Captures that come later change no number.
    pub number: usize,
    /// Its bytes in the boot's log, with its end.
    pub bytes: Range<usize>,
    /// The kernel's stamp at its beginning.
    pub stamp: Option<LineStamp>,
    /// Whether its end has come. Only the last line of a log may have none.
    pub is_ended: bool,
}

impl Place {
    /// Before this byte, what is unsure is said before the line. One that goes on may be joined at its end.
    fn end_with_joins(&self) -> usize {
        self.bytes.end + usize::from(!self.is_ended)
    }
}

/// The stamp that a line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineStamp {
    /// What it says.
    pub stamp: Stamp,
    /// How many bytes of the line's text it takes, with the space behind it.
    pub length: usize,
}

impl LineStamp {
    /// Reads it from a line's text. A level such as `<3>` may stand before it.
    pub fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let level = match bytes {
            [b'<', b'0'..=b'7', b'>', ..] => 3,
            _ => 0,
        };
        let (stamp, length) = Stamp::parse(&bytes[level..])?;
        let space = usize::from(bytes.get(level + length) == Some(&b' '));
        Some(Self {
            stamp,
            length: level + length + space,
        })
    }
}

impl<'a> Log<'a> {
    /// Decodes a boot's log.
    pub fn new(boot: &'a Boot, encoding: EncodingChoice) -> Self {
        let encoding = encoding.of(&boot.log);
        let is_unsure = |mark: &Mark| {
            matches!(
                mark.kind,
                MarkKind::Unsure { .. } | MarkKind::Repeats { .. }
            )
        };
        let (unsure, gaps): (Vec<_>, Vec<_>) = boot.marks.iter().copied().partition(is_unsure);
        let mut marks: Vec<_> = gaps.into_iter().map(Some).collect();
        if marks
            .first()
            .is_none_or(|mark| mark.is_some_and(|mark| mark.at > 0))
        {
            marks.insert(0, None);
        }
        let begin = |mark: Option<Mark>| mark.map_or(0, |mark| mark.at);
        let ends = marks.iter().skip(1).map(|mark| begin(*mark));
        let ends = ends.chain([boot.log.len()]);
        let segments = marks.iter().zip(ends).map(|(mark, end)| Segment {
            mark: *mark,
            begin: begin(*mark),
            end,
            text: Decoded::new(encoding, &boot.log[begin(*mark)..end]),
        });
        Self {
            encoding,
            segments: segments.collect(),
            unsure,
        }
    }

    /// Reads it from its beginning.
    pub fn parts(&self) -> Parts<'_> {
        let mut segments = self.segments.iter().peekable();
        Parts {
            mark: segments.peek().and_then(|segment| segment.mark),
            lines: segments
                .peek()
                .map(|segment| terminal::lines(segment.text.text())),
            segments,
            unsure: &self.unsure,
            held: None,
            held_line: Line::default(),
            count: 0,
            is_continued: false,
        }
    }
}

/// The parts of a log; see [`Log::parts`].
#[derive(Debug)]
pub struct Parts<'l> {
    /// From the one that is being read on.
    segments: Peekable<std::slice::Iter<'l, Segment<'l>>>,
    mark: Option<Mark>,
    lines: Option<terminal::Lines<'l>>,
    /// What is unsure, and was not read yet.
    unsure: &'l [Mark],
    /// A line before which something unsure is read.
    held: Option<Place>,
    held_line: Line,
    count: usize,
    /// The next line is a part of the one before.
    is_continued: bool,
}

/// Lines of text alone, each with its end, which is LF or CR LF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainLines {
    /// The number of the first.
    pub number: usize,
    /// Where it begins in the boot's log.
    pub begin: usize,
    /// How many they are.
    pub count: usize,
}

impl Parts<'_> {
    /// Reads the lines that are text alone, as many as stand here together, and appends them to `text`, each with
    /// a line feed, and the carriage return before it if that is kept. What is unsure among them is passed over. `None` if
    /// something else comes next.
    pub fn read_plain_lines(
        &mut self,
        keeps_returns: bool,
        text: &mut Vec<u8>,
    ) -> Option<PlainLines> {
        if self.mark.is_some() || self.held.is_some() || self.is_continued {
            return None;
        }
        let (segment, lines) = (*self.segments.peek()?, self.lines.as_mut()?);
        let at = lines.bytes_read();
        let count = lines.read_plain_lines(keeps_returns, text);
        if count == 0 {
            return None;
        }
        let number = self.count + 1;
        self.count += count;
        let begin = segment.begin + segment.text.origin(at..at).start;
        if !self.unsure.is_empty() {
            let at = lines.bytes_read();
            let end = segment.begin + segment.text.origin(at..at).start;
            let passed = self.unsure.partition_point(|mark| mark.at < end);
            self.unsure = &self.unsure[passed..];
        }
        Some(PlainLines {
            number,
            begin,
            count,
        })
    }

    /// What is unsure before this byte.
    fn unsure_before(&mut self, end: usize) -> Option<Part> {
        let (first, rest) = self.unsure.split_first()?;
        (first.at < end).then(|| {
            self.unsure = rest;
            Part::Mark(*first)
        })
    }

    /// Reads the next part. A line goes into `line`, whose memory serves again.
    pub fn read(&mut self, line: &mut Line) -> Option<Part> {
        loop {
            if let Some(held) = &self.held {
                let end = held.end_with_joins();
                if let Some(unsure) = self.unsure_before(end) {
                    return Some(unsure);
                }
                std::mem::swap(line, &mut self.held_line);
                return self.held.take().map(Part::Line);
            }
            if let Some(mark) = self.mark.take() {
                return Some(Part::Mark(mark));
            }
            let (segment, lines) = (*self.segments.peek()?, self.lines.as_mut()?);
            let begin = lines.bytes_read();
            if lines.read(line) {
                self.count += usize::from(!self.is_continued);
                self.is_continued = line.is_cut;
                let range = begin..lines.bytes_read();
                let is_last = range.end == segment.text.text().len();
                let is_ended =
                    !is_last || matches!(segment.text.text().last(), Some(b'\n' | 0x0b | 0x0c));
                let bytes = segment.text.origin(range);
                let place = Place {
                    number: self.count,
                    bytes: segment.begin + bytes.start..segment.begin + bytes.end,
                    stamp: LineStamp::of(line.text()),
                    is_ended,
                };
                let end = place.end_with_joins();
                if self.unsure.first().is_none_or(|mark| mark.at >= end) {
                    return Some(Part::Line(place));
                }
                std::mem::swap(line, &mut self.held_line);
                self.held = Some(place);
                continue;
            }
            let end = segment.end;
            if let Some(unsure) = self.unsure_before(end + 1) {
                return Some(unsure);
            }
            self.segments.next();
            self.is_continued = false;
            let next = self.segments.peek();
            self.mark = next.and_then(|segment| segment.mark);
            self.lines = next.map(|segment| terminal::lines(segment.text.text()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::stitch::MarkKind;

    fn boot(log: &[u8], marks: &[(usize, MarkKind)]) -> Boot {
        Boot {
            marks: marks
                .iter()
                .map(|(at, kind)| Mark {
                    at: *at,
                    kind: *kind,
                })
                .collect(),
            ..Boot::of_log(log.to_vec())
        }
    }

    /// Lines as `number@begin..end text`, marks as their kinds.
    fn shown(boot: &Boot) -> Vec<String> {
        let log = Log::new(boot, EncodingChoice::Auto);
        let (mut parts, mut line, mut shown) = (log.parts(), Line::default(), Vec::new());
        while let Some(part) = parts.read(&mut line) {
            shown.push(match part {
                Part::Mark(mark) => format!("{:?}", mark.kind),
                Part::Line(Place {
                    number,
                    bytes,
                    stamp,
                    is_ended,
                }) => format!(
                    "{number}@{}..{}{}{} {}",
                    bytes.start,
                    bytes.end,
                    stamp
                        .map(|stamp| format!(" {}", stamp.stamp.micros))
                        .unwrap_or_default(),
                    if is_ended { "" } else { " open" },
                    line.text()
                ),
            });
        }
        shown
    }

    #[test]
    fn lines_are_numbered_across_marks_and_say_where_they_stand() {
        let log = b"\x1b[32mok\x1b[0m\r\n[    1.500000] a\nt of it\nlogin: ";
        let gap = MarkKind::Gap { cut: 8 };
        let shown = shown(&boot(log, &[(30, gap), (45, MarkKind::EndUnknown)]));
        assert_eq!(
            shown,
            [
                "1@0..13 ok",
                "2@13..30 1500000 [    1.500000] a",
                "Gap { cut: 8 }",
                "3@30..38 t of it",
                "4@38..45 open login: ",
                "EndUnknown",
            ]
        );
    }

    #[test]
    fn what_is_unsure_ends_no_line() {
        let log = b"[    1.500000] Kernel panic - not syncing\nb\nlogin: ";
        let unsure = MarkKind::Unsure { shared: 33 };
        let marks = [(22, unsure), (42, unsure), (log.len(), unsure)];
        let shown = shown(&boot(log, &marks));
        assert_eq!(
            shown,
            [
                "Unsure { shared: 33 }",
                "1@0..42 1500000 [    1.500000] Kernel panic - not syncing",
                "Unsure { shared: 33 }",
                "2@42..44 b",
                "Unsure { shared: 33 }",
                "3@44..51 open login: ",
            ]
        );
    }

    #[test]
    fn the_parts_of_a_long_line_have_one_number() {
        let log = format!("a\n{}\nb\n", "x".repeat(200_000));
        let log = boot(log.as_bytes(), &[]);
        let log = Log::new(&log, EncodingChoice::Auto);
        let (mut parts, mut line, mut numbers) = (log.parts(), Line::default(), Vec::new());
        while let Some(Part::Line(place)) = parts.read(&mut line) {
            numbers.push((place.number, line.continues));
        }
        let parts = [(2, true), (2, true), (2, true), (2, false)];
        assert_eq!(numbers, [&[(1, false)][..], &parts, &[(3, false)]].concat());
    }

    #[test]
    fn a_progress_bar_that_is_too_long_to_be_held_has_one_number() {
        let bar: String = (0..9_000)
            .map(|step| format!("\r {step} of 9000 {}", "#".repeat(60)))
            .collect();
        let log = boot(format!("a{bar}\r\nb\n").as_bytes(), &[]);
        let log = Log::new(&log, EncodingChoice::Auto);
        let (mut parts, mut line, mut last) = (log.parts(), Line::default(), None);
        while let Some(Part::Line(place)) = parts.read(&mut line) {
            last = Some((place.number, line.text().to_owned()));
        }
        assert_eq!(last, Some((2, "b".to_owned())));
    }

    #[test]
    fn a_log_that_begins_with_a_gap_begins_with_its_mark() {
        let shown_first = shown(&boot(b"x\n", &[(0, MarkKind::Gap { cut: 2 })]));
        assert_eq!(shown_first, ["Gap { cut: 2 }", "1@0..2 x"]);
        assert!(shown(&boot(b"", &[])).is_empty());
    }

    #[test]
    fn chinese_is_read_and_stands_where_it_stood() {
        let shown = shown(&boot(
            b"a\r\n\xd5\xfd\xd4\xda\xc6\xf4\xb6\xaf\r\n\xc7\xeb\xc9\xd4\xba\xf2",
            &[],
        ));
        assert_eq!(
            shown,
            ["1@0..3 a", "2@3..13 正在启动", "3@13..19 open 请稍候"]
        );
    }

    #[test]
    fn a_stamp_is_read_behind_a_level_and_not_within_a_line() {
        let stamp = |text| LineStamp::of(text).map(|found| (found.stamp.micros, found.length));
        assert_eq!(stamp("[    1.500000] a"), Some((1_500_000, 15)));
        assert_eq!(stamp("<3>[    1.500000] a"), Some((1_500_000, 18)));
        assert_eq!(stamp("[    1.500000]"), Some((1_500_000, 14)));
        assert_eq!(stamp("a [    1.500000]"), None);
    }

    proptest::proptest! {
        /// Whatever a guest writes and wherever marks stand, each byte is in one line, in order.
        #[test]
        fn lines_take_all_bytes_in_order(
            log in proptest::collection::vec(proptest::sample::select(&b"ab[ \x1b\r\n\n\x08\xd5\xfd\xe4m3;H"[..]), 0..120),
            places in proptest::collection::btree_set(0usize..120, 0..4),
        ) {
            let kind = |at| if at % 2 == 0 { MarkKind::Unsure { shared: 9 } } else { MarkKind::Gap { cut: 0 } };
            let marks: Vec<_> = places.into_iter().filter(|at| *at <= log.len()).map(|at| (at, kind(at))).collect();
            let boot = boot(&log, &marks);
            for encoding in [EncodingChoice::Auto, "gb18030".parse().unwrap()] {
                let log = Log::new(&boot, encoding);
                let (mut parts, mut line) = (log.parts(), Line::default());
                let (mut end, mut number, mut seen) = (0, 0, 0);
                while let Some(part) = parts.read(&mut line) {
                    match part {
                        Part::Mark(mark) => {
                            seen += 1;
                            proptest::prop_assert!(mark.at >= end);
                            // A sequence behind the last line before a gap belongs to no line.
                            if matches!(mark.kind, MarkKind::Gap { .. }) || mark.at == boot.log.len() { end = mark.at; }
                        }
                        Part::Line(place) => {
                            number += 1;
                            proptest::prop_assert_eq!(place.number, number);
                            proptest::prop_assert!(place.bytes.start <= end, "no byte is left out");
                            proptest::prop_assert!(place.bytes.end >= end && place.bytes.end <= boot.log.len());
                            end = place.bytes.end;
                        }
                    }
                }
                proptest::prop_assert_eq!(seen, boot.marks.len());
            }
        }
    }
}
