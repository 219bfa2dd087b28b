//! Where a console shows a secret: a password, a key, a token. It is found to be masked, and told by its kind.
//!
//! A masked secret has as many bytes as before, so that all else stays where it was: `<*****>`. It is found again,
//! so a masked console has the secrets that it had, and masking it again changes nothing.

use std::ops::Range;

use regex_lite::Regex;

use super::pieces::Sequence;
use super::rules::{Forms, Rule, Rules};

/// Most bytes of a line that are looked at together. What is longer is looked at in parts.
const MAX_PART: usize = 4096;
/// What two parts of a line have in common: more than a password has, and what stands before it.
const SHARED: usize = 1024;
/// Most lines of a secret that goes on. A key of RSA with 16384 bits has 200.
const MAX_LINES: usize = 256;
/// A line of a key that has neither beginning nor end has this many bytes at least. Words have less.
const SHORTEST_LINE: usize = 16;
/// Lines of others that may stand within a list of passwords: the kernel writes whenever it wants.
const MAX_FOREIGN_LINES: usize = 3;

/// Most passes over a log. Each finds what the secrets of the one before hid from the rules.
const MAX_PASSES: usize = 4;
/// Most bytes that expressions look at in one log: 64 KiB made of passwords take a half. Of what comes behind, each line
/// that has a word of a rule is masked whole, so that no guest can keep the function busy, or hide a secret in a crowd.
const MAX_WORK: usize = 4 * 1024 * 1024;

/// A secret that a console shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What it is.
    pub rule: &'static Rule,
    /// The first byte of the line that says what it is.
    pub line: usize,
    /// Its bytes in the log, by line. They are what is masked.
    pub bytes: Vec<Range<usize>>,
}

/// The secrets of a log, in the order in which it shows them.
pub fn find(log: &[u8]) -> Vec<Secret> {
    find_within(log, MAX_WORK)
}

fn find_within(log: &[u8], most: usize) -> Vec<Secret> {
    let mut seen = Seen::within(most);
    find_more(log, &mut seen);
    // What a secret hid from the rules is a secret all the same: two that touch each other.
    let mut known = 0;
    for _ in 1..MAX_PASSES {
        if known == seen.secrets.len() {
            break;
        }
        known = seen.secrets.len();
        let masked = masked(log, &seen.secrets);
        find_more(&masked, &mut seen);
    }
    let mut found = seen.secrets;
    found.sort_by_key(|secret| secret.line);
    found
}

fn find_more(log: &[u8], seen: &mut Seen) {
    let rules = Rules::built_in();
    let mut begin = 0;
    let ends = memchr::memchr_iter(b'\n', log).map(|at| at + 1);
    for end in ends.chain([log.len()]) {
        let place = begin..end;
        begin = end;
        let line = &log[place.clone()];
        // Nearly all lines are done here.
        if !rules.may_find_secret(line) {
            continue;
        }
        let mut from = 0;
        'line: loop {
            let to = line.len().min(from + MAX_PART);
            let part = place.start + from..place.start + to;
            for rule in rules.of_secrets(&line[from..to]) {
                if !seen.may_look_at(part.len()) {
                    let end = line.trim_ascii_end().len();
                    let whole = place.start..place.start + end;
                    seen.secrets.push(Secret {
                        rule,
                        line: place.start,
                        bytes: Vec::from([whole]),
                    });
                    break 'line;
                }
                find_by(rule, log, &place, &part, seen);
            }
            if to == line.len() {
                break;
            }
            from = to - SHARED;
        }
    }
}

/// The log with these secrets masked.
pub fn masked(log: &[u8], secrets: &[Secret]) -> Vec<u8> {
    let mut log = log.to_vec();
    mask(&mut log, secrets);
    log
}

/// Masks these secrets of a log.
pub fn mask(log: &mut [u8], secrets: &[Secret]) {
    for bytes in secrets.iter().flat_map(|secret| &secret.bytes) {
        let masked = &mut log[bytes.clone()];
        masked.fill(b'*');
        if let [first, .., last] = masked {
            (*first, *last) = (b'<', b'>');
        }
    }
}

/// What was found so far. A place belongs to the rule that found it first.
struct Seen {
    secrets: Vec<Secret>,
    /// All places of the secrets, in order.
    places: Vec<Range<usize>>,
    /// Bytes that expressions may still look at.
    work_left: usize,
    /// The rule and the line whose neighbours were looked at. A line may have a thousand beginnings of a key, and all
    /// of them have the same lines behind them.
    beyond: Option<(&'static str, usize)>,
}

impl Seen {
    fn within(most: usize) -> Self {
        Self {
            secrets: Vec::new(),
            places: Vec::new(),
            work_left: most,
            beyond: None,
        }
    }

