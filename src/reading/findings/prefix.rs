//! What stands in front of a message, and is no part of it: times, levels, callers, hosts, and the names of those who
//! pass it on. All of it is known here, so that rules can say how a message begins.
//!
//! Sources: Linux `kernel/printk/printk.c`; util-linux `sys-utils/dmesg.c` (`-T`, `-H`, `-d`, `-x`, `--time-format`);
//! systemd `src/shared/logs-show.c` (`short`, `short-iso`, `short-precise`, `short-full`, `short-monotonic`,
//! `short-unix`); RFC 3164 and RFC 5424; BusyBox `sysklogd/syslogd.c`; macOS's and FreeBSD's `kernel[0]: `.

use std::sync::LazyLock;

use regex_lite::Regex;

use super::{constant, cut};

/// Most bytes of one part of what stands in front of a message.
const MAX_PART: usize = 160;
/// Most parts: a prompt, a time, a host, a name, a level, and a time again.
const MAX_PARTS: usize = 12;
/// Words with which the kernel begins a message, and that look like a host before a program's name: `divide error: `.
const NO_HOSTS: [&str; 12] = [
    "Internal",
    "Unhandled",
    "Memory",
    "Oops",
    "EFI",
    "divide",
    "double",
    "stack",
    "invalid",
    "alignment",
    "control",
    "general",
];
/// With this, a kernel dies.
const PANIC: &str = "Kernel panic - not syncing";

/// Parts that stand anywhere: the header of RFC 5424, a level, a caller (`CONFIG_PRINTK_CALLER`), a time in brackets,
/// facility and level, the kernel and init by name, and prompts.
static PART: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:<[0-9]{1,3}>1 \S+ \S+ \S+ \S+ \S+ (?:-|\[[^\]]*\]) ?|<[0-9]{1,3}> *|\[ *[TC][0-9]+\] *|\[(?:(?:[A-Z][a-z]{2} ){2}[ 0-9]{2} [0-9:]{8} [0-9]{4}|[A-Z][a-z]{2} ?[ 0-9]{1,2} [0-9:]{5,8}|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.,+Z-]+| *\+?[0-9]+\.[0-9]{1,9}(?: <[ +0-9.]+>)?|<[ +0-9.]+>)\] *|[a-z]{3,8} *:[a-z]{3,6} *: |(?:kern|user|daemon|auth|syslog|local[0-7])\.[a-z]{3,7} |(?:kernel|klogd)(?:\[[0-9]+\])?: |systemd\[1\]: |Begin: (?:Mounting|Running) [^.]{1,60} \.\.\. (?:done\. *)?|[A-Za-z0-9_.-]+ login: |Password: |\[[A-Za-z0-9_-]+@[^\]]{1,60}\][#$] |[A-Za-z0-9_-]+@[^\s#$]+[#$] )",
    )
});
/// A time that a logger wrote. What follows is a host or the message.
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^(?:(?:[A-Z][a-z]{2} )?[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[ T][0-9:]{5,8}(?:[.,][0-9]+)?(?: ?(?:Z|[A-Z]{3,4}|[+-][0-9]{2}:?[0-9]{2}))?|(?:[0-9]{4} |[A-Z][a-z]{2} )?(?:[^\s0-9]{3,6}|[0-9]{1,2}月) [ 0-9]?[0-9] [0-9:]{8}(?:\.[0-9]+)?(?: [0-9]{4})?|[0-9]{10}\.[0-9]{6}) +[^\s-]",
    )
});
/// A host, and the name of a program with its process, which is a part of the message.
static HOST: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^([A-Za-z0-9_.-]+ +)(?:kernel(?:\[[0-9]+\])?: |[A-Za-z0-9_.@/-]+\[[0-9]+\]: |(?:kern|user|daemon)\.[a-z]{3,7} )",
    )
});
/// Behind a logger's time, a program has no process, or a level of its own.
static DATED_HOST: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"^([A-Za-z0-9_.-]+ +(?:[A-Z]+ )?)(?:[A-Za-z0-9_.@/-]+(?:\[[0-9]+\])?: |(?:kern|user|daemon)\.[a-z]{3,7} |\[)",
    )
});
/// A stamp of which a part was lost.
static CUT_STAMP: LazyLock<Regex> =
    LazyLock::new(|| constant(r"\[? *[0-9]+\.[0-9]+\](?:\[ *[TC][0-9]+\])? *$"));

/// A message without what stands in front of it.
pub fn without_prefix(text: &str) -> &str {
    let mut rest = text.trim_start();
    let mut is_dated = false;
    for _ in 0..MAX_PARTS {
        let head = cut(rest, MAX_PART);
        let host = if is_dated { &DATED_HOST } else { &HOST };
        let length = if let Some(part) = PART.find(head) {
            part.end()
        } else if let Some(time) = TIME.find(head) {
            is_dated = true;
            // Without the first byte of what follows.
            cut(head, time.end() - 1).len()
        } else if let Some(host) = host.captures(head).and_then(|found| found.get(1))
            && !NO_HOSTS.contains(&host.as_str().trim_end())
        {
            is_dated = false;
            host.end()
        } else {
            break;
        };
        rest = rest[length..].trim_start();
    }
    glued_panic(rest).unwrap_or(rest)
}

/// The host that a logger's line names: behind a time, before the name of a program.
pub fn host(line: &str) -> Option<&str> {
    let head = cut(line.trim_start(), MAX_PART);
    let time = TIME.find(head)?;
    let rest = &head[cut(head, time.end() - 1).len()..];
    let found = DATED_HOST.captures(rest)?.get(1)?;
    found.as_str().split(' ').next()
}

