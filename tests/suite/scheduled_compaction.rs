//! The catalog's rows, joined when a schedule asks for it.

use std::cell::Cell;
use std::collections::BTreeMap;

use ecs_console_archiver::archive::catalog::compact::compact;
use ecs_console_archiver::archive::catalog::day::{self, Rows};
use ecs_console_archiver::archive::catalog::{CatalogKey, Day, Row};
use ecs_console_archiver::model::outcome::Compacted;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::cataloged::{row, stored};
use crate::support::memory::paused_runtime;
use crate::support::raced::{Actor, World};
use crate::support::receiver;
use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::{Denied, Profile, Quirk, S3Server};
use crate::support::*;

fn day_ago(days: i64) -> Day {
    Day::of(Timestamp::now() - SignedDuration::from_hours(24 * days))
}

/// Rows that nobody has joined, below the bucket's prefix.
fn put_rows(server: &S3Server, day: Day, count: usize) {
    let rows = (0..count).map(|number| row(day, number).packed());
    server.put_all(rows.map(|(key, object)| (format!("kept/here/{key}"), stored(object.body))));
}

/// How many single rows the catalog has, and the joined rows of each day.
fn found(server: &S3Server) -> (usize, BTreeMap<Day, Vec<Row>>) {
    let (mut singles, mut days) = (0, BTreeMap::new());
    for (key, object) in server.catalog() {
        match CatalogKey::parse(key.strip_prefix("kept/here/").unwrap()) {
            Some(CatalogKey::Row(_)) => singles += 1,
            Some(CatalogKey::Day(key)) => {
                let rows = day::unpack(&object.body).unwrap();
                let other = days.insert(key.day, rows);
                assert_eq!(other, None, "{} has two objects", key.day);
            }
            None => panic!("{key}"),
        }
    }
    (singles, days)
}

fn expected(day: Day, count: usize) -> (Day, Vec<Row>) {
    let rows: Rows = (0..count).map(|number| row(day, number)).collect();
    (day, rows.in_order())
}

fn compacted(days: u64, rows: u64, removed: u64) -> Value {
    json!({"outcome": "compacted", "days": days, "rows": rows, "removed": removed, "left": 0,
        "is_cut_short": false})
}

fn timer() -> String {
    json!({"triggerTime": "2026-11-25T02:00:00Z", "triggerName": "compact", "payload": r#"{"compact": {}}"#})
        .to_string()
}

/// The type and the message of a failure.
async fn failure_of(function: &Function) -> (String, String) {
    match function.invoke(EVENT, TIMEOUT).await {
        Answer::Error {
            error_type,
            error_message,
        } => (error_type, error_message),
        Answer::Response(value) => panic!("the invocation succeeded: {value}"),
    }
}

const EVENT: &[u8] = br#"{"compact": {}}"#;

#[tokio::test]
async fn the_function_joins_the_days_that_are_over_and_leaves_today_alone() {
    for profile in [Profile::Aws, Profile::Oss { versioned: false }] {
        let bucket = Bucket::start(profile).await;
        bucket.server.set_page(50);
        let (first, second, today) = (day_ago(3), day_ago(2), day_ago(0));
        put_rows(&bucket.server, first, 105);
        put_rows(&bucket.server, second, 3);
        put_rows(&bucket.server, today, 2);
        let function = Function::start(&bucket.settings).await;
        assert_eq!(function.result_of(EVENT).await, compacted(2, 108, 108));
        // Each day's rows go in one request.
        assert_eq!(bucket.server.removed_together(), [105, 3], "{profile:?}");
        assert!(!bucket.server.methods().contains(&"DELETE".to_owned()));
        let days = BTreeMap::from([expected(first, 105), expected(second, 3)]);
        assert_eq!(found(&bucket.server), (2, days));
        assert_eq!(function.result_of(EVENT).await, compacted(0, 0, 0));
    }
}

/// Where the next page has what sorts before this one, a run may leave rows to the next.
#[tokio::test]
async fn in_listings_that_are_not_sorted_all_rows_are_joined_in_the_end() {
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(10);
    bucket.server.behave(&[Quirk::OutOfOrder]);
    let (first, second, today) = (day_ago(3), day_ago(2), day_ago(0));
    put_rows(&bucket.server, first, 25);
    put_rows(&bucket.server, second, 25);
    put_rows(&bucket.server, today, 25);
    let function = Function::start(&bucket.settings).await;
    let mut rows = 0;
    for _ in 0..5 {
        rows += function.result_of(EVENT).await["removed"].as_u64().unwrap();
    }
    assert!(rows >= 50, "{rows}");
    let days = BTreeMap::from([expected(first, 25), expected(second, 25)]);
    assert_eq!(found(&bucket.server), (25, days));
}

#[tokio::test]
async fn a_timer_of_function_compute_starts_it() {
    let server = receiver::function_compute(&[]).await;
    for number in 0..3 {
        let (key, object) = row(day_ago(2), number).packed();
        let path = server.folder.path().join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, object.body).unwrap();
    }
    let answer = server.invoke(timer()).send().await.unwrap();
    let body = answer.bytes().await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        compacted(1, 3, 3)
    );
}

