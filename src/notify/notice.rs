//! What one notice says. Pure.
//!
//! What a guest wrote is made safe here, once: control characters and characters that turn text around are spelled out,
//! secrets are masked, and lines are cut. Each receiver's own markup is escaped in [`payload`](super::payload).

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::archive::catalog::Day;
use crate::archive::notice::NoticeId;
use crate::model::event::InstanceEvent;
use crate::model::finding::{Finding, Severe, Severity};
use crate::model::ids::{InstanceId, RegionId};
use crate::printable::one_line;
use crate::reading::began::boot_began;
use crate::reading::findings::{self, plain_line};

/// Lines of the console that a notice shows.
const MAX_LINES: usize = 20;
/// So many of them stand before the line that says it first, if there are enough behind it.
const LINES_BEFORE: usize = 5;
/// Most characters of a line.
const MAX_LINE_CHARACTERS: usize = 200;
/// Most bytes of a line that are looked at.
const MAX_LINE_BYTES: usize = 4096;
/// Most characters of a title, a signature or an advice. Rules of one's own have any.
const MAX_TITLE_CHARACTERS: usize = 200;
const MAX_ADVICE_CHARACTERS: usize = 500;

/// A finding of one instance that may be worth a notice.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// What was found.
    pub finding: Finding,
    /// What a person can do.
    pub advice: String,
    /// What else the console shows that is bad enough, the worst first.
    #[serde(default)]
    pub also: Vec<Finding>,
    /// The instance.
    pub instance_id: InstanceId,
    /// Its region.
    pub region_id: RegionId,
    /// When the console was captured.
    pub captured_at: Timestamp,
    /// When the boot began, if the console says it.
    pub boot_began_at: Option<Timestamp>,
    /// Lines of the console around the one that says it first.
    pub lines: Vec<String>,
    /// Index of the line that says it first.
    #[serde(default)]
    pub fault_line: usize,
    /// Address of the record.
    pub record: String,
    /// UTC day of the console, on which the instance counts.
    pub day: Date,
}

impl Severe for Sighting {
    fn severity(&self) -> Severity {
        self.finding.severity
    }
}

/// What is told of a signature.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for each attempt to send it.
    pub id: String,
    /// Of the instance that it was told for.
    #[serde(flatten)]
    pub sighting: Sighting,
    /// No instance has shown it in the week before.
    pub is_new: bool,
    /// How many instances showed it on that day. It stops at 1000.
    pub instances: u32,
    /// When the first of them did, or on which day of the week before.
    pub since: Timestamp,
    /// Shows the rest of the console.
    pub command: String,
    /// Who is told, by the names that keys have. None for everybody: not all of them were known.
    pub targets: Vec<String>,
    /// Names the process that claimed it, which may not hear of it that it did.
    #[serde(default)]
    pub claim: String,
}

/// What it says is for people, not for logs.
impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl fmt::Debug for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.finding.id, self.instance_id)
    }
}

/// Where and when a console was captured.
#[derive(Debug, Clone, Copy)]
pub struct Captured<'a> {
    /// The event.
    pub event: &'a InstanceEvent,
    /// Region of the instance.
    pub region_id: &'a RegionId,
    /// Address of the record.
    pub record: &'a str,
    /// When it was captured.
    pub at: Timestamp,
    /// When ECS updated the console, if that is known.
    pub updated_at: Option<Timestamp>,
}

impl Sighting {
    /// Of a finding in this console. `shown`: the console as people may see it, of the same length. `also`: what else is bad
    /// enough.
    pub fn new(
        captured: Captured<'_>,
        console: &[u8],
        shown: &[u8],
        found: &findings::Finding<'_>,
        also: Vec<Finding>,
    ) -> Self {
        let finding = in_short(found);
        let (lines, fault_line) = lines_around(shown, &found.bytes);
        Self {
            finding,
            advice: short(found.rule.advice(), MAX_ADVICE_CHARACTERS),
            also,
            instance_id: captured.event.instance_id.clone(),
            region_id: captured.region_id.clone(),
            captured_at: captured.at,
            boot_began_at: boot_began(console, found.bytes.start, captured.at),
            lines,
            fault_line,
            record: captured.record.to_owned(),
            day: day_of(captured),
        }
    }

    /// The notice of it.
    pub fn notice(
        self,
        id: &NoticeId,
        is_new: bool,
        instances: u32,
        since: Timestamp,
        targets: Vec<String>,
        claim: String,
    ) -> Notice {
        Notice {
            id: id.to_string(),
            command: format!("console-archive show {}", self.instance_id),
            sighting: self,
            is_new,
            instances,
            since,
            targets,
            claim,
        }
    }

    /// The notice that says, once a day, that not all are told. It is of the first that is not.
    pub fn of_more(self, id: &NoticeId, targets: Vec<String>, claim: String) -> Notice {
        let finding = Finding {
            id: MORE.to_owned(),
            title: "There are more signatures than can be told today".to_owned(),
            signature: MORE.to_owned(),
            count: 1,
            ..self.finding
        };
        let advice = "A guest may make them up, or many things fail. The report has all of them.";
        let sighting = Self {
            finding,
            advice: advice.to_owned(),
            also: Vec::new(),
            lines: Vec::new(),
            fault_line: 0,
            ..self
        };
        let since = sighting.captured_at;
        Notice {
            command: "console-archive report".to_owned(),
            ..sighting.notice(id, false, 1, since, targets, claim)
        }
    }
}

