//! Authorizes pushes. Applies the policy, and fetches the certificates that it needs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::certificates::{Certificates, Fetched, Fetching};
use super::held_tokens::{HeldTokens, Next, Read, Reading};
use super::{
    Certificate, CertificateUrl, Headers, MAX_PUSH_BYTES, Refused, UrlPath, Verdict, WebhookPolicy,
    WebhookRequest, tokens,
};
use crate::clock::WallClock;
use crate::lock::lock;
use crate::model::credentials::Secret;

/// Time for a whole fetch, including the DNS look-up. The sender waits meanwhile.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest certificate that is read, in bytes. Certificates have one or two kilobytes.
const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// How long a push waits for tokens to be read again while there are others.
const REFRESH_TIME: Duration = Duration::from_secs(1);

/// Authorizes pushes. All clones share the fetched certificates, and the tokens of a secrets
/// manager.
#[derive(Clone)]
pub struct Gate {
    policy: Arc<WebhookPolicy>,
    managed: Option<Managed>,
    fetch: Arc<dyn Fetch>,
    certificates: Arc<Mutex<Certificates>>,
}

/// Reads the secret with the tokens, or says why it cannot be read.
pub type ReadTokens = dyn Fn() -> BoxFuture<'static, Result<Secret, String>> + Send + Sync;

/// The tokens that a secrets manager keeps.
#[derive(Clone)]
struct Managed {
    read: Arc<ReadTokens>,
    held: Arc<Mutex<HeldTokens>>,
    clock: WallClock,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy.fmt(f)
    }
}

/// Why a push is not served. Each variant is what the sender does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Do not send the push again: it is unauthorized.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Send it again: the certificate could not be fetched.
    #[error("EventBridge's certificate cannot be fetched: {0}")]
    NoCertificate(String),
    /// Send it again: the secret with the token could not be read.
    #[error("the webhook token cannot be read: {0}")]
    NoToken(String),
    /// Send less at once.
    #[error("the body has more than {MAX_PUSH_BYTES} bytes")]
    TooLarge,
}

/// A push whose headers and path are accepted.
#[derive(Debug)]
#[must_use = "the body is not checked yet"]
pub struct Admitted {
    verdict: Verdict,
    /// The policy that accepted them.
    policy: Arc<WebhookPolicy>,
}

impl Gate {
    /// A gate with this policy.
    pub fn new(policy: WebhookPolicy, http: reqwest::Client) -> Self {
        Self::with(policy, Arc::new(http))
    }

    fn with(policy: WebhookPolicy, fetch: Arc<dyn Fetch>) -> Self {
        let certificates = Arc::default();
        Self {
            policy: Arc::new(policy),
            managed: None,
            fetch,
            certificates,
        }
    }

    /// The same, with the tokens of a secret. Pushes need one of them. `read` reads it when it is
    /// first needed, and then again and again, so that tokens can be replaced while this process
    /// runs.
    pub fn with_managed_tokens(self, read: Arc<ReadTokens>) -> Self {
        self.with_timed_tokens(read, WallClock::default())
    }

    fn with_timed_tokens(self, read: Arc<ReadTokens>, clock: WallClock) -> Self {
        let held = Arc::default();
        Self {
            managed: Some(Managed { read, held, clock }),
            ..self
        }
    }

    /// Reads the tokens before the first push. A failure is only logged: each push tries again.
    pub async fn prepare(&self) {
        if let Err(error) = self.current_policy().await {
            warn!("{error}");
        }
    }

    /// Says who may send pushes, without a part of a token. Reads the tokens if a secrets manager
    /// keeps them.
    ///
    /// # Errors
    /// [`GateError::NoToken`] if they cannot be read.
    pub async fn describe(&self) -> Result<String, GateError> {
        Ok(self.current_policy().await?.describe())
    }

    /// Checks a push: headers, path and body.
    ///
    /// # Errors
    /// [`GateError`] if the push is not served.
    pub async fn check(&self, push: &WebhookRequest<'_>) -> Result<(), GateError> {
        let admitted = self
            .admit(push.headers, push.path, push.is_authenticated)
            .await?;
        self.check_body(admitted, push.headers, push.body).await
    }

