//! A plan → what is gone: for each boot, rows that say that it is pruned, and then its records.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::AT_ONCE;
use super::plan::{Plan, Removal, Sum};
use crate::archive::catalog::Row;
use crate::archive::catalog::hidden::{TwoTimes, still_there};
use crate::archive::catalog::read::Catalog;
use crate::model::ids::InstanceId;
use crate::store::spool::TemporaryError;
use crate::store::{Entry, Removed, Store, StoreError};

/// Objects of the catalog that cannot be read, and why.
pub(super) type Unreadable = Vec<(String, String)>;

/// When the rows of these instances that do not say yet that their objects are pruned say that they were captured, first
/// and last: one for each day that has a row. And what cannot be read of the catalog.
pub(super) async fn rows_of(
    store: &impl Store,
    ids: BTreeSet<&InstanceId>,
) -> Result<(TwoTimes, Unreadable), StoreError> {
    let (mut times, mut unreadable) = (TwoTimes::default(), Unreadable::new());
    let catalog = Catalog::open(store, Timestamp::MIN..=Timestamp::MAX).await?;
    let read = catalog.read(|day| {
        let damaged = day.damaged.into_iter();
        unreadable.extend(damaged.map(|(key, why)| (key, why.to_string())));
        let rows = day.rows.into_iter();
        for row in rows.filter(|row| ids.contains(&row.instance_id) && !row.is_pruned()) {
            let last = row.last_captured_at.unwrap_or(row.captured_at);
            let last = last.max(row.captured_at);
            times.add(&row.subject.key(), row.captured_at, last)?;
        }
        Ok::<_, StoreError>(())
    });
    read.await?;
    Ok((times, unreadable))
}

/// What was done to an instance.
#[derive(Default)]
pub(super) struct Applied {
    pub removed: Sum,
    /// Removed objects that the bucket keeps as earlier versions.
    pub versions: u64,
    /// Keys of objects that may not be removed, and why.
    pub locked: Vec<(String, String)>,
    /// Rows that say that something is pruned, and that a full disk does not take.
    pub unwritten: Vec<Row>,
}

/// Removes what goes of an instance. `rows` is what the catalog says of it, and `clock` says when it is marked.
///
/// Boots go side by side, as many as the store removes in one request: the first record of each, then the second of
/// each.
pub(super) async fn apply(
    store: &impl Store,
    plan: &Plan,
    rows: &TwoTimes,
    clock: &dyn Fn() -> Timestamp,
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    let groups: Vec<_> = plan.groups().filter(|group| !group.is_empty()).collect();
    for groups in groups.chunks(store.removes_at_once().max(1)) {
        let now = clock();
        let mut pruned = Vec::new();
        for removal in groups.iter().copied().flatten() {
            pruned.extend(pruned_rows(removal, rows, now)?);
        }
        applied.mark(store, &pruned).await?;
        let mut left = groups.to_vec();
        let mut beside: Vec<&Entry> = Vec::new();
        while !(left.is_empty() && beside.is_empty()) {
            let verdicts = beside.drain(..).map(Going::entry);
            let firsts = left.iter().filter_map(|group| group.first());
            let going: Vec<_> = verdicts.chain(firsts.map(Going::removal)).collect();
            let mut refused = applied.remove(store, &going).await?;
            let mut there = Vec::new();
            left.retain(|group| {
                let first = group.first().map(|first| first.subject.key());
                let Some(why) = first.and_then(|key| refused.remove(&key)) else {
                    return true;
                };
                // The rest of the boot stays with it, and is listed again.
                let stays = |row: &&Row| group.iter().any(|one| one.subject == row.subject);
                there.extend(pruned.iter().filter(stays).filter_map(|row| {
                    still_there(row.subject.clone(), row.captured_at, row.pruned_at?)
                }));
                let keys = group.iter().map(|removal| removal.subject.key());
                applied.locked.extend(keys.map(|key| (key, why.clone())));
                false
            });
            applied.locked.extend(refused);
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
    applied.locked.extend(refused);
    applied.mark_again(store).await?;
    Ok(applied)
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
    ) -> Result<BTreeMap<String, String>, StoreError> {
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
                        refused.insert(one.key.clone(), error.to_string());
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
