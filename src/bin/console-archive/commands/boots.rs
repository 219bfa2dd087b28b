//! `console-archive boots`: the boots of an instance, and how each ended.

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::reader::MarkerEntry;
use ecs_console_archiver::log;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::clock::GuestClock;
use ecs_console_archiver::reading::ending::{self, Ending};
use ecs_console_archiver::reading::select::{self, Selection};
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::{Boot, Mark, MarkKind};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Context;
use crate::boots;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::table::{Cell, Column, NOTHING, Table};
use crate::time;

/// List the boots of an instance, and how each ended
///
/// The captures of a boot are joined into one log, each byte once. BOOT numbers boots as journalctl does: 0
/// is the newest, -1 the one before; in other commands, 1 is the oldest. BOOT ID stays the same for ever.
///
/// STARTED is the guest's own clock (≈), or before the first capture (≤) if the console does not show the
/// clock. TO LOGIN is how long the kernel ran at least before its first login prompt. GAPS counts places
/// where output is lost, and those where a join is unsure.
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
    let read = boots::read(&store, instance_id).await?;
    if read.boots.is_empty() && read.markers.is_empty() {
        let archive_url = store.url("");
        output::error(format_args!("{instance_id} has no record in {archive_url}"));
        return Ok(if read.damaged > 0 {
            Exit::Failed
        } else {
            Exit::Nothing
        });
    }
    let mut rows = rows(&read.boots, &read.markers);
    if let Some(boot) = &arguments.boot {
        let selected = match boot.find(read.boots.iter().map(|boot| boot.id.as_str())) {
            Ok(index) => &read.boots[index],
            Err(error) => {
                output::error(format_args!("{instance_id}: {error}"));
                return Ok(Exit::Nothing);
            }
        };
        rows.retain(|row| matches!(row, Row::Boot(row) if row.boot.id == selected.id));
    }
    match context.output {
        Output::Json => output::json(&rows.iter().map(|row| row.json(instance_id)).collect())?,
        Output::Text => context.print(&table(&rows, &context.time_zone))?,
    }
    Ok(if read.damaged > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// A line of the listing.
enum Row<'a> {
    Boot(Box<BootRow<'a>>),
    /// ECS had no console.
    Marker(&'a MarkerEntry),
}

struct BootRow<'a> {
    boot: &'a Boot,
    number: isize,
    ending: Ending,
    clock: GuestClock,
    /// The kernel's last stamp before the first login prompt.
    login: Option<Stamp>,
}

/// Boots and markers by when they were captured.
fn rows<'a>(boots: &'a [Boot], markers: &'a [MarkerEntry]) -> Vec<Row<'a>> {
    let described = boots.iter().enumerate().map(|(index, boot)| {
        let row = BootRow {
            boot,
            number: select::number(index, boots.len()),
            ending: Ending::of(boot, index + 1 == boots.len()),
            clock: GuestClock::of(&boot.log, boot.captures[0].captured_at),
            login: ending::login(&boot.log),
        };
        Row::Boot(Box::new(row))
    });
    let mut rows: Vec<_> = described.chain(markers.iter().map(Row::Marker)).collect();
    rows.sort_by_key(Row::time);
    rows
}

fn table(rows: &[Row], zone: &TimeZone) -> Table {
    let mut columns = vec![Column::number("BOOT")];
    columns.extend(["BOOT ID", "STARTED", "TO LOGIN", "ENDED"].map(Column::text));
    columns.extend(["CAPTURES", "BYTES"].map(Column::number));
    columns.push(Column::text("GAPS"));
    Table::new(columns, rows.iter().map(|row| row.cells(zone)).collect())
}

impl Row<'_> {
    fn time(&self) -> Timestamp {
        match self {
            Self::Boot(row) => row.boot.captures[0].captured_at,
            Self::Marker(marker) => marker.stored_at,
        }
    }

    fn cells(&self, zone: &TimeZone) -> Vec<Cell> {
        match self {
            Self::Boot(row) => row.cells(zone),
            Self::Marker(marker) => {
                let mut cells = vec![
                    NOTHING.into(),
                    format!("none: {}", marker.key.reason.as_str()).into(),
                    time::shown(marker.key.time, zone).into(),
                ];
                cells.extend((0..5).map(|_| Cell::from(NOTHING)));
                cells
            }
        }
    }

    fn json(&self, instance_id: &InstanceId) -> Value {
        match self {
            Self::Boot(row) => row.json(instance_id),
            Self::Marker(marker) => json!({
                "instance_id": instance_id,
                "name": marker.key.name(),
                "reason": marker.key.reason,
                "event_time": marker.key.time.to_string(),
                "stored_at": marker.stored_at.to_string(),
            }),
        }
    }
}

