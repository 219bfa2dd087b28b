//! What a platform hands over in one invocation → the events in it, envelopes taken off.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::event::{self, EventError, Notice, type_name};
use crate::webhook::{Headers, authorizer};

/// Most bytes of one invocation's payload that are read. AWS Lambda passes at most 6 MB.
pub const MAX_EVENT_BYTES: usize = 8 << 20;

/// Deepest nesting met: EventBridge in SNS in SQS, in a function URL's request at the worst.
const MAX_ENVELOPES: usize = 8;

/// The events of one invocation, and how their sender wants to be answered.
#[derive(Debug)]
pub struct Delivery {
    /// In the order they came.
    pub messages: Vec<Message>,
    /// The form of the answer.
    pub reply: ReplyForm,
    /// The HTTP request it came as, where it did.
    pub request: Option<HttpRequest>,
}

/// An HTTP request as a function URL or an API passes it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// As they were sent.
    pub headers: Headers,
    /// As it was sent.
    pub body: Vec<u8>,
    /// Whether the platform has authenticated the sender and names it: by IAM, or by an API's
    /// authorizer.
    pub is_authenticated: bool,
    /// `GET`, `POST`, …; `None` where the platform does not say.
    pub method: Option<String>,
    /// How the platform wants to be answered.
    pub answer: AnswerForm,
}

/// What a platform reads of the answer to an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerForm {
    /// It reads `multiValueHeaders` and ignores `headers`: a load balancer that sends multi-value
    /// headers.
    pub has_multi_value_headers: bool,
    /// It shows `statusDescription` to the client: a load balancer.
    pub has_status_description: bool,
}

/// What succeeds or fails as one: an SQS message, or the whole payload.
#[derive(Debug)]
pub struct Message {
    /// `messageId` of an SQS message.
    pub sqs_message_id: Option<String>,
    /// Each event in it, or why it cannot be understood.
    pub notices: Vec<Result<Notice, EventError>>,
    /// What is kept of it when it fails for good, and is then served again: its text without what
    /// a queue or an HTTP request wraps around it, for headers may carry secrets. Shared, because
    /// each of its events that is deferred holds it.
    pub text: Arc<str>,
}

/// How the sender learns what became of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyForm {
    /// The outcome of the one event; a failure is the invocation's failure.
    One,
    /// An array of outcomes; a failure is the invocation's failure.
    Many,
    /// `batchItemFailures`, so that only failed messages come again.
    SqsBatch,
    /// A response with a status code, as a function URL and HTTP APIs send it on.
    Http,
}

impl Delivery {
    /// Reads a payload. Never fails as a whole: what cannot be understood stands in its place
    /// among the messages, so that its neighbours are still served.
    pub fn parse(payload: &[u8]) -> Self {
        if payload.len() > MAX_EVENT_BYTES {
            let error = EventError::TooLarge {
                bytes: payload.len(),
            };
            // Whoever sent it has it; an archive need not have it, too.
            let head = payload.get(..1024).unwrap_or(payload);
            return Self::unreadable(error, head);
        }
        match serde_json::from_slice(payload) {
            // The event's JSON as text. A queue's message may be that, and is delivered bare when
            // it failed and is served again.
            Ok(Value::String(json)) => Self::parse(json.as_bytes()),
            Ok(value) => Self::from_json(&value),
            Err(error) => Self::unreadable(EventError::NotJson(error.to_string()), payload),
        }
    }

    fn unreadable(error: EventError, payload: &[u8]) -> Self {
        let message = Message {
            sqs_message_id: None,
            notices: vec![Err(error)],
            text: String::from_utf8_lossy(payload).into(),
        };
        Self {
            messages: vec![message],
            reply: ReplyForm::One,
            request: None,
        }
    }

    fn from_json(payload: &Value) -> Self {
        if let Some(records) = sqs_records(payload) {
            let messages = records.iter().map(sqs_message).collect();
            return Self {
                messages,
                reply: ReplyForm::SqsBatch,
                request: None,
            };
        }
        let reply = match payload {
            Value::Array(_) => ReplyForm::Many,
            Value::Object(object) if http_body(object).is_some() => ReplyForm::Http,
            Value::Object(object) if object.contains_key("Records") => ReplyForm::Many,
            _ => ReplyForm::One,
        };
        let mut notices = Vec::new();
        unwrap_into(payload, 0, &mut notices);
        let body = payload.as_object().and_then(http_body);
        let text = match body {
            Some(body) => body.unwrap_or_default(),
            None => payload.to_string(),
        };
        Self {
            messages: vec![Message {
                sqs_message_id: None,
                notices,
                text: text.into(),
            }],
            reply,
            request: payload.as_object().and_then(http_request),
        }
    }
}

