//! An archive in a bucket, through the S3 API: AWS S3, S3-compatible stores and OSS.

use std::collections::BTreeMap;
use std::str::FromStr;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::endpoint::EndpointAuthScheme;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Entry, MAX_OBJECT_BYTES, Object, Page, PutOutcome, Store, StoreError};
use crate::clock::Clock;
use crate::credentials::CredentialsProvider;
use crate::credentials::source::Source;
use crate::http::answer::{self, Asked, Expected, Flaw, FlawedAnswer};
use crate::model::credentials::Credentials;
use crate::refusal::Refusal;

/// How a store is asked to create an object and never replace one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `If-None-Match: *`. AWS S3 answers 412 if the object exists, and 409 to one of two
    /// concurrent writers.
    Aws,
    /// `x-oss-forbid-overwrite: true`. OSS answers 409 `FileAlreadyExists`, and it answers 501 to
    /// `If-None-Match`. In a versioned bucket the header has no effect, and a repeated write
    /// creates a version.
    Oss,
    /// For stores that ignore conditions, such as Garage, or reject them. The program checks
    /// whether the object exists, and writes without a condition. This is safe because a key
    /// contains a digest of its content: concurrent writers, and a writer without permission to
    /// check, write the same bytes again. The check needs `s3:GetObject` and `s3:ListBucket`.
    Basic,
}

impl Profile {
    const ALL: [Self; 3] = [Self::Aws, Self::Oss, Self::Basic];

    /// `aws`, `oss` or `basic`: the values of `ARCHIVE_PROFILE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Oss => "oss",
            Self::Basic => "basic",
        }
    }
}

/// The text is not one of the words of [`Profile`].
#[derive(Debug, thiserror::Error)]
#[error("expected aws, oss or basic")]
pub struct InvalidProfile;

impl FromStr for Profile {
    type Err = InvalidProfile;

    fn from_str(text: &str) -> Result<Self, InvalidProfile> {
        let mut all = Self::ALL.into_iter();
        all.find(|profile| profile.as_str() == text)
            .ok_or(InvalidProfile)
    }
}

/// Where an object's address has the name of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: `https://host/bucket/key`.
    Path,
    /// In the host name: `https://bucket.host/key`. Some services accept only this.
    VirtualHosted,
    /// In the endpoint already: its host is the bucket's own domain (a CNAME), or its host or path
    /// contains the bucket's name.
    OwnDomain,
}

impl Addressing {
    /// Every style.
    pub const ALL: [Self; 3] = [Self::Path, Self::VirtualHosted, Self::OwnDomain];

    /// `path`, `virtual` or `domain`: the values of `AWS_S3_ADDRESSING_STYLE`. The first two are
    /// also those of `s3.addressing_style` in the AWS configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::VirtualHosted => "virtual",
            Self::OwnDomain => "domain",
        }
    }
}

/// How the store is asked to encrypt objects. It is not needed for a bucket's default encryption.
/// It is needed if a policy denies requests without the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// The kind of key.
    pub method: EncryptionMethod,
    /// ID of the KMS key, if it is not the account's default key.
    pub kms_key_id: Option<String>,
}

/// Who manages the key that the store encrypts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionMethod {
    /// The store.
    Aes256,
    /// The key management service.
    Kms,
    /// The key management service, in two layers. S3 only.
    KmsDsse,
    /// OSS, with the cipher SM4. OSS only.
    Sm4,
}

impl EncryptionMethod {
    /// Value of the request header: `x-amz-server-side-encryption` for S3,
    /// `x-oss-server-side-encryption` for OSS. `None` if the service does not know the method.
    pub fn header_value(self, profile: Profile) -> Option<&'static str> {
        match (self, profile) {
            (Self::Aes256, _) => Some("AES256"),
            (Self::Kms, Profile::Oss) => Some("KMS"),
            (Self::Kms, _) => Some("aws:kms"),
            (Self::KmsDsse, Profile::Oss) => None,
            (Self::KmsDsse, _) => Some("aws:kms:dsse"),
            (Self::Sm4, Profile::Oss) => Some("SM4"),
            (Self::Sm4, _) => None,
        }
    }
}

