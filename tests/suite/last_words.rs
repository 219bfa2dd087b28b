//! What a reboot must leave in the archive, whatever the guest does and however the cache lags: the
//! last words as the cache had them before they were overwritten, and the console as it was in the
//! end. And what that takes: how often ECS is asked.
//!
//! A guest that writes with silences, panics and reboots; a cache that lags, rolls, and is cleared at
//! a restart or not; events that are lost, duplicated and late. The real `Archiver` follows them
//! within the invocation, and the same decisions are made through messages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ecs_console_archiver::capture::follow::{Follow, Keeping, QUIET_TIME};
use ecs_console_archiver::intake::delivery::Delivery;
use ecs_console_archiver::intake::event::Request;
use ecs_console_archiver::model::console::{ConsoleOutput, NoConsole};
use ecs_console_archiver::model::freshness::Freshness;
use ecs_console_archiver::simulator::{self, Cache, Guest, Reports};
use futures_util::future::join_all;
use proptest::prelude::*;

use crate::support::memory::*;

const ID: &str = "i-a1";
/// When the reboot begins; the boot before is all that was written until then.
const STOPPING_AT: Duration = Duration::from_secs(1000);
/// Looks for last words are at most so far apart, and go on for so long after the event.
const LAST_WORDS_SERVED: Duration = Duration::from_secs(23);
const LAST_WORDS_UNTIL: Duration = Duration::from_secs(97);

/// How a boot ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Prompt,
    /// After so many seconds of silence.
    Panic(u64),
    Hang,
}

/// A reboot, in milliseconds.
#[derive(Debug, Clone)]
struct Reboot {
    lag_ms: u64,
    ring_bytes: usize,
    flushes_at_stop: bool,
    reports: Reports,
    is_cleared: bool,
    /// Between the lines of the shutdown.
    shutdown_ms: Vec<u64>,
    /// From the last word to the restart.
    down_ms: u64,
    /// Of that, how much at its end ECS says that the instance is stopped.
    stopped_ms: u64,
    /// Between the lines of the new boot.
    boot_ms: Vec<u64>,
    ending: Ending,
    /// Events, and how long after their moment each is delivered.
    events: Vec<(What, u64)>,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Stopping,
    Starting,
    Running,
    Crash,
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Stopping => "Stopping",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Crash => "InstanceFailure.Reboot",
        }
    }
}

impl Reboot {
    fn last_word_at(&self) -> Duration {
        STOPPING_AT + ms(self.shutdown_ms.iter().sum())
    }

    fn restart_at(&self) -> Duration {
        self.last_word_at() + ms(self.down_ms)
    }

    fn guest(&self) -> Guest {
        let mut guest = Guest::new(Cache {
            lag: ms(self.lag_ms),
            ring_bytes: self.ring_bytes,
            flushes_at_stop: self.flushes_at_stop,
            reports: self.reports,
        });
        guest = guest.writes(Duration::ZERO, "old boot\nold login: root\n");
        let mut now = STOPPING_AT;
        for (number, gap) in self.shutdown_ms.iter().enumerate() {
            now += ms(*gap);
            guest = guest.writes(now, format!("stop {number}\n"));
        }
        now = self.restart_at();
        if self.stopped_ms > 0 {
            guest = guest.stops(now - ms(self.stopped_ms)).starts(now);
        }
        if self.is_cleared {
            guest = guest.clears(now);
        }
        for (number, gap) in self.boot_ms.iter().enumerate() {
            now += ms(*gap);
            guest = guest.writes(now, format!("new {number}\n"));
        }
        match self.ending {
            Ending::Prompt => guest.writes(now, "host login: "),
            Ending::Panic(silence) => {
                guest.writes(now + Duration::from_secs(silence), "Kernel panic")
            }
            Ending::Hang => guest,
        }
    }

