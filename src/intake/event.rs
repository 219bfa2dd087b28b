//! One event as JSON → [`Request`]: an [`InstanceEvent`], or why it is not about an instance.
//!
//! There are three families of events: CloudEvents from EventBridge, CloudMonitor notifications,
//! and the manual form. One can contain another, and sometimes only the inner part arrives. They
//! are recognized by their content, never by where they came from.

mod layers; // the objects in an event
mod not_ours; // events about something else

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::capture::follow::FollowMessage;
use crate::capture::sweep::Sweep;
use crate::intake::error::EventError;
use crate::intake::redrive::Redrive;
use crate::model::check::Doctor;
use crate::model::event::{Cause, InstanceEvent, MAX_TEXT_CHARS};
use crate::model::ids::{AccountId, InstanceId, RegionId};

use layers::{Layers, text};
pub use not_ours::NotOurs;
use not_ours::{alibaba_product, is_ecs, other_type, recognize};
pub(crate) use not_ours::{is_carrier, is_of_aws, is_of_tablestore};

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Capture an instance's console.
    Instance(InstanceEvent),
    /// Follow an event further that was served before.
    Follow(Box<FollowMessage>),
    /// Capture a whole fleet.
    Sweep(Box<Sweep>),
    /// Serve failed events again.
    Redrive(Box<Redrive>),
    /// Join the catalog's rows of days that are over.
    Compact,
    /// Say what this deployment is, and check it.
    Doctor(Box<Doctor>),
    /// Nothing: the event is valid, and about something else.
    Other(NotOurs),
}

/// A JSON object.
type Object = Map<String, Value>;

/// Parses one event that has no envelope.
///
/// # Errors
/// [`EventError`] says what is wrong.
pub fn parse(event: &Object) -> Result<Request, EventError> {
    if event.get("follow").is_some() {
        let message = FollowMessage::read(event);
        let message = message.map_err(|error| EventError::BadFollow(error.to_string()))?;
        let follow = &message.follow;
        if let Some(key) = follow.foreign_record() {
            let (key, id) = (excerpt(key), &follow.event.instance_id);
            let why = format!("{key:?} is not the key of a record of {id}");
            return Err(EventError::BadFollow(why));
        }
        return Ok(Request::Follow(Box::new(message)));
    }
    if let Some(sweep) = event.get("sweep") {
        let sweep = Sweep::deserialize(sweep);
        let unreadable = |error: serde_json::Error| EventError::BadSweep(error.to_string());
        return sweep.map(Box::new).map(Request::Sweep).map_err(unreadable);
    }
    if let Some(redrive) = event.get("redrive") {
        let redrive = Redrive::deserialize(redrive);
        let unreadable = |error: serde_json::Error| EventError::BadRedrive(error.to_string());
        return (redrive.map(Box::new).map(Request::Redrive)).map_err(unreadable);
    }
    if let Some(compact) = event.get("compact") {
        // A member could only be meant for something else.
        return match compact.as_object().is_some_and(Map::is_empty) {
            true => Ok(Request::Compact),
            false => Err(EventError::BadCompact),
        };
    }
    if let Some(doctor) = event.get("doctor") {
        let doctor = Doctor::deserialize(doctor);
        let unreadable = |error: serde_json::Error| EventError::BadDoctor(error.to_string());
        return (doctor.map(Box::new).map(Request::Doctor)).map_err(unreadable);
    }
    if event.contains_key("instance_id") {
        return manual(event).map(Request::Instance);
    }
    if let Some(not_ours) = recognize(event) {
        return Ok(Request::Other(not_ours));
    }
    let layers = Layers::of(event);
    if let Some(not_ours) = other_product(&layers)? {
        return Ok(Request::Other(not_ours));
    }
    let cause = match cause(&layers)? {
        Ok(cause) => cause,
        Err(not_ours) => return Ok(Request::Other(not_ours)),
    };
    let instance_id = instance_id(&layers)?;
    Ok(Request::Instance(InstanceEvent {
        region_id: region_id(&layers, &instance_id)?,
        instance_id,
        account_id: account_id(&layers),
        cause,
        event_id: layers.event_id().as_deref().map(excerpt),
        occurred_at: occurred_at(&layers),
    }))
}

