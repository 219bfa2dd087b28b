//! `console-archive diff`: what changed from one boot to another, or from one log to another.

pub mod printer;
pub mod rows;

use std::io::{IsTerminal as _, stdout};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::compare::{Comparison, Manner, Side};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::ending::{self, Ending};
use ecs_console_archiver::reading::findings::secrets;
use ecs_console_archiver::reading::pattern::{Case, Meaning, Pattern};
use ecs_console_archiver::reading::select::{InvalidSelection, Selection};
use ecs_console_archiver::reading::start::kernel_release;
use ecs_console_archiver::reading::stitch::{Boot, MarkKind};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;
use ecs_console_archiver::{log, printable};
use serde_json::{Value, json};

use super::Context;
use crate::boots::{self, Boots, Summary};
use crate::exit::{Exit, WrongInput};
use crate::input;
use crate::output::{self, Output};
use crate::pager::Destination;
use printer::{Form, Printer};

/// Show what changed from one boot to another
///
/// Without a BOOT, the newest boot is compared with the last one before it that reached its login prompt on
/// the same kernel; with one, that boot is. If no boot before it reached its prompt, it is compared with the
/// first one behind it that did, and a note says so. Of two instances, the newest boots are compared. Two files are
/// compared as they are given; gzip is unpacked, and `-` is standard input.
///
/// What differs at each boot counts for nothing: stamps, addresses, process IDs, durations, dates, clock
/// frequencies, IDs of boots. Numbers that matter count: error numbers, units, sizes, the command line.
/// Lines that only stand in another order have moved, and are counted. Lines that the other log has where
/// output is lost are no difference.
///
/// Secrets are masked before logs are compared, so that nobody can guess them: two that have as many bytes look the
/// same. A note says how many there are. REDACT=off compares what they are.
///
/// What went wrong in the second log alone is new, and what went wrong in the first alone is gone: this is said
/// before the lines. `findings` says all of one log, and what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive diff i-bp1panicnoroot00001
  console-archive diff i-bp1panicnoroot00001 -2 -1
  console-archive diff i-bp1panicnoroot00001 --baseline previous --stat
  console-archive diff before.log after.log.gz
  console-archive get i-bp1panicnoroot00001 | console-archive diff before.log -")]
pub struct Arguments {
    /// The instance; or the first of two files, ./i-a1 if its name is like an ID
    #[arg(value_name = "INSTANCE_ID|FILE")]
    first: String,
    /// The boot to look at; or two boots, the second of which is looked at: numbers (0 is the newest, -1 the
    /// one before, 1 the oldest), `latest`, `previous`, or a BOOT ID. Or another instance, or the second file
    #[arg(value_name = "BOOT|FILE", num_args = 0..=2, allow_negative_numbers = true)]
    others: Vec<String>,
    /// The boot to look at, as `show` takes it: the same as BOOT behind the instance
    #[arg(short, long, value_name = "BOOT", allow_hyphen_values = true)]
    #[arg(conflicts_with = "others")]
    boot: Option<Selection>,
    /// What the boot is compared with: `good`, the last boot before it that reached its login prompt, on the
    /// same kernel if there is one, else the first one behind it; `previous`, the one before it; or a BOOT
    #[arg(long, value_name = "good|previous|BOOT", default_value = "good")]
    #[arg(allow_hyphen_values = true, hide_default_value = true)]
    baseline: Baseline,
    /// Leave out lines that match this regular expression; may be given several times
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    ignore: Vec<String>,
    /// Compare lines as they are: nothing is masked, and nothing has moved
    #[arg(long)]
    raw: bool,
    /// Lines around each change
    #[arg(short = 'U', long, value_name = "LINES", default_value = "3")]
    unified: usize,
    /// Only count the differences, by the phases of a boot
    #[arg(long, conflicts_with = "unified")]
    stat: bool,
    /// Show the lines that have moved, too: < where they were, > where they are
    #[arg(long)]
    moved: bool,
    /// Show all lines of long blocks, of repetitions, and of places where output is lost
    #[arg(long)]
    unfold: bool,
    /// Exit with 1 if there are differences, and with 0 if there are none, as `git diff` does
    #[arg(long)]
    exit_code: bool,
    /// What the consoles are written in: auto, utf-8, gb18030, or another name of the Encoding Standard
    #[arg(long, value_name = "NAME", default_value = "auto")]
    encoding: EncodingChoice,
    /// Print without a pager
    #[arg(long)]
    no_pager: bool,
}

