//! How a boot ended.

#[cfg(feature = "cli")]
use std::ops::Range;

#[cfg(feature = "cli")]
use super::stamp::stamps;
use super::stamp::{Stamp, last_stamp};
use super::start::{LOGIN, Stage, boot_starts, kernel_release, starts};
use crate::model::ending::BootFacts;
pub use crate::model::ending::Ending;

/// What decides, the most decisive first. Where several stand in a log, the first kind here counts, unless
/// the machine went on behind it.
///
/// Sources: Linux `kernel/panic.c`, `kernel/reboot.c`, `arch/*/kernel`, `mm/oom_kill.c`; systemd
/// `units/emergency.service.in`, `units/rescue.service.in`, `src/sulogin-shell`; sysvinit's and util-linux's
/// `sulogin`; initramfs-tools `scripts/functions` (`panic`); dracut `modules.d/99base/dracut-lib.sh`
/// (`emergency_shell`); systemd `src/cryptsetup/cryptsetup.c`; cryptsetup-initramfs `scripts/local-top/cryptroot`.
const PANIC: &[u8] = b"Kernel panic - not syncing";
/// What a panic gives as its reason where memory ran out (Linux `mm/oom_kill.c`).
const OUT_OF_MEMORY_PANIC: [&[u8]; 2] = [b"Out of memory", b"System is deadlocked on memory"];
const CLEAN: [&[u8]; 6] = [
    b"reboot: Power down",
    b"reboot: Restarting system",
    b"reboot: System halted",
    b"reboot: machine restart",
    b"kexec_core: Starting new kernel",
    b"kexec: Starting new kernel",
];
const EMERGENCY: [&[u8]; 9] = [
    b"You are in emergency mode",
    b"You are in rescue mode",
    b"Entering emergency mode",
    b"Give root password for maintenance",
    b"Press Enter for maintenance",
    b"(initramfs)",
    b"dracut:/#",
    b"enter passphrase for disk ",
    b"Please unlock disk ",
];
/// What firmware and boot loaders say that have nothing to start. It counts as long as no kernel came.
///
/// Sources: GRUB `grub-core/normal/main.c`, `grub-core/kern/rescue_reader.c`, `grub-core/normal/menu.c`; SeaBIOS
/// `src/boot.c`; EDK II `MdeModulePkg/Universal/BdsDxe/BdsEntry.c` and `ShellPkg/Application/Shell`; iPXE
/// `src/hci/shell.c`.
const NOTHING_TO_START: [&[u8]; 7] = [
    b"grub rescue>",
    b"grub> ",
    b"Failed to boot both default and fallback entries",
    b"No bootable device.",
    b"No bootable option or device was found",
    b"Shell> ",
    b"iPXE> ",
];
const OUT_OF_MEMORY: [&[u8]; 2] = [
    b"Out of memory: Kill",
    b"Out of memory and no killable processes",
];

impl Ending {
    /// How a boot with this log ended. `has_crashed`: a crash kernel came behind it. `is_newest`: no later boot is
    /// known.
    pub(super) fn of_log(log: &[u8], has_crashed: bool, is_newest: bool) -> Self {
        let last = |words: &[&[u8]]| {
            // From the front: that is many times as fast as from the end, which has no vector instructions.
            let last = |words: &&[u8]| memchr::memmem::find_iter(log, *words).last();
            words.iter().filter_map(last).max()
        };
        // A kernel that panicked prints nothing else than its own last words.
        if let Some(at) = memchr::memmem::find(log, PANIC) {
            let rest = &log[at + PANIC.len()..];
            let reason = rest.strip_prefix(b": ").unwrap_or(rest);
            let is_memory = |words: &&[u8]| reason.starts_with(words);
            return match OUT_OF_MEMORY_PANIC.iter().any(is_memory) {
                true => Self::OutOfMemory,
                false => Self::Panic,
            };
        }
        if has_crashed {
            return Self::Panic;
        }
        let login = last(&[LOGIN]);
        if login.is_none() && last(&NOTHING_TO_START).is_some() && !has_kernel(log) {
            return Self::Emergency;
        }
        let (clean, emergency, memory) = (last(&CLEAN), last(&EMERGENCY), last(&OUT_OF_MEMORY));
        let latest = login.max(clean).max(emergency).max(memory);
        match latest {
            Some(_) if latest == clean => Self::Clean,
            Some(_) if latest == emergency => Self::Emergency,
            Some(_) if latest == memory => Self::OutOfMemory,
            _ if is_newest => Self::Running,
            _ => Self::Silence,
        }
    }
}

