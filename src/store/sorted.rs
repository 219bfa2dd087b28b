//! A listing, entry by entry, in the order of keys.

use std::collections::{BTreeMap, VecDeque};

use super::{Entry, Pages, Store, StoreError};

/// A listing in the order of keys. A page of it is in memory; all of it, if the store does not sort.
pub struct Sorted<'a, S> {
    store: &'a S,
    pages: Pages<'a, S>,
    waiting: VecDeque<Entry>,
    may_be_missing: bool,
    is_over: bool,
}

impl<'a, S: Store> Sorted<'a, S> {
    /// All keys that start with `prefix`.
    pub fn of(store: &'a S, prefix: &str) -> Self {
        Self {
            store,
            pages: Pages::of(store, prefix),
            waiting: VecDeque::new(),
            may_be_missing: false,
            is_over: false,
        }
    }

    /// A folder that does not exist counts as empty: it is made with its first object.
    pub fn or_nothing(self) -> Self {
        Self {
            may_be_missing: true,
            ..self
        }
    }

    /// Whether a part of what is there could not be listed, so far.
    pub fn is_partial(&self) -> bool {
        self.pages.is_partial
    }

    /// The next entry, which stays the next one. `None` behind the last.
    ///
    /// # Errors
    /// As [`Pages::next_page`].
    pub async fn peek(&mut self) -> Result<Option<&Entry>, StoreError> {
        while self.waiting.is_empty() && !self.is_over {
            match self.more().await {
                Ok(Some(entries)) => self.waiting.extend(entries),
                Ok(None) => self.is_over = true,
                Err(StoreError::NoFolder(_)) if self.may_be_missing => self.is_over = true,
                Err(error) => return Err(error),
            }
        }
        Ok(self.waiting.front())
    }

    /// Takes entries as long as their keys are these.
    ///
    /// # Errors
    /// As [`Pages::next_page`].
    pub async fn take_while(
        &mut self,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut taken = Vec::new();
        while self.peek().await?.is_some_and(|entry| is_taken(&entry.key)) {
            taken.extend(self.waiting.pop_front());
        }
        Ok(taken)
    }

    async fn more(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        if self.store.sorts() {
            return self.pages.next_page().await;
        }
        let mut all = BTreeMap::new();
        while let Some(page) = self.pages.next_page().await? {
            all.extend(page.into_iter().map(|entry| (entry.key.clone(), entry)));
        }
        self.is_over = true;
        Ok(Some(all.into_values().collect()))
    }
}
