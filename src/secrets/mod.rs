//! Secrets that a secrets manager keeps: AWS Secrets Manager, AWS Systems Manager (SSM) Parameter
//! Store, or Alibaba Cloud's Key Management Service (KMS). Logs, errors and `Debug` cannot show
//! them.

mod answer; // answers of the managers → the secret (pure)
pub mod arn; // which secret of which manager (pure)
mod aws; // a signed request to AWS
mod kms; // a signed request to KMS

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap};
use url::Url;

use crate::clock::http_date;
use crate::http::bounded::{Unread, read};
use crate::model::credentials::{Credentials, Secret};
use crate::refusal::Refusal;
use crate::retry::{self, RetryAdvice, Retryable};
use answer::Refused;
use arn::{Manager, SecretArn};

/// Longest time for one request.
pub const REQUEST_TIME: Duration = Duration::from_secs(3);
/// Longest answer, in bytes. The largest secret is one of Secrets Manager, with 64 KiB, and JSON may
/// escape characters.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// A clock that differs by less is not why a manager refuses the time of a request.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(2);

/// A secret, and where its manager is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretAddress {
    /// Which secret.
    pub arn: SecretArn,
    /// Address of the manager.
    pub endpoint: Url,
}

/// Why there is no secret. Each variant is what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The manager throttled, failed or did not answer. Retry.
    #[error("{0}")]
    Unavailable(String),
    /// The manager refused: a permission, the secret or the key that encrypts it is missing. Someone
    /// must fix it.
    #[error("{0}")]
    Refused(Refusal),
    /// The manager gave a secret that is not what is needed. Someone must store another value.
    #[error("{0}")]
    Unusable(String),
}

impl Retryable for SecretError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Unavailable(_) => RetryAdvice::Wait,
            Self::Refused(_) | Self::Unusable(_) => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

/// Gets the secret with these credentials. Makes one attempt, and another if only the time of the
/// first was wrong.
///
/// # Errors
/// [`SecretError`] says what to do next.
pub async fn get(
    http: &reqwest::Client,
    address: &SecretAddress,
    credentials: &Credentials,
) -> Result<Secret, SecretError> {
    let now = Timestamp::now();
    let (answered, date) = attempt(http, address, credentials, now).await?;
    let is_off = |date: &Timestamp| date.duration_since(now).abs() > MAX_SKEW;
    let answered = match (answered, date.filter(is_off)) {
        (Err(refused), Some(date)) if refused.is_about_time() => {
            attempt(http, address, credentials, date).await?.0
        }
        (answered, _) => answered,
    };
    let value = answered.map_err(|refused| refused.into_error(&address.arn))?;
    answer::member(value, &address.arn)
}

/// The secret as the manager keeps it, or its refusal; and the time of the manager's clock.
async fn attempt(
    http: &reqwest::Client,
    address: &SecretAddress,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<(Result<Secret, Refused>, Option<Timestamp>), SecretError> {
    let SecretAddress { arn, endpoint } = address;
    let request = match arn.manager() {
        Manager::Kms => kms::request(http, arn, endpoint, credentials, now),
        _ => aws::request(http, arn, endpoint, credentials, now),
    };
    let request = request.map_err(SecretError::Unavailable)?;
    let from = arn.manager().name();
    let unread = |unread| match unread {
        Unread::NoAnswer(cause) => {
            SecretError::Unavailable(format!("{from} does not answer: {cause}"))
        }
        Unread::TooLong => {
            SecretError::Unusable(format!("the answer of {from} about {arn} is too long"))
        }
    };
    let request = request.timeout(REQUEST_TIME);
    let answer = read(request, from, MAX_ANSWER_BYTES)
        .await
        .map_err(unread)?;
    let date = date_of(&answer.headers);
    let value = match arn.manager() {
        Manager::Kms => answer::of_kms(answer.status, &answer.body),
        manager => answer::of_aws(manager, answer.status, &answer.headers, &answer.body),
    };
    Ok((value, date))
}

fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}
