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
//! | a run of NULs | `⟨4096 NUL⟩` |
//! | everything else: erased and alternate screens, scroll regions, repetition, character sets, queries | nothing |

mod row;
mod sequence;
mod style;

use unicode_width::UnicodeWidthChar as _;

use crate::printable::is_active;
use row::{MAX_CHARS, Note, Row, Spans};
use sequence::Sequence;
pub use style::Style;

/// A line of a console, as it was when its end came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Its text, from left to right.
    pub spans: Vec<Span>,
    /// What was written on it and is no longer there, in the order in which it was written.
    pub rewrites: Vec<Rewrite>,
    /// It was too long to be held: the next line goes on where this one stops.
    pub continues: bool,
}

/// A piece of text in one style. It has no control characters but tabs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What to show.
    pub text: String,
    /// How.
    pub style: Style,
}

/// Text that was written over or erased, at least in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The whole of it. It has no control characters but tabs.
    pub text: String,
    /// What came in its place looks alike: another state of a progress bar, a spinner, a prompt.
    pub is_progress: bool,
}

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
    let mut shown = String::new();
    lines(bytes).for_each(|line| line.show(false, &mut shown));
    shown
}

impl Line {
    /// Its text alone.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }

    /// Appends it as a terminal shows it, in colours or without.
    ///
    /// Text that was written over stands on lines of its own before, marked `⟲`. The states of a
    /// progress bar are counted behind the last one. Colours end with the line.
    pub fn show(&self, colours: bool, shown: &mut String) {
        let mut styled = |style: Style, text: &str| {
            let sgr = if colours { style.sgr() } else { String::new() };
            shown.push_str(&sgr);
            shown.push_str(text);
            shown.push_str(if sgr.is_empty() { "" } else { "\x1b[0m" });
        };
        for rewrite in self.rewrites.iter().filter(|rewrite| !rewrite.is_progress) {
            styled(Style::FAINT, &format!("⟲ {}", rewrite.text));
            styled(Style::default(), "\n");
        }
        let count = self
            .rewrites
            .iter()
            .filter(|rewrite| rewrite.is_progress)
            .count();
        if count > 0 && self.continues {
            styled(Style::FAINT, &counted(count));
            styled(Style::default(), "\n");
        }
        for span in &self.spans {
            styled(span.style, &span.text);
        }
        if count > 0 && !self.continues {
            styled(Style::FAINT, &format!(" {}", counted(count)));
        }
        if !self.continues {
            styled(Style::default(), "\n");
        }
    }
}

fn counted(rewrites: usize) -> String {
    let plural = if rewrites == 1 { "" } else { "s" };
    format!("⟲ {rewrites} rewrite{plural}")
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
        if let Some(line) = self.plain_line() {
            return Some(line);
        }
        while self.at < self.bytes.len() {
            let line = self.step();
            if line.is_some() {
                return line;
            }
            if self.row.is_full() {
                self.is_continued = self.row.is_at_end();
                return Some(self.row.take_line(self.is_continued));
            }
        }
        let is_left = std::mem::take(&mut self.is_continued) || !self.row.is_untouched();
        is_left.then(|| self.row.take_line(false))
    }
}

