//! Findings that no line says: they come from how boots ended.
//!
//! A false alarm is worse than a miss. So each needs a positive sign, and whatever explains the ending hides it.

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::{Finding, MAX_EVIDENCE, Rules, Severity, cut, plain_line};
use crate::reading::began::kernel_clock;
use crate::reading::ending::{Ending, has_kernel, has_login};
use crate::reading::stamp::{Stamp, last_stamp, stamps};
use crate::reading::start::{Stage, begins_with_start, boot_starts, starts};
#[cfg(feature = "cli")]
use crate::reading::stitch::{Boot, MarkKind};

/// The rule for a boot behind which the next one begins, although nothing says why.
const SILENT: &str = "boot-silent";
/// The rule for a boot that has had the time to come to its login prompt, and has not.
const NO_LOGIN: &str = "login-not-reached";
/// The rule for boots that fail early, one behind the other.
const LOOP: &str = "reboot-loop";

/// A boot that fails within this time of its kernel fails early; one that runs for longer should be at its prompt.
const EARLY_MICROS: u64 = 600_000_000;
/// So long after the first capture of a boot, it should be at its prompt.
const WATCHED: SignedDuration = SignedDuration::from_mins(30);
/// Boots of one loop begin within this time of each other.
const NEAR: SignedDuration = SignedDuration::from_hours(1);
/// So many boots that fail early are a loop.
const MIN_LOOP: usize = 3;
/// Boots of a loop that are counted. A machine may restart for weeks.
const MAX_LOOP: usize = 20;

/// What is said where a machine stops or restarts on purpose, also if its kernel's last words are missing.
///
/// Sources: Linux `kernel/reboot.c` (without `reboot: ` before 3.10), `kernel/power/hibernate.c`, `drivers/tty/sysrq.c`;
/// systemd `src/shutdown/shutdown.c`, `units/*.target`; sysvinit `src/shutdown.c`, `src/init.c`; BusyBox `init/init.c`;
/// runit `src/runit.c`; OpenRC `sh/rc.in`.
const SHUTDOWN: [&[u8]; 20] = [
    b"reboot: ",
    b"Restarting system",
    b"Power down",
    b"System halted",
    b"machine restart",
    b"Starting new kernel",
    b"PM: hibernation: hibernation entry",
    b"PM: hibernation: Creating image",
    b"PM: Creating hibernation image",
    b"sysrq: Resetting",
    b"SysRq : Resetting",
    b"Resetting system",
    b"systemd-shutdown[",
    b"System is going down",
    b"system is going down",
    b"System is rebooting",
    b"INIT: Switching to runlevel: 0",
    b"INIT: Switching to runlevel: 6",
    b"Requesting system ",
    b"- runit: leave stage: 2",
];
/// The targets of systemd with which a boot is through, and that a shutdown stops first. Before 250 it calls them by
/// their descriptions.
const TARGETS: [&[u8]; 6] = [
    b"multi-user.target",
    b"Multi-User",
    b"graphical.target",
    b"Graphical",
    b"getty.target",
    b"Login Prompts",
];
const STOPPED: &[u8] = b"Stopped target ";
const REACHED: &[u8] = b"Reached target ";
/// What is said where a boot is through, whether or not a prompt comes.
///
/// Sources: systemd `src/core/manager.c`; cloud-init `cloudinit/config/cc_final_message.py`.
const COMPLETE: [&[u8]; 2] = [b"Startup finished in ", b" finished at "];
/// What says that programs of the initramfs run, and programs of the system. Where both stand in a log, the later counts:
/// with systemd, both say the same words first.
///
/// Sources: those of `phase.rs`.
const INITRD: [&[u8]; 3] = [
    b"Run /init as init process",
    b"Loading, please wait...",
    b"Running in initrd.",
];
const SERVICES: [&[u8]; 7] = [
    b"Run /sbin/init as init process",
    b"/scripts/init-bottom",
    b"Switching root.",
    b"INIT: version ",
    b" running in system mode",
    b" is starting up ",
    b"- runit: enter stage: ",
];

