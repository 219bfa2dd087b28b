//! Credentials from every source there is, end to end: the real function, a simulator that takes
//! only keys it knows, and doubles of what gives them.

use std::sync::Arc;

use ecs_console_archiver::simulator::Simulator;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::raw_server::{Raw, RawServer};
use crate::support::runtime_api::Function;
use crate::support::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::support::token_server::{AWS_TOKEN, Behaviour, TokenServer};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
const ROLE: &str = "acs:ram::1690700000000030:role/archiver";
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
        // Here STS has the address of ECS, so the connection that is opened early for ECS may become a `HEAD`
        // over that of STS; it names no action.
        let answered = self.simulator.answered().into_iter();
        answered
            .map(|a| format!("{} {}", a.action, a.answer))
            .filter(|action| action != " 400 MissingParameter")
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
    credentials.push(("SCREENSHOTS", "never"));
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
        check_captures_by_hand(&world.settings(&[])).await;
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
    let function = Function::start(&world.settings(&[
        ("ALIBABA_CLOUD_CREDENTIALS_URI", &uri),
        ("SCREENSHOTS", "never"),
    ]))
    .await;
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
    let function = Function::start(&world.settings(&[
        ("ALIBABA_CLOUD_CREDENTIALS_URI", &uri),
        ("SCREENSHOTS", "never"),
    ]))
    .await;
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
            &[
                ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
                ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true"),
            ],
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
        (&[("ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE", "a")], "AWS_REGION"),
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

fn fixture_of(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/fixtures/credentials").join(name)).unwrap()
}

/// The SDKs' file with the key that the simulator knows.
fn sdk_file() -> String {
    format!(
        "[default]\ntype = sts\naccess_key_id = ecs-key\naccess_key_secret = {ECS_SECRET}\n\
         security_token = {ECS_TOKEN}\n"
    )
}

#[tokio::test]
async fn the_chain_goes_on_past_the_empty_profile_the_cli_leaves() {
    let world = world().await;
    let empty = fixture_of("empty-cli-profile.json");
    for empty in [
        empty.clone(),
        format!("\u{feff}{empty}"),
        empty.replace("\"AK\"", "\"StsToken\""),
        empty.replace("\"AK\"", "\"\""),
        String::new(),
        "{}".to_owned(),
    ] {
        world.write(".aliyun/config.json", &empty);
        world.write(".alibabacloud/credentials.ini", &sdk_file());
        check_captures_by_hand(&world.settings(&[])).await;
        std::fs::remove_dir_all(world.folder.path().join(".alibabacloud")).unwrap();
        let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
        let metadata = [("ECS_METADATA_ENDPOINT_URL", &*server.url())];
        check_captures_by_hand(&world.settings(&metadata)).await;
        assert_eq!(server.asked().len(), 3, "{empty}");
    }
    // The file without an ending, where credentials-go looks.
    world.write(".alibabacloud/credentials", &sdk_file());
    check_captures_by_hand(&world.settings(&[])).await;
}

