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
use row::{MAX_CHARS, Note, Row};
use sequence::Sequence;
pub use style::{Attribute, Style};

/// A line of a console, as it was when its end came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    spans: Pieces<Style>,
    /// Whether each is a state of progress.
    rewrites: Pieces<bool>,
    /// It was too long to be held: the next line goes on where this one stops.
    pub continues: bool,
}

/// A piece of text in one style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// What to show. It has no control characters but tabs.
    pub text: &'a str,
    /// How.
    pub style: Style,
}

/// Text that was written over or erased, at least in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite<'a> {
    /// The whole of it. It has no control characters but tabs.
    pub text: &'a str,
    /// What came in its place says the same in other figures or signs: a later state of a progress
    /// bar, a spinner, a prompt. No word of it is lost.
    pub is_progress: bool,
}

/// How text that was written over is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrites {
    /// On lines of its own; the states of a progress bar are counted.
    Counted,
    /// All of it on lines of its own.
    Listed,
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
    let (mut lines, mut line, mut shown) = (lines(bytes), Line::default(), String::new());
    while lines.read(&mut line) {
        line.show(false, Rewrites::Counted, &mut shown);
    }
    shown
}

impl Line {
    /// Its text alone.
    pub fn text(&self) -> &str {
        &self.spans.text
    }

    /// Its text, from left to right.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.spans.iter().map(|(text, style)| Span { text, style })
    }

    /// What was written on it and is no longer there, in the order in which it was written.
    pub fn rewrites(&self) -> impl Iterator<Item = Rewrite<'_>> {
        let rewrites = self.rewrites.iter();
        rewrites.map(|(text, is_progress)| Rewrite { text, is_progress })
    }

    /// Appends it as a terminal shows it, in colours or without.
    ///
    /// Text that was written over stands on lines of its own before, marked `⟲`. The states of a
    /// progress bar are counted behind the last one, unless they are listed. Colours end with the line.
    pub fn show(&self, colours: bool, rewrites: Rewrites, shown: &mut String) {
        let styled = |style: Style, texts: &[&str], shown: &mut String| {
            let sgr = if colours { style.sgr() } else { String::new() };
            shown.push_str(&sgr);
            texts.iter().for_each(|text| shown.push_str(text));
            shown.push_str(if sgr.is_empty() { "" } else { "\x1b[0m" });
        };
        let mut count = 0;
        for rewrite in self.rewrites() {
            if rewrite.is_progress && rewrites == Rewrites::Counted {
                count += 1;
            } else {
                styled(Style::FAINT, &["⟲ ", rewrite.text], shown);
                shown.push('\n');
            }
        }
        if count > 0 && self.continues {
            styled(Style::FAINT, &[&counted(count)], shown);
            shown.push('\n');
        }
        if colours {
            self.spans()
                .for_each(|span| styled(span.style, &[span.text], shown));
        } else {
            shown.push_str(self.text());
        }
        if count > 0 && !self.continues {
            styled(Style::FAINT, &[" ", &counted(count)], shown);
        }
        if !self.continues {
            shown.push('\n');
        }
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.rewrites.clear();
        self.continues = false;
    }
}

/// Texts in one buffer, with something to say about each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pieces<T> {
    text: String,
    /// Where each begins.
    begins: Vec<(u32, T)>,
}

impl<T: Copy + PartialEq> Pieces<T> {
    /// The text to append to, of the last piece if the same is said about it.
    fn of(&mut self, about: T) -> &mut String {
        match self.begins.last() {
            Some((_, last)) if *last == about => &mut self.text,
            _ => self.begin(about),
        }
    }

    /// The text to append a new piece to.
    fn begin(&mut self, about: T) -> &mut String {
        self.begins.push((self.text.len() as u32, about));
        &mut self.text
    }

    fn iter(&self) -> impl Iterator<Item = (&str, T)> {
        let ends = self.begins.iter().skip(1).map(|(begin, _)| *begin as usize);
        let ends = ends.chain([self.text.len()]);
        let pieces = self.begins.iter().zip(ends);
        pieces.map(|((begin, about), end)| (&self.text[*begin as usize..end], *about))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.begins.clear();
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
        let mut line = Line::default();
        self.read(&mut line).then_some(line)
    }
}

