//! What tells the states of a progress bar from other text.

/// As [`char::is_alphabetic`] says. Chinese and letters of Europe with their marks need no search,
/// nor do lines and blocks, of which progress bars are made.
#[inline]
pub(super) fn is_letter(c: char) -> bool {
    match c {
        '\u{4e00}'..='\u{9fff}' => true,
        '\0'..='\u{7f}' => c.is_ascii_alphabetic(),
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' => true,
        '\u{2500}'..='\u{2bff}' => false,
        c => c.is_alphabetic(),
    }
}

/// Letters of the shortest word: `BUG` is one, the `kB` of a size is none.
const WORD: usize = 3;

/// What tells progress bars from other text: their letters stay. A guest cannot hide a line behind
/// one that looks alike, such as another user's log-in.
#[derive(Debug, Default)]
pub(super) struct Look {
    letters: Vec<char>,
    /// There are few letters among figures and signs, and no word, as in `12.3M 45% 0:01`.
    is_figures: bool,
}

impl Look {
    pub fn read(&mut self, text: impl Iterator<Item = char>) {
        self.letters.clear();
        let (mut count, mut in_word, mut has_word) = (0, 0, false);
        for c in text {
            if is_letter(c) {
                count += 1;
                self.letters.push(c);
                in_word += 1;
                has_word |= in_word == WORD;
            } else {
                count += usize::from(c > ' ');
                in_word = 0;
            }
        }
        self.is_figures = self.letters.len() * 4 < count && !has_word;
    }

    /// Whether the other may be a later state of this.
    pub fn may_become(&self, other: &Self) -> bool {
        if self.is_figures {
            other.is_figures
        } else {
            other.letters.starts_with(&self.letters)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_search_is_as_a_search_finds_it() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_letter(c), c.is_alphabetic(), "{c:?}");
        }
    }
}