impl Lines<'_> {
    /// Nearly all lines are text with colours at the most: they need no row.
    fn plain_line(&mut self) -> Option<Line> {
        if self.at < self.faint_until || !self.row.is_untouched() || self.row.column() > 0 {
            return None;
        }
        let mut rest = &self.bytes[self.at..];
        rest = &rest[..rest.len().min(MAX_CHARS)];
        let (mut spans, mut style, mut length) = (Spans::default(), self.style, 0);
        loop {
            let is_plain = |b: &u8| matches!(*b, b' '..=b'~' | b'\t');
            let plain = rest.iter().position(|b| !is_plain(b))?;
            if plain > 0 {
                spans
                    .of(style)
                    .push_str(str::from_utf8(&rest[..plain]).ok()?);
            }
            rest = &rest[plain..];
            if rest[0] >= 0x80 {
                let c = character(rest).filter(|c| takes_columns(*c))?;
                spans.of(style).push(c);
                length += plain + c.len_utf8();
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let taken = match rest {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                [0x1b, ..] => match sequence::read(rest) {
                    Sequence::Control {
                        parameters,
                        action: b'm',
                    } if is_public(parameters) => {
                        style.select(parameters);
                        parameters.len() + 3
                    }
                    _ => return None,
                },
                _ => return None,
            };
            length += plain + taken;
            if rest[0] != 0x1b {
                break;
            }
            rest = &rest[taken..];
        }
        self.at += length;
        self.style = style;
        self.next_row();
        Some(Line {
            spans: spans.0,
            ..Line::default()
        })
    }

    /// Takes one character, control or sequence; the line that it ends.
    fn step(&mut self) -> Option<Line> {
        let (rest, style) = (&self.bytes[self.at..], self.style_here());
        match rest[0] {
            0x1b => return self.sequence(),
            byte @ b' '..=b'~' => self.row.put(char::from(byte), style),
            byte @ 0x80.. => match character(rest) {
                Some(c) => {
                    if is_active(c) {
                        self.row.note(Note::Active(c));
                    } else {
                        self.row.put(c, style);
                    }
                    self.at += c.len_utf8() - 1;
                }
                None => self.row.note(Note::Byte(byte)),
            },
            b'\n' | 0x0b | 0x0c => {
                self.at += 1;
                return Some(self.end_line());
            }
            b'\r' => self.row.go_to(0),
            0x08 => self.row.go_to(self.row.column().saturating_sub(1)),
            b'\t' => self.row.tab(style),
            0 => {
                let count = rest.iter().take_while(|byte| **byte == 0).count();
                self.row.note(Note::Nuls(count));
                self.at += count - 1;
            }
            0x07 | 0x0e | 0x0f => {} // The bell, and shifts between character sets.
            byte => self.row.note(Note::Byte(byte)),
        }
        self.at += 1;
        None
    }

    fn style_here(&self) -> Style {
        let faint = self.style.faint || self.at < self.faint_until;
        Style {
            faint,
            ..self.style
        }
    }

    fn sequence(&mut self) -> Option<Line> {
        let sequence = sequence::read(&self.bytes[self.at..]);
        let end = self.at + sequence.len();
        if let Sequence::Broken(_) = sequence {
            self.faint_until = end;
            self.at += 1;
            return None;
        }
        self.at = end;
        match sequence {
            Sequence::Control { parameters, action } => self.control(parameters, action),
            Sequence::Simple(b'D' | b'E') => Some(self.end_line()),
            Sequence::Simple(b'M') => self.move_to(self.row_above(1), self.row.column()),
            Sequence::Simple(b'8') => self.move_to(None, 0), // To a place that was saved.
            Sequence::Simple(b'c') => {
                self.style = Style::default();
                self.move_to(None, 0)
            }
            _ => None,
        }
    }

    fn control(&mut self, parameters: &[u8], action: u8) -> Option<Line> {
        if !is_public(parameters) {
            return None; // Modes, queries, and what terminals have of their own.
        }
        let mut numbers = parameters.split(|byte| *byte == b';').map(style::number);
        let first = numbers.next().unwrap_or_default();
        let count = first.max(1);
        let second = numbers.next().unwrap_or_default().max(1);
        let (column, columns) = (self.row.column(), count as usize);
        match action {
            b'm' => self.style.select(parameters),
            b'K' => self.row.erase(first),
            b'X' => self.row.erase_chars(columns),
            b'C' | b'a' => self.row.go_to(column.saturating_add(columns)),
            b'D' => self.row.go_to(column.saturating_sub(columns)),
            b'G' | b'`' => self.row.go_to(columns - 1),
            b'H' | b'f' => return self.move_to(Some(count), second as usize - 1),
            b'd' => return self.move_to(Some(count), column),
            b'A' => return self.move_to(self.row_above(count), column),
            b'F' => return self.move_to(self.row_above(count), 0),
            b'B' | b'e' => return self.move_to(self.row_below(count), column),
            b'E' => return self.move_to(self.row_below(count), 0),
            b'r' => return self.move_to(Some(1), 0), // Scroll regions send the cursor home.
            b'u' => return self.move_to(None, 0),
            _ => {}
        }
        None
    }

    fn row_above(&self, count: u32) -> Option<u32> {
        self.row_number.map(|row| row.saturating_sub(count).max(1))
    }

    fn row_below(&self, count: u32) -> Option<u32> {
        self.row_number.map(|row| row.saturating_add(count))
    }

    /// Moves the cursor. Where it leaves its row, or may leave it, the line is at its end; what the
    /// row it goes to shows already stands in a line before.
    fn move_to(&mut self, row_number: Option<u32>, column: usize) -> Option<Line> {
        let stays = row_number.is_some() && row_number == self.row_number;
        self.row_number = row_number;
        let is_left = !stays && (self.is_continued || !self.row.is_untouched());
        let line = is_left.then(|| self.row.take_line(false));
        self.is_continued &= line.is_none();
        self.row.go_to(column);
        line
    }

    fn end_line(&mut self) -> Line {
        self.next_row();
        self.row.take_line(false)
    }

    fn next_row(&mut self) {
        self.is_continued = false;
        self.row_number = self.row_below(1);
    }
}

/// Whether parameters are those of the standard: no mode, query, or what one terminal has of its own.
fn is_public(parameters: &[u8]) -> bool {
    let is_public = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    parameters.iter().all(is_public)
}

/// Whether a character is text of its own: it neither acts nor goes over another.
fn takes_columns(c: char) -> bool {
    !is_active(c) && c.width().is_some_and(|columns| columns > 0)
}

/// The character that `bytes` begin with, if they are UTF-8.
fn character(bytes: &[u8]) -> Option<char> {
    let first = bytes[..bytes.len().min(4)].utf8_chunks().next()?;
    first.valid().chars().next()
}

#[cfg(test)]
mod tests;
