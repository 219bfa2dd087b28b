//! What a boot went on to. A loader that misses a file, or an initramfs that misses a disk, stops a machine. But if a
//! kernel starts behind it, or the system, the machine did without.

use crate::reading::start::{Stage, start_stage};

/// How far a boot came, or what it got after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A boot loader runs.
    Loader,
    /// A kernel runs.
    Kernel,
    /// The kernel mounted its root file system.
    Root,
    /// Volumes of LVM are there.
    Activated,
    /// The root file system is there, and its init runs.
    System,
    /// What was encrypted is unlocked.
    Unlocked,
    /// The machine has an address.
    Address,
    /// cloud-init has its data.
    DataSource,
    /// Init went on with a unit.
    Job,
    /// Somebody can log in.
    Login,
    /// The shell that waits for a person says what it is of, which tells more.
    Shell,
    /// The kernel says which process it killed, which tells more.
    Killed,
}

/// What boot loaders say before they start a kernel.
///
/// Sources: GRUB `grub-core/kern/main.c`, `grub-core/normal/{main,menu}.c`, `util/grub.d/10_linux.in`; syslinux
/// `core/isolinux.asm`; systemd `src/boot/boot.c`; U-Boot `boot/bootm.c`.
const LOADER: [&str; 6] = [
    "GNU GRUB ",
    "Welcome to GRUB",
    "GRUB loading",
    "Loading Linux ",
    "SYSLINUX ",
    "## Loading kernel",
];
/// What messages say that are of the system, and not of an initramfs.
///
/// Sources: systemd `src/core/{main,job,manager}.c` and `units/*.target`; sysvinit `src/init.c`; OpenRC
/// `src/openrc/rc.c`; runit `src/runit.c`; initramfs-tools `init`; cloud-init `cloudinit/cmd/main.py`.
const SYSTEM: [&str; 9] = [
    "Switching root.",
    "INIT: version ",
    "INIT: Entering runlevel",
    "- runit: enter stage: ",
    "/scripts/init-bottom ... done.",
    "Reached target Multi-User",
    "Reached target Graphical",
    "Reached target Login Prompts",
    "Started Getty on ",
];
/// What cryptsetup and its kin say of a disk that they unlocked.
///
/// Sources: systemd `src/cryptsetup`, `units/*.target`; cryptsetup-initramfs `functions`; clevis
/// `src/luks/systemd/clevis-luks-askpass.in`; Linux `fs/{ext4,xfs,btrfs}/super.c` of a mapped device.
const UNLOCKED: [&str; 9] = [
    "Finished Cryptography Setup for",
    "Started Cryptography Setup for",
    "Reached target Encrypted Volumes",
    "Reached target Local Encrypted Volumes",
    "set up successfully",
    "Unlocked /dev/",
    "EXT4-fs (dm-",
    "XFS (dm-",
    "BTRFS info (device dm-",
];
/// What those say that got an address.
///
/// Sources: dhclient, dhcpcd, BusyBox udhcpc, klibc ipconfig, Linux `net/ipv4/ipconfig.c`, NetworkManager
/// `src/core/dhcp`, systemd `src/network/networkd-dhcp4.c`.
const ADDRESS: [&str; 8] = [
    "bound to ",
    "bound: ",
    " leased ",
    "DHCPACK ",
    "lease of ",
    "DHCPv4 address ",
    "IP-Config: Complete",
    "new lease, address=",
];

/// What the kernel says of a root file system that came after all.
///
/// Sources: Linux `init/{do_mounts,main}.c`, `fs/{ext4,xfs}/super.c`.
const MOUNTED: [&str; 4] = [
    "VFS: Mounted root",
    "Run /sbin/init as init process",
    ": mounted filesystem",
    ": Mounting V",
];
/// What systemd says of a unit that came to an end of its wait (`src/core/job.c`, `src/core/manager.c`).
const UNITS: [&str; 4] = ["[  OK  ] ", "[FAILED] ", "[ TIME ] ", "[DEPEND] "];

