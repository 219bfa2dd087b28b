//! Events of other accounts: that account's role where one is set, else an error that says so;
//! never a marker that there is no such instance.

use std::sync::Arc;

use ecs_console_archiver::credentials::source::{Place, ROLE_SECONDS, Role, Source};
use ecs_console_archiver::credentials::{CredentialsProvider, Identity};
use ecs_console_archiver::model::ids::{AccountId, InstanceId};
use ecs_console_archiver::simulator::{ACCOUNT, AssumedRole, Simulator};
use serde_json::{Value, json};

use crate::support::runtime_api::Function;
use crate::support::*;

const OTHER: &str = "2000000000000002";
const OTHER_ID: &str = "i-bp1other0000000e25";
const EACH: &str = "acs:ram::{account}:role/archiver";

struct World {
    simulator: Arc<Simulator>,
    folder: tempfile::TempDir,
}

impl World {
    /// An instance in another account.
    async fn start() -> Self {
        let simulator = Arc::new(simulator().await);
        let other = InstanceId::parse(OTHER_ID).unwrap();
        simulator.set_console(&other, output(b"last words", "2026-11-20 08:15:00"));
        simulator.set_account(&other, &AccountId::parse(OTHER).unwrap());
        let folder = tempfile::tempdir().unwrap();
        Self { simulator, folder }
    }

    fn settings(&self, own: &[(&str, &str)]) -> Settings {
        let mut all = ecs_settings(&self.simulator);
        all.extend(folder_settings(self.folder.path()));
        all.extend(settings(own));
        all
    }

    fn calls(&self, action: &str) -> usize {
        let answered = self.simulator.answered().into_iter();
        answered.filter(|a| a.action == action).count()
    }

    fn is_empty(&self) -> bool {
        self.folder.path().read_dir().unwrap().next().is_none()
    }

    fn assumed(&self) -> Vec<String> {
        let roles = self.simulator.assumed_roles().into_iter();
        let narrowed = |AssumedRole { arn, has_policy }| {
            assert!(has_policy, "{arn}");
            arn
        };
        roles.map(narrowed).collect()
    }
}

fn event_of(account_id: Option<&str>, instance_id: &str) -> Vec<u8> {
    let path = root().join("tests/fixtures/accounts/other-account.json");
    let mut event: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    event["data"]["resourceId"] = json!(instance_id);
    match account_id {
        Some(account_id) => {
            event["subject"] = json!(format!(
                "acs:ecs:cn-hangzhou:{account_id}:instance/{instance_id}"
            ));
            for member in ["aliyunaccountid", "aliyunoriginalaccountid"] {
                event[member] = json!(account_id);
            }
        }
        None => {
            let event = event.as_object_mut().unwrap();
            for member in ["subject", "aliyunaccountid", "aliyunoriginalaccountid"] {
                event.remove(member);
            }
        }
    }
    event.to_string().into_bytes()
}

