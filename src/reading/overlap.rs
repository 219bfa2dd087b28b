//! Where one capture continues another.
//!
//! ECS keeps the last part of a console, and hands all of it out at each capture. So two captures in
//! succession usually share text: the later one begins with what the earlier one ends with. Bytes are
//! compared exactly. How sure it is that equal bytes are the *same* bytes is part of the result, because
//! consoles repeat themselves: banners at each boot, prompts, blank lines.

use memchr::memmem::Finder;

use super::stamp::says_moment;

/// How a capture relates to what was known before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The capture continues what was known.
    Continues(Overlap),
    /// All of the capture was known, and more came after it then: ECS returned an older console, or
    /// the machine began anew and has printed the same so far. The bytes cannot tell.
    Returns {
        /// Whether the capture says a moment, which no other boot does.
        is_dated: bool,
    },
    /// All that was known is in the capture, with bytes before it.
    Encloses {
        /// How many bytes stand before it.
        before: usize,
    },
    /// They share nothing that proves anything.
    Apart,
}

/// What a capture shares with the end of what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Bytes of the capture before the shared ones: the rest of a line that the ring has cut.
    pub cut: usize,
    /// Number of shared bytes.
    pub length: usize,
    /// How sure it is.
    pub certainty: Certainty,
}

/// How sure it is that equal bytes are the same output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// Long enough, or with stamps of the kernel: no other place prints these bytes.
    Sure,
    /// Equal bytes, but few, or such as each boot prints.
    Unsure,
    /// The capture fits in more than one place, because the console repeats itself.
    Repeats {
        /// How many bytes more may have been printed, at the places that were looked at.
        missing: usize,
    },
}

/// Shorter overlaps are accidents: line ends, box drawings and blanks of 8 to 31 bytes are common.
pub const MIN_OVERLAP_BYTES: usize = 32;
/// With a stamp of the kernel in it, this many bytes are no accident. A stamp alone is not enough.
const STAMPED_BYTES: usize = 128;
/// So many of the last bytes are looked for where fewer stand in too many places.
const LONG_END_BYTES: usize = 256;
/// So many places are compared one by one. Text with more of them is periodic, and is compared in linear
/// time instead.
const MAX_PLACES: usize = 16;

/// Relates the capture `new` to the bytes `known` before it.
///
/// Takes time linear in both lengths, whatever they contain.
pub fn relate(known: &[u8], new: &[u8]) -> Relation {
    relate_if(known, new, || true)
}

/// The same for whoever may know that `known` does not have all of `new`: that is not searched for then.
pub(super) fn relate_if(
    known: &[u8],
    new: &[u8],
    may_be_within: impl FnOnce() -> bool,
) -> Relation {
    if known.is_empty() || new.is_empty() {
        return Relation::Apart;
    }
    let places = Places::of(known, new);
    let overlap_at_end = overlap(new, &places.lengths(known, new, 0));
    let is_enough =
        |overlap: Overlap| overlap.length == new.len() || overlap.certainty == Certainty::Sure;
    if !overlap_at_end.is_some_and(is_enough) && may_be_within() && is_within(known, new) {
        return Relation::Returns {
            is_dated: says_moment(new),
        };
    }
    if let Some(overlap) = overlap_at_end {
        return Relation::Continues(overlap);
    }
    match places.first_whole(known, new) {
        Some(0) => {
            let (length, certainty) = (known.len(), Certainty::Unsure);
            return Relation::Continues(Overlap {
                cut: 0,
                length,
                certainty,
            });
        }
        // A banner alone may be that of an earlier boot.
        Some(before) if certainty(known) == Certainty::Sure => {
            return Relation::Encloses { before };
        }
        _ => {}
    }
    // A ring begins in the middle of a line, perhaps within a character or an escape sequence, which ECS may
    // have changed or left out. So the overlap may begin with the second line.
    match memchr::memchr(b'\n', new) {
        Some(line_end) if line_end + 1 < new.len() => {
            let cut = line_end + 1;
            let rest = &new[cut..];
            overlap(rest, &places.lengths(known, new, cut)).map_or(Relation::Apart, |overlap| {
                Relation::Continues(Overlap { cut, ..overlap })
            })
        }
        _ => Relation::Apart,
    }
}

fn is_within(known: &[u8], new: &[u8]) -> bool {
    new.len() < known.len() && find(new, known).is_some()
}

