//! How text looks: a guest's wishes, as far as they leave the text legible.

use super::note;

/// Attributes of a piece of text. There is no blinking, and nothing conceals.
///
/// All of it is in one number, because every character of a console has one: the two colours in the
/// lowest bytes, then a bit for each colour that is set and for each [`Attribute`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style(u32);

/// What a style can have besides colours. Its value is its bit in a [`Style`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// Bold.
    Bold = 1 << 18,
    /// Faint. So is text that stands for something else, or belongs to a sequence without an end.
    Faint = 1 << 19,
    /// Italic.
    Italic = 1 << 20,
    /// Underlined, in any way.
    Underline = 1 << 21,
    /// Foreground and background are exchanged.
    Inverse = 1 << 22,
    /// Crossed out.
    Strike = 1 << 23,
}

/// The attributes with their codes in Select Graphic Rendition.
const ATTRIBUTES: [(Attribute, u32); 6] = [
    (Attribute::Bold, 1),
    (Attribute::Faint, 2),
    (Attribute::Italic, 3),
    (Attribute::Underline, 4),
    (Attribute::Inverse, 7),
    (Attribute::Strike, 9),
];

/// A colour's place in a [`Style`]: that of its index, and its bit.
type Place = (u32, u32);
const FOREGROUND: Place = (0, 1 << 16);
const BACKGROUND: Place = (8, 1 << 17);

/// Least distance of two colours that can be told from one another, in units of one of 256 steps.
const MIN_DISTANCE: i32 = 64;
const BLACK: u8 = 0;
const WHITE: u8 = 15;

/// xterm's first sixteen colours.
const BASE: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];
/// Steps of red, green and blue in the cube of 216 colours that follow.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];

impl Style {
    pub(super) const DEFAULT: Self = Self(0);
    /// What text has that stands for something else.
    pub(super) const FAINT: Self = Self(Attribute::Faint as u32);

    /// Whether it has an attribute.
    pub fn has(self, attribute: Attribute) -> bool {
        self.0 & attribute as u32 != 0
    }

    /// Index of the foreground's colour among xterm's 256; `None` for the reader's own.
    pub fn foreground(self) -> Option<u8> {
        self.colour(FOREGROUND)
    }

    /// The same for the background.
    pub fn background(self) -> Option<u8> {
        self.colour(BACKGROUND)
    }

    /// With an attribute, or without it.
    #[must_use]
    pub(super) fn with(self, attribute: Attribute, is_set: bool) -> Self {
        let bit = attribute as u32;
        Self(if is_set { self.0 | bit } else { self.0 & !bit })
    }

    fn colour(self, (shift, bit): Place) -> Option<u8> {
        (self.0 & bit != 0).then_some((self.0 >> shift) as u8)
    }

    #[must_use]
    fn with_colour(self, (shift, bit): Place, colour: Option<u8>) -> Self {
        let others = self.0 & !(0xff << shift | bit);
        let set = |colour| bit | u32::from(colour) << shift;
        Self(others | colour.map_or(0, set))
    }

    /// Applies the parameters of Select Graphic Rendition, `ESC [ parameters m`.
    ///
    /// Source: ECMA-48, 8.3.117; ISO 8613-6 for the colours of `38` and `48`, with `;` or `:`.
    #[must_use]
    pub(super) fn select(self, parameters: &[u8]) -> Self {
        use Attribute::{Bold, Faint, Inverse, Italic, Strike, Underline};
        let (mut style, mut parameters) = (self, Parameters::new(parameters));
        while let Some(code) = parameters.first_part() {
            style = match code {
                0 => Self::default(),
                1 => style.with(Bold, true),
                2 => style.with(Faint, true),
                3 => style.with(Italic, true),
                4 => style.with(Underline, parameters.part() != Some(0)),
                7 => style.with(Inverse, true),
                9 => style.with(Strike, true),
                21 => style.with(Underline, true),
                22 => style.with(Bold, false).with(Faint, false),
                23 => style.with(Italic, false),
                24 => style.with(Underline, false),
                27 => style.with(Inverse, false),
                29 => style.with(Strike, false),
                30..=37 => style.with_colour(FOREGROUND, Some((code - 30) as u8)),
                40..=47 => style.with_colour(BACKGROUND, Some((code - 40) as u8)),
                90..=97 => style.with_colour(FOREGROUND, Some((code - 90 + 8) as u8)),
                100..=107 => style.with_colour(BACKGROUND, Some((code - 100 + 8) as u8)),
                39 => style.with_colour(FOREGROUND, None),
                49 => style.with_colour(BACKGROUND, None),
                38 | 48 | 58 => {
                    let colour = match parameters.part() {
                        Some(kind) => colour(kind, std::iter::from_fn(|| parameters.part())),
                        None => {
                            let kind = parameters.next().unwrap_or_default();
                            let count = if kind == 2 { 3 } else { 1 };
                            let mut rest = parameters.by_ref().take(count);
                            let colour = colour(kind, &mut rest);
                            rest.for_each(drop); // Of a kind that is not known, too.
                            colour
                        }
                    };
                    match (code, colour) {
                        (38, Some(_)) => style.with_colour(FOREGROUND, colour),
                        (48, Some(_)) => style.with_colour(BACKGROUND, colour),
                        _ => style, // The underline's colour, or no colour.
                    }
                }
                _ => style, // Blinking, concealing, fonts.
            };
        }
        style
    }

