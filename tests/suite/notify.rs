//! People are told of findings: by five kinds of receivers, once for what is new and again for what rises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ecs_console_archiver::archive::catalog::Day;
use ecs_console_archiver::archive::notice::{NoticeKey, signature_digest};
use ecs_console_archiver::config::{Config, Environment};
use ecs_console_archiver::hand_over;
use ecs_console_archiver::model::finding::{Finding, Severity};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::notify::notice::Sighting;
use ecs_console_archiver::notify::send::Sender;
use ecs_console_archiver::notify::{Event, Notifier, Told, target};
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::simulator::{Screen, Simulator};
use ecs_console_archiver::store::{Object, Page, PutOutcome, Store, StoreError};
use futures_util::future::poll_immediate;
use serde_json::{Value, json};

use crate::support::fakes::MemoryStore;
use crate::support::notice_receiver::{Behaviour, KINDS, Kind, NoticeReceiver, TOPIC};
use crate::support::raw_server::{Raw, RawServer};
use crate::support::receiver;
use crate::support::runtime_api::{Answer, Function};
use crate::support::s3_server::{ACCESS_KEY_ID, Profile, SECRET_ACCESS_KEY};
use crate::support::secret_server::{self, SECRET_ARN, SecretServer};
use crate::support::*;
use tokio::sync::Semaphore;

const PANIC: &str = "i-bp1panicnoroot00001";
const OTHER: &str = "i-bp1panicnoroot00002";

fn by_hand(instance_id: &str) -> Vec<u8> {
    json!({"instance_id": instance_id, "region_id": "cn-hangzhou"})
        .to_string()
        .into_bytes()
}

fn notify(receivers: &[&NoticeReceiver]) -> Settings {
    let entries: Vec<_> = receivers.iter().map(|one| one.entry()).collect();
    let mut all = settings(&[("NOTIFY_URLS", &entries.join(" "))]);
    let topic = receivers.iter().find(|one| one.kind == Kind::Sns);
    all.extend(topic.map(|one| ("AWS_ENDPOINT_URL_SNS".to_owned(), one.url())));
    all
}

/// What the archive remembers, by kind of key.
fn kept(keys: impl IntoIterator<Item = String>) -> Vec<NoticeKey> {
    let keys = keys.into_iter();
    let of_notices = keys.filter(|key| key.contains("notices/"));
    let parse = |key: String| {
        let key = &key[key.find("notices/").unwrap()..];
        NoticeKey::parse(key).unwrap_or_else(|| panic!("{key}"))
    };
    of_notices.map(parse).collect()
}

fn count(keys: &[NoticeKey], is: impl Fn(&NoticeKey) -> bool) -> usize {
    keys.iter().filter(|key| is(key)).count()
}

/// Lines of the log with this metric.
fn metric(log: &str, name: &str) -> usize {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line[name] == 1).count()
}

/// A bucket, and a receiver of each kind that is told of it.
async fn all_kinds() -> (Bucket, Vec<NoticeReceiver>) {
    let mut receivers = Vec::new();
    for kind in KINDS {
        receivers.push(NoticeReceiver::start(kind).await);
    }
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket
        .settings
        .extend(notify(&receivers.iter().collect::<Vec<_>>()));
    (bucket, receivers)
}

#[tokio::test]
async fn each_kind_of_receiver_gets_a_signed_notice_once() {
    let (bucket, receivers) = all_kinds().await;
    let function = Function::start(&bucket.settings).await;
    for instance_id in [PANIC, OTHER] {
        set_console(
            &bucket.simulator,
            instance_id,
            &fixture(PANIC),
            "2018-03-22T10:04:57Z",
        );
    }
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(answer["outcome"], "stored");
    for receiver in &receivers {
        let taken = receiver.taken();
        let [notice] = &taken[..] else {
            panic!("{:?} took {}", receiver.kind, taken.len());
        };
        let text = notice.to_string();
        for told in [
            PANIC,
            "cn-hangzhou",
            "The kernel cannot mount its root file system",
            "VFS: Cannot open root device",
            "root-not-mounted",
            "console-archive show i-bp1panicnoroot00001",
        ] {
            assert!(
                text.contains(told),
                "{:?} has no {told}: {text}",
                receiver.kind
            );
        }
    }
    let webhook = &receivers[0].taken()[0];
    assert_eq!(webhook["type"], "notice.finding");
    assert_eq!(webhook["data"]["is_new"], true);
    assert_eq!(webhook["data"]["instances"], 1);
    assert!(webhook["data"]["lines"].as_array().unwrap().len() <= 20);
    assert_eq!(webhook["data"]["id"], receivers[0].ids()[0]);

    // Neither the same console nor the same fault of another machine is told again.
    function.result_of(&by_hand(PANIC)).await;
    function.result_of(&by_hand(OTHER)).await;
    assert!(receivers.iter().all(|receiver| receiver.taken().len() == 1));

    let kept = kept(bucket.server.objects().into_keys());
    assert_eq!(count(&kept, |key| matches!(key, NoticeKey::Seen { .. })), 2);
    assert_eq!(
        count(&kept, |key| matches!(key, NoticeKey::Level { .. })),
        1
    );
    assert_eq!(count(&kept, |key| matches!(key, NoticeKey::Notice(_))), 1);
    assert_eq!(count(&kept, |key| matches!(key, NoticeKey::Sent(..))), 5);
    bucket.server.assert_nothing_was_overwritten();
    let log = function.stop().await;
    assert_eq!(metric(&log, "NewSignatures"), 1, "{log}");
    assert_eq!(metric(&log, "NoticesSent"), 5);
    assert_eq!(metric(&log, "NoticesFailed"), 0);

    // Nothing that reads the archive takes it for damage, or for a record.
    let verified = cli(&bucket.settings, &["verify"]).await;
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}",
        text(&verified.stdout)
    );
    let listed = cli(&bucket.settings, &["list"]).await;
    assert!(!text(&listed.stdout).contains("notices"));
}

#[tokio::test]
async fn what_is_told_works_as_it_is_told() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&receiver]));
    let function = Function::start(&bucket.settings).await;
    function.result_of(&by_hand(PANIC)).await;
    let taken = receiver.taken();
    let command = taken[0]["data"]["command"].as_str().unwrap();
    let arguments: Vec<_> = command.split(' ').skip(1).collect();
    let shown = cli(&bucket.settings, &arguments).await;
    assert!(text(&shown.stdout).contains("VFS: Cannot open root device"));
}

#[tokio::test]
async fn an_event_without_a_bad_finding_costs_nothing_more() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    let mut methods = Vec::new();
    for own in [Settings::new(), notify(&[&receiver])] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket.settings.extend(own);
        let function = Function::start(&bucket.settings).await;
        set_console(
            &bucket.simulator,
            PANIC,
            b"host login: ",
            "2018-03-22T10:04:57Z",
        );
        function.result_of(&by_hand(PANIC)).await;
        methods.push(bucket.server.methods());
    }
    assert_eq!(methods[0], methods[1]);
    assert!(receiver.taken().is_empty());
}

