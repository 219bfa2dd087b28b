//! What becomes of an instance's boots.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::history::{self, History};
use super::policy::{Facts, Reason, Rules, days_that_stay, decide, goes_with_its_boots, may_go};
use crate::archive::catalog::Subject;
use crate::archive::key::{RecordKey, VerdictKey};
use crate::archive::reader::{self, Listing, MarkerEntry, RecordEntry, ScreenshotEntry};
use crate::model::ids::InstanceId;
use crate::store::{Entry, Store, StoreError};

/// Objects, and their length in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub objects: u64,
    /// Their length.
    pub bytes: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// Why something goes that is no boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// Everything that is kept is newer.
    IsOlder,
    /// A screenshot: every boot goes that it may be of.
    OfItsBoots,
    /// A screenshot of an instance without a boot: no rule keeps its day.
    OfItsDay,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IsOlder => "older than everything that is kept",
            Self::OfItsBoots => "of boots that no rule keeps",
            Self::OfItsDay => "of days that no rule keeps",
        })
    }
}

/// A record, marker or screenshot that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What it is.
    pub subject: Subject,
    /// Why it goes, if it is not of a boot.
    pub because: Option<Because>,
    pub(super) bytes: u64,
    /// Verdicts on it.
    pub(super) beside: Vec<Entry>,
}

/// A boot, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub id: String,
    /// When its last part was captured, and how it ended.
    pub facts: Facts,
    /// Records with a part of it.
    pub records: usize,
    /// Length of these records, in bytes.
    pub bytes: u64,
    /// The reasons to keep it. Without one, it goes.
    pub reasons: Vec<Reason>,
    /// Its records that go, the oldest first.
    pub removals: Vec<Removal>,
    /// Its records that stay although it goes, because a boot that is kept shares them.
    pub shared: usize,
    /// Keys of its records that go, also of those that are among the removals of the boot before it.
    pub(super) going: Vec<String>,
}

/// What becomes of an instance's boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The instance.
    pub instance_id: InstanceId,
    /// Its boots, the oldest first.
    pub boots: Vec<Planned>,
    /// What belongs to no boot and goes: markers, screenshots, and what ECS sent in place of a console.
    pub others: Vec<Removal>,
    /// Verdicts on records that are gone.
    pub orphans: Vec<Entry>,
    /// Records that are damaged or cannot be read, or whose metadata cannot be so, and why. They stay: nobody knows what
    /// they are, or of when.
    pub damaged: BTreeMap<RecordKey, String>,
    /// Records that something else removed while they were read.
    pub gone: Vec<RecordKey>,
    /// All of its records.
    pub records: u64,
    /// Keys of its records, markers and screenshots that stay.
    pub(super) staying: Vec<String>,
}

impl Removal {
    fn sum(&self) -> Sum {
        let beside: u64 = self.beside.iter().map(|entry| entry.bytes).sum();
        Sum {
            objects: 1 + self.beside.len() as u64,
            bytes: self.bytes + beside,
        }
    }
}

impl Planned {
    /// Whether it stays: for a reason, or because nothing of it may go. A record that it shares with another boot that
    /// goes is among that one's removals.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty() || (self.shared > 0 && self.shared == self.records)
    }
}

impl Plan {
    /// What goes, in the order in which it does: boot by boot, and what belongs to none.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[Removal]> {
        let boots = self.boots.iter().map(|boot| boot.removals.as_slice());
        boots.chain(self.others.chunks(1))
    }

    /// How many boots are gone once all that goes is removed but these objects.
    pub(super) fn went(&self, stayed: &BTreeSet<&str>) -> u64 {
        let going = self.boots.iter().filter(|boot| !boot.is_kept());
        let is_gone = |boot: &&Planned| !boot.going.iter().any(|key| stayed.contains(key.as_str()));
        going.filter(is_gone).count() as u64
    }

    /// How many records go.
    pub(super) fn records_going(&self) -> u64 {
        let all = self.groups().flatten();
        all.filter(|removal| matches!(removal.subject, Subject::Record(_)))
            .count() as u64
    }

    /// All that goes.
    pub(super) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.groups()
            .flatten()
            .for_each(|removal| sum += removal.sum());
        for orphan in &self.orphans {
            sum += Sum {
                objects: 1,
                bytes: orphan.bytes,
            };
        }
        sum
    }

    /// What would be removed, as a number by which a change is seen.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for removal in self.groups().flatten() {
            removal.subject.key().hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Decides what becomes of an instance's boots, by what the archive lists of it now.
