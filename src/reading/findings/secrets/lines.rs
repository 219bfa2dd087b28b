//! Whether some lines of a log show a secret. To look at a few lines takes a fraction of a search of the whole log.
//!
//! Most rules decide by one line whether it shows a secret. The others begin with words that hardly a log has. Where such a
//! secret has begun, any line may belong to it, and this does not say which do: [`super::find`] does.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::super::pieces::{ESC, Sequence};
use super::super::rules::Rules;
use super::{Search, is_within_word};

/// Whether a log shows a secret on one of these lines of it. Where this says that none does, none does. `odd` are all parts
/// of the log with other bytes than printable ASCII, tabs and line ends.
pub fn may_be_on(
    log: &[u8],
    lines: impl IntoIterator<Item = Range<usize>>,
    odd: impl IntoIterator<Item = Range<usize>>,
) -> bool {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return false;
    }
    let rules = Rules::built_in();
    let mut search = Search::of(log);
    let mut end = 0;
    for part in lines {
        let mut begin = line_begin(log, part.start).max(end);
        while begin < part.end {
            end = line_end(log, begin);
            let written = &log[begin..end];
            if rules.may_find_secret(written) || hides_word(written) {
                search.look_at(begin..end, rules);
            }
            begin = end;
        }
    }
    !search.secrets.is_empty() || may_go_on_somewhere(log, odd, rules)
}

fn line_begin(log: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &log[..at]).map_or(0, |end| end + 1)
}

fn line_end(log: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &log[at..]).map_or(log.len(), |end| at + end + 1)
}

fn hides_word(line: &[u8]) -> bool {
    memchr::memchr2_iter(ESC, b'\r', line).any(|at| is_within_word(line, at))
}

/// Whether a secret may begin or end on a line of the log, and stand on others as well.
fn may_go_on_somewhere(
    log: &[u8],
    odd: impl IntoIterator<Item = Range<usize>>,
    rules: &'static Rules,
) -> bool {
    let Some(begins) = &*BEGINS else {
        return true;
    };
    let mut search = Search::of(log);
    let mut goes_on = |at| {
        let line = line_begin(log, at)..line_end(log, at);
        search.look_at(line, rules);
        // A mask on the same line may bring out what rules look for.
        search.beyond.is_some() || !search.secrets.is_empty()
    };
    let mut words = begins.words.find_iter(log);
    if words.any(|word| goes_on(word.start())) {
        return true;
    }
    let (mut odd, mut end) = (odd.into_iter(), 0);
    odd.any(|part| {
        let mut begin = line_begin(log, part.start).max(end);
        while begin < part.end {
            end = line_end(log, begin);
            if begins.may_hide(&log[begin..end]) && goes_on(begin) {
                return true;
            }
            begin = end;
        }
        false
    })
}

/// What the rules look for whose secrets may stand on other lines.
struct Begins {
    words: AhoCorasick,
    /// Of each byte, those that stand behind it in a word.
    pairs: Box<[[bool; 256]; 256]>,
}

static BEGINS: LazyLock<Option<Begins>> = LazyLock::new(|| {
    let rules = Rules::built_in().all().iter();
    let rules = rules.filter(|rule| rule.is_secret() && rule.goes_on());
    let words = rules.flat_map(|rule| rule.words());
    // What follows may stand there once a secret is masked.
    let words = words.filter_map(|word| word.split(['<', '*', '>']).next());
    Begins::of(words.collect())
});

