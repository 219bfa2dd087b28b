//! Answers of token services → credentials. Pure.

use jiff::Timestamp;
use serde::Deserialize;

use super::{CredentialsError, Expiring};
use crate::aws::refused::short;
use crate::model::credentials::{Credentials, Secret};
use crate::model::ids::AccountId;

/// Answer to `AssumeRole` and `AssumeRoleWithOIDC`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleAnswer {
    credentials: KeyAnswer,
}

/// The members of the keys, which STS and the metadata service share. `Code` is only in the
/// metadata service's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct KeyAnswer {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Option<Timestamp>,
    code: Option<String>,
}

/// Answer to `GetCallerIdentity`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdentityAnswer {
    account_id: AccountId,
    #[serde(default)]
    arn: String,
}

/// Whose credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account_id: AccountId,
    /// ARN of the user, or of the role's session. Empty if STS did not name it.
    pub arn: String,
}

/// Output of a program in the mode External, in the form that credentials-go reads.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Printed {
    mode: String,
    access_key_id: String,
    access_key_secret: String,
    sts_token: String,
    expiration: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorAnswer {
    code: String,
    message: String,
    request_id: String,
}

/// Reads the credentials in an answer of STS.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub fn role(status: u16, body: &[u8]) -> Result<Expiring, CredentialsError> {
    if status != 200 {
        return Err(refusal("STS", status, body));
    }
    let answer: RoleAnswer = serde_json::from_slice(body)
        .map_err(|_| CredentialsError::Unavailable("the answer of STS is not readable".into()))?;
    keys("STS", answer.credentials)
}

/// Reads from an answer of STS whose credentials they are.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub fn identity(status: u16, body: &[u8]) -> Result<Caller, CredentialsError> {
    if status != 200 {
        return Err(refusal("STS", status, body));
    }
    let answer: IdentityAnswer = serde_json::from_slice(body)
        .map_err(|_| CredentialsError::Unavailable("the answer of STS names no account".into()))?;
    Ok(Caller {
        account_id: answer.account_id,
        arn: answer.arn,
    })
}

/// Reads the credentials that the program `from` printed. Errors quote nothing of it.
///
/// # Errors
/// [`CredentialsError::Refused`] if it is not valid output of the mode AK or StsToken.
pub fn printed(from: &str, text: &[u8]) -> Result<Expiring, CredentialsError> {
    let refused = |what: &str| {
        let text = format!("the program {from} printed {what}");
        CredentialsError::Refused(text)
    };
    let printed: Printed = serde_json::from_slice(text)
        .map_err(|_| refused("text that is not in the format of the mode External"))?;
    match printed.mode.as_str() {
        "" | "AK" | "StsToken" => {}
        mode => {
            let mode = short(mode);
            return Err(refused(&format!("the mode {mode}; print AK or StsToken")));
        }
    }
    let is_temporary = printed.mode == "StsToken";
    if printed.access_key_id.is_empty()
        || printed.access_key_secret.is_empty()
        || is_temporary && printed.sts_token.is_empty()
    {
        return Err(refused("an incomplete key"));
    }
    let token = Some(printed.sts_token).filter(|token| !token.is_empty());
    let fetched = Expiring {
        credentials: Credentials {
            access_key_id: printed.access_key_id,
            access_key_secret: Secret::new(printed.access_key_secret),
            security_token: token.map(Secret::new),
        },
        // An expiration in another form counts as unknown. The service refuses expired keys anyway.
        expires_at: printed.expiration.parse().ok(),
    };
    fetched.usable(&format!("the program {from}"))
}

/// Reads an answer of the metadata service or of a credentials URI. `from` names the source in
/// errors.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub fn metadata(from: &str, status: u16, body: &[u8]) -> Result<Expiring, CredentialsError> {
    if status != 200 {
        return Err(refusal(from, status, body));
    }
    let answer: KeyAnswer = serde_json::from_slice(body).map_err(|_| not_whole(from))?;
    match answer.code.as_deref() {
        None | Some("" | "Success") => keys(from, answer),
        Some(code) => {
            let text = format!("{from} answered {}", short(code));
            Err(CredentialsError::Refused(text))
        }
    }
}

