//! Settings → where Alibaba Cloud credentials come from, in the order of the official SDKs: the
//! environment, OIDC, the CLI's profile, the credentials file, instance metadata, an address.

use std::path::PathBuf;

use url::Url;

use super::{Environment, Problems, aws_credentials, aws_region};
use crate::credentials::files::{Defaults, cli_profile, credentials_file, regional_sts};
use crate::credentials::source::{AwsIdentity, OidcToken, Role, Source};
use crate::credentials::{Credentials, Secret};

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const ROLE: &str = "ALIBABA_CLOUD_ROLE_ARN";
const OIDC_PROVIDER: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const OIDC_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const OIDC_AUDIENCE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE";
const SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";
const CREDENTIALS_FILE: &str = "ALIBABA_CLOUD_CREDENTIALS_FILE";
const CREDENTIALS_URI: &str = "ALIBABA_CLOUD_CREDENTIALS_URI";

/// What an assumed role's session may do here, whatever the role may: never more than the role.
const SESSION_POLICY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecs:GetInstanceConsoleOutput","ecs:DescribeInstances","ecs:DescribeRegions","oss:PutObject","oss:GetObject","oss:ListObjects","oss:DeleteObject"],"Resource":"*"}]}"#;

/// Where credentials for ECS and OSS come from. Nothing is fetched yet.
pub(super) fn alibaba(environment: &Environment, problems: &mut Problems) -> Option<Source> {
    let set = |name| environment.get(name).is_some();
    let defaults = defaults(environment, problems)?;
    let has_oidc = [OIDC_PROVIDER, OIDC_FILE, OIDC_AUDIENCE]
        .into_iter()
        .any(set);
    if set(KEY_ID) || set(KEY_SECRET) {
        let base = Source::Static(key(environment, problems)?);
        return match environment.get(ROLE) {
            Some(arn) if !has_oidc => Some(Source::AssumeRole {
                base: Box::new(base),
                role: role(arn, environment, problems, &defaults)?,
            }),
            _ => Some(base),
        };
    }
    if has_oidc || set(ROLE) {
        return oidc(environment, problems, &defaults);
    }
    if let Some(source) = from_files(environment, problems, &defaults) {
        return source;
    }
    let mut last = Vec::new();
    // Neither function host has instance metadata, and a wait for it would be in vain.
    let is_function = environment.is_function();
    if !is_function && !is_true(environment, "ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
        last.push(Source::Metadata {
            endpoint: defaults.metadata,
            role_name: environment
                .get("ALIBABA_CLOUD_ECS_METADATA")
                .map(str::to_owned),
            allows_v1: !is_true(environment, "ALIBABA_CLOUD_IMDSV1_DISABLED"),
        });
    }
    if let Some(text) = environment.get(CREDENTIALS_URI) {
        last.push(Source::Uri(address(CREDENTIALS_URI, text, problems)?));
    }
    if last.is_empty() && !environment.is_function_compute() {
        key(environment, problems)?; // Names what is missing.
    }
    // Function Compute may hand the role's keys over with each request, and in no other way.
    Some(Source::Chain(last))
}

fn key(environment: &Environment, problems: &mut Problems) -> Option<Credentials> {
    let hint = "the access key that may call ecs:GetInstanceConsoleOutput";
    let access_key_id = problems.required(environment, KEY_ID, hint);
    let hint = "the secret of ALIBABA_CLOUD_ACCESS_KEY_ID";
    let secret = problems.required(environment, KEY_SECRET, hint);
    Some(Credentials {
        access_key_id: access_key_id?,
        access_key_secret: Secret::new(secret?),
        security_token: environment
            .get("ALIBABA_CLOUD_SECURITY_TOKEN")
            .map(Secret::new),
    })
}

fn oidc(environment: &Environment, problems: &mut Problems, defaults: &Defaults) -> Option<Source> {
    let arn = problems.required(environment, ROLE, "the role to assume with an OIDC token");
    let hint = "the OIDC provider the role trusts";
    let provider_arn = problems.required(environment, OIDC_PROVIDER, hint);
    let token = match (environment.get(OIDC_FILE), environment.get(OIDC_AUDIENCE)) {
        (Some(path), None) => Some(OidcToken::File(path.into())),
        (None, Some(audience)) => aws_identity(audience, environment, problems).map(OidcToken::Aws),
        (None, None) => problems.note(
            OIDC_FILE,
            Err("not set; the file with the OIDC token, or set ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE for AWS's"),
        ),
        (Some(_), Some(_)) => problems.note(
            OIDC_AUDIENCE,
            Err("set together with ALIBABA_CLOUD_OIDC_TOKEN_FILE; a token comes from one of them"),
        ),
    };
    Some(Source::Oidc {
        provider_arn: provider_arn?,
        token: token?,
        role: role(&arn?, environment, problems, defaults)?,
    })
}

