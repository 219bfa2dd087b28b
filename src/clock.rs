//! A service's clock, as far as it is known: this machine's, until the service refuses a time of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// What signatures are dated by. Copies share what one of them learns.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    seconds_ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The time by this clock.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.seconds_ahead.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Sets it to what an answer's `Date` says.
    pub fn set(&self, date: Timestamp) {
        let ahead = date.duration_since(Timestamp::now()).as_secs();
        self.seconds_ahead.store(ahead, Ordering::Relaxed);
    }
}

/// `Tue, 24 Nov 2026 08:49:37 GMT`, the form of RFC 9110 §5.6.7 that servers must send.
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
    fn what_is_no_date_is_none() {
        for text in ["", "soon", "2056-11-24T08:49:37Z"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
