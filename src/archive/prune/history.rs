//! What is decided about: the boots of an instance, by all of its records.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::AT_ONCE;
use super::policy::{Facts, Rules};
use crate::archive::key::RecordKey;
use crate::archive::reader::{self, Console, ReadError, RecordEntry};
use crate::archive::record::facts::{CAPTURED_AT, captured_after_storing, contradiction};
use crate::reading::encoding::EncodingChoice;
use crate::reading::findings;
use crate::reading::stitch::{Boot, Stitcher};
use crate::store::{Store, StoreError};

/// A boot, as far as a decision needs it.
pub(super) struct KnownBoot {
    pub id: String,
    pub facts: Facts,
    /// When its first part was captured.
    pub first: Timestamp,
    /// Names of its records, the oldest first.
    pub captures: Vec<String>,
    /// Its log, and what is told to be missing of it, as a number by which a change is seen.
    pub log: u64,
}

/// What was read of an instance.
#[derive(Default)]
pub(super) struct History {
    /// Its boots, the oldest first.
    pub boots: Vec<KnownBoot>,
    /// Records that are damaged, that cannot be read, or whose metadata say of them what cannot be so, and why. Of
    /// these, nobody knows where they belong, nor which boots are older than they are.
    pub damaged: BTreeMap<RecordKey, String>,
    /// Records that were removed after they were listed.
    pub gone: Vec<RecordKey>,
    /// Names of records that do not say when they were captured.
    undated: BTreeSet<String>,
    /// The last boot, which another may follow.
    last: Option<Boot>,
}

/// Reads the boots that these records show, one capture after the other, as far as these rules need it.
pub(super) async fn read(
    store: &impl Store,
    records: impl IntoIterator<Item = &RecordEntry>,
    rules: &Rules,
) -> Result<History, StoreError> {
    // They are nearly always stored in the order in which they were captured.
    let mut records: Vec<_> = records
        .into_iter()
        .filter(|record| !record.key.is_undecoded)
        .collect();
    records.sort_by_key(|record| record.stored_at);
    if let Some(history) = read_in_order(store, &records, rules).await? {
        return Ok(history);
    }
    // Not in an archive that was copied, nor where one was followed for longer than another.
    let captured_at = records.iter().map(async |record| {
        match store.metadata(&record.key.to_string()).await {
            Ok(metadata) => Ok(metadata.and_then(|metadata| captured_at(&metadata))),
            Err(error) if error.is_of_object() => Ok(None), // It is told where it is opened.
            Err(error) => Err(error),
        }
    });
    let captured_at = stream::iter(captured_at).buffered(AT_ONCE);
    let captured_at: Vec<_> = captured_at.try_collect().await?;
    let mut records: Vec<_> = records.into_iter().zip(captured_at).collect();
    records.sort_by_key(|(record, captured_at)| {
        let captured_at = captured_at.unwrap_or(record.stored_at);
        (captured_at, record.key.last_update_time, record.key.name())
    });
    let records: Vec<_> = records.into_iter().map(|(record, _)| record).collect();
    let history = read_in_order(store, &records, rules).await?;
    let told = "the times of records change while they are read".to_owned();
    history.ok_or(StoreError::Unavailable(told))
}

fn captured_at(metadata: &BTreeMap<String, String>) -> Option<Timestamp> {
    metadata.get(CAPTURED_AT)?.parse().ok()
}

