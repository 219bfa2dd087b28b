//! `console-archive reindex`: records → catalog.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::catalog::reindex::{self, ReindexError};
use ecs_console_archiver::log;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;
use serde_json::json;

use super::{Context, compact};
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::time::{Bound, Period};

/// A large archive takes minutes, and more than a day for none.
const TIME: Duration = Duration::from_secs(24 * 3600);

/// Keys of what is gone that are printed.
const MAX_LOST: usize = 10;

/// Build the catalog anew from the records
///
/// It lists the whole archive, and reads each record and marker once. Needed once for an archive that is older
/// than its catalog, and whenever the catalog is damaged or was switched off for a while. Events may be served
/// meanwhile.
///
/// Only the catalog says which records were lost, and the new one does not: run `console-archive verify` first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive reindex
  console-archive reindex --since 2026-11-01")]
pub struct Arguments {
    /// Only the days of capture from this one on; it reads only what was stored since
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let period = Period::of(arguments.since.as_ref(), None, &context.time_zone);
    let store = context.store()?;
    let time = context.timeout.unwrap_or(TIME);
    let store = Retrying::new(&store, Deadline::after(time));
    context.reads();
    let bar = output::progress("{human_pos} records and markers, {rate}")?;
    let done = reindex::reindex(&store, period.since, |count| bar.set_position(count)).await;
    bar.finish_and_clear();
    let done = done.map_err(as_it_is)?;
    for url in &done.damaged {
        output::error(format_args!(
            "damaged or unreadable: {url}; its row says what is known without reading it"
        ));
    }
    let named = done.damaged.len() as u64;
    if named < done.damaged_count {
        output::error(format_args!(
            "{} more are damaged or unreadable; see each of them with console-archive verify",
            output::grouped(done.damaged_count - named)
        ));
    }
    if done.untimed > 0 {
        output::error(format_args!(
            "the metadata of {} do not say when they were captured: their rows have when they were stored, which for a \
             copy is when it was copied; see which with console-archive verify",
            output::count(done.untimed, "record")
        ));
    }
    for (folder, why) in &done.unwritten {
        output::error(format_args!(
            "not written: {folder}: {why}; what the old catalog says of that day is still there"
        ));
    }
    for key in done.lost_keys.iter().take(MAX_LOST) {
        output::error(format_args!("row dropped: its record is gone: {key}"));
    }
    if done.lost > 0 {
        output::error(format_args!(
            "{} dropped, because their records are gone: nothing says any more that they were there",
            output::count(done.lost, "row")
        ));
    }
    if done.is_nothing() {
        if context.output == Output::Json {
            output::json(&json!(done))?;
        }
        let within = match period.is_bounded() {
            true => " of that time",
            false => "",
        };
        output::error(format_args!(
            "no records{within} in {}; no catalog was written",
            store.url("")
        ));
        return Ok(Exit::Nothing);
    }
    let exit = if done.damaged.is_empty() && done.unwritten.is_empty() && !done.is_partial {
        Exit::Done
    } else {
        Exit::Failed
    };
    let exit = context.will_end(exit);
    match context.output {
        Output::Json => output::json(&json!(done))?,
        Output::Text => output::line(format_args!(
            "the catalog has {} of {}; {} of the old one removed",
            output::count(done.rows, "row"),
            output::count(done.days, "day"),
            output::count(done.removed, "object")
        ))?,
    }
    if done.left > 0 {
        output::error(format_args!(
            "{} objects of the old catalog may not be removed; what they say of records that are gone stays",
            done.left
        ));
    }
    if done.is_partial {
        output::error(
            "a part of the archive could not be listed, so nothing of the old catalog was removed; mend what the \
             warnings name, and run it again",
        );
    }
    Ok(exit)
}

/// An error of the store as what it is.
pub fn as_it_is(error: ReindexError) -> anyhow::Error {
    match error {
        ReindexError::Store(error) => error.into(),
        ReindexError::Write(error) => compact::as_it_is(error),
        error => error.into(),
    }
}
