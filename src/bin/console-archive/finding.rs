//! A finding, as people and programs are told of it.

use anstyle::{AnsiColor, Style};
use ecs_console_archiver::printable;
use ecs_console_archiver::reading::findings::{Finding, Severity};
use serde_json::{Value, json};

use crate::table::Cell;

/// The style of a severity.
pub fn style(severity: Severity) -> Style {
    match severity {
        Severity::Fatal => AnsiColor::Red.on_default().bold(),
        Severity::Error => AnsiColor::Red.on_default(),
        Severity::Warning => AnsiColor::Yellow.on_default(),
        Severity::Info => Style::new(),
    }
}

/// A cell of a table in the colour of a severity.
pub fn cell(severity: Severity, text: String) -> Cell {
    match severity {
        Severity::Fatal | Severity::Error => Cell::colored(text, AnsiColor::Red),
        Severity::Warning => Cell::colored(text, AnsiColor::Yellow),
        Severity::Info => text.into(),
    }
}

/// Adds all that is known of a finding to what `json` says of its log.
pub fn add(finding: &Finding, json: &mut Value) {
    let rule = finding.rule;
    json["id"] = json!(rule.id);
    json["family"] = json!(rule.family);
    json["severity"] = json!(finding.severity);
    json["title"] = json!(rule.title);
    json["advice"] = json!(rule.advice());
    json["signature"] = json!(finding.signature());
    json["count"] = json!(finding.count);
    json["line"] = json!(finding.line);
    json["bytes"] = json!([finding.bytes.start, finding.bytes.end]);
    json["evidence"] = json!(finding.evidence);
}

/// What is said of a finding beside the line that says it: not what the guest wrote.
pub fn in_short(finding: &Finding) -> Value {
    let mut json = json!(finding.in_short());
    json["line"] = json!(finding.line);
    json
}

/// A finding on one line: `The kernel cannot mount its root file system (root-not-mounted, 2 times)`.
pub fn in_words(finding: &Finding) -> String {
    let signature = finding.signature();
    let count = match finding.count {
        1 => String::new(),
        count => format!(", {count} times"),
    };
    let signature = printable::one_line(&signature);
    format!("{} ({signature}{count})", finding.rule.title)
}

/// What marks a line that says what went wrong. People search for `!!` in a pager.
pub fn mark(finding: &Finding, said: &str) -> String {
    let severity = finding.severity.as_str();
    format!("!! {severity}: {}", printable::one_line(said))
}