fn manual(event: &Object) -> Result<InstanceEvent, EventError> {
    // Without this check, a misspelled `region_id` would silently select the default region.
    if let Some(unknown) = event
        .keys()
        .find(|k| !matches!(k.as_str(), "instance_id" | "region_id" | "account_id"))
    {
        return Err(EventError::UnknownMember(excerpt(unknown)));
    }
    Ok(InstanceEvent {
        instance_id: InstanceId::parse(text(event, "instance_id")?.ok_or(EventError::NoInstance)?)?,
        region_id: text(event, "region_id")?.map(RegionId::parse).transpose()?,
        account_id: match event.get("account_id") {
            Some(Value::Number(number)) => Some(AccountId::parse(&number.to_string())?),
            _ => text(event, "account_id")?
                .map(AccountId::parse)
                .transpose()?,
        },
        cause: Cause::Manual,
        event_id: None,
        occurred_at: None,
    })
}

/// The product that an event comes from, if it is not ECS. A notification's `product` is more
/// reliable than the type and `source` of the envelope. An unknown source is an error, because it
/// may be a user's own source with an event of ECS.
fn other_product(layers: &Layers<'_>) -> Result<Option<NotOurs>, EventError> {
    let name = layers.name()?;
    let other = |name: &str| Ok(Some(NotOurs::Product(excerpt(name))));
    if let (Some(product), Some(_)) = (layers.innermost("product")?, name) {
        return if is_ecs(product) {
            Ok(None)
        } else {
            other(product)
        };
    }
    if name.is_some_and(|name| name.starts_with("ecs:")) {
        return Ok(None);
    }
    match layers.outermost("source")? {
        None => Ok(None),
        Some(source) if is_ecs(source) => Ok(None),
        Some(source) if alibaba_product(source).is_some() => other(source),
        Some(_) => match name.and_then(other_type) {
            Some(product) => other(product),
            None => Err(unknown_form(layers)),
        },
    }
}

/// ECS resources other than instances that have events.
const OTHER_RESOURCES: [&str; 8] = [
    "DedicatedHost",
    "Disk",
    "ENI",
    "Image",
    "NetworkInterface",
    "ReservedInstance",
    "SecurityGroup",
    "Snapshot",
];

/// `Ok(Err(_))` is a valid event about something else.
fn cause(layers: &Layers<'_>) -> Result<Result<Cause, NotOurs>, EventError> {
    if let Some(resource) = layers.innermost("resourceType")?
        && !is_instance_type(resource)
    {
        return Ok(Err(NotOurs::Resource(excerpt(resource))));
    }
    let inner_status = layers.innermost("eventStatus")?;
    let system_event = |event_type: &str, status: Option<&str>| Cause::SystemEvent {
        event_type: excerpt(event_type),
        // The documents' sample of an avoided reboot still has `:Scheduled` in its name, so the
        // content has precedence over the name.
        status: inner_status.or(status).map(excerpt),
    };
    let Some(name) = layers.name()? else {
        return bare_cause(layers, system_event).map(Ok);
    };
    let mut words = name.strip_prefix("ecs:").unwrap_or(name).split(':');
    match (words.next(), words.next(), words.next()) {
        (Some("Instance"), Some("StateChange"), _) => match layers.innermost("state")? {
            Some(state) => Ok(Ok(Cause::StateChange(excerpt(state)))),
            None => Err(EventError::NoState),
        },
        (Some("Instance"), Some(event_type), status) => Ok(Ok(system_event(event_type, status))),
        // `CloudAssistant:FirstHeartbeat` and `InstanceRestart:StartedDueToInstanceError` are
        // events of the instance that they name.
        (Some(event_type), Some(status), None)
            if !OTHER_RESOURCES.contains(&event_type) && instance_id(layers).is_ok() =>
        {
            Ok(Ok(system_event(event_type, Some(status))))
        }
        (Some(resource), Some(_), _) => Ok(Err(NotOurs::Resource(excerpt(resource)))),
        _ => Err(unknown_form(layers)),
    }
}

