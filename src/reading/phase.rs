//! How far a boot has come, line by line.

use std::iter::Peekable;
use std::sync::LazyLock;

use regex_automata::Input;
use regex_automata::meta::{Cache, Regex};

use super::start::{Stage, Start, starts};

/// A part of a boot. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Firmware and its boot ROMs.
    Firmware,
    /// A boot loader.
    Loader,
    /// Linux, until it starts a program.
    Kernel,
    /// The programs of the initramfs.
    Initrd,
    /// The programs of the system, until it is shut down.
    Services,
    /// From the first sign of a shutdown on.
    Shutdown,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 6] = [
        Self::Firmware,
        Self::Loader,
        Self::Kernel,
        Self::Initrd,
        Self::Services,
        Self::Shutdown,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Services => "services",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether lines of both may come in another order in another boot. Drivers go on while programs start.
    pub fn runs_beside(self, other: Self) -> bool {
        let is_running = |phase| matches!(phase, Self::Kernel | Self::Initrd | Self::Services);
        self == other || is_running(self) && is_running(other)
    }
}

impl From<Stage> for Phase {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Firmware => Self::Firmware,
            Stage::Loader => Self::Loader,
            Stage::Kernel => Self::Kernel,
        }
    }
}

/// What the lines say with which a phase begins, apart from those of [`super::start`], and the phases in
/// which they count. Regular expressions.
///
/// Sources: Linux `init/main.c` ("Run %s as init process") and `kernel/reboot.c`; initramfs-tools `init` and
/// `scripts/functions`; systemd `src/core/main.c`, `src/core/manager.c` and `src/shutdown/shutdown.c`;
/// sysvinit `src/init.c` and `src/shutdown.c`; OpenRC `src/openrc/rc.c`; runit `src/runit.c`.
const SIGNS: [(&str, Phase, &[Phase]); 15] = [
    ("Run /init as init process", Phase::Initrd, &[Phase::Kernel]),
    (
        r"Loading, please wait\.\.\.",
        Phase::Initrd,
        &[Phase::Kernel],
    ),
    (
        r"Running in initrd\.",
        Phase::Initrd,
        &[Phase::Kernel, Phase::Services],
    ),
    (
        "Run /sbin/init as init process",
        Phase::Services,
        &[Phase::Kernel],
    ),
    ("/scripts/init-bottom", Phase::Services, BEFORE_SERVICES),
    (r"Switching root\.", Phase::Services, BEFORE_SERVICES),
    ("INIT: version ", Phase::Services, BEFORE_SERVICES),
    (" running in system mode", Phase::Services, BEFORE_SERVICES),
    (" is starting up ", Phase::Services, BEFORE_SERVICES),
    ("- runit: enter stage: ", Phase::Services, BEFORE_SERVICES),
    (
        "Stopped target (?:[Mm]ulti-[Uu]ser|[Gg]raphical)",
        Phase::Shutdown,
        &[Phase::Services],
    ),
    (
        r"systemd-shutdown\[1\]: ",
        Phase::Shutdown,
        &[Phase::Initrd, Phase::Services],
    ),
    (
        "The system is going down",
        Phase::Shutdown,
        &[Phase::Initrd, Phase::Services],
    ),
    (
        "INIT: Switching to runlevel: [06]",
        Phase::Shutdown,
        &[Phase::Services],
    ),
    (
        "reboot: ",
        Phase::Shutdown,
        &[Phase::Kernel, Phase::Initrd, Phase::Services],
    ),
];
const BEFORE_SERVICES: &[Phase] = &[Phase::Kernel, Phase::Initrd];

static ENGINE: LazyLock<Regex> =
    LazyLock::new(|| match Regex::new_many(&SIGNS.map(|(sign, ..)| sign)) {
        Ok(engine) => engine,
        Err(error) => unreachable!("the table is constant, and tested: {error}"),
    });

/// Follows a boot line by line.
#[derive(Debug)]
pub struct Phases {
    phase: Phase,
    starts: Peekable<std::vec::IntoIter<Start>>,
    cache: Cache,
}

impl Phases {
    /// Follows the boot with this log. A boot whose beginning is missing may begin in any phase: until a sign
    /// comes, its lines count as the kernel's.
    pub fn of(log: &[u8]) -> Self {
        Self {
            phase: Phase::Kernel,
            starts: starts(log).into_iter().peekable(),
            cache: ENGINE.create_cache(),
        }
    }

    /// The phase of the next line. Its bytes end at `end` in the log.
    pub fn next(&mut self, text: &str, end: usize) -> Phase {
        let mut has_begun = false;
        while let Some(start) = self.starts.next_if(|start| start.line < end) {
            self.phase = start.stage.into();
            has_begun = true;
        }
        if !has_begun && let Some(found) = ENGINE.search_with(&mut self.cache, &Input::new(text)) {
            let (_, phase, counts_in) = SIGNS[found.pattern().as_usize()];
            if counts_in.contains(&self.phase) {
                self.phase = phase;
            }
        }
        self.phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(log: &str) -> Vec<&'static str> {
        let (mut phases, mut end) = (Phases::of(log.as_bytes()), 0);
        let mut next = |line: &str| {
            end += line.len();
            phases.next(line.trim_end(), end).as_str()
        };
        let mut all: Vec<_> = log.split_inclusive('\n').map(&mut next).collect();
        all.dedup();
        all
    }

    #[test]
    fn a_boot_goes_through_its_phases_and_begins_anew() {
        let systemd = "SeaBIOS (version 1)\nGNU GRUB  version 2\n[    0.000000] Linux version 6.1\n\
            [    1.000000] reboot: noted\n";
        assert_eq!(
            phases(systemd),
            ["firmware", "loader", "kernel", "shutdown"]
        );
        let debian = "[    0.000000] Linux version 6.1\n[    1.000000] Run /init as init process\n\
            Loading, please wait...\n[    2.000000] systemd[1]: systemd 252 running in system mode (+PAM)\n\
            [  OK  ] Stopped target multi-user.target\n[    9.0] reboot: Power down\nSeaBIOS (version 1)\n";
        assert_eq!(
            phases(debian),
            ["kernel", "initrd", "services", "shutdown", "firmware"]
        );
        let dracut = "[    0.000000] Linux version 6.1\nsystemd 257 running in system mode\nRunning in initrd.\n\
            systemd[1]: Switching root.\nsystemd 257 running in system mode\n";
        assert_eq!(phases(dracut), ["kernel", "services", "initrd", "services"]);
    }

    #[test]
    fn what_the_machine_says_later_begins_no_phase_again() {
        let log = "INIT: version 3.14 booting\nRun /init as init process\n";
        assert_eq!(phases(log), ["services"]);
        assert_eq!(phases("a\nb\n"), ["kernel"]);
    }

    #[test]
    fn drivers_and_programs_run_beside_each_other() {
        let running = [Phase::Kernel, Phase::Initrd, Phase::Services];
        for a in Phase::ALL {
            for b in Phase::ALL {
                let expected = a == b || running.contains(&a) && running.contains(&b);
                assert_eq!(a.runs_beside(b), expected, "{a:?} {b:?}");
            }
        }
    }
}