/// What is known of how a boot ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// As if another boot came behind it.
    ending: Ending,
    is_panic: bool,
    has_login: bool,
    /// Whether its beginning is there, and nothing is missing between.
    is_whole: bool,
    /// Whether it begins with words that only a start prints.
    begins_plainly: bool,
    /// Whether its end is there, if another boot is known behind it.
    is_end_known: bool,
    has_kernel: bool,
    is_shut_down: bool,
    is_complete: bool,
    /// The kernel's last stamp.
    micros: Option<u64>,
    /// When it began by the machine's clock, which may be hours away from the real time.
    clock: Option<Timestamp>,
    /// The first capture that shows it, and the last.
    captured: Option<(Timestamp, Timestamp)>,
}

/// A finding that comes from an ending, and how many boots it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    id: &'static str,
    boots: usize,
}

impl End {
    fn of_text(log: &[u8], has_crashed: bool) -> Self {
        let has = |words: &[&[u8]]| {
            let mut words = words.iter();
            words.any(|words| memchr::memmem::find(log, words).is_some())
        };
        let ending = Ending::of_log(log, has_crashed, false);
        let begins_plainly = begins_with_start(log);
        Self {
            ending,
            is_panic: has_crashed || has(&[b"Kernel panic - not syncing"]),
            has_login: has_login(log),
            is_whole: begins_plainly,
            begins_plainly,
            is_end_known: true,
            has_kernel: has_kernel(log),
            is_shut_down: has(&SHUTDOWN) || has_target(log, STOPPED),
            is_complete: has(&COMPLETE) || has_target(log, REACHED),
            micros: last_stamp(log).map(|stamp| stamp.micros),
            clock: kernel_clock(log),
            captured: None,
        }
    }

    /// Of a stitched boot.
    #[cfg(feature = "cli")]
    pub fn of(boot: &Boot) -> Self {
        let is_end = |kind: MarkKind| matches!(kind, MarkKind::EndUnknown);
        let mut kinds = boot.marks.iter().map(|mark| mark.kind);
        let text = Self::of_text(&boot.log, boot.has_crashed);
        let mut captures = boot.captures.iter().map(|capture| capture.captured_at);
        let first = captures.next();
        Self {
            is_whole: text.begins_plainly && kinds.clone().all(is_end),
            is_end_known: !kinds.any(is_end),
            captured: first.map(|first| (first, captures.next_back().unwrap_or(first))),
            ..text
        }
    }

    fn is_early(&self) -> bool {
        self.micros.is_none_or(|micros| micros <= EARLY_MICROS)
    }

    /// Whether the next boot begins behind it without a loss, and nothing says why.
    fn is_silent(&self, next: Option<&Self>) -> bool {
        self.ending == Ending::Silence
            && self.has_kernel
            && !self.is_shut_down
            && self.is_end_known
            && next.is_some_and(|next| next.begins_plainly)
    }

    /// Whether it has had the time to come to its login prompt, and has not.
    fn lacks_login(&self, next: Option<&Self>) -> bool {
        let was_watched =
            |(first, last): (Timestamp, Timestamp)| first.duration_until(last) >= WATCHED;
        let has_had_time = !self.is_early() || self.captured.is_some_and(was_watched);
        let is_followed = next.is_some() && self.is_end_known;
        self.ending == Ending::Silence
            && self.is_whole
            && !self.has_login
            && !self.is_complete
            && !self.is_shut_down
            && !is_followed
            && has_had_time
    }

