//! A store that refuses single objects does not end a run that has others to do.
//!
//! A policy may deny objects by their names or tags, and the answer is the same as to a key that may do nothing. What
//! else the store has answered tells one from the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Object, PutOutcome, Store, StoreError, hand_over};

/// So many refusals without a single success, and the store refuses everything.
const MAX_REFUSED: u64 = 1000;

/// A store of which an object that is refused fails by itself: its error [is of it](StoreError::is_of_object).
pub struct PastRefused<'a, S> {
    store: &'a S,
    reads: Tally,
    writes: Tally,
}

/// What became of calls of one kind.
#[derive(Default)]
struct Tally {
    has_succeeded: AtomicBool,
    refused: AtomicU64,
    first: Mutex<Option<StoreError>>,
}

impl Tally {
    /// Notes what became of a call. `is_passed` says of an error of a folder whether it may be of one file.
    fn note<T>(
        &self,
        done: Result<T, StoreError>,
        is_passed: impl Fn(&StoreError) -> bool,
    ) -> Result<T, StoreError> {
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
        let mut noted = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get_or_insert(first);
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        Err(match self.refuses_all() && refused >= MAX_REFUSED {
            true => error,
            false => StoreError::OfObject(Box::new(error)),
        })
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
        }
    }

    /// Checks, once a run is over, that the store did not refuse all there was to read, or to write.
    ///
    /// # Errors
    /// The first refusal.
    pub fn check(&self) -> Result<(), StoreError> {
        let first = self.reads.first().or_else(|| self.writes.first());
        first.map_or(Ok(()), Err)
    }
}

impl<S: Store> Store for PastRefused<'_, S> {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let put = self.store.put_if_absent(key, object).await;
        self.writes.note(put, StoreError::has_no_place)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.reads
            .note(self.store.get(key).await, StoreError::is_of_object)
    }

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.reads
            .note(self.store.body(key).await, StoreError::is_of_object)
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        self.reads
            .note(self.store.metadata(key).await, StoreError::is_of_object)
    }

    hand_over!(self, self.store; delete, removes_at_once, delete_all, list, sorts, url);
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
