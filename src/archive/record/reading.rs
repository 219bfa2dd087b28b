//! Stored object → its console, checked against the object's key and metadata. Other programs write
//! to the same bucket, and disks and copies fail, so a key alone does not make an object a record.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

use crate::archive::key::{ConsoleDigest, RecordKey};
use crate::store::Object;

/// Most bytes that are inflated. A console is shorter than [`crate::source::ecs::MAX_ANSWER_BYTES`],
/// so this program never writes a record that inflates to more.
pub const MAX_PLAIN_BYTES: usize = 64 << 20;

/// Metadata with the length of the stored file.
pub const GZIP_BYTES: &str = "gzip-bytes";
/// Names of the metadata that describe the bytes.
const CHECKED: [&str; 3] = ["console-sha256", "console-bytes", GZIP_BYTES];

/// A stored object, unpacked and checked.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedObject {
    /// The console, as far as it can be read.
    pub plain: Vec<u8>,
    /// Where the object differs from its key and metadata. Empty for a genuine record.
    pub faults: Vec<Fault>,
    /// Names of `CHECKED` that the object's metadata lacks. The console was not checked against them.
    pub missing: Vec<&'static str>,
}

/// One way in which a stored object is not the record that its key names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The object is not a gzip file, or it is a damaged or truncated one.
    #[error("it is not a whole gzip file ({reason}); {plain_bytes} bytes of it can be read")]
    Gzip {
        /// Message of the gzip decoder.
        reason: String,
        /// Bytes that could be read before the damage.
        plain_bytes: usize,
    },
    /// Bytes follow the end of the gzip file, whether or not they are another gzip file. Holds how
    /// many.
    #[error("{}", behind_the_end(*.0))]
    Trailing(usize),
    /// The object inflates to more bytes than any console has.
    #[error("it inflates to more than {MAX_PLAIN_BYTES} bytes, which no console has")]
    TooLarge,
    /// The console's digest is not the one in the key.
    #[error("the SHA-256 of its console begins with {found}, and its key says {said}")]
    Key {
        /// Digest in the key.
        said: String,
        /// Digest of the bytes.
        found: String,
    },
    /// The bytes are not those that the metadata describes.
    #[error("its metadata says {name} {said:?}, and it is {found}")]
    Metadata {
        /// Name of the metadata.
        name: &'static str,
        /// Value in the metadata.
        said: String,
        /// Value for the bytes.
        found: String,
    },
}

/// Unpacks a stored object, and checks it against its key and metadata.
pub fn read(key: &RecordKey, object: &Object) -> CheckedObject {
    let (plain, faults) = inflate(&object.body);
    check(key, object, plain, faults)
}

/// Checks what was unpacked against the object's key and metadata.
fn check(
    key: &RecordKey,
    object: &Object,
    plain: Vec<u8>,
    mut faults: Vec<Fault>,
) -> CheckedObject {
    let is_whole = !faults
        .iter()
        .any(|fault| matches!(fault, Fault::Gzip { .. } | Fault::TooLarge));
    let digest = ConsoleDigest::of(&plain);
    if is_whole && digest.short() != key.digest {
        faults.push(Fault::Key {
            said: key.digest.to_string(),
            found: digest.short().to_string(),
        });
    }
    let found = [
        is_whole.then(|| digest.to_string()),
        is_whole.then(|| plain.len().to_string()),
        Some(object.body.len().to_string()),
    ];
    let mut missing = Vec::new();
    for (name, found) in CHECKED.into_iter().zip(found) {
        match (object.metadata.get(name), found) {
            (None, _) => missing.push(name),
            (Some(said), Some(found)) if *said != found => {
                let said = said.clone();
                faults.push(Fault::Metadata { name, said, found });
            }
            _ => {}
        }
    }
    // Another program may have packed the console anew. All that is left of the first file is its length.
    let is_proven = is_whole && !missing.contains(&"console-sha256");
    if let ([Fault::Metadata { name, said, .. }], true) = (&faults[..], is_proven)
        && *name == GZIP_BYTES
        && said.parse::<u64>().is_ok()
    {
        faults.clear();
    }
    CheckedObject {
        plain,
        faults,
        missing,
    }
}

