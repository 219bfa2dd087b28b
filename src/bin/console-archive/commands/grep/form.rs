//! What is printed of a log that was searched: as grep and ripgrep print it.

use std::ops::Range;

use anstyle::{AnsiColor, Style};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::reading::clock::{GuestClock, LineTime, LineTimes};
use ecs_console_archiver::reading::search::{Places, Search, Stamps, Text, TextLine, Told};
use ecs_console_archiver::reading::stitch::Boot;
use ecs_console_archiver::terminal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::boots::add_origin;
use crate::output;
use crate::time::Period;

/// What is told of each log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its lines that match.
    Lines,
    /// What matches in them, a line each.
    Matches,
    /// How many lines match.
    LineCount,
    /// How many matches there are.
    MatchCount,
    /// Its name, if a line matches.
    Names,
    /// Its name, if none does.
    NamesWithout,
    /// Nothing: the exit code says it.
    Nothing,
}

/// How it is printed.
#[derive(Debug, Clone)]
pub struct Form {
    pub kind: Kind,
    pub is_json: bool,
    pub has_numbers: bool,
    /// The name stands once above its lines, not in each.
    pub has_headings: bool,
    pub colours: bool,
    /// The rest of a longer line is left out.
    pub max_columns: Option<usize>,
    /// At most so many lines that match.
    pub most: u64,
    /// Of a line, so many matches are told as JSON. Further ones are counted.
    pub max_matches: usize,
    /// Of a longer line, only this is told as JSON.
    pub excerpt: Option<Excerpt>,
    /// Says when nobody waits for what is found any more.
    pub cancelled: CancellationToken,
    /// Lines are bytes of the guest, which must not reach a terminal.
    pub is_raw: bool,
    pub period: Period,
}

/// A part of a line, around its first match. Guests write lines of a megabyte, in which each byte may match.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt {
    pub characters: usize,
    /// So many of them stand before the match, if there are as many.
    pub before: usize,
}

/// Matches of a line that `grep` tells as JSON.
pub const MAX_MATCHES: usize = 1000;

/// What was found in a log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub matches: u64,
}

/// A log, and what it is called.
pub struct Subject<'a> {
    pub instance_id: &'a str,
    pub boot: &'a Boot,
    /// The boot's ID, or the name of a record.
    pub name: &'a str,
    pub is_boot: bool,
}

const NAME: Style = AnsiColor::Magenta.on_default();
const NUMBER: Style = AnsiColor::Green.on_default();
const MATCH: Style = AnsiColor::Red.on_default().bold();

impl Form {
    /// Searches a text. Appends what is to be printed of it.
    pub fn search(
        &self,
        search: &mut Search,
        text: &Text<'_>,
        subject: &Subject<'_>,
        printed: &mut Vec<u8>,
    ) -> Counts {
        let is_quick = matches!(self.kind, Kind::Names | Kind::NamesWithout | Kind::Nothing);
        // To count them takes a second search of each line.
        let needs_matches = self.is_json
            || matches!(self.kind, Kind::Matches | Kind::MatchCount)
            || (self.kind == Kind::Lines && self.colours);
        let begun = printed.len();
        let mut counts = Counts::default();
        let mut found = Found {
            form: self,
            subject,
            places: text.places(),
            stamps: text.stamps(),
            times: None,
            printed,
        };
        // What stands around a match of another time is not told either.
        let (mut before, mut is_behind_match, mut is_apart) = (Vec::new(), false, false);
        search.run(text, |told, pattern| match told {
            Told::Match(at, line) => {
                let time = found.time(at);
                is_behind_match = time.is_none_or(|time| self.period.contains(time.time()));
                if !is_behind_match {
                    before.clear();
                    is_apart = true;
                    return true;
                }
                let (mut matches, mut count) = (Vec::new(), 0);
                if needs_matches {
                    pattern.matches(line, |place| {
                        count += 1;
                        let is_told = !self.is_json || count <= self.max_matches;
                        if is_told {
                            matches.push(place);
                        }
                        // Who sees a part of a line alone is told nothing of the others.
                        is_told || self.excerpt.is_none()
                    });
                }
                if counts.lines == 0 {
                    found.begin();
                } else if std::mem::take(&mut is_apart) {
                    found.between();
                }
                is_apart = false;
                for (at, line) in before.drain(..) {
                    found.context(at, line);
                }
                counts.lines += 1;
                counts.matches += count.max(1) as u64;
                found.matched(at, line, (&matches, count), time);
                !is_quick && counts.lines < self.most && !self.cancelled.is_cancelled()
            }
            Told::Before(at, line) => {
                before.push((at, line));
                true
            }
            Told::After(at, line) => {
                if is_behind_match {
                    found.context(at, line);
                }
                true
            }
            Told::Break => {
                is_apart = true;
                true
            }
        });
        if self.has_headings && printed.len() > begun {
            printed.push(b'\n');
        }
        self.end(subject, counts, printed);
        counts
    }

