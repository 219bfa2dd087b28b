//! What tells the states of a progress bar from other text.

use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointMapDataBorrowed};

/// Whether a character is part of a word: what [`char::is_alphabetic`] says, and marks.
///
/// That searches a list, which takes longer than all else that is done with a character. The general
/// category is looked up in a table. It says the same, but for letters in circles and squares. Its
/// Unicode may be newer.
#[inline]
pub(super) fn is_letter(c: char) -> bool {
    const CATEGORIES: CodePointMapDataBorrowed<'static, GeneralCategory> =
        CodePointMapData::<GeneralCategory>::new();
    const LETTERS: GeneralCategoryGroup = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::LetterNumber);
    match c {
        '\0'..='\u{7f}' => c.is_ascii_alphabetic(),
        '\u{4e00}'..='\u{9fff}' => true,
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' => true,
        '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f149}' => true,
        '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}' => true,
        c => LETTERS.contains(CATEGORIES.get(c)),
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
    fn what_is_alphabetic_is_a_letter() {
        for c in ('\0'..=char::MAX).filter(|c| c.is_alphabetic()) {
            assert!(is_letter(c), "{c:?}");
        }
    }

    #[test]
    fn what_progress_is_made_of_is_none() {
        for c in "0123456789.,:;%/|\\-+=#*<>()[] \t─━█▓▒░▏●○◐✓✔✗→⠋⠙٣％🎉\u{1}\u{2}".chars()
        {
            assert!(!is_letter(c), "{c:?}");
        }
    }
}
