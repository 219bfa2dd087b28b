//! A boot: its whole log, line by line, with what is lost, and what went wrong where it says so.

use std::fmt::Write as _;

use ecs_console_archiver::reading::clock::{GuestClock, LineTimes};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding};
use ecs_console_archiver::reading::log::{Log, Part, Place};
use ecs_console_archiver::reading::phase::Phase;
use ecs_console_archiver::reading::stitch::{Boot, MarkKind, Piece};
use ecs_console_archiver::terminal::{Attribute, Line, Style};
use maud::{Escaper, Markup, html};

use super::super::super::show::printer::{Clock, TimeForm};
use super::super::super::show::screen::Screen;
use super::super::address::{self, FleetQuery, View};
use super::super::state::{Facts, Instance};
use super::marks::Mark;
use super::{Frame, Site, made, notes, plain, screenshots, severity};
use crate::boots::{Summary, mark_in_words};
use crate::finding;
use crate::output::{count, grouped};
use crate::time;

/// Lines that are laid out together, and only when they are near the screen.
const SECTION: usize = 200;
/// Lines on a page. A longer log has several.
const MAX_LINES: usize = 200_000;
/// States of a line that are listed. Guests write them by the thousand.
const MAX_REWRITES: usize = 200;
/// Stands in a page where its log comes. No text of others has it, for that is escaped.
const LOG: &str = "<!--log-->";

/// A boot, and how it is shown.
pub struct BootPage<'a> {
    site: &'a Site,
    instance: &'a Instance,
    index: usize,
    boot: &'a Boot,
    facts: &'a Facts,
    summary: Summary<'a>,
    view: View,
    /// Whether it may still print.
    is_live: bool,
}

/// What goes on from line to line.
struct Lines<'a> {
    times: LineTimes<'a>,
    clock: Clock,
    /// Captures that have not begun yet.
    pieces: &'a [Piece],
    findings: &'a [Finding<'static>],
    /// The section that is being written, and how many lines it has.
    html: String,
    lines: usize,
}

impl<'a> BootPage<'a> {
    pub fn new(site: &'a Site, instance: &'a Instance, index: usize, view: View) -> Self {
        Self {
            site,
            instance,
            index,
            boot: &instance.boots[index],
            facts: &instance.facts[index],
            summary: Summary::new(&instance.boots, index),
            view,
            is_live: false,
        }
    }

    /// The same of a boot that may still print.
    pub fn live(self, is_live: bool) -> Self {
        Self { is_live, ..self }
    }

    fn path(&self) -> String {
        address::boot(&self.instance.id, &self.boot.id)
    }

    /// Writes the page, part by part, until it is not taken.
    pub fn write(&self, take: &mut impl FnMut(String) -> bool) {
        let title = format!(
            "{} boot {}: {}",
            self.instance.id,
            self.summary.number,
            self.summary.ending_in_words()
        );
        let frame = Frame {
            title: &title,
            trail: vec![
                (
                    self.instance.id.to_string(),
                    address::instance(&self.instance.id),
                ),
                (format!("boot {}", self.summary.number), String::new()),
            ],
            instance: Some(&self.instance.id),
            site: self.site,
        };
        let page = frame.page(self.body()).into_string();
        // There is one place for the log.
        let (before, behind) = page.split_once(LOG).unwrap_or((&page, ""));
        if take(before.to_owned()) && self.write_log(take) {
            take(behind.to_owned());
        }
    }

