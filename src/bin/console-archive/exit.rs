//! How a command ends: the exit codes of `--help`.

use std::process::ExitCode;

use anyhow::Result;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::config::ConfigError;
use ecs_console_archiver::credentials::CredentialsError;
use ecs_console_archiver::retry;
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::store::StoreError;

use crate::commands::Context;
use crate::{interrupt, output};

/// How a command ended that did not fail for another reason.
pub enum Exit {
    Done,
    Failed,
    Wrong,
    Nothing,
    /// What was compared differs, and the exit code is to say so.
    Different,
    /// By Ctrl-C. What had begun is finished.
    Interrupted,
}

/// A file that cannot be read, or a folder that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongInput(pub String);

pub fn code(ended: Result<Exit>, context: &Context) -> ExitCode {
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed | Exit::Different) => ExitCode::FAILURE,
        Ok(Exit::Wrong) => ExitCode::from(2),
        Ok(Exit::Nothing) => ExitCode::from(3),
        Ok(Exit::Interrupted) => {
            interrupt::die();
            ExitCode::from(130)
        }
        // Whoever reads the output has seen enough. What was found until then, the exit code says all the same.
        Err(error) if is_broken_pipe(&error) => match context.is_to_fail() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
        Err(error) => {
            let told = format!("{error:#}");
            match error.downcast_ref::<ConfigError>() {
                Some(wrong) => output::problems(wrong),
                None => output::error(told),
            }
            if let Some(advice) = context.advice(&error) {
                output::error(advice);
            }
            if let Some(time_up) = retry::take_time_up() {
                output::time_is_over(&error, time_up, context.time());
            }
            let is_wrong = error.is::<ConfigError>() || error.is::<WrongInput>();
            if is_wrong || has_unusable_key(&error) || names_no_folder(&error) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether the setting of the archive names a folder that does not exist.
fn names_no_folder(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<StoreError>(),
        Some(StoreError::NoFolder(_))
    )
}

/// Whether a key came, from wherever the settings say, that goes into no request.
fn has_unusable_key(error: &anyhow::Error) -> bool {
    let of_store = |error: &StoreError| {
        matches!(
            error,
            StoreError::Credentials(CredentialsError::Unusable(_))
        )
    };
    match error.downcast_ref::<CaptureError>() {
        Some(CaptureError::Ecs(EcsError::Credentials(CredentialsError::Unusable(_)))) => true,
        Some(CaptureError::Store(error)) => of_store(error),
        Some(_) => false,
        None => error.downcast_ref::<StoreError>().is_some_and(of_store),
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
