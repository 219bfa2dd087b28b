//! A gate before a service: every request passes it, is counted, and can meet a fault or be held
//! there. Gates that share their [`Calls`] count through, so that "the fifth call" is one of a whole
//! capture.
//!
//! What passes is not changed: signatures cover the host, the path and the body as they were sent.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::runtime_api::Process;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Ecs,
    Store,
    Queue,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection ends, and nothing is done. It passes.
    Drop,
    /// 503, and nothing is done. It passes.
    Unavailable,
    /// 403, and nothing is done. Trying again is no use, so the delivery fails.
    Deny,
    /// The function is killed before the call has an effect.
    KillBefore,
    /// The call has its effect, and the function is killed before it learns so.
    KillAfter,
    /// The call has its effect, and the connection ends without an answer.
    LoseAnswer,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::Drop,
        Self::Unavailable,
        Self::Deny,
        Self::KillBefore,
        Self::KillAfter,
        Self::LoseAnswer,
    ];

    /// The answer in place of the service's.
    fn refusal(self, service: Service) -> Option<Response<Full<Bytes>>> {
        let (status, code) = match (self, service) {
            (Self::Unavailable, _) => (503, "ServiceUnavailable"),
            (Self::Deny, Service::Ecs) => (403, "Forbidden.RAM"),
            (Self::Deny, _) => (403, "AccessDenied"),
            _ => return None,
        };
        let body = match service {
            Service::Ecs => format!(r#"{{"RequestId":"R","Code":"{code}","Message":"as told"}}"#),
            Service::Store => format!("<Error><Code>{code}</Code></Error>"),
            Service::Queue => format!(r#"{{"__type":"com.amazonaws.sqs#{code}"}}"#),
        };
        let response = Response::builder().status(status);
        Some(response.body(Full::from(body)).unwrap())
    }
}

/// What passed the gates, and the one fault that waits there.
#[derive(Default)]
pub struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Number of a call, from 1 on.
    fault: Option<(usize, Fault)>,
    process: Option<Process>,
    before_ecs: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Of each call, its address, headers and body.
    came: watch::Sender<Vec<(Service, String)>>,
    /// Calls with such a text wait until the other end is dropped.
    held: Vec<(String, watch::Receiver<()>)>,
}

/// While it is there, the calls that it is about are held at the gate.
pub struct Hold(
    #[expect(dead_code, reason = "what counts is that it is dropped")] watch::Sender<()>,
);

#[derive(Debug, Clone)]
pub struct Call {
    pub service: Service,
    /// Whether it was a HEAD, which only looks.
    pub looks: bool,
    /// What the function received as the answer's body, if anything.
    pub answer: Option<Bytes>,
}

impl Calls {
    /// The `number`-th call, counted from 1 on, meets this fault.
    pub fn fault_at(&self, number: usize, fault: Fault) {
        self.0.lock().unwrap().fault = Some((number, fault));
    }

    /// What happens before each call reaches ECS: the test moves the guests' clock.
    pub fn before_ecs(&self, act: impl Fn() + Send + Sync + 'static) {
        self.0.lock().unwrap().before_ecs = Some(Arc::new(act));
    }

    /// From now on calls with this text in them are held, as by a service that does
    /// not answer.
    pub fn hold(&self, text: &str) -> Hold {
        let (hold, held) = watch::channel(());
        self.0.lock().unwrap().held.push((text.to_owned(), held));
        Hold(hold)
    }

    /// Waits until the service was called with each of these texts.
    pub async fn until_came(&self, service: Service, texts: &[impl AsRef<str>]) {
        let mut came = self.0.lock().unwrap().came.subscribe();
        let all = came.wait_for(|came| {
            let is_there = |text: &str| {
                came.iter()
                    .any(|(to, said)| *to == service && said.contains(text))
            };
            texts.iter().all(|text| is_there(text.as_ref()))
        });
        all.await.unwrap();
    }

    /// How many calls with this text came before the service was called with the last of the others.
    pub fn came_before(&self, text: &str, service: Service, others: &[impl AsRef<str>]) -> usize {
        let state = self.0.lock().unwrap();
        let came = state.came.borrow();
        let first = |other: &str| {
            let mut came = came.iter();
            came.position(|(to, said)| *to == service && said.contains(other))
        };
        let last = others.iter().map(|other| first(other.as_ref()).unwrap());
        let before = &came[..last.max().unwrap()];
        before
            .iter()
            .filter(|(_, said)| said.contains(text))
            .count()
    }

