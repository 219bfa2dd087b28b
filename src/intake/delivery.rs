//! The payload of one invocation → the events in it, without their envelopes.

use std::sync::Arc;

use serde_json::Value;

use crate::intake::envelope::{Reading, Unwrapped, unwrap_text, unwrap_value};
use crate::intake::error::EventError;
use crate::intake::event::Request;
use crate::intake::http_request::{HttpRequest, http_event, http_request, pushed_event};
use crate::intake::json_text::{read, text_of};
use crate::intake::webhook::Headers;
use crate::intake::{MAX_EVENT_BYTES, MAX_EVENTS, MAX_PUSH_EVENTS};
use crate::model::event::Origin;

/// How many layers of JSON text in a string are read before any envelope.
const MAX_TEXTS: usize = 8;

/// The events of one invocation, and the form of the answer.
#[derive(Debug)]
pub struct Delivery {
    /// The messages, in the order of the payload.
    pub messages: Vec<Message>,
    /// Form of the answer.
    pub reply: ReplyForm,
    /// The HTTP request that contained the payload, if there was one.
    pub request: Option<HttpRequest>,
}

/// A unit that succeeds or fails as a whole: an SQS message, or the whole payload.
#[derive(Debug)]
pub struct Message {
    /// `messageId` of an SQS message.
    pub sqs_message_id: Option<String>,
    /// Each event in it, or why that event is invalid.
    pub requests: Vec<Result<Request, EventError>>,
    /// The JSON of each event in it, without envelopes. Only [`Delivery::of_replay_with_values`] fills it.
    pub values: Vec<Value>,
    /// The text that is kept if the message fails permanently, and that is served again. It has no
    /// queue message or HTTP request around it, because headers may contain secrets. Each deferred
    /// event shares it.
    pub text: Arc<str>,
}

/// How the sender learns the results of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyForm {
    /// The outcome of one event. If it fails, the invocation fails.
    One,
    /// An array of outcomes. If one fails, the invocation fails.
    Many,
    /// `batchItemFailures`, so that only failed messages are delivered again.
    SqsBatch,
    /// An HTTP response with a status code, as function URLs and HTTP APIs expect it.
    Http,
}

impl Delivery {
    /// Parses a payload. It does not fail as a whole: an invalid event is an error in its place
    /// among the messages, so that the others are still served.
    pub fn parse(payload: &[u8]) -> Self {
        Self::read(payload, false)
    }

    fn read(payload: &[u8], with_values: bool) -> Self {
        if payload.len() > MAX_EVENT_BYTES {
            let error = EventError::TooLarge {
                bytes: payload.len(),
            };
            // The sender has the whole payload. The archive need not store it.
            let head = payload.get(..1024).unwrap_or(payload);
            return Self::unreadable(error, head);
        }
        match text_of(payload) {
            Ok(text) => {
                let reading = Reading {
                    max_events: MAX_EVENTS,
                    with_values,
                };
                Self::from_text(&text, reading, 0)
            }
            Err(error) => Self::unreadable(error, payload),
        }
    }

    /// Parses the body of an HTTP request. If its headers have the attributes of a CloudEvent, they
    /// are added.
    pub fn of_push(headers: &Headers, body: &[u8]) -> Self {
        Self::pushed(headers, body, false)
    }

    fn pushed(headers: &Headers, body: &[u8], with_values: bool) -> Self {
        match pushed_event(headers, body) {
            Ok(text) => {
                let reading = Reading {
                    max_events: MAX_PUSH_EVENTS,
                    with_values,
                };
                Self::from_text(&text, reading, 0)
            }
            Err(error) => Self::unreadable(error, body),
        }
    }

    /// Parses what failed before, within the limits that it met when it came.
    pub fn of_replay(text: &str, origin: Origin) -> Self {
        Self::replayed(text, origin, false)
    }

    /// Parses what failed before in the same way, and also keeps the JSON of each event. That may take
    /// much memory.
    pub fn of_replay_with_values(text: &str, origin: Origin) -> Self {
        Self::replayed(text, origin, true)
    }

    fn replayed(text: &str, origin: Origin, with_values: bool) -> Self {
        match origin {
            // The attributes in its headers were added before it was kept.
            Origin::Http => Self::pushed(&Headers::default(), text.as_bytes(), with_values),
            Origin::Invocation | Origin::Unknown => Self::read(text.as_bytes(), with_values),
        }
    }

    fn from_text(text: &str, reading: Reading, depth: usize) -> Self {
        match read(text, reading.max_events) {
            // The payload is JSON text in a string. A queue's message can have this form, and a
            // failed event is replayed in this form.
            Ok(Value::String(json)) if depth < MAX_TEXTS => {
                Self::from_text(&json, reading, depth + 1)
            }
            Ok(value) => Self::from_json(&value, reading),
            Err(error) => Self::unreadable(error, text.as_bytes()),
        }
    }

