//! An S3 server in the test's process: signatures verified by s3s, objects in a map behind one
//! lock, and the quirks of the services the archive meets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use s3s::auth::SimpleAuth;
use s3s::checksum::ChecksumHasher;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::*;
use s3s::host::{S3Host, SingleDomain, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub const ACCESS_KEY_ID: &str = "AKIATESTTESTTESTTEST";
pub const SECRET_ACCESS_KEY: &str = "s3-secret-that-must-not-show";
pub const BUCKET: &str = "consoles";

/// Objects in one page of a listing, so that a handful of them needs several.
const PAGE: usize = 3;
/// Objects in one page of a listing of S3 and OSS.
pub const REAL_PAGE: usize = 1000;

/// Whether an object is of the catalog, below whatever prefix.
pub fn is_of_catalog(key: &str) -> bool {
    key.contains("catalog/rows/") || key.contains("catalog/days/")
}

/// Which service it behaves as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `If-None-Match: *` gives 412 where an object is.
    Aws,
    /// Virtual-hosted style only; 501 to `If-None-Match`; `x-oss-forbid-overwrite` gives 409
    /// `FileAlreadyExists`, but not in a versioned bucket; no `aws-chunked` bodies.
    Oss { versioned: bool },
    /// Conditions are ignored: 200, and the object is overwritten, as Garage does it.
    IgnoresConditions,
}

/// Under which addresses it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosting {
    /// As the profile does it: OSS under the bucket's host names, the others with the bucket in the
    /// path.
    ByProfile,
    /// Virtual-hosted style only, as Tencent COS since 2024 (gobackup#233) and Volcengine TOS
    /// (opendal#6549).
    VirtualOnly,
    /// Under the bucket's own domain, a CNAME: the whole path is the key.
    OwnDomain,
}

