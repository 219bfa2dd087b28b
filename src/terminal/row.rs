//! One row of a terminal: text that is written, and written over.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use super::style::Style;
use super::{Line, Pieces};

/// So many characters and notes, and a row is given away where that cuts no text: memory stays
/// bounded, whatever the guest writes.
pub(super) const MAX_CHARS: usize = 1 << 16;

/// How far to the right a cursor goes beyond the text, and how far erasing reaches. No terminal of
/// a console is wider.
const MAX_COLUMNS: usize = 200;

// In place of characters, which never are these.
const TAB: char = '\t';
const TAB_REST: char = '\u{1}';
const WIDE_REST: char = '\u{2}';
const TAB_STOP: usize = 8;

/// One column, in few bytes: a console has tens of thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    glyph: Glyph,
    style: Style,
}

impl Cell {
    const BLANK: Self = Self {
        glyph: Glyph(' ' as u32),
        style: Style::DEFAULT,
    };
}

/// A character, or the index of one with marks in [`Row::marked`], from [`Glyph::MARKED`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Glyph(u32);

impl Glyph {
    const MARKED: u32 = char::MAX as u32 + 1;

    fn is_ascii(self) -> bool {
        matches!(self.0, 0x20..0x7f)
    }
}

impl From<char> for Glyph {
    fn from(c: char) -> Self {
        Self(u32::from(c))
    }
}

/// A character and the marks over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marked {
    c: char,
    marks: [Option<char>; 2],
}

/// What stands for bytes and characters that are not shown as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// A control, or a byte that is not UTF-8.
    Byte(u8),
    /// A character that acts on a terminal or does not show.
    Active(char),
    /// So many NULs.
    Nuls(u32),
}

impl Note {
    fn push_to(self, text: &mut String) {
        match self {
            Self::Byte(byte) => {
                text.push_str("\\x");
                text.push(hex_digit(byte >> 4));
                text.push(hex_digit(byte));
            }
            Self::Active(c) => push_escaped(c, text),
            Self::Nuls(1) => text.push_str("⟨1 NUL⟩"), // Guests write them by the thousand.
            Self::Nuls(count) => {
                let _ = write!(text, "⟨{count} NUL⟩"); // Writing to a string does not fail.
            }
        }
    }
}

/// As [`char::escape_unicode`] does, in a third of its time.
fn push_escaped(c: char, text: &mut String) {
    text.push_str("\\u{");
    let c = u32::from(c);
    let digits = (c.checked_ilog2().unwrap_or(0)) / 4;
    for digit in (0..=digits).rev() {
        text.push(hex_digit((c >> (4 * digit)) as u8));
    }
    text.push('}');
}

fn hex_digit(number: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(number & 15)])
}

/// Characters that were written one after the other: from this column on, and from this index of
/// [`Row::written`] on.
#[derive(Debug, Clone, Copy)]
struct Pass {
    column: u32,
    from: u32,
}

/// Its buffers serve one row after the other.
#[derive(Debug, Default)]
pub(super) struct Row {
    column: usize,
    cells: Vec<Cell>,
    /// All that was written to the cells, in its order.
    written: Vec<Glyph>,
    passes: Vec<Pass>,
    /// [`taken`](Self::taken) when the last pass began.
    taken_before_pass: usize,
    /// Whether the next character belongs to the last pass.
    is_in_pass: bool,
    /// Each by the column before which it is shown, in the order of the columns. They take no column
    /// of the guest's.
    notes: Vec<(u32, Note)>,
    /// Those in the midst of other text, which they would tear.
    late_notes: Vec<Note>,
    /// Characters and notes since the row began.
    taken: usize,
    marked: Vec<Marked>,
    /// Of what is left, of a pass, and of the next: their memory serves again.
    looks: [Look; 3],
}

impl Row {
    pub fn column(&self) -> usize {
        self.column
    }

    /// Nothing was written since the row began.
    pub fn is_untouched(&self) -> bool {
        self.taken == 0
    }

    /// It should be given away now: no text is cut, or goes on in the next row.
    pub fn is_full(&self) -> bool {
        let can_go_on =
            || !self.is_in_pass || (self.is_at_end() && self.taken_by_pass() >= MAX_CHARS);
        self.taken >= MAX_CHARS && (can_go_on() || self.taken >= 4 * MAX_CHARS)
    }

