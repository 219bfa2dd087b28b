//! The state of following one event: what ECS returned, whether it is fresh, and when to ask again.
//! Callers pass in the time and the jitter.
//!
//! ECS's cache lags the guest by about a minute. Right after a reboot it may still have the previous
//! boot. A single poll would miss the last words or the new boot. [`Plan`] says how often and how
//! long ECS is asked.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::archive::key::{ConsoleDigest, RecordKey, ScreenshotKey};
use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::event::InstanceEvent;
use crate::model::finding::{Finding, worst_first};
use crate::model::freshness::Freshness;
use crate::model::outcome::StoredRecord;
use crate::model::screenshot::When;
use crate::model::update_time::UpdateTime;

mod message;
mod plan;
mod shots;

pub use message::FollowMessage;
use plan::SCREENSHOT_PAUSE;
pub use plan::{CACHE_LAG, Plan, QUIET_TIME};
pub use shots::{Judged, Shots};

/// Upper limit of polls for one event, whatever a message claims.
const MAX_POLLS: u32 = 60;
/// How many bytes at the end of a console are searched for a login prompt.
const PROMPT_BYTES: usize = 512;

/// Version of the follow messages that this program writes. It stands beside the [`Follow`].
///
/// During a roll-out, the old and the new version read each other's messages. So new members are
/// optional, and never in [`Follow`] itself: version 0, which wrote no number, refuses unknown
/// members there. It ignores unknown members of `event`, `seen` and `kept`.
pub const MESSAGE_VERSION: u32 = 1;

/// An event that is being followed. A follow message carries it from one invocation to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The event.
    pub event: InstanceEvent,
    /// When the function first served it.
    pub began_at: Timestamp,
    /// How often ECS was asked so far.
    polls: u32,
    /// The latest console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    /// Why the last poll returned no console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
    /// Stored records, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Its screenshots. A [`FollowMessage`] has them beside this.
    #[serde(skip)]
    pub shots: Shots,
    /// This process has stored its marker.
    #[serde(skip)]
    pub has_marker: bool,
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
    /// Whether this event created it.
    pub created: bool,
    /// The freshness in its metadata, if this event created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// When this event captured it. Earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<Timestamp>,
    /// What it shows, but for what an earlier record of the event shows as well. Earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Whether its last boot came to its login prompt, if this event created it. Earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_login: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    sha256: ConsoleDigest,
    bytes: usize,
    /// ECS updated it after the event.
    is_newer: bool,
    /// It ends at a login prompt that came after the event.
    has_login_prompt: bool,
    /// How many polls in a row returned the same console. Only version 0 decides by it.
    polls: u32,
    /// When ECS first returned it. `None` after a message of version 0, and after a poll without a
    /// console: a stopped guest may have continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    same_since: Option<Timestamp>,
    /// It has not changed for [`QUIET_TIME`].
    #[serde(default)]
    is_quiet: bool,
    /// It could not be decoded from Base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_undecoded: bool,
}

/// How a console differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is the first.
    First,
    /// It is the same.
    Unchanged,
    /// It begins with the previous one, so it contains all of it.
    Extended,
    /// Bytes of the previous one are gone: the ring has rolled, or the instance has restarted.
    Replaced,
}

/// What to do with a console that ECS returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing: it is the same as before.
    Nothing,
    /// Hold it in memory, because the next one may extend it.
    InMemory,
    /// Store it at once.
    Store,
}

impl Change {
    /// What to do with a console after this change. `in_memory`: this process makes the next poll
    /// itself, so it need not store a console that only grows. Without it a message continues the
    /// event, and a message carries no console.
    ///
    /// After [`Replaced`](Self::Replaced), store the console in memory first.
    pub fn keeping(self, in_memory: bool) -> Keeping {
        match self {
            // It may be the last words of a crash.
            Self::First => Keeping::Store,
            Self::Unchanged => Keeping::Nothing,
            Self::Extended | Self::Replaced if in_memory => Keeping::InMemory,
            Self::Extended | Self::Replaced => Keeping::Store,
        }
    }
}

