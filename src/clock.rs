//! Clocks: that of this machine, and that of a service. The service's clock is this machine's until
//! the service rejects a time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use crate::lock::lock;

/// The time of day. Following is timed by it.
#[derive(Debug, Clone, Copy, Default)]
pub enum WallClock {
    /// The clock of this machine.
    #[default]
    Machine,
    /// A time of day that advances with tokio's clock, which tests can pause.
    Tokio {
        /// The time of day at `instant`.
        time: Timestamp,
        /// The same moment on tokio's clock.
        instant: tokio::time::Instant,
    },
    /// The same, for tests that set the clock.
    Set {
        /// The time of day at `instant`, before the clock is set.
        time: Timestamp,
        /// The same moment on tokio's clock.
        instant: tokio::time::Instant,
        /// How far the clock was set forward, in seconds.
        ahead_seconds: &'static AtomicI64,
    },
}

impl WallClock {
    /// The current time by this clock.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Machine => Timestamp::now(),
            Self::Tokio { time, instant } => time
                .checked_add(instant.elapsed())
                .unwrap_or(Timestamp::MAX),
            Self::Set {
                time,
                instant,
                ahead_seconds,
            } => {
                let ahead = SignedDuration::from_secs(ahead_seconds.load(Ordering::Relaxed));
                let steady = Self::Tokio {
                    time: *time,
                    instant: *instant,
                };
                steady.now().checked_add(ahead).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// A clock that shows the same time now, and advances evenly from now on: nobody sets it, as NTP and
    /// people set the clock of a machine. Only for what ends within one invocation, because it may stand
    /// still while a function is frozen between two.
    pub fn steady(&self) -> Self {
        Self::Tokio {
            time: self.now(),
            instant: tokio::time::Instant::now(),
        }
    }
}

/// Whether `at` is less than `time` ago. Not if it is in the future, because the clock was set back.
pub fn is_within(time: SignedDuration, at: Timestamp, now: Timestamp) -> bool {
    (SignedDuration::ZERO..time).contains(&now.duration_since(at))
}

/// The clock of signatures. All clones share one correction.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    seconds_ahead: Arc<AtomicI64>,
    service_ahead: Arc<Mutex<Option<SignedDuration>>>,
}

impl Clock {
    /// The current time by this clock.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.seconds_ahead.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Sets the clock to the `Date` of an answer.
    pub fn set(&self, date: Timestamp) {
        let ahead = date.duration_since(Timestamp::now()).as_secs();
        self.seconds_ahead.store(ahead, Ordering::Relaxed);
    }

    /// Records the service's time from the `Date` of an answer. Does not change the clock.
    pub fn note(&self, date: Option<Timestamp>) {
        if let Some(date) = date {
            let ahead = date.duration_since(Timestamp::now());
            *self.service_ahead() = Some(ahead);
        }
    }

    /// How far the service's clock is ahead of this machine's, by the last answer with a `Date`,
    /// which has whole seconds. `None` before the first such answer.
    pub fn last_seen_ahead(&self) -> Option<SignedDuration> {
        *self.service_ahead()
    }

    fn service_ahead(&self) -> std::sync::MutexGuard<'_, Option<SignedDuration>> {
        lock(&self.service_ahead)
    }
}

/// Formats a time as `2023-10-26T10:22:32Z`, in UTC with whole seconds.
pub fn iso_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The second in which a moment is.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Parses a time such as `Tue, 24 Nov 2026 08:49:37 GMT`, the form of RFC 9110 §5.6.7 that servers
/// must send.
pub fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_share_what_an_answer_says() {
        let clock = Clock::default();
        let date = http_date("Fri, 24 Nov 2056 08:49:37 GMT").unwrap();
        assert_eq!(date, "2056-11-24T08:49:37Z".parse().unwrap());
        clock.clone().set(date);
        assert!(clock.now().duration_since(date).abs() < SignedDuration::from_secs(60));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_recent() {
        let at: Timestamp = "2024-03-22T02:04:41Z".parse().unwrap();
        let (second, minute) = (SignedDuration::from_secs(1), SignedDuration::from_mins(1));
        assert!(is_within(minute, at, at));
        assert!(is_within(minute, at, at + minute - second));
        assert!(!is_within(minute, at, at + minute));
        assert!(!is_within(minute, at, at - second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_clock_is_set_by_nobody() {
        static AHEAD: AtomicI64 = AtomicI64::new(0);
        let time: Timestamp = "2024-03-22T02:04:41Z".parse().unwrap();
        let instant = tokio::time::Instant::now();
        let clock = WallClock::Set {
            time,
            instant,
            ahead_seconds: &AHEAD,
        };
        let steady = clock.steady();
        AHEAD.store(-3600, Ordering::Relaxed);
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        let seconds = |clock: WallClock| clock.now().duration_since(time).as_secs();
        assert_eq!((seconds(clock), seconds(steady)), (-3595, 5));
        assert_eq!(seconds(clock.steady()), -3595);
    }

    #[test]
    fn what_is_noted_dates_no_signature() {
        let clock = Clock::default();
        assert_eq!(clock.last_seen_ahead(), None);
        clock
            .clone()
            .note(http_date("Fri, 24 Nov 2056 08:49:37 GMT"));
        clock.note(None);
        assert!(clock.last_seen_ahead() > Some(SignedDuration::from_hours(24)));
        let now = clock.now().duration_since(Timestamp::now());
        assert!(now.abs() < SignedDuration::from_secs(60));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "soon", "2056-11-24T08:49:37Z"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
