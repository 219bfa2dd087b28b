//! A boot that grows while it is looked at.

use serde_json::json;

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
