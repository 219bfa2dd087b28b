//! What a deployed function says of itself when `console-archive doctor --deployed` asks: who it is,
//! and whether its own parts work with its own credentials and permissions.
//!
//! Of secrets it says whether they are set or can be read, and nothing else.

use std::borrow::Cow;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::archive::key::FAILED_PREFIX;
use crate::archive::notice::NOTICES_PREFIX;
use crate::archive::probe::{PROBE_KEY, probe};
use crate::capture::CaptureError;
use crate::config::{Deployment, FailedEvents};
use crate::credentials::CredentialsError;
use crate::hosts::dispatch::Dispatcher;
use crate::hosts::served::on_one_line;
use crate::model::check::name::{CREATE_ONLY, FOLLOW_QUEUE, NOTICES, OF_ECS, WRITE};
use crate::model::check::{Check, Doctor, Examination, Verdict};
use crate::model::outcome::ErrorType;
use crate::model::screenshot::When;
use crate::notify;
use crate::queue;
use crate::retry::{Deadline, Retrying, retry};
use crate::source::{ConsoleSource, Fleet, check};
use crate::store::{PutOutcome, Store, StoreError};

/// Longest time for one check. All checks run at the same time, and the sender waits for the answer.
const CHECK_TIME: Duration = Duration::from_secs(8);
/// Part of an invocation's time to answer in.
const RESERVE: Duration = Duration::from_secs(1);
/// With less time, an invocation may end before its captures do.
const SHORT_TIME: Duration = Duration::from_secs(30);

