//! Tables that fit: columns where there is room, else a block of lines for each row. No word is cut.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, wrap};
use unicode_width::UnicodeWidthStr as _;

/// Spaces between columns, and where that makes the difference.
const GAPS: [usize; 2] = [2, 1];
/// What stands for nothing. A block leaves it out.
pub const NOTHING: &str = "-";
/// A space at which no line breaks. It is printed as a space.
const GLUE: char = '\u{a0}';
/// A place without width at which a line may break. It is not printed.
const SEAM: char = '\u{200b}';

/// The text as one word.
pub fn glued(text: &str) -> String {
    text.replace(' ', &GLUE.to_string())
}

/// A long name, which may break behind its dots and colons.
pub fn with_seams(name: &str) -> String {
    let mut seamed = String::new();
    for c in name.chars() {
        seamed.push(c);
        if matches!(c, '.' | ':') {
            seamed.push(SEAM);
        }
    }
    seamed
}

#[derive(Clone)]
pub struct Column {
    heading: &'static str,
    is_number: bool,
    /// It is not made narrower than this, if it has so much.
    least: usize,
}

/// Least width of sentences that people read.
const SENTENCE: usize = 24;

impl Column {
    pub fn text(heading: &'static str) -> Self {
        Self {
            heading,
            is_number: false,
            least: 0,
        }
    }

    /// Of sentences: rather than in a very narrow column, they are shown in blocks.
    pub fn sentences(heading: &'static str) -> Self {
        Self {
            least: SENTENCE,
            ..Self::text(heading)
        }
    }

    pub fn number(heading: &'static str) -> Self {
        Self {
            heading,
            is_number: true,
            least: 0,
        }
    }
}

#[derive(Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn colored(text: impl Into<String>, color: AnsiColor) -> Self {
        Self {
            text: text.into(),
            style: color.on_default(),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    has_headings: bool,
}

impl Table {
    pub fn new(columns: Vec<Column>, rows: Vec<Vec<Cell>>) -> Self {
        Self {
            columns,
            rows,
            has_headings: true,
        }
    }

    /// More rows of a table whose headings were shown.
    pub fn without_headings(self) -> Self {
        Self {
            has_headings: false,
            ..self
        }
    }

    /// As text, each line with its line feed. Without a width, each row is one line.
    pub fn show(&self, width: Option<usize>, has_colors: bool) -> String {
        let Some(width) = width else {
            return self.in_columns(&self.widths(natural), GAPS[0], has_colors);
        };
        for gap in GAPS {
            let room = width.saturating_sub(gap * self.columns.len().saturating_sub(1));
            if let Some(widths) = self.fitting(room) {
                return self.in_columns(&widths, gap, has_colors);
            }
        }
        self.in_blocks(width, has_colors)
    }

    /// Whether the columns have room.
    pub fn fits(&self, width: usize) -> bool {
        let gaps = GAPS[1] * self.columns.len().saturating_sub(1);
        self.fitting(width.saturating_sub(gaps)).is_some()
    }

