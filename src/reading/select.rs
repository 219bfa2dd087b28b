//! How a person names a boot: as journalctl does, or by its stable ID.

use std::str::FromStr;

/// A boot of a machine, as a person names it.
///
/// `0` and `latest` are the newest boot, `-1` and `previous` the one before; `1` is the oldest, `2` the one
/// behind it. An ID names the same boot for ever. `ID-1` and `ID+1` are before and behind it; `latest-1` is
/// `-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// So many boots before the newest.
    Back(usize),
    /// So many boots behind the oldest.
    Forth(usize),
    /// By its ID, and so many boots from there.
    Id(String, isize),
}

/// A text does not name a boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a boot; expected 0 (the newest), -1 (the one before), 1 (the oldest), latest, previous, \
     or an ID that `console-archive boots` shows, such as 20180322T100457-b4a2cd4d9aed"
)]
pub struct InvalidSelection(String);

/// There is no such boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchBoot {
    /// Fewer boots are known.
    #[error("there is no boot {selection}: {}", known(*count))]
    OutOfRange {
        /// What was asked for.
        selection: isize,
        /// How many boots there are.
        count: usize,
    },
    /// No boot has this ID.
    #[error("no boot has the ID {0}")]
    Id(String),
    /// Nothing is known of any boot.
    #[error("no boot is known")]
    None,
}

/// The numbers of all boots.
fn known(count: usize) -> String {
    match count {
        1 => "1 is known, 0".to_owned(),
        _ => format!("{count} are known, -{} to 0", count - 1),
    }
}

impl FromStr for Selection {
    type Err = InvalidSelection;

    fn from_str(text: &str) -> Result<Self, InvalidSelection> {
        let invalid = || InvalidSelection(text.to_owned());
        let (word, offset) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
        let words = [("latest", 0), ("previous", 1)];
        let named = words
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name));
        if let Some((_, back)) = named {
            let offset = match offset {
                "" => 0,
                _ => offset.parse::<isize>().map_err(|_| invalid())?,
            };
            let back = offset
                .checked_neg()
                .and_then(|offset| offset.checked_add(*back));
            let back = back.and_then(|back| usize::try_from(back).ok());
            return back.map(Self::Back).ok_or_else(invalid); // Nothing is behind the newest.
        }
        if let Ok(number) = text.parse::<isize>() {
            return Ok(match number {
                1.. => Self::Forth(number.unsigned_abs() - 1),
                _ => Self::Back(number.unsigned_abs()),
            });
        }
        // An ID has a hyphen of its own, and its digest has twelve digits: `20180322T100457-b4a2cd4d9aed-1`.
        let (name, rest) = text.split_once('-').ok_or_else(invalid)?;
        let end = rest.find(['-', '+']).unwrap_or(rest.len());
        let (digest, offset) = rest.split_at(end);
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        };
        if !is_word(name) || !is_word(digest) {
            return Err(invalid());
        }
        let offset = match offset {
            "" => 0,
            _ => offset.parse().map_err(|_| invalid())?,
        };
        Ok(Self::Id(format!("{name}-{digest}"), offset))
    }
}

impl Selection {
    /// Finds the boot among the IDs of all boots, the oldest first. Returns its index.
    ///
    /// # Errors
    /// [`NoSuchBoot`] if there is none.
    pub fn find<'a>(
        &self,
        ids: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<usize, NoSuchBoot> {
        let count = ids.len();
        if count == 0 {
            return Err(NoSuchBoot::None);
        }
        let out_of_range = |selection| NoSuchBoot::OutOfRange { selection, count };
        let signed = |number: usize| isize::try_from(number).unwrap_or(isize::MAX);
        match self {
            Self::Back(back) => (count - 1)
                .checked_sub(*back)
                .ok_or_else(|| out_of_range(-signed(*back))),
            Self::Forth(index) if *index < count => Ok(*index),
            Self::Forth(index) => Err(out_of_range(signed(*index).saturating_add(1))),
            Self::Id(id, offset) => {
                let index = ids
                    .enumerate()
                    .find(|(_, other)| other == id)
                    .map(|(index, _)| index);
                let index = index.ok_or_else(|| NoSuchBoot::Id(id.clone()))?;
                let found = index
                    .checked_add_signed(*offset)
                    .filter(|index| *index < count);
                found.ok_or_else(|| out_of_range(signed(index) - signed(count - 1) + offset))
            }
        }
    }
}

/// The number of the boot at `index` of `count`, the oldest first: 0 is the newest, -1 the one before.
pub fn number(index: usize, count: usize) -> isize {
    isize::try_from(index).unwrap_or(isize::MAX) - isize::try_from(count - 1).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = [
        "20180101T000000-aaaaaaaaaaaa",
        "20180102T000000-bbbbbbbbbbbb",
        "undated-cccccccccccc.2",
    ];

    fn find(text: &str) -> Result<usize, String> {
        let selection: Selection = text
            .parse()
            .map_err(|error: InvalidSelection| error.to_string())?;
        selection
            .find(IDS.into_iter())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_words_and_ids_name_the_same_boots() {
        for text in [
            "0",
            "-0",
            "latest",
            "LATEST",
            "previous+1",
            "3",
            "undated-cccccccccccc.2",
            "20180102T000000-bbbbbbbbbbbb+1",
        ] {
            assert_eq!(find(text), Ok(2), "{text}");
        }
        for text in [
            "-1",
            "previous",
            "Previous",
            "latest-1",
            "2",
            "20180102T000000-bbbbbbbbbbbb",
            "undated-cccccccccccc.2-1",
        ] {
            assert_eq!(find(text), Ok(1), "{text}");
        }
        for text in [
            "-2",
            "previous-1",
            "latest-2",
            "1",
            "20180101T000000-aaaaaaaaaaaa",
            "undated-cccccccccccc.2-2",
        ] {
            assert_eq!(find(text), Ok(0), "{text}");
        }
    }

    #[test]
    fn each_number_that_is_shown_finds_its_boot() {
        for count in 1..20 {
            let ids: Vec<_> = (0..count).map(|index| format!("{index}-a")).collect();
            for index in 0..count {
                let selection: Selection = number(index, count).to_string().parse().unwrap();
                assert_eq!(selection.find(ids.iter().map(String::as_str)), Ok(index));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(
            find("-3").unwrap_err(),
            "there is no boot -3: 3 are known, -2 to 0"
        );
        assert_eq!(
            find("4").unwrap_err(),
            "there is no boot 4: 3 are known, -2 to 0"
        );
        assert_eq!(find("2018-x").unwrap_err(), "no boot has the ID 2018-x");
        assert_eq!(
            find("20180101T000000-aaaaaaaaaaaa-1").unwrap_err(),
            "there is no boot -3: 3 are known, -2 to 0"
        );
        let one = Selection::Back(1).find(["2018-a"].into_iter());
        assert_eq!(
            one.unwrap_err().to_string(),
            "there is no boot -1: 1 is known, 0"
        );
        let none = Selection::Back(0).find([].into_iter());
        assert_eq!(none, Err(NoSuchBoot::None));
        for text in [
            "",
            "now",
            "-",
            "a-",
            "-a",
            "i-a b",
            "2018-aa-x",
            "99999999999999999999",
        ] {
            assert!(find(text).is_err(), "{text}");
        }
    }
}
