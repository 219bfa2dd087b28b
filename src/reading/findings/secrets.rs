//! Where a console shows a secret: a password, a key, a token. It is found to be masked, and told by its kind.
//!
//! A masked secret has as many bytes as before, so that all else stays where it was: `<*****>`. It is found again,
//! so a masked console has the secrets that it had, and masking it again changes nothing.
//!
//! A rule is tried only where one of its words stands, from the beginning of the name that the word is a part of. What a
//! word may cost is bounded, and so is what a line may: the work is linear in the bytes of a log, whatever it says.

#[cfg(feature = "cli")]
mod lines;

use std::ops::Range;

use regex_lite::Captures;

use super::gbk;
use super::pieces::{ESC, Sequence};
use super::rules::{Forms, Rule, Rules};
use crate::reading::stamp::Stamp;
#[cfg(feature = "cli")]
pub use lines::may_be_on;

/// Most bytes of a name such as `MYSQL_ROOT_PASSWORD` before the end of which a word of a rule stands.
const MAX_NAME: usize = 64;
/// Most bytes behind the beginning of such a name in which a secret begins.
const WINDOW: usize = 1024;
/// The same, on a line that is made of words of rules.
const SHORT_WINDOW: usize = 64;
/// Bytes that expressions may look at with long windows, on any line, and for each byte of it.
const LINE_AT_LEAST: usize = 8 * 1024;
const LINE_FOR_EACH_BYTE: usize = 4;
/// Most searches of a log that has secrets. Each finds what the secrets of the one before hid from the rules.
const MAX_ROUNDS: usize = 4;
/// Most lines of a secret that goes on. A key of RSA with 16384 bits has 200.
const MAX_LINES: usize = 256;
/// A line of a key that has neither beginning nor end has this many bytes at least. Words have less.
const SHORTEST_LINE: usize = 16;
/// Lines of others that may stand within a list of passwords. Those that say that they are of others do not count: the
/// kernel writes whenever it wants, and as much as it wants.
const MAX_FOREIGN_LINES: usize = 3;
/// The same, within a key, whose lines are told from those of others.
const MAX_FOREIGN_LINES_OF_KEY: usize = 16;
/// Bytes of a value in which a word of a finding ends that begins with it.
const WINDOW_OF_FINDING: usize = 64;
/// Fewest bytes of a secret.
const SHORTEST: usize = 3;
/// What may still come behind the end of a log: a secret that has begun there is masked.
const MORE: &str = "A2B3C4D5E6F7A2B3C4D5E6F7A2B3C4D5E6F7A2B3.a2b3c4d5e6f7a2b3c4d5e6f7";

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
    let mut found = search(log).found();
    let mut places = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let more = with_those_of(&found, &places);
        if more == places {
            break;
        }
        places = more;
        // What a secret hid from the rules is a secret all the same: two that touch each other.
        let mut masked = log.to_vec();
        places
            .iter()
            .for_each(|place| mask_place(&mut masked, place));
        let again = search(&masked).found();
        if again.is_empty() {
            break;
        }
        found = again;
    }
    places = with_those_of(&found, &places);
    share(&mut found, places);
    found
}

/// Whether a log may begin with the rest of a secret of several lines, whose beginning is not there.
#[cfg(feature = "cli")]
pub fn may_go_on(log: &[u8]) -> bool {
    let rules = Rules::built_in().all().iter();
    let rules: Vec<_> = rules
        .filter(|rule| rule.is_secret() && rule.goes_on())
        .collect();
    let (mut search, mut begin, mut foreign) = (Search::of(log), 0, 0);
    for _ in 0..MAX_LINES {
        let Some(line) = search.line_at(begin) else {
            break;
        };
        // Behind the first words of a kernel is another boot.
        if foreign > MAX_FOREIGN_LINES_OF_KEY || line.text.contains("Linux version ") {
            break;
        }
        begin = line.place.end;
        if Writer::of(&line.text) == Writer::Kernel {
            continue;
        }
        // Expressions take long, and nearly all captures begin with lines of firmware.
        let last = line.text.trim_end().rsplit([' ', '\t']).next();
        let may_be = |last: &str| last.len() >= SHORTEST_LINE || last.contains(':');
        if !last.is_some_and(may_be) && !line.text.contains("+ echo") {
            foreign += 1;
            continue;
        }
        let is_rest = |rule: &&&Rule| {
            let forms = rule.forms();
            value_of(forms, &line).is_some_and(|value| {
                let before = &line.text[..value.start];
                forms.end.is_none() || is_line_of_key(&line.text[value]) && is_behind("", before)
            })
        };
        if rules.iter().any(|rule| is_rest(&rule)) {
            return true;
        }
        foreign += 1;
    }
    false
}

