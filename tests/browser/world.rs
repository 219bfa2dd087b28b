//! A small fleet in its bad week, with recorded consoles.

use ecs_console_archiver::archive::catalog::Row;
use ecs_console_archiver::archive::screenshot::ScreenshotRecord;
use ecs_console_archiver::model::console::NoConsole;
use ecs_console_archiver::model::event::{Cause, InstanceEvent};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::model::screenshot::{Image, Screenshot};
use jiff::{SignedDuration, Timestamp};

use super::support::archived::{Archived, put_into_folder};
use super::support::recording::Recording;
use super::support::served::Served;
use super::support::*;

/// The instance that most pages are looked at of: it ran well, and its last boot ended in a panic.
pub const ID: &str = "i-bp1web0001";
/// One without a console.
pub const WINDOWS: &str = "i-bp1win0006";
/// What ECS keeps of a console.
const KEPT_BYTES: usize = 64 << 10;

pub struct World {
    _folder: tempfile::TempDir,
    pub settings: Settings,
    pub served: Served,
}

/// What ECS shows after a recorded run.
fn recorded(name: &str) -> Vec<u8> {
    let bytes = Recording::named(name).bytes();
    bytes[bytes.len().saturating_sub(KEPT_BYTES)..].to_vec()
}

impl World {
    pub async fn start() -> Self {
        // Pictures show its name.
        let named = tempfile::Builder::new().prefix("consoles-").tempdir();
        let folder = named.unwrap();
        let now = Timestamp::now();
        let ago = |hours: i64| now - SignedDuration::from_hours(hours);
        let mut archived = Archived::of([]);
        for (id, recording, hours) in [
            // Not all that happens is new.
            ("i-bp1batch0003", "oom-kill", 24 * 20),
            (ID, "bookworm-clean", 24 * 6 + 5),
            (ID, "bookworm-clean", 24 * 5 + 3),
            (ID, "bookworm-reboots", 24 * 3 + 2),
            (ID, "bookworm-clean", 50),
            (ID, "panic-no-root", 3),
            ("i-bp1web0002", "bookworm-clean", 24 * 4),
            ("i-bp1web0002", "bookworm-clean", 30),
            ("i-bp1db0001", "disk-full", 24 * 2 + 3),
            ("i-bp1db0001", "emergency", 5),
            ("i-bp1batch0003", "oom-kill", 24 * 2),
            ("i-bp1batch0003", "oom-kill", 9),
            ("i-bp1gpu0007", "kernel-bug", 27),
            ("i-bp1gpu0007", "silence-hang", 26),
            ("i-bp1edge0004", "cloud-init-clean", 24 * 5),
            ("i-bp1edge0004", "slow-boot", 7),
            ("i-bp1edge0005", "grub-menu", 6),
        ] {
            archived.capture(id, &recorded(recording), ago(hours));
        }
        archived.marker("i-bp1edge0005", ago(29));
        // One that has a screen alone, and one whose screen shows what its console does.
        let none = Some(NoConsole::NotSupported);
        screenshot(&mut archived, WINDOWS, "stop.jpg", ago(24 * 2 + 1), none);
        screenshot(&mut archived, WINDOWS, "boot-menu.png", ago(4), none);
        screenshot(
            &mut archived,
            "i-bp1edge0005",
            "boot-menu.png",
            ago(5),
            None,
        );
        put_into_folder(folder.path(), &archived.cataloged(ago(12))).await;
        let settings = folder_settings(folder.path());
        let indexed = cli(&settings, &["reindex"]).await;
        assert!(indexed.status.success(), "{}", text(&indexed.stderr));
        let served = Served::start(&settings, &[]).await;
        Self {
            _folder: folder,
            settings,
            served,
        }
    }
}

/// A screenshot of a machine that has no console, or of one that has a console beside it.
fn screenshot(
    archived: &mut Archived,
    id: &str,
    name: &str,
    at: Timestamp,
    none: Option<NoConsole>,
) {
    let event = InstanceEvent {
        instance_id: InstanceId::parse(id).unwrap(),
        region_id: None,
        account_id: None,
        cause: Cause::StateChange("Stopping".into()),
        event_id: None,
        occurred_at: Some(at),
    };
    let region_id = RegionId::parse("cn-hangzhou").unwrap();
    let bytes = picture(name);
    let screenshot = Screenshot {
        image: Image::of(&bytes).unwrap(),
        bytes,
        request_id: "R-1".to_owned(),
        reported_instance_id: None,
    };
    let record = ScreenshotRecord::new(&event, &region_id, screenshot, at, none);
    let row = Row::of_screenshot(&event, &region_id, &record, at);
    archived.rows.push(row);
    archived
        .objects
        .insert(record.key.to_string(), record.object);
}
