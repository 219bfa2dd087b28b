//! `console-archive sweep`: progress on a terminal, a file to go on from, a summary.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::capture::sweep::{NoProgress, Sweep, SweepProgress, Swept};
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::model::outcome::Tally;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::{log, printable};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{Context, EcsArguments};
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};

/// Keep the consoles of every instance of whole regions now
///
/// It also keeps what a missed event left out. Failures of single instances do not end it: they
/// are told at the end, and the exit code is 1. So it is where --timeout ends the sweep.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive sweep --region cn-hangzhou --region cn-beijing
  console-archive sweep --all-regions --resume left.json")]
pub struct Arguments {
    /// Regions to sweep
    #[arg(long = "region", value_name = "REGION_ID", value_parser = RegionId::parse)]
    #[arg(required_unless_present_any = ["all_regions"], conflicts_with = "all_regions")]
    regions: Vec<RegionId>,
    /// Sweep every region the account can use
    #[arg(long)]
    all_regions: bool,
    /// Instances captured at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: Option<u8>,
    /// Instances begun in a second, at most: ECS throttles by account and region
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    per_second: Option<u16>,
    /// Write what is left to this file, after each page and at a time-out, and go on from it
    /// where it exists
    ///
    /// It is an event, and is removed at the end of the sweep.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Where ECS requests go; {region} stands for the region [env: ECS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    ecs_endpoint_url: Option<String>,
}

/// A sweep by hand ends when it is done, unless it is given a time.
const NO_END: Duration = Duration::from_secs(30 * 24 * 3600);

/// The sweep that was interrupted, if the file has one; else `new`.
fn resumed(file: Option<&Path>, new: Sweep) -> Result<Sweep> {
    let Some(file) = file.filter(|file| file.exists()) else {
        return Ok(new);
    };
    let wrong = |error: &dyn std::fmt::Display| WrongInput(format!("{}: {error}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let mut event: Value = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    let sweep: Sweep =
        serde_json::from_value(event["sweep"].take()).map_err(|error| wrong(&error))?;
    if (&sweep.regions, sweep.all_regions) == (&new.regions, new.all_regions) {
        Ok(sweep)
    } else {
        let why = "it is of a sweep over other regions; remove it to begin anew";
        Err(wrong(&why).into())
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let file = arguments.resume.as_deref();
    let new = Sweep::new(
        arguments.regions.into_iter().collect(),
        arguments.all_regions,
    );
    let mut sweep = resumed(file, new)?;
    sweep.concurrency = arguments.concurrency.unwrap_or(sweep.concurrency);
    sweep.per_second = arguments.per_second.unwrap_or(sweep.per_second);
    let archiver = context.archiver(EcsArguments {
        region: None,
        ecs_endpoint_url: arguments.ecs_endpoint_url,
    })?;
    let output = context.output;
    let time = context.timeout.unwrap_or(NO_END);
    // It shows itself on a terminal only.
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{prefix} [{bar:30}] {pos}/{len} instances, {eta} left {msg}",
    )?);
    let above = bar.clone();
    log::init_to(&context.warnings(), move |lines| {
        above.suspend(|| eprint!("{lines}"))
    });
    let tell = |progress: SweepProgress<'_>| match progress {
        SweepProgress::Region(region_id, total) => {
            bar.reset();
            bar.set_length(total.unwrap_or_default());
            bar.set_prefix(region_id.to_string());
        }
        SweepProgress::Instance(instance_id, served) => {
            bar.inc(1);
            if let Err(error) = served {
                bar.suspend(|| output::error(format_args!("{instance_id}: {error}")));
            }
        }
        SweepProgress::Left(left) => {
            if let Some(file) = file
                && let Err(error) = write(file, left)
            {
                bar.suspend(|| output::error(format_args!("{error:#}")));
            }
        }
    };
    let swept = archiver.sweep(sweep, Deadline::after(time), &tell).await;
    bar.finish_and_clear();
    let swept = match swept {
        Err(CaptureError::NoProgress(NoProgress { cause, .. })) => {
            let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
            let time = time.as_secs();
            anyhow::bail!(
                "timed out after {time} s, before anything was captured{cause}: give a longer --timeout"
            );
        }
        swept => swept?,
    };
    match swept {
        Swept::Whole(done) => {
            if let Some(file) = file.filter(|file| file.exists()) {
                std::fs::remove_file(file).with_context(|| file.display().to_string())?;
            }
            summary(&done, output)?;
            Ok(if done.failed == 0 {
                Exit::Done
            } else {
                Exit::Failed
            })
        }
        Swept::Unfinished(left) => {
            summary(&left.done, output)?;
            let advice = match file {
                Some(file) => format!("go on with --resume {}", file.display()),
                None => "give a longer --timeout, or --resume FILE to go on where it is".into(),
            };
            let time = time.as_secs();
            output::error(format_args!("timed out after {time} s: {advice}"));
            Ok(Exit::Failed)
        }
    }
}

/// Whole or not at all: an interrupted write must not lose the place.
fn write(file: &Path, left: &Sweep) -> Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let write = || -> std::io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        writeln!(new, "{:#}", json!({ "sweep": left }))?;
        new.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

fn summary(done: &Tally, output: Output) -> Result<()> {
    if output == Output::Json {
        return output::json(&json!(done));
    }
    let Tally {
        regions,
        instances,
        stored,
        already_stored,
        no_console,
        failed,
        failures,
    } = done;
    let mut stdout = std::io::stdout();
    let (instances, regions) = (counted(*instances, "instance"), counted(*regions, "region"));
    writeln!(
        stdout,
        "swept {instances} in {regions}: {stored} stored, {already_stored} already stored, \
         {no_console} without a console, {failed} failed"
    )?;
    for failure in failures {
        writeln!(stdout, "  failed: {}", printable::one_line(failure))?;
    }
    Ok(())
}

fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}
