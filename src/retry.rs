//! When to retry a call, and when to stop. Calls to ECS, the archive and the queue use this policy.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

/// Longest first pause. The limit doubles with each pause, up to 12.8 s.
const FIRST_CEILING: Duration = Duration::from_millis(200);
/// Attempts of one call, including the first. Their pauses add up to at most 25 s, and to 13 s on
/// average.
const MAX_ATTEMPTS: usize = 8;
/// Factor for pauses after throttling. A service that throttles counts calls per minute, so these
/// pauses must be longer.
const THROTTLED_FACTOR: u32 = 4;

/// What the caller should do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Retry after a pause.
    Wait,
    /// Retry after a long pause, and not before this time if the service gave one.
    WaitThrottled(Option<Duration>),
    /// Retry once. The next request is signed with a fresh time, nonce and token.
    SignAgain,
    /// Do not retry. The answer would be the same.
    GiveUp,
}

/// An error that says whether to retry.
pub trait Retryable {
    /// What the caller should do.
    fn retry_advice(&self) -> RetryAdvice;

    /// The error for an attempt at `call` that was cancelled after this time.
    fn timed_out(call: &str, after: Duration) -> Self;
}

/// How the time for calls ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUp {
    /// A call was cancelled.
    CutOff,
    /// There was time left, but not enough for the pause before another attempt.
    NoNextAttempt,
}

tokio::task_local! {
    static TIME_UP: Cell<Option<TimeUp>>;
    static WAITS_FOR: RefCell<Option<String>>;
}

/// Runs `work`. Within it, [`time_up`] and [`take_time_up`] report calls that ran out of time. What
/// was not taken is reported to the work around it, too.
pub async fn noting_time_up<T>(work: impl Future<Output = T>) -> T {
    let work = async { (work.await, take_time_up()) };
    let (done, time_up) = TIME_UP.scope(Cell::new(None), work).await;
    if let Some(time_up) = time_up {
        note(time_up);
    }
    done
}

/// Returns how the last call that ran out of time did.
pub fn time_up() -> Option<TimeUp> {
    TIME_UP.try_with(Cell::get).ok().flatten()
}

/// Returns the same, once.
pub fn take_time_up() -> Option<TimeUp> {
    TIME_UP.try_with(Cell::take).ok().flatten()
}

fn note(time_up: TimeUp) {
    let _ = TIME_UP.try_with(|noted| noted.set(Some(time_up))); // Nobody asks outside of `noting_time_up`.
}

/// Waits for `what` as a part of a call. If the call is cancelled meanwhile, its error names
/// `what`.
pub async fn waiting_for<T>(what: &str, work: impl Future<Output = T>) -> T {
    let set = |what| {
        let _ = WAITS_FOR.try_with(|waits| *waits.borrow_mut() = what);
    };
    set(Some(what.to_owned()));
    let done = work.await;
    set(None);
    done
}

/// The time at which an answer must be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    began: Instant,
}

impl Deadline {
    /// A deadline this long from now.
    pub fn after(time: Duration) -> Self {
        let began = Instant::now();
        Self {
            at: began + time,
            began,
        }
    }

    /// A deadline that is earlier by this time, which is reserved for something else.
    pub fn earlier_by(self, time: Duration) -> Self {
        let at = self.at.checked_sub(time).unwrap_or(self.at);
        Self { at, ..self }
    }

    /// A deadline that is earlier by `most`, or by a quarter of the remaining time if that is less.
    pub fn with_reserve(self, most: Duration) -> Self {
        self.earlier_by(most.min(self.remaining() / 4))
    }

    /// A deadline that is at most this long after the same start.
    pub fn at_most(self, whole: Duration) -> Self {
        let at = self.at.min(self.began + whole);
        Self { at, ..self }
    }

    /// The earlier of two deadlines.
    pub fn or_earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// The remaining time. Zero after the deadline.
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// The time from the start to the deadline.
    pub fn whole(self) -> Duration {
        self.at.saturating_duration_since(self.began)
    }
}

