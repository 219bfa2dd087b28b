//! The real `bootstrap` as an HTTP server: driven as Function Compute drives it, and as senders of
//! webhooks do.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Cache, Console, Guest};
use jiff::SignedDuration;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::printed::{assert_no_secret, checked};
use crate::support::receiver::{Server, function_compute, webhook};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

/// Settings of a receiver that asks for a signature.
const SIGNED: [(&str, &str); 2] = [
    ("WEBHOOK_URL", "https://archiver.example/"),
    ("WEBHOOK_ACCOUNTS", "1000000000000001"),
];

impl Server {
    fn set(&self, console: Console) {
        let id = InstanceId::parse(ID).unwrap();
        self.simulator.set_console(&id, console);
    }

    /// The consoles that are kept.
    fn kept(&self) -> Vec<String> {
        let folder = self.folder.path().join(ID);
        if !folder.exists() {
            return Vec::new();
        }
        let names = names_in(&folder, ".log.gz");
        let path = |name: String| folder.join(format!("{name}.log.gz"));
        let console = |name| text(&gunzip(&std::fs::read(path(name)).unwrap()));
        names.into_iter().map(console).collect()
    }
}

async fn json_of(response: Response) -> Value {
    let body = response.bytes().await.unwrap();
    assert_no_secret(&body);
    serde_json::from_slice(&body).unwrap()
}

fn manual() -> String {
    json!({"instance_id": ID}).to_string()
}

#[tokio::test]
async fn on_function_compute_an_event_is_captured_and_answered() {
    let server = function_compute(&[]).await;
    let initialized = server.control("/initialize").send().await.unwrap();
    assert_eq!(initialized.status(), 200);
    for outcome in ["stored", "already_stored"] {
        let answer = server.invoke(manual()).send().await.unwrap();
        assert_eq!(
            (answer.status(), answer.headers().get("x-fc-status")),
            (200.try_into().unwrap(), None)
        );
        assert_eq!(json_of(answer).await["outcome"], outcome);
    }
    for hook in ["/pre-freeze", "/pre-stop"] {
        assert_eq!(server.control(hook).send().await.unwrap().status(), 200);
    }
    let (is_good, log) = server.terminate().await;
    assert!(is_good, "{log}");
    let id = "1-67a59f35-150c1267-f381ba1c085c";
    assert!(
        log.contains(&format!("FC Invoke Start RequestId: {id}\n")),
        "{log}"
    );
    assert!(
        log.contains(&format!("FC Invoke End RequestId: {id}\n")),
        "{log}"
    );
    assert!(log.contains("FC Initialize End"), "{log}");
}

#[tokio::test]
async fn a_failed_invocation_says_so_in_the_header_that_counts() {
    let server = function_compute(&[]).await;
    for (event, error_type) in [
        // By hand: whoever invoked it reads the answer.
        (json!({"instance_id": "../etc"}).to_string(), "InvalidEvent"),
        (json!({"instance_id": ID}).to_string(), "EcsDenied"),
        ("{ no event".to_owned(), "InvalidEvent"),
        (starting(ID), "EcsDenied"),
    ] {
        server.set(Console::Error {
            status: 403,
            code: "Forbidden.RAM".into(),
        });
        let answer = server.invoke(event).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()["x-fc-status"], "404");
        assert_eq!(json_of(answer).await["errorType"], error_type);
    }
    // Where no dead-letter queue does, the archive keeps what failed.
    let kept = names_in(&server.folder.path().join("failed"), ".json");
    assert_eq!(
        kept.iter().filter(|name| !name.ends_with(".meta")).count(),
        2
    );
    let (_, log) = server.terminate().await;
    assert!(
        log.contains("f381ba1c085c, Error: Handled function error"),
        "{log}"
    );
}

