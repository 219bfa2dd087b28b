//! Reads the archive back: lists its records, selects one of them, opens it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::{Stream, stream};
use jiff::{SignedDuration, Timestamp};

use crate::archive::catalog::Subject;
use crate::archive::key::{MarkerKey, RecordKey, ScreenshotKey, UNDATED, VerdictKey};
use crate::archive::record::{self, CheckedObject, Fault};
use crate::model::freshness::Freshness;
use crate::model::ids::InstanceId;
use crate::model::update_time::{UpdateTime, UpdatedAt};
#[cfg(feature = "cli")]
use crate::reading::stitch::Capture;
use crate::store::sorted::Sorted;
use crate::store::{self, Entry, Object, Pages, Store, StoreError};

/// One record in a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    /// Its key.
    pub key: RecordKey,
    /// Length of the stored gzip file, in bytes.
    pub gzip_bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// Freshness by the verdict stored beside the record; `None` if there is no verdict. The record's
    /// metadata has the freshness that was known when the record was stored.
    pub verdict: Option<Freshness>,
}

/// One marker in a [`Listing`]: ECS was asked, and had no console output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkerEntry {
    /// Its key.
    pub key: MarkerKey,
    /// Length of the stored object, in bytes.
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// One screenshot in a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenshotEntry {
    /// Its key.
    pub key: ScreenshotKey,
    /// Length of the picture, in bytes.
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

impl ScreenshotEntry {
    /// When it was taken, as far as the listing tells it.
    pub fn taken_at(&self) -> Timestamp {
        self.key.taken_at(self.stored_at)
    }
}

/// What the archive holds of one instance, or of all instances. Sorted by key: by instance, then by
/// update time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The stored consoles.
    pub records: Vec<RecordEntry>,
    /// The events for which ECS had no console output.
    pub markers: Vec<MarkerEntry>,
    /// The stored screenshots.
    pub screenshots: Vec<ScreenshotEntry>,
}

/// A record, read from the store and unpacked.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordContents {
    /// The console output as the guest wrote it.
    pub plain: Vec<u8>,
    /// The stored object, with its metadata.
    pub object: Object,
    /// Names of the metadata that would prove the console genuine, and that the object lacks.
    pub missing_metadata: Vec<&'static str>,
}

/// Why a record cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record was removed after it was listed. Holds its address.
    #[error("{0} is no longer there")]
    Gone(String),
    /// The object's bytes are not the record that its key and metadata describe.
    #[error("{0} is damaged: {faults}", faults = .0.faults_text())]
    Damaged(Box<Damaged>),
}

/// A damaged record: what is wrong with it, and what can still be read.
pub struct Damaged {
    /// Address of the object.
    pub url: String,
    /// The differences from its key and metadata; at least one.
    pub faults: Vec<Fault>,
    /// What can be read of it. Someone else may have written these bytes.
    pub salvaged: RecordContents,
}

impl Damaged {
    /// All faults in one line of text.
    pub fn faults_text(&self) -> String {
        let faults: Vec<_> = self.faults.iter().map(Fault::to_string).collect();
        faults.join("; ")
    }
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

impl std::fmt::Debug for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.url, self.faults_text()) // Logs must not show what a guest wrote.
    }
}

/// Selects one record or screenshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The record with the greatest update time.
    Latest,
    /// The newest record whose update time is not after this time.
    NotAfter(Timestamp),
    /// The record with this name, such as `20180322T100457-0123456789ab`; of a screenshot, `20180322Z-0123456789ab.jpg`.
    Name(String),
}

impl Selector {
    /// Selects by the name of a record or a screenshot. `None` if the text is not such a name.
    pub fn name(text: &str) -> Option<Self> {
        let record = format!("i-0/{text}{}", crate::archive::key::LOG_SUFFIX);
        let is_name = RecordKey::parse(&record).is_some()
            || ScreenshotKey::parse(&format!("i-0/{text}")).is_some();
        is_name.then(|| Self::Name(text.to_owned()))
    }

    fn includes(&self, record: &RecordEntry) -> bool {
        match self {
            Self::Latest => true,
            Self::Name(name) => record.key.name() == *name,
            Self::NotAfter(last) => record.updated_at().is_some_and(|at| at.time <= *last),
        }
    }
}

impl RecordEntry {
    /// When ECS last updated the console; `None` if ECS reported no readable time.
    pub fn updated_at(&self) -> Option<UpdatedAt> {
        UpdatedAt::of(self.key.last_update_time?, self.stored_at)
    }

