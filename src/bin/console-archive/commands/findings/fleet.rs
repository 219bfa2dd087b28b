//! What the consoles of a fleet say went wrong, by signature: from the catalog.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Write as _, stdout};

use anyhow::Result;
use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::archive::catalog::read::{Catalog, Coverage, ReadDay};
use ecs_console_archiver::archive::catalog::row::RowOutcome;
use ecs_console_archiver::printable;
use ecs_console_archiver::store::Store;
use ecs_console_archiver::store::past_refused::PastRefused;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::Context;
use super::super::list::fleet::{is_of, tell_damaged};
use super::signatures::{BySignature, OfRow, Signature};
use super::{Arguments, TEXT_AT};
use crate::exit::Exit;
use crate::finding;
use crate::output::{self, Output};
use crate::table::{self, Cell, Column, Table};
use crate::time::{self, Period};

/// More rows that are read one by one are told.
const MANY_ROWS: usize = 1000;

/// What the rows say.
#[derive(Debug, Default)]
struct Fleet {
    by_signature: BySignature,
    /// All that was captured, as `list` counts it.
    captures: u64,
    /// Those of them that are of the instances and regions that are asked for.
    asked_for: u64,
    /// Records of which something is known.
    looked_at: u64,
    /// Records of which nothing is known.
    unknown: u64,
    /// Findings that a later version wrote, in a form that this one does not know.
    foreign: u64,
    /// Hashes of the records: one may have a row on two days, and the first counts.
    known: HashSet<u64>,
    hasher: RandomState,
}

impl Fleet {
    fn add(&mut self, row: Row, arguments: &Arguments) {
        let hash = self.hasher.hash_one(row.subject.key());
        if row.outcome == RowOutcome::Pruned || !self.known.insert(hash) {
            return;
        }
        self.captures += 1;
        if !is_of(&row, &arguments.instance, &arguments.region) {
            return;
        }
        self.asked_for += 1;
        if !matches!(row.outcome, RowOutcome::Stored | RowOutcome::Screenshot) {
            return;
        }
        let Some(findings) = &row.findings else {
            self.unknown += 1;
            return;
        };
        self.looked_at += 1;
        for json in findings {
            let Some(finding) = OfRow::of(json) else {
                self.foreign += 1;
                continue;
            };
            let OfRow {
                id,
                family,
                severity,
                signature,
                ..
            } = &finding;
            if !arguments.asks_for(*severity, family, id, signature) {
                continue;
            }
            self.by_signature.add(finding, &row);
        }
    }
}

pub async fn run(
    arguments: &Arguments,
    period: Period,
    context: &Context,
    store: &impl Store,
) -> Result<Exit> {
    let since = period.since.unwrap_or(Timestamp::MIN);
    let until = period.until.unwrap_or(Timestamp::MAX);
    let store = &PastRefused::new(store);
    let catalog = Catalog::open_whole(store, since..=until).await?;
    tell_coverage(&catalog, since, store);
    tell_unread(&catalog);
    let (mut fleet, mut is_damaged) = (Fleet::default(), false);
    context.reads();
    catalog
        .read(|ReadDay { rows, damaged, .. }| -> Result<()> {
            is_damaged |= tell_damaged(&damaged, store) > 0;
            rows.into_iter().for_each(|row| fleet.add(row, arguments));
            Ok(())
        })
        .await?;
    store.check()?;
    for (count, of, why) in [
        (
            fleet.unknown,
            "record",
            "the catalog has rows of before it had findings",
        ),
        (
            fleet.foreign,
            "finding",
            "a later version wrote what this one does not know",
        ),
    ] {
        if count > 0 {
            output::error(format_args!(
                "not counted: {}, because {why}; `console-archive reindex` looks for findings in all records again",
                output::count(count, of)
            ));
        }
    }
    let is_incomplete = is_damaged || fleet.unknown > 0 || fleet.foreign > 0;
    let (looked_at, url) = (fleet.looked_at, store.url(""));
    // None of what is there is asked for.
    let others = fleet.captures * u64::from(fleet.asked_for == 0);
    let all = fleet.by_signature.in_order();
    let within = if period.is_bounded() {
        " of that time"
    } else {
        ""
    };
    match (context.output, all.is_empty()) {
        (Output::Json, _) => output::json(&all.iter().map(json).collect())?,
        (Output::Text, false) => {
            let (table, width) = (table_of(&all, &context.time_zone), output::width());
            match width {
                Some(width) if !table.fits(width) => {
                    let blocks = blocks_of(&all, &context.time_zone, width, context.has_colors());
                    stdout().write_all(blocks.as_bytes())?;
                }
                _ => context.print(&table)?,
            }
        }
        (Output::Text, true) => {}
    }
    Ok(match (is_incomplete, looked_at, all.is_empty()) {
        (true, ..) => Exit::Failed,
        (false, 0, _) => {
            match others {
                0 => output::error(format_args!("no records{within} in {url}")),
                _ => output::no_match(others, "capture", &format!("{within} in {url}")),
            }
            Exit::Nothing
        }
        (false, _, true) => {
            let records = output::count(looked_at, "record");
            output::error(format_args!(
                "no such findings in {records}{within} in {url}"
            ));
            Exit::Done
        }
        (false, _, false) => Exit::Done,
    })
}

