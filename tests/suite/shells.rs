//! What shells, pagers and readers of manuals get of the real `console-archive`: completions, man
//! pages, help by task, colours.

use std::process::{Command, Output, Stdio};

use crate::support::printed::checked;
use crate::support::*;

const COMMANDS: [&str; 25] = [
    "list",
    "boots",
    "show",
    "grep",
    "get",
    "diff",
    "serve",
    "findings",
    "explain",
    "report",
    "rescan",
    "capture",
    "sweep",
    "invoke",
    "redrive",
    "export",
    "copy",
    "compact",
    "reindex",
    "verify",
    "prune",
    "doctor",
    "simulate",
    "completions",
    "man",
];

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("console-archive"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    checked(command.output().unwrap())
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new()),
        "{arguments:?}"
    );
    text(&output.stdout)
}

/// What bash offers at the end of this line.
fn completed(line: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("console-archive.bash");
    std::fs::write(&script, printed(&["completions", "bash"])).unwrap();
    let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "source '{}'\nCOMP_WORDS=({})\nCOMP_CWORD={}\ncommand=$(complete -p console-archive)\n\
         function=${{command#*-F }}; function=${{function%% *}}\n\
         \"$function\" console-archive \"${{COMP_WORDS[COMP_CWORD]}}\" \
         \"${{COMP_WORDS[COMP_CWORD-1]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words.len() - 1
    );
    let output = checked(Command::new("bash").args(["-c", &ask]).output().unwrap());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(completed("console-archive red"), ["redrive"]);
    let all = completed("console-archive ");
    for command in COMMANDS {
        assert!(all.iter().any(|word| word == command), "{command}: {all:?}");
    }
    assert_eq!(completed("console-archive get --da"), ["--damaged"]);
    let values = completed("console-archive list --output ");
    assert_eq!(values, ["text", "json"]);
    assert_eq!(completed("console-archive completions z"), ["zsh"]);
}

#[test]
fn zsh_and_fish_get_every_command_and_its_options() {
    let zsh = printed(&["completions", "zsh"]);
    let fish = printed(&["completions", "fish"]);
    assert!(zsh.starts_with("#compdef console-archive\n"), "{zsh}");
    for command in COMMANDS {
        assert!(
            zsh.contains(&format!("({command})\n_arguments ")),
            "{command}"
        );
        let offered = format!("-a \"{command}\"");
        assert!(fish.contains(&offered), "{command}");
    }
    assert!(zsh.contains("'--dry-run[") && fish.contains("-l dry-run"));
    let unknown = run(&["completions", "tcsh"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// Every macro at the start of a line, and that what begins also ends.
fn check_roff(page: &str) {
    let macros = [
        "TH", "SH", "SS", "TP", "RS", "RE", "PP", "IP", "br", "nf", "fi", "ie", "el",
    ];
    let mut depth = 0;
    for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
        let name = line[1..].split(' ').next().unwrap();
        assert!(macros.contains(&name), "{line}");
        depth += i32::from(name == "RS") - i32::from(name == "RE");
    }
    assert_eq!(depth, 0, "{page}");
}

#[test]
fn every_command_has_a_man_page_with_its_options_and_examples() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man/man1");
    printed(&["man", "--folder", man.to_str().unwrap()]);
    let mut names = names_in(&man, ".1");
    names.sort();
    let mut expected: Vec<_> = COMMANDS
        .iter()
        .map(|c| format!("console-archive-{c}"))
        .collect();
    expected.push("console-archive".to_owned());
    expected.sort();
    assert_eq!(names, expected);
    for name in &names {
        let page = std::fs::read_to_string(man.join(format!("{name}.1"))).unwrap();
        check_roff(&page);
        assert!(
            page.contains(&format!(".TH {name} 1 \" \" \"console-archive ")),
            "{page}"
        );
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"] {
            let heading = format!("\n.SH {section}\n");
            assert!(page.contains(&heading), "{section} in {page}");
        }
    }
    let get = std::fs::read_to_string(man.join("console-archive-get.1")).unwrap();
    assert!(
        get.contains("\\-\\-damaged") && get.contains(".SH \"SEE ALSO\""),
        "{get}"
    );
    let whole = printed(&["man"]);
    assert!(
        whole.contains(".SH \"EXIT CODES\"") && whole.contains("\n130  interrupted"),
        "{whole}"
    );
    assert_eq!(
        whole,
        std::fs::read_to_string(man.join("console-archive.1")).unwrap()
    );
}

#[test]
fn help_shows_each_command_once_under_its_task_and_each_has_an_example() {
    let help = printed(&["--help"]);
    let (before, _) = help.split_once("\nOptions:\n").unwrap();
    for task in [
        "Read consoles back:",
        "Store consoles:",
        "Keep the archive:",
        "Set up and try out:",
    ] {
        assert!(before.contains(&format!("\n{task}\n")), "{help}");
    }
    let listed: Vec<_> = before
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let names: Vec<_> = listed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, COMMANDS);
    for (name, about) in listed {
        assert!(!about.trim().is_empty(), "{name} says nothing");
        assert!(
            name.len().max(11) + about.trim().len() + 4 <= 80,
            "{name} {about}"
        );
        for flag in ["--help", "-h"] {
            let help = printed(&[name, flag]);
            let example = format!("\n  console-archive {name}");
            let (_, examples) = help.split_once("\nExamples:\n").expect(name);
            let examples = format!("\n{examples}");
            assert!(
                examples.contains(&example)
                    || examples.contains(&format!("| console-archive {name}")),
                "{help}"
            );
        }
    }
}
