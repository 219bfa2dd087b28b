//! What was captured of a fleet: by the catalog, and by a listing of the archive where the catalog is not
//! complete.

mod uncovered;

use anyhow::Result;
use ecs_console_archiver::archive::catalog::day::DayError;
use ecs_console_archiver::archive::catalog::read::{Catalog, ReadDay};
use ecs_console_archiver::archive::catalog::row::RowOutcome;
use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::archive::key::hash;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::model::update_time::UpdatedAt;
use ecs_console_archiver::printable;
use ecs_console_archiver::store::lookup::Lookup;
use ecs_console_archiver::store::ordered::Ordered;
use ecs_console_archiver::store::past_refused::PastRefused;
use ecs_console_archiver::store::spool::{Spool, TemporaryError};
use ecs_console_archiver::store::{Store, StoreError};
use globset::GlobMatcher;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use uncovered::Uncovered;

use super::Context;
use crate::boots::ending_in_words;
use crate::exit::Exit;
use crate::output::{self, JsonArray, Output};
use crate::table::{self, Cell, Column, NOTHING, Table};
use crate::time::{self, Period};

/// Rows of a table that are in memory at once.
const MAX_TABLE_ROWS: usize = 10_000;

/// Which rows are asked for.
#[derive(Debug, Default)]
pub struct Filter {
    pub instances: Vec<GlobMatcher>,
    pub regions: Vec<RegionId>,
    pub causes: Vec<GlobMatcher>,
    pub endings: Vec<Ending>,
    pub outcomes: Vec<RowOutcome>,
}

/// Whether one of these globs matches; any text does if there is none.
fn is_one(globs: &[GlobMatcher], text: &str) -> bool {
    globs.is_empty() || globs.iter().any(|glob| glob.is_match(text))
}

/// Whether a row is of one of these instances and regions; any is if there is none.
pub fn is_of(row: &Row, instances: &[GlobMatcher], regions: &[RegionId]) -> bool {
    let region = row.region_id.as_ref();
    is_one(instances, row.instance_id.as_str())
        && (regions.is_empty() || region.is_some_and(|id| regions.contains(id)))
}

/// Says which objects of the catalog are damaged. Returns how many.
pub fn tell_damaged(damaged: &[(String, DayError)], store: &impl Store) -> u64 {
    for (key, error) in damaged {
        output::error(damage_in_words(key, error, store));
    }
    damaged.len() as u64
}

fn damage_in_words(key: &str, error: &DayError, store: &impl Store) -> String {
    format!(
        "damaged: {} ({error}); build the catalog anew with console-archive reindex",
        store.url(key)
    )
}

impl Filter {
    /// What is gone is only listed if one asks for it.
    fn shows(&self, outcome: RowOutcome) -> bool {
        outcome != RowOutcome::Pruned || self.outcomes.contains(&outcome)
    }

    fn includes(&self, row: &Row) -> bool {
        self.shows(row.outcome)
            && (self.outcomes.is_empty() || self.outcomes.contains(&row.outcome))
            && is_of(row, &self.instances, &self.regions)
            && is_one(&self.causes, &row.cause)
            && (self.endings.is_empty()
                || row
                    .ending
                    .is_some_and(|ending| self.endings.contains(&ending)))
    }

    /// Whether it asks for what is not known of this record: it stands in no row of the catalog.
    fn cannot_decide(&self, row: &Row, source: Source) -> bool {
        match source {
            Source::Catalog => false,
            Source::Metadata => {
                !self.endings.is_empty()
                    && row.outcome == RowOutcome::Stored
                    && is_of(row, &self.instances, &self.regions)
                    && is_one(&self.causes, &row.cause)
            }
            Source::Listing { .. } => {
                let is_asked_for =
                    !(self.causes.is_empty() && self.endings.is_empty() && self.regions.is_empty());
                is_asked_for && is_one(&self.instances, row.instance_id.as_str())
            }
        }
    }
}

/// What a row is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The catalog.
    Catalog,
    /// A listing of the archive, and the object's own metadata, which do not say how a boot ended.
    Metadata,
    /// A listing of the archive alone.
    Listing {
        /// Whether it tells when the capture was. If not, the row has when it was stored.
        is_timed: bool,
    },
}

/// How much is read of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What the names of rows tell.
    Names,
    /// All.
    Whole,
}

/// What is read.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub period: Period,
    /// Of what was captured from then until the period, only what the catalog knows is handed over.
    pub before: Option<Timestamp>,
    pub depth: Depth,
}

