//! An instance: its boots, how each ended, and how long their stages took.

use ecs_console_archiver::archive::reader::{MarkerEntry, ScreenshotEntry};
use ecs_console_archiver::reading::findings;
use ecs_console_archiver::reading::phase::Phase;
use ecs_console_archiver::reading::start::kernel_release;
use jiff::Timestamp;
use maud::{Markup, html};

use super::super::address;
use super::super::state::{Facts, Instance};
use super::marks::Mark;
use super::{Frame, Site, notes, plain, screenshots, severity};
use crate::boots::Summary;
use crate::output::{count, grouped};
use crate::time;

/// Boots on the page. Earlier ones are counted.
const BOOTS: usize = 500;
/// Boots in a chart.
const CHARTED: usize = 60;
/// Width and height of a bar of stages, and of a chart.
const BAR: (f64, f64) = (260.0, 14.0);
const CHART: (f64, f64) = (420.0, 70.0);
/// Of a chart of few boots.
const WIDEST: f64 = 28.0;
/// A stage that takes so many times as long as usual, and so many seconds more, is slow.
const SLOW: (f64, f64) = (1.5, 1.0);

/// The time that a stage of a boot takes on this instance, as a median: of those that have stamps.
struct Usual(Vec<(Phase, f64)>);

enum Row<'a> {
    Boot(usize, Box<Summary<'a>>),
    Marker(&'a MarkerEntry),
    Screenshot(&'a ScreenshotEntry),
}

impl Row<'_> {
    fn time(&self) -> Timestamp {
        match self {
            Self::Boot(_, of) => of.boot.captures[0].captured_at,
            Self::Marker(marker) => marker.stored_at,
            Self::Screenshot(screenshot) => screenshot.taken_at(),
        }
    }
}

pub fn page(site: &Site, instance: &Instance) -> Markup {
    let title = instance.id.to_string();
    let frame = Frame {
        title: &title,
        trail: vec![(title.clone(), String::new())],
        instance: Some(&instance.id),
        site,
    };
    let boots = instance.boots.len();
    let from = boots.saturating_sub(BOOTS);
    let summaries = (from..boots).map(|index| (index, Summary::new(&instance.boots, index)));
    let mut rows: Vec<_> = summaries
        .map(|(index, summary)| Row::Boot(index, Box::new(summary)))
        .chain(instance.markers.iter().map(Row::Marker))
        .chain(instance.screenshots.iter().map(Row::Screenshot))
        .collect();
    // The newest first. Of those that came in one second, the sort keeps the order.
    rows.reverse();
    rows.sort_by_key(|row| std::cmp::Reverse(row.time()));
    let usual = Usual::of(&instance.facts);
    let longest = instance.facts[from..]
        .iter()
        .filter_map(whole)
        .fold(0.0, f64::max);
    let left_out: Vec<_> = instance
        .left_out
        .iter()
        .map(|why| format!("left out: {why}"))
        .collect();
    let (markers, screenshots) = (instance.markers.len(), instance.screenshots.len());
    frame.page(html! {
        h1 { (title) }
        p.about {
            @if boots > 0 { (count(boots as u64, "boot")) } @else { "no console" }
            @if markers > 0 { ", " (count(markers as u64, "capture")) " without a console" }
            @if screenshots > 0 { ", " (count(screenshots as u64, "screenshot")) }
        }
        @if let Some(why) = instance.why_none { p.note { "There is no console: " (why.message()) "." } }
        (notes(&left_out))
        @if from > 0 { p.note { "Only the last " (BOOTS) " boots are shown; " code { "console-archive boots " (title) } " lists all." } }
        @if boots > 0 {
            (charts(instance, from.max(boots.saturating_sub(CHARTED))))
            (legend(&usual))
            (table(&["Boot", "Ended", "What went wrong", "Began", "Stages, and how long each took", "To login", "Captures", "Lost or unsure"], html! {
                @for row in &rows { @match row {
                    Row::Boot(index, of) => { (boot(site, instance, *index, of, &usual, longest)) }
                    Row::Marker(marker) => {
                        tr.marker {
                            td { "–" }
                            td.nowrap { (Mark::NoConsole.with_words()) }
                            td { (marker.key.reason.message()) }
                            td.nowrap { (time::shown(marker.key.time, &site.zone)) }
                            td colspan="4" {}
                        }
                    }
                    Row::Screenshot(screenshot) => {
                        tr.marker {
                            td { "–" }
                            td.nowrap { (Mark::Screenshot.with_words()) }
                            td { (screenshots::picture(site, screenshot)) }
                            td.nowrap { (time::shown(screenshot.taken_at(), &site.zone)) }
                            td colspan="4" {}
                        }
                    }
                } }
            }))
        } @else {
            (screenshots::of_instance(site, instance))
            @if markers > 0 {
                h2 { "Captures without a console" }
                (table(&["Captured", "Why there is no console"], html! {
                    @for marker in instance.markers.iter().rev() {
                        tr { td.nowrap { (time::shown(marker.key.time, &site.zone)) } td { (marker.key.reason.message()) } }
                    }
                }))
            }
        }
    })
}

fn table(names: &[&str], rows: Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(names[0]) {
            table.boots {
                thead { tr { @for name in names { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

fn boot(
    site: &Site,
    instance: &Instance,
    index: usize,
    of: &Summary,
    usual: &Usual,
    longest: f64,
) -> Markup {
    let facts = &instance.facts[index];
    let kernel = kernel_release(&of.boot.log).map(plain);
    html! {
        tr {
            td {
                a href=(address::boot(&instance.id, &of.boot.id)) { "boot " (of.number) }
                div.about.id { (of.boot.id) }
                @if instance.boots.len() > 1 { a.about href={ (address::boot(&instance.id, &of.boot.id)) "/diff" } { "what changed" } }
            }
            td { (Mark::Ended(of.ending).shape()) " " (of.ending_in_words()) }
            td.why {
                @if let Some(worst) = findings::worst(&facts.findings) {
                    (severity(worst.severity)) " "
                    a href={ (address::boot(&instance.id, &of.boot.id)) "#L" (worst.line) } { (worst.rule.title) }
                    @if facts.findings.len() > 1 { span.about { ", " (facts.findings.len() - 1) " more" } }
                }
            }
            td.nowrap { (of.started_in_words(&site.zone)) @if let Some(kernel) = kernel { div.about { (kernel) } } }
            td { (stages(facts, usual, longest)) }
            td.nowrap.number { @if let Some(login) = of.login { "≥ " (seconds(login.micros as f64 / 1e6)) } @else { "–" } }
            td.number { (of.boot.captures.len()) }
            td.number {
                @match (of.gaps(), of.unsure()) {
                    (0, 0) => { "–" }
                    (gaps, unsure) => { @if gaps > 0 { (count(gaps as u64, "gap")) } @if gaps > 0 && unsure > 0 { ", " } @if unsure > 0 { (unsure) " unsure" } }
                }
            }
        }
    }
}

/// A time in the unit that says most.
fn seconds(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        ..600.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

/// How long all stages of a boot took that have stamps, but not how long it ran.
fn whole(facts: &Facts) -> Option<f64> {
    let times = facts.stages.iter().filter_map(bounded);
    let whole: f64 = times.map(|(_, time)| time).sum();
    (whole > 0.0).then_some(whole)
}

/// A stage's time. The system's programs run until the shutdown: only how long they took to the next stage is not of the
/// start, so what they take is left out here, and TO LOGIN says it.
fn bounded(stage: &ecs_console_archiver::reading::stages::Stage) -> Option<(Phase, f64)> {
    let is_start = matches!(stage.phase, Phase::Kernel | Phase::Initrd);
    let time = stage.duration()?.as_secs_f64();
    is_start.then_some((stage.phase, time))
}

impl Usual {
    fn of(facts: &[Facts]) -> Self {
        let of = |phase| {
            let stages = facts
                .iter()
                .flat_map(|facts| facts.stages.iter().filter_map(bounded));
            let mut times: Vec<f64> = stages
                .filter(|(of, _)| *of == phase)
                .map(|(_, time)| time)
                .collect();
            times.sort_by(f64::total_cmp);
            Some((phase, *times.get(times.len() / 2)?))
        };
        Self(Phase::ALL.into_iter().filter_map(of).collect())
    }

    fn get(&self, phase: Phase) -> Option<f64> {
        self.0
            .iter()
            .find(|(of, _)| *of == phase)
            .map(|(_, time)| *time)
    }

    fn is_slow(&self, phase: Phase, time: f64) -> bool {
        let (times, more) = SLOW;
        self.get(phase)
            .is_some_and(|usual| time > usual * times && time > usual + more)
    }
}

fn legend(usual: &Usual) -> Markup {
    html! {
        p.legend { "Stages, to scale; a thin mark is one whose time is not known: "
            @for phase in Phase::ALL {
                span class={ "key p-" (phase.as_str()) } { (phase.as_str()) @if let Some(time) = usual.get(phase) { " (usually " (seconds(time)) ")" } }
                " "
            }
        }
    }
}

/// The stages of a boot: what each took, and a bar. Times are to scale, over all boots of the page. A stage whose time is
/// not known is a thin mark of one width.
fn stages(facts: &Facts, usual: &Usual, longest: f64) -> Markup {
    const UNKNOWN: f64 = 6.0;
    let (width, height) = BAR;
    // Room for a mark of each stage is left, also where the longest boot has none.
    let scale = |time: f64| time / longest * (width - UNKNOWN * Phase::ALL.len() as f64);
    let mut at = 0.0;
    let bars: Vec<_> = facts
        .stages
        .iter()
        .map(|stage| {
            let time = bounded(stage).map(|(_, time)| time);
            let wide = time.map_or(UNKNOWN, scale);
            let from = at;
            at += wide;
            (stage.phase, from, wide, time)
        })
        .collect();
    let said =
        facts.stages.iter().map(
            |stage| match stage.duration().map(|time| time.as_secs_f64()) {
                Some(time) => format!("{} {}", stage.phase.as_str(), seconds(time)),
                None => stage.phase.as_str().to_owned(),
            },
        );
    let label = said.collect::<Vec<_>>().join(", ");
    html! {
        svg.stages viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-label=(label) {
            title { (label) }
            @for (phase, from, wide, time) in &bars {
                @let (top, tall) = if time.is_some() { (0.0, height) } else { (height / 2.0 - 2.0, 4.0) };
                rect class={ "p-" (phase.as_str()) } x=(format!("{from:.1}")) y=(top) width=(format!("{:.1}", (wide - 1.0).max(0.5))) height=(tall) {}
            }
        }
        div.about {
            @for (phase, _, _, time) in &bars {
                @if let Some(time) = time {
                    @let is_slow = usual.is_slow(*phase, *time);
                    span class=[is_slow.then_some("slow")] { (phase.as_str()) " " (seconds(*time)) @if is_slow { " ▲ slow" } }
                    " "
                }
            }
            @if let Some(up) = facts.cloud_init { span { "cloud-init after " (seconds(up.micros as f64 / 1e6)) } }
        }
    }
}

/// Trends over the boots, the oldest first.
fn charts(instance: &Instance, from: usize) -> Markup {
    let boots: Vec<_> = (from..instance.boots.len()).collect();
    if boots.len() < 3 {
        return html! {};
    }
    let number = |index: &usize| Summary::new(&instance.boots, *index);
    let login = |index: &usize| Some(number(index).login?.micros as f64 / 1e6);
    let kernel = |index: &usize| {
        let mut stages = instance.facts[*index].stages.iter().filter_map(bounded);
        Some(stages.find(|(phase, _)| *phase == Phase::Kernel)?.1)
    };
    let bytes = |index: &usize| Some(instance.boots[*index].log.len() as f64);
    html! {
        div.charts {
            (chart(("Time to login", "the longest took at least"), &boots, &login, &seconds))
            (chart(("The kernel's time", "at most"), &boots, &kernel, &seconds))
            (chart(("Bytes printed", "at most"), &boots, &bytes, &|bytes| grouped(bytes as u64)))
        }
    }
}

fn chart(
    (title, of_most): (&str, &str),
    boots: &[usize],
    value: &impl Fn(&usize) -> Option<f64>,
    shown: &impl Fn(f64) -> String,
) -> Markup {
    let (width, height) = CHART;
    let values: Vec<_> = boots.iter().map(value).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return html! {};
    }
    let step = (width / values.len() as f64).min(WIDEST);
    html! {
        figure {
            figcaption { (title) ": " (of_most) " " (shown(most)) }
            svg viewBox={ "0 0 " (width) " " (height) } role="img" aria-label={ (title) ", boot by boot" } {
                @for (index, value) in values.iter().enumerate() {
                    @if let Some(value) = value {
                        @let tall = (value / most * (height - 4.0)).max(1.0);
                        rect.bar x=(format!("{:.1}", index as f64 * step)) y=(format!("{:.1}", height - tall)) width=(format!("{:.1}", (step - 1.5).max(1.0))) height=(format!("{tall:.1}")) {
                            title { "boot " (index as isize + 1 - values.len() as isize) ": " (shown(*value)) }
                        }
                    }
                }
                line x1="0" x2=(width) y1=(height) y2=(height) {}
            }
        }
    }
}
