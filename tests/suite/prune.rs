//! `prune`: what no rule keeps goes, as a whole; whoever is killed meanwhile leaves nothing that looks whole and is
//! not, and the next run finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use ecs_console_archiver::archive::catalog::compact::compact;
use ecs_console_archiver::archive::catalog::read::Catalog;
use ecs_console_archiver::archive::catalog::reindex::reindex;
use ecs_console_archiver::archive::catalog::{CatalogKey, Row, Subject};
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::archive::prune::policy::Rules;
use ecs_console_archiver::archive::prune::{Options, Pruned, Told, prune};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::store::StoreError;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::kept::{Kept, Place, Placed, instance_id};
use crate::support::memory::paused_runtime;
use crate::support::raced::{Actor, World};
use crate::support::s3_server::{Denied, Profile};
use crate::support::*;

/// A boot's console: so much of it as was captured at its first, second and third capture.
fn console(boot: usize, captures: usize) -> String {
    let mut console = format!("[    0.000000] Linux version 6.1.{boot}\r\n");
    for part in 0..captures {
        for line in 0..20 {
            console += &format!(
                "[    {part}.{line:02}{boot:04}] boot {boot} says line {line} of part {part}\r\n"
            );
        }
    }
    console
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An instance with boots of these ages in days, the oldest first, each captured three times within an hour; every
/// third one panics. What each has in the archive.
fn boots(kept: &mut Kept, id: &InstanceId, ages: &[i64], now: Timestamp) -> Vec<BTreeSet<String>> {
    let mut all = Vec::new();
    for (boot, days) in ages.iter().enumerate() {
        let mut keys = BTreeSet::new();
        for capture in 0..3 {
            let mut console = console(boot, capture + 1);
            if boot % 3 == 1 && capture == 2 {
                console += "[    9.000000] Kernel panic - not syncing: as told\r\n";
            }
            let at = now - DAY * (*days as i32) + SignedDuration::from_mins(20 * capture as i64);
            let record = kept.record(id, console.as_bytes(), at);
            if capture == 1 {
                keys.insert(kept.verdict(&record, at));
            }
            keys.insert(record.to_string());
        }
        all.push(keys);
    }
    all
}

async fn pruned(placed: &Placed, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = cli(&placed.settings, &[&["prune"], arguments].concat()).await;
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What the archive has but for its catalog.
fn objects(placed: &Placed) -> BTreeSet<String> {
    let keys = placed.keys().into_iter();
    keys.filter(|key| !key.starts_with("catalog/")).collect()
}

fn all<'a>(boots: impl IntoIterator<Item = &'a BTreeSet<String>>) -> BTreeSet<String> {
    boots.into_iter().flatten().cloned().collect()
}

#[tokio::test]
async fn what_no_rule_keeps_goes_with_all_that_belongs_to_it() {
    for place in Place::ALL {
        let now = Timestamp::now();
        let mut kept = Kept::default();
        let one = boots(&mut kept, &instance_id(1), &[200, 150, 100, 50, 2], now);
        let other = boots(&mut kept, &instance_id(10), &[300], now);
        let placed = kept.with_catalog().place(place).await;
        let before = placed.keys();
        let rules = ["--keep-within", "60d", "--keep-ending", "panic"];
        let (code, shown, told) = pruned(&placed, &rules).await;
        assert_eq!((code, &*told), (Some(0), ""), "{place:?}");
        let lines: Vec<_> = shown.lines().collect();
        let actions: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("i-kept"))
            .map(|line| {
                let cells: Vec<_> = line
                    .split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect();
                cells[cells.len() - 2..].join(": ")
            })
            .collect();
        let expected = [
            "REMOVE: no rule keeps it",
            "keep: ending panic",
            "REMOVE: no rule keeps it",
            "keep: within",
            // The second and the fifth panic.
            "keep: newest, within, ending panic",
            "keep: newest",
        ];
        assert_eq!(actions, expected, "{shown}");
        let end = "\n2 boots would go and 4 stay: 8 objects with ";
        assert!(shown.contains(end), "{shown}");
        let is_bucket = place != Place::Folder;
        assert_eq!(shown.contains("if the bucket keeps versions"), is_bucket);
        assert_eq!(placed.keys(), before, "nothing is removed without --apply");
        if let Some(bucket) = &placed.bucket {
            assert!(
                bucket
                    .server
                    .methods()
                    .iter()
                    .all(|method| ["GET", "HEAD"].contains(&&**method))
            );
        }
        // The same plan, and it is done.
        let (code, applied, told) = pruned(&placed, &[&rules[..], &["--apply"]].concat()).await;
        assert_eq!((code, &*told), (Some(0), ""), "{place:?}");
        let plan = |shown: &str| -> Vec<String> {
            let lines = shown.lines().filter(|line| line.contains("i-kept"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(plan(&applied), plan(&shown));
        let end = "\n2 boots went and 4 stay: removed 8 objects with ";
        assert!(applied.contains(end), "{applied}");
        let stay = all([&one[1], &one[3], &one[4], &other[0]]);
        assert_eq!(objects(&placed), stay, "{place:?}");
        // A listing of the fleet shows what is there, and what was pruned if one asks for it.
        let listed = cli(
            &placed.settings,
            &["list", "--since", "-400d", "--output", "json"],
        )
        .await;
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let listed: BTreeSet<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap().to_owned())
            .collect();
        let records: BTreeSet<_> = stay
            .into_iter()
            .filter(|key| key.ends_with(".log.gz"))
            .collect();
        assert_eq!(listed, records);
        let gone = cli(
            &placed.settings,
            &["list", "--since", "-400d", "--outcome", "pruned", "--count"],
        )
        .await;
        assert_eq!(text(&gone.stdout), "6\n");
        let verified = cli(&placed.settings, &["verify"]).await;
        assert_eq!(
            verified.status.code(),
            Some(0),
            "{}",
            text(&verified.stdout)
        );
        // Again there is nothing to do.
        let (code, again, _) = pruned(&placed, &[&rules[..], &["--apply"]].concat()).await;
        assert_eq!(code, Some(0));
        assert!(
            again.ends_with("removed 0 objects with 0 bytes\n"),
            "{again}"
        );
    }
}

/// The panic may be in the part that is damaged.
#[tokio::test]
async fn of_an_instance_with_a_damaged_record_nothing_goes() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let one = boots(&mut kept, &instance_id(1), &[200, 150, 100, 2], now);
    let other = boots(&mut kept, &instance_id(2), &[200, 150, 2], now);
    let last = one[1].iter().rfind(|key| key.ends_with(".log.gz"));
    kept.change(last.unwrap(), |object| object.body.truncate(40));
    let placed = kept.with_catalog().place(Place::Folder).await;
    let rules = ["--keep-ending", "panic", "--max-remove", "100", "--apply"];
    let (_, shown, _) = pruned(&placed, &rules).await;
    assert!(
        shown.contains("a record of the instance is damaged"),
        "{shown}"
    );
    assert_eq!(objects(&placed), all(one.iter().chain(&other[1..])));
}

#[tokio::test]
async fn without_a_rule_or_with_too_much_nothing_goes() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    boots(&mut kept, &instance_id(1), &[200, 150, 100, 2], now);
    let placed = kept.with_catalog().place(Place::Bucket(Profile::Aws)).await;
    let before = placed.keys();
    for none in [&["--apply"][..], &["--keep-last", "0", "--apply"]] {
        let (code, _, told) = pruned(&placed, none).await;
        assert_eq!(code, Some(2));
        assert!(told.contains("no rule keeps anything"), "{told}");
    }
    for wrong in [
        ["--keep-within", "-90d"],
        ["--keep-ending", "oom"],
        ["--keep-last", "x"],
    ] {
        assert_eq!(pruned(&placed, &wrong).await.0, Some(2), "{wrong:?}");
    }
    let most = ["--keep-last", "1", "--apply"];
    let (code, _, told) = pruned(&placed, &most).await;
    assert_eq!(code, Some(1));
    assert!(
        told.contains("9 of 12 records would go, more than --max-remove 50: nothing was removed"),
        "{told}"
    );
    assert_eq!(placed.keys(), before);
    let (code, ..) = pruned(&placed, &[&most[..], &["--max-remove", "75"]].concat()).await;
    assert_eq!((code, objects(&placed).len()), (Some(0), 4));
    // Of another instance there is nothing, although its ID begins like this one's.
    let (code, _, told) = pruned(&placed, &["--keep-last", "1", "--instance", "i-kept000"]).await;
    assert_eq!(code, Some(3), "{told}");
}