#[tokio::test]
async fn nothing_is_remembered_or_sent_below_the_severity_that_is_set() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&receiver]));
    bucket
        .settings
        .push(("NOTIFY_SEVERITY".into(), "fatal".into()));
    let function = Function::start(&bucket.settings).await;
    let failed = b"[    9.000000] EXT4-fs error (device vda1): ext4_lookup:1: inode #2: comm a: deleted inode\n";
    set_console(&bucket.simulator, PANIC, failed, "2018-03-22T10:04:57Z");
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(answer["findings"][0]["severity"], "error", "{answer}");
    assert!(kept(bucket.server.objects().into_keys()).is_empty());
    assert!(receiver.taken().is_empty());
}

/// A receiver that meets this first takes the notice all the same.
async fn taken_after(kind: Kind, behaviours: &[Behaviour]) {
    let receiver = NoticeReceiver::start(kind).await;
    behaviours.iter().for_each(|one| receiver.next(one.clone()));
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&receiver]));
    let function = Function::start(&bucket.settings).await;
    function.result_of(&by_hand(PANIC)).await;
    let log = function.stop().await;
    assert_eq!(receiver.taken().len(), 1, "{behaviours:?}: {log}");
    assert_eq!(metric(&log, "NoticesFailed"), 0);
    let ids = receiver.ids();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

/// DingTalk asks for a keyword in Chinese: that is about the message, so the next notice is tried, too.
#[tokio::test]
async fn a_robot_that_misses_its_keyword_gets_the_next_notice_at_once() {
    let wrong =
        r#"{"errcode":310000,"errmsg":"description:关键词不匹配;solution:请联系群管理员;"}"#;
    for (answer, is_of_message) in [
        (wrong, true),
        (&wrong.replace("关键词", "机器人发送签名"), false),
    ] {
        let receiver = NoticeReceiver::start(Kind::DingTalk).await;
        receiver.next(Behaviour::Says(answer.to_owned()));
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket.settings.extend(notify(&[&receiver]));
        let function = Function::start(&bucket.settings).await;
        function.result_of(&by_hand(PANIC)).await;
        let failed = b"[    9.000000] EXT4-fs error (device vda1): ext4_lookup:1: inode #2: comm a: deleted inode\n";
        set_console(&bucket.simulator, OTHER, failed, "2018-03-22T10:04:57Z");
        function.result_of(&by_hand(OTHER)).await;
        assert_eq!(
            receiver.taken().len(),
            usize::from(is_of_message),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_may_pass_is_sent_again() {
    taken_after(
        Kind::Webhook,
        &[Behaviour::Fails(503), Behaviour::Fails(500)],
    )
    .await;
    for kind in KINDS {
        taken_after(kind, &[Behaviour::Throttles("1")]).await;
    }
    taken_after(Kind::Sns, &[Behaviour::Fails(500)]).await;
    let busy = r#"{"errcode":-1,"errmsg":"system busy"}"#;
    taken_after(Kind::DingTalk, &[Behaviour::Says(busy.into())]).await;
}

/// The event succeeds, and the log says what the receiver did, without the secret parts of its address.
async fn failed_by(kind: Kind, behaviour: Behaviour) -> String {
    let receiver = NoticeReceiver::start(kind).await;
    receiver.always(behaviour.clone());
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&receiver]));
    let function = Function::start(&bucket.settings).await;
    let time = Duration::from_secs(4);
    let answer = function.invoke(&by_hand(PANIC), time).await;
    let Answer::Response(answer) = answer else {
        panic!("{behaviour:?}: {answer:?}");
    };
    assert_eq!(answer["outcome"], "stored");
    let log = function.stop().await;
    assert!(receiver.taken().is_empty());
    assert!(!log.contains("that-must-not-show"), "{log}");
    assert_eq!(metric(&log, "NoticesFailed"), 1, "{log}");
    let kept = kept(bucket.server.objects().into_keys());
    assert_eq!(count(&kept, |key| matches!(key, NoticeKey::Notice(_))), 1);
    assert_eq!(count(&kept, |key| matches!(key, NoticeKey::Sent(..))), 0);
    log
}

#[tokio::test]
async fn a_receiver_that_is_down_fails_no_event() {
    let log = failed_by(Kind::Slack, Behaviour::Fails(404)).await;
    assert!(
        log.contains("it answered 404: no route for /[secret]/T0/B0/[secret]"),
        "{log}"
    );
    failed_by(Kind::Webhook, Behaviour::Fails(503)).await;
    failed_by(Kind::Slack, Behaviour::Stalls).await;
    failed_by(Kind::Slack, Behaviour::Throttles("3600")).await;
    let wrong = r#"{"errcode":310000,"errmsg":"keywords not in content"}"#;
    let log = failed_by(Kind::DingTalk, Behaviour::Says(wrong.into())).await;
    assert!(log.contains("310000 keywords not in content"), "{log}");
    let wrong = r#"{"code":19024,"msg":"Key Words Not Found"}"#;
    let log = failed_by(Kind::Feishu, Behaviour::Says(wrong.into())).await;
    assert!(log.contains("19024 Key Words Not Found"), "{log}");
    failed_by(Kind::Feishu, Behaviour::Says("x".repeat(1 << 20))).await;
    // What a robot repeats of its address, as JSON may spell it.
    let echo = r#"{"errcode":300001,"errmsg":"no robot \u0074oken\u002dthat-must-not-show"}"#;
    let log = failed_by(Kind::DingTalk, Behaviour::Says(echo.into())).await;
    assert!(log.contains("300001 no robot [secret]"), "{log}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = NoticeReceiver::start(Kind::Slack).await;
    let to = format!("{}/services/token-that-must-not-show", elsewhere.url());
    failed_by(Kind::Slack, Behaviour::SendsOn(to)).await;
    assert!(elsewhere.taken().is_empty());
}

/// What a folder's archive remembers, as if so much time had passed since.
fn age(folder: &Path, minutes: u64) {
    let notices = folder.join("notices");
    let files = files_in(&notices).into_iter();
    for (name, _) in files {
        let file = std::fs::File::options()
            .write(true)
            .open(notices.join(name))
            .unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before - Duration::from_secs(60 * minutes))
            .unwrap();
    }
    assert!(SystemTime::now() > SystemTime::UNIX_EPOCH);
}

/// An archive whose function has told these receivers of a panic, and does not run any more.
struct AfterPanic {
    _folder: tempfile::TempDir,
    /// The function asks it again.
    _simulator: Simulator,
    archive: PathBuf,
    settings: Settings,
}

