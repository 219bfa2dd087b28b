//! How fast the pages of `serve` come, are jumped in and searched, and what the server needs of memory: by the real program and
//! headless Chromium, from a folder and from the suite's S3 server, which answers at once, 20 ms later, or first refuses each read.
//!
//! usage: make bench-serving [RECORDS=10000]

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::beside::write;
use crate::browser::Browser;
use crate::searching::records;
use crate::searching_bucket::stored;
use crate::statistics::{Spread, short};
use crate::support::archived::{Archived, put_into_folder};
use crate::support::s3_server::{Profile, Quirk, REAL_PAGE};
use crate::support::served::Served;
use crate::support::{Bucket, Settings, folder_settings};

const ROUNDS: usize = 5;
const LINES: usize = 100_000;
/// Pages after which the memory is looked at.
const PAGES: usize = 1000;
/// Each console has it.
const COMMON: &str = "reboot%3A+Restarting";
/// None has it.
const ABSENT: &str = "nowhere+to+be+found";

/// `serving OUTPUT [RECORDS]`
pub fn run(arguments: &[String]) {
    let count = crate::records(arguments.get(1));
    let runtime = crate::runtime();
    let text = runtime.block_on(async {
        let mut text = page().await;
        text.push_str(&searches(count).await);
        text
    });
    println!("{text}");
    write(&arguments[0], "serving.md", &text);
}

/// A log of 100 000 lines.
fn long_console() -> Vec<u8> {
    let mut console = b"[    0.000000] Linux version 6.1\r\n".to_vec();
    for number in 2..=LINES {
        let (seconds, micros) = (number / 50, number % 50 * 20_000);
        let line =
            format!("[{seconds:5}.{micros:06}] line {number} of a long log \x1b[32mOK\x1b[0m\r\n");
        console.extend_from_slice(line.as_bytes());
    }
    console
}

async fn page() -> String {
    let folder = tempfile::tempdir().unwrap();
    let now = Timestamp::now() - SignedDuration::from_hours(2);
    let console = long_console();
    let objects = Archived::of([("i-long1", &console[..], now)]).cataloged(now);
    put_into_folder(folder.path(), &objects).await;
    let mut served = Served::start(&folder_settings(folder.path()), &[]).await;
    let browser = Browser::enter(&served).await;
    // The browser has used the address. Who asks without it makes the server print another.
    assert_eq!(served.get("/").await.status, 403);
    served.next_address().await;
    served.enter().await;
    let boot = served.get("/i/i-long1/b/latest").await.header("location");
    let mut all: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let (first, whole, _) = asked(&served, &boot, b"</html>").await;
        browser.open(&boot).await;
        let painted = "const [paint] = performance.getEntriesByName('first-contentful-paint'); return paint ? paint.startTime : -1";
        browser
            .until("performance.getEntriesByName('first-contentful-paint').length")
            .await;
        let painted = browser.run(painted).await.as_f64().unwrap();
        let jump = "const begun = performance.now(); location.hash = '#L99951';
            const line = document.getElementById('L99951'); line.scrollIntoView({block: 'start'});
            return [performance.now() - begun, line.getBoundingClientRect().top]";
        let jumped = browser.run(jump).await;
        assert!(jumped[1].as_f64().unwrap().abs() < 40.0, "{jumped}");
        let found = browser
            .run("getSelection().removeAllRanges(); scrollTo(0, 0); const begun = performance.now(); const found = find('line 99951 '); return [performance.now() - begun, found]")
            .await;
        assert_eq!(found[1], true);
        let times = [
            first * 1e3,
            whole * 1e3,
            painted,
            jumped[0].as_f64().unwrap(),
            found[0].as_f64().unwrap(),
        ];
        for (all, time) in all.iter_mut().zip(times) {
            all.push(time);
        }
    }
    for page in 0..PAGES {
        let path = match page % 4 {
            0 => "/".to_owned(),
            1 => "/i/i-long1".to_owned(),
            2 => format!("{boot}?after={}", LINES - page),
            _ => format!("{boot}?time=wall"),
        };
        let got = served.get(&path).await;
        assert_eq!(got.status, 200);
    }
    let memory = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let memory = memory.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = memory
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    let [first, whole, painted, jumped, found] = all.map(|times| Spread::of(times).text());
    format!(
        "| A log of {LINES} lines | ms |\n|---|---|\n\
         | the first byte of its page | {first} |\n| its last byte | {whole} |\n\
         | the first text in Chromium | {painted} |\n| a jump to line 99951 | {jumped} |\n\
         | the browser's search for line 99951 | {found} |\n\n\
         After {PAGES} pages the server has {} MiB.\n\n",
        short(kib / 1024.0)
    )
}

