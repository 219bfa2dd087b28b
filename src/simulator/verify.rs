//! A request from the network → a verified call, or the error that ECS would return.
//!
//! The check uses only the request itself: its query, the headers that it declares as signed, and
//! its host.

use hyper::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Answer, request_id};
use crate::alibaba::function_compute::{FUNCTION_COMPUTE_VERSION, INVOKE_FUNCTION};
use crate::alibaba::request::API_VERSION;
use crate::alibaba::signature::{Parameter, acs3, canonical_query, sha256_hex, v1};
use crate::credentials::Expiring;
use crate::model::credentials::Credentials;

/// Most difference between a request's time and the simulator's clock.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);

/// Format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json;charset=utf-8",
            Self::Xml => "text/xml;charset=utf-8",
        }
    }
}

/// A call with a valid signature and time.
#[derive(Debug, Clone)]
pub(super) struct ApiCall {
    pub(super) action: Action,
    /// ID of the key that signed it.
    pub(super) access_key_id: String,
    pub(super) nonce: String,
    pub(super) format: Format,
}

/// The operation, with its parameters.
#[derive(Debug, Clone)]
pub(super) enum Action {
    GetInstanceConsoleOutput {
        instance_id: String,
    },
    GetInstanceScreenshot {
        instance_id: String,
        wakes_up: bool,
    },
    DescribeInstances {
        region_id: String,
        max_results: usize,
        next_token: String,
    },
    DescribeRegions,
    GetCallerIdentity,
    AssumeRole {
        role_arn: String,
        has_policy: bool,
    },
    InvokeFunction {
        function_name: String,
        delay_seconds: u64,
        body: String,
    },
}

/// Longest payload of an asynchronous invocation, and its longest delay in seconds.
const MAX_PAYLOAD_BYTES: usize = 128 << 10;
const MAX_DELAY_SECONDS: u64 = 3600;

/// Version of the STS API.
const STS_VERSION: &str = "2015-04-01";

impl Action {
    /// Reads an asynchronous invocation as Function Compute's API of 2023-03-30 has it: the path of
    /// the SDK alibabacloud-fc20230330 4.8.3, limits and codes of the pages "error codes" and
    /// "Asynchronous invocations".
    fn read_invocation<B>(
        request: &Request<B>,
        query: &[Parameter],
        body: &[u8],
    ) -> Result<Self, (u16, &'static str)> {
        let path = request.uri().path();
        let function_name = path
            .strip_prefix("/2023-03-30/functions/")
            .and_then(|rest| rest.strip_suffix("/invocations"))
            .filter(|name| !name.is_empty() && !name.contains('/'));
        let function_name = function_name.ok_or((400, "PathNotSupported"))?;
        if find(query, "qualifier").is_some_and(|qualifier| qualifier != "LATEST") {
            return Err((404, "VersionNotFound"));
        }
        // The simulator runs no functions, so it cannot answer a synchronous invocation.
        if header(request, "x-fc-invocation-type") != Some("Async") {
            return Err((400, "InvalidArgument"));
        }
        let delay_seconds = header(request, "x-fc-async-delay").unwrap_or("0").parse();
        let delay_seconds = delay_seconds.map_err(|_| (400, "InvalidArgument"))?;
        if delay_seconds > MAX_DELAY_SECONDS {
            return Err((400, "InvalidArgument"));
        }
        if body.len() > MAX_PAYLOAD_BYTES {
            return Err((400, "EntityTooLarge"));
        }
        let body = String::from_utf8(body.to_vec()).map_err(|_| (400, "InvalidArgument"))?;
        Ok(Self::InvokeFunction {
            function_name: function_name.to_owned(),
            delay_seconds,
            body,
        })
    }

