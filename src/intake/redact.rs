//! The text to keep of a failed event. It leaves out request headers, because they contain tokens.
//! Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::intake::MAX_EVENTS;
use crate::intake::json_text::{has_duplicates, read};

/// Deepest nesting that is searched, of objects and of JSON text in strings. Deeper values are left
/// out, because no event is read from there.
const MAX_DEPTH: usize = 32;

/// Members of HTTP requests that may contain secrets, in lower case.
const REQUEST_MEMBERS: [&str; 20] = [
    "authorizationtoken", // In requests to Lambda authorizers.
    "authorizer",
    "cookies",
    "headers",
    "identity",
    "identitysource",
    "multivalueheaders",
    "multivaluequerystringparameters",
    "path", // It may end with the token, as other members with a path do.
    "pathparameters",
    "queryparameters",
    "querystring",
    "querystringparameters",
    "raw_path", // Of VPC Lattice.
    "rawpath",
    "rawquerystring",
    "requestheaders",
    "requesturi",
    "stagevariables",
    "trailers",
];

/// Headers that contain secrets, in case they occur as members elsewhere. In lower case.
const SECRET_HEADERS: [&str; 12] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-eventbridge-signature-secret",
    "x-eventbridge-signature-token",
    "x-fc-access-key-id",
    "x-fc-access-key-secret",
    "x-fc-security-token",
    "x-forwarded-access-token",
];

/// The text to keep of a message. It has the same events, but no request headers, cookies, queries
/// or identities of senders at any depth. Text that is not JSON is cut before the first word that
/// may name a secret.
pub fn without_headers(text: &str) -> String {
    match read(text, MAX_EVENTS) {
        Ok(value) => match redacted(&value, 0) {
            Some(redacted) => redacted.to_string(),
            // Parsing keeps only one of two equal members, and the other may contain a secret.
            None if has_duplicates(text) => value.to_string(),
            None => text.to_owned(), // Unchanged.
        },
        Err(_) => cut_before_secrets(text),
    }
}

