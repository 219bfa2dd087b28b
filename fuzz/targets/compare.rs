//! What a comparison meets: two logs, of which the guests wrote every byte.
#![no_main]

use ecs_console_archiver::reading::compare::{Comparison, Counts, Manner, Side};
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::masks::masked;
use ecs_console_archiver::reading::stitch::Boot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, logs)) = bytes.split_first() else {
        return;
    };
    let (a, b) = logs.split_at(logs.len() * usize::from(*first) / 256);
    for is_raw in [false, true] {
        let manner = Manner {
            is_raw,
            ..Manner::default()
        };
        assert_eq!(
            counts(a, a, manner),
            Counts::default(),
            "nothing differs from itself"
        );
        let (there, back) = (counts(a, b, manner), counts(b, a, manner));
        let mirrored = Counts {
            removed: back.added,
            added: back.removed,
            ..back
        };
        assert_eq!(there, mirrored);
    }
    for line in String::from_utf8_lossy(logs).lines() {
        let key = masked(line);
        assert_eq!(masked(&key), key, "a key's key is the key itself");
    }
});

fn counts(a: &[u8], b: &[u8], manner: Manner) -> Counts {
    let side = |log: &[u8]| {
        let boot = Boot::of_log(log.to_vec());
        Side::read(&boot, EncodingChoice::Auto, manner)
    };
    Comparison::new(side(a), side(b), manner, None)
        .counts()
        .all()
}
