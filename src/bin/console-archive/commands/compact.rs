//! `console-archive compact`: rows of the catalog → one object a day.

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::catalog::compact::{self, CompactError};
use ecs_console_archiver::log;
use ecs_console_archiver::model::outcome::Compacted;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;
use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Join the catalog's rows of each day that is over
///
/// The function writes a row of the catalog for each record. Joined, a day takes one request to read instead
/// of one for each thousand rows, and engines of SQL can read it. A day is joined 75 minutes after its end.
///
/// It may run at any time, several times at once, and may be interrupted. Rows that may not be removed, as with
/// Object Lock, stay where they are: listings then take more requests, and nothing is counted twice.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive compact
  console-archive compact --timeout 3600    # the first time, on a large archive")]
pub struct Arguments {}

pub async fn run(_: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let store = context.store()?;
    let deadline = Deadline::after(context.time());
    let store = Retrying::new(&store, deadline);
    // The last part of the time is for the day that is begun.
    let begins_until = deadline.earlier_by(context.time() / 4);
    context.reads();
    let may_begin = || !begins_until.remaining().is_zero();
    let done = compact::compact(&store, Timestamp::now(), may_begin).await;
    let done = done.map_err(as_it_is)?;
    if done.is_cut_short {
        context.will_fail();
    }
    match context.output {
        Output::Json => output::json(&json!(done))?,
        Output::Text => {
            let Compacted { days, rows, .. } = done;
            if days == 0 && done.removed == 0 && done.left == 0 && !done.is_cut_short {
                output::line("nothing to join: a day is joined 75 minutes after its end, in UTC")?;
                return Ok(Exit::Done);
            }
            output::line(format_args!(
                "joined {} of {}, removed {}",
                output::count(rows, "row"),
                output::count(days, "day"),
                output::count(done.removed, "object")
            ))?;
        }
    }
    if done.left > 0 {
        output::error(format_args!(
            "{} objects of the catalog may not be removed from {}; joined rows are in both places, \
             which costs requests and changes no listing",
            done.left,
            store.url("catalog/")
        ));
    }
    if done.is_cut_short {
        output::error(format_args!(
            "the {} s are nearly over, and more days wait: run it again, and it goes on there, or give it longer with \
             --timeout",
            context.time().as_secs()
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// An error of the store as what it is, so that there is advice about it, and its exit code.
pub fn as_it_is(error: CompactError) -> anyhow::Error {
    match error {
        CompactError::Store(error) => error.into(),
        error => error.into(),
    }
}
