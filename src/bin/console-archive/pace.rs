//! How many objects are read or written at once: many, and fewer where a store asks for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::{Object, Page, PutOutcome, Store, StoreError, Stray};
use tokio::sync::Notify;

/// Most objects that are read at once. S3 answers 5500 reads a second of a prefix and more.
pub const MOST_AT_ONCE: usize = 64;

/// What all threads that read share. It halves when a store throttles or fails, and grows by one once as many
/// reads as it allows have succeeded, as TCP does.
#[derive(Debug)]
pub struct Pace {
    now: Mutex<Now>,
    /// A read has ended.
    ended: Notify,
    /// How often a read failed and was tried again.
    pub retries: AtomicU64,
}

#[derive(Debug)]
struct Now {
    allowed: f64,
    reading: usize,
}

impl Pace {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(Now {
                allowed: MOST_AT_ONCE as f64,
                reading: 0,
            }),
            ended: Notify::new(),
            retries: AtomicU64::new(0),
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> bool {
        let mut now = self.now();
        let may_begin = now.reading < now.allowed as usize;
        now.reading += usize::from(may_begin);
        may_begin
    }

    fn end<T>(&self, read: &Result<T, StoreError>) {
        let mut now = self.now();
        now.reading -= 1;
        now.allowed = match read {
            Err(StoreError::Unavailable(_)) => (now.allowed / 2.0).max(1.0),
            _ => (now.allowed + 1.0 / now.allowed).min(MOST_AT_ONCE as f64),
        };
        drop(now);
        if matches!(read, Err(StoreError::Unavailable(_))) {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.notify_waiters();
    }
}

/// A store that is read at a pace.
pub struct Paced<S> {
    pub store: S,
    pub pace: Arc<Pace>,
}

impl<S> Paced<S> {
    async fn at_its_pace<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        read: impl FnOnce() -> F,
    ) -> Result<T, StoreError> {
        loop {
            let ended = self.pace.ended.notified();
            if self.pace.begin() {
                break;
            }
            ended.await;
        }
        let read = read().await;
        self.pace.end(&read);
        read
    }
}

impl<S: Store> Store for Paced<S> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.at_its_pace(|| self.store.get(key)).await
    }

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.at_its_pace(|| self.store.body(key)).await
    }

    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        self.at_its_pace(|| self.store.put_if_absent(key, object))
            .await
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        self.at_its_pace(|| self.store.metadata(key)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.store.delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        self.store.list(prefix, after, next).await
    }

    async fn strays(&self, prefix: &str) -> Result<Vec<Stray>, StoreError> {
        self.store.strays(prefix).await
    }

    fn sorts(&self) -> bool {
        self.store.sorts()
    }

    fn url(&self, key: &str) -> String {
        self.store.url(key)
    }
}

/// A store whose calls are tried again, each for so long. A run of hours has no better bound.
pub struct Patient<S> {
    pub store: Paced<S>,
    pub time: Duration,
}

impl<S: Store> Patient<S> {
    fn retrying(&self) -> Retrying<'_, Paced<S>> {
        Retrying::new(&self.store, Deadline::after(self.time))
    }
}

impl<S: Store> Store for Patient<S> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        self.retrying().get(key).await
    }

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.retrying().body(key).await
    }

    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        self.retrying().put_if_absent(key, object).await
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        self.retrying().metadata(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.retrying().delete(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        self.retrying().list(prefix, after, next).await
    }

    async fn strays(&self, prefix: &str) -> Result<Vec<Stray>, StoreError> {
        self.retrying().strays(prefix).await
    }

    fn sorts(&self) -> bool {
        self.store.sorts()
    }

    fn url(&self, key: &str) -> String {
        self.store.url(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_is_asked_less_and_a_store_that_answers_more() {
        let pace = Pace::new();
        let allowed = || {
            let mut count = 0;
            while pace.begin() {
                count += 1;
            }
            pace.now().reading -= count;
            count
        };
        assert_eq!(allowed(), MOST_AT_ONCE);
        let failed: Result<(), _> = Err(StoreError::Unavailable("503".into()));
        for _ in 0..2 {
            assert!(pace.begin());
            pace.end(&failed);
        }
        assert_eq!(allowed(), MOST_AT_ONCE / 4);
        for _ in 0..MOST_AT_ONCE / 4 + 1 {
            assert!(pace.begin());
            pace.end(&Ok(()));
        }
        assert_eq!(allowed(), MOST_AT_ONCE / 4 + 1);
        for _ in 0..99 {
            assert!(pace.begin());
            pace.end(&failed);
        }
        assert_eq!((allowed(), pace.retries.load(Ordering::Relaxed)), (1, 101));
    }
}