/// What a kernel prints behind its panic comes within this time: traces, and when it restarts.
#[cfg(feature = "cli")]
const PANIC_MICROS: u64 = 60_000_000;
/// What stands between a stamp and its message: a space, and with `CONFIG_PRINTK_CALLER` the thread.
#[cfg(feature = "cli")]
const MAX_CALLER_BYTES: usize = 20;

/// Whether the machine cannot have printed more in this boot: its kernel has panicked, or its last line says that
/// it stops. What comes behind a loss is then of another boot.
#[cfg(feature = "cli")]
pub(super) fn is_over(log: &[u8]) -> bool {
    // By the kernel itself, behind its stamp or at the beginning of a line. Others quote it, and go on.
    let said_at = |at: usize| {
        let line = memchr::memrchr(b'\n', &log[..at]).map_or(0, |end| end + 1);
        let said = stamps(&log[line..at]).last();
        let is_right_behind = |place: &Range<usize>| at - line - place.end <= MAX_CALLER_BYTES;
        match said {
            Some((place, stamp)) if is_right_behind(&place) => Some(Some(stamp)),
            _ => (line == at).then_some(None),
        }
    };
    let panics = memchr::memmem::find_iter(log, PANIC);
    if let Some((at, said)) = panics.filter_map(|at| Some((at, said_at(at)?))).last() {
        let last = last_stamp(log);
        let is_last = said.zip(last).is_none_or(|(said, last)| {
            (said.micros..said.micros + PANIC_MICROS).contains(&last.micros)
        });
        return is_last && !has_login(&log[at..]);
    }
    let is_text = |byte: &u8| !byte.is_ascii_whitespace() && *byte != 0;
    let end = &log[..log.iter().rposition(is_text).map_or(0, |last| last + 1)];
    let line = memchr::memrchr(b'\n', end).map_or(0, |end| end + 1);
    let is_said = |words: &&[u8]| {
        memchr::memmem::find(&end[line..], words).is_some_and(|at| said_at(line + at).is_some())
    };
    CLEAN.iter().any(is_said)
}

/// Whether a kernel has printed a part of it.
pub(super) fn has_kernel(log: &[u8]) -> bool {
    last_stamp(log).is_some() || starts(log).iter().any(|start| start.stage == Stage::Kernel)
}

/// The kernel's last stamp before the first login prompt: when the prompt was there at the earliest.
pub fn login(log: &[u8]) -> Option<Stamp> {
    last_stamp(&log[..prompt(log)?])
}

/// Whether a boot came as far as its login prompt.
pub fn has_login(log: &[u8]) -> bool {
    prompt(log).is_some()
}

fn prompt(log: &[u8]) -> Option<usize> {
    // A shell says when its user logged in last.
    let is_prompt = |at: &usize| !log[..*at].ends_with(b"Last ");
    memchr::memmem::find_iter(log, LOGIN).find(is_prompt)
}

/// Longest release of a kernel that is taken over, in bytes. Linux has 64 (`__NEW_UTS_LEN`).
const MAX_RELEASE_BYTES: usize = 64;

