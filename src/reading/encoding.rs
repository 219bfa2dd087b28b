//! What a console is written in. Most guests write UTF-8; Windows in China writes GBK.
//!
//! The bytes that are kept stay as they are: text is decoded for those who read it, line by line, so that
//! each line can still be found in the bytes.

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, GB18030, GBK, UTF_8};

/// An encoding as a person asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingChoice {
    /// UTF-8, unless most of what is not ASCII is no UTF-8 and looks Chinese, Japanese or Korean.
    Auto,
    /// This one.
    Named(&'static Encoding),
}

/// A text names no encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an encoding of consoles; expected auto, or a name of the Encoding Standard such as utf-8, \
     gb18030, big5, shift_jis, euc-kr or windows-1252"
)]
pub struct UnknownEncoding(String);

impl FromStr for EncodingChoice {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, UnknownEncoding> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        Encoding::for_label(text.as_bytes())
            .filter(|encoding| encoding.is_ascii_compatible())
            .map(|encoding| Self::Named(superset(encoding)))
            .ok_or_else(|| UnknownEncoding(text.to_owned()))
    }
}

/// GBK is decoded as GB18030, which has all of its characters and more.
fn superset(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == GBK { GB18030 } else { encoding }
}

impl EncodingChoice {
    /// The encoding of a console.
    pub fn of(self, console: &[u8]) -> &'static Encoding {
        match self {
            Self::Named(encoding) => encoding,
            Self::Auto => detect(console),
        }
    }
}

/// At least so much of what is not ASCII must be UTF-8, where it is taken for that: a ring cuts
/// characters, and a serial line drops bytes. One in this many bytes may be ill-formed.
const UTF8_ILL_FORMED: usize = 4;

fn detect(console: &[u8]) -> &'static Encoding {
    if str::from_utf8(console).is_ok() {
        return UTF_8;
    }
    let (mut ill_formed, mut others) = (0, 0);
    for chunk in console.utf8_chunks() {
        ill_formed += chunk.invalid().len();
        others += chunk
            .valid()
            .bytes()
            .filter(|byte| !byte.is_ascii())
            .count();
    }
    // Detectors take short UTF-8 for something else.
    if ill_formed * UTF8_ILL_FORMED <= ill_formed + others {
        return UTF_8;
    }
    // Lines of ASCII say nothing, and escape sequences in them mislead.
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    for line in console.split_inclusive(|byte| *byte == b'\n') {
        if !line.is_ascii() {
            detector.feed(line, false);
        }
    }
    detector.feed(b"", true);
    let guess = superset(detector.guess(None, Utf8Detection::Deny));
    // Noise of a line is always valid in an encoding of single bytes, and would become letters.
    if guess.is_single_byte() || !fits(guess, console) {
        return UTF_8;
    }
    guess
}

/// Whether nearly all of what is not ASCII is text in this encoding.
fn fits(encoding: &'static Encoding, console: &[u8]) -> bool {
    let (mut decoded, mut ill_formed) = (0, 0);
    decode_line(encoding, console, &mut Vec::new(), |is_text, bytes| {
        if is_text {
            decoded += bytes;
        } else {
            ill_formed += bytes;
        }
    });
    ill_formed * 50 <= decoded
}

/// A console in UTF-8, as far as it can be decoded. What cannot be decoded stays as it is.
#[derive(Debug)]
pub struct Decoded<'a> {
    text: Cow<'a, [u8]>,
    /// Where lines begin, in the text and in the console; both in order. Empty if nothing was decoded.
    lines: Vec<(usize, usize)>,
    /// Bytes of the console.
    length: usize,
}

impl<'a> Decoded<'a> {
    /// Decodes a console.
    pub fn new(encoding: &'static Encoding, console: &'a [u8]) -> Self {
        let length = console.len();
        if encoding == UTF_8 || console.is_ascii() {
            return Self {
                text: console.into(),
                lines: Vec::new(),
                length,
            };
        }
        let (mut text, mut lines, mut at) = (Vec::with_capacity(length), Vec::new(), 0);
        for line in console.split_inclusive(|byte| *byte == b'\n') {
            lines.push((text.len(), at));
            at += line.len();
            decode_line(encoding, line, &mut text, |_, _| {});
        }
        Self {
            text: text.into(),
            lines,
            length,
        }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where a part of the text stands in the console. Within a line that is decoded, it is as exact as
    /// the line.
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        self.origin_of(range.start, 0)..self.origin_of(range.end, 1)
    }

    /// `or_next`: within a decoded line, the end of it counts, not its beginning.
    fn origin_of(&self, at: usize, or_next: usize) -> usize {
        if self.lines.is_empty() {
            return at;
        }
        match self.lines.binary_search_by_key(&at, |(text, _)| *text) {
            Ok(index) => self.lines[index].1,
            Err(behind) => match self.lines.get(behind + or_next - 1) {
                Some((_, console)) => *console,
                None => self.length,
            },
        }
    }
}

