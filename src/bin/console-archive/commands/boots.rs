//! `console-archive boots`: the boots of an instance, and how each ended.

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::reader::{MarkerEntry, ScreenshotEntry};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::clock::GuestClock;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding};
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::{log, printable};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Context;
use crate::boots::{self, Boots, Summary};
use crate::exit::Exit;
use crate::finding;
use crate::output::{self, Output};
use crate::table::{self, Cell, Column, NOTHING, Table};
use crate::time;

/// List the boots of an instance, and how each ended
///
/// The captures of a boot are joined into one log, each byte once. BOOT numbers boots as journalctl does: 0
/// is the newest, -1 the one before; 1 is the oldest. BOOT ID stays the same unless the boot's first record is
/// removed.
///
/// STARTED is the guest's own clock (≈), or before the first capture (≤) if the console does not show the
/// clock; a question mark if the clock is wrong. TO LOGIN is how long the kernel ran at least before its first
/// login prompt. GAPS counts places where output is lost, and those where a join is unsure. FINDINGS is the worst
/// that the boot says went wrong; `findings -b BOOT` says all of it, and what to do.
///
/// Screenshots have a line of their own, at the time at which they were taken; `get --screenshot` writes one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive boots i-bp1panicnoroot00001
  console-archive boots i-bp1panicnoroot00001 -b previous
  console-archive boots i-bp1panicnoroot00001 --output json")]
pub struct Arguments {
    /// The instance
    #[arg(value_parser = InstanceId::parse)]
    instance_id: InstanceId,
    /// Only this boot: a number, `latest`, `previous`, or a BOOT ID; ID-1 is the one before it
    #[arg(short, long, value_name = "BOOT", allow_hyphen_values = true)]
    boot: Option<Selection>,
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let instance_id = &arguments.instance_id;
    let store = context.store()?;
    let store = Retrying::new(&store, Deadline::after(context.time()));
    context.reads();
    let read = boots::read(&store, instance_id)
        .await?
        .for_display(context.redact()?);
    if read.boots.is_empty() && read.markers.is_empty() && read.screenshots.is_empty() {
        if context.output == Output::Json {
            output::json(&json!([]))?;
        }
        return Ok(read.tell_none(instance_id, &store.url(""), &context.time_zone));
    }
    let mut rows = rows(&read);
    if let Some(boot) = &arguments.boot {
        let Some(index) = read.select(boot, instance_id) else {
            return Ok(Exit::Nothing);
        };
        let selected = &read.boots[index];
        rows.retain(|row| matches!(row, Row::Boot(row) if row.boot.id == selected.id));
    }
    match context.output {
        Output::Json => output::json(&rows.iter().map(|row| row.json(instance_id)).collect())?,
        Output::Text => {
            context.print(&table_of(&rows, &context.time_zone))?;
            tell_wrong_clocks(&rows, &context.time_zone);
        }
    }
    Ok(read.exit())
}

/// A line of the listing.
enum Row<'a> {
    Boot(Box<Summary<'a>>),
    /// ECS had no console.
    Marker(&'a MarkerEntry),
    Screenshot(&'a ScreenshotEntry),
}

/// Boots, markers and screenshots by when they were captured.
fn rows(read: &Boots) -> Vec<Row<'_>> {
    let boots = &read.boots;
    let described = (0..boots.len()).map(|index| Row::Boot(Box::new(Summary::new(boots, index))));
    let screenshots = read.screenshots.iter().map(Row::Screenshot);
    let others = read.markers.iter().map(Row::Marker).chain(screenshots);
    let mut rows: Vec<_> = described.chain(others).collect();
    rows.sort_by_key(Row::time);
    rows
}

/// Says what the clocks showed that STARTED does not show.
fn tell_wrong_clocks(rows: &[Row], zone: &TimeZone) {
    let mut wrong = rows.iter().filter_map(|row| match row {
        Row::Boot(row) => match row.clock {
            GuestClock::Wrong { said } => Some((row.number, time::shown(said, zone))),
            _ => None,
        },
        Row::Marker(_) | Row::Screenshot(_) => None,
    });
    if let Some((number, said)) = wrong.next_back() {
        let others = match wrong.count() {
            0 => String::new(),
            count => format!(
                ", and that of {} too",
                output::count(count as u64, "other boot")
            ),
        };
        output::error(format_args!(
            "warning: the guest's clock is wrong (?): that of boot {number} said {said}{others}"
        ));
    }
}

fn table_of(rows: &[Row], zone: &TimeZone) -> Table {
    let mut columns = vec![Column::number("BOOT")];
    columns.extend(["BOOT ID", "STARTED", "TO LOGIN", "ENDED"].map(Column::text));
    columns.extend(["RECORDS", "BYTES"].map(Column::number));
    columns.extend(["GAPS", "FINDINGS"].map(Column::text));
    Table::new(columns, rows.iter().map(|row| row.cells(zone)).collect())
}

impl Row<'_> {
    fn time(&self) -> Timestamp {
        match self {
            Self::Boot(row) => row.boot.captures[0].captured_at,
            Self::Marker(marker) => marker.stored_at,
            Self::Screenshot(screenshot) => screenshot.taken_at(),
        }
    }

    fn cells(&self, zone: &TimeZone) -> Vec<Cell> {
        match self {
            Self::Boot(of) => boot_cells(of, zone),
            Self::Marker(marker) => {
                let none = format!("none: {}", marker.key.reason.as_str());
                other_cells(none, time::shown(marker.key.time, zone))
            }
            Self::Screenshot(screenshot) => {
                let taken_at = time::shown(screenshot.taken_at(), zone);
                other_cells(screenshot.key.name(), taken_at)
            }
        }
    }

    fn json(&self, instance_id: &InstanceId) -> Value {
        match self {
            Self::Boot(of) => boot_json(of, instance_id),
            Self::Marker(marker) => json!({
                "instance_id": instance_id,
                "name": marker.key.name(),
                "reason": marker.key.reason,
                "event_time": marker.key.time.to_string(),
                "stored_at": marker.stored_at.to_string(),
            }),
            Self::Screenshot(screenshot) => json!({
                "instance_id": instance_id,
                "name": screenshot.key.name(),
                "image_bytes": screenshot.bytes,
                "stored_at": screenshot.stored_at.to_string(),
            }),
        }
    }
}

