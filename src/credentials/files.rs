//! The SDKs' `credentials.ini` → [`Source`]. Also what the files of other tools have in common.
//! Pure.

use std::path::Path;

use configparser::ini::{Ini, IniDefault};
use url::Url;

use super::source::{OidcToken, ROLE_SECONDS, Role, Source};
use crate::model::credentials::{Credentials, Secret, check_key};

/// Settings that the files do not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Address of STS.
    pub sts: Url,
    /// Address of the metadata service. `None` if it must not be used.
    pub metadata: Option<Url>,
    /// Whether the metadata service may be used without a token.
    pub allows_metadata_v1: bool,
    /// Default name of role sessions.
    pub session_name: String,
}

/// Result of reading a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The file has credentials, or says where to fetch them.
    Source(Box<Source>),
    /// The file has no credentials, so other places are tried. Holds the reason.
    Nothing(String),
    /// The file has no profile of this name. Another file may have it. Holds the reason.
    NoProfile(String),
}

impl Defaults {
    /// The role of the instance that this process runs on.
    ///
    /// # Errors
    /// If the metadata service must not be used.
    pub(super) fn instance(&self, role_name: Option<String>) -> Result<Source, String> {
        let why =
            "it needs the metadata service, which ALIBABA_CLOUD_ECS_METADATA_DISABLED forbids";
        Ok(Source::Metadata {
            endpoint: self.metadata.clone().ok_or(why)?,
            role_name,
            allows_v1: self.allows_metadata_v1,
        })
    }
}

/// Address of a region's STS: `https://{prefix}.{region}.aliyuncs.com`.
///
/// # Errors
/// If the text is not a region.
pub fn regional_sts(prefix: &str, region: &str) -> Result<Url, String> {
    let region = crate::model::ids::RegionId::parse(region).map_err(|error| error.to_string())?;
    Url::parse(&format!("https://{prefix}.{region}.aliyuncs.com"))
        .map_err(|error| error.to_string())
}

/// Parses the address of a service.
///
/// # Errors
/// Says what is expected. Does not quote the text, which may contain a secret.
pub fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok();
    let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.filter(usable)
        .ok_or("expected an address such as https://sts.aliyuncs.com")
}

/// The members that a type needs. A section with none of them counts as empty.
fn members(kind: &str) -> &'static [&'static str] {
    match kind {
        "access_key" | "ram_role_arn" | "sts" => &[
            "access_key_id",
            "access_key_secret",
            "security_token",
            "role_arn",
        ],
        "oidc_role_arn" => &["oidc_provider_arn", "oidc_token_file_path", "role_arn"],
        "credentials_uri" => &["credentials_uri"],
        // These need no member, or are rejected by name.
        _ => &["type"],
    }
}

/// Reads the SDKs' `credentials.ini`. `profile` selects the section; the default is `default`.
///
/// # Errors
/// Says what is wrong, without quoting secrets.
pub fn credentials_file(
    ini: &str,
    profile: Option<&str>,
    defaults: &Defaults,
) -> Result<Found, String> {
    let name = profile.unwrap_or("default");
    let mut settings = IniDefault::default();
    settings.case_sensitive = true;
    settings.delimiters = vec!['='];
    settings.inline_comment_symbols = Some(Vec::new()); // A secret may contain `;` and `#`.
    let mut file = Ini::new_from_defaults(settings);
    // The parser's message quotes lines, and lines contain secrets.
    file.read(ini.trim_start_matches('\u{feff}').to_owned())
        .map_err(|_| "it is not an INI file".to_owned())?;
    if !file.sections().iter().any(|section| section == name) {
        let why = format!("there is no section [{name}]");
        return Ok(Found::NoProfile(why));
    }
    let text = |key: &str| file.get(name, key).filter(|text| !text.is_empty());
    let required = |key: &str| text(key).ok_or_else(|| format!("section [{name}] has no {key}"));
    let set = |keys: &[&str]| keys.iter().any(|key| text(key).is_some());
    let kind = text("type");
    if !set(members(kind.as_deref().unwrap_or("access_key"))) {
        return Ok(Found::Nothing(format!("section [{name}] is empty")));
    }
    let role = || {
        Ok::<_, String>(Role {
            arn: required("role_arn")?,
            session_name: text("role_session_name").unwrap_or(defaults.session_name.clone()),
            session_policy: text("policy"),
            external_id: text("external_id"),
            seconds: ROLE_SECONDS,
            sts: defaults.sts.clone(),
        })
    };
    let source = match required("type")?.as_str() {
        "access_key" => Source::Static(keys(&required)?),
        "sts" => Source::Static(Credentials {
            security_token: Some(Secret::new(key_part(&required, "security_token")?)),
            ..keys(&required)?
        }),
        "ram_role_arn" => Source::AssumeRole {
            base: Box::new(Source::Static(Credentials {
                security_token: match text("security_token") {
                    Some(_) => Some(Secret::new(key_part(&required, "security_token")?)),
                    None => None,
                },
                ..keys(&required)?
            })),
            role: role()?,
        },
        "oidc_role_arn" => Source::Oidc {
            provider_arn: required("oidc_provider_arn")?,
            token: OidcToken::File(Path::new(&required("oidc_token_file_path")?).into()),
            role: role()?,
        },
        "ecs_ram_role" => defaults.instance(text("role_name"))?,
        "credentials_uri" => {
            let uri = address(&required("credentials_uri")?);
            Source::Uri(uri.map_err(|error| format!("section [{name}]: {error}"))?)
        }
        other => {
            return Err(format!(
                "section [{name}] has the type {other:?}, which is not supported here: use \
                 access_key, sts, ram_role_arn, oidc_role_arn, ecs_ram_role or credentials_uri"
            ));
        }
    };
    let source = source.of_part(&format!("the section [{name}]"));
    Ok(Found::Source(Box::new(source)))
}