#[tokio::test]
async fn it_is_refused_over_http_and_with_members_and_never_kept() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(settings(&[
        ("FAILED_EVENTS", "archive"),
        ("WEBHOOK_ALLOW_UNSIGNED", "true"),
    ]));
    put_rows(&bucket.server, day_ago(2), 3);
    let function = Function::start(&bucket.settings).await;
    let pushed = json!({
        "version": "2.0", "rawPath": "/", "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": String::from_utf8_lossy(EVENT), "isBase64Encoded": false,
    });
    let reply = function.result_of(pushed.to_string().as_bytes()).await;
    assert_eq!(reply["statusCode"], 400, "{reply}");
    for wrong in [json!({"since": "2026-01-01"}), json!(null), json!([])] {
        let event = json!({"compact": wrong}).to_string();
        let (error_type, message) = function.failure_of(event.as_bytes()).await;
        assert_eq!(error_type, "InvalidEvent");
        assert!(message.contains(r#"{"compact": {}}"#), "{message}");
    }
    assert_eq!(found(&bucket.server).0, 3);
    let keys = bucket.server.objects().into_keys();
    assert_eq!(keys.filter(|key| key.contains("/failed/")).count(), 0);
}

#[tokio::test]
async fn a_damaged_day_is_an_error_of_its_own_and_holds_up_no_other() {
    let bucket = Bucket::start(Profile::Aws).await;
    put_rows(&bucket.server, day_ago(3), 3);
    put_rows(&bucket.server, day_ago(2), 3);
    let (key, _) = row(day_ago(3), 1).packed();
    bucket.server.tamper(&format!("kept/here/{key}"), |object| {
        object.body.truncate(9)
    });
    let function = Function::start(&bucket.settings).await;
    let (error_type, message) = failure_of(&function).await;
    assert_eq!(error_type, "CatalogDamaged");
    assert!(
        message.contains(&key.to_string()) && message.contains("reindex"),
        "{message}"
    );
    assert_eq!(found(&bucket.server).0, 3);
    assert!(found(&bucket.server).1.contains_key(&day_ago(2)));
}

#[tokio::test]
async fn rows_that_may_not_be_removed_stay_and_what_may_not_be_read_is_refused_access() {
    let bucket = Bucket::start(Profile::Aws).await;
    put_rows(&bucket.server, day_ago(2), 3);
    let function = Function::start(&bucket.settings).await;
    bucket.server.deny(&[Denied::Delete]);
    let outcome = function.result_of(EVENT).await;
    assert_eq!((&outcome["rows"], &outcome["left"]), (&json!(3), &json!(3)));
    assert_eq!(found(&bucket.server).0, 3);
    bucket.server.deny(&[Denied::List]);
    let (error_type, _) = failure_of(&function).await;
    assert_eq!(error_type, "ArchiveDenied");
}

#[tokio::test]
async fn without_time_for_anything_it_fails_so_that_the_alarm_tells() {
    let bucket = Bucket::start(Profile::Aws).await;
    put_rows(&bucket.server, day_ago(2), 3);
    let function = Function::start(&bucket.settings).await;
    let (error_type, _) = function.failure_of(EVENT).await;
    assert_eq!(error_type, "TimeoutTooShort");
}

/// Every run is cut off after one part, until nothing is left.
#[test]
fn runs_that_are_cut_short_get_further_each_time_and_end_as_one_run_does() {
    paused_runtime().block_on(async {
        let (large, small) = (day_ago(9), day_ago(8));
        let filled = || {
            let world = World::begin(Timestamp::now());
            for (day, count) in [(large, 6100), (small, 5)] {
                for number in 0..count {
                    let (key, object) = row(day, number).packed();
                    world.put(&key.to_string(), object);
                }
            }
            world
        };
        let (at_once, in_parts) = (filled(), filled());
        let actor = Actor::new(&at_once, None);
        let parts = Cell::new(0);
        let may_begin = || parts.replace(parts.get() + 1) < usize::MAX;
        let whole = compact(&actor, at_once.now(), may_begin).await.unwrap();
        assert_eq!(
            (whole.days, whole.rows, whole.is_cut_short),
            (2, 6105, false)
        );
        // 2000 rows, 2000, and then as many as there are, up to 4000; and the small day.
        assert_eq!(parts.get(), 4);
        let actor = Actor::new(&in_parts, None);
        let mut runs = Vec::new();
        loop {
            let begun = Cell::new(0);
            let may_begin = || begun.replace(begun.get() + 1) < 1;
            let done = compact(&actor, in_parts.now(), may_begin).await.unwrap();
            runs.push(done);
            if !done.is_cut_short {
                break;
            }
        }
        // Each begins with 2000 again.
        assert_eq!(runs.len(), 5, "{runs:?}");
        // The single rows, and an object of the day for each part but the last.
        let removed = runs.iter().map(|run| run.removed).sum::<u64>();
        assert_eq!((removed, whole.removed), (6108, 6107));
        assert_eq!(in_parts.keys(), at_once.keys());
        let again = compact(&actor, in_parts.now(), || true).await.unwrap();
        assert_eq!(again, Compacted::default());
    });
}

/// As in a bucket in which nothing may be removed: each run joins the next days, and what is joined is not joined again.
#[test]
fn where_rows_may_not_be_removed_each_run_gets_on_and_none_does_the_same_again() {
    paused_runtime().block_on(async {
        let days: Vec<_> = (5..9).rev().map(day_ago).collect();
        let world = World::begin(Timestamp::now());
        for day in &days {
            for number in 0..30 {
                let (key, object) = row(*day, number).packed();
                world.put(&key.to_string(), object);
            }
        }
        world.lock();
        let actor = Actor::new(&world, None);
        let joined = || {
            let keys = world.keys().into_iter();
            let days = keys.filter_map(|key| match CatalogKey::parse(&key) {
                Some(CatalogKey::Day(key)) => Some(key.day),
                _ => None,
            });
            days.collect::<Vec<_>>()
        };
        let once = |begun: &Cell<usize>| begun.replace(begun.get() + 1) < 1;
        for count in 1..=4 {
            let begun = Cell::new(0);
            let done = compact(&actor, world.now(), || once(&begun)).await.unwrap();
            assert_eq!((done.days, done.rows, done.left), (1, 30, 30), "{count}");
            assert_eq!(joined(), days[..count]);
        }
        // Nothing is left to join, and it is not told again.
        for _ in 0..2 {
            let done = compact(&actor, world.now(), || true).await.unwrap();
            assert_eq!(done, Compacted::default());
        }
        // A row that comes late is joined all the same.
        let (key, object) = row(days[1], 30).packed();
        world.put(&key.to_string(), object);
        let done = compact(&actor, world.now(), || true).await.unwrap();
        assert_eq!((done.days, done.rows), (1, 31));
        let done = compact(&actor, world.now(), || true).await.unwrap();
        assert_eq!(done, Compacted::default());
    });
}

/// The same by hand, and once rows may be removed, they are.
#[tokio::test]
async fn by_hand_rows_that_may_not_be_removed_are_told_once_and_not_read_again() {
    let bucket = Bucket::start(Profile::Aws).await;
    let server = &bucket.server;
    server.set_page(1000);
    let days = [(day_ago(3), 300), (day_ago(2), 200)];
    for (day, count) in days {
        put_rows(server, day, count);
    }
    server.deny(&[Denied::Delete]);
    let run = async || {
        let (reads, methods) = (server.reads(), server.methods().len());
        let output = cli(&bucket.settings, &["compact"]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let methods = server.methods()[methods..].to_vec();
        let puts = methods.iter().filter(|method| *method == "PUT").count();
        let (shown, told) = (text(&output.stdout), text(&output.stderr));
        (shown, told, server.reads() - reads, puts)
    };
    let (shown, told, ..) = run().await;
    assert!(
        shown.contains("joined 500 rows of 2 days, removed 0 objects"),
        "{shown}"
    );
    assert!(
        told.contains("500 objects of the catalog may not be removed"),
        "{told}"
    );
    for _ in 0..2 {
        let (shown, told, reads, puts) = run().await;
        assert!(shown.starts_with("nothing to join"), "{shown}");
        assert_eq!((&*told, reads, puts), ("", 2, 0), "an object of each day");
    }
    server.allow_all();
    let (_, told, _, puts) = run().await;
    let (singles, joined) = found(server);
    let all = days.map(|(day, count)| expected(day, count));
    assert_eq!((singles, joined, &*told, puts), (0, all.into(), "", 0));
}

/// By hand, rows go a thousand in a request, and those that may not go are counted.
#[tokio::test]
async fn by_hand_joined_rows_go_in_few_requests() {
    for profile in [Profile::Aws, Profile::Oss { versioned: false }] {
        let bucket = Bucket::start(profile).await;
        let server = &bucket.server;
        server.set_page(1000);
        let days = [(day_ago(3), 1200), (day_ago(2), 300)];
        for (day, count) in days {
            put_rows(server, day, count);
        }
        let locked = server.catalog().into_keys().next().unwrap();
        server.lock(&locked);
        let output = cli(&bucket.settings, &["compact", "--output", "json"]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&done["removed"], &done["left"]), (&json!(1499), &json!(1)));
        assert_eq!(server.removed_together(), [1000, 200, 300], "{profile:?}");
        // OSS does not say why it kept one, so it is asked for alone.
        let methods = server.methods();
        let singly = methods.iter().filter(|method| *method == "DELETE").count();
        assert_eq!(singly, usize::from(profile != Profile::Aws), "{profile:?}");
        let (singles, joined) = found(server);
        let all = days.map(|(day, count)| expected(day, count));
        assert_eq!((singles, joined), (1, all.into()));
    }
}
