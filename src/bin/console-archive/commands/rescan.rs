//! `console-archive rescan`: what today's rules find in the records that are stored.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::archive::catalog::rescan::{self, Asked, Changed, Rescanned};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;
use ecs_console_archiver::{log, printable};
use globset::GlobMatcher;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::findings::OfRow;
use super::list::fleet::is_of;
use super::{Context, grep, reindex};
use crate::exit::{Exit, WrongInput};
use crate::finding;
use crate::output::{self, Output};
use crate::table::{self, Column, Table};
use crate::time::{Bound, Period};

/// A large archive takes hours, and more than a day for none.
const TIME: Duration = Duration::from_secs(24 * 3600);

/// Look for findings in stored records again, with today's rules
///
/// It reads the records of the catalog's rows once more, and prints for each instance what the rules of this program, and
/// of FINDINGS_RULES, find in them that the catalog does not say, and what it says that they do not find any more.
/// Nothing is written without --apply: then the rows say what was found, and how the boots ended. Records stay as they are,
/// and nobody is told a second time.
///
/// A record without a row is not read: `console-archive reindex` gives it one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive rescan
  console-archive rescan --since -30d --instance 'i-bp1*'
  console-archive rescan --since 2026-11-01 --apply")]
pub struct Arguments {
    /// Only what was captured from then on: 2024-03-22, "2024-03-22 10:04", 10:04, today, yesterday, -1h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Only what was captured until then; a day, an hour or a minute counts to its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Bound>,
    /// Only instances that this matches, such as 'i-bp1*'; several may be given
    #[arg(long, value_name = "GLOB", value_parser = grep::glob)]
    instance: Vec<GlobMatcher>,
    /// Only instances of this region; several may be given
    #[arg(long, value_name = "REGION_ID", value_delimiter = ',', value_parser = RegionId::parse)]
    region: Vec<RegionId>,
    /// Write what was found to the catalog. Without it, it is only shown
    #[arg(long)]
    apply: bool,
}

/// What is different of an instance.
#[derive(Default)]
struct OfInstance {
    /// Records whose rows are not as today's rules say.
    records: u64,
    /// By signature: a finding, and how many records say it.
    new: BTreeMap<String, (Value, u64)>,
    gone: BTreeMap<String, (Value, u64)>,
}

impl OfInstance {
    fn add(&mut self, changed: Changed) {
        self.records += 1;
        for (all, found) in [(&mut self.new, changed.new), (&mut self.gone, changed.gone)] {
            for one in found {
                let signature = one["signature"].as_str().unwrap_or_default().to_owned();
                all.entry(signature).or_insert((one, 0)).1 += 1;
            }
        }
    }
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let (since, until) = (arguments.since.as_ref(), arguments.until.as_ref());
    let period = Period::of(since, until, &context.time_zone);
    if period.is_empty() {
        return Err(WrongInput("--until is before --since".into()).into());
    }
    let store = context.store()?;
    let store = Retrying::new(&store, Deadline::after(context.timeout.unwrap_or(TIME)));
    context.reads();
    let rows = Cell::new(0);
    let includes = |row: &Row| {
        rows.set(rows.get() + 1);
        is_of(row, &arguments.instance, &arguments.region)
    };
    let asked = Asked {
        range: period.since.unwrap_or(Timestamp::MIN)..=period.until.unwrap_or(Timestamp::MAX),
        includes: &includes,
        applies: arguments.apply,
    };
    let bar = output::progress("{human_pos} records, {rate}")?;
    let mut instances: BTreeMap<InstanceId, OfInstance> = BTreeMap::new();
    let tell = |changed: Changed| {
        let of = instances.entry(changed.instance_id.clone()).or_default();
        of.add(changed);
    };
    let done = rescan::rescan(&store, &asked, |count| bar.set_position(count), tell).await;
    bar.finish_and_clear();
    let done = done.map_err(reindex::as_it_is)?;
    for (url, why) in &done.unread {
        output::error(format_args!(
            "not looked at: {url}: {why}; its row stays as it is"
        ));
    }
    for (folder, why) in &done.unwritten {
        output::error(format_args!("not rewritten: {folder}: {why}"));
    }
    if !(done.unread.is_empty() && done.unwritten.is_empty()) {
        context.will_fail();
    }
    match context.output {
        Output::Json => output::json(&json_of(&done, &instances, arguments.apply))?,
        Output::Text => {
            if !instances.is_empty() {
                context.print(&table_of(&instances))?;
            }
            tell_done(&done, instances.len() as u64, arguments.apply);
        }
    }
    if done.left > 0 {
        output::error(format_args!(
            "{} of the catalog may not be removed; what they say of findings may still be read",
            output::count(done.left, "object")
        ));
    }
    Ok(match done.unread.is_empty() && done.unwritten.is_empty() {
        false => Exit::Failed,
        true if done.records == 0 => {
            let url = store.url("");
            match rows.get() {
                0 => output::error(format_args!(
                    "the catalog in {url} has no such record; `console-archive reindex` builds it from the records"
                )),
                rows => output::no_match(rows, "record", &format!(" of the catalog in {url}")),
            }
            Exit::Nothing
        }
        true => Exit::Done,
    })
}