#[tokio::test]
async fn the_profiles_region_is_the_default() {
    let world = world().await;
    world.write(".aliyun/config.json", &fixture_of("empty-cli-profile.json"));
    world.write(".alibabacloud/credentials.ini", &sdk_file());
    let output = cli(&world.settings(&[]), &["capture", ID]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = cli(
        &world.settings(&[("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true")]),
        &["capture", ID],
    )
    .await;
    assert_eq!(output.status.code(), Some(2), "there is no region then");
}

#[tokio::test]
async fn a_profile_that_is_partly_set_or_of_an_unknown_mode_is_named() {
    let world = world().await;
    world.write(".alibabacloud/credentials.ini", &sdk_file());
    let empty = fixture_of("empty-cli-profile.json");
    for (profile, what) in [
        (
            empty.replace("\"access_key_id\": \"\"", "\"access_key_id\": \"a\""),
            "has no access_key_secret",
        ),
        (
            empty.replace(
                "\"access_key_secret\": \"\"",
                "\"access_key_secret\": \"hush\"",
            ),
            "has no access_key_id",
        ),
        (
            empty.replace("\"AK\"", "\"RsaKeyPair\""),
            "the mode \"RsaKeyPair\"",
        ),
        (
            empty.replace("\"AK\"", "\"Telepathy\""),
            "the mode \"Telepathy\"",
        ),
    ] {
        world.write(".aliyun/config.json", &profile);
        let output = cli(&world.settings(&[]), &["capture", ID]).await;
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(
            message.contains(what) && !message.contains("hush"),
            "{message}"
        );
        assert_eq!(message.matches(what).count(), 1, "{message}");
    }
}

#[tokio::test]
async fn an_address_or_a_program_that_a_profile_names_gives_credentials() {
    let world = world().await;
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let profile = fixture_of("credentials-uri-profile.json").replace("{port}", &port);
    world.write(
        ".aliyun/config.json",
        &profile.replace("/creds", "/credentials"),
    );
    check_captures_by_hand(&world.settings(&[])).await;
    assert_eq!(server.asked(), ["GET /credentials"]);

    let keys = json!({
        "mode": "StsToken", "access_key_id": "ecs-key", "access_key_secret": ECS_SECRET,
        "sts_token": ECS_TOKEN,
    });
    world.write("my keys.json", &keys.to_string());
    let file = world.folder.path().join("my keys.json");
    let external = |command: &str| {
        let profile = fixture_of("empty-cli-profile.json").replace("\"AK\"", "\"External\"");
        let command = json!(command).to_string();
        profile.replace(
            "\"process_command\": \"\"",
            &format!("\"process_command\": {command}"),
        )
    };
    let command = format!("cat '{}'", file.display());
    world.write(".aliyun/config.json", &external(&command));
    let settings = world.settings(&[("PATH", &std::env::var("PATH").unwrap())]);
    check_captures_by_hand(&settings).await;
    let command = "sh -c 'echo secret-that-must-not-show >&2; exit 7'";
    world.write(".aliyun/config.json", &external(command));
    let output = cli(&settings, &["capture", ID]).await;
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("\"sh\" failed (exit status: 7)"),
        "{message}"
    );
}

#[tokio::test]
async fn a_session_that_the_cli_keeps_is_used_until_its_end() {
    let world = world().await;
    for mode in ["CloudSSO", "OAuth"] {
        let profile = |end: i64| {
            json!({"current": "p", "profiles": [{
                "name": "p", "mode": mode, "access_key_id": "ecs-key",
                "access_key_secret": ECS_SECRET, "sts_token": ECS_TOKEN, "sts_expiration": end,
                "region_id": "cn-hangzhou",
            }]})
            .to_string()
        };
        world.write(".aliyun/config.json", &profile(2_082_758_400));
        check_captures_by_hand(&world.settings(&[])).await;
        world.write(".aliyun/config.json", &profile(1_700_000_000));
        let output = cli(&world.settings(&[]), &["capture", ID]).await;
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let login = format!("aliyun configure --mode {mode} --profile p");
        assert!(message.contains(&login), "{message}");
        assert_eq!(message.matches("credentials").count(), 1, "{message}");
    }
}