/// The bucket, its service, and how to use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Scheme of `ARCHIVE_URL`, for addresses shown to users.
    pub scheme: &'static str,
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of every key. Empty, or ends in `/`.
    pub prefix: String,
    /// Region in signatures.
    pub region: String,
    /// Address of the service. `None` for AWS S3.
    pub endpoint_url: Option<String>,
    /// Where addresses have the name of the bucket.
    pub addressing: Addressing,
    /// How the store creates objects.
    pub profile: Profile,
    /// The encryption to ask for. `None` leaves it to the bucket.
    pub encryption: Option<Encryption>,
    /// Where the credentials for the requests come from.
    pub credentials: Source,
}

/// An archive in a bucket.
#[derive(Debug, Clone)]
pub struct BucketStore {
    client: Client,
    credentials: CredentialsProvider,
    scheme: &'static str,
    bucket: String,
    prefix: String,
    profile: Profile,
    encryption: Option<Encryption>,
    clock: Clock,
    /// Address of the service, for messages.
    address: String,
}

/// What a success answer of S3 must contain. Some stores leave out whether a listing continues, and
/// only give a token if it does. A listing with neither, and without objects, is not valid.
fn expected(asked: &Asked) -> Expected {
    let has = |pair: &str| asked.query.split('&').any(|one| one == pair);
    if has("x-id=GetObject") {
        Expected::Object
    } else if has("x-id=PutObject") {
        Expected::Nothing
    } else if has("list-type=2") {
        Expected::Xml(
            "ListBucketResult",
            &["IsTruncated", "NextContinuationToken", "Contents"],
        )
    } else {
        Expected::Any
    }
}

/// Sends every request to the configured endpoint, without adding anything to its host or path.
#[derive(Debug)]
struct AsConfigured {
    endpoint_url: String,
    region: String,
}

impl ResolveEndpoint for AsConfigured {
    fn resolve_endpoint<'a>(&'a self, _: &'a Params) -> EndpointFuture<'a> {
        // The SDK signs for S3 in this way at every other endpoint.
        let signing = EndpointAuthScheme::with_capacity("sigv4", 3)
            .put("disableDoubleEncoding", true)
            .put("signingName", "s3")
            .put("signingRegion", self.region.clone());
        let endpoint = Endpoint::builder().url(self.endpoint_url.clone());
        EndpointFuture::ready(Ok(endpoint.auth_scheme(signing).build()))
    }
}

