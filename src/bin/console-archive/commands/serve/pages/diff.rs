//! Two boots side by side: what changed, folded as `diff` folds it.

use std::ops::Range;

use ecs_console_archiver::reading::compare::{Comparison, Counts, LineOf};
use ecs_console_archiver::reading::masks::Masks;
use maud::{Markup, html};

use super::super::super::diff::printer::{Form, Printer};
use super::super::super::diff::rows::{Item, Layout, Row, Sign, hunks, lines};
use super::super::super::diff::{self, Log};
use super::super::address::{self, DiffQuery};
use super::super::state::Instance;
use super::marks::Mark;
use super::{Frame, Site, notes, plain, screenshots, severity};
use crate::boots::Summary;
use crate::finding;
use crate::output::grouped;

/// Equal lines around each change.
const CONTEXT: usize = 3;
/// Rows on a page.
const ROWS: usize = 20_000;
/// Boots that can be chosen.
const CHOICES: usize = 200;

/// Two boots of an instance, and what changed from one to the other.
pub struct Pair<'a> {
    pub instance: &'a Instance,
    pub a: usize,
    pub b: usize,
    pub logs: (&'a Log, &'a Log),
    pub compared: &'a Comparison,
    pub is_coarse: bool,
}

/// What stands on a line of the page.
enum Cells<'r> {
    Equal(usize, usize),
    Changed(Option<&'r Row>, Option<&'r Row>),
}

pub fn page(site: &Site, pair: &Pair, query: &DiffQuery) -> Markup {
    let number = |index| Summary::new(&pair.instance.boots, index).number;
    let name = format!("boot {} against {}", number(pair.b), number(pair.a));
    let title = format!("{} {name}", pair.instance.id);
    let boot = pair.path(pair.b);
    let frame = Frame {
        title: &title,
        trail: vec![
            (
                pair.instance.id.to_string(),
                address::instance(&pair.instance.id),
            ),
            (format!("boot {}", number(pair.b)), boot.clone()),
            (format!("against boot {}", number(pair.a)), String::new()),
        ],
        instance: Some(&pair.instance.id),
        site,
    };
    frame.page(html! {
        h1 { "What changed in boot " (number(pair.b)) " of " (pair.instance.id) }
        (pair.sides(site))
        (screenshots::of_boots(site, pair.instance, [pair.a, pair.b]))
        @if !site.is_file { (choices(site, pair, query)) }
        (body(site, pair, query))
    })
}

fn body(site: &Site, pair: &Pair, query: &DiffQuery) -> Markup {
    let form = Form {
        context: CONTEXT,
        is_moved_shown: query.is_moved_shown,
        is_unfolded: query.is_unfolded,
        is_counted_only: false,
        colours: true,
    };
    let printer = Printer {
        a: pair.logs.0,
        b: pair.logs.1,
        compared: pair.compared,
        is_later: pair.a > pair.b,
        is_coarse: pair.is_coarse,
        form: &form,
    };
    let findings: Vec<_> = printer.findings().collect();
    html! {
        (notes(&printer.notes()))
        @if !findings.is_empty() {
            section.findings aria-label="What went wrong in one of them alone" {
                h2 { "What went wrong in one of them alone" }
                ul { @for (change, finding) in &findings {
                    @let of = if *change == "new" { pair.b } else { pair.a };
                    li { span class={ "change " (change) } { (change) } " " (severity(finding.severity)) " "
                        a href=[pair.line(site, of, finding.line)] { "line " (grouped(finding.line as u64)) } ": " (finding::in_words(finding)) }
                } }
            }
        }
        (counts(pair.compared))
        (changes(site, pair, &form))
    }
}

impl Pair<'_> {
    fn path(&self, index: usize) -> String {
        address::boot(&self.instance.id, &self.instance.boots[index].id)
    }

    /// The address of a line of one of them.
    fn line(&self, site: &Site, of: usize, line: usize) -> Option<String> {
        site.link(format!("{}#L{line}", self.path(of)))
    }

    fn sides(&self, site: &Site) -> Markup {
        let (a, b) = (&self.compared.a, &self.compared.b);
        html! {
            div.sides { @for (sign, index, side) in [("−", self.a, a), ("+", self.b, b)] {
                @let of = Summary::new(&self.instance.boots, index);
                p { span.sign aria-hidden="true" { (sign) } " " a href=[site.link(self.path(index))] { "boot " (of.number) } " "
                    (Mark::Ended(of.ending).shape()) " " (of.ending_in_words())
                    span.about { ", began " (of.started_in_words(&site.zone)) ", " (lines(side.number_of_lines())) }
                }
            } }
        }
    }
}

