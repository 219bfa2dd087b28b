//! Each page as it is seen: in light and dark, wide and narrow, with JavaScript and without.

use serde_json::{Value, json};

use super::browser::Browser;
use super::support::*;
use super::world::{ID, WINDOWS, World};

/// Addresses of each kind of page.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("fleet", "/".to_owned()),
        ("filtered", "/?since=-30d&severity=fatal".to_owned()),
        ("empty", "/?instance=i-none*".to_owned()),
        ("instance", format!("/i/{ID}")),
        ("boot", format!("/i/{ID}/b/latest")),
        ("windows", format!("/i/{WINDOWS}")),
        ("pictured", "/i/i-bp1edge0005/b/latest".to_owned()),
        ("machine", "/i/i-bp1edge0005".to_owned()),
        ("menu", "/i/i-bp1edge0005/b/latest/screen".to_owned()),
        ("unwrapped", format!("/i/{ID}/b/latest?time=wall&wrap=off")),
        ("reboots", "/i/i-bp1db0001/b/latest?time=delta".to_owned()),
        ("diff", format!("/i/{ID}/b/latest/diff")),
        (
            "unlike",
            "/i/i-bp1db0001/b/latest/diff?with=previous&moved=on&unfold=on".to_owned(),
        ),
        ("search", "/search?q=failed".to_owned()),
        ("asked", "/search".to_owned()),
        ("wrong", "/?since=noon".to_owned()),
        ("nothing", "/i/i-none".to_owned()),
    ]
}

/// What holds of every page.
#[track_caller]
fn assert_good(seen: &Value) {
    let at = &seen["at"];
    assert!(
        seen["least"]["contrast"].as_f64().unwrap() >= 4.5,
        "{at}: {}",
        seen["least"]
    );
    assert_eq!(
        seen["scrolled"], 0,
        "{at} scrolls sideways: {}",
        seen["wide"]
    );
    assert_eq!(seen["lang"], "en", "{at}");
    assert_eq!(
        (&seen["headings"], &seen["mains"]),
        (&json!(1), &json!(1)),
        "{at}"
    );
    assert_ne!(seen["title"], "", "{at}");
    assert_eq!(seen["unnamed"], json!([]), "{at}");
}

#[tokio::test]
async fn every_page_is_legible_in_both_themes_and_fits_a_narrow_screen() {
    let world = World::start().await;
    let browser = Browser::enter(&world.served).await;
    for (name, path) in all() {
        for (is_dark, width) in [(false, 1280), (true, 1280), (false, 360), (true, 360)] {
            browser.width(width).await;
            browser.theme(is_dark).await;
            browser.open(&path).await;
            let seen = browser.seen().await;
            if let Ok(folder) = std::env::var("PICTURES") {
                let theme = if is_dark { "dark" } else { "light" };
                let file = format!("{folder}/{name}-{theme}-{width}.png");
                std::fs::write(file, browser.picture().await).unwrap();
            }
            assert_good(&seen);
            browser.assert_quiet(&seen);
        }
    }
}

#[tokio::test]
async fn all_is_read_without_javascript() {
    let world = World::start().await;
    let blocked = json!({"profile.managed_default_content_settings.javascript": 2});
    let browser = Browser::enter_with(&world.served, blocked).await;
    for (name, path) in all() {
        browser.open(&path).await;
        let seen = browser.seen().await;
        assert_good(&seen);
        // The script would have added it.
        let said = browser
            .run("return document.getElementById('said') === null")
            .await;
        assert_eq!(said, true, "{name}");
    }
    // From the fleet to a line, and to another filter, by links and by the form.
    browser.open("/").await;
    browser
        .run(&format!(
            "document.querySelector('.fleet a[href=\"/i/{ID}\"]').click()"
        ))
        .await;
    browser.until("location.pathname.startsWith('/i/')").await;
    browser
        .run("document.querySelector('.boots .why a').click()")
        .await;
    browser
        .until("location.pathname.includes('/b/') && document.querySelector('.l:target')")
        .await;
    let place = browser.place().await;
    let line = place.split_once("#L").unwrap().1;
    let shown = browser
        .run("return document.querySelector('.l:target').getBoundingClientRect().top < innerHeight")
        .await;
    assert_eq!(shown, true, "{line}");
    browser.open("/").await;
    browser
        .run("const form = document.querySelector('.filters form'); form.elements.instance.value = 'i-bp1db*'; form.querySelector('button').click()")
        .await;
    browser
        .until("location.search.includes('instance=i-bp1db')")
        .await;
    let rows = browser
        .run("return document.querySelectorAll('.fleet tbody tr').length")
        .await;
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_page_for_a_ticket_shows_its_pictures_without_a_server() {
    let world = World::start().await;
    let browser = Browser::enter(&world.served).await;
    let folder = tempfile::tempdir().unwrap();
    for (name, id, sizes) in [
        ("windows", WINDOWS, json!([[720, 400], [800, 600]])),
        ("boot", "i-bp1edge0005", json!([[720, 400]])),
    ] {
        let file = folder.path().join(format!("{name}.html"));
        let arguments = ["export", "--html", file.to_str().unwrap(), id];
        let exported = cli(&world.settings, &arguments).await;
        assert!(exported.status.success(), "{}", text(&exported.stderr));
        for (is_dark, width) in [(false, 1280), (true, 360)] {
            browser.width(width).await;
            browser.theme(is_dark).await;
            browser.open_file(&file).await;
            let shown = "return [...document.images].map(image => [image.naturalWidth, image.naturalHeight])";
            assert_eq!(browser.run(shown).await, sizes, "{name}");
            let seen = browser.seen().await;
            if let Ok(folder) = std::env::var("PICTURES") {
                let file = format!("{folder}/file-{name}-{width}.png");
                std::fs::write(file, browser.picture().await).unwrap();
            }
            assert_good(&seen);
            browser.assert_quiet(&seen);
        }
        // What it does not have in itself, it may not load.
        let loads = "const image = new Image(); image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image)";
        browser.run(loads).await;
        browser.until("violations.length === 1").await;
    }
    assert!(browser.elsewhere.lock().unwrap().is_empty());
}
