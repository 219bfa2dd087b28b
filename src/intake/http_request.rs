//! An HTTP request that a platform passes on, and the event in it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::error::EventError;
use super::json_text::{base64_bytes, text_of};
use super::webhook::{Headers, UrlPath, authorizer};

/// An HTTP request that a function URL or an API passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Headers as the sender sent them.
    pub headers: Headers,
    /// Path of the URL. It may begin with a stage or a base path.
    pub path: UrlPath,
    /// Decoded body.
    pub body: Vec<u8>,
    /// Whether the platform has authenticated the sender and names it: by IAM, or by an API's
    /// authorizer.
    pub is_authenticated: bool,
    /// Method, such as `POST`. `None` if the platform does not pass it on.
    pub method: Option<String>,
    /// The form of answer that the platform expects.
    pub answer: AnswerForm,
}

/// The purpose of an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It delivers events.
    Push,
    /// It is a health check of a load balancer, or a probe of an API.
    Probe,
    /// It is something else, which is not supported.
    Other,
}

impl HttpRequest {
    /// Determines the purpose. Health checks are `GET` without a body, and have no token.
    pub fn purpose(&self) -> Purpose {
        match self.method.as_deref() {
            None | Some("POST") => Purpose::Push,
            Some("GET" | "HEAD") if self.body.is_empty() => Purpose::Probe,
            Some(_) => Purpose::Other,
        }
    }
}

/// What a platform reads in the answer to an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnswerForm {
    /// It reads `multiValueHeaders` instead of `headers`: a load balancer that sends multi-value
    /// headers.
    pub has_multi_value_headers: bool,
    /// It shows `statusDescription` to the client: a load balancer.
    pub has_status_description: bool,
}

/// Sources: "Create AWS Lambda proxy integrations for HTTP APIs" (payloads 1.0 and 2.0), "Lambda
/// functions as targets of Application Load Balancers"; "Event formats of triggers" for Alibaba
/// Cloud's API gateway, which sends no context.
pub(super) fn http_request(object: &Map<String, Value>) -> Option<HttpRequest> {
    // A body that cannot be decoded cannot have a valid signature either.
    let body = http_body(object)?.unwrap_or_default();
    let context = object.get("requestContext").and_then(Value::as_object);
    let http = context.and_then(|context| context.get("http"));
    let method = http.and_then(|http| http.get("method"));
    let method = method.or(object.get("httpMethod")).and_then(Value::as_str);
    let has = |name: &str| object.get(name).is_some_and(Value::is_object);
    Some(HttpRequest {
        headers: http_headers(object),
        path: http_path(object, http),
        body,
        is_authenticated: context.is_some_and(authorizer::names_sender),
        method: method.map(str::to_ascii_uppercase),
        answer: AnswerForm {
            has_multi_value_headers: has("multiValueHeaders") && !has("headers"),
            has_status_description: context.is_some_and(|context| context.contains_key("elb")),
        },
    })
}

/// `rawPath` and `requestContext.http.path` in payload 2.0 and in that of Function Compute, `path`
/// in payload 1.0, of load balancers and of Alibaba Cloud's API gateway. They differ only in what
/// comes before the last segment.
fn http_path(object: &Map<String, Value>, http: Option<&Value>) -> UrlPath {
    let in_context = http.and_then(|http| http.get("path"));
    let paths = [object.get("rawPath"), object.get("path"), in_context];
    let path = paths.into_iter().flatten().find_map(Value::as_str);
    path.map(UrlPath::new).unwrap_or_default()
}

/// `multiValueHeaders` has every value, and `headers` has the last value of each name. A load
/// balancer sends one of the two. An API sends both.
fn http_headers(object: &Map<String, Value>) -> Headers {
    let member = |name: &str| object.get(name).and_then(Value::as_object);
    let mut headers = Headers::default();
    for (name, values) in member("multiValueHeaders").into_iter().flatten() {
        let values = values.as_array().into_iter().flatten();
        for value in values.filter_map(Value::as_str) {
            headers.add(name, value);
        }
    }
    let mut single = Headers::default();
    for (name, value) in member("headers").into_iter().flatten() {
        if let Some(value) = value.as_str() {
            single.add(name, value);
        }
    }
    headers.add_absent(single);
    headers
}

/// The event's text in an HTTP request that a platform passes on. `None` for anything else.
pub(super) fn http_event(object: &Map<String, Value>) -> Option<Result<String, EventError>> {
    let body = http_body(object)?;
    Some(body.and_then(|body| pushed_event(&http_headers(object), &body)))
}

/// The body of an HTTP request that a function URL, an API or a load balancer passes on. `None` for
/// anything else.
fn http_body(object: &Map<String, Value>) -> Option<Result<Vec<u8>, EventError>> {
    let has = |name: &str| object.contains_key(name);
    let is_http = match object.get("requestContext") {
        Some(context) => context.get("http").is_some() || has("httpMethod") && context.is_object(),
        None => has("httpMethod") && has("path") && has("headers"),
    };
    if !is_http {
        return None;
    }
    let body = object.get("body").and_then(Value::as_str);
    let body = body.unwrap_or_default();
    let is_encoded = match object.get("isBase64Encoded") {
        Some(Value::String(word)) => word.eq_ignore_ascii_case("true"),
        Some(Value::Bool(is_encoded)) => *is_encoded,
        _ => false,
    };
    Some(match is_encoded {
        true => base64_bytes(body).ok_or(EventError::InvalidBase64),
        false => Ok(body.as_bytes().to_vec()),
    })
}

/// The event's text in a push. If the headers have the attributes of a CloudEvent in binary mode,
/// they are added.
pub(super) fn pushed_event(headers: &Headers, body: &[u8]) -> Result<String, EventError> {
    let text = text_of(body)?;
    if text.trim().is_empty() {
        return Err(EventError::Empty);
    }
    let Some(mut event) = cloud_event_of(headers) else {
        return Ok(text.into_owned());
    };
    event.insert("data".to_owned(), Value::String(text.into_owned()));
    Ok(Value::Object(event).to_string())
}

/// The attributes in the headers, by the binary mode of CloudEvents' HTTP binding.
fn cloud_event_of(headers: &Headers) -> Option<Map<String, Value>> {
    let attribute = |header: &str| {
        let name = header.strip_prefix("ce-")?;
        let value = headers.one(header).ok()??;
        let value: Cow<'_, str> = percent_decode_str(value).decode_utf8().ok()?;
        Some((name.to_owned(), Value::from(value)))
    };
    let event: Map<_, _> = headers.names().filter_map(attribute).collect();
    let is_whole = |name: &&str| event.contains_key(*name);
    ["specversion", "type", "source"]
        .iter()
        .all(is_whole)
        .then_some(event)
}