impl Lines<'_> {
    /// Reads the next line into one whose memory serves again; whether there was one.
    pub fn read(&mut self, line: &mut Line) -> bool {
        line.clear();
        if self.read_plain(line).is_some() {
            return true;
        }
        line.clear();
        while self.at < self.bytes.len() {
            if self.step(line) {
                return true;
            }
            if self.row.is_full() {
                self.is_continued = self.row.is_at_end();
                self.row.take_line(self.is_continued, line);
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
        // Nothing is in the row yet, but the cursor may not be in its first column.
        if self.at < self.faint_until || self.row.column() > 0 {
            return None;
        }
        let whole = &self.bytes[self.at..];
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
                    if action != b'm' || !is_public(parameters) {
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
                let (style, mut longest) = (self.style_here(), self.row.room());
                if let Some(faint @ 1..) = self.faint_until.checked_sub(self.at) {
                    longest = longest.min(faint);
                }
                let run = rest.iter().take(longest);
                let length = run.take_while(|byte| matches!(**byte, b' '..=b'~')).count();
                self.row.put_ascii(&rest[..length], style);
                self.at += length - 1;
            }
            byte @ 0x80.. => match character(rest) {
                Some(c) => {
                    if is_active(c) {
                        self.row.note(Note::Active(c));
                    } else {
                        self.row.put(c, self.style_here());
                    }
                    self.at += c.len_utf8() - 1;
                }
                None => self.row.note(Note::Byte(byte)),
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
                self.row
                    .note(Note::Nuls(count.try_into().unwrap_or(u32::MAX)));
                self.at += count - 1;
            }
            0x07 | 0x0e | 0x0f => {} // The bell, and shifts between character sets.
            byte => self.row.note(Note::Byte(byte)),
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
        let sequence = sequence::read(&self.bytes[self.at..]);
        let end = self.at + sequence.len();
        if let Sequence::Broken(_) = sequence {
            self.faint_until = end;
            self.at += 1;
            return false;
        }
        self.at = end;
        match sequence {
            Sequence::Control { parameters, action } => self.control(parameters, action, line),
            Sequence::Simple(b'D' | b'E') => self.end_line(line),
            Sequence::Simple(b'M') => self.move_to(self.row_above(1), self.row.column(), line),
            Sequence::Simple(b'8') => self.move_to(None, 0, line), // To a place that was saved.
            Sequence::Simple(b'c') => {
                self.style = Style::default();
                self.move_to(None, 0, line)
            }
            _ => false,
        }
    }

    fn control(&mut self, parameters: &[u8], action: u8, line: &mut Line) -> bool {
        if !is_public(parameters) {
            return false; // Modes, queries, and what terminals have of their own.
        }
        let mut numbers = parameters.split(|byte| *byte == b';').map(style::number);
        let first = numbers.next().unwrap_or_default();
        let count = first.max(1);
        let second = numbers.next().unwrap_or_default().max(1);
        let (column, columns) = (self.row.column(), count as usize);
        match action {
            b'm' => self.style = self.style.select(parameters),
            b'K' => self.row.erase(first),
            b'X' => self.row.erase_chars(columns),
            b'C' | b'a' => self.row.go_to(column.saturating_add(columns)),
            b'D' => self.row.go_to(column.saturating_sub(columns)),
            b'G' | b'`' => self.row.go_to(columns - 1),
            b'H' | b'f' => return self.move_to(Some(count), second as usize - 1, line),
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

/// Whether parameters are those of the standard: no mode, query, or what one terminal has of its own.
fn is_public(parameters: &[u8]) -> bool {
    let is_public = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    parameters.iter().all(is_public)
}

/// Whether a character is text of its own: it neither acts nor goes over another.
fn takes_columns(c: char) -> bool {
    !is_active(c) && c.width().is_some_and(|columns| columns > 0)
}

/// The character that `bytes` begin with, if they are UTF-8 and not ASCII.
fn character(bytes: &[u8]) -> Option<char> {
    let length = match bytes.first()? {
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    str::from_utf8(bytes.get(..length)?).ok()?.chars().next()
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

#[cfg(test)]
mod tests;