async fn told_of_a_panic(receivers: &[&NoticeReceiver]) -> AfterPanic {
    let simulator = simulator().await;
    let (folder, settings) = archive_folder(&simulator);
    let told = [settings.clone(), notify(receivers)].concat();
    let function = Function::start(&told).await;
    function.result_of(&by_hand(PANIC)).await;
    drop(function);
    AfterPanic {
        archive: folder.path().join("archive"),
        _folder: folder,
        _simulator: simulator,
        settings,
    }
}

fn names(folder: &Path) -> Vec<NoticeKey> {
    let files = files_in(&folder.join("notices")).into_iter();
    let is_object = |name: &String| !name.ends_with(".meta.json");
    let names = files.map(|(name, _)| format!("notices/{name}"));
    kept(names.filter(is_object))
}

#[tokio::test]
async fn what_a_killed_process_has_claimed_is_sent_by_another() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    receiver.next(Behaviour::Stalls);
    let simulator = simulator().await;
    let (folder, mut settings) = archive_folder(&simulator);
    let archive = folder.path().join("archive");
    settings.extend(notify(&[&receiver]));
    let function = Function::start(&settings).await;
    let process = function.process().clone();
    let payload = by_hand(PANIC);
    let killed = async {
        receiver.asked().await;
        process.kill().await;
    };
    let (answer, ()) = tokio::join!(
        function.try_invoke(&payload, Duration::from_secs(60)),
        killed
    );
    assert!(answer.is_err(), "{answer:?}");
    assert!(receiver.taken().is_empty());
    // Its time is not over.
    let next = Function::start(&settings).await;
    next.result_of(br#"{"compact": {}}"#).await;
    assert!(receiver.taken().is_empty());
    drop(next);
    age(&archive, 6);
    let next = Function::start(&settings).await;
    next.result_of(br#"{"compact": {}}"#).await;
    assert_eq!(receiver.taken().len(), 1, "{}", next.stop().await);
    let ids = receiver.ids();
    assert_eq!(ids[0], ids[1]);
    let sent = count(&names(&archive), |key| matches!(key, NoticeKey::Sent(..)));
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn a_notice_that_nobody_takes_is_given_up_after_some_attempts() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    receiver.always(Behaviour::Fails(404));
    let told = told_of_a_panic(&[&receiver]).await;
    let archive = &told.archive;
    let settings = [told.settings.clone(), notify(&[&receiver])].concat();
    for attempt in 1..=7 {
        age(archive, 200);
        let function = Function::start(&settings).await;
        function.result_of(br#"{"compact": {}}"#).await;
        let kept = names(archive);
        let attempts = count(&kept, |key| matches!(key, NoticeKey::Attempt(..)));
        assert_eq!(attempts, attempt.min(5));
        let given_up = count(&kept, |key| matches!(key, NoticeKey::GivenUp(..)));
        assert_eq!(given_up, usize::from(attempt > 5));
        let log = function.stop().await;
        let failed = if attempt > 6 { 0 } else { 1 };
        assert_eq!(metric(&log, "NoticesFailed"), failed, "{attempt}: {log}");
    }
}

#[tokio::test]
async fn who_is_added_later_is_not_told_of_what_was_before() {
    let (first, second) = (
        NoticeReceiver::start(Kind::Slack).await,
        NoticeReceiver::start(Kind::Webhook).await,
    );
    let told = told_of_a_panic(&[&first]).await;
    age(&told.archive, 10);
    let both = [told.settings.clone(), notify(&[&first, &second])].concat();
    let function = Function::start(&both).await;
    function.result_of(br#"{"compact": {}}"#).await;
    assert_eq!((first.taken().len(), second.taken().len()), (1, 0));
}

#[tokio::test]
async fn the_state_is_kept_in_every_kind_of_store() {
    for profile in [
        Profile::Aws,
        Profile::IgnoresConditions,
        Profile::Oss { versioned: false },
    ] {
        let receiver = NoticeReceiver::start(Kind::Slack).await;
        let mut bucket = Bucket::start(profile).await;
        bucket.settings.extend(notify(&[&receiver]));
        for instance_id in [PANIC, OTHER] {
            set_console(
                &bucket.simulator,
                instance_id,
                &fixture(PANIC),
                "2018-03-22T10:04:57Z",
            );
            let function = Function::start(&bucket.settings).await;
            function.result_of(&by_hand(instance_id)).await;
        }
        assert_eq!(receiver.taken().len(), 1, "{profile:?}");
        let kept = kept(bucket.server.objects().into_keys());
        let seen = count(&kept, |key| matches!(key, NoticeKey::Seen { .. }));
        assert_eq!(seen, 2, "{profile:?}");
    }
}

fn sighting(number: usize) -> Sighting {
    let now = jiff::Timestamp::now();
    Sighting {
        finding: Finding {
            id: "kernel-panic".into(),
            severity: Severity::Fatal,
            title: "The kernel panicked".into(),
            signature: "kernel-panic:ext4_readdir".into(),
            count: 1,
        },
        advice: String::new(),
        also: Vec::new(),
        instance_id: InstanceId::parse(&format!("i-storm{number:05}")).unwrap(),
        region_id: RegionId::parse("cn-hangzhou").unwrap(),
        captured_at: now,
        boot_began_at: None,
        lines: vec!["Kernel panic - not syncing".into()],
        fault_line: 0,
        record: String::new(),
        day: Day::of(now).0,
    }
}

/// A notifier of a process of its own.
fn process(receiver: &NoticeReceiver, http: &reqwest::Client) -> Notifier {
    let told = Told {
        severity: Severity::Error,
        masks_secrets: true,
    };
    let targets = target::parse(&receiver.entry()).unwrap();
    let sender = Sender {
        http: http.clone(),
        aws: None,
        sns_endpoint: None,
    };
    Notifier::new(told, targets, None, sender, |event: &Event<'_>| {
        assert!(
            matches!(event, Event::NewSignature(_) | Event::Sent(..)),
            "{event:?}"
        );
    })
}

#[tokio::test]
async fn ten_thousand_identical_panics_send_a_handful() {
    let receiver = Arc::new(NoticeReceiver::start(Kind::Webhook).await);
    let http = ecs_console_archiver::http::client(&Default::default()).unwrap();
    let store = MemoryStore {
        stored_at: jiff::Timestamp::now(),
        ..MemoryStore::default()
    };
    let functions = (0..100).map(|function| {
        let (notifier, store) = (process(&receiver, &http), store.clone());
        async move {
            // Each function serves one event after the other.
            for number in 0..100 {
                notifier.note(sighting(number * 100 + function));
                let deadline = Deadline::after(Duration::from_secs(60));
                notifier
                    .tell(&store, jiff::Timestamp::now(), deadline)
                    .await;
            }
        }
    });
    futures_util::future::join_all(functions).await;
    let taken = receiver.taken();
    let counts: Vec<_> = taken
        .iter()
        .map(|one| one["data"]["instances"].as_u64().unwrap())
        .collect();
    assert!((1..=4).contains(&counts.len()), "{counts:?}");
    assert_eq!(counts.iter().max(), Some(&1000), "{counts:?}");
    let ids = receiver.ids();
    assert_eq!(
        ids.iter().collect::<std::collections::BTreeSet<_>>().len(),
        ids.len()
    );
}

#[tokio::test]
async fn nothing_a_guest_prints_is_markup_for_a_receiver_and_no_secret_is_sent() {
    let (bucket, receivers) = all_kinds().await;
    let hostile = "\x1b]0;title\x07 ``` <!channel> <@U1> @all <at user_id=\"all\">a</at> \u{202e}\u{0}\r\n\
                   ![i](https://example.com/x.png) </script> &lt; \\\" {\"a\":1}\n\
                   user root password: hunter2-hunter2\n\
                   [    1.000000] VFS: Cannot open root device \"<!here>@all\" or unknown-block(0,0): error -6\n\
                   [    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs on <!everyone>\n";
    set_console(
        &bucket.simulator,
        PANIC,
        hostile.as_bytes(),
        "2018-03-22T10:04:57Z",
    );
    let function = Function::start(&bucket.settings).await;
    function.result_of(&by_hand(PANIC)).await;
    fn strings(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(all) => all.iter().for_each(|one| strings(one, into)),
            Value::Object(all) => all.values().for_each(|one| strings(one, into)),
            _ => {}
        }
    }
    for receiver in &receivers {
        let taken = receiver.taken();
        assert_eq!(taken.len(), 1, "{:?}", receiver.kind);
        let mut texts = Vec::new();
        strings(&taken[0], &mut texts);
        let all = texts.join("\n");
        assert!(
            !all.contains(['\x1b', '\x07', '\u{202e}', '\0']),
            "{:?}",
            receiver.kind
        );
        let forbidden: &[&str] = match receiver.kind {
            Kind::Slack => &["<!", "<@", "</script>"],
            Kind::DingTalk => &["@all"],
            Kind::Feishu => &["<at"],
            Kind::Webhook | Kind::Sns => &[],
        };
        for one in forbidden {
            assert!(!all.contains(one), "{:?} has {one}: {all}", receiver.kind);
        }
        assert!(
            all.contains("Kernel panic - not syncing"),
            "{:?}: {all}",
            receiver.kind
        );
        if receiver.kind == Kind::Sns {
            let subject = taken[0]["Subject"].as_str().unwrap();
            assert!(subject.len() < 100 && subject.is_ascii(), "{subject}");
        }
    }
}

#[tokio::test]
async fn secrets_of_a_console_are_masked_unless_they_may_be_seen() {
    for (redact, is_sent) in [("view", false), ("store", false), ("off", true)] {
        let receiver = NoticeReceiver::start(Kind::Webhook).await;
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket.settings.extend(notify(&[&receiver]));
        bucket.settings.push(("REDACT".into(), redact.into()));
        let console = "https://user:hunter2hunter2@example.com/x\n\
                       [    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs\n";
        set_console(
            &bucket.simulator,
            PANIC,
            console.as_bytes(),
            "2018-03-22T10:04:57Z",
        );
        let function = Function::start(&bucket.settings).await;
        function.result_of(&by_hand(PANIC)).await;
        let taken = receiver.taken()[0].to_string();
        assert_eq!(
            taken.contains("hunter2hunter2"),
            is_sent,
            "{redact}: {taken}"
        );
    }
}

#[tokio::test]
async fn a_secrets_manager_may_keep_who_is_told() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    let manager = SecretServer::start(&receiver.entry()).await;
    let simulator = simulator().await;
    let (_folder, mut settings) = archive_folder(&simulator);
    settings.extend(
        [
            ("NOTIFY_URLS_ARN", SECRET_ARN),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &manager.url()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let function = Function::start(&settings).await;
    assert_eq!(manager.asked(), 0, "it is read when it is needed");
    function.result_of(&by_hand(PANIC)).await;
    assert_eq!(receiver.taken().len(), 1);
    assert!(manager.asked() > 0);
}

#[tokio::test]
async fn on_function_compute_and_for_pushes_people_are_told_too() {
    let receiver = NoticeReceiver::start(Kind::Feishu).await;
    let own = notify(&[&receiver]);
    let mut own: Vec<_> = own.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    own.push(("AWS_LAMBDA_LOG_FORMAT", "JSON"));
    let server = receiver::function_compute(&own).await;
    let answer = server.invoke(by_hand(PANIC)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(receiver.taken().len(), 1);
    let (_, log) = server.terminate().await;
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<Value> = lines.collect();
    let is_new = |line: &&Value| line["new_signature"] == "root-not-mounted";
    assert_eq!(lines.iter().filter(is_new).count(), 1, "{log}");
    assert!(lines.iter().any(|line| line["notice"] == "sent"));

    own.push(("WEBHOOK_ALLOW_UNSIGNED", "true"));
    let mut server = receiver::webhook(&own).await;
    server.post("/", starting(PANIC)).send().await.unwrap();
    while receiver.taken().len() < 2 {
        server.wait_for("sent a notice").await;
    }
}

#[tokio::test]
async fn a_test_notice_says_whether_each_receiver_takes_notices() {
    let (good, bad) = (
        NoticeReceiver::start(Kind::DingTalk).await,
        NoticeReceiver::start(Kind::Slack).await,
    );
    bad.always(Behaviour::Fails(404));
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&good, &bad]));
    let told = cli(&bucket.settings, &["doctor", "--output", "json"]).await;
    assert!(
        text(&told.stdout)
            .contains("told from severity error on: dingtalk 127.0.0.1, slack 127.0.0.1")
    );
    assert!(good.taken().is_empty());
    let tested = cli(
        &bucket.settings,
        &["doctor", "--send-test-notice", "--output", "json"],
    )
    .await;
    assert_eq!(tested.status.code(), Some(1));
    let tested = text(&tested.stdout);
    assert!(
        tested.contains("dingtalk 127.0.0.1 took a test notice"),
        "{tested}"
    );
    assert!(
        tested.contains("slack 127.0.0.1 did not take a test notice: it answered 404"),
        "{tested}"
    );
    assert!(good.taken()[0].to_string().contains("This is a test"));
    // The function sends one from where it is.
    let function = Function::start(&bucket.settings).await;
    let answer = function
        .result_of(br#"{"doctor": {"send_test_notice": true}}"#)
        .await;
    assert!(
        answer
            .to_string()
            .contains("dingtalk 127.0.0.1 took a test notice"),
        "{answer}"
    );
    assert_eq!(good.taken().len(), 2);
    // Where nobody is told, nothing can be tested.
    bucket.settings.retain(|(name, _)| name != "NOTIFY_URLS");
    let tested = cli(
        &bucket.settings,
        &["doctor", "--send-test-notice", "--output", "json"],
    )
    .await;
    assert_eq!(tested.status.code(), Some(1));
    assert!(text(&tested.stdout).contains("nobody is told of findings"));
}

/// The line of the log that says what became of the next notice.
async fn next_notice(server: &mut receiver::Server) -> Value {
    loop {
        let line = server.log.recv().await.unwrap();
        if let Ok(line) = serde_json::from_str::<Value>(&line)
            && line.get("notice").is_some()
        {
            return line;
        }
    }
}

#[tokio::test]
async fn who_takes_a_notice_slowly_gets_it_once_from_a_push_too() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    receiver.always(Behaviour::TakesAfter(Duration::from_secs(2)));
    let own = notify(&[&receiver]);
    let mut own: Vec<_> = own.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    own.push(("AWS_LAMBDA_LOG_FORMAT", "JSON"));
    own.push(("WEBHOOK_ALLOW_UNSIGNED", "true"));
    // The sender's answer does not wait for it.
    let mut server = receiver::webhook(&own).await;
    let answer = server.post("/", starting(PANIC)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(receiver.taken().is_empty());
    let line = next_notice(&mut server).await;
    assert_eq!(line["notice"], "sent", "{line}");
    assert_eq!(receiver.taken().len(), 1);
    // Function Compute freezes the process after the answer.
    let mut server = receiver::function_compute(&own).await;
    let answer = server.post("/", starting(PANIC)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(receiver.taken().len(), 2);
    let line = next_notice(&mut server).await;
    assert_eq!(line["notice"], "sent", "{line}");
}

/// ECS takes the next picture 10 s after one that failed.
#[tokio::test]
async fn people_are_told_while_a_picture_is_waited_for() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&receiver]));
    let fails = Screen::Error {
        status: 503,
        code: "ServiceUnavailable".into(),
    };
    let screens = [fails, Screen::Picture(picture("stop.jpg"))];
    let instance_id = InstanceId::parse(PANIC).unwrap();
    bucket.simulator.set_screens(&instance_id, screens);
    let function = Function::start(&bucket.settings).await;
    let event = by_hand(PANIC);
    let invocation = function.result_of(&event);
    tokio::select! {
        biased;
        answer = invocation => panic!("nobody was told before it: {answer}"),
        () = receiver.asked() => {}
    }
    let answered = bucket.simulator.answered().into_iter();
    let pictures = answered.filter(|one| one.action == "GetInstanceScreenshot");
    assert!(pictures.count() < 2, "the notice waited for the picture");
}