fn tell_done(done: &Rescanned, instances: u64, applied: bool) {
    if done.records == 0 {
        return;
    }
    let records = output::count(done.records, "record");
    let what = match (done.changed, applied) {
        (0, _) => "the catalog says what today's rules find".to_owned(),
        (changed, true) => format!(
            "the rows of {} of {} say something else now",
            output::count(changed, "record"),
            output::count(instances, "instance")
        ),
        (changed, false) => format!(
            "the rows of {} of {} would say something else; --apply writes it",
            output::count(changed, "record"),
            output::count(instances, "instance")
        ),
    };
    output::error(format_args!("{records} looked at: {what}"));
}

fn table_of(instances: &BTreeMap<InstanceId, OfInstance>) -> Table {
    let mut columns = ["INSTANCE ID", "CHANGE", "SEVERITY", "SIGNATURE"]
        .map(Column::text)
        .to_vec();
    columns.push(Column::number("RECORDS"));
    columns.push(Column::text("WHAT HAPPENED"));
    let mut rows = Vec::new();
    for (id, of) in instances {
        let all = [("new", &of.new), ("gone", &of.gone)];
        let all = all
            .iter()
            .flat_map(|(change, found)| found.values().map(move |one| (*change, one)));
        let before = rows.len();
        for (change, (json, records)) in all {
            // In a form that this version does not know, a later one wrote it.
            let Some(found) = OfRow::of(json) else {
                continue;
            };
            rows.push(vec![
                id.to_string().into(),
                change.into(),
                finding::cell(found.severity, found.severity.as_str().to_owned()),
                table::with_seams(&printable::one_line(&found.signature)).into(),
                output::grouped(*records).into(),
                printable::one_line(&found.title).into_owned().into(),
            ]);
        }
        if rows.len() == before {
            let nothing = || table::NOTHING.into();
            let records = output::grouped(of.records).into();
            let what = "the same findings, told in another way".into();
            rows.push(vec![
                id.to_string().into(),
                nothing(),
                nothing(),
                nothing(),
                records,
                what,
            ]);
        }
    }
    Table::new(columns, rows)
}

fn json_of(done: &Rescanned, instances: &BTreeMap<InstanceId, OfInstance>, applied: bool) -> Value {
    let found = |all: &BTreeMap<String, (Value, u64)>| {
        let all = all.values().map(|(one, records)| {
            json!({
                "id": one["id"],
                "severity": one["severity"],
                "title": one["title"],
                "signature": one["signature"],
                "records": records,
            })
        });
        all.collect::<Vec<_>>()
    };
    let instances = instances.iter().map(|(id, of)| {
        json!({
            "instance_id": id,
            "records": of.records,
            "new": found(&of.new),
            "gone": found(&of.gone),
        })
    });
    let mut json = json!(done);
    json["is_applied"] = json!(applied);
    json["instances"] = json!(instances.collect::<Vec<_>>());
    json
}
