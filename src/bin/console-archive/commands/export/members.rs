//! An instance → the files of its export.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use ecs_console_archiver::archive::catalog::Subject;
use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey, VerdictKey};
use ecs_console_archiver::archive::reader::Instance;
use ecs_console_archiver::archive::{record, screenshot};
use ecs_console_archiver::hand_over;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::stitch::Boot;
use ecs_console_archiver::store::{self, Entry, Object, Store, StoreError, directory};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::boots::{self, Summary};

/// Objects of an instance that are read at once.
const AT_ONCE: usize = 16;

/// What is exported.
pub struct Wanted {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub is_as_stored: bool,
}

/// A file.
pub struct Member {
    /// Its path, in the export.
    pub path: String,
    pub bytes: Vec<u8>,
    pub modified: Timestamp,
}

/// The files of an instance: the manifest, and what it says something of.
pub struct Files {
    pub instance_id: InstanceId,
    /// Empty if nothing of the instance is exported.
    pub members: Vec<Member>,
    /// Logs, or objects as they are stored.
    pub logs: u64,
    /// Screenshots beside logs.
    pub screenshots: u64,
    /// What is damaged, for people.
    pub told: Vec<String>,
}

impl Wanted {
    fn includes(&self, first: Timestamp, last: Timestamp) -> bool {
        self.since.is_none_or(|since| last >= since)
            && self.until.is_none_or(|until| first <= until)
    }
}

/// The folder of an instance. IDs that differ in their case alone have folders that differ on each disk.
fn folder(instance_id: &InstanceId) -> String {
    let id = instance_id.as_str();
    let prefix = InstanceId::PREFIXES
        .into_iter()
        .find(|prefix| id.starts_with(prefix));
    let (prefix, rest) = id.split_at(prefix.map_or(0, str::len));
    let mut folder = prefix.to_owned();
    for letter in rest.chars() {
        if letter.is_ascii_uppercase() {
            folder.push('_');
        }
        folder.push(letter.to_ascii_lowercase());
    }
    folder
}

/// An object that was chosen when the export began is there no longer, or another one is. The export would have a part
/// of the archive as it was and a part as it is.
#[derive(Debug, thiserror::Error)]
#[error("{key} was {what} since the export began; {begun}run the command again to begin anew")]
pub struct Removed {
    pub key: String,
    pub what: &'static str,
    /// What is done with what is written so far.
    pub begun: String,
}

impl Removed {
    pub fn gone(key: String) -> Self {
        Self {
            key,
            what: "removed",
            begun: String::new(),
        }
    }

    pub fn replaced(key: String) -> Self {
        Self {
            what: "replaced",
            ..Self::gone(key)
        }
    }
}

/// A store of which each object that is read should be there.
struct Chosen<'a, S> {
    store: &'a S,
    removed: Mutex<Option<String>>,
}

impl<S: Store> Store for Chosen<'_, S> {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        // What is listed still was not removed: it is lost, and left out.
        let found = store::get_listed(self.store, key).await;
        if matches!(found, Ok(None)) {
            let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
            removed.get_or_insert_with(|| key.to_owned());
        }
        found
    }

    hand_over!(self, self.store; put_if_absent, delete, list, sorts, url);
}

/// Reads an instance, and makes its files.
///
/// # Errors
/// An error of the store, or [`Removed`].
pub async fn read(store: &impl Store, instance: Instance, wanted: &Wanted) -> Result<Files> {
    let chosen = Chosen {
        store,
        removed: Mutex::default(),
    };
    let files = read_chosen(&chosen, instance, wanted).await?;
    let removed = chosen.removed.into_inner();
    match removed.unwrap_or_else(PoisonError::into_inner) {
        None => Ok(files),
        Some(key) => Err(Removed::gone(key).into()),
    }
}

