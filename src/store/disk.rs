//! Writes files and folders so that they survive a power cut.
//!
//! A file or folder survives a power cut once the folder that names it was synced. So every writer
//! syncs all folders up to the archive's folder before it reports an object as stored. It does so
//! even if another writer stored the object, because that one may have been killed before its own
//! sync.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::StoreError;

/// Start of the name of a file that is being written.
pub(super) const WRITING: &str = ".writing-";

/// A file that is being written and was not changed for this long belongs to a writer that was
/// killed: an object has a few MiB at most, and a function runs for minutes. A writer that was
/// paused for longer fails at its rename, and its event is delivered again.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// The disk calls that can fail. Tests replace them.
pub(super) trait Disk: Debug + Send + Sync {
    /// Writes all bytes.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Lists a folder.
    fn read_dir(&self, folder: &Path) -> io::Result<std::fs::ReadDir> {
        std::fs::read_dir(folder)
    }

    /// Waits until a file or folder is on the disk.
    fn sync(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

/// The disk calls of the operating system.
#[derive(Debug)]
pub(super) struct SystemDisk;

impl Disk for SystemDisk {}

/// The error of a call on this path.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |cause| StoreError::Io {
        path: path.to_owned(),
        cause,
    }
}

/// Creates a folder and its missing parents.
pub(super) fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
    for folder in missing.into_iter().rev() {
        match std::fs::create_dir(folder) {
            // Another writer created it at the same time.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            result => result.map_err(at(folder))?,
        }
        sync_above(disk, folder)?;
    }
    Ok(())
}

/// Syncs a folder and its parents, up to the archive's folder.
pub(super) fn sync_up_to(disk: &dyn Disk, folder: &Path, root: &Path) -> Result<(), StoreError> {
    for folder in folder.ancestors().take_while(|f| f.starts_with(root)) {
        sync_folder(disk, folder).map_err(at(folder))?;
    }
    Ok(())
}

/// Syncs the folders above the archive's folder. A writer that was killed may have created them.
pub(super) fn sync_all_above(disk: &dyn Disk, root: &Path) -> Result<(), StoreError> {
    for folder in root.ancestors() {
        sync_above(disk, folder)?;
    }
    Ok(())
}

/// Syncs the parent of a folder. If the parent is unreadable, this user did not create anything in
/// it.
fn sync_above(disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
    let Some(above) = folder.parent() else {
        return Ok(());
    };
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    match sync_folder(disk, above) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(at(above)),
    }
}

fn sync_folder(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    match disk.sync(folder, &File::open(folder)?) {
        // Some file systems, mostly network ones, reject this call and sync folders by themselves.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Writes these bytes to disk, into a file with a temporary name.
pub(super) fn written(
    disk: &dyn Disk,
    folder: &Path,
    bytes: &[u8],
) -> Result<NamedTempFile, StoreError> {
    let mut file = tempfile::Builder::new()
        .prefix(WRITING)
        .tempfile_in(folder)
        .map_err(at(folder))?;
    disk.write(file.as_file_mut(), bytes).map_err(at(folder))?;
    disk.sync(file.path(), file.as_file()).map_err(at(folder))?;
    Ok(file)
}

/// Removes what killed writers left in a folder. `newest` was written just now. Its time comes from
/// the clock of the file system, which may differ from the clock of this machine. Errors are
/// ignored, because nothing depends on the removal.
pub(super) fn sweep_up(folder: &Path, newest: &Path) {
    let modified = |path: &Path| std::fs::symlink_metadata(path)?.modified();
    let (Ok(children), Ok(now)) = (std::fs::read_dir(folder), modified(newest)) else {
        return;
    };
    let is_left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(WRITING.as_bytes())
            && modified(path).is_ok_and(|then| {
                now.duration_since(then)
                    .is_ok_and(|age| age > ABANDONED_AFTER)
            })
    };
    let paths = children.filter_map(|child| Some(child.ok()?.path()));
    for path in paths.filter(is_left) {
        let _ = std::fs::remove_file(path);
    }
}
