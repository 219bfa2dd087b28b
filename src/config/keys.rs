//! Settings → the source of Alibaba Cloud credentials. The order is that of the official SDKs:
//! environment, OIDC, the CLI's profile, the credentials file, instance metadata, credentials URI.

use std::path::{Path, PathBuf};

use super::{Environment, Problems, aws_credentials, aws_region, secrets};
use crate::credentials::files::{Defaults, Found, address, credentials_file, regional_sts};
use crate::credentials::profile::{cli_profile, cli_region};
use crate::credentials::source::{AwsIdentity, OidcToken, Place, ROLE_SECONDS, Role, Source};
use crate::credentials::{Identity, ManagedSecret};
use crate::model::credentials::{Credentials, Secret};
use crate::model::ids::{AccountId, RegionId};
use crate::secrets::arn::SecretArn;

/// The setting of an access key that a secrets manager keeps.
const KEY_ARN: &str = "ALIBABA_CLOUD_ACCESS_KEY_ARN";
const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const ROLE: &str = "ALIBABA_CLOUD_ROLE_ARN";
const OIDC_PROVIDER: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const OIDC_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const OIDC_AUDIENCE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE";
const SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";
const CREDENTIALS_FILE: &str = "ALIBABA_CLOUD_CREDENTIALS_FILE";
const CREDENTIALS_URI: &str = "ALIBABA_CLOUD_CREDENTIALS_URI";
const PROFILE: &str = "ALIBABA_CLOUD_PROFILE";
const REGION: &str = "ALIBABA_CLOUD_REGION_ID";
const METADATA_ROLE: &str = "ALIBABA_CLOUD_ECS_METADATA";
const METADATA_ENDPOINT: &str = "ECS_METADATA_ENDPOINT_URL";

/// Session policy of an assumed role. It limits the session to what this program needs, even if the
/// role may do more.
const SESSION_POLICY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecs:GetInstanceConsoleOutput","ecs:GetInstanceScreenshot","ecs:DescribeInstances","ecs:DescribeRegions","oss:PutObject","oss:GetObject","oss:ListObjects","oss:DeleteObject"],"Resource":"*"}]}"#;

/// Session policy of a role that only reads a secret.
const READER_POLICY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["kms:GetSecretValue","kms:Decrypt"],"Resource":"*"}]}"#;

/// Session policy of a role that only invokes a function.
#[cfg(feature = "cli")]
const INVOKER_POLICY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"fc:InvokeFunction","Resource":"*"}]}"#;

