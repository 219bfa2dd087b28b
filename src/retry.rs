//! When to try again and when to stop: the one policy for ECS and the archive.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause is at most this long; each next may be twice as long, the last 12.8 s.
const FIRST_CEILING: Duration = Duration::from_millis(200);
/// Tries of one call, the first included. Their pauses add up to 25 s at most, 13 s on average.
const MAX_ATTEMPTS: usize = 8;
/// Who is throttled in one minute may not call before the next, so pauses are that much longer.
const THROTTLED_FACTOR: u32 = 4;

/// What an error asks its caller to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// Try again after a pause.
    Wait,
    /// Try again after a long pause, and not before this much time where the service says it.
    WaitThrottled(Option<Duration>),
    /// Try again once: the next request is signed with a fresh time, nonce and token.
    SignAgain,
    /// Trying again changes nothing.
    GiveUp,
}

/// An error that knows its advice.
pub trait Retryable {
    /// What to do about it.
    fn retry_advice(&self) -> RetryAdvice;

    /// The error of an attempt at this call that was cut off after so much time.
    fn timed_out(call: &str, after: Duration) -> Self;
}

/// How the time that calls had came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUp {
    /// A call was cut off.
    CutOff,
    /// There was still some, but not enough to wait for another attempt.
    NoNextAttempt,
}

tokio::task_local! {
    static TIME_UP: Cell<Option<TimeUp>>;
    static WAITS_FOR: RefCell<Option<String>>;
}

/// Runs `work`, in which [`take_time_up`] says whether calls had too little time.
pub async fn noting_time_up<T>(work: impl Future<Output = T>) -> T {
    TIME_UP.scope(Cell::new(None), work).await
}

/// Whether the time was too short for a call since it was asked for last.
pub fn take_time_up() -> Option<TimeUp> {
    TIME_UP.try_with(Cell::take).ok().flatten()
}

fn note(time_up: TimeUp) {
    let _ = TIME_UP.try_with(|noted| noted.set(Some(time_up))); // Not everybody asks.
}

/// Waits for `what` as a part of a call. Where the call is cut off meanwhile, its error says so.
pub async fn waiting_for<T>(what: &str, work: impl Future<Output = T>) -> T {
    let set = |what| {
        let _ = WAITS_FOR.try_with(|waits| *waits.borrow_mut() = what);
    };
    set(Some(what.to_owned()));
    let done = work.await;
    set(None);
    done
}

/// The moment an answer must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    began: Instant,
}

impl Deadline {
    /// So much time from now.
    pub fn after(time: Duration) -> Self {
        let began = Instant::now();
        Self {
            at: began + time,
            began,
        }
    }

    /// So much earlier, to have the rest for something else.
    pub fn earlier_by(self, time: Duration) -> Self {
        let at = self.at.checked_sub(time).unwrap_or(self.at);
        Self { at, ..self }
    }

    /// Earlier by `most`, or by a quarter of what is left where that is less.
    pub fn with_reserve(self, most: Duration) -> Self {
        self.earlier_by(most.min(self.remaining() / 4))
    }

    /// The earlier of both.
    pub fn or_earlier(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// What is left; zero when it is past.
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// All the time there was.
    pub fn whole(self) -> Duration {
        self.at.saturating_duration_since(self.began)
    }
}

/// Makes a call until it succeeds, its error has no advice, or a pause would not end in time.
///
/// # Errors
/// The last attempt's; of one that was cut off at the deadline, the attempt's before it, which says
/// more.
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
        // In its own scope, so that what it waits for is known when it is cut off.
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

/// The longest pause after each attempt but the last.
fn ceilings() -> impl Iterator<Item = Duration> {
    let doubled = |ceiling: &Duration| Some(*ceiling * 2);
    std::iter::successors(Some(FIRST_CEILING), doubled).take(MAX_ATTEMPTS - 1)
}

/// Full jitter: callers that failed together do not come back together. `jitter` is 0 to 1.
fn pause(advice: RetryAdvice, ceiling: Duration, jitter: f64) -> Option<Duration> {
    match advice {
        RetryAdvice::Wait | RetryAdvice::SignAgain => Some(ceiling.mul_f64(jitter)),
        RetryAdvice::WaitThrottled(None) => Some((ceiling * THROTTLED_FACTOR).mul_f64(jitter)),
        RetryAdvice::WaitThrottled(Some(at_least)) => at_least.checked_add(ceiling.mul_f64(jitter)),
        RetryAdvice::GiveUp => None,
    }
}

/// A source or a store whose calls are tried again until a deadline.
#[derive(Debug, Clone, Copy)]
pub struct Retrying<'a, T> {
    pub(crate) inner: &'a T,
    pub(crate) deadline: Deadline,
}

/// "listing timed out after 60 s": what was cut off, for a person.
pub fn timed_out(call: &str, after: Duration) -> String {
    // To a tenth of a second, and `60` for `60.0`.
    let seconds = (after.as_secs_f64() * 10.0).round() / 10.0;
    format!("{call} timed out after {seconds} s")
}

impl<'a, T> Retrying<'a, T> {
    /// Wraps what makes one attempt a call.
    pub fn new(inner: &'a T, deadline: Deadline) -> Self {
        Self { inner, deadline }
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

    /// Fails in this way each time; how often it was called, and for how long.
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
