//! A boot, two boots, what is left of a machine without a console, or the fleet as one file that opens in any browser: it loads nothing, and runs no script.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ecs_console_archiver::archive::reader::ScreenshotEntry;
use ecs_console_archiver::archive::screenshot;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::log;
use ecs_console_archiver::reading::compare::Manner;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::{self, Store};

use super::super::diff;
use super::super::serve::address::{DiffQuery, View};
use super::super::serve::pages::{self, Picture, Pictures, Site, boot::BootPage, screenshots};
use super::super::serve::{Instance, why_no_console};
use super::super::{Context, report};
use super::Arguments;
use crate::boots::{self, Summary};
use crate::exit::{Exit, WrongInput};
use crate::output;

/// Most that the pictures of a page take, as they are stored. Who opens it has it in memory as a whole.
const MAX_PICTURES_BYTES: u64 = 16 << 20;

pub async fn run(arguments: &Arguments, file: &Path, context: &Context) -> Result<Exit> {
    let [instance_id] = &arguments.instance_ids[..] else {
        return fleet(arguments, file, context).await;
    };
    log::init(&context.warnings());
    let given = [
        (!arguments.instance.is_empty(), "--instance"),
        (arguments.since.is_some(), "--since"),
        (arguments.until.is_some(), "--until"),
    ];
    if let Some((_, option)) = given.into_iter().find(|(is_given, _)| *is_given) {
        let wrong = format!("{option} is for the report of a fleet; --boot chooses a boot");
        return Err(WrongInput(wrong).into());
    }
    let store = context.store()?;
    let archive = Retrying::new(&store, Deadline::after(context.time()));
    context.reads();
    let read = boots::read(&archive, instance_id).await?;
    let names_boot = arguments.boot.is_some() || arguments.diff;
    let has_only_screenshots = !read.screenshots.is_empty() && read.left_out.is_empty();
    let shown = if !read.boots.is_empty() {
        let newest = Selection::Back(0);
        let selection = arguments.boot.as_ref().unwrap_or(&newest);
        let Some(index) = read.select(selection, instance_id) else {
            return Ok(Exit::Nothing);
        };
        match arguments.diff {
            false => Shown::Boot(index),
            true => match arguments.baseline.of(&read, index, instance_id) {
                Some(against) => Shown::Pair(against, index),
                None => return Ok(Exit::Nothing),
            },
        }
    } else if has_only_screenshots && !names_boot {
        Shown::Screenshots
    } else {
        return Ok(read.tell_none(instance_id, &store.url(""), &context.time_zone));
    };
    let (exit, redact) = (read.exit(), context.redact()?);
    let boot_id = |index: usize| &read.boots[index].id;
    let what = match shown {
        Shown::Pair(against, index) => format!(
            "what changed from boot {} to {} of {instance_id}",
            boot_id(against),
            boot_id(index)
        ),
        Shown::Boot(index) => format!("boot {} of {instance_id}", boot_id(index)),
        Shown::Screenshots => format!("what the screen of {instance_id} showed"),
    };
    let (id, why_none) = (instance_id.clone(), why_no_console(&archive, &read).await?);
    let instance = move || Instance::of(id, read, why_none, redact, BTreeSet::new());
    let instance = tokio::task::spawn_blocking(instance);
    let instance = instance.await?;
    let (pictures, are_whole) = pictures(&archive, shown.screenshots(&instance)).await?;
    let site = Site {
        archive_url: store.url(""),
        zone: context.time_zone.clone(),
        is_file: true,
        pictures,
    };
    let page = tokio::task::spawn_blocking(move || match shown {
        Shown::Pair(against, index) => pair(&site, &instance, against, index, redact),
        Shown::Boot(index) => Ok(boot(&site, &instance, index)),
        Shown::Screenshots => Ok(pages::instance::page(&site, &instance).into_string()),
    });
    output::page(file, &page.await??, &what)?;
    Ok(if are_whole { exit } else { Exit::Failed })
}

