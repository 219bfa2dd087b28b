//! The files under `events/` are what their names say.

use ecs_console_archiver::intake::delivery::Delivery;
use ecs_console_archiver::intake::event::Request;
use std::collections::BTreeSet;

use ecs_console_archiver::intake::triggers::{DEFAULT_SYSTEM_EVENTS, Triggers};

use crate::support::{names_in, root};

#[test]
fn every_event_file_is_understood_and_ignored_only_where_its_name_says_so() {
    let folder = root().join("events");
    let names = names_in(&folder, ".json");
    assert!(names.len() >= 60, "{names:?}");
    for name in names {
        let payload = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let delivery = Delivery::parse(&payload);
        let requests: Vec<_> = delivery
            .messages
            .into_iter()
            .flat_map(|m| m.requests)
            .collect();
        assert!(!requests.is_empty(), "{name}");
        for notice in requests {
            let captured = match notice {
                Ok(Request::Instance(event)) => Triggers::default().include(&event.cause),
                Ok(
                    Request::Follow(_)
                    | Request::Sweep(_)
                    | Request::Redrive(_)
                    | Request::Compact
                    | Request::Doctor(_),
                ) => true,
                Ok(Request::Other(_)) => false,
                Err(error) => panic!("{name}: {error}"),
            };
            assert_eq!(captured, !name.ends_with("-ignored"), "{name}");
        }
    }
}

#[test]
fn event_files_have_no_neighbours_but_the_page_that_says_what_each_follows() {
    let folder = root().join("events");
    let files = names_in(&folder, "");
    let names = names_in(&folder, ".json");
    assert_eq!(files.len(), names.len() + 1);
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for name in &names {
        let rows = page.matches(&format!("| `{name}.json` | ")).count();
        assert_eq!(rows, 1, "{name}");
    }
    assert_eq!(page.matches(".json` | ").count(), names.len());
}

#[test]
fn what_is_ignored_is_ignored_for_a_reason_that_is_true() {
    for (name, reason, text) in [
        (
            "eventbridge-audit-record",
            "audit_record",
            "the API call RebootInstance",
        ),
        (
            "cloudmonitor-metric-alarm",
            "alarm",
            "cpu is an alarm about a metric",
        ),
        (
            "cloudmonitor-metric-alarm-form",
            "alarm",
            "cpu is an alarm about a metric",
        ),
        (
            "function-compute-oss",
            "other_product",
            "from acs:oss, not from ECS",
        ),
        (
            "function-compute-cdn",
            "other_product",
            "from cdn, not from ECS",
        ),
        (
            "function-compute-log-service",
            "other_product",
            "from Log Service, not from ECS",
        ),
        (
            "function-compute-tablestore",
            "other_product",
            "from Tablestore, not from ECS",
        ),
        (
            "function-compute-dts",
            "other_product",
            "from dts, not from ECS",
        ),
        ("aws-ec2", "other_product", "from aws.ec2, not from ECS"),
        (
            "eventbridge-disk",
            "other_resource",
            "about Disk, not an ECS instance",
        ),
    ] {
        let payload = std::fs::read(root().join(format!("events/{name}-ignored.json"))).unwrap();
        let notice = Delivery::parse(&payload)
            .messages
            .remove(0)
            .requests
            .remove(0);
        let Ok(Request::Other(unrelated)) = notice else {
            panic!("{name}: {notice:?}");
        };
        assert_eq!(unrelated.reason(), reason, "{name}");
        assert!(unrelated.to_string().contains(text), "{name}: {unrelated}");
    }
}

#[test]
fn each_instance_event_is_read_whole() {
    for name in names_in(&root().join("events"), ".json") {
        let payload = std::fs::read(root().join(format!("events/{name}.json"))).unwrap();
        let messages = Delivery::parse(&payload).messages;
        for notice in messages.into_iter().flat_map(|message| message.requests) {
            let Ok(Request::Instance(event)) = notice else {
                continue;
            };
            assert_eq!(event.region_id.unwrap().as_str(), "cn-hangzhou", "{name}");
            if name == "manual" {
                continue;
            }
            let account_id = event.account_id.unwrap().to_string();
            let expected = match name.as_str() {
                "eventbridge-other-account" => "2690700000000031",
                _ => "1690700000000030",
            };
            assert_eq!(account_id, expected, "{name}");
            assert!(event.event_id.is_some(), "{name}");
            let occurred_at = event.occurred_at.unwrap().to_string();
            assert!(
                occurred_at.starts_with("2024-03-22T02:"),
                "{name}: {occurred_at}"
            );
        }
    }
}

/// The types of events that a file names, in whatever language it is.
fn event_types(file: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let words = text
        .split('"')
        .filter(|word| word.starts_with("ecs:Instance:"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_rules_in_infra_let_through_what_leads_to_a_capture_by_default() {
    let system_events = DEFAULT_SYSTEM_EVENTS.map(|event| format!("ecs:Instance:{event}"));
    let mut types = BTreeSet::from(system_events);
    types.insert("ecs:Instance:StateChange".into());
    for file in [
        "infra/alibaba/main.tf",
        "infra/alibaba/accounts.yaml",
        "infra/alibaba/ros.yaml",
        "infra/alibaba/s.yaml",
        "infra/rules/main.tf",
        "docs/events.md",
    ] {
        assert_eq!(event_types(file), types, "{file}");
    }
}
