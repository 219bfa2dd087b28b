//! What `console-archive diff` shows of two boots, and of two logs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use ecs_console_archiver::reading::compare::{Comparison, Manner, Side};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::stitch::Boot;
use serde_json::Value;

use crate::support::captured::{Captured, ID};
use crate::support::printed::checked;
use crate::support::recorded_boots::{self, first_boot, named};
use crate::support::s3_server::Profile;
use crate::support::*;

/// Logs in files.
struct Logs {
    folder: tempfile::TempDir,
}

impl Logs {
    fn new(logs: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, log) in logs {
            std::fs::write(folder.path().join(name), log).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `diff` prints of two of them, its exit code, and its errors.
    fn run(&self, names: [&str; 2], options: &[&str]) -> (String, Option<i32>, String) {
        let mut command = Command::new(program("console-archive"));
        let paths = names.map(|name| self.path(name));
        command.env_clear().arg("diff").args(paths).args(options);
        let output = checked(command.output().unwrap());
        (
            text(&output.stdout),
            output.status.code(),
            text(&output.stderr),
        )
    }

    /// The same of a script in their folder. `PROGRAM` is the command line.
    fn run_in_shell(&self, script: &str) -> (String, Option<i32>, String) {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.folder.path());
        command.env("PROGRAM", program("console-archive"));
        let output = checked(command.output().unwrap());
        (
            text(&output.stdout),
            output.status.code(),
            text(&output.stderr),
        )
    }

    #[track_caller]
    fn shown(&self, options: &[&str]) -> String {
        let (shown, code, error) = self.run(["a", "b"], options);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{options:?}");
        shown
    }

    /// How many lines differ of the first two without masks.
    fn raw_changes(&self) -> u64 {
        let raw = self.shown(&["--raw", "--stat", "--output", "json"]);
        let summary: Value = serde_json::from_str(raw.lines().last().unwrap()).unwrap();
        summary["removed"].as_u64().unwrap() + summary["added"].as_u64().unwrap()
    }
}

fn two(a: &str, b: &str) -> Logs {
    Logs::new(&[("a", a.as_bytes()), ("b", b.as_bytes())])
}

/// The lines that differ: not headings, equal lines and notes.
fn changes(shown: &str) -> Vec<&str> {
    let lines = shown.lines().skip(2);
    lines
        .filter(|line| line.starts_with(['-', '+', '<', '>', '?']))
        .collect()
}

fn side(log: &[u8]) -> Side {
    let boot = Boot::of_log(log.to_vec());
    Side::read(&boot, EncodingChoice::Auto, Manner::default())
}

#[test]
fn of_two_clean_boots_of_one_image_hardly_a_line_is_shown() {
    let mut shown = Vec::new();
    for (a, b) in recorded_boots::pairs() {
        let comparison = Comparison::new(side(&a.log), side(&b.log), Manner::default(), None);
        let counts = comparison.counts().all();
        shown.push(counts.removed + counts.added);
    }
    shown.sort_unstable();
    assert!(shown.len() >= 20, "{shown:?}");
    assert!(
        shown[shown.len() / 2] <= 10 && shown.iter().all(|count| *count <= 25),
        "{shown:?}"
    );
}

/// A recorded boot that went well, a recording of the same disk with a fault in its first boot, and what the
/// fault says first.
const RECORDED_FAULTS: [(&str, &str, &str); 10] = [
    (
        "bookworm-reboots 0",
        "emergency",
        "Timed out waiting for device dev-vdz1.device",
    ),
    ("bookworm-reboots 0", "rescue", "systemd.unit=rescue.target"),
    (
        "bookworm-reboots 0",
        "initramfs-shell",
        "Gave up waiting for root file system device.",
    ),
    (
        "bookworm-reboots 0",
        "fsck-wants-a-person",
        "Failed to start systemd-fs",
    ),
    (
        "bookworm-reboots 0",
        "panic-stays",
        "sysrq: Trigger a crash",
    ),
    (
        "bookworm-reboots 0",
        "slow-boot",
        "Failed to start web.service",
    ),
    (
        "bookworm-reboots 0",
        "disk-full",
        "Failed to start systemd-ra",
    ),
    (
        "trixie-sysvinit-clean 0",
        "watchdog-reset",
        "watchdog did not stop",
    ),
    ("kdump 2", "kdump", "sysrq: Trigger a crash"),
    (
        "busybox-clean 0",
        "panic-init-killed",
        "Kernel panic - not syncing: Attempted to kill init!",
    ),
];

