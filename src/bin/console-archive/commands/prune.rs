//! `console-archive prune`: old boots go, and each that stays has a reason.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::catalog::Subject;
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::archive::prune::policy::{FindingRule, Rules};
use ecs_console_archiver::archive::prune::{self, Because, Options, Plan, Planned, Pruned, Told};
use ecs_console_archiver::log;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::bucket::Profile;
use ecs_console_archiver::store::{ArchiveStore, Store};
use globset::GlobMatcher;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};
use serde_json::json;

use super::{Context, grep};
use crate::boots::ending_in_words;
use crate::exit::{Exit, WrongInput, unless_closed};
use crate::output::{self, Output};
use crate::pace::{Pace, Paced};
use crate::table::{Cell, Column, NOTHING, Table};
use crate::time;

/// A large archive takes hours, and more than a day for none.
const TIME: Duration = Duration::from_secs(24 * 3600);
/// Rows of a table that are in memory at once.
const MAX_TABLE_ROWS: usize = 10_000;

/// Remove old boots, by rules of what to keep
///
/// A boot stays if a rule keeps it, and goes with all of its records if none does. The rules count for each
/// instance by itself. The newest boot of an instance always stays, and what has no time or one in the future.
/// A record that two boots share stays with either.
///
/// It prints each boot with what becomes of it, and why. Nothing is removed without --apply.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive prune --keep-within 90d --keep-ending panic,out_of_memory
  console-archive prune --keep-within 90d --keep-finding error,hardware
  console-archive prune --keep-last 3 --keep-daily 7 --keep-monthly 12
  console-archive prune --keep-within 90d --instance 'i-bp1*' --apply")]
pub struct Arguments {
    /// Keep the newest N boots
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_last: u32,
    /// Keep the newest boot of each of the last N days that have one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_daily: u32,
    /// The same of weeks, which begin on Monday
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_weekly: u32,
    /// The same of months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_monthly: u32,
    /// Keep all boots of this time before now, such as 90d, 12w or 1y
    #[arg(long, value_name = "TIME", value_parser = within)]
    keep_within: Option<Span>,
    /// Keep boots that ended so; several may be given, with commas between them
    #[arg(long, value_name = "ENDING", value_delimiter = ',', value_parser = grep::ending())]
    keep_ending: Vec<Ending>,
    /// Keep boots whose log shows such a finding: an ID, a family, or a severity, which includes what is worse; several
    /// may be given, with commas between them
    #[arg(long, value_name = "FINDING", value_delimiter = ',')]
    keep_finding: Vec<String>,
    /// Only instances that this matches, such as 'i-bp1*'; several may be given
    #[arg(long, value_name = "GLOB", value_parser = grep::glob)]
    instance: Vec<GlobMatcher>,
    /// Remove nothing if more than so many of a hundred records would go
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    max_remove: u8,
    /// Remove what goes. Without it, it is only shown
    #[arg(long)]
    apply: bool,
    /// Also try what the store refused to remove less than 7 days ago
    #[arg(long, requires = "apply")]
    retry_locked: bool,
}

/// Takes a time such as `90d`.
fn within(text: &str) -> Result<Span, String> {
    let span: Span = text
        .parse()
        .map_err(|_| "expected a time such as 90d".to_owned())?;
    if span.is_negative() {
        return Err("it goes back from now without a sign".to_owned());
    }
    // As a rule it would keep nothing, and let everything go.
    if span.is_zero() {
        return Err("a time of 0 keeps nothing: give one such as 90d".to_owned());
    }
    Ok(span)
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let now = Timestamp::now();
    let rules = arguments.rules(now, context)?;
    if rules.is_empty() {
        output::error(
            "no rule keeps anything: give at least one of --keep-last, --keep-daily, --keep-weekly, \
             --keep-monthly, --keep-within, --keep-ending and --keep-finding",
        );
        return Ok(Exit::Wrong);
    }
    let paced = Paced {
        store: context.store()?,
        pace: Pace::new(),
    };
    let deadline = Deadline::after(context.timeout.unwrap_or(TIME));
    let store = Retrying::new(&paced, deadline).without_waiting_for_space();
    let globs = &arguments.instance;
    let includes =
        |id: &InstanceId| globs.is_empty() || globs.iter().any(|glob| glob.is_match(id.as_str()));
    let options = Options {
        rules,
        instances: Instances {
            prefix: grep::literal_prefix(globs),
            includes: &includes,
        },
        applies: arguments.apply,
        most_percent: arguments.max_remove,
        retries_locked: arguments.retry_locked,
        stops: &|| context.interrupt.is_pressed(),
        clock: &Timestamp::now,
    };
    context.reads();
    let mut printer = Printer {
        context,
        store: &store,
        rows: Vec::new(),
        is_first: true,
    };
    // What is to be done is done, also if nobody reads on. A plan that nobody reads is not worth its requests.
    let told_of = |printed: Result<()>| match arguments.apply {
        true => unless_closed(printed),
        false => printed,
    };
    let work =
        prune::prune::<anyhow::Error>(&store, &options, now, |told| told_of(printer.told(told)));
    let done = context.interrupt.finish("what was begun", work).await;
    told_of(printer.print())?;
    let done = done?;
    told_of(summarize(&done, arguments, &paced.store, context))?;
    if done.instances == 0 {
        let url = store.url("");
        output::error(match globs.is_empty() {
            true => format!("no records in {url}"),
            false => format!("no instance in {url} matches"),
        });
        return Ok(Exit::Nothing);
    }
    Ok(tell(&done, arguments, context, &store))
}

