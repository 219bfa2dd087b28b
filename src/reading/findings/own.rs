//! Rules of one's own, from a file: they are found as well, and findings are silenced. The file is JSON, because the
//! function reads it, and reads no TOML.
//!
//! ```json
//! {
//!   "silence": ["hung-task", "unit-failed:motd-news.service"],
//!   "rules": [{
//!     "id": "own-license-expired", "severity": "fatal",
//!     "title": "The license of the database has expired",
//!     "advice": "Ask the owners of the database for a new one.",
//!     "words": ["license expired"], "pattern": "dbd\\[\\d+\\]: license expired: (\\w+)",
//!     "yes": ["dbd[12]: license expired: gold"], "no": ["dbd[12]: license expires in 12 days"]
//!   }]
//! }
//! ```

use std::collections::HashSet;
use std::fmt;

use regex_lite::RegexBuilder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(feature = "cli")]
use super::rules::Note;
use super::rules::{Rule, RuleText, built_in};
use super::{Rules, is_quoted, messages, of_console, plain_line};
use crate::model::finding::Severity;

/// Most bytes of the file.
pub const MAX_BYTES: u64 = 256 * 1024;
/// The family of one's own rules.
const FAMILY: &str = "own";
/// Fewest letters of a word.
const SHORTEST_WORD: usize = 4;
/// Most bytes of a compiled pattern. Each takes memory in every process that finds its word.
const MAX_PATTERN: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    silence: Vec<String>,
    #[serde(default)]
    rules: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnRule {
    id: String,
    severity: Severity,
    title: String,
    advice: String,
    words: Vec<String>,
    pattern: String,
    #[serde(default)]
    except: Vec<String>,
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRules(String);

/// The rules of a file, and those of this program behind them. They are made once, and stay as long as the process.
#[derive(Clone, Copy)]
pub struct OwnRules(&'static Rules);

impl OwnRules {
    /// Uses them from now on. Only the first call in a process counts.
    pub fn make_current(self) {
        self.0.make_current();
    }
}

impl PartialEq for OwnRules {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for OwnRules {}

impl fmt::Debug for OwnRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules", self.0.all().len())
    }
}

/// The rules of this program, with those of a file before them.
///
/// # Errors
/// [`InvalidRules`] says which rule is wrong, and how. A rule must find its examples, and nothing that it says is none.
pub fn read(text: &str) -> Result<OwnRules, InvalidRules> {
    Ok(OwnRules(Box::leak(Box::new(parse(text)?))))
}

/// As [`read`], without the leak that gives the rules a life as long as the program's.
fn parse(text: &str) -> Result<Rules, InvalidRules> {
    let file: Value =
        serde_json::from_str(text).map_err(|error| InvalidRules(error.to_string()))?;
    let File { silence, rules } = object(file).map_err(InvalidRules)?;
    let rules: Vec<_> = (1..)
        .zip(rules)
        .map(|(number, rule)| own_rule(number, rule))
        .collect::<Result<_, _>>()?;
    let examples: Vec<_> = rules
        .iter()
        .map(|rule| (rule.id.clone(), rule.yes.clone(), rule.no.clone()))
        .collect();
    let mut own = Vec::new();
    for rule in rules {
        let id = rule.id.clone();
        let is_known = |known: &Rule| known.id == id;
        if own.iter().any(is_known) || built_in().any(|known| is_known(&known)) {
            return Err(InvalidRules(format!(
                "there are two rules with the ID {id:?}"
            )));
        }
        own.push(checked(rule).map_err(|why| InvalidRules(format!("rule {id:?}: {why}")))?);
    }
    let ids: HashSet<_> = own.iter().map(|rule| rule.id).collect();
    let is_id = |id: &str| ids.contains(id) || built_in().any(|rule| rule.id == id);
    for silenced in &silence {
        let id = silenced.split_once(':').map_or(&silenced[..], |(id, _)| id);
        if !is_id(id) {
            let why =
                format!("silence: {silenced:?} is neither the ID of a finding nor a signature");
            return Err(InvalidRules(why));
        }
    }
    own.extend(built_in());
    let rules = Rules::new(own);
    for (id, yes, no) in examples {
        // By their numbers: the text of an example may be a console's, with its secrets.
        for (number, line) in (1..).zip(&yes) {
            if let Some(why) = why_not_found(&rules, &id, line) {
                let what = format!("does not find example {number} of `yes`: {why}");
                return Err(InvalidRules(format!("rule {id:?} {what}")));
            }
        }
        for (number, line) in (1..).zip(&no) {
            if finds(&rules, &id, line) {
                let what = format!("finds example {number} of `no`, which it must not");
                return Err(InvalidRules(format!("rule {id:?} {what}")));
            }
        }
    }
    Ok(rules.without(silence.into_iter().collect()))
}

fn finds(rules: &Rules, id: &str, line: &str) -> bool {
    let found = of_console(line.as_bytes(), rules);
    found.iter().any(|finding| finding.rule.id == id)
}

/// Why a rule does not find a line; `None` if it does.
fn why_not_found(rules: &Rules, id: &str, line: &str) -> Option<String> {
    if finds(rules, id, line) {
        return None;
    }
    let rule = rules.get(id)?;
    let line = plain_line(line.as_bytes());
    let mut all = messages(&line);
    // The message that it comes nearest to.
    let reasons = all.by_ref().map(|message| match is_quoted(message.text) {
        true => Some("it quotes what others write, and is not looked at"),
        false => rule.why_not(&line, message.text),
    });
    let reasons: Vec<_> = reasons.collect();
    if let Some(Some(why)) = reasons.iter().find(|why| why.is_some())
        && !reasons.contains(&None)
    {
        return Some((*why).to_owned());
    }
    let found = of_console(line.as_bytes(), rules);
    let others: Vec<_> = (found.iter().map(|finding| finding.rule.id))
        .map(|other| format!("{other:?}"))
        .collect();
    Some(match others.is_empty() {
        true => "it is too long, or has no text".to_owned(),
        false => format!("the rule {} fits it before", others.join(", ")),
    })
}

/// The place of a fault in the text says little to a person, so the rule is named by its ID; without one, by its number
/// in the file.
fn own_rule(number: usize, rule: Value) -> Result<OwnRule, InvalidRules> {
    let name = match rule.get("id").and_then(Value::as_str) {
        Some(id) => format!("rule {id:?}"),
        None => format!("rule {number} of the file"),
    };
    object(rule).map_err(|why| InvalidRules(format!("{name}: {why}")))
}

/// What an object says. A list is none, although serde would read its items by their places. Values are not told: an
/// example may be a console's, with its secrets.
fn object<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    let Value::Object(members) = &value else {
        return Err("expected an object".to_owned());
    };
    for name in ["silence", "rules", "words", "except", "yes", "no"] {
        if members.get(name).is_some_and(|list| !list.is_array()) {
            return Err(format!("`{name}` is not a list"));
        }
    }
    serde_json::from_value(value).map_err(|error| without_value(&error.to_string()))
}

