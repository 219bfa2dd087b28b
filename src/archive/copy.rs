//! One archive → another: what the other lacks, and nothing is replaced.
//!
//! Both are listed side by side, so that a second run costs two listings. A record comes before its verdicts,
//! and before its row of the catalog. So the other archive is a valid one wherever a run ends.

mod merge; // two listings, side by side

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};

use super::catalog::day::{self, DayError, Rows};
use super::catalog::hidden::Hidden;
use super::catalog::key::{COMPLETE_KEY, CatalogFolder, DAYS_PREFIX, Day, DayKey, ROWS_PREFIX};
use super::catalog::{CatalogKey, Subject};
use super::instances::Instances;
use super::key::{ConsoleDigest, VerdictKey, hash};
use super::{record, screenshot};
use crate::model::ids::InstanceId;
use crate::store::lookup::Lookup;
use crate::store::past_refused::PastRefused;
use crate::store::sorted::Sorted;
use crate::store::spool::TemporaryError;
use crate::store::{
    Entry, Object, Pages, PutOutcome, Store, StoreError, get_listed, metadata_listed,
};
use merge::Group;

/// Groups of objects that are copied at once.
const AT_ONCE: usize = 32;
/// Days that are copied at once: each is in memory as rows.
const DAYS_AT_ONCE: usize = 4;
/// Objects in memory, in KiB. One that is larger has all of it.
const ROOM_KIB: u32 = 64 << 10;
/// A row that was captured so much before the run, or since, may be of a record that was stored after its
/// instance was listed: a record is stored an hour after its capture at most, and clocks differ.
const RECENT: SignedDuration = SignedDuration::from_hours(3);
/// By how much the clocks of the machines that capture may be ahead of the store's.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);
/// Longer than a second, which is how exactly a bucket says when it stored an object.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// What to copy, and how.
pub struct Request<'a> {
    /// Which instances. `None`: all.
    pub instances: Option<Instances<'a>>,
    /// Only what was stored since.
    pub since: Option<Timestamp>,
    /// Whether the metadata of what is there already are compared, too: two requests for each object.
    pub compares_metadata: bool,
    /// Only tell what would be copied.
    pub is_dry_run: bool,
    /// When the run begins.
    pub began_at: Timestamp,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Objects that were copied, or would be.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that were there already.
    pub there: u64,
    /// Objects that were not copied, and why was told.
    pub problems: u64,
    /// Objects below instances that are none of this program.
    pub foreign: u64,
    /// Whether a part of one of the archives could not be listed.
    pub is_partial: bool,
    /// Whether the destination's catalog has everything that is there. If not, a listing of the fleet lists the
    /// whole archive, or misses what it copied without a row, until it is built anew.
    pub is_catalog_complete: bool,
    /// Whether the destination has all that the source has, stored at the same times: it may be the same archive, by
    /// another address.
    pub is_stored_alike: bool,
}

/// Why an object was not copied. Others were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Both archives have an object of this key, and they differ.
    #[error("the destination has another object under this key; neither was changed")]
    Conflict,
    /// Both have the same bytes, with different metadata.
    #[error("the destination has other metadata: {0}")]
    Metadata(String),
    /// It is not what its key says. It would keep the right one out of the destination.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The source does not hand it out.
    #[error("{0}")]
    Unreadable(String),
    /// The destination does not take it.
    #[error("{0}")]
    Refused(String),
}

impl Problem {
    /// The word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Metadata(_) => "metadata",
            Self::Damaged(_) => "damaged",
            Self::Unreadable(_) => "unreadable",
            Self::Refused(_) => "refused",
        }
    }
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Its key, below the prefix of both archives.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// What became of it.
    pub what: What,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It was copied, or would be.
    Copied,
    /// It was there already.
    There,
    /// The source has it no longer.
    Gone,
    /// It is none of this program.
    Foreign,
    /// It was not copied.
    Problem(Problem),
}

