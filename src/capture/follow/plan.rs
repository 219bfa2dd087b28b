//! When ECS is asked for the console of an event: one table, by what the event says.
//!
//! What the table answers to, with the source of each fact:
//!
//! - ECS gives out what it has cached, and the cache lags the guest by about a minute (people who
//!   poll it: "serial console lags the guest by a minute or so").
//! - A reboot overwrites the old console. The last words are in the cache for as long as the
//!   machine takes to start anew, which is tens of seconds, and up to [`CACHE_LAG`] later than on
//!   the machine. So looks that catch them must be close together, and soon over.
//! - A new boot only grows, but for a full ring. So its looks may be further apart, and must go on
//!   for longer than the boot and [`CACHE_LAG`] and [`QUIET_TIME`].
//! - Each event of a reboot is followed by itself, for any of them may be lost. Two that
//!   look for the same are a waste: `Starting` looks rarely, because `Stopping` looks for the last
//!   words at that time, and `Running` for the new boot.

use std::time::Duration;

use crate::model::event::Cause;

/// How far ECS's cache is behind the guest. "A minute or so" is what people who poll it report;
/// the documents say nothing.
pub const CACHE_LAG: Duration = Duration::from_secs(60);

/// How long a console must stay the same to be settled.
///
/// Two things look like an end and are none: a cache that has not caught up, for up to
/// [`CACHE_LAG`], and a guest that is silent. Recorded boots are silent for 11 and 18 s (devices
/// and file systems that are waited for), and a kernel that waits for a disk for 30 s (the default
/// of its `scsi` layer). Together they are 90 s.
pub const QUIET_TIME: Duration = Duration::from_secs(90);

/// Looks are earlier than planned by at most this, so that instances that failed together are not
/// asked for together.
const MAX_JITTER: Duration = Duration::from_secs(5);

/// When to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Seconds since the event was first served. The look at 0 s is always made.
    looks: &'static [u64],
    /// After the last of `looks`, look again each time so many seconds are over. `None`: it ends.
    then_every: Option<u64>,
    /// A login prompt ends it: nothing more is expected of a boot. A machine that stops writes its
    /// last words behind one.
    pub ends_at_prompt: bool,
}

/// The last words: looks close together, until the cache shows what the machine wrote 40 s after
/// the event. By then most have stopped.
const LAST_WORDS: Plan = Plan {
    looks: &[20, 40, 60, 80, 100],
    then_every: None,
    ends_at_prompt: false,
};

/// In case `Stopping` was lost: one look at once, one when the cache has caught up with the start.
/// In case `Running` is lost: one look after a boot, and one at the end of the budget.
const START: Plan = Plan {
    looks: &[65, 160],
    then_every: Some(300),
    ends_at_prompt: true,
};

/// The whole boot. The distances let a console settle as soon as it can: [90 s](QUIET_TIME).
const BOOT: Plan = Plan {
    looks: &[30, 60, 90, 150, 210, 300],
    then_every: Some(120),
    ends_at_prompt: true,
};

/// The last words, and then the whole boot: a system event comes alone where the instance reboots
/// on its own account.
const CRASH: Plan = Plan {
    looks: &[20, 40, 60, 80, 100, 150, 210, 300],
    then_every: Some(120),
    ends_at_prompt: true,
};

impl Plan {
    /// How a cause is followed. `None` for one that happened at no moment: what ECS has is kept.
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

    /// How long to wait for the next look, where `elapsed` is over since the event was first
    /// served. Nothing is looked for later than `budget`, and the last look of a plan without an
    /// end is exactly then. `jitter` is 0 to 1.
    pub fn next_pause(&self, elapsed: Duration, budget: Duration, jitter: f64) -> Option<Duration> {
        let left = budget.saturating_sub(elapsed);
        // A timer's rounding must not make one more look.
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

    /// The next planned look, and how far it is from the one before. One that would come right
    /// after a late look is left out.
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

    /// Most looks within a budget, the one at once included.
    pub fn most_looks(&self, budget: Duration) -> u32 {
        let (mut elapsed, mut looks) = (Duration::ZERO, 1);
        // Jitter makes looks earlier, and never more of them: each is still the next planned one.
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

    /// As the templates have it.
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

    /// The looks of a plan, in seconds, where nothing ends it before.
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
        // An event that is followed for the longest that a setting allows stays below the cap.
        assert!(system_event().most_looks(Duration::from_secs(3600)) < 45);
    }

    #[test]
    fn a_boot_can_settle_between_its_last_two_looks() {
        for plan in [state("Running"), state("Starting"), system_event()] {
            let before_last = plan.next_pause(Duration::from_secs(210), BUDGET, 1.0);
            assert!(before_last >= Some(QUIET_TIME), "{plan:?}");
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
