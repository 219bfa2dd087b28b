//! Sweeps in invocations that are too short for the whole: on a paused clock, with a fleet and a
//! store in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::capture::sweep::{Sweep, Swept};
use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::intake::webhook::{Headers, UrlPath, WebhookRequest};
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::model::outcome::{ErrorType, Tally};
use ecs_console_archiver::retry::Deadline;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::fakes::{FakeFleet, MemoryStore, archiver, dispatcher, instance};

fn sweep(per_second: u16) -> Sweep {
    let regions = BTreeSet::from([RegionId::parse("cn-hangzhou").unwrap()]);
    let mut sweep = Sweep::new(regions, false);
    sweep.per_second = per_second;
    sweep
}

/// One invocation of so many seconds; it is as long as that at the most.
async fn invoke(fleet: &FakeFleet, sweep: Sweep, seconds: f64) -> Result<Swept, CaptureError> {
    let (started, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let store = MemoryStore::default();
    let archiver = archiver(fleet, &store);
    let swept = archiver
        .sweep(
            sweep,
            Deadline::after(time),
            &CancellationToken::new(),
            &|_| {},
        )
        .await;
    assert!(started.elapsed() <= time, "{:?}", started.elapsed());
    swept
}

/// Invokes until it is done, each time with what the time before left, read as from a message; how
/// many invocations that took.
async fn to_its_end(fleet: &FakeFleet, per_second: u16, seconds: f64) -> (Tally, usize) {
    let mut left = sweep(per_second);
    for invocation in 1..1000 {
        match invoke(fleet, left.clone(), seconds).await.unwrap() {
            Swept::Whole(tally) => return (tally, invocation),
            Swept::Unfinished(next) => {
                assert_ne!(*next, left, "no progress");
                let message = serde_json::to_string(&next).unwrap();
                assert!(message.len() < 64 << 10, "{} bytes", message.len());
                left = serde_json::from_str(&message).unwrap();
            }
        }
    }
    panic!("it never ends");
}

/// ECS answers after 50 ms, also when it lists a page. A place is free again before the next instance may
/// begin, and the next page is there before this one is done, so it is the rate that limits the sweep, and
/// memory does not grow with the fleet.
#[tokio::test(start_paused = true)]
async fn a_sweep_of_ten_thousand_instances_runs_at_its_rate() {
    for (per_second, concurrency) in [(50, 8), (200, 64)] {
        let instances = 10_000;
        let fleet = FakeFleet::new(instances, 100);
        let began = Instant::now();
        let mut left = sweep(per_second);
        left.concurrency = concurrency;
        let swept = invoke(&fleet, left, 3600.0).await.unwrap();
        assert!(
            matches!(&swept, Swept::Whole(tally) if tally.stored == instances as u64),
            "{swept:?}"
        );
        let (took, at_rate) = (began.elapsed(), instances as f64 / f64::from(per_second));
        let extra = took.as_secs_f64() / at_rate;
        assert!(
            (1.0..1.01).contains(&extra),
            "{took:?} in place of {at_rate} s"
        );
        // What is in memory is what is being asked for, for 50 ms each, and what begins late.
        let most_calls = fleet.state().most_calls;
        let at_most = usize::from(per_second) / 20 + usize::from(per_second) / 10 + 1;
        assert!(most_calls <= at_most, "{most_calls} of {at_most}");
    }
}

/// An instance may take a minute. The pages behind it do not wait for it.
#[tokio::test(start_paused = true)]
async fn an_instance_that_hangs_holds_up_no_page_behind_it() {
    let fleet = FakeFleet::new(600, 100);
    fleet.state().hanging = [50, 150, 250, 350].map(instance).into();
    let began = Instant::now();
    let swept = invoke(&fleet, sweep(100), 900.0).await.unwrap();
    assert!(
        matches!(&swept, Swept::Whole(tally) if (tally.stored, tally.failed) == (596, 4)),
        "{swept:?}"
    );
    let took = began.elapsed();
    assert!(took < Duration::from_secs(70), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_within_a_page_and_asks_for_each_instance_once() {
    for (instances, page, per_second, seconds) in [
        (250, 100, 5, 32.0),
        (250, 100, 5, 10.0),
        (120, 100, 1, 10.0),
        (30, 100, 5, 1.5),
        (7, 1, 5, 3.0),
        (0, 100, 5, 3.0),
    ] {
        let fleet = FakeFleet::new(instances, page);
        let (tally, invocations) = to_its_end(&fleet, per_second, seconds).await;
        assert_eq!(tally.stored, instances as u64);
        assert_eq!((tally.instances, tally.regions), (instances as u64, 1));
        let asked = &fleet.state().asked;
        assert!(asked.values().all(|count| *count == 1), "{asked:?}");
        let at_most = 3.0 + instances as f64 / (f64::from(per_second) * seconds / 2.0);
        assert!(invocations as f64 <= at_most, "{invocations} of {at_most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_changed_meanwhile_is_swept_by_ids() {
    let fleet = FakeFleet::new(40, 100);
    let Swept::Unfinished(left) = invoke(&fleet, sweep(5), 6.0).await.unwrap() else {
        panic!("it is done");
    };
    let done: BTreeSet<_> = fleet.state().asked.keys().cloned().collect();
    assert!(!done.is_empty() && done.len() < 40);
    // Some are released, some are new, and all come in another order.
    let mut page: Vec<_> = (5..60).map(instance).collect();
    page.reverse();
    fleet.state().pages = vec![page];
    let swept = invoke(&fleet, *left, 60.0).await.unwrap();
    assert!(matches!(swept, Swept::Whole(_)));
    let asked = fleet.state().asked.clone();
    let every = (5..60).map(instance).all(|id| asked.contains_key(&id));
    assert!(
        every && asked.values().all(|count| *count == 1),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_too_short_for_one_instance_is_an_error_that_says_which_to_set() {
    let fleet = FakeFleet::new(10, 100);
    fleet.state().call_time = Duration::from_secs(4);
    for seconds in [0.0, 0.3, 1.5, 8.0] {
        let error = invoke(&fleet, sweep(5), seconds).await.unwrap_err();
        assert_eq!(error.error_type(), ErrorType::TimeoutTooShort);
        assert!(!error.is_transient());
        assert!(error.to_string().contains("time-out of 60 s"), "{error}");
    }
    // The time of one listing and one instance is enough.
    assert_eq!(to_its_end(&fleet, 5, 20.0).await.0.stored, 10);
}

#[tokio::test(start_paused = true)]
async fn instances_that_hang_end_no_sweep() {
    for seconds in [16.0, 32.0, 60.0, 900.0] {
        let fleet = FakeFleet::new(60, 20);
        fleet.state().hanging = [0, 21, 22, 23, 24, 25, 26, 27, 28, 59].map(instance).into();
        let (tally, _) = to_its_end(&fleet, 5, seconds).await;
        assert_eq!((tally.stored, tally.failed), (50, 10), "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_however_slow_ecs_is() {
    for (call_ms, seconds) in [(50, 32.0), (3000, 32.0), (20_000, 32.0), (50, 2.0)] {
        let fleet = FakeFleet::new(300, 100);
        fleet.state().call_time = Duration::from_millis(call_ms);
        let _ = invoke(&fleet, sweep(5), seconds).await; // It checks the time.
        let fleet = FakeFleet::new(300, 100);
        fleet.state().hanging = (0..300).map(instance).collect();
        let _ = invoke(&fleet, sweep(1), seconds).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_refused_again_and_again_fail_the_region_and_end_the_sweep() {
    let fleet = FakeFleet::new(300, 100);
    fleet.state().refuses_tokens = true;
    let (tally, invocations) = to_its_end(&fleet, 5, 15.0).await;
    assert_eq!(tally.failed, 1, "{tally:?}");
    assert!(invocations < 30, "{invocations}");
    let fleet = FakeFleet::new(300, 100);
    fleet.state().repeats_token = true;
    let (tally, _) = to_its_end(&fleet, 100, 60.0).await;
    assert_eq!(tally.failed, 1, "{tally:?}");
    assert!(fleet.state().listed < 10);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_goes_round_fails_the_region_and_ends_the_sweep() {
    let fleet = FakeFleet::new(300, 100);
    fleet.state().goes_round = true;
    let (tally, _) = to_its_end(&fleet, 100, 60.0).await;
    assert_eq!((tally.stored, tally.failed), (300, 1), "{tally:?}");
    assert!(tally.failures[0].contains("listed before"), "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_id_has_an_unknown_form_fails_and_is_named_once() {
    let fleet = FakeFleet::new(30, 10);
    fleet.state().unknown_ids = vec!["../../etc/passwd".into()];
    let (tally, invocations) = to_its_end(&fleet, 5, 16.0).await;
    assert!(invocations > 0);
    assert_eq!((tally.instances, tally.stored, tally.failed), (31, 30, 1));
    assert!(
        tally.failures[0].starts_with("\"../../etc/passwd\" is not"),
        "{tally:?}"
    );
}

/// The answer to a sweep that is pushed over HTTP.
async fn push(fleet: &FakeFleet, sweep: &Value) -> (u16, Value) {
    let (started, store) = (Instant::now(), MemoryStore::default());
    let headers = Headers::default();
    let body = sweep.to_string().into_bytes();
    let push = WebhookRequest {
        headers: &headers,
        path: &UrlPath::default(),
        body: &body,
        is_authenticated: false,
    };
    let deadline = Deadline::after(Duration::from_secs(60));
    let dispatcher = dispatcher(fleet, &store);
    let reply = dispatcher.dispatch(Payload::Http(&push), deadline).await;
    let (status, body) = reply.to_http();
    assert!(started.elapsed() < Duration::from_secs(2));
    (status.as_u16(), body)
}

#[tokio::test(start_paused = true)]
async fn a_sweep_by_webhook_answers_another_resume_each_time_until_it_is_done() {
    let fleet = FakeFleet::new(25, 10);
    let mut event = json!({"sweep": {"regions": ["cn-hangzhou"]}});
    for _ in 0..25 {
        let (status, answer) = push(&fleet, &event).await;
        assert_eq!((status, &answer["outcome"]), (200, &json!("swept")));
        let Some(resume) = answer.get("resume") else {
            assert_eq!(answer["stored"], 25);
            return;
        };
        assert_ne!(*resume, event);
        event = resume.clone();
    }
    panic!("it never ends: {event}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_by_webhook_that_cannot_progress_is_an_error_and_no_empty_resume() {
    let fleet = FakeFleet::new(25, 10);
    fleet.state().call_time = Duration::from_secs(3);
    let event = json!({"sweep": {"regions": ["cn-hangzhou"]}});
    let (status, answer) = push(&fleet, &event).await;
    assert_eq!(
        (status, &answer["errorType"]),
        (500, &json!("TimeoutTooShort"))
    );
}

/// The fake's account has one region.
#[tokio::test(start_paused = true)]
async fn a_sweep_that_did_nothing_and_has_no_region_left_is_an_error() {
    let fleet = FakeFleet::new(3, 100);
    let message = r#"{"all_regions": true, "resume": {"region_id": "zz-zz"}}"#;
    let resumed = |done: &str| {
        let mut sweep: Sweep = serde_json::from_str(message).unwrap();
        sweep.done = serde_json::from_str(done).unwrap();
        sweep
    };
    let none = r#"{"regions": 0, "instances": 0, "stored": 0, "already_stored": 0, "no_console": 0, "failed": 0}"#;
    let error = invoke(&fleet, resumed(none), 60.0).await.unwrap_err();
    assert_eq!(error.error_type(), ErrorType::NoRegion);
    assert!(error.to_string().contains("zz-zz"), "{error}");
    // A region that the account has no more ends a sweep that has done the others.
    let some = none.replace(r#""regions": 0"#, r#""regions": 4"#);
    let swept = invoke(&fleet, resumed(&some), 60.0).await.unwrap();
    assert!(matches!(swept, Swept::Whole(tally) if tally.regions == 4));
}
