//! Where an export is written: a tar file, compressed or not, a folder, or a pipe.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Stdout, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Format;
use super::files::{MODE, make_folder, open_or_make};
use super::members::{Files, Member};
use super::progress::{Job, Progress, Written};
use super::read_back::{is_in_folder, keep, whole_frames};
use crate::exit::WrongInput;

/// What zstd itself takes by default.
const LEVEL: i32 = 3;
/// A tar file ends with two empty blocks.
const END_OF_TAR: [u8; 1024] = [0; 1024];

/// An export that is being written.
pub enum Destination {
    File {
        file: File,
        /// The name that it gets at the end.
        path: PathBuf,
        part: PathBuf,
        format: Format,
        progress: Progress,
        length: u64,
    },
    Folder {
        path: PathBuf,
        part: PathBuf,
        progress: Progress,
        bytes: u64,
    },
    Pipe {
        out: Stdout,
        format: Format,
        job: Job,
        length: u64,
    },
}

/// Removes what an export made when it is dropped, unless it is known by then what the export has: otherwise, it would
/// only be in the way of the next one.
#[derive(Default)]
pub struct Unlisted {
    paths: Vec<PathBuf>,
}

impl Unlisted {
    /// It is known what the export has, so it can be gone on with.
    pub fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for Unlisted {
    fn drop(&mut self) {
        for path in &self.paths {
            // A folder that is not empty stays.
            let _ = match path.is_dir() {
                true => std::fs::remove_dir(path),
                false => std::fs::remove_file(path),
            };
        }
    }
}

/// What is there was written by something else, or its list was removed.
fn of_no_export(part: &Path) -> WrongInput {
    let shown = part.display();
    WrongInput(format!(
        "{shown} is not empty, and {shown}.jsonl does not say of which export it is; remove both"
    ))
}

/// The same name with this behind it.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl Destination {
    /// Begins to write, or goes on where an export that was asked for the same ended.
    ///
    /// # Errors
    /// If there is something else in its place.
    pub fn open(path: &Path, format: Format, job: &Job) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Pipe {
                out: io::stdout(),
                format,
                job: job.clone(),
                length: 0,
            });
        }
        // `folder/` and `folder` are one.
        let path: PathBuf = path.components().collect();
        let shown = path.display();
        if path.symlink_metadata().is_ok() {
            let why = format!("{shown} is there already; remove it, or give another name");
            return Err(WrongInput(why).into());
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|_| format != Format::Folder)
            && !folder.is_dir()
        {
            let why = format!("{shown}: there is no folder {}", folder.display());
            return Err(WrongInput(why).into());
        }
        let (part, of_progress) = (beside(&path, ".part"), beside(&path, ".part.jsonl"));
        if format == Format::Folder {
            make_folder(&part)?;
            let mut progress = Progress::open(of_progress, job)?;
            if !progress.is_selected() && std::fs::read_dir(&part)?.next().is_some() {
                return Err(of_no_export(&part).into());
            }
            let is_there = |written: &Written| is_in_folder(&part, written);
            let count = progress.written().take_while(|one| is_there(one)).count();
            keep(&mut progress, count, &part)?;
            let bytes = progress.last().map_or(0, |last| last.end);
            return Ok(Self::Folder {
                path,
                part,
                progress,
                bytes,
            });
        }
        let at_part = || part.display().to_string();
        let mut file = open_or_make(&part)?;
        let mut progress = Progress::open(of_progress, job)?;
        let is_empty = file.metadata().with_context(at_part)?.len() == 0;
        if !progress.is_selected() && !is_empty {
            return Err(of_no_export(&part).into());
        }
        let count = whole_frames(&mut file, &progress).with_context(at_part)?;
        keep(&mut progress, count, &part)?;
        let length = progress.last().map_or(0, |last| last.end);
        file.set_len(length).with_context(at_part)?;
        file.seek(SeekFrom::Start(length)).with_context(at_part)?;
        Ok(Self::File {
            file,
            path,
            part,
            format,
            progress,
            length,
        })
    }

    /// What it has, and how far it has come. A pipe cannot be gone on with.
    pub fn progress(&mut self) -> Option<&mut Progress> {
        match self {
            Self::File { progress, .. } | Self::Folder { progress, .. } => Some(progress),
            Self::Pipe { .. } => None,
        }
    }

    /// What is removed if the export ends before it is known what it has.
    pub fn unlisted(&self) -> Unlisted {
        match self {
            Self::File { part, progress, .. } | Self::Folder { part, progress, .. }
                if !progress.is_selected() =>
            {
                Unlisted {
                    paths: vec![part.clone(), progress.path().to_owned()],
                }
            }
            _ => Unlisted::default(),
        }
    }

    /// What is to be removed to begin anew, in words.
    pub fn begun(&self) -> String {
        match self {
            Self::File { part, .. } | Self::Folder { part, .. } => {
                format!("remove {0} and {0}.jsonl, and ", part.display())
            }
            Self::Pipe { .. } => String::new(),
        }
    }

    /// What it was asked for when it began.
    pub fn job(&self) -> &Job {
        match self {
            Self::File { progress, .. } | Self::Folder { progress, .. } => &progress.job,
            Self::Pipe { job, .. } => job,
        }
    }

    /// Writes the files of an instance. Returns the length so far.
    pub fn write(&mut self, files: &Files) -> Result<u64> {
        match self {
            Self::Pipe {
                out,
                format,
                length,
                ..
            } => {
                let frame = frame(*format, &files.members)?;
                let sent = out.write_all(&frame).and_then(|()| out.flush());
                sent.map_err(told_of_pipe)?;
                *length += frame.len() as u64;
                Ok(*length)
            }
            Self::File {
                file,
                part,
                format,
                progress,
                length,
                ..
            } => {
                let frame = frame(*format, &files.members)?;
                let written = file.write_all(&frame).and_then(|()| file.sync_data());
                written.map_err(|cause| failed(part, &cause))?;
                *length += frame.len() as u64;
                progress.note(Written {
                    instance_id: files.instance_id.clone(),
                    end: *length,
                    sha256: hex::encode(Sha256::digest(&frame)),
                    damaged: files.told.len() as u64,
                    files: Vec::new(),
                })?;
                Ok(*length)
            }
            Self::Folder {
                part,
                progress,
                bytes,
                ..
            } => {
                let mut all = Sha256::new();
                for member in &files.members {
                    write_file(part, member)?;
                    *bytes += member.bytes.len() as u64;
                    all.update(hex::encode(Sha256::digest(&member.bytes)));
                }
                let paths = files.members.iter().map(|member| member.path.clone());
                progress.note(Written {
                    instance_id: files.instance_id.clone(),
                    end: *bytes,
                    sha256: hex::encode(all.finalize()),
                    damaged: files.told.len() as u64,
                    files: paths.collect(),
                })?;
                Ok(*bytes)
            }
        }
    }

    /// Gives the whole its name. Returns its length.
    pub fn finish(self) -> Result<u64> {
        match self {
            Self::Pipe {
                mut out,
                format,
                length,
                ..
            } => {
                let end = end(format)?;
                let sent = out.write_all(&end).and_then(|()| out.flush());
                sent.map_err(told_of_pipe)?;
                Ok(length + end.len() as u64)
            }
            Self::File {
                mut file,
                path,
                part,
                format,
                progress,
                length,
            } => {
                let end = end(format)?;
                let written = file.write_all(&end).and_then(|()| file.sync_all());
                written.map_err(|cause| failed(&part, &cause))?;
                rename(&part, &path)?;
                progress.end()?;
                Ok(length + end.len() as u64)
            }
            Self::Folder {
                path,
                part,
                progress,
                bytes,
            } => {
                refuse_others(&part, &progress)?;
                rename(&part, &path)?;
                progress.end()?;
                Ok(bytes)
            }
        }
    }

    /// There is nothing to export.
    pub fn discard(self) -> Result<()> {
        match self {
            Self::Pipe { .. } => Ok(()),
            Self::File { part, progress, .. } => {
                std::fs::remove_file(&part).with_context(|| part.display().to_string())?;
                progress.end()
            }
            Self::Folder { part, progress, .. } => {
                std::fs::remove_dir(&part).with_context(|| part.display().to_string())?;
                progress.end()
            }
        }
    }
}