/// What `--max-remove` must be for all that goes.
fn percent(done: &Pruned) -> u64 {
    (done.records_going * 100).div_ceil(done.records.max(1))
}

/// Says what did not go as planned.
fn tell(done: &Pruned, arguments: &Arguments, context: &Context, store: &impl Store) -> Exit {
    if done.damaged > 0 {
        output::error(format_args!(
            "{} damaged or not readable, and {}; console-archive verify names each",
            output::count(done.damaged, "record"),
            if done.damaged == 1 { "stays" } else { "stay" },
        ));
    }
    if done.gone > 0 {
        output::error(format_args!(
            "{} gone meanwhile: another run or a lifecycle rule removes records, too",
            output::count(done.gone, "record")
        ));
    }
    if done.listed_again > 0 {
        output::error(format_args!(
            "{} listed again: a run that was interrupted had marked what stays now as pruned",
            output::count(done.listed_again, "object")
        ));
    }
    if done.unwritten > 0 {
        output::error(format_args!(
            "the disk is too full for {} of the catalog that would say what was removed; run console-archive \
             reindex once there is space",
            output::count(done.unwritten, "row")
        ));
    }
    if done.is_too_much && arguments.apply {
        output::error(format_args!(
            "refused: {} of {} would go, more than --max-remove {} allows: nothing was removed",
            output::grouped(done.records_going),
            output::count(done.records, "record"),
            arguments.max_remove,
        ));
        return Exit::Failed;
    }
    if done.is_catalog_damaged {
        output::error(
            "refused: a part of the catalog cannot be read, so it could not say what was removed: nothing was removed; \
             run console-archive verify, and then console-archive reindex",
        );
        return Exit::Failed;
    }
    if done.locked > 0 {
        output::error(format_args!(
            "{} may not be removed from {}: they are locked, this key may not remove, or the store fails at them; \
             all of them stay listed{}",
            output::count(done.locked, "object"),
            store.url(""),
            match done.waiting {
                0 => String::new(),
                waiting => format!(
                    "; {} of them were refused in the last 7 days and not tried, which --retry-locked does",
                    output::grouped(waiting)
                ),
            }
        ));
    }
    if context.interrupt.is_pressed() {
        return Exit::Interrupted;
    }
    match done.locked > 0 || done.unwritten > 0 || done.is_cut_short || done.damaged > 0 {
        true => Exit::Failed,
        false => Exit::Done,
    }
}

impl Arguments {
    fn rules(&self, now: Timestamp, context: &Context) -> Result<Rules> {
        let since = |span: Span| {
            let now = ZonedDateTime::new(now, context.time_zone.clone());
            let since = now.checked_sub(span).map(|since| since.timestamp());
            since.map_err(|_| WrongInput("--keep-within goes back too far".to_owned()))
        };
        // Not while the arguments are parsed: then rules of one's own are not read yet.
        let findings = self.keep_finding.iter().map(|text| {
            let wrong = |error| WrongInput(format!("--keep-finding {text:?}: {error}"));
            Ok(FindingRule::parse(text).map_err(wrong)?)
        });
        Ok(Rules {
            last: self.keep_last,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            within: self.keep_within.map(since).transpose()?,
            endings: self.keep_ending.clone(),
            findings: findings.collect::<Result<_>>()?,
            zone: context.time_zone.clone(),
        })
    }
}