/// What serde says of a wrong value, without the value.
fn without_value(error: &str) -> String {
    for (begin, end) in [
        (" string \"", "\", expected"),
        (" variant `", "`, expected"),
    ] {
        if let (Some(from), Some(to)) = (error.find(begin), error.rfind(end)) {
            let kind = begin.trim_end_matches(['"', '`']).trim_end();
            return format!("{}{kind}{}", &error[..from], &error[to + 1..]);
        }
    }
    error.to_owned()
}

fn checked(rule: OwnRule) -> Result<Rule, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if rule.id.is_empty() || !rule.id.chars().all(is_name) {
        return Err("an ID has lower-case letters, digits and hyphens".into());
    }
    if rule.words.is_empty() || rule.yes.is_empty() {
        return Err(
            "it needs words, one of which is in each line that it finds, and an example in `yes`"
                .into(),
        );
    }
    if let Some(word) = rule.words.iter().find(|word| word.len() < SHORTEST_WORD) {
        return Err(format!(
            "the word {word:?} is too short: {SHORTEST_WORD} bytes or more"
        ));
    }
    for pattern in rule.except.iter().chain([&rule.pattern]) {
        let compiled = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
        compiled.map_err(|error| format!("the pattern {pattern:?} cannot be used: {error}"))?;
    }
    let text = RuleText {
        id: kept(rule.id),
        family: FAMILY,
        severity: rule.severity,
        title: kept(rule.title),
        advice: kept(rule.advice),
        words: all_kept(rule.words),
        pattern: kept(rule.pattern),
        except: all_kept(rule.except),
        general: false,
        function: false,
        trace: false,
        until: None,
        secret: None,
    };
    #[cfg(feature = "cli")]
    let note = Note {
        yes: all_kept(rule.yes),
        no: all_kept(rule.no),
        when: "",
        sources: "the file of FINDINGS_RULES",
    };
    Ok(Rule::new(
        Box::leak(Box::new(text)),
        #[cfg(feature = "cli")]
        Box::leak(Box::new(note)),
    ))
}

