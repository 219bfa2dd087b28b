//! `console-archive export`: the logs of boots, or the records as they are stored, as files in one archive.

mod destination;
mod files;
mod html;
mod members;
mod progress;
mod read_back;
mod selection;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::reader::{self, Instance};
use ecs_console_archiver::log;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::store::Store as _;
use ecs_console_archiver::store::past_refused::PastRefused;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use globset::GlobMatcher;
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::diff::Baseline;
use super::{Context, grep};
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};
use crate::pace::{Pace, Paced, Patient};
use crate::time::{Bound, Period};
use destination::Destination;
use members::{Removed, Wanted};
use progress::Job;

/// Instances that are read ahead. Each is in memory until it is written.
const AT_ONCE: usize = 4;

/// Export logs, or records as they are stored, into a file or folder
///
/// Writes the log of each boot, joined from its captures, as INSTANCE_ID/BOOT_ID.log, and what is known of them as
/// INSTANCE_ID/MANIFEST.jsonl. The same archive always gives the same bytes. An export that was interrupted goes on
/// where it ended if you run the same command again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive export -o consoles.tar.zst
  console-archive export -o crash.tar i-bp1panicnoroot00001 --since -7d
  console-archive export -o - --instance 'i-bp1*' | ssh backup 'cat > c.tar.zst'
  console-archive export -o records/ --as-stored
  console-archive export --html panic.html i-bp1panicnoroot00001
  console-archive export --html changed.html i-bp1panicnoroot00001 --diff
  console-archive export --html week.html --since -7d")]
pub struct Arguments {
    /// FILE.tar.zst, FILE.tar, a folder, or - for a pipe
    #[arg(short, long, value_name = "FILE", required_unless_present = "html")]
    output_file: Option<PathBuf>,
    /// Only these instances; all if there is none
    #[arg(value_parser = InstanceId::parse)]
    instance_ids: Vec<InstanceId>,
    /// Only instances whose ID matches; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = grep::glob)]
    instance: Vec<GlobMatcher>,
    /// Only boots that were captured at this time or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Only boots that were captured at this time or before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<Bound>,
    /// The records with their metadata, markers and verdicts, instead of logs: once unpacked, an archive in a folder
    #[arg(long)]
    as_stored: bool,
    /// One page for a browser instead, for a ticket or a mail: of an instance's newest boot, or without an instance the
    /// report of the fleet; `-` is standard output. It loads nothing, and runs no script
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output_file", "as_stored", "format", "output"])]
    html: Option<PathBuf>,
    /// With --html: this boot; see `show`
    #[arg(
        long,
        value_name = "BOOT",
        allow_hyphen_values = true,
        requires = "html"
    )]
    boot: Option<Selection>,
    /// With --html: what changed to the boot, as `diff` says it
    #[arg(long, requires = "html")]
    diff: bool,
    /// With --diff: what the boot is compared with, `good`, `previous`, or a BOOT; see `diff`
    #[arg(
        long,
        value_name = "good|previous|BOOT",
        default_value = "good",
        requires = "diff"
    )]
    #[arg(allow_hyphen_values = true, hide_default_value = true)]
    baseline: Baseline,
    /// Form of the archive [default: by the end of FILE's name; tar.zst for a pipe]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[value(name = "tar.zst")]
    TarZst,
    #[value(name = "tar")]
    Tar,
    #[value(name = "folder")]
    Folder,
}

