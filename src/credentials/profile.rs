//! The `aliyun` CLI's `~/.aliyun/config.json` → [`Source`]. Pure.
//!
//! The modes and members are those of aliyun-cli's `config/profile.go` and of credentials-go's
//! `providers/cli_profile.go`.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Expiring;
use super::command::Command;
use super::files::{Defaults, Found, address, key_part, regional_sts};
use super::source::{OidcToken, ROLE_SECONDS, Role, Source};
use crate::model::credentials::{Credentials, Secret};
use crate::model::ids::RegionId;

/// Reads credentials from the file. `profile` selects the profile; the default is the file's
/// current one.
///
/// # Errors
/// Says what is wrong, without quoting secrets.
pub fn cli_profile(
    json: &str,
    profile: Option<&str>,
    defaults: &Defaults,
) -> Result<Found, String> {
    let Some((config, name)) = named(json, profile)? else {
        return Ok(Found::Nothing("no profile is set".to_owned()));
    };
    if find(&config, &name).is_none() {
        return Ok(Found::NoProfile(format!("there is no profile {name:?}")));
    }
    read(&config, &name, defaults, &mut Vec::new())
}

/// Reads the profile's region.
///
/// # Errors
/// If the text is not a region.
pub fn cli_region(json: &str, profile: Option<&str>) -> Result<Option<RegionId>, String> {
    let Some((config, name)) = named(json, profile)? else {
        return Ok(None);
    };
    let region = find(&config, &name).and_then(|profile| text(profile, "region_id"));
    let region = region.map(|region| RegionId::parse(&region)).transpose();
    region.map_err(|error| format!("profile {name:?}: region_id: {error}"))
}

/// The parsed file and the name of the selected profile. `None` if the file has no current profile
/// yet.
fn named(json: &str, profile: Option<&str>) -> Result<Option<(Value, String)>, String> {
    let json = json.trim_start_matches('\u{feff}');
    if json.trim().is_empty() {
        return Ok(None);
    }
    let config: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let config_object = config.as_object().ok_or("it is not a JSON object")?;
    let current = text(config_object, "current");
    let name = profile.map(str::to_owned).or(current);
    Ok(name.map(|name| (config, name)))
}

fn find<'a>(config: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    let profiles = config["profiles"].as_array().into_iter().flatten();
    let mut profiles = profiles.filter_map(Value::as_object);
    profiles.find(|profile| profile.get("name").and_then(Value::as_str) == Some(name))
}

/// Reads a text. An empty member counts as missing.
fn text(profile: &Map<String, Value>, member: &str) -> Option<String> {
    let text = profile.get(member)?.as_str()?.trim();
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// Reads a number. The CLI writes 0 for an unknown value.
fn number(profile: &Map<String, Value>, member: &str) -> Option<i64> {
    profile.get(member)?.as_i64().filter(|number| *number > 0)
}

/// The members that a mode needs. A profile with none of them counts as empty: the CLI creates an
/// empty one with mode AK.
fn members(mode: &str) -> &'static [&'static str] {
    const KEYS: [&str; 3] = ["access_key_id", "access_key_secret", "sts_token"];
    match mode {
        "AK" | "StsToken" => &KEYS,
        "CloudSSO" => &[KEYS[0], KEYS[1], KEYS[2], "cloud_sso_sign_in_url"],
        "OAuth" => &[
            KEYS[0],
            KEYS[1],
            KEYS[2],
            "oauth_site_type",
            "oauth_access_token",
        ],
        "RamRoleArn" => &[KEYS[0], KEYS[1], KEYS[2], "ram_role_arn"],
        "ChainableRamRoleArn" => &["source_profile", "ram_role_arn"],
        "RamRoleArnWithRoleName" => &["ram_role_name", "ram_role_arn"],
        "OIDC" => &["oidc_provider_arn", "oidc_token_file", "ram_role_arn"],
        "External" => &["process_command"],
        "CredentialsURI" => &["credentials_uri"],
        // These need no member, or are rejected by name.
        _ => &["mode"],
    }
}