async fn read_chosen(store: &impl Store, instance: Instance, wanted: &Wanted) -> Result<Files> {
    let id = instance.id.clone();
    let (lines, members, told) = match wanted.is_as_stored {
        true => as_stored(store, &instance, wanted).await?,
        false => logs(store, instance, wanted).await?,
    };
    let of = |line: &&Value| line["member"].is_string();
    let is_screenshot = |line: &&Value| line["type"] == "screenshot";
    let screenshots = lines.iter().filter(is_screenshot).count() as u64;
    let mut files = Files {
        instance_id: id,
        logs: lines.iter().filter(of).count() as u64 - screenshots,
        screenshots,
        members: Vec::new(),
        told,
    };
    if members.is_empty() {
        return Ok(files);
    }
    let modified = members.iter().map(|member| member.modified).max();
    let lines = lines.iter().map(|line| format!("{line}\n"));
    files.members.push(Member {
        path: match wanted.is_as_stored {
            // The archive that it is does not list hidden files.
            true => format!("{}/.MANIFEST.jsonl", files.instance_id),
            false => format!("{}/MANIFEST.jsonl", folder(&files.instance_id)),
        },
        bytes: lines.collect::<String>().into_bytes(),
        modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
    });
    files.members.extend(members);
    Ok(files)
}

type Parts = (Vec<Value>, Vec<Member>, Vec<String>);

/// The log of each boot, joined from its captures.
async fn logs(store: &impl Store, instance: Instance, wanted: &Wanted) -> Result<Parts> {
    let (id, folder) = (instance.id.clone(), folder(&instance.id));
    let boots = boots::of_listing(store, instance.listing()).await?;
    let (mut lines, mut members) = (Vec::new(), Vec::new());
    for index in 0..boots.boots.len() {
        let boot = &boots.boots[index];
        let times = || boot.captures.iter().map(|capture| capture.captured_at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            continue;
        };
        if !wanted.includes(first, last) {
            continue;
        }
        let path = format!("{folder}/{}.log", boot.id);
        lines.push(line_of(
            &Summary::new(&boots.boots, index),
            &id,
            &path,
            last,
        ));
        members.push(Member {
            path,
            bytes: boot.log.clone(),
            modified: last,
        });
    }
    let mut told = boots.left_out;
    for screenshot in boots.screenshots {
        let (key, taken_at) = (&screenshot.key, screenshot.taken_at());
        if !wanted.includes(taken_at, taken_at) {
            continue;
        }
        let object = match store.get(&key.to_string()).await {
            Err(error) if error.is_of_object() => {
                told.push(boots::named(&key.to_string(), &error.to_string()));
                continue;
            }
            object => object?,
        };
        let Some(object) = object else {
            continue; // `Chosen` has noted it.
        };
        let faults = screenshot::faults(key, &object);
        if !faults.is_empty() {
            told.push(damaged(&store.url(&key.to_string()), &faults));
            continue;
        }
        let path = format!("{folder}/{}", key.name());
        let taken_at = captured_at(taken_at, &object);
        lines.push(json!({
            "type": "screenshot",
            "member": path,
            "instance_id": id,
            "key": key.to_string(),
            "sha256": ConsoleDigest::of(&object.body).to_string(),
            "bytes": object.body.len(),
            "captured_at": taken_at.to_string(),
        }));
        members.push(Member {
            path,
            bytes: object.body,
            modified: taken_at,
        });
    }
    for error in &mut told {
        lines.push(json!({"type": "left_out", "instance_id": id, "message": &*error}));
        *error = format!("left out: {error}");
    }
    Ok((lines, members, told))
}

/// What is told of a damaged object.
fn damaged<T: ToString>(url: &str, faults: &[T]) -> String {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    format!("{url} is damaged: {}", faults.join("; "))
}