async fn searches(count: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    let objects = records(count).map(|record| (record.key, record.object));
    put_into_folder(folder.path(), &objects.collect()).await;
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.set_page(REAL_PAGE);
    bucket.server.put_all(records(count).map(stored));
    let near = Duration::from_millis(20);
    let of_folder = folder_settings(folder.path());
    let stores: [(&str, &Settings, Duration, &[Quirk]); 4] = [
        ("a folder", &of_folder, Duration::ZERO, &[]),
        (
            "a bucket that answers at once",
            &bucket.settings,
            Duration::ZERO,
            &[],
        ),
        (
            "a bucket that answers after 20 ms",
            &bucket.settings,
            near,
            &[],
        ),
        (
            "the same, and the first read of each record gets 503",
            &bucket.settings,
            near,
            &[Quirk::ThrottlesReads],
        ),
    ];
    let mut table = format!(
        "| {count} records in | First line found, ms | All searched for what none has, s | Pages |\n|---|---|---|---|\n"
    );
    for (name, settings, latency, quirks) in stores {
        bucket.server.behave(quirks);
        bucket.server.set_latency(latency);
        bucket.server.forget_reads();
        let served = Served::entered(settings, &["--timeout", "120"]).await;
        let mut firsts = Vec::new();
        for _ in 0..ROUNDS {
            let path = format!("/search?q={COMMON}");
            let (_, first, _) = asked(&served, &path, b"<mark>").await;
            firsts.push(first * 1e3);
        }
        bucket.server.forget_reads();
        let (begun, mut pages) = (Instant::now(), 1);
        let mut path = format!("/search?q={ABSENT}");
        loop {
            let (_, _, page) = asked(&served, &path, b"</html>").await;
            let next = page.split("rel=\"next\" href=\"").nth(1);
            let Some(next) = next.and_then(|rest| rest.split('"').next()) else {
                break;
            };
            path = next.replace("&amp;", "&");
            pages += 1;
        }
        let all = begun.elapsed().as_secs_f64();
        let first = Spread::of(firsts).text();
        table.push_str(&format!(
            "| {name} | {first} | {} | {pages} |\n",
            short(all)
        ));
    }
    table
}

/// Seconds until the first byte of an answer, and until these bytes; and the whole answer.
async fn asked(served: &Served, path: &str, wanted: &[u8]) -> (f64, f64, String) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", served.port))
        .await
        .unwrap();
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nCookie: {}\r\n\r\n",
        served.port,
        served.cookie()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut first, mut found) = (Vec::new(), None, None);
    let mut part = vec![0; 1 << 16];
    loop {
        let read = stream.read(&mut part).await.unwrap();
        if read == 0 {
            break;
        }
        first.get_or_insert_with(|| begun.elapsed());
        let from = answer.len().saturating_sub(wanted.len());
        answer.extend_from_slice(&part[..read]);
        if found.is_none() && memchr::memmem::find(&answer[from..], wanted).is_some() {
            found = Some(begun.elapsed());
        }
    }
    let found = found.unwrap_or_else(|| panic!("{path}: {}", String::from_utf8_lossy(&answer)));
    let text = String::from_utf8_lossy(&answer).into_owned();
    (first.unwrap().as_secs_f64(), found.as_secs_f64(), text)
}
