//! A failed call to the store → [`StoreError`] with what to do, by the codes of S3 and of OSS.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::BucketStore;
use super::settings::Profile;
use crate::http::answer::{self, Flaw, FlawedAnswer};
use crate::model::credentials::Credentials;
use crate::refusal::Refusal;
use crate::store::StoreError;

impl BucketStore {
    /// Turns a failed call into an error with the operation, the bucket and the service's own code.
    /// OSS gives the exact meaning of a code in `x-oss-ec`. `used` are the credentials that signed
    /// the request. If the service refuses them, they are replaced if possible.
    pub(super) async fn error<E>(
        &self,
        operation: &str,
        error: &SdkError<E, HttpResponse>,
        used: &Credentials,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let Some(status) = status(error) else {
            let address = &self.address;
            let Some(FlawedAnswer { status, flaw }) = FlawedAnswer::behind(error) else {
                let cause = crate::http::innermost(error);
                let text = format!("{operation} got no answer from {address}: {cause}");
                return StoreError::Unavailable(text);
            };
            let bucket = &self.bucket;
            let text = format!(
                "{operation} on bucket {bucket:?} at {address} returned {status} and {flaw}"
            );
            return match flaw {
                Flaw::TooLong => StoreError::Listing(text + NOT_S3),
                Flaw::WebPage | Flaw::Other | Flaw::Empty => StoreError::Foreign(text + NOT_S3),
                Flaw::NotWhole | Flaw::Cut(_) => StoreError::Unavailable(text),
            };
        };
        let told = error.code().filter(|code| !code.is_empty());
        let told = told.unwrap_or("no code");
        let code = meant(told, error.message());
        let mut text = format!(
            "{operation} on bucket {:?} returned {status} {told}",
            self.bucket
        );
        if let Some(ec) = error
            .raw_response()
            .and_then(|r| r.headers().get("x-oss-ec"))
        {
            text.push_str(&format!(" (EC {ec})"));
        }
        if let Some(message) = error.message() {
            text.push_str(&format!(": {}", message.escape_debug()));
        }
        let body = error.raw_response().and_then(|r| r.body().bytes());
        if code == "no code" && body.is_some_and(answer::is_web_page) {
            text.push_str(&format!(" and a web page from {}{NOT_S3}", self.address));
        } else if let Some(hint) = self.hint(operation, status, code) {
            text.push_str("; ");
            text.push_str(hint);
        }
        let place = || self.credentials.source().place(self.key_settings());
        if EXPIRED.contains(&code) {
            text.push_str(&format!("; renew the token: it is of {}", place()));
        } else if REFUSED_KEYS.contains(&code) || code == "SignatureDoesNotMatch" {
            text.push_str(&format!("; check {}", place()));
        }
        if is_of_another_region(status, code) {
            let region = error.raw_response();
            let region = region.and_then(|r| r.headers().get("x-amz-bucket-region"));
            text.push_str(&self.other_region(region));
        }
        let refusal = |account| Refusal {
            status,
            code: error.code().map_or("", |_| code).to_owned(),
            account,
        };
        match (status, code) {
            // The SDK has set its clock from the `Date` of this answer.
            (_, "RequestTimeTooSkewed") => StoreError::StaleSignature(text),
            (_, code) if EXPIRED.contains(&code) => {
                self.credentials.replace(used).await;
                StoreError::StaleSignature(text)
            }
            // The answer to HEAD has no body, and so no code. AWS answers 400 to HEAD if the token
            // has expired.
            (400, "no code")
                if operation == "HeadObject" && self.credentials.replace(used).await =>
            {
                StoreError::StaleSignature(text)
            }
            (_, code) if REFUSED_KEYS.contains(&code) && self.credentials.replace(used).await => {
                StoreError::StaleSignature(text)
            }
            (429 | 500.., _) if status != 501 => StoreError::Unavailable(text),
            (409, "ConditionalRequestConflict" | "OperationAborted")
            | (_, "SlowDown" | "Throttling" | "RequestTimeout") => StoreError::Unavailable(text),
            (401 | 403, _) | (_, "NoSuchBucket") => StoreError::Denied(refusal(text)),
            (200..300, _) => StoreError::Unavailable(text), // The answer lacks what the SDK needs.
            _ => StoreError::Rejected(refusal(text)),
        }
    }
}

/// The code of S3 for what a store means. Garage has one code for a key that it does not know, a wrong secret and a
/// permission that is missing; only its message tells them apart (`src/api/common/signature/` in its source, and
/// `tests/garage`).
fn meant<'a>(code: &'a str, message: Option<&str>) -> &'a str {
    let says = |text: &str| message.is_some_and(|message| message.starts_with(text));
    match code {
        "AccessDenied" if says("Forbidden: No such key") => "InvalidAccessKeyId",
        "AccessDenied" if says("Forbidden: Invalid signature") => "SignatureDoesNotMatch",
        code => code,
    }
}

