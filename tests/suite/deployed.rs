//! `console-archive doctor --deployed`: a deployed function says what it is, and checks itself.

use std::sync::Arc;

use ecs_console_archiver::archive::probe::PROBE_KEY;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::queue::PROBE;
use ecs_console_archiver::simulator::{Cache, Guest, InvocationFault, Screen};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::function_compute::Platform;
use crate::support::receiver;
use crate::support::runtime_api::{Answer, Function, SHORT_TIMEOUT, TIMEOUT};
use crate::support::s3_server::{Denied, Profile};
use crate::support::sqs_server::SqsServer;
use crate::support::token_server::{AWS_ARN, Behaviour, TokenServer};
use crate::support::*;

const ASK: &str = r#"{"doctor": {}}"#;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a function says of itself.
#[derive(Debug)]
struct Examined(Value);

impl Examined {
    #[track_caller]
    fn of(answer: Value) -> Self {
        assert_eq!(answer["outcome"], "examined", "{answer}");
        assert_eq!(answer["version"], VERSION);
        Self(answer)
    }

    #[track_caller]
    fn check(&self, name: &str, verdict: &str, said: &str) -> &Self {
        let checks = self.0["checks"].as_array().unwrap();
        let found = checks.iter().any(|check| {
            let member = |name: &str| check[name].as_str().unwrap_or_default();
            (member("name"), member("verdict")) == (name, verdict)
                && (member("found").contains(said)
                    || member("advice").contains(said)
                    || member("error_type") == said)
        });
        assert!(found, "{name} {verdict} {said:?}: {:#}", self.0);
        self
    }

    /// Nothing but these has failed.
    #[track_caller]
    fn only_failed(&self, names: &[&str]) {
        let checks = self.0["checks"].as_array().unwrap();
        let failed = checks.iter().filter(|check| check["verdict"] == "failed");
        let failed: Vec<_> = failed.map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(failed, names, "{:#}", self.0);
    }

    fn settings(&self) -> Vec<&str> {
        let settings = self.0["settings"].as_array().unwrap();
        settings.iter().map(|name| name.as_str().unwrap()).collect()
    }
}

/// What a function on AWS Lambda works with.
pub struct OnLambda {
    pub bucket: Bucket,
    queue: SqsServer,
    _tokens: TokenServer,
    pub settings: Settings,
}

impl OnLambda {
    pub async fn prepare(profile: Profile, behaviour: Behaviour) -> Self {
        let bucket = Bucket::start(profile).await;
        let queue = SqsServer::start().await;
        let simulator = Arc::new(simulator().await);
        let tokens = TokenServer::start(&simulator, SignedDuration::from_hours(1), behaviour).await;
        let mut all = bucket.settings.clone();
        all.extend(settings(&[
            ("FOLLOW_QUEUE_URL", &queue.queue_url()),
            ("FOLLOW_SECONDS", "300"),
            ("AWS_ENDPOINT_URL_STS", &tokens.url()),
            ("WEBHOOK_TOKEN", "webhook-token-that-must-not-show"),
        ]));
        Self {
            bucket,
            queue,
            _tokens: tokens,
            settings: all,
        }
    }
}

async fn examined(function: &Function, event: &str) -> Examined {
    Examined::of(function.result_of(event.as_bytes()).await)
}

#[tokio::test]
async fn a_function_on_lambda_says_who_it_is_on_both_clouds_and_what_works() {
    let deployment = OnLambda::prepare(Profile::Aws, Behaviour::Good).await;
    let function = Function::start(&deployment.settings).await;
    for _ in 0..2 {
        let examined = examined(&function, ASK).await;
        examined.only_failed(&[]);
        let is_ok = |check: &Value| check["verdict"] == "ok";
        assert!(
            examined.0["checks"].as_array().unwrap().iter().all(is_ok),
            "{examined:?}"
        );
        let of_function = "console-archiver on AWS Lambda: 60 s for this invocation, 128 MiB";
        examined
            .check("function", "ok", of_function)
            .check("identity: AWS", "ok", AWS_ARN)
            .check("identity: Alibaba Cloud", "ok", "acs:ram::")
            .check("ecs: console", "ok", "InvalidInstanceId.NotFound")
            .check("ecs: screenshot", "ok", "InvalidInstanceId.NotFound")
            .check("ecs: instances", "ok", "in cn-hangzhou")
            .check("archive: write", "ok", PROBE_KEY)
            .check("archive: create only", "ok", "not replaced")
            .check("follow queue", "ok", "at most 900 s")
            .check("failed events", "ok", "the platform")
            .check("http senders", "ok", "1 token");
        let names: Vec<_> = examined.settings();
        for (name, value) in &deployment.settings {
            assert!(names.contains(&name.as_str()), "{name}");
            // Only some texts that are in none of the settings may be in the answer.
            let is_told = ["cn-hangzhou", "300"].contains(&value.as_str());
            assert!(is_told || !names.contains(&value.as_str()), "{value}");
        }
        assert!(names.contains(&"AWS_LAMBDA_FUNCTION_NAME") && !names.contains(&"LISTEN_ADDR"));
        let sent = deployment.queue.take_sent().unwrap();
        assert_eq!((sent.body.as_str(), sent.delay_seconds), (PROBE, 0));
    }
    let keys: Vec<_> = deployment.bucket.server.objects().into_keys().collect();
    assert_eq!(keys, [format!("kept/here/{PROBE_KEY}")]);
    // The function ignores its own probe.
    let answer = function.result_of(PROBE.as_bytes()).await;
    assert_eq!(answer["outcome"], "ignored");
    let log = function.stop().await;
    assert!(log.contains("examined"), "{log}");
}

