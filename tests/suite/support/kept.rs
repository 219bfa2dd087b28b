//! An archive of many instances that is older than the test: made in memory, and then put into a folder or a
//! bucket as it is, or after something has happened to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::archive::catalog::day::Rows;
use ecs_console_archiver::archive::catalog::key::COMPLETE_KEY;
use ecs_console_archiver::archive::catalog::reindex::complete;
use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::archive::record::{Marker, Record, Verdict};
use ecs_console_archiver::archive::screenshot::ScreenshotRecord;
use ecs_console_archiver::model::console::{ConsoleOutput, NoConsole};
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::screenshot::{Image, Screenshot};
use ecs_console_archiver::reading::ending::boot_facts;
use ecs_console_archiver::store::Object;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::s3_server::{Profile, REAL_PAGE, StoredObject};
use super::*;

/// The stores in which an archive may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Folder,
    Bucket(Profile),
}

impl Place {
    pub const ALL: [Self; 3] = [
        Self::Folder,
        Self::Bucket(Profile::Aws),
        Self::Bucket(Profile::Oss { versioned: false }),
    ];
}

/// An archive in memory: objects by key, each with when it was stored, and the rows of its catalog.
#[derive(Clone, Default)]
pub struct Kept {
    pub objects: BTreeMap<String, (Object, Timestamp)>,
    pub rows: Vec<Row>,
}

/// An archive in its place.
pub struct Placed {
    pub settings: Settings,
    pub folder: Option<tempfile::TempDir>,
    pub bucket: Option<Bucket>,
}

pub fn instance_id(number: usize) -> InstanceId {
    InstanceId::parse(&format!("i-kept{number:04}")).unwrap()
}

pub fn region_id() -> RegionId {
    RegionId::parse("cn-hangzhou").unwrap()
}

fn system_time(at: Timestamp) -> SystemTime {
    let since = u64::try_from(at.as_millisecond()).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(since)
}

fn event(instance_id: &InstanceId, at: Timestamp) -> InstanceEvent {
    InstanceEvent {
        instance_id: instance_id.clone(),
        region_id: None,
        account_id: None,
        cause: Cause::StateChange("Stopping".to_owned()),
        event_id: Some(format!("E-{instance_id}-{}", at.as_second())),
        occurred_at: Some(at),
    }
}

impl Kept {
    /// So many records over ten days, a month ago; with some markers, verdicts, and all else that an archive has.
    pub fn of(records: usize) -> Self {
        let mut kept = Self::default();
        let begin = Timestamp::now() - SignedDuration::from_hours(30 * 24);
        for number in 0..records {
            let id = instance_id(number % 50);
            let at = begin + SignedDuration::from_secs(number as i64 * 864_000 / records as i64);
            let console = format!(
                "[    0.000000] Linux version 6.1.{number}\r\n[    1.{number:06}] {}\r\nhost login: ",
                "a line of a service ".repeat(number % 13),
            );
            let key = kept.record(&id, console.as_bytes(), at);
            if number % 10 == 3 {
                kept.verdict(&key, at);
            }
            if number % 20 == 7 {
                kept.marker(&instance_id(number % 50), at);
            }
        }
        let failed = ecs_console_archiver::archive::record::FailedEvent::new(
            "{}",
            ecs_console_archiver::model::event::Origin::Invocation,
            "EcsDenied",
            begin,
        );
        let failed = failed.unwrap();
        kept.put(&failed.key.to_string(), failed.object, begin);
        let note = ecs_console_archiver::archive::record::not_removed(&failed.key);
        kept.put(&failed.key.note(), note, begin);
        let probe = ecs_console_archiver::archive::probe::probe();
        kept.put("doctor/probe.txt", probe, begin);
        kept.put(COMPLETE_KEY, complete(), begin);
        kept
    }

    pub fn put(&mut self, key: &str, object: Object, at: Timestamp) {
        self.objects.insert(key.to_owned(), (object, at));
    }