fn line_of(of: &Summary, id: &InstanceId, path: &str, last: Timestamp) -> Value {
    let boot: &Boot = of.boot;
    let records = boot.captures.iter().map(|capture| {
        json!({
            "key": format!("{id}/{}.log.gz", capture.name),
            "captured_at": capture.captured_at.to_string(),
        })
    });
    json!({
        "type": "boot",
        "member": path,
        "instance_id": id,
        "boot_id": boot.id,
        "sha256": ConsoleDigest::of(&boot.log).to_string(),
        "bytes": boot.log.len(),
        "captured_at": last.to_string(),
        "ending": of.ending.as_str(),
        "is_whole": boot.start.is_some(),
        "is_crash_kernel": of.is_crash_kernel(),
        "gaps": of.gaps(),
        "marks": boot.marks.iter().map(boots::mark_json).collect::<Vec<_>>(),
        "records": records.collect::<Vec<_>>(),
    })
}

/// When an object was captured. If its metadata do not say it: when it was stored.
fn captured_at(stored_at: Timestamp, object: &Object) -> Timestamp {
    let captured_at = object.metadata.get("captured-at");
    let captured_at = captured_at.and_then(|text| text.parse().ok());
    captured_at.unwrap_or(stored_at)
}

/// The objects as a folder archive has them, with their metadata beside them.
async fn as_stored(store: &impl Store, instance: &Instance, wanted: &Wanted) -> Result<Parts> {
    let entries = instance.entries.iter();
    let read = entries.map(async |entry: &Entry| {
        let object = match store.get(&entry.key).await {
            Err(error) if error.is_of_object() => Err(boots::named(&entry.key, &error.to_string())),
            object => Ok(object?),
        };
        Ok::<_, StoreError>((entry, object))
    });
    let read = stream::iter(read).buffered(AT_ONCE);
    let read: Vec<_> = read.try_collect().await?;
    // A verdict goes with its record.
    let records = read.iter().filter_map(|(entry, object)| {
        let captured_at = captured_at(entry.stored_at, object.as_ref().ok()?.as_ref()?);
        let key = RecordKey::parse(&entry.key)?;
        wanted.includes(captured_at, captured_at).then_some(key)
    });
    let records: BTreeSet<_> = records.collect();
    let (mut lines, mut members, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, object) in read {
        let object = match object {
            Ok(Some(object)) => object,
            Ok(None) => continue, // `Chosen` has noted it.
            Err(error) => {
                lines.push(json!({"type": "left_out", "key": entry.key, "message": error}));
                told.push(format!("left out: {error}"));
                continue;
            }
        };
        let captured_at = captured_at(entry.stored_at, &object);
        let is_wanted = match VerdictKey::parse(&entry.key) {
            Some(verdict) => records.contains(&verdict.record),
            None => wanted.includes(captured_at, captured_at),
        };
        if !is_wanted {
            continue;
        }
        // The path of a file in an archive's folder is its key.
        let path = entry.key.clone();
        let mut line = json!({
            "type": "object",
            "member": path,
            "key": entry.key,
            "sha256": ConsoleDigest::of(&object.body).to_string(),
            "bytes": object.body.len(),
            "stored_at": entry.stored_at.to_string(),
        });
        let faults: Vec<_> = match Subject::parse(&entry.key) {
            Some(Subject::Record(key)) => {
                let faults = record::read(&key, &object).faults;
                faults.iter().map(ToString::to_string).collect()
            }
            Some(Subject::Screenshot(key)) => {
                let faults = screenshot::faults(&key, &object);
                faults.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        };
        if !faults.is_empty() {
            let damaged = damaged(&store.url(&entry.key), &faults);
            told.push(format!("exported as it is: {damaged}"));
            line["faults"] = json!(faults);
        }
        lines.push(line);
        let described = directory::described(&object)?;
        let modified = entry.stored_at;
        for (path, bytes) in [
            (path.clone(), object.body),
            (format!("{path}{}", directory::METADATA_SUFFIX), described),
        ] {
            members.push(Member {
                path,
                bytes,
                modified,
            });
        }
    }
    Ok((lines, members, told))
}
