//! How much `findings` finds in a corpus of one's own, which `make eval CORPUS=FOLDER` names.
//!
//! A corpus is a folder. A file of it below a folder with a family's name shows a fault of that family; below a
//! folder `clean` it shows none. Each line of a file that ends in `.lines` is a log by itself. All other files are
//! reports in the form of syzkaller's `pkg/report/testdata/linux/report`: headers such as `TITLE:`, an empty line, the
//! log, and behind `REPORT:` what syzkaller makes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ecs_console_archiver::reading::findings::{Finding, Rules, Severity, of_console};

use crate::support::root;

/// What `make eval` sets.
const CORPUS: &str = "CORPUS";
/// The corpus of the test, which shows the form.
const EXAMPLE: &str = "tests/fixtures/findings/corpus";
/// The folder of logs that show no fault.
const CLEAN: &str = "clean";
/// The ending of a file each line of which is a log.
const LINES: &str = ".lines";
/// What begins the part of a report that is no log.
const REPORT: &str = "REPORT:";

/// What a log shows, as the corpus says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    Clean,
    /// A fault of this family.
    Family(String),
    /// The fault that syzkaller calls so.
    Title(String),
}

#[derive(Debug, PartialEq, Eq)]
struct Labelled {
    name: String,
    label: Label,
    log: Vec<u8>,
}

/// The logs of a corpus, in the order of their names.
fn read(folder: &Path) -> Vec<Labelled> {
    let mut logs = Vec::new();
    read_below(folder, folder, &mut logs);
    logs.sort_by(|one, other| one.name.cmp(&other.name));
    logs
}

fn read_below(corpus: &Path, folder: &Path, logs: &mut Vec<Labelled>) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read the folder {}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_below(corpus, &path, logs);
            continue;
        }
        let name = path.strip_prefix(corpus).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        logs.extend(labelled(&name.to_string_lossy(), &bytes));
    }
}

/// The logs of one file.
fn labelled(name: &str, bytes: &[u8]) -> Vec<Labelled> {
    let log = |name, label, log: &[u8]| Labelled {
        name,
        label,
        log: log.to_vec(),
    };
    let Some(label) = name.rsplit('/').skip(1).find_map(label_of_folder) else {
        let report = syzkaller_report(bytes).unwrap_or_else(|| {
            panic!("{name} is in no folder that names a family or {CLEAN:?}, and is no report of syzkaller")
        });
        let (label, body) = report;
        return (label.map(|label| log(name.to_owned(), label, body)))
            .into_iter()
            .collect();
    };
    if !name.ends_with(LINES) {
        return vec![log(name.to_owned(), label, bytes)];
    }
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| log(format!("{name}:{}", at + 1), label.clone(), line))
        .collect()
}

fn label_of_folder(folder: &str) -> Option<Label> {
    if folder == CLEAN {
        return Some(Label::Clean);
    }
    let mut rules = Rules::built_in().all().iter();
    let rule = rules.find(|rule| rule.family == folder)?;
    Some(Label::Family(rule.family.to_owned()))
}

/// The label of a report, and its log. syzkaller itself leaves out reports that are `SUPPRESSED`: they have no label.
fn syzkaller_report(bytes: &[u8]) -> Option<(Option<Label>, &[u8])> {
    let (mut label, mut rest) = (Some(Label::Clean), bytes);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = str::from_utf8(&rest[..end]).ok()?;
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match (name, value.trim()) {
            ("TITLE", "") => {}
            ("TITLE", title) => label = label.map(|_| Label::Title(title.to_owned())),
            ("SUPPRESSED", "Y") => label = None,
            _ if line.starts_with('#') => {}
            _ if name.bytes().all(|byte| byte.is_ascii_uppercase()) => {}
            _ => return None,
        }
    }
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n');
    let log = lines
        .by_ref()
        .take_while(|line| !line.starts_with(REPORT.as_bytes()));
    let length = log.map(<[u8]>::len).sum();
    Some((label, &rest[..length]))
}

/// How many of how many.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Share {
    right: usize,
    all: usize,
}

