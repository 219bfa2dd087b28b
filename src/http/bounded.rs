//! Sends a request, and reads its answer up to a limit.

use reqwest::header::HeaderMap;

use crate::retry;

/// An answer, whatever its status.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no whole answer.
pub enum Unread {
    /// The service did not answer, or stopped in the middle. Holds the cause and the host. The rest
    /// of the address may contain secrets.
    NoAnswer(String),
    /// The answer has more bytes than the limit.
    TooLong,
}

/// Sends a request to the service `from`, and reads at most `max_bytes`.
///
/// # Errors
/// [`Unread`].
pub async fn read(
    request: reqwest::RequestBuilder,
    from: &str,
    max_bytes: usize,
) -> Result<Answer, Unread> {
    let failed = |error: reqwest::Error| {
        let host = error.url().and_then(|url| url.host_str());
        let host = host
            .map(|host| format!(" (asked {host})"))
            .unwrap_or_default();
        Unread::NoAnswer(super::cause(error) + &host)
    };
    let mut response = retry::waiting_for(from, request.send())
        .await
        .map_err(failed)?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > max_bytes {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer {
        status: response.status().as_u16(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}
