//! The nested objects of an event, and in which of them each member is searched.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::type_name;
use crate::intake::MAX_EVENTS;
use crate::intake::error::EventError;
use crate::intake::json_text::read;

type Object = Map<String, Value>;

/// The nested objects of an event, outermost first.
///
/// EventBridge puts the payload into `data`. A handler that others published reads `data.content`
/// first, so some senders put a whole CloudMonitor notification into `data`. A CloudEvent's `data`
/// may be JSON text in a string.
pub(super) struct Layers<'a> {
    /// The event, then `data`, then the notification's `content`. For CloudMonitor's subscriptions:
    /// `alert`, then its `meta.sysEventMeta`, then its content.
    pub(super) objects: Vec<Cow<'a, Object>>,
    /// Whether it is a notification of a CloudMonitor subscription.
    is_alert: bool,
}

impl<'a> Layers<'a> {
    pub(super) fn of(event: &'a Object) -> Self {
        match event.get("alert").and_then(as_object) {
            Some(alert) => Self::of_alert(alert),
            None => Self::of_event(event),
        }
    }

    fn of_event(event: &'a Object) -> Self {
        let data = event.get("data").and_then(as_object);
        let inner = match &data {
            Some(data) => owned(data.get("content")),
            None => event.get("content").and_then(as_object),
        };
        let outer = Some(Cow::Borrowed(event));
        Self {
            objects: [outer, data, inner].into_iter().flatten().collect(),
            is_alert: false,
        }
    }

    /// Source: "Configure callbacks for system event-triggered alerts (recommended)".
    fn of_alert(alert: Cow<'a, Object>) -> Self {
        let meta = owned(alert.get("meta").and_then(|meta| meta.get("sysEventMeta")));
        // The content is there twice: as an object and as text.
        let content = owned(alert.get("eventContentMap")).filter(|content| !content.is_empty());
        let content = content.or_else(|| owned(alert.get("eventRawContent")));
        let objects = [Some(alert), meta, content];
        Self {
            objects: objects.into_iter().flatten().collect(),
            is_alert: true,
        }
    }

    /// Finds a text member, from the outermost object inwards.
    pub(super) fn outermost(&self, member: &'static str) -> Result<Option<&str>, EventError> {
        first(self.objects.iter().map(AsRef::as_ref), member)
    }

    /// Finds a text member, from the innermost object outwards.
    pub(super) fn innermost(&self, member: &'static str) -> Result<Option<&str>, EventError> {
        first(self.objects.iter().rev().map(AsRef::as_ref), member)
    }

    /// Name of the event: `Instance:StateChange`, or `ecs:Instance:StateChange` as the type of a
    /// CloudEvent.
    pub(super) fn name(&self) -> Result<Option<&str>, EventError> {
        if self.is_alert {
            return match self.outermost("eventName")? {
                Some(name) => Ok(Some(name)),
                None => self.outermost("name"),
            };
        }
        match self.innermost("name")? {
            Some(name) => Ok(Some(name)),
            None => self.outermost("type"),
        }
    }

    /// The sender's ID of the event, a text or a number. It is the same at each delivery.
    pub(super) fn event_id(&self) -> Option<String> {
        // A notification inside a CloudEvent has its own ID. The outer one counts.
        let depth = if self.is_alert { 2 } else { 1 };
        ["id", "dedupId", "traceId"]
            .into_iter()
            .flat_map(|member| self.objects.iter().take(depth).map(move |o| o.get(member)))
            .find_map(|id| match id? {
                Value::String(id) if !id.is_empty() => Some(id.clone()),
                Value::Number(id) => Some(id.to_string()),
                _ => None,
            })
    }
}

fn owned<'a>(value: Option<&Value>) -> Option<Cow<'a, Object>> {
    value
        .and_then(as_object)
        .map(|object| Cow::Owned(object.into_owned()))
}

/// An object, or JSON text of an object. The text may be nested in strings or Base64.
fn as_object(value: &Value) -> Option<Cow<'_, Object>> {
    let text = match value {
        Value::Object(object) => return Some(Cow::Borrowed(object)),
        Value::String(text) => text,
        _ => return None,
    };
    match read(text, MAX_EVENTS).ok()? {
        Value::Object(object) => Some(Cow::Owned(object)),
        Value::String(inner) => match read(&inner, MAX_EVENTS).ok()? {
            Value::Object(object) => Some(Cow::Owned(object)),
            _ => None,
        },
        _ => None,
    }
}

fn first<'a>(
    mut objects: impl Iterator<Item = &'a Object>,
    member: &'static str,
) -> Result<Option<&'a str>, EventError> {
    objects
        .find_map(|object| text(object, member).transpose())
        .transpose()
}

/// A text member. Null and an empty text count as missing.
pub(super) fn text<'a>(
    object: &'a Object,
    member: &'static str,
) -> Result<Option<&'a str>, EventError> {
    match object.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(EventError::WrongType {
            member,
            found: type_name(other),
        }),
    }
}