/// Prints what is planned, as it comes.
struct Printer<'a, S> {
    context: &'a Context,
    store: &'a S,
    rows: Vec<Vec<Cell>>,
    is_first: bool,
}

impl<S: Store> Printer<'_, S> {
    fn told(&mut self, told: Told) -> Result<()> {
        match told {
            Told::Plan(plan) => self.plan(plan),
            Told::Changed(plan) => {
                self.print()?;
                output::error(format_args!(
                    "{} has changed since; this is done:",
                    plan.instance_id
                ));
                self.plan(plan)?;
                self.print()
            }
            Told::Damaged(key, why) => {
                self.print()?;
                output::error(format_args!("damaged: {} ({why})", self.store.url(key)));
                Ok(())
            }
            Told::Locked(key, why) => {
                if self.context.output == Output::Json {
                    return output::json_line(&json!({
                        "type": "locked",
                        "key": key,
                        "url": self.store.url(key),
                        "detail": why,
                    }));
                }
                self.print()?;
                output::error(format_args!("locked: {} ({why})", self.store.url(key)));
                Ok(())
            }
        }
    }

    fn plan(&mut self, plan: &Plan) -> Result<()> {
        if !plan.damaged.is_empty() {
            self.context.will_fail();
        }
        for (key, why) in &plan.damaged {
            let (key, store) = (key.to_string(), self.store);
            if self.context.output == Output::Json {
                output::json_line(&json!({
                    "type": "damaged",
                    "key": key,
                    "url": store.url(&key),
                    "detail": why,
                }))?;
            } else {
                output::error(format_args!("stays: {} ({why})", store.url(&key)));
            }
        }
        if self.context.output == Output::Json {
            for boot in &plan.boots {
                output::json_line(&boot_json(plan, boot))?;
            }
            for other in &plan.others {
                let key = other.subject.key();
                output::json_line(&json!({
                    "type": "other",
                    "instance_id": plan.instance_id,
                    "key": key,
                    "url": self.store.url(&key),
                    "action": "remove",
                    "detail": other.because.map(|because| because.to_string()),
                }))?;
            }
            return Ok(());
        }
        for boot in &plan.boots {
            self.rows
                .push(boot_cells(plan, boot, &self.context.time_zone));
        }
        for because in [Because::IsOlder, Because::OfItsBoots, Because::OfItsDay] {
            self.rows.extend(others_cells(plan, because));
        }
        match self.rows.len() >= MAX_TABLE_ROWS {
            true => self.print(),
            false => Ok(()),
        }
    }

    /// Prints the rows so far.
    fn print(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut columns = ["INSTANCE", "BOOT ID", "CAPTURED", "ENDED"]
            .map(Column::text)
            .to_vec();
        columns.extend(["RECORDS", "BYTES"].map(Column::number));
        columns.extend(["ACTION", "REASON"].map(Column::text));
        let table = Table::new(columns, std::mem::take(&mut self.rows));
        let table = match std::mem::take(&mut self.is_first) {
            true => table,
            false => table.without_headings(),
        };
        self.context.print(&table)
    }
}

fn boot_cells(plan: &Plan, boot: &Planned, zone: &TimeZone) -> Vec<Cell> {
    let time = boot.facts.time;
    let time = time.map(|time| time::shown(time, zone));
    let shared = output::count(boot.shared as u64, "record");
    let reason = match boot.reasons.is_empty() {
        false => reasons(boot).join(", "),
        true if boot.is_kept() => "a boot that is kept shares its records".to_owned(),
        true if boot.shared > 0 => {
            let stay = if boot.shared == 1 { "stays" } else { "stay" };
            format!("no rule keeps it; {shared} {stay}, which a boot that is kept shares")
        }
        true => "no rule keeps it".to_owned(),
    };
    let action = match boot.is_kept() {
        true => "keep",
        false => "REMOVE",
    };
    vec![
        plan.instance_id.to_string().into(),
        boot.id.clone().into(),
        time.unwrap_or(NOTHING.to_owned()).into(),
        ending_in_words(boot.facts.ending).into(),
        boot.records.to_string().into(),
        boot.bytes.to_string().into(),
        action.into(),
        reason.into(),
    ]
}

