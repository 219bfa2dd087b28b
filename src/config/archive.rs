//! Settings → the archive's location.

use std::path::PathBuf;

use url::Url;

use super::{Archive, Environment, Problems, Redact, aws_credentials, aws_region, keys};
use crate::model::ids::RegionId;
use crate::model::screenshot::{Screenshots, When};
use crate::store::bucket::{Addressing, BucketConfig, Encryption, EncryptionMethod, Profile};

const ARCHIVE_FORMS: &str = "expected s3://bucket/prefix, oss://bucket/prefix or file:///folder";

pub(super) fn archive(environment: &Environment, problems: &mut Problems) -> Option<Archive> {
    let text = problems.required(environment, "ARCHIVE_URL", ARCHIVE_FORMS)?;
    let url = problems.note(
        "ARCHIVE_URL",
        Url::parse(&text).map_err(|error| not_an_address(&text, error)),
    )?;
    match url.scheme() {
        "file" => {
            let plain = url.query().is_none() && url.fragment().is_none();
            // The root is what a forgotten variable leaves of file://$FOLDER.
            let is_folder = |path: &PathBuf| plain && path.parent().is_some();
            let path = url.to_file_path().ok().filter(is_folder);
            let why = format!("{text:?} names no folder on this machine; write file:///folder");
            Some(Archive::Directory(
                problems.note("ARCHIVE_URL", path.ok_or(why))?,
            ))
        }
        "s3" => s3(&url, environment, problems)
            .map(Box::new)
            .map(Archive::Bucket),
        "oss" => oss(&url, environment, problems)
            .map(Box::new)
            .map(Archive::Bucket),
        other => {
            problems.note::<()>(
                "ARCHIVE_URL",
                Err(format!("{other}:// is unknown; {ARCHIVE_FORMS}")),
            );
            None
        }
    }
}

/// Whether the catalog is written: `CATALOG` is `on`, unless it is set to `off`.
pub(super) fn has_catalog(environment: &Environment, problems: &mut Problems) -> Option<bool> {
    on_or_off("CATALOG", true, environment, problems)
}

