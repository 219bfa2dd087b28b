//! The 256 colours of terminals, legible on a light page and on a dark one.

use std::fmt::Write as _;

use ecs_console_archiver::terminal::rgb;

type Rgb = [u8; 3];

/// What text stands on: the page, lines that are marked, that say what went wrong, and that were added or removed.
/// style.css has the same.
const LIGHT: [Rgb; 8] = [
    [0xff, 0xff, 0xff],
    [0xff, 0xf1, 0xb8],
    [0xfd, 0xe7, 0xe7],
    [0xfd, 0xee, 0xe3],
    [0xfb, 0xf3, 0xd9],
    [0xee, 0xf2, 0xf6],
    [0xe2, 0xf5, 0xe7],
    [0xfd, 0xea, 0xea],
];
const DARK: [Rgb; 8] = [
    [0x14, 0x17, 0x1c],
    [0x4a, 0x3f, 0x12],
    [0x45, 0x1d, 0x1f],
    [0x40, 0x29, 0x1a],
    [0x38, 0x30, 0x10],
    [0x24, 0x2b, 0x33],
    [0x16, 0x35, 0x1f],
    [0x42, 0x1f, 0x20],
];
/// Least contrast of text. WCAG 2.2, 1.4.3, asks for 4.5.
const CONTRAST: f64 = 4.6;
/// A colour is mixed with black or white in so many steps.
const STEPS: u32 = 50;

/// WCAG 2.2's relative luminance.
fn luminance(colour: Rgb) -> f64 {
    let part = |part: u8| {
        let part = f64::from(part) / 255.0;
        match part <= 0.04045 {
            true => part / 12.92,
            false => ((part + 0.055) / 1.055).powf(2.4),
        }
    };
    let [red, green, blue] = colour.map(part);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The nearest colour to it that is legible on all of these.
fn legible(colour: Rgb, below: &[Rgb; 8]) -> Rgb {
    let target: u8 = if luminance(below[0]) > 0.5 { 0 } else { 255 };
    let mixed = |step: u32| {
        colour.map(|part| {
            let (part, target) = (u32::from(part), u32::from(target));
            ((part * (STEPS - step) + target * step) / STEPS) as u8
        })
    };
    let mut steps = (0..=STEPS).map(mixed);
    let is_legible = |mixed: &Rgb| {
        below
            .iter()
            .all(|below| contrast(*mixed, *below) >= CONTRAST)
    };
    let found = steps.find(is_legible);
    found.unwrap_or([target; 3])
}

/// Black or white, whichever is legible on a colour.
fn on(colour: Rgb) -> &'static str {
    match contrast(colour, [0; 3]) > contrast(colour, [255; 3]) {
        true => "#000",
        false => "#fff",
    }
}

fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A class for each: `f1` for text, `b1` for what is below it, which decides on the text's own colour.
pub fn style() -> String {
    let mut style = String::new();
    let mut dark = String::new();
    for index in 0..=255 {
        let colour = rgb(index);
        let _ = write!(style, ".f{index}{{color:{}}}", hex(legible(colour, &LIGHT)));
        let _ = write!(dark, ".f{index}{{color:{}}}", hex(legible(colour, &DARK)));
        let _ = write!(
            style,
            ".b{index}{{background:{};color:{}}}",
            hex(colour),
            on(colour)
        );
    }
    let _ = writeln!(
        style,
        "\n@media screen and (prefers-color-scheme:dark){{{dark}}}"
    );
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_every_colour_is_legible_on_both_pages() {
        for index in 0..=255 {
            let colour = rgb(index);
            for all in [LIGHT, DARK] {
                for below in all {
                    let found = contrast(legible(colour, &all), below);
                    assert!(found >= 4.5, "{index} on {below:?}: {found:.2}");
                }
            }
            let text = if on(colour) == "#000" {
                [0; 3]
            } else {
                [255; 3]
            };
            assert!(contrast(colour, text) >= 4.5, "{index} below text");
        }
    }

    #[test]
    fn contrast_is_what_wcag_says() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        // #767676 is known as the lightest grey that passes on white.
        assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.01);
    }

    #[test]
    fn what_text_stands_on_is_that_of_the_style() {
        let names = [
            "page",
            "marked",
            "found-fatal",
            "found-error",
            "found-warning",
            "found-info",
            "added",
            "removed",
        ];
        let values = names.map(value);
        assert_eq!(values.map(|(light, _)| light), LIGHT);
        assert_eq!(values.map(|(_, dark)| dark), DARK);
    }

    /// The value of a custom property: of the light page, and of the dark one.
    fn value(name: &str) -> (Rgb, Rgb) {
        let values: Vec<Rgb> = include_str!("style.css")
            .split(&format!("--{name}: #"))
            .skip(1)
            .map(|rest| {
                let part = |at: usize| u8::from_str_radix(&rest[at..at + 2], 16).unwrap();
                [part(0), part(2), part(4)]
            })
            .collect();
        assert_eq!(values.len(), 2, "{name}");
        (values[0], values[1])
    }

    #[test]
    fn the_pages_own_text_is_legible() {
        let pages = value("page");
        for panel in ["page", "panel"] {
            let below = value(panel);
            for name in [
                "text", "faint", "link", "fatal", "error", "warning", "info", "good",
            ] {
                let text = value(name);
                for (text, below) in [(text.0, below.0), (text.1, below.1)] {
                    let found = contrast(text, below);
                    assert!(found >= 4.5, "{name} on {panel}: {found:.2}");
                }
            }
        }
        for marked in [
            "marked",
            "found-fatal",
            "found-error",
            "found-warning",
            "found-info",
            "added",
            "removed",
        ] {
            let (text, below) = (value("text"), value(marked));
            for (text, below) in [(text.0, below.0), (text.1, below.1)] {
                assert!(contrast(text, below) >= 4.5, "{marked}");
            }
        }
        assert_ne!(pages.0, pages.1);
    }
}