/// What a shell of systemd or dracut says first (systemd `src/shared/emergency-action.c`, `units/emergency.service.in`;
/// dracut `modules.d/99base/dracut-lib.sh`, `98dracut-systemd/dracut-emergency.sh`; util-linux `login-utils/sulogin.c`).
const SHELL: [&str; 6] = [
    "You are in emergency mode",
    "Welcome to emergency mode",
    "Entering emergency mode",
    "/run/initramfs/rdsosreport.txt",
    "Press Enter for maintenance",
    "Give root password for",
];

/// What the kernel says of a process that it kills for its memory (Linux `mm/oom_kill.c`), or of itself.
const KILLED: [&str; 4] = [
    "Killed process ",
    "Kill process ",
    "Kernel panic",
    "no killable processes",
];

impl Progress {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Loader,
        Self::Kernel,
        Self::Root,
        Self::Activated,
        Self::System,
        Self::Unlocked,
        Self::Address,
        Self::DataSource,
        Self::Job,
        Self::Login,
        Self::Shell,
        Self::Killed,
    ];

    /// Whether a message says that the boot has come so far. `is_stamped`: the kernel's stamp stands before it.
    pub fn is_said(self, text: &str, is_stamped: bool) -> bool {
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        let is_system = || {
            let is_welcome = text.starts_with("Welcome to ")
                && !text.contains("GRUB")
                && !text.contains("nitramfs")
                && !text.contains("dracut");
            is_welcome
                || says(&SYSTEM)
                || text.starts_with("OpenRC ") && text.contains(" is starting up ")
                || text.starts_with("Cloud-init v. ")
        };
        let is_login = || says_login(text);
        let is_kernel = || {
            let is_first = || begins(text) == Some((Stage::Kernel, false));
            is_stamped || is_system() || is_login() || is_first()
        };
        match self {
            Self::Loader => says(&LOADER) || is_kernel(),
            Self::Kernel => is_kernel(),
            Self::Root => says(&MOUNTED) || is_system() || is_login(),
            Self::Activated => activates(text) || is_system() || is_login(),
            Self::System => is_system() || is_login(),
            Self::Unlocked => says(&UNLOCKED) || is_system() || is_login(),
            Self::Address => says(&ADDRESS),
            Self::DataSource => {
                text.contains("Datasource DataSource") && !text.contains("DataSourceNone")
            }
            Self::Job => says(&UNITS) || is_system() || is_login(),
            Self::Login => is_login(),
            Self::Shell => says(&SHELL) || is_login(),
            Self::Killed => says(&KILLED),
        }
    }

    /// Whether a message begins what comes before this: another boot.
    pub fn is_begun_anew(self, text: &str) -> bool {
        let is_early = matches!(self, Self::Loader | Self::Kernel);
        match begins(text) {
            Some((Stage::Firmware, is_repeated)) => !is_repeated || !is_early,
            Some((Stage::Loader, _)) => !is_early && !text.starts_with("EFI stub"),
            Some((Stage::Kernel, _)) => true,
            None => false,
        }
    }
}

fn begins(text: &str) -> Option<(Stage, bool)> {
    start_stage(text.as_bytes())
}

/// Whether LVM says that volumes of a group are there (lvm2 `tools/vgchange.c`).
fn activates(text: &str) -> bool {
    let count = text.find(" logical volume(s) in volume group ");
    count.is_some_and(|at| !text[..at].ends_with(" 0") && text[..at] != *"0")
        && text.contains(" now active")
}

/// A prompt, and not what a shell says of the last login.
fn says_login(text: &str) -> bool {
    let prompt = text.find("login: ").or_else(|| {
        let end = text.strip_suffix("login:")?;
        Some(end.len())
    });
    prompt.is_some_and(|at| at > 0 && !text[..at].ends_with("Last "))
}
