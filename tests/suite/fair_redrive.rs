//! In a scheduled redrive, what does not answer holds up nothing else, and is not asked without end.

use std::time::Duration;

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::Console;
use serde_json::json;

use crate::scheduled_redrive::{counts, keep, keep_push, keeping, redrive_in, starting_in};
use crate::support::fakes::{FakeFleet, MemoryStore, instance};
use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::{Denied, Profile};
use crate::support::sqs_server::SqsServer;
use crate::support::*;

const FAILED_AT: &str = "2024-03-21T00:00:00Z";

async fn redriven(fleet: &FakeFleet, store: &MemoryStore, seconds: u64) -> [u64; 4] {
    let event = json!({"redrive": {}});
    counts(&redrive_in(fleet, store, &event, seconds).await.unwrap())
}

/// An instance without an answer takes six seconds, and four are asked at once.
#[tokio::test(start_paused = true)]
async fn dead_instances_hold_up_no_healthy_one_of_their_region() {
    for (seconds, least) in [(60, 33), (600, 60)] {
        let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
        fleet.state().hanging = (0..40).map(instance).collect();
        keep(&store, 60, FAILED_AT).await;
        let [served, failed, given_up, left] = redriven(&fleet, &store, seconds).await;
        assert_eq!((given_up, served + failed + left), (0, 60));
        assert!(served + failed >= least, "{served} {failed} {left}");
        assert!(seconds == 60 || served == 20, "{served} {failed} {left}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_down_is_asked_a_bounded_number_of_times() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().hanging = (0..200).map(instance).collect();
    keep(&store, 200, FAILED_AT).await;
    let [served, failed, given_up, left] = redriven(&fleet, &store, 900).await;
    assert_eq!((served, given_up, failed + left), (0, 0, 200));
    // Those of the last round are asked at once.
    assert!((64..=67).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_region_that_throttles_is_left_alone_soon() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().failing = (0..200).map(|i| (instance(i), "Throttling.User")).collect();
    keep(&store, 200, FAILED_AT).await;
    let [served, failed, given_up, left] = redriven(&fleet, &store, 900).await;
    assert_eq!((served, given_up, failed + left), (0, 0, 200));
    assert!((4..=7).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_with_which_ecs_is_busy_says_nothing_about_the_others() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    let busy = "OperationDenied.InstanceOperationInProgress";
    fleet.state().failing = (0..200).map(|index| (instance(index), busy)).collect();
    keep(&store, 205, FAILED_AT).await;
    assert_eq!(redriven(&fleet, &store, 900).await, [5, 200, 0, 0]);
}

/// ECS takes longer to answer than the first turn lasts.
#[tokio::test(start_paused = true)]
async fn what_is_slow_has_a_longer_turn_after_the_others() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    fleet.state().call_time = Duration::from_secs(10);
    keep(&store, 3, FAILED_AT).await;
    assert_eq!(redriven(&fleet, &store, 60).await, [3, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_does_not_answer_ends_the_redrive() {
    let (fleet, store) = (FakeFleet::default(), MemoryStore::default());
    for index in 0..100 {
        let mut event = starting_in(index);
        event["aliyunregionid"] = json!(format!("cn-region{index}"));
        keep_push(&store, &[event]).await;
    }
    let down = MemoryStore {
        hangs: true,
        ..store.clone()
    };
    let [served, failed, given_up, left] = redriven(&fleet, &down, 900).await;
    assert_eq!((served, given_up, failed + left), (0, 0, 100));
    assert!((4..=7).contains(&failed), "{failed}");
}

/// One in an archival storage class, and one whose key is gone.
#[tokio::test]
async fn a_failed_event_that_cannot_be_read_holds_up_no_other() {
    let refusals = [
        (403, "InvalidObjectState"),
        (400, "KMS.DisabledException"),
        (404, "NoSuchVersion"),
    ];
    for (status, code) in refusals {
        let bucket = keeping(Profile::Aws).await;
        let function = Function::start(&bucket.settings).await;
        let unreadable = keep_denied(&bucket, &function, 8).await;
        // The last refusal says nothing about the object alone, and is met three times.
        let refused = if status == 404 { 3 } else { 6 };
        for key in &unreadable[..refused] {
            bucket.server.make_unreadable(key, status, code);
        }
        let left = refused as u64;
        for served in [8 - left, 0] {
            let answer = function.invoke(br#"{"redrive": {}}"#, TIMEOUT).await;
            match answer {
                Answer::Response(outcome) => {
                    assert_eq!(counts(&outcome), [served, left, 0, 0], "{outcome}");
                }
                // Nothing else is there, so nothing could be read.
                Answer::Error { error_type, .. } => {
                    assert_eq!(served, 0);
                    assert!(error_type.starts_with("Archive"), "{error_type}");
                }
            }
        }
        bucket.server.allow_all();
        let outcome = function.result_of(br#"{"redrive": {}}"#).await;
        assert_eq!(counts(&outcome), [left, 0, 0, 0], "{outcome}");
        let log = function.stop().await;
        assert!(log.contains("cannot be read, and stays"), "{log}");
    }
}

#[tokio::test]
async fn without_permission_to_read_a_redrive_ends_and_says_so() {
    let bucket = keeping(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    keep_denied(&bucket, &function, 20).await;
    bucket.server.deny(&[Denied::Get]);
    let answer = function.invoke(br#"{"redrive": {}}"#, TIMEOUT).await;
    let Answer::Error { error_type, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(error_type, "ArchiveDenied");
    let log = function.stop().await;
    // The first alone, and then four at once.
    assert_eq!(log.matches("cannot be read, and stays").count(), 5, "{log}");
}

/// Keeps failed events of so many instances, whose consoles can be had by now; their keys.
async fn keep_denied(bucket: &Bucket, function: &Function, instances: usize) -> Vec<String> {
    for number in 0..instances {
        let id = format!("i-kept{number}");
        let parsed = InstanceId::parse(&id).unwrap();
        let code = "Forbidden.RAM".to_owned();
        let denied = Console::Error { status: 403, code };
        bucket.simulator.set_console(&parsed, denied);
        function.failure_of(starting(&id).as_bytes()).await;
        set_console(&bucket.simulator, &id, b"hello\n", "2024-03-22 10:04:57");
    }
    let keys = bucket.server.objects().into_keys();
    let failed: Vec<_> = keys.filter(|key| key.contains("/failed/")).collect();
    assert_eq!(failed.len(), instances);
    failed
}

/// Six dead instances of a region came first, and then healthy ones of it and of another.
#[tokio::test]
async fn in_a_queue_dead_instances_hold_up_no_others() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    let failed_queue = sqs.queue_url();
    bucket
        .settings
        .extend(settings(&[("FAILED_QUEUE_URL", &failed_queue)]));
    let starting = |id: &str, region: &str| starting(id).replace("cn-hangzhou", region);
    for number in 0..6 {
        let id = format!("i-dead{number}");
        let parsed = InstanceId::parse(&id).unwrap();
        let code = "ServiceUnavailable".to_owned();
        let dead = Console::Error { status: 503, code };
        bucket.simulator.set_console(&parsed, dead);
        sqs.put(&starting(&id, "cn-hangzhou"));
    }
    for (number, region) in ["cn-hangzhou", "cn-beijing", "cn-hangzhou"]
        .iter()
        .enumerate()
    {
        let id = format!("i-healthy{number}");
        set_console(&bucket.simulator, &id, b"hello\n", "2024-03-22 10:04:57");
        sqs.put(&starting(&id, region));
    }
    let function = Function::start(&bucket.settings).await;
    let time = Duration::from_secs(19);
    let Answer::Response(outcome) = function.invoke(br#"{"redrive": {}}"#, time).await else {
        panic!("the redrive failed");
    };
    let [served, failed, given_up, left] = counts(&outcome);
    assert_eq!((served, given_up, failed + left), (3, 0, 6), "{outcome}");
    assert_eq!(sqs.left(), (0, 6));
}
