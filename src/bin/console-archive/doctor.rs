//! `console-archive doctor`: the checks of the set-up as a table or as JSON.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use ecs_console_archiver::config::Parts;
use ecs_console_archiver::doctor::{Check, Verdict, examine};
use ecs_console_archiver::ids::InstanceId;
use ecs_console_archiver::printable::lines;
use serde_json::json;

use crate::arguments::Output;
use crate::{End, show};

pub async fn run(
    parts: Parts,
    instance_id: Option<InstanceId>,
    time: Duration,
    output: Output,
) -> Result<End> {
    let diagnosis = examine(parts, instance_id, time).await?;
    match output {
        Output::Json => show::json(&json!(diagnosis))?,
        Output::Text => table(&diagnosis.checks)?,
    }
    Ok(match diagnosis.verdict {
        _ if diagnosis.settings_are_wrong() => End::Wrong,
        Verdict::Failed => End::Failed,
        Verdict::Ok | Verdict::Skipped | Verdict::Warning => End::Done,
    })
}

fn table(checks: &[Check]) -> Result<()> {
    let row = |check: &Check| {
        let advice = check.advice.as_deref().unwrap_or("-");
        [
            check.name.to_owned(),
            word(check.verdict).to_owned(),
            lines(&check.found).into_owned(), // It may quote a service.
            lines(advice).into_owned(),
        ]
    };
    let mut table = Table::new();
    table.load_style(NOTHING);
    if stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["CHECK", "VERDICT", "WHAT WAS FOUND", "WHAT TO DO"]);
    table.add_rows(checks.iter().map(row));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    Ok(())
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Skipped => "skipped",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
    }
}
