//! A Lambda Runtime API on loopback: it hands events to the real `bootstrap` and takes its answers.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::http::serve;
use super::printed::{Printed, assert_no_secret};
use super::program;

/// What an invocation has, as configured for the function.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// Too short for many tries, for what is to fail.
pub const SHORT_TIMEOUT: Duration = Duration::from_millis(1500);

/// Given besides the time that an invocation is told, because a machine that runs many tests may
/// take that long for nothing.
const ALLOWED: Duration = Duration::from_secs(10);

struct Invocation {
    payload: Vec<u8>,
    timeout: Duration,
    answer: oneshot::Sender<Answer>,
}

/// What the function answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// An invocation's result.
    Response(Value),
    /// An invocation's failure: `errorType` and `errorMessage`.
    Error {
        error_type: String,
        error_message: String,
    },
}

/// A running `bootstrap`, as on AWS Lambda.
pub struct Function {
    process: Process,
    printed: Printed,
    started_at: Instant,
    invocations: mpsc::UnboundedSender<Invocation>,
    asked: watch::Receiver<Vec<Instant>>,
    server: JoinHandle<()>,
    owner: JoinHandle<()>,
}

/// The function's process, for whoever is to kill it.
#[derive(Clone)]
pub struct Process {
    /// As under `/proc`.
    pub id: u32,
    kill: Arc<Notify>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Ends it with SIGKILL, and returns when it is gone.
    pub async fn kill(&self) {
        self.kill.notify_one();
        self.ended().await;
    }

    /// Waits for its end.
    pub async fn ended(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await.unwrap();
        status.unwrap()
    }
}

/// Waits for the process, and kills it when told to or with the task.
async fn own(mut child: Child, kill: Arc<Notify>, ended: watch::Sender<Option<ExitStatus>>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = kill.notified() => {
            child.start_kill().unwrap();
            child.wait().await
        }
    };
    ended.send_replace(Some(status.unwrap()));
}

/// "Understanding the Lambda execution environment lifecycle", section "Invoke phase": the phase
/// ends when the runtime and all extensions ask for the next event; until then no invocation is
/// delivered. What takes longer than the function's time-out is reset.
struct RuntimeApi {
    next: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    current: Mutex<Option<oneshot::Sender<Answer>>>,
    extension: watch::Sender<Extension>,
    /// When the program asked for an event, each time.
    asked: watch::Sender<Vec<Instant>>,
    /// When the current invocation's time is over.
    ends_at: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extension {
    NotRegistered,
    Busy,
    /// It asks for the next event.
    Waiting,
}

impl Function {
    /// Starts the binary with these settings and no others, but for the log's level: the finest.
    pub async fn start(settings: &[(String, String)]) -> Self {
        let trace = [("AWS_LAMBDA_LOG_LEVEL".to_owned(), "TRACE".to_owned())];
        let settings = [&trace, settings].concat();
        Self::start_command(&[program("bootstrap").into()], &settings).await
    }

