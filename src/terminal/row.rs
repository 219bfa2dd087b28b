//! One row of a terminal: text that is written, and written over.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthChar as _;

use super::style::Style;
use super::{Line, Rewrite, Span};

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

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    c: char,
    marks: [Option<char>; 2],
    style: Style,
}

impl Cell {
    fn new(c: char, style: Style) -> Self {
        let marks = [None; 2];
        Self { c, marks, style }
    }

    fn blank() -> Self {
        Self::new(' ', Style::default())
    }

    /// Of one look but for attributes.
    fn is_same_text(&self, other: &Self) -> bool {
        (self.c, self.marks) == (other.c, other.marks)
    }

    fn push_to(&self, text: &mut String) {
        text.push(self.c);
        text.extend(self.marks.into_iter().flatten());
    }
}

/// What stands for bytes and characters that are not shown as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// A control, or a byte that is not UTF-8.
    Byte(u8),
    /// A character that acts on a terminal or does not show.
    Active(char),
    /// So many NULs.
    Nuls(usize),
}

impl Note {
    fn text(self) -> String {
        match self {
            Self::Byte(byte) => format!("\\x{byte:02x}"),
            Self::Active(c) => c.escape_unicode().to_string(),
            Self::Nuls(count) => format!("⟨{count} NUL⟩"),
        }
    }
}

/// Characters that were written one after the other: from this column on, and from this index of
/// [`Row::written`] on.
#[derive(Debug, Clone, Copy)]
struct Pass {
    column: usize,
    from: usize,
    /// [`Row::taken`] at its begin.
    taken: usize,
}

#[derive(Debug, Default)]
pub(super) struct Row {
    column: usize,
    cells: Vec<Cell>,
    /// All that was written to the cells, in its order.
    written: Vec<Cell>,
    passes: Vec<Pass>,
    /// Whether the next character belongs to the last pass.
    is_in_pass: bool,
    /// By the column before which they are shown. They take no column of the guest's.
    notes: BTreeMap<usize, Vec<Note>>,
    /// Those in the midst of other text, which they would tear.
    late_notes: Vec<Note>,
    /// Characters and notes since the row began.
    taken: usize,
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
        let pass = self.passes.last().map_or(0, |pass| self.taken - pass.taken);
        let can_go_on = !self.is_in_pass || (self.is_at_end() && pass >= MAX_CHARS);
        self.taken >= MAX_CHARS && (can_go_on || self.taken >= 4 * MAX_CHARS)
    }

    /// The cursor stands behind all text.
    pub fn is_at_end(&self) -> bool {
        self.column >= self.cells.len()
    }

    pub fn go_to(&mut self, column: usize) {
        self.column = column.min(self.cells.len().max(MAX_COLUMNS));
        self.is_in_pass = false;
    }

    pub fn put(&mut self, c: char, style: Style) {
        match if c.is_ascii() { Some(1) } else { c.width() } {
            Some(0) | None => self.put_mark(c),
            Some(columns) => {
                self.set(Cell::new(c, style));
                (1..columns).for_each(|_| self.set(Cell::new(WIDE_REST, style)));
            }
        }
    }

    /// A mark goes over the character before it; one without such a character is spelled out, and
    /// so is the third: towers of marks reach into other lines.
    fn put_mark(&mut self, mark: char) {
        let index = self.column.wrapping_sub(1);
        let takes_marks = |cell: &Cell| cell.c >= ' ' || cell.c == WIDE_REST;
        let cell = self.cells.get_mut(index).filter(|cell| takes_marks(cell));
        if let (true, Some(cell), Some(written)) = (self.is_in_pass, cell, self.written.last_mut())
            && let Some(free) = cell.marks.iter().position(Option::is_none)
        {
            cell.marks[free] = Some(mark);
            written.marks = cell.marks;
        } else {
            self.note(Note::Active(mark));
        }
    }

    pub fn note(&mut self, note: Note) {
        self.taken += 1;
        if self.is_at_end() {
            self.notes.entry(self.column).or_default().push(note);
        } else {
            self.late_notes.push(note);
        }
    }

    /// Beyond the text a tab is written; inside, it moves only.
    pub fn tab(&mut self, style: Style) {
        let stop = (self.column / TAB_STOP + 1) * TAB_STOP;
        if !self.is_at_end() {
            return self.go_to(stop);
        }
        self.set(Cell::new(TAB, style));
        while self.column < stop {
            self.set(Cell::new(TAB_REST, style));
        }
    }

    fn set(&mut self, cell: Cell) {
        if !std::mem::replace(&mut self.is_in_pass, true) {
            self.passes.push(Pass {
                column: self.column,
                from: self.written.len(),
                taken: self.taken,
            });
            while let Some(notes) = self.notes.last_entry()
                && *notes.key() > self.column
            {
                self.late_notes.extend(notes.remove());
            }
        }
        self.taken += 1;
        self.written.push(cell);
        if self.cells.len() < self.column {
            self.cells.resize(self.column, Cell::blank());
        }
        match self.cells.get_mut(self.column) {
            Some(old) => *old = cell,
            None => self.cells.push(cell),
        }
        self.column += 1;
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
        let cells = self.cells.iter_mut().skip(from).take(count);
        cells.for_each(|cell| *cell = Cell::blank());
    }

    /// Gives the row away, and begins a new one in its first column.
    pub fn take_line(&mut self, continues: bool) -> Line {
        let row = std::mem::take(self);
        Line {
            spans: row.spans(),
            rewrites: row.rewrites(),
            continues,
        }
    }

    fn spans(&self) -> Vec<Span> {
        let mut notes = self.notes.iter().peekable();
        let mut spans = Spans::default();
        let mut column = 0;
        while let Some(cell) = self.cells.get(column) {
            while let Some((_, notes)) = notes.next_if(|(before, _)| **before <= column) {
                spans.add_notes(notes);
            }
            let text = spans.of(cell.style);
            let stop = (column / TAB_STOP + 1) * TAB_STOP;
            match cell.c {
                TAB if self.is_whole_tab(column + 1, stop) => {
                    text.push('\t');
                    column = stop - 1;
                }
                TAB | TAB_REST => text.push(' '),
                WIDE_REST if self.is_behind_wide(column) => {
                    text.extend(cell.marks.into_iter().flatten());
                }
                WIDE_REST => text.push(' '),
                _ => cell.push_to(text),
            }
            column += 1;
        }
        notes.for_each(|(_, notes)| spans.add_notes(notes));
        spans.add_notes(&self.late_notes);
        spans.0
    }

    fn is_whole_tab(&self, from: usize, stop: usize) -> bool {
        let rest = self.cells.get(from..stop);
        rest.is_some_and(|rest| rest.iter().all(|cell| cell.c == TAB_REST))
    }

    fn is_behind_wide(&self, column: usize) -> bool {
        let before = self.cells[..column].iter().rev();
        let head = before.map(|cell| cell.c).find(|c| *c != WIDE_REST);
        head.is_some_and(|head| head.width().is_some_and(|width| width > 1))
    }

    /// The passes of which something is no longer there.
    fn rewrites(&self) -> Vec<Rewrite> {
        let texts: Vec<&[Cell]> = self.texts().collect();
        let is_lost = |(pass, text): (&Pass, &&[Cell])| {
            let end = text.iter().rposition(|cell| cell.c != ' ');
            let text = &text[..end.map_or(0, |end| end + 1)];
            let now = self.cells.get(pass.column..pass.column + text.len());
            !now.is_some_and(|now| now.iter().zip(text).all(|(a, b)| a.is_same_text(b)))
        };
        let lost: Vec<bool> = self.passes.iter().zip(&texts).map(is_lost).collect();
        if !lost.contains(&true) {
            return Vec::new();
        }
        let looks: Vec<Look> = texts.iter().map(|text| Look::of(text)).collect();
        let last = Look::of(&self.cells);
        let rewrite = |index: usize| {
            let mut text = String::new();
            let shown = texts[index]
                .iter()
                .filter(|cell| cell.c >= ' ' || cell.c == TAB);
            shown.for_each(|cell| cell.push_to(&mut text));
            let look = &looks[index];
            let next = looks.get(index + 1);
            let is_progress = look.is_like(&last) || next.is_some_and(|next| look.is_like(next));
            Rewrite { text, is_progress }
        };
        (0..texts.len())
            .filter(|index| lost[*index])
            .map(rewrite)
            .collect()
    }

    fn texts(&self) -> impl Iterator<Item = &[Cell]> {
        let ends = self.passes.iter().skip(1).map(|pass| pass.from);
        let ends = ends.chain([self.written.len()]);
        self.passes
            .iter()
            .zip(ends)
            .map(|(pass, end)| &self.written[pass.from..end])
    }
}

