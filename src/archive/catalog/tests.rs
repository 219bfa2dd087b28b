//! Properties of rows and their names, over rows that events of any kind could lead to.

use jiff::Timestamp;
use proptest::prelude::*;

use super::compact::CLOSES_AFTER;
use super::day::{Rows, unpack};
use super::key::Day;
use super::name::CatalogKey;
use super::row::{Row, RowOutcome, Subject};
use crate::archive::key::{ConsoleDigest, MarkerKey, RecordKey};
use crate::model::console::NoConsole;
use crate::model::ending::{BootFacts, Ending};
use crate::model::freshness::Freshness;
use crate::model::ids::{InstanceId, RegionId};

const SECOND: i64 = 1_764_000_000; // 2025-11-24T16:00:00Z

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn subject() -> impl Strategy<Value = Subject> {
    let record = (0..3u8, 0..3u8).prop_map(|(instance, console)| {
        let digest = ConsoleDigest::of(&[console]).short();
        let key = format!("i-a{instance}/20251124T100457-{digest}.log.gz");
        Subject::Record(RecordKey::parse(&key).unwrap())
    });
    let marker = (0..3u8).prop_map(|instance| {
        Subject::Marker(MarkerKey {
            instance_id: InstanceId::parse(&format!("i-a{instance}")).unwrap(),
            time: at(SECOND),
            reason: NoConsole::NotRunning,
            digest: ConsoleDigest::of(b"marker").short(),
        })
    });
    prop_oneof![3 => record, 1 => marker]
}

fn facts() -> impl Strategy<Value = BootFacts> {
    (
        1..4usize,
        proptest::sample::select(&Ending::ALL[..]),
        any::<bool>(),
    )
        .prop_map(|(boots, ending, has_login)| BootFacts {
            boots,
            ending,
            has_login,
            kernel: has_login.then(|| "6.1.0-1".to_owned()),
        })
}

fn freshness() -> impl Strategy<Value = Option<Freshness>> {
    let all = [Freshness::Fresh, Freshness::Stale, Freshness::Partial];
    proptest::option::of(proptest::sample::select(all.to_vec()))
}

prop_compose! {
    /// A row behind a record or marker, behind a verdict, or behind a removal.
    fn row()(
        subject in subject(),
        after in 0..200_000i64,
        cause in "(Stopping|SystemFailure.Reboot:Executing|manual|[ -~]{0,20}|\\PC{0,70})",
        facts in facts(),
        freshness in freshness(),
        kind in 0..4u8,
        pruned_after in 0..200_000i64,
        bytes in any::<u32>(),
    ) -> Row {
        let row = Row::listed(subject.clone(), at(SECOND + after), None, None);
        let row = Row { cause, region_id: Some(RegionId::parse("cn-hangzhou").unwrap()), ..row };
        let row = match (&subject, kind) {
            (Subject::Marker(_), _) => row,
            (_, 0) => Row { freshness_is_final: true, ..row.with_freshness(freshness.unwrap_or(Freshness::Stale)) },
            _ => {
                let row = Row {
                    sha256: Some(ConsoleDigest::of(b"x")),
                    console_bytes: Some(u64::from(bytes)),
                    gzip_bytes: Some(u64::from(bytes / 4)),
                    ..row.with_facts(facts)
                };
                match freshness {
                    Some(freshness) => row.with_freshness(freshness),
                    None => row,
                }
            }
        };
        let row = Row { pruned_at: (kind == 3).then(|| at(SECOND + pruned_after)), ..row };
        row.clone().join(row) // Its outcome says what the times say.
    }
}