fn search(log: &[u8]) -> Search<'_> {
    let rules = Rules::built_in();
    let mut search = Search::of(log);
    let mut begin = 0;
    let ends = memchr::memchr_iter(b'\n', log).map(|at| at + 1);
    let mut breaks = memchr::memchr2_iter(ESC, b'\r', log).peekable();
    for end in ends.chain([log.len()]) {
        let line = begin..end;
        begin = end;
        let written = &log[line.clone()];
        let mut hides_word = false;
        while let Some(at) = breaks.next_if(|at| *at < end) {
            hides_word = hides_word || is_within_word(written, at - line.start);
        }
        // Nearly all lines are done here.
        if hides_word || rules.may_find_secret(written) {
            search.look_at(line, rules);
        }
    }
    search
}

/// The log with these secrets masked.
pub fn masked(log: &[u8], secrets: &[Secret]) -> Vec<u8> {
    let mut log = log.to_vec();
    mask(&mut log, secrets);
    log
}

/// Masks these secrets of a log.
pub fn mask(log: &mut [u8], secrets: &[Secret]) {
    let places = secrets.iter().flat_map(|secret| &secret.bytes);
    places.for_each(|place| mask_place(log, place));
}

fn mask_place(log: &mut [u8], place: &Range<usize>) {
    let masked = &mut log[place.clone()];
    masked.fill(b'*');
    if let [first, _, .., last] = masked {
        (*first, *last) = (b'<', b'>');
    }
}

/// The places and those of secrets, in order, and those that share bytes as one.
fn with_those_of(secrets: &[Secret], places: &[Range<usize>]) -> Vec<Range<usize>> {
    let new = secrets.iter().flat_map(|secret| &secret.bytes);
    let mut places: Vec<_> = places.iter().chain(new).cloned().collect();
    places.sort_unstable_by_key(|place| (place.start, place.end));
    places.dedup_by(|next, place| {
        let is_shared = next.start < place.end;
        if is_shared {
            place.end = place.end.max(next.end);
        }
        is_shared
    });
    places
}

/// Gives each place to the secret that was found there, or else to the one before it.
fn share(secrets: &mut Vec<Secret>, places: Vec<Range<usize>>) {
    let mut owners: Vec<(usize, usize, usize)> = Vec::new();
    for (index, secret) in secrets.iter_mut().enumerate() {
        let bytes = std::mem::take(&mut secret.bytes).into_iter();
        owners.extend(bytes.map(|bytes| (bytes.start, bytes.end, index)));
    }
    owners.sort_unstable();
    for place in places {
        let next = owners.partition_point(|(_, end, _)| *end <= place.start);
        let there = owners.get(next).filter(|(start, ..)| *start < place.end);
        let before = || owners.get(next.saturating_sub(1));
        if let Some((.., index)) = there.or_else(before) {
            secrets[*index].bytes.push(place);
        }
    }
    secrets.retain(|secret| !secret.bytes.is_empty());
}

/// What was found so far. A place belongs to the rule that found it first.
struct Search<'l> {
    log: &'l [u8],
    secrets: Vec<Secret>,
    /// All places of the secrets, in order.
    places: Vec<Range<usize>>,
    /// The rule and the line whose neighbours were looked at. A line may have a thousand beginnings of a key, and all
    /// of them have the same lines behind them.
    beyond: Option<(&'static str, usize)>,
    /// Where the lines begin that were not looked at from the end of a key.
    backed: usize,
    /// Bytes that expressions have looked at.
    #[cfg(test)]
    work: usize,
}