fn keys(required: &impl Fn(&str) -> Result<String, String>) -> Result<Credentials, String> {
    Ok(Credentials {
        access_key_id: key_part(required, "access_key_id")?,
        access_key_secret: Secret::new(key_part(required, "access_key_secret")?),
        security_token: None,
    })
}

/// Reads a member that is part of a key.
pub(super) fn key_part(
    required: &impl Fn(&str) -> Result<String, String>,
    member: &str,
) -> Result<String, String> {
    let text = required(member)?;
    check_key(&text).map_err(|error| format!("{member}: {error}"))?;
    Ok(text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn defaults() -> Defaults {
        Defaults {
            sts: Url::parse("https://sts.aliyuncs.com").unwrap(),
            metadata: Url::parse("http://100.100.100.200").ok(),
            allows_metadata_v1: true,
            session_name: "archiver".into(),
        }
    }

    fn describe_keys(keys: &Credentials) -> String {
        let token = keys.security_token.as_ref();
        let token = token.map_or("", |token| token.expose());
        let secret = keys.access_key_secret.expose();
        format!("{}/{secret}/{token}", keys.access_key_id)
    }

    pub fn describe(source: &Source) -> String {
        match source {
            Source::Static(keys) | Source::File { keys, .. } => describe_keys(keys),
            Source::Cached { keys, .. } => {
                let end = keys.expires_at.unwrap();
                format!("{} until {end}", describe_keys(&keys.credentials))
            }
            Source::AssumeRole { base, role } => format!(
                "{} as {} in {} at {} for {}",
                describe(base),
                role.arn,
                role.session_name,
                role.sts,
                role.seconds
            ),
            Source::Oidc {
                provider_arn,
                token,
                role,
            } => format!("{provider_arn} {token:?} {}", role.arn),
            Source::Metadata { role_name, .. } => format!("metadata {role_name:?}"),
            Source::Uri(uri) => uri.to_string(),
            Source::Command(command) => format!("{command:?}"),
            other => format!("{other:?}"),
        }
    }

    const INI: &str = "[default]\ntype = access_key\naccess_key_id = a\naccess_key_secret = s\n\
        [role]\ntype = ram_role_arn\naccess_key_id = a\naccess_key_secret = s\nrole_arn = r\n\
        [oidc]\ntype = oidc_role_arn\nrole_arn = r\noidc_provider_arn = p\n\
        oidc_token_file_path = /f\n[ecs]\ntype = ecs_ram_role\n[part]\ntype = ram_role_arn\n\
        access_key_id = a\n[rsa]\ntype = rsa_key_pair\n\
        [uri]\ntype = credentials_uri\ncredentials_uri = http://127.0.0.1:1/c\n\
        [empty]\n[blank]\ntype = access_key\naccess_key_id =\naccess_key_secret =\n\
        [untyped]\naccess_key_id = a\naccess_key_secret = hush-x\n";

    #[test]
    fn every_type_of_the_credentials_file_is_read_or_refused_by_name() {
        for (profile, source) in [
            (None, "a/s/"),
            (
                Some("role"),
                "a/s/ as r in archiver at https://sts.aliyuncs.com/ for 3600",
            ),
            (Some("oidc"), "p File(\"/f\") r"),
            (Some("ecs"), "metadata None"),
            (Some("uri"), "http://127.0.0.1:1/c"),
        ] {
            match credentials_file(INI, profile, &defaults()).unwrap() {
                Found::Source(read) => assert_eq!(describe(&read), source, "{profile:?}"),
                other => panic!("{profile:?}: {other:?}"),
            }
        }
        for (profile, message) in [
            ("part", "[part] has no access_key_secret"),
            ("rsa", "\"rsa_key_pair\""),
            ("untyped", "[untyped] has no type"),
        ] {
            let error = credentials_file(INI, Some(profile), &defaults()).unwrap_err();
            assert!(error.contains(message), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_section_that_is_empty_or_missing_is_none() {
        for profile in ["empty", "blank"] {
            let found = credentials_file(INI, Some(profile), &defaults()).unwrap();
            assert!(matches!(found, Found::Nothing(_)), "{profile}: {found:?}");
        }
        for (ini, profile) in [(INI, "none"), ("", "default"), ("\u{feff}[a]\n", "default")] {
            let found = credentials_file(ini, Some(profile), &defaults()).unwrap();
            assert!(matches!(found, Found::NoProfile(_)), "{profile}: {found:?}");
        }
    }

    #[test]
    fn an_instance_is_not_asked_where_that_is_forbidden() {
        let forbidden = Defaults {
            metadata: None,
            ..defaults()
        };
        let error = credentials_file(INI, Some("ecs"), &forbidden).unwrap_err();
        assert!(
            error.contains("ALIBABA_CLOUD_ECS_METADATA_DISABLED"),
            "{error}"
        );
    }
}
