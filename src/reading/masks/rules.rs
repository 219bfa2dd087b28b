//! The table of what is masked: data, tested by the examples in it.

/// A kind of value, and how it is told from others.
#[derive(Debug)]
pub struct Rule {
    /// What stands in its place, as `<kind>`. `None` if what the pattern matches stays as it is, so that no
    /// other rule finds a part of it.
    pub kind: Option<&'static str>,
    /// A regular expression for ASCII text. Its groups are masked; without a group, all that it matches. Of
    /// those that match at one place, the first in the table counts.
    pub pattern: &'static str,
    /// Lines and their keys. Only tests read them.
    #[cfg(feature = "cli")]
    pub masked: &'static [(&'static str, &'static str)],
    /// Lines that look alike, and are their own keys.
    #[cfg(feature = "cli")]
    pub kept: &'static [&'static str],
}

const fn keep(pattern: &'static str, kept: &'static [&'static str]) -> Rule {
    let _ = kept; // The function does not have it.
    Rule {
        kind: None,
        pattern,
        #[cfg(feature = "cli")]
        masked: &[],
        #[cfg(feature = "cli")]
        kept,
    }
}

const fn mask(
    kind: &'static str,
    pattern: &'static str,
    masked: &'static [(&'static str, &'static str)],
    kept: &'static [&'static str],
) -> Rule {
    let _ = (masked, kept); // The function does not have them.
    Rule {
        kind: Some(kind),
        pattern,
        #[cfg(feature = "cli")]
        masked,
        #[cfg(feature = "cli")]
        kept,
    }
}