#[tokio::test]
async fn the_roles_fresh_credentials_come_with_each_request() {
    // Those of the environment have ended; they are from the instance's start.
    let server = function_compute(&[("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ended")]).await;
    let invoke = |life: SignedDuration| {
        let keys = server.simulator.open_session(life).credentials;
        server
            .post("/invoke", manual())
            .header("x-fc-control-path", "/invoke")
            .header("x-fc-access-key-id", keys.access_key_id)
            .header("x-fc-access-key-secret", keys.access_key_secret.expose())
            .header("x-fc-security-token", keys.security_token.unwrap().expose())
    };
    let hour = SignedDuration::from_hours(1);
    assert_eq!(invoke(hour).send().await.unwrap().status(), 200);
    server.simulator.end_sessions();
    assert_eq!(invoke(hour).send().await.unwrap().status(), 200);
    // Without a role the headers are empty, and the settings' own are used.
    server.simulator.end_sessions();
    let answer = server.invoke(manual()).send().await.unwrap();
    assert_eq!(json_of(answer).await["errorType"], "EcsDenied");
}

#[tokio::test]
async fn what_comes_with_a_request_assumes_the_role_that_is_set() {
    let role = "acs:ram::1690700000000030:role/archiver";
    let server = function_compute(&[
        ("ALIBABA_CLOUD_ROLE_ARN", role),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ended"),
    ])
    .await;
    let hour = SignedDuration::from_hours(1);
    for _ in 0..2 {
        let keys = server.simulator.open_session(hour).credentials;
        let answer = server
            .post("/invoke", manual())
            .header("x-fc-control-path", "/invoke")
            .header("x-fc-access-key-id", keys.access_key_id)
            .header("x-fc-access-key-secret", keys.access_key_secret.expose())
            .header("x-fc-security-token", keys.security_token.unwrap().expose());
        assert_eq!(answer.send().await.unwrap().status(), 200);
    }
    let assumed = server.simulator.assumed_roles();
    let arns: Vec<_> = assumed.iter().map(|assumed| assumed.arn.as_str()).collect();
    assert_eq!(arns, [role], "once: its session goes on");
}

#[tokio::test]
async fn credentials_may_come_with_requests_and_in_no_other_way() {
    let none = ["ID", "SECRET"].map(|part| format!("ALIBABA_CLOUD_ACCESS_KEY_{part}"));
    let unset = [(none[0].as_str(), ""), (none[1].as_str(), "")];
    let server = function_compute(&unset).await;
    let answer = server.invoke(manual()).send().await.unwrap();
    let failure = json_of(answer).await;
    assert_eq!(failure["errorType"], "CredentialsRefused");
    assert!(
        failure["errorMessage"]
            .as_str()
            .unwrap()
            .contains("give the function a role")
    );
    let session = server.simulator.open_session(SignedDuration::from_hours(1));
    let keys = session.credentials;
    let answer = server
        .post("/invoke", manual())
        .header("x-fc-control-path", "/invoke")
        .header("x-fc-access-key-id", keys.access_key_id)
        .header("x-fc-access-key-secret", keys.access_key_secret.expose())
        .header("x-fc-security-token", keys.security_token.unwrap().expose());
    assert_eq!(
        json_of(answer.send().await.unwrap()).await["outcome"],
        "stored"
    );
}

#[tokio::test]
async fn invocations_at_once_are_served_at_once() {
    let server = function_compute(&[]).await;
    let events = instances().into_iter().chain(instances());
    let invoke = |id: String| server.invoke(json!({"instance_id": id}).to_string()).send();
    let answers = futures_util::future::join_all(events.map(invoke)).await;
    for answer in answers {
        assert_eq!(answer.unwrap().status(), 200);
    }
    for id in instances() {
        let folder = server.folder.path().join(&id);
        assert_eq!(names_in(&folder, ".log.gz").len(), 1, "{id}");
    }
}

#[tokio::test]
async fn function_computes_http_trigger_is_a_webhook() {
    let server = function_compute(&[("WEBHOOK_TOKEN", "shared-token-that-must-not-show")]).await;
    let push = || {
        server
            .post("/any/path", manual())
            .header("x-fc-control-path", "/http-invoke")
    };
    assert_eq!(push().send().await.unwrap().status(), 401);
    let good = push().header(
        "x-eventbridge-signature-token",
        "shared-token-that-must-not-show",
    );
    assert_eq!(
        json_of(good.send().await.unwrap()).await["outcome"],
        "stored"
    );
}

