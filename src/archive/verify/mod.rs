//! Is everything there that should be, and is it whole?
//!
//! ```text
//! catalog ─▶ what should be there ─┐
//!                                  ├─▶ missing, not in the catalog, pruned and still there
//! listing ─▶ what is there ────────┘
//!    └─────▶ its bytes ───────────────▶ damaged
//! ```
//!
//! Events may be served meanwhile, and other commands may run. So the catalog is read before the archive is
//! listed: a row is written behind its record. What then seems to be missing is asked for once more.

mod fault; // what can be wrong with an object (pure)
mod rows; // what is there ⇄ what the catalog says

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::catalog::read::{Catalog, Coverage, ReadDay};
use super::catalog::spool::Spool;
use super::catalog::{CatalogKey, Day, TemporaryError};
use super::instances::Instances;
use super::key::RecordKey;
use super::record::Unpacker;
use crate::model::ids::InstanceId;
use crate::store::{self, Entry, Pages, Store, StoreError};
pub use fault::{Fault, Finding, Named};
use rows::{Facts, Known, Said};

/// Objects read at once, at most.
const AT_ONCE: usize = 64;
/// What was stored or removed within this time before may be half done: an event stores a record and then its
/// row, and is delivered again if that fails.
const IN_PROGRESS: SignedDuration = SignedDuration::from_hours(1);
/// By how much clocks of machines and of the store differ at most.
const CLOCKS: SignedDuration = SignedDuration::from_hours(24);

/// One of so many parts of the archive, by its objects' keys. All parts together are the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 1 on.
    number: u32,
    of: u32,
}

/// Not a part of a whole.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a part; expected one such as 1/7")]
pub struct InvalidPart(String);

impl std::str::FromStr for Part {
    type Err = InvalidPart;

    fn from_str(text: &str) -> Result<Self, InvalidPart> {
        let invalid = || InvalidPart(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(invalid)?;
        let parse = |text: &str| text.parse().map_err(|_| invalid());
        let (number, of) = (parse(number)?, parse(of)?);
        match (1..=of).contains(&number) {
            true => Ok(Self { number, of }),
            false => Err(invalid()),
        }
    }
}

impl Part {
    fn includes(self, key: &str) -> bool {
        let mut crc = flate2::Crc::new();
        crc.update(key.as_bytes());
        crc.sum() % self.of == self.number - 1
    }
}

/// What is verified.
#[derive(Default)]
pub struct Scope<'a> {
    /// Only what was captured or stored since.
    pub since: Option<Timestamp>,
    /// Only of these instances, and nothing that is of none.
    pub instances: Option<Instances<'a>>,
    /// Only the bytes of this part are read. What is missing is found all the same.
    pub part: Option<Part>,
    /// No bytes are read but those of the catalog's days.
    pub is_quick: bool,
    /// Older records may be gone: a lifecycle rule removes them.
    pub retention: Option<SignedDuration>,
    /// Nothing is compared with the catalog.
    pub ignores_catalog: bool,
}

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Objects that were listed.
    pub listed: u64,
    /// Objects that were checked.
    pub checked: u64,
    /// Faults of each kind, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// Those missing that are older than every record there is: a lifecycle rule may have removed them.
    pub older_than_all: u64,
    /// Whether records were compared with rows. An archive without a catalog has none.
    pub has_catalog: bool,
    /// Whether a part of the archive could not be listed.
    pub is_partial: bool,
}

