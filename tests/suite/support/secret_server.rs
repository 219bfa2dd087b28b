//! AWS Secrets Manager, Parameter Store and Alibaba Cloud KMS in the test's process. It verifies the
//! signatures with its own code.
//!
//! Its answers are those of public samples:
//! - Secrets Manager: "GetSecretValue" of its API reference; errors with `__type` and `Message` as
//!   in aws/aws-secretsmanager-agent, `aws_secretsmanager_caching/src/lib.rs` (`GSV_BODY`,
//!   `KMS_ACCESS_DENIED_BODY`); a secret without a value answers `ResourceNotFoundException` (boto3
//!   issue 2794). Status 400 for all of these.
//! - Parameter Store: "GetParameter" of its API reference, with the ARN as `Name`
//!   (hashicorp/terraform-provider-aws issue 47577); `{"__type":"ParameterNotFound"}` with 400.
//! - KMS: `GetSecretValue` of its API reference, with the ARN as `SecretName`; errors with
//!   `HttpStatus`, `Code`, `Message` and `RequestId` as in "Sample responses".

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use super::http::{Listening, aws_json};
use super::{acs3, sigv4};

pub const SECRET_ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3";
pub const PARAMETER_ARN: &str = "arn:aws:ssm:us-east-1:123456789012:parameter/archiver/secret";
pub const KMS_ARN: &str = "acs:kms:cn-hangzhou:1690700000000030:secret/archiver";

/// What a manager does with a request that is signed well.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Gives this value.
    Gives(String),
    /// Refuses with this status, code and message.
    Refuses(u16, &'static str, &'static str),
    /// Never answers.
    Hangs,
}

pub struct SecretServer {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    asked: Mutex<usize>,
}

impl SecretServer {
    /// A server that gives this value.
    pub async fn start(value: &str) -> Self {
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Gives(value.to_owned())),
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

    pub fn give(&self, value: &str) {
        self.set(Behaviour::Gives(value.to_owned()));
    }

    pub fn set(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// How many requests came that are signed well.
    pub fn asked(&self) -> usize {
        *self.shared.asked.lock().unwrap()
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        if header("x-acs-action").is_some() {
            let query = head.uri.query().unwrap_or_default();
            return self.kms(&head.headers, query).await;
        }
        let target = header("x-amz-target").unwrap_or_default().to_owned();
        let service = if target.starts_with("AmazonSSM.") {
            "ssm"
        } else {
            "secretsmanager"
        };
        let is_json = header("content-type") == Some("application/x-amz-json-1.1");
        if !is_json || !sigv4::is_good(service, &head.headers, "/", &body) {
            let why = "The request signature we calculated does not match";
            return aws_error(400, "InvalidSignatureException", why);
        }
        *self.asked.lock().unwrap() += 1;
        let input: Value = serde_json::from_slice(&body).unwrap();
        let behaviour = self.behaviour.lock().unwrap().clone();
        let value = match behaviour {
            Behaviour::Gives(value) => value,
            Behaviour::Refuses(status, code, message) => return aws_error(status, code, message),
            Behaviour::Hangs => std::future::pending().await,
        };
        match target.as_str() {
            "secretsmanager.GetSecretValue" if input["SecretId"] == SECRET_ARN => json_answer(
                200,
                &json!({
                    "ARN": SECRET_ARN, "Name": "archiver", "SecretString": value,
                    "VersionId": "5767290c-d089-49ed-b97c-17086f8c9d79",
                    "VersionStages": ["AWSCURRENT"], "CreatedDate": 1_569_534_789.046,
                }),
            ),
            "secretsmanager.GetSecretValue" => aws_error(
                400,
                "ResourceNotFoundException",
                "Secrets Manager can't find the specified secret.",
            ),
            "AmazonSSM.GetParameter" if input["Name"] == PARAMETER_ARN => {
                // Without decryption it gives what is stored.
                let is_plain = input["WithDecryption"] == true;
                let value = if is_plain {
                    value
                } else {
                    "AQICAHh".to_owned()
                };
                json_answer(
                    200,
                    &json!({"Parameter": {
                        "ARN": PARAMETER_ARN, "DataType": "text", "LastModifiedDate": 1_582_657_288.8,
                        "Name": "/archiver/secret", "Type": "SecureString", "Value": value, "Version": 1,
                    }}),
                )
            }
            "AmazonSSM.GetParameter" => json_answer(400, &json!({"__type": "ParameterNotFound"})),
            other => panic!("{other}"),
        }
    }

    async fn kms(&self, headers: &HeaderMap, query: &str) -> Response<Full<Bytes>> {
        if !acs3::is_good(headers, "/", query, b"") {
            return kms_error(400, "SignatureDoesNotMatch", "Signature does not match.");
        }
        *self.asked.lock().unwrap() += 1;
        assert_eq!(headers["x-acs-action"], "GetSecretValue");
        assert_eq!(headers["x-acs-version"], "2016-01-20");
        let mut query = url::form_urlencoded::parse(query.as_bytes());
        if query.all(|(name, value)| name != "SecretName" || value != KMS_ARN) {
            return kms_error(404, "Forbidden.ResourceNotFound", "Resource not found.");
        }
        let behaviour = self.behaviour.lock().unwrap().clone();
        match behaviour {
            Behaviour::Gives(value) => json_answer(
                200,
                &json!({
                    "SecretDataType": "text", "CreateTime": "2024-02-21T15:39:26Z", "VersionId": "v1",
                    "SecretData": value, "VersionStages": {"VersionStage": ["ACSCurrent"]},
                    "SecretName": "archiver", "SecretType": "Generic",
                    "RequestId": "6a3e9c36-1150-4881-84d3-eb8672fcafad",
                }),
            ),
            Behaviour::Refuses(status, code, message) => kms_error(status, code, message),
            Behaviour::Hangs => std::future::pending().await,
        }
    }
}

fn aws_error(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    let mut answer = json_answer(status, &json!({"__type": code, "Message": message}));
    let request_id = "4ff6091e-fc13-4e0c-8805-24820cb106f6".parse().unwrap();
    answer.headers_mut().insert("x-amzn-requestid", request_id);
    answer
}

fn kms_error(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "HttpStatus": status, "Code": code, "Message": message,
        "RequestId": "e85db688-a2d3-44ca-9790-4259f59e90d8",
    });
    json_answer(status, &body)
}

fn json_answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    aws_json("1.1", status, body)
}
