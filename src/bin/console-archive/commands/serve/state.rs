//! What the pages are made of: the boots of instances, as they were read last.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ecs_console_archiver::archive::reader::{self, Listing, MarkerEntry, ScreenshotEntry};
use ecs_console_archiver::archive::screenshot::NO_CONSOLE;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::console::NoConsole;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding, Rules};
use ecs_console_archiver::reading::stages::{self, Stage};
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::{Boot, Capture};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::{ArchiveStore, Store};
use lru::LruCache;
use tokio::sync::Semaphore;

use super::super::Context;
use super::super::show::follow::{Asked, Live};
use super::gate::Gate;
use crate::boots::{self, Boots};

/// What the server has while it runs.
pub struct State<'a> {
    pub gate: Gate,
    pub archive: Archive,
    pub context: &'a Context,
    /// Where ECS is asked, too.
    pub live: Option<Live>,
    /// Of requests that are answered.
    pub turns: Semaphore,
    /// Of searches, which go on while their pages are read.
    pub searches: Arc<Semaphore>,
}

/// The archive, and what was read of it.
pub struct Archive {
    pub store: ArchiveStore,
    pub redact: Redact,
    hasher: RandomState,
    read: RefCell<Read>,
    /// What ECS has shown that is in no archive, of the instances that were looked at last.
    live: RefCell<LruCache<InstanceId, Seen>>,
}

/// What ECS has shown of an instance.
struct Seen {
    at: Instant,
    /// The oldest first.
    captures: Vec<Capture>,
    /// Why there is none.
    told: Option<String>,
}

/// An instance's boots, with what is said of each. Secrets are masked.
pub struct Instance {
    pub id: InstanceId,
    /// The oldest first.
    pub boots: Vec<Boot>,
    /// Of each boot.
    pub facts: Vec<Facts>,
    pub markers: Vec<MarkerEntry>,
    pub screenshots: Vec<ScreenshotEntry>,
    /// Why it has no console, if its newest screenshot says it. Known only where there are no boots.
    pub why_none: Option<NoConsole>,
    /// Records that are damaged or gone, and why.
    pub left_out: Vec<String>,
}

/// What takes longer to find than to show.
pub struct Facts {
    /// In the order of their lines.
    pub findings: Vec<Finding<'static>>,
    pub stages: Vec<Stage>,
    /// When cloud-init was through.
    pub cloud_init: Option<Stamp>,
}

/// ECS is asked for one console no sooner than so long after the last time.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Consoles of an instance that are in no archive, and instances of which they are remembered.
const MAX_LIVE: usize = 4;
const MAX_LIVE_INSTANCES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// Logs that are held in memory, in bytes. Only the instances that were looked at last are.
const MAX_HELD_BYTES: usize = 32 << 20;

struct Read {
    /// With a hash of the listing that each was read by.
    instances: LruCache<InstanceId, (u64, Arc<Instance>)>,
    bytes: usize,
}

impl Archive {
    pub fn new(store: ArchiveStore, redact: Redact) -> Self {
        Self {
            store,
            redact,
            hasher: RandomState::new(),
            read: RefCell::new(Read {
                instances: LruCache::unbounded(),
                bytes: 0,
            }),
            live: RefCell::new(LruCache::new(MAX_LIVE_INSTANCES)),
        }
    }

    /// An instance's boots. They are listed each time, and read if there are others than the last time.
    ///
    /// # Errors
    /// Of the store.
    pub async fn instance(&self, id: &InstanceId, time: Duration) -> Result<Arc<Instance>> {
        let store = Retrying::new(&self.store, Deadline::after(time));
        let listing = reader::list(&store, Some(id)).await?;
        let (others, told) = match self.live.borrow().peek(id) {
            Some(seen) => (seen.captures.clone(), seen.told.clone()),
            None => Default::default(),
        };
        let hash = self.hash(&listing, &others, &told);
        if let Some((known, instance)) = self.read.borrow_mut().instances.get(id)
            && *known == hash
        {
            return Ok(Arc::clone(instance));
        }
        let mut read = boots::of_listing_and(&store, listing, &others).await?;
        read.left_out.extend(told);
        let why_none = why_no_console(&store, &read).await?;
        let (id, redact) = (id.clone(), self.redact);
        let instance = move || Instance::of(id, read, why_none, redact);
        let instance = tokio::task::spawn_blocking(instance);
        let instance = instance.await?;
        self.read.borrow_mut().hold(hash, &instance);
        Ok(instance)
    }

