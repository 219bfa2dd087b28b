//! Which boots of an instance are kept. Rules only keep: a boot goes if no rule keeps it.
//!
//! The rules are restic's, with one difference: `within` counts back from now, not from the newest boot. So an
//! instance that is gone has its boots removed one day, but for the newest.

use std::cmp::Reverse;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::ending::Ending;
use crate::reading::findings::{self, Finding, Severity, worst};

/// Which findings of a boot's log keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingRule {
    /// Those that are at least so bad.
    AtLeast(Severity),
    /// Those of this family.
    Family(&'static str),
    /// Those with this ID.
    Id(&'static str),
}

/// Why a word says no findings that keep a boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFinding {
    /// It is neither a severity, nor a family of findings, nor the ID of one.
    #[error(
        "there is no such finding: give an ID, a family, or a severity, as console-archive explain lists them"
    )]
    Unknown,
    /// It depends on the boots beside, which may go.
    #[error(
        "no line says this finding: it comes from how boots ended, which --keep-ending is about"
    )]
    OfEnding,
}

impl FindingRule {
    /// Parses a severity, the name of a family, or an ID.
    ///
    /// # Errors
    /// [`InvalidFinding`].
    pub fn parse(text: &str) -> Result<Self, InvalidFinding> {
        let rules = findings::Rules::current();
        let mut of_endings = rules.all().iter().filter(|rule| !rule.is_of_line());
        if of_endings.any(|rule| rule.family == text || rule.id == text) {
            return Err(InvalidFinding::OfEnding);
        }
        let severity = Severity::ALL.into_iter().find(|one| one.as_str() == text);
        let mut names = rules.all().iter().map(|rule| rule.family);
        severity
            .map(Self::AtLeast)
            .or_else(|| names.find(|name| *name == text).map(Self::Family))
            .or_else(|| Some(Self::Id(rules.get(text)?.id)))
            .ok_or(InvalidFinding::Unknown)
    }

    fn includes(&self, finding: &Finding) -> bool {
        match self {
            Self::AtLeast(severity) => finding.severity >= *severity,
            Self::Family(name) => finding.rule.family == *name,
            Self::Id(id) => finding.rule.id == *id,
        }
    }
}

/// How many boots are kept, and which.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the last so many days that have one.
    pub daily: u32,
    /// The same of weeks, which begin on Monday.
    pub weekly: u32,
    /// The same of months.
    pub monthly: u32,
    /// All since this time.
    pub within: Option<Timestamp>,
    /// Those that ended so.
    pub endings: Vec<Ending>,
    /// Those whose logs show one of these.
    pub findings: Vec<FindingRule>,
    /// The zone of days.
    pub zone: TimeZone,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            last: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            within: None,
            endings: Vec::new(),
            findings: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

impl Rules {
    /// Whether they would keep nothing by themselves.
    pub fn is_empty(&self) -> bool {
        let counts = [self.last, self.daily, self.weekly, self.monthly];
        let has_none = self.endings.is_empty() && self.findings.is_empty();
        counts == [0; 4] && self.within.is_none() && has_none
    }