    /// When the guest has written all.
    fn end_at(&self) -> Duration {
        let silence = match self.ending {
            Ending::Panic(silence) => silence * 1000,
            Ending::Prompt | Ending::Hang => 0,
        };
        self.restart_at() + ms(self.boot_ms.iter().sum::<u64>() + silence)
    }

    /// What an event says, when it happened, and when it is delivered.
    fn deliveries(&self) -> Vec<(What, Duration, Duration)> {
        let delivery = |(what, late): &(What, u64)| {
            let at = match what {
                What::Stopping | What::Crash => STOPPING_AT,
                What::Starting => self.restart_at(),
                What::Running => self.restart_at() + ms(5000),
            };
            (*what, at, at + ms(*late))
        };
        self.events.iter().map(delivery).collect()
    }

    /// What the cache has at that moment; `None` for no answer and an empty one.
    fn served(guest: &Guest, at: Duration) -> Option<String> {
        match guest.answer(at, began_at()) {
            simulator::Console::Output { plain, .. } if !plain.is_empty() => {
                Some(String::from_utf8(plain).unwrap())
            }
            _ => None,
        }
    }

    /// The last words, and when the cache had them, to half a second: those that it had just before
    /// a console with the first line of the new boot.
    fn last_words(&self) -> Option<(String, Duration, Duration)> {
        let guest = self.guest();
        let end = self.end_at() + ms(self.lag_ms + 1000);
        let (mut now, mut last) = (STOPPING_AT, None::<(String, Duration, Duration)>);
        while now < end {
            match Self::served(&guest, now) {
                Some(console) if console.contains("new 0") => break,
                Some(console) => {
                    let goes_on = |last: &(String, Duration, Duration)| {
                        last.0 == console && now - last.2 <= ms(500)
                    };
                    let since = last.as_ref().filter(|l| goes_on(l)).map_or(now, |l| l.1);
                    last = Some((console, since, now));
                }
                None => {}
            }
            now += ms(500);
        }
        last
    }

    fn final_console(&self) -> String {
        let at = self.end_at() + ms(self.lag_ms) + ms(1);
        Self::served(&self.guest(), at).unwrap()
    }

    /// What must be in the archive, and why.
    fn owed(&self) -> Vec<(&'static str, String)> {
        let mut owed = Vec::new();
        if let Some((words, since, until)) = self.last_words() {
            // Someone looks for last words from the event on. What the cache has for too short a
            // time, or much later, no rare look can be sure of.
            for (what, _, delivered_at) in self.deliveries() {
                let since = since.max(delivered_at);
                let until = until.min(delivered_at + LAST_WORDS_UNTIL);
                let looks = matches!(what, What::Stopping | What::Crash);
                if looks && until >= since + LAST_WORDS_SERVED {
                    owed.push(("last words", words.clone()));
                }
            }
        }
        let is_followed_to_the_end = |(what, _, delivered_at): &(What, Duration, Duration)| {
            *what != What::Stopping
                && self.end_at() + ms(self.lag_ms) <= *delivered_at + FOLLOW_BUDGET
        };
        if self.deliveries().iter().any(is_followed_to_the_end) {
            owed.push(("the end", self.final_console()));
        }
        owed
    }

    /// Panics where the archive lacks what it must have.
    fn check(owed: &[(&str, String)], kept: &BTreeSet<String>, how: &str) {
        for (why, console) in owed {
            let is_kept = kept.iter().any(|kept| kept.starts_with(console));
            assert!(
                is_kept,
                "{how}: {why} is lost: {console:?}; there is {kept:?}"
            );
        }
    }

    /// Most requests: what the table says, for each delivery.
    fn most_requests(&self) -> usize {
        let looks = |(what, _): &(What, u64)| match what {
            What::Stopping => 6,
            What::Starting => 4,
            What::Running => 7,
            What::Crash => 9,
        };
        self.events.iter().map(looks).sum()
    }

