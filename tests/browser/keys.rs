//! Pages by the keyboard alone.

use serde_json::Value;

use super::browser::Browser;
use super::pages;
use super::world::{ID, World};

/// What can have the focus; numbers of lines are links too, and there are as many as lines.
const FOCUSABLE: &str = "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex=\"0\"]')]
    .filter(element => element.checkVisibility() && !element.matches('.l > a'))";

#[tokio::test]
async fn everything_is_reached_by_tab_and_seen_when_it_is() {
    let world = World::start().await;
    let browser = Browser::enter(&world.served).await;
    for (name, path) in pages::all() {
        browser.open(&path).await;
        let count = browser
            .run(&format!(
                "window.reached = new Set(); window.unseen = [];
                addEventListener('focusin', event => {{
                    reached.add(event.target);
                    const style = getComputedStyle(event.target);
                    if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 1) unseen.push(event.target.outerHTML.slice(0, 120));
                }});
                // The numbers of lines are as many as the lines, and have keys of their own.
                for (const link of document.querySelectorAll('.l > a')) link.tabIndex = -1;
                return {FOCUSABLE}.length"
            ))
            .await
            .as_u64()
            .unwrap();
        browser.press(&"\u{E004}".repeat(count as usize + 3)).await;
        let missed = browser
            .run(&format!("return {FOCUSABLE}.filter(one => !reached.has(one)).map(one => one.outerHTML.slice(0, 120))"))
            .await;
        assert_eq!(missed, Value::Array(Vec::new()), "{name}: of {count}");
        let unseen = browser.run("return unseen").await;
        assert_eq!(unseen, Value::Array(Vec::new()), "{name}");
    }
}

#[tokio::test]
async fn keys_lead_from_the_fleet_to_a_finding_and_back() {
    let world = World::start().await;
    let browser = Browser::enter(&world.served).await;
    browser.open("/").await;
    // To the first row, and into its instance.
    browser.press("j").await;
    let instance = browser
        .run("return document.querySelector('tr.at a').getAttribute('href')")
        .await;
    browser.press("\u{E007}").await;
    browser
        .until(&format!("location.pathname === {instance}"))
        .await;
    browser.press("u").await;
    browser.until("location.pathname === '/'").await;

    // A boot with findings, and others around it.
    browser.open("/i/i-bp1db0001").await;
    let found = "return document.querySelector('.boots .why:has(.about) a').getAttribute('href').split('#')[0]";
    let boot = browser.run(found).await.as_str().unwrap().to_owned();
    browser.open(&boot).await;
    let at = "return (document.querySelector('.at') || {}).id";
    let here = async || {
        browser
            .run(at)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    browser.press("g").await;
    assert_eq!(here().await, "L1");
    browser.press("jj").await;
    assert_eq!(here().await, "L3");
    browser.press("k").await;
    assert_eq!(here().await, "L2");
    browser.press("e").await;
    let first = here().await;
    assert_eq!(
        browser
            .run("return document.querySelector('.at').matches('.found')")
            .await,
        true
    );
    browser.press("e").await;
    let second = here().await;
    assert_ne!(first, second);
    browser.press("E").await;
    assert_eq!(here().await, first);
    browser.press("G").await;
    let last = browser
        .run("const lines = document.querySelectorAll('.l[id]'); return lines[lines.length - 1].id")
        .await;
    assert_eq!(here().await, last);
    browser.press("g}").await;
    assert_ne!(here().await, "L1", "the next stage");
    browser.press("{").await;
    // The time forms one after the other, with the marked line kept.
    browser.press("t").await;
    browser.until("location.search.includes('time=boot')").await;
    browser.press("w").await;
    browser.until("location.search.includes('wrap=off')").await;
    // To a boot beside it, and back.
    let has_next = browser
        .run("return !!document.querySelector('a[rel=next]')")
        .await
        == true;
    let (there, back) = if has_next { ("]", "[") } else { ("[", "]") };
    browser.press(there).await;
    browser
        .until(&format!("location.pathname !== '{boot}'"))
        .await;
    browser.press(back).await;
    browser
        .until(&format!("location.pathname === '{boot}'"))
        .await;
    browser.press("?").await;
    browser.until("document.getElementById('keys').open").await;
    browser.press("\u{E00C}").await;
    browser.until("!document.getElementById('keys').open").await;
    browser.press("u").await;
    browser
        .until("location.pathname === '/i/i-bp1db0001'")
        .await;
    browser.press("/").await;
    browser.until("document.activeElement.name === 'q'").await;
    browser.press("Linux version\u{E007}").await;
    browser.until("document.querySelector('.hits mark')").await;
    browser.press("j").await;
    browser.press("\u{E007}").await;
    browser
        .until("document.querySelector('#log .l.marked')")
        .await;
    browser.press("d").await;
    browser.until("location.pathname.endsWith('/diff')").await;
    browser.press("j").await;
    browser.until("document.querySelector('.hunk.at')").await;
}

#[tokio::test]
async fn a_link_to_lines_marks_them_and_stands_at_the_top() {
    let world = World::start().await;
    let browser = Browser::enter(&world.served).await;
    browser.open(&format!("/i/{ID}/b/latest")).await;
    let boot = browser.place().await;
    browser.open(&format!("{boot}#L120-L124")).await;
    browser
        .until("document.querySelectorAll('.l.marked').length === 5")
        .await;
    browser
        .until("Math.abs(document.getElementById('L120').getBoundingClientRect().top) < 40")
        .await;
    // Without a script the same lines are marked by the server.
    browser.open(&format!("{boot}?lines=120-124")).await;
    browser
        .until("document.querySelectorAll('.l.marked').length === 5")
        .await;
}