pub(super) async fn plan(
    store: &impl Store,
    instance_id: &InstanceId,
    entries: Vec<Entry>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Plan, StoreError> {
    let mut listed = Listed::of(entries);
    let history = history::read(store, &listed.records, rules).await?;
    listed
        .records
        .retain(|record| !history.gone.contains(&record.key));
    let reasons = reasons(store, &listed, &history, rules, now).await?;
    Ok(listed.into_plan(instance_id, history, reasons, rules, now))
}

/// Why each boot stays.
async fn reasons(
    store: &impl Store,
    listed: &Listed,
    history: &History,
    rules: &Rules,
    now: Timestamp,
) -> Result<Vec<Vec<Reason>>, StoreError> {
    let facts: Vec<_> = history.boots.iter().map(|boot| boot.facts).collect();
    let mut reasons = decide(&facts, rules, now);
    if !history.damaged.is_empty() {
        for none in reasons.iter_mut().filter(|reasons| reasons.is_empty()) {
            none.push(Reason::Damaged);
        }
    }
    // Each time at least one boot more stays.
    loop {
        let stays: Vec<_> = reasons.iter().map(|reasons| !reasons.is_empty()).collect();
        if stays.iter().all(|stays| *stays) {
            return Ok(reasons);
        }
        let staying = names(history, |place| stays[place]);
        let shared: Vec<_> = (history.boots.iter())
            .map(|boot| {
                boot.captures
                    .iter()
                    .filter(|name| staying.contains(name))
                    .count()
            })
            .collect();
        if !History::may_change(&stays, &shared) {
            return Ok(reasons);
        }
        let all = names(history, |_| true);
        let left = listed.records.iter().filter(|record| {
            let name = record.key.name();
            staying.contains(&name) || !all.contains(&name)
        });
        let left = history::read(store, left, rules).await?;
        let needed = history.needed(&stays, &left);
        if needed.is_empty() {
            return Ok(reasons);
        }
        for place in needed {
            reasons[place].push(Reason::Needed);
        }
    }
}

/// Names of the records of some boots, by their places.
fn names(history: &History, is_asked_for: impl Fn(usize) -> bool) -> BTreeSet<&String> {
    let boots = history.boots.iter().enumerate();
    let boots = boots.filter(|(place, _)| is_asked_for(*place));
    boots.flat_map(|(_, boot)| &boot.captures).collect()
}

/// An object that belongs to no boot.
struct Other {
    subject: Subject,
    bytes: u64,
    /// When it was stored or taken, by the later of what its key and the store say: either may be wrong.
    time: Timestamp,
}

impl From<MarkerEntry> for Other {
    fn from(marker: MarkerEntry) -> Self {
        let time = marker.key.time;
        Self {
            subject: Subject::Marker(marker.key),
            bytes: marker.bytes,
            time: marker.stored_at.max(time),
        }
    }
}

impl From<ScreenshotEntry> for Other {
    fn from(screenshot: ScreenshotEntry) -> Self {
        Self {
            time: screenshot.taken_at(),
            subject: Subject::Screenshot(screenshot.key),
            bytes: screenshot.bytes,
        }
    }
}

/// What becomes of an instance's screenshots.
#[derive(Default)]
struct Pictures {
    /// The days whose screenshots go, and why.
    going: BTreeMap<Date, Because>,
    /// If there is no boot: when the last screenshot of the oldest day was taken that stays.
    oldest_kept: Option<Timestamp>,
}

/// What the archive has of an instance.
struct Listed {
    records: Vec<RecordEntry>,
    /// Markers and screenshots.
    others: Vec<Other>,
    verdicts: BTreeMap<RecordKey, Vec<Entry>>,
}

impl Listed {
    fn of(entries: Vec<Entry>) -> Self {
        let mut verdicts: BTreeMap<RecordKey, Vec<Entry>> = BTreeMap::new();
        for entry in &entries {
            if let Some(key) = VerdictKey::parse(&entry.key) {
                verdicts.entry(key.record).or_default().push(entry.clone());
            }
        }
        let Listing {
            records,
            markers,
            screenshots,
        } = reader::sorted_out(entries);
        let screenshots = screenshots.into_iter().map(Other::from);
        let others = markers.into_iter().map(Other::from).chain(screenshots);
        Self {
            records,
            others: others.collect(),
            verdicts,
        }
    }

    /// Takes a record out, with its verdicts.
    fn removal(&mut self, record: &RecordEntry) -> Removal {
        Removal {
            subject: Subject::Record(record.key.clone()),
            because: None,
            bytes: record.gzip_bytes,
            beside: self.verdicts.remove(&record.key).unwrap_or_default(),
        }
    }

    /// What becomes of screenshots, by the days on which they were taken.
    fn pictures(
        &self,
        history: &History,
        is_kept: impl Fn(usize) -> bool,
        rules: &Rules,
        now: Timestamp,
    ) -> Pictures {
        let mut days: BTreeMap<Date, Timestamp> = BTreeMap::new();
        for other in &self.others {
            if let Subject::Screenshot(key) = &other.subject {
                let last = days.entry(key.day).or_insert(other.time);
                *last = other.time.max(*last);
            }
        }
        let mut pictures = Pictures::default();
        if history.boots.is_empty() {
            // What ends and findings say is of logs.
            if !rules.are_of_time() {
                return pictures;
            }
            let times: Vec<_> = days.values().copied().collect();
            let stays = days_that_stay(&times, rules, now);
            let days = days.into_iter().zip(stays);
            for ((day, time), stays) in days {
                match stays {
                    true => pictures.oldest_kept = pictures.oldest_kept.or(Some(time)),
                    false => drop(pictures.going.insert(day, Because::OfItsDay)),
                }
            }
            return pictures;
        }
        let boots = history.boots.iter().enumerate();
        let boots = boots.map(|(place, boot)| {
            let first = Offset::UTC.to_datetime(boot.first).date();
            (first, is_kept(place))
        });
        let mut boots: Vec<_> = boots.collect();
        boots.sort_by_key(|(first, _)| *first);
        let going = days.keys().filter(|day| {
            // What is taken later than now has a wrong time.
            **day <= Offset::UTC.to_datetime(now).date()
                && goes_with_its_boots(**day, &boots) == Some(true)
        });
        pictures.going = going.map(|day| (*day, Because::OfItsBoots)).collect();
        pictures
    }

    fn into_plan(
        mut self,
        instance_id: &InstanceId,
        history: History,
        reasons: Vec<Vec<Reason>>,
        rules: &Rules,
        now: Timestamp,
    ) -> Plan {
        let records = std::mem::take(&mut self.records);
        let by_name: BTreeMap<String, &RecordEntry> = records
            .iter()
            .map(|record| (record.key.name(), record))
            .collect();
        let is_kept = |place: usize| !reasons[place].is_empty();
        let staying = names(&history, is_kept);
        let kept = (history.boots.iter().enumerate()).filter(|(place, _)| is_kept(*place));
        let mut oldest_kept = kept.map(|(_, boot)| boot.first).min();
        let pictures = self.pictures(&history, is_kept, rules, now);
        if history.boots.is_empty() {
            oldest_kept = pictures.oldest_kept;
        }
        let mut going = BTreeSet::new();
        let mut boots = Vec::new();
        for (boot, reasons) in history.boots.iter().zip(&reasons) {
            let of_boot = boot.captures.iter().filter_map(|name| by_name.get(name));
            let of_boot: Vec<&RecordEntry> = of_boot.copied().collect();
            let (mut removals, mut shared, mut going_of_boot) = (Vec::new(), 0, Vec::new());
            for record in of_boot.iter().filter(|_| reasons.is_empty()) {
                if staying.contains(&record.key.name()) {
                    shared += 1;
                    continue;
                }
                going_of_boot.push(record.key.to_string());
                if going.insert(record.key.to_string()) {
                    removals.push(self.removal(record));
                }
            }
            boots.push(Planned {
                id: boot.id.clone(),
                facts: boot.facts,
                records: of_boot.len(),
                bytes: of_boot.iter().map(|record| record.gzip_bytes).sum(),
                reasons: reasons.clone(),
                removals,
                shared,
                going: going_of_boot,
            });
        }
        let of_boots = names(&history, |_| true);
        // What is damaged may be older than every boot that can be read.
        let is_damaged = !history.damaged.is_empty();
        let mut others = Vec::new();
        for record in &records {
            let is_of_none = !of_boots.contains(&record.key.name());
            let updated_at = record.updated_at().map(|at| at.time);
            let time = record.stored_at.max(updated_at.unwrap_or(Timestamp::MIN));
            if is_of_none && !is_damaged && may_go(time, oldest_kept, rules) {
                others.push(Removal {
                    because: Some(Because::IsOlder),
                    ..self.removal(record)
                });
            }
        }
        let mut keys: Vec<_> = records
            .iter()
            .map(|record| record.key.to_string())
            .collect();
        for other in std::mem::take(&mut self.others) {
            keys.push(other.subject.key());
            let is_older = may_go(other.time, oldest_kept, rules);
            let because = match &other.subject {
                Subject::Screenshot(key) => pictures.going.get(&key.day).copied(),
                _ => None,
            };
            let because = because.or(is_older.then_some(Because::IsOlder));
            if because.is_some() && !is_damaged && !rules.is_within(other.time) {
                others.push(Removal {
                    because,
                    subject: other.subject,
                    bytes: other.bytes,
                    beside: Vec::new(),
                });
            }
        }
        going.extend(others.iter().map(|other| other.subject.key()));
        keys.retain(|key| !going.contains(key));
        let is_there = |record: &RecordKey| by_name.contains_key(&record.name());
        let orphans = std::mem::take(&mut self.verdicts).into_iter();
        let orphans = orphans.filter(|(record, _)| !is_there(record));
        Plan {
            instance_id: instance_id.clone(),
            orphans: orphans.flat_map(|(_, verdicts)| verdicts).collect(),
            boots,
            others,
            records: records.len() as u64,
            damaged: history.damaged,
            gone: history.gone,
            staying: keys,
        }
    }
}
