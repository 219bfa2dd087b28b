//! `console-archive copy`: one archive → another.

use std::cell::RefCell;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use ecs_console_archiver::archive::catalog::key::DAYS_PREFIX;
use ecs_console_archiver::archive::copy::{self, Copied, CopyError, Fate, Problem, Request, What};
use ecs_console_archiver::archive::instances::Instances;
use ecs_console_archiver::config::ConfigError;
use ecs_console_archiver::log;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::store::bucket::BucketStore;
use ecs_console_archiver::store::{ArchiveStore, Store as _};
use globset::GlobMatcher;
use indicatif::{HumanBytes, ProgressBar};
use jiff::Timestamp;
use serde_json::json;

use super::{Context, grep};
use crate::exit::{self, Exit, WrongInput};
use crate::input;
use crate::output::{self, Output};
use crate::pace::{Pace, Paced, Patient};
use crate::time::{Bound, Period};

/// Copy the archive to another one, in a folder or in any cloud
///
/// Copies records, markers, verdicts and the catalog that the other archive lacks, with their metadata. Nothing is
/// replaced or removed. Run it again to copy what has come since: what is there is found by a listing of both
/// archives. It may be interrupted at any time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive copy --to file:///backup/consoles
  console-archive copy --to 'oss://backup/console?region=cn-hangzhou' \\
    --to-settings backup.env
  console-archive copy --to s3://backup/console/ --instance 'i-bp1*' --since -7d")]
pub struct Arguments {
    /// The other archive: s3://BUCKET/PREFIX, oss://BUCKET/PREFIX or file:///FOLDER
    #[arg(long, value_name = "URL")]
    to: String,
    /// A file with the settings of the other archive, a line NAME=value for each
    ///
    /// Then no setting of this archive counts for the other one, but those of proxies and certificate
    /// authorities. Without it, both have the same settings.
    #[arg(long, value_name = "FILE")]
    to_settings: Option<PathBuf>,
    /// Only instances whose ID matches; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = grep::glob)]
    instance: Vec<GlobMatcher>,
    /// Only what was stored since, and in the hour before: clocks of machines and of the store differ
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<Bound>,
    /// Compare the metadata of what is there already, too; this takes two requests for each object
    #[arg(long)]
    metadata: bool,
    /// List what would be copied, and copy nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let (source, to) = (context.store(), arguments.destination(context));
    let (source, to) = both(source, to)?;
    if are_in_each_other(&source, &to) {
        let urls = (source.url(""), to.url(""));
        let wrong = match are_the_same(&source, &to) {
            true => format!("--to: {} is the archive that is copied", urls.1),
            false => format!("--to: {} and {} are in each other", urls.0, urls.1),
        };
        return Err(WrongInput(wrong).into());
    }
    let patient = |store| Patient {
        store: Paced {
            store,
            pace: Pace::new(),
        },
        time: context.time(),
    };
    let are_buckets =
        [&source, &to].map(|side| matches!(side, ArchiveStore::Bucket(_))) == [true; 2];
    let (source, to) = (patient(source), patient(to));
    context.reads();
    let period = Period::of(arguments.since.as_ref(), None, &context.time_zone);
    let is_named = |id: &InstanceId| {
        let mut globs = arguments.instance.iter();
        globs.any(|glob| glob.is_match(id.as_str()))
    };
    let request = Request {
        instances: (!arguments.instance.is_empty()).then(|| Instances {
            prefix: grep::literal_prefix(&arguments.instance),
            includes: &is_named,
        }),
        since: period.since,
        compares_metadata: arguments.metadata,
        is_dry_run: arguments.dry_run,
        began_at: Timestamp::now(),
    };
    let printer = RefCell::new(Printer::new(context.output, arguments.dry_run)?);
    let done = copy::copy(&source, &to, &request, |fate| {
        printer.borrow_mut().tell(fate)
    })
    .await;
    let printer = printer.into_inner();
    printer.bar.finish_and_clear();
    let there = printer.there;
    exit::unless_closed(printer.printed)?;
    let done = match done {
        Ok(done) => done,
        Err(CopyError::Source(error)) => return Err(error.into()),
        Err(error @ CopyError::Destination(_)) => return Err(anyhow!(of_destination(&error))),
        Err(error @ (CopyError::Pack(..) | CopyError::Temporary(_))) => return Err(anyhow!(error)),
    };
    exit::unless_closed(summarize(&done, &arguments, context))?;
    let is_all = arguments.instance.is_empty() && arguments.since.is_none();
    // Days of the catalog are there whatever is asked for.
    let there = if is_all { done.there } else { there };
    if done.copied + there + done.problems == 0 && !done.is_partial {
        let url = source.url("");
        output::error(match is_all {
            true => format!("nothing to copy in {url}"),
            false => format!("nothing in {url} matches"),
        });
        return Ok(Exit::Nothing);
    }
    if !done.is_catalog_complete && !arguments.dry_run {
        output::error(format_args!(
            "the catalog of {} is not marked as complete, so a listing of its fleet lists all of it; console-archive \
             reindex --archive-url '{}' builds it and marks it",
            to.url(""),
            arguments.to
        ));
    }
    // A folder may have been copied with its times.
    if done.is_stored_alike && are_buckets {
        output::error(format_args!(
            "warning: {} and {} have the same objects, stored at the same times; if these are two addresses of one \
             bucket, this is no copy",
            source.url(""),
            to.url("")
        ));
    }
    if done.is_partial {
        output::error("a part of an archive could not be listed, and was not copied");
    }
    match done.problems == 0 && !done.is_partial {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
    }
}

