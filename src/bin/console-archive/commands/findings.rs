//! `console-archive findings`: what a boot or a log says went wrong, or what a fleet's consoles say.

mod fleet;
mod signatures; // what is known of each signature (pure)

pub use fleet::{tell_coverage, tell_unread};
pub use signatures::{BySignature, OfRow, Signature};

use std::io::{IsTerminal as _, Write as _, stdout};

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding, Rules, Severity};
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::reading::stitch::Boot;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;
use ecs_console_archiver::{log, printable};
use globset::GlobMatcher;
use serde_json::{Value, json};

use super::{Context, grep, word};
use crate::boots::{self, Boots, Summary, hide_secrets};
use crate::exit::{Exit, WrongInput};
use crate::finding;
use crate::input;
use crate::output::{self, Output};
use crate::pager::Destination;
use crate::time::{Bound, Period};

/// Say what went wrong in a boot, and what to do; or in a fleet
///
/// Of an instance, the newest boot, unless another one is chosen. A file is one log, from any program; gzip is
/// unpacked, and `-` is standard input.
///
/// Without either, what the consoles of all instances say, by signature: how many instances have it, since when,
/// and an instance to look at. This is read from the catalog.
///
/// Each finding has an ID, which `console-archive explain` explains, and a signature: what the same fault has in
/// common on every machine. A signature that a log has several times is counted, and shown where it is first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive findings i-bp1panicnoroot00001
  console-archive findings i-bp1panicnoroot00001 --all --severity error
  console-archive findings --since -1d --severity fatal
  console-archive findings --signature root-not-mounted --output json
  console-archive findings console.log
  dmesg | console-archive findings -")]
pub struct Arguments {
    /// The instance; or a file, ./i-a1 if its name is like an ID. Without it: all instances
    #[arg(value_name = "INSTANCE_ID|FILE")]
    what: Option<String>,
    /// The boot: a number (0 is the newest, -1 the one before, 1 the oldest), `latest`, `previous`, or a BOOT ID
    #[arg(
        short,
        long,
        value_name = "BOOT",
        allow_hyphen_values = true,
        default_value = "latest"
    )]
    #[arg(hide_default_value = true, requires = "what")]
    boot: Selection,
    /// All boots of the instance
    #[arg(long, conflicts_with = "boot", requires = "what")]
    all: bool,
    /// Only what was captured from then on: 2024-03-22, "2024-03-22 10:04", 10:04, today, yesterday, -1h. Of an
    /// instance, all boots of that time
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "boot"
    )]
    since: Option<Bound>,
    /// Only what was captured until then; a day, an hour or a minute counts to its end
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "boot"
    )]
    until: Option<Bound>,
    /// Only instances that this matches, such as 'i-bp1*'; several may be given
    #[arg(long, value_name = "GLOB", value_parser = grep::glob, conflicts_with = "what")]
    instance: Vec<GlobMatcher>,
    /// Only instances of this region; several may be given
    #[arg(long, value_name = "REGION_ID", value_delimiter = ',', value_parser = RegionId::parse)]
    #[arg(conflicts_with = "what")]
    region: Vec<RegionId>,
    /// Only findings of this severity, or worse
    #[arg(long, value_name = "SEVERITY", default_value = "info", value_parser = word(&Severity::ALL, Severity::as_str))]
    severity: Severity,
    /// Only findings of this family; several may be given
    #[arg(long, value_name = "FAMILY", value_delimiter = ',', value_parser = PossibleValuesParser::new(families()))]
    family: Vec<String>,
    /// Only this signature, or all with this ID; several may be given
    #[arg(long, value_name = "SIGNATURE")]
    signature: Vec<String>,
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

