//! How far an export has come, beside the file that it writes.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use ecs_console_archiver::model::ids::InstanceId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit::WrongInput;

/// What an export is asked for. Only the same is gone on with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub archive_url: String,
    pub format: String,
    pub is_as_stored: bool,
    pub instance_ids: Vec<InstanceId>,
    pub globs: Vec<String>,
    /// As they were given: `-7d` is the same when it is asked for again.
    pub since_as_given: Option<String>,
    pub until_as_given: Option<String>,
    /// Another version may write other bytes.
    pub version: String,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Job {
    fn is_same(&self, other: &Self) -> bool {
        let times = (self.since, self.until);
        let other = Self {
            since: times.0,
            until: times.1,
            ..other.clone()
        };
        *self == other
    }
}

/// An instance that is written whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    pub instance_id: InstanceId,
    /// Length of the file with it.
    pub end: u64,
}

/// The file beside the one that is written: a line for the job, and one for each instance behind it. A line is
/// written once its instance is on the disk.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    file: File,
    pub job: Job,
    pub written: u64,
    pub last: Option<Written>,
}

impl Progress {
    /// Begins, or goes on with what the file says. `length`: of the file with the instances.
    ///
    /// # Errors
    /// If another export writes there, or one that was asked for something else began there.
    pub fn open(path: PathBuf, job: &Job, length: u64) -> Result<Self> {
        let shown = path.display().to_string();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(|| shown.clone())?;
        if file.try_lock().is_err() {
            return Err(WrongInput(format!("{shown}: another export writes there")).into());
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(|| shown.clone())?;
        // A line that was cut is none.
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut whole = std::iter::from_fn(|| lines.next().filter(|line| line.ends_with(b"\n")));
        let mut progress = Self {
            path,
            file,
            job: job.clone(),
            written: 0,
            last: None,
        };
        let mut kept = 0;
        match whole.next() {
            None => {}
            Some(line) => {
                let begun = serde_json::from_slice::<Job>(line).ok();
                let Some(begun) = begun.filter(|begun| job.is_same(begun)) else {
                    let why = format!(
                        "{shown} is of an export that was asked for something else, or by another version; \
                         remove it to begin anew"
                    );
                    return Err(WrongInput(why).into());
                };
                progress.job = begun;
                kept = line.len();
                for line in whole {
                    let Ok(written) = serde_json::from_slice::<Written>(line) else {
                        break;
                    };
                    // Not all of it is on the disk after a power cut.
                    if written.end > length {
                        break;
                    }
                    kept += line.len();
                    progress.written += 1;
                    progress.last = Some(written);
                }
            }
        }
        progress
            .file
            .set_len(kept as u64)
            .with_context(|| shown.clone())?;
        progress
            .file
            .seek(std::io::SeekFrom::End(0))
            .with_context(|| shown)?;
        if kept == 0 {
            let job = progress.job.clone();
            progress.line(&job)?;
        }
        Ok(progress)
    }

    /// Notes an instance that is on the disk.
    pub fn note(&mut self, written: Written) -> Result<()> {
        self.line(&written)?;
        self.last = Some(written);
        Ok(())
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| self.path.display().to_string())
    }

    /// Removes the file: the export is whole, or nothing.
    pub fn end(self) -> Result<()> {
        std::fs::remove_file(&self.path).with_context(|| self.path.display().to_string())
    }
}
