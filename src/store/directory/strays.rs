//! What stands in an archive's folder and is no object: what killed writers left, and what has the place of a file.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;

use super::super::disk::{WRITING, at};
use super::super::{StoreError, Stray, StrayKind};
use super::{Folder, METADATA_SUFFIX, kind, stands_for_an_object};

impl Folder {
    /// What stands below `prefix` and is no object, and the folders below and above it that cannot be listed.
    pub(super) fn strays(&self, prefix: &str) -> Result<Vec<Stray>, StoreError> {
        self.check_root()?;
        let mut found = Vec::new();
        // The folders on the way to the next one, each with the names of those of its folders that are left.
        let names = self.strays_of(&self.root, prefix, &mut found)?;
        let mut open = vec![(self.root.clone(), names)];
        while let Some((folder, names)) = open.last_mut() {
            let Some(name) = names.pop() else {
                open.pop();
                continue;
            };
            let folder = folder.join(&*name);
            let names = self.strays_of(&folder, prefix, &mut found)?;
            open.push((folder, names));
        }
        // Only folders that may hold such keys were looked into.
        found.retain(|stray| {
            stray.key.starts_with(prefix)
                || is_above(&stray.key, prefix)
                || matches!(stray.kind, StrayKind::Unlistable(_))
        });
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    /// Adds what stands in a folder and is no object. Returns the names of the folders in it that may hold such keys.
    fn strays_of(
        &self,
        folder: &Path,
        prefix: &str,
        found: &mut Vec<Stray>,
    ) -> Result<Vec<Box<OsStr>>, StoreError> {
        let children = match self.disk.read_dir(folder) {
            Ok(children) => children,
            Err(error) => {
                found.extend(self.unlistable(folder, error.kind()));
                return Ok(Vec::new());
            }
        };
        let mut folders: Vec<Box<OsStr>> = Vec::new();
        // Of files, and of objects that a file describes.
        let (mut names, mut described) = (Vec::<Box<OsStr>>::new(), Vec::<Box<str>>::new());
        for child in children {
            let child = match child {
                Ok(child) => child,
                Err(error) => {
                    found.extend(self.unlistable(folder, error.kind()));
                    break;
                }
            };
            let (name, path) = (child.file_name(), child.path());
            let file_type = match child.file_type() {
                Ok(file_type) => file_type,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            let bytes = name.as_encoded_bytes();
            if file_type.is_dir() {
                if self.can_hold(&path, prefix, "") {
                    folders.push(name.as_os_str().into());
                }
                // No writer makes a folder of such a name.
                let is_named_as_file = stands_for_an_object(&path, true)
                    || bytes.starts_with(WRITING.as_bytes())
                    || bytes.ends_with(METADATA_SUFFIX.as_bytes());
                if !is_named_as_file {
                    continue; // No file describes it.
                }
                found.extend(self.stray(&path, StrayKind::NotAnObject(kind(file_type))));
            } else if bytes.starts_with(WRITING.as_bytes()) {
                found.extend(self.stray(&path, StrayKind::Leftover));
            } else if bytes.starts_with(b".") {
                // Of another program, such as a network file system.
            } else if let Some(of) = bytes.strip_suffix(METADATA_SUFFIX.as_bytes()) {
                if !file_type.is_file() {
                    found.extend(self.stray(&path, StrayKind::NotAnObject(kind(file_type))));
                    continue;
                }
                // A name that is not UTF-8 is no key.
                if let Ok(of) = std::str::from_utf8(of) {
                    described.push(of.into());
                }
                continue;
            } else if !file_type.is_file() {
                found.extend(self.stray(&path, StrayKind::NotAnObject(kind(file_type))));
            } else if self.key_of(&path).is_some_and(|key| is_above(&key, prefix)) {
                let what = "a file and not a folder";
                found.extend(self.stray(&path, StrayKind::NotAnObject(what)));
            } else if name.to_str().is_none() {
                let what = "a file whose name is not UTF-8";
                found.extend(self.stray(&path, StrayKind::NotAnObject(what)));
            }
            names.push(name.into_boxed_os_str());
        }
        names.sort_unstable();
        let alone = described.iter().filter(|of| {
            let found = names.binary_search_by(|name| (**name).cmp(OsStr::new(&***of)));
            found.is_err()
        });
        let paths = alone.map(|of| folder.join(format!("{of}{METADATA_SUFFIX}")));
        found.extend(paths.filter_map(|path| self.stray(&path, StrayKind::Metadata)));
        Ok(folders)
    }

    /// A folder that is there, and cannot be listed.
    fn unlistable(&self, folder: &Path, error: ErrorKind) -> Option<Stray> {
        let is_there = !matches!(error, ErrorKind::NotFound | ErrorKind::NotADirectory);
        is_there
            .then(|| self.stray(folder, StrayKind::Unlistable(error)))
            .flatten()
    }

    fn key_of(&self, path: &Path) -> Option<String> {
        let key = path.strip_prefix(&self.root).ok()?.to_string_lossy();
        Some(key.into_owned())
    }

    fn stray(&self, path: &Path, kind: StrayKind) -> Option<Stray> {
        let modified = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
        Some(Stray {
            key: self.key_of(path)?,
            modified_at: Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH),
            kind,
        })
    }
}

/// Whether a folder of this key would be on the way to all keys of the prefix.
fn is_above(key: &str, prefix: &str) -> bool {
    let below = prefix.strip_prefix(key);
    below.is_some_and(|below| below.starts_with('/'))
}
