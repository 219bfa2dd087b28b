//! Credentials from every source there is, end to end: the real function, a simulator that takes
//! only keys it knows, and doubles of what gives them.

use std::sync::Arc;

use ecs_console_archiver::simulator::Simulator;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::runtime_api::Function;
use crate::support::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::support::token_server::{AWS_TOKEN, Behaviour, TokenServer};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
const ROLE: &str = "acs:ram::1:role/archiver";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

struct World {
    simulator: Arc<Simulator>,
    folder: tempfile::TempDir,
}

async fn world() -> World {
    World {
        simulator: Arc::new(simulator().await),
        folder: tempfile::tempdir().unwrap(),
    }
}

impl World {
    /// The settings besides those of credentials. `HOME` is an empty folder.
    fn settings(&self, credentials: &[(&str, &str)]) -> Settings {
        let mut all = settings(&[
            ("ECS_ENDPOINT_URL", &self.simulator.endpoint_url()),
            ("STS_ENDPOINT_URL", &self.simulator.endpoint_url()),
            ("HOME", self.folder.path().to_str().unwrap()),
        ]);
        all.extend(folder_settings(&self.folder.path().join("archive")));
        all.extend(settings(credentials));
        all
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What the calls to the API were.
    fn actions(&self) -> Vec<String> {
        let answered = self.simulator.answered().into_iter();
        answered
            .map(|a| format!("{} {}", a.action, a.answer))
            .collect()
    }
}

fn event() -> Vec<u8> {
    json!({"instance_id": ID, "region_id": "cn-hangzhou"})
        .to_string()
        .into_bytes()
}

async fn check_captures(settings: &Settings) {
    let function = Function::start(settings).await;
    let reply = function.result_of(&event()).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
}

/// As a server or a person runs it: no function host.
async fn check_captures_by_hand(settings: &Settings) {
    let output = cli(settings, &["capture", ID, "--region", "cn-hangzhou"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn base_key() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ecs-key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ECS_SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", ECS_TOKEN),
    ]
}

#[tokio::test]
async fn a_key_may_assume_a_role_in_another_account() {
    let world = world().await;
    let mut credentials = base_key();
    credentials.push(("ALIBABA_CLOUD_ROLE_ARN", ROLE));
    check_captures(&world.settings(&credentials)).await;
    let expected = ["AssumeRole 200", "GetInstanceConsoleOutput 200"];
    assert_eq!(world.actions(), expected);
}

#[tokio::test]
async fn an_oidc_token_in_a_file_is_enough() {
    let world = world().await;
    world.write("token", "eyJ.pod-token-that-must-not-show.x\n");
    world
        .simulator
        .trust_oidc_token("eyJ.pod-token-that-must-not-show.x");
    let file = world.folder.path().join("token");
    let settings = world.settings(&[
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1:oidc-provider/p",
        ),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_str().unwrap()),
    ]);
    check_captures(&settings).await;
    world.write("token", "eyJ.other-token-that-must-not-show.x");
    let function = Function::start(&settings).await;
    let (error_type, message) = function.failure_of(&event()).await;
    assert_eq!(error_type, "CredentialsRefused", "{message}");
    assert!(
        message.contains("AuthenticationFail.OIDCToken"),
        "{message}"
    );
}

fn aws(server: &TokenServer) -> Settings {
    settings(&[
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_STS", &server.url()),
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1:oidc-provider/aws",
        ),
        ("ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE", "sts.aliyuncs.com"),
    ])
}

#[tokio::test]
async fn on_aws_no_alibaba_key_is_needed_at_all() {
    let world = world().await;
    world.simulator.trust_oidc_token(AWS_TOKEN);
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
    let mut settings = world.settings(&[]);
    settings.extend(aws(&server));
    let function = Function::start(&settings).await;
    for outcome in ["stored", "already_stored"] {
        assert_eq!(function.result_of(&event()).await["outcome"], outcome);
    }
    assert_eq!(server.asked(), ["POST /"], "the keys are kept");
}

#[tokio::test]
async fn what_aws_refuses_says_what_to_mend() {
    let world = world().await;
    for (code, advice) in [
        ("AccessDenied", "must allow sts:GetWebIdentityToken"),
        (
            "OutboundWebIdentityFederationDisabled",
            "enable outbound web identity federation",
        ),
    ] {
        let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Refuses(code)).await;
        let mut settings = world.settings(&[]);
        settings.extend(aws(&server));
        let function = Function::start(&settings).await;
        let (error_type, message) = function.failure_of(&event()).await;
        assert_eq!(error_type, "CredentialsRefused", "{message}");
        assert!(message.contains(advice), "{message}");
    }
}

#[tokio::test]
async fn the_role_of_an_instance_is_found_by_its_metadata() {
    let world = world().await;
    for (behaviour, requests) in [(Behaviour::Good, 3), (Behaviour::NoMetadataToken, 3)] {
        let server = TokenServer::start(&world.simulator, HOUR, behaviour).await;
        let settings = world.settings(&[("ECS_METADATA_ENDPOINT_URL", &server.url())]);
        check_captures_by_hand(&settings).await;
        assert_eq!(server.asked().len(), requests, "{:?}", server.asked());
    }
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
    let settings = world.settings(&[
        ("ECS_METADATA_ENDPOINT_URL", &server.url()),
        ("ALIBABA_CLOUD_ECS_METADATA", "archiver-role"),
    ]);
    check_captures_by_hand(&settings).await;
    assert_eq!(
        server.asked().len(),
        2,
        "its name is known: {:?}",
        server.asked()
    );
}

