//! The function as an HTTP server: Function Compute's custom runtime, or a plain receiver of
//! webhooks. Besides the simulator, only this file listens.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::capture::Archiver;
use crate::credentials::{Credentials, CredentialsProvider, Secret};
use crate::delivery::MAX_EVENT_BYTES;
use crate::ecs::{ConsoleSource, Fleet};
use crate::handler::Payload;
use crate::retry::Deadline;
use crate::store::Store;
use crate::webhook::{Headers, Push};

/// Requests served at once; more are told to come back.
const MAX_REQUESTS: usize = 64;
/// A sender that takes longer to send its head or its body is cut off.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head, in bytes, as Function Compute has it.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// What a request has where nothing says it.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// Kept of an invocation's time for its answer.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);
/// Connections that are idle or hang are not waited for longer, at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which host this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// AWS Lambda; see [`crate::lambda`].
    Lambda,
    /// Function Compute, which sends its requests to this port.
    FunctionCompute {
        /// On every address of the machine.
        port: u16,
    },
    /// Any machine.
    Webhook {
        /// Where it listens.
        listen: SocketAddr,
    },
}

/// Serves requests until the process is told to end, and finishes what it acknowledged.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve<C, S>(
    archiver: Archiver<C, S>,
    credentials: CredentialsProvider,
    host: Host,
) -> std::io::Result<()>
where
    C: ConsoleSource + Fleet + Clone + Send + Sync + 'static,
    S: Store + Clone + 'static,
{
    let listen = match host {
        Host::Webhook { listen } => listen,
        // On loopback alone the platform does not find it.
        Host::FunctionCompute { port } => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        Host::Lambda => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let listener = TcpListener::bind(listen).await?;
    info!("listening on {}", listener.local_addr()?);
    let unfollowed = Archiver {
        follow_budget: Duration::ZERO,
        ..archiver.clone()
    };
    let server = Arc::new(Server {
        archiver,
        unfollowed,
        credentials,
        host,
        is_ending: AtomicBool::new(false),
        requests: Semaphore::new(MAX_REQUESTS),
        after_answers: TaskTracker::new(),
    });
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Too many open files, or a client that has gone: the next may be better.
                    warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let serving = server.clone();
        let service = service_fn(move |request| {
            let server = serving.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).max_buf_size(MAX_HEAD_BYTES);
        // The platform keeps its connections for long, and is no stranger.
        let is_platform = matches!(host, Host::FunctionCompute { .. });
        http.header_read_timeout((!is_platform).then_some(READ_TIMEOUT));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that goes away ends here.
            let _ = connection.await;
        });
    }
    info!("ending: what was acknowledged is finished first");
    server.is_ending.store(true, Ordering::Relaxed);
    drop(listener);
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, connections.shutdown()).await;
    server.after_answers.close();
    server.after_answers.wait().await;
    Ok(())
}

struct Server<C, S> {
    archiver: Archiver<C, S>,
    /// For requests after which the host stops the process's time.
    unfollowed: Archiver<C, S>,
    credentials: CredentialsProvider,
    host: Host,
    is_ending: AtomicBool,
    requests: Semaphore,
    /// What is followed after its answer.
    after_answers: TaskTracker,
}

type Answer = Response<Full<Bytes>>;

