//! The catalog: what it says equals the records, whoever writes, joins, rebuilds and is killed meanwhile; and
//! a listing by it takes few requests, whatever the archive has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ecs_console_archiver::archive::catalog::compact::{self, compact};
use ecs_console_archiver::archive::catalog::day::Rows;
use ecs_console_archiver::archive::catalog::read::{Catalog, Coverage};
use ecs_console_archiver::archive::catalog::reindex::reindex;
use ecs_console_archiver::archive::catalog::{CatalogKey, Day, Row, Subject};
use ecs_console_archiver::archive::key::ConsoleDigest;
use ecs_console_archiver::archive::verify::{Fault, Scope, Told, VerifyError, verify};
use ecs_console_archiver::capture::Archiver;
use ecs_console_archiver::clock::WallClock;
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::model::outcome::Compacted;
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::Console;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::cataloged::{self, put_catalog, stored};
use crate::support::fakes::{self, FakeFleet, instance};
use crate::support::kept::{self, Kept, Place};
use crate::support::memory::paused_runtime;
use crate::support::raced::{Actor, World};
use crate::support::runtime_api::Function;
use crate::support::s3_server::{Profile, Quirk, REAL_PAGE};
use crate::support::*;

// ---- Actors at once, killed at any call ----

/// What an actor does, and at which call it is killed, if at all; whether that call still has its effect.
type Doing = (Work, Option<(usize, bool)>);

/// What an actor does.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Captures this instance by hand, up to three times if it is killed, as platforms deliver events again.
    Capture(usize),
    Compact,
    Reindex,
    /// Finds what has expired, and nothing else.
    Verify,
    /// Removes one of the records, as a lifecycle rule does, which knows no rows.
    Expire(usize),
    /// Hours go by.
    Wait(u64),
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        5 => (0..4usize).prop_map(Work::Capture),
        2 => Just(Work::Compact),
        1 => Just(Work::Reindex),
        1 => Just(Work::Verify),
        1 => (0..4usize).prop_map(Work::Expire),
        2 => (1..40u64).prop_map(Work::Wait),
    ]
}

/// Where an actor is killed, if at all.
fn death() -> impl Strategy<Value = Option<(usize, bool)>> {
    proptest::option::of((1..12usize, any::<bool>()))
}

