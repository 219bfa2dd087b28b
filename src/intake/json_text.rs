//! Text from outside → JSON. Handles byte order marks, forms and Base64. Checks limits before it
//! builds any value.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::intake::error::EventError;

/// Most values in one JSON text. A full batch of SQS has some 200 000. But 8 MiB of `[[],[],…`
/// would be 2.8 million values, and use 30 times that memory.
const MAX_VALUES: usize = 400_000;
/// Deepest nesting that `serde_json` accepts.
const MAX_NESTING: usize = 128;
/// Most members of a form. CloudMonitor sends nine with a subscription, and a few dozen with an
/// alarm.
const MAX_FORM_MEMBERS: usize = 64;
/// Longest name of a form's member, in bytes.
const MAX_FORM_NAME_BYTES: usize = 64;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Decodes UTF-8, or UTF-16 with a byte order mark, which PowerShell writes.
///
/// # Errors
/// [`EventError::NotText`] for other bytes.
pub(crate) fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, EventError> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|bytes| unit(*bytes)).collect();
        let text = String::from_utf16(&units).ok();
        text.filter(|_| rest.is_empty()).map(Cow::Owned)
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        _ => str::from_utf8(bytes).ok().map(Cow::Borrowed),
    };
    text.ok_or(EventError::NotText)
}

/// Parses text. A form becomes an object. Base64 becomes the decoded text, which the caller parses
/// again.
///
/// # Errors
/// [`EventError::NotJson`] for other text. [`EventError::TooMany`] if an array has more than
/// `max_items`.
pub(crate) fn read(text: &str, max_items: usize) -> Result<Value, EventError> {
    let text = without_mark(text);
    if text.starts_with(['{', '[', '"']) {
        return json(text, max_items);
    }
    if let Some(form) = form(text, max_items)? {
        return Ok(form);
    }
    match base64_text(text) {
        Some(inner) => Ok(Value::String(inner)),
        None => json(text, max_items), // Its error says what is wrong.
    }
}

/// Strips a byte order mark and white space.
fn without_mark(text: &str) -> &str {
    let is_around = |c: char| c == BYTE_ORDER_MARK || c.is_ascii_whitespace();
    text.trim_matches(is_around)
}

fn json(text: &str, max_items: usize) -> Result<Value, EventError> {
    check_bounds(text.as_bytes(), max_items)?;
    serde_json::from_str(text).map_err(|error| EventError::NotJson(error.to_string()))
}

/// Counts array elements and values without building them.
fn check_bounds(json: &[u8], max_items: usize) -> Result<(), EventError> {
    let (mut values, mut in_string, mut is_escaped) = (0, false, false);
    // The number of elements of each open array. `None` for an open object.
    let mut open: Vec<Option<usize>> = Vec::new();
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' => {
                values += 1;
                open.push(Some(1));
            }
            b'{' => {
                values += 1;
                open.push(None);
            }
            b']' | b'}' => {
                open.pop();
            }
            b',' => {
                values += 1;
                // The outermost array has the events. An event may contain longer arrays.
                if let [Some(items)] = &mut open[..] {
                    *items += 1;
                    if *items > max_items {
                        return Err(EventError::TooMany(max_items));
                    }
                }
            }
            _ => {}
        }
        if values > MAX_VALUES {
            return Err(EventError::TooManyValues(MAX_VALUES));
        }
        if open.len() > MAX_NESTING {
            return Ok(()); // `serde_json` fails here with an error, too.
        }
    }
    Ok(())
}

/// Whether an object in the JSON has a member twice. Parsing keeps the last one.
pub(crate) fn has_duplicates(json: &str) -> bool {
    serde_json::from_str::<Duplicates>(without_mark(json)).is_ok_and(|Duplicates(found)| found)
}

struct Duplicates(bool);

impl<'de> Deserialize<'de> for Duplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Duplicates;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Duplicates, A::Error> {
                let (mut names, mut found) = (HashSet::new(), false);
                while let Some((name, Duplicates(inside))) =
                    map.next_entry::<String, Duplicates>()?
                {
                    found |= inside | !names.insert(name);
                }
                Ok(Duplicates(found))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Duplicates, A::Error> {
                let mut found = false;
                while let Some(Duplicates(inside)) = items.next_element()? {
                    found |= inside;
                }
                Ok(Duplicates(found))
            }