/// The mode of a profile that has none, determined as in the CLI.
fn recognized(profile: &Map<String, Value>) -> &'static str {
    let has = |member: &str| text(profile, member).is_some();
    match () {
        () if has("sts_token") => "StsToken",
        () if has("access_key_id") && has("ram_role_arn") => "RamRoleArn",
        () if has("access_key_id") => "AK",
        () if has("ram_role_name") => "EcsRamRole",
        () if has("process_command") => "External",
        () if has("oidc_provider_arn") => "OIDC",
        () if has("cloud_sso_sign_in_url") => "CloudSSO",
        () => "AK",
    }
}

/// Reads a profile. `above` are the profiles that refer to it.
fn read(
    config: &Value,
    name: &str,
    defaults: &Defaults,
    above: &mut Vec<String>,
) -> Result<Found, String> {
    let profile = find(config, name).ok_or_else(|| format!("there is no profile {name:?}"))?;
    let text = |member: &str| text(profile, member);
    let required =
        |member: &str| text(member).ok_or_else(|| format!("profile {name:?} has no {member}"));
    let named_mode = text("mode");
    let mode = named_mode.as_deref().unwrap_or(recognized(profile));
    if !members(mode).iter().any(|member| text(member).is_some()) {
        let why = format!("profile {name:?} is empty (mode {mode})");
        return Ok(Found::Nothing(why));
    }
    let role = || role(name, profile, defaults);
    let instance = || defaults.instance(text("ram_role_name"));
    let source = match mode {
        "AK" => Source::Static(keys(&required)?),
        "StsToken" => Source::Static(Credentials {
            security_token: Some(Secret::new(key_part(&required, "sts_token")?)),
            ..keys(&required)?
        }),
        "RamRoleArn" => Source::AssumeRole {
            base: Box::new(Source::Static(Credentials {
                security_token: match text("sts_token") {
                    Some(_) => Some(Secret::new(key_part(&required, "sts_token")?)),
                    None => None,
                },
                ..keys(&required)?
            })),
            role: role()?,
        },
        "EcsRamRole" => instance()?,
        "RamRoleArnWithRoleName" => Source::AssumeRole {
            base: Box::new(instance()?),
            role: role()?,
        },
        "OIDC" => Source::Oidc {
            provider_arn: required("oidc_provider_arn")?,
            token: OidcToken::File(required("oidc_token_file")?.into()),
            role: role()?,
        },
        "ChainableRamRoleArn" => Source::AssumeRole {
            base: Box::new(source_profile(config, name, &required, defaults, above)?),
            role: role()?,
        },
        "External" => {
            let command = Command::parse(&required("process_command")?);
            let wrong = |error| format!("profile {name:?}: process_command: {error}");
            Source::Command(command.map_err(wrong)?)
        }
        "CredentialsURI" => {
            let uri = address(&required("credentials_uri")?);
            Source::Uri(uri.map_err(|e| format!("profile {name:?}: credentials_uri: {e}"))?)
        }
        "CloudSSO" | "OAuth" => session(mode, name, profile, &required)?,
        mode => {
            return Err(format!(
                "profile {name:?} has the mode {mode:?}, which is not supported here: use AK, \
                 StsToken, RamRoleArn, EcsRamRole, RamRoleArnWithRoleName, ChainableRamRoleArn, \
                 OIDC, External, CredentialsURI, CloudSSO or OAuth"
            ));
        }
    };
    let source = source.of_part(&format!("the profile {name:?}"));
    Ok(Found::Source(Box::new(source)))
}

fn source_profile(
    config: &Value,
    name: &str,
    required: &impl Fn(&str) -> Result<String, String>,
    defaults: &Defaults,
    above: &mut Vec<String>,
) -> Result<Source, String> {
    let source = required("source_profile")?;
    above.push(name.to_owned());
    if above.contains(&source) {
        let way = above.join(" -> ");
        return Err(format!(
            "profile {source:?} is its own source ({way} -> {source})"
        ));
    }
    match read(config, &source, defaults, above)? {
        Found::Source(source) => Ok(*source),
        Found::Nothing(why) | Found::NoProfile(why) => {
            Err(format!("profile {name:?} has a source without keys: {why}"))
        }
    }
}

