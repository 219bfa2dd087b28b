//! Two listings, side by side.

use std::cell::Cell;

use futures_util::{Stream, stream};

use super::CopyError;
use crate::store::sorted::Sorted;
use crate::store::{Entry, Store};

/// What both archives have under keys that begin alike.
#[derive(Debug, Default)]
pub struct Group {
    pub source: Vec<Entry>,
    pub there: Vec<Entry>,
}

/// Groups of objects whose keys have the same `stem`, in order. The keys of a group stand together in a sorted
/// listing. `is_partial` is set if a part of one of the archives cannot be listed.
pub fn groups<'a, S: Store, T: Store>(
    source: Sorted<'a, S>,
    to: Sorted<'a, T>,
    stem: fn(&str) -> &str,
    is_partial: &'a Cell<bool>,
) -> impl Stream<Item = Result<Group, CopyError>> + 'a {
    stream::try_unfold((source, to), move |(mut source, mut to)| async move {
        let ours = source.peek().await.map_err(CopyError::Source)?;
        let theirs = to.peek().await.map_err(CopyError::Destination)?;
        let first = ours.into_iter().chain(theirs).map(|entry| &entry.key).min();
        let Some(first) = first.map(|key| stem(key).to_owned()) else {
            is_partial.set(is_partial.get() || source.is_partial() || to.is_partial());
            return Ok(None);
        };
        let is_of_group = |key: &str| stem(key) == first;
        let ours = source.take_while(is_of_group).await;
        let theirs = to.take_while(is_of_group).await;
        let group = Group {
            source: ours.map_err(CopyError::Source)?,
            there: theirs.map_err(CopyError::Destination)?,
        };
        Ok(Some((group, (source, to))))
    })
}
