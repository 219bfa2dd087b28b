//! Call and signature → address and headers, for RPC-style and ROA-style APIs. The caller passes time and nonce. Pure.

use jiff::Timestamp;
use url::Url;

use crate::alibaba::signature::{
    Parameter, SignatureVersion, acs3, canonical_query, sha256_hex, v1,
};
use crate::clock::iso_second;
use crate::model::credentials::Credentials;
use crate::model::ids::{InstanceId, RegionId};

/// Version of the ECS API.
pub const API_VERSION: &str = "2014-05-26";

/// A call of an RPC-style API, before it is signed.
#[derive(Debug, Clone)]
pub struct RpcCall {
    /// Name of the operation.
    pub action: &'static str,
    /// Version of the API that has this operation.
    pub version: &'static str,
    /// Parameters of the operation.
    pub parameters: Vec<Parameter>,
}

impl RpcCall {
    /// Gets the console output that ECS has cached for an instance.
    ///
    /// Leaves out `RemoveSymbols`, because the archive keeps the bytes as the guest wrote them.
    pub fn get_instance_console_output(region_id: &RegionId, instance_id: &InstanceId) -> Self {
        Self {
            action: "GetInstanceConsoleOutput",
            version: API_VERSION,
            parameters: vec![
                ("InstanceId".into(), instance_id.to_string()),
                ("RegionId".into(), region_id.to_string()),
            ],
        }
    }

    /// Takes a picture of an instance's screen.
    ///
    /// `WakeUp` is `false` by default, and left out then.
    pub fn get_instance_screenshot(
        region_id: &RegionId,
        instance_id: &InstanceId,
        wakes_up: bool,
    ) -> Self {
        let mut call = Self::get_instance_console_output(region_id, instance_id);
        call.action = "GetInstanceScreenshot";
        let wake_up = wakes_up.then(|| ("WakeUp".into(), "true".to_owned()));
        call.parameters.extend(wake_up);
        call
    }
}

/// Instances in one page of `DescribeInstances`: the API's maximum.
const PAGE_INSTANCES: &str = "100";

impl RpcCall {
    /// Lists the instances of a region, one page at a time. `next_token` comes from the page
    /// before.
    pub fn describe_instances(region_id: &RegionId, next_token: Option<&str>) -> Self {
        let mut parameters: Vec<Parameter> = vec![
            ("MaxResults".into(), PAGE_INSTANCES.into()),
            ("RegionId".into(), region_id.to_string()),
        ];
        if let Some(token) = next_token {
            parameters.push(("NextToken".into(), token.to_owned()));
        }
        Self {
            action: "DescribeInstances",
            version: API_VERSION,
            parameters,
        }
    }

    /// Lists the regions that the account can use.
    pub fn describe_regions() -> Self {
        Self {
            action: "DescribeRegions",
            version: API_VERSION,
            parameters: Vec::new(),
        }
    }
}

/// Time and nonce of one attempt. ECS rejects a nonce that it has seen before.
#[derive(Debug, Clone)]
pub struct SigningContext {
    /// Time of signing. ECS accepts up to 15 minutes of difference.
    pub now: Timestamp,
    /// The attempt's own nonce.
    pub nonce: String,
}

/// A signed request, to be sent as `POST` with the body that was signed: an empty one for a call of
/// an RPC-style API.
///
/// It has no `Debug`, because address and headers contain the security token.
pub struct SignedRequest {
    /// Address of the endpoint, with the path and the canonical query.
    pub url: Url,
    /// Names in lower case, and values. `host` is missing, because the HTTP client adds it with the
    /// value of [`host_header`].
    pub headers: Vec<Parameter>,
}

const METHOD: &str = "POST";

/// Signs a call to `endpoint`.
pub fn sign(
    call: &RpcCall,
    endpoint: &Url,
    version: SignatureVersion,
    credentials: &Credentials,
    context: &SigningContext,
) -> SignedRequest {
    match version {
        SignatureVersion::Acs3 => sign_acs3(call, endpoint, credentials, context),
        SignatureVersion::V1 => sign_v1(call, endpoint, credentials, context),
    }
}

fn sign_acs3(
    call: &RpcCall,
    endpoint: &Url,
    credentials: &Credentials,
    context: &SigningContext,
) -> SignedRequest {
    let signed = Acs3 {
        action: call.action,
        version: call.version,
        path: "/",
        parameters: &call.parameters,
        headers: &[],
        body: b"",
    };
    signed.sign(endpoint, credentials, context)
}

