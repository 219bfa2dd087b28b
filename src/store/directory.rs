//! An archive in a folder, to try the program without a cloud.
//!
//! An object is a file whose path is its key. A second file, with [`METADATA_SUFFIX`] after the
//! name, has its content type and metadata as JSON. The second file is written first. Then the
//! object appears by an atomic rename that replaces nothing. So an object that exists is complete.
//!
//! Symbolic links below the archive's folder are not followed. Otherwise the program could read or
//! write outside of the folder in `ARCHIVE_URL`. The folder itself may be a link.

#[cfg(feature = "cli")]
mod strays; // what stands in the folder and is no object
mod walk; // a listing, page by page

use std::collections::BTreeMap;
use std::fs::{FileType, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::disk::{self, Disk, SystemDisk, at};
use super::{MAX_OBJECT_BYTES, NOT_A_FILE, Object, Page, PutOutcome, Store, StoreError};
use walk::Walks;

/// End of the name of the file with an object's metadata.
pub const METADATA_SUFFIX: &str = ".meta.json";

/// An archive in a folder.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    folder: Arc<Folder>,
    /// Whether work is done on the thread that asks for it.
    is_on_this_thread: bool,
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    disk: Box<dyn Disk>,
    /// Whether this process has synced the folders above the root.
    is_rooted: AtomicBool,
    /// Whether a part of what a listing was asked for could not be listed.
    was_partial: AtomicBool,
    /// Listings that wait for their next page to be asked for.
    walks: Walks,
}

#[derive(Default, Serialize, Deserialize)]
struct Metadata {
    content_type: String,
    metadata: BTreeMap<String, String>,
}

impl DirectoryStore {
    /// Whether the folder is there.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`] if it is not.
    #[cfg(feature = "cli")]
    pub(super) fn check_root(&self) -> Result<(), StoreError> {
        self.folder.check_root()
    }

    /// Keeps objects below `root`. The folder is created with the first object.
    pub fn new(root: PathBuf) -> Self {
        Self::on(root, Box::new(SystemDisk))
    }

    fn on(root: PathBuf, disk: Box<dyn Disk>) -> Self {
        let folder = Folder {
            root,
            disk,
            is_rooted: AtomicBool::new(false),
            was_partial: AtomicBool::new(false),
            walks: Walks::default(),
        };
        Self {
            folder: Arc::new(folder),
            is_on_this_thread: false,
        }
    }

    /// The archive's folder, which need not exist.
    #[cfg(feature = "cli")]
    pub fn root(&self) -> &Path {
        &self.folder.root
    }

    /// Whether a part of what was listed so far, by this store or its clones, could not be listed. A warning has told
    /// it.
    #[cfg(feature = "cli")]
    pub fn was_partial(&self) -> bool {
        self.folder.was_partial.load(Ordering::Relaxed)
    }

    /// For a thread that does nothing else in the meantime: another thread for each file would take longer
    /// than the file.
    #[cfg(feature = "cli")]
    pub fn on_this_thread(self) -> Self {
        Self {
            is_on_this_thread: true,
            ..self
        }
    }

    /// Runs blocking work, on another thread unless this one may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.is_on_this_thread {
            return work(&self.folder);
        }
        let folder = self.folder.clone();
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }
}