impl BucketStore {
    /// Builds the client from the configuration alone. The SDK's own discovery would read files and
    /// call metadata services at every cold start.
    pub fn new(
        config: BucketConfig,
        http: reqwest::Client,
        credentials: CredentialsProvider,
    ) -> Self {
        let clock = Clock::default();
        let address = match &config.endpoint_url {
            Some(endpoint_url) => endpoint_url.clone(),
            None => format!("AWS S3 in {}", config.region),
        };
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache()) // The provider caches them.
            .http_client(crate::http::sdk_client(http, clock.clone(), expected))
            .force_path_style(config.addressing == Addressing::Path)
            .retry_config(RetryConfig::disabled()) // `Retrying` retries, within the deadline.
            .timeout_config(TimeoutConfig::disabled()) // The HTTP client has the time-outs.
            // OSS rejects the encoding of the checksums that the SDK adds by default. The signature
            // covers the body's SHA-256 anyway.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        match (config.addressing, config.endpoint_url) {
            (Addressing::OwnDomain, Some(endpoint_url)) => {
                let region = config.region;
                builder = builder.endpoint_resolver(AsConfigured {
                    endpoint_url,
                    region,
                });
            }
            (_, endpoint_url) => {
                builder.set_endpoint_url(endpoint_url);
            }
        }
        Self {
            client: Client::from_conf(builder.build()),
            credentials,
            scheme: config.scheme,
            bucket: config.bucket,
            prefix: config.prefix,
            profile: config.profile,
            encryption: config.encryption,
            clock,
            address,
        }
    }

    /// The configured profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The service's clock, as its answers report it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn object_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Whether an object exists. `None` if this key may not know: without `s3:ListBucket`, S3
    /// answers 403 for a missing object, and a HEAD has no body with a code. The PUT that follows
    /// fails if the key is not allowed to write.
    async fn exists(&self, key: &str) -> Result<Option<bool>, StoreError> {
        let used = self.credentials.get().await?;
        let request = self.client.head_object().bucket(&self.bucket);
        match request.key(self.object_key(key)).send().await {
            // A store reports at least one of them for an existing object.
            Ok(answer) if (answer.e_tag(), answer.last_modified()) == (None, None) => {
                Err(StoreError::Foreign(format!(
                    "HeadObject on bucket {:?} at {} gave neither an ETag nor a time{NOT_S3}",
                    self.bucket, self.address
                )))
            }
            Ok(_) => Ok(Some(true)),
            Err(error) if status(&error) == Some(404) => Ok(Some(false)),
            Err(error) if status(&error) == Some(403) => Ok(None),
            Err(error) => Err(self.error("HeadObject", &error, &used).await),
        }
    }

    /// OSS's headers, in place of S3's.
    fn oss_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-oss-forbid-overwrite", "true".to_owned())];
        if let Some(encryption) = &self.encryption {
            let value = encryption.method.header_value(self.profile);
            headers.extend(value.map(|v| ("x-oss-server-side-encryption", v.to_owned())));
            let key_id = encryption.kms_key_id.clone();
            headers.extend(key_id.map(|id| ("x-oss-server-side-encryption-key-id", id)));
        }
        headers
    }
}

