//! Makes guest-written bytes safe to show on a terminal.

/// The text in `bytes` without escape sequences, and with every other control character spelled
/// out. A guest must not be able to move the cursor, set a title or type for its reader.
///
/// Line feeds and tabs stay; a carriage return before a line feed goes. Bytes that are not UTF-8
/// become U+FFFD.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len());
    for piece in anstream::adapter::strip_str(&text) {
        for c in piece.chars() {
            match c {
                '\n' | '\t' => shown.push(c),
                _ if c.is_control() || is_bidirectional_control(c) => {
                    shown.extend(c.escape_unicode());
                }
                _ => shown.push(c),
            }
        }
    }
    shown
}

/// Characters that reorder the text around them.
fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_titles_are_left_out() {
        assert_eq!(
            printable(b"\x1b[0;32m  OK  \x1b[0m Started\r\n"),
            "  OK   Started\n"
        );
        assert_eq!(printable(b"\x1b]0;owned\x07a\x1b[2Jb\x1b[1;1H"), "ab");
    }

    #[test]
    fn what_could_still_act_is_spelled_out() {
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(printable("a\u{9b}2Jb".as_bytes()), "a\\u{9b}2Jb");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(printable(b"caf\xe9\tx\n"), "caf\u{fffd}\tx\n");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_controls_a_terminal_is_left(bytes: Vec<u8>) {
            let shown = printable(&bytes);
            proptest::prop_assert!(shown.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));
        }
    }
}
