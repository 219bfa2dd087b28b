//! What the pages are made of: the boots of instances, as they were read last.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use ecs_console_archiver::archive::reader::{self, Listing, MarkerEntry, ScreenshotEntry};
use ecs_console_archiver::archive::screenshot::NO_CONSOLE;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::lock::lock;
use ecs_console_archiver::model::console::NoConsole;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::{self, Finding, Rules};
use ecs_console_archiver::reading::stages::{self, Stage};
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::{Boot, Capture};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::{ArchiveStore, Store};
use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::Semaphore;

use super::super::Context;
use super::super::show::follow::{Asked, Live};
use super::gate::Gate;
use super::responses::Turn;
use crate::boots::{self, Boots};

/// What the server has while it runs.
pub struct State<'a> {
    pub gate: Gate,
    pub archive: Archive,
    pub context: &'a Context,
    /// Where ECS is asked, too.
    pub live: Option<Arc<Live>>,
    /// Of requests that are answered.
    pub turns: Arc<Semaphore>,
    /// Of searches, which go on while their pages are read.
    pub searches: Arc<Semaphore>,
    /// Whether the terminal says that another user has connected.
    pub has_told_of_others: Cell<bool>,
}

/// The archive, and what was read of it.
pub struct Archive {
    pub store: ArchiveStore,
    pub redact: Redact,
    hasher: RandomState,
    read: RefCell<Read>,
    /// What ECS has shown that is in no archive, of the instances that were looked at last.
    live: Arc<Mutex<LruCache<InstanceId, Seen>>>,
}

