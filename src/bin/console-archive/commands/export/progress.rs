//! What an export has, and how far it has come: a file beside the one that it writes.
//!
//! ```text
//! what was asked for
//! an instance, and the objects that it had when the export began    ┐ the selection
//! …                                                                 ┘
//! the digest of the selection
//! an instance that is written, with the digest of what was written
//! …
//! ```

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ecs_console_archiver::archive::reader::Instance;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::store::Entry;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::files::{digest, open, open_or_make};
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

/// An instance of the selection: the objects that it had when the export began.
#[derive(Serialize, Deserialize)]
struct Selected {
    instance_id: InstanceId,
    /// Names below the instance, lengths in bytes, and when they were stored.
    objects: Vec<(String, u64, Timestamp)>,
}

impl Selected {
    fn of(instance: &Instance) -> Self {
        let object = |entry: &Entry| {
            let name = entry.key.split_once('/').map_or("", |(_, name)| name);
            (name.to_owned(), entry.bytes, entry.stored_at)
        };
        Self {
            instance_id: instance.id.clone(),
            objects: instance.entries.iter().map(object).collect(),
        }
    }

    fn into_instance(self) -> Instance {
        let id = self.instance_id;
        let entry = |(name, bytes, stored_at)| Entry {
            key: format!("{id}/{name}"),
            bytes,
            stored_at,
        };
        let entries = self.objects.into_iter().map(entry).collect();
        Instance { id, entries }
    }
}

/// The end of the selection.
#[derive(Serialize, Deserialize)]
struct SelectionEnd {
    /// SHA-256 of its lines.
    selection_sha256: String,
}

/// An instance that is written whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    pub instance_id: InstanceId,
    /// Length of the file with it.
    pub end: u64,
    /// SHA-256 of what was written for it.
    pub sha256: String,
    /// What of it is damaged or left out: the export is not whole, whoever finishes it.
    #[serde(default)]
    pub damaged: u64,
    /// In a folder, its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// The file beside the one that is written. A line is written once its instance is on the disk.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    file: File,
    pub job: Job,
    /// Where the selection is in the file, once it is whole.
    selection: Option<Range<u64>>,
    /// What is written, and where its line ends.
    written: Vec<(Written, u64)>,
}

impl Progress {
    /// Begins, or goes on with what the file says.
    ///
    /// # Errors
    /// If another export writes there, or one that was asked for something else began there.
    pub fn open(path: PathBuf, job: &Job) -> Result<Self> {
        let shown = path.display().to_string();
        let file = open_or_make(&path)?;
        if file.try_lock().is_err() {
            return Err(WrongInput(format!("{shown}: another export writes there")).into());
        }
        let mut progress = Self {
            path,
            file,
            job: job.clone(),
            selection: None,
            written: Vec::new(),
        };
        progress.read()?;
        if progress.selection.is_none() {
            // Nothing was written yet.
            progress.cut(0)?;
            let job = progress.job.clone();
            progress.line(&job)?;
        }
        Ok(progress)
    }

    fn other(&self) -> WrongInput {
        let part = self.path.with_extension("");
        WrongInput(format!(
            "{} is of an export that was asked for something else, or by another version; remove it and {} to begin \
             anew",
            self.path.display(),
            part.display()
        ))
    }

