//! Function Compute around the real `bootstrap`: its API, which the simulator speaks and which verifies
//! signatures, and its queue of asynchronous invocations, which a test moves by hand.
//!
//! Claims, each with its source: an accepted invocation is answered 202 with `x-fc-request-id`, and is
//! executed at least once (page "Asynchronous invocations"); `x-fc-async-delay` is 0 to 3600 s (page
//! "Deferred invocation"); the API of 2023-03-30 was said not to have it in 2023-12
//! (developer.aliyun.com/ask/582649), while a public Node.js function and hughcube/laravel-alifc use it
//! there, so a test also delivers at once; the payload arrives as it was sent, at `/invoke`, with fresh keys of
//! the role in the headers (page "Event handler" of the custom runtimes).

use std::time::Duration;

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Guest, Invocation};
use jiff::SignedDuration;
use reqwest::Response;
use serde_json::Value;

use super::printed::assert_no_secret;
use super::receiver::{self, Server};
use super::*;

pub const FUNCTION: &str = "archiver";

pub struct Platform {
    pub server: Server,
    instance_id: InstanceId,
    /// Seconds since the guest's beginning.
    now: u64,
    /// ID of the keys that came with the latest invocation.
    pub latest_key: String,
}

impl Platform {
    /// The function, and a guest whose clock stands still at `now` seconds.
    pub async fn start(instance: &str, guest: Guest, now: u64, own: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("FC_REGION", "cn-hangzhou"),
            ("FC_ACCOUNT_ID", "1690700000000030"),
            ("FOLLOW_QUEUE_URL", "fc://self"),
            ("FUNCTION_COMPUTE_ENDPOINT_URL", receiver::SIMULATOR),
            ("FOLLOW_SECONDS", "300"),
            // They are from the start of the process. None of them is used.
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ended"),
        ];
        all.extend(own);
        let server = receiver::function_compute(&all).await;
        let instance_id = InstanceId::parse(instance).unwrap();
        server.simulator.set_function(FUNCTION);
        server.simulator.set_guest(&instance_id, guest);
        let mut platform = Self {
            server,
            instance_id,
            now,
            latest_key: String::new(),
        };
        platform.pass(0);
        platform
    }

    /// Moves the guest's clock.
    pub fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        let simulator = &self.server.simulator;
        simulator.set_guest_time(Duration::from_secs(self.now));
    }

    /// Invokes the function, which has this time-out in seconds.
    pub async fn invoke(&mut self, payload: &str, timeout: &str) -> Response {
        let hour = SignedDuration::from_hours(1);
        let keys = self.server.simulator.open_session(hour).credentials;
        self.latest_key.clone_from(&keys.access_key_id);
        let request = self.server.post("/invoke", payload.to_owned());
        let request = request
            .header("x-fc-control-path", "/invoke")
            .header("x-fc-request-id", "1-67a59f35-150c1267-f381ba1c085c")
            .header("x-fc-function-timeout", timeout)
            .header("x-fc-access-key-id", keys.access_key_id)
            .header("x-fc-access-key-secret", keys.access_key_secret.expose())
            .header("x-fc-security-token", keys.security_token.unwrap().expose());
        request.send().await.unwrap()
    }

    /// The answer of an invocation that succeeds.
    pub async fn result_of(&mut self, payload: &str) -> Value {
        let answer = self.invoke(payload, "60").await;
        let (status, body) = (answer.status(), json_of(answer).await);
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The type and the message of one that fails, so that Function Compute tries it again.
    pub async fn failure_of(&mut self, payload: &str) -> (String, String) {
        let answer = self.invoke(payload, "60").await;
        assert_eq!(answer.headers()["x-fc-status"], "404");
        let body = json_of(answer).await;
        let text = |member: &str| body[member].as_str().unwrap().to_owned();
        (text("errorType"), text("errorMessage"))
    }

    /// What the function has sent itself.
    pub fn take_sent(&mut self) -> Option<Invocation> {
        let sent = self.server.simulator.take_invocation()?;
        assert_eq!(sent.function_name, FUNCTION);
        Some(sent)
    }

    /// Executes what the function sends itself after its delay, so many times each, until nothing is
    /// left; the delays.
    pub async fn run(&mut self, copies: usize) -> Vec<u64> {
        let mut delays = Vec::new();
        while let Some(sent) = self.take_sent() {
            self.pass(sent.delay_seconds);
            delays.push(sent.delay_seconds);
            let payload = aged(&sent.body, sent.delay_seconds);
            for _ in 0..copies {
                self.result_of(&payload).await;
            }
        }
        delays
    }

    /// The consoles in the archive, sorted.
    pub fn kept(&self) -> Vec<String> {
        let folder = self.server.folder.path().join(self.instance_id.as_str());
        let names = names_in(&folder, ".log.gz").into_iter();
        let path = |name: String| folder.join(format!("{name}.log.gz"));
        let console = |name| text(&gunzip(&std::fs::read(path(name)).unwrap()));
        let mut kept: Vec<_> = names.map(console).collect();
        kept.sort();
        kept
    }
}

async fn json_of(response: Response) -> Value {
    let body = response.bytes().await.unwrap();
    assert_no_secret(&body);
    serde_json::from_slice(&body).unwrap()
}