#[tokio::test]
async fn the_instances_role_may_assume_another() {
    let world = world().await;
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
    let metadata = ("ECS_METADATA_ENDPOINT_URL", &*server.url());
    let role = ("ALIBABA_CLOUD_ROLE_ARN", ROLE);
    check_captures_by_hand(&world.settings(&[metadata, role])).await;
    let named = ("ALIBABA_CLOUD_ECS_METADATA", "archiver-role");
    check_captures_by_hand(&world.settings(&[metadata, role, named])).await;
    let profiles = json!({"current": "p", "profiles": [
        {"name": "p", "mode": "ChainableRamRoleArn", "source_profile": "i", "ram_role_arn": ROLE},
        {"name": "i", "mode": "EcsRamRole"},
        {"name": "q", "mode": "RamRoleArnWithRoleName", "ram_role_name": "archiver-role",
         "ram_role_arn": ROLE},
    ]});
    world.write(".aliyun/config.json", &profiles.to_string());
    for profile in ["p", "q"] {
        let profile = ("ALIBABA_CLOUD_PROFILE", profile);
        check_captures_by_hand(&world.settings(&[metadata, profile])).await;
    }
    assert_eq!(world.simulator.assumed_roles().len(), 4);
}

#[tokio::test]
async fn where_nothing_is_set_the_error_lists_what_was_looked_at_once() {
    let world = world().await;
    world.write(".aliyun/config.json", &fixture_of("empty-cli-profile.json"));
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::NoRole).await;
    let output = cli(
        &world.settings(&[("ECS_METADATA_ENDPOINT_URL", &server.url())]),
        &["capture", ID],
    )
    .await;
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(
        message.matches("there are no credentials").count(),
        1,
        "{message}"
    );
    let mut rest = &*message;
    for part in [
        "(1) ALIBABA_CLOUD_ACCESS_KEY_ID",
        "(2) ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        "profile \"default\" is empty",
        "there is no ~/.alibabacloud/credentials.ini",
        "the ECS metadata service",
        "ALIBABA_CLOUD_CREDENTIALS_URI is not set",
        "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    ] {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part} in {message}"));
        rest = &rest[at + part.len()..];
    }
}

#[tokio::test]
async fn a_key_of_a_session_that_was_revoked_is_replaced() {
    let world = world().await;
    let server = TokenServer::start(&world.simulator, HOUR, Behaviour::Good).await;
    let uri = format!("{}/credentials", server.url());
    let function =
        Function::start(&world.settings(&[("ALIBABA_CLOUD_CREDENTIALS_URI", &uri)])).await;
    function.result_of(&event()).await;
    world.simulator.revoke_sessions();
    function.result_of(&event()).await;
    assert_eq!(server.asked().len(), 2);
}

/// An archive in OSS, with credentials from an address.
async fn oss_by_address(behaviour: Behaviour) -> (Bucket, TokenServer, Settings) {
    let bucket = Bucket::start(crate::support::s3_server::Profile::Oss { versioned: false }).await;
    let simulator = Arc::new(simulator().await);
    let server = TokenServer::start(&simulator, HOUR, behaviour).await;
    let mut settings = bucket.settings.clone();
    settings.retain(|(name, _)| !name.starts_with("ALIBABA_CLOUD_ACCESS_KEY"));
    settings.extend(no_instance());
    let uri = format!("{}/credentials", server.url());
    settings.push(("ALIBABA_CLOUD_CREDENTIALS_URI".into(), uri));
    (bucket, server, settings)
}

#[tokio::test]
async fn credentials_that_the_bucket_refuses_are_replaced() {
    for code in [
        "InvalidAccessKeyId",
        "SecurityTokenExpired",
        "InvalidSecurityToken",
        "ExpiredToken",
    ] {
        let (bucket, server, settings) = oss_by_address(Behaviour::OfTheBucket).await;
        bucket
            .server
            .fault_next_put(crate::support::s3_server::Fault::Status(403, code));
        let output = cli(&settings, &["doctor", "--output", "json"]).await;
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = shown["checks"].as_array().unwrap();
        let write = checks
            .iter()
            .find(|check| check["name"] == "archive: write");
        assert_eq!(write.unwrap()["verdict"], "ok", "{code}: {shown}");
        assert_eq!(server.asked().len(), 2, "{code}");
    }
}

