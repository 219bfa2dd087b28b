//! What `console-archive show` shows of the boots of an instance.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::support::captured::{Captured, ID};
use crate::support::printed::{Printed, checked};
use crate::support::runtime_api::Function;
use crate::support::s3_server::Profile;
use crate::support::*;

#[tokio::test]
async fn a_boot_is_shown_whole_from_any_of_its_names() {
    let (world, panic, next) = Captured::two_boots().await;
    for name in ["-1", "previous", "1"] {
        let raw = cli(&world.settings, &["show", ID, "-b", name, "--raw"]).await;
        assert_eq!(raw.stdout, panic, "{name}");
    }
    let expected = ecs_console_archiver::terminal::printable(&panic);
    let unknown = "──⟨ end: what came between this and the next boot is not known ⟩──\n";
    assert_eq!(
        world.shown("show", &["-b-1"]).await,
        expected.clone() + unknown
    );
    let newest = cli(&world.settings, &["show", ID, "--raw"]).await;
    assert_eq!(
        newest.stdout,
        [&next[..16_384], &next[30_000..46_384]].concat()
    );
    assert!(
        text(&newest.stderr).contains("gap: output is lost here"),
        "{}",
        text(&newest.stderr)
    );
    let shown = world.shown("show", &["-b", "latest"]).await;
    assert_eq!(shown.matches("──⟨ gap: output is lost here").count(), 1);
    let none = cli(&world.settings, &["show", ID, "-b", "-2"]).await;
    assert_eq!(none.status.code(), Some(3));
    let none = cli(&world.settings, &["show", "i-a9"]).await;
    assert_eq!(none.status.code(), Some(3));
}

#[tokio::test]
async fn lines_are_the_first_the_last_the_newest_first_or_those_that_match() {
    let (world, panic, _) = Captured::two_boots().await;
    let all = ecs_console_archiver::terminal::printable(&panic);
    let lines: Vec<_> = all.lines().collect();
    let last = lines.len() - 1;
    let shown = async |options: &[&str]| {
        let shown = world
            .shown("show", &[&["-b", "-1"][..], options].concat())
            .await;
        let lines = shown.lines().filter(|line| !line.starts_with("──"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["-n", "+2"]).await, lines[..2]);
    assert_eq!(shown(&["-n", "2"]).await, lines[last - 1..]);
    assert_eq!(
        shown(&["-n", "2", "-r"]).await,
        [lines[last], lines[last - 1]]
    );
    assert!(shown(&["-n", "0"]).await.is_empty());
    let panics: Vec<_> = lines.iter().filter(|line| line.contains("anic")).collect();
    assert_eq!(
        shown(&["-g", "panic"]).await,
        panics.into_iter().copied().collect::<Vec<_>>()
    );
    assert_eq!(shown(&["-e", "-n", "1"]).await, lines[last..]);
    let none = cli(&world.settings, &["show", ID, "-b-1", "-g", "PANIC"]).await;
    assert_eq!(none.status.code(), Some(3));
    let wrong = cli(&world.settings, &["show", ID, "-g", "("]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("a pattern cannot be used: unclosed group"),
        "{}",
        text(&wrong.stderr)
    );
}

#[tokio::test]
async fn programs_get_each_line_with_where_it_stands() {
    let (world, panic, _) = Captured::two_boots().await;
    let printed = world
        .shown("show", &["-b", "previous", "--output", "json"])
        .await;
    let parts: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (lines, marks): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part["line"].is_u64());
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0]["kind"], "end_unknown");
    let names: Vec<_> = names_in(&world.folder.path().join("archive").join(ID), ".log.gz");
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["line"], json!(index + 1));
        let member = |name: &str| usize::try_from(line[name].as_u64().unwrap()).unwrap();
        let bytes = &panic[member("at")..member("at") + member("bytes")];
        let rendered = ecs_console_archiver::terminal::printable(bytes);
        assert_eq!(
            rendered.trim_end_matches('\n'),
            line["text"].as_str().unwrap()
        );
        // The first capture has the beginning, at the same places; the second has it all.
        let name = line["record"]["name"].as_str().unwrap().to_owned();
        assert!(names.contains(&name), "{name}");
        assert_eq!(line["record"]["at"], line["at"]);
    }
    let stamped = lines
        .iter()
        .filter(|line| line["stamp_seconds"].is_number());
    assert!(stamped.count() > 300);
    assert_eq!(lines[0]["boot_id"], json!(names[0]));
}

