//! What reading back meets: stored objects, guests' bytes, the moments people ask for, and the keys
//! of a bucket that others write to, too.
#![no_main]

use ecs_console_archiver::archive::{At, Listed, Listing};
use ecs_console_archiver::key::{FailedKey, MarkerKey, RecordKey};
use ecs_console_archiver::record::{pack, unpack};
use ecs_console_archiver::terminal::printable;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_gzip(bytes);
    check_printable(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_moment(text);
        check_keys(text);
    }
});

fn check_gzip(bytes: &[u8]) {
    let again = |plain: &[u8]| unpack(&pack(plain).unwrap()).unwrap() == plain;
    if let Ok(plain) = unpack(bytes) {
        check_printable(&plain);
        assert!(again(&plain));
    }
    assert!(again(bytes));
}

fn check_printable(bytes: &[u8]) {
    let shown = printable(bytes);
    let acts = |c: char| {
        let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && !matches!(c, '\n' | '\t')) || reorders
    };
    assert!(!shown.contains(acts), "{shown:?}");
    assert_eq!(printable(shown.as_bytes()), shown);
}

fn check_moment(text: &str) {
    let Ok(at) = At::parse(text) else { return };
    let names = [
        "20180322T100457-0123456789ab",
        "20180322T1004-0123456789ab",
        "undated-0123456789ab",
    ];
    let listed = |name: &str| Listed {
        key: RecordKey::parse(&format!("i-a1/{name}.log.gz")).unwrap(),
        gzip_bytes: 1,
        stored_at: Timestamp::UNIX_EPOCH,
    };
    let records = names.into_iter().map(listed).collect();
    let markers = Vec::new();
    let found = Listing { records, markers }.find(&at);
    match &at {
        At::Latest => panic!("{text:?} names no moment"),
        At::Name(name) => {
            assert_eq!(name, text);
            assert!(found.is_none_or(|found| found.key.name() == *name));
        }
        At::Moment(moment) => {
            assert!(moment.bytes().all(|b| b.is_ascii_digit() || b == b'T'));
            // Its digits say the same as it did.
            assert_eq!(At::parse(moment).as_ref(), Ok(&at));
            if let Some(found) = found {
                let name = found.key.name();
                assert!(name.starts_with(&moment[..]) || name[..] < moment[..]);
            }
        }
    }
}

fn check_keys(text: &str) {
    let record = RecordKey::parse(text).map(|key| key.to_string());
    let marker = MarkerKey::parse(text).map(|key| key.to_string());
    let failed = FailedKey::parse(text).map(|key| key.to_string());
    // At most one of them is meant, and each has one spelling.
    let read: Vec<_> = [record, marker, failed].into_iter().flatten().collect();
    assert!(read.is_empty() || read == [text], "{read:?}");
}