/// A store in memory with what goes wrong in a real one.
#[derive(Clone, Default)]
struct Strange {
    inner: MemoryStore,
    /// Objects whose answer to the first PUT is lost begin so.
    loses_answers_of: Option<&'static str>,
    lost: Arc<Mutex<BTreeSet<String>>>,
    /// Cannot be read.
    unreadable: Option<&'static str>,
    /// Writes of instances wait for it.
    gate: Option<Arc<Semaphore>>,
    /// Prefixes that were listed.
    listed: Arc<Mutex<Vec<String>>>,
}

impl Strange {
    /// Of which everything was stored so many minutes ago.
    fn aged(minutes: i64) -> Self {
        Self {
            inner: MemoryStore {
                stored_at: jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes),
                ..MemoryStore::default()
            },
            ..Self::default()
        }
    }

    /// The same objects, so many minutes later.
    fn later(&self, minutes: i64) -> Self {
        Self {
            inner: MemoryStore {
                stored_at: Self::aged(minutes).inner.stored_at,
                ..self.inner.clone()
            },
            ..self.clone()
        }
    }

    fn keys(&self) -> Vec<NoticeKey> {
        kept(self.inner.objects.lock().unwrap().keys().cloned())
    }

    fn put(&self, key: &str, body: &[u8]) {
        let object = Object {
            body: body.to_vec(),
            content_type: String::new(),
            metadata: BTreeMap::new(),
        };
        self.inner
            .objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), object);
    }
}