/// Of what is not a boot: its name and its time.
fn other_cells(name: String, time: String) -> Vec<Cell> {
    let mut cells = vec![NOTHING.into(), name.into(), time.into()];
    cells.extend((0..6).map(|_| Cell::from(NOTHING)));
    cells
}

fn boot_cells(of: &Summary<'_>, zone: &TimeZone) -> Vec<Cell> {
    let login = of
        .login
        .map(|stamp| table::glued(&format!("≥ {} s", stamp.micros / 1_000_000)));
    let gaps = match (of.gaps(), of.unsure()) {
        (0, 0) => "0".to_owned(),
        (gaps, 0) => gaps.to_string(),
        (gaps, unsure) => format!("{gaps}, {unsure} unsure"),
    };
    vec![
        of.number.to_string().into(),
        of.boot.id.clone().into(),
        of.started_in_words(zone).into(),
        login.unwrap_or(NOTHING.to_owned()).into(),
        of.ending_in_words().into(),
        of.boot.captures.len().to_string().into(),
        of.boot.log.len().to_string().into(),
        gaps.into(),
        worst_cell(&findings(of)),
    ]
}

fn findings(of: &Summary<'_>) -> Vec<Finding<'static>> {
    of.findings(EncodingChoice::Auto)
}

/// The worst finding, and how many others there are.
fn worst_cell(findings: &[Finding<'static>]) -> Cell {
    let Some(worst) = findings::worst(findings) else {
        return NOTHING.into();
    };
    let (severity, signature) = (worst.severity, worst.signature());
    let signature = table::with_seams(&printable::one_line(&signature));
    let more = match findings.len() {
        1 => String::new(),
        count => format!(", {} more", count - 1),
    };
    let text = format!("{}: {signature}{more}", severity.as_str());
    finding::cell(severity, text)
}

fn boot_json(of: &Summary<'_>, instance_id: &InstanceId) -> Value {
    let captures = of.boot.captures.iter();
    let captures = captures.map(
        |capture| json!({"name": capture.name, "captured_at": capture.captured_at.to_string()}),
    );
    let mut json = json!({
        "instance_id": instance_id,
        "boot": of.number,
        "boot_id": of.boot.id,
        "ending": of.ending.as_str(),
        "is_whole": of.boot.start.is_some(),
        "is_crash_kernel": of.is_crash_kernel(),
        "captures": captures.collect::<Vec<_>>(),
        "bytes": of.boot.log.len(),
        "gaps": of.gaps(),
        "marks": of.boot.marks.iter().map(boots::mark_json).collect::<Vec<_>>(),
        "findings": findings(of).iter().map(finding::in_short).collect::<Vec<_>>(),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            json[name] = value;
        }
    };
    add(
        "started_at",
        of.started_at().map(|at| json!(at.to_string())),
    );
    add(
        "crashed_boot_id",
        of.crashed.map(|(_, crashed)| json!(crashed.id)),
    );
    if let GuestClock::Wrong { said } = of.clock {
        add("clock_said", Some(json!(said.to_string())));
    }
    let seconds = |stamp: Stamp| stamp.micros as f64 / 1e6;
    add(
        "login_after_seconds",
        of.login.map(|stamp| json!(seconds(stamp))),
    );
    json
}
