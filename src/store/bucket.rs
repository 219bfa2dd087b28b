//! An archive in a bucket, through the S3 API: AWS S3, S3-compatible stores, and OSS.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Entry, Object, Page, PutOutcome, Store, StoreError};
use crate::clock::Clock;
use crate::credentials::source::Source;
use crate::credentials::{Credentials, CredentialsProvider};
use crate::refusal::Refusal;

/// What a store can do: how it is asked to create and never to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `If-None-Match: *`: AWS S3 answers 412 where an object is, and 409 to one of two writers at
    /// once.
    Aws,
    /// `x-oss-forbid-overwrite: true`: OSS answers 409 `FileAlreadyExists`, and 501 to
    /// `If-None-Match`. In a versioned bucket it has no effect, and a repetition makes a version.
    Oss,
    /// For stores that may ignore conditions, such as Garage: the object is looked for first. Of
    /// two writers at once both may write then, the same bytes. Who writes must be allowed to
    /// look (`s3:GetObject`).
    Basic,
}

impl Profile {
    const ALL: [Self; 3] = [Self::Aws, Self::Oss, Self::Basic];

    /// `aws`, `oss` or `basic`: the words `ARCHIVE_PROFILE` takes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Oss => "oss",
            Self::Basic => "basic",
        }
    }

    /// Reads back what [`word`](Self::word) gives.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.word() == word)
    }
}

/// Which bucket, where, and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Scheme of the archive's URL, for addresses shown to users.
    pub scheme: &'static str,
    /// Name of the bucket.
    pub bucket: String,
    /// Put before every key; empty, or ends in `/`.
    pub prefix: String,
    /// Region, as the signature names it.
    pub region: String,
    /// Address of the service, where it is not AWS's own for the region.
    pub endpoint_url: Option<String>,
    /// Whether the bucket's name goes into the path and not into the host's name.
    pub path_style: bool,
    /// What it can do.
    pub profile: Profile,
    /// Where the credentials come from that requests are signed with.
    pub credentials: Source,
}

/// Records as objects in a bucket.
#[derive(Debug, Clone)]
pub struct BucketStore {
    client: Client,
    credentials: CredentialsProvider,
    scheme: &'static str,
    bucket: String,
    prefix: String,
    profile: Profile,
    clock: Clock,
}

impl BucketStore {
    /// Builds the client straight from the configuration. The SDK's own discovery chains would
    /// read files and call metadata services at every cold start.
    pub fn new(
        config: BucketConfig,
        http: reqwest::Client,
        credentials: CredentialsProvider,
    ) -> Self {
        let clock = Clock::default();
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region))
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache()) // The provider keeps them.
            .http_client(crate::http::sdk_client(http, clock.clone()))
            .force_path_style(config.path_style)
            .retry_config(RetryConfig::disabled()) // `Retrying` has them, with the deadline.
            .timeout_config(TimeoutConfig::disabled()) // The HTTP client has them.
            // The checksums that the SDK adds by default come in an encoding OSS refuses. The
            // signature covers the body's SHA-256 anyway.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        builder.set_endpoint_url(config.endpoint_url);
        Self {
            client: Client::from_conf(builder.build()),
            credentials,
            scheme: config.scheme,
            bucket: config.bucket,
            prefix: config.prefix,
            profile: config.profile,
            clock,
        }
    }

    /// What it can do, as configured.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// What the answers say of the service's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn object_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        let used = self.credentials.get().await?;
        let request = self.client.head_object().bucket(&self.bucket);
        match request.key(self.object_key(key)).send().await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(self.error("HeadObject", &error, &used).await),
        }
    }
}

