//! Sends one request to a service that issues credentials, and limits its answer.

use std::time::Duration;

use super::CredentialsError;
use crate::http::bounded::{Unread, read};

/// Time-out of requests to STS, the same as in the SDKs.
pub(super) const STS_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer. Answers have a few kilobytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Returns status and body. Errors name the host alone: the rest of the address may contain secrets.
pub(super) async fn answer_of(
    request: reqwest::RequestBuilder,
    from: &str,
) -> Result<(u16, Vec<u8>), CredentialsError> {
    match read(request, from, MAX_ANSWER_BYTES).await {
        Ok(answer) => Ok((answer.status, answer.body)),
        Err(Unread::NoAnswer(cause)) => {
            let text = format!("{from} does not answer: {cause}");
            Err(CredentialsError::Unavailable(text))
        }
        Err(Unread::TooLong) => {
            let text = format!("the answer of {from} is too long");
            Err(CredentialsError::Refused(text))
        }
    }
}
