//! What `console-archive grep` finds in the consoles of instances.

use std::collections::BTreeMap;

use ecs_console_archiver::archive::key::ConsoleDigest;
use ecs_console_archiver::archive::record::pack;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::captured::{Captured, ID};
use crate::support::s3_server::{Profile, Quirk, StoredObject};
use crate::support::*;

/// One boot in three captures that overlap, one that panicked, and another instance.
async fn fleet() -> Captured {
    let (init, panic) = (
        fixture("i-bp1cloudinit0000001"),
        fixture("i-bp1panicnoroot00001"),
    );
    let world = Captured::with(&[&init[..30_000], &init[..50_000], &init, &panic]).await;
    let other = fixture("i-bp1ext4fsck00000001");
    set_console(&world.simulator, "i-b2", &other, "2024-03-22 10:30:57");
    let captured = cli(&world.settings, &["capture", "i-b2"]).await;
    assert!(captured.status.success(), "{}", text(&captured.stderr));
    world
}

async fn grep(world: &Captured, arguments: &[&str]) -> (i32, String, String) {
    let output = cli(&world.settings, &[&["grep"], arguments].concat()).await;
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// The names of the boots of an instance, the oldest first.
async fn boots(world: &Captured, id: &str) -> Vec<String> {
    let listed = cli(&world.settings, &["boots", id, "--output", "json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let listed = listed.as_array().unwrap().iter();
    listed
        .map(|boot| boot["boot_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Lines of consoles, as a person reads them, that have this in them.
fn lines_with(consoles: &[&str], what: &str) -> usize {
    let read = |id: &&str| ecs_console_archiver::terminal::printable(&fixture(id));
    let texts: Vec<_> = consoles.iter().map(read).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter(|line| line.contains(what)).count()
}

#[tokio::test]
async fn a_line_that_was_captured_again_and_again_is_found_once() {
    let world = fleet().await;
    let all = [
        "i-bp1cloudinit0000001",
        "i-bp1panicnoroot00001",
        "i-bp1ext4fsck00000001",
    ];
    let (code, found, told) = grep(&world, &["kernel", "-F"]).await;
    assert_eq!((code, &*told), (0, ""));
    assert_eq!(found.lines().count(), lines_with(&all, "kernel"));
    let (_, by_capture, _) = grep(&world, &["kernel", "-F", "--captures"]).await;
    assert!(by_capture.lines().count() > found.lines().count());
    let ids = boots(&world, ID).await;
    let (_, found, _) = grep(&world, &["Kernel panic - not"]).await;
    let [_, panic] = &ids[..] else {
        panic!("{ids:?}");
    };
    assert!(found.starts_with(&format!("{ID}/{panic}:323:[")), "{found}");
    assert_eq!(found.lines().count(), 1);
}

#[tokio::test]
async fn options_are_those_of_grep() {
    let world = fleet().await;
    let ids = boots(&world, ID).await;
    let (init, panic) = (format!("{ID}/{}", ids[0]), format!("{ID}/{}", ids[1]));
    let found = async |arguments: &[&str]| grep(&world, &[arguments, &[ID]].concat()).await.1;
    assert_eq!(found(&["-l", "Kernel panic"]).await, format!("{panic}\n"));
    assert_eq!(found(&["-L", "Kernel panic"]).await, format!("{init}\n"));
    let count = lines_with(&["i-bp1panicnoroot00001"], "panic");
    assert!(
        found(&["-c", "panic"])
            .await
            .contains(&format!("{panic}:{count}\n"))
    );
    assert_eq!(found(&["-iw", "KERNEL PANIC"]).await.lines().count(), 1);
    assert_eq!(found(&["-S", "kernel panic"]).await.lines().count(), 1);
    assert_eq!(found(&["kernel panic"]).await, "");
    assert_eq!(
        found(&["-o", "-N", "panic - [a-z]* [a-z]*"]).await,
        format!("{panic}:panic - not syncing\n")
    );
    let around = found(&["-B", "1", "-A", "2", "Kernel panic"]).await;
    let numbers: Vec<_> = around
        .lines()
        .map(|line| line.trim_start_matches(&*panic)[..5].to_owned())
        .collect();
    assert_eq!(numbers, ["-322-", ":323:", "-324-", "-325-"]);
    let after = found(&["-m", "1", "-A", "2", "Linux version"]).await;
    let (of_init, of_panic) = (
        after.matches(&*init).count(),
        after.matches(&*panic).count(),
    );
    assert_eq!(
        (of_init, of_panic),
        (3, 3),
        "what follows the last match is printed, too: {after}"
    );
    assert_eq!(
        found(&["-m", "2", "-c", "e"]).await,
        format!("{init}:2\n{panic}:2\n")
    );
    assert_eq!(
        found(&["-e", "Kernel panic", "-e", "Power down"])
            .await
            .lines()
            .count(),
        2
    );
    assert_eq!(
        found(&["-x", "-F", "Booting from ROM..."])
            .await
            .lines()
            .count(),
        2
    );
    let cut = found(&["--max-columns", "10", "Kernel panic"]).await;
    assert!(cut.contains(":[    2.167 ⟨"), "{cut}");
    assert_eq!(
        found(&["--max-columns", "0", "-N", "Kernel panic"]).await,
        found(&["-N", "Kernel panic"]).await
    );
    // Of several kinds, as with ripgrep.
    assert_eq!(
        found(&["-c", "-l", "Kernel panic"]).await,
        format!("{panic}\n")
    );
    assert_eq!(
        found(&["-l", "-c", "Kernel panic"]).await,
        format!("{panic}:1\n")
    );
    assert_eq!(
        found(&["-o", "-c", "-e", "n[eo]"]).await,
        found(&["--count-matches", "-e", "n[eo]"]).await
    );
    let file = world.folder.path().join("patterns");
    std::fs::write(&file, "Kernel panic\nPower down\n").unwrap();
    assert_eq!(
        found(&["-f", file.to_str().unwrap()]).await.lines().count(),
        2
    );
    let everything = found(&["-c", "-v", "no such text"]).await;
    let lines = lines_with(&["i-bp1panicnoroot00001"], "");
    assert!(
        everything.contains(&format!("{panic}:{lines}\n")),
        "{everything}"
    );
}

#[tokio::test]
async fn it_is_told_apart_which_boots_are_searched() {
    let world = fleet().await;
    let count = async |arguments: &[&str]| {
        let found = grep(&world, &[&["-l", "Linux version"], arguments].concat()).await;
        found.1.lines().count()
    };
    assert_eq!(count(&[]).await, 3);
    assert_eq!(count(&[ID]).await, 2);
    assert_eq!(count(&["i-b2", ID]).await, 3);
    assert_eq!(count(&["--instance", "i-b*"]).await, 1);
    assert_eq!(count(&["--boot", "latest"]).await, 2);
    assert_eq!(count(&["--boot", "-1"]).await, 1);
    assert_eq!(count(&["--ending", "panic"]).await, 1);
    assert_eq!(count(&["--since", "-1h"]).await, 3);
    assert_eq!(count(&["--until", "-1h"]).await, 0);
}

#[tokio::test]
async fn exit_codes_are_those_of_the_other_commands() {
    let world = fleet().await;
    assert_eq!(
        grep(&world, &["-q", "Kernel panic"]).await,
        (0, String::new(), String::new())
    );
    assert_eq!(grep(&world, &["no such text"]).await.0, 3);
    let (code, _, told) = grep(&world, &["x", "i-c3"]).await;
    assert_eq!((code, told.lines().count()), (3, 1), "{told}");
    assert!(told.contains("i-c3 has no record in file:///"), "{told}");
    // An instance that is not there hides nothing of the others, and is named.
    let (code, found, told) = grep(&world, &["-c", "Kernel panic", "i-c3", ID]).await;
    assert_eq!((code, found.lines().count()), (0, 1), "{found}");
    assert!(told.contains("i-c3 has no record in"), "{told}");
    let (code, _, told) = grep(&world, &["x", ID, "--instance", "i-b*"]).await;
    assert_eq!((code, told.lines().count()), (3, 1), "{told}");
    assert!(
        told.contains(" matches") && told.contains("in file:///"),
        "{told}"
    );
    let (code, _, told) = grep(&world, &["x", "--since", "2999-01-01"]).await;
    assert!(code == 3 && told.contains("none of the "), "{told}");
    let (code, _, told) = grep(&world, &["x", ID, "--since", "2999-01-01"]).await;
    assert!(
        code == 3 && told.contains("no records of that time in"),
        "{told}"
    );
    let endings = ["-l", "Linux", "--ending", "panic,clean,running,silence"];
    let (_, several, _) = grep(&world, &endings).await;
    let (_, one, _) = grep(&world, &["-l", "Linux", "--ending", "panic"]).await;
    assert!(several.lines().count() > one.lines().count(), "{several}");
    let (code, _, told) = grep(&world, &["("]).await;
    assert_eq!((code, told.contains("unclosed group")), (2, true), "{told}");
    assert_eq!(grep(&world, &[]).await.0, 2);
    assert_eq!(grep(&world, &["x", "not an id"]).await.0, 2);
    assert_eq!(grep(&world, &["-f", "/no/such/file"]).await.0, 2);
    assert_eq!(grep(&world, &["-f", "/dev/null"]).await.0, 2);
}

#[tokio::test]
async fn damage_is_told_and_hides_no_match() {
    let world = fleet().await;
    let records = world.folder.path().join("archive").join("i-b2");
    let name = names_in(&records, ".log.gz").pop().unwrap();
    let path = records.join(format!("{name}.log.gz"));
    let whole = std::fs::read(&path).unwrap();
    for (damaged, sees) in [
        (whole[..whole.len() / 2].to_vec(), true),  // cut
        ([&whole[..], b"trailing"].concat(), true), // something behind its end
        ([&whole[..], &whole[..]].concat(), true),  // two members
        (Vec::new(), false),
        (b"no gzip at all".to_vec(), false),
        (
            {
                let mut sum = whole.clone();
                let at = sum.len() - 8;
                sum[at] ^= 1; // a wrong checksum
                sum
            },
            true,
        ),
    ] {
        std::fs::write(&path, &damaged).unwrap();
        let (code, found, told) = grep(&world, &["Linux version"]).await;
        assert_eq!(code, 1, "{told}");
        assert!(
            told.contains("is damaged: ") && told.contains(&name),
            "{told}"
        );
        assert_eq!(told.matches("damaged").count(), 1, "said once: {told}");
        assert_eq!(found.contains(&format!("i-b2/{name}:")), sees, "{found}");
        assert_eq!(found.lines().count(), 2 + usize::from(sees), "{found}");
    }
}

#[tokio::test]
async fn programs_get_what_ripgrep_gives_them_and_where_it_is_kept() {
    let world = fleet().await;
    let (_, found, _) = grep(&world, &["--output", "json", "Kernel panic - (not)"]).await;
    let lines: Vec<Value> = found
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["begin", "match", "end", "summary"]);
    let data = &lines[1]["data"];
    let panic = fixture("i-bp1panicnoroot00001");
    let at = usize::try_from(data["absolute_offset"].as_u64().unwrap()).unwrap();
    let shown = data["lines"]["text"].as_str().unwrap();
    assert!(panic[at..].starts_with(shown.as_bytes()));
    assert_eq!(data["record"]["at"], data["absolute_offset"]);
    assert_eq!(data["submatches"][0]["match"]["text"], "Kernel panic - not");
    assert_eq!(data["line_number"], 323);
    assert_eq!(lines[3]["data"]["stats"]["matched_lines"], 1);
    assert_eq!(lines[3]["data"]["stats"]["records"], 5);
}

#[tokio::test]
async fn what_a_guest_hides_is_found_and_its_bytes_by_request() {
    let now = Timestamp::now().as_second();
    let console = format!(
        "[    0.000000] Linux version 6.1\r\n[    1.000000] rtc: setting system clock to x UTC ({now})\r\n\
         [\x1b[0;32m  OK  \x1b[0m] Started.\r\nPASS\0WORD\r\n 10%\r 50%\rdone\r\nK\x1b[1mernel\x1b]0;x\r\n"
    );
    let world =
        Captured::with(&[console.as_bytes(), b"\xd5\xfd\xd4\xda\xc6\xf4\xb6\xaf\r\n"]).await;
    let found = async |arguments: &[&str]| {
        let (code, found, _) = grep(&world, arguments).await;
        (code, found.lines().count())
    };
    assert_eq!(found(&["\\[  OK  \\]"]).await, (0, 1), "inside colours");
    assert_eq!(found(&["--bytes", "\\[  OK  \\]"]).await, (3, 0));
    assert_eq!(found(&["--bytes", "\\x1b\\[0;32m"]).await, (0, 1));
    assert_eq!(found(&["PASS.*WORD"]).await, (0, 1), "behind a NUL");
    assert_eq!(
        found(&["50%"]).await,
        (0, 1),
        "in a state that was written over"
    );
    assert_eq!(
        found(&["^Kernel"]).await,
        (0, 1),
        "before a sequence without an end"
    );
    assert_eq!(found(&["正在启动"]).await, (0, 1), "in GBK");
    let (_, shown, _) = grep(&world, &["--bytes", "--color", "always", "ernel"]).await;
    assert!(
        !shown
            .replace("\x1b[35m", "")
            .replace("\x1b[32m", "")
            .replace("\x1b[0m", "")
            .contains('\x1b'),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_bucket_is_searched_with_one_request_a_record_and_less_at_once_if_it_throttles() {
    let bucket = Bucket::start(Profile::Aws).await;
    let console = fixture("i-bp1panicnoroot00001");
    let ids: Vec<_> = (0..12).map(|number| format!("i-a{number:02}")).collect();
    for id in &ids {
        set_console(&bucket.simulator, id, &console, "2024-03-22 10:04:57");
        let captured = cli(&bucket.settings, &["capture", id]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
    }
    let listings = async || {
        let before = bucket.server.listings();
        assert!(
            cli(&bucket.settings, &["grep", "-l", "x", "--captures"])
                .await
                .status
                .success()
        );
        bucket.server.listings() - before
    };
    let pages = listings().await;
    let search = async || {
        let before = bucket.server.methods().len();
        let arguments = ["grep", "-l", "Kernel panic - not", "--stats"];
        let found = cli(&bucket.settings, &arguments).await;
        let lines = text(&found.stdout);
        let names: Vec<_> = lines.lines().map(|line| line[..5].to_owned()).collect();
        assert_eq!(names, ids, "in their order");
        let requests = bucket.server.methods().len() - before;
        (requests, text(&found.stderr))
    };
    let (requests, told) = search().await;
    assert_eq!(requests, ids.len() + pages, "a listing, and a read of each");
    assert!(
        told.contains("12 records") && !told.contains("tried again"),
        "{told}"
    );
    bucket.server.behave(&[Quirk::ThrottlesReads]);
    let (requests, told) = search().await;
    assert_eq!(requests, 2 * ids.len() + pages);
    assert!(told.contains("12 reads tried again"), "{told}");
}

#[tokio::test]
async fn nothing_depends_on_how_many_threads_search() {
    let world = Captured::new().await;
    let consoles = instances();
    let mut expected = BTreeMap::new();
    for number in 0..40 {
        let id = format!("i-a{number:02}");
        let console = fixture(&consoles[number % consoles.len()]);
        set_console(&world.simulator, &id, &console, "2024-03-22 10:04:57");
        let captured = cli(&world.settings, &["capture", &id]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
        let alone = grep(&world, &["Linux", &id]).await.1;
        expected.insert(id, alone);
    }
    let all = expected.into_values().collect::<String>();
    for _ in 0..3 {
        assert_eq!(grep(&world, &["Linux"]).await.1, all);
    }
    let by_time = grep(&world, &["Linux", "--sort", "time"]).await.1;
    assert_eq!(by_time, all, "they were captured in this order");
    let records: Value = json!(40);
    let stats = grep(&world, &["Linux", "--output", "json"]).await.1;
    let last: Value = serde_json::from_str(stats.lines().last().unwrap()).unwrap();
    assert_eq!(last["data"]["stats"]["records"], records);
}

#[tokio::test]
async fn nothing_stands_around_a_match_that_is_left_out() {
    let began = Timestamp::now().as_second() - 3600;
    let lines = [
        (10, "a"),
        (100, "hit one"),
        (110, "b"),
        (900, "c"),
        (2000, "hit two"),
        (2010, "d"),
    ];
    let lines = lines
        .map(|(second, text)| format!("[{second:5}.000001] {text}\r\n"))
        .concat();
    let console = format!(
        "[    0.000000] Linux version 6.1\r\n[    1.000001] rtc: setting system clock to x UTC ({})\r\n{lines}",
        began + 1
    );
    let world = Captured::with(&[console.as_bytes()]).await;
    let middle = Timestamp::from_second(began + 1500).unwrap().to_string();
    let found = async |option: &str| {
        let (_, found, _) = grep(&world, &["-N", "-C", "1", "hit", option, &middle]).await;
        let texts = found
            .lines()
            .map(|line| line.rsplit("] ").next().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(found("--until").await, ["a", "hit one", "b"]);
    assert_eq!(found("--since").await, ["c", "hit two", "d"]);
}

#[tokio::test]
async fn text_across_the_part_of_a_long_line_is_found() {
    let long = format!(
        "{}needle{}\r\nshort needle\r\n",
        "x".repeat(65_533),
        "y".repeat(70_000)
    );
    let world = Captured::with(&[long.as_bytes()]).await;
    let (code, found, _) = grep(&world, &["-o", "needle"]).await;
    let numbers: Vec<_> = found
        .lines()
        .map(|line| line.rsplit(':').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(
        (code, numbers),
        (0, vec!["1".to_owned(), "2".to_owned()]),
        "{found}"
    );
}

#[tokio::test]
async fn small_instances_are_read_together_and_no_more_than_64_records_at_once() {
    let bucket = Bucket::start(Profile::Aws).await;
    let plain = fixture("i-bp1panicnoroot00001");
    let digest = ConsoleDigest::of(&plain).short();
    for (instance, minute) in
        (0..80).flat_map(|instance| (0..4).map(move |minute| (instance, minute)))
    {
        let key = format!("kept/here/i-a{instance:02}/20240322T10{minute:02}57-{digest}.log.gz");
        let object = StoredObject {
            body: pack(&plain).unwrap(),
            content_type: None,
            content_encoding: None,
            metadata: BTreeMap::new(),
            encryption: BTreeMap::new(),
            stored_at: std::time::SystemTime::now(),
        };
        bucket.server.insert(&key, object);
    }
    // No read is answered before 64 have come, and what comes meanwhile would be counted.
    bucket.server.gather_reads(64);
    let found = cli(
        &bucket.settings,
        &["grep", "--captures", "-c", "Kernel panic"],
    )
    .await;
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    assert_eq!(text(&found.stdout).lines().count(), 320);
    assert_eq!(bucket.server.most_reading(), 64);
    assert_eq!(bucket.server.reads(), 320);
}
