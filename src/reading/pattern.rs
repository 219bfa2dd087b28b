//! What a reader searches for, in lines of text.

use grep_matcher::Matcher as _;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};

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
pub struct Pattern(RegexMatcher);

/// A pattern cannot be used. Says why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

/// Compiled patterns take at most this many bytes.
const MAX_BYTES: usize = 64 << 20;

impl Pattern {
    /// Compiles patterns.
    ///
    /// # Errors
    /// [`InvalidPattern`] if one is no regular expression, could match a line end, or takes too much memory.
    pub fn new(patterns: &[impl AsRef<str>], meaning: Meaning) -> Result<Self, InvalidPattern> {
        let matcher = RegexMatcherBuilder::new()
            .case_insensitive(meaning.case == Case::Insensitive)
            .case_smart(meaning.case == Case::Smart)
            .fixed_strings(meaning.is_literal)
            .word(meaning.is_word)
            .whole_line(meaning.is_line)
            .multi_line(true)
            .unicode(true)
            .line_terminator(Some(b'\n'))
            .size_limit(MAX_BYTES)
            .build_many(patterns);
        matcher.map(Self).map_err(|error| {
            let error = error.to_string();
            // The last line says it; those before draw it.
            let last = error.lines().last().unwrap_or_default();
            InvalidPattern(last.trim_start_matches("error: ").to_owned())
        })
    }

    /// Whether a line has a match.
    pub fn is_match(&self, line: &str) -> bool {
        self.0.is_match(line.as_bytes()).unwrap_or(false) // This matcher's errors cannot occur.
    }

    /// The engine, for searches of many lines.
    pub fn matcher(&self) -> &RegexMatcher {
        &self.0
    }

    /// Where the matches in a line are, from left to right.
    pub fn matches(&self, line: &[u8], mut found: impl FnMut(std::ops::Range<usize>)) {
        let searched = self.0.find_iter(line, |at| {
            found(at.start()..at.end());
            true
        });
        searched.unwrap_or(()); // As above.
    }
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
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "a\\nb", "(?:x{1000}){1000}{1000}"] {
            assert!(Pattern::new(&[pattern], PLAIN).is_err(), "{pattern}");
        }
    }
}