    /// By waiting, with the real archiver. What is kept, and how often ECS was asked.
    fn by_waiting(&self) -> (BTreeSet<String>, usize) {
        fastrand::seed(self.seed);
        let store = AtomicStore::default();
        let asked = paused_runtime().block_on(async {
            let ecs = Guests::begin([(ID.to_owned(), self.guest())]);
            let serve = async |(what, at, delivered_at): (What, Duration, Duration)| {
                tokio::time::sleep(delivered_at).await;
                let dispatcher = dispatcher(Asked::new(&ecs), Used::new(&store));
                let payload = event(ID, what.name(), at);
                (what, deliver(&dispatcher, &payload, TIMEOUT).await.unwrap())
            };
            let replies = join_all(self.deliveries().into_iter().map(serve)).await;
            for (what, reply) in replies {
                // Nothing comes after what is called fresh.
                if reply["freshness"] == "fresh" && what != What::Stopping {
                    let key = reply["key"].as_str().unwrap();
                    let consoles = store.consoles();
                    let (console, _) = consoles.iter().find(|(_, kept)| *kept == key).unwrap();
                    assert_eq!(console.plain, self.final_console(), "{what:?}: {reply}");
                }
            }
            *ecs.asked.lock().unwrap()
        });
        let kept = store.consoles().into_keys().map(|console| console.plain);
        (kept.collect(), asked)
    }

    /// Through messages that carry no console and come a little late, by the same decisions.
    fn through_messages(&self) -> (BTreeSet<String>, usize) {
        fastrand::seed(self.seed);
        let guest = self.guest();
        let (mut kept, mut asked) = (BTreeSet::new(), 0);
        for (what, at, delivered_at) in self.deliveries() {
            let delivery = Delivery::parse(&event(ID, what.name(), at));
            let [Ok(Request::Instance(event))] = &delivery.messages[0].requests[..] else {
                panic!("{what:?}");
            };
            let mut now = delivered_at;
            let mut follow = Follow::begin(event.clone(), began_at() + now);
            loop {
                asked += 1;
                if let Keeping::Store = look(&mut follow, &guest, now) {
                    kept.insert(Self::served(&guest, now).unwrap());
                }
                let pause = follow.next_pause(FOLLOW_BUDGET, began_at() + now, fastrand::f64());
                let Some(pause) = pause else { break };
                let json = serde_json::to_string(&follow).unwrap();
                follow = serde_json::from_str(&json).unwrap();
                now +=
                    Duration::from_secs_f64(pause.as_secs_f64().ceil()) + ms(fastrand::u64(..800));
            }
            if follow.freshness() == Some(Freshness::Fresh) && what != What::Stopping {
                assert_eq!(
                    Self::served(&guest, now),
                    Some(self.final_console()),
                    "{what:?}"
                );
            }
        }
        (kept, asked)
    }
}

/// One look at what the cache has.
fn look(follow: &mut Follow, guest: &Guest, now: Duration) -> Keeping {
    match guest.answer(now, began_at()) {
        simulator::Console::Output {
            plain,
            last_update_time,
        } if !plain.is_empty() => {
            let console = ConsoleOutput {
                plain,
                last_update_time: last_update_time.unwrap_or_default(),
                request_id: String::new(),
                reported_instance_id: None,
                is_undecoded: false,
            };
            follow
                .record_poll(&console, began_at() + now)
                .keeping(false)
        }
        simulator::Console::Output { .. } => {
            follow.record_absence(NoConsole::Empty, String::new());
            Keeping::Nothing
        }
        simulator::Console::Error { code, .. } => {
            follow.record_absence(NoConsole::NotRunning, code);
            Keeping::Nothing
        }
        simulator::Console::Answer { .. } => panic!("a guest writes consoles"),
    }
}

fn events() -> impl Strategy<Value = Vec<(What, u64)>> {
    let late = 0_u64..5000;
    let reboot = (late.clone(), late.clone(), late.clone())
        .prop_map(|(a, b, c)| vec![(What::Stopping, a), (What::Starting, b), (What::Running, c)]);
    let any = prop::sample::select(vec![
        What::Stopping,
        What::Starting,
        What::Running,
        What::Crash,
    ]);
    prop_oneof![
        3 => reboot,
        // Some lost, some twice, some much later than those after them.
        2 => prop::collection::vec((any, 0_u64..60_000), 1..5),
        1 => late.prop_map(|late| vec![(What::Crash, late)]),
    ]
}

