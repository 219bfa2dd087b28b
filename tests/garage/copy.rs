//! `copy` from a folder to Garage and back, while it or the store is killed.

use std::collections::BTreeMap;

use ecs_console_archiver::archive::reader;
use ecs_console_archiver::store::{ArchiveStore, Object, Store as _};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::relay::{Moments, killed, started, to_store};
use crate::server::{Garage, store};
use crate::support::kept::{Kept, Place};
use crate::support::*;

const RECORDS: usize = 150;

/// All that a copy has: failed events and the probe stay where they are.
fn copied(kept: &Kept) -> BTreeMap<String, Object> {
    let objects = kept.objects.iter();
    let objects = objects.filter(|(key, _)| key.starts_with("i-") || key.starts_with("catalog/"));
    objects
        .map(|(key, (object, _))| (key.clone(), object.clone()))
        .collect()
}

async fn objects(store: &ArchiveStore) -> BTreeMap<String, Object> {
    let entries = reader::entries(store, "").await.unwrap();
    let read = entries.into_iter().map(|entry| async move {
        let object = store.get(&entry.key).await?;
        Ok::<_, ecs_console_archiver::store::StoreError>((entry.key, object.unwrap()))
    });
    let read = stream::iter(read).buffer_unordered(16);
    read.try_collect().await.unwrap()
}

fn assert_same(found: &BTreeMap<String, Object>, expected: &BTreeMap<String, Object>) {
    let keys = |objects: &BTreeMap<String, Object>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected));
    assert!(found == expected, "an object differs");
}

#[tokio::test]
async fn a_copy_that_is_killed_on_its_way_there_and_back_is_the_same() {
    const KILLS: usize = 15;
    let garage = Garage::start().await;
    let kept = Kept::of(RECORDS).with_catalog();
    let expected = copied(&kept);
    let placed = kept.place(Place::Folder).await;
    let moments = Moments::default();
    let (in_garage, _relay) = to_store(&garage.settings(), &moments).await;
    let mut random = fastrand::Rng::with_seed(11);

    // There: the settings of the bucket are those of the folder, too.
    let url = |settings: &Settings| {
        let url = settings.iter().find(|(name, _)| name == "ARCHIVE_URL");
        url.unwrap().1.clone()
    };
    let (bucket_url, folder_url) = (url(&in_garage), url(&placed.settings));
    let mut from_folder = in_garage.clone();
    from_folder.retain(|(name, _)| name != "ARCHIVE_URL");
    from_folder.push(("ARCHIVE_URL".into(), folder_url));
    let there = ["copy", "--to", &bucket_url];
    let deaths = killed(&from_folder, &there, &moments, KILLS, &mut random, 80).await;
    let done = cli(&from_folder, &there).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_same(&objects(&garage.store()).await, &expected);
    let verified = cli(&garage.settings(), &["verify"]).await;
    assert!(verified.status.success(), "{}", text(&verified.stdout));

    let folder = tempfile::tempdir().unwrap();
    let back_url = format!("file://{}", folder.path().display());
    let back = ["copy", "--to", &back_url];
    let deaths_back = killed(&in_garage, &back, &moments, KILLS, &mut random, 80).await;
    let done = cli(&in_garage, &back).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let in_folder = folder_settings(folder.path());
    assert_same(&objects(&store(&in_folder)).await, &expected);
    let verified = cli(&in_folder, &["verify"]).await;
    // What killed writers left is told once it is old.
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    assert!(
        deaths >= 3 && deaths_back >= 3,
        "{deaths} and {deaths_back} kills"
    );
    println!(
        "copy: {deaths} kills there and {deaths_back} back, {} objects",
        expected.len()
    );
}

#[tokio::test]
async fn a_store_that_is_killed_while_it_is_copied_lets_the_same_run_finish() {
    const KILLS: usize = 6;
    let mut garage = Garage::start().await;
    let kept = Kept::of(RECORDS).with_catalog();
    let expected = copied(&kept);
    let store = garage.store();
    let puts = expected
        .iter()
        .map(|(key, object)| store.put_if_absent(key, object));
    let puts = stream::iter(puts).buffer_unordered(16);
    puts.try_collect::<Vec<_>>().await.unwrap();
    let moments = Moments::default();
    let (settings, _relay) = to_store(&garage.settings(), &moments).await;
    let folder = tempfile::tempdir().unwrap();
    let to = format!("file://{}", folder.path().display());
    let mut running = started(&settings, &["copy", "--to", &to]);
    let mut random = fastrand::Rng::with_seed(12);
    let mut kills = 0;
    while kills < KILLS {
        let moment = moments.more(random.u64(1..=250));
        tokio::select! {
            _ = running.wait() => break,
            () = moment => {}
        }
        garage.kill().await;
        kills += 1;
        moments.more(1).await;
        garage.restart().await;
    }
    assert!(running.wait().await.unwrap().success());
    assert!(kills >= 2, "the work was over after {kills} kills");
    let in_folder = crate::server::store(&folder_settings(folder.path()));
    assert_same(&objects(&in_folder).await, &expected);
    println!("copy: {kills} kills of the store");
}