/// The first place of `text` in `within`. Searched by its last bytes: to prepare a search for the whole of it
/// takes many times longer.
fn find(text: &[u8], within: &[u8]) -> Option<usize> {
    if text.len() > within.len() {
        return None;
    }
    if text.len() < MIN_OVERLAP_BYTES {
        return Finder::new(text).find(within);
    }
    let before = text.len() - MIN_OVERLAP_BYTES;
    let finder = Finder::new(&text[before..]);
    let mut begin = 0;
    for _ in 0..MAX_PLACES {
        let at = begin + finder.find(&within[begin + before..])?;
        if within[at..].starts_with(text) {
            return Some(at);
        }
        begin = at + 1;
        if begin + text.len() > within.len() {
            return None;
        }
    }
    Finder::new(text)
        .find(&within[begin..])
        .map(|at| begin + at)
}

/// The longest overlap, with its certainty. `None` below [`MIN_OVERLAP_BYTES`].
fn overlap(new: &[u8], lengths: &Lengths) -> Option<Overlap> {
    let length = lengths.longest;
    if length < MIN_OVERLAP_BYTES {
        return None;
    }
    let shared = &new[..length];
    // If only a shorter part were shared, the rest of it would have been printed twice. A stamp in that rest
    // excludes it.
    let certainty = match lengths.shortest {
        Some(shortest) if !says_moment(&new[shortest..length]) => Certainty::Repeats {
            missing: length - shortest,
        },
        _ => certainty(shared),
    };
    Some(Overlap {
        cut: 0,
        length,
        certainty,
    })
}

/// Text without stamps proves nothing, however long it is: each boot prints its banners, the checks of its
/// file systems and the units that it starts again.
fn certainty(shared: &[u8]) -> Certainty {
    let is_proof = shared.len() >= STAMPED_BYTES && says_moment(shared);
    if is_proof {
        Certainty::Sure
    } else {
        Certainty::Unsure
    }
}

/// How long the overlaps are at the places where they are possible.
struct Lengths {
    /// The longest. Zero if there is none.
    longest: usize,
    /// The shortest other one, of at least [`MIN_OVERLAP_BYTES`].
    shortest: Option<usize>,
}

/// Where the last bytes of what was known stand in a capture. It can only continue what was known from there on.
enum Places {
    /// In order.
    Few([usize; MAX_PLACES], usize),
    /// More than can be compared one by one.
    Many,
}

impl Places {
    fn of(known: &[u8], new: &[u8]) -> Self {
        match known.last_chunk::<MIN_OVERLAP_BYTES>() {
            Some(end) => Self::of_end(end, new),
            None => Self::Few([0; MAX_PLACES], 0), // Only if all of it is there.
        }
    }

    /// Where `end` stands.
    fn of_end<const BYTES: usize>(end: &[u8; BYTES], new: &[u8]) -> Self {
        let (mut few, mut count) = ([0; MAX_PLACES], 0);
        let finder = Finder::new(end);
        let mut begin = 0;
        while let Some(at) = finder.find(&new[begin..]) {
            let Some(place) = few.get_mut(count) else {
                return Self::Many;
            };
            *place = begin + at;
            count += 1;
            begin += at + 1; // Places may lie across each other.
        }
        Self::Few(few, count)
    }

    /// How much of the capture, without its first `cut` bytes, stands at the end of what was known.
    fn lengths(&self, known: &[u8], new: &[u8], cut: usize) -> Lengths {
        let Self::Few(places, count) = self else {
            return lengths_of_many(known, &new[cut..]);
        };
        let mut lengths = Lengths {
            longest: 0,
            shortest: None,
        };
        for place in places[..*count].iter().rev().filter(|place| **place >= cut) {
            let length = place + MIN_OVERLAP_BYTES - cut;
            if known.ends_with(&new[cut..cut + length]) {
                if lengths.longest == 0 {
                    lengths.longest = length;
                } else {
                    lengths.shortest = Some(length);
                }
            }
        }
        lengths
    }

    /// Where all that was known stands first in the capture.
    fn first_whole(&self, known: &[u8], new: &[u8]) -> Option<usize> {
        match self {
            Self::Few(places, count) if known.len() >= MIN_OVERLAP_BYTES => {
                let ends = places[..*count]
                    .iter()
                    .map(|place| place + MIN_OVERLAP_BYTES);
                let mut wholes = ends.filter(|end| new[..*end].ends_with(known));
                wholes.next().map(|end| end - known.len())
            }
            _ => find(known, new),
        }
    }
}

