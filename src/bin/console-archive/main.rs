//! The command line: arguments → the library's use cases → text or JSON, and an exit code.

mod advice;
mod boots;
mod commands;
mod exit;
mod finding;
mod help;
mod input;
mod interrupt;
mod output;
mod pace;
mod pager;
mod record;
mod resume_file;
mod screenshot;
mod table;
mod time;

use std::process::ExitCode;

use clap::{FromArgMatches as _, Parser};
use ecs_console_archiver::retry;

use commands::{Command, CommonArguments, Context};

/// Stores the console outputs of Alibaba Cloud ECS instances in an archive, and reads them back.
#[derive(Debug, Parser)]
#[command(name = "console-archive", version, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: CommonArguments,
}

fn main() -> ExitCode {
    let mut command = help::command::<Arguments>();
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let matches = matches.unwrap_or_else(|error| help::with_advice(error).exit());
    let Arguments { command, common } = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.format(&mut command).exit(),
    };
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
    let code = runtime.block_on(retry::noting_time_up(async {
        let context = Context::new(common).await;
        let ended = command.run(&context).await;
        exit::code(context.as_seen(ended), &context)
    }));
    // A read of a folder that hangs is not waited for.
    runtime.shutdown_background();
    code
}
