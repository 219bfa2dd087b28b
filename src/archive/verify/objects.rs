//! What an archive has: each object is listed, and read if it is asked for.

use std::cell::{Cell, RefCell};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;

use super::rows::Says;
use super::scope::Scope;
use super::{AT_ONCE, Fault, IN_PROGRESS, Named, Run, Told, VerifyError, day_of, of_object};
use crate::archive::record::Unpacker;
use crate::archive::record::facts::{CLOCKS, captured_after_storing, earlier};
use crate::model::ids::InstanceId;
use crate::store::directory::METADATA_SUFFIX;
use crate::store::{self, Entry, Pages, Store, StoreError, Stray, StrayKind, folder_advice};

pub(super) const FOREIGN: &str = "no object of an archive has such a key";

/// What became of a listed object.
enum Checked {
    /// Somebody has removed it since.
    Gone,
    /// It was not read.
    Unread,
    /// With what a record, marker or screenshot says of itself, if it was read.
    Whole(Option<Box<Says>>),
    Faulty(Fault, String),
}

impl<S: Store, F, E: From<VerifyError>> Run<'_, S, F>
where
    F: FnMut(Told) -> Result<(), E>,
{
    /// Lists what is there, and reads it.
    pub(super) async fn read_objects(&mut self, prefix: &str) -> Result<(), E> {
        let (store, scope) = (self.store, self.scope);
        let is_partial = Cell::new(false);
        let unpacker = RefCell::new(Unpacker::default());
        let pages = stream::try_unfold(Pages::of(store, prefix), async |mut pages| {
            let page = pages.next_page().await?;
            is_partial.set(is_partial.get() | pages.is_partial);
            let entries = page.map(|page| stream::iter(page).map(Ok::<_, StoreError>));
            Ok::<_, StoreError>(entries.map(|entries| (entries, pages)))
        });
        let checks = pages.try_flatten().map_ok(|entry| {
            let named = Named::parse(&entry.key);
            let is_asked_for = is_asked_for(scope, &entry.key, named.as_ref())
                && scope.is_since(entry.stored_at, CLOCKS);
            let unpacker = &unpacker;
            async move {
                if !is_asked_for {
                    return Ok(None);
                }
                let checked = match &named {
                    None => Checked::Faulty(Fault::Foreign, FOREIGN.to_owned()),
                    Some(named) => check(store, scope, named, &entry, unpacker).await?,
                };
                Ok(Some((entry, named, checked)))
            }
        });
        let mut checks = std::pin::pin!(checks.try_buffered(AT_ONCE));
        while let Some(checked) = checks.try_next().await.map_err(VerifyError::from)? {
            if let Some((entry, named, checked)) = checked {
                self.listed(&entry, named.as_ref(), checked)?;
            }
        }
        self.done.is_partial |= is_partial.get();
        Ok(())
    }

    fn listed(&mut self, entry: &Entry, named: Option<&Named>, checked: Checked) -> Result<(), E> {
        if matches!(checked, Checked::Gone) {
            return Ok(());
        }
        let noted = match named {
            Some(Named::Record(_) | Named::Marker(_) | Named::Screenshot(_)) => {
                self.oldest = self.oldest.min(entry.stored_at);
                let says = match &checked {
                    Checked::Whole(says) => says.clone(),
                    _ => None,
                };
                self.facts.listed(entry, says)
            }
            Some(Named::Verdict(key)) => self.facts.verdict(key),
            // A file may have the place of a folder of the catalog.
            None => {
                self.note_unseen(&entry.key);
                Ok(())
            }
            _ => Ok(()),
        };
        noted.map_err(VerifyError::from)?;
        self.done.listed += 1;
        let is_since = (self.scope).is_since(entry.stored_at, SignedDuration::ZERO);
        self.done.listed_since += u64::from(is_since);
        match checked {
            Checked::Gone | Checked::Unread => return Ok(()),
            Checked::Whole(_) => {}
            Checked::Faulty(..) if self.taken.contains(&entry.key) => {}
            Checked::Faulty(fault, detail) => self.found(&entry.key, fault, detail)?,
        }
        self.done.checked += 1;
        (self.told)(Told::Checked(self.done.checked))
    }

    /// Finds what no listing has: what was left behind, and what has the place of an object.
    pub(super) async fn read_strays(&mut self, prefix: &str) -> Result<(), E> {
        let strays = self.store.strays(prefix).await;
        for stray in strays.map_err(VerifyError::from)? {
            let named = Named::parse(&stray.key);
            let is_folder = matches!(stray.kind, StrayKind::Unlistable(_));
            let is_asked_for = is_asked_for(self.scope, &stray.key, named.as_ref())
                && (is_folder || self.scope.is_since(stray.modified_at, CLOCKS));
            // A writer may be at it still.
            let is_in_progress = matches!(stray.kind, StrayKind::Leftover | StrayKind::Metadata)
                && stray.modified_at > earlier(self.now, IN_PROGRESS);
            if is_asked_for && !is_in_progress && !self.taken.contains(&stray.key) {
                self.stray(stray)?;
            }
        }
        Ok(())
    }

    /// Tells what something is that no listing has.
    pub(super) fn stray(&mut self, stray: Stray) -> Result<(), E> {
        let Stray { key, kind, .. } = stray;
        match (kind, Named::parse(&key)) {
            (StrayKind::Leftover, _) => {
                let told = "a writer that was killed left it; it is harmless: remove it";
                self.found(&key, Fault::Leftover, told.to_owned())
            }
            (StrayKind::Metadata, _) => {
                let told = "the object that it describes is not there; it is harmless: remove it";
                self.found(&key, Fault::Orphan, told.to_owned())
            }
            (StrayKind::NotAnObject(what), Some(_)) => {
                self.unknown_days.extend(day_of(&key));
                let told = format!("it is {what}; move it away: only a file is read there");
                self.found(&key, Fault::Unreadable, told)?;
                self.taken.insert(key);
                Ok(())
            }
            (StrayKind::NotAnObject(what), None) if describes_an_object(&key) => {
                let told =
                    format!("it is {what}; move it away: only a file with metadata is read there");
                self.found(&key, Fault::Metadata, told)
            }
            (StrayKind::NotAnObject(what), None) => {
                self.note_unseen(&key);
                self.found(&key, Fault::Foreign, format!("it is {what}"))?;
                self.taken.insert(key);
                Ok(())
            }
            (StrayKind::Unlistable(why), _) => {
                self.note_unseen(&key);
                let advice = folder_advice(&why.into());
                let told = format!("the folder cannot be listed: {why}; {advice}");
                self.found(&key, Fault::Unreadable, told)?;
                self.taken.insert(key);
                Ok(())
            }
        }
    }
}

