//! What screens showed: pictures that lead to whole ones, or, in a file, the pictures themselves.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::archive::reader::ScreenshotEntry;
use maud::{Markup, html};

use super::super::address;
use super::super::state::Instance;
use super::{Picture, Site, plain};
use crate::boots::Summary;
use crate::output::count;
use crate::time;

/// Pictures of a boot on its page. Earlier ones are counted.
const OF_BOOT: usize = 12;
/// Of an instance without a console.
const OF_INSTANCE: usize = 60;
/// Of each of two boots that are compared.
const OF_PAIR: usize = 3;

/// The pictures that the page of a boot shows.
pub fn shown_of_boot(instance: &Instance, index: usize) -> Vec<&ScreenshotEntry> {
    newest(instance.screenshots_of(index), OF_BOOT)
}

/// The pictures that the page of two boots shows.
pub fn shown_of_boots(instance: &Instance, pair: [usize; 2]) -> Vec<&ScreenshotEntry> {
    let shown = pair.map(|index| newest(instance.screenshots_of(index), OF_PAIR));
    shown.concat()
}

/// The pictures that the page of an instance shows that has no console.
pub fn shown_of_instance(instance: &Instance) -> Vec<&ScreenshotEntry> {
    let mut all: Vec<_> = instance.screenshots.iter().collect();
    all.sort_by_key(|screenshot| screenshot.taken_at());
    newest(all, OF_INSTANCE)
}

fn newest(mut all: Vec<&ScreenshotEntry>, most: usize) -> Vec<&ScreenshotEntry> {
    all.split_off(all.len().saturating_sub(most))
}

/// What the screen showed while a boot was the newest.
pub fn of_boot(site: &Site, instance: &Instance, index: usize) -> Markup {
    let (of, shown) = (
        instance.screenshots_of(index).len(),
        shown_of_boot(instance, index),
    );
    alone(site, instance, of, shown)
}

/// What the screen of a machine showed that has no console, the newest first.
pub fn of_instance(site: &Site, instance: &Instance) -> Markup {
    let mut shown = shown_of_instance(instance);
    shown.reverse();
    alone(site, instance, instance.screenshots.len(), shown)
}

/// So many, of which these are shown.
fn alone(site: &Site, instance: &Instance, of: usize, shown: Vec<&ScreenshotEntry>) -> Markup {
    let earlier = of - shown.len();
    let told = html! {
        @if earlier > 0 {
            p.note { (count(earlier as u64, "earlier screenshot")) " left out: " code { "console-archive list " (instance.id) } " lists all." }
        }
    };
    let figures = shown.into_iter().map(|one| (String::new(), one));
    section(site, figures.collect(), &told)
}

/// What it showed during each of two boots.
pub fn of_boots(site: &Site, instance: &Instance, pair: [usize; 2]) -> Markup {
    let of = |index: usize| {
        let number = Summary::new(&instance.boots, index).number;
        let all = newest(instance.screenshots_of(index), OF_PAIR).into_iter();
        all.map(move |one| (format!("boot {number}, "), one))
    };
    section(site, pair.into_iter().flat_map(of).collect(), &html! {})
}

fn section(site: &Site, figures: Vec<(String, &ScreenshotEntry)>, told: &Markup) -> Markup {
    html! {
        @if !figures.is_empty() {
            section.screenshots aria-label="Screenshots" {
                h2 { "What the screen showed" }
                (told)
                div { @for (of, screenshot) in figures {
                    figure {
                        (picture(site, screenshot))
                        figcaption { (of) (time::shown(screenshot.taken_at(), &site.zone)) }
                    }
                } }
            }
        }
    }
}

/// A screenshot: small, and it leads to the whole one. In a file it is whole.
pub fn picture(site: &Site, screenshot: &ScreenshotEntry) -> Markup {
    let (id, name) = (&screenshot.key.instance_id, screenshot.key.name());
    let taken_at = time::shown(screenshot.taken_at(), &site.zone);
    let told = format!("the screen of {id} at {taken_at}");
    if !site.is_file {
        let address = address::screenshot(&screenshot.key);
        return html! {
            a.screenshot href=(address) title=(told) { img src=(address) alt=(told) loading="lazy"; }
        };
    }
    match site.pictures.get(&screenshot.key) {
        Some(Picture::Whole(bytes)) => {
            let media_type = screenshot.key.format.media_type();
            let address = format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes));
            html! { div.screenshot.whole { img src=(address) alt=(told); } }
        }
        Some(Picture::Damaged(why)) => html! { p.note { (plain(why)) } },
        None => html! {
            p.note { "Not in this file: " code { "console-archive get " (id) " --screenshot --at " (name) " -o FILE" } }
        },
    }
}
