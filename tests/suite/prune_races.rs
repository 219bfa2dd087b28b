//! `prune` in memory: any history by any rules, and beside others while one of them is killed. Whoever is killed leaves
//! nothing that is listed and is not there, and the next run finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use ecs_console_archiver::archive::catalog::compact::compact;
use ecs_console_archiver::archive::catalog::read::Catalog;
use ecs_console_archiver::archive::catalog::reindex::reindex;
use ecs_console_archiver::archive::catalog::{CatalogKey, Row, Subject};
use ecs_console_archiver::archive::copy;
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::archive::prune::policy::{Reason, Rules};
use ecs_console_archiver::archive::prune::{Options, Planned, Pruned, Told, prune};
use ecs_console_archiver::archive::reader::{self, Console};
use ecs_console_archiver::archive::record::unpack;
use ecs_console_archiver::capture::Archiver;
use ecs_console_archiver::clock::WallClock;
use ecs_console_archiver::credentials::Owner;
use ecs_console_archiver::model::console::ConsoleOutput;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::screenshot::Screenshot;
use ecs_console_archiver::reading::stitch::{Boot, Mark, stitch};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::source::{ConsoleSource, Fleet, InstancesPage};
use ecs_console_archiver::store::StoreError;
use jiff::{SignedDuration, Timestamp};

use crate::prune::console;
use crate::support::kept::{Kept, instance_id, region_id};
use crate::support::memory::paused_runtime;
use crate::support::raced::{Actor, World};
use crate::support::text;

fn begin() -> Timestamp {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

/// All of the archive by these rules, whatever goes.
fn options<'a>(clock: &'a dyn Fn() -> Timestamp, rules: &Rules) -> Options<'a> {
    Options {
        rules: rules.clone(),
        instances: Instances {
            prefix: String::new(),
            includes: &|_| true,
        },
        applies: true,
        most_percent: 100,
        retries_locked: false,
        stops: &|| false,
        clock,
    }
}

// ---- Any history, and any rules ----

/// What a machine printed: boots, each with its number in every line, and where each begins.
fn printed(rng: &mut fastrand::Rng) -> (String, Vec<usize>) {
    let (mut text, mut begins) = (String::new(), Vec::new());
    for boot in 0..rng.usize(3..12) {
        begins.push(text.len());
        // Some begin without a word, some are kernels that save the memory of the one before.
        if rng.u8(0..8) > 0 {
            let crash = ["", " elfcorehdr=0x1"][usize::from(rng.u8(0..5) == 0)];
            text += &format!("[    0.000000] Linux version 6.1.{boot}\r\n");
            text += &format!("[    0.000000] Command line: console=ttyS0{crash}\r\n");
        }
        for line in 1..rng.usize(2..20) {
            text += &format!(
                "[ {line:4}.{:06}] boot {boot} says line {line}\r\n",
                rng.u32(0..999_999)
            );
        }
        text += [
            "",
            "[  900.000001] reboot: Restarting system\r\n",
            "[  900.000001] Kernel panic - not syncing: as told\r\n",
        ][rng.usize(0..3)];
    }
    (text, begins)
}

/// Captures of what it printed, at any time, of a console that holds so much and may be emptied at a restart.
fn captured(kept: &mut Kept, id: &InstanceId, now: Timestamp, rng: &mut fastrand::Rng) {
    let (text, begins) = printed(rng);
    let (ring, is_cleared) = (rng.usize(200..2500), rng.u8(0..3) == 0);
    let mut ends = vec![text.len()];
    ends.extend((0..rng.usize(5..30)).map(|_| rng.usize(1..text.len())));
    ends.sort();
    ends.dedup();
    let mut at = now;
    let mut records = Vec::new();
    for end in ends.iter().rev() {
        at -= SignedDuration::from_secs(rng.i64(60..500_000));
        let boot = begins[begins.partition_point(|begin| begin < end) - 1];
        let begin = end
            .saturating_sub(ring)
            .max(if is_cleared { boot } else { 0 });
        records.push((&text[begin..*end], at));
    }
    for (console, at) in records.into_iter().rev() {
        kept.record(id, console.as_bytes(), at);
    }
}

