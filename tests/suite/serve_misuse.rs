//! `console-archive serve` against consoles, clients and users who mean it harm, and against what hangs or is damaged.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::captured::{Captured, ID};
use crate::support::served::{Served, folder};
use crate::support::*;

/// What is waited for comes at once, or never.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(60), work).await;
    done.expect("it is answered")
}

/// The most memory that a process has had so far, in bytes.
fn peak_memory(served: &Served) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<usize>().unwrap() << 10
}

const MANY: usize = 1_000_000;

/// A boot with a line of a million matches.
fn console_of_many() -> Vec<u8> {
    let mut console = b"[    0.000000] Linux version 6.1\n".to_vec();
    console.resize(console.len() + MANY, b'Q');
    console.extend_from_slice(b"\nlogin: ");
    console
}

#[tokio::test]
async fn a_line_in_which_each_byte_matches_is_shown_in_short() {
    let console = console_of_many();
    let (_folder, settings) = folder(&[("i-many1", &console, 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/search?q=Q").await;
    assert!(page.contains("<mark>QQQ") && page.contains("…"), "{page}");
    assert!(page.len() < 20_000, "{} bytes", page.len());
    assert!(
        page.contains("1 line found in 1 log of 1 instance"),
        "{page}"
    );
    if cfg!(target_os = "linux") {
        let peak = peak_memory(&served);
        assert!(peak < 300 << 20, "{} MiB", peak >> 20);
    }
    // Programs get as many as a program may want, and are told of the others.
    let printed = cli(&settings, &["grep", "Q", "--output", "json"]).await;
    let printed = text(&printed.stdout);
    assert!(printed.len() < 2 * MANY, "{} bytes", printed.len());
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found = lines.iter().find(|line| line["type"] == "match").unwrap();
    assert_eq!(found["data"]["submatches"].as_array().unwrap().len(), 1000);
    assert_eq!(found["data"]["submatches_left_out"], MANY - 1000);
    let summary = lines.last().unwrap();
    assert_eq!(summary["data"]["stats"]["matches"], MANY);
}

#[tokio::test]
async fn what_is_shown_of_a_long_line_is_around_its_first_match() {
    let mut console = b"[    0.000000] Linux version 6.1\n".to_vec();
    console.extend_from_slice("ü".repeat(5000).as_bytes());
    console.extend_from_slice(b"needle");
    console.extend_from_slice("ö".repeat(5000).as_bytes());
    console.extend_from_slice(b"needle\nshort needle, and needle\n");
    let (_folder, settings) = folder(&[("i-a1", &console, 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/search?q=needle").await;
    let before = "ü".repeat(121);
    assert!(
        page.contains(&format!("…{before}<mark>needle</mark>öö")),
        "{page}"
    );
    assert!(page.contains("ö…</div>"), "{page}");
    assert!(
        page.contains("short <mark>needle</mark>, and <mark>needle</mark></div>"),
        "{page}"
    );
}

/// Two searches may run at once. Those whose clients have left run no more.
#[tokio::test]
async fn a_search_ends_when_its_client_leaves() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut settings, has_listed) = bucket_whose_records_hang(hanging);
    settings.push(("ARCHIVE_URL".into(), "s3://bucket/kept".into()));
    let served = Served::entered(&settings, &["--timeout", "3600"]).await;
    for _ in 0..4 {
        let mut stream = TcpStream::connect(("127.0.0.1", served.port))
            .await
            .unwrap();
        let (port, cookie) = (served.port, served.cookie());
        let asked = format!(
            "GET /search?q=x HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        // The head of the page comes first; then its records hang.
        let mut part = [0; 64];
        let read = soon(stream.read(&mut part)).await.unwrap();
        assert!(part[..read].starts_with(b"HTTP/1.0 200"));
    }
    assert!(has_listed.load(std::sync::atomic::Ordering::Relaxed) >= 4);
}

/// A bucket that lists a record for ever and never sends one. Returns its settings, and how often it was listed.
fn bucket_whose_records_hang(
    listener: TcpListener,
) -> (Settings, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let address = listener.local_addr().unwrap();
    let listed = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let counted = std::sync::Arc::clone(&listed);
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            if !text(&head).contains("list-type=2") {
                held.push(stream);
                continue;
            }
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let records: String = ["a", "b", "c"]
                .map(|id| {
                    format!(
                        "<Contents><Key>kept/i-{id}1/20180322T100457-b4a2cd4d9aed.log.gz</Key><Size>9</Size>\
                         <ETag>\"x\"</ETag><LastModified>2018-03-22T10:05:00.000Z</LastModified></Contents>"
                    )
                })
                .concat();
            let body = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{records}</ListBucketResult>"
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let settings = settings(&[
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &format!("http://{address}")),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    (settings, listed)
}

#[tokio::test]
async fn no_address_ends_the_server() {
    let (_folder, settings) = folder(&[("i-a1", b"one\ntwo\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    for path in [
        "/?until=-4392369d",
        "/?since=-4392369d",
        "/?since=9000y",
        "/search?q=one&until=-4392369d",
    ] {
        let got = served.get(path).await;
        assert_eq!(got.status, 400, "{path}: {}", got.text());
        assert!(got.text().contains("leads out of the years"), "{path}");
    }
    for path in ["/?until=0000-01-01", "/?since=9999-12-31", "/?until=9999"] {
        let got = served.get(path).await;
        assert!(got.status < 500, "{path}: {}", got.text());
    }
    let boot = served.get("/i/i-a1/b/0").await.header("location");
    let most = u64::MAX;
    for query in [
        format!("from={most}"),
        format!("after={most}"),
        format!("lines={most}-{most}"),
    ] {
        let page = served.page(&format!("{boot}?{query}")).await;
        assert!(page.ends_with("</html>"), "{query}: {page}");
        assert!(!page.contains("breaks off"), "{query}: {page}");
    }
    let refused = cli(&settings, &["report", "--until=-4392369d"]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}

/// ECS keeps the end of a console alone, so a capture may begin within a key.
#[tokio::test]
async fn a_secret_that_began_in_the_record_before_is_masked_in_the_raw_one() {
    let lines: Vec<_> = (0..12)
        .map(|number| {
            format!(
                "b3BlbnNzaC1rZXktdjEAAAAABG5vbm{number:02}AAAABG5vbmUAAAAAAAAAAQAAAZcAAAAHc3No\r\n"
            )
        })
        .collect();
    let begin = "-----BEGIN OPENSSH PRIVATE KEY-----\r\n";
    let first = [
        "[    0.000000] Linux version 6.1\r\n",
        begin,
        &lines.concat(),
    ]
    .concat();
    let second = [
        &lines[6..].concat(),
        "-----END OPENSSH PRIVATE KEY-----\r\nthe end of the console\r\n",
    ]
    .concat();
    let (folder, settings) = folder(&[
        ("i-key1", first.as_bytes(), 3),
        ("i-key1", second.as_bytes(), 2),
    ])
    .await;
    let served = Served::entered(&settings, &[]).await;
    let mut ends = 0;
    for name in names_in(&folder.path().join("i-key1"), ".log.gz") {
        let raw = served.page(&format!("/i/i-key1/r/{name}/raw")).await;
        ends += raw.matches("the end of the console").count();
        assert!(!raw.contains("b3BlbnNzaC1rZXkt"), "{raw}");
    }
    assert_eq!(ends, 1);
}

/// A page needs more than 64 connections of others to be kept from whoever was let in.
#[tokio::test]
async fn clients_that_say_nothing_make_room_for_others() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(("127.0.0.1", served.port))
            .await
            .unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        silent.push(stream);
    }
    assert!(soon(served.page("/")).await.contains("i-a1"));
    // Whoever has waited longest has gone, and the newest has not.
    let mut end = [0; 1];
    assert_eq!(soon(silent[0].read(&mut end)).await.unwrap_or(0), 0);
    let newest = silent.last().unwrap().try_read(&mut end);
    assert_eq!(newest.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn whoever_was_not_let_in_gets_one_answer_a_connection() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let (port, cookie) = (served.port, served.cookie());
    let answers = async |path: &str, header: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let asked = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}\r\n");
        let last = asked.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let all = [asked.repeat(4), last].concat();
        stream.write_all(all.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What it does not read any more resets the connection.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        text(&answer).matches("HTTP/1.1 ").count()
    };
    assert!(answers("/style.css", "").await <= 1);
    assert!(answers("/i/i-a1", "").await <= 1);
    assert_eq!(
        answers("/style.css", &format!("Cookie: {cookie}\r\n")).await,
        5
    );
}

/// Browsers send the cookie to every port of this machine, so other users of it may know it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn other_users_of_the_machine_are_sent_away_also_with_the_cookie() {
    let (folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let (owner, other) = (65_534, 65_533);
    let is_root = std::os::unix::fs::MetadataExt::uid(&folder.path().metadata().unwrap()) == 0;
    if !is_root {
        // Only root can act for others. The unit tests of `peer.rs` ask the kernel for the owner of a connection.
        return;
    }
    let served = Served::entered_as(&settings, folder.path(), owner).await;
    let own = served.get_as(owner, "/").await;
    assert!(
        own.starts_with("HTTP/1.0 200") && own.contains("i-a1"),
        "{own}"
    );
    assert_eq!(served.get_as(other, "/").await, "");
    assert!(served.page("/").await.contains("i-a1"), "root");
    let (_, printed) = served.interrupt().await;
    assert!(printed.contains("user 65533 of this machine"), "{printed}");
}

#[tokio::test]
async fn damage_is_told_and_forgotten_when_it_is_mended() {
    let (folder, settings) = folder(&[("i-a1", b"[    0.000000] Linux version 6.1\n", 2)]).await;
    let name = names_in(&folder.path().join("i-a1"), ".log.gz").remove(0);
    let file = folder.path().join("i-a1").join(format!("{name}.log.gz"));
    let whole = std::fs::read(&file).unwrap();
    let stored_at = file.metadata().unwrap().modified().unwrap();
    // The listing is the same before and behind.
    let put = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let file = std::fs::File::options().write(true).open(&file).unwrap();
        file.set_modified(stored_at).unwrap();
    };
    let mut damaged = whole.clone();
    damaged.reverse();
    put(&damaged);
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/i/i-a1").await;
    assert!(
        page.contains("left out: ") && page.contains("no console"),
        "{page}"
    );
    let none = served.get("/i/i-a1/b/latest").await;
    assert_eq!(none.status, 404);
    assert!(none.text().contains("left out: "), "{}", none.text());
    put(&whole);
    let page = served.page("/i/i-a1").await;
    assert!(
        page.contains("1 boot") && !page.contains("left out"),
        "{page}"
    );
}

/// With `--live`, pages of what the archive has do not wait for ECS.
#[tokio::test]
async fn an_ecs_that_hangs_keeps_no_page() {
    let (world, ..) = Captured::two_boots().await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hanging.local_addr().unwrap();
    let mut settings = world.settings.clone();
    for (name, value) in &mut settings {
        if name == "ECS_ENDPOINT_URL" {
            *value = format!("http://{address}");
        }
    }
    let served = Served::entered(&settings, &["--live", "--timeout", "3600"]).await;
    let old = soon(served.get(&format!("/i/{ID}/b/-1")))
        .await
        .header("location");
    assert!(soon(served.page(&old)).await.contains("Kernel panic"));
    let asked = tokio::time::timeout(Duration::ZERO, hanging.accept()).await;
    assert!(asked.is_err(), "ECS is not asked for a boot that is over");
    let newest = soon(served.get(&format!("/i/{ID}/b/latest"))).await;
    let page = soon(served.page(&newest.header("location"))).await;
    assert!(page.contains("ECS has not answered within 2 s"), "{page}");
    soon(hanging.accept()).await.unwrap();
}

#[tokio::test]
async fn what_hangs_keeps_no_style_sheet() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hanging.local_addr().unwrap();
    let settings = settings(&[
        ("ARCHIVE_URL", "s3://bucket/kept"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &format!("http://{address}")),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let served = Served::entered(&settings, &["--timeout", "3600"]).await;
    let (mut waiting, mut held) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let (port, cookie) = (served.port, served.cookie());
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let asked =
            format!("GET /i/i-a1 HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        waiting.push(stream);
        held.push(soon(hanging.accept()).await.unwrap());
    }
    let style = soon(served.page("/style.css")).await;
    assert!(style.contains("prefers-color-scheme"), "{style}");
}
