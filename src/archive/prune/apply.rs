//! A plan → what is gone: for each boot, rows that say that it is pruned, and then its records.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::AT_ONCE;
use super::plan::{Plan, Removal, Sum};
use crate::archive::catalog::Row;
use crate::archive::catalog::hidden::still_there;
use crate::archive::catalog::read::Catalog;
use crate::model::ids::InstanceId;
use crate::store::{Entry, Store, StoreError};

/// When the rows of a record or marker say that it was captured, first and last: one for each day that has a row.
pub(super) type RowTimes = BTreeMap<String, Vec<(Timestamp, Timestamp)>>;

/// The rows of these instances that do not say yet that their objects are pruned.
pub(super) async fn rows_of(
    store: &impl Store,
    ids: BTreeSet<&InstanceId>,
) -> Result<RowTimes, StoreError> {
    let mut times = RowTimes::new();
    let catalog = Catalog::open(store, Timestamp::MIN..=Timestamp::MAX).await?;
    let read = catalog.read(|day| {
        let rows = day.rows.into_iter();
        for row in rows.filter(|row| ids.contains(&row.instance_id) && !row.is_pruned()) {
            let last = row.last_captured_at.unwrap_or(row.captured_at);
            let times = times.entry(row.subject.key()).or_default();
            times.push((row.captured_at, last.max(row.captured_at)));
        }
        Ok::<_, StoreError>(())
    });
    read.await?;
    Ok(times)
}

/// What was done to an instance.
#[derive(Default)]
pub(super) struct Applied {
    pub removed: Sum,
    /// Keys of objects that may not be removed, and why.
    pub locked: Vec<(String, String)>,
    /// Rows that say that something is pruned, and that a full disk does not take.
    pub unwritten: Vec<Row>,
}

/// Removes what goes of an instance. `rows` is what the catalog says of it, and `clock` says when it is marked.
pub(super) async fn apply(
    store: &impl Store,
    plan: &Plan,
    rows: &RowTimes,
    clock: &dyn Fn() -> Timestamp,
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    for group in plan.groups() {
        let now = clock();
        let pruned: Vec<_> = group
            .iter()
            .flat_map(|removal| pruned_rows(removal, rows, now))
            .collect();
        applied.mark(store, &pruned).await?;
        for (index, removal) in group.iter().enumerate() {
            let key = removal.subject.key();
            if let Some(why) = remove(store, &key).await? {
                // The rest of the boot stays with it, and is listed again.
                let left = &group[index..];
                let stays = |row: &Row| left.iter().any(|one| one.subject == row.subject);
                let there = pruned.iter().filter(|row| stays(row));
                let there = there.filter_map(|row| {
                    still_there(row.subject.clone(), row.captured_at, row.pruned_at?)
                });
                applied.mark(store, &there.collect::<Vec<_>>()).await?;
                applied
                    .locked
                    .extend(left.iter().map(|one| (one.subject.key(), why.clone())));
                break;
            }
            applied.removed += Sum {
                objects: 1,
                bytes: removal.bytes,
            };
            applied.remove_entries(store, &removal.beside).await?;
            let unwritten = std::mem::take(&mut applied.unwritten);
            applied.mark(store, &unwritten).await?;
        }
    }
    applied.remove_entries(store, &plan.orphans).await?;
    let unwritten = std::mem::take(&mut applied.unwritten);
    applied.mark(store, &unwritten).await?;
    Ok(applied)
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

    async fn remove_entries(
        &mut self,
        store: &impl Store,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        for entry in entries {
            match remove(store, &entry.key).await? {
                None => {
                    self.removed += Sum {
                        objects: 1,
                        bytes: entry.bytes,
                    }
                }
                Some(why) => self.locked.push((entry.key.clone(), why)),
            }
        }
        Ok(())
    }
}

/// Removes an object; why it may not be removed, if that is so.
async fn remove(store: &impl Store, key: &str) -> Result<Option<String>, StoreError> {
    match store.delete(key).await {
        Ok(()) => Ok(None),
        Err(error) if error.is_lock() => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The rows that say that an object was pruned: one for each day that has a row of it.
fn pruned_rows(removal: &Removal, rows: &RowTimes, now: Timestamp) -> Vec<Row> {
    let times = rows.get(&removal.subject.key());
    let times = times.into_iter().flatten();
    let row = |(captured_at, last): &(Timestamp, Timestamp)| {
        // A machine's clock may have been ahead of this one's.
        Row::pruned(removal.subject.clone(), *captured_at, now.max(*last))
    };
    times.map(row).collect()
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
        let rows = RowTimes::from([(subject.key(), vec![(now, later)])]);
        let there = Row::still_there(subject, now, later);
        for pruned in pruned_rows(&removal, &rows, now) {
            assert!(there.clone().join(pruned).is_pruned());
        }
    }
}