fn any_rules(rng: &mut fastrand::Rng) -> Rules {
    let mut count = || [0, 0, 0, 1, 2, 9][rng.usize(0..6)];
    let rules = Rules {
        last: count(),
        daily: count(),
        weekly: count(),
        monthly: count(),
        ..Rules::default()
    };
    let endings = [&[][..], &[Ending::Panic], &[Ending::Silence]][rng.usize(0..3)];
    match rules.is_empty() && endings.is_empty() {
        true => Rules { last: 1, ..rules },
        false => Rules {
            endings: endings.to_vec(),
            ..rules
        },
    }
}

/// The boots that an archive shows, as `boots` lists them.
async fn shown(actor: &Actor, id: &InstanceId) -> Vec<Boot> {
    let mut captures = Vec::new();
    for record in reader::list(actor, Some(id)).await.unwrap().records {
        let opened = reader::open(actor, &record.key).await.unwrap();
        let (plain, metadata) = (opened.plain, opened.object.metadata);
        captures.push(Console { plain, metadata }.into_capture(&record));
    }
    stitch(captures)
}

/// What is told of a boot that must not change.
fn told_of(boots: &[Boot]) -> BTreeMap<String, (Vec<u8>, Vec<Mark>, Ending)> {
    let told = boots.iter().enumerate().map(|(index, boot)| {
        let ending = boot.ending(index + 1 == boots.len());
        let told = (boot.log.clone(), boot.marks.clone(), ending);
        (boot.id.clone(), told)
    });
    told.collect()
}

#[test]
fn boots_that_stay_are_as_before_and_again_nothing_goes() {
    let (mut went, mut shared, mut needed) = (0, 0, 0);
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (id, now) = (instance_id(1), begin());
        let mut kept = Kept::default();
        captured(&mut kept, &id, now, &mut rng);
        let rules = any_rules(&mut rng);
        paused_runtime().block_on(async {
            let world = World::begin(now);
            for (key, (object, _)) in kept.objects {
                world.put(&key, object);
            }
            let actor = Actor::new(&world, None);
            let before = shown(&actor, &id).await;
            let mut stay = BTreeSet::new();
            let plan = |told: Told| {
                if let Told::Plan(plan) = told {
                    let boots = plan.boots.iter().filter(|boot| !boot.reasons.is_empty());
                    stay.extend(boots.map(|boot| boot.id.clone()));
                    shared += plan.boots.iter().filter(|boot| boot.shared > 0).count();
                    let is_needed = |boot: &&Planned| boot.reasons == [Reason::Needed];
                    needed += plan.boots.iter().filter(is_needed).count();
                }
                Ok(())
            };
            let clock = || actor.now();
            let options = options(&clock, &rules);
            let done = prune::<StoreError>(&actor, &options, now, plan)
                .await
                .unwrap();
            went += done.removed.objects;
            let after = shown(&actor, &id).await;
            let (told, told_before) = (told_of(&after), told_of(&before));
            for boot in &stay {
                assert_eq!(
                    told.get(boot),
                    told_before.get(boot),
                    "{boot}, {seed}, {rules:?}"
                );
            }
            // What is left of others is a rest of one boot, and not of several.
            for rest in &after {
                let is_part_of =
                    |boot: &&Boot| rest.captures.iter().all(|of| boot.captures.contains(of));
                assert!(
                    before.iter().any(|boot| is_part_of(&boot)),
                    "{}, {seed}, {rules:?}",
                    rest.id
                );
            }
            let again = prune::<StoreError>(&actor, &options, now, |_: Told| Ok(()));
            assert_eq!(again.await.unwrap().removed.objects, 0, "{seed}, {rules:?}");
        });
    }
    println!("{went} objects went, {shared} boots share records, {needed} were needed");
    assert!(
        went > 100 && shared > 100 && needed > 0,
        "{went} {shared} {needed}"
    );
}

// ---- Beside others, and killed at any call ----

