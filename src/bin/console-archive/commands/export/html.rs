//! A boot, two boots or the fleet as one file that opens in any browser: it loads nothing, and runs no script.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::log;
use ecs_console_archiver::reading::compare::Manner;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::Store as _;

use super::super::diff;
use super::super::serve::Instance;
use super::super::serve::address::{DiffQuery, View};
use super::super::serve::pages::{self, Site, boot::BootPage};
use super::super::{Context, report};
use super::Arguments;
use crate::boots::{self, Summary};
use crate::exit::{Exit, WrongInput};
use crate::output;

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
    if read.boots.is_empty() {
        return Ok(read.tell_none(instance_id, &store.url(""), &context.time_zone));
    }
    let newest = Selection::Back(0);
    let selection = arguments.boot.as_ref().unwrap_or(&newest);
    let Some(index) = read.select(selection, instance_id) else {
        return Ok(Exit::Nothing);
    };
    let against = match arguments.diff {
        false => None,
        true => match arguments.baseline.of(&read, index, instance_id) {
            Some(against) => Some(against),
            None => return Ok(Exit::Nothing),
        },
    };
    let (exit, redact) = (read.exit(), context.redact()?);
    let site = Site {
        archive_url: store.url(""),
        zone: context.time_zone.clone(),
        is_file: true,
    };
    let boot_id = |index: usize| &read.boots[index].id;
    let what = match against {
        Some(against) => format!(
            "what changed from boot {} to {} of {instance_id}",
            boot_id(against),
            boot_id(index)
        ),
        None => format!("boot {} of {instance_id}", boot_id(index)),
    };
    let id = instance_id.clone();
    let page = tokio::task::spawn_blocking(move || {
        let instance = Instance::of(id, read, redact);
        match against {
            Some(against) => pair(&site, &instance, against, index, redact),
            None => Ok(boot(&site, &instance, index)),
        }
    });
    output::page(file, &page.await??, &what)?;
    Ok(exit)
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
