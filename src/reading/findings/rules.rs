//! The rules, and which of them fits a line.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use regex_lite::Regex;

use super::constant;
use super::gbk;
use super::progress::Progress;
use super::words::Words;
use super::work::Work;
use crate::model::finding::Severity;

/// What one rule recognizes.
#[derive(Debug)]
pub(super) struct RuleText {
    pub id: &'static str,
    pub family: &'static str,
    pub severity: Severity,
    pub title: &'static str,
    pub advice: &'static str,
    pub words: &'static [&'static str],
    pub pattern: &'static str,
    pub except: &'static [&'static str],
    pub general: bool,
    pub function: bool,
    pub trace: bool,
    pub until: Option<Progress>,
    pub secret: Option<&'static SecretText>,
}

/// What a rule for secrets has besides. Texts are regular expressions, or empty.
#[derive(Debug)]
pub(super) struct SecretText {
    /// One of them is behind the word of the rule, unless there are none.
    pub needs: &'static [&'static str],
    pub unless: &'static str,
    pub not_behind: &'static str,
    pub cut: &'static str,
    pub next: &'static str,
    pub end: &'static str,
    pub around: bool,
}

/// A rule's examples, and where it is from.
#[cfg(feature = "cli")]
#[derive(Debug)]
pub struct Note {
    /// Lines that it finds.
    pub yes: &'static [&'static str],
    /// Lines that look alike, and that it does not find.
    pub no: &'static [&'static str],
    /// Of what no line says: how it is judged.
    pub when: &'static str,
    /// Programs that print what it recognizes, and where in their sources; or the file that it is from.
    pub sources: &'static str,
}

// `build.rs` makes it of the files.
include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// What a kernel says first that goes no further.
const PANIC: &str = "Kernel panic";

/// The family of the rules that say where a secret stands.
const SECRETS: &str = "secret";

/// What one rule recognizes, and what it means.
#[derive(Debug)]
pub struct Rule {
    /// Its name, which never changes.
    pub id: &'static str,
    /// Its family's name.
    pub family: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, in a few words.
    pub title: &'static str,
    /// A regular expression for a message without its stamp. Its first group that matches is the detail, or the
    /// secret.
    pub pattern: &'static str,
    /// Another rule that fits the line counts instead.
    pub(super) general: bool,
    /// The detail is the function in which it happened, where the lines behind name it.
    pub(super) function: bool,
    /// The call trace names that function, and no register does.
    pub(super) trace: bool,
    /// A boot that comes so far did without.
    pub(super) until: Option<Progress>,
    text: &'static RuleText,
    /// Made when a word of the rule is first seen.
    forms: OnceLock<Forms>,
    #[cfg(feature = "cli")]
    note: &'static Note,
}

/// The regular expressions of a rule, compiled.
#[derive(Debug)]
pub(super) struct Forms {
    pub pattern: Regex,
    /// Of lines that are something else all the same; of a secret, for values that are none.
    pub except: Vec<Regex>,
    /// Of a secret: what stands before it, if it is none all the same.
    pub unless: Option<Regex>,
    /// What stands before its label, if it is none all the same.
    pub not_behind: Option<Regex>,
    /// Where a secret ends that no quotation marks end.
    pub cut: Option<Regex>,
    /// Of a secret that goes on: for the lines behind.
    pub next: Option<Regex>,
    /// What ends such a secret.
    pub end: Option<Regex>,
    /// The secret is on the line before, or on the one behind.
    pub is_around: bool,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

/// All rules, ready to be found.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    of_findings: Owned,
    of_secrets: Owned,
    /// IDs and signatures that are not told.
    silenced: HashSet<String>,
}

/// Words, and the rules that they belong to.
#[derive(Debug)]
struct Owned {
    words: Words,
    /// Of each word of a rule, the index of the rule.
    owners: Vec<usize>,
}

impl Owned {
    /// Of these rules, and other words.
    fn of<'r>(rules: impl Iterator<Item = (usize, &'r Rule)>, others: &[&'static [u8]]) -> Self {
        let (owners, words): (Vec<_>, Vec<&'static str>) = rules
            .flat_map(|(index, rule)| rule.text.words.iter().map(move |word| (index, *word)))
            .unzip();
        // In the text of a line, which is UTF-8, no label of GBK stands: it has no owner.
        let words = words.into_iter().map(str::as_bytes);
        let words = Words::new(words.chain(others.iter().copied()).collect());
        Self { words, owners }
    }

    /// The indices of the rules that have a word in a text, each once, in the order of the files.
    fn find(&self, text: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        self.words
            .find(text, |word, _| found.push(self.owners[word]));
        found.sort_unstable();
        found.dedup();
        found
    }
}

