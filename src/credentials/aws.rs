//! AWS STS: who this process is on AWS, and a token that proves it to Alibaba Cloud's STS.
//!
//! Sources: AWS, "GetWebIdentityToken", "GetCallerIdentity" and "Common error types" of the STS API
//! reference, with their samples; smithy.io, "AWS Query protocol".

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use reqwest::Method;
use url::Url;
use url::form_urlencoded::Serializer;

use super::CredentialsError;
use super::fetch::{STS_TIMEOUT, answer_of};
use crate::aws::refused::short;
use crate::aws::{AwsCall, partition};
use crate::clock::Clock;
use crate::http::answer;
use crate::model::credentials::{Credentials, Secret};

/// Version of the STS API.
const STS_VERSION: &str = "2011-06-15";

/// Parameters of a token request.
pub(super) struct TokenRequest<'a> {
    /// Region of the STS endpoint. Only regional endpoints have this operation.
    pub(super) region: &'a str,
    /// Address of AWS STS. `None` for AWS's own.
    pub(super) endpoint_url: Option<&'a str>,
    /// Audience of the token: the client ID of the OIDC provider.
    pub(super) audience: &'a str,
}

/// Gets a token for the identity of these credentials. Makes one attempt.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn web_identity_token(
    request: TokenRequest<'_>,
    credentials: &Credentials,
    http: &reqwest::Client,
) -> Result<Secret, CredentialsError> {
    let parameters = [
        ("Audience.member.1", request.audience),
        ("SigningAlgorithm", "RS256"),
        ("DurationSeconds", "300"),
    ];
    let sts = Sts {
        region: request.region,
        endpoint_url: request.endpoint_url,
        credentials,
        http,
    };
    let answer = sts.call("GetWebIdentityToken", &parameters).await?;
    match text_of(&answer, "WebIdentityToken") {
        Some(token) => Ok(Secret::new(token)),
        None => Err(CredentialsError::Unavailable(
            "AWS STS answered without a token".into(),
        )),
    }
}

/// Asks AWS STS whose credentials these are: the ARN of the user, or of the role's session. The
/// operation needs no permission ("GetCallerIdentity"). Makes one attempt.
///
/// # Errors
/// [`CredentialsError`] says what to do next.
pub(super) async fn caller(
    region: &str,
    endpoint_url: Option<&str>,
    credentials: &Credentials,
    http: &reqwest::Client,
) -> Result<String, CredentialsError> {
    let sts = Sts {
        region,
        endpoint_url,
        credentials,
        http,
    };
    let answer = sts.call("GetCallerIdentity", &[]).await?;
    text_of(&answer, "Arn")
        .ok_or_else(|| CredentialsError::Unavailable("AWS STS answered without an ARN".into()))
}

/// AWS STS, and who asks it.
struct Sts<'a> {
    region: &'a str,
    endpoint_url: Option<&'a str>,
    credentials: &'a Credentials,
    http: &'a reqwest::Client,
}

impl Sts<'_> {
    /// The XML of a success.
    async fn call(
        &self,
        operation: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, CredentialsError> {
        let endpoint = self.endpoint().map_err(CredentialsError::Unusable)?;
        let body = Serializer::new(String::new())
            .append_pair("Action", operation)
            .append_pair("Version", STS_VERSION)
            .extend_pairs(parameters)
            .finish();
        let call = AwsCall {
            service: "sts",
            region: self.region,
            endpoint: &endpoint,
            method: Method::POST,
            path: "/",
            query: "",
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            body: body.as_bytes(),
        };
        let request = call.request(self.http, self.credentials, Clock::default().now());
        let request = request.map_err(CredentialsError::Unusable)?;
        let (status, body) = answer_of(request.timeout(STS_TIMEOUT), "AWS STS").await?;
        let body = String::from_utf8_lossy(&body);
        if !(200..300).contains(&status) {
            return Err(refused(status, &body, operation, self.credentials));
        }
        match answer::xml(body.as_bytes()) {
            Ok(_) => Ok(body.into_owned()),
            // A success that says nothing is not from STS.
            Err(flaw) => Err(CredentialsError::Unavailable(format!(
                "AWS STS answered {status} and {flaw}"
            ))),
        }
    }

    fn endpoint(&self) -> Result<Url, String> {
        let domain = partition::domain(partition::of_region(self.region)).unwrap_or_default();
        let public = format!("https://sts.{}.{domain}", self.region);
        let url = self.endpoint_url.unwrap_or(&public);
        url.parse()
            .map_err(|error| format!("the address of AWS STS, {url}, is not a URL: {error}"))
    }
}

