//! `console-archive doctor`: the checks of the set-up as a table or as JSON.

use std::str::FromStr as _;

use anstyle::AnsiColor;
use anyhow::Result;
use clap::Args;
use ecs_console_archiver::config::{ConfigError, Sections};
use ecs_console_archiver::deployed::DeployedFunction;
use ecs_console_archiver::deployed::name::FunctionName;
use ecs_console_archiver::doctor::{Check, Diagnosis, Verdict, deployed, examine};
use ecs_console_archiver::http::HttpOptions;
use ecs_console_archiver::model::check::Doctor;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::printable::one_line;
use serde_json::json;

use super::{Context, EcsArguments};
use crate::exit::{Exit, unless_closed};
use crate::output::{self, Output};
use crate::table::{self, Cell, Column, NOTHING, Table};

const AFTER_HELP: &str = "\
Examples:
  console-archive doctor
  console-archive doctor --send-test-notice
  console-archive doctor --instance-id i-bp1panicnoroot00001 --output json
  console-archive doctor \\
    --deployed arn:aws:lambda:us-east-1:123456789012:function:NAME

Exit codes:
  0  all is in order, or there are warnings only
  1  something failed
  2  a setting is wrong or missing; the rest was checked as far as it goes.
     With --deployed, a setting of this machine";

/// Columns of the table in a file or a pipe.
const WIDTH_OF_A_FILE: usize = 120;

/// Check the set-up, and say what to do about what is wrong
///
/// It asks ECS for one console, one screenshot and one page of instances, stores one small object in the
/// archive, always the same, reads it back, and sends the queue of FOLLOW_QUEUE_URL one message
/// that the function ignores. Each of these takes 10 s at most.
///
/// With --deployed, the deployed function does the same with its own credentials, and says who it is on
/// both clouds and which settings it has.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Ask for the console and the screenshot of this instance, and not of one that cannot exist
    #[arg(long, value_name = "INSTANCE_ID", value_parser = InstanceId::parse)]
    instance_id: Option<InstanceId>,
    /// Invoke this function, and show what it checked itself: NAME or NAME:ALIAS of AWS Lambda, or its
    /// ARN, or acs:fc:REGION:ACCOUNT:functions/NAME of Function Compute
    #[arg(long, value_name = "FUNCTION", value_parser = FunctionName::from_str)]
    #[arg(conflicts_with = "ecs_endpoint_url")]
    deployed: Option<FunctionName>,
    /// Send a test notice to everybody who is told of findings
    #[arg(long)]
    send_test_notice: bool,
    #[command(flatten)]
    ecs: EcsArguments,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let diagnosis = match &arguments.deployed {
        Some(name) => ask(name, &arguments, context).await?,
        None => {
            let environment = arguments.ecs.over(context.environment.clone());
            let parts = Sections::from_environment(&environment);
            let sends_test = arguments.send_test_notice;
            examine(parts, arguments.instance_id, sends_test, context.time()).await?
        }
    };
    let printed = match context.output {
        Output::Json => output::json(&json!(diagnosis)),
        Output::Text => print(&diagnosis.checks, context),
    };
    unless_closed(printed)?;
    Ok(match diagnosis.verdict {
        _ if diagnosis.settings_are_wrong() => Exit::Wrong,
        Verdict::Failed => Exit::Failed,
        Verdict::Ok | Verdict::Skipped | Verdict::Warning => Exit::Done,
    })
}

/// Asks a deployed function.
async fn ask(name: &FunctionName, arguments: &Arguments, context: &Context) -> Result<Diagnosis> {
    let (function, http) = ConfigError::both(
        DeployedFunction::from_environment(name, &context.environment),
        HttpOptions::from_environment(&context.environment),
    )?;
    let question = Doctor {
        region_id: arguments.ecs.region.clone(),
        instance_id: arguments.instance_id.clone(),
        send_test_notice: arguments.send_test_notice,
    };
    Ok(deployed::examine(&function, &question, &http, context.time()).await?)
}

fn print(checks: &[Check], context: &Context) -> Result<()> {
    let row = |check: &Check| {
        let advice = check.advice.as_deref().unwrap_or(NOTHING);
        vec![
            table::glued(&one_line(&check.name)).into(),
            verdict(check.verdict),
            one_line(&check.found).into_owned().into(), // It may quote a service.
            one_line(advice).into_owned().into(),
        ]
    };
    let mut columns = ["CHECK", "VERDICT"].map(Column::text).to_vec();
    columns.extend(["WHAT WAS FOUND", "WHAT TO DO"].map(Column::sentences));
    let rows = checks.iter().map(row).collect();
    // Its sentences are long, and who reads a file of them has some width, too.
    let width = output::width().unwrap_or(WIDTH_OF_A_FILE);
    context.print_in(&Table::new(columns, rows), Some(width))
}

fn verdict(verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Ok => Cell::colored("ok", AnsiColor::Green),
        Verdict::Skipped => "skipped".into(),
        Verdict::Warning => Cell::colored("warning", AnsiColor::Yellow),
        Verdict::Failed => Cell::colored("FAILED", AnsiColor::Red),
    }
}