/// The cause if only the payload arrived, as from a rule's target with the schema `RawData`.
fn bare_cause(
    layers: &Layers<'_>,
    system_event: impl Fn(&str, Option<&str>) -> Cause,
) -> Result<Cause, EventError> {
    let (state, event_type) = (layers.innermost("state")?, layers.innermost("eventType")?);
    match (state, event_type) {
        (Some(state), _) => Ok(Cause::StateChange(excerpt(state))),
        (None, Some(event_type)) => Ok(system_event(event_type, None)),
        // The payload of a spot instance's interruption has no other member.
        (None, None) if layers.innermost("action")? == Some("delete") => {
            Ok(system_event("PreemptibleInstanceInterruption", None))
        }
        (None, None) => Err(unknown_form(layers)),
    }
}

/// CloudMonitor uses `ALIYUN::ECS::Instance`. ActionTrail and Config use `ACS::ECS::Instance`.
fn is_instance_type(resource: &str) -> bool {
    ["ALIYUN::ECS::Instance", "ACS::ECS::Instance"]
        .iter()
        .any(|known| resource.eq_ignore_ascii_case(known))
}

/// Most members that an error message lists.
const MAX_MEMBERS: usize = 8;

fn unknown_form(layers: &Layers<'_>) -> EventError {
    let Some(event) = layers.objects.first().filter(|event| !event.is_empty()) else {
        return EventError::UnknownForm("it has no members".to_owned());
    };
    let members = event.keys().take(MAX_MEMBERS);
    let members: Vec<_> = members.map(|name| format!("{:?}", excerpt(name))).collect();
    let more = if event.len() > MAX_MEMBERS {
        " and more"
    } else {
        ""
    };
    let source = event.get("source").and_then(Value::as_str);
    let source = source.map_or(String::new(), |source| format!(" of {:?}", excerpt(source)));
    EventError::UnknownForm(format!("this{source} has {}{more}", members.join(", ")))
}

fn instance_id(layers: &Layers<'_>) -> Result<InstanceId, EventError> {
    for object in layers.objects.iter().rev() {
        for member in ["resourceId", "instanceId"] {
            if let Some(id) = text(object, member)? {
                return Ok(InstanceId::parse(instance_in_arn(id).unwrap_or(id))?);
            }
        }
    }
    for member in ["subject", "arn"] {
        if let Some(id) = layers.outermost(member)?.and_then(instance_in_arn) {
            return Ok(InstanceId::parse(id)?);
        }
    }
    Err(EventError::NoInstance)
}

/// The region of the instance, if the event names one. The instance's own name has precedence: an event
/// that was routed to the bus of another region ("Route events to EventBridge") still is about the same
/// `subject`, while its `aliyunregionid` may be the region of either bus. After the name comes the
/// `regionId` of a notification.
fn region_id(layers: &Layers<'_>, instance: &InstanceId) -> Result<Option<RegionId>, EventError> {
    for member in ["subject", "resourceId", "arn"] {
        let values = layers
            .objects
            .iter()
            .filter_map(|object| object.get(member));
        let arns = values.filter_map(Value::as_str);
        let named = arns.filter(|arn| instance_in_arn(arn) == Some(instance.as_str()));
        // A name may leave its region out, or mask it.
        let region = named
            .filter_map(|arn| arn.split(':').nth(2))
            .find_map(|region| RegionId::parse(region).ok());
        if region.is_some() {
            return Ok(region);
        }
    }
    for member in ["regionId", "aliyunregionid"] {
        if let Some(region) = layers.innermost(member)? {
            return Ok(Some(RegionId::parse(region)?));
        }
    }
    Ok(None)
}

