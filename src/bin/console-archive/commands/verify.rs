//! `console-archive verify`: is everything there that should be, and is it whole?

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::archive::verify::{
    self, Fault, Finding, Part, Scope, Told, Verified, VerifyError,
};
use ecs_console_archiver::config::Archive;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::{log, printable};
use globset::GlobMatcher;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Context, grep};
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::pace::{Pace, Paced};
use crate::time::{Bound, Period};

/// A large archive takes hours, and more than a day for none.
const TIME: Duration = Duration::from_secs(24 * 3600);

/// Check that everything is there that should be, and whole
///
/// It reads each object and checks its key, that its gzip file is whole, and its digests. It compares the records
/// with the catalog, both ways, so that a record that somebody removed is found, too. Nothing is changed. Events
/// may be served meanwhile.
///
/// It prints a line for each fault, KEY, FAULT and DETAIL, in a file or a pipe with tabs between them, and how much
/// it checked. The exit code is 1 if there is a fault, and 3 if there is nothing to check.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive verify
  console-archive verify --quiet --subset 1/7 --retention-days 365  # nightly
  console-archive verify --quick --since -7d
  console-archive verify --instance 'i-bp1*' --output json")]
pub struct Arguments {
    /// Only what was stored since: 2024-03-22, yesterday, -7d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Only instances that this matches, such as 'i-bp1*'; several may be given. Failed events and the catalog's
    /// rows are then left out
    #[arg(long, value_name = "GLOB", value_parser = grep::glob)]
    instance: Vec<GlobMatcher>,
    /// Read the bytes of one part only, such as 1/7: seven nights read all. What is missing is found each time
    #[arg(long, value_name = "PART")]
    subset: Option<Part>,
    /// Read no records: compare only keys, lengths and the catalog, in a request for each thousand objects
    #[arg(long, conflicts_with = "subset")]
    quick: bool,
    /// A lifecycle rule removes records after so many days: older ones are not missing
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    retention_days: Option<u32>,
    /// Print nothing if all is well
    #[arg(long)]
    quiet: bool,
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let period = Period::of(arguments.since.as_ref(), None, &context.time_zone);
    let store = context.store()?.on_this_thread();
    let paced = Paced {
        store,
        pace: Pace::new(),
    };
    let time = context.timeout.unwrap_or(TIME);
    let store = Retrying::new(&paced, Deadline::after(time));
    let globs = &arguments.instance;
    let is_asked_for = |id: &InstanceId| globs.iter().any(|glob| glob.is_match(id.as_str()));
    let scope = Scope {
        since: period.since,
        instances: (!globs.is_empty()).then(|| Instances {
            prefix: grep::literal_prefix(globs),
            includes: &is_asked_for,
        }),
        part: arguments.subset,
        is_quick: arguments.quick,
        retention: (arguments.retention_days)
            .map(|days| SignedDuration::from_hours(24 * i64::from(days))),
        ignores_catalog: !Archive::has_catalog(&context.environment)?,
    };
    let bar = output::progress("{human_pos} objects checked, {rate}")?;
    let told = |told: Told| match told {
        Told::Checked(count) => {
            bar.set_position(count);
            Ok(())
        }
        Told::Found(finding) => {
            context.will_fail();
            bar.suspend(|| print(finding, &store, context.output))
        }
    };
    let done = verify::verify::<anyhow::Error>(&store, &scope, Timestamp::now(), told).await;
    bar.finish_and_clear();
    // As what it is, so that there is advice about it.
    let done = done.map_err(|error| match error.downcast::<VerifyError>() {
        Ok(VerifyError::Store(error)) => error.into(),
        Ok(error) => error.into(),
        Err(error) => error,
    })?;
    let is_good = done.all() == 0 && !done.is_partial;
    if !is_good {
        context.will_fail();
    }
    if !(arguments.quiet && is_good) {
        summarize(&done, context.output)?;
        if done.is_catalog_hidden {
            output::error(
                "the catalog cannot be read, so what is missing is not known; mend what is told of it above",
            );
        } else if !done.has_catalog {
            output::error("there is no catalog, so what is missing is not known");
        }
    }
    if done.listed == 0 && done.all() == 0 {
        output::error(format_args!("nothing to verify in {}", store.url("")));
        return Ok(Exit::Nothing);
    }
    if is_good && done.listed_since == 0 {
        output::error(format_args!(
            "nothing was stored since then in {}; what was checked was stored up to 24 h before, because clocks differ",
            store.url("")
        ));
        return Ok(Exit::Nothing);
    }
    if done.is_partial {
        output::error(
            "a part of the archive could not be listed, so what it has may be reported as missing; mend what the \
             warnings name, and run it again",
        );
    }
    if done.older_than_all > 0 && done.older_than_all == done.count(Fault::Missing) {
        output::error(
            "all that is missing is older than every record there is: if a lifecycle rule removed it, say so with \
             --retention-days, or remove its rows with console-archive reindex",
        );
    }
    Ok(match is_good {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn print(finding: &Finding, store: &impl Store, output: Output) -> Result<()> {
    let Finding { key, fault, detail } = finding;
    match output {
        Output::Json => output::json_line(&json!({
            "type": "fault",
            "key": key,
            "url": store.url(key),
            "fault": fault.as_str(),
            "detail": detail,
        })),
        Output::Text => {
            let (key, detail) = (printable::one_line(key), printable::one_line(detail));
            let fault = fault.as_str();
            match output::width() {
                // Nobody cuts it into columns.
                Some(width) => {
                    let shown = format!("{key}  {fault}  {detail}");
                    output::line(output::hanging(&shown, 2, Some(width)))
                }
                None => output::line(format_args!("{key}\t{fault}\t{detail}")),
            }
        }
    }
}

fn summarize(done: &Verified, output: Output) -> Result<()> {
    let missing = done.count(Fault::Missing);
    if output == Output::Json {
        let faults = Fault::ALL.map(|fault| (fault.as_str().to_owned(), done.count(fault).into()));
        return output::json_line(&json!({
            "type": "summary",
            "checked": done.checked,
            "damaged": done.damaged(),
            "missing": missing,
            "faults": serde_json::Map::from_iter(faults),
            "has_catalog": done.has_catalog,
            "is_partial": done.is_partial,
        }));
    }
    let mut line = format!(
        "{} checked, {} damaged, {} missing",
        output::grouped(done.checked),
        output::grouped(done.damaged()),
        output::grouped(missing)
    );
    for (fault, words) in [
        (Fault::NoRow, "not in the catalog"),
        (Fault::Pruned, "pruned and still there"),
        (Fault::Orphan, "without their record"),
        (Fault::Leftover, "left over"),
        (Fault::Foreign, "foreign"),
    ] {
        if done.count(fault) > 0 {
            line += &format!(", {} {words}", output::grouped(done.count(fault)));
        }
    }
    output::line(line)
}
