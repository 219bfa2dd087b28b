//! What the function says went wrong, where it stores a console: in its answer, in the catalog, and in its log.

use ecs_console_archiver::archive::catalog::Row;
use serde_json::{Value, json};

use crate::support::printed::checked;
use crate::support::receiver;
use crate::support::runtime_api::Function;
use crate::support::s3_server::{Fault, Profile};
use crate::support::*;

const PANIC: &str = "i-bp1panicnoroot00001";

fn by_hand(instance_id: &str) -> Vec<u8> {
    json!({"instance_id": instance_id, "region_id": "cn-hangzhou"})
        .to_string()
        .into_bytes()
}

fn signatures(findings: &Value) -> Vec<&str> {
    let all = findings.as_array().map_or(&[][..], Vec::as_slice);
    let all = all.iter();
    all.filter_map(|finding| finding["signature"].as_str())
        .collect()
}

/// The rows of the catalog, each as its object has it.
fn rows(bucket: &Bucket) -> Vec<Row> {
    let catalog = bucket.server.catalog();
    let rows = catalog.values().map(|object| Row::parse(&object.body));
    rows.map(Result::unwrap).collect()
}

/// The lines of a log that are findings.
fn told(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["finding"].is_string())
        .collect()
}

#[tokio::test]
async fn the_answer_the_catalog_and_the_metric_say_what_a_console_shows() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(
        signatures(&answer["findings"]),
        ["root-not-mounted"],
        "{answer}"
    );
    let finding = &answer["findings"][0];
    assert_eq!(finding["id"], "root-not-mounted");
    assert_eq!(finding["severity"], "fatal");
    assert_eq!(
        finding["title"],
        "The kernel cannot mount its root file system"
    );
    assert_eq!(finding["count"], 2);

    let [row] = &rows(&bucket)[..] else {
        panic!("one row");
    };
    let in_row = json!(row.findings);
    assert_eq!(signatures(&in_row), ["root-not-mounted"]);
    assert_eq!(in_row[0]["family"], "root");
    let console = fixture(PANIC);
    let place = |index: usize| in_row[0]["bytes"][index].as_u64().unwrap() as usize;
    let said = text(&console[place(0)..place(1)]);
    assert!(said.contains("VFS: Cannot open root device"), "{said}");
    let line = console[..place(0)]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1;
    assert_eq!(in_row[0]["line"], line);

    // The next delivery finds the record there, and tells nobody again.
    let again = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(
        (&again["outcome"], &again["findings"]),
        (&json!("already_stored"), &answer["findings"])
    );
    let log = function.stop().await;
    let [metric] = &told(&log)[..] else {
        panic!("told once: {log}");
    };
    assert_eq!(
        metric["_aws"]["CloudWatchMetrics"][0]["Namespace"],
        "ecs-console-archiver"
    );
    assert_eq!(metric["FunctionName"], "console-archiver");
    assert_eq!(metric["Severity"], "fatal");
    assert_eq!(metric["instance_id"], PANIC);
    assert!(
        metric["message"]
            .as_str()
            .unwrap()
            .contains(answer["url"].as_str().unwrap())
    );
}

#[tokio::test]
async fn a_console_that_shows_no_fault_has_no_findings() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let quiet = b"[    1.000000] RAS: Correctable Errors collector initialized.\nhost login: ";
    set_console(&bucket.simulator, PANIC, quiet, "2018-03-22T10:04:57Z");
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(answer.get("findings"), None, "{answer}");
    assert_eq!(rows(&bucket)[0].findings, Some(Vec::new()));
    assert!(told(&function.stop().await).is_empty());
}

#[tokio::test]
async fn what_a_record_shows_is_told_even_if_its_row_cannot_be_written() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    bucket.server.fault_next_put(Fault::None);
    bucket
        .server
        .fault_next_put(Fault::Status(403, "AccessDenied"));
    let (error_type, message) = function.failure_of(&by_hand(PANIC)).await;
    assert_eq!(error_type, "ArchiveDenied", "{message}");
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(answer["outcome"], "already_stored");
    let log = function.stop().await;
    assert_eq!(told(&log).len(), 1, "{log}");
}

/// The second attempt finds the record, which nobody else has told of.
#[tokio::test]
async fn what_a_record_shows_is_told_even_if_the_answer_to_its_put_is_lost() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    bucket.server.fault_next_put(Fault::LoseReply);
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(answer["outcome"], "stored", "{answer}");
    let log = function.stop().await;
    assert_eq!(told(&log).len(), 1, "{log}");
}