impl<C, S> Server<C, S>
where
    C: ConsoleSource + Fleet + Clone + Send + Sync + 'static,
    S: Store + Clone + 'static,
{
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let Ok(_permit) = self.requests.try_acquire() else {
            return error(
                StatusCode::SERVICE_UNAVAILABLE,
                "TooManyRequests",
                "come back later",
            );
        };
        match self.host {
            Host::FunctionCompute { .. } => self.clone().function_compute(request).await,
            _ => self.clone().webhook(request).await,
        }
    }

    async fn webhook(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => answer(StatusCode::OK, &json!("alive")),
            (&Method::GET | &Method::HEAD, "/readyz") => {
                if self.is_ending.load(Ordering::Relaxed) {
                    error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "Ending",
                        "this process ends",
                    )
                } else {
                    answer(StatusCode::OK, &json!("ready"))
                }
            }
            (&Method::POST, _) => self.push(request, true).await,
            _ => error(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "events are sent with POST; GET knows /healthz and /readyz",
            ),
        }
    }

    /// `follows`: the process goes on after the answer.
    async fn push(self: Arc<Self>, request: Request<Incoming>, follows: bool) -> Answer {
        let headers = headers_of(request.headers());
        let body = match body(request).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let push = Push {
            headers: &headers,
            body: &body,
            is_authenticated: false,
        };
        let archiver = if follows {
            &self.archiver
        } else {
            &self.unfollowed
        };
        let deadline = Deadline::after(REQUEST_TIME);
        let mut reply = archiver.dispatch(Payload::Http(&push), deadline).await;
        let deferred = std::mem::take(&mut reply.deferred);
        if !deferred.is_empty() {
            let server = self.clone();
            let deadline = Deadline::after(self.archiver.follow_budget + REQUEST_TIME);
            self.after_answers.spawn(async move {
                server.archiver.finish_deferred(deferred, deadline).await;
            });
        }
        let (status, body) = reply.to_http();
        answer(status, &body)
    }

    async fn function_compute(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let header = |name: &str| {
            let text = request.headers().get(name)?.to_str().ok()?;
            Some(text.to_owned()).filter(|text| !text.is_empty())
        };
        // Without a role they are empty, and the settings' own credentials stay.
        if let (Some(access_key_id), Some(secret)) = (
            header("x-fc-access-key-id"),
            header("x-fc-access-key-secret"),
        ) {
            let fresh = Credentials {
                access_key_id,
                access_key_secret: Secret::new(secret),
                security_token: header("x-fc-security-token").map(Secret::new),
            };
            self.credentials.put(fresh).await;
        }
        let path = header("x-fc-control-path").unwrap_or_else(|| request.uri().path().to_owned());
        let id = header("x-fc-request-id").unwrap_or_default();
        match path.as_str() {
            "/invoke" => {
                let timeout = header("x-fc-function-timeout").and_then(|text| text.parse().ok());
                let time = timeout.map_or(REQUEST_TIME, Duration::from_secs);
                let deadline = Deadline::after(time).earlier_by(ANSWER_RESERVE);
                let lines = LogLines::start("Invoke", id);
                let answer = self.invoke(request, deadline).await;
                lines.end(answer.status().is_success());
                answer
            }
            "/http-invoke" => {
                let lines = LogLines::start("Invoke", id);
                // The platform stops the process's time with the answer.
                let answer = self.push(request, false).await;
                lines.end(!answer.status().is_server_error());
                answer
            }
            "/initialize" => {
                LogLines::start("Initialize", id).end(true);
                answer(StatusCode::OK, &json!("ready"))
            }
            "/pre-freeze" | "/pre-stop" => answer(StatusCode::OK, &json!("done")),
            _ => error(
                StatusCode::NOT_FOUND,
                "NotFound",
                "expected one of Function Compute's control paths",
            ),
        }
    }

    async fn invoke(&self, request: Request<Incoming>, deadline: Deadline) -> Answer {
        let payload = match body(request).await {
            Ok(body) => body,
            Err(refused) => return failed_invocation(refused),
        };
        let payload = Payload::Invocation(&payload);
        let mut reply = self.archiver.dispatch(payload, deadline).await;
        let deferred = std::mem::take(&mut reply.deferred);
        self.archiver.finish_deferred(deferred, deadline).await;
        match reply.to_json() {
            Ok(reply) => answer(StatusCode::OK, &reply),
            Err(failure) => failed_invocation(answer(StatusCode::NOT_FOUND, &failure.to_json())),
        }
    }
}

/// Without the header, Function Compute takes any answer for a success: no retry, no destination
/// for failures.
fn failed_invocation(mut answer: Answer) -> Answer {
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let failed = hyper::header::HeaderValue::from_static("404");
    answer.headers_mut().insert("x-fc-status", failed);
    answer
}

/// The lines between which Function Compute's log service files everything under a request.
struct LogLines {
    what: &'static str,
    id: String,
}

impl LogLines {
    fn start(what: &'static str, id: String) -> Self {
        let id: String = id
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .take(128)
            .collect();
        crate::log::line(&format!("FC {what} Start RequestId: {id}"));
        Self { what, id }
    }

    fn end(self, is_good: bool) {
        let Self { what, id } = self;
        let error = if is_good {
            ""
        } else {
            ", Error: Handled function error"
        };
        crate::log::line(&format!("FC {what} End RequestId: {id}{error}"));
    }
}

/// At most a byte more than any event may have, within the time a body may take.
async fn body(request: Request<Incoming>) -> Result<Bytes, Answer> {
    let body = Limited::new(request.into_body(), MAX_EVENT_BYTES).collect();
    match tokio::time::timeout(READ_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(cause)) if cause.is::<http_body_util::LengthLimitError>() => {
            let text = format!("at most {MAX_EVENT_BYTES} bytes are read");
            Err(error(StatusCode::PAYLOAD_TOO_LARGE, "InvalidEvent", &text))
        }
        Ok(Err(_)) => Err(error(
            StatusCode::BAD_REQUEST,
            "InvalidEvent",
            "the body was cut off",
        )),
        Err(_) => Err(error(
            StatusCode::REQUEST_TIMEOUT,
            "InvalidEvent",
            "the body took too long",
        )),
    }
}

fn headers_of(headers: &HeaderMap) -> Headers {
    let text =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
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
    let json = hyper::header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert("content-type", json);
    answer
}
