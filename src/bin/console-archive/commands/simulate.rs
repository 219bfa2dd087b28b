//! `console-archive simulate`: an ECS API on this machine.

use std::io::{Write as _, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use ecs_console_archiver::log;
use ecs_console_archiver::model::credentials::{Credentials, Secret};
use ecs_console_archiver::simulator::{FaultPlan, Simulator, SimulatorConfig};

use super::Context;
use crate::exit::{Exit, WrongInput};
use crate::input;

/// Run an ECS API on this machine, with consoles from a folder
///
/// It verifies signatures, times and nonces as ECS does. The settings to use with it are
/// printed; it runs until it is interrupted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive simulate --consoles tests/fixtures/consoles
  console-archive simulate --consoles consoles/ --fault 'throttle*3'")]
pub struct Arguments {
    /// Folder with a file INSTANCE_ID.log for each console, or INSTANCE_ID.error with a status
    /// and a code such as "405 NotSupported"; INSTANCE_ID.jpg or .png is what its screen shows
    #[arg(long, value_name = "FOLDER")]
    consoles: PathBuf,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8580", value_name = "ADDRESS", value_parser = address)]
    listen: SocketAddr,
    /// Fail the next requests, in this order: throttle, fail, stall, truncate, garbage,
    /// bad-base64, reset, broken-json, expire-token, slow-body, wrong-content-type,
    /// cut-chunk, redirect or none, with
    /// a count as in throttle*3
    #[arg(long = "fault", value_name = "FAULT[*COUNT]")]
    faults: Vec<FaultPlan>,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    (text.parse()).map_err(|_| "expected an IP address and a port such as 127.0.0.1:8580")
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.log());
    let Arguments {
        consoles,
        listen,
        faults,
    } = arguments;
    if !consoles.is_dir() {
        let shown = input::shown(&consoles);
        let why =
            format!("--consoles: {shown} is not a folder; give one with files INSTANCE_ID.log");
        return Err(WrongInput(why).into());
    }
    // Known to everyone, and good for nothing but this.
    let credentials = Credentials {
        access_key_id: "simulator".into(),
        access_key_secret: Secret::new("simulator-secret"),
        security_token: None,
    };
    let config = SimulatorConfig {
        listen,
        consoles: Some(consoles),
        credentials: credentials.clone(),
    };
    let simulator = Simulator::start(config).await.map_err(|error| {
        anyhow!("cannot listen on {listen}: {error}; give another address with --listen")
    })?;
    faults.iter().for_each(|plan| simulator.plan_faults(plan));
    print_settings(&simulator.endpoint_url(), &credentials)?;
    context.interrupt.pressed().await;
    Ok(Exit::Done)
}

fn print_settings(endpoint_url: &str, credentials: &Credentials) -> Result<()> {
    let mut stdout = stdout();
    writeln!(
        stdout,
        "# The simulator is up. In another terminal:\n\
         export ECS_ENDPOINT_URL={endpoint_url}\n\
         export STS_ENDPOINT_URL={endpoint_url}\n\
         export ALIBABA_CLOUD_ACCESS_KEY_ID={}\n\
         export ALIBABA_CLOUD_ACCESS_KEY_SECRET={}\n\
         export ALIBABA_CLOUD_REGION_ID=cn-hangzhou\n\
         export ARCHIVE_URL=file://$PWD/archive",
        credentials.access_key_id,
        credentials.access_key_secret.expose(),
    )?;
    stdout.flush()?;
    Ok(())
}
