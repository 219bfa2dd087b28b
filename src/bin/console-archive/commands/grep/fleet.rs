//! Searches instances at once, and hands out what was found in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::reader::{self, ReadError, RecordEntry};
use ecs_console_archiver::archive::record::Unpacker;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::behind;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::ending::Ending;
use ecs_console_archiver::reading::findings::secrets;
use ecs_console_archiver::reading::search::{Buffers, Search, Text};
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::reading::stitch::{Boot, Capture, CaptureOf, Piece, Stitcher};
use ecs_console_archiver::retry;
use ecs_console_archiver::store::past_refused::PastRefused;
use ecs_console_archiver::store::{ArchiveStore, Store};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::form::{Counts, Form, Subject};
use crate::boots::{self, Captures, LeftOut, StoredOrder, WasCopied};
use crate::pace::{MOST_AT_ONCE, Pace, Paced, Patient};

/// What is searched, and how.
#[derive(Clone)]
pub struct Job {
    pub search: Search,
    pub form: Form,
    pub encoding: EncodingChoice,
    /// Records, not boots.
    pub is_by_capture: bool,
    pub boot: Option<Selection>,
    /// All if there is none.
    pub endings: Vec<Ending>,
    /// What is printed is sorted by when it was captured.
    pub is_by_time: bool,
    /// For each record.
    pub time: Duration,
    pub buffers: Buffers,
    pub redact: Redact,
    /// Of an instance, so many bytes of what is to be printed are kept: of its newest logs.
    pub max_bytes: Option<usize>,
    /// Held until the last thread has ended.
    #[allow(dead_code)] // To be held is what it is for.
    pub turn: Option<Arc<OwnedSemaphorePermit>>,
}

/// An instance, and its records.
pub type Task = (InstanceId, Vec<RecordEntry>);

/// What was found in an instance.
#[derive(Default)]
pub struct Found {
    /// What is to be printed, a piece for each log.
    pub printed: Vec<OfLog>,
    /// Boots of the records that were searched.
    pub boots: usize,
    pub counts: Counts,
    /// Logs that were searched, and those that have a match.
    pub logs: u64,
    pub logs_with_match: u64,
    pub records: u64,
    pub bytes: u64,
    /// Records that are damaged or gone, and what is wrong with each.
    pub damaged: Vec<String>,
    /// Logs with a match of which nothing is kept.
    pub left_out: u64,
}

/// What is to be printed of a log.
pub struct OfLog {
    /// When the log was first captured.
    pub captured_at: Timestamp,
    /// Which boot it is of those that were searched, the oldest first. `None` if it is a record alone.
    pub boot: Option<usize>,
    pub text: Vec<u8>,
}

/// Results in the order of the tasks. No more of them wait than a window allows. The search ends when they are dropped.
pub struct Results {
    _searching: DropGuard,
    finished: UnboundedReceiver<(usize, Result<Found>, OwnedSemaphorePermit)>,
    waiting: BTreeMap<usize, (Result<Found>, OwnedSemaphorePermit)>,
    next: usize,
}

/// Instances whose results wait for those before, for each thread.
const WINDOW: usize = 4;
/// Instances of a bucket that a thread searches at once: few have enough records to keep it busy while it waits
/// for answers.
const INSTANCES_AT_ONCE: usize = 16;
/// Records of each that are read at once, if there is more than one instance.
const RECORDS_AT_ONCE: usize = 16;

/// Starts to search, on one thread for each of these stores. What says that nobody waits any more is of this search alone.
pub fn start(stores: Vec<ArchiveStore>, tasks: Vec<Task>, job: &Job, pace: &Arc<Pace>) -> Results {
    let (sender, finished) = unbounded_channel();
    let (next, tasks) = (Arc::new(AtomicUsize::new(0)), Arc::new(tasks));
    let is_remote = stores
        .iter()
        .any(|store| matches!(store, ArchiveStore::Bucket(_)));
    let instances_at_once = if is_remote { INSTANCES_AT_ONCE } else { 1 };
    let window = Arc::new(Semaphore::new(stores.len() * (instances_at_once + WINDOW)));
    let at_once = if tasks.len() > 1 {
        RECORDS_AT_ONCE
    } else {
        MOST_AT_ONCE
    };
    let mut job = job.clone();
    job.form.cancelled = CancellationToken::new();
    let searching = job.form.cancelled.clone().drop_guard();
    for store in stores {
        let worker = Worker {
            store: Patient {
                store: Paced {
                    store: store.on_this_thread(),
                    pace: Arc::clone(pace),
                },
                time: job.time,
            },
            tasks: Arc::clone(&tasks),
            next: Arc::clone(&next),
            window: Arc::clone(&window),
            sender: sender.clone(),
            job: job.clone(),
            instances_at_once,
            at_once,
        };
        std::thread::spawn(move || worker.run());
    }
    Results {
        _searching: searching,
        finished,
        waiting: BTreeMap::new(),
        next: 0,
    }
}

