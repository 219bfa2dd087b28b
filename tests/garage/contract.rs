//! What the archive asks of a store, asked of Garage.

use std::collections::{BTreeMap, BTreeSet};

use ecs_console_archiver::archive::reader;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::Screen;
use ecs_console_archiver::store::bucket::Profile;
use ecs_console_archiver::store::{ArchiveStore, Object, PutOutcome, Store as _};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::server::{BUCKET, Garage, store};
use crate::support::runtime_api::Function;
use crate::support::*;

/// Most keys in a page of a listing.
const PAGE: usize = 1000;

fn object(body: &[u8]) -> Object {
    Object {
        body: body.to_vec(),
        content_type: "application/gzip".into(),
        metadata: BTreeMap::from([
            (
                "event-cause".into(),
                "SystemFailure.Reboot:Executing".into(),
            ),
            ("last-update-time".into(), "2018-03-22 10:04:57".into()),
            ("x".into(), "%E6%97%A9 'a' \"b\" = c; d, e".into()),
        ]),
    }
}

/// Short ones are kept in Garage's database, long ones in files.
fn bodies() -> [Vec<u8>; 4] {
    let long: Vec<u8> = (0..3_000_000u64).map(|i| ((i * i) >> 7) as u8).collect();
    [vec![], vec![0xff], vec![b'a'; 4000], long]
}

const ODD_KEYS: [&str; 16] = [
    "i-a1/20180322T100457-5891b5b522d5.log.gz",
    "failed/Internal-5891b5b522d5.json",
    "a b",
    "a+b",
    "a%2Fb/c",
    "a&b=c;d",
    "a?b#c",
    "a'b\"c",
    "<a>]]>&amp;",
    "早上/é",
    "a:b@c,d$e!f*g(h)i~j",
    "folder/",
    "a\\b|c^d`e{f}g[h]",
    "_/.x/...",
    "a\u{1}b",
    "\u{b}/\u{1f}\u{fffe}",
];

#[tokio::test]
async fn the_whole_contract_holds() {
    let garage = Garage::start().await;
    let store = garage.store();
    let ArchiveStore::Bucket(bucket) = &store else {
        panic!("not a bucket");
    };
    // An address that is not AWS's gives it, with no word of the settings.
    assert_eq!(bucket.profile(), Profile::Basic);
    let mut kept = BTreeMap::new();
    for (index, body) in bodies().iter().enumerate() {
        kept.insert(format!("body/{index}"), object(body));
    }
    for key in ODD_KEYS {
        kept.insert(key.to_owned(), object(key.as_bytes()));
    }
    for (key, object) in &kept {
        assert!(store.get(key).await.unwrap().is_none(), "{key}");
        let put = store.put_if_absent(key, object).await.unwrap();
        assert_eq!(put, PutOutcome::Created, "{key}");
        let other = self::object(b"other");
        for again in [object, &other] {
            let put = store.put_if_absent(key, again).await.unwrap();
            assert_eq!(put, PutOutcome::Exists, "{key}");
        }
        let read = store.get(key).await.unwrap();
        assert!(read.as_ref() == Some(object), "{key}");
    }
    let url = store.url("i-a1/x");
    assert_eq!(url, format!("s3://{BUCKET}/kept/here/i-a1/x"));
    check_listing(&store, &kept).await;
    for key in kept.keys() {
        // One that is not there is removed like one that is.
        store.delete(key).await.unwrap();
        store.delete(key).await.unwrap();
        assert!(store.get(key).await.unwrap().is_none(), "{key}");
    }
    assert!(reader::entries(&store, "").await.unwrap().is_empty());
    println!(
        "contract: {} keys and bodies put, refused, read, listed, removed",
        kept.len()
    );
}

/// Garage has one code for all of these, and only its message tells which it is.
#[tokio::test]
async fn a_wrong_key_is_told_from_a_permission_that_is_missing() {
    let garage = Garage::start().await;
    for (name, value, advice) in [
        (
            "AWS_ACCESS_KEY_ID",
            "GK0123456789abcdef01234568",
            "check AWS_ACCESS_KEY_ID",
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "check AWS_SECRET_ACCESS_KEY",
        ),
    ] {
        let mut settings = garage.settings();
        settings.push((name.into(), value.into())); // The later one counts.
        for arguments in [
            &["list"][..],
            &["list", "i-a1"],
            &["get", "i-a1"],
            &["verify"],
        ] {
            let output = cli(&settings, arguments).await;
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(
                told.contains(advice) && !told.contains("s3:"),
                "{arguments:?}: {told}"
            );
        }
    }
}

async fn check_listing(store: &ArchiveStore, kept: &BTreeMap<String, Object>) {
    for prefix in ["", "body/", "i-a1/", "a%2", "早", "none/", "body/1"] {
        let listed = reader::entries(store, prefix).await.unwrap();
        let expected = kept.iter().filter(|(key, _)| key.starts_with(prefix));
        let expected: Vec<_> = expected
            .map(|(key, object)| (key.as_str(), object.body.len() as u64))
            .collect();
        let shown: Vec<_> = listed.iter().map(|e| (e.key.as_str(), e.bytes)).collect();
        assert_eq!(shown, expected, "{prefix}");
        let now = jiff::Timestamp::now();
        for entry in &listed {
            let age = now.duration_since(entry.stored_at).as_secs();
            assert!((-1..600).contains(&age), "{age} s old");
        }
    }
}