    /// The ID of the worst of these findings that keeps their boot; of those that are as bad, the first.
    pub fn keeping(&self, found: &[Finding<'static>]) -> Option<&'static str> {
        let is_wanted =
            |finding: &&Finding| self.findings.iter().any(|wanted| wanted.includes(finding));
        let worst = worst(found.iter().filter(is_wanted));
        worst.map(|finding| finding.rule.id)
    }

    /// Whether they say anything of what is neither a boot's log nor its end.
    pub(super) fn are_of_time(&self) -> bool {
        let counts = [self.last, self.daily, self.weekly, self.monthly];
        counts != [0; 4] || self.within.is_some()
    }

    pub(super) fn is_within(&self, time: Timestamp) -> bool {
        self.within.is_some_and(|since| time >= since)
    }
}

/// What decides about a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// When its last part was captured. `None` if nobody knows.
    pub time: Option<Timestamp>,
    /// How it ended.
    pub ending: Ending,
    /// The ID of a finding that keeps it.
    pub finding: Option<&'static str>,
}

/// Why a boot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is the newest of its instance.
    Newest,
    /// It was captured later than now, by the clock of this machine or of the one that captured it.
    Future,
    /// Nobody knows when it was captured.
    Undated,
    /// It is one of the last.
    Last,
    /// It is the newest of this day.
    Daily(Date),
    /// It is the newest of the week that begins on this day.
    Weekly(Date),
    /// It is the newest of the month that begins on this day.
    Monthly(Date),
    /// It is the oldest, and fewer days, weeks or months have a boot than are asked for.
    Oldest,
    /// It is not old enough.
    Within,
    /// It ended so.
    Ending(Ending),
    /// Its log shows the finding of this ID.
    Finding(&'static str),
    /// A record of its instance is damaged. How its boots ended, and which they are, may be other than it seems.
    Damaged,
    /// Without it, what is left would show a boot that is kept with another log, mark, ending or name, or two boots as one.
    Needed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Future => f.write_str("future-dated"),
            Self::Undated => f.write_str("undated"),
            Self::Last => f.write_str("last"),
            Self::Daily(day) => write!(f, "daily {day}"),
            Self::Weekly(monday) => write!(f, "weekly {monday}"),
            Self::Monthly(first) => write!(f, "monthly {}", first.strftime("%Y-%m")),
            Self::Oldest => f.write_str("oldest"),
            Self::Within => f.write_str("within"),
            Self::Ending(ending) => write!(f, "ending {ending}"),
            Self::Finding(id) => write!(f, "finding {id}"),
            Self::Damaged => f.write_str("a record of the instance is damaged"),
            Self::Needed => f.write_str("needed to tell other boots apart"),
        }
    }
}

/// Decides about the boots of an instance, the oldest first: for each, why it is kept. It goes if there is no
/// reason.
pub fn decide(boots: &[Facts], rules: &Rules, now: Timestamp) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); boots.len()];
    if let Some(newest) = reasons.last_mut() {
        newest.push(Reason::Newest);
    }
    // Only what has a time of the past is counted.
    let mut counted = Vec::new();
    for (index, boot) in boots.iter().enumerate() {
        match boot.time {
            None => reasons[index].push(Reason::Undated),
            Some(time) if time > now => reasons[index].push(Reason::Future),
            Some(time) => counted.push((index, time)),
        }
        if let Some(time) = boot.time
            && rules.is_within(time)
        {
            reasons[index].push(Reason::Within);
        }
        if rules.endings.contains(&boot.ending) {
            reasons[index].push(Reason::Ending(boot.ending));
        }
        reasons[index].extend(boot.finding.map(Reason::Finding));
    }
    counted.sort_by_key(|(index, time)| Reverse((*time, *index)));
    // A boot without a time, or of the future, may stand anywhere. It must not take the place of the newest that is known.
    let is_of_no_time = |boot: &Facts| boot.time.is_none_or(|time| time > now);
    if boots.last().is_some_and(is_of_no_time)
        && let Some((newest, _)) = counted.first()
    {
        reasons[*newest].insert(0, Reason::Newest);
    }
    for (index, _) in counted.iter().take(rules.last as usize) {
        reasons[*index].push(Reason::Last);
    }
    // Of boots with the same last record, the first is the newest of a period. Else the rest that this record shows of
    // the next boot, once that one is pruned, would take its place, and another run would remove it.
    counted.sort_by_key(|(index, time)| (Reverse(*time), *index));
    type Period = (u32, fn(Date) -> Date, fn(Date) -> Reason);
    let periods: [Period; 3] = [
        (rules.daily, |day| day, Reason::Daily),
        (rules.weekly, monday, Reason::Weekly),
        (rules.monthly, |day| day.first_of_month(), Reason::Monthly),
    ];
    for (count, period, reason) in periods {
        let (mut left, mut last) = (count, None);
        for (index, time) in &counted {
            if left == 0 {
                break;
            }
            let period = period(rules.zone.to_datetime(*time).date());
            if last != Some(period) {
                reasons[*index].push(reason(period));
                last = Some(period);
                left -= 1;
            }
        }
        // As with restic: where fewer periods have a boot than are asked for, the oldest boot stays, too.
        let oldest = counted.iter().min_by_key(|(index, time)| (*time, *index));
        if let Some((oldest, _)) = oldest.filter(|_| left > 0)
            && let Some(period) = last
            && !reasons[*oldest].contains(&reason(period))
            && !reasons[*oldest].contains(&Reason::Oldest)
        {
            reasons[*oldest].push(Reason::Oldest);
        }
    }
    reasons
}

fn monday(day: Date) -> Date {
    let since = i64::from(day.weekday().to_monday_zero_offset());
    day.checked_sub(jiff::Span::new().days(since))
        .unwrap_or(day)
}

