//! Whose turn it is in a scheduled redrive, and when a service is not asked any more. Pure.
//!
//! That a call gets no answer does not say why: the region may be down, or only this one instance. So
//! what is about a region that seems to be down waits until the others had their turn, and is tried
//! then all the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::hosts::reply::InvocationError;
use crate::intake::delivery::Delivery;
use crate::intake::event::Request;
use crate::model::event::Origin;
use crate::model::ids::{AccountId, RegionId};
use crate::model::outcome::{ErrorType, RedriveTally};

/// Time for one event the first time. An instance that does not answer takes all of it from the
/// others.
const FIRST_TIME: Duration = Duration::from_secs(6);
/// Instances of a push that are asked for at once.
const FEW: usize = 4;
/// Time for one event that got no answer the first time. No event is followed for longer where there is
/// no follow queue: what it was about is over.
const SECOND_TIME: Duration = Duration::from_secs(20);
/// After so many unanswered calls in a row, a region and account seem to be down. Their events wait for
/// the others.
const SEEMS_DOWN: u64 = 4;
/// After so many, they are down: their events wait for the next redrive.
const IS_DOWN: u64 = 64;
/// After so many in a row that were throttled, or for which the archive or the queue did not answer, the
/// others would fail in the same way.
const MAX_IN_ROW: u64 = 4;

/// What answers for an event: a region, with the account that owns the instance. Without either, the
/// defaults of this function.
pub(super) type Service = (Option<RegionId>, Option<AccountId>);

/// What an event is about.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    /// What answers for it.
    pub(super) services: BTreeSet<Service>,
    /// How many instances it names. A sweep names none.
    instances: usize,
}

impl About {
    pub(super) fn of(event: &str, origin: Origin) -> Self {
        let mut about = Self::default();
        let messages = Delivery::of_replay(event, origin).messages.into_iter();
        for request in messages.flat_map(|message| message.requests).flatten() {
            let event = match request {
                Request::Instance(event) => event,
                Request::Follow(message) => message.follow.event,
                Request::Sweep(_)
                | Request::Redrive(_)
                | Request::Compact
                | Request::Doctor(_)
                | Request::Other(_) => continue,
            };
            about.services.insert((event.region_id, event.account_id));
            about.instances += 1;
        }
        about
    }

    /// Time for the event. A sweep lists first, and a large push asks for one after the other.
    pub(super) fn time_in(&self, round: Round) -> Duration {
        match round {
            Round::First | Round::PutOff if (1..=FEW).contains(&self.instances) => FIRST_TIME,
            _ => SECOND_TIME,
        }
    }
}

/// What became of one event, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    Served,
    Failed,
    GivenUp,
    /// It failed in a way that passes by itself, and stays as it is.
    Transient(Transient),
    /// The archive has no place for what is to replace it. It stays as it is.
    Stuck,
    /// There was no time to try it.
    Left,
    /// Another redrive has removed it, or this one has tried it.
    Skipped,
}

/// What a failure that passes by itself says about the other events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transient {
    /// No answer came. The region may be down, or only this instance.
    Unanswered,
    /// ECS counts the calls of the account in this region.
    Throttled,
    /// ECS answered: it is busy with this instance. That says nothing about another.
    OfInstance,
    /// The archive or the queue did not answer, which every event needs.
    OfAll,
}

impl From<&InvocationError> for Transient {
    fn from(failure: &InvocationError) -> Self {
        match failure.error_type {
            _ if failure.is_of_instance => Self::OfInstance,
            ErrorType::EcsThrottled => Self::Throttled,
            ErrorType::ArchiveUnavailable | ErrorType::QueueUnavailable => Self::OfAll,
            _ => Self::Unanswered,
        }
    }
}

/// Which round of a redrive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Each has its first turn.
    First,
    /// Those that waited for others have their first turn.
    PutOff,
    /// Those that got no answer have a longer turn.
    Unanswered,
}

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct Rounds<T> {
    pub(super) first: VecDeque<T>,
    pub(super) put_off: VecDeque<T>,
    pub(super) unanswered: VecDeque<T>,
}

impl<T> Rounds<T> {
    pub(super) fn new(first: impl IntoIterator<Item = T>) -> Self {
        Self {
            first: first.into_iter().collect(),
            put_off: VecDeque::new(),
            unanswered: VecDeque::new(),
        }
    }

