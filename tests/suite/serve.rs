//! `console-archive serve`: who is let in, and what the pages have, also of a console that is not well meant.

use std::collections::BTreeSet;

use ecs_console_archiver::reading::findings::secrets;

use crate::support::archived::{of_folder, stored};
use crate::support::captured::{Captured, ID};
use crate::support::s3_server::Profile;
use crate::support::served::{Served, folder, hostile_console};
use crate::support::*;

/// The elements of a page, and the names of their attributes as `element attribute`.
fn elements(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split_once('>').expect("each < begins a tag").0;
        let name = tag
            .split([' ', '/'])
            .find(|word| !word.is_empty())
            .unwrap_or_default();
        found.insert(name.to_owned());
        // No value of ours has a quote in it, and none of others has one that is not escaped.
        for attribute in tag
            .split('"')
            .step_by(2)
            .filter_map(|text| text.strip_suffix('='))
        {
            found.insert(format!(
                "{name} {}",
                attribute.trim().rsplit(' ').next().unwrap()
            ));
        }
    }
    found
}

#[tokio::test]
async fn the_printed_address_lets_in_once_and_another_is_printed_when_it_is_asked_for() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let mut served = Served::start(&settings, &[]).await;
    let first = served.entrance();
    let refused = served.get("/").await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("open the address that"),
        "{}",
        refused.text()
    );
    served.enter().await;
    assert!(served.page("/").await.contains("i-a1"));
    // In the browser's history it leads on, and for others it is nothing.
    assert_eq!(served.get(&first).await.status, 303);
    let port = served.port;
    let other = format!("GET {first} HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(served.send(&other).await.status, 403);
    served.next_address().await;
    assert_ne!(served.entrance(), first);
    let cookie = served.cookie().to_owned();
    served.enter().await;
    assert_eq!(served.cookie(), cookie, "the first browser stays");
    let (ended, printed) = served.interrupt().await;
    assert_eq!(ended.code(), Some(0));
    // What was said at the start is not said again.
    for once in [
        "is served until Ctrl-C",
        "That address was used",
        "is not served any more",
    ] {
        assert_eq!(printed.matches(once).count(), 1, "{once}: {printed}");
    }
}

/// An instance with a boot that came to its prompt and one that is not well meant, and another instance.
async fn hostile_folder() -> (tempfile::TempDir, Settings) {
    let well = b"[    0.000000] Linux version 6.1\nhost login: \n";
    folder(&[
        ("i-bad1", well, 30),
        ("i-bad1", &hostile_console(), 2),
        ("i-plain1", b"[    0.000000] Linux version 6.1\n", 2),
    ])
    .await
}

/// Browsers ask for icons, and for what may be looked at next, without cookies.
#[tokio::test]
async fn no_other_address_is_printed_where_nobody_looks_at_a_page() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let port = served.port;
    for (path, header) in [
        ("/", "Sec-Fetch-Mode: no-cors"),
        ("/", "Sec-Purpose: prefetch"),
        ("/favicon.ico", "Accept: image/*"),
    ] {
        let asked = format!("GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\n{header}\r\n\r\n");
        assert_eq!(served.send(&asked).await.status, 403, "{path} {header}");
    }
    let (_, printed) = served.interrupt().await;
    assert_eq!(printed.matches("/?token=").count(), 1, "{printed}");
}

#[tokio::test]
async fn programs_get_the_address_as_json() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let served = Served::start(&settings, &["--output", "json"]).await;
    let told: serde_json::Value = serde_json::from_str(&served.printed.text()).unwrap();
    assert_eq!(told["address"], served.address);
    let seen = json_page::printed("serve", served.printed.text().as_bytes());
    assert_eq!(seen, json_page::members("serve"));
}