/// The source of the credentials that invoke a function of this account. The session of a role is one
/// of its own, because the session for consoles may not invoke functions. A policy in
/// `ALIBABA_CLOUD_ROLE_SESSION_POLICY` counts for it, too.
#[cfg(feature = "cli")]
pub(super) fn invoker(
    account_id: &AccountId,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Source> {
    let mut source = alibaba(environment, problems)?;
    if let Source::AssumeRole { role, .. } | Source::Oidc { role, .. } = &mut source
        && role.session_policy.as_deref() == Some(SESSION_POLICY)
    {
        role.session_policy = Some(INVOKER_POLICY.to_owned());
    }
    Some(source.of_account(account_id))
}

/// The source of the credentials for ECS and OSS. Nothing is fetched here.
pub(super) fn alibaba(environment: &Environment, problems: &mut Problems) -> Option<Source> {
    let defaults = defaults(environment, problems)?;
    let base = match environment.get(KEY_ARN) {
        Some(text) => managed(text, environment, problems)?,
        None => unmanaged(environment, problems, &defaults)?,
    };
    match environment.get(ROLE) {
        Some(arn) if !has_oidc(environment) => Some(Source::AssumeRole {
            base: Box::new(base),
            role: role(arn, environment, problems, &defaults)?,
        }),
        _ => Some(base),
    }
}

fn has_oidc(environment: &Environment) -> bool {
    [OIDC_PROVIDER, OIDC_FILE, OIDC_AUDIENCE]
        .into_iter()
        .any(|name| environment.get(name).is_some())
}

/// The key that a secrets manager keeps.
fn managed(text: &str, environment: &Environment, problems: &mut Problems) -> Option<Source> {
    // Function Compute sets the variables of a key itself, if the function has a role.
    let other = [KEY_ID, KEY_SECRET]
        .into_iter()
        .find(|name| environment.get(name).is_some() && !environment.is_function_compute());
    if let Some(other) = other {
        let why = format!(
            "set together with {other}; the access key comes from one of them: unset the other"
        );
        return problems.note(KEY_ARN, Err(why));
    }
    let address = secrets::address(KEY_ARN, text, environment, problems)?;
    let reader = if address.arn.manager().is_aws() {
        aws_credentials(environment, problems)?
    } else {
        kms_reader(&address.arn, environment, problems)?
    };
    Some(Source::Managed(Box::new(ManagedSecret { address, reader })))
}

/// Another secret that the setting `name` means, with the credentials that read it. A key that AWS
/// keeps may read a secret of KMS.
pub(super) fn secret(
    name: &str,
    text: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<ManagedSecret> {
    let address = secrets::address(name, text, environment, problems)?;
    let key = environment.get(KEY_ARN);
    let reader = if address.arn.manager().is_aws() {
        aws_credentials(environment, problems)?
    } else if let Some(key) = key.filter(|key| key.starts_with("arn:")) {
        managed(key, environment, problems)?
    } else {
        kms_reader(&address.arn, environment, problems)?
    };
    Some(ManagedSecret { address, reader })
}

/// Credentials that may read a secret of KMS: those that would be used without a secrets manager,
/// before a role is assumed with them. The session of a role that trusts an OIDC provider is one of
/// its own, because the session for consoles may not read secrets.
fn kms_reader(
    arn: &SecretArn,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Source> {
    let defaults = defaults(environment, problems)?;
    let mut reader = unmanaged(environment, problems, &defaults)?;
    if let Source::Oidc { role, .. } = &mut reader {
        role.session_policy = Some(READER_POLICY.to_owned());
    }
    Some(reader.of_account(arn.account_id()))
}

/// The source of the credentials without a secrets manager, before a role is assumed with them.
fn unmanaged(
    environment: &Environment,
    problems: &mut Problems,
    defaults: &Defaults,
) -> Option<Source> {
    let set = |name| environment.get(name).is_some();
    let base = if set(KEY_ID) || set(KEY_SECRET) {
        Source::Static(key(environment, "", problems)?)
    } else if has_oidc(environment) {
        return oidc(environment, problems, defaults);
    } else {
        let mut places = Vec::new();
        match from_files(environment, problems, defaults, &mut places)? {
            Some(source) => source,
            None => elsewhere(environment, problems, defaults, places)?,
        }
    };
    // The host passes fresh credentials with each request. Its variables have older ones.
    Some(match base {
        base if !environment.is_function_compute() => base,
        Source::Chain(mut places) => {
            places.insert(0, Place::Set(Source::Host));
            Source::Chain(places)
        }
        base => Source::Chain(vec![Place::Set(Source::Host), Place::Set(base)]),
    })
}

/// Region of instances whose events name none: from the setting, or from the CLI's profile. `None`
/// for an invalid region, `Some(None)` if there is none.
pub(super) fn default_region(
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Option<RegionId>> {
    if let Some(text) = environment.get(REGION) {
        return problems.note(REGION, RegionId::parse(text)).map(Some);
    }
    let Some(path) = cli_file(environment) else {
        return Some(None);
    };
    // A broken file only matters if the credentials come from it, and reading them reports it.
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Some(None);
    };
    let region = cli_region(&text, environment.get(PROFILE));
    if region.is_err() && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
        return Some(None);
    }
    problems.note(REGION, region.map_err(|error| in_file(&path, &error)))
}

/// How to find out the account of the credentials, from the settings.
pub(super) fn identity(environment: &Environment, problems: &mut Problems) -> Option<Identity> {
    let account_id = environment.get("FC_ACCOUNT_ID");
    Some(Identity {
        sts: defaults(environment, problems)?.sts,
        // The platform sets this variable, so an unusable value must not prevent the start.
        host_account: account_id.and_then(|text| AccountId::parse(text).ok()),
    })
}

/// The sources after the files, in their order. `places` has the ones before them.
fn elsewhere(
    environment: &Environment,
    problems: &mut Problems,
    defaults: &Defaults,
    mut places: Vec<Place>,
) -> Option<Source> {
    let empty = |why: &str| Place::Empty(why.to_owned());
    let role_name = environment.get(METADATA_ROLE).map(str::to_owned);
    places.push(match &defaults.metadata {
        None => empty("ALIBABA_CLOUD_ECS_METADATA_DISABLED is true"),
        // Neither function host has instance metadata, so waiting for it would be in vain.
        Some(_) if environment.is_function() => empty("a function has no instance metadata"),
        Some(endpoint) => {
            let is_named = role_name.is_some();
            let source = Source::Metadata {
                endpoint: endpoint.clone(),
                role_name,
                allows_v1: defaults.allows_metadata_v1,
            };
            if is_named {
                Place::Set(source)
            } else {
                Place::Guess(source)
            }
        }
    });
    places.push(match environment.get(CREDENTIALS_URI) {
        Some(text) => Place::Set(Source::Uri(problems.note(CREDENTIALS_URI, address(text))?)),
        None => empty("ALIBABA_CLOUD_CREDENTIALS_URI is not set"),
    });
    let is_empty = |place: &Place| matches!(place, Place::Empty(_));
    // Function Compute may pass the role's keys with each request only.
    if places.iter().all(is_empty) && !environment.is_function_compute() {
        if environment.get(ROLE).is_some() {
            // The role is set without a key, so the problems name what an OIDC token needs.
            return oidc(environment, problems, defaults);
        }
        let whys: Vec<_> = places.iter().filter_map(Place::why).collect();
        key(
            environment,
            &format!("; looked at: {}", whys.join(", ")),
            problems,
        )?;
    }
    places.insert(0, empty("ALIBABA_CLOUD_ACCESS_KEY_ID is not set"));
    places.insert(1, empty("ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not set"));
    Some(Source::Chain(places))
}

/// Reads the key. `also` lists the other places where keys were looked for.
fn key(environment: &Environment, also: &str, problems: &mut Problems) -> Option<Credentials> {
    let hint = format!("the access key that may call ecs:GetInstanceConsoleOutput{also}");
    let access_key_id = problems.required(environment, KEY_ID, &hint);
    let hint = "the secret of ALIBABA_CLOUD_ACCESS_KEY_ID";
    let secret = problems.required(environment, KEY_SECRET, hint);
    let parts = [KEY_ID, KEY_SECRET].map(|name| problems.key_part(environment, name));
    let token = problems.key_part(environment, "ALIBABA_CLOUD_SECURITY_TOKEN")?;
    if parts.contains(&None) {
        return None;
    }
    Some(Credentials {
        access_key_id: access_key_id?,
        access_key_secret: Secret::new(secret?),
        security_token: token.map(Secret::new),
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
        credentials: Box::new(credentials?),
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
    let parts: Vec<_> = arn.splitn(5, ':').collect();
    let is_arn = match parts[..] {
        ["acs", "ram", "", account, resource] => {
            (account == "{account}" || AccountId::parse(account).is_ok())
                && resource
                    .strip_prefix("role/")
                    .is_some_and(|name| !name.is_empty())
        }
        _ => false,
    };
    let why = "expected acs:ram::ACCOUNT:role/NAME, with an account ID or {account}";
    problems.note(ROLE, is_arn.then_some(()).ok_or(why))?;
    let policy = environment.get("ALIBABA_CLOUD_ROLE_SESSION_POLICY");
    Some(Role {
        arn: arn.to_owned(),
        session_name: defaults.session_name.clone(),
        session_policy: Some(policy.unwrap_or(SESSION_POLICY).to_owned()),
        external_id: environment
            .get("ALIBABA_CLOUD_ROLE_EXTERNAL_ID")
            .map(str::to_owned),
        seconds: ROLE_SECONDS,
        sts: defaults.sts.clone(),
    })
}

/// `None` for an invalid file, `Some(None)` if no file has keys. Then `places` has the reasons.
fn from_files(
    environment: &Environment,
    problems: &mut Problems,
    defaults: &Defaults,
    places: &mut Vec<Place>,
) -> Option<Option<Source>> {
    let profile = environment.get(PROFILE);
    let mut lacks_profile = Vec::new();
    let files: [(&str, Option<PathBuf>, &str, Reader); 2] = [
        (
            PROFILE,
            cli_file(environment),
            "~/.aliyun/config.json",
            cli_profile,
        ),
        (
            CREDENTIALS_FILE,
            sdk_file(environment),
            "~/.alibabacloud/credentials.ini",
            credentials_file,
        ),
    ];
    for (name, path, usual, reader) in files {
        let Some(path) = path else {
            places.push(Place::Empty(format!("there is no {usual}")));
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let found = text.and_then(|text| reader(&text, profile, defaults));
        let found = found.map_err(|error| in_file(&path, &error));
        let why = match problems.note(name, found)? {
            Found::Source(source) => return Some(Some(source.of_file(&path))),
            Found::Nothing(why) => in_file(&path, &why),
            Found::NoProfile(why) => {
                lacks_profile.push(in_file(&path, &why));
                in_file(&path, &why)
            }
        };
        places.push(Place::Empty(why));
    }
    if profile.is_some() && !lacks_profile.is_empty() {
        return problems.note(PROFILE, Err(lacks_profile.join("; ")));
    }
    Some(None)
}

type Reader = fn(&str, Option<&str>, &Defaults) -> Result<Found, String>;

fn in_file(path: &Path, what: &str) -> String {
    format!("{}: {what}", path.display())
}

fn below_home(environment: &Environment, path: &str) -> Option<PathBuf> {
    let path = Path::new(environment.get("HOME")?).join(path);
    path.exists().then_some(path)
}

fn cli_file(environment: &Environment) -> Option<PathBuf> {
    let is_off = is_true(environment, "ALIBABA_CLOUD_CLI_PROFILE_DISABLED");
    below_home(environment, ".aliyun/config.json").filter(|_| !is_off)
}

/// credentials-go reads the name without an extension, and the other SDKs read the one with it.
fn sdk_file(environment: &Environment) -> Option<PathBuf> {
    let named = environment.get(CREDENTIALS_FILE).map(PathBuf::from);
    named
        .or_else(|| below_home(environment, ".alibabacloud/credentials.ini"))
        .or_else(|| below_home(environment, ".alibabacloud/credentials"))
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
        (Some(text), _) => problems.note("STS_ENDPOINT_URL", address(text)),
        (None, Some(region)) => {
            problems.note("ALIBABA_CLOUD_STS_REGION", regional_sts(prefix, region))
        }
        (None, None) => problems.note("STS_ENDPOINT_URL", address("https://sts.aliyuncs.com")),
    };
    let metadata = environment
        .get(METADATA_ENDPOINT)
        .unwrap_or("http://100.100.100.200");
    let metadata = problems.note(METADATA_ENDPOINT, address(metadata));
    let is_off = is_true(environment, "ALIBABA_CLOUD_ECS_METADATA_DISABLED");
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
        metadata: Some(metadata?).filter(|_| !is_off),
        allows_metadata_v1: !is_true(environment, "ALIBABA_CLOUD_IMDSV1_DISABLED"),
        session_name: session_name.to_owned(),
    })
}

fn is_true(environment: &Environment, name: &'static str) -> bool {
    environment
        .get(name)
        .is_some_and(|word| word.eq_ignore_ascii_case("true"))
}
