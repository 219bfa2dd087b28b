//! Where a boot begins in a console.

#[cfg(feature = "cli")]
mod banners;

use std::ops::Range;

use super::stamp::{Stamp, stamps};

/// How far a boot has come. Later stages are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Firmware and its boot ROMs: SeaBIOS, OVMF, U-Boot, iPXE.
    Firmware,
    /// A boot loader: GRUB, the kernel's EFI stub.
    Loader,
    /// Linux.
    Kernel,
}

/// A line with which firmware, a boot loader or a kernel begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Where its line begins in the text.
    pub line: usize,
    /// What begins.
    pub stage: Stage,
    /// Whether the same boot prints more than one such line: a boot manager that tries device after
    /// device, a menu that is drawn again.
    pub is_repeated: bool,
    /// Whether the kernel was started to save the memory of one that crashed.
    pub is_crash_kernel: bool,
}

/// What firmware and boot loaders print first, on a line of its own.
///
/// Sources: SeaBIOS `src/fw/paravirt.c` and `src/post.c` ("SeaBIOS (version %s)"); EDK II
/// `MdeModulePkg/Universal/BdsDxe`; U-Boot `lib/display_options.c`; iPXE `src/usr/autoboot.c`; GRUB
/// `grub-core/normal/main.c` ("GNU GRUB  version %s") and `grub-core/kern/main.c` ("Welcome to GRUB!");
/// Linux `drivers/firmware/efi/libstub`.
const BANNERS: [(&[u8], Stage, bool); 9] = [
    (b"SeaBIOS (version ", Stage::Firmware, false),
    (b"U-Boot SPL 20", Stage::Firmware, false),
    (b"U-Boot 20", Stage::Firmware, true), // Behind its SPL.
    (b"BdsDxe: ", Stage::Firmware, true),
    (b"UEFI firmware (version ", Stage::Firmware, false),
    (b"iPXE ", Stage::Firmware, true),
    (b"Welcome to GRUB!", Stage::Loader, true),
    (b"GNU GRUB ", Stage::Loader, true),
    (b"EFI stub: ", Stage::Loader, true),
];

/// The first words of Linux (`linux_banner` in `init/version.c`).
const KERNEL: &[u8] = b"Linux version ";
/// What stands before them at the most: a stamp, the caller and a space, or a prompt.
const KERNEL_PREFIX_BYTES: usize = 48;
/// The parameter by which a crash kernel finds the crashed one's memory (`Documentation/admin-guide/kdump`).
const CRASH_PARAMETER: &[u8] = b"elfcorehdr=";
/// The kernel's own words, or its architecture's.
const COMMAND_LINE: &[u8] = b"ommand line: ";
/// The command line is among the first lines of a kernel.
const COMMAND_LINE_WITHIN: usize = 8 * 1024;

/// The starts in `text`, in order.
pub fn starts(text: &[u8]) -> Vec<Start> {
    #[cfg(feature = "cli")]
    if let Some(starts) = banners::starts(text) {
        return starts;
    }
    starts_one_by_one(text)
}

fn starts_one_by_one(text: &[u8]) -> Vec<Start> {
    let lines = lines(text, 0..text.len());
    let mut starts: Vec<_> = lines
        .filter_map(|(line, words)| start(line, &text[words..]))
        .collect();
    let kernels = memchr::memmem::find_iter(text, KERNEL);
    starts.extend(kernels.filter_map(|at| behind_prompt(text, at)));
    starts.sort_by_key(|start| start.line);
    starts
}

/// What waits for somebody, or for the machine to restart, at the end of a line without a line end. The next kernel
/// begins right behind it where no firmware prints anything: after kexec, after a crash, in a machine whose kernel is
/// loaded by its host.
///
/// Sources: util-linux `login-utils/login.c` and `agetty.c`; the default prompts of shells; Linux `kernel/panic.c`
/// ("Rebooting in %d seconds..").
const PROMPTS: [&[u8]; 5] = [LOGIN, b"Password: ", b"# ", b"$ ", b"seconds.."];

