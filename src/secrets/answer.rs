//! Answers of secrets managers → the secret, or why there is none. Pure. Nothing of a value is
//! quoted.
//!
//! Sources of AWS's errors: AWS, "GetSecretValue" and "GetParameter", sections "Errors". Of KMS's:
//! "Common error codes" and "Sample responses" of KMS; the codes that Alibaba Cloud's own clients retry
//! (aliyun-secretsmanager-client-go, `backoff_utils.go`).

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::SecretError;
use super::arn::{Manager, SecretArn};
use crate::aws::refused::{self, short};
use crate::model::credentials::Secret;
use crate::refusal::Refusal;

/// Longest value, in bytes: that of Secrets Manager.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// Why there is no secret, by a manager's own words.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    code: String,
    kind: Kind,
    account: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The time of the signature is wrong.
    Time,
    /// It may succeed later.
    Transient,
    Final,
    /// There is a value, which cannot be used.
    Value,
}

impl Refused {
    fn of_value(account: String) -> Self {
        Self {
            status: 200,
            code: String::new(),
            kind: Kind::Value,
            account,
        }
    }

    fn unreadable(status: u16, from: &str) -> Self {
        Self {
            status,
            code: String::new(),
            kind: Kind::Transient,
            account: format!("{from} answered {status} without a secret and without an error"),
        }
    }

    /// Whether another time in the signature may help.
    pub(super) fn is_about_time(&self) -> bool {
        self.kind == Kind::Time
    }

    /// The error for the caller.
    pub(super) fn into_error(self, arn: &SecretArn) -> SecretError {
        let account = format!("{} (asked for {arn})", self.account);
        match self.kind {
            Kind::Transient => SecretError::Unavailable(account),
            Kind::Value => SecretError::Unusable(account),
            Kind::Time | Kind::Final => SecretError::Refused(Refusal {
                status: self.status,
                code: self.code,
                account,
            }),
        }
    }
}

/// Answer of Secrets Manager.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct SecretsManagerAnswer {
    secret_string: Option<String>,
    secret_binary: Option<serde::de::IgnoredAny>,
}

/// Answer of Parameter Store.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ParameterStoreAnswer {
    parameter: Parameter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Parameter {
    value: Option<String>,
}

/// Answer of KMS.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct KmsAnswer {
    secret_data: Option<String>,
    secret_data_type: Option<String>,
}

/// An error of KMS.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct KmsError {
    code: String,
    message: String,
    request_id: String,
}