    /// Sorts by update time, then by the time of storing. Records without an update time come first.
    fn order(&self) -> (Option<UpdateTime>, Timestamp) {
        (self.key.last_update_time, self.stored_at)
    }
}

/// Lists the records, markers and screenshots of one instance, or of all instances if `instance_id` is `None`.
///
/// # Errors
/// [`StoreError`] if the store cannot be listed.
pub async fn list(
    store: &impl Store,
    instance_id: Option<&InstanceId>,
) -> Result<Listing, StoreError> {
    let prefixes = match instance_id.map(RecordKey::instance_prefix) {
        Some(prefix) => vec![prefix],
        // Not the catalog, which may have as many objects.
        None => InstanceId::PREFIXES.map(str::to_owned).to_vec(),
    };
    let mut listed = Vec::new();
    for prefix in prefixes {
        let mut pages = Pages::of(store, &prefix);
        while let Some(page) = pages.next_page().await? {
            listed.extend(page);
        }
    }
    Ok(sorted_out(listed))
}

/// An instance, and all of its objects.
#[cfg(feature = "cli")]
pub struct Instance {
    /// The instance.
    pub id: InstanceId,
    /// Its records, markers, screenshots and verdicts, sorted by key.
    pub entries: Vec<Entry>,
}

#[cfg(feature = "cli")]
impl Instance {
    /// The same, by what they are.
    pub fn listing(self) -> Listing {
        sorted_out(self.entries)
    }
}

/// Lists instance by instance, in the order of their IDs, what stands below these prefixes of keys; see
/// [`Instances::key_prefixes`](super::instances::Instances::key_prefixes). A page of the listing is in memory, and an
/// instance.
#[cfg(feature = "cli")]
pub fn instances<S: Store>(
    store: &S,
    prefixes: BTreeSet<String>,
) -> impl Stream<Item = Result<Instance, StoreError>> {
    let listings = prefixes
        .into_iter()
        .map(|prefix| Sorted::of(store, &prefix));
    let listings: VecDeque<_> = listings.collect();
    stream::try_unfold(listings, async |mut listings| {
        while let Some(listing) = listings.front_mut() {
            let Some(first) = listing.peek().await? else {
                listings.pop_front();
                continue;
            };
            let folder = first.key.split_inclusive('/').next().unwrap_or_default();
            let folder = folder.to_owned();
            let mut entries = listing.take_while(|key| key.starts_with(&folder)).await?;
            let is_known =
                |key: &str| Subject::parse(key).is_some() || VerdictKey::parse(key).is_some();
            entries.retain(|entry| is_known(&entry.key));
            let id = InstanceId::parse(folder.trim_end_matches('/'));
            if let (Ok(id), false) = (id, entries.is_empty()) {
                return Ok(Some((Instance { id, entries }, listings)));
            }
        }
        Ok(None)
    })
}

/// Keys have wall clocks of UTC+8, or UTC, and a text in metadata may name another zone.
const ZONES: SignedDuration = SignedDuration::from_hours(24);

