//! An answer of ECS: its status on the first line, its body behind it. What decodes is the same
//! when it is encoded and decoded again, and nothing that comes from outside controls a terminal.
#![no_main]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::source::ecs::response::{
    AnswerHead, EcsError, console_output, instances, regions,
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|answer: &[u8]| {
    let line_end = answer.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (line, rest) = answer.split_at(line_end);
    let status = std::str::from_utf8(line).ok().and_then(|s| s.parse().ok());
    let head = AnswerHead {
        status: status.unwrap_or(200),
        retry_after_ms: None,
        date: None,
    };
    let body = rest.get(1..).unwrap_or_default();
    check_console_output(head, body);
    check_instances(head, body);
    check_regions(head, body);
});

const OK: AnswerHead = AnswerHead {
    status: 200,
    retry_after_ms: None,
    date: None,
};

fn check_console_output(head: AnswerHead, body: &[u8]) {
    let console = match console_output(head, body) {
        Ok(console) => console,
        Err(EcsError::Undecoded(console)) => return check_undecoded(head, &console),
        Err(error) => return check_error(head, &error),
    };
    assert_eq!(head.status, 200);
    let again = json!({
        "ConsoleOutput": BASE64_STANDARD.encode(&console.plain),
        "LastUpdateTime": console.last_update_time,
        "RequestId": console.request_id,
        "InstanceId": console.reported_instance_id,
    });
    let again = console_output(OK, again.to_string().as_bytes());
    assert!(again.is_ok_and(|again| again == console));
}

/// What is kept as it came came from the body, and is all of its member.
fn check_undecoded(head: AnswerHead, console: &ConsoleOutput) {
    assert_eq!(head.status, 200);
    assert!(console.is_undecoded && !console.plain.is_empty());
    let Ok(text) = std::str::from_utf8(&console.plain) else {
        return;
    };
    let again = json!({ "ConsoleOutput": text });
    match console_output(OK, again.to_string().as_bytes()) {
        Ok(_) => {} // A number that Base64 could be, too, once it is a text.
        Err(EcsError::Undecoded(again)) => assert!(again.plain == console.plain),
        Err(error) => panic!("{error}"),
    }
}

fn check_instances(head: AnswerHead, body: &[u8]) {
    let page = match instances(head, body) {
        Ok(page) => page,
        Err(error) => return check_error(head, &error),
    };
    assert_eq!(head.status, 200);
    assert_ne!(page.next_token.as_deref(), Some(""));
    let item = |id: &InstanceId| json!({ "InstanceId": id });
    let items: Vec<_> = page.instance_ids.iter().map(item).collect();
    let again = json!({
        "Instances": {"Instance": items},
        "NextToken": page.next_token,
        "TotalCount": page.total,
    });
    let again = instances(OK, again.to_string().as_bytes());
    assert!(again.is_ok_and(|again| again == page));
}

fn check_regions(head: AnswerHead, body: &[u8]) {
    let ids = match regions(head, body) {
        Ok(ids) => ids,
        Err(error) => return check_error(head, &error),
    };
    assert_eq!(head.status, 200);
    let item = |id: &RegionId| json!({ "RegionId": id });
    let items: Vec<_> = ids.iter().map(item).collect();
    let again = json!({ "Regions": {"Region": items} });
    let again = regions(OK, again.to_string().as_bytes());
    assert!(again.is_ok_and(|again| again == ids));
}

fn check_error(head: AnswerHead, error: &EcsError) {
    let shown = error.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(shown.len() < 1024, "{shown}");
    // An event fails for good only when ECS says so, and never by a page under a good status.
    // Gateways exist that answer errors with 200, so there the code decides.
    if head.status < 400 {
        assert!(!matches!(error, EcsError::Rejected { .. }), "{shown}");
    }
    if matches!(error, EcsError::Unreadable { .. }) {
        assert!(error.is_transient());
    }
}