/// Why a run ended early. What it has copied is whole, and the next run goes on.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The archive that is copied failed or refused.
    #[error(transparent)]
    Source(StoreError),
    /// The other one.
    #[error("the destination: {0}")]
    Destination(#[source] StoreError),
    /// What was copied is noted in a file meanwhile, which fails.
    #[error(transparent)]
    Temporary(TemporaryError),
    /// Rows cannot be compressed.
    #[error("the rows of {0} cannot be compressed: {1}")]
    Pack(Day, std::io::Error),
}

/// Copies what `to` lacks. `tell` gets what became of each object.
///
/// Failed events are not copied: two archives would replay them.
///
/// # Errors
/// [`CopyError`]. A second run goes on where this one ended.
pub async fn copy(
    source: &impl Store,
    to: &impl Store,
    request: &Request<'_>,
    tell: impl FnMut(&Fate),
) -> Result<Copied, CopyError> {
    // An object that is refused keeps no other from being copied.
    let (source, to) = (PastRefused::new(source), PastRefused::new(to));
    let done = copy_past_refused(&source, &to, request, tell).await?;
    source.check().map_err(CopyError::Source)?;
    to.check().map_err(CopyError::Destination)?;
    Ok(done)
}

async fn copy_past_refused(
    source: &impl Store,
    to: &impl Store,
    request: &Request<'_>,
    mut tell: impl FnMut(&Fate),
) -> Result<Copied, CopyError> {
    let copier = Copier {
        source,
        to,
        request,
        pruned: OnceCell::new(),
        room: Semaphore::new(ROOM_KIB as usize),
        seen: RefCell::default(),
        failed: RefCell::default(),
        is_partial: Cell::new(false),
        hidden: OnceCell::new(),
        stored_alike: Cell::default(),
    };
    let (mut done, mut has_own) = (Copied::default(), false);
    let prefixes = match &request.instances {
        Some(instances) => instances.key_prefixes(),
        None => InstanceId::PREFIXES.map(str::to_owned).to_vec(),
    };
    for prefix in prefixes {
        let groups = copier.merged(&prefix, up_to_dot);
        let groups = groups.inspect_ok(|group| {
            has_own |= group.source.is_empty();
            copier.compare_times(group);
        });
        let objects = groups.map_ok(|group| copier.objects(group));
        done.add_all(objects, AT_ONCE, &mut tell).await?;
    }
    // Behind the records, so that no row comes before its record.
    let rows = copier.merged(ROWS_PREFIX, whole);
    let rows = rows.map_ok(|group| copier.row(group));
    done.add_all(rows, AT_ONCE, &mut tell).await?;
    let (mut is_complete, mut source_is_complete) = (false, None);
    let days = copier.merged(DAYS_PREFIX, whole).inspect_ok(|group| {
        let find = |entries: &[Entry]| {
            let mut found = entries.iter().filter(|entry| entry.key == COMPLETE_KEY);
            found.next().map(|entry| entry.bytes)
        };
        source_is_complete = source_is_complete.or(find(&group.source));
        is_complete |= find(&group.there).is_some();
    });
    let days = days.map_ok(|group| copier.day(group));
    done.add_all(days, DAYS_AT_ONCE, &mut tell).await?;
    // What it hides there is not known.
    for (key, why) in copier.hidden.get().into_iter().flat_map(Hidden::damaged) {
        let why =
            format!("it cannot be read there, so a record that was pruned may stay hidden: {why}");
        let (key, what) = (key.to_owned(), What::Problem(Problem::Refused(why)));
        done.add(
            &Fate {
                key,
                bytes: 0,
                what,
            },
            &mut tell,
        );
    }
    done.is_partial = copier.is_partial.get();
    done.is_stored_alike = copier.stored_alike.get() == Some(true);
    let is_whole = request.instances.is_none()
        && request.since.is_none()
        && done.problems == 0
        && !done.is_partial;
    if let Some(bytes) = source_is_complete.filter(|_| is_complete) {
        let key = COMPLETE_KEY.to_owned();
        let what = What::There;
        done.add(&Fate { key, bytes, what }, &mut tell);
    }
    // The last of all: it says that every record has a row, also those that the source has not.
    if let Some(bytes) = source_is_complete
        && is_whole
        && !is_complete
        && !has_own
    {
        let fate = copier.bring(COMPLETE_KEY, bytes).await?;
        is_complete = fate.what != What::Gone;
        done.add(&fate, &mut tell);
    }
    done.is_catalog_complete = is_complete && (source_is_complete.is_some() || done.copied == 0);
    Ok(done)
}