/// The kernel whose first words are at `words`, if it begins in the middle of a line, behind a prompt. Its stamp is
/// zero: without one, it may be what somebody typed.
fn behind_prompt(text: &[u8], words: usize) -> Option<Start> {
    let from = words.saturating_sub(KERNEL_PREFIX_BYTES);
    let prompt_end = |prompt: &&[u8]| {
        let found = memchr::memmem::rfind(&text[from..words], prompt)?;
        Some(from + found + prompt.len())
    };
    // The prompt that is nearest: the words of a kernel's stamp are in none.
    let line = PROMPTS.iter().filter_map(prompt_end).max()?;
    let kernel = &text[line..];
    let is_first = Stamp::parse(kernel).is_some() && is_kernel(kernel);
    is_first.then(|| Start {
        line,
        stage: Stage::Kernel,
        is_repeated: false,
        is_crash_kernel: is_crash_kernel(kernel),
    })
}

/// Parameters of a sequence that is skipped at the beginning of a line.
const MAX_PARAMETERS: usize = 32;

/// What a boot's log begins with. `None` if its beginning is missing.
pub fn start_of(log: &[u8]) -> Option<Start> {
    let (line, words) = lines(log, 0..0).next()?;
    start(line, &log[words..]).filter(|start| start.line == 0)
}

/// What begins with the line at `line`, whose words and all behind them are `text`.
fn start(line: usize, text: &[u8]) -> Option<Start> {
    let (stage, is_repeated) = banner(text)?;
    Some(Start {
        line,
        stage,
        is_repeated,
        is_crash_kernel: stage == Stage::Kernel && is_crash_kernel(text),
    })
}

/// What begins with `text`, apart from line ends, and whether a boot prints it more than once.
pub fn start_stage(text: &[u8]) -> Option<(Stage, bool)> {
    let (_, words) = lines(text, 0..0).next()?;
    banner(&text[words..])
}

/// Whether `text` begins with a start, apart from line ends.
pub fn begins_with_start(text: &[u8]) -> bool {
    start_stage(text).is_some()
}

/// What begins with this line.
fn banner(line: &[u8]) -> Option<(Stage, bool)> {
    // Nearly all lines are a kernel's, with a stamp that is not zero.
    if let [b'[', rest @ ..] = line {
        let padding = rest.iter().take_while(|byte| **byte == b' ').count();
        return match rest.get(padding) {
            Some(b'0') if is_kernel(line) => Some((Stage::Kernel, false)),
            _ => None,
        };
    }
    let known = BANNERS.iter().find(|(banner, ..)| line.starts_with(banner));
    if let Some(&(_, stage, is_repeated)) = known {
        return Some((stage, is_repeated));
    }
    is_kernel(line).then_some((Stage::Kernel, false))
}

/// The release of the kernel that a boot ran, such as `6.1.0-57-cloud-amd64`. `None` if its first line is not
/// there.
pub fn kernel_release(log: &[u8]) -> Option<&str> {
    // Its line is near the beginning, so the rest is not looked at.
    let mut starts =
        lines(log, 0..log.len()).filter_map(|(line, words)| start(line, &log[words..]));
    let kernel = starts.find(|start| start.stage == Stage::Kernel)?;
    let version = memchr::memmem::find(&log[kernel.line..], KERNEL)?;
    let release = &log[kernel.line + version + KERNEL.len()..];
    let end = release.iter().position(u8::is_ascii_whitespace)?;
    str::from_utf8(&release[..end]).ok()
}

/// Whether it is the first line of a kernel, with a stamp of zero or without stamps. With
/// `CONFIG_PRINTK_CALLER` the thread stands behind the stamp.
fn is_kernel(line: &[u8]) -> bool {
    let message = match Stamp::parse(line) {
        Some((stamp, _)) if stamp.micros > 0 => return false,
        Some((_, length)) => &line[length..],
        None => line,
    };
    let message = match message.strip_prefix(b"[") {
        Some(caller) => {
            let caller_end = memchr::memchr(b']', &caller[..caller.len().min(16)]);
            caller_end.map_or(message, |end| &caller[end + 1..])
        }
        None => message,
    };
    let message = message.strip_prefix(b" ").unwrap_or(message);
    let version = message.strip_prefix(KERNEL).unwrap_or_default();
    version.first().is_some_and(u8::is_ascii_digit)
}

fn is_crash_kernel(text: &[u8]) -> bool {
    let beginning = &text[..text.len().min(COMMAND_LINE_WITHIN)];
    memchr::memmem::find(beginning, CRASH_PARAMETER).is_some()
}

