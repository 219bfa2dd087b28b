//! What the doubles share: a port with an accept loop, and answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// Answers every request until the task is aborted; its connections end with it.
pub fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, std::convert::Infallible>(answered.await) }
                });
                let io = TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .await;
            });
        }
    })
}

/// A double on a port of its own. It ends when this is dropped.
pub struct Listening {
    port: u16,
    server: JoinHandle<()>,
}

impl Listening {
    pub async fn start<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = serve(listener, answer);
        Self { port, server }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn plain(status: u16, body: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status);
    response.body(Full::from(body.to_owned())).unwrap()
}

/// An answer of AWS's JSON protocol of this version.
pub fn aws_json(version: &str, status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut answer = plain(status, &body.to_string());
    let media_type = format!("application/x-amz-json-{version}");
    let media_type = media_type.parse().unwrap();
    answer.headers_mut().insert("content-type", media_type);
    answer
}
