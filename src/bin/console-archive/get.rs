//! `console-archive get`: a console, held against what its key and metadata say of it.

use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::archive::{self, At, ListedMarker, Opened, ReadError};
use ecs_console_archiver::ids::InstanceId;
use ecs_console_archiver::key::RecordKey;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::{ArchiveStore, Store};

use crate::arguments::Output;
use crate::{End, is_broken_pipe, show};

/// Which console, and in what form.
pub struct Wanted {
    pub instance_id: InstanceId,
    pub at: At,
    /// As the guest wrote it, on a terminal, too.
    pub raw: bool,
    /// Even where it is not what its key and metadata say.
    pub damaged: bool,
}

pub async fn run(
    store: &ArchiveStore,
    wanted: &Wanted,
    time: Duration,
    output: Output,
) -> Result<End> {
    let instance_id = &wanted.instance_id;
    let store = &Retrying::new(store, Deadline::after(time));
    let listing = archive::list(store, Some(instance_id)).await?;
    let last_marker = listing.markers.last().cloned();
    let Some(listed) = listing.find(&wanted.at) else {
        let which = if wanted.at == At::Latest {
            ""
        } else {
            " of that time"
        };
        show::error(format_args!("there is no record{which} of {instance_id}"));
        if let Some(ListedMarker { key, .. }) = last_marker {
            let (time, why) = (key.time, key.reason.message());
            show::error(format_args!(
                "ECS was asked for it, at last for {time}: {why}"
            ));
        }
        return Ok(End::Nothing);
    };
    let (opened, faults) = match archive::open(store, &listed.key).await {
        Ok(opened) => (opened, Vec::new()),
        Err(ReadError::Damaged(damaged)) => {
            let faults = damaged.faults.iter().map(ToString::to_string).collect();
            tell_damage(&damaged.url, &faults);
            if !wanted.damaged {
                show::error("it is not printed; --damaged prints what can be read of it");
                return Ok(End::Failed);
            }
            (damaged.salvaged, faults)
        }
        Err(error) => return Err(error.into()),
    };
    tell_missing(&opened);
    match show::console(&listed, &opened, &faults, wanted.raw, output) {
        // A reader that has seen enough has still seen a damaged record.
        Err(error) if faults.is_empty() || !is_broken_pipe(&error) => Err(error),
        _ if faults.is_empty() => Ok(End::Done),
        _ => Ok(End::Failed),
    }
}

/// Whether the record that was there before a capture is whole. The function does not ask, for that
/// would be another request at each event.
pub async fn verify(store: &impl Store, key: &str) -> End {
    let Some(key) = RecordKey::parse(key) else {
        return End::Done;
    };
    match archive::open(store, &key).await {
        Ok(opened) => {
            tell_missing(&opened);
            End::Done
        }
        Err(ReadError::Damaged(damaged)) => {
            let faults = damaged.faults.iter().map(ToString::to_string).collect();
            tell_damage(&damaged.url, &faults);
            show::error("move or remove it, and capture again while ECS still has the console");
            End::Failed
        }
        // Keys that may write only are common.
        Err(error) => {
            show::error(format_args!(
                "warning: the record that is there could not be verified: {error}"
            ));
            End::Done
        }
    }
}

fn tell_damage(url: &str, faults: &Vec<String>) {
    for fault in faults {
        show::error(format_args!("{url} is damaged: {fault}"));
    }
}

fn tell_missing(opened: &Opened) {
    if !opened.missing_metadata.is_empty() {
        show::error(format_args!(
            "warning: the record's metadata is gone or unreadable ({}); only the digest in its \
             name vouches for it",
            opened.missing_metadata.join(", ")
        ));
    }
}
