//! A guest's bytes → lines that a person can read, whatever the guest wrote.
//!
//! This is not an emulator: those let a sequence that never ends, an erased screen or a carriage
//! return take a panic out of sight. Here every printable character of the guest ends in a line, or
//! in one of its [`Rewrite`]s. Memory is bounded by a line, and time is linear in the bytes.
//!
//! | A guest writes | It becomes |
//! |---|---|
//! | LF, CR LF, LF CR, VT, FF, NEL, IND, RI | the end of a line |
//! | CR, BS, cursor left, right or to a column, EL, ECH | a line written over: its last state, and its rewrites |
//! | cursor to another row | the end of a line, unless it is empty |
//! | SGR | a [`Style`], as far as the text stays legible |
//! | OSC, DCS, SOS, PM, APC with their ends | nothing |
//! | a sequence without its end, or that is not known | faint text |
//! | other controls, C1 as bytes or characters, ill-formed UTF-8, direction marks, tags, characters without a width | spelled out: `\x9b`, `\u{202e}` |
//! | [signs](is_sign) of what this program says between and beside lines | spelled out, so that no guest can write what it says |
//! | a run of NULs | `⟨4096 NUL⟩` |
//! | everything else: erased and alternate screens, scroll regions, repetition, character sets, queries | nothing |

mod cells;
mod line;
mod look;
mod note;
mod row;
mod sequence;
mod style;

use unicode_width::UnicodeWidthChar as _;

use crate::printable::is_active;
pub use line::{Line, Rewrite, Rewrites, Span};
use row::{MAX_CHARS, Row};
use sequence::Sequence;
use style::Parameters;
pub use style::{Attribute, Style, rgb};

/// Reads a console line by line.
pub fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines {
        bytes,
        at: 0,
        row: Row::default(),
        row_number: None,
        style: Style::default(),
        is_continued: false,
        faint_until: 0,
    }
}

/// A console as text for people, without colours; see [`Line::show`].
pub fn printable(bytes: &[u8]) -> String {
    let (mut lines, mut line) = (lines(bytes), Line::default());
    let mut shown = String::with_capacity(bytes.len());
    while lines.read(&mut line) {
        line.show(false, Rewrites::Counted, &mut shown);
    }
    shown
}

/// The lines of a console; see [`lines`].
#[derive(Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    row: Row,
    /// The cursor's row on the guest's screen, from 1 on, where the guest has named one.
    row_number: Option<u32>,
    style: Style,
    /// The next line goes on where the one before stopped.
    is_continued: bool,
    /// Text before this index belongs to a sequence that never ended.
    faint_until: usize,
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let mut line = Line::default();
        self.read(&mut line).then_some(line)
    }
}