proptest! {
    #[test]
    fn a_row_is_what_it_was_when_it_is_read(row in row()) {
        let line = row.line();
        prop_assert_eq!(line.matches('\n').count(), 1);
        prop_assert_eq!(Row::parse(line.trim_end().as_bytes()).unwrap(), row);
    }

    #[test]
    fn a_name_tells_what_a_listing_shows(row in row()) {
        let (key, object) = row.packed();
        let name = key.to_string();
        let file = name.rsplit('/').next().unwrap();
        // With `.meta.json` behind it, a file's name has at most 255 bytes.
        prop_assert!(file.len() <= 245, "{} bytes: {}", file.len(), file);
        prop_assert!(file.bytes().all(|b| b.is_ascii_graphic() && !b"/\\:*?\"<>|".contains(&b)), "{}", file);
        let Some(CatalogKey::Row(found)) = CatalogKey::parse(&name) else {
            return Err(TestCaseError::fail(name));
        };
        prop_assert_eq!(&found.digest, &ConsoleDigest::of(&object.body).short());
        let read = found.row;
        prop_assert_eq!(&read.subject, &row.subject);
        prop_assert_eq!(read.captured_at, row.captured_at);
        prop_assert_eq!(&read.region_id, &row.region_id);
        prop_assert!(row.cause.starts_with(read.cause.trim_end_matches('\u{fffd}')), "{:?} {:?}", read.cause, row.cause);
        prop_assert_eq!(read.pruned_at, row.pruned_at);
        let row = if row.pruned_at.is_some() { Row { freshness: None, freshness_is_final: false, ..row } } else { row };
        let shown = |row: &Row| (row.freshness, row.freshness_is_final, row.ending, row.console_bytes, row.gzip_bytes);
        prop_assert_eq!(shown(&read), shown(&row));
    }

    #[test]
    fn rows_join_in_any_order_and_as_often_as_one_likes(
        rows in proptest::collection::vec(row(), 1..8),
        order in any::<u64>(),
    ) {
        let all: Rows = rows.iter().cloned().collect();
        let mut others = [rows.clone(), rows.clone()].concat();
        let mut random = order;
        for at in (1..others.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            others.swap(at, (random >> 33) as usize % (at + 1));
        }
        let shuffled: Rows = others.iter().cloned().collect();
        // In two halves that are joined at the end.
        let (left, right) = others.split_at(others.len() / 2);
        let left: Rows = left.iter().cloned().collect();
        let right: Rows = right.iter().cloned().collect();
        let halves: Rows = left.in_order().into_iter().chain(right.in_order()).collect();
        prop_assert!(rows.iter().all(|row| all.contain(row)));
        prop_assert_eq!(&shuffled, &all);
        prop_assert_eq!(&halves, &all);
    }

    #[test]
    fn a_day_is_what_it_was_when_it_is_read(rows in proptest::collection::vec(row(), 1..8)) {
        let day = Day::of(at(SECOND));
        let rows: Rows = rows.into_iter().collect();
        let packed = rows.clone().packed(day).unwrap();
        prop_assert_eq!(packed.len(), 1);
        let (key, object) = &packed[0];
        prop_assert_eq!(CatalogKey::parse(&key.to_string()), Some(CatalogKey::Day(key.clone())));
        let read: Rows = unpack(&object.body).unwrap().into_iter().collect();
        prop_assert_eq!(&read, &rows);
        // The same rows give the same object.
        prop_assert!(read.packed(day).unwrap() == packed);
    }
}

#[test]
fn names_of_rows_are_these() {
    let key = RecordKey::parse("i-bp1abc/20180322T100457-5891b5b522d5.log.gz").unwrap();
    let row = Row::listed(
        Subject::Record(key),
        "2018-03-22T02:05:30.7Z".parse().unwrap(),
        Some(9),
        None,
    );
    let row = Row {
        cause: "SystemFailure.Reboot:Executing".to_owned(),
        region_id: Some(RegionId::parse("cn-hangzhou").unwrap()),
        ending: Some(Ending::OutOfMemory),
        ..row.with_freshness(Freshness::Fresh)
    };
    let name = row.packed().0.to_string();
    let (name, digest) = name.rsplit_once('~').unwrap();
    assert_eq!(
        name,
        "catalog/rows/dt=2018-03-22/20180322T020530Z~i-bp1abc~cn-hangzhou~\
         20180322T100457-5891b5b522d5.log.gz~SystemFailure.Reboot%3AExecuting~fresh~out_of_memory~-~9"
    );
    assert_eq!(digest.len(), "5891b5b522d5.json".len());
}

