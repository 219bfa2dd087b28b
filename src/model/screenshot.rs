//! A picture of an instance's screen, as ECS took it. Only its structure is read; nothing here decodes it.

use std::fmt;
use std::time::Duration;

use super::ids::InstanceId;

/// Longest picture that is kept, in bytes. A screen of 1920 × 1080 takes 0.1 to 1 MB as a JPEG. It has room in an
/// answer of ECS, which is read up to 8 MiB, in Base64.
pub const MAX_SCREENSHOT_BYTES: usize = 6 << 20;

/// Greatest width and height of a screen, in pixels. A picture of few bytes may claim more, and take the memory of
/// whatever shows it.
const MAX_SIDE: u32 = 8192;

/// ECS takes pictures of one instance at least so far apart, and throttles who asks sooner (page of
/// `GetInstanceScreenshot`).
pub const SCREENSHOTS_APART: Duration = Duration::from_secs(10);

/// What a picture is stored as, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageFormat {
    /// JPEG, which the API reference says.
    Jpeg,
    /// PNG, which the sample of the API reference begins as.
    Png,
}

impl ImageFormat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Jpeg, Self::Png];

    /// The end of the name of a file.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
        }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// A picture whose structure was checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Screenshot {
    /// The picture as it came.
    pub bytes: Vec<u8>,
    /// What its head says.
    pub image: Image,
    /// ECS's ID of the request. Empty if it was missing.
    pub request_id: String,
    /// The instance that ECS says it answers for, as of a [console](super::console::ConsoleOutput).
    pub reported_instance_id: Option<String>,
}

/// Logs must not show what a guest shows.
impl fmt::Debug for Screenshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Screenshot of {} bytes", self.bytes.len())
    }
}

impl Screenshot {
    /// Whether ECS says it answers for another instance than was asked for.
    pub fn names_another_than(&self, instance_id: &InstanceId) -> bool {
        let reported = self.reported_instance_id.as_deref();
        reported.is_some_and(|reported| reported != instance_id.as_str())
    }
}

/// What the head of a picture says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// What it is stored as.
    pub format: ImageFormat,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Why bytes are not a picture of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// They begin otherwise: with HTML, SVG or anything else.
    #[error("it begins as neither a JPEG nor a PNG does")]
    OtherFormat,
    /// There are none.
    #[error("the answer has none")]
    Absent,
    /// They are no Base64, so nobody knows what they are.
    #[error("it is not Base64")]
    Undecoded,
    /// They are more than a screen takes.
    #[error("it has {0} bytes, and a screenshot has at most {MAX_SCREENSHOT_BYTES}")]
    TooLong(usize),
    /// They end before the picture does.
    #[error("it is cut off")]
    Cut,
    /// Something follows the picture: they may be another file as well.
    #[error("{}", behind_the_end(*.0))]
    Trailing(usize),
    /// A part is not as the format says.
    #[error("its {0} is damaged")]
    Damaged(&'static str),
    /// No screen is of this size.
    #[error(
        "it says that it has {width} × {height} pixels, and a screen has 1 to {MAX_SIDE} a side"
    )]
    Size {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
}

/// When pictures are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// Where the console says nothing, or that the machine failed.
    Auto,
    /// With each event.
    Always,
    /// Never.
    #[default]
    Never,
}

/// Which pictures are taken, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Screenshots {
    /// When.
    pub when: When,
    /// Whether ECS wakes a display that sleeps. For the guest that is like the press of a key.
    pub wakes_up: bool,
}

const JPEG_START: [u8; 3] = [0xff, 0xd8, 0xff];
const PNG_SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

impl Image {
    /// Reads the structure of a picture, from its first byte to its last.
    ///
    /// # Errors
    /// [`InvalidImage`] if it is not a whole JPEG or PNG, or is more than that.
    pub fn of(bytes: &[u8]) -> Result<Self, InvalidImage> {
        if bytes.len() > MAX_SCREENSHOT_BYTES {
            return Err(InvalidImage::TooLong(bytes.len()));
        }
        let (image, rest) = if bytes.starts_with(&JPEG_START) {
            jpeg(bytes)?
        } else if bytes.starts_with(&PNG_SIGNATURE) {
            png(bytes)?
        } else {
            return Err(InvalidImage::OtherFormat);
        };
        // Zeros are padding, and nothing else.
        if rest.iter().any(|byte| *byte != 0) {
            return Err(InvalidImage::Trailing(rest.len()));
        }
        let Self { width, height, .. } = image;
        let is_side = |side: u32| (1..=MAX_SIDE).contains(&side);
        match is_side(width) && is_side(height) {
            true => Ok(image),
            false => Err(InvalidImage::Size { width, height }),
        }
    }
}

