//! The subcommands, a file each, and what they have in common.

mod boots;
mod capture;
mod compact;
mod completions;
mod copy;
mod diff;
mod doctor;
mod explain;
mod export;
mod findings;
mod get;
mod grep;
mod invoke;
mod list;
mod man;
mod prune;
mod redrive;
mod reindex;
mod report;
mod rescan;
mod serve;
mod show;
mod simulate;
mod sweep;
mod verify;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ColorChoice, Subcommand};
use ecs_console_archiver::capture::{Archiver, CaptureError};
use ecs_console_archiver::config::{self, Archive, Config, Environment, Redact, Sections};
use ecs_console_archiver::doctor::advice::{AskedQueue, Operation};
use ecs_console_archiver::hosts::dispatch::Dispatcher;
use ecs_console_archiver::hosts::served::LOG_TARGET;
use ecs_console_archiver::http::{self, HttpOptions};
use ecs_console_archiver::log::LogConfig;
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::queue::sqs::{QueueConfig, SqsQueue};
use ecs_console_archiver::source::ecs::EcsClient;
use ecs_console_archiver::store::ArchiveStore;
use ecs_console_archiver::store::directory::DirectoryStore;

use jiff::tz::TimeZone;

use crate::advice::{self, Asked};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output::{self, Output};
use crate::table::Table;
use crate::time;
use crate::{Arguments, help};

