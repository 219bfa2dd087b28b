//! The files under `events/` are what their names say.

use ecs_console_archiver::delivery::Delivery;
use ecs_console_archiver::event::Notice;
use std::collections::BTreeSet;

use ecs_console_archiver::triggers::{DEFAULT_SYSTEM_EVENTS, Triggers};

use crate::support::{names_in, root};

#[test]
fn every_event_file_is_understood_and_ignored_only_where_its_name_says_so() {
    let folder = root().join("events");
    let names = names_in(&folder, ".json");
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let payload = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let delivery = Delivery::parse(&payload);
        let notices: Vec<_> = delivery
            .messages
            .into_iter()
            .flat_map(|m| m.notices)
            .collect();
        assert!(!notices.is_empty(), "{name}");
        for notice in notices {
            let captured = match notice {
                Ok(Notice::Instance(event)) => Triggers::default().include(&event.cause),
                Ok(Notice::Follow(_) | Notice::Sweep(_)) => true,
                Ok(Notice::Other(_)) => false,
                Err(error) => panic!("{name}: {error}"),
            };
            assert_eq!(captured, !name.ends_with("-ignored"), "{name}");
        }
    }
}

#[test]
fn event_files_have_no_stray_neighbours() {
    let folder = root().join("events");
    assert_eq!(
        names_in(&folder, "").len(),
        names_in(&folder, ".json").len()
    );
}

/// The types of events that a file names, in whatever language it is.
fn event_types(file: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let words = text.split('"').filter(|word| word.starts_with("ecs:Instance:"));
    words.map(str::to_owned).collect()
}

#[test]
fn the_rules_in_infra_let_through_what_leads_to_a_capture_by_default() {
    let system_events = DEFAULT_SYSTEM_EVENTS.map(|event| format!("ecs:Instance:{event}"));
    let mut types = BTreeSet::from(system_events);
    types.insert("ecs:Instance:StateChange".into());
    for file in [
        "infra/alibaba/main.tf",
        "infra/alibaba/ros.yaml",
        "infra/alibaba/s.yaml",
        "infra/push/main.tf",
        "README.md",
    ] {
        assert_eq!(event_types(file), types, "{file}");
    }
}
