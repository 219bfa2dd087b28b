//! What a reader searches for, in lines of text.

use grep_matcher::{LineMatchKind, Matcher as _};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// How letters count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// As they are.
    Sensitive,
    /// Small ones as capitals.
    Insensitive,
    /// As they are if the pattern has a capital, else small ones as capitals.
    Smart,
}

/// How the text of a pattern is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// How letters count.
    pub case: Case,
    /// The pattern is text, not a regular expression.
    pub is_literal: bool,
    /// Only whole words match.
    pub is_word: bool,
    /// Only whole lines match.
    pub is_line: bool,
}

/// Regular expressions in the syntax of Rust's `regex` crate, any of which matches. Their time is linear in
/// the text, whatever both say.
#[derive(Debug, Clone)]
pub struct Pattern {
    matcher: RegexMatcher,
    /// Matches wherever this pattern matches, and never a byte that a masked secret is shown as. `None` if that is not
    /// known of any expression.
    beside_masks: Option<RegexMatcher>,
    /// Whether that is the pattern itself.
    is_beside_masks: bool,
    passes_over_returns: bool,
}

/// A pattern cannot be used. Says why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

/// Compiled patterns take at most this many bytes.
const MAX_BYTES: usize = 64 << 20;
/// What a masked secret is shown as (`findings/secrets.rs`).
const MASK: [char; 3] = ['<', '*', '>'];

impl Pattern {
    /// Compiles patterns.
    ///
    /// # Errors
    /// [`InvalidPattern`] if one is no regular expression, could match a line end, or takes too much memory.
    pub fn new(patterns: &[impl AsRef<str>], meaning: Meaning) -> Result<Self, InvalidPattern> {
        let mut builder = RegexMatcherBuilder::new();
        builder
            .case_insensitive(meaning.case == Case::Insensitive)
            .case_smart(meaning.case == Case::Smart)
            .fixed_strings(meaning.is_literal)
            .word(meaning.is_word)
            .whole_line(meaning.is_line)
            .multi_line(true)
            .unicode(true)
            .line_terminator(Some(b'\n'))
            .size_limit(MAX_BYTES);
        let matcher = builder.build_many(patterns).map_err(|error| {
            let error = error.to_string();
            // The last line says it; those before draw it.
            let last = error.lines().last().unwrap_or_default();
            InvalidPattern(last.trim_start_matches("error: ").to_owned())
        })?;
        let parsed: Option<Vec<_>> = patterns
            .iter()
            .map(|pattern| parsed(pattern.as_ref(), meaning))
            .collect();
        let parsed = parsed.as_deref();
        // A word may end where a mask begins, which is no end of a word otherwise.
        let is_beside_masks =
            !meaning.is_word && parsed.is_some_and(|all| all.iter().all(is_beside_masks));
        let beside_masks = match is_beside_masks {
            true => Some(matcher.clone()),
            false => parsed.and_then(texts_beside_masks),
        };
        Ok(Self {
            matcher,
            beside_masks,
            is_beside_masks,
            passes_over_returns: !meaning.is_word
                && !meaning.is_line
                && parsed.is_some_and(|all| all.iter().all(passes_over_returns)),
        })
    }

    /// Whether one of these lines may match once secrets are masked in them. Where it says that none does, none does,
    /// whatever they are: this does not depend on the secrets.
    pub fn may_match_masked(&self, lines: &[u8]) -> bool {
        let Some(pattern) = &self.beside_masks else {
            return true;
        };
        match pattern.find_candidate_line(lines) {
            Ok(None) => false,
            // A text of the pattern is there, but perhaps not the whole.
            Ok(Some(LineMatchKind::Candidate(_))) => pattern.is_match(lines).unwrap_or(true),
            Ok(Some(LineMatchKind::Confirmed(_))) | Err(_) => true,
        }
    }

    /// Whether it matches text alone that no mask is made of: masks take matches from a line, and give it none.
    pub fn is_beside_masks(&self) -> bool {
        self.is_beside_masks
    }

    /// Whether a carriage return at the end of a line changes nothing for it.
    pub fn passes_over_returns(&self) -> bool {
        self.passes_over_returns
    }

    /// Whether a line has a match.
    pub fn is_match(&self, line: &str) -> bool {
        self.matcher.is_match(line.as_bytes()).unwrap_or(false) // This matcher's errors cannot occur.
    }

    /// The engine, for searches of many lines.
    pub fn matcher(&self) -> &RegexMatcher {
        &self.matcher
    }

    /// Where the matches in a line are, from left to right, until `found` returns false.
    pub fn matches(&self, line: &[u8], mut found: impl FnMut(std::ops::Range<usize>) -> bool) {
        let searched = self
            .matcher
            .find_iter(line, |at| found(at.start()..at.end()));
        searched.unwrap_or(()); // As above.
    }
}

/// The texts with which each match begins or ends, if no mask is made of them.
fn texts_beside_masks(patterns: &[Hir]) -> Option<RegexMatcher> {
    let mut texts = Vec::new();
    for pattern in patterns {
        texts.extend(texts_of(pattern)?);
    }
    let mut builder = RegexMatcherBuilder::new();
    builder.fixed_strings(true).line_terminator(Some(b'\n'));
    builder.build_many(&texts).ok()
}

