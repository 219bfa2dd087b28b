//! When ECS is asked for the console of an event: one table, by the cause of the event.
//!
//! Facts behind the table, each with its source:
//!
//! - ECS answers from a cache that lags the guest by about a minute (reports of people who poll it:
//!   "serial console lags the guest by a minute or so").
//! - A reboot overwrites the old console. The cache has the last words only while the machine
//!   restarts, for tens of seconds, and up to [`CACHE_LAG`] later than the machine wrote them. So
//!   these polls stand close together, and end soon.
//! - The console of a new boot only grows, unless the ring is full. So these polls are further apart,
//!   and go on for longer than the boot, [`CACHE_LAG`] and [`QUIET_TIME`] together.
//! - Each event of a reboot is followed by itself, because any of them may be lost. To save requests,
//!   `Starting` polls rarely: `Stopping` waits for the last words at that time, and `Running` for the
//!   new boot.

use std::time::Duration;

use crate::model::event::Cause;

/// How far ECS's cache lags the guest. People who poll it report "a minute or so". The documents
/// say nothing.
pub const CACHE_LAG: Duration = Duration::from_secs(60);

/// How long a console must stay the same before it counts as settled.
///
/// Two things look like an end: a cache that has not caught up, for up to [`CACHE_LAG`], and a silent
/// guest. Recorded boots are silent for 11 and 18 s while they wait for devices and file systems. A
/// kernel waits 30 s for a disk, the default of its `scsi` layer. Together: 90 s.
pub const QUIET_TIME: Duration = Duration::from_secs(90);

/// A poll is up to this much earlier than planned, so that instances that failed together are not
/// polled at the same time.
const MAX_JITTER: Duration = Duration::from_secs(5);

/// The longest pause before a last screenshot, where nothing else is waited for: as long as the templates follow a boot.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The shortest one: ECS takes no picture within 10 s of another.
pub(super) const SCREENSHOT_PAUSE: Duration = Duration::from_secs(12);

/// When to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Seconds since the event was first served. There is always a poll at 0 s.
    looks: &'static [u64],
    /// After the last of `looks`, poll every so many seconds. `None`: stop there.
    then_every: Option<u64>,
    /// Whether a login prompt ends it, because a boot writes nothing more then. A machine that stops
    /// writes its last words after a prompt.
    pub ends_at_prompt: bool,
}

/// The last words: polls close together, until the cache shows what the machine wrote 40 s after the
/// event. Most machines have stopped by then.
const LAST_WORDS: Plan = Plan {
    looks: &[20, 40, 60, 80, 100],
    then_every: None,
    ends_at_prompt: false,
};

/// If `Stopping` was lost: one poll at once, and one when the cache has caught up with the start. If
/// `Running` is lost: one poll after a boot, and one at the end of the budget.
const START: Plan = Plan {
    looks: &[65, 160],
    then_every: Some(300),
    ends_at_prompt: true,
};

/// The whole boot. The distances let a console settle after [90 s](QUIET_TIME), as early as possible.
const BOOT: Plan = Plan {
    looks: &[30, 60, 90, 150, 210, 300],
    then_every: Some(120),
    ends_at_prompt: true,
};

/// The last words, then the whole boot. After a failure, a system event may be the only event of the
/// reboot.
const CRASH: Plan = Plan {
    looks: &[20, 40, 60, 80, 100, 150, 210, 300],
    then_every: Some(120),
    ends_at_prompt: true,
};

impl Plan {
    /// The plan for a cause. `None` for a cause without a moment: store what ECS has, and stop.
    pub fn of(cause: &Cause) -> Option<Self> {
        match cause {
            Cause::Manual | Cause::Sweep => None,
            Cause::SystemEvent { .. } => Some(CRASH),
            Cause::StateChange(state) => Some(match state.as_str() {
                "Stopping" | "Stopped" | "Deleted" => LAST_WORDS,
                "Starting" => START,
                _ => BOOT,
            }),
        }
    }

    /// Time until the next poll. `elapsed` is the time since the event was first served. No poll is
    /// later than `budget`, and a plan without an end has its last poll exactly then. `jitter` is 0
    /// to 1.
    pub fn next_pause(&self, elapsed: Duration, budget: Duration, jitter: f64) -> Option<Duration> {
        let left = budget.saturating_sub(elapsed);
        // The rounding of a timer must not cause one more poll.
        if left <= (budget / 16).min(Duration::from_secs(1)) {
            return None;
        }
        let (at, gap) = self.next_look(elapsed)?;
        if at + gap / 4 >= budget {
            return Some(left);
        }
        let earlier = (gap / 10).min(MAX_JITTER).mul_f64(jitter.clamp(0.0, 1.0));
        Some((at - earlier).saturating_sub(elapsed))
    }

    /// Time until the last poll, where those between would bring nothing. `None` if it is over, or so near that ECS
    /// would not take another screenshot.
    pub fn pause_until_end(&self, elapsed: Duration, budget: Duration) -> Option<Duration> {
        let last = self.looks.last().copied().map(Duration::from_secs);
        let end = match self.then_every {
            Some(_) => budget.min(LONGEST_PAUSE),
            None => budget.min(last.unwrap_or_default()),
        };
        let left = end.saturating_sub(elapsed);
        (left >= SCREENSHOT_PAUSE).then_some(left)
    }

