//! A screenshot, held against what its key and metadata say of it, and written as it came.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ecs_console_archiver::archive::reader::{ScreenshotEntry, Selector};
use ecs_console_archiver::archive::screenshot;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::store::{self, Object, Store, StoreError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::json;

use super::super::Context;
use super::inline::{self, Protocol};
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};
use crate::screenshot::{json, taken_at};
use crate::time;

/// Objects read at once.
const READ_AT_ONCE: usize = 16;

/// What is asked for.
pub struct Asked<'a> {
    pub instance_id: &'a InstanceId,
    pub at: Selector,
    /// So many before that one.
    pub previous: usize,
    /// `-`: standard output.
    pub out: Option<&'a Path>,
    /// Draws it in place of writing it.
    pub inline: Option<Protocol>,
    pub damaged: bool,
}

type Metadata = BTreeMap<String, String>;

/// Writes one of these screenshots.
pub async fn run(
    asked: &Asked<'_>,
    listed: Vec<ScreenshotEntry>,
    store: &impl Store,
    context: &Context,
) -> Result<Exit> {
    let (instance_id, count) = (asked.instance_id, listed.len() as u64);
    if count == 0 {
        let archive_url = store.url("");
        output::error(format_args!(
            "{instance_id} has no screenshot in {archive_url}"
        ));
        return Ok(Exit::Nothing);
    }
    let Some(chosen) = choose(asked, listed, store).await? else {
        let there = output::count(count, "screenshot");
        output::error(format_args!(
            "{instance_id} has no such screenshot, and {there}: console-archive list {instance_id}"
        ));
        return Ok(Exit::Nothing);
    };
    let is_to_terminal = asked.out.is_none() && stdout().is_terminal();
    if is_to_terminal && asked.inline.is_none() && context.output == Output::Text {
        let told = "a terminal shows no bytes of a picture: write it to a file with -o FILE, or have it drawn by \
                    --inline kitty, iterm2 or sixel";
        return Err(WrongInput(told.into()).into());
    }
    context.reads();
    let key = chosen.key.to_string();
    let Some(object) = store::get_listed(store, &key).await? else {
        output::error(format_args!("{} is no longer there", store.url(&key)));
        return Ok(Exit::Failed);
    };
    let faults = screenshot::faults(&chosen.key, &object);
    for fault in &faults {
        output::error(format_args!("{} is damaged: {fault}", store.url(&key)));
    }
    let exit = match faults.is_empty() {
        true => Exit::Done,
        false if asked.damaged => Exit::Failed,
        false => {
            output::error("it is not written; --damaged writes it as it is");
            return Ok(Exit::Failed);
        }
    };
    if context.output == Output::Json {
        let mut json = json(&chosen, Some(&object.metadata), store);
        json["metadata"] = json!(object.metadata);
        json["image"] = BASE64_STANDARD.encode(&object.body).into();
        output::json(&json)?;
        return Ok(exit);
    }
    if let Some(protocol) = asked.inline {
        let drawn = inline::drawn(&object.body, chosen.key.format, protocol)?;
        stdout().write_all(drawn.as_bytes())?;
        return Ok(exit);
    }
    write(&chosen, &object, asked.out, context)?;
    Ok(exit)
}

/// The newest, or the one that is selected. A listing tells only the day on which each was taken, so the metadata of those
/// that may be it are read.
async fn choose(
    asked: &Asked<'_>,
    mut listed: Vec<ScreenshotEntry>,
    store: &impl Store,
) -> Result<Option<ScreenshotEntry>, StoreError> {
    listed.sort_by_key(|screenshot| (screenshot.key.day, screenshot.taken_at()));
    let named = match &asked.at {
        Selector::Name(name) => {
            let place = listed.iter().position(|one| one.key.name() == *name);
            let Some(place) = place else {
                return Ok(None);
            };
            Some(listed[place].key.clone())
        }
        _ => None,
    };
    let mut read = Vec::new();
    let mut chosen = None;
    while let Some(day) = listed.last().map(|last| last.key.day) {
        let from = listed.partition_point(|screenshot| screenshot.key.day < day);
        let of_day = listed.split_off(from).into_iter().map(async |screenshot| {
            let key = screenshot.key.to_string();
            let metadata: Option<Metadata> = store::metadata_listed(store, &key).await?;
            Ok::<_, StoreError>((taken_at(&screenshot, metadata.as_ref()), screenshot))
        });
        let of_day = stream::iter(of_day).buffered(READ_AT_ONCE);
        let mut of_day: Vec<(Timestamp, ScreenshotEntry)> = of_day.try_collect().await?;
        of_day.sort_by_key(|(taken_at, _)| std::cmp::Reverse(*taken_at));
        read.extend(of_day);
        let is_selected = |(taken_at, screenshot): &(Timestamp, ScreenshotEntry)| match &asked.at {
            Selector::Latest => true,
            Selector::NotAfter(last) => taken_at <= last,
            Selector::Name(_) => named.as_ref() == Some(&screenshot.key),
        };
        let place = read.iter().position(is_selected);
        chosen = place.and_then(|place| read.get(place + asked.previous));
        if chosen.is_some() {
            break;
        }
    }
    Ok(chosen.map(|(_, screenshot)| screenshot.clone()))
}

fn write(
    chosen: &ScreenshotEntry,
    object: &Object,
    out: Option<&Path>,
    context: &Context,
) -> Result<()> {
    let Some(path) = out.filter(|path| *path != Path::new("-")) else {
        let mut stdout = stdout().lock();
        stdout.write_all(&object.body)?;
        stdout.flush()?;
        return Ok(());
    };
    output::new_file(path, &object.body)?;
    let shown = path.display();
    let taken_at = taken_at(chosen, Some(&object.metadata));
    output::error(format_args!(
        "{} of {} is in {shown}",
        chosen.key.name(),
        time::shown(taken_at, &context.time_zone)
    ));
    Ok(())
}
