//! The lines of boots → what is printed of them.

use std::collections::VecDeque;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::Result;
use clap::ValueEnum;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::clock::{GuestClock, LineTime, LineTimes};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::Finding;
use ecs_console_archiver::reading::log::{Log, Part, Place};
use ecs_console_archiver::reading::pattern::Pattern;
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::Mark;
use ecs_console_archiver::terminal::{Line, Rewrites};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{divider, styled_divider};
use crate::boots::{Summary, add_origin, mark_in_words, mark_json};
use crate::finding;
use crate::output;
use crate::pager::Destination;
use crate::time::{self, Period};

/// The form of the times before lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeForm {
    /// As the guest printed them
    #[default]
    Raw,
    /// Seconds since the kernel began
    Boot,
    /// Of day, by the guest's clock (≈), or of the capture that shows the line (≤)
    Wall,
    /// Seconds since the line with a time before
    Delta,
}

/// How many lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    First(usize),
    Last(usize),
}

impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected a number of lines such as 20, or +20 for the first ones";
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| expected),
            false => Err(expected),
        };
        match text.strip_prefix('+') {
            Some(first) => number(first).map(Self::First),
            None => number(text).map(Self::Last),
        }
    }
}

/// What is printed of each line, and of which lines.
pub struct Content {
    pub period: Period,
    pub pattern: Option<Pattern>,
    /// Only lines with findings, and so many around each.
    pub around_findings: Option<usize>,
    pub time: TimeForm,
    pub zone: TimeZone,
    pub encoding: EncodingChoice,
    pub is_raw: bool,
    pub is_json: bool,
    /// Whether each boot has a heading.
    pub has_headings: bool,
    pub colours: bool,
    pub rewrites: Rewrites,
}

impl Content {
    /// Whether no line is left out.
    fn is_all(&self) -> bool {
        !self.period.is_bounded() && self.pattern.is_none()
    }

    /// Whether lines with findings are told.
    fn has_findings(&self) -> bool {
        self.is_json || self.has_headings || self.around_findings.is_some()
    }
}

/// A boot, with what its lines need beside it.
pub struct Reader<'a> {
    content: &'a Content,
    instance_id: &'a InstanceId,
    summary: &'a Summary<'a>,
    times: LineTimes<'a>,
    clock: Clock,
    /// What the boot says went wrong, as far as it is told, in the order of lines.
    findings: Vec<Finding<'static>>,
}

/// The column of times.
pub struct Clock {
    form: TimeForm,
    /// Whether the guest's clock is known and right.
    is_known: bool,
    last: Option<Stamp>,
}

impl<'a> Reader<'a> {
    pub fn new(
        content: &'a Content,
        instance_id: &'a InstanceId,
        summary: &'a Summary<'a>,
    ) -> Self {
        Self {
            content,
            instance_id,
            summary,
            times: LineTimes::new(summary.boot, summary.clock),
            clock: Clock::new(content.time, summary.clock),
            findings: Vec::new(),
        }
    }

    /// The same with what the boot says went wrong. A boot that goes on has not said all.
    fn with_findings(mut self) -> Self {
        if self.content.has_findings() {
            let encoding = self.content.encoding;
            self.findings = self.summary.findings(encoding);
            self.findings.sort_by_key(|finding| finding.line);
        }
        self
    }

    /// The findings whose first line is one of these.
    fn findings_in(&self, lines: RangeInclusive<usize>) -> &[Finding<'static>] {
        let from = |number| {
            self.findings
                .partition_point(|finding| finding.line < number)
        };
        &self.findings[from(*lines.start())..from(lines.end().saturating_add(1))]
    }

    /// What is printed before a line that says what went wrong.
    fn marks_of_findings(&self, place: &Place) -> Vec<u8> {
        if self.content.is_json {
            return Vec::new();
        }
        let marks = self.findings_of(place).map(|finding| {
            let style = finding::style(finding.severity);
            let text = finding::mark(finding, &finding::in_words(finding));
            styled_divider(&text, self.content.colours.then_some(style))
        });
        marks.collect::<String>().into_bytes()
    }

