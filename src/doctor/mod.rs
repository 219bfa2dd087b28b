//! Checks a whole set-up against the services: what works, what does not, and what to do.
//!
//! The checks are independent, so that one failure does not hide others. This file and `archive`
//! send the requests. [`advice`] says what to do.

pub mod advice;
mod archive;
pub mod deployed; // asks a deployed function
mod secret;

use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;

use crate::clock::{Clock, WallClock};
use crate::config::{Archive, ConfigError, Sections};
use crate::credentials::CredentialsProvider;
use crate::credentials::source::Source;
use crate::http::HttpSetupError;
use crate::model::check::name::{FOLLOW_QUEUE, OF_ECS};
pub use crate::model::check::{Check, Verdict};
use crate::model::ids::{InstanceId, RegionId};
use crate::notify::check::check as notices;
use crate::queue::sqs::SqsQueue;
use crate::queue::{PROBE, Queue as _};
use crate::retry::{Deadline, Retrying, retry};
use crate::source::check;
use crate::source::ecs::EcsClient;
use crate::source::ecs::endpoint::EcsEndpoint;
use crate::source::ecs::response::EcsError;

/// Longest time for one request with its retries, even if the caller has more time.
pub const MAX_CHECK_TIME: Duration = Duration::from_secs(10);

/// A clock that differs by more than this is reported as a warning.
const SKEW_TO_MEND: SignedDuration = SignedDuration::from_secs(60);
/// ECS and S3 reject times that differ by more than this.
const SKEW_REFUSED: SignedDuration = SignedDuration::from_mins(15);

/// All checks, in the order of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The worst result.
    pub verdict: Verdict,
    /// What was asked, if a deployed function made the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Deployed>,
    /// The checks.
    pub checks: Vec<Check>,
}

/// A deployed function that made the checks itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployed {
    /// The function, as it was named.
    pub function: String,
    /// Version of the program that runs there.
    pub version: String,
    /// Names of the settings that are set there.
    pub settings: Vec<String>,
}

impl Diagnosis {
    fn of(checks: Vec<Check>) -> Self {
        let tried = checks.iter().map(|check| check.verdict);
        let worst = tried.filter(|verdict| *verdict != Verdict::Skipped).max();
        Self {
            verdict: worst.unwrap_or(Verdict::Ok),
            deployed: None,
            checks,
        }
    }

    /// Whether any setting of this machine is invalid or missing.
    pub fn settings_are_wrong(&self) -> bool {
        let mut checks = self.checks.iter();
        self.deployed.is_none()
            && checks.any(|check| check.name == SETTINGS && check.verdict == Verdict::Failed)
    }
}

const SETTINGS: &str = "settings";
const ECS_CLOCK: &str = "ecs: clock";

const SETTINGS_WRONG: &str = "not tried: its settings are wrong";