fn keys(required: &impl Fn(&str) -> Result<String, String>) -> Result<Credentials, String> {
    Ok(Credentials {
        access_key_id: key_part(required, "access_key_id")?,
        access_key_secret: Secret::new(key_part(required, "access_key_secret")?),
        security_token: None,
    })
}

fn role(name: &str, profile: &Map<String, Value>, defaults: &Defaults) -> Result<Role, String> {
    let text = |member: &str| text(profile, member);
    let arn = text("ram_role_arn");
    let is_in_vpc = profile.get("enable_vpc").and_then(Value::as_bool) == Some(true);
    let sts = match text("sts_region") {
        Some(region) if is_in_vpc => regional_sts("sts-vpc", &region)?,
        Some(region) => regional_sts("sts", &region)?,
        None => defaults.sts.clone(),
    };
    let seconds = number(profile, "expired_seconds").and_then(|seconds| seconds.try_into().ok());
    Ok(Role {
        arn: arn.ok_or_else(|| format!("profile {name:?} has no ram_role_arn"))?,
        session_name: text("ram_session_name").unwrap_or(defaults.session_name.clone()),
        session_policy: text("policy"),
        external_id: text("external_id"),
        seconds: seconds.unwrap_or(ROLE_SECONDS),
        sts,
    })
}