/// Where lines begin: at the beginning, behind line ends and carriage returns, and where the screen is
/// cleared. Each comes with where its text begins, behind escape sequences. Looks at these bytes of the text.
fn lines(text: &[u8], range: Range<usize>) -> impl Iterator<Item = (usize, usize)> + '_ {
    let beginning = (range.start == 0).then_some(0);
    let breaks = memchr::memchr3_iter(b'\n', b'\r', 0x1b, &text[range.clone()]);
    let breaks = breaks.filter_map(move |at| match text[range.start + at] {
        0x1b => clears_screen(&text[range.start + at..]).then_some(range.start + at),
        _ => Some(range.start + at + 1),
    });
    let mut last = None;
    beginning.into_iter().chain(breaks).filter_map(move |at| {
        // What is skipped holds many breaks, all of this one line. To skip it again from each would take hours for
        // a guest that prints nothing but line ends.
        if last.is_some_and(|words| at <= words) {
            return None;
        }
        let line = at
            + text[at..]
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n' | 0))
                .count();
        let words = skip_sequences(text, line);
        last = Some(words);
        (words < text.len()).then_some((line, words))
    })
}

/// Whether a sequence clears the screen or resets the terminal.
fn clears_screen(text: &[u8]) -> bool {
    [&b"\x1bc"[..], b"\x1b[2J", b"\x1b[H\x1b[J"]
        .iter()
        .any(|sequence| text.starts_with(sequence))
}

/// Skips escape sequences and line ends from `at` on.
fn skip_sequences(text: &[u8], mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let length = match rest {
            [b'\r' | b'\n' | 0, ..] => 1,
            [0x1b, b'[', parameters @ ..] => {
                let parameters_length = parameters
                    .iter()
                    .take(MAX_PARAMETERS)
                    .take_while(|byte| matches!(byte, b' '..=b'?'))
                    .count();
                match parameters.get(parameters_length) {
                    Some(b'@'..=b'~') => 2 + parameters_length + 1,
                    _ => return at,
                }
            }
            [0x1b, b'c' | b'7' | b'8' | b'=' | b'>', ..] => 2,
            _ => return at,
        };
        at += length;
    }
}

/// What a login prompt ends with.
pub(super) const LOGIN: &[u8] = b"login: ";

/// A kernel's clock has run for less than this when the first message of a boot reaches the console.
const EARLY_MICROS: u64 = 5_000_000;

/// The starts at which a boot begins, in order: those behind a later stage, and those that a boot has only
/// once. Where a kernel's clock goes back without such a line, a boot begins, too.
pub fn boot_starts(text: &[u8]) -> Vec<Start> {
    let mut finder = Finder {
        text,
        boots: Vec::new(),
        stage: None,
        clock: None,
    };
    let mut from = 0;
    for start in starts(text) {
        finder.follow_clock(from..start.line);
        finder.start(start);
        from = start.line;
    }
    finder.follow_clock(from..text.len());
    finder.boots
}

/// Walks through a text for boots.
struct Finder<'a> {
    text: &'a [u8],
    boots: Vec<Start>,
    /// How far the boot has come, as far as its lines say.
    stage: Option<Stage>,
    /// The kernel's last stamp in the boot.
    clock: Option<Stamp>,
}

