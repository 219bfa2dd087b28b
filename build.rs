//! Reads the files of the rules while the program is built, so that no program reads them when it starts.
//!
//! The result is Rust: a table of what is recognized and what a person is told, which every program has, and a table of
//! the examples, which only the command line has.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde::Deserialize;

/// The families, in the order in which their rules count.
const FAMILIES: [&str; 13] = [
    "loader",
    "root",
    "filesystem",
    "block",
    "memory",
    "hardware",
    "network",
    "kdump",
    "cloud-init",
    "kernel",
    "init",
    ENDINGS,
    SECRETS,
];

/// The family whose findings no line says: they come from how boots ended, and have no pattern.
const ENDINGS: &str = "ending";

/// The family whose rules say where a secret stands, so that it can be masked.
const SECRETS: &str = "secret";
/// Stands for the secret in a rule's expressions. Each group of them is a secret.
const PLACE: &str = "{secret}";
/// Stands for what a masked secret looks like, in groups that are written out.
const SHOWN: &str = "{masked}";
/// What a masked secret looks like (`findings/secrets.rs`). It is found again, so that a masked console has the
/// findings that it had.
const MASKED: &str = r"<\*+>";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sources: String,
    /// What `until` is where a rule does not say it.
    until: Option<String>,
    /// What expressions have in common, by its name: `{NAME}` stands for it. A part may have those before it.
    #[serde(default)]
    parts: Vec<(String, String)>,
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    severity: String,
    title: String,
    advice: String,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    pattern: String,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    general: bool,
    #[serde(default)]
    function: bool,
    /// With `function`: the call trace names it, since the kernel prints no registers of such a fault.
    #[serde(default)]
    trace: bool,
    /// Of what no line says: how it is judged.
    #[serde(default)]
    when: String,
    /// How far a boot comes that did without: `loader`, `kernel`, `root`, `activated`, `system`, `unlocked`, `address`, `data-source`,
    /// `job` or `login`. What the rule finds
    /// is less bad then, and a warning is left out. So is all behind `killed` and `shell`, because what follows tells more. `never`
    /// stands for none.
    until: Option<String>,
    /// Of a secret: what stands at `{secret}` in `pattern`, and in `next`.
    #[serde(default)]
    value: String,
    /// Of a secret: one of them stands behind the word.
    #[serde(default)]
    needs: Vec<String>,
    /// Looked for in what stands before the secret: then it is none.
    #[serde(default)]
    unless: String,
    /// Looked for in what stands before the name that has the word: then it is none.
    #[serde(default)]
    not_behind: String,
    /// Where a secret ends that is not within quotation marks.
    #[serde(default)]
    cut: String,
    /// Of a secret that goes on: what stands on each line behind.
    #[serde(default)]
    next: String,
    /// And what ends it. Without it, the first line that is not like `next`.
    #[serde(default)]
    end: String,
    /// The line before or the line behind has the secret, and no other.
    #[serde(default)]
    around: bool,
    #[serde(default)]
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
}

fn main() {
    let folder = Path::new("src/reading/findings/rules");
    println!("cargo:rerun-if-changed={}", folder.display());
    println!("cargo:rerun-if-changed=build.rs");
    let (mut rules, mut notes) = (String::new(), String::new());
    for name in FAMILIES {
        let path = folder.join(name).with_extension("toml");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: File =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let sources = file.sources.replace('\n', " ");
        for mut rule in file.rule {
            let is_secret = name == SECRETS;
            let is_of_line = !rule.words.is_empty() && !rule.pattern.is_empty();
            assert!(
                (name == ENDINGS) != is_of_line && is_of_line == rule.when.is_empty(),
                "{}: {}: a rule has words and a pattern, or says how it is judged",
                path.display(),
                rule.id
            );
            if is_secret {
                // A mask is tried first, because the secret ends where the mask does.
                let value = format!("({MASKED}|{})", rule.value);
                let whole = |pattern: &str| {
                    let with_parts = file.parts.iter().rev();
                    let pattern = with_parts.fold(pattern.to_owned(), |pattern, (name, part)| {
                        pattern.replace(&format!("{{{name}}}"), part)
                    });
                    pattern.replace(PLACE, &value).replace(SHOWN, MASKED)
                };
                // It is looked for where the word begins in which a word of the rule stands.
                rule.pattern = format!("^(?:{})", whole(&rule.pattern));
                rule.next = whole(&rule.next);
                let has_group =
                    [&rule.pattern, &rule.next].map(|one| one.contains(&format!("({MASKED}")));
                let has_place = has_group.contains(&true);
                assert!(
                    has_place,
                    "{}: {}: a secret has a place",
                    path.display(),
                    rule.id
                );
            }
            let severity = match rule.severity.as_str() {
                "info" => "Info",
                "warning" => "Warning",
                "error" => "Error",
                "fatal" => "Fatal",
                other => panic!("{}: {other} is no severity", path.display()),
            };
            let until = rule.until.as_ref().or(file.until.as_ref());
            let until = match until.map(String::as_str) {
                None | Some("never") => "None",
                Some("loader") => "Some(Progress::Loader)",
                Some("kernel") => "Some(Progress::Kernel)",
                Some("system") => "Some(Progress::System)",
                Some("root") => "Some(Progress::Root)",
                Some("activated") => "Some(Progress::Activated)",
                Some("unlocked") => "Some(Progress::Unlocked)",
                Some("data-source") => "Some(Progress::DataSource)",
                Some("job") => "Some(Progress::Job)",
                Some("address") => "Some(Progress::Address)",
                Some("login") => "Some(Progress::Login)",
                Some("shell") => "Some(Progress::Shell)",
                Some("killed") => "Some(Progress::Killed)",
                Some(other) => panic!("{}: a boot does not come to {other}", path.display()),
            };
            let Rule {
                id,
                title,
                advice,
                words,
                pattern,
                except,
                general,
                function,
                trace,
                needs,
                unless,
                not_behind,
                cut,
                next,
                end,
                around,
                ..
            } = &rule;
            let secret = match is_secret {
                true => format!(
                    "Some(&SecretText {{ needs: &{needs:?}, unless: {unless:?}, not_behind: {not_behind:?}, cut: {cut:?}, next: {next:?}, end: {end:?}, around: {around} }})"
                ),
                false => "None".to_owned(),
            };
            let _ = writeln!(
                rules,
                "    RuleText {{ id: {id:?}, family: {name:?}, severity: Severity::{severity}, title: {title:?}, \
                 advice: {advice:?}, words: &{words:?}, pattern: {pattern:?}, except: &{except:?}, general: {general}, function: {function}, trace: {trace}, until: {until}, \
                 secret: {secret} }},",
            );
            let Rule { yes, no, when, .. } = &rule;
            let _ = writeln!(
                notes,
                "    Note {{ yes: &{yes:?}, no: &{no:?}, when: {when:?}, sources: {sources:?} }},"
            );
        }
    }
    let code = format!(
        "const RULES: &[RuleText] = &[\n{rules}];\n\
         #[cfg(feature = \"cli\")]\nconst NOTES: &[Note] = &[\n{notes}];\n"
    );
    let folder = env::var("OUT_DIR").unwrap_or_else(|error| panic!("OUT_DIR: {error}"));
    let path = Path::new(&folder).join("rules.rs");
    fs::write(&path, code).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
