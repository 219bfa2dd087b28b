//! `console-archive get`: a console, held against what its key and metadata say of it.

use std::io::{BufWriter, IsTerminal as _, Write as _, stderr, stdout};

use anyhow::Result;
use clap::{Args, ColorChoice};
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::reader::{self, At, Listed, ListedMarker, Opened, ReadError};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::{log, terminal};
use serde_json::json;

use super::Context;
use crate::exit::{Exit, is_broken_pipe};
use crate::output::{self, Output};

/// Print a console
///
/// On a terminal it is shown line by line: colours stay, other escape sequences are left out,
/// and control characters are spelled out, for they come from the guest. Text that was written
/// over is marked with an arrow, or counted where it is a progress bar's. Into a file or a pipe
/// go the bytes as the guest wrote them; with --color always, what a terminal shows.
///
/// The record is held against its key and its metadata. One that differs is damaged or forged:
/// it is not printed without --damaged, and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive get i-bp1panicnoroot00001 > console.log
  console-archive get i-bp1panicnoroot00001 --at 2018-03-22
  console-archive get i-bp1panicnoroot00001 --color always | less -R")]
pub struct Arguments {
    /// The instance
    #[arg(value_parser = InstanceId::parse)]
    instance_id: InstanceId,
    /// The newest not after this time, or the record of this name; the latest without it
    ///
    /// Times are compared as ECS reported them: 2018-03-22, 2018-03-22T10:04 or
    /// "2018-03-22 10:04:57". A record's name is as `list` shows it.
    #[arg(long, value_name = "TIME", value_parser = At::parse)]
    at: Option<At>,
    /// Print the bytes as the guest wrote them, on a terminal, too
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    /// Print what can be read of a damaged record; the exit code stays 1
    #[arg(long)]
    damaged: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let instance_id = &arguments.instance_id;
    let at = arguments.at.unwrap_or(At::Latest);
    let store = context.store()?;
    let store = &Retrying::new(&store, Deadline::after(context.time()));
    let listing = reader::list(store, Some(instance_id)).await?;
    let last_marker = listing.markers.last().cloned();
    let Some(listed) = listing.find(&at) else {
        let which = if at == At::Latest {
            ""
        } else {
            " of that time"
        };
        output::error(format_args!("there is no record{which} of {instance_id}"));
        if let Some(ListedMarker { key, .. }) = last_marker {
            let (time, why) = (key.time, key.reason.message());
            output::error(format_args!(
                "ECS was asked for it, at last for {time}: {why}"
            ));
        }
        return Ok(Exit::Nothing);
    };
    let (opened, faults) = match reader::open(store, &listed.key).await {
        Ok(opened) => (opened, Vec::new()),
        Err(ReadError::Damaged(damaged)) => {
            let faults = damaged.faults.iter().map(ToString::to_string).collect();
            tell_damage(&damaged.url, &faults);
            if !arguments.damaged {
                output::error("it is not printed; --damaged prints what can be read of it");
                return Ok(Exit::Failed);
            }
            (damaged.salvaged, faults)
        }
        Err(error) => return Err(error.into()),
    };
    tell_missing(&opened);
    match print(&listed, &opened, &faults, arguments.raw, context) {
        // A reader that has seen enough has still seen a damaged record.
        Err(error) if faults.is_empty() || !is_broken_pipe(&error) => Err(error),
        _ if faults.is_empty() => Ok(Exit::Done),
        _ => Ok(Exit::Failed),
    }
}

/// Whether the record that was there before a capture is whole. The function does not ask, for that
/// would be another request at each event.
pub async fn verify(store: &impl Store, key: &str) -> Exit {
    let Some(key) = RecordKey::parse(key) else {
        return Exit::Done;
    };
    match reader::open(store, &key).await {
        Ok(opened) => {
            tell_missing(&opened);
            Exit::Done
        }
        Err(ReadError::Damaged(damaged)) => {
            let faults = damaged.faults.iter().map(ToString::to_string).collect();
            tell_damage(&damaged.url, &faults);
            output::error("move or remove it, and capture again while ECS still has the console");
            Exit::Failed
        }
        // Keys that may write only are common.
        Err(error) => {
            output::error(format_args!(
                "warning: the record that is there could not be verified: {error}"
            ));
            Exit::Done
        }
    }
}

fn tell_damage(url: &str, faults: &Vec<String>) {
    for fault in faults {
        output::error(format_args!("{url} is damaged: {fault}"));
    }
}

fn tell_missing(opened: &Opened) {
    if !opened.missing_metadata.is_empty() {
        output::error(format_args!(
            "warning: the record's metadata is gone or unreadable ({}); only the digest in its \
             name vouches for it",
            opened.missing_metadata.join(", ")
        ));
    }
}

fn print(
    listed: &Listed,
    opened: &Opened,
    faults: &[String],
    raw: bool,
    context: &Context,
) -> Result<()> {
    let is_terminal = stdout().is_terminal();
    if listed.key.is_undecoded {
        output::error("ECS sent this in place of Base64; it is printed as it came");
    }
    if context.output == Output::Json {
        let text = String::from_utf8_lossy(&opened.plain);
        let stored_as = opened.object.metadata.get("freshness");
        let mut value = json!({
            "instance_id": listed.key.instance_id,
            "name": listed.key.name(),
            "freshness": listed.verdict.map_or(stored_as.map(String::as_str), |v| Some(v.as_str())),
            "metadata": opened.object.metadata,
            "is_utf8": std::str::from_utf8(&opened.plain).is_ok(),
            "console": text,
        });
        if !faults.is_empty() {
            value["damage"] = json!(faults);
        }
        return output::json(&value);
    }
    if is_terminal {
        let _ = writeln!(stderr(), "# {}", listed.key.name());
    }
    let mut stdout = BufWriter::new(stdout().lock());
    // Whoever asks for colours in a pipe, has a pager behind it.
    let is_shown = is_terminal || context.color == ColorChoice::Always;
    if raw || !is_shown {
        stdout.write_all(&opened.plain)?;
    } else {
        let mut shown = String::new();
        for line in terminal::lines(&opened.plain) {
            line.show(context.has_colors(), &mut shown);
            stdout.write_all(shown.as_bytes())?;
            shown.clear();
        }
    }
    stdout.flush()?;
    Ok(())
}
