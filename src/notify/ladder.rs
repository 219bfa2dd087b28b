//! When a signature is worth a notice: when it is new, and each time ten times as many instances show it. Pure.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, ToSpan as _};

use crate::model::finding::Severity;

/// Numbers of instances of a day that are told.
pub const LEVELS: [u32; 4] = [1, 10, 100, 1000];
/// The highest. No more instances are counted.
pub const TOP: u32 = LEVELS[LEVELS.len() - 1];
/// For so many days a signature stays known.
pub const KNOWN_DAYS: i32 = 7;
/// Most notices of a UTC day about one machine each, besides the one that says that there are more: guests can make up
/// signatures. It is told at the first of those.
const MOST_OF_ONE: u32 = 30;
/// So many of them may be of what is not fatal. The others are for what is worse.
const MOST_OF_LESS: u32 = 20;
/// Most of them that are about the same instance.
pub const MOST_OF_INSTANCE: u32 = 3;
/// Most notices of a UTC day about what ten machines or more show. They have numbers of their own, so that who has a few
/// machines cannot use them up.
const MOST_OF_RISEN: u32 = 30;
/// The first of those numbers. The archive knows them from the others by it.
const FIRST_OF_RISEN: u32 = 1001;
/// How often a notice is sent once more that a receiver did not take, after the first time.
pub const MOST_ATTEMPTS: u32 = 5;
/// Whoever claimed a notice has so much time to send it, and to send it again. The wait doubles with each attempt.
pub const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// The numbers that notices of a kind have on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The first of them.
    pub first: u32,
    /// How many there are.
    pub most: u32,
}

impl Share {
    /// Whether a number is one of a notice of this kind, whatever its severity.
    pub fn includes(self, number: u32) -> bool {
        (self.first < FIRST_OF_RISEN) == (number < FIRST_OF_RISEN)
    }
}

/// The share of a notice: what spreads has one of its own, and of what one machine shows, what is fatal has the larger
/// part.
pub fn share(severity: Severity, level: u32) -> Share {
    let (first, most) = match (level > LEVELS[0], severity) {
        (true, _) => (FIRST_OF_RISEN, MOST_OF_RISEN),
        (false, Severity::Fatal) => (1, MOST_OF_ONE),
        (false, _) => (1, MOST_OF_LESS),
    };
    Share { first, most }
}

/// The level that so many instances reach. 0 for none.
pub fn level(instances: u32) -> u32 {
    let mut highest_first = LEVELS.into_iter().rev();
    let reached = highest_first.find(|level| *level <= instances);
    reached.unwrap_or_default()
}

/// The first day on which a signature counts as known on `day`.
pub fn known_since(day: Date) -> Date {
    day.checked_sub(KNOWN_DAYS.days()).unwrap_or(Date::MIN)
}

/// The levels that a signature reached lately, by day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached(BTreeMap<Date, u32>);

impl Reached {
    /// Notes that a day reached a level.
    pub fn note(&mut self, day: Date, level: u32) {
        let known = self.0.entry(day).or_default();
        *known = level.max(*known);
    }

    /// The highest level of a day. 0 for none.
    pub fn on(&self, day: Date) -> u32 {
        self.0.get(&day).copied().unwrap_or_default()
    }

    /// Whether no day has reached any.
    pub fn is_new(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a level is to be told: no day reached it, or a higher one.
    pub fn is_risen_to(&self, level: u32) -> bool {
        self.0.values().all(|reached| level > *reached)
    }
}

/// Whether it is time to send a notice once more, so long after the last attempt to. `attempts`: how many followed the
/// first.
pub fn is_due(attempts: u32, since_last: SignedDuration) -> bool {
    since_last >= FIRST_WAIT * 2_i32.pow(attempts.min(MOST_ATTEMPTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i8) -> Date {
        jiff::civil::date(2026, 12, day)
    }

    /// What is told of so many instances a day, from the first of December on.
    fn told(days: &[u32]) -> Vec<(i8, u32)> {
        let mut levels: BTreeMap<Date, u32> = BTreeMap::new();
        let mut told = Vec::new();
        for (date, instances) in (1..).map(day).zip(days) {
            for instances in 1..=*instances {
                let mut reached = Reached::default();
                for (other, level) in levels.range(known_since(date)..) {
                    reached.note(*other, *level);
                }
                let level = level(instances);
                if level > reached.on(date) {
                    if reached.is_risen_to(level) {
                        told.push((date.day(), level));
                    }
                    levels.insert(date, level);
                }
            }
        }
        told
    }

    #[test]
    fn a_fault_of_one_machine_each_day_is_told_once() {
        assert_eq!(told(&[1; 20]), [(1, 1)]);
    }

    #[test]
    fn a_storm_is_told_four_times() {
        assert_eq!(told(&[10_000]), [(1, 1), (1, 10), (1, 100), (1, 1000)]);
    }

    #[test]
    fn what_rises_is_told_again_and_what_stays_is_not() {
        assert_eq!(told(&[12, 15, 99, 100, 9]), [(1, 1), (1, 10), (4, 100)]);
    }

    #[test]
    fn what_was_quiet_for_a_week_is_new() {
        assert_eq!(told(&[1, 0, 0, 0, 0, 0, 0, 1]), [(1, 1)]);
        assert_eq!(told(&[1, 0, 0, 0, 0, 0, 0, 0, 1]), [(1, 1), (9, 1)]);
    }

    #[test]
    fn what_is_fatal_is_told_beyond_what_is_not_and_what_spreads_beside_both() {
        let [less, fatal, risen] = [
            (Severity::Error, 1),
            (Severity::Fatal, 1),
            (Severity::Error, 10),
        ]
        .map(|(severity, level)| share(severity, level));
        assert!(fatal.most > less.most);
        assert!(fatal.includes(less.first) && less.includes(fatal.first + fatal.most - 1));
        assert!(!risen.includes(fatal.first + fatal.most) && !fatal.includes(risen.first));
        assert!(risen.includes(risen.first + risen.most));
    }

    #[test]
    fn the_waits_double() {
        let minutes = |attempts| {
            (0..1000).find(|minutes| is_due(attempts, SignedDuration::from_mins(*minutes)))
        };
        let waits = (0..5).map(minutes);
        assert_eq!(waits.collect::<Vec<_>>(), [5, 10, 20, 40, 80].map(Some));
    }

    #[test]
    fn the_level_is_the_highest_that_is_reached() {
        for (instances, expected) in [(0, 0), (1, 1), (9, 1), (10, 10), (999, 100), (5000, 1000)] {
            assert_eq!(level(instances), expected);
        }
    }
}