/// What ECS has shown of an instance.
#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    /// Whether ECS is being asked.
    is_asked: bool,
    /// The oldest first.
    captures: Vec<Capture>,
    /// The names of all captures that it has shown, and when it did: links to boots have them, also when a boot has
    /// another ID by now.
    names: VecDeque<(String, Timestamp)>,
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
    /// Names of captures that ECS has shown and nobody has stored.
    pub unstored: BTreeSet<String>,
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
/// A page waits so long for ECS. What comes later, it shows when it is asked for again.
const LOOK: Duration = Duration::from_secs(2);
/// Consoles of an instance that are in no archive, and instances of which they are remembered.
const MAX_LIVE: usize = 8;
const MAX_LIVE_INSTANCES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// Names of them.
const MAX_NAMES: usize = 256;
/// What is held in memory, in bytes, and of how many instances: those that were looked at last.
const MAX_HELD_BYTES: usize = 32 << 20;
const MAX_HELD_INSTANCES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// What a boot, a capture, a marker, a finding or a thing of their kind takes at least.
const BYTES_OF_EACH: usize = 256;

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
                instances: LruCache::new(MAX_HELD_INSTANCES),
                bytes: 0,
            }),
            live: Arc::new(Mutex::new(LruCache::new(MAX_LIVE_INSTANCES))),
        }
    }

    /// An instance's boots. They are listed each time, and read if there are others than the last time.
    ///
    /// # Errors
    /// Of the store.
    pub async fn instance(
        &self,
        id: &InstanceId,
        time: Duration,
        turn: &Turn,
    ) -> Result<Arc<Instance>> {
        let store = Retrying::new(&self.store, Deadline::after(time));
        let listing = reader::list(&store, Some(id)).await?;
        let (others, told) = match lock(&self.live).peek(id) {
            Some(seen) => (seen.captures.clone(), seen.told.clone()),
            None => Default::default(),
        };
        let hash = self.hash(&listing, &others, &told);
        if let Some((known, instance)) = self.read.borrow_mut().instances.get(id)
            && *known == hash
        {
            return Ok(Arc::clone(instance));
        }
        let mut unstored: BTreeSet<_> = others.iter().map(|one| one.name.clone()).collect();
        for record in &listing.records {
            unstored.remove(&record.key.name());
        }
        let mut read = boots::of_listing_and(&store, listing, &others).await?;
        // What is damaged may be mended, and a listing need not show it.
        let is_whole = read.left_out.is_empty();
        read.left_out.extend(told);
        let why_none = why_no_console(&store, &read).await?;
        let (id, redact) = (id.clone(), self.redact);
        let instance = turn
            .blocking(move || Instance::of(id, read, why_none, redact, unstored))
            .await?;
        if is_whole && !instance.is_empty() {
            self.read.borrow_mut().hold(hash, &instance);
        }
        Ok(instance)
    }

    /// Asks ECS for the console of an instance, unless that was done just before. Returns whether it was.
    pub async fn look(&self, id: &InstanceId, live: &Arc<Live>, time: Duration) -> bool {
        {
            let mut all = lock(&self.live);
            let seen = all.get_or_insert_mut(id.clone(), Seen::default);
            let is_early = seen.at.is_some_and(|at| at.elapsed() < LOOK_AGAIN);
            if seen.is_asked || is_early {
                return false;
            }
            (seen.is_asked, seen.at) = (true, Some(Instant::now()));
        }
        let (all, asked, live) = (Arc::clone(&self.live), id.clone(), Arc::clone(live));
        // It goes on if the page does not wait for it.
        let asking = tokio::spawn(async move {
            let answer = live.ask(&asked, time).await;
            let mut all = lock(&all);
            all.get_or_insert_mut(asked, Seen::default).note(answer);
        });
        if tokio::time::timeout(LOOK, asking).await.is_err()
            && let Some(seen) = lock(&self.live).get_mut(id)
            && seen.is_asked
        {
            let seconds = LOOK.as_secs();
            seen.told = Some(format!(
                "ECS has not answered within {seconds} s; what it says comes with the next look"
            ));
        }
        true
    }

    /// The boot that a capture of this name belongs to, which ECS has shown.
    pub fn boot_of_unstored(&self, instance: &Instance, name: &str) -> Option<usize> {
        let all = lock(&self.live);
        let names = &all.peek(&instance.id)?.names;
        let (_, shown_at) = names.iter().find(|(known, _)| known == name)?;
        let began = |boot: &Boot| boot.captures[0].captured_at <= *shown_at;
        let boots = &instance.boots;
        let last = boots.len().checked_sub(1)?;
        Some(boots.iter().rposition(began).unwrap_or(last))
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
    /// Whether the archive has nothing of it, and nothing that cannot be read.
    pub fn is_empty(&self) -> bool {
        self.boots.is_empty()
            && self.markers.is_empty()
            && self.screenshots.is_empty()
            && self.left_out.is_empty()
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
        unstored: BTreeSet<String>,
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
            unstored,
        })
    }

    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        let boots = self.boots.iter().zip(&self.facts);
        let of_boots = boots.map(|(boot, facts)| {
            let counts = [
                1,
                boot.captures.len(),
                boot.marks.len(),
                boot.pieces.len(),
                facts.findings.len(),
                facts.stages.len(),
            ];
            let evidence = facts.findings.iter().map(|finding| finding.evidence.len());
            boot.log.len() + evidence.sum::<usize>() + counts.iter().sum::<usize>() * BYTES_OF_EACH
        });
        let others = 1 + self.markers.len() + self.screenshots.len() + self.unstored.len();
        of_boots.sum::<usize>() + others * BYTES_OF_EACH
    }
}

impl Seen {
    /// What ECS has answered.
    fn note(&mut self, answer: Result<Asked>) {
        (self.is_asked, self.at) = (false, Some(Instant::now()));
        self.told = match answer {
            Ok(Asked::Console(capture)) => {
                self.add(capture);
                None
            }
            Ok(Asked::None(why)) => Some(format!("ECS: {why}")),
            Ok(Asked::Undecoded) => None,
            Err(error) => Some(format!("ECS does not say what it has: {error:#}")),
        };
    }

    /// The first console stays, for it has given the boot its ID and its first lines, and so do the newest. Of those
    /// between, one goes that says nothing by itself, if there is one.
    fn add(&mut self, capture: Capture) {
        if self.captures.iter().any(|known| known.name == capture.name) {
            return;
        }
        let name = (capture.name.clone(), capture.captured_at);
        if self.names.iter().all(|(known, _)| *known != capture.name) {
            self.names.push_back(name);
        }
        if self.names.len() > MAX_NAMES {
            self.names.pop_front();
        }
        self.captures.push(capture);
        if self.captures.len() > MAX_LIVE {
            let all = &self.captures;
            let grows = |index: usize| all[index + 1].plain.starts_with(&all[index].plain);
            let mut between = 1..all.len() - 1;
            let said_again = between.find(|index| grows(index - 1) && grows(*index));
            self.captures.remove(said_again.unwrap_or(1));
        }
    }
}