    /// The findings that this line says first. Of a long line, that is one of its parts.
    fn findings_of(&self, place: &Place) -> impl Iterator<Item = &Finding<'static>> {
        let found = self.findings_in(place.number..=place.number).iter();
        let bytes = place.bytes.clone();
        found.filter(move |finding| finding.bytes == bytes)
    }

    /// What is printed of a line; empty if the line is not to be shown.
    pub fn line(&mut self, line: &mut Line, place: &Place) -> Vec<u8> {
        let stamp = place.stamp.map(|stamp| stamp.stamp);
        let time = self.times.of(stamp, &place.bytes);
        let content = self.content;
        let is_shown = time.is_none_or(|time| content.period.contains(time.time()))
            && content.around_findings.is_none_or(|around| {
                let (from, to) = (
                    place.number.saturating_sub(around),
                    place.number.saturating_add(around),
                );
                !self.findings_in(from..=to).is_empty()
            });
        // Also a line that is left out is the one before the next.
        let column = self.clock.column(place, time, &content.zone);
        if !is_shown
            || content
                .pattern
                .as_ref()
                .is_some_and(|pattern| !matches(pattern, line))
        {
            return Vec::new();
        }
        if content.is_raw {
            return self.summary.boot.log[place.bytes.clone()].to_vec();
        }
        if content.is_json {
            return output::json_text(&self.line_json(line, place, time)).into_bytes();
        }
        let mut shown = column;
        if let Some(stamp) = place.stamp.filter(|_| self.clock.replaces_stamps()) {
            line.remove_front(stamp.length);
        }
        line.show(content.colours, content.rewrites, &mut shown);
        shown.into_bytes()
    }

    /// What is printed of a mark.
    pub fn mark(&self, mark: &Mark) -> Vec<u8> {
        if self.content.is_json {
            let mut value = mark_json(mark);
            self.add_boot(&mut value);
            return output::json_text(&value).into_bytes();
        }
        divider(&mark_in_words(mark), self.content.colours).into_bytes()
    }

    pub fn heading(&self) -> String {
        let Summary { boot, number, .. } = self.summary;
        let captures = match boot.captures.len() {
            1 => "1 capture".to_owned(),
            count => format!("{count} captures"),
        };
        let text = format!(
            "boot {number}  {}  began {}  ended: {}  {captures}, {}{}",
            boot.id,
            self.summary.started_in_words(&self.content.zone),
            self.summary.ending_in_words(),
            output::count(boot.log.len() as u64, "byte"),
            match self.findings.len() {
                0 => String::new(),
                count => format!(", {}: / !!", output::count(count as u64, "finding")),
            },
        );
        divider(&text, self.content.colours)
    }

    fn line_json(&self, line: &Line, place: &Place, time: Option<LineTime>) -> Value {
        let mut value = json!({
            "line": place.number,
            "text": line.text(),
            "at": place.bytes.start,
            "bytes": place.bytes.len(),
        });
        self.add_boot(&mut value);
        if let Some(stamp) = place.stamp {
            value["stamp_seconds"] = json!(seconds(stamp.stamp));
        }
        add_origin(self.summary.boot, place.bytes.start, time, &mut value);
        let findings: Vec<_> = self.findings_of(place).map(finding::in_short).collect();
        if !findings.is_empty() {
            value["findings"] = json!(findings);
        }
        let rewrites: Vec<_> = line.rewrites().map(|rewrite| rewrite.text).collect();
        if !rewrites.is_empty() {
            value["rewrites"] = json!(rewrites);
        }
        value
    }

    fn add_boot(&self, value: &mut Value) {
        value["instance_id"] = json!(self.instance_id);
        value["boot_id"] = json!(self.summary.boot.id);
    }
}