#[derive(Debug, Subcommand)]
pub enum Command {
    Invoke(invoke::Arguments),
    Capture(capture::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Grep(grep::Arguments),
    Boots(boots::Arguments),
    Get(get::Arguments),
    Diff(diff::Arguments),
    Findings(findings::Arguments),
    Explain(explain::Arguments),
    Report(report::Arguments),
    Serve(serve::Arguments),
    Sweep(sweep::Arguments),
    Redrive(redrive::Arguments),
    Export(export::Arguments),
    Copy(copy::Arguments),
    Compact(compact::Arguments),
    Reindex(reindex::Arguments),
    Rescan(rescan::Arguments),
    Verify(verify::Arguments),
    Prune(prune::Arguments),
    Doctor(doctor::Arguments),
    Simulate(simulate::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Command {
    pub async fn run(self, context: &Context) -> Result<Exit> {
        let needs_rules = !matches!(
            self,
            Self::Doctor(_) | Self::Simulate(_) | Self::Completions(_) | Self::Man(_)
        );
        if needs_rules {
            config::use_own_rules(&context.environment)?;
        }
        match self {
            Self::Invoke(arguments) => invoke::run(arguments, context).await,
            Self::Capture(arguments) => capture::run(arguments, context).await,
            Self::List(arguments) => {
                let list = list::run(&arguments, context);
                context.unless_interrupted(list).await
            }
            Self::Boots(arguments) => {
                let boots = boots::run(&arguments, context);
                context.unless_interrupted(boots).await
            }
            Self::Show(arguments) => {
                let show = show::run(arguments, context);
                context.unless_interrupted(show).await
            }
            Self::Grep(arguments) => {
                let grep = grep::run(arguments, context);
                context.unless_interrupted(grep).await
            }
            Self::Get(arguments) => {
                let get = get::run(arguments, context);
                context.unless_interrupted(get).await
            }
            Self::Diff(arguments) => {
                let diff = diff::run(arguments, context);
                context.unless_interrupted(diff).await
            }
            Self::Findings(arguments) => {
                let findings = findings::run(arguments, context);
                context.unless_interrupted(findings).await
            }
            Self::Explain(arguments) => explain::run(&arguments, context),
            Self::Report(arguments) => {
                let report = report::run(arguments, context);
                context.unless_interrupted(report).await
            }
            Self::Serve(arguments) => serve::run(arguments, context).await,
            Self::Sweep(arguments) => sweep::run(arguments, context).await,
            Self::Redrive(arguments) => redrive::run(arguments, context).await,
            Self::Export(arguments) => {
                let export = export::run(arguments, context);
                context.unless_interrupted(export).await
            }
            Self::Copy(arguments) => {
                let copy = copy::run(arguments, context);
                context.unless_interrupted(copy).await
            }
            Self::Compact(arguments) => {
                let compact = compact::run(&arguments, context);
                context.unless_interrupted(compact).await
            }
            Self::Reindex(arguments) => {
                let reindex = reindex::run(&arguments, context);
                context.unless_interrupted(reindex).await
            }
            Self::Rescan(arguments) => {
                let rescan = rescan::run(&arguments, context);
                context.unless_interrupted(rescan).await
            }
            Self::Verify(arguments) => {
                let verify = verify::run(&arguments, context);
                context.unless_interrupted(verify).await
            }
            Self::Prune(arguments) => prune::run(&arguments, context).await,
            Self::Doctor(arguments) => {
                let doctor = doctor::run(arguments, context);
                context.unless_interrupted(doctor).await
            }
            Self::Simulate(arguments) => simulate::run(arguments, context).await,
            Self::Completions(arguments) => {
                completions::run(&arguments, help::command::<Arguments>())
            }
            Self::Man(arguments) => man::run(arguments, help::command::<Arguments>()),
        }
    }
}

/// Takes the words of one of the library's types.
fn word<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    as_str: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let words = all.iter().map(|one| as_str(*one));
    PossibleValuesParser::new(words).try_map(move |word| {
        let mut all = all.iter().copied();
        all.find(|one| as_str(*one) == word)
            .ok_or("there is no such word")
    })
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct CommonArguments {
    /// The archive: s3://BUCKET/PREFIX, oss://BUCKET/PREFIX or file:///FOLDER [env: ARCHIVE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub archive_url: Option<String>,
    /// Text for people or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Output,
    /// Time zone of times that are shown, and of those that you give without one: UTC, local, an
    /// offset such as +08:00, or a name such as Asia/Shanghai
    #[arg(
        long,
        global = true,
        value_name = "ZONE",
        default_value = "UTC",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = time::parse_zone)]
    pub time_zone: TimeZone,
    /// Colours: by default on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// Retry temporary errors, and follow consoles, for at most so many seconds
    ///
    /// For `invoke` and `redrive` it counts for each event, for `grep` for each record, and for `serve` and
    /// `show --follow` each time that the archive or ECS is asked; for other commands in all. [default: 60;
    /// a sweep has no limit]
    #[arg(long, global = true, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
}

/// Of the commands that ask ECS about single instances.
#[derive(Debug, Default, Args)]
pub struct EcsArguments {
    /// Region in which ECS is asked, unless an event names another [env: ALIBABA_CLOUD_REGION_ID]
    #[arg(long, value_name = "REGION_ID", value_parser = RegionId::parse)]
    region: Option<RegionId>,
    /// Where ECS requests go; {region} stands for the region [env: ECS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    ecs_endpoint_url: Option<String>,
}

impl EcsArguments {
    fn over(self, environment: Environment) -> Environment {
        environment
            .with(
                "ALIBABA_CLOUD_REGION_ID",
                self.region.map(|region| region.to_string()),
            )
            .with("ECS_ENDPOINT_URL", self.ecs_endpoint_url)
    }
}

pub type CliArchiver = Archiver<EcsClient, ArchiveStore>;
pub type CliDispatcher = Dispatcher<EcsClient, ArchiveStore>;

/// What a command runs with: the settings, and the common options.
pub struct Context {
    environment: Environment,
    output: Output,
    time_zone: TimeZone,
    color: ColorChoice,
    interrupt: Interrupt,
    /// The settings with the options of the command, once it has used them.
    used: OnceCell<Environment>,
    asked: RefCell<Asked>,
    /// Whether it is known that the command will not succeed, whoever reads the rest of what it prints.
    is_to_fail: Cell<bool>,
    /// The archive's folder, once it is used.
    folder: OnceCell<DirectoryStore>,
    /// None where it was not given.
    timeout: Option<Duration>,
}

impl Context {
    pub async fn new(common: CommonArguments) -> Self {
        Self {
            environment: Environment::of_command_line()
                .await
                .with("ARCHIVE_URL", common.archive_url),
            output: common.output,
            time_zone: common.time_zone,
            color: common.color,
            interrupt: Interrupt::listen(),
            used: OnceCell::new(),
            asked: RefCell::new(Asked {
                operation: Operation::List,
                queue: None,
            }),
            is_to_fail: Cell::new(false),
            folder: OnceCell::new(),
            timeout: common.timeout.map(Duration::from_secs),
        }
    }

    /// What an event, or another command than a sweep, has.
    pub fn time(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(60))
    }

    /// What to do about the error that ended the command.
    pub fn advice(&self, error: &anyhow::Error) -> Option<String> {
        advice::of(error, &self.sections(), &self.asked.borrow())
    }