impl Results {
    /// What was found in the next instance. `None` behind the last.
    pub async fn next(&mut self) -> Option<Result<Found>> {
        while !self.waiting.contains_key(&self.next) {
            let (index, found, permit) = self.finished.recv().await?;
            self.waiting.insert(index, (found, permit));
        }
        let (found, _) = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(found)
    }

    /// Whether the next one is there.
    pub fn is_ready(&self) -> bool {
        self.waiting.contains_key(&self.next) || !self.finished.is_empty()
    }
}

impl Found {
    /// Keeps what was found last, if there is more than these bytes.
    fn cut(&mut self, max_bytes: Option<usize>) {
        let Some(max_bytes) = max_bytes else {
            return;
        };
        let mut kept = 0;
        let is_over = |log: &OfLog| {
            kept += log.text.len();
            kept > max_bytes
        };
        let left_out = self.printed.iter().rev().position(is_over);
        if let Some(kept) = left_out {
            let left_out = self.printed.len() - kept;
            self.printed.drain(..left_out);
            self.left_out += left_out as u64;
        }
    }
}

struct Worker {
    store: Patient<ArchiveStore>,
    tasks: Arc<Vec<Task>>,
    next: Arc<AtomicUsize>,
    window: Arc<Semaphore>,
    sender: UnboundedSender<(usize, Result<Found>, OwnedSemaphorePermit)>,
    job: Job,
    instances_at_once: usize,
    at_once: usize,
}

impl Worker {
    fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            // A record that is refused or fails keeps no other.
            let store = PastRefused::new(&self.store);
            let all = (0..self.instances_at_once).map(|_| self.work(&store));
            let cancelled = &self.job.form.cancelled;
            let all = cancelled.run_until_cancelled(join_all(all));
            runtime.block_on(retry::noting_time_up(all));
        }
    }

    async fn work(&self, store: &impl Store) {
        let (mut job, unpacker) = (self.job.clone(), RefCell::default());
        // The place in the window comes before the task, so that the oldest task always has one.
        while let Ok(permit) = Arc::clone(&self.window).acquire_owned().await {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let tasks = Arc::clone(&self.tasks);
            let Some((instance_id, records)) = tasks.get(index) else {
                return;
            };
            let found = self.search(store, &mut job, &unpacker, instance_id, records);
            let found = found.await;
            if self.sender.send((index, found, permit)).is_err() {
                return; // Nobody reads any more.
            }
        }
    }

    async fn search(
        &self,
        store: &impl Store,
        job: &mut Job,
        unpacker: &RefCell<Unpacker>,
        instance_id: &InstanceId,
        records: &[RecordEntry],
    ) -> Result<Found> {
        let near = (records, StoredOrder::Near);
        match self
            .search_in(store, near, job, unpacker, instance_id)
            .await
        {
            Err(error) if error.is::<WasCopied>() => {
                let unknown = (records, StoredOrder::Unknown);
                self.search_in(store, unknown, job, unpacker, instance_id)
                    .await
            }
            found => found,
        }
    }

    async fn search_in(
        &self,
        store: &impl Store,
        (records, order): (&[RecordEntry], StoredOrder),
        job: &mut Job,
        unpacker: &RefCell<Unpacker>,
        instance_id: &InstanceId,
    ) -> Result<Found> {
        let wants_metadata = job.wants_metadata();
        let open =
            async |key: &RecordKey| reader::console(store, key, wants_metadata, unpacker).await;
        let mut found = Found {
            records: records.len() as u64,
            ..Found::default()
        };
        let records = records.to_vec();
        if job.is_by_capture {
            let mut consoles = boots::consoles(records, self.at_once, &open);
            let mut before = Vec::new();
            while let Some((record, console)) = consoles.next().await {
                match console {
                    Ok(console) => {
                        let alone = alone(console.into_capture(&record));
                        job.log(instance_id, &alone, Kept::Alone(&before), &mut found);
                        before = alone.log;
                    }
                    Err(ReadError::Store(error)) if !error.is_of_object() => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        let left_out = LeftOut { record, error };
                        job.salvage(instance_id, &left_out, &mut found);
                    }
                }
            }
            return Ok(found);
        }
        let mut captures = Captures::of(records, order, self.at_once, &open);
        let (mut stitcher, mut kept) = (Stitcher::default(), Vec::new());
        // Which boot is which is known once all are.
        let needs_all = job.boot.is_some();
        while let Some(capture) = captures.next().await? {
            let capture = match capture {
                Ok(capture) => capture,
                Err(left_out) => {
                    job.salvage(instance_id, &left_out, &mut found);
                    continue;
                }
            };
            for boot in stitcher.push(capture) {
                match needs_all {
                    true => kept.push(boot),
                    false => job.boot(instance_id, &boot, false, &mut found),
                }
            }
        }
        kept.extend(stitcher.finish());
        let last = kept.len().saturating_sub(1);
        let selected = match &job.boot {
            Some(selection) => {
                let index = selection.find(kept.iter().map(|boot| boot.id.as_str()));
                index.map_or(0..0, |index| index..index + 1)
            }
            None => 0..kept.len(),
        };
        for index in selected {
            job.boot(instance_id, &kept[index], index == last, &mut found);
        }
        Ok(found)
    }
}

