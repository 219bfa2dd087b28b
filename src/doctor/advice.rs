//! What to do about an error of each service. The advice names the setting. Pure.

use url::Url;

use crate::aws::partition;
use crate::credentials::CredentialsError;
use crate::deployed::{DeployedFunction, FunctionComputeFunction, InvokeError, LambdaFunction};
use crate::model::ids::RegionId;
use crate::queue::QueueError;
use crate::refusal::Refusal;
use crate::secrets::arn::Manager;
use crate::secrets::{SecretAddress, SecretError};
use crate::source::ecs::endpoint::EcsEndpoint;
use crate::source::ecs::response::EcsError;
use crate::source::ecs::response::codes::goes_on_from;
use crate::store::bucket::{BucketConfig, Profile};
use crate::store::{StoreError, folder_advice};

/// What the archive was asked to do. It decides which permission is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Store an object.
    Write,
    /// Read an object.
    Read,
    /// List objects.
    List,
}

/// What to do about an error of ECS. `region_id` is the region that was asked, where it is known.
pub fn ecs(error: &EcsError, endpoint: &EcsEndpoint, region_id: Option<&RegionId>) -> String {
    let is_set = *endpoint != EcsEndpoint::Public;
    let host = region_id.and_then(|region_id| host_of(&endpoint.url(region_id).ok()?));
    let another = || {
        let where_to = if is_set {
            "check ECS_ENDPOINT_URL"
        } else {
            "check ALIBABA_CLOUD_REGION_ID, and proxies"
        };
        let host = host.as_deref().unwrap_or("what answers");
        format!("{host} is not an ECS endpoint: {where_to}")
    };
    match error {
        EcsError::Denied { advice, .. } => advice.clone().into_owned(),
        EcsError::OtherAccount { .. } | EcsError::UnknownAccount { .. } => {
            "set ALIBABA_CLOUD_ROLE_ARN to a role of the instance's account".to_owned()
        }
        EcsError::Credentials(cause) => refused_credentials(cause, true),
        EcsError::Transport(cause) if is_set => {
            unreachable("ECS_ENDPOINT_URL", host.as_deref(), cause)
        }
        EcsError::Transport(cause) => unreachable(
            "ALIBABA_CLOUD_REGION_ID (or set ECS_ENDPOINT_URL to another address of ECS)",
            host.as_deref(),
            cause,
        ),
        EcsError::Unreadable { .. }
        | EcsError::Undecoded(_)
        | EcsError::NotAScreenshot(_)
        | EcsError::TooLong => another(),
        EcsError::Unavailable { code, .. } | EcsError::Rejected { code, .. } if code.is_empty() => {
            another()
        }
        EcsError::Unavailable { .. } => "ECS fails on its side: try again later".to_owned(),
        EcsError::Throttled { .. } => {
            "the account makes too many calls per minute: try again later".to_owned()
        }
        EcsError::TooSoon { .. } => "try again in 10 s".to_owned(),
        EcsError::StaleSignature { code, .. } if code.starts_with("InvalidSecurityToken") => {
            "renew ALIBABA_CLOUD_SECURITY_TOKEN and the key it came with".to_owned()
        }
        EcsError::StaleSignature { .. } => "set this machine's clock".to_owned(),
        EcsError::Rejected { code, .. } => match code.as_str() {
            c if c.contains("RegionId") => {
                let region = region_id.map_or("the event's region", RegionId::as_str);
                format!("check ALIBABA_CLOUD_REGION_ID: ECS does not know {region}")
            }
            c if c.contains("Signature") => "check ECS_SIGNATURE_VERSION".to_owned(),
            c if c.starts_with("InvalidAction") || c.starts_with("InvalidApi") => another(),
            _ => look_up(code, "ECS API"),
        },
        EcsError::NoConsole { reason, .. } => reason.message().to_owned(),
    }
}

/// What to do if a service refuses to issue credentials.
fn refused_credentials(cause: &CredentialsError, is_alibaba: bool) -> String {
    // STS fetches the issuer's keys over HTTPS, and knows the authorities that the provider lists.
    if is_alibaba && cause.reason().contains("PublicKeyFingerprintMismatch") {
        return "add the SHA-1 fingerprint of the root authority of the issuer's certificate to the \
                OIDC provider in ALIBABA_CLOUD_OIDC_PROVIDER_ARN: aliyun ims \
                AddFingerprintToOIDCProvider, or apply infra/push again without \
                aws_issuer_fingerprints"
            .to_owned();
    }
    credentials(is_alibaba).to_owned()
}

