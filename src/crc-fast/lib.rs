//! The three CRCs of S3, behind the names that `aws-smithy-checksums` and `s3s` import from the crate
//! [`crc-fast`](https://crates.io/crates/crc-fast).
//!
//! That crate holds tables for every CRC that is known, 0.7 MB of them, and chooses among them while the
//! program runs. So a linker keeps them all. The function signs SHA-256 and never calculates one of these;
//! its start should not load them. Here the tables take 4 KB.

use std::fmt;

use crc::{CRC_32_ISCSI, CRC_32_ISO_HDLC, CRC_64_NVME, Crc};

static CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
static CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_NVME);

/// A CRC that S3 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// `x-amz-checksum-crc32`.
    Crc32IsoHdlc,
    /// `x-amz-checksum-crc32c`.
    Crc32Iscsi,
    /// `x-amz-checksum-crc64nvme`.
    Crc64Nvme,
}

#[derive(Clone)]
enum State {
    Of32(crc::Digest<'static, u32>),
    Of64(crc::Digest<'static, u64>),
}

/// A CRC of bytes that come in pieces.
#[derive(Clone)]
pub struct Digest {
    state: State,
}

impl Digest {
    /// Of no bytes yet.
    #[must_use]
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        let state = match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => State::Of32(CRC32.digest()),
            CrcAlgorithm::Crc32Iscsi => State::Of32(CRC32C.digest()),
            CrcAlgorithm::Crc64Nvme => State::Of64(CRC64.digest()),
        };
        Self { state }
    }

    /// Adds bytes behind those that it has.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Of32(digest) => digest.update(bytes),
            State::Of64(digest) => digest.update(bytes),
        }
    }

    /// The CRC, in the lower bits where it has 32.
    #[must_use]
    pub fn finalize(&self) -> u64 {
        match &self.state {
            State::Of32(digest) => digest.clone().finalize().into(),
            State::Of64(digest) => digest.clone().finalize(),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

/// The CRC of these bytes.
#[must_use]
pub fn checksum(algorithm: CrcAlgorithm, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(algorithm);
    digest.update(bytes);
    digest.finalize()
}