impl Read {
    fn hold(&mut self, hash: u64, instance: &Arc<Instance>) {
        self.bytes += instance.bytes();
        let id = instance.id.clone();
        // That of another listing, or the one that was looked at longest ago.
        if let Some((_, (_, old))) = self.instances.push(id, (hash, Arc::clone(instance))) {
            self.bytes -= old.bytes();
        }
        while self.bytes > MAX_HELD_BYTES
            && let Some((_, (_, old))) = self.instances.pop_lru()
        {
            self.bytes -= old.bytes();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(number: i64, plain: &str) -> Capture {
        Capture {
            name: format!("20180322T100457-{number:012x}"),
            captured_at: Timestamp::from_second(number).unwrap(),
            updated_at: None,
            started_at: None,
            event_id: None,
            plain: plain.into(),
        }
    }

    /// An instance of one boot with a log of so many bytes, and so many markers.
    fn instance(id: &str, log: usize, markers: usize) -> Arc<Instance> {
        let mut stitcher = ecs_console_archiver::reading::stitch::Stitcher::default();
        let mut boots = stitcher.push(capture(1, &"x\n".repeat(log / 2)));
        boots.extend(stitcher.finish());
        let key = format!("{id}/20240322T020114Z-not_supported-5891b5b522d5.none.json");
        let marker = ecs_console_archiver::archive::key::MarkerKey::parse(&key);
        let marker = MarkerEntry {
            key: marker.expect("a marker's key"),
            bytes: 1,
            stored_at: Timestamp::UNIX_EPOCH,
        };
        let read = Boots {
            boots,
            markers: vec![marker; markers],
            screenshots: Vec::new(),
            left_out: Vec::new(),
        };
        let id = InstanceId::parse(id).unwrap();
        Instance::of(id, read, None, Redact::View, BTreeSet::new())
    }

    fn read() -> Read {
        Read {
            instances: LruCache::new(MAX_HELD_INSTANCES),
            bytes: 0,
        }
    }

    #[test]
    fn the_first_console_that_ecs_shows_stays_with_the_newest() {
        let mut seen = Seen::default();
        let mut plain = String::new();
        for number in 0..40 {
            plain += "more\n";
            // Another boot begins.
            if number == 20 {
                plain = "Linux version 6.1\n".into();
            }
            seen.add(capture(number, &plain));
        }
        assert_eq!(seen.captures.len(), MAX_LIVE);
        let kept = |number| {
            let name = capture(number, "").name;
            seen.captures.iter().any(|one| one.name == name)
        };
        for number in [0, 20, 39] {
            assert!(kept(number), "{number}");
        }
        assert_eq!(seen.names.len(), 40, "links have the names of all");
    }

    #[test]
    fn all_that_is_held_is_counted_and_bounded() {
        let mut read = read();
        for number in 0..1000 {
            read.hold(0, &instance(&format!("i-a{number}"), 10, 1));
        }
        assert_eq!(read.instances.len(), MAX_HELD_INSTANCES.get());
        let of_all = |read: &Read| -> usize {
            let all = read.instances.iter();
            all.map(|(_, (_, instance))| instance.bytes()).sum()
        };
        assert_eq!(read.bytes, of_all(&read));
        // A log is little beside a hundred thousand markers.
        for number in 0..4 {
            read.hold(0, &instance(&format!("i-m{number}"), 10, 100_000));
        }
        assert!(read.bytes <= MAX_HELD_BYTES, "{}", read.bytes);
        assert!(read.instances.len() <= 2, "{}", read.instances.len());
        read.hold(0, &instance("i-big", MAX_HELD_BYTES + 2, 0));
        assert_eq!((read.instances.len(), read.bytes), (0, 0));
    }
}