    /// So many characters can be put at once, and it is full after none of them but the last.
    pub fn room(&self) -> usize {
        if self.taken < MAX_CHARS / 2 {
            return MAX_CHARS / 2;
        }
        let pass = if self.is_in_pass {
            self.taken_by_pass()
        } else {
            0
        };
        let until_it_must = (4 * MAX_CHARS).saturating_sub(self.taken);
        MAX_CHARS.saturating_sub(pass).min(until_it_must).max(1)
    }

    fn taken_by_pass(&self) -> usize {
        self.taken - self.taken_before_pass
    }

    /// The cursor stands behind all text.
    pub fn is_at_end(&self) -> bool {
        self.column >= self.cells.len()
    }

    pub fn go_to(&mut self, column: usize) {
        self.column = column.min(self.cells.len().max(MAX_COLUMNS));
        self.is_in_pass = false;
    }

    /// Puts printable ASCII.
    pub fn put_ascii(&mut self, text: &[u8], style: Style) {
        self.write(text.iter().map(|byte| Cell {
            glyph: char::from(*byte).into(),
            style,
        }));
    }

    pub fn put(&mut self, c: char, style: Style) {
        let cell = |c: char| Cell {
            glyph: c.into(),
            style,
        };
        match c.width() {
            Some(0) | None => self.put_mark(c),
            Some(1) => self.write([cell(c)].into_iter()),
            Some(_) => self.write([cell(c), cell(WIDE_REST)].into_iter()),
        }
    }

    /// A mark goes over the character before it; one without such a character is spelled out, and
    /// so is the third: towers of marks reach into other lines.
    fn put_mark(&mut self, mark: char) {
        let index = self.column.wrapping_sub(1);
        if let (true, Some(cell), Some(written)) = (
            self.is_in_pass,
            self.cells.get_mut(index),
            self.written.last_mut(),
        ) {
            let place = cell.glyph.0.wrapping_sub(Glyph::MARKED) as usize;
            if let Some(marked) = self.marked.get_mut(place) {
                if let Some(free) = marked.marks.iter_mut().find(|mark| mark.is_none()) {
                    *free = Some(mark);
                    return;
                }
            } else if let Some(c) = char::from_u32(cell.glyph.0)
                && (c >= ' ' || c == WIDE_REST)
            {
                let glyph = Glyph(Glyph::MARKED + self.marked.len() as u32);
                (cell.glyph, *written) = (glyph, glyph);
                let marks = [Some(mark), None];
                self.marked.push(Marked { c, marks });
                return;
            }
        }
        self.note(Note::Active(mark));
    }

    pub fn note(&mut self, note: Note) {
        self.taken += 1;
        if self.is_at_end() {
            self.tear_none(self.column as u32);
            self.notes.push((self.column as u32, note));
        } else {
            self.late_notes.push(note);
        }
    }

    /// Notes to the right of what comes now would stand in its midst.
    fn tear_none(&mut self, column: u32) {
        if self
            .notes
            .last()
            .is_some_and(|(before, _)| *before > column)
        {
            let first = self.notes.partition_point(|(before, _)| *before <= column);
            let notes = self.notes.drain(first..).map(|(_, note)| note);
            self.late_notes.extend(notes);
        }
    }

    /// Beyond the text a tab is written; inside, it moves only.
    pub fn tab(&mut self, style: Style) {
        let stop = (self.column / TAB_STOP + 1) * TAB_STOP;
        if !self.is_at_end() {
            return self.go_to(stop);
        }
        let cell = |c: char| Cell {
            glyph: c.into(),
            style,
        };
        let rest = std::iter::repeat_n(cell(TAB_REST), stop - self.column - 1);
        self.write(std::iter::once(cell(TAB)).chain(rest));
    }

    fn write(&mut self, cells: impl Iterator<Item = Cell>) {
        let from = self.written.len();
        if !std::mem::replace(&mut self.is_in_pass, true) {
            self.passes.push(Pass {
                column: self.column as u32,
                from: from as u32,
            });
            self.taken_before_pass = self.taken;
            self.tear_none(self.column as u32);
        }
        if self.cells.len() < self.column {
            self.cells.resize(self.column, Cell::BLANK);
        }
        for cell in cells {
            self.written.push(cell.glyph);
            match self.cells.get_mut(self.column) {
                Some(old) => *old = cell,
                None => self.cells.push(cell),
            }
            self.column += 1;
        }
        self.taken += self.written.len() - from;
    }

