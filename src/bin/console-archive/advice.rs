//! What to do about an error that ended a command, as `doctor` says it.

use ecs_console_archiver::archive::reader::ReadError;
use ecs_console_archiver::capture::CaptureError;
use ecs_console_archiver::config::{Archive, Sections};
use ecs_console_archiver::doctor::advice::{self, Operation};
use ecs_console_archiver::queue::sqs::QueueError;
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::store::StoreError;
use url::Url;

/// What a command asked for, as far as advice depends on it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Of the archive.
    pub operation: Operation,
    /// Of a dead-letter queue.
    pub queue_url: Option<Url>,
}

/// What to do; `None` where there is no advice, or the error says it itself.
pub fn of(error: &anyhow::Error, sections: Sections, asked: &Asked) -> Option<String> {
    let advice = match error.downcast_ref::<CaptureError>() {
        Some(CaptureError::Ecs(error)) => ecs(error, &sections),
        Some(CaptureError::Store(error)) => store(error, &sections, Operation::Write),
        Some(_) => None,
        None => {
            let from_store = error.downcast_ref::<StoreError>();
            let from_store = from_store.or(match error.downcast_ref::<ReadError>() {
                Some(ReadError::Store(error)) => Some(error),
                _ => None,
            });
            let from_queue = error.downcast_ref::<QueueError>();
            let from_store = from_store.and_then(|e| store(e, &sections, asked.operation));
            from_store.or_else(|| queue(from_queue?, asked.queue_url.as_ref()?))
        }
    };
    let told = error.to_string();
    advice.filter(|advice| !told.contains(advice.as_str()))
}

fn ecs(error: &EcsError, sections: &Sections) -> Option<String> {
    if matches!(error, EcsError::Credentials(_)) {
        return None; // It says where they were looked for, and what to do.
    }
    let config = sections.ecs.as_ref()?;
    let region_id = config.default_region.as_ref()?;
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

/// That of the follow queue is about sending to it; an address is an address.
fn queue(error: &QueueError, url: &Url) -> Option<String> {
    match error {
        QueueError::Unavailable(_) => {
            let advice = advice::follow_queue(error, url);
            Some(advice.replace("FOLLOW_QUEUE_URL", "--queue-url"))
        }
        _ => None,
    }
}
