//! An archive in a bucket, through the S3 API: AWS S3, S3-compatible stores and OSS.

mod failure; // a failed call → what to do
mod removal; // many objects in one request
mod sdk_headers; // what the SDK says of itself, left out
mod signed_checksum; // a body's digest, calculated once
mod settings; // which bucket, and what its store can do

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
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
use crate::http::answer::{Asked, Expected};
pub use failure::may_refuse_condition;
use failure::{NOT_S3, status};
use sdk_headers::NoSdkHeaders;
pub use settings::{
    Addressing, BucketConfig, Encryption, EncryptionMethod, InvalidProfile, Profile,
};
use signed_checksum::SignChecksum;

/// An archive in a bucket.
#[derive(Debug, Clone)]
pub struct BucketStore {
    client: LazyClient,
    credentials: CredentialsProvider,
    scheme: &'static str,
    bucket: String,
    prefix: String,
    profile: Profile,
    encryption: Option<Encryption>,
    clock: Clock,
    /// Whether the store does not know the request that removes several objects.
    removes_singly: Arc<std::sync::atomic::AtomicBool>,
    /// Address of the service, for messages.
    address: String,
    /// As [`Self::host_url`].
    host_url: String,
}

/// The SDK's client, built for the first request or by [`Store::prepare`]: it parses the table of AWS's
/// partitions, which is the longest part of a start.
#[derive(Clone)]
struct LazyClient(Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>);

impl LazyClient {
    fn new(config: aws_sdk_s3::Config) -> Self {
        let build = || Client::from_conf(config);
        Self(Arc::new(LazyLock::new(Box::new(build))))
    }
}

impl std::fmt::Debug for LazyClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LazyClient")
    }
}

impl Deref for LazyClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
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
        let host_url = config.object_host_url();
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
            .interceptor(NoSdkHeaders)
            .interceptor(SignChecksum)
            .force_path_style(config.addressing == Addressing::Path)
            .retry_config(RetryConfig::disabled()) // `Retrying` retries, within the deadline.
            .timeout_config(TimeoutConfig::disabled()) // The HTTP client has the time-outs,
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled()) // also between pieces.
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
            client: LazyClient::new(builder.build()),
            credentials,
            scheme: config.scheme,
            bucket: config.bucket,
            prefix: config.prefix,
            profile: config.profile,
            encryption: config.encryption,
            clock,
            removes_singly: Arc::default(),
            address,
            host_url,
        }
    }

    /// The address that requests for objects go to, without the path.
    pub fn host_url(&self) -> &str {
        &self.host_url
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
                    "HeadObject on bucket {:?} at {} returned neither an ETag nor a time{NOT_S3}",
                    self.bucket, self.address
                )))
            }
            Ok(_) => Ok(Some(true)),
            Err(error) if status(&error) == Some(404) => Ok(Some(false)),
            Err(error) if status(&error) == Some(403) => Ok(None),
            Err(error) => Err(self.error("HeadObject", &error, &used).await),
        }
    }

    /// Removes an object. Returns whether the bucket keeps it as an earlier version.
    async fn delete_one(&self, key: &str) -> Result<bool, StoreError> {
        let used = self.credentials.get().await?;
        let request = self.client.delete_object().bucket(&self.bucket);
        match request.key(self.object_key(key)).send().await {
            Ok(answer) => Ok(answer.delete_marker() == Some(true)),
            Err(error) => Err(self.error("DeleteObject", &error, &used).await),
        }
    }

    /// Whether an object that may not be read is not there: who may list it sees that. AWS answers 404 for what is
    /// absent where a policy allows `s3:ListBucket` for the object's prefix alone, and other stores answer 403 there
    /// (ceph#68577).
    async fn is_absent(&self, key: &str) -> bool {
        let listed = self.list(key, None, None).await;
        listed.is_ok_and(|page| page.entries.iter().all(|entry| entry.key != key))
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
            Err(error) if is_denied(&error) && self.is_absent(key).await => return Ok(None),
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
            Err(error) if is_denied(&error) && self.is_absent(key).await => Ok(None),
            Err(error) => Err(self.error("HeadObject", &error, &used).await),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.delete_one(key).await.map(drop)
    }

    fn removes_at_once(&self) -> usize {
        removal::MOST
    }

    async fn delete_all(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<super::Removed, StoreError>>, StoreError> {
        self.remove(keys).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        let used = self.credentials.get().await?;
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(self.object_key(prefix))
            // XML cannot carry each key that a store takes, such as one with a control character.
            .encoding_type(EncodingType::Url)
            // Once there is a token, it has its place.
            .set_start_after(
                after
                    .filter(|_| next.is_none())
                    .map(|key| self.object_key(key)),
            )
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
                    "bucket {:?} returned a part of its listing, and no token for the rest",
                    self.bucket
                )));
            }
            // Some stores leave out the flag.
            (Some(true) | None, Some(token)) => Some(token.to_owned()),
        };
        Ok(Page {
            entries,
            next,
            is_partial: false,
        })
    }

    fn prepare(&self) {
        LazyLock::force(&self.client.0);
    }

    fn is_prepared(&self) -> bool {
        LazyLock::get(&self.client.0).is_some()
    }

    /// S3's directory buckets do not sort ("ListObjectsV2" in the API reference of S3), and nobody knows of
    /// other services.
    fn sorts(&self) -> bool {
        self.profile != Profile::Basic && !self.bucket.ends_with("--x-s3")
    }

    fn url(&self, key: &str) -> String {
        format!("{}://{}/{}", self.scheme, self.bucket, self.object_key(key))
    }
}

