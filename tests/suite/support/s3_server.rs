//! An S3 server in the test's process: signatures verified by s3s, objects in a map behind one
//! lock, and the quirks of the services the archive meets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::*;
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub const ACCESS_KEY_ID: &str = "AKIATESTTESTTESTTEST";
pub const SECRET_ACCESS_KEY: &str = "s3-secret-that-must-not-show";
pub const BUCKET: &str = "consoles";

/// Objects in one page of a listing, so that a handful of them needs several.
const PAGE: usize = 3;

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
}

#[derive(Clone)]
pub struct StoredObject {
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub stored_at: SystemTime,
}

pub struct S3Server {
    /// Where it listens.
    pub own_port: u16,
    /// In its address.
    port: u16,
    profile: Profile,
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
    denied: Vec<Denied>,
    clock_ahead: SignedDuration,
}

struct Objects {
    profile: Profile,
    state: Arc<Mutex<State>>,
}

impl S3Server {
    /// `public_port` is in its address in place of its own: that of a proxy that keeps `Host`.
    pub async fn start(profile: Profile, public_port: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let port = public_port.unwrap_or(own_port);
        let state = Arc::new(Mutex::new(State::default()));
        let mut builder = S3ServiceBuilder::new(Objects {
            profile,
            state: state.clone(),
        });
        // The front looks at dates, by a clock of its own.
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        if matches!(profile, Profile::Oss { .. }) {
            builder.set_host(SingleDomain::new(&format!("localhost:{port}")).unwrap());
        }
        let front = Arc::new(Front {
            profile,
            state: state.clone(),
            service: builder.build(),
        });
        let server = tokio::spawn(serve(listener, front));
        Self {
            own_port,
            port,
            profile,
            state,
            server,
        }
    }

    /// What `AWS_ENDPOINT_URL_S3` is set to.
    pub fn endpoint_url(&self) -> String {
        match self.profile {
            Profile::Oss { .. } => format!("http://localhost:{}", self.port),
            _ => format!("http://127.0.0.1:{}", self.port),
        }
    }

    pub fn objects(&self) -> BTreeMap<String, StoredObject> {
        self.state.lock().unwrap().objects.clone()
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

    /// How many PUTs came, whatever became of them.
    pub fn puts(&self) -> usize {
        self.state.lock().unwrap().puts
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

async fn serve(listener: TcpListener, front: Arc<Front>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let front = front.clone();
        // A second handle on the socket, so that a fault can make its closing a reset.
        let stream = stream.into_std().unwrap();
        let socket = Arc::new(socket2::Socket::from(stream.try_clone().unwrap()));
        let stream = TcpStream::from_std(stream).unwrap();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let (front, socket) = (front.clone(), socket.clone());
                async move {
                    let mut answer = front.answer(request, &socket).await?;
                    answer.headers_mut().insert("date", front.date());
                    Ok::<_, ConnectionEnds>(answer)
                }
            });
            let io = TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
    }
}

/// What stands before s3s: faults, and the refusals of OSS that s3s does not know.
struct Front {
    profile: Profile,
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
        let fault = is_put
            .then(|| {
                let mut state = self.state.lock().unwrap();
                state.puts += 1;
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
        let mut answer = answer.map(|body| body.map_err(std::io::Error::other).boxed());
        if fault == Some(Fault::WrongContentType) {
            let html = hyper::header::HeaderValue::from_static("text/html");
            answer.headers_mut().insert("content-type", html);
        }
        Ok(answer)
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
            "GET" if lists => Denied::List,
            "GET" | "HEAD" => Denied::Get,
            _ => return false,
        };
        self.state.lock().unwrap().denied.contains(&asks)
    }

    fn refusal(
        &self,
        request: &Request<Incoming>,
    ) -> Option<(u16, &'static str, Option<&'static str>)> {
        if !matches!(self.profile, Profile::Oss { .. }) {
            return None;
        }
        let headers = request.headers();
        let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap());
        if !header("host")?.starts_with(&format!("{BUCKET}.")) {
            return Some((403, "SecondLevelDomainForbidden", Some("0003-00001401")));
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
        let S3Request { input, headers, .. } = request;
        check_bucket(&input.bucket)?;
        let mut body = Vec::new();
        let mut pieces = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|_| s3_error!(IncompleteBody))?);
        }
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
        let state = self.state.lock().unwrap();
        let object = state
            .objects
            .get(&request.input.key)
            .ok_or_else(|| s3_error!(NoSuchKey))?
            .clone();
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
            last_modified: Some(object.stored_at.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        self.state
            .lock()
            .unwrap()
            .objects
            .remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let state = self.state.lock().unwrap();
        let rest: Vec<_> = state
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && **key > after)
            .collect();
        let object = |(key, object): &(&String, &StoredObject)| Object {
            key: Some((*key).clone()),
            size: Some(object.body.len() as i64),
            last_modified: Some(object.stored_at.into()),
            ..Default::default()
        };
        let contents: Vec<_> = rest.iter().take(PAGE).map(object).collect();
        let is_truncated = rest.len() > PAGE;
        Ok(S3Response::new(ListObjectsV2Output {
            next_continuation_token: contents
                .last()
                .filter(|_| is_truncated)
                .and_then(|o| o.key.clone()),
            contents: Some(contents),
            is_truncated: Some(is_truncated),
            ..Default::default()
        }))
    }
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
        hyper::header::HeaderName::from_static("x-oss-ec"),
        hyper::header::HeaderValue::from_static("0026-00000002"),
    )]));
    error
}