/// Most findings of one event. A message carries them from one invocation to the next, and the catalog has all.
const MAX_FINDINGS: usize = 20;

impl Follow {
    /// Of what a console shows, what no earlier record of this event shows, the worst first. As many as there is room
    /// for among those that are as bad or worse: however much was said before, the fatal one that follows is told.
    pub fn new_findings(&self, found: Vec<Finding>) -> Vec<Finding> {
        let known: Vec<_> = self.findings().collect();
        let is_new = |finding: &Finding| {
            known
                .iter()
                .all(|known| known.signature != finding.signature)
        };
        let mut new: Vec<_> = found.into_iter().filter(is_new).collect();
        worst_first(&mut new);
        let mut counted: Vec<_> = known.iter().map(|known| known.severity).collect();
        new.retain(|finding| {
            let as_bad = counted.iter().filter(|known| **known >= finding.severity);
            let has_room = as_bad.count() < MAX_FINDINGS;
            counted.extend(has_room.then_some(finding.severity));
            has_room
        });
        new
    }

    /// The worst of what the records of this event show, the worst first.
    pub fn all_findings(&self) -> Vec<Finding> {
        let mut all: Vec<_> = self.findings().cloned().collect();
        worst_first(&mut all);
        all.truncate(MAX_FINDINGS);
        all
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter().flat_map(|kept| &kept.findings)
    }

    /// A key in [`kept`](Self::kept) that is not a record's key of this event's instance, if any, or one in
    /// [`shots`](Self::shots) that is not a screenshot's.
    pub fn foreign_record(&self) -> Option<&str> {
        let own = &self.event.instance_id;
        let is_record =
            |key: &str| RecordKey::parse(key).is_some_and(|key| key.instance_id == *own);
        let is_screenshot =
            |key: &str| ScreenshotKey::parse(key).is_some_and(|key| key.instance_id == *own);
        let mut records = self.kept.iter().map(|kept| kept.record.key.as_str());
        let mut screenshots = self.shots.kept.iter().map(String::as_str);
        let record = records.find(|key| !is_record(key));
        record.or_else(|| screenshots.find(|key| !is_screenshot(key)))
    }

    /// Whether a marker is to say that there was no console. A screenshot stands in its place if this event created it.
    pub fn needs_marker(&self) -> bool {
        self.kept.is_empty() && !self.shots.created
    }

    /// Whether what ECS has of the console calls for a screenshot. `is_end`: no later console is asked for.
    pub fn calls_for_screenshot(&self, when: When, is_end: bool) -> bool {
        // ECS has none of first-generation instances.
        if when == When::Never || self.event.instance_id.is_first_generation() {
            return false;
        }
        match &self.absent {
            // One that does not run has no screen.
            Some(Absent { reason, .. }) => match reason {
                NoConsole::NotSupported => true,
                // ECS empties a console when the machine starts, and shows what it prints a minute later.
                NoConsole::Empty => is_end || self.kept.is_empty(),
                NoConsole::NotRunning | NoConsole::NotFound => false,
            },
            None if when == When::Always => true,
            None => {
                let has_failed = self.shots.judged.is_some_and(|judged| judged.has_failed);
                has_failed || is_end && self.ends_in_silence()
            }
        }
    }

    /// Whether a boot was waited for, and its console stopped before a login prompt, or never began.
    fn ends_in_silence(&self) -> bool {
        let is_boot = Plan::of(&self.event.cause).is_some_and(|plan| plan.ends_at_prompt);
        let Some(seen) = self.seen.as_ref().filter(|_| is_boot && self.polls > 1) else {
            return false;
        };
        let is_stuck = || {
            let is_over = self.shots.judged.is_none_or(|judged| judged.is_over);
            seen.is_quiet && !is_over
        };
        !seen.has_login_prompt && (!seen.is_newer || is_stuck())
    }