/// The newest boots that stay.
fn last(last: u32) -> Rules {
    Rules {
        last,
        ..Rules::default()
    }
}

async fn prune_as(actor: &Actor, rules: &Rules) -> Option<Result<Pruned, StoreError>> {
    let (now, clock) = (actor.now(), || actor.now());
    let options = options(&clock, rules);
    let work = prune::<StoreError>(actor, &options, now, |_: Told| Ok(()));
    actor.run(work).await
}

/// An archive in the memory of the test: two boots that go by `last(1)`, and one that stays, of two captures each. And
/// what stays.
static ARCHIVE: LazyLock<(Kept, BTreeSet<String>)> = LazyLock::new(|| archive(0));

/// The same, with so many bytes of noise in each console, which gzip cannot make smaller.
fn archive(noise: usize) -> (Kept, BTreeSet<String>) {
    let (mut kept, mut stay) = (Kept::default(), BTreeSet::new());
    let id = instance_id(1);
    for (boot, days) in [200, 150, 2].into_iter().enumerate() {
        let noise: String = (0..noise).map(|_| fastrand::alphanumeric()).collect();
        for capture in 0..2 {
            let at = begin() - SignedDuration::from_hours(24 * days - capture);
            let mut console = console(boot, capture as usize + 1);
            let first = console.find(" part 0").unwrap();
            console.insert_str(first, &noise);
            let record = kept.record(&id, console.as_bytes(), at);
            let verdict = (capture == 1).then(|| kept.verdict(&record, at));
            if boot == 2 {
                stay.extend(verdict);
                stay.insert(record.to_string());
            }
        }
    }
    (kept.with_catalog(), stay)
}

/// The stores that a run may meet: how many objects one request removes, and whether it is one without conditions.
type Kind = (usize, bool);

const KINDS: [Kind; 3] = [(1, false), (3, false), (3, true)];

fn world_of(kept: &Kept) -> World {
    let world = World::begin(begin());
    for (key, (object, _)) in &kept.objects {
        world.put(key, object.clone());
    }
    world
}

fn archived(world: &World) -> BTreeSet<String> {
    let keys = world.keys().into_iter();
    keys.filter(|key| !key.starts_with("catalog/")).collect()
}

fn subjects(keys: &BTreeSet<String>) -> BTreeSet<String> {
    let subjects = keys.iter().filter(|key| Subject::parse(key).is_some());
    subjects.cloned().collect()
}