fn not_whole(from: &str) -> CredentialsError {
    CredentialsError::Unavailable(format!("the answer of {from} has no complete key"))
}

/// Builds credentials. An empty member counts as missing.
fn keys(from: &str, answer: KeyAnswer) -> Result<Expiring, CredentialsError> {
    let members = [
        &answer.access_key_id,
        &answer.access_key_secret,
        &answer.security_token,
    ];
    if members.iter().any(|member| member.is_empty()) || answer.expiration.is_none() {
        return Err(not_whole(from));
    }
    let fetched = Expiring {
        credentials: Credentials {
            access_key_id: answer.access_key_id,
            access_key_secret: Secret::new(answer.access_key_secret),
            security_token: Some(Secret::new(answer.security_token)),
        },
        expires_at: answer.expiration,
    };
    fetched.usable(from)
}

fn refusal(from: &str, status: u16, body: &[u8]) -> CredentialsError {
    let answer: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
    let mut text = format!("{from} answered {status}");
    for part in [&answer.code, &answer.message, &answer.request_id] {
        if !part.is_empty() {
            text.push_str(&format!(" {}", short(part)));
        }
    }
    if status >= 500 || status == 429 || answer.code.starts_with("Throttling") {
        CredentialsError::Unavailable(text)
    } else {
        CredentialsError::Refused(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = r#""AccessKeyId":"STS.a","AccessKeySecret":"hush-s","SecurityToken":"hush-t",
        "Expiration":"2023-10-26T16:22:32Z""#;

    #[test]
    fn keys_and_their_end_are_read() {
        let sts = format!(r#"{{"RequestId":"R","AssumedRoleUser":{{}},"Credentials":{{{KEYS}}}}}"#);
        let imds = format!(r#"{{{KEYS},"LastUpdated":"x","Code":"Success"}}"#);
        let uri = format!("{{{KEYS}}}");
        for read in [
            role(200, sts.as_bytes()),
            metadata("m", 200, imds.as_bytes()),
            metadata("m", 200, uri.as_bytes()),
        ] {
            let read = read.unwrap();
            assert_eq!(read.credentials.access_key_id, "STS.a");
            assert_eq!(read.credentials.access_key_secret.expose(), "hush-s");
            assert_eq!(read.credentials.security_token.unwrap().expose(), "hush-t");
            assert_eq!(read.expires_at, "2023-10-26T16:22:32Z".parse().ok());
        }
    }

    #[test]
    fn refusals_say_what_the_service_says_and_whether_to_try_again() {
        let body =
            br#"{"RequestId":"R-1","Code":"EntityNotExist.Role","Message":"no such\u001b role"}"#;
        let error = role(404, body).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, CredentialsError::Refused(_)), "{text}");
        assert!(
            text.contains("EntityNotExist.Role no such\\u{1b} role R-1"),
            "{text}"
        );
        for (status, body) in [
            (503, ""),
            (429, "{}"),
            (400, r#"{"Code":"Throttling.User"}"#),
        ] {
            let error = role(status, body.as_bytes()).unwrap_err();
            assert!(matches!(error, CredentialsError::Unavailable(_)), "{error}");
        }
        let failed = br#"{"Code":"Failed","AccessKeyId":"","AccessKeySecret":"","SecurityToken":"","Expiration":"2023-10-26T16:22:32Z"}"#;
        assert!(matches!(
            metadata("m", 200, failed),
            Err(CredentialsError::Refused(_))
        ));
    }

    #[test]
    fn partial_answers_are_not_taken_and_never_quoted() {
        for body in [
            "",
            "{}",
            r#"{"AccessKeyId":"STS.a","AccessKeySecret":"hush"}"#,
            r#"{"AccessKeyId":"STS.a","AccessKeySecret":"hush","SecurityToken":"",
                "Expiration":"2023-10-26T16:22:32Z"}"#,
            "<html/>",
        ] {
            for error in [
                role(200, body.as_bytes()),
                metadata("m", 200, body.as_bytes()),
            ] {
                let error = error.unwrap_err();
                assert!(matches!(error, CredentialsError::Unavailable(_)), "{error}");
                assert!(!error.to_string().contains("hush"), "{error}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>) {
            let _ = (role(status, &body), metadata("m", status, &body));
        }
    }
}
