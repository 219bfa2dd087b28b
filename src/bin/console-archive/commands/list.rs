//! `console-archive list`: what the archive has.

use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::Args;
use comfy_table::CellAlignment;
use ecs_console_archiver::archive::reader::{self, Listed, ListedMarker, Listing};
use ecs_console_archiver::log;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::output::{self, Output};

/// List what the archive has of an instance, or of all
///
/// Records, and where there was no console output, with the reason. It reads no record: `get`
/// verifies the one it prints.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive list
  console-archive list i-bp1panicnoroot00001 --output json")]
pub struct Arguments {
    /// The instance; all without it
    #[arg(value_parser = InstanceId::parse)]
    instance_id: Option<InstanceId>,
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let instance_id = arguments.instance_id.as_ref();
    let store = context.store()?;
    let store = Retrying::new(&store, Deadline::after(context.time()));
    let listing = reader::list(&store, instance_id).await?;
    print(&store, &listing, context.output)?;
    Ok(emptiness(&listing, instance_id))
}

/// What a listing without consoles means.
fn emptiness(listing: &Listing, instance_id: Option<&InstanceId>) -> Exit {
    let of = instance_id.map_or(String::new(), |id| format!(" of {id}"));
    match (listing.records.len(), listing.markers.len()) {
        (0, 0) => {
            output::error(format_args!("no records{of}"));
            Exit::Nothing
        }
        (0, 1) => {
            output::error(format_args!("no console{of}, and a marker that says why"));
            Exit::Done
        }
        (0, markers) => {
            output::error(format_args!(
                "no console{of}, and {markers} markers that say why"
            ));
            Exit::Done
        }
        _ => Exit::Done,
    }
}

/// Records and, between them, where there was no console, by instance and time.
fn print(store: &impl Store, listing: &Listing, output: Output) -> Result<()> {
    let Listing { records, markers } = listing;
    if output == Output::Json {
        let record = |record: &Listed| {
            let key = record.key.to_string();
            let mut json = json!({
                "instance_id": record.key.instance_id,
                "last_update_time": record.key.last_update_time.map(|time| time.to_string()),
                "name": record.key.name(),
                "is_undecoded": record.key.is_undecoded,
                "gzip_bytes": record.gzip_bytes,
                "stored_at": record.stored_at.to_string(),
                "url": store.url(&key),
                "key": key,
            });
            if let Some(verdict) = record.verdict {
                json["verdict"] = json!(verdict);
            }
            json
        };
        let marker = |marker: &ListedMarker| {
            let key = marker.key.to_string();
            json!({
                "instance_id": marker.key.instance_id,
                "none": marker.key.reason,
                "event_time": marker.key.time.to_string(),
                "stored_at": marker.stored_at.to_string(),
                "url": store.url(&key),
                "key": key,
            })
        };
        let all = records.iter().map(record).chain(markers.iter().map(marker));
        return output::json(&all.collect());
    }
    if records.is_empty() && markers.is_empty() {
        return Ok(());
    }
    let time = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    // Most records say it in their metadata, which a listing does not read.
    let has_verdicts = records.iter().any(|record| record.verdict.is_some());
    let record = |record: &Listed| {
        let mut row = vec![
            record.key.instance_id.to_string(),
            record.key.name(),
            record.gzip_bytes.to_string(),
            time(record.stored_at),
        ];
        row.extend(record.verdict.map(|verdict| verdict.to_string()));
        row
    };
    let marker = |marker: &ListedMarker| {
        vec![
            marker.key.instance_id.to_string(),
            format!(
                "{}  none: {}",
                marker.key.time.strftime("%Y%m%dT%H%M%SZ"),
                marker.key.reason.as_str()
            ),
            "-".to_owned(),
            time(marker.stored_at),
        ]
    };
    let mut rows: Vec<_> = records.iter().map(record).collect();
    rows.extend(markers.iter().map(marker));
    rows.sort_by(|a, b| (&a[0], &a[3]).cmp(&(&b[0], &b[3])));
    let mut header = vec!["INSTANCE", "RECORD", "BYTES", "STORED (UTC)"];
    header.extend(has_verdicts.then_some("AT THE END"));
    let mut table = output::table(header, rows);
    if let Some(bytes) = table.column_mut(2) {
        bytes.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(stdout(), "{}", table.trim_fmt())?;
    Ok(())
}