impl Store for DirectoryStore {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let (key, object) = (key.to_owned(), object.clone());
        self.blocking(move |folder| folder.put_if_absent(&key, &object))
            .await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let key = key.to_owned();
        self.blocking(move |folder| folder.get(&key)).await
    }

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.blocking(move |folder| Ok(folder.body(&key)?.map(|(_, body)| body)))
            .await
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let key = key.to_owned();
        self.blocking(move |folder| folder.metadata(&key)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.blocking(move |folder| folder.delete(&key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        let prefix = prefix.to_owned();
        let (after, next) = (after.map(str::to_owned), next.map(str::to_owned));
        self.blocking(move |folder| folder.list(&prefix, after.as_deref(), next.as_deref()))
            .await
    }

    #[cfg(feature = "cli")]
    async fn strays(&self, prefix: &str) -> Result<Vec<super::Stray>, StoreError> {
        let prefix = prefix.to_owned();
        self.blocking(move |folder| folder.strays(&prefix)).await
    }

    fn sorts(&self) -> bool {
        true
    }

    fn url(&self, key: &str) -> String {
        let path = self.folder.root.join(key);
        url::Url::from_file_path(&path).map_or_else(|()| path.display().to_string(), Into::into)
    }
}

impl Folder {
    /// The path for a key. It is always below the root.
    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        let is_plain =
            |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\\');
        if !key.split('/').all(is_plain) {
            return Err(StoreError::rejected(format!(
                "{key:?} is not a key of an object in a folder"
            )));
        }
        let mut path = self.root.clone();
        for segment in key.split('/') {
            path.push(segment);
            if path.is_symlink() {
                return Err(is_link(&path));
            }
        }
        Ok(path)
    }

    /// Checks that the root exists. Only reading needs this.
    fn check_root(&self) -> Result<(), StoreError> {
        match std::fs::metadata(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StoreError::NoFolder(self.root.clone()))
            }
            Err(error) => Err(at(&self.root)(error)),
            Ok(_) => Ok(()),
        }
    }

    fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let path = self.path(key)?;
        let outcome = match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => PutOutcome::Exists,
            Ok(found) => return Err(at(&path)(not_a_file(found.file_type()))),
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(&path, object)?,
            Err(error) => return Err(at(&path)(error)),
        };
        // The names must survive a power cut before the event is acknowledged, whoever created
        // them.
        let folder = path.parent().unwrap_or(&path);
        disk::sync_up_to(&*self.disk, folder, &self.root)?;
        if !self.is_rooted.load(Ordering::Relaxed) {
            disk::sync_all_above(&*self.disk, &self.root)?;
            self.is_rooted.store(true, Ordering::Relaxed);
        }
        if outcome == PutOutcome::Created {
            disk::sweep_up(folder, &path);
        }
        Ok(outcome)
    }

    fn create(&self, path: &Path, object: &Object) -> Result<PutOutcome, StoreError> {
        let folder = path.parent().unwrap_or(path);
        disk::make_folder(&*self.disk, folder)?;
        let json = described(object).map_err(|error| StoreError::rejected(error.to_string()))?;
        // Concurrent writers of one object may both get here. Both have complete and correct
        // metadata.
        let body = disk::written(&*self.disk, folder, &object.body)?;
        disk::written(&*self.disk, folder, &json)?
            .persist(metadata_path(path))
            .map_err(|e| at(path)(e.error))?;
        match body.persist_noclobber(path) {
            Ok(_) => Ok(PutOutcome::Created),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(PutOutcome::Exists),
            Err(e) => Err(at(path)(e.error)),
        }
    }

    /// Reads the bytes of an object. Returns its path, too.
    fn body(&self, key: &str) -> Result<Option<(PathBuf, Vec<u8>)>, StoreError> {
        let path = match key.rsplit_once('/') {
            Some((folder, name)) if !matches!(name, "" | "." | "..") && !name.contains('\\') => {
                self.path(folder)?.join(name)
            }
            _ => self.path(key)?,
        };
        match read_if_there(&path)? {
            Some(body) => Ok(Some((path, body))),
            None => {
                self.check_root()?;
                Ok(None)
            }
        }
    }

    fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let Some((path, body)) = self.body(key)? else {
            return Ok(None);
        };
        let Metadata {
            content_type,
            metadata,
        } = read_metadata(&metadata_path(&path));
        Ok(Some(Object {
            body,
            content_type,
            metadata,
        }))
    }

    fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let path = self.path(key)?;
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(read_metadata(&metadata_path(&path)).metadata)),
            Ok(found) => Err(at(&path)(not_a_file(found.file_type()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.check_root()?;
                Ok(None)
            }
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Removes the object before its metadata. The other way round, an interrupted removal would
    /// leave a damaged object.
    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key)?;
        for path in [path.clone(), metadata_path(&path)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether keys below this folder may start with `prefix` and come behind `after`.
    fn can_hold(&self, folder: &Path, prefix: &str, after: &str) -> bool {
        let key = folder.strip_prefix(&self.root).ok().and_then(Path::to_str);
        key.is_none_or(|key| {
            let below = format!("{key}/");
            let is_asked_for = below.starts_with(prefix) || prefix.starts_with(&below);
            is_asked_for && (below.as_str() >= after || after.starts_with(&below))
        })
    }
}

/// The file with an object's content type and metadata.
///
/// # Errors
/// None: they are texts.
pub fn described(object: &Object) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(&Metadata {
        content_type: object.content_type.clone(),
        metadata: object.metadata.clone(),
    })
}

fn metadata_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(METADATA_SUFFIX);
    name.into()
}