/// Hashes of what was pruned, by the rows that are not joined yet. A day's own rows say it themselves.
async fn pruned(source: &impl Store) -> Result<Lookup<1>, StoreError> {
    let mut pruned = Lookup::default();
    let mut listing = Pages::of(source, ROWS_PREFIX);
    while let Some(page) = listing.next_page().await? {
        for entry in page {
            if let Some(CatalogKey::Row(key)) = CatalogKey::parse(&entry.key)
                && key.row.is_pruned()
            {
                pruned.add([hash(&key.row.subject.key())])?;
            }
        }
    }
    Ok(pruned)
}

/// A record and its verdicts have the same key up to the dot.
fn up_to_dot(key: &str) -> &str {
    key.find('.').map_or(key, |dot| &key[..=dot])
}

fn whole(key: &str) -> &str {
    key
}

impl Copied {
    async fn add_all<F: Future<Output = Result<Vec<Fate>, CopyError>>>(
        &mut self,
        work: impl Stream<Item = Result<F, CopyError>>,
        at_once: usize,
        tell: &mut impl FnMut(&Fate),
    ) -> Result<(), CopyError> {
        let mut fates = pin!(work.try_buffer_unordered(at_once));
        while let Some(fates) = fates.try_next().await? {
            fates.iter().for_each(|fate| self.add(fate, tell));
        }
        Ok(())
    }

    fn add(&mut self, fate: &Fate, tell: &mut impl FnMut(&Fate)) {
        match &fate.what {
            What::Copied => {
                self.copied += 1;
                self.copied_bytes += fate.bytes;
            }
            What::There => self.there += 1,
            What::Foreign => self.foreign += 1,
            What::Problem(_) => self.problems += 1,
            What::Gone => {}
        }
        tell(fate);
    }
}

struct Copier<'a, S, T> {
    source: &'a S,
    to: &'a T,
    request: &'a Request<'a>,
    /// Objects that are in memory.
    room: Semaphore,
    /// Hashes of the records and markers that belong to the copy, or are there already.
    seen: RefCell<Lookup<1>>,
    /// Hashes of those of which a row of the source says that they were pruned. Their other rows are copied only if
    /// they are seen all the same. A row of what was lost otherwise is copied, so that `verify` tells the loss.
    pruned: OnceCell<Lookup<1>>,
    /// Hashes of records and markers that were not copied. Their rows are not, either.
    failed: RefCell<Lookup<1>>,
    is_partial: Cell<bool>,
    /// What the destination's catalog says is pruned. Read once something is copied.
    hidden: OnceCell<Hidden>,
    /// Whether both archives have the same objects below instances, stored at the same times. `None` if they have none.
    stored_alike: Cell<Option<bool>>,
}

