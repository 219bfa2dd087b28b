//! One request to a service that gives credentials, and its answer, bounded.

use std::time::Duration;

use super::CredentialsError;
use crate::retry;

/// As the SDKs wait for STS.
pub(super) const STS_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers are a few kilobytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Status and body of an answer. The address is in no error: it may carry what must not be shown.
pub(super) async fn answer_of(
    request: reqwest::RequestBuilder,
    from: &str,
) -> Result<(u16, Vec<u8>), CredentialsError> {
    let failed = |error: reqwest::Error| {
        let cause = crate::http::cause(error);
        CredentialsError::Unavailable(format!("{from} does not answer: {cause}"))
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
