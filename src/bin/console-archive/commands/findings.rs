//! `console-archive findings`: what a boot or a log says went wrong.

use std::io::{IsTerminal as _, Write as _, stdout};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::Args;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding, Rules, Severity};
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::reading::stitch::Boot;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;
use ecs_console_archiver::{log, printable};
use serde_json::{Value, json};

use super::{Context, word};
use crate::boots::{self, Summary, hide_secrets};
use crate::exit::{Exit, WrongInput};
use crate::input;
use crate::output::{self, Output};
use crate::pager::Destination;

/// Say what went wrong in a boot, and what to do
///
/// The newest boot, unless another one is chosen. A file is taken as one log, whoever kept it; gzip is unpacked,
/// and `-` is standard input.
///
/// Each finding has an ID, which `console-archive explain` explains, and a signature: what the same fault has in
/// common on every machine. A signature that a log has several times is counted, and shown where it is first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive findings i-bp1panicnoroot00001
  console-archive findings i-bp1panicnoroot00001 --all --severity error
  console-archive findings console.log
  dmesg | console-archive findings -")]
pub struct Arguments {
    /// The instance; or a file, ./i-a1 if its name is like an ID
    #[arg(value_name = "INSTANCE_ID|FILE")]
    what: String,
    /// The boot: a number (0 is the newest, -1 the one before, 1 the oldest), `latest`, `previous`, or a BOOT ID
    #[arg(
        short,
        long,
        value_name = "BOOT",
        allow_hyphen_values = true,
        default_value = "latest"
    )]
    #[arg(hide_default_value = true)]
    boot: Selection,
    /// All boots of the instance
    #[arg(long, conflicts_with = "boot")]
    all: bool,
    /// Only findings that are at least so bad
    #[arg(long, value_name = "SEVERITY", default_value = "info", value_parser = word(&Severity::ALL, Severity::as_str))]
    severity: Severity,
    /// What the console is written in: auto, utf-8, gb18030, or another name of the Encoding Standard
    #[arg(long, value_name = "NAME", default_value = "auto")]
    encoding: EncodingChoice,
    /// Print without a pager
    #[arg(long)]
    no_pager: bool,
}

/// The column of what is said of a finding.
const TEXT_AT: usize = 11;

/// The findings of one log.
struct Log {
    heading: String,
    /// What programs are told of the log, with each finding.
    of: Value,
    found: Vec<Finding<'static>>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let (logs, exit) = match InstanceId::parse(&arguments.what) {
        Ok(instance_id) => match arguments.boots(&instance_id, context).await? {
            Ok(found) => found,
            Err(exit) => return Ok(exit),
        },
        Err(_) => (vec![arguments.file(context).await?], Exit::Done),
    };
    if context.output == Output::Json {
        let findings = logs
            .iter()
            .flat_map(|log| log.found.iter().map(|finding| json(finding, &log.of)));
        output::json(&findings.collect())?;
        return Ok(exit);
    }
    let is_paged = stdout().is_terminal() && !arguments.no_pager;
    let mut destination = match is_paged {
        true => Destination::pager(false)?,
        false => Destination::stdout(),
    };
    for (index, log) in logs.iter().enumerate() {
        if index > 0 {
            writeln!(destination)?;
        }
        let text = text(log, context.has_colors());
        destination.write_all(fitted(&text, output::width()).as_bytes())?;
    }
    destination.close()?;
    Ok(exit)
}

impl Arguments {
    /// The findings of an instance's boots. What is not there is told.
    async fn boots(
        &self,
        instance_id: &InstanceId,
        context: &Context,
    ) -> Result<Result<(Vec<Log>, Exit), Exit>> {
        let store = context.store()?;
        let archive = Retrying::new(&store, Deadline::after(context.time()));
        context.reads();
        let read = boots::read(&archive, instance_id)
            .await?
            .for_display(context.redact()?);
        if read.boots.is_empty() {
            if context.output == Output::Json {
                output::json(&json!([]))?;
            }
            let url = store.url("");
            return Ok(Err(read.tell_none(instance_id, &url, &context.time_zone)));
        }
        let chosen = match self.all {
            true => 0..read.boots.len(),
            false => match read.select(&self.boot, instance_id) {
                Some(index) => index..index + 1,
                None => return Ok(Err(Exit::Nothing)),
            },
        };
        let logs = chosen.map(|index| {
            let summary = Summary::new(&read.boots, index);
            let (id, number) = (&summary.boot.id, summary.number);
            let of = json!({"instance_id": instance_id, "boot": number, "boot_id": id});
            let heading = format!("boot {number}  {id}  {}", summary.ending_in_words());
            self.log(summary.boot, heading, of)
        });
        Ok(Ok((logs.collect(), read.exit())))
    }

    async fn file(&self, context: &Context) -> Result<Log> {
        if self.all || self.boot != Selection::Back(0) {
            let wrong = "--boot and --all are for the boots of an instance, and a file is one log";
            return Err(WrongInput(wrong.into()).into());
        }
        let (name, mut log) = input::read_log(&self.what).await?;
        hide_secrets(&mut log, context.redact()?);
        let boot = Boot::of_log(log);
        let of = json!({"file": name});
        Ok(self.log(&boot, printable::one_line(name).into_owned(), of))
    }

    fn log(&self, boot: &Boot, heading: String, of: Value) -> Log {
        let mut found = findings::of_boot(boot, self.encoding, Rules::current());
        found.retain(|finding| finding.rule.severity >= self.severity);
        Log { heading, of, found }
    }
}

fn json(finding: &Finding, of: &Value) -> Value {
    let rule = finding.rule;
    let mut json = of.clone();
    json["id"] = json!(rule.id);
    json["family"] = json!(rule.family);
    json["severity"] = json!(rule.severity);
    json["title"] = json!(rule.title);
    json["advice"] = json!(rule.note().advice);
    json["signature"] = json!(finding.signature());
    json["count"] = json!(finding.count);
    json["line"] = json!(finding.line);
    json["bytes"] = json!([finding.bytes.start, finding.bytes.end]);
    json["evidence"] = json!(finding.evidence);
    json
}

fn text(log: &Log, has_colors: bool) -> String {
    let styled = |style: Style, text: &str| match has_colors {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    };
    let mut text = format!("{}\n", styled(Style::new().bold(), &log.heading));
    if log.found.is_empty() {
        text.push_str("  no findings\n");
    }
    for finding in &log.found {
        let rule = finding.rule;
        let severity = styled(
            style(rule.severity),
            &format!("{:7}", rule.severity.as_str()),
        );
        let count = match finding.count {
            1 => String::new(),
            count => format!(", {count} times"),
        };
        text.push_str(&format!(
            "\n  {severity}  {}\n           {}{count}\n           line {}: {}\n           {}\n",
            rule.title,
            printable::one_line(&finding.signature()),
            finding.line,
            printable::one_line(&finding.evidence),
            rule.note().advice
        ));
    }
    text
}

/// The same in lines of at most this width, each continued below its own text.
fn fitted(text: &str, width: Option<usize>) -> String {
    let fitted = text.lines().map(|line| match line.starts_with("  ") {
        true => output::hanging(line, TEXT_AT, width),
        false => output::hanging(line, 0, width),
    });
    fitted.map(|line| line + "\n").collect()
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Fatal => AnsiColor::Red.on_default().bold(),
        Severity::Error => AnsiColor::Red.on_default(),
        Severity::Warning => AnsiColor::Yellow.on_default(),
        Severity::Info => Style::new(),
    }
}
