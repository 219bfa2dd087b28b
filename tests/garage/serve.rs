//! The pages of `serve` over an archive on Garage are those over the same archive in a folder.

use std::collections::BTreeMap;

use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::store::{Object, PutOutcome, Store as _};
use futures_util::{StreamExt as _, stream};

use crate::server::Garage;
use crate::support::served::Served;
use crate::support::*;

/// More instances than a page of a listing has.
const FLEET: usize = 1_050;
/// Every so many of them has panicked.
const PANICS_EVERY: usize = 150;

/// A record of each instance, and another boot of the first.
fn records() -> Vec<(String, Object)> {
    let now = jiff::Timestamp::now();
    let record = |index: usize, boot: usize| {
        let last = match index % PANICS_EVERY + boot {
            0 => "Kernel panic - not syncing: Fatal exception",
            _ => "random: crng init done",
        };
        let plain =
            format!("[    0.000000] Linux version 6.1.{boot}\r\n[    1.{index:06}] {last}\r\n");
        let digest = ConsoleDigest::of(plain.as_bytes());
        let at = now - jiff::SignedDuration::from_mins(90 - 30 * boot as i64);
        // ECS names times in its own zone.
        let named = at + jiff::SignedDuration::from_hours(8);
        let time = named.strftime("%Y%m%dT%H%M%S");
        let key = format!("i-fleet{index:04}/{time}-{}.log.gz", digest.short());
        assert!(RecordKey::parse(&key).is_some(), "{key}");
        let metadata = BTreeMap::from([
            ("captured-at".to_owned(), at.to_string()),
            ("console-sha256".to_owned(), digest.to_string()),
            ("console-bytes".to_owned(), plain.len().to_string()),
        ]);
        let object = Object {
            body: pack(plain.as_bytes()).unwrap(),
            content_type: "application/gzip".into(),
            metadata,
        };
        (key, object)
    };
    let first = (0..FLEET).map(|index| record(index, 0));
    first.chain([record(0, 1)]).collect()
}

#[tokio::test]
async fn pages_over_garage_are_those_over_a_folder() {
    let mut garage = Garage::start().await;
    let store = garage.store();
    let puts = stream::iter(records()).map(|(key, object)| {
        let store = &store;
        async move { store.put_if_absent(&key, &object).await.unwrap() }
    });
    let puts: Vec<_> = puts.buffer_unordered(16).collect().await;
    assert!(puts.iter().all(|put| *put == PutOutcome::Created));
    let indexed = cli(&garage.settings(), &["reindex"]).await;
    assert!(indexed.status.success(), "{}", text(&indexed.stderr));
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().to_str().unwrap();
    let copied = cli(
        &garage.settings(),
        &["copy", "--to", &format!("file://{copy}")],
    )
    .await;
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let in_folder = folder_settings(folder.path());
    let (here, there) = (
        Served::entered(&garage.settings(), &[]).await,
        Served::entered(&in_folder, &[]).await,
    );
    let boot = here.get("/i/i-fleet0000/b/latest").await.header("location");
    let difference = format!("{boot}/diff?with=previous");
    let difference = here.get(&difference).await.header("location");
    // Whole days, so that the page does not say when it was asked for.
    let day = |hours: i64| {
        (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours))
            .strftime("%Y-%m-%d")
            .to_string()
    };
    let fleet = format!("/?since={}&until={}", day(-48), day(24));
    for (path, has) in [
        (fleet.as_str(), "The kernel panicked"),
        ("/i/i-fleet0000", "/i/i-fleet0000/b/"),
        (boot.as_str(), "crng init done"),
        (difference.as_str(), "<del>"),
        ("/search?q=fatal+exception", "/i/i-fleet0900\""),
    ] {
        let [page, other] = [here.page(path).await, there.page(path).await];
        assert!(page.contains(has), "{path}: {page}");
        let bucket = page
            .replace("s3://consoles/kept/here", "ARCHIVE")
            .replace("ARCHIVE/", "ARCHIVE");
        let file = other
            .replace(&format!("file://{copy}"), "ARCHIVE")
            .replace("ARCHIVE/", "ARCHIVE");
        // A search says behind what it found how long it took.
        let found = |page: &str| page.split("id=\"searched\"").next().unwrap().to_owned();
        assert_eq!(found(&bucket), found(&file), "{path}");
    }
    // While it is away, a page says so, and the next one is there again.
    let short = Served::entered(&garage.settings(), &["--timeout", "1"]).await;
    garage.kill().await;
    let away = short.get("/i/i-fleet0001").await;
    assert!((500..600).contains(&away.status), "{}", away.text());
    assert!(!away.text().contains("crng init done"), "{}", away.text());
    garage.restart().await;
    assert!(short.page("/i/i-fleet0001").await.contains("boot"));
}
