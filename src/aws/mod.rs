//! One call to a service of AWS, signed with Signature Version 4. This folder builds requests and reads
//! refusals, and sends nothing.

pub mod partition; // AWS's partitions and the hosts in them (pure)
pub mod refused; // a refusal, in the forms of AWS's JSON protocols (pure)

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use jiff::Timestamp;
use reqwest::Method;
use url::Url;

use crate::model::credentials::Credentials;

/// A call, before it is signed.
#[derive(Debug, Clone)]
pub struct AwsCall<'a> {
    /// The service's name in signatures, such as `secretsmanager`.
    pub service: &'a str,
    /// Region of the service.
    pub region: &'a str,
    /// Address of the service. Only its scheme, host and port count.
    pub endpoint: &'a Url,
    /// Method.
    pub method: Method,
    /// Path of the resource, encoded as it is sent.
    pub path: &'a str,
    /// Query, encoded as it is sent. Empty for none.
    pub query: &'a str,
    /// The operation's own headers, with names in lower case. They are signed, too.
    pub headers: &'a [(&'static str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl AwsCall<'_> {
    /// The signed request, to be sent as it is. `now` is the time of signing: services accept a
    /// difference of 5 to 15 minutes.
    ///
    /// # Errors
    /// If it cannot be signed. The text says why.
    pub fn request(
        &self,
        http: &reqwest::Client,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<reqwest::RequestBuilder, String> {
        let failed =
            |error: &dyn std::error::Error| format!("the request cannot be signed: {error}");
        let mut url = self.endpoint.clone();
        url.set_path(self.path);
        url.set_query((!self.query.is_empty()).then_some(self.query));
        let identity = for_sdk(credentials).into();
        let since_1970 = Duration::from_secs(now.as_second().try_into().unwrap_or_default());
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + since_1970)
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let signable = SignableRequest::new(
            self.method.as_str(),
            url.as_str(),
            self.headers.iter().copied(),
            SignableBody::Bytes(self.body),
        )
        .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|error| failed(&error))?
            .into_parts();
        let mut request = http.request(self.method.clone(), url);
        for (name, value) in self.headers.iter().copied().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        Ok(request.body(self.body.to_owned()))
    }
}

/// Converts credentials for AWS's crates.
pub fn for_sdk(credentials: &Credentials) -> aws_credential_types::Credentials {
    let token = credentials.security_token.as_ref();
    aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        credentials.access_key_secret.expose(),
        token.map(|token| token.expose().to_owned()),
        None,
        "environment",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpOptions;
    use crate::model::credentials::Secret;

    /// With the time of the vendor's examples.
    #[track_caller]
    fn check(call: &AwsCall<'_>, [id, secret]: [&str; 2], signature: &str) {
        let http = crate::http::client(&HttpOptions::default()).unwrap();
        let credentials = Credentials {
            access_key_id: id.into(),
            access_key_secret: Secret::new(secret),
            security_token: None,
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let request = call.request(&http, &credentials, now).unwrap();
        let request = request.build().unwrap();
        assert_eq!(request.method(), call.method);
        assert_eq!(request.url().path(), call.path);
        assert_eq!(
            request.headers()["authorization"],
            format!(
                "AWS4-HMAC-SHA256 Credential={id}/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            )
        );
    }

    const KEY: [&str; 2] = ["AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"];

    /// `get-vanilla`, `get-vanilla-query-order-key-case`, `post-vanilla` and `double-encode-path` of
    /// the vendor's suite of examples, of which the crate aws-sigv4 carries a copy.
    #[test]
    fn the_signature_is_that_of_the_vendors_examples() {
        let endpoint = Url::parse("https://example.amazonaws.com").unwrap();
        let call = AwsCall {
            service: "service",
            region: "us-east-1",
            endpoint: &endpoint,
            method: Method::GET,
            path: "/",
            query: "",
            headers: &[],
            body: b"",
        };
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        check(&call, KEY, signature);
        let with_query = AwsCall {
            query: "Param2=value2&Param1=value1",
            ..call.clone()
        };
        let signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        check(&with_query, KEY, signature);
        let post = AwsCall {
            method: Method::POST,
            ..call
        };
        let signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        check(&post, KEY, signature);
        let endpoint =
            Url::parse("https://tj9n5r0m12.execute-api.us-east-1.amazonaws.com").unwrap();
        let encoded = AwsCall {
            endpoint: &endpoint,
            path: "/test/@connections/JBDvjfGEIAMCERw%3D",
            ..post
        };
        let signature = "57d157672191bac40bae387e48bbe14b15303c001fdbb01f4abf295dccb09705";
        let key = ["ANOTREAL", "notrealrnrELgWzOk3IfjzDKtFBhDby"];
        check(&encoded, key, signature);
    }
}
