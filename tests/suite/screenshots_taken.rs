//! Taking screenshots: the real programs against the simulator, over sockets; and, where an event is followed for minutes,
//! the real `Archiver` by a paused clock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::model::screenshot::{Screenshots, When};
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::{Cache, Console, Guest, Screen, Simulator};
use serde_json::{Value, json};

use crate::support::kept::Place;
use crate::support::memory::{self, AtomicStore, Ecs, Habit};
use crate::support::runtime_api::Function;
use crate::support::s3_server::{self, Profile};
use crate::support::sqs_server::SqsServer;
use crate::support::*;

const WINDOWS: &str = "i-bp1windows000000001";
const PANICS: &str = "i-bp1panicnoroot00001";
const BOOTS: &str = "i-bp1cloudinit0000001";

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn screen(name: &str) -> Screen {
    Screen::Picture(picture(name))
}

/// An archive in a folder or a bucket, with ECS at a simulator.
struct World {
    settings: Settings,
    simulator: Simulator,
    folder: Option<tempfile::TempDir>,
    bucket: Option<s3_server::S3Server>,
}

impl World {
    async fn at(place: Place) -> Self {
        match place {
            Place::Folder => {
                let simulator = simulator().await;
                let (folder, settings) = archive_folder(&simulator);
                Self {
                    settings,
                    simulator,
                    folder: Some(folder),
                    bucket: None,
                }
            }
            Place::Bucket(profile) => {
                let Bucket {
                    server,
                    simulator,
                    settings,
                } = Bucket::start(profile).await;
                Self {
                    settings,
                    simulator,
                    folder: None,
                    bucket: Some(server),
                }
            }
        }
    }

    async fn in_folder() -> Self {
        Self::at(Place::Folder).await
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    async fn run(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let arguments = [arguments, &["--output", "json", "--region", "cn-hangzhou"]].concat();
        let output = cli(&self.settings, &arguments).await;
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), json, text(&output.stderr))
    }

    async fn capture(&self, instance_id: &str) -> (Option<i32>, Value, String) {
        self.run(&["capture", instance_id]).await
    }

    /// The keys of all objects but the catalog's.
    fn keys(&self) -> Vec<String> {
        let of_bucket = |server: &s3_server::S3Server| -> Vec<String> {
            let keys = server.objects().into_keys();
            keys.map(|key| key.strip_prefix("kept/here/").unwrap().to_owned())
                .collect()
        };
        let of_folder = |folder: &tempfile::TempDir| -> Vec<String> {
            let archive = folder.path().join("archive");
            if !archive.exists() {
                return Vec::new();
            }
            let names = files_in(&archive).into_iter().map(|(name, _)| name);
            names
                .filter(|name| !name.ends_with(".meta.json") && !name.starts_with("catalog/"))
                .collect()
        };
        let in_folder = self.folder.as_ref().map(of_folder);
        in_folder.unwrap_or_else(|| of_bucket(self.bucket.as_ref().unwrap()))
    }

    fn ends(&self, end: &str) -> usize {
        self.keys().iter().filter(|key| key.ends_with(end)).count()
    }

    /// How often ECS was asked for a console, and for a picture.
    fn asked(&self) -> [usize; 2] {
        let answered = self.simulator.answered();
        ["GetInstanceConsoleOutput", "GetInstanceScreenshot"].map(|action| {
            let asked = answered.iter().filter(|one| one.action == action);
            asked.count()
        })
    }
}

/// A Windows machine: no console, and a screen.
async fn windows(place: Place) -> World {
    let world = World::at(place).await;
    world.simulator.set_screen(&id(WINDOWS), screen("stop.jpg"));
    world
}