    /// The colours to show: where a guest's are alike, or might be the reader's own background,
    /// they are left out.
    pub fn legible_colours(self) -> (Option<u8>, Option<u8>) {
        match (self.foreground(), self.background()) {
            _ if self.has(Attribute::Inverse) => (None, None),
            (Some(on), Some(below)) if are_alike(on, below) => (None, None),
            (Some(on), None) if are_alike(on, BLACK) || are_alike(on, WHITE) => (None, None),
            (None, Some(below)) => {
                let light: u32 = rgb(below).iter().map(|part| u32::from(*part)).sum();
                let on = if light > 3 * 127 { BLACK } else { WHITE };
                (Some(on), Some(below))
            }
            both => both,
        }
    }

    /// The sequence that makes a terminal show it, from its default on; empty for the default.
    pub fn sgr(self) -> String {
        let mut sgr = String::new();
        self.push_sgr(&mut sgr);
        sgr
    }

    /// Appends the same.
    pub(super) fn push_sgr(self, text: &mut String) {
        if self == Self::DEFAULT {
            return;
        }
        let (foreground, background) = self.legible_colours();
        let mut before = "\x1b[";
        let mut add = |code: u32| {
            text.push_str(std::mem::replace(&mut before, ";"));
            note::push_number(code as usize, text);
        };
        for (attribute, code) in ATTRIBUTES {
            if self.has(attribute) {
                add(code);
            }
        }
        for (colour, base) in [(foreground, 30), (background, 40)] {
            match colour.map(u32::from) {
                None => {}
                Some(index @ 0..8) => add(base + index),
                Some(index @ 8..16) => add(base + 60 + index - 8),
                Some(index) => [base + 8, 5, index].into_iter().for_each(&mut add),
            }
        }
        if before == ";" {
            text.push('m');
        }
    }
}

/// The parameters of a control sequence, with `;` between them. An empty one is zero, and one that is
/// too large for any meaning stays so.
pub(super) struct Parameters<'a> {
    rest: &'a [u8],
    /// What stands before these: a `;`, also before the first; a `:`; or nothing behind the last.
    separator: Option<u8>,
}

impl<'a> Parameters<'a> {
    pub fn new(parameters: &'a [u8]) -> Self {
        let separator = Some(b';');
        Self {
            rest: parameters,
            separator,
        }
    }

    /// The next parameter as far as its first `:`, after what is left of the one before.
    fn first_part(&mut self) -> Option<u32> {
        while self.part().is_some() {}
        self.separator?;
        Some(self.number(|byte| matches!(byte, b';' | b':')))
    }

    /// What stands behind the `:` that comes next in the same parameter.
    fn part(&mut self) -> Option<u32> {
        let is_part = self.separator == Some(b':');
        is_part.then(|| self.number(|byte| matches!(byte, b';' | b':')))
    }

    #[inline]
    fn number(&mut self, separates: impl Fn(u8) -> bool) -> u32 {
        let mut number = 0_u32;
        for (index, byte) in self.rest.iter().enumerate() {
            if separates(*byte) {
                self.separator = Some(*byte);
                self.rest = &self.rest[index + 1..];
                return number;
            }
            let digit = u32::from(byte.wrapping_sub(b'0'));
            number = number.saturating_mul(10).saturating_add(digit);
        }
        self.separator = None;
        number
    }
}

