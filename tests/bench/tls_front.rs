//! TLS before a double that does not speak it, with the certificate of the other doubles.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::support::s3_server::tls_acceptor;

pub struct TlsFront {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl TlsFront {
    /// Before this address, such as `http://127.0.0.1:8580`.
    pub async fn before(url: &str) -> Self {
        let upstream = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls_acceptor();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, upstream) = (tls.clone(), upstream.clone());
                connections.spawn(async move {
                    // It passes on pieces, and none of them may wait for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    // Whoever does not trust the authority goes away here.
                    let Ok(mut inner) = tls.accept(stream).await else {
                        return;
                    };
                    let mut outer = TcpStream::connect(upstream).await.unwrap();
                    outer.set_nodelay(true).unwrap();
                    let _ = copy_bidirectional(&mut inner, &mut outer).await;
                });
            }
        });
        Self { address, server }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.server.abort();
    }
}
