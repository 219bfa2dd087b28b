//! `console-archive get`: a console, held against what its key and metadata say of it.

mod inline;
mod screenshot;

use std::borrow::Cow;
use std::io::{BufWriter, IsTerminal as _, Write as _, stderr, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::reader::{
    self, ReadError, RecordContents, RecordEntry, Selector,
};
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::findings::secrets;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::terminal::{self, Line, Rewrites};
use ecs_console_archiver::{log, printable};
use serde_json::json;

use super::Context;
use crate::boots::{
    console_before, hide_secrets_behind, tell_hidden, tell_marker, tell_screenshots,
};
use crate::exit::{Exit, is_broken_pipe};
use crate::output::{self, Output};
use crate::record::Described;
use crate::time::{self, AtArgument};

/// Print a record: one console, as ECS returned it
///
/// On a terminal it is shown line by line: colours stay, other escape sequences are left out,
/// and control characters are spelled out, for they come from the guest. Text that was written
/// over is marked with an arrow, or counted where it is a progress bar's. Into a file or a pipe
/// go the bytes as the guest wrote them; with --rendered, what a terminal shows.
///
/// The record is compared with its key and its metadata. One that differs is damaged or forged:
/// it is printed only with --damaged, and the exit code is 1.
///
/// With --screenshot: a screenshot in place of a console, as ECS took it. It goes into a file or a pipe, or with --inline
/// onto the terminal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive get i-bp1panicnoroot00001 > console.log
  console-archive get i-bp1panicnoroot00001 --previous --tail 20
  console-archive get i-bp1panicnoroot00001 --at \"2018-03-22 02:04:57Z\"
  console-archive get i-bp1panicnoroot00001 --rendered | grep -i panic
  console-archive get i-bp1panicnoroot00001 --rendered --color always | less -R
  console-archive get i-bp1windows000000001 --screenshot -o screen.jpg
  console-archive get i-bp1windows000000001 --screenshot --inline sixel")]
pub struct Arguments {
    /// The instance
    #[arg(value_parser = InstanceId::parse)]
    instance_id: InstanceId,
    /// Print the newest record that is not after this time, or the one with this name. Without it:
    /// the newest
    ///
    /// Times and names are as `list` shows them: 2018-03-22, "2018-03-22 10:04",
    /// 2018-03-22T10:04:57+08:00, 20180322T100457-b4a2cd4d9aed; also yesterday and -1h. A day, an hour or
    /// a minute counts to its end. A time without a zone is in that of --time-zone, UTC without it.
    #[arg(long, value_name = "TIME|NAME", allow_hyphen_values = true)]
    at: Option<AtArgument>,
    /// Print the record before that one; --previous=2 prints the second before it
    #[arg(long, value_name = "COUNT", num_args = 0..=1, require_equals = true)]
    #[arg(
        default_missing_value = "1",
        default_value = "0",
        hide_default_value = true
    )]
    previous: usize,
    /// Print only the last LINES lines
    #[arg(long, value_name = "LINES", value_parser = lines)]
    tail: Option<usize>,
    /// Print the bytes as the guest wrote them, on a terminal, too
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    /// Print what a terminal shows into a file or a pipe, too: for `less`, `grep` and `tail`
    ///
    /// No byte of the guest acts on a terminal behind the pipe. There are no colours without
    /// --color always.
    #[arg(long, conflicts_with_all = ["output", "raw"])]
    rendered: bool,
    /// List every state of a line that was written over, also those of a progress bar
    ///
    /// Without it, states that differ only in figures and signs are counted. It implies --rendered.
    #[arg(long, conflicts_with_all = ["output", "raw"])]
    rewrites: bool,
    /// Print what can be read of a damaged record; the exit code stays 1
    #[arg(long)]
    damaged: bool,
    /// Write a screenshot in place of a console: the newest, or the one that --at and --previous select
    #[arg(long, conflicts_with_all = ["tail", "raw", "rendered", "rewrites"])]
    screenshot: bool,
    /// The file for the screenshot, which must not be there yet; - for a pipe
    #[arg(
        short,
        long,
        value_name = "FILE",
        requires = "screenshot",
        conflicts_with = "output"
    )]
    output_file: Option<PathBuf>,
    /// Draw the screenshot on the terminal, by the protocol that it knows
    #[arg(long, value_name = "PROTOCOL", requires = "screenshot")]
    #[arg(conflicts_with_all = ["output", "output_file", "damaged"])]
    inline: Option<inline::Protocol>,
}