impl Begins {
    /// `None` if there are more words than can be searched for at once.
    fn of(words: Vec<&'static str>) -> Option<Self> {
        let mut pairs = Box::new([[false; 256]; 256]);
        for pair in words.iter().flat_map(|word| word.as_bytes().windows(2)) {
            pairs[usize::from(pair[0])][usize::from(pair[1])] = true;
        }
        // Of all kinds of matches, this one is searched for many places at once.
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostFirst);
        Some(Self {
            words: builder.build(&words).ok()?,
            pairs,
        })
    }

    fn is_pair(&self, before: u8, behind: u8) -> bool {
        self.pairs[usize::from(before)][usize::from(behind)]
    }

    /// Whether a line may have a word that only a terminal shows: what stands within it is no text.
    fn may_hide(&self, line: &[u8]) -> bool {
        // The last byte of its text before what is left out, and the end of that.
        let (mut before, mut end) = (b'\n', 0);
        for (at, &byte) in line.iter().enumerate() {
            let start = match byte {
                _ if at < end => continue,
                // Left out with the blank before it, which may be what was left out last.
                b'\r' if line[..at].ends_with(b" ") => at - 1,
                b'\t' | b'\n' | b'\r' => continue,
                ..b' ' | 0x7f => at,
                _ => continue,
            };
            if start > end {
                before = line[start - 1];
            }
            end = at + 1;
            let mut moves = false;
            if byte == ESC {
                let sequence = Sequence::at(&line[end..]);
                (end, moves) = (end + sequence.length, sequence.moves);
            }
            let behind = line.get(end).copied().unwrap_or(b'\n');
            let may_hide = match moves {
                // A blank stands for it.
                true => self.is_pair(before, b' ') || self.is_pair(b' ', behind),
                false => self.is_pair(before, behind),
            };
            if may_hide {
                return true;
            }
            if moves {
                before = b' ';
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn lines(log: &[u8]) -> Vec<Range<usize>> {
        let mut begin = 0;
        let lines = log.split_inclusive(|byte| *byte == b'\n');
        let lines = lines.map(|line| {
            begin += line.len();
            begin - line.len()..begin
        });
        lines.collect()
    }

    /// Whether a search of the whole log finds a secret there.
    fn is_on(log: &[u8], line: &Range<usize>) -> bool {
        let secrets = find(log);
        let mut places = secrets.iter().flat_map(|secret| &secret.bytes);
        places.any(|place| place.start < line.end && line.start < place.end)
    }

    fn may_be(log: &[u8], asked: impl IntoIterator<Item = Range<usize>>) -> bool {
        let is_even = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n');
        let is_odd = |line: &Range<usize>| {
            let line = &log[line.clone()];
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            !line.iter().all(is_even)
        };
        may_be_on(log, asked, lines(log).into_iter().filter(is_odd))
    }

    #[track_caller]
    fn check(log: &str, line: usize, expected: bool) {
        let line = lines(log.as_bytes())[line].clone();
        assert_eq!(may_be(log.as_bytes(), [line]), expected, "{log:?}");
    }

    #[test]
    fn a_line_is_judged_by_itself_where_no_secret_goes_on() {
        let log = "[    1.000000] a\r\npassword=hunter22\r\n[\x1b[0;32m  OK  \x1b[0m] Started b\r\n 1%\r 2%\n";
        check(log, 0, false);
        check(log, 1, true);
        check(log, 2, false);
        check(log, 3, false);
        check("x\npass\x1b[1mword\x1b[0m=hunter22\n", 1, true);
    }

    #[test]
    fn each_line_may_belong_to_a_secret_that_goes_on() {
        for begin in [
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----END RSA PRIVATE KEY-----",
            "----\x1b[1m-BEGIN RSA PRIVATE KEY-----",
            "-----BEGIN\x1b[9GRSA PRIVATE KEY-----",
            "-----BEG\x1b[1m\x1b[2mIN RSA PRIVATE KEY-----",
            "-----BEG\x08IN RSA PRIVATE KEY-----",
            "Set the following 'random' passwords",
            "Set the foll \rowing 'random' passwords",
            "+ chpasswd",
        ] {
            for log in [
                format!("a\nMIIEpAIBAAKCAQEAu3Fq8VQJ\n{begin}\nx:MIIEpAIBAAKCAQEAu3Fq8VQJ\n"),
                format!("token secret=a b\nMIIEpAIBAAKCAQEAu3Fq8VQJ\npassword {begin}\n"),
            ] {
                check(&log, 1, true);
            }
        }
    }

    #[test]
    fn keys_that_are_public_begin_no_secret() {
        let log = "-----BEGIN SSH HOST KEY KEYS-----\r\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6 root@host\r\n\
                   -----END SSH HOST KEY KEYS-----\r\n";
        check(log, 1, false);
    }

    #[test]
    fn nothing_is_asked_of_no_line() {
        assert!(!may_be(b"password=hunter22\n", []));
    }

    /// What is no UTF-8, and may begin a log.
    const BEFORE: &[&[u8]] = &[b"", b"\xc3\xdc\xc2\xeb: x7Kq2mZp\n", b"\xff\n"];

    proptest::proptest! {
        /// Whatever a guest writes: a line that is said to show no secret shows none. Without words of secrets that go on,
        /// and without bytes that no terminal shows, no other line is said to show one.
        #[test]
        fn a_search_of_the_whole_log_finds_nothing_there(
            parts in proptest::collection::vec(proptest::sample::select(&[
                "password", "=", ": ", "hunter22", "AKIAIOSFODNN7EXAMPLE", "\n", "\n", "\r\n", "token", " ", "https://", "user:", "@",
                "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEGIN", "-----END", "RSA PRIVATE KEY-----", "PRIVATE KEY-----",
                "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "Set the following 'random' passwords", "Set the", "following 'random' passwords", "root:",
                "\x1b[1m", "\x1b[9G", "\x1b[2C", "\x1b]0;", "\x07", "\x1b(", "\x1b", "\0", "\x08", "\r", " \r", "\u{e9}", "chpa", "sswd:",
                "chpasswd <", "chpasswd", "+ chpasswd", "+ echo a:", "Private-Lines: 1", "[    1.234567] ", "<", "*", ">",
            ][..]), 0..24),
            gbk in proptest::sample::select(BEFORE),
            which: u8,
        ) {
            let log = [gbk, parts.concat().as_bytes()].concat();
            let all = lines(&log);
            let asked: Vec<_> = all.iter().enumerate().filter(|(index, _)| which >> (index % 8) & 1 == 1).map(|(_, line)| line.clone()).collect();
            let is_shown = asked.iter().any(|line| is_on(&log, line));
            let may_be = may_be(&log, asked);
            proptest::prop_assert!(may_be || !is_shown);
            let go_on = ["-----", "random", "chpasswd", "Private-", "\x1b", "\0", "\x08", "\x07", " \r"];
            let text = String::from_utf8_lossy(&log);
            if !go_on.iter().any(|word| text.contains(word)) {
                proptest::prop_assert_eq!(may_be, is_shown);
            }
        }
    }
}
