//! The host's own name, as its console prints it. It differs from machine to machine, and stands in the names of what may
//! fail: installers name a volume group `web01-vg`, and mdadm an array `web01:0`.
//!
//! Sources: systemd `src/core/hostname-setup.c` (`Hostname set to <…>.`, before version 246 `Set hostname to <…>.`);
//! util-linux `term-utils/agetty.c` and BusyBox `loginutils/getty.c` (`… login: `); cloud-init
//! `tools/write-ssh-key-fingerprints` (keys end in `root@…`); RFC 3164, as [`prefix`](super::prefix) reads it;
//! lvm2 `libdm/libdm-common.c` (a hyphen is two in `/dev/mapper`) and systemd `src/basic/unit-name.c` (and `\x2d` in the
//! name of a unit).

use std::borrow::Cow;
use std::ops::Range;

use super::prefix;

/// Most names of one log: it may be of several boots, and a guest may print any.
const MAX_NAMES: usize = 4;
/// Most places of one kind that are looked at.
const MAX_PLACES: usize = 64;
/// Most bytes of a name: of a host with its domain, by DNS.
const MAX_NAME: usize = 253;
/// What stands for it.
const HOST: &str = "<host>";
/// Names that say what something is, too. To take them away would take more than the host.
const WORDS: [&str; 35] = [
    "boot",
    "cloud",
    "container",
    "data",
    "default",
    "dev",
    "disk",
    "docker",
    "efi",
    "home",
    "kernel",
    "local",
    "log",
    "login",
    "lvm",
    "machine",
    "mapper",
    "mnt",
    "mount",
    "network",
    "node",
    "opt",
    "remote",
    "root",
    "server",
    "service",
    "session",
    "srv",
    "swap",
    "system",
    "systemd",
    "tmp",
    "user",
    "usr",
    "var",
];

/// Behind these words stands the name, up to `>`.
const SET: &[u8] = b"ostname set to <";
const SET_BEFORE: &[u8] = b"et hostname to <";
/// Before these words stands the name, at the beginning of a line.
const PROMPT: &[u8] = b" login:";
/// Behind this stands the name, up to the end of the line, if the line has a key of the host.
const KEY: &[u8] = b" root@";
/// Words that stand behind the name where a logger wrote it: those of the kernel, and of init.
const LOGGED: [&[u8]; 2] = [b" kernel: ", b" systemd[1]: "];

/// The names that a log says its host has, each in all the forms in which it may stand in another name.
#[derive(Debug, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Those of this log.
    pub fn of(log: &[u8]) -> Self {
        let mut hosts = Self::default();
        for words in [SET, SET_BEFORE] {
            for at in places(log, words) {
                let rest = &log[at + words.len()..];
                if let Some(end) = memchr::memchr(b'>', &rest[..rest.len().min(MAX_NAME + 1)]) {
                    hosts.add(&rest[..end]);
                }
            }
        }
        for at in places(log, PROMPT) {
            hosts.add(&log[line_before(log, at)]);
        }
        for at in places(log, KEY) {
            let line = &log[line_before(log, at)];
            let is_key = [&b"ssh-"[..], b"ecdsa-", b"SHA256:"];
            if is_key
                .iter()
                .any(|word| memchr::memmem::find(line, word).is_some())
            {
                let rest = &log[at + KEY.len()..];
                let end = rest.iter().position(|byte| !is_of_name(*byte));
                hosts.add(&rest[..end.unwrap_or(rest.len())]);
            }
        }
        for words in LOGGED {
            for at in places(log, words) {
                // With what stands behind it, by which the name is known.
                let line = &log[line_before(log, at).start..at + words.len()];
                if let Some(name) = std::str::from_utf8(line).ok().and_then(prefix::host) {
                    hosts.add(name.as_bytes());
                }
            }
        }
        // The longest form first: a host with its domain before the host alone.
        hosts.0.sort_by_key(|name| std::cmp::Reverse(name.len()));
        hosts
    }

    fn add(&mut self, name: &[u8]) {
        let is_name = (2..=MAX_NAME).contains(&name.len())
            && name.iter().copied().all(is_of_name)
            && name[0].is_ascii_alphanumeric();
        let Some(name) = std::str::from_utf8(name).ok().filter(|_| is_name) else {
            return;
        };
        let short = name.split('.').next().unwrap_or_default();
        let names = [name, short].into_iter();
        for name in names.filter(|name| name.len() >= 2) {
            let is_known = self.0.iter().any(|known| known.eq_ignore_ascii_case(name));
            let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(name));
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
            // A name has four forms at the most.
            if is_known || is_word || is_number || self.0.len() >= MAX_NAMES * 4 {
                continue;
            }
            self.0.push(name.to_owned());
            if name.contains('-') {
                let forms = ["--", r"\x2d", r"\x2d\x2d"].map(|hyphen| name.replace('-', hyphen));
                self.0.extend(forms);
            }
        }
    }

    /// A text without the names.
    pub fn without<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for name in &self.0 {
            let (mut without, mut from) = (String::new(), 0);
            while let Some(place) = find(&text, from, name) {
                without.extend([&text[from..place.start], HOST]);
                from = place.end;
            }
            if from > 0 {
                without.push_str(&text[from..]);
                text = Cow::Owned(without);
            }
        }
        text
    }

    /// Whether the log says none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where a name stands by itself, or between characters that names of other things are put together with: at `from` or