    /// Starts any program for the Runtime API: its path, its arguments, and these settings and no
    /// others.
    pub async fn start_command(command: &[OsString], settings: &[(String, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (invocations, next) = mpsc::unbounded_channel();
        let api = Arc::new(RuntimeApi {
            next: Mutex::new(next),
            current: Mutex::default(),
            extension: watch::Sender::new(Extension::NotRegistered),
            asked: watch::Sender::new(Vec::new()),
            ends_at: Mutex::default(),
        });
        let asked = api.asked.subscribe();
        let server = serve(listener, move |request| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        let printed = Printed::new();
        let started_at = Instant::now();
        let child = Command::new(&command[0])
            .args(&command[1..])
            .env_clear()
            .envs(settings.iter().cloned())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "console-archiver")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .stdout(printed.stdio())
            .stderr(printed.stdio())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (ends, ended) = watch::channel(None);
        let process = Process {
            id: child.id().unwrap(),
            kill: Arc::default(),
            ended,
        };
        let owner = tokio::spawn(own(child, process.kill.clone(), ends));
        Self {
            process,
            printed,
            started_at,
            invocations,
            asked,
            server,
            owner,
        }
    }

    /// When the process was started.
    #[allow(dead_code)] // Benchmarks use it.
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Waits until the program has asked for an event so many times; when it last did.
    #[allow(dead_code)] // Benchmarks use it.
    pub async fn asked_at(&self, times: usize) -> Instant {
        let mut asked = self.asked.clone();
        let asked = asked.wait_for(|asked| asked.len() >= times).await.unwrap();
        asked[times - 1]
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Delivers a payload and waits for the answer.
    pub async fn invoke(&self, payload: &[u8], timeout: Duration) -> Answer {
        let answer = self.try_invoke(payload, timeout).await;
        answer.unwrap_or_else(|status| panic!("the function ended: {status}"))
    }

    /// The same, where the process may end before it answers.
    pub async fn try_invoke(
        &self,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Answer, ExitStatus> {
        let (sender, answer) = oneshot::channel();
        let invocation = Invocation {
            payload: payload.to_vec(),
            timeout,
            answer: sender,
        };
        self.invocations.send(invocation).unwrap();
        tokio::select! {
            biased; // What was answered before the end is an answer.
            answer = answer => {
                let answer = answer.expect("the function took the event and never answered");
                assert_no_secret(format!("{answer:?}").as_bytes());
                Ok(answer)
            }
            status = self.process.ended() => Err(status),
        }
    }

    /// The same, where the answer must be a result.
    pub async fn result_of(&self, payload: &[u8]) -> Value {
        match self.invoke(payload, TIMEOUT).await {
            Answer::Response(value) => value,
            Answer::Error {
                error_type,
                error_message,
            } => panic!("{error_type}: {error_message}"),
        }
    }

    /// The same, where the answer must be a failure after a short time; its type and its message.
    pub async fn failure_of(&self, payload: &[u8]) -> (String, String) {
        match self.invoke(payload, SHORT_TIMEOUT).await {
            Answer::Error {
                error_type,
                error_message,
            } => (error_type, error_message),
            Answer::Response(value) => panic!("the invocation succeeded: {value}"),
        }
    }

    /// Ends the process; its log.
    pub async fn stop(self) -> String {
        self.process.kill().await;
        self.printed.text()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
        self.owner.abort();
    }
}

impl RuntimeApi {
    /// Waits for a registered extension to ask for the next event, as long as the invocation before
    /// has time.
    async fn has_idle_extension(&self) -> bool {
        let mut extension = self.extension.subscribe();
        let idle = extension.wait_for(|state| *state != Extension::Busy);
        match *self.ends_at.lock().await {
            Some(end) => tokio::time::timeout_at(end, idle).await.is_ok(),
            None => idle.await.is_ok(), // Its initialization.
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let (is_get, is_error) = (request.method() == Method::GET, path.ends_with("/error"));
        if is_get && path == "/2018-06-01/runtime/invocation/next" {
            self.asked.send_modify(|asked| asked.push(Instant::now()));
            let Some(invocation) = self.next.lock().await.recv().await else {
                return std::future::pending().await; // The test is over.
            };
            if !self.has_idle_extension().await {
                // As Lambda reports what it has reset.
                let _ = invocation.answer.send(Answer::Error {
                    error_type: "Sandbox.Timedout".into(),
                    error_message: "Task timed out: an extension did not ask for more".into(),
                });
                return std::future::pending().await;
            }
            *self.ends_at.lock().await = Some(Instant::now() + invocation.timeout + ALLOWED);
            self.extension.send_if_modified(|state| {
                let invoked = *state == Extension::Waiting;
                if invoked {
                    *state = Extension::Busy;
                }
                invoked
            });
            *self.current.lock().await = Some(invocation.answer);
            let deadline = SystemTime::now() + invocation.timeout;
            let deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis();
            return Response::builder()
                .header(
                    "lambda-runtime-aws-request-id",
                    "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                )
                .header("lambda-runtime-deadline-ms", deadline.to_string())
                .header(
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:us-east-1:1:function:a",
                )
                .header(
                    "lambda-runtime-trace-id",
                    "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                )
                .body(Full::from(invocation.payload))
                .unwrap();
        }
        if path == "/2020-01-01/extension/register" {
            self.extension.send_replace(Extension::Busy);
            return Response::builder()
                .header("lambda-extension-identifier", "extension-1")
                .body(Full::from(
                    r#"{"functionName":"f","functionVersion":"1","handler":"bootstrap"}"#,
                ))
                .unwrap();
        }
        if path == "/2020-01-01/extension/event/next" {
            let mut extension = self.extension.subscribe();
            self.extension.send_replace(Extension::Waiting);
            let invoked = extension.wait_for(|state| *state == Extension::Busy);
            drop(invoked.await.unwrap());
            let event = r#"{"eventType":"INVOKE","deadlineMs":0,"requestId":"r","invokedFunctionArn":"a","tracing":{"type":"X-Amzn-Trace-Id","value":"v"}}"#;
            return Response::new(Full::from(event));
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = if is_error {
            let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
            Answer::Error {
                error_type: text("errorType"),
                error_message: text("errorMessage"),
            }
        } else {
            Answer::Response(value)
        };
        if let Some(sender) = self.current.lock().await.take() {
            let _ = sender.send(answer);
        }
        Response::builder()
            .status(202)
            .body(Full::default())
            .unwrap()
    }
}
