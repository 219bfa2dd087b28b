//! Files that an export writes: no link is followed, and no pipe waited for.

use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use ecs_console_archiver::store::directory::not_followed;
use sha2::{Digest as _, Sha256};

use crate::exit::WrongInput;

/// Who made it may read and write a file, and nobody else: a console may show passwords.
pub const MODE: u32 = 0o600;

/// Opens a file of an export to read it.
///
/// # Errors
/// If it cannot be read, or something else has its place.
pub fn open(path: &Path) -> Result<File> {
    opened(path, not_followed().read(true))
}

/// Opens a file of an export to write it, and makes it if it is not there.
///
/// # Errors
/// If something else has its place, or a file that others have, too: an export may contain passwords, and what it
/// writes must not reach other files.
pub fn open_or_make(path: &Path) -> Result<File> {
    let shown = path.display();
    let mut options = not_followed();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made.with_context(|| shown.to_string()),
    }
    let file = opened(path, &mut options)?;
    let found = file.metadata().with_context(|| shown.to_string())?;
    if let Some(why) = of_others(&found) {
        return Err(WrongInput(format!("{shown} {why}")).into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if found.permissions().mode() & 0o777 != MODE {
            let set = file.set_permissions(std::fs::Permissions::from_mode(MODE));
            set.with_context(|| shown.to_string())?;
        }
    }
    Ok(file)
}

fn opened(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let shown = path.display();
    if let Ok(there) = path.symlink_metadata()
        && !there.is_file()
    {
        return Err(WrongInput(format!("{shown} is not a file; remove it")).into());
    }
    options.open(path).with_context(|| shown.to_string())
}

/// Who else has a file that is written into.
#[cfg(unix)]
fn of_others(found: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    if found.uid() != rustix::process::geteuid().as_raw() {
        Some("is another user's; remove it")
    } else if found.nlink() > 1 {
        Some("has another name, too; remove it")
    } else {
        None
    }
}

#[cfg(not(unix))]
fn of_others(_: &Metadata) -> Option<&'static str> {
    None
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
