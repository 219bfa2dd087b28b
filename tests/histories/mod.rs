//! Histories of machines, sampled as ECS shows them. The tests of stitching and its benchmark share them, so
//! that both speak of the same captures. Whoever includes this file names `stamp`, `Capture` and `recording`.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

use super::recording::{Cause, Recording};
use super::{Capture, stamp::stamps};

pub const CONSOLES: [&[u8]; 5] = [
    include_bytes!("../fixtures/consoles/i-bp1cloudinit0000001.log"),
    include_bytes!("../fixtures/consoles/i-bp1ext4fsck00000001.log"),
    include_bytes!("../fixtures/consoles/i-bp1normalreboot0001.log"),
    include_bytes!("../fixtures/consoles/i-bp1oomkill000000001.log"),
    include_bytes!("../fixtures/consoles/i-bp1panicnoroot00001.log"),
];

/// How ECS keeps the console.
#[derive(Clone, Copy)]
pub struct Ring {
    pub bytes: usize,
    /// Whether a restart empties it.
    pub is_cleared: bool,
}

/// What a machine printed, and where its boots begin.
pub struct History {
    pub text: Vec<u8>,
    pub boots: Vec<usize>,
}

impl History {
    pub fn of(boots: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut history = Self {
            text: Vec::new(),
            boots: Vec::new(),
        };
        for boot in boots {
            history.boots.push(history.text.len());
            history.text.extend(boot);
        }
        history
    }

    /// What ECS shows after `end` bytes: where it begins.
    pub fn visible(&self, end: usize, ring: Ring) -> usize {
        let boot = if ring.is_cleared {
            self.boots[self.boots.partition_point(|&at| at < end) - 1]
        } else {
            0
        };
        boot.max(end.saturating_sub(ring.bytes))
    }
}

/// A boot as it is at another time: the kernel's stamps differ by microseconds, as no two boots take the
/// same time.
pub fn boot(console: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut text = console.to_vec();
    let mut delay = 0;
    for (place, stamp) in stamps(console) {
        if stamp.micros > 0 {
            delay += rng.u64(0..300);
            let micros = stamp.micros + delay;
            let printed = format!("[{:5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
            if printed.len() == place.len() {
                text[place].copy_from_slice(printed.as_bytes());
            }
        }
    }
    text
}

/// Samples a history at random moments, about `step` bytes apart. Also returns where each capture begins in
/// the history.
pub fn sample(
    history: &History,
    ring: Ring,
    step: usize,
    rng: &mut fastrand::Rng,
) -> (Vec<Capture>, Vec<usize>) {
    let (mut captures, mut begins) = (Vec::new(), Vec::new());
    let (mut end, mut last_boot) = (0, 0);
    while end < history.text.len() {
        end = (end + 1 + rng.usize(0..2 * step)).min(history.text.len());
        let begin = history.visible(end, ring);
        let index = captures.len();
        let captured_at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60 * index as i64);
        // A console that was emptied is that of a machine that ECS has started, of which there is an event.
        let boot = history.boots.partition_point(|&at| at < end);
        let is_started = ring.is_cleared && index > 0 && boot > last_boot;
        last_boot = boot;
        captures.push(Capture {
            name: format!("{index:08}"),
            captured_at,
            updated_at: None,
            started_at: is_started.then_some(captured_at - SignedDuration::from_secs(20)),
            event_id: ring.is_cleared.then(|| boot.to_string()),
            plain: history.text[begin..end].to_vec(),
        });
        begins.push(begin);
    }
    (captures, begins)
}

/// Boots of several images.
pub fn any_boots(rng: &mut fastrand::Rng) -> History {
    let count = rng.usize(1..30);
    History::of((0..count).map(|_| boot(CONSOLES[rng.usize(0..CONSOLES.len())], rng)))
}

/// A machine that boots the same image again and again.
pub fn reboot_loop(rng: &mut fastrand::Rng) -> History {
    let console = CONSOLES[rng.usize(0..CONSOLES.len())];
    History::of((0..20).map(|_| boot(console, rng)))
}

/// What a machine printed that was recorded. ECS may empty its console when the machine starts, but not when a
/// kernel starts another.
pub fn recorded(recording: &Recording) -> History {
    let boots = recording.label.boots.iter();
    let by_the_machine = boots.filter(|boot| matches!(boot.cause, Cause::PowerOn | Cause::Reset));
    History {
        text: recording.bytes(),
        boots: by_the_machine.map(|boot| boot.start).collect(),
    }
}

/// All recordings behind one another, as if one machine had printed them. Their stamps are as they were.
pub fn recordings(rng: &mut fastrand::Rng) -> History {
    static RECORDED: LazyLock<Vec<History>> =
        LazyLock::new(|| Recording::all().iter().map(recorded).collect());
    let mut order: Vec<_> = RECORDED.iter().collect();
    rng.shuffle(&mut order);
    let mut all = History::of(std::iter::empty());
    for history in order {
        let begin = all.text.len();
        all.boots.extend(history.boots.iter().map(|at| begin + at));
        all.text.extend(&history.text);
    }
    all
}

/// A prompt that is printed again and again.
pub fn prompts(rng: &mut fastrand::Rng) -> History {
    let mut text = boot(CONSOLES[0], rng);
    text.extend(b"\r\nDebian GNU/Linux 12 iz-rig ttyS0\r\n\r\niz-rig login: ".repeat(3_000));
    History {
        text,
        boots: vec![0],
    }
}

pub const LARGE: Ring = Ring {
    bytes: 65_536,
    is_cleared: false,
};
pub const SMALL: Ring = Ring {
    bytes: 16_384,
    is_cleared: false,
};
pub const CLEARED: Ring = Ring {
    bytes: 65_536,
    is_cleared: true,
};