/// Both stores, or the problems of both sides' settings.
fn both(
    source: Result<ArchiveStore>,
    to: Result<ArchiveStore>,
) -> Result<(ArchiveStore, ArchiveStore)> {
    let settings = |side: Result<ArchiveStore>| match side {
        Ok(store) => Ok(Ok(store)),
        Err(error) => error.downcast::<ConfigError>().map(Err),
    };
    Ok(ConfigError::both(settings(source)?, settings(to)?)?)
}

/// Whether one archive is in the other, or both are the same.
fn are_in_each_other(one: &ArchiveStore, other: &ArchiveStore) -> bool {
    match (one, other) {
        (ArchiveStore::Directory(one), ArchiveStore::Directory(other)) => {
            let (one, other) = (Folder::of(one.root()), Folder::of(other.root()));
            one.is_below(&other) || other.is_below(&one)
        }
        (ArchiveStore::Bucket(one), ArchiveStore::Bucket(other)) => {
            // Two services may have buckets of one name.
            let place = |bucket: &BucketStore| format!("{} {}", bucket.host_url(), bucket.url(""));
            let (one, other) = (place(one), place(other));
            is_below(&one, &other) || is_below(&other, &one)
        }
        _ => false,
    }
}

fn are_the_same(one: &ArchiveStore, other: &ArchiveStore) -> bool {
    match (one, other) {
        (ArchiveStore::Directory(one), ArchiveStore::Directory(other)) => {
            let (one, other) = (Folder::of(one.root()), Folder::of(other.root()));
            one.is_below(&other) && other.is_below(&one)
        }
        _ => one.url("") == other.url(""),
    }
}

/// Keys of a bucket are no folders, but an archive in another would be listed with it.
fn is_below(url: &str, other: &str) -> bool {
    let with_slash = |url: &str| format!("{}/", url.trim_end_matches('/'));
    with_slash(url).starts_with(&with_slash(other))
}

/// A folder by where it is on the disk: a link or a mount may lead to it by another path.
struct Folder {
    path: PathBuf,
    /// Device and inode of those of its folders that exist, itself first.
    ids: Vec<(u64, u64)>,
    exists: bool,
}

impl Folder {
    fn of(path: &Path) -> Self {
        let mut existing = path.ancestors();
        let found = existing.find_map(|above| Some((above, above.canonicalize().ok()?)));
        let (above, real) = found.unwrap_or((path, path.to_owned()));
        let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
        Self {
            ids: real.ancestors().filter_map(id).collect(),
            exists: rest.as_os_str().is_empty(),
            path: real.join(rest),
        }
    }

    fn is_below(&self, other: &Self) -> bool {
        let other_id = other.ids.first().filter(|_| other.exists);
        self.path.starts_with(&other.path) || other_id.is_some_and(|id| self.ids.contains(id))
    }
}