fn lines(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "expected a number such as 20")
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let instance_id = &arguments.instance_id;
    let form = Form {
        is_raw: arguments.raw,
        is_rendered: arguments.rendered || arguments.rewrites,
        rewrites: match arguments.rewrites {
            true => Rewrites::Listed,
            false => Rewrites::Counted,
        },
        tail: arguments.tail,
    };
    let at = arguments.at.map(|at| at.at(&context.time_zone));
    let at = at.unwrap_or(Selector::Latest);
    let store = context.store()?;
    let store = &Retrying::new(&store, Deadline::after(context.time()));
    let listing = reader::list(store, Some(instance_id)).await?;
    if arguments.screenshot {
        let asked = screenshot::Asked {
            instance_id,
            at,
            previous: arguments.previous,
            out: arguments.output_file.as_deref(),
            inline: arguments.inline,
            damaged: arguments.damaged,
        };
        return screenshot::run(&asked, listing.screenshots, store, context).await;
    }
    let last_marker = listing.markers.last().cloned();
    let oldest = listing.oldest().cloned();
    let screenshots = listing.screenshots.clone();
    let before = listing.clone().find(&at, arguments.previous + 1);
    let Some(listed) = listing.find(&at, arguments.previous) else {
        let which = match (&at, arguments.previous) {
            (Selector::Latest, 0) => "",
            (Selector::NotAfter(_), 0) => " of that time or before it",
            (Selector::Name(_), 0) => " of that name",
            _ => " before that one",
        };
        let Some(oldest) = oldest else {
            let archive_url = store.url("");
            output::error(format_args!("{instance_id} has no record in {archive_url}"));
            tell_marker(last_marker.as_ref(), &context.time_zone);
            tell_screenshots(&screenshots, instance_id, &context.time_zone);
            return Ok(Exit::Nothing);
        };
        output::error(format_args!("{instance_id} has no record{which}"));
        let name = oldest.key.name();
        let time = oldest.updated_at();
        let time = time.map(|time| time::shown_update(time, &context.time_zone));
        let time = time.map(|time| format!(", of {time}")).unwrap_or_default();
        output::error(format_args!(
            "the oldest is {name}{time}; `console-archive list {instance_id}` shows all"
        ));
        return Ok(Exit::Nothing);
    };
    context.reads();
    let (opened, faults) = match reader::open(store, &listed.key).await {
        Ok(opened) => (opened, Vec::new()),
        Err(ReadError::Damaged(damaged)) => {
            let faults = damaged.faults.iter().map(ToString::to_string).collect();
            tell_damage(&damaged.url, &faults);
            if !arguments.damaged {
                output::error("it is not printed; --damaged prints what can be read of it");
                return Ok(Exit::Failed);
            }
            (damaged.salvaged, faults)
        }
        Err(error) => return Err(error.into()),
    };
    tell_missing(&opened);
    let is_shown = (stdout().is_terminal() || form.is_rendered) && !form.is_raw;
    let hides = is_shown && context.output == Output::Text && context.redact()? != Redact::Off;
    let before = match before {
        Some(before) if hides && secrets::may_go_on(&opened.plain) => {
            let before = console_before(store, &before).await;
            before.unwrap_or_else(|error| {
                output::error(format_args!(
                    "warning: the record before could not be read, so a secret that begins there is not masked: {error}"
                ));
                Vec::new()
            })
        }
        _ => Vec::new(),
    };
    match print(store, &listed, (&opened, &before), &faults, &form, context).await {
        // A reader that has seen enough has still seen a damaged record.
        Err(error) if faults.is_empty() || !is_broken_pipe(&error) => Err(error),
        _ if faults.is_empty() => Ok(Exit::Done),
        _ => Ok(Exit::Failed),
    }
}

/// Whether the record that was there before a capture is whole. The function does not ask, for that
/// would be another request at each event.
pub async fn verify(store: &impl Store, key: &str) -> Exit {
    let Some(key) = RecordKey::parse(key) else {
        return Exit::Done;
    };
    match reader::open(store, &key).await {
        Ok(opened) => {
            tell_missing(&opened);
            Exit::Done
        }
        Err(ReadError::Damaged(damaged)) => {
            let faults = damaged.faults.iter().map(ToString::to_string).collect();
            tell_damage(&damaged.url, &faults);
            output::error("move or remove it, and capture again while ECS still has the console");
            Exit::Failed
        }
        // Keys that may write only are common.
        Err(error) => {
            output::error(format_args!(
                "warning: the record that is there could not be verified: {error}"
            ));
            Exit::Done
        }
    }
}

fn tell_damage(url: &str, faults: &Vec<String>) {
    for fault in faults {
        output::error(format_args!("{url} is damaged: {fault}"));
    }
}

fn tell_missing(opened: &RecordContents) {
    if !opened.missing_metadata.is_empty() {
        output::error(format_args!(
            "warning: the record's metadata is gone or unreadable ({}); only the digest in its \
             name vouches for it",
            opened.missing_metadata.join(", ")
        ));
    }
}

