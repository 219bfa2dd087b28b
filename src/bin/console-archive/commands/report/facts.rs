//! Rows of the catalog → what happened to a fleet. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ecs_console_archiver::archive::catalog::row::RowOutcome;
use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::findings::{Rules, Severity};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::super::findings::OfRow;
use super::boots::{OfBoots, Records};
use crate::time::Period;

/// What happened to a fleet in a period.
#[derive(Debug, Default)]
pub struct Facts {
    /// Consoles that were stored.
    pub records: u64,
    /// Instances of which one was stored.
    pub instances: usize,
    /// Captures that found no console.
    pub without_console: u64,
    /// Each day of the period on which something was captured.
    pub days: BTreeMap<Date, OfDay>,
    /// The worst first; of those that are as bad, what most instances have.
    pub signatures: Vec<Signature>,
    /// Instances whose newest console does not come to its login prompt, the worst first.
    pub stuck: Vec<Stuck>,
    /// Records whose rows do not say what they show.
    pub unknown: u64,
    /// The records of the period, if they are to be read.
    pub keys: Option<Records>,
    /// What their boots did, if they were read.
    pub boots: Option<OfBoots>,
}

/// What happened on one day.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OfDay {
    /// Consoles that were stored.
    pub records: u64,
    /// Instances of which one was stored.
    pub instances: usize,
    /// Consoles whose last boot came to its login prompt.
    pub reached_login: u64,
    /// Consoles whose last boot ended before, or hangs.
    pub not_reached: u64,
    /// Instances with a finding of a severity, each by the worst that it has.
    pub by_severity: BTreeMap<Severity, usize>,
}

/// What is known of a signature.
#[derive(Debug)]
pub struct Signature {
    /// As the newest console says it.
    pub finding: OfRow,
    pub instances: usize,
    pub records: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Whether no console says it that was captured before the period.
    pub is_new: bool,
    /// The instance of the newest console that says it.
    pub example: InstanceId,
}

impl Signature {
    /// What a person can do. A rule of a later version may be unknown.
    pub fn advice(&self) -> Option<&'static str> {
        let rule = Rules::current().get(&self.finding.id)?;
        Some(rule.advice())
    }
}

/// An instance that is not at its login prompt.
#[derive(Debug)]
pub struct Stuck {
    pub instance_id: InstanceId,
    pub region_id: Option<RegionId>,
    /// When its newest console was captured.
    pub captured_at: Timestamp,
    pub ending: Option<Ending>,
    pub kernel: Option<String>,
    /// The worst that this console says.
    pub worst: Option<OfRow>,
}

/// Collects rows, in any order.
pub struct Collector {
    period: Period,
    zone: TimeZone,
    /// Keys of the records: one may have a row on two days, and the first counts.
    known: HashSet<String>,
    facts: Facts,
    days: BTreeMap<Date, Day>,
    signatures: HashMap<String, Seen>,
    newest: HashMap<InstanceId, Row>,
}

#[derive(Default)]
struct Day {
    of: OfDay,
    /// The worst that was found on each instance.
    instances: HashMap<InstanceId, Option<Severity>>,
}

struct Seen {
    finding: OfRow,
    instances: BTreeSet<InstanceId>,
    records: u64,
    first: Timestamp,
    last: Timestamp,
    example: InstanceId,
    was_before: bool,
}

impl Collector {
    /// Collects what was captured in the period. Rows before it say which signatures are not new.
    pub fn new(period: Period, zone: TimeZone) -> Self {
        Self {
            period,
            zone,
            known: HashSet::new(),
            facts: Facts::default(),
            days: BTreeMap::new(),
            signatures: HashMap::new(),
            newest: HashMap::new(),
        }
    }