/// The same of records in this order. `None` if they were not captured in it.
async fn read_in_order(
    store: &impl Store,
    records: &[&RecordEntry],
    rules: &Rules,
) -> Result<Option<History>, StoreError> {
    let mut history = History::default();
    let mut stitcher = Stitcher::default();
    let mut before = None;
    let opened = records.iter().map(async |record| {
        let opened = reader::open(store, &record.key).await;
        (*record, opened)
    });
    let mut opened = stream::iter(opened).buffered(AT_ONCE);
    while let Some((record, opened)) = opened.next().await {
        let contents = match opened {
            Ok(contents) => contents,
            Err(ReadError::Store(error)) if !error.is_of_object() => return Err(error),
            Err(ReadError::Gone(_)) => {
                history.gone.push(record.key.clone());
                continue;
            }
            Err(ReadError::Store(error)) => {
                history
                    .damaged
                    .insert(record.key.clone(), error.to_string());
                continue;
            }
            Err(ReadError::Damaged(damaged)) => {
                let why = damaged.faults_text();
                history.damaged.insert(record.key.clone(), why);
                continue;
            }
        };
        let (plain, metadata) = (contents.plain, contents.object.metadata);
        let captured_at = captured_at(&metadata);
        let wrong = contradiction(&record.key, &metadata)
            .or_else(|| captured_after_storing(captured_at?, record.stored_at));
        if let Some(why) = wrong {
            history.damaged.insert(record.key.clone(), why);
            continue;
        }
        if captured_at.is_none() {
            history.undated.insert(record.key.name());
        }
        let capture = Console { plain, metadata }.into_capture(record);
        let order = (
            capture.captured_at,
            capture.updated_at,
            capture.name.clone(),
        );
        if before.as_ref().is_some_and(|before| *before > order) {
            return Ok(None);
        }
        before = Some(order);
        for boot in stitcher.push(capture) {
            history.add(boot, rules);
        }
    }
    for boot in stitcher.finish() {
        history.add(boot, rules);
    }
    if let Some(last) = history.last.take() {
        history.add_known(&last, true, rules);
    }
    Ok(Some(history))
}

impl History {
    fn add(&mut self, boot: Boot, rules: &Rules) {
        if let Some(before) = self.last.replace(boot) {
            self.add_known(&before, false, rules);
        }
    }

    fn add_known(&mut self, boot: &Boot, is_newest: bool, rules: &Rules) {
        let times = boot.captures.iter().map(|capture| capture.captured_at);
        let captures = boot.captures.iter().map(|capture| capture.name.clone());
        let captures: Vec<_> = captures.collect();
        let is_dated = |name: &String| !self.undated.contains(name);
        let mut log = DefaultHasher::new();
        (&boot.log, &boot.marks).hash(&mut log);
        // Most of the work of a run, so it is only done if it is asked for.
        let finding = (!rules.findings.is_empty()).then(|| {
            let rules_of_findings = findings::Rules::current();
            // Not what its end says: that depends on the boots beside it, which may go.
            let found = findings::of_boot(boot, &[], EncodingChoice::Auto, rules_of_findings);
            rules.keeping(&found)
        });
        self.boots.push(KnownBoot {
            id: boot.id.clone(),
            facts: Facts {
                time: (times.clone().max()).filter(|_| captures.iter().all(is_dated)),
                ending: boot.ending(is_newest),
                finding: finding.flatten(),
            },
            first: times.min().unwrap_or(Timestamp::MIN),
            captures,
            log: log.finish(),
        });
    }

    /// Whether what is left may show other boots than those that stay, by their places: `stays` says of each boot
    /// whether it does, and `shared` how many of its records stay although it goes.
    ///
    /// It shows the same where all that goes is older than all that stays, and the two share nothing.
    pub fn may_change(stays: &[bool], shared: &[usize]) -> bool {
        let going = stays.iter().take_while(|stays| !**stays).count();
        let is_newest = stays[going..].iter().all(|stays| *stays);
        !(is_newest && shared[..going].iter().all(|shared| *shared == 0))
    }

