//! `console-archive man`: the manual, a page for the whole and one for each command.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::exit::Exit;

/// Print the manual page, or write those of all commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive man | man -l -
  console-archive man --folder ~/.local/share/man/man1
  man console-archive-get")]
pub struct Arguments {
    /// Write console-archive.1 and a page for each command to this folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub fn run(arguments: Arguments, command: Command) -> Result<Exit> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let Some(folder) = arguments.folder else {
        stdout().write_all(&page(&man(&command), &command)?)?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(&folder).map_err(|error| not_written(&folder, error))?;
    for described in std::iter::once(&command).chain(command.get_subcommands()) {
        let man = man(described);
        let file = folder.join(man.get_filename());
        std::fs::write(&file, page(&man, described)?).map_err(|error| not_written(&file, error))?;
    }
    Ok(Exit::Done)
}

fn not_written(path: &Path, cause: std::io::Error) -> anyhow::Error {
    let path = path.display();
    anyhow!("cannot write {path}: {cause}; give another folder with --folder")
}

fn man(command: &Command) -> Man {
    Man::new(command.clone())
        // An empty date would be left out of the line, and what follows be taken for it.
        .date(" ")
        .source(concat!("console-archive ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
}

/// What follows the options in the help, such as examples and exit codes, has sections of its own.
fn page(man: &Man, command: &Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let after = command.get_after_long_help().or(command.get_after_help());
    sections(&after.map(ToString::to_string).unwrap_or_default()).to_writer(&mut page)?;
    if !command.has_subcommands() {
        let mut roff = Roff::new();
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("console-archive"), roman("(1)")]);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}

/// A line without an indent that ends with a colon is a heading; what follows it is printed as is.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    for line in text.lines() {
        match line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            Some(heading) => {
                roff.control("fi", []);
                roff.control("SH", [heading.to_uppercase().as_str()]);
                roff.control("nf", []);
            }
            None => {
                let line = line.strip_prefix("  ").unwrap_or(line);
                roff.text([roman(line)]);
            }
        }
    }
    roff.control("fi", []);
    roff
}
