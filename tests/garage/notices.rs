//! What notices remember stands on Garage: who showed a fault, at which levels, and what was told to whom.

use ecs_console_archiver::archive::notice::NoticeKey;
use ecs_console_archiver::archive::reader;
use serde_json::json;

use crate::server::Garage;
use crate::support::notice_receiver::{Kind, NoticeReceiver};
use crate::support::runtime_api::Function;
use crate::support::*;

/// More than the second level.
const INSTANCES: usize = 12;

fn instance(number: usize) -> String {
    format!("i-fault{number:02}")
}

/// A function serves some of the instances, and ends.
async fn served(settings: &Settings, numbers: impl Iterator<Item = usize>) {
    let function = Function::start(settings).await;
    for number in numbers {
        let event = json!({"instance_id": instance(number), "region_id": "cn-hangzhou"});
        let answer = function.result_of(event.to_string().as_bytes()).await;
        assert_eq!(answer["findings"][0]["severity"], "fatal", "{answer}");
    }
    let log = function.stop().await;
    assert!(!log.contains("NoticesFailed"), "{log}");
}

#[tokio::test]
async fn functions_that_follow_each_other_tell_a_fault_once_at_each_level() {
    let mut garage = Garage::start().await;
    let simulator = bare_simulator(ecs_credentials()).await;
    let receiver = NoticeReceiver::start(Kind::Webhook).await;
    let panic = fixture("i-bp1panicnoroot00001");
    for number in 0..INSTANCES {
        set_console(&simulator, &instance(number), &panic, "2024-03-22 10:04:57");
    }
    let own = settings(&[("NOTIFY_URLS", &receiver.entry())]);
    let settings = [garage.settings(), ecs_settings(&simulator), own].concat();
    served(&settings, 0..INSTANCES / 2).await;
    assert_eq!(receiver.taken().len(), 1);
    // What it has noted is there also if it was killed.
    garage.kill().await;
    garage.restart().await;
    served(&settings, INSTANCES / 2..INSTANCES).await;
    let told: Vec<_> = receiver.taken().into_iter().collect();
    let instances = told.iter().map(|notice| &notice["data"]["instances"]);
    assert_eq!(instances.collect::<Vec<_>>(), [&json!(1), &json!(10)]);
    // None of them is new.
    served(&settings, 0..INSTANCES).await;
    assert_eq!(receiver.taken().len(), 2);

    let entries = reader::entries(&garage.store(), "notices/").await.unwrap();
    let keys = entries.iter().map(|entry| NoticeKey::parse(&entry.key));
    let keys: Vec<_> = keys.map(Option::unwrap).collect();
    let count = |is: fn(&NoticeKey) -> bool| keys.iter().filter(|key| is(key)).count();
    assert_eq!(
        count(|key| matches!(key, NoticeKey::Seen { .. })),
        INSTANCES
    );
    assert_eq!(count(|key| matches!(key, NoticeKey::Level { .. })), 2);
    assert_eq!(count(|key| matches!(key, NoticeKey::Notice(_))), 2);
    assert_eq!(count(|key| matches!(key, NoticeKey::Sent(..))), 2);
    let verified = cli(&garage.settings(), &["verify"]).await;
    assert!(verified.status.success(), "{}", text(&verified.stderr));
}
