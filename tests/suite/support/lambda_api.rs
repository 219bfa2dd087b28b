//! AWS Lambda's API on loopback: `Invoke`, which verifies SigV4 with its own code and runs the real
//! `bootstrap`.
//!
//! Its answers are those of public samples:
//! - a result: the body that the function answered, and `X-Amz-Executed-Version` ("Invoke", section
//!   "Response Elements")
//! - a failure of the function: 200 and `X-Amz-Function-Error: Unhandled`, as of every custom runtime;
//!   a time-out is `{"errorMessage":"… Task timed out after 3.00 seconds"}` (aws/aws-sdk-go issue
//!   4872, kgateway-dev/kgateway issue 5618) or has the type `Sandbox.Timedout`, and a process that ended
//!   is `Runtime.ExitError` (floci-io/floci issue 3314, recorded on AWS)
//! - no such function: 404 and `{"Message":"Function not found: ARN","Type":"User"}`, for a path in which
//!   the colon is encoded (aarondfrancis/sidecar issue 23)
//! - no permission: 403 and `{"Message":"User: … is not authorized to perform: lambda:InvokeFunction on
//!   resource: …"}` (danilop/LambdAuth issue 37)
//! - throttled: 429 and `{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate exceeded"}`
//!   (fyoorer/ShadowClone issue 46)
//!
//! The code of an error is in the header `x-amzn-ErrorType` (smithy.io, "AWS restJson1 protocol").

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::http::Listening;
use super::runtime_api::{Answer, Function, TIMEOUT};
use super::sigv4;

/// Name of the function.
pub const NAME: &str = "console-archiver";
/// Its only alias.
pub const ALIAS: &str = "live";
/// Its ARN.
pub const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:console-archiver";

pub const NOT_AUTHORIZED: &str = r#"{"Message":"User: arn:aws:iam::123456789012:user/reader is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:123456789012:function:console-archiver"}"#;
pub const RATE_EXCEEDED: &str =
    r#"{"Reason":"CallerRateLimitExceeded","Type":"User","message":"Rate exceeded"}"#;
pub const TIMED_OUT: &str =
    r#"{"errorMessage":"2023-06-04T12:04:07Z 698aba69 Task timed out after 3.00 seconds"}"#;

/// What one invocation meets.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// The function runs.
    Runs,
    /// The function runs as if it were of a version that does not know the question.
    RunsAnEarlierVersion,
    /// The function did not run. Status, code and body.
    Refuses(u16, &'static str, &'static str),
    /// The function ran and failed with this body.
    Fails(&'static str),
    /// Another function ran, and answered this.
    Answers(Vec<u8>),
    /// Nothing comes back.
    Stalls,
}

pub struct LambdaApi {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    function: Function,
    planned: Mutex<VecDeque<Behaviour>>,
    asked: Mutex<Vec<String>>,
}

impl LambdaApi {
    pub async fn start(function: Function) -> Self {
        let shared = Arc::new(Shared {
            function,
            planned: Mutex::default(),
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

    /// What the next invocations meet. All others run the function.
    pub fn plan(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.planned.lock().unwrap().extend(behaviours);
    }

    /// The payloads of the invocations that were signed well, in order.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let target = head.uri.path_and_query().unwrap().as_str();
        if !sigv4::is_good("lambda", &head.headers, target, &body) {
            let message = r#"{"message":"The request signature we calculated does not match"}"#;
            return refused(403, "InvalidSignatureException", message);
        }
        assert_eq!(head.headers["x-amz-invocation-type"], "RequestResponse");
        let path = head.uri.path().strip_prefix("/2015-03-31/functions/");
        let name = path.unwrap().strip_suffix("/invocations").unwrap();
        let name = percent_encoding::percent_decode_str(name)
            .decode_utf8()
            .unwrap();
        let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        let query: Vec<_> = query.collect();
        let qualifier = match &query[..] {
            [] => "$LATEST",
            [(name, value)] if name == "Qualifier" => value,
            other => panic!("{other:?}"),
        };
        if ![NAME, ARN].contains(&&*name) || !["$LATEST", ALIAS].contains(&qualifier) {
            let message = format!("Function not found: {ARN}:{qualifier}");
            let body = json!({"Message": message, "Type": "User"}).to_string();
            return refused(404, "ResourceNotFoundException", &body);
        }
        let payload = String::from_utf8(body.to_vec()).unwrap();
        self.asked.lock().unwrap().push(payload.clone());
        let planned = self.planned.lock().unwrap().pop_front();
        match planned.unwrap_or(Behaviour::Runs) {
            Behaviour::Runs => self.run(&payload).await,
            // To this version, this is what the question is to an earlier one.
            Behaviour::RunsAnEarlierVersion => {
                self.run(&payload.replace("doctor", "question_of_later"))
                    .await
            }
            Behaviour::Refuses(status, code, body) => refused(status, code, body),
            Behaviour::Fails(body) => ran(body.as_bytes().to_vec(), true),
            Behaviour::Answers(body) => ran(body, false),
            Behaviour::Stalls => std::future::pending().await,
        }
    }

    async fn run(&self, payload: &str) -> Response<Full<Bytes>> {
        let (answer, is_failure): (Value, _) =
            match self.function.invoke(payload.as_bytes(), TIMEOUT).await {
                Answer::Response(value) => (value, false),
                Answer::Error {
                    error_type,
                    error_message,
                } => (
                    json!({"errorType": error_type, "errorMessage": error_message}),
                    true,
                ),
            };
        ran(answer.to_string().into_bytes(), is_failure)
    }
}

fn ran(body: Vec<u8>, is_failure: bool) -> Response<Full<Bytes>> {
    let mut answer = Response::builder()
        .status(200)
        .header("x-amzn-requestid", "4ff6091e-fc13-4e0c-8805-24820cb106f6")
        .header("x-amz-executed-version", "$LATEST");
    if is_failure {
        answer = answer.header("x-amz-function-error", "Unhandled");
    }
    answer.body(Full::from(body)).unwrap()
}

fn refused(status: u16, code: &str, body: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("x-amzn-requestid", "4ff6091e-fc13-4e0c-8805-24820cb106f6")
        .header("x-amzn-errortype", code)
        .body(Full::from(body.to_owned()))
        .unwrap()
}
