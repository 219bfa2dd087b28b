//! The function as an HTTP server: for Function Compute's custom runtime, or as a plain receiver of
//! webhooks. Besides the simulator, only this file listens for connections.
//!
//! A sender is unknown until its headers prove who it is. They are checked before the body is read.
//! `body` and `line` limit how much memory unknown senders can use.

mod body; // how many bytes of bodies are read and held
pub mod line; // senders that wait, and which of them are disconnected

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::capture::Archiver;
use crate::config::Host;
use crate::credentials::CredentialsProvider;
use crate::hosts::dispatch::{Dispatcher, Payload};
use crate::intake::MAX_EVENT_BYTES;
use crate::intake::webhook::{Headers, MAX_PUSH_BYTES, UrlPath, WebhookRequest};
use crate::lock::lock;
use crate::retry::Deadline;
use crate::source::{ConsoleSource, Fleet};
use crate::store::Store;

use super::function_compute::{Control, LogLines};
use super::places::Places;
use body::{Bodies, Held, Unread};
use line::{Line, Place};

/// Connections that have not sent a complete request. If there are more, the oldest ones are
/// closed.
const MAX_WAITING: usize = 512;
/// Time for a sender to send its head, and time to send its body. Slower senders are disconnected.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes: the limit of Function Compute.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Time for a request if the platform gives none.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// Part of an invocation's time that is reserved for its answer.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);
/// Time for idle and hanging connections to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves requests until SIGTERM or SIGINT. Then it finishes accepted events.
///
/// # Errors
/// If it cannot listen on the address.
pub async fn serve<C, S>(
    dispatcher: Dispatcher<C, S>,
    credentials: CredentialsProvider,
    host: Host,
) -> std::io::Result<()>
where
    C: ConsoleSource + Fleet + Clone + Send + Sync + 'static,
    S: Store + Clone + 'static,
{
    let (listen, setting) = match host {
        Host::Webhook { listen } => (listen, "LISTEN_ADDR"),
        // Function Compute does not connect to loopback.
        Host::FunctionCompute { port } => (
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            "FC_CUSTOM_LISTEN_PORT",
        ),
        Host::Lambda => (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "LISTEN_ADDR"),
    };
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let why = format!(
            "cannot listen on {listen}: {error}; check {setting}: the address must be of this machine, \
             and the port free"
        );
        std::io::Error::new(error.kind(), why)
    })?;
    info!("listening on {}", listener.local_addr()?);
    let unfollowed = Dispatcher {
        archiver: Archiver {
            follow_budget: Duration::ZERO,
            ..dispatcher.archiver.clone()
        },
        ..dispatcher.clone()
    };
    let is_platform = matches!(host, Host::FunctionCompute { .. });
    let server = Arc::new(Server {
        dispatcher,
        unfollowed,
        credentials,
        host,
        is_ending: AtomicBool::new(false),
        places: Places::default(),
        // The platform keeps its connections open, and is trusted.
        waiting: Line::new(if is_platform { usize::MAX } else { MAX_WAITING }),
        bodies: Bodies::new(),
        after_answers: TaskTracker::new(),
    });
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let connections = GracefulShutdown::new();
    if let (false, Some(gate)) = (is_platform, server.dispatcher.gate.clone()) {
        // A wrong setting is in the log at the start, and not only when an event comes. A platform's
        // credentials come with its first request.
        tokio::spawn(async move { gate.prepare().await });
    }
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // There are too many open files, or the client has gone. The next connection
                    // may succeed.
                    warn!("a connection could not be accepted: {error}");
                    server.waiting.cut_off_oldest();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let cut_off = CancellationToken::new();
        let connection = Arc::new(Connection::new(&server.waiting, cut_off.clone()));
        let serving = server.clone();
        let service = service_fn(move |request| {
            let (server, connection) = (serving.clone(), connection.clone());
            async move { Ok::<_, Infallible>(connection.serve(server, request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).max_buf_size(MAX_HEAD_BYTES);
        http.header_read_timeout((!is_platform).then_some(READ_TIMEOUT));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                // A client that disconnects ends here.
                _ = connection => {}
                () = cut_off.cancelled() => debug!("a slow sender was disconnected"),
            }
        });
    }
    info!("shutting down; finishing accepted events first");
    server.is_ending.store(true, Ordering::Relaxed);
    if is_platform {
        // Function Compute kills the process soon, together with an invocation that follows its
        // event.
        server.dispatcher.archiver.ending.cancel();
    }
    drop(listener);
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, connections.shutdown()).await;
    server.after_answers.close();
    server.after_answers.wait().await;
    Ok(())
}

/// A push whose headers and path are accepted.
struct Received {
    headers: Headers,
    path: UrlPath,
    body: Held,
}