    fn read(name: &str, query: &[Parameter]) -> Result<Self, (u16, &'static str)> {
        let value = |name| find(query, name).ok_or((400, "MissingParameter"));
        match name {
            "GetInstanceConsoleOutput" => {
                value("RegionId")?;
                let instance_id = value("InstanceId")?;
                Ok(Self::GetInstanceConsoleOutput { instance_id })
            }
            "GetInstanceScreenshot" => {
                value("RegionId")?;
                let wake_up = find(query, "WakeUp").unwrap_or_else(|| "false".to_owned());
                Ok(Self::GetInstanceScreenshot {
                    instance_id: value("InstanceId")?,
                    wakes_up: wake_up.parse().map_err(|_| (400, "InvalidParameter"))?,
                })
            }
            "DescribeInstances" => {
                let max_results = value("MaxResults")?.parse();
                Ok(Self::DescribeInstances {
                    region_id: value("RegionId")?,
                    max_results: max_results.map_err(|_| (400, "InvalidParameter"))?,
                    next_token: find(query, "NextToken").unwrap_or_default(),
                })
            }
            "DescribeRegions" => Ok(Self::DescribeRegions),
            "GetCallerIdentity" => Ok(Self::GetCallerIdentity),
            "AssumeRole" => {
                value("RoleSessionName")?;
                Ok(Self::AssumeRole {
                    role_arn: value("RoleArn")?,
                    has_policy: find(query, "Policy").is_some(),
                })
            }
            _ => Err((404, "InvalidAction.NotFound")),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::GetInstanceConsoleOutput { .. } => "GetInstanceConsoleOutput",
            Self::GetInstanceScreenshot { .. } => "GetInstanceScreenshot",
            Self::DescribeInstances { .. } => "DescribeInstances",
            Self::DescribeRegions => "DescribeRegions",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::AssumeRole { .. } => "AssumeRole",
            Self::InvokeFunction { .. } => INVOKE_FUNCTION,
        }
    }

    fn version(&self) -> &'static str {
        match self {
            Self::AssumeRole { .. } | Self::GetCallerIdentity => STS_VERSION,
            Self::InvokeFunction { .. } => FUNCTION_COMPUTE_VERSION,
            _ => API_VERSION,
        }
    }

    /// The instance in the call. Empty if there is none.
    pub(super) fn instance_id(&self) -> &str {
        match self {
            Self::GetInstanceConsoleOutput { instance_id }
            | Self::GetInstanceScreenshot { instance_id, .. } => instance_id,
            _ => "",
        }
    }
}

/// An error of the API.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: u16,
    code: String,
    format: Format,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str, format: Format) -> Self {
        Self {
            status,
            code: code.to_owned(),
            format,
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let (code, request_id) = (&self.code, request_id());
        let body = match self.format {
            Format::Json => json!({
                "RequestId": request_id, "HostId": "simulator", "Code": code,
                "Message": "The simulator refused the request.",
            })
            .to_string(),
            Format::Xml => format!(
                "<?xml version='1.0' encoding='UTF-8'?><Error><RequestId>{request_id}</RequestId>\
                 <Code>{code}</Code><Message>The simulator refused the request.</Message></Error>"
            ),
        };
        Answer {
            status: self.status,
            code: code.clone(),
            content_type: self.format.content_type(),
            retry_after_ms: None,
            function_request_id: None,
            body: body.into_bytes(),
        }
    }
}

/// What both schemes sign, wherever they put it.
struct Claims {
    action: String,
    version: String,
    access_key_id: String,
    security_token: Option<String>,
    time: String,
    nonce: String,
    signature_is_good: bool,
    format: Format,
}

