//! A report as one page of HTML: no script, nothing that is loaded, and nothing of a guest that is not escaped.

use std::collections::BTreeMap;
use std::time::Duration;

use ecs_console_archiver::printable;
use ecs_console_archiver::reading::findings::Severity;
use ecs_console_archiver::reading::phase::Phase;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::boots::{NONE_TIMED, NotReached, OfBoots, Slow, Took};
use super::facts::{Facts, Known, OfDay, Stuck};
use super::{boots_in_words, seconds};
use crate::boots::ending_in_words;
use crate::time;

/// The page may load nothing, and runs no script.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const STYLE: &str = include_str!("page.css");
/// Width and height of a chart, without its labels.
const CHART: (f64, f64) = (640.0, 120.0);

/// What a report is about.
pub struct Heading {
    /// The archive.
    pub archive_url: String,
    /// From when until when.
    pub period: String,
    /// When it was made.
    pub made_at: String,
}

/// The page.
pub fn page(heading: &Heading, facts: &Facts, notes: &[String], zone: &TimeZone) -> String {
    let title = format!("Consoles of {}", heading.archive_url);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.about { (heading.period) ", as of " (heading.made_at) }
                @for note in notes { p.note { (note) } }
                (numbers(facts))
                h2 { "Day by day" }
                @if facts.days.is_empty() { p { "Nothing was captured." } } @else { (charts(&facts.days)) }
                h2 #findings { "What went wrong" }
                @if facts.signatures.is_empty() { p { "No console says that anything went wrong." } }
                @else { (signatures(&facts.signatures, zone)) }
                @if let Some(of) = &facts.boots { (boots(of, zone)) }
                h2 #stuck { "Not at the login prompt" }
                @if facts.stuck.is_empty() { p { "Each instance came to its login prompt, as far as its newest console says." } }
                @else { (stuck(&facts.stuck, zone)) }
            }
        }
    }
    .into_string()
}

/// Text of a guest or of a store, on one line.
fn plain(text: &str) -> String {
    printable::one_line(text).into_owned()
}

fn numbers(facts: &Facts) -> Markup {
    let new = facts.signatures.iter().filter(|one| one.is_new).count();
    let fatal = |one: &&Known| one.of.finding.severity == Severity::Fatal;
    let fatal = facts.signatures.iter().filter(fatal).count();
    let numbers = [
        (facts.captured as u64, "instances"),
        (facts.records, "consoles stored"),
        (facts.without_console, "without a console"),
        (fatal as u64, "fatal signatures"),
        (new as u64, "new signatures"),
        (facts.stuck.len() as u64, "not at the login prompt"),
    ];
    html! {
        dl.numbers {
            @for (number, what) in numbers { div { dt { (what) } dd { (crate::output::grouped(number)) } } }
        }
    }
}

/// A part of a bar: what it counts, and the class that has its colour.
struct Part {
    what: &'static str,
    class: &'static str,
    count: u64,
}

fn charts(days: &BTreeMap<Date, OfDay>) -> Markup {
    let logins = |day: &OfDay| {
        vec![
            Part {
                what: "reached the login prompt",
                class: "good",
                count: day.reached_login,
            },
            Part {
                what: "did not reach it",
                class: "fatal",
                count: day.not_reached,
            },
        ]
    };
    let severities = |day: &OfDay| {
        let of = |severity| *day.by_severity.get(&severity).unwrap_or(&0) as u64;
        vec![
            Part {
                what: "fatal",
                class: "fatal",
                count: of(Severity::Fatal),
            },
            Part {
                what: "error",
                class: "error",
                count: of(Severity::Error),
            },
            Part {
                what: "warning",
                class: "warning",
                count: of(Severity::Warning),
            },
        ]
    };
    html! {
        (chart("Consoles, by whether their last boot came to its login prompt", days, logins))
        (chart("Instances, by the worst that their consoles say", days, severities))
        details {
            summary { "The same in numbers" }
            table {
                @let names = ["Day", "Consoles", "Instances", "Consoles at login", "Consoles not at login",
                    "Instances with fatal", "Instances with error", "Instances with warning"];
                tr { @for name in names { th { (name) } } }
                @for (date, day) in days {
                    @let counts = [day.records, day.instances as u64, day.reached_login, day.not_reached];
                    @let counts = counts.into_iter().chain(severities(day).into_iter().map(|part| part.count));
                    tr {
                        td data-name=(names[0]) { (date) }
                        @for (name, number) in names[1..].iter().zip(counts) {
                            td.number data-name=(name) { (number) }
                        }
                    }
                }
            }
        }
    }
}

