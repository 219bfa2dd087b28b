//! A comparison → text for people, or JSON lines.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use ecs_console_archiver::reading::compare::{Comparison, Counts, Entry, LineOf, Side};
use ecs_console_archiver::reading::findings::Finding;
use ecs_console_archiver::reading::masks::Masks;
use ecs_console_archiver::reading::phase::Phase;
use ecs_console_archiver::reading::start::kernel_release;
use serde_json::{Value, json};

use super::rows::{Item, Layout, Row, hunks, lines};
use super::{Log, TIME};
use crate::finding;
use crate::output;
use crate::table::{Column, Table};

/// Bytes of text that are printed together.
const AT_ONCE: usize = 64 << 10;

/// What is shown of a comparison.
pub struct Form {
    /// Equal lines around each change.
    pub context: usize,
    pub is_moved_shown: bool,
    pub is_unfolded: bool,
    pub is_counted_only: bool,
    pub colours: bool,
}

pub struct Printer<'c> {
    pub a: &'c Log,
    pub b: &'c Log,
    pub compared: &'c Comparison,
    /// No good boot is before the second one.
    pub is_later: bool,
    /// The time was over.
    pub is_coarse: bool,
    pub form: &'c Form,
}

impl Printer<'_> {
    /// For people.
    pub fn print(&self, destination: &mut impl Write) -> io::Result<()> {
        let mut text = String::new();
        let bold = Style::new().bold();
        for (sign, log, side) in [
            ("---", self.a, &self.compared.a),
            ("+++", self.b, &self.compared.b),
        ] {
            let heading = format!("{sign} {}, {}", log.heading, lines(side.number_of_lines()));
            self.push(bold, &heading, &mut text);
        }
        for note in self.notes() {
            self.push_note(Style::new(), &note, &mut text);
        }
        let findings: Vec<_> = self.findings().collect();
        for &(change, finding) in &findings {
            let (severity, line) = (finding.severity, finding.line);
            let shown = format!(
                "{change}: {}, line {line}: {}",
                severity.as_str(),
                finding::in_words(finding)
            );
            self.push_note(style_of(change, finding), &shown, &mut text);
        }
        match self.form.is_counted_only {
            true => text.push_str(&self.table()),
            false => self.print_hunks(&findings, &mut text, destination)?,
        }
        self.push_note(Style::new(), &self.summary(), &mut text);
        destination.write_all(text.as_bytes())
    }

    /// As JSON, a line for each line that is not the same.
    pub fn json(&self) -> Result<()> {
        let side = |log: &Log, side: &Side| {
            let mut json = log.json.clone();
            json["lines"] = json!(side.number_of_lines());
            json["bytes"] = json!(log.boot.log.len());
            json["gaps"] = json!(side.gaps());
            json["masked_secrets"] = json!(log.masked);
            json["kernel"] = json!(kernel_release(&log.boot.log));
            json
        };
        let (a, b) = (&self.compared.a, &self.compared.b);
        output::json_line(&json!({
            "kind": "start",
            "a": side(self.a, a),
            "b": side(self.b, b),
            "notes": self.notes(),
        }))?;
        for (change, finding) in self.findings() {
            let mut json = json!({"kind": "finding", "change": change});
            finding::add(finding, &mut json);
            output::json_line(&json)?;
        }
        let shown = self
            .compared
            .entries
            .iter()
            .filter(|_| !self.form.is_counted_only);
        for entry in shown {
            match *entry {
                Entry::Same { .. } | Entry::MovedFrom { .. } => {}
                Entry::Removed { a: at } => line_json("removed", Some(a.line(at)), None)?,
                Entry::Added { b: at } => line_json("added", None, Some(b.line(at)))?,
                Entry::MovedTo { a: from, b: to } => {
                    line_json("moved", Some(a.line(from)), Some(b.line(to)))?;
                }
                Entry::UnseenInB { a: at } => line_json("unseen", Some(a.line(at)), None)?,
                Entry::UnseenInA { b: at } => line_json("unseen", None, Some(b.line(at)))?,
            }
        }
        let counts = self.compared.counts();
        let phases = counts.by_phase();
        let phases: serde_json::Map<_, _> = phases
            .map(|(phase, counts)| (phase.as_str().to_owned(), counts_json(&counts)))
            .collect();
        let mut summary = counts_json(&counts.all());
        summary["kind"] = json!("summary");
        summary["phases"] = Value::Object(phases);
        summary["is_coarse"] = json!(self.is_coarse);
        output::json_line(&summary)
    }

    /// What went wrong in one log alone, and whether it is new or gone.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding<'static>)> {
        let new = self.compared.findings_new().into_iter();
        let gone = self.compared.findings_gone().into_iter();
        new.map(|finding| ("new", finding))
            .chain(gone.map(|finding| ("gone", finding)))
    }

    /// What is to be known before the differences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_later {
            notes.push("no good boot is before it: it is compared with a later one".to_owned());
        }
        let kernel = |log: &Log| kernel_release(&log.boot.log).map(str::to_owned);
        if let (Some(a), Some(b)) = (kernel(self.a), kernel(self.b))
            && a != b
        {
            let of =
                |release: &str| ecs_console_archiver::printable::one_line(release).into_owned();
            notes.push(format!("the kernels differ: {} and {}", of(&a), of(&b)));
        }
        for (name, log, side) in [
            ("first", self.a, &self.compared.a),
            ("second", self.b, &self.compared.b),
        ] {
            if side.is_empty() {
                notes.push(format!("the {name} log is empty"));
            }
            if log.is_end_unknown {
                notes.push(format!("the last words of the {name} log may be missing"));
            }
            let places = match side.gaps() {
                0 => continue,
                count => output::count(count as u64, "place"),
            };
            notes.push(format!(
                "output of the {name} log is lost at {places}: what the other has there is no difference"
            ));
        }
        if self.a.masked + self.b.masked > 0 {
            notes.push(format!(
                "secrets are masked, {} in the first log and {} in the second, and not compared; REDACT=off compares them",
                self.a.masked, self.b.masked
            ));
        }
        if self.is_coarse {
            let seconds = TIME.as_secs();
            notes.push(format!(
                "after {seconds} s the comparison became coarse: some of these lines may be equal"
            ));
        }
        notes
    }

    fn summary(&self) -> String {
        let counts = self.compared.counts().all();
        let mut parts = match (counts.removed, counts.added) {
            (0, 0) => vec!["no difference".to_owned()],
            (removed, added) => vec![format!("{removed} removed"), format!("{added} added")],
        };
        if counts.moved > 0 {
            let shown = self.form.is_moved_shown || self.form.is_counted_only;
            let option = if shown { "" } else { " (--moved shows them)" };
            parts.push(format!("{} moved{option}", counts.moved));
        }
        if counts.unseen > 0 {
            parts.push(format!(
                "{} where the other's output is lost",
                counts.unseen
            ));
        }
        parts.join(", ")
    }

    fn table(&self) -> String {
        let mut columns = vec![Column::text("PHASE")];
        columns.extend(["REMOVED", "ADDED", "MOVED", "UNSEEN"].map(Column::number));
        let counts = self.compared.counts();
        let rows = counts.by_phase().map(|(phase, counts)| {
            let numbers = [counts.removed, counts.added, counts.moved, counts.unseen];
            let mut cells = vec![phase.as_str().into()];
            cells.extend(numbers.map(|number| number.to_string().into()));
            cells
        });
        let rows: Vec<_> = rows.collect();
        match rows.is_empty() {
            true => String::new(),
            false => Table::new(columns, rows).show(None, self.form.colours),
        }
    }

    /// Of long logs, a part at a time. The rest is left in `text`.
    fn print_hunks(
        &self,
        findings: &[(&str, &Finding)],
        text: &mut String,
        destination: &mut impl Write,
    ) -> io::Result<()> {
        let mut layout = Layout {
            compared: self.compared,
            form: self.form,
            masks: Masks::default(),
        };
        let items = layout.items();
        for range in hunks(&items, self.form.context) {
            self.push_hunk(&items, range, findings, text);
            if text.len() >= AT_ONCE {
                destination.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        Ok(())
    }

    fn push_hunk(
        &self,
        items: &[Item],
        range: Range<usize>,
        findings: &[(&str, &Finding)],
        text: &mut String,
    ) {
        let (a, b) = (&self.compared.a, &self.compared.b);
        let first_of = |is_of_a: bool| {
            items[range.clone()].iter().find_map(|item| match item {
                Item::Equal { a, b } => Some(if is_of_a { *a } else { *b }),
                Item::Rows(rows) => rows.iter().find_map(|row| match row {
                    Row::Line { sign, index, .. } if sign.is_of_a() == is_of_a => Some(*index),
                    _ => None,
                }),
            })
        };
        let line_a = first_of(true).map(|index| a.line(index));
        let line_b = first_of(false).map(|index| b.line(index));
        let number = |line: &Option<LineOf>| line.as_ref().map_or(0, |line| line.number);
        let phase = line_b.as_ref().or(line_a.as_ref()).map(|line| line.phase);
        let phase = phase.map_or("", Phase::as_str);
        let heading = format!("@@ -{} +{} @@ {phase}", number(&line_a), number(&line_b));
        self.push(AnsiColor::Cyan.on_default(), &heading, text);
        for item in &items[range] {
            match item {
                Item::Equal { b: index, .. } => {
                    text.push(' ');
                    self.push(Style::new(), b.line(*index).text, text);
                }
                Item::Rows(rows) => {
                    rows.iter()
                        .for_each(|row| self.push_row(row, findings, text));
                }
            }
        }
    }

    fn push_row(&self, row: &Row, findings: &[(&str, &Finding)], text: &mut String) {
        match row {
            Row::Folded { sign, lines: count } => {
                let said = format!("{} more, folded (--unfold shows them)", lines(*count));
                self.push(sign.style(), &format!("{}⟨{said}⟩", sign.as_str()), text);
            }
            Row::Line {
                sign,
                index,
                different,
                count,
            } => {
                let LineOf {
                    number, text: line, ..
                } = sign.side(self.compared).line(*index);
                for &(change, finding) in findings {
                    if finding.line == number && (change == "gone") == sign.is_of_a() {
                        let mark = finding::mark(finding, &finding.signature());
                        self.push(style_of(change, finding), &format!("# {mark}"), text);
                    }
                }
                let mut shown = sign.as_str().to_owned();
                let (style, mut from) = (sign.style(), 0);
                if self.form.colours {
                    for place in different {
                        shown.push_str(&line[from..place.start]);
                        let word = style.invert();
                        let _ = write!(shown, "{word}{}{word:#}{style}", &line[place.clone()]);
                        from = place.end;
                    }
                }
                shown.push_str(&line[from..]);
                if *count > 1 {
                    let _ = write!(shown, " ⟨×{count}⟩");
                }
                self.push(style, &shown, text);
            }
        }
    }

    /// Appends a line in a style.
    /// What is said of the logs. Where it is not read beside lines of them, it is in lines that fit.
    fn push_note(&self, style: Style, note: &str, text: &mut String) {
        let width = output::width().filter(|_| self.form.is_counted_only);
        let note = output::wrapped(note, width.map(|width| width.saturating_sub(2)));
        for line in note.lines() {
            self.push(style, &format!("# {line}"), text);
        }
    }

    fn push(&self, style: Style, line: &str, text: &mut String) {
        if self.form.colours && !style.is_plain() {
            let _ = writeln!(text, "{style}{line}{style:#}"); // Writing to a string does not fail.
        } else {
            text.extend([line, "\n"]);
        }
    }
}

fn style_of(change: &str, finding: &Finding) -> Style {
    match change {
        "new" => finding::style(finding.severity),
        _ => Style::new().dimmed(),
    }
}

fn line_json(kind: &str, a: Option<LineOf>, b: Option<LineOf>) -> Result<()> {
    let mut json = json!({"kind": kind});
    for (name, line) in [("a", a), ("b", b)] {
        if let Some(line) = line {
            json["phase"] = json!(line.phase.as_str());
            json["text"] = json!(line.text);
            json["key"] = json!(line.key);
            json[name] = json!({
                "line": line.number,
                "at": line.bytes.start,
                "bytes": line.bytes.len(),
            });
        }
    }
    output::json_line(&json)
}

fn counts_json(counts: &Counts) -> Value {
    json!({
        "removed": counts.removed,
        "added": counts.added,
        "moved": counts.moved,
        "unseen": counts.unseen,
    })
}

#[cfg(test)]
mod tests {
    use ecs_console_archiver::reading::compare::Manner;
    use ecs_console_archiver::reading::encoding::EncodingChoice;
    use ecs_console_archiver::reading::stitch::Boot;

    use super::*;

    #[test]
    fn a_coarse_comparison_says_so_before_the_differences() {
        let log = |text: &str| Log {
            boot: Boot::of_log(text.as_bytes().to_vec()),
            heading: "a log".to_owned(),
            json: json!({}),
            is_end_unknown: false,
            masked: 0,
        };
        let (a, b) = (log("one\n"), log("two\n"));
        let manner = Manner::default();
        let [side_a, side_b] =
            [&a, &b].map(|log| Side::read(&log.boot, EncodingChoice::Auto, manner));
        let compared = Comparison::new(side_a, side_b, manner, None);
        let form = Form {
            context: 3,
            is_moved_shown: false,
            is_unfolded: false,
            is_counted_only: false,
            colours: false,
        };
        let shown = |is_coarse| {
            let printer = Printer {
                a: &a,
                b: &b,
                compared: &compared,
                is_coarse,
                is_later: false,
                form: &form,
            };
            let mut text = Vec::new();
            printer.print(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let note =
            "# after 5 s the comparison became coarse: some of these lines may be equal\n@@ ";
        assert!(shown(true).contains(note), "{}", shown(true));
        assert!(!shown(false).contains("coarse"));
    }
}
