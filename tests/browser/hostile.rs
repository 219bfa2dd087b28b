//! A console that is not well meant, on every page that shows it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::browser::Browser;
use super::support::served::{Served, folder, hostile_console};
use super::support::{Settings, cli, text};

const BAD: &str = "i-bad1";

/// What the page of a well-meant console has, or may have.
const ELEMENTS: &str = "html head meta title link script body a header nav ol ul li span main h1 h2 p div section dl dt dd \
    details summary aside strong code svg path circle rect line table thead tbody tr th td form label input button dialog \
    kbd pre figure figcaption ins del mark select option";

fn set(value: &Value) -> BTreeSet<String> {
    let names = value.as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// A browser before an archive with a console that is well meant, and one that is not.
async fn enter() -> (tempfile::TempDir, Settings, Served, Browser) {
    let (folder, settings) = folder(&[
        (
            BAD,
            b"[    0.000000] Linux version 6.1.0-good\nhost login: \n",
            30,
        ),
        (BAD, &hostile_console(), 2),
    ])
    .await;
    let served = Served::start(&settings, &[]).await;
    let browser = Browser::enter(&served).await;
    (folder, settings, served, browser)
}

async fn assert_harmless(browser: &Browser, path: &str) {
    browser.open(path).await;
    // Whatever a script of the console would do, it would have done by then.
    browser.until("document.readyState === 'complete'").await;
    let seen = browser.seen().await;
    browser.assert_quiet(&seen);
    let known: BTreeSet<String> = ELEMENTS.split_whitespace().map(str::to_owned).collect();
    let elements = set(&seen["elements"]);
    let foreign: Vec<_> = elements.difference(&known).collect();
    assert!(foreign.is_empty(), "{path}: {foreign:?}");
    for attribute in set(&seen["attributes"]) {
        let is_known = !attribute.starts_with("on")
            && !["srcdoc", "style", "srcset", "formaction", "xlink:href"]
                .contains(&attribute.as_str());
        assert!(is_known, "{path}: {attribute}");
    }
    let script = "return [[...document.scripts].map(one => one.getAttribute('src')), [...document.querySelectorAll('[href], [src], [action]')]
        .map(one => new URL(one.href || one.src || one.action, location).origin).filter(origin => origin !== location.origin)]";
    assert_eq!(
        browser.run(script).await,
        json!([["/script.js"], []]),
        "{path}"
    );
    assert!(
        seen["title"]
            .as_str()
            .unwrap()
            .starts_with(|c: char| c.is_ascii_alphanumeric()),
        "{}",
        seen["title"]
    );
}

#[tokio::test]
async fn a_hostile_console_is_only_text_with_the_policy_and_without() {
    let (_folder, _, _served, browser) = enter().await;
    for is_off in [false, true] {
        browser
            .tell("Page.setBypassCSP", json!({"enabled": is_off}))
            .await;
        browser.open("/").await;
        let blocked = "try { const made = document.createElement('div'); made.innerHTML = '<b>x</b>'; return made.children.length } catch { return 'refused' }";
        assert_eq!(
            browser.run(blocked).await,
            if is_off { json!(1) } else { json!("refused") }
        );
        browser.run("window.violations.length = 0").await;
        for path in [
            "/".to_owned(),
            "/?signature=%3Cscript%3Ealert(1)%3C/script%3E&instance=*%22onx".to_owned(),
            format!("/i/{BAD}"),
            format!("/i/{BAD}/b/latest"),
            format!("/i/{BAD}/b/latest?wrap=off&time=wall"),
            format!("/i/{BAD}/b/latest/screen"),
            format!("/i/{BAD}/b/latest/diff?unfold=on"),
            format!("/search?q=%3C&instance={BAD}"),
            "/search?q=%3Cscript%3Ealert(1)%3C/script%3E%22onx".to_owned(),
        ] {
            assert_harmless(&browser, &path).await;
        }
        let width = browser
            .run("return document.documentElement.scrollWidth <= innerWidth")
            .await;
        assert_eq!(width, true, "a line of a megabyte stays in its log");
    }
    // What it wrote is there, as text.
    browser.open(&format!("/i/{BAD}/b/latest")).await;
    let text = "return document.getElementById('log').textContent.includes('<script>alert(document.domain)</script>')";
    assert_eq!(browser.run(text).await, true);
}

#[tokio::test]
async fn a_page_for_a_ticket_runs_nothing_and_is_legible() {
    let (folder, settings, _served, browser) = enter().await;
    for (name, options) in [
        ("boot.html", &[BAD][..]),
        ("diff.html", &[BAD, "--diff"]),
        ("report.html", &[]),
    ] {
        let file = folder.path().join(name);
        let file_name = file.to_str().unwrap();
        let exported = cli(
            &settings,
            &[&["export", "--html", file_name], options].concat(),
        )
        .await;
        assert!(exported.status.success(), "{}", text(&exported.stderr));
        for (is_dark, width) in [(false, 1280), (true, 360)] {
            browser.theme(is_dark).await;
            browser.width(width).await;
            browser.open_file(&file).await;
            let seen = browser.seen().await;
            browser.assert_quiet(&seen);
            let known: BTreeSet<String> = ELEMENTS.split_whitespace().map(str::to_owned).collect();
            let elements = set(&seen["elements"]);
            let foreign: Vec<_> = elements
                .difference(&known)
                .filter(|name| !["style", "br", "text"].contains(&name.as_str()))
                .collect();
            assert!(foreign.is_empty(), "{options:?}: {foreign:?}");
            assert!(!elements.contains("script") && !elements.contains("link"));
            assert_eq!(seen["scrolled"], 0, "{options:?}: {}", seen["wide"]);
            let least = seen["least"]["contrast"].as_f64().unwrap();
            assert!(least >= 4.5, "{options:?}: {}", seen["least"]);
        }
    }
}
