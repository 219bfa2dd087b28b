//! What an export before has written, read back: after a power cut, the end of a file may be anything.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::files::{digest, is_of_folder, open};
use super::progress::{Progress, Written};
use crate::output;

/// Goes on behind so many instances. Others that were noted are not on the disk as they were written.
pub fn keep(progress: &mut Progress, count: usize, part: &Path) -> Result<()> {
    let noted = progress.written().len();
    if count < noted {
        output::error(format_args!(
            "warning: {} is not what was written behind the first {}; {} exported again",
            part.display(),
            output::count(count as u64, "instance"),
            match noted - count {
                1 => "the one behind it is".to_owned(),
                count => format!("the {count} behind it are"),
            }
        ));
    }
    progress.keep(count)
}

/// How many instances are in the file as they were written, from its beginning on: after a power cut, its end may be
/// anything.
pub fn whole_frames(file: &mut File, progress: &Progress) -> io::Result<usize> {
    file.rewind()?;
    let (mut count, mut begin) = (0, 0);
    for written in progress.written() {
        let length = written.end.saturating_sub(begin);
        let (read, sha256) = digest(io::Read::take(&mut *file, length))?;
        if read < length || sha256 != written.sha256 {
            break;
        }
        (count, begin) = (count + 1, written.end);
    }
    Ok(count)
}

/// Whether the files of an instance are in the folder as they were written.
pub fn is_in_folder(folder: &Path, written: &Written) -> bool {
    let mut all = Sha256::new();
    for path in &written.files {
        let path = folder.join(path);
        let file = match is_of_folder(folder, &path) {
            true => open(&path).ok(),
            false => None,
        };
        let Some((_, sha256)) = file.and_then(|file| digest(file).ok()) else {
            return false;
        };
        all.update(sha256);
    }
    hex::encode(all.finalize()) == written.sha256
}