#[tokio::test]
async fn a_windows_machine_leaves_its_picture_in_place_of_a_marker_in_every_store() {
    for place in Place::ALL {
        let world = windows(place).await;
        let event = "events/eventbridge-windows-no-console.json";
        let invoked = cli(&world.settings, &["invoke", event, "--output", "json"]).await;
        assert!(invoked.status.success(), "{}", text(&invoked.stderr));
        let outcome: Value = serde_json::from_slice(&invoked.stdout).unwrap();
        assert_eq!(outcome["outcome"], "no_console", "{outcome}");
        assert_eq!(outcome["reason"], "not_supported");
        assert_eq!(outcome["marker_url"], Value::Null);
        assert_eq!(outcome["screenshots"].as_array().unwrap().len(), 1);
        assert_eq!(
            (world.ends(".jpg"), world.keys().len()),
            (1, 1),
            "{place:?}"
        );
        let got = cli(&world.settings, &["get", WINDOWS, "--screenshot"]).await;
        assert!(got.stdout == picture("stop.jpg"), "{}", text(&got.stderr));
        let listed = cli(&world.settings, &["list", WINDOWS, "--output", "json"]).await;
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(listed[0]["event_cause"], "Stopping", "{listed}");
        assert_eq!(listed[0]["reason"], "not_supported");
        let verified = cli(&world.settings, &["verify"]).await;
        assert!(verified.status.success(), "{}", text(&verified.stdout));
        // Another event of the day, and by another process: the same picture is there. Of this event there is a marker, for
        // each ends in an object of its own.
        world.simulator.forget_pictures();
        let (code, outcome, stderr) = world.capture(WINDOWS).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(outcome["screenshots"].as_array().unwrap().len(), 1);
        assert!(outcome["marker_url"].is_string(), "{outcome}");
        assert_eq!((world.ends(".jpg"), world.ends(".none.json")), (1, 1));
        assert_eq!(world.keys().len(), 2, "{place:?}");
        // Another picture is another object.
        world.simulator.forget_pictures();
        world
            .simulator
            .set_screen(&id(WINDOWS), screen("boot-menu.png"));
        world.capture(WINDOWS).await;
        assert_eq!((world.ends(".jpg"), world.ends(".png")), (1, 1));
        assert!(world.simulator.woken().is_empty(), "no display was woken");
        assert!(cli(&world.settings, &["verify"]).await.status.success());
    }
}

#[tokio::test]
async fn auto_asks_for_a_picture_only_where_the_console_says_nothing_or_that_it_failed() {
    for (console, pictures) in [
        (None, 1),
        (Some(&b""[..]), 1),
        (Some(&fixture(PANICS)), 1),
        (Some(&fixture("i-bp1ext4fsck00000001")), 1),
        (Some(&fixture(BOOTS)), 0),
        (Some(b"[    0.000000] Linux version 6.1.0\r\n"), 0),
    ] {
        let world = World::in_folder().await;
        let console = console.map_or(
            Console::Error {
                status: 405,
                code: "NotSupported".into(),
            },
            |plain| output(plain, "2024-03-22 10:04:57"),
        );
        world.simulator.set_console(&id(WINDOWS), console.clone());
        world.simulator.set_screen(&id(WINDOWS), screen("stop.jpg"));
        let (code, outcome, stderr) = world.capture(WINDOWS).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(world.asked(), [1, pictures], "{console:?} {outcome}");
        assert_eq!(world.ends(".jpg"), pictures);
        assert_eq!(world.ends(".none.json"), 0);
    }
}

#[tokio::test]
async fn an_instance_that_does_not_run_or_is_not_there_has_no_screen() {
    for (status, code) in [
        (405, "IncorrectInstanceStatus"),
        (404, "InvalidInstanceId.NotFound"),
    ] {
        let world = World::in_folder().await.with("SCREENSHOTS", "always");
        let code = code.into();
        let none = Console::Error { status, code };
        world.simulator.set_console(&id(WINDOWS), none);
        world.simulator.set_screen(&id(WINDOWS), screen("stop.jpg"));
        world.capture(WINDOWS).await;
        assert_eq!(world.asked(), [1, 0]);
        assert_eq!((world.ends(".none.json"), world.ends(".jpg")), (1, 0));
    }
}

#[tokio::test]
async fn settings_say_whether_pictures_are_taken_and_displays_woken() {
    for (set, windows, boots) in [
        (&[][..], 1, 0),
        (&[("SCREENSHOTS", "auto")], 1, 0),
        (&[("SCREENSHOTS", "always")], 1, 1),
        (&[("SCREENSHOTS", "never")], 0, 0),
        // Nobody can mask a picture.
        (&[("REDACT", "store")], 0, 0),
        (&[("REDACT", "store"), ("SCREENSHOTS", "auto")], 0, 0),
        (&[("REDACT", "store"), ("SCREENSHOTS", "always")], 1, 1),
    ] {
        let mut world = World::in_folder().await;
        world.settings.extend(settings(set));
        for (instance_id, pictures) in [(WINDOWS, windows), (BOOTS, boots)] {
            world
                .simulator
                .set_screen(&id(instance_id), screen("stop.jpg"));
            let before = world.asked();
            world.capture(instance_id).await;
            let [_, asked] = world.asked();
            assert_eq!(asked - before[1], pictures, "{set:?} {instance_id}");
        }
        assert_eq!(world.ends(".jpg"), windows + boots, "{set:?}");
        assert_eq!(world.ends(".none.json"), 1 - windows, "{set:?}");
        assert!(world.simulator.woken().is_empty(), "{set:?}");
    }
    let world = windows(Place::Folder)
        .await
        .with("SCREENSHOTS_WAKE_UP", "on");
    world.capture(WINDOWS).await;
    assert_eq!(world.simulator.woken(), [id(WINDOWS)]);
    let (code, _, told) = world
        .with("SCREENSHOTS", "sometimes")
        .capture(WINDOWS)
        .await;
    assert_eq!(code, Some(2));
    assert!(
        told.contains("SCREENSHOTS") && told.contains("\"sometimes\" is none of"),
        "{told}"
    );
}

