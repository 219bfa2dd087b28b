//! What the pages are made of: the boots of instances, as they were read last.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::archive::reader::{self, Listing, MarkerEntry};
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding, Rules};
use ecs_console_archiver::reading::stages::{self, Stage};
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::Boot;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::ArchiveStore;
use lru::LruCache;
use tokio::sync::Semaphore;

use super::super::Context;
use super::gate::Gate;
use crate::boots;

/// What the server has while it runs.
pub struct State<'a> {
    pub gate: Gate,
    pub archive: Archive,
    pub context: &'a Context,
    /// Of requests that are answered.
    pub turns: Semaphore,
}

/// The archive, and what was read of it.
pub struct Archive {
    pub store: ArchiveStore,
    pub redact: Redact,
    hasher: RandomState,
    read: RefCell<Read>,
}

/// An instance's boots, with what is said of each. Secrets are masked.
pub struct Instance {
    pub id: InstanceId,
    /// The oldest first.
    pub boots: Vec<Boot>,
    /// Of each boot.
    pub facts: Vec<Facts>,
    pub markers: Vec<MarkerEntry>,
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
        }
    }

    /// An instance's boots. They are listed each time, and read if there are others than the last time.
    ///
    /// # Errors
    /// Of the store.
    pub async fn instance(&self, id: &InstanceId, time: Duration) -> Result<Arc<Instance>> {
        let store = Retrying::new(&self.store, Deadline::after(time));
        let listing = reader::list(&store, Some(id)).await?;
        let hash = self.hash(&listing);
        if let Some((known, instance)) = self.read.borrow_mut().instances.get(id)
            && *known == hash
        {
            return Ok(Arc::clone(instance));
        }
        let read = boots::of_listing(&store, listing).await?;
        let (id, redact) = (id.clone(), self.redact);
        let instance = tokio::task::spawn_blocking(move || {
            let read = read.for_display(redact);
            Arc::new(Instance {
                facts: (0..read.boots.len())
                    .map(|index| Facts::of(&read.boots, index))
                    .collect(),
                id,
                boots: read.boots,
                markers: read.markers,
                left_out: read.left_out,
            })
        });
        let instance = instance.await?;
        self.read.borrow_mut().hold(hash, &instance);
        Ok(instance)
    }

    fn hash(&self, listing: &Listing) -> u64 {
        let records = listing.records.iter();
        let records: Vec<_> = records
            .map(|record| (record.key.name(), record.gzip_bytes, record.stored_at))
            .collect();
        let markers: Vec<_> = listing.markers.iter().map(|one| one.key.name()).collect();
        self.hasher.hash_one((records, markers))
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
