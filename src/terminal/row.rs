//! One row of a terminal: text, and where its cursor stands.

use unicode_width::UnicodeWidthChar as _;

use super::cells::{Cells, Looks, MAX_MARKS, TAB_STOP};
use super::line::{BLANKS, Line, MAX_COLUMNS, Pieces};
use super::note;
use super::style::Style;

/// So many characters and notes, and a row is given away where that cuts no text: memory stays
/// bounded, whatever the guest writes.
pub(super) const MAX_CHARS: usize = 1 << 16;

/// Its buffers serve one row after the other.
///
/// Few rows are written over. As long as none of its text is, that goes straight to where it stays.
/// Once some is about to be, the row [needs columns](Self::needs_columns), and has to be written
/// again from its beginning.
#[derive(Debug, Default)]
pub(super) struct Row {
    column: usize,
    /// Columns up to the end of the text.
    width: usize,
    /// Characters and notes since the row began.
    taken: usize,
    /// [`taken`](Self::taken) when the last pass began: characters that are written one after the
    /// other.
    taken_before_pass: usize,
    /// Whether the next character belongs to the last pass.
    is_in_pass: bool,
    state: State,
    /// In columns, and something was written over.
    is_written_over: bool,
    /// As long as nothing is written over: all text.
    spans: Pieces<Style>,
    /// How many marks can go over the last character of these.
    free_marks: usize,
    /// Where that and its marks end.
    marks_end: usize,
    /// From then on: the same by columns.
    cells: Cells,
    looks: Looks,
    /// Those that stand before a column, in the order of the columns. As long as nothing is written
    /// over: only those behind all text.
    notes: Pieces<u32>,
    /// Notes in the midst of other text, which they would tear.
    late_notes: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nothing is written over yet.
    #[default]
    Straight,
    /// Something was about to be. What was written is void.
    NeedsColumns,
    /// Anything may be.
    InColumns,
}

impl Row {
    pub fn column(&self) -> usize {
        self.column
    }

    /// Nothing was written since the row began.
    pub fn is_untouched(&self) -> bool {
        self.taken == 0
    }

    /// Text is about to be written over. The row has to be written once more.
    pub fn needs_columns(&self) -> bool {
        self.state == State::NeedsColumns
    }

    /// Something may be written over; most likely, if nothing was written yet.
    pub fn is_in_columns(&self) -> bool {
        self.state == State::InColumns
    }

    /// Forgets what was written since the cursor stood in this column.
    pub fn begin_in_columns(&mut self, column: usize) {
        self.clear();
        self.column = column;
        self.state = State::InColumns;
    }

    /// It should be given away now: no text is cut, or goes on in the next row.
    #[inline]
    pub fn is_full(&self) -> bool {
        let can_go_on =
            || !self.is_in_pass || (self.is_at_end() && self.taken_by_pass() >= MAX_CHARS);
        self.taken >= MAX_CHARS && (can_go_on() || self.taken >= 4 * MAX_CHARS)
    }