/// A rule, and the beginnings of the names in a text that have a word of it.
type Candidates = Vec<(&'static Rule, Vec<usize>)>;

impl<'l> Search<'l> {
    fn of(log: &'l [u8]) -> Self {
        Self {
            log,
            secrets: Vec::new(),
            places: Vec::new(),
            beyond: None,
            backed: 0,
            #[cfg(test)]
            work: 0,
        }
    }

    /// What was found, in the order of the log.
    fn found(self) -> Vec<Secret> {
        let mut found = self.secrets;
        found.sort_by_key(|secret| secret.line);
        found
    }

    /// Finds the secrets of a line.
    fn look_at(&mut self, place: Range<usize>, rules: &'static Rules) {
        let is_open = place.end == self.log.len() && !self.log.ends_with(b"\n");
        if gbk::has_label(&self.log[place.clone()]) {
            self.look_at_text(Line::of_gbk(self.log, place.clone()), is_open, rules);
        }
        self.look_at_text(Line::of(self.log, place), is_open, rules);
    }

    fn look_at_text(&mut self, mut line: Line, is_open: bool, rules: &'static Rules) {
        self.pass(&line, rules);
        if is_open {
            line.goes_on = Some(line.text.len());
            line.text.push_str(MORE);
            self.pass(&line, rules);
        }
    }

    fn pass(&mut self, line: &Line, rules: &'static Rules) {
        let mut left = LINE_AT_LEAST + LINE_FOR_EACH_BYTE * line.text.len();
        for (rule, starts) in candidates(&line.text, rules) {
            let mut keys = Keys::default();
            let mut taken = 0..0;
            for start in starts {
                if taken.contains(&start) {
                    continue;
                }
                let window = if left > 0 { WINDOW } else { SHORT_WINDOW };
                let end = floor(&line.text, start.saturating_add(window));
                if !rule.may_fit(&line.text[start..end]) {
                    continue;
                }
                left = left.saturating_sub(end - start);
                self.count(end - start);
                let forms = rule.forms();
                keys.find_ends(forms, &line.text);
                // To capture takes several times as long.
                if !forms.pattern.is_match(&line.text[start..end]) {
                    continue;
                }
                let Some(captures) = forms.pattern.captures(&line.text[start..end]) else {
                    continue;
                };
                let Some(begun) = captures.get(0).map(|whole| start + whole.end()) else {
                    continue;
                };
                let before = floor(&line.text, start.saturating_sub(MAX_NAME));
                if (forms.not_behind.as_ref())
                    .is_some_and(|no| no.is_match(&line.text[before..start]))
                {
                    continue;
                }
                let values = values(&captures, line, start..end, forms);
                if forms.end.is_some() {
                    taken = start..self.add_key(rule, line, start..begun, values, &mut keys);
                    continue;
                }
                if let (Some(first), Some(last)) = (values.first(), values.last()) {
                    taken = first.start..last.end;
                    let bytes = values.into_iter().map(|value| line.in_log(value));
                    self.add(rule, line.place.start, bytes.collect());
                }
                if forms.next.is_some() && line.goes_on.is_none() && self.begins_beyond(rule, line)
                {
                    let lines = match forms.is_around {
                        true => self.lines_around(&line.place, forms),
                        false => self.lines_behind(rule, line, forms),
                    };
                    self.add(rule, line.place.start, lines);
                }
            }
            if line.goes_on.is_none() {
                self.add_end_of_key(rule, line, &keys);
            }
        }
    }

    /// Adds what a line has of a key that begins on it, and the lines behind. Returns where it ends.
    fn add_key(
        &mut self,
        rule: &'static Rule,
        line: &Line,
        begin: Range<usize>,
        mut values: Vec<Range<usize>>,
        keys: &mut Keys,
    ) -> usize {
        keys.begun.get_or_insert(begin.start);
        // A key of one line, as in JSON, has none behind it.
        if let Some(end) = keys.end_behind(begin.end.saturating_sub(1)) {
            for value in &mut values {
                value.end = trimmed(&line.text, value.start..end.start.max(value.start));
            }
            let bytes = values.into_iter().map(|value| line.in_log(value));
            self.add(rule, line.place.start, bytes.collect());
            return end.end;
        }
        let first = |value: &Range<usize>| {
            line.text[value.clone()]
                .split(' ')
                .next()
                .unwrap_or_default()
        };
        values.retain(|value| is_line_of_key(first(value)));
        let mut bytes: Vec<_> = values.into_iter().map(|value| line.in_log(value)).collect();
        if line.goes_on.is_none() && self.begins_beyond(rule, line) {
            bytes.extend(self.key_behind(line, begin.start, rule));
        }
        self.add(rule, line.place.start, bytes);
        begin.end
    }

    /// Adds what is left of a key whose beginning the ring has dropped.
    fn add_end_of_key(&mut self, rule: &'static Rule, line: &Line, keys: &Keys) {
        let Some(ended) = keys.ends.first() else {
            return;
        };
        if keys.begun.is_some_and(|begun| begun < ended.start) || !self.begins_beyond(rule, line) {
            return;
        }
        let end = trimmed(&line.text, 0..ended.start);
        let before = &line.text[..end];
        let start = match before.ends_with("*>") {
            true => before.rfind("<*").unwrap_or(end),
            false => before.trim_end_matches(is_of_key).len(),
        };
        let mut lines = self.back_from(line, ended.start, rule);
        if is_line_of_key(&before[start..]) {
            lines.push(line.in_log(start..end));
        }
        self.add(rule, line.place.start, lines);
    }

    /// Whether the lines around this one are still to be looked at for a rule.
    fn begins_beyond(&mut self, rule: &'static Rule, line: &Line) -> bool {
        let this = Some((rule.id, line.place.start));
        std::mem::replace(&mut self.beyond, this) != this
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

    /// The lines of a secret that goes on behind its first line.
    fn lines_behind(
        &mut self,
        rule: &'static Rule,
        first: &Line,
        forms: &Forms,
    ) -> Vec<Range<usize>> {
        let (mut lines, mut foreign, mut begin) = (Vec::new(), 0, first.place.end);
        let writer = Writer::of(&first.text);
        let mut left = MAX_LINES;
        while left > 0 {
            let Some(line) = self.line_at(begin) else {
                break;
            };
            begin = line.place.end;
            // The next one has its own lines.
            if rule.has_word(&line.text) {
                break;
            }
            if Writer::of(&line.text).is_other_than(writer) {
                continue;
            }
            left -= 1;
            match value_of(forms, &line) {
                Some(value) => {
                    lines.push(line.in_log(value));
                    foreign = 0;
                }
                None if Writer::of(&line.text) == Writer::Kernel => {}
                None if foreign >= MAX_FOREIGN_LINES => break,
                None => foreign += 1,
            }
        }
        lines
    }

    /// The line before, or else the one behind.
    fn lines_around(&mut self, place: &Range<usize>, forms: &Forms) -> Vec<Range<usize>> {
        let around = [self.line_before(place.start), self.line_at(place.end)];
        let values = around.into_iter().flatten();
        let mut values = values.filter_map(|line| Some(line.in_log(value_of(forms, &line)?)));
        values.next().into_iter().collect()
    }

    /// The lines of a key behind the one on which it begins. They stand behind the same words as its beginning, or alone.
    fn key_behind(&mut self, first: &Line, begun: usize, rule: &'static Rule) -> Vec<Range<usize>> {
        let forms = rule.forms();
        let prefix = letters(&first.text[..begun]);
        let (mut lines, mut foreign, mut begin) = (Vec::new(), 0, first.place.end);
        let mut is_closed = false;
        let mut left = MAX_LINES;
        while left > 0 {
            let Some(line) = self.line_at(begin) else {
                break;
            };
            begin = line.place.end;
            if rule.has_word(&line.text) {
                is_closed = forms
                    .end
                    .as_ref()
                    .is_some_and(|end| end.is_match(&line.text));
                break;
            }
            let value = value_of(forms, &line);
            match value.filter(|value| is_behind(&prefix, &line.text[..value.start])) {
                Some(value) => {
                    let is_whole = is_line_of_key(&line.text[value.clone()]);
                    lines.push((line.in_log(value), is_whole));
                    foreign = 0;
                }
                None if Writer::of(&line.text) == Writer::Kernel => continue,
                None if foreign >= MAX_FOREIGN_LINES_OF_KEY => break,
                None => foreign += 1,
            }
            left -= 1;
        }
        // Only its last line is short.
        let last = if is_closed { lines.len() } else { 0 };
        let lines = lines.into_iter().enumerate();
        let lines = lines.filter(|(at, (_, is_whole))| *is_whole || at + 1 == last);
        lines.map(|(_, (bytes, _))| bytes).collect()
    }

    /// The lines of a secret whose beginning the ring has dropped, before the line that ends it.
    fn back_from(&mut self, last: &Line, ended: usize, rule: &'static Rule) -> Vec<Range<usize>> {
        let forms = rule.forms();
        let prefix = letters(&last.text[..ended]);
        let (mut lines, mut end) = (Vec::new(), last.place.start);
        let (mut foreign, mut left) = (0, MAX_LINES);
        while left > 0 {
            if end <= self.backed {
                break;
            }
            let Some(line) = self.line_before(end) else {
                break;
            };
            // The last line of a key may be short, and the first one that is left may be cut.
            let may_be_short = end == last.place.start || line.place.start == 0;
            end = line.place.start;
            if rule.has_word(&line.text) {
                break;
            }
            let is_line = |value: &Range<usize>| {
                (may_be_short || is_line_of_key(&line.text[value.clone()]))
                    && is_behind(&prefix, &line.text[..value.start])
            };
            match value_of(forms, &line).filter(is_line) {
                Some(value) => {
                    lines.push(line.in_log(value));
                    foreign = 0;
                }
                None if Writer::of(&line.text) == Writer::Kernel => continue,
                None if foreign >= MAX_FOREIGN_LINES_OF_KEY => break,
                None => foreign += 1,
            }
            left -= 1;
        }
        self.backed = last.place.end;
        lines.reverse();
        lines
    }

    /// The line that begins here.
    fn line_at(&mut self, begin: usize) -> Option<Line> {
        let behind = &self.log[begin..];
        let end = memchr::memchr(b'\n', behind).map_or(self.log.len(), |at| begin + at + 1);
        self.count(end - begin);
        (begin < end).then(|| Line::of(self.log, begin..end))
    }

    /// The line that ends here.
    fn line_before(&mut self, end: usize) -> Option<Line> {
        let last = end.checked_sub(1)?;
        let start = memchr::memrchr(b'\n', &self.log[..last]).map_or(0, |at| at + 1);
        self.count(end - start);
        Some(Line::of(self.log, start..end))
    }

    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.work += bytes;
    }

    /// Only tests count.
    #[cfg(not(test))]
    fn count(&self, _: usize) {}
}

/// Where the keys of one rule begin and end on a line.
#[derive(Default)]
struct Keys {
    begun: Option<usize>,
    ends: Vec<Range<usize>>,
    is_known: bool,
}

impl Keys {
    fn find_ends(&mut self, forms: &Forms, text: &str) {
        if let Some(end) = &forms.end
            && !std::mem::replace(&mut self.is_known, true)
        {
            self.ends = end.find_iter(text).map(|end| end.range()).collect();
        }
    }

    fn end_behind(&self, at: usize) -> Option<Range<usize>> {
        let next = self.ends.partition_point(|end| end.start < at);
        self.ends.get(next).cloned()
    }
}

/// A line as text, and where each byte of it stands in the log. Nothing of what only a terminal sees is in it, so that
/// no colour hides a word or a part of a secret, and neither does the end of a terminal's line.
struct Line {
    place: Range<usize>,
    text: String,
    /// Of each byte, its place in the line, if others are left out.
    places: Option<Vec<usize>>,
    /// Where the text ends that the log has, if it may go on.
    goes_on: Option<usize>,
}

impl Line {
    fn of(log: &[u8], place: Range<usize>) -> Self {
        let written = ended(&log[place.clone()]);
        let is_plain = written
            .iter()
            .all(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t');
        let (text, places) = match str::from_utf8(written) {
            Ok(text) if is_plain => (text.to_owned(), None),
            _ => {
                let (text, places) = visible(written, first_of_utf8);
                (text, Some(places))
            }
        };
        Self {
            place,
            text,
            places,
            goes_on: None,
        }
    }

    /// The same, if it is written in GBK.
    fn of_gbk(log: &[u8], place: Range<usize>) -> Self {
        let (text, places) = visible(ended(&log[place.clone()]), gbk::first);
        Self {
            place,
            text,
            places: Some(places),
            goes_on: None,
        }
    }

    /// The place in the log of a part of the text that is not empty.
    fn in_log(&self, range: Range<usize>) -> Range<usize> {
        let place = |at: usize| match &self.places {
            Some(places) => self.place.start + places.get(at).copied().unwrap_or(0),
            None => self.place.start + at,
        };
        match range.is_empty() {
            true => self.place.start..self.place.start,
            false => place(range.start)..place(range.end - 1) + 1,
        }
    }
}

fn first_of_utf8(bytes: &[u8]) -> Option<(char, usize)> {
    let chunk = bytes[..bytes.len().min(4)].utf8_chunks().next()?;
    let character = chunk.valid().chars().next()?;
    Some((character, character.len_utf8()))
}

/// What stands on a line, and the place of each byte of it. A byte that is no text is one of no meaning. `first` says which
/// character a text begins with that is not ASCII, and its length.
fn visible(line: &[u8], first: fn(&[u8]) -> Option<(char, usize)>) -> (String, Vec<usize>) {
    let (mut text, mut places) = (String::with_capacity(line.len()), Vec::new());
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        let rest = &line[at + 1..];
        let mut length = 1;
        match byte {
            ESC => {
                let sequence = Sequence::at(rest);
                length += sequence.length.min(rest.len());
                if sequence.moves {
                    text.push(' ');
                    places.push(at);
                }
            }
            // Shells write this at the end of a terminal's line, where the text goes on.
            b' ' if rest.first() == Some(&b'\r') => length = 2,
            b'\t' | b'\r' | b' '..=b'~' => {
                text.push(char::from(byte));
                places.push(at);
            }
            0x80.. => {
                let character;
                (character, length) = first(&line[at..]).unwrap_or(('\x7f', 1));
                text.push(character);
                // In GBK, it has fewer bytes or more.
                let bytes = 0..character.len_utf8();
                places.extend(bytes.map(|byte| at + byte.min(length - 1)));
            }
            _ => {}
        }
        at += length;
    }
    (text, places)
}

fn ended(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    &line[..end.map_or(0, |last| last + 1)]
}

/// Who wrote a line, as far as it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer<'t> {
    /// It has no stamp of the kernel.
    Unknown,
    Kernel,
    /// A program whose output a logger passes on, such as `[   12.345678] cloud-init[911]: `.
    Program(&'t str),
}

impl<'t> Writer<'t> {
    fn of(text: &'t str) -> Self {
        let mut message = text;
        // A log that is printed may have stamps of its own.
        while let Some((_, end)) = Stamp::parse(message.as_bytes()) {
            message = message[end..].trim_start();
        }
        if message.len() == text.len() {
            return Self::Unknown;
        }
        let named = message.split_once("]: ");
        let named = named.and_then(|(named, _)| named.split_once('['));
        match named {
            Some((name, process))
                if !name.contains(' ') && process.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Self::Program(name)
            }
            _ => Self::Kernel,
        }
    }

    /// Whether a line cannot be one of a list that this writer began. If its beginning says nothing, because the ring has
    /// cut it, it may be any program's.
    fn is_other_than(self, first: Self) -> bool {
        match (self, first) {
            (Self::Unknown, _) | (Self::Program(_), Self::Unknown) => false,
            _ => self != first,
        }
    }
}

