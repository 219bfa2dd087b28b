//! Settings → where a secrets manager keeps a secret.

use url::Url;

use super::{Environment, Problems};
use crate::secrets::SecretAddress;
use crate::secrets::arn::{Manager, SecretArn};

/// The secret that the setting `name` means. Nothing is read here.
pub(super) fn address(
    name: &str,
    text: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<SecretAddress> {
    let arn: SecretArn = problems.note(name, text.parse())?;
    // The names of AWS's settings are those of the AWS SDKs.
    let settings: &[&'static str] = match arn.manager() {
        Manager::SecretsManager => &["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"],
        Manager::ParameterStore => &["AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"],
        Manager::Kms => &["KMS_ENDPOINT_URL"],
    };
    let public = format!("https://{}", arn.host());
    let endpoint = endpoint(settings, (name, &public), environment, problems)?;
    Some(SecretAddress { arn, endpoint })
}

/// The address of a service: that of the first of these settings that is set, or the public one, which
/// comes from another setting.
pub(super) fn endpoint(
    settings: &[&'static str],
    public: (&str, &str),
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Url> {
    let set = settings
        .iter()
        .find_map(|name| Some((*name, environment.get(name)?)));
    let (setting, text) = set.unwrap_or(public);
    problems.note(setting, bare_address(text))
}

fn bare_address(text: &str) -> Result<Url, &'static str> {
    let is_bare = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let url = Url::parse(text).ok().filter(is_bare);
    url.ok_or("expected an address with a scheme, a host and nothing behind it")
}