fn reboot() -> impl Strategy<Value = Reboot> {
    let reports = prop::sample::select(vec![
        Reports::LastWrite,
        Reports::LastStart,
        Reports::Nothing,
    ]);
    // Longer silences than those recorded, and shorter than what a quiet console is waited for.
    let longest = QUIET_TIME.as_secs() - 5;
    let ending = prop_oneof![
        Just(Ending::Prompt),
        (0..longest).prop_map(Ending::Panic),
        Just(Ending::Hang),
    ];
    let cache = (
        0_u64..=60_000,
        prop_oneof![Just(usize::MAX), 30_usize..120],
        any::<bool>(),
        reports,
        any::<bool>(),
    );
    let life = (
        prop::collection::vec(0_u64..12_000, 0..4),
        10_000_u64..55_000,
        0_u64..30_000,
        prop::collection::vec(0_u64..25_000, 1..8),
        ending,
    );
    (cache, life, events(), any::<u64>()).prop_map(
        |(
            (lag_ms, ring_bytes, flushes_at_stop, reports, is_cleared),
            (shutdown_ms, down_ms, stopped_ms, boot_ms, ending),
            events,
            seed,
        )| Reboot {
            lag_ms,
            ring_bytes,
            flushes_at_stop,
            reports,
            is_cleared,
            shutdown_ms,
            down_ms,
            stopped_ms: stopped_ms.min(down_ms),
            boot_ms,
            ending,
            events,
            seed,
        },
    )
}

#[test]
fn of_every_reboot_the_last_words_and_the_end_are_kept() {
    let config = ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let owed = std::sync::Mutex::new(BTreeMap::<&str, usize>::new());
    proptest!(config, |(reboot in reboot())| {
        let (most, reboot_owes) = (reboot.most_requests(), reboot.owed());
        let (kept, asked) = reboot.by_waiting();
        Reboot::check(&reboot_owes, &kept, "by waiting");
        prop_assert!(asked <= most, "asked {asked} times by waiting, at most {most}");
        let (kept, asked) = reboot.through_messages();
        Reboot::check(&reboot_owes, &kept, "through messages");
        prop_assert!(asked <= most, "asked {asked} times through messages, at most {most}");
        for (why, _) in reboot_owes {
            *owed.lock().unwrap().entry(why).or_default() += 1;
        }
    });
    let owed = owed.into_inner().unwrap();
    println!("reboots: {owed:?}");
    // A generator of reboots that owe nothing proves nothing.
    assert!(
        owed["last words"] > 200 && owed["the end"] > 600,
        "{owed:?}"
    );
}

/// Three events of a reboot, each served once, ask less than before, and never more than the table.
#[test]
fn a_reboot_is_asked_for_at_most_17_times() {
    let reboot = Reboot {
        lag_ms: 60_000,
        ring_bytes: usize::MAX,
        flushes_at_stop: false,
        reports: Reports::LastWrite,
        is_cleared: true,
        shutdown_ms: vec![5000, 5000],
        down_ms: 25_000,
        stopped_ms: 0,
        boot_ms: vec![10_000; 20], // It writes for longer than it is followed.
        ending: Ending::Hang,
        events: vec![(What::Stopping, 0), (What::Starting, 0), (What::Running, 0)],
        seed: 1,
    };
    assert_eq!(reboot.by_waiting().1, 17);
    assert_eq!(reboot.through_messages().1, 17);
    let boots = Reboot {
        boot_ms: vec![10_000; 4],
        ending: Ending::Prompt,
        ..reboot
    };
    assert!(boots.by_waiting().1 <= 14, "{}", boots.by_waiting().1);
}