fn begin() -> Timestamp {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

/// By the world's clock, with a catalog.
fn archiver(world: &World, fleet: &FakeFleet, actor: &Actor) -> Archiver<FakeFleet, Actor> {
    Archiver {
        has_catalog: true,
        clock: WallClock::Tokio {
            time: world.now(),
            instant: Instant::now(),
        },
        ..fakes::archiver(fleet, actor)
    }
}

async fn capture(world: &World, number: usize, dies_at: Option<(usize, bool)>) {
    let fleet = FakeFleet::default();
    fleet.state().grows_by = 1;
    let occurred_at = world.now();
    // A console of its own, or one that was captured before.
    let asked = fastrand::usize(0..3);
    fleet.state().asked.insert(instance(number), asked);
    for delivery in 0..3 {
        fleet.state().asked.insert(instance(number), asked);
        let actor = Actor::new(world, dies_at.filter(|_| delivery == 0));
        let archiver = archiver(world, &fleet, &actor);
        let event = InstanceEvent {
            instance_id: instance(number),
            region_id: None,
            account_id: None,
            cause: Cause::Manual,
            event_id: None,
            occurred_at: Some(occurred_at),
        };
        let captured =
            actor.run(archiver.capture(event, Deadline::after(Duration::from_secs(300))));
        if let Some(outcome) = captured.await {
            outcome.unwrap();
            return;
        }
    }
}

async fn perform(world: &World, work: Work, dies_at: Option<(usize, bool)>) {
    let actor = Actor::new(world, dies_at);
    match work {
        Work::Capture(number) => capture(world, number, dies_at).await,
        Work::Compact => {
            if let Some(done) = actor.run(compact(&actor, world.now(), || true)).await {
                done.unwrap();
            }
        }
        Work::Reindex => {
            if let Some(done) = actor.run(reindex(&actor, None, |_| {})).await {
                done.unwrap();
            }
        }
        Work::Verify => {
            let mut found = Vec::new();
            let told = |told: Told| {
                if let Told::Found(finding) = told {
                    found.push(finding.clone());
                }
                Ok::<_, VerifyError>(())
            };
            let scope = Scope::default();
            actor
                .run(verify(&actor, &scope, world.now(), told))
                .await
                .transpose()
                .unwrap();
            for finding in found {
                let has_expired = !world.keys().contains(&finding.key);
                assert!(
                    finding.fault == Fault::Missing && has_expired,
                    "{finding:?}"
                );
            }
        }
        Work::Expire(number) => {
            let records = records(world);
            if let Some(key) = records.iter().nth(number) {
                world.remove(key);
            }
        }
        Work::Wait(hours) => tokio::time::sleep(Duration::from_secs(hours * 3600)).await,
    }
}

fn records(world: &World) -> BTreeSet<String> {
    let keys = world.keys().into_iter();
    keys.filter(|key| Subject::parse(key).is_some()).collect()
}

/// What a reader of the catalog finds.
async fn listed(world: &World) -> BTreeMap<String, Row> {
    let actor = Actor::new(world, None);
    let catalog = Catalog::open(&actor, Timestamp::MIN..=Timestamp::MAX)
        .await
        .unwrap();
    let mut rows = BTreeMap::new();
    let mut add = |day: ecs_console_archiver::archive::catalog::read::ReadDay| {
        assert!(day.damaged.is_empty());
        for row in day.rows {
            rows.entry(row.subject.key()).or_insert(row);
        }
        Ok::<_, ecs_console_archiver::store::StoreError>(())
    };
    catalog.read(&mut add).await.unwrap();
    rows
}

/// The catalog's objects, to compare them byte by byte.
fn catalog_of(world: &World) -> BTreeMap<String, Vec<u8>> {
    let keys = world.keys().into_iter();
    keys.filter(|key| key.starts_with("catalog/"))
        .map(|key| (key.clone(), world.object(&key).body))
        .collect()
}

fn check_race(pairs: &[[Doing; 2]], seed: u64) -> Result<(), TestCaseError> {
    fastrand::seed(seed);
    paused_runtime().block_on(async {
        let world = World::begin(begin());
        if seed.is_multiple_of(2) {
            world.be_basic();
        }
        let mut expired = BTreeSet::new();
        for [one, other] in pairs {
            let before = records(&world);
            tokio::join!(
                perform(&world, one.0, one.1),
                perform(&world, other.0, other.1)
            );
            let after = records(&world);
            expired.extend(before.difference(&after).cloned());
        }
        prop_assert_eq!(world.differing(), Vec::<String>::new());
        let there = records(&world);
        let rows = listed(&world).await;
        let known: BTreeSet<_> = rows.keys().cloned().collect();
        // Each event was acknowledged, so each record is listed; a row without a record is of one that expired.
        prop_assert!(there.is_subset(&known), "not listed: {:?}", &there - &known);
        prop_assert!(
            known.is_subset(&(&there | &expired)),
            "never was: {:?}",
            &known - &there
        );
        let actor = Actor::new(&world, None);
        reindex(&actor, None, |_| {}).await.unwrap();
        let rebuilt = listed(&world).await;
        let known: BTreeSet<_> = rebuilt.keys().cloned().collect();
        prop_assert_eq!(&known, &there);
        for (key, row) in &rebuilt {
            let metadata = world.object(key).metadata;
            let captured_at: Timestamp = metadata["captured-at"].parse().unwrap();
            prop_assert_eq!(row.captured_at, captured_at, "{}", key);
        }
        let first = catalog_of(&world);
        reindex(&actor, None, |_| {}).await.unwrap();
        prop_assert_eq!(catalog_of(&world), first, "a second run changes nothing");
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn whoever_works_at_once_and_is_killed_no_record_is_lost_from_the_catalog(
        pairs in proptest::collection::vec([(work(), death()), (work(), death())], 1..10),
        seed in any::<u64>(),
    ) {
        check_race(&pairs, seed)?;
    }
}

/// Every call of every actor is the last one, beside another actor that goes on.
#[test]
fn wherever_a_compactor_or_an_indexer_is_killed_the_next_one_finishes() {
    let mut cases = 0;
    for work in [Work::Compact, Work::Reindex] {
        for beside in [Work::Compact, Work::Reindex, Work::Verify, Work::Capture(1)] {
            for call in 1..40 {
                for has_effect in [false, true] {
                    let none = |work| (work, None);
                    let pairs = [
                        [none(Work::Capture(0)), none(Work::Capture(1))],
                        [none(Work::Wait(9)), none(Work::Wait(1))],
                        [none(Work::Capture(2)), none(Work::Compact)],
                        [none(Work::Wait(30)), none(Work::Wait(1))],
                        [(work, Some((call, has_effect))), none(beside)],
                        [none(Work::Compact), none(Work::Wait(1))],
                    ];
                    // The second is a store without conditions.
                    for seed in [7, 8] {
                        check_race(&pairs, seed).unwrap();
                    }
                    cases += 1;
                }
            }
        }
    }
    println!("killed at {cases} places");
}

/// With Object Lock nothing is removed, and nothing is listed twice.
#[test]
fn where_nothing_may_be_removed_each_record_is_listed_once() {
    paused_runtime().block_on(async {
        let world = World::begin(begin());
        for number in 0..3 {
            capture(&world, number, None).await;
        }
        world.lock();
        tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
        let actor = Actor::new(&world, None);
        let done = compact(&actor, world.now(), || true).await.unwrap();
        assert_eq!(
            (done.days, done.rows, done.removed, done.left),
            (1, 3, 0, 3)
        );
        let again = compact(&actor, world.now(), || true).await.unwrap();
        assert_eq!(again, Compacted::default(), "nothing is new");
        assert_eq!(listed(&world).await.len(), 3);
        let keys = world.keys().into_iter();
        let days = keys.filter(|key| matches!(CatalogKey::parse(key), Some(CatalogKey::Day(_))));
        assert_eq!(days.count(), 1);
    });
}

#[test]
fn a_day_is_joined_75_minutes_after_its_end_and_not_before() {
    paused_runtime().block_on(async {
        let world = World::begin(begin());
        capture(&world, 0, None).await;
        let actor = Actor::new(&world, None);
        let closes_at = Day::of(begin()).end() + compact::CLOSES_AFTER;
        let early = compact(&actor, closes_at - SignedDuration::from_secs(1), || true)
            .await
            .unwrap();
        assert_eq!(early.days, 0);
        assert_eq!(compact(&actor, closes_at, || true).await.unwrap().days, 1);
        // A row that came late is joined by the next run.
        let late = world
            .keys()
            .into_iter()
            .find(|key| key.starts_with("i-"))
            .unwrap();
        let row = Row::listed(
            Subject::parse(&late).unwrap(),
            begin(),
            None,
            Some(Freshness::Fresh),
        );
        let (key, object) = row.packed();
        world.put(&key.to_string(), object);
        let again = compact(&actor, closes_at, || true).await.unwrap();
        assert_eq!((again.days, again.rows, again.removed), (1, 1, 2));
        let rows = listed(&world).await;
        assert_eq!(rows[&late].freshness, Some(Freshness::Fresh));
        assert!(
            rows[&late].sha256.is_some(),
            "the facts of the first row stay"
        );
        assert_eq!(
            compact(&actor, closes_at, || true).await.unwrap(),
            Compacted::default()
        );
    });
}

/// What somebody else put there is left alone, and a damaged object stops its day: its rows must not be lost.
#[test]
fn foreign_files_are_left_alone_and_damage_is_told() {
    paused_runtime().block_on(async {
        let world = World::begin(begin());
        capture(&world, 0, None).await;
        let record = world.object(&records(&world).into_iter().next().unwrap());
        let foreign = [
            "catalog/README.md",
            "catalog/rows/dt=2026-11-24/_SUCCESS",
            "catalog/days/dt=2026-11-24/part-0.parquet",
        ];
        for key in foreign {
            world.put(key, record.clone());
        }
        tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
        let actor = Actor::new(&world, None);
        assert_eq!(compact(&actor, world.now(), || true).await.unwrap().rows, 1);
        let keys = world.keys();
        assert!(
            foreign
                .iter()
                .all(|key| keys.iter().any(|found| found == key))
        );
        let is_day = |key: &&String| matches!(CatalogKey::parse(key), Some(CatalogKey::Day(_)));
        let day = keys.iter().find(is_day).unwrap();
        let mut damaged = world.object(day);
        damaged.body.truncate(40);
        world.put(day, damaged);
        capture(&world, 1, None).await;
        let row = Row::listed(
            Subject::parse(&records(&world).into_iter().next().unwrap()).unwrap(),
            begin(),
            None,
            None,
        );
        let (key, object) = row.packed();
        world.put(&key.to_string(), object);
        let error = compact(&actor, world.now(), || true)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(day) && error.contains("reindex"), "{error}");
        assert!(
            world.keys().contains(&key.to_string()),
            "nothing was removed for it"
        );
        reindex(&actor, None, |_| {}).await.unwrap();
        assert_eq!(listed(&world).await.len(), 2);
    });
}

// ---- The programs, over sockets ----

/// The JSON that the command line prints.
async fn printed(settings: &Settings, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    let output = cli(settings, &arguments).await;
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the function writes for its events is what a rebuilt catalog says, member by member.
#[tokio::test]
async fn rows_of_events_say_what_the_records_say() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let consoles = [
        "i-bp1normalreboot0001",
        "i-bp1panicnoroot00001",
        "i-bp1oomkill000000001",
    ];
    for id in consoles {
        set_console(&bucket.simulator, id, &fixture(id), "2024-03-22 10:04:57");
        function.result_of(starting(id).as_bytes()).await;
    }
    let silent = InstanceId::parse("i-silent").unwrap();
    bucket.simulator.set_console(
        &silent,
        Console::Error {
            status: 403,
            code: "NotSupported".into(),
        },
    );
    function.result_of(starting("i-silent").as_bytes()).await;
    let joined = |server: &s3_server::S3Server| {
        let rows = server.catalog().into_iter().filter_map(|(key, object)| {
            let key = key.strip_prefix("kept/here/").unwrap();
            match CatalogKey::parse(key)? {
                CatalogKey::Row(_) => Some(vec![Row::parse(&object.body).unwrap()]),
                CatalogKey::Day(_) => {
                    Some(ecs_console_archiver::archive::catalog::day::unpack(&object.body).unwrap())
                }
            }
        });
        let rows: Rows = rows.flatten().collect();
        rows.in_order()
    };
    let written = joined(&bucket.server);
    assert_eq!(written.len(), 4);
    let endings: Vec<_> = written
        .iter()
        .map(|row| row.ending.map(|e| e.as_str()))
        .collect();
    assert!(
        endings.contains(&Some("panic")) && endings.contains(&Some("clean")),
        "{endings:?}"
    );
    let rebuilt = printed(&bucket.settings, &["reindex"]).await;
    assert_eq!(
        (&rebuilt["rows"], &rebuilt["removed"]),
        (&json!(4), &json!(4))
    );
    let without_time = |row: &Row| {
        let mut row = serde_json::to_value(row).unwrap();
        // A marker does not say when it was captured, and a row says by the function's clock.
        if row["outcome"] == "no_console" {
            for time in ["captured_at", "last_captured_at"] {
                row[time] = Value::Null;
            }
        }
        // The digits of a fraction are cut in metadata.
        row
    };
    let rebuilt = joined(&bucket.server);
    let by_key = |rows: &[Row]| -> BTreeMap<String, Value> {
        rows.iter()
            .map(|row| (row.subject.key(), without_time(row)))
            .collect()
    };
    assert_eq!(by_key(&rebuilt), by_key(&written));
    function.stop().await;
}

/// The requests of a command: listings, and reads.
async fn requests(bucket: &Bucket, arguments: &[&str]) -> (usize, usize, std::process::Output) {
    let before = (bucket.server.listings(), bucket.server.methods().len());
    let output = cli(&bucket.settings, arguments).await;
    let listings = bucket.server.listings() - before.0;
    let all = bucket.server.methods().len() - before.1;
    (listings, all - listings, output)
}

#[tokio::test]
async fn a_week_of_a_year_takes_a_listing_of_days_and_of_rows_and_a_read_for_each_day() {
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    let today = put_catalog(&bucket.server, 365, 20, 1001);
    let since = (today.begin() - SignedDuration::from_hours(7 * 24)).to_string();
    let (listings, reads, output) =
        requests(&bucket, &["list", "--since", &since, "--count"]).await;
    assert_eq!(text(&output.stdout), format!("{}\n", 7 * 20 + 1001));
    // 1001 rows of today are two pages.
    assert_eq!((listings, reads), (2 + 1, 7), "{}", text(&output.stderr));
    let (listings, reads, output) = requests(
        &bucket,
        &[
            "list",
            "--since",
            &since,
            "--ending",
            "panic",
            "--cause",
            "St*",
            "--instance",
            "*0001",
        ],
    )
    .await;
    assert_eq!((listings, reads), (2 + 1, 7));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert!(lines.len() > 1, "{lines:?}");
    for line in &lines[1..] {
        assert!(
            line.contains("i-bp1fleet0001") && line.contains("panic"),
            "{line}"
        );
    }
    // A range in the middle reads no rows of today's.
    let until = (today.begin() - SignedDuration::from_hours(5 * 24 + 1)).to_string();
    let (_, reads, output) = requests(
        &bucket,
        &["list", "--since", &since, "--until", &until, "--count"],
    )
    .await;
    assert_eq!((text(&output.stdout), reads), ("40\n".to_owned(), 2));
}

/// The names of rows do not say what went wrong: those of today are read, each by itself.
#[tokio::test]
async fn findings_of_a_fleet_take_a_read_for_each_day_and_for_each_row_of_today() {
    let bucket = Bucket::start(Profile::Aws).await;
    for id in ["i-a1", "i-a2", "i-a3"] {
        let console = fixture("i-bp1panicnoroot00001");
        set_console(&bucket.simulator, id, &console, "2024-03-22 10:04:57");
        assert!(
            cli(&bucket.settings, &["capture", id])
                .await
                .status
                .success()
        );
    }
    let asked = [
        "findings",
        "--signature",
        "root-not-mounted",
        "--output",
        "json",
    ];
    let (of_list, _, _) =
        requests(&bucket, &["list", "--since", "-1d", "--outcome", "pruned"]).await;
    let (listings, reads, output) =
        requests(&bucket, &[&asked[..], &["--since", "-1d"]].concat()).await;
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["instances"], 3, "{found:#}");
    assert!(
        listings <= of_list,
        "{listings} listings, and {of_list} of list"
    );
    assert_eq!(reads, 3, "{}", text(&output.stderr));
    printed(&bucket.settings, &["reindex"]).await;
    let (listings, reads, output) = requests(&bucket, &asked).await;
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((again, text(&output.stderr)), (found, String::new()));
    assert_eq!((listings, reads), (2, 1));
}

/// Of one instance, a range takes a request, on stores that sort.
#[tokio::test]
async fn a_range_of_one_instance_takes_one_listing() {
    for profile in [Profile::Aws, Profile::Oss { versioned: false }] {
        let bucket = Bucket::start(profile).await;
        bucket.server.set_page(REAL_PAGE);
        let objects = (0..2500).map(|number| {
            let (day, hour) = (number / 24, number % 24);
            let time = Day::of(begin() + SignedDuration::from_hours(24 * day)).0;
            let digest = ConsoleDigest::of(number.to_string().as_bytes()).short();
            let time = format!("{}T{hour:02}0000", time.to_string().replace('-', ""));
            (
                format!("kept/here/i-a1/{time}-{digest}.log.gz"),
                stored(b"x".to_vec()),
            )
        });
        bucket.server.put_all(objects);
        let arguments = [
            "list",
            "i-a1",
            "--since",
            "2026-12-20",
            "--until",
            "2026-12-21",
            "--count",
        ];
        let (listings, reads, output) = requests(&bucket, &arguments).await;
        assert_eq!(
            (text(&output.stdout), listings, reads),
            // The second is for records without a time, which sort behind all others.
            ("48\n".to_owned(), 2, 0),
            "{profile:?}"
        );
        let arguments = ["list", "i-a1", "--since", "2027-02-20", "--count"];
        let (listings, reads, _) = requests(&bucket, &arguments).await;
        assert_eq!((listings, reads), (1, 0), "{profile:?}");
    }
}

/// The catalog has what a listing of one instance shows: no record of many is asked for it.
#[tokio::test]
async fn the_catalog_spares_a_request_for_each_record_of_an_instance() {
    let mut kept = Kept::default();
    let begin = Day::of(Timestamp::now() - SignedDuration::from_hours(240)).begin();
    let id = kept::instance_id(1);
    for number in 0..200_i64 {
        // Five days with forty records each.
        let at = begin + SignedDuration::from_secs((number / 40) * 86_400 + (number % 40) * 600);
        let key = kept.record(&id, format!("console {number}").as_bytes(), at);
        if number % 10 == 3 {
            kept.verdict(&key, at);
        }
        if number % 20 == 7 {
            kept.marker(&id, at);
        }
        kept.record(
            &kept::instance_id(2),
            format!("another {number}").as_bytes(),
            at,
        );
    }
    // The times in keys are taken for UTC+8.
    let of_zone = SignedDuration::from_hours(8);
    let since = (begin - of_zone).to_string();
    let plain = kept.clone().place(Place::Bucket(Profile::Aws)).await;
    let joined = kept.with_days().place(Place::Bucket(Profile::Aws)).await;
    for (options, reads_alone, reads_joined) in [
        (&["--output", "json"][..], 210, 15),
        (&[], 210, 5),
        (&["--count"], 0, 0),
    ] {
        let arguments = [&["list", id.as_str(), "--since", &since], options].concat();
        let (_, reads, expected) = requests(plain.bucket.as_ref().unwrap(), &arguments).await;
        assert_eq!(reads, reads_alone, "{}", text(&expected.stderr));
        let (listings, reads, found) = requests(joined.bucket.as_ref().unwrap(), &arguments).await;
        let of_days = usize::from(reads_joined > 0);
        assert_eq!(
            (listings, reads),
            (1 + of_days, reads_joined),
            "{}",
            text(&found.stderr)
        );
        assert_eq!(text(&found.stdout), text(&expected.stdout));
    }
    // A few are asked, as that takes fewer requests.
    let last = begin + SignedDuration::from_secs(4 * 86_400 + 38 * 600) - of_zone;
    let (other, last) = (kept::instance_id(2), last.to_string());
    let arguments = ["list", other.as_str(), "--since", &last];
    let (listings, reads, _) = requests(joined.bucket.as_ref().unwrap(), &arguments).await;
    assert_eq!((listings, reads), (1, 2));
}

/// Below a prefix that nobody writes to, there is nothing to claim.
#[tokio::test]
async fn nothing_is_indexed_where_nothing_is() {
    let bucket = Bucket::start(Profile::Aws).await;
    let output = cli(&bucket.settings, &["reindex"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("no records in s3://"),
        "{}",
        text(&output.stderr)
    );
    assert!(bucket.server.catalog().is_empty());
}

/// An archive that is older than its catalog is listed whole, and says so; rebuilt, it is not.
#[tokio::test]
async fn what_the_catalog_does_not_reach_is_listed_all_the_same() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.push(("CATALOG".into(), "off".into()));
    for number in 0..8 {
        let id = format!("i-old{number}");
        set_console(
            &bucket.simulator,
            &id,
            &fixture("i-bp1normalreboot0001"),
            "2024-03-22 10:04:57",
        );
        assert!(
            cli(&bucket.settings, &["capture", &id])
                .await
                .status
                .success()
        );
    }
    assert!(bucket.server.catalog().is_empty());
    let (_, _, output) = requests(&bucket, &["list", "--since", "-1d", "--count"]).await;
    assert_eq!(text(&output.stdout), "8\n");
    let told = text(&output.stderr);
    assert!(
        told.contains("requests, because it has no catalog") && told.contains("reindex"),
        "{told}"
    );
    bucket.settings.push(("CATALOG".into(), "on".into())); // The later one counts.
    set_console(
        &bucket.simulator,
        "i-new",
        &fixture("i-bp1panicnoroot00001"),
        "2024-03-22 10:04:57",
    );
    assert!(
        cli(&bucket.settings, &["capture", "i-new"])
            .await
            .status
            .success()
    );
    let (_, _, output) = requests(&bucket, &["list", "--since", "-1d", "--count"]).await;
    assert_eq!(
        text(&output.stdout),
        "9\n",
        "the catalog began today, and may lack what came before"
    );
    assert!(
        text(&output.stderr).contains("its catalog begins on"),
        "{}",
        text(&output.stderr)
    );
    let done = printed(&bucket.settings, &["reindex"]).await;
    assert_eq!(done["rows"], 9, "{done}");
    let (listings, _, output) = requests(&bucket, &["list", "--since", "-1d", "--count"]).await;
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("9\n".to_owned(), String::new())
    );
    assert_eq!(listings, 2);
    let panics = printed(&bucket.settings, &["list", "--ending", "panic"]).await;
    assert_eq!(panics[0]["instance_id"], "i-new", "{panics}");
    assert_eq!(panics.as_array().unwrap().len(), 1);
}