/// What one console shows of its boots by itself.
///
/// A crash kernel is part of the boot that it buries: that boot's panic is the end, and its kernel failed.
pub fn boot_facts(console: &[u8]) -> BootFacts {
    let starts = boot_starts(console);
    let mut bounds: Vec<_> = (starts.iter())
        .filter(|start| !start.is_crash_kernel)
        .map(|start| start.line)
        .collect();
    // What stands before the first start is the rest of an earlier boot.
    if bounds.first().is_none_or(|first| *first > 0) {
        bounds.insert(0, 0);
    }
    let last = bounds.last().copied().unwrap_or_default();
    let log = &console[last..];
    let mut crash_kernels = starts.iter().filter(|start| start.is_crash_kernel);
    let has_crashed = crash_kernels.any(|start| start.line > last);
    let is_release = |release: &&str| {
        release.len() <= MAX_RELEASE_BYTES && release.bytes().all(|b| b.is_ascii_graphic())
    };
    BootFacts {
        boots: bounds.len(),
        ending: Ending::of_log(log, has_crashed, true),
        has_login: has_login(log),
        kernel: kernel_release(log).filter(is_release).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(log: &[u8], is_newest: bool) -> Ending {
        Ending::of_log(log, false, is_newest)
    }

    #[test]
    fn recorded_consoles_end_as_they_did() {
        for (log, expected) in [
            (
                &include_bytes!("../../tests/fixtures/consoles/i-bp1cloudinit0000001.log")[..],
                Ending::Clean,
            ),
            (
                include_bytes!("../../tests/fixtures/consoles/i-bp1ext4fsck00000001.log"),
                Ending::Clean,
            ),
            (
                include_bytes!("../../tests/fixtures/consoles/i-bp1normalreboot0001.log"),
                Ending::Clean,
            ),
            (
                include_bytes!("../../tests/fixtures/consoles/i-bp1oomkill000000001.log"),
                Ending::Clean,
            ),
            (
                include_bytes!("../../tests/fixtures/consoles/i-bp1panicnoroot00001.log"),
                Ending::Panic,
            ),
        ] {
            assert_eq!(ending(log, true), expected);
        }
    }

    #[test]
    fn the_first_prompt_says_how_long_a_boot_took() {
        let log = b"[    1.500000] a\r\nLast login: Mon\r\n[    2.500000] b\r\nhost login: [    9.000000] c";
        assert_eq!(login(log), Some(Stamp { micros: 2_500_000 }));
        assert_eq!(login(b"[    1.500000] a\r\n"), None);
        assert_eq!(login(b"host login: "), None);
        assert!(has_login(b"host login: ") && !has_login(b"Last login: Mon"));
    }

    #[test]
    fn what_was_printed_last_decides() {
        for (log, expected) in [
            ("host login: ", Ending::Running),
            ("", Ending::Running),
            (
                "You are in emergency mode. After logging in\r\nGive root password for maintenance\r\n",
                Ending::Emergency,
            ),
            (
                "You are in emergency mode\r\n[ 9.1] reboot: Restarting system\r\n",
                Ending::Clean,
            ),
            ("(initramfs) exit\r\nhost login: ", Ending::Running),
            (
                "Please enter passphrase for disk data: (press TAB for no echo) ",
                Ending::Emergency,
            ),
            (
                "host login: [ 99.1] Out of memory: Killed process 94 (dd)\r\n",
                Ending::OutOfMemory,
            ),
            (
                "[ 99.1] Out of memory: Killed process 94 (dd)\r\nhost login: ",
                Ending::Running,
            ),
            (
                "[ 1.0] Command line: panic=30\r\nhost login: ",
                Ending::Running,
            ),
            (
                "[ 2.1] Kernel panic - not syncing: VFS\r\n[ 2.2] Rebooting in 2 seconds..",
                Ending::Panic,
            ),
            (
                "[ 9.1] Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled",
                Ending::OutOfMemory,
            ),
            (
                "Minimal BASH-like line editing\r\ngrub> ",
                Ending::Emergency,
            ),
            (
                "grub> boot\r\n[    0.000000] Linux version 6.1\r\n",
                Ending::Running,
            ),
            (
                "No bootable device.\r\nLinux version 6.1 (without stamps)\r\n",
                Ending::Running,
            ),
        ] {
            assert_eq!(ending(log.as_bytes(), true), expected, "{log}");
        }
        let log = b"[ 9.1] BUG: kernel NULL pointer dereference";
        assert_eq!(Ending::of_log(log, true, false), Ending::Panic);
        assert_eq!(ending(b"host login: ", false), Ending::Silence);
        assert_eq!(ending(b"[ 1.0] EXT4-fs", false), Ending::Silence);
    }

    #[test]
    fn behind_its_last_words_a_kernel_prints_nothing() {
        for (log, expected) in [
            (
                "[    2.100001] Kernel panic - not syncing: VFS\r\n[    2.200001] Rebooting in 2 seconds..",
                true,
            ),
            (
                "Kernel panic - not syncing: VFS\r\n---[ end Kernel panic - not syncing: VFS ]---\r\n",
                true,
            ),
            (
                "host login: [   99.000001] Kernel panic - not syncing: sysrq\r\n",
                true,
            ),
            (
                "[   99.000001][    T0] Kernel panic - not syncing: sysrq\r\n",
                true,
            ),
            (
                "[   50.000001] a\r\n[   99.000001] reboot: Power down\r\n\0",
                true,
            ),
            ("reboot: Restarting system\r\n", true),
            ("[   99.000001] reboot: Power down\r\nhost login: ", false),
            ("[   99.000001] systemd-shutdown[1]: Rebooting.\r\n", false),
            (
                "[    2.100001] Kernel panic - not syncing: VFS\r\n[   99.000001] a\r\n",
                false,
            ),
            (
                "[    2.100001] Kernel panic - not syncing: VFS\r\n[    1.000001] a\r\n",
                false,
            ),
            (
                "Nov 23 host kernel: Kernel panic - not syncing: VFS\r\n",
                false,
            ),
            ("Kernel panic - not syncing: VFS\r\nhost login: ", false),
            ("[    2.100001] EXT4-fs (vda1): mounted\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_over(log.as_bytes()), expected, "{log}");
        }
    }

    #[test]
    fn one_console_shows_its_boots_by_itself() {
        let facts = |log: &str| {
            let BootFacts {
                boots,
                ending,
                has_login,
                kernel,
            } = boot_facts(log.as_bytes());
            (boots, ending, has_login, kernel.unwrap_or_default())
        };
        let none = String::new();
        assert_eq!(facts(""), (1, Ending::Running, false, none.clone()));
        assert_eq!(
            facts("host login: [    9.5] reboot: Restarting system\r\n"),
            (1, Ending::Clean, true, none)
        );
        let first =
            "[    0.000000] Linux version 6.1.0-1 (x)\r\n[   20.100001] a\r\nhost login: \r\n";
        let second = "[    0.000000] Linux version 6.1.0-2 (x)\r\n[    0.200001] b\r\n";
        let panic = "[    0.300001] Kernel panic - not syncing: x\r\n";
        assert_eq!(
            facts(&format!("{first}{second}{panic}")),
            (2, Ending::Panic, false, "6.1.0-2".to_owned())
        );
        // The rest of a boot, and a whole one.
        assert_eq!(
            facts(&format!("[ 55.000001] end\r\n{first}")),
            (2, Ending::Running, true, "6.1.0-1".to_owned())
        );
    }

    #[test]
    fn a_crash_kernel_belongs_to_the_boot_that_it_buries() {
        let log = "[    0.000000] Linux version 6.1.0-1 (x)\r\n[    0.100001] a\r\nhost login: \
                   [   99.000001] Kernel panic - not syncing: sysrq\r\n\
                   [    0.000000] Linux version 6.1.0-1 (x)\r\n\
                   [    0.000000] Command line: elfcorehdr=0x1 nr_cpus=1\r\n[    0.100002] b\r\n\
                   [    5.000001] reboot: Restarting system\r\n";
        let facts = boot_facts(log.as_bytes());
        assert_eq!((facts.boots, facts.ending), (1, Ending::Panic));
        assert!(facts.has_login);
    }
}
