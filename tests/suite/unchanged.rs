//! Stored objects and answers are those that are recorded under `tests/fixtures/unchanged`.

use std::path::Path;

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Cache, Console, Guest, Reports, Simulator};
use reqwest::{RequestBuilder, Response};
use serde_json::json;

use crate::support::printed::assert_no_secret;
use crate::support::receiver::{function_compute, webhook};
use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::sqs_server::SqsServer;
use crate::support::transcript::Transcript;
use crate::support::*;

const PAYLOADS: [&str; 5] = [
    "events",
    "fuzz/seeds/events",
    "tests/fixtures/http",
    "tests/fixtures/payloads",
    "tests/fixtures/unchanged/payloads",
];

/// Its events are about one instance, and any of them may store the record.
const RACE: &str = "fuzz/seeds/events/far-times.json";

/// The files' names and bytes.
fn payloads() -> Vec<(String, Vec<u8>)> {
    let mut payloads = Vec::new();
    for folder in PAYLOADS {
        let files = files_in(&root().join(folder)).into_iter();
        let files = files.filter(|(name, _)| name.ends_with(".json"));
        payloads.extend(files.map(|(name, bytes)| (format!("{folder}/{name}"), bytes)));
    }
    payloads.retain(|(name, _)| name != RACE);
    assert!(payloads.len() >= 90, "{}", payloads.len());
    payloads
}

/// Besides the consoles of the fixtures: one of each kind that ECS may answer with.
fn set_consoles(simulator: &Simulator) {
    let set = |id: &str, console| {
        let id = InstanceId::parse(id).unwrap();
        simulator.set_console(&id, console);
    };
    let error = |status, code: &str| Console::Error {
        status,
        code: code.to_owned(),
    };
    // The simulator says of a file when it was written, which differs from checkout to checkout.
    for id in instances() {
        set(&id, output(&fixture(&id), "2024-03-22 10:04:57"));
    }
    set("i-a1", output(b"hello\n", "2024-03-22 10:04:57"));
    set("i-plain", output(b"hello\n", "2024-03-22 10:04:57"));
    set("i-empty", output(b"", "2024-03-22 10:04:57"));
    set("i-stopped", error(403, "IncorrectInstanceStatus"));
    set("i-denied", error(403, "Forbidden.RAM"));
    let undated = Console::Output {
        plain: b"hello\n".to_vec(),
        last_update_time: None,
    };
    set("i-undated", undated);
}

/// Only where nothing sweeps: it is asked for again and again.
fn set_undecoded(simulator: &Simulator) {
    let body = json!({
        "RequestId": "R", "LastUpdateTime": "2024-03-22 10:04:57", "ConsoleOutput": "SGVsb",
    });
    let undecoded = Console::Answer {
        status: 200,
        body: body.to_string().into_bytes(),
    };
    simulator.set_console(&InstanceId::parse("i-undecoded").unwrap(), undecoded);
}