/// What a boot is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    Good,
    Previous,
    Boot(Selection),
}

impl Baseline {
    /// The boot that the chosen one is compared with. Tells it if there is none.
    pub fn of(&self, read: &Boots, chosen: usize, instance_id: &InstanceId) -> Option<usize> {
        if read.boots.len() == 1 {
            output::error(format_args!(
                "{instance_id} has only one boot so far: there is none to compare it with; `console-archive diff \
                 {instance_id} OTHER_INSTANCE_ID` compares it with that of another instance"
            ));
            return None;
        }
        let advice = "--baseline BOOT names one";
        match self {
            Self::Boot(selection) => read.select(selection, instance_id),
            Self::Previous if chosen == 0 => {
                let told = format!("{instance_id}: no boot is known before that one; {advice}");
                output::error(told);
                None
            }
            Self::Previous => Some(chosen - 1),
            Self::Good => {
                let found = last_good(&read.boots, chosen);
                if found.is_none() {
                    output::error(format_args!(
                        "{instance_id}: no other boot is known that reached its login prompt; \
                         --baseline previous compares with the one before, or {advice}"
                    ));
                }
                found
            }
        }
    }
}

impl FromStr for Baseline {
    type Err = InvalidSelection;

    fn from_str(text: &str) -> Result<Self, InvalidSelection> {
        match text {
            text if text.eq_ignore_ascii_case("good") => Ok(Self::Good),
            text if text.eq_ignore_ascii_case("previous") => Ok(Self::Previous),
            text => text.parse().map(Self::Boot),
        }
    }
}

/// A comparison that takes longer goes on coarsely.
const TIME: Duration = Duration::from_secs(5);

/// What is compared, with its name.
pub struct Log {
    pub boot: Boot,
    /// In the heading.
    heading: String,
    /// What JSON says of it.
    json: Value,
    /// Whether its last words may be missing.
    is_end_unknown: bool,
    /// How many secrets are masked in it.
    masked: usize,
}

/// The two logs, and how the command ends if nothing else is to be said.
struct Pair {
    a: Log,
    b: Log,
    /// Whether the first one is of a later boot than the second, although an earlier one was asked for.
    is_later: bool,
    exit: Exit,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let ignored = arguments.ignored()?;
    let form = Form {
        context: arguments.unified,
        is_moved_shown: arguments.moved,
        is_unfolded: arguments.unfold,
        is_counted_only: arguments.stat,
        colours: context.has_colors(),
    };
    let found = match InstanceId::parse(&arguments.first) {
        Ok(instance_id) => arguments.boots(&instance_id, context).await?,
        Err(_) => Ok(arguments.files().await?),
    };
    let pair = match found {
        Ok(pair) => pair,
        Err(exit) => return Ok(exit),
    };
    let (is_raw, encoding, redact) = (arguments.raw, arguments.encoding, context.redact()?);
    let Pair {
        mut a,
        mut b,
        is_later,
        exit,
    } = pair;
    // It may take seconds, and Ctrl-C ends it.
    let compared = tokio::task::spawn_blocking(move || {
        let manner = Manner {
            is_raw,
            ignored: &ignored,
        };
        let (compared, is_coarse) = compare(&mut a, &mut b, encoding, manner, redact)?;
        anyhow::Ok((a, b, compared, is_coarse))
    });
    let (a, b, compared, is_coarse) = compared.await??;
    let printer = Printer {
        a: &a,
        b: &b,
        compared: &compared,
        is_later,
        is_coarse,
        form: &form,
    };
    let is_different = compared.has_differences();
    let exit = match exit {
        Exit::Done if is_different && arguments.exit_code => Exit::Different,
        exit => exit,
    };
    let exit = context.will_end(exit);
    if context.output == Output::Json {
        printer.json()?;
    } else {
        let is_paged = stdout().is_terminal() && !arguments.no_pager;
        let mut destination = match is_paged {
            true => Destination::pager(false)?,
            false => Destination::stdout(),
        };
        printer.print(&mut destination)?;
        destination.close()?;
    }
    Ok(exit)
}

