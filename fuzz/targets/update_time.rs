//! `LastUpdateTime` on the first line, then the seconds of the event and of its receipt, a line
//! each. What is read has one spelling in keys, and reads back as itself.
#![no_main]

use ecs_console_archiver::archive::key::{ConsoleDigest, RecordKey};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::model::update_time::UpdateTime;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let text = lines.next().unwrap_or_default();
    let mut moment = || {
        let seconds = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    let (event, now) = (moment(), moment());
    let shows = UpdateTime::can_show(text, event, now);
    let Ok(time) = UpdateTime::parse(text) else {
        assert_eq!(shows, None);
        return;
    };
    assert_eq!(UpdateTime::parse(&format!(" {text}\t")), Ok(time));
    let digits = time.to_string();
    assert!(digits.bytes().all(|b| b.is_ascii_digit() || b == b'T'));
    assert!(matches!(digits.len(), 13 | 15) && digits.find('T') == Some(8));
    assert_eq!(UpdateTime::parse(&digits), Ok(time));
    let key = RecordKey {
        instance_id: InstanceId::parse("i-a1").unwrap(),
        last_update_time: Some(time),
        digest: ConsoleDigest::of(text.as_bytes()).short(),
        is_undecoded: text.len() % 2 == 1,
    };
    assert_eq!(RecordKey::parse(&key.to_string()), Some(key));
    // In a known zone, what shows an event shows everything before it; and with no zone named, it
    // is believed to.
    let zoned = format!("{digits}+08:00");
    let zoned_shows = |event| UpdateTime::can_show(&zoned, event, now) == Some(true);
    if zoned_shows(event) {
        assert_eq!(UpdateTime::can_show(&digits, event, now), Some(true));
        if let Ok(before) = Timestamp::from_second(event.as_second() - 1) {
            assert!(zoned_shows(before));
        }
    }
});