/// Sources: "Create AWS Lambda proxy integrations for HTTP APIs" (payloads 1.0 and 2.0), "Lambda
/// functions as targets of Application Load Balancers".
fn http_request(object: &Map<String, Value>) -> Option<HttpRequest> {
    // A body that cannot be decoded has no good signature, either.
    let body = http_body(object)?.unwrap_or_default().into_bytes();
    let context = object.get("requestContext")?.as_object()?;
    let method = context.get("http").and_then(|http| http.get("method"));
    let method = method.or(object.get("httpMethod")).and_then(Value::as_str);
    let has = |name: &str| object.get(name).is_some_and(Value::is_object);
    Some(HttpRequest {
        headers: http_headers(object),
        body,
        is_authenticated: authorizer::names_sender(context),
        method: method.map(str::to_ascii_uppercase),
        answer: AnswerForm {
            has_multi_value_headers: has("multiValueHeaders") && !has("headers"),
            has_status_description: context.contains_key("elb"),
        },
    })
}

/// `multiValueHeaders` has each value that was sent, `headers` the last of each name; a load
/// balancer sends one of both, an API both.
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

fn sqs_records(payload: &Value) -> Option<&Vec<Value>> {
    let records = payload.get("Records")?.as_array()?;
    let from_sqs =
        |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    (!records.is_empty() && records.iter().all(from_sqs)).then_some(records)
}

fn sqs_message(record: &Value) -> Message {
    let mut notices = Vec::new();
    let body = record.get("body").and_then(Value::as_str);
    match body {
        Some(body) => unwrap_text(body, 1, &mut notices),
        None => unwrap_into(record, 1, &mut notices), // It may be an event itself.
    }
    let sqs_message_id = record
        .get("messageId")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Message {
        sqs_message_id,
        notices,
        text: body.map_or_else(|| record.to_string().into(), Arc::from),
    }
}

type Notices = Vec<Result<Notice, EventError>>;

/// Takes envelopes off `value` until events are left, and adds those to `notices`.
fn unwrap_into(value: &Value, depth: usize, notices: &mut Notices) {
    if depth > MAX_ENVELOPES {
        return notices.push(Err(EventError::TooDeep(MAX_ENVELOPES)));
    }
    let object = match value {
        Value::Object(object) => object,
        Value::Array(items) => {
            return items
                .iter()
                .for_each(|item| unwrap_into(item, depth + 1, notices));
        }
        // An element of an EventBridge batch may be the event's JSON as text.
        Value::String(json) => return unwrap_text(json, depth + 1, notices),
        other => return notices.push(Err(EventError::NotAnObject(type_name(other)))),
    };
    if let Some(body) = http_body(object) {
        return match body {
            Ok(body) => unwrap_text(&body, depth + 1, notices),
            Err(error) => notices.push(Err(error)),
        };
    }
    if let Some(text) = message_text(object) {
        return unwrap_text(text, depth + 1, notices);
    }
    if let Some(Value::Array(records)) = object.get("Records") {
        return records
            .iter()
            .for_each(|record| unwrap_into(record, depth + 1, notices));
    }
    // What AWS Lambda sends to a destination when an invocation has failed for good.
    if let (Some(payload), true) = (
        object.get("requestPayload"),
        object.contains_key("requestContext"),
    ) {
        return unwrap_into(payload, depth + 1, notices);
    }
    match object.get("detail") {
        Some(detail) if object.contains_key("detail-type") => {
            unwrap_into(detail, depth + 1, notices);
        }
        _ => notices.push(event::parse(object)),
    }
}

fn unwrap_text(json: &str, depth: usize, notices: &mut Notices) {
    match serde_json::from_str(json) {
        Ok(value) => unwrap_into(&value, depth, notices),
        Err(error) => notices.push(Err(EventError::NotJson(error.to_string()))),
    }
}

/// The event's text in a queue's, topic's or timer's envelope: an SQS or SNS record, an SNS
/// notification, a Message Service (MNS) topic's, or a Function Compute timer's.
fn message_text(object: &Map<String, Value>) -> Option<&str> {
    let member = |name: &str| object.get(name).and_then(Value::as_str);
    let sns_record = || object.get("Sns")?.get("Message")?.as_str();
    match (member("eventSource"), member("EventSource")) {
        (Some("aws:sqs"), _) => member("body"),
        (_, Some("aws:sns")) => sns_record(),
        _ if member("Type") == Some("Notification") => member("Message"),
        _ if object.contains_key("TopicOwner") => member("Message"),
        _ if object.contains_key("triggerName") => member("payload"),
        _ => None,
    }
}