/// What a log is.
#[derive(Clone, Copy)]
enum Kept<'c> {
    Boot,
    /// A record, and the console of the one before it.
    Alone(&'c [u8]),
}

/// A record as a log of its own.
fn alone(capture: Capture) -> Boot {
    Boot {
        id: capture.name.clone(),
        pieces: vec![Piece {
            range: 0..capture.plain.len(),
            capture: 0,
            offset: 0,
        }],
        marks: Vec::new(),
        start: None,
        captures: vec![CaptureOf {
            name: capture.name,
            captured_at: capture.captured_at,
        }],
        has_crashed: false,
        log: capture.plain,
    }
}

impl Job {
    /// Boots are joined in the order in which they were captured, which the metadata say.
    fn wants_metadata(&self) -> bool {
        !self.is_by_capture || self.is_by_time || self.form.needs_times()
    }

    fn boot(&mut self, instance_id: &InstanceId, boot: &Boot, is_newest: bool, found: &mut Found) {
        if self.endings.is_empty() || self.endings.contains(&boot.ending(is_newest)) {
            self.log(instance_id, boot, Kept::Boot, found);
        }
        found.boots += 1;
    }

    fn log(&mut self, instance_id: &InstanceId, boot: &Boot, kept: Kept<'_>, found: &mut Found) {
        // Many logs may come with no wait between them.
        if self.form.cancelled.is_cancelled() {
            return;
        }
        let (printed, counts) = self.search(instance_id, boot, kept);
        found.logs += 1;
        found.bytes += boot.log.len() as u64;
        found.logs_with_match += u64::from(counts.lines > 0);
        found.counts.lines += counts.lines;
        found.counts.matches += counts.matches;
        if !printed.is_empty() {
            found.printed.push(OfLog {
                captured_at: boot.captures[0].captured_at,
                boot: matches!(kept, Kept::Boot).then_some(found.boots),
                text: printed,
            });
            found.cut(self.max_bytes);
        }
    }

    /// Returns what is printed of a log. What may be read is what is searched: whether there is a match must not tell
    /// what is masked, and what stands in its place is found.
    fn search(
        &mut self,
        instance_id: &InstanceId,
        boot: &Boot,
        kept: Kept<'_>,
    ) -> (Vec<u8>, Counts) {
        let subject = |boot| Subject {
            instance_id: instance_id.as_str(),
            boot,
            name: &boot.id,
            is_boot: matches!(kept, Kept::Boot),
        };
        let (mut printed, mut text) = (Vec::new(), self.text(boot));
        let mut masked = None;
        if self.redact != Redact::Off {
            // To look for secrets in a whole log takes longer than the search. If there are none on the lines that are
            // told, what is told is what would be told of the masked log.
            if self.search.is_same_beside_masks(&text) && !self.form.needs_times() {
                let subject = subject(boot);
                let counts = self
                    .form
                    .search(&mut self.search, &text, &subject, &mut printed);
                let (told, odd) = (self.search.told(&text), text.odd());
                let may_show_secret = match kept {
                    Kept::Boot => secrets::may_be_on(&boot.log, told, odd),
                    Kept::Alone(before) => behind::may_be_on(before, &boot.log, told, odd),
                };
                if !may_show_secret {
                    self.buffers = text.into_buffers();
                    return (printed, counts);
                }
                printed.clear();
            } else if !self.search.may_match_masked(&text) {
                self.form.nothing(&subject(boot), &mut printed);
                self.buffers = text.into_buffers();
                return (printed, Counts::default());
            }
            let secrets = match kept {
                Kept::Boot => secrets::find(&boot.log),
                Kept::Alone(before) => behind::secrets(before, &boot.log),
            };
            if !secrets.is_empty() {
                let masked = masked.insert(boot.clone());
                secrets::mask(&mut masked.log, &secrets);
            }
        }
        let shown = masked.as_ref().unwrap_or(boot);
        if masked.is_some() {
            self.buffers = text.into_buffers();
            text = self.text(shown);
        }
        let counts = self
            .form
            .search(&mut self.search, &text, &subject(shown), &mut printed);
        self.buffers = text.into_buffers();
        (printed, counts)
    }

    fn text<'b>(&mut self, boot: &'b Boot) -> Text<'b> {
        match self.form.is_raw {
            true => Text::raw(&boot.log),
            false => {
                let buffers = std::mem::take(&mut self.buffers);
                Text::rendered_for(&self.search, boot, self.encoding, buffers)
            }
        }
    }

    /// Searches what can be read of a damaged record by itself: it may be what somebody looks for.
    fn salvage(&mut self, instance_id: &InstanceId, left_out: &LeftOut, found: &mut Found) {
        found.damaged.push(left_out.told());
        if let ReadError::Damaged(damaged) = &left_out.error {
            let capture = Capture {
                name: left_out.record.key.name(),
                captured_at: left_out.record.stored_at,
                updated_at: None,
                started_at: None,
                event_id: None,
                plain: damaged.salvaged.plain.clone(),
            };
            self.log(instance_id, &alone(capture), Kept::Alone(&[]), found);
        }
    }
}