    /// Whether the lines around this one are still to be looked at for a rule.
    fn begins_beyond(&mut self, rule: &'static Rule, line: usize) -> bool {
        let this = Some((rule.id, line));
        std::mem::replace(&mut self.beyond, this) != this
    }

    fn may_look_at(&mut self, bytes: usize) -> bool {
        let left = self.work_left.checked_sub(bytes);
        self.work_left = left.unwrap_or(0);
        left.is_some()
    }

    fn add(&mut self, rule: &'static Rule, line: usize, bytes: Vec<Range<usize>>) {
        // A key begins with letters that say what it is. They are not masked, and are no password.
        let bytes: Vec<_> = (bytes.into_iter())
            .filter(|range| !range.is_empty() && self.is_free(range))
            .collect();
        if bytes.is_empty() {
            return;
        }
        for range in &bytes {
            let at = self
                .places
                .partition_point(|other| other.start < range.start);
            self.places.insert(at, range.clone());
        }
        self.secrets.push(Secret { rule, line, bytes });
    }

    /// Whether a place neither shares bytes with that of a secret nor touches it.
    fn is_free(&self, range: &Range<usize>) -> bool {
        let at = self.places.partition_point(|other| other.end < range.start);
        (self.places.get(at)).is_none_or(|other| range.end < other.start)
    }
}

/// Finds the secrets of one rule in a part of a line.
fn find_by(
    rule: &'static Rule,
    log: &[u8],
    line: &Range<usize>,
    part: &Range<usize>,
    seen: &mut Seen,
) {
    let text = plain(&log[part.clone()]);
    let forms = rule.forms();
    if let Some(end) = &forms.end
        && let Some(ended) = end.find(&text)
        && !forms.pattern.is_match(&text[..ended.start()])
    {
        if seen.begins_beyond(rule, line.start) {
            let lines = back_from(log, line.start, forms, seen);
            seen.add(rule, line.start, lines);
        }
        return;
    }
    for captures in forms.pattern.captures_iter(&text) {
        let value = captures.iter().skip(1).flatten().next();
        let place = value.map(|value| value.start() + part.start..value.end() + part.start);
        let is_value = |place: &Range<usize>| {
            let value = &text[place.start - part.start..place.end - part.start];
            is_masked(value) || !forms.except.iter().any(|except| except.is_match(value))
        };
        let place = place.filter(is_value);
        let Some(next) = &forms.next else {
            seen.add(rule, line.start, place.into_iter().collect());
            continue;
        };
        let shortest = forms.end.as_ref().map_or(0, |_| SHORTEST_LINE);
        let mut lines: Vec<_> = place
            .filter(|place| place.len() >= shortest)
            .into_iter()
            .collect();
        // A key of one line, as in JSON, has none behind it.
        let begun = captures.get(0).map_or(text.len(), |begun| begun.end());
        let ends_here = |end: &Regex| end.is_match(&text[begun..]);
        if !forms.end.as_ref().is_some_and(ends_here) && seen.begins_beyond(rule, line.start) {
            lines.extend(lines_behind(log, line.end, next, forms, seen));
        }
        seen.add(rule, line.start, lines);
    }
}

/// The lines of a secret that goes on behind its first line.
fn lines_behind(
    log: &[u8],
    mut begin: usize,
    next: &Regex,
    forms: &Forms,
    seen: &mut Seen,
) -> Vec<Range<usize>> {
    let end = forms.end.as_ref();
    let (mut lines, mut foreign) = (Vec::new(), 0);
    let mut is_closed = false;
    for _ in 0..MAX_LINES {
        let place = line_at(log, begin);
        if place.is_empty() || !seen.may_look_at(place.len()) {
            break;
        }
        begin = place.end;
        let text = plain(&log[place.clone()]);
        if end.is_some_and(|end| end.is_match(&text)) {
            is_closed = true;
            break;
        }
        // The next one has its own lines.
        if forms.pattern.is_match(&text) {
            break;
        }
        match value_of(next, &text, place.start) {
            Some(value) => {
                lines.push(value);
                foreign = 0;
            }
            None if end.is_none() && foreign >= MAX_FOREIGN_LINES => break,
            None => foreign += 1,
        }
    }
    if end.is_some() && !is_closed {
        lines.retain(|line| line.len() >= SHORTEST_LINE);
    }
    lines
}

/// The lines of a secret whose beginning the ring has dropped, before the line that ends it.
fn back_from(log: &[u8], ended: usize, forms: &Forms, seen: &mut Seen) -> Vec<Range<usize>> {
    let Some(next) = &forms.next else {
        return Vec::new();
    };
    let (mut lines, mut end) = (Vec::new(), ended);
    for _ in 0..MAX_LINES {
        let Some(last) = end.checked_sub(1) else {
            break;
        };
        let start = memchr::memrchr(b'\n', &log[..last]).map_or(0, |at| at + 1);
        if !seen.may_look_at(end - start) {
            break;
        }
        let text = plain(&log[start..end]);
        let value = value_of(next, &text, start);
        // The last line of a key may be short, and the first one that is left may be cut.
        let is_whole =
            |value: &Range<usize>| value.len() >= SHORTEST_LINE || end == ended || start == 0;
        let Some(value) = value.filter(is_whole) else {
            break;
        };
        lines.push(value);
        end = start;
    }
    lines.reverse();
    lines
}

fn line_at(log: &[u8], begin: usize) -> Range<usize> {
    let end = memchr::memchr(b'\n', &log[begin..]).map_or(log.len(), |at| begin + at + 1);
    begin..end
}

fn value_of(next: &Regex, text: &str, start: usize) -> Option<Range<usize>> {
    let value = next.captures(text)?.get(1)?;
    Some(value.start() + start..value.end() + start)
}

fn is_masked(value: &str) -> bool {
    value.starts_with("<*")
}

/// A text of as many bytes, so that places in it are places in the line: escape sequences are blanks, and bytes
/// beyond ASCII a character that is no blank.
fn plain(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            0x1b => {
                let length = Sequence::at(rest).length.min(rest.len());
                rest = &rest[length..];
                text.extend(std::iter::repeat_n(' ', 1 + length));
            }
            0x80.. => text.push('\x7f'),
            byte => text.push(char::from(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(log: &[u8]) -> Vec<&'static str> {
        find(log).iter().map(|secret| secret.rule.id).collect()
    }

    fn shown(log: &str) -> String {
        let secrets = find(log.as_bytes());
        String::from_utf8(masked(log.as_bytes(), &secrets)).expect("whole characters are masked")
    }

    #[test]
    fn each_rule_finds_its_examples_and_leaves_what_looks_alike() {
        let mut wrong = Vec::new();
        for rule in Rules::built_in()
            .all()
            .iter()
            .filter(|rule| rule.is_secret())
        {
            for (example, is_found) in (rule.note().yes.iter().map(|example| (example, true)))
                .chain(rule.note().no.iter().map(|example| (example, false)))
            {
                for log in [
                    format!("{example}\n"),
                    format!("[    1.234567] {example}\r\nnext\n"),
                ] {
                    let ids = ids(log.as_bytes());
                    let is_right = match is_found {
                        true => ids == [rule.id],
                        false => ids.is_empty(),
                    };
                    if !is_right {
                        wrong.push(format!("{}: {log:?}: {ids:?}", rule.id));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn only_the_secret_is_masked_and_all_else_stays_where_it_was() {
        for (log, expected) in [
            (
                "pull https://ci:hunter22@git.example.com/a.git\n",
                "pull https://ci:<******>@git.example.com/a.git\n",
            ),
            ("x token=abcd1234 y\n", "x token=<******> y\n"),
            ("AKIAIOSFODNN7EXAMPLE\r\n", "AKIA<**************>\r\n"),
            (
                "token=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.\n",
                "token=eyJ<******************************>.\n",
            ),
            (
                "root password is h\u{e9}llo-7w\n",
                "root password is <*******>\n",
            ),
            (
                "\x1b[1mpassword\x1b[0m=\x1b[32mhunter22\x1b[0m\n",
                "\x1b[1mpassword\x1b[0m=\x1b[32m<******>\x1b[0m\n",
            ),
        ] {
            assert_eq!(shown(log), expected);
        }
    }

    #[test]
    fn what_stands_around_a_line_is_looked_at_once_however_often_the_line_begins_or_ends_a_key() {
        let key = format!("{}\n", "x".repeat(200)).repeat(100);
        let begins = "-----BEGIN PRIVATE KEY-----".repeat(1000);
        let ends = "-----END PRIVATE KEY-----".repeat(1000);
        for log in [
            format!("{begins}\n{key}token=hunter22x end\n"),
            format!("{key}{ends}\ntoken=hunter22x end\n"),
        ] {
            let secrets = find_within(log.as_bytes(), 12 * log.len());
            let shown = masked(log.as_bytes(), &secrets);
            assert!(
                shown.ends_with(b"token=<*******> end\n"),
                "it ran out of work"
            );
        }
    }

    #[test]
    fn behind_a_key_that_ends_on_its_own_line_nothing_is_masked() {
        let key = r#"{"key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"}"#;
        let behind = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
        let shown = shown(&format!("{key}\n{behind}"));
        assert!(
            !shown.contains("MIIE") && shown.ends_with(behind),
            "{shown}"
        );
    }

    #[test]
    fn a_key_is_masked_whole_wherever_the_ring_cuts_it() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\r\n\
                   MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0cJm8l2nJt5d6k9w3y7x1v0s4r\r\n\
                   q8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3j2k1l0z9x8c7v6b5n4m3q2w1e0r9t8y7\r\n\
                   Zm9v\r\n\
                   -----END RSA PRIVATE KEY-----\r\nlogin: \r\n";
        let body = key.find("MIIE").unwrap()..key.find("-----END").unwrap();
        let whole = shown(key);
        assert!(whole[body.clone()].lines().all(is_masked), "{whole}");
        for from in 0..body.end {
            let cut = shown(&key[from..]);
            let rest = cut.find("-----END").unwrap();
            let lines: Vec<_> = cut[..rest]
                .lines()
                .filter(|line| !line.contains("BEGIN"))
                .collect();
            let letters: usize = (lines.iter())
                .map(|line| line.bytes().filter(u8::is_ascii_alphanumeric).count())
                .sum();
            // What is left of BEGIN, or a rest that is shorter than a mask.
            let most = body.start.saturating_sub(from).max(3);
            assert!(letters <= most, "from {from}: {cut}");
            assert!(cut.ends_with("login: \r\n"));
        }
        for to in body.start + 16..body.end {
            let cut = shown(&key[..to]);
            let lines = cut[body.start..]
                .lines()
                .filter(|line| line.len() >= SHORTEST_LINE);
            assert!(lines.clone().all(is_masked), "to {to}: {cut}");
        }
    }

    const PARTS: &[&str] = &[
        "password",
        "=",
        ": ",
        "hunter22",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        "\n",
        "token",
        " ",
        "https://",
        "user:",
        "@",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        "\"",
        "\r\n",
        "\x1b[1m",
        "\u{e9}",
        "Set the following 'random' passwords",
        "root:",
        " is ",
        "Bearer ",
        "[    1.234567] ",
        "--password ",
        "<",
        "*",
        ">",
        "$6$",
        "LTAI5tFakeFakeFakeFake12",
    ];

    proptest::proptest! {
        /// A masked console has the secrets that it had, and masking it again changes nothing.
        #[test]
        fn masking_is_done_once(parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..24)) {
            let log = parts.concat().into_bytes();
            let secrets = find(&log);
            let once = masked(&log, &secrets);
            proptest::prop_assert_eq!(once.len(), log.len());
            let again = find(&once);
            proptest::prop_assert_eq!(
                &masked(&once, &again), &once, "{}", String::from_utf8_lossy(&once)
            );
        }
    }

    #[test]
    fn a_console_made_of_secrets_costs_no_more_than_it_may_and_shows_none() {
        let line = "password=hunter22 token: abcD1234 https://u:p4ss@h AKIAIOSFODNN7EXAMPLE --password x1y2z3\n";
        let long = line.repeat(200);
        let secrets = find_within(long.as_bytes(), 4 * long.len());
        let shown = String::from_utf8(masked(long.as_bytes(), &secrets)).unwrap();
        for secret in ["hunter22", "abcD1234", "p4ss", "IOSFODNN", "x1y2z3"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(
            shown.ends_with("*>\n"),
            "the last lines are masked whole: {shown}"
        );
        // A line that is long is masked once, and not once for each of its parts.
        let long = "password=hunter22 ".repeat(4000);
        let secrets = find_within(long.as_bytes(), MAX_PART);
        let whole = secrets
            .iter()
            .filter(|one| one.bytes[0] == (0..long.len() - 1));
        assert_eq!(whole.count(), 1);
        // Each line of a key that begins is looked at once, however many begin.
        let begins = "-----BEGIN PRIVATE KEY-----\n".repeat(2000);
        // Each line is looked at by itself, and as the one behind another.
        assert!(find_within(begins.as_bytes(), 2 * begins.len()).is_empty());
    }

    #[test]
    fn a_long_line_is_searched_whole() {
        for before in [
            0,
            100,
            MAX_PART - 20,
            MAX_PART - 3,
            MAX_PART + 7,
            3 * MAX_PART - SHARED - 9,
        ] {
            let log = format!(
                "{} password=hunter22 {}",
                "x".repeat(before),
                "y".repeat(5000)
            );
            let ids = ids(log.as_bytes());
            assert_eq!(ids, ["secret-assigned"], "{before}");
        }
    }
}
