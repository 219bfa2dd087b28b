//! A row of a terminal whose text is written over: what stands in each column, and what stood there.

use std::ops::Range;

use super::line::{BLANKS, Pieces};
use super::look::{Look, is_letter};
use super::style::Style;

pub(super) const TAB_STOP: usize = 8;
/// Marks over a character that are shown: towers of marks reach into other lines.
pub(super) const MAX_MARKS: usize = 2;

// In place of characters, which never are these.
const TAB: char = '\t';
const TAB_REST: u32 = 1;
const WIDE_REST: char = '\u{2}';

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

/// A character, or the index of one with marks in [`Cells::marked`], from [`Glyph::MARKED`] on; and a
/// bit for each that takes two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Glyph(u32);

impl Glyph {
    const MARKED: u32 = char::MAX as u32 + 1;
    const WIDE: u32 = 1 << 31;

    /// It, where it is a printable one of these.
    #[inline]
    fn ascii(self) -> Option<char> {
        match self.0 {
            0x20..0x7f => Some(char::from(self.0 as u8)),
            _ => None,
        }
    }

    /// The same for one that a row shows. Of a tab, it meets the rest only where the tab is torn.
    #[inline]
    fn ascii_in_row(self) -> Option<char> {
        match self.0 {
            TAB_REST => Some(' '),
            _ => self.ascii(),
        }
    }

    #[inline]
    fn is_wide(self) -> bool {
        self.0 & Self::WIDE != 0
    }

    /// What it is besides its width.
    #[inline]
    fn narrow(self) -> u32 {
        self.0 & !Self::WIDE
    }
}

impl From<char> for Glyph {
    #[inline]
    fn from(c: char) -> Self {
        Self(u32::from(c))
    }
}

/// A character and the marks over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marked {
    c: char,
    marks: [Option<char>; MAX_MARKS],
}

impl Marked {
    #[inline(never)] // Few have marks.
    fn push_marks(&self, text: &mut String) {
        text.extend(self.marks.iter().flatten());
    }
}

/// Characters that were written one after the other: from this column on, and from this index of
/// [`Cells::written`] on.
#[derive(Debug, Clone, Copy)]
struct Pass {
    column: u32,
    from: u32,
}

#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Columns before the first cell. They are blank.
    indent: usize,
    cells: Vec<Cell>,
    /// All that was written to the cells, in its order. A tab is one, however far it reaches.
    written: Vec<Glyph>,
    passes: Vec<Pass>,
    marked: Vec<Marked>,
}

/// Looks of what is left in the columns, of a pass, and of the next. Their memory serves again.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: Look,
    is_last_read: bool,
    this: Look,
    next: Look,
    /// Which pass the next is.
    next_index: Option<usize>,
}

impl Cells {
    #[inline]
    pub fn begin_pass(&mut self, column: usize) {
        self.passes.push(Pass {
            column: column as u32,
            from: self.written.len() as u32,
        });
        // Before the indent, the difference is huge.
        if column.wrapping_sub(self.indent) > self.cells.len() {
            self.pad(column);
        }
    }

    /// Makes blanks of the columns between the text and this one.
    #[inline(never)]
    fn pad(&mut self, column: usize) {
        if column < self.indent {
            // At least as many as there are cells to move for them, so that few are moved often.
            let count = (self.indent - column).max(self.cells.len());
            let count = count.min(self.indent);
            let blanks = std::iter::repeat_n(Cell::BLANK, count);
            self.cells.splice(..0, blanks);
            self.indent -= count;
        } else if self.cells.is_empty() {
            self.indent = column;
        } else {
            self.cells.resize(column - self.indent, Cell::BLANK);
        }
    }

    /// Columns up to the end of the text.
    #[inline]
    fn width(&self) -> usize {
        self.indent + self.cells.len()
    }

    #[inline]
    pub fn write_ascii(&mut self, column: usize, text: &[u8], style: Style) {
        for (column, byte) in (column..).zip(text) {
            self.set(column, char::from(*byte).into(), style);
        }
    }

    #[inline]
    pub fn write(&mut self, column: usize, c: char, columns: usize, style: Style) {
        let glyph = Glyph::from(c);
        if columns > 1 {
            self.set(column, Glyph(glyph.0 | Glyph::WIDE), style);
            self.set(column + 1, WIDE_REST.into(), style);
        } else {
            self.set(column, glyph, style);
        }
    }

    /// Writes a tab behind all text.
    pub fn write_tab(&mut self, column: usize, columns: usize, style: Style) {
        self.set(column, TAB.into(), style);
        let glyph = Glyph(TAB_REST);
        let width = self.cells.len() - 1 + columns;
        self.cells.resize(width, Cell { glyph, style });
    }

    #[inline]
    fn set(&mut self, column: usize, glyph: Glyph, style: Style) {
        self.written.push(glyph);
        let cell = Cell { glyph, style };
        match self.cells.get_mut(column - self.indent) {
            Some(old) => *old = cell,
            None => self.cells.push(cell),
        }
    }