impl BootRow<'_> {
    /// When the kernel began, by the guest's clock.
    fn started_at(&self) -> Option<Timestamp> {
        match self.clock {
            GuestClock::Right(clock) => clock.at(Stamp { micros: 0 }),
            GuestClock::Wrong { .. } | GuestClock::Unknown => None,
        }
    }

    fn is_crash_kernel(&self) -> bool {
        self.boot.start.is_some_and(|start| start.is_crash_kernel)
    }

    fn count(&self, is_counted: impl Fn(MarkKind) -> bool) -> usize {
        self.boot
            .marks
            .iter()
            .filter(|mark| is_counted(mark.kind))
            .count()
    }

    fn gaps(&self) -> usize {
        self.count(|kind| matches!(kind, MarkKind::Gap { .. }))
    }

    fn unsure(&self) -> usize {
        self.count(|kind| matches!(kind, MarkKind::Unsure { .. } | MarkKind::Repeats { .. }))
    }

    fn cells(&self, zone: &TimeZone) -> Vec<Cell> {
        let started = match (self.started_at(), self.clock) {
            (Some(at), _) => format!("≈ {}", time::shown(at, zone)),
            (None, GuestClock::Wrong { said }) => {
                format!("?, its clock said {}", time::shown(said, zone))
            }
            (None, _) => format!("≤ {}", time::shown(self.boot.captures[0].captured_at, zone)),
        };
        let login = self
            .login
            .map(|stamp| format!("≥ {} s", stamp.micros / 1_000_000));
        let ending = match self.is_crash_kernel() {
            true => format!("{} (crash kernel)", words(self.ending)),
            false => words(self.ending).to_owned(),
        };
        let gaps = match (self.gaps(), self.unsure()) {
            (0, 0) => "0".to_owned(),
            (gaps, 0) => gaps.to_string(),
            (gaps, unsure) => format!("{gaps}, {unsure} unsure"),
        };
        vec![
            self.number.to_string().into(),
            self.boot.id.clone().into(),
            started.into(),
            login.unwrap_or(NOTHING.to_owned()).into(),
            ending.into(),
            self.boot.captures.len().to_string().into(),
            self.boot.log.len().to_string().into(),
            gaps.into(),
        ]
    }

    fn json(&self, instance_id: &InstanceId) -> Value {
        let captures = self.boot.captures.iter();
        let captures = captures.map(
            |capture| json!({"name": capture.name, "captured_at": capture.captured_at.to_string()}),
        );
        let mut json = json!({
            "instance_id": instance_id,
            "boot": self.number,
            "boot_id": self.boot.id,
            "ending": self.ending.as_str(),
            "is_whole": self.boot.start.is_some(),
            "is_crash_kernel": self.is_crash_kernel(),
            "captures": captures.collect::<Vec<_>>(),
            "bytes": self.boot.log.len(),
            "gaps": self.gaps(),
            "marks": self.boot.marks.iter().map(mark_json).collect::<Vec<_>>(),
        });
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                json[name] = value;
            }
        };
        add(
            "started_at",
            self.started_at().map(|at| json!(at.to_string())),
        );
        if let GuestClock::Wrong { said } = self.clock {
            add("clock_said", Some(json!(said.to_string())));
        }
        let seconds = |stamp: Stamp| stamp.micros as f64 / 1e6;
        add(
            "login_after_seconds",
            self.login.map(|stamp| json!(seconds(stamp))),
        );
        json
    }
}

fn words(ending: Ending) -> &'static str {
    match ending {
        Ending::OutOfMemory => "out of memory",
        Ending::Running => "running?",
        ending => ending.as_str(),
    }
}

fn mark_json(mark: &Mark) -> Value {
    let at = mark.at;
    match mark.kind {
        MarkKind::Gap { cut } => json!({"at": at, "kind": "gap", "cut_bytes": cut}),
        MarkKind::EndUnknown => json!({"at": at, "kind": "end_unknown"}),
        MarkKind::Unsure { shared } => json!({"at": at, "kind": "unsure", "shared_bytes": shared}),
        MarkKind::Repeats { missing } => {
            json!({"at": at, "kind": "repeats", "missing_bytes": missing})
        }
    }
}
