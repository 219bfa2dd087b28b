//! Checks of secrets that a secrets manager keeps.

use std::time::Duration;

use super::advice;
use super::{Check, Verdict};
use crate::credentials::{CredentialsProvider, ManagedSecret, access_key};
use crate::intake::webhook::tokens;
use crate::model::credentials::Secret;
use crate::retry::{Deadline, retry};

pub(super) const ACCESS_KEY: &str = "secret: access key";
pub(super) const WEBHOOK_TOKEN: &str = "secret: webhook token";

/// Reads a secret, and checks that its value is what the setting needs.
pub(super) async fn examine(
    name: &'static str,
    secret: &ManagedSecret,
    http: &reqwest::Client,
    time: Duration,
) -> Check {
    let provider = CredentialsProvider::new(secret.reader.clone(), http.clone());
    let read = || provider.read_secret(secret);
    let value = match retry(Deadline::after(time), "reading the secret", read).await {
        Ok(value) => value,
        Err(error) => {
            return Check::new(name, Verdict::Failed, error.to_string())
                .advise(advice::secret(&error, &secret.address));
        }
    };
    let arn = &secret.address.arn;
    match content(name, &value) {
        Ok(content) => Check::ok(
            name,
            format!("{content} in {arn}, read with the credentials of this machine"),
        ),
        Err(why) => Check::new(name, Verdict::Failed, format!("the value of {arn}: {why}"))
            .advise("store another value, or name the right member of it behind the ARN (#MEMBER)"),
    }
}

/// What the value is, without a secret part of it.
fn content(name: &str, value: &Secret) -> Result<String, String> {
    if name == WEBHOOK_TOKEN {
        let count = tokens::parse_value(value)?.len();
        let plural = if count == 1 { "token" } else { "tokens" };
        return Ok(format!("{count} {plural}"));
    }
    let key = access_key(value)?.credentials;
    let unusable = |(part, error)| format!("the {part}: {error}");
    key.check().map_err(unusable)?;
    Ok(format!("the access key {}", key.access_key_id))
}
