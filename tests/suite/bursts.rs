//! A thousand events at once. The clock is paused, so the times are those of the simulation.

use std::time::Duration;

use crate::support::burst::{Aftermath, Platform, burst};

const EVENTS: usize = 1000;

/// However much ECS throttles, no event is lost.
async fn check(platform: Platform, calls_per_minute: usize, minutes: u64) -> Aftermath {
    let after = burst(platform, EVENTS, calls_per_minute).await;
    let context = format!("{platform:?}, {calls_per_minute} a minute: {after:?}");
    assert_eq!(after.lost, 0, "{context}");
    assert_eq!(after.stored + after.given_up, EVENTS, "{context}");
    let at_most = Duration::from_secs(60 * minutes);
    assert!(after.last_stored_after <= at_most, "{context}");
    after
}

#[tokio::test(start_paused = true)]
async fn a_thousand_events_at_once_are_stored_in_a_minute_if_ecs_answers_them_all() {
    for platform in [
        Platform::Lambda,
        Platform::FunctionCompute,
        Platform::Receiver,
    ] {
        let after = check(platform, 6000, 1).await;
        assert_eq!((after.throttled, after.given_up), (0, 0), "{platform:?}");
        assert_eq!(after.deliveries, EVENTS, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_of_a_thousand_events_at_once_is_ridden_out() {
    for (platform, calls_per_minute, minutes) in [
        (Platform::Lambda, 600, 5),
        (Platform::FunctionCompute, 600, 5),
        (Platform::Lambda, 300, 8),
        (Platform::Receiver, 600, 5),
        (Platform::Receiver, 300, 10),
    ] {
        let after = check(platform, calls_per_minute, minutes).await;
        if platform == Platform::Receiver {
            assert!(after.most_calls <= 64, "{after:?}");
        }
        assert_eq!(after.given_up, 0, "{platform:?}: {after:?}");
    }
}

/// It delivers a failed event again too soon for a fleet that may only ask 300 times in a minute.
#[tokio::test(start_paused = true)]
async fn what_function_compute_gives_up_goes_to_its_destination_for_failures() {
    check(Platform::FunctionCompute, 300, 8).await;
}