static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| Rules::new(built_in().collect()));

static CURRENT: OnceLock<&Rules> = OnceLock::new();

/// The rules of this program.
pub(super) fn built_in() -> impl Iterator<Item = Rule> {
    #[cfg(feature = "cli")]
    let rules = RULES
        .iter()
        .zip(NOTES)
        .map(|(text, note)| Rule::new(text, note));
    #[cfg(not(feature = "cli"))]
    let rules = RULES.iter().map(Rule::new);
    rules
}

impl Rules {
    /// Those of this program. The first call makes them, in a few hundred microseconds.
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// Those that are used: of this program, unless there are others.
    pub fn current() -> &'static Self {
        CURRENT.get().copied().unwrap_or_else(Self::built_in)
    }

    /// Uses these from now on. Only the first call counts.
    pub(super) fn make_current(&'static self) {
        let _ = CURRENT.set(self);
    }

    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let all = || rules.iter().enumerate();
        Self {
            of_findings: Owned::of(all().filter(|(_, rule)| !rule.is_secret()), &[]),
            of_secrets: Owned::of(all().filter(|(_, rule)| rule.is_secret()), &gbk::LABELS),
            rules,
            silenced: HashSet::new(),
        }
    }

    /// The same, which do not tell of these IDs and signatures.
    pub(super) fn without(self, silenced: HashSet<String>) -> Self {
        Self { silenced, ..self }
    }

    /// Whether a finding is not told: by its ID, or by its signature.
    pub(super) fn silences(&self, id: &str, signature: impl FnOnce() -> String) -> bool {
        !self.silenced.is_empty()
            && (self.silenced.contains(id) || self.silenced.contains(&signature()))
    }

    /// The rules, by their families.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with this ID.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// The rules that have a word in a text, by their places among all.
    pub(super) fn candidates(&self, text: &str) -> Vec<usize> {
        self.of_findings.find(text.as_bytes())
    }

    /// The candidate that fits a message, and where in it stands what it is about. Whatever else a line says of which
    /// the kernel dies, it is fatal.
    pub(super) fn find(
        &self,
        text: &str,
        candidates: &[usize],
        work: &mut Work,
    ) -> Option<(&Rule, Option<Range<usize>>)> {
        let is_panic = text.starts_with(PANIC);
        let rules = candidates.iter().map(|&index| &self.rules[index]);
        let rules = rules.filter(|rule| !is_panic || rule.severity == Severity::Fatal);
        // Those that are general last.
        let (general, special) = (rules.clone().filter(|rule| rule.general), rules);
        let mut ordered = special.filter(|rule| !rule.general).chain(general);
        ordered.find_map(|rule| {
            work.spend(text.len());
            Some((rule, rule.detail_of(text)?))
        })
    }

    /// Whether a line has a word of any rule for secrets.
    pub(super) fn may_find_secret(&self, line: &[u8]) -> bool {
        self.of_secrets.words.any(line)
    }

    /// Calls `found` with the place of a rule for secrets among all, for each of its words in a line, and where the
    /// word begins.
    pub(super) fn find_words_of_secrets(&self, line: &[u8], mut found: impl FnMut(usize, usize)) {
        let Owned { words, owners } = &self.of_secrets;
        words.find(line, |word, at| {
            if let Some(owner) = owners.get(word) {
                found(*owner, at);
            }
        });
    }

    /// Whether a text has, or begins with, a word of a rule for what went wrong.
    pub(super) fn may_find(&self, text: &str, only_at_start: bool) -> bool {
        let mut is_found = false;
        let words = &self.of_findings.words;
        words.find(text.as_bytes(), |_, at| {
            is_found |= at == 0 || !only_at_start;
        });
        is_found
    }
}

impl Rule {
    pub(super) fn new(
        text: &'static RuleText,
        #[cfg(feature = "cli")] note: &'static Note,
    ) -> Self {
        Self {
            id: text.id,
            family: text.family,
            severity: text.severity,
            title: text.title,
            pattern: text.pattern,
            general: text.general,
            function: text.function,
            trace: text.trace,
            until: text.until,
            text,
            forms: OnceLock::new(),
            #[cfg(feature = "cli")]
            note,
        }
    }

