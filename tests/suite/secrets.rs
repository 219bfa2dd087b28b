//! The webhook token and the access key from a secrets manager, end to end: the real programs, and
//! doubles of the managers.

use ecs_console_archiver::simulator::Simulator;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::raw_server::{Raw, RawServer, most_unread};
use crate::support::receiver::{Server, webhook};
use crate::support::runtime_api::{Answer, Function, SHORT_TIMEOUT};
use crate::support::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::support::secret_server::{Behaviour, KMS_ARN, PARAMETER_ARN, SECRET_ARN, SecretServer};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
const OLD: &str = "old-token-that-must-not-show";
const NEW: &str = "new-token-that-must-not-show";
const DOWN: Behaviour = Behaviour::Refuses(503, "ServiceUnavailable", "");

fn aws(server: &SecretServer) -> Settings {
    settings(&[
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &server.url()),
        ("AWS_ENDPOINT_URL_SSM", &server.url()),
    ])
}

/// The settings of a function whose access key is in Secrets Manager.
fn key_in(server: &SecretServer, simulator: &Simulator, folder: &tempfile::TempDir) -> Settings {
    let mut all = ecs_settings(simulator);
    all.retain(|(name, _)| !name.contains("ACCESS_KEY") && !name.contains("SECURITY_TOKEN"));
    all.extend(folder_settings(folder.path()));
    all.extend(aws(server));
    all.push(("ALIBABA_CLOUD_ACCESS_KEY_ARN".into(), SECRET_ARN.into()));
    all
}

/// The value of a secret with a new session's key.
fn session_key(simulator: &Simulator) -> String {
    let session = simulator.open_session(SignedDuration::from_hours(1));
    let keys = session.credentials;
    json!({
        "AccessKeyId": keys.access_key_id,
        "AccessKeySecret": keys.access_key_secret.expose(),
        "SecurityToken": keys.security_token.unwrap().expose(),
    })
    .to_string()
}

fn lasting_key() -> String {
    json!({"access_key_id": "ecs-key", "access_key_secret": ECS_SECRET, "security_token": ECS_TOKEN})
        .to_string()
}

fn manual() -> Vec<u8> {
    json!({"instance_id": ID}).to_string().into_bytes()
}

/// A push through a function URL.
async fn push_to(function: &Function, token: &str) -> Value {
    let payload = json!({
        "version": "2.0", "rawPath": "/", "isBase64Encoded": false,
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "headers": {"x-eventbridge-signature-token": token},
        "body": starting(ID),
    });
    function.result_of(payload.to_string().as_bytes()).await["statusCode"].clone()
}

async fn push(server: &Server, token: &str) -> u16 {
    let push = server.post("/", starting(ID));
    let push = push.header("x-eventbridge-signature-token", token);
    push.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn on_lambda_a_token_is_rotated_without_a_restart() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    for (arn, wrap) in [(SECRET_ARN, true), (PARAMETER_ARN, false)] {
        let value = |token: &str| match wrap {
            true => json!({"token": token}).to_string(),
            false => format!("{token}\n"),
        };
        let manager = SecretServer::start(&value(OLD)).await;
        let mut all = ecs_settings(&simulator);
        all.extend(folder_settings(folder.path()));
        all.extend(aws(&manager));
        let member = if wrap { "#token" } else { "" };
        all.push(("WEBHOOK_TOKEN_ARN".into(), format!("{arn}{member}")));
        let function = Function::start(&all).await;
        assert_eq!(manager.asked(), 0, "it is read when it is needed");
        assert_eq!(push_to(&function, OLD).await, 200);
        assert_eq!(push_to(&function, OLD).await, 200);
        assert_eq!(manager.asked(), 1);
        manager.give(&value(NEW));
        assert_eq!(push_to(&function, NEW).await, 200);
        assert_eq!(push_to(&function, OLD).await, 401);
        assert_eq!(manager.asked(), 2);
    }
}

