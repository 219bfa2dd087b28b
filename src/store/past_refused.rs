//! A store that refuses single objects, or fails at them, does not end a run that has others to do.
//!
//! A policy may deny objects by their names or tags, and the answer is the same as to a key that may do nothing. What
//! else the store has answered tells one from the other.
//!
//! An object may be lost in a store, which then answers 500 or 503 for it however often it is asked. A listing tells
//! whether the store as a whole has failed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Object, PutOutcome, Removed, Store, StoreError, hand_over};

/// So many refusals without a single success, and the store refuses everything.
const MAX_REFUSED: u64 = 1000;
/// So many objects that fail one after the other, and the store has failed, although it lists them. Each was tried for
/// many seconds.
const MAX_FAILED: u64 = 20;

/// A store of which an object that is refused or fails, however often it is tried, fails by itself: its error
/// [is of it](StoreError::is_of_object). The store within tries again what may pass.
pub struct PastRefused<'a, S> {
    store: &'a S,
    reads: Tally,
    writes: Tally,
    removals: Tally,
}

/// What became of calls of one kind.
#[derive(Default)]
struct Tally {
    has_succeeded: AtomicBool,
    refused: AtomicU64,
    /// Objects that failed since one did not.
    failed: AtomicU64,
    first: Mutex<Option<StoreError>>,
}

impl Tally {
    /// Notes what became of a call. `is_passed` says of an error of a folder whether it may be of one file.
    fn note<T>(
        &self,
        done: Result<T, StoreError>,
        is_passed: impl Fn(&StoreError) -> bool,
    ) -> Result<T, StoreError> {
        self.failed.store(0, Ordering::Relaxed);
        let error = match done {
            Ok(done) => {
                self.has_succeeded.store(true, Ordering::Relaxed);
                return Ok(done);
            }
            Err(error) => error,
        };
        let first = match &error {
            StoreError::Denied(refusal) if error.may_be_of_object() => {
                StoreError::Denied(refusal.clone())
            }
            StoreError::Rejected(refusal) => StoreError::Rejected(refusal.clone()),
            StoreError::Io { path, cause } if is_passed(&error) => StoreError::Io {
                path: path.clone(),
                cause: cause.kind().into(),
            },
            _ => return Err(error),
        };
        self.note_first(first);
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        Err(match self.refuses_all() && refused >= MAX_REFUSED {
            true => error,
            false => StoreError::OfObject(Box::new(error)),
        })
    }

    /// Notes that a call failed, as it was the store within. Whether the object alone may be the reason.
    fn note_failed(&self, told: &str) -> bool {
        self.note_first(StoreError::Unavailable(told.to_owned()));
        self.failed.fetch_add(1, Ordering::Relaxed) + 1 < MAX_FAILED
    }

    fn note_first(&self, error: StoreError) {
        let mut noted = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get_or_insert(error);
    }

    fn refuses_all(&self) -> bool {
        !self.has_succeeded.load(Ordering::Relaxed)
    }

    fn first(&self) -> Option<StoreError> {
        let mut noted = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        noted.take().filter(|_| self.refuses_all())
    }
}

impl<'a, S: Store> PastRefused<'a, S> {
    /// Around this store.
    pub fn new(store: &'a S) -> Self {
        Self {
            store,
            reads: Tally::default(),
            writes: Tally::default(),
            removals: Tally::default(),
        }
    }

    /// Notes what became of a call for an object.
    async fn note<T>(
        &self,
        tally: &Tally,
        key: &str,
        done: Result<T, StoreError>,
        is_passed: impl Fn(&StoreError) -> bool,
    ) -> Result<T, StoreError> {
        match done {
            Err(StoreError::Unavailable(told)) => {
                let is_alone = tally.note_failed(&told) && self.answers(key).await;
                let error = StoreError::Unavailable(told);
                Err(match is_alone {
                    true => StoreError::OfObject(Box::new(error)),
                    false => error,
                })
            }
            done => tally.note(done, is_passed),
        }
    }

    async fn note_read<T>(&self, key: &str, read: Result<T, StoreError>) -> Result<T, StoreError> {
        let is_passed = StoreError::is_of_object;
        self.note(&self.reads, key, read, is_passed).await
    }

