//! The files other tools keep credentials in → [`Source`].

use std::path::Path;

use configparser::ini::{Ini, IniDefault};
use serde_json::{Map, Value};
use url::Url;

use super::source::{OidcToken, Role, Source};
use super::{Credentials, Secret};

/// What files do not say themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Where STS is.
    pub sts: Url,
    /// Where the metadata service is.
    pub metadata: Url,
    /// Name of sessions that are given no other.
    pub session_name: String,
}

/// Profiles that assume a role from one another, at most.
const MAX_PROFILES: usize = 8;

/// Reads `~/.aliyun/config.json`, the CLI's. `profile` is its current one without it.
///
/// # Errors
/// What is wrong with it, for a person; no secret is quoted.
pub fn cli_profile(
    json: &str,
    profile: Option<&str>,
    defaults: &Defaults,
) -> Result<Source, String> {
    let config: Value = serde_json::from_str(json).map_err(|error| format!("{error}"))?;
    let current = profile.or(config["current"].as_str());
    let name = current.ok_or("it names no current profile")?;
    cli_profile_named(&config, name, defaults, MAX_PROFILES)
}

fn cli_profile_named(
    config: &Value,
    name: &str,
    defaults: &Defaults,
    depth: usize,
) -> Result<Source, String> {
    let profiles = config["profiles"].as_array();
    let named = |profile: &&Value| profile["name"].as_str() == Some(name);
    let profile = profiles.into_iter().flatten().find(named);
    let profile = profile.and_then(Value::as_object);
    let profile = profile.ok_or_else(|| format!("it has no profile {name:?}"))?;
    let text = |member: &str| member_of(profile, member);
    let required =
        |member: &str| text(member).ok_or_else(|| format!("profile {name:?} has no {member}"));
    let role = || {
        let sts = match text("sts_region") {
            Some(region) => regional_sts("sts", &region)?,
            None => defaults.sts.clone(),
        };
        Ok::<_, String>(Role {
            arn: required("ram_role_arn")?,
            session_name: text("ram_session_name").unwrap_or(defaults.session_name.clone()),
            session_policy: None,
            external_id: text("external_id"),
            sts,
        })
    };
    match text("mode").as_deref().unwrap_or("AK") {
        "AK" => Ok(Source::Static(keys(&required)?)),
        "StsToken" => Ok(Source::Static(Credentials {
            security_token: Some(Secret::new(required("sts_token")?)),
            ..keys(&required)?
        })),
        "RamRoleArn" => Ok(Source::AssumeRole {
            base: Box::new(Source::Static(Credentials {
                security_token: text("sts_token").map(Secret::new),
                ..keys(&required)?
            })),
            role: role()?,
        }),
        "EcsRamRole" => Ok(Source::Metadata {
            endpoint: defaults.metadata.clone(),
            role_name: text("ram_role_name"),
            allows_v1: true,
        }),
        "OIDC" => Ok(Source::Oidc {
            provider_arn: required("oidc_provider_arn")?,
            token: OidcToken::File(required("oidc_token_file")?.into()),
            role: role()?,
        }),
        "ChainableRamRoleArn" if depth == 0 => Err(format!("profile {name:?} is its own source")),
        "ChainableRamRoleArn" => {
            let source = required("source_profile")?;
            let base = cli_profile_named(config, &source, defaults, depth - 1)?;
            Ok(Source::AssumeRole {
                base: Box::new(base),
                role: role()?,
            })
        }
        mode => Err(format!(
            "profile {name:?} has the mode {mode:?}, which is not supported here: use AK, \
             StsToken, RamRoleArn, EcsRamRole, OIDC or ChainableRamRoleArn"
        )),
    }
}

