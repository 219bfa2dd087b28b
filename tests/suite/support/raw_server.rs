//! A server that answers with the bytes a test gives, whatever they are, and without an end where
//! the test asks for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// An answer. The connection ends after it.
#[derive(Clone)]
pub struct Raw {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// The length that is told; the body's own by default.
    length: Option<usize>,
    /// The body comes again and again, with no length.
    is_endless: bool,
}

impl Raw {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.into(),
            length: None,
            is_endless: false,
        }
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Says that the body has so many bytes.
    pub fn with_length(mut self, bytes: usize) -> Self {
        self.length = Some(bytes);
        self
    }

    pub fn endless(mut self) -> Self {
        self.is_endless = true;
        self
    }
}

pub struct RawServer {
    port: u16,
    asked: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl RawServer {
    /// Answers every request in this way.
    pub async fn start(answer: Raw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (asking, sending) = (asked.clone(), sent.clone());
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                asking.fetch_add(1, Ordering::Relaxed);
                // A client that goes away in the middle ends its connection only.
                connections.spawn(respond(stream, answer.clone(), sending.clone()));
            }
        });
        Self {
            port,
            asked,
            sent,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// How many bytes of bodies were handed to the network.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// The most bytes that one connection takes from its sender before its reader reads any of them.
/// Kernels since Linux 6.16 let a receive buffer grow to 32 MiB.
pub fn most_unread() -> u64 {
    let most_of = |buffer: &str| -> u64 {
        let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{buffer}")).unwrap();
        sizes.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    most_of("tcp_rmem") + most_of("tcp_wmem")
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn respond(mut stream: TcpStream, answer: Raw, sent: Arc<AtomicU64>) -> std::io::Result<()> {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..read]);
    }
    let Raw {
        status,
        headers,
        body,
        length,
        is_endless,
    } = answer;
    let length = match (is_endless, length) {
        (true, _) => String::new(),
        (false, length) => format!("content-length: {}\r\n", length.unwrap_or(body.len())),
    };
    let head = format!("HTTP/1.1 {status} As told\r\n{headers}{length}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(&body).await?;
        sent.fetch_add(body.len() as u64, Ordering::Relaxed);
        if !is_endless {
            return stream.shutdown().await;
        }
    }
}
