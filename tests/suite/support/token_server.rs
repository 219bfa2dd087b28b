//! Where credentials come from besides STS: an ECS instance's metadata service, a credentials URI,
//! and AWS STS, which gives tokens about AWS identities. Keys are the simulator's, so that it knows
//! them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ecs_console_archiver::simulator::Simulator;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use jiff::SignedDuration;
use serde_json::json;

use super::http::{Listening, plain};
use super::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use super::sigv4;

/// What AWS STS tells the OIDC provider.
pub const AWS_TOKEN: &str = "eyJ.aws-identity-token-that-must-not-show.x";
/// Who the keys of the tests are on AWS.
pub const AWS_ARN: &str = "arn:aws:sts::123456789012:assumed-role/archiver/console-archiver";
const METADATA_TOKEN: &str = "metadata-token-that-must-not-show";

pub struct TokenServer {
    shared: Arc<Shared>,
    listening: Listening,
}

pub struct Shared {
    simulator: Arc<Simulator>,
    life: SignedDuration,
    behaviour: Behaviour,
    asked: Mutex<Vec<String>>,
}

/// In what way it is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Good,
    /// The metadata service of an old kind: no tokens.
    NoMetadataToken,
    /// Requests for metadata are never answered.
    Stalls,
    /// The instance has no role.
    NoRole,
    /// AWS STS refuses with this code.
    Refuses(&'static str),
    /// Nobody may have the keys.
    Forbidden,
    /// Keys that the bucket knows.
    OfTheBucket,
}

impl TokenServer {
    /// Keys it gives out are good for `life`.
    pub async fn start(
        simulator: &Arc<Simulator>,
        life: SignedDuration,
        behaviour: Behaviour,
    ) -> Self {
        let shared = Arc::new(Shared {
            simulator: simulator.clone(),
            life,
            behaviour,
            asked: Mutex::default(),
        });
        let serving = shared.clone();
        let listening = Listening::start(move |request| {
            let shared = serving.clone();
            async move { shared.answer(request).await }
        });
        Self {
            shared,
            listening: listening.await,
        }
    }

    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Methods and paths, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

const ROLE_FOLDER: &str = "/latest/meta-data/ram/security-credentials/";

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = head.uri.path();
        let line = format!("{} {path}", head.method);
        self.asked.lock().unwrap().push(line.clone());
        if path.starts_with("/latest/") && self.behaviour == Behaviour::Stalls {
            return std::future::pending().await;
        }
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        let has_token = header("x-aliyun-ecs-metadata-token") == Some(METADATA_TOKEN);
        let may_ask = has_token || self.behaviour == Behaviour::NoMetadataToken;
        match line.as_str() {
            "PUT /latest/api/token" => {
                let life = header("x-aliyun-ecs-metadata-token-ttl-seconds");
                if self.behaviour == Behaviour::NoMetadataToken || life != Some("21600") {
                    return plain(404, "");
                }
                plain(200, METADATA_TOKEN)
            }
            "GET /latest/meta-data/ram/security-credentials/" if may_ask => {
                if self.behaviour == Behaviour::NoRole {
                    return plain(404, "");
                }
                plain(200, "archiver-role")
            }
            "GET /latest/meta-data/ram/security-credentials/archiver-role" if may_ask => {
                plain(200, &self.keys())
            }
            "GET /credentials" if self.behaviour == Behaviour::Forbidden => plain(403, "hush"),
            "GET /credentials" => plain(200, &self.keys()),
            "POST /" => self.aws_sts(&head.headers, &body),
            _ if path.starts_with(ROLE_FOLDER) => plain(403, ""),
            _ => plain(404, ""),
        }
    }

    fn keys(&self) -> String {
        if self.behaviour == Behaviour::OfTheBucket {
            return json!({
                "AccessKeyId": ACCESS_KEY_ID, "AccessKeySecret": SECRET_ACCESS_KEY,
                "SecurityToken": "session-token-that-must-not-show",
                "Expiration": "2036-10-26T10:27:32Z",
            })
            .to_string();
        }
        let session = self.simulator.open_session(self.life);
        let keys = &session.credentials;
        json!({
            "AccessKeyId": keys.access_key_id,
            "AccessKeySecret": keys.access_key_secret.expose(),
            "SecurityToken": keys.security_token.as_ref().unwrap().expose(),
            "Expiration": session.expires_at.unwrap().to_string(),
            "LastUpdated": "2023-10-26T10:22:32Z",
            "Code": "Success",
        })
        .to_string()
    }

    fn aws_sts(&self, headers: &hyper::HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
        if !sigv4::is_good("sts", headers, "/", body) {
            return aws_error(403, "SignatureDoesNotMatch");
        }
        if let Behaviour::Refuses(code) = self.behaviour {
            return aws_error(403, code);
        }
        let form: std::collections::BTreeMap<_, _> =
            url::form_urlencoded::parse(body).into_owned().collect();
        // The sample of AWS's page "GetCallerIdentity", for an assumed role.
        if form["Action"] == "GetCallerIdentity" {
            return plain(
                200,
                &format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                     <GetCallerIdentityResult><Arn>{AWS_ARN}</Arn>\
                     <UserId>ARO123EXAMPLE123:console-archiver</UserId>\
                     <Account>123456789012</Account></GetCallerIdentityResult>\
                     <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\
                     </ResponseMetadata></GetCallerIdentityResponse>"
                ),
            );
        }
        assert_eq!(form["Action"], "GetWebIdentityToken");
        assert_eq!(form["Audience.member.1"], "sts.aliyuncs.com");
        assert_eq!(form["SigningAlgorithm"], "RS256");
        plain(
            200,
            &format!(
                "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <GetWebIdentityTokenResult><WebIdentityToken>{AWS_TOKEN}</WebIdentityToken>\
                 <Expiration>2036-10-26T10:27:32Z</Expiration></GetWebIdentityTokenResult>\
                 </GetWebIdentityTokenResponse>"
            ),
        )
    }
}

fn aws_error(status: u16, code: &str) -> Response<Full<Bytes>> {
    plain(
        status,
        &format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>as told</Message></Error></ErrorResponse>"
        ),
    )
}
