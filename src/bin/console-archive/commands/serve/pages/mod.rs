//! Facts → pages. Nothing of a guest is on them that is not escaped, and nothing is loaded from elsewhere. Pure.

pub mod boot;
mod colours;
pub mod diff;
pub mod fleet;
pub mod instance;
mod marks;
pub mod screenshots;
pub mod search;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ecs_console_archiver::archive::key::ScreenshotKey;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::printable;
use ecs_console_archiver::reading::findings::Severity;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What all pages have.
#[derive(Debug, Clone)]
pub struct Site {
    pub archive_url: String,
    pub zone: TimeZone,
    /// Whether a page is a file by itself: it has nothing to lead to.
    pub is_file: bool,
    /// Screenshots that a file has in itself.
    pub pictures: Pictures,
}

pub type Pictures = BTreeMap<ScreenshotKey, Picture>;

/// A screenshot of a file.
#[derive(Debug, Clone)]
pub enum Picture {
    /// It was checked to be a picture of the format that its key says.
    Whole(Vec<u8>),
    /// Nothing of it is shown, and why.
    Damaged(String),
}

/// What a file may do: nothing is loaded, and no script runs.
const FILE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

impl Site {
    /// An address of this server. A file has none.
    fn link(&self, address: String) -> Option<String> {
        (!self.is_file).then_some(address)
    }

    /// What a file may do. Only one with pictures may show any, and only those that it has in itself.
    fn file_policy(&self) -> String {
        let is_whole = |picture: &Picture| matches!(picture, Picture::Whole(_));
        match self.pictures.values().any(is_whole) {
            true => format!("{FILE_POLICY}; img-src data:"),
            false => FILE_POLICY.to_owned(),
        }
    }
}

static STYLE: LazyLock<String> =
    LazyLock::new(|| format!("{}{}", include_str!("style.css"), colours::style()));
/// For the keyboard, and for what is comfortable. Every page can be read without it.
pub const SCRIPT: &str = include_str!("script.js");

/// How the pages look.
pub fn style() -> &'static str {
    &STYLE
}

/// A page.
struct Frame<'a> {
    title: &'a str,
    /// What stands above it, with addresses; the page itself comes last, without one.
    trail: Vec<(String, String)>,
    /// Which instance it is of.
    instance: Option<&'a InstanceId>,
    site: &'a Site,
}

/// What every page begins with.
fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        title { (title) }
        link rel="stylesheet" href="/style.css";
    }
}

impl Frame<'_> {
    /// What the search at its top searches.
    fn searched(&self) -> &'static str {
        match self.instance {
            Some(_) => "Search this instance",
            None => "Search all logs",
        }
    }

    /// A file by itself.
    fn file(&self, body: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(self.site.file_policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(style())) }
                }
                body {
                    main #main { (body) p.about { "From " (plain(&self.site.archive_url)) "." } }
                }
            }
        }
    }

    fn page(&self, body: Markup) -> Markup {
        if self.site.is_file {
            return self.file(body);
        }
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    (head(self.title))
                    meta name="color-scheme" content="light dark";
                    script src="/script.js" defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        nav aria-label="You are here" {
                            ol {
                                li { a href="/" { "Fleet" } }
                                @for (name, address) in &self.trail {
                                    li { @if address.is_empty() { span aria-current="page" { (name) } } @else { a href=(address) { (name) } } }
                                }
                            }
                        }
                        form.find action="/search" method="get" role="search" {
                            input name="q" aria-label=(self.searched()) placeholder=(self.searched()) autocomplete="off" spellcheck="false";
                            @if let Some(id) = &self.instance { input type="hidden" name="instance" value=(id); }
                            button { "Search" }
                        }
                        span.archive title="The archive" { (plain(&self.site.archive_url)) }
                    }
                    main #main tabindex="-1" { (body) }
                    (help())
                }
            }
        }
    }
}

/// The keys. The script opens it.
fn help() -> Markup {
    let keys = [
        ("j k", "next and previous line, or row"),
        ("g G", "first and last line"),
        ("e E", "next and previous finding"),
        ("{ }", "previous and next capture, gap or stage"),
        ("[ ]", "previous and next boot"),
        ("t w", "other times, wrap or not"),
        ("d", "what changed since the last good boot"),
        ("/", "to the search"),
        ("y", "copy a link to the marked lines"),
        ("u", "up: the instance, the fleet"),
        ("?", "this list"),
    ];
    html! {
        dialog #keys aria-label="Keys" {
            h2 { "Keys" }
            dl { @for (key, what) in keys { div { dt { kbd { (key) } } dd { (what) } } } }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// Text of a guest or of a store, on one line.
fn plain(text: &str) -> String {
    printable::one_line(text).into_owned()
}

/// A severity, by its shape and its colour.
fn severity(severity: Severity) -> Markup {
    let shape = match severity {
        Severity::Fatal => "✖",
        Severity::Error => "▲",
        Severity::Warning => "◆",
        Severity::Info => "●",
    };
    html! { span class={ "sev " (severity.as_str()) } { span aria-hidden="true" { (shape) } " " (severity.as_str()) } }
}

fn notes(notes: &[String]) -> Markup {
    html! { @for note in notes { p.note role="status" { (plain(note)) } } }
}

/// A page that says why there is no other.
pub fn failure(site: &Site, title: &str, told: &[String]) -> Markup {
    let frame = Frame {
        title,
        trail: Vec::new(),
        instance: None,
        site,
    };
    frame.page(html! {
        h1 { (title) }
        @for text in told { p { (plain(text)) } }
        p { a href="" { "Try again" } ", or go to " a href="/" { "the fleet" } "." }
    })
}

/// The end of a page that could not be made to its end.
pub fn broken_off() -> Markup {
    html! { p.note role="status" { "The page breaks off here: this is a fault of the program. The terminal of " code { "console-archive serve" } " says what it is; please report it." } }
}

/// What is told to whoever is not let in. It says nothing of the archive. `again` is the path that was asked for.
pub fn refusal(told: &str, needs_address: bool, again: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head("Not for you")) }
            body {
                main #main {
                    h1 { "Not for you" }
                    p { (told) }
                    @if needs_address {
                        p {
                            "If that is you: open the address that " code { "console-archive serve" } " printed. It works once; "
                            "if it was used before, another one stands there now."
                        }
                        @if let Some(path) = again {
                            p { "If this browser was let in already, and a link elsewhere led here: " a href=(path) { "open the page" } "." }
                        }
                    }
                }
            }
        }
    }
}

/// Markup that this program has made, as it is.
fn made(text: String) -> Markup {
    PreEscaped(text)
}