#[test]
fn what_a_recorded_fault_says_first_is_shown_with_little_else() {
    for (good, fault, first) in RECORDED_FAULTS {
        let (good, faulty) = (named(good).whole, first_boot(fault));
        let logs = Logs::new(&[("a", &good), ("b", &faulty)]);
        let shown = logs.shown(&[]);
        let all = changes(&shown);
        let is_first = |line: &&str| line.starts_with('+') && line.contains(first);
        assert!(all.iter().any(is_first), "{fault}: {shown}");
        // The aim is for consoles of systemd, of which more lines differ than the whole of a small one has.
        let raw = logs.raw_changes();
        let part = if raw > 600 { 10 } else { 5 };
        assert!(
            all.len() as u64 * part <= raw,
            "{fault}: {} of {raw}: {shown}",
            all.len()
        );
    }
}

/// A fault: before which line it comes, what it says, and whether the boot ends with it.
type Fault = (&'static str, &'static [&'static str], bool);

const FAULTS: [Fault; 9] = [
    (
        "Freeing initrd memory",
        &["[    1.900000] virtio_blk: probe of virtio0 failed with error -6"],
        false,
    ),
    (
        "Run /init as init process",
        &[
            "[    2.900000] VFS: Unable to mount root fs on unknown-block(0,0)",
            "[    2.900100] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "[    2.900200] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0-57-cloud-amd64",
            "[    2.900300] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs ]---",
        ],
        true,
    ),
    (
        "systemd[1]: Reached target",
        &[
            "[    9.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "[    9.000100] #PF: supervisor read access in kernel mode",
            "[    9.000200] RIP: 0010:virtnet_poll+0x1b/0x6a0 [virtio_net]",
            "[    9.000300] ---[ end trace 0000000000000000 ]---",
        ],
        false,
    ),
    (
        "login: ",
        &[
            "[   20.000000] Out of memory: Killed process 345 (mysqld) total-vm:1234567kB, anon-rss:7kB",
        ],
        false,
    ),
    (
        "login: ",
        &[
            "[FAILED] Failed to start nginx.service - A high performance web server.",
            "See 'systemctl status nginx.service' for details.",
        ],
        false,
    ),
    (
        "local-fs.target",
        &[
            "[DEPEND] Dependency failed for srv.mount - /srv.",
            "You are in emergency mode. After logging in, type \"journalctl -xb\" to view",
            "Give root password for maintenance",
        ],
        true,
    ),
    (
        "re-mounted. Quota mode",
        &[
            "[    9.100000] EXT4-fs error (device vda): ext4_lookup:1855: inode #2: comm systemd: deleted inode referenced: 12",
        ],
        false,
    ),
    (
        "login: ",
        &["[  242.000000] INFO: task jbd2/vda-8:123 blocked for more than 120 seconds."],
        false,
    ),
    // Silence: the first line that is missing shows it.
    ("systemd-udevd.ser", &[], true),
];

#[test]
fn what_a_fault_says_first_is_shown_in_its_phase_with_little_else() {
    let (good, next) = (named("bookworm-reboots 1"), named("bookworm-reboots 3"));
    for (before, fault, ends) in FAULTS {
        let at = String::from_utf8_lossy(&next.log).find(before).unwrap();
        let line = next.log[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .unwrap()
            + 1;
        let said: Vec<u8> = fault
            .iter()
            .flat_map(|line| format!("{line}\r\n").into_bytes())
            .collect();
        let rest = if ends { &[][..] } else { &next.log[line..] };
        let faulty = [&next.log[..line], &said, rest].concat();
        let logs = Logs::new(&[("a", &good.log), ("b", &faulty)]);
        let shown = logs.shown(&[]);
        let all = changes(&shown);
        match fault.first() {
            Some(first) => assert!(
                all.contains(&format!("+{first}").as_str()),
                "{first}: {shown}"
            ),
            None => {
                let is_gone = |line: &&&str| line.starts_with('-') && line.contains(before);
                assert!(all.iter().any(|line| is_gone(&line)), "{shown}");
            }
        }
        let raw = logs.raw_changes();
        assert!(
            all.len() as u64 * 10 <= raw,
            "{} of {raw}: {shown}",
            all.len()
        );
    }
}

#[test]
fn what_matters_is_shown_however_small_it_is() {
    let boot = named("bookworm-reboots 1");
    let log = String::from_utf8_lossy(&boot.log).into_owned();
    for (before, after) in [
        ("root=/dev/vda ro", "root=/dev/vdb ro"),
        ("ro console=ttyS0", "ro quiet console=ttyS0"),
        ("1 node, 1 CPU", "1 node, 4 CPUs"),
        ("EXT4-fs (vda): mounted", "EXT4-fs (vdb): mounted"),
        ("523756K available", "1048044K available"),
        ("version 252", "version 253"),
    ] {
        let changed = log.replace(before, after);
        // A part of them may not be said by this kernel: then it is told by a line of its own.
        let (log, changed) = match changed == log {
            true => (
                format!("{log}\r\n{before}\r\n"),
                format!("{log}\r\n{after}\r\n"),
            ),
            false => (log.clone(), changed),
        };
        let shown = two(&log, &changed).shown(&["-U0"]);
        let all = changes(&shown);
        let is_shown = |sign: char, what: &str| {
            all.iter()
                .any(|line| line.starts_with(sign) && line.contains(what))
        };
        assert!(is_shown('-', before) && is_shown('+', after), "{shown}");
    }
    let errors = two(
        "[    1.000000] vda: error -6\n",
        "[    1.500000] vda: error -2\n",
    )
    .shown(&["-U0"]);
    assert_eq!(
        changes(&errors),
        [
            "-[    1.000000] vda: error -6",
            "+[    1.500000] vda: error -2"
        ]
    );
}

/// A boot that came to its login prompt, one that panicked, and one that is still at work.
async fn three_boots() -> Captured {
    let panic = named("panic-stays 0").whole;
    Captured::with(&[
        &named("bookworm-clean 0").whole,
        &panic,
        &named("bookworm-reboots 1").log,
    ])
    .await
}

#[tokio::test]
async fn a_boot_is_compared_with_the_last_good_one_or_with_the_one_that_is_named() {
    let world = three_boots().await;
    let ids: Vec<Value> =
        serde_json::from_str(&world.shown("boots", &["--output", "json"]).await).unwrap();
    let id = |index: usize| ids[index]["boot_id"].as_str().unwrap().to_owned();
    let headings = async |options: &[&str]| {
        let shown = world.shown("diff", options).await;
        let ids: Vec<_> = shown
            .lines()
            .take(2)
            .map(|line| line.split(' ').nth(1).unwrap().to_owned())
            .collect();
        assert!(shown.lines().nth(1).unwrap().starts_with("+++ "), "{shown}");
        ids
    };
    // The boot that panicked had come to its login prompt, too.
    assert_eq!(headings(&[]).await, [id(1), id(2)]);
    assert_eq!(headings(&["-1"]).await, [id(0), id(1)]);
    assert_eq!(headings(&["-b", "-1"]).await, [id(0), id(1)]);
    assert_eq!(headings(&["--boot=previous"]).await, [id(0), id(1)]);
    assert_eq!(headings(&["-2", "0"]).await, [id(0), id(2)]);
    assert_eq!(headings(&["latest", "previous"]).await, [id(2), id(1)]);
    assert_eq!(headings(&["--baseline", "previous"]).await, [id(1), id(2)]);
    assert_eq!(
        headings(&["previous", "--baseline", "-2", "--stat"]).await,
        [id(0), id(1)]
    );
    assert_eq!(headings(&[&id(1), "--baseline", "0"]).await, [id(2), id(1)]);
    let panic = world.shown("diff", &["-1"]).await;
    let lines = changes(&panic);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with('+') && line.contains("Kernel panic - not syncing")),
        "{panic}"
    );
    assert!(
        panic.contains("boot -2, clean, ") && panic.contains("boot -1, panic, "),
        "{panic}"
    );
    assert!(
        panic.contains("lines more, folded (--unfold shows them)"),
        "the shutdown: {panic}"
    );
}

#[tokio::test]
async fn the_newest_boots_of_two_instances_are_compared() {
    let world = three_boots().await;
    let panic = named("panic-stays 0").whole;
    set_console(&world.simulator, "i-b2", &panic, "2024-03-22 10:30:57");
    let captured = cli(&world.settings, &["capture", "i-b2"]).await;
    assert!(captured.status.success(), "{}", text(&captured.stderr));
    let shown = world.shown("diff", &["i-b2"]).await;
    let headings: Vec<_> = shown.lines().take(2).collect();
    assert!(
        headings[0].contains(&format!("{ID}/")) && headings[1].contains("i-b2/"),
        "{headings:?}"
    );
    assert!(shown.contains("Kernel panic"), "{shown}");
    let none = cli(&world.settings, &["diff", ID, "i-c3"]).await;
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
    let wrong = cli(
        &world.settings,
        &["diff", ID, "i-b2", "--baseline", "previous"],
    )
    .await;
    assert_eq!(wrong.status.code(), Some(2));
    for pattern in ["", "x*"] {
        let all = cli(&world.settings, &["diff", ID, "--ignore", pattern]).await;
        let told = text(&all.stderr);
        assert_eq!(
            (all.status.code(), told.contains("matches every line")),
            (Some(2), true),
            "{told}"
        );
    }
}

#[tokio::test]
async fn where_no_good_boot_is_before_a_later_one_is_taken_and_it_says_so() {
    let (panic, good) = (
        fixture("i-bp1panicnoroot00001"),
        fixture("i-bp1cloudinit0000001"),
    );
    let world = Captured::with(&[&panic, &good]).await;
    let note = "# no good boot is before it: it is compared with a later one\n";
    let shown = world.shown("diff", &["-1"]).await;
    assert!(shown.contains(note), "{shown}");
    // Nobody asked for an earlier one.
    for named in [&["0", "-1"][..], &["-1", "--baseline", "0"]] {
        let shown = world.shown("diff", named).await;
        assert!(!shown.contains(note), "{named:?}: {shown}");
    }
}

#[tokio::test]
async fn where_no_boot_serves_to_compare_with_it_says_what_to_do() {
    let panic = fixture("i-bp1panicnoroot00001");
    let other = text(&fixture("i-bp1cloudinit0000001")).replace("login:", "log in");
    let world = Captured::with(&[&panic, other.as_bytes()]).await;
    for (arguments, said) in [
        (
            &["diff", ID][..],
            "no other boot is known that reached its login prompt",
        ),
        (
            &["diff", ID, "-1", "--baseline", "previous"],
            "no boot is known before that one",
        ),
    ] {
        let run = cli(&world.settings, arguments).await;
        let told = text(&run.stderr);
        assert_eq!(
            (run.status.code(), told.contains(said)),
            (Some(3), true),
            "{told}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let world = Captured::with(&[&named("bookworm-clean 0").whole]).await;
    let none = "has only one boot so far";
    for (arguments, code, said) in [
        (&["diff", ID][..], 3, none),
        (&["diff", ID, "--baseline", "previous"], 3, none),
        (&["diff", ID, "0", "-7"], 3, "there is no boot -7"),
        (&["diff", "i-a9"], 3, "i-a9 has no record"),
        (&["diff", ID, "yesterday"], 2, "\"yesterday\" is not a boot"),
        (
            &["diff", ID, "0", "0", "--baseline", "previous"],
            2,
            "two were given",
        ),
        (
            &["diff", "one.log"],
            2,
            "one.log is not an instance ID; two files are compared as",
        ),
        (
            &["diff", "a.log", "b.log", "c.log"],
            2,
            "more than two files",
        ),
        (&["diff", "no.log", "b.log"], 2, "no.log: "),
        (&["diff", "-", "-"], 2, "standard input cannot be both logs"),
        (
            &["diff", "a.log", "b.log", "--baseline", "previous"],
            2,
            "--baseline is for the boots of an instance",
        ),
        (
            &["diff", "a.log", "b.log", "--ignore", "("],
            2,
            "--ignore: ",
        ),
        (&["diff", ID, "0", "-b", "1"], 2, "cannot be used with"),
        (&["diff", ID, "0", "0"], 0, ""),
    ] {
        let output = cli(&world.settings, arguments).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn where_output_is_lost_what_the_other_has_is_no_difference() {
    let (good, next) = (
        named("bookworm-reboots 1").log,
        named("bookworm-reboots 3").log,
    );
    let world = Captured::with(&[&good, &next[..20_000], &next[30_000..]]).await;
    let shown = world.shown("diff", &["1", "2"]).await;
    let note = "# output of the second log is lost at 1 place: what the other has there is no difference\n";
    assert!(shown.contains(note), "{shown}");
    assert_eq!(shown.matches("\n?-⟨").count(), 1, "{shown}");
    let count = |shown: &str| {
        changes(shown)
            .iter()
            .filter(|line| line.starts_with('?'))
            .count()
    };
    assert_eq!(count(&shown), 9, "{shown}");
    assert!(changes(&shown).len() < 20, "{shown}");
    assert!(
        !shown.contains("+[    2.073850] Key type .fs\n"),
        "a line that is cut: {shown}"
    );
    let unfolded = world.shown("diff", &["1", "2", "--unfold", "-U0"]).await;
    assert!(count(&unfolded) > 50, "{unfolded}");
    let [good, next] = [good, [&next[..20_000], &next[30_000..]].concat()].map(|log| side(&log));
    let without_mark = Comparison::new(good, next, Manner::default(), None);
    assert!(
        without_mark.counts().all().removed > 50,
        "without a mark it would be a difference"
    );
}

#[tokio::test]
async fn boots_in_a_bucket_are_compared_too() {
    let bucket = Bucket::start(Profile::Aws).await;
    for (minute, name) in ["bookworm-reboots 1", "bookworm-reboots 3"]
        .into_iter()
        .enumerate()
    {
        let time = format!("2024-03-22 10:{minute:02}:57");
        set_console(&bucket.simulator, ID, &named(name).log, &time);
        let captured = cli(&bucket.settings, &["capture", ID]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
    }
    let shown = cli(&bucket.settings, &["diff", ID, "--exit-code"]).await;
    assert_eq!(shown.status.code(), Some(1), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("EXT4-fs (vda): recovery complete"),
        "{shown}"
    );
    assert!(changes(&shown).len() <= 10, "{shown}");
}

#[test]
fn files_are_compared_also_packed_and_from_standard_input() {
    let (a, b) = ("[    1.000000] a\nb\n", "[    2.000000] a\nc\n");
    let logs = two(a, b);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    std::fs::write(logs.path("b.gz"), &gzip).unwrap();
    std::fs::write(logs.path("cut.gz"), &gzip[..gzip.len() - 4]).unwrap();
    let expected = ["-b", "+c"];
    assert_eq!(changes(&logs.shown(&[])), expected);
    assert_eq!(changes(&logs.run(["a", "b.gz"], &[]).0), expected);
    let (piped, code, _) = logs.run_in_shell("cat b | \"$PROGRAM\" diff a -");
    assert_eq!(code, Some(0));
    assert_eq!(changes(&piped), expected);
    assert!(piped.contains("+++ standard input, 2 lines\n"), "{piped}");
    let (_, code, error) = logs.run(["a", "cut.gz"], &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("cut.gz: "), "{error}");
    let (_, code, _) = logs.run(["a", "."], &[]);
    assert_eq!(code, Some(2), "a folder");
}

#[test]
fn options_choose_what_is_compared_and_shown() {
    let a = "[    0.000000] Linux version 6.1 (gcc)\none\ntwo\naudit: 1\nthree\nfour\nfive\n";
    let b = "[    0.000000] Linux version 6.1 (gcc)\ntwo\none\naudit: 2\nthree\nfour\nfive six\n";
    let logs = two(a, b);
    let shown = logs.shown(&["-U1"]);
    assert_eq!(
        shown.lines().skip(2).collect::<Vec<_>>(),
        [
            "@@ -2 +3 @@ kernel",
            " one",
            "-audit: 1",
            "+audit: 2",
            " three",
            " four",
            "-five",
            "+five six",
            "# 2 removed, 2 added, 1 moved (--moved shows them)",
        ]
    );
    assert_eq!(
        changes(&logs.shown(&["--ignore", "^audit", "-U0"])),
        ["-five", "+five six"]
    );
    let moved = logs.shown(&["--moved", "--ignore", "^audit", "--ignore", "five"]);
    assert_eq!(changes(&moved).len(), 2, "{moved}");
    assert!(
        changes(&moved)
            .iter()
            .all(|line| line.starts_with(['<', '>'])),
        "{moved}"
    );
    let none = logs.run(["a", "b"], &["--ignore", "audit|five", "--exit-code"]);
    assert_eq!(
        (none.1, none.0.lines().last().unwrap()),
        (Some(0), "# no difference, 1 moved (--moved shows them)")
    );
    assert_eq!(logs.run(["a", "b"], &["--exit-code"]).1, Some(1));
    assert_eq!(logs.run(["a", "a"], &["--exit-code"]).1, Some(0));
    let stat = logs.shown(&["--stat"]);
    assert!(
        stat.contains(
            "PHASE   REMOVED  ADDED  MOVED  UNSEEN\nkernel        2      2      1       0\n"
        ),
        "{stat}"
    );
    let raw = two("[    1.000000] a\n", "[    2.000000] a\n");
    assert_eq!(changes(&raw.shown(&[])).len(), 0);
    assert_eq!(changes(&raw.shown(&["--raw"])).len(), 2);
}

#[test]
fn what_repeats_and_what_is_gone_is_folded() {
    let logs = two("a\n", &format!("a\n{}", "retrying in 5 s\n".repeat(37)));
    assert_eq!(changes(&logs.shown(&[])), ["+retrying in 5 s ⟨×37⟩"]);
    assert_eq!(changes(&logs.shown(&["--unfold"])).len(), 37);
    let many: String = (b'a'..=b'z')
        .map(|letter| format!("line {}\n", letter as char))
        .collect();
    let gone = two(&format!("first\n{many}"), "first\n");
    let shown = gone.shown(&[]);
    assert_eq!(changes(&shown).len(), 9, "{shown}");
    assert!(
        shown.contains("-⟨18 lines more, folded (--unfold shows them)⟩\n"),
        "{shown}"
    );
    assert_eq!(changes(&gone.shown(&["--unfold"])).len(), 26);
    let (new, ..) = gone.run(["b", "a"], &[]);
    assert_eq!(changes(&new).len(), 26, "what is new is not folded");
}

#[test]
fn what_is_to_be_known_is_said_first() {
    let logs = two(
        "[    0.000000] Linux version 6.1.0 (gcc)\n",
        "[    0.000000] Linux version 6.12.1 (gcc)\n",
    );
    let shown = logs.shown(&[]);
    assert_eq!(
        shown.lines().nth(2),
        Some("# the kernels differ: 6.1.0 and 6.12.1")
    );
    let shown = two("", "a\n").shown(&[]);
    assert_eq!(shown.lines().nth(2), Some("# the first log is empty"));
    assert_eq!(changes(&shown), ["+a"]);
}

#[test]
fn what_went_wrong_in_one_log_alone_is_new_or_gone() {
    let oom = "[    1.000000] Out of memory: Killed process 94 (dd) total-vm:1kB\n";
    let panic = "[    2.000000] Kernel panic - not syncing: Fatal exception\n";
    let disk = "[    3.000000] EXT4-fs error (device vda1): ext4_lookup:1: inode #2: x\n";
    let logs = two(&format!("a\n{oom}{disk}"), &format!("a\nb\n{panic}{disk}"));
    let shown = logs.shown(&[]);
    let said: Vec<_> = shown.lines().skip(2).take(2).collect();
    assert!(said[0].starts_with("# new: fatal, line 3: "), "{shown}");
    assert!(
        said[0].ends_with("(kernel-panic:Fatal exception)"),
        "{shown}"
    );
    assert!(
        said[1].starts_with("# gone: ") && said[1].contains("oom-kill"),
        "{shown}"
    );
    // The lines that say it first are marked, and stay as they are.
    let behind = |mark: &str| {
        let mut lines = shown.lines().skip_while(|line| !line.starts_with(mark));
        lines.nth(1).unwrap()
    };
    assert_eq!(
        behind("# !! fatal: kernel-panic"),
        format!("+{}", panic.trim_end())
    );
    assert!(
        shown.contains("oom-kill:dd\n-[    1.000000] Out of memory"),
        "{shown}"
    );
    assert_eq!(shown.matches("!!").count(), 2, "{shown}");
    assert!(logs.shown(&["--stat"]).contains("# new: fatal"));
    let printed = logs.shown(&["--output", "json"]);
    let findings: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["kind"] == "finding")
        .collect();
    let facts = findings
        .iter()
        .map(|of| (of["change"].as_str().unwrap(), of["line"].as_u64().unwrap()));
    assert_eq!(facts.collect::<Vec<_>>(), [("new", 3), ("gone", 2)]);
    assert!(!logs.shown(&["--ignore", "panic"]).contains("# new"));
}

#[test]
fn programs_get_json_lines() {
    let logs = two(
        "one\ntwo\n[    1.000000] x[12]: gone\n",
        "two\none\n[    2.000000] y[13]: new\n",
    );
    let printed = logs.shown(&["--output", "json"]);
    let all: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = all
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.first(), Some(&"start"));
    assert_eq!(kinds.last(), Some(&"summary"));
    let of = |kind: &str| all.iter().find(|line| line["kind"] == kind).unwrap();
    let removed = of("removed");
    assert_eq!(
        (&removed["text"], &removed["key"]),
        (
            &"[    1.000000] x[12]: gone".into(),
            &"x[<pid>]: gone".into()
        )
    );
    assert_eq!(
        (
            &removed["a"]["line"],
            &removed["a"]["at"],
            &removed["a"]["bytes"]
        ),
        (&3.into(), &8.into(), &27.into())
    );
    assert!(of("moved")["a"]["line"].is_u64() && of("moved")["b"]["line"].is_u64());
    let summary = of("summary");
    assert_eq!(
        (&summary["removed"], &summary["added"], &summary["moved"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(summary["phases"]["kernel"]["added"], 1);
    assert_eq!(of("start")["b"]["lines"], 3);
    let counted = logs.shown(&["--output", "json", "--stat"]);
    assert_eq!(counted.lines().count(), 2);
}

#[test]
fn a_guest_has_no_power_over_the_terminal() {
    let hostile = "a\n\x1b]0;title\x07\x1b[2J\u{9b}31m\u{202e}evil\x1b[8mhidden\x1b[0m\n\x1b]52;c;never ends\npanic\n";
    let logs = Logs::new(&[("a", b"a\n"), ("b", hostile.as_bytes())]);
    let shown = logs.shown(&[]);
    assert!(
        shown.contains("hidden") && shown.contains("panic"),
        "{shown}"
    );
    let is_active = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!shown.contains(is_active), "{shown:?}");
    let json = logs.shown(&["--output", "json"]);
    assert!(!json.contains(is_active), "{json:?}");
    let coloured = logs.shown(&["--color", "always"]);
    // Only our own colours: select graphic rendition, and nothing else.
    for sequence in coloured.split('\x1b').skip(1) {
        let (parameters, _) = sequence.split_once('m').unwrap();
        assert!(
            parameters.starts_with('[')
                && parameters[1..]
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b';')
        );
    }
    let plain: String = coloured
        .split('\x1b')
        .enumerate()
        .map(|(index, part)| match index {
            0 => part,
            _ => part.split_once('m').unwrap().1,
        })
        .collect();
    assert_eq!(plain, shown);
}

#[test]
fn words_that_differ_are_highlighted() {
    let logs = two("vda: error -6 today\n", "vda: error -2 today\n");
    let shown = logs.shown(&["--color", "always", "-U0"]);
    assert!(
        shown.contains("\x1b[31m-vda: error -\x1b[7m\x1b[31m6"),
        "{shown:?}"
    );
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let long: String = (0..20_000)
        .map(|number| format!("line a{number}z\n"))
        .collect();
    let logs = two("", &long);
    let (shown, code, error) =
        logs.run_in_shell("\"$PROGRAM\" diff a b | head -1; exit ${PIPESTATUS[0]}");
    assert_eq!(
        (shown.as_str(), code, error.as_str()),
        ("--- a, 0 lines\n", Some(0), "")
    );
}

#[test]
fn an_instance_named_as_a_file_is_given_with_its_folder() {
    let logs = two("a\n", "b\n");
    std::fs::rename(logs.path("a"), logs.path("i-a1")).unwrap();
    let (shown, code, _) = logs.run_in_shell("\"$PROGRAM\" diff ./i-a1 b");
    assert_eq!((changes(&shown), code), (vec!["-a", "+b"], Some(0)));
}
