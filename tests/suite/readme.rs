//! Every command of the README does what it says, in the order it stands there.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

/// The lines of a sample are those of a run: only digits differ, as those of times. The simulator's
/// times are those of the files: of a checkout that is eight hours old they could be UTC, and have a
/// question mark.
#[track_caller]
fn are_shown(sample: &str, shown: &str) {
    let shape = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let line = words.join(" ").replace(|c: char| c.is_ascii_digit(), "0");
        line.replace("Z?", "Z")
    };
    let shapes: Vec<_> = shown.lines().map(shape).collect();
    for line in sample.lines().filter(|line| *line != "…") {
        let is_shown = shapes.contains(&shape(line));
        assert!(is_shown, "{line:?} is not shown:\n{shown}");
    }
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
    // What the section about reading back reads.
    let demo = root().join("tests/demo.sh");
    let program = program("console-archive");
    let demo = format!("{} {} target/demo", demo.display(), program.display());
    run(&demo, folder.path());
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
    are_shown(&self::blocks("text").split_off(1).concat(), &shown);
    assert!(
        std::fs::read(folder.path().join("console.log")).unwrap()
            == fixture("i-bp1panicnoroot00001")
    );
}

#[test]
fn the_demonstration_gives_back_the_last_words_that_ecs_has_lost() {
    let folder = tempfile::tempdir().unwrap();
    let demo = format!(
        "{}/tests/demo.sh {} {}",
        root().display(),
        program("console-archive").display(),
        folder.path().join("demo").display()
    );
    let shown = run(&demo, folder.path());
    are_shown(&blocks("console").concat(), &shown);
    let steps: Vec<_> = shown.split("\n$ console-archive ").skip(1).collect();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names,
        ["invoke", "capture", "get", "list", "get", "invoke", "get"],
        "{shown}"
    );
    let [invoke, capture, new, list, previous, windows, screen] = steps[..] else {
        panic!("{shown}");
    };
    for stored in [invoke, capture] {
        assert!(stored.contains("\n  stored file:///"), "{shown}");
    }
    assert_eq!(
        shown.matches("i-bp1panicnoroot00001/").count(),
        2,
        "{shown}"
    );
    assert!(!shown.contains("already stored"), "{shown}");
    assert!(
        !new.contains("panic - not syncing") && new.contains("Reached target"),
        "{shown}"
    );
    assert_eq!(
        list.matches("  i-bp1panicnoroot00001").count() + list.matches("\ni-bp1").count(),
        2
    );
    assert!(previous.contains("Kernel panic - not syncing"), "{shown}");
    assert!(previous.contains("Rebooting in 2 seconds"), "{shown}");
    assert!(
        shown.lines().count() <= 70,
        "{} lines\n{shown}",
        shown.lines().count()
    );
    assert!(
        windows.contains("no console of i-bp1windows000000001"),
        "{shown}"
    );
    assert!(windows.contains("\n    screenshot file:///"), "{shown}");
    assert!(screen.contains("screen.jpg"), "{shown}");
    let picture_there = std::fs::read(folder.path().join("demo/screen.jpg")).unwrap();
    assert!(picture_there == picture("stop.jpg"));
    assert!(!shown.contains(['{', '\\']), "no JSON: {shown}");
    // What is there is left alone.
    let again = bash(&demo, folder.path()).output().unwrap();
    let again = checked(again);
    assert!(text(&again.stderr).contains("is not empty; give another folder"));
}

#[test]
fn the_checks_in_the_pages_are_those_of_a_wrong_secret() {
    // Its address is as long as the sample's, for columns are as wide as their cells.
    let folder = tempfile::Builder::new()
        .prefix("a")
        .rand_bytes(6)
        .tempdir_in("/tmp");
    let folder = folder.unwrap();
    let archive = folder.path();
    let script = format!(
        "cd {}; console_archive=$(command -v console-archive); . tests/simulator.sh
         export ARCHIVE_URL=file://{} ALIBABA_CLOUD_ACCESS_KEY_SECRET=wrong
         console-archive doctor || echo exit code $?; kill $simulator",
        root().display(),
        archive.display(),
    );
    let shown = run(&script, folder.path());
    assert!(shown.contains("exit code 1"), "{shown}");
    let shown = shown.replace(archive.to_str().unwrap(), "/tmp/archive");
    let (before, rest) = shown.split_once("request ").unwrap();
    let (_, after) = rest.split_once(')').unwrap();
    let shown = format!("{before}request 24FF97BC5A6E4A51ACA0D9DBF0E2ED90){after}");
    let page = std::fs::read_to_string(root().join("docs/command-line.md")).unwrap();
    let (_, sample) = page.split_once("```text\nCHECK ").unwrap();
    are_shown(
        sample
            .split("```")
            .next()
            .unwrap()
            .split_once('\n')
            .unwrap()
            .1,
        &shown,
    );
}