/// Decides about what belongs to no boot, such as a marker: whether it goes. It goes once all boots that are
/// kept are newer, and `within` does not keep it. `oldest_kept`: when the oldest boot that is kept was captured
/// first.
pub fn may_go(time: Timestamp, oldest_kept: Option<Timestamp>, rules: &Rules) -> bool {
    if rules.is_within(time) {
        return false;
    }
    match oldest_kept {
        Some(oldest) => time < oldest,
        // Nothing says that it is old but its own time.
        None => rules.within.is_some(),
    }
}

/// Decides about the screenshots of an instance that has boots, by the UTC days on which they were taken: whether those
/// of a day go with their boots. They are of each boot that began on this day, and of the one that ran when it
/// began. `boots` says of each, the oldest first, on which day it was captured first, and whether it stays.
///
/// `None` if they are older than every boot.
pub fn goes_with_its_boots(day: Date, boots: &[(Date, bool)]) -> Option<bool> {
    let behind = boots.partition_point(|(first, _)| *first <= day);
    let began = boots.partition_point(|(first, _)| *first < day);
    let of_day = &boots[began.saturating_sub(1)..behind];
    (!of_day.is_empty()).then(|| of_day.iter().all(|(_, stays)| !stays))
}

/// Decides about the screenshots of an instance that has no boot, as Windows machines have none. A day with
/// screenshots counts as a boot does: for each, when its last one was taken. Returns which days stay.
pub fn days_that_stay(taken_at: &[Timestamp], rules: &Rules, now: Timestamp) -> Vec<bool> {
    let days = taken_at.iter().map(|time| Facts {
        time: Some(*time),
        ending: Ending::Running, // No rule asks for it.
        finding: None,
    });
    let days: Vec<_> = days.collect();
    let rules = Rules {
        endings: Vec::new(),
        ..rules.clone()
    };
    let reasons = decide(&days, &rules, now);
    reasons.iter().map(|reasons| !reasons.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-29T12:00:00Z".parse().unwrap()
    }

    /// A boot that was captured so many hours ago.
    fn boot(hours_ago: i64, ending: Ending) -> Facts {
        let time = now() - SignedDuration::from_hours(hours_ago);
        Facts {
            time: Some(time),
            ending,
            finding: None,
        }
    }

    /// Which of boots with these ages, in hours, stay; each clean but the third of them.
    fn kept(hours_ago: &[i64], rules: &Rules) -> Vec<i64> {
        let boots = hours_ago.iter().enumerate().map(|(index, hours)| {
            let ending = if index == 2 {
                Ending::Panic
            } else {
                Ending::Clean
            };
            boot(*hours, ending)
        });
        let boots: Vec<_> = boots.collect();
        let reasons = decide(&boots, rules, now());
        let stays = hours_ago.iter().zip(reasons);
        let stays = stays.filter(|(_, reasons)| !reasons.is_empty());
        stays.map(|(hours, _)| *hours).collect()
    }

    /// Ages of boots: some of one day, week and month.
    const AGES: [i64; 12] = [3000, 2999, 1500, 800, 790, 400, 200, 190, 50, 30, 5, 1];

    #[test]
    fn the_newest_stays_whatever_the_rules() {
        assert_eq!(kept(&AGES, &Rules::default()), [1]);
        assert_eq!(kept(&[9], &Rules::default()), [9]);
        assert_eq!(decide(&[], &Rules::default(), now()), Vec::<Vec<_>>::new());
    }

    #[test]
    fn each_rule_keeps_what_it_says_and_nothing_else() {
        let none = Rules::default;
        let rules = Rules { last: 3, ..none() };
        assert_eq!(kept(&AGES, &rules), [30, 5, 1]);
        let rules = Rules { daily: 4, ..none() };
        assert_eq!(kept(&AGES, &rules), [190, 50, 30, 1]);
        // 2026-11-29 is a Sunday: the week began 132 hours before noon.
        let rules = Rules {
            weekly: 3,
            ..none()
        };
        assert_eq!(kept(&AGES, &rules), [400, 190, 1]);
        let rules = Rules {
            monthly: 2,
            ..none()
        };
        assert_eq!(kept(&AGES, &rules), [790, 1]);
        let within = Some(now() - SignedDuration::from_hours(200));
        let rules = Rules { within, ..none() };
        assert_eq!(kept(&AGES, &rules), [200, 190, 50, 30, 5, 1]);
        let endings = vec![Ending::Panic];
        let rules = Rules { endings, ..none() };
        assert_eq!(kept(&AGES, &rules), [1500, 1]);
        assert!(none().is_empty());
    }

    #[test]
    fn with_any_rule_they_are_not_empty() {
        let none = Rules::default;
        let one_each = [
            Rules { last: 1, ..none() },
            Rules { daily: 1, ..none() },
            Rules {
                weekly: 1,
                ..none()
            },
            Rules {
                monthly: 1,
                ..none()
            },
            Rules {
                within: Some(now()),
                ..none()
            },
            Rules {
                endings: vec![Ending::Panic],
                ..none()
            },
        ];
        assert!(one_each.iter().all(|rules| !rules.is_empty()));
    }

    #[test]
    fn where_too_few_periods_have_one_the_oldest_stays() {
        let rules = Rules {
            monthly: 99,
            ..Rules::default()
        };
        assert_eq!(kept(&AGES, &rules), [3000, 2999, 1500, 790, 1]);
        let rules = Rules {
            daily: 2,
            ..Rules::default()
        };
        assert_eq!(kept(&[5, 4, 3], &rules), [5, 3]);
        let both = Rules {
            weekly: 9,
            ..rules.clone()
        };
        let boots = [5, 4, 3].map(|hours| boot(hours, Ending::Clean));
        let reasons = decide(&boots, &both, now());
        assert_eq!(reasons[0], [Reason::Oldest], "once, whatever the rules");
        assert!(!reasons[2].contains(&Reason::Oldest));
        let rules = Rules {
            daily: 1,
            ..Rules::default()
        };
        assert_eq!(kept(&[5, 4, 3], &rules), [3]);
    }

    /// What is left of a boot in the last record of the boot before has the time of that one.
    #[test]
    fn a_boot_with_the_time_of_the_one_before_takes_no_place_of_it() {
        let boots = [50, 50, 30, 30, 1].map(|hours| boot(hours, Ending::Clean));
        for rules in [
            Rules {
                daily: 2,
                ..Rules::default()
            },
            Rules {
                daily: 9,
                ..Rules::default()
            },
            Rules {
                weekly: 9,
                ..Rules::default()
            },
        ] {
            let reasons = decide(&boots, &rules, now());
            let stays = reasons.iter().map(|reasons| !reasons.is_empty());
            let stays: Vec<_> = stays.collect();
            assert!(!stays[1] && !stays[3] && stays[4], "{reasons:?}");
            let left: Vec<_> = (0..5).filter(|index| stays[*index]).collect();
            let again: Vec<_> = left.iter().map(|index| boots[*index]).collect();
            let again = decide(&again, &rules, now());
            assert!(again.iter().all(|reasons| !reasons.is_empty()), "{again:?}");
        }
    }

    #[test]
    fn what_has_no_time_of_the_past_stays_and_is_not_counted() {
        let future = boot(-1, Ending::Clean);
        let undated = Facts {
            time: None,
            ..future
        };
        let boots = [
            undated,
            boot(9, Ending::Clean),
            boot(5, Ending::Clean),
            future,
            boot(3, Ending::Clean),
        ];
        let rules = Rules {
            last: 2,
            ..Rules::default()
        };
        let reasons = decide(&boots, &rules, now());
        let expected: [&[Reason]; 5] = [
            &[Reason::Undated],
            &[],
            &[Reason::Last],
            &[Reason::Future],
            &[Reason::Newest, Reason::Last],
        ];
        assert_eq!(reasons, expected);
        // Now is not the future.
        assert_eq!(
            decide(
                &[boot(0, Ending::Clean), boot(0, Ending::Clean)],
                &Rules::default(),
                now()
            )[0],
            []
        );
    }

    #[test]
    fn days_are_those_of_the_zone_and_reasons_name_them() {
        // 15:30 and 16:30 in UTC are two days in UTC+8.
        let boots = ["2026-11-27T15:30:00Z", "2026-11-27T16:30:00Z"].map(|time| Facts {
            time: time.parse().ok(),
            ending: Ending::Clean,
            finding: None,
        });
        let told = |zone: TimeZone| -> Vec<String> {
            let rules = Rules {
                daily: 1,
                weekly: 1,
                monthly: 1,
                zone,
                ..Rules::default()
            };
            let reasons = decide(&boots, &rules, now());
            reasons
                .iter()
                .map(|all| all.iter().map(|r| format!("{r}, ")).collect())
                .collect()
        };
        let newest = "newest, daily 2026-11-27, weekly 2026-11-23, monthly 2026-11, ";
        assert_eq!(told(TimeZone::UTC), ["", newest]);
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let newest = "newest, daily 2026-11-28, weekly 2026-11-23, monthly 2026-11, ";
        assert_eq!(told(zone), ["", newest]);
        let words = [
            Reason::Future,
            Reason::Undated,
            Reason::Last,
            Reason::Within,
            Reason::Ending(Ending::OutOfMemory),
        ];
        let words = words.map(|reason| reason.to_string());
        assert_eq!(
            words,
            [
                "future-dated",
                "undated",
                "last",
                "within",
                "ending out_of_memory"
            ]
        );
    }

    #[test]
    fn what_belongs_to_no_boot_goes_when_all_kept_boots_are_newer() {
        let at = |hours: i64| now() - SignedDuration::from_hours(hours);
        let rules = Rules {
            last: 1,
            ..Rules::default()
        };
        assert!(may_go(at(9), Some(at(8)), &rules));
        assert!(!may_go(at(8), Some(at(8)), &rules));
        assert!(!may_go(at(9), None, &rules));
        let rules = Rules {
            within: Some(at(10)),
            ..rules
        };
        assert!(!may_go(at(9), Some(at(8)), &rules));
        assert!(!may_go(at(10), None, &rules));
        assert!(may_go(at(11), None, &rules));
        assert!(!may_go(at(11), Some(at(12)), &rules));
    }

    /// Which days' screenshots go, of boots that began on the 3rd, on the 5th, on the 5th again and on the 9th.
    #[track_caller]
    fn check_days(stays: [bool; 4], expected: [Option<bool>; 8]) {
        let day = |day| Date::constant(2026, 11, day);
        let began = [3, 5, 5, 9].map(day);
        let boots: Vec<_> = began.into_iter().zip(stays).collect();
        let found = (2..10).map(|number| goes_with_its_boots(day(number), &boots));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{stays:?}");
    }

    #[test]
    fn screenshots_go_with_all_boots_of_their_day() {
        let (goes, stays) = (Some(true), Some(false));
        let all = [None, goes, goes, goes, goes, goes, goes, goes];
        check_days([false; 4], all);
        // The third boot ran from the 5th to the 9th.
        let of_third = [None, goes, goes, stays, stays, stays, stays, stays];
        check_days([false, false, true, false], of_third);
        // The second one began on the 5th, and another one ended it on this day.
        let of_second = [None, goes, goes, stays, goes, goes, goes, goes];
        check_days([false, true, false, false], of_second);
        let of_first = [None, stays, stays, stays, goes, goes, goes, goes];
        check_days([true, false, false, false], of_first);
        let of_last = [None, goes, goes, goes, goes, goes, goes, stays];
        check_days([false, false, false, true], of_last);
        assert_eq!(goes_with_its_boots(Date::constant(2026, 11, 2), &[]), None);
    }

    #[test]
    fn where_there_is_no_boot_days_with_screenshots_count_as_boots_do() {
        let days = AGES.map(|hours| now() - SignedDuration::from_hours(hours));
        let kept = |rules: &Rules| {
            let stays = days_that_stay(&days, rules, now());
            let ages = AGES.into_iter().zip(stays);
            ages.filter(|(_, stays)| *stays)
                .map(|(hours, _)| hours)
                .collect::<Vec<_>>()
        };
        let none = Rules::default;
        assert_eq!(kept(&Rules { last: 3, ..none() }), [30, 5, 1]);
        let within = Some(now() - SignedDuration::from_hours(200));
        assert_eq!(kept(&Rules { within, ..none() }), [200, 190, 50, 30, 5, 1]);
        // What is said of logs says nothing of pictures.
        let endings = vec![Ending::Panic, Ending::Running];
        let rules = Rules {
            endings,
            last: 1,
            ..none()
        };
        assert_eq!(kept(&rules), [1]);
    }

    /// How many periods are kept, and which one a time is in.
    type Counted<'a> = (u32, &'a dyn Fn(&Timestamp) -> i64);

    #[test]
    fn boots_of_the_future_do_not_take_the_place_of_the_newest() {
        let boots = [50, 48, -9000, -9001];
        assert_eq!(kept(&boots, &Rules::default()), [48, -9000, -9001]);
    }

    #[test]
    fn boots_without_a_time_do_not_take_the_place_of_the_newest() {
        let undated = Facts {
            time: None,
            ..boot(0, Ending::Clean)
        };
        let boots = [boot(50, Ending::Clean), boot(48, Ending::Clean), undated];
        let reasons = decide(&boots, &Rules::default(), now());
        let expected: [&[Reason]; 3] = [&[], &[Reason::Newest], &[Reason::Newest, Reason::Undated]];
        assert_eq!(reasons, expected);
    }

    /// The rules once more, as sets: what each keeps, with no thought of how fast that is.
    fn model(boots: &[Facts], rules: &Rules) -> BTreeSet<usize> {
        let mut past: Vec<(Timestamp, usize)> = Vec::new();
        let mut kept = BTreeSet::new();
        for (index, boot) in boots.iter().enumerate() {
            match boot.time {
                Some(time) if time <= now() => past.push((time, index)),
                _ => drop(kept.insert(index)),
            }
            let is_young =
                boot.time >= rules.within && rules.within.is_some() && boot.time.is_some();
            let is_told = rules.endings.contains(&boot.ending) || boot.finding.is_some();
            if is_young || is_told || index + 1 == boots.len() {
                kept.insert(index);
            }
        }
        past.sort();
        let is_known = |boot: &Facts| boot.time.is_some() && boot.time <= Some(now());
        if boots.last().is_some_and(|boot| !is_known(boot)) {
            kept.extend(past.last().map(|(_, index)| *index));
        }
        let oldest = past.first().map(|(_, index)| *index);
        kept.extend(
            past.iter()
                .rev()
                .take(rules.last as usize)
                .map(|(_, index)| *index),
        );
        let days_since_1970 = |time: &Timestamp| time.as_second().div_euclid(86_400);
        let month = |time: &Timestamp| {
            let date = TimeZone::UTC.to_datetime(*time).date();
            i64::from(date.year()) * 12 + i64::from(date.month())
        };
        let periods: [Counted; 3] = [
            (rules.daily, &days_since_1970),
            // The first of January 1970 was a Thursday.
            (rules.weekly, &|time| {
                (days_since_1970(time) + 3).div_euclid(7)
            }),
            (rules.monthly, &month),
        ];
        // Of boots of one time, the first one counts as the newest.
        past.sort_by_key(|(time, index)| (*time, Reverse(*index)));
        for (count, period) in periods {
            let newest: BTreeMap<i64, usize> = past
                .iter()
                .map(|(time, index)| (period(time), *index))
                .collect();
            kept.extend(newest.values().rev().take(count as usize));
            if (newest.len() as u32) < count {
                kept.extend(oldest);
            }
        }
        kept
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let time = prop_oneof![
            20 => (0..4_000_i64).prop_map(Some),
            4 => (0..40_i64).prop_map(Some),
            1 => (-50..0_i64).prop_map(Some),
            1 => Just(None),
        ];
        let ending = (0..Ending::ALL.len()).prop_map(|index| Ending::ALL[index]);
        let finding = prop_oneof![9 => Just(None), 1 => Just(Some("root-not-mounted"))];
        (time, ending, finding).prop_map(|(hours_ago, ending, finding)| Facts {
            time: hours_ago.map(|hours| now() - SignedDuration::from_hours(hours)),
            ending,
            finding,
        })
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let count = || prop_oneof![Just(0), 0..9_u32];
        let within = proptest::option::of(
            (0..4_000_i64).prop_map(|hours| now() - SignedDuration::from_hours(hours)),
        );
        let endings = prop_oneof![
            Just(Vec::new()),
            Just(vec![Ending::Panic, Ending::Emergency])
        ];
        (count(), count(), count(), count(), within, endings).prop_map(
            |(last, daily, weekly, monthly, within, endings)| Rules {
                last,
                daily,
                weekly,
                monthly,
                within,
                endings,
                ..Rules::default()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn the_rules_keep_what_the_model_keeps(
            boots in proptest::collection::vec(facts(), 0..40),
            rules in rules(),
        ) {
            let reasons = decide(&boots, &rules, now());
            let kept: BTreeSet<_> = (0..boots.len()).filter(|index| !reasons[*index].is_empty()).collect();
            prop_assert_eq!(kept, model(&boots, &rules));
        }
    }
}