/// What goes for this reason and is of no boot. `None` if there is nothing.
fn others_cells(plan: &Plan, because: Because) -> Option<Vec<Cell>> {
    let (mut records, mut markers, mut screenshots) = (0, 0, 0);
    let others = plan.others.iter();
    for other in others.filter(|other| other.because == Some(because)) {
        match other.subject {
            Subject::Record(_) => records += 1,
            Subject::Marker(_) => markers += 1,
            Subject::Screenshot(_) => screenshots += 1,
        }
    }
    let mut told = Vec::new();
    let mut tell = |count: u64, text: String| told.extend((count > 0).then_some(text));
    tell(markers, output::count(markers, "marker"));
    tell(screenshots, output::count(screenshots, "screenshot"));
    tell(records, format!("{records} without a boot"));
    if told.is_empty() {
        return None;
    }
    let mut cells = vec![Cell::from(plan.instance_id.to_string())];
    cells.extend((0..3).map(|_| Cell::from(NOTHING)));
    cells.push(records.to_string().into());
    cells.push(NOTHING.into());
    cells.push("REMOVE".into());
    cells.push(format!("{because}: {}", told.join(", ")).into());
    Some(cells)
}

fn reasons(boot: &Planned) -> Vec<String> {
    boot.reasons.iter().map(ToString::to_string).collect()
}

fn boot_json(plan: &Plan, boot: &Planned) -> serde_json::Value {
    json!({
        "type": "boot",
        "instance_id": plan.instance_id,
        "boot_id": boot.id,
        "captured_at": boot.facts.time.map(|time| time.to_string()),
        "ending": boot.facts.ending.as_str(),
        "records": boot.records,
        "bytes": boot.bytes,
        "action": if boot.is_kept() { "keep" } else { "remove" },
        "reasons": reasons(boot),
        "shared": boot.shared,
        "keys": boot.removals.iter().map(|removal| removal.subject.key()).collect::<Vec<_>>(),
    })
}

/// What is told at the end. Of a run that applies, only what went counts as gone.
fn summarize(
    done: &Pruned,
    arguments: &Arguments,
    store: &ArchiveStore,
    context: &Context,
) -> Result<()> {
    let is_applied = arguments.apply && !done.is_refused();
    let (kept, going) = match is_applied {
        true => (done.kept + done.going.saturating_sub(done.went), done.went),
        false => (done.kept, done.going),
    };
    if context.output == Output::Json {
        return output::json_line(&json!({
            "type": "summary",
            "instances": done.instances,
            "boots_kept": kept,
            "boots_removed": going,
            "objects": done.planned.objects,
            "bytes": done.planned.bytes,
            "removed_objects": done.removed.objects,
            "removed_bytes": done.removed.bytes,
            "locked": done.locked,
            "waiting": done.waiting,
            "damaged": done.damaged,
            "gone": done.gone,
            "listed_again": done.listed_again,
            "unwritten_rows": done.unwritten,
            "versions": done.versions,
            "is_applied": is_applied,
        }));
    }
    let sum = |sum: prune::Sum| {
        let objects = output::count(sum.objects, "object");
        format!("{objects} with {} bytes", output::grouped(sum.bytes))
    };
    let kept = match kept {
        1 => "1 stays".to_owned(),
        kept => format!("{} stay", output::grouped(kept)),
    };
    let going = output::count(going, "boot");
    let line = match (is_applied, done.planned.objects) {
        (true, _) => format!("{going} went and {kept}: removed {}", sum(done.removed)),
        (false, 0) => format!("{going} would go and {kept}"),
        (false, _) if done.is_catalog_damaged => {
            format!("{going} would go and {kept}: {}", sum(done.planned))
        }
        (false, objects) => {
            let them = if objects == 1 { "it" } else { "them" };
            let apply = match done.is_too_much {
                true => format!("--apply needs --max-remove {} to remove", percent(done)),
                false => "--apply removes".to_owned(),
            };
            let planned = sum(done.planned);
            format!("{going} would go and {kept}: {planned}; {apply} {them}")
        }
    };
    output::line(&line)?;
    if done.versions > 0 {
        return output::line(format_args!(
            "the bucket keeps versions: what was removed is {} now, which costs as before until a lifecycle rule \
             removes it",
            output::count(done.versions, "earlier version")
        ));
    }
    // Who may remove objects need not be allowed to ask for the bucket's versioning. Of what it removes, S3 says it.
    let is_told = is_applied && done.removed.objects > 0;
    match store {
        ArchiveStore::Bucket(bucket) if !(is_told && bucket.profile() == Profile::Aws) => {
            match done.planned.objects {
                0 => Ok(()),
                _ => output::line(
                    "if the bucket keeps versions, theirs stay until a lifecycle rule removes them",
                ),
            }
        }
        _ => Ok(()),
    }
}
