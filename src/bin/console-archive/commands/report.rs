//! `console-archive report`: what happened to a fleet in some days, from the catalog.

mod boots;
pub mod facts;
mod page;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::catalog::read::{Catalog, ReadDay};
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::reading::phase::Phase;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::{log, printable};
use globset::GlobMatcher;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::findings::{tell_coverage, tell_unread};
use super::list::fleet::{is_of, tell_damaged};
use super::{Context, grep};
use crate::boots::ending_in_words;
use crate::exit::{Exit, WrongInput};
use crate::finding;
use crate::output::{self, Output};
use crate::table::{self, Cell, Column, Table};
use crate::time::{self, Bound, Period};
use boots::{OfBoots, Took};
use facts::{Collector, Facts};

/// How long a signature must not have been there to be new.
pub const BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Records of a large fleet take hours.
const TIME_FOR_BOOTS: Duration = Duration::from_secs(24 * 3600);
/// What a report is about if nothing else is asked for.
const PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Report what happened to a fleet: what went wrong, and what is new
///
/// It covers the last seven days, unless you ask for others, and reads the catalog: how many consoles came to their
/// login prompt, day by day; what went wrong, by signature, and whether it is new; and the instances whose newest console
/// neither comes to its login prompt nor ends in a clean shutdown. A signature is new if no console of the thirty days
/// before has it. If none of these days is known, nothing is called new.
///
/// With --boots it reads the records of that time, too: which boots never came to their login prompt, and which took longest,
/// by stage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive report
  console-archive report --since yesterday --region cn-hangzhou
  console-archive report --boots --html report.html")]
pub struct Arguments {
    /// Only what was captured from then on: 2024-03-22, "2024-03-22 10:04", 10:04, today, yesterday, -1h [default: -7d]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<Bound>,
    /// Only what was captured until then; a day, an hour or a minute counts to its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<Bound>,
    /// Only instances that this matches, such as 'i-bp1*'; several may be given
    #[arg(long, value_name = "GLOB", value_parser = grep::glob)]
    pub instance: Vec<GlobMatcher>,
    /// Only instances of this region; several may be given
    #[arg(long, value_name = "REGION_ID", value_delimiter = ',', value_parser = RegionId::parse)]
    pub region: Vec<RegionId>,
    /// Also read the records: boots that never reached their login prompt, and the slowest boots by stage. It takes a
    /// request for each record
    #[arg(long)]
    pub boots: bool,
    /// Write the report to this file, as one page of HTML that loads nothing; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub html: Option<PathBuf>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let zone = &context.time_zone;
    let now = Timestamp::now();
    let mut period = Period::of(arguments.since.as_ref(), arguments.until.as_ref(), zone);
    let until = period.until.unwrap_or(now);
    let since = period.since.or_else(|| until.checked_sub(PERIOD).ok());
    let since = since.unwrap_or(Timestamp::MIN);
    (period.since, period.until) = (Some(since), Some(until));
    if period.is_empty() {
        return Err(WrongInput("--until is before --since".into()).into());
    }
    let store = context.store()?;
    let time = match arguments.boots {
        true => context.timeout.unwrap_or(TIME_FOR_BOOTS),
        false => context.time(),
    };
    let store = Retrying::new(&store, Deadline::after(time));
    let before = since.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let catalog = Catalog::open_whole(&store, before..=until).await?;
    tell_coverage(&catalog, since, &store);
    tell_unread(&catalog);
    let (mut collector, mut notes) = (Collector::new(period, zone.clone()), Vec::new());
    if arguments.boots {
        collector = collector.keeping_keys();
    }
    let mut damaged = 0;
    context.reads();
    catalog
        .read(
            |ReadDay {
                 rows, damaged: bad, ..
             }|
             -> Result<()> {
                damaged += tell_damaged(&bad, &store);
                for row in rows {
                    match is_of(&row, &arguments.instance, &arguments.region) {
                        true => collector.add(row),
                        false => collector.note_before(row.captured_at),
                    }
                }
                Ok(())
            },
        )
        .await?;
    let mut facts = collector.finish();
    if let Some(keys) = facts.keys.take() {
        let bar = output::progress("{human_pos} instances, {rate}")?;
        let read = boots::read(&store, &keys, || bar.inc(1)).await;
        bar.finish_and_clear();
        facts.boots = Some(read?);
    }
    let mut note = |count: u64, of: &str, why: &str| {
        if count > 0 {
            notes.push(format!(
                "not counted: {}, because {why}",
                output::count(count, of)
            ));
        }
    };
    note(
        damaged,
        "object of the catalog",
        "it is damaged; `console-archive reindex` builds it anew",
    );
    note(
        facts.unknown,
        "record",
        "the catalog has rows of before it had findings; `console-archive reindex` looks for them",
    );
    let left_out = facts.boots.iter().flat_map(|boots| &boots.left_out);
    note(
        left_out.clone().count() as u64,
        "record",
        "it is damaged or gone; `console-archive verify` says more",
    );
    for told in left_out {
        output::error(format_args!("warning: left out: {told}"));
    }
    let exit = match (notes.is_empty(), facts.records + facts.without_console) {
        (false, _) => Exit::Failed,
        (true, 0) => Exit::Nothing,
        (true, _) => Exit::Done,
    };
    let exit = context.will_end(exit);
    notes.extend(facts.why_none_is_new().map(str::to_owned));
    let shown = |at| time::shown(at, zone);
    let heading = page::Heading {
        archive_url: store.url(""),
        period: format!("{} to {}", shown(since), shown(until)),
        made_at: shown(now),
    };
    if let Some(file) = &arguments.html {
        let page = page::page(&heading, &facts, &notes, zone);
        output::page(file, &page, &format!("the report of {}", heading.period))?;
    } else if context.output == Output::Json {
        output::json(&json(&facts, period))?;
    } else {
        text(&heading, &facts, context)?;
    }
    notes.iter().for_each(output::error);
    if matches!(exit, Exit::Nothing) {
        output::error(format_args!(
            "nothing was captured from {} in {}",
            heading.period, heading.archive_url
        ));
    }
    Ok(exit)
}

