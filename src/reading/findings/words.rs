//! The words of the rules, found in a line.
//!
//! Each line of each console is searched, and hardly any has a word. So the first four bytes of all words decide: of
//! 24 KB, that takes a tenth of the instructions of the automaton of `aho-corasick` in a program that is built to be
//! small, and a hundredth of its code.

/// Bytes that each word has at least.
const START: usize = 4;
/// Bits of a hash.
const BITS: u32 = 16;

/// Words to look for.
#[derive(Debug)]
pub struct Words {
    words: Vec<&'static str>,
    /// The first bytes of each word, in order, and its index.
    starts: Vec<(u32, usize)>,
    /// A bit for the hash of each start.
    hashes: Box<[u64; 1 << (BITS - 6)]>,
}

impl Words {
    /// Each has four bytes or more.
    pub fn new(words: Vec<&'static str>) -> Self {
        let start = |word: &str| word.as_bytes().first_chunk().map(|first| of(*first));
        let starts = words.iter().enumerate();
        let mut starts: Vec<_> = starts
            .filter_map(|(index, word)| Some((start(word)?, index)))
            .collect();
        assert_eq!(starts.len(), words.len(), "a word of a rule is too short");
        starts.sort_unstable();
        let mut hashes = Box::new([0; 1 << (BITS - 6)]);
        for (start, _) in &starts {
            let hash = hash(*start);
            hashes[hash / 64] |= 1 << (hash % 64);
        }
        Self {
            words,
            starts,
            hashes,
        }
    }

    /// Whether a text has any of the words.
    pub fn any(&self, text: &[u8]) -> bool {
        let mut has_one = false;
        self.find(text, |_, _| has_one = true);
        has_one
    }

    /// Calls `found` with the index of each word in a text and where it begins, as often as it is there.
    pub fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        let Some(first) = text.first_chunk() else {
            return;
        };
        let (mut at, mut start) = (0, of(*first));
        // A plain loop: each byte of each console goes through it.
        loop {
            let hash = hash(start);
            if self.hashes[hash / 64] >> (hash % 64) & 1 == 1 {
                self.find_at(start, &text[at..], &mut |word| found(word, at));
            }
            at += 1;
            let Some(next) = text.get(at + START - 1) else {
                return;
            };
            start = start >> 8 | u32::from(*next) << 24;
        }
    }

    /// The words with which a text begins.
    #[inline(never)]
    fn find_at(&self, start: u32, text: &[u8], found: &mut impl FnMut(usize)) {
        let from = self.starts.partition_point(|(other, _)| *other < start);
        let same = self.starts[from..].iter();
        for (_, index) in same.take_while(|(other, _)| *other == start) {
            if text.starts_with(self.words[*index].as_bytes()) {
                found(*index);
            }
        }
    }
}

fn of(first: [u8; START]) -> u32 {
    u32::from_le_bytes(first)
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
            let words = Words::new(WORDS.to_vec());
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
        Words::new(vec!["BUG"]);
    }
}
