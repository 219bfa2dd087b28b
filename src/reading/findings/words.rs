//! The words of the rules, found in a line.
//!
//! Each line of each console is searched, and hardly any has a word. So three bytes decide: each word has them at its
//! beginning, and one byte behind. So it is enough to look at every second place of a text. That takes a fraction of the
//! instructions of the automaton of `aho-corasick` in a program that is built to be small, and a hundredth of its code.

/// Bytes that each word has at least.
const START: usize = 4;
/// Bits of a hash.
const BITS: u32 = 16;

/// Words to look for.
#[derive(Debug)]
pub struct Words {
    words: Vec<&'static [u8]>,
    /// The first bytes of each word, in order, and its index.
    starts: Vec<(u32, usize)>,
    /// The hashes of the first three bytes of each word, and of the three behind its first.
    parts: Hashes,
    /// The hashes of each start.
    hashes: Hashes,
}

/// A bit for each hash.
#[derive(Debug)]
struct Hashes(Box<[u64; 1 << (BITS - 6)]>);

impl Hashes {
    fn of(starts: impl Iterator<Item = u32>) -> Self {
        let mut hashes = Box::new([0; 1 << (BITS - 6)]);
        for hash in starts.map(hash) {
            hashes[hash / 64] |= 1 << (hash % 64);
        }
        Self(hashes)
    }

    // For each second byte of each console.
    #[inline(always)]
    fn has(&self, start: u32) -> bool {
        let hash = hash(start);
        self.0[hash / 64] >> (hash % 64) & 1 == 1
    }
}

impl Words {
    /// Each has four bytes or more.
    pub fn new(words: Vec<&'static [u8]>) -> Self {
        let start = |word: &[u8]| word.first_chunk().map(|first| u32::from_le_bytes(*first));
        let starts = words.iter().enumerate();
        let mut starts: Vec<_> = starts
            .filter_map(|(index, word)| Some((start(word)?, index)))
            .collect();
        assert_eq!(starts.len(), words.len(), "a word of a rule is too short");
        starts.sort_unstable();
        let of_words = || starts.iter().map(|(start, _)| *start);
        Self {
            parts: Hashes::of(of_words().flat_map(|start| [start << 8, start >> 8 << 8])),
            hashes: Hashes::of(of_words()),
            words,
            starts,
        }
    }

    /// Whether a text has any of the words.
    pub fn any(&self, text: &[u8]) -> bool {
        let mut has_one = false;
        self.find(text, |_, _| has_one = true);
        has_one
    }

    /// Calls `found` with the index of each word in a text and where it begins, as often as it is there, from its
    /// beginning on.
    pub fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut at = 0;
        // A plain loop: each byte of each console goes through it. To look at two places at once was slower.
        while let Some(next) = text.get(at..).and_then(<[u8]>::first_chunk) {
            if self.parts.has(u32::from_le_bytes(*next) << 8) {
                self.find_around(at, text, &mut found);
            }
            at += 2;
        }
        // What is left is a part of a word whose beginning was passed over, or too short for one.
        if at + START == text.len() + 1 {
            self.find_around(at, text, &mut found);
        }
    }

    /// The words that begin before a place, and there.
    #[inline(never)]
    fn find_around(&self, at: usize, text: &[u8], found: &mut impl FnMut(usize, usize)) {
        for at in at.saturating_sub(1)..=at {
            let start = text.get(at..).and_then(<[u8]>::first_chunk);
            let start = start.map(|start| u32::from_le_bytes(*start));
            if let Some(start) = start.filter(|start| self.hashes.has(*start)) {
                self.find_at(start, &text[at..], &mut |word| found(word, at));
            }
        }
    }

    /// The words with which a text begins.
    fn find_at(&self, start: u32, text: &[u8], found: &mut impl FnMut(usize)) {
        let from = self.starts.partition_point(|(other, _)| *other < start);
        let same = self.starts[from..].iter();
        for (_, index) in same.take_while(|(other, _)| *other == start) {
            if text.starts_with(self.words[*index]) {
                found(*index);
            }
        }
    }
}

/// The upper bits of a product, which depend on all bits (Knuth, volume 3, section 6.4).
fn hash(start: u32) -> usize {
    (start.wrapping_mul(0x9e37_79b1) >> (32 - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &[&str] = &[
        "Kernel panic",
        "Kernel",
        "panic",
        "anic",
        "I/O error",
        "Kern",
    ];

    proptest::proptest! {
        #[test]
        fn words_are_found_wherever_they_stand(
            parts in proptest::collection::vec(proptest::sample::select(&["Kernel", " ", "panic", "Ker", "nel", "I/O", " error", "é", "x"][..]), 0..12),
        ) {
            let text = parts.concat();
            let words = Words::new(WORDS.iter().map(|word| word.as_bytes()).collect());
            let mut found = Vec::new();
            words.find(text.as_bytes(), |index, at| found.push((WORDS[index], at)));
            let each = WORDS.iter().flat_map(|word| {
                let places = (0..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(word.as_bytes()));
                places.map(|at| (*word, at))
            });
            let mut expected: Vec<_> = each.collect();
            found.sort_unstable();
            expected.sort_unstable();
            proptest::prop_assert_eq!(words.any(text.as_bytes()), !expected.is_empty());
            proptest::prop_assert_eq!(found, expected);
        }
    }

    #[test]
    #[should_panic = "a word of a rule is too short"]
    fn a_word_that_would_never_be_found_is_refused() {
        Words::new(vec![b"BUG"]);
    }
}