/// Runs all checks. Independent ones run at the same time. `instance_id` is the instance whose
/// console and screenshot are requested. Without it, the check uses an ID that does not exist. A request with its
/// retries takes at most `time`, and at most [`MAX_CHECK_TIME`]. `sends_test_notice`: to everybody who is told of
/// findings.
///
/// # Errors
/// [`HttpSetupError`] if the HTTP client cannot be built.
pub async fn examine(
    parts: Sections,
    instance_id: Option<InstanceId>,
    sends_test_notice: bool,
    time: Duration,
) -> Result<Diagnosis, HttpSetupError> {
    let http = crate::http::client(&parts.http)?;
    let time = time.min(MAX_CHECK_TIME);
    let Sections {
        archive,
        ecs,
        follow_queue,
        function_invokes_itself,
        webhook_token,
        notify,
        takes_screenshots,
        http: _,
        problems,
    } = parts;
    let region_id = ecs.as_ref().map(|ecs| ecs.default_region.clone());
    let lacks_region = region_id == Some(None);
    let key = ecs.as_ref().and_then(|ecs| ecs.credentials.managed());
    let key = key.cloned();
    let ecs_checks = async {
        match (ecs, region_id.flatten()) {
            (Some(ecs), Some(region_id)) => {
                let client = ecs.client(http.clone());
                examine_ecs(&client, &region_id, instance_id, takes_screenshots, time).await
            }
            _ => skipped(&[&OF_ECS[..], &[ECS_CLOCK]].concat()),
        }
    };
    let archive_checks = async {
        match archive {
            Some(archive) => {
                let store_of = |archive: Archive| archive.store(http.clone());
                archive::examine(&archive, &store_of, time).await
            }
            None => skipped(&archive::CHECKS),
        }
    };
    let queue_checks = async {
        match follow_queue {
            Some(config) => {
                let url = config.url.clone();
                let queue = SqsQueue::new(config, http.clone());
                vec![examine_queue(&queue, &url, time).await]
            }
            None if function_invokes_itself => vec![Check::skipped(
                FOLLOW_QUEUE,
                "not tried: only the function itself can invoke itself (fc://self)",
            )],
            None => Vec::new(),
        }
    };
    let key = key.as_ref().map(|key| (secret::ACCESS_KEY, key));
    let token = webhook_token.as_ref();
    let token = token.map(|token| (secret::WEBHOOK_TOKEN, token));
    let secrets = key.into_iter().chain(token);
    let secret_checks = secrets.map(|(name, secret)| secret::examine(name, secret, &http, time));
    let secret_checks = futures_util::future::join_all(secret_checks);
    let notice_checks = async {
        let is_set = notify.is_some();
        let notifier = match notify {
            None => None,
            Some(notify) => {
                let reader = notify.managed.as_ref();
                let reader = reader.map_or(Source::Host, |secret| secret.reader.clone());
                let reader = CredentialsProvider::new(reader, http.clone());
                Some(notify.notifier(&http, &reader, |_| {}))
            }
        };
        match is_set || sends_test_notice {
            true => {
                notices(
                    notifier.as_ref(),
                    sends_test_notice,
                    WallClock::default().now(),
                )
                .await
            }
            false => Vec::new(),
        }
    };
    let (secret_checks, ecs_checks, archive_checks, queue_checks, notice_checks) = tokio::join!(
        secret_checks,
        ecs_checks,
        archive_checks,
        queue_checks,
        notice_checks
    );
    let mut checks = settings(problems, lacks_region);
    checks.extend(secret_checks);
    checks.extend(ecs_checks);
    checks.extend(archive_checks);
    checks.extend(queue_checks);
    checks.extend(notice_checks);
    Ok(Diagnosis::of(checks))
}

