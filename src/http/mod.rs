//! The only HTTP client of the process. ECS calls use it directly, and the AWS SDK through an
//! adapter. So there is one connection pool, one TLS provider and one set of trusted certificates.

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
pub mod bounded; // one request, and its answer up to a limit
pub mod early; // connections before the first request
mod proxies;

use answer::{Asked, Expected, Flaw, FlawedAnswer, MAX_ANSWER_BYTES};
pub use proxies::Proxies;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit between two pieces of an answer, not for the whole answer.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct HttpSetupError(String);

/// The client's proxies. Error messages name the proxy of a request.
static PROXIES: OnceLock<Proxies> = OnceLock::new();

/// How the client reaches services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpOptions {
    /// The proxies in front of the services.
    pub proxies: Proxies,
    /// Certificates of authorities that are trusted besides the built-in ones, as DER.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// Builds the HTTP client.
///
/// It trusts the Mozilla roots that are built into the program, because reading the system's store
/// costs milliseconds at every cold start. It trusts the roots of `options` too, because one
/// process may use a store with a private authority and ECS with a public one.
///
/// # Errors
/// [`HttpSetupError`] if a certificate cannot be a root. Also if TLS cannot be set up, which is a
/// defect of the build.
pub fn client(options: &HttpOptions) -> Result<reqwest::Client, HttpSetupError> {
    client_that_waits(options, READ_TIMEOUT, ATTEMPT_TIMEOUT)
}

/// Builds a client that waits this long for the answer of a service that first works on it.
///
/// # Errors
/// As [`client`].
#[cfg(feature = "cli")]
pub fn patient_client(
    options: &HttpOptions,
    longest: Duration,
) -> Result<reqwest::Client, HttpSetupError> {
    client_that_waits(options, longest, longest)
}

fn client_that_waits(
    options: &HttpOptions,
    read_timeout: Duration,
    timeout: Duration,
) -> Result<reqwest::Client, HttpSetupError> {
    let failed = |error: &dyn std::fmt::Display| HttpSetupError(error.to_string());
    // All clients of the process have the same, so the first call sets them.
    let _ = PROXIES.set(options.proxies.clone());
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
        .redirect(reqwest::redirect::Policy::none()) // A signature is valid for one host only.
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read_timeout)
        .timeout(timeout)
        .user_agent(concat!(
            env!("CARGO_PKG_NAME"),
            "/",
            env!("CARGO_PKG_VERSION")
        ))
        .dns_resolver(Arc::new(Resolver))
        .connector_layer(early::KeepLayer::default())
        .no_proxy() // The client must not read the environment itself,
        .proxy(options.proxies.clone().into_rule()) // because the settings have the proxies.
        .build()
        .map_err(|error| failed(&error))
}

/// Adapts the client for the AWS SDK. `clock` learns the time from each answer. `expected` says
/// what the success answer to a request must be.
///
/// No answer uses more memory than [`MAX_ANSWER_BYTES`]. Objects are an exception: they are passed
/// on in pieces, up to [`answer::MAX_OBJECT_BYTES`]. An answer that is too long, truncated or not
/// the expected one becomes a [`FlawedAnswer`].
pub fn sdk_client(
    client: reqwest::Client,
    clock: Clock,
    expected: fn(&Asked) -> Expected,
) -> SharedHttpClient {
    http_client_fn(move |settings, _components| {
        // The clients of the archive and the queue set neither limit. The look-up of instance
        // metadata sets them, because nothing answers it outside of its cloud.
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
            let expected = expected(&Asked {
                query: request.url().query().unwrap_or_default().to_owned(),
            });
            let url = request.url().clone();
            let answer = early::to(url, client.execute(request));
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

/// Reads an answer completely. Only the beginning of an error answer matters.
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
            Err(_) => break, // The status of an error answer is enough.
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

/// Describes a failed request, and names the proxy if one was used. Leaves out the address, which
/// may contain a token.
pub fn cause(error: reqwest::Error) -> String {
    let proxies = PROXIES.get();
    let proxy = error.url().and_then(|url| proxies?.before(url));
    let is_on_the_way = error.is_connect() || error.is_timeout();
    let at_proxy = match proxy.filter(|_| is_on_the_way) {
        Some(proxy) => {
            let port = proxy.port_or_known_default().unwrap_or_default();
            // Only the host is shown, because the address may contain a password.
            let host = proxy.host_str().unwrap_or_default();
            format!(" (by the proxy {host}:{port}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY)")
        }
        None => String::new(),
    };
    innermost(&error.without_url()) + &at_proxy
}

/// Resolves names as the system does, except `localhost` and names below it: RFC 6761 §6.3 reserves
/// them for loopback, but some system libraries do not follow it. So an S3-compatible server on the
/// same machine can be addressed in virtual-hosted style.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            if host == "localhost" || host.ends_with(".localhost") {
                let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
                return Ok(Box::new(std::iter::once(loopback)) as Addrs);
            }
            // The client replaces port 0 by the port of the address.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The message of the innermost cause, which says what happened.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
