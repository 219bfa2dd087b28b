//! Function Compute's custom runtime: its control paths, the credentials in its requests, and the
//! log lines by which its log service groups lines by request.
//!
//! Source: "Basic principles" and "Event handler" of Function Compute 3.0's custom runtimes.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use crate::model::credentials::{Credentials, Secret};

/// Longest time-out that a function can have, in seconds.
const MAX_TIMEOUT_SECONDS: u64 = 86_400;

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Serve an event.
    Invoke,
    /// Get ready.
    Initialize,
    /// Prepare to be paused, or to end.
    Hook,
    /// Pass on a request to the HTTP trigger. Anyone may have sent it.
    Http,
    /// The control path is not one of these.
    Unknown,
}

impl Control {
    /// Determines the purpose from the header `x-fc-control-path` alone, because the sender chooses
    /// the path of the address. If the header is there twice with different values, a sender tried
    /// to add one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all("x-fc-control-path").iter();
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            return Self::Http;
        }
        match first.map(HeaderValue::as_bytes) {
            Some(b"/invoke") => Self::Invoke,
            Some(b"/initialize") => Self::Initialize,
            Some(b"/pre-freeze" | b"/pre-stop") => Self::Hook,
            None | Some(b"" | b"/http-invoke") => Self::Http,
            Some(_) => Self::Unknown,
        }
    }
}

/// The credentials of the function's role. `None` without a role, because the headers are empty
/// then. The credentials of the settings stay in use.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: text(headers, "x-fc-access-key-id")?.to_owned(),
        access_key_secret: Secret::new(text(headers, "x-fc-access-key-secret")?),
        security_token: text(headers, "x-fc-security-token").map(Secret::new),
    })
}

/// The function's time-out. `None` if the header is missing or out of range.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, "x-fc-function-timeout")?.parse().ok()?;
    (1..=MAX_TIMEOUT_SECONDS)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    Some(text).filter(|text| !text.is_empty())
}

/// The log lines at the start and the end of an invocation.
pub(super) struct LogLines {
    what: &'static str,
    id: String,
}

impl LogLines {
    pub(super) fn start(what: &'static str, headers: &HeaderMap) -> Self {
        let id: String = (text(headers, "x-fc-request-id").unwrap_or_default().chars())
            .filter(char::is_ascii_graphic)
            .take(128)
            .collect();
        crate::log::line(&format!("FC {what} Start RequestId: {id}"));
        Self { what, id }
    }

    pub(super) fn end(self, is_good: bool) {
        let Self { what, id } = self;
        let error = if is_good {
            ""
        } else {
            ", Error: Handled function error"
        };
        crate::log::line(&format!("FC {what} End RequestId: {id}{error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_control_path_alone_says_what_a_request_is_for() {
        const NAME: &str = "x-fc-control-path";
        for (values, control) in [
            (&["/invoke"][..], Control::Invoke),
            (&["/invoke", "/invoke"], Control::Invoke),
            (&["/initialize"], Control::Initialize),
            (&["/pre-freeze"], Control::Hook),
            (&["/pre-stop"], Control::Hook),
            (&["/http-invoke"], Control::Http),
            (&[], Control::Http),
            (&[""], Control::Http),
            (&["/invoke", "/http-invoke"], Control::Http),
            (&["/http-invoke", "/invoke"], Control::Http),
            (&["/INVOKE"], Control::Unknown),
            (&["/invoke/"], Control::Unknown),
            (&["/"], Control::Unknown),
        ] {
            let pairs: Vec<_> = values.iter().map(|value| (NAME, *value)).collect();
            assert_eq!(Control::of(&headers(&pairs)), control, "{values:?}");
        }
    }

    #[test]
    fn a_time_out_that_is_none_is_not_said() {
        let of = |value: &str| timeout(&headers(&[("x-fc-function-timeout", value)]));
        for (value, seconds) in [("1", 1), ("60", 60), (" 60 ", 60), ("86400", 86_400)] {
            assert_eq!(of(value), Some(Duration::from_secs(seconds)));
        }
        for value in [
            "",
            "0",
            "-1",
            "-9223372036854775808",
            "86401",
            "18446744073709551615",
            "99999999999999999999999999",
            "1e99",
            "NaN",
            "inf",
            "60.5",
            "soon",
        ] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(timeout(&headers(&[])), None);
    }

    #[test]
    fn half_of_a_roles_credentials_are_none() {
        let key = ("x-fc-access-key-id", "id");
        let secret = ("x-fc-access-key-secret", "secret");
        assert!(credentials(&headers(&[key, secret])).is_some());
        for half in [
            &[key][..],
            &[secret],
            &[key, ("x-fc-access-key-secret", "")],
            &[("x-fc-access-key-id", " "), secret],
        ] {
            assert_eq!(credentials(&headers(half)), None);
        }
    }
}
