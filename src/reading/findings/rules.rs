//! The rules: read from their files, and found in a line.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use regex_automata::meta::Regex;
use serde::{Deserialize, Serialize};

use super::compiled;

/// A family's name, and its file.
const FILES: [(&str, &str); 11] = [
    ("loader", include_str!("rules/loader.toml")),
    ("root", include_str!("rules/root.toml")),
    ("filesystem", include_str!("rules/filesystem.toml")),
    ("block", include_str!("rules/block.toml")),
    ("memory", include_str!("rules/memory.toml")),
    ("hardware", include_str!("rules/hardware.toml")),
    ("network", include_str!("rules/network.toml")),
    ("kdump", include_str!("rules/kdump.toml")),
    ("cloud-init", include_str!("rules/cloud-init.toml")),
    ("kernel", include_str!("rules/kernel.toml")),
    ("init", include_str!("rules/init.toml")),
];

/// How bad a finding is. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is not as it should be, and the machine works.
    Warning,
    /// Something failed.
    Error,
    /// The machine cannot go on without a person, or did not.
    Fatal,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Fatal];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

/// What one rule recognizes, and what it means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which never changes.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, in a few words.
    pub title: String,
    /// What a person can do, in one sentence or two.
    pub advice: String,
    /// A line without any of these words does not match.
    pub words: Vec<String>,
    /// A regular expression for a message without its stamp. Its first group that matches is the detail.
    pub pattern: String,
    /// Regular expressions for lines that are something else all the same.
    #[serde(default)]
    pub except: Vec<String>,
    /// Another rule that fits the line counts instead.
    #[serde(default)]
    pub general: bool,
    /// The detail is the function in which it happened, where the lines behind name it.
    #[serde(default)]
    pub function: bool,
    /// Lines that it finds.
    pub yes: Vec<String>,
    /// Lines that look alike, and that it does not find.
    pub no: Vec<String>,
    /// Its family's index.
    #[serde(skip)]
    family: usize,
    /// Made when the words are first seen.
    #[serde(skip)]
    compiled: OnceLock<(Regex, Vec<Regex>)>,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

/// What rules have in common that are in one file.
#[derive(Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Programs that print what its rules recognize, and where in their sources.
    pub sources: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sources: String,
    rule: Vec<Rule>,
}

/// All rules, ready to be found.
#[derive(Debug)]
pub struct Rules {
    families: Vec<Family>,
    rules: Vec<Rule>,
    words: AhoCorasick,
    /// Of each word, the index of its rule.
    owners: Vec<usize>,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRules {
    /// The file is no TOML, or lacks a member.
    #[error("the rules of {family} cannot be read: {cause}")]
    Unreadable {
        /// The family.
        family: String,
        /// What is wrong.
        cause: toml::de::Error,
    },
    /// The words cannot be searched for.
    #[error("the words of the rules cannot be searched for: {0}")]
    Words(#[from] aho_corasick::BuildError),
}

static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| {
    Rules::read(&FILES)
        .unwrap_or_else(|error| unreachable!("they are constant, and tested: {error}"))
});

impl Rules {
    /// Those of this program.
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    fn read(files: &[(&'static str, &str)]) -> Result<Self, InvalidRules> {
        let (mut families, mut rules) = (Vec::new(), Vec::new());
        for (index, (name, text)) in files.iter().enumerate() {
            let file: File = toml::from_str(text).map_err(|cause| InvalidRules::Unreadable {
                family: (*name).to_owned(),
                cause,
            })?;
            families.push(Family {
                name,
                sources: file.sources.replace('\n', " "),
            });
            rules.extend(file.rule.into_iter().map(|rule| Rule {
                family: index,
                ..rule
            }));
        }
        let owned = rules.iter().enumerate();
        let (owners, words): (Vec<_>, Vec<_>) = owned
            .flat_map(|(index, rule)| rule.words.iter().map(move |word| (index, word)))
            .unzip();
        let words = AhoCorasick::new(words)?;
        Ok(Self {
            families,
            rules,
            words,
            owners,
        })
    }

    /// The rules, by their families.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule with this ID.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// The family of a rule.
    pub fn family(&self, rule: &Rule) -> &Family {
        &self.families[rule.family]
    }

    /// The rule that fits a message, and where in it stands what it is about.
    pub(super) fn find(&self, text: &str) -> Option<(&Rule, Option<Range<usize>>)> {
        let mut candidates: Vec<_> = (self.words.find_overlapping_iter(text))
            .map(|word| self.owners[word.pattern().as_usize()])
            .collect();
        if candidates.is_empty() {
            return None;
        }
        // In the order of the files, those that are general last.
        candidates.sort_unstable_by_key(|&index| (self.rules[index].general, index));
        candidates.dedup();
        candidates.into_iter().find_map(|index| {
            let rule = &self.rules[index];
            Some((rule, rule.detail_of(text)?))
        })
    }
}

impl Rule {
    /// Where in a message that fits stands what it is about; `None` if it does not fit.
    fn detail_of(&self, text: &str) -> Option<Option<Range<usize>>> {
        let (regex, except) = self.regexes();
        let mut captures = regex.create_captures();
        regex.captures(text, &mut captures);
        if !captures.is_match() || except.iter().any(|except| except.is_match(text)) {
            return None;
        }
        let mut groups = captures.iter().skip(1).flatten();
        Some(groups.next().map(|group| group.range()))
    }

    fn regexes(&self) -> &(Regex, Vec<Regex>) {
        self.compiled.get_or_init(|| {
            let compile = |pattern: &String| {
                compiled(pattern).unwrap_or_else(|error| unreachable!("{}: {error}", self.id))
            };
            (
                compile(&self.pattern),
                self.except.iter().map(compile).collect(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_read_and_every_pattern_compiles() {
        let rules = Rules::read(&FILES).unwrap();
        let ids: BTreeSet<_> = rules.all().iter().map(|rule| &rule.id).collect();
        assert_eq!(ids.len(), rules.all().len(), "an ID is there twice");
        for rule in rules.all() {
            rule.regexes();
            assert!(
                !rule.words.is_empty() && !rule.advice.is_empty(),
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        let error = Rules::read(&[("kernel", "sources = ''\n[[rule]]\nid = 'x'\n")]).unwrap_err();
        assert!(error.to_string().contains("kernel"), "{error}");
    }
}
