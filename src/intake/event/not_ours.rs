//! Recognizes events that are clearly not about an instance. Only these are ignored. An event that
//! is not recognized is an error.

use std::fmt;

use serde_json::{Map, Value};

use super::excerpt;

type Object = Map<String, Value>;

/// Why a valid event is not about an instance's console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOurs {
    /// It comes from another product. Holds its name.
    Product(String),
    /// It is about another kind of resource. Holds its name.
    Resource(String),
    /// It is an alarm about a metric. Holds its name.
    Alarm(String),
    /// It is ActionTrail's record of an API call. Holds the API's name.
    AuditRecord(String),
    /// It is a redrive that failed, and is served again by a redrive.
    NestedRedrive,
    /// It asks a deployed function about itself, and nobody who could read the answer sent it.
    IndirectDoctor,
}

impl NotOurs {
    /// The reason as a word that stays the same between versions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Product(_) => "other_product",
            Self::Resource(_) => "other_resource",
            Self::Alarm(_) => "alarm",
            Self::AuditRecord(_) => "audit_record",
            Self::NestedRedrive => "nested_redrive",
            Self::IndirectDoctor => "indirect_doctor",
        }
    }
}

/// The reason as a sentence.
impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(product) => write!(f, "the event comes from {product}, not from ECS"),
            Self::Resource(resource) => {
                write!(f, "the event is about {resource}, not an ECS instance")
            }
            Self::Alarm(name) => write!(
                f,
                "{name} is an alarm about a metric, not an instance event: subscribe to system \
                 events of ECS"
            ),
            Self::AuditRecord(name) => write!(
                f,
                "the event is an audit record of the API call {name}, not an instance event, \
                 which comes by itself"
            ),
            Self::NestedRedrive => f.write_str(
                "the event is a redrive that failed; the redrive that serves it does its work",
            ),
            Self::IndirectDoctor => f.write_str(
                "a doctor event is served only where a function is invoked with it directly, as \
                 console-archive doctor --deployed does",
            ),
        }
    }
}

/// Products of Alibaba Cloud whose events contain a message as data.
const CARRIERS: [&str; 9] = [
    "alikafka",
    "amqp",
    "eventbridge",
    "fc",
    "kafka",
    "mns",
    "mq",
    "mqtt",
    "rocketmq",
];

/// Products whose sources are named by the user, by the first word of their event types.
const OTHER_PRODUCTS: [&str; 5] = ["cdn", "dts", "oss", "ots", "sls"];

/// Event types of ActionTrail's records.
const AUDIT_TYPES: [&str; 5] = [
    "AliyunServiceEvent",
    "ApiCall",
    "ConsoleOperation",
    "ConsoleSignin",
    "ConsoleSignout",
];

/// The product in a source such as `acs.ecs`. Some senders write `acs:ecs`.
pub(super) fn alibaba_product(source: &str) -> Option<&str> {
    source
        .strip_prefix("acs.")
        .or_else(|| source.strip_prefix("acs:"))
}

/// Whether a CloudEvent of this source and type contains a message that may be an event of ECS.
/// Users choose the names of queues and relays.
pub(crate) fn is_carrier(source: &str, event_type: Option<&str>) -> bool {
    let product = event_type.and_then(|name| name.split_once(':'));
    let product = product.map(|(product, _)| product);
    if product == Some("ecs") || is_ecs(source) {
        return false;
    }
    match alibaba_product(source) {
        Some(product) => CARRIERS.contains(&product),
        None => !product.is_some_and(|product| OTHER_PRODUCTS.contains(&product)),
    }
}

/// Whether a product or source is ECS.
pub(super) fn is_ecs(name: &str) -> bool {
    alibaba_product(name)
        .unwrap_or(name)
        .eq_ignore_ascii_case("ecs")
}

/// Whether it is a change of rows in Tablestore ("Event formats of triggers": `Version` is
/// `Sync-v1`).
pub(crate) fn is_of_tablestore(object: &Object) -> bool {
    text(object, "Version").is_some_and(|version| version.starts_with("Sync-"))
}

