//! A picture → what draws it on a terminal.

use std::fmt::Write as _;
use std::io::Cursor;

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use ecs_console_archiver::model::screenshot::ImageFormat;
use icy_sixel::SixelImage;
use image::{ImageReader, Limits, RgbaImage};

/// How a terminal is told to draw a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// kitty, Ghostty, Konsole, WezTerm
    Kitty,
    /// iTerm2, WezTerm, VS Code, mintty
    Iterm2,
    /// xterm, foot, Windows Terminal, mlterm, Konsole
    Sixel,
}

/// Greatest side of a picture that is decoded, and the memory for it. No screen needs more.
const MAX_SIDE: u32 = 8192;
const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Most Base64 in one escape sequence of kitty's protocol.
const KITTY_CHUNK_BYTES: usize = 4096;

/// What draws a picture. It is decoded and encoded anew, and nothing else that its file has reaches the terminal: but for
/// iTerm2, which decodes it by itself.
pub fn drawn(bytes: &[u8], format: ImageFormat, protocol: Protocol) -> Result<String> {
    match protocol {
        Protocol::Iterm2 => Ok(iterm2(bytes)),
        Protocol::Kitty => kitty(&decoded(bytes, format)?),
        Protocol::Sixel => sixel(decoded(bytes, format)?),
    }
}

fn decoded(bytes: &[u8], format: ImageFormat) -> Result<RgbaImage> {
    let format = match format {
        ImageFormat::Jpeg => image::ImageFormat::Jpeg,
        ImageFormat::Png => image::ImageFormat::Png,
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    // The error says itself what is behind it.
    let decoded = reader.decode();
    let decoded = decoded.map_err(|error| anyhow!("the picture cannot be decoded: {error}"))?;
    Ok(decoded.into_rgba8())
}

/// Source: iterm2.com/documentation-images.html.
fn iterm2(bytes: &[u8]) -> String {
    let length = bytes.len();
    let base64 = BASE64_STANDARD.encode(bytes);
    format!("\x1b]1337;File=inline=1;size={length};preserveAspectRatio=1:{base64}\x07\n")
}

/// Source: sw.kovidgoyal.net/kitty/graphics-protocol.
fn kitty(picture: &RgbaImage) -> Result<String> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    let base64 = BASE64_STANDARD.encode(png.into_inner());
    let mut drawn = String::new();
    let mut rest = base64.as_str();
    // Transmit and show a PNG, and let the terminal answer nothing.
    let mut control = "a=T,f=100,q=2,";
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(KITTY_CHUNK_BYTES));
        let is_more = u8::from(!behind.is_empty());
        write!(drawn, "\x1b_G{control}m={is_more};{chunk}\x1b\\")?;
        (control, rest) = ("", behind);
    }
    drawn.push('\n');
    Ok(drawn)
}

fn sixel(picture: RgbaImage) -> Result<String> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let image = SixelImage::try_from_rgba(picture.into_raw(), width, height)?;
    Ok(image.encode()? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = include_bytes!("../../../../../tests/fixtures/screenshots/stop.jpg");
    const PNG: &[u8] = include_bytes!("../../../../../tests/fixtures/screenshots/boot-menu.png");

    #[test]
    fn kitty_gets_a_png_in_chunks_that_decode_to_the_same_pixels() {
        for (bytes, format) in [(JPEG, ImageFormat::Jpeg), (PNG, ImageFormat::Png)] {
            let drawn = drawn(bytes, format, Protocol::Kitty).unwrap();
            let mut base64 = String::new();
            let chunks: Vec<_> = drawn.trim_end().split("\x1b\\").collect();
            let (last, chunks) = chunks.split_last().unwrap();
            assert_eq!(*last, "");
            for (number, chunk) in chunks.iter().enumerate() {
                let (control, data) = chunk
                    .strip_prefix("\x1b_G")
                    .unwrap()
                    .split_once(';')
                    .unwrap();
                let more = if number + 1 < chunks.len() {
                    "m=1"
                } else {
                    "m=0"
                };
                assert!(control.ends_with(more), "{control}");
                assert!(data.len() <= KITTY_CHUNK_BYTES);
                base64 += data;
            }
            let png = BASE64_STANDARD.decode(base64).unwrap();
            let again = decoded(&png, ImageFormat::Png).unwrap();
            assert!(again == decoded(bytes, format).unwrap());
        }
    }

    #[test]
    fn sixel_has_the_size_of_the_picture() {
        let drawn = drawn(PNG, ImageFormat::Png, Protocol::Sixel).unwrap();
        let again = SixelImage::decode(drawn.trim_end().as_bytes()).unwrap();
        // A sixel is six pixels high.
        assert_eq!(again.dimensions(), (720, 400_usize.next_multiple_of(6)));
        assert!(drawn.starts_with("\x1bP") && drawn.ends_with("\x1b\\\n"));
    }

    #[test]
    fn iterm2_gets_the_picture_as_it_came() {
        let drawn = drawn(JPEG, ImageFormat::Jpeg, Protocol::Iterm2).unwrap();
        let (_, base64) = drawn
            .trim_end_matches(['\x07', '\n'])
            .split_once(':')
            .unwrap();
        assert!(BASE64_STANDARD.decode(base64).unwrap() == JPEG);
    }

    #[test]
    fn no_sequence_of_the_picture_reaches_the_terminal() {
        for protocol in [Protocol::Kitty, Protocol::Iterm2, Protocol::Sixel] {
            let drawn = drawn(PNG, ImageFormat::Png, protocol).unwrap();
            let begun = drawn.matches('\x1b').count();
            let ended = drawn.matches("\x1b\\").count() + drawn.matches('\x07').count();
            let is_whole = match protocol {
                Protocol::Iterm2 => (begun, ended) == (1, 1),
                _ => begun == 2 * ended,
            };
            assert!(is_whole, "{protocol:?}: {begun} {ended}");
        }
    }
}