    /// Erase in Line: 0 from the cursor on, 1 up to it, 2 all. What is not erased stays readable,
    /// so it does no harm that erasing to the left of a far column does nothing.
    pub fn erase(&mut self, part: u32) {
        self.is_in_pass = false;
        match part {
            0 => self.cells.truncate(self.column),
            1 if self.column < MAX_COLUMNS => self.blank(0, self.column + 1),
            2 => {
                self.cells.clear();
                self.column = self.column.min(MAX_COLUMNS);
            }
            _ => {}
        }
    }

    /// Erase Characters, from the cursor on.
    pub fn erase_chars(&mut self, count: usize) {
        self.is_in_pass = false;
        self.blank(self.column, count.min(MAX_COLUMNS));
    }

    fn blank(&mut self, from: usize, count: usize) {
        let end = (from + count).min(self.cells.len());
        if let Some(cells) = self.cells.get_mut(from..end) {
            cells.fill(Cell::BLANK);
        }
    }

    /// Gives the row away into an empty line, and begins a new one in its first column.
    pub fn take_line(&mut self, continues: bool, line: &mut Line) {
        self.fill_spans(&mut line.spans);
        self.fill_rewrites(&mut line.rewrites);
        line.continues = continues;
        self.column = 0;
        self.cells.clear();
        self.written.clear();
        self.passes.clear();
        self.is_in_pass = false;
        self.notes.clear();
        self.late_notes.clear();
        (self.taken, self.taken_before_pass) = (0, 0);
        self.marked.clear();
    }

    fn fill_spans(&self, spans: &mut Pieces<Style>) {
        let mut notes = self.notes.iter().peekable();
        let mut column = 0;
        while let Some(cell) = self.cells.get(column) {
            if notes
                .peek()
                .is_some_and(|(before, _)| *before as usize <= column)
            {
                let text = spans.of(Style::FAINT);
                while let Some((_, note)) = notes.next_if(|(before, _)| *before as usize <= column)
                {
                    note.push_to(text);
                }
            }
            let text = spans.of(cell.style);
            if cell.glyph.is_ascii() {
                let end = notes
                    .peek()
                    .map_or(self.cells.len(), |(before, _)| *before as usize);
                let run = self.cells[column..end.min(self.cells.len())]
                    .iter()
                    .take_while(|other| other.style == cell.style && other.glyph.is_ascii());
                let before = text.len();
                text.extend(run.map(|cell| char::from(cell.glyph.0 as u8)));
                column += text.len() - before;
                continue;
            }
            let stop = (column / TAB_STOP + 1) * TAB_STOP;
            match self.char(cell.glyph) {
                TAB if self.is_whole_tab(column + 1, stop) => {
                    text.push(TAB);
                    column = stop - 1;
                }
                TAB | TAB_REST => text.push(' '),
                WIDE_REST if self.is_behind_wide(column) => {
                    text.extend(self.marks(cell.glyph));
                }
                WIDE_REST => text.push(' '),
                _ => self.push(cell.glyph, text),
            }
            column += 1;
        }
        let mut notes = notes
            .map(|(_, note)| note)
            .chain(&self.late_notes)
            .peekable();
        if notes.peek().is_some() {
            let text = spans.of(Style::FAINT);
            notes.for_each(|note| note.push_to(text));
        }
    }

    fn marked(&self, glyph: Glyph) -> Option<&Marked> {
        let index = glyph.0.checked_sub(Glyph::MARKED)?;
        self.marked.get(index as usize)
    }

    /// Without its marks.
    fn char(&self, glyph: Glyph) -> char {
        let marked = || self.marked(glyph).map(|marked| marked.c);
        char::from_u32(glyph.0).or_else(marked).unwrap_or_default()
    }

    fn marks(&self, glyph: Glyph) -> impl Iterator<Item = char> {
        let marks = self.marked(glyph).map(|marked| marked.marks);
        marks.into_iter().flatten().flatten()
    }

    fn push(&self, glyph: Glyph, text: &mut String) {
        text.push(self.char(glyph));
        text.extend(self.marks(glyph));
    }

    fn is_whole_tab(&self, from: usize, stop: usize) -> bool {
        let rest = self.cells.get(from..stop);
        rest.is_some_and(|rest| rest.iter().all(|cell| cell.glyph == TAB_REST.into()))
    }