/// Takes so many bytes off the front.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], InvalidImage> {
    let (taken, left) = rest.split_at_checked(count).ok_or(InvalidImage::Cut)?;
    *rest = left;
    Ok(taken)
}

fn number(bytes: &[u8]) -> u32 {
    let byte = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
    bytes.iter().fold(0, byte)
}

/// The segments of a JPEG (ITU-T T.81, annex B): markers, each with a length, until the one that ends the picture. Also
/// what follows it.
fn jpeg(bytes: &[u8]) -> Result<(Image, &[u8]), InvalidImage> {
    let mut rest = bytes;
    take(&mut rest, 2)?;
    let (mut size, mut has_scan) = (None, false);
    loop {
        let [0xff] = take(&mut rest, 1)? else {
            return Err(InvalidImage::Damaged("row of JPEG segments"));
        };
        // Any number of fill bytes may stand before a marker.
        let mut marker = 0xff;
        while marker == 0xff {
            marker = take(&mut rest, 1)?[0];
        }
        match marker {
            0xd9 => break, // The end of the picture.
            0x01 | 0xd0..=0xd7 => continue,
            0x00 | 0xd8 => return Err(InvalidImage::Damaged("row of JPEG segments")),
            _ => {}
        }
        let length = number(take(&mut rest, 2)?) as usize;
        let length = length.checked_sub(2);
        let segment = take(
            &mut rest,
            length.ok_or(InvalidImage::Damaged("JPEG segment"))?,
        )?;
        match marker {
            // A frame, of whatever kind; 0xc4, 0xc8 and 0xcc are tables.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let [_, sides @ .., _] = segment.get(..6).unwrap_or_default() else {
                    return Err(InvalidImage::Damaged("JPEG frame"));
                };
                // Of two, programs may disagree which counts.
                if size.is_some() {
                    return Err(InvalidImage::Damaged("second JPEG frame"));
                }
                size = Some((number(&sides[2..]), number(&sides[..2])));
            }
            // The pixels, up to a marker. A zero hides the first byte of a marker in them.
            0xda => {
                has_scan = true;
                let is_marker =
                    |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff | 0xd0..=0xd7);
                let end = rest.windows(2).position(is_marker);
                rest = &rest[end.ok_or(InvalidImage::Cut)?..];
            }
            _ => {}
        }
    }
    let Some((width, height)) = size.filter(|_| has_scan) else {
        return Err(InvalidImage::Damaged("JPEG frame"));
    };
    let format = ImageFormat::Jpeg;
    Ok((
        Image {
            format,
            width,
            height,
        },
        rest,
    ))
}

/// The chunks of a PNG (ISO/IEC 15948, 5.3), each with a length and a checksum, until the one that ends the picture. Also
/// what follows it.
fn png(bytes: &[u8]) -> Result<(Image, &[u8]), InvalidImage> {
    let mut rest = bytes;
    take(&mut rest, PNG_SIGNATURE.len())?;
    let (mut size, mut has_pixels) = (None, false);
    loop {
        let length = number(take(&mut rest, 4)?) as usize;
        let begin = rest;
        let kind = take(&mut rest, 4)?;
        let data = take(&mut rest, length)?;
        let mut crc = flate2::Crc::new();
        crc.update(&begin[..4 + length]);
        if number(take(&mut rest, 4)?) != crc.sum() {
            return Err(InvalidImage::Damaged("PNG chunk"));
        }
        match (kind, size) {
            (b"IHDR", None)
                if length == 13
                    && matches!(data[8], 1 | 2 | 4 | 8 | 16)
                    && matches!(data[9], 0 | 2 | 3 | 4 | 6) =>
            {
                size = Some((number(&data[..4]), number(&data[4..8])));
            }
            (b"IHDR", _) | (_, None) => return Err(InvalidImage::Damaged("PNG header")),
            (b"IDAT", _) => has_pixels = true,
            (b"IEND", Some((width, height))) if has_pixels => {
                let format = ImageFormat::Png;
                return Ok((
                    Image {
                        format,
                        width,
                        height,
                    },
                    rest,
                ));
            }
            (b"IEND", _) => return Err(InvalidImage::Damaged("PNG without pixels")),
            _ => {}
        }
    }
}

