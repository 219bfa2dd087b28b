//! The command line: arguments → the library's use cases → text or JSON, and an exit code.

mod arguments;
mod doctor;
mod get;
mod redrive;
mod show;
mod sweep;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use ecs_console_archiver::archive::{self, At};
use ecs_console_archiver::capture::{Archiver, CaptureError};
use ecs_console_archiver::config::{Archive, Config, ConfigError, Environment, LogConfig, Parts};
use ecs_console_archiver::credentials::{Credentials, Secret};
use ecs_console_archiver::delivery::MAX_EVENT_BYTES;
use ecs_console_archiver::ecs::EcsClient;
use ecs_console_archiver::event::{Cause, InstanceEvent};
use ecs_console_archiver::handler::Payload;
use ecs_console_archiver::http::HttpOptions;
use ecs_console_archiver::ids::InstanceId;
use ecs_console_archiver::outcome::{ErrorType, Outcome};
use ecs_console_archiver::queue::{Queue, QueueConfig};
use ecs_console_archiver::redrive::InvalidEvents;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::simulator::{FaultPlan, Simulator, SimulatorConfig};
use ecs_console_archiver::store::ArchiveStore;
use ecs_console_archiver::sweep::Sweep;
use ecs_console_archiver::{http, log};

use arguments::{Arguments, Command, Ecs, Output};

/// How a command ended that did not fail for another reason; the exit codes of `--help`.
enum End {
    Done,
    Failed,
    Wrong,
    Nothing,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let time = arguments.common.time();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            show::error(format_args!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(arguments));
    // A read of a folder that hangs is not waited for.
    runtime.shutdown_background();
    exit_code(ended, time)
}