/// What to do if there are no credentials for Alibaba Cloud, or for AWS.
fn credentials(is_alibaba: bool) -> &'static str {
    if is_alibaba {
        "check the settings that credentials come from: ALIBABA_CLOUD_ACCESS_KEY_ID, \
         ALIBABA_CLOUD_ROLE_ARN and what belongs to them"
    } else {
        "check where the AWS credentials come from: AWS_ACCESS_KEY_ID, or AWS_PROFILE"
    }
}

/// What to do about an error of a bucket.
pub fn bucket(error: &StoreError, operation: Operation, bucket: &BucketConfig) -> String {
    let at_oss = speaks_to_oss(bucket);
    match error {
        StoreError::Unavailable(cause) | StoreError::Foreign(cause) => {
            let endpoint = bucket.endpoint_url.as_deref();
            let host = endpoint.and_then(|url| host_of(&Url::parse(url).ok()?));
            let region = &bucket.region;
            let domain = partition::domain(partition::of_region(region)).unwrap_or_default();
            let host = host.unwrap_or(format!("s3.{region}.{domain}"));
            let setting = match (bucket.scheme, endpoint) {
                ("oss", _) => "the region in ARCHIVE_URL, or AWS_ENDPOINT_URL_S3 where it is set",
                (_, Some(_)) => "AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL)",
                (_, None) => "AWS_REGION",
            };
            unreachable(setting, Some(&host), cause)
        }
        StoreError::Credentials(cause) => refused_credentials(cause, bucket.scheme == "oss"),
        StoreError::StaleSignature(account) if account.contains("RequestTimeTooSkewed") => {
            "set this machine's clock".to_owned()
        }
        StoreError::StaleSignature(_) => expired(bucket),
        StoreError::Denied(refusal) | StoreError::Rejected(refusal) => {
            refused(refusal, operation, bucket, at_oss)
        }
        StoreError::OfObject(error) => self::bucket(error, operation, bucket),
        StoreError::TooLarge { .. } => "remove that object: another program stored it".to_owned(),
        StoreError::OnlyListed => {
            "have the store mend its index, or the object brought back from a copy".to_owned()
        }
        StoreError::Listing(_) => "list, get and redrive need whole listings: look for a newer \
                                   version of the store, and for a proxy before it"
            .to_owned(),
        StoreError::NoFolder(_) | StoreError::Io { .. } | StoreError::Temporary(_) => folder(error),
    }
}

/// What to do about an error of a folder.
pub fn folder(error: &StoreError) -> String {
    match error {
        StoreError::Io { cause, .. } => folder_advice(cause).to_owned(),
        StoreError::TooLarge { .. } => "remove that file: another program stored it".to_owned(),
        StoreError::Temporary(_) => "set TMPDIR to a folder with space".to_owned(),
        _ => "check the folder in ARCHIVE_URL".to_owned(),
    }
}

/// Whether the key is refused, so that every other request would fail too.
pub fn refuses_key(error: &StoreError) -> bool {
    match error {
        StoreError::Denied(refusal) | StoreError::Rejected(refusal) => matches!(
            refusal.code.as_str(),
            "InvalidAccessKeyId"
                | "NotSignedUp"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "InvalidSecurityToken"
        ),
        StoreError::StaleSignature(account) => !account.contains("RequestTimeTooSkewed"),
        StoreError::Credentials(_) => true,
        _ => false,
    }
}

/// Whether another address may work.
pub fn may_be_the_address(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) => true,
        StoreError::Denied(refusal) | StoreError::Rejected(refusal) => {
            matches!(
                refusal.code.as_str(),
                "NoSuchBucket"
                    | "InvalidBucketName"
                    | "NoSuchKey"
                    | "PathStyleDomainForbidden"
                    | "InvalidPathAccess"
                    | "SecondLevelDomainForbidden"
                    | "MethodNotAllowed"
                    | "InvalidURI"
                    | "InvalidRequest"
                    | ""
            ) && !matches!(refusal.status, 301 | 307)
        }
        _ => false,
    }
}