/// Whether this key may not do it. The answer to HEAD has no code.
fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(403) && matches!(error.code(), None | Some("AccessDenied"))
}

/// Decodes a listed key. Stores percent-encode keys, as they are asked, and say so. Some leave keys as they are, and some
/// encode them and do not say so. A key with the prefix and a `/` is plain then, because every
/// key of this program has a `/`.
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

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::endpoint::DefaultResolver;

    use super::*;
    use crate::credentials::source::Source;
    use crate::model::credentials::Credentials;
    use crate::model::credentials::Secret;

    /// A store with static credentials.
    pub(super) fn store(
        region: &str,
        endpoint_url: Option<&str>,
        addressing: Addressing,
        profile: Profile,
    ) -> BucketStore {
        let config = BucketConfig {
            scheme: "s3",
            bucket: "consoles".to_owned(),
            prefix: String::new(),
            region: region.to_owned(),
            endpoint_url: endpoint_url.map(str::to_owned),
            addressing,
            profile,
            encryption: None,
            credentials: Source::Static(Credentials {
                access_key_id: "key".to_owned(),
                access_key_secret: Secret::new("secret"),
                security_token: None,
            }),
        };
        let http = crate::http::client(&Default::default()).unwrap();
        let credentials = CredentialsProvider::new(config.credentials.clone(), http.clone());
        BucketStore::new(config, http, credentials)
    }

    /// Another address would be connected to early for nothing.
    #[tokio::test]
    async fn the_host_of_objects_is_the_one_that_the_sdk_asks() {
        let ours = Some("https://store.example.com:9000");
        let oss = Some("https://oss-cn-hangzhou.aliyuncs.com");
        for (region, endpoint_url, addressing) in [
            ("us-east-1", None, Addressing::VirtualHosted),
            ("eu-central-1", None, Addressing::VirtualHosted),
            ("ap-southeast-1", None, Addressing::Path),
            ("cn-north-1", None, Addressing::VirtualHosted),
            ("oss-cn-hangzhou", oss, Addressing::VirtualHosted),
            ("garage", ours, Addressing::Path),
        ] {
            let store = store(region, endpoint_url, addressing, Profile::Aws);
            let params = Params::builder()
                .bucket("consoles")
                .region(region)
                .set_endpoint(endpoint_url.map(str::to_owned))
                .force_path_style(addressing == Addressing::Path);
            let params = params.build().unwrap();
            let endpoint = DefaultResolver::new().resolve_endpoint(&params).await;
            let endpoint = endpoint.unwrap();
            let origin = |url: &str| url::Url::parse(url).unwrap().origin();
            assert_eq!(
                origin(store.host_url()),
                origin(endpoint.url()),
                "{region}, {addressing:?}"
            );
        }
    }

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
}