/// The body of an HTTP request as a function URL, an HTTP API (payload 2.0) or a REST API passes
/// it on; `None` for anything else.
fn http_body(object: &Map<String, Value>) -> Option<Result<String, EventError>> {
    let context = object.get("requestContext")?.as_object()?;
    if !context.contains_key("http") && !object.contains_key("httpMethod") {
        return None;
    }
    let body = object
        .get("body")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if object.get("isBase64Encoded") != Some(&Value::Bool(true)) {
        return Some(Ok(body.to_owned()));
    }
    let decoded = BASE64_STANDARD
        .decode(body)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Some(decoded.ok_or(EventError::InvalidBase64("HTTP")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({"resourceId": "i-a1", "state": "Stopping"})
    }

    #[track_caller]
    fn check(payload: &Value, reply: ReplyForm, events: usize) {
        let delivery = Delivery::parse(payload.to_string().as_bytes());
        assert_eq!(delivery.reply, reply, "{payload}");
        let notices: Vec<_> = delivery.messages.iter().flat_map(|m| &m.notices).collect();
        assert_eq!(notices.len(), events, "{payload}");
        for notice in notices {
            let Ok(Notice::Instance(event)) = notice else {
                panic!("{payload}: {notice:?}")
            };
            assert_eq!(event.instance_id.as_str(), "i-a1");
        }
    }

    #[test]
    fn bare_events_and_arrays_need_no_envelope() {
        check(&event(), ReplyForm::One, 1);
        check(&json!([event(), event()]), ReplyForm::Many, 2);
        check(&json!([event().to_string(), event()]), ReplyForm::Many, 2);
        check(&json!([]), ReplyForm::Many, 0);
    }

    #[test]
    fn every_envelope_is_taken_off() {
        let text = event().to_string();
        let sns = json!({"Type": "Notification", "Message": text, "TopicArn": "arn"});
        let sqs = |body: String| json!({"eventSource": "aws:sqs", "messageId": "m1", "body": body});
        let aws = json!({"version": "0", "detail-type": "x", "source": "y", "detail": event()});
        check(&sns, ReplyForm::One, 1);
        check(&aws, ReplyForm::One, 1);
        check(
            &json!({"TopicOwner": "1", "Message": text}),
            ReplyForm::One,
            1,
        );
        check(
            &json!({"triggerTime": "2024-03-22T02:04:41Z", "triggerName": "t", "payload": text}),
            ReplyForm::One,
            1,
        );
        check(
            &json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
                    "requestPayload": event(), "responsePayload": {"errorType": "x"}}),
            ReplyForm::One,
            1,
        );
        check(
            &json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]}),
            ReplyForm::Many,
            1,
        );
        check(
            &json!({"Records": [sqs(text.clone())]}),
            ReplyForm::SqsBatch,
            1,
        );
        check(
            &json!({"Records": [sqs(sns.to_string())]}),
            ReplyForm::SqsBatch,
            1,
        );
        check(
            &json!({"Records": [sqs(aws.to_string())]}),
            ReplyForm::SqsBatch,
            1,
        );
        check(
            &json!({"Records": [sqs(json!([event(), event()]).to_string())]}),
            ReplyForm::SqsBatch,
            2,
        );
    }

    #[test]
    fn an_http_body_is_read_plain_and_in_base64() {
        let context = json!({"http": {"method": "POST"}});
        let text = event().to_string();
        check(
            &json!({"version": "2.0", "requestContext": context, "body": text, "isBase64Encoded": false}),
            ReplyForm::Http,
            1,
        );
        let body = BASE64_STANDARD.encode(&text);
        check(
            &json!({"version": "2.0", "requestContext": context, "body": body, "isBase64Encoded": true}),
            ReplyForm::Http,
            1,
        );
        check(
            &json!({"httpMethod": "POST", "requestContext": {}, "body": text}),
            ReplyForm::Http,
            1,
        );
    }

    #[test]
    fn a_bad_message_leaves_its_neighbours_alone() {
        let record =
            |id: &str, body: &str| json!({"eventSource": "aws:sqs", "messageId": id, "body": body});
        let records = [
            record("good", &event().to_string()),
            record("bad", "{"),
            json!({"eventSource": "aws:sqs"}),
        ];
        let delivery = Delivery::parse(json!({"Records": records}).to_string().as_bytes());
        let results: Vec<_> = delivery
            .messages
            .iter()
            .map(|m| m.notices[0].is_ok())
            .collect();
        assert_eq!(results, [true, false, false]);
        assert_eq!(delivery.messages[1].sqs_message_id.as_deref(), Some("bad"));
    }

    #[test]
    fn what_is_kept_of_a_message_is_its_event_without_envelope_and_headers() {
        let text = event().to_string();
        let http = json!({"version": "2.0", "requestContext": {"http": {}}, "body": text,
            "headers": {"x-eventbridge-signature-token": "hush"}});
        let sqs = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": text}]});
        for payload in [event().to_string(), http.to_string(), sqs.to_string()] {
            let delivery = Delivery::parse(payload.as_bytes());
            assert_eq!(*delivery.messages[0].text, *text, "{payload}");
        }
        let huge = Delivery::parse(&vec![b'a'; MAX_EVENT_BYTES + 1]);
        assert_eq!(huge.messages[0].text.len(), 1024);
    }

    #[test]
    fn what_is_kept_of_a_message_holds_the_same_events() {
        let text = Value::from(event().to_string()).to_string();
        let bare = json!({"eventSource": "aws:sqs", "resourceId": "i-a1", "state": "Stopping"});
        for (payload, events) in [
            (json!({"requestContext": {"http": {}}, "body": text}), 1),
            (
                json!({"Records": [{"eventSource": "aws:sqs", "body": text}]}),
                1,
            ),
            (json!({"Records": [bare]}), 1),
            (
                json!({"requestContext": {"http": {}}, "body": format!("[{text},{text}]")}),
                2,
            ),
        ] {
            let messages = Delivery::parse(payload.to_string().as_bytes()).messages;
            let again = Delivery::parse(messages[0].text.as_bytes()).messages;
            assert_eq!(messages[0].notices.len(), events, "{payload}");
            assert!(messages[0].notices.iter().all(Result::is_ok), "{payload}");
            assert_eq!(messages[0].notices, again[0].notices, "{payload}");
        }
    }

    #[test]
    fn payloads_that_are_no_events_say_why() {
        for (payload, message) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("5", "a number, not a JSON object"),
            ("\"{}\"", "no known form"),
            ("\"5\"", "a number, not a JSON object"),
            ("null", "null, not a JSON object"),
            (
                r#"{"requestContext":{"http":{}},"body":"*","isBase64Encoded":true}"#,
                "not Base64",
            ),
            (r#"{"requestContext":{"http":{}}}"#, "not JSON"),
            ("[[[[[[[[[[[[{}]]]]]]]]]]]]", "more than 8 envelopes"),
        ] {
            let mut delivery = Delivery::parse(payload.as_bytes());
            let error = delivery
                .messages
                .remove(0)
                .notices
                .remove(0)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{payload}: {error}");
        }
    }

    #[test]
    fn an_event_of_ten_megabytes_is_refused_unread() {
        let payload = format!("\"{}\"", "a".repeat(10 << 20));
        let delivery = Delivery::parse(payload.as_bytes());
        assert!(matches!(
            delivery.messages[0].notices[0],
            Err(EventError::TooLarge { .. })
        ));
    }

    fn json_values() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let member = prop_oneof![
            "[a-z]{0,3}",
            proptest::sample::select(vec![
                "Records",
                "body",
                "Message",
                "Type",
                "detail",
                "detail-type",
                "data",
                "content",
                "type",
                "name",
                "source",
                "product",
                "resourceId",
                "instanceId",
                "instance_id",
                "region_id",
                "requestContext",
                "http",
                "isBase64Encoded",
                "eventSource",
                "Sns",
                "subject",
                "state",
            ])
            .prop_map(str::to_owned),
        ];
        let text = prop_oneof![
            ".*",
            proptest::sample::select(vec![
                "aws:sqs",
                "acs.ecs",
                "ecs:Instance:StateChange",
                "i-a1",
                "Stopping",
                "{}",
                "[",
                "acs:ecs:cn-a:1:instance/i-a1",
                "Notification",
                ":",
                "ecs:",
                "{\"state\":1}",
            ])
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::vec((member.clone(), inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_json_never_panics(value in json_values()) {
            let _ = Delivery::parse(value.to_string().as_bytes());
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload: Vec<u8>) {
            let _ = Delivery::parse(&payload);
        }
    }
}
