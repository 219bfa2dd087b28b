//! A boot that grows while it is looked at.

use serde_json::{Value, json};

use super::browser::Browser;
use super::support::captured::{Captured, ID};
use super::support::fixture;
use super::support::served::Served;

#[tokio::test]
async fn a_boot_that_prints_grows_on_its_page_until_the_next_one_begins() {
    let console = fixture("i-bp1cloudinit0000001");
    let mut world = Captured::with(&[&console[..9_010]]).await;
    let served = Served::start(&world.settings, &[]).await;
    let browser = Browser::enter(&served).await;
    browser.open(&format!("/i/{ID}/b/latest")).await;
    let lines = "document.querySelectorAll('#log .l[id]').length";
    let before = browser
        .run(&format!("return {lines}"))
        .await
        .as_u64()
        .unwrap();
    browser.run("window.isTheSamePage = true").await;
    world.capture(&console[..20_000]).await;
    browser.until(&format!("{lines} > {before}")).await;
    assert_eq!(browser.run("return window.isTheSamePage").await, true);
    // The same as the page from anew, also where both parts meet.
    let log = "return [...document.querySelectorAll('#log .s > *')].map(one => one.className + ' ' + one.textContent)";
    let grown = browser.run(log).await;
    world.capture(&fixture("i-bp1normalreboot0001")).await;
    browser.until("!document.getElementById('live')").await;
    let seen = browser.seen().await;
    browser.assert_quiet(&seen);
    assert_eq!(
        browser
            .run("return !!document.querySelector('a[rel=next]')")
            .await,
        true
    );
    let place = browser.place().await;
    browser.open(&place).await;
    let anew = browser.run(log).await;
    let (grown, anew) = (grown.as_array().unwrap(), anew.as_array().unwrap());
    assert_eq!(grown[..grown.len() - 1], anew[..grown.len() - 1]);
    assert_ne!(json!(grown), json!([]));
}

/// What the log of a page shows, in its order, without its sections.
const LOG: &str = "return [...document.querySelectorAll('#log > *, #log .s > *')].filter(one => !one.matches('.s')) \
    .map(one => one.className.replace(' at', '') + '|' + one.textContent)";

#[tokio::test]
async fn what_was_written_over_stays_when_a_boot_grows() {
    let mut console = b"[    0.000000] Linux version 6.1\r\n[    1.000000] one\r\n".to_vec();
    let mut ends = vec![console.len()];
    for number in 0..12 {
        let more = format!("p{number} 10%\rp{number} 55%\rp{number} 100%\r\n");
        console.extend_from_slice(more.as_bytes());
        ends.push(console.len());
        console.extend_from_slice(b"systemd[1]: Failed to start a.service - A.\r\n");
        ends.push(console.len());
    }
    let mut world = Captured::with(&[&console[..ends[3]]]).await;
    let served = Served::start(&world.settings, &[]).await;
    let browser = Browser::enter(&served).await;
    browser.open(&format!("/i/{ID}/b/latest")).await;
    let place = browser.place().await;
    browser.run("window.isTheSamePage = true").await;
    // Two that go on, and one that has lost what stood between.
    for (from, to) in [(0, ends[4]), (0, ends[7]), (ends[11], ends[15])] {
        world.capture(&console[from..to]).await;
        let whole = lines_anew(&browser, &place).await;
        browser
            .until(&format!(
                "document.querySelectorAll('#log .l[id]').length >= {whole}"
            ))
            .await;
    }
    let grown = browser.run(LOG).await;
    assert_eq!(browser.run("return window.isTheSamePage").await, true);
    browser.open(&place).await;
    let anew = browser.run(LOG).await;
    assert_eq!(grown, anew);
    let text = anew.to_string();
    assert!(text.contains("gap") && text.contains("rewrites"), "{text}");
}

/// How many lines the page has from anew. It is asked for beside the one that grows.
async fn lines_anew(browser: &Browser, place: &str) -> usize {
    let script = format!(
        "const asked = new XMLHttpRequest(); asked.open('GET', {}, false); asked.send(); return asked.responseText",
        json!(place)
    );
    let page = browser.run(&script).await;
    page.as_str().unwrap().matches("\" id=\"L").count()
}

/// An instance that is gone, as after another start of the server.
#[tokio::test]
async fn a_page_whose_boot_is_gone_says_so_and_asks_no_more() {
    let console = fixture("i-bp1cloudinit0000001");
    let world = Captured::with(&[&console[..9_010]]).await;
    let served = Served::start(&world.settings, &[]).await;
    let browser = Browser::enter(&served).await;
    browser.open(&format!("/i/{ID}/b/latest")).await;
    std::fs::remove_dir_all(world.folder.path().join("archive").join(ID)).unwrap();
    browser
        .until("document.getElementById('live').textContent.includes('not known any more')")
        .await;
    assert_ne!(browser.run(LOG).await, Value::Array(Vec::new()));
}