/// Whether something other than a file has the name of an object. The names of all objects of this
/// program end in one of these, and the names of its folders do not. Hidden files are never
/// objects.
fn stands_for_an_object(path: &Path, is_folder: bool) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let is_object = [&b".gz"[..], b".json"]
        .iter()
        .any(|end| name.ends_with(end));
    let is_metadata = name.ends_with(METADATA_SUFFIX.as_bytes()); // Reported when it is read.
    !name.starts_with(b".") && !is_metadata && (is_object || !is_folder)
}

fn kind(found: FileType) -> &'static str {
    if found.is_symlink() {
        "a symbolic link"
    } else if found.is_dir() {
        "a folder and not a file"
    } else {
        "not a file but a pipe, a socket or a device"
    }
}

fn not_a_file(found: FileType) -> std::io::Error {
    std::io::Error::new(NOT_A_FILE, format!("it is {}", kind(found)))
}

/// Reads the metadata of an object. If they are missing or broken, the object is still read: the
/// digest in its name proves the bytes, and the reader reports what is missing.
fn read_metadata(path: &Path) -> Metadata {
    let read = read_if_there(path).map_err(|error| error.to_string());
    let read = read.and_then(|json| match json {
        Some(json) => serde_json::from_slice(&json)
            .map_err(|error| format!("{} is not metadata: {error}", path.display())),
        None => Ok(Metadata::default()),
    });
    read.unwrap_or_else(|why| {
        warn!("a record is read without its metadata: {why}");
        Metadata::default()
    })
}

/// Reads a file. `None` if it does not exist. Refuses pipes, which may never end, and links.
fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    // The path is looked up once: what is asked about the file is asked of the open file.
    let mut file = match not_followed().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) if path.is_symlink() => return Err(is_link(path)),
        Err(error) => return Err(at(path)(error)),
    };
    let found = file.metadata().map_err(at(path))?;
    if !found.is_file() {
        return Err(at(path)(not_a_file(found.file_type())));
    }
    if found.len() > MAX_OBJECT_BYTES {
        return Err(StoreError::TooLarge {
            url: path.display().to_string(),
            bytes: found.len(),
        });
    }
    // An object never grows: it appears whole.
    let mut bytes = vec![0; found.len() as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(at(path)(error)),
        }
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Options to open a file whose place something else may have taken: a link is not followed, and a pipe is not
/// waited for.
pub fn not_followed() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    options
}

