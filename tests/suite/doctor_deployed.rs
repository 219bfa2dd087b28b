//! `console-archive doctor --deployed`: what a deployed function says of itself reaches a person, and
//! so does why it says nothing.

use std::time::Duration;

use ecs_console_archiver::simulator::{Cache, Guest};
use serde_json::{Value, json};

use crate::deployed::OnLambda;
use crate::support::function_compute::Platform;
use crate::support::function_compute_api::{
    self, Behaviour as OnFunctionCompute, FunctionComputeApi,
};
use crate::support::lambda_api::{
    ARN, Behaviour, LambdaApi, NAME, NOT_AUTHORIZED, RATE_EXCEEDED, TIMED_OUT,
};
use crate::support::runtime_api::Function;
use crate::support::s3_server::{ACCESS_KEY_ID, Denied, Profile, SECRET_ACCESS_KEY};
use crate::support::token_server::{AWS_ARN, Behaviour as Sts};
use crate::support::*;

/// A function on AWS Lambda, and the settings of who asks it.
struct Asked {
    deployment: OnLambda,
    api: LambdaApi,
    reader: Settings,
}

/// What the command printed, and its exit code.
struct Seen {
    code: Option<i32>,
    diagnosis: Value,
    printed: String,
}

impl Asked {
    async fn start() -> Self {
        let deployment = OnLambda::prepare(Profile::Aws, Sts::Good).await;
        let api = LambdaApi::start(Function::start(&deployment.settings).await).await;
        let reader = settings(&[
            ("AWS_ENDPOINT_URL_LAMBDA", &api.url()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ]);
        Self {
            deployment,
            api,
            reader,
        }
    }

    async fn doctor(&self, function: &str, more: &[&str]) -> Seen {
        doctor(&self.reader, function, more).await
    }
}

async fn doctor(reader: &Settings, function: &str, more: &[&str]) -> Seen {
    let mut arguments = vec!["doctor", "--output", "json", "--deployed", function];
    arguments.extend(more);
    let output = cli(reader, &arguments).await;
    Seen {
        code: output.status.code(),
        diagnosis: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        printed: text(&output.stdout) + &text(&output.stderr),
    }
}

impl Seen {
    #[track_caller]
    fn check(&self, name: &str, verdict: &str, said: &str) -> &Self {
        let checks = self.diagnosis["checks"].as_array().expect(&self.printed);
        let found = checks.iter().any(|check| {
            let member = |name: &str| check[name].as_str().unwrap_or_default();
            (member("name"), member("verdict")) == (name, verdict)
                && (member("found").contains(said) || member("advice").contains(said))
        });
        assert!(found, "{name} {verdict} {said:?}: {}", self.printed);
        self
    }

    #[track_caller]
    fn ends_with(&self, code: i32, verdict: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.printed);
        assert_eq!(self.diagnosis["verdict"], verdict, "{}", self.printed);
        self
    }
}

