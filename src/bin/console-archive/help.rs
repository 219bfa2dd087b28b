//! What `--help` and the man pages say beside the arguments: commands by task, and exit codes.

use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory, Error};
use std::fmt::Write as _;

/// The commands under the headings of `--help`, each once.
const TASKS: [(&str, &[&str]); 5] = [
    (
        "Read consoles back",
        &["list", "boots", "show", "grep", "get", "diff", "serve"],
    ),
    (
        "Find out what went wrong",
        &["findings", "explain", "report", "rescan"],
    ),
    ("Store consoles", &["capture", "sweep", "invoke", "redrive"]),
    (
        "Keep the archive",
        &["export", "copy", "compact", "reindex", "verify", "prune"],
    ),
    (
        "Set up and try out",
        &["doctor", "simulate", "completions", "man"],
    ),
];

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: ECS, the archive or the queue did not answer, or refused; a record
       is damaged, also with --damaged; `verify` found a fault; `copy` left
       something out; or the time was over. With `diff --exit-code`: the logs
       differ
  2    wrong on this side: an argument, a setting, an event, no such folder
  3    there is nothing: no such record, no console output, no failed event,
       nothing to verify or to copy
  130  interrupted (Ctrl-C)";

const EXAMPLES: &str = "\
Examples:
  console-archive list i-bp1panicnoroot00001
  console-archive get i-bp1panicnoroot00001

  Try it with no cloud at all, in two terminals:
  console-archive simulate --consoles tests/fixtures/consoles
  console-archive capture i-bp1panicnoroot00001   # with the settings it prints";

/// The whole command line. Help, completions and man pages are all made of it.
pub fn command<A: CommandFactory>() -> Command {
    let command = A::command()
        .after_help(EXIT_CODES)
        .after_long_help(format!("{EXAMPLES}\n\n{EXIT_CODES}"));
    let header = *command.get_styles().get_header();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{header}Options:{header:#}\n\
         {{options}}{{after-help}}",
        tasks(&command)
    );
    without_common_options(command.help_template(template))
}

/// What people try, and how it is written: of `export`, `--output` is not where it writes; of `show`, the number
/// behind `--findings` would be a number of its own.
pub fn with_advice(mut error: Error) -> Error {
    let has = |word: &str| std::env::args().any(|argument| argument == word);
    let told = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let option = told(ContextKind::InvalidArg).unwrap_or_default();
    let tip = match told(ContextKind::InvalidValue) {
        Some(value) if has("export") && option.starts_with("--output <") => Some(format!(
            "to write the file {value}, give -o {value} or --output-file {value}"
        )),
        None if has("--findings") && option.parse::<usize>().is_ok() => Some(format!(
            "for so many lines around each finding, give --findings={option}"
        )),
        _ => None,
    };
    if let Some(tip) = tip {
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// Commands that neither read settings nor print results: their help leaves the common options out.
const WITHOUT_COMMON_OPTIONS: [&str; 3] = ["simulate", "completions", "man"];

/// Options that a subcommand has by itself are not taken over from above, so that these are hidden.
fn without_common_options(command: Command) -> Command {
    let common = command
        .get_arguments()
        .filter(|option| option.is_global_set());
    let hidden: Vec<_> = common.map(|option| option.clone().hide(true)).collect();
    WITHOUT_COMMON_OPTIONS
        .iter()
        .fold(command, |command, name| {
            command.mut_subcommand(name, |subcommand| subcommand.args(&hidden))
        })
}

fn tasks(command: &Command) -> String {
    let styles = command.get_styles();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let width = TASKS.iter().flat_map(|(_, names)| *names);
    let width = width.map(|name| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (task, names) in TASKS {
        let _ = writeln!(text, "{header}{task}:{header:#}"); // Writing to a string does not fail.
        for name in names {
            let about = (command.find_subcommand(name)).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
        }
        text.push('\n');
    }
    text
}
