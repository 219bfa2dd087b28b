//! A plan → what is gone: for each boot, rows that say that it is pruned, and then its records.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::plan::{Plan, Removal, Sum};
use super::{AT_ONCE, TRIED_AGAIN_AFTER};
use crate::archive::catalog::Row;
use crate::archive::catalog::hidden::{TwoTimes, refused, refused_at, still_there};
use crate::archive::catalog::read::Catalog;
use crate::model::ids::InstanceId;
use crate::store::spool::TemporaryError;
use crate::store::{Entry, Removed, Store, StoreError};

/// Objects of the catalog that cannot be read, and why.
pub(super) type Unreadable = Vec<(String, String)>;

/// What the catalog says of objects that are not said to be pruned.
#[derive(Default)]
pub(super) struct Known {
    /// When each was captured, first and last: one pair for each day that has a row.
    times: TwoTimes,
    /// When the store refused to remove it last: twice the same time.
    refused: TwoTimes,
}

impl Known {
    /// The latest of the times at which the store refused to remove any of these objects, if that is later than this.
    fn refused_since(
        &self,
        group: &[Removal],
        since: Timestamp,
    ) -> Result<Option<Timestamp>, TemporaryError> {
        let mut latest = None;
        for removal in group {
            let times = self.refused.of(&removal.subject.key())?.into_iter();
            latest = latest.max(times.map(|(at, _)| at).max());
        }
        Ok(latest.filter(|at| *at > since))
    }
}

/// What the catalog knows of these instances, and what of it cannot be read.
pub(super) async fn known_of(
    store: &impl Store,
    ids: BTreeSet<&InstanceId>,
) -> Result<(Known, Unreadable), StoreError> {
    let (mut known, mut unreadable) = (Known::default(), Unreadable::new());
    let catalog = Catalog::open(store, Timestamp::MIN..=Timestamp::MAX).await?;
    let read = catalog.read(|day| {
        let damaged = day.damaged.into_iter();
        unreadable.extend(damaged.map(|(key, why)| (key, why.to_string())));
        let rows = day.rows.into_iter();
        for row in rows.filter(|row| ids.contains(&row.instance_id) && !row.is_pruned()) {
            let last = row.last_captured_at.unwrap_or(row.captured_at);
            let last = last.max(row.captured_at);
            let key = row.subject.key();
            known.times.add(&key, row.captured_at, last)?;
            if let Some(at) = refused_at(&row) {
                known.refused.add(&key, at, at)?;
            }
        }
        Ok::<_, StoreError>(())
    });
    read.await?;
    Ok((known, unreadable))
}

/// What was done to an instance.
#[derive(Default)]
pub(super) struct Applied {
    pub removed: Sum,
    /// Removed objects that the bucket keeps as earlier versions.
    pub versions: u64,
    /// Keys of objects that may not be removed, and why.
    pub locked: Vec<(String, String)>,
    /// How many of them were not tried: the store refused to remove them not long ago.
    pub waiting: u64,
    /// Rows that say that something is pruned, and that a full disk does not take.
    pub unwritten: Vec<Row>,
}

/// Removes what goes of an instance. `known` is what the catalog says of it, and `clock` says when it is marked. What the
/// store refused to remove since `refused_since` is not tried again: each time, that would take rows that say that it is
/// pruned, and rows that take it back.
///
/// Boots go side by side, as many as the store removes in one request: the first record of each, then the second of
/// each.
pub(super) async fn apply(
    store: &impl Store,
    plan: &Plan,
    known: &Known,
    refused_since: Timestamp,
    clock: &dyn Fn() -> Timestamp,
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    let mut groups = Vec::new();
    for group in plan.groups().filter(|group| !group.is_empty()) {
        match known.refused_since(group, refused_since)? {
            Some(at) => applied.waits(group, at),
            None => groups.push(group),
        }
    }
    for groups in groups.chunks(store.removes_at_once().max(1)) {
        let now = clock();
        let mut pruned = Vec::new();
        for removal in groups.iter().copied().flatten() {
            pruned.extend(pruned_rows(removal, &known.times, now)?);
        }
        applied.mark(store, &pruned).await?;
        let mut left = groups.to_vec();
        let mut beside: Vec<&Entry> = Vec::new();
        while !(left.is_empty() && beside.is_empty()) {
            let verdicts = beside.drain(..).map(Going::entry);
            let firsts = left.iter().filter_map(|group| group.first());
            let going: Vec<_> = verdicts.chain(firsts.map(Going::removal)).collect();
            let mut not_removed = applied.remove(store, &going).await?;
            let mut there = Vec::new();
            left.retain(|group| {
                let first = group.first().map(|first| first.subject.key());
                let Some(kept) = first.and_then(|key| not_removed.remove(&key)) else {
                    return true;
                };
                let take_back = if kept.is_refused {
                    refused
                } else {
                    still_there
                };
                // The rest of the boot stays with it, and is listed again.
                let stays = |row: &&Row| group.iter().any(|one| one.subject == row.subject);
                there.extend(pruned.iter().filter(stays).filter_map(|row| {
                    take_back(row.subject.clone(), row.captured_at, row.pruned_at?)
                }));
                let keys = group.iter().map(|removal| removal.subject.key());
                applied
                    .locked
                    .extend(keys.map(|key| (key, kept.why.clone())));
                false
            });
            applied.keep(not_removed);
            applied.mark(store, &there).await?;
            for group in &mut left {
                if let Some((first, rest)) = group.split_first() {
                    beside.extend(&first.beside);
                    *group = rest;
                }
            }
            left.retain(|group| !group.is_empty());
            applied.mark_again(store).await?;
        }
    }
    let orphans: Vec<_> = plan.orphans.iter().map(Going::entry).collect();
    let refused = applied.remove(store, &orphans).await?;
    applied.keep(refused);
    applied.mark_again(store).await?;
    Ok(applied)
}