/// Refuses what is in the folder, and was not written by the export: it would go along.
fn refuse_others(part: &Path, progress: &Progress) -> Result<()> {
    let written = progress.written().flat_map(|written| &written.files);
    let written: HashSet<PathBuf> = written.map(|file| part.join(file)).collect();
    let mut folders = vec![part.to_owned()];
    while let Some(folder) = folders.pop() {
        let at_folder = || folder.display().to_string();
        for child in std::fs::read_dir(&folder).with_context(at_folder)? {
            let child = child.with_context(at_folder)?;
            let path = child.path();
            if child.file_type().with_context(at_folder)?.is_dir() {
                folders.push(path);
            } else if !written.contains(&path) {
                let why = format!(
                    "{} is not of this export; move it away, and run the same command again",
                    path.display()
                );
                return Err(WrongInput(why).into());
            }
        }
    }
    Ok(())
}

/// Nothing that came meanwhile is replaced.
fn rename(part: &Path, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        let why = format!(
            "{} is there already; the export is whole in {}",
            path.display(),
            part.display()
        );
        return Err(WrongInput(why).into());
    }
    std::fs::rename(part, path).with_context(|| path.display().to_string())
}

fn failed(path: &Path, cause: &io::Error) -> anyhow::Error {
    anyhow!(
        "{}: {cause}; run the same command again to go on from there",
        path.display()
    )
}

