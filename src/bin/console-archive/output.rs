//! Results → text for people or JSON for programs: tables, JSON, messages.

use std::fmt::{Display, Write};
use std::fs::OpenOptions;
use std::io::{BufWriter, ErrorKind, IsTerminal as _, Stdout, Write as _, stderr, stdout};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::config::ConfigError;
use ecs_console_archiver::printable;
use ecs_console_archiver::retry::{self, TimeUp};
use ecs_console_archiver::store::StoreError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::Value;
use terminal_size::terminal_size_of;

use crate::exit::WrongInput;
use crate::record::Taken;
use crate::table;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// The only way by which JSON is printed, in lines for people.
pub fn json(value: &Value) -> Result<()> {
    writeln!(stdout(), "{}", printable::json(&format!("{value:#}")))?;
    Ok(())
}

/// `1 row`, `2 rows`, `10,000 rows`.
pub fn count(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", grouped(number)),
    }
}

/// Says that there is something, and not what was asked for.
pub fn no_match(of: u64, one: &str, place: &str) {
    error(match of {
        1 => format!("the only {one}{place} does not match"),
        _ => format!("none of the {}{place} matches", count(of, one)),
    });
}

/// `10,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Shows on a terminal how far a command has come; elsewhere nothing. `{rate}` in the template is how many a second.
pub fn progress(template: &str) -> Result<ProgressBar> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if !stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(template)?;
    bar.set_style(
        style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{}/s", grouped(state.per_sec().round() as u64));
        }),
    );
    bar.tick();
    Ok(bar)
}

/// A line of text.
pub fn line(text: impl Display) -> Result<()> {
    writeln!(stdout(), "{text}")?;
    Ok(())
}

/// An array that is printed while its items come, in the form of [`json`].
pub struct JsonArray {
    out: BufWriter<Stdout>,
    is_empty: bool,
}

impl JsonArray {
    pub fn begin() -> Result<Self> {
        let mut out = BufWriter::new(stdout());
        out.write_all(b"[")?;
        Ok(Self {
            out,
            is_empty: true,
        })
    }

    pub fn push(&mut self, item: &Value) -> Result<()> {
        let separator = if std::mem::take(&mut self.is_empty) {
            ""
        } else {
            ","
        };
        write!(self.out, "{separator}")?;
        let text = format!("{item:#}");
        for line in printable::json(&text).lines() {
            write!(self.out, "\n  {line}")?;
        }
        Ok(())
    }

    pub fn end(mut self) -> Result<()> {
        let end = if self.is_empty { "]\n" } else { "\n]\n" };
        self.out.write_all(end.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }
}

/// The same on one line, for programs that read a line at a time.
pub fn json_line(value: &Value) -> Result<()> {
    stdout().write_all(json_text(value).as_bytes())?;
    Ok(())
}

/// A line of JSON, for output that is not printed at once.
pub fn json_text(value: &Value) -> String {
    format!("{}\n", printable::json(&value.to_string()))
}

/// Writes a file that is not there yet, which only its user may read: consoles and screens may show passwords.
///
/// # Errors
/// If something has its place, or it cannot be written whole. Then nothing is left of it.
pub fn new_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let shown = path.display();
    let mut file = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let told =
                format!("{shown} is there already, and nothing is replaced; name another file");
            return Err(WrongInput(told).into());
        }
        file => file.with_context(|| shown.to_string())?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|cause| {
        let _ = std::fs::remove_file(path);
        anyhow!("{shown}: {cause}; it was removed, because it was not whole")
    })
}

/// Writes a page to a new file, and says what it is, or to standard output for `-`.
pub fn page(file: &Path, page: &str, what: &str) -> Result<()> {
    if file.as_os_str() == "-" {
        stdout().write_all(page.as_bytes())?;
        return Ok(());
    }
    new_file(file, page.as_bytes())?;
    error(format_args!("{what} is in {}", file.display()));
    Ok(())
}

/// A line on standard error. It may quote a service, a file or an event.
pub fn error(what: impl Display) {
    tell(&printable::one_line(&format!("console-archive: {what}")));
}

/// What is wrong with the settings, a line each.
pub fn problems(wrong: &ConfigError) {
    tell(&printable::lines(&format!("console-archive: {wrong}")));
}

fn tell(text: &str) {
    let width = terminal_size_of(stderr()).map(|(width, _)| usize::from(width.0));
    let _ = writeln!(stderr(), "{}", wrapped(text, width));
}

/// Says that there was no more time to try again in, where that is why a command failed.
pub fn time_is_over(failure: &anyhow::Error, time_up: TimeUp, time: Duration) {
    let is_transient = match failure.downcast_ref::<CaptureError>() {
        Some(error) => error.is_transient(),
        None => failure
            .downcast_ref::<StoreError>()
            .is_some_and(StoreError::is_transient),
    };
    if is_transient {
        tell_time_up(&failure.to_string(), time_up, time);
    }
}