/// Says that it takes long, and why.
pub fn tell_unread<S: Store>(catalog: &Catalog<'_, S>) {
    let unread = catalog.unread_rows();
    if unread > MANY_ROWS {
        output::error(format_args!(
            "{} are read one by one, because their days are not joined yet; `console-archive compact` joins \
             those of days that are over",
            output::count(unread as u64, "row of the catalog")
        ));
    }
}

/// Says where the catalog begins, if that is too late.
pub fn tell_coverage<S: Store>(catalog: &Catalog<'_, S>, since: Timestamp, store: &S) {
    let begins = match catalog.coverage {
        coverage if coverage.includes(since) => return,
        Coverage::After(day) => format!("begins on {}", day.0),
        _ => "is empty".to_owned(),
    };
    output::error(format_args!(
        "the catalog in {} {begins}: what was captured before is not counted; \
         `console-archive reindex` builds it from the records",
        store.url("")
    ));
}

fn json(seen: &Signature) -> Value {
    let OfRow {
        id,
        family,
        severity,
        title,
        signature,
        line,
    } = &seen.finding;
    json!({
        "id": id,
        "family": family,
        "severity": severity,
        "title": title,
        "signature": signature,
        "instances": seen.instances.len(),
        "records": seen.records,
        "first_captured_at": seen.first.to_string(),
        "last_captured_at": seen.last.to_string(),
        "example": {"instance_id": seen.example, "name": seen.record, "line": line},
    })
}

/// For narrow terminals: a few lines for each, in the form in which one log's findings are shown.
fn blocks_of(all: &[Signature], zone: &TimeZone, width: usize, has_colors: bool) -> String {
    let block = |seen: &Signature| {
        let finding = &seen.finding;
        let severity = finding.severity.as_str();
        let (first, last) = (time::shown(seen.first, zone), time::shown(seen.last, zone));
        let when = match first == last {
            true => first,
            false => format!("{first} to {last}"),
        };
        let on = match seen.instances.len() as u64 {
            1 => format!("on {}", seen.example),
            count => format!(
                "on {}, the last {}",
                output::count(count, "instance"),
                seen.example
            ),
        };
        let text = format!(
            "{:TEXT_AT$}{}\n{:TEXT_AT$}{}\n{:TEXT_AT$}{on}, {}\n",
            severity,
            printable::one_line(&finding.title),
            "",
            table::with_seams(&printable::one_line(&finding.signature)),
            "",
            table::glued(&when),
        );
        let style = finding::style(finding.severity);
        let lines = text
            .lines()
            .map(|line| output::hanging(line, TEXT_AT, Some(width)) + "\n");
        let text: String = lines.collect();
        match has_colors {
            true => text.replacen(severity, &format!("{style}{severity}{style:#}"), 1),
            false => text,
        }
    };
    all.iter().map(block).collect::<Vec<_>>().join("\n")
}

fn table_of(all: &[Signature], zone: &TimeZone) -> Table {
    let mut columns = ["SEVERITY", "SIGNATURE"].map(Column::text).to_vec();
    columns.push(Column::number("INSTANCES"));
    columns.extend(["FIRST", "LAST", "EXAMPLE", "WHAT HAPPENED"].map(Column::text));
    let rows = all.iter().map(|seen| {
        let OfRow {
            severity,
            title,
            signature,
            ..
        } = &seen.finding;
        vec![
            finding::cell(*severity, severity.as_str().to_owned()),
            table::with_seams(&printable::one_line(signature)).into(),
            seen.instances.len().to_string().into(),
            time::shown(seen.first, zone).into(),
            time::shown(seen.last, zone).into(),
            seen.example.to_string().into(),
            Cell::from(printable::one_line(title).into_owned()),
        ]
    });
    Table::new(columns, rows.collect())
}
