//! Where an export is written: a tar file, compressed or not, a folder, or a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Stdout, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use ecs_console_archiver::model::ids::InstanceId;
use jiff::Timestamp;

use super::Format;
use super::members::{Files, Member};
use super::progress::{Job, Progress, Written};
use crate::exit::WrongInput;

/// What zstd itself takes by default.
const LEVEL: i32 = 3;
/// Who unpacks it may read and write a file, and nobody else: a console may show passwords.
const MODE: u32 = 0o600;
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
        let (part, of_progress) = (beside(&path, ".part"), beside(&path, ".part.jsonl"));
        if format == Format::Folder {
            std::fs::create_dir_all(&part).with_context(|| part.display().to_string())?;
            let progress = Progress::open(of_progress, job, u64::MAX)?;
            let bytes = progress.last.as_ref().map_or(0, |last| last.end);
            return Ok(Self::Folder {
                path,
                part,
                progress,
                bytes,
            });
        }
        // What is written into must be of this command: a link could lead anywhere.
        if let Ok(there) = part.symlink_metadata()
            && !there.is_file()
        {
            let why = format!("{} is not a file; remove it", part.display());
            return Err(WrongInput(why).into());
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
        let at_part = || part.display().to_string();
        let mut file = options.open(&part).with_context(at_part)?;
        let there = file.metadata().with_context(at_part)?.len();
        let progress = Progress::open(of_progress, job, there)?;
        let length = progress.last.as_ref().map_or(0, |last| last.end);
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

    fn progress(&self) -> Option<&Progress> {
        match self {
            Self::File { progress, .. } | Self::Folder { progress, .. } => Some(progress),
            Self::Pipe { .. } => None,
        }
    }

    /// What it was asked for when it began.
    pub fn job(&self) -> &Job {
        match self {
            Self::File { progress, .. } | Self::Folder { progress, .. } => &progress.job,
            Self::Pipe { job, .. } => job,
        }
    }

    /// Instances that an export before has written.
    pub fn resumed(&self) -> u64 {
        self.progress().map_or(0, |progress| progress.written)
    }

    /// The last of them.
    pub fn last(&self) -> Option<&InstanceId> {
        let last = self.progress()?.last.as_ref();
        last.map(|written| &written.instance_id)
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
                })?;
                Ok(*length)
            }
            Self::Folder {
                part,
                progress,
                bytes,
                ..
            } => {
                for member in &files.members {
                    write_file(part, member)?;
                    *bytes += member.bytes.len() as u64;
                }
                progress.note(Written {
                    instance_id: files.instance_id.clone(),
                    end: *bytes,
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

/// Whoever reads the pipe has less than the whole, so this is no success.
fn told_of_pipe(cause: io::Error) -> anyhow::Error {
    anyhow!("the pipe was closed before the export was whole: {cause}")
}

/// A file below the folder. What a killed export left of it is replaced.
fn write_file(folder: &Path, member: &Member) -> Result<()> {
    let path = folder.join(&member.path);
    let written = || -> io::Result<()> {
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
        let mut file = options.open(&path)?;
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