fn remove_all(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

fn answer(transcript: &mut Transcript, answer: Answer) {
    match answer {
        Answer::Response(value) => transcript.line(&format!("answer {value}")),
        Answer::Error {
            error_type,
            error_message,
        } => transcript.failure(&error_type, &error_message),
    }
}

#[tokio::test]
async fn on_lambda_every_payload_stores_and_is_answered_what_it_was() {
    let simulator = simulator().await;
    set_consoles(&simulator);
    let folder = tempfile::tempdir().unwrap();
    let mut all = ecs_settings(&simulator);
    all.extend(folder_settings(folder.path()));
    let own = [
        ("FAILED_EVENTS", "archive"),
        ("WEBHOOK_TOKEN", "example-token"),
    ];
    all.extend(settings(&own));
    let function = Function::start(&all).await;
    let mut transcript = Transcript::new("lambda");
    transcript.hide_path(folder.path(), "{folder}");
    for (name, payload) in payloads() {
        transcript.heading(&name);
        answer(&mut transcript, function.invoke(&payload, TIMEOUT).await);
        transcript.objects(folder.path());
        remove_all(folder.path());
    }
    let starting = starting("i-plain");
    for heading in ["an event", "the same event again"] {
        transcript.heading(heading);
        answer(
            &mut transcript,
            function.invoke(starting.as_bytes(), TIMEOUT).await,
        );
        transcript.objects(folder.path());
    }
    transcript.check();
}

/// Status, headers and body of an answer.
async fn http(transcript: &mut Transcript, request: RequestBuilder) {
    let response: Response = request.send().await.unwrap();
    transcript.line(&format!("{}", response.status()));
    let headers = response.headers().clone();
    let body = response.bytes().await.unwrap();
    assert_no_secret(&body);
    for (name, value) in &headers {
        let value = value.to_str().unwrap();
        if name == "content-length" {
            // It differs where words do.
            assert_eq!(value, body.len().to_string());
        } else {
            transcript.line(&format!("{name}: {value}"));
        }
    }
    transcript.line(&text(&body));
}

#[tokio::test]
async fn on_function_compute_every_payload_stores_and_is_answered_what_it_was() {
    let server = function_compute(&[("WEBHOOK_TOKEN", "example-token")]).await;
    set_consoles(&server.simulator);
    let folder = server.folder.path();
    let mut transcript = Transcript::new("function-compute");
    transcript.omit_words();
    transcript.hide_path(folder, "{folder}");
    for path in ["/initialize", "/pre-freeze", "/pre-stop", "/unheard-of"] {
        transcript.heading(path);
        http(&mut transcript, server.control(path)).await;
    }
    for (name, payload) in payloads() {
        transcript.heading(&name);
        http(&mut transcript, server.invoke(payload)).await;
        transcript.object_digests(folder);
        remove_all(folder);
    }
    transcript.check();
}

#[tokio::test]
async fn the_receiver_stores_and_answers_for_every_push_what_it_did() {
    let server = webhook(&[("WEBHOOK_TOKEN", "example-token")]).await;
    set_consoles(&server.simulator);
    let folder = server.folder.path();
    let mut transcript = Transcript::new("webhook");
    transcript.omit_words();
    transcript.hide_path(folder, "{folder}");
    for path in ["/healthz", "/readyz", "/"] {
        transcript.heading(&format!("GET {path}"));
        http(&mut transcript, server.get(path)).await;
    }
    let push = |body: Vec<u8>, token: &'static str| {
        let push = server.post("/events", body);
        push.header("X-EventBridge-Signature-Token", token)
    };
    transcript.heading("without a token");
    http(&mut transcript, server.post("/", starting("i-plain"))).await;
    transcript.heading("with another token");
    http(
        &mut transcript,
        push(starting("i-plain").into_bytes(), "other"),
    )
    .await;
    transcript.heading("with an encoding");
    let encoded = push(starting("i-plain").into_bytes(), "example-token");
    http(&mut transcript, encoded.header("content-encoding", "gzip")).await;
    transcript.heading("9 MiB");
    http(&mut transcript, push(vec![b' '; 9 << 20], "example-token")).await;
    // How far a sweep gets before a push must be answered depends on the machine.
    let sweeps = |payload: &[u8]| String::from_utf8_lossy(payload).contains("sweep");
    for (name, payload) in payloads() {
        if sweeps(&payload) {
            continue;
        }
        transcript.heading(&name);
        http(&mut transcript, push(payload, "example-token")).await;
        transcript.object_digests(folder);
        remove_all(folder);
    }
    transcript.check();
}