    fn is_behind_wide(&self, column: usize) -> bool {
        let head = column
            .checked_sub(1)
            .map(|before| self.char(self.cells[before].glyph));
        head.is_some_and(|head| head.width().is_some_and(|width| width > 1))
    }

    /// Adds the passes of which something is no longer there.
    fn fill_rewrites(&mut self, rewrites: &mut Pieces<bool>) {
        let mut looks = std::mem::take(&mut self.looks);
        let [last, this, next] = &mut looks;
        let (mut is_last_read, mut is_next_read) = (false, false);
        let mut passes = self.passes().peekable();
        while let Some((column, text)) = passes.next() {
            let is_this_read = std::mem::take(&mut is_next_read);
            if !self.is_lost(column, text) {
                continue;
            }
            let mut is_progress = self.is_sign(text);
            if !is_progress {
                if is_this_read {
                    std::mem::swap(this, next);
                } else {
                    this.read(self, text.iter().copied());
                }
                if !std::mem::replace(&mut is_last_read, true) {
                    last.read(self, self.cells.iter().map(|cell| cell.glyph));
                }
                is_progress = this.may_become(last);
            }
            if let (false, Some((_, later))) = (is_progress, passes.peek()) {
                next.read(self, later.iter().copied());
                is_next_read = true;
                is_progress = this.may_become(next);
            }
            let shown = rewrites.begin(is_progress);
            for glyph in text {
                match self.char(*glyph) {
                    TAB_REST | WIDE_REST => {}
                    c => shown.push(c),
                }
                if glyph.0 >= Glyph::MARKED {
                    shown.extend(self.marks(*glyph));
                }
            }
        }
        drop(passes);
        self.looks = looks;
    }

    /// Their columns and texts.
    fn passes(&self) -> impl Iterator<Item = (usize, &[Glyph])> {
        let ends = self.passes.iter().skip(1).map(|next| next.from as usize);
        let passes = self.passes.iter().zip(ends.chain([self.written.len()]));
        passes.map(|(pass, end)| {
            let text = &self.written[pass.from as usize..end];
            (pass.column as usize, text)
        })
    }

    /// Blanks at its end may go without a word.
    fn is_lost(&self, column: usize, text: &[Glyph]) -> bool {
        let is_same = |a: Glyph, b: Glyph| {
            a == b || self.marked(a).is_some_and(|a| self.marked(b) == Some(a))
        };
        let now = self.cells.get(column..).unwrap_or_default();
        let pairs = now.iter().zip(text);
        let same = pairs
            .take_while(|(now, was)| is_same(now.glyph, **was))
            .count();
        text[same..].iter().any(|glyph| *glyph != Cell::BLANK.glyph)
    }

    /// One or two signs, as of a spinner.
    fn is_sign(&self, text: &[Glyph]) -> bool {
        let chars = text.iter().map(|glyph| self.char(*glyph));
        let mut count = 0;
        chars.filter(|c| *c > ' ').all(|c| {
            count += 1;
            count <= 2 && !is_letter(c)
        })
    }
}

/// As [`char::is_alphabetic`] says. Chinese needs no search.
fn is_letter(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}') || c.is_alphabetic()
}

/// Letters of the shortest word: `BUG` is one, the `kB` of a size is none.
const WORD: usize = 3;

/// What tells progress bars from other text: their letters stay. A guest cannot hide a line behind
/// one that looks alike, such as another user's log-in.
#[derive(Debug, Default)]
struct Look {
    letters: Vec<char>,
    /// There are few letters among figures and signs, and no word, as in `12.3M 45% 0:01`.
    is_figures: bool,
}

impl Look {
    fn read(&mut self, row: &Row, text: impl Iterator<Item = Glyph>) {
        self.letters.clear();
        let (mut count, mut in_word, mut has_word) = (0, 0, false);
        for c in text.map(|glyph| row.char(glyph)) {
            count += usize::from(c > ' ');
            if is_letter(c) {
                self.letters.push(c);
                in_word += 1;
                has_word |= in_word == WORD;
            } else {
                in_word = 0;
            }
        }
        self.is_figures = self.letters.len() * 4 < count && !has_word;
    }

    /// Whether the other may be a later state of this.
    fn may_become(&self, other: &Self) -> bool {
        if self.is_figures {
            other.is_figures
        } else {
            other.letters.starts_with(&self.letters)
        }
    }
}