#[test]
fn other_keys_are_not_of_the_catalog() {
    let row = Row::listed(
        Subject::parse("i-a/20180322T100457-5891b5b522d5.log.gz").unwrap(),
        at(SECOND),
        None,
        None,
    );
    let good = row.packed().0.to_string();
    assert!(CatalogKey::parse(&good).is_some());
    for other in [
        "catalog/",
        "catalog/rows/dt=2025-11-24/",
        "catalog/rows/dt=2025-11-24/README.md",
        "catalog/days/complete.json",
        "catalog/days/dt=2025-11-24/5891b5b522d5.parquet",
        "catalog/days/dt=2025-11-24/5891b5b522d5.jsonl.gz.tmp",
        "catalog/days/2025-11-24/5891b5b522d5.jsonl.gz",
        "catalog/days/dt=2025-11-31/5891b5b522d5.jsonl.gz",
        "catalog/days/dt=2025-1-24/5891b5b522d5.jsonl.gz",
        "i-a/20180322T100457-5891b5b522d5.log.gz",
    ] {
        assert_eq!(CatalogKey::parse(other), None, "{other}");
    }
    // Of another day than its name says.
    assert_eq!(
        CatalogKey::parse(&good.replace("2025-11-24", "2025-11-25")),
        None
    );
    assert_eq!(CatalogKey::parse(&good.replace("~i-a~", "~i-a~~")), None);
}

/// What a later version writes is kept when its rows are joined, and read as far as it is known.
#[test]
fn members_of_a_later_schema_stay() {
    let row = Row::listed(
        Subject::parse("i-a/20180322T100457-5891b5b522d5.log.gz").unwrap(),
        at(SECOND),
        Some(1),
        None,
    );
    let line = row
        .line()
        .replace("\"schema\":1", "\"schema\":2,\"mood\":{\"is\":[\"good\"]}");
    let later = Row::parse(line.trim_end().as_bytes()).unwrap();
    assert_eq!((later.schema, later.instance_id.as_str()), (2, "i-a"));
    let joined = later.clone().join(later);
    assert!(
        joined.line().contains("\"mood\":{\"is\":[\"good\"]}"),
        "{}",
        joined.line()
    );
}

#[test]
fn what_is_removed_is_gone_until_it_is_captured_again() {
    let row = |second: i64| {
        let subject = Subject::parse("i-a/20180322T100457-5891b5b522d5.log.gz").unwrap();
        Row::listed(subject, at(SECOND + second), Some(1), None)
    };
    let pruned = Row {
        pruned_at: Some(at(SECOND + 10)),
        ..row(0)
    };
    let outcome = |rows: [Row; 3]| {
        let [a, b, c] = rows;
        a.join(b).join(c).outcome
    };
    assert_eq!(
        outcome([row(0), pruned.clone(), row(5)]),
        RowOutcome::Pruned
    );
    assert_eq!(
        outcome([row(0), row(12), pruned.clone()]),
        RowOutcome::Stored
    );
    assert_eq!(
        outcome([pruned.clone(), row(12), row(0)]),
        RowOutcome::Stored
    );
}

#[test]
fn a_day_ends_where_the_next_one_begins() {
    let day = Day::of(at(SECOND));
    assert_eq!(day.to_string(), "dt=2025-11-24");
    assert_eq!(day.begin(), "2025-11-24T00:00:00Z".parse().unwrap());
    assert_eq!(day.end(), Day::of(day.end()).begin());
    assert!(CLOSES_AFTER.as_secs() > 15 * 60);
}

#[test]
fn a_damaged_day_says_where() {
    let row = Row::listed(
        Subject::parse("i-a/20180322T100457-5891b5b522d5.log.gz").unwrap(),
        at(SECOND),
        None,
        None,
    );
    let lines = format!("{}{{\"key\":\"x\"}}\n", row.line());
    let gzip = crate::archive::record::pack(lines.as_bytes()).unwrap();
    let error = unpack(&gzip).unwrap_err().to_string();
    assert!(
        error.starts_with("its line 2 is not a row of the catalog: "),
        "{error}"
    );
    assert!(unpack(&gzip[..20]).is_err());
}
