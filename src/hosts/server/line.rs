//! The line of senders that have not sent a complete request yet. Attackers could fill it by
//! sending slowly. So if the line is full, the newest sender gets in, and the oldest one is
//! disconnected. An honest sender needs milliseconds, so it is never the oldest for long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// A line with a limited number of places.
#[derive(Debug)]
pub struct Line {
    places: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Each entry disconnects one sender. The oldest comes first.
    senders: BTreeMap<u64, CancellationToken>,
}

/// A place in a line. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    line: Arc<Line>,
    number: u64,
}

impl Line {
    /// A line with so many places.
    pub fn new(places: usize) -> Arc<Self> {
        let waiting = Mutex::default();
        Arc::new(Self { places, waiting })
    }

    /// Takes the last place. `cut_off` is cancelled if others need the place and this sender has
    /// waited longest.
    pub fn join(self: &Arc<Self>, cut_off: &CancellationToken) -> Place {
        let mut waiting = self.lock();
        while waiting.senders.len() >= self.places && waiting.cut_off_oldest(u64::MAX) {}
        let number = waiting.next;
        waiting.next += 1;
        waiting.senders.insert(number, cut_off.clone());
        let line = self.clone();
        Place { line, number }
    }

    /// Disconnects the sender that has waited longest. Returns whether there was one.
    pub fn cut_off_oldest(&self) -> bool {
        self.lock().cut_off_oldest(u64::MAX)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().senders.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().senders.len()
    }
}

impl Waiting {
    fn cut_off_oldest(&mut self, before: u64) -> bool {
        let Some(oldest) = self.senders.first_entry() else {
            return false;
        };
        if *oldest.key() >= before {
            return false;
        }
        oldest.remove().cancel();
        true
    }
}

impl Place {
    /// Disconnects the sender that has waited longest, if it has waited longer than this one.
    /// Returns whether there was one.
    pub fn cut_off_an_older(&self) -> bool {
        self.line.lock().cut_off_oldest(self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.line.lock().senders.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_cuts_off_who_has_waited_longest() {
        let line = Line::new(3);
        let tokens: Vec<_> = (0..5).map(|_| CancellationToken::new()).collect();
        let places: Vec<_> = tokens.iter().map(|token| line.join(token)).collect();
        let cut_off: Vec<_> = tokens.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(cut_off, [true, true, false, false, false]);
        assert_eq!(line.len(), 3);
        drop(places);
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn who_has_got_through_gives_its_place_to_others_and_is_not_cut_off() {
        let line = Line::new(1);
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        drop(line.join(&first));
        let _place = line.join(&second);
        assert!(!first.is_cancelled() && !second.is_cancelled());
    }

    #[test]
    fn nobody_cuts_off_who_came_later() {
        let line = Line::new(9);
        let tokens: Vec<_> = (0..2).map(|_| CancellationToken::new()).collect();
        let places: Vec<_> = tokens.iter().map(|token| line.join(token)).collect();
        assert!(!places[0].cut_off_an_older());
        assert!(places[1].cut_off_an_older());
        assert!(tokens[0].is_cancelled() && !tokens[1].is_cancelled());
        assert!(!places[1].cut_off_an_older());
    }
}