/// Whether a name can be put before the endpoint's host. It cannot before an IP address.
pub fn has_name(bucket: &BucketConfig) -> bool {
    let endpoint = bucket.endpoint_url.as_deref().map(Url::parse);
    let is_number = matches!(&endpoint, Some(Ok(url)) if url.domain().is_none());
    !is_number && !bucket.bucket.contains(['.', '_'])
}

/// Whether the store accepts the key and the address, but a permission is missing.
pub fn lacks_bucket_permission(error: &StoreError) -> bool {
    matches!(error, StoreError::Denied(refusal)
        if refusal.code == "AccessDenied" && !names_another_endpoint(refusal))
}

/// OSS answers `AccessDenied` with this text if the bucket is in another region.
fn names_another_endpoint(refusal: &Refusal) -> bool {
    refusal.account.contains("specified endpoint")
}

fn speaks_to_oss(bucket: &BucketConfig) -> bool {
    bucket.scheme == "oss" || bucket.profile == Profile::Oss
}

fn expired(bucket: &BucketConfig) -> String {
    match bucket.scheme {
        "oss" => "renew ALIBABA_CLOUD_SECURITY_TOKEN and the key it came with",
        _ => "renew AWS_SESSION_TOKEN and the key it came with",
    }
    .to_owned()
}

fn refused(refusal: &Refusal, operation: Operation, bucket: &BucketConfig, at_oss: bool) -> String {
    let own_keys = bucket.scheme == "oss";
    let for_keys = |oss: &str, s3: &str| (if own_keys { oss } else { s3 }).to_owned();
    match (refusal.status, refusal.code.as_str()) {
        (501, _) => format!(
            "set ARCHIVE_PROFILE={}: the store does not know the condition of the profile {}",
            if bucket.profile == Profile::Basic {
                "oss"
            } else {
                "basic"
            },
            bucket.profile.as_str()
        ),
        (_, "NoSuchBucket" | "InvalidBucketName") => format!(
            "check ARCHIVE_URL: there is no bucket {:?} here; or try \
             AWS_S3_ADDRESSING_STYLE=path, virtual or domain",
            bucket.bucket
        ),
        (_, "PathStyleDomainForbidden" | "InvalidPathAccess") => {
            "set AWS_S3_ADDRESSING_STYLE=virtual: the store accepts the bucket's name only in the \
             host name"
                .to_owned()
        }
        (_, "SecondLevelDomainForbidden") => {
            "OSS accepts the bucket's name only in the host name: write ARCHIVE_URL as \
             oss://bucket/prefix?region=REGION, or AWS_ENDPOINT_URL_S3 as \
             https://s3.oss-REGION.aliyuncs.com"
                .to_owned()
        }
        (_, "InvalidAccessKeyId" | "NotSignedUp") => for_keys(
            "check ALIBABA_CLOUD_ACCESS_KEY_ID: the key does not exist or is disabled",
            "check AWS_ACCESS_KEY_ID: the key does not exist or is disabled",
        ),
        (_, "SignatureDoesNotMatch") => for_keys(
            "check ALIBABA_CLOUD_ACCESS_KEY_SECRET: it is not this key's secret",
            "check AWS_SECRET_ACCESS_KEY: it is not this key's secret",
        ),
        (_, "InvalidToken" | "InvalidSecurityToken") => for_keys(
            "check ALIBABA_CLOUD_SECURITY_TOKEN: it does not belong to this key",
            "check AWS_SESSION_TOKEN: it does not belong to this key",
        ),
        (301 | 307, _)
        | (
            _,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        ) => another_region(bucket),
        _ if names_another_endpoint(refusal) => another_region(bucket),
        (_, code) if code.to_ascii_lowercase().contains("kms") => kms(bucket),
        (_, "AccessDenied") if refusal.account.contains("kms:") => kms(bucket),
        (_, "AccessDenied") if operation == Operation::Write && bucket.encryption.is_none() => {
            format!(
                "{}; where a policy demands encryption, set AWS_SERVER_SIDE_ENCRYPTION",
                permission(operation, bucket, at_oss)
            )
        }
        (_, "AccessDenied") => permission(operation, bucket, at_oss),
        (_, "") => "the endpoint is not an object store: check AWS_ENDPOINT_URL_S3".into(),
        (_, code) => look_up(code, if at_oss { "OSS" } else { "S3 API" }),
    }
}

