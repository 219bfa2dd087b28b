//! Records → which boots came to their login prompt, and how long that took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Severity};
use ecs_console_archiver::reading::phase::Phase;
use ecs_console_archiver::reading::stages;
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::{Boot, MarkKind};
use ecs_console_archiver::store::Store;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use crate::boots::{self, Boots, Summary};

/// Instances whose records are read at once.
const AT_ONCE: usize = 4;
/// Slow boots that are shown.
const MAX_SLOW: usize = 10;

/// The records of a report: their keys, by instance.
pub type Records = BTreeMap<InstanceId, BTreeSet<String>>;

/// What the boots of a fleet did in a period.
#[derive(Debug, Default)]
pub struct OfBoots {
    /// Boots that came to their login prompt.
    pub reached: u64,
    /// Those that did not, the newest first. Of an instance that shows a prompt in no boot, only those in which something
    /// failed.
    pub not_reached: Vec<NotReached>,
    /// Boots without a prompt, of instances that show one in no boot: there may be no getty.
    pub without_prompt: u64,
    /// Boots of which a part is missing that may have had a prompt, or that may still come to it.
    pub unknown: u64,
    /// Those that took longest, the slowest first.
    pub slowest: Vec<Slow>,
    /// How long the boot in the middle took for each part.
    pub median: Took,
    /// Records that are damaged or gone.
    pub left_out: Vec<String>,
}

/// A boot that did not come to its login prompt.
#[derive(Debug)]
pub struct NotReached {
    pub instance_id: InstanceId,
    pub boot_id: String,
    /// When it was captured first.
    pub captured_at: Timestamp,
    pub ending: Ending,
    /// How far it came.
    pub phase: Option<Phase>,
    /// The worst that it says: a signature, and what happened.
    pub worst: Option<(Severity, String, &'static str)>,
}

/// What is said where no boot can be timed.
pub const NONE_TIMED: &str = "No boot is known from its beginning to its login prompt, with times of its kernel, so none is timed.";

/// How long a boot took.
#[derive(Debug)]
pub struct Slow {
    pub instance_id: InstanceId,
    pub boot_id: String,
    pub captured_at: Timestamp,
    pub took: Took,
}

/// How long the parts of a boot took, as far as it says. Firmware and boot loaders do not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    pub kernel: Option<Duration>,
    pub initrd: Option<Duration>,
    /// The programs of the system, until the login prompt.
    pub services: Option<Duration>,
    /// From the kernel's start until cloud-init was through, which may be behind the prompt.
    pub cloud_init: Option<Duration>,
    /// From the kernel's start until the login prompt.
    pub login: Option<Duration>,
}