    /// Which process a fault kills.
    pub fn set_process(&self, process: &Process) {
        self.0.lock().unwrap().process = Some(process.clone());
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().calls.len()
    }

    /// The calls from this many on.
    pub fn since(&self, count: usize) -> Vec<Call> {
        self.0.lock().unwrap().calls[count..].to_vec()
    }

    /// Where the fault was met. Panics if it was not, so that no case passes without its fault.
    pub fn faulted(&self) -> Option<Service> {
        let state = self.0.lock().unwrap();
        let (number, _) = state.fault?;
        Some(state.calls[number - 1].service)
    }

    /// Whether the fault met a call that only looks.
    pub fn faulted_a_look(&self) -> bool {
        let state = self.0.lock().unwrap();
        let met = state
            .fault
            .and_then(|(number, _)| state.calls.get(number - 1));
        met.is_some_and(|call| call.looks)
    }

    fn arrive(&self, service: Service, looks: bool) -> (usize, Option<Fault>) {
        let mut state = self.0.lock().unwrap();
        state.calls.push(Call {
            service,
            looks,
            answer: None,
        });
        let number = state.calls.len();
        let fault = state.fault.filter(|(at, _)| *at == number);
        (number, fault.map(|(_, fault)| fault))
    }

    /// Tells who waits for it that a call came, and waits while it is held.
    async fn pass(&self, service: Service, said: String) {
        let mut held: Vec<_> = {
            let state = self.0.lock().unwrap();
            let held = state.held.iter().filter(|(text, _)| said.contains(text));
            let held = held.map(|(_, hold)| hold.clone()).collect();
            state.came.send_modify(|came| came.push((service, said)));
            held
        };
        for hold in &mut held {
            while hold.changed().await.is_ok() {}
        }
    }

    fn before(&self, service: Service) {
        let act = self.0.lock().unwrap().before_ecs.clone();
        if let (Service::Ecs, Some(act)) = (service, act) {
            act();
        }
    }

    fn answered(&self, number: usize, answer: &Bytes) {
        self.0.lock().unwrap().calls[number - 1].answer = Some(answer.clone());
    }

    async fn kill(&self) {
        let process = self.0.lock().unwrap().process.clone();
        process.unwrap().kill().await;
    }
}

pub struct Gate {
    pub port: u16,
    listener: Option<TcpListener>,
    server: Option<JoinHandle<()>>,
}

impl Gate {
    /// A gate that is shut: its address is known, and what is behind it may be started with that.
    pub async fn shut() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            listener: Some(listener),
            server: None,
        }
    }

    pub fn open(&mut self, service: Service, upstream: u16, calls: Arc<Calls>) {
        let way = Arc::new(Way {
            service,
            upstream,
            calls,
        });
        self.server = Some(tokio::spawn(serve(self.listener.take().unwrap(), way)));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(listener: TcpListener, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let way = way.clone();
                async move { way.pass(request).await }
            });
            let io = TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
    }
}

struct Way {
    service: Service,
    upstream: u16,
    calls: Arc<Calls>,
}

#[derive(Debug, thiserror::Error)]
#[error("the connection ends here")]
struct ConnectionEnds;

impl Way {
    async fn pass(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, ConnectionEnds> {
        let (head, body) = request.into_parts();
        // A call counts when it is there as a whole, and could have its effect.
        let body = body.collect().await.map_err(|_| ConnectionEnds)?.to_bytes();
        let (number, fault) = self.calls.arrive(self.service, head.method == "HEAD");
        let text = String::from_utf8_lossy(&body);
        let said = format!("{} {:?} {text}", head.uri, head.headers);
        self.calls.pass(self.service, said).await;
        match fault {
            Some(Fault::Drop) => return Err(ConnectionEnds),
            Some(Fault::KillBefore) => {
                self.calls.kill().await;
                return Err(ConnectionEnds);
            }
            _ => {}
        }
        if let Some(refusal) = fault.and_then(|fault| fault.refusal(self.service)) {
            return Ok(refusal);
        }
        self.calls.before(self.service);
        let (head, body) = self
            .forward(Request::from_parts(head, Full::from(body)))
            .await
            .into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        match fault {
            Some(Fault::LoseAnswer) => return Err(ConnectionEnds),
            Some(Fault::KillAfter) => {
                self.calls.kill().await;
                return Err(ConnectionEnds);
            }
            _ => {}
        }
        self.calls.answered(number, &body);
        Ok(Response::from_parts(head, Full::from(body)))
    }

    async fn forward(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(("127.0.0.1", self.upstream)).await;
        let io = TokioIo::new(stream.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }
}
