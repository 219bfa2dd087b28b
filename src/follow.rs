//! Following a console until it has settled: what was seen of it, whether that is fresh, and when
//! to look again. Time and chance are passed in.
//!
//! ECS's cache lags the guest by about a minute, and right after a reboot it may still have the
//! boot before. One look would miss the last words, or the new ones.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ecs::response::{ConsoleOutput, NoConsole};
use crate::event::{Cause, InstanceEvent};
use crate::key::ConsoleDigest;
use crate::outcome::StoredRecord;
use crate::update_time::UpdateTime;

/// The first pause is this part of the budget; with [`GROWTH`], six polls fill it.
const FIRST_PAUSE_PART: u32 = 16;
/// Longest first pause. A console that settles at once should not be waited for.
const MAX_FIRST_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(120);
/// Each pause is so many times as long as the one before.
const GROWTH: f64 = 1.6;
/// Most polls of one event, whatever a message says.
const MAX_POLLS: u32 = 60;
/// Bytes at the end of a console that are searched for a login prompt.
const PROMPT_BYTES: usize = 512;

/// An event that is being followed. It is what a follow message carries from one invocation to
/// the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// The event.
    pub event: InstanceEvent,
    /// When it was first served.
    pub began_at: Timestamp,
    /// How often ECS was asked.
    polls: u32,
    /// The console that came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    /// Why there was none, at the last poll.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// What is stored, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
}

/// An answer of ECS without a console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Why.
    pub reason: NoConsole,
    /// ECS's error code, where it gave one.
    pub code: String,
}

/// A record of this event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where.
    pub record: StoredRecord,
    /// Whether it was not there before.
    pub created: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    sha256: ConsoleDigest,
    bytes: usize,
    /// It was updated after the event.
    is_newer: bool,
    has_login_prompt: bool,
    /// How many polls in a row brought the same.
    polls: u32,
}

/// How a console differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was none before.
    First,
    /// It is the same.
    Unchanged,
    /// It begins with the one before, so nothing is lost with that.
    Extended,
    /// The ring has rolled, or the instance has started anew: bytes of the one before are gone.
    Replaced,
}

/// What a console shows of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// All of it: it was updated after the event and has settled.
    Fresh,
    /// What came before: it was not updated since the event.
    Stale,
    /// A part: it was updated after the event, and more may have come.
    Partial,
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Partial => "partial",
        })
    }
}

impl Follow {
    /// An event that is served for the first time.
    pub fn begin(event: InstanceEvent, now: Timestamp) -> Self {
        Self {
            event,
            began_at: now,
            polls: 0,
            seen: None,
            absent: None,
            kept: Vec::new(),
        }
    }

    /// Takes note of a console that came. It is not empty.
    pub fn see(&mut self, console: &ConsoleOutput, now: Timestamp) -> Change {
        self.polls += 1;
        self.absent = None;
        let sha256 = ConsoleDigest::of(&console.plain);
        let change = match &self.seen {
            None => Change::First,
            Some(seen) if seen.sha256 == sha256 => Change::Unchanged,
            Some(seen) => match console.plain.get(..seen.bytes) {
                Some(start) if ConsoleDigest::of(start) == seen.sha256 => Change::Extended,
                _ => Change::Replaced,
            },
        };
        // Without a time, a change since the first look is the only sign of life.
        let has_changed = matches!(change, Change::Extended | Change::Replaced);
        let was_newer = self.seen.as_ref().is_some_and(|seen| seen.is_newer);
        let is_newer = UpdateTime::can_show(&console.last_update_time, self.event_at(), now)
            .unwrap_or(has_changed || was_newer);
        let polls = match (&self.seen, change) {
            (Some(seen), Change::Unchanged) => seen.polls + 1,
            _ => 1,
        };
        self.seen = Some(Seen {
            sha256,
            bytes: console.plain.len(),
            is_newer,
            has_login_prompt: has_login_prompt(&console.plain),
            polls,
        });
        change
    }

    /// Takes note that no console came.
    pub fn see_none(&mut self, reason: NoConsole, code: String) {
        self.polls += 1;
        self.absent = Some(Absent { reason, code });
    }

    /// What the console that came last shows. `None` for a cause that happened at no moment.
    pub fn freshness(&self) -> Option<Freshness> {
        let seen = self.seen.as_ref().filter(|_| self.has_moment())?;
        Some(match (seen.is_newer, self.has_settled()) {
            (false, _) => Freshness::Stale,
            (true, true) => Freshness::Fresh,
            (true, false) => Freshness::Partial,
        })
    }