fn exit_code(ended: Result<End>, time: Duration) -> ExitCode {
    match ended {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::FAILURE,
        Ok(End::Wrong) => ExitCode::from(2),
        Ok(End::Nothing) => ExitCode::from(3),
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            show::error(format_args!("{error:#}"));
            show::time_is_over(&error, time);
            let wrong = error.is::<ConfigError>() || error.is::<WrongInput>();
            if wrong {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// A file that cannot be read, or a folder that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongInput(String);

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(broken)
}

async fn run(arguments: Arguments) -> Result<End> {
    let Arguments { command, common } = arguments;
    let environment = Environment::of_command_line()
        .await
        .with("ARCHIVE_URL", common.archive_url.clone());
    let time = common.time();
    match command {
        Command::Invoke { events, ecs } => {
            log::init(&LogConfig::from_environment(&environment));
            invoke(&archiver(environment, ecs)?, &events, time, common.output).await
        }
        Command::Capture { instance_id, ecs } => {
            log::init(&warnings(&environment));
            capture(
                &archiver(environment, ecs)?,
                instance_id,
                time,
                common.output,
            )
            .await
        }
        Command::List { instance_id } => {
            log::init(&warnings(&environment));
            let store = store(&environment)?;
            let store = Retrying::new(&store, Deadline::after(time));
            let listing = archive::list(&store, instance_id.as_ref()).await?;
            show::listing(&store, &listing, common.output)?;
            Ok(show::emptiness(&listing, instance_id.as_ref()))
        }
        Command::Get {
            instance_id,
            at,
            raw,
            damaged,
        } => {
            log::init(&warnings(&environment));
            let wanted = get::Wanted {
                instance_id,
                at: at.unwrap_or(At::Latest),
                raw,
                damaged,
            };
            get::run(&store(&environment)?, &wanted, time, common.output).await
        }
        Command::Sweep {
            regions,
            all_regions,
            concurrency,
            per_second,
            resume,
            ecs_endpoint_url,
        } => {
            let ecs = Ecs {
                region: None,
                ecs_endpoint_url,
            };
            let new = Sweep::new(regions.into_iter().collect(), all_regions);
            let mut whole = sweep::resumed(resume.as_deref(), new)?;
            whole.concurrency = concurrency.unwrap_or(whole.concurrency);
            whole.per_second = per_second.unwrap_or(whole.per_second);
            let log = warnings(&environment);
            let archiver = archiver(environment, ecs)?;
            sweep::run(&archiver, whole, resume.as_deref(), &log, &common).await
        }
        Command::Redrive {
            queue_url,
            dry_run,
            drop_invalid,
            ecs,
        } => {
            log::init(&LogConfig::from_environment(&environment));
            let queue = queue_url
                .map(|url| QueueConfig::from_environment(&url, &environment))
                .transpose()?;
            let archiver = archiver(environment.clone(), ecs)?;
            let invalid = if drop_invalid {
                InvalidEvents::Drop
            } else {
                InvalidEvents::Keep
            };
            match queue {
                Some(config) => {
                    let options = HttpOptions::from_environment(&environment)?;
                    let is_fifo = config.is_fifo();
                    let queue = Queue::new(config, http::client(&options)?);
                    redrive::queue(&archiver, &queue, is_fifo, invalid, time, common.output).await
                }
                None if dry_run => redrive::list(&archiver, time, common.output).await,
                None => redrive::archive(&archiver, invalid, time, common.output).await,
            }
        }
        Command::Doctor { instance_id, ecs } => {
            let parts = Parts::from_environment(&with_flags(environment, ecs));
            doctor::run(parts, instance_id, time, common.output).await
        }
        Command::Simulate {
            consoles,
            listen,
            faults,
        } => {
            log::init(&LogConfig::from_environment(&environment));
            simulate(consoles, listen, &faults).await
        }
    }
}

/// What commands show of the log that do not serve events: warnings, unless more is asked for.
fn warnings(environment: &Environment) -> LogConfig {
    let mut log = LogConfig::from_environment(environment);
    if log.level == tracing::Level::INFO {
        log.level = tracing::Level::WARN; // The default of the function.
    }
    log
}

type CliArchiver = Archiver<EcsClient, ArchiveStore>;

fn with_flags(environment: Environment, ecs: Ecs) -> Environment {
    environment
        .with(
            "ALIBABA_CLOUD_REGION_ID",
            ecs.region.map(|region| region.to_string()),
        )
        .with("ECS_ENDPOINT_URL", ecs.ecs_endpoint_url)
}

fn archiver(environment: Environment, ecs: Ecs) -> Result<CliArchiver> {
    let environment = with_flags(environment, ecs);
    let archiver = Config::from_environment(&environment)?.archiver()?;
    // Whoever has the settings is trusted with an HTTP request in a file, too.
    Ok(CliArchiver {
        gate: None,
        ..archiver
    })
}

fn store(environment: &Environment) -> Result<ArchiveStore> {
    let archive = Archive::from_environment(environment)?;
    let options = HttpOptions::from_environment(environment)?;
    Ok(archive.store(http::client(&options)?))
}

async fn invoke(
    archiver: &CliArchiver,
    events: &[PathBuf],
    time: Duration,
    output: Output,
) -> Result<End> {
    let mut end = End::Done;
    for path in events {
        let payload = read_payload(path)?;
        let deadline = Deadline::after(time);
        let payload = Payload::File(&payload);
        let mut reply = archiver.dispatch(payload, deadline).await;
        let deferred = std::mem::take(&mut reply.deferred);
        let answer = reply.to_json();
        let is_wrong = matches!(&answer, Err(error) if error.error_type == ErrorType::InvalidEvent);
        show::reply(path, &answer, output)?;
        if let Err(error) = answer.as_ref()
            && error.is_transient
        {
            show::timed_out(&error.message, time);
        }
        let ended = archiver.finish_deferred(deferred, deadline).await;
        let is_done = reply.is_success() && ended.iter().all(Result::is_ok);
        end = match end {
            _ if is_wrong => End::Wrong,
            End::Done if !is_done => End::Failed,
            earlier => earlier,
        };
    }
    Ok(end)
}

/// At most a byte more than any event may have, so that an endless input ends.
fn read_payload(path: &Path) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    let limit = MAX_EVENT_BYTES as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut payload)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut payload))
    };
    read.map_err(|error| WrongInput(format!("{}: {error}", path.display())))?;
    Ok(payload)
}

async fn capture(
    archiver: &CliArchiver,
    instance_id: InstanceId,
    time: Duration,
    output: Output,
) -> Result<End> {
    let event = InstanceEvent {
        instance_id,
        region_id: None,
        account_id: None,
        cause: Cause::Manual,
        event_id: None,
        occurred_at: None,
    };
    let outcome = match archiver.capture(event, Deadline::after(time)).await {
        Ok(outcome) => outcome,
        Err(CaptureError::NoRegion) => {
            return Err(WrongInput(
                "no region: give --region or set ALIBABA_CLOUD_REGION_ID".into(),
            )
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    show::outcome(&serde_json::to_value(&outcome)?, output)?;
    match &outcome {
        Outcome::NoConsole { .. } => Ok(End::Nothing),
        Outcome::AlreadyStored(stored) => {
            let store = Retrying::new(&archiver.store, Deadline::after(time));
            Ok(get::verify(&store, &stored.record.key).await)
        }
        _ => Ok(End::Done),
    }
}

async fn simulate(
    consoles: PathBuf,
    listen: std::net::SocketAddr,
    faults: &[FaultPlan],
) -> Result<End> {
    if !consoles.is_dir() {
        return Err(WrongInput(format!("{} is not a folder", consoles.display())).into());
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
    let simulator = Simulator::start(config)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    faults.iter().for_each(|plan| simulator.plan_faults(plan));
    show::simulator_settings(&simulator.endpoint_url(), &credentials)?;
    tokio::signal::ctrl_c().await?;
    Ok(End::Done)
}