/// Calls until a call succeeds, its error says not to retry, or the next pause would end after the
/// deadline.
///
/// # Errors
/// The last attempt's error. If that attempt was cancelled at the deadline, the error of the
/// attempt before it, which says more.
pub async fn retry<T, E, F>(
    deadline: Deadline,
    call: &'static str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    E: Retryable,
    F: Future<Output = Result<T, E>>,
{
    let mut ceilings = ceilings();
    let (mut last, mut signed_again) = (None, false);
    loop {
        // The attempt has its own scope, so that what it waits for is known when it is cancelled.
        let mut attempt = pin!(WAITS_FOR.scope(RefCell::new(None), attempt()));
        let error = match tokio::time::timeout_at(deadline.at, attempt.as_mut()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => {
                note(TimeUp::CutOff);
                let waits_for = attempt.take_value().and_then(RefCell::into_inner);
                let call = match waits_for {
                    Some(what) => format!("{call}, waiting for {what},"),
                    None => call.to_owned(),
                };
                return Err(last.unwrap_or_else(|| E::timed_out(&call, deadline.whole())));
            }
        };
        let advice = error.retry_advice();
        let is_over =
            advice == RetryAdvice::SignAgain && std::mem::replace(&mut signed_again, true);
        let pause = ceilings
            .next()
            .filter(|_| !is_over)
            .and_then(|ceiling| pause(advice, ceiling, fastrand::f64()));
        match pause {
            Some(pause) if pause < deadline.remaining() => tokio::time::sleep(pause).await,
            Some(_) => {
                note(TimeUp::NoNextAttempt);
                return Err(error);
            }
            None => return Err(error),
        }
        last = Some(error);
    }
}

/// The longest pause after each attempt except the last.
fn ceilings() -> impl Iterator<Item = Duration> {
    let doubled = |ceiling: &Duration| Some(*ceiling * 2);
    std::iter::successors(Some(FIRST_CEILING), doubled).take(MAX_ATTEMPTS - 1)
}

/// Chooses a pause with full jitter, so that callers that failed together do not retry together.
/// `jitter` is 0 to 1.
fn pause(advice: RetryAdvice, ceiling: Duration, jitter: f64) -> Option<Duration> {
    match advice {
        RetryAdvice::Wait | RetryAdvice::SignAgain => Some(ceiling.mul_f64(jitter)),
        RetryAdvice::WaitThrottled(None) => Some((ceiling * THROTTLED_FACTOR).mul_f64(jitter)),
        RetryAdvice::WaitThrottled(Some(at_least)) => {
            at_least.checked_add((ceiling * THROTTLED_FACTOR).mul_f64(jitter))
        }
        RetryAdvice::GiveUp => None,
    }
}

/// A source or a store whose calls are retried until a deadline.
#[derive(Debug, Clone, Copy)]
pub struct Retrying<'a, T> {
    pub(crate) inner: &'a T,
    pub(crate) deadline: Deadline,
    /// Whether it waits until a full disk has space.
    pub(crate) waits_for_space: bool,
}

/// "listing timed out after 60 s".
pub fn timed_out(call: &str, after: Duration) -> String {
    format!("{call} timed out after {} s", in_seconds(after))
}

/// In seconds, rounded to a tenth. It is shown as `1.5` and as `60`, not `60.0`.
pub fn in_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

impl<'a, T> Retrying<'a, T> {
    /// Wraps `inner`, which makes one attempt per call.
    pub fn new(inner: &'a T, deadline: Deadline) -> Self {
        Self {
            inner,
            deadline,
            waits_for_space: true,
        }
    }