fn skipped(names: &[&'static str]) -> Vec<Check> {
    let skipped = |name: &&'static str| Check::skipped(name, SETTINGS_WRONG);
    names.iter().map(skipped).collect()
}

/// One check for each problem with a setting. Most problems say what is expected.
fn settings(problems: Result<(), ConfigError>, lacks_region: bool) -> Vec<Check> {
    let wrong = |found: &str| Check::new(SETTINGS, Verdict::Failed, found);
    let mut checks = Vec::new();
    if let Err(error) = problems {
        checks.extend(
            error
                .problems()
                .iter()
                .map(|problem| match problem.split_once("; ") {
                    Some((found, advice)) => wrong(found).advise(advice),
                    None => wrong(problem).advise("correct it"),
                }),
        );
    }
    if lacks_region {
        // The function needs no region if its events name one. These checks need one.
        checks.push(wrong("ALIBABA_CLOUD_REGION_ID: not set").advise(
            "give --region or set ALIBABA_CLOUD_REGION_ID, so that ECS can be asked, and events \
             that name no region can be served",
        ));
    }
    if checks.is_empty() {
        checks.push(Check::ok(SETTINGS, "complete and well-formed"));
    }
    checks
}

async fn examine_ecs(
    client: &EcsClient,
    region_id: &RegionId,
    instance_id: Option<InstanceId>,
    takes_screenshots: bool,
    time: Duration,
) -> Vec<Check> {
    let asked = Retrying::new(client, Deadline::after(time));
    let failed = |name, error| ecs_failed(name, &error, &client.endpoint, region_id);
    let checks = check::ecs(&asked, region_id, instance_id, takes_screenshots, failed);
    let mut checks = Vec::from(checks.await);
    checks.push(clock(ECS_CLOCK, "ECS", &client.clock));
    checks
}

fn ecs_failed(
    name: &'static str,
    error: &EcsError,
    endpoint: &EcsEndpoint,
    region_id: &RegionId,
) -> Check {
    let advice = advice::ecs(error, endpoint, Some(region_id));
    Check::new(name, Verdict::Failed, check::without_advice(error)).advise(advice)
}

async fn examine_queue(queue: &SqsQueue, url: &url::Url, time: Duration) -> Check {
    let send = || queue.send(PROBE, Duration::ZERO);
    match retry(Deadline::after(time), "SendMessage", send).await {
        Ok(_) => Check::ok(FOLLOW_QUEUE, "a message that the function ignores was sent"),
        Err(error) => Check::new(FOLLOW_QUEUE, Verdict::Failed, error.to_string()).advise(
            advice::queue(&error, &advice::AskedQueue::follow(url.clone())),
        ),
    }
}

/// The check only reports the difference, because requests are signed again by the service's clock.
fn clock(name: &'static str, service: &str, clock: &Clock) -> Check {
    let Some(ahead) = clock.last_seen_ahead() else {
        return Check::skipped(name, "not known: no answer had a time");
    };
    let off = SignedDuration::from_secs(ahead.abs().as_secs());
    let which = if ahead.is_negative() {
        "ahead of"
    } else {
        "behind"
    };
    let found = format!("this machine's is {off:#} {which} that of {service}");
    if off > SKEW_REFUSED {
        Check::new(name, Verdict::Failed, found).advise(format!(
            "set this machine's clock: {service} refuses its times, and each process must first \
             learn the right one"
        ))
    } else if off > SKEW_TO_MEND {
        Check::new(name, Verdict::Warning, found).advise(
            "set this machine's clock: times that are 15 min off are refused, by some \
                     services from 5 min on",
        )
    } else {
        Check::ok(
            name,
            format!("this machine's clock agrees with that of {service}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::intake::delivery::Delivery;
    use crate::intake::event::{NotOurs, Request};

    #[test]
    fn the_message_to_the_queue_is_one_that_the_function_ignores() {
        let delivery = Delivery::parse(PROBE.as_bytes());
        let requests: Vec<_> = delivery.messages.iter().flat_map(|m| &m.requests).collect();
        let product = NotOurs::Product("ecs-console-archiver".into());
        assert_eq!(requests, [&Ok(Request::Other(product))]);
    }

    #[test]
    fn a_clock_is_judged_in_both_directions() {
        for (seconds, verdict) in [
            (0, Verdict::Ok),
            (59, Verdict::Ok),
            (-59, Verdict::Ok),
            (90, Verdict::Warning),
            (-90, Verdict::Warning),
            (20 * 60, Verdict::Failed),
            (-20 * 60, Verdict::Failed),
        ] {
            let service = Clock::default();
            service.note(Some(Timestamp::now() + SignedDuration::from_secs(seconds)));
            let check = clock(ECS_CLOCK, "ECS", &service);
            assert_eq!(check.verdict, verdict, "{seconds}: {check:?}");
        }
        assert_eq!(
            clock(ECS_CLOCK, "ECS", &Clock::default()).verdict,
            Verdict::Skipped
        );
    }

    #[test]
    fn what_was_skipped_makes_nothing_worse() {
        let skipped = Check::skipped(ECS_CLOCK, "no time");
        let fine = Diagnosis::of(vec![Check::ok(SETTINGS, "fine"), skipped]);
        assert_eq!(fine.verdict, Verdict::Ok);
        assert!(!fine.settings_are_wrong());
    }
}