/// Lists the records, markers and screenshots of one instance in a range of time, and a few beside it. It takes a request
/// for each thousand objects in the range, and one for those without a time if there are more behind it.
///
/// # Errors
/// [`StoreError`] if the store cannot be listed.
pub async fn list_range(
    store: &impl Store,
    instance_id: &InstanceId,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Listing, StoreError> {
    let prefix = RecordKey::instance_prefix(instance_id);
    let key = |time: Timestamp| format!("{prefix}{}", time.strftime("%Y%m%dT%H%M%S"));
    let first = since
        .and_then(|since| since.checked_sub(ZONES).ok())
        .map(key);
    let last = until
        .and_then(|until| until.checked_add(ZONES).ok())
        .map(key);
    let mut pages = Pages::of(store, &prefix);
    if let Some(first) = &first {
        pages = pages.after(first);
    }
    let mut listed = Vec::new();
    while let Some(page) = pages.next_page().await? {
        // Stores sort the whole listing, so all that follows is later, or has no time.
        let is_behind = store.sorts()
            && (page.last().zip(last.as_ref())).is_some_and(|(end, last)| end.key > *last);
        listed.extend(page);
        if is_behind && !pages.is_over() {
            pages = Pages::of(store, &prefix).after(&format!("{prefix}{UNDATED}"));
            while let Some(page) = pages.next_page().await? {
                listed.extend(page);
            }
            break;
        }
    }
    Ok(sorted_out(listed))
}

/// Objects by what they are, with the verdicts on records.
pub(super) fn sorted_out(mut listed: Vec<Entry>) -> Listing {
    // Pages of some stores overlap, and some do not sort.
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    listed.dedup_by(|a, b| a.key == b.key);
    let verdicts = verdicts(&listed);
    let mut listing = Listing::default();
    for Entry {
        key,
        bytes,
        stored_at,
    } in listed
    {
        if let Some(key) = RecordKey::parse(&key) {
            listing.records.push(RecordEntry {
                key,
                gzip_bytes: bytes,
                stored_at,
                verdict: None,
            });
        } else if let Some(key) = MarkerKey::parse(&key) {
            listing.markers.push(MarkerEntry {
                key,
                bytes,
                stored_at,
            });
        } else if let Some(key) = ScreenshotKey::parse(&key) {
            listing.screenshots.push(ScreenshotEntry {
                key,
                bytes,
                stored_at,
            });
        }
    }
    for record in &mut listing.records {
        record.verdict = verdicts.get(&record.key).map(|(_, freshness)| *freshness);
    }
    listing
}

/// The verdicts among listed objects, with when each was stored. Several events can judge one record: the newest
/// verdict counts.
pub(super) fn verdicts(listed: &[Entry]) -> BTreeMap<RecordKey, (Timestamp, Freshness)> {
    let mut verdicts = BTreeMap::new();
    for entry in listed {
        if let Some(key) = VerdictKey::parse(&entry.key) {
            let verdict = (entry.stored_at, key.freshness);
            let latest = verdicts.entry(key.record).or_insert(verdict);
            if latest.0 <= verdict.0 {
                *latest = verdict;
            }
        }
    }
    verdicts
}

/// Lists every object whose key starts with `prefix`.
///
/// # Errors
/// [`StoreError`] if the store cannot be listed.
pub async fn entries(store: &impl Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    store::list_all(store, prefix).await
}

impl Listing {
    /// How many records, markers and screenshots there are.
    pub fn count(&self) -> usize {
        self.records.len() + self.markers.len() + self.screenshots.len()
    }

    /// Finds the selected record, or the one `back` records before it. `None` if there is no such
    /// record.
    pub fn find(mut self, selector: &Selector, back: usize) -> Option<RecordEntry> {
        self.records.sort_by_key(RecordEntry::order);
        let is_selected = |record: &RecordEntry| selector.includes(record);
        let selected = self.records.iter().rposition(is_selected)?;
        let index = selected.checked_sub(back)?;
        Some(self.records.swap_remove(index))
    }

    /// Returns the record with the earliest update time.
    pub fn oldest(&self) -> Option<&RecordEntry> {
        self.records.iter().min_by_key(|record| record.order())
    }
}

/// Reads a record that was listed, and checks it against its key and its metadata.
///
/// # Errors
/// [`ReadError`] if the record is gone or damaged, or if the store cannot be read.
pub async fn open(store: &impl Store, key: &RecordKey) -> Result<RecordContents, ReadError> {
    let object_key = key.to_string();
    let object = store::get_listed(store, &object_key)
        .await?
        .ok_or_else(|| ReadError::Gone(store.url(&object_key)))?;
    check(store, key, object)
}

fn check(store: &impl Store, key: &RecordKey, object: Object) -> Result<RecordContents, ReadError> {
    let CheckedObject {
        plain,
        faults,
        missing,
    } = record::read(key, &object);
    let contents = RecordContents {
        plain,
        object,
        missing_metadata: missing,
    };
    if faults.is_empty() {
        return Ok(contents);
    }
    Err(ReadError::Damaged(Box::new(Damaged {
        url: store.url(&key.to_string()),
        faults,
        salvaged: contents,
    })))
}

/// A record's console, read for a search.
#[cfg(feature = "cli")]
pub struct Console {
    /// The console output as the guest wrote it.
    pub plain: Vec<u8>,
    /// The record's metadata. Empty if they were not asked for.
    pub metadata: BTreeMap<String, String>,
}

#[cfg(feature = "cli")]
impl Console {
    /// As a capture, as far as the metadata describe it.
    pub fn into_capture(self, record: &RecordEntry) -> Capture {
        let Self { plain, metadata } = self;
        let text = |name: &str| metadata.get(name).map(String::as_str);
        let time = |name: &str| text(name).and_then(|text| text.parse::<Timestamp>().ok());
        Capture {
            name: record.key.name(),
            captured_at: time("captured-at").unwrap_or(record.stored_at),
            updated_at: record.key.last_update_time,
            // ECS starts a machine with an empty console. A guest that restarts by itself has no such event.
            started_at: time("event-time").filter(|_| text("event-cause") == Some("Starting")),
            event_id: text("event-id").map(str::to_owned),
            plain,
        }
    }
}

/// Reads a record's console as fast as it can be read. That it is whole is proven by gzip's length and checksum
/// alone, not by the digest in the record's key.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "cli")]
pub async fn console(
    store: &impl Store,
    key: &RecordKey,
    wants_metadata: bool,
    unpacker: &std::cell::RefCell<record::Unpacker>,
) -> Result<Console, ReadError> {
    let object_key = key.to_string();
    let found = if wants_metadata {
        store.get(&object_key).await?
    } else {
        let body = store.body(&object_key).await?;
        body.map(|body| Object {
            body,
            content_type: String::new(),
            metadata: BTreeMap::new(),
        })
    };
    let object = store::unless_only_listed(store, &object_key, found).await?;
    let object = object.ok_or_else(|| ReadError::Gone(store.url(&object_key)))?;
    let unpacked = unpacker.borrow_mut().unpack(&object.body);
    if let Some(plain) = unpacked {
        let metadata = object.metadata;
        return Ok(Console { plain, metadata });
    }
    let RecordContents { plain, object, .. } = check(store, key, object)?;
    let metadata = object.metadata;
    Ok(Console { plain, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, stored_at: i64) -> RecordEntry {
        RecordEntry {
            key: RecordKey::parse(&format!("i-a1/{name}.log.gz")).unwrap(),
            gzip_bytes: 1,
            stored_at: Timestamp::from_second(stored_at).unwrap(),
            verdict: None,
        }
    }

    const UNDATED: &str = "undated-000000000009";
    const MORNING: &str = "20180322T080000-000000000001";
    const NOON_SHORT: &str = "20180322T120000-0000000000ff";
    const NOON_LONG: &str = "20180322T120000-000000000002";
    const NEXT_DAY: &str = "20180323T000000-000000000003";

    fn names(selector: &Selector, back: usize) -> Option<String> {
        let listing = Listing {
            records: vec![
                entry(MORNING, 1),
                entry(NOON_LONG, 3),
                entry(NOON_SHORT, 2),
                entry(NEXT_DAY, 4),
                entry(UNDATED, 5),
            ],
            ..Listing::default()
        };
        listing.find(selector, back).map(|found| found.key.name())
    }

    #[track_caller]
    fn check(selector: &Selector, name: Option<&str>) {
        assert_eq!(names(selector, 0).as_deref(), name, "{selector:?}");
    }

    #[test]
    fn the_latest_has_the_greatest_update_time() {
        check(&Selector::Latest, Some(NEXT_DAY));
    }

    /// The times in names are in UTC+8.
    #[test]
    fn a_moment_means_the_newest_not_after_it() {
        let not_after = |time: &str| Selector::NotAfter(time.parse().unwrap());
        check(&not_after("2018-03-22T04:00:00Z"), Some(NOON_LONG));
        check(&not_after("2018-03-22T03:59:59Z"), Some(MORNING));
        check(&not_after("2018-03-22T00:00:00Z"), Some(MORNING));
        check(&not_after("2018-03-21T23:59:59Z"), None);
        check(&not_after("2018-03-22T15:59:59Z"), Some(NOON_LONG));
        check(&not_after("2030-01-01T00:00:00Z"), Some(NEXT_DAY));
    }

    #[test]
    fn a_name_means_that_record_and_no_other() {
        for name in [NOON_SHORT, UNDATED] {
            check(&Selector::name(name).unwrap(), Some(name));
        }
        check(
            &Selector::name("20180322T120000-0000000000aa").unwrap(),
            None,
        );
        for text in ["", "20180322T120000", "latest", "../x-000000000001"] {
            assert_eq!(Selector::name(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_one_before_is_the_one_with_the_next_smaller_time() {
        let before: Vec<_> = (0..6).map(|back| names(&Selector::Latest, back)).collect();
        let expected = [NEXT_DAY, NOON_LONG, NOON_SHORT, MORNING, UNDATED];
        let mut expected: Vec<_> = expected.map(|name| Some(name.to_owned())).into();
        expected.push(None);
        assert_eq!(before, expected);
        let noon = Selector::name(NOON_SHORT).unwrap();
        assert_eq!(names(&noon, 1).as_deref(), Some(MORNING));
    }
}