impl Store for Strange {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        if let Some(gate) = &self.gate
            && key.starts_with("notices/seen/")
        {
            let _pass = gate.acquire().await.unwrap();
        }
        let put = self.inner.put_if_absent(key, object).await;
        let is_lost = self
            .loses_answers_of
            .is_some_and(|prefix| key.starts_with(prefix))
            && self.lost.lock().unwrap().insert(key.to_owned());
        match is_lost {
            true => Err(StoreError::Unavailable("the answer was lost".into())),
            false => put,
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        if self.unreadable == Some(key) {
            let (url, bytes) = (self.url(key), 1 << 40);
            return Err(StoreError::TooLarge { url, bytes });
        }
        self.inner.get(key).await
    }

    hand_over!(self, self.inner; delete, sorts, url);

    /// 1000 objects a page, as S3 and OSS do.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        self.listed.lock().unwrap().push(prefix.to_owned());
        let mut page = self.inner.list(prefix, after, next).await?;
        let after = after.max(next).unwrap_or_default();
        page.entries.retain(|entry| entry.key.as_str() > after);
        if page.entries.len() > 1000 {
            page.entries.truncate(1000);
            page.next = page.entries.last().map(|entry| entry.key.clone());
        }
        Ok(page)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A process that tells one receiver, and what it reports, a word an event.
struct Process {
    notifier: Notifier,
    reported: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn new(entries: &str) -> Self {
        let told = Told {
            severity: Severity::Error,
            masks_secrets: true,
        };
        let sender = Sender {
            http: ecs_console_archiver::http::client(&Default::default()).unwrap(),
            aws: None,
            sns_endpoint: None,
        };
        let reported = Arc::new(Mutex::new(Vec::new()));
        let reports = reported.clone();
        let targets = target::parse(entries).unwrap();
        let notifier = Notifier::new(told, targets, None, sender, move |event: &Event<'_>| {
            reports.lock().unwrap().push(format!("{event:?}"));
        });
        Self { notifier, reported }
    }

    /// How many events begin so.
    fn reports(&self, word: &str) -> usize {
        let reported = self.reported.lock().unwrap();
        reported
            .iter()
            .filter(|event| event.starts_with(word))
            .count()
    }

    async fn tell(&self, store: &Strange, sightings: impl IntoIterator<Item = Sighting>) {
        sightings
            .into_iter()
            .for_each(|one| self.notifier.note(one));
        let now = jiff::Timestamp::now();
        self.notifier
            .tell(store, now, Deadline::after(MINUTE))
            .await;
    }