#[tokio::test]
async fn a_receiver_reads_its_token_from_kms_and_takes_two_while_they_are_replaced() {
    let manager = SecretServer::start(&format!("{NEW},{OLD}")).await;
    let server = webhook(&[
        ("WEBHOOK_TOKEN_ARN", KMS_ARN),
        ("KMS_ENDPOINT_URL", &manager.url()),
        // The double knows the key without a token.
        ("ALIBABA_CLOUD_SECURITY_TOKEN", ""),
    ])
    .await;
    for (token, is_known) in [(OLD, true), (NEW, true), ("a-word-of-nobody", false)] {
        assert_eq!(push(&server, token).await != 401, is_known, "{token}");
    }
    manager.give(NEW);
    let (is_good, log) = server.terminate().await;
    assert!(is_good, "{log}");
}

#[tokio::test]
async fn a_flood_of_unknown_tokens_leads_to_one_reading() {
    let manager = SecretServer::start(OLD).await;
    let all = aws(&manager);
    let mut own: Vec<_> = all.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    own.push(("WEBHOOK_TOKEN_ARN", SECRET_ARN));
    let server = webhook(&own).await;
    assert_eq!(push(&server, OLD).await, 200);
    let pushes = (0..40).map(|_| push(&server, "a-word-of-nobody"));
    let statuses = futures_util::future::join_all(pushes).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(manager.asked(), 2, "at its start, and once for all of them");
}

#[tokio::test]
async fn while_no_token_can_be_read_pushes_are_to_come_again() {
    let manager = SecretServer::start(OLD).await;
    manager.set(Behaviour::Refuses(
        400,
        "AccessDeniedException",
        "User is not authorized to perform: secretsmanager:GetSecretValue",
    ));
    let all = aws(&manager);
    let mut own: Vec<_> = all.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    own.push(("WEBHOOK_TOKEN_ARN", SECRET_ARN));
    let mut server = webhook(&own).await;
    // A wrong setting is in the log before the first push.
    server
        .wait_for("the webhook token cannot be read: AWS Secrets Manager answered 400")
        .await;
    assert_eq!(push(&server, OLD).await, 503);
    manager.give(OLD);
    // The next reading begins within a second.
    while push(&server, OLD).await != 200 {}
}

#[tokio::test]
async fn an_access_key_is_rotated_without_a_restart() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let manager = SecretServer::start(&session_key(&simulator)).await;
    let function = Function::start(&key_in(&manager, &simulator, &folder)).await;
    for outcome in ["stored", "already_stored"] {
        assert_eq!(function.result_of(&manual()).await["outcome"], outcome);
    }
    assert_eq!(manager.asked(), 1, "it is kept");
    simulator.end_sessions();
    manager.give(&session_key(&simulator));
    let reply = function.result_of(&manual()).await;
    assert_eq!(reply["outcome"], "already_stored", "{reply}");
    assert_eq!(manager.asked(), 2);
}

#[tokio::test]
async fn an_outage_of_the_manager_does_not_matter_while_the_key_is_good() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let manager = SecretServer::start(&lasting_key()).await;
    manager.set(DOWN);
    let function = Function::start(&key_in(&manager, &simulator, &folder)).await;
    let answer = function.invoke(&manual(), SHORT_TIMEOUT).await;
    let Answer::Error {
        error_type,
        error_message,
    } = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(error_type, "CredentialsUnavailable", "{error_message}");
    assert!(
        error_message.contains("AWS Secrets Manager answered 503"),
        "{error_message}"
    );
    manager.give(&lasting_key());
    assert_eq!(function.result_of(&manual()).await["outcome"], "stored");
    manager.set(DOWN);
    assert_eq!(
        function.result_of(&manual()).await["outcome"],
        "already_stored"
    );
}

