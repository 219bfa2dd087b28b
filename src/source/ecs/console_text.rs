//! `ConsoleOutput` as ECS sent it → the bytes that the guest wrote. Pure.
//!
//! The documents say "Base64" and nothing more. Encoders differ in the alphabet, in padding and in
//! line ends. Some encode the whole text, and some encode pieces, each with its own padding. All
//! these forms have one meaning, so all are decoded. A text with two possible meanings is not
//! decoded. It is kept as it came.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;

/// Ignores the bits after the last whole byte, as the decoders of Go, Java, Python and GNU
/// coreutils do (RFC 4648, section 3.5).
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Base64 encodes three bytes in this many characters.
const QUANTUM: usize = 4;

/// Decodes Base64. `None` if the text is not Base64, or is truncated within a byte.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    // What ECS sends is plain Base64. To decode it at once takes a quarter of the time, and no copy.
    if let Ok(plain) = BASE64_STANDARD.decode(text) {
        return Some(plain);
    }
    let mut plain = Vec::with_capacity(text.len() / QUANTUM * 3);
    let (mut piece, mut padding) = (Vec::new(), 0);
    for character in text.chars() {
        match character {
            '=' => padding += 1,
            // Joined files leave byte order marks in the middle.
            c if c.is_whitespace() || c == '\u{feff}' => {}
            c if !c.is_ascii() => return None,
            c => {
                if padding > 0 {
                    // More text follows, so this piece must be complete.
                    if (piece.len() + padding) % QUANTUM != 0 {
                        return None;
                    }
                    decode_piece(&mut piece, &mut plain)?;
                    padding = 0;
                }
                piece.push(match c {
                    '-' => b'+',
                    '_' => b'/',
                    c => c as u8,
                });
            }
        }
    }
    // Padding without data encodes nothing, so the text is not Base64.
    if piece.is_empty() && padding > 0 {
        return None;
    }
    decode_piece(&mut piece, &mut plain)?;
    Some(plain)
}

fn decode_piece(piece: &mut Vec<u8>, plain: &mut Vec<u8>) -> Option<()> {
    LENIENT.decode_vec(&*piece, plain).ok()?;
    piece.clear();
    Some(())
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, plain: Option<&str>) {
        let decoded = decode(text);
        assert_eq!(decoded.as_deref(), plain.map(str::as_bytes), "{text:?}");
    }

    #[test]
    fn padding_may_be_there_or_not() {
        for (text, plain) in [
            ("SGVsbG8=", "Hello"),
            ("SGVsbG8", "Hello"),
            ("SGVsbA==", "Hell"),
            ("SGVsbA=", "Hell"),
            ("SGVsbA", "Hell"),
            ("SGVs", "Hel"),
            ("SGVs====", "Hel"),
            ("SGVsbG8 = ", "Hello"),
        ] {
            check(text, Some(plain));
        }
    }

    #[test]
    fn both_alphabets_are_read_also_mixed() {
        for text in ["Pz8/Pj4+", "Pz8_Pj4-", "Pz8/Pj4-", "Pz8_Pj4+"] {
            check(text, Some("???>>>"));
        }
    }

    #[test]
    fn line_ends_and_white_space_are_skipped() {
        for text in [
            "SGVs\nbG8=",
            "SGVs\r\nbG8=\r\n",
            " S G V s\tb G 8\u{b}=\u{c}",
            "\u{feff}SGVsbG8=",
            "SGVs\u{a0}bG8=\u{2028}",
        ] {
            check(text, Some("Hello"));
        }
        for empty in ["", " ", "\r\n\t"] {
            check(empty, Some(""));
        }
    }

    #[test]
    fn what_was_encoded_in_pieces_is_read_to_its_end() {
        check("SGVsbG8=LCB3b3JsZA==IQ==", Some("Hello, world!"));
        check("SGVsbG8=\nLCB3b3JsZA==\nIQ", Some("Hello, world!"));
    }

    #[test]
    fn bits_behind_the_last_byte_are_skipped() {
        for text in ["SGVsbG9=", "SGVsbG9", "SGVsbB==", "SGVsbP"] {
            assert!(
                decode(text).is_some_and(|plain| plain.starts_with(b"Hell")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_that_could_mean_two_things_is_not_decoded() {
        for text in [
            "S",
            "SGVsb",       // Cut in the middle of a byte.
            "SGVs=bG8=",   // No encoder pads a piece that is whole.
            "SGVsbG8==IQ", // Nor with more than it takes.
            "=SGVs",
            "====",
            "!!! not Base64 !!!",
            "[    0.000000] Linux version 6.1.0",
            "SGVsbG8\u{0}",
            "SGVsbGé8",
            "SGVsbG8%3D",
            "{\"a\":1}",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_through_in_any_spelling(
            pieces in prop::collection::vec(any::<Vec<u8>>(), 0..4), line in 1..80_usize,
        ) {
            let plain = pieces.concat();
            let broken = |text: String| -> String {
                let characters: Vec<_> = text.chars().collect();
                characters.chunks(line).map(|line| line.iter().collect::<String>() + "\r\n").collect()
            };
            for text in [
                BASE64_STANDARD.encode(&plain),
                BASE64_STANDARD_NO_PAD.encode(&plain),
                BASE64_URL_SAFE.encode(&plain),
                broken(BASE64_STANDARD.encode(&plain)),
                pieces.iter().map(|piece| BASE64_STANDARD.encode(piece)).collect(),
            ] {
                prop_assert_eq!(decode(&text), Some(plain.clone()), "{}", text);
            }
        }

        #[test]
        fn arbitrary_texts_never_panic(text in ".*") {
            let _ = decode(&text);
        }
    }
}