    fn unreadable(error: EventError, payload: &[u8]) -> Self {
        let message = Message {
            sqs_message_id: None,
            requests: vec![Err(error)],
            values: Vec::new(),
            text: String::from_utf8_lossy(payload).into(),
        };
        Self {
            messages: vec![message],
            reply: ReplyForm::One,
            request: None,
        }
    }

    fn from_json(payload: &Value, mut reading: Reading) -> Self {
        if let Some(records) = sqs_records(payload) {
            return Self {
                messages: sqs_messages(records, reading),
                reply: ReplyForm::SqsBatch,
                request: None,
            };
        }
        let object = payload.as_object();
        let event = object.and_then(http_event);
        let reply = match object {
            _ if event.is_some() => ReplyForm::Http,
            _ if payload.is_array() => ReplyForm::Many,
            Some(object) if object.contains_key("Records") => ReplyForm::Many,
            _ => ReplyForm::One,
        };
        if reply == ReplyForm::Http {
            reading.max_events = MAX_PUSH_EVENTS;
        }
        let text = match event {
            Some(event) => event.unwrap_or_default(),
            None => payload.to_string(),
        };
        let Unwrapped { requests, values } = unwrap_value(payload, reading);
        Self {
            messages: vec![Message {
                sqs_message_id: None,
                requests,
                values,
                text: text.into(),
            }],
            reply,
            request: object.and_then(http_request),
        }
    }
}

fn sqs_records(payload: &Value) -> Option<&Vec<Value>> {
    let records = payload.get("Records")?.as_array()?;
    let from_sqs =
        |record: &Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
    (!records.is_empty() && records.iter().all(from_sqs)).then_some(records)
}

/// Parses the messages, with at most `max_events` events in all of them. The other messages fail,
/// and are delivered again with fewer beside them.
fn sqs_messages(records: &[Value], mut reading: Reading) -> Vec<Message> {
    let message = |record: &Value| {
        let message = sqs_message(record, reading);
        let left = reading.max_events;
        reading.max_events = left.saturating_sub(message.requests.len());
        message
    };
    records.iter().map(message).collect()
}