    /// The round that goes on, and what waits in it. It is empty if nothing waits at all.
    pub(super) fn next(&mut self) -> (Round, &mut VecDeque<T>) {
        if !self.first.is_empty() {
            (Round::First, &mut self.first)
        } else if !self.put_off.is_empty() {
            (Round::PutOff, &mut self.put_off)
        } else {
            (Round::Unanswered, &mut self.unanswered)
        }
    }

    /// How many had no turn. Those of the last round had one, and failed.
    pub(super) fn untried(&self) -> u64 {
        (self.first.len() + self.put_off.len()) as u64
    }
}

/// Failures in a row of one service.
#[derive(Debug, Default)]
struct InRow {
    unanswered: u64,
    throttled: u64,
}

/// What one invocation did.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) tally: RedriveTally,
    in_row: BTreeMap<Service, InRow>,
    /// Failures in a row of what every event needs.
    of_all: u64,
    /// Events that failed in a way that passes by itself.
    transient_failures: u64,
    /// Whether an event was removed or replaced, so that less is left to do.
    pub(super) has_progressed: bool,
}

impl Part {
    /// Counts what became of an event, or of a part of it, for which these services answer.
    pub(super) fn count(&mut self, tried: Tried, services: &BTreeSet<Service>) {
        match tried {
            Tried::Served => self.tally.served += 1,
            Tried::Failed | Tried::Stuck => self.tally.failed += 1,
            Tried::GivenUp => self.tally.given_up += 1,
            Tried::Transient(_) => {
                self.tally.failed += 1;
                self.transient_failures += 1;
            }
            Tried::Left => self.tally.left += 1,
            Tried::Skipped => {}
        }
        let mut in_row = |count: fn(&mut InRow)| {
            for service in services {
                count(self.in_row.entry(service.clone()).or_default());
            }
        };
        match tried {
            Tried::Transient(Transient::Unanswered) => in_row(|one| one.unanswered += 1),
            Tried::Transient(Transient::Throttled) => in_row(|one| one.throttled += 1),
            Tried::Transient(Transient::OfAll) => self.of_all += 1,
            Tried::Transient(Transient::OfInstance) => {
                self.in_row.retain(|one, _| !services.contains(one));
            }
            Tried::Served | Tried::Failed | Tried::GivenUp => {
                self.has_progressed = true;
                self.of_all = 0;
                self.in_row.retain(|one, _| !services.contains(one));
            }
            Tried::Stuck | Tried::Left | Tried::Skipped => {}
        }
    }

    /// Counts what became of a whole event. Returns whether it has another turn, because no answer
    /// came.
    pub(super) fn takes_turn(
        &mut self,
        tried: Tried,
        services: &BTreeSet<Service>,
        round: Round,
    ) -> bool {
        if round == Round::Unanswered {
            if tried == Tried::Left {
                return false; // It failed in its first turn.
            }
            self.tries_again();
        }
        self.count(tried, services);
        round != Round::Unanswered && tried == Tried::Transient(Transient::Unanswered)
    }

    /// Counts an event that cannot be read.
    pub(super) fn count_unreadable(&mut self, round: Round) {
        if round != Round::Unanswered {
            self.tally.failed += 1; // One with a second turn is counted.
        }
    }

    /// An event that failed because no answer came has another turn, and counts by what becomes of it
    /// then.
    pub(super) fn tries_again(&mut self) {
        self.tally.failed = self.tally.failed.saturating_sub(1);
        self.transient_failures = self.transient_failures.saturating_sub(1);
    }

    fn all(&self, services: &BTreeSet<Service>, is_so: impl Fn(&InRow) -> bool) -> bool {
        let is_so = |one| self.in_row.get(one).is_some_and(&is_so);
        !services.is_empty() && services.iter().all(is_so)
    }

    /// Whether the services of an event seem to be down, so that the others come first.
    pub(super) fn is_doubtful(&self, services: &BTreeSet<Service>) -> bool {
        self.all(services, |one| one.unanswered >= SEEMS_DOWN)
    }

    /// Whether this redrive asks no service of an event any more.
    pub(super) fn is_hopeless(&self, services: &BTreeSet<Service>) -> bool {
        let is_down = |one: &InRow| one.unanswered >= IS_DOWN || one.throttled >= MAX_IN_ROW;
        self.all(services, is_down)
    }

