//! The boots of an instance, stitched from all of its records.

use std::collections::BTreeSet;

use anyhow::Result;
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::reader::{
    self, Console, Listing, MarkerEntry, ReadError, RecordEntry, ScreenshotEntry,
};
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::behind;
use ecs_console_archiver::reading::clock::{GuestClock, LineTime};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::ending::{self, Ending};
use ecs_console_archiver::reading::findings::{self, Finding, Rules, endings, secrets};
use ecs_console_archiver::reading::select::{self, Selection};
use ecs_console_archiver::reading::stamp::Stamp;
use ecs_console_archiver::reading::stitch::{self, Boot, Capture, Mark, MarkKind, Stitcher};
use ecs_console_archiver::store::Store;
use ecs_console_archiver::store::past_refused::PastRefused;
use futures_util::stream::{self, LocalBoxStream, StreamExt as _};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::{output, time};

/// Records read at once.
const READ_AT_ONCE: usize = 16;
/// A console may be stored so much later than it was captured: while it is followed, the function holds it.
/// One more hour is for deliveries that come again.
const STORED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// What the times of storing say of the order of captures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StoredOrder {
    /// Each record was stored soon after its capture, so only few consoles wait for another one.
    #[default]
    Near,
    /// Nothing: the archive was copied. All consoles of the instance are in memory at once.
    Unknown,
}

/// A record was stored long after its capture, so that the order is not [`StoredOrder::Near`]. What was read so
/// far may be in the wrong order.
#[derive(Debug, thiserror::Error)]
#[error("the archive was copied")]
pub struct WasCopied;

/// What the archive has of an instance's boots.
pub struct Boots {
    /// The boots, the oldest first.
    pub boots: Vec<Boot>,
    /// Captures without a console, and why.
    pub markers: Vec<MarkerEntry>,
    /// Screenshots.
    pub screenshots: Vec<ScreenshotEntry>,
    /// Why records were left out: they are damaged, or gone. Each was reported.
    pub left_out: Vec<String>,
}

/// Reads each record of an instance once, and stitches.
///
/// # Errors
/// An error of the store. Damaged records are reported and left out.
pub async fn read(store: &impl Store, instance_id: &InstanceId) -> Result<Boots> {
    // A record that is refused or fails keeps no other.
    let store = PastRefused::new(store);
    let mut reading = Reading::default();
    reading.go_on(&store, instance_id).await?;
    store.check()?;
    Ok(reading.finish())
}

/// The same of records that are listed already. What is left out is not reported.
///
/// # Errors
/// As [`read`].
pub async fn of_listing(store: &impl Store, listing: Listing) -> Result<Boots> {
    of_listing_and(store, listing, &[]).await
}

/// The same with captures that are in no archive, which come after the others.
///
/// # Errors
/// As [`read`].
pub async fn of_listing_and(
    store: &impl Store,
    listing: Listing,
    others: &[Capture],
) -> Result<Boots> {
    let mut reading = Reading {
        is_quiet: true,
        ..Reading::default()
    };
    match reading.read_listed(store, listing.clone()).await {
        Err(error) if error.is::<WasCopied>() => {
            reading = Reading {
                is_quiet: true,
                ..Reading::of_copied()
            };
            reading.read_listed(store, listing).await?;
        }
        read => drop(read?),
    }
    for capture in others {
        reading.add(capture.clone());
    }
    Ok(reading.finish())
}

/// An instance's records, stitched as far as they have been read.
#[derive(Default)]
pub struct Reading {
    finished: Vec<Boot>,
    stitcher: Stitcher,
    markers: Vec<MarkerEntry>,
    screenshots: Vec<ScreenshotEntry>,
    left_out: Vec<String>,
    /// Whether what is left out is only noted.
    is_quiet: bool,
    order: StoredOrder,
    /// Names of the captures that were read.
    read: BTreeSet<String>,
}

impl Reading {
    fn of_copied() -> Self {
        Self {
            order: StoredOrder::Unknown,
            ..Self::default()
        }
    }

