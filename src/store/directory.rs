//! An archive in a folder, for trying things with no cloud at all.
//!
//! An object is a file under its key; its content type and metadata are JSON in a second file,
//! named like the first with [`METADATA_SUFFIX`]. The second is written first, so an object that
//! is there is complete: it appears under its name by one atomic rename that replaces nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Entry, Object, Page, PutOutcome, Store, StoreError};

/// Ends the name of the file that has an object's metadata.
pub const METADATA_SUFFIX: &str = ".meta.json";

/// Records as files below a folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    content_type: String,
    metadata: std::collections::BTreeMap<String, String>,
}

impl DirectoryStore {
    /// Keeps objects below `root`, which is made when the first object is stored.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\\');
        if key.split('/').all(plain) {
            Ok(self.root.join(key))
        } else {
            Err(StoreError::rejected(format!(
                "{key:?} is no key of an object in a folder"
            )))
        }
    }
}

impl Store for DirectoryStore {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let path = self.path(key)?;
        let object = object.clone();
        blocking(move || put_if_absent(&path, &object)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let path = self.path(key)?;
        blocking(move || get(&path)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key)?;
        blocking(move || delete(&path)).await
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page, StoreError> {
        debug_assert!(next.is_none(), "a folder is listed in one page");
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        blocking(move || list(&root, &prefix)).await
    }

    fn url(&self, key: &str) -> String {
        let path = self.root.join(key);
        url::Url::from_file_path(&path).map_or_else(|()| path.display().to_string(), Into::into)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
    move |source| StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

fn put_if_absent(path: &Path, object: &Object) -> Result<PutOutcome, StoreError> {
    if path.try_exists().map_err(at(path))? {
        return Ok(PutOutcome::Exists);
    }
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let metadata = Metadata {
        content_type: object.content_type.clone(),
        metadata: object.metadata.clone(),
    };
    let json = serde_json::to_vec_pretty(&metadata)
        .map_err(|error| StoreError::rejected(error.to_string()))?;
    // Two writers of one object may both come here; either's metadata is true, and it is whole.
    written(folder, &json)?
        .persist(metadata_path(path))
        .map_err(|e| at(path)(e.error))?;
    let outcome = match written(folder, &object.body)?.persist_noclobber(path) {
        Ok(_) => PutOutcome::Created,
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => PutOutcome::Exists,
        Err(e) => return Err(at(path)(e.error)),
    };
    // The rename itself must survive a power cut before the event is acknowledged.
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))?;
    Ok(outcome)
}

fn written(folder: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, StoreError> {
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(at(folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(at(folder))?;
    Ok(file)
}

fn metadata_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(METADATA_SUFFIX);
    name.into()
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn get(path: &Path) -> Result<Option<Object>, StoreError> {
    let Some(body) = read_if_there(path)? else {
        return Ok(None);
    };
    let metadata_path = metadata_path(path);
    let json = read_if_there(&metadata_path)?
        .ok_or_else(|| at(&metadata_path)(std::io::Error::from(std::io::ErrorKind::NotFound)))?;
    let Metadata {
        content_type,
        metadata,
    } = serde_json::from_slice(&json)
        .map_err(|error| at(&metadata_path)(std::io::Error::other(error)))?;
    Ok(Some(Object {
        body,
        content_type,
        metadata,
    }))
}

/// The object first: without its metadata it would be damaged, the other way round it is gone.
fn delete(path: &Path) -> Result<(), StoreError> {
    for path in [path.to_owned(), metadata_path(path)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(at(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn list(root: &Path, prefix: &str) -> Result<Page, StoreError> {
    // Below the last folder that the prefix names in full.
    let start = prefix
        .rsplit_once('/')
        .map_or(root.to_owned(), |(folder, _)| root.join(folder));
    let mut entries = Vec::new();
    let mut folders = vec![start];
    while let Some(folder) = folders.pop() {
        let children = match std::fs::read_dir(&folder) {
            Ok(children) => children,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at(&folder)(error)),
        };
        for child in children {
            let child = child.map_err(at(&folder))?;
            let path = child.path();
            let metadata = match child.metadata() {
                Ok(metadata) => metadata,
                // A writer's temporary file, renamed or removed since.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str) else {
                continue;
            };
            let hidden = child.file_name().as_encoded_bytes().starts_with(b".");
            if hidden || key.ends_with(METADATA_SUFFIX) || !key.starts_with(prefix) {
                continue;
            }
            let modified = metadata.modified().map_err(at(&path))?;
            let stored_at = Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH);
            entries.push(Entry {
                key: key.to_owned(),
                bytes: metadata.len(),
                stored_at,
            });
        }
    }
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Page {
        entries,
        next: None,
    })
}
