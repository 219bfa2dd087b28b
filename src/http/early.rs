//! Connections that are opened before a request needs them.
//!
//! The client connects only for a request. So [`open`] makes a request that is never sent: once the
//! connection stands, with its TLS handshake, a connector keeps it, and the request fails. The first
//! request to the same service, which [`to`] marks, takes the connection.
//!
//! If another request has left a connection to the very same host and port idle meanwhile, the client uses that
//! one, and sends a `HEAD` without a signature, whose answer counts for nothing. ECS and stores have hosts of
//! their own, but the simulator is ECS and STS at one address.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use reqwest::Url;
use tokio::sync::oneshot;
use tower::{Layer, Service};

use super::CONNECT_TIMEOUT;
use crate::lock::lock;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

tokio::task_local! {
    /// What a request asks of the connector, which does not learn where the request goes.
    static ASKED: Asked;
}

#[derive(Clone)]
enum Asked {
    /// To connect to this service, and keep the connection.
    Keep(Url),
    /// To take the connection to this service, if one is kept or about to be.
    Take(Url),
}

/// Opens a connection for the first request to this address, and keeps it until the client's time
/// for connecting is over. Sends nothing over it. Nobody learns of a failure: the request then
/// connects for itself.
pub async fn open(client: reqwest::Client, url: Url) {
    let asked = Asked::Keep(url.clone());
    let _ = ASKED.scope(asked, client.head(url).send()).await;
}

/// Sends a request to this address, over the connection that was opened for it.
pub async fn to<F: Future>(url: Url, request: F) -> F::Output {
    ASKED.scope(Asked::Take(url), request).await
}

fn is_same_service(a: &Url, b: &Url) -> bool {
    let [a, b] = [a, b].map(|url| (url.scheme(), url.host(), url.port_or_known_default()));
    a == b
}

/// Makes a connector of connections `T` keep those that are opened early.
pub(super) struct KeepLayer<T>(PhantomData<fn() -> T>);

impl<T> Default for KeepLayer<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for KeepLayer<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<S, T> Layer<S> for KeepLayer<T> {
    type Service = Keep<S, T>;

    fn layer(&self, connector: S) -> Keep<S, T> {
        Keep {
            connector,
            keepers: Arc::default(),
        }
    }
}

/// A connector that keeps connections.
pub(super) struct Keep<S, T> {
    connector: S,
    keepers: Arc<Mutex<Vec<Keeper<T>>>>,
}

/// Where to ask for the connection to a service that is kept, or about to be.
type Keeper<T> = (Url, oneshot::Sender<Taker<T>>);
/// Where a connection is wanted.
type Taker<T> = oneshot::Sender<T>;

impl<S: Clone, T> Clone for Keep<S, T> {
    fn clone(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            keepers: self.keepers.clone(),
        }
    }
}

impl<S, R, T> Service<R> for Keep<S, T>
where
    S: Service<R, Response = T, Error = BoxError>,
    S::Future: Send + 'static,
    T: Send + 'static,
{
    type Response = T;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // A future of the connector does nothing until it is polled.
        let connecting = self.connector.call(request);
        match ASKED.try_with(Asked::clone) {
            Ok(Asked::Keep(url)) => {
                let (keeper, taker) = oneshot::channel();
                lock(&self.keepers).push((url, keeper));
                Box::pin(keep(connecting, taker))
            }
            Ok(Asked::Take(url)) => {
                let mut keepers = lock(&self.keepers);
                let of_service = |(kept, _): &Keeper<T>| is_same_service(kept, &url);
                match keepers.iter().position(of_service) {
                    Some(index) => Box::pin(take(keepers.swap_remove(index).1, connecting)),
                    None => Box::pin(connecting),
                }
            }
            // Requests that are not marked, such as those for credentials.
            Err(_) => Box::pin(connecting),
        }
    }
}