    /// Reads the records that have not been read yet. Returns whether there were any.
    ///
    /// # Errors
    /// As [`read`].
    pub async fn go_on(&mut self, store: &impl Store, instance_id: &InstanceId) -> Result<bool> {
        match self.read_new(store, instance_id).await {
            Err(error) if error.is::<WasCopied>() => {
                *self = Self::of_copied();
                self.read_new(store, instance_id).await
            }
            read => read,
        }
    }

    async fn read_new(&mut self, store: &impl Store, instance_id: &InstanceId) -> Result<bool> {
        let listing = reader::list(store, Some(instance_id)).await?;
        self.read_listed(store, listing).await
    }

    async fn read_listed(&mut self, store: &impl Store, listing: Listing) -> Result<bool> {
        let Listing {
            mut records,
            markers,
            screenshots,
        } = listing;
        (self.markers, self.screenshots) = (markers, screenshots);
        let has_begun = !self.read.is_empty();
        records.retain(|record| self.read.insert(record.key.name()));
        let is_more = !records.is_empty();
        let open = async |key: &RecordKey| {
            let opened = reader::open(store, key).await?;
            let (plain, metadata) = (opened.plain, opened.object.metadata);
            Ok(Console { plain, metadata })
        };
        let mut captures = Captures::of(records, self.order, READ_AT_ONCE, &open);
        captures = captures.behind_others(has_begun);
        while let Some(capture) = captures.next().await? {
            match capture {
                Ok(capture) => self.finished.extend(self.stitcher.push(capture)),
                Err(left_out) => {
                    let told = left_out.told();
                    if !self.is_quiet {
                        output::error(format_args!("warning: left out: {told}"));
                    }
                    self.left_out.push(told);
                }
            }
        }
        Ok(is_more)
    }

    /// Adds a capture that is in no archive, unless one of its name was read. Returns whether it was added.
    pub fn add(&mut self, capture: Capture) -> bool {
        let is_new = self.read.insert(capture.name.clone());
        if is_new {
            self.finished.extend(self.stitcher.push(capture));
        }
        is_new
    }

    /// The boots, once there is nothing more to read.
    pub fn finish(self) -> Boots {
        let mut boots = self.finished;
        boots.extend(self.stitcher.finish());
        Boots {
            boots,
            markers: self.markers,
            screenshots: self.screenshots,
            left_out: self.left_out,
        }
    }

    /// The boots as far as they are known now, from the one with this ID on; at least the newest. Their secrets are
    /// as they are stored.
    pub fn boots_from(&self, id: &str) -> Vec<Boot> {
        let finished = &self.finished;
        let known = finished.iter().rposition(|boot| boot.id == id);
        let from = known.unwrap_or(finished.len().saturating_sub(1));
        let mut boots = finished[from..].to_vec();
        boots.extend(self.stitcher.clone().finish());
        boots
    }
}

impl Boots {
    /// The same, with secrets masked unless they are to be shown.
    pub fn for_display(mut self, redact: Redact) -> Self {
        for boot in &mut self.boots {
            hide_secrets(&mut boot.log, redact);
        }
        self
    }

    /// Finds a boot. Tells it if there is none.
    pub fn select(&self, selection: &Selection, instance_id: &InstanceId) -> Option<usize> {
        let ids = self.boots.iter().map(|boot| boot.id.as_str());
        let found = selection.find(ids);
        found
            .inspect_err(|error| output::error(format_args!("{instance_id}: {error}")))
            .ok()
    }

    /// Says that there is no console of the instance, and why as far as it is known.
    pub fn tell_none(&self, instance_id: &InstanceId, archive_url: &str, zone: &TimeZone) -> Exit {
        if !self.left_out.is_empty() {
            output::error(format_args!(
                "{instance_id} has no readable record in {archive_url}"
            ));
            return Exit::Failed;
        }
        output::error(format_args!("{instance_id} has no record in {archive_url}"));
        tell_marker(self.markers.last(), zone);
        tell_screenshots(&self.screenshots, instance_id, zone);
        Exit::Nothing
    }