#[tokio::test]
async fn an_instance_of_another_account_is_an_error_that_names_both() {
    let world = World::start().await;
    let function = Function::start(&world.settings(&[])).await;
    let (error_type, message) = function.failure_of(&event_of(Some(OTHER), OTHER_ID)).await;
    assert_eq!(error_type, "OtherAccount", "{message}");
    for part in [OTHER, ACCOUNT, "ALIBABA_CLOUD_ROLE_ARN", "{account}"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(world.is_empty(), "no marker is left");
}

#[tokio::test]
async fn an_instance_of_the_own_account_that_is_gone_leaves_a_marker() {
    let world = World::start().await;
    let function = Function::start(&world.settings(&[])).await;
    for id in ["i-bp1gone0000000000001", "i-bp1gone0000000000002"] {
        let reply = function.result_of(&event_of(Some(ACCOUNT), id)).await;
        assert_eq!(reply["outcome"], "no_console", "{reply}");
        assert_eq!(reply["reason"], "not_found", "{reply}");
    }
    // Documents mask accounts; what names none is taken for the own one's.
    let reply = function
        .result_of(&event_of(None, "i-bp1gone0000000000003"))
        .await;
    assert_eq!(reply["reason"], "not_found", "{reply}");
    assert_eq!(world.calls("GetCallerIdentity"), 1, "it is remembered");
}

#[tokio::test]
async fn whose_account_is_not_known_is_not_called_gone() {
    let world = World::start().await;
    // Nothing listens there.
    let settings = world.settings(&[("STS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    let events = tempfile::tempdir().unwrap();
    let path = events.path().join("event.json");
    std::fs::write(&path, event_of(Some(OTHER), OTHER_ID)).unwrap();
    let path = path.to_str().unwrap();
    let output = cli(&settings, &["invoke", path, "--timeout", "1"]).await;
    let message = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains(OTHER) && message.contains("not known"),
        "{message}"
    );
    let mut kept = Vec::new();
    collect(world.folder.path(), &mut kept);
    assert!(
        !kept.iter().any(|name| name.ends_with(".none.json")),
        "{kept:?}"
    );
}

fn collect(folder: &std::path::Path, names: &mut Vec<String>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else {
            names.push(path.display().to_string());
        }
    }
}

#[tokio::test]
async fn one_deployment_serves_each_account_with_its_role() {
    let world = World::start().await;
    let own_id = "i-bp1panicnoroot00001";
    let settings = world.settings(&[("ALIBABA_CLOUD_ROLE_ARN", EACH)]);
    let function = Function::start(&settings).await;
    for (account_id, id, outcome) in [
        (OTHER, OTHER_ID, "stored"),
        (ACCOUNT, own_id, "stored"),
        (OTHER, OTHER_ID, "already_stored"),
        (OTHER, "i-bp1gone0000000000001", "no_console"),
    ] {
        let reply = function.result_of(&event_of(Some(account_id), id)).await;
        assert_eq!(reply["outcome"], outcome, "{reply}");
    }
    let role_of = |account_id| format!("acs:ram::{account_id}:role/archiver");
    assert_eq!(world.assumed(), [role_of(OTHER), role_of(ACCOUNT)]);
    assert_eq!(world.calls("GetCallerIdentity"), 0, "the role says it");
    let (error_type, message) = function.failure_of(&event_of(None, own_id)).await;
    assert_eq!(error_type, "CredentialsRefused", "{message}");
    assert!(
        message.contains("{account}") && message.contains("names no account"),
        "{message}"
    );
}

#[tokio::test]
async fn by_hand_and_in_a_sweep_the_own_account_is_meant() {
    let world = World::start().await;
    let settings = world.settings(&[("ALIBABA_CLOUD_ROLE_ARN", EACH)]);
    for arguments in [
        &[
            "capture",
            "i-bp1panicnoroot00001",
            "--region",
            "cn-hangzhou",
        ][..],
        &["sweep", "--region", "cn-hangzhou"],
    ] {
        let output = cli(&settings, arguments).await;
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!shown.contains("names no account"), "{shown}");
    }
    let own = format!("acs:ram::{ACCOUNT}:role/archiver");
    let assumed = world.assumed();
    assert!(assumed.iter().all(|role| *role == own), "{assumed:?}");
    assert_eq!(assumed.len(), 2, "once in each process: {assumed:?}");
}

#[tokio::test]
async fn an_oidc_token_is_taken_for_the_role_of_each_account() {
    let world = World::start().await;
    let token = "eyJ.pod-token-that-must-not-show.x";
    world.simulator.trust_oidc_token(token);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token).unwrap();
    let settings = world.settings(&[
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", ""),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""),
        ("ALIBABA_CLOUD_ROLE_ARN", EACH),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::{account}:oidc-provider/p",
        ),
        (
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            file.path().to_str().unwrap(),
        ),
    ]);
    let function = Function::start(&settings).await;
    let reply = function.result_of(&event_of(Some(OTHER), OTHER_ID)).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    assert_eq!(world.assumed(), [format!("acs:ram::{OTHER}:role/archiver")]);
}

#[tokio::test]
async fn an_event_of_another_account_than_the_roles_is_an_error_too() {
    let world = World::start().await;
    let role = format!("acs:ram::{ACCOUNT}:role/archiver");
    let settings = world.settings(&[("ALIBABA_CLOUD_ROLE_ARN", &role)]);
    let function = Function::start(&settings).await;
    let (error_type, message) = function.failure_of(&event_of(Some(OTHER), OTHER_ID)).await;
    assert_eq!(error_type, "OtherAccount", "{message}");
    assert_eq!(world.calls("GetCallerIdentity"), 0, "the role says it");
}

#[tokio::test]
async fn what_the_host_hands_over_assumes_the_role_and_says_whose_it_is() {
    let world = World::start().await;
    let sts = world.simulator.endpoint_url().parse().unwrap();
    let http = ecs_console_archiver::http::client(&Default::default()).unwrap();
    let host = || Source::Chain(vec![Place::Set(Source::Host)]);
    let identity = Identity {
        sts,
        host_account: AccountId::parse("77").ok(),
    };
    let role = Role {
        arn: EACH.to_owned(),
        session_name: "archiver".to_owned(),
        session_policy: Some("{}".to_owned()),
        external_id: None,
        seconds: ROLE_SECONDS,
        sts: identity.sts.clone(),
    };
    let source = Source::AssumeRole {
        base: Box::new(host()),
        role,
    };
    let provider = CredentialsProvider::with_identity(source, http.clone(), identity.clone());
    assert!(provider.get().await.is_err(), "nothing was handed over");
    provider.put(ecs_credentials()).await;
    let session = provider.get().await.unwrap();
    assert!(session.access_key_id.starts_with("STS."), "{session:?}");
    provider.put(ecs_credentials()).await;
    assert_eq!(
        provider.get().await.unwrap(),
        session,
        "its session goes on"
    );
    assert_eq!(world.assumed(), ["acs:ram::77:role/archiver"]);

    let plain = CredentialsProvider::with_identity(host(), http, identity);
    plain.put(ecs_credentials()).await;
    assert_eq!(plain.get().await.unwrap(), ecs_credentials());
    assert_eq!(plain.account().await.unwrap().as_str(), "77");
    assert!(
        !plain.replace(&ecs_credentials()).await,
        "they are the host's to renew"
    );
}