/// Whether what stands at this place of a line, and is no text, stands within a word.
fn is_within_word(line: &[u8], at: usize) -> bool {
    let (before, behind) = (&line[..at], &line[at + 1..]);
    let is_text =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == ESC);
    match line[at] {
        ESC => is_text(before.last()) && is_text(behind.get(Sequence::at(behind).length)),
        _ => before.ends_with(b" ") && is_text(behind.first()),
    }
}

/// The rules that have a word in a text, in their order, and where the names begin in which these words are. Of a name
/// that goes on and on, the last word counts.
fn candidates(text: &str, rules: &'static Rules) -> Candidates {
    let bytes = text.as_bytes();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    // Of the name that was met last: its first byte, and how far it is known.
    let (mut begun, mut known) = (0, 0);
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    rules.find_words_of_secrets(bytes, |rule, at| {
        let start = match is_name(&bytes[at]) {
            false => at,
            true => {
                let new = &bytes[known..at];
                if let Some(other) = new.iter().rposition(|byte| !is_name(byte)) {
                    begun = known + other + 1;
                }
                known = at;
                begun
            }
        };
        found.push((
            rule,
            start,
            floor(text, start.max(at.saturating_sub(MAX_NAME))),
        ));
    });
    found.sort_unstable();
    let mut candidates: Candidates = Vec::new();
    let mut last = None;
    for (rule, name, start) in found {
        let is_same = last == Some((rule, name));
        let is_of_same_rule = last.is_some_and(|(other, _)| other == rule);
        last = Some((rule, name));
        match candidates.last_mut() {
            Some((_, starts)) if is_of_same_rule => {
                if is_same {
                    starts.pop();
                }
                starts.push(start);
            }
            _ => candidates.push((&rules.all()[rule], Vec::from([start]))),
        }
    }
    candidates
}

