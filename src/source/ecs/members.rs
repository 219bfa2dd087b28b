//! Body of an ECS answer → the members of its outermost object, by name. Pure.
//!
//! One value that does not match the documents must not hide the others. So each value is kept as
//! it came, and read by itself. Names are compared without regard to case. If two members have the
//! same name, the last one counts, as in the official SDKs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::Event;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Root elements of the XML answers that are read here. Any other page is not from ECS.
const ROOTS: [&str; 4] = [
    "GetInstanceConsoleOutputResponse",
    "GetInstanceScreenshotResponse",
    "Error",
    "ErrorResponse",
];

/// How deep the members of an error may be nested: gateways wrap `Code` into `Error`, or into a
/// list of them.
const MAX_DEPTH: usize = 4;

/// The members of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Members<'a>(BTreeMap<String, Member<'a>>);

/// The value of a member. A null counts as missing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Member<'a> {
    /// A string. One without escapes, as a console is, is not copied: it may have megabytes.
    Text(Cow<'a, str>),
    /// The bytes of any other value: a number, an object, a string that is not Unicode.
    Other(Vec<u8>),
}

/// A JSON string.
#[derive(Deserialize)]
struct JsonText<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Member<'a> {
    fn from_json(raw: &'a [u8]) -> Option<Self> {
        if raw == b"null" {
            return None;
        }
        if let Ok(JsonText(text)) = serde_json::from_slice(raw) {
            return Some(Self::Text(text));
        }
        let text = raw
            .strip_prefix(b"\"")
            .and_then(|raw| raw.strip_suffix(b"\""));
        Some(Self::Other(text.unwrap_or(raw).to_vec()))
    }
}

impl<'a> Members<'a> {
    /// Reads a body. `None` if it is neither a JSON object nor an XML answer of ECS.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let body = without_mark(body);
        match body.first()? {
            b'{' => Self::from_json(body),
            b'<' => Self::from_xml(&String::from_utf8_lossy(body)),
            _ => None,
        }
    }

    /// Removes a member, and returns it.
    pub(super) fn take(&mut self, name: &str) -> Option<Member<'a>> {
        self.0.remove(&name.to_ascii_lowercase())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(&name.to_ascii_lowercase())
    }

    /// Returns a member as text: a string, the digits of a number, or `true` and `false`.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.0.get(&name.to_ascii_lowercase())? {
            Member::Text(text) => Some(text.clone().into_owned()),
            Member::Other(raw) if raw.starts_with(b"{") || raw.starts_with(b"[") => None,
            Member::Other(raw) => Some(String::from_utf8_lossy(raw).into_owned()),
        }
    }

    /// Like [`text`](Self::text), but also searches nested objects.
    pub(super) fn text_at_any_depth(&self, name: &str) -> Option<String> {
        self.text_within(name, MAX_DEPTH)
    }

    fn text_within(&self, name: &str, depth: usize) -> Option<String> {
        let here = self.text(name).filter(|text| !text.is_empty());
        if here.is_some() || depth == 0 {
            return here;
        }
        self.0.values().find_map(|member| match member {
            Member::Other(raw) => Members::from_json(raw)?.text_within(name, depth - 1),
            Member::Text(_) => None,
        })
    }

    fn from_json(body: &'a [u8]) -> Option<Self> {
        let body = match body.first()? {
            // A list of one error.
            b'[' => body.strip_prefix(b"[")?.strip_suffix(b"]")?.trim_ascii(),
            _ => body,
        };
        let shadow = shadow(body);
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(&shadow).ok()?;
        let read = |(name, raw): (String, &RawValue)| {
            let start = raw.get().as_ptr().addr() - shadow.as_ptr().addr();
            let raw = body.get(start..start + raw.get().len())?;
            Some((name.to_ascii_lowercase(), Member::from_json(raw)?))
        };
        Some(Self(members.into_iter().filter_map(read).collect()))
    }

    /// Collects the text of each element. For a child of the root with elements inside, keeps the
    /// markup.
    fn from_xml(text: &str) -> Option<Self> {
        let mut reader = Reader::from_str(text);
        let (mut members, mut open) = (Self::default(), Vec::<Element>::new());
        loop {
            let end_of_before = reader.buffer_position();
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    match open.last_mut() {
                        None if !ROOTS.contains(&name.as_str()) => return None,
                        None => {}
                        Some(parent) => parent.has_elements = true,
                    }
                    open.push(Element::opened(name, reader.buffer_position()));
                }
                Event::Empty(element) if !open.is_empty() => {
                    let name = element.local_name().as_ref().to_owned();
                    let empty = Element::opened(name, end_of_before);
                    members.add(empty, "", open.len());
                }
                Event::End(_) => {
                    let element = open.pop()?;
                    let (start, end) = (element.start as usize, end_of_before as usize);
                    members.add(element, text.get(start..end)?, open.len());
                    if open.is_empty() {
                        let rest = text.get(reader.buffer_position() as usize..)?;
                        return rest.trim().is_empty().then_some(members);
                    }
                }
                Event::Text(text) => append(&mut open, &text.into_inner()),
                Event::CData(text) => append(&mut open, &escape(text.into_inner())),
                Event::GeneralRef(entity) => append(&mut open, &format!("&{};", &*entity)),
                Event::Eof => return None, // The text is truncated.
                _ => {}
            }
        }
    }

    /// Adds a complete element. `depth` is 0 for the root.
    fn add(&mut self, element: Element, markup: &str, depth: usize) {
        let name = element.name.to_ascii_lowercase();
        let member = if element.has_elements {
            Member::Other(markup.as_bytes().to_vec())
        } else {
            let text = unescape(&element.text).map(Cow::into_owned);
            Member::Text(Cow::Owned(text.unwrap_or(element.text)))
        };
        match depth {
            0 => {}
            1 => {
                self.0.insert(name, member);
            }
            // An error can be wrapped into another. The inner one counts if the root has no such
            // member.
            _ => {
                self.0.entry(name).or_insert(member);
            }
        }
    }
}