struct Server<C, S> {
    dispatcher: Dispatcher<C, S>,
    /// For requests after which the host pauses the process.
    unfollowed: Dispatcher<C, S>,
    credentials: CredentialsProvider,
    host: Host,
    is_ending: AtomicBool,
    /// Requests of unknown senders that find none soon get 503.
    places: Places,
    /// Connections that have not sent the head of a request.
    waiting: Arc<Line>,
    bodies: Bodies,
    /// Events that are followed after their answers.
    after_answers: TaskTracker,
}

type Answer = Response<Full<Bytes>>;

/// A connection. It has a place in the line until the head of a request has arrived, and again
/// after each answer.
struct Connection {
    waiting: Arc<Line>,
    place: Mutex<Option<Place>>,
    cut_off: CancellationToken,
}

impl Connection {
    fn new(waiting: &Arc<Line>, cut_off: CancellationToken) -> Self {
        Self {
            place: Mutex::new(Some(waiting.join(&cut_off))),
            waiting: waiting.clone(),
            cut_off,
        }
    }

    fn set_place(&self, place: Option<Place>) {
        *lock(&self.place) = place;
    }

    async fn serve<C, S>(&self, server: Arc<Server<C, S>>, request: Request<Incoming>) -> Answer
    where
        C: ConsoleSource + Fleet + Clone + Send + Sync + 'static,
        S: Store + Clone + 'static,
    {
        self.set_place(None);
        let answer = server.answer(request, &self.cut_off).await;
        self.set_place(Some(self.waiting.join(&self.cut_off)));
        answer
    }
}

impl<C, S> Server<C, S>
where
    C: ConsoleSource + Fleet + Clone + Send + Sync + 'static,
    S: Store + Clone + 'static,
{
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        cut_off: &CancellationToken,
    ) -> Answer {
        if !matches!(self.host, Host::FunctionCompute { .. }) {
            return self.http(request, true, cut_off).await;
        }
        match Control::of(request.headers()) {
            Control::Invoke => {
                self.take_credentials(request.headers()).await;
                let lines = LogLines::start("Invoke", request.headers());
                let answer = self.invoke(request).await;
                lines.end(answer.status().is_success());
                answer
            }
            Control::Initialize => {
                self.take_credentials(request.headers()).await;
                LogLines::start("Initialize", request.headers()).end(true);
                answer(StatusCode::OK, &json!("ready"))
            }
            Control::Hook => answer(StatusCode::OK, &json!("done")),
            Control::Http => {
                let lines = LogLines::start("Invoke", request.headers());
                // Function Compute pauses the process after the answer.
                let answer = self.http(request, false, cut_off).await;
                lines.end(!answer.status().is_server_error());
                answer
            }
            Control::Unknown => error(
                StatusCode::NOT_FOUND,
                "NotFound",
                "expected one of Function Compute's control paths",
            ),
        }
    }

    async fn take_credentials(&self, headers: &HeaderMap) {
        if let Some(fresh) = super::function_compute::credentials(headers) {
            self.credentials.put(fresh).await;
        }
    }

    /// Serves a request of an unknown sender. Health checks are answered before any limit applies.
    /// `follows`: the process continues after the answer.
    async fn http(
        self: Arc<Self>,
        request: Request<Incoming>,
        follows: bool,
        cut_off: &CancellationToken,
    ) -> Answer {
        let time = super::function_compute::timeout(request.headers()).unwrap_or(REQUEST_TIME);
        let time = time.saturating_sub(ANSWER_RESERVE);
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => answer(StatusCode::OK, &json!("alive")),
            (&Method::GET | &Method::HEAD, "/readyz") => {
                if self.is_ending.load(Ordering::Relaxed) {
                    error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "Ending",
                        "this process is shutting down",
                    )
                } else {
                    answer(StatusCode::OK, &json!("ready"))
                }
            }
            (&Method::POST, _) => match self.receive(request, cut_off).await {
                Ok(received) => self.push(received, follows, time).await,
                Err(refused) => refused,
            },
            _ => {
                let mut answer = error(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "MethodNotAllowed",
                    "send events with POST; GET is for /healthz and /readyz",
                );
                let methods = HeaderValue::from_static("POST");
                answer.headers_mut().insert(ALLOW, methods);
                answer
            }
        }
    }

    /// Checks the headers and the path of a push. Then reads its body.
    async fn receive(
        &self,
        request: Request<Incoming>,
        cut_off: &CancellationToken,
    ) -> Result<Received, Answer> {
        let (head, mut body) = request.into_parts();
        let headers = headers_of(&head.headers);
        let path = UrlPath::new(head.uri.path());
        let refused = match self.refuse_unread(&headers, &path, &head.headers).await {
            Some(refused) => refused,
            None => {
                let read = (self.bodies).read(&mut body, MAX_PUSH_BYTES, READ_TIMEOUT, cut_off);
                match read.await {
                    Ok(body) => {
                        return Ok(Received {
                            headers,
                            path,
                            body,
                        });
                    }
                    Err(unread) => unread_body(unread, MAX_PUSH_BYTES),
                }
            }
        };
        // A sender with `Expect` sends its body only after an answer, so there is nothing to drain.
        if !head.headers.contains_key(EXPECT) {
            self.bodies.drain(body);
        }
        Err(refused)
    }

    /// The answer to a request that is rejected whatever its body is.
    async fn refuse_unread(
        &self,
        headers: &Headers,
        path: &UrlPath,
        head: &HeaderMap,
    ) -> Option<Answer> {
        if let Err(rejection) = self.dispatcher.admit(headers, path).await {
            let (status, body) = rejection.to_http();
            return Some(answer(status, &body));
        }
        let is_plain = |encoding: &HeaderValue| encoding.as_bytes() == b"identity";
        let is_encoded = !head.get_all(CONTENT_ENCODING).iter().all(is_plain);
        is_encoded.then(|| {
            error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "InvalidEvent",
                "the body must be sent without content-encoding",
            )
        })
    }

    /// `time`: what the platform gives a request.
    async fn push(self: Arc<Self>, received: Received, follows: bool, time: Duration) -> Answer {
        // The time to wait for a place is part of the time until the answer.
        let deadline = Deadline::after(REQUEST_TIME);
        let Some(_place) = self.places.take_soon().await else {
            return come_back_later();
        };
        let push = WebhookRequest {
            headers: &received.headers,
            path: &received.path,
            body: &received.body.bytes,
            is_authenticated: false,
        };
        let dispatcher = if follows {
            &self.dispatcher
        } else {
            &self.unfollowed
        };
        let mut reply = dispatcher.dispatch(Payload::Http(&push), deadline).await;
        let deferred = std::mem::take(&mut reply.deferred);
        let archiver = &self.dispatcher.archiver;
        if !follows {
            // A message that the pause cuts off may be sent twice.
            archiver.tell_people(deadline.at_most(time)).await;
        } else if !deferred.is_empty() || archiver.has_to_tell() {
            let server = self.clone();
            let deadline = Deadline::after(self.dispatcher.archiver.follow_budget + REQUEST_TIME);
            self.after_answers.spawn(async move {
                server.dispatcher.finish_deferred(deferred, deadline).await;
            });
        }
        let (status, body) = reply.to_http();
        answer(status, &body)
    }

    async fn invoke(&self, request: Request<Incoming>) -> Answer {
        let time = super::function_compute::timeout(request.headers()).unwrap_or(REQUEST_TIME);
        let deadline = Deadline::after(time).earlier_by(ANSWER_RESERVE);
        let body = body::read_trusted(request.into_body(), MAX_EVENT_BYTES, READ_TIMEOUT);
        let payload = match body.await {
            Ok(body) => body,
            Err(unread) => return failed_invocation(unread_body(unread, MAX_EVENT_BYTES)),
        };
        // Function Compute sends no more requests at once than the function's concurrency. It loses
        // events that are answered with "try again later". So this request waits.
        let Some(_place) = self.places.take_by(deadline).await else {
            return failed_invocation(come_back_later());
        };
        let payload = Payload::Invocation(&payload);
        let mut reply = self.dispatcher.dispatch(payload, deadline).await;
        let deferred = std::mem::take(&mut reply.deferred);
        self.dispatcher.finish_deferred(deferred, deadline).await;
        match reply.to_json() {
            Ok(reply) => answer(StatusCode::OK, &reply),
            Err(failure) => failed_invocation(answer(StatusCode::NOT_FOUND, &failure.to_json())),
        }
    }
}

