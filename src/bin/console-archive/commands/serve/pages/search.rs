//! What a search finds: lines, by instance and boot, with links to where they stand.

use std::time::Duration;

use ecs_console_archiver::model::ids::InstanceId;
use maud::{Markup, html};

use super::super::address::{self, SearchQuery};
use super::super::search::{Ended, Hit, InLog, MAX_LINES, MAX_OF_BOOT, Searched};
use super::{Frame, Site, made, notes, plain};
use crate::output::{count, grouped};
use crate::time;

/// Stands where what is found comes.
const FOUND: &str = "<!--found-->";
/// Boots of an instance on a page.
const BOOTS: usize = 200;

/// A page that grows.
pub struct SearchPage {
    pub site: Site,
    pub query: SearchQuery,
    /// How many instances are searched.
    pub instances: usize,
}

/// A part of it.
pub enum Part<'a> {
    Head,
    /// With how many earlier boots are left out already.
    Instance(&'a InstanceId, &'a [InLog], u64),
    End(&'a Searched, &'a Ended, Duration),
}

impl SearchPage {
    pub fn part(&self, part: Part) -> String {
        match part {
            Part::Head => self.around().0,
            Part::Instance(id, logs, left_out) => {
                instance(&self.site, id, logs, left_out).into_string()
            }
            Part::End(searched, ended, time) => {
                let end = self.end(searched, ended, time).into_string();
                end + &self.around().1
            }
        }
    }

    /// What stands before and behind what is found.
    fn around(&self) -> (String, String) {
        let page = page(
            &self.site,
            &self.query,
            html! {
                p.about { "Searched by instance, each in the order of its boots. " (count(self.instances as u64, "instance")) @if self.query.after.is_some() { " left" } "." }
                div.found { (made(FOUND.to_owned())) }
            },
        );
        let page = page.into_string();
        let (before, behind) = page.split_once(FOUND).unwrap_or((&page, ""));
        (before.to_owned(), behind.to_owned())
    }

    fn end(&self, searched: &Searched, ended: &Ended, time: Duration) -> Markup {
        let damaged: Vec<_> = searched.damaged.iter().take(20).cloned().collect();
        html! {
            section.end aria-label="What was searched" {
                @if searched.lines == 0 { p.empty { "No line of what was searched has it." } }
                p #searched role="status" {
                    (count(searched.lines as u64, "line")) " found in " (count(searched.logs, "log")) " of " (count(searched.instances as u64, "instance"))
                    " (" (count(searched.records, "record")) ", " (format!("{:.1}", time.as_secs_f64())) " s)."
                    @if searched.cut > 0 { " Of " (count(searched.cut as u64, "boot")) " only the first " (MAX_OF_BOOT) " lines are shown." }
                }
                (notes(&damaged))
                @match ended {
                    Ended::Through => {},
                    Ended::Paused { after } => p.more {
                        a.switch rel="next" href=(self.query.address(|query| query.after = after.clone())) { "Search on →" }
                        " " (grouped((self.instances - searched.instances) as u64)) " instances are left. A page has about " (MAX_LINES) " lines, and takes 10 seconds."
                    },
                    Ended::Failed(why) => p.note role="status" { "The search broke off: " (plain(why)) },
                }
            }
        }
    }
}

/// The page of a search.
pub fn page(site: &Site, query: &SearchQuery, found: Markup) -> Markup {
    let title = match query.text.is_empty() {
        true => "Search".to_owned(),
        false => format!("Search: {}", plain(&query.text)),
    };
    let mut trail = Vec::new();
    // Where it was asked from.
    let one = query.instance.as_deref();
    let one = one.and_then(|id| InstanceId::parse(id).ok());
    if let Some(id) = &one {
        trail.push((id.to_string(), address::instance(id)));
    }
    trail.push(("search".to_owned(), String::new()));
    let frame = Frame {
        title: &title,
        trail,
        instance: one.as_ref(),
        site,
    };
    frame.page(html! {
        h1 { "Search" }
        (form(query))
        (found)
    })
}

fn form(query: &SearchQuery) -> Markup {
    html! {
        form.row.query action="/search" method="get" role="search" {
            label.wide { "Lines that have " input name="q" value=(query.text) autocomplete="off" spellcheck="false" required; }
            label { input type="checkbox" name="regex" value="on" checked[query.is_regex]; " as a regular expression" }
            label { "Instance " input name="instance" placeholder="i-bp1*" value=[&query.instance] autocomplete="off"; }
            label { "Since " input name="since" placeholder="yesterday, -1h, 10:04" value=[&query.since] autocomplete="off"; }
            label { "Until " input name="until" placeholder="now" value=[&query.until] autocomplete="off"; }
            button { "Search" }
        }
    }
}

/// What is shown before anything is searched for.
pub fn empty(site: &Site, query: &SearchQuery) -> Markup {
    page(
        site,
        query,
        html! { p.about { "Logs are searched as a person reads them: captures are joined, and colours do not count. Small letters match capitals, unless there is a capital." } },
    )
}

fn instance(site: &Site, id: &InstanceId, logs: &[InLog], left_out: u64) -> Markup {
    let more = logs.len().saturating_sub(BOOTS) as u64 + left_out;
    html! {
        section.hits aria-label=(id) {
            h2 { a href=(address::instance(id)) { (id) } }
            @for log in logs.iter().rev().take(BOOTS) {
                @let path = match &log.boot_id { Some(boot) => address::boot(id, boot), None => address::instance(id) };
                p.about { @if log.boot_id.is_some() { a href=(path) { "boot" @if let Some(number) = log.number { " " (number) } } } @else { "a damaged record" } " captured " (time::shown(log.captured_at, &site.zone)) }
                div.log.wrap { @for hit in &log.hits { (line(&path, hit)) } }
            }
            @if more > 0 { p.note { (count(more, "earlier boot")) " with such lines are left out." } }
        }
    }
}

fn line(path: &str, hit: &Hit) -> Markup {
    let text = &hit.text;
    let mut at = 0;
    let mut parts = Vec::new();
    for place in &hit.matches {
        if let (Some(before), Some(found)) = (text.get(at..place.start), text.get(place.clone())) {
            parts.push((plain(before), plain(found)));
            at = place.end;
        }
    }
    let rest = plain(text.get(at..).unwrap_or_default());
    let (is_cut_before, is_cut_behind) = hit.is_cut;
    html! {
        div.l {
            a href={ (path) "#L" (hit.number) } { (hit.number) }
            @if is_cut_before { "…" }
            @for (before, found) in parts { (before) mark { (found) } }
            (rest)
            @if is_cut_behind { "…" }
        }
    }
}
