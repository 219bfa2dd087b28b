//! The one HTTP client of the process, for ECS and, through an adapter, for the AWS SDK: one
//! connection pool, one TLS provider, one set of trusted certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::clock::{Clock, http_date};

pub mod answer; // whether a body is one whole document (pure)
mod proxies;

use answer::{Asked, Expected, Flaw, FlawedAnswer, MAX_ANSWER_BYTES};
pub use proxies::Proxies;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two pieces of an answer, not for the whole of it.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// What can go wrong before the first request.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct HttpSetupError(String);

/// Those of the one client, for errors that are to name what stands between.
static PROXIES: OnceLock<Proxies> = OnceLock::new();

/// How services are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpOptions {
    /// What stands between this program and them.
    pub proxies: Proxies,
    /// Certificates of authorities that are trusted besides the built-in ones, in DER.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// Makes the client.
///
/// Trust comes from the Mozilla roots built into the program: reading the system's store costs
/// milliseconds of every cold start. The roots of `options` come on top, because one process speaks
/// to a store with a private authority and to ECS with a public one.
///
/// # Errors
/// [`HttpSetupError`] when a certificate cannot be a root, or when TLS cannot be set up, which is a
/// defect of the build.
pub fn client(options: &HttpOptions) -> Result<reqwest::Client, HttpSetupError> {
    let failed = |error: &dyn std::fmt::Display| HttpSetupError(error.to_string());
    let _ = PROXIES.set(options.proxies.clone()); // Those of the first client: there is one.
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in &options.extra_roots {
        roots.add(root.clone()).map_err(|error| failed(&error))?;
    }
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none()) // A signature is good for one host only.
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(ATTEMPT_TIMEOUT)
        .user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ))
        .dns_resolver(Arc::new(Resolver))
        .no_proxy() // Not by the client's own reading of the environment, …
        .proxy(options.proxies.clone().into_rule()) // … but by the settings.
        .build()
        .map_err(|error| failed(&error))
}

/// The same client, as the AWS SDK wants it. `clock` learns the time of each answer. `expected` says
/// what an answer that reports success must be.
///
/// No answer takes more memory than [`MAX_ANSWER_BYTES`], but for an object's: that is passed on piece
/// by piece, up to [`answer::MAX_OBJECT_BYTES`]. One that is longer, cut or not what was asked for is a [`FlawedAnswer`].
pub fn sdk_client(
    client: reqwest::Client,
    clock: Clock,
    expected: fn(&Asked) -> Expected,
) -> SharedHttpClient {
    http_client_fn(move |settings, _components| {
        // The clients of the archive and the queue set neither; what looks for instance metadata
        // does, because off its cloud nothing answers.
        let limits = [settings.connect_timeout(), settings.read_timeout()];
        SharedHttpConnector::new(SdkConnector {
            client: client.clone(),
            clock: clock.clone(),
            limit: limits.into_iter().flatten().reduce(|a, b| a + b),
            expected,
        })
    })
}

#[derive(Debug, Clone)]
struct SdkConnector {
    client: reqwest::Client,
    clock: Clock,
    /// Longest time until an answer begins.
    limit: Option<Duration>,
    expected: fn(&Asked) -> Expected,
}

impl HttpConnector for SdkConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self {
            client,
            clock,
            limit,
            expected,
        } = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?
                .map(reqwest::Body::wrap);
            let request = reqwest::Request::try_from(request)
                .map_err(|error| ConnectorError::user(error.into()))?;
            let target = request.headers().get("x-amz-target");
            let expected = expected(&Asked {
                query: request.url().query().unwrap_or_default().to_owned(),
                target: target
                    .and_then(|target| target.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
            });
            let answer = client.execute(request);
            let answer = match limit {
                Some(limit) => tokio::time::timeout(limit, answer)
                    .await
                    .map_err(|error| ConnectorError::timeout(error.into()))?,
                None => answer.await,
            };
            let response = answer.map_err(connector_error)?;
            let date = response.headers().get("date");
            clock.note(date.and_then(|date| http_date(date.to_str().ok()?)));
            let is_success = response.status().is_success();
            let response = if is_success && expected == Expected::Object {
                http::Response::from(response).map(|body| {
                    SdkBody::from_body_1_x(Limited::new(body, answer::MAX_OBJECT_BYTES))
                })
            } else {
                let status = response.status().as_u16();
                let flawed = |flaw| {
                    let flawed = FlawedAnswer { status, flaw };
                    ConnectorError::other(flawed.into(), None)
                };
                let (head, body) = collected(response).await.map_err(flawed)?;
                if is_success {
                    answer::check(expected, &body).map_err(flawed)?;
                }
                http::Response::from_parts(head, SdkBody::from(body))
            };
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// An answer with its whole body. Of an error only the beginning counts.
async fn collected(
    mut response: reqwest::Response,
) -> Result<(http::response::Parts, Vec<u8>), Flaw> {
    let is_success = response.status().is_success();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > MAX_ANSWER_BYTES => {
                if is_success {
                    return Err(Flaw::TooLong);
                }
                body.extend_from_slice(&piece[..MAX_ANSWER_BYTES - body.len()]);
                break;
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) if is_success => {
                return Err(Flaw::Cut(cause(error)));
            }
            Err(_) => break, // Its status says enough.
        }
    }
    let (head, _) = http::Response::from(response).into_parts();
    Ok((head, body))
}

fn connector_error(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(cause(error).into())
    } else {
        ConnectorError::io(cause(error).into())
    }
}

/// What happened, and at which proxy where one stands before the address. The address itself is left
/// out, since it may carry a token.
pub fn cause(error: reqwest::Error) -> String {
    let proxies = PROXIES.get();
    let proxy = error.url().and_then(|url| proxies?.before(url));
    let is_on_the_way = error.is_connect() || error.is_timeout();
    let at_proxy = match proxy.filter(|_| is_on_the_way) {
        Some(proxy) => {
            let port = proxy.port_or_known_default().unwrap_or_default();
            let host = proxy.host_str().unwrap_or_default(); // A password may be in its address.
            format!(" (by the proxy {host}:{port}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY)")
        }
        None => String::new(),
    };
    innermost(&error.without_url()) + &at_proxy
}

/// Looks names up as the system does, but for `localhost` and names below it: RFC 6761 §6.3 gives
/// those to loopback, and not every system's library does. An S3-compatible server on the same
/// machine can then be addressed in virtual-hosted style.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            if host == "localhost" || host.ends_with(".localhost") {
                let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
                return Ok(Box::new(std::iter::once(loopback)) as Addrs);
            }
            // Port 0: the client puts in the address's own.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The innermost cause of an error says what happened.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
