//! Is everything there that should be, and is it whole?
//!
//! ```text
//! catalog ─▶ what should be there ─┐
//!                                  ├─▶ missing, not in the catalog, pruned and still there, not what its row says
//! listing ─▶ what is there ────────┤
//!    └─────▶ its bytes ────────────┴──▶ damaged
//! ```
//!
//! Events may be served meanwhile, and other commands may run. So the catalog is read before the archive is
//! listed: a row is written behind its record. What then seems to be missing is asked for once more.
//!
//! An error of one object is a fault of that object, and hides no other one. Only what is wrong with the whole archive
//! ends a run.

mod compare; // what is there ⇄ what the catalog says
mod facts; // what is known of each record and marker
mod fault; // what can be wrong with an object (pure)
mod objects; // what is there: listed, and read
mod rows; // a row ⇄ its record or marker (pure)
mod scope; // what of an archive is verified (pure)

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::catalog::key::{CatalogFolder, DAYS_PREFIX, ROWS_PREFIX};
use super::catalog::read::{Catalog, Coverage, ReadDay};
use super::catalog::{CatalogKey, Day};
use super::record::facts::{CLOCKS, earlier};
use crate::store::past_refused::PastRefused;
use crate::store::spool::TemporaryError;
use crate::store::{Store, StoreError, StrayKind};
use facts::Facts;
pub use fault::{Fault, Finding, Named};
pub use scope::{InvalidPart, Part, Scope};

/// Objects read at once, at most.
const AT_ONCE: usize = 64;
/// What was stored or removed within this time before may be half done: an event stores a record and then its
/// row, and is delivered again if that fails.
const IN_PROGRESS: SignedDuration = SignedDuration::from_hours(1);

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Objects that were listed.
    pub listed: u64,
    /// Those of them that were stored since the time that is asked for. Clocks differ, so earlier ones are listed, too.
    pub listed_since: u64,
    /// Objects that were checked.
    pub checked: u64,
    /// Faults of each kind, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// Those missing that are older than every record there is: a lifecycle rule may have removed them.
    pub older_than_all: u64,
    /// Whether records were compared with rows. An archive without a catalog has none.
    pub has_catalog: bool,
    /// Whether there is something in place of the catalog that cannot be read, so that nothing is known of rows.
    pub is_catalog_hidden: bool,
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
    // An object that fails, however often it is tried, keeps no other.
    let store = &PastRefused::new(store);
    let mut run = Run {
        store,
        scope,
        now,
        told,
        facts: Facts::default(),
        coverage: Coverage::Nothing,
        coverage_of_copies: Coverage::Nothing,
        unknown_days: BTreeSet::new(),
        unseen_days: BTreeSet::new(),
        taken: BTreeSet::new(),
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
        run.read_strays(&prefix).await?;
    }
    run.compare().await?;
    Ok(run.done)
}

struct Run<'a, S, F> {
    store: &'a S,
    scope: &'a Scope<'a>,
    now: Timestamp,
    told: F,
    facts: Facts,
    coverage: Coverage,
    /// The same of records that were copied, and so stored long after they were captured.
    coverage_of_copies: Coverage,
    /// Days of which an object is damaged: which rows they have is not known.
    unknown_days: BTreeSet<Day>,
    /// Days of which a folder cannot be listed: whether what they have was pruned later is not known, too.
    unseen_days: BTreeSet<Day>,
    /// Keys of what was told already: of objects whose place something else has, and of folders of the catalog.
    taken: BTreeSet<String>,
    /// When the oldest record that is there was stored, or captured, as far as its row says that.
    oldest: Timestamp,
    done: Verified,
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

    /// Notes that a folder cannot be looked into. What of the catalog it may have is not known.
    fn note_unseen(&mut self, folder: &str) {
        match CatalogFolder::parse(folder) {
            Some(CatalogFolder::Whole) => {
                self.coverage = Coverage::Nothing;
                self.coverage_of_copies = Coverage::Nothing;
                self.done.has_catalog = false;
                self.done.is_catalog_hidden = true;
            }
            Some(CatalogFolder::Of(day)) => {
                self.unseen_days.insert(day);
                self.unknown_days.insert(day);
            }
            None => {}
        }
    }

    /// Reads what should be there.
    async fn read_catalog(&mut self) -> Result<(), E> {
        for prefix in [ROWS_PREFIX, DAYS_PREFIX] {
            let strays = self.store.strays(prefix).await;
            for stray in strays.map_err(VerifyError::from)? {
                if matches!(
                    stray.kind,
                    StrayKind::Unlistable(_) | StrayKind::NotAnObject(_)
                ) && CatalogFolder::parse(&stray.key).is_some()
                    && !self.taken.contains(&stray.key)
                {
                    self.stray(stray)?;
                }
            }
        }
        if self.done.is_catalog_hidden {
            return Ok(());
        }
        let since = self.scope.since.unwrap_or(Timestamp::MIN);
        let range = earlier(since, CLOCKS)..=Timestamp::MAX;
        let catalog = match Catalog::open(self.store, range).await {
            Ok(catalog) => catalog,
            // A policy may allow some prefixes alone. If it allows none, the next listing says so.
            Err(error @ StoreError::Denied(_)) => {
                self.note_unseen("catalog");
                return self.found("catalog/", Fault::Unreadable, error.to_string());
            }
            Err(error) => return Err(VerifyError::from(error).into()),
        };
        self.coverage = catalog.coverage;
        self.coverage_of_copies = match catalog.coverage {
            Coverage::After(_) => catalog.begin.map_or(Coverage::Nothing, Coverage::After),
            coverage => coverage,
        };
        self.done.has_catalog = catalog.coverage != Coverage::Nothing;
        for (key, day) in &catalog.taken {
            self.unseen_days.insert(*day);
            self.unknown_days.insert(*day);
            // Otherwise it is told with the other objects.
            if self.scope.instances.is_some() {
                self.found(key, Fault::Foreign, objects::FOREIGN.to_owned())?;
            }
        }
        let (scope, facts, unknown_days) = (self.scope, &mut self.facts, &mut self.unknown_days);
        let read = catalog.past_unreadable().read(|ReadDay { rows, damaged }| {
            unknown_days.extend(damaged.iter().filter_map(|(key, _)| day_of(key)));
            let rows = rows.iter();
            let mut rows = rows.filter(|row| scope.includes(Some(&row.instance_id)));
            rows.try_for_each(|row| facts.said(row))?;
            Ok::<_, VerifyError>(())
        });
        Ok(read.await?)
    }
}

fn day_of(key: &str) -> Option<Day> {
    match CatalogKey::parse(key)? {
        CatalogKey::Day(key) => Some(key.day),
        CatalogKey::Row(key) => Some(key.row.day()),
    }
}

/// What an error says of this object alone. An error that is of the whole archive stays one.
fn of_object(error: StoreError) -> Result<String, StoreError> {
    match error.may_be_of_object() {
        true => Ok(error.to_string()),
        false => Err(error),
    }
}