    /// Checks the headers and the path, before the body is read.
    ///
    /// # Errors
    /// [`GateError`] if the push is not served, whatever its body is.
    pub async fn admit(
        &self,
        headers: &Headers,
        path: &UrlPath,
        is_authenticated: bool,
    ) -> Result<Admitted, GateError> {
        let judge = |policy: Arc<WebhookPolicy>| {
            let verdict = policy.judge(headers, path, is_authenticated, Timestamp::now())?;
            Ok::<_, Refused>(Admitted { verdict, policy })
        };
        let policy = self.current_policy().await?;
        match (judge(policy.clone()), &self.managed) {
            // The token may be a new one.
            (Err(Refused::WrongToken | Refused::Unsigned), Some(managed)) => {
                let policy = managed.read_after(&policy, &self.policy).await;
                Ok(judge(policy)?)
            }
            (judged, _) => Ok(judged?),
        }
    }

    async fn current_policy(&self) -> Result<Arc<WebhookPolicy>, GateError> {
        match &self.managed {
            Some(managed) => managed.current(&self.policy).await,
            None => Ok(self.policy.clone()),
        }
    }

    /// Checks the body of a push whose headers and path were accepted.
    ///
    /// # Errors
    /// [`GateError`] if the push is not served.
    pub async fn check_body(
        &self,
        admitted: Admitted,
        headers: &Headers,
        body: &[u8],
    ) -> Result<(), GateError> {
        if body.len() > MAX_PUSH_BYTES {
            return Err(GateError::TooLarge);
        }
        let Admitted { verdict, policy } = admitted;
        let Verdict::NeedsSignature(url) = verdict else {
            return Ok(());
        };
        // This check comes first, so that no certificate is fetched for other customers.
        policy.expects(body)?;
        let certificate = self.certificate(&url).await?;
        Ok(policy.verify(headers, body, &certificate)?)
    }

    async fn certificate(&self, url: &CertificateUrl) -> Result<Certificate, GateError> {
        let fetching = self.fetching(url);
        let fetched = match fetching {
            Ok(fetching) => fetching.await,
            Err(error) => Err(error),
        };
        fetched.map_err(GateError::NoCertificate)
    }

    fn fetching(&self, url: &CertificateUrl) -> Result<Fetching, String> {
        let mut certificates = lock(&self.certificates);
        let begin = || {
            let fetch = self.fetch.fetch(url.clone());
            // A separate task continues if the sender that caused it disconnects.
            let task = tokio::spawn(fetch_certificate(fetch));
            async move { task.await.unwrap_or_else(|error| Err(error.to_string())) }.boxed()
        };
        certificates.get(url, Instant::now(), begin)
    }
}

impl Managed {
    /// `policy` with the current tokens, or with the last good ones if they cannot be read.
    async fn current(&self, policy: &Arc<WebhookPolicy>) -> Result<Arc<WebhookPolicy>, GateError> {
        let next = self.held().current(self.clock.now(), || self.begin(policy));
        match next {
            Next::Use(policy) => Ok(policy),
            Next::Wait(reading, None) => reading.await.map_err(GateError::NoToken),
            Next::Wait(reading, Some(good)) => Ok(refreshed(reading, good).await),
        }
    }

    /// `policy` with tokens that were read after a push was refused by `refused`, or `refused`.
    async fn read_after(
        &self,
        refused: &Arc<WebhookPolicy>,
        policy: &Arc<WebhookPolicy>,
    ) -> Arc<WebhookPolicy> {
        let begin = || self.begin(policy);
        let next = self.held().after_refusal(refused, self.clock.now(), begin);
        match next {
            None => refused.clone(),
            Some(Next::Use(policy)) => policy,
            Some(Next::Wait(reading, _)) => refreshed(reading, refused.clone()).await,
        }
    }

    fn begin(&self, policy: &Arc<WebhookPolicy>) -> Reading {
        let (reading, policy) = ((self.read)(), policy.clone());
        // A separate task continues if the sender that caused it disconnects.
        let task = tokio::spawn(read_tokens(reading, policy));
        let read = async move { task.await.unwrap_or_else(|error| Err(error.to_string())) };
        read.boxed().shared()
    }

    fn held(&self) -> MutexGuard<'_, HeldTokens> {
        lock(&self.held)
    }
}

async fn read_tokens(
    reading: BoxFuture<'static, Result<Secret, String>>,
    policy: Arc<WebhookPolicy>,
) -> Read {
    let value = tokio::time::timeout(FETCH_TIMEOUT, reading).await;
    let value = value.map_err(|_| format!("it took more than {} s", FETCH_TIMEOUT.as_secs()))??;
    let tokens = tokens::parse_value(&value)?;
    Ok(Arc::new(WebhookPolicy {
        tokens,
        ..WebhookPolicy::clone(&policy)
    }))
}

