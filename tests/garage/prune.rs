//! `prune` on Garage, while it or the store is killed.

use std::collections::BTreeSet;

use ecs_console_archiver::archive::catalog::read::Catalog;
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::store::{ArchiveStore, Store as _, StoreError};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use jiff::{SignedDuration, Timestamp};

use crate::relay::{Moments, started, to_store};
use crate::server::Garage;
use crate::support::kept::{Kept, instance_id};
use crate::support::*;

const INSTANCES: usize = 10;
/// The last of them stays.
const BOOTS: usize = 5;
const CAPTURES: usize = 3;
const APPLY: [&str; 6] = [
    "prune",
    "--keep-last",
    "1",
    "--max-remove",
    "100",
    "--apply",
];

/// A fleet, and the keys of what stays of it.
fn fleet() -> (Kept, BTreeSet<String>) {
    let (mut kept, mut stay) = (Kept::default(), BTreeSet::new());
    let now = Timestamp::now();
    for number in 0..INSTANCES {
        for boot in 0..BOOTS {
            let days = 2 + 30 * (BOOTS - 1 - boot) as i64;
            for capture in 1..=CAPTURES {
                let mut console = format!("[    0.000000] Linux version 6.1.{boot}\r\n");
                for line in 0..20 * capture {
                    console += &format!("[ {line:4}.{number:03}{boot:03}] boot {boot} says so\r\n");
                }
                let at = now - SignedDuration::from_hours(24 * days - capture as i64);
                let record = kept.record(&instance_id(number), console.as_bytes(), at);
                let verdict = (capture == 2).then(|| kept.verdict(&record, at));
                if boot == BOOTS - 1 {
                    stay.insert(record.to_string());
                    stay.extend(verdict);
                }
            }
        }
    }
    (kept.with_catalog(), stay)
}

async fn put(store: &ArchiveStore, kept: &Kept) {
    let puts = kept
        .objects
        .iter()
        .map(|(key, (object, _))| async move { store.put_if_absent(key, object).await });
    let puts = stream::iter(puts).buffer_unordered(16);
    puts.try_collect::<Vec<_>>().await.unwrap();
}

/// What is there but for the catalog.
async fn there(store: &ArchiveStore) -> BTreeSet<String> {
    let entries = reader::entries(store, "i-").await.unwrap();
    entries.into_iter().map(|entry| entry.key).collect()
}

/// What a listing of the fleet shows.
async fn listed(store: &ArchiveStore) -> BTreeSet<String> {
    let catalog = Catalog::open(store, Timestamp::MIN..=Timestamp::MAX);
    let (mut listed, mut pruned) = (BTreeSet::new(), BTreeSet::new());
    let read = catalog.await.unwrap().read(|day| {
        for row in day.rows {
            let keys = if row.is_pruned() {
                &mut pruned
            } else {
                &mut listed
            };
            keys.insert(row.subject.key());
        }
        Ok::<_, StoreError>(())
    });
    read.await.unwrap();
    &listed - &pruned
}

async fn check_end(garage: &Garage, stay: &BTreeSet<String>) {
    let store = garage.store();
    assert_eq!(there(&store).await, *stay);
    let records = stay.iter().filter(|key| key.ends_with(".log.gz"));
    let records: BTreeSet<_> = records.cloned().collect();
    assert_eq!(listed(&store).await, records);
    let verified = cli(&garage.settings(), &["verify"]).await;
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}

#[tokio::test]
async fn two_that_prune_at_once_and_are_killed_lose_nothing_that_stays_and_list_nothing_that_is_gone()
 {
    const KILLS: usize = 25;
    let garage = Garage::start().await;
    let store = garage.store();
    let (kept, stay) = fleet();
    put(&store, &kept).await;
    let moments = Moments::default();
    let (settings, _relay) = to_store(&garage.settings(), &moments).await;
    let mut random = fastrand::Rng::with_seed(8);
    let mut killed = 0;
    let mut at_work = [started(&settings, &APPLY), started(&settings, &APPLY)];
    while killed < KILLS {
        let victim = random.usize(0..2);
        let moment = moments.more(random.u64(1..=700));
        let [one, other] = &mut at_work;
        let ended = future::join(one.wait(), other.wait());
        tokio::select! {
            _ = ended => break,
            () = moment => {}
        }
        killed += usize::from(at_work[victim].try_wait().unwrap().is_none());
        let _ = at_work[victim].kill().await;
        // In this order: what is listed now was there before.
        let there = there(&store).await;
        let listed = listed(&store).await;
        let gone: Vec<_> = listed.difference(&there).collect();
        assert!(gone.is_empty(), "listed, and not there: {gone:?}");
        assert!(stay.is_subset(&there));
        at_work[victim] = started(&settings, &APPLY);
    }
    for mut running in at_work {
        running.wait().await.unwrap();
    }
    assert!(killed >= 5, "the work was over after {killed} kills");
    let done = cli(&garage.settings(), &APPLY).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    check_end(&garage, &stay).await;
    println!(
        "prune: {killed} kills of two that prune, {} objects",
        kept.objects.len()
    );
}

#[tokio::test]
async fn a_store_that_is_killed_while_it_removes_lets_the_same_run_finish() {
    const KILLS: usize = 6;
    let mut garage = Garage::start().await;
    let (kept, stay) = fleet();
    put(&garage.store(), &kept).await;
    let moments = Moments::default();
    let (settings, _relay) = to_store(&garage.settings(), &moments).await;
    let mut running = started(&settings, &APPLY);
    let mut random = fastrand::Rng::with_seed(9);
    let mut killed = 0;
    while killed < KILLS {
        let moment = moments.more(random.u64(1..=500));
        tokio::select! {
            _ = running.wait() => break,
            () = moment => {}
        }
        garage.kill().await;
        killed += 1;
        // Until somebody asks for it.
        moments.more(1).await;
        garage.restart().await;
    }
    assert!(running.wait().await.unwrap().success());
    assert!(killed >= 2, "the work was over after {killed} kills");
    check_end(&garage, &stay).await;
    println!("prune: {killed} kills of the store");
}
