//! What can be asked on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ecs_console_archiver::archive::At;
use ecs_console_archiver::ids::{InstanceId, RegionId};
use ecs_console_archiver::simulator::FaultPlan;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the service or the archive is out of reach, refuses, or has a damaged record
     (with --damaged, too); or it timed out
  2  wrong on this side: an argument, a setting, an event
  3  there is nothing: no such record, no console output, no failed event";

const DOCTOR_EXIT_CODES: &str = "\
Exit codes:
  0  all is in order, or there are warnings only
  1  something failed
  2  a setting is wrong or missing; the rest was checked as far as it goes";

const EXAMPLES: &str = "\
Try it with no cloud at all, in two terminals:
  console-archive simulate --consoles tests/fixtures/consoles
  console-archive capture i-bp1panicnoroot00001   # with the settings that simulate prints";

/// Keeps and reads back the console outputs of Alibaba Cloud ECS instances.
#[derive(Debug, Parser)]
#[command(name = "console-archive", version, max_term_width = 100)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The archive: s3://BUCKET/PREFIX, oss://BUCKET/PREFIX or file:///FOLDER [env: ARCHIVE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub archive_url: Option<String>,
    /// Text for people or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Output,
    /// Try again what may pass for so long, then time out: for each event, or for the whole of
    /// another command [default: 60; a sweep has no end]
    #[arg(long, global = true, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
}

impl Common {
    /// What an event, or another command than a sweep, has.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(60))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve events from files, as the function does
    ///
    /// Each file holds one payload in any form the function takes; `-` is standard input.
    Invoke {
        /// Files with events
        #[arg(required = true, value_name = "FILE")]
        events: Vec<PathBuf>,
        #[command(flatten)]
        ecs: Ecs,
    },
    /// Keep an instance's console output now
    ///
    /// A record that is there already is read back and verified.
    Capture {
        /// The instance
        #[arg(value_parser = InstanceId::parse)]
        instance_id: InstanceId,
        #[command(flatten)]
        ecs: Ecs,
    },
    /// List the records of an instance, or of all, and where there was no console output
    ///
    /// It shows what there is, and reads no record: `get` verifies the one it prints.
    List {
        /// The instance; all without it
        #[arg(value_parser = InstanceId::parse)]
        instance_id: Option<InstanceId>,
    },
    /// Print a console output
    ///
    /// On a terminal it is shown line by line: colours stay, other escape sequences are left out,
    /// and control characters are spelled out, for they come from the guest. Text that was written
    /// over is marked with an arrow, or counted where it is a progress bar's. Into a file or a pipe
    /// go the bytes as the guest wrote them.
    ///
    /// The record is held against its key and its metadata. One that differs is damaged or forged:
    /// it is not printed without --damaged, and the exit code is 1.
    Get {
        /// The instance
        #[arg(value_parser = InstanceId::parse)]
        instance_id: InstanceId,
        /// The newest not after this time, or the record of this name; the latest without it
        ///
        /// Times are compared as ECS reported them: 2018-03-22, 2018-03-22T10:04 or
        /// "2018-03-22 10:04:57". A record's name is as `list` shows it.
        #[arg(long, value_name = "TIME", value_parser = At::parse)]
        at: Option<At>,
        /// Print the bytes as the guest wrote them, on a terminal, too
        #[arg(long, conflicts_with = "output")]
        raw: bool,
        /// Print what can be read of a damaged record; the exit code stays 1
        #[arg(long)]
        damaged: bool,
    },
    /// Keep the console output of every instance of whole regions now
    ///
    /// It also keeps what a missed event left out. Failures of single instances do not end it: they
    /// are told at the end, and the exit code is 1. So it is where --timeout ends the sweep.
    Sweep {
        /// Regions to sweep
        #[arg(long = "region", value_name = "REGION_ID", value_parser = RegionId::parse)]
        #[arg(required_unless_present_any = ["all_regions"], conflicts_with = "all_regions")]
        regions: Vec<RegionId>,
        /// Sweep every region the account can use
        #[arg(long)]
        all_regions: bool,
        /// Instances captured at once
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
        concurrency: Option<u8>,
        /// Instances begun in a second, at most: ECS throttles by account and region
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
        per_second: Option<u16>,
        /// Write what is left to this file, after each page and at a time-out, and go on from it
        /// where it exists
        ///
        /// It is an event, and is removed at the end of the sweep.
        #[arg(long, value_name = "FILE")]
        resume: Option<PathBuf>,
        /// Where ECS requests go; {region} stands for the region [env: ECS_ENDPOINT_URL]
        #[arg(long, value_name = "URL")]
        ecs_endpoint_url: Option<String>,
    },
    /// Serve events again that failed for good
    ///
    /// Without a queue those that the archive keeps; each is removed when everything in it succeeds.
    /// With one, the messages of a dead-letter queue. The exit code is 1 when something failed
    /// again, and 2 when events are left that can never succeed.
    Redrive {
        /// Address of a dead-letter queue in SQS
        #[arg(long, value_name = "URL", conflicts_with = "dry_run")]
        queue_url: Option<String>,
        /// List the events that the archive keeps, and serve none
        #[arg(long)]
        dry_run: bool,
        /// Remove events that can never succeed: not JSON, an unknown form, an invalid ID
        #[arg(long, conflicts_with = "dry_run")]
        drop_invalid: bool,
        #[command(flatten)]
        ecs: Ecs,
    },
    /// Check the whole set-up, and say what to do about what is wrong
    ///
    /// It asks ECS for one console and one page of instances, stores one small object in the
    /// archive, always the same, reads it back, and sends the queue of FOLLOW_QUEUE_URL one message
    /// that the function ignores. Each of these takes 10 s at most.
    #[command(after_help = DOCTOR_EXIT_CODES)]
    Doctor {
        /// Ask for this instance's console, and not for that of an instance that cannot exist
        #[arg(long, value_name = "INSTANCE_ID", value_parser = InstanceId::parse)]
        instance_id: Option<InstanceId>,
        #[command(flatten)]
        ecs: Ecs,
    },
    /// Run an ECS API on this machine that serves consoles from a folder
    ///
    /// It verifies signatures, times and nonces as ECS does. The settings to use with it are
    /// printed; it runs until it is interrupted.
    Simulate {
        /// Folder with a file INSTANCE_ID.log for each console, or INSTANCE_ID.error with a status
        /// and a code such as "405 NotSupported"
        #[arg(long, value_name = "FOLDER")]
        consoles: PathBuf,
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:8580", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// Fail the next requests, in this order: throttle, fail, stall, truncate, garbage,
        /// bad-base64, reset, broken-json, expire-token, slow-body, wrong-content-type,
        /// cut-chunk, redirect or none, with
        /// a count as in throttle*3
        #[arg(long = "fault", value_name = "FAULT[*COUNT]")]
        faults: Vec<FaultPlan>,
    },
}

#[derive(Debug, Args)]
pub struct Ecs {
    /// Region of the instance, where the event names none [env: ALIBABA_CLOUD_REGION_ID]
    #[arg(long, value_name = "REGION_ID", value_parser = RegionId::parse)]
    pub region: Option<RegionId>,
    /// Where ECS requests go; {region} stands for the region [env: ECS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub ecs_endpoint_url: Option<String>,
}
