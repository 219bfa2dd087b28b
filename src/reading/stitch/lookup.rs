//! What is remembered of a chain's bytes, so that a question about all of them need not read megabytes again for
//! each capture. The answers are those that the bytes give.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use crate::reading::stamp::{MAX_STAMP_BYTES, Stamp, last_stamp};

/// So many bytes at the beginning of a line are remembered.
const BEGINNING_BYTES: usize = 32;
/// Fewer bytes than that are searched as fast as they are remembered.
const SEARCHED_BYTES: usize = 256 * 1024;

/// Of bytes that only grow at their end.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookup {
    last_stamp: Option<Stamp>,
    /// The last stamp of so many bytes is known.
    stamped: usize,
    /// Hashes of the beginnings of lines, but for the first one.
    lines: HashSet<u64>,
    /// Those of the lines that begin within so many bytes are known.
    lined: usize,
}

impl Lookup {
    /// The last stamp in `bytes`.
    pub(super) fn last_stamp(&mut self, bytes: &[u8]) -> Option<Stamp> {
        // The end that was there before may have been that of half a stamp.
        let from = self.stamped.saturating_sub(MAX_STAMP_BYTES);
        self.last_stamp = last_stamp(&bytes[from..]).or(self.last_stamp);
        self.stamped = bytes.len();
        self.last_stamp
    }

    /// Whether `text` may stand in `bytes`. It certainly does not if one of its lines begins as none of `bytes`.
    pub(super) fn may_have(&mut self, text: &[u8], bytes: &[u8]) -> bool {
        if bytes.len() < SEARCHED_BYTES {
            return true;
        }
        self.read_lines(bytes);
        // What a capture adds stands at its end.
        let mut ends = memchr::memrchr_iter(b'\n', text);
        ends.all(|end| match beginning(text, end) {
            Some(beginning) => self.lines.contains(&self.hash(beginning)),
            None => true,
        })
    }

    fn read_lines(&mut self, bytes: &[u8]) {
        let from = self.lined;
        self.lined = bytes.len();
        for end in memchr::memchr_iter(b'\n', &bytes[from..]) {
            let Some(beginning) = beginning(bytes, from + end) else {
                self.lined = from + end; // More of it may come.
                return;
            };
            self.lines.insert(self.hash(beginning));
        }
    }

    fn hash(&self, beginning: &[u8]) -> u64 {
        self.lines.hasher().hash_one(beginning)
    }
}

/// The beginning of the line behind the line end at `end`.
fn beginning(text: &[u8], end: usize) -> Option<&[u8]> {
    text.get(end + 1..end + 1 + BEGINNING_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::stamp;

    proptest::proptest! {
        /// Whatever a text is made of, and wherever it is cut into what comes at once.
        #[test]
        fn the_answers_are_those_that_all_bytes_give(
            lines in proptest::collection::vec(proptest::sample::select(&[
                "[    1.234567] a line of a kernel that is long enough\r\n", "[   12.5", "[123456.765432] ",
                "a line of a program that is long enough to count\n", "short\n", "\r\n", "x",
            ][..]), 1..60),
            cuts in proptest::collection::vec(0usize..3_000, 0..8),
            text in (0usize..3_000, 0usize..400),
        ) {
            // Long enough to be remembered, and in front of what matters.
            let bytes = ["no line end in it ".repeat(SEARCHED_BYTES / 18 + 1), lines.concat()].concat().into_bytes();
            let padding = bytes.len() - lines.concat().len();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| (padding + cut).min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut lookup = Lookup::default();
            for end in cuts.into_iter().chain([bytes.len()]) {
                let known = &bytes[..end];
                proptest::prop_assert_eq!(lookup.last_stamp(known), stamp::last_stamp(known));
                let begin = (padding + text.0).min(bytes.len());
                let text = &bytes[begin..(begin + text.1).min(bytes.len())];
                let stands = memchr::memmem::find(known, text).is_some();
                proptest::prop_assert!(!stands || lookup.may_have(text, known));
            }
            let other = b"\na line that no log of these has ever had in it\n";
            proptest::prop_assert!(!lookup.may_have(other, &bytes));
        }
    }
}
