//! The fleet: a row for each instance, a column for each day, a mark for each console.

use ecs_console_archiver::reading::findings::Severity;
use jiff::civil::Date;
use maud::{Markup, html};

use super::super::super::report::facts::Known;
use super::super::address::{self, FleetQuery};
use super::super::fleet::{Fleet, OfInstance, Seen, What};
use super::marks::Mark;
use super::{Frame, Site, notes, plain, severity};
use crate::output::grouped;
use crate::time;

/// Instances on a page.
const INSTANCES: usize = 200;
/// Columns. Earlier days are left out.
const DAYS: usize = 31;
/// Marks in a cell. Earlier ones are counted.
const MARKS: usize = 12;
/// Signatures that are listed.
const SIGNATURES: usize = 50;

pub fn page(site: &Site, query: &FleetQuery, fleet: &Fleet) -> Markup {
    let frame = Frame {
        title: "Fleet",
        trail: Vec::new(),
        instance: None,
        site,
    };
    let shown = |at| time::shown(at, &site.zone);
    let days: Vec<Date> = fleet.days.iter().rev().take(DAYS).rev().copied().collect();
    let pages = fleet.instances.len().div_ceil(INSTANCES).max(1);
    let from = (query.page.min(pages) - 1) * INSTANCES;
    let instances = fleet.instances.iter().skip(from).take(INSTANCES);
    frame.page(html! {
        h1 { "Fleet" }
        p.about { (shown(fleet.since)) " to " (shown(fleet.until)) }
        (notes(&fleet.notes))
        (filters(query, fleet))
        (numbers(fleet))
        @if fleet.instances.is_empty() {
            p.empty { "Nothing was captured that this asks for. " a href="/?since=-30d" { "The last 30 days" } }
        } @else {
            @if fleet.days.len() > DAYS { p.note { "Only the last " (DAYS) " days are shown." } }
            div.scroll tabindex="0" role="region" aria-label="Instances, day by day" {
                table.fleet {
                    thead { tr {
                        th scope="col" { "Instance" }
                        @for day in &days { th.day scope="col" { span.wd { (day.strftime("%a")) } " " (day.strftime("%m-%d")) } }
                        th scope="col" { "Last" }
                        th scope="col" { "What went wrong" }
                    } }
                    tbody { @for one in instances { (row(one, &days, site)) } }
                }
            }
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @for page in 1..=pages {
                        @if page == query.page { span aria-current="page" { (page) } }
                        @else { a href=(query.address(|query| query.page = page)) { (page) } }
                        " "
                    }
                }
            }
        }
        (signatures(query, fleet, site))
    })
}

fn numbers(fleet: &Fleet) -> Markup {
    let facts = &fleet.facts;
    let new = facts.signatures.iter().filter(|one| one.is_new).count();
    let bad = fleet
        .instances
        .iter()
        .filter(|one| one.needs_a_person())
        .count();
    let numbers = [
        (bad as u64, "instances that ended badly"),
        (new as u64, "new signatures"),
        (facts.stuck.len() as u64, "not at the login prompt"),
        (facts.captured as u64, "instances"),
        (facts.records, "consoles"),
        (facts.without_console, "without a console"),
    ];
    html! { dl.numbers { @for (number, what) in numbers {
        div class=[(number == 0).then_some("zero")] { dt { (what) } dd { (grouped(number)) } }
    } } }
}

/// A link that switches a filter on, or off if it is.
fn switch(is_on: bool, address: String, text: Markup) -> Markup {
    html! { a.switch href=(address) aria-current=[is_on.then_some("true")] { (text) } }
}

fn filters(query: &FleetQuery, fleet: &Fleet) -> Markup {
    let periods = [("-24h", "24 hours"), ("-7d", "7 days"), ("-30d", "30 days")];
    let is_period =
        |since: &str| query.until.is_none() && query.since.as_deref().unwrap_or("-7d") == since;
    html! {
        section.filters aria-label="Filters" {
            div.row { span.what { "Time" }
                @for (since, name) in periods {
                    (switch(is_period(since), query.address(|query| { query.since = Some(since.to_owned()); query.until = None; }), html! { (name) }))
                }
            }
            @if !fleet.endings.is_empty() {
                div.row { span.what { "Ended" }
                    @for (ending, count) in &fleet.endings {
                        @let is_on = query.ending == Some(*ending);
                        (switch(is_on, query.address(|query| query.ending = (!is_on).then_some(*ending)),
                            html! { (Mark::Ended(*ending).with_words()) " " span.count { (grouped(*count as u64)) } }))
                    }
                }
            }
            div.row { span.what { "Findings" }
                @for least in [Severity::Fatal, Severity::Error, Severity::Warning] {
                    @let is_on = query.severity == Some(least);
                    (switch(is_on, query.address(|query| query.severity = (!is_on).then_some(least)),
                        html! { (severity(least)) @if least != Severity::Fatal { " or worse" } }))
                }
            }
            @if fleet.regions.len() > 1 || query.region.is_some() {
                div.row { span.what { "Region" }
                    @for region in &fleet.regions {
                        @let is_on = query.region.as_ref() == Some(region);
                        (switch(is_on, query.address(|query| query.region = (!is_on).then(|| region.clone())), html! { (region) }))
                    }
                }
            }
            @if let Some(signature) = &query.signature {
                div.row { span.what { "Signature" }
                    (switch(true, query.address(|query| query.signature = None), html! { (plain(signature)) " ✕" }))
                }
            }
            form.row action="/" method="get" {
                label { "Instance " input name="instance" placeholder="i-bp1*" value=[&query.instance] autocomplete="off"; }
                label { "Since " input name="since" placeholder="yesterday, -1h, 10:04" value=[&query.since] autocomplete="off"; }
                label { "Until " input name="until" placeholder="now" value=[&query.until] autocomplete="off"; }
                @if let Some(region) = &query.region { input type="hidden" name="region" value=(region); }
                @if let Some(ending) = query.ending { input type="hidden" name="ending" value=(ending); }
                @if let Some(least) = query.severity { input type="hidden" name="severity" value=(least.as_str()); }
                @if let Some(signature) = &query.signature { input type="hidden" name="signature" value=(signature); }
                button { "Show" }
                " " a href="/" { "Reset" }
            }
        }
    }
}