#[tokio::test]
async fn without_a_catalog_the_answer_says_it_all_the_same() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(settings(&[("CATALOG", "off")]));
    let function = Function::start(&bucket.settings).await;
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(signatures(&answer["findings"]), ["root-not-mounted"]);
    assert_eq!(told(&function.stop().await).len(), 1);
}

#[tokio::test]
async fn on_function_compute_a_log_line_has_the_members_to_count_by() {
    let server = receiver::function_compute(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).await;
    let answer = server.invoke(by_hand(PANIC)).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(
        signatures(&answer["findings"]),
        ["root-not-mounted"],
        "{answer}"
    );
    let (_, log) = server.terminate().await;
    let [line] = &told(&log)[..] else {
        panic!("told once: {log}");
    };
    assert!(line.get("_aws").is_none());
    for (member, value) in [
        ("finding", "root-not-mounted"),
        ("severity", "fatal"),
        ("signature", "root-not-mounted"),
        ("instance_id", PANIC),
        ("region_id", "cn-hangzhou"),
    ] {
        assert_eq!(line[member], value, "{line}");
    }
    assert_eq!(line["count"], 2);
}

/// Simple Log Service splits a line into words, and looks for three; then it takes the values out of the text.
#[tokio::test]
async fn the_alert_of_simple_log_service_finds_a_line_and_what_it_says() {
    let server = receiver::function_compute(&[]).await;
    server.invoke(by_hand(PANIC)).send().await.unwrap();
    let (_, log) = server.terminate().await;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("finding="))
        .collect();
    let [line] = lines[..] else {
        panic!("told once: {log}");
    };
    for template in ["infra/alibaba/main.tf", "infra/alibaba/ros.yaml"] {
        let template = std::fs::read_to_string(root().join(template)).unwrap();
        let template = template.replace("\\\"", "\"");
        let (_, query) = template
            .split_once("finding and severity and fatal |")
            .unwrap();
        let (query, _) = query.split_once("group by").unwrap();
        let (_, like) = query.split_once("like '%").unwrap();
        let (like, _) = like.split_once("%'").unwrap();
        assert!(line.contains(like), "{like}: {line}");
        let values = query
            .split("regexp_extract(message, '")
            .skip(1)
            .map(|rest| {
                let (pattern, _) = rest.split_once("', 1)").unwrap();
                let found = regex_lite::Regex::new(pattern).unwrap().captures(line);
                found.unwrap_or_else(|| panic!("{pattern}: {line}"))[1].to_owned()
            });
        assert_eq!(
            values.collect::<Vec<_>>(),
            ["root-not-mounted", PANIC, PANIC]
        );
    }
}

#[tokio::test]
async fn what_a_console_says_many_times_is_told_once() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let failed = "[    1.000000] I/O error, dev vdb, sector 2048 op 0x0:(READ)\n".repeat(500);
    set_console(
        &bucket.simulator,
        PANIC,
        failed.as_bytes(),
        "2018-03-22T10:04:57Z",
    );
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(signatures(&answer["findings"]), ["disk-io-error:vdb"]);
    assert_eq!(answer["findings"][0]["count"], 500);
    assert_eq!(told(&function.stop().await).len(), 1);
}