/// behind it.
fn find(text: &str, from: usize, name: &str) -> Option<Range<usize>> {
    let (text, name) = (text.as_bytes(), name.as_bytes());
    let is_whole = |place: &Range<usize>| {
        let (before, behind) = (&text[..place.start], &text[place.end..]);
        let is_begun =
            before.ends_with(br"\x2d") || !before.last().is_some_and(u8::is_ascii_alphanumeric);
        let is_ended = !behind.first().is_some_and(u8::is_ascii_alphanumeric);
        let is_done = before.ends_with(b"<") && behind.starts_with(b">"); // A host may have the name `host`.
        is_begun && is_ended && !is_done
    };
    let places = (from..).zip(text.get(from..)?.windows(name.len()));
    let places = places.filter(|(_, window)| window.eq_ignore_ascii_case(name));
    let mut places = places.map(|(at, _)| at..at + name.len());
    places.find(is_whole)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// Where these words stand, the first ones.
fn places<'l>(log: &'l [u8], words: &'l [u8]) -> impl Iterator<Item = usize> + 'l {
    memchr::memmem::find_iter(log, words).take(MAX_PLACES)
}

/// What stands on the line before this place, as far as it may be long.
fn line_before(log: &[u8], at: usize) -> Range<usize> {
    const MOST: usize = 1024;
    let from = at.saturating_sub(MOST);
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let end = log[from..at].iter().rposition(is_end);
    end.map_or(from, |end| from + end + 1)..at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, text: &str, without: &str) {
        assert_eq!(Hosts::of(log.as_bytes()).without(text), without, "{log:?}");
    }

    #[test]
    fn a_name_is_known_from_init_a_prompt_a_logger_or_a_key() {
        for log in [
            "[    4.1] systemd[1]: Hostname set to <web-01.example.com>.\n",
            "[    4.1] systemd[1]: Set hostname to <web-01.example.com>.\n",
            "Debian GNU/Linux 12 web-01 ttyS0\r\n\r\nweb-01 login: ",
            "Mar 14 03:10:44 web-01 kernel: [    1.2] a\n",
            "2026-03-14T03:10:44.123456+08:00 web-01.example.com systemd[1]: a\n",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA root@web-01\r\n",
            "ci-info: | SHA256:AAAAC3NzaC1lZDI1NTE5AAAAIA root@web-01\n",
        ] {
            check(log, "/dev/web-01-vg/root", "/dev/<host>-vg/root");
        }
    }

    #[test]
    fn a_name_is_taken_away_in_each_form_that_names_of_other_things_have() {
        let log = "web-01 login: ";
        check(
            log,
            "/dev/mapper/web--01--vg-root",
            "/dev/mapper/<host>--vg-root",
        );
        check(
            log,
            r"dev-mapper-web\x2d\x2d01\x2d\x2dvg\x2droot",
            r"dev-mapper-<host>\x2d\x2dvg\x2droot",
        );
        check(log, r"srv-a\x2dweb\x2d01.mount", r"srv-a\x2d<host>.mount");
        check(log, "WEB-01:0", "<host>:0");
        check(log, "web-01 web-01", "<host> <host>");
        check("host login: ", "/host/a", "/<host>/a");
        check("web login: \nhost login: ", "/web/host", "/<host>/<host>");
    }

    #[test]
    fn what_only_looks_like_a_name_stays() {
        check("web login: ", "webserver.service", "webserver.service");
        check("web login: ", "myweb", "myweb");
        check("data login: ", "/data", "/data");
        check("machine login: ", "machine-id", "machine-id");
        check("7 login: ", "disk 7", "disk 7");
        check("who is there login: ", "there", "there");
        check("a b kernel: c\n", "a b", "a b");
        check("[    1.0] user root@web01 came\n", "web01", "web01");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_searched(log: Vec<u8>, text: String) {
            let _ = Hosts::of(&log).without(&text);
        }
    }
}