/// Whoever sends to an HTTP trigger chooses the path of the address, and every header but those
/// that the platform sets.
#[tokio::test]
async fn a_request_without_a_control_path_is_a_strangers_whatever_its_path_is() {
    let server = function_compute(&[("WEBHOOK_TOKEN", "shared-token-that-must-not-show")]).await;
    let with_keys = |request: RequestBuilder| {
        request
            .header("x-fc-access-key-id", "mallory")
            .header("x-fc-access-key-secret", "mallorys")
    };
    for path in ["/invoke", "/initialize", "/pre-stop", "/"] {
        for control in [None, Some("/http-invoke")] {
            let mut request = with_keys(server.post(path, manual()));
            if let Some(control) = control {
                request = request.header("x-fc-control-path", control);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path} {control:?}");
        }
    }
    let unknown = with_keys(server.post("/", manual())).header("x-fc-control-path", "/other");
    assert_eq!(unknown.send().await.unwrap().status(), 404);
    let doubled = with_keys(server.invoke(manual())).header("x-fc-control-path", "/http-invoke");
    assert_eq!(doubled.send().await.unwrap().status(), 401);
    assert!(server.simulator.answered().is_empty());
    // None of those keys was taken.
    let answer = server.invoke(manual()).send().await.unwrap();
    assert_eq!(json_of(answer).await["outcome"], "stored");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_credentials_of_initialize_are_good_for_invocations() {
    let none = ["ID", "SECRET"].map(|part| format!("ALIBABA_CLOUD_ACCESS_KEY_{part}"));
    let server = function_compute(&[(&none[0], ""), (&none[1], "")]).await;
    let session = server.simulator.open_session(SignedDuration::from_hours(1));
    let keys = session.credentials;
    let initialize = server
        .control("/initialize")
        .header("x-fc-access-key-id", keys.access_key_id)
        .header("x-fc-access-key-secret", keys.access_key_secret.expose())
        .header("x-fc-security-token", keys.security_token.unwrap().expose());
    assert_eq!(initialize.send().await.unwrap().status(), 200);
    let answer = server.invoke(manual()).send().await.unwrap();
    assert_eq!(json_of(answer).await["outcome"], "stored");
}

#[tokio::test]
async fn a_time_out_that_is_none_does_not_end_the_function() {
    let server = function_compute(&[]).await;
    for timeout in [
        "",
        "0",
        "-1",
        "18446744073709551615",
        "99999999999999999999999999",
        "NaN",
        "60.5",
        "86400",
    ] {
        let request = server
            .post("/invoke", manual())
            .header("x-fc-control-path", "/invoke")
            .header("x-fc-function-timeout", timeout);
        assert_eq!(request.send().await.unwrap().status(), 200, "{timeout}");
    }
}

#[tokio::test]
async fn a_webhook_is_captured_where_its_sender_is_known() {
    let server = webhook(&[("WEBHOOK_TOKEN", "shared-token-that-must-not-show")]).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).send().await.unwrap().status(), 200);
    }
    let push = |token: &'static str| {
        server
            .post("/events", manual())
            .header("X-EventBridge-Signature-Token", token)
    };
    for token in ["", "wrong"] {
        assert_eq!(push(token).send().await.unwrap().status(), 401);
    }
    assert_eq!(
        server.post("/", manual()).send().await.unwrap().status(),
        401
    );
    assert!(server.kept().is_empty() && server.simulator.answered().is_empty());
    let answer = push("shared-token-that-must-not-show")
        .send()
        .await
        .unwrap();
    assert_eq!(json_of(answer).await["outcome"], "stored");
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}/", server.address);
        let answer = server.http.request(method, url).send().await.unwrap();
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "POST");
    }
    let (is_good, log) = server.terminate().await;
    assert!(is_good && !log.contains("must-not-show"), "{log}");
}

