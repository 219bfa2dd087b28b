//! Places for requests that are served at the same time. Further requests wait a moment for one.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::retry::Deadline;

/// Requests served at the same time, each with its complete body.
const MAX_REQUESTS: usize = 64;

/// HTTP requests that wait for a place. All events of an availability zone come at once, and a sender
/// whose request is refused sends it again after a pause that doubles each time. Their bodies count
/// towards the bytes that are held of all senders.
const MAX_WAITING: usize = 1024;

/// Longest wait of an HTTP request. Its sender waits at least 2 s for the answer. An event needs the
/// rest.
const WAIT_TIME: Duration = Duration::from_millis(1200);

/// The places of one process.
#[derive(Debug)]
pub struct Places {
    places: Semaphore,
    waiting: Semaphore,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    _permit: SemaphorePermit<'a>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            places: Semaphore::new(MAX_REQUESTS),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

impl Places {
    /// For a request over HTTP. `None` if it had to wait for too long, or too many wait already.
    pub async fn take_soon(&self) -> Option<Place<'_>> {
        if let Ok(permit) = self.places.try_acquire() {
            return Some(Place { _permit: permit });
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        self.take_by(Deadline::after(WAIT_TIME)).await
    }

    /// For a request that must not be refused while there is time.
    pub async fn take_by(&self, deadline: Deadline) -> Option<Place<'_>> {
        let permit = tokio::time::timeout(deadline.remaining(), self.places.acquire());
        let permit = permit.await.ok()?.ok()?;
        Some(Place { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::Instant;

    use super::*;

    async fn all(places: &Places) -> Vec<Place<'_>> {
        let taken = join_all((0..MAX_REQUESTS).map(|_| places.take_soon())).await;
        taken.into_iter().map(Option::unwrap).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_place_waits_for_one_and_then_is_refused() {
        let places = Places::default();
        let mut taken = all(&places).await;
        let began = Instant::now();
        assert!(places.take_soon().await.is_none());
        assert_eq!(began.elapsed().as_millis(), WAIT_TIME.as_millis());
        let (waited, ()) = tokio::join!(places.take_soon(), async { drop(taken.pop()) });
        assert!(waited.is_some());
        assert_eq!(began.elapsed().as_millis(), WAIT_TIME.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_requests_wait() {
        let places = Places::default();
        let _taken = all(&places).await;
        let began = Instant::now();
        let refused_at = join_all((0..=MAX_WAITING).map(async |_| {
            assert!(places.take_soon().await.is_none());
            began.elapsed().as_millis()
        }));
        let refused_at = refused_at.await;
        let at_once = refused_at.iter().filter(|after| **after == 0).count();
        assert_eq!(at_once, 1);
    }
}