#[tokio::test]
async fn forged_requests_get_nothing_of_the_archive() {
    let (_folder, settings) = folder(&[("i-secret1", b"precious\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let (port, cookie) = (served.port, served.cookie());
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    let with = format!("Cookie: {cookie}\r\n");
    let wrong = format!("Cookie: console-archive-{port}={}\r\n", "0".repeat(64));
    for (request, status) in [
        (
            format!("GET / HTTP/1.0\r\nHost: evil.example\r\n{with}\r\n"),
            421,
        ),
        (
            format!("GET / HTTP/1.0\r\nHost: evil.example:{port}\r\n{with}\r\n"),
            421,
        ),
        (
            format!("GET / HTTP/1.0\r\nHost: localhost.:{port}\r\n{with}\r\n"),
            421,
        ),
        (
            format!("GET / HTTP/1.0\r\nHost: 127.1:{port}\r\n{with}\r\n"),
            421,
        ),
        (format!("GET / HTTP/1.0\r\n{with}\r\n"), 421),
        (
            format!("GET / HTTP/1.0\r\n{own}Host: evil.example\r\n{with}\r\n"),
            421,
        ),
        (
            format!("GET http://127.0.0.1:{port}/ HTTP/1.0\r\n{own}{with}\r\n"),
            421,
        ),
        (
            format!("GET http://evil.example/ HTTP/1.0\r\n{own}{with}\r\n"),
            421,
        ),
        (format!("GET / HTTP/1.0\r\n{own}\r\n"), 403),
        (format!("GET / HTTP/1.0\r\n{own}{wrong}\r\n"), 403),
        (
            format!("GET /?token={} HTTP/1.0\r\n{own}\r\n", "0".repeat(64)),
            403,
        ),
        (
            format!("POST / HTTP/1.0\r\n{own}{with}Content-Length: 0\r\n\r\n"),
            405,
        ),
        (
            format!("DELETE /i/i-secret1 HTTP/1.0\r\n{own}{with}\r\n"),
            405,
        ),
        (
            format!(
                "GET / HTTP/1.0\r\n{own}{with}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n"
            ),
            403,
        ),
        (
            format!(
                "GET / HTTP/1.0\r\n{own}{with}Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n\r\n"
            ),
            403,
        ),
        (
            format!("GET /i/i-secret1/../../etc/passwd HTTP/1.0\r\n{own}{with}\r\n"),
            404,
        ),
        (format!("GET /i/%2e%2e/x HTTP/1.0\r\n{own}{with}\r\n"), 404),
        (format!("GET //evil.example HTTP/1.0\r\n{own}\r\n"), 403),
    ] {
        let got = served.send(&request).await;
        assert_eq!(got.status, status, "{request}");
        let text = got.text();
        assert!(
            !text.contains("i-secret1") && !text.contains("precious"),
            "{request}: {text}"
        );
        assert!(!text.contains("//evil"), "{request}: {text}");
        assert!(
            got.header("content-security-policy")
                .starts_with("default-src 'none';")
        );
    }
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        let got = served
            .send(&format!("GET / HTTP/1.0\r\nHost: {host}\r\n{with}\r\n"))
            .await;
        assert_eq!(got.status, 200, "{host}");
    }
    let head = served
        .send(&format!("HEAD / HTTP/1.0\r\n{own}{with}\r\n"))
        .await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn every_answer_keeps_to_itself() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    for path in [
        "/",
        "/style.css",
        "/script.js",
        "/i/i-a1",
        "/i/i-a1/b/latest",
        "/none",
        "/?since=noon",
    ] {
        let got = served.get(path).await;
        let policy = got.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(got.header(name), value, "{path}");
        }
    }
}

#[tokio::test]
async fn a_fleet_is_shown_day_by_day_and_filtered_by_links() {
    let (panic, clean) = (
        fixture("i-bp1panicnoroot00001"),
        fixture("i-bp1normalreboot0001"),
    );
    let (_folder, settings) = folder(&[
        ("i-bad1", &clean, 50),
        ("i-bad1", &panic, 2),
        ("i-good1", &clean, 3),
        ("i-old1", &clean, 24 * 20),
    ])
    .await;
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/").await;
    let (bad, good) = (
        page.find("/i/i-bad1\"").unwrap(),
        page.find("/i/i-good1\"").unwrap(),
    );
    assert!(bad < good, "those that need a person come first");
    assert!(!page.contains("i-old1"), "of 7 days");
    for shown in [
        "m-panic",
        "m-clean",
        "The kernel cannot mount its root file system",
        ">new<",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let panics = served.page("/?ending=panic").await;
    assert!(panics.contains("/i/i-bad1\"") && !panics.contains("/i/i-good1\""));
    let found = served.page("/?signature=root-not-mounted").await;
    assert!(found.contains("/i/i-bad1\"") && !found.contains("/i/i-good1\""));
    let month = served.page("/?since=-30d&instance=i-o*").await;
    assert!(month.contains("/i/i-old1\"") && !month.contains("/i/i-bad1\""));
    let none = served.page("/?since=-1h&until=-30m").await;
    assert!(
        none.contains("Nothing was captured that this asks for"),
        "{none}"
    );
    // A mark leads to its boot.
    let marks = page.split("href=\"/i/i-bad1/r/").skip(1);
    let records: Vec<_> = marks.map(|rest| rest.split_once('"').unwrap().0).collect();
    assert_eq!(records.len(), 2, "{page}");
    let boot = served.get(&format!("/i/i-bad1/r/{}", records[1])).await;
    assert_eq!(boot.status, 303);
    let log = served.page(&boot.header("location")).await;
    assert!(log.contains("Kernel panic - not syncing"), "{log}");
    let wrong = served.get("/?since=noon").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("since: "), "{}", wrong.text());
}

#[tokio::test]
async fn a_period_that_ends_before_it_begins_is_an_address_that_cannot_be_used() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    for path in ["/?since=-1h&until=-2h", "/search?q=x&since=-1h&until=-2h"] {
        let got = served.get(path).await;
        assert_eq!(got.status, 400, "{path}");
        let page = got.text();
        assert!(page.contains("This address cannot be used"), "{page}");
        assert!(page.contains("before"), "{page}");
    }
}

