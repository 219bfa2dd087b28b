//! What is answered: a status, headers that keep a page to itself, and bytes.

use std::convert::Infallible;

use bytes::Bytes;
use ecs_console_archiver::model::screenshot::ImageFormat;
use futures_util::{Stream, stream};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use maud::Markup;
use tokio::sync::mpsc::Receiver;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Nothing is loaded but this server's style, script and screenshots, and no text becomes a script.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Of a picture that is opened by itself. A screen shows what a guest wants, and nothing of it may act.
const PICTURE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// Of every answer.
const HEADERS: [(HeaderName, &str); 8] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// An answer.
pub struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl Answer {
    fn of(status: StatusCode, content_type: &'static str, body: Body) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))],
            body,
        }
    }

    pub fn page(status: StatusCode, page: Markup) -> Self {
        let body = Full::new(Bytes::from(page.into_string())).boxed_unsync();
        Self::of(status, "text/html; charset=utf-8", body)
    }

    /// A page whose parts come while it is made.
    pub fn growing_page(parts: Receiver<Bytes>) -> Self {
        Self::page_of(stream::unfold(parts, async |mut parts| {
            let part = parts.recv().await?;
            Some((Ok(Frame::data(part)), parts))
        }))
    }

    /// The same of parts that are made when they are asked for.
    pub fn page_of(
        parts: impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
    ) -> Self {
        let body = StreamBody::new(parts).boxed_unsync();
        Self::of(StatusCode::OK, "text/html; charset=utf-8", body)
    }

    pub fn asset(content_type: &'static str, text: &'static str) -> Self {
        let body = Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync();
        Self::of(StatusCode::OK, content_type, body)
    }

    /// A file to keep, of this name.
    pub fn download(name: &str, bytes: Vec<u8>) -> Self {
        let body = Full::new(Bytes::from(bytes)).boxed_unsync();
        let answer = Self::of(StatusCode::OK, "text/plain; charset=utf-8", body);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let name: String = name.chars().filter(|c| is_plain(*c)).collect();
        answer.with(
            CONTENT_DISPOSITION,
            &format!("attachment; filename=\"{name}\""),
        )
    }

    /// A picture that was checked to be one of this format.
    pub fn picture(format: ImageFormat, bytes: Vec<u8>) -> Self {
        let body = Full::new(Bytes::from(bytes)).boxed_unsync();
        let answer = Self::of(StatusCode::OK, format.media_type(), body);
        answer.with(CONTENT_SECURITY_POLICY, PICTURE_POLICY)
    }

    /// Leads to another address of this server.
    pub fn redirect(to: &str) -> Self {
        let body = Full::new(Bytes::new()).boxed_unsync();
        let answer = Self::of(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", body);
        answer.with(LOCATION, to)
    }

    pub fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.headers.push((SET_COOKIE, cookie));
        self
    }

    /// With a header. A value that no header can have is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).ok();
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(
            self.headers
                .into_iter()
                .map(|(name, value)| (Some(name), value)),
        );
        response
    }
}
