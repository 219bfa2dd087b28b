//! The command line: arguments → the library's use cases → text or JSON, and an exit code.

mod commands;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser;

use commands::{Command, CommonArguments, Context};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the service or the archive is out of reach, refuses, or has a damaged record
     (with --damaged, too); or it timed out
  2  wrong on this side: an argument, a setting, an event
  3  there is nothing: no such record, no console output, no failed event";

const EXAMPLES: &str = "\
Try it with no cloud at all, in two terminals:
  console-archive simulate --consoles tests/fixtures/consoles
  console-archive capture i-bp1panicnoroot00001   # with the settings that simulate prints";

/// Keeps and reads back the console outputs of Alibaba Cloud ECS instances.
#[derive(Debug, Parser)]
#[command(name = "console-archive", version, max_term_width = 100)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, subcommand_required = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: CommonArguments,
}

fn main() -> ExitCode {
    let Arguments { command, common } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(format_args!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let (ended, time) = runtime.block_on(async {
        let context = Context::new(common).await;
        let time = context.time();
        (command.run(context).await, time)
    });
    // A read of a folder that hangs is not waited for.
    runtime.shutdown_background();
    exit::code(ended, time)
}
