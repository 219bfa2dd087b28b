//! What a process remembers from one invocation to the next. Other processes do not know it, so it only
//! saves work: everything holds without it.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;

use crate::capture::follow::Judged;
use crate::clock::is_within;
use crate::lock::lock;

/// How long a record counts as stored that this process has seen in the archive. The events of a reboot
/// come within a minute, and are followed for some minutes.
const STORED_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How long a message counts as served. A queue delivers copies within minutes.
const SERVED_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Most names that are remembered of either kind: a few hundred kilobytes. The oldest are forgotten.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// The memory of one process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Keys of records.
    stored: Mutex<Recent<()>>,
    /// Messages, by their names.
    served: Mutex<Recent<Turn>>,
    /// What their consoles show.
    judged: Mutex<Recent<Judged>>,
    has_told_early: AtomicBool,
    has_told_no_permission: AtomicBool,
}

/// Whether a message is served. Whoever serves it holds the lock meanwhile.
pub(super) type Turn = Arc<tokio::sync::Mutex<bool>>;

/// Names with the time at which each was noted.
#[derive(Debug)]
struct Recent<T>(LruCache<String, (Timestamp, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(LruCache::new(MAX_NAMES))
    }
}

impl<T: Clone> Recent<T> {
    fn get(&self, name: &str, now: Timestamp, lasts: SignedDuration) -> Option<T> {
        let (noted_at, value) = self.0.peek(name)?;
        is_within(lasts, *noted_at, now).then(|| value.clone())
    }

    fn note(&mut self, name: &str, now: Timestamp, value: T) {
        self.0.put(name.to_owned(), (now, value));
    }
}

impl Memory {
    /// Whether this process has seen the record at `key` in the archive just before.
    pub fn has_stored(&self, key: &str, now: Timestamp) -> bool {
        lock(&self.0.stored).get(key, now, STORED_FOR).is_some()
    }

    /// The archive has said that the record at `key` is there. A record that is known already keeps its
    /// time, because the archive was not asked again.
    pub fn note_stored(&self, key: &str, now: Timestamp) {
        let mut stored = lock(&self.0.stored);
        if stored.get(key, now, STORED_FOR).is_none() {
            stored.note(key, now, ());
        }
    }

    /// What the console at `key` shows, if this process has looked at it just before.
    pub(super) fn judged(&self, key: &str, now: Timestamp) -> Option<Judged> {
        lock(&self.0.judged).get(key, now, STORED_FOR)
    }

    /// The console at `key` shows this.
    pub(super) fn note_judged(&self, key: &str, now: Timestamp, judged: Judged) {
        lock(&self.0.judged).note(key, now, judged);
    }

    /// The turn of a message. Copies of a message have the same.
    pub(super) fn turn_of(&self, name: &str, now: Timestamp) -> Turn {
        let mut served = lock(&self.0.served);
        match served.get(name, now, SERVED_FOR) {
            Some(turn) => turn,
            None => {
                let turn = Turn::default();
                served.note(name, now, turn.clone());
                turn
            }
        }
    }

    /// Whether the log is still to say that messages come early. Says so once.
    pub(super) fn tells_early(&self) -> bool {
        !self.0.has_told_early.swap(true, Ordering::Relaxed)
    }

    /// Whether the log is still to say that no screenshot may be taken. Says so once.
    pub(super) fn tells_no_permission(&self) -> bool {
        !self.0.has_told_no_permission.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_record_is_known_for_ten_minutes_from_the_archives_answer() {
        let memory = Memory::default();
        assert!(!memory.has_stored("a", at(0)));
        memory.note_stored("a", at(0));
        assert!(memory.clone().has_stored("a", at(599)));
        // That it was not put again does not make it known for longer.
        memory.note_stored("a", at(500));
        assert!(!memory.has_stored("a", at(600)));
        memory.note_stored("a", at(600));
        assert!(memory.has_stored("a", at(1199)));
        assert!(!memory.has_stored("a", at(0)), "a clock that was set back");
    }

    #[test]
    fn only_so_many_are_known_and_the_oldest_are_forgotten() {
        let memory = Memory::default();
        for number in 0..=MAX_NAMES.get() {
            memory.note_stored(&number.to_string(), at(0));
        }
        assert!(!memory.has_stored("0", at(0)));
        assert!(memory.has_stored("1", at(0)));
        assert_eq!(lock(&memory.0.stored).0.len(), MAX_NAMES.get());
        // One that is noted again is one.
        memory.note_stored("1", at(700));
        assert_eq!(lock(&memory.0.stored).0.len(), MAX_NAMES.get());
    }

    #[test]
    fn copies_of_a_message_have_one_turn() {
        let memory = Memory::default();
        let turn = memory.turn_of("m", at(0));
        assert!(Arc::ptr_eq(&turn, &memory.turn_of("m", at(1))));
        assert!(!Arc::ptr_eq(&turn, &memory.turn_of("n", at(1))));
        assert!(!Arc::ptr_eq(&turn, &memory.turn_of("m", at(3601))));
    }

    #[test]
    fn that_messages_come_early_is_told_once() {
        let memory = Memory::default();
        assert!(memory.tells_early());
        assert!(!memory.clone().tells_early());
    }
}
