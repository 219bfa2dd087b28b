//! `console-archive simulate` as a newcomer starts it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::printed::Printed;
use crate::support::*;

struct Simulate {
    process: Child,
    settings: Settings,
    /// Checked with the test's end.
    _printed: Printed,
}

impl Simulate {
    /// Starts it and takes the settings it prints, as a person copies them.
    fn start(arguments: &[&str]) -> Self {
        let printed = Printed::new();
        let mut process = Command::new(program("console-archive"))
            .env_clear()
            .args(["simulate", "--listen", "127.0.0.1:0", "--consoles"])
            .arg(consoles())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(printed.stdio())
            .spawn()
            .unwrap();
        let mut settings = Settings::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            if let Some((name, value)) = line
                .unwrap()
                .strip_prefix("export ")
                .and_then(|l| l.split_once('='))
            {
                settings.push((name.to_owned(), value.to_owned()));
                if name == "ARCHIVE_URL" {
                    break;
                }
            }
        }
        Self {
            process,
            settings,
            _printed: printed,
        }
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_settings_it_prints_are_enough_for_a_capture() {
    let simulate = Simulate::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = simulate.settings.clone();
    settings.retain(|(name, _)| name != "ARCHIVE_URL");
    settings.extend(folder_settings(folder.path()));
    let output = cli(&settings, &["capture", "i-bp1oomkill000000001"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test]
async fn it_fails_as_told_and_then_no_more() {
    let simulate = Simulate::start(&["--fault", "throttle*2", "--fault", "garbage"]);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = simulate.settings.clone();
    settings.retain(|(name, _)| name != "ARCHIVE_URL");
    settings.extend(folder_settings(folder.path()));
    let mut ends = Vec::new();
    for _ in 0..3 {
        // Throttled, it may not ask again within this time; after garbage it may.
        let output = cli(
            &settings,
            &["capture", "i-bp1oomkill000000001", "--timeout", "1"],
        )
        .await;
        let throttled = text(&output.stderr).contains("Throttling");
        ends.push((output.status.code().unwrap(), throttled));
    }
    assert_eq!(ends, [(1, true), (1, true), (0, false)]);
}

#[tokio::test]
async fn a_nonce_is_good_once() {
    let simulator = simulator().await;
    let client = ecs_console_archiver::http::client(&Default::default()).unwrap();
    let call = ecs_console_archiver::alibaba::request::RpcCall::get_instance_console_output(
        &ecs_console_archiver::model::ids::RegionId::parse("cn-hangzhou").unwrap(),
        &ecs_console_archiver::model::ids::InstanceId::parse("i-bp1oomkill000000001").unwrap(),
    );
    let stamp = ecs_console_archiver::alibaba::request::SigningContext {
        now: jiff::Timestamp::now(),
        nonce: "once".into(),
    };
    let signed = || {
        let endpoint = url::Url::parse(&simulator.endpoint_url()).unwrap();
        let signed = ecs_console_archiver::alibaba::request::sign(
            &call,
            &endpoint,
            Default::default(),
            &ecs_credentials(),
            &stamp,
        );
        let request = client.post(signed.url).header("content-length", "0");
        signed
            .headers
            .into_iter()
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            })
    };
    assert_eq!(signed().send().await.unwrap().status(), 200);
    let second = signed().send().await.unwrap();
    assert_eq!(second.status(), 400);
    assert!(second.text().await.unwrap().contains("SignatureNonceUsed"));
}