    /// Whether what every event needs does not answer.
    pub(super) fn is_all_down(&self) -> bool {
        self.of_all >= MAX_IN_ROW
    }

    /// The same without the events that this invocation left as they are: the next one tries them
    /// again, and counts them then.
    pub(super) fn without_transient(&self, before: &RedriveTally) -> RedriveTally {
        let done = self.after(before);
        RedriveTally {
            failed: done.failed.saturating_sub(self.transient_failures),
            left: done.left.saturating_add(self.transient_failures),
            ..done
        }
    }

    pub(super) fn has_done_nothing(&self) -> bool {
        let RedriveTally {
            served,
            failed,
            given_up,
            left: _,
        } = self.tally;
        served + failed + given_up == 0 && !self.has_progressed
    }

    /// With what earlier invocations did.
    pub(super) fn after(&self, before: &RedriveTally) -> RedriveTally {
        RedriveTally {
            served: before.served.saturating_add(self.tally.served),
            failed: before.failed.saturating_add(self.tally.failed),
            given_up: before.given_up.saturating_add(self.tally.given_up),
            left: self.tally.left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(region: &str) -> BTreeSet<Service> {
        BTreeSet::from([(RegionId::parse(region).ok(), None)])
    }

    fn after(tried: Tried, times: u64) -> Part {
        let mut part = Part::default();
        for _ in 0..times {
            part.count(tried, &of("cn-a"));
        }
        part
    }

    #[track_caller]
    fn check(part: &Part, is_doubtful: bool, is_hopeless: bool, is_all_down: bool) {
        let seen = (
            part.is_doubtful(&of("cn-a")),
            part.is_hopeless(&of("cn-a")),
            part.is_all_down(),
        );
        assert_eq!(seen, (is_doubtful, is_hopeless, is_all_down), "{part:?}");
        let both: BTreeSet<_> = of("cn-a").into_iter().chain(of("cn-b")).collect();
        for other in [of("cn-b"), both, BTreeSet::new()] {
            assert!(!part.is_doubtful(&other) && !part.is_hopeless(&other));
        }
    }

    #[test]
    fn what_seems_down_is_put_off_and_what_is_down_is_left() {
        let unanswered = Tried::Transient(Transient::Unanswered);
        check(&after(unanswered, 3), false, false, false);
        check(&after(unanswered, 4), true, false, false);
        check(&after(unanswered, 63), true, false, false);
        check(&after(unanswered, 64), true, true, false);
        let answered = [
            Tried::Served,
            Tried::Failed,
            Tried::GivenUp,
            Tried::Transient(Transient::OfInstance),
        ];
        for answered in answered {
            let mut part = after(unanswered, 64);
            part.count(answered, &of("cn-b"));
            check(&part, true, true, false);
            part.count(answered, &of("cn-a"));
            check(&part, false, false, false);
        }
    }

    #[test]
    fn what_is_throttled_and_what_all_need_ends_it_soon() {
        let [throttled, of_all, of_instance] = [
            Transient::Throttled,
            Transient::OfAll,
            Transient::OfInstance,
        ]
        .map(Tried::Transient);
        check(&after(throttled, 3), false, false, false);
        check(&after(throttled, 4), false, true, false);
        check(&after(of_all, 3), false, false, false);
        check(&after(of_all, 4), false, false, true);
        check(&after(of_instance, 1000), false, false, false);
    }

    #[test]
    fn an_event_that_has_two_turns_counts_once() {
        let mut part = after(Tried::Transient(Transient::Unanswered), 1);
        part.tries_again();
        part.count(Tried::Served, &of("cn-a"));
        assert_eq!((part.tally.served, part.tally.failed), (1, 0));
        assert_eq!(part.without_transient(&RedriveTally::default()), part.tally);
    }

    #[test]
    fn each_has_a_turn_before_one_has_a_second() {
        let mut rounds = Rounds::new([1, 2]);
        rounds.unanswered.push_back(0);
        rounds.put_off.push_back(3);
        let mut order = Vec::new();
        while let (round, line) = rounds.next()
            && let Some(one) = line.pop_front()
        {
            order.push((round, one));
        }
        let expected = [
            (Round::First, 1),
            (Round::First, 2),
            (Round::PutOff, 3),
            (Round::Unanswered, 0),
        ];
        assert_eq!(order, expected);
    }
}