    /// So many characters can be put at once, and it is full after none of them but the last.
    #[inline]
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
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.column >= self.width
    }

    #[inline]
    pub fn go_to(&mut self, column: usize) {
        self.is_in_pass = false;
        self.column = column.min(self.width.max(MAX_COLUMNS));
    }

    /// Puts printable ASCII.
    #[inline]
    pub fn put_ascii(&mut self, text: &[u8], style: Style) {
        if !self.go_on_with_pass() {
            return;
        }
        if self.state == State::InColumns {
            self.cells.write_ascii(self.column, text, style);
        } else {
            let spans = self.spans.of(style);
            match text {
                [byte] => spans.push(char::from(*byte)), // That needs no check of UTF-8.
                _ => spans.push_str(str::from_utf8(text).unwrap_or_default()),
            }
            self.expect_marks(MAX_MARKS);
        }
        self.advance(text.len());
    }

    /// Puts a character that is not active.
    #[inline]
    pub fn put(&mut self, c: char, style: Style) {
        let columns = c.width().unwrap_or_default();
        if columns == 0 {
            return self.put_mark(c);
        }
        if !self.go_on_with_pass() {
            return;
        }
        if self.state == State::InColumns {
            self.cells.write(self.column, c, columns, style);
        } else {
            self.spans.of(style).push(c);
            self.expect_marks(MAX_MARKS);
        }
        self.advance(columns);
    }

    /// A mark goes over the character before it; one without such a character is spelled out, and
    /// so is one too many.
    #[inline]
    fn put_mark(&mut self, mark: char) {
        let is_put = match self.state {
            _ if !self.is_in_pass => false,
            State::InColumns => self.cells.put_mark(self.column - 1, mark),
            _ if self.free_marks == 0 => false,
            _ if self.spans.text.len() > self.marks_end => return self.need_columns(),
            _ => {
                self.spans.text.push(mark);
                self.expect_marks(self.free_marks - 1);
                true
            }
        };
        if !is_put {
            self.note(|text| note::push_active(mark, text));
        }
    }

    fn expect_marks(&mut self, free: usize) {
        self.free_marks = free;
        self.marks_end = self.spans.text.len();
    }

    /// Adds what stands for bytes that are not shown. It takes no column of the guest's.
    #[inline]
    pub fn note(&mut self, push_to: impl FnOnce(&mut String)) {
        self.taken += 1;
        if !self.is_at_end() {
            return push_to(&mut self.late_notes);
        }
        self.tear_no_notes();
        if self.state == State::Straight && self.column == self.width {
            push_to(self.spans.of(Style::FAINT));
        } else {
            push_to(self.notes.of(self.column as u32));
        }
    }

    /// Notes to the right of what comes now would stand in its midst.
    #[inline]
    fn tear_no_notes(&mut self) {
        let column = self.column as u32;
        if self.notes.last().is_some_and(|before| before > column) {
            self.notes.move_from(column + 1, &mut self.late_notes);
        }
    }

    /// Beyond the text a tab is written; inside, it moves only.
    pub fn tab(&mut self, style: Style) {
        let columns = TAB_STOP - self.column % TAB_STOP;
        if !self.is_at_end() {
            return self.go_to(self.column + columns);
        }
        if !self.go_on_with_pass() {
            return;
        }
        if self.state == State::InColumns {
            self.cells.write_tab(self.column, columns, style);
        } else {
            self.spans.of(style).push('\t');
            self.expect_marks(0);
        }
        self.advance(columns);
    }

    /// What is written next belongs to the last pass, or to a new one. Whether it can be written.
    #[inline]
    fn go_on_with_pass(&mut self) -> bool {
        if self.is_in_pass {
            return true;
        }
        if self.state == State::InColumns {
            self.tear_no_notes();
            self.is_written_over |= !self.is_at_end();
            self.cells.begin_pass(self.column);
        } else if !self.is_at_end() {
            self.need_columns();
            return false;
        } else if self.column > self.width || !self.notes.text.is_empty() {
            self.pad();
        }
        self.is_in_pass = true;
        self.taken_before_pass = self.taken;
        true
    }

    /// Writes blanks up to the cursor, and the notes among them.
    #[inline(never)]
    fn pad(&mut self) {
        self.tear_no_notes();
        let (spans, mut width) = (&mut self.spans, self.width);
        for (notes, before) in self.notes.iter() {
            let blanks = before as usize - std::mem::replace(&mut width, before as usize);
            spans.of(Style::DEFAULT).push_str(&BLANKS[..blanks]);
            spans.of(Style::FAINT).push_str(notes);
        }
        if width < self.column {
            spans
                .of(Style::DEFAULT)
                .push_str(&BLANKS[..self.column - width]);
        }
        self.notes.clear();
    }

    #[inline]
    fn advance(&mut self, columns: usize) {
        self.column += columns;
        self.width = self.width.max(self.column);
        self.taken += columns;
    }

    fn need_columns(&mut self) {
        self.state = State::NeedsColumns;
    }

    /// Erase in Line: 0 from the cursor on, 1 up to it, 2 all. What is not erased stays readable,
    /// so it does no harm that erasing to the left of a far column does nothing.
    pub fn erase(&mut self, part: u32) {
        self.is_in_pass = false;
        match part {
            0 if !self.is_at_end() => self.truncate(self.column),
            1 if self.column < MAX_COLUMNS => self.blank(0, self.column + 1),
            2 => {
                self.truncate(0);
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

    fn truncate(&mut self, width: usize) {
        if self.width == width {
            return;
        }
        if self.state == State::InColumns {
            self.cells.truncate(width);
            self.width = width;
            self.is_written_over = true;
        } else {
            self.need_columns();
        }
    }

    fn blank(&mut self, from: usize, count: usize) {
        let end = (from + count).min(self.width);
        if from >= end {
            return;
        }
        if self.state == State::InColumns {
            self.cells.blank(from..end);
            self.is_written_over = true;
        } else {
            self.need_columns();
        }
    }

    /// Gives the row away into an empty line, and begins a new one in its first column.
    pub fn take_line(&mut self, continues: bool, line: &mut Line) {
        if self.state == State::InColumns {
            self.cells.fill_spans(&self.notes, &mut line.spans);
            self.cells
                .fill_rewrites(&mut self.looks, &mut line.rewrites);
        } else {
            std::mem::swap(&mut line.spans, &mut self.spans);
            push_notes(&self.notes.text, &mut line.spans);
        }
        push_notes(&self.late_notes, &mut line.spans);
        line.continues = continues;
        let is_written_over = self.is_written_over;
        self.clear();
        if is_written_over {
            self.state = State::InColumns; // So is the next, most likely.
        }
    }

    fn clear(&mut self) {
        (self.column, self.width) = (0, 0);
        (self.taken, self.taken_before_pass) = (0, 0);
        self.is_in_pass = false;
        self.spans.clear();
        self.expect_marks(0);
        if self.state == State::InColumns {
            self.cells.clear();
        }
        self.state = State::Straight;
        self.is_written_over = false;
        self.notes.clear();
        self.late_notes.clear();
    }
}

fn push_notes(notes: &str, spans: &mut Pieces<Style>) {
    if !notes.is_empty() {
        spans.of(Style::FAINT).push_str(notes);
    }
}
