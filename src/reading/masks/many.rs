//! The keys of many lines, by an engine that is large and fast.
//!
//! Few places of a line can begin what a rule looks for. They are told by the two bytes that stand there and by
//! what stands before, and only there the engine looks. It says itself, when it first sees such bytes, whether
//! anything can begin with them: no list of beginnings has to follow the table.

use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::dfa::onepass;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::hybrid::{LazyStateID, StartError};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, Input};

use super::{RULES, Rule};

/// Console text is UTF-8, and the patterns are ASCII: what they match begins and ends with it.
fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

const TESTED: &str = "the table is constant, and tested";

static ENGINE: LazyLock<DFA> = LazyLock::new(|| {
    let patterns: Vec<_> = RULES.iter().map(|rule| rule.pattern).collect();
    let engine = DFA::builder()
        .syntax(syntax())
        .thompson(thompson::Config::new().utf8(false))
        .build_many(&patterns);
    engine.unwrap_or_else(|error| unreachable!("{TESTED}: {error}"))
});

/// Turns lines into their keys.
#[derive(Debug)]
pub struct Masks {
    cache: Cache,
    beginnings: Beginnings,
    /// Of each rule, once it was needed.
    groups: Vec<Option<Groups>>,
}

impl Default for Masks {
    fn default() -> Self {
        Self {
            cache: ENGINE.create_cache(),
            beginnings: Beginnings::default(),
            groups: RULES.iter().map(|_| None).collect(),
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
        while let Some((rule, place)) = self.next(line.as_bytes(), from) {
            from = place.end;
            let Some(kind) = RULES[rule].kind else {
                continue;
            };
            let groups = self.groups[rule].get_or_insert_with(|| Groups::of(&RULES[rule]));
            let mut groups = groups.find(line, place.clone()).peekable();
            if groups.peek().is_none() {
                found(place, kind);
            }
            for group in groups {
                from = group.end; // What stands behind it may be another rule's.
                found(group, kind);
            }
        }
    }

    /// The first place from `from` on that a rule matches, and the rule's index.
    fn next(&mut self, line: &[u8], from: usize) -> Option<(usize, Range<usize>)> {
        let mut begin = from;
        while begin < line.len() {
            begin = self.beginnings.next(line, begin, &mut self.cache);
            if let Some((rule, end)) = matched(line, begin, &mut self.cache) {
                return Some((rule, begin..end));
            }
            begin += 1;
        }
        None
    }
}

/// The engine's state in front of what stands behind `before`.
fn start(before: Option<u8>, cache: &mut Cache) -> Result<LazyStateID, StartError> {
    let config = start::Config::new().anchored(Anchored::Yes);
    ENGINE.start_state(cache, &config.look_behind(before))
}

/// The rule that matches at `begin`, and where what it matches ends.
fn matched(line: &[u8], begin: usize, cache: &mut Cache) -> Option<(usize, usize)> {
    let engine = &*ENGINE;
    let before = begin.checked_sub(1).map(|before| line[before]);
    let (mut state, mut found) = (start(before, cache).ok()?, None);
    // That something ends is seen behind it.
    let mut end = begin;
    for byte in &line[begin..] {
        // Nearly all states are neither the first nor the last of something.
        if !state.is_tagged() {
            let next = engine.next_state_untagged(cache, state, *byte);
            if !next.is_tagged() {
                (state, end) = (next, end + 1);
                continue;
            }
        }
        state = engine.next_state(cache, state, *byte).ok()?;
        if state.is_match() {
            found = Some((engine.match_pattern(cache, state, 0).as_usize(), end));
        } else if state.is_dead() {
            return found;
        }
        end += 1;
    }
    state = engine.next_eoi_state(cache, state).ok()?;
    if state.is_match() {
        found = Some((engine.match_pattern(cache, state, 0).as_usize(), end));
    }
    found
}

/// Where in a line something may begin that a rule looks for.
#[derive(Debug)]
struct Beginnings {
    /// The class of each byte: the engine does not tell bytes of one class from each other. The lowest bit says whether
    /// it is a part of a word.
    classes: [u8; 256],
    /// Whether anything can begin with two bytes: by whether a word stands before them, and by their classes.
    known: Box<[Answer; 2 << (2 * BITS)]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Unknown,
    No,
    Maybe,
}

/// Bits of a class. Today there are 89.
const BITS: usize = 8;

impl Default for Beginnings {
    fn default() -> Self {
        let class = |byte: u8| {
            let is_word = byte.is_ascii_alphanumeric() || byte == b'_'; // As `\b` takes it.
            let class = ENGINE.byte_classes().get(byte);
            assert!(class < 1 << (BITS - 1), "{TESTED}: too many classes");
            class << 1 | u8::from(is_word)
        };
        Self {
            classes: std::array::from_fn(|byte| class(byte as u8)),
            known: Box::new([Answer::Unknown; _]),
        }
    }
}

impl Beginnings {
    /// The first place from `begin` on where something may begin. The last byte always may.
    fn next(&mut self, line: &[u8], begin: usize, cache: &mut Cache) -> usize {
        let Some(before) = begin.checked_sub(1) else {
            return begin; // Nothing else stands at the beginning of a line.
        };
        // Of three bytes: of the first, only whether it is a part of a word is left.
        let mut key = 0;
        let mut push = |byte: u8| {
            let class = usize::from(self.classes[usize::from(byte)]);
            key = (key << BITS | class) & ((2 << (2 * BITS)) - 1);
            key
        };
        push(line[before]);
        push(line[begin]);
        let mut at = begin;
        for byte in &line[begin + 1..] {
            let known = &mut self.known[push(*byte)];
            if *known != Answer::No {
                if *known == Answer::Unknown {
                    *known = ask(&line[at - 1..at + 2], cache);
                }
                if *known == Answer::Maybe {
                    return at;
                }
            }
            at += 1;
        }
        at
    }
}

/// Whether anything can begin with the last two of three bytes. No rule matches an empty text, so what has ended
/// behind the first of them is still to be seen behind the second.
fn ask(bytes: &[u8], cache: &mut Cache) -> Answer {
    let mut state = start(bytes.first().copied(), cache).ok();
    for byte in bytes.iter().skip(1) {
        state = state.and_then(|state| ENGINE.next_state(cache, state, *byte).ok());
        if state.is_some_and(|state| state.is_dead()) {
            return Answer::No;
        }
    }
    Answer::Maybe
}

/// Finds what is masked of that which a rule matches, in one pass.
#[derive(Debug)]
struct Groups {
    /// `None` if all of it is.
    engine: Option<(onepass::Cache, onepass::DFA)>,
    /// Where groups begin and end: the whole, then each.
    slots: Vec<Option<NonMaxUsize>>,
}

impl Groups {
    fn of(rule: &Rule) -> Self {
        let built = thompson::Compiler::new()
            .syntax(syntax())
            .build(rule.pattern);
        let nfa = built.unwrap_or_else(|error| unreachable!("{TESTED}: {error}"));
        let slots = nfa.group_info().slot_len();
        let engine = (slots > 2).then(|| {
            let built = onepass::DFA::builder().build_from_nfa(nfa);
            let engine = built.unwrap_or_else(|error| unreachable!("{TESTED}: {error}"));
            (engine.create_cache(), engine)
        });
        Self {
            engine,
            slots: vec![None; slots],
        }
    }

    /// Finds them in what the rule matches in a line. Only one of them, or none, is there in most rules.
    fn find(&mut self, line: &str, whole: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        if let Some((cache, engine)) = &mut self.engine {
            let input = Input::new(line).range(whole).anchored(Anchored::Yes);
            self.slots.fill(None);
            // It only fails on an input that is not anchored.
            let _ = engine.try_search_slots(cache, &input, &mut self.slots);
        }
        let groups = self.slots.chunks_exact(2).skip(1);
        groups.filter_map(|group| Some(group[0]?.get()..group[1]?.get()))
    }
}

/// The key of one line.
pub fn masked(line: &str) -> String {
    let mut key = String::with_capacity(line.len());
    Masks::default().mask(line, &mut key);
    key
}
