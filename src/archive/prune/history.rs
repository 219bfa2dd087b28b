//! What is decided about: the boots of an instance, by all of its records.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::AT_ONCE;
use super::policy::Facts;
use crate::archive::key::RecordKey;
use crate::archive::reader::{self, Console, ReadError, RecordEntry};
use crate::reading::stitch::{Boot, Stitcher};
use crate::store::{Store, StoreError};

/// A boot, as far as a decision needs it.
pub(super) struct KnownBoot {
    pub id: String,
    pub facts: Facts,
    /// When its first part was captured.
    pub first: Timestamp,
    /// Names of its records, the oldest first.
    pub captures: Vec<String>,
    /// Its log, as a number by which a change is seen.
    pub log: u64,
    /// It begins where its first record does. So nothing that was captured before has a part in it.
    pub begins_alone: bool,
}

/// What was read of an instance.
#[derive(Default)]
pub(super) struct History {
    /// Its boots, the oldest first.
    pub boots: Vec<KnownBoot>,
    /// Records that are damaged, or that cannot be read.
    pub damaged: Vec<RecordKey>,
    /// Records that were removed after they were listed.
    pub gone: Vec<RecordKey>,
    /// Names of records that do not say when they were captured.
    undated: BTreeSet<String>,
    /// The last boot, which another may follow.
    last: Option<Boot>,
}

/// Reads the boots that these records show, one capture after the other.
pub(super) async fn read(
    store: &impl Store,
    records: impl IntoIterator<Item = &RecordEntry>,
) -> Result<History, StoreError> {
    // They are nearly always stored in the order in which they were captured.
    let mut records: Vec<_> = records
        .into_iter()
        .filter(|record| !record.key.is_undecoded)
        .collect();
    records.sort_by_key(|record| record.stored_at);
    if let Some(history) = read_in_order(store, &records).await? {
        return Ok(history);
    }
    // Not in an archive that was copied, nor where one was followed for longer than another.
    let captured_at = records.iter().map(async |record| {
        let metadata = store.metadata(&record.key.to_string()).await?;
        Ok::<_, StoreError>(metadata.and_then(|metadata| captured_at(&metadata)))
    });
    let captured_at = stream::iter(captured_at).buffered(AT_ONCE);
    let captured_at: Vec<_> = captured_at.try_collect().await?;
    let mut records: Vec<_> = records.into_iter().zip(captured_at).collect();
    records.sort_by_key(|(record, captured_at)| {
        let captured_at = captured_at.unwrap_or(record.stored_at);
        (captured_at, record.key.last_update_time, record.key.name())
    });
    let records: Vec<_> = records.into_iter().map(|(record, _)| record).collect();
    let history = read_in_order(store, &records).await?;
    let told = "the times of records change while they are read".to_owned();
    history.ok_or(StoreError::Unavailable(told))
}

fn captured_at(metadata: &BTreeMap<String, String>) -> Option<Timestamp> {
    metadata.get("captured-at")?.parse().ok()
}

/// The same of records in this order. `None` if they were not captured in it.
async fn read_in_order(
    store: &impl Store,
    records: &[&RecordEntry],
) -> Result<Option<History>, StoreError> {
    let mut history = History::default();
    let mut stitcher = Stitcher::default();
    let mut before = None;
    let opened = records.iter().map(async |record| {
        let opened = reader::open(store, &record.key).await;
        (*record, opened)
    });
    let mut opened = stream::iter(opened).buffered(AT_ONCE);
    while let Some((record, opened)) = opened.next().await {
        let contents = match opened {
            Ok(contents) => contents,
            Err(ReadError::Store(error)) if !error.is_of_object() => return Err(error),
            Err(ReadError::Gone(_)) => {
                history.gone.push(record.key.clone());
                continue;
            }
            Err(ReadError::Store(_) | ReadError::Damaged(_)) => {
                history.damaged.push(record.key.clone());
                continue;
            }
        };
        let (plain, metadata) = (contents.plain, contents.object.metadata);
        if captured_at(&metadata).is_none() {
            history.undated.insert(record.key.name());
        }
        let capture = Console { plain, metadata }.into_capture(record);
        let order = (
            capture.captured_at,
            capture.updated_at,
            capture.name.clone(),
        );
        if before.as_ref().is_some_and(|before| *before > order) {
            return Ok(None);
        }
        before = Some(order);
        for boot in stitcher.push(capture) {
            history.add(boot);
        }
    }
    for boot in stitcher.finish() {
        history.add(boot);
    }
    if let Some(last) = history.last.take() {
        history.add_known(&last, true);
    }
    Ok(Some(history))
}

