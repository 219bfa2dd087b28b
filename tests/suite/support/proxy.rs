//! An HTTP proxy that lets nothing through, and knows what it was asked for.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::http::serve;

pub struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let server = serve(listener, move |request| {
            let authority = request.uri().authority().map(ToString::to_string);
            let line = format!("{} {}", request.method(), authority.unwrap_or_default());
            seen.lock().unwrap().push(line);
            async {
                let refused = Response::builder().status(502);
                refused.body(Full::from(Bytes::new())).unwrap()
            }
        });
        Self {
            port,
            asked,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Methods and hosts, each once.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}