    /// What a person can do, in one sentence or two.
    pub fn advice(&self) -> &'static str {
        self.text.advice
    }

    /// Whether a line says it. What none says comes from how boots ended.
    #[cfg(feature = "cli")]
    pub fn is_of_line(&self) -> bool {
        self.note.when.is_empty()
    }

    /// Its examples, and where it is from.
    #[cfg(feature = "cli")]
    pub fn note(&self) -> &'static Note {
        self.note
    }

    /// One of them is in each line that it fits.
    #[cfg(feature = "cli")]
    pub(super) fn words(&self) -> &'static [&'static str] {
        self.text.words
    }

    /// Why it does not fit a message that stands on a line; `None` if it does.
    pub(super) fn why_not(&self, line: &str, message: &str) -> Option<&'static str> {
        let Forms {
            pattern, except, ..
        } = self.forms();
        if !self.text.words.iter().any(|word| line.contains(word)) {
            Some("none of its `words` is in it")
        } else if !pattern.is_match(message) {
            Some(
                "its `pattern` does not fit what stands behind the stamp and the name of who writes",
            )
        } else if except.iter().any(|except| except.is_match(message)) {
            Some("an expression of `except` fits it as well")
        } else if message.starts_with(PANIC) && self.severity < Severity::Fatal {
            Some("it begins as a panic does, which only fatal rules fit")
        } else {
            None
        }
    }

    /// Whether a text has what stands behind a word of this rule, if that is known. To find out takes a fraction of what
    /// an expression takes, and most lines that say "password" show none.
    pub(super) fn may_fit(&self, text: &str) -> bool {
        let needs = self.text.secret.map_or(&[][..], |secret| secret.needs);
        needs.is_empty() || needs.iter().any(|need| text.contains(need))
    }

    /// Whether a text has one of its words.
    pub(super) fn has_word(&self, text: &str) -> bool {
        self.text.words.iter().any(|word| text.contains(word))
    }

    /// Whether lines before or behind may belong to the secret that it finds.
    #[cfg(feature = "cli")]
    pub(super) fn goes_on(&self) -> bool {
        let secret = self.text.secret;
        secret.is_some_and(|secret| !secret.next.is_empty())
    }

    /// Whether it says where a secret stands.
    pub fn is_secret(&self) -> bool {
        self.family == SECRETS
    }

    /// Where in a message that fits stands what it is about; `None` if it does not fit.
    fn detail_of(&self, text: &str) -> Option<Option<Range<usize>>> {
        let Forms {
            pattern, except, ..
        } = self.forms();
        let captures = pattern.captures(text)?;
        if except.iter().any(|except| except.is_match(text)) {
            return None;
        }
        let mut groups = captures.iter().skip(1).flatten();
        Some(groups.next().map(|group| group.range()))
    }

    pub(super) fn forms(&self) -> &Forms {
        let some = |of: fn(&SecretText) -> &'static str| {
            let pattern = self.text.secret.map_or("", of);
            (!pattern.is_empty()).then(|| constant(pattern))
        };
        self.forms.get_or_init(|| Forms {
            pattern: constant(self.pattern),
            except: (self.text.except.iter())
                .map(|except| constant(except))
                .collect(),
            unless: some(|secret| secret.unless),
            not_behind: some(|secret| secret.not_behind),
            cut: some(|secret| secret.cut),
            next: some(|secret| secret.next),
            end: some(|secret| secret.end),
            is_around: self.text.secret.is_some_and(|secret| secret.around),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pattern_compiles_and_every_rule_is_whole() {
        let rules = Rules::built_in();
        let ids: BTreeSet<_> = rules.all().iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), rules.all().len(), "an ID is there twice");
        for rule in rules.all() {
            rule.forms();
            let note = rule.note();
            let is_of_line = !rule.text.words.is_empty() && !note.no.is_empty();
            assert!(
                is_of_line == note.when.is_empty() && !rule.advice().is_empty(),
                "{}",
                rule.id
            );
            assert!(!note.sources.is_empty());
            assert!(
                !rule.id.contains(':'),
                "a signature is cut there: {}",
                rule.id
            );
        }
    }
}