/// Verifies everything except that the nonce is new. `known` are the valid keys, with the
/// expiration of temporary ones.
pub(super) fn call<B: AsRef<[u8]>>(
    request: &Request<B>,
    known: &[Expiring],
    now: Timestamp,
) -> Result<ApiCall, Refusal> {
    let query: Vec<Parameter> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let authorization = header(request, "authorization");
    let is_named = |key: &&Expiring| {
        let id = key.credentials.access_key_id.as_str();
        let in_header = authorization.is_some_and(|text| text.contains(&format!("={id},")));
        in_header || find(&query, "AccessKeyId").as_deref() == Some(id)
    };
    // The key is unknown, so the signature cannot match whichever key is used.
    let named = known.iter().find(is_named).or(known.first());
    let Some(Expiring {
        credentials,
        expires_at,
    }) = named
    else {
        return Err(Refusal::new(
            404,
            "InvalidAccessKeyId.NotFound",
            Format::Json,
        ));
    };
    let claims = match authorization {
        Some(authorization) => acs3_claims(request, &query, authorization, credentials)?,
        None => v1_claims(request, &query, credentials)?,
    };
    let refuse = |status, code| Err(Refusal::new(status, code, claims.format));
    if claims.access_key_id != credentials.access_key_id {
        return refuse(404, "InvalidAccessKeyId.NotFound");
    }
    let Ok(time) = claims.time.parse::<Timestamp>() else {
        return refuse(400, "InvalidTimeStamp.Format");
    };
    if time.duration_since(now).abs() > MAX_SKEW {
        return refuse(400, "InvalidTimeStamp.Expired");
    }
    if claims.security_token.as_deref() != credentials.security_token.as_ref().map(|t| t.expose()) {
        return refuse(400, "InvalidSecurityToken.MismatchWithAccessKey");
    }
    if !claims.signature_is_good {
        return refuse(400, "SignatureDoesNotMatch");
    }
    if expires_at.is_some_and(|end| end <= now) {
        return refuse(403, "InvalidSecurityToken.Expired");
    }
    let action = if claims.action == INVOKE_FUNCTION {
        Action::read_invocation(request, &query, request.body().as_ref())
    } else {
        Action::read(&claims.action, &query)
    };
    match action {
        Ok(action) if action.version() != claims.version => refuse(400, "InvalidVersion"),
        Ok(action) => Ok(ApiCall {
            action,
            access_key_id: claims.access_key_id,
            nonce: claims.nonce,
            format: claims.format,
        }),
        Err((status, code)) => refuse(status, code),
    }
}

