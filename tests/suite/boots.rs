//! What `console-archive boots` says of an instance whose console was captured again and again.

use std::collections::BTreeMap;
use std::time::SystemTime;

use ecs_console_archiver::archive::key::ConsoleDigest;
use ecs_console_archiver::archive::record::pack;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::recording::Recording;
use crate::support::s3_server::{Profile, REAL_PAGE, StoredObject};
use crate::support::*;

use crate::support::captured::{Captured as World, ID};

async fn boots_of(world: &World) -> Value {
    let shown = cli(&world.settings, &["boots", ID, "--output", "json"]).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    serde_json::from_slice(&shown.stdout).unwrap()
}

#[tokio::test]
async fn captures_of_a_boot_are_one_boot_and_the_next_is_another() {
    let (panic, next) = (
        fixture("i-bp1panicnoroot00001"),
        fixture("i-bp1cloudinit0000001"),
    );
    let mut world = World::new().await;
    world.capture(&panic[..9_000]).await;
    world.capture(&panic).await;
    world.capture(&next[..40_000]).await;
    let boots = boots_of(&world).await;
    let [first, second] = &boots.as_array().unwrap()[..] else {
        panic!("{boots:#}");
    };
    let facts = |boot: &Value| {
        let captures = boot["captures"].as_array().unwrap().len();
        json!([
            boot["boot"],
            boot["ending"],
            boot["bytes"],
            captures,
            boot["gaps"],
            boot["is_whole"]
        ])
    };
    assert_eq!(facts(first), json!([-1, "panic", panic.len(), 2, 0, true]));
    assert_eq!(facts(second), json!([0, "running", 40_000, 1, 0, true]));
    assert_eq!(first["boot_id"], first["captures"][0]["name"]);
    let [finding] = &first["findings"].as_array().unwrap()[..] else {
        panic!("{first:#}");
    };
    assert_eq!(
        (&finding["id"], &finding["severity"], &finding["count"]),
        (&json!("root-not-mounted"), &json!("fatal"), &json!(2))
    );
    // Nothing shows whether the first boot printed more.
    assert_eq!(
        first["marks"],
        json!([{"at": panic.len(), "kind": "end_unknown"}])
    );
    // The consoles are older than a day.
    assert!(
        first["started_at"].is_null() && first["clock_said"].is_string(),
        "{first:#}"
    );
    let shown = text(&cli(&world.settings, &["boots", ID]).await.stdout);
    assert!(
        shown.starts_with("BOOT  BOOT ID") && shown.contains("running?"),
        "{shown}"
    );
    let row = shown.lines().nth(1).unwrap();
    assert!(row.ends_with("fatal: root-not-mounted"), "{shown}");
    // What their clocks showed stands below the table.
    let told = text(&cli(&world.settings, &["boots", ID]).await.stderr);
    assert!(
        shown.lines().skip(1).all(|row| row.contains("  ?  ")),
        "{shown}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("the guest's clock is wrong (?): that of boot 0 said 20")
            && told.contains(", and that of 1 other boot too"),
        "{told}"
    );
    let id = first["boot_id"].as_str().unwrap();
    for name in ["-1", "previous", "1", id] {
        let arguments = ["boots", ID, "-b", name, "--output", "json"];
        let one = cli(&world.settings, &arguments).await;
        let one: Value = serde_json::from_slice(&one.stdout).unwrap();
        assert_eq!(one, json!([first]), "{name}");
    }
    let none = cli(&world.settings, &["boots", ID, "--boot=-2"]).await;
    assert_eq!(none.status.code(), Some(3));
    let told = text(&none.stderr);
    let expected = "there is no boot -2: 2 are known, -1 to 0";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn what_the_ring_lost_is_counted_and_what_it_kept_is_joined() {
    let console = fixture("i-bp1cloudinit0000001");
    let mut world = World::new().await;
    world.capture(&console[..16_384]).await;
    world.capture(&console[10_000..26_384]).await;
    world.capture(&console[30_000..46_384]).await;
    let boots = boots_of(&world).await;
    let boot = &boots[0];
    assert_eq!(boots.as_array().unwrap().len(), 1, "{boots:#}");
    assert_eq!(
        (&boot["gaps"], &boot["bytes"]),
        (&json!(1), &json!(26_384 + 16_384)),
        "{boot:#}"
    );
    assert_eq!(boot["marks"][0]["at"], json!(26_384));
}

#[tokio::test]
async fn of_several_findings_the_worst_is_in_the_row() {
    let lines = "[    0.000000] Linux version 6.1\r\n\
        [    1.234567] Out of memory: Killed process 94 (dd) total-vm:1kB\r\n\
        [    2.234567] Kernel panic - not syncing: Fatal exception\r\n\
        [    3.234567] EXT4-fs error (device vda1): ext4_lookup:1: inode #2: x\r\n";
    let world = World::with(&[lines.as_bytes()]).await;
    let found = &boots_of(&world).await[0]["findings"];
    assert_eq!(found.as_array().unwrap().len(), 3, "{found:#}");
    assert_eq!(found[1]["line"], json!(3));
    let shown = text(&cli(&world.settings, &["boots", ID]).await.stdout);
    assert!(
        shown.contains("fatal: kernel-panic:Fatal exception, 2 more"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_boot_begins_when_its_clock_says() {
    let now = Timestamp::now().as_second();
    let console = format!(
        "[    0.000000] Linux version 6.1\r\n[    1.000100] rtc: setting system clock to now UTC ({now})\r\n\
         [    8.250001] systemd[1]: Started.\r\nhost login: "
    );
    let mut world = World::new().await;
    world.capture(console.as_bytes()).await;
    let boot = &boots_of(&world).await[0];
    let began = Timestamp::from_microsecond(now * 1_000_000 - 1_000_100).unwrap();
    assert_eq!(boot["started_at"], json!(began.to_string()));
    assert_eq!(boot["login_after_seconds"], json!(8.250001));
    let shown = text(&cli(&world.settings, &["boots", ID]).await.stdout);
    assert!(shown.contains("≈ ") && shown.contains("≥ 8 s"), "{shown}");
}

#[tokio::test]
async fn a_crash_kernel_has_a_row_that_names_the_boot_that_crashed() {
    let world = World::with(&[&Recording::named("kdump").bytes()]).await;
    let boots = boots_of(&world).await;
    let facts = |index: usize| {
        let boot = &boots[index];
        (boot["ending"].clone(), boot["is_crash_kernel"].clone())
    };
    assert_eq!(boots.as_array().unwrap().len(), 3, "{boots:#}");
    assert_eq!(facts(0), (json!("panic"), json!(false)));
    assert_eq!(facts(1), (json!("clean"), json!(true)));
    assert_eq!(facts(2), (json!("clean"), json!(false)));
    assert_eq!(boots[1]["crashed_boot_id"], boots[0]["boot_id"]);
    let shown = text(&cli(&world.settings, &["boots", ID]).await.stdout);
    assert!(shown.contains("clean (crash kernel of -2)"), "{shown}");
}

#[tokio::test]
async fn a_damaged_record_is_told_and_left_out() {
    let console = fixture("i-bp1panicnoroot00001");
    let mut world = World::new().await;
    world.capture(&console[..9_000]).await;
    world.capture(&console).await;
    let records = world.folder.path().join("archive").join(ID);
    let last = names_in(&records, ".log.gz").pop().unwrap();
    std::fs::write(records.join(format!("{last}.log.gz")), b"no gzip").unwrap();
    let shown = cli(&world.settings, &["boots", ID]).await;
    let (table, told) = (text(&shown.stdout), text(&shown.stderr));
    assert_eq!(shown.status.code(), Some(1), "{told}");
    assert!(told.contains(&last) && told.contains("left out"), "{told}");
    assert!(table.contains(" 9000 "), "{table}");
}

#[tokio::test]
async fn without_a_console_it_says_why_and_without_a_record_where_it_looked() {
    let world = World::new().await;
    set_console(&world.simulator, "i-a2", b"", "2024-03-22 10:04:57");
    assert_eq!(
        cli(&world.settings, &["capture", "i-a2"])
            .await
            .status
            .code(),
        Some(3)
    );
    let shown = cli(&world.settings, &["boots", "i-a2"]).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(
        text(&shown.stdout).contains("none: empty"),
        "{}",
        text(&shown.stdout)
    );
    let none = cli(&world.settings, &["boots", "i-a3"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(
        text(&none.stderr).contains("i-a3 has no record in file:///"),
        "{}",
        text(&none.stderr)
    );
    // Commands that need a console say why there is none.
    for command in ["show", "findings", "diff", "get"] {
        let none = cli(&world.settings, &[command, "i-a2"]).await;
        let told = text(&none.stderr);
        assert_eq!(none.status.code(), Some(3), "{command}: {told}");
        assert!(
            told.contains("i-a2 has no record in") && told.contains("ECS was last asked for it at"),
            "{command}: {told}"
        );
    }
}

#[tokio::test]
async fn where_all_records_are_damaged_none_is_readable() {
    let world = World::with(&[b"[    0.000000] Linux version 6.1\r\n"]).await;
    let records = world.folder.path().join("archive").join(ID);
    let name = names_in(&records, ".log.gz").pop().unwrap();
    std::fs::write(records.join(format!("{name}.log.gz")), b"no gzip").unwrap();
    for command in ["boots", "show", "findings", "diff"] {
        let none = cli(&world.settings, &[command, ID]).await;
        let told = text(&none.stderr);
        assert_eq!(none.status.code(), Some(1), "{command}: {told}");
        assert!(
            told.contains("has no readable record in"),
            "{command}: {told}"
        );
    }
}

#[tokio::test]
async fn captures_in_a_bucket_are_joined_too() {
    let bucket = Bucket::start(Profile::Aws).await;
    let console = fixture("i-bp1cloudinit0000001");
    for (minute, end) in [20_000, 40_000, console.len()].into_iter().enumerate() {
        let time = format!("2024-03-22 10:{minute:02}:57");
        set_console(&bucket.simulator, ID, &console[..end], &time);
        let captured = cli(&bucket.settings, &["capture", ID]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
    }
    let shown = cli(&bucket.settings, &["boots", ID, "--output", "json"]).await;
    let boots: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(boots[0]["bytes"], json!(console.len()));
    assert_eq!(boots.as_array().unwrap().len(), 1);
}

/// Whoever waits for a console does not wait for the fleet.
#[tokio::test]
async fn one_instance_among_a_hundred_thousand_records_takes_a_listing_and_a_read_of_each_of_its_own()
 {
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    let (first, second) = (
        fixture("i-bp1cloudinit0000001"),
        fixture("i-bp1panicnoroot00001"),
    );
    let captures = [&first[..40_000], &first, &second];
    for (minute, console) in captures.into_iter().enumerate() {
        let time = format!("2024-03-22 10:{minute:02}:57");
        set_console(&bucket.simulator, ID, console, &time);
        let captured = cli(&bucket.settings, &["capture", ID]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
    }
    // Also of instances whose IDs begin as this one's.
    let plain = b"[    0.000000] Linux version 6.1";
    let digest = ConsoleDigest::of(plain);
    let gzip = pack(plain).unwrap();
    let others = (0..100_000).map(|number| {
        let key = format!(
            "kept/here/{ID}{number:05}/20240322T100457-{}.log.gz",
            digest.short()
        );
        let object = StoredObject {
            body: gzip.clone(),
            content_type: Some("application/gzip".into()),
            content_encoding: None,
            metadata: BTreeMap::new(),
            encryption: BTreeMap::new(),
            stored_at: SystemTime::now(),
        };
        (key, object)
    });
    bucket.server.put_all(others);
    for arguments in [
        &["boots", ID][..],
        &["show", ID, "-b", "previous"],
        &["diff", ID],
        &["grep", "Linux version", ID],
    ] {
        let before = (bucket.server.listings(), bucket.server.methods().len());
        let output = cli(&bucket.settings, arguments).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let listings = bucket.server.listings() - before.0;
        let reads = bucket.server.methods().len() - before.1 - listings;
        assert_eq!((listings, reads), (1, captures.len()), "{arguments:?}");
    }
}
