//! How a command ends: the exit codes of `--help`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::config::ConfigError;

use crate::{interrupt, output};

/// How a command ended that did not fail for another reason.
pub enum Exit {
    Done,
    Failed,
    Wrong,
    Nothing,
    /// By Ctrl-C. What had begun is finished.
    Interrupted,
}

/// A file that cannot be read, or a folder that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongInput(pub String);

pub fn code(ended: Result<Exit>, time: Duration) -> ExitCode {
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::FAILURE,
        Ok(Exit::Wrong) => ExitCode::from(2),
        Ok(Exit::Nothing) => ExitCode::from(3),
        Ok(Exit::Interrupted) => {
            interrupt::die();
            ExitCode::from(130)
        }
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(format_args!("{error:#}"));
            output::time_is_over(&error, time);
            let wrong = error.is::<ConfigError>() || error.is::<WrongInput>();
            if wrong {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// For what goes on with its work when nobody reads what it prints any more.
pub fn unless_closed(printed: Result<()>) -> Result<()> {
    match printed {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        printed => printed,
    }
}

pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(broken)
}