/// Marks a failed invocation. Without this header, Function Compute takes any answer as a success:
/// it does not retry, and does not use the destination for failures.
fn failed_invocation(mut answer: Answer) -> Answer {
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let failed = HeaderValue::from_static("404");
    answer.headers_mut().insert("x-fc-status", failed);
    answer
}

fn unread_body(unread: Unread, limit: usize) -> Answer {
    match unread {
        Unread::TooLarge => {
            let text = format!("the body has more than {limit} bytes");
            error(StatusCode::PAYLOAD_TOO_LARGE, "InvalidEvent", &text)
        }
        Unread::TooSlow => error(
            StatusCode::REQUEST_TIMEOUT,
            "InvalidEvent",
            "the body took too long",
        ),
        Unread::CutOff => error(
            StatusCode::BAD_REQUEST,
            "InvalidEvent",
            "the body was cut off",
        ),
        Unread::NoRoom => come_back_later(),
    }
}

fn come_back_later() -> Answer {
    let mut answer = error(
        StatusCode::SERVICE_UNAVAILABLE,
        "TooManyRequests",
        "too many requests at once; send it again later",
    );
    let seconds = HeaderValue::from_static("5");
    answer.headers_mut().insert(RETRY_AFTER, seconds);
    answer
}

fn headers_of(headers: &HeaderMap) -> Headers {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), text(value)))
        .collect()
}

fn error(status: StatusCode, error_type: &str, message: &str) -> Answer {
    answer(
        status,
        &json!({"errorType": error_type, "errorMessage": message}),
    )
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::from(body.to_string()));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