/// Why an object was not removed.
struct NotRemoved {
    why: String,
    /// Whether it may not be removed. Else the store failed at it, and may not the next time.
    is_refused: bool,
}

/// An object that goes: its key, and its length.
struct Going {
    key: String,
    bytes: u64,
}

impl Going {
    fn removal(removal: &Removal) -> Self {
        Self {
            key: removal.subject.key(),
            bytes: removal.bytes,
        }
    }

    fn entry(entry: &Entry) -> Self {
        Self {
            key: entry.key.clone(),
            bytes: entry.bytes,
        }
    }
}

impl Applied {
    /// Notes that a boot is not tried, because the store refused to remove something of it at this time.
    fn waits(&mut self, group: &[Removal], at: Timestamp) {
        let again = at.checked_add(TRIED_AGAIN_AFTER).unwrap_or(at);
        let why = format!(
            "its removal was refused at {at}; it is tried again from {again} on, or now with --retry-locked"
        );
        self.waiting += group.len() as u64;
        let keys = group.iter().map(|removal| removal.subject.key());
        self.locked.extend(keys.map(|key| (key, why.clone())));
    }

    fn keep(&mut self, not_removed: BTreeMap<String, NotRemoved>) {
        let kept = not_removed.into_iter().map(|(key, kept)| (key, kept.why));
        self.locked.extend(kept);
    }

    /// Writes rows. Those for which a full disk has no space wait until something is removed.
    async fn mark(&mut self, store: &impl Store, rows: &[Row]) -> Result<(), StoreError> {
        match put(store, rows).await {
            Err(error) if error.is_full() => self.unwritten.extend_from_slice(rows),
            put => put?,
        }
        Ok(())
    }

    /// Writes the rows that wait for space.
    async fn mark_again(&mut self, store: &impl Store) -> Result<(), StoreError> {
        let unwritten = std::mem::take(&mut self.unwritten);
        self.mark(store, &unwritten).await
    }

    /// Removes objects. Returns the keys of those that may not be removed, and why.
    async fn remove(
        &mut self,
        store: &impl Store,
        going: &[Going],
    ) -> Result<BTreeMap<String, NotRemoved>, StoreError> {
        let mut refused = BTreeMap::new();
        for going in going.chunks(store.removes_at_once().max(1)) {
            let keys: Vec<_> = going.iter().map(|one| one.key.clone()).collect();
            let removed = store.delete_all(&keys).await?;
            for (one, removed) in going.iter().zip(removed) {
                match removed {
                    Ok(removed) => {
                        self.versions += u64::from(removed == Removed::Version);
                        self.removed += Sum {
                            objects: 1,
                            bytes: one.bytes,
                        };
                    }
                    Err(error) if error.is_lock() => {
                        let is_of_now =
                            matches!(&error, StoreError::OfObject(error) if error.is_transient());
                        let kept = NotRemoved {
                            why: error.to_string(),
                            is_refused: !is_of_now,
                        };
                        refused.insert(one.key.clone(), kept);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(refused)
    }
}

/// Writes rows for which there was no space before. Returns how many there is none for now, either.
pub(super) async fn write_left(store: &impl Store, rows: &[Row]) -> Result<u64, StoreError> {
    let mut left = 0;
    for row in rows {
        match put(store, std::slice::from_ref(row)).await {
            Err(error) if error.is_full() => left += 1,
            put => put?,
        }
    }
    Ok(left)
}

/// The rows that say that an object was pruned: one for each day that has a row of it.
fn pruned_rows(
    removal: &Removal,
    rows: &TwoTimes,
    now: Timestamp,
) -> Result<Vec<Row>, TemporaryError> {
    let times = rows.of(&removal.subject.key())?.into_iter();
    let row = |(captured_at, last): (Timestamp, Timestamp)| {
        // A machine's clock may have been ahead of this one's.
        Row::pruned(removal.subject.clone(), captured_at, now.max(last))
    };
    Ok(times.map(row).collect())
}

async fn put(store: &impl Store, rows: &[Row]) -> Result<(), StoreError> {
    let puts = rows.iter().map(async |row| {
        let (key, object) = row.packed();
        store.put_if_absent(&key, &object).await.map(drop)
    });
    stream::iter(puts)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::catalog::Subject;

    /// As after a copy that brought it back a moment ago, or by the clock of another machine.
    #[test]
    fn a_row_of_a_later_capture_is_hidden_too() {
        let subject = Subject::parse("i-a1/20180322T100457-0123456789ab.log.gz").unwrap();
        let (now, later) = (
            Timestamp::UNIX_EPOCH,
            "1970-01-01T09:00:00Z".parse().unwrap(),
        );
        let removal = Removal {
            subject: subject.clone(),
            because: None,
            bytes: 1,
            beside: Vec::new(),
        };
        let mut rows = TwoTimes::default();
        rows.add(&subject.key(), now, later).unwrap();
        let there = Row::still_there(subject, now, later);
        let pruned = pruned_rows(&removal, &rows, now).unwrap();
        assert_eq!(pruned.len(), 1);
        for pruned in pruned {
            assert!(there.clone().join(pruned).is_pruned());
        }
    }
}