/// What is told of bytes that follow.
fn behind_the_end(bytes: usize) -> String {
    match bytes {
        1 => "1 byte follows the end of the picture".to_owned(),
        _ => format!("{bytes} bytes follow the end of the picture"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = include_bytes!("../../tests/fixtures/screenshots/stop.jpg");
    const PNG: &[u8] = include_bytes!("../../tests/fixtures/screenshots/boot-menu.png");

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], kind, data, &crc.sum().to_be_bytes()].concat()
    }

    /// A picture without pixels of its own: nothing here decodes them.
    fn png_of(width: u32, height: u32) -> Vec<u8> {
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let header = [&size[..], &[8, 2, 0, 0, 0]].concat();
        let chunks = [
            chunk(b"IHDR", &header),
            chunk(b"IDAT", b""),
            chunk(b"IEND", b""),
        ];
        [&PNG_SIGNATURE[..], &chunks.concat()].concat()
    }

    #[track_caller]
    fn check(bytes: &[u8], format: ImageFormat, width: u32, height: u32) {
        let image = Image {
            format,
            width,
            height,
        };
        assert_eq!(Image::of(bytes), Ok(image));
    }

    #[test]
    fn a_whole_jpeg_or_png_is_known_by_its_bytes() {
        check(JPEG, ImageFormat::Jpeg, 800, 600);
        check(PNG, ImageFormat::Png, 720, 400);
        check(&png_of(1920, 1080), ImageFormat::Png, 1920, 1080);
        // Encoders may pad to the length of a block.
        check(&[JPEG, &[0; 12]].concat(), ImageFormat::Jpeg, 800, 600);
    }

    #[test]
    fn what_is_not_a_picture_is_none_whatever_it_is_called() {
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        let html = b"<!DOCTYPE html><html><script>alert(1)</script></html>";
        let others: [&[u8]; 8] = [
            b"",
            svg,
            html,
            b"GIF89a\x01\0\x01\0\0\0\0;",
            b"RIFF\x10\0\0\0WEBPVP8 ",
            b"BM\x3a\0\0\0",
            b"\xff\xd8",
            &PNG[1..],
        ];
        for bytes in others {
            assert_eq!(Image::of(bytes), Err(InvalidImage::OtherFormat));
        }
    }

    #[test]
    fn a_picture_that_is_cut_anywhere_is_none() {
        for picture in [JPEG, PNG] {
            for length in 8..picture.len() {
                assert_eq!(
                    Image::of(&picture[..length]),
                    Err(InvalidImage::Cut),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_goes_on_behind_its_picture_is_none() {
        for picture in [JPEG, PNG] {
            for behind in [&b"PK\x05\x06"[..], b"<script>alert(1)</script>", JPEG] {
                let polyglot = [picture, behind].concat();
                let trailing = InvalidImage::Trailing(behind.len());
                assert_eq!(Image::of(&polyglot), Err(trailing));
            }
        }
        let one = InvalidImage::Trailing(1).to_string();
        assert_eq!(one, "1 byte follows the end of the picture");
    }

    #[test]
    fn a_picture_of_20_mb_is_none_and_is_not_read() {
        let long = [JPEG, &vec![0; 20 << 20]].concat();
        assert_eq!(Image::of(&long), Err(InvalidImage::TooLong(long.len())));
    }

    #[test]
    fn a_size_that_no_screen_has_is_refused() {
        for (width, height) in [(0, 600), (800, 0), (8193, 1), (1, u32::MAX)] {
            let refused = InvalidImage::Size { width, height };
            assert_eq!(Image::of(&png_of(width, height)), Err(refused));
        }
        let mut jpeg = JPEG.to_vec();
        let frame = jpeg
            .windows(2)
            .position(|pair| pair == [0xff, 0xc0])
            .unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
        let (width, height) = (65_535, 65_535);
        assert_eq!(Image::of(&jpeg), Err(InvalidImage::Size { width, height }));
    }

    #[test]
    fn a_flipped_bit_in_a_png_is_found_out() {
        for index in 8..PNG.len() {
            let mut flipped = PNG.to_vec();
            flipped[index] ^= 1;
            assert!(Image::of(&flipped).is_err(), "byte {index}");
        }
    }

    #[test]
    fn heads_without_pixels_are_none() {
        let head = &JPEG[..JPEG
            .windows(2)
            .position(|pair| pair == [0xff, 0xda])
            .unwrap()];
        let without_scan = [head, &[0xff, 0xd9]].concat();
        let damaged = |bytes: &[u8]| matches!(Image::of(bytes), Err(InvalidImage::Damaged(_)));
        assert!(damaged(&without_scan));
        assert!(damaged(b"\xff\xd8\xff\xd9"));
        assert!(damaged(b"\xff\xd8\xff\xe0\0\x01"));
        assert!(damaged(b"\xff\xd8\xff\xe0\0\x02\0"));
        let header = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
        let end = chunk(b"IEND", b"");
        assert!(damaged(&[&PNG_SIGNATURE[..], &end].concat()));
        assert!(damaged(&[&PNG_SIGNATURE[..], &header, &end].concat()));
        assert!(damaged(&[&PNG_SIGNATURE[..], &header, &header].concat()));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(is_png: bool, bytes: Vec<u8>) {
            let start = if is_png { &PNG_SIGNATURE[..] } else { &JPEG_START[..] };
            let _ = Image::of(&[start, &bytes].concat());
        }
    }
}