impl History {
    fn add(&mut self, boot: Boot) {
        if let Some(before) = self.last.replace(boot) {
            self.add_known(&before, false);
        }
    }

    fn add_known(&mut self, boot: &Boot, is_newest: bool) {
        let times = boot.captures.iter().map(|capture| capture.captured_at);
        let captures = boot.captures.iter().map(|capture| capture.name.clone());
        let captures: Vec<_> = captures.collect();
        let is_dated = |name: &String| !self.undated.contains(name);
        let first_piece = boot.pieces.first();
        let begins_with_record =
            first_piece.is_some_and(|piece| (piece.capture, piece.offset) == (0, 0));
        let mut log = DefaultHasher::new();
        boot.log.hash(&mut log);
        self.boots.push(KnownBoot {
            id: boot.id.clone(),
            facts: Facts {
                time: (times.clone().max()).filter(|_| captures.iter().all(is_dated)),
                ending: boot.ending(is_newest),
            },
            first: times.min().unwrap_or(Timestamp::MIN),
            captures,
            log: log.finish(),
            begins_alone: boot.start.is_some() && begins_with_record,
        });
    }

    /// Whether what is left may show other boots than those that stay, by their places: `stays` says of each boot
    /// whether it does, and `shared` how many of its records stay although it goes.
    ///
    /// It shows the same where all that goes is older than all that stays, and nothing connects the two.
    pub fn may_change(&self, stays: &[bool], shared: &[usize]) -> bool {
        let Some(oldest) = stays.iter().position(|stays| *stays) else {
            return true;
        };
        let (go, stay) = stays.split_at(oldest);
        let is_whole =
            stay.iter().all(|stays| *stays) && shared[..go.len()].iter().all(|n| *n == 0);
        !(is_whole && self.boots[oldest].begins_alone)
    }

    /// Boots that must stay as well, by their places, because without them the records that are left would show other
    /// boots than before: `left` is what they show.
    ///
    /// Each boot that stays must be the same. Each other one may only be a rest of one boot.
    pub fn needed(&self, stays: &[bool], left: &Self) -> BTreeSet<usize> {
        let boots = &self.boots;
        let by_id: BTreeMap<&str, &KnownBoot> = (left.boots.iter())
            .map(|boot| (boot.id.as_str(), boot))
            .collect();
        let goes = |place: &usize| stays.get(*place) == Some(&false);
        let (mut needed, mut is_other) = (BTreeSet::new(), false);
        for (place, boot) in boots.iter().enumerate().filter(|(place, _)| stays[*place]) {
            let there = by_id.get(boot.id.as_str());
            if !there.is_some_and(|there| there.log == boot.log && there.facts == boot.facts) {
                is_other = true;
                needed.extend(
                    [place.wrapping_sub(1), place + 1]
                        .iter()
                        .filter(|beside| goes(beside)),
                );
            }
        }
        let mut shown: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (place, boot) in boots.iter().enumerate() {
            for name in &boot.captures {
                shown.entry(name).or_default().insert(place);
            }
        }
        for rest in &left.boots {
            let places = rest
                .captures
                .iter()
                .filter_map(|name| shown.get(name.as_str()));
            let common = places.clone().cloned().reduce(|a, b| &a & &b);
            if common.is_none_or(|common| common.is_empty()) {
                is_other = true;
                needed.extend(places.flatten().filter(|place| goes(place)));
            }
        }
        if is_other && needed.is_empty() {
            needed.extend((0..boots.len()).filter(goes)); // Whatever the reason, nothing is lost.
        }
        needed
    }
}