    async fn look(&self, store: &Strange) {
        let now = jiff::Timestamp::now();
        self.notifier
            .take_over(store, now, Deadline::after(MINUTE))
            .await;
    }
}

/// Of an instance of its own.
fn found(number: usize, severity: Severity, signature: &str) -> Sighting {
    let mut sighting = sighting(number);
    sighting.finding.severity = severity;
    sighting.finding.signature = signature.to_owned();
    sighting
}

/// The signatures that a webhook was told of.
fn signatures(receiver: &NoticeReceiver) -> Vec<String> {
    let taken = receiver.taken();
    let of = |one: &Value| {
        one["data"]["finding"]["signature"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    taken.iter().map(of).collect()
}

fn errors(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Sighting> {
    numbers.map(|number| found(number, Severity::Error, &format!("unit-failed:{number}")))
}

#[tokio::test]
async fn a_storm_pushes_out_what_is_less_severe_and_says_so() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    let panic = found(999, Severity::Fatal, "kernel-panic:a");
    process
        .tell(&store, [panic].into_iter().chain(errors(0..364)))
        .await;
    assert!(signatures(&receiver).contains(&"kernel-panic:a".to_owned()));
    let reported = process.reported.lock().unwrap().join("\n");
    assert!(reported.contains("45 findings"), "{reported}");
}

#[tokio::test]
async fn different_signatures_are_told_up_to_a_number_a_day_and_fatal_ones_beyond() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let store = Strange::aged(0);
    let process = Process::new(&receiver.entry());
    process.tell(&store, errors(0..100)).await;
    let told = signatures(&receiver);
    assert_eq!(told.len(), 21, "{told:?}");
    let more: Vec<_> = receiver.taken();
    let is_summary = |one: &&Value| one["type"] == "notice.more";
    let summaries: Vec<_> = more.iter().filter(is_summary).collect();
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0]["data"]["command"], "console-archive report");
    // The archive remembers it, for other processes.
    let other = Process::new(&receiver.entry());
    other.tell(&store, errors(100..110)).await;
    assert_eq!(receiver.taken().len(), 21);
    let panics = (200..300).map(|n| found(n, Severity::Fatal, &format!("kernel-panic:{n}")));
    other.tell(&store, panics).await;
    assert_eq!(receiver.taken().len(), 31);
    let outbox = count(&store.keys(), |key| matches!(key, NoticeKey::Notice(_)));
    assert_eq!(outbox, 31, "what is not told is not in the way of others");
}

#[tokio::test]
async fn one_guest_does_not_use_up_the_notices_of_all() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    for number in 0..40 {
        process
            .tell(
                &store,
                [found(1, Severity::Fatal, &format!("kernel-panic:{number}"))],
            )
            .await;
    }
    assert_eq!(receiver.taken().len(), 4);
    process
        .tell(&store, [found(2, Severity::Error, "unit-failed:victim")])
        .await;
    assert!(signatures(&receiver).contains(&"unit-failed:victim".to_owned()));
}

#[tokio::test]
async fn a_message_that_is_refused_keeps_no_other_from_its_receiver() {
    let receiver = NoticeReceiver::start(Kind::DingTalk).await;
    let unsafe_link = r#"{"errcode":430101,"errmsg":"unsafe link"}"#;
    receiver.next(Behaviour::Says(unsafe_link.into()));
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    process
        .tell(&store, [found(1, Severity::Error, "unit-failed:hostile")])
        .await;
    process
        .tell(&store, [found(2, Severity::Fatal, "kernel-panic:a")])
        .await;
    assert_eq!(receiver.taken().len(), 1);
    assert_eq!((process.reports("Failed"), process.reports("Sent")), (1, 1));
}

#[tokio::test]
async fn what_a_receiver_misses_while_it_rests_is_said_once_and_sent_soon() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    receiver.next(Behaviour::Fails(404));
    let other = NoticeReceiver::start(Kind::Webhook).await;
    let both = format!("{} {}", receiver.entry(), other.entry());
    let (process, store) = (Process::new(&both), Strange::aged(0));
    process.tell(&store, errors(0..1)).await;
    process.tell(&store, errors(1..2)).await;
    process.tell(&store, errors(2..3)).await;
    assert!(receiver.taken().is_empty());
    assert_eq!(
        (process.reports("Failed"), process.reports("Waits")),
        (1, 1)
    );
    // Its rest is over, and the time after which others take over is not.
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
    process
        .notifier
        .tell(&store, later, Deadline::after(MINUTE))
        .await;
    assert_eq!(receiver.taken().len(), 2);
    assert_eq!(other.taken().len(), 3, "who has it gets it no second time");
}

#[tokio::test]
async fn what_another_process_may_send_by_now_is_left_to_it() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    receiver.next(Behaviour::Fails(404));
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    process.tell(&store, errors(0..1)).await;
    // It claims this one, and keeps it while the receiver rests.
    process.tell(&store, errors(1..2)).await;
    let other = Process::new(&receiver.entry());
    other.look(&store.later(6)).await;
    let taken = receiver.taken().len();
    assert!(taken > 0, "{:?}", other.reported.lock().unwrap());
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(6);
    process
        .notifier
        .tell(&store, later, Deadline::after(MINUTE))
        .await;
    assert_eq!(receiver.taken().len(), taken);
    assert_eq!((process.reports("Failed"), process.reports("Sent")), (1, 0));
}

#[tokio::test]
async fn of_one_console_the_worst_is_told_and_it_names_the_next_four() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(notify(&[&receiver]));
    let function = Function::start(&bucket.settings).await;
    let mut console: String = ["a", "b", "c", "d", "e", "f", "g"]
        .map(|unit| format!("[FAILED] Failed to start {unit}.service.\n"))
        .concat();
    console.push_str("[    9.000000] Kernel panic - not syncing: Fatal exception\n");
    let time = "2018-03-22T10:04:57Z";
    set_console(&bucket.simulator, PANIC, console.as_bytes(), time);
    let answer = function.result_of(&by_hand(PANIC)).await;
    assert_eq!(answer["findings"].as_array().unwrap().len(), 8, "{answer}");
    let told = signatures(&receiver);
    assert_eq!(told, ["kernel-panic:Fatal exception"]);
    let also = receiver.taken()[0]["data"]["also"].clone();
    let also: Vec<_> = also.as_array().unwrap().iter().collect();
    assert_eq!(also.len(), 4, "{also:?}");
    assert!(
        also.iter().all(|one| one["severity"] == "error"),
        "{also:?}"
    );
    let counted = kept(bucket.server.objects().into_keys());
    let is_level = |key: &NoticeKey| matches!(key, NoticeKey::Level { .. });
    assert_eq!(count(&counted, is_level), 5, "they are no longer new");
}

