//! The faults that the simulator can be told to make.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hyper::Response;
use hyper::header::{HeaderValue, LOCATION};

use super::{Answer, Body, Broken, Refusal};
use crate::simulator::verify::Format;

/// One way in which one request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No fault: this request succeeds, and the next fault is for a later one.
    None,
    /// 429 `Throttling`, with `x-acs-retry-after`.
    Throttle,
    /// 503 `ServiceUnavailable`.
    Fail,
    /// No answer. The connection stays open.
    Stall,
    /// Half of the body, and then the connection closes.
    Truncate,
    /// 200 with a web page.
    Garbage,
    /// 200 whose `ConsoleOutput` is not Base64.
    BadBase64,
    /// The connection is reset before an answer.
    Reset,
    /// The API reference's own error sample, which is broken JSON, with 503.
    BrokenJson,
    /// 403 `InvalidSecurityToken.Expired`.
    ExpireToken,
    /// The correct answer, in many small pieces.
    SlowBody,
    /// The correct answer, with the content type of a web page.
    WrongContentType,
    /// The head of the correct answer and half of its body, in chunks without an end.
    CutChunk,
    /// 307 to another path of this host, as a captive portal sends it.
    Redirect,
}

const NAMES: [(&str, Fault); 14] = [
    ("none", Fault::None),
    ("throttle", Fault::Throttle),
    ("fail", Fault::Fail),
    ("stall", Fault::Stall),
    ("truncate", Fault::Truncate),
    ("garbage", Fault::Garbage),
    ("bad-base64", Fault::BadBase64),
    ("reset", Fault::Reset),
    ("broken-json", Fault::BrokenJson),
    ("expire-token", Fault::ExpireToken),
    ("slow-body", Fault::SlowBody),
    ("wrong-content-type", Fault::WrongContentType),
    ("cut-chunk", Fault::CutChunk),
    ("redirect", Fault::Redirect),
];

/// A fault, and how many requests it affects: `throttle` or `throttle*3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlan {
    fault: Fault,
    count: usize,
}

/// The text is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected one of {}, with or without a count as in throttle*3",
    NAMES.map(|(name, _)| name).join(", ")
)]
pub struct InvalidFault;

impl FaultPlan {
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        std::iter::repeat_n(self.fault, self.count)
    }
}

impl From<Fault> for FaultPlan {
    fn from(fault: Fault) -> Self {
        Self { fault, count: 1 }
    }
}

impl FromStr for FaultPlan {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (name, count) = match text.split_once('*') {
            Some((name, count)) => (name, count.parse().map_err(|_| InvalidFault)?),
            None => (text, 1),
        };
        let (_, fault) = NAMES
            .into_iter()
            .find(|(n, _)| *n == name)
            .ok_or(InvalidFault)?;
        if (1..=1_000_000).contains(&count) {
            Ok(Self { fault, count })
        } else {
            Err(InvalidFault)
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES
            .iter()
            .find(|(_, fault)| fault == self)
            .map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl Fault {
    /// Whether the client still gets the whole correct answer.
    pub(super) fn is_harmless(self) -> bool {
        matches!(self, Self::None | Self::SlowBody | Self::WrongContentType)
    }

    /// Makes a request fail whose correct answer is `whole`.
    pub(super) async fn answer(
        self,
        mut whole: Answer,
        socket: &socket2::Socket,
    ) -> Result<Response<Body>, Broken> {
        match self {
            Self::None => {}
            Self::Throttle => {
                whole = Refusal::new(429, "Throttling", Format::Json).answer();
                whole.retry_after_ms = Some(1000);
            }
            Self::ExpireToken => {
                whole = Refusal::new(403, "InvalidSecurityToken.Expired", Format::Json).answer();
            }
            Self::Fail => whole = Refusal::new(503, "ServiceUnavailable", Format::Json).answer(),
            Self::Stall => std::future::pending().await,
            Self::Truncate => return Ok(whole.into_half_response(true)),
            Self::CutChunk => return Ok(whole.into_half_response(false)),
            Self::Redirect => {
                whole.status = 307;
                let mut response = whole.into_response();
                let elsewhere = HeaderValue::from_static("/elsewhere");
                response.headers_mut().insert(LOCATION, elsewhere);
                return Ok(response);
            }
            Self::SlowBody => return Ok(whole.into_slow_response()),
            Self::WrongContentType => whole.content_type = "text/html",
            Self::Garbage => {
                whole.content_type = "text/html";
                whole.body = b"<html><body><h1>It works!</h1></body></html>".to_vec();
            }
            Self::BadBase64 => {
                whole.body = br#"{"RequestId":"R","ConsoleOutput":"!!! not Base64 !!!"}"#.to_vec();
            }
            Self::Reset => {
                // Without time to linger, closing the socket resets the connection.
                let _ = socket.set_linger(Some(Duration::ZERO));
                return Err(Broken);
            }
            Self::BrokenJson => {
                whole.status = 503;
                whole.body =
                    br#"{"RequestId":"R","Code":"ServiceUnavailable","Message":"for "x"."}"#
                        .to_vec();
            }
        }
        Ok(whole.into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_called_by_its_name() {
        for (name, fault) in NAMES {
            assert_eq!(name.parse(), Ok(FaultPlan::from(fault)));
            assert_eq!(fault.to_string(), name);
        }
        assert_eq!(
            "stall*3".parse(),
            Ok(FaultPlan {
                fault: Fault::Stall,
                count: 3
            })
        );
    }

    #[test]
    fn words_that_are_no_faults_are_refused() {
        for text in ["", "boom", "throttle*", "throttle*0", "throttle*-1", "*3"] {
            assert_eq!(text.parse::<FaultPlan>(), Err(InvalidFault), "{text:?}");
        }
    }
}
