//! What stands for bytes and characters that are not shown as they are.

/// As `\x9b`. A table, since a guest can make each of its bytes one.
#[inline]
pub(super) fn byte(byte: u8) -> &'static str {
    const LENGTH: usize = "\\x00".len();
    const TABLE: [u8; 256 * LENGTH] = {
        let digits = b"0123456789abcdef";
        let (mut table, mut byte) = ([0; 256 * LENGTH], 0);
        while byte < 256 {
            table[byte * LENGTH] = b'\\';
            table[byte * LENGTH + 1] = b'x';
            table[byte * LENGTH + 2] = digits[byte >> 4];
            table[byte * LENGTH + 3] = digits[byte & 15];
            byte += 1;
        }
        table
    };
    const TEXT: &str = match str::from_utf8(&TABLE) {
        Ok(text) => text,
        Err(_) => panic!(),
    };
    &TEXT[usize::from(byte) * LENGTH..][..LENGTH]
}

/// As [`char::escape_unicode`] does, in a fraction of its time.
#[inline]
pub(super) fn push_active(c: char, text: &mut String) {
    let [_, high, middle, low] = u32::from(c).to_be_bytes();
    text.push_str("\\u{");
    match (high, middle) {
        (0, 0) => push_hex(low, text),
        (0, _) => {
            push_hex(middle, text);
            text.push_str(two_digits(low));
        }
        _ => {
            push_hex(high, text);
            text.push_str(two_digits(middle));
            text.push_str(two_digits(low));
        }
    }
    text.push('}');
}

/// Without a zero before it.
#[inline]
fn push_hex(number: u8, text: &mut String) {
    if number < 16 {
        text.push_str(&two_digits(number)[1..]);
    } else {
        text.push_str(two_digits(number));
    }
}

#[inline]
fn two_digits(number: u8) -> &'static str {
    &byte(number)["\\x".len()..]
}

/// As `⟨4096 NUL⟩`.
#[inline]
pub(super) fn push_nuls(count: usize, text: &mut String) {
    if count == 1 {
        text.push_str("⟨1 NUL⟩"); // Guests write them by the thousand.
    } else {
        text.push('⟨');
        push_number(count, text);
        text.push_str(" NUL⟩");
    }
}

/// Guests make numbers by the thousand, too, and formatting takes its time.
pub(super) fn push_number(number: usize, text: &mut String) {
    if number >= 10 {
        push_number(number / 10, text);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_spelled_out_as_rust_does() {
        for c in '\0'..=char::MAX {
            let mut text = String::new();
            push_active(c, &mut text);
            assert_eq!(text, c.escape_unicode().to_string());
        }
        for number in 0..=u8::MAX {
            assert_eq!(byte(number), format!("\\x{number:02x}"));
        }
    }
}
