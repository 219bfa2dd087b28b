//! Envelopes → the events inside. Each platform wraps its own envelope around an event, and they
//! can be nested.
//!
//! An envelope is recognized by its content. Its inside must be valid: an event of another product
//! is reported as such, and anything else is an error. Nothing is dropped silently.
//!
//! Sources: "Event formats of triggers" (Function Compute), "Using AWS Lambda with …" (SQS, SNS,
//! Kinesis, destinations), CloudEvents 1.0 (JSON format).

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::intake::error::EventError;
use crate::intake::event::{self, Request, excerpt, type_name};
use crate::intake::http_request::http_event;
use crate::intake::json_text::{base64_bytes, read, text_of};

/// Deepest nesting that is supported. The deepest known is EventBridge in SNS in SQS, in a function
/// URL's request. Each layer is read once and is shorter than the one around it, so this limits the
/// work, too.
const MAX_ENVELOPES: usize = 8;

type Object = Map<String, Value>;

/// The events of one message. Each is a request, or an error.
pub(crate) type Requests = Vec<Result<Request, EventError>>;

/// How the events of a message are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// If there are more events, the result is one error.
    pub(crate) max_events: usize,
    /// Whether each event's JSON is wanted, too.
    pub(crate) with_values: bool,
}

/// The events of one message.
#[derive(Debug, Default)]
pub(crate) struct Unwrapped {
    pub(crate) requests: Requests,
    /// The JSON of each, without its envelopes. Read by itself, it asks for the same, unless it was
    /// too deep in envelopes. Empty if it is not wanted.
    pub(crate) values: Vec<Value>,
}

/// The events in a value.
pub(crate) fn unwrap_value(value: &Value, reading: Reading) -> Unwrapped {
    let mut unwrapping = Unwrapping::new(reading);
    unwrapping.value(value, 0, None);
    unwrapping.unwrapped
}

/// The events in a text.
pub(crate) fn unwrap_text(text: &str, reading: Reading) -> Unwrapped {
    let mut unwrapping = Unwrapping::new(reading);
    unwrapping.text(text, 1, None);
    unwrapping.unwrapped
}

/// The location of a value, from the inside out.
struct Place<'a> {
    name: Cow<'a, str>,
    outer: Option<&'a Place<'a>>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.outer {
            Some(outer) => write!(f, ", in {outer}"),
            None => Ok(()),
        }
    }
}

struct Unwrapping {
    reading: Reading,
    unwrapped: Unwrapped,
    is_full: bool,
}

impl Unwrapping {
    fn new(reading: Reading) -> Self {
        Self {
            reading,
            unwrapped: Unwrapped::default(),
            is_full: false,
        }
    }

    /// Removes envelopes until only events are left.
    fn value(&mut self, value: &Value, depth: usize, place: Option<&Place<'_>>) {
        if self.is_full {
            return;
        }
        if depth > MAX_ENVELOPES {
            let error = EventError::TooDeep(MAX_ENVELOPES);
            return self.push(Err(error), place, || value.clone());
        }
        match value {
            Value::Object(object) => self.object(object, depth, place),
            Value::Array(items) => self.items(items, depth, place),
            // An element of an EventBridge batch can be JSON text in a string.
            Value::String(json) => self.text(json, depth + 1, place),
            other => {
                let error = EventError::NotAnObject(type_name(other));
                self.push(Err(error), place, || other.clone());
            }
        }
    }

    fn text(&mut self, text: &str, depth: usize, place: Option<&Place<'_>>) {
        match read(text, self.reading.max_events) {
            Ok(value) => self.value(&value, depth, place),
            Err(error) => self.push(Err(error), place, || text.into()),
        }
    }

    fn items(&mut self, items: &[Value], depth: usize, outer: Option<&Place<'_>>) {
        for (index, item) in items.iter().enumerate() {
            let name = Cow::Owned(format!("element {index}"));
            self.value(item, depth + 1, Some(&Place { name, outer }));
        }
    }