#[tokio::test]
async fn what_is_not_a_picture_is_not_stored_and_the_event_succeeds() {
    let jpeg = picture("stop.jpg");
    let html = b"<!DOCTYPE html><script>alert(1)</script>".to_vec();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("HTML", html.clone()),
        ("SVG", svg),
        ("a picture that is cut", jpeg[..jpeg.len() - 2].to_vec()),
        ("a polyglot", [jpeg.clone(), html].concat()),
        ("20 MB", [jpeg, vec![0; 20 << 20]].concat()),
    ] {
        let world = World::in_folder().await;
        world
            .simulator
            .set_screens(&id(WINDOWS), [Screen::Picture(bytes.clone())]);
        world
            .simulator
            .set_screen(&id(PANICS), Screen::Picture(bytes));
        // So little time that nobody waits 10 s for another one.
        let few = ["--timeout", "4"];
        let (code, outcome, told) = world.run(&[&["capture", WINDOWS][..], &few].concat()).await;
        assert_eq!(code, Some(3), "{what}: {outcome} {told}");
        assert_eq!(outcome["reason"], "not_supported", "{what}");
        assert!(outcome["marker_url"].is_string(), "{what}: {outcome}");
        assert!(
            told.contains(&format!("no screenshot of {WINDOWS}: ")),
            "{what}: {told}"
        );
        let (code, outcome, told) = world.run(&[&["capture", PANICS][..], &few].concat()).await;
        assert_eq!(code, Some(0), "{what}: {told}");
        assert_eq!(outcome["outcome"], "stored", "{what}");
        assert_eq!((world.ends(".jpg"), world.ends(".png")), (0, 0), "{what}");
    }
}

#[tokio::test]
async fn without_the_permission_everything_else_works_and_the_log_says_it_once() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(settings(&[("RUST_LOG", "warn")]));
    let denied = || Screen::Error {
        status: 403,
        code: "Forbidden.RAM".into(),
    };
    for instance_id in [WINDOWS, PANICS] {
        bucket.simulator.set_screen(&id(instance_id), denied());
    }
    let function = Function::start(&bucket.settings).await;
    let event = std::fs::read(root().join("events/eventbridge-windows-no-console.json")).unwrap();
    for _ in 0..2 {
        let answer = function.result_of(&event).await;
        assert_eq!(answer["outcome"], "no_console");
        assert!(answer["marker_url"].is_string(), "{answer}");
    }
    let answer = function.result_of(starting(PANICS).as_bytes()).await;
    assert_eq!(answer["outcome"], "stored");
    let log = function.stop().await;
    let told = log
        .matches("the RAM policy must allow ecs:GetInstanceScreenshot")
        .count();
    assert_eq!(told, 1, "{log}");
}

#[tokio::test]
async fn pictures_too_near_each_other_are_throttled_and_the_event_comes_again() {
    let world = windows(Place::Folder).await;
    world.simulator.set_screen(&id(PANICS), screen("stop.jpg"));
    for instance_id in [WINDOWS, PANICS] {
        let (code, _, told) = world.capture(instance_id).await;
        assert_eq!(code, Some(0), "{told}");
    }
    // 10 s are not over, and there is not so much time.
    let few = ["--timeout", "4"];
    let (code, _, told) = world.run(&[&["capture", WINDOWS][..], &few].concat()).await;
    assert_eq!(code, Some(1), "{told}");
    let too_soon = "ECS gives one picture of an instance in 10 s, and gave one just before";
    assert!(told.contains(too_soon), "{told}");
    assert!(told.contains("try again in 10 s"), "{told}");
    assert!(!told.contains("too many calls"), "{told}");
    assert_eq!(
        world.ends(".none.json"),
        0,
        "it comes again, and needs no marker"
    );
    // A console that is stored needs no other delivery.
    let (code, outcome, told) = world.run(&[&["capture", PANICS][..], &few].concat()).await;
    assert_eq!(
        (code, &outcome["outcome"]),
        (Some(0), &json!("already_stored")),
        "{told}"
    );
    assert!(
        told.contains(&format!("no screenshot of {PANICS}: {too_soon}")),
        "{told}"
    );
    world.simulator.forget_pictures();
    let (code, _, told) = world.capture(WINDOWS).await;
    assert_eq!(code, Some(0), "{told}");
}