#[tokio::test]
async fn what_does_not_work_is_told_for_each_part_by_itself() {
    let mut deployment = OnLambda::prepare(Profile::Aws, Behaviour::Refuses("AccessDenied")).await;
    let settings = &mut deployment.settings;
    settings.retain(|(name, _)| name != "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    settings.push((
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET".into(),
        "another-that-must-not-show".into(),
    ));
    deployment.bucket.server.deny(&[Denied::Put]);
    deployment.queue.fault_next(403, "AccessDenied");
    let function = Function::start(settings).await;
    let examined = examined(&function, ASK).await;
    examined
        .check(
            "identity: AWS",
            "failed",
            "must allow sts:GetCallerIdentity",
        )
        .check("identity: Alibaba Cloud", "failed", "CredentialsRefused")
        .check("ecs: console", "failed", "EcsDenied")
        .check("ecs: screenshot", "skipped", "see ecs: console")
        .check("ecs: instances", "skipped", "see ecs: console")
        .check("archive: write", "failed", "ArchiveDenied")
        .check("archive: create only", "skipped", "nothing can be written")
        .check("follow queue", "failed", "QueueRefused");
    examined.only_failed(&[
        "identity: Alibaba Cloud",
        "identity: AWS",
        "ecs: console",
        "archive: write",
        "follow queue",
    ]);
    // It is an answer, and no failure that an alarm counts or that anyone keeps.
    assert!(deployment.bucket.server.objects().is_empty());
}

#[tokio::test]
async fn a_bucket_that_does_not_honour_the_condition_is_a_warning() {
    for (profile, said) in [
        (Profile::IgnoresConditions, "ARCHIVE_PROFILE=basic"),
        (Profile::Oss { versioned: true }, "without versioning"),
    ] {
        let mut bucket = Bucket::start(profile).await;
        let set = |settings: &mut Settings, name: &str, value: &str| {
            settings.retain(|(known, _)| known != name);
            settings.push((name.into(), value.into()));
        };
        if profile == Profile::IgnoresConditions {
            set(&mut bucket.settings, "ARCHIVE_PROFILE", "aws");
        }
        let function = Function::start(&bucket.settings).await;
        let examined = examined(&function, ASK).await;
        examined.check("archive: create only", "warning", said);
        examined.only_failed(&[]);
    }
    // A store that honours it, and a function that may write and nothing else.
    let bucket = Bucket::start(Profile::Oss { versioned: false }).await;
    bucket
        .server
        .deny(&[Denied::Get, Denied::List, Denied::Delete]);
    let mut settings = bucket.settings.clone();
    settings.push(("FAILED_EVENTS".into(), "archive".into()));
    let function = Function::start(&settings).await;
    let examined = examined(&function, ASK).await;
    examined
        .check("archive: create only", "ok", "not replaced")
        .check(
            "failed events",
            "ok",
            "which only a scheduled redrive needs",
        );
    examined.only_failed(&[]);
}

#[tokio::test]
async fn a_function_without_a_region_asks_in_the_one_it_is_given() {
    let bucket = Bucket::start(Profile::Aws).await;
    let mut settings = bucket.settings.clone();
    settings.retain(|(name, _)| name != "ALIBABA_CLOUD_REGION_ID");
    let function = Function::start(&settings).await;
    let without = examined(&function, ASK).await;
    without.check("ecs: console", "skipped", "give --region");
    without.only_failed(&[]);
    set_console(&bucket.simulator, "i-a1", b"hello", "2024-03-22 10:04:57");
    let asked = json!({"doctor": {
        "region_id": "cn-beijing", "instance_id": "i-a1", "of_a_later_version": true,
    }});
    let with = examined(&function, &asked.to_string()).await;
    with.check("ecs: console", "ok", "5 bytes of i-a1");
    with.check("ecs: instances", "ok", "in cn-beijing");
    // Its RAM policy is of a version before screenshots.
    let (status, code) = (403, "Forbidden.RAM".to_owned());
    let id = InstanceId::parse("i-a1").unwrap();
    let denied = Screen::Error { status, code };
    bucket.simulator.set_screen(&id, denied);
    let denied = examined(&function, &asked.to_string()).await;
    denied.only_failed(&[]);
    denied.check("ecs: screenshot", "warning", "ecs:GetInstanceScreenshot");
}