/// Bars, one for each day, of parts one upon the other.
fn chart(title: &str, days: &BTreeMap<Date, OfDay>, parts: impl Fn(&OfDay) -> Vec<Part>) -> Markup {
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return html! {};
    };
    let count = |day: &OfDay| parts(day).iter().map(|part| part.count).sum::<u64>();
    let most = days.values().map(count).max().unwrap_or(0).max(1);
    let day_after = |date: Date| date.tomorrow().unwrap_or(date);
    let mut dates = vec![*first];
    while let Some(&date) = dates.last().filter(|date| *date < last) {
        dates.push(day_after(date));
    }
    let (width, height) = CHART;
    let step = width / dates.len() as f64;
    let bars = dates.iter().enumerate().map(|(index, date)| {
        let none = OfDay::default();
        let day = days.get(date).unwrap_or(&none);
        let mut top = height;
        let rects: Vec<Markup> = parts(day)
            .into_iter()
            .filter(|part| part.count > 0)
            .map(|part| {
                let tall = height * part.count as f64 / most as f64;
                top -= tall;
                html! {
                    rect class=(part.class) x=(format!("{:.2}", index as f64 * step + step * 0.1))
                        y=(format!("{top:.2}")) width=(format!("{:.2}", step * 0.8)) height=(format!("{tall:.2}")) {
                        title { (date) ": " (part.count) " " (part.what) }
                    }
                }
            })
            .collect();
        html! { @for rect in rects { (rect) } }
    });
    let legend = parts(&OfDay::default());
    html! {
        figure {
            figcaption {
                (title)
                @for part in legend { span class={ "key " (part.class) } { (part.what) } }
            }
            svg viewBox=(format!("0 -14 {width} {}", height + 34.0)) role="img" aria-label=(title) {
                line x1="0" y1="0" x2=(width) y2="0" {}
                text x="0" y="-4" { (most) }
                line x1="0" y1=(height) x2=(width) y2=(height) {}
                @for bar in bars { (bar) }
                text x="0" y=(height + 16.0) { (first) }
                @if first != last { text.end x=(width) y=(height + 16.0) { (last) } }
            }
        }
    }
}

fn signatures(all: &[Known], zone: &TimeZone) -> Markup {
    html! {
        table {
            @let names = ["Severity", "What happened", "Instances", "First", "Last", "For example"];
            tr { @for name in names { th { (name) } } }
            @for one in all {
                @let severity = one.of.finding.severity.as_str();
                tr {
                    td data-name=(names[0]) { span class={ "key " (severity) } { (severity) } @if one.is_new { " " span.new { "new" } } }
                    td data-name=(names[1]) {
                        (plain(&one.of.finding.title)) br;
                        code { (plain(&one.of.finding.signature)) }
                        @if let Some(advice) = one.advice() { p.advice { (advice) } }
                    }
                    td.number data-name=(names[2]) { (one.of.instances.len()) }
                    td data-name=(names[3]) { (time::shown(one.of.first, zone)) }
                    td data-name=(names[4]) { (time::shown(one.of.last, zone)) }
                    td data-name=(names[5]) { code { "console-archive findings " (one.of.example) " --all" } }
                }
            }
        }
    }
}

fn stuck(all: &[Stuck], zone: &TimeZone) -> Markup {
    html! {
        table {
            @let names = ["Instance", "Region", "Newest console", "Ended", "Kernel", "Why"];
            tr { @for name in names { th { (name) } } }
            @for one in all {
                tr {
                    td data-name=(names[0]) { code { (one.instance_id) } }
                    td data-name=(names[1]) { (one.region_id.as_ref().map(ToString::to_string).unwrap_or_default()) }
                    td data-name=(names[2]) { (time::shown(one.captured_at, zone)) }
                    td data-name=(names[3]) { (one.ending.map(ending_in_words).unwrap_or_default()) }
                    td data-name=(names[4]) { (plain(one.kernel.as_deref().unwrap_or_default())) }
                    td data-name=(names[5]) { @if let Some(worst) = &one.worst { (plain(&worst.title)) } }
                }
            }
        }
    }
}

