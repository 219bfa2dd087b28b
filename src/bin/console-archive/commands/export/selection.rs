//! What an export has: the objects that were there when it began, whatever becomes of the archive until it ends.

use std::collections::{HashMap, HashSet};
use std::pin::pin;

use anyhow::Result;
use ecs_console_archiver::archive::key::hash;
use ecs_console_archiver::archive::reader::Instance;
use ecs_console_archiver::store::{Entry, Store};
use futures_util::{Stream, TryStreamExt as _};
use jiff::Timestamp;

use super::members::Removed;
use super::progress::Progress;

/// Notes what is there now.
///
/// # Errors
/// An error of the listing, or of the file.
pub async fn write(
    progress: &mut Progress,
    listed: impl Stream<Item = Result<Instance>>,
) -> Result<()> {
    let mut listed = pin!(listed);
    while let Some(instance) = listed.try_next().await? {
        progress.select(&instance)?;
    }
    progress.selected()
}

/// The instances of the selection that are not written yet. One of which nothing is exported is not written, either.
///
/// # Errors
/// An error of the file.
pub fn not_written(progress: &Progress) -> Result<impl Iterator<Item = Result<Instance>> + use<>> {
    let last = progress.last().map(|last| last.instance_id.clone());
    let skipped = usize::from(last.is_some());
    let instances = progress.instances()?.skip_while(move |instance| {
        let id = instance.as_ref().ok().map(|instance| &instance.id);
        last.is_some() && id.is_some() && id != last.as_ref()
    });
    Ok(instances.skip(skipped))
}

/// Compares the selection with what is there now. Returns how many objects have come.
///
/// # Errors
/// [`Removed`] if one is gone or another one that is not written yet; an error of the listing, or of the file.
pub async fn compare(
    progress: &Progress,
    store: &impl Store,
    listed: impl Stream<Item = Result<Instance>>,
) -> Result<u64> {
    let (mut all, mut awaited) = (HashSet::new(), HashMap::new());
    for instance in progress.instances()? {
        all.extend(instance?.entries.iter().map(|entry| hash(&entry.key)));
    }
    for instance in not_written(progress)? {
        let entries = instance?.entries;
        awaited.extend(entries.iter().map(|entry| (hash(&entry.key), state(entry))));
    }
    let (mut came, until) = (0, progress.job.until);
    let mut listed = pin!(listed);
    while let Some(instance) = listed.try_next().await? {
        for entry in instance.entries {
            let before = awaited.remove(&hash(&entry.key));
            // Whatever was changed of it, its metadata as well: a bucket has another object then.
            if before.is_some_and(|before| before != state(&entry)) {
                return Err(Removed::replaced(entry.key).into());
            }
            // What is stored later was captured later, too.
            let is_asked_for = until.is_none_or(|until| entry.stored_at <= until);
            came += u64::from(is_asked_for && !all.contains(&hash(&entry.key)));
        }
    }
    for instance in not_written(progress)? {
        for entry in instance?.entries {
            // A part of the archive may not have been listed.
            if awaited.contains_key(&hash(&entry.key))
                && store.metadata(&entry.key).await?.is_none()
            {
                return Err(Removed::gone(entry.key).into());
            }
        }
    }
    Ok(came)
}

/// What a listing says of an object. Another one has another time of storing.
fn state(entry: &Entry) -> (u64, Timestamp) {
    (entry.bytes, entry.stored_at)
}
