//! The catalog on Garage, while those who join it are killed.

use ecs_console_archiver::archive::catalog::day::{self, Rows};
use ecs_console_archiver::archive::catalog::{CatalogKey, Day};
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::store::Store as _;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use jiff::{SignedDuration, Timestamp};

use crate::relay::{Moments, started, to_store};
use crate::server::Garage;
use crate::support::cataloged::row;
use crate::support::*;

const ROWS: usize = 300;

fn day_ago(days: i64) -> Day {
    Day::of(Timestamp::now() - SignedDuration::from_hours(24 * days))
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
    let (settings, _relay) = to_store(&garage.settings(), &moments).await;
    let mut random = fastrand::Rng::with_seed(5);
    let mut killed = 0;
    // Two at once, until one of them has joined everything.
    let mut at_work = [
        started(&settings, &["compact"]),
        started(&settings, &["compact"]),
    ];
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
        at_work[victim] = started(&settings, &["compact"]);
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
