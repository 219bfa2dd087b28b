//! The command line: arguments → the library's use cases → text or JSON, and an exit code.

mod arguments;
mod doctor;
mod redrive;
mod show;
mod sweep;

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use ecs_console_archiver::archive::{self, At, ListedMarker};
use ecs_console_archiver::capture::{Archiver, CaptureError, FailedEvents};
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
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::simulator::{FaultPlan, Simulator, SimulatorConfig};
use ecs_console_archiver::store::ArchiveStore;
use ecs_console_archiver::sweep::Sweep;
use ecs_console_archiver::{http, log};

use arguments::{Arguments, Command, Common, Ecs, Output};

/// How a command ended that did not fail for another reason; the exit codes of `--help`.
enum End {
    Done,
    Failed,
    Wrong,
    Nothing,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::FAILURE,
        Ok(End::Wrong) => ExitCode::from(2),
        Ok(End::Nothing) => ExitCode::from(3),
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console-archive: {error:#}");
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
    let time = Duration::from_secs(common.timeout);
    match command {
        Command::Invoke { events, ecs } => {
            log::init(&LogConfig::from_environment(&environment));
            invoke(&archiver(environment, ecs)?, &events, time, common.output).await
        }
        Command::Capture { instance_id, ecs } => {
            capture(
                &archiver(environment, ecs)?,
                instance_id,
                time,
                common.output,
            )
            .await
        }
        Command::List { instance_id } => {
            let store = store(&environment)?;
            let store = Retrying::new(&store, Deadline::after(time));
            let listing = archive::list(&store, instance_id.as_ref()).await?;
            show::listing(&store, &listing, common.output)?;
            if listing.records.is_empty() {
                eprintln!("console-archive: no records");
                return Ok(End::Nothing);
            }
            Ok(End::Done)
        }
        Command::Get {
            instance_id,
            at,
            raw,
        } => {
            get(
                &store(&environment)?,
                &instance_id,
                at.unwrap_or(At::Latest),
                raw,
                &common,
            )
            .await
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
            let archiver = archiver(environment, ecs)?;
            sweep::run(&archiver, whole, resume.as_deref(), common.output).await
        }
        Command::Redrive {
            queue_url,
            dry_run,
            ecs,
        } => {
            log::init(&LogConfig::from_environment(&environment));
            let queue = queue_url
                .map(|url| QueueConfig::from_environment(&url, &environment))
                .transpose()?;
            let mut archiver = archiver(environment.clone(), ecs)?;
            archiver.failed_events = FailedEvents::Platform; // They are kept where they are.
            match queue {
                Some(config) => {
                    let options = HttpOptions::from_environment(&environment)?;
                    let queue = Queue::new(config, http::client(&options)?);
                    redrive::queue(&archiver, &queue, time, common.output).await
                }
                None if dry_run => redrive::list(&archiver, time, common.output).await,
                None => redrive::archive(&archiver, time, common.output).await,
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
    log::init(&LogConfig::from_environment(environment)); // For what is there and not listed.
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
        let payload = Payload::Invocation(&payload);
        let mut reply = archiver.dispatch(payload, deadline).await;
        let deferred = std::mem::take(&mut reply.deferred);
        let answer = reply.to_json();
        let is_wrong = matches!(&answer, Err(error) if error.error_type == ErrorType::InvalidEvent);
        show::reply(path, &answer, output)?;
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
    Ok(if matches!(outcome, Outcome::NoConsole { .. }) {
        End::Nothing
    } else {
        End::Done
    })
}

async fn get(
    store: &ArchiveStore,
    instance_id: &InstanceId,
    at: At,
    raw: bool,
    common: &Common,
) -> Result<End> {
    let time = Duration::from_secs(common.timeout);
    let store = &Retrying::new(store, Deadline::after(time));
    let listing = archive::list(store, Some(instance_id)).await?;
    let last_marker = listing.markers.last().cloned();
    let Some(listed) = listing.find(&at) else {
        let which = if at == At::Latest {
            ""
        } else {
            " of that time"
        };
        eprintln!("console-archive: there is no record{which} of {instance_id}");
        if let Some(ListedMarker { key, .. }) = last_marker {
            let (time, why) = (key.time, key.reason.message());
            eprintln!("console-archive: ECS was asked for it, at last for {time}: {why}");
        }
        return Ok(End::Nothing);
    };
    let opened = archive::open(store, &listed.key).await?;
    if common.output == Output::Text && std::io::stdout().is_terminal() {
        eprintln!("# {}", listed.key.name());
    }
    show::console(&listed, &opened, raw, common.output)?;
    Ok(End::Done)
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
