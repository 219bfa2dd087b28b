//! The function invokes itself with a delay, on Function Compute: the real `bootstrap`, with a platform
//! that delays, does not delay, delivers twice, and refuses. What takes minutes runs the real `Archiver` in
//! the test's process, by a paused clock.

use std::sync::Arc;
use std::time::Duration;

use ecs_console_archiver::capture::memory::Memory;
use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::{Cache, Fault, Guest, InvocationFault, Reports};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::fakes::{FakeFleet, HangingQueue, MemoryStore, SentMessages, dispatcher};
use crate::support::function_compute::Platform;
use crate::support::memory::{self, AtomicStore};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
/// When the event happens, in seconds after the guest's beginning.
const EVENT_AT: u64 = 100;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A minute behind, and without a time: messages are aged, and so would the time be.
fn reboot() -> Guest {
    let cache = Cache {
        reports: Reports::Nothing,
        ..Cache::lagging(s(60))
    };
    Guest::new(cache)
        .writes(s(0), "last words\n")
        .clears(s(111))
        .writes(s(112), "boot\n")
        .writes(s(150), "more\n")
        .writes(s(168), "all\n")
}

fn running() -> String {
    starting(ID).replace("Starting", "Running")
}

async fn platform(own: &[(&str, &str)]) -> Platform {
    Platform::start(ID, reboot(), EVENT_AT, own).await
}

const CONSOLES: [&str; 3] = ["boot\n", "boot\nmore\nall\n", "last words\n"];

#[tokio::test]
async fn a_reboot_is_followed_by_short_invocations_with_the_keys_of_each_request() {
    // The role that reads consoles has no permission to invoke anything.
    let role = (
        "ALIBABA_CLOUD_ROLE_ARN",
        "acs:ram::1690700000000030:role/reader",
    );
    let mut platform = platform(&[role]).await;
    let reply = platform.result_of(&running()).await;
    assert_eq!(reply["outcome"], "following", "{reply}");
    let mut delays = Vec::new();
    while let Some(sent) = platform.take_sent() {
        assert_eq!(sent.access_key_id, platform.latest_key);
        delays.push(sent.delay_seconds);
        platform.pass(sent.delay_seconds);
        let payload = aged(&sent.body, sent.delay_seconds);
        platform.result_of(&payload).await;
    }
    assert_eq!(platform.server.simulator.assumed_roles().len(), 1);
    assert!(
        delays.len() == 6 && delays.iter().all(|d| *d > 20),
        "{delays:?}"
    );
    assert_eq!(platform.kept(), CONSOLES);
    let (is_good, log) = platform.server.terminate().await;
    assert!(is_good && !log.contains("before it is due"), "{log}");
}

#[tokio::test]
async fn invocations_that_come_twice_do_not_double_what_follows() {
    let mut platform = platform(&[]).await;
    platform.result_of(&running()).await;
    // Without this, each look would double the looks after it: 2, 4, 8, 16, 32, 64.
    let delays = platform.run(2).await;
    assert_eq!(delays.len(), 6, "{delays:?}");
    assert_eq!(platform.kept(), CONSOLES);
}

#[tokio::test]
async fn copies_that_come_at_the_same_moment_are_served_once() {
    let mut platform = platform(&[]).await;
    platform.result_of(&running()).await;
    let sent = platform.take_sent().unwrap();
    let payload = aged(&sent.body, sent.delay_seconds);
    let asked = platform.server.simulator.answered().len();
    let copies = (0..5).map(|_| platform.server.invoke(payload.clone()).send());
    let mut outcomes = Vec::new();
    for answer in join_all(copies).await {
        let answer: Value =
            serde_json::from_slice(&answer.unwrap().bytes().await.unwrap()).unwrap();
        outcomes.push(answer["outcome"].as_str().unwrap().to_owned());
        assert!(answer["outcome"] == "following" || answer["reason"] == "repeated");
    }
    outcomes.sort();
    assert_eq!(
        outcomes,
        ["following", "ignored", "ignored", "ignored", "ignored"]
    );
    // One look and one invocation.
    assert_eq!(platform.server.simulator.answered().len(), asked + 2);
    assert!(platform.take_sent().is_some() && platform.take_sent().is_none());
}

/// A copy that fails is no reason to drop the other.
#[tokio::test]
async fn what_failed_is_served_when_it_comes_again() {
    let mut platform = platform(&[]).await;
    platform.result_of(&running()).await;
    let sent = platform.take_sent().unwrap();
    let payload = aged(&sent.body, sent.delay_seconds);
    let refused = InvocationFault::Refused(403, "AccessDenied");
    platform.server.simulator.plan_invocation_faults([refused]);
    platform.failure_of(&payload).await;
    assert!(platform.take_sent().is_none());
    let reply = platform.result_of(&payload).await;
    assert_eq!(reply["outcome"], "following", "{reply}");
    assert!(platform.take_sent().is_some());
}

