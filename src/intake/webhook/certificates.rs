//! Caches fetched certificates and failed fetches. Unknown senders choose the certificate's
//! address, so the number of requests is limited.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::{Certificate, CertificateUrl};

/// How long a certificate is cached. EventBridge changes certificates rarely, and under new names.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// How long a failure is cached, so that pushes of unknown senders do not each cause a request.
const FAILED_FOR: Duration = Duration::from_mins(1);
/// Senders choose the names of certificates, so the number of requests for new names is limited,
/// too.
const MAX_FETCHES_A_MINUTE: usize = 12;
/// Most certificates in the cache. EventBridge has some 25 regions, with two hosts each.
const MAX_KEPT: usize = 64;

/// The result of a fetch: the certificate, or why there is none.
pub(super) type Fetched = Result<Certificate, String>;
/// A running fetch. Everyone who waits for it shares it.
pub(super) type Fetching = Shared<BoxFuture<'static, Fetched>>;

/// The cache. The caller passes in the time.
#[derive(Default)]
pub(super) struct Certificates {
    slots: BTreeMap<CertificateUrl, Slot>,
    /// When the fetches of the last minute started, oldest first.
    begun: Vec<Instant>,
}

struct Slot {
    fetching: Fetching,
    begun: Instant,
}

impl Slot {
    /// Whether the entry has expired. A running fetch has not.
    fn is_over(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.begun);
        match self.fetching.peek() {
            None => false,
            Some(Ok(_)) => age >= KEPT_FOR,
            Some(Err(_)) => age >= FAILED_FOR,
        }
    }
}

impl Certificates {
    /// Returns the cached result for `url`, or the running fetch. If there is neither, starts one
    /// with `fetch`.
    ///
    /// # Errors
    /// If too many fetches were started within a minute.
    pub(super) fn get(
        &mut self,
        url: &CertificateUrl,
        now: Instant,
        fetch: impl FnOnce() -> BoxFuture<'static, Fetched>,
    ) -> Result<Fetching, String> {
        self.slots.retain(|_, slot| !slot.is_over(now));
        if let Some(slot) = self.slots.get(url) {
            return Ok(slot.fetching.clone());
        }
        self.begun
            .retain(|begun| now.saturating_duration_since(*begun) < Duration::from_mins(1));
        if self.begun.len() >= MAX_FETCHES_A_MINUTE {
            return Err("too many other certificates were requested within a minute".to_owned());
        }
        self.make_room();
        self.begun.push(now);
        let fetching = fetch().shared();
        let slot = Slot {
            fetching: fetching.clone(),
            begun: now,
        };
        self.slots.insert(url.clone(), slot);
        Ok(fetching)
    }

    /// Removes failures first, because unknown senders can cause them.
    fn make_room(&mut self) {
        while self.slots.len() >= MAX_KEPT {
            let oldest = self.slots.iter().min_by_key(|(_, slot)| {
                let is_certificate = matches!(slot.fetching.peek(), Some(Ok(_)));
                (is_certificate, slot.begun)
            });
            let Some(url) = oldest.map(|(url, _)| url.clone()) else {
                return;
            };
            self.slots.remove(&url);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn url(name: usize) -> CertificateUrl {
        let host = "https://cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com";
        let text = format!("{host}/x509_public_certificate_{name}.pem");
        CertificateUrl::parse(&text, None).unwrap()
    }

    fn certificate() -> Certificate {
        let pem = include_bytes!("../../../tests/fixtures/webhook/certificate.pem");
        Certificate::from_pem(pem).unwrap()
    }

    /// Counts the fetches.
    #[derive(Clone, Default)]
    struct Fetcher(Arc<AtomicUsize>);

    impl Fetcher {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        /// A fetch takes two seconds.
        fn fetch(&self, fetched: Fetched) -> BoxFuture<'static, Fetched> {
            self.0.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                fetched
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_at_once_shares_one_fetch_and_a_certificate_is_kept_for_a_day() {
        let (fetcher, mut certificates) = (Fetcher::default(), Certificates::default());
        let mut get = |now| {
            let fetch = || fetcher.fetch(Ok(certificate()));
            certificates.get(&url(1), now, fetch).unwrap()
        };
        let start = Instant::now();
        let waiting: Vec<_> = (0..40).map(|_| get(start)).collect();
        for fetched in futures_util::future::join_all(waiting).await {
            assert_eq!(fetched, Ok(certificate()));
        }
        let nearly = Duration::from_hours(24) - Duration::from_secs(1);
        get(start + nearly).await.unwrap();
        assert_eq!(fetcher.count(), 1);
        get(start + Duration::from_hours(24)).await.unwrap();
        assert_eq!(fetcher.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_remembered_for_a_minute() {
        let (fetcher, mut certificates) = (Fetcher::default(), Certificates::default());
        let mut get = |now| {
            let fetch = || fetcher.fetch(Err("status 404".to_owned()));
            certificates.get(&url(1), now, fetch).unwrap()
        };
        let start = Instant::now();
        for second in 0..60 {
            let failed = get(start + Duration::from_secs(second)).await;
            assert_eq!(failed, Err("status 404".to_owned()));
        }
        assert_eq!(fetcher.count(), 1);
        get(start + Duration::from_mins(1)).await.unwrap_err();
        assert_eq!(fetcher.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn invented_names_lead_to_a_dozen_fetches_a_minute_and_push_out_no_certificate() {
        let (fetcher, mut certificates) = (Fetcher::default(), Certificates::default());
        let start = Instant::now();
        let fetch = || fetcher.fetch(Ok(certificate()));
        let kept = certificates.get(&url(0), start, fetch).unwrap();
        kept.await.unwrap();
        let mut refused = 0;
        for minute in 0..30 {
            let now = start + Duration::from_mins(minute);
            for name in 0..100 {
                let name = 1 + name + 100 * usize::try_from(minute).unwrap();
                let fetch = || fetcher.fetch(Err("status 404".to_owned()));
                match certificates.get(&url(name), now, fetch) {
                    Ok(fetching) => drop(fetching.await),
                    Err(_) => refused += 1,
                }
                assert!(certificates.slots.len() <= MAX_KEPT);
            }
            assert!(certificates.begun.len() <= MAX_FETCHES_A_MINUTE);
        }
        assert_eq!(fetcher.count(), 30 * MAX_FETCHES_A_MINUTE);
        assert_eq!(refused, 30 * (100 - MAX_FETCHES_A_MINUTE) + 1);
        // The cached certificate is served, whatever unknown senders ask for.
        let now = start + Duration::from_mins(29);
        let known = certificates.get(&url(0), now, || unreachable!());
        assert_eq!(known.unwrap().await, Ok(certificate()));
    }
}
