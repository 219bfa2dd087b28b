//! What was kept on Garage is read back by `boots`, `show`, `grep` and `diff`, as from a folder.

use std::collections::BTreeMap;

use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::store::{Object, PutOutcome, Store as _};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::server::{Garage, store};
use crate::support::recording::Recording;
use crate::support::runtime_api::Function;
use crate::support::*;

/// A machine that reboots, one that crashes and saves its memory, and one that panics.
const MACHINES: [(&str, &str); 3] = [
    ("i-read1", "bookworm-reboots"),
    ("i-read2", "kdump"),
    ("i-read3", "panic-reboots"),
];
/// What ECS shows of a console.
const RING_BYTES: usize = 65_536;
/// Between two captures.
const STEP_BYTES: usize = 24_000;
/// Other instances, with a record each: more than a page of a listing has.
const FLEET: usize = 1_100;
/// Every so many of them has panicked.
const PANICS_EVERY: usize = 100;

/// The function stores what ECS shows of a machine, again and again. Returns how often.
async fn capture(function: &Function, settings: &Shown<'_>) -> usize {
    let bytes = Recording::named(settings.recording).bytes();
    let mut end = 0;
    let mut captures = 0;
    while end < bytes.len() {
        end = (end + STEP_BYTES).min(bytes.len());
        let console = &bytes[end.saturating_sub(RING_BYTES)..end];
        let time = format!("2024-03-22 10:{captures:02}:57");
        set_console(settings.simulator, settings.id, console, &time);
        let event = json!({
            "id": format!("E-{}-{captures}", settings.id), "source": "acs.ecs",
            "type": "ecs:Instance:StateChange", "time": format!("2024-03-22T10:{captures:02}:41+08:00"),
            "aliyunregionid": "cn-hangzhou",
            "data": {"resourceId": settings.id, "state": "Stopping"},
        });
        let reply = function.result_of(event.to_string().as_bytes()).await;
        assert_eq!(reply["outcome"], "stored", "{reply}");
        captures += 1;
    }
    captures
}

struct Shown<'a> {
    simulator: &'a ecs_console_archiver::simulator::Simulator,
    id: &'a str,
    recording: &'a str,
}

/// A record of an instance of the fleet.
fn record(index: usize) -> (String, Object) {
    let last = match index % PANICS_EVERY {
        0 => "Kernel panic - not syncing: Fatal exception",
        _ => "random: crng init done",
    };
    let plain =
        format!("[    0.000000] Linux version 6.1.{index}\r\n[    1.{index:06}] {last}\r\n");
    let digest = ConsoleDigest::of(plain.as_bytes());
    let id = format!("i-fleet{index:04}");
    let key = format!("{id}/20240322T100457-{}.log.gz", digest.short());
    let metadata = BTreeMap::from([
        ("captured-at".to_owned(), "2024-03-22T02:05:41Z".to_owned()),
        ("console-sha256".to_owned(), digest.to_string()),
        ("console-bytes".to_owned(), plain.len().to_string()),
    ]);
    let object = Object {
        body: pack(plain.as_bytes()).unwrap(),
        content_type: "application/gzip".into(),
        metadata,
    };
    (key, object)
}

