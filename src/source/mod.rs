//! Where consoles come from.

pub mod check; // checks of ECS, and what an answer to one means (pure)
pub mod ecs; // the API of Alibaba Cloud ECS

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::credentials::Owner;
use crate::lock::lock;
use crate::model::console::ConsoleOutput;
use crate::model::ids::{InstanceId, RegionId};
use crate::model::screenshot::{SCREENSHOTS_APART, Screenshot};
use crate::retry::{RetryAdvice, Retryable, Retrying, retry};
use ecs::response::EcsError;

/// Returns console outputs.
pub trait ConsoleSource {
    /// Returns the console that ECS has cached for the instance. `owner` selects the credentials.
    ///
    /// # Errors
    /// [`EcsError`] says what to do next.
    fn console_output(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
    ) -> impl Future<Output = Result<ConsoleOutput, EcsError>> + Send;

    /// Takes a picture of the instance's screen, and wakes a display that sleeps if it is told so.
    ///
    /// # Errors
    /// [`EcsError`] says what to do next.
    fn screenshot(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
        wakes_up: bool,
    ) -> impl Future<Output = Result<Screenshot, EcsError>> + Send;
}

/// Lists regions and instances.
pub trait Fleet {
    /// Lists the regions that the account can use.
    ///
    /// # Errors
    /// [`EcsError`] says what to do next.
    fn regions(
        &self,
        asked_in: &RegionId,
    ) -> impl Future<Output = Result<Vec<RegionId>, EcsError>> + Send;

    /// Lists the instances of a region, one page at a time. `next_token` comes from the page
    /// before.
    ///
    /// # Errors
    /// [`EcsError`] says what to do next.
    fn instances(
        &self,
        region_id: &RegionId,
        next_token: Option<&str>,
    ) -> impl Future<Output = Result<InstancesPage, EcsError>> + Send;
}

/// One page of a region's instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancesPage {
    /// Their IDs.
    pub instance_ids: Vec<InstanceId>,
    /// IDs of a form that is not known, each cut to what fits a message.
    pub unknown_ids: Vec<String>,
    /// Token of the next page. `None` on the last page.
    pub next_token: Option<String>,
    /// Number of instances in the region, if ECS gives it.
    pub total: Option<u64>,
}

impl<C: ConsoleSource + Sync> ConsoleSource for Retrying<'_, C> {
    async fn console_output(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        // A retry may bring the whole console. If no retry does, the undecoded text is kept: it is
        // all that ECS has, and a later delivery of the event could not get more.
        let undecoded = Mutex::new(None);
        let answer = retry(self.deadline, "GetInstanceConsoleOutput", || async {
            let answer = self
                .inner
                .console_output(owner, region_id, instance_id)
                .await;
            answer.inspect_err(|error| {
                if let EcsError::Undecoded(console) = error {
                    *lock(&undecoded) = Some(Arc::clone(console));
                }
            })
        })
        .await;
        match (answer, lock(&undecoded).take()) {
            (Err(EcsError::Undecoded(_) | EcsError::NoConsole { .. }), Some(console)) => {
                Ok(Arc::unwrap_or_clone(console))
            }
            (answer, _) => answer,
        }
    }

    async fn screenshot(
        &self,
        owner: Owner<'_>,
        region_id: &RegionId,
        instance_id: &InstanceId,
        wakes_up: bool,
    ) -> Result<Screenshot, EcsError> {
        let taken = retry(self.deadline, "GetInstanceScreenshot", || async {
            let screenshot = self
                .inner
                .screenshot(owner, region_id, instance_id, wakes_up);
            screenshot.await.map_err(NotTaken)
        });
        taken.await.map_err(|NotTaken(error)| error)
    }
}

/// Why there is no picture. An attempt that failed may have been one for ECS, which takes the next one 10 s later.
struct NotTaken(EcsError);

impl Retryable for NotTaken {
    fn retry_advice(&self) -> RetryAdvice {
        match self.0.retry_advice() {
            RetryAdvice::Wait | RetryAdvice::WaitThrottled(None) => {
                RetryAdvice::WaitThrottled(Some(SCREENSHOTS_APART))
            }
            advice => advice,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self(EcsError::timed_out(call, after))
    }
}

impl<C: Fleet + Sync> Fleet for Retrying<'_, C> {
    async fn regions(&self, asked_in: &RegionId) -> Result<Vec<RegionId>, EcsError> {
        retry(self.deadline, "DescribeRegions", || {
            self.inner.regions(asked_in)
        })
        .await
    }

    async fn instances(
        &self,
        region_id: &RegionId,
        next_token: Option<&str>,
    ) -> Result<InstancesPage, EcsError> {
        retry(self.deadline, "DescribeInstances", || {
            self.inner.instances(region_id, next_token)
        })
        .await
    }
}