impl<'a, S: Store, T: Store> Copier<'a, S, T> {
    fn merged(
        &'a self,
        prefix: &str,
        stem: fn(&str) -> &str,
    ) -> impl Stream<Item = Result<Group, CopyError>> + 'a {
        let source = Sorted::of(self.source, prefix);
        let to = Sorted::of(self.to, prefix).or_nothing();
        merge::groups(source, to, stem, &self.is_partial)
    }

    /// A copy is stored later than what it was made from.
    fn compare_times(&self, group: &Group) {
        let is_alike = self.stored_alike.get() != Some(false) && group.source == group.there;
        self.stored_alike.set(Some(is_alike));
    }

    fn is_named(&self, instance_id: &InstanceId) -> bool {
        let instances = self.request.instances.as_ref();
        instances.is_none_or(|instances| (instances.includes)(instance_id))
    }

    fn note(&self, noted: &RefCell<Lookup<1>>, key: &str) -> Result<(), CopyError> {
        let added = noted.borrow_mut().add([hash(key)]);
        added.map_err(CopyError::Temporary)
    }

    fn is_noted(&self, noted: &RefCell<Lookup<1>>, key: &str) -> Result<bool, CopyError> {
        let is_noted = noted.borrow().has(hash(key));
        is_noted.map_err(CopyError::Temporary)
    }

    /// A record or a marker, with the record's verdicts.
    async fn objects(&self, mut group: Group) -> Result<Vec<Fate>, CopyError> {
        let mut fates = Vec::new();
        if self.request.since.is_none() {
            for entry in &group.there {
                self.note(&self.seen, &entry.key)?;
            }
        }
        // The record first. Of the verdicts, the newest counts, by when it was stored.
        group.source.sort_by_key(|entry| {
            let is_verdict = VerdictKey::parse(&entry.key).is_some();
            (is_verdict, entry.stored_at)
        });
        let since = self
            .request
            .since
            .and_then(|since| since.checked_sub(CLOCKS).ok());
        let is_new = |entry: &Entry| since.is_none_or(|since| entry.stored_at >= since);
        if !group.source.iter().any(is_new) {
            return Ok(fates);
        }
        let mut last_verdict: Option<String> = None;
        let mut has_record = (group.there.iter()).any(|entry| Subject::parse(&entry.key).is_some());
        for entry in &group.source {
            let Some(family) = Family::of(&entry.key) else {
                fates.push(fate(entry, What::Foreign));
                continue;
            };
            if !self.is_named(family.instance_id()) {
                continue;
            }
            if matches!(family, Family::Verdict(_)) {
                if !has_record {
                    continue; // It says nothing without its record.
                }
                if last_verdict.as_ref().is_some_and(|last| *last > entry.key) {
                    tokio::time::sleep(NEXT_SECOND).await;
                }
            }
            let there = group.there.iter().find(|there| there.key == entry.key);
            let fate = match there {
                Some(there) => self.compare(entry, there).await?,
                None => self.bring(&entry.key, entry.bytes).await?,
            };
            let is_there = matches!(fate.what, What::Copied | What::There);
            match family {
                Family::Verdict(_) if fate.what == What::Copied => {
                    last_verdict = Some(entry.key.clone());
                }
                Family::Verdict(_) => {}
                _ if is_there => {
                    has_record = true;
                    self.note(&self.seen, &entry.key)?;
                }
                _ => {
                    self.note(&self.failed, &entry.key)?;
                    has_record = false;
                }
            }
            fates.push(fate);
        }
        Ok(fates)
    }

    /// Whether a row is copied: its record is, or should be there. One that was captured lately may be of a record that was not
    /// seen, and then brings it.
    async fn wants_row(
        &self,
        subject: &Subject,
        captured_at: Timestamp,
        fates: &mut Vec<Fate>,
    ) -> Result<bool, CopyError> {
        let key = subject.key();
        if !self.is_named(subject.instance_id()) || self.is_noted(&self.failed, &key)? {
            return Ok(false);
        }
        if self.is_noted(&self.seen, &key)? {
            return Ok(true);
        }
        let recent = self.request.began_at.checked_sub(RECENT);
        let is_recent = recent.is_ok_and(|recent| captured_at >= recent);
        let since = self.request.since;
        if !is_recent && since.is_none() {
            let pruned = self.pruned.get_or_try_init(|| pruned(self.source)).await;
            let pruned = pruned.map_err(CopyError::Source)?;
            let is_pruned = pruned.has(hash(&key)).map_err(CopyError::Temporary)?;
            return Ok(!is_pruned);
        }
        if !is_recent || since.is_some_and(|since| captured_at < since) {
            return Ok(false);
        }
        if self.is_there(&key).await? {
            return Ok(true);
        }
        if self.request.is_dry_run {
            // The listing did not have it, so what is absent was not stored.
            let found = self.source.metadata(&key).await;
            let is_gone = matches!(found, Ok(None));
            return match found {
                Err(error) if !error.is_of_object() => Err(CopyError::Source(error)),
                _ => Ok(!is_gone),
            };
        }
        let fate = self.bring(&key, 0).await?;
        let is_there = matches!(fate.what, What::Copied | What::There);
        fates.push(fate);
        Ok(is_there)
    }

    /// Whether the destination has an object, which was not listed.
    async fn is_there(&self, key: &str) -> Result<bool, CopyError> {
        match self.to.metadata(key).await {
            Ok(found) => Ok(found.is_some()),
            Err(StoreError::NoFolder(_)) => Ok(false),
            // It may be there, and then it is not replaced.
            Err(error) if error.is_of_object() => Ok(false),
            Err(error) => Err(CopyError::Destination(error)),
        }
    }

    async fn row(&self, group: Group) -> Result<Vec<Fate>, CopyError> {
        let mut fates = Vec::new();
        let Some(entry) = group.source.first() else {
            return Ok(fates);
        };
        let Some(CatalogKey::Row(key)) = CatalogKey::parse(&entry.key) else {
            fates.extend(taken(entry));
            return Ok(fates);
        };
        // What the source has pruned may well be here.
        let row = &key.row;
        if row.is_pruned()
            || !self
                .wants_row(&row.subject, row.captured_at, &mut fates)
                .await?
        {
            return Ok(fates);
        }
        fates.push(match group.there.first() {
            Some(there) => self.compare(entry, there).await?,
            None => self.bring(&entry.key, entry.bytes).await?,
        });
        Ok(fates)
    }

    /// A day's joined rows: as they are, or those of them whose records are copied.
    async fn day(&self, group: Group) -> Result<Vec<Fate>, CopyError> {
        let mut fates = Vec::new();
        let Some(entry) = group.source.first() else {
            return Ok(fates);
        };
        let Some(CatalogKey::Day(key)) = CatalogKey::parse(&entry.key) else {
            fates.extend(taken(entry));
            return Ok(fates);
        };
        let since = self
            .request
            .since
            .and_then(|since| since.checked_sub(CLOCKS).ok());
        if since.is_some_and(|since| key.day < Day::of(since)) {
            return Ok(fates);
        }
        if let Some(there) = group.there.first() {
            fates.push(self.compare(entry, there).await?);
            return Ok(fates);
        }
        let object = match self.read(&entry.key).await? {
            Ok(object) => object,
            Err(what) => {
                fates.push(fate(entry, what));
                return Ok(fates);
            }
        };
        let rows = match day::unpack(&object.body) {
            Ok(rows) => rows,
            Err(error) => {
                let problem = Problem::Damaged(error.to_string());
                fates.push(fate(entry, What::Problem(problem)));
                return Ok(fates);
            }
        };
        let count = rows.len();
        let mut kept = Rows::default();
        for row in rows {
            let (subject, captured_at) = (row.subject.clone(), row.captured_at);
            if !row.is_pruned() && self.wants_row(&subject, captured_at, &mut fates).await? {
                kept.add(row);
            }
        }
        if kept.len() == count {
            let what = self.put(&entry.key, &object).await?;
            fates.push(fate(entry, what));
            return Ok(fates);
        }
        let packed = kept.packed(key.day);
        for (key, object) in packed.map_err(|error| CopyError::Pack(key.day, error))? {
            let key = key.to_string();
            let what = self.put(&key, &object).await?;
            let bytes = object.body.len() as u64;
            fates.push(Fate { key, bytes, what });
        }
        Ok(fates)
    }

    /// An object that both archives list.
    async fn compare(&self, entry: &Entry, there: &Entry) -> Result<Fate, CopyError> {
        let key = &entry.key;
        // The key has a digest of the content.
        if entry.bytes == there.bytes {
            if !self.request.compares_metadata {
                return Ok(fate(entry, What::There));
            }
            let ours = match metadata_listed(self.source, key).await {
                Err(error) if !error.is_of_object() => return Err(CopyError::Source(error)),
                ours => ours,
            };
            let theirs = match metadata_listed(self.to, key).await {
                Err(error) if !error.is_of_object() => return Err(CopyError::Destination(error)),
                theirs => theirs,
            };
            let what = match (ours, theirs) {
                (Ok(Some(ours)), Ok(Some(theirs))) => match differing(&ours, &theirs) {
                    names if names.is_empty() => What::There,
                    names => What::Problem(Problem::Metadata(names)),
                },
                (Err(error), _) => What::Problem(Problem::Unreadable(error.to_string())),
                (_, Err(error)) => What::Problem(Problem::Refused(error.to_string())),
                _ => What::Gone,
            };
            return Ok(fate(entry, what));
        }
        let what = match self.read(key).await? {
            Ok(object) => self.compare_bytes(key, &object).await?,
            Err(what) => what,
        };
        Ok(fate(entry, what))
    }

    /// Another version of the compressor may have packed the same bytes.
    async fn compare_bytes(&self, key: &str, object: &Object) -> Result<What, CopyError> {
        let there = match get_listed(self.to, key).await {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(What::Gone),
            // What it has there nobody may know.
            Err(error @ (StoreError::OfObject(_) | StoreError::OnlyListed)) => {
                return Ok(What::Problem(Problem::Refused(error.to_string())));
            }
            Err(error) if error.is_of_object() => {
                return Ok(What::Problem(Problem::Conflict));
            }
            Err(error) => return Err(CopyError::Destination(error)),
        };
        let is_same = there.body == object.body
            || match (record::unpack(&there.body), record::unpack(&object.body)) {
                (Ok(there), Ok(here)) => there == here,
                _ => false,
            };
        Ok(if is_same {
            What::There
        } else {
            What::Problem(Problem::Conflict)
        })
    }

    /// Copies an object that the destination lacks.
    async fn bring(&self, key: &str, bytes: u64) -> Result<Fate, CopyError> {
        let of = |bytes, what| Fate {
            key: key.to_owned(),
            bytes,
            what,
        };
        if self.request.is_dry_run {
            return Ok(of(bytes, What::Copied));
        }
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(ROOM_KIB);
        let _room = self.room.acquire_many(kib.min(ROOM_KIB)).await; // It is never closed.
        let object = match self.read(key).await? {
            Ok(object) => object,
            Err(what) => return Ok(of(bytes, what)),
        };
        if Subject::parse(key).is_some() {
            match self.list_again(key).await {
                // A row cannot be written. Without it, what is copied would stay hidden.
                Err(CopyError::Destination(StoreError::OfObject(error))) => {
                    let problem = Problem::Refused(error.to_string());
                    return Ok(of(bytes, What::Problem(problem)));
                }
                listed => listed?,
            }
        }
        let what = self.put(key, &object).await?;
        Ok(of(object.body.len() as u64, what))
    }

    /// Has the destination list what it has pruned, and what comes back now. Before it is there: else a run that is
    /// killed in between would leave it hidden, and the next one would find nothing to copy.
    async fn list_again(&self, key: &str) -> Result<(), CopyError> {
        let read = || Hidden::read(self.to, |_| Ok(true));
        let hidden = match self.hidden.get_or_try_init(read).await {
            Ok(hidden) => hidden,
            Err(StoreError::NoFolder(_)) => return Ok(()),
            Err(error) => return Err(CopyError::Destination(error)),
        };
        let listed = hidden.list_again(self.to, key).await;
        listed.map_err(CopyError::Destination)
    }

    /// Reads an object of the source, and checks that it is what its key says.
    async fn read(&self, key: &str) -> Result<Result<Object, What>, CopyError> {
        let object = match get_listed(self.source, key).await {
            Ok(Some(object)) => object,
            Ok(None) => return Ok(Err(What::Gone)),
            Err(error) if error.is_of_object() => {
                return Ok(Err(What::Problem(Problem::Unreadable(error.to_string()))));
            }
            Err(error) => return Err(CopyError::Source(error)),
        };
        Ok(match fault(key, &object) {
            Some(fault) => Err(What::Problem(Problem::Damaged(fault))),
            None => Ok(object),
        })
    }

    async fn put(&self, key: &str, object: &Object) -> Result<What, CopyError> {
        // Rows that were chosen here have a key that no listing of the source has.
        if self.request.is_dry_run {
            return Ok(match self.is_there(key).await? {
                true => What::There,
                false => What::Copied,
            });
        }
        match self.to.put_if_absent(key, object).await {
            Ok(PutOutcome::Created) => Ok(What::Copied),
            // Somebody else was faster.
            Ok(PutOutcome::Exists) => self.compare_bytes(key, object).await,
            // Such as `MetadataTooLarge`, `EntityTooLarge` and `KeyTooLongError` of S3, or a policy that denies the key, or a file
            // in the place of a folder.
            Err(StoreError::OfObject(error)) => {
                Ok(What::Problem(Problem::Refused(error.to_string())))
            }
            Err(error) => Err(CopyError::Destination(error)),
        }
    }
}