fn member_of(profile: &Map<String, Value>, member: &str) -> Option<String> {
    let text = profile.get(member)?.as_str()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn keys(required: &impl Fn(&str) -> Result<String, String>) -> Result<Credentials, String> {
    Ok(Credentials {
        access_key_id: required("access_key_id")?,
        access_key_secret: Secret::new(required("access_key_secret")?),
        security_token: None,
    })
}

/// `https://{prefix}.{region}.aliyuncs.com`.
///
/// # Errors
/// When the text cannot be a region.
pub fn regional_sts(prefix: &str, region: &str) -> Result<Url, String> {
    let region = crate::ids::RegionId::parse(region).map_err(|error| error.to_string())?;
    Url::parse(&format!("https://{prefix}.{region}.aliyuncs.com"))
        .map_err(|error| error.to_string())
}

/// Reads `credentials.ini`, the SDKs'. `profile` is `default` without it.
///
/// # Errors
/// What is wrong with it, for a person; no secret is quoted.
pub fn credentials_file(
    ini: &str,
    profile: Option<&str>,
    defaults: &Defaults,
) -> Result<Source, String> {
    let name = profile.unwrap_or("default");
    let mut settings = IniDefault::default();
    settings.case_sensitive = true;
    settings.delimiters = vec!['='];
    settings.inline_comment_symbols = Some(Vec::new()); // A secret may have any sign in it.
    let mut file = Ini::new_from_defaults(settings);
    // The parser's words quote lines, and lines have secrets.
    file.read(ini.to_owned())
        .map_err(|_| "it is no INI file".to_owned())?;
    if !file.sections().iter().any(|section| section == name) {
        return Err(format!("it has no section [{name}]"));
    }
    let text = |key: &str| file.get(name, key).filter(|text| !text.is_empty());
    let required = |key: &str| text(key).ok_or_else(|| format!("section [{name}] has no {key}"));
    let role = || {
        Ok::<_, String>(Role {
            arn: required("role_arn")?,
            session_name: text("role_session_name").unwrap_or(defaults.session_name.clone()),
            session_policy: text("policy"),
            external_id: text("external_id"),
            sts: defaults.sts.clone(),
        })
    };
    match required("type")?.as_str() {
        "access_key" => Ok(Source::Static(keys(&required)?)),
        "sts" => Ok(Source::Static(Credentials {
            security_token: Some(Secret::new(required("security_token")?)),
            ..keys(&required)?
        })),
        "ram_role_arn" => Ok(Source::AssumeRole {
            base: Box::new(Source::Static(keys(&required)?)),
            role: role()?,
        }),
        "oidc_role_arn" => Ok(Source::Oidc {
            provider_arn: required("oidc_provider_arn")?,
            token: OidcToken::File(Path::new(&required("oidc_token_file_path")?).into()),
            role: role()?,
        }),
        "ecs_ram_role" => Ok(Source::Metadata {
            endpoint: defaults.metadata.clone(),
            role_name: text("role_name"),
            allows_v1: true,
        }),
        other => Err(format!(
            "section [{name}] has the type {other:?}, which is not supported here: use access_key, \
             sts, ram_role_arn, oidc_role_arn or ecs_ram_role"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            sts: Url::parse("https://sts.aliyuncs.com").unwrap(),
            metadata: Url::parse("http://100.100.100.200").unwrap(),
            session_name: "archiver".into(),
        }
    }

    fn describe(source: &Source) -> String {
        match source {
            Source::Static(keys) => {
                let token = keys
                    .security_token
                    .as_ref()
                    .map_or("", |token| token.expose());
                format!(
                    "{}/{}/{token}",
                    keys.access_key_id,
                    keys.access_key_secret.expose()
                )
            }
            Source::AssumeRole { base, role } => format!(
                "{} as {} in {} at {}",
                describe(base),
                role.arn,
                role.session_name,
                role.sts
            ),
            Source::Oidc {
                provider_arn,
                token,
                role,
            } => {
                format!("{provider_arn} {token:?} {}", role.arn)
            }
            Source::Metadata { role_name, .. } => format!("metadata {role_name:?}"),
            other => format!("{other:?}"),
        }
    }

    const CLI: &str = r#"{"current": "main", "profiles": [
        {"name": "main", "mode": "AK", "access_key_id": "a", "access_key_secret": "s"},
        {"name": "sts", "mode": "StsToken", "access_key_id": "a", "access_key_secret": "s",
         "sts_token": "t"},
        {"name": "role", "mode": "RamRoleArn", "access_key_id": "a", "access_key_secret": "s",
         "ram_role_arn": "r", "ram_session_name": "n", "sts_region": "cn-beijing"},
        {"name": "ecs", "mode": "EcsRamRole", "ram_role_name": "r"},
        {"name": "oidc", "mode": "OIDC", "ram_role_arn": "r", "oidc_provider_arn": "p",
         "oidc_token_file": "/f"},
        {"name": "chain", "mode": "ChainableRamRoleArn", "source_profile": "main",
         "ram_role_arn": "r2"},
        {"name": "ring", "mode": "ChainableRamRoleArn", "source_profile": "ring",
         "ram_role_arn": "r"},
        {"name": "part", "mode": "AK", "access_key_id": "a"},
        {"name": "sso", "mode": "CloudSSO"}]}"#;

    #[test]
    fn every_mode_of_the_cli_is_read_or_refused_by_name() {
        for (profile, source) in [
            (None, "a/s/"),
            (Some("sts"), "a/s/t"),
            (
                Some("role"),
                "a/s/ as r in n at https://sts.cn-beijing.aliyuncs.com/",
            ),
            (Some("ecs"), "metadata Some(\"r\")"),
            (Some("oidc"), "p File(\"/f\") r"),
            (
                Some("chain"),
                "a/s/ as r2 in archiver at https://sts.aliyuncs.com/",
            ),
        ] {
            let read = cli_profile(CLI, profile, &defaults()).unwrap();
            assert_eq!(describe(&read), source, "{profile:?}");
        }
        for (profile, message) in [
            ("ring", "is its own source"),
            ("part", "\"part\" has no access_key_secret"),
            ("sso", "the mode \"CloudSSO\""),
            ("none", "no profile \"none\""),
        ] {
            let error = cli_profile(CLI, Some(profile), &defaults()).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        assert!(cli_profile("{", None, &defaults()).is_err());
        assert!(
            cli_profile("{}", None, &defaults())
                .unwrap_err()
                .contains("current")
        );
    }

    const INI: &str = "[default]\ntype = access_key\naccess_key_id = a\naccess_key_secret = s\n\
        [role]\ntype = ram_role_arn\naccess_key_id = a\naccess_key_secret = s\nrole_arn = r\n\
        [oidc]\ntype = oidc_role_arn\nrole_arn = r\noidc_provider_arn = p\n\
        oidc_token_file_path = /f\n[ecs]\ntype = ecs_ram_role\n[part]\ntype = ram_role_arn\n\
        access_key_id = a\n[rsa]\ntype = rsa_key_pair\n";

    #[test]
    fn every_type_of_the_credentials_file_is_read_or_refused_by_name() {
        for (profile, source) in [
            (None, "a/s/"),
            (
                Some("role"),
                "a/s/ as r in archiver at https://sts.aliyuncs.com/",
            ),
            (Some("oidc"), "p File(\"/f\") r"),
            (Some("ecs"), "metadata None"),
        ] {
            let read = credentials_file(INI, profile, &defaults()).unwrap();
            assert_eq!(describe(&read), source, "{profile:?}");
        }
        for (profile, message) in [
            ("part", "[part] has no access_key_secret"),
            ("rsa", "\"rsa_key_pair\""),
            ("none", "no section [none]"),
        ] {
            let error = credentials_file(INI, Some(profile), &defaults()).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn debug_of_a_source_shows_no_secret() {
        let source = cli_profile(CLI, Some("sts"), &defaults()).unwrap();
        assert!(!format!("{source:?}").contains("\"s\""), "{source:?}");
    }
}