/// The same of an event's failure that may pass.
pub fn timed_out(failure: &str, time: Duration) {
    if let Some(time_up) = retry::take_time_up() {
        tell_time_up(failure, time_up, time);
    }
}

/// Where the failure's own text does not say it.
fn tell_time_up(failure: &str, time_up: TimeUp, time: Duration) {
    let time = time.as_secs();
    match time_up {
        TimeUp::CutOff if failure.contains("timed out") => {}
        TimeUp::CutOff => error(format_args!(
            "timed out after {time} s; --timeout gives it longer"
        )),
        TimeUp::NoNextAttempt => error(format_args!(
            "within {time} s there is no time for another attempt; --timeout gives it longer"
        )),
    }
}

/// The outcomes of an answer: of one event, or of several.
pub fn outcomes(answer: &Value, taken: Taken, output: Output) -> Result<()> {
    let mut each = match answer {
        Value::Array(outcomes) => outcomes.iter(),
        one => std::slice::from_ref(one).iter(),
    };
    each.try_for_each(|one| outcome(one, taken, output))
}

/// In lines of at most this width, with no word cut; as it is where no width is known.
pub fn wrapped(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => {
            let indent = text.len() - text.trim_start_matches(' ').len();
            table::hanging(text, width, indent).join("\n")
        }
        None => text.to_owned(),
    }
}

/// In lines of at most this width, of which all but the first have `indent` spaces.
pub fn hanging(text: &str, indent: usize, width: Option<usize>) -> String {
    match width {
        Some(width) => {
            let indent = if indent + 20 > width { 2 } else { indent };
            table::hanging(text, width, indent).join("\n")
        }
        None => text.to_owned(),
    }
}

/// `taken`: how its console was.
pub fn outcome(outcome: &Value, taken: Taken, output: Output) -> Result<()> {
    if output == Output::Json {
        return json(outcome);
    }
    let text = |member: &str| printable::one_line(outcome[member].as_str().unwrap_or_default());
    let freshness = match outcome["freshness"].as_str() {
        Some(word) => match word.parse() {
            Ok(freshness) => format!(" ({word}: {})", taken.meaning(freshness)),
            Err(_) => format!(" ({})", printable::one_line(word)),
        },
        None => String::new(),
    };
    let line = match outcome["outcome"].as_str() {
        Some("stored") => format!(
            "stored {}, {} bytes as {}{freshness}",
            text("url"),
            outcome["console_bytes"],
            outcome["gzip_bytes"]
        ),
        Some("already_stored") => format!("already stored {}{freshness}", text("url")),
        Some("following") => format!(
            "asking for {} again in {} s",
            text("instance_id"),
            outcome["follow_in_seconds"]
        ),
        Some("no_console") => format!("no console of {}: {}", text("instance_id"), text("message")),
        Some("swept") => format!(
            "swept {}: {} stored, {} already stored, {} without a console, {} failed{}",
            count(
                outcome["instances"].as_u64().unwrap_or_default(),
                "instance"
            ),
            outcome["stored"],
            outcome["already_stored"],
            outcome["no_console"],
            outcome["failed"],
            match &outcome["resume"] {
                Value::Null => String::new(),
                resume => format!("; more is left: {}", printable::json(&resume.to_string())),
            }
        ),
        Some("redriven") => format!(
            "redriven: {} served, {} failed again, {} given up, {} left",
            outcome["served"], outcome["failed"], outcome["given_up"], outcome["left"],
        ),
        Some("ignored") => format!("ignored: {}", text("message")),
        _ => printable::json(&outcome.to_string()).into_owned(), // The reply to an SQS batch or an HTTP request.
    };
    let line = wrapped(&format!("  {line}"), width());
    writeln!(stdout(), "{line}")?;
    for finding in outcome["findings"].as_array().into_iter().flatten() {
        let text = |member: &str| printable::one_line(finding[member].as_str().unwrap_or_default());
        let (severity, title) = (text("severity"), text("title"));
        let line = format!("    {severity}: {title} ({})", text("signature"));
        writeln!(stdout(), "{}", wrapped(&line, width()))?;
    }
    // Of a sweep it is a number.
    for screenshot in outcome["screenshots"].as_array().into_iter().flatten() {
        let url = printable::one_line(screenshot.as_str().unwrap_or_default());
        let line = format!("    screenshot {url}");
        writeln!(stdout(), "{}", wrapped(&line, width()))?;
    }
    Ok(())
}

/// Columns of the terminal that standard output goes to; `None` where it goes elsewhere, or the
/// terminal does not say.
pub fn width() -> Option<usize> {
    terminal_size_of(stdout()).map(|(width, _)| usize::from(width.0))
}
