//! Calls to Alibaba Cloud's STS: assume a role, find out the account of credentials.

use jiff::Timestamp;
use url::Url;

use super::answer::Caller;
use super::fetch::{STS_TIMEOUT, answer_of};
use super::{CredentialsError, Expiring, answer};
use crate::alibaba::nonce;
use crate::alibaba::request::{RpcCall, SigningContext, sign};
use crate::alibaba::signature::{Parameter, SignatureVersion};
use crate::clock::iso_second;
use crate::model::credentials::{Credentials, Secret};

/// Version of the STS API.
const STS_VERSION: &str = "2015-04-01";
/// Default lifetime of a role's credentials, in seconds. STS rejects less than 900.
pub const ROLE_SECONDS: u32 = 3600;

/// A RAM role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// ARN: `acs:ram::{account}:role/{name}`.
    pub arn: String,
    /// Name of the session in the account's audit log.
    pub session_name: String,
    /// Policy as JSON that restricts the session further.
    pub session_policy: Option<String>,
    /// The external ID that the role's owner requires, so that nobody else's function can assume
    /// the role.
    pub external_id: Option<String>,
    /// Lifetime of the credentials, in seconds.
    pub seconds: u32,
    /// Address of STS.
    pub sts: Url,
}

/// Assumes a role with the credentials of `base`.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn assume_role(
    http: &reqwest::Client,
    role: &Role,
    base: &Credentials,
) -> Result<Expiring, CredentialsError> {
    let mut parameters = vec![
        ("DurationSeconds".to_owned(), role.seconds.to_string()),
        ("RoleArn".to_owned(), role.arn.clone()),
        ("RoleSessionName".to_owned(), role.session_name.clone()),
    ];
    let optional = [
        ("Policy", &role.session_policy),
        ("ExternalId", &role.external_id),
    ];
    for (name, value) in optional {
        parameters.extend(value.clone().map(|value| (name.to_owned(), value)));
    }
    let (status, body) = call(http, &role.sts, "AssumeRole", parameters, base).await?;
    answer::role(status, &body)
}

/// Returns whose credentials these are. The operation needs no permission
/// (`GetCallerIdentity`: "no authorization for this operation").
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn caller(
    http: &reqwest::Client,
    sts: &Url,
    credentials: &Credentials,
) -> Result<Caller, CredentialsError> {
    let (status, body) = call(http, sts, "GetCallerIdentity", Vec::new(), credentials).await?;
    answer::identity(status, &body)
}

/// Sends a signed call.
async fn call(
    http: &reqwest::Client,
    sts: &Url,
    action: &'static str,
    parameters: Vec<Parameter>,
    credentials: &Credentials,
) -> Result<(u16, Vec<u8>), CredentialsError> {
    let call = RpcCall {
        action,
        version: STS_VERSION,
        parameters,
    };
    let context = SigningContext {
        now: Timestamp::now(),
        nonce: nonce()
            .map_err(|error| CredentialsError::Unavailable(format!("no nonce: {error}")))?,
    };
    let signed = sign(&call, sts, SignatureVersion::Acs3, credentials, &context);
    let mut request = http.post(signed.url).header("content-length", "0");
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    answer_of(request.timeout(STS_TIMEOUT), "STS").await
}

/// Sends an unsigned call: the token identifies the caller. The token is in the body, because
/// addresses end up in logs.
pub(super) async fn assume_role_with_oidc(
    http: &reqwest::Client,
    role: &Role,
    provider_arn: &str,
    token: &Secret,
) -> Result<Expiring, CredentialsError> {
    let mut url = role.sts.clone();
    url.query_pairs_mut()
        .append_pair("Action", "AssumeRoleWithOIDC")
        .append_pair("Version", STS_VERSION)
        .append_pair("Format", "JSON")
        .append_pair("Timestamp", &iso_second(Timestamp::now()));
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(oidc_form(role, provider_arn, token))
        .timeout(STS_TIMEOUT);
    let (status, body) = answer_of(request, "STS").await?;
    answer::role(status, &body)
}

fn oidc_form(role: &Role, provider_arn: &str, token: &Secret) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("DurationSeconds", &role.seconds.to_string())
        .append_pair("OIDCProviderArn", provider_arn)
        .append_pair("OIDCToken", token.expose())
        .append_pair("RoleArn", &role.arn)
        .append_pair("RoleSessionName", &role.session_name);
    if let Some(policy) = &role.session_policy {
        form.append_pair("Policy", policy);
    }
    form.finish()
}
