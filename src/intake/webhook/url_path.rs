//! The path of a request's URL, which may end with the token.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The path of a request's URL, as the sender or a platform wrote it. `Debug` does not show it,
/// because it may end with the token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UrlPath(String);

impl UrlPath {
    /// The path that a request has, with or without percent encoding.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The last segment that is not empty, in the two ways it can be read: as it is written, and
    /// without percent encoding. REST APIs, function URLs and load balancers pass a path on as it
    /// came, and HTTP APIs decode it (middleapi/standard-server#93 and hotsock/voker#8, by captured
    /// requests).
    pub(super) fn last_segment(&self) -> Option<[Vec<u8>; 2]> {
        let segment = self.0.rsplit('/').find(|segment| !segment.is_empty())?;
        Some([
            segment.as_bytes().to_vec(),
            percent_decode_str(segment).collect(),
        ])
    }
}

impl fmt::Debug for UrlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[path]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_that_is_not_empty_is_read_as_written_and_decoded() {
        for (path, read) in [
            ("/hush", Some(["hush", "hush"])),
            ("hush", Some(["hush", "hush"])),
            ("/stage/base/hush//", Some(["hush", "hush"])),
            ("/a%2Fb", Some(["a%2Fb", "a/b"])),
            ("/a+b%zz", Some(["a+b%zz", "a+b%zz"])),
            ("", None),
            ("//", None),
        ] {
            let read = read.map(|read| read.map(|text| text.as_bytes().to_vec()));
            assert_eq!(UrlPath::new(path).last_segment(), read, "{path}");
        }
    }

    #[test]
    fn debug_does_not_show_the_path() {
        assert_eq!(format!("{:?}", UrlPath::new("/hush")), "[path]");
    }
}