impl Finder<'_> {
    fn start(&mut self, start: Start) {
        let begins = match self.stage {
            None => true,
            Some(stage) if start.stage == stage => !start.is_repeated,
            Some(stage) => start.stage < stage,
        };
        if begins {
            let is_kernel = start.stage == Stage::Kernel;
            if !is_kernel || !is_silent(&self.text[start.line..]) {
                self.begin(start);
            }
        } else {
            self.stage = Some(start.stage);
        }
    }

    /// A boot begins, unless its lines were printed before.
    fn begin(&mut self, start: Start) {
        let last = self.boots.last().map(|boot| boot.line);
        if last.is_some_and(|last| start.line <= last) {
            return; // A clock that goes back within the line with which a boot begins.
        }
        let boot = last.unwrap_or_default();
        // No program prints what firmware prints once, or draws on the screen as a boot loader does.
        let is_drawn = self.text[start.line] == 0x1b;
        let can_be_quoted = start.stage == Stage::Kernel || start.is_repeated && !is_drawn;
        if can_be_quoted && is_quoted(&self.text[boot..start.line], &self.text[start.line..]) {
            return;
        }
        self.stage = Some(start.stage);
        self.clock = None;
        self.boots.push(start);
    }

    /// Looks for a kernel whose first line is missing.
    fn follow_clock(&mut self, range: Range<usize>) {
        let (offset, end) = (range.start, range.end);
        for (place, stamp) in stamps(&self.text[range]) {
            let is_back = |last: Stamp| stamp.is_far_before(last);
            if stamp.micros < EARLY_MICROS && self.clock.is_some_and(is_back) {
                let at = offset + place.start;
                let line = memchr::memrchr(b'\n', &self.text[..at]).map_or(0, |end| end + 1);
                let (stage, is_repeated) = (Stage::Kernel, false);
                self.begin(Start {
                    line,
                    stage,
                    is_repeated,
                    is_crash_kernel: false,
                });
            }
            self.clock = Some(stamp);
        }
        let text = &self.text[offset..end];
        // A kernel that is told to be quiet is seen by what it starts.
        if self.clock.is_some() || memchr::memmem::find(text, LOGIN).is_some() {
            self.stage = self.stage.max(Some(Stage::Kernel));
        }
    }
}

/// Whether a kernel's first messages were printed before: by `dmesg`, or by a kernel that shows the log
/// of the one that crashed. Or whether its clock goes on behind words that only look like a start, as
/// somebody who types `cat /proc/version` brings them to the console.
fn is_quoted(before: &[u8], messages: &[u8]) -> bool {
    let messages = &messages[..messages.len().min(COMMAND_LINE_WITHIN)];
    let first = memchr::memchr_iter(b'[', messages).find_map(|at| {
        let (stamp, _) = Stamp::parse(&messages[at..])?;
        let end = memchr::memchr2(b'\r', b'\n', &messages[at..])?;
        let line = &messages[at..at + end];
        stamp.is_distinctive().then_some((stamp, line))
    });
    first.is_some_and(|(stamp, line)| {
        let last = memchr::memrchr_iter(b'[', before).find_map(|at| {
            let (stamp, _) = Stamp::parse(&before[at..])?;
            stamp.is_distinctive().then_some(stamp)
        });
        last.is_some_and(|last| stamp >= last) || memchr::memmem::find(before, line).is_some()
    })
}

/// Whether much follows the first words of a kernel, but neither a stamp nor its command line, which it prints
/// next, and at the same level (`start_kernel` in `init/main.c`).
fn is_silent(messages: &[u8]) -> bool {
    messages.get(..COMMAND_LINE_WITHIN).is_some_and(|messages| {
        stamps(messages).all(|(_, stamp)| stamp.micros == 0)
            && memchr::memmem::find(messages, COMMAND_LINE).is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever stands before the words of a start.
        #[test]
        fn starts_are_found_as_if_each_line_was_looked_at(
            pieces in proptest::collection::vec(proptest::sample::select(&[
                "Linux version 6.1 ", "[    0.000000] ", "[    0.000000][    T0] ", "[    1.500001] ", "SeaBIOS (version 1", "U-Boot SPL 20",
                "U-Boot 20", "iPXE ", "GNU GRUB ", "a", "\n", "\r\n", "\r", "\0", "\x1b[0m", "\x1b[2J", "\x1bc", "\x1b7", "\x1b[", "\x1b",
                "host login: ", "~# ", "00000000000000000000000000000000000000", "elfcorehdr=",
            ][..]), 0..40),
        ) {
            let text = pieces.concat().into_bytes();
            proptest::prop_assert_eq!(starts(&text), starts_one_by_one(&text));
        }
    }

    /// As a guest prints that has nothing else to say. To skip it from each of its breaks would take hours.
    #[test]
    fn megabytes_of_breaks_are_skipped_once() {
        for part in ["\r\n", "\n\0", "\x1b[2J", "\x1bc", "\x1b[H\x1b[J"] {
            let text = part.repeat(1 << 19).into_bytes();
            assert_eq!(starts(&text), []);
            assert_eq!(starts_one_by_one(&text), []);
            assert_eq!((start_of(&text), kernel_release(&text)), (None, None));
            assert!(!begins_with_start(&text));
        }
    }
}