fn json(facts: &Facts, period: Period) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let days = facts.days.iter().map(|(date, day)| {
        json!({
            "date": date.to_string(),
            "records": day.records,
            "instances": day.instances,
            "reached_login": day.reached_login,
            "not_reached_login": day.not_reached,
            "instances_by_severity": day.by_severity,
        })
    });
    let signatures = facts.signatures.iter().map(|one| {
        json!({
            "id": one.of.finding.id,
            "family": one.of.finding.family,
            "severity": one.of.finding.severity,
            "title": one.of.finding.title,
            "signature": one.of.finding.signature,
            "instances": one.of.instances.len(),
            "records": one.of.records,
            "first_captured_at": one.of.first.to_string(),
            "last_captured_at": one.of.last.to_string(),
            "is_new": one.is_new,
            "example_instance_id": one.of.example,
        })
    });
    let stuck = facts.stuck.iter().map(|one| {
        json!({
            "instance_id": one.instance_id,
            "region_id": one.region_id,
            "captured_at": one.captured_at.to_string(),
            "ending": one.ending,
            "kernel": one.kernel,
            "finding": one.worst.as_ref().map(|worst| &worst.signature),
        })
    });
    let mut json = json!({
        "since": time(period.since),
        "until": time(period.until),
        "records": facts.records,
        "instances": facts.instances,
        "instances_captured": facts.captured,
        "without_console": facts.without_console,
        "records_without_findings_known": facts.unknown,
        "days": days.collect::<Vec<_>>(),
        "findings": signatures.collect::<Vec<_>>(),
        "not_at_login": stuck.collect::<Vec<_>>(),
    });
    if let Some(boots) = &facts.boots {
        json["boots"] = json_of_boots(boots);
    }
    json
}