    fn body(&self) -> Markup {
        let Summary { boot, number, .. } = &self.summary;
        let wrong_clock = match self.summary.clock {
            GuestClock::Wrong { said } if self.view.time == TimeForm::Wall => Some(format!(
                "The guest's clock is wrong, it said {}; times are those of captures (≤).",
                time::shown(said, &self.site.zone)
            )),
            _ => None,
        };
        let left_out: Vec<_> = self
            .instance
            .left_out
            .iter()
            .map(|why| format!("left out: {why}"))
            .collect();
        html! {
            h1 { "boot " (number) " of " (self.instance.id) }
            div #about {
                (self.facts_list())
                (notes(&left_out))
                @if let Some(wrong) = wrong_clock { p.note { (wrong) } }
                (self.findings_list())
            }
            (screenshots::of_boot(self.site, self.instance, self.index))
            @if !self.site.is_file { (self.tools()) }
            @if boot.log.is_empty() { p.empty { "This boot has printed nothing." } }
            div #log class={ "log" @if self.view.is_wrapped { " wrap" } } data-path=(self.path()) { (made(LOG.to_owned())) }
            @if self.is_live { p #live { "This boot may still print. " a href={ (self.view.address(&self.path(), |_| {})) "#live" } { "Look for more" } } }
            @if !self.site.is_file { (self.tools()) }
        }
    }

    fn facts_list(&self) -> Markup {
        let Summary { boot, .. } = &self.summary;
        let (gaps, unsure) = (self.summary.gaps(), self.summary.unsure());
        html! {
            dl.facts {
                div { dt { "Ended" } dd { (Mark::Ended(self.summary.ending).shape()) " " (self.summary.ending_in_words()) } }
                div { dt { "Began" } dd { (self.summary.started_in_words(&self.site.zone)) } }
                @if let Some(login) = self.summary.login { div { dt { "To login" } dd { "≥ " (format!("{:.1}", login.micros as f64 / 1e6)) " s" } } }
                div { dt { "Log" } dd { (count(boot.log.len() as u64, "byte")) } }
                @if gaps + unsure > 0 { div { dt { "Lost or unsure" } dd { (count(gaps as u64, "gap")) ", " (unsure) " unsure" } } }
                div { dt { "Boot ID" } dd.id { (boot.id) } }
            }
            details.captures {
                summary { (count(boot.captures.len() as u64, "capture")) }
                ul { @for capture in &boot.captures {
                    li { (time::shown(capture.captured_at, &self.site.zone)) " " a href=[self.raw(&capture.name)] { (capture.name) } @if self.instance.unstored.contains(&capture.name) { " (from ECS, not stored)" } @else if !self.site.is_file { " (download)" } }
                } }
            }
        }
    }

    /// A record, as a file. What ECS shows alone is none.
    fn raw(&self, name: &str) -> Option<String> {
        if self.instance.unstored.contains(name) {
            return None;
        }
        let record = address::record(&self.instance.id, name);
        self.site.link(format!("{record}/raw"))
    }

    fn findings_list(&self) -> Markup {
        let all = &self.facts.findings;
        if all.is_empty() {
            return html! {};
        }
        // They are in the order of their lines.
        let mut worst: Vec<_> = all.iter().collect();
        findings::worst_first(&mut worst);
        html! {
            section.findings aria-label="What went wrong" {
                h2 { "What went wrong" }
                ul { @for finding in worst {
                    li { (severity(finding.severity)) " " a href=(self.line_address(finding.line)) { "line " (grouped(finding.line as u64)) } ": " (finding::in_words(finding)) }
                } }
            }
        }
    }

    /// The address of a line, which may be on another page of the log.
    fn line_address(&self, line: usize) -> String {
        let from = (line.saturating_sub(1) / MAX_LINES) * MAX_LINES + 1;
        match self.site.is_file || from == self.first() {
            true => format!("#L{line}"),
            false => format!(
                "{}#L{line}",
                self.view.address(&self.path(), |view| view.from = from)
            ),
        }
    }

    /// The first line of this page.
    fn first(&self) -> usize {
        (self.view.from - 1) / MAX_LINES * MAX_LINES + 1
    }