/// What of an instance is shown.
#[derive(Clone, Copy)]
enum Shown {
    Boot(usize),
    /// What changed from one boot to another.
    Pair(usize, usize),
    /// There is nothing else.
    Screenshots,
}

impl Shown {
    fn screenshots(self, instance: &Instance) -> Vec<&ScreenshotEntry> {
        match self {
            Self::Boot(index) => screenshots::shown_of_boot(instance, index),
            Self::Pair(against, index) => screenshots::shown_of_boots(instance, [against, index]),
            Self::Screenshots => screenshots::shown_of_instance(instance),
        }
    }
}

/// Reads the screenshots that a page shows, the newest first, as long as there is room. Returns whether all of them are
/// whole. One that is not is told, and the page says so in its place.
async fn pictures(
    store: &impl Store,
    mut shown: Vec<&ScreenshotEntry>,
) -> Result<(Pictures, bool)> {
    shown.sort_by_key(|one| std::cmp::Reverse(one.taken_at()));
    let (mut pictures, mut left, mut are_whole) = (Pictures::new(), MAX_PICTURES_BYTES, true);
    for one in shown {
        let Some(rest) = left.checked_sub(one.bytes) else {
            break;
        };
        left = rest;
        let key = one.key.to_string();
        let why = match store::get_listed(store, &key).await {
            Ok(Some(object)) => match screenshot::faults(&one.key, &object).first() {
                None => {
                    pictures.insert(one.key.clone(), Picture::Whole(object.body));
                    continue;
                }
                Some(fault) => format!("{} is damaged: {fault}", store.url(&key)),
            },
            Ok(None) => format!("{} is no longer there", store.url(&key)),
            Err(error) if error.is_of_object() => boots::named(&key, &error.to_string()),
            Err(error) => return Err(error.into()),
        };
        output::error(format_args!("warning: left out: {why}"));
        pictures.insert(
            one.key.clone(),
            Picture::Damaged(format!("left out: {why}")),
        );
        are_whole = false;
    }
    Ok((pictures, are_whole))
}

fn boot(site: &Site, instance: &Arc<Instance>, index: usize) -> String {
    let mut page = String::new();
    BootPage::new(site, instance, index, View::default()).write(&mut |part| {
        page.push_str(&part);
        true
    });
    page
}

fn pair(
    site: &Site,
    instance: &Arc<Instance>,
    a: usize,
    b: usize,
    redact: Redact,
) -> Result<String> {
    let log = |index| diff::boot_log(&Summary::new(&instance.boots, index), &instance.id);
    let (mut log_a, mut log_b) = (log(a), log(b));
    // Their secrets are masked already, and counted here.
    let (auto, manner) = (EncodingChoice::Auto, Manner::default());
    let (compared, is_coarse) = diff::compare(&mut log_a, &mut log_b, auto, manner, redact)?;
    let pair = pages::diff::Pair {
        instance,
        a,
        b,
        logs: (&log_a, &log_b),
        compared: &compared,
        is_coarse,
    };
    Ok(pages::diff::page(site, &pair, &DiffQuery::default()).into_string())
}

/// The report of some days.
async fn fleet(arguments: &Arguments, file: &Path, context: &Context) -> Result<Exit> {
    let wrong = match (&arguments.instance_ids[..], &arguments.boot, arguments.diff) {
        ([], None, false) => None,
        ([], ..) => Some("--boot and --diff are for one instance: give its ID"),
        _ => Some("--html takes one instance; without one, it is the report of the fleet"),
    };
    if let Some(wrong) = wrong {
        return Err(WrongInput(wrong.into()).into());
    }
    let arguments = report::Arguments {
        since: arguments.since.clone(),
        until: arguments.until.clone(),
        instance: arguments.instance.clone(),
        region: Vec::new(),
        boots: false,
        html: Some(file.to_owned()),
    };
    report::run(arguments, context).await
}