fn json_of_boots(of: &OfBoots) -> Value {
    let took = |took: &Took| {
        let parts = took.parts().map(|(name, length)| {
            let seconds = length.map(|length| length.as_secs_f64());
            (name.to_owned(), json!(seconds))
        });
        Value::Object(parts.into_iter().collect())
    };
    let not_reached = of.not_reached.iter().map(|one| {
        json!({
            "instance_id": one.instance_id,
            "boot_id": one.boot_id,
            "captured_at": one.captured_at.to_string(),
            "ending": one.ending,
            "phase": one.phase.map(Phase::as_str),
            "finding": one.worst.as_ref().map(|(_, signature, _)| signature),
        })
    });
    let slowest = of.slowest.iter().map(|one| {
        json!({
            "instance_id": one.instance_id,
            "boot_id": one.boot_id,
            "captured_at": one.captured_at.to_string(),
            "seconds": took(&one.took),
        })
    });
    json!({
        "reached_login": of.reached,
        "never_reached_login": not_reached.collect::<Vec<_>>(),
        "without_prompt": of.without_prompt,
        "not_known": of.unknown,
        "median_seconds": took(&of.median),
        "slowest": slowest.collect::<Vec<_>>(),
    })
}

/// A length, in seconds with one digit behind the point.
fn seconds(length: Option<Duration>) -> String {
    length.map_or(table::NOTHING.to_owned(), |length| {
        format!("{:.1}", length.as_secs_f64())
    })
}

/// How many boots came to their prompt, and how many did not, in words.
fn boots_in_words(of: &OfBoots) -> String {
    let mut words = format!(
        "{} reached the login prompt, {} never did",
        output::count(of.reached, "boot"),
        output::grouped(of.not_reached.len() as u64)
    );
    if of.without_prompt > 0 {
        words += &format!(
            "; {} of instances that show a prompt in no boot do not count",
            output::grouped(of.without_prompt)
        );
    }
    if of.unknown > 0 {
        words += &format!(
            "; {} not known, since a part of the boot is missing or it goes on",
            output::grouped(of.unknown)
        );
    }
    words
}

fn tables_of_boots(of: &OfBoots, zone: &TimeZone) -> (Table, Table) {
    let names = [
        "INSTANCE ID",
        "BOOT ID",
        "CAPTURED",
        "ENDED",
        "REACHED",
        "WHY",
    ];
    let rows = of.not_reached.iter().map(|one| {
        let why = match &one.worst {
            Some((severity, _, title)) => finding::cell(*severity, (*title).to_owned()),
            None => table::NOTHING.into(),
        };
        vec![
            one.instance_id.to_string().into(),
            one.boot_id.clone().into(),
            table::glued(&time::shown(one.captured_at, zone)).into(),
            ending_in_words(one.ending).into(),
            one.phase.map_or(table::NOTHING, Phase::as_str).into(),
            why,
        ]
    });
    let not_reached = Table::new(names.map(Column::text).to_vec(), rows.collect());
    let mut columns = ["INSTANCE ID", "BOOT ID"].map(Column::text).to_vec();
    columns.extend(["KERNEL", "INITRD", "SERVICES", "LOGIN", "CLOUD-INIT"].map(Column::number));
    let row = |id: String, boot_id: String, took: &Took| -> Vec<Cell> {
        let lengths = took.parts().map(|(_, length)| Cell::from(seconds(length)));
        let names = [id, boot_id].map(Cell::from);
        names.into_iter().chain(lengths).collect()
    };
    let median = row("median".to_owned(), table::NOTHING.to_owned(), &of.median);
    let slow = of.slowest.iter();
    let slow = slow.map(|one| row(one.instance_id.to_string(), one.boot_id.clone(), &one.took));
    let slowest = Table::new(columns, slow.chain([median]).collect());
    (not_reached, slowest)
}