/// The secrets among what a rule captured of a text.
fn values(
    captures: &Captures<'_>,
    line: &Line,
    window: Range<usize>,
    forms: &Forms,
) -> Vec<Range<usize>> {
    let text = &line.text;
    let mut values = Vec::new();
    for group in captures.iter().skip(1).flatten() {
        let mut value = group.start() + window.start..group.end() + window.start;
        if is_masked(&text[value.clone()]) {
            values.push(value);
            continue;
        }
        let before = &text[window.start..value.start];
        if forms
            .unless
            .as_ref()
            .is_some_and(|unless| unless.is_match(before))
        {
            continue;
        }
        if value.end == window.end {
            let more = text[value.end..]
                .find(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\''));
            value.end = more.map_or(text.len(), |more| value.end + more);
        }
        let quote = before
            .chars()
            .next_back()
            .filter(|c| matches!(c, '"' | '\''));
        let is_quoted = quote.is_some_and(|quote| {
            text[value.end..]
                .trim_start_matches('\\')
                .starts_with(quote)
        });
        if let Some(cut) = forms.cut.as_ref().filter(|_| !is_quoted)
            && let Some(end) = cut.find(&text[value.clone()])
        {
            value.end = value.start + end.start();
        }
        if let Some(end) = line.goes_on {
            // Of what is behind the end, nothing is there yet.
            if value.end <= end {
                continue;
            }
            value.end = end.max(value.start);
        } else if forms
            .except
            .iter()
            .any(|except| except.is_match(&text[value.clone()]))
        {
            continue;
        }
        // What a machine dies of is told, whatever stands before it.
        let begins = &text[value.start..floor(text, value.start + WINDOW_OF_FINDING)];
        let is_finding = Rules::built_in().may_find(begins, true)
            || text[value.clone()].contains(' ')
                && Rules::built_in().may_find(&text[value.clone()], false);
        if value.len() >= SHORTEST && !is_finding {
            values.push(value);
        }
    }
    values
}