fn on_or_off(
    name: &'static str,
    default: bool,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<bool> {
    match environment.get(name) {
        None => Some(default),
        Some("on") => Some(true),
        Some("off") => Some(false),
        Some(other) => {
            let why = format!("{other:?} is neither on nor off");
            problems.note(name, Err(why))
        }
    }
}

/// What becomes of secrets: `REDACT` is `view`, unless it is set.
pub(super) fn redact(environment: &Environment, problems: &mut Problems) -> Option<Redact> {
    match environment.get("REDACT") {
        None | Some("view") => Some(Redact::View),
        Some("store") => Some(Redact::Store),
        Some("off") => Some(Redact::Off),
        Some(other) => {
            let why = format!("{other:?} is none of view, store and off");
            problems.note("REDACT", Err(why))
        }
    }
}

/// Which screenshots are taken: `SCREENSHOTS` is `auto`, unless it is set. Nobody can mask a picture. So where secrets are
/// masked before they are stored, none is taken unless `SCREENSHOTS` asks for each.
pub(super) fn screenshots(
    environment: &Environment,
    redact: Option<Redact>,
    problems: &mut Problems,
) -> Option<Screenshots> {
    let when = match environment.get("SCREENSHOTS") {
        None | Some("auto") if redact == Some(Redact::Store) => Some(When::Never),
        None | Some("auto") => Some(When::Auto),
        Some("always") => Some(When::Always),
        Some("never") => Some(When::Never),
        Some(other) => {
            let why = format!("{other:?} is none of auto, always and never");
            problems.note("SCREENSHOTS", Err(why))
        }
    };
    let wakes_up = on_or_off("SCREENSHOTS_WAKE_UP", false, environment, problems);
    Some(Screenshots {
        when: when?,
        wakes_up: wakes_up?,
    })
}

/// For how long records are locked: `OBJECT_LOCK_DAYS`.
pub(super) fn object_lock_days(environment: &Environment, problems: &mut Problems) -> Option<u32> {
    let name = "OBJECT_LOCK_DAYS";
    let Some(text) = environment.get(name) else {
        return Some(0);
    };
    let days = text.parse();
    problems.note(
        name,
        days.map_err(|_| format!("{text:?} is not a number of days")),
    )
}

/// Explains a value that is not an address. Often it is a path.
fn not_an_address(text: &str, error: url::ParseError) -> String {
    let is_path = error == url::ParseError::RelativeUrlWithoutBase;
    match Url::from_file_path(text) {
        Ok(folder) if is_path => format!("{text:?} has no scheme; write {folder} for this folder"),
        _ if is_path => format!("{text:?} has no scheme; {ARCHIVE_FORMS}, with the whole path"),
        _ => format!("{text:?} is not an address ({error}); {ARCHIVE_FORMS}"),
    }
}

fn s3(url: &Url, environment: &Environment, problems: &mut Problems) -> Option<BucketConfig> {
    let location = problems.note("ARCHIVE_URL", bucket_and_prefix(url, &[]));
    let endpoint_url = endpoint_url(environment, problems);
    let credentials = aws_credentials(environment, problems);
    let region = aws_region(environment, problems);
    let profile = profile(environment, problems);
    let (bucket, prefix) = location?;
    let endpoint_url = endpoint_url?;
    let endpoint = endpoint_url.as_deref().and_then(|url| Url::parse(url).ok());
    // A service at another address may not support conditions.
    let by_host = match endpoint.as_ref().and_then(Url::host_str) {
        None => Profile::Aws,
        Some(host) if is_aws(host) => Profile::Aws,
        Some(host) if is_below(host, "aliyuncs.com") => Profile::Oss,
        Some(_) => Profile::Basic,
    };
    let profile = profile?.unwrap_or(by_host);
    let addressing = addressing(&bucket, endpoint.as_ref(), environment, problems);
    let encryption = encryption(profile, environment, problems);
    Some(BucketConfig {
        scheme: "s3",
        addressing: addressing?,
        bucket,
        prefix,
        region: region?,
        endpoint_url,
        profile,
        encryption: encryption?,
        credentials: credentials?,
    })
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// The domains of AWS's partitions, from `partitions.json` of its SDKs: standard and GovCloud,
/// China, the isolated ones, the European one, and those of dual-stack addresses.
const AWS_DOMAINS: [&str; 9] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "amazonaws.eu",
    "api.aws",
    "api.amazonwebservices.com.cn",
];

fn is_aws(host: &str) -> bool {
    AWS_DOMAINS.into_iter().any(|domain| is_below(host, domain))
}

/// Domains of services that require the bucket in the host name, at least for new buckets: OSS,
/// Tencent COS (403 `PathStyleDomainForbidden`), Volcengine TOS (403 `InvalidPathAccess`).
const VIRTUAL_HOSTED_ONLY: [&str; 5] = [
    "aliyuncs.com",
    "myqcloud.com",
    "tencentcos.cn",
    "volces.com",
    "ivolces.com",
];

/// Where addresses have the bucket's name: as configured, or derived from the endpoint.
fn addressing(
    bucket: &str,
    endpoint: Option<&Url>,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Addressing> {
    const NAME: &str = "AWS_S3_ADDRESSING_STYLE";
    let host = endpoint.and_then(Url::host_str);
    let has_bucket = endpoint.is_some_and(|endpoint| names_bucket(endpoint, bucket));
    match environment.get(NAME).unwrap_or("auto") {
        "auto" => Some(match host {
            _ if has_bucket => Addressing::OwnDomain,
            // A wildcard certificate does not cover a bucket's name with a dot.
            _ if !is_host_label(bucket) => Addressing::Path,
            None => Addressing::VirtualHosted,
            Some(host) if is_aws(host) => Addressing::VirtualHosted,
            Some(host) if VIRTUAL_HOSTED_ONLY.into_iter().any(|d| is_below(host, d)) => {
                Addressing::VirtualHosted
            }
            // Other services often do not resolve such host names.
            Some(_) => Addressing::Path,
        }),
        "path" => Some(Addressing::Path),
        // Some tools set this style together with the bucket in the endpoint.
        "virtual" if has_bucket => Some(Addressing::OwnDomain),
        "virtual" => {
            let is_number = endpoint.is_some_and(|url| url.domain().is_none());
            let why = if is_number {
                Some("the endpoint's address is a number, which no name can be put before")
            } else if !is_host_label(bucket) {
                Some("the bucket's name cannot be part of a host's name; set path")
            } else {
                None
            };
            problems.note(NAME, why.map_or(Ok(Addressing::VirtualHosted), Err))
        }
        "domain" => {
            let why = "set AWS_ENDPOINT_URL_S3 to the bucket's own domain, too";
            let told = endpoint.map(|_| Addressing::OwnDomain);
            problems.note(NAME, told.ok_or(why))
        }
        other => {
            let why = format!("{other:?} is unknown; expected auto, path, virtual or domain");
            problems.note(NAME, Err(why))
        }
    }
}

/// Whether an endpoint contains the bucket already: `https://bucket.s3.example.com`, as some
/// consoles show it, or `https://example.com/bucket`, as Cloudflare R2's does.
fn names_bucket(endpoint: &Url, bucket: &str) -> bool {
    let host = endpoint.domain().unwrap_or_default();
    let before = host.strip_prefix(bucket);
    // A VPC endpoint starts with the literal label `bucket`, and the bucket's name is before it.
    let in_host = before.is_some_and(|rest| rest.starts_with('.')) && !host.contains(".vpce.");
    let mut segments = endpoint.path().trim_end_matches('/').rsplit('/');
    in_host || segments.next() == Some(bucket)
}

fn is_host_label(bucket: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    bucket.bytes().all(is_inner) && !bucket.starts_with('-') && !bucket.ends_with('-')
}

/// `None` for an invalid setting, `Some(None)` if it is not set.
fn encryption(
    profile: Profile,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Option<Encryption>> {
    const METHOD: &str = "AWS_SERVER_SIDE_ENCRYPTION";
    const KEY_ID: &str = "AWS_SSE_KMS_KEY_ID";
    let kms_key_id = environment.get(KEY_ID);
    let Some(word) = environment.get(METHOD) else {
        return match kms_key_id {
            None => Some(None),
            Some(_) => problems.note(KEY_ID, Err("set AWS_SERVER_SIDE_ENCRYPTION=aws:kms, too")),
        };
    };
    let method = match word {
        "AES256" => Some(EncryptionMethod::Aes256),
        "aws:kms" | "KMS" => Some(EncryptionMethod::Kms),
        "aws:kms:dsse" => Some(EncryptionMethod::KmsDsse),
        "SM4" => Some(EncryptionMethod::Sm4),
        _ => None,
    };
    let known = if profile == Profile::Oss {
        "AES256, KMS or SM4"
    } else {
        "AES256, aws:kms or aws:kms:dsse"
    };
    let method = method.filter(|method| method.header_value(profile).is_some());
    let method = problems.note(
        METHOD,
        method.ok_or(format!(
            "{word:?} is unknown to the store; expected {known}"
        )),
    );
    let is_kms = matches!(
        method,
        Some(EncryptionMethod::Kms | EncryptionMethod::KmsDsse)
    );
    if let Some(id) = kms_key_id {
        if method.is_some() && !is_kms {
            problems.note::<()>(KEY_ID, Err(format!("{word} takes no KMS key")));
            return None;
        }
        if !id.bytes().all(|b| b.is_ascii_graphic()) {
            problems.note::<()>(KEY_ID, Err("expected a key's ID or ARN"));
            return None;
        }
    }
    Some(Some(Encryption {
        method: method?,
        kms_key_id: kms_key_id.map(str::to_owned),
    }))
}

/// `None` for an invalid setting, `Some(None)` if it is not set.
fn profile(environment: &Environment, problems: &mut Problems) -> Option<Option<Profile>> {
    let Some(word) = environment.get("ARCHIVE_PROFILE") else {
        return Some(None);
    };
    let profile = word.parse::<Profile>().map(Some);
    let why = |error| format!("{word:?} is unknown; {error}");
    problems.note("ARCHIVE_PROFILE", profile.map_err(why))
}

/// OSS uses Alibaba Cloud credentials, and requires the bucket in the host name.
fn oss(url: &Url, environment: &Environment, problems: &mut Problems) -> Option<BucketConfig> {
    let location = problems.note("ARCHIVE_URL", bucket_and_prefix(url, &["region"]));
    let endpoint_url = endpoint_url(environment, problems);
    let in_url = url
        .query_pairs()
        .find(|(name, _)| name == "region")
        .map(|(_, value)| value);
    let region = match in_url {
        Some(region) => problems
            .note("ARCHIVE_URL", RegionId::parse(&region))
            .map(Some),
        None => keys::default_region(environment, problems),
    };
    let region = match region {
        Some(Some(region)) => Some(region),
        None => None,
        Some(None) => problems.note(
            "ARCHIVE_URL",
            Err(
                "the bucket's region is not known; write oss://bucket/prefix?region=cn-hangzhou or \
                 set ALIBABA_CLOUD_REGION_ID",
            ),
        ),
    };
    let credentials = keys::alibaba(environment, problems);
    let (bucket, prefix) = location?;
    if bucket.contains('.') {
        problems.note::<()>("ARCHIVE_URL", Err("OSS needs a bucket name without dots"));
    }
    let profile = profile(environment, problems)?.unwrap_or(Profile::Oss);
    let encryption = encryption(profile, environment, problems);
    let region = region?;
    let public = format!("https://s3.oss-{region}.aliyuncs.com");
    let endpoint_url = endpoint_url?.unwrap_or(public);
    let endpoint = Url::parse(&endpoint_url).ok();
    // This applies to every address, because a custom domain leads to OSS, too.
    let addressing = match environment.get("AWS_S3_ADDRESSING_STYLE") {
        None | Some("auto")
            if !endpoint
                .as_ref()
                .is_some_and(|url| names_bucket(url, &bucket)) =>
        {
            Some(Addressing::VirtualHosted)
        }
        _ => addressing(&bucket, endpoint.as_ref(), environment, problems),
    };
    Some(BucketConfig {
        scheme: "oss",
        addressing: addressing?,
        bucket,
        prefix,
        region: region.to_string(),
        endpoint_url: Some(endpoint_url),
        profile,
        encryption: encryption?,
        credentials: credentials?,
    })
}

fn bucket_and_prefix(url: &Url, parameters: &[&str]) -> Result<(String, String), String> {
    let bucket = url.host_str().unwrap_or_default();
    let named = (3..=63).contains(&bucket.len())
        && bucket
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    if !named {
        return Err(format!(
            "{bucket:?} is not the name of a bucket, which has 3 to 63 lower-case letters, digits, \
             hyphens, dots or underscores; {ARCHIVE_FORMS}"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
        return Err(format!(
            "a bucket has neither user nor port; {ARCHIVE_FORMS}"
        ));
    }
    if let Some((unknown, _)) = url
        .query_pairs()
        .find(|(name, _)| !parameters.contains(&&**name))
    {
        return Err(format!("the parameter {unknown:?} is unknown"));
    }
    let path = percent_encoding::percent_decode_str(url.path())
        .decode_utf8()
        .map_err(|e| e.to_string())?;
    let prefix = path.trim_matches('/');
    if prefix
        .split('/')
        .any(|segment| segment.is_empty() && !prefix.is_empty())
    {
        return Err("the prefix has an empty segment".to_owned());
    }
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    Ok((bucket.to_owned(), prefix))
}

/// `None` for an invalid setting, `Some(None)` if it is not set.
fn endpoint_url(environment: &Environment, problems: &mut Problems) -> Option<Option<String>> {
    let set = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .into_iter()
        .find_map(|name| environment.get(name).map(|value| (name, value)));
    let Some((name, value)) = set else {
        return Some(None);
    };
    let usable = Url::parse(value).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
    });
    let why = "expected an address such as https://s3.example.com";
    problems.note(name, usable.then(|| Some(value.to_owned())).ok_or(why))
}