/// Whether the line, or what was written over on it, has a match.
fn matches(pattern: &Pattern, line: &Line) -> bool {
    pattern.is_match(line.text())
        || line
            .rewrites()
            .any(|rewrite| pattern.is_match(rewrite.text))
}

fn seconds(stamp: Stamp) -> f64 {
    stamp.micros as f64 / 1e6
}

impl Clock {
    /// For the lines of a boot, in their order.
    pub fn new(form: TimeForm, clock: GuestClock) -> Self {
        Self {
            form,
            is_known: matches!(clock, GuestClock::Right(_)),
            last: None,
        }
    }

    /// Whether the guest's own stamp is left out. It says more than when the line was captured.
    pub fn replaces_stamps(&self) -> bool {
        match self.form {
            TimeForm::Raw => false,
            TimeForm::Wall => self.is_known,
            TimeForm::Boot | TimeForm::Delta => true,
        }
    }

    /// What stands before a line. `time` is when it was printed.
    pub fn column(&mut self, place: &Place, time: Option<LineTime>, zone: &TimeZone) -> String {
        let stamp = place.stamp.map(|stamp| stamp.stamp);
        let before = self.last;
        self.last = stamp.or(self.last);
        let text = match (self.form, stamp) {
            (TimeForm::Raw, _) => return String::new(),
            (TimeForm::Boot, Some(stamp)) => format!("[{:12.6}]", seconds(stamp)),
            (TimeForm::Delta, Some(stamp)) => {
                // Lines of several processors may be out of order.
                let since = stamp.micros.saturating_sub(before.unwrap_or(stamp).micros);
                format!("<{:12.6}>", seconds(Stamp { micros: since }))
            }
            (TimeForm::Wall, stamp) if stamp.is_some() || !self.is_known => match time {
                Some(LineTime::About(time)) => format!("≈ {}", time::shown_to_millis(time, zone)),
                Some(LineTime::NotAfter(time)) => format!("≤ {}", time::shown(time, zone)),
                None => String::new(),
            },
            _ => String::new(),
        };
        let width = match self.form {
            TimeForm::Wall if !self.is_known => "≤ ".chars().count() + time::width(zone),
            TimeForm::Wall => "≈ ".chars().count() + time::width(zone) + ".123".len(),
            _ => "[    1.234567]".len(),
        };
        format!("{text:width$} ")
    }
}

/// What a piece of the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of a boot.
    Heading,
    /// What is said between two lines.
    Between,
    /// A line, with what is said of it.
    Line,
}

/// Prints boots, one after the other.
pub struct Printer {
    destination: Destination,
    amount: Option<Amount>,
    is_reverse: bool,
    /// What cannot be printed before all is known.
    held: VecDeque<(Kind, Vec<u8>)>,
    /// How many lines are held or were printed.
    count: usize,
}

/// Lines that are shown without looking for Ctrl-C.
const LINES_AT_ONCE: usize = 256;

impl Printer {
    pub fn new(destination: Destination, amount: Option<Amount>, is_reverse: bool) -> Self {
        Self {
            destination,
            amount,
            is_reverse,
            held: VecDeque::new(),
            count: 0,
        }
    }