    /// Begins to follow an event.
    pub fn begin(event: InstanceEvent, now: Timestamp) -> Self {
        Self {
            event,
            began_at: now,
            polls: 0,
            seen: None,
            absent: None,
            kept: Vec::new(),
            shots: Shots::default(),
            has_marker: false,
        }
    }

    /// Records a poll that returned a console. The console is not empty.
    pub fn record_poll(&mut self, console: &ConsoleOutput, now: Timestamp) -> Change {
        self.record_digested_poll(console, ConsoleDigest::of(&console.plain), now)
    }

    /// The same where the digest of the console is known.
    pub fn record_digested_poll(
        &mut self,
        console: &ConsoleOutput,
        sha256: ConsoleDigest,
        now: Timestamp,
    ) -> Change {
        self.polls = self.polls.saturating_add(1);
        self.absent = None;
        let change = match &self.seen {
            None => Change::First,
            Some(seen) if seen.is_undecoded != console.is_undecoded => Change::Replaced,
            Some(seen) if seen.sha256 == sha256 => Change::Unchanged,
            Some(seen) => match console.plain.get(..seen.bytes) {
                Some(start) if ConsoleDigest::of(start) == seen.sha256 => Change::Extended,
                _ => Change::Replaced,
            },
        };
        let was_newer = self.seen.as_ref().is_some_and(|seen| seen.is_newer);
        // A console that could not be decoded before may be the same one.
        let is_comparable =
            (self.seen.as_ref()).is_some_and(|seen| seen.is_undecoded == console.is_undecoded);
        let has_changed = is_comparable && matches!(change, Change::Extended | Change::Replaced);
        let is_dated_newer =
            UpdateTime::can_show(&console.last_update_time, self.event_at(), now) == Some(true);
        // A change since the first poll proves that the guest writes, whatever the time says.
        let is_newer = is_dated_newer || has_changed || was_newer;
        // Until the cache has caught up with the event, a change may show output from before it.
        let has_caught_up = elapsed(self.event_at(), now) >= CACHE_LAG;
        let before = self.seen.as_ref().filter(|_| change == Change::Unchanged);
        let same_since = before.and_then(|seen| seen.same_since).unwrap_or(now);
        self.seen = Some(Seen {
            sha256,
            bytes: console.plain.len(),
            is_newer,
            has_login_prompt: (is_dated_newer || is_newer && has_caught_up)
                && has_login_prompt(&console.plain),
            polls: before.map_or(1, |seen| seen.polls.saturating_add(1)),
            same_since: Some(same_since),
            is_quiet: elapsed(same_since, now) >= QUIET_TIME,
            is_undecoded: console.is_undecoded,
        });
        change
    }

    /// Records a poll that returned no console.
    pub fn record_absence(&mut self, reason: NoConsole, code: String) {
        self.polls = self.polls.saturating_add(1);
        self.absent = Some(Absent { reason, code });
        if let Some(seen) = &mut self.seen {
            (seen.same_since, seen.is_quiet) = (None, false);
        }
    }

    /// Freshness of the latest console. `None` for causes without a moment, such as a sweep.
    pub fn freshness(&self) -> Option<Freshness> {
        let seen = self.seen.as_ref()?;
        let plan = Plan::of(&self.event.cause)?;
        Some(match (seen.is_newer, self.has_settled(plan)) {
            (false, _) => Freshness::Stale,
            (true, true) => Freshness::Fresh,
            (true, false) => Freshness::Partial,
        })
    }