/// Markers go once every boot that is kept is newer, and verdicts whose record is gone go, too.
#[tokio::test]
async fn what_belongs_to_no_boot_goes_with_the_old() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let of_boots = boots(&mut kept, &id, &[200, 2], now);
    let old = kept.marker(&id, now - DAY * 150);
    let new = kept.marker(&id, now - DAY);
    let mut lost = Kept::default();
    let record = lost.record(&id, b"lost\r\n", now - DAY * 90);
    let orphan = kept.verdict(&record, now - DAY * 90);
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (code, shown, _) = pruned(&placed, &["--keep-last", "1", "--apply"]).await;
    assert_eq!(code, Some(0));
    assert!(
        shown.contains("older than every boot that is kept: 1 marker"),
        "{shown}"
    );
    let there = objects(&placed);
    assert!(
        !there.contains(&old) && !there.contains(&orphan),
        "{there:?}"
    );
    let mut stay = of_boots[1].clone();
    stay.insert(new);
    assert_eq!(there, stay);
}

/// A record in which one boot ends and the next begins stays as long as either does.
#[tokio::test]
async fn a_record_that_two_boots_share_stays_with_either() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let at = |days: i32| now - DAY * days;
    let first = kept.record(&id, console(0, 1).as_bytes(), at(200));
    let both = format!(
        "{}[    9.000000] reboot: Restarting system\r\n{}",
        console(0, 2),
        console(1, 1)
    );
    let shared = kept.record(&id, both.as_bytes(), at(100));
    let last = kept.record(&id, console(2, 2).as_bytes(), at(2));
    let placed = kept.with_catalog().place(Place::Folder).await;
    let arguments = ["--keep-last", "2", "--apply"];
    let (code, shown, _) = pruned(&placed, &arguments).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("1 record shared with a boot that is kept"),
        "{shown}"
    );
    let stay: BTreeSet<_> = [shared.to_string(), last.to_string()].into();
    assert_eq!(objects(&placed), stay, "without {first}");
    let (_, shown, _) = pruned(&placed, &arguments).await;
    assert!(
        shown.contains("a boot that is kept shares its records"),
        "{shown}"
    );
    assert_eq!(objects(&placed), stay);
}