/// Lines that are shown without looking for Ctrl-C.
const LINES_AT_ONCE: usize = 256;

/// How a console is printed.
struct Form {
    is_raw: bool,
    /// On a terminal it is, unless it is raw.
    is_rendered: bool,
    rewrites: Rewrites,
    tail: Option<usize>,
}

impl Form {
    /// What is printed of the bytes as the guest wrote them.
    fn of<'a>(&self, plain: &'a [u8]) -> &'a [u8] {
        let Some(lines) = self.tail else {
            return plain;
        };
        let ended = plain.strip_suffix(b"\n").unwrap_or(plain);
        let mut ends = (0..ended.len()).rev().filter(|at| ended[*at] == b'\n');
        match lines {
            0 => &[],
            _ => ends.nth(lines - 1).map_or(plain, |at| &plain[at + 1..]),
        }
    }
}

async fn print(
    store: &impl Store,
    listed: &RecordEntry,
    (opened, before): (&RecordContents, &[u8]),
    faults: &[String],
    form: &Form,
    context: &Context,
) -> Result<()> {
    if listed.key.is_undecoded {
        output::error("ECS sent this in place of Base64; it is printed as it came");
    }
    let metadata = Some(&opened.object.metadata);
    let record = Described { listed, metadata };
    let is_terminal = stdout().is_terminal();
    let is_shown = (is_terminal || form.is_rendered) && !form.is_raw;
    let mut console = Cow::Borrowed(&opened.plain[..]);
    if is_shown && context.output == Output::Text && context.redact()? != Redact::Off {
        tell_hidden(hide_secrets_behind(
            before,
            console.to_mut(),
            context.redact()?,
        ));
    }
    let plain = form.of(&console);
    if context.output == Output::Json {
        let mut value = record.json(store);
        value["metadata"] = json!(opened.object.metadata);
        value["is_utf8"] = json!(std::str::from_utf8(plain).is_ok());
        value["console"] = json!(String::from_utf8_lossy(plain));
        if !faults.is_empty() {
            value["damage"] = json!(faults);
        }
        return output::json(&value);
    }
    if is_terminal {
        let heading = heading(&record, context);
        let width = output::width().map(|width| width.saturating_sub(2));
        // Each line of it is told from the guest's.
        for line in output::wrapped(&heading, width).lines() {
            let _ = writeln!(stderr(), "# {line}");
        }
    }
    let mut stdout = BufWriter::new(stdout().lock());
    if !is_shown {
        stdout.write_all(plain)?;
        stdout.flush()?;
        return Ok(());
    }
    // A line of the guest may be several on the screen, and what comes before may colour it.
    let count = |tail| terminal::lines(&console).count().saturating_sub(tail);
    let skipped = form.tail.map_or(0, count);
    let (mut lines, mut line) = (terminal::lines(&console), Line::default());
    let (mut shown, mut number) = (String::new(), 0);
    while lines.read(&mut line) {
        number += 1;
        if number % LINES_AT_ONCE == 0 {
            // Ctrl-C ends it here, after a whole line, so that no colour of the guest stays.
            tokio::task::yield_now().await;
        }
        if number <= skipped {
            continue;
        }
        line.show(context.has_colors(), form.rewrites, &mut shown);
        stdout.write_all(shown.as_bytes())?;
        shown.clear();
    }
    stdout.flush()?;
    Ok(())
}

/// What is printed: its name, when it was updated, why it was captured, and how good it is.
fn heading(record: &Described<'_>, context: &Context) -> String {
    let mut parts = vec![record.listed.key.name()];
    let updated_at = record.updated_at();
    parts.extend(updated_at.map(|at| time::shown_update(at, &context.time_zone)));
    parts.extend(record.cause().map(str::to_owned));
    parts.extend(record.freshness_in_words().map(str::to_owned));
    printable::one_line(&parts.join("  ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(plain: &str, lines: usize, tail: &str) {
        let form = Form {
            is_raw: true,
            is_rendered: false,
            rewrites: Rewrites::Counted,
            tail: Some(lines),
        };
        assert_eq!(form.of(plain.as_bytes()), tail.as_bytes(), "{plain:?}");
    }

    #[test]
    fn the_tail_is_the_last_lines_with_their_ends() {
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\r\nb\r\nc", 2, "b\r\nc");
        check("a\nb\n\n", 2, "b\n\n");
        check("a\nb\n", 2, "a\nb\n");
        check("a\nb\n", 9, "a\nb\n");
        check("a", 1, "a");
        check("a\n", 0, "");
        check("", 3, "");
    }
}