/// Stores that list in other ways give the same.
#[tokio::test]
async fn odd_listings_change_nothing() {
    for quirk in [
        Quirk::EmptyPages,
        Quirk::OutOfOrder,
        Quirk::EncodesNothing,
        Quirk::EncodesKeysSilently,
        Quirk::NoTruncatedFlag,
    ] {
        let bucket = Bucket::start(Profile::Aws).await;
        put_catalog(&bucket.server, 5, 4, 11);
        bucket.server.behave(&[quirk]);
        let count = printed(&bucket.settings, &["list", "--count"]).await;
        assert_eq!(count["count"], 5 * 4 + 11, "{quirk:?}");
        let done = printed(&bucket.settings, &["compact"]).await;
        assert_eq!(done["days"], 0, "{quirk:?}: today is not over");
    }
}

/// An object in an archival storage class, say, keeps no other out of the catalog.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_indexed_by_what_is_known_of_it() {
    let bucket = Bucket::start(Profile::Aws).await;
    for id in ["i-bp1normalreboot0001", "i-bp1panicnoroot00001"] {
        assert!(
            cli(&bucket.settings, &["capture", id])
                .await
                .status
                .success()
        );
    }
    let keys: Vec<_> = bucket.server.records().into_keys().collect();
    let frozen = keys.iter().find(|key| key.contains("panic")).unwrap();
    bucket
        .server
        .make_unreadable(frozen, 403, "InvalidObjectState");
    let output = cli(&bucket.settings, &["reindex", "--output", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&done["rows"], done["damaged"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    assert!(
        done["damaged"][0].as_str().unwrap().ends_with(frozen),
        "{done}"
    );
    let endings = async || {
        let listed = printed(&bucket.settings, &["list"]).await;
        ["i-bp1panicnoroot00001", "i-bp1normalreboot0001"].map(|id| {
            let mut rows = listed.as_array().unwrap().iter();
            rows.find(|row| row["instance_id"] == id).unwrap()["ending"].clone()
        })
    };
    // What the old catalog said of it stays, whether its row stands by itself or is joined.
    let known = endings().await;
    assert_eq!(known[0], "panic");
    let again = cli(&bucket.settings, &["reindex"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(endings().await, known);
    for key in bucket.server.catalog().keys() {
        bucket.server.remove(key);
    }
    let again = cli(&bucket.settings, &["reindex"]).await;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(endings().await, [Value::Null, known[1].clone()]);
}

/// In a folder it is the same: rows are files, and days are joined.
#[tokio::test]
async fn a_folder_has_its_catalog_too() {
    let simulator = simulator().await;
    let (folder, settings) = archive_folder(&simulator);
    for id in ["i-bp1normalreboot0001", "i-bp1panicnoroot00001"] {
        assert!(cli(&settings, &["capture", id]).await.status.success());
    }
    let listed = printed(
        &settings,
        &["list", "--since", "today", "--ending", "panic"],
    )
    .await;
    assert_eq!(
        listed[0]["instance_id"], "i-bp1panicnoroot00001",
        "{listed}"
    );
    assert_eq!(listed[0]["event_cause"], "manual");
    assert_eq!(
        listed[0]["reached_login"],
        Value::Null,
        "a name does not say it"
    );
    let archive = folder.path().join("archive");
    let names = || files_in(&archive).into_iter().map(|(name, _)| name);
    assert_eq!(
        names()
            .filter(|name| name.starts_with("catalog/rows/") && !name.ends_with(".meta.json"))
            .count(),
        2
    );
    let done = printed(&settings, &["reindex"]).await;
    assert_eq!((&done["rows"], &done["removed"]), (&json!(2), &json!(2)));
    assert!(!names().any(|name| name.starts_with("catalog/rows/")));
    let listed = printed(&settings, &["list", "--ending", "panic"]).await;
    assert_eq!(listed[0]["reached_login"], false, "{listed}");
    assert_eq!(done["lost"], 0, "{done}");
    let table = cli(&settings, &["list", "--since", "today"]).await;
    let table = text(&table.stdout);
    assert!(table.starts_with("INSTANCE"), "{table}");
    assert!(
        table.contains("panic") && table.contains("manual"),
        "{table}"
    );
}

/// Only the catalog says that a record was there. Whoever builds it anew learns what it does not say any more.
#[tokio::test]
async fn a_row_whose_record_is_gone_is_named_once_it_is_dropped() {
    let simulator = simulator().await;
    let (folder, settings) = archive_folder(&simulator);
    let (lost, other) = ("i-bp1normalreboot0001", "i-bp1panicnoroot00001");
    let remove = |id: &str| std::fs::remove_dir_all(folder.path().join("archive").join(id));
    for (id, is_joined) in [(lost, false), (lost, true)] {
        for id in [id, other] {
            assert!(cli(&settings, &["capture", id]).await.status.success());
        }
        if is_joined {
            let done = printed(&settings, &["reindex"]).await;
            assert_eq!((&done["rows"], &done["lost"]), (&json!(2), &json!(0)));
        }
        remove(id).unwrap();
        let done = cli(&settings, &["reindex"]).await;
        let told = text(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{told}");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        let named = format!("row dropped: its record is gone: {lost}/");
        assert!(lines[0].contains(&named), "{told}");
        assert!(lines[1].contains("1 row dropped"), "{told}");
        let again = cli(&settings, &["reindex"]).await;
        assert_eq!(text(&again.stderr), "");
    }
    // What was removed on purpose is not lost.
    let prune = [
        "prune",
        "--keep-last",
        "1",
        "--max-remove",
        "100",
        "--apply",
    ];
    set_console(
        &simulator,
        lost,
        b"[    0.0] Linux version 1\r\n",
        "2020-03-22 10:04:57",
    );
    assert!(cli(&settings, &["capture", lost]).await.status.success());
    set_console(
        &simulator,
        lost,
        b"[    0.0] Linux version 2\r\n",
        "2021-03-22 10:04:57",
    );
    assert!(cli(&settings, &["capture", lost]).await.status.success());
    let pruned = text(&cli(&settings, &prune).await.stdout);
    assert!(pruned.contains("1 boot went"), "{pruned}");
    let done = printed(&settings, &["reindex"]).await;
    assert_eq!(done["lost"], 0, "{done}");
}

/// A damaged day costs its own rows, is told, and fails the command.
#[tokio::test]
async fn a_damaged_day_is_told() {
    let bucket = Bucket::start(Profile::Aws).await;
    put_catalog(&bucket.server, 2, 3, 0);
    let mut keys = bucket.server.catalog().into_keys();
    let key = keys.find(|key| key.ends_with(".jsonl.gz")).unwrap();
    bucket
        .server
        .tamper(&key, |object| object.body.truncate(30));
    let output = cli(&bucket.settings, &["list", "--count"]).await;
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("3\n".to_owned(), Some(1))
    );
    let told = text(&output.stderr);
    assert!(
        told.contains("damaged: s3://consoles/kept/here/catalog/days/"),
        "{told}"
    );
}

/// A sweep finds the same consoles night after night, and writes a row only for what is new.
#[test]
fn a_sweep_writes_no_row_for_what_was_listed_long_ago() {
    paused_runtime().block_on(async {
        let world = World::begin("2024-03-22T02:30:00Z".parse().unwrap());
        let event = |cause| InstanceEvent::new(instance(0), cause);
        let capture = async |cause: Cause| {
            let fleet = FakeFleet::default();
            let archiver = archiver(&world, &fleet, &Actor::new(&world, None));
            archiver
                .capture(event(cause), Deadline::after(Duration::from_secs(60)))
                .await
                .unwrap();
            catalog_of(&world).len()
        };
        // ECS updated it at 10:00 of that day in UTC+8.
        assert_eq!(capture(Cause::Sweep).await, 1);
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(
            capture(Cause::Sweep).await,
            2,
            "the first may have been killed before its row"
        );
        tokio::time::sleep(Duration::from_secs(48 * 3600)).await;
        assert_eq!(capture(Cause::Sweep).await, 2);
        assert_eq!(capture(Cause::Manual).await, 3, "a person asked for it");
        assert_eq!(listed(&world).await.len(), 1);
    });
}

#[test]
fn a_catalog_covers_what_came_after_its_first_day() {
    let day = Day::of(begin());
    assert!(!Coverage::Nothing.includes(begin()));
    assert!(Coverage::Everything.includes(Timestamp::MIN));
    assert!(!Coverage::After(day).includes(begin()));
    assert!(Coverage::After(day).includes(day.end()));
}

/// An older event that finds a console stored already does not move its capture into the past.
#[tokio::test]
async fn a_late_event_does_not_hide_a_fresh_capture() {
    let simulator = simulator().await;
    let (folder, settings) = archive_folder(&simulator);
    let id = "i-bp1panicnoroot00001";
    assert!(cli(&settings, &["capture", id]).await.status.success());
    let ago = Timestamp::now() - SignedDuration::from_hours(3);
    let event = starting(id).replace("2024-03-22T10:04:41+08:00", &ago.to_string());
    let file = folder.path().join("event.json");
    std::fs::write(&file, event).unwrap();
    let file = file.to_str().unwrap();
    assert!(cli(&settings, &["invoke", file]).await.status.success());
    let listed = printed(&settings, &["list", "--since", "-1h"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}

/// A machine whose clock is months behind writes a row of a day long ago, which proves nothing of that day.
#[tokio::test]
async fn a_slow_clock_does_not_make_the_catalog_reach_back() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.push(("CATALOG".into(), "off".into()));
    assert!(
        cli(&bucket.settings, &["capture", "i-bp1oomkill000000001"])
            .await
            .status
            .success()
    );
    let long_ago = Day::of(Timestamp::now() - SignedDuration::from_hours(24 * 300));
    let (key, object) = cataloged::row(long_ago, 1).packed();
    bucket
        .server
        .put_all([(format!("kept/here/{key}"), stored(object.body))]);
    let output = cli(&bucket.settings, &["list", "--since", "-30d", "--count"]).await;
    assert_eq!(text(&output.stdout), "1\n", "{}", text(&output.stderr));
}

/// What the catalog does not know of is not left out in silence.
#[tokio::test]
async fn a_filter_says_what_it_cannot_decide() {
    let simulator = simulator().await;
    let (_folder, mut settings) = archive_folder(&simulator);
    settings.push(("CATALOG".into(), "off".into()));
    assert!(
        cli(&settings, &["capture", "i-bp1panicnoroot00001"])
            .await
            .status
            .success()
    );
    let output = cli(&settings, &["list", "--ending", "panic"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("of 1 record are not known") && told.contains("reindex"),
        "{told}"
    );
    assert!(cli(&settings, &["reindex"]).await.status.success());
    let listed = printed(&settings, &["list", "--ending", "panic"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

/// A day may have more rows than one object holds.
#[test]
fn a_day_of_more_than_is_read_at_once_has_several_objects() {
    let day = Day::of(begin());
    let long = |number| Row {
        event_id: Some("e".repeat(4000)),
        ..cataloged::row(day, number)
    };
    let rows: Rows = (0..10_000).map(long).collect();
    let count = rows.len();
    let packed = rows.packed(day).unwrap();
    assert!(packed.len() > 1, "{}", packed.len());
    let read = packed.iter().map(|(_, object)| {
        ecs_console_archiver::archive::catalog::day::unpack(&object.body)
            .unwrap()
            .len()
    });
    assert_eq!(read.sum::<usize>(), count);
}

/// One bad row stops its own day, and no other.
#[test]
fn a_bad_day_does_not_keep_the_others_from_being_joined() {
    paused_runtime().block_on(async {
        let world = World::begin(begin());
        capture(&world, 0, None).await;
        let is_row = |key: &&String| key.starts_with("catalog/rows/");
        let bad = world.keys().iter().find(is_row).unwrap().clone();
        let mut object = world.object(&bad);
        object.body.clear();
        world.put(&bad, object);
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        capture(&world, 1, None).await;
        tokio::time::sleep(Duration::from_secs(48 * 3600)).await;
        let actor = Actor::new(&world, None);
        let error = compact(&actor, world.now(), || true)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&bad), "{error}");
        let rows = world
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("catalog/rows/"));
        assert_eq!(rows.collect::<Vec<_>>(), [bad]);
    });
}
