//! The CRCs of `src/crc-fast`, which the AWS SDK and the suite's S3 server would calculate.

use crc_fast::{CrcAlgorithm, Digest, checksum};
use proptest::prelude::*;

const ALGORITHMS: [CrcAlgorithm; 3] = [
    CrcAlgorithm::Crc32IsoHdlc,
    CrcAlgorithm::Crc32Iscsi,
    CrcAlgorithm::Crc64Nvme,
];

#[test]
fn each_crc_has_the_check_value_of_the_catalogue_of_parametrised_crcs() {
    // reveng.sourceforge.io/crc-catalogue: the CRC of the digits 1 to 9.
    let values = ALGORITHMS.map(|algorithm| checksum(algorithm, b"123456789"));
    assert_eq!(values, [0xcbf4_3926, 0xe306_9283, 0xae8b_1486_0a79_9888]);
}

proptest! {
    #[test]
    fn a_crc_does_not_depend_on_the_pieces_that_its_bytes_come_in(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)
    ) {
        for algorithm in ALGORITHMS {
            let mut digest = Digest::new(algorithm);
            pieces.iter().for_each(|piece| digest.update(piece));
            prop_assert_eq!(digest.finalize(), checksum(algorithm, &pieces.concat()));
        }
    }
}