impl Iterator for Parameters<'_> {
    type Item = u32;

    /// The next as one number. It has no meaning where it has parts.
    fn next(&mut self) -> Option<u32> {
        self.separator?;
        Some(self.number(|byte| byte == b';'))
    }
}

/// The colour nearest to those of the kind 5, by index, or 2, whose last parts are red, green and blue.
fn colour(kind: u32, mut parts: impl Iterator<Item = u32>) -> Option<u8> {
    match kind {
        5 => u8::try_from(parts.next()?).ok(),
        2 => {
            let first = [parts.next()?, parts.next()?, parts.next()?];
            let last = parts.fold(first, |[_, red, green], blue| [red, green, blue]);
            let part = |part: u32| u8::try_from(part).ok();
            let [red, green, blue] = last;
            Some(nearest([part(red)?, part(green)?, part(blue)?]))
        }
        _ => None,
    }
}

fn nearest(wanted: [u8; 3]) -> u8 {
    // Of the steps, that before each but the first is 40 less: dark colours become no brighter.
    let step = |part: u8| part.saturating_add(20).saturating_sub(55) / 40;
    let [red, green, blue] = wanted;
    16 + 36 * step(red) + 6 * step(green) + step(blue)
}

/// Red, green and blue of one of xterm's 256 colours.
pub fn rgb(index: u8) -> [u8; 3] {
    match usize::from(index) {
        index @ 0..16 => BASE[index],
        index @ 16..232 => {
            let index = index - 16;
            [index / 36, index / 6 % 6, index % 6].map(|part| STEPS[part])
        }
        index => [(8 + 10 * (index - 232)) as u8; 3],
    }
}

fn are_alike(a: u8, b: u8) -> bool {
    let parts = rgb(a).into_iter().zip(rgb(b));
    let squares = parts.map(|(a, b)| (i32::from(a) - i32::from(b)).pow(2));
    squares.sum::<i32>() < MIN_DISTANCE.pow(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(parameters: &str) -> Style {
        Style::default().select(parameters.as_bytes())
    }

    #[track_caller]
    fn check(parameters: &str, sgr: &str) {
        assert_eq!(style(parameters).sgr(), sgr, "{parameters}");
    }

    #[test]
    fn what_a_guest_selects_is_shown() {
        check("0;1;32", "\x1b[1;32m");
        check("1;2;3;4;7;9", "\x1b[1;2;3;4;7;9m");
        check("31;41;39;49", "");
        check("91;104", "\x1b[91;104m");
        check("38;5;208", "\x1b[38;5;208m");
        check("38:5:208", "\x1b[38;5;208m");
        check("38;2;255;135;0;1", "\x1b[1;38;5;208m");
        check("38:2::255:135:0", "\x1b[38;5;208m");
        check("1;31;", "");
        check("4:3", "\x1b[4m");
        check("4:0", "");
        check("58;5;9;1", "\x1b[1m");
    }

    #[test]
    fn no_colour_hides_text() {
        for parameters in [
            "5",
            "6",
            "8",
            "30",
            "97",
            "37",
            "31;41",
            "38;5;232;48;5;233",
            "38;2;1;1;1;40",
            "38;5;16;40",
            "38;5;999",
            "38;2;300;0;0",
            "38",
            "38;5",
            "38:2:1",
            "4294967296",
            "99",
        ] {
            check(parameters, "");
        }
        check("8;31;41;7", "\x1b[7m");
        check("47", "\x1b[30;47m");
        check("44", "\x1b[97;44m");
    }

    #[test]
    fn a_colour_is_the_nearest_that_is_not_brighter_by_much() {
        for part in 0..=u8::MAX {
            let step = STEPS
                .iter()
                .rposition(|step| *step <= part.saturating_add(20));
            let step = step.unwrap_or_default() as u8;
            assert_eq!(nearest([part; 3]), 16 + 43 * step, "{part}");
        }
    }

    proptest::proptest! {
        #[test]
        fn text_is_never_shown_in_its_backgrounds_colour(parameters in "[0-9;:]{0,40}") {
            let style = style(&parameters);
            if let (Some(on), Some(below)) = style.legible_colours() {
                proptest::prop_assert!(!are_alike(on, below), "{:?}", style);
            }
        }
    }
}