impl Store for BucketStore {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        if self.profile == Profile::Basic && self.exists(key).await? == Some(true) {
            return Ok(PutOutcome::Exists);
        }
        let used = self.credentials.get().await?;
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.object_key(key))
            .body(ByteStream::from(object.body.clone())) // The body is in memory, so it is sent in one piece.
            .content_type(&object.content_type)
            .set_metadata(Some(object.metadata.clone().into_iter().collect()));
        if self.profile != Profile::Oss
            && let Some(encryption) = &self.encryption
        {
            let value = encryption.method.header_value(self.profile);
            request = request
                .set_server_side_encryption(value.map(Into::into))
                .set_ssekms_key_id(encryption.kms_key_id.clone());
        }
        let request = match self.profile {
            Profile::Aws => {
                // A bucket with Object Lock requires this checksum.
                let sha256 = BASE64_STANDARD.encode(Sha256::digest(&object.body));
                let request = request.if_none_match("*").checksum_sha256(sha256);
                request.customize()
            }
            Profile::Basic => request.customize(),
            // These headers are set before signing, so the signature covers them.
            Profile::Oss => {
                let headers = self.oss_headers();
                request.customize().mutate_request(move |request| {
                    for (name, value) in &headers {
                        request.headers_mut().insert(*name, value.clone());
                    }
                })
            }
        };
        match request.send().await {
            Ok(_) => Ok(PutOutcome::Created),
            // RFC 9110 defines 412 for a PUT. MinIO once answered 304 (minio#19442).
            Err(error) => match (status(&error), error.code()) {
                (Some(304 | 412), _) | (Some(409), Some("FileAlreadyExists")) => {
                    Ok(PutOutcome::Exists)
                }
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
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(self.error("GetObject", &error, &used).await),
        };
        let too_large = |bytes| StoreError::TooLarge {
            url: self.url(key),
            bytes,
        };
        let length = answer.content_length.unwrap_or_default();
        let length = u64::try_from(length).unwrap_or_default();
        if length > MAX_OBJECT_BYTES {
            return Err(too_large(length));
        }
        let mut body = Vec::with_capacity(length as usize);
        // A service may report no length, or a wrong one.
        while let Some(piece) = answer.body.next().await {
            let piece = piece.map_err(|error| {
                StoreError::Unavailable(format!("the object was cut short: {error}"))
            })?;
            body.extend_from_slice(&piece);
            if body.len() as u64 > MAX_OBJECT_BYTES {
                return Err(too_large(body.len() as u64));
            }
        }
        Ok(Some(Object {
            body,
            content_type: answer.content_type.unwrap_or_default(),
            metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
        }))
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let used = self.credentials.get().await?;
        let request = self.client.head_object().bucket(&self.bucket);
        match request.key(self.object_key(key)).send().await {
            Ok(answer) => Ok(Some(
                answer.metadata.unwrap_or_default().into_iter().collect(),
            )),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.error("HeadObject", &error, &used).await),
        }
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
        let says_encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let full_prefix = self.object_key(prefix);
        let mut entries = Vec::with_capacity(answer.contents().len());
        for object in answer.contents() {
            let told = (object.key(), object.size(), object.last_modified());
            let (Some(listed), Some(bytes), Some(stored_at)) = told else {
                return Err(StoreError::Listing(format!(
                    "bucket {:?} at {} lists an object without its key, size or time",
                    self.bucket, self.address
                )));
            };
            let key = plain_key(listed, says_encoded, &full_prefix);
            let key = key
                .as_deref()
                .and_then(|key| key.strip_prefix(&self.prefix));
            entries.extend(key.map(|key| Entry {
                key: key.to_owned(),
                bytes: bytes.try_into().unwrap_or_default(),
                stored_at:
                    Timestamp::from_second(stored_at.secs()).unwrap_or(Timestamp::UNIX_EPOCH),
            }));
        }
        // Directory buckets of S3 and some other stores do not sort.
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        let token = answer.next_continuation_token.as_deref();
        let next = match (answer.is_truncated, token.filter(|token| !token.is_empty())) {
            (Some(false), _) | (None, None) => None,
            (Some(true), None) => {
                return Err(StoreError::Listing(format!(
                    "bucket {:?} gave a part of its listing and no token to ask for the rest",
                    self.bucket
                )));
            }
            // Some stores leave out the flag.
            (Some(true) | None, Some(token)) => Some(token.to_owned()),
        };
        Ok(Page { entries, next })
    }

    fn url(&self, key: &str) -> String {
        format!("{}://{}/{}", self.scheme, self.bucket, self.object_key(key))
    }
}

