//! Function Compute's API of 2023-03-30: its calls, its endpoints and its refusals. Pure.
//!
//! Sources: the SDK alibabacloud-fc20230330 4.8.3 for requests and endpoints; "error codes" (2026-09) for
//! the errors, whose members the page spells `errorCode`, the service's older tools `ErrorCode`, and the
//! SDKs `Code`.

use serde_json::Value;

use super::request::RoaCall;
use super::signature::{Parameter, percent_encode};
use crate::model::ids::RegionId;

/// Version of the API of Function Compute 3.0.
pub const FUNCTION_COMPUTE_VERSION: &str = "2023-03-30";

/// Name of the operation that invokes a function.
pub const INVOKE_FUNCTION: &str = "InvokeFunction";

/// The latest code of a function.
pub const LATEST: &str = "LATEST";

/// Regions whose API is not at `fcv3.{region}.aliyuncs.com`.
///
/// Source: `_endpoint_map` of the SDK alibabacloud-fc20230330 4.8.3.
const EXCEPTIONS: [&str; 4] = [
    "cn-hangzhou-finance",
    "cn-heyuan-acdr-1",
    "cn-shanghai-finance-1",
    "me-central-1",
];

/// Address of the public endpoint of a region.
pub fn public_endpoint(region_id: &RegionId) -> String {
    let region = region_id.as_str();
    if EXCEPTIONS.contains(&region) {
        format!("https://{region}.fc.aliyuncs.com")
    } else {
        format!("https://fcv3.{region}.aliyuncs.com")
    }
}

impl<'a> RoaCall<'a> {
    /// Invokes a function, and waits for its answer.
    pub fn invoke_function(name: &str, qualifier: &str, body: &'a [u8]) -> Self {
        Self::invocation(name, qualifier, &[("x-fc-invocation-type", "Sync")], body)
    }

    /// Invokes a function asynchronously, `delay_seconds` after Function Compute has accepted the
    /// call.
    ///
    /// The SDK has no parameter for the delay. "Deferred invocation" of Function Compute's pages names the
    /// header `x-fc-async-delay`; two public programs send it to the API of 2023-03-30: the queue of
    /// hughcube/laravel-alifc, and a Node.js function that calls its worker through the internal
    /// endpoint.
    pub fn invoke_function_later(name: &str, delay_seconds: u64, body: &'a [u8]) -> Self {
        let headers = [
            ("x-fc-async-delay", &*delay_seconds.to_string()),
            ("x-fc-invocation-type", "Async"),
        ];
        Self::invocation(name, LATEST, &headers, body)
    }

    fn invocation(name: &str, qualifier: &str, own: &[(&str, &str)], body: &'a [u8]) -> Self {
        let name = percent_encode(name);
        let header = |(name, value): (&str, &str)| -> Parameter { (name.into(), value.into()) };
        let mut headers = vec![header(("content-type", "application/octet-stream"))];
        headers.extend(own.iter().copied().map(header));
        Self {
            action: INVOKE_FUNCTION,
            version: FUNCTION_COMPUTE_VERSION,
            path: format!("/{FUNCTION_COMPUTE_VERSION}/functions/{name}/invocations"),
            parameters: vec![("qualifier".into(), qualifier.into())],
            headers,
            body,
        }
    }
}

/// An answer that did not do what was asked. Its texts are escaped.
#[derive(Debug)]
pub struct Failure {
    /// HTTP status.
    pub status: u16,
    /// Error code. Empty if there was none.
    pub code: String,
    /// Empty if there was none.
    pub message: String,
    /// ID of the request.
    pub request_id: Option<String>,
}

impl Failure {
    /// Reads an answer.
    pub fn read(status: u16, request_id: Option<String>, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| body[*name].as_str());
            values.next().map(|text| text.escape_debug().to_string())
        };
        Self {
            status,
            code: member(&["Code", "code", "ErrorCode", "errorCode"]).unwrap_or_default(),
            message: member(&["Message", "message", "ErrorMessage", "errorMessage"])
                .unwrap_or_default(),
            request_id: request_id.or_else(|| member(&["RequestId", "requestId"])),
        }
    }

    /// Whether the key or its token is unknown or has expired, so that another one may do.
    pub fn refuses_key(&self) -> bool {
        [
            "InvalidSecurityToken",
            "SecurityTokenExpired",
            "InvalidAccessKeyI",
        ]
        .iter()
        .any(|start| self.code.starts_with(start))
    }

    /// Whether the time or the nonce of the signature is wrong, so that another one may help.
    pub fn is_about_time(&self) -> bool {
        self.code.starts_with("InvalidTimeStamp") || self.code == "SignatureNonceUsed"
    }

    /// Whether Function Compute throttled the call.
    pub fn is_throttled(&self) -> bool {
        let code = self.code.as_str();
        self.status == 429
            || code.starts_with("Throttling")
            || ["ResourceExhausted", "ResourceThrottled"].contains(&code)
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        // No success is without a request ID, so another service answered.
        self.is_throttled() || matches!(self.status, 408 | 500.. | 200..400)
    }

    /// What happened.
    pub fn text(&self, function_name: &str) -> String {
        let Self {
            status,
            code,
            message,
            request_id,
        } = self;
        let code = if code.is_empty() { "no code" } else { code };
        let mut text = format!("{INVOKE_FUNCTION} of {function_name} returned {status} {code}");
        if !message.is_empty() {
            text.push_str(&format!(": {message}"));
        }
        if let Some(request_id) = request_id {
            text.push_str(&format!(" (request {})", request_id.escape_debug()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_endpoint_is_that_of_the_sdk() {
        for (region, host) in [
            ("cn-hangzhou", "https://fcv3.cn-hangzhou.aliyuncs.com"),
            ("us-east-1", "https://fcv3.us-east-1.aliyuncs.com"),
            ("me-central-1", "https://me-central-1.fc.aliyuncs.com"),
            (
                "cn-shanghai-finance-1",
                "https://cn-shanghai-finance-1.fc.aliyuncs.com",
            ),
        ] {
            let region_id = RegionId::parse(region).unwrap();
            assert_eq!(public_endpoint(&region_id), host);
        }
    }

    /// The page's spelling, that of alibaba/funcraft#86, and that of the SDKs.
    #[test]
    fn a_refusal_is_read_in_every_spelling() {
        for body in [
            r#"{"errorCode": "AccessDenied", "errorMessage": "the caller is not authorized"}"#,
            r#"{"ErrorCode": "AccessDenied", "ErrorMessage": "the caller is not authorized"}"#,
            r#"{"Code": "AccessDenied", "Message": "the caller is not authorized", "RequestId": "r"}"#,
        ] {
            let failure = Failure::read(403, Some("1-abc".into()), body.as_bytes());
            let said = "InvokeFunction of archiver returned 403 AccessDenied: the caller is not \
                        authorized (request 1-abc)";
            assert_eq!(failure.text("archiver"), said);
            assert!(!failure.is_transient() && !failure.refuses_key());
        }
    }
}
