//! A screenshot as people and programs see it: the same words and names in every command.

use std::collections::BTreeMap;

use ecs_console_archiver::archive::reader::ScreenshotEntry;
use ecs_console_archiver::archive::record::metadata_text;
use ecs_console_archiver::store::Store;
use jiff::Timestamp;
use serde_json::{Value, json};

/// When it was taken: by its metadata if they were read, else as far as the listing tells it.
pub fn taken_at(
    listed: &ScreenshotEntry,
    metadata: Option<&BTreeMap<String, String>>,
) -> Timestamp {
    let said = metadata.and_then(|all| all.get("captured-at")?.parse().ok());
    said.unwrap_or_else(|| listed.taken_at())
}

/// With the names that the function's answers have, too.
pub fn json(
    listed: &ScreenshotEntry,
    metadata: Option<&BTreeMap<String, String>>,
    store: &impl Store,
) -> Value {
    let key = listed.key.to_string();
    let mut json = json!({
        "instance_id": listed.key.instance_id,
        "name": listed.key.name(),
        "url": store.url(&key),
        "key": key,
        "image_bytes": listed.bytes,
        "stored_at": listed.stored_at.to_string(),
    });
    for (name, metadata_name) in [
        ("captured_at", "captured-at"),
        ("pixels", "screenshot-pixels"),
        ("reason", "no-console"),
        ("event_cause", "event-cause"),
        ("event_id", "event-id"),
        ("event_time", "event-time"),
        ("region_id", "region-id"),
        ("account_id", "account-id"),
    ] {
        if let Some(value) = metadata.and_then(|all| all.get(metadata_name)) {
            json[name] = metadata_text(value).into();
        }
    }
    json
}