    /// The widest of each column, with its heading.
    fn widths(&self, width: fn(&str) -> usize) -> Vec<usize> {
        let of_column = |(index, column): (usize, &Column)| {
            let texts = self.rows.iter().map(|row| width(&row[index].text));
            texts.chain([width(column.heading)]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(of_column).collect()
    }

    /// Widths that fit in this room with no word cut; the widest column gives way first.
    fn fitting(&self, room: usize) -> Option<Vec<usize>> {
        let mut widths = self.widths(natural);
        let least = self.widths(longest_word).into_iter().enumerate();
        let of_column = |(index, word): (usize, usize)| {
            let least: usize = self.columns[index].least;
            word.max(least.min(widths[index]))
        };
        let least: Vec<_> = least.map(of_column).collect();
        while widths.iter().sum::<usize>() > room {
            let can_shrink = (0..widths.len()).filter(|index| widths[*index] > least[*index]);
            let widest = can_shrink.max_by_key(|index| widths[*index])?;
            widths[widest] -= 1;
        }
        Some(widths)
    }

    fn in_columns(&self, widths: &[usize], gap: usize, has_colors: bool) -> String {
        let headings = self.columns.iter().map(|c| Cell::from(c.heading)).collect();
        let mut shown = String::new();
        let headings = self.has_headings.then_some(&headings);
        for row in headings.into_iter().chain(&self.rows) {
            let cells: Vec<_> = std::iter::zip(row, widths)
                .map(|(cell, width)| lines(&cell.text, *width))
                .collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let mut text = String::new();
                let mut pad = 0;
                for (index, column) in self.columns.iter().enumerate() {
                    let part = cells[index].get(line).map_or("", String::as_str);
                    let empty = widths[index].saturating_sub(part.width());
                    let (before, after) = if column.is_number {
                        (empty, 0)
                    } else {
                        (0, empty)
                    };
                    if !part.is_empty() {
                        let _ = write!(text, "{:1$}", "", pad + before); // A string takes it.
                        push(&mut text, part, row[index].style, has_colors);
                        pad = 0;
                    } else {
                        pad += before;
                    }
                    pad += after + gap;
                }
                shown.push_str(&text);
                shown.push('\n');
            }
        }
        shown
    }

    /// Each row as its headings with what belongs to them, and an empty line between rows.
    fn in_blocks(&self, width: usize, has_colors: bool) -> String {
        let headings = self.columns.iter().map(|column| column.heading.width());
        let indent = headings.max().unwrap_or(0) + 2;
        let blocks = self.rows.iter().map(|row| {
            let mut block = String::new();
            for (column, cell) in std::iter::zip(&self.columns, row) {
                if cell.text.is_empty() || cell.text == NOTHING {
                    continue;
                }
                // A long word has the next line to itself, so that it can be copied whole.
                let is_beside = indent + longest_word(&cell.text) <= width;
                let (start, at) = if is_beside { (indent, indent) } else { (0, 2) };
                let _ = write!(block, "{:start$}", column.heading);
                for (number, line) in lines(&cell.text, width - at.min(width)).iter().enumerate() {
                    if number > 0 || !is_beside {
                        let _ = write!(block, "\n{:at$}", "");
                    }
                    push(&mut block, line, cell.style, has_colors);
                }
                block.push('\n');
            }
            block
        });
        blocks.collect::<Vec<_>>().join("\n")
    }
}

fn push(text: &mut String, part: &str, style: Style, has_colors: bool) {
    if has_colors {
        let _ = write!(text, "{style}{part}{style:#}");
    } else {
        text.push_str(part);
    }
}

fn natural(text: &str) -> usize {
    text.lines().map(str::width).max().unwrap_or(0)
}

fn longest_word(text: &str) -> usize {
    let words = text.split([' ', '\n', SEAM]);
    words.map(str::width).max().unwrap_or(0)
}

/// Words that stay whole, each with the spaces behind it.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut rest = line;
    Box::new(std::iter::from_fn(move || {
        let end = rest.find([' ', SEAM]).unwrap_or(rest.len());
        let behind = rest[end..].strip_prefix(SEAM);
        let behind = behind.unwrap_or(rest[end..].trim_start_matches(' '));
        let (word, others) = rest.split_at(rest.len() - behind.len());
        rest = others;
        (!word.is_empty()).then(|| Word::from(word))
    }))
}

/// A text in lines of at most this width, but for words that are longer.
pub fn lines(text: &str, width: usize) -> Vec<String> {
    hanging(text, width, 0)
}

