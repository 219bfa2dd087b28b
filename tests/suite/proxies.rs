//! Proxies of the environment: what goes through them, and what never does.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::support::proxy::Proxy;
use crate::support::token_server::{Behaviour, TokenServer};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

const PLAIN: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const SECURE: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

fn keys() -> Settings {
    settings(&[
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ecs-key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ECS_SECRET),
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_REGION", "us-east-1"),
    ])
}

fn with(mut all: Settings, more: &[(&str, &str)]) -> Settings {
    all.extend(settings(more));
    all
}

const CAPTURE: [&str; 6] = ["capture", ID, "--region", "cn-hangzhou", "--timeout", "1"];

#[tokio::test]
async fn the_metadata_service_and_loopback_are_never_asked_through_a_proxy() {
    let simulator = Arc::new(simulator().await);
    let server = TokenServer::start(&simulator, HOUR, Behaviour::Good).await;
    let proxy = Proxy::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut all = folder_settings(folder.path());
    for name in PLAIN.into_iter().chain(["ALL_PROXY"]) {
        all.push((name.to_owned(), proxy.url()));
    }
    let all = with(all, &[("ECS_ENDPOINT_URL", &simulator.endpoint_url())]);
    let metadata = with(all.clone(), &[("ECS_METADATA_ENDPOINT_URL", &server.url())]);
    let output = cli(&metadata, &CAPTURE).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(server.asked().len(), 3, "{:?}", server.asked());
    // At its own address, where nothing answers here.
    let output = cli(&all, &CAPTURE).await;
    assert!(!output.status.success());
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn every_service_is_reached_through_the_proxy_of_its_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let role = "acs:ram::1:role/a";
    for (more, arguments, host) in [
        (&[][..], &CAPTURE[..], "ecs-cn-hangzhou.aliyuncs.com:443"),
        (
            &[("ALIBABA_CLOUD_ROLE_ARN", role)],
            &CAPTURE,
            "sts.aliyuncs.com:443",
        ),
        (
            &[("ARCHIVE_URL", "s3://bucket-of-mine")],
            &["list", "--timeout", "1"],
            "bucket-of-mine.s3.us-east-1.amazonaws.com:443",
        ),
        (
            &[("ARCHIVE_URL", "oss://bucket-of-mine?region=cn-beijing")],
            &["list", "--timeout", "1"],
            "bucket-of-mine.s3.oss-cn-beijing.aliyuncs.com:443",
        ),
        (
            &[],
            &[
                "redrive",
                "--queue-url",
                "https://sqs.us-east-1.amazonaws.com/1/dead",
                "--timeout",
                "1",
            ],
            "sqs.us-east-1.amazonaws.com:443",
        ),
    ] {
        for name in SECURE {
            let proxy = Proxy::start().await;
            let all = with(keys(), &[(name, &proxy.url())]);
            let all = with(with(all, &[]), more);
            let has_archive = more.iter().any(|(name, _)| *name == "ARCHIVE_URL");
            let mut all = all;
            if !has_archive {
                all.extend(folder_settings(folder.path()));
            }
            let output = cli(&all, arguments).await;
            assert!(!output.status.success());
            let expected = [format!("CONNECT {host}")];
            assert_eq!(proxy.asked(), expected, "{}", text(&output.stderr));
        }
    }
}

#[tokio::test]
async fn no_proxy_excepts_hosts_and_plain_addresses_have_a_proxy_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = keys();
    all.extend(folder_settings(folder.path()));
    let all = with(all, &[("ECS_ENDPOINT_URL", "http://ecs.corp.invalid")]);
    for (name, no_proxy, asked) in [
        ("NO_PROXY", "other.invalid", &["POST ecs.corp.invalid"][..]),
        ("NO_PROXY", "corp.invalid", &[]),
        ("no_proxy", ".corp.invalid", &[]),
        ("no_proxy", "*", &[]),
    ] {
        for plain in PLAIN {
            let proxy = Proxy::start().await;
            let all = with(all.clone(), &[(plain, &proxy.url()), (name, no_proxy)]);
            let output = cli(&all, &CAPTURE).await;
            assert!(!output.status.success());
            assert_eq!(proxy.asked(), asked, "{name}={no_proxy}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_one_is_named_and_its_password_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("HTTPS_PROXY", "socks5://user:hush@proxy.invalid:1080"),
        ("http_proxy", "http://"),
        ("ALL_PROXY", "ftp://user:hush@x"),
    ] {
        let mut all = keys();
        all.extend(folder_settings(folder.path()));
        let output = cli(&with(all, &[(name, value)]), &CAPTURE).await;
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(
            message.contains(name) && !message.contains("hush"),
            "{message}"
        );
    }
}