fn is_link(path: &Path) -> StoreError {
    StoreError::rejected(format!(
        "{} is a symbolic link, which the archive does not follow; put a folder or a mount in its place",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::sync::Mutex;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::retry::{Deadline, Retrying};

    /// A disk that records what was synced, and that can fail writes or syncs.
    #[derive(Debug, Clone, Default)]
    struct Watched {
        synced: Arc<Mutex<Vec<PathBuf>>>,
        write_fails: Option<ErrorKind>,
        sync_fails: Option<ErrorKind>,
    }

    impl Disk for Watched {
        fn write(&self, file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
            use std::io::Write as _;
            match self.write_fails {
                Some(kind) => Err(kind.into()),
                None => file.write_all(bytes),
            }
        }

        fn sync(&self, path: &Path, _file: &File) -> std::io::Result<()> {
            self.synced.lock().unwrap().push(path.to_owned());
            self.sync_fails.map_or(Ok(()), |kind| Err(kind.into()))
        }
    }

    impl Watched {
        fn store(&self, root: &Path) -> DirectoryStore {
            DirectoryStore::on(root.to_owned(), Box::new(self.clone()))
        }

        fn take_synced(&self) -> Vec<PathBuf> {
            std::mem::take(&mut self.synced.lock().unwrap())
        }
    }

    const KEY: &str = "i-a1/20240322T100457-0123456789ab.log.gz";

    /// Makes empty objects, with a file beside each as if it had metadata. Returns their keys in order.
    fn fill(root: &Path, folders: &[&str], each: usize) -> Vec<String> {
        let mut keys = Vec::new();
        for folder in folders {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            for number in 0..each {
                let key = format!("{folder}/{number}");
                std::fs::write(root.join(&key), "").unwrap();
                std::fs::write(root.join(format!("{key}{METADATA_SUFFIX}")), "").unwrap();
                keys.push(key);
            }
        }
        keys.sort();
        keys
    }

    /// A folder stands where its keys do: `i-a1.x` and `i-a1-b` are before `i-a1/`, whatever a disk says.
    #[tokio::test]
    async fn a_listing_comes_in_pages_and_in_order() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        let folders = ["i-a1", "i-a1-b", "i-a1.x", "i-a1/deep/er", "i-b2"];
        let expected = fill(folder.path(), &folders, 700);
        let store = disk.store(folder.path());
        for (prefix, after) in [
            ("", None),
            ("i-a1", None),
            ("i-a1/", Some("i-a1/5")),
            ("i-a1/d", None),
            ("", Some("i-a1.x/699")),
            ("", Some("i-a1/deep/er/3")),
            ("i-c3/", None),
        ] {
            let is_asked_for = |key: &&String| {
                key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
            };
            let expected: Vec<_> = expected.iter().filter(is_asked_for).collect();
            let (mut found, mut next) = (Vec::new(), None);
            loop {
                let page = store.list(prefix, after, next.as_deref()).await.unwrap();
                assert!(page.entries.len() <= 1000);
                found.extend(page.entries.into_iter().map(|entry| entry.key));
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(
                found.iter().collect::<Vec<_>>(),
                expected,
                "{prefix:?} {after:?}"
            );
        }
    }

    /// Each goes on, also one that nobody has asked for while many others were.
    #[tokio::test]
    async fn any_number_of_listings_go_on_at_once() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        let expected = fill(folder.path(), &["i-a1", "i-b2"], 600);
        let store = disk.store(folder.path());
        let mut listings = Vec::new();
        for _ in 0..40 {
            listings.push(store.list("", None, None).await.unwrap());
        }
        for first in listings {
            let rest = store.list("", None, first.next.as_deref()).await.unwrap();
            assert_eq!(rest.next, None);
            let found = first.entries.into_iter().chain(rest.entries);
            let found: Vec<_> = found.map(|entry| entry.key).collect();
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn what_is_removed_while_it_is_listed_is_not_there() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        fill(folder.path(), &["i-a1", "i-b2", "i-c3"], 1000);
        let store = disk.store(folder.path());
        let first = store.list("", None, None).await.unwrap();
        std::fs::remove_dir_all(folder.path().join("i-b2")).unwrap();
        let rest = store.list("", None, first.next.as_deref()).await.unwrap();
        let found: Vec<_> = rest.entries.iter().map(|entry| &entry.key[..4]).collect();
        assert_eq!((found, rest.is_partial), (vec!["i-c3"; 1000], false));
    }

    fn object() -> Object {
        Object {
            body: b"the bytes".to_vec(),
            content_type: "application/gzip".into(),
            metadata: [("captured-at".to_owned(), "now".to_owned())].into(),
        }
    }

    async fn keys(store: &DirectoryStore, prefix: &str) -> Vec<String> {
        let page = store.list(prefix, None, None).await.unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect()
    }

    #[tokio::test]
    async fn every_folder_that_is_made_is_synced_in_the_one_above_it() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        let root = folder.path().join("kept/here");
        let put = disk.store(&root).put_if_absent(KEY, &object()).await;
        assert_eq!(put.unwrap(), PutOutcome::Created);
        let synced = disk.take_synced();
        // The folders that name `kept`, `here`, `i-a1` and the record.
        for named_in in [
            folder.path().to_owned(),
            folder.path().join("kept"),
            root.clone(),
            root.join("i-a1"),
        ] {
            assert!(synced.contains(&named_in), "{named_in:?}: {synced:?}");
        }
        // The record's folder is synced after the record was named in it, so it comes last.
        let last_file = synced.iter().rposition(|path| !path.is_dir()).unwrap();
        let its_folder = synced.iter().rposition(|path| *path == root.join("i-a1"));
        assert!(its_folder.unwrap() > last_file, "{synced:?}");
    }

    #[tokio::test]
    async fn already_stored_is_said_after_a_sync_of_what_a_killed_writer_named() {
        let (folder, first, second) = (
            tempfile::tempdir().unwrap(),
            Watched::default(),
            Watched::default(),
        );
        let root = folder.path().join("archive");
        first
            .store(&root)
            .put_if_absent(KEY, &object())
            .await
            .unwrap();
        let again = second.store(&root).put_if_absent(KEY, &object()).await;
        assert_eq!(again.unwrap(), PutOutcome::Exists);
        let synced = second.take_synced();
        for named_in in [root.join("i-a1"), root.clone(), folder.path().to_owned()] {
            assert!(synced.contains(&named_in), "{named_in:?}: {synced:?}");
        }
        let fails = Watched {
            sync_fails: Some(ErrorKind::StorageFull),
            ..Watched::default()
        };
        let again = fails.store(&root).put_if_absent(KEY, &object()).await;
        assert!(matches!(again, Err(StoreError::Io { .. })), "{again:?}");
    }

    #[tokio::test]
    async fn a_file_system_that_syncs_no_folders_is_written_to() {
        for kind in [ErrorKind::InvalidInput, ErrorKind::Unsupported] {
            let folder = tempfile::tempdir().unwrap();
            #[derive(Debug)]
            struct NoFolders(ErrorKind);
            impl Disk for NoFolders {
                fn sync(&self, path: &Path, _file: &File) -> std::io::Result<()> {
                    if path.is_dir() {
                        Err(self.0.into())
                    } else {
                        Ok(())
                    }
                }
            }
            let store = DirectoryStore::on(folder.path().to_owned(), Box::new(NoFolders(kind)));
            let put = store.put_if_absent(KEY, &object()).await;
            assert_eq!(put.unwrap(), PutOutcome::Created);
        }
    }

    #[tokio::test]
    async fn what_a_killed_writer_left_is_removed_and_what_a_living_one_has_is_not() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        let of_instance = folder.path().join("i-a1");
        std::fs::create_dir(&of_instance).unwrap();
        let now = SystemTime::now();
        let file = |name: &str, age_minutes: u64| {
            let path = of_instance.join(name);
            let file = File::create(&path).unwrap();
            let then = now - Duration::from_secs(60 * age_minutes);
            file.set_times(FileTimes::new().set_modified(then)).unwrap();
            path
        };
        let (left, living) = (file(".writing-left", 61), file(".writing-living", 59));
        let (record, hidden) = (file("20200101T000000-0.log.gz", 999), file(".nfs01", 999));
        disk.store(folder.path())
            .put_if_absent(KEY, &object())
            .await
            .unwrap();
        assert!(!left.exists());
        assert!(living.exists() && record.exists() && hidden.exists());
    }

    #[tokio::test]
    async fn a_failed_write_leaves_nothing_and_says_what_mends_it() {
        for (kind, advice) in [
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::QuotaExceeded, "quota"),
            (ErrorKind::ReadOnlyFilesystem, "for writing"),
            (ErrorKind::PermissionDenied, "let the user of this process"),
            (ErrorKind::Other, "ARCHIVE_URL"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let disk = Watched {
                write_fails: Some(kind),
                ..Watched::default()
            };
            let store = disk.store(folder.path());
            let error = store.put_if_absent(KEY, &object()).await.unwrap_err();
            let shown = error.to_string();
            let path = folder.path().join("i-a1");
            assert!(shown.contains(path.to_str().unwrap()), "{shown}");
            assert!(shown.contains(advice), "{shown}");
            let may_be_freed = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            assert_eq!(error.is_transient(), may_be_freed);
            assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
            assert_eq!(keys(&store, "").await, [""; 0]);
        }
    }

    /// A console that is followed is in memory alone until it is stored.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_has_space_again_gets_what_it_was_too_full_for() {
        #[derive(Debug)]
        struct FullFor(Mutex<u32>);
        impl Disk for FullFor {
            fn write(&self, file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
                use std::io::Write as _;
                let mut writes = self.0.lock().unwrap();
                if *writes > 0 {
                    *writes -= 1;
                    return Err(ErrorKind::StorageFull.into());
                }
                file.write_all(bytes)
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let disk = FullFor(Mutex::new(3));
        let store = DirectoryStore::on(folder.path().to_owned(), Box::new(disk));
        let retrying = Retrying::new(&store, Deadline::after(Duration::from_secs(60)));
        let put = retrying.put_if_absent(KEY, &object()).await;
        assert_eq!(put.unwrap(), PutOutcome::Created);
        assert_eq!(keys(&store, "").await, [KEY]);
    }

    #[tokio::test]
    async fn a_folder_that_does_not_exist_is_an_error_for_readers_only() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        let root = folder.path().join("nowhere");
        let store = disk.store(&root);
        for error in [
            store.list("", None, None).await.unwrap_err(),
            store.list("i-a1/", None, None).await.unwrap_err(),
            store.get(KEY).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(&error, StoreError::NoFolder(path) if *path == root));
            assert!(error.to_string().contains("nowhere"), "{error}");
        }
        store.delete(KEY).await.unwrap();
        store.put_if_absent(KEY, &object()).await.unwrap();
        assert_eq!(keys(&store, "i-b2/").await, [""; 0]);
        assert!(store.get("i-b2/x.log.gz").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_symbolic_link_below_the_folder_leads_nowhere() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, disk) = (folder.path().join("archive"), Watched::default());
        let outside = disk.store(elsewhere.path());
        outside.put_if_absent(KEY, &object()).await.unwrap();
        std::fs::create_dir(&root).unwrap();
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(elsewhere.path().join("i-a1"), root.join("i-a1")).unwrap();
        link(elsewhere.path().join("absent"), root.join("i-b2")).unwrap();
        let store = disk.store(&root);
        let file = "i-c3/20240322T100457-0123456789ab.log.gz";
        std::fs::create_dir(root.join("i-c3")).unwrap();
        link(elsewhere.path().join(KEY), root.join(file)).unwrap();
        for prefix in ["", "i-a1/", "i-b2/", "i-c3/"] {
            assert_eq!(keys(&store, prefix).await, [""; 0], "{prefix:?}");
        }
        for key in [KEY, "i-b2/new.log.gz", file] {
            for result in [
                store.get(key).await.map(drop),
                store.put_if_absent(key, &object()).await.map(drop),
                store.delete(key).await,
            ] {
                let shown = result.unwrap_err().to_string();
                assert!(shown.contains("symbolic link"), "{shown}");
            }
        }
        assert!(elsewhere.path().join(KEY).exists());
        assert!(!elsewhere.path().join("absent").exists());
        // The archive's own folder may be a link.
        let by_link = folder.path().join("link");
        link(elsewhere.path().to_owned(), by_link.clone()).unwrap();
        assert_eq!(keys(&disk.store(&by_link), "").await, [KEY]);
    }

    /// One unreadable file must not hide the others.
    #[tokio::test]
    async fn a_folder_that_cannot_be_read_hides_nothing_else() {
        #[derive(Debug)]
        struct Locked(PathBuf);
        impl Disk for Locked {
            fn read_dir(&self, folder: &Path) -> std::io::Result<std::fs::ReadDir> {
                if folder == self.0 {
                    return Err(ErrorKind::PermissionDenied.into());
                }
                std::fs::read_dir(folder)
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let store = DirectoryStore::on(root.clone(), Box::new(Locked(root.join("i-b2"))));
        store.put_if_absent(KEY, &object()).await.unwrap();
        let hidden = KEY.replace("i-a1", "i-b2");
        store.put_if_absent(&hidden, &object()).await.unwrap();
        assert_eq!(keys(&store, "").await, [KEY]);
        // A listing of the folder alone has nothing else to return.
        for (locked, prefix) in [(root.join("i-b2"), "i-b2/"), (root.clone(), "")] {
            let store = DirectoryStore::on(root.clone(), Box::new(Locked(locked)));
            let error = store.list(prefix, None, None).await.unwrap_err();
            let advice = "let the user of this process read and write there";
            assert!(error.to_string().contains(advice), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_no_record_by_its_size_or_kind_is_not_read() {
        let (folder, disk) = (tempfile::tempdir().unwrap(), Watched::default());
        let store = disk.store(folder.path());
        store.put_if_absent(KEY, &object()).await.unwrap();
        let path = folder.path().join(KEY);
        let file = File::create(&path).unwrap();
        file.set_len(2 << 30).unwrap(); // A sparse file uses no space.
        let error = store.get(KEY).await.map(drop).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { bytes, .. } if bytes == 2 << 30));
        std::fs::write(&path, "as before").unwrap();
        let metadata = File::create(metadata_path(&path)).unwrap();
        metadata.set_len(2 << 30).unwrap();
        let read = store.get(KEY).await.unwrap().unwrap();
        assert_eq!((read.body, read.metadata.len()), (b"as before".to_vec(), 0));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        for result in [
            store.get(KEY).await.map(drop),
            store.put_if_absent(KEY, &object()).await.map(drop),
        ] {
            assert!(matches!(result, Err(StoreError::Io { .. })), "{result:?}");
        }
        // Opening a pipe without a writer would block forever.
        std::fs::remove_dir(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(matches!(store.get(KEY).await, Err(StoreError::Io { .. })));
        assert_eq!(keys(&store, "").await, [""; 0]);
    }
}
