//! What was captured in a period that the catalog does not reach: a listing of the archive says what is there, and the
//! catalog and the metadata of records say when it was captured.

use std::ops::RangeInclusive;

use anyhow::Result;
use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::archive::catalog::hidden::still_there;
use ecs_console_archiver::archive::catalog::listed::{self, Listed};
use ecs_console_archiver::archive::catalog::read::{Catalog, Coverage, ReadDay};
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::archive::key::hash;
use ecs_console_archiver::store::lookup::Lookup;
use ecs_console_archiver::store::ordered::Ordered;
use ecs_console_archiver::store::past_refused::PastRefused;
use ecs_console_archiver::store::spool::{Spool, TemporaryError};
use ecs_console_archiver::store::{Store, StoreError};
use jiff::Timestamp;

use super::super::super::{Context, grep};
use super::{Filter, Seen, Source, tell_all_damaged};
use crate::output;
use crate::time::Period;

/// A listing of the whole archive that takes more requests is told.
const MANY_REQUESTS: usize = 3;
/// Records that are asked for their metadata at most. Where more are not known, those are not asked that were stored at
/// once, and where the others are more, none is: `reindex` does that once for all.
const MAX_ASKED: usize = 1000;

/// A reading on its way. What it finds is in temporary files until all of it is in order, so its memory does not grow
/// with the archive.
pub(super) struct Uncovered<'a, S> {
    pub store: &'a PastRefused<'a, S>,
    pub period: Period,
    /// The period, and what is before it of which only what the catalog knows is asked for.
    pub range: RangeInclusive<Timestamp>,
    pub seen: Seen,
    pub ordered: Ordered,
    /// Hashes of what the catalog knows.
    pub known: Lookup<1>,
    /// Rows of what is there, and said to be pruned.
    pub hidden: Spool<()>,
}

impl<S: Store> Uncovered<'_, S> {
    /// As [`super::read`].
    pub async fn read(
        mut self,
        catalog: Option<Catalog<'_, PastRefused<'_, S>>>,
        coverage: Option<Coverage>,
        filter: &Filter,
        context: &Context,
        tell: &impl Fn(String),
        mut each: impl FnMut(Row, Source) -> Result<()>,
    ) -> Result<bool> {
        // A record that was captured at another time, and copied in this one, has its row there.
        let all = Timestamp::MIN..=Timestamp::MAX;
        let rest = match coverage {
            None | Some(Coverage::Nothing) => None,
            Some(_) if self.range == all => None,
            Some(_) => Some(Catalog::open(self.store, all).await?.around(&self.range)?),
        };
        let mut listed = list(self.store, coverage, filter, tell).await?;
        context.reads();
        let mut is_damaged = false;
        for catalog in catalog.into_iter().chain(rest) {
            catalog
                .read(|ReadDay { rows, damaged, .. }| -> Result<()> {
                    is_damaged |= tell_all_damaged(&damaged, self.store, tell);
                    rows.into_iter().try_for_each(|row| self.add(row, &listed))
                })
                .await?;
        }
        self.store.check()?;
        self.add_hidden()?;
        self.add_unknown(&mut listed, tell).await?;
        for line in self.ordered.in_order()? {
            // The lines are this program's own, of just before.
            if let Some((row, source)) = taken(&line?) {
                each(row, source)?;
            }
        }
        Ok(is_damaged)
    }

    /// Adds what the catalog says of an object, if that is there or was pruned: the listing shows what is there.
    fn add(&mut self, row: Row, listed: &Listed) -> Result<()> {
        if !self.seen.is_new(&row)? {
            return Ok(());
        }
        match (listed.has(&row.subject)?, row.is_pruned()) {
            (true, true) => self.hidden.add((), &row.line())?,
            (true, false) => {
                self.known.add([hash(&row.subject.key())])?;
                self.put_known(&row)?;
            }
            (false, true) => self.put_known(&row)?,
            (false, false) => {}
        }
        Ok(())
    }

    /// Adds what is said to be pruned, and is there, and no other row says so.
    fn add_hidden(&mut self) -> Result<()> {
        let (mut hidden, mut rows) = (std::mem::take(&mut self.hidden), Vec::new());
        hidden.take((), |line| {
            rows.extend(Row::parse(line).ok());
            Ok(())
        })?;
        for row in rows {
            if self.known.is_new(hash(&row.subject.key()))? {
                self.put_known(&there(row))?;
            }
        }
        Ok(())
    }

    fn put_known(&mut self, row: &Row) -> Result<()> {
        if self.range.contains(&row.captured_at) {
            put(&mut self.ordered, row, Source::Catalog)?;
        }
        Ok(())
    }

    /// Adds what is there and stands in no row of the catalog.
    async fn add_unknown(&mut self, listed: &mut Listed, tell: &impl Fn(String)) -> Result<()> {
        let since = self.period.since.unwrap_or(Timestamp::MIN);
        let until = self.period.until.unwrap_or(Timestamp::MAX);
        let (ordered, period, range) = (&mut self.ordered, self.period, since..=until);
        let (mut asked, mut unasked) = (Vec::new(), 0);
        let (mut are_all_asked, mut are_others_asked) = (true, true);
        // By what the listing alone tells.
        let put_listed =
            |ordered: &mut Ordered, row: &Row, is_timed| match period.contains(row.captured_at) {
                true => put(ordered, row, Source::Listing { is_timed }),
                false => Ok(()),
            };
        listed.take_unknown(&self.known, |row| {
            if !listed::may_be_of(&row, &range) {
                return Ok(());
            }
            let rows = match are_all_asked {
                true => {
                    asked.push(row);
                    are_all_asked = asked.len() <= MAX_ASKED;
                    if are_all_asked {
                        return Ok(());
                    }
                    std::mem::take(&mut asked)
                }
                false => vec![row],
            };
            for row in rows {
                if listed::was_stored_at_once(&row) {
                    put_listed(ordered, &row, true)?;
                    continue;
                }
                asked.push(row);
                are_others_asked &= asked.len() <= MAX_ASKED;
                if !are_others_asked {
                    for row in asked.drain(..) {
                        unasked += 1;
                        put_listed(ordered, &row, false)?;
                    }
                }
            }
            Ok(())
        })?;
        if unasked > 0 {
            tell(not_timed(
                unasked,
                "build the catalog with console-archive reindex, which asks each of them",
            ));
        }
        let (mut untimed, mut why) = (0, None);
        for (described, error) in listed::described(self.store, asked).await? {
            let row = described.row;
            untimed += u64::from(!described.is_timed);
            if described.is_timed && error.is_none() {
                if period.contains(row.captured_at) {
                    put(ordered, &row, Source::Metadata)?;
                }
                continue;
            }
            why = why.or(error);
            put_listed(ordered, &row, described.is_timed)?;
        }
        if untimed > 0 {
            let why = why.map(|error| error.to_string());
            let missing = "their metadata are missing; console-archive verify names them";
            tell(not_timed(untimed, why.as_deref().unwrap_or(missing)));
        }
        Ok(())
    }
}