#[tokio::test]
async fn a_function_on_lambda_is_asked_by_its_name_its_alias_and_its_arn() {
    let asked = Asked::start().await;
    for function in [
        NAME,
        "console-archiver:live",
        ARN,
        &format!("{ARN}:$LATEST"),
    ] {
        let seen = asked.doctor(function, &[]).await;
        seen.ends_with(0, "ok")
            .check("invocation", "ok", function)
            .check("settings", "ok", "FOLLOW_QUEUE_URL")
            .check("function", "ok", "console-archiver on AWS Lambda")
            .check("identity: AWS", "ok", AWS_ARN)
            .check("archive: write", "ok", "doctor/probe.txt");
        let deployed = &seen.diagnosis["deployed"];
        assert_eq!(deployed["function"], function);
        assert_eq!(deployed["version"], env!("CARGO_PKG_VERSION"));
        let names = deployed["settings"].as_array().unwrap();
        assert!(names.contains(&json!("WEBHOOK_TOKEN")));
        assert_eq!(asked.api.take_asked(), [r#"{"doctor":{}}"#]);
    }
    let bucket = &asked.deployment.bucket;
    let console = fixture("i-bp1panicnoroot00001");
    let instance = [
        "--region",
        "cn-beijing",
        "--instance-id",
        "i-bp1panicnoroot00001",
    ];
    let seen = asked.doctor(NAME, &instance).await;
    let said = format!("{} bytes of i-bp1panicnoroot00001", console.len());
    seen.ends_with(0, "ok").check("ecs: console", "ok", &said);
    let question: Value = serde_json::from_str(&asked.api.take_asked()[0]).unwrap();
    let expected = json!({"region_id": "cn-beijing", "instance_id": "i-bp1panicnoroot00001"});
    assert_eq!(question["doctor"], expected);
    assert_eq!(bucket.server.objects().len(), 1, "nothing is captured");
}

#[tokio::test]
async fn people_get_the_functions_checks_as_a_table() {
    let asked = Asked::start().await;
    let output = cli(&asked.reader, &["doctor", "--deployed", NAME]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = text(&output.stdout);
    let rows: Vec<_> = shown
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert!(rows[0].starts_with("CHECK"), "{shown}");
    assert!(rows[1].starts_with("invocation") && rows[2].starts_with("settings"));
    assert!(shown.contains("identity: AWS") && shown.contains("WEBHOOK_TOKEN"));
}

#[tokio::test]
async fn what_fails_there_is_an_exit_code_here() {
    let asked = Asked::start().await;
    asked.deployment.bucket.server.deny(&[Denied::Put]);
    let seen = asked.doctor(NAME, &[]).await;
    seen.ends_with(1, "failed")
        .check("invocation", "ok", NAME)
        .check("archive: write", "failed", "PutObject");
}

#[tokio::test]
async fn why_a_function_says_nothing_comes_with_what_to_do() {
    let asked = Asked::start().await;
    let no_memory =
        r#"{"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 1 Error: exited"}"#;
    for (behaviour, found, advice) in [
        (
            Behaviour::RunsAnEarlierVersion,
            "does not know the question",
            "upgrade the function",
        ),
        (
            Behaviour::Refuses(403, "AccessDeniedException", NOT_AUTHORIZED),
            "403 AccessDeniedException: User: arn:aws:iam::123456789012:user/reader",
            "lambda:InvokeFunction on arn:aws:lambda:us-east-1:*:function:console-archiver",
        ),
        (
            Behaviour::Refuses(403, "ExpiredTokenException", "{}"),
            "ExpiredTokenException",
            "AWS_PROFILE",
        ),
        (
            Behaviour::Refuses(502, "KMSDisabledException", "{}"),
            "KMSDisabledException",
            "enable the KMS key",
        ),
        (
            Behaviour::Fails(TIMED_OUT),
            "after 3.00 seconds",
            "60 s or more",
        ),
        (
            Behaviour::Fails(no_memory),
            "Runtime.ExitError",
            "the function's log",
        ),
        (
            Behaviour::Answers(br#"{"statusCode": 200}"#.to_vec()),
            "as this program does not",
            "another program",
        ),
        (
            Behaviour::Answers(b"<html>portal</html>".to_vec()),
            "as this program does not",
            "another program",
        ),
        (
            Behaviour::Answers(br#"{"outcome": "examined", "version": 2}"#.to_vec()),
            "cannot be read",
            "upgrade console-archive",
        ),
        (
            Behaviour::Answers(vec![b' '; 300 << 10]),
            "more than 262144 bytes",
            "another program",
        ),
    ] {
        asked.api.plan([behaviour]);
        let seen = asked.doctor(NAME, &[]).await;
        seen.ends_with(1, "failed")
            .check("invocation", "failed", found)
            .check("invocation", "failed", advice);
        assert_eq!(seen.diagnosis["checks"].as_array().unwrap().len(), 1);
        assert_eq!(asked.api.take_asked().len(), 1, "{found}");
    }
    let other = asked.doctor("console-archiver:other", &[]).await;
    other
        .ends_with(1, "failed")
        .check("invocation", "failed", "404 ResourceNotFoundException")
        .check(
            "invocation",
            "failed",
            "no console-archiver:other in us-east-1",
        );
    asked.api.plan([Behaviour::Stalls]);
    let stalled = asked.doctor(NAME, &["--timeout", "1"]).await;
    stalled
        .ends_with(1, "failed")
        .check("invocation", "failed", "timed out after 1 s")
        .check("invocation", "failed", "--timeout");
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let asked = Asked::start().await;
    let expired = r#"{"message":"Signature expired: 20200101T000000Z is now earlier than"}"#;
    for (status, code, body) in [
        (429, "TooManyRequestsException", RATE_EXCEEDED),
        (500, "ServiceException", "{}"),
        (403, "InvalidSignatureException", expired),
    ] {
        asked.api.plan([Behaviour::Refuses(status, code, body)]);
        asked.doctor(NAME, &[]).await.ends_with(0, "ok");
        assert_eq!(asked.api.take_asked().len(), 2, "{code}");
    }
}

#[tokio::test]
async fn what_a_function_says_cannot_act_on_a_terminal() {
    let asked = Asked::start().await;
    let hostile = "a\u{1b}]0;x\u{7}\r\nb\u{202e}";
    let check = json!({"name": hostile, "verdict": "failed", "found": hostile, "advice": hostile});
    let answer = json!({
        "outcome": "examined", "version": hostile, "settings": [hostile], "checks": [check],
    });
    let failure = Behaviour::Fails(
        "{\"errorType\": \"a\\u001b\\u202e\", \"errorMessage\": \"a\\u001b\\u202e\\nb\"}",
    );
    let answers = Behaviour::Answers(answer.to_string().into_bytes());
    for behaviour in [answers, failure] {
        asked.api.plan([behaviour.clone(), behaviour]);
        for form in ["text", "json"] {
            let arguments = ["doctor", "--deployed", NAME, "--output", form];
            let output = cli(&asked.reader, &arguments).await;
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let printed = text(&output.stdout) + &text(&output.stderr);
            let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!printed.contains(acts), "{printed:?}");
        }
    }
    // Only this machine's settings have the exit code of settings.
    let check = json!({"name": "settings", "verdict": "failed", "found": "f"});
    let answer = json!({"outcome": "examined", "version": "1", "settings": [], "checks": [check]});
    let answer = answer.to_string().into_bytes();
    asked.api.plan([Behaviour::Answers(answer)]);
    let seen = asked.doctor(NAME, &[]).await;
    seen.ends_with(1, "failed")
        .check("settings", "ok", "none is set");
}

#[tokio::test]
async fn settings_and_names_that_are_wrong_are_told_before_anything_is_sent() {
    let mut asked = Asked::start().await;
    for (function, said) in [
        ("a/b", "is not the name of a function"),
        (
            "arn:aws:s3:::bucket",
            "arn:aws:lambda:REGION:ACCOUNT:function:NAME",
        ),
    ] {
        let seen = asked.doctor(function, &[]).await;
        assert_eq!(seen.code, Some(2), "{}", seen.printed);
        assert!(seen.printed.contains(said), "{}", seen.printed);
    }
    let both = ["--ecs-endpoint-url", "http://127.0.0.1:1"];
    assert_eq!(asked.doctor(NAME, &both).await.code, Some(2));
    let wrong = |settings: &mut Settings, name: &str, value: &str| {
        settings.retain(|(known, _)| known != name);
        settings.push((name.into(), value.into()));
    };
    let reader = asked.reader.clone();
    for (name, value, said) in [
        (
            "AWS_REGION",
            "",
            "AWS_REGION: not set; set it to the region of the function",
        ),
        ("AWS_REGION", "evil.example/", "AWS_REGION: "),
        (
            "AWS_ENDPOINT_URL_LAMBDA",
            "lambda",
            "AWS_ENDPOINT_URL_LAMBDA: expected an address",
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            "",
            "AWS_SECRET_ACCESS_KEY: not set",
        ),
        ("SSL_CERT_FILE", "/no/such/file", "SSL_CERT_FILE: "),
    ] {
        wrong(&mut asked.reader, name, value);
        let seen = asked.doctor(NAME, &[]).await;
        assert_eq!(seen.code, Some(2), "{}", seen.printed);
        assert!(seen.printed.contains(said), "{}", seen.printed);
        asked.reader = reader.clone();
    }
    assert_eq!(asked.api.take_asked(), [""; 0]);

    // An ARN has its own region.
    wrong(&mut asked.reader, "AWS_REGION", "");
    asked.doctor(ARN, &[]).await.ends_with(0, "ok");
    asked.reader = reader.clone();
    wrong(
        &mut asked.reader,
        "AWS_SECRET_ACCESS_KEY",
        "another-that-must-not-show",
    );
    let seen = asked.doctor(NAME, &[]).await;
    seen.ends_with(1, "failed")
        .check("invocation", "failed", "InvalidSignatureException")
        .check("invocation", "failed", "AWS_SECRET_ACCESS_KEY");
    asked.reader = reader;
    wrong(
        &mut asked.reader,
        "AWS_ENDPOINT_URL_LAMBDA",
        "http://127.0.0.1:1",
    );
    let seen = asked.doctor(NAME, &["--timeout", "1"]).await;
    seen.ends_with(1, "failed")
        .check("invocation", "failed", "AWS Lambda does not answer")
        .check("invocation", "failed", "AWS_ENDPOINT_URL_LAMBDA");
}

#[tokio::test]
async fn a_function_on_function_compute_is_asked_by_its_arn() {
    let guest = Guest::new(Cache::lagging(Duration::ZERO));
    let platform = Platform::start("i-a1", guest, 0, &[]).await;
    let api = FunctionComputeApi::start(platform).await;
    // A key and its token, as of a person's profile.
    let mut reader = settings(&[
        ("FUNCTION_COMPUTE_ENDPOINT_URL", &api.url()),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ecs-key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ECS_SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", ECS_TOKEN),
    ]);
    let arn = function_compute_api::ARN;
    for function in [arn, &format!("{arn}/prod")] {
        let seen = doctor(&reader, function, &[]).await;
        seen.ends_with(0, "ok")
            .check("invocation", "ok", function)
            .check("settings", "ok", "FUNCTION_COMPUTE_ENDPOINT_URL")
            .check("function", "ok", "archiver on Function Compute: 60 s")
            .check("identity: Alibaba Cloud", "ok", "acs:ram::")
            .check("follow queue", "ok", "at most 3600 s");
        assert_eq!(api.take_asked(), [r#"{"doctor":{}}"#]);
    }
    let denied = r#"{"Code": "AccessDenied", "Message": "the caller is not authorized"}"#;
    for (behaviour, found, advice) in [
        (
            OnFunctionCompute::RunsAnEarlierVersion,
            "does not know the question",
            "upgrade the function",
        ),
        (
            OnFunctionCompute::Refuses(403, denied),
            "InvokeFunction of archiver returned 403 AccessDenied: the caller is not authorized",
            "fc:InvokeFunction on acs:fc:cn-hangzhou:1690700000000030:functions/archiver and on",
        ),
        (
            OnFunctionCompute::Refuses(403, r#"{"errorCode": "InvalidAccessKeyID"}"#),
            "InvalidAccessKeyID",
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        (
            OnFunctionCompute::Fails(r#"{"errorMessage": "Function timed out after 3 seconds"}"#),
            "after 3 seconds",
            "60 s or more",
        ),
        (
            OnFunctionCompute::Fails(r#"{"errorMessage": "Process exited unexpectedly"}"#),
            "the function failed: Process exited",
            "the function's log",
        ),
        (
            OnFunctionCompute::Answers("<html>portal</html>"),
            "as this program does not",
            "another program",
        ),
    ] {
        api.plan([behaviour]);
        let seen = doctor(&reader, arn, &[]).await;
        seen.ends_with(1, "failed")
            .check("invocation", "failed", found)
            .check("invocation", "failed", advice);
        assert_eq!(api.take_asked().len(), 1, "{found}");
    }
    for passing in [
        OnFunctionCompute::Refuses(429, r#"{"Code": "ResourceExhausted"}"#),
        OnFunctionCompute::Refuses(503, ""),
        OnFunctionCompute::Refuses(403, r#"{"Code": "InvalidTimeStamp.Expired"}"#),
    ] {
        api.plan([passing]);
        doctor(&reader, arn, &[]).await.ends_with(0, "ok");
        assert_eq!(api.take_asked().len(), 2);
    }
    let other = doctor(&reader, &format!("{arn}-2"), &[]).await;
    other
        .ends_with(1, "failed")
        .check("invocation", "failed", "404 FunctionNotFound")
        .check("invocation", "failed", "there is no acs:fc:");
    reader.retain(|(name, _)| name != "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    assert_eq!(doctor(&reader, arn, &[]).await.code, Some(2));
    reader.push((
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET".into(),
        "another-that-must-not-show".into(),
    ));
    let wrong = doctor(&reader, arn, &[]).await;
    wrong
        .ends_with(1, "failed")
        .check("invocation", "failed", "SignatureNotMatch")
        .check("invocation", "failed", "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    reader.retain(|(name, _)| name != "FUNCTION_COMPUTE_ENDPOINT_URL");
    reader.push((
        "FUNCTION_COMPUTE_ENDPOINT_URL".into(),
        "http://127.0.0.1:1".into(),
    ));
    let away = doctor(&reader, arn, &["--timeout", "1"]).await;
    away.ends_with(1, "failed")
        .check("invocation", "failed", "Function Compute does not answer")
        .check("invocation", "failed", "FUNCTION_COMPUTE_ENDPOINT_URL");
}

#[tokio::test]
async fn the_role_of_the_functions_account_is_assumed_to_ask_it() {
    let guest = Guest::new(Cache::lagging(Duration::ZERO));
    let platform = Platform::start("i-a1", guest, 0, &[]).await;
    let simulator = platform.server.simulator.clone();
    let api = FunctionComputeApi::start(platform).await;
    let reader = settings(&[
        ("FUNCTION_COMPUTE_ENDPOINT_URL", &api.url()),
        ("STS_ENDPOINT_URL", &simulator.endpoint_url()),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ecs-key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ECS_SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", ECS_TOKEN),
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::{account}:role/reader"),
    ]);
    // The double knows the key alone, so it refuses the session's.
    let seen = doctor(&reader, function_compute_api::ARN, &[]).await;
    seen.ends_with(1, "failed");
    let assumed = simulator.assumed_roles();
    assert_eq!(assumed[0].arn, "acs:ram::1690700000000030:role/reader");
    assert!(assumed[0].has_policy);
}
