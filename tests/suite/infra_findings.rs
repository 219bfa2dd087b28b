//! What an audit of the templates found, and no schema says: each check fails on the files as they were.

use crate::support::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The value of `key: value` in a file.
#[track_caller]
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("there is no {key}"))
}

/// Otherwise the function logs to a project of the component's own naming, which its role may not write to,
/// and what failed for good goes nowhere.
#[test]
fn with_serverless_devs_the_log_and_the_queue_are_those_that_the_page_creates_and_allows() {
    let (file, page) = (
        read("infra/alibaba/s.yaml"),
        read("infra/alibaba/README.md"),
    );
    let filled_in = |text: &str| {
        text.replace("${vars.account}", "ACCOUNT_ID")
            .replace("${vars.region}", "*")
    };
    let project = filled_in(value(&file, "project"));
    let logstore = value(&file, "logstore");
    let created = [
        format!("\"projectName\": \"{project}\""),
        format!("--project {project} \\\n"),
        format!("\"logstoreName\": \"{logstore}\""),
        format!("acs:log:*:ACCOUNT_ID:project/{project}/logstore/{logstore}\""),
        format!("\"{}\"", filled_in(value(&file, "destination"))),
        format!("create the queue `{}`", queue(value(&file, "destination"))),
    ];
    for text in created {
        assert!(page.contains(&text), "the page has no {text}");
    }
}

/// The name in `acs:mns:REGION:ACCOUNT:/queues/NAME/messages`.
fn queue(destination: &str) -> &str {
    let (_, name) = destination.split_once("/queues/").unwrap();
    name.strip_suffix("/messages").unwrap()
}

#[test]
fn the_container_is_built_from_a_base_that_its_builder_may_replace_and_a_digest_pins() {
    let file = read("infra/webhook/Dockerfile");
    let bases: Vec<_> = file
        .lines()
        .filter(|line| line.starts_with("FROM "))
        .collect();
    assert_eq!(bases, ["FROM ${BASE}"]);
    let default = file.lines().find_map(|line| line.strip_prefix("ARG BASE="));
    let (_, digest) = default.unwrap().split_once("@sha256:").unwrap();
    assert!(digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()));
}

/// glibc asks the kernel over `AF_NETLINK` for this machine's addresses, and name services over `AF_UNIX`:
/// without these, names are not found on some machines.
#[test]
fn each_service_may_use_the_families_that_looking_up_names_takes() {
    for unit in ["", "-sweep", "-redrive", "-compact"] {
        let unit = read(&format!("infra/webhook/ecs-console-archiver{unit}.service"));
        let families = unit
            .lines()
            .find_map(|line| line.strip_prefix("RestrictAddressFamilies="));
        assert_eq!(families, Some("AF_INET AF_INET6 AF_UNIX AF_NETLINK"));
    }
}
