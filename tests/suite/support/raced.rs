//! A store in memory that several actors use at once, each of which may be killed at any of its calls. Time
//! is tokio's paused clock: each call takes a random time before and after its effect, so that a seed decides
//! how the actors' calls mix, and each run can be had again.
//!
//! It is as S3 and OSS are with conditions: a PUT creates or says that the object exists, a removal of what
//! is not there succeeds, and a listing shows all that was acknowledged before it. Or it is as stores without conditions
//! may be: who writes looks first, a PUT replaces what is there, and listings are not sorted.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecs_console_archiver::refusal::Refusal;
use ecs_console_archiver::store::{Entry, Object, Page, PutOutcome, Removed, Store, StoreError};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Objects in a page of a listing.
const PAGE: usize = 7;
/// Longest time of half a call, in milliseconds.
const MOST_MS: u64 = 40;

#[derive(Default)]
struct Shared {
    objects: BTreeMap<String, (Object, Timestamp)>,
    /// Removals are refused, as by Object Lock.
    is_locked: bool,
    /// Keys under which other bytes came than the object has.
    differing: Vec<String>,
    /// So many bytes fit in it, as on a disk.
    room: Option<usize>,
    /// Objects that one request removes; one, if it is zero.
    removes_at_once: usize,
    /// Without conditions, and without an order of listings.
    is_basic: bool,
}

impl Shared {
    fn bytes(&self) -> usize {
        let objects = self.objects.values();
        objects.map(|(object, _)| object.body.len()).sum()
    }
}

/// What the actors share.
#[derive(Clone)]
pub struct World {
    shared: Arc<Mutex<Shared>>,
    began: (Timestamp, Instant),
}