    /// Whether a mark goes over what was written last, to this column.
    pub fn put_mark(&mut self, column: usize, mark: char) -> bool {
        let cell = self.cells.get_mut(column - self.indent);
        let (Some(cell), Some(written)) = (cell, self.written.last_mut()) else {
            return false;
        };
        let place = cell.glyph.narrow().wrapping_sub(Glyph::MARKED) as usize;
        if let Some(marked) = self.marked.get_mut(place) {
            let free = marked.marks.iter_mut().find(|mark| mark.is_none());
            return free.map(|free| *free = Some(mark)).is_some();
        }
        let c = char::from_u32(cell.glyph.narrow()).unwrap_or_default();
        if c < ' ' && c != WIDE_REST {
            return false;
        }
        let wide = cell.glyph.0 & Glyph::WIDE;
        let glyph = Glyph(wide | (Glyph::MARKED + self.marked.len() as u32));
        (cell.glyph, *written) = (glyph, glyph);
        let mut marks = [None; MAX_MARKS];
        marks[0] = Some(mark);
        self.marked.push(Marked { c, marks });
        true
    }

    pub fn truncate(&mut self, width: usize) {
        self.indent = self.indent.min(width);
        self.cells.truncate(width - self.indent);
    }

    pub fn blank(&mut self, columns: Range<usize>) {
        let index = |column: usize| column.saturating_sub(self.indent);
        self.cells[index(columns.start)..index(columns.end)].fill(Cell::BLANK);
    }

    pub fn clear(&mut self) {
        self.indent = 0;
        self.cells.clear();
        self.written.clear();
        self.passes.clear();
        self.marked.clear();
    }

    /// Adds what stands in the columns, and the notes before them.
    pub fn fill_spans(&self, notes: &Pieces<u32>, spans: &mut Pieces<Style>) {
        let mut column = 0;
        for (notes, before) in notes.iter() {
            column = self.fill_columns(column, before as usize, spans);
            spans.of(Style::FAINT).push_str(notes);
        }
        self.fill_columns(column, self.width(), spans);
    }

    /// Adds the text from one column on until another, or until the end of the tab that covers it.
    /// Returns where it ends.
    fn fill_columns(&self, mut column: usize, until: usize, spans: &mut Pieces<Style>) -> usize {
        let until = until.min(self.width());
        let blanks = until.min(self.indent).saturating_sub(column);
        if blanks > 0 {
            spans.of(Style::DEFAULT).push_str(&BLANKS[..blanks]);
            column += blanks;
        }
        if column >= until {
            return column;
        }
        let cells = &self.cells[..until - self.indent];
        let mut index = column - self.indent;
        while index < cells.len() {
            let style = cells[index].style;
            let text = spans.of(style);
            while let Some(run) = cells[index..].first_chunk()
                && let Some(run) = ascii(run, style)
            {
                text.push_str(str::from_utf8(&run).unwrap_or_default());
                index += run.len();
            }
            while let Some(cell) = cells.get(index).filter(|cell| cell.style == style) {
                if let Some(c) = cell.glyph.ascii_in_row() {
                    text.push(c);
                    index += 1;
                } else {
                    index = self.fill_special(index, cell.glyph, text);
                }
            }
        }
        self.indent + index
    }

    /// Adds what is not ASCII, or takes several columns. Returns the index of the cell behind it.
    fn fill_special(&self, index: usize, glyph: Glyph, text: &mut String) -> usize {
        match self.char(glyph) {
            TAB if self.is_whole_tab(index + 1, self.behind_tab(index)) => {
                text.push(TAB);
                return self.behind_tab(index);
            }
            WIDE_REST if self.is_behind_wide(index) => self.push_marks(glyph, text),
            TAB | WIDE_REST => text.push(' '),
            c => {
                text.push(c);
                self.push_marks(glyph, text);
                if glyph.is_wide() && self.is_wide_rest(index + 1) {
                    return index + 2;
                }
            }
        }
        index + 1
    }

    #[inline]
    fn marked(&self, glyph: Glyph) -> Option<&Marked> {
        let index = glyph.narrow().checked_sub(Glyph::MARKED)?;
        self.marked.get(index as usize)
    }

    /// Without its marks.
    #[inline]
    fn char(&self, glyph: Glyph) -> char {
        match char::from_u32(glyph.narrow()) {
            Some(c) => c,
            None => self.marked(glyph).map_or('\0', |marked| marked.c),
        }
    }

    #[inline]
    fn push_marks(&self, glyph: Glyph, text: &mut String) {
        if let Some(marked) = self.marked(glyph) {
            marked.push_marks(text);
        }
    }

    /// Where a tab ends that begins here.
    fn behind_tab(&self, index: usize) -> usize {
        index + TAB_STOP - (self.indent + index) % TAB_STOP
    }