#[tokio::test]
async fn nothing_is_new_where_no_capture_is_known_from_before() {
    let panic = fixture("i-bp1panicnoroot00001");
    let (_folder, settings) = folder(&[("i-bad1", &panic, 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/").await;
    assert!(page.contains("root-not-mounted") && !page.contains(">new<"));
    assert!(page.contains("nothing is called new"), "{page}");
}

#[tokio::test]
async fn damage_of_the_catalog_is_told_also_of_the_days_before() {
    let clean = fixture("i-bp1normalreboot0001");
    let (folder, settings) = folder(&[("i-a1", &clean, 24 * 20), ("i-a1", &clean, 2)]).await;
    let days = files_in(&folder.path().join("catalog/days"));
    let (day, _) = days
        .iter()
        .find(|(name, _)| !name.starts_with("complete") && !name.ends_with(".meta.json"))
        .unwrap_or_else(|| {
            panic!(
                "{:?}",
                days.iter().map(|(name, _)| name).collect::<Vec<_>>()
            )
        });
    std::fs::write(folder.path().join("catalog/days").join(day), b"no gzip").unwrap();
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/").await;
    assert!(
        page.contains("damaged: ") && page.contains("/i/i-a1\""),
        "{page}"
    );
}

#[tokio::test]
async fn two_boots_stand_side_by_side_as_diff_compares_them() {
    let mut panic = fixture("i-bp1panicnoroot00001");
    panic.extend_from_slice(
        b"\r\nci-info: password: hunter2hunter2\r\ndb_password=correct-horse-7\r\n",
    );
    let mut clean = fixture("i-bp1cloudinit0000001");
    clean.truncate(20_000);
    clean.extend_from_slice(b"\r\nDebian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ");
    let (_folder, settings) = folder(&[("i-a1", &clean, 50), ("i-a1", &panic, 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let boots = served.page("/i/i-a1").await;
    assert!(boots.contains("/diff\">what changed</a>"), "{boots}");
    // The last good boot is another one later, so the address names both.
    let chosen = served.get("/i/i-a1/b/latest/diff?moved=on").await;
    assert_eq!(chosen.status, 303, "{}", chosen.text());
    let address = chosen.header("location");
    assert!(
        address.contains("/diff?with=2") && address.ends_with("moved=on"),
        "{address}"
    );
    let page = served.page(&address).await;
    let printed = cli(&settings, &["diff", "i-a1", "--moved"]).await;
    let printed = text(&printed.stdout);
    let of = |sign: char| {
        printed
            .lines()
            .filter(|line| line.starts_with(sign))
            .count()
            - 1
    };
    let classes = |class: &str| page.matches(&format!("<div class=\"l {class}")).count();
    let folded = page.matches("more, folded").count();
    assert_eq!(
        classes("removed") + classes("folded removed"),
        of('-'),
        "{printed}"
    );
    assert_eq!(classes("added"), of('+'));
    assert_eq!(folded, printed.matches("more, folded").count());
    assert!(
        page.contains("<ins>") && page.contains("<del>"),
        "what differs within a line"
    );
    assert!(
        page.contains("root-not-mounted"),
        "what went wrong in one alone"
    );
    assert!(page.contains("the last that came to its login"));
    let note = printed
        .lines()
        .find(|line| line.contains("secrets are masked"));
    let (_, note) = note.unwrap().split_once("# ").unwrap();
    assert!(
        note.contains(", 0 in the first log and 2 in the second,"),
        "{note}"
    );
    assert!(page.contains(note), "{note}: {page}");
    // The last good boot and the boot before are one here, and it has one link.
    let boot = served.get("/i/i-a1/b/latest/diff").await;
    let compared = served.page(&boot.header("location")).await;
    let (_, against) = compared.split_once(">Against</span>").unwrap();
    let (against, _) = against.split_once("</span>").unwrap();
    assert_eq!(against.matches("aria-current").count(), 1, "{against}");
    assert!(
        against.contains("the last that came to its login, the boot before"),
        "{against}"
    );
    let other = served.get("/i/i-a1/b/-1/diff?with=previous").await;
    assert_eq!(other.status, 404);
    assert!(other.text().contains("No boot is known before this one"));
    let wrong = served.get("/i/i-a1/b/latest/diff?with=x").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn a_search_finds_what_grep_finds_with_links_to_the_lines() {
    let (panic, clean) = (
        fixture("i-bp1panicnoroot00001"),
        fixture("i-bp1normalreboot0001"),
    );
    let (_folder, settings) = folder(&[
        ("i-a1", &clean, 50),
        ("i-a1", &panic, 2),
        ("i-b1", &panic, 4),
        ("i-c1", b"[    0.000000] Linux version 6.1\nroot:correcthorse\nci-info: password: hunter2hunter2\n", 4),
    ])
    .await;
    let served = Served::entered(&settings, &[]).await;
    for (query, grep) in [
        ("q=kernel+panic", vec!["grep", "-i", "-F", "kernel panic"]),
        ("q=Kernel", vec!["grep", "-F", "Kernel"]),
        ("q=%5EBoot.*0x&regex=on", vec!["grep", "^Boot.*0x"]),
        ("q=Linux&instance=i-a1", vec!["grep", "Linux", "i-a1"]),
        (
            "q=Linux&instance=i-b*",
            vec!["grep", "Linux", "--instance", "i-b*"],
        ),
    ] {
        let printed = cli(&settings, &grep).await;
        let printed = text(&printed.stdout);
        let page = served.page(&format!("/search?{query}")).await;
        assert_eq!(
            page.matches("<div class=\"l\">").count(),
            printed.lines().count(),
            "{query}: {page}"
        );
        assert_eq!(page.contains("<mark>"), !printed.is_empty());
        for line in printed.lines() {
            let mut parts = line.splitn(3, [':', '/']);
            let (id, boot) = (parts.next().unwrap(), parts.next().unwrap());
            let number = parts.next().unwrap().split(':').next().unwrap();
            let link = format!("href=\"/i/{id}/b/{boot}#L{number}\"");
            assert!(page.contains(&link), "{link}: {page}");
        }
        assert!(
            page.contains("id=\"searched\"") && page.ends_with("</html>"),
            "{page}"
        );
    }
    // Each log is named as the other pages name it, also where only the newest records are searched.
    for (query, path, number) in [
        ("q=kernel+panic", "latest", "boot 0"),
        ("q=Linux&instance=i-a1&since=-5h", "latest", "boot 0"),
        ("q=Linux&instance=i-a1", "-1", "boot -1"),
    ] {
        let boot = served
            .get(&format!("/i/i-a1/b/{path}"))
            .await
            .header("location");
        let found = served.page(&format!("/search?{query}")).await;
        let named = format!(
            "<a href=\"{}\">{number}</a> captured",
            boot.split('?').next().unwrap()
        );
        assert!(found.contains(&named), "{named}: {found}");
    }
    let masked = served.page("/search?q=password").await;
    assert!(
        masked.contains("<mark>password</mark>") && !masked.contains("hunter2"),
        "{masked}"
    );
    let behind = served.page("/search?q=Linux&after=i-a1").await;
    assert!(
        behind.contains("/i/i-b1\"") && !behind.contains("/i/i-a1\""),
        "{behind}"
    );
    let none = served.page("/search?q=nowhere").await;
    assert!(none.contains("No line of what was searched has it"));
    let wrong = served.get("/search?q=(&regex=on").await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[tokio::test]
async fn a_search_of_much_goes_on_by_a_link() {
    let mut console = b"[    0.000000] Linux version 6.1\n".to_vec();
    console.extend_from_slice(&b"again and again\n".repeat(60));
    let names: Vec<_> = (100..112).map(|number| format!("i-much{number}")).collect();
    let captures: Vec<_> = names
        .iter()
        .map(|id| (id.as_str(), &console[..], 2))
        .collect();
    let (_folder, settings) = folder(&captures).await;
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/search?q=again+and").await;
    assert_eq!(page.matches("<div class=\"l\">").count(), 500, "ten boots");
    assert!(page.contains("only the first 50 lines are shown"), "{page}");
    let link = "/search?q=again+and&amp;after=i-much109";
    assert!(
        page.contains(link) && page.contains("2 instances are left"),
        "{page}"
    );
    let rest = served.page(&link.replace("&amp;", "&")).await;
    assert_eq!(rest.matches("<div class=\"l\">").count(), 100);
    assert!(!rest.contains("Search on"), "{rest}");
}

#[tokio::test]
async fn a_page_says_when_nothing_is_captured_and_when_the_archive_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    // It was there when the command began.
    let missing = folder.path().join("missing");
    std::fs::create_dir(&missing).unwrap();
    let served = Served::entered(&folder_settings(&missing), &[]).await;
    std::fs::remove_dir(&missing).unwrap();
    let got = served.get("/").await;
    assert_eq!(got.status, 502, "{}", got.text());
    assert!(
        got.text().contains("missing") && got.text().contains("Try again"),
        "{}",
        got.text()
    );
    // A port on which nobody listens.
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = settings(&[
        ("ARCHIVE_URL", "s3://bucket/consoles"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &format!("http://{unused}")),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let served = Served::entered(&settings, &["--timeout", "1"]).await;
    let got = served.get("/i/i-a1").await;
    assert_eq!(got.status, 504, "{}", got.text());
    assert!(
        got.text().contains("--timeout gives it longer"),
        "{}",
        got.text()
    );
}

#[tokio::test]
async fn boots_are_shown_with_their_endings_stages_and_findings() {
    let (world, ..) = Captured::two_boots().await;
    let served = Served::entered(&world.settings, &[]).await;
    let page = served.page(&format!("/i/{ID}")).await;
    for shown in [
        "boot -1",
        "boot 0",
        "panic",
        "kernel 2.2 s",
        "1 gap",
        "The kernel cannot mount its root file system",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let latest = served.get(&format!("/i/{ID}/b/latest?time=boot")).await;
    assert_eq!(latest.status, 303, "a number is another boot's later");
    let address = latest.header("location");
    let log = served.page(&address).await;
    assert!(log.contains("gap: output is lost here"), "{log}");
    assert!(log.contains("capture 2, "), "{log}");
}

#[tokio::test]
async fn links_to_lines_stay_good_when_more_is_captured() {
    let console = fixture("i-bp1panicnoroot00001");
    let mut world = Captured::with(&[&console[..9_000]]).await;
    let served = Served::entered(&world.settings, &[]).await;
    let boot = served
        .get(&format!("/i/{ID}/b/latest"))
        .await
        .header("location");
    let line = |page: &str, number: usize| {
        let from = page
            .find(&format!("id=\"L{number}\""))
            .unwrap_or_else(|| panic!("no line {number}"));
        page[from..].split_once("</div>").unwrap().0.to_owned()
    };
    let before = served.page(&boot).await;
    world.capture(&console).await;
    world.capture(&fixture("i-bp1normalreboot0001")).await;
    let after = served.page(&boot).await;
    assert!(
        after.len() > before.len() && after.contains("Kernel panic"),
        "it was read again"
    );
    for number in [1, 50, 100] {
        assert_eq!(line(&before, number), line(&after, number));
    }
    // What is found is marked where it stands.
    let found = after.find("class=\"finding fatal\"").unwrap();
    let marked = after[found..]
        .find("<div class=\"l found fatal\" id=\"L321\">")
        .unwrap();
    assert!(
        !after[found..found + marked].contains("<div class=\"l"),
        "right before its line"
    );
    let ranged = served.page(&format!("{boot}?lines=3-5")).await;
    assert_eq!(ranged.matches(" marked\" id=").count(), 3);
    let wall = served.page(&format!("{boot}?time=wall&wrap=off")).await;
    assert!(
        wall.contains("<span class=\"t\">") && wall.contains("class=\"log\""),
        "{wall}"
    );
}

#[tokio::test]
async fn a_boot_that_may_still_print_is_read_on_from_a_line() {
    let console = fixture("i-bp1cloudinit0000001");
    let mut world = Captured::with(&[&console[..9_000]]).await;
    let served = Served::entered(&world.settings, &[]).await;
    let boot = served
        .get(&format!("/i/{ID}/b/latest"))
        .await
        .header("location");
    let page = served.page(&boot).await;
    assert!(
        page.contains("id=\"live\"") && page.contains("Look for more"),
        "{page}"
    );
    let lines = page.matches("\" id=\"L").count();
    world.capture(&console[..20_000]).await;
    let rest = served.page(&format!("{boot}?after={}", lines - 1)).await;
    let whole = served.page(&boot).await;
    let first = format!("id=\"L{lines}\"");
    assert!(rest.contains(&first) && !rest.contains(&format!("id=\"L{}\"", lines - 1)));
    assert_eq!(
        rest.matches("\" id=\"L").count() + lines - 1,
        whole.matches("\" id=\"L").count()
    );
    assert!(!rest.contains("after="), "no link has it");
    world.capture(&fixture("i-bp1normalreboot0001")).await;
    let over = served.page(&boot).await;
    assert!(!over.contains("id=\"live\""), "another boot has begun");
}

#[tokio::test]
async fn what_ecs_has_is_shown_with_live_and_is_not_stored() {
    let console = fixture("i-bp1cloudinit0000001");
    let mut world = Captured::with(&[&console[..9_000]]).await;
    let stored = files_in(world.folder.path()).len();
    world.print(&console[..20_000]);
    let boots = async |served: &Served| {
        let boot = served.get(&format!("/i/{ID}/b/latest")).await;
        let page = served.page(&boot.header("location")).await;
        page.matches("\" id=\"L").count()
    };
    let without = Served::entered(&world.settings, &[]).await;
    let before = boots(&without).await;
    let served = Served::entered(&world.settings, &["--live"]).await;
    let live = boots(&served).await;
    assert!(live > before, "{live} lines, {before} before");
    let boot = served.get(&format!("/i/{ID}/b/latest")).await;
    let page = served.page(&boot.header("location")).await;
    // What is not stored cannot be downloaded.
    assert!(page.contains("(from ECS, not stored)"), "{page}");
    let links = page.split("href=\"").skip(1);
    let links = links.map(|rest| rest.split('"').next().unwrap());
    for raw in links.filter(|link| link.ends_with("/raw")) {
        assert_eq!(served.get(raw).await.status, 200, "{raw}");
    }
    let asked = world.simulator.answered().len();
    assert_eq!(boots(&served).await, live);
    assert_eq!(world.simulator.answered().len(), asked, "not again at once");
    assert_eq!(files_in(world.folder.path()).len(), stored);
    // ECS does not answer: what is there is shown, with why it is all.
    world.move_simulator().await;
    let mut settings = world.settings.clone();
    for (name, value) in &mut settings {
        if name == "ECS_ENDPOINT_URL" {
            *value = "http://127.0.0.1:9".to_owned();
        }
    }
    let served = Served::entered(&settings, &["--live", "--timeout", "1"]).await;
    let boot = served.get(&format!("/i/{ID}/b/latest")).await;
    let page = served.page(&boot.header("location")).await;
    assert!(page.contains("ECS does not say what it has"), "{page}");
}

#[tokio::test]
async fn a_hostile_console_leaves_only_the_elements_of_the_page() {
    let (_folder, settings) = hostile_folder().await;
    let served = Served::entered(&settings, &[]).await;
    let mut all = String::new();
    for path in ["/", "/i/i-bad1"] {
        all += &served.page(path).await;
    }
    for path in [
        "/i/i-bad1/b/0",
        "/i/i-bad1/b/0?wrap=off&time=wall",
        "/i/i-bad1/b/0/diff",
    ] {
        let boot = served.get(path).await.header("location");
        all += &served.page(&boot).await;
    }
    for path in [
        "/i/i-bad1/b/0/screen",
        "/search?q=%3C&instance=i-bad1",
        "/search?q=%3Cscript%3E%22onx",
    ] {
        all += &served.page(path).await;
    }
    let known: BTreeSet<String> = "html head meta title link script body a header nav ol ul li span main h1 h2 p div section \
        dl dt dd details summary aside strong code svg path circle rect line table thead tbody tr th td form label input button \
        dialog kbd pre figure figcaption ins del mark select option !DOCTYPE"
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let attributes: BTreeSet<&str> = "lang charset name content rel href src class id tabindex title scope role \
        viewBox cx cy r d x y x1 x2 y1 y2 rx width height action method value placeholder autocomplete type focusable colspan \
        data-path data-live aria-label aria-current aria-hidden spellcheck rel"
        .split_whitespace()
        .collect();
    for element in elements(&all) {
        match element.split_once(' ') {
            None => assert!(known.contains(&element), "<{element}>"),
            Some((_, attribute)) => assert!(attributes.contains(attribute), "{element}"),
        }
    }
    assert_eq!(
        all.matches("<script").count(),
        all.matches("<script src=\"/script.js\" defer></script>")
            .count()
    );
    for shown in [
        "&lt;script&gt;alert(document.domain)&lt;/script&gt;",
        "\\u{202e}</span>rtl",
        "a link",
    ] {
        assert!(all.contains(shown), "{shown}");
    }
    assert!(!all.contains("\u{202e}") && !all.contains('\x1b') && !all.contains("href=\"http"));
    assert!(
        all.contains("⟲ ") && all.contains("rewrites"),
        "the states of a progress bar are counted"
    );
}

#[tokio::test]
async fn secrets_are_masked_and_downloads_are_files() {
    let console = b"[    0.000000] Linux version 6.1\r\nci-info: password: hunter2hunter2\r\nroot:correcthorse\r\n-----BEGIN OPENSSH PRIVATE KEY-----\r\nAAAAmust0not0be0seen0AAAAAAAAAAAAAAAAAAAA\r\n-----END OPENSSH PRIVATE KEY-----\r\n";
    assert!(!secrets::find(console).is_empty());
    let (folder, settings) = folder(&[("i-a1", console, 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let boot = served.get("/i/i-a1/b/0").await.header("location");
    let name = names_in(&folder.path().join("i-a1"), ".log.gz").remove(0);
    let raw = format!("/i/i-a1/r/{name}/raw").replace(".log.gz", "");
    for path in [
        boot.clone(),
        format!("{boot}/log"),
        format!("{boot}/screen"),
        raw.clone(),
    ] {
        let page = served.page(&path).await;
        assert!(page.contains("Linux version 6.1"), "{path}");
        assert!(!page.contains("must0not0be0seen"), "{path}: {page}");
    }
    let download = served.get(&raw).await;
    assert_eq!(download.header("content-type"), "text/plain; charset=utf-8");
    let disposition = download.header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"i-a1-") && disposition.ends_with(".log\""),
        "{disposition}"
    );
    let gone = served
        .get("/i/i-a1/r/20180322T100457-0123456789ab/raw")
        .await;
    assert_eq!(gone.status, 404);
    let mut settings = settings;
    settings.push(("REDACT".to_owned(), "off".to_owned()));
    let served = Served::entered(&settings, &[]).await;
    assert!(served.page(&boot).await.contains("must0not0be0seen"));
}

#[tokio::test]
async fn a_hundred_thousand_lines_are_on_one_page() {
    let mut console = b"[    0.000000] Linux version 6.1\r\n".to_vec();
    for number in 2..=100_000 {
        console.extend_from_slice(
            format!(
                "[{:5}.{:06}] line {number} \x1b[32mOK\x1b[0m\r\n",
                number / 50,
                number % 50 * 20_000
            )
            .as_bytes(),
        );
    }
    let (_folder, settings) = folder(&[("i-a1", &console, 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let boot = served.get("/i/i-a1/b/0").await.header("location");
    let page = served.page(&boot).await;
    assert_eq!(page.matches("<div class=\"l\" id=\"L").count(), 100_000);
    assert!(page.contains("id=\"L99951\"><a href=\"#L99951\">99951</a>"));
    assert_eq!(page.matches("<div class=\"s\">").count(), 500);
    assert!(page.ends_with("</html>"));
}

#[tokio::test]
async fn a_page_for_a_ticket_loads_nothing_and_leads_nowhere() {
    let (folder, settings) = hostile_folder().await;
    let file = folder.path().join("page.html");
    let page = async |options: &[&str]| {
        let file = file.to_str().unwrap();
        let exported = cli(&settings, &[&["export", "--html", file], options].concat()).await;
        assert!(
            exported.status.success(),
            "{options:?}: {}",
            text(&exported.stderr)
        );
        let page = std::fs::read_to_string(file).unwrap();
        let told = text(&exported.stderr);
        assert!(told.contains(" is in "), "{told}");
        let again = cli(&settings, &[&["export", "--html", file], options].concat()).await;
        assert_eq!(again.status.code(), Some(2), "{}", text(&again.stderr));
        std::fs::remove_file(file).unwrap();
        page
    };
    for (options, shown) in [
        (
            vec!["i-bad1"],
            "&lt;script&gt;alert(document.domain)&lt;/script&gt;",
        ),
        (vec!["i-bad1", "--boot", "-1"], "6.1"),
        (
            vec!["i-bad1", "--diff"],
            "&lt;script&gt;alert(document.domain)&lt;/script&gt;",
        ),
        (
            vec!["i-bad1", "--diff", "--baseline", "previous"],
            "What changed in boot 0",
        ),
        (vec!["--since", "-7d"], "What went wrong"),
    ] {
        let page = page(&options).await;
        assert!(page.contains(shown), "{options:?}: {page}");
        assert!(page.contains("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'"));
        for never in [
            "<script",
            "<form",
            "<iframe",
            "<img",
            "href=\"/",
            "href=\"http",
            "@import",
            "url(",
        ] {
            assert!(!page.contains(never), "{options:?}: {never}");
        }
        assert!(!page.contains("hunter2"), "secrets are masked");
    }
    let wrong = cli(&settings, &["export", "--html", "-", "--diff"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("give its ID"),
        "{}",
        text(&wrong.stderr)
    );
    // As `diff` says it.
    let (_alone, one_boot) =
        self::folder(&[("i-a1", b"[    0.000000] Linux version 6.1\n", 2)]).await;
    for command in [
        &["export", "--html", "-", "i-a1", "--diff"][..],
        &["diff", "i-a1"],
    ] {
        let none = cli(&one_boot, command).await;
        let told = text(&none.stderr);
        assert_eq!(none.status.code(), Some(3), "{told}");
        assert!(told.contains("i-a1 has only one boot so far"), "{told}");
    }
    let none = cli(&settings, &["export", "--html", "-", "i-none"]).await;
    assert_eq!(none.status.code(), Some(3));
    let both = cli(
        &settings,
        &["export", "--html", "-", "-o", "x.tar", "i-bad1"],
    )
    .await;
    assert_eq!(both.status.code(), Some(2));
}

#[tokio::test]
async fn two_servers_do_not_know_each_other() {
    let (_folder, settings) = folder(&[("i-a1", b"one\n", 2)]).await;
    let (first, second) = (
        Served::entered(&settings, &[]).await,
        Served::entered(&settings, &[]).await,
    );
    let port = second.port;
    let cookie = first.cookie();
    let got = second
        .send(&format!(
            "GET / HTTP/1.0\r\nHost: localhost:{port}\r\nCookie: {cookie}\r\n\r\n"
        ))
        .await;
    assert_eq!(got.status, 403);
    let both = format!("{cookie}; {}", second.cookie());
    let got = second
        .send(&format!(
            "GET / HTTP/1.0\r\nHost: localhost:{port}\r\nCookie: {both}\r\n\r\n"
        ))
        .await;
    assert_eq!(got.status, 200);
    let taken = cli(&settings, &["serve", "--port", &port.to_string()]).await;
    assert_eq!(taken.status.code(), Some(1));
    assert!(
        text(&taken.stderr).contains("give another port with --port"),
        "{}",
        text(&taken.stderr)
    );
}

#[tokio::test]
async fn a_bucket_is_shown_as_a_folder_is() {
    let (folder, _) = folder(&[("i-a1", &fixture("i-bp1panicnoroot00001"), 2)]).await;
    let objects = of_folder(folder.path()).await;
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.put_all(stored("kept/here/", &objects));
    let served = Served::entered(&bucket.settings, &[]).await;
    assert!(served.page("/").await.contains("/i/i-a1\""));
    let boot = served.get("/i/i-a1/b/0").await.header("location");
    assert!(
        served
            .page(&boot)
            .await
            .contains("Kernel panic - not syncing")
    );
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder_settings(&folder.path().join("none"));
    let output = cli(&settings, &["serve", "--port", "0"]).await;
    let told = text(&output.stderr);
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(2), 0),
        "{told}"
    );
    assert!(
        told.contains("does not exist: nothing was stored there yet"),
        "{told}"
    );
}

/// Widths of the bars of stages, a row for each boot: those of which the time is known, by name, with the time that is
/// said.
fn bars(page: &str) -> Vec<(String, f64, f64)> {
    let mut bars = Vec::new();
    for svg in page.split("<svg class=\"stages\"").skip(1) {
        let (svg, _) = svg.split_once("</svg>").unwrap();
        let label = svg
            .split("<title>")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap();
        for rect in svg.split("<rect class=\"p-").skip(1) {
            let name = rect.split('"').next().unwrap();
            let value = |attribute: &str| {
                let value = rect.split(&format!(" {attribute}=\"")).nth(1).unwrap();
                value.split('"').next().unwrap().parse::<f64>().unwrap()
            };
            let said = label
                .split(", ")
                .find_map(|said| said.strip_prefix(name))
                .unwrap();
            let seconds = said
                .trim()
                .strip_suffix(" s")
                .and_then(|time| time.parse().ok());
            match seconds {
                Some(seconds) if value("height") > 4.0 => {
                    bars.push((name.to_owned(), seconds, value("width") + 1.0))
                }
                _ => assert_eq!((value("width"), value("height")), (5.0, 4.0), "{rect}"),
            }
        }
    }
    bars
}

#[tokio::test]
async fn stages_are_to_scale_and_what_is_not_timed_is_a_thin_mark() {
    let stamped = |kernel: &str, init: &str| {
        format!(
            "SeaBIOS (version 1.16)\n[    0.000000] Linux version 6.1.0\n[    {kernel}] Run /init as init process\n\
             [    {init}] systemd[1]: Inserted module 'autofs4'\n[    {init}] systemd[1]: systemd 252 running in system mode\n"
        )
    };
    let (fast, slow) = (
        stamped("1.000000", "2.000000"),
        stamped("8.000000", "9.000000"),
    );
    let (_folder, settings) =
        folder(&[("i-a1", fast.as_bytes(), 50), ("i-a1", slow.as_bytes(), 2)]).await;
    let served = Served::entered(&settings, &[]).await;
    let page = served.page("/i/i-a1").await;
    let bars = bars(&page);
    let kernels: Vec<_> = bars.iter().filter(|(name, ..)| name == "kernel").collect();
    assert_eq!(kernels.len(), 2, "{bars:?}: {page}");
    let of_second = |bar: &(String, f64, f64)| bar.2 / bar.1;
    for bar in &bars {
        let ratio = of_second(bar) / of_second(kernels[0]);
        assert!((0.95..1.05).contains(&ratio), "{bars:?}");
    }
}