    /// Time until the next poll, within `budget` from the first. `None` when following has ended.
    /// `jitter` is 0 to 1.
    pub fn next_pause(&self, budget: Duration, now: Timestamp, jitter: f64) -> Option<Duration> {
        let plan = Plan::of(&self.event.cause)?;
        let is_final = (self.absent.as_ref()).is_some_and(|absent| !absent.reason.is_transient());
        // There will be no console, but another screenshot at the end, or the first one soon.
        let has_picture = !self.shots.kept.is_empty();
        if is_final && self.polls == 1 && (has_picture || self.shots.is_due) {
            let pause = plan.pause_until_end(elapsed(self.began_at, now), budget)?;
            let since = self.shots.last_at.unwrap_or(now);
            return Some(match has_picture {
                true => pause,
                false => (elapsed(now, since) + SCREENSHOT_PAUSE).min(pause),
            });
        }
        if is_final || self.has_settled(plan) || self.polls >= MAX_POLLS {
            return None;
        }
        plan.next_pause(elapsed(self.began_at, now), budget, jitter)
    }

    /// Whether the record at `key` is stored already, so that it need not be put again. If so, it
    /// becomes the last of [`kept`](Self::kept), because its console is the latest.
    pub fn already_kept(&mut self, key: &str) -> bool {
        let Some(known) = self.kept.iter().position(|kept| kept.record.key == key) else {
            return false;
        };
        let kept = self.kept.remove(known);
        self.kept.push(kept);
        true
    }

    /// The freshness to write as a verdict beside the last record, if the record's metadata does not
    /// say it. Metadata is written once, when a console is first stored.
    pub fn verdict(&self) -> Option<Freshness> {
        let (freshness, last) = (self.freshness()?, self.kept.last()?);
        let is_said = match last.freshness.filter(|_| last.created) {
            Some(said) => said == freshness,
            // Another event stored it, and this one does not know its metadata. A console at a
            // prompt was `fresh` for that event, too.
            None => freshness != Freshness::Fresh || self.ends_at_prompt(),
        };
        (!is_said).then_some(freshness)
    }

    /// Whether the boot of the event came to its login prompt. `None` where nobody knows: the console has not settled, it is
    /// of a machine that stops, or another event of the same boot stored it, and tells.
    pub fn reached_login(&self) -> Option<bool> {
        let is_boot = Plan::of(&self.event.cause)?.ends_at_prompt;
        if !is_boot || self.freshness() != Some(Freshness::Fresh) {
            return None;
        }
        self.kept.last()?.reached_login // Of what this event created.
    }

    fn event_at(&self) -> Timestamp {
        self.event.occurred_at.unwrap_or(self.began_at)
    }

    /// A prompt or a silence of the previous boot does not settle it, so the console must be newer.
    fn has_settled(&self, plan: Plan) -> bool {
        let is_settled = |seen: &Seen| {
            seen.is_newer && (seen.is_quiet || plan.ends_at_prompt && seen.has_login_prompt)
        };
        self.absent.is_none() && self.seen.as_ref().is_some_and(is_settled)
    }

    fn ends_at_prompt(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.has_login_prompt)
    }
}

/// Time from `since` to `now`. Zero if the clocks disagree about the order.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    let elapsed = now.duration_since(since).max(SignedDuration::ZERO);
    elapsed.unsigned_abs()
}