/// What may not be removed is told, stays listed, and costs no other boot its place.
#[tokio::test]
async fn what_is_locked_is_told_and_stays_listed() {
    for profile in [Profile::Aws, Profile::Oss { versioned: false }] {
        let now = Timestamp::now();
        let mut kept = Kept::default();
        let one = boots(&mut kept, &instance_id(1), &[200, 150, 2], now);
        let placed = kept.with_catalog().place(Place::Bucket(profile)).await;
        let server = &placed.bucket.as_ref().unwrap().server;
        // The second record of the oldest boot.
        let locked = one[0]
            .iter()
            .filter(|key| key.ends_with(".log.gz"))
            .nth(1)
            .unwrap()
            .clone();
        server.lock(&format!("kept/here/{locked}"));
        let arguments = ["--keep-last", "1", "--max-remove", "90", "--apply"];
        let (code, _, told) = pruned(&placed, &arguments).await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("2 objects may not be removed from"), "{told}");
        assert!(
            told.contains(&format!("locked: {}", placed.url(&locked))),
            "{told}"
        );
        let records =
            |keys: &BTreeSet<String>| keys.iter().filter(|key| key.ends_with(".log.gz")).count();
        let there = objects(&placed);
        assert_eq!(records(&there), 2 + 3, "{there:?}");
        assert!(all([&one[2]]).is_subset(&there) && there.contains(&locked));
        let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
        assert_eq!(text(&listed.stdout), "5\n", "{profile:?}");
        // Once joined, it is the same.
        assert!(cli(&placed.settings, &["compact"]).await.status.success());
        let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
        assert_eq!(text(&listed.stdout), "5\n", "{profile:?}");
    }
}

/// Keys that may not remove see the plan. Where everything is refused, it ends soon, and all stays listed.
#[tokio::test]
async fn keys_that_may_not_remove_see_the_plan_and_change_no_listing() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    for number in 0..40 {
        boots(&mut kept, &instance_id(number), &[200, 2], now);
    }
    let placed = kept.with_catalog().place(Place::Bucket(Profile::Aws)).await;
    let server = &placed.bucket.as_ref().unwrap().server;
    server.deny(&[Denied::Delete]);
    let (code, shown, _) = pruned(&placed, &["--keep-last", "1"]).await;
    assert_eq!(code, Some(0));
    assert!(shown.contains("40 boots would go and 40 stay"), "{shown}");
    let before = objects(&placed);
    let (code, _, told) = pruned(&placed, &["--keep-last", "1", "--apply"]).await;
    assert_eq!((code, objects(&placed)), (Some(1), before));
    assert!(told.contains("may not be removed"), "{told}");
    let deletes = server
        .methods()
        .iter()
        .filter(|method| *method == "DELETE")
        .count();
    // Sixteen refusals end it, and eight instances at once may have begun theirs.
    assert!(deletes < 80, "{deletes} removals were tried, of 160");
    let listed = cli(&placed.settings, &["list", "--since", "-400d", "--count"]).await;
    assert_eq!(text(&listed.stdout), "240\n");
}