/// Two signatures of one console, as a panic and what came before it.
fn both(number: usize) -> [Sighting; 2] {
    let mut both = [
        found(number, Severity::Fatal, "kernel-panic:a"),
        found(number, Severity::Error, "kernel-oops:a"),
    ];
    let also = both.clone().map(|one| vec![one.finding]);
    let [panic, oops] = also;
    both[0].also = oops;
    both[1].also = panic;
    both
}

#[tokio::test]
async fn a_fault_of_two_signatures_is_told_as_one_and_alone_where_it_is_alone() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    for number in 0..12 {
        process.tell(&store, both(number)).await;
    }
    assert_eq!(signatures(&receiver), ["kernel-panic:a"; 2], "at 1 and 10");
    assert_eq!(process.reports("NewSignature"), 2);
    // It spreads beyond the panic.
    for number in 12..100 {
        let oops = found(number, Severity::Error, "kernel-oops:a");
        process.tell(&store, [oops]).await;
    }
    let told = signatures(&receiver);
    assert_eq!(told[2..], ["kernel-oops:a"], "{told:?}");
}

#[tokio::test]
async fn what_spreads_is_told_however_much_a_few_guests_make_up() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    let made_up = |number: usize| {
        let signature = format!("kernel-panic:{number}");
        found(number / 5, Severity::Fatal, &signature)
    };
    process.tell(&store, (0..200).map(made_up)).await;
    let before = receiver.taken().len();
    assert_eq!(before, 31, "thirty, and that there are more");
    for number in 300..310 {
        process
            .tell(&store, [found(number, Severity::Fatal, "root-not-mounted")])
            .await;
    }
    assert_eq!(signatures(&receiver)[before..], ["root-not-mounted"]);
}

#[tokio::test]
async fn what_many_events_found_is_counted_with_one_listing_for_all() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    process.tell(&store, (0..64).map(sighting)).await;
    let listed = store.listed.lock().unwrap().clone();
    let of_counting = |prefix: &&String| {
        prefix.starts_with("notices/seen/") || prefix.starts_with("notices/levels/")
    };
    assert_eq!(listed.iter().filter(of_counting).count(), 2, "{listed:?}");
    let taken = receiver.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0]["data"]["instances"], 64);
}

#[tokio::test]
async fn what_a_day_had_no_place_for_is_told_on_the_next() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    let (process, store) = (Process::new(&receiver.entry()), Strange::aged(0));
    process.tell(&store, errors(0..60)).await;
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    for (number, is_told) in [(0, false), (59, true)] {
        let before = receiver.taken().len();
        let mut again = found(number, Severity::Error, &format!("unit-failed:{number}"));
        again.day = Day::of(tomorrow).0;
        process.notifier.note(again);
        let deadline = Deadline::after(MINUTE);
        process.notifier.tell(&store, tomorrow, deadline).await;
        let told = receiver.taken().len() - before;
        assert_eq!(told, usize::from(is_told), "{number}");
    }
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_that_of_its_process() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    receiver.next(Behaviour::Fails(404));
    let store = Strange {
        loses_answers_of: Some("notices/outbox/"),
        ..Strange::aged(0)
    };
    let process = Process::new(&receiver.entry());
    process.tell(&store, errors(0..1)).await;
    assert_eq!(process.reports("Failed"), 1);
    // The same for a further attempt.
    let next = Process::new(&receiver.entry());
    next.look(&store.later(6)).await;
    assert_eq!(receiver.taken().len(), 1);
}

#[tokio::test]
async fn an_event_waits_for_the_claim_of_its_findings_whoever_counts_them() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let gate = Arc::new(Semaphore::new(0));
    let store = Strange {
        gate: Some(gate.clone()),
        ..Strange::aged(0)
    };
    let process = Process::new(&receiver.entry());
    errors(0..2).for_each(|one| process.notifier.note(one));
    let now = jiff::Timestamp::now();
    let tell = || process.notifier.tell(&store, now, Deadline::after(MINUTE));
    let (mut first, mut second) = (pin!(tell()), pin!(tell()));
    assert!(
        poll_immediate(first.as_mut()).await.is_none(),
        "it counts both"
    );
    assert!(
        poll_immediate(second.as_mut()).await.is_none(),
        "nothing is claimed yet"
    );
    gate.add_permits(2);
    tokio::join!(first, second);
    assert_eq!(receiver.taken().len(), 2);
}

#[tokio::test]
async fn what_was_left_is_found_behind_any_number_of_old_and_broken_ones() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    receiver.next(Behaviour::Fails(404));
    let today = Day::of(jiff::Timestamp::now()).0;
    let folder = |day: jiff::civil::Date| format!("notices/outbox/{day}");
    let unreadable = format!("{}/000000000000-0001.json", folder(today));
    let store = Strange {
        unreadable: Some(&*Box::leak(unreadable.clone().into_boxed_str())),
        ..Strange::aged(0)
    };
    Process::new(&receiver.entry())
        .tell(&store, errors(0..1))
        .await;
    let of_process = Process::new(&receiver.entry());
    let target = target::parse(&receiver.entry()).unwrap()[0].id.clone();
    for number in 0..6000 {
        let key = format!("{}/{number:012x}-0001", folder(today.yesterday().unwrap()));
        store.put(&format!("{key}.json"), b"{}");
        store.put(&format!("{key}.{target}.sent.json"), b"{}");
    }
    store.put(&unreadable, b"{}");
    store.put(&format!("{}/000000000001-0001.json", folder(today)), b"{");
    let own = store.keys().into_iter().map(|key| key.to_string());
    let own = own.filter(|key| key.starts_with(&folder(today)));
    let own: Vec<u8> = own
        .filter_map(|key| Some(store.inner.objects.lock().unwrap().get(&key)?.body.clone()))
        .find(|body| body.len() > 100)
        .unwrap();
    let mut forged: Value = serde_json::from_slice(&own).unwrap();
    forged["id"] = json!("notice_\r\nX-Injected: 1");
    let of = |number: u32| format!("{}/{number:012x}-0001.json", folder(today));
    store.put(&of(2), forged.to_string().as_bytes());
    let day = today.strftime("%Y%m%d");
    forged["id"] = json!(format!("notice_{day}_000000000003_0001"));
    forged["advice"] = json!("a".repeat(1 << 20));
    store.put(&of(3), forged.to_string().as_bytes());
    of_process.look(&store.later(6)).await;
    assert_eq!(receiver.taken().len(), 1);
    let reported = of_process.reported.lock().unwrap().join("\n");
    for number in 0..4 {
        let named = format!("_00000000000{number}_0001");
        assert!(reported.contains(&named), "{reported}");
    }
}