/// Where the value on a line of a secret that goes on stands in its text.
fn value_of(forms: &Forms, line: &Line) -> Option<Range<usize>> {
    let captures = forms.next.as_ref()?.captures(&line.text)?;
    let value = captures.iter().skip(1).flatten().next()?.range();
    let text = &line.text[value.clone()];
    let is_value = is_masked(text)
        || value.len() >= SHORTEST && !forms.except.iter().any(|except| except.is_match(text));
    is_value.then_some(value)
}

fn is_masked(value: &str) -> bool {
    value.starts_with("<*")
}

/// What stands before a line of a secret, without what differs from line to line.
fn letters(before: &str) -> String {
    let is_same = |c: &char| {
        !(c.is_ascii_digit() || c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '`'))
    };
    before.chars().filter(is_same).collect()
}

/// Whether a line of a key stands behind what its other lines stand behind, or behind nothing but a stamp.
fn is_behind(prefix: &str, before: &str) -> bool {
    let letters = letters(before);
    letters == prefix || letters.chars().all(|c| matches!(c, '[' | '.' | ']' | '|'))
}

/// Whether a text is long enough for a line of a key, and no word.
fn is_line_of_key(value: &str) -> bool {
    let has = |is_one: fn(&u8) -> bool| usize::from(value.bytes().any(|byte| is_one(&byte)));
    let kinds = has(u8::is_ascii_uppercase) + has(u8::is_ascii_lowercase) + has(u8::is_ascii_digit);
    value.len() >= SHORTEST_LINE && (kinds >= 2 || is_masked(value))
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\\')
}

/// The end of a key in a text, without what ends its last line.
fn trimmed(text: &str, key: Range<usize>) -> usize {
    let (start, mut key) = (key.start, &text[key]);
    loop {
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '\\');
        key = key.trim_end_matches(is_end);
        match key.strip_suffix("\\n").or(key.strip_suffix("\\r")) {
            Some(line) => key = line,
            None => return start + key.len(),
        }
    }
}