impl BucketStore {
    /// Turns a failed call into an error with the operation, the bucket and the service's own code.
    /// OSS gives the exact meaning of a code in `x-oss-ec`. `used` are the credentials that signed
    /// the request. If the service refuses them, they are replaced if possible.
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
            let address = &self.address;
            let Some(FlawedAnswer { status, flaw }) = FlawedAnswer::behind(error) else {
                let cause = crate::http::innermost(error);
                let text = format!("{operation} got no answer from {address}: {cause}");
                return StoreError::Unavailable(text);
            };
            let bucket = &self.bucket;
            let text =
                format!("{operation} on bucket {bucket:?} at {address} gave {status} and {flaw}");
            return match flaw {
                Flaw::TooLong => StoreError::Listing(text + NOT_S3),
                Flaw::WebPage | Flaw::Other | Flaw::Empty => StoreError::Foreign(text + NOT_S3),
                Flaw::NotWhole | Flaw::Cut(_) => StoreError::Unavailable(text),
            };
        };
        let code = error.code().filter(|code| !code.is_empty());
        let code = code.unwrap_or("no code");
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
        let body = error.raw_response().and_then(|r| r.body().bytes());
        if code == "no code" && body.is_some_and(answer::is_web_page) {
            text.push_str(&format!(" and a web page from {}{NOT_S3}", self.address));
        } else if let Some(hint) = self.hint(operation, status, code) {
            text.push_str("; ");
            text.push_str(hint);
        }
        let place = || self.credentials.source().place(self.key_settings());
        if EXPIRED.contains(&code) {
            text.push_str(&format!("; renew the token: it is of {}", place()));
        } else if REFUSED_KEYS.contains(&code) || code == "SignatureDoesNotMatch" {
            text.push_str(&format!("; check {}", place()));
        }
        if is_of_another_region(status, code) {
            let region = error.raw_response();
            let region = region.and_then(|r| r.headers().get("x-amz-bucket-region"));
            text.push_str(&self.other_region(region));
        }
        let refusal = |account| Refusal {
            status,
            code: error.code().unwrap_or_default().to_owned(),
            account,
        };
        match (status, code) {
            // The SDK has set its clock from the `Date` of this answer.
            (_, "RequestTimeTooSkewed") => StoreError::StaleSignature(text),
            (_, code) if EXPIRED.contains(&code) => {
                self.credentials.replace(used).await;
                StoreError::StaleSignature(text)
            }
            // The answer to HEAD has no body, and so no code. AWS answers 400 to HEAD if the token
            // has expired.
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
            (200..300, _) => StoreError::Unavailable(text), // The answer lacks what the SDK needs.
            _ => StoreError::Rejected(refusal(text)),
        }
    }
}

/// Codes of S3 and OSS for an expired token.
const EXPIRED: [&str; 3] = [
    "ExpiredToken",
    "SecurityTokenExpired",
    "TokenRefreshRequired",
];
/// Codes of S3 and OSS for an unknown key or token. The keys of a role become unknown if the role
/// changes.
const REFUSED_KEYS: [&str; 5] = [
    "InvalidAccessKeyId",
    "InvalidSecurityToken",
    "InvalidSecurity",
    "InvalidToken",
    "SecurityTokenNotSupported",
];

impl BucketStore {
    /// Names of the settings that have the keys of this store.
    fn key_settings(&self) -> &'static str {
        if self.scheme == "oss" {
            "ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and \
             ALIBABA_CLOUD_SECURITY_TOKEN"
        } else {
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        }
    }

    /// Advice about a likely cause that the answer does not name.
    fn hint(&self, operation: &str, status: u16, code: &str) -> Option<&'static str> {
        let is_put = operation == "PutObject" && self.profile != Profile::Basic;
        match (status, code) {
            _ if is_put && refuses_condition(status, code) => {
                Some("if the store does not know the condition, set ARCHIVE_PROFILE=basic")
            }
            (403, "AccessDenied") if operation == "GetObject" => Some(
                "without s3:ListBucket a store answers the same for an object that does not exist",
            ),
            (
                _,
                "PathStyleDomainForbidden" | "InvalidPathAccess" | "SecondLevelDomainForbidden",
            ) => Some("set AWS_S3_ADDRESSING_STYLE=virtual"),
            (_, "NoSuchBucket") => {
                Some("check ARCHIVE_URL, and AWS_S3_ADDRESSING_STYLE (path, virtual or domain)")
            }
            (_, "RequestTimeTooSkewed") => {
                Some("set the clock of this machine: the service does not take its time")
            }
            _ => None,
        }
    }
}

/// Advice if another service, a proxy or a log-in page answered.
const NOT_S3: &str = "; check AWS_ENDPOINT_URL_S3 and ARCHIVE_URL, and what stands between: a proxy or \
                      a log-in page";

/// Whether the answer says that the bucket is in another region.
fn is_of_another_region(status: u16, code: &str) -> bool {
    matches!(status, 301 | 307 | 308)
        || matches!(
            code,
            "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException"
        )
}