/// Whether the last line asks for a login: `hostname login: `. Escape sequences may follow it.
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
    use crate::model::event::Cause;
    use crate::model::finding::Severity;
    use crate::model::ids::InstanceId;

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

    fn running() -> Follow {
        follow(Cause::StateChange("Running".into()))
    }

    fn console(plain: &str, last_update_time: &str) -> ConsoleOutput {
        ConsoleOutput {
            plain: plain.into(),
            last_update_time: last_update_time.into(),
            request_id: String::new(),
            reported_instance_id: None,
            is_undecoded: false,
        }
    }

    const BUDGET: Duration = Duration::from_secs(300);

    type Look = (
        i64,
        &'static str,
        &'static str,
        Change,
        Option<Freshness>,
        bool,
    );

    /// What each poll returns, by seconds since the event: the change, the freshness, and whether
    /// another poll follows.
    #[track_caller]
    fn check(mut follow: Follow, looks: &[Look]) {
        for (seconds, plain, time, change, freshness, goes_on) in looks {
            let now = at(*seconds);
            assert_eq!(
                follow.record_poll(&console(plain, time), now),
                *change,
                "{plain} at {seconds}"
            );
            assert_eq!(follow.freshness(), *freshness, "{plain} at {seconds}");
            let pause = follow.next_pause(BUDGET, now, 0.5);
            assert_eq!(pause.is_some(), *goes_on, "{plain} at {seconds}");
        }
    }

    use Change::*;
    use Freshness::*;

    #[test]
    fn the_same_for_the_quiet_time_and_newer_than_the_event_is_settled() {
        check(
            running(),
            &[
                (2, "boot", NEWER, First, Some(Partial), true),
                (30, "boot", NEWER, Unchanged, Some(Partial), true),
                (91, "boot", NEWER, Unchanged, Some(Partial), true),
                (92, "boot", NEWER, Unchanged, Some(Fresh), false),
            ],
        );
    }

    #[test]
    fn a_panic_after_a_minute_of_silence_is_waited_for() {
        check(
            running(),
            &[
                (30, "boot", NEWER, First, Some(Partial), true),
                (60, "boot", NEWER, Unchanged, Some(Partial), true),
                (90, "boot", NEWER, Unchanged, Some(Partial), true),
                (119, "boot panic", NEWER, Extended, Some(Partial), true),
                (208, "boot panic", NEWER, Unchanged, Some(Partial), true),
                (209, "boot panic", NEWER, Unchanged, Some(Fresh), false),
            ],
        );
    }

    #[test]
    fn the_same_and_older_than_the_event_is_waited_out() {
        check(
            running(),
            &[
                (2, "old", OLDER, First, Some(Stale), true),
                (150, "old", OLDER, Unchanged, Some(Stale), true),
                (180, "new", NEWER, Replaced, Some(Partial), true),
                (190, "new boot", NEWER, Extended, Some(Partial), true),
                (280, "new boot", NEWER, Unchanged, Some(Fresh), false),
            ],
        );
    }

    #[test]
    fn a_console_that_changed_is_newer_than_the_event_whatever_its_time_says() {
        for time in [OLDER, "", "yesterday"] {
            check(
                running(),
                &[
                    (2, "old", time, First, Some(Stale), true),
                    (30, "old", time, Unchanged, Some(Stale), true),
                    (60, "new", time, Replaced, Some(Partial), true),
                    (100, "new", time, Unchanged, Some(Partial), true),
                    (150, "new", time, Unchanged, Some(Fresh), false),
                ],
            );
        }
    }

    #[test]
    fn a_console_that_can_be_decoded_at_last_need_not_have_changed() {
        let mut follow = running();
        let mut see = |plain: &str, is_undecoded: bool, seconds: i64| {
            let console = ConsoleOutput {
                is_undecoded,
                ..console(plain, OLDER)
            };
            let change = follow.record_poll(&console, at(seconds));
            (change, follow.freshness())
        };
        assert_eq!(see("b2xk!", true, 2), (First, Some(Stale)));
        assert_eq!(see("old", false, 30), (Replaced, Some(Stale)));
        assert_eq!(see("old", true, 60), (Replaced, Some(Stale)));
        assert_eq!(see("older", true, 90), (Extended, Some(Partial)));
    }

    #[test]
    fn a_login_prompt_settles_a_console_that_is_newer_than_the_event() {
        let prompt = "Debian 12\r\nhost login: \x1b[0m";
        check(
            starting(),
            &[
                (2, prompt, OLDER, First, Some(Stale), true),
                (10, prompt, NEWER, Unchanged, Some(Fresh), false),
            ],
        );
        check(running(), &[(2, prompt, NEWER, First, Some(Fresh), false)]);
    }

    /// A machine may crash right after its prompt. The cache shows that prompt after the next start.
    #[test]
    fn a_prompt_that_the_cache_shows_late_does_not_settle_the_next_boot() {
        let prompt = "boot\r\nhost login: ";
        check(
            running(),
            &[
                (2, "boot", OLDER, First, Some(Stale), true),
                (30, prompt, OLDER, Extended, Some(Partial), true),
                (59, "new", OLDER, Replaced, Some(Partial), true),
                (
                    60,
                    "new\r\nhost login: ",
                    OLDER,
                    Extended,
                    Some(Fresh),
                    false,
                ),
            ],
        );
    }

    #[test]
    fn a_machine_that_stops_at_a_prompt_has_its_last_words_before_it() {
        let prompt = "boot\r\nhost login: ";
        let stopping = follow(Cause::StateChange("Stopping".into()));
        check(
            stopping,
            &[
                (2, prompt, NEWER, First, Some(Partial), true),
                (
                    60,
                    "boot\r\nhost login: bye",
                    NEWER,
                    Extended,
                    Some(Partial),
                    true,
                ),
            ],
        );
    }

    #[test]
    fn what_happened_at_no_moment_is_not_followed() {
        for cause in [Cause::Manual, Cause::Sweep] {
            check(follow(cause), &[(2, "old", OLDER, First, None, false)]);
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
            follow.record_absence(reason, String::new());
            let pause = follow.next_pause(BUDGET, at(2), 0.5);
            assert_eq!(pause.is_some(), goes_on, "{reason:?}");
            assert_eq!(follow.freshness(), None);
        }
    }

    #[test]
    fn a_stop_in_between_makes_the_quiet_time_begin_anew() {
        let mut follow = running();
        follow.record_poll(&console("boot", NEWER), at(2));
        follow.record_absence(NoConsole::NotRunning, String::new());
        assert!(follow.next_pause(BUDGET, at(50), 0.5).is_some());
        follow.record_poll(&console("boot", NEWER), at(100));
        assert_eq!(follow.freshness(), Some(Partial));
        follow.record_poll(&console("boot", NEWER), at(190));
        assert_eq!(follow.freshness(), Some(Fresh));
    }

    #[test]
    fn a_message_without_an_end_is_not_followed_for_ever() {
        let mut follow = running();
        follow.polls = MAX_POLLS - 1;
        assert!(follow.next_pause(BUDGET, at(2), 0.5).is_some());
        follow.record_poll(&console("boot", NEWER), at(2));
        assert_eq!(follow.next_pause(BUDGET, at(2), 0.5), None);
    }

    fn kept(follow: &mut Follow, created: bool, freshness: Option<Freshness>) {
        let record = StoredRecord {
            instance_id: InstanceId::parse("i-a1").unwrap(),
            key: "i-a1/undated-000000000000.log.gz".into(),
            url: String::new(),
            last_update_time: String::new(),
            console_bytes: 4,
            gzip_bytes: 4,
        };
        follow.kept = vec![Kept {
            record,
            created,
            freshness,
            captured_at: None,
            findings: Vec::new(),
            reached_login: None,
        }];
    }

    #[test]
    fn a_verdict_is_written_where_the_metadata_says_another() {
        for (created, said, verdict) in [
            (true, Some(Partial), Some(Fresh)),
            (true, Some(Stale), Some(Fresh)),
            (true, Some(Fresh), None),
            (false, Some(Fresh), Some(Fresh)), // Another event stored it.
            (true, None, Some(Fresh)),         // From version 0.
        ] {
            let mut follow = running();
            follow.record_poll(&console("boot", NEWER), at(2));
            kept(&mut follow, created, said);
            let partial = Some(Partial).filter(|_| created && said.is_some_and(|s| s != Partial));
            assert_eq!(follow.verdict(), partial, "{created} {said:?}");
            follow.record_poll(&console("boot", NEWER), at(92));
            assert_eq!(follow.verdict(), verdict, "{created} {said:?}");
        }
        // The other event stored it at a prompt, so its metadata says `fresh`.
        let mut follow = running();
        follow.record_poll(&console("a login: ", NEWER), at(2));
        kept(&mut follow, false, Some(Fresh));
        assert_eq!(follow.verdict(), None);
    }

    #[test]
    fn a_boot_is_known_to_reach_its_login_or_not_when_its_console_has_settled() {
        for reached in [true, false] {
            let settled = |mut follow: Follow, created: bool| {
                follow.record_poll(&console("boot", NEWER), at(2));
                kept(&mut follow, created, Some(Partial));
                follow.kept[0].reached_login = created.then_some(reached);
                assert_eq!(follow.reached_login(), None, "it may go on");
                let json = serde_json::to_string(&follow).unwrap();
                let mut follow: Follow = serde_json::from_str(&json).unwrap();
                follow.record_poll(&console("boot", NEWER), at(92));
                follow.reached_login()
            };
            assert_eq!(settled(running(), true), Some(reached));
            assert_eq!(settled(starting(), true), Some(reached));
            assert_eq!(settled(running(), false), None, "another event tells");
            let stopping = follow(Cause::StateChange("Stopping".into()));
            assert_eq!(settled(stopping, true), None, "it stops");
        }
        // A console from before the event is of the boot before.
        let mut follow = running();
        follow.record_poll(&console("boot", OLDER), at(2));
        kept(&mut follow, true, None);
        follow.kept[0].reached_login = Some(true);
        follow.record_poll(&console("boot", OLDER), at(92));
        assert_eq!(follow.reached_login(), None);
    }

    #[test]
    fn a_message_carries_it_and_hostile_ones_are_refused() {
        let mut follow = starting();
        follow.record_poll(&console("boot", NEWER), at(2));
        let json = serde_json::to_string(&follow).unwrap();
        assert_eq!(serde_json::from_str::<Follow>(&json).unwrap(), follow);
        assert!(serde_json::from_str::<Follow>(&json.replace("i-a1", "../a")).is_err());
    }

    /// A message of version 0: it has no number, and no time of the last console.
    const VERSION_0: &str = r#"{
        "event": {"instance_id": "i-a1", "region_id": "cn-hangzhou",
            "cause": {"state_change": "Running"}, "event_id": "E-1",
            "occurred_at": "2018-03-22T02:04:57Z"},
        "began_at": "2018-03-22T02:04:58Z", "polls": 2,
        "seen": {"sha256": "SHA", "bytes": 4, "is_newer": true, "has_login_prompt": false, "polls": 1},
        "absent": {"reason": "not_running", "code": "IncorrectInstanceStatus"},
        "kept": [{"record": {"instance_id": "i-a1", "key": "i-a1/20180322T100510-000000000000.log.gz",
            "url": "s3://b/i-a1/20180322T100510-000000000000.log.gz",
            "last_update_time": "2018-03-22 10:05:10", "console_bytes": 4, "gzip_bytes": 24},
            "created": true}]}"#;

    #[test]
    fn a_message_of_the_version_before_is_followed_to_its_end() {
        let message = VERSION_0.replace("SHA", &ConsoleDigest::of(b"boot").to_string());
        let mut follow: Follow = serde_json::from_str(&message).unwrap();
        assert_eq!(
            follow.record_poll(&console("boot", NEWER), at(60)),
            Unchanged
        );
        // The message does not say since when the console is the same.
        assert_eq!(follow.freshness(), Some(Partial));
        assert_eq!(
            follow.record_poll(&console("boot", NEWER), at(150)),
            Unchanged
        );
        assert_eq!(follow.verdict(), Some(Fresh));
        assert_eq!(follow.next_pause(BUDGET, at(150), 0.5), None);
    }

    /// A later version may add members anywhere.
    #[test]
    fn members_of_a_later_version_are_passed_over() {
        let mut follow = running();
        follow.record_poll(&console("boot", NEWER), at(2));
        kept(&mut follow, true, Some(Partial));
        fn add(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Object(object) => {
                    object.values_mut().for_each(add);
                    // The cause is an enum with one member, its variant.
                    if !object.contains_key("state_change") {
                        object.insert("of_a_later_version".into(), serde_json::json!({"a": [1]}));
                    }
                }
                serde_json::Value::Array(items) => items.iter_mut().for_each(add),
                _ => {}
            }
        }
        let mut message = serde_json::to_value(&follow).unwrap();
        add(&mut message);
        assert_eq!(serde_json::from_value::<Follow>(message).unwrap(), follow);
    }

    /// What version 0 reads. It is strict where version 0 was strict.
    mod version_0 {
        use super::super::*;
        use serde::Deserialize;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Follow {
            pub event: InstanceEvent,
            pub began_at: Timestamp,
            pub polls: u32,
            #[serde(default)]
            pub seen: Option<Seen>,
            #[serde(default)]
            pub absent: Option<Absent>,
            #[serde(default)]
            pub kept: Vec<Kept>,
        }

        #[derive(Deserialize)]
        pub struct Seen {
            pub sha256: ConsoleDigest,
            pub bytes: usize,
            pub is_newer: bool,
            pub has_login_prompt: bool,
            pub polls: u32,
        }

        #[derive(Deserialize)]
        pub struct Kept {
            pub record: StoredRecord,
            pub created: bool,
        }
    }

    fn finding(signature: &str, severity: Severity) -> Finding {
        Finding {
            id: "unit-failed".into(),
            severity,
            title: "A unit failed".into(),
            signature: signature.into(),
            count: 1,
        }
    }

    #[test]
    fn a_later_record_tells_only_what_no_earlier_one_of_the_event_shows() {
        let mut follow = running();
        let first = [("a", Severity::Info), ("b", Severity::Fatal)];
        let first = first.map(|(signature, severity)| finding(signature, severity));
        let told = follow.new_findings(first.to_vec());
        assert_eq!(
            told,
            [first[1].clone(), first[0].clone()],
            "the worst first"
        );
        kept(&mut follow, true, None);
        follow.kept[0].findings = told;
        let json = serde_json::to_string(&follow).unwrap();
        let mut follow: Follow = serde_json::from_str(&json).unwrap();
        let second = vec![first[0].clone(), finding("c", Severity::Error)];
        assert_eq!(follow.new_findings(second), [finding("c", Severity::Error)]);
        // A message has room for so many.
        let many = (0..1000).map(|n| finding(&n.to_string(), Severity::Error));
        let many = follow.new_findings(many.collect());
        assert_eq!(many.len(), MAX_FINDINGS - 1);
        // And always for what is worse.
        follow.kept[0].findings.extend(many);
        let last = vec![finding("d", Severity::Error), finding("e", Severity::Fatal)];
        assert_eq!(follow.new_findings(last), [finding("e", Severity::Fatal)]);
        assert_eq!(follow.all_findings().len(), MAX_FINDINGS);
    }

    #[test]
    fn the_version_before_reads_what_this_one_writes() {
        let mut follow = running();
        follow.record_poll(&console("boot", NEWER), at(2));
        follow.record_poll(&console("boot", NEWER), at(20));
        kept(&mut follow, true, Some(Partial));
        let json = serde_json::to_string(&follow).unwrap();
        let read: version_0::Follow = serde_json::from_str(&json).unwrap();
        let seen = read.seen.unwrap();
        assert_eq!((read.polls, seen.polls, seen.bytes), (2, 2, 4));
        assert!(seen.is_newer && !seen.has_login_prompt && read.absent.is_none());
        assert!(read.kept[0].created && read.kept[0].record.console_bytes == 4);
        assert_eq!((read.event, read.began_at), (follow.event, follow.began_at));
        assert_eq!(seen.sha256, ConsoleDigest::of(b"boot"));
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
        fn arbitrary_tails_never_panic(plain: Vec<u8>) {
            has_login_prompt(&plain);
        }
    }
}
