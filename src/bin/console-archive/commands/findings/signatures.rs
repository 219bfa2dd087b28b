//! Rows of the catalog → what is known of each signature. Pure.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::findings::{Severe, Severity};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A finding of a row, as far as it is told.
#[derive(Debug, Clone, Deserialize)]
pub struct OfRow {
    pub id: String,
    pub family: String,
    pub severity: Severity,
    pub title: String,
    pub signature: String,
    pub line: Option<u64>,
}

impl OfRow {
    /// `None` for one of a later version, in a form that this one does not know.
    pub fn of(json: &Value) -> Option<Self> {
        Self::deserialize(json).ok()
    }

    /// Those of a row that this version knows.
    pub fn all_of(row: &Row) -> impl Iterator<Item = Self> {
        row.findings.iter().flatten().filter_map(Self::of)
    }
}

impl Severe for OfRow {
    fn severity(&self) -> Severity {
        self.severity
    }
}

/// What is known of a signature.
#[derive(Debug)]
pub struct Signature {
    /// As the newest console says it.
    pub finding: OfRow,
    /// The instances whose consoles say it.
    pub instances: HashSet<InstanceId>,
    pub records: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The instance of the newest console that says it.
    pub example: InstanceId,
    /// The record of that console.
    pub record: String,
}

/// Counts findings by their signatures.
#[derive(Debug, Default)]
pub struct BySignature(HashMap<String, Signature>);

impl BySignature {
    /// Adds a finding of a row.
    pub fn add(&mut self, finding: OfRow, row: &Row) {
        let at = row.captured_at;
        let seen = self.0.entry(finding.signature.clone());
        let seen = seen.or_insert_with(|| Signature {
            finding: finding.clone(),
            instances: HashSet::new(),
            records: 0,
            first: at,
            last: at,
            example: row.instance_id.clone(),
            record: row.subject.name(),
        });
        seen.instances.insert(row.instance_id.clone());
        seen.records += 1;
        seen.first = seen.first.min(at);
        if at >= seen.last {
            (seen.last, seen.finding) = (at, finding);
            (seen.example, seen.record) = (row.instance_id.clone(), row.subject.name());
        }
    }

    /// The worst first; of those that are as bad, what most instances have.
    pub fn in_order(self) -> Vec<Signature> {
        let mut all: Vec<_> = self.0.into_values().collect();
        all.sort_by(|a, b| {
            let order = |seen: &Signature| {
                Reverse((
                    seen.finding.severity,
                    seen.instances.len(),
                    seen.records,
                    seen.last,
                ))
            };
            let names = || a.finding.signature.cmp(&b.finding.signature);
            order(a).cmp(&order(b)).then_with(names)
        });
        all
    }
}
