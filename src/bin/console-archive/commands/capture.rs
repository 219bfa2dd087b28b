//! `console-archive capture`: one instance's console, without an event.

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::log;
use ecs_console_archiver::model::console::NoConsole;
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::outcome::Outcome;
use ecs_console_archiver::retry::{Deadline, Retrying};

use super::{Context, EcsArguments, get};
use crate::exit::{Exit, WrongInput, unless_closed};
use crate::output;
use crate::record::Taken;

/// Ask ECS for an instance's console now, and store it
///
/// It needs credentials for ECS, and to write to the archive; `doctor` says what is missing. If the archive
/// has this console already, nothing is stored: the record is read back and verified.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive capture i-bp1panicnoroot00001 --region cn-hangzhou")]
pub struct Arguments {
    /// The instance
    #[arg(value_parser = InstanceId::parse)]
    instance_id: InstanceId,
    #[command(flatten)]
    ecs: EcsArguments,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let archiver = context.archiver(arguments.ecs)?;
    let event = InstanceEvent::new(arguments.instance_id, Cause::Manual);
    let deadline = Deadline::after(context.time());
    let capture = archiver.capture(event, deadline);
    let outcome = match context.interrupt.finish("the capture", capture).await {
        Ok(outcome) => outcome,
        Err(CaptureError::NoRegion) => {
            return Err(WrongInput(
                "no region: give --region or set ALIBABA_CLOUD_REGION_ID".into(),
            )
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    let printed = output::outcome(
        &serde_json::to_value(&outcome)?,
        Taken::AtOnce,
        context.output,
    );
    unless_closed(printed)?;
    if context.interrupt.is_pressed() {
        return Ok(Exit::Interrupted);
    }
    match &outcome {
        Outcome::NoConsole {
            reason: NoConsole::NotFound,
            marker_url: Some(marker_url),
            ..
        } => {
            let region = archiver.default_region.as_ref().map(RegionId::as_str);
            output::error(format_args!(
                "warning: ECS knows no such instance in {}: check the ID, --region and the \
                 account; the archive has {marker_url}",
                region.unwrap_or_default()
            ));
            Ok(Exit::Nothing)
        }
        Outcome::NoConsole { screenshots, .. } if screenshots.is_empty() => Ok(Exit::Nothing),
        Outcome::AlreadyStored(stored) => {
            let store = Retrying::new(&archiver.store, Deadline::after(context.time()));
            Ok(get::verify(&store, &stored.record.key).await)
        }
        _ => Ok(Exit::Done),
    }
}