/// The expression as the engine reads it, but that letters count as they do at most.
fn parsed(pattern: &str, meaning: Meaning) -> Option<Hir> {
    let mut parser = ParserBuilder::new();
    parser
        .case_insensitive(meaning.case != Case::Sensitive)
        .multi_line(true)
        .utf8(false);
    let pattern = match meaning.is_literal {
        true => regex_syntax::escape(pattern),
        false => pattern.to_owned(),
    };
    parser.build().parse(&pattern).ok()
}

/// Whether each match has a byte, none has a byte of a mask, and what stands beside it does not count.
fn is_beside_masks(pattern: &Hir) -> bool {
    let properties = pattern.properties();
    let has_text = properties.minimum_len().is_some_and(|least| least > 0);
    has_text && !properties.look_set().contains_word() && has_none(pattern, &MASK)
}

/// Whether no match has a carriage return, and none is told by what is behind it.
fn passes_over_returns(pattern: &Hir) -> bool {
    let mut looks = pattern.properties().look_set().iter();
    looks.all(|look| look == Look::StartLF) && has_none(pattern, &['\r'])
}

/// Whether no match has one of these characters, which are ASCII.
fn has_none(pattern: &Hir, characters: &[char]) -> bool {
    let has = |from: u32, to: u32| {
        let mut characters = characters.iter();
        characters.any(|c| (from..=to).contains(&u32::from(*c)))
    };
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(text) => !text
            .0
            .iter()
            .any(|byte| has((*byte).into(), (*byte).into())),
        HirKind::Class(Class::Unicode(class)) => {
            let mut ranges = class.iter();
            !ranges.any(|range| has(range.start().into(), range.end().into()))
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut ranges = class.iter();
            !ranges.any(|range| has(range.start().into(), range.end().into()))
        }
        HirKind::Repetition(repeated) => has_none(&repeated.sub, characters),
        HirKind::Capture(group) => has_none(&group.sub, characters),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().all(|part| has_none(part, characters))
        }
    }
}

/// Texts, one of which each match begins or ends with, if they are known and no mask has a byte of them.
fn texts_of(pattern: &Hir) -> Option<Vec<String>> {
    [ExtractKind::Prefix, ExtractKind::Suffix]
        .into_iter()
        .find_map(|kind| {
            let texts = Extractor::new().kind(kind).extract(pattern);
            let texts = texts.literals()?.iter().map(|text| {
                let text = str::from_utf8(text.as_bytes()).ok()?;
                (!text.is_empty() && !text.contains(MASK)).then(|| text.to_owned())
            });
            texts.collect()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Meaning = Meaning {
        case: Case::Smart,
        is_literal: false,
        is_word: false,
        is_line: false,
    };

    fn finds(pattern: &str, meaning: Meaning, line: &str) -> bool {
        Pattern::new(&[pattern], meaning).unwrap().is_match(line)
    }

    #[test]
    fn a_pattern_means_what_it_is_said_to_mean() {
        assert!(finds("kernel panic", PLAIN, "Kernel panic - not syncing"));
        assert!(!finds("KERNEL panic", PLAIN, "Kernel panic - not syncing"));
        let sensitive = Meaning {
            case: Case::Sensitive,
            ..PLAIN
        };
        assert!(!finds(
            "kernel panic",
            sensitive,
            "Kernel panic - not syncing"
        ));
        let insensitive = Meaning {
            case: Case::Insensitive,
            ..PLAIN
        };
        assert!(finds("KERNEL", insensitive, "Kernel panic - not syncing"));
        let literal = Meaning {
            is_literal: true,
            ..PLAIN
        };
        assert!(finds("0x[1]", literal, "at 0x[1]") && !finds("0x[1]", literal, "at 0x1"));
        let word = Meaning {
            is_word: true,
            ..PLAIN
        };
        assert!(finds("oom", word, "an oom kill") && !finds("oom", word, "room"));
        let line = Meaning {
            is_line: true,
            ..PLAIN
        };
        assert!(finds("login: ", line, "login: ") && !finds("login", line, "login: "));
        assert!(finds("^\\[ *\\d+\\.", PLAIN, "[    1.5] a") && finds("启动", PLAIN, "正在启动"));
        let any = Pattern::new(&["panic", "oops"], PLAIN).unwrap();
        assert!(any.is_match("Oops: 0002") && any.is_match("panic") && !any.is_match("fine"));
    }

    #[test]
    fn a_pattern_that_may_end_at_a_return_does_not_pass_over_it() {
        let passes = |pattern: &str, meaning| {
            let pattern = Pattern::new(&[pattern], meaning).unwrap();
            pattern.passes_over_returns()
        };
        for pattern in ["Kernel panic", "error|fail|BUG:", "^\\[ +\\d", "[a-z]+x*"] {
            assert!(passes(pattern, PLAIN), "{pattern}");
        }
        for pattern in [
            "x$",
            "a.",
            "\\s",
            "[^a]",
            "\\r",
            "\\Bx",
            "x\\b",
            "(?-m)x\\z",
        ] {
            assert!(!passes(pattern, PLAIN), "{pattern}");
        }
        for meaning in [
            Meaning {
                is_word: true,
                ..PLAIN
            },
            Meaning {
                is_line: true,
                ..PLAIN
            },
        ] {
            assert!(!passes("x", meaning));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "a\\nb", "(?:x{1000}){1000}{1000}"] {
            assert!(Pattern::new(&[pattern], PLAIN).is_err(), "{pattern}");
        }
    }
}