/// The same where the last bytes of what was known stand in many places. Most often they are a part of a menu or of
/// a progress bar, and more of the last bytes stand in few.
fn lengths_of_many(known: &[u8], new: &[u8]) -> Lengths {
    let Some(end) = known.last_chunk::<LONG_END_BYTES>() else {
        return periodic(known, new);
    };
    let Places::Few(places, count) = Places::of_end(end, new) else {
        return periodic(known, new);
    };
    let long = places[..count].iter().rev();
    let long = long.map(|place| place + LONG_END_BYTES);
    let short = (MIN_OVERLAP_BYTES..LONG_END_BYTES.min(new.len() + 1)).rev();
    let mut lengths = long
        .chain(short)
        .filter(|length| known.ends_with(&new[..*length]));
    Lengths {
        longest: lengths.next().unwrap_or_default(),
        shortest: lengths.next_back(),
    }
}

/// The same by Knuth, Morris and Pratt's table of borders, whose time does not depend on the text.
fn periodic(known: &[u8], new: &[u8]) -> Lengths {
    let mut borders = vec![0_usize; new.len() + 1];
    let mut border = 0;
    for at in 1..new.len() {
        while border > 0 && new[at] != new[border] {
            border = borders[border];
        }
        border += usize::from(new[at] == new[border]);
        borders[at + 1] = border;
    }
    let mut matched = 0;
    for (at, &byte) in known
        .iter()
        .enumerate()
        .skip(known.len().saturating_sub(new.len()))
    {
        while matched > 0 && (matched == new.len() || new[matched] != byte) {
            matched = borders[matched];
        }
        matched += usize::from(new[matched] == byte);
        debug_assert!(matched <= at + 1);
    }
    let longest = matched;
    let mut shortest = None;
    let mut length = borders[longest];
    while length >= MIN_OVERLAP_BYTES {
        shortest = Some(length);
        length = borders[length];
    }
    Lengths { longest, shortest }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Menus, progress bars, and text that repeats them.
        #[test]
        fn lengths_do_not_depend_on_how_they_are_found(
            parts in proptest::collection::vec((0usize..5, 1usize..90), 1..12),
            known_end in 0usize..3_000,
            new_begin in 0usize..3_000,
            is_cut: bool,
        ) {
            let parts = parts.into_iter().map(|(part, times)| ["-", "ab", "login: ", "x", "12345"][part].repeat(times));
            let text = parts.collect::<String>().repeat(2).into_bytes();
            let end = known_end.min(text.len());
            let (known, new) = (&text[..end], &text[new_begin.min(end)..]);
            let new = &new[new.len().min(usize::from(is_cut))..];
            let of = |lengths: Lengths| (lengths.longest, lengths.shortest);
            // Below the least length, only one of them says how long.
            let by_borders = of(periodic(known, new));
            let by_borders = if by_borders.0 < MIN_OVERLAP_BYTES { (0, None) } else { by_borders };
            let many = of(lengths_of_many(known, new));
            let many = if many.0 < MIN_OVERLAP_BYTES { (0, None) } else { many };
            proptest::prop_assert_eq!(many, by_borders);
            let places = Places::of(known, new);
            if matches!(places, Places::Few(..)) && known.len() >= MIN_OVERLAP_BYTES {
                proptest::prop_assert_eq!(of(places.lengths(known, new, 0)), by_borders);
            }
        }

        /// Also where the last bytes of a text stand again and again.
        #[test]
        fn a_text_is_found_where_it_stands_first(
            within in "[ab]{0,200}",
            at in 0usize..200,
            length in 0usize..120,
            periods in 0usize..60,
        ) {
            let within = format!("{within}{}", "ab".repeat(periods));
            let begin = at.min(within.len());
            let end = (begin + length).min(within.len());
            let text = &within.as_bytes()[begin..end];
            let expected = Finder::new(text).find(within.as_bytes());
            proptest::prop_assert_eq!(find(text, within.as_bytes()), expected);
            let other = [text, b"c"].concat();
            proptest::prop_assert_eq!(find(&other, within.as_bytes()), None);
        }
    }
}