    fn read(&mut self) -> Result<()> {
        let at_path = || self.path.display().to_string();
        let mut lines = Lines {
            reader: BufReader::new(self.file.try_clone().with_context(at_path)?),
            line: Vec::new(),
            end: 0,
        };
        if !lines.next().with_context(at_path)? {
            return Ok(());
        }
        let begun = serde_json::from_slice::<Job>(&lines.line).ok();
        let Some(begun) = begun.filter(|begun| self.job.is_same(begun)) else {
            return Err(self.other().into());
        };
        let (begin, mut digest) = (lines.end, Sha256::new());
        loop {
            let end = lines.end;
            if !lines.next().with_context(at_path)? {
                return Ok(()); // It was killed before the selection was whole.
            }
            if let Ok(SelectionEnd { selection_sha256 }) = serde_json::from_slice(&lines.line) {
                if selection_sha256 != hex::encode(digest.finalize()) {
                    return Ok(()); // It was not whole on the disk.
                }
                self.job = begun;
                self.selection = Some(begin..end);
                break;
            }
            if serde_json::from_slice::<Written>(&lines.line).is_ok() {
                return Err(self.other().into()); // Earlier versions had no selection.
            }
            digest.update(&lines.line);
        }
        while lines.next().with_context(at_path)? {
            let Ok(written) = serde_json::from_slice::<Written>(&lines.line) else {
                break;
            };
            self.written.push((written, lines.end));
        }
        Ok(())
    }

    /// What is written.
    pub fn written(&self) -> impl ExactSizeIterator<Item = &Written> {
        self.written.iter().map(|(written, _)| written)
    }

    /// The last of it.
    pub fn last(&self) -> Option<&Written> {
        self.written().last()
    }

    /// Keeps the first so many instances. What is written behind them is not what it should be.
    pub fn keep(&mut self, count: usize) -> Result<()> {
        self.written.truncate(count);
        let of_selection = self.selection.as_ref().map(|range| range.end);
        match (self.written.last(), of_selection) {
            (Some((_, end)), _) => self.cut(*end),
            (None, Some(end)) => {
                // Behind the line with the digest.
                self.cut(end)?;
                self.end_selection()
            }
            (None, None) => Ok(()),
        }
    }

    fn cut(&mut self, length: u64) -> Result<()> {
        let cut = self.file.set_len(length);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(length)));
        cut.map(drop)
            .with_context(|| self.path.display().to_string())
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is known what the export has.
    pub fn is_selected(&self) -> bool {
        self.selection.is_some()
    }

    /// Adds an instance to the selection.
    pub fn select(&mut self, instance: &Instance) -> Result<()> {
        self.line(&Selected::of(instance))
    }

    /// Nothing more is selected.
    pub fn selected(&mut self) -> Result<()> {
        let at_path = || self.path.display().to_string();
        let end = self.file.stream_position().with_context(at_path)?;
        let mut job = serde_json::to_string(&self.job)?;
        job.push('\n');
        self.selection = Some(job.len() as u64..end);
        self.end_selection()
    }

    fn end_selection(&mut self) -> Result<()> {
        let (_, selection_sha256) = digest(self.lines_of_selection()?)?;
        self.line(&SelectionEnd { selection_sha256 })?;
        let synced = self.file.sync_data();
        synced.with_context(|| self.path.display().to_string())
    }

    fn lines_of_selection(&self) -> Result<impl std::io::BufRead + use<>> {
        let Range { start, end } = self.selection.clone().unwrap_or_default();
        let mut file = open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(file.take(end - start)))
    }

    /// The selection, instance by instance.
    pub fn instances(&self) -> Result<impl Iterator<Item = Result<Instance>> + use<>> {
        let lines = self.lines_of_selection()?.split(b'\n');
        Ok(lines.map(|line| {
            let selected: Selected = serde_json::from_slice(&line?)?;
            Ok(selected.into_instance())
        }))
    }

    /// Notes an instance that is on the disk.
    pub fn note(&mut self, written: Written) -> Result<()> {
        self.line(&written)?;
        let at_path = || self.path.display().to_string();
        let end = self.file.stream_position().with_context(at_path)?;
        self.written.push((written, end));
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

/// Whole lines. One that was cut is none.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Where the line ends.
    end: u64,
}

impl Lines {
    fn next(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        let length = self.reader.read_until(b'\n', &mut self.line)?;
        let is_whole = self.line.ends_with(b"\n");
        if is_whole {
            self.end += length as u64;
        }
        Ok(is_whole)
    }
}
