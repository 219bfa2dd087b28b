//! AWS credentials of a person: profiles, SSO sessions, web identities, and the roles of containers
//! and instances. Only the command line uses them. A function has its credentials in the
//! environment.
//!
//! The crate `aws-config` reads the environment and `~/.aws`, in the same way as the AWS tools.

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError as AwsError;
use futures_util::FutureExt as _;
use jiff::Timestamp;

use super::{CredentialsError, Expiring};
use crate::clock::Clock;
use crate::http::answer::Expected;
use crate::model::credentials::{Credentials, Secret};

/// The default credentials chain of the AWS SDKs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsChain {
    /// Name of the profile, for messages.
    pub profile: String,
    /// Region of the services that issue credentials. The profile may set another.
    pub region: Option<String>,
}

impl AwsChain {
    /// Returns the first credentials of the chain.
    ///
    /// # Errors
    /// [`CredentialsError`] says what to do next, and where the chain looked.
    pub(super) async fn fetch(&self, http: &reqwest::Client) -> Result<Expiring, CredentialsError> {
        let region = self.region.clone().map(Region::new);
        let config = ProviderConfig::without_region()
            .with_http_client(crate::http::sdk_client(
                http.clone(),
                Clock::default(),
                |_| Expected::Any,
            ))
            .with_region(region.clone());
        let chain = DefaultCredentialsChain::builder()
            .configure(config)
            .region(region)
            .build()
            .boxed()
            .await;
        let found = chain.provide_credentials().boxed().await;
        let found = found.map_err(|error| self.explained(&error))?;
        let end = found.expiry().map(Timestamp::try_from);
        let found = Expiring {
            credentials: Credentials {
                access_key_id: found.access_key_id().to_owned(),
                access_key_secret: Secret::new(found.secret_access_key()),
                security_token: found.session_token().map(Secret::new),
            },
            expires_at: end.and_then(Result::ok),
        };
        found.usable(&format!("the AWS profile {:?} or its chain", self.profile))
    }

    fn explained(&self, error: &AwsError) -> CredentialsError {
        let cause = match error {
            AwsError::CredentialsNotLoaded(_) => String::new(),
            other => format!(" ({})", cause_of(other)),
        };
        let text = format!(
            "looked at (1) AWS_ACCESS_KEY_ID, (2) the profile {:?} in ~/.aws/config and \
             ~/.aws/credentials, (3) AWS_WEB_IDENTITY_TOKEN_FILE, (4) the role of the container, \
             (5) the role of the EC2 instance{cause}; set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or log in with `aws sso login`",
            self.profile
        );
        match error {
            AwsError::ProviderTimedOut(_) => CredentialsError::Unavailable(text),
            _ => CredentialsError::Refused(text),
        }
    }
}

/// The message of the innermost error. Replaces the output of a program, which may contain secrets.
fn cause_of(error: &AwsError) -> String {
    let cause = crate::http::innermost(error);
    if cause.contains("external process") || cause.to_ascii_lowercase().contains("stderr") {
        return "the profile's credential_process failed: run it by hand to see why".to_owned();
    }
    let cause: String = cause.chars().take(300).collect();
    cause.escape_debug().to_string()
}

/// Region of the current profile in `~/.aws/config`.
pub async fn profile_region() -> Option<String> {
    let region = ProfileFileRegionProvider::new().region().await;
    region.map(|region| region.to_string())
}