#[tokio::test]
async fn a_refusal_fails_the_invocation_and_says_what_to_do() {
    let mut platform = platform(&[]).await;
    for (status, code, advice) in [
        (
            403,
            "AccessDenied",
            "allow the function's role fc:InvokeFunction on \
             acs:fc:cn-hangzhou:1690700000000030:functions/archiver and on \
             acs:fc:cn-hangzhou:1690700000000030:functions/archiver/*",
        ),
        (404, "FunctionNotFound", "is the API of cn-hangzhou"),
        (413, "EntityTooLarge", "no message should be that long"),
    ] {
        let refused = InvocationFault::Refused(status, code);
        platform.server.simulator.plan_invocation_faults([refused]);
        let (error_type, message) = platform.failure_of(&running()).await;
        assert_eq!(error_type, "QueueRefused");
        let said = format!("InvokeFunction of archiver returned {status} {code}");
        assert!(message.contains(&said), "{message}");
        assert!(message.contains(advice), "{message}");
    }
    // What ECS had is stored, the event is kept, and the next delivery goes on.
    assert_eq!(platform.kept(), ["last words\n"]);
    let failed = names_in(&platform.server.folder.path().join("failed"), ".json");
    assert!(!failed.is_empty());
    let reply = platform.result_of(&running()).await;
    assert_eq!(reply["outcome"], "following", "{reply}");
}

#[tokio::test]
async fn what_passes_is_tried_again_within_the_invocation() {
    let mut platform = platform(&[]).await;
    for faults in [
        vec![InvocationFault::Refused(503, "ServiceUnavailable")],
        vec![InvocationFault::Refused(429, "ResourceExhausted")],
        vec![InvocationFault::Refused(500, "InternalServerError")],
        // Accepted, and the answer is lost: it is sent twice.
        vec![InvocationFault::Broken(Fault::Reset)],
        vec![InvocationFault::Refused(400, "InvalidTimeStamp.Expired")],
    ] {
        platform
            .server
            .simulator
            .plan_invocation_faults(faults.clone());
        let reply = platform.result_of(&running()).await;
        assert_eq!(reply["outcome"], "following", "{faults:?}: {reply}");
        let sent = std::iter::from_fn(|| platform.take_sent()).count();
        let is_lost = matches!(faults[..], [InvocationFault::Broken(_)]);
        assert_eq!(sent, if is_lost { 2 } else { 1 }, "{faults:?}");
    }
}