#[tokio::test]
async fn a_token_at_the_end_of_the_url_is_good_for_a_receiver_and_an_http_trigger() {
    let token = [("WEBHOOK_TOKEN", "url token that-must-not-show")];
    for (server, control_path) in [
        (webhook(&token).await, None),
        (function_compute(&token).await, Some("/http-invoke")),
    ] {
        for (path, status) in [
            ("/url%20token%20that-must-not-show", 200),
            (
                "/2016-08-15/proxy/archiver/url%20token%20that-must-not-show/?a=b",
                200,
            ),
            ("/url%20token%20that-must-not-show/more", 401),
            ("/must-not-show", 401),
            ("/?url%20token%20that-must-not-show", 401),
            ("/", 401),
        ] {
            let mut push = server.post(path, manual());
            if let Some(control_path) = control_path {
                push = push.header("x-fc-control-path", control_path);
            }
            let answer = push.send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            json_of(answer).await;
        }
        assert_eq!(server.kept().len(), 1);
        let (is_good, log) = server.terminate().await;
        assert!(is_good && !log.contains("must-not-show"), "{log}");
    }
}

#[tokio::test]
async fn unsigned_webhooks_are_refused_unless_allowed() {
    for (own, status) in [
        (&[("WEBHOOK_TOKEN", "example-token")][..], 401),
        (&[("WEBHOOK_ALLOW_UNSIGNED", "true")], 200),
        (&SIGNED, 401),
    ] {
        let server = webhook(own).await;
        let answer = server.post("/", manual()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{own:?}");
    }
}

#[tokio::test]
async fn no_request_goes_where_a_signature_points() {
    let server = webhook(&SIGNED).await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/x.pem", elsewhere.local_addr().unwrap());
    let answer = server
        .post("/", manual())
        .header("x-eventbridge-signature-timestamp", now.to_string())
        .header("x-eventbridge-signature-url", address)
        .header("x-eventbridge-signature-v2", "AAAA")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    tokio::select! {
        biased;
        _ = elsewhere.accept() => panic!("it was fetched"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_webhook_is_its_status() {
    let server = webhook(&[("WEBHOOK_ALLOW_UNSIGNED", "true")]).await;
    let huge = "a".repeat((8 << 20) + 1);
    for (body, status) in [
        ("{".to_owned(), 400),
        (json!({"instance_id": "i-../"}).to_string(), 400),
        (huge, 413),
        (json!({"source": "acs.rds", "type": "x"}).to_string(), 200),
    ] {
        let answer = server.post("/", body).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    // A head that is too long is cut off.
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(20 << 10));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
}

const HEAD: &str = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";

/// An answer means that it was not waited for the body, which never comes.
#[tokio::test]
async fn a_stranger_is_refused_before_its_body_is_read() {
    let server = webhook(&[("WEBHOOK_TOKEN", "shared-token-that-must-not-show")]).await;
    let rests = [
        "content-length: 8388608\r\n\r\n",
        "content-length: 10\r\n\r\n{",
        "content-length: 1099511627776\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n",
        "content-length: 9\r\nexpect: 100-continue\r\n\r\n",
        "content-length: 9\r\nx-eventbridge-signature-token: wrong\r\n\r\n",
        "content-length: 9\r\nx-eventbridge-signature-token: shared-token-that-must-not-show\r\n\
         X-EventBridge-Signature-Token: shared-token-that-must-not-show\r\n\r\n",
    ];
    let ask = async |rest: &str| server.raw(&format!("{HEAD}{rest}")).await;
    let answers = futures_util::future::join_all(rests.map(ask)).await;
    for (rest, answer) in rests.iter().zip(answers) {
        assert!(answer.starts_with("HTTP/1.1 401"), "{rest}: {answer}");
    }
    let token = "x-eventbridge-signature-token: shared-token-that-must-not-show\r\n";
    let long = format!("{token}content-length: 1048577\r\n\r\n");
    let gzip = format!("{token}content-encoding: gzip\r\ncontent-length: 9\r\n\r\n");
    let (long, gzip) = tokio::join!(ask(&long), ask(&gzip));
    assert!(long.starts_with("HTTP/1.1 413"), "{long}");
    assert!(gzip.starts_with("HTTP/1.1 415"), "{gzip}");
    assert!(server.simulator.answered().is_empty());
}

#[tokio::test]
async fn requests_of_odd_forms_are_answered_as_http_has_it() {
    let server = webhook(&[("WEBHOOK_ALLOW_UNSIGNED", "true")]).await;
    let body = manual();
    let length = body.len();
    let push = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    let last = format!("{HEAD}content-length: {length}\r\n\r\n{body}");
    let long = "a".repeat(1 << 20);
    for (sent, statuses) in [
        (last.clone(), &["HTTP/1.1 200"][..]),
        (
            format!("POST / HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}"),
            &["HTTP/1.0 200"],
        ),
        // Two at once on one connection.
        (format!("{push}{last}"), &["HTTP/1.1 200", "HTTP/1.1 200"]),
        (
            format!("{HEAD}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            &["HTTP/1.1 200"],
        ),
        (
            format!(
                "{HEAD}transfer-encoding: chunked\r\n\r\n100000\r\n{long}\r\n1\r\na\r\n0\r\n\r\n"
            ),
            &["HTTP/1.1 413"],
        ),
        (
            format!("{HEAD}transfer-encoding: chunked\r\n\r\nno length\r\n"),
            &["HTTP/1.1 400"],
        ),
        // What a shorter length leaves over is no event of its own.
        (
            format!("{HEAD}content-length: 1\r\n\r\n{body}"),
            &["HTTP/1.1 400"],
        ),
        (
            format!("{HEAD}content-length: -1\r\n\r\n{body}"),
            &["HTTP/1.1 400"],
        ),
        (
            format!("{HEAD}content-length: 1\r\ncontent-length: {length}\r\n\r\n{body}"),
            &["HTTP/1.1 400"],
        ),
        (
            format!("{HEAD}content-length: 0\r\n\r\n"),
            &["HTTP/1.1 400"],
        ),
        (HEAD.to_owned() + "\r\n", &["HTTP/1.1 400"]),
        (
            "GET /healthz HTTP/1.0\r\n\r\n".to_owned(),
            &["HTTP/1.0 200"],
        ),
        ("nonsense\r\n\r\n".to_owned(), &["HTTP/1.1 400"]),
    ] {
        let answer = server.raw(&sent).await;
        let found: Vec<_> = (answer.match_indices("HTTP/1."))
            .map(|(at, _)| &answer[at..at + 12])
            .collect();
        assert_eq!(found, statuses, "{:.200}", sent);
    }
    // Who waits to be told to go on is told.
    let expects = format!("{HEAD}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n{body}");
    let answer = server.raw(&expects).await;
    assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
}

/// Sixty-four senders, each with all of a body but its end; and then more connections than there
/// are places, each with the beginning of a head.
#[tokio::test]
async fn slow_senders_take_no_place_from_good_ones() {
    let server = webhook(&[("WEBHOOK_ALLOW_UNSIGNED", "true")]).await;
    let mut slow = Vec::new();
    let piece = "a".repeat(1 << 10);
    for _ in 0..64 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let head = format!("{HEAD}content-length: 1048576\r\n\r\n{piece}");
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let is_served = async || {
        let length = manual().len();
        let push = format!("{HEAD}content-length: {length}\r\n\r\n{}", manual());
        let healthy = "GET /healthz HTTP/1.0\r\n\r\n".to_owned();
        for request in [healthy, push] {
            let answer = server.raw(&request).await;
            assert!(answer.contains(" 200 OK"), "{answer}");
        }
    };
    is_served().await;
    for _ in 0..560 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let _ = stream.write_all(b"POST / HTTP/1.1\r\nhost").await;
        slow.push(stream);
    }
    is_served().await;
    // The first of those with half a head was cut off for the last ones.
    let mut rest = Vec::new();
    let _ = slow[64].read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn sixty_four_strangers_with_eight_megabytes_each_cost_a_bounded_memory() {
    for own in [
        ("WEBHOOK_ALLOW_UNSIGNED", "true"),
        ("WEBHOOK_TOKEN", "example-token"),
    ] {
        let server = webhook(&[own]).await;
        assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
        let before = server.peak_memory();
        // Lengths that are not told in advance, so that the bodies are begun to be read.
        let send = || async {
            let mut stream = TcpStream::connect(&server.address).await.unwrap();
            let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
            for _ in 0..128 {
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    break;
                }
            }
        };
        futures_util::future::join_all((0..64).map(|_| send())).await;
        assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
        let grown = server.peak_memory() - before;
        assert!(grown < 48 << 10, "{own:?}: {grown} KiB");
    }
}

/// A proxy stands for the way to EventBridge's buckets: it counts who is asked for.
#[tokio::test]
async fn forty_anonymous_pushes_lead_to_one_look_up_for_a_certificate() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let counted = asked.clone();
    let counting = tokio::spawn(async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            counted.lock().unwrap().push(text(&head[..length]));
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        }
    });
    let server = webhook(&[SIGNED[0], SIGNED[1], ("HTTPS_PROXY", &address)]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_millis().to_string();
    let push = |host: &str, account: &str| {
        let certificate = format!("https://{host}/x509_public_certificate_1.pem");
        server
            .post("/", json!({"aliyunaccountid": account}).to_string())
            .header("x-eventbridge-signature-timestamp", &now)
            .header("x-eventbridge-signature-url", certificate)
            .header("x-eventbridge-signature-v2", "A".repeat(342) + "==")
    };
    let account = SIGNED[1].1;
    let known = "cn-hangzhou-eventbridge.oss-accelerate.aliyuncs.com";
    let anybodys = "anybody-eventbridge.oss-cn-hangzhou.aliyuncs.com";
    for (host, account) in [(anybodys, account), (known, "9")] {
        let answer = push(host, account).send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert!(asked.lock().unwrap().is_empty());
    let pushes = (0..40).map(|_| push(known, account).send());
    for answer in futures_util::future::join_all(pushes).await {
        assert_eq!(answer.unwrap().status(), 503);
    }
    counting.abort();
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        asked[0].starts_with(&format!("CONNECT {known}:443 ")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn senders_that_dawdle_are_cut_off() {
    let server = webhook(&[("WEBHOOK_ALLOW_UNSIGNED", "true")]).await;
    let answer_to = async |sent: &str| {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    // The rest never comes, of a head and of a body.
    let (head, body) = tokio::join!(
        answer_to("POST / HTTP/1.1\r\nhost: x\r\n"),
        answer_to("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{"),
    );
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert_eq!(server.get("/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_webhook_is_answered_before_its_console_is_followed_and_followed_to_its_end() {
    let follows = [("WEBHOOK_ALLOW_UNSIGNED", "true"), ("FOLLOW_SECONDS", "3")];
    let mut server = webhook(&follows).await;
    let seconds = Duration::from_secs;
    let guest = Guest::new(Cache::lagging(seconds(60)))
        .writes(seconds(0), "last words\n")
        .clears(seconds(100))
        .writes(seconds(110), "boot\nhost login: ");
    let id = InstanceId::parse(ID).unwrap();
    server.simulator.set_guest(&id, guest);
    server.simulator.set_guest_time(seconds(100));
    let answer = server.post("/", starting(ID)).send().await.unwrap();
    assert_eq!(json_of(answer).await["outcome"], "following");
    assert_eq!(server.kept(), ["last words\n"]);
    // What the guest writes once the process was told to end is kept, too.
    server.begin_to_end().await;
    assert_eq!(server.kept(), ["last words\n"]);
    server.simulator.set_guest_time(seconds(200));
    let (is_good, log) = server.ended().await;
    assert!(is_good, "{log}");
    let kept = server.kept();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.contains(&"boot\nhost login: ".to_owned()));
}

/// Each push has a mebibyte of text, of which a followed event holds all.
#[tokio::test]
async fn a_receiver_whose_memory_is_taken_says_so_once_and_asks_its_senders_to_come_again() {
    let follows = [
        ("WEBHOOK_ALLOW_UNSIGNED", "true"),
        ("FOLLOW_SECONDS", "300"),
    ];
    let server = webhook(&follows).await;
    let push = async |index: usize| {
        let mut event: Value = serde_json::from_str(&starting(ID)).unwrap();
        event["id"] = format!("E-{index}").into();
        event["data"]["padding"] = "a".repeat((1 << 20) - 1000).into();
        server.post("/", event.to_string()).send().await.unwrap()
    };
    for index in 0..64 {
        let answer = json_of(push(index).await).await;
        assert_eq!(answer["outcome"], "following", "{index}: {answer}");
    }
    let before = server.peak_memory();
    for index in 64..80 {
        let answer = push(index).await;
        assert_eq!(answer.status(), 503);
        assert_eq!(json_of(answer).await["errorType"], "TooManyRequests");
    }
    let grown = server.peak_memory() - before;
    assert!(grown < 8 << 10, "{grown} KiB");
    let log = server.printed.text();
    let warnings: Vec<_> = (log.lines())
        .filter(|line| line.contains("no room to follow more"))
        .collect();
    let [warning] = warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains("64 of 1000 events and 63 of 64 MiB"),
        "{warning}"
    );
}

/// Function Compute kills the process seconds after SIGTERM, and long before the following would end.
#[tokio::test]
async fn an_invocation_that_follows_is_answered_when_function_compute_ends_the_process() {
    let mut server = function_compute(&[("FOLLOW_SECONDS", "50")]).await;
    let answer = tokio::spawn(server.invoke(starting(ID)).send());
    while server.simulator.answered().is_empty() {
        tokio::task::yield_now().await;
    }
    server.begin_to_end().await;
    let (is_good, log) = server.ended().await;
    assert!(is_good, "{log}");
    let answer = answer.await.unwrap().expect("it is answered");
    assert_eq!(answer.headers().get("x-fc-status"), None);
    assert_eq!(json_of(answer).await["outcome"], "stored");
    assert_eq!(server.kept().len(), 1);
    assert!(log.contains("FC Invoke End RequestId"), "{log}");
}

#[tokio::test]
async fn a_host_that_is_none_is_told_what_to_set() {
    let simulator = simulator().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(std::path::Path::new("/tmp/never")));
    for (own, message) in [
        (&[][..], "LISTEN_ADDR: not set"),
        (
            &[("LISTEN_ADDR", "8080")][..],
            "LISTEN_ADDR: \"8080\" is not an address",
        ),
        (
            &[("LISTEN_ADDR", "8080"), ("TRIGGER_STATES", "Runing")][..],
            "TRIGGER_STATES: \"Runing\"",
        ),
        (
            &[
                ("LISTEN_ADDR", taken.as_str()),
                ("WEBHOOK_TOKEN", "example-token"),
            ][..],
            &format!("cannot listen on {taken}: "),
        ),
        (
            &[("FC_CUSTOM_LISTEN_PORT", "x")][..],
            "FC_CUSTOM_LISTEN_PORT: \"x\" is not a port",
        ),
        (
            &[("LISTEN_ADDR", "127.0.0.1:0"), ("WEBHOOK_TOKEN", "t,")][..],
            "WEBHOOK_TOKEN: a token is empty",
        ),
        // As the page has it, not filled in.
        (
            &[("LISTEN_ADDR", "127.0.0.1:0"), ("WEBHOOK_TOKEN", "TOKEN")][..],
            "WEBHOOK_TOKEN: a token has fewer than 12 characters",
        ),
        (
            &[("LISTEN_ADDR", "127.0.0.1:0"), ("WEBHOOK_URL", "here")][..],
            "WEBHOOK_URL: expected the address",
        ),
        (
            &[("LISTEN_ADDR", "127.0.0.1:0")][..],
            "WEBHOOK_TOKEN: not set, so every push would be unauthorized",
        ),
        (
            &[
                ("LISTEN_ADDR", "127.0.0.1:0"),
                ("WEBHOOK_URL", "https://archiver.example/"),
            ][..],
            "WEBHOOK_ACCOUNTS: not set; EventBridge signs for every customer",
        ),
        (
            &[
                ("LISTEN_ADDR", "127.0.0.1:0"),
                ("WEBHOOK_TOKEN", "example-token"),
                ("WEBHOOK_ALLOW_UNSIGNED", "true"),
            ][..],
            "WEBHOOK_ALLOW_UNSIGNED: true accepts pushes from anyone",
        ),
    ] {
        let output = Command::new(program("bootstrap"))
            .env_clear()
            .envs(settings.iter().cloned())
            .envs(own.iter().copied())
            .output()
            .await;
        let output = checked(output.unwrap());
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains(message),
            "{}",
            text(&output.stderr)
        );
    }
}

fn event_file(name: &str) -> Value {
    let file = root().join(format!("events/{name}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn cloudmonitor_pushes_its_subscriptions_as_json_and_as_a_form() {
    let server = webhook(&[("WEBHOOK_TOKEN", "example-token")]).await;
    let post = |body: String, content_type: &str| {
        let request = server.post("/", body);
        let request = request.header("x-eventbridge-signature-token", "example-token");
        request.header("content-type", content_type).send()
    };
    let subscription = event_file("cloudmonitor-subscription-stopping");
    let answer = post(subscription.to_string(), "application/json").await;
    assert_eq!(json_of(answer.unwrap()).await["outcome"], "stored");
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in subscription.as_object().unwrap() {
        match value {
            Value::String(text) => form.append_pair(name, text),
            value => form.append_pair(name, &value.to_string()),
        };
    }
    let answer = post(form.finish(), "application/x-www-form-urlencoded").await;
    assert_eq!(json_of(answer.unwrap()).await["outcome"], "already_stored");
}

#[tokio::test]
async fn a_cloud_event_in_binary_mode_is_captured() {
    let server = webhook(&[("WEBHOOK_TOKEN", "example-token")]).await;
    let envelope = event_file("cloudevents-binary-mode");
    let mut request = server.post("/", envelope["body"].as_str().unwrap().to_owned());
    for (name, value) in envelope["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    let answer = json_of(request.send().await.unwrap()).await;
    assert_eq!(answer["outcome"], "stored", "{answer}");
}

#[tokio::test]
async fn tens_of_thousands_of_events_in_one_push_are_one_error() {
    let server = webhook(&[("WEBHOOK_TOKEN", "example-token")]).await;
    let event = json!({"instance_id": "i-a"}).to_string();
    let body = format!("[{}]", vec![event; 40_000].join(",")); // As many as a push may be long.
    let request = server.post("/", body);
    let request = request.header("x-eventbridge-signature-token", "example-token");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let text = json_of(answer).await.to_string();
    assert!(text.contains("more than 1000 events"), "{text}");
    assert!(server.simulator.answered().is_empty());
}

#[tokio::test]
async fn what_alibabas_api_gateway_passes_on_needs_the_token_as_every_push_does() {
    let server = function_compute(&[("WEBHOOK_TOKEN", "example-token")]).await;
    let mut request = event_file("function-compute-api-gateway");
    for (token, status) in [("wrong", 401), ("example-token", 200)] {
        request["headers"]["X-EventBridge-Signature-Token"] = token.into();
        let answer = server.invoke(request.to_string()).send().await.unwrap();
        let answer = json_of(answer).await;
        assert_eq!(answer["statusCode"], status, "{answer}");
    }
}