/// The tokens that the CLI keeps for a person's session. The CLI renews them. This program cannot.
fn session(
    mode: &str,
    name: &str,
    profile: &Map<String, Value>,
    required: &impl Fn(&str) -> Result<String, String>,
) -> Result<Source, String> {
    let login = format!("log in again with `aliyun configure --mode {mode} --profile {name}`");
    let has_none = text(profile, "access_key_id").is_none();
    if has_none {
        return Err(format!("profile {name:?} ({mode}) has no session: {login}"));
    }
    let end = number(profile, "sts_expiration").and_then(|end| Timestamp::from_second(end).ok());
    Ok(Source::Cached {
        keys: Expiring {
            credentials: Credentials {
                security_token: Some(Secret::new(key_part(required, "sts_token")?)),
                ..keys(required)?
            },
            expires_at: end,
        },
        renewal: format!("the session of profile {name:?} ({mode}) has expired: {login}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::{defaults, describe};
    use super::*;

    const CLI: &str = r#"{"current": "main", "profiles": [
        {"name": "main", "mode": "AK", "access_key_id": "a", "access_key_secret": "s"},
        {"name": "sts", "mode": "StsToken", "access_key_id": "a", "access_key_secret": "s",
         "sts_token": "t"},
        {"name": "role", "mode": "RamRoleArn", "access_key_id": "a", "access_key_secret": "s",
         "ram_role_arn": "r", "ram_session_name": "n", "sts_region": "cn-beijing",
         "expired_seconds": 900, "policy": "{}", "external_id": "e"},
        {"name": "vpc", "mode": "RamRoleArn", "access_key_id": "a", "access_key_secret": "s",
         "ram_role_arn": "r", "sts_region": "cn-beijing", "enable_vpc": true},
        {"name": "ecs", "mode": "EcsRamRole", "ram_role_name": "r"},
        {"name": "any-ecs", "mode": "EcsRamRole", "ram_role_name": ""},
        {"name": "ecs-role", "mode": "RamRoleArnWithRoleName", "ram_role_name": "r",
         "ram_role_arn": "r2"},
        {"name": "oidc", "mode": "OIDC", "ram_role_arn": "r", "oidc_provider_arn": "p",
         "oidc_token_file": "/f"},
        {"name": "chain", "mode": "ChainableRamRoleArn", "source_profile": "main",
         "ram_role_arn": "r2"},
        {"name": "chain-ecs", "mode": "ChainableRamRoleArn", "source_profile": "ecs",
         "ram_role_arn": "r2"},
        {"name": "chain-3", "mode": "ChainableRamRoleArn", "source_profile": "chain",
         "ram_role_arn": "r3"},
        {"name": "uri", "mode": "CredentialsURI", "credentials_uri": "http://127.0.0.1:1/c"},
        {"name": "program", "mode": "External", "process_command": "get --hush-x y"},
        {"name": "sso", "mode": "CloudSSO", "access_key_id": "a", "access_key_secret": "s",
         "sts_token": "t", "sts_expiration": 2082758400,
         "cloud_sso_sign_in_url": "https://signin"},
        {"name": "oauth", "mode": "OAuth", "access_key_id": "a", "access_key_secret": "s",
         "sts_token": "t", "sts_expiration": 2082758400},
        {"name": "no-mode", "access_key_id": "a", "access_key_secret": "s"},
        {"name": "no-mode-sts", "mode": "", "access_key_id": "a", "access_key_secret": "s",
         "sts_token": "t"},
        {"name": "empty", "mode": "AK", "access_key_id": "", "access_key_secret": ""},
        {"name": "empty-sts", "mode": "StsToken", "access_key_id": " ", "sts_token": ""},
        {"name": "empty-role", "mode": "RamRoleArn", "ram_role_arn": "", "region_id": "cn-a"},
        {"name": "empty-uri", "mode": "CredentialsURI", "credentials_uri": ""},
        {"name": "empty-program", "mode": "External", "process_command": ""},
        {"name": "empty-nothing"},
        {"name": "ring", "mode": "ChainableRamRoleArn", "source_profile": "ring",
         "ram_role_arn": "r"},
        {"name": "ring-1", "mode": "ChainableRamRoleArn", "source_profile": "ring-2",
         "ram_role_arn": "r"},
        {"name": "ring-2", "mode": "ChainableRamRoleArn", "source_profile": "ring-1",
         "ram_role_arn": "r"},
        {"name": "chain-empty", "mode": "ChainableRamRoleArn", "source_profile": "empty",
         "ram_role_arn": "r"},
        {"name": "chain-none", "mode": "ChainableRamRoleArn", "source_profile": "gone",
         "ram_role_arn": "r"},
        {"name": "part", "mode": "AK", "access_key_id": "a"},
        {"name": "part-2", "mode": "AK", "access_key_secret": "hush-x", "access_key_id": ""},
        {"name": "part-role", "mode": "RamRoleArn", "access_key_id": "a",
         "access_key_secret": "hush-x", "ram_role_arn": ""},
        {"name": "part-uri", "mode": "CredentialsURI", "credentials_uri": "here"},
        {"name": "part-program", "mode": "External", "process_command": "get 'hush-x"},
        {"name": "no-session", "mode": "CloudSSO", "access_key_id": "",
         "cloud_sso_sign_in_url": "https://signin"},
        {"name": "rsa", "mode": "RsaKeyPair", "private_key": "hush-x"},
        {"name": "new", "mode": "Brainwaves"}]}"#;

    #[test]
    fn every_mode_of_the_cli_is_read() {
        for (profile, source) in [
            (None, "a/s/"),
            (Some("sts"), "a/s/t"),
            (
                Some("role"),
                "a/s/ as r in n at https://sts.cn-beijing.aliyuncs.com/ for 900",
            ),
            (
                Some("vpc"),
                "a/s/ as r in archiver at https://sts-vpc.cn-beijing.aliyuncs.com/ for 3600",
            ),
            (Some("ecs"), "metadata Some(\"r\")"),
            (Some("any-ecs"), "metadata None"),
            (
                Some("ecs-role"),
                "metadata Some(\"r\") as r2 in archiver at https://sts.aliyuncs.com/ for 3600",
            ),
            (Some("oidc"), "p File(\"/f\") r"),
            (
                Some("chain"),
                "a/s/ as r2 in archiver at https://sts.aliyuncs.com/ for 3600",
            ),
            (
                Some("chain-ecs"),
                "metadata Some(\"r\") as r2 in archiver at https://sts.aliyuncs.com/ for 3600",
            ),
            (
                Some("chain-3"),
                "a/s/ as r2 in archiver at https://sts.aliyuncs.com/ for 3600 \
                 as r3 in archiver at https://sts.aliyuncs.com/ for 3600",
            ),
            (Some("uri"), "http://127.0.0.1:1/c"),
            (Some("program"), "\"get\" [2 arguments]"),
            (Some("sso"), "a/s/t until 2036-01-01T00:00:00Z"),
            (Some("oauth"), "a/s/t until 2036-01-01T00:00:00Z"),
            (Some("no-mode"), "a/s/"),
            (Some("no-mode-sts"), "a/s/t"),
        ] {
            match cli_profile(CLI, profile, &defaults()).unwrap() {
                Found::Source(read) => assert_eq!(describe(&read), source, "{profile:?}"),
                other => panic!("{profile:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_profile_that_is_empty_is_none_and_one_that_is_partly_set_is_an_error_by_name() {
        for profile in [
            "empty",
            "empty-sts",
            "empty-role",
            "empty-uri",
            "empty-program",
            "empty-nothing",
        ] {
            let found = cli_profile(CLI, Some(profile), &defaults()).unwrap();
            assert!(matches!(found, Found::Nothing(_)), "{profile}: {found:?}");
        }
        let none = cli_profile(CLI, Some("none"), &defaults()).unwrap();
        assert!(matches!(none, Found::NoProfile(_)), "{none:?}");
        for json in [
            "",
            "\u{feff} \n",
            "{}",
            r#"{"current": "", "profiles": null}"#,
        ] {
            let found = cli_profile(json, None, &defaults()).unwrap();
            assert!(matches!(found, Found::Nothing(_)), "{json:?}: {found:?}");
        }
        for (profile, message) in [
            ("ring", "is its own source (ring -> ring)"),
            ("ring-1", "is its own source (ring-1 -> ring-2 -> ring-1)"),
            (
                "chain-empty",
                "\"chain-empty\" has a source without keys: profile \"empty\"",
            ),
            ("chain-none", "no profile \"gone\""),
            ("part", "\"part\" has no access_key_secret"),
            ("part-2", "\"part-2\" has no access_key_id"),
            ("part-role", "\"part-role\" has no ram_role_arn"),
            (
                "part-uri",
                "\"part-uri\": credentials_uri: expected an address",
            ),
            ("part-program", "a quote that does not end"),
            (
                "no-session",
                "aliyun configure --mode CloudSSO --profile no-session",
            ),
            ("rsa", "the mode \"RsaKeyPair\""),
            ("new", "the mode \"Brainwaves\""),
        ] {
            let error = cli_profile(CLI, Some(profile), &defaults()).unwrap_err();
            assert!(error.contains(message), "{profile}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
        for json in ["{", "[]", "7"] {
            assert!(cli_profile(json, None, &defaults()).is_err(), "{json}");
        }
    }

    #[test]
    fn a_byte_order_mark_does_not_matter() {
        let marked = format!("\u{feff}{CLI}");
        assert_eq!(
            cli_profile(&marked, None, &defaults()),
            cli_profile(CLI, None, &defaults())
        );
    }

    #[test]
    fn the_region_is_that_of_the_profile() {
        let json = r#"{"current": "a", "profiles": [{"name": "a", "region_id": "cn-hangzhou"},
            {"name": "b", "region_id": ""}, {"name": "c", "region_id": "evil.example/"}]}"#;
        let region = |profile| cli_region(json, profile);
        assert_eq!(region(None), Ok(RegionId::parse("cn-hangzhou").ok()));
        assert_eq!(region(Some("b")), Ok(None));
        assert_eq!(region(Some("none")), Ok(None));
        let error = region(Some("c")).unwrap_err();
        assert!(error.contains("profile \"c\": region_id"), "{error}");
    }

    #[test]
    fn debug_of_a_source_shows_no_secret() {
        for profile in ["sts", "program", "sso"] {
            let source = cli_profile(CLI, Some(profile), &defaults()).unwrap();
            let shown = format!("{source:?}");
            assert!(
                !shown.contains("\"s\"") && !shown.contains("hush"),
                "{shown}"
            );
        }
    }
}