    fn is_whole_tab(&self, from: usize, behind: usize) -> bool {
        let rest = self.cells.get(from..behind);
        rest.is_some_and(|rest| rest.iter().all(|cell| cell.glyph == Glyph(TAB_REST)))
    }

    fn is_wide_rest(&self, index: usize) -> bool {
        let cell = self.cells.get(index);
        cell.is_some_and(|cell| cell.glyph == WIDE_REST.into())
    }

    fn is_behind_wide(&self, index: usize) -> bool {
        let before = index.checked_sub(1);
        before.is_some_and(|before| self.cells[before].glyph.is_wide())
    }

    /// Adds the passes of which something is no longer there.
    pub fn fill_rewrites(&self, looks: &mut Looks, rewrites: &mut Pieces<bool>) {
        (looks.is_last_read, looks.next_index) = (false, None);
        for (index, pass) in self.passes.iter().enumerate() {
            let text = self.text(index);
            if !self.is_lost(pass.column as usize, text) {
                continue;
            }
            let is_progress = self.is_sign(text) || self.is_progress(index, looks);
            let shown = rewrites.begin(is_progress);
            for glyph in text {
                match glyph.ascii() {
                    Some(c) => shown.push(c),
                    None => self.push_special(*glyph, shown),
                }
            }
        }
    }

    #[inline]
    fn push_special(&self, glyph: Glyph, text: &mut String) {
        let c = self.char(glyph);
        if c != WIDE_REST {
            text.push(c);
        }
        self.push_marks(glyph, text);
    }

    /// What a pass wrote.
    #[inline]
    fn text(&self, index: usize) -> &[Glyph] {
        let from = self.passes[index].from as usize;
        match self.passes.get(index + 1) {
            Some(next) => &self.written[from..next.from as usize],
            None => &self.written[from..],
        }
    }

    /// Whether what is left now, or the next pass, may be a later state of this pass.
    #[inline(never)]
    fn is_progress(&self, index: usize, looks: &mut Looks) -> bool {
        if looks.next_index == Some(index) {
            std::mem::swap(&mut looks.this, &mut looks.next);
        } else {
            looks.this.read(self.chars(self.text(index)));
        }
        if !std::mem::replace(&mut looks.is_last_read, true) {
            let left = self.cells.iter().map(|cell| self.char(cell.glyph));
            looks.last.read(left);
        }
        if looks.this.may_become(&looks.last) {
            return true;
        }
        if index + 1 == self.passes.len() {
            return false;
        }
        looks.next.read(self.chars(self.text(index + 1)));
        looks.next_index = Some(index + 1);
        looks.this.may_become(&looks.next)
    }

    fn chars(&self, text: &[Glyph]) -> impl Iterator<Item = char> {
        text.iter().map(|glyph| self.char(*glyph))
    }

    /// Blanks at its end may go without a word.
    #[inline]
    fn is_lost(&self, column: usize, text: &[Glyph]) -> bool {
        let is_same = |a: Glyph, b: Glyph| {
            a == b || self.marked(a).is_some_and(|a| self.marked(b) == Some(a))
        };
        let is_blank = |glyph: &Glyph| *glyph == Cell::BLANK.glyph;
        let indented = self.indent.saturating_sub(column).min(text.len());
        let (indented, text) = text.split_at(indented);
        if !indented.iter().all(is_blank) {
            return true;
        }
        let mut at = column.saturating_sub(self.indent);
        for (index, was) in text.iter().enumerate() {
            let is_there = match self.cells.get(at) {
                Some(cell) if *was == TAB.into() => {
                    let behind = self.behind_tab(at);
                    let is_whole = cell.glyph == *was && self.is_whole_tab(at + 1, behind);
                    at = behind;
                    is_whole
                }
                now => {
                    at += 1;
                    now.is_some_and(|now| is_same(now.glyph, *was))
                }
            };
            if !is_there {
                return !text[index..].iter().all(is_blank);
            }
        }
        false
    }

    /// One or two signs, as of a spinner.
    #[inline]
    fn is_sign(&self, text: &[Glyph]) -> bool {
        let mut count = 0;
        for c in self.chars(text).filter(|c| *c > ' ') {
            count += 1;
            if count > 2 || is_letter(c) {
                return false;
            }
        }
        true
    }
}

/// Columns that are looked at together.
const RUN: usize = 16;

/// Their text if they have nothing else and this style. Without a branch a column, compilers look at
/// several at once.
#[inline]
fn ascii(run: &[Cell; RUN], style: Style) -> Option<[u8; RUN]> {
    let (mut text, mut is_ascii) = ([0; RUN], true);
    for (index, cell) in run.iter().enumerate() {
        let c = cell.glyph.ascii_in_row();
        text[index] = c.unwrap_or_default() as u8;
        is_ascii &= cell.style == style && c.is_some();
    }
    is_ascii.then_some(text)
}