    /// Appends what is to be printed of a text in which nothing was found.
    pub fn nothing(&self, subject: &Subject<'_>, printed: &mut Vec<u8>) {
        self.end(subject, Counts::default(), printed);
    }

    /// Times are looked up only where somebody asked for them.
    pub fn needs_times(&self) -> bool {
        self.is_json || self.period.is_bounded()
    }

    fn end(&self, subject: &Subject<'_>, counts: Counts, printed: &mut Vec<u8>) {
        let path = subject.path();
        let count = match self.kind {
            Kind::LineCount if counts.lines > 0 => Some(counts.lines),
            Kind::MatchCount if counts.lines > 0 => Some(counts.matches),
            _ => None,
        };
        let is_named = match self.kind {
            Kind::Names => counts.lines > 0,
            Kind::NamesWithout => counts.lines == 0,
            _ => false,
        };
        if self.is_json {
            if counts.lines > 0 {
                let stats = json!({"matched_lines": counts.lines, "matches": counts.matches});
                push_json(
                    &json!({"type": "end", "data": {"path": {"text": path}, "stats": stats}}),
                    printed,
                );
            }
            return;
        }
        if let Some(count) = count {
            let name = self.styled(NAME, &path);
            printed.extend(format!("{name}:{count}\n").bytes());
        }
        if is_named {
            printed.extend(self.styled(NAME, &path).bytes());
            printed.push(b'\n');
        }
    }

    fn styled(&self, style: Style, text: &str) -> String {
        match self.colours {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}

impl Subject<'_> {
    fn path(&self) -> String {
        format!("{}/{}", self.instance_id, self.name)
    }
}

/// What is being found in a log.
struct Found<'f> {
    form: &'f Form,
    subject: &'f Subject<'f>,
    places: Places<'f>,
    stamps: Stamps<'f>,
    times: Option<LineTimes<'f>>,
    printed: &'f mut Vec<u8>,
}

