//! `console-archive sweep`: progress on a terminal, a file to go on from, a summary.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::capture::sweep::{
    MAX_CONCURRENCY, NoProgress, Sweep, SweepProgress, Swept,
};
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::model::outcome::Tally;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::{log, printable};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Context, EcsArguments};
use crate::exit::{Exit, WrongInput, unless_closed};
use crate::input::{shown, wrong};
use crate::output::{self, Output};
use crate::resume_file;

/// Capture every instance of whole regions now
///
/// It also captures instances whose events were missed. A failure of one instance does not end the
/// sweep: it is reported at the end, and the exit code is 1. The exit code is also 1 if --timeout ends
/// the sweep. With Ctrl-C it finishes the instances that it has begun, and says how to go on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive sweep --region cn-hangzhou,cn-beijing
  console-archive sweep --all-regions --resume left.json")]
pub struct Arguments {
    /// Region to sweep; several may be given, with commas between them [env: ALIBABA_CLOUD_REGION_ID]
    #[arg(long = "region", value_name = "REGION_ID", value_delimiter = ',', value_parser = RegionId::parse)]
    #[arg(conflicts_with = "all_regions")]
    regions: Vec<RegionId>,
    /// Sweep every region the account can use
    #[arg(long)]
    all_regions: bool,
    #[arg(help = format!("Instances captured at once [default: {}]", defaults().concurrency))]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_CONCURRENCY)))]
    concurrency: Option<u8>,
    #[arg(help = format!(
        "Instances begun in a second, at most: ECS throttles by account and region [default: {}]",
        defaults().per_second
    ))]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    per_second: Option<u16>,
    /// Write what is left to this file, after each page and at the end, and go on from it where it
    /// exists
    ///
    /// It is an event, and is removed when nothing is left. It names its regions, so that
    /// `sweep --resume FILE` goes on with no other option. Without this option, a sweep that is
    /// interrupted or timed out writes sweep-left.json.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Where ECS requests go; {region} stands for the region [env: ECS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    ecs_endpoint_url: Option<String>,
}

const NO_REGION: &str = "no region: give --region or --all-regions, or set ALIBABA_CLOUD_REGION_ID";
const OTHER_REGIONS: &str =
    "it is of a sweep over other regions; sweep those with it, or remove it to begin anew";

/// A sweep by hand ends when it is done, unless it is given a time.
const NO_END: Duration = Duration::from_secs(30 * 24 * 3600);

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let archiver = context.archiver(EcsArguments {
        region: None,
        ecs_endpoint_url: arguments.ecs_endpoint_url,
    })?;
    let file = arguments.resume.as_deref();
    let left = file.map(resume_file::open).transpose()?.flatten();
    let regions: BTreeSet<_> = arguments.regions.into_iter().collect();
    let mut sweep = match (left, file) {
        (Some(left), Some(file)) => {
            let is_asked_for = !regions.is_empty() || arguments.all_regions;
            if is_asked_for
                && (&left.regions, left.all_regions) != (&regions, arguments.all_regions)
            {
                return Err(wrong(file, OTHER_REGIONS).into());
            }
            left
        }
        _ if regions.is_empty() && !arguments.all_regions => {
            let region = archiver.default_region.clone();
            let region = region.ok_or_else(|| WrongInput(NO_REGION.into()))?;
            Sweep::new(BTreeSet::from([region]), false)
        }
        _ => Sweep::new(regions, arguments.all_regions),
    };
    let before = sweep.done.clone();
    sweep.concurrency = arguments.concurrency.unwrap_or(sweep.concurrency);
    sweep.per_second = arguments.per_second.unwrap_or(sweep.per_second);
    let (output, stop) = (context.output, context.interrupt.token());
    let time = context.timeout.unwrap_or(NO_END);
    // It shows itself on a terminal only.
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{prefix} [{bar:30}] {pos}/{len} instances, {eta} left {msg}",
    )?);
    let above = bar.clone();
    log::init_to(&context.warnings(), move |lines| {
        // Nobody to read it is no reason to end.
        above.suspend(|| drop(std::io::stderr().write_all(lines.as_bytes())));
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
                && let Err(error) = resume_file::write(file, left)
            {
                bar.suspend(|| output::error(format_args!("{error:#}")));
            }
        }
    };
    let swept = archiver.sweep(sweep, Deadline::after(time), stop, &tell);
    let swept = context.interrupt.finish("what has begun", swept).await;
    bar.finish_and_clear();
    let swept = match swept {
        Err(CaptureError::NoProgress(NoProgress { cause, .. })) => {
            let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
            let time = time.as_secs();
            anyhow::bail!(
                "timed out after {time} s, before anything was captured{cause}: give a longer \
                 --timeout, or see what `console-archive doctor` says"
            );
        }
        Err(CaptureError::RegionGone(_)) => return Err(nothing_swept(file)),
        swept => swept?,
    };
    match swept {
        Swept::Whole(done) if done == before => Err(nothing_swept(file)),
        Swept::Whole(done) => {
            if let Some(file) = file {
                resume_file::remove(file)?;
            }
            unless_closed(summary(&done, true, output))?;
            Ok(if done.failed == 0 {
                Exit::Done
            } else {
                Exit::Failed
            })
        }
        Swept::Unfinished(left) => {
            unless_closed(summary(&left.done, false, output))?;
            let file = match file {
                Some(file) => file.to_owned(), // It was written as the sweep ended.
                None => resume_file::write_new(&left)?,
            };
            let command = command(&left, &file);
            if context.interrupt.is_pressed() {
                output::error(format_args!("interrupted: go on with `{command}`"));
                return Ok(Exit::Interrupted);
            }
            let time = time.as_secs();
            output::error(format_args!(
                "timed out after {time} s: go on with `{command}`"
            ));
            Ok(Exit::Failed)
        }
    }
}

