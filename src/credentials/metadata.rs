//! Credentials of the ECS instance's role, from its metadata service.

use std::time::Duration;

use reqwest::Method;
use url::Url;

use super::fetch::answer_of;
use super::{CredentialsError, Expiring, answer};
use crate::model::credentials::Secret;

/// The metadata service is on the same machine. If it is there, it answers within this time.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// Lifetime of a metadata token, in seconds.
const METADATA_TOKEN_SECONDS: &str = "21600";
const METADATA: &str = "the ECS metadata service";

/// Returns the role's credentials. Without `role_name`, asks for the name first.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn credentials(
    http: &reqwest::Client,
    endpoint: &Url,
    role_name: Option<&str>,
    allows_v1: bool,
) -> Result<Expiring, CredentialsError> {
    let token = metadata_token(http, endpoint).await;
    let token = match token {
        Ok(token) => Some(token),
        Err(_) if allows_v1 => None,
        Err(error) => return Err(error),
    };
    let get = |path: String| {
        let request = metadata_request(http, endpoint, Method::GET, &path)?;
        Ok(match &token {
            Some(token) => request.header("x-aliyun-ecs-metadata-token", token.expose()),
            None => request,
        })
    };
    let folder = "/latest/meta-data/ram/security-credentials/";
    let role_name = match role_name {
        Some(name) => name.to_owned(),
        None => {
            let (status, body) = answer_of(get(folder.to_owned())?, METADATA).await?;
            let name = String::from_utf8_lossy(&body).trim().to_owned();
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if status != 200 || name.is_empty() || !name.chars().all(is_name) {
                let text = format!("{METADATA} names no role for this instance (status {status})");
                return Err(CredentialsError::Refused(text));
            }
            name
        }
    };
    let (status, body) = answer_of(get(format!("{folder}{role_name}"))?, METADATA).await?;
    answer::metadata(METADATA, status, &body)
}

async fn metadata_token(
    http: &reqwest::Client,
    endpoint: &Url,
) -> Result<Secret, CredentialsError> {
    let request = metadata_request(http, endpoint, Method::PUT, "/latest/api/token")?.header(
        "x-aliyun-ecs-metadata-token-ttl-seconds",
        METADATA_TOKEN_SECONDS,
    );
    match answer_of(request, METADATA).await? {
        (200, body) => Ok(Secret::new(String::from_utf8_lossy(&body).trim())),
        (status, _) => Err(CredentialsError::Refused(format!(
            "{METADATA} gives no token (status {status})"
        ))),
    }
}

fn metadata_request(
    http: &reqwest::Client,
    endpoint: &Url,
    method: Method,
    path: &str,
) -> Result<reqwest::RequestBuilder, CredentialsError> {
    let url = endpoint.join(path);
    let url = url.map_err(|error| CredentialsError::Refused(format!("{METADATA}: {error}")))?;
    Ok(http.request(method, url).timeout(METADATA_TIMEOUT))
}