    /// A record as the function stores it, with its row.
    pub fn record(&mut self, id: &InstanceId, plain: &[u8], at: Timestamp) -> RecordKey {
        let console = ConsoleOutput {
            plain: plain.to_vec(),
            is_undecoded: false,
            last_update_time: at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            request_id: String::new(),
            reported_instance_id: None,
        };
        let event = event(id, at);
        let freshness = Some(Freshness::Fresh);
        let record = Record::new(&event, &region_id(), &console, at, freshness).unwrap();
        let (digest, facts) = (ConsoleDigest::of(plain), boot_facts(plain));
        let row = Row::of_record(&event, &region_id(), &record, digest, facts, at);
        let row = row.with_update_time(&console.last_update_time);
        self.rows.push(row.with_freshness(freshness));
        self.put(&record.key.to_string(), record.object, at);
        record.key
    }

    pub fn verdict(&mut self, record: &RecordKey, at: Timestamp) -> String {
        let event = event(&record.instance_id, at);
        let verdict = Verdict::new(&event, record.clone(), Freshness::Partial);
        let key = verdict.key.to_string();
        self.put(&key, verdict.object, at);
        key
    }

    pub fn marker(&mut self, id: &InstanceId, at: Timestamp) -> String {
        let event = event(id, at);
        let marker = Marker::new(&event, &region_id(), NoConsole::NotRunning, "Stopped", at);
        self.rows
            .push(Row::of_marker(&event, &region_id(), &marker, at));
        let key = marker.key.to_string();
        self.put(&key, marker.object, at);
        key
    }

    /// A screenshot, in place of a console or beside one.
    pub fn screenshot(
        &mut self,
        id: &InstanceId,
        bytes: &[u8],
        at: Timestamp,
        no_console: Option<NoConsole>,
    ) -> String {
        let screenshot = Screenshot {
            image: Image::of(bytes).unwrap(),
            bytes: bytes.to_vec(),
            request_id: String::new(),
            reported_instance_id: None,
        };
        let (event, region_id) = (event(id, at), region_id());
        let record = ScreenshotRecord::new(&event, &region_id, screenshot, at, no_console);
        self.rows
            .push(Row::of_screenshot(&event, &region_id, &record, at));
        let key = record.key.to_string();
        self.put(&key, record.object, at);
        key
    }

    /// The row of an object.
    pub fn row(&mut self, key: &str) -> &mut Row {
        let mut rows = self.rows.iter_mut();
        rows.find(|row| row.subject.key() == key).unwrap()
    }

    /// As another tool copies it: each object was stored now. What says so is left out.
    pub fn copied(mut self, is_left_out: impl Fn(&str) -> bool) -> Self {
        let now = Timestamp::now();
        self.objects.retain(|key, _| !is_left_out(key));
        self.objects.values_mut().for_each(|(_, at)| *at = now);
        self
    }

    /// The keys of records, in their order.
    pub fn records(&self) -> Vec<String> {
        let keys = self.objects.keys().filter(|key| key.ends_with(".log.gz"));
        keys.cloned().collect()
    }

    pub fn change(&mut self, key: &str, change: impl FnOnce(&mut Object)) {
        change(&mut self.objects.get_mut(key).unwrap().0);
    }

    /// With the catalog's objects: days that are joined, and every seventh row by itself.
    pub fn with_catalog(self) -> Self {
        self.cataloged(|index| index % 7 == 0)
    }

    /// With days that have all rows.
    pub fn with_days(self) -> Self {
        self.cataloged(|_| false)
    }

    /// With rows that are not joined.
    pub fn with_rows(self) -> Self {
        self.cataloged(|_| true)
    }

    fn cataloged(mut self, is_single: impl Fn(usize) -> bool) -> Self {
        let mut days: BTreeMap<_, Rows> = BTreeMap::new();
        for (index, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            if is_single(index) {
                let (key, object) = row.packed();
                self.put(&key, object, row.captured_at);
            } else {
                days.entry(row.day()).or_default().add(row);
            }
        }
        for (day, rows) in days {
            for (key, object) in rows.packed(day).unwrap() {
                self.put(&key.to_string(), object, day.end());
            }
        }
        self
    }

