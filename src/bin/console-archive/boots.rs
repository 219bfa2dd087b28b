//! The boots of an instance, stitched from all of its records.

use anyhow::Result;
use ecs_console_archiver::archive::reader::{self, Listing, MarkerEntry, ReadError, RecordEntry};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::stitch::{self, Boot, Capture, Stitcher};
use ecs_console_archiver::store::Store;
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::output;

/// Records read at once.
const READ_AT_ONCE: usize = 16;
/// A console may be stored so much later than it was captured: while it is followed, the function holds it.
/// One more hour is for deliveries that come again.
const STORED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// What the archive has of an instance's boots.
pub struct Boots {
    /// The boots, the oldest first.
    pub boots: Vec<Boot>,
    /// Captures without a console, and why.
    pub markers: Vec<MarkerEntry>,
    /// How many records could not be read, or are damaged. Each was told.
    pub damaged: usize,
}

/// Reads each record of an instance once, and stitches.
///
/// # Errors
/// An error of the store. Damaged records are told and left out.
pub async fn read(store: &impl Store, instance_id: &InstanceId) -> Result<Boots> {
    let Listing {
        mut records,
        markers,
    } = reader::list(store, Some(instance_id)).await?;
    records.sort_by_key(|record| record.stored_at);
    // What ECS sent in place of a console is not a part of one.
    records.retain(|record| !record.key.is_undecoded);
    let read = records.into_iter().map(async |record| {
        let opened = reader::open(store, &record.key).await;
        (record, opened)
    });
    let mut read = stream::iter(read).buffered(READ_AT_ONCE);
    let (mut boots, mut damaged) = (Vec::new(), 0);
    let (mut stitcher, mut waiting) = (Stitcher::default(), Vec::new());
    while let Some((record, opened)) = read.next().await {
        let opened = match opened {
            Ok(opened) => opened,
            Err(error @ (ReadError::Damaged(_) | ReadError::Gone(_))) => {
                output::error(format_args!("warning: left out: {}", whole(&error)));
                damaged += 1;
                continue;
            }
            Err(ReadError::Store(error)) => return Err(error.into()),
        };
        let before = record
            .stored_at
            .checked_sub(STORED_WITHIN)
            .unwrap_or(Timestamp::MIN);
        waiting.push(capture(&record, &opened.object.metadata, opened.plain));
        stitch::sort(&mut waiting);
        let ready = waiting.partition_point(|capture: &Capture| capture.captured_at < before);
        boots.extend(
            waiting
                .drain(..ready)
                .flat_map(|capture| stitcher.push(capture)),
        );
    }
    boots.extend(
        waiting
            .into_iter()
            .flat_map(|capture| stitcher.push(capture)),
    );
    boots.extend(stitcher.finish());
    Ok(Boots {
        boots,
        markers,
        damaged,
    })
}

fn whole(error: &ReadError) -> String {
    match error {
        ReadError::Damaged(damaged) => format!("{damaged} is damaged: {}", damaged.faults_text()),
        error => error.to_string(),
    }
}

fn capture(
    record: &RecordEntry,
    metadata: &std::collections::BTreeMap<String, String>,
    plain: Vec<u8>,
) -> Capture {
    let text = |name: &str| metadata.get(name).map(String::as_str);
    let time = |name: &str| text(name).and_then(|text| text.parse::<Timestamp>().ok());
    Capture {
        name: record.key.name(),
        captured_at: time("captured-at").unwrap_or(record.stored_at),
        updated_at: record.key.last_update_time,
        // ECS starts a machine with an empty console. A guest that restarts by itself has no such event.
        started_at: time("event-time").filter(|_| text("event-cause") == Some("Starting")),
        event_id: text("event-id").map(str::to_owned),
        plain,
    }
}