/// Whether a key is the name of the file with an object's metadata.
fn describes_an_object(key: &str) -> bool {
    let of = key.strip_suffix(METADATA_SUFFIX);
    of.and_then(Named::parse).is_some()
}

/// Whether it is of an instance that is asked for.
fn is_asked_for(scope: &Scope<'_>, key: &str, named: Option<&Named>) -> bool {
    match named {
        Some(named) => scope.includes(named.instance_id()),
        None => {
            let id = key.split('/').next().unwrap_or_default();
            scope.includes(InstanceId::parse(id).ok().as_ref())
        }
    }
}

/// Reads an object, if it is asked for, and checks it.
async fn check(
    store: &impl Store,
    scope: &Scope<'_>,
    named: &Named,
    entry: &Entry,
    unpacker: &RefCell<Unpacker>,
) -> Result<Checked, StoreError> {
    let key = &entry.key;
    let is_of_part = scope.part.is_none_or(|part| part.includes(key));
    let is_read = match named {
        _ if !scope.is_since(entry.stored_at, SignedDuration::ZERO) => false,
        Named::Day(_) => true,
        _ => is_of_part && !scope.is_quick,
    };
    if !is_read {
        return Ok(match scope.is_quick && is_of_part {
            true => Checked::Whole(None),
            false => Checked::Unread,
        });
    }
    let unreadable = |told: String| Checked::Faulty(Fault::Unreadable, told);
    let object = match store::get_listed(store, key).await {
        Ok(Some(object)) => object,
        // Who prunes, compacts or redrives has removed it.
        Ok(None) => return Ok(Checked::Gone),
        Err(error) => return Ok(unreadable(of_object(error)?)),
    };
    let fault = named.fault(key, &object, &mut unpacker.borrow_mut());
    if let Some((fault, detail)) = fault {
        return Ok(Checked::Faulty(fault, detail));
    }
    let says = Says::of(named, &object);
    let captured_at = says.as_ref().and_then(|says| says.captured_at);
    let told = captured_at.and_then(|at| captured_after_storing(at, entry.stored_at));
    if let Some(told) = told {
        return Ok(Checked::Faulty(Fault::Metadata, told));
    }
    Ok(Checked::Whole(says.map(Box::new)))
}