#[tokio::test]
async fn a_short_time_out_is_told() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let Answer::Response(answer) = function.invoke(ASK.as_bytes(), 2 * SHORT_TIMEOUT).await else {
        panic!("it failed");
    };
    let examined = Examined::of(answer);
    examined.check("function", "warning", "a time-out of 60 s or more");
    examined.check("archive: write", "ok", "");
}

#[tokio::test]
async fn on_function_compute_it_invokes_itself_with_the_keys_of_the_request() {
    let guest = Guest::new(Cache::lagging(std::time::Duration::ZERO));
    let mut platform = Platform::start("i-a1", guest, 0, &[]).await;
    let examined = Examined::of(platform.result_of(ASK).await);
    examined.only_failed(&[]);
    examined
        .check("function", "ok", "archiver on Function Compute: 60 s")
        .check("identity: Alibaba Cloud", "ok", "acs:ram::")
        .check("follow queue", "ok", "at most 3600 s")
        .check("archive: write", "ok", PROBE_KEY)
        .check("failed events", "ok", "list them");
    assert!(!examined.0.to_string().contains("identity: AWS"));
    let sent = platform.take_sent().unwrap();
    assert_eq!((sent.body.as_str(), sent.delay_seconds), (PROBE, 0));
    assert_eq!(sent.access_key_id, platform.latest_key);
    assert_eq!(platform.result_of(PROBE).await["outcome"], "ignored");

    let refused = InvocationFault::Refused(403, "AccessDenied");
    platform.server.simulator.plan_invocation_faults([refused]);
    let examined = Examined::of(platform.result_of(ASK).await);
    examined.check(
        "follow queue",
        "failed",
        "allow the function's role fc:InvokeFunction",
    );
    examined.only_failed(&["follow queue"]);
}

/// Other senders cannot read the answer, or must not.
#[tokio::test]
async fn only_a_direct_invocation_is_answered() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let ignored = |answer: &Value| {
        assert_eq!(answer["outcome"], "ignored", "{answer}");
        assert_eq!(answer["reason"], "indirect_doctor", "{answer}");
    };
    for indirect in [
        json!({"Type": "Notification", "Message": ASK, "TopicArn": "arn"}),
        json!({"triggerTime": "2024-03-22T02:04:41Z", "triggerName": "t", "payload": ASK}),
        json!({"version": "0", "detail-type": "x", "source": "y", "detail": {"doctor": {}}}),
    ] {
        ignored(&function.result_of(indirect.to_string().as_bytes()).await);
    }
    let many = function.result_of(format!("[{ASK}]").as_bytes()).await;
    ignored(&many[0]);
    let record = json!({"eventSource": "aws:sqs", "messageId": "m1", "body": ASK});
    let queue = json!({ "Records": [record] });
    let batch = function.result_of(queue.to_string().as_bytes()).await;
    assert_eq!(batch, json!({"batchItemFailures": []}));
    assert!(bucket.server.objects().is_empty(), "nothing was checked");

    // An authenticated sender of pushes is not the owner of the function.
    let http = json!({
        "version": "2.0", "rawPath": "/", "headers": {},
        "requestContext": {"http": {"method": "POST"}, "authorizer": {"iam": {"accessKey": "a"}}},
        "body": ASK, "isBase64Encoded": false,
    });
    let answer = function.result_of(http.to_string().as_bytes()).await;
    assert_ne!(answer["statusCode"], 200, "{answer}");
    assert!(bucket.server.objects().is_empty());

    let token = "webhook-token-that-must-not-show";
    let mut receiver = receiver::webhook(&[("WEBHOOK_TOKEN", token)]).await;
    let push = receiver.post("/", ASK);
    let push = push.header("x-eventbridge-signature-token", token);
    let answer = push.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["errorType"], "InvalidEvent");
    let message = answer["errorMessage"].as_str().unwrap();
    assert!(message.contains("not over HTTP"), "{message}");
    assert!(receiver.folder.path().read_dir().unwrap().next().is_none());
    receiver.begin_to_end().await;

    // A file is served by this machine.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doctor.json");
    std::fs::write(&file, ASK).unwrap();
    let file = file.to_str().unwrap();
    let output = cli(&bucket.settings, &["invoke", "--output", "json", file]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    ignored(&serde_json::from_slice(&output.stdout).unwrap());
    let (error_type, message) = function
        .failure_of(br#"{"doctor": {"region_id": "no region"}}"#)
        .await;
    assert_eq!(error_type, "InvalidEvent");
    assert!(
        message.contains("the doctor event cannot be read"),
        "{message}"
    );
    assert!(TIMEOUT > SHORT_TIMEOUT && bucket.server.objects().is_empty());
}
