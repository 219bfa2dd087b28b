//! Makes text of guests, events and services safe to show in a message, a table, a log line or
//! JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

use icu_properties::props::DefaultIgnorableCodePoint;
use icu_properties::{CodePointSetData, CodePointSetDataBorrowed};

/// Whether a character controls a terminal, reorders the text around it, or is invisible: control
/// characters (C0, DEL and C1), direction marks, line separators, tags, and characters without a
/// width.
///
/// Source: Unicode's `Default_Ignorable_Code_Point`, which includes every direction mark. Without
/// the variation selectors, which follow a visible character. With the two separators and the
/// annotations of chapter 23.
#[inline]
pub fn is_active(c: char) -> bool {
    const IGNORABLE: CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<DefaultIgnorableCodePoint>();
    if c < '\u{7f}' {
        return c < ' ';
    }
    match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{fe00}'..='\u{fe0f}' => false,
        // These need no search: Chinese and Korean; direction marks, soft hyphens and tags; nearly all
        // other letters and signs.
        '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => false,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{ad}' | '\u{e0000}'..='\u{e0fff}' => true,
        '\u{a0}'..='\u{34e}' | '\u{350}'..='\u{61b}' | '\u{61d}'..='\u{115e}' => false,
        '\u{1161}'..='\u{17b3}' | '\u{1810}'..='\u{2027}' | '\u{2070}'..='\u{3163}' => false,
        '\u{a000}'..='\u{fdff}' | '\u{10000}'..='\u{1bc9f}' => false,
        '\u{1d17b}'..='\u{10ffff}' => false,
        c => IGNORABLE.contains(c),
    }
}

/// Shows a text on one line. Active characters are escaped, as `\u{202e}` or `\n`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, is_active, |c, shown| match c {
        '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
        _ => shown.extend(c.escape_unicode()),
    })
}

/// Like [`one_line`], but keeps line feeds.
pub fn lines(text: &str) -> Cow<'_, str> {
    let active = |c| c != '\n' && is_active(c);
    replaced(text, active, |c, shown| shown.extend(c.escape_unicode()))
}

/// Escapes active characters in JSON. The meaning does not change. `serde_json` does not escape
/// DEL, C1 control characters and direction marks. Line feeds between members stay.
pub fn json(json: &str) -> Cow<'_, str> {
    // JSON is ASCII outside of its strings. Inside of them, `serde_json` escapes C0 control
    // characters.
    let active = |c| c != '\n' && is_active(c);
    replaced(json, active, |c, shown| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}"); // Writing to a string cannot fail.
        }
    })
}

fn replaced(
    text: &str,
    active: impl Fn(char) -> bool,
    replace: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let Some(first) = text.find(&active) else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(&text[..first]);
    for c in text[first..].chars() {
        if active(c) {
            replace(c, &mut shown);
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_search_is_as_a_search_finds_it() {
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        let is_said = |c| matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}');
        for c in '\u{a0}'..=char::MAX {
            let is_variation = matches!(c, '\u{fe00}'..='\u{fe0f}');
            let found = is_said(c) || ignorable.contains(c) && !is_variation;
            assert_eq!(is_active(c), found, "{c:?}");
        }
    }

    #[test]
    fn what_acts_on_a_terminal_is_spelled_out() {
        for (text, shown) in [
            ("plain, caf\u{e9}, 你好", "plain, café, 你好"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{7f}", "\\u{7f}"),
            ("\u{202e}\u{2066}\u{200f}", "\\u{202e}\\u{2066}\\u{200f}"),
            ("\u{200b}\u{feff}\u{e0041}", "\\u{200b}\\u{feff}\\u{e0041}"),
            ("\u{2028}", "\\u{2028}"),
        ] {
            assert_eq!(one_line(text), shown);
        }
        assert_eq!(lines("a: b\nc\u{1b}"), "a: b\nc\\u{1b}");
    }

    #[test]
    fn json_says_the_same_without_anything_that_acts() {
        let text = "\u{1b}]0;a\u{7}\u{7f}\u{9d}\u{85}\u{202e}\u{2028}\u{e0041}ü</script>";
        let value = serde_json::json!({ text: [text] });
        let shown = format!("{value:#}");
        let shown = json(&shown);
        assert!(!shown.contains(|c| c != '\n' && is_active(c)), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, value);
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_visible_characters_and_nothing_that_acts(text in "\\PC*|.*") {
            let shown = one_line(&text);
            proptest::prop_assert!(!shown.contains(is_active));
            let visible: String = text.split(is_active).collect();
            if visible == text {
                proptest::prop_assert_eq!(&*shown, &*text);
            }
        }
    }
}
