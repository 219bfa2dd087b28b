//! What to do about an error that ended a command or an event, as `doctor` says it.

use ecs_console_archiver::archive::reader::ReadError;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::config::{Archive, Sections};
use ecs_console_archiver::doctor::advice::{self, AskedQueue, Operation};
use ecs_console_archiver::model::ids::RegionId;
use ecs_console_archiver::queue::QueueError;
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::store::StoreError;

/// What a command asked for, as far as advice depends on it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Of the archive.
    pub operation: Operation,
    /// The dead-letter queue, where the command has one.
    pub queue: Option<AskedQueue>,
}

/// What to do; `None` where there is no advice, or the error says it itself.
pub fn of(error: &anyhow::Error, sections: &Sections, asked: &Asked) -> Option<String> {
    if let Some(error) = error.downcast_ref::<CaptureError>() {
        return of_capture(error, sections, default_region(sections));
    }
    let from_store = error.downcast_ref::<StoreError>();
    let from_store = from_store.or(match error.downcast_ref::<ReadError>() {
        Some(ReadError::Store(error)) => Some(error),
        _ => None,
    });
    let from_queue = error.downcast_ref::<QueueError>();
    let from_store = from_store.and_then(|error| store(error, sections, asked.operation));
    let advice = from_store.or_else(|| queue(from_queue?, asked.queue.as_ref()?));
    unless_told(advice, error)
}

/// The same of a capture in this region, where it is known.
pub fn of_capture(
    error: &CaptureError,
    sections: &Sections,
    region_id: Option<&RegionId>,
) -> Option<String> {
    let advice = match error {
        CaptureError::Ecs(error) => ecs(error, sections, region_id),
        CaptureError::Store(error) => store(error, sections, Operation::Write),
        CaptureError::Queue(error) => {
            let url = sections.follow_queue.as_ref()?.url.clone();
            queue(error, &AskedQueue::follow(url))
        }
        _ => None,
    };
    unless_told(advice, error)
}

fn unless_told(advice: Option<String>, error: &impl ToString) -> Option<String> {
    let told = error.to_string();
    advice.filter(|advice| !told.contains(advice.as_str()))
}

fn default_region(sections: &Sections) -> Option<&RegionId> {
    sections.ecs.as_ref()?.default_region.as_ref()
}

fn ecs(error: &EcsError, sections: &Sections, region_id: Option<&RegionId>) -> Option<String> {
    if matches!(error, EcsError::Credentials(_)) {
        return None; // It says where they were looked for, and what to do.
    }
    let config = sections.ecs.as_ref()?;
    Some(advice::ecs(error, &config.endpoint, region_id))
}

fn store(error: &StoreError, sections: &Sections, operation: Operation) -> Option<String> {
    match sections.archive.as_ref()? {
        Archive::Bucket(_) if matches!(error, StoreError::Credentials(_)) => None, // Likewise.
        Archive::Bucket(bucket) => Some(advice::bucket(error, operation, bucket)),
        // Its errors say what to do.
        Archive::Directory(_) => None,
    }
}

fn queue(error: &QueueError, asked: &AskedQueue) -> Option<String> {
    match error {
        QueueError::Credentials(_) => None, // Likewise.
        error => Some(advice::queue(error, asked)),
    }
}