    fn tools(&self) -> Markup {
        let path = self.path();
        let forms = [
            (TimeForm::Raw, "as printed"),
            (TimeForm::Boot, "since boot"),
            (TimeForm::Wall, "of day"),
            (TimeForm::Delta, "delta"),
        ];
        let boots = &self.instance.boots;
        let other = |index: Option<usize>| index.and_then(|index| boots.get(index));
        let (before, behind) = (
            other(self.index.checked_sub(1)),
            other(Some(self.index + 1)),
        );
        let stages = self.facts.stages.iter();
        html! {
            nav.tools aria-label="How it is shown" {
                span.row { span.what { "Times" }
                    @for (form, name) in forms {
                        a.switch.time href=(self.view.address(&path, |view| view.time = form)) aria-current=[(self.view.time == form).then_some("true")] { (name) }
                    }
                }
                span.row {
                    a.switch.wrap href=(self.view.address(&path, |view| view.is_wrapped = !view.is_wrapped)) aria-current=[self.view.is_wrapped.then_some("true")] { "wrap" }
                    a.switch href={ (path) "/screen" } { "screen at the end" }
                    a.switch href={ (path) "/log" } { "download" }
                    @if self.instance.boots.len() > 1 { a.switch.compare href={ (path) "/diff" } { "what changed" } }
                }
                @if self.facts.stages.len() > 1 {
                    span.row { span.what { "Go to" }
                        @for stage in stages { a.switch href=(self.line_address(stage.line)) { (stage.phase.as_str()) } }
                    }
                }
                span.row {
                    @if let Some(boot) = before { a.switch rel="prev" href=(self.view.address(&address::boot(&self.instance.id, &boot.id), reset)) { "← boot before" } }
                    @if let Some(boot) = behind { a.switch rel="next" href=(self.view.address(&address::boot(&self.instance.id, &boot.id), reset)) { "next boot →" } }
                }
            }
        }
    }

    /// Whether all of it was taken.
    fn write_log(&self, take: &mut impl FnMut(String) -> bool) -> bool {
        let log = Log::new(self.boot, EncodingChoice::Auto);
        let (mut parts, mut line) = (log.parts(), Line::default());
        let mut lines = Lines {
            times: LineTimes::new(self.boot, self.summary.clock),
            clock: Clock::new(self.view.time, self.summary.clock),
            pieces: self.boot.pieces.get(1..).unwrap_or_default(),
            findings: &self.facts.findings,
            html: String::new(),
            lines: 0,
        };
        let (first, mut number) = (self.first(), 0);
        let shown_from = first.max(self.view.after.saturating_add(1));
        let mut stages = self.facts.stages.iter().peekable();
        if first > 1
            && shown_from == first
            && !take(self.link_to_part(first - MAX_LINES, "earlier"))
        {
            return false;
        }
        while let Some(part) = parts.read(&mut line) {
            match part {
                Part::Mark(mark) if number + 1 >= shown_from => {
                    let class = match mark.kind {
                        MarkKind::Gap { .. } | MarkKind::EndUnknown => "gap",
                        MarkKind::Unsure { .. } | MarkKind::Repeats { .. } => "gap unsure",
                    };
                    lines.push(
                        html! { div class=(class) role="separator" { (mark_in_words(&mark)) } },
                    );
                }
                Part::Mark(_) => {}
                Part::Line(place) => {
                    number = place.number;
                    if number >= first.saturating_add(MAX_LINES) && !self.site.is_file {
                        lines.end_section();
                        let rest = self.link_to_part(number, "later");
                        return take(lines.html) && take(rest);
                    }
                    let stage = stages.next_if(|stage| stage.line == number);
                    self.line(
                        &mut lines,
                        &mut line,
                        &place,
                        stage.map(|stage| stage.phase),
                        number >= shown_from,
                    );
                }
            }
            if lines.lines >= SECTION {
                lines.end_section();
                if !take(std::mem::take(&mut lines.html)) {
                    return false;
                }
            }
        }
        lines.end_section();
        take(lines.html)
    }

    fn link_to_part(&self, from: usize, which: &str) -> String {
        let address = self.view.address(&self.path(), |view| view.from = from);
        html! { p.part { a href=(address) { "The " (which) " lines, from " (grouped(from as u64)) " on" } } }.into_string()
    }