/// A call of an ROA-style API, before it is signed. Such an API has a path for each resource, and
/// knows only the ACS3 scheme.
#[derive(Debug, Clone)]
pub struct RoaCall<'a> {
    /// Name of the operation.
    pub action: &'static str,
    /// Version of the API that has this operation.
    pub version: &'static str,
    /// Path of the resource, encoded as it is sent.
    pub path: String,
    /// Parameters in the query.
    pub parameters: Vec<Parameter>,
    /// The operation's own headers, with names in lower case. They are signed, too.
    pub headers: Vec<Parameter>,
    /// The body.
    pub body: &'a [u8],
}

impl RoaCall<'_> {
    /// Signs the call to `endpoint`.
    pub fn sign(
        &self,
        endpoint: &Url,
        credentials: &Credentials,
        context: &SigningContext,
    ) -> SignedRequest {
        let signed = Acs3 {
            action: self.action,
            version: self.version,
            path: &self.path,
            parameters: &self.parameters,
            headers: &self.headers,
            body: self.body,
        };
        signed.sign(endpoint, credentials, context)
    }
}

/// What the ACS3 scheme signs of a call.
struct Acs3<'a> {
    action: &'a str,
    version: &'a str,
    path: &'a str,
    parameters: &'a [Parameter],
    headers: &'a [Parameter],
    body: &'a [u8],
}

impl Acs3<'_> {
    fn sign(
        &self,
        endpoint: &Url,
        credentials: &Credentials,
        context: &SigningContext,
    ) -> SignedRequest {
        let payload_sha256 = sha256_hex(self.body);
        let mut headers: Vec<Parameter> = [
            ("accept", "application/json"),
            ("host", &host_header(endpoint)),
            ("x-acs-action", self.action),
            ("x-acs-content-sha256", &payload_sha256),
            ("x-acs-date", &iso_second(context.now)),
            ("x-acs-signature-nonce", &context.nonce),
            ("x-acs-version", self.version),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        headers.extend_from_slice(self.headers);
        if let Some(token) = &credentials.security_token {
            headers.push(("x-acs-security-token".into(), token.expose().to_owned()));
            headers.push((
                "x-acs-accesskey-id".into(),
                credentials.access_key_id.clone(),
            ));
        }
        let query = canonical_query(self.parameters);
        let canonical_request =
            acs3::canonical_request(METHOD, self.path, &query, &headers, &payload_sha256);
        let string_to_sign = acs3::string_to_sign(&canonical_request);
        let signature = acs3::signature(&credentials.access_key_secret, &string_to_sign);
        let names = acs3::signed_headers(&headers);
        let authorization = acs3::authorization(&credentials.access_key_id, &names, &signature);
        headers.retain(|(name, _)| name != "host");
        headers.push(("authorization".into(), authorization));
        let mut url = with_query(endpoint, &query);
        url.set_path(self.path);
        SignedRequest { url, headers }
    }
}