#[tokio::test]
async fn metadata_without_a_token_can_be_forbidden() {
    let world = world().await;
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::NoMetadataToken).await;
    let settings = world.settings(&[
        ("ECS_METADATA_ENDPOINT_URL", &server.url()),
        ("ALIBABA_CLOUD_IMDSV1_DISABLED", "true"),
    ]);
    let output = cli(&settings, &["capture", ID, "--region", "cn-hangzhou"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("gives no token"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(server.asked(), ["PUT /latest/api/token"]);
}

#[tokio::test]
async fn an_address_is_the_last_resort() {
    let world = world().await;
    for behaviour in [Behaviour::Stalls, Behaviour::NoRole] {
        let server = TokenServer::start(&world.simulator, HOUR, behaviour).await;
        let uri = format!("{}/credentials", server.url());
        let settings = world.settings(&[
            ("ECS_METADATA_ENDPOINT_URL", &server.url()),
            ("ALIBABA_CLOUD_CREDENTIALS_URI", &uri),
        ]);
        check_captures_by_hand(&settings).await;
        assert_eq!(server.asked().last().unwrap(), "GET /credentials");
    }
}

#[tokio::test]
async fn the_files_of_the_cli_and_the_sdks_are_read_in_their_order() {
    let world = world().await;
    let keys = format!(
        r#""access_key_id": "ecs-key", "access_key_secret": "{ECS_SECRET}", "sts_token": "{ECS_TOKEN}""#
    );
    world.write(
        ".alibabacloud/credentials.ini",
        "[default]\ntype = access_key\naccess_key_id = wrong\naccess_key_secret = wrong\n",
    );
    let cli_file = |mode: &str| {
        let more = r#""ram_role_arn": "acs:ram::1:role/r""#;
        format!(
            r#"{{"current": "p", "profiles": [{{"name": "p", "mode": "{mode}", {keys}, {more}}}]}}"#
        )
    };
    for mode in ["StsToken", "RamRoleArn"] {
        world.write(".aliyun/config.json", &cli_file(mode));
        // Its session policy is the file's, which has none.
        if mode == "StsToken" {
            check_captures_by_hand(&world.settings(&[])).await;
        }
    }
    let off = [("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true")];
    let output = cli(
        &world.settings(&off),
        &["capture", ID, "--region", "cn-hangzhou"],
    )
    .await;
    let message = text(&output.stderr);
    assert!(
        message.contains("InvalidAccessKeyId"),
        "the second file's key: {message}"
    );
    world.write(".aliyun/config.json", "{ broken");
    let output = cli(&world.settings(&[]), &["capture", ID]).await;
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("ALIBABA_CLOUD_PROFILE") && message.contains("config.json"),
        "{message}"
    );
}

#[tokio::test]
async fn keys_that_end_soon_are_fetched_anew_before_they_do() {
    let world = world().await;
    let minute = SignedDuration::from_mins(1);
    let server = TokenServer::start(&world.simulator, minute, Behaviour::Good).await;
    let uri = format!("{}/credentials", server.url());
    let function =
        Function::start(&world.settings(&[("ALIBABA_CLOUD_CREDENTIALS_URI", &uri)])).await;
    for _ in 0..3 {
        function.result_of(&event()).await;
    }
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn keys_that_ended_in_mid_run_are_replaced_by_fresh_ones() {
    let world = world().await;
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
    let uri = format!("{}/credentials", server.url());
    let function =
        Function::start(&world.settings(&[("ALIBABA_CLOUD_CREDENTIALS_URI", &uri)])).await;
    function.result_of(&event()).await;
    world.simulator.end_sessions();
    function.result_of(&event()).await;
    assert_eq!(server.asked().len(), 2);
    let actions = world.actions();
    assert!(
        actions[1].contains("403 InvalidSecurityToken.Expired"),
        "{actions:?}"
    );
}

#[tokio::test]
async fn settings_that_are_only_partly_there_are_named() {
    let world = world().await;
    for (credentials, missing) in [
        (
            &[("ALIBABA_CLOUD_ACCESS_KEY_ID", "a")][..],
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ),
        (
            &[("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "a")],
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        (
            &[("ALIBABA_CLOUD_ROLE_ARN", ROLE)],
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        ),
        (
            &[("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/t")],
            "ALIBABA_CLOUD_ROLE_ARN",
        ),
        (
            &[
                ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
                ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "p"),
            ],
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
        ),
        (
            &[("ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE", "a")],
            "AWS_ACCESS_KEY_ID",
        ),
        (
            &[("ALIBABA_CLOUD_CREDENTIALS_URI", "here")],
            "ALIBABA_CLOUD_CREDENTIALS_URI",
        ),
        (
            &[("ALIBABA_CLOUD_CREDENTIALS_FILE", "/nowhere")],
            "ALIBABA_CLOUD_CREDENTIALS_FILE",
        ),
    ] {
        let output = cli(&world.settings(credentials), &["capture", ID]).await;
        assert_eq!(output.status.code(), Some(2), "{credentials:?}");
        let message = text(&output.stderr);
        assert!(message.contains(missing), "{credentials:?}: {message}");
    }
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_the_services_own_word() {
    let world = world().await;
    let mut credentials = base_key();
    credentials.push(("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/unknown"));
    let function = Function::start(&world.settings(&credentials)).await;
    let (error_type, message) = function.failure_of(&event()).await;
    assert_eq!(error_type, "CredentialsRefused");
    assert!(message.contains("EntityNotExist.Role"), "{message}");
}
