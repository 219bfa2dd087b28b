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
    let (answer, unread) = read_some(request, from, max_bytes, |_| true).await?;
    unread.map_or(Ok(answer), Err)
}

/// The same, for whom the status may be enough: beside the answer, why its body is not whole. `needs_body`: whether it is
/// read behind a status.
///
/// # Errors
/// [`Unread`] if there is not even a status.
pub async fn read_some(
    request: reqwest::RequestBuilder,
    from: &str,
    max_bytes: usize,
    needs_body: impl Fn(u16) -> bool,
) -> Result<(Answer, Option<Unread>), Unread> {
    let mut response = retry::waiting_for(from, request.send())
        .await
        .map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let unread = loop {
        if !needs_body(status) {
            break None;
        }
        match response.chunk().await {
            Ok(None) => break None,
            Ok(Some(piece)) if body.len() + piece.len() > max_bytes => {
                break Some(Unread::TooLong);
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Err(error) => break Some(failed(error)),
        }
    };
    let answer = Answer {
        status,
        headers: std::mem::take(response.headers_mut()),
        body,
    };
    Ok((answer, unread))
}

fn failed(error: reqwest::Error) -> Unread {
    let host = error.url().and_then(|url| url.host_str());
    let host = host
        .map(|host| format!(" (asked {host})"))
        .unwrap_or_default();
    Unread::NoAnswer(super::cause(error) + &host)
}