impl Lines<'_> {
    /// How many bytes the lines that were read have taken.
    pub fn bytes_read(&self) -> usize {
        self.at
    }

    /// Reads the next line into one whose memory serves again; whether there was one.
    pub fn read(&mut self, line: &mut Line) -> bool {
        line.clear();
        self.read_plain(line).is_some() || self.read_row(line)
    }

    /// Takes the lines that are text alone, as many as stand here together, and appends them, each with a
    /// line feed, and the carriage return before it if that is kept. Returns how many. [`read`](Self::read) would give the
    /// same texts one by one.
    pub fn read_plain_lines(&mut self, keeps_returns: bool, text: &mut Vec<u8>) -> usize {
        if !self.is_at_line() {
            return 0;
        }
        // Looked at again and again, more would take time that is not linear where many lines are too long.
        const WINDOW: usize = 16 * MAX_CHARS;
        let rest = &self.bytes[self.at..];
        let plain = &rest[..plain_lines_length(&rest[..rest.len().min(WINDOW)])];
        let (mut taken, mut count) = (0, 0);
        text.reserve(plain.len());
        if keeps_returns && plain.len() < MAX_CHARS {
            // None of them can be too long. To copy them at once takes a fraction of the time.
            text.extend_from_slice(plain);
            (taken, count) = (plain.len(), memchr::memchr_iter(b'\n', plain).count());
        } else {
            for end in memchr::memchr_iter(b'\n', plain) {
                let line = &plain[taken..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.len() >= MAX_CHARS {
                    break;
                }
                text.extend_from_slice(line);
                text.push(b'\n');
                (taken, count) = (end + 1, count + 1);
            }
        }
        if count > 0 {
            self.at += taken;
            self.is_continued = false;
            self.row_number = self.row_below(u32::try_from(count).unwrap_or(u32::MAX));
        }
        count
    }

    /// Nothing is in the row yet, and its text begins in its first column.
    fn is_at_line(&self) -> bool {
        self.at >= self.faint_until && self.row.column() == 0 && !self.row.is_in_columns()
    }

    fn read_row(&mut self, line: &mut Line) -> bool {
        line.clear();
        let begin = (self.at, self.row.column(), self.row_number);
        let (style, faint_until) = (self.style, self.faint_until);
        while self.at < self.bytes.len() {
            if self.step(line) {
                return true;
            }
            if self.row.needs_columns() {
                let column;
                (self.at, column, self.row_number) = begin;
                (self.style, self.faint_until) = (style, faint_until);
                self.row.begin_in_columns(column);
            } else if self.row.is_full() {
                self.is_continued = self.row.is_at_end();
                self.row.take_line(self.is_continued, line);
                line.is_cut = true;
                return true;
            }
        }
        let is_left = std::mem::take(&mut self.is_continued) || !self.row.is_untouched();
        if is_left {
            self.row.take_line(false, line);
        }
        is_left
    }

    /// Nearly all lines are text with colours at the most: they need no row. `None` where one does,
    /// and at the end of the bytes.
    fn read_plain(&mut self, line: &mut Line) -> Option<()> {
        if !self.is_at_line() {
            return None;
        }
        let whole = &self.bytes[self.at..];
        if let [b'\n', ..] = whole {
            self.at += 1;
            self.next_row();
            return Some(());
        }
        let window = whole.len().min(MAX_CHARS);
        let (mut rest, mut style) = (&whole[..window], self.style);
        let behind = loop {
            let (plain, behind) = rest.split_at(plain_length(rest));
            if !plain.is_empty() {
                line.spans.of(style).push_str(str::from_utf8(plain).ok()?);
            }
            rest = match behind {
                [0x1b, ..] => {
                    let Sequence::Control { parameters, action } = sequence::read(behind) else {
                        return None;
                    };
                    if action != b'm' {
                        return None;
                    }
                    style = style.select(parameters);
                    &behind[parameters.len() + 3..]
                }
                [0x80..=0xff, ..] => {
                    let (text, mut behind) = (line.spans.of(style), behind);
                    while let [0x80..=0xff, ..] = behind {
                        let c = character(behind).filter(|c| takes_columns(*c))?;
                        text.push(c);
                        behind = &behind[c.len_utf8()..];
                    }
                    behind
                }
                _ => break behind,
            };
        };
        let returns = behind.iter().take_while(|byte| **byte == b'\r').count();
        let behind = match &behind[returns..] {
            [b'\n', behind @ ..] => behind,
            [] if window == whole.len() && !line.text().is_empty() => &[],
            _ => return None,
        };
        self.at += window - behind.len();
        self.style = style;
        self.next_row();
        Some(())
    }

    /// Takes characters of one kind, a control or a sequence; whether a line ended.
    fn step(&mut self, line: &mut Line) -> bool {
        let rest = &self.bytes[self.at..];
        match rest[0] {
            0x1b => return self.sequence(line),
            b' '..=b'~' => {
                let (style, mut length) = (self.style_here(), self.row.room());
                if self.at < self.faint_until {
                    length = length.min(self.faint_until - self.at);
                }
                length = printable_length(&rest[..length.min(rest.len())]);
                self.row.put_ascii(&rest[..length], style);
                self.at += length - 1;
            }
            byte @ 0x80.. => match character(rest) {
                Some(c) => {
                    if is_active(c) || is_sign(c) {
                        self.row.note(|text| note::push_active(c, text));
                    } else {
                        self.row.put(c, self.style_here());
                    }
                    self.at += c.len_utf8() - 1;
                }
                None => self.row.note(|text| text.push_str(note::byte(byte))),
            },
            b'\n' | 0x0b | 0x0c => {
                self.at += 1;
                return self.end_line(line);
            }
            b'\r' => self.row.go_to(0),
            0x08 => self.row.go_to(self.row.column().saturating_sub(1)),
            b'\t' => self.row.tab(self.style_here()),
            0 => {
                let count = rest.iter().take_while(|byte| **byte == 0).count();
                self.row.note(|text| note::push_nuls(count, text));
                self.at += count - 1;
            }
            0x07 | 0x0e | 0x0f => {} // The bell, and shifts between character sets.
            byte => self.row.note(|text| text.push_str(note::byte(byte))),
        }
        self.at += 1;
        false
    }

    fn style_here(&self) -> Style {
        if self.at < self.faint_until {
            self.style.with(Attribute::Faint, true)
        } else {
            self.style
        }
    }

    fn sequence(&mut self, line: &mut Line) -> bool {
        match sequence::read(&self.bytes[self.at..]) {
            Sequence::Control { parameters, action } => {
                self.at += parameters.len() + 3;
                self.control(parameters, action, line)
            }
            Sequence::Simple(action) => {
                self.at += 2;
                self.simple(action, line)
            }
            Sequence::Unseen(length) => {
                self.at += length;
                false
            }
            Sequence::Broken(length) => {
                self.faint_until = self.at + length;
                self.at += 1;
                false
            }
        }
    }

    fn simple(&mut self, action: u8, line: &mut Line) -> bool {
        match action {
            b'D' | b'E' => self.end_line(line),
            b'M' => self.move_to(self.row_above(1), self.row.column(), line),
            b'8' => self.move_to(None, 0, line), // To a place that was saved.
            b'c' => {
                self.style = Style::default();
                self.move_to(None, 0, line)
            }
            _ => false,
        }
    }

    fn control(&mut self, parameters: &[u8], action: u8, line: &mut Line) -> bool {
        let mut numbers = Parameters::new(parameters);
        let first = numbers.next().unwrap_or_default();
        let count = first.max(1);
        let (column, columns) = (self.row.column(), count as usize);
        match action {
            b'm' => self.style = self.style.select(parameters),
            b'K' => self.row.erase(first),
            b'X' => self.row.erase_chars(columns),
            b'C' | b'a' => self.row.go_to(column.saturating_add(columns)),
            b'D' => self.row.go_to(column.saturating_sub(columns)),
            b'G' | b'`' => self.row.go_to(columns - 1),
            b'H' | b'f' => {
                let column = numbers.next().unwrap_or_default().max(1) as usize - 1;
                return self.move_to(Some(count), column, line);
            }
            b'd' => return self.move_to(Some(count), column, line),
            b'A' => return self.move_to(self.row_above(count), column, line),
            b'F' => return self.move_to(self.row_above(count), 0, line),
            b'B' | b'e' => return self.move_to(self.row_below(count), column, line),
            b'E' => return self.move_to(self.row_below(count), 0, line),
            b'r' => return self.move_to(Some(1), 0, line), // Scroll regions send the cursor home.
            b'u' => return self.move_to(None, 0, line),
            _ => {}
        }
        false
    }

    fn row_above(&self, count: u32) -> Option<u32> {
        self.row_number.map(|row| row.saturating_sub(count).max(1))
    }

    fn row_below(&self, count: u32) -> Option<u32> {
        self.row_number.map(|row| row.saturating_add(count))
    }

    /// Moves the cursor. Where it leaves its row, or may leave it, the line is at its end; what the
    /// row it goes to shows already stands in a line before.
    fn move_to(&mut self, row_number: Option<u32>, column: usize, line: &mut Line) -> bool {
        let stays = row_number.is_some() && row_number == self.row_number;
        self.row_number = row_number;
        let is_left = !stays && (self.is_continued || !self.row.is_untouched());
        if is_left {
            self.row.take_line(false, line);
            self.is_continued = false;
        }
        self.row.go_to(column);
        is_left
    }

    fn end_line(&mut self, line: &mut Line) -> bool {
        self.next_row();
        self.row.take_line(false, line);
        true
    }

    fn next_row(&mut self) {
        self.is_continued = false;
        self.row_number = self.row_below(1);
    }
}