impl Share {
    fn add(&mut self, is_right: bool) {
        self.right += usize::from(is_right);
        self.all += 1;
    }

    fn print(self) -> String {
        let percent = 100.0 * self.right as f64 / self.all.max(1) as f64;
        format!("{} of {} ({percent:.1} %)", self.right, self.all)
    }
}

/// How much of a corpus is found, as text.
fn counted(logs: &[Labelled]) -> String {
    let mut families: BTreeMap<&str, Share> = BTreeMap::new();
    let (mut titled, mut clean_of_errors, mut clean) = Default::default();
    let mut missed = String::new();
    let mut signatures: Vec<(&str, String)> = Vec::new();
    for Labelled { name, label, log } in logs {
        let found = of_console(log, Rules::built_in());
        let is_found = |least| found.iter().any(|one| one.severity >= least);
        let all: Vec<_> = found.iter().map(Finding::signature).collect();
        let all = all.join(", ");
        match label {
            Label::Family(family) => {
                let is_right = found.iter().any(|one| one.rule.family == family);
                families.entry(family).or_default().add(is_right);
                if !is_right {
                    let _ = writeln!(missed, "missed: {name}: {family}; found: {all}");
                }
            }
            Label::Title(title) => {
                let is_right = is_found(Severity::Warning);
                Share::add(&mut titled, is_right);
                if !is_right {
                    let _ = writeln!(missed, "missed: {name}: {title}");
                }
                signatures.extend(signature(&found).map(|signature| (title.as_str(), signature)));
            }
            Label::Clean => {
                Share::add(&mut clean_of_errors, !is_found(Severity::Error));
                let is_right = !is_found(Severity::Warning);
                Share::add(&mut clean, is_right);
                if !is_right {
                    let _ = writeln!(missed, "false alarm: {name}: {all}");
                }
            }
        }
    }
    let mut text = String::new();
    if !families.is_empty() {
        let mut all = Share::default();
        for (family, share) in &families {
            all.right += share.right;
            all.all += share.all;
            let _ = writeln!(text, "{family}: found {}", share.print());
        }
        let _ = writeln!(text, "all families: found {}", all.print());
    }
    let (same, different, split, merged) = pairs(&signatures);
    for (what, share) in [
        ("reports with a title: found", titled),
        ("logs without a fault: no error", clean_of_errors),
        ("logs without a fault: no finding above info", clean),
        ("pairs with one title: one signature", same),
        ("pairs with two titles: two signatures", different),
    ] {
        if share.all > 0 {
            let _ = writeln!(text, "{what} {}", share.print());
        }
    }
    text + &missed + &split + &merged
}

/// What identifies a report: its first finding of the kernel, or its first one.
fn signature(found: &[Finding]) -> Option<String> {
    let mut above_info = found.iter().filter(|one| one.severity > Severity::Info);
    let first = above_info.clone().next();
    let of_kernel = above_info.find(|one| one.rule.family == "kernel");
    of_kernel.or(first).map(Finding::signature)
}

/// Of all pairs of reports: whether signatures agree if titles do, and differ if titles do; which do not.
fn pairs(signatures: &[(&str, String)]) -> (Share, Share, String, String) {
    let (mut same, mut different) = (Share::default(), Share::default());
    let (mut split, mut merged) = (String::new(), String::new());
    for (at, (title, signature)) in signatures.iter().enumerate() {
        for (other_title, other) in &signatures[at + 1..] {
            let agree = signature == other;
            if title == other_title {
                same.add(agree);
                if !agree {
                    let _ = writeln!(split, "two signatures: {title}: {signature}, {other}");
                }
            } else {
                different.add(!agree);
                if agree {
                    let _ = writeln!(merged, "one signature: {signature}: {title}, {other_title}");
                }
            }
        }
    }
    (same, different, split, merged)
}