/// A panic that the kernel wrote right behind what a program was writing, or behind a stamp that lost its beginning.
/// Who quotes a panic puts a space or a quotation mark before it.
fn glued_panic(text: &str) -> Option<&str> {
    let at = text.find(PANIC).filter(|at| *at > 0)?;
    let before = &text[..at];
    let last = before.chars().next_back()?;
    let is_glued = !last.is_whitespace() && !"\"'`(:<*".contains(last);
    (is_glued || CUT_STAMP.is_match(before)).then(|| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_front_of_a_message_is_left_out() {
        for prefix in [
            "",
            "<0>",
            "<30>systemd[1]: ",
            "[   T12] ",
            "[  C0] ",
            "kernel: ",
            "kernel[0]: ",
            "klogd: ",
            "host login: ",
            "Password: ",
            "Begin: Mounting root file system ... Begin: Running /scripts/local-top ... ",
            "root@machine:~# ",
            "[root@machine ~]# ",
            // dmesg -T, -x, -H, -d, and its formats of times.
            "[Mon Nov 30 10:00:00 2026] ",
            "[Sat Mar  4 03:10:44 2026] ",
            "kern  :emerg : [Sat Mar 14 03:10:44 2026] ",
            "[Mar14 03:10] ",
            "[  +0.000123] ",
            "[   12.345678 <    0.000123>] ",
            "[<    0.000123>] ",
            "2026-03-14T03:10:44,123456+08:00 ",
            "[   12.3] ",
            "host login: [  12.3] ",
            // journalctl -o.
            "Mar 14 03:10:44 host kernel: ",
            "Mar 14 03:10:44.123456 host kernel: ",
            "2026-03-14T03:10:44+0800 host kernel: ",
            "2026-03-14T03:10:44.123456+08:00 host.example.com kernel: ",
            "Sat 2026-03-14 03:10:44 CST host kernel: ",
            "Sat 2026-03-14 03:10:44.123456 UTC host kernel: ",
            "1773457844.123456 host kernel: ",
            "host kernel: ",
            "gen 18 19:37:27 localhost systemd[1]: ",
            "Μαρ 28 16:18:39 manjaro kernel: ",
            "3月 14 03:10:44 host kernel: ",
            // syslog.
            "2026-03-14 03:10:44 host kernel: ",
            "2026 Jan 19 20:12:21.671095 sonic ERR kernel: ",
            "<0>1 2026-03-14T03:10:44.123456+08:00 host kernel - - - ",
            "<2>1 2026-03-14T03:10:44Z host kernel 0 - [meta sequenceId=\"1\"] ",
            "<0>Mar 14 03:10:44 host kernel: [   12.345678] ",
            "Mar 14 03:10:44 host kern.emerg kernel: ",
            "kern.emerg kernel: ",
            "Thu Feb  6 10:21:39 2025 kern.emerg kernel: [   15.542808] ",
            "Jan  1 00:00:12 (none) kern.emerg kernel: [   12.3] ",
        ] {
            // Who cannot set a host's name has none.
            let prefix = prefix.replace("(none) ", "");
            for message in [
                "Kernel panic - not syncing: x",
                "EXT4-fs error (device vda1): x",
                "Out of memory: Killed process 1 (a)",
                "Internal error: Oops: 96000004 [#1] SMP",
                "divide error: 0000 [#1] SMP",
            ] {
                let line = format!("{prefix}{message}");
                assert_eq!(without_prefix(&line), message, "{line:?}");
            }
        }
    }

    #[test]
    fn what_a_message_begins_with_stays() {
        for text in [
            "Kernel panic - not syncing: x",
            "systemd-fsck[300]: fsck failed with exit status 4.",
            "2026-11-29 10:55:07,123 - cc_growpart.py[WARNING]: failed growing /dev/vda1",
            "cloud-init[500]: 2026-11-29 10:55:07,123 - main.py[ERROR]: x",
            "[FAILED] Failed to mount /data.",
            "[  OK  ] Started a.",
            "{1}[Hardware Error]: event severity: fatal",
            "mce: [Hardware Error]: Machine check events logged",
            "XFS (vda1): x",
            "* ERROR: sshd failed to start",
            "rcu: INFO: rcu_sched self-detected stall on CPU",
            "app[1]: last message was: Kernel panic - not syncing: x",
            "echo \"Kernel panic - not syncing: x\"",
            "---[ end Kernel panic - not syncing: x ]---",
        ] {
            assert_eq!(without_prefix(text), text);
        }
        assert_eq!(
            without_prefix("Mar 14 03:10:44 host dracut-initqueue[243]: Warning: Could not boot."),
            "dracut-initqueue[243]: Warning: Could not boot."
        );
        assert_eq!(
            without_prefix("focal dracut-initqueue[408]: Warning: x"),
            "dracut-initqueue[408]: Warning: x"
        );
    }

    #[test]
    fn a_panic_behind_what_a_program_was_writing_is_one() {
        for before in [
            "Starting a...",
            "doing it[",
            "x 5.123456] ",
            "x[   12.3] ",
            "[    9.1][   T1] ",
        ] {
            let line = format!("{before}Kernel panic - not syncing: x");
            assert_eq!(
                without_prefix(&line),
                "Kernel panic - not syncing: x",
                "{line}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_end(text in "\\PC{0,40}|[<0-9\\[\\]:.+ TCkernel-]{0,60}") {
            let rest = without_prefix(&text);
            proptest::prop_assert!(text.ends_with(rest));
            let message = format!("{text} EXT4-fs error (device vda1)");
            proptest::prop_assert!(without_prefix(&message).ends_with("(device vda1)"));
        }
    }
}