#[tokio::test]
async fn a_sweep_takes_them_and_counts_the_machines() {
    let world = windows(Place::Folder).await;
    let (code, swept, told) = world.run(&["sweep"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        (&swept["no_console"], &swept["with_screenshot"]),
        (&json!(1), &json!(1)),
        "{swept}"
    );
    assert_eq!((world.ends(".jpg"), world.ends(".none.json")), (1, 0));
    let again = "events/sweep.json";
    world.simulator.forget_pictures();
    let invoked = cli(&world.settings, &["invoke", again]).await;
    assert!(invoked.status.success(), "{}", text(&invoked.stderr));
    // The screen is the same.
    assert_eq!((world.ends(".jpg"), world.ends(".none.json")), (1, 1));
}

/// The picture at the event goes along in the message, and the last one comes when its plan ends.
#[tokio::test]
async fn through_a_queue_there_is_one_at_the_event_and_one_when_following_ends() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let sqs = SqsServer::start().await;
    bucket.settings.extend(settings(&[
        ("FOLLOW_SECONDS", "300"),
        ("FOLLOW_QUEUE_URL", &sqs.queue_url()),
    ]));
    let screens = [screen("boot-menu.png"), screen("stop.jpg")];
    bucket.simulator.set_screens(&id(WINDOWS), screens);
    let function = Function::start(&bucket.settings).await;
    let event = std::fs::read(root().join("events/eventbridge-windows-no-console.json")).unwrap();
    let answer = function.result_of(&event).await;
    assert_eq!(answer["outcome"], "following", "{answer}");
    assert_eq!(answer["screenshots"].as_array().unwrap().len(), 1);
    let sent = sqs.take_sent().unwrap();
    // `Stopping` is followed for 100 s, and nothing is asked for in between.
    assert!(
        (95..=100).contains(&sent.delay_seconds),
        "{}",
        sent.delay_seconds
    );
    bucket.simulator.forget_pictures();
    let body = aged(&sent.body, sent.delay_seconds);
    let records = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m1", "body": body}]});
    let answer = function.result_of(records.to_string().as_bytes()).await;
    assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
    assert!(sqs.take_sent().is_none(), "it has ended");
    let keys: Vec<_> = bucket.server.objects().into_keys().collect();
    let of_kind = |end: &str| keys.iter().filter(|key| key.ends_with(end)).count();
    assert_eq!(
        (of_kind(".png"), of_kind(".jpg"), keys.len()),
        (1, 1, 2),
        "{keys:?}"
    );
    let asked = bucket.simulator.answered();
    assert_eq!(asked.len(), 4, "two consoles, two pictures: {asked:?}");
    function.stop().await;
}

/// The sender gets its answer before the event is followed, and then it does not come again: what there is must be stored by
/// then, and a marker would say less than the picture.
#[tokio::test]
async fn over_http_the_picture_is_stored_before_the_answer_and_no_marker() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(settings(&[
        ("FOLLOW_SECONDS", "300"),
        ("WEBHOOK_TOKEN", "shared-token-that-must-not-show"),
    ]));
    bucket
        .simulator
        .set_screen(&id(WINDOWS), screen("stop.jpg"));
    let function = Function::start(&bucket.settings).await;
    let answer = function.result_of(push_of_windows().as_bytes()).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let keys: Vec<_> = bucket.server.objects().into_keys().collect();
    assert!(keys.len() == 1 && keys[0].ends_with(".jpg"), "{keys:?}");
}

/// A picture may take longer than a sender waits. It would never be answered, however often it came again.
#[tokio::test]
async fn over_http_a_picture_that_takes_long_leaves_a_marker_and_an_answer() {
    for (follow_seconds, outcome) in [("0", "no_console"), ("300", "following")] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket.settings.extend(settings(&[
            ("FOLLOW_SECONDS", follow_seconds),
            ("WEBHOOK_TOKEN", "shared-token-that-must-not-show"),
        ]));
        bucket
            .simulator
            .set_screen(&id(WINDOWS), screen("stop.jpg"));
        // The console, and then pictures.
        bucket.simulator.plan_faults(&"none".parse().unwrap());
        bucket.simulator.plan_faults(&"stall*2".parse().unwrap());
        let function = Function::start(&bucket.settings).await;
        let answer = function.result_of(push_of_windows().as_bytes()).await;
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let body = answer["body"].as_str().unwrap();
        assert!(body.contains(outcome), "{follow_seconds}: {body}");
        assert_eq!(bucket.server.markers().len(), 1, "{follow_seconds}");
    }
}