#[tokio::test]
async fn an_archive_without_credentials_says_so_at_once() {
    let (_bucket, server, settings) = oss_by_address(Behaviour::Forbidden).await;
    let output = cli(&settings, &["list"]).await;
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(
        message.matches("there are no credentials").count(),
        1,
        "{message}"
    );
    assert!(!message.contains("is unavailable"), "{message}");
    assert_eq!(server.asked(), ["GET /credentials"], "asked once");
}

/// A person's files of AWS, in a folder of their own.
fn aws_home(world: &World) -> Settings {
    world.write(
        ".aws/credentials",
        &format!(
            "[work]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"
        ),
    );
    world.write(".aws/config", "[profile work]\nregion = us-east-1\n");
    settings(&[
        ("HOME", world.folder.path().to_str().unwrap()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ])
}

#[tokio::test]
async fn the_command_line_takes_aws_credentials_and_region_from_profiles() {
    let world = world().await;
    let bucket = Bucket::start(crate::support::s3_server::Profile::Aws).await;
    let mut all = bucket.settings.clone();
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"];
    all.retain(|(name, _)| !keys.contains(&name.as_str()));
    all.extend(aws_home(&world));
    let mut named = all.clone();
    named.push(("AWS_PROFILE".into(), "work".into()));
    let output = cli(&named, &["capture", ID]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Without it, there is no default profile.
    let mut regional = all.clone();
    regional.push(("AWS_REGION".into(), "us-east-1".into()));
    let output = cli(&regional, &["list"]).await;
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(
        message.matches("there are no credentials").count(),
        1,
        "{message}"
    );
    for part in [
        "(1) AWS_ACCESS_KEY_ID",
        "(2) the profile \"default\"",
        "(5) the role of the EC2 instance",
        "aws sso login",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let output = cli(&all, &["list"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("AWS_REGION"));
    // What is set in part is named.
    regional.push(("AWS_ACCESS_KEY_ID".into(), "a".into()));
    let output = cli(&regional, &["list"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("AWS_SECRET_ACCESS_KEY: not set"));
}

#[tokio::test]
async fn the_function_takes_aws_credentials_from_its_environment_alone() {
    let world = world().await;
    let mut all = world.settings(&base_key());
    all.extend(aws_home(&world));
    all.extend(settings(&[
        ("ARCHIVE_URL", "s3://bucket-of-mine"),
        ("AWS_PROFILE", "work"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("WEBHOOK_TOKEN", "hush-hush-token"),
    ]));
    let mut command = tokio::process::Command::new(program("bootstrap"));
    command.env_clear().envs(all).kill_on_drop(true);
    let output = crate::support::printed::checked(command.output().await.unwrap());
    assert!(!output.status.success());
    let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(shown.contains("AWS_ACCESS_KEY_ID: not set"), "{shown}");
}

#[tokio::test]
async fn what_a_credential_process_writes_to_its_errors_is_not_shown() {
    let world = world().await;
    let mut all = aws_home(&world);
    world.write(
        ".aws/config",
        "[profile work]\nregion = us-east-1\n\
         credential_process = sh -c 'echo secret-that-must-not-show >&2; exit 3'\n",
    );
    std::fs::remove_file(world.folder.path().join(".aws/credentials")).unwrap();
    all.extend(settings(&[
        ("AWS_PROFILE", "work"),
        ("ARCHIVE_URL", "s3://bucket-of-mine"),
        ("PATH", &std::env::var("PATH").unwrap()),
    ]));
    let output = cli(&all, &["list", "--timeout", "5"]).await;
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("credential_process failed"), "{message}");
    assert!(!message.contains("must-not-show"), "{message}");
}

/// A capture by hand that fails in this way, and what is said of it; nothing asks ECS.
async fn refused_before_any_request(world: &World, settings: &Settings) -> String {
    let capture = ["capture", ID, "--region", "cn-hangzhou", "--timeout", "5"];
    let output = cli(settings, &capture).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(world.actions(), [""; 0], "{told}");
    assert!(
        !told.contains("timed out") && !told.contains("hush"),
        "{told}"
    );
    told
}

#[tokio::test]
async fn a_key_with_a_character_that_no_header_takes_is_a_wrong_setting_wherever_it_comes_from() {
    let of_environment = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "hush\nx"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush\u{200b}x"),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", "hush\r\nx"),
    ];
    for (name, value) in of_environment {
        let world = world().await;
        let mut credentials = base_key();
        credentials.retain(|(other, _)| *other != name);
        credentials.push((name, value));
        let told = refused_before_any_request(&world, &world.settings(&credentials)).await;
        assert!(told.contains(&format!("{name}: its character 5")), "{told}");
    }
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "hush\n"),
        ("AWS_SECRET_ACCESS_KEY", "hushé"),
        ("AWS_SESSION_TOKEN", "hush\u{7f}"),
    ] {
        let world = world().await;
        let mut settings = world.settings(&base_key());
        settings.extend(crate::support::settings(&[
            ("ARCHIVE_URL", "s3://bkt/p"),
            ("AWS_ENDPOINT_URL_S3", &world.simulator.endpoint_url()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            (name, value),
        ]));
        let told = refused_before_any_request(&world, &settings).await;
        assert!(told.contains(&format!("{name}: its character 5")), "{told}");
    }
    for (file, body, named) in [
        (
            ".aliyun/config.json",
            r#"{"current": "main", "profiles": [{"name": "main", "mode": "StsToken",
                "access_key_id": "hush\nulator", "access_key_secret": "s", "sts_token": "t"}]}"#,
            "access_key_id: its character 5",
        ),
        (
            ".aliyun/config.json",
            r#"{"current": "main", "profiles": [{"name": "main", "mode": "StsToken",
                "access_key_id": "a", "access_key_secret": "s", "sts_token": "hush\u0007t"}]}"#,
            "sts_token: its character 5",
        ),
        (
            ".alibabacloud/credentials.ini",
            "[default]\ntype = access_key\naccess_key_id = a\naccess_key_secret = hush\u{200b}b\n",
            "access_key_secret: its character 5",
        ),
    ] {
        let world = world().await;
        world.write(file, body);
        let told = refused_before_any_request(&world, &world.settings(&[])).await;
        assert!(told.contains(named) && told.contains(file), "{told}");
    }
}