/// Compares two logs, and masks their secrets. Returns also whether the time was over, so that the comparison is coarse.
pub fn compare(
    a: &mut Log,
    b: &mut Log,
    encoding: EncodingChoice,
    manner: Manner,
    redact: Redact,
) -> Result<(Comparison, bool)> {
    let deadline = Instant::now() + TIME;
    let read = |log: &mut Log| {
        let secrets = secrets::find(&log.boot.log);
        if redact != Redact::Off {
            secrets::mask(&mut log.boot.log, &secrets);
            log.masked = secrets.len();
        }
        Side::read_with(&log.boot, encoding, manner, secrets)
    };
    let (side_a, side_b) = std::thread::scope(|scope| {
        let side_b = scope.spawn(|| read(b));
        let side_a = read(a);
        (side_a, side_b.join())
    });
    let Ok(side_b) = side_b else {
        anyhow::bail!("the second log was not read");
    };
    let compared = Comparison::new(side_a, side_b, manner, Some(deadline));
    Ok((compared, Instant::now() > deadline))
}

impl Arguments {
    fn ignored(&self) -> Result<Vec<Pattern>> {
        if self.ignore.is_empty() {
            return Ok(Vec::new());
        }
        let meaning = Meaning {
            case: Case::Sensitive,
            is_literal: false,
            is_word: false,
            is_line: false,
        };
        let pattern = Pattern::new(&self.ignore, meaning);
        let pattern = pattern.map_err(|error| WrongInput(format!("--ignore: {error}")))?;
        if pattern.is_match("") && pattern.is_match("\u{1}") {
            let wrong =
                "--ignore: this pattern matches every line, so nothing would be left to compare";
            return Err(WrongInput(wrong.into()).into());
        }
        Ok(vec![pattern])
    }

    /// Two files.
    async fn files(&self) -> Result<Pair> {
        let [second] = &self.others[..] else {
            let first = printable::one_line(&self.first);
            let wrong = match self.others.len() {
                0 => format!("{first} is not an instance ID; two files are compared as `diff A B`"),
                _ => format!("{first} is not an instance ID, and more than two files were given"),
            };
            return Err(WrongInput(wrong).into());
        };
        if self.baseline != Baseline::Good {
            return Err(WrongInput("--baseline is for the boots of an instance".into()).into());
        }
        if self.first == "-" && second == "-" {
            return Err(WrongInput("standard input cannot be both logs".into()).into());
        }
        Ok(Pair {
            a: file(&self.first).await?,
            b: file(second).await?,
            is_later: false,
            exit: Exit::Done,
        })
    }

    /// Two boots of an instance. What is not there is told.
    async fn boots(
        &self,
        instance_id: &InstanceId,
        context: &Context,
    ) -> Result<Result<Pair, Exit>> {
        if let [second] = &self.others[..]
            && let Ok(second) = InstanceId::parse(second)
        {
            return self.instances(instance_id, &second, context).await;
        }
        let named = self.others.iter().map(|text| text.parse());
        let selections: Vec<Selection> = named
            .chain(self.boot.iter().cloned().map(Ok))
            .collect::<Result<_, InvalidSelection>>()
            .map_err(|error| WrongInput(error.to_string()))?;
        if selections.len() == 2 && self.baseline != Baseline::Good {
            let wrong = "--baseline is for one boot, and two were given";
            return Err(WrongInput(wrong.into()).into());
        }
        let store = context.store()?;
        let archive = Retrying::new(&store, Deadline::after(context.time()));
        context.reads();
        let read = boots::read(&archive, instance_id).await?;
        if read.boots.is_empty() {
            return Ok(Err(read.tell_none(
                instance_id,
                &store.url(""),
                &context.time_zone,
            )));
        }
        let found = match &selections[..] {
            [a, b] => read.select(a, instance_id).zip(read.select(b, instance_id)),
            chosen => {
                let newest = Selection::Back(0);
                let chosen = chosen.first().unwrap_or(&newest);
                read.select(chosen, instance_id).and_then(|chosen| {
                    Some((self.baseline.of(&read, chosen, instance_id)?, chosen))
                })
            }
        };
        let Some((a, b)) = found else {
            return Ok(Err(Exit::Nothing));
        };
        let log = |index| boot_log(&Summary::new(&read.boots, index), instance_id);
        Ok(Ok(Pair {
            a: log(a),
            b: log(b),
            is_later: selections.len() < 2 && self.baseline == Baseline::Good && a > b,
            exit: read.exit(),
        }))
    }