    /// How long to wait before the next poll, within `budget` from the first. `None` when there
    /// is nothing more to wait for. `jitter` is 0 to 1.
    pub fn next_pause(&self, budget: Duration, now: Timestamp, jitter: f64) -> Option<Duration> {
        let settled = self.absent.is_none() && self.has_settled();
        let terminal = (self.absent.as_ref()).is_some_and(|absent| !absent.reason.may_pass());
        if settled || terminal || !self.has_moment() || self.polls >= MAX_POLLS {
            return None;
        }
        let elapsed = now.duration_since(self.began_at).max(SignedDuration::ZERO);
        let left = budget.saturating_sub(elapsed.unsigned_abs());
        let first = (budget / FIRST_PAUSE_PART).min(MAX_FIRST_PAUSE);
        if left <= first / 4 {
            return None;
        }
        let growth = GROWTH.powi(self.polls.saturating_sub(1).min(32) as i32);
        let pause = first.mul_f64(growth * (0.75 + jitter / 2.0)).min(MAX_PAUSE);
        // The last poll is as late as the budget allows.
        Some(if left <= pause + first / 2 {
            left
        } else {
            pause
        })
    }

    fn event_at(&self) -> Timestamp {
        self.event.occurred_at.unwrap_or(self.began_at)
    }

    /// Whether a console can be older than what it was asked for.
    fn has_moment(&self) -> bool {
        !matches!(self.event.cause, Cause::Manual | Cause::Sweep)
    }

    /// A prompt of the boot before settles nothing, so the console must be newer in any case.
    fn has_settled(&self) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| seen.is_newer && (seen.polls >= 2 || seen.has_login_prompt))
    }
}