impl Took {
    /// Names and lengths, in order.
    pub fn parts(&self) -> [(&'static str, Option<Duration>); 5] {
        [
            ("kernel", self.kernel),
            ("initrd", self.initrd),
            ("services", self.services),
            ("login", self.login),
            ("cloud_init", self.cloud_init),
        ]
    }

    fn of(summary: &Summary<'_>) -> Self {
        let since_start = |stamp: Stamp| Duration::from_micros(stamp.micros);
        let boot = summary.boot;
        let login = summary.login;
        let mut took = Self {
            login: login.map(since_start),
            cloud_init: stages::cloud_init(&boot.log).map(since_start),
            ..Self::default()
        };
        for stage in stages::of_boot(boot, EncodingChoice::Auto) {
            let of_phase = match stage.phase {
                Phase::Kernel => &mut took.kernel,
                Phase::Initrd => &mut took.initrd,
                Phase::Services => &mut took.services,
                Phase::Firmware | Phase::Loader | Phase::Shutdown => continue,
            };
            let (Some(began), Some(ended), Some(login)) = (stage.began, stage.ended, login) else {
                continue;
            };
            let micros = ended.min(login).micros.checked_sub(began.micros);
            if let Some(micros) = micros {
                let before = of_phase.unwrap_or_default();
                *of_phase = Some(before + Duration::from_micros(micros));
            }
        }
        took
    }

    fn longest(&self) -> Option<Duration> {
        self.login.max(self.cloud_init)
    }
}

/// Reads the records, and stitches those of each instance. `each` is told of each instance.
///
/// # Errors
/// An error of the store. Damaged records are left out.
pub async fn read(
    store: &impl Store,
    records: &Records,
    mut each: impl FnMut(),
) -> Result<OfBoots> {
    let read = records.iter().map(async |(id, keys)| {
        let mut listing = reader::list(store, Some(id)).await?;
        let is_asked_for = |key: &str| keys.contains(key);
        (listing.records).retain(|record| is_asked_for(&record.key.to_string()));
        anyhow::Ok((id, boots::of_listing(store, listing).await?))
    });
    let mut read = stream::iter(read).buffer_unordered(AT_ONCE);
    let (mut all, mut took) = (OfBoots::default(), Vec::new());
    while let Some((id, boots)) = read.try_next().await? {
        all.add(id, &boots, &mut took);
        all.left_out.extend(boots.left_out);
        each();
    }
    all.not_reached.sort_by(|a, b| {
        let order = |one: &NotReached| (one.captured_at, one.boot_id.clone());
        (order(b).cmp(&order(a))).then_with(|| a.instance_id.cmp(&b.instance_id))
    });
    all.median = median(&took);
    took.sort_by(|a, b| {
        let longest = (b.took.longest()).cmp(&a.took.longest());
        longest.then_with(|| (&a.instance_id, &a.boot_id).cmp(&(&b.instance_id, &b.boot_id)))
    });
    took.truncate(MAX_SLOW);
    all.slowest = took;
    Ok(all)
}

impl OfBoots {
    fn add(&mut self, id: &InstanceId, read: &Boots, took: &mut Vec<Slow>) {
        let all = (0..read.boots.len()).map(|index| Summary::new(&read.boots, index));
        let all: Vec<_> = all.filter(|summary| !summary.is_crash_kernel()).collect();
        let shows_prompt = all.iter().any(|summary| has_login(summary.boot));
        for summary in &all {
            let captured_at = summary.boot.captures[0].captured_at;
            let (instance_id, boot_id) = (id.clone(), summary.boot.id.clone());
            if has_login(summary.boot) {
                self.reached += 1;
                if summary.boot.start.is_some() && summary.login.is_some() {
                    took.push(Slow {
                        instance_id,
                        boot_id,
                        captured_at,
                        took: Took::of(summary),
                    });
                }
                continue;
            }
            let found = summary.findings(EncodingChoice::Auto);
            let worst = findings::worst(&found);
            let has_failed = worst.is_some_and(|worst| worst.severity >= Severity::Error);
            let is_gap = |kind: MarkKind| matches!(kind, MarkKind::Gap { .. });
            let is_whole = summary.boot.start.is_some()
                && !summary.boot.marks.iter().any(|mark| is_gap(mark.kind));
            let is_decided = is_whole && summary.ending != Ending::Running;
            match (is_decided || has_failed, shows_prompt || has_failed) {
                (true, true) => self.not_reached.push(NotReached {
                    instance_id,
                    boot_id,
                    captured_at,
                    ending: summary.ending,
                    phase: last_phase(summary.boot),
                    worst: worst.map(|worst| (worst.severity, worst.signature(), worst.rule.title)),
                }),
                (true, false) => self.without_prompt += 1,
                (false, _) => self.unknown += 1,
            }
        }
    }
}

fn has_login(boot: &Boot) -> bool {
    ecs_console_archiver::reading::ending::has_login(&boot.log)
}

/// How far a boot came, whatever its shutdown said.
fn last_phase(boot: &Boot) -> Option<Phase> {
    let stages = stages::of_boot(boot, EncodingChoice::Auto);
    let mut phases = stages.iter().map(|stage| stage.phase);
    phases.rfind(|phase| *phase != Phase::Shutdown)
}

/// Of each part by itself.
fn median(all: &[Slow]) -> Took {
    let of = |part: fn(&Took) -> Option<Duration>| {
        let mut lengths: Vec<_> = all.iter().filter_map(|one| part(&one.took)).collect();
        lengths.sort_unstable();
        lengths.get(lengths.len() / 2).copied()
    };
    Took {
        kernel: of(|took| took.kernel),
        initrd: of(|took| took.initrd),
        services: of(|took| took.services),
        cloud_init: of(|took| took.cloud_init),
        login: of(|took| took.login),
    }
}