#[tokio::test]
async fn the_worst_that_was_left_is_sent_first() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let store = Strange::aged(0);
    receiver.always(Behaviour::Fails(404));
    let process = Process::new(&receiver.entry());
    process.tell(&store, errors(0..20)).await;
    process
        .tell(&store, [found(99, Severity::Fatal, "kernel-panic:a")])
        .await;
    receiver.always(Behaviour::Takes);
    let next = Process::new(&receiver.entry());
    next.look(&store.later(6)).await;
    let told = signatures(&receiver);
    assert_eq!((told.len(), told[0].as_str()), (10, "kernel-panic:a"));
}

#[tokio::test]
async fn a_look_without_time_to_send_claims_nothing() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    receiver.next(Behaviour::Fails(404));
    let store = Strange::aged(0);
    Process::new(&receiver.entry())
        .tell(&store, errors(0..1))
        .await;
    let process = Process::new(&receiver.entry());
    let (now, short) = (
        jiff::Timestamp::now(),
        Deadline::after(Duration::from_secs(2)),
    );
    let store = store.later(6);
    process.notifier.take_over(&store, now, short).await;
    let is_attempt = |key: &NoticeKey| matches!(key, NoticeKey::Attempt(..));
    assert_eq!(count(&store.keys(), is_attempt), 0);
    process.look(&store).await;
    assert_eq!(receiver.taken().len(), 1, "the next one looks at once");
}

#[tokio::test]
async fn a_level_of_a_day_to_come_silences_nobody() {
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let store = Strange::aged(0);
    let signature = signature_digest("unit-failed:0");
    store.put(
        &format!("notices/levels/{signature}/2999-12-01-1000.json"),
        b"{}",
    );
    Process::new(&receiver.entry())
        .tell(&store, errors(0..1))
        .await;
    assert_eq!(receiver.taken().len(), 1);
}

#[tokio::test]
async fn a_notice_that_nobody_could_send_for_days_is_given_up_and_named() {
    let receiver = NoticeReceiver::start(Kind::Slack).await;
    receiver.always(Behaviour::Fails(404));
    let told = told_of_a_panic(&[&receiver]).await;
    let archive = &told.archive;
    let settings = [told.settings.clone(), notify(&[&receiver])].concat();
    age(archive, 5 * 24 * 60);
    let today = Day::of(jiff::Timestamp::now()).0;
    let outbox = archive.join("notices/outbox");
    let then = today.checked_sub(jiff::Span::new().days(5)).unwrap();
    let is_there = std::fs::read_dir(&outbox).unwrap().next().unwrap().unwrap();
    let there = outbox.join(then.to_string());
    std::fs::rename(is_there.path(), &there).unwrap();
    // The notice has its day in its ID, too.
    let in_id = |day: jiff::civil::Date| format!("notice_{}_", day.strftime("%Y%m%d"));
    for (name, body) in files_in(&there) {
        let body = text(&body).replace(&in_id(today), &in_id(then));
        std::fs::write(there.join(name), body).unwrap();
    }
    age(archive, 5 * 24 * 60);
    let function = Function::start(&settings).await;
    function.result_of(br#"{"compact": {}}"#).await;
    let given_up = count(&names(archive), |key| matches!(key, NoticeKey::GivenUp(..)));
    assert_eq!(given_up, 1);
    let log = function.stop().await;
    assert!(log.contains("given_up"), "{log}");
}

#[tokio::test]
async fn a_status_of_success_is_enough_whatever_comes_behind_it() {
    for (kind, entry) in [
        ("slack", "services/T0/B0/x"),
        ("webhook", "in#whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ] {
        for answer in [
            Raw::new(200, "ok").with_length(100),
            Raw::new(200, "x".repeat(70_000)),
        ] {
            let server = RawServer::start(answer).await;
            let process = Process::new(&format!("{kind}+{}/{entry}", server.url()));
            process.tell(&Strange::aged(0), errors(0..1)).await;
            assert_eq!((server.asked(), process.reports("Sent")), (1, 1), "{kind}");
        }
    }
}

#[tokio::test]
async fn those_of_one_setting_are_told_where_the_other_cannot_be_read() {
    let (known, managed) = (
        NoticeReceiver::start(Kind::Slack).await,
        NoticeReceiver::start(Kind::Slack).await,
    );
    for behaviour in [
        secret_server::Behaviour::Hangs,
        secret_server::Behaviour::Refuses(400, "ResourceNotFoundException", "none"),
    ] {
        let manager = SecretServer::start(&managed.entry()).await;
        manager.set(behaviour);
        let simulator = simulator().await;
        let (folder, mut settings) = archive_folder(&simulator);
        settings.extend(notify(&[&known]));
        settings.extend(
            [
                ("NOTIFY_URLS_ARN", SECRET_ARN),
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
                ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &manager.url()),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let (before, missed) = (known.taken().len(), managed.taken().len());
        let function = Function::start(&settings).await;
        function.result_of(&by_hand(PANIC)).await;
        assert_eq!(known.taken().len(), before + 1, "{}", function.stop().await);
        // The others get it when they are known.
        manager.give(&managed.entry());
        age(&folder.path().join("archive"), 6);
        let function = Function::start(&settings).await;
        function.result_of(br#"{"compact": {}}"#).await;
        assert_eq!(managed.taken().len(), missed + 1);
        assert_eq!(known.taken().len(), before + 1);
    }
}

#[track_caller]
fn check(own: &[(&str, &str)], problem: &str) {
    let all = own.iter().copied();
    let all: std::collections::BTreeMap<_, _> = all
        .chain([
            ("ARCHIVE_URL", "file:///a"),
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush"),
        ])
        .collect();
    let environment = Environment::new(|name| all.get(name).map(|&value| value.to_owned()));
    let error = Config::from_environment(&environment).unwrap_err();
    let problems = error.problems().join("\n");
    assert!(
        problems.contains(problem) && !problems.contains("hush"),
        "{problems}"
    );
}

#[test]
fn settings_that_cannot_work_are_told_at_the_start() {
    let url = "NOTIFY_URLS";
    check(
        &[(url, "https://hooks.slack.com/hush")],
        "NOTIFY_URLS: entry 1: expected webhook+https://",
    );
    check(
        &[(url, "slack+http://a.example/hush")],
        "NOTIFY_URLS: entry 1: only this machine",
    );
    check(&[(url, TOPIC)], "AWS_ACCESS_KEY_ID: not set");
    check(
        &[("NOTIFY_SEVERITY", "error")],
        "NOTIFY_SEVERITY: set, and nobody is told",
    );
    check(
        &[
            (url, "slack+https://a.example/b"),
            ("NOTIFY_SEVERITY", "bad"),
        ],
        "NOTIFY_SEVERITY: \"bad\" is none of info, warning, error and fatal",
    );
    check(&[("NOTIFY_URLS_ARN", "hush")], "NOTIFY_URLS_ARN: ");
}