fn text(heading: &page::Heading, facts: &Facts, context: &Context) -> Result<()> {
    let zone = &context.time_zone;
    let bold = |text: &str| match context.has_colors() {
        true => format!("{0}{text}{0:#}", Style::new().bold()),
        false => text.to_owned(),
    };
    let say = |text: String| -> Result<()> {
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    };
    let new = facts.signatures.iter().filter(|one| one.is_new).count();
    let width = output::width();
    let about = format!("{}  {}", heading.archive_url, heading.period);
    let about = output::wrapped(&about, width);
    say(format!("{}\n", bold(about.trim_end())))?;
    let numbers = format!(
        "{}: {}, and {} without one; {}, {new} of them new; {} not at the login prompt",
        output::count(facts.captured as u64, "instance"),
        output::count(facts.records, "console"),
        output::count(facts.without_console, "capture"),
        output::count(facts.signatures.len() as u64, "signature"),
        output::count(facts.stuck.len() as u64, "instance"),
    );
    say(format!("{}\n", output::wrapped(&numbers, width).trim_end()))?;
    if !facts.days.is_empty() {
        say(format!("\n{}\n", bold("Day by day")))?;
        let what = "LOGIN and NO LOGIN count consoles, each by its last boot: one that was captured while its machine was \
            starting counts as NO LOGIN. FATAL, ERROR and WARNING count instances, each by the worst that it says.";
        say(format!("{}\n", output::wrapped(what, width).trim_end()))?;
        let mut columns = vec![Column::text("DAY")];
        columns.extend(
            [
                "CONSOLES",
                "INSTANCES",
                "LOGIN",
                "NO LOGIN",
                "FATAL",
                "ERROR",
                "WARNING",
            ]
            .map(Column::number),
        );
        use ecs_console_archiver::reading::findings::Severity::{Error, Fatal, Warning};
        let rows = facts.days.iter().map(|(date, day)| {
            let of = |severity| *day.by_severity.get(&severity).unwrap_or(&0) as u64;
            let numbers = [
                day.records,
                day.instances as u64,
                day.reached_login,
                day.not_reached,
                of(Fatal),
                of(Error),
                of(Warning),
            ];
            let numbers = numbers.map(|number| output::grouped(number).into());
            std::iter::once(date.to_string().into())
                .chain(numbers)
                .collect()
        });
        context.print(&Table::new(columns, rows.collect()))?;
    }
    if !facts.signatures.is_empty() {
        say(format!("\n{}\n", bold("What went wrong")))?;
        let mut columns = ["SEVERITY", "NEW", "SIGNATURE"].map(Column::text).to_vec();
        columns.push(Column::number("INSTANCES"));
        columns.extend(["LAST", "EXAMPLE", "WHAT HAPPENED"].map(Column::text));
        let rows = facts.signatures.iter().map(|one| {
            let severity = one.of.finding.severity;
            vec![
                finding::cell(severity, severity.as_str().to_owned()),
                if one.is_new { "yes" } else { table::NOTHING }.into(),
                table::with_seams(&printable::one_line(&one.of.finding.signature)).into(),
                output::grouped(one.of.instances.len() as u64).into(),
                table::glued(&time::shown(one.of.last, zone)).into(),
                one.of.example.to_string().into(),
                printable::one_line(&one.of.finding.title)
                    .into_owned()
                    .into(),
            ]
        });
        context.print(&Table::new(columns, rows.collect()))?;
    }
    if let Some(of) = &facts.boots {
        say(format!(
            "\n{}\n",
            bold("Boots that never reached their login prompt")
        ))?;
        let words = boots_in_words(of);
        say(format!("{}\n", output::wrapped(&words, width).trim_end()))?;
        let (not_reached, slowest) = tables_of_boots(of, zone);
        if !of.not_reached.is_empty() {
            context.print(&not_reached)?;
        }
        let title = "Slowest boots, by stage, in seconds";
        say(format!("\n{}\n", bold(title)))?;
        match of.slowest.is_empty() {
            true => say(format!(
                "{}\n",
                output::wrapped(boots::NONE_TIMED, width).trim_end()
            ))?,
            false => context.print(&slowest)?,
        }
    }
    if !facts.stuck.is_empty() {
        say(format!("\n{}\n", bold("Not at the login prompt")))?;
        let names = ["INSTANCE ID", "REGION", "NEWEST CONSOLE", "ENDED", "WHY"];
        let rows = facts.stuck.iter().map(|one| {
            let nothing = || table::NOTHING.to_owned();
            let region = one.region_id.as_ref().map(ToString::to_string);
            let why = one.worst.as_ref();
            let why = why.map(|worst| printable::one_line(&worst.title).into_owned());
            vec![
                one.instance_id.to_string().into(),
                region.unwrap_or_else(nothing).into(),
                table::glued(&time::shown(one.captured_at, zone)).into(),
                one.ending.map_or(table::NOTHING, ending_in_words).into(),
                why.unwrap_or_else(nothing).into(),
            ]
        });
        context.print(&Table::new(
            names.map(Column::text).to_vec(),
            rows.collect(),
        ))?;
    }
    Ok(())
}
