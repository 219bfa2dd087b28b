//! Rows of the catalog → what happened to a fleet. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use ecs_console_archiver::archive::catalog::row::RowOutcome;
use ecs_console_archiver::archive::catalog::{Row, Subject};
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::findings::{Rules, Severity, worst};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::super::findings::{BySignature, OfRow, Signature};
use super::boots::{OfBoots, Records};
use crate::time::Period;

/// What happened to a fleet in a period.
#[derive(Debug, Default)]
pub struct Facts {
    /// Consoles that were stored.
    pub records: u64,
    /// Instances of which one was stored.
    pub instances: usize,
    /// Instances of which anything was captured: also those of which there is only a screenshot, or no console.
    pub captured: usize,
    /// Captures that found no console.
    pub without_console: u64,
    /// Each day of the period on which something was captured.
    pub days: BTreeMap<Date, OfDay>,
    /// The worst first; of those that are as bad, what most instances have.
    pub signatures: Vec<Known>,
    /// Instances whose newest console does not come to its login prompt, the worst first.
    pub stuck: Vec<Stuck>,
    /// Records whose rows do not say what they show.
    pub unknown: u64,
    /// The records of the period, if they are to be read.
    pub keys: Option<Records>,
    /// What their boots did, if they were read.
    pub boots: Option<OfBoots>,
    is_before_known: bool,
}

impl Facts {
    /// Says so where no signature can be called new.
    pub fn why_none_is_new(&self) -> Option<&'static str> {
        (!self.is_before_known && !self.signatures.is_empty())
            .then_some("no capture from before is known, so nothing is called new")
    }
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
pub struct Known {
    pub of: Signature,
    /// Whether no console says it that was captured before the period.
    pub is_new: bool,
}

impl Known {
    /// What a person can do. A rule of a later version may be unknown.
    pub fn advice(&self) -> Option<&'static str> {
        let rule = Rules::current().get(&self.of.finding.id)?;
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
    signatures: BySignature,
    /// Signatures of what was captured before the period.
    before: HashSet<String>,
    newest: HashMap<InstanceId, Row>,
    captured: HashSet<InstanceId>,
    /// Whether anything is known of the time before the period.
    is_before_known: bool,
}

#[derive(Default)]
struct Day {
    of: OfDay,
    /// The worst that was found on each instance.
    instances: HashMap<InstanceId, Option<Severity>>,
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
            signatures: BySignature::default(),
            before: HashSet::new(),
            newest: HashMap::new(),
            captured: HashSet::new(),
            is_before_known: false,
        }
    }

    /// The same, with the keys of the records.
    pub fn keeping_keys(mut self) -> Self {
        self.facts.keys = Some(Records::new());
        self
    }

    /// Notes that something was captured then, of which nothing else is asked: a catalog that has just begun would call
    /// everything new.
    pub fn note_before(&mut self, captured_at: Timestamp) {
        self.is_before_known |= self.period.since.is_some_and(|since| captured_at < since);
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        if !self.known.insert(row.subject.key()) {
            return;
        }
        if !self.period.contains(row.captured_at) {
            return self.add_before(&row);
        }
        if row.outcome != RowOutcome::Pruned && !self.captured.contains(&row.instance_id) {
            self.captured.insert(row.instance_id.clone());
        }
        let Subject::Record(_) = &row.subject else {
            // A marker, or a screenshot in its place. One beside a console is no capture of its own.
            self.facts.without_console += u64::from(row.reason.is_some());
            // What a screenshot says of a machine without a console, as `findings` counts it.
            if row.outcome == RowOutcome::Screenshot {
                let findings = OfRow::all_of(&row);
                findings.for_each(|finding| self.signatures.add(finding, &row));
            }
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
            Some(_) => {
                for finding in OfRow::all_of(&row) {
                    *worst = (*worst).max(Some(finding.severity));
                    self.signatures.add(finding, &row);
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
        self.note_before(row.captured_at);
        let signatures = OfRow::all_of(row).map(|finding| finding.signature);
        self.before.extend(signatures);
    }

    /// What the rows say.
    pub fn finish(self) -> Facts {
        let mut facts = self.facts;
        facts.instances = self.newest.len();
        facts.captured = self.captured.len();
        facts.is_before_known = self.is_before_known;
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
        let signatures = self.signatures.in_order().into_iter();
        facts.signatures = signatures
            .map(|of| Known {
                is_new: facts.is_before_known && !self.before.contains(&of.finding.signature),
                of,
            })
            .collect();
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

impl Stuck {
    fn of(row: Row) -> Self {
        Self {
            worst: worst(OfRow::all_of(&row)),
            instance_id: row.instance_id,
            region_id: row.region_id,
            captured_at: row.captured_at,
            ending: row.ending,
            kernel: row.kernel,
        }
    }
}