#[tokio::test]
async fn what_a_manager_refuses_and_what_is_no_key_says_so() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let manager = SecretServer::start("").await;
    let gives = |text: &str| Behaviour::Gives(text.to_owned());
    for (behaviour, said) in [
        (
            Behaviour::Refuses(400, "AccessDeniedException", "Access to KMS is not allowed"),
            "AccessDeniedException Access to KMS is not allowed",
        ),
        (
            gives("hush-that-must-not-show"),
            "is not an access key: it is not a JSON object",
        ),
        (
            gives(r#"{"access_key_id":"a"}"#),
            "it has no member access_key_secret",
        ),
    ] {
        manager.set(behaviour);
        let function = Function::start(&key_in(&manager, &simulator, &folder)).await;
        let (error_type, message) = function.failure_of(&manual()).await;
        assert_eq!(error_type, "CredentialsRefused", "{message}");
        assert!(
            message.contains(said) && message.contains(SECRET_ARN),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_endless_or_of_somebody_else_is_bounded() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let manager = SecretServer::start("").await;
    for (answer, error_type, said) in [
        (
            Raw::new(200, vec![b'h'; 4096]).endless(),
            "CredentialsRefused",
            "is too long",
        ),
        (
            Raw::new(200, "<html/>"),
            "CredentialsUnavailable",
            "without a secret",
        ),
        (
            Raw::new(200, "{}").with_length(100),
            "CredentialsUnavailable",
            "does not answer",
        ),
    ] {
        let raw = RawServer::start(answer).await;
        let mut all = key_in(&manager, &simulator, &folder);
        all.push(("AWS_ENDPOINT_URL_SECRETS_MANAGER".into(), raw.url()));
        let function = Function::start(&all).await;
        let answer = function.invoke(&manual(), SHORT_TIMEOUT).await;
        let Answer::Error {
            error_type: found,
            error_message,
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(found, error_type, "{error_message}");
        assert!(error_message.contains(said), "{error_message}");
        // Whatever the answer, its end is not waited for, on any of the attempts.
        let most = raw.asked() as u64 * (most_unread() + (1 << 20));
        assert!(raw.sent() <= most, "{} > {most}", raw.sent());
    }
}

async fn doctor(settings: &Settings) -> (Value, String) {
    let arguments = ["doctor", "--timeout", "2", "--output", "json"];
    let output = cli(settings, &arguments).await;
    let printed = text(&output.stdout);
    (serde_json::from_str(&printed).unwrap(), printed)
}

#[tokio::test]
async fn doctor_reads_every_secret_and_says_what_to_mend() {
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let (key, token) = (
        SecretServer::start(&lasting_key()).await,
        SecretServer::start(OLD).await,
    );
    let mut all = key_in(&key, &simulator, &folder);
    all.push(("WEBHOOK_TOKEN_ARN".into(), PARAMETER_ARN.into()));
    all.push(("AWS_ENDPOINT_URL_SSM".into(), token.url()));
    let check = |diagnosis: &Value, name: &str| {
        let checks = diagnosis["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap()
            .clone()
    };
    let (diagnosis, printed) = doctor(&all).await;
    assert_eq!(diagnosis["verdict"], "ok", "{printed}");
    let found = check(&diagnosis, "secret: access key")["found"].clone();
    assert!(
        found
            .as_str()
            .unwrap()
            .starts_with("the access key ecs-key in arn:"),
        "{found}"
    );
    let found = check(&diagnosis, "secret: webhook token")["found"].clone();
    assert!(
        found.as_str().unwrap().starts_with("1 token in arn:"),
        "{found}"
    );
    let refuses = |code, message| Behaviour::Refuses(400, code, message);
    for (behaviour, advice) in [
        (
            refuses("AccessDeniedException", "not authorized"),
            "allow ssm:GetParameter on arn:",
        ),
        (refuses("InvalidKeyId", ""), "allow kms:Decrypt"),
        (refuses("ParameterNotFound", ""), "check the ARN arn:"),
        (
            refuses("UnrecognizedClientException", ""),
            "AWS_ACCESS_KEY_ID",
        ),
        (refuses("RequestExpired", ""), "set this machine's clock"),
        (Behaviour::Gives("short".into()), "store another value"),
        (
            Behaviour::Gives(json!({"token": OLD}).to_string()),
            "#MEMBER",
        ),
    ] {
        token.set(behaviour);
        let (diagnosis, printed) = doctor(&all).await;
        let check = check(&diagnosis, "secret: webhook token");
        assert_eq!(check["verdict"], "failed", "{printed}");
        assert!(
            check["advice"].as_str().unwrap().contains(advice),
            "{check}"
        );
    }
}
