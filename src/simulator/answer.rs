//! A complete answer of the API, and the ways in which a fault sends it.

use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::json;

use super::verify::Format;
use crate::model::ids::InstanceId;

/// Number of pieces of a slow answer. There is a pause before each.
const SLOW_PIECES: usize = 50;
const SLOW_PAUSE: Duration = Duration::from_millis(5);

pub(super) type Body = BoxBody<Bytes, Broken>;

/// Closes a connection before the answer is complete.
#[derive(Debug, thiserror::Error)]
#[error("broken off as told")]
pub(super) struct Broken;

/// A complete answer of the API.
pub(super) struct Answer {
    pub status: u16,
    pub code: String,
    pub content_type: &'static str,
    pub retry_after_ms: Option<u64>,
    /// Function Compute's ID of the request, which it puts in a header.
    pub function_request_id: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn console(id: &InstanceId, plain: &[u8], time: Option<&str>, format: Format) -> Self {
        let time = time.map(|time| ("LastUpdateTime", time.to_owned()));
        let console = ("ConsoleOutput", BASE64_STANDARD.encode(plain));
        let members = time.into_iter().chain([console]).collect();
        Self::of_instance("GetInstanceConsoleOutputResponse", id, members, format)
    }

    pub fn screenshot(id: &InstanceId, picture: &[u8], format: Format) -> Self {
        let members = vec![("Screenshot", BASE64_STANDARD.encode(picture))];
        Self::of_instance("GetInstanceScreenshotResponse", id, members, format)
    }

    /// An answer about an instance: its ID, and these members.
    fn of_instance(
        root: &str,
        id: &InstanceId,
        members: Vec<(&str, String)>,
        format: Format,
    ) -> Self {
        let request_id = request_id();
        let body = match format {
            Format::Json => {
                let mut answer = json!({"RequestId": request_id, "InstanceId": id});
                for (name, text) in members {
                    answer[name] = text.into();
                }
                answer.to_string()
            }
            Format::Xml => {
                let members = members.into_iter();
                let members: String = members
                    .map(|(name, text)| format!("<{name}>{text}</{name}>"))
                    .collect();
                format!(
                    "<?xml version='1.0' encoding='UTF-8'?><{root}><RequestId>{request_id}</RequestId>\
                     <InstanceId>{id}</InstanceId>{members}</{root}>"
                )
            }
        };
        Self {
            status: 200,
            code: String::new(),
            content_type: format.content_type(),
            retry_after_ms: None,
            function_request_id: None,
            body: body.into_bytes(),
        }
    }

    pub fn json(body: &serde_json::Value) -> Self {
        Self {
            status: 200,
            code: String::new(),
            content_type: Format::Json.content_type(),
            retry_after_ms: None,
            function_request_id: None,
            body: body.to_string().into_bytes(),
        }
    }

    /// Function Compute has accepted an asynchronous invocation.
    pub fn accepted() -> Self {
        Self {
            status: 202,
            code: String::new(),
            content_type: Format::Json.content_type(),
            retry_after_ms: None,
            function_request_id: Some(request_id()),
            body: Vec::new(),
        }
    }

    pub fn summary(&self) -> String {
        format!("{} {}", self.status, self.code)
            .trim_end()
            .to_owned()
    }

    fn head(&self) -> hyper::http::response::Builder {
        let builder = Response::builder()
            .status(self.status)
            .header("content-type", self.content_type);
        let builder = match &self.function_request_id {
            Some(id) => builder.header("x-fc-request-id", id),
            None => builder,
        };
        match self.retry_after_ms {
            Some(ms) => builder.header("x-acs-retry-after", ms),
            None => builder,
        }
    }

    pub fn into_response(self) -> Response<Body> {
        let head = self.head();
        let body = Full::new(self.body.into()).map_err(|never: Infallible| match never {});
        head.body(body.boxed()).unwrap_or_default_body()
    }

    /// Sends the body in pieces, with a pause before each.
    pub fn into_slow_response(self) -> Response<Body> {
        let head = self.head().header("content-length", self.body.len());
        let piece_bytes = self.body.len().div_ceil(SLOW_PIECES).max(1);
        let mut rest = Bytes::from(self.body);
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(piece_bytes.min(rest.len()));
            (!piece.is_empty()).then_some(piece)
        });
        let pieces = futures_util::stream::iter(pieces).then(|piece| async {
            tokio::time::sleep(SLOW_PAUSE).await;
            Ok(Frame::data(piece))
        });
        head.body(BodyExt::boxed(StreamBody::new(pieces)))
            .unwrap_or_default_body()
    }

    /// Sends half of the body. Either the head announces all of it, or the chunks have no end.
    pub fn into_half_response(self, is_promised: bool) -> Response<Body> {
        let mut head = self.head();
        if is_promised {
            head = head.header("content-length", self.body.len());
        }
        let half = Bytes::copy_from_slice(&self.body[..self.body.len() / 2]);
        let pieces = futures_util::stream::iter([Ok(Frame::data(half)), Err(Broken)]);
        head.body(BodyExt::boxed(StreamBody::new(pieces)))
            .unwrap_or_default_body()
    }
}

/// Every response here is valid, but the types cannot express that.
trait OrDefaultBody {
    fn unwrap_or_default_body(self) -> Response<Body>;
}

impl OrDefaultBody for hyper::http::Result<Response<Body>> {
    fn unwrap_or_default_body(self) -> Response<Body> {
        self.unwrap_or_else(|_| {
            Response::new(
                Full::default()
                    .map_err(|never: Infallible| match never {})
                    .boxed(),
            )
        })
    }
}

pub(super) fn request_id() -> String {
    let mut bytes = [0; 16];
    // The ID is only shown to people, so zeros would do too.
    let _ = getrandom::fill(&mut bytes);
    hex::encode_upper(bytes)
}
