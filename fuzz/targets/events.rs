//! Whatever a platform delivers, what is read of it is safe in host names, queries and keys, and
//! what is kept of it reads back.
#![no_main]

use ecs_console_archiver::archive::key::{MarkerKey, RecordKey};
use ecs_console_archiver::archive::record::{FailedEvent, KeptEvent, Marker, Record};
use ecs_console_archiver::capture::follow::{Follow, FollowMessage};
use ecs_console_archiver::intake::delivery::{Delivery, Message};
use ecs_console_archiver::intake::event::Request;
use ecs_console_archiver::model::console::{ConsoleOutput, NoConsole};
use ecs_console_archiver::model::event::{InstanceEvent, MAX_TEXT_CHARS, Origin};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::source::ecs::endpoint::{EcsEndpoint, EndpointTemplate};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|payload: &[u8]| {
    let delivery = Delivery::parse(payload);
    for message in &delivery.messages {
        for request in message.requests.iter().flatten() {
            match request {
                Request::Instance(event) => check_event(event),
                Request::Follow(message) => {
                    check_event(&message.follow.event);
                    assert!(same_again(&message.to_json().unwrap(), request));
                }
                Request::Sweep(sweep) => {
                    sweep.regions.iter().for_each(check_region);
                    if let Some(cursor) = &sweep.resume {
                        check_region(&cursor.region_id);
                    }
                    assert!(same_again(&json!({ "sweep": sweep }), request));
                }
                Request::Redrive(redrive) => {
                    assert!(same_again(&json!({ "redrive": redrive }), request));
                }
                Request::Compact => {
                    assert!(same_again(&json!({ "compact": {} }), request));
                }
                Request::Doctor(doctor) => {
                    doctor.region_id.iter().for_each(check_region);
                    doctor.instance_id.iter().for_each(check_instance);
                    assert!(same_again(&json!({ "doctor": doctor }), request));
                }
                Request::Other(_) => {}
            }
        }
        check_failed(message);
    }
});

fn check_instance(id: &InstanceId) {
    let rest = match id.is_first_generation() {
        true => id.as_str().strip_prefix("AY").unwrap(),
        false => id.as_str().strip_prefix("i-").unwrap(),
    };
    assert!((1..=40).contains(&rest.len()));
    assert!(rest.bytes().all(|b| b.is_ascii_alphanumeric()));
}

fn check_region(id: &RegionId) {
    let template = EndpointTemplate::parse("https://ecs-vpc.{region}.aliyuncs.com").unwrap();
    let url = EcsEndpoint::Template(template).url(id).unwrap();
    let host = format!("ecs-vpc.{id}.aliyuncs.com");
    assert_eq!(url.host_str(), Some(host.as_str()));
    assert!(url.username().is_empty() && url.port().is_none() && url.path() == "/");
}

fn check_event(event: &InstanceEvent) {
    check_instance(&event.instance_id);
    let asked_in = event.region_id.clone();
    let region_id = asked_in.unwrap_or_else(|| RegionId::parse("cn-hangzhou").unwrap());
    check_region(&region_id);
    // Of a follow message it is this program's own, and as long as that sent it.
    let cause = event.cause.to_string();
    let console = ConsoleOutput {
        plain: cause.clone().into_bytes(),
        last_update_time: event.event_id.clone().unwrap_or_default(),
        request_id: cause,
        reported_instance_id: None,
        is_undecoded: false,
    };
    let now = Timestamp::UNIX_EPOCH;
    let record = Record::new(event, &region_id, &console, now, None).unwrap();
    let key = record.key.to_string();
    assert_eq!(key.matches('/').count(), 1);
    assert!(!key.contains(".."));
    assert_eq!(RecordKey::parse(&key), Some(record.key));
    for value in record.object.metadata.values() {
        assert!(value.len() <= 256 && value.bytes().all(|b| matches!(b, b' '..=b'~')));
    }
    let marker = Marker::new(event, &region_id, NoConsole::Empty, "", now);
    let key = marker.key.to_string();
    let read = MarkerKey::parse(&key);
    assert!(read.is_some_and(|read| read.to_string() == key), "{key}");
    // What is followed comes back as it was sent.
    let follow = Follow::begin(event.clone(), now);
    let message = FollowMessage::new(follow, now);
    let json = message.to_json().unwrap();
    assert!(same_again(&json, &Request::Follow(Box::new(message))));
}

/// Whether a message of this program reads back as what it was made from.
fn same_again(message: &serde_json::Value, request: &Request) -> bool {
    let delivery = Delivery::parse(message.to_string().as_bytes());
    let requests: Vec<_> = delivery.messages.iter().flat_map(|m| &m.requests).collect();
    matches!(requests[..], [Ok(read)] if read == request)
}

/// An event that is kept when it fails is, served again, the same event.
fn check_failed(message: &Message) {
    let (origin, at) = (Origin::Invocation, Timestamp::UNIX_EPOCH);
    let failed = FailedEvent::new(&message.text, origin, "Internal", at).unwrap();
    let kept = KeptEvent::read(&failed.object).unwrap();
    assert_eq!((&*kept.event, kept.origin), (&*message.text, origin));
    let again = Delivery::of_replay(&kept.event, origin);
    let mut again = again.messages.iter().flat_map(|m| &m.requests).flatten();
    for request in message.requests.iter().flatten() {
        assert!(again.any(|read| read == request), "{request:?} is lost");
        if let Request::Instance(event) = request {
            let id = event.event_id.as_deref().unwrap_or_default();
            assert!(id.chars().count() <= MAX_TEXT_CHARS);
        }
    }
}
