//! Every command of the README does what it says, in the order it stands there.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::layout::pages;
use crate::support::printed::checked;
use crate::support::*;

/// The fenced blocks of this language, with their first line's number.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let opening = format!("```{language}\n");
    readme
        .split(&opening)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn path_with_programs() -> String {
    let program = program("console-archive");
    let programs = program.parent().unwrap().display();
    format!("{programs}:{}", std::env::var("PATH").unwrap())
}

fn bash(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder);
    command
        .env("PATH", path_with_programs())
        .stdin(Stdio::null());
    command
}

fn run(script: &str, folder: &Path) -> String {
    let output = checked(bash(script, folder).output().unwrap());
    let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{script}\n{shown}");
    shown
}

/// Ended with the test.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Blocks marked `sh` need no cloud and are run as a reader runs them: the first, the simulator,
/// in a terminal of its own, the others in one shell. Those marked `shell` build, deploy, or are
/// run by `tests/cargo-lambda.sh`.
#[test]
fn the_commands_that_need_no_cloud_work_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["events", "tests"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }
    let mut blocks = blocks("sh");
    let simulate = format!("exec {}", blocks.remove(0));
    let mut simulator = bash(&simulate, folder.path());
    simulator.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut simulator = Background(simulator.spawn().unwrap());
    let printed = BufReader::new(simulator.0.stdout.take().unwrap());
    for line in printed
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.starts_with("export "))
    {
        assert!(
            blocks[0].contains(&line),
            "{line:?} is printed, and not in the README"
        );
        if line.starts_with("export ARCHIVE_URL") {
            break;
        }
    }
    let script = blocks.join("\n");
    for command in ["invoke", "capture", "list", "get"] {
        assert!(
            script.contains(&format!("console-archive {command}")),
            "{command} is not shown"
        );
    }
    let shown = run(&script, folder.path());
    assert!(shown.contains("Kernel panic"), "{shown}");
    assert!(
        std::fs::read(folder.path().join("console.log")).unwrap()
            == fixture("i-bp1oomkill000000001")
    );
}

#[test]
fn the_demonstration_keeps_and_prints_consoles() {
    let folder = tempfile::tempdir().unwrap();
    let demo = format!(
        "{}/tests/demo.sh {} {}",
        root().display(),
        program("console-archive").display(),
        folder.path().display()
    );
    let shown = run(&demo, folder.path());
    assert!(
        shown.contains("Kernel panic") || shown.contains("Rebooting in 2 seconds"),
        "{shown}"
    );
    for id in instances() {
        assert!(
            shown.contains(&format!("/{id}/")),
            "{id} was not kept: {shown}"
        );
    }
}

#[test]
fn every_target_the_pages_name_is_in_the_makefile() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut found = Vec::new();
    for (page, text) in pages() {
        for before in ["`make ", "\nmake "] {
            for rest in text.split(before).skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
                let target = rest[..end.unwrap_or(rest.len())].to_owned();
                let is_there = makefile.contains(&format!("\n{target}:"));
                assert!(is_there, "{page}: make {target}");
                found.push(target);
            }
        }
    }
    for target in ["run", "test", "dist", "deploy", "package"] {
        assert!(
            found.iter().any(|name| name == target),
            "{target}: {found:?}"
        );
    }
}

/// A row of the change log is worth what its test is: one that was renamed or removed must not stay.
#[test]
fn every_test_the_change_log_names_is_there() {
    let changes = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let (_, table) = changes.split_once("| What went wrong | Test |\n").unwrap();
    let rows: Vec<_> = (table.lines().skip(1))
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let (file, name) = test.trim_matches('`').split_once("`: `").expect(row);
        let code = std::fs::read_to_string(root().join(file)).expect(row);
        assert!(code.contains(&format!("fn {name}(")), "{row}");
    }
}
