//! How often a stored event goes to the services and back, once the process is warm. The way to a
//! region is what an event waits for most, so each trip is one that it cannot do without.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::runtime_api::Function;
use crate::support::s3_server::{Profile, authority, tls_acceptor};
use crate::support::*;

const CONSOLE: &str = "i-bp1normalreboot0001";
/// The first ones open connections and learn the services' clocks.
const BEFORE: usize = 2;
const EVENTS: usize = 5;

/// The requests that the store gets for each event.
async fn check(profile: Profile, catalog: &str, expected: &[&str]) {
    let mut bucket = Bucket::start(profile).await;
    bucket.settings.push(("CATALOG".into(), catalog.into()));
    let function = Function::start(&bucket.settings).await;
    let mut before = (0, 0);
    for event in 0..BEFORE + EVENTS {
        if event == BEFORE {
            before = (
                bucket.simulator.answered().len(),
                bucket.server.methods().len(),
            );
        }
        let instance_id = format!("i-bp1{event:017}");
        let console = fixture(CONSOLE);
        set_console(
            &bucket.simulator,
            &instance_id,
            &console,
            "2024-03-22 10:04:57",
        );
        let answer = function.result_of(starting(&instance_id).as_bytes()).await;
        assert_eq!(answer["outcome"], "stored", "{profile:?}: {answer}");
    }
    let asked: Vec<_> = bucket.simulator.answered().split_off(before.0);
    assert_eq!(asked.len(), EVENTS, "{profile:?}: {asked:?}");
    let stored = bucket.server.methods().split_off(before.1);
    assert_eq!(stored, expected.repeat(EVENTS), "{profile:?}");
    assert_eq!(bucket.server.connections(), 1, "{profile:?}");
    function.stop().await;
}

#[tokio::test]
async fn a_stored_event_takes_one_trip_to_ecs_and_one_to_the_store() {
    check(Profile::Aws, "off", &["PUT"]).await;
    check(Profile::Oss { versioned: false }, "off", &["PUT"]).await;
}

/// The row comes behind the record: it must not tell of a record that is not there.
#[tokio::test]
async fn a_row_of_the_catalog_takes_one_trip_more() {
    check(Profile::Aws, "on", &["PUT", "PUT"]).await;
    check(Profile::Oss { versioned: false }, "on", &["PUT", "PUT"]).await;
}

/// Such a store would replace an object without a word.
#[tokio::test]
async fn a_store_that_ignores_conditions_is_looked_at_first() {
    check(Profile::IgnoresConditions, "off", &["HEAD", "PUT"]).await;
}

/// Handshakes with both services are done while no event has come yet, and nothing else is sent.
#[tokio::test]
async fn both_services_are_connected_to_before_the_first_event() {
    let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ecs, store) = (listen().await, listen().await);
    let url = |listener: &TcpListener| format!("https://{}", listener.local_addr().unwrap());
    let function = Function::start(&settings(&[
        ("ARCHIVE_URL", "s3://bucket/kept"),
        ("AWS_ENDPOINT_URL_S3", &url(&store)),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("ECS_ENDPOINT_URL", &url(&ecs)),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret"),
        ("SSL_CERT_FILE", authority().to_str().unwrap()),
    ]))
    .await;
    let connected = async |listener: TcpListener| {
        let (stream, _) = listener.accept().await.unwrap();
        tls_acceptor().accept(stream).await.unwrap()
    };
    let both = async { tokio::join!(connected(ecs), connected(store)) };
    let (ecs, store) = timeout(Duration::from_secs(10), both).await.unwrap();
    function.stop().await;
    for mut stream in [ecs, store] {
        let mut sent = Vec::new();
        // The end comes without TLS's own, because the process was killed.
        let _ = stream.read_to_end(&mut sent).await;
        assert_eq!(sent, b"");
    }
}