    fn line(
        &self,
        lines: &mut Lines,
        line: &mut Line,
        place: &Place,
        begins: Option<Phase>,
        is_shown: bool,
    ) {
        let stamp = place.stamp.map(|stamp| stamp.stamp);
        let time = lines.times.of(stamp, &place.bytes);
        let column = lines.clock.column(place, time, &self.site.zone);
        // Captures that begin in this line, or in what belongs to no line before it.
        let began = lines
            .pieces
            .partition_point(|piece| piece.range.start < place.bytes.end);
        let (joins, rest) = lines.pieces.split_at(began);
        lines.pieces = rest;
        let found = lines
            .findings
            .partition_point(|finding| finding.line <= place.number);
        let (found, rest) = lines.findings.split_at(found);
        lines.findings = rest;
        if !is_shown {
            return;
        }
        lines.begin_line();
        for join in joins {
            lines.push(self.join(join));
        }
        if let Some(phase) = begins {
            lines.push(html! { div class={ "stage p-" (phase.as_str()) } role="separator" { (phase.as_str()) } });
        }
        for finding in found.iter().filter(|finding| finding.line == place.number) {
            lines.push(self.finding(finding));
        }
        if let Some(stamp) = place.stamp.filter(|_| lines.clock.replaces_stamps()) {
            line.remove_front(stamp.length);
        }
        let worst = findings::worst(found).map(|finding| finding.severity);
        let is_marked = self
            .view
            .marked
            .is_some_and(|(first, last)| (first..=last).contains(&place.number));
        lines.push_line(
            line,
            place.number,
            &column,
            worst.map(|worst| worst.as_str()),
            is_marked,
        );
    }

    fn join(&self, piece: &Piece) -> Markup {
        let number = piece.capture + 1;
        let capture = &self.boot.captures[piece.capture];
        html! {
            details.join {
                summary { "capture " (number) ", " (time::shown(capture.captured_at, &self.site.zone)) }
                p {
                    "From here on the log is from the " @if self.instance.unstored.contains(&capture.name) { "console that ECS shows " } @else { "record " } a href=[self.raw(&capture.name)] { (capture.name) }
                    ", from its byte " (grouped(piece.offset as u64)) " on: " (count(piece.range.len() as u64, "byte")) "."
                }
            }
        }
    }

    fn finding(&self, finding: &Finding) -> Markup {
        let signature = finding.signature();
        let elsewhere = FleetQuery {
            since: Some("-30d".to_owned()),
            signature: Some(signature.clone()),
            ..FleetQuery::default()
        };
        html! {
            aside class={ "finding " (finding.severity.as_str()) } aria-label="What the next line means" {
                (severity(finding.severity)) " " strong { (finding.rule.title) }
                p { (finding.rule.advice()) }
                p.about { code { (plain(&signature)) } @if let Some(elsewhere) = self.site.link(elsewhere.address(|_| {})) { " " a href=(elsewhere) { "where else it was seen" } } }
            }
        }
    }
}

/// The same view of another boot begins at its beginning.
fn reset(view: &mut View) {
    (view.from, view.marked) = (1, None);
}