/// Whether the last line asks for a login: `hostname login: `, with whatever the terminal was told
/// behind it.
fn has_login_prompt(plain: &[u8]) -> bool {
    let tail = &plain[plain.len().saturating_sub(PROMPT_BYTES)..];
    let mut text = String::from_utf8_lossy(tail).into_owned();
    // Escape sequences behind the prompt, such as a colour's end.
    while let Some(start) = text.rfind('\x1b') {
        let is_sequence = |c: char| c.is_ascii_digit() || "[;?".contains(c);
        let sequence = text[start + 1..].trim_start_matches(is_sequence);
        let rest = sequence.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        if !rest.trim().is_empty() {
            break;
        }
        text.truncate(start);
    }
    text.trim_end().ends_with("login:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;

    const EVENT: &str = "2018-03-22T02:04:57Z";
    const OLDER: &str = "2018-03-22 10:00:00";
    const NEWER: &str = "2018-03-22 10:05:10";

    fn at(seconds: i64) -> Timestamp {
        EVENT.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn follow(cause: Cause) -> Follow {
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-a1").unwrap(),
            region_id: None,
            account_id: None,
            cause,
            event_id: None,
            occurred_at: Some(at(0)),
        };
        Follow::begin(event, at(1))
    }

    fn starting() -> Follow {
        follow(Cause::StateChange("Starting".into()))
    }

    fn console(plain: &str, last_update_time: &str) -> ConsoleOutput {
        ConsoleOutput {
            plain: plain.into(),
            last_update_time: last_update_time.into(),
            request_id: String::new(),
            reported_instance_id: None,
        }
    }

    const BUDGET: Duration = Duration::from_secs(180);

    /// What each poll says: the change, the freshness, and whether another one follows.
    #[track_caller]
    fn check(mut follow: Follow, polls: &[(&str, &str, Change, Option<Freshness>, bool)]) {
        for (index, (plain, time, change, freshness, goes_on)) in polls.iter().enumerate() {
            let now = at(20 + index as i64);
            assert_eq!(follow.see(&console(plain, time), now), *change, "{plain}");
            assert_eq!(follow.freshness(), *freshness, "{plain}");
            let pause = follow.next_pause(BUDGET, now, 0.5);
            assert_eq!(pause.is_some(), *goes_on, "{plain}");
        }
    }

    use Change::*;
    use Freshness::*;

    #[test]
    fn unchanged_and_newer_than_the_event_is_settled() {
        check(
            starting(),
            &[
                ("boot", NEWER, First, Some(Partial), true),
                ("boot", NEWER, Unchanged, Some(Fresh), false),
            ],
        );
    }

    #[test]
    fn unchanged_and_older_than_the_event_is_waited_out() {
        check(
            starting(),
            &[
                ("old", OLDER, First, Some(Stale), true),
                ("old", OLDER, Unchanged, Some(Stale), true),
                ("old", OLDER, Unchanged, Some(Stale), true),
                ("new", NEWER, Replaced, Some(Partial), true),
                ("new boot", NEWER, Extended, Some(Partial), true),
                ("new boot", NEWER, Unchanged, Some(Fresh), false),
            ],
        );
    }

    #[test]
    fn a_login_prompt_settles_a_console_that_is_newer_than_the_event() {
        let prompt = "Debian 12\r\nhost login: \x1b[0m";
        check(
            starting(),
            &[
                (prompt, OLDER, First, Some(Stale), true),
                (prompt, NEWER, Unchanged, Some(Fresh), false),
            ],
        );
        check(starting(), &[(prompt, NEWER, First, Some(Fresh), false)]);
    }

    #[test]
    fn without_a_time_a_change_is_the_sign_of_life() {
        check(
            starting(),
            &[
                ("old", "", First, Some(Stale), true),
                ("old", "", Unchanged, Some(Stale), true),
                ("new", "", Replaced, Some(Partial), true),
                ("new", "", Unchanged, Some(Fresh), false),
            ],
        );
    }

    #[test]
    fn what_happened_at_no_moment_is_not_followed() {
        for cause in [Cause::Manual, Cause::Sweep] {
            check(follow(cause), &[("old", OLDER, First, None, false)]);
        }
    }

    #[test]
    fn an_instance_that_is_not_running_yet_is_waited_for_and_one_without_consoles_is_not() {
        for (reason, goes_on) in [
            (NoConsole::NotRunning, true),
            (NoConsole::Empty, true),
            (NoConsole::NotSupported, false),
            (NoConsole::NotFound, false),
        ] {
            let mut follow = starting();
            follow.see_none(reason, String::new());
            let pause = follow.next_pause(BUDGET, at(2), 0.5);
            assert_eq!(pause.is_some(), goes_on, "{reason:?}");
            assert_eq!(follow.freshness(), None);
        }
        // It has stopped since: what it wrote before may go on when it starts.
        let mut follow = starting();
        follow.see(&console("boot", NEWER), at(2));
        follow.see(&console("boot", NEWER), at(3));
        follow.see_none(NoConsole::NotRunning, String::new());
        assert!(follow.next_pause(BUDGET, at(4), 0.5).is_some());
    }

    #[test]
    fn pauses_grow_and_fill_the_budget_to_its_end() {
        for (seconds, jitter) in [(1, 0.0), (60, 0.5), (180, 0.99), (600, 0.3), (3600, 0.7)] {
            let budget = Duration::from_secs(seconds);
            let mut follow = starting();
            let (mut now, mut pauses) = (follow.began_at, Vec::new());
            loop {
                follow.see_none(NoConsole::NotRunning, String::new());
                let Some(pause) = follow.next_pause(budget, now, jitter) else {
                    break;
                };
                now += pause;
                pauses.push(pause);
            }
            let (last, rest) = pauses.split_last().unwrap();
            assert!(rest.is_sorted(), "{pauses:?}");
            assert!(*last <= MAX_PAUSE * 2, "{pauses:?}");
            assert_eq!(now, follow.began_at + budget, "{pauses:?}");
            assert!(
                (4..=MAX_POLLS as usize).contains(&pauses.len()),
                "{pauses:?}"
            );
        }
        assert_eq!(starting().next_pause(Duration::ZERO, at(1), 0.5), None);
    }

    #[test]
    fn a_message_carries_it_and_hostile_ones_are_refused() {
        let mut follow = starting();
        follow.see(&console("boot", NEWER), at(2));
        let json = serde_json::to_string(&follow).unwrap();
        assert_eq!(serde_json::from_str::<Follow>(&json).unwrap(), follow);
        assert!(serde_json::from_str::<Follow>(&json.replace("i-a1", "../a")).is_err());
    }

    #[test]
    fn other_last_lines_are_no_login_prompt() {
        for plain in [
            "",
            "login: root\r\nPassword: ",
            "login:\r\n[ 9.1] panic",
            "\x1b[2Jx",
        ] {
            assert!(!has_login_prompt(plain.as_bytes()), "{plain:?}");
        }
        for plain in ["a login: ", "a login:\r\n", "a login: \x1b[6n\x1b[0m \r\n"] {
            assert!(has_login_prompt(plain.as_bytes()), "{plain:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pause_is_never_longer_than_what_is_left(
            seconds in 0_u64..4000, elapsed in 0_i64..5000, polls in 0_u32..100, jitter in 0.0..1.0_f64,
        ) {
            let mut follow = starting();
            follow.polls = polls;
            let now = follow.began_at + SignedDuration::from_secs(elapsed);
            if let Some(pause) = follow.next_pause(Duration::from_secs(seconds), now, jitter) {
                proptest::prop_assert!(pause.as_secs_f64() <= (seconds as i64 - elapsed) as f64);
                proptest::prop_assert!(pause > Duration::ZERO);
            }
        }

        #[test]
        fn arbitrary_tails_never_panic(plain: Vec<u8>) {
            has_login_prompt(&plain);
        }
    }
}
