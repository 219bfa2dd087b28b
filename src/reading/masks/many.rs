//! The keys of many lines, by an engine that is large and fast.

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::meta::{Cache, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::RULES;

static ENGINE: LazyLock<Regex> = LazyLock::new(|| {
    let patterns: Vec<_> = RULES.iter().map(|rule| rule.pattern).collect();
    // Console text is UTF-8, and the patterns are ASCII: what they match begins and ends with it.
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    match Regex::builder().syntax(syntax).build_many(&patterns) {
        Ok(engine) => engine,
        Err(error) => unreachable!("the table is constant, and tested: {error}"),
    }
});

/// Turns lines into their keys.
#[derive(Debug)]
pub struct Masks {
    cache: Cache,
    captures: Captures,
}

impl Default for Masks {
    fn default() -> Self {
        Self {
            cache: ENGINE.create_cache(),
            captures: ENGINE.create_captures(),
        }
    }
}

impl Masks {
    /// Appends the key of a line to `key`. A stamp at the line's beginning is masked as elsewhere: leave it
    /// out to compare lines with and without stamps.
    pub fn mask(&mut self, line: &str, key: &mut String) {
        let mut copied = 0;
        self.find(line, |place, kind| {
            key.push_str(&line[copied..place.start]);
            key.extend(["<", kind, ">"]);
            copied = place.end;
        });
        key.push_str(&line[copied..]);
    }

    /// Finds what is masked in a line, from left to right, and of which kind it is.
    pub fn find(&mut self, line: &str, mut found: impl FnMut(Range<usize>, &'static str)) {
        let mut from = 0;
        while from <= line.len() {
            let input = Input::new(line).range(from..);
            let Some(whole) = ENGINE.search_with(&mut self.cache, &input) else {
                return;
            };
            from = whole.end();
            let Some(kind) = RULES[whole.pattern().as_usize()].kind else {
                continue;
            };
            // Half of the rules have no groups, and groups take as long to find as the match.
            if ENGINE.group_info().group_len(whole.pattern()) == 1 {
                found(whole.range(), kind);
                continue;
            }
            let input = input
                .range(whole.range())
                .anchored(Anchored::Pattern(whole.pattern()));
            ENGINE.search_captures_with(&mut self.cache, &input, &mut self.captures);
            let mut groups = self.captures.iter().skip(1).flatten().peekable();
            if groups.peek().is_none() {
                found(whole.range(), kind);
            }
            for group in groups {
                from = group.end; // What stands behind it may be another rule's.
                found(group.start..group.end, kind);
            }
        }
    }
}

/// The key of one line.
pub fn masked(line: &str) -> String {
    let mut key = String::with_capacity(line.len());
    Masks::default().mask(line, &mut key);
    key
}