    /// Prints a boot, or holds what will be printed of it.
    pub async fn boot(
        &mut self,
        content: &Content,
        summary: &Summary<'_>,
        instance_id: &InstanceId,
    ) -> Result<()> {
        if content.is_raw {
            for mark in &summary.boot.marks {
                output::error(format_args!("{}, at byte {}", mark_in_words(mark), mark.at));
            }
            if content.is_all() && self.amount.is_none() && !self.is_reverse {
                // Sequences may stand behind the last line, and belong to none.
                self.destination.write_all(&summary.boot.log)?;
                self.count += 1;
                return Ok(());
            }
        }
        if let (TimeForm::Wall, GuestClock::Wrong { said }) = (content.time, summary.clock) {
            output::error(format_args!(
                "warning: the guest's clock is wrong, it said {}; times are those of captures (≤)",
                time::shown(said, &content.zone)
            ));
        }
        let log = Log::new(summary.boot, content.encoding);
        let mut reader = Reader::new(content, instance_id, summary).with_findings();
        let mut heading = content.has_headings.then(|| reader.heading());
        let (mut parts, mut line, mut number) = (log.parts(), Line::default(), 0);
        // A mark is shown beside a line that is shown.
        let mut is_beside = !content.period.is_bounded();
        let mut waiting = Vec::new();
        // The number of the line that was shown last.
        let mut shown_last = None;
        while let Some(part) = parts.read(&mut line) {
            number += 1;
            if number % LINES_AT_ONCE == 0 {
                tokio::task::yield_now().await; // Ctrl-C ends it here, after a whole line.
            }
            let (is_line, shown) = match part {
                Part::Mark(_)
                    if content.is_raw
                        || content.pattern.is_some()
                        || content.around_findings.is_some() =>
                {
                    continue;
                }
                Part::Mark(mark) => (false, reader.mark(&mark)),
                Part::Line(place) => {
                    let mut shown = reader.line(&mut line, &place);
                    if !shown.is_empty() {
                        let left_out = shown_last.map_or(0, |last| place.number - last);
                        if left_out > 1 && content.around_findings.is_some() && !content.is_json {
                            let left_out = output::count(left_out as u64 - 1, "line");
                            let said = divider(&format!("{left_out} not shown"), content.colours);
                            waiting.push(said.into_bytes());
                        }
                        // It stands before its line in whatever order lines are.
                        let mut marked = reader.marks_of_findings(&place);
                        if !marked.is_empty() {
                            marked.append(&mut shown);
                            shown = marked;
                        }
                        shown_last = Some(place.number);
                    }
                    (true, shown)
                }
            };
            if content.period.is_bounded() {
                if is_line {
                    is_beside = !shown.is_empty();
                } else if !is_beside {
                    waiting.push(shown);
                    continue;
                }
                if !is_beside {
                    waiting.clear();
                }
            }
            if shown.is_empty() {
                continue;
            }
            // A boot of which nothing is shown has no heading.
            if let Some(heading) = heading.take() {
                self.put(Kind::Heading, heading.into_bytes())?;
            }
            for shown in waiting.drain(..) {
                self.put(Kind::Between, shown)?;
            }
            let kind = if is_line { Kind::Line } else { Kind::Between };
            if !self.put(kind, shown)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether more is wanted.
    fn put(&mut self, kind: Kind, shown: Vec<u8>) -> Result<bool> {
        if let Some(Amount::First(most)) = self.amount
            && self.count >= most
        {
            return Ok(false);
        }
        self.count += usize::from(kind == Kind::Line);
        let last = match self.amount {
            Some(Amount::Last(last)) => Some(last),
            _ => None,
        };
        if !self.is_reverse && last.is_none() {
            self.destination.write_all(&shown)?;
            return Ok(true);
        }
        self.held.push_back((kind, shown));
        while last.is_some_and(|last| self.count > last) {
            let Some((kind, _)) = self.held.pop_front() else {
                break;
            };
            self.count -= usize::from(kind == Kind::Line);
        }
        Ok(true)
    }

    /// Prints what is held. Returns how many lines there were.
    pub fn finish(mut self) -> Result<usize> {
        let mut held = std::mem::take(&mut self.held);
        if self.is_reverse {
            let held = held.make_contiguous();
            held.reverse();
            // A heading stands above its boot all the same.
            for boot in held.split_inclusive_mut(|(kind, _)| *kind == Kind::Heading) {
                if let [.., (Kind::Heading, _)] = boot {
                    boot.rotate_right(1);
                }
            }
        }
        for (_, shown) in held {
            self.destination.write_all(&shown)?;
        }
        self.destination.close()?;
        Ok(self.count)
    }
}