/// What tells a progress bar from other text: its letters stay.
struct Look {
    letters: Vec<char>,
    /// There are few letters among figures and signs, as in `12.3M 45% 0:01`.
    is_figures: bool,
    /// One or two signs, as of a spinner.
    is_sign: bool,
}

impl Look {
    fn of(cells: &[Cell]) -> Self {
        let shown = || cells.iter().map(|cell| cell.c).filter(|c| *c > ' ');
        let (letters, count) = (letters(shown()), shown().count());
        Self {
            is_figures: letters.len() * 4 < count,
            is_sign: letters.is_empty() && count <= 2,
            letters,
        }
    }

    fn is_like(&self, later: &Self) -> bool {
        if self.is_sign || self.is_figures {
            return self.is_sign || later.is_figures;
        }
        let pairs = self.letters.iter().zip(&later.letters);
        let common = pairs.take_while(|(a, b)| a == b).count();
        common * 2 >= self.letters.len()
    }
}

fn letters(shown: impl Iterator<Item = char>) -> Vec<char> {
    shown.filter(|c| c.is_alphabetic()).collect()
}

/// Neighbours of one style become one span.
#[derive(Default)]
pub(super) struct Spans(pub Vec<Span>);

impl Spans {
    fn add_notes(&mut self, notes: &[Note]) {
        for note in notes {
            self.of(Style::FAINT).push_str(&note.text());
        }
    }

    pub fn of(&mut self, style: Style) -> &mut String {
        if self.0.last().is_none_or(|span| span.style != style) {
            let text = String::new();
            self.0.push(Span { text, style });
        }
        let last = self.0.len() - 1;
        &mut self.0[last].text
    }
}
