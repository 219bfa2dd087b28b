//! Tokens that a secrets manager keeps: how long they are current, and when they are read again.
//! Unknown senders cause readings, so their number is limited.

use std::sync::Arc;

use futures_util::future::{BoxFuture, Shared};
use jiff::{SignedDuration, Timestamp};

use super::WebhookPolicy;
use crate::clock::is_within;

/// How long tokens are current. A token that was replaced is accepted this long at most.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(5);
/// Least time between two readings that pushes with unknown tokens cause.
const REFUSED_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// Least time from one reading that fails to the next, while other tokens are known.
const FAILED_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The same, while no token is known, so that every push is sent again later.
const NOTHING_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// The result of a reading: the policy with the tokens, or why there are none.
pub(super) type Read = Result<Arc<WebhookPolicy>, String>;
/// A running reading. Everyone who waits for it shares it.
pub(super) type Reading = Shared<BoxFuture<'static, Read>>;

/// The tokens that were read last. The caller passes in the time of day, because tokio's clock may
/// stand still while a function is frozen between two invocations (seen on AWS Lambda:
/// mbeher2200/DarkHours pull request 204).
#[derive(Default)]
pub(super) struct HeldTokens {
    /// The last good ones, and when they were asked for.
    good: Option<(Arc<WebhookPolicy>, Timestamp)>,
    /// The last reading, and when it began.
    last: Option<(Reading, Timestamp)>,
    /// When a push with an unknown token last caused one.
    refused_at: Option<Timestamp>,
}

/// What to do for the current tokens.
pub(super) enum Next {
    /// Use these.
    Use(Arc<WebhookPolicy>),
    /// Wait for this reading. If it takes long or fails, use the last good ones.
    Wait(Reading, Option<Arc<WebhookPolicy>>),
}

impl HeldTokens {
    /// The current tokens. Begins a reading with `begin` if there are none.
    pub(super) fn current(&mut self, now: Timestamp, begin: impl FnOnce() -> Reading) -> Next {
        self.settle();
        let good = self.good.as_ref();
        if let Some((policy, at)) = good
            && is_within(KEPT_FOR, *at, now)
        {
            return Next::Use(policy.clone());
        }
        let good = good.map(|(policy, _)| policy.clone());
        let pause = match good {
            Some(_) => FAILED_PAUSE,
            None => NOTHING_PAUSE,
        };
        let Some((reading, at)) = &self.last else {
            return Next::Wait(self.begin(now, begin), good);
        };
        let is_recent = is_within(pause, *at, now);
        match (reading.peek(), good) {
            (None, good) => Next::Wait(reading.clone(), good),
            (Some(Err(_)), Some(good)) if is_recent => Next::Use(good),
            (Some(Err(_)), None) if is_recent => Next::Wait(reading.clone(), None),
            (_, good) => Next::Wait(self.begin(now, begin), good),
        }
    }

    /// A reading for a push whose token is not one of `refused`. `None` if a push with an unknown
    /// token caused one just now.
    pub(super) fn after_refusal(
        &mut self,
        refused: &Arc<WebhookPolicy>,
        now: Timestamp,
        begin: impl FnOnce() -> Reading,
    ) -> Option<Next> {
        self.settle();
        // Another push may have caused a reading meanwhile.
        if let Some((policy, _)) = &self.good
            && !Arc::ptr_eq(policy, refused)
        {
            return Some(Next::Use(policy.clone()));
        }
        if let Some((reading, _)) = &self.last
            && reading.peek().is_none()
        {
            return Some(Next::Wait(reading.clone(), None));
        }
        let is_recent = |at: Timestamp| is_within(REFUSED_PAUSE, at, now);
        if self.refused_at.is_some_and(is_recent) {
            return None;
        }
        self.refused_at = Some(now);
        Some(Next::Wait(self.begin(now, begin), None))
    }

    fn begin(&mut self, now: Timestamp, begin: impl FnOnce() -> Reading) -> Reading {
        let reading = begin();
        self.last = Some((reading.clone(), now));
        reading
    }

    /// Takes over the result of the last reading. Tokens that did not change stay the same object.
    fn settle(&mut self) {
        let Some((reading, at)) = &self.last else {
            return;
        };
        let Some(Ok(policy)) = reading.peek() else {
            return;
        };
        match &mut self.good {
            Some((good, good_at)) if **good == **policy => *good_at = *at,
            good => *good = Some((policy.clone(), *at)),
        }
    }
}
