//! Long output for people goes through a pager, as with git and journalctl.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write, stdout};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Where output goes.
pub enum Destination {
    Stdout(BufWriter<Stdout>),
    Pager(BufWriter<ChildStdin>, Child),
}

impl Destination {
    pub fn stdout() -> Self {
        Self::Stdout(BufWriter::new(stdout()))
    }

    /// The program of `PAGER`, with its options, or `less`. Standard output where `PAGER` is empty or
    /// `cat`, and where there is no `less`. `at_end`: `less` begins with the last page.
    pub fn pager(at_end: bool) -> io::Result<Self> {
        let pager = std::env::var("PAGER").ok();
        let mut command = match pager.as_deref().map(str::trim) {
            Some("" | "cat") => return Ok(Self::stdout()),
            Some(pager) => {
                let is_less = pager.split_whitespace().next() == Some("less");
                let mut shell = Command::new("sh");
                let place = if at_end && is_less { " +G" } else { "" };
                shell.args(["-c", &format!("{pager}{place}")]);
                shell
            }
            None => {
                let mut less = Command::new("less");
                less.args(at_end.then_some("+G"));
                less
            }
        };
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", "FRX"); // As git: no pager for one page, colours, and the text stays.
        }
        let mut child = match command.stdin(Stdio::piped()).spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound && pager.is_none() => {
                return Ok(Self::stdout());
            }
            started => started?,
        };
        Ok(match child.stdin.take() {
            Some(stdin) => Self::Pager(BufWriter::new(stdin), child),
            None => Self::stdout(),
        })
    }

    /// Writes what is left, and waits until the pager is closed.
    pub fn close(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush(),
            Self::Pager(mut stdin, mut child) => {
                let written = stdin.flush();
                drop(stdin);
                has_shown(&mut child)?;
                written
            }
        }
    }
}

/// Waits until the pager has ended. Whoever leaves it early has seen enough; but a pager that failed may have
/// shown nothing, and has said nothing either.
fn has_shown(child: &mut Child) -> io::Result<()> {
    let ended = child.wait()?;
    match ended.code() {
        Some(0) => Ok(()),
        Some(126 | 127) => Err(io::Error::other(
            "the pager of PAGER cannot be run; set it to another one, or give --no-pager",
        )),
        _ => Err(io::Error::other(format!(
            "the pager has ended with {ended}; if it has not shown everything, give --no-pager"
        ))),
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Pager(stdin, child) => stdin.write(bytes).map_err(|error| told(error, child)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Pager(stdin, child) => stdin.flush().map_err(|error| told(error, child)),
        }
    }
}

/// Why a pager does not read on.
fn told(error: io::Error, child: &mut Child) -> io::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => has_shown(child).err().unwrap_or(error),
        _ => error,
    }
}