    /// How a command ends that has shown them.
    pub fn exit(&self) -> Exit {
        match self.left_out.is_empty() {
            true => Exit::Done,
            false => Exit::Failed,
        }
    }
}

/// Masks the secrets of a log that is about to be shown, unless they are to be shown. Returns how many there are.
pub fn hide_secrets(log: &mut [u8], redact: Redact) -> usize {
    hide_secrets_behind(&[], log, redact)
}

/// The same of a capture that another came before, with what that one says of secrets that go on here.
pub fn hide_secrets_behind(before: &[u8], log: &mut [u8], redact: Redact) -> usize {
    if redact == Redact::Off {
        return 0;
    }
    let secrets = behind::secrets(before, log);
    secrets::mask(log, &secrets);
    secrets.len()
}

/// The console of the record before one that is shown, for it may say that what goes on there is a secret.
///
/// # Errors
/// The record before is gone, or cannot be read.
pub async fn console_before(
    store: &impl Store,
    before: &RecordEntry,
) -> Result<Vec<u8>, ReadError> {
    match reader::open(store, &before.key).await {
        Ok(opened) => Ok(opened.plain),
        Err(ReadError::Damaged(damaged)) => Ok(damaged.salvaged.plain),
        Err(error) => Err(error),
    }
}

/// Says that secrets are masked in what is shown.
pub fn tell_hidden(secrets: usize) {
    match secrets {
        0 => {}
        1 => output::error("1 secret is masked; REDACT=off shows it"),
        secrets => output::error(format_args!(
            "{secrets} secrets are masked; REDACT=off shows them"
        )),
    }
}

/// Says why there is no console, as far as a marker says it.
pub fn tell_marker(marker: Option<&MarkerEntry>, zone: &TimeZone) {
    if let Some(MarkerEntry { key, stored_at, .. }) = marker {
        let time = time::shown(*stored_at, zone);
        let why = key.reason.message();
        output::error(format_args!("ECS was last asked for it at {time}: {why}"));
    }
}

/// Says that there are screenshots in place of a console, and how to see the newest.
pub fn tell_screenshots(all: &[ScreenshotEntry], instance_id: &InstanceId, zone: &TimeZone) {
    if let Some(newest) = all.iter().map(ScreenshotEntry::taken_at).max() {
        let (count, time) = (
            output::count(all.len() as u64, "screenshot"),
            time::shown(newest, zone),
        );
        output::error(format_args!(
            "it has {count}, the newest of {time}: console-archive get {instance_id} --screenshot"
        ));
    }
}

/// What is to be said of a boot beside its log.
pub struct Summary<'a> {
    pub boot: &'a Boot,
    /// 0 is the newest, -1 the one before.
    pub number: isize,
    pub ending: Ending,
    pub clock: GuestClock,
    /// The kernel's last stamp before the first login prompt.
    pub login: Option<Stamp>,
    /// The number and the boot whose memory this one, a crash kernel, saves; if that one is known.
    pub crashed: Option<(isize, &'a Boot)>,
    /// The boots of the instance, as far as they are known, and its place among them.
    boots: (&'a [Boot], usize),
}

/// An ending, for people.
pub fn ending_in_words(ending: Ending) -> &'static str {
    match ending {
        Ending::OutOfMemory => "out of memory",
        Ending::Running => "running?",
        ending => ending.as_str(),
    }
}

impl<'a> Summary<'a> {
    /// Of the boot at `index`.
    pub fn new(boots: &'a [Boot], index: usize) -> Self {
        let boot = &boots[index];
        let before = index
            .checked_sub(1)
            .filter(|&index| boots[index].has_crashed);
        Self {
            boot,
            number: select::number(index, boots.len()),
            ending: boot.ending(index + 1 == boots.len()),
            clock: GuestClock::of(&boot.log, boot.captures[0].captured_at),
            login: ending::login(&boot.log),
            crashed: before.map(|index| (select::number(index, boots.len()), &boots[index])),
            boots: (boots, index),
        }
    }