/// With which boot it is compared, and what is shown of it.
fn choices(site: &Site, pair: &Pair, query: &DiffQuery) -> Markup {
    let boots = &pair.instance.boots;
    let path = format!("{}/diff", pair.path(pair.b));
    let with = |index: usize| {
        let id = boots[index].id.clone();
        query.address(&path, |query| query.with = Some(id))
    };
    let good = diff::last_good(boots, pair.b);
    let from = boots.len().saturating_sub(CHOICES);
    let other = format!("{}/diff", pair.path(pair.a));
    let other_way = query.address(&other, |query| query.with = Some(boots[pair.b].id.clone()));
    html! {
        nav.tools aria-label="What is compared" {
            span.row { span.what { "Against" }
                @if let Some(good) = good { a.switch href=(with(good)) aria-current=[(good == pair.a).then_some("true")] { "the last that came to its login" @if good.checked_add(1) == Some(pair.b) { ", the boot before" } } }
                // One boot has one link, whatever else it is.
                @if let Some(before) = pair.b.checked_sub(1).filter(|before| Some(*before) != good) { a.switch href=(with(before)) aria-current=[(before == pair.a).then_some("true")] { "the boot before" } }
                a.switch href=(other_way) { "the other way round" }
            }
            span.row {
                a.switch href=(query.address(&path, |query| query.is_moved_shown = !query.is_moved_shown)) aria-current=[query.is_moved_shown.then_some("true")] { "moved lines" }
                a.switch href=(query.address(&path, |query| query.is_unfolded = !query.is_unfolded)) aria-current=[query.is_unfolded.then_some("true")] { "unfold" }
            }
            form.row action=(path) method="get" {
                label { "Against "
                    select name="with" { @for index in (from..boots.len()).rev().filter(|index| *index != pair.b) {
                        @let of = Summary::new(boots, index);
                        option value=(of.boot.id) selected[index == pair.a] { "boot " (of.number) ", " (of.ending_in_words()) ", " (of.started_in_words(&site.zone)) }
                    } }
                }
                button { "Compare" }
            }
        }
    }
}

fn counts(compared: &Comparison) -> Markup {
    let counts = compared.counts();
    let cells = |counts: &Counts| [counts.removed, counts.added, counts.moved, counts.unseen];
    let phases: Vec<_> = counts.by_phase().collect();
    html! {
        @if !phases.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="How many lines differ" {
                table.counts {
                    thead { tr { th scope="col" { "Stage" } @for name in ["Removed", "Added", "Moved", "Not seen"] { th.number scope="col" { (name) } } } }
                    tbody {
                        @for (phase, counts) in &phases {
                            tr { td { span class={ "key p-" (phase.as_str()) } { (phase.as_str()) } } @for number in cells(counts) { td.number { (shown(number)) } } }
                        }
                        @if phases.len() > 1 { tr { td { "all" } @for number in cells(&counts.all()) { td.number { (shown(number)) } } } }
                    }
                }
            }
        }
    }
}

fn shown(number: usize) -> String {
    match number {
        0 => "–".to_owned(),
        number => grouped(number as u64),
    }
}

fn changes(site: &Site, pair: &Pair, form: &Form) -> Markup {
    let mut layout = Layout {
        compared: pair.compared,
        form,
        masks: Masks::default(),
    };
    let items = layout.items();
    let mut left = ROWS;
    let mut shown = Vec::new();
    let mut is_cut = false;
    for range in hunks(&items, form.context) {
        if left == 0 {
            is_cut = true;
            break;
        }
        let mut cells = cells(&items[range]);
        is_cut |= cells.len() > left;
        cells.truncate(left);
        left -= cells.len();
        shown.push(hunk(site, pair, &cells));
    }
    html! {
        @if shown.is_empty() { p.empty { "No line differs but in its order." } }
        div.log.wrap.diff { @for hunk in shown { (hunk) } }
        @if is_cut { p.note { "The rest is left out; " code { "console-archive diff" } " shows all." } }
    }
}