/// Hands over what was captured in a period, in the order of capture: by the catalog, and by a listing of the archive
/// where the catalog is not complete. Returns whether a part of the catalog is damaged. What is to be known of that is
/// told.
///
/// # Errors
/// Of the store, and of `each`.
pub async fn read(
    filter: &Filter,
    Range {
        period,
        before,
        depth,
    }: Range,
    context: &Context,
    store: &impl Store,
    tell: impl Fn(String),
    mut each: impl FnMut(Row, Source) -> Result<()>,
) -> Result<bool> {
    let since = period.since.unwrap_or(Timestamp::MIN);
    let until = period.until.unwrap_or(Timestamp::MAX);
    let store = &PastRefused::new(store);
    let from = before.map_or(since, |before| before.min(since));
    let opened = match depth {
        Depth::Names => Catalog::open(store, from..=until).await,
        Depth::Whole => Catalog::open_whole(store, from..=until).await,
    };
    let catalog = match opened {
        Ok(catalog) => Some(catalog),
        // A policy may allow some prefixes alone. A wrong key may list nothing, and what refuses without a code is no
        // object store.
        Err(error) if matches!(&error, StoreError::Denied(refusal) if refusal.code == "AccessDenied") =>
        {
            tell(format!(
                "the catalog may not be listed, so the archive itself is: {error}"
            ));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let coverage = catalog.as_ref().map(|catalog| catalog.coverage);
    let mut seen = Seen::default();
    match (catalog, coverage) {
        (Some(catalog), Some(coverage)) if coverage.includes(since) => {
            context.reads();
            let mut is_damaged = false;
            catalog
                .read(|ReadDay { rows, damaged, .. }| -> Result<()> {
                    is_damaged |= tell_all_damaged(&damaged, store, &tell);
                    for row in rows {
                        if seen.is_new(&row)? {
                            each(row, Source::Catalog)?;
                        }
                    }
                    Ok(())
                })
                .await?;
            store.check()?;
            Ok(is_damaged)
        }
        (catalog, coverage) => {
            let uncovered = Uncovered {
                store,
                period,
                range: from..=until,
                seen,
                ordered: Ordered::default(),
                known: Lookup::default(),
                hidden: Spool::default(),
            };
            uncovered
                .read(catalog, coverage, filter, context, &tell, each)
                .await
        }
    }
}

/// Tells which objects of the catalog are damaged, and returns whether there are any.
fn tell_all_damaged(
    damaged: &[(String, DayError)],
    store: &impl Store,
    tell: &impl Fn(String),
) -> bool {
    for (key, error) in damaged {
        tell(damage_in_words(key, error, store));
    }
    !damaged.is_empty()
}

/// Lists or counts what was captured in a period.
pub async fn run(
    filter: &Filter,
    period: Period,
    is_count: bool,
    context: &Context,
    store: &impl Store,
) -> Result<Exit> {
    let mut printer = Printer::new(is_count, context, store)?;
    let (mut looked_at, mut unknown, mut untimed) = (0, 0, 0);
    let each = |row: Row, source| {
        looked_at += u64::from(filter.shows(row.outcome));
        unknown += u64::from(filter.cannot_decide(&row, source));
        untimed += u64::from(source == Source::Listing { is_timed: false });
        match filter.includes(&row) {
            true => printer.row(row),
            false => Ok(()),
        }
    };
    let range = Range {
        period,
        before: None,
        depth: Depth::Names,
    };
    let is_damaged = read(filter, range, context, store, output::error, each).await?;
    if unknown > 0 {
        output::error(format_args!(
            "the cause, ending or region of {} are not known, because the catalog does not reach back to them; \
             build it with console-archive reindex",
            output::count(unknown, "record")
        ));
    }
    let count = printer.end()?;
    // Of a bounded time, some may be missing, and others too many.
    let is_wrong = untimed > 0 && period.is_bounded();
    Ok(match (count, is_damaged || unknown > 0 || is_wrong) {
        (_, true) => Exit::Failed,
        (0, _) => {
            let within = if period.is_bounded() {
                " of that time"
            } else {
                ""
            };
            let url = store.url("");
            match looked_at {
                0 => output::error(format_args!("no records{within} in {url}")),
                _ => output::no_match(looked_at, "capture", &format!("{within} in {url}")),
            }
            Exit::Nothing
        }
        _ => Exit::Done,
    })
}

/// The objects that were listed, as hashes: a record may have a row on two days, and the first counts. But for
/// one that was pruned: a later capture has brought it back.
#[derive(Default)]
struct Seen {
    there: Lookup<1>,
    pruned: Lookup<1>,
}

impl Seen {
    fn is_new(&mut self, row: &Row) -> Result<bool, TemporaryError> {
        let seen = match row.is_pruned() {
            true => &mut self.pruned,
            false => &mut self.there,
        };
        seen.is_new(hash(&row.subject.key()))
    }
}

/// Prints rows as they come.
struct Printer<'a, S> {
    context: &'a Context,
    store: &'a S,
    form: Form,
    count: u64,
}

enum Form {
    Count,
    Json(JsonArray),
    Table { rows: Vec<Row>, is_first: bool },
}

impl<'a, S: Store> Printer<'a, S> {
    fn new(is_count: bool, context: &'a Context, store: &'a S) -> Result<Self> {
        let form = match context.output {
            _ if is_count => Form::Count,
            Output::Json => Form::Json(JsonArray::begin()?),
            Output::Text => Form::Table {
                rows: Vec::new(),
                is_first: true,
            },
        };
        Ok(Self {
            context,
            store,
            form,
            count: 0,
        })
    }

    fn row(&mut self, row: Row) -> Result<()> {
        self.count += 1;
        match &mut self.form {
            Form::Count => Ok(()),
            Form::Json(array) => array.push(&json(&row, self.store)),
            Form::Table { rows, .. } => {
                rows.push(row);
                match rows.len() {
                    MAX_TABLE_ROWS => self.print(),
                    _ => Ok(()),
                }
            }
        }
    }

    fn print(&mut self) -> Result<()> {
        let Form::Table { rows, is_first } = &mut self.form else {
            return Ok(());
        };
        let table = table_of(&std::mem::take(rows), &self.context.time_zone);
        let table = match std::mem::take(is_first) {
            true => table,
            false => table.without_headings(),
        };
        self.context.print(&table)
    }

    /// How many there were.
    fn end(mut self) -> Result<u64> {
        match self.form {
            Form::Count => match self.context.output {
                Output::Json => output::json(&json!({ "count": self.count }))?,
                Output::Text => output::line(self.count)?,
            },
            Form::Json(array) => array.end()?,
            Form::Table { ref rows, .. } if rows.is_empty() => {}
            Form::Table { .. } => self.print()?,
        }
        Ok(self.count)
    }
}

/// With the names that rows and the function's answers have.
fn json(row: &Row, store: &impl Store) -> Value {
    let mut json = serde_json::to_value(row).unwrap_or_default();
    if let Some(members) = json.as_object_mut() {
        // As of a single record: what is not known is not there. The others are for those who join rows.
        let inner = [
            "schema",
            "freshness_at",
            "freshness_is_final",
            "last_captured_at",
        ];
        members.retain(|name, value| {
            !value.is_null()
                && *value != json!([])
                && *value != json!("")
                && !inner.contains(&name.as_str())
        });
    }
    let key = row.subject.key();
    json["url"] = store.url(&key).into();
    let updated_at = match &row.subject {
        Subject::Record(record) => {
            json["is_undecoded"] = record.is_undecoded.into();
            json["name"] = record.name().into();
            let of_key = || UpdatedAt::of(record.last_update_time?, row.captured_at);
            let updated_at = UpdatedAt::parse(&row.last_update_time, row.captured_at);
            let updated_at = updated_at.or_else(of_key);
            if let Some(at) = updated_at {
                json["is_updated_at_certain"] = at.is_certain.into();
            }
            updated_at.map(|at| at.time.to_string()).into()
        }
        Subject::Screenshot(screenshot) => {
            json["name"] = screenshot.name().into();
            if let Some(reason) = row.reason {
                json["message"] = reason.message().into();
            }
            return json;
        }
        Subject::Marker(marker) => {
            json["name"] = marker.name().into();
            json["event_time"] = marker.time.to_string().into();
            json["message"] = marker.reason.message().into();
            return json;
        }
    };
    json["updated_at"] = updated_at;
    json
}

/// Of what is gone: its name, and when it was removed.
fn pruned(row: &Row, zone: &TimeZone) -> String {
    let name = row.subject.name();
    match row.pruned_at {
        Some(at) => format!("{name}, pruned at {}", time::shown(at, zone)),
        None => format!("{name}, pruned"),
    }
}

fn table_of(rows: &[Row], zone: &TimeZone) -> Table {
    let mut columns = ["INSTANCE", "CAPTURED", "CAUSE", "ENDED", "FRESHNESS"]
        .map(Column::text)
        .to_vec();
    columns.push(Column::number("CONSOLE BYTES"));
    columns.push(Column::text("RECORD"));
    let cells = rows.iter().map(|row| {
        let or_nothing = |text: Option<String>| Cell::from(text.unwrap_or(NOTHING.to_owned()));
        let freshness = row.freshness.map(|freshness| match freshness {
            Freshness::Fresh => "complete",
            Freshness::Stale => "from before the event",
            Freshness::Partial => "a part",
        });
        let cause = table::with_seams(&printable::one_line(&row.cause));
        vec![
            Cell::from(row.instance_id.to_string()),
            time::shown(row.captured_at, zone).into(),
            or_nothing((!cause.is_empty()).then_some(cause)),
            or_nothing(row.ending.map(|ending| ending_in_words(ending).to_owned())),
            or_nothing(freshness.map(str::to_owned)),
            or_nothing(row.console_bytes.map(|bytes| bytes.to_string())),
            match &row.subject {
                _ if row.outcome == RowOutcome::Pruned => pruned(row, zone).into(),
                Subject::Record(key) => key.name().into(),
                Subject::Marker(key) => format!("none: {}", key.reason.as_str()).into(),
                Subject::Screenshot(key) => key.name().into(),
            },
        ]
    });
    Table::new(columns, cells.collect())
}
