//! Many events at once, as when an availability zone reboots, on a paused clock: how each platform
//! delivers them again, while ECS throttles.

use std::sync::Arc;
use std::time::Duration;

use ecs_console_archiver::config::FailedEvents;
use ecs_console_archiver::hosts::dispatch::{Dispatcher, Payload};
use ecs_console_archiver::hosts::places::Places;
use ecs_console_archiver::retry::Deadline;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::fakes::{FakeDispatcher, FakeFleet, MemoryStore, Quota, dispatcher, instance, unsigned};
use super::starting;

/// Who delivers the events, and to how many processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// A process for each event. What fails is delivered again after one minute and then after two, and
    /// then goes into the dead-letter queue (AWS Lambda, "How Lambda handles errors and retries with
    /// asynchronous invocation"). There are 1000 processes at most by default ("Lambda quotas").
    Lambda,
    /// Twenty events in each process, as the templates set it. What fails is delivered again three times.
    /// After which time is not documented, so soon.
    FunctionCompute,
    /// One process. It serves 64 requests at once, lets the others wait for a moment, and then refuses
    /// them with 503. EventBridge delivers them again after 1, 2, 4 … 512 seconds, 176 times
    /// (EventBridge, "Retry policies").
    Receiver,
}

impl Platform {
    /// Events of one process.
    fn shared_by(self) -> usize {
        match self {
            Self::Lambda => 1,
            Self::FunctionCompute => 20,
            Self::Receiver => usize::MAX,
        }
    }

    /// What passes before each further delivery.
    fn pauses(self) -> Vec<Duration> {
        let seconds = match self {
            Self::Lambda => vec![60, 120],
            Self::FunctionCompute => vec![1, 2, 4],
            Self::Receiver => (0..176).map(|time| 1 << u64::min(time, 9)).collect(),
        };
        seconds.into_iter().map(Duration::from_secs).collect()
    }
}

/// What became of the events.
#[derive(Debug)]
pub struct Aftermath {
    pub stored: usize,
    /// Neither stored nor kept for a person by the platform.
    pub lost: usize,
    /// Given to the platform's dead-letter queue.
    pub given_up: usize,
    /// Until the last console was stored.
    pub last_stored_after: Duration,
    pub deliveries: usize,
    pub throttled: usize,
    /// Calls to ECS at the same time.
    pub most_calls: usize,
}

/// So many instances begin to start at the same moment, and ECS answers so many calls in a minute.
pub async fn burst(platform: Platform, events: usize, calls_per_minute: usize) -> Aftermath {
    let (fleet, store) = (FakeFleet::new(events, 100), MemoryStore::default());
    fleet.state().quota = Some(Quota::of(calls_per_minute));
    let began = Instant::now();
    let processes = events.div_ceil(platform.shared_by());
    let processes: Vec<_> = (0..processes)
        .map(|_| {
            let dispatcher = Dispatcher {
                // What fails stays with the platform.
                failed_events: FailedEvents::Platform,
                ..dispatcher(&fleet, &store)
            };
            Arc::new((dispatcher, Places::default()))
        })
        .collect();
    let deliver = async |index: usize| {
        let body = starting(instance(index).as_str());
        let process = &processes[index / platform.shared_by()];
        let (dispatcher, places) = &**process;
        let mut deliveries = 0;
        for pause in platform.pauses().into_iter().map(Some).chain([None]) {
            deliveries += 1;
            let is_served = match platform {
                Platform::Receiver => push(dispatcher, places, &body).await,
                _ => invoke(dispatcher, &body).await,
            };
            if is_served {
                return (Some(began.elapsed()), deliveries);
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        (None, deliveries)
    };
    let ends = join_all((0..events).map(deliver)).await;
    let ids = (0..events).map(instance);
    let stored = ids.filter(|id| store.records(id) == 1).count();
    let given_up = ends.iter().filter(|(end, _)| end.is_none()).count();
    let state = fleet.state();
    Aftermath {
        stored,
        lost: events - stored - given_up,
        given_up,
        last_stored_after: ends
            .iter()
            .filter_map(|(end, _)| *end)
            .max()
            .unwrap_or_default(),
        deliveries: ends.iter().map(|(_, deliveries)| deliveries).sum(),
        throttled: state.quota.as_ref().map_or(0, |quota| quota.throttled),
        most_calls: state.most_calls,
    }
}

/// Whether an invocation succeeds.
async fn invoke(dispatcher: &FakeDispatcher, body: &str) -> bool {
    let deadline = Deadline::after(Duration::from_millis(59_500));
    let payload = Payload::Invocation(body.as_bytes());
    let reply = dispatcher.dispatch(payload, deadline).await;
    reply.to_json().is_ok()
}

/// Whether the answer to a push is a success. It takes a place as the server does.
async fn push(dispatcher: &FakeDispatcher, places: &Places, body: &str) -> bool {
    let deadline = Deadline::after(Duration::from_secs(60));
    let Some(_place) = places.take_soon().await else {
        return false;
    };
    let (headers, path) = Default::default();
    let push = unsigned(&headers, &path, body);
    let reply = dispatcher.dispatch(Payload::Http(&push), deadline).await;
    reply.to_http().0.is_success()
}