#[tokio::test]
async fn a_followed_event_sends_and_stores_what_it_did() {
    let (simulator, sqs) = (simulator().await, SqsServer::start().await);
    let instance_id = InstanceId::parse("i-followed").unwrap();
    let seconds = std::time::Duration::from_secs;
    let cache = Cache {
        reports: Reports::Nothing,
        ..Cache::lagging(seconds(60))
    };
    let guest = Guest::new(cache)
        .writes(seconds(0), "last words\n")
        .stops(seconds(101))
        .starts(seconds(110))
        .clears(seconds(111))
        .writes(seconds(112), "boot\n");
    simulator.set_guest(&instance_id, guest);
    let mut now = 100;
    simulator.set_guest_time(seconds(now));
    let folder = tempfile::tempdir().unwrap();
    let mut all = ecs_settings(&simulator);
    all.extend(folder_settings(folder.path()));
    let own = [
        ("FOLLOW_SECONDS", "300"),
        ("FOLLOW_QUEUE_URL", &sqs.queue_url()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", s3_server::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", s3_server::SECRET_ACCESS_KEY),
    ];
    all.extend(settings(&own));
    let function = Function::start(&all).await;
    let mut transcript = Transcript::new("following");
    transcript.hide_path(folder.path(), "{folder}");
    transcript.heading("an event");
    let event = starting(instance_id.as_str()).replace("Starting", "Running");
    let mut payload = event.into_bytes();
    loop {
        let answered = function.invoke(&payload, TIMEOUT).await;
        let Some(sent) = sqs.take_sent() else {
            transcript.heading("the last message");
            answer(&mut transcript, answered);
            break;
        };
        if now == 100 {
            answer(&mut transcript, answered);
            transcript.line(&format!("sent {}", sent.body));
        }
        now += sent.delay_seconds;
        simulator.set_guest_time(seconds(now));
        payload = aged(&sent.body, sent.delay_seconds).into_bytes();
    }
    transcript.objects(folder.path());
    transcript.check();
}

/// What the command line prints for these arguments, and its exit code.
async fn run(transcript: &mut Transcript, settings: &Settings, arguments: &str) {
    transcript.heading(&format!("console-archive {arguments}"));
    let arguments: Vec<_> = arguments.split(' ').collect();
    let output = cli(settings, &arguments).await;
    transcript.line(&format!("exit {}", output.status.code().unwrap()));
    transcript.printed(">", &output.stdout);
    transcript.printed("!", &output.stderr);
}

const COMMANDS: [&str; 18] = [
    "list",
    "capture i-plain",
    "capture i-plain",
    "capture i-bp1panicnoroot00001",
    "capture i-undecoded --timeout 3",
    "capture i-stopped",
    "capture i-missing",
    "capture i-denied",
    "invoke tests/fixtures/unchanged/payloads/denied.json",
    // One row: others come in the order of the seconds in which they were captured.
    "list --ending panic",
    "list --count",
    "list i-plain",
    "get i-plain",
    "get i-undecoded",
    "get i-plain --at 2001-01-01",
    "get i-missing",
    "get i-bp1panicnoroot00001",
    "redrive --dry-run",
];

/// An empty archive in a folder, a simulator, and the settings for both.
async fn archive() -> (Simulator, tempfile::TempDir, Settings) {
    let simulator = simulator().await;
    set_consoles(&simulator);
    set_undecoded(&simulator);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    (simulator, folder, settings)
}

#[tokio::test]
async fn each_command_prints_the_json_it_did_with_the_same_exit_code() {
    let (simulator, folder, settings) = archive().await;
    let mut transcript = Transcript::new("commands");
    transcript.omit_words();
    transcript.hide_path(folder.path(), "{folder}");
    for command in COMMANDS {
        let command = format!("{command} --output json");
        transcript.heading(&format!("console-archive {command}"));
        let arguments: Vec<_> = command.split(' ').collect();
        let output = cli(&settings, &arguments).await;
        transcript.line(&format!("exit {}", output.status.code().unwrap()));
        transcript.json(&output.stdout);
    }
    transcript.objects(folder.path());
    let undecoded = InstanceId::parse("i-undecoded").unwrap();
    simulator.set_console(&undecoded, output(b"hello\n", "2024-03-22 10:04:57"));
    for (name, _) in payloads() {
        transcript.heading(&format!("console-archive invoke {name} --output json"));
        let arguments = ["invoke", &name, "--output", "json"];
        let output = cli(&settings, &arguments).await;
        transcript.line(&format!("exit {}", output.status.code().unwrap()));
        transcript.json(&output.stdout);
    }
    transcript.check();
}

#[tokio::test]
async fn each_command_prints_the_text_it_did() {
    let (_simulator, folder, settings) = archive().await;
    let mut transcript = Transcript::new("commands-text");
    transcript.hide_path(folder.path(), "{folder}");
    for command in COMMANDS {
        run(&mut transcript, &settings, command).await;
    }
    transcript.check();
}
