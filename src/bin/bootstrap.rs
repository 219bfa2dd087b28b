//! The function: settings → parts → invocations.

use std::process::ExitCode;

use ecs_console_archiver::config::{Config, ConfigError, Deployment, Environment, Host};
use ecs_console_archiver::hosts::dispatch::Dispatcher;
use ecs_console_archiver::hosts::{lambda, server, told};
use ecs_console_archiver::log::{self, LogConfig};
use libm_pow as _; // The symbol alone: the linker finds it there, and leaves out libm.

// One thread is enough: a Lambda sandbox serves one invocation at a time, and starting more threads
// takes time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let environment = Environment::of_process();
    log::init(&LogConfig::from_environment(&environment));
    match serve(&environment).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Each problem gets its own line.
            for line in error.to_string().lines() {
                tracing::error!("cannot start: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(environment: &Environment) -> Result<(), lambda_runtime::Error> {
    let (host, config) = ConfigError::both(
        Host::from_environment(environment),
        Config::from_environment(environment),
    )?;
    if let Some(warning) = config.warning() {
        tracing::warn!("{warning}");
    }
    let mut dispatcher = Dispatcher {
        deployment: Deployment::on(host, environment),
        ..config.dispatcher()?
    };
    if let Host::Lambda = host {
        let name = dispatcher.deployment.name.clone();
        let archiver = &mut dispatcher.archiver;
        archiver.tell = told::as_metric(name.clone());
        let notifier = archiver.notifier.take();
        archiver.notifier =
            notifier.map(|notifier| notifier.reporting(told::notice_as_metric(name)));
    }
    // A platform starts the process for an event that waits. Who listens may wait for hours.
    if !matches!(host, Host::Webhook { .. }) {
        dispatcher.connect_early();
    }
    match host {
        Host::Lambda => lambda::run(&dispatcher).await,
        host => {
            let credentials = dispatcher.archiver.source.credentials.clone();
            Ok(server::serve(dispatcher, credentials, host).await?)
        }
    }
}