impl Notice {
    /// A notice that says that notices arrive.
    pub fn test(now: Timestamp, instance_id: InstanceId, region_id: RegionId) -> Self {
        let finding = Finding {
            id: TEST.to_owned(),
            severity: Severity::Info,
            title: "This is a test: notices arrive here".to_owned(),
            signature: TEST.to_owned(),
            count: 1,
        };
        let sighting = Sighting {
            finding,
            advice: "There is nothing to do.".to_owned(),
            also: Vec::new(),
            instance_id,
            region_id,
            captured_at: now,
            boot_began_at: None,
            lines: vec!["Twenty lines of the console stand here.".to_owned()],
            fault_line: 0,
            record: String::new(),
            day: Day::of(now).0,
        };
        Self {
            id: format!("notice_test_{}", now.as_millisecond()),
            command: format!("console-archive show {}", sighting.instance_id),
            sighting,
            is_new: false,
            instances: 1,
            since: now,
            targets: Vec::new(),
            claim: String::new(),
        }
    }

    /// Whether it is a test.
    pub fn is_test(&self) -> bool {
        self.sighting.finding.id == TEST
    }

    /// Whether it says that there are more than can be told.
    pub fn is_of_more(&self) -> bool {
        self.sighting.finding.id == MORE
    }
}

/// ID and signature of the finding of a notice that there are more. No rule has it.
pub const MORE: &str = "more-signatures";

/// ID of the finding of a test. No rule has it.
const TEST: &str = "test-notice";

/// What a notice says of a finding.
pub fn in_short(found: &findings::Finding<'_>) -> Finding {
    let finding = found.in_short();
    Finding {
        title: short(&finding.title, MAX_TITLE_CHARACTERS),
        signature: short(&finding.signature, MAX_TITLE_CHARACTERS),
        ..finding
    }
}

/// The day on which an instance counts: that of its console, so that a sweep that finds the console again does not
/// count it again; but not long ago, so that a first sweep tells of old consoles once.
fn day_of(captured: Captured<'_>) -> Date {
    let now = Day::of(captured.at).0;
    let oldest = now
        .yesterday()
        .and_then(|day| day.yesterday())
        .unwrap_or(now);
    let updated = captured.updated_at.map_or(now, |at| Day::of(at).0);
    updated.clamp(oldest, now)
}

/// The lines that matter: the one that says it first, a few before it, and those behind it, without blank ones.
/// Which of them says it first.
fn lines_around(console: &[u8], place: &Range<usize>) -> (Vec<String>, usize) {
    let (before, behind) = console.split_at(place.start.min(console.len()));
    let lines = |text: &'_ [u8]| -> Option<String> {
        let shown = plain_line(&text[..text.len().min(MAX_LINE_BYTES)]);
        let shown = shown.trim_end();
        (!shown.trim_start().is_empty()).then(|| short(shown, MAX_LINE_CHARACTERS))
    };
    let behind = behind.split(|byte| *byte == b'\n').filter_map(lines);
    let behind: Vec<_> = behind.take(MAX_LINES).collect();
    let wanted = LINES_BEFORE.max(MAX_LINES - behind.len());
    let before = before.rsplit(|byte| *byte == b'\n').filter_map(lines);
    let mut shown: Vec<_> = before.take(wanted).collect();
    shown.reverse();
    let fault_line = shown.len();
    shown.extend(behind);
    shown.truncate(MAX_LINES);
    (shown, fault_line)
}

/// A text on one line, with at most so many characters. Those that act on a terminal or a reader are spelled out.
pub(super) fn short(text: &str, most: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= most {
        return text.into_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Cause;

    fn numbered(lines: Range<usize>) -> String {
        lines.map(|line| format!("line {line}\n\n")).collect()
    }

    #[track_caller]
    fn check(before: usize, behind: usize, first: &str, last: &str) {
        let (head, tail) = (numbered(0..before), numbered(before..before + behind));
        let console = format!("{head}the fault\r\n{tail}");
        let place = head.len()..head.len() + 11;
        let (shown, fault_line) = lines_around(console.as_bytes(), &place);
        let ends = [shown.first(), shown.last()].map(|line| line.unwrap().as_str());
        assert_eq!(ends, [first, last]);
        assert!(shown[fault_line] == "the fault" && shown.len() <= 20);
    }

    #[test]
    fn twenty_lines_are_shown_with_the_fault_among_them() {
        check(100, 100, "line 95", "line 113");
        check(100, 3, "line 84", "line 102");
        check(2, 100, "line 0", "line 18");
        check(0, 0, "the fault", "the fault");
    }

    #[test]
    fn what_a_guest_writes_is_one_safe_line() {
        let (shown, _) = lines_around(b"\x1b[31mred\x1b[0m \x07\xe2\x80\xaeleft\x00\n", &(0..4));
        assert_eq!(shown, ["red \\u{202e}left"]);
        let long = "x".repeat(5000);
        let (shown, _) = lines_around(long.as_bytes(), &(0..1));
        assert_eq!(shown[0].chars().count(), MAX_LINE_CHARACTERS);
    }

    #[test]
    fn an_instance_counts_on_the_day_of_its_console() {
        let event = InstanceEvent::new(InstanceId::parse("i-a1").unwrap(), Cause::Manual);
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        for (updated_at, day) in [
            (None, 10),
            (Some("2026-12-10T01:00:00Z"), 10),
            (Some("2026-12-09T23:00:00Z"), 9),
            (Some("2026-11-09T23:00:00Z"), 8),
            (Some("2027-01-09T23:00:00Z"), 10),
        ] {
            let captured = Captured {
                event: &event,
                region_id: &region_id,
                record: "",
                at: "2026-12-10T12:00:00Z".parse().unwrap(),
                updated_at: updated_at.map(|at: &str| at.parse().unwrap()),
            };
            assert_eq!(day_of(captured).day(), day);
        }
    }
}