impl World {
    /// The store's clock says `now`.
    pub fn begin(now: Timestamp) -> Self {
        Self {
            shared: Arc::default(),
            began: (now, Instant::now()),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.began.0 + self.began.1.elapsed()
    }

    /// Keys under which other bytes came than the object has.
    pub fn differing(&self) -> Vec<String> {
        self.shared.lock().unwrap().differing.clone()
    }

    pub fn lock(&self) {
        self.shared.lock().unwrap().is_locked = true;
    }

    /// One request removes so many objects.
    pub fn remove_at_once(&self, count: usize) {
        self.shared.lock().unwrap().removes_at_once = count;
    }

    /// It knows no conditions, and does not sort.
    pub fn be_basic(&self) {
        self.shared.lock().unwrap().is_basic = true;
    }

    /// It has room for so many bytes more.
    pub fn fill(&self, free: usize) {
        let mut shared = self.shared.lock().unwrap();
        shared.room = Some(shared.bytes() + free);
    }

    /// Objects of records, markers and verdicts, by key.
    pub fn keys(&self) -> Vec<String> {
        self.shared
            .lock()
            .unwrap()
            .objects
            .keys()
            .cloned()
            .collect()
    }

    pub fn object(&self, key: &str) -> Object {
        self.shared.lock().unwrap().objects[key].0.clone()
    }

    pub fn put(&self, key: &str, object: Object) {
        let now = self.now();
        let mut shared = self.shared.lock().unwrap();
        shared.objects.insert(key.to_owned(), (object, now));
    }

    pub fn remove(&self, key: &str) {
        self.shared.lock().unwrap().objects.remove(key);
    }
}

/// One actor's way to the store.
#[derive(Clone)]
pub struct Actor {
    world: World,
    /// The call at which it is killed, from 1 on, and whether that call still has its effect.
    dies_at: Option<(usize, bool)>,
    calls: Arc<Mutex<usize>>,
    died: Arc<Notify>,
}

impl Actor {
    pub fn new(world: &World, dies_at: Option<(usize, bool)>) -> Self {
        Self {
            world: world.clone(),
            dies_at,
            calls: Arc::default(),
            died: Arc::default(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Runs its work until it ends or dies. `None` if it died.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.died.notified() => None,
        }
    }

    async fn call<T>(&self, effect: impl FnOnce(&mut Shared, Timestamp) -> T) -> T {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        let dies = self.dies_at.filter(|(at, _)| *at == number);
        sleep(Duration::from_millis(fastrand::u64(0..MOST_MS))).await;
        if let Some((_, false)) = dies {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        let now = self.world.now();
        let done = effect(&mut self.world.shared.lock().unwrap(), now);
        if dies.is_some() {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(fastrand::u64(0..MOST_MS))).await;
        done
    }
}

fn denied() -> StoreError {
    StoreError::Denied(Refusal {
        status: 403,
        code: "AccessDenied".to_owned(),
        account: "DeleteObject returned 403 AccessDenied".to_owned(),
    })
}

impl Store for Actor {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let is_basic = self.world.shared.lock().unwrap().is_basic;
        let is_there = |shared: &mut Shared, _| shared.objects.contains_key(key);
        if is_basic && self.call(is_there).await {
            return Ok(PutOutcome::Exists);
        }
        self.call(|shared, now| {
            if let Some((found, _)) = shared.objects.get(key) {
                // What a record's metadata says is of the first event that stored it.
                let is_same = found.body == object.body;
                shared.differing.extend((!is_same).then(|| key.to_owned()));
                if !is_basic {
                    return Ok(PutOutcome::Exists);
                }
            }
            if let Some(room) = shared.room
                && shared.bytes() + object.body.len() > room
            {
                return Err(StoreError::Io {
                    path: key.into(),
                    cause: ErrorKind::StorageFull.into(),
                });
            }
            shared.objects.insert(key.to_owned(), (object.clone(), now));
            Ok(PutOutcome::Created)
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let get =
            |shared: &mut Shared, _| shared.objects.get(key).map(|(object, _)| object.clone());
        Ok(self.call(get).await)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(|shared, _| {
            if shared.is_locked {
                return Err(denied());
            }
            shared.objects.remove(key);
            Ok(())
        })
        .await
    }

    fn removes_at_once(&self) -> usize {
        self.world.shared.lock().unwrap().removes_at_once.max(1)
    }

    /// Of a request in which the actor dies, a part has its effect.
    async fn delete_all(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        if self.removes_at_once() == 1 {
            let mut removed = Vec::new();
            for key in keys {
                removed.push(self.delete(key).await.map(|()| Removed::Gone));
            }
            return Ok(removed);
        }
        let next = *self.calls.lock().unwrap() + 1;
        let dies = self.dies_at.is_some_and(|(at, _)| at == next);
        let is_done = |_: &&String| !dies || fastrand::bool();
        let done: Vec<_> = keys.iter().filter(is_done).collect();
        Ok(self
            .call(|shared, _| {
                if shared.is_locked {
                    return keys.iter().map(|_| Err(denied())).collect();
                }
                for key in done {
                    shared.objects.remove(key);
                }
                keys.iter().map(|_| Ok(Removed::Gone)).collect()
            })
            .await)
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        let is_basic = self.world.shared.lock().unwrap().is_basic;
        let token = next;
        let after = next.filter(|_| !is_basic).or(after).unwrap_or_default();
        Ok(self
            .call(|shared, _| {
                let below = shared.objects.iter();
                let below =
                    below.filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
                // The last key comes first.
                let mut below: Box<dyn Iterator<Item = _>> = match is_basic {
                    true => Box::new(
                        below
                            .rev()
                            .filter(|(key, _)| token.is_none_or(|token| key.as_str() < token)),
                    ),
                    false => Box::new(below),
                };
                let mut entries: Vec<_> = (below.by_ref().take(PAGE))
                    .map(|(key, (object, stored_at))| Entry {
                        key: key.clone(),
                        bytes: object.body.len() as u64,
                        // In whole seconds, as S3 and OSS list them.
                        stored_at: Timestamp::from_second(stored_at.as_second()).unwrap(),
                    })
                    .collect();
                let next = below
                    .next()
                    .and(entries.last())
                    .map(|entry| entry.key.clone());
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                Page {
                    entries,
                    next,
                    is_partial: false,
                }
            })
            .await)
    }

    fn sorts(&self) -> bool {
        !self.world.shared.lock().unwrap().is_basic
    }

    fn url(&self, key: &str) -> String {
        format!("memory:///{key}")
    }
}
