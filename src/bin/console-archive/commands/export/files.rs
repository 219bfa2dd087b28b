//! Files that an export writes: no link is followed, and no pipe waited for.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::exit::WrongInput;

/// Options by which files of an export are opened: what is written into must be of this command, and a link could
/// lead anywhere.
pub fn not_followed() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    options
}

/// Opens a file of an export, which may be there.
///
/// # Errors
/// If something else has its place.
pub fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let shown = path.display();
    if let Ok(there) = path.symlink_metadata()
        && !there.is_file()
    {
        return Err(WrongInput(format!("{shown} is not a file; remove it")).into());
    }
    options.open(path).with_context(|| shown.to_string())
}

/// The length of what can be read, and its SHA-256.
pub fn digest(mut from: impl std::io::Read) -> std::io::Result<(u64, String)> {
    let (mut length, mut digest) = (0, Sha256::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((length, hex::encode(digest.finalize()))),
            Ok(count) => {
                digest.update(&buffer[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether no link leads out of the folder on the way to this file.
pub fn is_of_folder(folder: &Path, file: &Path) -> bool {
    let between = file.ancestors().skip(1);
    let mut between = between.take_while(|above| above.starts_with(folder));
    between.all(|above| above.symlink_metadata().is_ok_and(|found| found.is_dir()))
}

/// Makes a folder, unless it is there. A link is none.
pub fn make_folder(folder: &Path) -> Result<()> {
    match folder.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => {
            let why = format!("{} is not a folder; remove it", folder.display());
            Err(WrongInput(why).into())
        }
        Err(_) => std::fs::create_dir_all(folder).with_context(|| folder.display().to_string()),
    }
}