    /// Notes what became of objects that were to be removed. One that may not be is told by its own error.
    async fn note_removals(
        &self,
        keys: &[String],
        removed: Vec<Result<Removed, StoreError>>,
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        let mut noted = Vec::with_capacity(removed.len());
        for (key, one) in keys.iter().zip(removed) {
            let has_failed = matches!(one, Err(StoreError::Unavailable(_)));
            if !has_failed {
                self.removals.failed.store(0, Ordering::Relaxed);
                noted.push(one);
                continue;
            }
            match self.note(&self.removals, key, one, |_| false).await {
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                one => noted.push(one),
            }
        }
        Ok(noted)
    }

    /// Whether the store answers at all, while this object fails.
    async fn answers(&self, key: &str) -> bool {
        let listed = self.store.list(key, None, None).await;
        matches!(listed, Ok(_) | Err(StoreError::Denied(_)))
    }

    /// Checks, once a run is over, that the store did not refuse all there was to read, or to write.
    ///
    /// # Errors
    /// The first refusal or failure.
    pub fn check(&self) -> Result<(), StoreError> {
        let first = self.reads.first().or_else(|| self.writes.first());
        first.map_or(Ok(()), Err)
    }
}

impl<S: Store> Store for PastRefused<'_, S> {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let put = self.store.put_if_absent(key, object).await;
        let is_passed = StoreError::has_no_place;
        self.note(&self.writes, key, put, is_passed).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.note_read(key, self.store.get(key).await).await
    }

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.note_read(key, self.store.body(key).await).await
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        self.note_read(key, self.store.metadata(key).await).await
    }

    async fn delete_all(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        match self.store.delete_all(keys).await {
            // One of them may be the reason.
            Err(StoreError::Unavailable(_)) if keys.len() > 1 && self.answers(&keys[0]).await => {
                let mut removed = Vec::with_capacity(keys.len());
                for key in keys.chunks(1) {
                    let alone = self.store.delete_all(key).await;
                    let alone = alone.unwrap_or_else(|error| vec![Err(error)]);
                    removed.extend(self.note_removals(key, alone).await?);
                }
                Ok(removed)
            }
            Err(error @ StoreError::Unavailable(_)) if keys.len() == 1 => {
                self.note_removals(keys, vec![Err(error)]).await
            }
            removed => self.note_removals(keys, removed?).await,
        }
    }

    hand_over!(self, self.store; delete, removes_at_once, list, sorts, url);
    #[cfg(feature = "cli")]
    hand_over!(self, self.store; strays);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    fn refused(code: &str) -> Result<(), StoreError> {
        Err(StoreError::Denied(Refusal {
            status: 403,
            code: code.to_owned(),
            account: code.to_owned(),
        }))
    }

    #[track_caller]
    fn check(tally: &Tally, code: &str, is_of_object: bool) {
        let error = tally.note(refused(code), |_| false).unwrap_err();
        assert_eq!(error.is_of_object(), is_of_object);
        assert_eq!(error.to_string(), refused(code).unwrap_err().to_string());
    }

    #[test]
    fn a_refusal_is_of_its_object_unless_nothing_else_succeeds() {
        let tally = Tally::default();
        check(&tally, "InvalidAccessKeyId", false);
        for _ in 1..MAX_REFUSED {
            check(&tally, "AccessDenied", true);
        }
        check(&tally, "AccessDenied", false);
        tally.note(Ok(()), |_| false).unwrap();
        check(&tally, "AccessDenied", true);
        assert!(tally.first().is_none());
    }

    /// A folder that nobody may write to takes nothing, and one with a file in the place of a folder takes the rest.
    #[test]
    fn an_error_of_a_folder_is_of_a_file_where_it_may_be() {
        let tally = Tally::default();
        for (kind, is_of_object) in [
            (std::io::ErrorKind::PermissionDenied, true),
            (std::io::ErrorKind::NotADirectory, true),
            (std::io::ErrorKind::ReadOnlyFilesystem, false),
            (std::io::ErrorKind::StorageFull, false),
        ] {
            let failed = StoreError::Io {
                path: "/kept/i-a1".into(),
                cause: kind.into(),
            };
            let error = tally.note::<()>(Err(failed), StoreError::has_no_place);
            let is_noted = matches!(error, Err(StoreError::OfObject(_)));
            assert_eq!(is_noted, is_of_object, "{kind}");
        }
        let first = tally.first().unwrap().to_string();
        assert!(first.contains("/kept/i-a1: permission denied"), "{first}");
    }

    #[test]
    fn a_store_that_refuses_everything_is_told() {
        let tally = Tally::default();
        assert!(tally.first().is_none());
        check(&tally, "AccessDenied", true);
        assert!(matches!(tally.first(), Some(StoreError::Denied(_))));
    }
}
