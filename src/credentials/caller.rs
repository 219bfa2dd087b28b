//! Who this process is on AWS.

use super::source::{Means, Source};
use super::{CredentialsError, CredentialsProvider, aws};

/// AWS credentials, and where AWS STS says whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCaller {
    /// Credentials that sign the request. On AWS Lambda, those of the function's role.
    pub credentials: Source,
    /// Region of AWS STS.
    pub region: String,
    /// Address of AWS STS. `None` for AWS's own.
    pub endpoint_url: Option<String>,
}

impl AwsCaller {
    /// Asks AWS STS: the ARN of the user, or of the role's session. `provider` has the HTTP client.
    /// Makes one attempt.
    ///
    /// # Errors
    /// [`CredentialsError`] says what to do next.
    pub async fn arn(&self, provider: &CredentialsProvider) -> Result<String, CredentialsError> {
        let http = provider.http();
        let means = Means { http, handed: None };
        let credentials = self.credentials.fetch(means).await?.credentials;
        let endpoint_url = self.endpoint_url.as_deref();
        aws::caller(&self.region, endpoint_url, &credentials, http).await
    }
}
