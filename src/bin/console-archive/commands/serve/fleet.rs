//! What was captured of a fleet in a period, instance by instance and day by day.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use ecs_console_archiver::archive::catalog::row::RowOutcome;
use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::model::console::NoConsole;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::findings::{Severity, worst};
use ecs_console_archiver::retry::{Deadline, Retrying};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::Context;
use super::super::findings::OfRow;
use super::super::list::fleet::{self, Depth, Filter, Range};
use super::super::report::BEFORE;
use super::super::report::facts::{Collector, Facts};
use super::address::FleetQuery;
use super::state::Archive;
use crate::exit::WrongInput;
use crate::time::{Bound, Period};

/// What is shown if no other time is asked for.
const PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Characters of a text of a row. Those that this program writes have fewer.
const MAX_CHARACTERS: usize = 300;

/// What was captured.
pub struct Fleet {
    pub since: Timestamp,
    pub until: Timestamp,
    /// Days on which something was captured.
    pub days: BTreeSet<Date>,
    /// Of all that is of these instances and regions.
    pub facts: Facts,
    /// How many captures ended so, of those.
    pub endings: Vec<(Ending, usize)>,
    pub regions: BTreeSet<RegionId>,
    /// With a capture that is asked for. Those that need a person first.
    pub instances: Vec<OfInstance>,
    /// What is to be known of it.
    pub notes: Vec<String>,
}

/// The captures of an instance.
pub struct OfInstance {
    pub id: InstanceId,
    pub region: Option<RegionId>,
    /// The newest kernel that is known.
    pub kernel: Option<String>,
    pub days: BTreeMap<Date, Vec<Seen>>,
    /// The worst that its captures say.
    pub worst: Option<OfRow>,
    /// The newest capture.
    pub last: Timestamp,
    pub last_ending: Option<Ending>,
    /// Whether any capture found a console.
    pub has_console: bool,
}

/// A capture.
pub struct Seen {
    pub at: Timestamp,
    pub what: What,
    /// What led to it.
    pub cause: String,
    /// The worst that it says.
    pub severity: Option<Severity>,
}

/// What a capture found.
pub enum What {
    /// A console, as the record of this name. How its last boot ended, where that is known.
    Console {
        record: String,
        ending: Option<Ending>,
    },
    /// ECS had none.
    None(NoConsole),
    /// A screenshot was taken.
    Screenshot,
    /// A console that was removed since.
    Pruned { ending: Option<Ending> },
}

impl Seen {
    pub fn ending(&self) -> Option<Ending> {
        match self.what {
            What::Console { ending, .. } | What::Pruned { ending } => ending,
            What::None(_) | What::Screenshot => None,
        }
    }
}

/// Reads what a query asks for.
///
/// # Errors
/// Of the store, or [`WrongInput`] for a period that ends before it begins.
pub async fn read(query: &FleetQuery, archive: &Archive, context: &Context) -> Result<Fleet> {
    let zone = &context.time_zone;
    let bound = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Bound>().ok());
    let (since, until) = (bound(&query.since), bound(&query.until));
    let mut period = Period::of(since.as_ref(), until.as_ref(), zone);
    let until = period.until.unwrap_or_else(Timestamp::now);
    let since = period.since.or_else(|| until.checked_sub(PERIOD).ok());
    let since = since.unwrap_or(Timestamp::MIN);
    (period.since, period.until) = (Some(since), Some(until));
    if period.is_empty() {
        return Err(
            WrongInput("the time until which is before the time since which".into()).into(),
        );
    }
    let instances = query.instance.iter();
    let filter = Filter {
        instances: instances
            .filter_map(|glob| super::super::grep::glob(glob).ok())
            .collect(),
        regions: query.region.iter().cloned().collect(),
        ..Filter::default()
    };
    let store = Retrying::new(&archive.store, Deadline::after(context.time()));
    let notes = std::cell::RefCell::new(Vec::new());
    let mut collector = Collector::new(period, zone.clone());
    let (mut regions, mut endings) = (BTreeSet::new(), HashMap::<&str, usize>::new());
    let (mut days, mut of_instances) = (BTreeSet::new(), HashMap::<InstanceId, OfInstance>::new());
    let tell = |note| notes.borrow_mut().push(note);
    let each = |mut row: Row, _| {
        cut(&mut row);
        let is_before = row.captured_at < since;
        collector.note_before(row.captured_at);
        if !is_before {
            regions.extend(row.region_id.clone());
        }
        if !fleet::is_of(&row, &filter.instances, &filter.regions) {
            return Ok(());
        }
        if is_before {
            // It says which signatures are not new.
            collector.add(row);
            return Ok(());
        }
        if let Some(ending) = row.ending {
            *endings.entry(ending.as_str()).or_default() += 1;
        }
        let found: Vec<_> = OfRow::all_of(&row).collect();
        if is_asked_for(query, &row, &found) {
            let day = zone.to_datetime(row.captured_at).date();
            days.insert(day);
            let of = of_instances.entry(row.instance_id.clone());
            let of = of.or_insert_with(|| OfInstance::new(&row));
            of.add(day, &row, found);
        }
        collector.add(row);
        Ok(())
    };
    let before = since.checked_sub(BEFORE).unwrap_or(Timestamp::MIN);
    let range = Range {
        period,
        before: Some(before),
        depth: Depth::Whole,
    };
    fleet::read(&filter, range, context, &store, tell, each).await?;
    let facts = collector.finish();
    if let Some(note) = facts.why_none_is_new() {
        notes.borrow_mut().push(note.to_owned());
    }
    if facts.unknown > 0 {
        let records = crate::output::count(facts.unknown, "record");
        notes.borrow_mut().push(format!(
            "of {records} it is not known what went wrong; `console-archive reindex` looks for it"
        ));
    }
    let mut instances: Vec<_> = of_instances.into_values().collect();
    instances.sort_by(|a, b| {
        let order = |one: &OfInstance| (one.needs_a_person(), one.last);
        order(b).cmp(&order(a)).then_with(|| a.id.cmp(&b.id))
    });
    Ok(Fleet {
        since,
        until,
        days,
        facts,
        endings: Ending::ALL
            .into_iter()
            .filter_map(|ending| Some((ending, *endings.get(ending.as_str())?)))
            .collect(),
        regions,
        instances,
        notes: notes.into_inner(),
    })
}