    /// Whether it failed early, with the boot behind it, and whether one of those before came to its prompt here.
    fn fails(&self, next: Option<&Self>, knows_login: bool) -> bool {
        let is_near = || {
            let next = next.and_then(|next| next.clock);
            let pause = self
                .clock
                .zip(next)
                .map(|(one, next)| one.duration_until(next));
            pause.is_some_and(|pause| pause > SignedDuration::ZERO && pause <= NEAR)
        };
        let has_no_login = self.is_whole && !self.has_login;
        self.is_early()
            && match self.ending {
                Ending::Panic => true,
                Ending::OutOfMemory => self.is_panic,
                Ending::Clean => has_no_login && knows_login && next.is_some(),
                Ending::Silence => {
                    has_no_login && self.is_silent(next) && (knows_login || is_near())
                }
                Ending::Emergency | Ending::Running => false,
            }
    }

    /// Whether it began so long before another one that the two are not of one loop.
    fn is_far_from(&self, later: &Self) -> bool {
        let first = |end: &Self| end.captured.map(|(first, _)| first);
        let is_far = |times: (Option<Timestamp>, Option<Timestamp>)| {
            let (Some(one), Some(other)) = times else {
                return false;
            };
            one.duration_until(other) > NEAR
        };
        is_far((self.clock, later.clock)) || is_far((first(self), first(later)))
    }
}

/// What the end of one of a machine's boots says. A boot that saves the memory of the one before is a part of it.
#[cfg(feature = "cli")]
pub fn of_boots(boots: &[Boot], index: usize) -> Vec<Told> {
    let is_crash_kernel = |boot: &Boot| boot.start.is_some_and(|start| start.is_crash_kernel);
    if is_crash_kernel(&boots[index]) {
        return Vec::new();
    }
    let is_own = |boot: &&Boot| !is_crash_kernel(boot);
    let before = boots[..index].iter().rev().filter(is_own).map(End::of);
    let next = boots[index + 1..].iter().find(is_own).map(End::of);
    judge(before, &End::of(&boots[index]), next.as_ref())
}

/// What a boot's end says, with the boots before it, the last of them first, and the one behind it.
pub fn judge(mut before: impl Iterator<Item = End>, end: &End, next: Option<&End>) -> Vec<Told> {
    let mut told = Vec::new();
    let mut tell = |id, boots| told.push(Told { id, boots });
    if end.is_silent(next) {
        tell(SILENT, 1);
    }
    // Most boots are done here.
    let lacks_login = end.lacks_login(next);
    if lacks_login || end.fails(next, true) {
        let before: Vec<End> = before.by_ref().take(MAX_LOOP).collect();
        if lacks_login && before.first().is_some_and(|before| before.has_login) {
            tell(NO_LOGIN, 1);
        }
        let boots = loop_of(&before, end, next);
        if boots >= MIN_LOOP {
            tell(LOOP, boots);
        }
    }
    told
}

/// Whether systemd says of one of [`TARGETS`] that it was reached, or stopped. On a console, the name may have a colour.
fn has_target(log: &[u8], said: &[u8]) -> bool {
    memchr::memmem::find_iter(log, said).any(|at| {
        let mut name = &log[at + said.len()..];
        if let [0x1b, b'[', rest @ ..] = name {
            let end = rest.iter().take(16).position(u8::is_ascii_alphabetic);
            name = end.map_or(rest, |end| &rest[end + 1..]);
        }
        TARGETS.iter().any(|target| name.starts_with(target))
    })
}

/// How many boots fail early one behind the other, this one the last.
fn loop_of(before: &[End], end: &End, next: Option<&End>) -> usize {
    let (mut boots, mut later, mut behind) = (0, end, next);
    for (at, one) in std::iter::once(end).chain(before).enumerate() {
        let knows_login = before[at.min(before.len())..]
            .iter()
            .any(|one| one.has_login);
        if !one.fails(behind, knows_login) || one.is_far_from(later) {
            break;
        }
        boots += 1;
        (later, behind) = (one, Some(one));
    }
    boots
}