impl Verified {
    /// How many faults there are of a kind.
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// How many there are in all.
    pub fn all(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// How many objects are damaged.
    pub fn damaged(&self) -> u64 {
        let damage = Fault::ALL.into_iter().filter(|fault| fault.is_damage());
        damage.map(|fault| self.count(fault)).sum()
    }
}

/// Why an archive was not verified as a whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is compared is kept in files meanwhile.
    #[error(transparent)]
    Temporary(#[from] TemporaryError),
}

/// What is told while it runs.
pub enum Told<'a> {
    /// So many objects were checked.
    Checked(u64),
    /// One fault.
    Found(&'a Finding),
}

/// Verifies what `scope` says. `told` is told of each fault, and of progress.
///
/// # Errors
/// [`VerifyError`], or the error of `told`.
pub async fn verify<E: From<VerifyError>>(
    store: &impl Store,
    scope: &Scope<'_>,
    now: Timestamp,
    told: impl FnMut(Told) -> Result<(), E>,
) -> Result<Verified, E> {
    let mut run = Run {
        store,
        scope,
        now,
        told,
        facts: Facts::default(),
        coverage: Coverage::Nothing,
        unknown_days: BTreeSet::new(),
        oldest: Timestamp::MAX,
        done: Verified::default(),
    };
    if !scope.ignores_catalog {
        run.read_catalog().await?;
    }
    let prefixes = match &scope.instances {
        None => vec![String::new()],
        Some(instances) => instances.key_prefixes(),
    };
    for prefix in prefixes {
        run.read_objects(&prefix).await?;
    }
    run.compare().await?;
    Ok(run.done)
}

/// What became of a listed object.
enum Checked {
    /// Somebody has removed it since.
    Gone,
    /// It was not read.
    Unread,
    Whole,
    Faulty(Fault, String),
}

struct Run<'a, S, F> {
    store: &'a S,
    scope: &'a Scope<'a>,
    now: Timestamp,
    told: F,
    facts: Facts,
    coverage: Coverage,
    /// Days of which an object is damaged: which rows they have is not known.
    unknown_days: BTreeSet<Day>,
    /// When the oldest record was stored.
    oldest: Timestamp,
    done: Verified,
}

impl Scope<'_> {
    fn includes(&self, id: Option<&InstanceId>) -> bool {
        match (&self.instances, id) {
            (None, _) => true,
            (Some(instances), Some(id)) => (instances.includes)(id),
            (Some(_), None) => false,
        }
    }

    /// Whether something of this time is asked for. `margin`: or a little earlier.
    fn is_since(&self, time: Timestamp, margin: SignedDuration) -> bool {
        let since = self.since.map(|since| earlier(since, margin));
        since.is_none_or(|since| time >= since)
    }

    /// Whether a lifecycle rule may have removed what was stored then.
    fn may_have_expired(&self, time: Timestamp, now: Timestamp) -> bool {
        let retention = self.retention;
        retention.is_some_and(|retention| time < earlier(now, retention))
    }
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