fn defaults() -> Sweep {
    Sweep::new(BTreeSet::new(), true)
}

/// What goes on with a sweep.
fn command(left: &Sweep, file: &Path) -> String {
    let mut command = "console-archive sweep".to_owned();
    if left.all_regions {
        command.push_str(" --all-regions");
    }
    for region in &left.regions {
        command.push_str(&format!(" --region {region}"));
    }
    let file = file.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if file.chars().all(is_plain) {
        command + " --resume " + &file
    } else {
        command + " --resume '" + &file.replace('\'', "'\\''") + "'"
    }
}

fn summary(done: &Tally, is_whole: bool, output: Output) -> Result<()> {
    if output == Output::Json {
        return output::json(&json!(done));
    }
    let mut stdout = std::io::stdout();
    let (instances, regions) = (
        output::count(done.instances, "instance"),
        output::count(done.regions, "region"),
    );
    let reached = if is_whole {
        format!("in {regions}")
    } else {
        format!("so far, {regions} completely")
    };
    let summary = format!(
        "swept {instances} {reached}: {} stored, {} already stored, {} without a console, {} failed",
        output::grouped(done.stored),
        output::grouped(done.already_stored),
        output::grouped(done.no_console),
        output::grouped(done.failed),
    );
    let shown = match (done.with_fatal, done.with_error) {
        (0, 0) => String::new(),
        (fatal, error) => format!(
            "; of those stored, {} {} a fatal finding, and {} an error",
            output::grouped(fatal),
            if fatal == 1 { "shows" } else { "show" },
            output::grouped(error)
        ),
    };
    let pictures = match done.with_screenshot {
        0 => String::new(),
        count => format!("; {}", output::count(count, "screenshot")),
    };
    let summary = summary + &shown + &pictures;
    let width = output::width();
    writeln!(stdout, "{}", output::wrapped(&summary, width))?;
    for failure in &done.failures {
        let failure = format!("  failed: {}", printable::one_line(failure));
        writeln!(stdout, "{}", output::wrapped(&failure, width))?;
    }
    Ok(())
}

/// The account has lost the regions that a resumed sweep has left.
fn nothing_swept(file: Option<&Path>) -> anyhow::Error {
    let anew = file.map(|file| format!("; remove {} to begin anew", shown(file)));
    let anew = anew.unwrap_or_default();
    anyhow::anyhow!("nothing was swept: the account has no region that is left to sweep{anew}")
}