#[cfg(unix)]
fn id(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = path.metadata().ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id(_: &Path) -> Option<(u64, u64)> {
    None // Its path has to do.
}

/// Settings of the destination are those of `--to-settings`, but its address is in `--to`.
fn of_destination(told: &dyn std::fmt::Display) -> String {
    told.to_string().replace("ARCHIVE_URL", "--to")
}

/// More is no file of settings.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

impl Arguments {
    fn destination(&self, context: &Context) -> Result<ArchiveStore> {
        let settings = match &self.to_settings {
            None => Ok(context.environment.clone()),
            Some(path) => {
                let shown = path.display();
                let bytes = input::read(path, MAX_SETTINGS_BYTES + 1)?;
                if bytes.len() as u64 > MAX_SETTINGS_BYTES {
                    let why = format_args!("it has more than {MAX_SETTINGS_BYTES} bytes");
                    return Err(input::wrong(path, why).into());
                }
                let text =
                    String::from_utf8(bytes).map_err(|_| input::wrong(path, "it is not UTF-8"))?;
                let settings = context.environment.of_file(&text);
                settings.map_err(|problems| problems.of(&shown.to_string()))
            }
        };
        let settings = settings?.with("ARCHIVE_URL", Some(self.to.clone()));
        let told = |error: anyhow::Error| match error.downcast::<ConfigError>() {
            Ok(problems) => problems
                .of("the destination")
                .renamed("the destination: ARCHIVE_URL", "--to")
                .renamed("ARCHIVE_URL", "--to")
                .into(),
            Err(error) => error,
        };
        Context::store_of(&settings).map_err(told)
    }
}

/// Prints what became of objects, as far as somebody wants to read it.
struct Printer {
    bar: ProgressBar,
    output: Output,
    is_dry_run: bool,
    copied_bytes: u64,
    /// Objects that were there already, without the days of the catalog.
    there: u64,
    printed: Result<()>,
}

impl Printer {
    fn new(output: Output, is_dry_run: bool) -> Result<Self> {
        let bar = output::progress("{human_pos} objects compared, {msg}, {rate}")?;
        bar.set_message("0 B copied");
        Ok(Self {
            bar,
            output,
            is_dry_run,
            copied_bytes: 0,
            there: 0,
            printed: Ok(()),
        })
    }

    fn tell(&mut self, fate: &Fate) {
        self.bar.inc(1);
        let Fate { key, bytes, what } = fate;
        let is_there = *what == What::There && !key.starts_with(DAYS_PREFIX);
        self.there += u64::from(is_there);
        if *what == What::Copied {
            self.copied_bytes += bytes;
            self.bar
                .set_message(format!("{} copied", HumanBytes(self.copied_bytes)));
        }
        let message = |problem: &Problem| match problem {
            Problem::Refused(_) => of_destination(problem),
            _ => problem.to_string(),
        };
        if let (What::Problem(problem), Output::Text) = (what, self.output) {
            let told = message(problem);
            self.bar
                .suspend(|| output::error(format_args!("not copied: {key}: {told}")));
        }
        let printed = match (what, self.output) {
            (What::Copied, Output::Json) => {
                output::json_text(&json!({"type": "copied", "key": key, "bytes": bytes}))
            }
            (What::Problem(problem), Output::Json) => output::json_text(&json!({
                "type": "problem",
                "key": key,
                "problem": problem.as_str(),
                "message": message(problem),
            })),
            (What::Copied, Output::Text) if self.is_dry_run => format!("{key}\n"),
            _ => return,
        };
        if self.printed.is_ok() {
            let print = || stdout().write_all(printed.as_bytes());
            self.printed = self.bar.suspend(print).map_err(Into::into);
        }
    }
}

fn summarize(done: &Copied, arguments: &Arguments, context: &Context) -> Result<()> {
    if context.output == Output::Json {
        let mut summary = json!(done);
        summary["type"] = json!("summary");
        summary["is_dry_run"] = json!(arguments.dry_run);
        return output::json_line(&summary);
    }
    let copied = if arguments.dry_run {
        "would copy"
    } else {
        "copied"
    };
    output::line(format_args!(
        "{copied} {} of {}; {} there already, {} not copied",
        output::count(done.copied, "object"),
        output::count(done.copied_bytes, "byte"),
        output::grouped(done.there),
        output::grouped(done.problems)
    ))
}