#[tokio::test]
async fn what_is_kept_is_read_back_as_from_a_folder() {
    let garage = Garage::start().await;
    let simulator = bare_simulator(ecs_credentials()).await;
    let settings = [garage.settings(), ecs_settings(&simulator)].concat();
    let function = Function::start(&settings).await;
    let mut captures = 0;
    for (id, recording) in MACHINES {
        let shown = Shown {
            simulator: &simulator,
            id,
            recording,
        };
        captures += capture(&function, &shown).await;
    }
    let kept = garage.store();
    let puts = stream::iter(0..FLEET).map(|index| {
        let (kept, (key, object)) = (&kept, record(index));
        async move { kept.put_if_absent(&key, &object).await }
    });
    let puts: Vec<_> = puts.buffer_unordered(16).try_collect().await.unwrap();
    assert!(puts.iter().all(|put| *put == PutOutcome::Created));
    let listed = reader::list(&kept, None).await.unwrap().records.len();
    assert_eq!(listed, captures + FLEET);

    // A record that is cut short.
    let damaged_id = InstanceId::parse("i-fleet0007").unwrap();
    let (_, mut damaged) = record(7);
    damaged.body.truncate(damaged.body.len() / 2);
    let damaged_key = format!("{damaged_id}/20240322T100557-0123456789ab.log.gz");
    assert!(RecordKey::parse(&damaged_key).is_some());
    kept.put_if_absent(&damaged_key, &damaged).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let beside = folder_settings(&folder.path().join("archive"));
    let copy = store(&beside);
    for entry in reader::entries(&kept, "").await.unwrap() {
        let object = kept.get(&entry.key).await.unwrap().unwrap();
        copy.put_if_absent(&entry.key, &object).await.unwrap();
    }
    let both = Both {
        garage: &settings,
        folder: &beside,
    };

    for (id, recording) in MACHINES {
        let recorded = Recording::named(recording);
        let (bytes, labels) = (recorded.bytes(), &recorded.label.boots);
        let boots = both.read(&["boots", id, "--output", "json"]).await;
        let boots: Value = serde_json::from_str(&boots).unwrap();
        assert_eq!(boots.as_array().unwrap().len(), labels.len(), "{recording}");
        both.read(&["boots", id]).await;
        for (index, boot) in labels.iter().enumerate() {
            let end = labels.get(index + 1).map_or(bytes.len(), |next| next.start);
            let number = (index + 1).to_string();
            let raw = ["show", id, "--boot", &number, "--raw"];
            let log = cli(&settings, &raw).await.stdout;
            assert!(log == bytes[boot.start..end], "{recording} {number}");
            assert!(log == cli(&beside, &raw).await.stdout);
        }
        both.read(&["show", id, "--time", "wall"]).await;
        both.read(&[
            "show", id, "--boot", "1", "--lines", "20", "--output", "json",
        ])
        .await;
        both.read(&["grep", "Linux version", id]).await;
        both.read(&["grep", "--captures", "-c", "Linux version", id])
            .await;
    }
    let (rebooted, crashed, panicked) = (MACHINES[0].0, MACHINES[1].0, MACHINES[2].0);
    both.read(&["diff", rebooted]).await;
    both.read(&["diff", rebooted, "1", "2", "--output", "json"])
        .await;
    both.read(&["diff", rebooted, panicked, "--stat"]).await;
    let found = both
        .read(&[
            "grep",
            "-l",
            "Kernel panic - not syncing: sysrq",
            crashed,
            panicked,
        ])
        .await;
    assert_eq!(found.lines().count(), 3, "{found}");

    // All of the fleet, of which one record is damaged.
    let all = ["grep", "-F", "Fatal exception", "--instance", "i-fleet*"];
    let (code, found) = both.run(&all).await;
    assert_eq!((code, found.lines().count()), (1, FLEET / PANICS_EVERY));
    let none = ["grep", "no console has this", "--output", "json"];
    assert_eq!(both.run(&none).await.0, 1);
    let (code, _) = both.run(&["boots", damaged_id.as_str()]).await;
    assert_eq!(code, 1);
    println!("reading: {captures} captures and a fleet of {FLEET} read as from a folder");
}

/// The same archive on Garage and in a folder.
struct Both<'a> {
    garage: &'a Settings,
    folder: &'a Settings,
}

impl Both<'_> {
    /// What a command prints of both: the same. It must succeed.
    async fn read(&self, arguments: &[&str]) -> String {
        let (code, printed) = self.run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}");
        assert!(!printed.is_empty(), "{arguments:?}");
        printed
    }

    /// The same, with how it ends: the same.
    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let kept = cli(self.garage, arguments).await;
        let copied = cli(self.folder, arguments).await;
        let url = |settings: &Settings| {
            let found = settings.iter().find(|(name, _)| name == "ARCHIVE_URL");
            found.unwrap().1.clone()
        };
        let told = |stderr: &[u8], settings| text(stderr).replace(&url(settings), "ARCHIVE");
        assert_eq!(
            told(&kept.stderr, self.garage),
            told(&copied.stderr, self.folder),
            "{arguments:?}"
        );
        // How long it took is not the same.
        let timeless = |stdout: &[u8]| {
            let lines = text(stdout);
            let lines = lines
                .lines()
                .filter(|line| !line.contains("elapsed_seconds"));
            lines.fold(String::new(), |all, line| all + line + "\n")
        };
        let printed = timeless(&kept.stdout);
        assert_eq!(printed, timeless(&copied.stdout), "{arguments:?}");
        assert_eq!(kept.status.code(), copied.status.code(), "{arguments:?}");
        (kept.status.code().unwrap(), printed)
    }
}