/// The account that owns the instance. Samples in the documents mask account IDs, so an invalid ID
/// counts as missing.
///
/// `aliyunoriginalaccountid` has precedence: an event that was routed to another account's bus
/// keeps its source account there ("Route events across Alibaba Cloud accounts"), while
/// `aliyunaccountid` may be the receiver's. The account in a resource's name always owns the
/// resource. So it has precedence over `userId`, which is the subscriber of the notification.
fn account_id(layers: &Layers<'_>) -> Option<AccountId> {
    let member = |name: &str| {
        let mut values = layers.objects.iter().filter_map(|object| object.get(name));
        values.find_map(account)
    };
    let owner = || {
        let arns = ["subject", "resourceId", "arn"]
            .into_iter()
            .flat_map(|name| {
                let values = layers
                    .objects
                    .iter()
                    .filter_map(move |object| object.get(name));
                values.filter_map(Value::as_str)
            });
        arns.filter(|arn| instance_in_arn(arn).is_some())
            .find_map(|arn| AccountId::parse(arn.split(':').nth(3)?).ok())
    };
    member("aliyunoriginalaccountid")
        .or_else(owner)
        .or_else(|| member("aliyunaccountid"))
        .or_else(|| member("userId"))
}

/// Senders use both text and numbers for accounts.
fn account(value: &Value) -> Option<AccountId> {
    match value {
        Value::String(text) => AccountId::parse(text).ok(),
        Value::Number(number) => AccountId::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The first of these that is there: `time` of a CloudEvent, `eventTime` of a notification,
/// `publishTime` of a system event, `timestamp` of a subscription. An event with a missing or
/// unreadable time is still valid.
fn occurred_at(layers: &Layers<'_>) -> Option<Timestamp> {
    ["time", "eventTime", "publishTime", "timestamp"]
        .into_iter()
        .flat_map(|member| layers.objects.iter().map(move |object| object.get(member)))
        .find_map(|value| match value? {
            Value::String(text) => moment(text),
            Value::Number(number) => unix_moment(number.as_i64()?),
            _ => None,
        })
}

/// Parses a time with a zone, in the forms that senders use: `2020-11-19T21:04:41+08:00`,
/// `20181226T220114.058+0800`, `2019-04-09T04:18:26Z`, `2020-11-19T21:04:42.179PRC`,
/// `1704780333000`.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse() {
        return unix_moment(number);
    }
    let text = match text.strip_suffix("PRC") {
        Some(local) => Cow::Owned(format!("{local}+08:00")),
        None => Cow::Borrowed(text),
    };
    text.parse().ok()
}