/// A push of the event of a Windows machine, with its token.
fn push_of_windows() -> String {
    let event = std::fs::read(root().join("events/eventbridge-windows-no-console.json")).unwrap();
    json!({
        "version": "2.0", "body": text(&event), "requestContext": {"http": {"method": "POST"}},
        "headers": {"X-EventBridge-Signature-Token": "shared-token-that-must-not-show"},
    })
    .to_string()
}

/// A message that names another object as a screenshot is refused.
#[tokio::test]
async fn a_message_cannot_name_what_is_no_screenshot_of_its_instance() {
    let world = World::in_folder().await;
    let mut event =
        json!({"version": 1, "shots": {"kept": ["i-other/20240322Z-000000000000.jpg"]}});
    event["follow"] = json!({
        "event": {"instance_id": WINDOWS, "cause": {"StateChange": "Stopping"}},
        "began_at": "2024-03-22T02:04:41Z", "polls": 1,
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), event.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let invoked = cli(&world.settings, &["invoke", path]).await;
    assert_eq!(invoked.status.code(), Some(2), "{}", text(&invoked.stderr));
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const EVENT_AT: Duration = s(100);

/// Follows these events of an instance at the same time; when pictures were taken, in seconds after the first event, how
/// often one was asked for too early, how often ECS was asked for the console, and the keys.
fn followed(guest: Option<Guest>, states: &[&str]) -> (Vec<u64>, usize, usize, Vec<String>) {
    followed_for(memory::FOLLOW_BUDGET, guest, states)
}

/// The same for so long.
fn followed_for(
    budget: Duration,
    guest: Option<Guest>,
    states: &[&str],
) -> (Vec<u64>, usize, usize, Vec<String>) {
    followed_in(&AtomicStore::default(), budget, guest, states)
}

/// The same, with an archive in this store.
fn followed_in(
    store: &AtomicStore,
    budget: Duration,
    guest: Option<Guest>,
    states: &[&str],
) -> (Vec<u64>, usize, usize, Vec<String>) {
    fastrand::seed(1);
    memory::paused_runtime().block_on(async {
        let ecs = memory::Guests::begin(guest.map(|guest| (WINDOWS.to_owned(), guest)));
        let screen = (WINDOWS.to_owned(), picture("stop.jpg"));
        ecs.screens.lock().unwrap().extend([screen]);
        tokio::time::sleep(EVENT_AT).await;
        let deliveries = states.iter().map(async |state| {
            let source = memory::Asked::new(&ecs);
            let mut dispatcher = memory::dispatcher(source, memory::Used::new(store));
            dispatcher.archiver.follow_budget = budget;
            dispatcher.archiver.screenshots = Screenshots {
                when: When::Auto,
                wakes_up: false,
            };
            let event = memory::event(WINDOWS, state, EVENT_AT);
            let delivered = memory::deliver(&dispatcher, &event, memory::TIMEOUT).await;
            delivered.unwrap_or_else(|error| panic!("{state}: {error}"));
        });
        futures_util::future::join_all(deliveries).await;
        let pictured = ecs.pictured.lock().unwrap().clone();
        let pictured = pictured
            .into_iter()
            .map(|(_, at)| (at - EVENT_AT).as_secs());
        let (too_early, asked) = (*ecs.too_early.lock().unwrap(), *ecs.asked.lock().unwrap());
        let keys = store
            .objects
            .lock()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>();
        let keys = keys.into_iter().filter(|key| !key.starts_with("catalog/"));
        (pictured.collect(), too_early, asked, keys.collect())
    })
}

fn lagging() -> Guest {
    Guest::new(Cache::lagging(s(60)))
}

#[test]
fn a_machine_without_a_console_is_pictured_at_the_event_and_when_its_plan_ends() {
    for (state, end) in [
        ("Stopping", 100),
        ("Running", 300),
        ("SystemFailure.Reboot", 300),
    ] {
        let (pictured, too_early, asked, keys) = followed(None, &[state]);
        assert_eq!(pictured, [0, end], "{state}");
        assert_eq!((too_early, asked), (0, 2), "{state}");
        // The same picture, so one object; and no marker.
        assert!(
            keys.len() == 1 && keys[0].ends_with(".jpg"),
            "{state}: {keys:?}"
        );
    }
}

#[test]
fn where_following_ends_within_10_s_there_is_one_picture() {
    for (budget, expected) in [(s(5), &[0][..]), (s(60), &[0, 60])] {
        let (pictured, too_early, ..) = followed_for(budget, Some(lagging()), &["Running"]);
        assert_eq!(pictured, expected, "{budget:?}");
        assert_eq!(too_early, 0, "ECS is not asked in vain");
    }
}

#[test]
fn a_boot_that_stops_before_its_prompt_is_pictured_at_the_end() {
    let boot = lagging().writes(s(0), "old\n").clears(s(101)).writes(
        s(102),
        "[    0.000000] Linux version 6.1.0\n[    1.0] and no more\n",
    );
    let (pictured, ..) = followed(Some(boot), &["Running"]);
    assert_eq!(pictured.len(), 1, "{pictured:?}");
    assert!(pictured[0] >= 150, "it was waited for: {pictured:?}");
    let nothing = lagging().writes(
        s(0),
        "[    0.000000] Linux version 6.1.0\nold\nhost login: ",
    );
    let (pictured, ..) = followed(Some(nothing), &["Running"]);
    assert_eq!(pictured, [300], "the new boot printed nothing");
}

#[test]
fn a_boot_that_reaches_its_prompt_or_a_machine_that_stops_is_not_pictured() {
    let boot = "[    0.000000] Linux version 6.1.0\nall is well\nhost login: ";
    let good = lagging()
        .writes(s(0), "old\n")
        .clears(s(101))
        .writes(s(102), boot);
    let stops = lagging()
        .writes(s(0), boot)
        .writes(s(105), "reboot: Power down\n")
        .stops(s(110));
    for (guest, state) in [
        (good.clone(), "Running"),
        (stops, "Stopping"),
        (good, "Starting"),
    ] {
        let (pictured, _, _, keys) = followed(Some(guest), &[state]);
        assert_eq!(pictured, Vec::<u64>::new(), "{state}");
        assert!(keys.iter().all(|key| !key.ends_with(".jpg")), "{keys:?}");
    }
}

#[test]
fn a_machine_that_panics_is_pictured_as_soon_as_its_console_says_it_and_at_the_end() {
    let panic = "[    0.000000] Linux version 6.1.0\n[    1.0] Kernel panic - not syncing: x\n";
    let at_once = lagging().writes(s(0), panic);
    let (pictured, ..) = followed(Some(at_once), &["SystemFailure.Reboot"]);
    assert_eq!((pictured[0], pictured.len()), (0, 2), "{pictured:?}");
    assert!(pictured[1] >= 10, "{pictured:?}");
}

#[test]
fn a_picture_that_cannot_be_stored_costs_no_last_words() {
    let panic = "[    0.000000] Linux version 6.1.0\n[    1.0] Kernel panic - not syncing: x\n";
    let guest = lagging()
        .writes(s(0), panic)
        .writes(s(70), "the last words\n");
    let store = AtomicStore {
        of_pictures: Some(Habit::Refuses),
        ..AtomicStore::default()
    };
    let (_, _, asked, _) = followed_in(&store, memory::FOLLOW_BUDGET, Some(guest), &["Running"]);
    assert!(asked > 2, "it is followed further: {asked}");
    let consoles = store.consoles();
    let mut texts = consoles.keys().map(|console| &console.plain);
    assert!(texts.any(|text| text.ends_with("the last words\n")));
}

#[test]
fn events_of_one_machine_at_once_wait_for_each_other_and_lose_nothing() {
    let states = ["Stopping", "Running", "SystemFailure.Reboot", "Starting"];
    let (pictured, too_early, _, keys) = followed(None, &states);
    assert!(
        pictured.windows(2).all(|pair| pair[1] - pair[0] >= 10),
        "{pictured:?}"
    );
    assert!(too_early > 0, "they were in each other's way");
    assert!(pictured.len() >= 4, "{pictured:?}");
    let of_kind = |end: &str| keys.iter().filter(|key| key.ends_with(end)).count();
    // All found the same picture. One of them stored it, and the others say that there was no console.
    assert_eq!((of_kind(".jpg"), of_kind(".none.json")), (1, 3), "{keys:?}");
}

/// Machines whose pictures never come, and one with a console, which is last in every order.
const HANGING: usize = 30;
const LAST: &str = "i-zlinux";
const PANIC: &str = "[    0.000000] Linux version 6.1.0\n[    1.0] Kernel panic - not syncing: x\n";

fn hanging(index: usize) -> String {
    format!("i-hanging{index:02}")
}

fn auto() -> Screenshots {
    Screenshots {
        when: When::Auto,
        wakes_up: false,
    }
}

/// ECS with these guests, whose screens hang; that of Windows, too.
fn ecs_with_hanging_screens(
    guests: impl IntoIterator<Item = (String, Guest)>,
) -> std::sync::Arc<memory::Guests> {
    let ecs = memory::Guests::begin(guests);
    let screen = (WINDOWS.to_owned(), picture("stop.jpg"));
    ecs.screens.lock().unwrap().extend([screen]);
    ecs.has_hanging_screens.store(true, Ordering::Relaxed);
    ecs
}

/// Whether the console of [`LAST`] is stored within a second, of a payload that is also about machines whose pictures
/// hang. They have a console that panics, or none.
fn stores_the_last_in_time(has_console: bool, payload: &[u8]) {
    memory::paused_runtime().block_on(async {
        let store = AtomicStore::default();
        let panics = || lagging().writes(s(0), PANIC);
        let boots = lagging().writes(s(0), "[    0.000000] Linux version 6.1.0\nhost login: ");
        let guests = (0..HANGING).filter(|_| has_console);
        let guests = guests.map(|index| (hanging(index), panics()));
        let ecs = ecs_with_hanging_screens(guests.chain([(LAST.to_owned(), boots)]));
        let screens = (0..HANGING).map(|index| (hanging(index), picture("stop.jpg")));
        ecs.screens.lock().unwrap().extend(screens);
        tokio::time::sleep(EVENT_AT).await;
        let mut dispatcher =
            memory::dispatcher(memory::Asked::new(&ecs), memory::Used::new(&store));
        dispatcher.archiver.screenshots = auto();
        let deliver = memory::deliver(&dispatcher, payload, memory::TIMEOUT);
        let ended = tokio::time::timeout(s(1), deliver).await;
        assert!(ended.is_err(), "pictures hang");
        let consoles = store.consoles();
        let is_stored = consoles.keys().any(|console| console.instance == LAST);
        assert!(is_stored, "{has_console}: {:?}", consoles.keys());
        assert!(!ecs.times.lock().unwrap()[1].is_empty());
    });
}

#[test]
fn pictures_that_hang_make_no_other_console_late() {
    for has_console in [false, true] {
        let ids = (0..HANGING).map(hanging).chain([LAST.to_owned()]);
        let events = ids.map(|id| memory::event(&id, "SystemFailure.Reboot", EVENT_AT));
        let events = events.map(|event| serde_json::from_slice::<Value>(&event).unwrap());
        let events = events.collect::<Vec<_>>();
        stores_the_last_in_time(has_console, json!(events).to_string().as_bytes());
    }
}

#[test]
fn in_a_sweep_pictures_that_hang_make_no_console_late() {
    for has_console in [false, true] {
        let sweep = json!({"sweep": {"regions": ["cn-hangzhou"], "per_second": 200}});
        stores_the_last_in_time(has_console, sweep.to_string().as_bytes());
    }
}

/// Whoever waits for a picture has stored what it knows; and where the process ends, it does not wait.
#[test]
fn while_a_picture_hangs_nothing_is_in_memory_alone_and_the_polls_come_in_time() {
    for ends_at in [None, Some(141)] {
        memory::paused_runtime().block_on(async {
            let store = AtomicStore::default();
            let guest = Guest::new(Cache::lagging(s(1)))
                .writes(s(0), PANIC)
                .writes(EVENT_AT + s(35), "the last words\n");
            let ecs = ecs_with_hanging_screens([(WINDOWS.to_owned(), guest)]);
            tokio::time::sleep(EVENT_AT).await;
            let source = memory::Asked::new(&ecs);
            let given = source.given.clone();
            let mut dispatcher = memory::dispatcher(source, memory::Used::new(&store));
            dispatcher.archiver.screenshots = auto();
            let event = memory::event(WINDOWS, "SystemFailure.Reboot", EVENT_AT);
            let deliver = memory::deliver(&dispatcher, &event, memory::TIMEOUT);
            let mut deliver = std::pin::pin!(deliver);
            let is_safe = || {
                let consoles = store.consoles();
                let given = given.lock().unwrap();
                given.iter().all(|one| consoles.contains_key(one))
            };
            let mut looked = 0;
            for second in 0..400 {
                if ends_at == Some(second + 100) {
                    let is_hanging = ecs.times.lock().unwrap()[1].last().copied();
                    assert!(is_hanging.unwrap() > EVENT_AT + s(second - 3));
                    dispatcher.archiver.ending.cancel();
                    let ended = tokio::time::timeout(s(1), &mut deliver).await;
                    assert!(ended.expect("it waits for no picture").is_ok());
                    assert!(is_safe());
                    return;
                }
                if tokio::time::timeout(s(1), &mut deliver).await.is_ok() {
                    break;
                }
                let asked_at = ecs.times.lock().unwrap()[1].last().copied();
                let second = s(second + 1);
                if asked_at.is_some_and(|at| EVENT_AT + second < at + s(4)) {
                    looked += 1;
                    assert!(is_safe(), "{second:?}");
                }
            }
            assert!(looked > 10 && ends_at.is_none(), "{looked}");
            assert!(is_safe());
            let polls = ecs.times.lock().unwrap()[0].clone();
            let planned = [0, 20, 40, 60, 80, 100].map(|look| EVENT_AT + s(look));
            for (poll, planned) in polls.iter().zip(planned) {
                assert!(*poll <= planned + Duration::from_millis(100), "{polls:?}");
            }
            assert!(polls.len() >= planned.len(), "{polls:?}");
        });
    }
}

#[test]
fn an_archive_that_takes_no_pictures_gets_markers_and_the_event_succeeds() {
    for habit in [Habit::Refuses, Habit::Conflicts] {
        let store = AtomicStore {
            of_pictures: Some(habit),
            ..AtomicStore::default()
        };
        for budget in [s(0), memory::FOLLOW_BUDGET] {
            let (_, _, _, keys) = followed_in(&store, budget, None, &["Running"]);
            assert!(
                keys.len() == 1 && keys[0].ends_with(".none.json"),
                "{habit:?}: {keys:?}"
            );
        }
    }
}

#[test]
fn a_picture_whose_row_is_refused_is_a_picture() {
    let store = AtomicStore {
        of_rows: Some(Habit::Refuses),
        ..AtomicStore::default()
    };
    let (_, _, _, keys) = followed_in(&store, memory::FOLLOW_BUDGET, None, &["Running"]);
    assert!(
        keys.len() == 1 && keys[0].ends_with(".jpg"),
        "no marker, and no failure: {keys:?}"
    );
}

/// An attempt that failed may have been one for ECS, whatever it sent.
#[test]
fn attempts_are_10_s_apart_also_after_one_that_failed_and_the_next_poll_has_another() {
    for failure in [Ecs::Fails, Ecs::Denies, Ecs::Hangs] {
        for budget in [s(8), s(60)] {
            if failure == Ecs::Hangs && budget == s(8) {
                continue; // It is the last one, and hangs for as long as there is time.
            }
            memory::paused_runtime().block_on(async {
                let store = AtomicStore::default();
                let ecs = memory::Guests::begin([]);
                let screen = (WINDOWS.to_owned(), picture("stop.jpg"));
                ecs.screens.lock().unwrap().extend([screen]);
                let plan = (WINDOWS.to_owned(), vec![failure].into_iter());
                ecs.plans_of_pictures.lock().unwrap().extend([plan]);
                tokio::time::sleep(EVENT_AT).await;
                let mut dispatcher =
                    memory::dispatcher(memory::Asked::new(&ecs), memory::Used::new(&store));
                dispatcher.archiver.screenshots = auto();
                dispatcher.archiver.follow_budget = budget;
                let event = memory::event(WINDOWS, "Running", EVENT_AT);
                let delivered = memory::deliver(&dispatcher, &event, memory::TIMEOUT).await;
                delivered.unwrap_or_else(|error| panic!("{failure:?} {budget:?}: {error}"));
                let attempts = ecs.times.lock().unwrap()[1].clone();
                let are_apart = attempts.windows(2).all(|two| two[1] - two[0] >= s(10));
                assert!(are_apart, "{failure:?} {budget:?}: {attempts:?}");
                let pictured = ecs.pictured.lock().unwrap().clone();
                let soon = pictured
                    .first()
                    .is_some_and(|(_, at)| *at < EVENT_AT + s(25));
                let is_last_one = failure == Ecs::Denies && budget == s(8);
                assert!(soon || is_last_one, "{failure:?} {budget:?}: {pictured:?}");
                assert_eq!(*ecs.too_early.lock().unwrap(), 0);
            });
        }
    }
}

/// Its marker was stored before the answer.
#[test]
fn an_event_that_was_answered_fails_for_no_picture() {
    memory::paused_runtime().block_on(async {
        let store = AtomicStore::default();
        let ecs = ecs_with_hanging_screens([]);
        tokio::time::sleep(EVENT_AT).await;
        let mut dispatcher =
            memory::dispatcher(memory::Asked::new(&ecs), memory::Used::new(&store));
        dispatcher.archiver.screenshots = auto();
        let event = memory::event(WINDOWS, "Running", EVENT_AT);
        let push = json!({
            "version": "2.0", "body": text(&event), "headers": {},
            "requestContext": {"http": {"method": "POST"}},
        });
        let deadline = Deadline::after(memory::TIMEOUT);
        let push = push.to_string();
        let began = tokio::time::Instant::now();
        let mut reply = dispatcher
            .dispatch(Payload::Invocation(push.as_bytes()), deadline)
            .await;
        assert!(began.elapsed() < s(2));
        assert_eq!(store.markers(WINDOWS), 1, "before the answer");
        let deferred = std::mem::take(&mut reply.deferred);
        assert_eq!(deferred.len(), 1);
        let served = dispatcher.finish_deferred(deferred, deadline).await;
        assert!(served.iter().all(Result::is_ok), "{served:?}");
    });
}