/// Times of the store say nothing in an archive that was copied, and what has no time or a later one stays.
#[tokio::test]
async fn the_order_is_that_of_captures_and_what_has_no_time_stays() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    let id = instance_id(1);
    let of_boots = boots(&mut kept, &id, &[200, 150, 100, 50, 2], now);
    let mut later = boots(&mut kept, &id, &[-3], now);
    // Copied in the opposite order.
    let count = kept.objects.len() as i64;
    for (number, (_, at)) in kept.objects.values_mut().enumerate() {
        *at = now + SignedDuration::from_secs(count - number as i64 - 1000);
    }
    // And of one boot, the metadata are lost.
    for key in of_boots[1].iter().filter(|key| key.ends_with(".log.gz")) {
        kept.change(key, |object| drop(object.metadata.remove("captured-at")));
    }
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (code, shown, told) = pruned(
        &placed,
        &["--keep-last", "1", "--max-remove", "90", "--apply"],
    )
    .await;
    assert_eq!(code, Some(0), "{shown}{told}");
    assert!(
        shown.contains("undated") && shown.contains("future-dated"),
        "{shown}"
    );
    let stay = all([&of_boots[1], &of_boots[4], &later.pop().unwrap()]);
    assert_eq!(objects(&placed), stay, "{shown}");
}

#[tokio::test]
async fn programs_get_a_line_for_each_boot_and_a_summary() {
    let now = Timestamp::now();
    let mut kept = Kept::default();
    boots(&mut kept, &instance_id(1), &[200, 2], now);
    let placed = kept.with_catalog().place(Place::Folder).await;
    let (_, shown, _) = pruned(&placed, &["--keep-last", "1", "--output", "json"]).await;
    let lines: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str()).collect();
    assert_eq!(actions, [Some("remove"), Some("keep"), None]);
    assert_eq!(lines[1]["reasons"], serde_json::json!(["newest", "last"]));
    assert_eq!(
        (&lines[2]["objects"], &lines[2]["is_applied"]),
        (&4.into(), &false.into())
    );
}

// ---- Beside others, and killed at any call ----

/// An archive in the memory of the test, with two boots of three instances that go and one that stays.
fn world() -> (World, BTreeSet<String>, BTreeSet<String>) {
    let now = begin();
    let world = World::begin(now);
    let mut kept = Kept::default();
    let (mut stay, mut go) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..2 {
        let of = boots(&mut kept, &instance_id(number), &[200, 150, 2], now);
        go.extend(all(&of[..2]));
        stay.extend(of[2].clone());
    }
    for (key, (object, _)) in kept.with_catalog().objects {
        world.put(&key, object);
    }
    (world, stay, go)
}