fn boots(of: &OfBoots, zone: &TimeZone) -> Markup {
    html! {
        h2 #boots { "Boots that never reached their login prompt" }
        p { (boots_in_words(of)) "." }
        @if !of.not_reached.is_empty() { (not_reached(&of.not_reached, zone)) }
        h2 #slowest { "Slowest boots, by stage" }
        @if of.slowest.is_empty() { p { (NONE_TIMED) } } @else {
            (bars(&of.slowest))
            (slowest(of))
        }
    }
}

fn not_reached(all: &[NotReached], zone: &TimeZone) -> Markup {
    html! {
        table {
            @let names = ["Instance", "Boot", "Captured", "Ended", "Reached", "Why"];
            tr { @for name in names { th { (name) } } }
            @for one in all {
                tr {
                    td data-name=(names[0]) { code { (one.instance_id) } }
                    td data-name=(names[1]) { code { (one.boot_id) } }
                    td data-name=(names[2]) { (time::shown(one.captured_at, zone)) }
                    td data-name=(names[3]) { (ending_in_words(one.ending)) }
                    td data-name=(names[4]) { (one.phase.map(Phase::as_str).unwrap_or_default()) }
                    td data-name=(names[5]) {
                        @if let Some((severity, _, title)) = &one.worst {
                            span class={ "key " (severity.as_str()) } { (title) }
                        }
                    }
                }
            }
        }
    }
}

/// The parts of a boot that follow each other, and the class that has the colour of each.
fn stages_of(took: &Took) -> [(&'static str, Option<Duration>); 3] {
    [
        ("kernel", took.kernel),
        ("initrd", took.initrd),
        ("services", took.services),
    ]
}

/// A bar for each boot, of its stages one behind the other.
fn bars(all: &[Slow]) -> Markup {
    const BAR: f64 = 12.0;
    const STEP: f64 = 36.0;
    let (width, _) = CHART;
    let length = |took: &Took| -> f64 {
        let stages = stages_of(took).into_iter().filter_map(|(_, length)| length);
        stages.map(|length| length.as_secs_f64()).sum()
    };
    let longest = all.iter().map(|one| length(&one.took)).fold(0.0, f64::max);
    let scale = width / longest.max(f64::MIN_POSITIVE);
    let title = "Seconds until the login prompt";
    let bar = |index: usize, one: &Slow| {
        let top = index as f64 * STEP;
        let mut left = 0.0;
        let rects: Vec<Markup> = stages_of(&one.took)
            .into_iter()
            .filter_map(|(stage, length)| {
                let wide = length?.as_secs_f64() * scale;
                let at = left;
                left += wide;
                Some(html! {
                    rect class=(stage) x=(format!("{at:.2}")) y=(format!("{:.2}", top + 16.0))
                        width=(format!("{wide:.2}")) height=(BAR) {
                        title { (stage) ": " (seconds(length)) " s" }
                    }
                })
            })
            .collect();
        html! {
            text x="0" y=(format!("{:.2}", top + 11.0)) { (one.instance_id) "  " (seconds(one.took.login)) " s" }
            @for rect in rects { (rect) }
        }
    };
    let tall = all.len() as f64 * STEP;
    html! {
        figure {
            figcaption {
                (title)
                @for (stage, _) in stages_of(&Took::default()) { span class={ "key " (stage) } { (stage) } }
            }
            svg viewBox=(format!("0 0 {width} {tall}")) role="img" aria-label=(title) {
                @for (index, one) in all.iter().enumerate() { (bar(index, one)) }
            }
        }
    }
}

fn slowest(of: &OfBoots) -> Markup {
    let names = [
        "Instance",
        "Boot",
        "Kernel",
        "Initrd",
        "Services",
        "Login at",
        "cloud-init at",
    ];
    let lengths = |took: &Took| {
        html! {
            @for (name, (_, length)) in names[2..].iter().zip(took.parts()) {
                td.number data-name=(name) { (seconds(length)) }
            }
        }
    };
    html! {
        p.about { "Seconds. The kernel's clock counts from its start: firmware and boot loaders say no times." }
        table {
            tr { @for name in names { th { (name) } } }
            @for one in &of.slowest {
                tr {
                    td data-name=(names[0]) { code { (one.instance_id) } }
                    td data-name=(names[1]) { code { (one.boot_id) } }
                    (lengths(&one.took))
                }
            }
            tr { td data-name=(names[0]) { "median" } td {} (lengths(&of.median)) }
        }
    }
}