/// Whether it is an event of one of AWS's own services. The sources of partners begin with
/// `aws.partner/`. A schedule passes on a payload of the user's choice.
pub(crate) fn is_of_aws(object: &Object) -> bool {
    text(object, "source").is_some_and(|source| {
        source.starts_with("aws.")
            && !source.starts_with("aws.partner/")
            && !["aws.events", "aws.scheduler"].contains(&source)
    })
}

/// Recognizes an event of another product in that product's own form.
pub(super) fn recognize(object: &Object) -> Option<NotOurs> {
    alarm(object)
        .map(NotOurs::Alarm)
        .or_else(|| audit_record(object).map(NotOurs::AuditRecord))
        .or_else(|| product(object).map(NotOurs::Product))
}

/// The name of an alarm of CloudMonitor, in its old or new form, or of CloudWatch.
fn alarm(object: &Object) -> Option<String> {
    if let Some(alert) = object.get("alert").and_then(Value::as_object) {
        let source = text(alert, "source")?;
        let name = text(alert, "eventName").or_else(|| text(alert, "ruleName"));
        return (source != "SYS_EVENT").then(|| excerpt(name.unwrap_or(source)));
    }
    let is_cloudwatchs = object.contains_key("NewStateValue");
    let is_cloudmonitors = object.contains_key("alertState") && object.contains_key("expression");
    let name = text(object, "alertName").or_else(|| text(object, "AlarmName"));
    let name = name.or_else(|| text(object, "metricName"));
    (is_cloudwatchs || is_cloudmonitors).then(|| excerpt(name.unwrap_or("this")))
}

/// The name of the API in an audit record, with or without a CloudEvent around it.
fn audit_record(object: &Object) -> Option<String> {
    let data = object.get("data").and_then(Value::as_object);
    let record = data.unwrap_or(object);
    let is_named_so = text(object, "type").is_some_and(|name| name.contains(":ActionTrail:"));
    let has_its_form = text(record, "eventType").is_some_and(|name| AUDIT_TYPES.contains(&name))
        && record.contains_key("eventSource")
        && record.contains_key("userIdentity");
    let name = text(record, "eventName").unwrap_or("an API");
    (is_named_so || has_its_form).then(|| excerpt(name))
}

/// Source of the message that `doctor` sends to test the follow queue.
const DOCTOR: &str = "ecs-console-archiver";

/// The product of an event from Function Compute's triggers for OSS, CDN, Log Service and
/// Tablestore, or from AWS's own services.
fn product(object: &Object) -> Option<String> {
    let event = object.get("events").and_then(|events| events.get(0));
    if let Some(source) = event.and_then(|event| text(event.as_object()?, "eventSource"))
        && (source == "cdn" || alibaba_product(source).is_some_and(|product| product != "ecs"))
    {
        return Some(excerpt(source));
    }
    let log = object.get("source").and_then(Value::as_object);
    if log.is_some_and(|log| log.contains_key("logstoreName")) {
        return Some("Log Service".to_owned());
    }
    if text(object, "source") == Some(DOCTOR) {
        return Some(DOCTOR.to_owned());
    }
    if is_of_tablestore(object) {
        return Some("Tablestore".to_owned());
    }
    if object.contains_key("detail-type") && is_of_aws(object) {
        return text(object, "source").map(excerpt);
    }
    let record = text(object, "eventSource").filter(|source| source.starts_with("aws:"));
    record
        .filter(|_| object.contains_key("awsRegion") && object.contains_key("eventName"))
        .map(excerpt)
}

/// The product of an event in the form of ECS's events, if it is not ECS: `dts` in
/// `dts:ConsumeMessage`.
pub(super) fn other_type(event_type: &str) -> Option<&str> {
    let (product, _) = event_type.split_once(':')?;
    OTHER_PRODUCTS.contains(&product).then_some(product)
}

fn text<'a>(object: &'a Object, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}