impl Format {
    /// The word, as in `--format`.
    fn as_str(self) -> &'static str {
        match self {
            Self::TarZst => "tar.zst",
            Self::Tar => "tar",
            Self::Folder => "folder",
        }
    }
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    if let Some(file) = &arguments.html {
        return html::run(&arguments, file, context).await;
    }
    log::init(&context.warnings());
    let store = context.store()?;
    let period = Period::of(
        arguments.since.as_ref(),
        arguments.until.as_ref(),
        &context.time_zone,
    );
    let job = arguments.job(&period, &store.url(""), context)?;
    let is_pipe = arguments.is_pipe();
    let mut destination = Destination::open(arguments.file(), arguments.format()?, &job)?;
    let mut unlisted = destination.unlisted();
    let store = Patient {
        store: Paced {
            store,
            pace: Pace::new(),
        },
        time: context.time(),
    };
    // An object that is refused is left out, and keeps no other.
    let store = PastRefused::new(&store);
    context.reads();
    // What an export that is gone on with was asked for counts: `-7d` is another time by now.
    let wanted = Wanted {
        since: destination.job().since,
        until: destination.job().until,
        is_as_stored: arguments.as_stored,
    };
    let bar = output::progress("{human_pos} instances, {msg}")?;
    let mut done = Done::default();
    let begun = destination.begun();
    let told = |error: anyhow::Error| match error.downcast::<Removed>() {
        Ok(removed) => Removed {
            begun: begun.clone(),
            ..removed
        }
        .into(),
        Err(error) => error,
    };
    let is_asked_for = |instance: &Instance| {
        let mut globs = arguments.instance.iter();
        arguments.instance.is_empty() || globs.any(|glob| glob.is_match(instance.id.as_str()))
    };
    // Of those that were named, the ones that are there.
    let (found, listed_instances) = (RefCell::new(BTreeSet::new()), Cell::new(0));
    let below = |globs: &[GlobMatcher]| Instances {
        prefix: grep::literal_prefix(globs),
        includes: &|_| true,
    };
    let ids = arguments.instance_ids.iter();
    let prefixes: BTreeSet<String> = match arguments.instance_ids.is_empty() {
        true => below(&arguments.instance)
            .key_prefixes()
            .into_iter()
            .collect(),
        false => ids.map(RecordKey::instance_prefix).collect(),
    };
    let listed = || {
        let listed = reader::instances(&store, prefixes.clone()).inspect_ok(|instance| {
            listed_instances.set(listed_instances.get() + 1);
            if arguments.instance_ids.contains(&instance.id) {
                found.borrow_mut().insert(instance.id.clone());
            }
        });
        let asked_for = listed.try_filter(|instance| std::future::ready(is_asked_for(instance)));
        asked_for.map_err(anyhow::Error::from)
    };
    let instances = match destination.progress() {
        None => listed().boxed_local(),
        Some(progress) => {
            if progress.is_selected() {
                done.resumed = progress.written().len() as u64;
                done.damaged = progress.written().map(|written| written.damaged).sum();
                let came = selection::compare(progress, &store, listed()).await;
                done.came_since = came.map_err(told)?;
            } else {
                selection::write(progress, listed()).await?;
                unlisted.keep();
            }
            stream::iter(selection::not_written(progress)?).boxed_local()
        }
    };
    let read = instances.map_ok(|instance| members::read(&store, instance, &wanted));
    let mut read = std::pin::pin!(read.try_buffered(AT_ONCE));
    while let Some(files) = read.try_next().await.map_err(told)? {
        for told in &files.told {
            bar.suspend(|| output::error(format_args!("warning: {told}")));
        }
        done.add(&files);
        bar.inc(1);
        let id = &files.instance_id;
        let is_empty = files.members.is_empty() && files.told.is_empty();
        if is_empty && arguments.instance_ids.contains(id) {
            bar.suspend(|| output::error(format_args!("{id} has nothing to export")));
        }
        if !files.members.is_empty() {
            let written = destination.write(&files)?;
            done.instances += 1;
            bar.set_message(HumanBytes(written).to_string());
        }
    }
    bar.finish_and_clear();
    store.check()?;
    let is_missing = |id: &&InstanceId| !found.borrow().contains(id);
    for id in arguments.instance_ids.iter().filter(is_missing) {
        output::error(format_args!("{id} has no record in {}", store.url("")));
    }
    if done.instances == 0 && done.resumed == 0 {
        destination.discard()?;
        let url = store.url("");
        let mut count = listed_instances.get();
        if count == 0 && !arguments.instance.is_empty() {
            // Are there others?
            let all = below(&[]).key_prefixes().into_iter().collect();
            let all = reader::instances(&store, all);
            count = all.try_fold(0, async |count, _| Ok(count + 1)).await?;
        }
        match count {
            _ if !arguments.instance_ids.is_empty() => {}
            0 => output::error(format_args!("no records in {url}")),
            count => output::no_match(count, "instance", &format!(" in {url}")),
        }
        return Ok(match done.damaged {
            0 => Exit::Nothing,
            _ => Exit::Failed,
        });
    }
    done.bytes = destination.finish()?;
    if done.came_since > 0 {
        output::error(format_args!(
            "{} came since the export began, and {} not in it; export to another name for what is new",
            output::count(done.came_since, "object"),
            if done.came_since == 1 { "is" } else { "are" },
        ));
    }
    let told = done.in_words(&arguments);
    match (context.output, is_pipe) {
        (Output::Json, _) => output::json(&done.json())?,
        (Output::Text, true) => output::error(told),
        (Output::Text, false) => output::line(told)?,
    }
    Ok(match done.damaged {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

/// What was exported.
#[derive(Debug, Default)]
struct Done {
    instances: u64,
    /// Instances that an export before had written.
    resumed: u64,
    /// Objects that came since the export began, if it was gone on with.
    came_since: u64,
    /// Logs and screenshots, or objects as they are stored.
    members: u64,
    /// Screenshots beside logs.
    screenshots: u64,
    damaged: u64,
    /// Length of the whole.
    bytes: u64,
}

impl Done {
    fn add(&mut self, files: &members::Files) {
        self.members += files.logs + files.screenshots;
        self.screenshots += files.screenshots;
        self.damaged += files.told.len() as u64;
    }

    fn json(&self) -> Value {
        json!({
            "instances": self.instances,
            "resumed_instances": self.resumed,
            "came_since": self.came_since,
            "members": self.members,
            "damaged": self.damaged,
            "bytes": self.bytes,
        })
    }

    fn in_words(&self, arguments: &Arguments) -> String {
        let logs = self.members - self.screenshots;
        let what = match (arguments.as_stored, logs, self.screenshots) {
            (true, ..) => output::count(self.members, "object"),
            (_, _, 0) => output::count(logs, "log"),
            (_, 0, count) => output::count(count, "screenshot"),
            (_, _, count) => {
                let logs = output::count(logs, "log");
                format!("{logs} and {}", output::count(count, "screenshot"))
            }
        };
        let before = match self.resumed {
            0 => String::new(),
            count => format!(", behind {} of before", output::count(count, "instance")),
        };
        format!(
            "exported {what} of {}{before}, as {}",
            output::count(self.instances, "instance"),
            output::count(self.bytes, "byte"),
        )
    }
}

impl Arguments {
    /// Where it goes. Without --html, it is required.
    fn file(&self) -> &Path {
        self.output_file.as_deref().unwrap_or(Path::new("-"))
    }

    fn is_pipe(&self) -> bool {
        self.file().as_os_str() == "-"
    }

    fn format(&self) -> Result<Format> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let name = self.file().to_string_lossy();
        Ok(match () {
            () if self.is_pipe() || name.ends_with(".tar.zst") => Format::TarZst,
            () if name.ends_with(".tar") => Format::Tar,
            () if name.ends_with('/') || self.file().extension().is_none() => Format::Folder,
            () => {
                let why = format!(
                    "{name}: the name says no form; give .tar.zst, .tar or a folder, or --format"
                );
                return Err(WrongInput(why).into());
            }
        })
    }

    fn job(&self, period: &Period, archive_url: &str, context: &Context) -> Result<Job> {
        let format = self.format()?;
        if self.is_pipe() {
            let why = match () {
                () if format == Format::Folder => Some("a pipe takes no folder"),
                () if context.output == Output::Json => {
                    Some("--output json cannot be printed where the archive goes")
                }
                () if stdout().is_terminal() => Some(
                    "an archive cannot go to a terminal; give a file, or a program behind a pipe",
                ),
                () => None,
            };
            if let Some(why) = why {
                return Err(WrongInput(format!("-o -: {why}")).into());
            }
        }
        let words = |bound: &Option<Bound>| bound.as_ref().map(|bound| format!("{bound:?}"));
        Ok(Job {
            archive_url: archive_url.to_owned(),
            format: format.as_str().to_owned(),
            is_as_stored: self.as_stored,
            instance_ids: self.instance_ids.clone(),
            globs: self
                .instance
                .iter()
                .map(|glob| glob.glob().to_string())
                .collect(),
            since_as_given: words(&self.since),
            until_as_given: words(&self.until),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: period.since,
            until: period.until,
        })
    }
}