#[tokio::test]
async fn rules_of_ones_own_are_found_and_what_is_silenced_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    let rules = json!({
        "silence": ["root-not-mounted"],
        "rules": [{
            "id": "own-disk-map", "severity": "warning", "title": "A kernel was built by us", "advice": "Be glad.",
            "words": ["Linux version"], "pattern": r"Linux version (\d+)", "yes": ["Linux version 6.1.0"],
        }],
    });
    std::fs::write(&file, rules.to_string()).unwrap();
    let own = settings(&[("FINDINGS_RULES", file.to_str().unwrap())]);
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(own.clone());
    let function = Function::start(&bucket.settings).await;
    let answer = function.result_of(&by_hand(PANIC)).await;
    let found = signatures(&answer["findings"]);
    assert!(
        matches!(found[..], [one] if one.starts_with("own-disk-map:")),
        "{answer}"
    );
    function.stop().await;
    let told = cli(&bucket.settings, &["findings", PANIC]).await;
    let told = text(&told.stdout);
    assert!(
        told.contains("own-disk-map") && !told.contains("root-not-mounted"),
        "{told}"
    );
    let explained = cli(&own, &["explain", "own-disk-map"]).await;
    assert!(text(&explained.stdout).contains("Be glad."));

    // A file that is wrong stops the start, and says what is wrong.
    std::fs::write(&file, r#"{"silence": ["no-such-thing"]}"#).unwrap();
    let wrong = cli(&own, &["explain"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    let error = text(&wrong.stderr);
    assert!(
        error.contains("FINDINGS_RULES") && error.contains("no-such-thing"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_file_is_refused_as_a_file_of_rules() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let mut mkfifo = std::process::Command::new("mkfifo");
    let made = checked(mkfifo.arg(&pipe).output().unwrap());
    assert!(made.status.success());
    for path in [&pipe, folder.path(), std::path::Path::new("/dev/zero")] {
        let own = settings(&[("FINDINGS_RULES", path.to_str().unwrap())]);
        let wrong = cli(&own, &["explain"]).await;
        let error = text(&wrong.stderr);
        assert_eq!(wrong.status.code(), Some(2), "{error}");
        assert!(
            error.contains("FINDINGS_RULES") && error.contains("is not a file"),
            "{error}"
        );
    }
}

/// A console that ends so, updated after the event of [`starting`].
fn boots(simulator: &ecs_console_archiver::simulator::Simulator, plain: &str) {
    set_console(simulator, PANIC, plain.as_bytes(), "2024-03-22T10:20:00Z");
}

/// The lines of a log that say whether a boot came to its login prompt.
fn logins(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["login"].is_string())
        .collect()
}

#[tokio::test]
async fn that_a_boot_came_to_its_login_prompt_is_a_metric_and_told_once() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(settings(&[("CATALOG", "off")]));
    let function = Function::start(&bucket.settings).await;
    boots(&bucket.simulator, "[    1.000000] a\nhost login: ");
    let running = starting(PANIC).replace("Starting", "Running");
    for event in [&running, &running, &starting(PANIC)] {
        let answer = function.result_of(event.as_bytes()).await;
        assert_eq!(answer["freshness"], "fresh", "{answer}");
    }
    // A console that ECS took before the event is of the boot before, and one of a machine that stops of none.
    let before = "[    1.000000] b\nhost login: ";
    set_console(
        &bucket.simulator,
        PANIC,
        before.as_bytes(),
        "2024-03-20T10:20:00Z",
    );
    function.result_of(running.as_bytes()).await;
    boots(&bucket.simulator, "[    1.000000] c\nhost login: ");
    let stopping = running.replace("Running", "Stopping");
    function.result_of(stopping.as_bytes()).await;
    let log = function.stop().await;
    let [line] = &logins(&log)[..] else {
        panic!("told once: {log}");
    };
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "ecs-console-archiver");
    assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
    let counted = (&line["LoginsReached"], &line["LoginsNotReached"]);
    assert_eq!(counted, (&json!(1), &json!(0)));
    assert_eq!(line["instance_id"], PANIC);
}

/// As Simple Log Service does it: it looks for a word, then for a part of the text.
#[tokio::test]
async fn the_alert_of_simple_log_service_counts_the_boots_that_came_to_their_login() {
    let server = receiver::function_compute(&[]).await;
    boots(&server.simulator, "[    1.000000] a\nhost login: ");
    let running = starting(PANIC).replace("Starting", "Running");
    server.invoke(running).send().await.unwrap();
    let (_, log) = server.terminate().await;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("login=")).collect();
    let [line] = lines[..] else {
        panic!("told once: {log}");
    };
    for member in [PANIC, "cn-hangzhou"] {
        assert!(line.contains(member), "{line}");
    }
    for template in ["infra/alibaba/main.tf", "infra/alibaba/ros.yaml"] {
        let template = std::fs::read_to_string(root().join(template)).unwrap();
        let template = template.replace("\\\"", "\"");
        let (_, query) = template.split_once("login and").unwrap();
        let (query, _) = query.split_once("group by").unwrap_or((query, ""));
        let likes = query.split("like '%").skip(1);
        let likes: Vec<_> = likes.map(|rest| rest.split_once("%'").unwrap().0).collect();
        let [missed, reached, not_reached] = likes[..3] else {
            panic!("{likes:?}");
        };
        assert_eq!(missed, not_reached);
        assert!(line.contains(reached), "{reached}: {line}");
        let without = line.replace("login=\"reached\"", "login=\"not_reached\"");
        assert!(without.contains(missed) && !without.contains(reached));
        assert!(!line.contains(missed), "{missed}: {line}");
    }
}
