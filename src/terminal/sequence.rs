//! Where an escape sequence ends. Only sequences that terminals know are taken off the text: the
//! bytes after an `ESC` that begins nothing known are a guest's words.

use std::ops::RangeInclusive;

/// Most bytes of a control string, or of a control sequence's parameters. Titles, links and colours
/// are shorter; what is longer is taken for text, so that nothing hides behind it.
const MAX_BYTES: usize = 256;

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;

/// What begins at an `ESC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence<'a> {
    /// `ESC [`, parameters of digits, `;` and `:`, and a final byte.
    Control { parameters: &'a [u8], action: u8 },
    /// `ESC` and one byte.
    Simple(u8),
    /// A sequence of this many bytes that shows nothing: a title, a link, a character set, a mode,
    /// a query, and what one terminal has of its own.
    Unseen(usize),
    /// It never ends, or no terminal knows it: of this many bytes all but the `ESC` are text.
    Broken(usize),
}

/// Reads the sequence that `bytes` begin with; their first is an `ESC`.
///
/// Source: ECMA-48, 5.3 to 5.6; xterm's `ctlseqs`; Linux's `console_codes(4)`.
pub(super) fn read(bytes: &[u8]) -> Sequence<'_> {
    let third = bytes.get(2).copied().unwrap_or_default();
    match bytes.get(1).copied().unwrap_or_default() {
        b'[' => control(&bytes[2..]),
        // Linux's palette: an operating system command that has no end.
        b']' if third == b'P' && is_palette(&bytes[3..]) => Sequence::Unseen(10),
        introducer @ (b']' | b'P' | b'X' | b'^' | b'_') => string(introducer, &bytes[2..]),
        b'#' if matches!(third, b'3'..=b'6' | b'8') => Sequence::Unseen(3),
        b'%' if matches!(third, b'@' | b'G' | b'8') => Sequence::Unseen(3),
        b' ' if matches!(third, b'F' | b'G' | b'L'..=b'N') => Sequence::Unseen(3),
        b'(' | b')' | b'*' | b'+' | b'-' | b'.' | b'/' if matches!(third, b'0'..=b'9' | b'A' | b'B' | b'<'..=b'>') => {
            Sequence::Unseen(3)
        }
        simple @ (b'6'..=b'9'
        | b'='
        | b'>'
        | b'c'
        | b'D'
        | b'E'
        | b'H'
        | b'M'
        | b'N'
        | b'O'
        | b'Z'
        | b'\\'
        | b'n'
        | b'o'
        | b'|'
        | b'}'
        | b'~') => Sequence::Simple(simple),
        b' '..=b'~' => Sequence::Broken(2),
        _ => Sequence::Broken(1),
    }
}

fn is_palette(body: &[u8]) -> bool {
    let digits = body.first_chunk::<7>();
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

fn control(body: &[u8]) -> Sequence<'_> {
    let body = &body[..body.len().min(MAX_BYTES)];
    let parameters = length(body, b'0'..=b';');
    match body.get(parameters) {
        // `ESC [ [` is a function key of Linux, or a kernel's time after a cut sequence.
        Some(action @ (b'@'..=b'Z' | b'\\'..=b'~')) => Sequence::Control {
            parameters: &body[..parameters],
            action: *action,
        },
        _ => unseen_control(body),
    }
}

fn unseen_control(body: &[u8]) -> Sequence<'_> {
    let parameters = length(body, b'0'..=b'?');
    let end = parameters + length(&body[parameters..], b' '..=b'/');
    match (&body[parameters..end], body.get(end)) {
        ([], Some(b'@'..=b'Z' | b'\\'..=b'~'))
        | ([b' '], Some(b'q' | b'@' | b'A' | b't' | b'u'))
        | ([b'!'..=b'/'], Some(b'@'..=b'~')) => Sequence::Unseen(end + 3),
        _ => Sequence::Broken(end + 2),
    }
}

/// How many bytes from the first on are among these.
#[inline]
fn length(bytes: &[u8], among: RangeInclusive<u8>) -> usize {
    bytes.iter().take_while(|byte| among.contains(byte)).count()
}

/// A string ends at what ends it, and at all that shows that its end is missing.
fn string(introducer: u8, body: &[u8]) -> Sequence<'_> {
    let window = &body[..body.len().min(MAX_BYTES)];
    let ends = |b: &u8| matches!(*b, BEL | CAN | SUB | ESC | b'\r' | b'\n');
    match window.iter().position(ends) {
        // xterm ends a command of the operating system so, and no other string.
        Some(end) if window[end] == BEL && introducer == b']' => Sequence::Unseen(end + 3),
        Some(end) if matches!(body[end..], [ESC, b'\\', ..]) => Sequence::Unseen(end + 4),
        Some(end) => Sequence::Broken(end + 2),
        None => Sequence::Broken(window.len() + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Sequence<'_>) {
        assert_eq!(read(bytes), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn what_terminals_know_is_taken_off() {
        let (parameters, action) = (&b"0;32"[..], b'm');
        check(b"\x1b[0;32mOK", Sequence::Control { parameters, action });
        check(b"\x1b[?1049h", Sequence::Unseen(8));
        check(b"\x1b[1?h", Sequence::Unseen(5));
        check(b"\x1b[2 q", Sequence::Unseen(5));
        check(b"\x1b[!p", Sequence::Unseen(4));
        for action in *b"~@^_\\`|" {
            let parameters = &b"1"[..];
            check(
                &[0x1b, b'[', b'1', action],
                Sequence::Control { parameters, action },
            );
        }
        check(b"\x1bc", Sequence::Simple(b'c'));
        check(b"\x1b(0lqk", Sequence::Unseen(3));
        check(b"\x1b#8", Sequence::Unseen(3));
        check(b"\x1b]0;title\x07text", Sequence::Unseen(10));
        check(b"\x1b]8;;javascript:a\x1b\\text", Sequence::Unseen(19));
        check(b"\x1bPq#0\x1b\\", Sequence::Unseen(7));
        check(b"\x1b]P0ea1234text", Sequence::Unseen(10));
    }

    #[test]
    fn what_never_ends_is_text() {
        for introducer in *b"]PX^_" {
            for end in ["\r\n", "\n", "\x1b[0m", "\x18", "\x1a", ""] {
                let text = format!("\x1b{}half{end}", char::from(introducer));
                check(text.as_bytes(), Sequence::Broken(6));
            }
            let endless = [&[0x1b, introducer][..], &[b'a'; 1000]].concat();
            check(&endless, Sequence::Broken(258));
        }
        check(b"\x1bPhalf\x07", Sequence::Broken(6));
        check(b"\x1b[12;\r\n", Sequence::Broken(5));
        check(b"\x1b[[   99.000001]", Sequence::Broken(2));
        check(b"\x1b[ Kernel", Sequence::Broken(3));
        check("\x1b\u{2026}POSIX".as_bytes(), Sequence::Broken(1));
        check(b"\x1bKernel", Sequence::Broken(2));
        check(b"\x1b(Kernel", Sequence::Broken(2));
        check(b"\x1b", Sequence::Broken(1));
        check(b"\x1b[", Sequence::Broken(2));
        check(b"\x1b\x1b[0m", Sequence::Broken(1));
        let many = [&b"\x1b["[..], "1;".repeat(20_000).as_bytes(), b"m"].concat();
        check(&many, Sequence::Broken(258));
    }
}
