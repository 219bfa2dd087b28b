//! A guest that writes to its console over time, and ECS's cache of that console. The caller passes
//! in the time.
//!
//! The cache behaves as people who poll it describe it: it "lags the guest by a minute or so", and
//! it is "a bounded tail". A stopped instance has none (405 `IncorrectInstanceStatus`, as the API
//! reference says). No source says whether a restart clears the console. No source says either
//! whether a stop updates the cache at once ("the console output for the last start, restart or
//! shutdown is cached"). So the simulator can do both.

use std::time::Duration;

use jiff::Timestamp;

use super::{Console, beijing_time};

/// A guest, and ECS's cache of its console.
#[derive(Debug, Clone)]
pub struct Guest {
    /// What happens, by time since the guest started.
    timeline: Vec<(Duration, Happening)>,
    cache: Cache,
}

/// How ECS caches a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// How far the cache is behind the guest.
    pub lag: Duration,
    /// How many bytes from the end of the console the cache keeps.
    pub ring_bytes: usize,
    /// Whether a stop updates the cache at once.
    pub flushes_at_stop: bool,
    /// What `LastUpdateTime` means.
    pub reports: Reports,
}

/// Something that happens to a guest or its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Happening {
    /// The guest writes these bytes.
    Writes(Vec<u8>),
    /// The console is cleared.
    Clears,
    /// The instance stops.
    Stops,
    /// The instance runs again.
    Starts,
}

/// What `LastUpdateTime` means. The documents disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    /// When the guest last wrote something that is in the cache.
    LastWrite,
    /// When the console was last cleared, or the guest started.
    LastStart,
    /// It is missing.
    Nothing,
}

impl Cache {
    /// A cache with this lag that keeps everything.
    pub fn lagging(lag: Duration) -> Self {
        Self {
            lag,
            ring_bytes: usize::MAX,
            flushes_at_stop: false,
            reports: Reports::LastWrite,
        }
    }
}

impl Guest {
    /// A guest that has written nothing yet.
    pub fn new(cache: Cache) -> Self {
        Self {
            timeline: Vec::new(),
            cache,
        }
    }

    /// Writes these bytes, at this time after the guest started.
    pub fn writes(self, at: Duration, plain: impl Into<Vec<u8>>) -> Self {
        self.with(at, Happening::Writes(plain.into()))
    }

    /// Clears the console at this time.
    pub fn clears(self, at: Duration) -> Self {
        self.with(at, Happening::Clears)
    }

    /// Stops the instance at this time.
    pub fn stops(self, at: Duration) -> Self {
        self.with(at, Happening::Stops)
    }

    /// Runs the instance again at this time.
    pub fn starts(self, at: Duration) -> Self {
        self.with(at, Happening::Starts)
    }

    fn with(mut self, at: Duration, happening: Happening) -> Self {
        let later = self.timeline.partition_point(|(other, _)| *other <= at);
        self.timeline.insert(later, (at, happening));
        self
    }

    /// What ECS answers at `now`, the time since the guest started. It started at `began_at`.
    pub fn answer(&self, now: Duration, began_at: Timestamp) -> Console {
        let mut is_stopped = false;
        let mut cached_to = now.saturating_sub(self.cache.lag);
        for (at, happening) in self.until(now) {
            match happening {
                Happening::Stops => is_stopped = true,
                Happening::Starts => is_stopped = false,
                Happening::Writes(_) | Happening::Clears => {}
            }
            if *happening == Happening::Stops && self.cache.flushes_at_stop {
                cached_to = cached_to.max(at);
            }
        }
        if is_stopped {
            return Console::Error {
                status: 405,
                code: "IncorrectInstanceStatus".to_owned(),
            };
        }
        let (mut plain, mut written_at, mut started_at) = (Vec::new(), None, Duration::ZERO);
        // What the guest writes at its start is always in the cache.
        for (at, happening) in self.until(cached_to) {
            match happening {
                Happening::Writes(bytes) => {
                    plain.extend(bytes);
                    written_at = Some(at);
                }
                Happening::Clears => {
                    plain.clear();
                    (written_at, started_at) = (None, at);
                }
                Happening::Stops | Happening::Starts => {}
            }
        }
        plain.drain(..plain.len().saturating_sub(self.cache.ring_bytes));
        let updated_at = match self.cache.reports {
            Reports::LastWrite => written_at,
            Reports::LastStart => Some(started_at),
            Reports::Nothing => None,
        };
        let time = |at| began_at.checked_add(at).ok().map(beijing_time);
        Console::Output {
            plain,
            last_update_time: updated_at.and_then(time),
        }
    }

