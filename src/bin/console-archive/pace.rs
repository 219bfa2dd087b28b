//! How many objects are read or written at once: many, and fewer where a store asks for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ecs_console_archiver::hand_over;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::{Object, PutOutcome, Removed, Store, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Most objects that are read at once. S3 answers 5500 reads a second of a prefix and more.
pub const MOST_AT_ONCE: usize = 64;

/// What all threads that read share. It halves when a store throttles or fails, and grows by one once as many
/// reads as it allows have succeeded, as TCP does. Reads begin in the order in which they were asked for.
#[derive(Debug)]
pub struct Pace {
    turns: Semaphore,
    now: Mutex<Now>,
    /// How often a read failed and was tried again.
    pub retries: AtomicU64,
}

#[derive(Debug)]
struct Now {
    allowed: f64,
    /// Turns that there are: those that are taken, and those that nobody has.
    turns: usize,
}

impl Pace {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Semaphore::new(MOST_AT_ONCE),
            now: Mutex::new(Now {
                allowed: MOST_AT_ONCE as f64,
                turns: MOST_AT_ONCE,
            }),
            retries: AtomicU64::new(0),
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more may be read.
    async fn turn(&self) -> Turn<'_> {
        Turn {
            pace: self,
            permit: self.turns.acquire().await.ok(), // Nobody closes it, so this is one.
        }
    }

    fn note<T>(&self, read: &Result<T, StoreError>) {
        let has_failed = matches!(read, Err(StoreError::Unavailable(_)));
        if has_failed {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        let mut now = self.now();
        now.allowed = match has_failed {
            true => (now.allowed / 2.0).max(1.0),
            false => (now.allowed + 1.0 / now.allowed).min(MOST_AT_ONCE as f64),
        };
        let allowed = now.allowed as usize;
        if now.turns < allowed {
            self.turns.add_permits(allowed - now.turns);
            now.turns = allowed;
        } else {
            // Of those that are taken, each ends when it is given back.
            now.turns -= self.turns.forget_permits(now.turns - allowed);
        }
    }
}

/// Leave to read one object. It is given back also if nobody waits for the read any more.
struct Turn<'a> {
    pace: &'a Pace,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut now = self.pace.now();
        if let (true, Some(permit)) = (now.turns > now.allowed as usize, self.permit.take()) {
            permit.forget();
            now.turns -= 1;
        }
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
        let _turn = self.pace.turn().await;
        let read = read().await;
        self.pace.note(&read);
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

    async fn delete_all(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        self.at_its_pace(|| self.store.delete_all(keys)).await
    }

    hand_over!(self, self.store; delete, list, strays, sorts, url, removes_at_once);
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
    hand_over!(self, self.retrying(); get, body, put_if_absent, metadata, delete, delete_all, list, strays);
    hand_over!(self, self.store; sorts, url, removes_at_once);
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// All turns that can be had.
    fn turns(pace: &Pace) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| pace.turn().now_or_never()).collect()
    }

    fn failed() -> Result<(), StoreError> {
        Err(StoreError::Unavailable("503".into()))
    }

    #[test]
    fn a_store_that_fails_is_asked_less_and_a_store_that_answers_more() {
        let pace = Pace::new();
        assert_eq!(turns(&pace).len(), MOST_AT_ONCE);
        for _ in 0..2 {
            pace.note(&failed());
        }
        assert_eq!(turns(&pace).len(), MOST_AT_ONCE / 4);
        for _ in 0..MOST_AT_ONCE / 4 + 1 {
            pace.note(&Ok(()));
        }
        assert_eq!(turns(&pace).len(), MOST_AT_ONCE / 4 + 1);
        for _ in 0..99 {
            pace.note(&failed());
        }
        assert_eq!(turns(&pace).len(), 1);
        assert_eq!(pace.retries.load(Ordering::Relaxed), 101);
    }

    #[test]
    fn reads_that_are_on_their_way_count_when_a_store_asks_for_less() {
        let pace = Pace::new();
        let mut on_their_way = turns(&pace);
        pace.note(&failed());
        on_their_way.truncate(MOST_AT_ONCE / 2);
        assert_eq!(turns(&pace).len(), 0);
        on_their_way.truncate(MOST_AT_ONCE / 2 - 1);
        assert_eq!(turns(&pace).len(), 1);
    }

    /// As when the time for it is over: a read that is given up must not count for ever.
    #[test]
    fn a_read_that_is_given_up_gives_its_turn_back() {
        let paced = Paced {
            store: (),
            pace: Pace::new(),
        };
        for _ in 0..=MOST_AT_ONCE {
            let read = paced.at_its_pace(std::future::pending::<Result<(), _>>);
            assert!(read.now_or_never().is_none());
        }
        assert_eq!(turns(&paced.pace).len(), MOST_AT_ONCE);
    }

    #[test]
    fn whoever_waits_longest_is_next() {
        let pace = Pace::new();
        let mut taken = turns(&pace);
        let (mut first, mut second) = (Box::pin(pace.turn()), Box::pin(pace.turn()));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        taken.pop();
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut first).now_or_never().is_some());
    }
}
