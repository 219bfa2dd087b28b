//! `console-archive list`: what the archive has.

pub mod fleet;

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use clap::builder::TypedValueParser;
use ecs_console_archiver::archive::catalog::Row as CatalogRow;
use ecs_console_archiver::archive::catalog::joined_rows::{self, joined_rows};
use ecs_console_archiver::archive::catalog::row::RowOutcome;
use ecs_console_archiver::archive::reader::{
    self, Listing, MarkerEntry, RecordEntry, ScreenshotEntry,
};
use ecs_console_archiver::archive::record;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::past_refused::PastRefused;
use ecs_console_archiver::store::{self, Store, StoreError};
use ecs_console_archiver::{log, printable};
use fleet::Filter;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use globset::GlobMatcher;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Context, grep};
use crate::boots;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::record::Described;
use crate::screenshot;
use crate::table::{self, Cell, Column, NOTHING, Table};
use crate::time::{self, Bound, Period};

/// Objects read at once.
const READ_AT_ONCE: usize = 16;

/// List the records of one instance, or what was captured of a fleet
///
/// It also lists screenshots, and the times when there was no console, with the reason. It verifies no record: `get` verifies
/// the one that it prints.
///
/// With an instance, by TIME: when ECS last updated the console; if there was none, when the event was. ECS
/// names no time zone: the time is read as UTC+8, as ECS's newest documents say, and has a question mark if it
/// could be UTC instead.
///
/// Without an instance, or with --cause, --ending, --outcome or --region, by CAPTURED: when the console was
/// captured. ENDED is how the console's last boot ended. This is read from the catalog, in a few requests
/// whatever the archive has. Where the catalog does not reach back far enough, all of the archive is listed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive list --since yesterday
  console-archive list --since -7d --ending panic,emergency
  console-archive list i-bp1panicnoroot00001 --since 2024-03-22
  console-archive list i-bp1panicnoroot00001 --output json")]
pub struct Arguments {
    /// The instance. Without it: all instances
    #[arg(value_parser = InstanceId::parse)]
    instance_id: Option<InstanceId>,
    /// Only instances that this matches, such as 'i-bp1*'; several may be given
    #[arg(long, value_name = "GLOB", value_parser = grep::glob, conflicts_with = "instance_id")]
    instance: Vec<GlobMatcher>,
    /// Only instances of this region; several may be given
    #[arg(long, value_name = "REGION_ID", value_delimiter = ',', value_parser = RegionId::parse)]
    region: Vec<RegionId>,
    /// Only what this led to, such as Stopping, 'SystemFailure*', manual or sweep, in any case; several may be given
    #[arg(long, value_name = "GLOB", value_parser = grep::glob_of_any_case)]
    cause: Vec<GlobMatcher>,
    /// Only consoles whose last boot ended so; several may be given
    #[arg(long, value_name = "ENDING", value_delimiter = ',', value_parser = grep::ending())]
    ending: Vec<Ending>,
    /// Only what became this: a record, a marker, a screenshot, or one that was pruned; several may be given
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = outcome())]
    outcome: Vec<RowOutcome>,
    /// Print how many there are, and nothing else
    #[arg(long)]
    count: bool,
    /// Leave out what has an earlier TIME or was CAPTURED earlier: 2024-03-22, "2024-03-22 10:04", 10:04, today, yesterday, -1h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Leave out what is later; a day, an hour or a minute counts to its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Bound>,
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let instance_id = arguments.instance_id.as_ref();
    let (since, until) = (arguments.since.as_ref(), arguments.until.as_ref());
    let period = Period::of(since, until, &context.time_zone);
    if period.is_empty() {
        output::error("--until is before --since");
        return Ok(Exit::Wrong);
    }
    let store = context.store()?;
    let store = Retrying::new(&store, Deadline::after(context.time()));
    let instance_id = match instance_id {
        Some(instance_id) if !arguments.needs_catalog() => instance_id,
        _ => {
            let filter = arguments.filter()?;
            return fleet::run(&filter, period, arguments.count, context, &store).await;
        }
    };
    let (since, until) = (period.since, period.until);
    let mut listing = reader::list_range(&store, instance_id, since, until).await?;
    // Without a time of its own, by when it was stored.
    listing.records.retain(|record| {
        let at = record.updated_at().map(|at| at.time);
        period.contains(at.unwrap_or(record.stored_at))
    });
    listing
        .markers
        .retain(|marker| period.contains(marker.key.time));
    listing
        .screenshots
        .retain(|screenshot| period.contains(screenshot.taken_at()));
    let left_out = match listing.count() == 0 && period.is_bounded() {
        true => reader::list(&store, Some(instance_id)).await?.count(),
        false => 0,
    };
    let exit = match arguments.count && listing.count() > 0 {
        true => Exit::Done,
        false => emptiness(&listing, instance_id, left_out, &store.url("")),
    };
    if arguments.count {
        let count = listing.count();
        match context.output {
            Output::Json => output::json(&json!({ "count": count }))?,
            Output::Text => output::line(count)?,
        }
        return Ok(exit);
    }
    context.reads();
    let known = known(&store, &listing, context.output).await?;
    let (rows, are_all_read) = read_rows(&store, listing, known).await?;
    let exit = match are_all_read {
        true => exit,
        false => context.will_end(Exit::Failed),
    };
    match context.output {
        Output::Json => output::json(&rows.iter().map(|row| row.json(&store)).collect())?,
        Output::Text if rows.is_empty() => {}
        Output::Text => context.print(&table_of(&rows, instance_id, &context.time_zone))?,
    }
    Ok(exit)
}