const EXPIRED: &str = "2001-01-01T00:00:00Z";

/// What a credentials URI or a program gives.
fn answer_with(token: &str, end: &str) -> String {
    json!({"Code": "Success", "AccessKeyId": "ecs-key", "AccessKeySecret": ECS_SECRET,
           "SecurityToken": token, "Expiration": end})
    .to_string()
}

#[tokio::test]
async fn a_fetched_key_that_goes_into_no_header_is_named_by_where_it_came_from() {
    let world = world().await;
    let answer = answer_with("hush\nx", "2036-01-01T00:00:00Z");
    let server = RawServer::start(Raw::new(200, answer)).await;
    let mut credentials = no_instance();
    credentials.push(("ALIBABA_CLOUD_CREDENTIALS_URI".into(), server.url()));
    let mut settings = world.settings(&[]);
    settings.extend(credentials);
    let told = refused_before_any_request(&world, &settings).await;
    assert!(
        told.contains("the security token that the credentials URI gave"),
        "{told}"
    );
    assert_eq!(server.asked(), 1);
    let printed =
        r#"{"mode":"StsToken","access_key_id":"hush\\nx","access_key_secret":"s","sts_token":"t"}"#;
    let profile = json!({"current": "main", "profiles": [{"name": "main", "mode": "External",
        "process_command": format!("printf '{printed}'")}]});
    world.write(".aliyun/config.json", &profile.to_string());
    let told = refused_before_any_request(&world, &world.settings(&[])).await;
    assert!(
        told.contains("the access key ID that the program \"printf\" gave"),
        "{told}"
    );
}

