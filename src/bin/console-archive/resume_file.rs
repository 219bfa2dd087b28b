//! What is left of a sweep, in a file: an event that does it.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ecs_console_archiver::capture::sweep::Sweep;
use serde::Deserialize;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::exit::WrongInput;
use crate::input::{self, shown, wrong};

/// Most bytes that are read. What a sweep writes names the instances of one page and 20 failures.
const MAX_BYTES: u64 = 1 << 20;
/// More than any fleet has, and so few that what is still to come can be added.
const MAX_COUNT: u64 = 1 << 53;

#[derive(Deserialize)]
struct Event {
    sweep: Sweep,
}

/// The sweep that the file holds; `None` where there is no file yet.
///
/// # Errors
/// [`WrongInput`] where the file cannot be written later, or is there and holds no sweep.
pub fn open(file: &Path) -> Result<Option<Sweep>, WrongInput> {
    let is_there = std::fs::symlink_metadata(file).is_ok();
    if is_there {
        input::refuse_others_than_files(file)?;
    }
    // A sweep takes long. That its end cannot be written is said before it begins.
    if let Err(error) = NamedTempFile::new_in(folder(file)) {
        // The name of what would have been written first helps nobody.
        let cause = error.get_ref().and_then(|error| error.source());
        let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
        let why = format_args!("cannot be written: {cause}; name a file in another folder");
        return Err(wrong(file, why));
    }
    if is_there {
        read(file).map(Some)
    } else {
        Ok(None)
    }
}

fn read(file: &Path) -> Result<Sweep, WrongInput> {
    let no_sweep = |why: &dyn std::fmt::Display| {
        wrong(
            file,
            format_args!("not what `sweep --resume` writes ({why}); remove it to begin anew"),
        )
    };
    let text = input::read(file, MAX_BYTES + 1)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(no_sweep(&format_args!("more than {MAX_BYTES} bytes")));
    }
    // A sequence would be read as the members in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(no_sweep(&"line 1 begins with no JSON object"));
    }
    let Event { sweep } = serde_json::from_slice(&text).map_err(|error| no_sweep(&error))?;
    let mut counts = sweep.done.counts().into_iter();
    if let Some(count) = counts.find(|count| *count > MAX_COUNT) {
        return Err(no_sweep(&format_args!("`done` counts {count}")));
    }
    // A sweep with regions has checked that the cursor is in one of them.
    if let Some(cursor) = &sweep.resume
        && !sweep.all_regions
        && sweep.regions.is_empty()
    {
        let region_id = &cursor.region_id;
        return Err(no_sweep(&format_args!(
            "it continues in {region_id}, which is not among its regions"
        )));
    }
    Ok(sweep)
}

/// Whole or not at all: an interrupted write must not lose the place.
///
/// # Errors
/// When it cannot be written.
pub fn write(file: &Path, left: &Sweep) -> Result<()> {
    let write = || -> std::io::Result<()> {
        temporary(folder(file), left)?.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", shown(file)))
}

/// Writes what is left to a file in this folder that is not there yet.
///
/// # Errors
/// When it cannot be written.
pub fn write_new(left: &Sweep) -> Result<PathBuf> {
    let mut new = temporary(Path::new("."), left).context("cannot write sweep-left.json")?;
    for number in 1.. {
        let file = match number {
            1 => PathBuf::from("sweep-left.json"),
            _ => PathBuf::from(format!("sweep-left-{number}.json")),
        };
        match new.persist_noclobber(&file) {
            Ok(_) => return Ok(file),
            Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => new = taken.file,
            Err(other) => {
                return Err(other.error).with_context(|| format!("cannot write {}", shown(&file)));
            }
        }
    }
    unreachable!("there are more numbers than files")
}

/// Removes it, as nothing is left.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", shown(file)))
        }
        _ => Ok(()),
    }
}

fn folder(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

fn temporary(folder: &Path, left: &Sweep) -> std::io::Result<NamedTempFile> {
    let mut new = NamedTempFile::new_in(folder)?;
    writeln!(new, "{:#}", json!({ "sweep": left }))?;
    Ok(new)
}