/// What is told of a file that has the place of a folder of the catalog: the rows in that folder are not copied.
fn taken(entry: &Entry) -> Option<Fate> {
    CatalogFolder::parse(&entry.key)?;
    let problem = Problem::Damaged(DayError::NotAFolder.to_string());
    Some(fate(entry, What::Problem(problem)))
}

fn fate(entry: &Entry, what: What) -> Fate {
    Fate {
        key: entry.key.clone(),
        bytes: entry.bytes,
        what,
    }
}

/// The names of metadata that differ.
fn differing(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> String {
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name));
    let names: Vec<_> = differ.map(String::as_str).collect();
    names.join(", ")
}

/// An object below an instance.
enum Family {
    Subject(Subject),
    Verdict(VerdictKey),
}

impl Family {
    fn of(key: &str) -> Option<Self> {
        let subject = Subject::parse(key).map(Self::Subject);
        subject.or_else(|| VerdictKey::parse(key).map(Self::Verdict))
    }

    fn instance_id(&self) -> &InstanceId {
        match self {
            Self::Subject(subject) => subject.instance_id(),
            Self::Verdict(key) => &key.record.instance_id,
        }
    }
}

/// All faults in one line. `None` if there is none.
fn told<T: ToString>(faults: &[T]) -> Option<String> {
    let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Why an object is not what its key says, or cannot be stored elsewhere as it is. `None` if it is good.
fn fault(key: &str, object: &Object) -> Option<String> {
    let is_header = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let metadata = object.metadata.iter();
    let mut bad = metadata.filter(|(name, value)| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        name.is_empty() || !name.bytes().all(is_name) || !is_header(value)
    });
    if let Some((name, _)) = bad.next() {
        return Some(format!("its metadata {name:?} is no header"));
    }
    if !is_header(&object.content_type) {
        return Some("its media type is no header".to_owned());
    }
    let digest = || ConsoleDigest::of(&object.body).short();
    let is_right = match (Family::of(key), CatalogKey::parse(key)) {
        (Some(Family::Subject(Subject::Record(key))), _) => {
            return told(&record::read(&key, object).faults);
        }
        (Some(Family::Subject(Subject::Screenshot(key))), _) => {
            return told(&screenshot::faults(&key, object));
        }
        (Some(Family::Subject(Subject::Marker(key))), _) => key.digest == digest(),
        (Some(Family::Verdict(key)), _) => key.digest == digest(),
        (None, Some(CatalogKey::Row(key))) => key.digest == digest(),
        (None, Some(CatalogKey::Day(DayKey { digest, .. }))) => {
            let lines = record::unpack(&object.body);
            lines.is_ok_and(|lines| ConsoleDigest::of(&lines).short() == digest)
        }
        (None, None) => true,
    };
    (!is_right).then(|| "its bytes are not those of the digest in its key".to_owned())
}