fn another_region(bucket: &BucketConfig) -> String {
    let region = &bucket.region;
    match (bucket.scheme, &bucket.endpoint_url) {
        ("oss", _) => format!(
            "the bucket is not in {region}: write its region into ARCHIVE_URL, as in \
             oss://bucket/prefix?region=REGION, and check AWS_ENDPOINT_URL_S3 where it is set"
        ),
        (_, Some(_)) => format!(
            "the bucket is not in {region}: set AWS_REGION, and AWS_ENDPOINT_URL_S3 to its region's \
             address"
        ),
        (_, None) => format!("the bucket is not in {region}: set AWS_REGION to its region"),
    }
}

fn kms(bucket: &BucketConfig) -> String {
    let key_id = bucket
        .encryption
        .as_ref()
        .and_then(|e| e.kms_key_id.as_deref());
    let key = match key_id {
        Some(id) => format!("the key in AWS_SSE_KMS_KEY_ID, {id}"),
        None => "the KMS key that the bucket encrypts with".to_owned(),
    };
    format!("allow this key kms:GenerateDataKey to write and kms:Decrypt to read, on {key}")
}

fn permission(operation: Operation, config: &BucketConfig, at_oss: bool) -> String {
    let BucketConfig {
        bucket,
        prefix,
        region,
        ..
    } = config;
    let objects = format!("{bucket}/{prefix}*");
    let (action, resource) = match operation {
        Operation::Write => ("PutObject", &objects),
        Operation::Read => ("GetObject", &objects),
        Operation::List if at_oss => ("ListObjects", bucket),
        Operation::List => ("ListBucket", bucket),
    };
    if at_oss {
        format!("allow this key oss:{action} on acs:oss:*:*:{resource}")
    } else {
        let partition = partition::of_region(region);
        format!("allow this key s3:{action} on arn:{partition}:s3:::{resource}")
    }
}

/// A queue, as far as advice depends on it.
#[derive(Debug, Clone)]
pub struct AskedQueue {
    /// Its address.
    pub url: Url,
    /// What its address comes from: a setting, or an option.
    pub setting: &'static str,
    /// The permissions that are needed on it.
    pub actions: &'static str,
}

impl AskedQueue {
    /// The queue that events are sent to, to be followed later.
    pub fn follow(url: Url) -> Self {
        Self {
            url,
            setting: "FOLLOW_QUEUE_URL",
            actions: "sqs:SendMessage",
        }
    }
}