impl Lines<'_> {
    fn begin_line(&mut self) {
        if self.lines == 0 {
            self.html.push_str("<div class=\"s\">");
        }
    }

    fn end_section(&mut self) {
        if self.lines > 0 {
            self.html.push_str("</div>\n");
        }
        self.lines = 0;
    }

    fn push(&mut self, markup: Markup) {
        self.html.push_str(&markup.into_string());
    }

    fn push_line(
        &mut self,
        line: &Line,
        number: usize,
        column: &str,
        found: Option<&str>,
        is_marked: bool,
    ) {
        let html = &mut self.html;
        let mut progress = 0;
        for rewrite in line.rewrites() {
            if rewrite.is_progress {
                progress += 1;
                continue;
            }
            html.push_str("<div class=\"l rw\">⟲ ");
            escape(rewrite.text, html);
            html.push_str("</div>");
        }
        html.push_str("<div class=\"l");
        if let Some(severity) = found {
            let _ = write!(html, " found {severity}");
        }
        if is_marked {
            html.push_str(" marked");
        }
        // Writing to a string does not fail.
        let _ = write!(
            html,
            "\" id=\"L{number}\"><a href=\"#L{number}\">{number}</a>"
        );
        if !column.is_empty() {
            html.push_str("<span class=\"t\">");
            escape(column, html);
            html.push_str("</span>");
        }
        for span in line.spans() {
            let classes = classes(span.style);
            if classes.is_empty() {
                escape(span.text, html);
                continue;
            }
            let _ = write!(html, "<span class=\"{classes}\">");
            escape(span.text, html);
            html.push_str("</span>");
        }
        html.push_str("</div>");
        if progress > 0 {
            push_progress(line, progress, html);
        }
        self.lines += 1;
    }
}

fn push_progress(line: &Line, progress: usize, html: &mut String) {
    let states = line.rewrites().filter(|rewrite| rewrite.is_progress);
    let more = progress.saturating_sub(MAX_REWRITES);
    let listed = html! {
        details.rws {
            summary { "⟲ " (count(progress as u64, "rewrite")) }
            @for state in states.take(MAX_REWRITES) { div { (state.text) } }
            @if more > 0 { div { "… " (grouped(more as u64)) " more" } }
        }
    };
    html.push_str(&listed.into_string());
}

fn escape(text: &str, html: &mut String) {
    let _ = Escaper::new(html).write_str(text);
}

/// The classes of a style, as style.css has them.
fn classes(style: Style) -> String {
    if style == Style::default() {
        return String::new();
    }
    let mut classes = String::new();
    let mut add = |class: &str| {
        if !classes.is_empty() {
            classes.push(' ');
        }
        classes.push_str(class);
    };
    let attributes = [
        (Attribute::Bold, "bo"),
        (Attribute::Faint, "fa"),
        (Attribute::Italic, "it"),
        (Attribute::Underline, "un"),
        (Attribute::Inverse, "inv"),
        (Attribute::Strike, "st"),
    ];
    let colours = style.legible_colours();
    for (attribute, class) in attributes {
        // A colour that is made fainter would not be legible.
        if style.has(attribute) && (attribute != Attribute::Faint || colours == (None, None)) {
            add(class);
        }
    }
    match colours {
        // What is below decides on the text's colour, so that it is legible.
        (_, Some(below)) => add(&format!("b{below}")),
        (Some(on), None) => add(&format!("f{on}")),
        (None, None) => {}
    }
    classes
}

/// What a terminal shows at the end of a boot.
pub fn screen(site: &Site, instance: &Instance, index: usize, screen: &Screen) -> Markup {
    let summary = Summary::new(&instance.boots, index);
    let path = address::boot(&instance.id, &summary.boot.id);
    let name = format!("boot {}", summary.number);
    let title = format!("{} {name}: screen", instance.id);
    let frame = Frame {
        title: &title,
        trail: vec![
            (instance.id.to_string(), address::instance(&instance.id)),
            (name, path.clone()),
            ("screen".to_owned(), String::new()),
        ],
        instance: Some(&instance.id),
        site,
    };
    let warning: Vec<_> = screen.warning.iter().cloned().collect();
    frame.page(html! {
        h1 { "The screen at the end of boot " (summary.number) " of " (instance.id) }
        p.about { "What a terminal of 200 columns and 50 rows shows when the boot's log has been printed: for menus of boot loaders and set-ups. " a href=(path) { "The whole log" } }
        (notes(&warning))
        @if screen.rows.is_empty() { p.empty { "The screen is empty." } }
        @else { pre.screen tabindex="0" { @for row in &screen.rows { (row) "\n" } } }
    })
}