    /// Puts all of it there.
    pub async fn place(&self, place: Place) -> Placed {
        match place {
            Place::Folder => {
                let folder = tempfile::tempdir().unwrap();
                for (key, (object, at)) in &self.objects {
                    let path = folder.path().join(key);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(&path, &object.body).unwrap();
                    let file = std::fs::File::options().append(true).open(&path).unwrap();
                    file.set_modified(system_time(*at)).unwrap();
                    let metadata =
                        json!({"content_type": object.content_type, "metadata": object.metadata});
                    let beside = format!("{}.meta.json", path.display());
                    std::fs::write(beside, metadata.to_string()).unwrap();
                }
                Placed {
                    settings: folder_settings(folder.path()),
                    folder: Some(folder),
                    bucket: None,
                }
            }
            Place::Bucket(profile) => {
                let bucket = Bucket::start(profile).await;
                bucket.server.set_page(REAL_PAGE);
                let objects = self.objects.iter().map(|(key, (object, at))| {
                    let stored = StoredObject {
                        body: object.body.clone(),
                        content_type: Some(object.content_type.clone()),
                        content_encoding: None,
                        metadata: object.metadata.clone(),
                        encryption: BTreeMap::new(),
                        stored_at: system_time(*at),
                    };
                    (format!("kept/here/{key}"), stored)
                });
                bucket.server.put_all(objects);
                Placed {
                    settings: bucket.settings.clone(),
                    folder: None,
                    bucket: Some(bucket),
                }
            }
        }
    }
}

impl Placed {
    /// The address of an object.
    pub fn url(&self, key: &str) -> String {
        let mut settings = self.settings.iter();
        let (_, url) = settings.find(|(name, _)| name == "ARCHIVE_URL").unwrap();
        format!("{}/{key}", url.split('?').next().unwrap())
    }

    /// Runs a command as somebody who may not look into this folder of the archive. The user of the tests may be root,
    /// who may look into each.
    pub async fn cli_without(&self, folder: &str, arguments: &[&str]) -> Output {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        use std::os::unix::process::CommandExt as _;
        let archive = self.folder.as_ref().unwrap().path();
        let set_mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let is_root = std::fs::metadata(archive).unwrap().uid() == 0;
        // Others may not run the program where it is built, or not read what is made here.
        let elsewhere = tempfile::tempdir().unwrap();
        let program_there = elsewhere.path().join("console-archive");
        let mut command = std::process::Command::new(program("console-archive"));
        if is_root {
            std::fs::copy(program("console-archive"), &program_there).unwrap();
            set_mode(elsewhere.path(), 0o755);
            make_readable(archive);
            command = std::process::Command::new(&program_there);
            command.uid(65_534).gid(65_534);
        }
        set_mode(&archive.join(folder), 0o000);
        command
            .env_clear()
            .envs(self.settings.iter().cloned())
            .args(arguments)
            .current_dir("/");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
        set_mode(&archive.join(folder), 0o755);
        checked(output.unwrap())
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        match (&self.folder, &self.bucket) {
            (Some(folder), _) => {
                let names = files_in(folder.path()).into_iter().map(|(name, _)| name);
                names.filter(|name| !name.ends_with(".meta.json")).collect()
            }
            (_, Some(bucket)) => {
                let mut objects = bucket.server.objects();
                objects.extend(bucket.server.catalog());
                let keys = objects.into_keys();
                keys.map(|key| key.strip_prefix("kept/here/").unwrap().to_owned())
                    .collect()
            }
            _ => unreachable!("it is somewhere"),
        }
    }
}

/// For every user.
pub fn make_readable(folder: &Path) {
    let mut command = std::process::Command::new("chmod");
    command.args(["-R", "a+rX"]).arg(folder);
    let made = checked(command.output().unwrap());
    assert!(made.status.success());
}
