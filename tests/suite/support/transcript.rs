//! What the programs stored and answered, as text that is compared with a recorded one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use regex_lite::{Captures, Regex};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::printed::checked;
use super::{files_in, root};

/// Where the recorded transcripts are, in the repository.
const RECORDED: &str = "tests/fixtures/unchanged";

/// One text under `tests/fixtures/unchanged`.
pub struct Transcript {
    name: &'static str,
    text: String,
    /// What `errorMessage` said, and after which heading. It is compared apart, because words may
    /// change where types may not.
    words: String,
    has_words: bool,
    heading: String,
    started: Timestamp,
    /// Paths that differ from run to run, and what stands for each.
    paths: Vec<(String, &'static str)>,
}

impl Transcript {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            text: String::new(),
            words: String::new(),
            has_words: true,
            heading: String::new(),
            started: Timestamp::now(),
            paths: Vec::new(),
        }
    }

    /// Writes `placeholder` wherever this path is named.
    pub fn hide_path(&mut self, path: &Path, placeholder: &'static str) {
        self.paths
            .push((path.to_str().unwrap().to_owned(), placeholder));
    }

    /// Leaves the words of errors out, where another transcript has the same.
    pub fn omit_words(&mut self) {
        self.has_words = false;
    }

    pub fn heading(&mut self, heading: &str) {
        writeln!(self.text, "\n== {heading}").unwrap();
        self.heading = heading.to_owned();
    }

    /// A line of what was answered.
    pub fn line(&mut self, line: &str) {
        let line = self.without_words(line);
        let line = self.without_chance(&line);
        writeln!(self.text, "{}", line.trim_end()).unwrap();
    }

    /// What a program printed, each line after `mark`.
    pub fn printed(&mut self, mark: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if text.len() > 4000 {
            return self.line(&format!("{mark} {}", digest(bytes)));
        }
        for line in text.lines() {
            self.line(&format!("{mark} {line}"));
        }
    }

    /// How an invocation failed.
    pub fn failure(&mut self, error_type: &str, message: &str) {
        self.say(message);
        self.line(&format!("error {error_type}"));
    }

    /// Every file below a folder, by its name: small JSON as it is, everything else by its digest.
    pub fn objects(&mut self, folder: &Path) {
        // The rows of the catalog are named by the time of their capture; tests of their own hold them.
        let all = files_in(folder).into_iter();
        for (name, bytes) in all.filter(|(name, _)| !name.contains("catalog/rows/")) {
            let shown = match in_one_line(&bytes) {
                Some((json, spaces)) => format!("{json}{spaces}"),
                None => digest(&bytes),
            };
            self.line(&format!("{name}: {shown}"));
        }
    }

    /// The same, where another transcript has them whole.
    pub fn object_digests(&mut self, folder: &Path) {
        let mut whole = Self::new(self.name);
        whole.started = self.started;
        whole.paths = self.paths.clone();
        whole.objects(folder);
        for line in whole.text.lines() {
            let (name, shown) = line.split_once(": ").unwrap();
            let sha256 = hex_sha256(shown.as_bytes());
            writeln!(self.text, "{name}: {}", &sha256[..12]).unwrap();
        }
    }

    /// JSON that a program printed. Its spaces are told in a word, and long texts by their digests.
    pub fn json(&mut self, bytes: &[u8]) {
        match in_one_line(bytes) {
            Some((mut json, spaces)) => {
                shorten(&mut json);
                self.line(&format!("> {json}{spaces}"));
            }
            None => self.printed(">", bytes),
        }
    }

    fn say(&mut self, message: &str) {
        if !self.has_words {
            return;
        }
        let message = self.without_chance(message);
        writeln!(self.words, "{}: {}", self.heading, message.trim_end()).unwrap();
    }

    /// Takes the messages of errors out of JSON, also of JSON in its texts.
    fn without_words(&mut self, line: &str) -> String {
        let mut said = Vec::new();
        let json = line.trim_start_matches(|c| c != '{' && c != '[');
        if let Some(Ok(json)) = serde_json::Deserializer::from_str(json).into_iter().next() {
            messages(&json, &mut said);
        }
        let mut line = line.to_owned();
        for message in said {
            let once = Value::from(message.as_str()).to_string();
            let twice = Value::from(once.as_str()).to_string();
            let twice = &twice[1..twice.len() - 1];
            line = line.replace(&once, r#""{words}""#);
            line = line.replace(twice, r#"\"{words}\""#);
            self.say(&message);
        }
        line
    }

    /// The one place where what is of the clock or of chance gives way to a placeholder. Times that
    /// are not of this run stay, and so a time that is taken from the wrong place is found.
    fn without_chance(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (path, placeholder) in &self.paths {
            text = text.replace(path, placeholder);
        }
        let replace = |text: &str, pattern: &str, by: &str| {
            let pattern = Regex::new(pattern).unwrap();
            pattern.replace_all(text, by).into_owned()
        };
        let text = replace(&text, r"127\.0\.0\.1:\d+", "127.0.0.1:{port}");
        let text = replace(&text, r"\b[0-9A-F]{32}\b", "{request-id}");
        let text = replace(
            &text,
            r#""follow_in_seconds":\d+"#,
            r#""follow_in_seconds":{chance}"#,
        );
        let text = replace(&text, r#""due_at":"[^"]+""#, r#""due_at":"{chance}""#);
        let time = r"\b(\d{4})-?(\d\d)-?(\d\d)([T ])(\d\d):?(\d\d):?(\d\d)(\.\d+)?Z?";
        let time = Regex::new(time).unwrap();
        let text = time.replace_all(&text, |found: &Captures<'_>| self.time(found));
        // The digest of a marker that has such a time is one of that time.
        let marker = r"(########T(?:######|000000)Z-[a-z_]+-)[0-9a-f]{12}\b";
        let text = replace(&text, marker, "${1}{digest}");
        let date = Regex::new(r"(?i)\b[a-z]{3}, \d\d [a-z]{3} \d{4} \d\d:\d\d:\d\d gmt").unwrap();
        date.replace_all(&text, "{date}").into_owned()
    }

    /// A time with `#` for the digits that differ from run to run: all of them, or the date of one
    /// that is the beginning of the day, as a sweep's markers have it.
    fn time(&self, found: &Captures<'_>) -> String {
        let whole = &found[0];
        let [year, month, day, separator, hour, minute, second] =
            [1, 2, 3, 4, 5, 6, 7].map(|i| &found[i]);
        let time = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
        let Ok(time) = time.parse::<Timestamp>() else {
            return whole.to_owned();
        };
        // Times are rounded down, also by file systems.
        let a_second = SignedDuration::from_secs(1);
        let [from, until] = [self.started - a_second * 2, Timestamp::now() + a_second];
        let midnight = time.as_second() % 86_400 == 0;
        let hidden = if (from..until).contains(&time) {
            whole.len()
        } else if midnight && (from - SignedDuration::from_hours(24)..until).contains(&time) {
            whole.find(separator).unwrap()
        } else {
            0
        };
        let (hidden, shown) = whole.split_at(hidden);
        let hidden = match found.get(8) {
            Some(fraction) => hidden.replace(fraction.as_str(), ".#"),
            None => hidden.to_owned(),
        };
        hidden.replace(|c: char| c.is_ascii_digit(), "#") + shown
    }

    /// Fails where it differs from what is recorded, and says how.
    #[track_caller]
    pub fn check(self) {
        let words = format!("{}-words", self.name);
        let mut differs = BTreeSet::new();
        for (name, text) in [(self.name, &self.text), (&words, &self.words)] {
            if !is_recorded(name, text.trim_start()) {
                differs.insert(name);
            }
        }
        assert!(
            differs.is_empty(),
            "{differs:?} differ from {RECORDED}. If the change is meant, `make accept-unchanged` \
             takes them; look at `git diff` then"
        );
    }
}

/// Compares with the recorded text, prints the difference, and leaves the new text for
/// `make accept-unchanged`.
fn is_recorded(name: &str, text: &str) -> bool {
    let recorded = root().join(RECORDED).join(format!("{name}.txt"));
    let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unchanged");
    std::fs::create_dir_all(&found).unwrap();
    let found = found.join(format!("{name}.txt"));
    if std::fs::read_to_string(&recorded).unwrap_or_default() == text {
        let _ = std::fs::remove_file(found);
        return true;
    }
    std::fs::write(&found, text).unwrap();
    let mut diff = Command::new("diff");
    diff.args(["-u", "-N"]).args([&recorded, &found]);
    let diff = checked(diff.output().unwrap());
    println!("{}", String::from_utf8_lossy(&diff.stdout));
    false
}

/// JSON, and which spaces its text has. `None` where they are not the usual ones.
fn in_one_line(bytes: &[u8]) -> Option<(Value, &'static str)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let json: Value = serde_json::from_str(text).ok()?;
    let (pretty, plain) = (format!("{json:#}"), json.to_string());
    let spaces = match text.strip_suffix('\n').unwrap_or(text) {
        short if short == plain => "",
        long if long == pretty => " (pretty)",
        _ => return None,
    };
    let end = match (text.ends_with('\n'), spaces) {
        (true, _) => spaces,
        (false, "") => " (no newline)",
        (false, _) => " (pretty, no newline)",
    };
    Some((json, end))
}

fn shorten(json: &mut Value) {
    match json {
        Value::Array(all) => all.iter_mut().for_each(shorten),
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::String(text) if text.len() > 1000 => *text = digest(text.as_bytes()),
        _ => {}
    }
}

fn messages(json: &Value, said: &mut Vec<String>) {
    match json {
        Value::Array(all) => all.iter().for_each(|one| messages(one, said)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(message) if name == "errorMessage" => said.push(message.clone()),
                    Value::Array(failures) if name == "failures" => {
                        said.extend(failures.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => messages(value, said),
                }
            }
        }
        Value::String(text) => {
            if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                messages(&json, said);
            }
        }
        _ => {}
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{} bytes, SHA-256 {}", bytes.len(), hex_sha256(bytes))
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