/// Cuts what would make a page of megabytes.
fn cut(row: &mut Row) {
    let cut = |text: &mut String| {
        if let Some((at, _)) = text.char_indices().nth(MAX_CHARACTERS) {
            text.truncate(at);
            text.push('…');
        }
    };
    cut(&mut row.cause);
    row.kernel.iter_mut().for_each(cut);
    for finding in row.findings.iter_mut().flatten() {
        for (_, value) in finding.as_object_mut().into_iter().flatten() {
            if let Value::String(text) = value {
                cut(text);
            }
        }
    }
}

fn is_asked_for(query: &FleetQuery, row: &Row, found: &[OfRow]) -> bool {
    let is_bad = |least: Severity| found.iter().any(|finding| finding.severity >= least);
    let says = |signature: &String| found.iter().any(|finding| finding.signature == *signature);
    (query.ending.is_none() || query.ending == row.ending)
        && query.severity.is_none_or(is_bad)
        && query.signature.as_ref().is_none_or(says)
}

impl OfInstance {
    fn new(row: &Row) -> Self {
        Self {
            id: row.instance_id.clone(),
            region: None,
            kernel: None,
            days: BTreeMap::new(),
            worst: None,
            last: row.captured_at,
            last_ending: None,
            has_console: false,
        }
    }

    /// Rows come in the order of capture.
    fn add(&mut self, day: Date, row: &Row, found: Vec<OfRow>) {
        self.region = row.region_id.clone().or_else(|| self.region.take());
        self.kernel = row.kernel.clone().or_else(|| self.kernel.take());
        self.last = row.captured_at;
        let worst = worst(found);
        let what = match &row.subject {
            _ if row.outcome == RowOutcome::Pruned => What::Pruned { ending: row.ending },
            Subject::Record(key) => What::Console {
                record: key.name(),
                ending: row.ending,
            },
            Subject::Marker(key) => What::None(key.reason),
            Subject::Screenshot(_) => What::Screenshot,
        };
        if !matches!(what, What::None(_) | What::Screenshot) {
            (self.last_ending, self.has_console) = (row.ending, true);
        }
        self.days.entry(day).or_default().push(Seen {
            at: row.captured_at,
            what,
            cause: row.cause.clone(),
            severity: worst.as_ref().map(|finding| finding.severity),
        });
        let severity = |one: &Option<OfRow>| one.as_ref().map(|finding| finding.severity);
        if severity(&worst) >= severity(&self.worst) {
            self.worst = worst.or_else(|| self.worst.take());
        }
    }

    /// Whether its newest console ended badly.
    pub fn needs_a_person(&self) -> bool {
        use Ending::{Emergency, OutOfMemory, Panic, Silence};
        matches!(
            self.last_ending,
            Some(Emergency | OutOfMemory | Panic | Silence)
        )
    }
}