    /// What it says went wrong, and what its end says, in the order of its lines.
    pub fn findings(&self, encoding: EncodingChoice) -> Vec<Finding<'static>> {
        let (boots, index) = self.boots;
        let told = endings::of_boots(boots, index);
        findings::of_boot(self.boot, &told, encoding, Rules::current())
    }

    /// When the kernel began, by the guest's clock.
    pub fn started_at(&self) -> Option<Timestamp> {
        match self.clock {
            GuestClock::Right(clock) => clock.at(Stamp { micros: 0 }),
            GuestClock::Wrong { .. } | GuestClock::Unknown => None,
        }
    }

    pub fn is_crash_kernel(&self) -> bool {
        self.boot.start.is_some_and(|start| start.is_crash_kernel)
    }

    /// Places where output is lost.
    pub fn gaps(&self) -> usize {
        self.count(|kind| matches!(kind, MarkKind::Gap { .. }))
    }

    /// Joins that are unsure.
    pub fn unsure(&self) -> usize {
        self.count(|kind| matches!(kind, MarkKind::Unsure { .. } | MarkKind::Repeats { .. }))
    }

    fn count(&self, is_counted: impl Fn(MarkKind) -> bool) -> usize {
        let marks = self.boot.marks.iter();
        marks.filter(|mark| is_counted(mark.kind)).count()
    }

    /// How it ended, for people.
    pub fn ending_in_words(&self) -> String {
        let ending = ending_in_words(self.ending);
        match self.crashed {
            Some((number, _)) => format!("{ending} (crash kernel of {number})"),
            None if self.is_crash_kernel() => format!("{ending} (crash kernel)"),
            None => ending.to_owned(),
        }
    }

    /// When it began, for people: by the guest's clock (≈), or before its first capture (≤).
    pub fn started_in_words(&self, zone: &TimeZone) -> String {
        match (self.started_at(), self.clock) {
            (Some(at), _) => format!("≈ {}", time::shown(at, zone)),
            (None, GuestClock::Wrong { .. }) => "?".to_owned(),
            (None, _) => format!("≤ {}", time::shown(self.boot.captures[0].captured_at, zone)),
        }
    }
}

/// Says for programs which record has the byte at `at` of a boot's log, and when its line was printed.
pub fn add_origin(boot: &Boot, at: usize, time: Option<LineTime>, json: &mut Value) {
    if let Some((capture, offset)) = boot.origin(at) {
        json["record"] = json!({"name": capture.name, "at": offset});
    }
    match time {
        Some(LineTime::About(time)) => json["time"] = json!(time.to_string()),
        Some(LineTime::NotAfter(time)) => json["not_after"] = json!(time.to_string()),
        None => {}
    }
}

/// A mark for programs.
pub fn mark_json(mark: &Mark) -> Value {
    let at = mark.at;
    match mark.kind {
        MarkKind::Gap { cut } => json!({"at": at, "kind": "gap", "cut_bytes": cut}),
        MarkKind::EndUnknown => json!({"at": at, "kind": "end_unknown"}),
        MarkKind::Unsure { shared } => json!({"at": at, "kind": "unsure", "shared_bytes": shared}),
        MarkKind::Repeats { missing } => {
            json!({"at": at, "kind": "repeats", "missing_bytes": missing})
        }
    }
}

/// A mark for people.
pub fn mark_in_words(mark: &Mark) -> String {
    match mark.kind {
        MarkKind::Gap { .. } if mark.at == 0 => "gap: the beginning of the boot is lost".to_owned(),
        MarkKind::Gap { cut: 0 } => "gap: output is lost here".to_owned(),
        MarkKind::Gap { .. } => {
            "gap: output is lost here, and so is the beginning of the next line".to_owned()
        }
        MarkKind::EndUnknown => {
            "end: what came between this and the next boot is not known".to_owned()
        }
        MarkKind::Unsure { shared } => {
            let bytes = output::grouped(shared as u64);
            format!("unsure: two captures are joined here by {bytes} equal bytes alone")
        }
        MarkKind::Repeats { missing } => {
            let bytes = output::count(missing as u64, "byte");
            format!("unsure: the console repeats itself here; up to {bytes} may be missing")
        }
    }
}