/// Whoever reads the pipe, or the file that standard output goes to, has less than the whole. So this is no success.
fn told_of_pipe(cause: io::Error) -> anyhow::Error {
    match cause.kind() {
        io::ErrorKind::BrokenPipe => {
            anyhow!("the pipe was closed before the export was whole: {cause}")
        }
        _ => anyhow!(
            "standard output took no more before the export was whole: {cause}; with -o FILE it can be gone on with"
        ),
    }
}

/// A file below the folder. What a killed export left of it is replaced.
fn write_file(folder: &Path, member: &Member) -> Result<()> {
    let path = folder.join(&member.path);
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    let mut file = open_or_make(&path)?;
    let mut written = || -> io::Result<()> {
        file.set_len(0)?;
        file.write_all(&member.bytes)?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds(member.modified)))?;
        file.sync_data()
    };
    written().map_err(|cause| failed(&path, &cause))
}

/// Since 1970, as a tar file has it.
fn seconds(time: Timestamp) -> u64 {
    time.as_second().try_into().unwrap_or_default()
}

/// The members of an instance as bytes of their own: whatever is cut off behind them, they can be read.
fn frame(format: Format, members: &[Member]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(member.bytes.len() as u64);
        header.set_mode(MODE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(seconds(member.modified));
        tar.append_data(&mut header, &member.path, member.bytes.as_slice())?;
    }
    // Without the end of the file, which `into_inner` would write.
    let plain = std::mem::take(tar.get_mut());
    compressed(format, plain)
}

fn end(format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Folder => Ok(Vec::new()),
        format => compressed(format, END_OF_TAR.to_vec()),
    }
}

fn compressed(format: Format, plain: Vec<u8>) -> Result<Vec<u8>> {
    if format != Format::TarZst {
        return Ok(plain);
    }
    let mut encoder = zstd::bulk::Compressor::new(LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder.compress(&plain)?)
}