fn acs3_claims<B: AsRef<[u8]>>(
    request: &Request<B>,
    query: &[Parameter],
    authorization: &str,
    credentials: &Credentials,
) -> Result<Claims, Refusal> {
    let incomplete = || Refusal::new(400, "IncompleteSignature", Format::Json);
    let fields = authorization
        .strip_prefix(acs3::ALGORITHM)
        .ok_or_else(incomplete)?;
    let field = |name: &str| {
        let mut fields = fields.trim_start().split(',');
        fields
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    let access_key_id = field("Credential").ok_or_else(incomplete)?;
    let names = field("SignedHeaders").ok_or_else(incomplete)?;
    let signature = field("Signature").ok_or_else(incomplete)?;
    let signed: Vec<Parameter> = names
        .split(';')
        .map(|name| Some((name.to_owned(), header(request, name)?.to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(incomplete)?;
    // The host, the content type and every header of the service must be signed.
    let must = |name: &str| name == "host" || name == "content-type" || name.starts_with("x-acs-");
    let all_signed = request.headers().keys().all(|name| {
        !must(name.as_str()) || signed.iter().any(|(signed, _)| signed == name.as_str())
    });
    let value = |name: &str| find(&signed, name).ok_or_else(incomplete);
    let payload_sha256 = value("x-acs-content-sha256")?;
    let canonical_request = acs3::canonical_request(
        request.method().as_str(),
        request.uri().path(),
        &canonical_query(query),
        &signed,
        &payload_sha256,
    );
    let expected = acs3::signature(
        &credentials.access_key_secret,
        &acs3::string_to_sign(&canonical_request),
    );
    Ok(Claims {
        action: value("x-acs-action")?,
        version: value("x-acs-version")?,
        access_key_id,
        security_token: find(&signed, "x-acs-security-token"),
        time: value("x-acs-date")?,
        nonce: value("x-acs-signature-nonce")?,
        signature_is_good: expected == signature
            && all_signed
            && payload_sha256 == sha256_hex(request.body().as_ref())
            && names == acs3::signed_headers(&signed),
        format: Format::Json,
    })
}

fn v1_claims<B>(
    request: &Request<B>,
    query: &[Parameter],
    credentials: &Credentials,
) -> Result<Claims, Refusal> {
    let format = match find(query, "Format") {
        Some(format) if format.eq_ignore_ascii_case("json") => Format::Json,
        _ => Format::Xml, // XML is the API's default.
    };
    let value = |name: &str| find(query, name).ok_or(Refusal::new(400, "MissingParameter", format));
    let unsigned: Vec<_> = query
        .iter()
        .filter(|(name, _)| name != "Signature")
        .cloned()
        .collect();
    let string_to_sign = v1::string_to_sign(request.method().as_str(), &canonical_query(&unsigned));
    if value("SignatureMethod")? != "HMAC-SHA1" || value("SignatureVersion")? != "1.0" {
        return Err(Refusal::new(400, "InvalidSignatureMethod", format));
    }
    Ok(Claims {
        action: value("Action")?,
        version: value("Version")?,
        access_key_id: value("AccessKeyId")?,
        security_token: find(query, "SecurityToken"),
        time: value("Timestamp")?,
        nonce: value("SignatureNonce")?,
        signature_is_good: v1::signature(&credentials.access_key_secret, &string_to_sign)
            == value("Signature")?,
        format,
    })
}

fn header<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn find(parameters: &[Parameter], name: &str) -> Option<String> {
    parameters
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::request::{RoaCall, RpcCall, SigningContext, host_header, sign};
    use crate::alibaba::signature::SignatureVersion;
    use crate::model::credentials::Secret;
    use crate::model::ids::{InstanceId, RegionId};

    const NOW: &str = "2023-10-26T10:22:32Z";

    fn credentials(secret: &str, token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "testid".into(),
            access_key_secret: Secret::new(secret),
            security_token: token.map(Secret::new),
        }
    }

    fn request(version: SignatureVersion, with: &Credentials) -> Request<Vec<u8>> {
        let call = RpcCall::get_instance_console_output(
            &RegionId::parse("cn-hangzhou").unwrap(),
            &InstanceId::parse("i-a1").unwrap(),
        );
        let endpoint = url::Url::parse("http://127.0.0.1:8580").unwrap();
        let stamp = SigningContext {
            now: NOW.parse().unwrap(),
            nonce: "n".into(),
        };
        let signed = sign(&call, &endpoint, version, with, &stamp);
        let mut request = Request::post(signed.url.as_str()).header("host", host_header(&endpoint));
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        request.body(Vec::new()).unwrap()
    }

    const VERSIONS: [SignatureVersion; 2] = [SignatureVersion::Acs3, SignatureVersion::V1];

    #[track_caller]
    fn check(request: &Request<Vec<u8>>, known: &Credentials, now: &str, code: &str) {
        let known = Expiring {
            credentials: known.clone(),
            expires_at: None,
        };
        let code_given = call(request, &[known], now.parse().unwrap())
            .err()
            .map(|r| r.code);
        assert_eq!(code_given.as_deref().unwrap_or("good"), code);
    }

    #[test]
    fn what_the_client_signs_is_good() {
        for version in VERSIONS {
            for token in [None, Some("CAIS+/tok en==~*")] {
                let known = credentials("testsecret", token);
                check(&request(version, &known), &known, NOW, "good");
            }
        }
    }

    fn invocation(with: &Credentials, body: &[u8]) -> Request<Vec<u8>> {
        let call = RoaCall::invoke_function_later("archiver", 20, body);
        let endpoint = url::Url::parse("http://127.0.0.1:8580").unwrap();
        let context = SigningContext {
            now: NOW.parse().unwrap(),
            nonce: "n".into(),
        };
        let signed = call.sign(&endpoint, with, &context);
        let mut request = Request::post(signed.url.as_str()).header("host", host_header(&endpoint));
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        request.body(body.to_vec()).unwrap()
    }

    #[test]
    fn an_invocation_is_good_only_as_it_was_signed() {
        let known = credentials("testsecret", Some("t"));
        check(&invocation(&known, b"{}"), &known, NOW, "good");
        let change = |change: fn(&mut Request<Vec<u8>>)| {
            let mut request = invocation(&known, b"{}");
            change(&mut request);
            request
        };
        for changed in [
            change(|request| *request.body_mut() = b"{ }".to_vec()),
            change(|request| {
                *request.uri_mut() = "/2023-03-30/functions/b/invocations".parse().unwrap()
            }),
            change(|request| {
                let path = "/2023-03-30/functions/archiver/invocations?qualifier=1";
                *request.uri_mut() = path.parse().unwrap();
            }),
            change(|request| {
                let delay = "3000".parse().unwrap();
                request.headers_mut().insert("x-fc-async-delay", delay);
            }),
        ] {
            check(&changed, &known, NOW, "SignatureDoesNotMatch");
        }
        let long = vec![b' '; MAX_PAYLOAD_BYTES + 1];
        check(&invocation(&known, &long), &known, NOW, "EntityTooLarge");
    }

    #[test]
    fn a_wrong_secret_key_or_token_is_refused() {
        for version in VERSIONS {
            let known = credentials("testsecret", None);
            check(
                &request(version, &credentials("other", None)),
                &known,
                NOW,
                "SignatureDoesNotMatch",
            );
            let stranger = Credentials {
                access_key_id: "other".into(),
                ..known.clone()
            };
            check(
                &request(version, &stranger),
                &known,
                NOW,
                "InvalidAccessKeyId.NotFound",
            );
            let with_token = credentials("testsecret", Some("t"));
            let code = "InvalidSecurityToken.MismatchWithAccessKey";
            check(&request(version, &with_token), &known, NOW, code);
            check(&request(version, &known), &with_token, NOW, code);
        }
    }

    #[test]
    fn a_time_more_than_fifteen_minutes_off_is_refused() {
        for version in VERSIONS {
            let known = credentials("testsecret", None);
            let request = request(version, &known);
            check(&request, &known, "2023-10-26T10:37:32Z", "good");
            check(
                &request,
                &known,
                "2023-10-26T10:37:33Z",
                "InvalidTimeStamp.Expired",
            );
            check(
                &request,
                &known,
                "2023-10-26T10:07:31Z",
                "InvalidTimeStamp.Expired",
            );
        }
    }

    #[test]
    fn a_changed_query_method_or_host_is_refused() {
        let known = credentials("testsecret", None);
        for version in VERSIONS {
            let mut changed = request(version, &known);
            *changed.uri_mut() = changed
                .uri()
                .to_string()
                .replace("i-a1", "i-a2")
                .parse()
                .unwrap();
            check(&changed, &known, NOW, "SignatureDoesNotMatch");
            let mut changed = request(version, &known);
            *changed.method_mut() = hyper::Method::GET;
            check(&changed, &known, NOW, "SignatureDoesNotMatch");
        }
        let mut moved = request(SignatureVersion::Acs3, &known);
        moved
            .headers_mut()
            .insert("host", "evil.example".parse().unwrap());
        check(&moved, &known, NOW, "SignatureDoesNotMatch");
    }

    #[test]
    fn a_service_header_that_is_not_signed_is_refused() {
        let known = credentials("testsecret", None);
        let mut request = request(SignatureVersion::Acs3, &known);
        request
            .headers_mut()
            .insert("x-acs-extra", "1".parse().unwrap());
        check(&request, &known, NOW, "SignatureDoesNotMatch");
    }

    #[test]
    fn a_request_without_a_signature_is_refused() {
        let known = credentials("testsecret", None);
        check(
            &Request::post("/").body(Vec::new()).unwrap(),
            &known,
            NOW,
            "MissingParameter",
        );
        let bare = Request::post("/")
            .header("authorization", "Basic x")
            .body(Vec::new())
            .unwrap();
        check(&bare, &known, NOW, "IncompleteSignature");
    }
}