impl Found<'_> {
    /// When a line was printed, if anybody asked.
    fn time(&mut self, at: TextLine) -> Option<LineTime> {
        if !self.form.needs_times() {
            return None;
        }
        let boot = self.subject.boot;
        let times = self.times.get_or_insert_with(|| {
            let clock = GuestClock::of(&boot.log, boot.captures[0].captured_at);
            LineTimes::new(boot, clock)
        });
        times.of(self.stamps.at(at.index), &self.places.of(at.index))
    }

    /// Before the first line.
    fn begin(&mut self) {
        let path = self.subject.path();
        if self.form.is_json {
            push_json(
                &json!({"type": "begin", "data": {"path": {"text": path}}}),
                self.printed,
            );
        } else if self.form.has_headings && self.prints_lines() {
            self.printed.extend(self.form.styled(NAME, &path).bytes());
            self.printed.push(b'\n');
        }
    }

    fn prints_lines(&self) -> bool {
        matches!(self.form.kind, Kind::Lines | Kind::Matches)
    }

    fn matched(
        &mut self,
        at: TextLine,
        line: &[u8],
        (matches, count): (&[Range<usize>], usize),
        time: Option<LineTime>,
    ) {
        match self.form.kind {
            Kind::Lines | Kind::Matches if self.form.is_json => {
                self.json("match", at, line, (matches, count), time);
            }
            Kind::Lines => self.line(at, line, matches, ':'),
            Kind::Matches => {
                for place in matches {
                    let whole = 0..place.len();
                    self.line(at, &line[place.clone()], &[whole], ':');
                }
            }
            _ => {}
        }
    }

    fn context(&mut self, at: TextLine, line: &[u8]) {
        if self.form.is_json {
            let time = self.time(at);
            self.json("context", at, line, (&[], 0), time);
        } else if self.form.kind == Kind::Lines {
            self.line(at, line, &[], '-');
        }
    }

    fn between(&mut self) {
        if self.form.kind == Kind::Lines && !self.form.is_json {
            self.printed.extend(b"--\n");
        }
    }

    fn line(&mut self, at: TextLine, line: &[u8], matches: &[Range<usize>], sign: char) {
        let mut shown = String::new();
        if !self.form.has_headings {
            shown.push_str(&self.form.styled(NAME, &self.subject.path()));
            shown.push(sign);
        }
        if self.form.has_numbers {
            shown.push_str(&self.form.styled(NUMBER, &at.number.to_string()));
            shown.push(sign);
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) if !self.form.is_raw => self.highlighted(text, matches),
            _ => self.cut(
                terminal::printable(line)
                    .trim_end_matches('\n')
                    .replace('\n', "⏎"),
            ),
        };
        shown.push_str(&text);
        shown.push('\n');
        self.printed.extend(shown.bytes());
    }

    fn highlighted(&self, text: &str, matches: &[Range<usize>]) -> String {
        let is_long = |most| text.chars().nth(most).is_some();
        if !self.form.colours || self.form.max_columns.is_some_and(is_long) {
            return self.cut(text.to_owned());
        }
        let (mut shown, mut end) = (String::new(), 0);
        for place in matches {
            shown.push_str(&text[end..place.start]);
            shown.push_str(&self.form.styled(MATCH, &text[place.clone()]));
            end = place.end;
        }
        shown.push_str(&text[end..]);
        shown
    }

    fn cut(&self, text: String) -> String {
        let count = text.chars().count();
        match self.form.max_columns {
            Some(most) if count > most => {
                let kept: String = text.chars().take(most).collect();
                format!("{kept} ⟨{} characters more⟩", count - most)
            }
            _ => text,
        }
    }

    /// ripgrep's shape, with where the line is in the archive and when it was printed. `count` is how many matches there
    /// are.
    fn json(
        &mut self,
        kind: &str,
        at: TextLine,
        line: &[u8],
        (matches, count): (&[Range<usize>], usize),
        time: Option<LineTime>,
    ) {
        let whole = line.len();
        let excerpt = self.form.excerpt.map(|excerpt| excerpt.of(line, matches));
        let (part, matches) = match &excerpt {
            Some((part, matches)) => (part.clone(), &matches[..]),
            None => (0..whole, matches),
        };
        let line = &line[part.clone()];
        let submatches = matches.iter().map(|place| {
            json!({"match": text_json(&line[place.clone()]), "start": place.start, "end": place.end})
        });
        let bytes = self.places.of(at.index);
        let mut data = json!({
            "path": {"text": self.subject.path()},
            "lines": text_json(line),
            "line_number": at.number,
            "absolute_offset": bytes.start,
            "submatches": submatches.collect::<Vec<_>>(),
            "instance_id": self.subject.instance_id,
        });
        if self.subject.is_boot {
            data["boot_id"] = json!(self.subject.name);
        }
        if excerpt.is_some() {
            data["is_cut"] = json!([part.start > 0, part.end < whole]);
        } else if count > matches.len() {
            data["submatches_left_out"] = json!(count - matches.len());
        }
        add_origin(self.subject.boot, bytes.start, time, &mut data);
        if at.is_rewrite {
            data["is_rewrite"] = json!(true);
        }
        push_json(&json!({"type": kind, "data": data}), self.printed);
    }
}

impl Excerpt {
    /// The part of a line, and the matches in it. Those that touch are one.
    fn of(self, line: &[u8], matches: &[Range<usize>]) -> (Range<usize>, Vec<Range<usize>>) {
        let part = match std::str::from_utf8(line) {
            Ok(text) => self.part(text, matches.first().map_or(0, |first| first.start)),
            Err(_) => 0..line.len().min(self.characters),
        };
        let mut told = Vec::<Range<usize>>::new();
        for place in matches {
            let within = |at: usize| at.clamp(part.start, part.end) - part.start;
            let place = within(place.start)..within(place.end);
            match told.last_mut() {
                _ if place.is_empty() => {}
                Some(last) if last.end == place.start => last.end = place.end,
                _ => told.push(place),
            }
        }
        (part, told)
    }

    fn part(self, text: &str, first: usize) -> Range<usize> {
        let behind = |from: usize| {
            let mut rest = text[from..].char_indices();
            rest.nth(self.characters)
                .map_or(text.len(), |(at, _)| from + at)
        };
        if behind(0) == text.len() {
            return 0..text.len();
        }
        let before = text[..first].char_indices();
        let from = before.rev().nth(self.before).map_or(0, |(at, _)| at);
        from..behind(from)
    }
}

/// As ripgrep has it: bytes that are no text are in Base64.
fn text_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"bytes": BASE64_STANDARD.encode(bytes)}),
    }
}

fn push_json(value: &Value, printed: &mut Vec<u8>) {
    printed.extend(output::json_text(value).bytes());
}