/// A record that is damaged or gone, or that cannot be read.
pub struct LeftOut {
    pub record: RecordEntry,
    pub error: ReadError,
}

impl LeftOut {
    /// What is wrong, with what it is about: a store that refuses an object need not name it.
    pub fn told(&self) -> String {
        named(&self.record.key.to_string(), &self.error.to_string())
    }
}

/// An error of an object, with the object's key unless it names it.
pub fn named(key: &str, error: &str) -> String {
    match error.contains(key) {
        true => error.to_owned(),
        false => format!("{key}: {error}"),
    }
}

/// Records, and their consoles.
pub type Consoles<'a> = LocalBoxStream<'a, (RecordEntry, Result<Console, ReadError>)>;

/// Reads the consoles of these records, in this order, by `open`. What ECS sent in place of a console is left
/// out: it is not a part of one.
pub fn consoles<'a>(
    records: Vec<RecordEntry>,
    at_once: usize,
    open: &'a impl AsyncFn(&RecordKey) -> Result<Console, ReadError>,
) -> Consoles<'a> {
    let records = records
        .into_iter()
        .filter(|record| !record.key.is_undecoded);
    let read = records.map(async |record| {
        let opened = open(&record.key).await;
        (record, opened)
    });
    stream::iter(read).buffered(at_once).boxed_local()
}

/// The captures of an instance, in the order in which they were made.
pub struct Captures<'a> {
    records: Consoles<'a>,
    /// Consoles that were read, and that one which was captured before may follow; the last one first.
    waiting: Vec<Capture>,
    /// No console that is still to come was captured before this time.
    ready: Timestamp,
    order: StoredOrder,
    /// Whether a capture was handed out before.
    has_begun: bool,
}

impl<'a> Captures<'a> {
    /// Of these records, read by `open`.
    pub fn of(
        mut records: Vec<RecordEntry>,
        order: StoredOrder,
        at_once: usize,
        open: &'a impl AsyncFn(&RecordKey) -> Result<Console, ReadError>,
    ) -> Self {
        records.sort_by_key(|record| record.stored_at);
        Self {
            records: consoles(records, at_once, open),
            waiting: Vec::new(),
            ready: Timestamp::MIN,
            order,
            has_begun: false,
        }
    }

    /// Others were handed out before these.
    fn behind_others(self, has_begun: bool) -> Self {
        Self { has_begun, ..self }
    }

    /// The next capture, or a record that is damaged or gone.
    ///
    /// # Errors
    /// An error of the store. [`WasCopied`] if the order is another one: then it is read anew.
    pub async fn next(&mut self) -> Result<Option<Result<Capture, LeftOut>>> {
        loop {
            let is_ready = |capture: &Capture| capture.captured_at < self.ready;
            if self.waiting.last().is_some_and(is_ready) {
                self.has_begun = true;
                return Ok(self.waiting.pop().map(Ok));
            }
            let Some((record, opened)) = self.records.next().await else {
                return Ok(self.waiting.pop().map(Ok));
            };
            let console = match opened {
                Ok(console) => console,
                Err(ReadError::Store(error)) if !error.is_of_object() => return Err(error.into()),
                Err(error) => return Ok(Some(Err(LeftOut { record, error }))),
            };
            let capture = console.into_capture(&record);
            if self.order == StoredOrder::Near {
                let before = record.stored_at.checked_sub(STORED_WITHIN);
                self.ready = before.unwrap_or(Timestamp::MIN);
                if capture.captured_at < self.ready {
                    if self.has_begun {
                        return Err(WasCopied.into());
                    }
                    (self.order, self.ready) = (StoredOrder::Unknown, Timestamp::MIN);
                }
            }
            let is_later = |other: &Capture| stitch::order(other, &capture).is_gt();
            let place = self.waiting.partition_point(is_later);
            self.waiting.insert(place, capture);
        }
    }
}
