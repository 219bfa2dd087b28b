//! Settings → where records are kept.

use url::Url;

use super::{Archive, Environment, Problems, aws_credentials, aws_region, keys};
use crate::ids::RegionId;
use crate::store::bucket::{BucketConfig, Profile};

const ARCHIVE_FORMS: &str = "expected s3://bucket/prefix, oss://bucket/prefix or file:///folder";

pub(super) fn archive(environment: &Environment, problems: &mut Problems) -> Option<Archive> {
    let text = problems.required(environment, "ARCHIVE_URL", ARCHIVE_FORMS)?;
    let url = problems.note(
        "ARCHIVE_URL",
        Url::parse(&text).map_err(|e| format!("{e}; {ARCHIVE_FORMS}")),
    )?;
    match url.scheme() {
        "file" => {
            let plain = url.query().is_none() && url.fragment().is_none();
            let path = url.to_file_path().ok().filter(|_| plain);
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

fn s3(url: &Url, environment: &Environment, problems: &mut Problems) -> Option<BucketConfig> {
    let location = problems.note("ARCHIVE_URL", bucket_and_prefix(url, &[]));
    let endpoint_url = endpoint_url(environment, problems);
    let credentials = aws_credentials(environment, problems);
    let region = aws_region(environment, problems);
    let profile = profile(environment, problems);
    let (bucket, prefix) = location?;
    let endpoint_url = endpoint_url?;
    let host = endpoint_url.as_deref().and_then(host_of);
    // Whatever answers at another address may not know conditions.
    let by_host = match host.as_deref() {
        None => Profile::Aws,
        Some(host) if is_below(host, "amazonaws.com") => Profile::Aws,
        Some(host) if is_below(host, "aliyuncs.com") => Profile::Oss,
        Some(_) => Profile::Basic,
    };
    let profile = profile?.unwrap_or(by_host);
    Some(BucketConfig {
        scheme: "s3",
        // AWS and OSS serve every bucket under its own host name; others often have no such names.
        path_style: by_host == Profile::Basic || bucket.contains('.'),
        bucket,
        prefix,
        region: region?,
        endpoint_url,
        profile,
        credentials: credentials?,
    })
}

fn host_of(endpoint_url: &str) -> Option<String> {
    Some(Url::parse(endpoint_url).ok()?.host_str()?.to_owned())
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// `None` is a wrong setting, `Some(None)` one that is not set.
fn profile(environment: &Environment, problems: &mut Problems) -> Option<Option<Profile>> {
    let Some(word) = environment.get("ARCHIVE_PROFILE") else {
        return Some(None);
    };
    let why = format!("{word:?} is unknown; expected aws, oss or basic");
    let profile = Profile::from_word(word).map(Some);
    problems.note("ARCHIVE_PROFILE", profile.ok_or(why))
}

/// OSS takes the account's own keys, and only host names that begin with the bucket's.
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
    let profile = profile(environment, problems);
    let region = region?;
    let public = format!("https://s3.oss-{region}.aliyuncs.com");
    Some(BucketConfig {
        scheme: "oss",
        path_style: false,
        bucket,
        prefix,
        region: region.to_string(),
        endpoint_url: Some(endpoint_url?.unwrap_or(public)),
        profile: profile?.unwrap_or(Profile::Oss),
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
            "{bucket:?} is not the name of a bucket; {ARCHIVE_FORMS}"
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

/// `None` is a wrong setting, `Some(None)` one that is not set.
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