    /// For who makes space by itself: a full disk is an error at once.
    #[cfg(feature = "cli")]
    pub fn without_waiting_for_space(self) -> Self {
        Self {
            waits_for_space: false,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Failure(RetryAdvice);

    impl Retryable for Failure {
        fn retry_advice(&self) -> RetryAdvice {
            self.0
        }

        fn timed_out(_: &str, _: Duration) -> Self {
            Self(RetryAdvice::GiveUp)
        }
    }

    /// Fails with this error each time. Returns the number of calls and the time they took.
    async fn fail_always(advice: RetryAdvice, time: Duration) -> (usize, Duration) {
        let (started, calls) = (Instant::now(), RefCell::new(0));
        let outcome: Result<(), _> = retry(Deadline::after(time), "a call", async || {
            *calls.borrow_mut() += 1;
            Err(Failure(advice))
        })
        .await;
        assert_eq!(outcome, Err(Failure(advice)));
        (calls.into_inner(), started.elapsed())
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn each_remedy_has_its_number_of_attempts() {
        assert_eq!(fail_always(RetryAdvice::Wait, HOUR).await.0, MAX_ATTEMPTS);
        assert_eq!(
            fail_always(RetryAdvice::WaitThrottled(None), HOUR).await.0,
            MAX_ATTEMPTS
        );
        assert_eq!(fail_always(RetryAdvice::SignAgain, HOUR).await.0, 2);
        assert_eq!(fail_always(RetryAdvice::GiveUp, HOUR).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_service_asks_to_wait_is_waited() {
        let at_least = Duration::from_secs(7);
        let (calls, time) = fail_always(RetryAdvice::WaitThrottled(Some(at_least)), HOUR).await;
        assert!(time >= at_least * (calls as u32 - 1), "{calls} {time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_pause_goes_beyond_the_deadline() {
        for advice in [RetryAdvice::Wait, RetryAdvice::WaitThrottled(None)] {
            let budget = Duration::from_secs(3);
            let (_, time) = fail_always(advice, budget).await;
            assert!(time < budget, "{time:?}");
        }
        let next_minute = RetryAdvice::WaitThrottled(Some(Duration::from_secs(60)));
        assert_eq!(fail_always(next_minute, Duration::from_secs(30)).await.0, 1);
        let for_ever = RetryAdvice::WaitThrottled(Some(Duration::MAX));
        assert_eq!(fail_always(for_ever, HOUR).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_cut_off_at_the_deadline() {
        let started = Instant::now();
        let hang = || std::future::pending::<Result<(), Failure>>();
        let outcome = retry(Deadline::after(Duration::from_secs(9)), "a call", hang).await;
        assert_eq!(outcome, Err(Failure(RetryAdvice::GiveUp)));
        assert_eq!(started.elapsed(), Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reserve_is_never_more_than_a_quarter_of_what_is_left() {
        for (left, most, kept) in [(60, 2, 2), (4, 2, 1), (0, 2, 0)] {
            let [left, most, kept] = [left, most, kept].map(Duration::from_secs);
            let deadline = Deadline::after(left).with_reserve(most);
            assert_eq!(deadline.remaining(), left - kept);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_before_says_more_than_being_cut_off() {
        let calls = RefCell::new(0);
        let outcome: Result<(), _> = retry(Deadline::after(HOUR), "a call", async || {
            *calls.borrow_mut() += 1;
            if *calls.borrow() == 1 {
                return Err(Failure(RetryAdvice::Wait));
            }
            std::future::pending().await
        })
        .await;
        assert_eq!(outcome, Err(Failure(RetryAdvice::Wait)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_after_failures_is_a_success() {
        let failures = RefCell::new(vec![
            RetryAdvice::Wait,
            RetryAdvice::SignAgain,
            RetryAdvice::Wait,
        ]);
        let outcome = retry(Deadline::after(HOUR), "a call", async || {
            match failures.borrow_mut().pop() {
                Some(advice) => Err(Failure(advice)),
                None => Ok(5),
            }
        })
        .await;
        assert_eq!(outcome, Ok(5));
    }

    #[test]
    fn a_time_out_names_the_time_that_was_waited() {
        let shown = |millis| timed_out("a call", Duration::from_millis(millis));
        assert_eq!(shown(450), "a call timed out after 0.5 s");
        assert_eq!(shown(1600), "a call timed out after 1.6 s");
        assert_eq!(shown(60_000), "a call timed out after 60 s");
    }

    #[test]
    fn ceilings_double_from_a_fifth_of_a_second() {
        let ceilings: Vec<_> = ceilings().map(|ceiling| ceiling.as_millis()).collect();
        assert_eq!(ceilings, [200, 400, 800, 1600, 3200, 6400, 12_800]);
    }

    proptest::proptest! {
        #[test]
        fn a_pause_is_between_nothing_and_its_ceiling(jitter in 0.0..1.0_f64, millis in 0..20_000_u64) {
            let ceiling = Duration::from_millis(millis);
            let waited = pause(RetryAdvice::Wait, ceiling, jitter).unwrap();
            proptest::prop_assert!(waited <= ceiling);
            let throttled = pause(RetryAdvice::WaitThrottled(None), ceiling, jitter).unwrap();
            proptest::prop_assert!(throttled <= ceiling * THROTTLED_FACTOR);
        }
    }
}