#[tokio::test]
async fn advice_about_a_key_names_where_it_comes_from() {
    let capture = ["capture", ID, "--region", "cn-hangzhou", "--timeout", "5"];
    let world = world().await;
    let ini = "[default]\ntype = access_key\naccess_key_id = ecs-key\naccess_key_secret = wrong\n";
    let profile = r#"{"current": "main", "profiles": [{"name": "main", "mode": "AK",
        "access_key_id": "nobody", "access_key_secret": "wrong"}]}"#;
    for (file, body, named) in [
        (
            ".alibabacloud/credentials.ini",
            ini,
            "the section [default] in",
        ),
        (".aliyun/config.json", profile, "the profile \"main\" in"),
    ] {
        world.write(file, body);
        let output = cli(&world.settings(&[]), &capture).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(named) && told.contains(file), "{told}");
        assert!(!told.contains("ALIBABA_CLOUD_ACCESS_KEY"), "{told}");
        std::fs::remove_file(world.folder.path().join(file)).unwrap();
    }
    // A token of somebody else, which has ended besides.
    let server = RawServer::start(Raw::new(200, answer_with("other", EXPIRED))).await;
    let mut settings = world.settings(&[]);
    settings.extend(no_instance());
    settings.push(("ALIBABA_CLOUD_CREDENTIALS_URI".into(), server.url()));
    let output = cli(&settings, &capture).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("check the credentials URI"), "{told}");
    assert!(told.contains("expired at 2001-01-01T00:00:00Z"), "{told}");
    assert!(!told.contains("ALIBABA_CLOUD_ACCESS_KEY"), "{told}");
    // The settings are named where they have the key.
    let mut credentials = base_key();
    credentials[1].1 = "wrong";
    let output = cli(&world.settings(&credentials), &capture).await;
    let told = text(&output.stderr);
    assert!(
        told.contains("check ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
        "{told}"
    );
}

#[tokio::test]
async fn what_hangs_or_refuses_on_the_way_is_named() {
    let capture = ["capture", ID, "--region", "cn-hangzhou", "--timeout", "1"];
    let world = world().await;
    let profile = json!({"current": "main", "profiles": [{"name": "main", "mode": "External",
        "process_command": "sleep 60"}]});
    world.write(".aliyun/config.json", &profile.to_string());
    let output = cli(&world.settings(&[]), &capture).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("waiting for the program \"sleep\" to print keys"),
        "{told}"
    );
    // A port that nobody listens at, as the proxy. It stays taken, so that no other test gets it.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let proxy = closed.local_addr().unwrap().to_string();
    let mut settings = world.settings(&base_key());
    settings.extend(crate::support::settings(&[
        ("ECS_ENDPOINT_URL", "http://ecs.example.com"),
        ("HTTP_PROXY", &format!("http://user:hush@{proxy}")),
    ]));
    let output = cli(&settings, &capture).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("by the proxy {proxy}")), "{told}");
    assert!(
        told.contains("HTTP_PROXY") && !told.contains("hush"),
        "{told}"
    );
    // STS, which is asked for a role, by its host.
    let mut role = world.settings(&base_key());
    role.extend(crate::support::settings(&[
        (
            "ALIBABA_CLOUD_ROLE_ARN",
            "acs:ram::1000000000000001:role/console",
        ),
        ("STS_ENDPOINT_URL", &format!("http://{proxy}")),
    ]));
    let told = text(&cli(&role, &capture).await.stderr);
    assert!(told.contains("STS does not answer: "), "{told}");
    assert!(told.contains("(asked 127.0.0.1)"), "{told}");
    // The same for a bucket.
    settings.extend(crate::support::settings(&[
        ("ARCHIVE_URL", "s3://bkt/p"),
        ("AWS_ENDPOINT_URL_S3", "http://s3.example.com"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ]));
    let output = cli(&settings, &["list", "--timeout", "1"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("by the proxy {proxy}")), "{told}");
}