fn begin() -> Timestamp {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

async fn prune_as(actor: &Actor, now: Timestamp) -> Option<Result<Pruned, StoreError>> {
    let options = Options {
        rules: Rules {
            last: 1,
            ..Rules::default()
        },
        instances: Instances {
            prefix: String::new(),
            includes: &|_| true,
        },
        applies: true,
        most_percent: 100,
        stops: &|| false,
    };
    let work = prune::<StoreError>(actor, &options, now, |_: Told| Ok(()));
    actor.run(work).await
}

fn archived(world: &World) -> BTreeSet<String> {
    let keys = world.keys().into_iter();
    keys.filter(|key| !key.starts_with("catalog/")).collect()
}

/// The rows of the catalog, as readers join them.
async fn rows(world: &World) -> BTreeMap<String, Vec<Row>> {
    let actor = Actor::new(world, None);
    let catalog = Catalog::open(&actor, Timestamp::MIN..=Timestamp::MAX)
        .await
        .unwrap();
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let read = catalog.read(|day| {
        for row in day.rows {
            rows.entry(row.subject.key()).or_default().push(row);
        }
        Ok::<_, StoreError>(())
    });
    read.await.unwrap();
    rows
}

/// Nothing half there is shown as whole, and no row points to what is not there unless it says so.
async fn check(world: &World, stay: &BTreeSet<String>, case: &str) {
    let there = archived(world);
    assert!(stay.is_subset(&there), "{case}: lost {:?}", stay - &there);
    let rows = rows(world).await;
    for (key, rows) in &rows {
        let is_listed = rows.iter().any(|row| !row.is_pruned());
        assert!(
            !is_listed || there.contains(key),
            "{case}: {key} is listed, and gone"
        );
    }
    // Of a boot of which a record is gone, no other is listed, and its beginning is gone as well.
    let is_record = |key: &&String| Subject::parse(key).is_some();
    for number in 0..2 {
        let prefix = format!("{}/", instance_id(number));
        let of_instance: Vec<_> = there
            .iter()
            .filter(|key| key.starts_with(&prefix))
            .filter(is_record)
            .collect();
        for boot in 0..2_usize {
            let of_boot: Vec<_> = of_instance
                .iter()
                .filter(|key| {
                    let object = world.object(key);
                    let plain =
                        ecs_console_archiver::archive::record::unpack(&object.body).unwrap();
                    text(&plain).contains(&format!("boot {boot} says"))
                })
                .collect();
            if of_boot.is_empty() || of_boot.len() == 3 {
                continue;
            }
            for key in of_boot {
                let is_listed = rows
                    .get(*key)
                    .is_some_and(|rows| rows.iter().any(|row| !row.is_pruned()));
                assert!(
                    !is_listed,
                    "{case}: {key} of a boot that is half gone is listed"
                );
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    Prune,
    Compact,
    Reindex,
}

async fn beside(world: &World, work: Beside) {
    let actor = Actor::new(world, None);
    match work {
        Beside::Nothing => {}
        Beside::Prune => drop(prune_as(&actor, world.now()).await.unwrap().unwrap()),
        Beside::Compact => drop(compact(&actor, world.now(), || true).await.unwrap()),
        Beside::Reindex => drop(reindex(&actor, None, |_| {}).await.unwrap()),
    }
}

/// Each call of a run is its last one, with its effect and without; beside others.
#[test]
fn wherever_it_is_killed_nothing_half_there_is_listed_and_the_next_run_finishes() {
    let cases = AtomicUsize::new(0);
    for work in [
        Beside::Nothing,
        Beside::Prune,
        Beside::Compact,
        Beside::Reindex,
    ] {
        for call in 1.. {
            let mut has_ended = false;
            for has_effect in [false, true] {
                fastrand::seed(call as u64);
                has_ended |= paused_runtime().block_on(async {
                    let (world, stay, go) = world();
                    let case = format!("killed at call {call}, {has_effect}, beside {work:?}");
                    let actor = Actor::new(&world, Some((call, has_effect)));
                    let (ended, ()) =
                        tokio::join!(prune_as(&actor, world.now()), beside(&world, work));
                    if let Some(ended) = &ended {
                        assert!(ended.is_ok(), "{case}: {ended:?}");
                    }
                    // Who reindexes may list what it has read before it went; see the end.
                    if !matches!(work, Beside::Reindex) {
                        check(&world, &stay, &case).await;
                    }
                    let actor = Actor::new(&world, None);
                    prune_as(&actor, world.now()).await.unwrap().unwrap();
                    if !matches!(work, Beside::Reindex) {
                        check(&world, &stay, &case).await;
                    }
                    assert_eq!(archived(&world), stay, "{case}: of {go:?}");
                    reindex(&actor, None, |_| {}).await.unwrap();
                    let listed: BTreeSet<_> = rows(&world).await.into_keys().collect();
                    let records: BTreeSet<_> = stay
                        .into_iter()
                        .filter(|key| Subject::parse(key).is_some())
                        .collect();
                    assert_eq!(listed, records, "{case}");
                    cases.fetch_add(1, Ordering::Relaxed);
                    ended.is_some()
                });
            }
            if has_ended {
                break;
            }
        }
    }
    let cases = cases.into_inner();
    println!("killed at {cases} places");
    assert!(cases > 200, "{cases} places are too few");
}

/// Locked objects are removed from no listing, whoever joins rows meanwhile.
#[test]
fn where_nothing_may_be_removed_all_stays_listed() {
    for work in [Beside::Nothing, Beside::Compact] {
        paused_runtime().block_on(async {
            let (world, stay, go) = world();
            world.lock();
            let actor = Actor::new(&world, None);
            let (done, ()) = tokio::join!(prune_as(&actor, world.now()), beside(&world, work));
            let done = done.unwrap().unwrap();
            assert_eq!(done.removed.objects, 0);
            assert!(done.locked > 0);
            assert_eq!(archived(&world), &stay | &go);
            let rows = rows(&world).await;
            let hidden: Vec<_> = rows
                .values()
                .flatten()
                .filter(|row| row.is_pruned())
                .collect();
            assert!(hidden.is_empty(), "{hidden:?}");
            let is_row = |key: &&String| matches!(CatalogKey::parse(key), Some(CatalogKey::Row(_)));
            assert!(world.keys().iter().filter(is_row).count() > 0);
        });
    }
}