/// Whether a character marks what this program says, wherever lines of a guest are shown: what was written over, NULs,
/// gaps, findings. No line has it but for that.
pub fn is_sign(c: char) -> bool {
    matches!(c, '⟲' | '⟨' | '⟩')
}

/// Whether a character is text of its own: it neither acts nor goes over another.
fn takes_columns(c: char) -> bool {
    !is_active(c) && !is_sign(c) && c.width().is_some_and(|columns| columns > 0)
}

/// The character that `bytes` begin with, if they are UTF-8 and not ASCII.
#[inline]
fn character(bytes: &[u8]) -> Option<char> {
    let bits = |index: usize| match bytes.get(index) {
        Some(byte @ 0x80..0xc0) => Some(u32::from(byte & 0x3f)),
        _ => None,
    };
    // What could be shorter is ill-formed.
    let (code, least) = match *bytes.first()? {
        first @ 0xc2..0xe0 => (u32::from(first & 0x1f) << 6 | bits(1)?, 0x80),
        first @ 0xe0..0xf0 => (
            u32::from(first & 0xf) << 12 | bits(1)? << 6 | bits(2)?,
            0x800,
        ),
        first @ 0xf0..0xf5 => (
            u32::from(first & 0x7) << 18 | bits(1)? << 12 | bits(2)? << 6 | bits(3)?,
            0x1_0000,
        ),
        _ => return None,
    };
    char::from_u32(code).filter(|_| code >= least)
}