/// Appends a line. `tell` gets how many bytes that are not ASCII were text, and how many were not.
fn decode_line(
    encoding: &'static Encoding,
    line: &[u8],
    text: &mut Vec<u8>,
    mut tell: impl FnMut(bool, usize),
) {
    if line.is_ascii() {
        text.extend_from_slice(line);
        return;
    }
    let (mut rest, mut decoder) = (line, encoding.new_decoder_without_bom_handling());
    loop {
        // No encoding makes more than three bytes of one.
        let begin = text.len();
        text.resize(begin + rest.len() * 3 + 16, 0);
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(rest, &mut text[begin..], true);
        text.truncate(begin + written);
        let others = |bytes: &[u8]| bytes.iter().filter(|byte| !byte.is_ascii()).count();
        match result {
            DecoderResult::Malformed(length, behind) => {
                // `length` bytes are ill-formed, and end `behind` bytes before what was read.
                let end = read - usize::from(behind);
                let ill_formed = &rest[end.saturating_sub(usize::from(length))..end];
                tell(true, others(&rest[..end]) - others(ill_formed));
                tell(false, others(ill_formed));
                text.extend_from_slice(ill_formed);
                rest = &rest[end..];
                decoder = encoding.new_decoder_without_bom_handling();
            }
            _ => {
                tell(true, others(&rest[..read]));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(text: &str) -> EncodingChoice {
        text.parse().unwrap()
    }

    fn decoded(encoding: &str, console: &[u8]) -> String {
        let encoding = choice(encoding).of(console);
        let decoded = Decoded::new(encoding, console);
        String::from_utf8_lossy(decoded.text()).into_owned()
    }

    const STARTING: &[u8] =
        b"\xd5\xfd\xd4\xda\xc6\xf4\xb6\xaf Windows\r\n\xc7\xeb\xc9\xd4\xba\xf2\r\nSAC>";

    #[test]
    fn chinese_of_windows_is_found_and_read() {
        assert_eq!(
            decoded("auto", STARTING),
            "正在启动 Windows\r\n请稍候\r\nSAC>"
        );
        assert_eq!(choice("auto").of(STARTING), GB18030);
        for name in ["gbk", "GB2312", "gb18030"] {
            assert_eq!(
                decoded(name, STARTING),
                "正在启动 Windows\r\n请稍候\r\nSAC>"
            );
        }
    }

    #[test]
    fn utf8_stays_utf8_also_if_a_ring_has_cut_it() {
        for console in [
            &b"plain\r\n"[..],
            "caf\u{e9} 正在启动\r\n".as_bytes(),
            &"正在启动".as_bytes()[1..],
            &"正在启动\r\n".repeat(9).as_bytes()[2..],
            b"noise \x80\xff\x9b0m\xfe\r\n",
            b"\x9b",
        ] {
            assert_eq!(
                choice("auto").of(console),
                UTF_8,
                "{}",
                console.escape_ascii()
            );
        }
    }

    #[test]
    fn what_cannot_be_decoded_stays() {
        let console = b"\xd5\xfd\xff\x1b[31m\xd4\x1b[0m\xd4\xda\n\xd5";
        let text = Decoded::new(GB18030, console);
        assert_eq!(
            text.text(),
            b"\xe6\xad\xa3\xff\x1b[31m\xd4\x1b[0m\xe5\x9c\xa8\n\xd5",
            "{}",
            text.text().escape_ascii()
        );
    }

    #[test]
    fn lines_are_found_in_the_console() {
        let text = Decoded::new(GB18030, STARTING);
        let starts: Vec<_> = memchr::memchr_iter(b'\n', text.text())
            .map(|at| at + 1)
            .collect();
        assert_eq!(text.origin(0..starts[0]), 0..18);
        assert_eq!(text.origin(starts[0]..starts[1]), 18..26);
        assert_eq!(text.origin(starts[1]..text.text().len()), 26..30);
        assert_eq!(text.origin(starts[0] + 3..starts[0] + 6), 18..26);
        let plain = Decoded::new(UTF_8, STARTING);
        assert_eq!(plain.origin(3..5), 3..5);
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "utf8x", "utf-16", "replacement", "iso-2022-jp"] {
            assert!(name.parse::<EncodingChoice>().is_err(), "{name}");
        }
    }

    proptest::proptest! {
        /// Line ends and escape sequences stay where they are, whatever stands around them.
        #[test]
        fn no_control_character_is_lost_or_made(console in proptest::collection::vec(0u8.., 0..200)) {
            for encoding in ["auto", "gb18030", "big5", "shift_jis", "euc-kr", "windows-1252"] {
                let encoding = choice(encoding).of(&console);
                let text = Decoded::new(encoding, &console);
                let controls = |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte < 0x20).collect::<Vec<_>>();
                proptest::prop_assert_eq!(controls(text.text()), controls(&console));
                proptest::prop_assert_eq!(text.origin(0..text.text().len()), 0..console.len());
            }
        }
    }
}