    fn object(&mut self, object: &Object, depth: usize, outer: Option<&Place<'_>>) {
        let Some(Envelope { name, inside }) = envelope(object) else {
            return self.push(event::parse(object), outer, || object.clone().into());
        };
        let place = Place { name, outer };
        match inside {
            Inside::Value(value) => self.value(&value, depth + 1, Some(&place)),
            Inside::Items(items) => self.items(items, depth, Some(&place)),
            Inside::Text(text) => self.text(&text, depth + 1, Some(&place)),
            Inside::Fault(error) => self.push(Err(error), Some(&place), || object.clone().into()),
        }
    }

    fn push(
        &mut self,
        request: Result<Request, EventError>,
        place: Option<&Place<'_>>,
        value: impl FnOnce() -> Value,
    ) {
        let Unwrapped { requests, values } = &mut self.unwrapped;
        if requests.len() >= self.reading.max_events {
            self.is_full = true;
            *requests = vec![Err(EventError::TooMany(self.reading.max_events))];
            values.clear();
            return;
        }
        if self.reading.with_values {
            values.push(value());
        }
        requests.push(match (request, place) {
            (Err(error), Some(place)) => Err(EventError::Inside {
                place: place.to_string(),
                error: Box::new(error),
            }),
            (request, _) => request,
        });
    }
}

struct Envelope<'a> {
    /// Name of the inside and its envelope, for errors.
    name: Cow<'a, str>,
    inside: Inside<'a>,
}

enum Inside<'a> {
    Value(Cow<'a, Value>),
    Items(&'a [Value]),
    Text(Cow<'a, str>),
    Fault(EventError),
}

impl<'a> Envelope<'a> {
    fn new(name: impl Into<Cow<'a, str>>, inside: Inside<'a>) -> Self {
        Self {
            name: name.into(),
            inside,
        }
    }

    /// A message that is JSON, or JSON text in a string.
    fn message(name: impl Into<Cow<'a, str>>, message: &'a Value) -> Self {
        Self::new(
            name,
            match message {
                Value::String(text) if text.trim().is_empty() => Inside::Fault(EventError::Empty),
                Value::Null => Inside::Fault(EventError::Empty),
                Value::String(text) => Inside::Text(Cow::Borrowed(text)),
                value => Inside::Value(Cow::Borrowed(value)),
            },
        )
    }
}

/// The envelope around an event. `None` if there is none.
fn envelope(object: &Object) -> Option<Envelope<'_>> {
    let is_own = ["follow", "sweep", "redrive", "compact", "instance_id"]
        .iter()
        .any(|member| object.contains_key(*member));
    if is_own {
        return None;
    }
    if let Some(event) = http_event(object) {
        let inside = match event {
            Ok(text) => Inside::Text(Cow::Owned(text)),
            Err(error) => Inside::Fault(error),
        };
        return Some(Envelope::new("the body of the HTTP request", inside));
    }
    aws(object)
        .or_else(|| message(object))
        .or_else(|| cloud_event(object))
}

fn member<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// Envelopes of AWS.
fn aws(object: &Object) -> Option<Envelope<'_>> {
    let get = |name: &str| object.get(name);
    match (member(object, "eventSource"), member(object, "EventSource")) {
        // Without a body, the record may be an event itself.
        (Some("aws:sqs"), _) if object.contains_key("body") => {
            return Some(Envelope::message(
                "the body of the SQS message",
                get("body")?,
            ));
        }
        (Some("aws:kinesis"), _) => {
            let data = get("kinesis")?.get("data")?;
            return Some(Envelope::message(
                "kinesis.data of the Kinesis record",
                data,
            ));
        }
        (_, Some("aws:sns")) => {
            let message = get("Sns")?.get("Message")?;
            return Some(Envelope::message("Sns.Message of the SNS record", message));
        }
        _ => {}
    }
    match member(object, "Type") {
        Some("Notification") if object.contains_key("Message") => {
            return Some(Envelope::message(
                "Message of the SNS notification",
                get("Message")?,
            ));
        }
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation")
            if object.contains_key("SubscribeURL") =>
        {
            let unconfirmed = Inside::Fault(EventError::SubscriptionUnconfirmed);
            return Some(Envelope::new("what SNS sent", unconfirmed));
        }
        _ => {}
    }
    if let Some(Value::Array(records)) = get("Records")
        && !event::is_of_tablestore(object)
    {
        return Some(Envelope::new("Records", Inside::Items(records)));
    }
    // AWS Lambda and Function Compute send this to a destination after an invocation has failed
    // permanently.
    if let (Some(payload), Some(_)) = (get("requestPayload"), get("requestContext")) {
        let name = "requestPayload of the failed invocation";
        return Some(Envelope::message(name, payload));
    }
    match get("detail") {
        Some(detail) if object.contains_key("detail-type") && !event::is_of_aws(object) => {
            Some(Envelope::message("detail of the EventBridge event", detail))
        }
        _ => None,
    }
}