/// The families, in the order of the rules.
fn families() -> Vec<&'static str> {
    let rules = Rules::built_in().all().iter();
    let mut families: Vec<_> = rules.map(|rule| rule.family).collect();
    families.dedup();
    // Of rules of one's own.
    families.push("own");
    families
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let (since, until) = (arguments.since.as_ref(), arguments.until.as_ref());
    let period = Period::of(since, until, &context.time_zone);
    if period.is_empty() {
        return Err(WrongInput("--until is before --since".into()).into());
    }
    let Some(what) = &arguments.what else {
        let store = context.store()?;
        let store = Retrying::new(&store, Deadline::after(context.time()));
        return fleet::run(&arguments, period, context, &store).await;
    };
    let (logs, exit) = match InstanceId::parse(what) {
        Ok(instance_id) => match arguments.boots(&instance_id, period, context).await? {
            Ok(found) => found,
            Err(exit) => return Ok(exit),
        },
        Err(_) => (vec![arguments.file(what, context).await?], Exit::Done),
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
        period: Period,
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
        let chosen = match self.all || period.is_bounded() {
            true => 0..read.boots.len(),
            false => match read.select(&self.boot, instance_id) {
                Some(index) => index..index + 1,
                None => return Ok(Err(Exit::Nothing)),
            },
        };
        let is_of_time = |index: &usize| {
            let mut captures = read.boots[*index].captures.iter();
            captures.any(|capture| period.contains(capture.captured_at))
        };
        let logs = chosen.filter(is_of_time).map(|index| {
            let summary = Summary::new(&read.boots, index);
            let (id, number) = (&summary.boot.id, summary.number);
            let of = json!({"instance_id": instance_id, "boot": number, "boot_id": id});
            let heading = format!("boot {number}  {id}  {}", summary.ending_in_words());
            self.log(summary.findings(self.encoding), heading, of)
        });
        let logs: Vec<_> = logs.collect();
        if let [Log { found, .. }] = &logs[..]
            && found.is_empty()
        {
            self.tell_others(&read);
        }
        if logs.is_empty() {
            output::error(format_args!("{instance_id} has no boot of that time"));
            if context.output == Output::Json {
                output::json(&json!([]))?;
            }
            return Ok(Err(Exit::Nothing));
        }
        Ok(Ok((logs, read.exit())))
    }

    async fn file(&self, name: &str, context: &Context) -> Result<Log> {
        let has_time = self.since.is_some() || self.until.is_some();
        if self.all || has_time || self.boot != Selection::Back(0) {
            let wrong = "--boot, --all, --since and --until are for the boots of an instance, and a file is one log";
            return Err(WrongInput(wrong.into()).into());
        }
        let (name, mut log) = input::read_log(name).await?;
        hide_secrets(&mut log, context.redact()?);
        let found = findings::of_log(&Boot::of_log(log), self.encoding, Rules::current());
        let of = json!({"file": name});
        Ok(self.log(found, printable::one_line(name).into_owned(), of))
    }

    /// Says which boot has findings where the chosen one has none: after a crash, it is the one before.
    fn tell_others(&self, read: &Boots) {
        for index in (0..read.boots.len()).rev() {
            let summary = Summary::new(&read.boots, index);
            let found = summary.findings(self.encoding);
            let log = self.log(found, String::new(), json!({}));
            if !log.found.is_empty() {
                let (number, count) = (summary.number, log.found.len() as u64);
                output::error(format_args!(
                    "boot {number} has {}; -b {number} shows them, and --all those of all boots",
                    output::count(count, "finding")
                ));
                return;
            }
        }
    }

    fn log(&self, mut found: Vec<Finding<'static>>, heading: String, of: Value) -> Log {
        found.retain(|finding| {
            let rule = finding.rule;
            self.asks_for(finding.severity, rule.family, rule.id, &finding.signature())
        });
        Log { heading, of, found }
    }

    fn asks_for(&self, severity: Severity, family: &str, id: &str, signature: &str) -> bool {
        let is_one = |wanted: &String| wanted == signature || wanted == id;
        severity >= self.severity
            && (self.family.is_empty() || self.family.iter().any(|wanted| wanted == family))
            && (self.signature.is_empty() || self.signature.iter().any(is_one))
    }
}

fn json(finding: &Finding, of: &Value) -> Value {
    let mut json = of.clone();
    finding::add(finding, &mut json);
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
            finding::style(finding.severity),
            &format!("{:7}", finding.severity.as_str()),
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
            rule.advice()
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