/// What a listing of the fleet shows by the catalog.
async fn listed(world: &World) -> BTreeSet<String> {
    let rows = rows(world).await.into_iter();
    let listed = rows.filter(|(_, rows)| rows.iter().any(|row| !row.is_pruned()));
    listed.map(|(key, _)| key).collect()
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

/// No row is about what is not there, unless it says so. And of a boot of which a record is gone, no other is listed.
async fn check(world: &World, case: &str) {
    let (there, listed) = (archived(world), listed(world).await);
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(gone.is_empty(), "{case}: listed, and not there: {gone:?}");
    for boot in 0..2 {
        let says = format!("boot {boot} says");
        let mut of_boot = subjects(&there);
        of_boot.retain(|key| text(&unpack(&world.object(key).body).unwrap()).contains(&says));
        if of_boot.len() == 1 {
            let half: Vec<_> = of_boot.intersection(&listed).collect();
            assert!(
                half.is_empty(),
                "{case}: a half of a boot is listed: {half:?}"
            );
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    Prune,
    Compact,
    Reindex,
    /// The boot that stays goes on, and is captured.
    Capture,
    /// From an archive that has everything.
    Copy,
}

/// A machine that shows this.
struct Shows(String);

impl ConsoleSource for Shows {
    async fn console_output(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        _: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        Ok(ConsoleOutput {
            plain: self.0.clone().into_bytes(),
            is_undecoded: false,
            last_update_time: "2026-11-25 03:59:00".to_owned(),
            request_id: String::new(),
            reported_instance_id: None,
        })
    }

    async fn screenshot(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        _: &InstanceId,
        _: bool,
    ) -> Result<Screenshot, EcsError> {
        panic!("these tests take none")
    }
}

impl Fleet for Shows {
    async fn regions(&self, _: &RegionId) -> Result<Vec<RegionId>, EcsError> {
        panic!("no sweep")
    }

    async fn instances(&self, _: &RegionId, _: Option<&str>) -> Result<InstancesPage, EcsError> {
        panic!("no sweep")
    }
}

/// Delivers an event until it is acknowledged. The first time, it may be killed.
async fn capture(world: &World, dies_at: Option<(usize, bool)>) -> bool {
    let mut has_died = false;
    for dies_at in [dies_at, None] {
        let actor = Actor::new(world, dies_at);
        let archiver = Archiver {
            source: Shows(console(2, 3)),
            store: actor.clone(),
            default_region: Some(region_id()),
            has_catalog: true,
            masks_secrets: false,
            screenshots: Default::default(),
            follow_budget: Duration::ZERO,
            follow_queue: None,
            ending: Default::default(),
            room: Default::default(),
            memory: Default::default(),
            tell: Default::default(),
            notifier: None,
            clock: WallClock::Tokio {
                time: world.now(),
                instant: tokio::time::Instant::now(),
            },
        };
        let event = InstanceEvent::new(instance_id(1), Cause::Manual);
        let deadline = Deadline::after(Duration::from_secs(300));
        if let Some(captured) = actor.run(archiver.capture(event, deadline)).await {
            captured.unwrap();
            break;
        }
        has_died = true;
    }
    has_died
}

/// Does it, and says whether it was killed.
async fn perform(world: &World, work: Work, dies_at: Option<(usize, bool)>) -> bool {
    let actor = Actor::new(world, dies_at);
    let has_ended = match work {
        Work::Nothing => Some(()),
        Work::Prune => prune_as(&actor, &last(1))
            .await
            .map(|done| assert!(done.is_ok(), "{done:?}")),
        Work::Compact => {
            let done = actor.run(compact(&actor, world.now(), || true)).await;
            done.map(|done| assert!(done.is_ok(), "{done:?}"))
        }
        Work::Reindex => {
            let done = actor.run(reindex(&actor, None, |_| {})).await;
            done.map(|done| assert!(done.is_ok(), "{done:?}"))
        }
        Work::Capture => return capture(world, dies_at).await,
        Work::Copy => {
            let other = world_of(&ARCHIVE.0);
            let request = copy::Request {
                instances: None,
                since: None,
                compares_metadata: false,
                is_dry_run: false,
                began_at: world.now(),
            };
            let other = Actor::new(&other, None);
            let done = actor
                .run(copy::copy(&other, &actor, &request, |_| {}))
                .await;
            done.map(|done| assert!(done.is_ok(), "{done:?}"))
        }
    };
    has_ended.is_none()
}

/// Of two at once, one is killed at one of its calls; then all is finished.
async fn race(killed: Work, beside: Work, dies_at: (usize, bool), kind: Kind) -> bool {
    let case = format!("{killed:?} is killed at {dies_at:?}, beside {beside:?}, {kind:?}");
    let (kept, stay) = &*ARCHIVE;
    let world = world_of(kept);
    world.remove_at_once(kind.0);
    if kind.1 {
        world.be_basic();
    }
    let (has_died, _) = tokio::join!(
        perform(&world, killed, Some(dies_at)),
        perform(&world, beside, None)
    );
    let has = |work| killed == work || beside == work;
    let mut expected = stay.clone();
    if has(Work::Capture) {
        let captured = archived(&world).into_iter();
        let is_new = |key: &String| key.ends_with(".log.gz") && !kept.objects.contains_key(key);
        let captured: Vec<_> = captured.filter(is_new).collect();
        assert_eq!(captured.len(), 1, "{case}");
        expected.extend(captured);
    }
    // Who reindexes may list what it has read before it went.
    let is_exact = !has(Work::Reindex);
    let there = archived(&world);
    assert!(
        expected.is_subset(&there),
        "{case}: lost {:?}",
        &expected - &there
    );
    if is_exact {
        let there = subjects(&expected);
        let listed = listed(&world).await;
        assert!(
            there.is_subset(&listed),
            "{case}: not listed: {:?}",
            &there - &listed
        );
    }
    if is_exact && !has(Work::Copy) {
        check(&world, &case).await;
    }
    if has(Work::Copy) {
        perform(&world, Work::Copy, None).await;
        let there = archived(&world);
        assert!(
            kept.objects
                .keys()
                .all(|key| key.starts_with("catalog/") || there.contains(key))
        );
        // A run that was killed may have marked what is there, and one that copied may not have seen the mark.
        let actor = Actor::new(&world, None);
        prune_as(&actor, &last(9)).await.unwrap().unwrap();
        if is_exact {
            let listed = listed(&world).await;
            assert_eq!(listed, subjects(&there), "{case}, copied again");
        }
    }
    perform(&world, Work::Prune, None).await;
    assert_eq!(archived(&world), expected, "{case}");
    if !is_exact {
        perform(&world, Work::Reindex, None).await;
    }
    let listed = listed(&world).await;
    assert_eq!(listed, subjects(&expected), "{case}, in the end");
    has_died
}

#[test]
fn whoever_is_killed_beside_whom_nothing_is_lost_or_hidden_and_the_next_run_finishes() {
    use Work::*;
    let pairs = [
        (
            Prune,
            &[Nothing, Prune, Compact, Reindex, Capture, Copy][..],
        ),
        (Capture, &[Prune, Copy]),
        (Copy, &[Prune, Compact, Capture]),
        (Compact, &[Prune]),
        (Reindex, &[Prune, Copy]),
    ];
    let mut cases = 0;
    for (killed, beside) in pairs {
        let pairs = beside.iter().flat_map(|beside| {
            let prunes = killed == Prune || *beside == Prune;
            let kinds = if prunes { &KINDS[..] } else { &KINDS[..1] };
            kinds.iter().map(|kind| (*beside, *kind))
        });
        for (beside, kind) in pairs {
            for call in 1.. {
                fastrand::seed(call as u64);
                // Without its effect, the state is that after the call before, with its effect.
                let race = race(killed, beside, (call, true), kind);
                if !paused_runtime().block_on(race) {
                    break;
                }
                cases += 1;
            }
        }
    }
    println!("killed at {cases} places");
    assert!(cases > 250, "{cases} places are too few");
}

/// What the stricter rules marked and did not remove yet is listed again.
#[test]
fn after_a_run_that_was_killed_gentler_rules_hide_nothing_that_is_there() {
    let mut hidden = 0;
    for call in 1.. {
        fastrand::seed(call as u64);
        let has_died = paused_runtime().block_on(async {
            let world = world_of(&ARCHIVE.0);
            let has_died = perform(&world, Work::Prune, Some((call, true))).await;
            let actor = Actor::new(&world, None);
            // The same rules would only go on.
            let again = world_of(&ARCHIVE.0);
            world
                .keys()
                .iter()
                .for_each(|key| again.put(key, world.object(key)));
            let gone = |key: &String| !world.keys().contains(key);
            ARCHIVE
                .0
                .objects
                .keys()
                .filter(|key| gone(key))
                .for_each(|key| again.remove(key));
            let done = prune_as(&Actor::new(&again, None), &last(1)).await;
            assert_eq!(done.unwrap().unwrap().listed_again, 0);
            let done = prune_as(&actor, &last(9)).await.unwrap().unwrap();
            hidden += done.listed_again;
            assert_eq!(
                listed(&world).await,
                subjects(&archived(&world)),
                "call {call}"
            );
            compact(&actor, world.now(), || true).await.unwrap();
            assert_eq!(
                listed(&world).await,
                subjects(&archived(&world)),
                "call {call}"
            );
            has_died
        });
        if !has_died {
            break;
        }
    }
    assert!(hidden > 3, "{hidden}");
}

/// What comes back is listed, wherever the copy that brought it ended.
#[test]
fn what_was_pruned_and_is_copied_back_is_listed() {
    for call in 1.. {
        fastrand::seed(call as u64);
        let has_died = paused_runtime().block_on(async {
            let world = world_of(&ARCHIVE.0);
            perform(&world, Work::Prune, None).await;
            perform(&world, Work::Compact, None).await;
            let has_died = perform(&world, Work::Copy, Some((call, true))).await;
            perform(&world, Work::Copy, None).await;
            let all = archived(&world_of(&ARCHIVE.0));
            assert_eq!(archived(&world), all);
            assert_eq!(listed(&world).await, subjects(&all), "call {call}");
            // And is pruned again.
            perform(&world, Work::Prune, None).await;
            assert_eq!(archived(&world), ARCHIVE.1);
            assert_eq!(listed(&world).await, subjects(&ARCHIVE.1), "call {call}");
            has_died
        });
        if !has_died {
            break;
        }
    }
}

/// A console that was pruned and is captured again is listed again, on the day of the first capture, too.
#[test]
fn what_was_pruned_and_is_captured_again_is_listed() {
    paused_runtime().block_on(async {
        let world = World::begin(begin());
        capture(&world, None).await;
        let record = subjects(&archived(&world));
        let row = &rows(&world).await[record.first().unwrap()][0];
        tokio::time::sleep(Duration::from_secs(60)).await;
        let (key, object) = Row::pruned(row.subject.clone(), row.captured_at, world.now()).packed();
        world.put(&key, object);
        world.remove(record.first().unwrap());
        assert!(listed(&world).await.is_empty());
        tokio::time::sleep(Duration::from_secs(60)).await;
        capture(&world, None).await;
        assert_eq!(archived(&world), record);
        assert_eq!(listed(&world).await, record);
    });
}

/// A record that goes between the listing and the reading of it is not damaged.
#[test]
fn what_another_run_removes_meanwhile_is_told_as_such_and_keeps_nothing() {
    let mut gone = 0;
    for seed in 0..20 {
        fastrand::seed(seed);
        paused_runtime().block_on(async {
            let (kept, stay) = &*ARCHIVE;
            let world = world_of(kept);
            let (one, other) = (Actor::new(&world, None), Actor::new(&world, None));
            let later = async {
                tokio::time::sleep(Duration::from_millis(40 * seed)).await;
                prune_as(&other, &last(1)).await
            };
            let rules = last(1);
            let (one, other) = tokio::join!(prune_as(&one, &rules), later);
            for done in [one, other] {
                let done = done.unwrap().unwrap();
                assert_eq!(done.damaged, 0);
                gone += done.gone;
            }
            assert_eq!(archived(&world), *stay);
        });
    }
    assert!(gone > 5, "{gone}");
}

/// A row needs space, too. What goes makes space for the rows.
/// Keeps the last boot of each machine, as the command does it. Nobody else makes space, so nothing is waited for.
async fn pruned_at_once(actor: &Actor) -> Pruned {
    let day = Deadline::after(Duration::from_secs(24 * 3600));
    let store = Retrying::new(actor, day).without_waiting_for_space();
    let (now, clock) = (actor.now(), || actor.now());
    let rules = last(1);
    let options = options(&clock, &rules);
    let pruning = prune::<StoreError>(&store, &options, now, |_: Told| Ok(()));
    pruning.await.unwrap()
}

#[test]
fn on_a_full_disk_all_that_goes_goes_and_is_marked_in_the_end() {
    for free in [0, 100, 700, 2000] {
        paused_runtime().block_on(async {
            let (kept, stay) = archive(3000);
            let world = world_of(&kept);
            world.fill(free);
            let actor = Actor::new(&world, None);
            let now = actor.now();
            let done = pruned_at_once(&actor).await;
            assert_eq!((done.unwritten, done.locked), (0, 0), "{free}");
            let took = actor.now().duration_since(now);
            assert!(took < SignedDuration::from_secs(5), "{free}: {took:#}");
            assert_eq!(archived(&world), stay);
            check(&world, &format!("{free} bytes free")).await;
            let pruned = rows(&world).await.into_values().flatten();
            assert_eq!(pruned.filter(Row::is_pruned).count(), 4);
        });
    }
}

/// Of many machines at once, one takes the space that another has made. In the end there is enough for all.
#[test]
fn rows_of_one_machine_wait_for_the_space_that_others_make() {
    for seed in 0..5 {
        fastrand::seed(seed);
        paused_runtime().block_on(async {
            let (mut kept, mut stay) = (Kept::default(), BTreeSet::new());
            for number in 0..20 {
                // The rows of some need more space than their records leave.
                let count = if number % 2 == 0 { 6 } else { 1 };
                for boot in 0..=count {
                    let days = if boot == count { 2 } else { 200 - boot };
                    let at = begin() - SignedDuration::from_hours(24 * days as i64);
                    let mut text = console(boot, 1);
                    if count == 1 {
                        text.extend((0..30_000).map(|_| fastrand::alphanumeric()));
                    }
                    let record = kept.record(&instance_id(number), text.as_bytes(), at);
                    if boot == count {
                        stay.insert(record.to_string());
                    }
                }
            }
            let world = world_of(&kept.with_catalog());
            world.fill(0);
            let actor = Actor::new(&world, None);
            let done = pruned_at_once(&actor).await;
            assert_eq!((done.unwritten, done.locked), (0, 0), "{seed}");
            assert_eq!(archived(&world), stay);
            assert_eq!(listed(&world).await, stay, "{seed}");
        });
    }
}

/// Where even that is too little, it is told, and the catalog is built anew.
#[test]
fn rows_for_which_there_is_never_space_are_told() {
    paused_runtime().block_on(async {
        let (kept, stay) = &*ARCHIVE;
        let world = world_of(kept);
        world.fill(0);
        let actor = Actor::new(&world, None);
        let done = prune_as(&actor, &last(1)).await.unwrap().unwrap();
        assert!(done.unwritten > 0, "{done:?}");
        assert_eq!(archived(&world), *stay);
        world.fill(1 << 20);
        reindex(&actor, None, |_| {}).await.unwrap();
        assert_eq!(listed(&world).await, subjects(stay));
    });
}

/// It ends soon where everything is refused, and leaves nothing that it has begun.
#[test]
fn where_everything_is_refused_nothing_that_was_begun_stays_hidden() {
    for seed in 0..10 {
        fastrand::seed(seed);
        paused_runtime().block_on(async {
            let mut kept = Kept::default();
            for number in 0..24 {
                for (boot, days) in [(0, 200), (1, 2)] {
                    let at = begin() - SignedDuration::from_hours(24 * days);
                    kept.record(&instance_id(number), console(boot, 1).as_bytes(), at);
                }
            }
            let world = world_of(&kept.with_catalog());
            world.lock();
            let actor = Actor::new(&world, None);
            let done = prune_as(&actor, &last(1)).await.unwrap().unwrap();
            assert!(done.is_cut_short && done.locked < 24, "{done:?}");
            assert_eq!(listed(&world).await, subjects(&archived(&world)), "{seed}");
        });
    }
}

/// Locked objects are removed from no listing, whoever joins rows meanwhile.
#[test]
fn where_nothing_may_be_removed_all_stays_listed() {
    for work in [Work::Nothing, Work::Compact] {
        paused_runtime().block_on(async {
            let world = world_of(&ARCHIVE.0);
            let before = archived(&world);
            world.lock();
            let actor = Actor::new(&world, None);
            let rules = last(1);
            let (done, _) = tokio::join!(prune_as(&actor, &rules), perform(&world, work, None));
            let done = done.unwrap().unwrap();
            assert_eq!(done.removed.objects, 0);
            assert!(done.locked > 0);
            assert_eq!(archived(&world), before);
            assert_eq!(listed(&world).await, subjects(&before));
            let is_row = |key: &&String| matches!(CatalogKey::parse(key), Some(CatalogKey::Row(_)));
            assert!(world.keys().iter().filter(is_row).count() > 0);
        });
    }
}
