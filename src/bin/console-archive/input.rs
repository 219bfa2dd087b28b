//! Files that a person names: read whole, up to a limit, and never waited for.

use std::fmt::Display;
use std::fs::{File, FileType};
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use ecs_console_archiver::archive::record;
use ecs_console_archiver::printable;

use crate::exit::WrongInput;
use crate::output;

/// A problem with a file, by its name on one line.
pub fn wrong(file: &Path, why: impl Display) -> WrongInput {
    WrongInput(format!("{}: {why}", shown(file)))
}

/// A file's name on one line: a name may have line feeds in it.
pub fn shown(file: &Path) -> String {
    printable::one_line(&file.display().to_string()).into_owned()
}

/// Reads a file, and at most this many bytes of it, so that an endless one ends.
///
/// # Errors
/// [`WrongInput`] when it cannot be read, or is of a kind that may never end: a FIFO waits for
/// somebody to write to it, and a device has no end.
pub fn read(file: &Path, limit: u64) -> Result<Vec<u8>, WrongInput> {
    refuse_others_than_files(file)?;
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| {
        let length = file.metadata()?.len().min(limit);
        bytes.reserve_exact(usize::try_from(length).unwrap_or_default());
        file.take(limit).read_to_end(&mut bytes)
    });
    read.map_err(|error| wrong(file, error))?;
    Ok(bytes)
}

/// The same, or standard input for `-`. `what` is read, as a message on a terminal says. A thread of its own
/// reads, because terminals and pipes may have nothing to read for long.
///
/// # Errors
/// As [`read`].
pub async fn read_or_standard_input(
    file: PathBuf,
    limit: u64,
    what: &'static str,
) -> Result<Vec<u8>, WrongInput> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let name = file.clone();
    std::thread::spawn(move || {
        let read = if file == Path::new("-") {
            read_standard_input(limit, what)
        } else {
            read(&file, limit)
        };
        // After Ctrl-C nobody waits for it.
        _ = sender.send(read);
    });
    let unread = |_| Err(wrong(&name, "it was not read"));
    receiver.await.unwrap_or_else(unread)
}

/// Reads a log that anyone may have kept: a file, or standard input for `-`. Gzip is unpacked. Returns what it is
/// called, and its bytes.
///
/// # Errors
/// As [`read`], and if it is too long or its gzip is damaged.
pub async fn read_log(name: &str) -> Result<(&str, Vec<u8>), WrongInput> {
    let path = PathBuf::from(name);
    let limit = record::MAX_PLAIN_BYTES as u64 + 1;
    let bytes = read_or_standard_input(path.clone(), limit, "a log").await?;
    if bytes.len() as u64 == limit {
        let most = record::MAX_PLAIN_BYTES;
        return Err(wrong(&path, format_args!("it has more than {most} bytes")));
    }
    let log = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => record::unpack(&bytes).map_err(|fault| wrong(&path, fault))?,
        false => bytes,
    };
    let name = match name {
        "-" => "standard input",
        name => name,
    };
    Ok((name, log))
}

fn read_standard_input(limit: u64, what: &str) -> Result<Vec<u8>, WrongInput> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::error(format_args!(
            "reading {what} from the terminal; end it with Ctrl-D on a line of its own"
        ));
    }
    let mut bytes = Vec::new();
    let read = stdin.lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| wrong(Path::new("standard input"), error))?;
    Ok(bytes)
}

/// Refuses what is no file.
///
/// # Errors
/// [`WrongInput`], as [`read`] has it.
pub fn refuse_others_than_files(file: &Path) -> Result<(), WrongInput> {
    let metadata = std::fs::metadata(file).map_err(|error| wrong(file, error))?;
    match kind(metadata.file_type()) {
        Some(kind) if !is_open_already(file) => {
            Err(wrong(file, format_args!("it is {kind}, not a file")))
        }
        _ => Ok(()),
    }
}

/// What a shell opened for this process, as in `<(command)`: somebody writes to it.
fn is_open_already(file: &Path) -> bool {
    file.starts_with("/dev/fd") || file == Path::new("/dev/stdin")
}

/// The name of what is no file.
fn kind(file_type: FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    if file_type.is_file() {
        None
    } else if file_type.is_dir() {
        Some("a folder")
    } else if file_type.is_fifo() {
        Some("a FIFO")
    } else if file_type.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}
