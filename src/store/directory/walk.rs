//! A listing of a folder, page by page, in the order of keys.
//!
//! Of each folder on the way to the next key, the names of what is left are in memory. So a listing needs as much as
//! the largest folders of the archive do, whatever the archive has: an instance, or a day of the catalog.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tracing::warn;

use super::super::disk::at;
use super::super::{Entry, Page, StoreError};
use super::{Folder, METADATA_SUFFIX, kind, stands_for_an_object};

/// Entries of a page, as buckets have them.
const PAGE: usize = 1000;
/// Listings that wait at most. Whoever asks for the next page of one that does not wait any more gets it all the same: the
/// folders on the way to it are read anew.
const MAX_WAITING: usize = 16;

/// Listings that wait for their next page to be asked for, by a number.
#[derive(Debug, Default)]
pub(super) struct Walks(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    walks: BTreeMap<u64, Walk>,
    last: u64,
}

impl Walks {
    /// Lets a listing wait that has listed the keys up to `last`. Returns the token by which it goes on.
    fn wait(&self, walk: Walk, last: &str) -> String {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.last += 1;
        let number = waiting.last;
        waiting.walks.insert(number, walk);
        while waiting.walks.len() > MAX_WAITING {
            waiting.walks.pop_first(); // Nobody has asked for its next page for the longest time.
        }
        format!("{number} {last}")
    }

    /// The listing that goes on, and the last key that it has listed.
    fn take<'a>(&self, token: &'a str) -> (Option<Walk>, &'a str) {
        let (number, last) = token.split_once(' ').unwrap_or_default();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let walk = number.parse().ok().and_then(|n| waiting.walks.remove(&n));
        (walk, last)
    }
}

/// A listing on its way.
#[derive(Debug)]
struct Walk {
    prefix: String,
    /// Only keys behind this one.
    after: String,
    /// The folders on the way to the next key, the outermost first.
    open: Vec<Open>,
}

/// A folder whose children are listed.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    /// Names of what is left of it, the next one last. A folder's name ends in `/`, so that it stands where its keys do.
    names: Vec<Box<str>>,
}

impl Folder {
    /// A page of the keys that start with `prefix`, and are behind `after`.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        let mut is_partial = false;
        let (walk, last) = next.map_or((None, ""), |token| self.walks.take(token));
        let mut walk = match walk {
            Some(walk) => walk,
            None => {
                let after = after.unwrap_or_default().max(last);
                self.begin(prefix, after, &mut is_partial)?
            }
        };
        let entries = self.page(&mut walk, &mut is_partial);
        if is_partial {
            self.was_partial.store(true, Ordering::Relaxed);
        }
        let is_over = walk.open.iter().all(|open| open.names.is_empty());
        let last = entries.last().filter(|_| !is_over);
        Ok(Page {
            next: last.map(|last| self.walks.wait(walk, &last.key)),
            entries,
            is_partial,
        })
    }

    /// Begins in the last folder that the prefix names completely.
    fn begin(&self, prefix: &str, after: &str, is_partial: &mut bool) -> Result<Walk, StoreError> {
        self.check_root()?;
        let mut walk = Walk {
            prefix: prefix.to_owned(),
            after: after.to_owned(),
            open: Vec::new(),
        };
        let folder = match prefix.rsplit_once('/') {
            None => self.root.clone(),
            Some((folder, _)) => match self.path(folder) {
                Ok(path) => path,
                Err(error) => {
                    // A listing of everything does the same when it reaches this folder.
                    warn!("not listed: {error}");
                    return Ok(walk);
                }
            },
        };
        self.enter(&mut walk, folder, true, is_partial)?;
        Ok(walk)
    }

    /// The next entries.
    fn page(&self, walk: &mut Walk, is_partial: &mut bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        while entries.len() < PAGE {
            let Some(open) = walk.open.last_mut() else {
                break;
            };
            let Some(name) = open.names.pop() else {
                walk.open.pop();
                continue;
            };
            if let Some(folder) = name.strip_suffix('/') {
                let folder = open.path.join(folder);
                // It is not the folder that was asked for, so it hides nothing else.
                let _ = self.enter(walk, folder, false, is_partial);
                continue;
            }
            let path = open.path.join(&*name);
            match std::fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => {
                    entries.extend(self.entry(&path, &found));
                }
                // Something else has taken its place meanwhile.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    warn!("not listed: {}", at(&path)(error));
                    *is_partial = true;
                }
            }
        }
        entries
    }

    /// Reads the names of a folder. An error only of the one that was asked for.
    fn enter(
        &self,
        walk: &mut Walk,
        folder: PathBuf,
        is_asked_for: bool,
        is_partial: &mut bool,
    ) -> Result<(), StoreError> {
        let children = match self.disk.read_dir(&folder) {
            Ok(children) => children,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // A file has the place of this folder. What the folder had is not known.
            Err(error) if error.kind() == ErrorKind::NotADirectory && folder != self.root => {
                warn!("not listed: {} is not a folder", folder.display());
                *is_partial = true;
                return Ok(());
            }
            Err(error) if is_asked_for => return Err(at(&folder)(error)),
            // An unreadable folder must not hide the others.
            Err(error) => {
                warn!("not listed: {}", at(&folder)(error));
                *is_partial = true;
                return Ok(());
            }
        };
        let mut names: Vec<Box<str>> = Vec::new();
        for child in children {
            let child = match child {
                Ok(child) => child,
                Err(error) if is_asked_for => return Err(at(&folder)(error)),
                Err(error) => {
                    warn!("not listed: {}", at(&folder)(error));
                    *is_partial = true;
                    break;
                }
            };
            let name = child.file_name();
            let kind_of_file = match child.file_type() {
                Ok(kind) => kind,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    warn!("not listed: {}", at(&child.path())(error));
                    *is_partial = true;
                    continue;
                }
            };
            if kind_of_file.is_file() {
                // Half of all files are metadata.
                let bytes = name.as_encoded_bytes();
                let is_object =
                    !bytes.starts_with(b".") && !bytes.ends_with(METADATA_SUFFIX.as_bytes());
                if let Some(name) = name.to_str().filter(|_| is_object)
                    && self.is_asked_for(&folder.join(name), walk)
                {
                    names.push(name.into());
                }
                continue;
            }
            let path = child.path();
            let is_folder = kind_of_file.is_dir();
            if !self.can_hold(&path, &walk.prefix, &walk.after) {
                continue;
            }
            if kind_of_file.is_symlink() || stands_for_an_object(&path, is_folder) {
                warn!("not listed: {} is {}", path.display(), kind(kind_of_file));
            }
            // A name that is not UTF-8 is no part of a key.
            if let Some(name) = name.to_str().filter(|_| is_folder) {
                names.push(format!("{name}/").into());
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        walk.open.push(Open {
            path: folder,
            names,
        });
        Ok(())
    }

    /// Whether a file has a key that a listing asks for.
    fn is_asked_for(&self, path: &Path, walk: &Walk) -> bool {
        let key = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
        key.is_some_and(|key| key.starts_with(&walk.prefix) && key > walk.after.as_str())
    }

    /// The entry of a file. `None` if its path is no key.
    fn entry(&self, path: &Path, metadata: &Metadata) -> Option<Entry> {
        let key = path.strip_prefix(&self.root).ok().and_then(Path::to_str)?;
        let modified = metadata.modified().ok();
        let stored_at = modified.and_then(|modified| Timestamp::try_from(modified).ok());
        Some(Entry {
            key: key.to_owned(),
            bytes: metadata.len(),
            stored_at: stored_at.unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }
}