impl<S: Store, F, E: From<VerifyError>> Run<'_, S, F>
where
    F: FnMut(Told) -> Result<(), E>,
{
    fn found(&mut self, key: &str, fault: Fault, detail: String) -> Result<(), E> {
        self.done.faults[fault as usize] += 1;
        let key = key.to_owned();
        (self.told)(Told::Found(&Finding { key, fault, detail }))
    }

    /// Reads what should be there.
    async fn read_catalog(&mut self) -> Result<(), E> {
        let since = self.scope.since.unwrap_or(Timestamp::MIN);
        let range = earlier(since, CLOCKS)..=Timestamp::MAX;
        let catalog = Catalog::open(self.store, range)
            .await
            .map_err(VerifyError::from)?;
        self.coverage = catalog.coverage;
        self.done.has_catalog = catalog.coverage != Coverage::Nothing;
        let (scope, facts, unknown_days) = (self.scope, &mut self.facts, &mut self.unknown_days);
        let read = catalog.read(|ReadDay { rows, damaged }| {
            unknown_days.extend(damaged.iter().filter_map(|(key, _)| day_of(key)));
            let rows = rows.iter();
            let mut rows = rows.filter(|row| scope.includes(Some(&row.instance_id)));
            rows.try_for_each(|row| facts.said(row))?;
            Ok::<_, VerifyError>(())
        });
        Ok(read.await?)
    }

    /// Lists what is there, and reads it.
    async fn read_objects(&mut self, prefix: &str) -> Result<(), E> {
        let (store, scope) = (self.store, self.scope);
        let is_partial = Cell::new(false);
        let unpacker = RefCell::new(Unpacker::default());
        let pages = stream::try_unfold(Pages::of(store, prefix), async |mut pages| {
            let page = pages.next_page().await?;
            is_partial.set(is_partial.get() | pages.is_partial);
            let entries = page.map(|page| stream::iter(page).map(Ok::<_, StoreError>));
            Ok::<_, StoreError>(entries.map(|entries| (entries, pages)))
        });
        let is_asked_for = |entry: &Entry, named: Option<&Named>| match named {
            Some(named) => scope.includes(named.instance_id()),
            None => {
                let id = entry.key.split('/').next().unwrap_or_default();
                scope.includes(InstanceId::parse(id).ok().as_ref())
            }
        };
        let checks = pages.try_flatten().map_ok(|entry| {
            let named = Named::parse(&entry.key);
            let is_asked_for =
                is_asked_for(&entry, named.as_ref()) && scope.is_since(entry.stored_at, CLOCKS);
            let unpacker = &unpacker;
            async move {
                if !is_asked_for {
                    return Ok(None);
                }
                let checked = match &named {
                    None => Checked::Faulty(Fault::Foreign, FOREIGN.to_owned()),
                    Some(named) => check(store, scope, named, &entry, unpacker).await?,
                };
                Ok(Some((entry, named, checked)))
            }
        });
        let mut checks = std::pin::pin!(checks.try_buffered(AT_ONCE));
        while let Some(checked) = checks.try_next().await.map_err(VerifyError::from)? {
            if let Some((entry, named, checked)) = checked {
                self.listed(&entry, named.as_ref(), checked)?;
            }
        }
        self.done.is_partial |= is_partial.get();
        Ok(())
    }

    fn listed(&mut self, entry: &Entry, named: Option<&Named>, checked: Checked) -> Result<(), E> {
        if matches!(checked, Checked::Gone) {
            return Ok(());
        }
        let noted = match named {
            Some(Named::Record(_) | Named::Marker(_)) => {
                self.oldest = self.oldest.min(entry.stored_at);
                self.facts.listed(entry)
            }
            Some(Named::Verdict(key)) => self.facts.verdict(&key.record.to_string(), &entry.key),
            _ => Ok(()),
        };
        noted.map_err(VerifyError::from)?;
        self.done.listed += 1;
        match checked {
            Checked::Gone | Checked::Unread => return Ok(()),
            Checked::Whole => {}
            Checked::Faulty(fault, detail) => self.found(&entry.key, fault, detail)?,
        }
        self.done.checked += 1;
        (self.told)(Told::Checked(self.done.checked))
    }

    /// Compares what should be there with what is.
    async fn compare(&mut self) -> Result<(), E> {
        let mut missing: Spool<Day> = Spool::default();
        while let Some(part) = self.facts.next_part().map_err(VerifyError::from)? {
            for (key, known) in part {
                match (&known.said, &known.listed) {
                    (Some(said), None) if said.pruned_at.is_none() => {
                        let day = Day::of(said.captured_at);
                        let is_asked_for =
                            self.scope.is_since(said.captured_at, SignedDuration::ZERO)
                                && !self.scope.may_have_expired(said.captured_at, self.now);
                        if is_asked_for {
                            let noted = missing.add(day, &format!("{key}\n"));
                            noted.map_err(VerifyError::from)?;
                        }
                    }
                    (_, Some(_)) => self.compare_one(&key, &known).await?,
                    _ => {}
                }
                if known.listed.is_none() {
                    self.orphans(&key, &known.verdicts).await?;
                }
            }
        }
        for day in missing.keys() {
            let mut keys = BTreeSet::new();
            let add = |line: &[u8]| {
                keys.insert(String::from_utf8_lossy(line).into_owned());
            };
            missing.take(day, add).map_err(VerifyError::from)?;
            self.missing(day, keys).await?;
        }
        Ok(())
    }

    /// Compares an object that is there with what the catalog says of it.
    async fn compare_one(&mut self, key: &str, known: &Known) -> Result<(), E> {
        let Known {
            said,
            listed: Some(listed),
            ..
        } = known
        else {
            return Ok(());
        };
        let done_by = earlier(self.now, IN_PROGRESS);
        let Some(said) = said else {
            let day = Day::of(listed.stored_at);
            let is_unknown = |unknown: &Day| (unknown.begin() - day.begin()).abs() <= CLOCKS;
            let should_have_row = self.coverage.includes(listed.stored_at)
                && self.scope.is_since(listed.stored_at, SignedDuration::ZERO)
                && !self.scope.may_have_expired(listed.stored_at, self.now)
                && !self.unknown_days.iter().any(is_unknown)
                && listed.stored_at < done_by;
            return match should_have_row {
                true => self.found(key, Fault::NoRow, NO_ROW.to_owned()),
                false => Ok(()),
            };
        };
        if let Some(pruned_at) = said.pruned_at {
            let told = format!("the catalog says that it was pruned at {pruned_at}; {PRUNED}");
            return match pruned_at < done_by {
                true => self.found(key, Fault::Pruned, told),
                false => Ok(()),
            };
        }
        let Some(record) = RecordKey::parse(key) else {
            return Ok(());
        };
        if let Some(told) = differs(&record, said) {
            return self.found(key, Fault::Row, told);
        }
        // Another build may have compressed the same console for the row, so the metadata decide.
        let may_differ =
            self.scope.is_quick && said.gzip_bytes.is_some_and(|bytes| bytes != listed.bytes);
        if may_differ {
            let metadata = self.store.metadata(key).await.map_err(VerifyError::from)?;
            let stored = metadata.map(|metadata| metadata.get("gzip-bytes").cloned());
            if let Some(stored) = stored.filter(|stored| *stored != Some(listed.bytes.to_string()))
            {
                let said = stored.map_or("nothing".to_owned(), |bytes| format!("{bytes:?}"));
                let told = format!(
                    "its metadata says gzip-bytes {said}, and it has {}",
                    listed.bytes
                );
                return self.found(key, Fault::Metadata, told);
            }
        }
        Ok(())
    }

    /// Verdicts on a record that was not listed.
    async fn orphans(&mut self, record: &str, verdicts: &[String]) -> Result<(), E> {
        for verdict in verdicts {
            // The record may have come since, or both may be gone.
            let is_there = async |key| {
                let metadata = self.store.metadata(key).await;
                metadata
                    .map(|found| found.is_some())
                    .map_err(VerifyError::from)
            };
            if !is_there(record).await? && is_there(verdict).await? {
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
        let read = catalog.read(|read| {
            let read = read.rows.into_iter();
            rows.extend(read.filter(|row| !row.is_pruned() && keys.contains(&row.subject.key())));
            Ok::<_, VerifyError>(())
        });
        read.await?;
        let store = self.store;
        let asked = rows.into_iter().map(async |row| {
            let key = row.subject.key();
            match store.metadata(&key).await {
                Ok(Some(_)) => Ok(None),
                Ok(None) => Ok(Some((key, row.captured_at))),
                Err(error) => Err(VerifyError::from(error)),
            }
        });
        let mut asked = stream::iter(asked).buffered(AT_ONCE);
        while let Some(found) = asked.next().await {
            if let Some((key, captured_at)) = found? {
                self.done.older_than_all += u64::from(captured_at < self.oldest);
                let told = format!("it was captured at {captured_at}");
                self.found(&key, Fault::Missing, told)?;
            }
        }
        Ok(())
    }
}

const FOREIGN: &str = "no object of an archive has such a key";
const NO_ROW: &str = "the catalog does not have it; console-archive reindex adds it";
const PRUNED: &str = "prune again removes it, and console-archive reindex lists it again";

fn day_of(key: &str) -> Option<Day> {
    match CatalogKey::parse(key)? {
        CatalogKey::Day(key) => Some(key.day),
        CatalogKey::Row(key) => Some(key.row.day()),
    }
}

/// How a row differs from the record that it is about.
fn differs(record: &RecordKey, said: &Said) -> Option<String> {
    let said = said.sha256?.short();
    let told = || format!("the catalog says that its SHA-256 begins with {said}");
    (said != record.digest).then(told)
}

/// Reads an object, if it is asked for, and checks it.
async fn check(
    store: &impl Store,
    scope: &Scope<'_>,
    named: &Named,
    entry: &Entry,
    unpacker: &RefCell<Unpacker>,
) -> Result<Checked, StoreError> {
    let key = &entry.key;
    let is_of_part = scope.part.is_none_or(|part| part.includes(key));
    let is_read = match named {
        _ if !scope.is_since(entry.stored_at, SignedDuration::ZERO) => false,
        Named::Day(_) => true,
        _ => is_of_part && !scope.is_quick,
    };
    if !is_read {
        return Ok(match scope.is_quick && is_of_part {
            true => Checked::Whole,
            false => Checked::Unread,
        });
    }
    let unreadable = |told: String| Checked::Faulty(Fault::Unreadable, told);
    let object = match store.get(key).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            // Who prunes, compacts or redrives has removed it.
            let listed = store::list_all(store, key).await?;
            return Ok(match listed.iter().any(|entry| entry.key == *key) {
                true => unreadable("it is listed, and cannot be read".to_owned()),
                false => Checked::Gone,
            });
        }
        Err(error) if matches!(error, StoreError::TooLarge { .. } | StoreError::Io { .. }) => {
            return Ok(unreadable(error.to_string()));
        }
        Err(error) if error.is_of_object() => return Ok(unreadable(error.to_string())),
        Err(error) => return Err(error),
    };
    let fault = named.fault(key, &object, &mut unpacker.borrow_mut());
    Ok(match fault {
        None => Checked::Whole,
        Some((fault, detail)) => Checked::Faulty(fault, detail),
    })
}