/// A source that answers with these, whatever it is asked for.
#[cfg(test)]
pub(crate) struct Fake<C, P> {
    pub(crate) console: C,
    pub(crate) picture: P,
}

#[cfg(test)]
impl<C, P, OfConsole, OfPicture> ConsoleSource for Fake<C, P>
where
    C: Fn() -> OfConsole + Sync,
    P: Fn() -> OfPicture + Sync,
    OfConsole: Future<Output = Result<ConsoleOutput, EcsError>> + Send,
    OfPicture: Future<Output = Result<Screenshot, EcsError>> + Send,
{
    async fn console_output(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        _: &InstanceId,
    ) -> Result<ConsoleOutput, EcsError> {
        (self.console)().await
    }

    async fn screenshot(
        &self,
        _: Owner<'_>,
        _: &RegionId,
        _: &InstanceId,
        _: bool,
    ) -> Result<Screenshot, EcsError> {
        (self.picture)().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::console::NoConsole;
    use crate::retry::Deadline;

    const HOUR: Duration = Duration::from_secs(3600);

    type Scene = fn() -> Result<ConsoleOutput, EcsError>;

    #[tokio::test(start_paused = true)]
    async fn a_picture_is_tried_again_10_s_later() {
        // It notes when it is asked for a picture, and has none.
        let asked_at = Mutex::new(Vec::new());
        let dark = Fake {
            console: async || unreachable!("nobody asks for a console here"),
            picture: async || {
                lock(&asked_at).push(tokio::time::Instant::now());
                Err(EcsError::timed_out("GetInstanceScreenshot", HOUR))
            },
        };
        let source = Retrying::new(&dark, Deadline::after(Duration::from_secs(40)));
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        let instance_id = InstanceId::parse("i-1").unwrap();
        let taken = source.screenshot(Owner::Own, &region_id, &instance_id, false);
        taken.await.unwrap_err();
        let asked = lock(&asked_at).clone();
        assert!(asked.len() > 2, "{asked:?}");
        let is_apart = |pair: &[tokio::time::Instant]| pair[1] - pair[0] >= SCREENSHOTS_APART;
        assert!(asked.windows(2).all(is_apart), "{asked:?}");
    }

    fn console(plain: &str, is_undecoded: bool) -> ConsoleOutput {
        ConsoleOutput {
            plain: plain.into(),
            last_update_time: String::new(),
            request_id: String::new(),
            reported_instance_id: None,
            is_undecoded,
        }
    }

    fn undecoded(plain: &str) -> Result<ConsoleOutput, EcsError> {
        Err(EcsError::Undecoded(Arc::new(console(plain, true))))
    }

    async fn asked(answers: &[Scene]) -> Result<String, EcsError> {
        // One after the other. The last one stays.
        let answers = Mutex::new(answers.to_vec());
        let source = Fake {
            console: async || {
                let mut answers = lock(&answers);
                let answer = if answers.len() > 1 {
                    answers.remove(0)
                } else {
                    answers[0]
                };
                answer()
            },
            picture: async || unreachable!("nobody asks for a picture here"),
        };
        let asked = Retrying::new(&source, Deadline::after(HOUR));
        let (region, id) = (
            RegionId::parse("cn-a").unwrap(),
            InstanceId::parse("i-a").unwrap(),
        );
        let console = asked.console_output(Owner::Own, &region, &id).await?;
        assert_eq!(console.is_undecoded, console.plain.starts_with(b"!"));
        Ok(String::from_utf8(console.plain).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn of_consoles_that_cannot_be_decoded_the_last_is_kept_and_a_good_one_before_it() {
        let first = || undecoded("!first");
        let last = || undecoded("!last");
        let good = || Ok(console("good", false));
        let fails = || Err(EcsError::Transport("reset".into()));
        assert_eq!(asked(&[first, last]).await.unwrap(), "!last");
        assert_eq!(asked(&[first, last, good]).await.unwrap(), "good");
        assert_eq!(asked(&[fails, first, fails, last]).await.unwrap(), "!last");
        let scenes: [&[Scene]; 2] = [&[fails], &[fails, first, last, fails]];
        for answers in scenes {
            assert!(matches!(asked(answers).await, Err(EcsError::Transport(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_console_that_cannot_be_decoded_is_kept_although_the_instance_is_gone() {
        let gone = || {
            Err(EcsError::NoConsole {
                code: "InvalidInstanceId.NotFound".into(),
                reason: NoConsole::NotFound,
                request_id: String::new(),
            })
        };
        let first = || undecoded("!last words");
        assert_eq!(asked(&[first, gone]).await.unwrap(), "!last words");
    }
}
