//! A line of a console → the pieces of text that were written on it.
//!
//! A piece is what was written from one place on: a carriage return or a moved cursor ends it, since what follows
//! is written elsewhere, or over it. Colours and other control characters are left out. Nothing else is, whatever
//! an unfinished sequence would hide on a terminal.

use std::borrow::Cow;

pub(super) const ESC: u8 = 0x1b;
/// Most bytes of a control sequence. Programs write a few.
const MAX_SEQUENCE: usize = 32;
/// Most bytes of a title or a link that a terminal is sent.
const MAX_STRING: usize = 256;

/// Calls `each` with the pieces of a line, from left to right.
pub fn pieces(line: &[u8], mut each: impl FnMut(&str)) {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    let line = &line[..end.map_or(0, |last| last + 1)];
    // Nearly all lines are, and to look at all bytes of one is faster than to stop at the first that is none.
    if line.iter().fold(true, |all, &byte| all & is_text(byte)) {
        return each(&text(line));
    }
    let (mut piece, mut rest) = (Vec::with_capacity(line.len()), line);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let ends = match byte {
            ESC => {
                let sequence = Sequence::at(rest);
                rest = &rest[sequence.length..];
                sequence.moves
            }
            b'\r' | 0x0b | 0x0c => true,
            byte if is_text(byte) => {
                piece.push(byte);
                false
            }
            _ => false,
        };
        if ends && !piece.is_empty() {
            each(&text(&piece));
            piece.clear();
        }
    }
    if !piece.is_empty() {
        each(&text(&piece));
    }
}

fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

fn text(piece: &[u8]) -> Cow<'_, str> {
    // Of what is well-formed, this takes a fraction of the time.
    match str::from_utf8(piece) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(piece),
    }
}

/// What stands behind an escape character (ECMA-48).
pub(super) struct Sequence {
    /// Its bytes, without the escape character.
    pub length: usize,
    /// Whether what follows is written elsewhere.
    pub moves: bool,
}

impl Sequence {
    pub fn at(rest: &[u8]) -> Self {
        let still = |length| Self {
            length,
            moves: false,
        };
        match rest {
            [b'[', parameters @ ..] => {
                let within = &parameters[..parameters.len().min(MAX_SEQUENCE)];
                let end = within
                    .iter()
                    .position(|byte| !matches!(byte, 0x20..=0x3f))
                    .unwrap_or(within.len());
                match parameters.get(end) {
                    Some(last @ 0x40..=0x7e) => Self {
                        length: end + 2,
                        moves: matches!(last, b'A'..=b'H' | b'd' | b'f'),
                    },
                    // It is not finished: what it would hide is text.
                    _ => still(1),
                }
            }
            [b']' | b'P' | b'X' | b'^' | b'_', string @ ..] => {
                let within = &string[..string.len().min(MAX_STRING)];
                match within.iter().position(|byte| matches!(*byte, 0x07 | ESC)) {
                    Some(end) if within[end] == 0x07 => still(end + 2),
                    Some(end) if within.get(end + 1) == Some(&b'\\') => still(end + 3),
                    _ => still(1),
                }
            }
            [b'(' | b')' | b'#' | b'%' | b' ', ..] => still(rest.len().min(2)),
            [0x30..=0x7e, ..] => still(1),
            _ => still(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8]) -> Vec<String> {
        let mut shown = Vec::new();
        pieces(line, |piece| shown.push(piece.to_owned()));
        shown
    }

    #[test]
    fn colours_are_left_out_and_what_is_written_elsewhere_is_apart() {
        assert_eq!(shown(b"plain\ttext\r\n"), ["plain\ttext"]);
        assert_eq!(
            shown(b"[\x1b[0;1;31mFAILED\x1b[0m] Failed to start"),
            ["[FAILED] Failed to start"]
        );
        assert_eq!(shown(b"panic\rall is well\r\n"), ["panic", "all is well"]);
        assert_eq!(
            shown(b"a\x1b[5;1Herror: no such device\x1b[K."),
            ["a", "error: no such device."]
        );
        assert_eq!(shown(b"\x1b]0;title\x07text\x1b(B"), ["text"]);
        assert_eq!(shown(b"a\x00b\x08c"), ["abc"]);
    }

    #[test]
    fn an_unfinished_sequence_hides_nothing() {
        for line in [
            &b"\x1b]0;Kernel panic"[..],
            b"\x1bPKernel panic",
            b"\x1b[\x01Kernel panic",
            b"\x1bKernel panic",
            b"\x1b",
            b"",
        ] {
            let shown = shown(line).concat();
            assert!(
                line.len() < 5 || shown.ends_with("ernel panic"),
                "{shown:?}"
            );
        }
    }

    const PARTS: &[&[u8]] = &[
        b"Kernel", b" panic", b"\x1b[", b"1;31", b"m", b"\x1b]", b"\x07", b"\r", b"\x1b", b"\x80",
        b"H",
    ];

    proptest::proptest! {
        /// Whatever a guest writes, no letter of it is lost outside sequences, and nothing panics.
        #[test]
        fn text_is_never_lost(parts in proptest::collection::vec(
            proptest::sample::select(PARTS), 0..12,
        )) {
            let line = [&parts.concat()[..], b"\rKernel panic - not syncing"].concat();
            let shown = shown(&line);
            proptest::prop_assert!(shown.iter().any(|piece| piece.ends_with("Kernel panic - not syncing")), "{shown:?}");
        }
    }
}