/// An XML element whose end tag was not read yet.
struct Element {
    name: String,
    /// Offset of the element's content, in bytes.
    start: u64,
    /// The text inside, not yet unescaped.
    text: String,
    has_elements: bool,
}

impl Element {
    fn opened(name: String, start: u64) -> Self {
        Self {
            name,
            start,
            text: String::new(),
            has_elements: false,
        }
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Strips a byte order mark and the white space around it.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    let body = body.trim_ascii();
    body.strip_prefix("\u{feff}".as_bytes())
        .map_or(body, <[u8]>::trim_ascii_start)
}

/// Returns a Unicode body of the same length and structure. Otherwise a byte that is not UTF-8, or
/// half of a surrogate pair, would hide all other members.
fn shadow(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) if !text.contains("\\ud") && !text.contains("\\uD") => Cow::Borrowed(text),
        _ => {
            let ascii = |byte: &u8| {
                if byte.is_ascii() {
                    char::from(*byte)
                } else {
                    '?'
                }
            };
            let text: String = body.iter().map(ascii).collect();
            // Four digits follow. With another letter before them they are still digits.
            Cow::Owned(text.replace("\\ud", "\\u0").replace("\\uD", "\\u0"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &str, name: &str, text: Option<&str>) {
        let members = Members::read(body.as_bytes());
        let read = members.and_then(|members| members.text_at_any_depth(name));
        assert_eq!(read.as_deref(), text, "{body}");
    }

    #[test]
    fn the_outermost_member_goes_before_those_inside() {
        check(
            r#"{"A":{"Code":"inner"},"Code":"outer"}"#,
            "Code",
            Some("outer"),
        );
        check(r#"{"A":{"Code":"inner"}}"#, "code", Some("inner"));
        check(
            "<Error><A><Code>inner</Code></A><Code>outer</Code></Error>",
            "Code",
            Some("outer"),
        );
        check(
            "<Error><Code>outer</Code><A><Code>inner</Code></A></Error>",
            "Code",
            Some("outer"),
        );
    }

    #[test]
    fn what_lies_too_deep_is_not_looked_for() {
        let nested = |depth: usize| {
            let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
            format!(r#"{open}{{"Code":"x"}}{close}"#)
        };
        check(&nested(MAX_DEPTH), "Code", Some("x"));
        check(&nested(MAX_DEPTH + 1), "Code", None);
        check(&nested(100_000), "Code", None);
    }

    #[test]
    fn scalars_are_their_digits_and_null_is_no_member() {
        check(r#"{"a":503}"#, "a", Some("503"));
        check(r#"{"a":true}"#, "a", Some("true"));
        for nothing in [r#"{"a":null}"#, r#"{"a":[]}"#, r#"{"a":{}}"#, "{}"] {
            check(nothing, "a", None);
        }
    }

    #[test]
    fn elements_inside_a_child_are_its_markup() {
        let xml = "<Error><A>1<B x='&lt;'>2</B></A></Error>";
        let mut members = Members::read(xml.as_bytes()).unwrap();
        let markup = b"1<B x='&lt;'>2</B>".to_vec();
        assert_eq!(members.take("A"), Some(Member::Other(markup)));
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>, start in "[{<]?(Error>)?") {
            let body = [start.as_bytes(), &body].concat();
            if let Some(members) = Members::read(&body) {
                let _ = members.text_at_any_depth("Code");
            }
        }

        #[test]
        fn json_of_any_texts_is_read(name in "[a-z]{1,9}", text in ".*", other in ".*") {
            let body = serde_json::json!({ &name: &text, "0": { &other: &other } }).to_string();
            let mut members = Members::read(body.as_bytes()).unwrap();
            prop_assert_eq!(members.take(&name), Some(Member::Text(text.into())));
        }
    }
}
