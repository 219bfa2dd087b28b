//! Which words differ between two lines that are much alike.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::masks::Masks;

/// Of more lines than this on one side, none are paired: nobody compares them by eye, and it would take long.
const MAX_LINES: usize = 40;
/// Of longer lines, no words are compared.
const MAX_WORDS: usize = 200;
/// How alike lines are at least that are paired: the part of their words that both have.
const MIN_ALIKE: f32 = 0.6;

/// A line, taken apart. What is masked is one word, by its kind.
#[derive(Debug)]
pub struct Words<'t> {
    words: Vec<&'t str>,
    places: Vec<Range<usize>>,
}

impl<'t> Words<'t> {
    /// Takes a line apart.
    pub fn of(line: &'t str, masks: &mut Masks) -> Self {
        let mut all = Self {
            words: Vec::new(),
            places: Vec::new(),
        };
        let mut from = 0;
        masks.find(line, |place, kind| {
            all.push_plain(line, from..place.start);
            from = place.end;
            all.push(kind, place);
        });
        all.push_plain(line, from..line.len());
        all
    }

    fn push(&mut self, word: &'t str, place: Range<usize>) {
        self.words.push(word);
        self.places.push(place);
    }

    /// Letters and figures that stand together are a word, and so is any other character.
    fn push_plain(&mut self, line: &'t str, range: Range<usize>) {
        let mut begin = range.start;
        let mut rest = &line[range];
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match is_word(first) {
                true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            self.push(&rest[..length], begin..begin + length);
            begin += length;
            rest = &rest[length..];
        }
    }

    /// Its words with letters or figures, sorted. Empty if there are too many.
    fn said(&self) -> Vec<&'t str> {
        if self.words.len() > MAX_WORDS {
            return Vec::new();
        }
        let words = self.words.iter().copied();
        let mut said: Vec<_> = words
            .filter(|word| word.contains(char::is_alphanumeric))
            .collect();
        said.sort_unstable();
        said
    }
}

/// The part of their words that both lines have, of sorted words.
fn alike(a: &[&str], b: &[&str]) -> f32 {
    let (mut at_a, mut at_b, mut both) = (0, 0, 0);
    while let (Some(of_a), Some(of_b)) = (a.get(at_a), b.get(at_b)) {
        let order = of_a.cmp(of_b);
        at_a += usize::from(order.is_le());
        at_b += usize::from(order.is_ge());
        both += usize::from(order.is_eq());
    }
    match a.len() + b.len() {
        0 => 0.0,
        all => 2.0 * both as f32 / all as f32,
    }
}

/// Whether lines are paired, if so many were removed and added at one place.
pub fn are_paired(removed: usize, added: usize) -> bool {
    removed.min(added) > 0 && removed.max(added) <= MAX_LINES
}

/// Finds which of the added lines stand for which of the removed ones. Returns pairs of indices, each index
/// once, in the order of both.
pub fn pairs(removed: &[Words], added: &[Words]) -> Vec<(usize, usize)> {
    if !are_paired(removed.len(), added.len()) {
        return Vec::new();
    }
    let removed: Vec<_> = removed.iter().map(Words::said).collect();
    let added: Vec<_> = added.iter().map(Words::said).collect();
    // The most that pairs of the first lines are alike in all; by how many lines of each.
    let mut best = vec![vec![0.0_f32; added.len() + 1]; removed.len() + 1];
    for (a, of_a) in removed.iter().enumerate() {
        for (b, of_b) in added.iter().enumerate() {
            let both = alike(of_a, of_b);
            let both = if both < MIN_ALIKE { 0.0 } else { both };
            let without = best[a][b + 1].max(best[a + 1][b]);
            best[a + 1][b + 1] = without.max(best[a][b] + both);
        }
    }
    let (mut a, mut b, mut found) = (removed.len(), added.len(), Vec::new());
    while a > 0 && b > 0 {
        let value = best[a][b];
        if value == best[a - 1][b] {
            a -= 1;
        } else if value == best[a][b - 1] {
            b -= 1;
        } else {
            (a, b) = (a - 1, b - 1);
            found.push((a, b));
        }
    }
    found.reverse();
    found
}

