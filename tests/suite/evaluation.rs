//! How much of what went wrong `findings` finds, and how often it is wrong: the table in `docs/findings.md`.
//!
//! It is counted on `tests/fixtures/findings/lines.tsv`, whose lines have a family, a severity, the source that prints
//! them, and the line, and on the recordings. `make eval` puts it on the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ecs_console_archiver::reading::findings::{Rules, Severity, of_console};

use crate::support::recording::Recording;
use crate::support::root;

const PAGE: &str = "docs/findings.md";
const LINES: &str = "tests/fixtures/findings/lines.tsv";
/// What stands around the table on the page.
const BEGIN: &str = "<!-- What `make eval` counted. -->\n";
const END: &str = "<!-- The end of what it counted. -->\n";
/// The family of lines that say nothing of a fault.
const WELL: &str = "-";

/// Recordings in which something went wrong, and the family that says what.
const FAULTY: &[(&str, &str)] = &[
    ("bookworm-reboots", "ending"),
    ("cloud-init-no-metadata", "cloud-init"),
    ("disk-full", "filesystem"),
    ("dracut-shell", "root"),
    ("emergency", "init"),
    ("fsck-wants-a-person", "filesystem"),
    ("grub-missing-file", "loader"),
    ("hung-task", "kernel"),
    ("initramfs-shell", "root"),
    ("kdump", "kernel"),
    ("kernel-bug", "kernel"),
    ("kernel-divide", "kernel"),
    ("kernel-null", "kernel"),
    ("kernel-protection", "kernel"),
    ("kernel-rcu-stall", "kernel"),
    ("kernel-refcount", "kernel"),
    ("kernel-soft-lockup", "kernel"),
    ("kernel-stack", "kernel"),
    ("kernel-warning", "kernel"),
    ("luks-asks", "block"),
    ("lvm-no-root", "root"),
    ("memory-limit", "memory"),
    ("no-bootable-device", "loader"),
    ("oom-kill", "memory"),
    ("oom-panic", "memory"),
    ("panic-init-killed", "init"),
    ("panic-no-root", "root"),
    ("panic-reboots", "kernel"),
    ("panic-stays", "kernel"),
    ("reboot-loop", "root"),
    ("reboot-loop", "ending"),
    ("rescue", "init"),
    ("silence-hang", "ending"),
    ("slow-boot", "init"),
    ("uefi-no-bootable-device", "loader"),
    ("watchdog-reset", "ending"),
];
/// Recordings in which all is well.
const QUIET: &[&str] = &[
    "bookworm-clean",
    "busybox-clean",
    "busybox-without-stamps",
    "cloud-init-clean",
    "grub-menu",
    "kexec",
    "quiet",
    "sid-runit-clean",
    "sysvinit-reboots",
    "trixie-dracut-clean",
    "trixie-sysvinit-clean",
    "uefi-grub",
];

/// Of one family: how much there is to be found, and how much of it is.
#[derive(Default)]
struct Row {
    lines: usize,
    found: usize,
    recordings: usize,
    recordings_found: usize,
    /// Quiet lines and recordings that have a finding above info of this family.
    false_alarms: usize,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.found += other.found;
        self.recordings += other.recordings;
        self.recordings_found += other.recordings_found;
        self.false_alarms += other.false_alarms;
    }

    fn print(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {} | {} | {} | {} |\n",
            self.lines, self.found, self.recordings, self.recordings_found, self.false_alarms
        )
    }
}

/// The families and severities of what a console shows.
fn found(console: &[u8]) -> Vec<(&'static str, Severity)> {
    let found = of_console(console, Rules::built_in());
    let found = found.iter();
    found.map(|one| (one.rule.family, one.severity)).collect()
}

fn table() -> String {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let lines = std::fs::read_to_string(root().join(LINES)).unwrap();
    let mut quiet: Vec<Vec<u8>> = Vec::new();
    for labelled in lines.lines() {
        let cells: Vec<_> = labelled.splitn(4, '\t').collect();
        let [family, severity, source, line] = cells[..] else {
            panic!("{labelled}");
        };
        assert!(!source.is_empty(), "{labelled}");
        if family == WELL {
            quiet.push(line.into());
            continue;
        }
        let rules = Rules::built_in().all();
        let family = rules
            .iter()
            .find(|rule| rule.family == family)
            .unwrap()
            .family;
        let row = rows.entry(family).or_default();
        row.lines += 1;
        let is_found = |(of, how): &(&str, Severity)| *of == family && how.as_str() == severity;
        row.found += usize::from(found(line.as_bytes()).iter().any(is_found));
    }
    for (name, family) in FAULTY {
        let row = rows.entry(family).or_default();
        row.recordings += 1;
        let found = found(&Recording::named(name).bytes());
        row.recordings_found += usize::from(found.iter().any(|(of, _)| of == family));
    }
    let quiet_lines = quiet.len();
    quiet.extend(QUIET.iter().map(|name| Recording::named(name).bytes()));
    for console in &quiet {
        for (family, severity) in found(console) {
            let row = rows.entry(family).or_default();
            row.false_alarms += usize::from(severity > Severity::Info);
        }
    }
    let mut table = format!(
        "Of {quiet_lines} lines and {} recordings that show no fault, the last column says how many have a finding above\n\
         `info`.\n\n\
         | Family | Lines | Found | Recordings | Found | False alarms |\n|---|---|---|---|---|---|\n",
        QUIET.len()
    );
    let mut all = Row::default();
    for (family, row) in &rows {
        all.add(row);
        let _ = write!(table, "{}", row.print(&format!("`{family}`")));
    }
    table + &all.print("all")
}

#[test]
fn the_page_says_how_much_is_found() {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let counted = [before, BEGIN, "\n", &table(), "\n", END, after].concat();
    if page != counted {
        let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings.md");
        std::fs::write(&found, counted).unwrap();
        panic!("{PAGE} is not what was counted; `make eval` puts it there");
    }
}