/// Reads an answer of AWS.
pub(super) fn of_aws(
    manager: Manager,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Secret, Refused> {
    let from = manager.name();
    let is_parameter = manager == Manager::ParameterStore;
    if status != 200 {
        return Err(aws_error(from, status, headers, body));
    }
    let unreadable = || Refused::unreadable(status, from);
    let value = if is_parameter {
        serde_json::from_slice::<ParameterStoreAnswer>(body)
            .map_err(|_| unreadable())?
            .parameter
            .value
    } else {
        let answer: SecretsManagerAnswer =
            serde_json::from_slice(body).map_err(|_| unreadable())?;
        if answer.secret_string.is_none() && answer.secret_binary.is_some() {
            return Err(binary(from));
        }
        answer.secret_string
    };
    bounded(from, value.ok_or_else(unreadable)?)
}

/// Reads an answer of KMS.
pub(super) fn of_kms(status: u16, body: &[u8]) -> Result<Secret, Refused> {
    let from = Manager::Kms.name();
    let answer: KmsAnswer = serde_json::from_slice(body).unwrap_or_default();
    match answer.secret_data {
        Some(_) if status == 200 && answer.secret_data_type.as_deref() == Some("binary") => {
            Err(binary(from))
        }
        Some(value) if status == 200 => bounded(from, value),
        _ => Err(kms_error(from, status, body)),
    }
}

fn binary(from: &str) -> Refused {
    Refused::of_value(format!("the secret in {from} is binary; store it as text"))
}

fn bounded(from: &str, value: String) -> Result<Secret, Refused> {
    if value.is_empty() || value.len() > MAX_VALUE_BYTES {
        let bytes = value.len();
        return Err(Refused::of_value(format!(
            "the secret in {from} has {bytes} bytes; expected 1 to {MAX_VALUE_BYTES}"
        )));
    }
    Ok(Secret::new(value))
}

fn aws_error(from: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> Refused {
    let refused = refused::Refused::read(status, headers, body);
    Refused {
        status,
        account: account(
            from,
            status,
            [&*refused.code, &refused.message, &refused.request_id],
        ),
        kind: kind(refused.is_about_time(), refused.is_transient()),
        code: refused.code,
    }
}

fn kms_error(from: &str, status: u16, body: &[u8]) -> Refused {
    let answer: KmsError = serde_json::from_slice(body).unwrap_or_default();
    let code = short(&answer.code);
    if status == 200 && code.is_empty() {
        return Refused::unreadable(status, from);
    }
    let is_about_time = code.starts_with("InvalidTimeStamp")
        || ["IllegalTimestamp", "RequestTimeTooSkewed"].contains(&code.as_str());
    let is_transient = status >= 500
        || status == 429
        || code.starts_with("Throttling")
        || [
            "Rejected.Throttling",
            "ServiceUnavailableTemporary",
            "InternalFailure",
            "SignatureNonceUsed",
        ]
        .contains(&code.as_str());
    Refused {
        status,
        account: account(
            from,
            status,
            [&*code, &short(&answer.message), &short(&answer.request_id)],
        ),
        kind: kind(is_about_time, is_transient),
        code,
    }
}

fn kind(is_about_time: bool, is_transient: bool) -> Kind {
    match (is_about_time, is_transient) {
        (true, _) => Kind::Time,
        (_, true) => Kind::Transient,
        _ => Kind::Final,
    }
}

/// What was answered, with those of these printable parts that there are.
fn account(from: &str, status: u16, parts: [&str; 3]) -> String {
    let mut text = format!("{from} answered {status}");
    for part in parts.iter().filter(|part| !part.is_empty()) {
        text.push(' ');
        text.push_str(part);
    }
    text
}

/// The part of a value that its ARN means: the whole, or a member of its JSON.
///
/// # Errors
/// [`SecretError::Unusable`] if there is no such member.
pub(super) fn member(value: Secret, arn: &SecretArn) -> Result<Secret, SecretError> {
    let Some(name) = arn.member() else {
        return Ok(value);
    };
    let unusable = |why: String| {
        let text = format!("the value of {} {why}", arn.as_str());
        Err(SecretError::Unusable(text))
    };
    // An error of `serde_json` is dropped, because it may quote the value.
    let Ok(Value::Object(mut members)) = serde_json::from_str(value.expose()) else {
        return unusable(format!("is not a JSON object, so it has no member {name}"));
    };
    match members.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Secret::new(text)),
        Some(object @ Value::Object(_)) => Ok(Secret::new(object.to_string())),
        Some(_) => unusable(format!(
            "has a member {name} that is empty, or is not a text"
        )),
        None => unusable(format!("has no member {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3";

    fn arn(member: &str) -> SecretArn {
        format!("{ARN}{member}").parse().unwrap()
    }

    fn headers(error_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !error_type.is_empty() {
            headers.insert("x-amzn-errortype", error_type.parse().unwrap());
        }
        headers
    }

    fn aws(manager: Manager, status: u16, body: &str) -> Result<Secret, SecretError> {
        of_aws(manager, status, &headers(""), body.as_bytes()).map_err(|r| r.into_error(&arn("")))
    }

    fn kms(status: u16, body: &str) -> Result<Secret, SecretError> {
        of_kms(status, body.as_bytes()).map_err(|r| r.into_error(&arn("")))
    }

    /// The first is of AWS's "GetSecretValue", the second of AWS's "GetParameter", the third of
    /// KMS's `GetSecretValue`.
    #[test]
    fn the_managers_own_samples_are_read() {
        let secrets_manager = r#"{"ARN":"arn:aws:secretsmanager:us-west-2:123456789012:secret:MyTestDatabaseSecret-a1b2c3",
            "CreatedDate":1.523477145713E9,"Name":"MyTestDatabaseSecret",
            "SecretString":"{\n  \"username\":\"david\",\n  \"password\":\"EXAMPLE-PASSWORD\"\n}\n",
            "VersionId":"EXAMPLE1-90ab-cdef-fedc-ba987SECRET1","VersionStages":["AWSPREVIOUS"]}"#;
        let read = aws(Manager::SecretsManager, 200, secrets_manager).unwrap();
        assert!(read.expose().contains("EXAMPLE-PASSWORD"));
        let parameter = r#"{"Parameter":{"ARN":"arn:aws:ssm:us-east-2:111122223333:parameter/MyGitHubPassword",
            "DataType":"text","LastModifiedDate":1582657288.8,"Name":"MyGitHubPassword",
            "Type":"SecureString","Value":"a-secret","Version":1}}"#;
        assert_eq!(
            aws(Manager::ParameterStore, 200, parameter)
                .unwrap()
                .expose(),
            "a-secret"
        );
        let of_kms = r#"{"SecretDataType":"text","CreateTime":"2024-02-21T15:39:26Z","VersionId":"v1",
            "SecretData":"testdata1","VersionStages":{"VersionStage":["ACSCurrent"]},"SecretName":"secret001",
            "SecretType":"Generic","RequestId":"6a3e9c36-1150-4881-84d3-eb8672fcafad"}"#;
        assert_eq!(kms(200, of_kms).unwrap().expose(), "testdata1");
    }

    #[track_caller]
    fn check(error: SecretError, kind: &str, said: &[&str]) {
        let found = match &error {
            SecretError::Unavailable(_) => "unavailable",
            SecretError::Refused(_) => "refused",
            SecretError::Unusable(_) => "unusable",
        };
        let text = error.to_string();
        assert_eq!(found, kind, "{text}");
        for said in said {
            assert!(text.contains(said), "{said:?} in {text}");
        }
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn a_refusal_says_its_code_in_every_form_and_whether_to_try_again() {
        for (body, error_type, kind, said) in [
            (
                r#"{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret."}"#,
                "",
                "refused",
                "ResourceNotFoundException Secrets Manager can\\'t find",
            ),
            (
                r#"{"__type":"com.amazonaws.secretsmanager#AccessDeniedException","message":"not authorized"}"#,
                "",
                "refused",
                "400 AccessDeniedException not authorized",
            ),
            (
                r#"{"Message":"Access to KMS is not allowed"}"#,
                "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.coral.service/",
                "refused",
                "AccessDeniedException Access to KMS",
            ),
            (
                r#"{"__type":"ParameterNotFound"}"#,
                "",
                "refused",
                "ParameterNotFound",
            ),
            (
                r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
                "",
                "unavailable",
                "Rate",
            ),
            (
                r#"{"__type":"InternalServiceError"}"#,
                "",
                "unavailable",
                "InternalServiceError",
            ),
            (
                "<html>\u{1b}</html>",
                "",
                "refused",
                "answered 400 (asked for arn:",
            ),
        ] {
            let refused = of_aws(
                Manager::SecretsManager,
                400,
                &headers(error_type),
                body.as_bytes(),
            );
            check(refused.unwrap_err().into_error(&arn("")), kind, &[said]);
        }
        for (status, code, kind) in [
            (404, "Forbidden.ResourceNotFound", "refused"),
            (403, "Forbidden.NoPermission", "refused"),
            (400, "Rejected.Throttling", "unavailable"),
            (503, "ServiceUnavailableTemporary", "unavailable"),
            (500, "", "unavailable"),
            (200, "", "unavailable"),
        ] {
            let body = format!(
                r#"{{"HttpStatus":{status},"Code":"{code}","Message":"as told","RequestId":"r-1"}}"#
            );
            let said = if code.is_empty() { "answered" } else { code };
            check(kms(status, &body).unwrap_err(), kind, &[said]);
        }
    }

    #[test]
    fn only_a_wrong_time_is_worth_another_signature() {
        for (code, message, is_about_time) in [
            (
                "InvalidSignatureException",
                "Signature expired: 20200101T000000Z is now earlier",
                true,
            ),
            (
                "InvalidSignatureException",
                "Signature not yet current: …",
                true,
            ),
            (
                "InvalidSignatureException",
                "The request signature we calculated does not match",
                false,
            ),
            ("RequestExpired", "", true),
            ("AccessDeniedException", "", false),
        ] {
            let body = format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
            let refused = of_aws(Manager::ParameterStore, 400, &headers(""), body.as_bytes());
            assert_eq!(
                refused.unwrap_err().is_about_time(),
                is_about_time,
                "{body}"
            );
        }
        for (code, is_about_time) in [("IllegalTimestamp", true), ("InvalidParameter", false)] {
            let body = format!(r#"{{"Code":"{code}"}}"#);
            let refused = of_kms(400, body.as_bytes());
            assert_eq!(refused.unwrap_err().is_about_time(), is_about_time);
        }
    }

    #[test]
    fn an_answer_without_a_usable_value_is_not_taken_and_not_quoted() {
        for (body, kind, said) in [
            ("", "unavailable", "without a secret"),
            ("<html>hush</html>", "unavailable", "without a secret"),
            ("{}", "unavailable", "without a secret"),
            (r#"{"SecretString":7}"#, "unavailable", "without a secret"),
            (r#"{"SecretString":""}"#, "unusable", "0 bytes"),
            (
                r#"{"SecretBinary":"aHVzaA=="}"#,
                "unusable",
                "store it as text",
            ),
        ] {
            check(
                aws(Manager::SecretsManager, 200, body).unwrap_err(),
                kind,
                &[said],
            );
        }
        let long = format!(
            r#"{{"SecretString":"{}"}}"#,
            "h".repeat(MAX_VALUE_BYTES + 1)
        );
        check(
            aws(Manager::SecretsManager, 200, &long).unwrap_err(),
            "unusable",
            &["65537 bytes"],
        );
        let binary = r#"{"SecretData":"aHVzaA==","SecretDataType":"binary"}"#;
        check(
            kms(200, binary).unwrap_err(),
            "unusable",
            &["store it as text"],
        );
    }

    #[test]
    fn a_member_of_a_json_value_can_be_meant() {
        let value = || Secret::new(r#"{"token":"hush-token","key":{"a":"b"},"n":1,"empty":""}"#);
        assert_eq!(
            member(value(), &arn("#token")).unwrap().expose(),
            "hush-token"
        );
        assert_eq!(
            member(value(), &arn("#key")).unwrap().expose(),
            r#"{"a":"b"}"#
        );
        assert_eq!(member(value(), &arn("")).unwrap(), value());
        for (name, said) in [
            ("#other", "has no member other"),
            ("#n", "n that is empty, or is not a text"),
            ("#empty", "that is empty"),
        ] {
            check(
                member(value(), &arn(name)).unwrap_err(),
                "unusable",
                &[said, ARN],
            );
        }
        for text in ["hush", "[\"hush\"]", "\"hush\"", "{\"token\": hush}"] {
            let refused = member(Secret::new(text), &arn("#token")).unwrap_err();
            check(refused, "unusable", &["is not a JSON object"]);
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>, error_type in "[ -~]{0,40}") {
            let headers = headers(&error_type);
            let _ = of_aws(Manager::SecretsManager, status, &headers, &body);
            let _ = of_aws(Manager::ParameterStore, status, &headers, &body);
            let _ = of_kms(status, &body);
        }
    }
}