/// Codes of S3 and OSS for an expired token.
const EXPIRED: [&str; 3] = [
    "ExpiredToken",
    "SecurityTokenExpired",
    "TokenRefreshRequired",
];
/// Codes of S3 and OSS for an unknown key or token. The keys of a role become unknown if the role
/// changes.
const REFUSED_KEYS: [&str; 5] = [
    "InvalidAccessKeyId",
    "InvalidSecurityToken",
    "InvalidSecurity",
    "InvalidToken",
    "SecurityTokenNotSupported",
];

impl BucketStore {
    /// Names of the settings that have the keys of this store.
    fn key_settings(&self) -> &'static str {
        if self.scheme == "oss" {
            "ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and \
             ALIBABA_CLOUD_SECURITY_TOKEN"
        } else {
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        }
    }

    /// Advice about a likely cause that the answer does not name.
    fn hint(&self, operation: &str, status: u16, code: &str) -> Option<&'static str> {
        let is_put = operation == "PutObject" && self.profile != Profile::Basic;
        match (status, code) {
            _ if is_put && refuses_condition(status, code) => {
                Some("if the store does not know the condition, set ARCHIVE_PROFILE=basic")
            }
            (403, "AccessDenied") if operation == "GetObject" => Some(
                "without s3:ListBucket a store answers the same for an object that does not exist",
            ),
            (
                _,
                "PathStyleDomainForbidden" | "InvalidPathAccess" | "SecondLevelDomainForbidden",
            ) => Some("set AWS_S3_ADDRESSING_STYLE=virtual"),
            (_, "NoSuchBucket") => {
                Some("check ARCHIVE_URL, and AWS_S3_ADDRESSING_STYLE (path, virtual or domain)")
            }
            (_, "RequestTimeTooSkewed") => {
                Some("set the clock of this machine: the service does not take its time")
            }
            _ => None,
        }
    }
}

/// Advice if another service, a proxy or a log-in page answered.
pub(super) const NOT_S3: &str = "; check AWS_ENDPOINT_URL_S3 and ARCHIVE_URL, and what stands between: a proxy or \
                      a log-in page";

/// Whether the answer says that the bucket is in another region.
fn is_of_another_region(status: u16, code: &str) -> bool {
    matches!(status, 301 | 307 | 308)
        || matches!(
            code,
            "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException"
        )
}

impl BucketStore {
    /// Advice for a bucket in another region. `region` is the one that the store named.
    fn other_region(&self, region: Option<&str>) -> String {
        let setting = match self.scheme {
            "oss" => "?region= in ARCHIVE_URL",
            _ => "AWS_REGION",
        };
        let address = &self.address;
        match region {
            Some(region) => {
                let region = region.escape_debug();
                format!(
                    "; {address} does not serve this bucket: it is in {region}: set {setting} to \
                     that, and AWS_ENDPOINT_URL_S3 to that region's address or to none"
                )
            }
            None => format!(
                "; {address} does not serve this bucket: set {setting} to the bucket's region, and \
                 AWS_ENDPOINT_URL_S3 to that region's address"
            ),
        }
    }
}

/// Whether the store may have refused a PUT because of its condition.
pub fn may_refuse_condition(refusal: &Refusal) -> bool {
    refuses_condition(refusal.status, &refusal.code)
}

/// Stores that do not know the condition refuse it in one of these ways.
fn refuses_condition(status: u16, code: &str) -> bool {
    status == 501
        || matches!(status, 400 | 405)
            && matches!(
                code,
                "NotImplemented"
                    | "NotSupported"
                    | "InvalidRequest"
                    | "InvalidArgument"
                    | "MethodNotAllowed"
                    | "no code"
                    | ""
            )
}

pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Garage 2.5.0 answered.
    #[test]
    fn a_wrong_key_is_not_taken_for_a_missing_permission() {
        for (code, message, meant_code) in [
            (
                "AccessDenied",
                "Forbidden: No such key: GK0123456789abcdef01234568",
                "InvalidAccessKeyId",
            ),
            (
                "AccessDenied",
                "Forbidden: Invalid signature",
                "SignatureDoesNotMatch",
            ),
            (
                "AccessDenied",
                "Forbidden: Operation is not allowed for this key.",
                "AccessDenied",
            ),
            (
                "NoSuchKey",
                "Forbidden: No such key: consoles/i-a1/x",
                "NoSuchKey",
            ),
        ] {
            assert_eq!(meant(code, Some(message)), meant_code, "{message}");
        }
        assert_eq!(meant("AccessDenied", None), "AccessDenied");
    }
}