    /// The same, with the keys of the records.
    pub fn keeping_keys(mut self) -> Self {
        self.facts.keys = Some(Records::new());
        self
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        if !self.known.insert(row.subject.key()) {
            return;
        }
        if !self.period.contains(row.captured_at) {
            return self.add_before(&row);
        }
        let Subject::Record(_) = &row.subject else {
            // A marker, or a screenshot in its place. One beside a console is no capture of its own.
            self.facts.without_console += u64::from(row.reason.is_some());
            return;
        };
        if row.outcome != RowOutcome::Stored {
            return;
        }
        self.facts.records += 1;
        if let Some(keys) = &mut self.facts.keys {
            let keys = keys.entry(row.instance_id.clone());
            keys.or_default().insert(row.subject.key());
        }
        let day = self.zone.to_datetime(row.captured_at).date();
        let day = self.days.entry(day).or_default();
        day.of.records += 1;
        match row.reached_login {
            Some(true) => day.of.reached_login += 1,
            Some(false) => day.of.not_reached += 1,
            None => {}
        }
        let worst = day.instances.entry(row.instance_id.clone()).or_default();
        match &row.findings {
            None => self.facts.unknown += 1,
            Some(findings) => {
                for finding in findings.iter().filter_map(OfRow::of) {
                    *worst = (*worst).max(Some(finding.severity));
                    see(&mut self.signatures, finding, &row, false);
                }
            }
        }
        let newest = self.newest.entry(row.instance_id.clone());
        newest
            .and_modify(|newest| {
                if newest.captured_at < row.captured_at {
                    *newest = row.clone();
                }
            })
            .or_insert(row);
    }

    fn add_before(&mut self, row: &Row) {
        for finding in row.findings.iter().flatten().filter_map(OfRow::of) {
            see(&mut self.signatures, finding, row, true);
        }
    }

    /// What the rows say.
    pub fn finish(self) -> Facts {
        let mut facts = self.facts;
        facts.instances = self.newest.len();
        let days = self
            .days
            .into_iter()
            .map(|(date, Day { mut of, instances })| {
                of.instances = instances.len();
                for severity in instances.into_values().flatten() {
                    *of.by_severity.entry(severity).or_default() += 1;
                }
                (date, of)
            });
        facts.days = days.collect();
        let seen = self.signatures.into_values();
        let seen = seen.filter(|seen| !seen.instances.is_empty());
        facts.signatures = seen
            .map(|seen| Signature {
                instances: seen.instances.len(),
                finding: seen.finding,
                records: seen.records,
                first: seen.first,
                last: seen.last,
                is_new: !seen.was_before,
                example: seen.example,
            })
            .collect();
        facts.signatures.sort_by(|a, b| {
            let order = |one: &Signature| (one.finding.severity, one.instances, one.records);
            (order(b).cmp(&order(a))).then_with(|| a.finding.signature.cmp(&b.finding.signature))
        });
        let is_stuck = |row: &Row| {
            row.reached_login == Some(false)
                && row.ending.is_some_and(|ending| ending != Ending::Clean)
        };
        let stuck = self.newest.into_values().filter(is_stuck);
        facts.stuck = stuck.map(Stuck::of).collect();
        facts.stuck.sort_by(|a, b| {
            let severity = |one: &Stuck| one.worst.as_ref().map(|worst| worst.severity);
            (severity(b).cmp(&severity(a)))
                .then(b.captured_at.cmp(&a.captured_at))
                .then_with(|| a.instance_id.cmp(&b.instance_id))
        });
        facts
    }
}

fn see(signatures: &mut HashMap<String, Seen>, finding: OfRow, row: &Row, is_before: bool) {
    let at = row.captured_at;
    let seen = signatures.entry(finding.signature.clone());
    let seen = seen.or_insert_with(|| Seen {
        finding: finding.clone(),
        instances: BTreeSet::new(),
        records: 0,
        first: at,
        last: at,
        example: row.instance_id.clone(),
        was_before: false,
    });
    if is_before {
        seen.was_before = true;
        return;
    }
    let is_first = seen.instances.is_empty();
    seen.instances.insert(row.instance_id.clone());
    seen.records += 1;
    if is_first || at < seen.first {
        seen.first = at;
    }
    if is_first || at >= seen.last {
        (seen.last, seen.example, seen.finding) = (at, row.instance_id.clone(), finding);
    }
}

impl Stuck {
    fn of(row: Row) -> Self {
        let found = row.findings.iter().flatten().filter_map(OfRow::of);
        Self {
            worst: found.max_by_key(|finding| finding.severity),
            instance_id: row.instance_id,
            region_id: row.region_id,
            captured_at: row.captured_at,
            ending: row.ending,
            kernel: row.kernel,
        }
    }
}