impl Store for BucketStore {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        if self.profile == Profile::Basic && self.exists(key).await? {
            return Ok(PutOutcome::Exists);
        }
        let used = self.credentials.get().await?;
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.object_key(key))
            .body(ByteStream::from(object.body.clone())) // In memory, so it is sent in one piece.
            .content_type(&object.content_type)
            .set_metadata(Some(object.metadata.clone().into_iter().collect()));
        let request = match self.profile {
            Profile::Aws => {
                // A bucket with Object Lock takes nothing without it, whatever the signature covers.
                let sha256 = BASE64_STANDARD.encode(Sha256::digest(&object.body));
                let request = request.if_none_match("*").checksum_sha256(sha256);
                request.customize()
            }
            Profile::Basic => request.if_none_match("*").customize(),
            // Before signing, so the header is signed.
            Profile::Oss => request.customize().mutate_request(|request| {
                request
                    .headers_mut()
                    .insert("x-oss-forbid-overwrite", "true");
            }),
        };
        match request.send().await {
            Ok(_) => Ok(PutOutcome::Created),
            Err(error) => match (status(&error), error.code()) {
                (Some(412), _) | (Some(409), Some("FileAlreadyExists")) => Ok(PutOutcome::Exists),
                _ => Err(self.error("PutObject", &error, &used).await),
            },
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let used = self.credentials.get().await?;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.object_key(key));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.error("GetObject", &error, &used).await),
        };
        let content_type = answer.content_type.unwrap_or_default();
        let metadata = answer.metadata.unwrap_or_default().into_iter().collect();
        let body = answer.body.collect().await.map_err(|error| {
            StoreError::Unavailable(format!("the object was cut short: {error}"))
        })?;
        Ok(Some(Object {
            body: body.to_vec(),
            content_type,
            metadata,
        }))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let used = self.credentials.get().await?;
        let request = self.client.delete_object().bucket(&self.bucket);
        match request.key(self.object_key(key)).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error("DeleteObject", &error, &used).await),
        }
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page, StoreError> {
        let used = self.credentials.get().await?;
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.object_key(prefix))
            .set_continuation_token(next.map(str::to_owned));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.error("ListObjectsV2", &error, &used).await),
        };
        let entry = |object: &aws_sdk_s3::types::Object| {
            let seconds = object.last_modified().map_or(0, |time| time.secs());
            Some(Entry {
                key: object.key()?.strip_prefix(&self.prefix)?.to_owned(),
                bytes: object
                    .size()
                    .unwrap_or_default()
                    .try_into()
                    .unwrap_or_default(),
                stored_at: Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH),
            })
        };
        let entries = answer.contents().iter().filter_map(entry).collect();
        let next = answer
            .next_continuation_token
            .filter(|_| answer.is_truncated == Some(true));
        Ok(Page { entries, next })
    }

    fn url(&self, key: &str) -> String {
        format!("{}://{}/{}", self.scheme, self.bucket, self.object_key(key))
    }
}

impl BucketStore {
    /// Names the operation, the bucket and the service's own words for what is wrong. OSS says in
    /// `x-oss-ec` which of many meanings a code has. Credentials that the service refuses are
    /// replaced where that is possible; `used` signed the request.
    async fn error<E>(
        &self,
        operation: &str,
        error: &SdkError<E, HttpResponse>,
        used: &Credentials,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let Some(status) = status(error) else {
            let cause = crate::http::innermost(error);
            return StoreError::Unavailable(format!("{operation} got no answer: {cause}"));
        };
        let code = error.code().unwrap_or("no code");
        let mut text = format!(
            "{operation} on bucket {:?} gave {status} {code}",
            self.bucket
        );
        if let Some(ec) = error
            .raw_response()
            .and_then(|r| r.headers().get("x-oss-ec"))
        {
            text.push_str(&format!(" (EC {ec})"));
        }
        if let Some(message) = error.message() {
            text.push_str(&format!(": {}", message.escape_debug()));
        }
        if status == 501 {
            text.push_str("; set ARCHIVE_PROFILE to what the store can do");
        }
        let refusal = |account| Refusal {
            status,
            code: error.code().unwrap_or_default().to_owned(),
            account,
        };
        match (status, code) {
            // The SDK has set its clock by the Date of this very answer.
            (_, "RequestTimeTooSkewed") => StoreError::StaleSignature(text),
            (_, code) if EXPIRED.contains(&code) => {
                self.credentials.replace(used).await;
                StoreError::StaleSignature(text)
            }
            // The answer to HEAD has no body, and so no code; AWS gives it for an expired token.
            (400, "no code")
                if operation == "HeadObject" && self.credentials.replace(used).await =>
            {
                StoreError::StaleSignature(text)
            }
            (_, code) if REFUSED_KEYS.contains(&code) && self.credentials.replace(used).await => {
                StoreError::StaleSignature(text)
            }
            (429 | 500.., _) if status != 501 => StoreError::Unavailable(text),
            (409, "ConditionalRequestConflict" | "OperationAborted")
            | (_, "SlowDown" | "Throttling" | "RequestTimeout") => StoreError::Unavailable(text),
            (401 | 403, _) | (_, "NoSuchBucket") => StoreError::Denied(refusal(text)),
            (200..300, _) => StoreError::Unavailable(text), // The answer was cut or is no XML.
            _ => StoreError::Rejected(refusal(text)),
        }
    }
}

/// Codes for a token whose time is over: of S3, and of OSS.
const EXPIRED: [&str; 3] = [
    "ExpiredToken",
    "SecurityTokenExpired",
    "TokenRefreshRequired",
];
/// Codes for a key or a token that is not known, of S3 and of OSS. Those of a role are not, once
/// the role was changed.
const REFUSED_KEYS: [&str; 5] = [
    "InvalidAccessKeyId",
    "InvalidSecurityToken",
    "InvalidSecurity",
    "InvalidToken",
    "SecurityTokenNotSupported",
];

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}