            fn visit_str<E>(self, _: &str) -> Result<Duplicates, E> {
                Ok(Duplicates(false))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Duplicates, E> {
                Ok(Duplicates(false))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Duplicates, E> {
                Ok(Duplicates(false))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Duplicates, E> {
                Ok(Duplicates(false))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Duplicates, E> {
                Ok(Duplicates(false))
            }

            fn visit_unit<E>(self) -> Result<Duplicates, E> {
                Ok(Duplicates(false))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Parses `application/x-www-form-urlencoded`, which CloudMonitor can send. Values that are JSON
/// objects or arrays are parsed, and others stay text. A form with one member that is an object,
/// such as `data={…}`, becomes that object.
fn form(text: &str, max_items: usize) -> Result<Option<Value>, EventError> {
    let Some((name, rest)) = text.split_once('=') else {
        return Ok(None);
    };
    let is_name = |name: &str| {
        name.len() <= MAX_FORM_NAME_BYTES
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    // A text that ends in `=` is Base64.
    if !is_name(name) || rest.bytes().all(|b| b == b'=') {
        return Ok(None);
    }
    let mut members = Map::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()).take(MAX_FORM_MEMBERS) {
        let inner = without_mark(&value);
        let value = match inner.starts_with(['{', '[']) {
            // Text that is not JSON stays text.
            true => match json(inner, max_items) {
                Err(EventError::NotJson(_)) => Value::String(value.into_owned()),
                other => other?,
            },
            false => Value::String(value.into_owned()),
        };
        members.insert(name.into_owned(), value);
    }
    let only = members.values().next().filter(|_| members.len() == 1);
    if let Some(only @ Value::Object(_)) = only
        && !members.contains_key("alert")
    {
        return Ok(Some(only.clone()));
    }
    Ok(Some(Value::Object(members)))
}

/// The JSON or text in Base64, in either alphabet, with or without padding and line ends. `None` if
/// it is not Base64.
pub(crate) fn base64_text(text: &str) -> Option<String> {
    let bytes = base64_bytes(text)?;
    let inner = text_of(&bytes).ok()?;
    without_mark(&inner)
        .starts_with(['{', '[', '"'])
        .then(|| inner.into_owned())
}

/// Decodes Base64 in either alphabet, with or without padding and line ends.
pub(crate) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let plain: Vec<u8> = text
        .trim_ascii_end()
        .trim_end_matches('=')
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    BASE64_STANDARD_NO_PAD.decode(plain).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, value: Value) {
        assert_eq!(read(text, 10).unwrap(), value, "{text}");
    }

    #[test]
    fn a_byte_order_mark_is_no_obstacle() {
        check("\u{feff}{\"a\": 1}", json!({"a": 1}));
        check("\u{feff} \r\n[1]\n", json!([1]));
        let mark_and = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}{\"ü\": 1}".encode_utf16().flat_map(unit).collect()
        };
        for bytes in [mark_and(u16::to_le_bytes), mark_and(u16::to_be_bytes)] {
            let text = text_of(&bytes).unwrap();
            assert_eq!(read(&text, 10).unwrap(), json!({"ü": 1}));
            assert!(text_of(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(text_of(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn a_member_that_comes_twice_is_found_wherever_it_stands() {
        for (json, is_found) in [
            (r#"{"a": 1, "b": [2, "a", {"a": null}, -1.5, true]}"#, false),
            (r#"[{"a": 1}, {"a": 1}]"#, false),
            (r#"{"a": 1, "a": 2, "b": 3}"#, true),
            (r#"[{"b": {"a": 1, "a": 1}}, {}]"#, true),
            (r#"{"a": 1, "a": {"b": 1, "b": 1}}"#, true),
            ("\u{feff}{\"a\": 1, \"\\u0061\": 1}", true),
            (r#"{"a": 1, "a": 2"#, false),
        ] {
            assert_eq!(has_duplicates(json), is_found, "{json}");
        }
    }

    #[test]
    fn a_form_is_read_as_the_object_it_stands_for() {
        check(
            "alert=%7B%22a%22%3A+1%7D&severity=INFO&time=1704780333000",
            json!({"alert": {"a": 1}, "severity": "INFO", "time": "1704780333000"}),
        );
        check("alert=%7B%22a%22%3A1%7D", json!({"alert": {"a": 1}}));
        check("data=%7B%22a%22%3A1%7D", json!({"a": 1}));
        check("a.b=%7Bnot+json&c=", json!({"a.b": "{not json", "c": ""}));
        let long = (0..1000).map(|n| format!("n{n}=")).collect::<Vec<_>>();
        let members = read(&long.join("&"), 10).unwrap();
        assert_eq!(members.as_object().unwrap().len(), MAX_FORM_MEMBERS);
        let items = format!("a=[{}0]&b=1", "0,".repeat(10));
        assert_eq!(read(&items, 10), Err(EventError::TooMany(10)));
    }

    #[test]
    fn base64_is_read_in_every_way_it_is_written() {
        let json = json!({"a": "<<???>>"}).to_string();
        let standard = BASE64_STANDARD_NO_PAD.encode(&json);
        let url_safe = standard.replace('+', "-").replace('/', "_");
        let (first, rest) = standard.split_at(8);
        for text in [
            standard.clone(),
            format!("{standard}=="),
            format!("{url_safe}="),
            format!("{first}\r\n{rest}=\n"),
        ] {
            assert_eq!(read(&text, 10).unwrap(), Value::String(json.clone()));
        }
        for text in ["hello", "TEST", "aGVsbG8=", "x", "=", "=="] {
            assert!(
                matches!(read(text, 10), Err(EventError::NotJson(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_built() {
        let many = |item: &str, times: usize| format!("[{}1]", item.repeat(times));
        assert!(read(&many("{},", 9), 10).is_ok());
        assert_eq!(read(&many("{},", 10), 10), Err(EventError::TooMany(10)));
        // The arrays inside an event may be longer.
        assert!(read(&format!("{{\"tags\": {}}}", many("1,", 99)), 10).is_ok());
        assert!(read(&format!("[{}]", many("1,", 99)), 10).is_ok());
        // Commas in a string do not separate elements.
        assert!(read(r#"["1,2,3,4,5,6,7,8,9,0,1,2\",3"]"#, 10).is_ok());
        let nested = many(&format!("{},", many("1,", 999)), 999);
        let error = Err(EventError::TooManyValues(MAX_VALUES));
        assert_eq!(read(&nested, 1000), error);
        let deep = "[".repeat(8 << 20);
        assert!(matches!(read(&deep, 10), Err(EventError::NotJson(_))));
    }
}