/// The places in two lines where their words differ.
pub fn different(a: &Words, b: &Words) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (mut in_a, mut in_b) = (Vec::new(), Vec::new());
    if a.words.len().max(b.words.len()) > MAX_WORDS {
        return (in_a, in_b);
    }
    for op in capture_diff_slices(Algorithm::Myers, &a.words, &b.words) {
        if !matches!(op, DiffOp::Equal { .. }) {
            in_a.extend(place(a, op.old_range()));
            in_b.extend(place(b, op.new_range()));
        }
    }
    (in_a, in_b)
}

fn place(line: &Words, words: Range<usize>) -> Option<Range<usize>> {
    let places = &line.places[words];
    Some(places.first()?.start..places.last()?.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(line: &str, places: &[Range<usize>]) -> String {
        let (mut marked, mut from) = (String::new(), 0);
        for place in places {
            marked += &format!("{}{{{}}}", &line[from..place.start], &line[place.clone()]);
            from = place.end;
        }
        marked + &line[from..]
    }

    #[test]
    fn words_that_differ_are_found_and_masked_values_are_not() {
        for (a, b, in_a, in_b) in [
            (
                "[    1.000000] vda: error -6 at 0x12345678",
                "[    2.500000] vdb: error -2 at 0x87654321",
                "[    1.000000] {vda}: error -{6} at 0x12345678",
                "[    2.500000] {vdb}: error -{2} at 0x87654321",
            ),
            ("ro quiet", "ro", "ro{ quiet}", "ro"),
            (
                "磁盘 vda 正常",
                "磁盘 vdb 正常",
                "磁盘 {vda} 正常",
                "磁盘 {vdb} 正常",
            ),
            ("same", "same", "same", "same"),
        ] {
            let (of_a, of_b) = different(&of(&[a])[0], &of(&[b])[0]);
            assert_eq!(
                (marked(a, &of_a).as_str(), marked(b, &of_b).as_str()),
                (in_a, in_b)
            );
        }
    }

    fn of<'t>(lines: &[&'t str]) -> Vec<Words<'t>> {
        let mut masks = Masks::default();
        lines
            .iter()
            .map(|line| Words::of(line, &mut masks))
            .collect()
    }

    fn pairs(removed: &[&str], added: &[&str]) -> Vec<(usize, usize)> {
        super::pairs(&of(removed), &of(added))
    }

    #[test]
    fn lines_are_paired_that_are_alike_in_their_order() {
        let removed = ["eth0: link down", "virtio_blk vda: error -6", "x"];
        let added = [
            "nothing like it at all",
            "virtio_blk vda: error -2",
            "eth0: link up",
        ];
        assert_eq!(pairs(&removed, &added), [(1, 1)]);
        assert_eq!(
            pairs(&["a b c d", "a b c e"], &["a b c d", "a b c e"]),
            [(0, 0), (1, 1)]
        );
        assert!(pairs(&[], &["a"]).is_empty() && pairs(&["a"], &[]).is_empty());
        assert!(pairs(&["a"; 41], &["a"; 41]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn places_are_of_whole_characters_in_order(a in "[ab1é :-]{0,20}", b in "[ab1é :-]{0,20}") {
            let (in_a, in_b) = different(&of(&[&a])[0], &of(&[&b])[0]);
            for (line, places) in [(&a, in_a), (&b, in_b)] {
                let mut end = 0;
                for place in places {
                    proptest::prop_assert!(place.start >= end && place.end > place.start);
                    proptest::prop_assert!(line.get(place.clone()).is_some());
                    end = place.end;
                }
            }
        }
    }
}