fn sign_v1(
    call: &RpcCall,
    endpoint: &Url,
    credentials: &Credentials,
    context: &SigningContext,
) -> SignedRequest {
    let mut parameters = call.parameters.clone();
    let common = [
        ("Action", call.action),
        ("Version", call.version),
        ("Format", "JSON"), // The default is XML.
        ("AccessKeyId", &credentials.access_key_id),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", &context.nonce),
        ("Timestamp", &iso_second(context.now)),
    ];
    parameters.extend(common.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let Some(token) = &credentials.security_token {
        parameters.push(("SecurityToken".into(), token.expose().to_owned()));
    }
    let string_to_sign = v1::string_to_sign(METHOD, &canonical_query(&parameters));
    let signature = v1::signature(&credentials.access_key_secret, &string_to_sign);
    parameters.push(("Signature".into(), signature));
    let headers = vec![("accept".to_owned(), "application/json".to_owned())];
    SignedRequest {
        url: with_query(endpoint, &canonical_query(&parameters)),
        headers,
    }
}

/// The `Host` header that a client sends for this address. It has a port only if that is not the
/// scheme's default.
pub fn host_header(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    match endpoint.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn with_query(endpoint: &Url, canonical_query: &str) -> Url {
    let mut url = endpoint.clone();
    url.set_query(Some(canonical_query));
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::credentials::Secret;

    fn signed(version: SignatureVersion, token: Option<&str>) -> SignedRequest {
        let call = RpcCall::get_instance_console_output(
            &RegionId::parse("cn-hangzhou").unwrap(),
            &InstanceId::parse("i-bp1c1xhsrac2coiw0001").unwrap(),
        );
        let credentials = Credentials {
            access_key_id: "testid".into(),
            access_key_secret: Secret::new("testsecret"),
            security_token: token.map(Secret::new),
        };
        let context = SigningContext {
            now: "2023-10-26T10:22:32.9Z".parse().unwrap(),
            nonce: "3156853299f313e23d1673dc12e1703d".into(),
        };
        let endpoint = Url::parse("http://127.0.0.1:8580").unwrap();
        sign(&call, &endpoint, version, &credentials, &context)
    }

    #[test]
    fn acs3_signs_every_header_it_sends_and_the_host() {
        let request = signed(SignatureVersion::Acs3, Some("CAIS+/tok en==~*"));
        let authorization = &request
            .headers
            .iter()
            .find(|(n, _)| n == "authorization")
            .unwrap()
            .1;
        let names = authorization
            .split("SignedHeaders=")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        let sent = request
            .headers
            .iter()
            .map(|(n, _)| n.as_str())
            .filter(|n| *n != "authorization");
        let mut expected: Vec<_> = sent.chain(["host"]).collect();
        expected.sort_unstable();
        assert_eq!(names.split(';').collect::<Vec<_>>(), expected);
        assert_eq!(
            request.url.query(),
            Some("InstanceId=i-bp1c1xhsrac2coiw0001&RegionId=cn-hangzhou")
        );
    }

    #[test]
    fn v1_sends_everything_in_the_query() {
        let request = signed(SignatureVersion::V1, Some("CAIS+/tok en==~*"));
        let query = request.url.query().unwrap();
        for part in [
            "Action=GetInstanceConsoleOutput",
            "Format=JSON",
            "SecurityToken=CAIS%2B%2Ftok%20en%3D%3D~%2A",
            "Timestamp=2023-10-26T10%3A22%3A32Z",
            "&Signature=",
        ] {
            assert!(query.contains(part), "{part} in {query}");
        }
    }

    /// The SDK signs a few headers more, which Function Compute does not ask for.
    #[test]
    fn an_invocation_has_the_path_the_query_and_the_headers_of_the_sdks() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/fixtures/signing-vectors.json"))
                .unwrap();
        let is_it = |vector: &&serde_json::Value| {
            vector["name"] == "roa-ACS3-HMAC-SHA256 InvokeFunction sts"
        };
        let vector = vectors.iter().find(is_it).unwrap();
        let body = vector["body"].as_str().unwrap().as_bytes();
        let call = RoaCall::invoke_function_later("ecs-console-archiver", 15, body);
        let credentials = Credentials {
            access_key_id: "testid".into(),
            access_key_secret: Secret::new("testsecret"),
            security_token: Some(Secret::new("CAIS+/tok en==~*")),
        };
        let context = SigningContext {
            now: "2023-10-26T10:22:32Z".parse().unwrap(),
            nonce: "3156853299f313e23d1673dc12e1703d".into(),
        };
        let endpoint = Url::parse("http://127.0.0.1:8581").unwrap();
        let signed = call.sign(&endpoint, &credentials, &context);
        assert_eq!(signed.url.path(), vector["pathname"]);
        assert_eq!(signed.url.query(), Some("qualifier=LATEST"));
        let of_sdk = vector["headers"].as_object().unwrap();
        let mut count = 0;
        for (name, value) in of_sdk {
            if [
                "user-agent",
                "host",
                "x-acs-credentials-provider",
                "Authorization",
            ]
            .contains(&name.as_str())
            {
                continue;
            }
            let sent = signed.headers.iter().find(|(sent, _)| sent == name);
            assert_eq!(&sent.expect(name).1, value, "{name}");
            count += 1;
        }
        assert_eq!(count, signed.headers.len() - 1, "and the authorization");
    }

    #[test]
    fn the_host_has_a_port_only_where_it_is_not_the_schemes() {
        for (url, host) in [
            ("http://127.0.0.1:8580", "127.0.0.1:8580"),
            ("https://ecs.aliyuncs.com:443", "ecs.aliyuncs.com"),
            ("http://[::1]:80", "[::1]"),
        ] {
            assert_eq!(host_header(&Url::parse(url).unwrap()), host);
        }
    }
}