const FUNCTION: &str = "function";
const ALIBABA_IDENTITY: &str = "identity: Alibaba Cloud";
const AWS_IDENTITY: &str = "identity: AWS";
const FAILED_EVENTS: &str = "failed events";
const SENDERS: &str = "http senders";

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Makes all checks at the same time. It never fails: what fails is a check.
    ///
    /// It stores one small object, always the same, and sends the follow queue a message that the
    /// function ignores.
    pub(super) fn examine(&self, asked: Doctor, deadline: Deadline) -> BoxFuture<'_, Examination> {
        async move {
            let work = deadline.earlier_by(RESERVE);
            let work = work.or_earlier(Deadline::after(CHECK_TIME));
            let sends_test = asked.send_test_notice;
            let (identities, ecs, archive, queue, failed_events, senders, notices) = tokio::join!(
                self.identities(work),
                self.examine_ecs(asked, work),
                self.examine_archive(work),
                self.examine_follow_queue(work),
                self.examine_failed_events(work),
                self.examine_senders(work),
                self.examine_notices(sends_test, work),
            );
            let mut checks = vec![self.function(deadline)];
            checks.extend(identities);
            checks.extend(ecs);
            checks.extend(archive);
            checks.extend([queue, failed_events]);
            checks.extend(senders);
            checks.extend(notices);
            let settings = self.deployment.settings.iter();
            Examination {
                version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
                settings: settings.map(|name| Cow::Borrowed(*name)).collect(),
                checks,
            }
        }
        .boxed()
    }

    fn function(&self, deadline: Deadline) -> Check {
        let Deployment {
            name,
            platform,
            memory_mib,
            ..
        } = &self.deployment;
        // A part of the time is reserved for the answer.
        let seconds = deadline.remaining().as_secs_f64().ceil();
        let memory = memory_mib.as_ref();
        let memory = memory.map_or_else(String::new, |mib| format!(", {mib} MiB of memory"));
        let name = name.as_deref().unwrap_or("the function");
        let platform = platform.map_or_else(String::new, |platform| format!(" on {platform}"));
        let found = format!("{name}{platform}: {seconds} s for this invocation{memory}");
        if deadline.remaining() < SHORT_TIME {
            return Check::new(FUNCTION, Verdict::Warning, found)
                .advise("give the function a time-out of 60 s or more");
        }
        Check::ok(FUNCTION, found)
    }

    async fn identities(&self, deadline: Deadline) -> Vec<Check> {
        let Some(provider) = &self.credentials else {
            return Vec::new();
        };
        let alibaba = async {
            let caller = retry(deadline, "GetCallerIdentity", || provider.caller());
            Some(identity(ALIBABA_IDENTITY, caller.await))
        };
        let aws = async {
            let caller = self.deployment.aws.as_ref()?;
            let caller = retry(deadline, "GetCallerIdentity", || caller.arn(provider));
            Some(identity(AWS_IDENTITY, caller.await))
        };
        let (alibaba, aws) = tokio::join!(alibaba, aws);
        alibaba.into_iter().chain(aws).collect()
    }

    async fn examine_ecs(&self, asked: Doctor, deadline: Deadline) -> [Check; 3] {
        let Some(region_id) = asked.region_id.or(self.archiver.default_region.clone()) else {
            let found = "not tried: the function has no region, because events name theirs";
            let skipped = |name| Check::skipped(name, found).advise("give --region");
            return OF_ECS.map(skipped);
        };
        let source = Retrying::new(&self.archiver.source, deadline);
        let takes_screenshots = self.archiver.screenshots.when != When::Never;
        let id = asked.instance_id;
        check::ecs(&source, &region_id, id, takes_screenshots, failed).await
    }

    async fn examine_archive(&self, deadline: Deadline) -> Vec<Check> {
        let store = Retrying::new(&self.archiver.store, deadline);
        let probe = probe();
        let put = || store.put_if_absent(PROBE_KEY, &probe);
        let url = self.archiver.store.url(PROBE_KEY);
        let first = match put().await {
            Ok(first) => first,
            Err(error) => {
                return vec![
                    failed(WRITE, error),
                    Check::skipped(CREATE_ONLY, "not tried: nothing can be written"),
                ];
            }
        };
        let again = match first {
            PutOutcome::Exists => Ok(PutOutcome::Exists),
            PutOutcome::Created => put().await,
        };
        let create_only = match again {
            Ok(PutOutcome::Exists) => Check::ok(CREATE_ONLY, "an existing object is not replaced"),
            Ok(PutOutcome::Created) => {
                let found =
                    "the store took the same object twice: it does not honour the condition";
                let advice = if url.starts_with("oss:") {
                    "take a bucket without versioning, or each repetition makes a version with the \
                     same bytes"
                } else {
                    "set ARCHIVE_PROFILE=basic, which looks before it writes and must be allowed to \
                     read; each repetition writes the same bytes again"
                };
                Check::new(CREATE_ONLY, Verdict::Warning, found).advise(advice)
            }
            Err(error) => failed(CREATE_ONLY, error),
        };
        vec![Check::ok(WRITE, url), create_only]
    }

    async fn examine_follow_queue(&self, deadline: Deadline) -> Check {
        let Some(queue) = &self.archiver.follow_queue else {
            let seconds = self.archiver.follow_budget.as_secs();
            return Check::ok(
                FOLLOW_QUEUE,
                match seconds {
                    0 => "none: consoles are not followed".to_owned(),
                    _ => format!("none: the function waits while it follows, for {seconds} s"),
                },
            );
        };
        let send = || queue.send(queue::PROBE, Duration::ZERO);
        match retry(deadline, queue.operation(), send).await {
            Ok(_) => {
                let seconds = queue.greatest_delay().as_secs();
                let found = format!(
                    "a message that the function ignores was sent; messages can be delayed by at \
                     most {seconds} s"
                );
                Check::ok(FOLLOW_QUEUE, found)
            }
            Err(error) => failed(FOLLOW_QUEUE, error),
        }
    }

    async fn examine_failed_events(&self, deadline: Deadline) -> Check {
        if self.failed_queue.is_some() {
            // A message that is received counts as an attempt.
            return Check::skipped(
                FAILED_EVENTS,
                "in the queue of FAILED_QUEUE_URL, which is not asked for messages",
            );
        }
        if self.failed_events == FailedEvents::Platform {
            return Check::ok(FAILED_EVENTS, "the platform keeps them");
        }
        let store = Retrying::new(&self.archiver.store, deadline);
        let url = self.archiver.store.url(FAILED_PREFIX);
        let found = match store.list(FAILED_PREFIX, None, None).await {
            Ok(_) => format!("in {url}, where the function can list them"),
            Err(StoreError::Denied(_)) => {
                format!("in {url}; it may not list them, which only a scheduled redrive needs")
            }
            Err(error) => return failed(FAILED_EVENTS, error),
        };
        Check::ok(FAILED_EVENTS, found)
    }

    /// Whether people can be told, and whether the archive lets this function remember it.
    async fn examine_notices(&self, sends_test: bool, deadline: Deadline) -> Vec<Check> {
        let archiver = &self.archiver;
        let check =
            notify::check::check(archiver.notifier.as_ref(), sends_test, archiver.clock.now());
        let mut checks = match tokio::time::timeout(deadline.remaining(), check).await {
            Ok(checks) => checks,
            Err(_) => vec![Check::new(
                NOTICES,
                Verdict::Failed,
                "the receivers did not answer in time",
            )],
        };
        if archiver.notifier.is_some() {
            let store = Retrying::new(&archiver.store, deadline);
            if let Err(error) = store.list(NOTICES_PREFIX, None, None).await {
                checks.push(failed(NOTICES, error));
            }
        }
        checks
    }

    async fn examine_senders(&self, deadline: Deadline) -> Option<Check> {
        let described = self.gate.as_ref()?.describe();
        let described = tokio::time::timeout(deadline.remaining(), described).await;
        Some(match described {
            Ok(Ok(senders)) => Check::ok(SENDERS, senders),
            Ok(Err(error)) => Check::new(SENDERS, Verdict::Failed, error.to_string()),
            Err(_) => Check::new(
                SENDERS,
                Verdict::Failed,
                "the webhook token was not read in time",
            ),
        })
    }
}

fn identity(name: &'static str, caller: Result<String, CredentialsError>) -> Check {
    let error = match caller {
        Ok(arn) => return Check::ok(name, arn.escape_debug().to_string()),
        Err(error) => error,
    };
    let (verdict, error_type) = match &error {
        // Captures may not need STS.
        CredentialsError::Unavailable(_) => (Verdict::Warning, ErrorType::CredentialsUnavailable),
        _ => (Verdict::Failed, ErrorType::CredentialsRefused),
    };
    Check::new(name, verdict, error.to_string()).of_type(error_type.as_str())
}

fn failed(name: &'static str, error: impl Into<CaptureError>) -> Check {
    let error = error.into();
    let check = Check::new(name, Verdict::Failed, on_one_line(&error));
    check.of_type(error.error_type().as_str())
}