/// Reads seconds or milliseconds since 1970, in the years 2001 to 5138. No event has a time outside
/// of these years.
fn unix_moment(number: i64) -> Option<Timestamp> {
    match number {
        1_000_000_000..100_000_000_000 => Timestamp::from_second(number).ok(),
        1_000_000_000_000..100_000_000_000_000 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

/// The instance in `acs:ecs:{region}:{account}:instance/{instance}`.
fn instance_in_arn(arn: &str) -> Option<&str> {
    arn.starts_with("acs:ecs:")
        .then_some(arn)?
        .split_once(":instance/")
        .map(|(_, id)| id)
}

/// Name of a JSON type, for messages.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: Value) -> Result<Request, EventError> {
        super::parse(event.as_object().unwrap())
    }

    #[track_caller]
    fn check(event: Value, instance_id: &str, region_id: Option<&str>, cause: Cause) {
        let Ok(Request::Instance(parsed)) = parse(event.clone()) else {
            panic!("{event} gave {:?}", parse(event.clone()));
        };
        assert_eq!(parsed.instance_id.as_str(), instance_id);
        assert_eq!(parsed.region_id.as_ref().map(RegionId::as_str), region_id);
        assert_eq!(parsed.cause, cause);
    }

    fn stopping() -> Cause {
        Cause::StateChange("Stopping".into())
    }

    fn reboot(event_type: &str, status: Option<&str>) -> Cause {
        Cause::SystemEvent {
            event_type: event_type.into(),
            status: status.map(Into::into),
        }
    }

    #[test]
    fn the_time_of_an_event_is_read_in_every_form_and_fails_none() {
        for (event, time) in [
            (
                json!({"time": "2020-11-19T21:04:41+08:00"}),
                "2020-11-19T13:04:41Z",
            ),
            (
                json!({"time": "2020-11-19T21:04:42.179PRC"}),
                "2020-11-19T13:04:42.179Z",
            ),
            (
                json!({"eventTime": "20181226T220114.058+0800"}),
                "2018-12-26T14:01:14.058Z",
            ),
            (
                json!({"data": {"publishTime": "2019-04-09T04:18:26Z"}}),
                "2019-04-09T04:18:26Z",
            ),
            (
                json!({"time": "soon", "eventTime": "2019-04-09T04:18:26Z"}),
                "2019-04-09T04:18:26Z",
            ),
            (json!({"time": 5}), ""),
            (json!({"time": 1704780333000_i64}), "2024-01-09T06:05:33Z"),
            (json!({"time": 1704780333}), "2024-01-09T06:05:33Z"),
            (
                json!({"eventTime": "1704780333000"}),
                "2024-01-09T06:05:33Z",
            ),
            (
                json!({"timestamp": 1704780333000_i64}),
                "2024-01-09T06:05:33Z",
            ),
            (json!({"time": i64::MAX}), ""),
            (json!({"time": 1704780333.5}), ""),
            (json!({"time": "2019-04-09 04:18:26"}), ""),
            (json!({}), ""),
        ] {
            let mut whole = json!({"resourceId": "i-a1", "state": "Stopping"});
            whole
                .as_object_mut()
                .unwrap()
                .extend(event.as_object().unwrap().clone());
            let Ok(Request::Instance(parsed)) = parse(whole) else {
                panic!("{event}");
            };
            let given = parsed
                .occurred_at
                .map_or(String::new(), |time| time.to_string());
            assert_eq!(given, time, "{event}");
        }
    }

    #[test]
    fn the_account_is_the_owner_of_the_instance() {
        let arn = "acs:ecs:cn-hangzhou:3:instance/i-a1";
        for (event, account_id) in [
            (
                json!({"aliyunoriginalaccountid": "1", "aliyunaccountid": "2", "subject": arn}),
                Some("1"),
            ),
            (json!({"aliyunaccountid": "2", "subject": arn}), Some("3")),
            (json!({"aliyunaccountid": "2"}), Some("2")),
            (
                json!({"aliyunaccountid": 1690700000000030_i64}),
                Some("1690700000000030"),
            ),
            (json!({"userId": "4", "resourceId": arn}), Some("3")),
            (json!({"userId": 4}), Some("4")),
            (
                json!({"data": {"userId": "4", "instanceId": "i-a1"}}),
                Some("4"),
            ),
            (
                json!({"aliyunaccountid": "123456789098****", "userId": "169070********30",
                       "subject": "acs:ecs:cn-hangzhou:169070********30:instance/i-a1"}),
                None,
            ),
            (
                json!({"aliyunaccountid": ["1"], "userId": 1.5, "subject": "acs:ecs:x"}),
                None,
            ),
            (
                json!({"userId": "1:role/other", "subject": "acs:oss:a:5:instance/x"}),
                None,
            ),
            (json!({}), None),
        ] {
            let mut whole = json!({"resourceId": "i-a1", "state": "Stopping"});
            let members = event.as_object().unwrap().clone();
            whole.as_object_mut().unwrap().extend(members);
            let Ok(Request::Instance(parsed)) = parse(whole) else {
                panic!("{event}");
            };
            let found = parsed.account_id.as_ref().map(AccountId::as_str);
            assert_eq!(found, account_id, "{event}");
        }
    }

    #[test]
    fn an_account_goes_with_its_event_and_older_messages_have_none() {
        let event = json!({"instance_id": "i-a1", "account_id": 1690700000000030_i64});
        let Ok(Request::Instance(event)) = parse(event) else {
            panic!()
        };
        let mut message = serde_json::to_value(&event).unwrap();
        assert_eq!(message["account_id"], "1690700000000030");
        assert_eq!(InstanceEvent::deserialize(&message).unwrap(), event);
        message.as_object_mut().unwrap().remove("account_id");
        let older = InstanceEvent::deserialize(&message).unwrap();
        assert_eq!(older.account_id, None);
        let again = serde_json::to_value(&older).unwrap();
        assert!(again.get("account_id").is_none());
    }

    #[test]
    fn a_notification_nested_in_a_cloud_event_is_read() {
        let nested = json!({
            "source": "acs.ecs", "type": "ecs:Instance:StateChange", "id": "1",
            "data": {"product": "ECS", "name": "Instance:StateChange", "regionId": "cn-beijing",
                     "content": {"resourceId": "i-a1", "state": "Stopping"}},
        });
        check(nested, "i-a1", Some("cn-beijing"), stopping());
    }

    #[test]
    fn data_sent_as_text_is_read() {
        let event = json!({
            "source": "acs:ecs", "type": "ecs:Instance:StateChange",
            "data": r#"{"resourceId":"i-a1","state":"Stopping"}"#,
        });
        check(event, "i-a1", None, stopping());
    }

    #[test]
    fn a_bare_payload_is_read() {
        check(
            json!({"resourceId": "i-a1", "state": "Stopping"}),
            "i-a1",
            None,
            stopping(),
        );
        check(
            json!({"instanceId": "i-a1", "eventType": "SystemFailure.Reboot", "eventStatus": "Executing"}),
            "i-a1",
            None,
            reboot("SystemFailure.Reboot", Some("Executing")),
        );
    }

    #[test]
    fn instance_and_region_are_found_in_the_resource_name_when_nothing_else_says_them() {
        let event = json!({
            "source": "acs.ecs", "type": "ecs:Instance:StateChange",
            "subject": "acs:ecs:cn-hangzhou:169070:instance/i-a1", "data": {"state": "Stopping"},
        });
        check(event, "i-a1", Some("cn-hangzhou"), stopping());
    }

    #[test]
    fn the_region_is_that_of_the_instance_and_not_of_the_bus() {
        let arn = "acs:ecs:cn-beijing:3:instance/i-a1";
        for (event, region_id) in [
            (
                json!({"aliyunregionid": "cn-hangzhou", "subject": arn}),
                "cn-beijing",
            ),
            (
                json!({"aliyunregionid": "cn-hangzhou", "regionId": "cn-shanghai", "arn": arn}),
                "cn-beijing",
            ),
            (
                json!({"aliyunregionid": "cn-hangzhou", "data": {"resourceId": arn, "state": "Stopping"}}),
                "cn-beijing",
            ),
            (
                json!({"aliyunregionid": "cn-hangzhou",
                       "data": {"regionId": "cn-beijing", "content": {"resourceId": "i-a1"}}}),
                "cn-beijing",
            ),
            (
                json!({"regionId": "cn-hangzhou", "data": {"regionId": "cn-beijing", "instanceId": "i-a1"}}),
                "cn-beijing",
            ),
            (json!({"aliyunregionid": "cn-hangzhou"}), "cn-hangzhou"),
            // A name that leaves its region out, and the name of another resource.
            (
                json!({"aliyunregionid": "cn-hangzhou", "subject": "acs:ecs::3:instance/i-a1"}),
                "cn-hangzhou",
            ),
            (
                json!({"aliyunregionid": "cn-hangzhou", "subject": "acs:ecs:*:3:instance/i-a1"}),
                "cn-hangzhou",
            ),
            (
                json!({"aliyunregionid": "cn-hangzhou", "subject": "acs:ecs:cn-beijing:3:instance/i-b2"}),
                "cn-hangzhou",
            ),
            (
                json!({"aliyunregionid": "cn-hangzhou", "subject": "acs:ecs:cn-beijing:3:disk/d-1"}),
                "cn-hangzhou",
            ),
        ] {
            let mut whole = json!({"resourceId": "i-a1", "state": "Stopping"});
            let members = event.as_object().unwrap().clone();
            whole.as_object_mut().unwrap().extend(members);
            check(whole, "i-a1", Some(region_id), stopping());
        }
    }

    #[test]
    fn the_status_in_the_content_is_believed_before_the_name() {
        let event = json!({
            "product": "ECS", "name": "Instance:SystemMaintenance.Reboot:Scheduled",
            "content": {"instanceId": "i-a1", "eventStatus": "Avoided"},
        });
        check(
            event,
            "i-a1",
            None,
            reboot("SystemMaintenance.Reboot", Some("Avoided")),
        );
    }

    #[test]
    fn cloud_event_types_are_read_with_and_without_a_status() {
        for (name, status) in [("", None), (":Executed", Some("Executed"))] {
            let event = json!({
                "source": "acs.ecs", "type": format!("ecs:Instance:InstanceFailure.Reboot{name}"),
                "data": {"instanceId": "i-a1"},
            });
            check(
                event,
                "i-a1",
                None,
                reboot("InstanceFailure.Reboot", status),
            );
        }
    }

    #[test]
    fn times_that_do_not_parse_are_no_obstacle() {
        let event = json!({
            "source": "acs.ecs", "type": "ecs:Instance:StateChange", "time": 12, "aliyunpublishtime": "PRC",
            "data": {"resourceId": "i-a1", "state": "Stopping"},
        });
        check(event, "i-a1", None, stopping());
    }

    #[test]
    fn other_products_and_resources_are_told_apart_from_errors() {
        let other = |event| match parse(event) {
            Ok(Request::Other(not_ours)) => not_ours,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            other(json!({"source": "acs.oss", "type": "oss:ObjectCreated:PutObject", "data": {}})),
            NotOurs::Product("acs.oss".into())
        );
        assert_eq!(
            other(
                json!({"source": "acs.ecs", "type": "ecs:Disk:DiskOperationCompleted", "data": {}})
            ),
            NotOurs::Resource("Disk".into())
        );
        assert_eq!(
            other(json!({"product": "RDS", "name": "Instance:StateChange", "content": {}})),
            NotOurs::Product("RDS".into())
        );
        assert_eq!(
            other(
                json!({"resourceType": "ALIYUN::ECS::Disk", "resourceId": "d-1", "state": "In_use"})
            ),
            NotOurs::Resource("ALIYUN::ECS::Disk".into())
        );
    }

    #[test]
    fn wrong_events_say_what_is_wrong() {
        for (event, message) in [
            (json!({}), "unrecognized event format"),
            (json!({}), "it has no members"),
            (json!({"source": "acs.ecs"}), "unrecognized event format"),
            (
                json!({"source": "my.app", "type": "order:paid", "id": "1"}),
                "this of \"my.app\" has \"id\", \"source\", \"type\"",
            ),
            (
                json!({"source": "acs.ecs", "type": "ecs:Instance:StateChange",
                       "data": {"resourceId": "i-a1"}}),
                "has no member state",
            ),
            (
                json!({"alert": {"product": "ECS", "source": "SYS_EVENT"}}),
                "unrecognized event format",
            ),
            (
                json!({"instance_id": 5}),
                "instance_id in the event is a number",
            ),
            (json!({"instance_id": null}), "names no instance"),
            (
                json!({"instance_id": "i-a1", "regoin_id": "cn-beijing"}),
                "unknown member \"regoin_id\"",
            ),
            (
                json!({"instance_id": "../etc"}),
                "\"../etc\" is not an instance ID",
            ),
            (
                json!({"instance_id": "i-a1", "account_id": "mine"}),
                "\"mine\" is not an account ID",
            ),
            (
                json!({"instance_id": "i-a1", "region_id": "a@evil.example"}),
                "not a region ID",
            ),
            (
                json!({"resourceId": "i-a1\n", "state": "Stopping"}),
                "\"i-a1\\n\" is not an instance ID",
            ),
            (
                json!({"resourceId": ["i-a1"], "state": "Stopping"}),
                "resourceId in the event is an array",
            ),
            (
                json!({"product": "ECS", "name": "Instance:StateChange", "content": {"state": "Running"}}),
                "names no instance",
            ),
        ] {
            let error = parse(event.clone()).unwrap_err().to_string();
            assert!(error.contains(message), "{event}: {error}");
        }
    }
}
