//! The members of JSON that `docs/json.md` promises, held against what the real program prints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::root;

/// Members by their paths, such as `captures[].name`, with what the page says of their types.
type Members = BTreeMap<String, String>;

/// By commands.
static PAGE: LazyLock<BTreeMap<String, Members>> = LazyLock::new(read_page);

fn read_page() -> BTreeMap<String, Members> {
    let page = std::fs::read_to_string(root().join("docs/json.md")).unwrap();
    let mut commands = BTreeMap::<String, Members>::new();
    for section in page.split("\n## ").skip(1) {
        let (heading, body) = section.split_once('\n').unwrap();
        for command in in_backticks(heading) {
            let command = command.split(' ').next().unwrap_or_default();
            let members = commands.entry(command.to_owned()).or_default();
            for (path, kind) in rows(body) {
                // A record and a marker may have the same member.
                let kinds = members.entry(path).or_default();
                kinds.push_str(&kind);
                kinds.push(' ');
            }
        }
    }
    commands
}

/// The members in the tables of a section, with their types.
fn rows(section: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut is_of_members = false;
    for line in section.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        match cells.get(1) {
            None => is_of_members = false,
            Some(&"Member") => is_of_members = true,
            Some(names) if is_of_members => {
                rows.extend(in_backticks(names).map(|name| (name.to_owned(), cells[2].to_owned())));
            }
            Some(_) => {}
        }
    }
    rows
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether the page has a command.
pub fn has(command: &str) -> bool {
    PAGE.contains_key(command)
}

/// Its members.
pub fn members(command: &str) -> BTreeSet<String> {
    PAGE[command].keys().cloned().collect()
}

/// Fails where a command printed a member that the page does not have, or with another type.
pub fn check(arguments: &[&str], stdout: &[u8]) {
    let is_json = arguments.windows(2).any(|two| two == ["--output", "json"]);
    let command = arguments.iter().find(|argument| has(argument));
    if let Some(command) = command.filter(|_| is_json) {
        printed(command, stdout);
    }
}

/// The members in what a command printed.
pub fn printed(command: &str, stdout: &[u8]) -> BTreeSet<String> {
    let values = serde_json::Deserializer::from_slice(stdout).into_iter::<Value>();
    // A program that is stopped prints a part of its last value.
    let values = values.map_while(Result::ok);
    values.fold(BTreeSet::new(), |mut seen, value| {
        seen.extend(members_of(command, &value));
        seen
    })
}

/// The members of a value that a command prints.
pub fn members_of(command: &str, value: &Value) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    collect(command, value, "", &mut seen);
    seen
}

fn collect(command: &str, value: &Value, before: &str, seen: &mut BTreeSet<String>) {
    let page = &PAGE[command];
    match value {
        Value::Array(values) => {
            for value in values {
                collect(command, value, before, seen);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let path = format!("{before}{name}");
                if let Some(kinds) = page.get(&path) {
                    let is_said = is_said(kinds, value);
                    assert!(
                        is_said,
                        "{command}: {path} is {kinds:?} on the page, not {value}"
                    );
                    seen.insert(path);
                    continue;
                }
                let inside = match value {
                    Value::Array(_) => format!("{path}[]."),
                    _ => format!("{path}."),
                };
                let is_inside = page.keys().any(|member| member.starts_with(&inside));
                assert!(
                    is_inside,
                    "{command}: docs/json.md does not have {path}: {value}"
                );
                collect(command, value, &inside, seen);
            }
        }
        _ => {}
    }
}

/// Whether a value has one of these types. Empty where another row says it.
fn is_said(kinds: &str, value: &Value) -> bool {
    let says = |kind: &str| kinds.contains(kind);
    kinds.trim().is_empty()
        || match value {
            Value::Null => says("null"),
            Value::Bool(_) => says("true or false"),
            Value::Number(_) => says("number"),
            Value::String(_) => says("text") || says("time"),
            Value::Array(_) => says("array"),
            Value::Object(_) => says("object"),
        }
}