/// The value without possible secrets. `None` if it contains none.
fn redacted(value: &Value, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return (value.is_object() || value.is_array() || value.is_string()).then_some(Value::Null);
    }
    match value {
        Value::Object(object) if is_http_request(object) => Some(request(object, depth)),
        Value::Object(object) => members(object, depth).map(Value::Object),
        Value::Array(items) => {
            let new: Vec<_> = items.iter().map(|item| redacted(item, depth + 1)).collect();
            let keep = |(new, old): (Option<Value>, &Value)| new.unwrap_or_else(|| old.clone());
            let is_changed = new.iter().any(Option::is_some);
            is_changed.then(|| new.into_iter().zip(items).map(keep).collect())
        }
        Value::String(text) => json_text(text, depth).map(Value::String),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Redacts a string that is parsed as an event: JSON, a form, or Base64 of these. It is parsed by
/// the code that parses events.
fn json_text(text: &str, depth: usize) -> Option<String> {
    match read(text, MAX_EVENTS) {
        // The decoded Base64, which may be Base64 again.
        Ok(Value::String(inner)) if !text.trim_start().starts_with('"') => {
            json_text(&inner, depth + 1).map(|redacted| BASE64_STANDARD.encode(redacted))
        }
        Ok(value) => match redacted(&value, depth + 1) {
            Some(redacted) => Some(redacted.to_string()),
            None => has_duplicates(text).then(|| value.to_string()),
        },
        // It is a part of JSON, or header lines.
        Err(_) if text.trim_start().starts_with(['{', '[']) || text.contains('\n') => {
            let cut = cut_before_secrets(text);
            (cut != text).then_some(cut)
        }
        Err(_) => None,
    }
}

fn members(object: &Map<String, Value>, depth: usize) -> Option<Map<String, Value>> {
    let mut is_changed = false;
    let mut kept = Map::new();
    for (name, value) in object {
        let lower = name.to_ascii_lowercase();
        let is_secret =
            REQUEST_MEMBERS.contains(&lower.as_str()) || SECRET_HEADERS.contains(&lower.as_str());
        if is_secret {
            is_changed = true;
            continue;
        }
        let new = redacted(value, depth + 1);
        is_changed |= new.is_some();
        kept.insert(name.clone(), new.unwrap_or_else(|| value.clone()));
    }
    is_changed.then_some(kept)
}

/// Whether it is a request that a function URL, an API, a load balancer or Function Compute passes
/// on.
fn is_http_request(object: &Map<String, Value>) -> bool {
    let has = |name: &str| object.contains_key(name);
    match object.get("requestContext") {
        Some(context) => context.get("http").is_some() || has("httpMethod") && context.is_object(),
        None => has("httpMethod") && has("path") && has("headers"), // Alibaba Cloud's API gateway.
    }
}

/// A request with only the body, and the headers that are needed to read it. It is parsed like the
/// original.
fn request(object: &Map<String, Value>, depth: usize) -> Value {
    let body = object.get("body").and_then(Value::as_str);
    let body = body.unwrap_or_default();
    let is_encoded = match object.get("isBase64Encoded") {
        Some(Value::String(word)) => word.eq_ignore_ascii_case("true"),
        other => other == Some(&Value::Bool(true)),
    };
    let body = json_text(body, depth + 1).unwrap_or_else(|| body.to_owned());
    json!({
        "requestContext": {"http": {"method": "POST"}},
        "headers": event_headers(object),
        "body": body,
        "isBase64Encoded": is_encoded,
    })
}

/// The content type, and the attributes of a CloudEvent in binary mode.
fn event_headers(object: &Map<String, Value>) -> Map<String, Value> {
    let headers = ["headers", "multiValueHeaders"];
    let all = headers
        .iter()
        .filter_map(|name| object.get(*name)?.as_object());
    let is_of_event = |name: &str| {
        let name = name.to_ascii_lowercase();
        name == "content-type" || name.starts_with("ce-")
    };
    let one = |value: &Value| value.get(0).unwrap_or(value).clone();
    all.flatten()
        .filter(|(name, _)| is_of_event(name))
        .map(|(name, value)| (name.clone(), one(value)))
        .collect()
}

/// Cuts text that is not valid JSON before the first word that may name a secret. The result is
/// only for people, because such text is never an event.
fn cut_before_secrets(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let words = [
        "headers",
        "cookie",
        "querystring",
        "queryparameters",
        "authoriz",
        "identity",
        "path",
        "requesturi",
    ];
    let more = ["token", "secret", "x-api-key", "signature", "password"];
    let first = words
        .iter()
        .chain(&more)
        .filter_map(|word| lower.find(word))
        .min();
    match first {
        Some(first) => format!("{}[cut: request headers may follow]", &text[..first]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::delivery::Delivery;

    const EVENT: &str = r#"{"resourceId":"i-a1","state":"Stopping"}"#;

    /// A request with a token in every place where a platform can put input of the sender.
    fn http(body: &str) -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/hush", "rawQueryString": "token=hush",
            "cookies": ["session=hush"], "path": "/x?token=hush",
            "headers": {"X-EventBridge-Signature-Token": "hush", "Authorization": "Bearer hush",
                        "content-type": "application/json"},
            "multiValueHeaders": {"x-eventbridge-signature-token": ["hush"]},
            "queryStringParameters": {"token": "hush"},
            "multiValueQueryStringParameters": {"token": ["hush"]},
            "pathParameters": {"proxy": "hush"}, "stageVariables": {"token": "hush"},
            "requestContext": {"http": {"method": "POST", "path": "/hush"}, "httpMethod": "POST",
                "authorizer": {"jwt": {"claims": {"token": "hush"}}}, "identity": {"apiKey": "hush"}},
            "body": body, "isBase64Encoded": false,
        })
    }

    /// A request of Alibaba Cloud's API gateway.
    fn gateway(body: &str) -> Value {
        json!({"path": "/api", "httpMethod": "POST", "headers": {"x-api-key": "hush"},
               "queryParameters": {"token": "hush"}, "pathParameters": {}, "body": body,
               "isBase64Encoded": "false"})
    }

    fn envelopes() -> Vec<Value> {
        let encoded = |body: &str| {
            let mut request = http(&BASE64_STANDARD.encode(body));
            request["isBase64Encoded"] = json!(true);
            request
        };
        let balancer = |body: &str| {
            json!({"requestContext": {"elb": {"targetGroupArn": "a"}}, "httpMethod": "POST",
                   "path": "/", "multiValueHeaders": {"authorization": ["hush"]}, "body": body,
                   "multiValueQueryStringParameters": {"t": ["hush"]}, "isBase64Encoded": false})
        };
        let sqs = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": body}]});
        let sns = |text: &str| json!({"Type": "Notification", "Message": text});
        let destination = |payload: Value| {
            json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
                   "requestPayload": payload, "responsePayload": {"errorType": "x"}})
        };
        vec![
            http(EVENT),
            gateway(EVENT),
            encoded(EVENT),
            balancer(EVENT),
            http(&http(EVENT).to_string()),
            encoded(&http(EVENT).to_string()),
            sqs(&http(EVENT).to_string()),
            sqs(&sns(&http(EVENT).to_string()).to_string()),
            sqs(&destination(http(EVENT)).to_string()),
            destination(http(EVENT)),
            destination(sqs(&http(EVENT).to_string())),
            json!([http(EVENT).to_string(), http(EVENT)]),
            Value::from(http(EVENT).to_string()),
        ]
    }

    #[test]
    fn no_token_is_kept_from_any_place_of_any_envelope() {
        for envelope in envelopes() {
            let text = envelope.to_string();
            for kept in [
                without_headers(&text),
                without_headers(&Value::from(text.clone()).to_string()),
            ] {
                let shown = kept.replace("\\", "");
                assert!(!shown.contains("hush"), "{shown}");
                let decoded = base64_inside(&kept);
                assert!(!decoded.contains("hush"), "{decoded}");
            }
        }
    }

    fn base64_inside(text: &str) -> String {
        let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
        let decoded = runs.filter_map(|run| BASE64_STANDARD.decode(run).ok());
        decoded
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    #[test]
    fn what_is_kept_holds_the_same_events() {
        let events = |text: &str| {
            let messages = Delivery::parse(text.as_bytes()).messages;
            let requests = messages.into_iter().flat_map(|message| message.requests);
            requests.collect::<Vec<_>>()
        };
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("signature", "s")
            .append_pair("data", EVENT)
            .finish();
        let bare = [
            EVENT.to_owned(),
            form,
            BASE64_STANDARD.encode(EVENT),
            format!("\u{feff}{EVENT}\r\n"),
            format!("[{EVENT},{EVENT}]"),
            json!({"sweep": {"regions": ["cn-a"], "resume": {"region_id": "cn-a", "next_token": "t"}}})
                .to_string(),
        ];
        let wrapped = envelopes().into_iter().map(|envelope| envelope.to_string());
        for text in bare.into_iter().chain(wrapped) {
            assert_eq!(events(&without_headers(&text)), events(&text), "{text}");
        }
    }

    /// Every text in a redacted text, parsed by the code that parses events.
    fn texts_in(text: &str, found: &mut Vec<String>) {
        fn inside(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => object.values().for_each(|value| inside(value, found)),
                Value::Array(items) => items.iter().for_each(|value| inside(value, found)),
                Value::String(text) => texts_in(text, found),
                _ => {}
            }
        }
        found.push(text.to_owned());
        if let Ok(value) = read(text, MAX_EVENTS) {
            inside(&value, found);
        }
    }

    #[test]
    fn what_is_read_as_an_event_is_redacted_however_it_is_encoded() {
        let request = http("{}").to_string();
        let marked = format!("\u{feff}{request}");
        let utf_16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("x", &request)
            .append_pair("y", "1")
            .finish();
        let twice = format!(r#"{{"x": {request}, "x": 1}}"#);
        for inner in [
            BASE64_STANDARD.encode(&request),
            BASE64_STANDARD.encode(&marked),
            BASE64_STANDARD.encode(&utf_16),
            BASE64_STANDARD.encode(BASE64_STANDARD.encode(&utf_16)),
            form,
            twice,
        ] {
            let sqs =
                json!({"Records": [{"messageId": "a", "body": inner, "eventSource": "aws:sqs"}]});
            for text in [
                inner.clone(),
                json!({"messageBody": inner}).to_string(),
                sqs.to_string(),
            ] {
                let mut found = Vec::new();
                texts_in(&without_headers(&text), &mut found);
                assert!(
                    !found.iter().any(|text| text.contains("hush")),
                    "{text}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn an_event_without_headers_is_kept_byte_for_byte() {
        for text in [
            EVENT,
            "{ \"instance_id\" :\"i-a\" }",
            "{ no event",
            "5",
            "",
            "\"text\"",
            r#"{"source":"acs.ecs","data":"{\"b\": 1}"}"#,
        ] {
            assert_eq!(without_headers(text), text);
        }
    }

    #[test]
    fn of_what_cannot_be_read_nothing_is_kept_behind_a_word_that_may_name_a_secret() {
        let whole = http(EVENT).to_string();
        for cut in (1..whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
            let kept = without_headers(&whole[..cut]);
            assert!(
                !kept.contains("Bearer") && !kept.contains("session=hush"),
                "{kept}"
            );
            assert!(
                !kept.contains("\"hush") && !kept.contains("/hush"),
                "{kept}"
            );
        }
        for text in [
            "x-eventbridge-signature-token: hush",
            "POST /?token=hush HTTP/1.1",
            "{\"Cookie\": \"hush\"",
            "é Authorization: hush",
        ] {
            let kept = without_headers(text);
            assert!(!kept.ends_with("hush"), "{kept}");
        }
    }

    #[test]
    fn a_path_is_left_out_of_what_is_not_a_whole_request() {
        for text in [
            r#"{"path": "/hush", "body": "x"}"#,
            r#"{"raw_path": "/hush", "body": "x"}"#,
            r#"{"requestContext": {"path": "/hush"}, "rawPath": "/hush"}"#,
            r#"{"a": {"pathParameters": {"proxy": "hush"}, "requestURI": "/hush"}}"#,
        ] {
            let kept = without_headers(text);
            assert!(!kept.contains("hush"), "{kept}");
        }
    }

    #[test]
    fn what_lies_too_deep_is_left_out() {
        let mut value = http("x");
        for _ in 0..200 {
            value = json!([value]);
        }
        // `serde_json` stops at 128 levels, so the text is not parsed at all.
        assert!(!without_headers(&value.to_string()).contains("\"hush"));
        let mut value = http("x");
        for _ in 0..100 {
            value = json!({ "a": value });
        }
        assert!(!without_headers(&value.to_string()).contains("hush"));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = without_headers(&text);
        }
    }
}
