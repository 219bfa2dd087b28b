//! The catalog of an archive that is older than the test: days that are joined, and rows of today.

use std::collections::BTreeMap;
use std::time::SystemTime;

use ecs_console_archiver::archive::catalog::day::Rows;
use ecs_console_archiver::archive::catalog::key::COMPLETE_KEY;
use ecs_console_archiver::archive::catalog::{Day, Row, Subject};
use ecs_console_archiver::archive::key::ConsoleDigest;
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::model::ids::RegionId;
use jiff::{SignedDuration, Timestamp};

use super::s3_server::{S3Server, StoredObject};

/// A row of an archive that is older than the test.
pub fn row(day: Day, number: usize) -> Row {
    let captured_at = day.begin() + SignedDuration::from_secs(number as i64 * 7);
    let digest = ConsoleDigest::of(format!("{day} {number}").as_bytes());
    let key = format!(
        "i-bp1fleet{:04}/{}-{}.log.gz",
        number % 500,
        "20261101T000000",
        digest.short()
    );
    let row = Row::listed(
        Subject::parse(&key).unwrap(),
        captured_at,
        Some(5000 + number as u64),
        None,
    );
    let endings = ["clean", "panic", "running", "emergency"];
    Row {
        region_id: RegionId::parse("cn-hangzhou").ok(),
        cause: ["Stopping", "Starting", "sweep"][number % 3].to_owned(),
        ending: Some(endings[number % 4].parse().unwrap()),
        console_bytes: Some(24_000),
        sha256: Some(digest),
        last_update_time: "2026-11-01 00:00:00".to_owned(),
        ..row.with_freshness(Freshness::Fresh)
    }
}

pub fn stored(body: Vec<u8>) -> StoredObject {
    StoredObject {
        body,
        content_type: Some("application/json".into()),
        content_encoding: None,
        metadata: BTreeMap::new(),
        encryption: BTreeMap::new(),
        stored_at: SystemTime::now(),
    }
}

/// A year of days that are joined, and rows of today, below the bucket's prefix.
pub fn put_catalog(server: &S3Server, days: i64, of_a_day: usize, of_today: usize) -> Day {
    let today = Day::of(Timestamp::now());
    for ago in 1..=days {
        let day = Day::of(today.begin() - SignedDuration::from_hours(24 * ago));
        put_day(server, day, of_a_day);
    }
    let mut objects = Vec::new();
    for number in 0..of_today {
        let (key, object) = row(today, number).packed();
        objects.push((format!("kept/here/{key}"), stored(object.body)));
    }
    objects.push((format!("kept/here/{COMPLETE_KEY}"), stored(b"{}".to_vec())));
    server.put_all(objects);
    today
}

/// A day that is joined, below the bucket's prefix.
pub fn put_day(server: &S3Server, day: Day, count: usize) {
    let rows: Rows = (0..count).map(|number| row(day, number)).collect();
    let objects = rows.packed(day).unwrap().into_iter();
    let objects = objects.map(|(key, object)| (format!("kept/here/{key}"), stored(object.body)));
    server.put_all(objects);
}