/// The tokens of a reading, or the last good ones if it takes long or fails.
async fn refreshed(reading: Reading, good: Arc<WebhookPolicy>) -> Arc<WebhookPolicy> {
    let why = match tokio::time::timeout(REFRESH_TIME, reading).await {
        Ok(Ok(policy)) => return policy,
        Ok(Err(why)) => why,
        Err(_) => format!("it took more than {} s", REFRESH_TIME.as_secs()),
    };
    warn!("the webhook token cannot be read again, so the last one is used: {why}");
    good
}

async fn fetch_certificate(fetch: BoxFuture<'static, Result<Vec<u8>, String>>) -> Fetched {
    let pem = tokio::time::timeout(FETCH_TIMEOUT, fetch).await;
    let pem = pem.map_err(|_| format!("it took more than {} s", FETCH_TIMEOUT.as_secs()))??;
    Certificate::from_pem(&pem).map_err(|error| error.to_string())
}

/// Fetches the bytes at an address of EventBridge's.
trait Fetch: Send + Sync {
    fn fetch(&self, url: CertificateUrl) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

impl Fetch for reqwest::Client {
    fn fetch(&self, url: CertificateUrl) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        get(self.clone(), url.as_str().to_owned()).boxed()
    }
}

/// The client does not follow redirects, so a redirect is an error like other statuses.
async fn get(http: reqwest::Client, url: String) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| crate::http::innermost(&error.without_url());
    let mut response = http.get(url).send().await.map_err(failed)?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let mut pem = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if pem.len() + piece.len() > MAX_CERTIFICATE_BYTES {
            return Err(format!("it has more than {MAX_CERTIFICATE_BYTES} bytes"));
        }
        pem.extend_from_slice(&piece);
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::tests::{ACCOUNT, BODY, signed_now};
    use super::*;

    const PEM: &[u8] = include_bytes!("../../../tests/fixtures/webhook/certificate.pem");

    /// Replaces EventBridge's bucket, and counts the fetches.
    struct Bucket {
        fetched: AtomicUsize,
        answer: Result<Vec<u8>, String>,
        /// Answers after this time.
        takes: Duration,
    }

    impl Bucket {
        fn new(answer: Result<Vec<u8>, String>) -> Arc<Self> {
            let fetched = AtomicUsize::new(0);
            let takes = Duration::from_secs(1);
            Arc::new(Self {
                fetched,
                answer,
                takes,
            })
        }

        fn count(&self) -> usize {
            self.fetched.load(Ordering::Relaxed)
        }
    }

    impl Fetch for Bucket {
        fn fetch(&self, _: CertificateUrl) -> BoxFuture<'static, Result<Vec<u8>, String>> {
            self.fetched.fetch_add(1, Ordering::Relaxed);
            let (answer, takes) = (self.answer.clone(), self.takes);
            async move {
                tokio::time::sleep(takes).await;
                answer
            }
            .boxed()
        }
    }

    fn gate(bucket: &Arc<Bucket>) -> Gate {
        let policy = WebhookPolicy {
            url: Some(crate::model::credentials::Secret::new(
                super::super::tests::URL,
            )),
            accounts: [ACCOUNT.to_owned()].into(),
            ..WebhookPolicy::default()
        };
        Gate::with(policy, bucket.clone())
    }

    async fn check(gate: &Gate, headers: &Headers, body: &[u8]) -> Result<(), GateError> {
        let is_authenticated = false;
        let push = WebhookRequest {
            headers,
            path: &UrlPath::default(),
            body,
            is_authenticated,
        };
        gate.check(&push).await
    }

    /// A secrets manager, by what it answers and how long that takes.
    #[derive(Default)]
    struct Manager {
        answer: Mutex<Option<Result<&'static str, &'static str>>>,
        takes: Mutex<Duration>,
        asked: AtomicUsize,
    }

    impl Manager {
        fn set(&self, answer: Result<&'static str, &'static str>) {
            *self.answer.lock().unwrap() = Some(answer);
        }

        fn gate(self: &Arc<Self>) -> Gate {
            let manager = self.clone();
            let read = move || {
                manager.asked.fetch_add(1, Ordering::Relaxed);
                let (answer, takes) = (
                    *manager.answer.lock().unwrap(),
                    *manager.takes.lock().unwrap(),
                );
                async move {
                    tokio::time::sleep(takes).await;
                    let answer = answer.unwrap();
                    answer.map(Secret::new).map_err(str::to_owned)
                }
                .boxed()
            };
            let gate = Gate::with(WebhookPolicy::default(), Bucket::new(Ok(Vec::new())));
            let clock = WallClock::Tokio {
                time: Timestamp::now(),
                instant: Instant::now(),
            };
            gate.with_timed_tokens(Arc::new(read), clock)
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    async fn push(gate: &Gate, token: &str) -> Result<(), GateError> {
        let headers = [("x-eventbridge-signature-token", token)];
        check(gate, &headers.into_iter().collect(), BODY).await
    }

    const WRONG: Result<(), GateError> = Err(GateError::Refused(Refused::WrongToken));

    #[tokio::test(start_paused = true)]
    async fn a_replaced_token_is_refused_after_five_minutes_at_most() {
        let manager = Arc::<Manager>::default();
        manager.set(Ok("token-number-1"));
        let gate = manager.gate();
        assert_eq!(push(&gate, "token-number-1").await, Ok(()));
        manager.set(Ok("token-number-2"));
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(push(&gate, "token-number-1").await, Ok(()));
        assert_eq!(manager.asked(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(push(&gate, "token-number-2").await, Ok(()));
        assert_eq!(push(&gate, "token-number-1").await, WRONG);
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_tokens_cause_one_reading_in_ten_seconds_even_if_their_senders_hang_up() {
        let manager = Arc::<Manager>::default();
        manager.set(Ok("token-number-1"));
        *manager.takes.lock().unwrap() = Duration::from_millis(500);
        let gate = manager.gate();
        assert_eq!(push(&gate, "token-number-1").await, Ok(()));
        for (asked, refused_at) in [(2, 0), (2, 9), (3, 1)] {
            tokio::time::advance(Duration::from_secs(refused_at)).await;
            let hung_up = tokio::time::timeout(Duration::from_millis(1), push(&gate, "unknown"));
            let _ = hung_up.await;
            let pushes = (0..40).map(|_| push(&gate, "unknown-token"));
            for refused in futures_util::future::join_all(pushes).await {
                assert_eq!(refused, WRONG);
            }
            assert_eq!(manager.asked(), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_token_is_used_while_the_manager_fails_or_hangs() {
        let manager = Arc::<Manager>::default();
        manager.set(Ok("token-number-1"));
        let gate = manager.gate();
        assert_eq!(push(&gate, "token-number-1").await, Ok(()));
        manager.set(Err("down"));
        tokio::time::advance(Duration::from_mins(6)).await;
        for _ in 0..40 {
            assert_eq!(push(&gate, "token-number-1").await, Ok(()));
        }
        assert_eq!(manager.asked(), 2);
        *manager.takes.lock().unwrap() = Duration::from_hours(1);
        tokio::time::advance(Duration::from_mins(1)).await;
        let began = Instant::now();
        assert_eq!(push(&gate, "token-number-1").await, Ok(()));
        assert_eq!(began.elapsed(), REFRESH_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_token_pushes_are_to_come_again_and_none_is_let_in() {
        let manager = Arc::<Manager>::default();
        let gate = manager.gate();
        for (answer, why) in [
            (Err("down"), "down"),
            (Ok("short"), "a token has fewer than 12 characters"),
        ] {
            manager.set(answer);
            tokio::time::advance(Duration::from_secs(2)).await;
            for token in ["", "short", "token-number-1"] {
                let Err(GateError::NoToken(text)) = push(&gate, token).await else {
                    panic!("{token:?} was judged");
                };
                assert!(text.starts_with(why), "{text}");
            }
        }
        manager.set(Ok("token-number-1"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(push(&gate, "token-number-1").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn forty_pushes_at_once_and_forty_after_them_fetch_one_certificate() {
        let bucket = Bucket::new(Ok(PEM.to_vec()));
        let gate = gate(&bucket);
        let headers = signed_now(BODY);
        let at_once = (0..40).map(|_| check(&gate, &headers, BODY));
        for checked in futures_util::future::join_all(at_once).await {
            assert_eq!(checked, Ok(()));
        }
        for _ in 0..40 {
            assert_eq!(check(&gate, &headers, BODY).await, Ok(()));
        }
        assert_eq!(bucket.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn forty_anonymous_pushes_lead_to_one_look_up_where_it_fails() {
        let bucket = Bucket::new(Err("no such host".to_owned()));
        let gate = gate(&bucket);
        let headers = signed_now(b"signed for another body");
        for _ in 0..40 {
            let refused = check(&gate, &headers, BODY).await;
            let why = GateError::NoCertificate("no such host".to_owned());
            assert_eq!(refused, Err(why));
        }
        assert_eq!(bucket.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_goes_on_when_the_sender_that_made_it_begin_hangs_up() {
        let bucket = Bucket::new(Ok(PEM.to_vec()));
        let gate = gate(&bucket);
        let headers = signed_now(BODY);
        for _ in 0..40 {
            let hung_up = Duration::from_millis(1);
            let checked = tokio::time::timeout(hung_up, check(&gate, &headers, BODY)).await;
            assert!(checked.is_err());
        }
        assert_eq!(check(&gate, &headers, BODY).await, Ok(()));
        assert_eq!(bucket.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_hangs_is_given_up_after_three_seconds() {
        let bucket = Arc::new(Bucket {
            fetched: AtomicUsize::new(0),
            answer: Ok(PEM.to_vec()),
            takes: Duration::from_hours(1),
        });
        let start = Instant::now();
        let refused = check(&gate(&bucket), &signed_now(BODY), BODY).await;
        let why = GateError::NoCertificate("it took more than 3 s".to_owned());
        assert_eq!(refused, Err(why));
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_fetched_for_what_cannot_be_good() {
        let bucket = Bucket::new(Ok(PEM.to_vec()));
        let gate = gate(&bucket);
        let good = signed_now(BODY);
        let foreign = br#"{"aliyunaccountid":"9"}"#;
        let refused = check(&gate, &good, foreign).await.unwrap_err();
        assert_eq!(
            refused,
            GateError::Refused(Refused::ForeignAccount("account 9".into()))
        );
        let huge = vec![b' '; MAX_PUSH_BYTES + 1];
        assert_eq!(check(&gate, &good, &huge).await, Err(GateError::TooLarge));
        for (name, value) in [
            (
                "x-eventbridge-signature-url",
                "https://anybody-eventbridge.oss-cn-hangzhou.aliyuncs.com/own.pem",
            ),
            ("x-eventbridge-signature-v2", "AAAA"),
            ("x-eventbridge-signature-v2", ""),
            ("x-eventbridge-signature-timestamp", "0"),
        ] {
            let mut headers: Headers = [(name, value)].into_iter().collect();
            for other in good.names().filter(|other| *other != name) {
                headers.add(other, good.one(other).unwrap().unwrap());
            }
            let refused = check(&gate, &headers, BODY).await;
            assert!(matches!(refused, Err(GateError::Refused(_))), "{name}");
        }
        assert_eq!(bucket.count(), 0);
    }

    /// Answers one connection with these bytes, and then with `more` until it is closed.
    async fn serve(
        answer: String,
        more: &'static [u8],
    ) -> (String, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x.pem", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut sent = 0;
            while !more.is_empty() && stream.write_all(more).await.is_ok() {
                sent += more.len();
            }
            sent
        });
        (url, server)
    }

    #[tokio::test]
    async fn what_a_bucket_answers_is_read_to_a_limit_and_no_redirect_is_followed() {
        const CHUNK: &[u8] = b"8\r\n--------\r\n";
        let ok = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let away = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{}/x.pem\r\ncontent-length: 0\r\n\r\n",
            elsewhere.local_addr().unwrap()
        );
        for (answer, more, why) in [
            (
                ok("transfer-encoding: chunked"),
                CHUNK,
                "it has more than 65536 bytes",
            ),
            (
                ok("content-length: 1073741824"),
                CHUNK,
                "it has more than 65536 bytes",
            ),
            (away, &b""[..], "status 302"),
            (
                "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                b"",
                "status 404",
            ),
        ] {
            let (url, server) = serve(answer, more).await;
            let http = crate::http::client(&Default::default()).unwrap();
            assert_eq!(get(http, url).await, Err(why.to_owned()));
            server.await.unwrap();
        }
        let (url, _server) = serve(ok("content-length: 4"), b"").await;
        let cut_off = get(crate::http::client(&Default::default()).unwrap(), url).await;
        assert!(cut_off.is_err(), "{cut_off:?}");
        tokio::select! {
            biased;
            _ = elsewhere.accept() => panic!("the redirect was followed"),
            () = std::future::ready(()) => {}
        }
    }
}