impl Arguments {
    /// Whether only the catalog knows what is asked for.
    fn needs_catalog(&self) -> bool {
        !(self.region.is_empty()
            && self.cause.is_empty()
            && self.ending.is_empty()
            && self.outcome.is_empty())
    }

    fn filter(&self) -> Result<Filter> {
        let mut instances = self.instance.clone();
        if let Some(id) = &self.instance_id {
            instances.push(grep::glob(id.as_str())?); // An ID has no special characters.
        }
        Ok(Filter {
            instances,
            regions: self.region.clone(),
            causes: self.cause.clone(),
            endings: self.ending.clone(),
            outcomes: self.outcome.clone(),
        })
    }
}

/// Takes the words of the catalog.
fn outcome() -> impl TypedValueParser<Value = RowOutcome> {
    super::word(&RowOutcome::ALL, RowOutcome::as_str)
}

/// What a listing without consoles means.
fn emptiness(
    listing: &Listing,
    instance_id: &InstanceId,
    left_out: usize,
    archive_url: &str,
) -> Exit {
    let of = format!(" of {instance_id}");
    let has_screenshots = !listing.screenshots.is_empty();
    match (listing.records.len(), listing.markers.len()) {
        (0, 0) if !has_screenshots => {
            let within = match left_out {
                // A wrong address must not look like a lost console.
                0 => format!("in {archive_url}"),
                1 => "in that time; there is 1 outside of it".to_owned(),
                count => format!("in that time; there are {count} outside of it"),
            };
            output::error(format_args!("no records{of} {within}"));
            Exit::Nothing
        }
        (0, 0) => {
            let screenshots = listing.screenshots.len() as u64;
            let there = output::count(screenshots, "screenshot");
            output::error(format_args!("no console{of}, and {there}"));
            Exit::Done
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

/// A line of the listing.
enum Row {
    Record(RecordEntry, Option<BTreeMap<String, String>>),
    Marker(MarkerEntry, Option<Value>),
    Screenshot(ScreenshotEntry, Option<BTreeMap<String, String>>),
}

/// By instance and time, all kinds together.
fn rows(listing: Listing) -> Vec<Row> {
    let records = listing.records.into_iter();
    let records = records.map(|record| Row::Record(record, None));
    let markers = listing.markers.into_iter();
    let markers = markers.map(|marker| Row::Marker(marker, None));
    let screenshots = listing.screenshots.into_iter();
    let screenshots = screenshots.map(|screenshot| Row::Screenshot(screenshot, None));
    let mut rows: Vec<_> = records.chain(markers).chain(screenshots).collect();
    rows.sort_by(|a, b| a.order().cmp(&b.order()));
    rows
}

/// What the catalog says of these objects, in place of their metadata, where that takes fewer requests. Programs get more of
/// markers and screenshots than it has.
async fn known(
    store: &impl Store,
    listing: &Listing,
    output: Output,
) -> Result<BTreeMap<String, CatalogRow>, StoreError> {
    let records = listing.records.iter();
    let verdicts: BTreeMap<_, _> = records
        .map(|record| (record.key.to_string(), record.verdict))
        .collect();
    let records = listing.records.iter();
    let records = records.map(|record| (record.key.to_string(), record.stored_at));
    let mut objects: BTreeMap<_, _> = records.collect();
    if output == Output::Text {
        let markers = listing.markers.iter();
        objects.extend(markers.map(|marker| (marker.key.to_string(), marker.stored_at)));
        let screenshots = listing.screenshots.iter();
        objects.extend(screenshots.map(|one| (one.key.to_string(), one.stored_at)));
    }
    let mut known = joined_rows(store, &objects).await?;
    // In the end, the verdict beside the record counts.
    known.retain(|key, row| {
        let has_verdict = verdicts.get(key).is_some_and(Option::is_some);
        has_verdict || !row.freshness_is_final
    });
    Ok(known)
}

/// The same, with metadata. It reads no console. Names what cannot be read, and says whether there was nothing of that.
/// Where a key may list, and not read, it says so.
async fn read_rows(
    store: &impl Store,
    listing: Listing,
    known: BTreeMap<String, CatalogRow>,
) -> Result<(Vec<Row>, bool), StoreError> {
    let store = &PastRefused::new(store);
    let unread = RefCell::new(Vec::new());
    let unless_of_object = |key: String, error: StoreError| {
        if !error.is_of_object() && !matches!(error, StoreError::Denied(_)) {
            return Err(error);
        }
        unread.borrow_mut().push((key, error));
        Ok(())
    };
    let metadata_of = async |key: String| {
        if let Some(row) = known.get(&key) {
            return Ok(Some(joined_rows::metadata(row)));
        }
        let metadata = store::metadata_listed(store, &key).await;
        metadata.or_else(|error| unless_of_object(key, error).map(|()| None))
    };
    let read = rows(listing).into_iter().map(async |row| match row {
        Row::Record(record, _) => {
            let metadata = metadata_of(record.key.to_string()).await?;
            Ok::<_, StoreError>(Row::Record(record, metadata))
        }
        Row::Screenshot(screenshot, _) => {
            let metadata = metadata_of(screenshot.key.to_string()).await?;
            Ok(Row::Screenshot(screenshot, metadata))
        }
        Row::Marker(marker, _) => {
            let key = marker.key.to_string();
            if let Some(row) = known.get(&key) {
                let json = json!({ "event_cause": row.cause });
                return Ok(Row::Marker(marker, Some(json)));
            }
            let object = store::get_listed(store, &key).await;
            let object = object.or_else(|error| unless_of_object(key, error).map(|()| None))?;
            let json = object.and_then(|object| serde_json::from_slice(&object.body).ok());
            Ok(Row::Marker(marker, json))
        }
    });
    let rows: Vec<_> = stream::iter(read)
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    let unread = unread.into_inner();
    match store.check() {
        Err(error @ StoreError::Denied(_)) => {
            output::error(format_args!(
                "causes, freshness and lengths are not known: {error}"
            ));
            return Ok((rows, true));
        }
        check => check?,
    }
    for (key, error) in &unread {
        let told = boots::named(key, &error.to_string());
        output::error(format_args!("cannot be read: {told}"));
    }
    Ok((rows, unread.is_empty()))
}

impl Row {
    fn order(&self) -> (&InstanceId, Option<Timestamp>, Timestamp) {
        match self {
            Self::Record(record, _) => {
                let at = record.updated_at().map(|at| at.time);
                (&record.key.instance_id, at, record.stored_at)
            }
            Self::Marker(marker, _) => {
                let key = &marker.key;
                (&key.instance_id, Some(key.time), marker.stored_at)
            }
            Self::Screenshot(screenshot, metadata) => {
                let taken_at = screenshot::taken_at(screenshot, metadata.as_ref());
                (
                    &screenshot.key.instance_id,
                    Some(taken_at),
                    screenshot.stored_at,
                )
            }
        }
    }

    fn json(&self, store: &impl Store) -> Value {
        match self {
            Self::Record(listed, metadata) => {
                let metadata = metadata.as_ref();
                Described { listed, metadata }.json(store)
            }
            Self::Screenshot(screenshot, metadata) => {
                screenshot::json(screenshot, metadata.as_ref(), store)
            }
            Self::Marker(marker, read) => {
                let key = marker.key.to_string();
                let mut json = json!({
                    "instance_id": marker.key.instance_id,
                    "name": marker.key.name(),
                    "reason": marker.key.reason,
                    "event_time": marker.key.time.to_string(),
                    "stored_at": marker.stored_at.to_string(),
                    "url": store.url(&key),
                    "key": key,
                });
                for name in [
                    "message",
                    "code",
                    "event_cause",
                    "event_id",
                    "region_id",
                    "account_id",
                ] {
                    if let Some(value) = read.as_ref().and_then(|read| read.get(name)) {
                        json[name] = value.clone();
                    }
                }
                json
            }
        }
    }

    fn cells(&self, zone: &TimeZone) -> Vec<Cell> {
        let mut cells = match self {
            Self::Record(listed, metadata) => {
                let metadata = metadata.as_ref();
                let time = Described { listed, metadata }.updated_at();
                let time = time.map(|time| time::shown_update(time, zone));
                vec![
                    listed.key.name().into(),
                    time.unwrap_or(NOTHING.to_owned()).into(),
                    time::shown(listed.stored_at, zone).into(),
                ]
            }
            Self::Screenshot(screenshot, metadata) => vec![
                screenshot.key.name().into(),
                time::shown(screenshot::taken_at(screenshot, metadata.as_ref()), zone).into(),
                time::shown(screenshot.stored_at, zone).into(),
            ],
            Self::Marker(marker, _) => vec![
                format!("none: {}", marker.key.reason.as_str()).into(),
                time::shown(marker.key.time, zone).into(),
                time::shown(marker.stored_at, zone).into(),
            ],
        };
        let (cause, freshness, bytes) = match self {
            Self::Record(listed, metadata) => {
                let metadata = metadata.as_ref();
                let record = Described { listed, metadata };
                let freshness = record.freshness_in_words().map(str::to_owned);
                let bytes = record.console_bytes().map(|bytes| bytes.to_string());
                (record.cause().map(str::to_owned), freshness, bytes)
            }
            Self::Screenshot(_, metadata) => {
                let cause = metadata.as_ref().and_then(|all| all.get("event-cause"));
                (cause.map(|cause| record::metadata_text(cause)), None, None)
            }
            Self::Marker(_, read) => {
                let cause = read.as_ref().and_then(|read| read["event_cause"].as_str());
                (cause.map(str::to_owned), None, None)
            }
        };
        let cause = cause.map(|cause| table::with_seams(&printable::one_line(&cause)));
        for text in [cause, freshness, bytes] {
            cells.push(text.unwrap_or(NOTHING.to_owned()).into());
        }
        cells
    }
}

fn table_of(rows: &[Row], instance_id: &InstanceId, zone: &TimeZone) -> Table {
    let mut columns = ["RECORD", "TIME", "STORED", "CAUSE", "FRESHNESS"]
        .map(Column::text)
        .to_vec();
    columns.push(Column::number("CONSOLE BYTES"));
    let mut rows: Vec<_> = rows.iter().map(|row| row.cells(zone)).collect();
    // In a file or a pipe each line says of what it is; a terminal has no room for it.
    if output::width().is_none() {
        columns.insert(0, Column::text("INSTANCE"));
        let cell = || Cell::from(instance_id.as_str());
        rows.iter_mut().for_each(|row| row.insert(0, cell()));
    }
    Table::new(columns, rows)
}