fn row(one: &OfInstance, days: &[Date], site: &Site) -> Markup {
    html! {
        tr class=[one.needs_a_person().then_some("bad")] {
            th scope="row" {
                a href=(address::instance(&one.id)) { (one.id) }
                div.about { (one.region.as_ref().map(ToString::to_string).unwrap_or_default()) }
            }
            @for day in days {
                td.day { @if let Some(seen) = one.days.get(day) { (cell(one, seen, site)) } }
            }
            td.nowrap { (if one.has_console { Mark::of(one.last_ending) } else { Mark::NoConsole }.with_words()) div.about { (time::shown(one.last, &site.zone)) } }
            td.why { @if let Some(worst) = &one.worst { (severity(worst.severity)) " " (plain(&worst.title)) } }
        }
    }
}

fn cell(one: &OfInstance, seen: &[Seen], site: &Site) -> Markup {
    let more = seen.len().saturating_sub(MARKS);
    html! {
        @if more > 0 { a.more href=(address::instance(&one.id)) title="earlier on this day" { "+" (more) } " " }
        @for one_seen in &seen[more..] { (mark(one, one_seen, site)) }
    }
}

fn mark(one: &OfInstance, seen: &Seen, site: &Site) -> Markup {
    let at = time::shown(seen.at, &site.zone);
    let mark = match seen.what {
        What::None(_) => Mark::NoConsole,
        What::Screenshot => Mark::Screenshot,
        _ => Mark::of(seen.ending()),
    };
    let found = seen
        .severity
        .map(|severity| format!(", {}", severity.as_str()));
    let cause = match seen.cause.is_empty() {
        true => String::new(),
        false => format!(", {}", plain(&seen.cause)),
    };
    let said = match &seen.what {
        What::Console { .. } => mark.words().to_owned(),
        What::None(reason) => reason.message().to_owned(),
        What::Screenshot => mark.words().to_owned(),
        What::Pruned { .. } => format!("{}, pruned", mark.words()),
    };
    let label = format!("{at}: {said}{}{cause}", found.unwrap_or_default());
    let class = match seen.severity {
        Some(Severity::Fatal | Severity::Error) => "dot found",
        _ => "dot",
    };
    html! {
        @match &seen.what {
            What::Console { record, .. } => {
                a class=(class) href=(address::record(&one.id, record)) title=(label) aria-label=(label) { (mark.shape()) }
            }
            What::Screenshot => {
                a.dot href=(address::instance(&one.id)) title=(label) aria-label=(label) { (mark.shape()) }
            }
            What::None(_) => { span.dot role="img" title=(label) aria-label=(label) { (mark.shape()) } }
            What::Pruned { .. } => { span.dot.pruned role="img" title=(label) aria-label=(label) { (mark.shape()) } }
        }
    }
}

fn signatures(query: &FleetQuery, fleet: &Fleet, site: &Site) -> Markup {
    let all = &fleet.facts.signatures;
    let row = |one: &Known| {
        let finding = &one.of.finding;
        let address = query.address(|query| query.signature = Some(finding.signature.clone()));
        html! {
            tr {
                td.nowrap { (severity(finding.severity)) }
                td { @if one.is_new { span.new { "new" } } }
                td {
                    a href=(address) { (plain(&finding.signature)) }
                    div { (plain(&finding.title)) }
                    @if let Some(advice) = one.advice() { div.about { (advice) } }
                }
                td.number { (grouped(one.of.instances.len() as u64)) }
                td.nowrap { (time::shown(one.of.first, &site.zone)) }
                td.nowrap { (time::shown(one.of.last, &site.zone)) }
                td { a href=(address::instance(&one.of.example)) { (one.of.example) } }
            }
        }
    };
    html! {
        h2 #signatures { "What went wrong" }
        @if all.is_empty() { p.empty { "No console says that anything went wrong." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="What went wrong, by signature" {
                table {
                    thead { tr { @for name in ["Severity", "New", "Signature", "Instances", "First", "Last", "Example"] { th scope="col" { (name) } } } }
                    tbody { @for one in all.iter().take(SIGNATURES) { (row(one)) } }
                }
            }
            @if all.len() > SIGNATURES {
                p.note { (grouped((all.len() - SIGNATURES) as u64)) " more are left out; " code { "console-archive findings" } " lists all." }
            }
        }
    }
}