impl BucketStore {
    /// Advice for a bucket in another region. `region` is the one that the store named.
    fn other_region(&self, region: Option<&str>) -> String {
        let setting = match self.scheme {
            "oss" => "?region= in ARCHIVE_URL",
            _ => "AWS_REGION",
        };
        let address = &self.address;
        match region {
            Some(region) => {
                let region = region.escape_debug();
                format!(
                    "; {address} does not serve this bucket: it is in {region}: set {setting} to \
                     that, and AWS_ENDPOINT_URL_S3 to that region's address or to none"
                )
            }
            None => format!(
                "; {address} does not serve this bucket: set {setting} to the bucket's region, and \
                 AWS_ENDPOINT_URL_S3 to that region's address"
            ),
        }
    }
}

/// Whether the store may have refused a PUT because of its condition.
pub fn may_refuse_condition(refusal: &Refusal) -> bool {
    refuses_condition(refusal.status, &refusal.code)
}

/// Stores that do not know the condition refuse it in one of these ways.
fn refuses_condition(status: u16, code: &str) -> bool {
    status == 501
        || matches!(status, 400 | 405)
            && matches!(
                code,
                "NotImplemented"
                    | "NotSupported"
                    | "InvalidRequest"
                    | "InvalidArgument"
                    | "MethodNotAllowed"
                    | "no code"
                    | ""
            )
}

/// Decodes a listed key. Some stores percent-encode keys and say so; some do not say so. A key with
/// the prefix and a `/` is plain, because every key of this program has a `/`.
fn plain_key(listed: &str, says_encoded: bool, prefix: &str) -> Option<String> {
    let has_slash = |key: &str| {
        key.strip_prefix(prefix)
            .is_some_and(|rest| rest.contains('/'))
    };
    let hides_slash = !has_slash(listed) && listed.to_ascii_lowercase().contains("%2f");
    let key = if says_encoded || hides_slash {
        let spaced = listed.replace('+', " ");
        let key = percent_encoding::percent_decode_str(&spaced).decode_utf8();
        key.ok()?.into_owned()
    } else {
        listed.to_owned()
    };
    key.starts_with(prefix).then_some(key)
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_key_is_read_as_the_store_spells_it() {
        for (listed, says_encoded, prefix, key) in [
            (
                "kept/i-a/x.log.gz",
                false,
                "kept/",
                Some("kept/i-a/x.log.gz"),
            ),
            (
                "kept%2Fi-a%2Fx.log.gz",
                true,
                "kept/",
                Some("kept/i-a/x.log.gz"),
            ),
            (
                "kept%2Fi-a%2Fx.log.gz",
                false,
                "kept/",
                Some("kept/i-a/x.log.gz"),
            ),
            ("i-a%2fx.log.gz", false, "", Some("i-a/x.log.gz")),
            (
                "my+own%20kept/i-a/x",
                true,
                "my own kept/",
                Some("my own kept/i-a/x"),
            ),
            ("a+b/i-a/x", false, "a+b/", Some("a+b/i-a/x")),
            ("a%2Bb/i-a/x", true, "a+b/", Some("a+b/i-a/x")),
            ("100%/i-a/x", false, "100%/", Some("100%/i-a/x")),
            ("other/i-a/x.log.gz", false, "kept/", None),
            ("kept-elsewhere/i-a/x", false, "kept/", None),
            ("%FF%2Fx", false, "", None),
        ] {
            let found = plain_key(listed, says_encoded, prefix);
            assert_eq!(found.as_deref(), key, "{listed}");
        }
    }

    #[test]
    fn each_service_has_its_own_words_for_encryption() {
        use EncryptionMethod::*;
        for (method, aws, oss) in [
            (Aes256, Some("AES256"), Some("AES256")),
            (Kms, Some("aws:kms"), Some("KMS")),
            (KmsDsse, Some("aws:kms:dsse"), None),
            (Sm4, None, Some("SM4")),
        ] {
            assert_eq!(method.header_value(Profile::Aws), aws);
            assert_eq!(method.header_value(Profile::Basic), aws);
            assert_eq!(method.header_value(Profile::Oss), oss);
        }
    }
}