/// Members beside `body` in messages of RocketMQ, RabbitMQ, MQTT, and of topics with attributes.
const BESIDE_BODY: [&str; 7] = [
    "attrs",
    "envelope",
    "msgId",
    "props",
    "systemProperties",
    "topic",
    "userProperties",
];

/// A message of a queue, topic, stream or timer, in the form of Function Compute's triggers. It may
/// have a CloudEvent around it.
fn message(object: &Object) -> Option<Envelope<'_>> {
    let has = |name: &&str| object.contains_key(*name);
    let get = |name: &str| object.get(name);
    if let (true, Some(message)) = (has(&"TopicOwner") || has(&"TopicName"), get("Message")) {
        return Some(Envelope::message("Message of the topic", message));
    }
    if has(&"triggerName") && (has(&"triggerTime") || has(&"payload")) {
        let payload = get("payload").unwrap_or(&Value::Null);
        return Some(Envelope::message("payload of the timer", payload));
    }
    if let Some(body) = get("messageBody") {
        return Some(Envelope::message(
            "messageBody of the queue's message",
            body,
        ));
    }
    if let (true, Some(body)) = (BESIDE_BODY.iter().any(has), get("body")) {
        return Some(Envelope::message("body of the message", body));
    }
    if let (true, Some(value)) = (
        ["offset", "partition", "topic"].iter().any(has),
        get("value"),
    ) {
        return Some(Envelope::message("value of the Kafka record", value));
    }
    // There is no other member, so this one must be the message.
    match (object.len(), get("body"), get("value")) {
        (1, Some(body), _) => Some(Envelope::message("body of the message", body)),
        (1, _, Some(value)) => Some(Envelope::message("value of the record", value)),
        _ => None,
    }
}

/// A CloudEvent that contains an event as a message, or whose data is encoded.
fn cloud_event(object: &Object) -> Option<Envelope<'_>> {
    if let Some(encoded) = object.get("data_base64") {
        return Some(Envelope::new(
            "data_base64 of the CloudEvent",
            with_data(object, encoded),
        ));
    }
    let data = object.get("data").filter(|data| !data.is_null())?;
    let source = member(object, "source")?;
    let name = || format!("data of the CloudEvent from {:?}", excerpt(source));
    event::is_carrier(source, member(object, "type")).then(|| Envelope::message(name(), data))
}

