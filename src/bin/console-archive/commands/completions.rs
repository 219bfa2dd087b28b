//! `console-archive completions`: what a shell completes.

use std::io::{Write as _, stdout};

use anyhow::Result;
use clap::{Args, Command, ValueEnum};

use crate::exit::Exit;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive completions bash \\
    > ~/.local/share/bash-completion/completions/console-archive
  console-archive completions zsh > \"${fpath[1]}/_console-archive\"
  console-archive completions fish \\
    > ~/.config/fish/completions/console-archive.fish")]
pub struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(arguments: &Arguments, mut command: Command) -> Result<Exit> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    // It spells the state in two ways where the program's name has a hyphen, so that no option of a
    // command would be completed: https://github.com/clap-rs/clap/issues/6421.
    let script = String::from_utf8(script)?.replace(
        "console__subcmd__archive__subcmd__",
        "console__archive__subcmd__",
    );
    stdout().write_all(script.as_bytes())?;
    Ok(Exit::Done)
}
