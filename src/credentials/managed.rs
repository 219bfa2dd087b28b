//! Keys and tokens that a secrets manager keeps: reads them with other credentials.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::source::{Means, Source};
use super::{CredentialsError, Expiring};
use crate::model::credentials::{Credentials, Secret};
use crate::refusal::Refusal;
use crate::secrets::{self, SecretAddress, SecretError};

/// A secret that a secrets manager keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedSecret {
    /// The secret.
    pub address: SecretAddress,
    /// Credentials that may read it.
    pub reader: Source,
}

impl ManagedSecret {
    /// Reads the secret. Makes one attempt.
    ///
    /// # Errors
    /// [`SecretError`] says what to do next.
    pub(super) fn read<'a>(
        &'a self,
        means: Means<'a>,
    ) -> BoxFuture<'a, Result<Secret, SecretError>> {
        async move {
            let credentials = self.reader.fetch(means).await.map_err(without_reader)?;
            secrets::get(means.http, &self.address, &credentials.credentials).await
        }
        .boxed()
    }

    /// Reads the secret as an access key. Makes one attempt.
    ///
    /// # Errors
    /// [`CredentialsError`] says what to do next.
    pub(super) async fn access_key(&self, means: Means<'_>) -> Result<Expiring, CredentialsError> {
        let value = self.read(means).await.map_err(|error| match error {
            SecretError::Unavailable(why) => CredentialsError::Unavailable(why),
            SecretError::Refused(refusal) => CredentialsError::Refused(refusal.to_string()),
            SecretError::Unusable(why) => CredentialsError::Unusable(why),
        })?;
        let arn = &self.address.arn;
        let key = access_key(&value).map_err(|why| {
            CredentialsError::Unusable(format!("the value of {arn} is not an access key: {why}"))
        })?;
        key.usable(&arn.to_string())
    }
}

fn without_reader(error: CredentialsError) -> SecretError {
    match error {
        CredentialsError::Unavailable(_) => SecretError::Unavailable(error.to_string()),
        CredentialsError::Refused(_) | CredentialsError::Unusable(_) => {
            SecretError::Refused(Refusal {
                status: 0,
                code: String::new(),
                account: error.to_string(),
            })
        }
    }
}

/// Reads an access key from the value of a secret: a JSON object in the form of this program, of
/// KMS, or of an STS answer. The case of members and underscores in them do not count.
///
/// Source of KMS's form: `AccessKeyInfo` in aliyun-sdk-managed-credentials-providers-go. Its
/// `ExpireTimestamp` and `GenerateTimestamp` have no documented form, and the value is read again
/// every few minutes anyway.
///
/// # Errors
/// Why it is not one, without a part of it.
pub fn access_key(value: &Secret) -> Result<Expiring, String> {
    // An error of `serde_json` is dropped, because it may quote the value.
    let Ok(Value::Object(members)) = serde_json::from_str(value.expose()) else {
        return Err("it is not a JSON object with access_key_id and access_key_secret".to_owned());
    };
    let required = |name: &str| {
        let found = text(&members, &[name]);
        found.ok_or_else(|| format!("it has no member {name}, or that is empty"))
    };
    let token = text(&members, &["security_token", "sts_token"]);
    let expiration = text(&members, &["expiration"]);
    Ok(Expiring {
        credentials: Credentials {
            access_key_id: required("access_key_id")?.to_owned(),
            access_key_secret: Secret::new(required("access_key_secret")?),
            security_token: token.map(Secret::new),
        },
        // An expiration in another form counts as unknown. The service refuses expired keys anyway.
        expires_at: expiration.and_then(|text| text.parse().ok()),
    })
}

fn text<'a>(members: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let is_one = |given: &String| names.iter().any(|name| plain(name) == plain(given));
    let (_, value) = members.iter().find(|(given, _)| is_one(given))?;
    value.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_is_read_in_every_form() {
        for value in [
            r#"{"access_key_id":"LTAI5t","access_key_secret":"hush-s"}"#,
            r#"{"AccessKeyId":"LTAI5t","AccessKeySecret":"hush-s",
                "ExpireTimestamp":"1700000000000","GenerateTimestamp":"1690000000000"}"#,
            r#"{"accessKeyId":"LTAI5t","accessKeySecret":"hush-s","security_token":""}"#,
        ] {
            let key = access_key(&Secret::new(value)).unwrap();
            assert_eq!(key.credentials.access_key_id, "LTAI5t");
            assert_eq!(key.credentials.access_key_secret.expose(), "hush-s");
            assert_eq!(
                (key.credentials.security_token, key.expires_at),
                (None, None)
            );
        }
        let temporary = r#"{"AccessKeyId":"STS.a","AccessKeySecret":"hush-s","SecurityToken":"hush-t",
            "Expiration":"2023-10-26T16:22:32Z"}"#;
        let key = access_key(&Secret::new(temporary)).unwrap();
        assert_eq!(key.credentials.security_token.unwrap().expose(), "hush-t");
        assert_eq!(key.expires_at, "2023-10-26T16:22:32Z".parse().ok());
    }

    #[test]
    fn what_is_no_access_key_is_refused_and_not_quoted() {
        for (value, said) in [
            ("hush", "not a JSON object"),
            ("[\"hush\"]", "not a JSON object"),
            (r#"{"access_key_id": hush}"#, "not a JSON object"),
            (r#"{"access_key_secret":"hush"}"#, "no member access_key_id"),
            (
                r#"{"access_key_id":"hush","access_key_secret":""}"#,
                "no member access_key_secret",
            ),
            (
                r#"{"access_key_id":"hush","access_key_secret":7}"#,
                "no member access_key_secret",
            ),
        ] {
            let why = access_key(&Secret::new(value)).unwrap_err();
            assert!(why.contains(said) && !why.contains("hush"), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_values_never_panic(value: String) {
            let _ = access_key(&Secret::new(value));
        }
    }
}
