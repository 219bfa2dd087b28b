//! Sends one request to a service that issues credentials, and limits its answer.

use std::time::Duration;

use super::CredentialsError;
use crate::retry;

/// Time-out of requests to STS, the same as in the SDKs.
pub(super) const STS_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer. Answers have a few kilobytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Returns status and body. Errors name the host alone: the rest of the address may contain secrets.
pub(super) async fn answer_of(
    request: reqwest::RequestBuilder,
    from: &str,
) -> Result<(u16, Vec<u8>), CredentialsError> {
    let failed = |error: reqwest::Error| {
        let host = error.url().and_then(|url| url.host_str());
        let host = host
            .map(|host| format!(" (asked {host})"))
            .unwrap_or_default();
        let cause = crate::http::cause(error);
        CredentialsError::Unavailable(format!("{from} does not answer: {cause}{host}"))
    };
    let mut response = retry::waiting_for(from, request.send())
        .await
        .map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > MAX_ANSWER_BYTES {
            let text = format!("the answer of {from} is too long");
            return Err(CredentialsError::Refused(text));
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, body))
}
