//! Events of one batch do not hold up each other. A gate holds answers of ECS until the test lets
//! them go.

use std::pin::pin;
use std::sync::Arc;

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::Console;
use serde_json::json;

use crate::support::gate::{Calls, Gate, Service};
use crate::support::runtime_api::Function;
use crate::support::s3_server::Profile;
use crate::support::sqs_server::SqsServer;
use crate::support::*;

/// Messages in a full batch of the templates' queue.
const BATCH: usize = 10;
/// Events that are served at once.
const PLACES: usize = 4;

const TIME: &str = "2024-03-22 10:04:57";

/// A bucket, with gates before ECS and the follow queue.
struct Scene {
    bucket: Bucket,
    calls: Arc<Calls>,
    _queue: SqsServer,
    _gates: [Gate; 2],
}

impl Scene {
    async fn start(follow_seconds: &str) -> Self {
        let (mut bucket, queue) = (Bucket::start(Profile::Aws).await, SqsServer::start().await);
        let calls = Arc::new(Calls::default());
        let mut gates = [Gate::shut().await, Gate::shut().await];
        let (ecs_url, mut queue_url) = (bucket.simulator.endpoint_url(), queue.queue_url());
        let services = [(Service::Ecs, &ecs_url), (Service::Queue, &queue_url)];
        for (gate, (service, url)) in gates.iter_mut().zip(services) {
            let port = url::Url::parse(url).unwrap().port().unwrap();
            gate.open(service, port, calls.clone());
        }
        if follow_seconds == "0" {
            queue_url.clear();
        } else {
            queue_url = format!("http://127.0.0.1:{}/123456789012/follow", gates[1].port);
        }
        bucket.settings.extend(settings(&[
            (
                "ECS_ENDPOINT_URL",
                &format!("http://127.0.0.1:{}", gates[0].port),
            ),
            ("FAILED_EVENTS", "archive"),
            ("FOLLOW_SECONDS", follow_seconds),
            ("FOLLOW_QUEUE_URL", &queue_url),
        ]));
        Self {
            bucket,
            calls,
            _queue: queue,
            _gates: gates,
        }
    }

    /// Serves a batch: these messages, and new events behind them. Calls with this text, which the
    /// first need, are held until the service was called for each new event.
    async fn serve(&self, first: &[String], held: &str, service: Service) {
        let hold = self.calls.hold(held);
        let new: Vec<_> = (first.len()..BATCH)
            .map(|index| format!("i-new{index}"))
            .collect();
        for id in &new {
            set_console(&self.bucket.simulator, id, b"hello\n", TIME);
        }
        let events = new.iter().map(|id| starting(id));
        let messages = first.iter().cloned().chain(events).enumerate();
        let record = |(index, body): (usize, String)| {
            let id = index.to_string();
            json!({"eventSource": "aws:sqs", "messageId": id, "body": body})
        };
        let records: Vec<_> = messages.map(record).collect();
        let batch = json!({ "Records": records }).to_string();
        let function = Function::start(&self.bucket.settings).await;
        let mut answered = pin!(function.result_of(batch.as_bytes()));
        tokio::select! {
            answer = &mut answered => panic!("the first held up the others: {answer}"),
            () = self.calls.until_came(service, &new) => drop(hold),
        }
        let nothing_failed = json!({"batchItemFailures": []});
        assert_eq!(answered.await, nothing_failed);
        // Until the last new event is served, one of the places is not theirs.
        let before = self.calls.came_before(held, service, &new);
        assert!(before < PLACES, "{before} of the first began before");
    }
}

#[tokio::test]
async fn one_event_that_ecs_does_not_answer_holds_up_no_other_of_its_batch() {
    let scene = Scene::start("300").await;
    set_console(&scene.bucket.simulator, "i-slow", b"hello\n", TIME);
    // Following begins meanwhile, too: it goes on through the queue.
    let first = [starting("i-slow")];
    scene.serve(&first, "i-slow", Service::Queue).await;
}

#[tokio::test]
async fn sweeps_in_front_of_events_begin_behind_them() {
    let scene = Scene::start("0").await;
    let sweep = json!({"sweep": {"regions": ["cn-hangzhou"], "per_second": 1000}}).to_string();
    let first = vec![sweep; PLACES];
    scene.serve(&first, "DescribeInstances", Service::Ecs).await;
}

#[tokio::test]
async fn redrives_in_front_of_events_begin_behind_them() {
    let scene = Scene::start("0").await;
    let id = InstanceId::parse("i-failed").unwrap();
    let code = "Forbidden.RAM".to_owned();
    let denied = Console::Error { status: 403, code };
    scene.bucket.simulator.set_console(&id, denied);
    let function = Function::start(&scene.bucket.settings).await;
    function.failure_of(starting("i-failed").as_bytes()).await;
    let redrive = json!({"redrive": {}}).to_string();
    let first = vec![redrive; PLACES];
    scene.serve(&first, "i-failed", Service::Ecs).await;
}
