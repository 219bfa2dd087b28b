//! `console-archive show`: the log of a boot, joined from its captures.

pub mod follow;
pub mod printer;
pub mod screen;

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use ecs_console_archiver::log;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::pattern::{Case, Meaning, Pattern};
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::terminal::Rewrites;
use std::io::{IsTerminal as _, stdout};

use super::{Context, EcsArguments};
use crate::boots::{Boots, Reading, Summary, hide_secrets, tell_hidden};
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};
use crate::pager::Destination;
use crate::time::{Bound, Period};
use printer::{Amount, Content, Printer, TimeForm};

/// Show the whole log of a boot, joined from its records
///
/// The captures of a boot are joined into one log, each byte once. Places where output is lost, or where
/// a join is unsure, are marked. Without -b it is the newest boot.
///
/// The log is shown line by line: colours stay on a terminal, other escape sequences are left out, and
/// control characters are spelled out, for they come from the guest. On a terminal it goes through the
/// pager of PAGER, or `less`.
///
/// On a terminal, a line before each line that says what went wrong says what that means. It has `!!`: in the pager,
/// / !! goes to the first, n to the next and N to the one before. `findings` says what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive show i-bp1panicnoroot00001
  console-archive show i-bp1panicnoroot00001 -b previous -e
  console-archive show i-bp1panicnoroot00001 -n 20 --time wall
  console-archive show i-bp1panicnoroot00001 -g 'panic|oops'
  console-archive show i-bp1panicnoroot00001 --findings
  console-archive show i-bp1panicnoroot00001 -f --live --region cn-hangzhou")]
pub struct Arguments {
    /// The instance
    #[arg(value_parser = InstanceId::parse)]
    instance_id: InstanceId,
    /// The boot: a number (0 is the newest, -1 the one before, 1 the oldest), `latest`, `previous`, or
    /// a BOOT ID of `console-archive boots`; ID-1 is the one before it
    #[arg(short, long, value_name = "BOOT", allow_hyphen_values = true)]
    boot: Option<Selection>,
    /// Show only the last LINES lines; +LINES: only the first
    #[arg(short = 'n', long, value_name = "LINES")]
    lines: Option<Amount>,
    /// Begin at the end: the pager opens on the last page, or the last 1000 lines are shown
    #[arg(short = 'e', long)]
    pager_end: bool,
    /// Show the newest line first
    #[arg(short, long)]
    reverse: bool,
    /// Show only lines from then on: 2024-03-22, "2024-03-22 10:04", 10:04, today, yesterday, -1h
    ///
    /// Without -b, of all boots. A line without a time of its own counts as the one before it; where the
    /// guest's clock is not known, as the capture that shows it.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Show only lines until then; a day, an hour or a minute counts to its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Bound>,
    /// Show only lines that match this regular expression; without a capital, case does not count
    #[arg(short, long, value_name = "PATTERN", allow_hyphen_values = true)]
    grep: Option<String>,
    /// Show only the lines that say what went wrong, each with so many lines around it (5)
    #[arg(long, value_name = "LINES", num_args = 0..=1, require_equals = true, default_missing_value = "5")]
    #[arg(conflicts_with_all = ["follow", "raw", "screen", "grep", "lines", "pager_end", "reverse"])]
    findings: Option<usize>,
    /// Show what comes, until Ctrl-C: the last 10 lines first, or as many as -n says
    #[arg(short, long, conflicts_with_all = ["boot", "reverse", "pager_end", "since", "until", "screen"])]
    follow: bool,
    /// Ask ECS for the console, too; nothing of it is stored
    #[arg(long)]
    live: bool,
    /// With --follow, look again every so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", requires = "follow")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Times of lines: as the guest printed them, since the kernel's start, of day, or since the line
    /// before
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    time: TimeForm,
    /// Print the bytes as the guest wrote them, on a terminal, too; marks go to standard error
    #[arg(long, conflicts_with_all = ["output", "time", "encoding"])]
    raw: bool,
    /// Show what a terminal of 200 columns and 50 rows shows at the end of the boot: for menus of boot
    /// loaders and set-ups
    #[arg(long, conflicts_with_all = ["raw", "output", "lines", "reverse", "grep", "since", "until", "time"])]
    screen: bool,
    /// List every state of a line that was written over, also those of a progress bar
    #[arg(long, conflicts_with_all = ["output", "raw"])]
    rewrites: bool,
    /// What the console is written in: auto, utf-8, gb18030, or another name of the Encoding Standard
    #[arg(long, value_name = "NAME", default_value = "auto")]
    encoding: EncodingChoice,
    /// Print without a pager
    #[arg(long)]
    no_pager: bool,
    #[command(flatten)]
    ecs: EcsArguments,
}

/// Lines that -e shows without a pager.
const LINES_AT_END: usize = 1000;
/// Lines that -f begins with.
const LINES_BEFORE: usize = 10;