/// How far a boot has come, in a word.
fn reached(log: &[u8]) -> &'static str {
    let last = |words: &[&[u8]]| {
        let places = words
            .iter()
            .filter_map(|words| memchr::memmem::rfind(log, words));
        places.max()
    };
    if has_login(log) {
        return "login";
    }
    let (initrd, services) = (last(&INITRD), last(&SERVICES));
    if services.max(initrd).is_some() {
        return if services > initrd {
            "services"
        } else {
            "initrd"
        };
    }
    if has_kernel(log) {
        return "kernel";
    }
    match starts(log).last().map(|start| start.stage) {
        Some(Stage::Loader) => "loader",
        _ => "firmware",
    }
}

/// Whether a text may show more than one boot. It takes a few passes that are fast, and no memory.
fn may_show_boots(text: &[u8]) -> bool {
    const KERNEL: &[u8] = b"Linux version ";
    const FIRMWARE: [&[u8]; 3] = [
        b"SeaBIOS (version ",
        b"BdsDxe: ",
        b"UEFI firmware (version ",
    ];
    let mut kernels = memchr::memmem::find_iter(text, KERNEL);
    let first = kernels.next().unwrap_or_default();
    let is_of_earlier = |(_, stamp): (Range<usize>, Stamp)| stamp.micros > 0;
    kernels.next().is_some()
        || stamps(&text[..first]).any(is_of_earlier)
        || (FIRMWARE.iter()).any(|words| memchr::memmem::find(&text[first..], words).is_some())
}

/// Adds what the ends of the boots say that a text shows: of all but the last, the next one begins right behind.
pub(super) fn add_of_text<'r>(
    found: &mut Vec<Finding<'r>>,
    text: &[u8],
    rules: &'r Rules,
    place: impl Fn(usize) -> (usize, Range<usize>),
) {
    // Nearly all consoles are done here.
    if !may_show_boots(text) {
        return;
    }
    let starts = boot_starts(text);
    // A crash kernel is a part of the boot that it buries.
    let own = starts.iter().filter(|start| !start.is_crash_kernel);
    let mut bounds: Vec<_> = own.map(|start| start.line).collect();
    if bounds.first().is_some_and(|first| *first > 0) {
        bounds.insert(0, 0);
    }
    if bounds.len() < 2 {
        return;
    }
    let ranges: Vec<_> = (bounds
        .iter()
        .zip(bounds.iter().skip(1).chain([&text.len()])))
    .map(|(begin, end)| *begin..*end)
    .collect();
    let ends: Vec<_> = (ranges.iter())
        .map(|range| {
            let is_within = |at: usize| range.contains(&at) && at > range.start;
            let mut crash_kernels = starts.iter().filter(|start| start.is_crash_kernel);
            let has_crashed = crash_kernels.any(|start| is_within(start.line));
            End::of_text(&text[range.clone()], has_crashed)
        })
        .collect();
    let of_lines = found.len();
    for (index, range) in ranges.iter().enumerate() {
        let before = ends[..index].iter().rev().copied();
        let told = judge(before, &ends[index], ends.get(index + 1));
        let lines = &found[..of_lines];
        let mut new: Vec<_> = (told.iter())
            .filter(|told| !told.is_explained(lines, range))
            .filter_map(|told| told.finding(text, range, rules, &place))
            .collect();
        for one in new.drain(..) {
            let is_loop = one.rule.id == LOOP;
            let mut known = found[of_lines..].iter_mut();
            let same = known
                .find(|other| other.rule == one.rule && (is_loop || other.detail == one.detail));
            match same {
                Some(same) if is_loop => same.count = same.count.max(one.count),
                Some(same) => same.count += one.count,
                None => found.push(one),
            }
        }
    }
    finish(found, rules);
}

