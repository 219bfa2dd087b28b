//! `console-archive invoke`: events from files, served as the function serves them.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::hosts::dispatch::Payload;
use ecs_console_archiver::hosts::reply::InvocationError;
use ecs_console_archiver::hosts::served::{ServeError, Served};
use ecs_console_archiver::intake::MAX_EVENT_BYTES;
use ecs_console_archiver::model::outcome::{ErrorType, Outcome};
use ecs_console_archiver::retry::Deadline;
use ecs_console_archiver::{log, printable};
use serde_json::Value;

use super::{Context, EcsArguments};
use crate::exit::{Exit, WrongInput, unless_closed};
use crate::input;
use crate::output::{self, Output};
use crate::record::Taken;

/// Serve events from files, as the function does
///
/// To serve an event is to do what it asks for: it leads to a capture, or says why it does not. Each file
/// holds one payload in any form the function takes; `-` is standard input. A file that
/// cannot be read or served does not stop the others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive invoke events/manual.json
  echo '{\"instance_id\": \"i-bp1panicnoroot00001\"}' | console-archive invoke -")]
pub struct Arguments {
    /// Files with events
    #[arg(required = true, value_name = "FILE")]
    events: Vec<PathBuf>,
    #[command(flatten)]
    ecs: EcsArguments,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.log());
    let dispatcher = context.dispatcher(arguments.ecs)?;
    let taken = Taken::within(dispatcher.archiver.follow_budget);
    let mut exit = Exit::Done;
    for (served, path) in arguments.events.iter().enumerate() {
        if context.interrupt.is_pressed() {
            tell_left(&arguments.events[served..]);
            return Ok(Exit::Interrupted);
        }
        // Nothing has begun while a file is read, and a person may take long to type one.
        let read = tokio::select! {
            read = read_payload(path.clone()) => read,
            () = context.interrupt.pressed() => {
                tell_left(&arguments.events[served..]);
                return Ok(Exit::Interrupted);
            }
        };
        let payload = match read {
            Ok(payload) => payload,
            // The other files are served all the same, as behind an event that is not one.
            Err(error) => {
                output::error(error);
                exit = Exit::Wrong;
                continue;
            }
        };
        let deadline = Deadline::after(context.time());
        let name = path.display().to_string();
        let dispatch = dispatcher.dispatch(Payload::File(&payload), deadline);
        let mut reply = context.interrupt.finish(&name, dispatch).await;
        let deferred = std::mem::take(&mut reply.deferred);
        let answer = reply.to_json();
        let is_wrong = matches!(&answer, Err(error) if error.error_type == ErrorType::InvalidEvent);
        unless_closed(print(&name, &answer, taken, context.output))?;
        context.advise(reply.failures().filter_map(captured));
        if let Err(error) = answer.as_ref()
            && error.is_transient
        {
            output::timed_out(&error.message, context.time());
        }
        if !deferred.is_empty() && context.output == Output::Text {
            // Otherwise it looks as if it hung.
            let seconds = context.time().as_secs();
            output::error(format_args!(
                "following the console of {name}, for at most {seconds} s (--timeout)"
            ));
        }
        let following = dispatcher.finish_deferred(deferred, deadline);
        let ended = context.interrupt.finish(&name, following).await;
        if context.output == Output::Text {
            unless_closed(ended.iter().try_for_each(print_followed))?;
        }
        let has_queue = dispatcher.archiver.follow_queue.is_some();
        context.advise(
            ended
                .iter()
                .filter_map(|served| captured(served.as_ref().err()?)),
        );
        let is_whole = |outcome: &Outcome| outcome.leaves_nothing(has_queue);
        let is_done = reply
            .events()
            .chain(&ended)
            .all(|served| served.as_ref().is_ok_and(is_whole))
            && reply.is_success();
        exit = match exit {
            Exit::Wrong => Exit::Wrong,
            _ if is_wrong => Exit::Wrong,
            Exit::Done if !is_done => Exit::Failed,
            earlier => earlier,
        };
    }
    if context.interrupt.is_pressed() {
        return Ok(Exit::Interrupted);
    }
    Ok(exit)
}

/// Of an event that came to a capture.
fn captured(error: &ServeError) -> Option<&CaptureError> {
    match error {
        ServeError::Capture(error) => Some(error),
        _ => None,
    }
}

/// What became of an event that was followed after its answer.
fn print_followed(served: &Served) -> Result<()> {
    match served {
        Ok(outcome) => output::outcome(
            &serde_json::to_value(outcome)?,
            Taken::Following,
            Output::Text,
        )?,
        Err(error) => {
            let (error_type, message) = (error.error_type(), error.to_string());
            let failed = format!("  {error_type}: {}", printable::lines(&message));
            writeln!(stdout(), "{}", output::wrapped(&failed, output::width()))?;
        }
    }
    Ok(())
}

fn tell_left(files: &[PathBuf]) {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    output::error(format_args!(
        "interrupted: not served: {}",
        names.join(", ")
    ));
}

/// At most a byte more than any event may have, so that an endless input ends.
async fn read_payload(path: PathBuf) -> Result<Vec<u8>, WrongInput> {
    input::read_or_standard_input(path, MAX_EVENT_BYTES as u64 + 1, "an event").await
}

fn print(
    name: &str,
    answer: &Result<Value, InvocationError>,
    taken: Taken,
    output: Output,
) -> Result<()> {
    let path = printable::one_line(name);
    match (answer, output) {
        (Ok(answer), Output::Json) => output::json_line(answer)?,
        (Err(error), Output::Json) => output::json_line(&error.to_json())?,
        (Ok(answer), Output::Text) => {
            writeln!(stdout(), "{path}")?;
            output::outcomes(answer, taken, output)?;
        }
        (Err(error), Output::Text) => {
            let message = printable::one_line(&error.message);
            let failed = format!("  {}: {message}", error.error_type);
            let failed = output::wrapped(&failed, output::width());
            writeln!(stdout(), "{path}\n{failed}")?;
        }
    }
    Ok(())
}