    /// Says what to do about the errors of events, each advice once. An event may name its own
    /// region.
    fn advise<'a>(&self, errors: impl Iterator<Item = &'a CaptureError>) {
        let sections = self.sections();
        let advice = errors.filter_map(|error| advice::of_capture(error, &sections, None));
        advice
            .collect::<BTreeSet<_>>()
            .iter()
            .for_each(output::error);
    }

    fn sections(&self) -> Sections {
        Sections::from_environment(self.used.get().unwrap_or(&self.environment))
    }

    /// Whether secrets are masked where a console is shown.
    fn redact(&self) -> Result<Redact> {
        Ok(Redact::from_environment(&self.environment)?)
    }

    /// Notes that the command will not succeed. Then its exit code says so, also if the reader of a pipe stops early.
    fn will_fail(&self) {
        self.is_to_fail.set(true);
    }

    /// Notes it of a command that is about to print.
    fn will_end(&self, exit: Exit) -> Exit {
        if matches!(exit, Exit::Failed | Exit::Different) {
            self.will_fail();
        }
        exit
    }

    /// Whether [`will_fail`](Self::will_fail) was said.
    pub fn is_to_fail(&self) -> bool {
        self.is_to_fail.get()
    }

    /// Reads from now on, so that advice is about that.
    fn reads(&self) {
        self.asked.borrow_mut().operation = Operation::Read;
    }

    fn print(&self, table: &Table) -> Result<()> {
        self.print_in(table, output::width())
    }

    /// In this width; each row on one line where there is none.
    fn print_in(&self, table: &Table, width: Option<usize>) -> Result<()> {
        let shown = table.show(width, self.has_colors());
        std::io::stdout().write_all(shown.as_bytes())?;
        Ok(())
    }

    /// Whether standard output gets colours.
    fn has_colors(&self) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                std::io::stdout().is_terminal()
                    && anstyle_query::term_supports_color()
                    && !anstyle_query::no_color()
            }
        }
    }

    /// Waits for what only reads, and need not be finished.
    async fn unless_interrupted(&self, work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
        tokio::select! {
            ended = work => ended,
            () = self.interrupt.pressed() => Ok(Exit::Interrupted),
        }
    }

    /// Of commands that serve events: as much as the function logs. Outcomes are left out where
    /// the same person reads them on standard output.
    fn log(&self) -> LogConfig {
        let prints_outcomes = self.output == Output::Text && std::io::stdout().is_terminal();
        LogConfig {
            without: prints_outcomes.then_some(LOG_TARGET),
            ..LogConfig::from_environment(&self.environment)
        }
    }

    /// Of the other commands: warnings, unless more is asked for.
    fn warnings(&self) -> LogConfig {
        let mut log = self.log();
        if log.level == tracing::Level::INFO {
            log.level = tracing::Level::WARN; // The default of the function.
        }
        log
    }

    fn archiver(&self, ecs: EcsArguments) -> Result<CliArchiver> {
        Ok(self.dispatcher(ecs)?.archiver)
    }

    fn dispatcher(&self, ecs: EcsArguments) -> Result<CliDispatcher> {
        let environment = ecs.over(self.environment.clone());
        let environment = self.used.get_or_init(|| environment);
        let dispatcher = Config::from_environment(environment)?.dispatcher()?;
        // Whoever has the settings is trusted with an HTTP request in a file, too.
        Ok(CliDispatcher {
            gate: None,
            ..dispatcher
        })
    }

    fn store(&self) -> Result<ArchiveStore> {
        let store = Self::store_of(&self.environment)?;
        if let ArchiveStore::Directory(folder) = &store {
            self.folder.get_or_init(|| folder.clone());
        }
        Ok(store)
    }

    /// How a command ended. It has not seen all of the archive if a part of it could not be listed, which then counts as
    /// a failure.
    pub fn as_seen(&self, ended: Result<Exit>) -> Result<Exit> {
        let was_partial = || self.folder.get().is_some_and(DirectoryStore::was_partial);
        match ended {
            Ok(Exit::Done | Exit::Nothing | Exit::Different) if was_partial() => {
                output::error(
                    "a part of the archive could not be listed, and is not in this result; mend what the warnings \
                     name, and run it again",
                );
                Ok(Exit::Failed)
            }
            ended => ended,
        }
    }

    fn store_of(environment: &Environment) -> Result<ArchiveStore> {
        let archive = Archive::from_environment(environment)?;
        let options = HttpOptions::from_environment(environment)?;
        if let Archive::Directory(root) = archive {
            // A client takes longer to set up than most commands take.
            return Ok(ArchiveStore::Directory(DirectoryStore::new(root)));
        }
        Ok(archive.store(http::client(&options)?))
    }

    fn queue(&self, config: QueueConfig) -> Result<SqsQueue> {
        self.asked.borrow_mut().queue = Some(AskedQueue {
            url: config.url.clone(),
            setting: "--queue-url",
            actions: "sqs:ReceiveMessage and sqs:DeleteMessage",
        });
        let options = HttpOptions::from_environment(&self.environment)?;
        Ok(SqsQueue::new(config, http::client(&options)?))
    }
}