/// Decompresses a gzip file with one member, and checks its length and checksum.
///
/// # Errors
/// The first [`Fault`] of the gzip file.
pub fn unpack(gzip: &[u8]) -> Result<Vec<u8>, Fault> {
    let (plain, faults) = inflate(gzip);
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(plain),
    }
}

/// Returns what can be read, and what is wrong. This program writes files with one member, so a
/// second member was not written by it.
fn inflate(gzip: &[u8]) -> (Vec<u8>, Vec<Fault>) {
    let (mut plain, mut faults) = (Vec::with_capacity(said_length(gzip)), Vec::new());
    let mut bounded = GzDecoder::new(gzip).take(MAX_PLAIN_BYTES as u64 + 1);
    // The bytes read before an error are kept.
    if let Err(error) = bounded.read_to_end(&mut plain) {
        faults.push(Fault::Gzip {
            reason: error.to_string(),
            plain_bytes: plain.len(),
        });
    } else if plain.len() > MAX_PLAIN_BYTES {
        plain.truncate(MAX_PLAIN_BYTES);
        faults.push(Fault::TooLarge);
    } else {
        let trailing = bounded.into_inner().into_inner().len();
        if trailing > 0 {
            faults.push(Fault::Trailing(trailing));
        }
    }
    (plain, faults)
}

/// The length that a gzip file says its content has, in its last four bytes. A file that says more than
/// its size allows is damaged, and gets no more memory than that.
fn said_length(gzip: &[u8]) -> usize {
    /// The most that deflate makes of a byte.
    const GREATEST_RATIO: usize = 1032;
    let said = gzip
        .last_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    said.min(gzip.len() * GREATEST_RATIO).min(MAX_PLAIN_BYTES)
}

/// Unpacks records one after the other, whole ones alone, in half the time of [`unpack`].
#[cfg(feature = "cli")]
pub struct Unpacker(libdeflater::Decompressor);

#[cfg(feature = "cli")]
impl Default for Unpacker {
    fn default() -> Self {
        Self(libdeflater::Decompressor::new())
    }
}

#[cfg(feature = "cli")]
impl Unpacker {
    /// Decompresses a gzip file with one member, and checks its length and checksum. `None` if anything may be
    /// wrong with it: [`read`] says whether something is, what, and how much can be read.
    pub fn unpack(&mut self, gzip: &[u8]) -> Option<Vec<u8>> {
        let (_, end) = gzip.split_last_chunk::<GZIP_END_BYTES>()?;
        let [.., a, b, c, d] = *end;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length != said_length(gzip) {
            return None;
        }
        let mut plain = vec![0; length];
        let unpacked = self.0.gzip_decompress(gzip, &mut plain).ok()?;
        // The decoder stops behind the first member. Whatever follows that ends either with another checksum
        // and length, or with the same ones, which then stand in the file twice. (Those of an empty console are
        // zeros, which its header has, too.)
        let is_end = libdeflater::crc32(&plain).to_le_bytes() == end[..4];
        let is_only_end = memchr::memmem::find(&gzip[..gzip.len() - 1], end).is_none();
        (unpacked == length && is_end && is_only_end).then_some(plain)
    }

    /// As [`read`], and faster for what is whole.
    pub fn read(&mut self, key: &RecordKey, object: &Object) -> CheckedObject {
        match self.unpack(&object.body) {
            Some(plain) => check(key, object, plain, Vec::new()),
            None => read(key, object),
        }
    }
}

/// Checksum and length at the end of a gzip member.
#[cfg(feature = "cli")]
const GZIP_END_BYTES: usize = 8;