/// A guest whose clock is right.
fn console(began: i64, lines: &str) -> String {
    let clock = began + 1;
    format!(
        "[    0.000000] Linux version 6.1\r\n[    1.000000] rtc: setting system clock to now UTC ({clock})\r\n{lines}"
    )
}

#[tokio::test]
async fn times_are_those_of_the_guest_where_its_clock_is_right() {
    let began = Timestamp::now().as_second() - 600;
    let guest = console(began, "[    8.250001] systemd[1]: Started.\r\nhost login: ");
    let world = Captured::with(&[guest.as_bytes()]).await;
    let last = async |form: &str| {
        let shown = world.shown("show", &["--time", form, "-n", "2"]).await;
        shown.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(last("raw").await[0], "[    8.250001] systemd[1]: Started.");
    assert_eq!(last("boot").await[0], "[    8.250001] systemd[1]: Started.");
    assert_eq!(
        last("delta").await[0],
        "<    7.250001> systemd[1]: Started."
    );
    assert_eq!(last("delta").await[1], "               host login: ");
    let at = Timestamp::from_millisecond((began + 8) * 1000 + 250).unwrap();
    let at = at.strftime("%Y-%m-%d %H:%M:%S.%3f");
    assert_eq!(
        last("wall").await[0],
        format!("≈ {at}Z systemd[1]: Started.")
    );
    let shown = world.shown(
        "show",
        &["--time", "wall", "--time-zone", "+08:00", "-n", "2"],
    );
    let shown = shown.await;
    assert!(shown.contains("+08:00 systemd[1]: Started."), "{shown}");
    let without_stamp = shown.lines().last().unwrap();
    let column = "≈ 2018-03-22 10:04:57.123+08:00 ".chars().count();
    assert_eq!(without_stamp, format!("{:column$}host login: ", ""));
    let line = world.shown("show", &["-n", "1", "--output", "json"]).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    // The prompt has the time of the line before.
    assert_eq!(
        line["time"],
        json!(
            Timestamp::from_microsecond((began + 8) * 1_000_000 + 250_001)
                .unwrap()
                .to_string()
        )
    );
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_said_to_be_wrong() {
    let world = Captured::with(&[&fixture("i-bp1panicnoroot00001")]).await;
    let shown = cli(&world.settings, &["show", ID, "--time", "wall", "-n", "1"]).await;
    let (line, told) = (text(&shown.stdout), text(&shown.stderr));
    assert!(
        told.contains("the guest's clock is wrong, it said 2026-11-23"),
        "{told}"
    );
    // When it was captured is known to the second.
    let (time, rest) = line.split_once("Z ").unwrap();
    assert!(time.starts_with("≤ ") && !time.contains('.'), "{line}");
    assert!(rest.starts_with("[    2.170972] Rebooting"), "{line}");
}

#[tokio::test]
async fn a_time_selects_lines_of_all_boots() {
    let now = Timestamp::now().as_second();
    let first = console(
        now - 7200,
        "[   60.000000] first\r\n[  120.000000] second\r\n",
    );
    let second = console(
        now - 600,
        "[   60.000000] third\r\n[  120.000000] fourth\r\n",
    );
    let world = Captured::with(&[first.as_bytes(), second.as_bytes()]).await;
    let shown = async |options: &[&str]| {
        let shown = world.shown("show", options).await;
        let words = ["first", "second", "third", "fourth"];
        words
            .into_iter()
            .filter(|word| shown.contains(word))
            .collect::<Vec<_>>()
    };
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap().to_string();
    assert_eq!(
        shown(&["--since", &at(now - 7200 + 61)]).await,
        ["second", "third", "fourth"]
    );
    assert_eq!(
        shown(&["--until", &at(now - 600 + 61)]).await,
        ["first", "second", "third"]
    );
    assert_eq!(shown(&["--since", "-1h"]).await, ["third", "fourth"]);
    assert_eq!(
        shown(&["--since", "-3h", "--until", "-1h"]).await,
        ["first", "second"]
    );
    assert_eq!(
        shown(&["-b-1", "--since", "-3h"]).await,
        ["first", "second"]
    );
    let none = cli(&world.settings, &["show", ID, "--until", "2020-01-01"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(text(&none.stderr).contains("no line of that time"));
    assert_eq!(text(&none.stdout), "", "no mark stands alone");
    let cut = world.shown("show", &["-b-1", "--since", "-3h"]).await;
    assert!(cut.ends_with("is not known ⟩──\n"), "{cut}");
    let until = at(now - 7200 + 61);
    let cut = world.shown("show", &["-b-1", "--until", &until]).await;
    assert!(cut.ends_with("first\n"), "{cut}");
    let wrong = cli(
        &world.settings,
        &["show", ID, "--since", "now", "--until", "-1h"],
    )
    .await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test]
async fn chinese_of_windows_is_read_and_other_encodings_by_request() {
    let world = Captured::with(&[b"\xd5\xfd\xd4\xda\xc6\xf4\xb6\xaf Windows\r\nSAC>"]).await;
    // Nothing shows what stood before.
    let gap = "──⟨ gap: the beginning of the boot is lost ⟩──\n";
    let shown = world.shown("show", &[]).await;
    assert_eq!(shown, format!("{gap}正在启动 Windows\nSAC>\n"));
    let bytes = world.shown("show", &["--encoding", "utf-8"]).await;
    assert!(bytes.starts_with(&format!("{gap}\\xd5\\xfd")), "{bytes}");
}

#[tokio::test]
async fn a_screen_is_as_a_terminal_shows_it_and_nothing_acts_on_ours() {
    let menu = b"old text\r\n\xc2\x9b2J\x1b[3;5HGNU GRUB  version 2.06\x1b[5;5H*Debian\x1b[6;5H Advanced\x1b]0;owned\x07";
    let world = Captured::with(&[menu]).await;
    let screen = world.shown("show", &["--screen"]).await;
    let rows: Vec<_> = screen.lines().collect();
    assert_eq!(rows[2], "    GNU GRUB  version 2.06");
    assert_eq!(rows[4], "    *Debian");
    assert!(
        !screen.contains("old text") && !screen.contains('\x1b') && !screen.contains('\u{9b}'),
        "{screen:?}"
    );
}

#[tokio::test]
async fn on_a_terminal_it_goes_through_the_pager_and_ends_with_it() {
    let world = Captured::with(&[&fixture("i-bp1panicnoroot00001")]).await;
    let ended = async |options: &str, pager: &str| {
        let command = format!(
            "{} show {ID} {options}",
            program("console-archive").display()
        );
        let mut script = std::process::Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .env_clear()
            .envs(world.settings.iter().cloned())
            .env("PATH", std::env::var("PATH").unwrap())
            .env("PAGER", pager)
            .stdin(Stdio::null());
        let shown = tokio::task::spawn_blocking(move || script.output().unwrap()).await;
        let shown = checked(shown.unwrap());
        (shown.status.code(), text(&shown.stdout).replace('\r', ""))
    };
    let paged = async |options: &str, pager: &str| {
        let (code, shown) = ended(options, pager).await;
        assert_eq!(code, Some(0), "{shown}");
        shown
    };
    let shown = paged("", "tail -n 1 | tr a-z A-Z").await;
    assert_eq!(shown, "[    2.170972] REBOOTING IN 2 SECONDS..\n");
    // A pager that is left early.
    assert_eq!(paged("", "head -c 3").await, "─".to_owned());
    // A pager that fails may have shown nothing.
    let (code, told) = ended("", "exit 4;").await;
    assert!(
        code == Some(1) && told.contains("exit status: 4") && told.contains("--no-pager"),
        "{told}"
    );
    let heading = paged("--no-pager -n +1", "false").await;
    assert!(
        heading.starts_with("──⟨ boot 0  ") && heading.contains("ended: panic"),
        "{heading}"
    );
    assert!(paged("", "").await.contains("Rebooting in 2 seconds.."));
    // A person searches for what went wrong.
    let marked = paged("", "grep -A 1 '!!'").await;
    assert!(
        marked.contains(", 1 finding: / !! ⟩──") && marked.contains("──⟨ !! fatal: The kernel"),
        "{marked}"
    );
    assert!(marked.contains("VFS: Cannot open root device"), "{marked}");
    // Also where the newest line comes first.
    let reversed = paged("--reverse", "grep -A 1 '!!'").await;
    let lines: Vec<_> = reversed.lines().collect();
    assert!(lines[0].contains("1 finding: / !! ⟩──"), "{reversed}");
    let at = lines.iter().position(|line| line.contains("!! fatal"));
    let behind = lines[at.unwrap() + 1];
    assert!(
        behind.contains("VFS: Cannot open root device"),
        "{reversed}"
    );
    let first = paged("--reverse", "head -n 2").await;
    assert!(
        first.starts_with("──⟨ boot 0  ") && first.ends_with("Rebooting in 2 seconds..\n"),
        "{first}"
    );
}

/// What this program says between lines has signs that no line of a guest has.
#[tokio::test]
async fn a_guest_cannot_write_what_this_program_says() {
    let (world, _, _) = Captured::two_boots().await;
    let mut said: Vec<String> = Vec::new();
    for options in [&["-b", "0"][..], &["-b-1", "--findings=1"]] {
        let shown = world.shown("show", options).await;
        said.extend(
            shown
                .lines()
                .filter(|line| line.contains('⟨'))
                .map(str::to_owned),
        );
    }
    let kinds = ["gap: output is lost here", "!! fatal"];
    assert!(
        kinds
            .iter()
            .all(|kind| said.iter().any(|said| said.contains(kind))),
        "{said:?}"
    );
    let written = "a⟲\r\x1b[K⟲ a\r\n ⟲ 3 rewrites\r\n⟨4096 NUL⟩\r\n";
    let console = format!(
        "[    0.000000] Linux version 6.1\r\n{}\r\n{written}",
        said.join("\r\n")
    );
    let forged = Captured::with(&[console.as_bytes()]).await;
    for command in [
        &["show", ID][..],
        &["get", ID, "--rendered"],
        &["grep", "."],
        &["grep", "-C", "9", "lost"],
    ] {
        let shown = cli(&forged.settings, command).await;
        let shown = text(&shown.stdout);
        assert!(
            shown.contains("──\\u{27e8} gap: output is lost here"),
            "{shown}"
        );
        for said in &said {
            assert!(!shown.contains(&said[..]), "{said}: {shown}");
        }
        let rewritten = shown.lines().filter(|line| line.contains(['⟲', '⟨', '⟩']));
        let rewritten: Vec<_> = rewritten.collect();
        let of_it = ["\\u{27f2} a\\u{27f2} ⟲ 1 rewrite"];
        assert!(
            rewritten.is_empty() || rewritten == of_it,
            "{command:?}: {rewritten:?}"
        );
    }
}

#[tokio::test]
async fn lines_that_say_what_went_wrong_are_marked_and_shown_by_themselves() {
    let (world, panic, _) = Captured::two_boots().await;
    let all = ecs_console_archiver::terminal::printable(&panic);
    let all: Vec<_> = all.lines().collect();
    let at = all
        .iter()
        .position(|line| line.contains("VFS: Cannot open root device"));
    let at = at.unwrap();
    let mark = "──⟨ !! fatal: The kernel cannot mount its root file system (root-not-mounted, 2 times) ⟩──";
    let expected = [&all[at - 2..at], &[mark], &all[at..=at + 2]].concat();
    let shown = world.shown("show", &["-b-1", "--findings=2"]).await;
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    let shown = world.shown("show", &["-b-1", "--findings"]).await;
    assert_eq!(shown.lines().count(), 12);
    let coloured = ["-b-1", "--findings=0", "--color", "always"];
    let coloured = world.shown("show", &coloured).await;
    assert!(
        coloured.starts_with("\x1b[") && coloured.contains("fatal"),
        "{coloured:?}"
    );
    let json = async |options: &[&str]| -> Vec<Value> {
        let options = [&["-b-1", "--output", "json"], options].concat();
        let shown = world.shown("show", &options).await;
        let lines = shown
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    let alone = json(&["--findings=0"]).await;
    assert_eq!(alone.len(), 1, "{alone:?}");
    assert_eq!(alone[0]["findings"][0]["signature"], "root-not-mounted");
    let marked = json(&[])
        .await
        .into_iter()
        .filter(|line| !line["findings"].is_null());
    assert_eq!(marked.collect::<Vec<_>>(), alone);
}

#[tokio::test]
async fn findings_far_from_each_other_stand_apart_and_none_is_told() {
    let quiet = "a\r\n".repeat(20);
    let console = format!(
        "[    0.000000] Linux version 6.1\r\n{quiet}\
         [    1.234567] Out of memory: Killed process 94 (dd) total-vm:1kB\r\n{quiet}\
         [    2.234567] Kernel panic - not syncing: Fatal exception\r\n"
    );
    let world = Captured::with(&[console.as_bytes()]).await;
    let shown = world.shown("show", &["--findings=1"]).await;
    let signs: String = shown
        .lines()
        .map(|line| line.chars().next().unwrap())
        .collect();
    assert_eq!(signs, "a─[a─a─[", "{shown}");
    let world = Captured::with(&[b"[    0.000000] Linux version 6.1\r\nhost login: "]).await;
    let none = cli(&world.settings, &["show", ID, "--findings"]).await;
    assert_eq!(none.status.code(), Some(3));
    assert!(
        text(&none.stderr).contains("no findings"),
        "{}",
        text(&none.stderr)
    );
}

#[tokio::test]
async fn captures_in_a_bucket_are_shown_too() {
    let bucket = Bucket::start(Profile::Aws).await;
    let console = fixture("i-bp1panicnoroot00001");
    for (minute, end) in [9_000, console.len()].into_iter().enumerate() {
        let time = format!("2024-03-22 10:{minute:02}:57");
        set_console(&bucket.simulator, ID, &console[..end], &time);
        let captured = cli(&bucket.settings, &["capture", ID]).await;
        assert!(captured.status.success(), "{}", text(&captured.stderr));
    }
    let shown = cli(&bucket.settings, &["show", ID, "--raw"]).await;
    assert_eq!(shown.stdout, console);
}

/// `show -f`, and the lines that it prints.
struct Following {
    child: tokio::process::Child,
    lines: UnboundedReceiver<String>,
    printed: Printed,
}

fn follow(settings: &Settings, options: &[&str]) -> Following {
    let printed = Printed::new();
    let mut child = tokio::process::Command::new(program("console-archive"))
        .env_clear()
        .envs(settings.iter().cloned())
        .args(["show", ID, "--follow", "--interval", "1"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(printed.stdio())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pipe = child.stdout.take().unwrap().into_owned_fd().unwrap();
    let (lines, _) = printed.take_lines(std::fs::File::from(pipe));
    Following {
        child,
        lines,
        printed,
    }
}

impl Following {
    /// The lines up to one with this in it.
    async fn until(&mut self, what: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.lines.recv().await {
            let is_last = line.contains(what);
            lines.push(line.trim_end().to_owned());
            if is_last {
                return lines;
            }
        }
        panic!("{what:?} is not in {}", self.printed.text());
    }

    /// Ctrl-C ends it as it ends any program.
    async fn interrupt(mut self) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-INT", &id])
            .status();
        assert!(sent.unwrap().success());
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(2), "{}", self.printed.text());
    }
}

const BOOTED: &str = "[    0.000000] Linux version 6.1\r\n[    1.000001] one\r\n[    2.000001] two, which is long enough to be an overlap of its own\r\n[    3.000001] three, as long as the one before, and some more text for the ring\r\n";

#[tokio::test]
async fn following_shows_each_line_once_as_captures_come_and_the_next_boot() {
    let mut world = Captured::with(&[BOOTED.as_bytes()]).await;
    let mut following = follow(&world.settings, &["-n", "1"]);
    let shown = following.until("three").await;
    assert_eq!(shown.len(), 2, "a heading and one line: {shown:?}");
    world
        .capture(format!("{BOOTED}host login: ").as_bytes())
        .await;
    // The prompt goes on.
    world
        .capture(format!("{BOOTED}host login: root\r\n[    4.000001] four\r\n").as_bytes())
        .await;
    assert_eq!(
        following.until("four").await,
        ["host login: root", "[    4.000001] four"]
    );
    world
        .capture(b"[    0.000000] Linux version 6.2\r\n[    1.500001] another\r\n")
        .await;
    let next = following.until("another").await;
    assert!(next[0].starts_with("──⟨ end"), "{next:?}");
    assert!(next[1].starts_with("──⟨ boot 0  "), "{next:?}");
    assert_eq!(
        next[2..],
        ["[    0.000000] Linux version 6.2", "[    1.500001] another"]
    );
    following.interrupt().await;
}

/// Captures come in by the function, as with a deployed one; each is read once, however often is looked.
#[tokio::test]
async fn a_bucket_is_followed_and_each_of_its_records_is_read_once() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let capture = async |minute: usize, console: &str| {
        let time = format!("2024-03-22 10:{minute:02}:57");
        set_console(&bucket.simulator, ID, console.as_bytes(), &time);
        let event = json!({
            "id": format!("E-{minute}"), "source": "acs.ecs", "type": "ecs:Instance:StateChange",
            "time": format!("2024-03-22T10:{minute:02}:41+08:00"), "aliyunregionid": "cn-hangzhou",
            "data": {"resourceId": ID, "state": "Stopping"},
        });
        let result = function.result_of(event.to_string().as_bytes()).await;
        assert_eq!(result["outcome"], "stored", "{result}");
    };
    let mut following = follow(&bucket.settings, &[]);
    capture(0, BOOTED).await;
    let shown = following.until("three").await;
    assert!(shown[0].starts_with("──⟨ boot 0  "), "{shown:?}");
    assert_eq!(shown.len(), 5, "{shown:?}");
    let four = format!("{BOOTED}[    4.000001] four\r\n");
    capture(1, &four).await;
    assert_eq!(following.until("four").await, ["[    4.000001] four"]);
    // The ring has rolled, and the machine has panicked and begun anew.
    let five = format!(
        "{}[    5.000001] Kernel panic - not syncing: five\r\n",
        &four[40..]
    );
    capture(2, &five).await;
    following.until("five").await;
    let six = format!("{five}[    0.000000] Linux version 6.2\r\n[    0.600001] six\r\n");
    capture(3, &six).await;
    let next = following.until("six").await;
    assert!(next[0].starts_with("──⟨ boot 0  "), "{next:?}");
    assert_eq!(next.len(), 3, "{next:?}");
    capture(4, &format!("{six}[    0.700001] seven\r\n")).await;
    assert_eq!(following.until("seven").await, ["[    0.700001] seven"]);
    assert_eq!(bucket.server.reads(), 5);
    following.interrupt().await;
}

#[tokio::test]
async fn a_machine_is_watched_live_and_nothing_is_stored() {
    let mut world = Captured::new().await;
    world.print(BOOTED.as_bytes());
    let mut following = follow(&world.settings, &["--live"]);
    following.until("three").await;
    world.print(format!("{BOOTED}[    5.000001] five\r\n").as_bytes());
    assert_eq!(following.until("five").await, ["[    5.000001] five"]);
    following.interrupt().await;
    assert!(!world.folder.path().join("archive").join(ID).exists());
    let once = world.shown("show", &["--live", "-n", "1"]).await;
    assert_eq!(once, "[    5.000001] five\n");
}

#[tokio::test]
async fn an_outage_of_ecs_ends_no_watching() {
    let mut world = Captured::with(&[BOOTED.as_bytes()]).await;
    let mut following = follow(&world.settings, &["--live", "--timeout", "1"]);
    following.until("three").await;
    world.move_simulator().await;
    // What others store is still shown, and each look at the archive comes with one at ECS.
    let nine = format!("{BOOTED}[    9.000001] nine\r\n");
    world.capture(nine.as_bytes()).await;
    assert_eq!(following.until("nine").await, ["[    9.000001] nine"]);
    world
        .capture(format!("{nine}[   10.000001] ten\r\n").as_bytes())
        .await;
    assert_eq!(following.until("ten").await, ["[   10.000001] ten"]);
    let told = following.printed.text();
    assert!(told.contains("; asking again"), "{told}");
    following.interrupt().await;
}

#[tokio::test]
async fn a_number_behind_findings_is_answered_with_how_it_is_written() {
    let wrong = cli(&Settings::new(), &["show", ID, "--findings", "3"]).await;
    let told = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    assert!(told.contains("give --findings=3"), "{told}");
}
