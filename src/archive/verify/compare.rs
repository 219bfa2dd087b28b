//! What an archive has ⇄ what its catalog says, both ways.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::facts::{Known, Listed};
use super::{AT_ONCE, Fault, IN_PROGRESS, Named, Run, Told, VerifyError, of_object};
use crate::archive::catalog::read::Catalog;
use crate::archive::catalog::{Day, Subject};
use crate::archive::record::Unpacker;
use crate::archive::record::facts::{CLOCKS, earlier};
use crate::archive::screenshot::SCREENSHOT_BYTES;
use crate::model::freshness::Freshness;
use crate::store::spool::Spool;
use crate::store::{self, Store};

const NO_ROW: &str = "the catalog does not have it; console-archive reindex adds it";
const PRUNED: &str = "prune again removes it, and console-archive reindex lists it again";

/// Whether an object is there.
enum Asked {
    There,
    Gone,
    /// It cannot be said: why.
    Refused(String),
}

impl<S: Store, F, E: From<VerifyError>> Run<'_, S, F>
where
    F: FnMut(Told) -> Result<(), E>,
{
    /// Compares what should be there with what is.
    pub(super) async fn compare(&mut self) -> Result<(), E> {
        let mut missing: Spool<Day> = Spool::default();
        while let Some(part) = self.facts.next_part().map_err(VerifyError::from)? {
            for (key, known) in part {
                if let Some(listed) = &known.listed {
                    self.compare_one(&key, &known, listed).await?;
                    continue;
                }
                self.orphans(&key, &known.verdicts).await?;
                if self.is_unseen(&known) {
                    continue;
                }
                let is_asked_for = |captured_at: &Timestamp| {
                    self.scope.is_since(*captured_at, SignedDuration::ZERO)
                        && !self.scope.may_have_expired(*captured_at, self.now)
                };
                let said = known.there().map(|said| said.captured_at).min();
                if let Some(captured_at) = said.filter(is_asked_for)
                    && !self.taken.contains(&key)
                {
                    let noted = missing.add(Day::of(captured_at), &format!("{key}\n"));
                    noted.map_err(VerifyError::from)?;
                }
            }
        }
        for day in missing.keys() {
            let mut keys = BTreeSet::new();
            let add = |line: &[u8]| {
                keys.insert(String::from_utf8_lossy(line).into_owned());
                Ok(())
            };
            missing.take(day, add).map_err(VerifyError::from)?;
            self.missing(day, keys).await?;
        }
        Ok(())
    }

    /// Compares an object that is there with what the catalog says of it.
    async fn compare_one(&mut self, key: &str, known: &Known, listed: &Listed) -> Result<(), E> {
        // A copy is stored long after what it has was captured.
        let captured_at = known.said.iter().map(|said| said.captured_at);
        self.oldest = captured_at.fold(self.oldest, Timestamp::min);
        if self.is_unseen(known) {
            return Ok(());
        }
        if known.said.is_empty() {
            return match self.should_have_row(key, listed).await? {
                true => self.found(key, Fault::NoRow, NO_ROW.to_owned()),
                false => Ok(()),
            };
        }
        if let Some(pruned_at) = known.pruned_at() {
            let told = format!("the catalog says that it was pruned at {pruned_at}; {PRUNED}");
            return match pruned_at < earlier(self.now, IN_PROGRESS) {
                true => self.found(key, Fault::Pruned, told),
                false => Ok(()),
            };
        }
        let says = listed.says.as_ref().and_then(|says| says.captured_at);
        let is_copy = known.is_copy();
        // A record may have expired and been captured again just now. It has the row of its first capture, and the
        // row of the second may still be on its way.
        let is_in_progress = listed.stored_at >= earlier(self.now, IN_PROGRESS);
        let knows_capture = says.is_none_or(|captured_at| self.knows(captured_at, is_copy));
        let knows_capture = knows_capture && !is_in_progress;
        if let Some(told) = known.difference(key, knows_capture) {
            return self.found(key, Fault::Row, told);
        }
        // Another build may have compressed the same console for the row, so the metadata decide.
        let is_other = |said: u64| said != listed.bytes;
        let name = match Subject::parse(key) {
            Some(Subject::Record(_)) => Some("gzip-bytes"),
            Some(Subject::Screenshot(_)) => Some(SCREENSHOT_BYTES),
            _ => None,
        };
        let may_differ = (known.said.iter()).any(|said| said.gzip_bytes.is_some_and(is_other));
        match name.filter(|_| self.scope.is_quick && may_differ) {
            Some(name) => self.compare_length(key, listed, name).await,
            None => Ok(()),
        }
    }

    /// Whether there may be rows of it that were not seen, which say more than those that were.
    fn is_unseen(&self, known: &Known) -> bool {
        let mut days = known.said.iter().map(|said| Day::of(said.captured_at));
        self.done.is_catalog_hidden || days.any(|day| self.unseen_days.contains(&day))
    }

    /// Whether an object without a row is one that the catalog should know.
    async fn should_have_row(&self, key: &str, listed: &Listed) -> Result<bool, E> {
        let should = self.coverage.includes(listed.stored_at)
            && self.scope.is_since(listed.stored_at, SignedDuration::ZERO)
            && !self.scope.may_have_expired(listed.stored_at, self.now)
            && listed.stored_at < earlier(self.now, IN_PROGRESS);
        if !should {
            return Ok(false);
        }
        // Its row is of the day of its capture, which a copy was stored long after.
        let says = listed.says.as_ref().and_then(|says| says.captured_at);
        let captured_at = match (says, Subject::parse(key)) {
            (Some(captured_at), _) => captured_at,
            (None, Some(Subject::Marker(_))) | (None, None) => listed.stored_at,
            (None, Some(Subject::Record(_) | Subject::Screenshot(_))) => {
                let metadata = self.store.metadata(key).await.unwrap_or_default();
                let time = metadata.and_then(|metadata| metadata.get("captured-at")?.parse().ok());
                time.unwrap_or(listed.stored_at)
            }
        };
        Ok(self.scope.is_since(captured_at, SignedDuration::ZERO) && self.knows_day(captured_at))
    }

    /// Whether a row of what was captured then would have been read.
    fn knows(&self, captured_at: Timestamp, is_copy: bool) -> bool {
        let coverage = match is_copy {
            true => self.coverage_of_copies,
            false => self.coverage,
        };
        coverage.includes(captured_at)
            && self.scope.is_since(captured_at, CLOCKS)
            && self.knows_day(captured_at)
    }

    /// Whether nothing that was read of the catalog about then was damaged.
    fn knows_day(&self, captured_at: Timestamp) -> bool {
        let begin = Day::of(captured_at).begin();
        let is_near = |unknown: &Day| (unknown.begin() - begin).abs() <= CLOCKS;
        !self.unknown_days.iter().any(is_near)
    }

    /// Compares an object's length with the metadata of this name. If they differ, the object is read: another program may
    /// have packed the same console anew.
    async fn compare_length(&mut self, key: &str, listed: &Listed, name: &str) -> Result<(), E> {
        let metadata = store::metadata_listed(self.store, key).await;
        let is_as_said = metadata.as_ref().is_ok_and(|metadata| {
            let said = metadata.as_ref().and_then(|metadata| metadata.get(name));
            metadata.is_none() || said == Some(&listed.bytes.to_string()) // Or it was removed meanwhile.
        });
        if is_as_said {
            return Ok(());
        }
        let read = match metadata {
            Ok(_) => store::get_listed(self.store, key).await,
            Err(error) => Err(error),
        };
        let found = match read {
            Ok(Some(object)) => Named::parse(key)
                .and_then(|named| named.fault(key, &object, &mut Unpacker::default())),
            Ok(None) => None,
            Err(error) => {
                let told = of_object(error).map_err(VerifyError::from)?;
                Some((Fault::Unreadable, told))
            }
        };
        match found {
            Some((fault, told)) => self.found(key, fault, told),
            None => Ok(()),
        }
    }

    /// Of what was not listed.
    async fn ask(&self, key: &str) -> Result<Asked, VerifyError> {
        match self.store.metadata(key).await {
            Ok(Some(_)) => Ok(Asked::There),
            Ok(None) => Ok(Asked::Gone),
            Err(error) => Ok(Asked::Refused(of_object(error)?)),
        }
    }

    /// Verdicts on a record that was not listed.
    async fn orphans(&mut self, record: &str, verdicts: &[(String, Freshness)]) -> Result<(), E> {
        for (verdict, _) in verdicts {
            // The record may have come since, or both may be gone.
            if matches!(self.ask(record).await?, Asked::Gone)
                && matches!(self.ask(verdict).await?, Asked::There)
            {
                let told = format!("there is no record {record}");
                self.found(verdict, Fault::Orphan, told)?;
            }
        }
        Ok(())
    }

    /// Asks once more for what was not listed: who reindexes or prunes meanwhile has changed this day's rows.
    async fn missing(&mut self, day: Day, keys: BTreeSet<String>) -> Result<(), E> {
        let range = day.begin()..=earlier(day.end(), SignedDuration::from_nanos(1));
        let catalog = Catalog::open(self.store, range)
            .await
            .map_err(VerifyError::from)?;
        let mut rows = Vec::new();
        let read = catalog.past_unreadable().read(|read| {
            let read = read.rows.into_iter();
            rows.extend(read.filter(|row| !row.is_pruned() && keys.contains(&row.subject.key())));
            Ok::<_, VerifyError>(())
        });
        read.await?;
        let run = &*self;
        let asked = rows.into_iter().map(async |row| {
            let key = row.subject.key();
            let asked = run.ask(&key).await?;
            Ok::<_, VerifyError>((key, row.captured_at, asked))
        });
        let asked: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        for asked in asked {
            let (key, captured_at, asked) = asked?;
            match asked {
                Asked::There => {}
                Asked::Gone => {
                    self.done.older_than_all += u64::from(captured_at < self.oldest);
                    let told = format!("it was captured at {captured_at}");
                    self.found(&key, Fault::Missing, told)?;
                }
                Asked::Refused(told) => self.found(&key, Fault::Unreadable, told)?,
            }
        }
        Ok(())
    }
}
