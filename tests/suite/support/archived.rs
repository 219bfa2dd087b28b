//! The objects of an archive, as the function writes them: records with their verdicts, markers, rows of today
//! and days that are joined.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use ecs_console_archiver::archive::catalog::day::Rows;
use ecs_console_archiver::archive::catalog::key::COMPLETE_KEY;
use ecs_console_archiver::archive::catalog::{CatalogKey, Row, Subject, day};
use ecs_console_archiver::archive::key::{ConsoleDigest, VerdictKey};
use ecs_console_archiver::archive::record::{Marker, Record, Verdict};
use ecs_console_archiver::model::console::{ConsoleOutput, NoConsole};
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::{AccountId, InstanceId, RegionId};
use ecs_console_archiver::reading::ending::boot_facts;
use ecs_console_archiver::store::directory::DirectoryStore;
use ecs_console_archiver::store::{Object, Store as _};
use jiff::{SignedDuration, Timestamp};

use super::s3_server::StoredObject;

pub type Objects = BTreeMap<String, Object>;

/// An archive: each instance has these consoles, a day apart, the first one this long ago.
pub struct Archived {
    pub objects: Objects,
    pub rows: Vec<Row>,
}

fn event(id: &str, captured_at: Timestamp) -> InstanceEvent {
    InstanceEvent {
        instance_id: InstanceId::parse(id).unwrap(),
        region_id: None,
        account_id: AccountId::parse("1690700000000030").ok(),
        cause: Cause::StateChange("Stopping".into()),
        event_id: Some(format!("E {id} {captured_at}")),
        occurred_at: Some(captured_at - SignedDuration::from_secs(20)),
    }
}

fn region() -> RegionId {
    RegionId::parse("cn-hangzhou").unwrap()
}

impl Archived {
    /// Captures of consoles, each with a verdict and a row.
    pub fn of<'a>(captures: impl IntoIterator<Item = (&'a str, &'a [u8], Timestamp)>) -> Self {
        let mut archived = Self {
            objects: Objects::new(),
            rows: Vec::new(),
        };
        for (id, plain, captured_at) in captures {
            archived.capture(id, plain, captured_at);
        }
        archived
    }

    pub fn capture(&mut self, id: &str, plain: &[u8], captured_at: Timestamp) {
        self.capture_updated(id, plain, captured_at, captured_at);
    }

    /// A capture of a console that ECS updated at another time.
    pub fn capture_updated(
        &mut self,
        id: &str,
        plain: &[u8],
        captured_at: Timestamp,
        updated_at: Timestamp,
    ) {
        let event = event(id, captured_at);
        let beijing = updated_at + SignedDuration::from_hours(8);
        let console = ConsoleOutput {
            plain: plain.to_vec(),
            last_update_time: beijing.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            request_id: "R-1".to_owned(),
            reported_instance_id: None,
            is_undecoded: false,
        };
        let freshness = Some(Freshness::Partial);
        let record = Record::new(&event, &region(), &console, captured_at, freshness).unwrap();
        let verdict = Verdict::new(&event, record.key.clone(), Freshness::Fresh);
        let digest = ConsoleDigest::of(plain);
        let row = Row::of_record(
            &event,
            &region(),
            &record,
            digest,
            boot_facts(plain),
            captured_at,
        );
        self.rows
            .push(row.with_update_time(&console.last_update_time));
        self.objects.insert(record.key.to_string(), record.object);
        self.objects.insert(verdict.key.to_string(), verdict.object);
    }

    pub fn marker(&mut self, id: &str, captured_at: Timestamp) {
        let event = event(id, captured_at);
        let reason = NoConsole::NotFound;
        let marker = Marker::new(&event, &region(), reason, "NotFound", captured_at);
        self.rows
            .push(Row::of_marker(&event, &region(), &marker, captured_at));
        self.objects.insert(marker.key.to_string(), marker.object);
    }

    /// With its catalog: what was captured before this time is joined by days, and the rest are rows.
    pub fn cataloged(mut self, rows_from: Timestamp) -> Objects {
        let mut days = BTreeMap::<_, Rows>::new();
        for row in self.rows {
            match row.captured_at < rows_from {
                true => days.entry(row.day()).or_default().add(row),
                false => {
                    let (key, object) = row.packed();
                    self.objects.insert(key, object);
                }
            }
        }
        for (day, rows) in days {
            let packed = rows.packed(day).unwrap().into_iter();
            let packed = packed.map(|(key, object)| (key.to_string(), object));
            self.objects.extend(packed);
        }
        let complete = Object {
            body: b"{\"schema\":1}\n".to_vec(),
            content_type: "application/json".to_owned(),
            metadata: BTreeMap::new(),
        };
        self.objects.insert(COMPLETE_KEY.to_owned(), complete);
        self.objects
    }
}