/// What to do about an error of a queue.
pub fn queue(error: &QueueError, asked: &AskedQueue) -> String {
    let AskedQueue {
        url,
        setting,
        actions,
    } = asked;
    let host = host_of(url).unwrap_or_default();
    let refusal = match error {
        QueueError::Unavailable(cause) => return unreachable(setting, Some(&host), cause),
        QueueError::Throttled(_) => return "try again in a minute".to_owned(),
        QueueError::StaleSignature(account) if account.contains("ExpiredToken") => {
            return "renew AWS_SESSION_TOKEN and the key it came with".to_owned();
        }
        QueueError::StaleSignature(_) => return "set this machine's clock".to_owned(),
        QueueError::Credentials(_) => return credentials(false).to_owned(),
        QueueError::TooLarge { .. } => {
            return "report this: no message should be that long".to_owned();
        }
        QueueError::Refused(refusal) => refusal,
    };
    match refusal.code.as_str() {
        c if c.ends_with("NonExistentQueue") || c == "QueueDoesNotExist" => {
            format!("check {setting}: there is no such queue")
        }
        "InvalidAddress" | "" => format!("check {setting}: {host} has no such queue"),
        c if c.to_ascii_lowercase().contains("kms") => {
            "allow this key kms:GenerateDataKey and kms:Decrypt on the key of the queue".to_owned()
        }
        "AccessDenied" | "AccessDeniedException" => {
            format!("allow this key {actions} on the queue in {setting}")
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => {
            "check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN: the key does not exist or is disabled"
                .to_owned()
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => format!(
            "check AWS_SECRET_ACCESS_KEY: it is not this key's secret; and the queue's region, \
             which is AWS_REGION where {setting} does not say it"
        ),
        code => look_up(code, "SQS API"),
    }
}

/// Only host and port, because an address may contain a password.
fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// `cause` is the network's message, or the service's message in place of an answer.
fn unreachable(setting: &str, host: Option<&str>, cause: &str) -> String {
    // Most causes name the host themselves.
    let host = host.filter(|host| !cause.contains(host));
    let host = host.unwrap_or("that address");
    if cause.contains("UnknownIssuer") {
        return format!(
            "set AWS_CA_BUNDLE or SSL_CERT_FILE to a PEM file with the authority that signed the \
             certificate of {host}: this program trusts public ones only"
        );
    }
    if cause.contains("certificate") {
        return format!("check {setting}: {host} has no certificate that this program trusts");
    }
    format!(
        "check {setting}: {host} must answer to this machine (name, port, firewall; HTTPS_PROXY \
         and NO_PROXY where they are set)"
    )
}

/// What to do about an error of a secrets manager.
pub fn secret(error: &SecretError, address: &SecretAddress) -> String {
    let SecretAddress { arn, endpoint } = address;
    let manager = arn.manager();
    let (action, setting) = match manager {
        Manager::SecretsManager => (
            "secretsmanager:GetSecretValue",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER (or AWS_ENDPOINT_URL)",
        ),
        Manager::ParameterStore => (
            "ssm:GetParameter",
            "AWS_ENDPOINT_URL_SSM (or AWS_ENDPOINT_URL)",
        ),
        Manager::Kms => ("kms:GetSecretValue", "KMS_ENDPOINT_URL"),
    };
    let refusal = match error {
        SecretError::Unavailable(cause) if cause.contains("does not answer") => {
            let setting = format!("the region in the ARN, and {setting}");
            return unreachable(&setting, host_of(endpoint).as_deref(), cause);
        }
        SecretError::Unavailable(_) => {
            return format!("{} fails on its side: try again later", manager.name());
        }
        SecretError::Unusable(_) => return "store another value, as text".to_owned(),
        SecretError::Refused(refusal) => refusal,
    };
    let name = arn.as_str();
    match refusal.code.as_str() {
        "" if refusal.status == 0 => credentials(!manager.is_aws()).to_owned(),
        "AccessDeniedException" if refusal.account.contains("KMS") => decrypt(),
        "DecryptionFailure" | "InvalidKeyId" | "KMSAccessDeniedException" => decrypt(),
        "AccessDeniedException" => format!("allow {action} on {name}"),
        // A secret that never had a value answers the same (boto3 issue 2794).
        "ResourceNotFoundException" | "ParameterNotFound" | "Forbidden.ResourceNotFound" => {
            format!("check the ARN {name}: no such secret is there, or it has no value yet")
        }
        "InvalidRequestException" | "Rejected.PendingDeletion" => {
            "the secret is about to be deleted: restore it, or use another".to_owned()
        }
        "Forbidden.KeyNotFound" | "Rejected.Disabled" | "Rejected.Unavailable" => {
            "enable the KMS key that the secret is encrypted with".to_owned()
        }
        code if goes_on_from(code, "Forbidden") || code == "NoPermission" => format!(
            "allow kms:GetSecretValue on {name}, and kms:Decrypt on the key that it is encrypted with"
        ),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException" => credentials(false).to_owned(),
        code if code.starts_with("InvalidAccessKeyId")
            || code.starts_with("InvalidSecurityToken") =>
        {
            credentials(true).to_owned()
        }
        "RequestExpired" | "RequestTimeTooSkewed" | "IllegalTimestamp" => {
            "set this machine's clock".to_owned()
        }
        code if code.contains("Signature") => credentials(!manager.is_aws()).to_owned(),
        code => look_up(code, manager.name()),
    }
}

/// What to do about a deployed function that says nothing of itself.
pub fn deployed(error: &InvokeError, function: &DeployedFunction) -> String {
    let is_alibaba = matches!(function, DeployedFunction::FunctionCompute(_));
    match error {
        InvokeError::Unavailable(cause) if cause.contains("does not answer") => {
            let (endpoint, setting) = match function {
                DeployedFunction::Lambda(function) => (
                    &function.endpoint,
                    "AWS_ENDPOINT_URL_LAMBDA (or AWS_ENDPOINT_URL)",
                ),
                DeployedFunction::FunctionCompute(function) => {
                    (&function.endpoint, "FUNCTION_COMPUTE_ENDPOINT_URL")
                }
            };
            let setting = format!("the function's region, and {setting} where it is set");
            unreachable(&setting, host_of(endpoint).as_deref(), cause)
        }
        InvokeError::Unavailable(cause) if cause.contains("timed out") => {
            "look at the function's log, and allow more time with --timeout".to_owned()
        }
        InvokeError::Unavailable(_) => "the platform fails on its side: try again later".to_owned(),
        InvokeError::Throttled(_) => "try again in a minute. If it stays so, more invocations run \
             than the function's limit, or the quota of the account, allows"
            .to_owned(),
        InvokeError::StaleSignature(cause) if cause.contains("ExpiredToken") => {
            "renew AWS_SESSION_TOKEN and the key it came with".to_owned()
        }
        InvokeError::StaleSignature(cause) if cause.contains("SecurityToken") => {
            "renew ALIBABA_CLOUD_SECURITY_TOKEN and the key it came with".to_owned()
        }
        InvokeError::StaleSignature(_) => "set this machine's clock".to_owned(),
        InvokeError::Credentials(_) => credentials(is_alibaba).to_owned(),
        InvokeError::OutOfTime(_) => "give the function a time-out of 60 s or more; its log says \
             what it waited for"
            .to_owned(),
        InvokeError::Failed(_) => {
            "read the function's log: it names each setting that is wrong, and each error"
                .to_owned()
        }
        InvokeError::Earlier(_) => {
            "upgrade the function: its version does not check itself when it is asked".to_owned()
        }
        InvokeError::Later(_) => {
            "upgrade console-archive: the function is of a later version".to_owned()
        }
        InvokeError::Foreign(_) => {
            format!("check the name {function}: another program answered")
        }
        InvokeError::Refused(refusal) => match function {
            DeployedFunction::Lambda(function) => not_invoked_by_lambda(refusal, function),
            DeployedFunction::FunctionCompute(function) => {
                not_invoked_by_function_compute(refusal, function)
            }
        },
    }
}

/// What to do about AWS Lambda that does not invoke a function.
fn not_invoked_by_lambda(refusal: &Refusal, function: &LambdaFunction) -> String {
    let LambdaFunction { name, region, .. } = function;
    match refusal.code.as_str() {
        "AccessDeniedException" => {
            let partition = partition::of_region(region);
            let resource = match name.region {
                Some(_) => name.to_string(),
                None => format!("arn:{partition}:lambda:{region}:*:function:{name}"),
            };
            format!("allow these credentials lambda:InvokeFunction on {resource}")
        }
        "ResourceNotFoundException" => {
            format!("check the name and the region: there is no {name} in {region}")
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException" => credentials(false).to_owned(),
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "check AWS_SECRET_ACCESS_KEY: it is not this key's secret; and that nothing between \
             changes the request, such as a proxy"
                .to_owned()
        }
        code if code.starts_with("KMS") => {
            "enable the KMS key of the function's environment, and allow the function's role \
             kms:Decrypt on it"
                .to_owned()
        }
        "" => "check AWS_ENDPOINT_URL_LAMBDA (or AWS_ENDPOINT_URL): AWS Lambda does not answer so"
            .to_owned(),
        code => look_up(code, "Invoke API of AWS Lambda"),
    }
}

/// What to do about Function Compute that does not invoke a function.
fn not_invoked_by_function_compute(
    refusal: &Refusal,
    function: &FunctionComputeFunction,
) -> String {
    let name = &function.name;
    match (refusal.status, refusal.code.as_str()) {
        (_, "SignatureNotMatch" | "SignatureDoesNotMatch" | "IncompleteSignature") => {
            "check ALIBABA_CLOUD_ACCESS_KEY_SECRET: it is not this key's secret; and that nothing \
             between changes the request, such as a proxy"
                .to_owned()
        }
        (_, code)
            if ["InvalidAccessKey", "InvalidSecurityToken", "SecurityToken"]
                .iter()
                .any(|start| code.starts_with(start)) =>
        {
            credentials(true).to_owned()
        }
        (404, code) if !code.is_empty() => {
            format!("check the name, the region and the account: there is no {name}")
        }
        (401 | 403, code) if !code.is_empty() => {
            format!("allow these credentials fc:InvokeFunction on {name} and on {name}/*",)
        }
        (_, "") => {
            "check FUNCTION_COMPUTE_ENDPOINT_URL: Function Compute does not answer so".to_owned()
        }
        (_, code) => look_up(code, "API of Function Compute"),
    }
}

fn decrypt() -> String {
    "allow kms:Decrypt on the KMS key that the secret is encrypted with, and enable the key"
        .to_owned()
}

fn look_up(code: &str, of: &str) -> String {
    format!("look up {code} in the error codes of the {of}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::source::Source;
    use crate::model::credentials::{Credentials, Secret};
    use crate::source::ecs::endpoint::EndpointTemplate;

    fn config(scheme: &'static str) -> BucketConfig {
        BucketConfig {
            scheme,
            bucket: "consoles".into(),
            prefix: "kept/".into(),
            region: "here-1".into(),
            endpoint_url: None,
            addressing: crate::store::bucket::Addressing::VirtualHosted,
            encryption: None,
            profile: if scheme == "oss" {
                Profile::Oss
            } else {
                Profile::Aws
            },
            credentials: Source::Static(Credentials {
                access_key_id: "id".into(),
                access_key_secret: Secret::new("hush"),
                security_token: None,
            }),
        }
    }

    fn refusal(status: u16, code: &str) -> StoreError {
        StoreError::Denied(Refusal {
            status,
            code: code.into(),
            account: format!("PutObject returned {status} {code}"),
        })
    }

    #[track_caller]
    fn check(error: &StoreError, s3: &str, oss: &str) {
        for (scheme, expected) in [("s3", s3), ("oss", oss)] {
            let advice = bucket(error, Operation::Write, &config(scheme));
            assert!(advice.contains(expected), "{scheme}: {advice}");
        }
    }

    /// The answer of STS in issue 4794 of gardenlinux/gardenlinux, where the issuer's chain changed overnight.
    const MISMATCH: &str = "STS answered 400 AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch \
                            The https fingerprint of this discovery is invalid. 7652A38C";

    #[test]
    fn an_unknown_authority_of_an_issuer_is_told_apart_from_other_refusals() {
        for (reason, ecs_and_oss, s3) in [
            (
                MISMATCH,
                "AddFingerprintToOIDCProvider",
                "AWS_ACCESS_KEY_ID",
            ),
            (
                "STS answered 404 EntityNotExist.Role",
                "ALIBABA_CLOUD_ROLE_ARN",
                "AWS_ACCESS_KEY_ID",
            ),
        ] {
            let refused = || CredentialsError::Refused(reason.to_owned());
            let advice = ecs(&refused().into(), &EcsEndpoint::Public, None);
            assert!(advice.contains(ecs_and_oss), "{advice}");
            check(&refused().into(), s3, ecs_and_oss);
        }
    }

    #[test]
    fn each_refusal_of_a_bucket_names_the_setting_of_its_scheme() {
        for (status, code, s3, oss) in [
            (404, "NoSuchBucket", "ARCHIVE_URL", "ARCHIVE_URL"),
            (301, "PermanentRedirect", "set AWS_REGION", "?region="),
            (301, "", "set AWS_REGION", "?region="),
            (
                400,
                "AuthorizationHeaderMalformed",
                "set AWS_REGION",
                "?region=",
            ),
            (
                400,
                "IllegalLocationConstraintException",
                "set AWS_REGION",
                "?region=",
            ),
            (
                403,
                "InvalidAccessKeyId",
                "AWS_ACCESS_KEY_ID",
                "CLOUD_ACCESS_KEY_ID",
            ),
            (
                403,
                "SignatureDoesNotMatch",
                "AWS_SECRET_ACCESS_KEY",
                "CLOUD_ACCESS_KEY_SECRET",
            ),
            (
                400,
                "InvalidToken",
                "AWS_SESSION_TOKEN",
                "CLOUD_SECURITY_TOKEN",
            ),
            (
                403,
                "AccessDenied",
                "s3:PutObject on arn:aws:s3:::consoles/kept/*",
                "oss:PutObject",
            ),
            (403, "SecondLevelDomainForbidden", "oss://", "oss://"),
            (
                501,
                "NotImplemented",
                "ARCHIVE_PROFILE=basic",
                "ARCHIVE_PROFILE=basic",
            ),
            (404, "", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_S3"),
            (418, "Odd", "look up Odd", "look up Odd"),
        ] {
            check(&refusal(status, code), s3, oss);
        }
    }

    #[test]
    fn another_region_of_oss_is_no_missing_permission() {
        let error = StoreError::Denied(Refusal {
            status: 403,
            code: "AccessDenied".into(),
            account: "must be addressed using the specified endpoint".into(),
        });
        assert!(!lacks_bucket_permission(&error));
        check(&error, "set AWS_REGION", "?region=");
        assert!(lacks_bucket_permission(&refusal(403, "AccessDenied")));
        assert!(!lacks_bucket_permission(&refusal(
            403,
            "InvalidAccessKeyId"
        )));
    }

    #[test]
    fn no_answer_names_the_setting_of_the_address_and_no_password() {
        let error = StoreError::Unavailable("refused".into());
        check(&error, "AWS_REGION", "ARCHIVE_URL");
        let mut at_another = config("s3");
        at_another.endpoint_url = Some("https://user:hush@s3.example.com:9000".into());
        let advice = bucket(&error, Operation::Read, &at_another);
        assert!(advice.contains("AWS_ENDPOINT_URL_S3") && advice.contains("s3.example.com:9000"));
        assert!(!advice.contains("hush"), "{advice}");
        let untrusted = StoreError::Unavailable("invalid peer certificate: UnknownIssuer".into());
        let advice = bucket(&untrusted, Operation::Read, &at_another);
        assert!(advice.contains("trusts"), "{advice}");
    }

    #[test]
    fn each_error_of_ecs_names_its_setting() {
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        let template = EndpointTemplate::parse("http://127.0.0.1:1").unwrap();
        let template = EcsEndpoint::Template(template);
        let rejected = |code: &str| EcsError::Rejected {
            status: 404,
            code: code.into(),
            request_id: String::new(),
        };
        let no_answer = || EcsError::Transport("refused".into());
        for (error, endpoint, expected) in [
            (no_answer(), &template, "ECS_ENDPOINT_URL: 127.0.0.1:1"),
            (
                no_answer(),
                &EcsEndpoint::Public,
                "ecs-cn-hangzhou.aliyuncs.com",
            ),
            (rejected(""), &template, "ECS_ENDPOINT_URL"),
            (
                rejected("InvalidRegionId.NotFound"),
                &EcsEndpoint::Public,
                "ALIBABA_CLOUD_REGION_ID",
            ),
            (
                rejected("InvalidSignatureMethod"),
                &EcsEndpoint::Public,
                "ECS_SIGNATURE_VERSION",
            ),
            (rejected("Odd"), &EcsEndpoint::Public, "look up Odd"),
        ] {
            let advice = ecs(&error, endpoint, Some(&region_id));
            assert!(advice.contains(expected), "{advice}");
        }
    }

    #[test]
    fn each_refusal_of_the_queue_names_its_setting() {
        let follow =
            AskedQueue::follow(Url::parse("https://sqs.us-east-1.amazonaws.com/1/q").unwrap());
        for (code, expected) in [
            ("AccessDenied", "sqs:SendMessage"),
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                "FOLLOW_QUEUE_URL",
            ),
            ("QueueDoesNotExist", "FOLLOW_QUEUE_URL"),
            ("KmsAccessDenied", "kms:"),
            ("InvalidClientTokenId", "AWS_ACCESS_KEY_ID"),
            ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            ("Odd", "look up Odd"),
        ] {
            let error = QueueError::Refused(Refusal {
                status: 400,
                code: code.into(),
                account: String::new(),
            });
            let advice = queue(&error, &follow);
            assert!(advice.contains(expected), "{code}: {advice}");
        }
        let advice = queue(&QueueError::Unavailable("refused".into()), &follow);
        assert!(advice.contains("FOLLOW_QUEUE_URL"), "{advice}");
    }
}