/// Where the time-out is near, an invocation that comes early invokes the function again for the rest
/// of the delay.
#[tokio::test]
async fn one_that_comes_early_is_sent_again_and_the_log_says_so_once() {
    let mut platform = platform(&[]).await;
    platform.result_of(&running()).await;
    let sent = platform.take_sent().unwrap();
    let asked = platform.server.simulator.answered().len();
    let mut message = sent.body.clone();
    for early in 1..=3 {
        let answer = platform.invoke(&message, "1").await;
        assert_eq!(answer.status(), 200);
        let again = platform.take_sent().unwrap();
        assert!(again.delay_seconds >= 20 && again.delay_seconds <= sent.delay_seconds);
        message = again.body;
        let again: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(again["early"], early, "{again}");
        let first: Value = serde_json::from_str(&sent.body).unwrap();
        assert_eq!(again["due_at"], first["due_at"]);
        assert_eq!(again["follow"], first["follow"]);
    }
    // ECS was not asked.
    assert_eq!(platform.server.simulator.answered().len(), asked + 3);
    let (_, log) = platform.server.terminate().await;
    let told = log.lines().filter(|line| line.contains("before it is due"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("the delay that InvokeFunction was asked for was not honoured"));
}

#[tokio::test]
async fn a_sweep_goes_on_through_it_and_a_copy_of_its_rest_is_served_once() {
    let mut platform = platform(&[]).await;
    let session = json!({"sweep": {"version": 1, "regions": ["cn-hangzhou"], "resume":
        {"region_id": "cn-hangzhou"}, "done": {"regions": 0, "instances": 7, "stored": 7,
        "already_stored": 0, "no_console": 0, "failed": 0}}});
    let swept = platform.result_of(&session.to_string()).await;
    assert_eq!(swept["outcome"], "swept", "{swept}");
    let again = platform.result_of(&session.to_string()).await;
    assert_eq!(again["reason"], "repeated", "{again}");
    // One that a timer starts each day is not the rest of another.
    for _ in 0..2 {
        let swept = platform
            .result_of(r#"{"sweep": {"regions": ["cn-hangzhou"]}}"#)
            .await;
        assert_eq!(swept["outcome"], "swept", "{swept}");
    }
}

/// A platform in the test's process.
#[derive(Clone, Copy)]
struct Habits {
    honours_delays: bool,
    /// How often each invocation is executed, in the same process.
    copies: usize,
    timeout: Duration,
}

#[derive(Debug, PartialEq)]
struct Ran {
    consoles: Vec<(String, String)>,
    asked: usize,
    invocations: usize,
    /// Seconds of the function, of all invocations together.
    seconds: u64,
}

fn run(habits: Habits, keeps_process: bool) -> Ran {
    fastrand::seed(1);
    let store = AtomicStore::default();
    let (asked, invocations, seconds) = memory::paused_runtime().block_on(async {
        let ecs = memory::Guests::begin([(ID.to_owned(), reboot())]);
        tokio::time::sleep(s(EVENT_AT)).await;
        let (sent, process) = (Arc::new(SentMessages::default()), Memory::default());
        let event = memory::event(ID, "Running", s(EVENT_AT));
        let mut next = Some((text(&event), Duration::ZERO));
        let (mut invocations, mut paid) = (0, Duration::ZERO);
        while let Some((payload, delay)) = next {
            if habits.honours_delays {
                tokio::time::sleep(delay).await;
            }
            for _ in 0..habits.copies {
                let source = memory::Asked::new(&ecs);
                let mut dispatcher = memory::dispatcher(source, memory::Used::new(&store));
                dispatcher.archiver.follow_queue = Some(sent.clone());
                if keeps_process {
                    dispatcher.archiver.memory = process.clone();
                }
                let began = tokio::time::Instant::now();
                let answer = memory::deliver(&dispatcher, payload.as_bytes(), habits.timeout);
                answer.await.unwrap();
                paid += began.elapsed();
                invocations += 1;
                assert!(began.elapsed() <= habits.timeout);
            }
            next = sent.0.lock().unwrap().pop_front();
        }
        (*ecs.asked.lock().unwrap(), invocations, paid.as_secs())
    });
    let mut consoles = store.readable();
    consoles.sort();
    Ran {
        consoles,
        asked,
        invocations,
        seconds,
    }
}

const MINUTE: Duration = s(60);

#[test]
fn a_platform_that_does_not_delay_costs_more_and_changes_nothing_else() {
    let honoured = run(
        Habits {
            honours_delays: true,
            copies: 1,
            timeout: MINUTE,
        },
        false,
    );
    assert_eq!((honoured.asked, honoured.invocations), (7, 7));
    assert!(honoured.seconds < 2, "{honoured:?}");
    for keeps_process in [false, true] {
        let ignored = run(
            Habits {
                honours_delays: false,
                copies: 1,
                timeout: MINUTE,
            },
            keeps_process,
        );
        assert_eq!(ignored.consoles, honoured.consoles);
        assert_eq!(ignored.asked, 7);
        // It waits for as long as the console is followed, in invocations that each wait most of their
        // minute: no loop is hot.
        assert!((240..=330).contains(&ignored.seconds), "{ignored:?}");
        assert!(ignored.invocations <= 7 + 300 / 50, "{ignored:?}");
    }
}

/// With a time-out in which nothing can be waited for, the number of invocations has a bound.
#[test]
fn a_short_timeout_on_a_platform_that_does_not_delay_is_no_hot_loop_without_an_end() {
    let ran = run(
        Habits {
            honours_delays: false,
            copies: 1,
            timeout: s(3),
        },
        false,
    );
    // A message is sent again at most eight times, and an event has at most sixty looks.
    assert!(ran.asked <= 60 && ran.invocations <= 60 * 9, "{ran:?}");
    assert!(
        ran.consoles
            .iter()
            .any(|(plain, _)| plain == "last words\n")
    );
}

#[test]
fn copies_cost_an_invocation_each_and_no_look() {
    let once = run(
        Habits {
            honours_delays: true,
            copies: 1,
            timeout: MINUTE,
        },
        true,
    );
    // The event itself comes twice, too, and each of its deliveries is followed.
    let copied = run(
        Habits {
            honours_delays: true,
            copies: 2,
            timeout: MINUTE,
        },
        true,
    );
    // The other delivery is followed at other moments, and may find one more on the way.
    for console in &once.consoles {
        assert!(copied.consoles.contains(console), "{copied:?}");
    }
    assert!(copied.asked <= 2 * once.asked, "{copied:?} {once:?}");
    assert!(copied.invocations <= 4 * once.invocations, "{copied:?}");
}

#[tokio::test(start_paused = true)]
async fn while_the_queue_never_answers_there_is_time_left_to_keep_the_event() {
    let store = MemoryStore {
        write_time: s(1),
        ..MemoryStore::default()
    };
    let mut dispatcher = dispatcher(&FakeFleet::default(), &store);
    dispatcher.archiver.follow_queue = Some(Arc::new(HangingQueue));
    dispatcher.archiver.follow_budget = s(300);
    let event = starting(ID);
    let payload = Payload::Invocation(event.as_bytes());
    let reply = dispatcher.dispatch(payload, Deadline::after(s(60))).await;
    let failure = reply.failure().unwrap();
    assert_eq!(failure.error_type.as_str(), "QueueUnavailable");
    let objects = store.objects.lock().unwrap();
    let failed = objects.keys().filter(|key| key.starts_with("failed/"));
    assert_eq!(failed.count(), 1, "{:?}", objects.keys());
}