#[tokio::test]
async fn a_listing_of_several_pages_has_every_key_once() {
    const KEYS: usize = 2 * PAGE + 100;
    let garage = Garage::start().await;
    let store = garage.store();
    let key = |index: usize| format!("i-{index:05}/x");
    let one = object(b"x");
    let puts = stream::iter(0..KEYS).map(|index| {
        let (store, one) = (&store, &one);
        async move { store.put_if_absent(&key(index), one).await }
    });
    let puts: Vec<_> = puts.buffer_unordered(16).try_collect().await.unwrap();
    assert!(puts.iter().all(|put| *put == PutOutcome::Created));
    let (mut pages, mut listed, mut next) = (Vec::new(), Vec::new(), None);
    loop {
        let page = store.list("", None, next.as_deref()).await.unwrap();
        pages.push(page.entries.len());
        listed.extend(page.entries.into_iter().map(|entry| entry.key));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(pages, [PAGE, PAGE, 100]);
    assert_eq!(listed, (0..KEYS).map(key).collect::<Vec<_>>());
    println!("listing: {KEYS} keys in {} pages", pages.len());
}

/// Why `basic` looks first: here, the condition of S3 is no condition.
#[tokio::test]
async fn garage_takes_if_none_match_and_replaces_what_is_there() {
    let garage = Garage::start().await;
    let mut settings = garage.settings();
    settings.push(("ARCHIVE_PROFILE".into(), "aws".into()));
    let unconditional = store(&settings);
    let (first, second) = (object(b"one"), object(b"two"));
    for object in [&first, &first, &second] {
        let put = unconditional.put_if_absent("a", object).await.unwrap();
        // AWS answers 412 to the second and third, which is `Exists`.
        assert_eq!(put, PutOutcome::Created);
        assert!(unconditional.get("a").await.unwrap().as_ref() == Some(object));
    }
    let basic = garage.store();
    let put = basic.put_if_absent("a", &first).await.unwrap();
    assert_eq!(put, PutOutcome::Exists);
    assert!(basic.get("a").await.unwrap() == Some(second));
}

#[tokio::test]
async fn every_event_twice_keeps_each_console_once() {
    let garage = Garage::start().await;
    let simulator = simulator().await;
    let mut settings = garage.settings();
    settings.extend(ecs_settings(&simulator));
    settings.push(("WEBHOOK_TOKEN".into(), "example-token".into()));
    const WINDOWS: &str = "i-bp1windows000000001";
    let screen = Screen::Picture(picture("stop.jpg"));
    simulator.set_screen(&InstanceId::parse(WINDOWS).unwrap(), screen);
    let function = Function::start(&settings).await;
    let names = names_in(&root().join("events"), ".json");
    for name in names.iter().chain(&names) {
        simulator.forget_pictures(); // Events come more than 10 s apart.
        let payload = std::fs::read(root().join(format!("events/{name}.json"))).unwrap();
        let reply = function.result_of(&payload).await;
        let status = reply["statusCode"].as_u64();
        assert!(status.is_none_or(|status| status == 200), "{name}: {reply}");
        let failures = reply["batchItemFailures"].as_array();
        assert!(failures.is_none_or(Vec::is_empty), "{name}: {reply}");
    }
    let store = garage.store();
    let listing = reader::list(&store, None).await.unwrap();
    let mut kept = BTreeMap::new();
    for record in &listing.records {
        let object = store.get(&record.key.to_string()).await.unwrap().unwrap();
        assert_eq!(object.content_type, "application/gzip");
        assert_eq!(object.metadata["region-id"], "cn-hangzhou");
        kept.insert(record.key.instance_id.to_string(), gunzip(&object.body));
    }
    let fixtures = instances().into_iter().map(|id| (id.clone(), fixture(&id)));
    assert_eq!(listing.records.len(), kept.len());
    assert!(
        kept == fixtures.collect(),
        "consoles differ from the fixtures"
    );
    let silent: BTreeSet<_> = (listing.markers.iter())
        .map(|marker| marker.key.instance_id.as_str())
        .collect();
    // The second event on Windows finds its picture there, and leaves a marker.
    assert_eq!(silent, BTreeSet::from(["AY121018033933eae8689", WINDOWS]));
    let [screenshot] = &listing.screenshots[..] else {
        panic!("{:?}", listing.screenshots);
    };
    assert_eq!(screenshot.key.instance_id.as_str(), WINDOWS);
    let key = screenshot.key.to_string();
    let object = store.get(&key).await.unwrap().unwrap();
    assert!(object.body == picture("stop.jpg"));
    assert_eq!(object.content_type, "image/jpeg");
    assert_eq!(object.metadata["no-console"], "not_supported");
    println!(
        "events: {} twice, {} consoles and {} markers kept",
        names.len(),
        kept.len(),
        listing.markers.len()
    );
}
