//! A relay before a service that holds what it gets until it is told to pass it on.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Relay {
    address: SocketAddr,
    held: watch::Receiver<usize>,
    seen: usize,
    is_open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Relay {
    /// Before this address, such as `http://127.0.0.1:8580`.
    pub async fn before(url: &str) -> Self {
        let upstream = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, opened) = watch::channel(false);
        let (counted, held) = watch::channel(0);
        let server = tokio::spawn(async move {
            loop {
                let (mut inner, _) = listener.accept().await.unwrap();
                let (mut opened, upstream) = (opened.clone(), upstream.clone());
                counted.send_modify(|count| *count += 1);
                tokio::spawn(async move {
                    if opened.wait_for(|is_open| *is_open).await.is_err() {
                        return;
                    }
                    let mut outer = TcpStream::connect(upstream).await.unwrap();
                    let _ = copy_bidirectional(&mut inner, &mut outer).await;
                });
            }
        });
        Self {
            address,
            held,
            seen: 0,
            is_open,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until somebody has connected, or connects once more.
    pub async fn connected(&mut self) {
        let seen = self.seen;
        self.seen = *self.held.wait_for(|held| *held > seen).await.unwrap();
    }

    /// Passes everything on from now on.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}