fn aws_identity(
    audience: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<AwsIdentity> {
    let credentials = aws_credentials(environment, problems);
    let region = aws_region(environment, problems);
    let endpoint_url = environment
        .get("AWS_ENDPOINT_URL_STS")
        .or(environment.get("AWS_ENDPOINT_URL"));
    Some(AwsIdentity {
        credentials: credentials?,
        region: region?,
        endpoint_url: endpoint_url.map(str::to_owned),
        audience: audience.to_owned(),
    })
}

fn role(
    arn: &str,
    environment: &Environment,
    problems: &mut Problems,
    defaults: &Defaults,
) -> Option<Role> {
    let is_arn = arn.starts_with("acs:ram::") && arn.contains(":role/");
    let why = "expected acs:ram::ACCOUNT:role/NAME";
    problems.note(ROLE, is_arn.then_some(()).ok_or(why))?;
    let policy = environment.get("ALIBABA_CLOUD_ROLE_SESSION_POLICY");
    Some(Role {
        arn: arn.to_owned(),
        session_name: defaults.session_name.clone(),
        session_policy: Some(policy.unwrap_or(SESSION_POLICY).to_owned()),
        external_id: environment
            .get("ALIBABA_CLOUD_ROLE_EXTERNAL_ID")
            .map(str::to_owned),
        sts: defaults.sts.clone(),
    })
}

/// `None` where there is no file; `Some(None)` for one that is wrong.
fn from_files(
    environment: &Environment,
    problems: &mut Problems,
    defaults: &Defaults,
) -> Option<Option<Source>> {
    let profile = environment.get("ALIBABA_CLOUD_PROFILE");
    let home = environment.get("HOME").map(PathBuf::from);
    let below_home = |path: &str| Some(home.as_ref()?.join(path));
    let cli_is_off = is_true(environment, "ALIBABA_CLOUD_CLI_PROFILE_DISABLED");
    let cli = below_home(".aliyun/config.json").filter(|path| !cli_is_off && path.exists());
    if let Some(path) = cli {
        let source = read(&path, |text| cli_profile(text, profile, defaults));
        return Some(problems.note("ALIBABA_CLOUD_PROFILE", source));
    }
    let named = environment.get(CREDENTIALS_FILE).map(PathBuf::from);
    let usual = || below_home(".alibabacloud/credentials.ini").filter(|path| path.exists());
    let path = named.or_else(usual)?;
    let source = read(&path, |text| credentials_file(text, profile, defaults));
    Some(problems.note(CREDENTIALS_FILE, source))
}

fn read(
    path: &std::path::Path,
    parse: impl Fn(&str) -> Result<Source, String>,
) -> Result<Source, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let source = text.and_then(|text| parse(&text));
    source.map_err(|error| format!("{}: {error}", path.display()))
}

fn defaults(environment: &Environment, problems: &mut Problems) -> Option<Defaults> {
    let prefix = if is_true(environment, "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED") {
        "sts-vpc"
    } else {
        "sts"
    };
    let sts = match (
        environment.get("STS_ENDPOINT_URL"),
        environment.get("ALIBABA_CLOUD_STS_REGION"),
    ) {
        (Some(text), _) => address("STS_ENDPOINT_URL", text, problems),
        (None, Some(region)) => {
            problems.note("ALIBABA_CLOUD_STS_REGION", regional_sts(prefix, region))
        }
        (None, None) => address("STS_ENDPOINT_URL", "https://sts.aliyuncs.com", problems),
    };
    let metadata = environment
        .get("ECS_METADATA_ENDPOINT_URL")
        .unwrap_or("http://100.100.100.200");
    let metadata = address("ECS_METADATA_ENDPOINT_URL", metadata, problems);
    let session_name = environment
        .get(SESSION_NAME)
        .unwrap_or(env!("CARGO_PKG_NAME"));
    let is_name = (2..=64).contains(&session_name.len())
        && session_name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".@-_".contains(&b));
    let why = "expected 2 to 64 letters, digits or .@-_";
    problems.note(SESSION_NAME, is_name.then_some(()).ok_or(why))?;
    Some(Defaults {
        sts: sts?,
        metadata: metadata?,
        session_name: session_name.to_owned(),
    })
}

fn address(name: &'static str, text: &str, problems: &mut Problems) -> Option<Url> {
    let url = Url::parse(text).ok();
    let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let why = "expected an address such as https://sts.aliyuncs.com";
    problems.note(name, url.filter(usable).ok_or(why))
}

fn is_true(environment: &Environment, name: &'static str) -> bool {
    environment
        .get(name)
        .is_some_and(|word| word.eq_ignore_ascii_case("true"))
}