/// Of the example, unless `make eval` names another.
#[test]
fn a_corpus_is_counted() {
    let corpus = std::env::var_os(CORPUS).filter(|corpus| !corpus.is_empty());
    let Some(corpus) = corpus else {
        let counted = counted(&read(&root().join(EXAMPLE)));
        let expected = [
            "block: found 1 of 2 (50.0 %)",
            "secret: found 2 of 2 (100.0 %)",
            "all families: found 3 of 4 (75.0 %)",
            "reports with a title: found 4 of 5 (80.0 %)",
            "logs without a fault: no error 4 of 5 (80.0 %)",
            "logs without a fault: no finding above info 3 of 5 (60.0 %)",
            "pairs with one title: one signature 1 of 3 (33.3 %)",
            "pairs with two titles: two signatures 1 of 3 (33.3 %)",
            "missed: block/nothing.log: block; found: ",
            "false alarm: clean/a-fault.log: root-not-mounted",
            "false alarm: clean/said.lines:2: kernel-leak:memory leak",
            "missed: reports/3: BUG: something that no rule knows",
        ];
        let (head, pairs) = counted.lines().partition::<Vec<_>, _>(|line| {
            !line.contains("signature:") && !line.starts_with("two signatures:")
        });
        assert_eq!(head, expected);
        let first = "KASAN: slab-use-after-free in first";
        let title = "KASAN: slab-use-after-free Read in first";
        let second = "KASAN: slab-use-after-free Read in second";
        let split =
            format!("two signatures: {title}: kasan:{first}, kasan:KASAN: use-after-free in first");
        let merged = format!("one signature: kasan:{first}: {title}, {second}");
        assert_eq!(pairs, [&split, &split, &merged, &merged]);
        return;
    };
    println!("{}", counted(&read(Path::new(&corpus))));
}

#[test]
fn a_report_of_syzkaller_is_its_log_with_its_title() {
    let label = |text: &str| {
        let logs = labelled("1", text.as_bytes());
        let logs = logs.into_iter();
        logs.map(|one| (one.label, String::from_utf8(one.log).unwrap()))
            .collect::<Vec<_>>()
    };
    let title = Label::Title("BUG: soft lockup in f".to_owned());
    for (text, expected) in [
        (
            "# Why it is here.\nTITLE: BUG: soft lockup in f\nTYPE: HANG\n\none\n\ntwo\n\nREPORT:\ntwo\n",
            vec![(title.clone(), "one\n\ntwo\n\n")],
        ),
        ("\nall is well\n", vec![(Label::Clean, "all is well\n")]),
        (
            "TITLE: \n\nall is well",
            vec![(Label::Clean, "all is well")],
        ),
        ("TITLE: INFO: lost\nSUPPRESSED: Y\n\nx\n", vec![]),
        ("SUPPRESSED: Y\nTITLE: INFO: lost\n\nx\n", vec![]),
        ("TITLE: BUG: soft lockup in f\n\n", vec![(title, "")]),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(label, log)| (label, log.to_owned()))
            .collect();
        assert_eq!(label(text), expected, "{text}");
    }
}

#[test]
fn a_folder_names_the_family_of_what_is_below_it() {
    let labels = |name: &str, text: &str| {
        let logs = labelled(name, text.as_bytes());
        logs.into_iter()
            .map(|one| (one.name, one.label))
            .collect::<Vec<_>>()
    };
    let block = Label::Family("block".to_owned());
    let named = |name: &str, label: &Label| (name.to_owned(), label.clone());
    assert_eq!(
        labels("block/a.log", "x\ny\n"),
        [named("block/a.log", &block)]
    );
    assert_eq!(
        labels("mine/block/deep/a.lines", "x\n\ny\n"),
        [
            named("mine/block/deep/a.lines:1", &block),
            named("mine/block/deep/a.lines:3", &block)
        ]
    );
    assert_eq!(labels("clean/a", "x"), [named("clean/a", &Label::Clean)]);
}

#[test]
#[should_panic = "a.log is in no folder that names a family or \"clean\", and is no report of syzkaller"]
fn a_file_that_says_nothing_of_what_it_shows_is_refused() {
    labelled("a.log", b"all is well\n\n");
}
