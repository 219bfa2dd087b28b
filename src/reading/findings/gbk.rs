//! Lines that are written in GBK or GB18030, as far as rules for secrets need them: their labels, and where the
//! characters around them begin and end. What a secret is made of is ASCII there, too.
//!
//! Source: GB 18030-2022. A character of two bytes is 81–FE, then 40–7E or 80–FE; one of four bytes is 81–FE, 30–39,
//! 81–FE, 30–39. Row A3 has the wide forms of ASCII.

/// A character of which rules say nothing.
const ANY: char = '一';

/// The characters of the labels that rules have, and of what stands between a label and its secret.
const CHARACTERS: [([u8; 2], char); 9] = [
    (*b"\xc3\xdc", '密'),
    (*b"\xc2\xeb", '码'),
    (*b"\xbf\xda", '口'),
    (*b"\xc1\xee", '令'),
    (*b"\xd4\xbf", '钥'),
    (*b"\xc3\xd8", '秘'),
    (*b"\xce\xaa", '为'),
    (*b"\xca\xc7", '是'),
    (*b"\xa1\xa3", '。'),
];

/// 密码, 口令, 密钥, 秘钥: the labels of rules. None of them is UTF-8, so no other line has one.
pub const LABELS: [&[u8]; 4] = [
    b"\xc3\xdc\xc2\xeb",
    b"\xbf\xda\xc1\xee",
    b"\xc3\xdc\xd4\xbf",
    b"\xc3\xd8\xd4\xbf",
];

/// Whether a line may have a label.
pub fn has_label(line: &[u8]) -> bool {
    LABELS
        .iter()
        .any(|label| memchr::memmem::find(line, label).is_some())
}

/// The character that begins with the first of these bytes, which is 80 or more, and its length. `None` if it is none.
pub fn first(bytes: &[u8]) -> Option<(char, usize)> {
    match *bytes {
        [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ..] => Some((ANY, 4)),
        // ASCII, from "!" to "}".
        [0xa3, low @ 0xa1..=0xfd, ..] => {
            let wide = char::from_u32(0xff01 + u32::from(low - 0xa1));
            Some((wide.unwrap_or(ANY), 2))
        }
        [high @ 0x81..=0xfe, low @ (0x40..=0x7e | 0x80..=0xfe), ..] => {
            let known = CHARACTERS.iter().find(|(pair, _)| *pair == [high, low]);
            Some((known.map_or(ANY, |(_, character)| *character), 2))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::GB18030;

    use super::super::rules::Rules;
    use super::*;

    fn written(text: &str) -> Vec<u8> {
        let (bytes, _, is_lossy) = GB18030.encode(text);
        assert!(!is_lossy);
        bytes.into_owned()
    }

    #[test]
    fn the_labels_are_those_of_the_rules() {
        let words = Rules::built_in().all().iter().flat_map(|rule| rule.words());
        let is_chinese = |word: &&&str| word.chars().all(|c| ('一'..='鿿').contains(&c));
        let words: Vec<_> = words.filter(is_chinese).collect();
        let expected: Vec<_> = words.iter().map(|word| written(word)).collect();
        assert_eq!(LABELS.to_vec(), expected);
        for label in LABELS {
            assert!(str::from_utf8(label).is_err());
        }
    }

    #[test]
    fn each_character_that_rules_name_is_read_as_encoding_rs_reads_it() {
        for character in "密码口令钥秘为是。：，＝；！Ａｚ０".chars() {
            let bytes = written(&character.to_string());
            assert_eq!(first(&bytes), Some((character, 2)), "{character}");
        }
    }

    #[test]
    fn every_other_character_is_as_long_as_encoding_rs_says() {
        for character in ('\u{80}'..='\u{ffff}').chain(['\u{1f600}', '\u{20000}']) {
            let text = character.to_string();
            let (bytes, _, is_lossy) = GB18030.encode(&text);
            if !is_lossy {
                let length = first(&bytes).map(|(_, length)| length);
                assert_eq!(length, Some(bytes.len()), "{character:?}");
            }
        }
        for none in [
            &b"\x80"[..],
            b"\xff\x40",
            b"\xe9",
            b"\xe9 ",
            b"\x81\x30\x20\x30",
        ] {
            assert_eq!(first(none), None, "{none:?}");
        }
    }
}