/// What is told of bytes that follow.
fn behind_the_end(bytes: usize) -> String {
    match bytes {
        1 => "1 byte follows the end of the gzip file".to_owned(),
        _ => format!("{bytes} bytes follow the end of the gzip file"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::archive::record::pack;

    const PLAIN: &[u8] = b"[    0.000000] Linux version\r\n[   99.000001] Kernel panic\r\n";

    fn key_of(plain: &[u8]) -> RecordKey {
        let digest = ConsoleDigest::of(plain).short();
        RecordKey::parse(&format!("i-a1/20180322T100457-{digest}.log.gz")).unwrap()
    }

    /// An object as this program writes it.
    fn object(plain: &[u8]) -> Object {
        let body = pack(plain).unwrap();
        let metadata = BTreeMap::from([
            (
                "console-sha256".to_owned(),
                ConsoleDigest::of(plain).to_string(),
            ),
            ("console-bytes".to_owned(), plain.len().to_string()),
            ("gzip-bytes".to_owned(), body.len().to_string()),
        ]);
        Object {
            body,
            content_type: String::new(),
            metadata,
        }
    }

    /// The messages of the faults of a record after `change`, and what can be read of it.
    fn faults(change: impl FnOnce(&mut Object)) -> (String, Vec<u8>) {
        let mut object = object(PLAIN);
        change(&mut object);
        let contents = read(&key_of(PLAIN), &object);
        let faults: Vec<_> = contents.faults.iter().map(Fault::to_string).collect();
        (faults.join("; "), contents.plain)
    }

    #[test]
    fn a_genuine_record_has_no_faults() {
        let contents = read(&key_of(PLAIN), &object(PLAIN));
        assert_eq!(contents.plain, PLAIN);
        assert!(contents.faults.is_empty() && contents.missing.is_empty());
    }

    #[test]
    fn another_console_under_a_records_key_is_found_out() {
        let forged = b"all is well\n";
        let (told, plain) = faults(|object| object.body = pack(forged).unwrap());
        assert!(told.contains("and its key says"), "{told}");
        assert!(told.contains("metadata says console-sha256"), "{told}");
        assert_eq!(plain, forged);
        // Matching metadata does not hide a wrong digest in the key.
        let mut other = object(forged);
        let faults = |object: &Object| read(&key_of(PLAIN), object).faults;
        assert!(matches!(faults(&other)[..], [Fault::Key { .. }]));
        other.metadata.clear();
        assert!(matches!(faults(&other)[..], [Fault::Key { .. }]));
    }

    #[test]
    fn what_follows_the_gzip_file_is_no_part_of_the_console() {
        let forged = pack(b"all is well\n").unwrap();
        for behind in [&forged[..], &pack(b"").unwrap(), b"garbage", b"\0"] {
            let (told, plain) = faults(|object| object.body.extend(behind));
            let bytes = match behind.len() {
                1 => "1 byte follows the end of the gzip file".to_owned(),
                many => format!("{many} bytes follow the end of the gzip file"),
            };
            assert!(told.starts_with(&bytes), "{told}");
            assert!(told.contains("metadata says gzip-bytes"), "{told}");
            assert_eq!(plain, PLAIN);
        }
    }

    #[test]
    fn of_a_cut_record_the_part_that_is_there_can_be_read() {
        let long: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let mut cut = object(&long);
        cut.body.truncate(cut.body.len() / 2);
        let contents = read(&key_of(&long), &cut);
        assert!(matches!(
            contents.faults[..],
            [Fault::Gzip { .. }, Fault::Metadata { .. }]
        ));
        assert!(contents.plain.len() > 100_000 && long.starts_with(&contents.plain));
        for length in [0, 1, 9, 10, 20] {
            let (told, _) = faults(|object| object.body.truncate(length));
            assert!(told.contains("not a whole gzip file"), "{length}: {told}");
        }
        let (_, plain) = faults(|object| {
            let length = object.body.len() - 1;
            object.body.truncate(length);
        });
        assert_eq!(plain, PLAIN);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found_out() {
        // The gzip header's text flag, time and system do not change the console.
        let length = object(PLAIN).body.len();
        for index in (0..3).chain(10..length) {
            let (told, _) = faults(|object| object.body[index] ^= 1);
            assert!(!told.is_empty(), "byte {index}");
        }
    }

    #[test]
    fn metadata_that_lies_is_found_out() {
        for (name, lie) in [
            ("console-sha256", "00"),
            ("console-bytes", "1"),
            ("console-bytes", "-1"),
            ("gzip-bytes", "99999999999999999999"),
            ("gzip-bytes", ""),
        ] {
            let (told, _) = faults(|object| {
                object.metadata.insert(name.to_owned(), lie.to_owned());
            });
            let said = format!("its metadata says {name} {lie:?}, and it is ");
            assert!(told.starts_with(&said), "{told}");
        }
    }

    #[test]
    fn missing_metadata_is_no_fault_and_named() {
        let mut stripped = object(PLAIN);
        stripped.metadata.remove("console-bytes");
        let contents = read(&key_of(PLAIN), &stripped);
        assert!(contents.faults.is_empty());
        assert_eq!(contents.missing, ["console-bytes"]);
        stripped.metadata.clear();
        assert_eq!(read(&key_of(PLAIN), &stripped).missing, CHECKED);
    }

    #[test]
    fn a_gzip_bomb_is_read_no_further_than_a_console_goes() {
        let bomb = pack(&vec![0; MAX_PLAIN_BYTES + 1]).unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(&bomb), Err(Fault::TooLarge));
        let (told, plain) = faults(|object| object.body = bomb);
        assert!(told.starts_with("it inflates to more than"), "{told}");
        assert_eq!(plain.len(), MAX_PLAIN_BYTES);
    }

    #[test]
    fn a_damaged_or_cut_object_is_refused() {
        let gzip = pack(b"hello\n").unwrap();
        let mut flipped = gzip.clone();
        flipped[14] ^= 1;
        for bytes in [&gzip[..gzip.len() - 1], &flipped, b"plain text", b""] {
            assert!(matches!(unpack(bytes), Err(Fault::Gzip { .. })));
        }
    }

    /// Of every kind of damage above, and of none.
    #[test]
    fn the_fast_way_unpacks_what_is_whole_and_nothing_else() {
        let mut unpacker = Unpacker::default();
        let gzip = pack(PLAIN).unwrap();
        assert_eq!(unpacker.unpack(&gzip).as_deref(), Some(PLAIN));
        let long = [7; 100_000];
        let packed = pack(&long).unwrap();
        assert_eq!(unpacker.unpack(&packed).as_deref(), Some(&long[..]));
        let other = pack(b"other").unwrap();
        for behind in [
            &gzip[..],
            &other,
            &pack(b"").unwrap(),
            b"garbage",
            b"\0",
            &gzip[gzip.len() - 8..],
        ] {
            assert_eq!(unpacker.unpack(&[&gzip, behind].concat()), None);
        }
        for length in 0..gzip.len() {
            assert_eq!(unpacker.unpack(&gzip[..length]), None, "{length}");
        }
        for index in (0..3).chain(10..gzip.len()) {
            let mut flipped = gzip.clone();
            flipped[index] ^= 1;
            assert_eq!(unpacker.unpack(&flipped), None, "byte {index}");
        }
        let bomb = pack(&vec![0; MAX_PLAIN_BYTES + 1]).unwrap();
        assert_eq!(unpacker.unpack(&bomb), None);
    }

    proptest::proptest! {
        #[test]
        fn the_fast_way_says_the_same_as_the_other(gzip: Vec<u8>, plain: Vec<u8>) {
            let mut unpacker = Unpacker::default();
            let whole = pack(&plain).unwrap();
            for gzip in [&gzip, &whole] {
                let unpacked = unpacker.unpack(gzip);
                proptest::prop_assert!(unpacked.is_none() || unpacked == unpack(gzip).ok());
            }
            proptest::prop_assert_eq!(unpacker.unpack(&whole).is_some(), !plain.is_empty());
        }

        #[test]
        fn any_bytes_come_back(plain: Vec<u8>) {
            proptest::prop_assert_eq!(unpack(&pack(&plain).unwrap()).unwrap(), plain);
        }

        #[test]
        fn arbitrary_bytes_never_panic_the_reader_and_are_no_record(gzip: Vec<u8>) {
            let mut object = object(PLAIN);
            object.body = gzip;
            proptest::prop_assert!(!read(&key_of(PLAIN), &object).faults.is_empty());
        }
    }
}