/// Three instances with two consoles each and a marker: joined days, and rows of the last hours.
pub fn small(now: Timestamp) -> Objects {
    let ago = |hours| now - SignedDuration::from_hours(hours);
    let mut archived = Archived::of([
        (
            "i-a1",
            &b"[    0.000000] Linux version 6.1.0\none\n"[..],
            ago(100),
        ),
        ("i-a1", b"[    0.000000] Linux version 6.1.0\ntwo\n", ago(2)),
        ("i-a2", b"a second machine\n", ago(100)),
        ("i-a2", b"a second machine\nwith more\n", ago(99)),
        ("i-b1", b"\x1b[31mcolours\x00 and bytes \xff\n", ago(70)),
        ("i-b1", b"", ago(1)),
    ]);
    archived.marker("i-b2", ago(71));
    archived.cataloged(ago(24))
}

/// Puts objects into a folder, by the program's own store.
pub async fn put_into_folder(folder: &Path, objects: &Objects) {
    let store = DirectoryStore::new(folder.to_owned());
    for (key, object) in objects {
        store.put_if_absent(key, object).await.unwrap();
    }
}

/// The objects of a folder, read by the program's own store.
pub async fn of_folder(folder: &Path) -> Objects {
    let store = DirectoryStore::new(folder.to_owned());
    let mut objects = Objects::new();
    for entry in store.list("", None, None).await.unwrap().entries {
        let object = store.get(&entry.key).await.unwrap().unwrap();
        objects.insert(entry.key, object);
    }
    objects
}

/// As a bucket has them, below this prefix.
pub fn stored(prefix: &str, objects: &Objects) -> Vec<(String, StoredObject)> {
    let stored = objects.iter().map(|(key, object)| {
        let object = StoredObject {
            body: object.body.clone(),
            content_type: Some(object.content_type.clone()),
            content_encoding: None,
            metadata: object.metadata.clone(),
            encryption: BTreeMap::new(),
            stored_at: SystemTime::now(),
        };
        (format!("{prefix}{key}"), object)
    });
    stored.collect()
}

/// The other way round.
pub fn objects(prefix: &str, stored: BTreeMap<String, StoredObject>) -> Objects {
    let objects = stored.into_iter().filter_map(|(key, object)| {
        let object = Object {
            body: object.body,
            content_type: object.content_type.unwrap_or_default(),
            metadata: object.metadata,
        };
        Some((key.strip_prefix(prefix)?.to_owned(), object))
    });
    objects.collect()
}

/// No verdict and no row of the catalog is about what is not there.
#[track_caller]
pub fn assert_valid(objects: &Objects) {
    let has = |subject: &Subject| {
        let key = subject.key();
        assert!(objects.contains_key(&key), "nothing is at {key}");
    };
    for (key, object) in objects {
        if let Some(verdict) = VerdictKey::parse(key) {
            has(&Subject::Record(verdict.record));
        }
        match CatalogKey::parse(key) {
            Some(CatalogKey::Row(row)) => has(&row.row.subject),
            Some(CatalogKey::Day(_)) => {
                let rows = day::unpack(&object.body).unwrap();
                rows.iter().for_each(|row| has(&row.subject));
            }
            None => {}
        }
    }
}