/// Adds what the end of a stitched boot says.
#[cfg(feature = "cli")]
pub(super) fn add_of_boot<'r>(
    found: &mut Vec<Finding<'r>>,
    log: &[u8],
    told: &[Told],
    rules: &'r Rules,
    place: impl Fn(usize) -> (usize, Range<usize>),
) {
    let range = 0..log.len();
    let new: Vec<_> = (told.iter())
        .filter(|told| !told.is_explained(found, &range))
        .filter_map(|told| told.finding(log, &range, rules, &place))
        .collect();
    if !new.is_empty() {
        found.extend(new);
        finish(found, rules);
    }
}

fn finish(found: &mut Vec<Finding>, rules: &Rules) {
    found.retain(|one| !rules.silences(one.rule.id, || one.signature()));
    found.sort_by_key(|one| one.line); // Those of one line stay in their order.
}

impl Told {
    /// Whether what the boot's lines say explains its end.
    fn is_explained(&self, lines: &[Finding], boot: &Range<usize>) -> bool {
        let explains = |one: &Finding| match one.severity {
            Severity::Fatal => true,
            // What fails in the system stops no machine, but keeps it from its prompt.
            Severity::Error => {
                self.id == NO_LOGIN || !matches!(one.rule.family, "init" | "cloud-init" | "network")
            }
            Severity::Warning | Severity::Info => false,
        };
        // Of what is said several times, only the first place is known.
        let is_of_boot = |one: &Finding| {
            boot.contains(&one.bytes.start) || one.count > 1 && one.bytes.start < boot.end
        };
        self.id != LOOP && lines.iter().any(|one| explains(one) && is_of_boot(one))
    }