/// Connects, and keeps the connection until it is wanted. The client's time-out for connecting ends
/// this.
async fn keep<T>(
    connecting: impl Future<Output = Result<T, BoxError>>,
    taker: oneshot::Receiver<Taker<T>>,
) -> Result<T, BoxError> {
    let connection = connecting.await?;
    let since = (Instant::now(), SystemTime::now());
    if let Ok(taker) = taker.await
        && is_fresh(since)
    {
        let _ = taker.send(connection); // The request may have been given up.
    }
    Err("the connection was kept for a later request".into())
}

/// Whether the service has surely not closed a connection that is idle since then. A platform may
/// stop the process, and one of its clocks, between two events.
fn is_fresh((instant, time): (Instant, SystemTime)) -> bool {
    let passed = time.elapsed().unwrap_or_default().max(instant.elapsed());
    passed < CONNECT_TIMEOUT
}

async fn take<T>(
    keeper: oneshot::Sender<Taker<T>>,
    connecting: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let (taker, connection) = oneshot::channel();
    if keeper.send(taker).is_ok()
        && let Ok(connection) = connection.await
    {
        return Ok(connection);
    }
    connecting.await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::http::{HttpOptions, client};

    async fn listener() -> (TcpListener, Url) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        (listener, Url::parse(&url).unwrap())
    }

    /// Answers one request with an empty 200.
    async fn answer(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let response = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(response.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    }

    async fn get(client: &reqwest::Client, url: &Url) -> u16 {
        let request = client.get(url.join("asked").unwrap()).send();
        to(url.clone(), request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn the_first_request_takes_the_connection_and_nothing_was_sent_before() {
        let (listener, url) = listener().await;
        let client = client(&HttpOptions::default()).unwrap();
        let opening = tokio::spawn(open(client.clone(), url.clone()));
        let (mut stream, _) = listener.accept().await.unwrap();
        let (status, request) = tokio::join!(get(&client, &url), answer(&mut stream));
        assert_eq!(status, 200);
        assert!(request.starts_with("GET /asked HTTP/1.1"), "{request}");
        opening.await.unwrap();
        // And later ones find it in the client's pool.
        let (status, _) = tokio::join!(get(&client, &url), answer(&mut stream));
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn a_request_that_comes_first_waits_for_the_connection() {
        let (listener, url) = listener().await;
        let client = client(&HttpOptions::default()).unwrap();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream).await
        };
        let opening = open(client.clone(), url.clone());
        let (_, status, _) = tokio::join!(opening, get(&client, &url), served);
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn a_request_to_another_service_leaves_the_connection() {
        let ((first, kept), (second, other)) = (listener().await, listener().await);
        let client = client(&HttpOptions::default()).unwrap();
        let _opening = tokio::spawn(open(client.clone(), kept.clone()));
        let (mut stream, _) = first.accept().await.unwrap();
        let served = async { answer(&mut second.accept().await.unwrap().0).await };
        let (status, _) = tokio::join!(get(&client, &other), served);
        assert_eq!(status, 200);
        let (status, _) = tokio::join!(get(&client, &kept), answer(&mut stream));
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn a_request_connects_for_itself_where_the_early_connection_failed() {
        let (listener, url) = listener().await;
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = client(&HttpOptions::default()).unwrap();
        open(client.clone(), url.clone()).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let served = async { answer(&mut listener.accept().await.unwrap().0).await };
        let (status, _) = tokio::join!(get(&client, &url), served);
        assert_eq!(status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_wants_is_closed() {
        let (listener, url) = listener().await;
        let client = client(&HttpOptions::default()).unwrap();
        let opening = tokio::spawn(open(client, url));
        let (mut stream, _) = listener.accept().await.unwrap();
        opening.await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn a_connection_is_stale_once_either_clock_says_so() {
        let (instant, time) = (Instant::now(), SystemTime::now());
        assert!(is_fresh((instant, time)));
        let past = instant.checked_sub(CONNECT_TIMEOUT).unwrap();
        assert!(!is_fresh((past, time)));
        assert!(!is_fresh((instant, time - CONNECT_TIMEOUT)));
    }
}