/// For as long as the process runs, as the program's own rules are.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn all_kept(texts: Vec<String>) -> &'static [&'static str] {
    Box::leak(texts.into_iter().map(kept).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule() -> Value {
        json!({
            "id": "own-license", "severity": "fatal", "title": "The license has expired", "advice": "Buy one.",
            "words": ["license expired"], "pattern": r"^dbd\[\d+\]: license expired: (\w+)",
            "yes": ["dbd[12]: license expired: gold"], "no": ["dbd[12]: license expires soon"],
        })
    }

    fn with(change: impl Fn(&mut Value)) -> Result<Rules, String> {
        let mut rule = rule();
        change(&mut rule);
        let file = json!({"rules": [rule]});
        parse(&file.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_of_ones_own_is_found_beside_the_others() {
        let rules = with(|_| {}).unwrap();
        let log = b"[    1.000000] dbd[7]: license expired: gold\n[    2.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0\n";
        let found = of_console(log, &rules);
        let signatures: Vec<_> = found.iter().map(|finding| finding.signature()).collect();
        assert_eq!(signatures.len(), 2, "{signatures:?}");
        assert_eq!(signatures[0], "own-license:gold");
        assert_eq!(rules.get("own-license").unwrap().family, "own");
    }

    /// At capture, in `show`, and where `prune` decides what stays.
    #[test]
    fn rules_of_ones_own_see_no_secret_wherever_they_are_applied() {
        use super::super::super::encoding::EncodingChoice;
        use super::super::super::stitch::Boot;
        use super::super::{Finding, of_boot, of_log, secrets};

        let rules = with(|rule| {
            rule["words"] = json!(["hunter22", "password="]);
            rule["pattern"] = json!(r"hunter22|password=\S*");
            rule["yes"] = json!(["password=hunter22"]);
        })
        .unwrap();
        let log = b"[    1.000000] Kernel command line: quiet\n[    2.000000] app: password=hunter22 is set\n";
        let masked = secrets::masked(log, &secrets::find(log));
        let told = |found: &[Finding<'_>]| {
            let told = found
                .iter()
                .map(|one| (one.signature(), one.line, one.bytes.clone()));
            told.collect::<Vec<_>>()
        };
        let at_capture = told(&of_console(log, &rules));
        assert_eq!(
            at_capture.len(),
            2,
            "the rule, and the secret: {at_capture:?}"
        );
        for log in [&log[..], &masked] {
            let boot = Boot::of_log(log.to_vec());
            let in_boot = of_boot(&boot, &[], EncodingChoice::Auto, &rules);
            assert_eq!(told(&in_boot), at_capture);
            assert_eq!(
                told(&of_log(&boot, EncodingChoice::Auto, &rules)),
                at_capture
            );
            // What is shown of the line is what the log has.
            let shown = in_boot.iter().all(|one| one.evidence.contains("hunter22"));
            assert_eq!(shown, log != masked, "{in_boot:?}");
        }
        let rules = with(|rule| {
            rule["words"] = json!(["hunter22"]);
            rule["pattern"] = json!("hunter22");
            rule["yes"] = json!(["it is hunter22"]);
        })
        .unwrap();
        let found = of_log(&Boot::of_log(log.to_vec()), EncodingChoice::Auto, &rules);
        assert!(found.iter().all(|one| one.rule.is_secret()), "{found:?}");
    }

    #[test]
    fn what_is_silenced_is_not_told_by_its_id_or_by_its_signature() {
        let log =
            b"[FAILED] Failed to start motd-news.service.\n[FAILED] Failed to start db.service.\n";
        let told = |silence: Value| {
            let rules = parse(&json!({"silence": silence}).to_string()).unwrap();
            let found = of_console(log, &rules);
            found.iter().map(|one| one.signature()).collect::<Vec<_>>()
        };
        let all = told(json!([]));
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(told(json!([&all[0]])), all[1..]);
        assert!(told(json!([all[1].split(':').next(), all[0].split(':').next()])).is_empty());
    }

    #[test]
    fn what_is_silenced_takes_no_place_of_what_is_told() {
        let mut log: String = ('a'..='z')
            .flat_map(|one| {
                ('a'..='z').map(move |other| format!("[FAILED] Failed to start {one}{other}.\n"))
            })
            .collect();
        log += "RTNETLINK answers: File exists\n[FAILED] Failed to start a1.\n";
        let told = |silence: Value| {
            let rules = parse(&json!({"silence": silence}).to_string()).unwrap();
            let found = of_console(log.as_bytes(), &rules);
            found.iter().map(|one| one.signature()).collect::<Vec<_>>()
        };
        let command = "network-command-failed:File exists";
        assert_eq!(told(json!(["unit-failed"])), [command]);
        let signatures: Vec<_> = ('a'..='z')
            .flat_map(|one| ('a'..='z').map(move |other| format!("unit-failed:{one}{other}")))
            .collect();
        assert_eq!(told(json!(signatures)), [command, "unit-failed:a1"]);
        let crash = "BUG: kernel NULL pointer dereference, address: 0\nRIP: 0010:load_it+0x1/0x2\n";
        let rules = parse(r#"{"silence": ["kernel-null-dereference:load_it"]}"#).unwrap();
        assert_eq!(of_console(crash.as_bytes(), &rules), []);
    }

    #[test]
    fn rules_that_share_a_word_starve_no_rule() {
        let rules: Vec<_> = (0..20)
            .map(|number| {
                let mut rule = rule();
                rule["id"] = json!(format!("own-{number}"));
                rule["words"] = json!(["postgres["]);
                rule["pattern"] = json!(format!(r"postgres\[\d+\]: fault {number}\b"));
                rule["yes"] = json!([format!("postgres[12]: fault {number}")]);
                rule
            })
            .collect();
        let rules = parse(&json!({"rules": rules}).to_string()).unwrap();
        let mut log =
            "postgres[12]: checkpoint complete: wrote 12 buffers, and all is well\n".repeat(3000);
        log += "[FAILED] Failed to mount /data.\npostgres[12]: fault 19\n";
        let found = of_console(log.as_bytes(), &rules);
        let signatures: Vec<_> = found.iter().map(|finding| finding.signature()).collect();
        assert_eq!(signatures, ["mount-failed:/data", "own-19"]);
    }

    #[test]
    fn what_is_no_object_is_no_file_of_rules() {
        let refused = |text: &str| parse(text).map(drop).unwrap_err().to_string();
        for text in ["[]", "[[\"hung-task\"]]", "null", "\"a\"", "1"] {
            let error = refused(text);
            assert!(error.contains("expected an object"), "{text}: {error}");
        }
        let rule = r#"["own-a", "error", "a", "b", ["word"], "word", [], ["word"], []]"#;
        let error = refused(&format!(r#"{{"rules": [{rule}]}}"#));
        assert!(
            error.contains("rule 1 of the file: expected an object"),
            "{error}"
        );
    }

    #[test]
    fn why_an_example_is_not_found_is_told() {
        for (line, why) in [
            ("dbd[12]: all is well", "none of its `words` is in it"),
            (
                "[    1.000000] app: dbd[12]: license expired: gold",
                "its `pattern` does not fit",
            ),
            ("dbd[12]: license expired: test", "`except`"),
            ("dbd[12]: license expired: both", "\"own-first\" fits it"),
            ("audit: dbd[12]: license expired: gold", "quotes"),
        ] {
            let mut second = rule();
            second["except"] = json!(["test$"]);
            second["yes"] = json!(["dbd[12]: license expired: gold", line]);
            let mut first = rule();
            first["id"] = json!("own-first");
            first["pattern"] = json!("license expired: both");
            first["yes"] = json!(["dbd[12]: license expired: both"]);
            let file = json!({"rules": [first, second]}).to_string();
            let error = parse(&file).map(drop).unwrap_err().to_string();
            let begin = "rule \"own-license\" does not find example 2 of `yes`: ";
            assert!(
                error.starts_with(begin) && error.contains(why),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn no_refusal_tells_a_secret() {
        let secret = "hush-hush-value";
        let changes: [fn(&mut Value); 5] = [
            |rule| rule["yes"] = json!(["dbd[12]: the token is hush-hush-value"]),
            |rule| rule["no"] = json!(["dbd[1]: license expired: hush-hush-value"]),
            |rule| rule["yes"] = json!("dbd password=hush-hush-value"),
            |rule| rule["severity"] = json!("password=hush-hush-value"),
            |rule| rule["except"] = json!("dbd hush-hush-value"),
        ];
        for change in changes {
            let error = with(change).map(drop).unwrap_err();
            assert!(
                error.contains("own-license") && !error.contains(secret),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_says_something_wrong_is_refused_with_what_it_is() {
        type Change = fn(&mut Value);
        let wrong: [(Change, &str); 9] = [
            (|rule| rule["id"] = json!("Own"), "lower-case"),
            (|rule| rule["id"] = json!("init-died"), "two rules"),
            (|rule| rule["words"] = json!(["bad"]), "too short"),
            (|rule| rule["words"] = json!([]), "needs words"),
            (|rule| rule["pattern"] = json!("(a"), "cannot be used"),
            (
                |rule| rule["yes"] = json!(["nothing"]),
                "does not find example 1 of `yes`",
            ),
            (
                |rule| rule["no"] = json!(["dbd[1]: license expired: x"]),
                "which it must not",
            ),
            (|rule| rule["severity"] = json!("bad"), "severity"),
            (|rule| rule["colour"] = json!("red"), "colour"),
        ];
        for (change, told) in wrong {
            let Err(error) = with(change) else {
                panic!("{told}")
            };
            let is_told = error.contains(told) || error.contains("unknown variant");
            assert!(is_told, "{told}: {error}");
        }
        let without = |member: &str| {
            let told = with(|rule| drop(rule.as_object_mut().unwrap().remove(member)));
            told.map(drop).unwrap_err()
        };
        assert_eq!(
            without("title"),
            r#"rule "own-license": missing field `title`"#
        );
        assert_eq!(without("id"), "rule 1 of the file: missing field `id`");
        let unknown = parse(r#"{"silence": ["no-such-finding"]}"#).unwrap_err();
        assert!(unknown.to_string().contains("no-such-finding"));
    }
}
