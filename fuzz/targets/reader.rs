//! What reading back meets: stored objects, guests' bytes, the moments people ask for, and the keys
//! of a bucket that others write to, too.
#![no_main]

use ecs_console_archiver::archive::key::{FailedKey, MarkerKey, RecordKey};
use ecs_console_archiver::archive::reader::{Listing, RecordEntry, Selector};
use ecs_console_archiver::archive::record::{pack, unpack};
use ecs_console_archiver::model::moment::Moment;
use ecs_console_archiver::printable::{self, is_active};
use ecs_console_archiver::terminal::{self, Rewrites};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check_gzip(bytes);
    check_terminal(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_moment(text);
        check_keys(text);
        check_printable(text);
    }
});

fn check_gzip(bytes: &[u8]) {
    let again = |plain: &[u8]| unpack(&pack(plain).unwrap()).unwrap() == plain;
    if let Ok(plain) = unpack(bytes) {
        check_terminal(&plain);
        assert!(again(&plain));
    }
    assert!(again(bytes));
}

/// A terminal gets text and this program's own colours, and every line end survives.
fn check_terminal(bytes: &[u8]) {
    let (mut plain, mut coloured, mut lines) = (String::new(), String::new(), 0);
    for line in terminal::lines(bytes) {
        line.show(false, Rewrites::Counted, &mut plain);
        line.show(true, Rewrites::Listed, &mut coloured);
        lines += usize::from(!line.continues);
    }
    let acts = |c: char| is_active(c) && !matches!(c, '\n' | '\t');
    assert!(!plain.contains(acts), "{plain:?}");
    // Its own signs are spelled out where a guest writes them.
    let signs = ['⟨', '⟩', '⟲'];
    let spelled = |text: String, sign: char| text.replace(sign, &sign.escape_unicode().to_string());
    let again = signs.into_iter().fold(plain.clone(), spelled);
    assert_eq!(terminal::printable(plain.as_bytes()), again);
    for piece in coloured.split('\x1b').skip(1) {
        let (codes, _) = piece[1..].split_once('m').unwrap();
        assert!(piece.starts_with('[') && codes.bytes().all(|b| b.is_ascii_digit() || b == b';'));
    }
    assert!(!coloured.replace('\x1b', "").contains(acts), "{coloured:?}");
    assert!(lines >= bytes.iter().filter(|byte| **byte == b'\n').count());
}

fn check_printable(text: &str) {
    assert!(!printable::one_line(text).contains(is_active));
    let json = serde_json::to_string(text).unwrap();
    let shown = printable::json(&json);
    assert!(!shown.contains(is_active));
    assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
}

fn check_moment(text: &str) {
    let moment = text.parse::<Moment>().ok().map(|moment| {
        let (first, last) = (moment.first(&TimeZone::UTC), moment.last(&TimeZone::UTC));
        assert!(first <= last, "{text:?}");
        Selector::NotAfter(last)
    });
    let Some(at) = Selector::name(text).or(moment) else {
        return;
    };
    let names = [
        "20180322T100457-0123456789ab",
        "20180322T1004-0123456789ab",
        "undated-0123456789ab",
    ];
    let listed = |name: &str| RecordEntry {
        key: RecordKey::parse(&format!("i-a1/{name}.log.gz")).unwrap(),
        gzip_bytes: 1,
        stored_at: Timestamp::UNIX_EPOCH,
        verdict: None,
    };
    let records = names.into_iter().map(listed).collect();
    let markers = Vec::new();
    let screenshots = Vec::new();
    let found = Listing {
        records,
        markers,
        screenshots,
    }
    .find(&at, 0);
    match &at {
        Selector::Latest => panic!("{text:?} names no moment"),
        Selector::Name(name) => {
            assert_eq!(name, text);
            assert!(found.is_none_or(|found| found.key.name() == *name));
        }
        Selector::NotAfter(last) => {
            let time = found.and_then(|found| found.updated_at()).map(|at| at.time);
            assert!(time.is_none_or(|time| time <= *last));
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