    /// Boots that must stay as well, by their places, because without them the records that are left would show other
    /// boots than before: `left` is what they show.
    ///
    /// Each boot that stays must be the same. Each other one may only be a rest of one boot.
    pub fn needed(&self, stays: &[bool], left: &Self) -> BTreeSet<usize> {
        let boots = &self.boots;
        let by_id: BTreeMap<&str, &KnownBoot> = (left.boots.iter())
            .map(|boot| (boot.id.as_str(), boot))
            .collect();
        let goes = |place: &usize| stays.get(*place) == Some(&false);
        let (mut needed, mut is_other) = (BTreeSet::new(), false);
        for (place, boot) in boots.iter().enumerate().filter(|(place, _)| stays[*place]) {
            let there = by_id.get(boot.id.as_str());
            if !there.is_some_and(|there| there.log == boot.log && there.facts == boot.facts) {
                is_other = true;
                needed.extend(
                    [place.wrapping_sub(1), place + 1]
                        .iter()
                        .filter(|beside| goes(beside)),
                );
            }
        }
        let mut shown: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (place, boot) in boots.iter().enumerate() {
            for name in &boot.captures {
                shown.entry(name).or_default().insert(place);
            }
        }
        for rest in &left.boots {
            let places = rest
                .captures
                .iter()
                .filter_map(|name| shown.get(name.as_str()));
            let common = places.clone().cloned().reduce(|a, b| &a & &b);
            if common.is_none_or(|common| common.is_empty()) {
                is_other = true;
                needed.extend(places.flatten().filter(|place| goes(place)));
            }
        }
        if is_other && needed.is_empty() {
            needed.extend((0..boots.len()).filter(goes)); // Whatever the reason, nothing is lost.
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ending::Ending;

    /// A boot with these records, such as `"ab"`. Its ID is the first of them.
    fn boot(captures: &str, log: u64, ending: Ending) -> KnownBoot {
        KnownBoot {
            id: captures[..1].to_owned(),
            facts: Facts {
                time: None,
                ending,
                finding: None,
            },
            first: Timestamp::UNIX_EPOCH,
            captures: captures.chars().map(String::from).collect(),
            log,
        }
    }

    fn history(boots: impl IntoIterator<Item = KnownBoot>) -> History {
        History {
            boots: boots.into_iter().collect(),
            ..History::default()
        }
    }

    fn clean(captures: [&str; 4]) -> Vec<KnownBoot> {
        let boots = (1..).zip(captures);
        boots
            .map(|(log, captures)| boot(captures, log, Ending::Clean))
            .collect()
    }

    /// Four boots, of which the second and the last go; what must stay as well if this is left.
    #[track_caller]
    fn check(left: Vec<KnownBoot>, needed: &[usize]) {
        let before = history(clean(["ab", "bc", "cd", "de"]));
        let stays = [true, false, true, false];
        let found = before.needed(&stays, &history(left));
        assert_eq!(found, needed.iter().copied().collect());
    }

    #[test]
    fn boots_that_are_left_as_they_were_and_a_rest_of_one_need_nothing() {
        check(
            vec![boot("ab", 1, Ending::Clean), boot("cd", 3, Ending::Clean)],
            &[],
        );
        let rest = boot("b", 9, Ending::Panic);
        check(
            vec![
                boot("ab", 1, Ending::Clean),
                rest,
                boot("cd", 3, Ending::Clean),
            ],
            &[],
        );
    }

    #[test]
    fn a_boot_with_another_log_ending_or_id_needs_those_beside_it() {
        check(
            vec![boot("ab", 9, Ending::Clean), boot("cd", 3, Ending::Clean)],
            &[1],
        );
        check(
            vec![boot("ab", 1, Ending::Panic), boot("cd", 3, Ending::Clean)],
            &[1],
        );
        check(
            vec![boot("ab", 1, Ending::Clean), boot("cd", 9, Ending::Clean)],
            &[1, 3],
        );
        check(vec![boot("ab", 1, Ending::Clean)], &[1, 3]);
    }

    #[test]
    fn a_rest_of_several_boots_needs_each_of_them_that_goes() {
        let with = |rest| {
            vec![
                boot("ab", 1, Ending::Clean),
                boot("cd", 3, Ending::Clean),
                rest,
            ]
        };
        check(with(boot("be", 9, Ending::Clean)), &[1, 3]);
        check(with(boot("bx", 9, Ending::Clean)), &[]);
        check(with(boot("xae", 9, Ending::Clean)), &[3]);
    }

    #[test]
    fn where_no_boot_beside_one_that_changes_goes_all_stay() {
        let before = history(clean(["a", "b", "c", "d"]));
        let stays = [false, true, true, true];
        let left = |log| {
            let boots = [boot("b", 2, Ending::Clean), boot("c", 3, Ending::Clean)];
            history(boots.into_iter().chain([boot("d", log, Ending::Clean)]))
        };
        assert_eq!(before.needed(&stays, &left(4)), BTreeSet::new());
        assert_eq!(before.needed(&stays, &left(9)), [0].into());
    }

    #[test]
    fn only_where_all_that_goes_is_older_and_shares_nothing_nothing_may_change() {
        let old = [false, false, true, true];
        assert!(!History::may_change(&old, &[0, 0, 1, 1]));
        assert!(History::may_change(&old, &[0, 1, 1, 1]));
        assert!(History::may_change(&[false, true, false, true], &[0; 4]));
        assert!(History::may_change(&[true, false, true, true], &[0; 4]));
    }
}