/// `operation`: what the identity must be allowed.
fn refused(status: u16, body: &str, operation: &str, used: &Credentials) -> CredentialsError {
    let body = used.left_out_of(body);
    let code = short(&text_of(&body, "Code").unwrap_or_default());
    let message = short(&text_of(&body, "Message").unwrap_or_default());
    let shown = if code.is_empty() { "no code" } else { &code };
    let advice = match code.as_str() {
        "OutboundWebIdentityFederationDisabled"
        | "OutboundWebIdentityFederationDisabledException" => {
            "; enable outbound web identity federation in the AWS account"
        }
        "AccessDenied" => &format!("; the function's role must allow sts:{operation}"),
        _ => "",
    };
    let text = format!("AWS STS answered {status} {shown}: {message}{advice}");
    if status >= 500 || status == 429 || code.starts_with("Throttling") {
        CredentialsError::Unavailable(text)
    } else {
        CredentialsError::Refused(text)
    }
}

/// Text of the first element with this name. `None` if there is none, or if the document breaks off
/// before its end.
fn text_of(xml: &str, element: &str) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if start.local_name().as_ref() == element => {
                let text = reader.read_text(start.name()).ok()?;
                return Some(unescape(&text).ok()?.trim().to_owned());
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's sample of "GetCallerIdentity", for an assumed role, and an error of the same form as in
    /// getmoto/moto (`moto/core/responses.py`) and localstack.
    #[test]
    fn answers_are_read_from_the_vendors_form() {
        let identity =
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
            <GetCallerIdentityResult>
            <Arn>arn:aws:sts::123456789012:assumed-role/my-role-name/my-role-session-name</Arn>
            <UserId>ARO123EXAMPLE123:my-role-session-name</UserId>
            <Account>123456789012</Account>
            </GetCallerIdentityResult></GetCallerIdentityResponse>";
        let arn = "arn:aws:sts::123456789012:assumed-role/my-role-name/my-role-session-name";
        assert_eq!(text_of(identity, "Arn").as_deref(), Some(arn));
        assert_eq!(text_of(identity, "WebIdentityToken"), None);
        let cut = &identity[..identity.find("role-name").unwrap()];
        assert_eq!(text_of(cut, "Arn"), None);
        assert_eq!(
            text_of("<a><Arn>a&amp;b&#x41;</Arn></a>", "Arn").as_deref(),
            Some("a&bA")
        );
    }

    #[test]
    fn a_refusal_says_what_to_do_and_shows_no_secret() {
        let used = Credentials {
            access_key_id: "id".into(),
            access_key_secret: Secret::new("hush"),
            security_token: Some(Secret::new("to&ken")),
        };
        let body = |code: &str| {
            format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender\
                 </Type><Code>{code}</Code><Message>no\nhush</Message></Error>\
                 <RequestId>r</RequestId></ErrorResponse>"
            )
        };
        let said = |status, body: &str| refused(status, body, "GetWebIdentityToken", &used);
        let denied = said(403, &body("AccessDenied"));
        let text = "AWS STS answered 403 AccessDenied: no\\n[secret]; the function's role must allow \
                    sts:GetWebIdentityToken";
        assert!(matches!(denied, CredentialsError::Refused(shown) if shown == text));
        for (status, body) in [
            (429, body("")),
            (400, body("Throttling")),
            (502, "<html>".into()),
        ] {
            let error = said(status, &body);
            assert!(
                matches!(error, CredentialsError::Unavailable(_)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn each_partition_has_its_own_address() {
        let credentials = Credentials {
            access_key_id: "id".into(),
            access_key_secret: Secret::new("hush"),
            security_token: None,
        };
        let http = crate::http::client(&crate::http::HttpOptions::default()).unwrap();
        for (region, host) in [
            ("eu-central-1", "sts.eu-central-1.amazonaws.com"),
            ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ] {
            let sts = Sts {
                region,
                endpoint_url: None,
                credentials: &credentials,
                http: &http,
            };
            assert_eq!(sts.endpoint().unwrap().host_str(), Some(host));
        }
    }
}