/// The table.
pub const RULES: &[Rule] = &[
    // How a machine was started is never noise.
    keep(
        r"\b(?:[Cc]ommand line|Linux version)\b.*",
        &[
            "Kernel command line: root=UUID=0a1b2c3d-0000-4000-8000-00000000feed ro crashkernel=0x10000000",
            "Linux version 6.1.0-57-cloud-amd64 (gcc 12.2.0) #1 SMP Debian 6.1.192-3 (2026-10-02)",
        ],
    ),
    keep(
        r"(?i:\b(?:exit ?code|error code|status|error)[ =:]+(?:-|0x)?[0-9a-f]+\b)",
        &[
            "Attempted to kill init! exitcode=0x00000009",
            "virtio_blk: probe failed with error -6",
            "Main process exited, code=exited, status=203/EXEC",
        ],
    ),
    mask(
        "stamp",
        r"\[ *[0-9]{1,10}\.[0-9]{6}\](?:\[ *[TC][0-9]+\])?",
        &[
            (
                "root@machine:~# [  217.653587] sysrq: Crash",
                "root@machine:~# <stamp> sysrq: Crash",
            ),
            ("login: [    9.000001][   T12] oom", "login: <stamp> oom"),
        ],
        &["[1.5] a", "a [T12]"],
    ),
    // `CONFIG_PRINTK_CALLER`, where the stamp before it is left out.
    mask(
        "caller",
        r"^\[ *[TC][0-9]+\]",
        &[("[    T1] a", "<caller> a"), ("[   C0] a", "<caller> a")],
        &["[T] a"],
    ),
    // systemd waits for a job (`src/core/show-status.c`, `src/shared/show-status`).
    mask(
        "spinner",
        r"^\[[ *]{6}\]",
        &[(
            "[ ***  ] A start job is running",
            "<spinner> A start job is running",
        )],
        &["[  OK  ] Started", "[FAILED] Failed to start"],
    ),
    mask(
        "job",
        r"\(([0-9]+ of [0-9]+)\) (?:Job|A )",
        &[(
            "(1 of 3) Job a.service/start",
            "(<job>) Job a.service/start",
        )],
        &["copied (1 of 3)"],
    ),
    mask(
        "mac",
        r"\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5,19}\b",
        &[("eth0: 00:16:3e:0a:1b:2c", "eth0: <mac>")],
        &["pci 0000:00:1f.2"],
    ),
    // In the name that systemd gives an interface.
    mask(
        "mac",
        r"\benx([0-9a-f]{12})\b",
        &[("enx00163e0a1b2c: link up", "enx<mac>: link up")],
        &["ens5: link up"],
    ),
    mask(
        "uuid",
        r"(?:\b|\\x2d)([0-9A-Fa-f]{8}(?:(?:-|\\x2d)[0-9A-Fa-f]{4}){3}(?:-|\\x2d)[0-9A-Fa-f]{12})\b",
        &[
            (
                "EXT4-fs (vda1): mounted 0a1b2c3d-0000-4000-8000-00000000feed",
                "EXT4-fs (vda1): mounted <uuid>",
            ),
            (
                r"by\x2duuid-0a1b2c3d\x2d0000\x2d4000\x2d8000\x2d00000000feed",
                r"by\x2duuid-<uuid>",
            ),
        ],
        &["6.1.0-57-cloud-amd64"],
    ),
    // systemd's IDs of machines, boots and invocations.
    mask(
        "id",
        r"\b[0-9a-f]{32}\b",
        &[("Boot ID: 0123456789abcdef0123456789abcdef", "Boot ID: <id>")],
        &["sha1 0123456789abcdef0123456789abcdef01234567"],
    ),
    mask(
        "audit",
        r"\baudit\(([0-9]+\.[0-9]+:[0-9]+)\)",
        &[(
            "audit: type=2000 audit(1795949699.084:1): state=initialized",
            "audit: type=2000 audit(<audit>): state=initialized",
        )],
        &["audit: type=2000"],
    ),
    // The kernel says its real-time clock twice, the second time in seconds since 1970.
    mask(
        "date",
        r"\bsystem clock to ([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}) UTC \(([0-9]+)\)",
        &[(
            "rtc_cmos 00:03: setting system clock to 2026-11-29T10:55:07 UTC (1795949707)",
            "rtc_cmos 00:03: setting system clock to <date> UTC (<date>)",
        )],
        &["sectors (1795949707)"],
    ),
    mask(
        "date",
        r"\b(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?:[T ][0-2][0-9]:[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]+)?)?(?:Z| ?UTC| ?GMT| ?[+-][0-9]{2}:?[0-9]{2})?)?\b",
        &[
            ("Not after 2026-11-29T10:55:07Z", "Not after <date>"),
            ("2026-11-29 10:55:07,123 - util.py", "<date> - util.py"),
            ("until 2026-11-29.", "until <date>."),
        ],
        &["version 2026-x", "1.16.2-debian-1.16.2-1 04/01/2014"],
    ),
    mask(
        "date",
        r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:[0-3]?[0-9] (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?:19|20)[0-9]{2} |(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +[0-3]?[0-9] )[0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]+)?(?: (?:UTC|GMT|CST|[+-][0-9]{4}))?(?: (?:19|20)[0-9]{2})?\b",
        &[
            ("at Thu, 22 Mar 2018 10:04:57 +0000.", "at <date>."),
            ("Sun Nov 29 10:55:07 UTC 2026", "<date>"),
            ("Nov 29 10:55:07 host sshd", "<date> host sshd"),
        ],
        &["May 2026", "Nov 29"],
    ),
    mask(
        "time",
        r"\b[0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]+)?\b",
        &[
            ("at 10:55:07", "at <time>"),
            ("10:55:07.123 up", "<time> up"),
        ],
        &["pci 0000:00:02.0", "ratio 10:55"],
    ),
    mask(
        "frequency",
        r"\b(?:[0-9]+(?:\.[0-9]+)? ?(?:[kMG]?Hz|BogoMIPS)|lpj=([0-9]+))\b",
        &[
            (
                "tsc: Detected 2596.149 MHz processor",
                "tsc: Detected <frequency> processor",
            ),
            (
                "5192.29 BogoMIPS (lpj=10384596)",
                "<frequency> (lpj=<frequency>)",
            ),
        ],
        &["Link is Up - 1000Mbps/Full", "HZ=250"],
    ),
    mask(
        "speed",
        r"\b[0-9]+(?:\.[0-9]+)? ?[kKMGT]i?B/s(?:ec)?\b",
        &[(
            "raid6: avx2x4 gen() 12345 MB/s",
            "raid6: avx2x4 gen() <speed>",
        )],
        &["512 MB", "1000 Mb/s"],
    ),
    mask(
        "duration",
        r"\b[0-9]+(?:\.[0-9]+)? ?(?:ns|us|usecs?|ms|msecs?|s|secs?|seconds?|min|minutes?|h|hours?)(?: [0-9]+(?:\.[0-9]+)? ?(?:ns|us|ms|s|min|h))*\b",
        &[
            (
                "Startup finished in 1min 2.345s",
                "Startup finished in <duration>",
            ),
            ("Up 12.34 seconds", "Up <duration>"),
            ("101ms instead of 100ms", "<duration> instead of <duration>"),
        ],
        &["2 sectors", "512 MB", "ttyS0", "vda1 s", "4 CPUs"],
    ),
    mask(
        "offset",
        r"\+(0x[0-9a-f]+/0x[0-9a-f]+)\b",
        &[("vfs_write+0xc7/0x3f0", "vfs_write+<offset>")],
        &["+0xc7"],
    ),
    mask(
        "address",
        r"\b0x[0-9A-Fa-f]{6,16}\b",
        &[("Kernel Offset: 0x2c200000", "Kernel Offset: <address>")],
        &["irq 0x1f", "IO Port: 0x608"],
    ),
    // Addresses, hashed pointers and counters without 0x.
    mask(
        "hex",
        r"\b[0-9A-Fa-f]{12,16}\b",
        &[
            ("RSP: 002b:00007ffd020150c8", "RSP: 002b:<hex>"),
            ("br-0123456789ab: up", "br-<hex>: up"),
        ],
        &[
            "00007ffd",
            "67108864 512-byte logical blocks",
            "[8086:29c0]",
        ],
    ),
    // An address of a container's interface; Docker makes it at random.
    mask(
        "hex",
        r"\bveth([0-9a-f]{7})\b",
        &[("veth0a1b2c3: up", "veth<hex>: up")],
        &["veth0: up"],
    ),
    mask(
        "cpu",
        r"\bCPU(?:: ([0-9]+) (?:UID|PID): |#([0-9]+)\b)",
        &[
            (
                "CPU: 3 PID: 222 Comm: bash",
                "CPU: <cpu> PID: <pid> Comm: bash",
            ),
            (
                "soft lockup - CPU#1 stuck for 22s!",
                "soft lockup - CPU#<cpu> stuck for <duration>!",
            ),
        ],
        &["smp: Brought up 1 node, 2 CPUs", "CPU0: Intel"],
    ),
    // Process 1 is init, always.
    mask(
        "pid",
        r"[A-Za-z0-9_.@)/]\[([2-9][0-9]*|1[0-9]+)\b",
        &[(
            "systemd-journald[167]: Received",
            "systemd-journald[<pid>]: Received",
        )],
        &["systemd[1]: Reached target", "Configuration [0-7]"],
    ),
    mask(
        "pid",
        r"(?i:\b(?:pp?|tg?)id[=: ] ?)([2-9][0-9]*|1[0-9]+)\b",
        &[
            ("CPU#0 PID: 94 Comm: dd", "CPU#<cpu> PID: <pid> Comm: dd"),
            (
                "oom-kill:task=dd,pid=94,uid=0",
                "oom-kill:task=dd,pid=<pid>,uid=0",
            ),
            ("tgid 12, ppid 2", "tgid <pid>, ppid <pid>"),
        ],
        &["PID 1", "pids 12", "uid=1000"],
    ),
    mask(
        "pid",
        r"(?i:\b(?:process|task) )([2-9][0-9]*|1[0-9]+)\b",
        &[("Killed process 94 (dd)", "Killed process <pid> (dd)")],
        &["process 1", "processes 12"],
    ),
    // Memory that is left, and that processes have: it differs by a little at each boot.
    mask(
        "memory",
        r"\b(?:Memory: ([0-9]+)K/[0-9]+K available|([0-9]+)K reserved\b)",
        &[(
            "Memory: 260860K/523756K available (14343K kernel code, 66044K reserved, 0K cma-reserved)",
            "Memory: <memory>K/523756K available (14343K kernel code, <memory>K reserved, 0K cma-reserved)",
        )],
        &["Freeing initrd memory: 14948K"],
    ),
    mask(
        "memory",
        r"\b(?:total-vm|anon-rss|file-rss|shmem-rss|pgtables):([0-9]+)kB",
        &[(
            "total-vm:12345kB, anon-rss:8kB",
            "total-vm:<memory>kB, anon-rss:<memory>kB",
        )],
        &["size:12kB"],
    ),
    mask(
        "blocks",
        r": clean, ([0-9]+)/[0-9]+ files, ([0-9]+)/[0-9]+ blocks",
        &[(
            "/dev/vda1: clean, 12345/655360 files, 234567/2621440 blocks",
            "/dev/vda1: clean, <blocks>/655360 files, <blocks>/2621440 blocks",
        )],
        &["clean, 3 files"],
    ),
    // Clocks measured against each other (Linux `arch/x86/kernel/apic`, `tsc.c`, `kernel/time`).
    mask(
        "timer",
        r"\b(?:PM-Timer: ([0-9]+) \(([0-9]+)\)|HPET: ([0-9]+) ([0-9]+)|Marking stable \((-?[0-9]+), (-?[0-9]+)\)->\((-?[0-9]+), (-?[0-9]+)\)|(?:wd|cs)_(?:nsec|now|last): ([0-9a-f]+)\b)",
        &[
            (
                "APIC delta adjusted to PM-Timer: 6249709 (6373829)",
                "APIC delta adjusted to PM-Timer: <timer> (<timer>)",
            ),
            (
                "sched_clock: Marking stable (7804441009, -46166474)->(9557807057, -1799532522)",
                "sched_clock: Marking stable (<timer>, <timer>)->(<timer>, <timer>)",
            ),
            (
                "'hpet' wd_nsec: 77260 wd_now: 806c8f5c",
                "'hpet' wd_nsec: <timer> wd_now: <timer>",
            ),
        ],
        &["PM-Timer IO Port: 0x608"],
    ),
    // Drivers that start at the same time count devices in the order in which they come.
    mask(
        "order",
        r"\b(?:input/input([0-9]+)|device number ([0-9]+) using|scsi host([0-9]+):)",
        &[
            (
                "as /devices/LNXPWRBN:00/input/input3",
                "as /devices/LNXPWRBN:00/input/input<order>",
            ),
            (
                "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
                "usb 1-1: new high-speed USB device number <order> using xhci_hcd",
            ),
        ],
        &["ata3.00: configured", "vda1 vdb1", "eth0: link up"],
    ),
    mask(
        "suppressed",
        r"\b([0-9]+) (?:callbacks|messages) suppressed",
        &[(
            "kauditd_printk_skb: 31 callbacks suppressed",
            "kauditd_printk_skb: <suppressed> callbacks suppressed",
        )],
        &["3 callbacks"],
    ),
    mask(
        "suppressed",
        r"\b([0-9]+) [a-z]+ warning\(s\) missed",
        &[(
            "random: 7 urandom warning(s) missed due to ratelimiting",
            "random: <suppressed> urandom warning(s) missed due to ratelimiting",
        )],
        &["7 urandom warnings"],
    ),
];
