//! Function Compute's custom runtime: its control paths, the credentials that come with them, and
//! the lines between which its log service files everything under a request.
//!
//! Source: "Basic principles" and "Event handler" of Function Compute 3.0's custom runtimes.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use crate::model::credentials::{Credentials, Secret};

/// Longest time-out of a function.
const MAX_TIMEOUT_SECONDS: u64 = 86_400;

/// What Function Compute asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// Serve an event.
    Invoke,
    /// Get ready.
    Initialize,
    /// The process is about to stand still, or to end.
    Hook,
    /// Pass an HTTP request on: whoever sends it to the HTTP trigger is a stranger.
    Http,
    /// A path that is none of these.
    Unknown,
}

impl Control {
    /// What a request is for, by `x-fc-control-path` alone: the path of its address is the
    /// sender's to choose. Two values that differ are a stranger's attempt to add one.
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

/// The role's credentials. Without a role they are empty, and the settings' own stay.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: text(headers, "x-fc-access-key-id")?.to_owned(),
        access_key_secret: Secret::new(text(headers, "x-fc-access-key-secret")?),
        security_token: text(headers, "x-fc-security-token").map(Secret::new),
    })
}

/// The function's time-out, where the platform says a possible one.
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

/// The lines around an invocation.
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