    /// The next planned poll, and its distance from the previous one. After a late poll, one that
    /// would follow at once is skipped.
    fn next_look(&self, elapsed: Duration) -> Option<(Duration, Duration)> {
        let mut before = 0;
        let tail = self.then_every.into_iter().flat_map(|every| {
            let last = self.looks.last().copied().unwrap_or_default();
            (1..).map(move |number| last + number * every)
        });
        for at in self.looks.iter().copied().chain(tail) {
            let gap = Duration::from_secs(at - before);
            let at = Duration::from_secs(at);
            if at > elapsed + gap / 4 {
                return Some((at, gap));
            }
            before = at.as_secs();
        }
        None
    }

    /// Upper limit of polls within a budget, including the first.
    pub fn most_looks(&self, budget: Duration) -> u32 {
        let (mut elapsed, mut looks) = (Duration::ZERO, 1);
        // Jitter moves polls, and never adds one: each is still the next planned one.
        while let Some(pause) = self.next_pause(elapsed, budget, 0.0) {
            elapsed += pause;
            looks += 1;
        }
        looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget of the templates.
    const BUDGET: Duration = Duration::from_secs(300);

    fn state(state: &str) -> Plan {
        Plan::of(&Cause::StateChange(state.into())).unwrap()
    }

    fn system_event() -> Plan {
        let event_type = "SystemFailure.Reboot".to_owned();
        Plan::of(&Cause::SystemEvent {
            event_type,
            status: None,
        })
        .unwrap()
    }

    /// The polls of a plan, in seconds, if nothing ends it early.
    #[track_caller]
    fn check(plan: Plan, budget_seconds: u64, looks: &[u64]) {
        let budget = Duration::from_secs(budget_seconds);
        for jitter in [0.0, 0.5, 1.0] {
            let (mut elapsed, mut seconds) = (Duration::ZERO, vec![0]);
            while let Some(pause) = plan.next_pause(elapsed, budget, jitter) {
                elapsed += pause;
                let earlier = (looks[seconds.len()] as f64 - elapsed.as_secs_f64()).abs();
                assert!(earlier <= MAX_JITTER.as_secs_f64(), "{elapsed:?} {looks:?}");
                seconds.push(looks[seconds.len()]);
            }
            assert_eq!(seconds, looks);
        }
    }

    #[test]
    fn the_table_is_what_it_says() {
        check(state("Stopping"), 300, &[0, 20, 40, 60, 80, 100]);
        check(state("Starting"), 300, &[0, 65, 160, 300]);
        check(state("Running"), 300, &[0, 30, 60, 90, 150, 210, 300]);
        let crash = [0, 20, 40, 60, 80, 100, 150, 210, 300];
        check(system_event(), 300, &crash);
        assert_eq!(state("Stopped"), state("Stopping"));
        assert_eq!(state("Pending"), state("Running"));
        assert_eq!(Plan::of(&Cause::Manual), None);
        assert_eq!(Plan::of(&Cause::Sweep), None);
    }

    #[test]
    fn a_budget_cuts_a_plan_short_and_its_last_look_is_at_the_end() {
        check(state("Stopping"), 50, &[0, 20, 40, 50]);
        check(state("Starting"), 60, &[0, 60]);
        check(state("Running"), 95, &[0, 30, 60, 95]);
        check(state("Running"), 1, &[0, 1]);
        check(
            state("Running"),
            500,
            &[0, 30, 60, 90, 150, 210, 300, 420, 500],
        );
        assert_eq!(
            state("Running").next_pause(Duration::ZERO, Duration::ZERO, 0.0),
            None
        );
    }

    #[test]
    fn a_reboot_asks_less_often_than_18_times() {
        let looks = ["Stopping", "Starting", "Running"].map(|s| state(s).most_looks(BUDGET));
        assert_eq!(looks, [6, 4, 7]);
        // The longest budget in the settings needs fewer polls than the limit.
        assert!(system_event().most_looks(Duration::from_secs(3600)) < 45);
    }

    #[test]
    fn a_boot_can_settle_between_its_last_two_looks() {
        for plan in [state("Running"), state("Starting"), system_event()] {
            let before_last = plan.next_pause(Duration::from_secs(210), BUDGET, 1.0);
            assert!(before_last >= Some(QUIET_TIME), "{plan:?}");
        }
    }

    #[test]
    fn a_machine_without_a_console_is_looked_at_once_more_when_its_plan_ends() {
        let until_end = |state_name: &str, elapsed, budget| {
            let [elapsed, budget] = [elapsed, budget].map(Duration::from_secs);
            let pause = state(state_name).pause_until_end(elapsed, budget);
            pause.map(|pause| pause.as_secs())
        };
        assert_eq!(until_end("Stopping", 0, 300), Some(100));
        assert_eq!(until_end("Running", 0, 300), Some(300));
        assert_eq!(until_end("Running", 2, 60), Some(58));
        // A message may not be due later.
        assert_eq!(until_end("Running", 0, 3600), Some(300));
        for (elapsed, budget) in [(0, 0), (0, 11), (290, 300), (400, 300)] {
            assert_eq!(until_end("Running", elapsed, budget), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pause_is_never_longer_than_what_is_left(
            state_number in 0_usize..4, budget in 0_u64..4000, elapsed in 0_f64..5000.0, jitter in -1.0..2.0_f64,
        ) {
            let plan = [state("Stopping"), state("Starting"), state("Running"), system_event()];
            let (budget, elapsed) = (Duration::from_secs(budget), Duration::from_secs_f64(elapsed));
            if let Some(pause) = plan[state_number].next_pause(elapsed, budget, jitter) {
                proptest::prop_assert!(elapsed + pause <= budget);
                proptest::prop_assert!(pause > Duration::ZERO);
            }
        }
    }
}