/// The same of a paragraph with spaces in front of it. All lines but the first have `indent` spaces.
pub fn hanging(text: &str, width: usize, indent: usize) -> Vec<String> {
    let text = text.trim_end();
    let (start, rest) = text.split_at(text.len() - text.trim_start_matches(' ').len());
    let indent = " ".repeat(indent);
    let options = Options::new(width)
        .initial_indent(start)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation);
    let lines = wrap(rest, options).into_iter();
    let plain = |line: &str| line.trim_end().replace(SEAM, "").replace(GLUE, " ");
    lines.map(|line| plain(&line)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = vec![
            Column::text("CHECK"),
            Column::text("WHAT WAS FOUND"),
            Column::number("BYTES"),
        ];
        let rows = vec![
            vec![
                "settings".into(),
                "complete and well-formed".into(),
                "7".into(),
            ],
            vec![
                "archive: write".into(),
                "s3://consoles/kept/doctor/probe.txt cannot be written".into(),
                NOTHING.into(),
            ],
        ];
        Table::new(columns, rows)
    }

    #[test]
    fn sentences_are_not_squeezed_into_a_narrow_column() {
        let advice = "allow the key to write below the prefix";
        let url = "s3://consoles/kept/doctor/probe-of-a-long-name.txt";
        let show = |column: Column| {
            let row = vec![url.into(), advice.into()];
            Table::new(vec![Column::text("FOUND"), column], vec![row]).show(Some(60), false)
        };
        assert!(show(Column::text("WHAT TO DO")).contains("FOUND   "));
        let shown = show(Column::sentences("WHAT TO DO"));
        assert!(
            shown.contains(&format!("WHAT TO DO  {advice}\n")),
            "{shown}"
        );
    }

    #[test]
    fn without_a_width_each_row_is_a_line() {
        let shown = table().show(None, false);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(
            shown.contains("\nsettings        complete and well-formed  "),
            "{shown}"
        );
        assert!(shown.lines().all(|line| line == line.trim_end()), "{shown}");
    }

    #[test]
    fn at_every_width_every_word_is_whole_and_lines_fit_where_words_do() {
        let words = |text: &str| {
            let words = text.split_whitespace().filter(|word| *word != NOTHING);
            let mut words: Vec<_> = words.map(str::to_owned).collect();
            words.sort();
            words
        };
        let all = words(&table().show(None, false));
        for width in 1..120 {
            let shown = table().show(Some(width), false);
            let (has_all, is_block) = (words(&shown), shown.contains("\n\n"));
            assert!(is_block || has_all == all, "{width}\n{shown}");
            for word in &all {
                assert!(has_all.contains(word), "{width}: {word}\n{shown}");
            }
            for line in shown.lines() {
                let is_a_word = line.split_whitespace().count() == 1;
                let room = width.max("WHAT WAS FOUND".len());
                assert!(line.width() <= room || is_a_word, "{width}\n{shown}");
            }
        }
    }

    #[test]
    fn where_columns_do_not_fit_each_row_is_a_block() {
        assert_eq!(
            table().show(Some(40), false),
            "CHECK           settings\n\
             WHAT WAS FOUND  complete and well-formed\n\
             BYTES           7\n\
             \n\
             CHECK           archive: write\n\
             WHAT WAS FOUND\n  s3://consoles/kept/doctor/probe.txt\n  cannot be written\n"
        );
    }

    #[test]
    fn a_name_breaks_at_its_seams_and_what_is_glued_stays_together() {
        let columns = vec![Column::text("CAUSE"), Column::text("TO LOGIN")];
        let cause = with_seams("InstanceFailure.Reboot:Executing").into();
        let table = Table::new(columns, vec![vec![cause, glued("≥ 77 s").into()]]);
        let wide = "CAUSE                             TO LOGIN\n\
                    InstanceFailure.Reboot:Executing  ≥ 77 s\n";
        assert_eq!(table.show(None, false), wide);
        assert_eq!(table.show(Some(42), false), wide);
        assert_eq!(
            table.show(Some(26), false),
            "CAUSE             TO LOGIN\n\
             InstanceFailure.  ≥ 77 s\n\
             Reboot:Executing\n"
        );
    }

    #[test]
    fn colors_do_not_count_as_width() {
        let table = |style: fn(&str) -> Cell| {
            let columns = vec![Column::text("A"), Column::text("B")];
            Table::new(columns, vec![vec![style("failed"), "x".into()]])
        };
        let red = table(|text| Cell::colored(text, AnsiColor::Red)).show(Some(20), true);
        assert!(red.contains("\x1b[31mfailed\x1b[0m  x\n"), "{red:?}");
        let plain = table(|text| Cell::colored(text, AnsiColor::Red)).show(Some(20), false);
        assert_eq!(plain, table(|text| Cell::from(text)).show(Some(20), true));
    }
}