/// What is told of records that are shown with the time of storing. `rest`: why, or what to do.
fn not_timed(records: u64, rest: &str) -> String {
    format!(
        "when {} were captured is not known, so the time at which they were stored stands for it: for a copy, that is when \
         it was copied; {rest}",
        output::count(records, "record")
    )
}

/// Before a row, what it is known from.
const SOURCES: [(u8, Source); 4] = [
    (b'c', Source::Catalog),
    (b'm', Source::Metadata),
    (b't', Source::Listing { is_timed: true }),
    (b'u', Source::Listing { is_timed: false }),
];

fn put(ordered: &mut Ordered, row: &Row, source: Source) -> Result<(), TemporaryError> {
    let mark = SOURCES.iter().find(|(_, one)| *one == source);
    let mark = mark.map_or('c', |(mark, _)| char::from(*mark));
    let line = format!("{mark}{}", row.line());
    ordered.add(listed::in_order(row.captured_at), &line)
}

/// A row that was put, and what it is known from.
fn taken(line: &[u8]) -> Option<(Row, Source)> {
    let (mark, line) = line.split_first()?;
    let (_, source) = SOURCES.iter().find(|(one, _)| one == mark)?;
    Some((Row::parse(line).ok()?, *source))
}

/// What the archive has, by a listing of all of it; and why, if that took many requests. `coverage` is that of the
/// catalog. If that may not be listed, only what may be asked for is.
async fn list(
    store: &impl Store,
    coverage: Option<Coverage>,
    filter: &Filter,
    tell: &impl Fn(String),
) -> Result<Listed, StoreError> {
    let prefix = match coverage {
        Some(_) => String::new(),
        None => grep::literal_prefix(&filter.instances),
    };
    let instances = Instances {
        prefix,
        includes: &|_| true,
    };
    let listed = Listed::below(store, instances.key_prefixes()).await?;
    if let Some(coverage) = coverage
        && listed.requests > MANY_REQUESTS
    {
        let why = match coverage {
            Coverage::After(day) => format!("its catalog begins on {}", day.0),
            _ => "it has no catalog".to_owned(),
        };
        let requests = listed.requests;
        tell(format!(
            "all of the archive was listed, in {requests} requests, because {why}; \
             `console-archive reindex` builds the catalog from the records"
        ));
    }
    Ok(listed)
}

/// The row of what a listing has shown to be there, whatever the catalog says of it.
fn there(row: Row) -> Row {
    let pruned_at = row.pruned_at.filter(|_| row.is_pruned());
    let there = pruned_at.and_then(|at| still_there(row.subject.clone(), row.captured_at, at));
    match there {
        Some(there) => row.join(there),
        None => row,
    }
}