/// The last place of a character in a text at or before a place.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, of_console};
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
    fn what_is_masked_is_found_again_by_its_rule() {
        let mut wrong = Vec::new();
        let rules = Rules::built_in().all().iter();
        for rule in rules.filter(|rule| rule.is_secret()) {
            for example in rule.note().yes {
                let log = format!("{example}\n");
                let masked = shown(&log);
                let ids = ids(masked.as_bytes());
                if masked == log || ids != [rule.id] || shown(&masked) != masked {
                    wrong.push(format!("{}: {masked:?}: {ids:?}", rule.id));
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

    /// Bytes that expressions look at in a log.
    fn work(log: &str) -> usize {
        search(log.as_bytes()).work
    }

    #[test]
    fn the_work_is_linear_whatever_a_log_says() {
        let words: Vec<_> = (Rules::built_in().all().iter())
            .filter(|rule| rule.is_secret())
            .flat_map(Rule::words)
            .copied()
            .collect();
        let key = format!("{}\n", "x".repeat(200)).repeat(100);
        let begins = "-----BEGIN PRIVATE KEY-----".repeat(1000);
        let ends = "-----END PRIVATE KEY-----".repeat(1000);
        for hostile in [
            words.join(" "),
            words.join("\n"),
            words.concat(),
            words.join("=") + "\n",
            "password".repeat(1000),
            "password=hunter22 ".repeat(1000),
            "http://a:".repeat(1000),
            "mysql ".repeat(1000),
            "eyJh".repeat(1000),
            "-----BEGIN PRIVATE KEY-----\n".repeat(1000),
            "-----END PRIVATE KEY----- AAAAbbbbCCCCdddd1111\n".repeat(1000),
            "Set the following 'random' passwords\n".repeat(1000),
            "+ chpasswd\n".repeat(1000),
            format!("{begins}\n{key}"),
            format!("{key}{ends}\n"),
        ] {
            let [one, four] = [1, 4].map(|times| {
                let log = hostile.repeat(times);
                (work(&log), log.len())
            });
            let start = hostile.get(..40).unwrap_or(&hostile);
            assert!(
                four.0 <= 5 * one.0 + LINE_AT_LEAST * 40,
                "{start}: {one:?} {four:?}"
            );
            assert!(
                four.0 <= 200 * four.1 + LINE_AT_LEAST * 40,
                "{start}: {four:?}"
            );
        }
    }

    #[test]
    fn a_long_ordinary_log_is_searched_to_its_end() {
        let line = "Jan 10 10:00:00 web1 sshd[812]: Failed password for root from 203.0.113.7 port 51022 ssh2\r\n";
        let prompt = "Password: [    9.000001] Kernel panic - not syncing: Fatal exception\r\n";
        let log = line.repeat((8 << 20) / line.len()) + prompt + "token=hunter22x end\n";
        let secrets = find(log.as_bytes());
        assert_eq!(secrets.len(), 1);
        let shown = masked(log.as_bytes(), &secrets);
        assert!(shown.ends_with(b"token=<*******> end\n"));
        let told: Vec<_> = of_console(log.as_bytes(), Rules::built_in())
            .iter()
            .map(Finding::signature)
            .collect();
        assert!(
            told.contains(&"kernel-panic:Fatal exception".to_owned()),
            "{told:?}"
        );
    }

    #[test]
    fn no_mask_hides_what_a_machine_dies_of() {
        for before in [
            "password=",
            "token: ",
            "Password:",
            "--password ",
            "password is ",
        ] {
            let log = format!("{before}Kernel panic - not syncing: Fatal exception\n");
            assert_eq!(shown(&log), log);
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
            let kinds = |secrets: &[Secret]| secrets.iter().map(|one| (one.line, one.rule.id)).collect::<Vec<_>>();
            proptest::prop_assert_eq!(
                kinds(&again), kinds(&secrets), "{}", String::from_utf8_lossy(&log)
            );
        }
    }

    #[test]
    fn a_console_made_of_secrets_shows_none() {
        let line = "password=hunter22 token: abcD1234 https://u:p4ss@h AKIAIOSFODNN7EXAMPLE --password x1y2z3";
        for end in ["\n", " "] {
            let shown = shown(&format!("{line}{end}").repeat(500));
            for secret in ["hunter22", "abcD1234", "p4ss", "IOSFODNN", "x1y2z3"] {
                assert!(!shown.contains(secret), "{secret}: {shown}");
            }
        }
    }

    #[test]
    fn a_secret_is_masked_whole_wherever_it_stands_on_a_long_line() {
        let long = "aB3".repeat(3000);
        for before in [0, 100, 1000, 4076, 4093, 4096, 4103, 12000] {
            for (secret, behind) in [("hunter22", " "), (&*long, " "), (&*long, "\" ")] {
                let log = format!(
                    "{} password={secret}{behind}{}",
                    "x".repeat(before),
                    "y".repeat(5000)
                );
                let secrets = find(log.as_bytes());
                let start = before + " password=".len();
                assert_eq!(secrets.len(), 1, "{before}");
                let place = start..start + secret.len();
                assert_eq!(secrets[0].bytes, Vec::from([place]), "{before}");
            }
        }
    }

    #[test]
    fn a_secret_that_has_only_begun_at_the_end_of_a_log_is_masked() {
        for (secret, from) in [
            ("cloning with ghp_16C7e42F292c6912E7710c838347Ae178B4a", 17),
            ("id AKIAIOSFODNN7EXAMPLE", 7),
            ("password=hunter22", 9),
            ("Authorization: Bearer 7Fjfp0ZBr1KtDRbnfVdmIw", 22),
        ] {
            for to in from + SHORTEST..=secret.len() {
                let log = &secret[..to];
                let expected = format!("{}<{}>", &log[..from], "*".repeat(to - from - 2));
                assert_eq!(shown(log), expected, "{log}");
            }
            assert_eq!(
                shown(&format!("{}\n", &secret[..from])).trim_end(),
                secret[..from].trim_end()
            );
        }
        for prompt in ["host login: ", "Password: ", "Enter passphrase for key: "] {
            assert_eq!(shown(prompt), prompt);
        }
    }

    /// Whatever the kernel and other programs write in between, and however much.
    #[test]
    fn lines_of_others_do_not_end_a_list_of_passwords_or_a_key() {
        let kernel = "[   14.511140] virtio_net virtio0 ens5: renamed from eth0\r\n".repeat(300)
            + "[   14.511141][    T1] task:kworker/0:1 state:D flags:0x00004000\r\n";
        let named = "[   14.511142] systemd[1]: Mounted srv-data:backup.mount\r\n".repeat(300);
        for (log, others) in [
            (
                [
                    "ci-info: Set the following 'random' passwords\n",
                    "ubuntu:R7xkQ2mVnB4t\n",
                    "root:pQ83hdRkw2Zs\n",
                ],
                kernel.clone(),
            ),
            (
                [
                    "[   14.511132] cloud-init[911]: Set the following 'random' passwords\r\n",
                    "[   14.511202] cloud-init[911]: ubuntu:R7xkQ2mVnB4t\r\n",
                    "[   14.511290] cloud-init[911]: root:pQ83hdRkw2Zs\r\n",
                ],
                format!("{kernel}{named}"),
            ),
            (
                // The ring has cut the stamp.
                [
                    "t[911]: Set the following 'random' passwords\r\n",
                    "[   14.511202] cloud-init[911]: ubuntu:R7xkQ2mVnB4t\r\n",
                    "[   14.511290] cloud-init[911]: root:pQ83hdRkw2Zs\r\n",
                ],
                kernel.clone(),
            ),
            (
                [
                    "-----BEGIN RSA PRIVATE KEY-----\r\n",
                    "MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0c\r\n",
                    "q8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3j2k1l0z9\r\n-----END RSA PRIVATE KEY-----\r\n",
                ],
                kernel.clone(),
            ),
            (
                // The ring has cut the beginning.
                [
                    "MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0c\r\n",
                    "q8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3j2k1l0z9\r\n",
                    "-----END RSA PRIVATE KEY-----\r\n",
                ],
                kernel.clone(),
            ),
        ] {
            let shown = shown(&log.join(&others));
            for secret in ["R7xkQ2mVnB4t", "pQ83hdRkw2Zs", "MIIE", "q8w7"] {
                assert!(!shown.contains(secret), "{secret}: {log:?}");
            }
            assert_eq!(shown.matches(&others).count(), 2, "{log:?}");
        }
    }

    #[test]
    fn labels_in_gbk_tell_secrets_and_what_else_is_not_utf8_is_read_as_before() {
        let gbk = |text: &str| encoding_rs::GB18030.encode(text).0.into_owned();
        for (log, expected) in [
            ("面板密码：x7Kq2mZp\r\n", "面板密码：<******>\r\n"),
            (
                "初始口令为 x7Kq2mZp，请修改\n",
                "初始口令为 <******>，请修改\n",
            ),
            (
                "\x1b[32m密钥\x1b[0m: x7Kq2mZp 㐀\n",
                "\x1b[32m密钥\x1b[0m: <******> 㐀\n",
            ),
            ("账号 admin 密码 = x7Kq2mZp", "账号 admin 密码 = <******>"),
            ("密码：不能为空\n", "密码：不能为空\n"),
            ("密码 password=hunter22\n", "密码 password=<******>\n"),
        ] {
            let log = gbk(log);
            assert_eq!(masked(&log, &find(&log)), gbk(expected), "{expected}");
        }
        // "é" of Latin-1, and the letter behind it, would be one character of GBK.
        let latin = b"root password is h\xe9llo7wX\n";
        assert_eq!(masked(latin, &find(latin)), b"root password is <******>\n");
    }

    #[test]
    fn what_only_a_terminal_sees_hides_no_secret() {
        for (log, expected) in [
            ("password\x1b[0m: hunter22\n", "password\x1b[0m: <******>\n"),
            (
                "\x1b[1mpass\x1b[31mword\x1b[0m=hunter22\n",
                "\x1b[1mpass\x1b[31mword\x1b[0m=<******>\n",
            ),
            (
                "token=hun\x1b[1mter22\x1b[0m x\n",
                "token=<**********>\x1b[0m x\n",
            ),
            (
                "# mysql --passwo \rrd=hunter22 -e x\n",
                "# mysql --passwo \rrd=<******> -e x\n",
            ),
            (
                "# mysql --password=hunt \rer22 -e x\n",
                "# mysql --password=<********> -e x\n",
            ),
        ] {
            assert_eq!(shown(log), expected);
        }
    }
}