    /// The finding, at the last line with a text of the boot.
    fn finding<'r>(
        &self,
        text: &[u8],
        boot: &Range<usize>,
        rules: &'r Rules,
        place: impl Fn(usize) -> (usize, Range<usize>),
    ) -> Option<Finding<'r>> {
        let log = &text[boot.clone()];
        let is_text = |byte: &u8| byte.is_ascii_graphic() || !byte.is_ascii();
        let last = boot.start + log.iter().rposition(is_text)?;
        let (line, bytes) = place(last);
        let evidence = plain_line(text.get(bytes.clone())?);
        let rule = rules.get(self.id)?;
        Some(Finding {
            rule,
            severity: rule.severity,
            detail: Some(reached(log).to_owned()),
            count: self.boots,
            line,
            bytes,
            evidence: cut(evidence.trim(), MAX_EVIDENCE).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::encoding::EncodingChoice;
    use crate::reading::findings::{of_boots, of_console, of_log};
    use crate::reading::stitch::{Capture, stitch};

    /// A boot of a kernel that began at this second of the machine's clock, and ends with these lines.
    fn boot(clock: i64, lines: &str) -> String {
        let micros = clock % 999_983 * 7 % 999_983; // No two boots have the same stamps.
        format!(
            "[    0.000000] Linux version 6.1.0 (a@b) #1\n\
             [    0.{micros:06}] Command line: console=ttyS0\n\
             [    1.000001] rtc_cmos 00:05: setting system clock to 2026-11-23T09:50:15 UTC ({clock})\n\
             [    2.000001] Run /init as init process\n{lines}"
        )
    }

    const AT: i64 = 1_795_427_415;
    const LOGIN: &str =
        "[    3.000001] systemd[1]: systemd 252 running in system mode (+PAM)\nmachine login: \n";
    const SERVICES: &str = "[    3.000001] systemd[1]: systemd 252 running in system mode (+PAM)\n[    5.000001] eth0: up\n";
    const OFF: &str = "[   99.000001] reboot: Restarting system\n";
    const PANIC: &str = "[    3.000001] Kernel panic - not syncing: no init\n";

    fn told(found: &[Finding]) -> Vec<(String, usize)> {
        let own = found.iter().filter(|one| one.rule.family == "ending");
        own.map(|one| (one.signature(), one.count)).collect()
    }

    /// What the function says of a console, and `findings FILE`.
    #[track_caller]
    fn check(boots: &[String], expected: &[(&str, usize)]) {
        let console = boots.concat();
        let rules = Rules::built_in();
        let found = of_console(console.as_bytes(), rules);
        let expected: Vec<_> = (expected.iter())
            .map(|(signature, count)| ((*signature).to_owned(), *count))
            .collect();
        assert_eq!(told(&found), expected, "{console}");
        let log = Boot::of_log(console.into_bytes());
        assert_eq!(of_log(&log, EncodingChoice::Auto, rules), found);
    }

    #[test]
    fn a_boot_that_the_next_one_cuts_off_is_silent() {
        let next = boot(AT + 86_400, LOGIN);
        check(
            &[boot(AT, LOGIN), next.clone()],
            &[("boot-silent:login", 1)],
        );
        check(
            &[boot(AT, SERVICES), next.clone()],
            &[("boot-silent:services", 1)],
        );
        check(&[boot(AT, ""), next.clone()], &[("boot-silent:initrd", 1)]);
        let rest = "[   77.000001] eth0: up\n".to_owned();
        check(&[rest, next.clone()], &[("boot-silent:kernel", 1)]);
        // Twice the same is one finding, at the first.
        let twice = [
            boot(AT, LOGIN),
            boot(AT + 86_400, LOGIN),
            boot(AT + 2 * 86_400, LOGIN),
        ];
        check(&twice, &[("boot-silent:login", 2)]);
    }

    #[test]
    fn a_boot_whose_end_is_explained_is_not_silent() {
        let next = boot(AT + 86_400, LOGIN);
        for last in [
            OFF,
            "[   99.000001] Restarting system.\n",
            "[   99.000001] sysrq: Resetting\n",
            "[  OK  ] Stopped target Multi-User System.\n",
            "The system is going down NOW!\n",
            "[   99.000001] systemd-shutdown[1]: Rebooting.\n",
            "[   99.000001] PM: hibernation: Creating image:\n",
            "[  OK  ] Stopped target \u{1b}[0;1;39mmulti-user.target\u{1b}[0m - Multi-User System.\n",
            PANIC,
            "[   99.000001] mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 1: be00000000800400\n",
            "[   99.000001] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [java:123]\n",
            "You are in emergency mode. After logging in, type \"journalctl -xb\"\n",
        ] {
            check(&[boot(AT, &format!("{LOGIN}{last}")), next.clone()], &[]);
        }
        // Whether the kernel would say its last words here is not known.
        let unknown = "machine login: \n".to_owned();
        check(&[unknown.clone(), next.clone()], &[]);
        let last = boot(AT + 2 * 86_400, LOGIN);
        check(&[unknown, next.clone(), last], &[("boot-silent:login", 1)]);
        // A kernel whose first line is missing.
        let behind = "[    0.500001] eth0: up\n[    0.600001] eth0: down\n".to_owned();
        check(&[boot(AT, LOGIN), behind], &[]);
        check(std::slice::from_ref(&next), &[]);
        check(&[], &[]);
    }

    #[test]
    fn a_fault_that_is_said_again_explains_each_end() {
        let lockup =
            "[   99.000001] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [java:123]\n";
        let one = format!("{LOGIN}{lockup}");
        check(
            &[
                boot(AT, &one),
                boot(AT + 9000, &one),
                boot(AT + 99_000, LOGIN),
            ],
            &[],
        );
    }

    #[test]
    fn a_boot_should_come_to_its_prompt_if_the_one_before_did() {
        let before = boot(AT, &format!("{LOGIN}{OFF}"));
        let hangs = boot(AT + 900, &format!("{SERVICES}[  700.000001] eth0: down\n"));
        let expected = [("login-not-reached:services", 1)];
        check(&[before.clone(), hangs.clone()], &expected);
        for well in [
            // It has not had the time.
            boot(AT + 900, SERVICES),
            boot(AT + 900, &format!("{LOGIN}[  700.000001] eth0: down\n")),
            boot(
                AT + 900,
                &format!(
                    "{SERVICES}[  OK  ] Reached target Multi-User System.\n[  700.000001] a\n"
                ),
            ),
            boot(
                AT + 900,
                &format!("{SERVICES}[  700.000001] reboot: Power down\n"),
            ),
            boot(
                AT + 900,
                &format!("{SERVICES}[  700.000001] systemd-shutdown[1]: Powering off.\n"),
            ),
            // An error says why.
            boot(
                AT + 900,
                &format!("{SERVICES}[FAILED] Failed to start a.service.\n[  700.000001] a\n"),
            ),
        ] {
            check(&[before.clone(), well], &[]);
        }
        // It did not hang: the next one cut it off.
        let next = boot(AT + 1800, LOGIN);
        let silent = [("boot-silent:services", 1)];
        check(&[before.clone(), hangs.clone(), next], &silent);
        // No prompt was ever there: there may be no getty.
        let without = boot(AT, &format!("{SERVICES}{OFF}"));
        check(&[without, hangs.clone()], &[]);
        check(&[hangs], &[]);
    }

    #[test]
    fn boots_that_fail_early_one_behind_the_other_are_a_loop() {
        let panics = |count: i64| (0..count).map(|at| boot(AT + 60 * at, PANIC));
        let panics = |count| panics(count).collect::<Vec<_>>();
        check(&panics(2), &[]);
        check(&panics(3), &[("reboot-loop:initrd", 3)]);
        check(&panics(7), &[("reboot-loop:initrd", 7)]);
        let mut mended = panics(5);
        mended.push(boot(AT + 900, LOGIN));
        check(&mended, &[("reboot-loop:initrd", 5)]);
        // One that came to its prompt, and was restarted by a person, is between.
        let mut apart = panics(2);
        apart.push(boot(AT + 300, &format!("{LOGIN}{OFF}")));
        apart.extend(panics(2));
        check(&apart, &[]);
        // Days apart.
        let days: Vec<_> = (0..4).map(|at| boot(AT + 86_400 * at, PANIC)).collect();
        check(&days, &[]);
        // After days of work.
        let late = "[86400.000001] Kernel panic - not syncing: Fatal exception\n";
        let late: Vec<_> = (0..4).map(|at| boot(AT + 60 * at, late)).collect();
        check(&late, &[]);
    }

    #[test]
    fn boots_that_stop_before_their_prompt_are_a_loop_if_they_are_near_or_came_to_it_once() {
        let stop = |pause: i64| {
            (0..4)
                .map(|at| boot(AT + pause * at, ""))
                .collect::<Vec<_>>()
        };
        check(
            &stop(60),
            &[("boot-silent:initrd", 3), ("reboot-loop:initrd", 3)],
        );
        // A machine without a getty that is stopped by force each week.
        check(&stop(7 * 86_400), &[("boot-silent:initrd", 3)]);
        let restart =
            |pause: i64| (0..4).map(move |at| boot(AT + pause * at, &format!("{SERVICES}{OFF}")));
        // A person restarts a machine without a getty.
        check(&restart(60).collect::<Vec<_>>(), &[]);
        let mut once = vec![boot(AT - 60, &format!("{LOGIN}{OFF}"))];
        once.extend(restart(60));
        check(&once, &[("reboot-loop:services", 3)]);
        // A person restarts a machine often.
        let often = (0..9).map(|at| boot(AT + 60 * at, &format!("{LOGIN}{OFF}")));
        check(&often.collect::<Vec<_>>(), &[]);
    }

    /// Captures of one machine, so many minutes apart.
    fn of_captures(captures: &[(i64, String)]) -> Vec<Vec<(String, usize)>> {
        let capture = |(minute, plain): &(i64, String)| Capture {
            name: format!("c{minute:04}"),
            captured_at: Timestamp::from_second(AT + 60 * minute).unwrap(),
            updated_at: None,
            started_at: None,
            event_id: None,
            plain: plain.clone().into_bytes(),
        };
        let boots = stitch(captures.iter().map(capture).collect());
        let of = |index| of_boots(&boots, index, EncodingChoice::Auto, Rules::built_in());
        (0..boots.len()).map(|index| told(&of(index))).collect()
    }

    #[test]
    fn a_boot_whose_end_no_capture_shows_is_not_silent() {
        let (first, second) = (boot(AT, LOGIN), boot(AT + 60, LOGIN));
        let apart = [(5, first.clone()), (9, second.clone())];
        assert_eq!(of_captures(&apart), [[], []]);
        let together = [(5, first.clone()), (9, format!("{first}{second}"))];
        let silent = vec![("boot-silent:login".to_owned(), 1)];
        assert_eq!(of_captures(&together), [silent, vec![]]);
    }

    /// A kernel that saves the memory of another ends without a word, and is no boot of a loop.
    #[test]
    fn a_crash_kernel_ends_nothing_but_the_boot_that_it_buries() {
        let panic = |at: i64| boot(AT + at, PANIC);
        let crash_kernel = |at: i64| {
            let options = "console=ttyS0 elfcorehdr=0x7000000 irqpoll";
            boot(AT + at, "[    9.000001] kdump[300]: saving vmcore\n")
                .replace("console=ttyS0", options)
        };
        let next = boot(AT + 86_400, LOGIN);
        let once = [(0, [panic(0), crash_kernel(20), next].concat())];
        assert_eq!(of_captures(&once), [[], [], []]);
        let both = |at: i64| [panic(60 * at), crash_kernel(60 * at + 20)].concat();
        let thrice: Vec<_> = (0..3).map(|at| (at, both(at))).collect();
        let told = of_captures(&thrice);
        assert_eq!(told.len(), 6, "{told:?}");
        let counts: Vec<Vec<usize>> = told
            .iter()
            .map(|told| told.iter().map(|(_, count)| *count).collect())
            .collect();
        assert_eq!(counts, [vec![], vec![], vec![], vec![], vec![3], vec![]]);
    }

    #[test]
    fn captures_show_that_a_boot_does_not_come_to_its_prompt() {
        let first = boot(AT, &format!("{LOGIN}{OFF}"));
        let second = boot(AT + 60, SERVICES);
        let more = format!("{second}[    6.000001] eth0: down\n");
        let none: Vec<(String, usize)> = Vec::new();
        let missing = vec![("login-not-reached:services".to_owned(), 1)];
        let of = |minute| {
            of_captures(&[
                (0, first.clone()),
                (2, second.clone()),
                (minute, more.clone()),
            ])
        };
        assert_eq!(of(40), [none.clone(), missing]);
        assert_eq!(of(12), [none.clone(), none]);
    }

    #[test]
    fn a_loop_is_seen_across_captures() {
        let panic = |at: i64| boot(AT + at, PANIC);
        let near: Vec<_> = (0..4).map(|at| (at, panic(60 * at))).collect();
        let counts: Vec<Vec<usize>> = (of_captures(&near).iter())
            .map(|told| told.iter().map(|(_, count)| *count).collect())
            .collect();
        assert_eq!(counts, [vec![], vec![], vec![3], vec![4]]);
        // The clock of the machine stands still, and the captures are days apart.
        let far: Vec<_> = (0..4).map(|at| (1440 * at, panic(at))).collect();
        assert!(of_captures(&far).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_finding_of_an_ending_stands_at_the_last_line() {
        let console = format!("{}\n\n{}", boot(AT, SERVICES), boot(AT + 86_400, LOGIN));
        let found = of_console(console.as_bytes(), Rules::built_in());
        let [one] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((one.line, &*one.evidence), (6, "[    5.000001] eth0: up"));
        assert_eq!(&console[one.bytes.clone()], "[    5.000001] eth0: up\n");
    }
}
