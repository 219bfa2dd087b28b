//! The catalog on Garage, while those who join it are killed.

use std::process::Stdio;

use ecs_console_archiver::archive::catalog::day::{self, Rows};
use ecs_console_archiver::archive::catalog::{CatalogKey, Day};
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::store::Store as _;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::process::{Child, Command};

use crate::relay::{Moments, Relay};
use crate::server::Garage;
use crate::support::cataloged::row;
use crate::support::*;

const ROWS: usize = 300;

fn day_ago(days: i64) -> Day {
    Day::of(Timestamp::now() - SignedDuration::from_hours(24 * days))
}

/// `console-archive compact` at work.
fn compactor(settings: &Settings) -> Child {
    Command::new(program("console-archive"))
        .arg("compact")
        .env_clear()
        .envs(settings.iter().cloned())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn compactors_that_work_at_once_and_are_killed_lose_no_row() {
    const KILLS: usize = 20;
    let garage = Garage::start().await;
    let store = garage.store();
    let days = [day_ago(3), day_ago(2)];
    let rows = days.map(|day| (0..ROWS).map(move |number| row(day, number)));
    let puts = rows.into_iter().flatten().map(|row| {
        let store = &store;
        async move {
            let (key, object) = row.packed();
            store.put_if_absent(&key, &object).await
        }
    });
    let puts = stream::iter(puts).buffer_unordered(16);
    puts.try_collect::<Vec<_>>().await.unwrap();

    let moments = Moments::default();
    let mut settings = garage.settings();
    let address = settings
        .iter_mut()
        .find(|(name, _)| name == "AWS_ENDPOINT_URL_S3")
        .map(|(_, value)| value)
        .unwrap();
    let relay = Relay::start(address.strip_prefix("http://").unwrap(), &moments).await;
    *address = format!("http://{}", relay.address());
    let mut random = fastrand::Rng::with_seed(5);
    let mut killed = 0;
    // Two at once, until one of them has joined everything.
    let mut at_work = [compactor(&settings), compactor(&settings)];
    for _ in 0..KILLS {
        let victim = random.usize(0..2);
        let moment = moments.more(random.u64(1..=150));
        let [one, other] = &mut at_work;
        let ended = future::join(one.wait(), other.wait());
        let is_over = tokio::select! {
            _ = ended => true,
            () = moment => false,
        };
        if is_over {
            break;
        }
        if at_work[victim].try_wait().unwrap().is_none() {
            killed += 1;
        }
        let _ = at_work[victim].kill().await;
        at_work[victim] = compactor(&settings);
    }
    for mut running in at_work {
        running.wait().await.unwrap();
    }
    assert!(killed >= 3, "the work was over after {killed} kills");
    let done = cli(&settings, &["compact"]).await;
    assert!(done.status.success(), "{}", text(&done.stderr));

    let entries = reader::entries(&store, "catalog/").await.unwrap();
    assert_eq!(entries.len(), days.len(), "{entries:?}");
    for entry in entries {
        let Some(CatalogKey::Day(key)) = CatalogKey::parse(&entry.key) else {
            panic!("{}", entry.key);
        };
        let object = store.get(&entry.key).await.unwrap().unwrap();
        let expected: Rows = (0..ROWS).map(|number| row(key.day, number)).collect();
        assert!(day::unpack(&object.body).unwrap() == expected.in_order());
    }
    println!(
        "catalog: {killed} kills of two compactors, {} rows",
        days.len() * ROWS
    );
}