fn sqs_message(record: &Value, reading: Reading) -> Message {
    let body = record.get("body").and_then(Value::as_str);
    let Unwrapped { requests, values } = match body {
        _ if reading.max_events == 0 => Unwrapped {
            requests: vec![Err(EventError::TooMany(MAX_EVENTS))],
            values: Vec::new(),
        },
        Some(body) => unwrap_text(body, reading),
        None => unwrap_value(record, reading), // The record itself may be an event.
    };
    let sqs_message_id = record
        .get("messageId")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Message {
        sqs_message_id,
        requests,
        values,
        text: body.map_or_else(|| record.to_string().into(), Arc::from),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({"resourceId": "i-a1", "state": "Stopping"})
    }

    #[track_caller]
    fn check(payload: &Value, reply: ReplyForm, events: usize) {
        let delivery = Delivery::parse(payload.to_string().as_bytes());
        assert_eq!(delivery.reply, reply, "{payload}");
        let requests: Vec<_> = delivery.messages.iter().flat_map(|m| &m.requests).collect();
        assert_eq!(requests.len(), events, "{payload}");
        for request in requests {
            let Ok(Request::Instance(event)) = request else {
                panic!("{payload}: {request:?}")
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
    fn every_gateway_is_answered_as_an_http_request() {
        let (text, body) = (
            event().to_string(),
            BASE64_STANDARD.encode(event().to_string()),
        );
        let alibaba = |body: &str, is_encoded: Value| {
            json!({"path": "/", "httpMethod": "POST", "headers": {"X-A": "b"}, "body": body,
                   "queryParameters": {}, "pathParameters": {}, "isBase64Encoded": is_encoded})
        };
        for payload in [
            alibaba(&text, json!(false)),
            alibaba(&text, json!("false")),
            alibaba(&body, json!(true)),
            alibaba(&body, json!("true")),
            json!({"requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/", "body": text}),
        ] {
            check(&payload, ReplyForm::Http, 1);
            let delivery = Delivery::parse(payload.to_string().as_bytes());
            let request = delivery.request.unwrap();
            assert_eq!(request.body, text.as_bytes());
            assert!(!request.is_authenticated);
            assert_eq!(*delivery.messages[0].text, *text);
        }
    }

    #[test]
    fn forms_base64_and_marks_are_read_at_every_level() {
        let text = event().to_string();
        let encoded = BASE64_STANDARD.encode(&text);
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("data", &text)
            .finish();
        let utf_16: Vec<u8> = format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = format!("\u{feff}{text}\r\n");
        for payload in [
            text.as_bytes(),
            encoded.as_bytes(),
            form.as_bytes(),
            &utf_16,
            marked.as_bytes(),
        ] {
            let of_push = Delivery::of_push(&Headers::default(), payload);
            for delivery in [Delivery::parse(payload), of_push] {
                assert!(delivery.messages[0].requests[0].is_ok(), "{delivery:?}");
                assert_eq!(delivery.reply, ReplyForm::One);
            }
            let body = BASE64_STANDARD.encode(payload);
            check(
                &json!({"requestContext": {"http": {}}, "body": body, "isBase64Encoded": true}),
                ReplyForm::Http,
                1,
            );
        }
        for text in [encoded, form, marked] {
            let sqs = json!({"Records": [{"eventSource": "aws:sqs", "body": text}]});
            check(&sqs, ReplyForm::SqsBatch, 1);
        }
    }

    #[test]
    fn a_cloud_event_in_binary_mode_is_read_with_its_attributes_and_no_other_header() {
        let headers: Headers = [
            ("CE-SpecVersion", "1.0"),
            ("ce-type", "ecs:Instance:StateChange"),
            ("ce-source", "acs.ecs"),
            ("ce-id", "a%20b"),
            ("x-eventbridge-signature-token", "hush"),
        ]
        .into_iter()
        .collect();
        let body = event().to_string();
        let message = Delivery::of_push(&headers, body.as_bytes())
            .messages
            .remove(0);
        let Ok(Request::Instance(read)) = &message.requests[0] else {
            panic!("{message:?}");
        };
        assert_eq!(read.event_id.as_deref(), Some("a b"));
        assert!(!message.text.contains("hush"), "{}", message.text);
        let again = Delivery::parse(message.text.as_bytes()).messages.remove(0);
        assert_eq!(again.requests, message.requests);
    }

    #[test]
    fn more_events_than_platforms_send_are_one_error() {
        let many = |count: usize| json!(vec![json!({"instance_id": "i-a1"}); count]).to_string();
        let only_error = |delivery: Delivery| {
            let [message] = &delivery.messages[..] else {
                panic!("{} messages", delivery.messages.len());
            };
            let [Err(error)] = &message.requests[..] else {
                panic!("{} requests", message.requests.len());
            };
            error.to_string()
        };
        let of_push = |text: &str| Delivery::of_push(&Headers::default(), text.as_bytes());
        assert_eq!(
            of_push(&many(MAX_PUSH_EVENTS)).messages[0].requests.len(),
            MAX_PUSH_EVENTS
        );
        let http = |text: String| json!({"requestContext": {"http": {}}, "body": text}).to_string();
        for (delivery, most) in [
            (of_push(&many(60_000)), "1000 events"),
            (of_push(&many(MAX_PUSH_EVENTS + 1)), "1000 events"),
            (
                Delivery::parse(http(many(60_000)).as_bytes()),
                "1000 events",
            ),
            (Delivery::parse(many(60_000).as_bytes()), "10000 events"),
        ] {
            let error = only_error(delivery);
            assert!(
                error.contains(most) && error.contains("send fewer"),
                "{error}"
            );
        }
        assert_eq!(
            Delivery::parse(many(MAX_EVENTS).as_bytes()).messages[0]
                .requests
                .len(),
            MAX_EVENTS
        );
    }

    #[test]
    fn a_batch_that_holds_too_many_events_fails_only_where_it_is_too_many() {
        let record = |count: usize| {
            let body = json!(vec![json!({"instance_id": "i-a1"}); count]).to_string();
            json!({"eventSource": "aws:sqs", "messageId": count.to_string(), "body": body})
        };
        let records = [
            record(MAX_EVENTS + 1),
            record(9_000),
            record(1_001),
            record(2),
        ];
        let delivery = Delivery::parse(json!({"Records": records}).to_string().as_bytes());
        let results = delivery
            .messages
            .iter()
            .map(|message| message.requests[0].is_ok());
        assert_eq!(results.collect::<Vec<_>>(), [false, true, false, true]);
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
            .map(|m| m.requests[0].is_ok())
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
            assert_eq!(messages[0].requests.len(), events, "{payload}");
            assert!(messages[0].requests.iter().all(Result::is_ok), "{payload}");
            assert_eq!(messages[0].requests, again[0].requests, "{payload}");
        }
    }

    #[test]
    fn payloads_that_are_no_events_say_why() {
        for (payload, message) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("5", "a number, not a JSON object"),
            ("\"{}\"", "unrecognized event format"),
            ("\"5\"", "a number, not a JSON object"),
            ("null", "null, not a JSON object"),
            (
                r#"{"requestContext":{"http":{}},"body":"*","isBase64Encoded":true}"#,
                "it is not Base64 (in the body of the HTTP request)",
            ),
            (
                r#"{"requestContext":{"http":{}}}"#,
                "the event is empty (in the body of the HTTP request)",
            ),
            ("[[[[[[[[[[[[{}]]]]]]]]]]]]", "more than 8 envelopes"),
        ] {
            let mut delivery = Delivery::parse(payload.as_bytes());
            let error = delivery
                .messages
                .remove(0)
                .requests
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
            delivery.messages[0].requests[0],
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