pub async fn run(mut arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    if arguments.screen && context.output == Output::Json {
        return Err(WrongInput("--screen has no JSON".into()).into());
    }
    let instance_id = arguments.instance_id.clone();
    let store = context.store()?;
    let live = match arguments.live {
        true => Some(follow::Live::new(
            context.archiver(std::mem::take(&mut arguments.ecs))?,
        )?),
        false => None,
    };
    let archive = Retrying::new(&store, Deadline::after(context.time()));
    let redact = context.redact()?;
    context.reads();
    let mut reading = Reading::default();
    match arguments.follow || arguments.live {
        true => follow::read_what_is_there(&mut reading, &archive, &instance_id).await?,
        false => reading.go_on(&archive, &instance_id).await?,
    };
    if let Some(live) = &live {
        live.look(&mut reading, &instance_id, context).await?;
    }
    let content = arguments.content(context)?;
    if arguments.follow {
        let before = arguments.lines.unwrap_or(Amount::Last(LINES_BEFORE));
        let follow = follow::Follow {
            instance_id: &instance_id,
            store: &store,
            live,
            interval: std::time::Duration::from_secs(arguments.interval),
            redact,
        };
        return follow.run(reading, content, before, context).await;
    }
    let mut boots = reading.finish();
    if boots.boots.is_empty() {
        return Ok(boots.tell_none(&instance_id, &store.url(""), &context.time_zone));
    }
    let Some(shown) = arguments.selected(&boots, &instance_id) else {
        return Ok(Exit::Nothing);
    };
    let mut hidden = 0;
    for boot in &mut boots.boots[shown.clone()] {
        hidden += hide_secrets(&mut boot.log, redact);
    }
    tell_hidden(hidden);
    if arguments.screen {
        for index in shown {
            let screen = screen::of(&boots.boots[index], arguments.encoding)?;
            if let Some(warning) = screen.warning {
                output::error(format_args!("warning: {warning}"));
            }
            for row in screen.rows {
                output::line(row)?;
            }
        }
        return Ok(boots.exit());
    }
    let is_paged = context.output == Output::Text
        && stdout().is_terminal()
        && !(arguments.no_pager || arguments.raw);
    let destination = match is_paged {
        true => Destination::pager(arguments.pager_end)?,
        false => Destination::stdout(),
    };
    let is_on_terminal = matches!(destination, Destination::Stdout(_));
    let amount = match arguments.lines {
        None if arguments.pager_end && is_on_terminal => Some(Amount::Last(LINES_AT_END)),
        lines => lines,
    };
    let mut printer = Printer::new(destination, amount, arguments.reverse);
    for index in shown {
        printer
            .boot(&content, &Summary::new(&boots.boots, index), &instance_id)
            .await?;
    }
    let count = printer.finish()?;
    let has_time = arguments.since.is_some() || arguments.until.is_some();
    if count == 0 && arguments.findings.is_some() {
        let within = if has_time { " of that time" } else { "" };
        output::error(format_args!("{instance_id}: no findings{within}"));
    } else if count == 0 && has_time && arguments.grep.is_none() {
        output::error(format_args!("{instance_id} has no line of that time"));
    }
    let is_sought = has_time || arguments.grep.is_some() || arguments.findings.is_some();
    Ok(match count {
        0 if is_sought && boots.left_out.is_empty() => Exit::Nothing,
        _ => boots.exit(),
    })
}

impl Arguments {
    /// The boots to show, the oldest first. Tells it if there is none.
    fn selected(&self, boots: &Boots, instance_id: &InstanceId) -> Option<std::ops::Range<usize>> {
        if self.boot.is_none() && (self.since.is_some() || self.until.is_some()) {
            return Some(0..boots.boots.len());
        }
        let newest = Selection::Back(0);
        let index = boots.select(self.boot.as_ref().unwrap_or(&newest), instance_id)?;
        Some(index..index + 1)
    }

    fn content(&self, context: &Context) -> Result<Content> {
        let meaning = Meaning {
            case: Case::Smart,
            is_literal: false,
            is_word: false,
            is_line: false,
        };
        let pattern = self
            .grep
            .as_ref()
            .map(|text| Pattern::new(&[text], meaning));
        let pattern = pattern
            .transpose()
            .map_err(|error| WrongInput(format!("a pattern cannot be used: {error}")))?;
        let zone = &context.time_zone;
        let period = Period::of(self.since.as_ref(), self.until.as_ref(), zone);
        if period.is_empty() {
            return Err(WrongInput("--until is before --since".into()).into());
        }
        Ok(Content {
            period,
            pattern,
            around_findings: self.findings,
            time: self.time,
            zone: zone.clone(),
            encoding: self.encoding,
            is_raw: self.raw,
            is_json: context.output == Output::Json,
            has_headings: stdout().is_terminal() && !self.raw,
            colours: context.has_colors(),
            rewrites: match self.rewrites {
                true => Rewrites::Listed,
                false => Rewrites::Counted,
            },
        })
    }
}

/// What this program says between lines of the guest, which cannot write its signs.
fn divider(text: &str, colours: bool) -> String {
    styled_divider(text, colours.then(|| Style::new().dimmed()))
}

fn styled_divider(text: &str, style: Option<Style>) -> String {
    let lines = marked(text, output::width());
    let lines = lines.iter().map(|line| match style {
        Some(style) => format!("{style}{line}{style:#}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// Lines of at most this width, each of which is told from the guest's. A pager would break the text within words.
fn marked(text: &str, width: Option<usize>) -> Vec<String> {
    const SIGNS: [&str; 2] = ["──⟨ ", " ⟩──"];
    let [begin, end] = SIGNS;
    let within = |width: usize| width.saturating_sub(begin.chars().count() + end.chars().count());
    let text = ecs_console_archiver::printable::one_line(text);
    let fitted = output::wrapped(&text, width.map(within));
    let lines = fitted.trim_end().lines();
    lines.map(|line| format!("{begin}{line}{end}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_mark_is_told_from_those_of_the_guest() {
        let text =
            "!! fatal: The kernel cannot mount its root file system (root-not-mounted, 2 times)";
        let whole = format!("──⟨ {text} ⟩──");
        for width in [None, Some(100)] {
            assert_eq!(marked(text, width), [&*whole]);
        }
        assert_eq!(
            marked(text, Some(80)),
            [
                "──⟨ !! fatal: The kernel cannot mount its root file system ⟩──",
                "──⟨ (root-not-mounted, 2 times) ⟩──",
            ]
        );
    }
}