/// How many bytes from the first on are printable ASCII.
#[inline]
fn printable_length(bytes: &[u8]) -> usize {
    let printable = bytes
        .iter()
        .take_while(|byte| matches!(**byte, b' '..=b'~'));
    printable.count()
}

/// How many bytes from the first on are printable ASCII or tabs.
fn plain_length(bytes: &[u8]) -> usize {
    let is_plain = |byte: &u8| matches!(*byte, b' '..=b'~' | b'\t');
    let short = bytes
        .iter()
        .take(16)
        .take_while(|byte| is_plain(byte))
        .count();
    if short < 16 {
        return short;
    }
    // Without a branch a byte, compilers look at sixteen at once.
    let are_plain = |chunk: &&[u8]| chunk.iter().fold(true, |all, byte| all & is_plain(byte));
    let whole = bytes.chunks_exact(16).take_while(are_plain).count() * 16;
    let rest = bytes[whole..].iter().take_while(|byte| is_plain(byte));
    whole + rest.count()
}

/// How many bytes from the first on are whole lines of printable ASCII and tabs, with LF or CR LF behind each.
fn plain_lines_length(bytes: &[u8]) -> usize {
    // A carriage return is an end only before a line feed.
    let is_plain = |byte: u8, next: u8| {
        matches!(byte, b' '..=b'~' | b'\t' | b'\n') | ((byte == b'\r') & (next == b'\n'))
    };
    const CHUNK: usize = 64;
    let mut length = 0;
    // As in `plain_length`.
    while let Some(chunk) = bytes.get(length..length + CHUNK + 1) {
        let pairs = chunk[..CHUNK].iter().zip(&chunk[1..]);
        if !pairs.fold(true, |all, (byte, next)| all & is_plain(*byte, *next)) {
            break;
        }
        length += CHUNK;
    }
    let rest = &bytes[length..];
    let nexts = rest.iter().skip(1).chain(&[0]);
    let pairs = rest.iter().zip(nexts);
    length += pairs
        .take_while(|(byte, next)| is_plain(**byte, **next))
        .count();
    memchr::memrchr(b'\n', &bytes[..length]).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests;