    /// The newest boots of two instances. What is not there is told.
    async fn instances(
        &self,
        first: &InstanceId,
        second: &InstanceId,
        context: &Context,
    ) -> Result<Result<Pair, Exit>> {
        if self.baseline != Baseline::Good {
            let wrong = "--baseline is for the boots of one instance, and two were given";
            return Err(WrongInput(wrong.into()).into());
        }
        let store = context.store()?;
        context.reads();
        let (mut logs, mut exit) = (Vec::new(), Exit::Done);
        for instance_id in [first, second] {
            let archive = Retrying::new(&store, Deadline::after(context.time()));
            let read = boots::read(&archive, instance_id).await?;
            let Some(newest) = read.boots.len().checked_sub(1) else {
                return Ok(Err(read.tell_none(
                    instance_id,
                    &store.url(""),
                    &context.time_zone,
                )));
            };
            if !read.left_out.is_empty() {
                exit = read.exit();
            }
            let mut log = boot_log(&Summary::new(&read.boots, newest), instance_id);
            log.heading = format!("{instance_id}/{}", log.heading);
            logs.push(log);
        }
        let (Some(b), Some(a)) = (logs.pop(), logs.pop()) else {
            return Ok(Err(Exit::Nothing));
        };
        Ok(Ok(Pair {
            a,
            b,
            is_later: false,
            exit,
        }))
    }
}

/// The last boot before `chosen` that reached its login prompt on the same kernel. If there is none: on any
/// kernel; then the first such boot behind it.
pub fn last_good(boots: &[Boot], chosen: usize) -> Option<usize> {
    let kernel = kernel_release(&boots[chosen].log);
    let is_good = |index: &usize| *index != chosen && ending::has_login(&boots[*index].log);
    let is_same = |index: &usize| kernel.is_none() || kernel_release(&boots[*index].log) == kernel;
    let before = || (0..chosen).rev().filter(is_good);
    let behind = || (chosen..boots.len()).filter(is_good);
    before()
        .find(is_same)
        .or_else(|| before().next())
        .or_else(|| behind().find(is_same))
        .or_else(|| behind().next())
}

/// A boot, as it is compared.
pub fn boot_log(summary: &Summary, instance_id: &InstanceId) -> Log {
    let boot = summary.boot.clone();
    let (number, ending) = (summary.number, summary.ending_in_words());
    let last = boot.marks.last().map(|mark| mark.kind);
    let is_decided = matches!(summary.ending, Ending::Clean | Ending::Panic);
    Log {
        is_end_unknown: last == Some(MarkKind::EndUnknown) && !is_decided,
        masked: 0,
        heading: format!("{}  boot {number}, {ending}", boot.id),
        json: json!({
            "instance_id": instance_id,
            "boot": number,
            "boot_id": boot.id,
            "ending": summary.ending.as_str(),
        }),
        boot,
    }
}

/// Reads a file, or standard input.
async fn file(name: &str) -> Result<Log, WrongInput> {
    let (name, log) = input::read_log(name).await?;
    Ok(Log {
        heading: printable::one_line(name).into_owned(),
        json: json!({"file": name}),
        is_end_unknown: false,
        masked: 0,
        boot: Boot::of_log(log),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boots(logs: &[&str]) -> Vec<Boot> {
        let boot = |log: &&str| Boot::of_log(log.as_bytes().to_vec());
        logs.iter().map(boot).collect()
    }

    #[test]
    fn a_boot_is_compared_with_the_last_good_one_of_its_kernel() {
        let old = "[    0.000000] Linux version 6.1 (gcc)\nhost login: \n";
        let new = "[    0.000000] Linux version 6.12 (gcc)\nhost login: \n";
        let panic = "[    0.000000] Linux version 6.1 (gcc)\n[    1.0] Kernel panic\n";
        let hangs = "SeaBIOS (version 1)\n";
        let found = |logs: &[&str], chosen| last_good(&boots(logs), chosen);
        assert_eq!(
            found(&[old, old, new, panic], 3),
            Some(1),
            "the same kernel"
        );
        assert_eq!(
            found(&[new, panic, panic], 2),
            Some(0),
            "another, if there is no other"
        );
        assert_eq!(
            found(&[old, new, hangs], 2),
            Some(1),
            "no kernel of its own"
        );
        assert_eq!(found(&[panic, new, old], 0), Some(2), "behind it");
        assert_eq!(found(&[panic, new], 0), Some(1));
        assert_eq!(found(&[old, panic, old], 2), Some(0));
        assert_eq!(found(&[panic, old], 1), None, "not itself");
        assert_eq!(found(&[panic, panic], 1), None);
    }
}