    /// What happened up to this time.
    fn until(&self, now: Duration) -> impl Iterator<Item = (Duration, &Happening)> {
        let past = self.timeline.iter().take_while(move |(at, _)| *at <= now);
        past.map(|(at, happening)| (*at, happening))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Boots, stops at 100 s, after its last words, and boots again.
    fn reboot(cache: Cache) -> Guest {
        Guest::new(cache)
            .writes(s(0), "boot\n")
            .writes(s(99), "bye\n")
            .stops(s(100))
            .starts(s(120))
            .clears(s(121))
            .writes(s(125), "boot again\n")
    }

    /// The answers by seconds: a console with the second of its update, or `None`.
    #[track_caller]
    fn check(guest: &Guest, answers: &[(u64, Option<(&str, &str)>)]) {
        let began_at = "2024-03-22T02:00:00Z".parse().unwrap();
        for (second, expected) in answers {
            let given = guest.answer(s(*second), began_at);
            let expected = match expected {
                Some((plain, time)) => Console::Output {
                    plain: plain.as_bytes().to_vec(),
                    last_update_time: (!time.is_empty()).then(|| format!("2024-03-22 {time}")),
                },
                None => Console::Error {
                    status: 405,
                    code: "IncorrectInstanceStatus".to_owned(),
                },
            };
            assert_eq!(given, expected, "at {second} s");
        }
    }

    #[test]
    fn the_cache_lags_by_seconds_and_not_by_requests() {
        let answers = [
            (0, Some(("boot\n", "10:00:00"))),
            (99, Some(("boot\n", "10:00:00"))),
            (100, None),
            (119, None),
            (158, Some(("boot\n", "10:00:00"))),
            (159, Some(("boot\nbye\n", "10:01:39"))),
            (180, Some(("boot\nbye\n", "10:01:39"))),
            (181, Some(("", ""))),
            (185, Some(("boot again\n", "10:02:05"))),
        ];
        let guest = reboot(Cache::lagging(s(60)));
        check(&guest, &answers);
        check(&guest, &answers);
    }

    #[test]
    fn a_stop_can_make_it_catch_up() {
        let guest = reboot(Cache {
            flushes_at_stop: true,
            ..Cache::lagging(s(60))
        });
        let flushed = [
            (99, Some(("boot\n", "10:00:00"))),
            (120, Some(("boot\nbye\n", "10:01:39"))),
            (185, Some(("boot again\n", "10:02:05"))),
        ];
        check(&guest, &flushed);
    }

    #[test]
    fn it_has_the_end_only_and_reports_as_told() {
        let guest = Guest::new(Cache {
            ring_bytes: 4,
            reports: Reports::Nothing,
            ..Cache::lagging(s(0))
        });
        let guest = guest.writes(s(2), "two\n").writes(s(1), "one\n");
        check(
            &guest,
            &[(1, Some(("one\n", ""))), (2, Some(("two\n", "")))],
        );
        let guest = reboot(Cache {
            reports: Reports::LastStart,
            ..Cache::lagging(s(60))
        });
        let starts = [
            (159, Some(("boot\nbye\n", "10:00:00"))),
            (185, Some(("boot again\n", "10:02:01"))),
        ];
        check(&guest, &starts);
    }
}