/// Lines beside each other: what is removed beside what is added in its place.
fn cells(items: &[Item]) -> Vec<Cells<'_>> {
    let mut cells = Vec::new();
    for item in items {
        let rows = match item {
            Item::Equal { a, b } => {
                cells.push(Cells::Equal(*a, *b));
                continue;
            }
            Item::Rows(rows) => rows,
        };
        // Those of the first log stand before those of the second, pair by pair.
        let of_a = |row: &&Row| row.sign().is_of_a();
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let removed = rest.iter().take_while(|row| of_a(row)).count();
            let added = rest[removed..].iter().take_while(|row| !of_a(row)).count();
            let (left, right) = rest[..removed + added].split_at(removed);
            let both = 0..removed.max(added);
            cells.extend(both.map(|at| Cells::Changed(left.get(at), right.get(at))));
            rest = &rest[removed + added..];
        }
    }
    cells
}

fn hunk(site: &Site, pair: &Pair, cells: &[Cells]) -> Markup {
    let (a, b) = (&pair.compared.a, &pair.compared.b);
    let first = cells.iter().find_map(|cells| match cells {
        Cells::Equal(..) => None,
        Cells::Changed(left, right) => {
            let of_b = right.and_then(Row::index).map(|index| b.line(index).phase);
            of_b.or_else(|| left.and_then(Row::index).map(|index| a.line(index).phase))
        }
    });
    let phase = first.map_or("", |phase| phase.as_str());
    html! {
        div.hunk {
            div class={ "stage p-" (phase) } role="separator" { (phase) }
            @for cells in cells { @match cells {
                Cells::Equal(left, right) => div.pair.same {
                    (line(site, pair, pair.a, &a.line(*left), "", &[], 1))
                    (line(site, pair, pair.b, &b.line(*right), "", &[], 1))
                },
                Cells::Changed(left, right) => div.pair { @for (row, of) in [(left, pair.a), (right, pair.b)] {
                    @match row {
                        None => div.void {},
                        Some(row) => (changed(site, pair, row, of)),
                    }
                } },
            } }
        }
    }
}

fn changed(site: &Site, pair: &Pair, row: &Row, of: usize) -> Markup {
    match row {
        Row::Folded { sign, lines: count } => html! {
            div class={ "l folded " (class(*sign)) } { "… " (lines(*count)) " more, folded" }
        },
        Row::Line {
            sign,
            index,
            different,
            count,
        } => line(
            site,
            pair,
            of,
            &sign.side(pair.compared).line(*index),
            class(*sign),
            different,
            *count,
        ),
    }
}

fn class(sign: Sign) -> &'static str {
    match sign {
        Sign::Removed => "removed",
        Sign::Added => "added",
        Sign::MovedFrom | Sign::MovedTo => "moved",
        Sign::UnseenInA | Sign::UnseenInB => "unseen",
    }
}

fn line(
    site: &Site,
    pair: &Pair,
    of: usize,
    line: &LineOf,
    class: &str,
    different: &[Range<usize>],
    count: usize,
) -> Markup {
    let (text, number) = (line.text, line.number);
    let sign = match class {
        "removed" => "− ",
        "added" => "+ ",
        "moved" => "↕ ",
        "unseen" => "? ",
        _ => "",
    };
    let mut from = 0;
    let words = different.iter().map(|place| {
        let before = &text[from..place.start];
        from = place.end;
        (before, &text[place.clone()])
    });
    let words: Vec<_> = words.collect();
    html! {
        div class={ "l " (class) } {
            a href=[pair.line(site, of, number)] { (number) }
            @if !sign.is_empty() { span.sign { (sign) } }
            @for (before, word) in words { (before) @if class == "removed" { del { (word) } } @else { ins { (word) } } }
            (text[from..])
            @if count > 1 { span.about { " ×" (grouped(count as u64)) } }
        }
    }
}

/// What is told where there is nothing to compare a boot with.
pub fn none(site: &Site, instance: &Instance, index: usize, told: &str) -> Markup {
    let of = Summary::new(&instance.boots, index);
    let path = address::boot(&instance.id, &of.boot.id);
    let name = format!("boot {}", of.number);
    let frame = Frame {
        title: told,
        trail: vec![
            (instance.id.to_string(), address::instance(&instance.id)),
            (name, path.clone()),
            ("against".to_owned(), String::new()),
        ],
        instance: Some(&instance.id),
        site,
    };
    frame.page(html! {
        h1 { "Nothing to compare it with" }
        p { (plain(told)) }
        @if instance.boots.len() > 1 { p { a href={ (path) "/diff?with=previous" } { "Compare it with the boot before" } } }
    })
}