/// How a store is unlike AWS S3 with every permission, each as somebody met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// The key has no `s3:ListBucket`: 403 for what is absent (django-storages#1104, s3fs#591), and
    /// to listings.
    NoListBucket,
    /// 304 in place of 412 (minio#19442).
    NotModified,
    /// This in answer to `If-None-Match`, as OSS and others that do not know it (walgit#67).
    RefusesConditions(u16, &'static str),
    /// A policy denies a PUT without `x-amz-server-side-encryption` (mountpoint-s3#534).
    DemandsEncryption,
    /// The same, and for `aws:kms`.
    DemandsKms,
    /// Its listings are truncated and have no token (s3ninja#251, versitygw#770).
    TruncatedWithoutToken,
    /// Each page of a listing ends with the same token.
    TokenRepeats,
    /// Each page of a listing ends with one of two tokens.
    TokensAlternate,
    /// A page without objects, and with a token, before each that has some: S3 gives those where
    /// many versions were removed.
    EmptyPages,
    /// Listings leave `IsTruncated` out.
    NoTruncatedFlag,
    /// Listings have every object of the bucket.
    IgnoresPrefix,
    /// Each page begins with the last key of the page before (rustfs#2439, aws-sdk-java#2444, athens#1793).
    PagesOverlap,
    /// The last key comes first in each page, as in directory buckets.
    OutOfOrder,
    /// Keys are percent-encoded, and nothing says so.
    EncodesKeysSilently,
    /// Keys come as they are, whatever was asked for (versitygw#813, noobaa-core#4796, minio#7260).
    EncodesNothing,
    /// The first read of each object gets 503 `SlowDown`. S3 answers so for a time when a prefix is read
    /// much more than before (AWS, "Best practices design patterns: optimizing Amazon S3 performance",
    /// "Timeouts and retries for latency-sensitive applications"; aws-sdk-cpp#1257, stoat-action#44).
    ThrottlesReads,
    /// The bucket keeps versions: a removal says that it left a delete marker ("DeleteObject" in S3's API reference).
    KeepsVersions,
    /// It does not know the request that removes several objects (the S3 API of Google Cloud Storage, for one).
    NoDeleteObjects,
    /// It refuses that request as a whole, with 403.
    DeniesDeleteObjects,
    /// It answers that request, and says nothing of single objects.
    SaysNothingOfRemovals,
    /// The first time, each object that one request is to remove with others fails with `InternalError`.
    RemovesAtSecondTry,
    /// A policy allows listings of keys that begin so alone, and the store answers 403 for what is absent, as Ceph
    /// does (ceph#68577).
    ListsOnly(&'static str),
    /// Objects whose keys contain this are listed, and are absent for who reads them: the index of the bucket is stale.
    LostBodies(&'static str),
}

/// What happens to the next PUT in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: this PUT is answered, and the next fault is for a later one.
    None,
    /// An answer with this status and code; nothing is stored.
    Status(u16, &'static str),
    /// The object is stored and the connection ends without an answer.
    LoseReply,
    /// The connection ends before anything is stored.
    Drop,
    /// The connection is reset before anything is stored.
    Reset,
    /// Nothing is stored and nothing answered; the connection stays open.
    Stall,
    /// Half of an error, then the connection ends.
    HalfError,
    /// An error in many small pieces.
    SlowError,
    /// A gateway's web page in place of an error.
    ErrorPage,
    /// The object is stored, and the answer is said to be a web page.
    WrongContentType,
}

/// What the key may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Put,
    /// GET and HEAD of objects.
    Get,
    List,
    Delete,
}

#[derive(Clone)]
pub struct StoredObject {
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// The headers that ask for encryption, by their names without `x-amz-` or `x-oss-`.
    pub encryption: BTreeMap<String, String>,
    pub stored_at: SystemTime,
}

pub struct S3Server {
    /// Where it listens.
    pub own_port: u16,
    /// In its address.
    port: u16,
    profile: Profile,
    hosting: Hosting,
    has_tls: bool,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, StoredObject>,
    /// Every body ever accepted, by key.
    writes: BTreeMap<String, Vec<Vec<u8>>>,
    faults: VecDeque<Fault>,
    /// How many PUTs came.
    puts: usize,
    /// Objects in one page of a listing.
    page: usize,
    listings: usize,
    /// The method of every request.
    methods: Vec<String>,
    /// How many connections came.
    connections: usize,
    denied: Vec<Denied>,
    /// Keys of objects that GET refuses, with the refusal.
    unreadable: BTreeMap<String, (u16, &'static str)>,
    /// Keys of objects at whose removal the server fails.
    unremovable: BTreeSet<String>,
    /// Keys of objects that cannot be removed.
    locked: BTreeSet<String>,
    /// Keys of removed objects that are earlier versions now.
    versions: Vec<String>,
    /// Keys of objects whose removal has failed once.
    failed_removals: BTreeSet<String>,
    /// How many objects each request named that removed several.
    removed_together: Vec<usize>,
    quirks: Vec<Quirk>,
    clock_ahead: SignedDuration,
    /// The session token that is good; `None` takes any.
    token: Option<String>,
    /// Those that were good before.
    ended_tokens: Vec<String>,
    /// Objects of somebody else's, which are sent as zeros: so many, or without an end.
    foreign: BTreeMap<String, Option<u64>>,
    /// How many bytes of those were sent.
    foreign_sent: u64,
    /// Paths whose read was throttled.
    throttled: BTreeSet<String>,
    /// Reads that are being answered, and the most that were at once.
    reading: usize,
    most_reading: usize,
    /// How many reads were answered.
    reads: usize,
    /// Reads wait for their answer until so many have come.
    gathers: usize,
    /// Reads and listings wait for their answer so long.
    latency: Duration,
    /// Bytes of the bodies of answers.
    sent: u64,
}

impl State {
    fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// What listings must begin with, if a policy says it.
    fn lists_only(&self) -> Option<&'static str> {
        self.quirks.iter().find_map(|quirk| match quirk {
            Quirk::ListsOnly(prefix) => Some(*prefix),
            _ => None,
        })
    }

    /// Removes an object. Returns whether a delete marker has its place.
    fn remove(&mut self, key: &str) -> bool {
        let is_there = self.objects.remove(key).is_some();
        let keeps = self.has(Quirk::KeepsVersions);
        if keeps && is_there {
            self.versions.push(key.to_owned());
        }
        keeps
    }
}

/// A bucket's own domain; no other name leads to the store.
struct OwnDomain;

impl S3Host for OwnDomain {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        if host.starts_with("archive.") {
            Ok(VirtualHost::new(host).with_bucket(BUCKET))
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }
}

struct Objects {
    profile: Profile,
    /// The most reads that were there at once.
    gathered: watch::Sender<usize>,
    state: Arc<Mutex<State>>,
}

impl S3Server {
    /// `public_port` is in its address in place of its own: that of a proxy that keeps `Host`.
    pub async fn start(profile: Profile, public_port: Option<u16>) -> Self {
        Self::start_at(profile, public_port, Hosting::ByProfile, false).await
    }

    /// The same, under other addresses, or over TLS with a certificate of a private authority, whose
    /// own is `authority()`.
    pub async fn start_at(
        profile: Profile,
        public_port: Option<u16>,
        hosting: Hosting,
        has_tls: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let port = public_port.unwrap_or(own_port);
        let state = Arc::new(Mutex::new(State {
            page: PAGE,
            ..State::default()
        }));
        let mut builder = S3ServiceBuilder::new(Objects {
            profile,
            gathered: watch::Sender::default(),
            state: state.clone(),
        });
        // The front looks at dates, by a clock of its own.
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        match (hosting, profile) {
            (Hosting::OwnDomain, _) => builder.set_host(OwnDomain),
            (Hosting::VirtualOnly, _) | (_, Profile::Oss { .. }) => {
                builder.set_host(SingleDomain::new(&format!("localhost:{port}")).unwrap());
            }
            _ => {}
        }
        let front = Arc::new(Front {
            profile,
            hosting,
            state: state.clone(),
            service: builder.build(),
        });
        let tls = has_tls.then(tls_acceptor);
        let server = tokio::spawn(serve(listener, front, tls));
        Self {
            own_port,
            port,
            profile,
            hosting,
            has_tls,
            state,
            server,
        }
    }

    /// What `AWS_ENDPOINT_URL_S3` is set to.
    pub fn endpoint_url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        let host = match (self.hosting, self.profile) {
            (Hosting::OwnDomain, _) => "archive.localhost",
            (Hosting::VirtualOnly, _) | (_, Profile::Oss { .. }) => "localhost",
            _ => "127.0.0.1",
        };
        format!("{scheme}://{host}:{}", self.port)
    }

    /// Behaves like this from now on, and no longer as before.
    pub fn behave(&self, quirks: &[Quirk]) {
        self.state.lock().unwrap().quirks = quirks.to_vec();
    }

    /// Takes requests with this session token only; the one before has ended.
    pub fn expect_token(&self, token: &str) {
        let mut state = self.state.lock().unwrap();
        let ended = state.token.replace(token.to_owned());
        state.ended_tokens.extend(ended);
    }

    /// Puts somebody else's object there: so many zeros, or zeros without an end and without a
    /// length.
    pub fn put_foreign(&self, key: &str, bytes: Option<u64>) {
        let mut state = self.state.lock().unwrap();
        state.foreign.insert(key.to_owned(), bytes);
        let object = StoredObject {
            body: Vec::new(),
            content_type: None,
            content_encoding: None,
            metadata: BTreeMap::new(),
            encryption: BTreeMap::new(),
            stored_at: SystemTime::now(),
        };
        state.objects.insert(key.to_owned(), object);
    }

    /// How many bytes of foreign objects were handed to the network.
    pub fn foreign_sent(&self) -> u64 {
        self.state.lock().unwrap().foreign_sent
    }

    /// Holds back the answers to reads until so many are there at once.
    pub fn gather_reads(&self, count: usize) {
        self.state.lock().unwrap().gathers = count;
    }

    /// Answers reads and listings so much later, as a store that is far away.
    #[allow(dead_code)] // Benchmarks use it.
    pub fn set_latency(&self, latency: Duration) {
        self.state.lock().unwrap().latency = latency;
    }

    /// Bytes of the bodies of all answers so far, but for those of unknown length.
    #[allow(dead_code)] // Benchmarks use it.
    pub fn sent(&self) -> u64 {
        self.state.lock().unwrap().sent
    }

    /// Forgets how many reads came, and how many at once. None may be there.
    #[allow(dead_code)] // Benchmarks use it.
    pub fn forget_reads(&self) {
        let mut state = self.state.lock().unwrap();
        (state.reads, state.reading, state.most_reading) = (0, 0, 0);
        state.throttled.clear();
    }

    /// The most reads that were answered at once.
    pub fn most_reading(&self) -> usize {
        self.state.lock().unwrap().most_reading
    }

    /// How many objects were read.
    pub fn reads(&self) -> usize {
        self.state.lock().unwrap().reads
    }

    /// Stores an object as if it had been written before.
    pub fn insert(&self, key: &str, object: StoredObject) {
        self.state
            .lock()
            .unwrap()
            .objects
            .insert(key.to_owned(), object);
    }

    /// All objects but the catalog's.
    pub fn objects(&self) -> BTreeMap<String, StoredObject> {
        let mut objects = self.state.lock().unwrap().objects.clone();
        objects.retain(|key, _| !is_of_catalog(key));
        objects
    }

    /// The objects of the catalog.
    pub fn catalog(&self) -> BTreeMap<String, StoredObject> {
        let mut objects = self.state.lock().unwrap().objects.clone();
        objects.retain(|key, _| is_of_catalog(key));
        objects
    }

    /// Removes everything below a prefix; what was there.
    #[allow(dead_code)] // Benchmarks use it.
    pub fn take_below(&self, prefix: &str) -> BTreeMap<String, StoredObject> {
        let mut state = self.state.lock().unwrap();
        let is_below = |key: &String| key.starts_with(&format!("{prefix}/"));
        state.writes.retain(|key, _| !is_below(key));
        let (taken, rest) = std::mem::take(&mut state.objects)
            .into_iter()
            .partition(|(key, _)| is_below(key));
        state.objects = rest;
        taken
    }

    /// Removes an object, as somebody else does.
    pub fn remove(&self, key: &str) {
        assert!(self.state.lock().unwrap().objects.remove(key).is_some());
    }

    /// Changes an object, as who has other keys to the bucket may.
    pub fn tamper(&self, key: &str, change: impl FnOnce(&mut StoredObject)) {
        change(self.state.lock().unwrap().objects.get_mut(key).unwrap());
    }

    /// The objects that are consoles.
    pub fn records(&self) -> BTreeMap<String, StoredObject> {
        let mut objects = self.objects();
        objects.retain(|key, _| key.ends_with(".log.gz"));
        objects
    }

    /// The objects that say why there is no console, read.
    pub fn markers(&self) -> BTreeMap<String, serde_json::Value> {
        let objects = self.objects().into_iter();
        objects
            .filter(|(key, _)| key.ends_with(".none.json"))
            .map(|(key, object)| (key, serde_json::from_slice(&object.body).unwrap()))
            .collect()
    }

    /// The keys of what says beside a record what it shows as of the end.
    pub fn verdicts(&self) -> Vec<String> {
        let keys = self.objects().into_keys();
        keys.filter(|key| key.ends_with(".verdict.json")).collect()
    }

    /// Lists so many objects a request from now on.
    pub fn set_page(&self, objects: usize) {
        self.state.lock().unwrap().page = objects;
    }

    /// Requests for listings so far.
    pub fn listings(&self) -> usize {
        self.state.lock().unwrap().listings
    }

    /// Puts objects there, as an archive has them that is older than the test.
    pub fn put_all(&self, objects: impl IntoIterator<Item = (String, StoredObject)>) {
        self.state.lock().unwrap().objects.extend(objects);
    }

    /// How many PUTs came, whatever became of them; but for those of the catalog.
    pub fn puts(&self) -> usize {
        self.state.lock().unwrap().puts
    }

    /// The methods of all requests so far, whatever became of them.
    pub fn methods(&self) -> Vec<String> {
        self.state.lock().unwrap().methods.clone()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// How often a body was accepted under a key.
    pub fn writes(&self, key: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .writes
            .get(key)
            .map_or(0, Vec::len)
    }

    /// Answers 403 `AccessDenied` to these from now on.
    pub fn deny(&self, denied: &[Denied]) {
        self.state.lock().unwrap().denied.extend(denied);
    }

    /// GET refuses this object, which others can still list: 403 `InvalidObjectState` for one in an
    /// archival storage class (counsyl/stor#38, e2b-dev/infra#3138), 400 `KMS.DisabledException` and the
    /// like for one whose key is gone (localstack#8422, rustfs#7423).
    pub fn make_unreadable(&self, key: &str, status: u16, code: &'static str) {
        let mut state = self.state.lock().unwrap();
        state.unreadable.insert(key.to_owned(), (status, code));
    }

    /// DELETE fails at this object each time: 500 `InternalError` (boto3#3052, ubicloud#5627).
    pub fn make_unremovable(&self, key: &str) {
        let mut state = self.state.lock().unwrap();
        state.unremovable.insert(key.to_owned());
    }

    /// DELETE refuses this object: 403 `AccessDenied`, as stores do that lock objects without versions
    /// (versitygw#1330, #1565); of OSS 409 `FileImmutable`, as under its retention policies.
    pub fn lock(&self, key: &str) {
        self.state.lock().unwrap().locked.insert(key.to_owned());
    }

    /// Keys of removed objects that the bucket keeps as earlier versions.
    pub fn versions(&self) -> Vec<String> {
        self.state.lock().unwrap().versions.clone()
    }

    /// How many objects each request named that removed several.
    pub fn removed_together(&self) -> Vec<usize> {
        self.state.lock().unwrap().removed_together.clone()
    }

    /// Denies nothing from now on.
    pub fn allow_all(&self) {
        let mut state = self.state.lock().unwrap();
        state.denied.clear();
        state.unreadable.clear();
    }

    /// Sets its clock so much ahead of this machine's.
    pub fn set_clock_ahead(&self, ahead: SignedDuration) {
        self.state.lock().unwrap().clock_ahead = ahead;
    }

    pub fn fault_next_put(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back(fault);
    }

    /// Faults that no PUT has met yet.
    pub fn faults_left(&self) -> usize {
        self.state.lock().unwrap().faults.len()
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub fn clear_faults(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// Panics if anything was ever replaced by other bytes.
    pub fn assert_nothing_was_overwritten(&self) {
        for (key, bodies) in &self.state.lock().unwrap().writes {
            assert!(
                bodies.windows(2).all(|pair| pair[0] == pair[1]),
                "{key} was overwritten"
            );
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The certificate of the authority that signed the double's, as a PEM file.
pub fn authority() -> std::path::PathBuf {
    super::root().join("tests/fixtures/tls/authority.pem")
}

/// What accepts connections with the certificate of the doubles.
pub fn tls_acceptor() -> TlsAcceptor {
    let file = |name: &str| super::root().join("tests/fixtures/tls").join(name);
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server-key.pem")).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, front: Arc<Front>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (front, tls) = (front.clone(), tls.clone());
        front.state.lock().unwrap().connections += 1;
        // As real servers do: what is written after the tickets of a handshake must not wait for the
        // client to acknowledge them.
        let _ = stream.set_nodelay(true);
        // A second handle on the socket, so that a fault can make its closing a reset.
        let stream = stream.into_std().unwrap();
        let socket = Arc::new(socket2::Socket::from(stream.try_clone().unwrap()));
        let stream = TcpStream::from_std(stream).unwrap();
        connections.spawn(async move {
            match tls {
                None => serve_connection(stream, front, socket).await,
                // A client that does not trust the authority goes away here.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve_connection(stream, front, socket).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    front: Arc<Front>,
    socket: Arc<socket2::Socket>,
) {
    let service = service_fn(move |request| {
        let (front, socket) = (front.clone(), socket.clone());
        async move {
            let mut answer = front.answer(request, &socket).await?;
            answer.headers_mut().insert("date", front.date());
            front.state.lock().unwrap().sent += answer.size_hint().lower();
            Ok::<_, ConnectionEnds>(answer)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// What stands before s3s: faults, and the refusals of OSS that s3s does not know.
struct Front {
    profile: Profile,
    hosting: Hosting,
    state: Arc<Mutex<State>>,
    service: S3Service,
}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>>;

#[derive(Debug, thiserror::Error)]
#[error("the connection ends here")]
struct ConnectionEnds;

impl Front {
    async fn answer(
        &self,
        request: Request<Incoming>,
        socket: &socket2::Socket,
    ) -> Result<Answer, ConnectionEnds> {
        let method = request.method().to_string();
        self.state.lock().unwrap().methods.push(method);
        if let Some((status, code)) = self.refuses_token(&request) {
            return Ok(error(status, code, None));
        }
        if self.is_denied(&request) {
            return Ok(error(403, "AccessDenied", None));
        }
        if let Some((status, code, ec)) = self.refusal(&request) {
            return Ok(error(status, code, ec));
        }
        let now = Timestamp::now() + self.state.lock().unwrap().clock_ahead;
        if is_skewed(&request, now) {
            return Ok(error(403, "RequestTimeTooSkewed", None));
        }
        let is_put = request.method() == hyper::Method::PUT;
        if [hyper::Method::GET, hyper::Method::HEAD].contains(request.method()) {
            let state = self.state.lock().unwrap();
            let path = path_of(&request);
            let refused = |(key, _): &(&String, _)| path.ends_with(&format!("/{key}"));
            if let Some((_, (status, code))) = state.unreadable.iter().find(refused) {
                return Ok(error(*status, code, None));
            }
        }
        if request.method() == hyper::Method::DELETE {
            let state = self.state.lock().unwrap();
            let path = path_of(&request);
            let fails = |key: &String| path.ends_with(&format!("/{key}"));
            if state.unremovable.iter().any(fails) {
                return Ok(error(500, "InternalError", None));
            }
            if state
                .locked
                .iter()
                .any(|key| path.ends_with(&format!("/{key}")))
            {
                return Ok(match self.profile {
                    Profile::Oss { .. } => error(409, "FileImmutable", None),
                    _ => error(403, "AccessDenied", None),
                });
            }
        }
        if self.throttles(&request) {
            return Ok(error(503, "SlowDown", None));
        }
        if request.method() == hyper::Method::GET && self.has_lost(request.uri().path()) {
            return Ok(error(404, "NoSuchKey", None));
        }
        if request.method() == hyper::Method::GET
            && let Some(answer) = self.foreign(&path_of(&request))
        {
            return Ok(answer);
        }
        let looks = matches!(request.method().as_str(), "GET" | "HEAD");
        let hides_absent = looks && {
            let state = self.state.lock().unwrap();
            state.has(Quirk::NoListBucket) || state.lists_only().is_some()
        };
        let fault = is_put
            .then(|| {
                let mut state = self.state.lock().unwrap();
                state.puts += usize::from(!is_of_catalog(request.uri().path()));
                state.faults.pop_front()
            })
            .flatten();
        match fault {
            Some(Fault::Status(status, code)) => return Ok(error(status, code, None)),
            Some(Fault::Drop) => return Err(ConnectionEnds),
            Some(Fault::Reset) => {
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                return Err(ConnectionEnds);
            }
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::HalfError) => return Ok(error_in_pieces(Some(1))),
            Some(Fault::SlowError) => return Ok(error_in_pieces(None)),
            Some(Fault::ErrorPage) => return Ok(error_page()),
            Some(Fault::LoseReply | Fault::WrongContentType | Fault::None) | None => {}
        }
        let answer = self.service.call(request.map(Body::from)).await;
        if matches!(fault, Some(Fault::LoseReply)) {
            return Err(ConnectionEnds);
        }
        let answer = answer.unwrap_or_else(|error| panic!("s3s failed: {error:?}"));
        let status = answer.status().as_u16();
        if hides_absent && status == 404 {
            return Ok(error(403, "AccessDenied", None));
        }
        if is_put && status == 412 && self.state.lock().unwrap().has(Quirk::NotModified) {
            let empty = Full::new(Bytes::new()).map_err(|never| match never {});
            let answer = Response::builder().status(304).body(empty.boxed());
            return Ok(answer.unwrap());
        }
        let mut answer = answer.map(|body| body.map_err(std::io::Error::other).boxed());
        if fault == Some(Fault::WrongContentType) {
            let html = hyper::header::HeaderValue::from_static("text/html");
            answer.headers_mut().insert("content-type", html);
        }
        Ok(answer)
    }

    fn throttles(&self, request: &Request<Incoming>) -> bool {
        let mut state = self.state.lock().unwrap();
        let reads = request.method() == hyper::Method::GET
            && request
                .uri()
                .query()
                .is_none_or(|q| !q.contains("list-type"));
        reads
            && state.has(Quirk::ThrottlesReads)
            && state.throttled.insert(request.uri().path().to_owned())
    }

    fn has_lost(&self, path: &str) -> bool {
        let state = self.state.lock().unwrap();
        let is_lost =
            |quirk: &Quirk| matches!(quirk, Quirk::LostBodies(part) if path.contains(part));
        state.quirks.iter().any(is_lost)
    }

    fn date(&self) -> HeaderValue {
        let now = Timestamp::now() + self.state.lock().unwrap().clock_ahead;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        date.unwrap().parse().unwrap()
    }

    fn is_denied(&self, request: &Request<Incoming>) -> bool {
        let lists = request
            .uri()
            .query()
            .is_some_and(|q| q.contains("list-type"));
        let asks = match request.method().as_str() {
            "PUT" => Denied::Put,
            "DELETE" => Denied::Delete,
            "GET" if lists => Denied::List,
            "GET" | "HEAD" => Denied::Get,
            _ => return false,
        };
        let state = self.state.lock().unwrap();
        if let (Denied::List, Some(only)) = (asks, state.lists_only()) {
            let query = request.uri().query().unwrap_or_default();
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let prefix = pairs.find(|(name, _)| name == "prefix");
            if !prefix.is_some_and(|(_, prefix)| prefix.starts_with(only)) {
                return true;
            }
        }
        let demanded = match request.headers().get("x-amz-server-side-encryption") {
            None => state.has(Quirk::DemandsEncryption) || state.has(Quirk::DemandsKms),
            Some(value) => value != "aws:kms" && state.has(Quirk::DemandsKms),
        };
        state.denied.contains(&asks)
            || (asks == Denied::List && state.has(Quirk::NoListBucket))
            || (asks == Denied::Put && demanded)
    }

    /// A token that ended, or that is another key's: AWS answers 400, OSS 403.
    fn refuses_token(&self, request: &Request<Incoming>) -> Option<(u16, &'static str)> {
        let state = self.state.lock().unwrap();
        let good = state.token.as_deref()?;
        let header = request.headers().get("x-amz-security-token");
        let sent = header.map_or("", |value| value.to_str().unwrap());
        let is_oss = matches!(self.profile, Profile::Oss { .. });
        let has_ended = state.ended_tokens.iter().any(|ended| ended == sent);
        match (sent == good, has_ended, is_oss) {
            (true, ..) => None,
            (_, true, false) => Some((400, "ExpiredToken")),
            (_, true, true) => Some((403, "SecurityTokenExpired")),
            (_, false, false) => Some((400, "InvalidToken")),
            (_, false, true) => Some((403, "InvalidSecurityToken")),
        }
    }

    /// Zeros, as many as a foreign object has.
    fn foreign(&self, path: &str) -> Option<Answer> {
        let state = self.state.lock().unwrap();
        let mut objects = state.foreign.iter();
        let bytes = objects
            .find(|(key, _)| path.ends_with(key.as_str()))?
            .1
            .to_owned();
        drop(state);
        const PIECE: usize = 64 << 10;
        let pieces = bytes.map_or(usize::MAX, |bytes| bytes as usize / PIECE);
        let counted = self.state.clone();
        let zeros = stream::repeat(()).take(pieces).then(move |()| {
            counted.lock().unwrap().foreign_sent += PIECE as u64;
            async {
                tokio::task::yield_now().await;
                Ok(Frame::data(Bytes::from_static(&[0; PIECE])))
            }
        });
        let mut builder = Response::builder().status(200);
        if let Some(bytes) = bytes {
            builder = builder.header("content-length", bytes);
        }
        let body = BodyExt::boxed(StreamBody::new(Box::pin(zeros)));
        Some(builder.body(body).unwrap())
    }

    fn refusal(
        &self,
        request: &Request<Incoming>,
    ) -> Option<(u16, &'static str, Option<&'static str>)> {
        let headers = request.headers();
        let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap());
        for quirk in &self.state.lock().unwrap().quirks {
            if let Quirk::RefusesConditions(status, code) = quirk
                && header("if-none-match").is_some()
            {
                return Some((*status, code, None));
            }
        }
        let is_virtual = header("host")?.starts_with(&format!("{BUCKET}."));
        if self.hosting == Hosting::VirtualOnly && !is_virtual {
            return Some((403, "PathStyleDomainForbidden", None));
        }
        if !matches!(self.profile, Profile::Oss { .. }) || self.hosting == Hosting::OwnDomain {
            return None;
        }
        if !header("host")?.starts_with(&format!("{BUCKET}.")) {
            return Some((403, "SecondLevelDomainForbidden", Some("0003-00001401")));
        }
        // "The Content-MD5 request header is missing in the DeleteMultipleObjects request", EC 0016-00000606.
        if request
            .uri()
            .query()
            .is_some_and(|query| query.starts_with("delete"))
            && header("content-md5").is_none()
        {
            return Some((400, "MissingArgument", Some("0016-00000606")));
        }
        if header("if-none-match").is_some()
            || header("if-match").is_some()
            || header("x-amz-tagging").is_some()
        {
            return Some((501, "NotImplemented", None));
        }
        let chunked = header("content-encoding").is_some_and(|v| v.contains("aws-chunked"));
        if chunked || header("x-amz-content-sha256").is_some_and(|v| v.starts_with("STREAMING-")) {
            return Some((400, "InvalidArgument", Some("0017-00000804")));
        }
        let forbids = header("x-oss-forbid-overwrite").is_some();
        let signed = header("authorization")?.contains("x-oss-forbid-overwrite");
        (forbids && !signed).then_some((403, "SignatureDoesNotMatch", None))
    }
}

/// The path of a request, as keys are.
fn path_of(request: &Request<Incoming>) -> String {
    let path = percent_encoding::percent_decode_str(request.uri().path());
    path.decode_utf8_lossy().into_owned()
}

/// Lets nothing else come between if there is nothing to wait for.
async fn wait(latency: Duration) {
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

/// Whether a request is dated more than 15 minutes from `now`.
fn is_skewed(request: &Request<Incoming>, now: Timestamp) -> bool {
    let date = &request.headers()["x-amz-date"];
    let date: Timestamp = date.to_str().unwrap().parse().unwrap();
    date.duration_since(now).abs() > SignedDuration::from_mins(15)
}

fn error(status: u16, code: &str, ec: Option<&str>) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as told</Message></Error>"
    );
    let mut builder = Response::builder()
        .status(status)
        .header("content-type", "application/xml");
    if let Some(ec) = ec {
        builder = builder.header("x-oss-ec", ec);
    }
    let body = Full::new(Bytes::from(xml)).map_err(|never| match never {});
    builder.body(body.boxed()).unwrap()
}

/// 503 in pieces of which so many come; where not all do, the connection ends.
fn error_in_pieces(come: Option<usize>) -> Answer {
    let xml =
        "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>as told</Message></Error>";
    let all = xml.as_bytes().chunks(xml.len().div_ceil(8));
    let come = come.unwrap_or(all.len());
    let ends = (come < all.len()).then(|| Err(std::io::Error::other("as told")));
    let pieces = all
        .take(come)
        .map(|piece| Ok(Frame::data(Bytes::from_static(piece))));
    // Yielding flushes what is there, so each piece is sent by itself.
    let pieces = stream::iter(pieces.chain(ends)).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    });
    Response::builder()
        .status(503)
        .header("content-type", "application/xml")
        .header("content-length", xml.len())
        .body(BodyExt::boxed(StreamBody::new(Box::pin(pieces))))
        .unwrap()
}

fn error_page() -> Answer {
    let page = Full::new(Bytes::from_static(b"<html><h1>Bad Gateway</h1></html>"));
    Response::builder()
        .status(502)
        .header("content-type", "text/html")
        .body(page.map_err(|never| match never {}).boxed())
        .unwrap()
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request {
            input,
            headers,
            trailing_headers,
            ..
        } = request;
        check_bucket(&input.bucket)?;
        let mut body = Vec::new();
        let mut pieces = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|_| s3_error!(IncompleteBody))?);
        }
        let trailers = trailing_headers.and_then(|trailers| trailers.take());
        check_checksums(&headers, &trailers.unwrap_or_default(), &body)?;
        // As in a bucket with Object Lock, which takes nothing without it; asked of those who write
        // as to AWS, for another profile has no such buckets.
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(&body));
        let is_as_to_aws = self.profile == Profile::Aws && input.if_none_match.is_some();
        if is_as_to_aws && input.checksum_sha256 != Some(sha256) {
            return Err(s3_error!(InvalidRequest));
        }
        let mut state = self.state.lock().unwrap();
        if state.objects.contains_key(&input.key) {
            match self.profile {
                Profile::Aws if input.if_none_match.is_some() => {
                    return Err(s3_error!(PreconditionFailed));
                }
                Profile::Oss { versioned: false }
                    if headers.contains_key("x-oss-forbid-overwrite") =>
                {
                    return Err(file_already_exists());
                }
                _ => {}
            }
        }
        state
            .writes
            .entry(input.key.clone())
            .or_default()
            .push(body.clone());
        let object = StoredObject {
            body,
            content_type: input.content_type.map(|t| t.to_string()),
            content_encoding: input.content_encoding,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            encryption: encryption(&headers),
            stored_at: SystemTime::now(),
        };
        state.objects.insert(input.key, object);
        Ok(S3Response::new(PutObjectOutput::default()))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        let mut is_gathered = self.gathered.subscribe();
        let (object, gathers, latency) = {
            let mut state = self.state.lock().unwrap();
            let object = state.objects.get(&request.input.key).cloned();
            let object = object.ok_or_else(|| s3_error!(NoSuchKey))?;
            state.reading += 1;
            state.reads += 1;
            state.most_reading = state.most_reading.max(state.reading);
            self.gathered.send_replace(state.most_reading);
            (object, state.gathers, state.latency)
        };
        let _ = is_gathered.wait_for(|most| *most >= gathers).await;
        wait(latency).await;
        self.state.lock().unwrap().reading -= 1;
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(object.body.len() as i64),
            content_type: object.content_type,
            metadata: Some(object.metadata.into_iter().collect()),
            last_modified: Some(object.stored_at.into()),
            body: Some(StreamingBlob::from(Body::from(object.body))),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        let state = self.state.lock().unwrap();
        let object = state.objects.get(&request.input.key);
        let object = object.ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.body.len() as i64),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            last_modified: Some(object.stored_at.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        let is_version = self.state.lock().unwrap().remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: is_version.then_some(true),
            ..Default::default()
        }))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        check_bucket(&request.input.bucket)?;
        let latency = self.state.lock().unwrap().latency;
        wait(latency).await;
        let mut state = self.state.lock().unwrap();
        let Delete { objects, quiet } = request.input.delete;
        if objects.len() > 1000 {
            return Err(s3_error!(MalformedXML));
        }
        // As OSS's pages describe it ("DeleteMultipleObjects": `Quiet` is required, `Content-MD5` too, and a key is encoded
        // only if `encoding-type` asks for it; aliyun-oss-python-sdk#119 for what is too many). Its answers have
        // `Deleted` alone: neither its pages nor its SDKs (`DeleteResultXml` of alibabacloud-oss-java-sdk-v2) know an
        // `Error`. With `<Quiet>true</Quiet>` it answers with what failed, and with no body at all if nothing did.
        let is_oss = matches!(self.profile, Profile::Oss { .. });
        if is_oss && quiet.is_none() {
            return Err(s3_error!(MalformedXML));
        }
        let is_quiet = quiet == Some(true);
        if state.has(Quirk::DeniesDeleteObjects) {
            return Err(s3_error!(AccessDenied));
        }
        if state.has(Quirk::NoDeleteObjects) {
            return Err(s3_error!(NotImplemented));
        }
        state.removed_together.push(objects.len());
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for ObjectIdentifier { key, .. } in objects {
            let is_locked = state.locked.contains(&key) || state.denied.contains(&Denied::Delete);
            let fails =
                state.has(Quirk::RemovesAtSecondTry) && state.failed_removals.insert(key.clone());
            let fails = fails || state.unremovable.contains(&key);
            let code = match () {
                () if (is_locked || fails) && is_oss => continue,
                // Others are not known.
                () if is_locked && self.profile != Profile::Aws => continue,
                () if is_locked => Some("AccessDenied"),
                () if fails => Some("InternalError"),
                () => None,
            };
            if let Some(code) = code {
                errors.push(s3s::dto::Error {
                    code: Some(code.to_owned()),
                    key: Some(key),
                    message: Some("as told".to_owned()),
                    ..Default::default()
                });
                continue;
            }
            let is_version = state.remove(&key);
            if is_quiet {
                continue;
            }
            deleted.push(DeletedObject {
                key: Some(key),
                delete_marker: is_version.then_some(true),
                ..Default::default()
            });
        }
        if state.has(Quirk::SaysNothingOfRemovals) {
            deleted.truncate(1);
            errors.clear();
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let latency = self.state.lock().unwrap().latency;
        wait(latency).await;
        let encodes = input
            .encoding_type
            .is_some_and(|form| form.as_str() == EncodingType::URL);
        let prefix = input.prefix.unwrap_or_default();
        // The token has the place; S3 ignores the other beside it.
        let is_continued = input.continuation_token.is_some();
        let after = match input.continuation_token {
            Some(token) => place_of(&token),
            None => input.start_after.unwrap_or_default(),
        };
        let mut state = self.state.lock().unwrap();
        state.listings += 1;
        let page = state.page;
        let (has_gap, after) = match after.strip_prefix(AFTER_GAP) {
            Some(after) => (false, after.to_owned()),
            None => (state.has(Quirk::EmptyPages), after),
        };
        if has_gap {
            return Ok(S3Response::new(ListObjectsV2Output {
                next_continuation_token: Some(token_of(&format!("{AFTER_GAP}{after}"))),
                is_truncated: Some(true),
                ..Default::default()
            }));
        }
        let everything = state.has(Quirk::IgnoresPrefix);
        let begin = match is_continued && state.has(Quirk::PagesOverlap) {
            true => Bound::Included(&after),
            false => Bound::Excluded(&after),
        };
        let rest: Vec<_> = state
            .objects
            .range::<String, _>((begin, Bound::Unbounded))
            .filter(|(key, _)| everything || key.starts_with(&prefix))
            .take(page + 1)
            .collect();
        let object = |(key, object): &(&String, &StoredObject)| Object {
            key: Some((*key).clone()),
            size: Some(object.body.len() as i64),
            last_modified: Some(object.stored_at.into()),
            ..Default::default()
        };
        let mut contents: Vec<_> = rest.iter().take(page).map(object).collect();
        let is_truncated = rest.len() > page;
        let last = contents.last().and_then(|object| object.key.clone());
        let mut output = ListObjectsV2Output {
            next_continuation_token: last.filter(|_| is_truncated).as_deref().map(token_of),
            is_truncated: Some(is_truncated),
            ..Default::default()
        };
        if state.has(Quirk::TruncatedWithoutToken) {
            output.is_truncated = Some(true);
            output.next_continuation_token = None;
        }
        let by_turns = if after == "A" { "B" } else { "A" };
        for (quirk, token) in [
            (Quirk::TokenRepeats, "A"),
            (Quirk::TokensAlternate, by_turns),
        ] {
            if state.has(quirk) {
                output.is_truncated = Some(true);
                output.next_continuation_token = Some(token.to_owned());
            }
        }
        if state.has(Quirk::NoTruncatedFlag) {
            output.is_truncated = None;
        }
        if state.has(Quirk::OutOfOrder) {
            contents.reverse();
        }
        if state.has(Quirk::EncodesKeysSilently) {
            for object in &mut contents {
                object.key = object.key.take().map(|key| key.replace('/', "%2F"));
            }
        } else if encodes && !state.has(Quirk::EncodesNothing) {
            for object in &mut contents {
                object.key = object.key.take().map(|key| encoded(&key, self.profile));
            }
            output.prefix = Some(encoded(&prefix, self.profile));
            output.encoding_type = Some(EncodingType::from_static(EncodingType::URL));
        }
        output.contents = Some(contents);
        Ok(S3Response::new(output))
    }
}

/// The token for what follows this key. As those of AWS, Garage and MinIO, it shows no key.
fn token_of(after: &str) -> String {
    BASE64_STANDARD.encode(after)
}

/// The key behind which a token goes on. Another text is its own.
fn place_of(token: &str) -> String {
    let place = BASE64_STANDARD.decode(token).ok();
    let place = place.and_then(|place| String::from_utf8(place).ok());
    place.unwrap_or_else(|| token.to_owned())
}

/// A key in a listing for which `encoding-type=url` was asked.
///
/// AWS and MinIO write `+` for a space and leave the slash (backlot#178, measured on AWS; minio-java#1072). Garage
/// (`uri_encode` in its `src/api/common/encoding.rs`) and Ceph (s3-tests' `test_bucket_list_encoding_basic`, as
/// ozone#10586 has it) write `%20`. OSS's SDKs take both (`url.QueryUnescape` in that for Go), and any encoded slash.
/// All of them encode a `+`. Tokens are never encoded.
fn encoded(key: &str, profile: Profile) -> String {
    const PLAIN: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    const PATH: &percent_encoding::AsciiSet = &PLAIN.remove(b'/');
    match profile {
        Profile::Aws => percent_encoding::utf8_percent_encode(key, PATH)
            .to_string()
            .replace("%20", "+"),
        Profile::Oss { .. } => percent_encoding::utf8_percent_encode(key, PLAIN).to_string(),
        _ => percent_encoding::utf8_percent_encode(key, PATH).to_string(),
    }
}

/// The body has each checksum that its headers and its trailers state, and each that they announce is
/// there. boto3 sends one with every PUT since 1.36: in a header over HTTP, in a trailer over TLS.
///
/// As AWS answered: `BadDigest` to one that is wrong (ministack#1497 for headers, versitygw#1694 for
/// trailers), `MalformedTrailerError` where the announced one is missing (versitygw#1600).
fn check_checksums(headers: &HeaderMap, trailers: &HeaderMap, body: &[u8]) -> S3Result<()> {
    let mut hasher = ChecksumHasher {
        crc32: Some(Default::default()),
        crc32c: Some(Default::default()),
        sha1: Some(Default::default()),
        sha256: Some(Default::default()),
        crc64nvme: Some(Default::default()),
    };
    hasher.update(body);
    let checksums = hasher.finalize();
    for (name, checksum) in [
        ("x-amz-checksum-crc32", checksums.checksum_crc32),
        ("x-amz-checksum-crc32c", checksums.checksum_crc32c),
        ("x-amz-checksum-sha1", checksums.checksum_sha1),
        ("x-amz-checksum-sha256", checksums.checksum_sha256),
        ("x-amz-checksum-crc64nvme", checksums.checksum_crc64nvme),
    ] {
        let is_announced = headers.get("x-amz-trailer").is_some_and(|v| v == name);
        if is_announced && !trailers.contains_key(name) {
            let code = S3ErrorCode::Custom("MalformedTrailerError".into());
            let mut error = S3Error::new(code);
            error.set_status_code(hyper::StatusCode::BAD_REQUEST);
            return Err(error);
        }
        let mut stated = [headers, trailers]
            .into_iter()
            .flat_map(|m| m.get_all(name));
        if stated.any(|value| value.to_str().ok() != checksum.as_deref()) {
            return Err(s3_error!(BadDigest));
        }
    }
    Ok(())
}

/// The samples of ministack#1497, which AWS answered.
#[test]
fn a_body_with_another_checksum_than_is_stated_is_refused() {
    let map = |name: &'static str, value: &'static str| {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    };
    let (none, name) = (HeaderMap::new(), "x-amz-checksum-crc32");
    let announced = map("x-amz-trailer", name);
    let code = |headers: &HeaderMap, trailers: &HeaderMap| {
        let error = check_checksums(headers, trailers, b"hello\n").err()?;
        Some(error.code().as_str().to_owned())
    };
    assert_eq!(code(&none, &none), None);
    assert_eq!(code(&map(name, "NjowIA=="), &none), None);
    assert_eq!(code(&announced, &map(name, "NjowIA==")), None);
    let refused = |code: &str| Some(code.to_owned());
    assert_eq!(code(&map(name, "AAAAAA=="), &none), refused("BadDigest"));
    assert_eq!(
        code(&announced, &map(name, "AAAAAA==")),
        refused("BadDigest")
    );
    assert_eq!(code(&announced, &none), refused("MalformedTrailerError"));
}

/// Begins the token that leads on from a page without objects.
const AFTER_GAP: &str = "after-gap:";

/// What a PUT says of encryption.
fn encryption(headers: &HeaderMap) -> BTreeMap<String, String> {
    let said = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let rest = name
            .strip_prefix("x-amz-")
            .or(name.strip_prefix("x-oss-"))?;
        let value = value.to_str().unwrap().to_owned();
        rest.starts_with("server-side")
            .then(|| (rest.to_owned(), value))
    });
    said.collect()
}

fn check_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET {
        Ok(())
    } else {
        Err(s3_error!(NoSuchBucket))
    }
}

fn file_already_exists() -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom("FileAlreadyExists".into()));
    error.set_status_code(hyper::StatusCode::CONFLICT);
    error.set_headers(HeaderMap::from_iter([(
        HeaderName::from_static("x-oss-ec"),
        HeaderValue::from_static("0026-00000002"),
    )]));
    error
}