    /// Asks ECS for the console of an instance, unless that was done just before.
    pub async fn look(&self, id: &InstanceId, live: &Live, context: &Context) {
        let is_early = |seen: &Seen| seen.at.elapsed() < LOOK_AGAIN;
        if self.live.borrow().peek(id).is_some_and(is_early) {
            return;
        }
        // Noted before, so that those who ask meanwhile do not ask ECS, too.
        let note = |told: Option<String>, capture: Option<Capture>| {
            let mut live = self.live.borrow_mut();
            let mut captures = live.pop(id).map(|seen| seen.captures).unwrap_or_default();
            if let Some(capture) = capture
                && captures.iter().all(|known| known.name != capture.name)
            {
                captures.push(capture);
                let old = captures.len().saturating_sub(MAX_LIVE);
                captures.drain(..old);
            }
            let at = Instant::now();
            live.push(id.clone(), Seen { at, captures, told });
        };
        note(None, None);
        match live.ask(id, context).await {
            Ok(Asked::Console(capture)) => note(None, Some(capture)),
            Ok(Asked::None(why)) => note(Some(format!("ECS: {why}")), None),
            Ok(Asked::Undecoded) => {}
            Err(error) => note(
                Some(format!("ECS does not say what it has: {error:#}")),
                None,
            ),
        }
    }

    fn hash(&self, listing: &Listing, others: &[Capture], told: &Option<String>) -> u64 {
        let records = listing.records.iter();
        let records: Vec<_> = records
            .map(|record| (record.key.name(), record.gzip_bytes, record.stored_at))
            .collect();
        let markers: Vec<_> = listing.markers.iter().map(|one| one.key.name()).collect();
        let screenshots = listing.screenshots.iter();
        let screenshots: Vec<_> = screenshots.map(|one| one.key.name()).collect();
        let others: Vec<_> = others.iter().map(|one| one.name.as_str()).collect();
        self.hasher
            .hash_one((records, markers, screenshots, others, told))
    }
}

/// Why an instance has no console, as far as its newest screenshot says it.
///
/// # Errors
/// Of the store.
pub async fn why_no_console(store: &impl Store, read: &Boots) -> Result<Option<NoConsole>> {
    let all = read.screenshots.iter().filter(|_| read.boots.is_empty());
    let Some(newest) = all.max_by_key(|one| one.taken_at()) else {
        return Ok(None);
    };
    let metadata = store.metadata(&newest.key.to_string()).await?;
    let said = metadata.and_then(|all| all.get(NO_CONSOLE)?.parse().ok());
    Ok(said)
}

impl Instance {
    /// Whether the archive has nothing of it.
    pub fn is_empty(&self) -> bool {
        self.boots.is_empty() && self.markers.is_empty() && self.screenshots.is_empty()
    }

    /// What the screen showed while a boot was the newest, the oldest first.
    pub fn screenshots_of(&self, index: usize) -> Vec<&ScreenshotEntry> {
        let began = |index: usize| Some(self.boots.get(index)?.captures.first()?.captured_at);
        let (begin, end) = (began(index), began(index + 1));
        let is_of_boot = |screenshot: &&ScreenshotEntry| {
            let taken_at = screenshot.taken_at();
            begin.is_some_and(|begin| taken_at >= begin) && end.is_none_or(|end| taken_at < end)
        };
        let mut all: Vec<_> = self.screenshots.iter().filter(is_of_boot).collect();
        all.sort_by_key(|screenshot| screenshot.taken_at());
        all
    }

    /// What was read of it, with its secrets masked.
    pub fn of(
        id: InstanceId,
        read: Boots,
        why_none: Option<NoConsole>,
        redact: Redact,
    ) -> Arc<Self> {
        let read = read.for_display(redact);
        Arc::new(Self {
            facts: (0..read.boots.len())
                .map(|index| Facts::of(&read.boots, index))
                .collect(),
            id,
            boots: read.boots,
            markers: read.markers,
            screenshots: read.screenshots,
            why_none,
            left_out: read.left_out,
        })
    }
}

impl Read {
    fn hold(&mut self, hash: u64, instance: &Arc<Instance>) {
        let bytes = |instance: &Instance| -> usize {
            instance.boots.iter().map(|boot| boot.log.len()).sum()
        };
        self.bytes += bytes(instance);
        let id = instance.id.clone();
        if let Some((_, (_, old))) = self.instances.push(id, (hash, Arc::clone(instance))) {
            self.bytes -= bytes(&old);
        }
        while self.bytes > MAX_HELD_BYTES
            && let Some((_, (_, old))) = self.instances.pop_lru()
        {
            self.bytes -= bytes(&old);
        }
    }
}

impl Facts {
    fn of(boots: &[Boot], index: usize) -> Self {
        let boot = &boots[index];
        let mut findings = findings::of_boots(boots, index, EncodingChoice::Auto, Rules::current());
        findings.sort_by_key(|finding| finding.line);
        Self {
            findings,
            stages: stages::of_boot(boot, EncodingChoice::Auto),
            cloud_init: stages::cloud_init(&boot.log),
        }
    }
}