/// The CloudEvent with decoded data.
fn with_data<'a>(object: &Object, encoded: &Value) -> Inside<'a> {
    let decoded = encoded.as_str().and_then(base64_bytes);
    let text = decoded.as_deref().map(text_of);
    match text {
        None => Inside::Fault(EventError::InvalidBase64),
        Some(Err(error)) => Inside::Fault(error),
        Some(Ok(text)) => {
            let mut event = object.clone();
            event.remove("data_base64");
            event.insert("data".to_owned(), Value::String(text.into_owned()));
            Inside::Value(Cow::Owned(Value::Object(event)))
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::*;
    use crate::intake::event::NotOurs;

    fn event() -> Value {
        json!({"resourceId": "i-a1", "state": "Stopping"})
    }

    /// A CloudEvent of Function Compute's triggers.
    fn from_queue(data: Value) -> Value {
        json!({"id": "1", "source": "MNS-archiver", "specversion": "1.0",
               "type": "mns:Queue:SendMessage", "aliyunregionid": "cn-chengdu", "data": data})
    }

    const UP_TO_100: Reading = Reading {
        max_events: 100,
        with_values: false,
    };

    fn unwrap(value: &Value) -> Requests {
        unwrap_value(value, UP_TO_100).requests
    }

    #[track_caller]
    fn check(value: Value, events: usize) {
        let requests = unwrap(&value);
        assert_eq!(requests.len(), events, "{value}: {requests:?}");
        for request in requests {
            let Ok(Request::Instance(event)) = request else {
                panic!("{value}: {request:?}")
            };
            assert_eq!(event.instance_id.as_str(), "i-a1");
        }
    }

    #[test]
    fn a_message_is_found_in_the_data_of_every_queue_topic_and_stream() {
        let text = event().to_string();
        let encoded = BASE64_STANDARD.encode(&text);
        for message in [json!(text), event(), json!(encoded), json!([event()])] {
            for data in [
                json!({"requestId": "R", "messageId": "M", "messageBody": message}),
                json!({"topic": "t", "systemProperties": {}, "userProperties": {}, "body": message}),
                json!({"msgId": "M", "body": message}),
                json!({"envelope": {"exchange": ""}, "props": {}, "body": message}),
                json!({"topic": "t", "partition": 7, "offset": 25, "key": "k", "value": message}),
                json!({"offset": 25, "value": message}),
                json!({"topic": "t", "value": message}),
                json!({"value": message}),
                json!({"body": message}),
                json!({"body": message, "attrs": {"Extend": "x"}}),
            ] {
                check(data.clone(), 1); // The form of the schema RawData.
                check(from_queue(data.clone()), 1);
                check(json!(from_queue(data.clone()).to_string()), 1);
                check(json!([from_queue(data.clone()), from_queue(data)]), 2);
            }
            check(
                json!({"TopicOwner": "1", "TopicName": "t", "Message": message}),
                1,
            );
            check(
                json!({"triggerTime": "t", "triggerName": "n", "payload": message}),
                1,
            );
            check(
                json!({"requestContext": {"condition": "x"}, "requestPayload": message}),
                1,
            );
        }
    }

    #[test]
    fn what_is_not_understood_inside_an_envelope_is_an_error_that_says_where() {
        for (value, message) in [
            (
                from_queue(json!({"messageBody": "TEST"})),
                "the event is not JSON: expected value at line 1 column 1 (in messageBody of the \
                 queue's message, in data of the CloudEvent from \"MNS-archiver\")",
            ),
            (
                from_queue(json!({"messageBody": {"hello": 1}})),
                "this has \"hello\" (in messageBody of the queue's message",
            ),
            (from_queue(json!({"messageBody": ""})), "the event is empty"),
            (
                from_queue(json!({"message": event()})),
                "unrecognized event format",
            ),
            (from_queue(json!("TEST")), "not JSON"),
            (from_queue(json!(5)), "a number, not a JSON object"),
            (
                json!([event(), {"body": 1, "attrs": {}}]),
                "(in body of the message, in element 1)",
            ),
            (
                json!({"Records": [{"eventSource": "aws:unheard-of", "body": "{}"}]}),
                "(in element 0, in Records)",
            ),
            (
                json!({"triggerTime": "t", "triggerName": "n"}),
                "empty (in payload of the timer)",
            ),
            (
                json!({"source": "my.app", "type": "order:paid", "data": {"a": 1}}),
                "unrecognized event format",
            ),
            (
                json!({"source": "acs.ecs", "type": "ecs:Instance:StateChange", "data_base64": "*"}),
                "not Base64 (in data_base64 of the CloudEvent)",
            ),
            (
                json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
                "it has no members (in detail of the EventBridge event)",
            ),
        ] {
            let errors = unwrap(&value).into_iter().filter_map(Result::err);
            let errors: Vec<_> = errors.map(|error| error.to_string()).collect();
            assert!(
                errors.iter().any(|error| error.contains(message)),
                "{value}: {errors:?}"
            );
        }
    }

    #[test]
    fn envelopes_are_taken_off_to_one_depth_and_not_deeper() {
        let deepest = (0..MAX_ENVELOPES).fold(event(), |inner, _| json!([inner]));
        check(deepest.clone(), 1);
        let error = unwrap(&json!([deepest])).remove(0).unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with(&EventError::TooDeep(MAX_ENVELOPES).to_string()),
            "{said}"
        );
    }

    #[test]
    fn an_unconfirmed_subscription_says_what_to_do_and_shows_no_secret() {
        let confirmation = json!({"Type": "SubscriptionConfirmation", "TopicArn": "arn",
            "Token": "hush", "SubscribeURL": "https://sns.example/?Token=hush", "Message": "…"});
        let error = unwrap(&confirmation).remove(0).unwrap_err().to_string();
        assert!(error.contains("aws sns confirm-subscription"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn events_of_other_products_are_told_as_that_in_any_envelope() {
        let product = |name: &str| NotOurs::Product(name.into());
        let audit = json!({"eventType": "ApiCall", "eventSource": "ecs.aliyuncs.com",
            "eventName": "RebootInstance", "userIdentity": {}, "serviceName": "Ecs"});
        for (event, not_ours) in [
            (
                json!({"source": "acs.oss", "type": "oss:ObjectCreated:PutObject", "data": {}}),
                product("acs.oss"),
            ),
            (
                json!({"events": [{"eventSource": "acs:oss"}]}),
                product("acs:oss"),
            ),
            (json!({"events": [{"eventSource": "cdn"}]}), product("cdn")),
            (
                json!({"source": "DTSstreamDemo", "type": "dts:ConsumeMessage", "specversion": "1.0",
                    "data": {"id": 1}}),
                product("dts"),
            ),
            (
                json!({"product": "RDS", "name": "Instance:StateChange"}),
                product("RDS"),
            ),
            (
                json!({"source": "aws.ec2", "detail-type": "x", "detail": {"state": "pending"}}),
                product("aws.ec2"),
            ),
            (
                json!({"eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "Put"}),
                product("aws:s3"),
            ),
            (audit.clone(), NotOurs::AuditRecord("RebootInstance".into())),
            (
                json!({"source": "acs.mns", "type": "mns:ActionTrail:ApiCall", "data": audit}),
                NotOurs::AuditRecord("RebootInstance".into()),
            ),
            (
                json!({"alertName": "cpu", "alertState": "ALERT", "expression": "$Average>90"}),
                NotOurs::Alarm("cpu".into()),
            ),
            (
                json!({"alert": {"source": "METRIC", "ruleName": "cpu", "product": "ECS"}}),
                NotOurs::Alarm("cpu".into()),
            ),
            (
                json!({"AlarmName": "a", "NewStateValue": "ALARM"}),
                NotOurs::Alarm("a".into()),
            ),
        ] {
            for value in [
                event.clone(),
                from_queue(json!({"messageBody": event.to_string()})),
            ] {
                assert_eq!(
                    unwrap(&value),
                    [Ok(Request::Other(not_ours.clone()))],
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn a_relay_under_any_name_carries_events() {
        let inner = json!({"id": "2", "source": "acs.ecs", "type": "ecs:Instance:StateChange",
            "data": event()});
        for source in ["my.relay", "acs.eventbridge", "https://example.com/x"] {
            check(
                json!({"source": source, "type": "a:b", "specversion": "1.0", "data": inner}),
                1,
            );
        }
        let own_source = json!({"source": "my.relay", "type": "ecs:Instance:StateChange",
            "data": event()});
        check(own_source, 1);
    }

    #[test]
    fn more_events_than_allowed_are_one_error() {
        for value in [
            json!(vec![event(); 101]),
            json!([vec![event(); 60], vec![event(); 60]]),
            from_queue(json!({"messageBody": json!(vec![event(); 101]).to_string()})),
        ] {
            assert_eq!(unwrap(&value).len(), 1);
            let error = unwrap(&value).remove(0).unwrap_err().to_string();
            assert!(error.contains("more than 100 events"), "{error}");
        }
        check(json!(vec![event(); 100]), 100);
    }

    #[test]
    fn text_in_text_ends_at_the_deepest_envelope() {
        let mut text = event().to_string();
        for _ in 0..12 {
            text = json!([text]).to_string();
        }
        let error = unwrap_text(&text, UP_TO_100)
            .requests
            .remove(0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("more than 8 envelopes"), "{error}");
    }
}
